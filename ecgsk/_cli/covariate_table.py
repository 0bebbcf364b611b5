"""Covariates of recordings in a table of the user."""

import os
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ecgsk._core.covariates import read_age
from ecgsk._core.csv_tables import read_csv

# Male and female as loaders code them.
_SEX = {"male": 0.0, "m": 0.0, "female": 1.0, "f": 1.0}


class CovariateTable:
    """A CSV file with a column ``record`` and covariates as numbers; sex may be male or female.

    ``columns`` are those of the wanted ones that the file has. Raises ValueError for files without
    a column record, with records that occur twice, and with other text.
    """

    def __init__(self, path: str, wanted: Sequence[str]):
        self.path = path
        table = read_csv(path, ["record", *wanted])
        if "record" not in table:
            raise ValueError(f"--table {path!r} has no column record with the names of recordings.")
        names = [str(name) for name in table["record"]]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise ValueError(f"--table {path!r} contains the record {twice[0]!r} more than once.")
        self.columns = [name for name in wanted if name in table]
        rows = table[self.columns].to_dict("records")
        self._rows = {
            name: {column: self._number(value, column, name) for column, value in row.items()}
            for name, row in zip(names, rows, strict=True)
        }

    def _number(self, value, column: str, record: str) -> float:
        if column == "age":
            age = read_age(value)
            number, bad = age.years, bool(age.doubt)
        else:
            text = str(value).strip().lower()
            coded = _SEX.get(text, value) if column == "sex" else value
            try:
                number, bad = float(coded), False
            except (TypeError, ValueError):
                number, bad = np.nan, True
        if bad or np.isinf(number):
            raise ValueError(
                f"--table {self.path!r} has {column} {value!r} for record {record!r}; give a "
                "number, or leave it empty if it is unknown."
            )
        return number

    def of(self, record: str) -> dict[str, float]:
        """Return the covariates of a recording by its name in the result, or the last part of it.

        Raises ValueError if the table does not contain it.
        """
        for name in (record, os.path.basename(record)):
            if name in self._rows:
                return {k: v for k, v in self._rows[name].items() if not np.isnan(v)}
        raise ValueError(f"--table has no row for the record {os.path.basename(record)!r}.")
