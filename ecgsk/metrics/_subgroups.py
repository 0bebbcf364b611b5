"""Metrics of a detector in subgroups of patients, for example by sex and age."""

from collections.abc import Mapping
from numbers import Integral

import numpy as np
import pandas as pd

from ecgsk._core.checks import check_groups
from ecgsk._core.metric_inputs import (
    check_interval,
    check_length,
    check_scores,
    check_target,
    check_threshold,
    new_random,
)
from ecgsk._core.public import public
from ecgsk.metrics._binary import auroc_interval
from ecgsk.metrics._binary_metrics import BinaryMetrics
from ecgsk.metrics._results import SubgroupEvaluation

MISSING = "missing"
# Numeric columns with more different values are cut.
MOST_VALUES = 10
MOST_SUBGROUPS = 100


@public("ecgsk.metrics")
def evaluate_subgroups(
    y_true,
    y_score,
    by,
    *,
    threshold: float | None = None,
    bins=None,
    min_records: int = 10,
    groups=None,
    n_resamples: int = 1000,
    level: float = 0.95,
    random_state=None,
) -> SubgroupEvaluation:
    """Return the metrics of a detector in each subgroup of patients.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        0 and 1, or False and True.
    y_score : array-like of shape (n_records,)
        Probabilities, or any scores: higher means more likely.
    by : DataFrame, Series with a name or dict of array-like, of n_records rows
        What makes subgroups, for example sex and age, in the order of the records (an index is
        ignored). Values make subgroups, named by their text; numbers of more than 10 different
        values are cut. Missing values are a subgroup ``"missing"``.
    threshold : float, default=None
        Records with ``score >= threshold`` are called positive. None leaves out the metrics of
        decisions.
    bins : dict of str to list of float, default=None
        Where to cut a numeric column: ``{"age": [40, 65]}`` makes ``"< 40"``, ``"40 to < 65"`` and
        ``">= 65"``. Columns that have to be cut and are not named here are cut into tertiles.
    min_records : int, default=10
        Smaller subgroups are listed with their counts, but their metrics are NaN.
    groups : array-like of shape (n_records,), default=None
        Patients, who are drawn whole.
    n_resamples : int, default=1000
        Resamples for the interval of each AUROC, which hold as many patients with and without a
        positive record as the subgroup. 0 gives NaN.
    level : float, default=0.95
        Share of the resamples inside the interval.
    random_state : int, RandomState instance or None, default=None
        Seeds the resamples, alike for each subgroup.

    Returns
    -------
    SubgroupEvaluation
        Its ``table`` has a row for each ``(variable, subgroup)`` and the columns ``n_records``,
        ``n_positive``, ``prevalence``, ``AUROC``, ``AUROC low``, ``AUROC high``, ``average
        precision`` (which rises with the prevalence: compare it between subgroups with care) and,
        with a threshold, ``sensitivity``, ``specificity``, ``PPV`` and ``NPV``. The AUROC of a
        subgroup of one class is NaN, never 0.

    Raises
    ------
    ValueError
        When the lengths differ, targets are not binary, scores are NaN or infinite, ``by`` has no
        names, ``bins`` names a column that is not there or no number, or a column has more than
        100 different values that cannot be cut.

    References
    ----------
    Collins GS et al. TRIPOD+AI statement: updated guidance for reporting clinical prediction models
    that use regression or machine learning methods. BMJ 2024;385:e078378, which requires
    performance in subgroups.

    Examples
    --------
    >>> from ecgsk.metrics import evaluate_subgroups
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> y = random.random(600) < 0.3
    >>> score = y + random.normal(size=600)
    >>> by = {"sex": np.tile(["female", "male"], 300), "age": random.integers(18, 95, size=600)}
    >>> result = evaluate_subgroups(y, score, by, bins={"age": [65]}, random_state=0)
    >>> result.table[["n_records", "AUROC", "AUROC low", "AUROC high"]].round(2)
                       n_records  AUROC  AUROC low  AUROC high
    variable subgroup
    sex      female          300   0.72       0.66        0.79
             male            300   0.81       0.75        0.86
    age      < 65            355   0.76       0.70        0.81
             >= 65           245   0.78       0.71        0.84
    """
    y = check_target(y_true)
    score = check_scores(y_score, len(y))
    threshold = check_threshold(threshold)
    check_interval(n_resamples, level)
    if isinstance(min_records, bool) or not isinstance(min_records, Integral) or min_records < 1:
        raise ValueError(f"min_records={min_records!r} has to be an integer of at least 1.")
    groups = check_groups(groups, len(y))
    columns = _columns(by, len(y))
    bins = {} if bins is None else dict(bins)
    if not set(bins) <= set(columns):
        raise ValueError(
            f"bins names {sorted(map(str, set(bins) - set(columns)))}, but by holds "
            f"{list(map(str, columns))}."
        )
    seed = new_random(random_state).randint(2**31 - 1)
    names, rows = [], []
    for variable, column in columns.items():
        for subgroup, inside in _subgroups(variable, column, bins.get(variable)):
            row = {"n_records": int(inside.sum()), "n_positive": int(y[inside].sum())}
            row["prevalence"] = row["n_positive"] / row["n_records"]
            if row["n_records"] >= min_records:
                metrics = BinaryMetrics(y[inside], score[inside], threshold)
                row |= dict(zip(metrics.names, metrics.value(), strict=True))
                row["AUROC low"], row["AUROC high"] = auroc_interval(
                    y[inside],
                    score[inside],
                    groups=None if groups is None else groups[inside],
                    n_resamples=n_resamples,
                    level=level,
                    random=np.random.RandomState(seed),
                )
            names.append((variable, subgroup))
            rows.append(row)
    shown = ["n_records", "n_positive", "prevalence"]
    shown += ["AUROC", "AUROC low", "AUROC high", "average precision"]
    if threshold is not None:
        shown += ["sensitivity", "specificity", "PPV", "NPV"]
    index = pd.MultiIndex.from_tuples(names, names=["variable", "subgroup"])
    table = pd.DataFrame(rows, index=index, columns=shown)
    return SubgroupEvaluation(
        table=table,
        n_records=len(y),
        n_patients=None if groups is None else len(np.unique(groups)),
        threshold=threshold,
        n_not_ranked=int(table["AUROC"].isna().sum()),
        n_too_small=int((table["n_records"] < min_records).sum()),
        level=level,
        n_resamples=int(n_resamples),
    )


def _columns(by, n_records: int) -> dict:
    if isinstance(by, pd.Series) and by.name is not None:
        by = {by.name: by}
    if not isinstance(by, Mapping | pd.DataFrame) or not len(getattr(by, "columns", by)):
        raise ValueError(
            f"by is a {type(by).__name__} that names no column; give a DataFrame, a named Series "
            'or a dict, for example {"sex": sex, "age": age}.'
        )
    columns = {}
    for name, column in by.items():
        if np.ndim(column) != 1:
            raise ValueError(f"by[{name!r}] has shape {np.shape(column)}; expected (n_records,).")
        if name in columns:
            raise ValueError(f"by holds two columns {name!r}; rename or leave out one of them.")
        check_length(column, n_records, f"by[{name!r}]")
        columns[name] = pd.Series(column).reset_index(drop=True)
    return columns


def _subgroups(variable, column: pd.Series, edges):
    """Yield the name of each subgroup that holds records, and which they are."""
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if edges is not None and not numeric:
        raise ValueError(
            f"bins names {variable!r}, but by[{variable!r}] holds {column.dtype}, which cannot be "
            "cut. Leave it out of bins, or convert the column with pandas.to_numeric."
        )
    missing = column.isna().to_numpy()
    if numeric and (edges is not None or column.nunique() > MOST_VALUES):
        # Missing values compare as neither below nor above; they become a subgroup below.
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        if edges is None:
            edges = np.unique(np.quantile(values[np.isfinite(values)], [1 / 3, 2 / 3]))
        edges = _edges(variable, edges)
        code = np.searchsorted(edges, values, side="right")
        labels = _ranges(edges)
    else:
        code, labels = _by_value(variable, column)
    for i, label in enumerate(labels):
        inside = (code == i) & ~missing
        if inside.any():
            yield label, inside
    if missing.any():
        yield MISSING, missing


def _by_value(variable, column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return a code for each record and the texts that the codes stand for, in order."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        values = list(column.cat.categories)
    else:
        values = pd.unique(column.dropna())
        try:
            values = sorted(values)
        except TypeError:
            values = sorted(values, key=str)
    labels = list(dict.fromkeys(map(_text, values)))
    if len(labels) > MOST_SUBGROUPS:
        raise ValueError(
            f"by[{variable!r}] holds {len(labels)} different values, which would be as many "
            f"subgroups; at most {MOST_SUBGROUPS} are made. Join values, or leave the column out."
        )
    position = {label: i for i, label in enumerate(labels)}
    text = column.astype(object)
    known = column.notna()
    return text.where(known).map(lambda v: position.get(_text(v), -1)).to_numpy(), labels


def _text(value) -> str:
    # A column of 0 and 1 with something missing holds 0.0 and 1.0.
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value)


def _edges(variable, edges) -> np.ndarray:
    edges = np.atleast_1d(np.asarray(edges, dtype=np.float64))
    if edges.ndim != 1 or not len(edges) or not (np.diff(edges) > 0).all():
        raise ValueError(
            f"bins[{variable!r}] is {edges.tolist()}; it has to hold rising numbers, for example "
            "[40, 65]."
        )
    return edges


def _ranges(edges: np.ndarray) -> list[str]:
    texts = [f"{edge:g}" for edge in edges]
    if len(set(texts)) < len(texts):
        texts = [repr(float(edge)) for edge in edges]
    between = [f"{a} to < {b}" for a, b in zip(texts[:-1], texts[1:], strict=True)]
    return [f"< {texts[0]}", *between, f">= {texts[-1]}"]
