"""What a search was about, so that another one is not mixed with it."""

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from ecgsk._core.fingerprint import fingerprint
from ecgsk._core.records import RecordArray, is_lazy

# They say where and how to compute, not what.
_INCIDENTAL = {"backend", "checkpoint_dir", "device", "memory", "n_jobs", "verbose"}


def identity(*, X, y, folds, params, space, scoring, estimator) -> dict[str, str]:
    """Return a fingerprint of each thing that the scores of a search depend on.

    Parameters
    ----------
    X, y : array-like
        Records and targets.
    folds : list of (ndarray, ndarray)
        Training and test rows.
    params : dict
        What was given to ``fit`` beside them.
    space, scoring : object
        Parts with a representation that says it all.
    estimator : estimator
        Compared by its parameters, and by what it has learnt where it stays fitted.

    Returns
    -------
    dict of str to str
        Under names for readers.
    """
    return {
        "data": fingerprint(*_plain(X), *_plain(y)),
        "metadata": fingerprint(
            *(part for k in sorted(params) for part in (k, *_plain(params[k])))
        ),
        "folds": fingerprint(*(rows for fold in folds for rows in fold)),
        "space": fingerprint(space),
        "scoring": fingerprint(scoring),
        "estimator": fingerprint(*_described(estimator)),
    }


def _plain(values) -> list:
    """Return what `fingerprint` takes whole."""
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


def _described(value, fitted: bool = False) -> list:
    """Return the parameters of an estimator, and of those inside it, as plain parts."""
    if isinstance(value, (list, tuple)):
        return ["[", *(part for item in value for part in _described(item, fitted)), "]"]
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: str(item[0]))
        return [part for k, v in items for part in (k, *_described(v, fitted))]
    if isinstance(value, np.ndarray):
        return _plain(value)
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        return [value]
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if callable(value) and hasattr(value, "__qualname__"):
        return [f"{value.__module__}.{value.__qualname__}"]
    if not isinstance(value, BaseEstimator):
        # Their representation may hold an address in memory.
        return [kind]
    kept = set(getattr(value, "_kept_by_clones", ()))
    parts = [kind]
    for name, param in sorted(value.get_params(deep=False).items()):
        if name not in _INCIDENTAL:
            stays = fitted or name in kept or isinstance(value, FrozenEstimator)
            parts += [name, *_described(param, stays)]
    return parts + _learnt(value) if fitted else parts


def _learnt(estimator) -> list:
    """Return the numbers of a fitted estimator that a clone would keep."""
    parts = []
    for name, value in sorted(vars(estimator).items()):
        if name == "net_":
            state = value.module_.state_dict()
            parts += [tensor.cpu().numpy() for tensor in state.values()]
        elif name.endswith("_") and not name.startswith("_"):
            parts += [name, *_described(value, fitted=True)]
    return parts
