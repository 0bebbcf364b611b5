"""What the columns of ``predict_proba`` mean, through any nesting of meta-estimators."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

# X
from sklearn.ensemble import StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from ecgsk._core.checks import check_distinct
from ecgsk._core.host_arrays import on_host
from ecgsk._core.sklearn_compat import BaseSearchCV

# Where wrappers keep the one estimator whose probabilities they return, or several alike.
_ONE = ("best_estimator_", "estimator_")
_SEVERAL = ("estimators_", "calibrated_classifiers_")
_SUM_TOLERANCE = 1e-3
_REMEDY = (
    "Set what fits in its fit: classes_ for each class, or multilabel_ = True and label_names_ for "
    "each label. ProbabilityTransformer also takes feature_names, a name for each column."
)


class UnknownColumnsError(ValueError):
    """The model has no ``classes_``, nor has an estimator in it."""


@dataclass(frozen=True)
class Columns:
    """The columns of a model's probabilities: one for each class, or one for each label.

    ``classes`` are in the order of the columns; for labels they are the values of each, if known.
    ``certain`` is False where the model does not tell classes from labels, ``is_known`` True for
    classifiers of scikit-learn and ecgsk, whose columns have the order of ``classes_``.
    """

    model: str
    multilabel: bool
    classes: Sequence
    label_names: tuple[str, ...] | None = None
    certain: bool = True
    is_known: bool = False

    @property
    def names(self) -> list[str]:
        """Names of the classes or labels; labels without names are "label_0" and so on."""
        if not self.multilabel:
            return [str(name) for name in self.classes]
        return list(self.label_names or (f"label_{i}" for i in range(len(self.classes))))

    def table(self, probabilities) -> np.ndarray:
        """Return what ``predict_proba`` returned as an array with these columns.

        Raises ValueError where it does not have them: another number, or rows of classes that do
        not add up to 1, which are independent labels.
        """
        if isinstance(probabilities, (list, tuple)):
            return self._stacked(probabilities)
        array = np.asarray(on_host(probabilities, "probabilities"))
        if array.ndim != 2 or array.shape[1] != len(self.classes):
            raise ValueError(
                f"predict_proba of {self.model} returned shape {array.shape}; expected "
                f"(n_records, {len(self.classes)}) for {self._described()}. {_REMEDY}"
            )
        if not self.multilabel:
            away = np.abs(array.sum(axis=1) - 1) > _SUM_TOLERANCE
            if away.any():
                first = np.flatnonzero(away)[0]
                raise ValueError(
                    f"predict_proba of {self.model} returned {array[first][:8].tolist()} for "
                    f"record {first}, which do not add up to 1 as probabilities of "
                    f"{self._described()} do. {_REMEDY}"
                )
        return array

    def _stacked(self, probabilities) -> np.ndarray:
        """Return the probability of 1 for each label, from one array for each label."""
        if not self.multilabel or len(probabilities) != len(self.classes):
            raise ValueError(
                f"predict_proba of {self.model} returned a list of {len(probabilities)} arrays, as "
                f"for so many labels; expected {self._described()}. {_REMEDY}"
            )
        columns = []
        for name, of_label, classes in zip(self.names, probabilities, self.classes, strict=True):
            values = np.asarray(classes) if np.ndim(classes) else np.arange(2)
            if not all(value in (0, 1) for value in values.tolist()):
                raise ValueError(
                    f"{self.model} was fitted on the values {values.tolist()[:5]} of {name}; a "
                    "column of the table is the probability of 1. Fit it on 0 and 1, with a "
                    "column for each value."
                )
            of_label = np.asarray(of_label)
            if of_label.ndim != 2 or of_label.shape[1] != len(values):
                raise ValueError(
                    f"predict_proba of {self.model} returned shape {of_label.shape} for {name}; "
                    f"expected (n_records, {len(values)}). {_REMEDY}"
                )
            present = np.flatnonzero(values == 1)
            columns.append(of_label[:, present[0]] if len(present) else np.zeros(len(of_label)))
        return np.stack(columns, axis=1)

    def check_order(self, table: np.ndarray, decided) -> None:
        """Raise ValueError if ``predict`` decides, always, for another column than the largest.

        Thresholds and ties make some decisions differ; an order of columns that is not that of
        ``classes_`` makes each column the sign of one other class.
        """
        if self.multilabel or np.ndim(decided) != 1:
            return
        largest = table.argmax(axis=1)
        pairs = set(zip(largest.tolist(), np.asarray(decided).tolist(), strict=True))
        numbers, values = {number for number, _ in pairs}, {value for _, value in pairs}
        if not len(pairs) == len(numbers) == len(values) > 1:
            return
        for number, value in sorted(pairs, key=str):
            if self.classes[number] != value:
                raise ValueError(
                    f"{self.model} predicts {value} where column {number} of predict_proba is "
                    f"the largest, but classes_[{number}] is {self.classes[number]}. Sort the "
                    "columns of predict_proba as classes_, or classes_ as the columns."
                )

    def _described(self) -> str:
        names = self.names
        kind = "labels" if self.multilabel else "classes"
        more = ", ..." * (len(names) > 8)
        return f"the {len(names)} {kind} {', '.join(names[:8])}{more}"


def columns_of(model, *, n_labels: int | None = None, names: Sequence[str] = ()) -> Columns:
    """Return what the columns of a fitted model's ``predict_proba`` mean.

    The model's own attributes count, then those of the estimator that it wraps. ``n_labels`` is the
    number of labels that it was fitted on, 0 for classes, None if unknown. ``names`` are a user's
    names of the columns, which count where the model does not tell what they are. Raises ValueError
    where nothing does, and where a model contradicts the estimator in it.
    """
    try:
        known = _known_columns(model)
    except ValueError:
        if not names:
            raise
        return Columns(type(model).__name__, True, range(len(names)))
    if n_labels:
        own = len(known.classes) == n_labels
        classes = known.classes if own else range(n_labels)
        return replace(known, multilabel=True, classes=classes)
    if n_labels == 0:
        return replace(known, multilabel=False, label_names=None)
    if not known.certain and len(names) == len(known.classes):
        return replace(known, multilabel=True)
    return known


def _known_columns(model) -> Columns:
    handed_on = _handed_on(model)
    if handed_on is not None:
        return _known_columns(handed_on)
    name = type(model).__name__
    classes = getattr(model, "classes_", None)
    multilabel = None if classes is None else _is_multilabel(model, classes)
    names = getattr(model, "label_names_", None)
    if isinstance(model, StackingClassifier) and multilabel:
        raise ValueError(
            "StackingClassifier returns the probability that a label is absent when it is fitted "
            "on several labels. Use MultiOutputClassifier(StackingClassifier(...))."
        )
    inner = None
    if multilabel is None or (multilabel and names is None):
        inner = _agreed(model)
    if classes is None:
        if inner is None:
            raise UnknownColumnsError(
                f"{name} has no classes_, and no estimator in it has: what the columns of its "
                f"predict_proba mean is not known. {_REMEDY}"
            )
        return inner
    if inner is not None and inner.multilabel and _same(classes, inner.classes):
        multilabel = True
        names = inner.label_names if names is None else names
    elif inner is not None and inner.multilabel and multilabel is None:
        raise ValueError(
            f"{name} has the classes_ {list(classes)[:8]}, but the {inner.model} in it has "
            f"{inner._described()}: what the columns mean is not known. {_REMEDY}"
        )
    if not multilabel or names is None:
        names = None
    elif len(names) != len(classes):
        raise ValueError(
            f"{name} has {len(names)} label_names_ for {len(classes)} labels. Set one name for "
            "each label."
        )
    else:
        check_distinct(names, f"label_names_ of {name}")
        names = tuple(map(str, names))
    certain = multilabel is not None or inner is not None or _is_known(model)
    return Columns(name, bool(multilabel), classes, names, certain, _is_known(model))


def _handed_on(model):
    """Return the estimator whose columns are the model's own, or None."""
    if isinstance(model, FrozenEstimator):
        return model.estimator
    if isinstance(model, Pipeline):
        return model.steps[-1][1]
    own = getattr(model, "__dict__", {})
    if isinstance(model, BaseSearchCV) or (_is_known(model) and "classes_" not in own):
        # Searches, thresholds and selections have no classes of their own.
        return next((own[name] for name in _ONE if name in own), None)
    return None


def _agreed(model) -> Columns | None:
    """Return the columns on which the estimators in a user's wrapper agree, or None."""
    if _is_known(model):
        return None
    found = []
    for part in _parts(getattr(model, "__dict__", {})):
        try:
            found.append(_known_columns(part))
        except UnknownColumnsError:
            return None
    alike = all(
        columns.multilabel == found[0].multilabel and _same(columns.classes, found[0].classes)
        for columns in found
    )
    return found[0] if found and alike else None


def _parts(attributes: dict) -> list:
    """Return the classifiers among a wrapper's attributes: those it fitted, or was given."""
    for name in (*_SEVERAL, *_ONE):
        if name in attributes:
            value = attributes[name]
            return list(value) if isinstance(value, (list, tuple)) else [value]
    classifiers = {
        name: value
        for name, value in attributes.items()
        if hasattr(value, "predict_proba") and not isinstance(value, type)
    }
    fitted = [value for name, value in classifiers.items() if name.endswith("_")]
    return fitted or list(classifiers.values())


def _is_multilabel(model, classes) -> bool | None:
    """Return whether the model itself tells labels from classes, and None where it does not."""
    if any(np.ndim(values) for values in classes):
        return True
    if hasattr(model, "multilabel_"):
        return bool(model.multilabel_)
    if hasattr(model, "out_activation_"):
        # Only the output layer of scikit-learn's perceptron differs.
        return model.out_activation_ == "logistic" and model.n_outputs_ > 1
    return None


def _is_known(model) -> bool:
    """Return whether the attributes of the model are complete: no part of it knows more."""
    return type(model).__module__.startswith(("sklearn.", "ecgsk"))


def _same(one, other) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a, b) for a, b in zip(one, other, strict=True)
    )
