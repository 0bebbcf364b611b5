"""Importance of the leads for a classifier of recordings."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_consistent_length, check_random_state

from ecgsk._core.host_arrays import on_host
from ecgsk._core.public import public
from ecgsk._core.ranked_scores import Ranked
from ecgsk._core.records import RecordArray, is_lazy
from ecgsk._core.resampling import Resamples, percentiles
from ecgsk._core.results import TableResult
from ecgsk._core.signal import STANDARD_LEADS, lead_indices
from ecgsk._core.signal_doubts import without_doubts
from ecgsk.inspection._class_probability import (
    ClassProbability,
    check_carried,
    check_leads,
    with_table,
)

_METHODS = ("permute", "silence")


@public("ecgsk.inspection")
@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class LeadImportance(TableResult):
    """How much worse a classifier gets without each lead.

    Attributes
    ----------
    table : DataFrame
        A row for each lead; columns ``importance``, ``sd``, ``low`` and ``high``.
    baseline : float
        The metric on the recordings as they are.
    """

    baseline: float


@public("ecgsk.inspection")
def lead_importance(
    estimator,
    X,
    y,
    *,
    method: str = "permute",
    metric: Callable[..., float] = roc_auc_score,
    n_repeats: int = 5,
    leads: Sequence[str] = STANDARD_LEADS,
    together: Mapping[str, Sequence[str]] | None = None,
    label: str | int | None = None,
    groups=None,
    n_resamples: int = 1000,
    random_state=None,
) -> LeadImportance:
    """Return how much worse a classifier gets without each lead.

    Parameters
    ----------
    estimator : fitted classifier with ``predict_proba``
        Of recordings: a network, or a Pipeline with extractors and an interpretable model.
    X : array-like of shape (n_records, n_leads, n_samples), or RecordArray
        Recordings that the estimator was not fitted on, mV.
    y : array-like of shape (n_records,)
        Binary truth; where the estimator has several labels, that of ``label``.
    method : {"permute", "silence"}, default="permute"
        "permute" gives each record the lead of another record, drawn at random; "silence" sets
        it to 0 mV.
    metric : callable, default=roc_auc_score
        ``metric(y, probability)`` returns a float, the higher the better.
    n_repeats : int, default=5
        Permutations of each lead. "silence" does the same each time and is done once.
    leads : sequence of str, default=STANDARD_LEADS
        Names of the leads of X, in their order.
    together : mapping of str to sequence of str or None, default=None
        Leads to change together, under a name: ``{"inferior": ["II", "III", "aVF"]}``. None
        changes each lead of X by itself.
    label : str, int or None, default=None
        Of a multilabel or multiclass estimator, the class or label of ``y``: a name among the
        ``label_names_`` or ``classes_`` of its last step, or a column of its probabilities.
    groups : array-like of shape (n_records,) or None, default=None
        Patients, who are resampled whole for ``low`` and ``high``.
    n_resamples : int, default=1000
        Bootstrap resamples for ``low`` and ``high``; 0 leaves them NaN.
    random_state : int, RandomState instance or None, default=None
        Seeds the permutations and resamples.

    Returns
    -------
    LeadImportance
        Its ``table`` has a row for each lead, in the order of ``leads`` or ``together``.
        ``importance`` is the drop of the metric, the mean over repeats; ``sd`` its standard
        deviation between the repeats (NaN for fewer than two), ``low`` and ``high`` the ends of its
        95 % percentile bootstrap interval over records or patients. ``baseline`` is the metric of
        X as it is.

    Raises
    ------
    ValueError
        When shapes do not match, a lead or label is not known, or a parameter is not allowed.
    TypeError
        When the estimator has no ``predict_proba``.

    Notes
    -----
    A lead's importance is what this estimator loses without it *while it keeps the others*. Of the
    six limb leads any two make up the rest (III = II - I), so that each can look unimportant by
    itself; change them ``together``. A permuted lead also contradicts the others, which
    does not occur in recordings, and a silent one looks like an electrode that is off: compare
    both.

    An array in memory is copied once. A `RecordArray`, memory map or HDF5 data set is not: the
    estimator gets another `RecordArray` that exchanges the lead as it is read, and each repeat
    reads all records from disk, permuted ones in random order. Where they fit in memory,
    ``np.asarray(X)`` is quicker. A ``table`` that X carries stays with its records: the lead alone
    is exchanged.

    References
    ----------
    L. Breiman, "Random forests", Machine Learning 45, 2001 (permutation).

    Examples
    --------
    >>> import numpy as np
    >>> from ecgsk.inspection import lead_importance
    >>> class ReadsV2:
    ...     def predict_proba(self, X):
    ...         p = 1 / (1 + np.exp(-X[:, 7].mean(axis=1)))
    ...         return np.column_stack([1 - p, p])
    >>> X = np.random.default_rng(0).normal(size=(100, 12, 50)).astype("float32")
    >>> table = lead_importance(ReadsV2(), X, X[:, 7].mean(axis=1) > 0, random_state=0).table
    >>> table["importance"].idxmax(), int((table["importance"] != 0).sum())
    ('V2', 1)
    """
    if method not in _METHODS:
        raise ValueError(f"method={method!r} is not allowed; use 'permute' or 'silence'.")
    if n_repeats < 1 or n_resamples < 0:
        raise ValueError(
            f"n_repeats={n_repeats!r} must be at least 1, n_resamples={n_resamples!r} at least 0."
        )
    if is_lazy(X):
        X = X if isinstance(X, RecordArray) else RecordArray.wrap(X)
    else:
        X = np.asarray(on_host(X))
    if len(X.shape) != 3:
        raise ValueError(f"X has shape {X.shape}; expected (n_records, n_leads, n_samples).")
    y = np.asarray(on_host(y, "y"))
    if y.ndim != 1:
        raise ValueError(
            f"y has shape {y.shape}; expected (n_records,). For several labels give the column of "
            "the one that label names."
        )
    check_consistent_length(X, y)
    names = check_leads(leads, X.shape[1], "X")
    check_carried(X, None, leads)
    if together is None:
        together = {name: [name] for name in names}
    taken = {name: lead_indices(names, some) for name, some in together.items()}
    random = check_random_state(random_state)
    permute = method == "permute"
    probability = ClassProbability(estimator, label)
    untouched = probability(X)
    # Every lead is given the same donors, which leaves less chance between leads.
    donors = [random.permutation(len(y)) for _ in range(n_repeats)] if permute else [None]
    resampled = _Resampled(metric, y, groups, n_resamples, random)
    base, resampled_base = float(metric(y, untouched)), resampled(untouched)
    rows = {}
    for name, some in taken.items():
        with without_doubts():
            changed = [probability(_without(X, some, order)) for order in donors]
        drops = [base - float(metric(y, scores)) for scores in changed]
        spread = np.mean([resampled_base - resampled(scores) for scores in changed], axis=0)
        low, high = percentiles(spread, 0.95)
        rows[name] = {
            "importance": float(np.mean(drops)),
            "sd": float(np.std(drops, ddof=1)) if len(drops) > 1 else np.nan,
            "low": low,
            "high": high,
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("lead")
    return LeadImportance(table=table, baseline=base)


def _without(X, leads, donors):
    """Return X with some leads of other records, or at 0 mV where there are no donors."""
    if isinstance(X, RecordArray):
        return X.read_by(_Exchanged(X, leads, donors))
    changed = X.copy()
    changed[:, leads] = 0 if donors is None else X[np.ix_(donors, leads)]
    return with_table(X, changed)


class _Exchanged:
    """Reads records and exchanges leads as it does."""

    def __init__(self, records: RecordArray, leads, donors):
        self.records = records
        self.leads = leads
        self.donors = donors

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        records = self.records.read(rows)
        if self.donors is None:
            records[:, self.leads] = 0
        else:
            records[:, self.leads] = self.records.read(self.donors[rows])[:, self.leads]
        return records


class _Resampled:
    """A metric on resamples of the records or patients, the same ones for any scores."""

    def __init__(self, metric, y, groups, n_resamples, random):
        self.metric = metric
        self.y = y
        self.resamples = Resamples(len(y), groups=groups)
        self.n_resamples = n_resamples if self.resamples.varies else 0
        self.seed = random.randint(np.iinfo(np.int32).max)

    def __call__(self, scores) -> np.ndarray:
        """Return the metric of each resample, NaN where it is not defined."""
        random = np.random.RandomState(self.seed)
        if self.metric is roc_auc_score and self.n_resamples:
            # The usual metric without sorting the scores again for each resample.
            ranked = Ranked(self.y == np.unique(self.y)[-1], scores)
            weights = self.resamples.weights(self.n_resamples, random)
            return np.concatenate([ranked.areas(some)[0] for some in weights])
        rows = self.resamples.rows(self.n_resamples, random)
        with warnings.catch_warnings():
            # Resamples of one class are expected here.
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            return np.array([self._of(some, scores) for some in rows], dtype=float)

    def _of(self, rows, scores) -> float:
        try:
            return float(self.metric(self.y[rows], scores[rows]))
        except ValueError:
            return np.nan
