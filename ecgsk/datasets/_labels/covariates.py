"""Covariates and patients of recordings, from their files and from a table."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from ecgsk._core.records import RecordArray
from ecgsk._core.table_covariates import read_table_covariates
from ecgsk._core.user_tables import UserTable

_SPECIAL = ("age", "sex")
# An age at the echo and one at the recording may differ by a birthday.
_SAME_AGE = 1.0
_STATE_CODING = "Give sex_one_is='female' or sex_one_is='male', whichever 1 means there."
_LISTED = 3


def columns_of(covariates, table: UserTable) -> dict[str, str]:
    """Return the column of the table for each covariate; "Age" and "Sex" become age and sex."""
    if isinstance(covariates, str):
        covariates = [covariates]
    if not isinstance(covariates, Mapping):
        lower = (str(name).strip().lower() for name in covariates)
        covariates = {
            key if key in _SPECIAL else name: name
            for key, name in zip(lower, covariates, strict=True)
        }
    return {str(name): table.find(column, "covariates") for name, column in covariates.items()}


def set_covariates(
    bunch: Bunch,
    columns: Mapping[str, str],
    table: UserTable,
    rows: np.ndarray,
    sex_one_is: str | None,
) -> list[str]:
    """Set the covariates of a Bunch to those of its files and of its rows in a table.

    Values of the table win where it has them. Return a text for each covariate that differs.
    """
    n_records = len(rows)
    of_table, over_89 = read_table_covariates(columns, table, rows, sex_one_is, _STATE_CODING)
    of_files = bunch.get("covariates")
    if of_files is None:
        of_files = pd.DataFrame(index=range(n_records))
    merged = of_files.reset_index(drop=True)
    notes = []
    for name in of_table.columns:
        if name not in merged.columns:
            merged[name] = of_table[name]
            continue
        apart = (merged[name] - of_table[name]).abs() > (_SAME_AGE if name == "age" else 0)
        if apart.any():
            place = int(np.flatnonzero(apart)[0])
            notes.append(
                f"Recordings with another {name} in the file than in the table, which was taken: "
                f"{int(apart.sum())} (the first: {merged[name][place]:g} and "
                f"{of_table[name][place]:g})"
            )
        merged[name] = of_table[name].fillna(merged[name])
    bunch.covariates = merged
    if "age" in of_table:
        old = np.asarray(bunch.get("age_over_89", np.zeros(n_records, dtype=bool)))
        bunch.age_over_89 = np.where(of_table["age"].notna(), over_89, old)
    if isinstance(bunch.data, RecordArray):
        # It may carry more columns than age and sex.
        carried = (
            pd.DataFrame(index=range(n_records))
            if bunch.data.table is None
            else (bunch.data.table.reset_index(drop=True))
        )
        bunch.data = RecordArray.wrap(bunch.data, table=carried.assign(**merged))
    return notes


def compare_patients(
    of_files: Sequence | None, of_table: np.ndarray, names: Sequence[str]
) -> list[str]:
    """Return texts on patients of files and table that contradict each other.

    Their identifiers may differ, so the groups of recordings are compared.
    """
    if of_files is None:
        return []
    pairs = pd.DataFrame({"file": list(of_files), "table": of_table, "name": list(names)})
    pairs = pairs[pairs["file"].notna()]
    notes = []
    for one, other in (("file", "table"), ("table", "file")):
        several = pairs.groupby(one)[other].nunique() > 1
        if several.any():
            first = several.index[several][0]
            named = ", ".join(map(repr, pairs["name"][pairs[one] == first][:_LISTED]))
            where = {"file": "the files", "table": "the table"}
            notes.append(
                f"Patients of {where[one]} that are several patients in {where[other]}: "
                f"{int(several.sum())} (the first has the recordings {named}). Groups are those "
                "of the table: correct the one that is wrong"
            )
    return notes
