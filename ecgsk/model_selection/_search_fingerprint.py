"""Fingerprints of a search, so that a study never mixes the trials of two searches."""

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from ecgsk._core.fingerprint import fingerprint
from ecgsk._core.records import RecordArray, is_lazy

# Parameters that set where and how to compute, but do not change the result.
_WITHOUT_EFFECT = {"backend", "checkpoint_dir", "device", "memory", "n_jobs", "verbose"}


def search_fingerprint(*, X, y, folds, params, space, scoring, estimator) -> dict[str, str]:
    """Return fingerprints of all that a search's scores depend on, by names for error messages.

    The representations in ``space`` and ``scoring`` are complete. Parts of the estimator that stay
    fitted are compared also by their fitted attributes.
    """
    return {
        "data": fingerprint(*_comparable(X), *_comparable(y)),
        "metadata": fingerprint(
            *(part for k in sorted(params) for part in (k, *_comparable(params[k])))
        ),
        "folds": fingerprint(*(rows for fold in folds for rows in fold)),
        "space": fingerprint(space),
        "scoring": fingerprint(scoring),
        "estimator": fingerprint(*_estimator_parts(estimator)),
    }


def _comparable(values) -> list:
    """Return data in the types that `fingerprint` reads completely."""
    if values is None or isinstance(values, RecordArray):
        return [values]
    if is_lazy(values):
        return [RecordArray.wrap(values)]
    if isinstance(values, (pd.DataFrame, pd.Series)):
        names = list(getattr(values, "columns", [values.name if values.ndim == 1 else None]))
        return [names, pd.util.hash_pandas_object(values, index=False).to_numpy()]
    if sparse.issparse(values):
        values = values.tocsr()
        return [values.shape, values.data, values.indices, values.indptr]
    values = np.asarray(values)
    return [values.astype(str) if values.dtype == object else values]


def _estimator_parts(value, fitted: bool = False) -> list:
    """Return the parameters of an estimator, and of the estimators in it, as comparable parts."""
    if isinstance(value, (list, tuple)):
        return ["[", *(part for item in value for part in _estimator_parts(item, fitted)), "]"]
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: str(item[0]))
        return [part for k, v in items for part in (k, *_estimator_parts(v, fitted))]
    if isinstance(value, np.ndarray):
        return _comparable(value)
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        return [value]
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if callable(value) and hasattr(value, "__qualname__"):
        return [f"{value.__module__}.{value.__qualname__}"]
    if not isinstance(value, BaseEstimator):
        # The representation of other objects may contain an address in memory.
        return [kind]
    kept = set(getattr(value, "_kept_by_clones", ()))
    parts = [kind]
    for name, param in sorted(value.get_params(deep=False).items()):
        if name not in _WITHOUT_EFFECT:
            stays_fitted = fitted or name in kept or isinstance(value, FrozenEstimator)
            parts += [name, *_estimator_parts(param, stays_fitted)]
    return parts + _fitted_parts(value) if fitted else parts


def _fitted_parts(estimator) -> list:
    """Return the fitted attributes of an estimator."""
    parts = []
    for name, value in sorted(vars(estimator).items()):
        if name == "net_":
            state = value.module_.state_dict()
            parts += [tensor.cpu().numpy() for tensor in state.values()]
        elif name.endswith("_") and not name.startswith("_"):
            parts += [name, *_estimator_parts(value, fitted=True)]
    return parts
