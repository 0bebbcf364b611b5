"""Description of a cohort: the first table of a paper."""

import numpy as np
import pandas as pd
from sklearn.utils import check_consistent_length

from ecgsk._core.checks import check_distinct, check_groups
from ecgsk._core.metric_inputs import check_target
from ecgsk._core.public import public

_MOST_VALUES = 12


@public("ecgsk.inspection")
def describe_cohort(y_true=None, by=None, *, groups=None, names=("no", "yes")) -> pd.DataFrame:
    """Describe the records of a cohort, those with and without the condition apart.

    Parameters
    ----------
    y_true : array-like of shape (n_records,) or None, default=None
        0 and 1, or booleans. None where the condition is not known.
    by : DataFrame of n_records rows or None, default=None
        Covariates of the records, such as age and sex: numbers of more than 12 values are
        described by median and quartiles, all else by counts.
    groups : array-like of shape (n_records,), default=None
        Patients, who are counted.
    names : (str, str), default=("no", "yes")
        Of the columns of records with ``y_true`` 0 and 1.

    Returns
    -------
    DataFrame of str
        Columns "all" and, where ``y_true`` is given, the two names; rows by what they describe.

    Raises
    ------
    ValueError
        For lengths that differ, neither ``y_true`` nor ``by``, values of ``y_true`` that are not 0
        and 1, columns of one name, and ``names`` that are not two.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecgsk.inspection import describe_cohort
    >>> describe_cohort([0, 0, 1, 0], pd.DataFrame({"sex": ["F", "M", "M", None]}))
                       all           no          yes
    records              4            3            1
    sex: F       1 (25.0%)    1 (33.3%)     0 (0.0%)
    sex: M       2 (50.0%)    1 (33.3%)   1 (100.0%)
    sex missing  1 (25.0%)    1 (33.3%)     0 (0.0%)
    """
    if y_true is None and by is None:
        raise ValueError("y_true and by are both None: there is nothing to describe. Give one.")
    positive = None if y_true is None else check_target(y_true)
    if isinstance(names, str) or len(names) != 2 or len({*names, "all"}) != 3:
        raise ValueError(f"names={names!r} has to hold two different names other than 'all'.")
    by = pd.DataFrame(index=range(np.size(y_true))) if by is None else pd.DataFrame(by)
    check_distinct(by.columns, "by")
    check_consistent_length(by, *([] if positive is None else [positive]))
    parts = {"all": np.ones(len(by), dtype=bool)}
    if positive is not None:
        parts |= {names[0]: ~positive, names[1]: positive}
    groups = check_groups(groups, len(by))
    rows = {"records": [f"{rows.sum():,}" for rows in parts.values()]}
    if groups is not None:
        rows["patients"] = [f"{len(np.unique(groups[part])):,}" for part in parts.values()]
    for name in by:
        rows |= _describe(str(name), by[name].reset_index(drop=True), list(parts.values()))
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(parts))


def _describe(name: str, column: pd.Series, parts) -> dict[str, list[str]]:
    rows = {}
    if pd.api.types.is_object_dtype(column):
        # 1 and "1" would be two rows of one name, and a dictionary keeps the last.
        column = column.map(str, na_action="ignore")
    known = column.dropna()
    if pd.api.types.is_numeric_dtype(column) and known.nunique() > _MOST_VALUES:
        rows[f"{name}, median (quartiles)"] = [_quartiles(column[part].dropna()) for part in parts]
    else:
        numeric = pd.api.types.is_numeric_dtype(column)
        values = sorted(known.unique(), key=None if numeric else str)
        for value, shown in zip(values[:_MOST_VALUES], _texts(values), strict=False):
            rows[f"{name}: {shown}"] = [_share(column[part] == value) for part in parts]
        if len(values) > _MOST_VALUES:
            rest = column.isin(values[_MOST_VALUES:])
            rows[f"{name}: {len(values) - _MOST_VALUES} others"] = [_share(rest[p]) for p in parts]
    if column.isna().any():
        rows[f"{name} missing"] = [_share(column[part].isna()) for part in parts]
    return rows


def _texts(values) -> list[str]:
    floats = all(isinstance(value, (float, np.floating)) for value in values)
    short = [f"{value:g}" if floats else str(value) for value in values]
    return short if len(set(short)) == len(short) else [repr(float(value)) for value in values]


def _quartiles(values: pd.Series) -> str:
    if not len(values):
        return ""
    low, middle, high = np.quantile(values.to_numpy(dtype=float), [0.25, 0.5, 0.75])
    return f"{middle:.4g} ({low:.4g} to {high:.4g})"


def _share(mask: pd.Series) -> str:
    return f"{mask.sum():,} ({mask.mean():.1%})" if len(mask) else "0"
