"""What a model consists of."""

from collections.abc import Iterator

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline

from ecgsk._core.decision import THRESHOLD_CLASSIFIERS

# Where meta-estimators of scikit-learn and of ecgsk keep what they have fitted, or were given.
_INNER = ("best_estimator_", "estimator_", "estimators_", "calibrated_classifiers_", "estimator")


def is_network(estimator) -> bool:
    """Return whether an estimator computes with a network, on its parameter ``device``."""
    return hasattr(type(estimator), "_placed_net")


def decides_by_probability(model) -> bool:
    """Return whether it is known that ``predict`` follows from the largest probability."""
    return hasattr(model, "net_") or hasattr(type(model), "_recordings_taken")


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
