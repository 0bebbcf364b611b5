"""How well scores rank records, for one label and for many."""

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from ecgsk._core.metric_inputs import check_label_tables
from ecgsk._core.public import public


@public("ecgsk.metrics")
def label_roc_auc(y_true, y_score) -> np.ndarray:
    """Return the area under the ROC curve of each label.

    Parameters
    ----------
    y_true : array-like of shape (n_records, n_labels)
        0 and 1.
    y_score : array-like of shape (n_records, n_labels)
        Probabilities or any scores.

    Returns
    -------
    ndarray of shape (n_labels,)
        NaN for a label with one class only: nothing can be ranked there.

    Raises
    ------
    ValueError
        When the shapes differ or are not two-dimensional, when two DataFrames differ in their
        columns, when ``y_true`` holds anything but 0 and 1, and when a score is NaN or infinite.

    Examples
    --------
    >>> from ecgsk.metrics import label_roc_auc
    >>> label_roc_auc([[0, 1], [1, 1], [1, 1]], [[0.2, 0.1], [0.6, 0.3], [0.1, 0.2]])
    array([0.5, nan])
    """
    return _by_label(roc_auc_score, y_true, y_score)


def _by_label(metric, y_true, y_score) -> np.ndarray:
    y_true, y_score, _ = check_label_tables(y_true, y_score)
    ranked = (y_true == 0).any(axis=0) & (y_true == 1).any(axis=0)
    areas = np.full(y_true.shape[1], np.nan)
    for label in np.flatnonzero(ranked):
        areas[label] = metric(y_true[:, label], y_score[:, label])
    return areas


@public("ecgsk.metrics")
def macro_roc_auc(y_true, y_score) -> float:
    """Return the mean of the areas under the ROC curves of the labels that have both classes.

    Parameters
    ----------
    y_true, y_score : array-like of shape (n_records, n_labels)
        As `label_roc_auc` takes them, where NaN marks the labels that were left out.

    Returns
    -------
    float
        NaN when no label has both classes.

    Examples
    --------
    >>> from ecgsk.metrics import macro_roc_auc
    >>> macro_roc_auc([[0, 1], [1, 1], [1, 1]], [[0.2, 0.1], [0.6, 0.3], [0.3, 0.2]])
    1.0
    """
    return _mean_of_ranked(label_roc_auc(y_true, y_score))


@public("ecgsk.metrics")
def label_average_precision(y_true, y_score) -> np.ndarray:
    """Return the average precision (area under the precision-recall curve) of each label.

    Its chance level is the label's prevalence: ``np.mean(y_true, axis=0)`` belongs with it.

    Parameters
    ----------
    y_true, y_score : array-like of shape (n_records, n_labels)
        As `label_roc_auc` takes them.

    Returns
    -------
    ndarray of shape (n_labels,)
        NaN for a label with one class only.

    Raises
    ------
    ValueError
        As `label_roc_auc`.

    Examples
    --------
    >>> from ecgsk.metrics import label_average_precision
    >>> label_average_precision([[0, 1], [1, 1], [1, 1]], [[0.2, 0.1], [0.6, 0.3], [0.1, 0.2]])
    array([0.83333333,        nan])
    """
    return _by_label(average_precision_score, y_true, y_score)


@public("ecgsk.metrics")
def macro_average_precision(y_true, y_score) -> float:
    """Return the mean of the average precisions of the labels that have both classes.

    Parameters
    ----------
    y_true, y_score : array-like of shape (n_records, n_labels)
        As `label_roc_auc` takes them.

    Returns
    -------
    float
        NaN when no label has both classes.

    Examples
    --------
    >>> from ecgsk.metrics import macro_average_precision
    >>> macro_average_precision([[0, 1], [1, 1], [1, 1]], [[0.2, 0.1], [0.6, 0.3], [0.3, 0.2]])
    1.0
    """
    return _mean_of_ranked(label_average_precision(y_true, y_score))


def _mean_of_ranked(areas: np.ndarray) -> float:
    return float(np.nanmean(areas)) if np.isfinite(areas).any() else float("nan")
