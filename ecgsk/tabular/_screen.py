"""Each probability alone: how well it ranks the patients, and in which direction."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.utils import check_consistent_length, check_random_state

from ecgsk._core.checks import check_distinct, check_groups
from ecgsk._core.frames import as_pandas
from ecgsk._core.metric_inputs import check_interval, check_target
from ecgsk._core.public import public
from ecgsk._core.ranked_scores import Ranked
from ecgsk._core.resampling import Resamples, percentiles
from ecgsk._core.results import ResampledResult
from ecgsk.tabular._numbers import as_numbers


@public("ecgsk.tabular")
@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class PredictorScreening(ResampledResult):
    """Each predictor of a table as the only one.

    Attributes
    ----------
    table : DataFrame
        A row for each predictor, the best first; columns ``AUROC``, ``low``, ``high``,
        ``direction``, ``average precision``, ``n_records`` and ``prevalence``.
    n_records : int
        Records of the table.
    n_positive : int
        Records that have the condition.
    n_patients : int or None
        Patients, who were drawn whole; None without groups.
    n_not_ranked : int
        Predictors that could not be ranked; they are at the end, with NaN.
    level : float
        Of the intervals.
    n_resamples : int
        Resamples drawn.
    """

    n_positive: int
    n_not_ranked: int


@public("ecgsk")
def screen_predictors(
    table, y, *, groups=None, n_resamples: int = 1000, level: float = 0.95, random_state=None
) -> PredictorScreening:
    """Score each column of a table as the only predictor, without training.

    Parameters
    ----------
    table : DataFrame or array-like of shape (n_records, n_predictors)
        For example what a `ProbabilityTransformer` gives. NaN is allowed: a column is scored on
        the records that have it.
    y : array-like of shape (n_records,)
        0 and 1, or booleans.
    groups : array-like of shape (n_records,), default=None
        Patients, who are drawn whole for the intervals.
    n_resamples : int, default=1000
        For the intervals; 0 makes none.
    level : float, default=0.95
        Of the intervals.
    random_state : int, RandomState instance or None, default=None
        Seeds the resamples, which are the same for all columns.

    Returns
    -------
    PredictorScreening
        The index of its ``table`` holds the predictors, the best first. The columns are ``AUROC``,
        ``low``, ``high``, ``direction`` ("higher" where high values support y = 1, else "lower"),
        ``average precision`` in that direction, ``n_records`` and ``prevalence``.

    Raises
    ------
    ValueError
        When y has one class, for lengths that differ and a table without columns.

    See Also
    --------
    SinglePredictorClassifier : One of them as a classifier.

    Notes
    -----
    The direction is chosen on these records, so that no AUROC is below 0.5, and the best of many
    columns is best partly by luck: what it is worth has to be measured on other records.

    References
    ----------
    Y. Zhou et al., arXiv:2603.28532, 2026: single predictors, "zero-shot".

    Examples
    --------
    >>> import pandas as pd
    >>> from ecgsk.tabular import screen_predictors
    >>> table = pd.DataFrame({"NORM": [0.9, 0.2, 0.8, 0.3], "ASMI": [0.1, 0.3, 0.4, 0.2]})
    >>> screen_predictors(table, [0, 1, 0, 1], n_resamples=0).table[["AUROC", "direction"]]
               AUROC direction
    predictor
    NORM         1.0     lower
    ASMI         0.5    higher
    """
    y = check_target(y, "y")
    table = as_pandas(table)
    if not isinstance(table, pd.DataFrame):
        table = np.asarray(table)
        if table.ndim != 2:
            raise ValueError(f"table has shape {table.shape}; expected (n_records, n_predictors).")
        table = pd.DataFrame(table, columns=[f"x{i}" for i in range(table.shape[1])])
    check_consistent_length(table, y)
    if not table.shape[1]:
        raise ValueError("table has no columns: give at least one predictor.")
    if y.all() or not y.any():
        raise ValueError(
            f"y holds one class only ({int(y[0])}): nothing can be ranked. Give records of both."
        )
    check_interval(n_resamples, level)
    check_distinct(table.columns, "table")
    groups = check_groups(groups, len(y))
    columns = [_Column(name, table[name], y) for name in table.columns]
    resamples = Resamples(len(y), groups=groups, stratify=y)
    if n_resamples and resamples.varies:
        for weights in resamples.weights(n_resamples, check_random_state(random_state)):
            for column in columns:
                column.add(weights)
    result = pd.DataFrame([column.row(level) for column in columns])
    result["order"] = -result["AUROC"]
    result = result.sort_values("order", kind="stable").drop(columns="order")
    result = result.set_index("predictor")
    return PredictorScreening(
        table=result,
        n_records=len(y),
        n_positive=int(y.sum()),
        n_patients=None if groups is None else resamples.n_units,
        n_not_ranked=sum(column.ranked is None for column in columns),
        level=level,
        n_resamples=int(n_resamples),
    )


class _Column:
    """One predictor, and what its resamples give."""

    def __init__(self, name, column: pd.Series, y: np.ndarray):
        values = as_numbers(column)
        if values is None:
            raise ValueError(
                f"table holds text in {name!r}, or other values that are not numbers; predictors "
                "have to be numbers. Leave the column out or code it."
            )
        if np.isinf(values).any():
            raise ValueError(f"table holds infinity in {name!r}; use NaN for what is unknown.")
        self.name = name
        known = ~np.isnan(values)
        self.known = None if known.all() else np.flatnonzero(known)
        y, values = y[known], values[known]
        self.n_records = len(y)
        self.prevalence = y.mean() if len(y) else np.nan
        self.ranked, self.area, self.precision, self.sign = None, np.nan, np.nan, 1
        self.areas: list[np.ndarray] = []
        if y.any() and not y.all():
            alike = np.ones((1, len(y)))
            self.ranked = Ranked(y, values)
            self.area, self.precision = (float(v[0]) for v in self.ranked.areas(alike))
            if self.area < 0.5:
                self.sign = -1
                self.precision = float(Ranked(y, -values).areas(alike)[1][0])

    def add(self, weights: np.ndarray) -> None:
        if self.ranked is None:
            return
        weights = weights if self.known is None else weights[:, self.known]
        self.areas.append(self.ranked.areas(weights)[0])

    def row(self, level: float) -> dict:
        low, high = percentiles(np.concatenate(self.areas), level) if self.areas else (np.nan,) * 2
        area = self.area
        if self.sign < 0:
            area, low, high = 1 - area, 1 - high, 1 - low
        direction = "lower" if self.sign < 0 else "higher"
        return {
            "predictor": self.name,
            "AUROC": area,
            "low": low,
            "high": high,
            "direction": None if self.ranked is None else direction,
            "average precision": self.precision,
            "n_records": self.n_records,
            "prevalence": self.prevalence,
        }
