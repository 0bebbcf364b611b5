"""Steps whose output for a record is known not to depend on other records."""

from collections.abc import Iterator

import numpy as np
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from ecgsk.tabular import ProbabilityTransformer, TableColumns


def is_row_wise(part) -> bool:
    """Return whether a step is known to transform each record by itself, without a fit.

    Such a step may run before the records are split into folds. A class of the user's is not
    known, even if it needs no fit: it could read the mean of the records that it is given.
    """
    if isinstance(part, (str, type(None), TableColumns)):
        return True
    if isinstance(part, FrozenEstimator):
        return all(map(_stays_row_wise, _estimators_in(part.estimator)))
    if isinstance(part, FunctionTransformer):
        # A ufunc computes each number from the number in the same place.
        return part.func is None or isinstance(part.func, np.ufunc)
    if isinstance(part, FeatureUnion):
        return all(is_row_wise(inner) for _, inner in part.transformer_list)
    if isinstance(part, ColumnTransformer):
        inner = [step for _, step, _ in part.transformers] + [part.remainder]
        chosen_by_code = any(callable(columns) for *_, columns in part.transformers)
        return not chosen_by_code and all(map(is_row_wise, inner))
    if isinstance(part, Pipeline):
        return all(is_row_wise(inner) for _, inner in part.steps)
    if isinstance(part, ProbabilityTransformer):
        return is_row_wise(part.estimator)
    # Transformers of recordings, and networks with weights.
    return _is_of("ecgsk", part) and not get_tags(part).requires_fit


def _stays_row_wise(part) -> bool:
    """Return whether a part of a fitted model predicts for each record by itself."""
    if isinstance(part, (FrozenEstimator, FunctionTransformer)):
        return is_row_wise(part)
    return (
        is_classifier(part)
        or is_regressor(part)
        or _is_of("sklearn", part)
        or _is_of("ecgsk", part)
    )


def _is_of(package: str, part) -> bool:
    return type(part).__module__.partition(".")[0] == package


def _estimators_in(value) -> Iterator[BaseEstimator]:
    """Yield an estimator, or those in a container, and the estimators in their parameters."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _estimators_in(item)
    elif hasattr(value, "get_params") and not isinstance(value, type):
        yield value
        yield from _estimators_in(value.get_params(deep=False))
