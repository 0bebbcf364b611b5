"""From the user's labels to what a loss takes, and back."""

from dataclasses import dataclass
from pickle import PicklingError

import numpy as np
import torch
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from ecgsk._core.checks import check_indicator
from ecgsk._core.columns import columns_of
from ecgsk._core.content import content_digest
from ecgsk._core.log_odds import log_odds
from ecgsk._core.sklearn_compat import check_y
from ecgsk._core.targets import plain_target

# A teacher's probabilities count as this far from 0 and 1 at least.
_TEACHER_SATURATION = 1e-6


@dataclass
class Targets:
    """Labels of a classification task: "binary", "multiclass" or "multilabel".

    ``encoded`` is float32, (n_records,) or, for multilabel, (n_records, n_labels); for multiclass
    int64 indices. ``classes`` are sorted, 0 to n_labels - 1 for multilabel; ``dtype`` is the
    user's.
    """

    kind: str
    encoded: np.ndarray
    classes: np.ndarray
    label_names: list[str] | None
    dtype: np.dtype

    @property
    def n_outputs(self) -> int:
        """Logits that the task needs."""
        return 1 if self.kind == "binary" else len(self.classes)

    def strata(self) -> np.ndarray | None:
        """Return what a stratified split stratifies by; nothing for multilabel."""
        return None if self.kind == "multilabel" else self.encoded.astype(int)


def encode_targets(y, *, used: np.ndarray, estimator_name: str) -> Targets:
    """Recognize binary, multiclass and multilabel targets and encode them.

    Only the ``used`` records, whose weight is not zero, make classes. ValueError for a y that is
    None, has missing values, is continuous or has fewer than two classes.
    """
    if y is None:
        raise ValueError(
            f"This {estimator_name} estimator requires y to be passed, but the target y is None."
        )
    y, names = plain_target(y)
    checked = check_y(y, multi_output=True)
    check_classification_targets(checked)
    kind = type_of_target(checked, input_name="y")
    if kind == "multilabel-indicator":
        if hasattr(checked, "toarray"):
            checked = checked.toarray()
        check_indicator(checked, "y")
        return Targets(
            "multilabel",
            checked.astype(np.float32),
            np.arange(checked.shape[1]),
            names,
            checked.dtype,
        )
    if kind == "multiclass-multioutput":
        raise ValueError(
            f"y has shape {checked.shape} with values other than 0 and 1: multiclass-multioutput "
            "is not supported. Pass one column of classes, or an indicator matrix of 0 and 1."
        )
    checked = column_or_1d(checked, warn=True)
    classes = np.unique(checked[used])
    if len(classes) < 2:
        raise ValueError(
            f"{estimator_name} needs records of at least 2 classes; y holds 1 class: "
            f"{classes[0]} (records of weight 0 do not count)."
        )
    # Records without weight may have a class of their own; they are never trained on.
    encoded = np.searchsorted(classes, checked).clip(max=len(classes) - 1)
    if len(classes) == 2:
        return Targets("binary", encoded.astype(np.float32), classes, None, checked.dtype)
    return Targets("multiclass", encoded.astype(np.int64), classes, None, checked.dtype)


def class_weights(class_weight, targets: Targets, rows: np.ndarray) -> np.ndarray | None:
    """Return the weights of classes as `ecgsk._training.losses.WeightedLoss` takes them.

    ``class_weight`` is scikit-learn's; for multilabel a list with a dict of the weights of 0 and 1
    for each label. "balanced" counts classes in ``rows``, the training records.
    """
    if class_weight is None:
        return None
    if targets.kind == "multilabel":
        weights = _label_weights(class_weight, targets.encoded[rows])
    else:
        labels = targets.classes[targets.encoded[rows].astype(int)]
        weights = compute_class_weight(class_weight, classes=targets.classes, y=labels)
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError(
            f"class_weight={class_weight!r} has to hold weights of 0 or more, not all of them 0."
        )
    return weights[:, np.newaxis] if targets.kind == "binary" else weights


def _label_weights(class_weight, indicator: np.ndarray) -> np.ndarray:
    n_labels = indicator.shape[1]
    if isinstance(class_weight, str):
        positives = indicator.sum(axis=0)
        counts = np.stack([len(indicator) - positives, positives])
        # A label with one class only has nothing to balance.
        return np.where(counts.min(axis=0) > 0, len(indicator) / (2 * counts.clip(min=1)), 1.0)
    fits = isinstance(class_weight, (list, tuple)) and len(class_weight) == n_labels
    if not fits or not all(isinstance(label, dict) for label in class_weight):
        raise ValueError(
            f"class_weight={class_weight!r} does not fit a target of {n_labels} labels: use "
            "'balanced', or a list with one dict {0: weight, 1: weight} for each label."
        )
    return np.array([[label.get(value, 1.0) for label in class_weight] for value in (0, 1)])


def teacher_logits(teacher, X, targets: Targets) -> np.ndarray:
    """Return a fitted classifier's predictions, shaped like its probabilities (binary: 1-D).

    They are log-odds, for multiclass logarithms of probabilities. ValueError if the teacher has
    other classes or labels.
    """
    columns = columns_of(teacher)
    multilabel = targets.kind == "multilabel"
    same = columns.multilabel == multilabel and len(columns.classes) == len(targets.classes)
    if same and multilabel:
        named = columns.label_names is not None and targets.label_names is not None
        same = not named or columns.names == targets.label_names
    elif same:
        same = np.array_equal(columns.classes, targets.classes)
    if not same:
        expected = (targets.label_names if multilabel else None) or targets.classes.tolist()
        raise ValueError(
            f"teacher predicts {'labels' if columns.multilabel else 'classes'} "
            f"{', '.join(columns.names)}; y has {'labels' if multilabel else 'classes'} "
            f"{', '.join(map(str, expected))}. Use a teacher "
            "fitted on the same task."
        )
    probabilities = columns.table(teacher.predict_proba(X)).astype(np.float64)
    if targets.kind == "multiclass":
        return np.log(probabilities.clip(_TEACHER_SATURATION, 1 - _TEACHER_SATURATION))
    logits = log_odds(probabilities, _TEACHER_SATURATION)
    return logits[:, 1] if targets.kind == "binary" else logits


def teaching_identity(distillation, logits: np.ndarray) -> tuple:
    """Return what identifies a `Distillation` whose teacher predicts these logits."""
    try:
        # Predictions differ in their last digits from device to device.
        taught = content_digest(distillation.teacher, anywhere=True).hex()
    except (TypeError, PicklingError):
        taught = logits.tolist()
    return taught, distillation.temperature, distillation.weight


def prior_logits(targets: Targets, rows: np.ndarray, weights: np.ndarray) -> torch.Tensor:
    """Return the logits that predict how often each class occurs, for any recording.

    They are log-odds for binary and multilabel targets and logarithms of shares for multiclass, of
    the training records ``rows`` with their weights. A label that never or always occurs counts as
    half a record against it.
    """
    encoded, weights = targets.encoded[rows], weights[rows]
    if targets.kind == "multiclass":
        encoded = encoded[:, None] == np.arange(targets.n_outputs)
    total = weights.sum()
    shares = weights @ encoded.reshape(len(rows), -1) / total
    half_a_record = min(0.5, 0.5 / total)
    if targets.kind == "multiclass":
        return torch.as_tensor(np.log(shares.clip(half_a_record, 1 - half_a_record)))
    return torch.as_tensor(log_odds(shares, half_a_record))
