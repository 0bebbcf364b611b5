"""Metrics of many labels at once."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ecgsk._core.checks import check_groups
from ecgsk._core.host_arrays import on_host
from ecgsk._core.metric_inputs import (
    check_interval,
    check_label_tables,
    check_threshold,
    new_random,
)
from ecgsk._core.public import public
from ecgsk.metrics._binary import auroc_interval
from ecgsk.metrics._binary_metrics import BinaryMetrics
from ecgsk.metrics._results import LabelEvaluation

DECIDING = ["F1", "sensitivity", "specificity", "PPV", "NPV"]


@public("ecgsk.metrics")
def evaluate_labels(
    y_true,
    y_score,
    *,
    thresholds=None,
    groups=None,
    n_resamples: int = 1000,
    level: float = 0.95,
    random_state=None,
    label_names=None,
) -> LabelEvaluation:
    """Return the metrics of each label, and their means over labels.

    Parameters
    ----------
    y_true : array-like of shape (n_records, n_labels)
        0 and 1. A DataFrame's columns name the labels.
    y_score : array-like of shape (n_records, n_labels)
        Probabilities or any scores; higher means more likely.
    thresholds : float, array-like of shape (n_labels,), dict or Series, default=None
        Records with ``score >= threshold`` are called positive: one for all labels, one for each,
        or by name. Choose them on other records. None leaves out the metrics of decisions.
    groups : array-like of shape (n_records,), default=None
        Patients, who are drawn whole.
    n_resamples : int, default=1000
        Resamples for the intervals of the AUROC, which hold as many patients with and without the
        label as the data. 0 gives no intervals; 1000 take some 4 s for 71 labels of 2,203
        records.
    level : float, default=0.95
        Share of the resamples inside the interval.
    random_state : int, RandomState instance or None, default=None
        Seeds the resamples, alike for each label: an interval does not depend on which other labels
        there are.
    label_names : sequence of str, default=None
        Names for the index. None takes those of the columns, or counts from 0.

    Returns
    -------
    LabelEvaluation
        Its ``table`` has a row for each label, with ``n_positive``, ``prevalence``, ``AUROC`` (with
        ``AUROC low`` and ``AUROC high`` where there are resamples), ``average precision``, ``Brier
        score`` (NaN unless the label's scores lie in [0, 1]) and, with thresholds, ``F1``,
        ``sensitivity``, ``specificity``, ``PPV`` and ``NPV``. What is not defined is NaN. ``macro``
        holds the means over the labels that have both classes, ``skipped`` the other labels.

    Raises
    ------
    ValueError
        When the shapes differ, ``y_true`` holds anything but 0 and 1, a score is NaN or infinite,
        or there are not as many thresholds or names as labels.

    See Also
    --------
    macro_roc_auc : The mean alone, which `bootstrap` gives an interval.

    References
    ----------
    The macro AUROC is the metric of the PTB-XL benchmark: Strodthoff N et al. Deep learning for ECG
    analysis: benchmarks and insights from PTB-XL. IEEE J Biomed Health Inform 2021;25:1519-1528.

    Examples
    --------
    >>> from ecgsk.metrics import evaluate_labels
    >>> y = [[0, 1], [1, 1], [1, 1], [0, 1]]
    >>> score = [[0.2, 0.9], [0.6, 0.7], [0.1, 0.8], [0.1, 0.6]]
    >>> result = evaluate_labels(y, score, label_names=["LVH", "NORM"], n_resamples=0)
    >>> result.table[["n_positive", "AUROC"]]
           n_positive  AUROC
    label
    LVH             2  0.625
    NORM            4    NaN
    >>> result.macro["AUROC"], result.skipped
    (0.625, ['NORM'])
    """
    y_true, y_score, columns = check_label_tables(y_true, y_score)
    n_records, n_labels = y_true.shape
    if not n_records or not n_labels:
        raise ValueError(f"y_true has shape {y_true.shape}; at least one record and label needed.")
    check_interval(n_resamples, level)
    groups = check_groups(groups, n_records)
    names = _names(label_names, columns, n_labels)
    thresholds = _thresholds(thresholds, names)
    seed = new_random(random_state).randint(2**31 - 1)
    rows = []
    for label in range(n_labels):
        y, score = y_true[:, label] == 1, y_score[:, label]
        metrics = BinaryMetrics(y, score, thresholds[label])
        row = {"n_positive": int(y.sum())} | dict(zip(metrics.names, metrics.value(), strict=True))
        if n_resamples:
            row["AUROC low"], row["AUROC high"] = auroc_interval(
                y,
                score,
                groups=groups,
                n_resamples=n_resamples,
                level=level,
                random=np.random.RandomState(seed),
            )
        rows.append(row)
    order = ["n_positive", "prevalence", "AUROC"]
    order += ["AUROC low", "AUROC high"] * bool(n_resamples)
    order += ["average precision", "Brier score"]
    averaged = ["AUROC", "average precision"]
    if thresholds[0] is not None:
        order, averaged = order + DECIDING, [*averaged, "F1"]
    table = pd.DataFrame(rows, index=pd.Index(names, name="label"))[order]
    ranked = table["AUROC"].notna()
    return LabelEvaluation(
        table=table,
        macro={name: float(table.loc[ranked, name].mean()) for name in averaged},
        skipped=table.index[~ranked].tolist(),
        n_records=n_records,
        n_patients=None if groups is None else len(np.unique(groups)),
        level=level,
        n_resamples=int(n_resamples),
    )


def _names(label_names, columns, n_labels: int) -> list:
    names = list(columns or range(n_labels)) if label_names is None else list(label_names)
    if len(names) != n_labels:
        raise ValueError(
            f"label_names has {len(names)} names and y_true {n_labels} labels; give one for each."
        )
    return names


def _thresholds(thresholds, names: list) -> list:
    if np.ndim(thresholds) == 0 and not isinstance(thresholds, Mapping):
        return [check_threshold(thresholds)] * len(names)
    # By name where there are names: a Series sorted otherwise would silently be another rule.
    named = dict(thresholds) if isinstance(thresholds, Mapping | pd.Series) else {}
    if set(named) == set(names):
        thresholds = [named[name] for name in names]
    elif isinstance(thresholds, Mapping):
        lacking = [name for name in names if name not in named]
        other = [name for name in named if name not in names]
        raise ValueError(
            f"thresholds lacks the labels {lacking[:5]} and holds the unknown {other[:5]} (the "
            "first five are shown); give one for each label."
        )
    values = np.asarray(on_host(thresholds, "thresholds"))
    if values.shape != (len(names),):
        raise ValueError(
            f"thresholds has shape {values.shape}; expected a number or ({len(names)},), one for "
            "each label."
        )
    return [check_threshold(value) for value in values.tolist()]
