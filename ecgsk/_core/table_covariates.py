"""Covariates of recordings in a table of the user."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ecgsk._core.cell_values import (
    is_missing,
    read_interval,
    read_intervals,
    read_truth,
    refuse,
    warn_of_codes,
)
from ecgsk._core.covariates import read_age, sex_name
from ecgsk._core.user_tables import UserTable

# Male and female as loaders code them.
_SEXES = {"male": 0.0, "female": 1.0}
# Count as unknown.
_OTHER = {"other", "o", "u", "unk", "none"}
_RECODE = "Write male and female instead of the numbers, or 0 and 1."
_CORRECT = "Correct these cells, or empty those of unknown values."


def read_table_covariates(
    columns: Mapping[str, str],
    table: UserTable,
    rows: np.ndarray,
    sex_one_is: str | None,
    remedy: str = "",
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return covariates of some rows as numbers, NaN where unknown, and who is over 89.

    ``columns`` has the column of each covariate. ``sex_one_is`` is what 1 means there, or None if
    that is not known. ``remedy`` explains how to state it. ValueError names rows and values that
    are not numbers.
    """
    over_89 = np.zeros(len(rows), dtype=bool)
    values = {}
    names = [table.row_names(row) for row in rows]
    for name, column in columns.items():
        all_texts = table.texts(column)
        texts = [all_texts[row] for row in rows]

        def check(bad, problem: str, remedy: str = _CORRECT, *, texts=texts, column=column) -> None:
            refuse(texts, bad, names.__getitem__, column, problem, remedy)

        known = np.array([not is_missing(text) for text in texts], dtype=bool)
        if name == "age":
            ages = [read_age(text) for text in texts]
            bad = [place for place, age in enumerate(ages) if age.doubt and known[place]]
            check(bad, "are not ages from 0 to 120 years")
            values[name] = np.array([age.years for age in ages])
            over_89 = np.array([age.over_89 for age in ages], dtype=bool)
        elif name == "sex":
            numbers = [place for place, text in enumerate(texts) if read_interval(text)]
            if sex_one_is is None:
                is_binary = all(np.isfinite(read_truth(t)) for t in all_texts if read_interval(t))
                check(numbers, "state a sex as a number", remedy if is_binary else _RECODE)
            codes = [read_truth(texts[place]) for place in numbers]
            wrong = [place for place, code in zip(numbers, codes, strict=True) if np.isnan(code)]
            check(wrong, "are neither 0 nor 1", _RECODE)
            sexes = np.array([_SEXES.get(sex_name(text) or "", np.nan) for text in texts])
            sexes[numbers] = np.abs(np.array(codes) - (sex_one_is == "male"))
            others = np.array([text.strip().lower() in _OTHER for text in texts])
            wrong = np.flatnonzero(known & ~others & np.isnan(sexes)).tolist()
            check(
                wrong,
                "are neither male nor female",
                f"Write male and female, or M and F. {_CORRECT}",
            )
            values[name] = sexes
        else:
            truth = np.array([read_truth(text) for text in texts])
            if not np.isnan(truth[known]).any():
                values[name] = truth
                continue
            intervals = read_intervals(texts, table.decimal_comma)
            is_number = np.array([item is not None and item.is_number for item in intervals])
            wrong = np.flatnonzero(known & ~is_number).tolist()
            is_sex = any(sex_name(texts[place]) for place in wrong)
            naming = f" If it is the sex, name it: covariates={{'sex': {column!r}}}."
            check(wrong, "are not numbers", _CORRECT + naming * is_sex)
            values[name] = np.array([np.nan if i is None else i.low for i in intervals])
            warn_of_codes(values[name], column)
    return pd.DataFrame(values, index=range(len(rows)), dtype=float), over_89
