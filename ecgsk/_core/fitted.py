"""What a model consists of, and what the columns of its predictions mean."""

from collections.abc import Iterator

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline

from ecgsk._core.decision import THRESHOLD_CLASSIFIERS

# Where meta-estimators of scikit-learn and of ecgsk keep what they have fitted, or were given.
_INNER = ("best_estimator_", "estimator_", "estimators_", "calibrated_classifiers_", "estimator")


def unwrap(model):
    """Return the model that computes probabilities: the best one of a search, or the one inside of
    a ``FrozenEstimator`` or a threshold classifier.

    Searches and threshold classifiers that are not fitted are returned as they are.
    """
    while True:
        if hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif isinstance(model, THRESHOLD_CLASSIFIERS) and hasattr(model, "classes_"):
            model = getattr(model, "estimator_", model.estimator)
        elif isinstance(model, FrozenEstimator):
            model = model.estimator
        else:
            return model


def last_step(model):
    """Return the estimator that predicts at the end of Pipelines, in searches and frozen models."""
    model = unwrap(model)
    return last_step(model[-1]) if isinstance(model, Pipeline) else model


def parts_in_order(model) -> Iterator:
    """Yield a fitted model and its parts, in the order in which recordings pass them.

    Of parts that exist both fitted and unfitted, only the fitted ones are yielded.
    """
    yield model
    if isinstance(model, (Pipeline, FeatureUnion)):
        named = model.steps if isinstance(model, Pipeline) else model.transformer_list
        inner = [part for _, part in named]
    else:
        inner = next((vars(model)[name] for name in _INNER if name in vars(model)), [])
        inner = inner if isinstance(inner, (list, tuple)) else [inner]
    for part in inner:
        # Steps may be 'passthrough'; calibration keeps objects that are not estimators.
        if hasattr(part, "__dict__"):
            yield from parts_in_order(part)


def named_parts(estimator) -> list[tuple[str | None, object]]:
    """Return the estimators among the parameters, each with the name that ``set_params`` takes.

    They come from Pipelines and the like, too; the name is None for parts in a list without names.
    """
    if not hasattr(estimator, "get_params") or isinstance(estimator, type):
        return []
    found = []
    for parameter, value in estimator.get_params(deep=False).items():
        for item in value if isinstance(value, (list, tuple)) else [(parameter, value)]:
            named = isinstance(item, tuple) and len(item) > 1
            name, part = item[:2] if named else (None, item)
            if hasattr(part, "get_params") and not isinstance(part, type):
                found.append((name, part))
    return found


def is_multilabel(model) -> bool:
    """Return whether each column of ``predict_proba`` is a label with a probability of its own."""
    last = last_step(model)
    if isinstance(getattr(last, "classes_", None), list):
        return True
    # Only the output layer of scikit-learn's MLP differs.
    logistic = getattr(last, "out_activation_", "") == "logistic"
    return bool(getattr(last, "multilabel_", logistic and last.n_outputs_ > 1))


def column_names(model, multilabel: bool | None = None) -> list[str]:
    """Return the names of the columns of ``predict_proba``, as `stack_labels` arranges them.

    Labels without names are "label_0" and so on; the list is empty without ``classes_``.
    """
    last = last_step(model)
    classes = getattr(last, "classes_", ())
    if not (is_multilabel(last) if multilabel is None else multilabel):
        return [str(name) for name in classes]
    names = getattr(last, "label_names_", None) or ()
    if len(names) != len(classes):
        names = [f"label_{i}" for i in range(len(classes))]
    return [str(name) for name in names]


def stack_labels(probabilities, classes) -> np.ndarray:
    """Return one array for the list of arrays that forests return for multilabel targets.

    It contains the probability of class 1 for each label; other ``probabilities`` stay as they are.
    """
    if not isinstance(probabilities, list):
        return np.asarray(probabilities)
    columns = []
    for of_label, values in zip(probabilities, classes, strict=True):
        position = np.flatnonzero(np.asarray(values) == 1)
        columns.append(of_label[:, position[0]] if len(position) else np.zeros(len(of_label)))
    return np.stack(columns, axis=1)
