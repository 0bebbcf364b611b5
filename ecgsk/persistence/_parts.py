"""The parts of a model, and a copy of them in which nothing refers to what holds it."""

import copy
from types import FunctionType

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from ecgsk._core.records import RecordArray


def skeleton(value, seen: dict[int, tuple[object, object]] | None = None):
    """Return a model of the same parts as far as a file can keep them.

    Estimators and what scikit-learn puts in them are made anew; all else is shared with the
    original, which stays as it is. Caches (``memory``) and generators that a further fit would
    draw from are left out. Requests for metadata, which refer to the estimator that they are of,
    refer to its name.

    Parameters
    ----------
    value : object
        A model or a part of one.
    seen : dict
        Parts that were copied before.
    """
    seen = {} if seen is None else seen
    if id(value) in seen:
        return seen[id(value)][1]
    _refuse(value)
    if type(value) in (list, tuple):
        made = type(value)(skeleton(part, seen) for part in value)
    elif type(value) is dict or type(value).__module__ == "sklearn.utils._bunch":
        made = type(value)()
        made.update({key: skeleton(part, seen) for key, part in value.items()})
    elif isinstance(value, np.random.Generator):
        made = None
    elif isinstance(value, pd.Index):
        made = np.asarray(value, dtype=object)
    elif isinstance(value, np.memmap):
        made = np.asarray(value)  # joblib's workers leave them behind
    elif _is_part(value):
        made = object.__new__(type(value))
        # Before its attributes are: a part may refer to the whole.
        seen[id(value)] = (value, made)
        for name, part in vars(value).items():
            if name == "_metadata_request":
                part = _without_owner(part, type(value).__name__)
            elif name == "memory":
                part = None
            else:
                part = skeleton(part, seen)
            vars(made)[name] = part
    else:
        return value
    seen[id(value)] = (value, made)
    return made


def parts(value, seen: set[int] | None = None):
    """Give a model and what is composed of estimators in it, each once.

    Parameters
    ----------
    value : object
        A model or a part of one.
    seen : set of int
        Ids of what was given before.
    """
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    inner = ()
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, (list, tuple)):
        inner = value
    elif _is_part(value):
        yield value
        inner = vars(value).values()
    for part in list(inner):
        yield from parts(part, seen)


def _refuse(value) -> None:
    if isinstance(value, (RecordArray, pd.DataFrame, pd.Series)):
        raise ValueError(
            f"it holds a {type(value).__name__} among its parameters; recordings and tables are "
            "not part of a model"
        )
    if isinstance(value, (FunctionType, type)) and "<" in value.__qualname__:
        raise ValueError(
            f"it holds {value.__qualname__}, which cannot be found again by its name: define it "
            "at the top of a module"
        )


def _is_part(value) -> bool:
    cls = type(value)
    if isinstance(value, type) or not hasattr(value, "__dict__"):
        return False
    special = ("__new__", "__reduce__", "__reduce_ex__")
    plain = all(getattr(cls, name) is getattr(object, name) for name in special)
    known = isinstance(value, BaseEstimator) or cls.__module__.startswith("sklearn.")
    # A net of skorch is an estimator to scikit-learn; who holds it says what is kept of it.
    return plain and known and not hasattr(cls, "get_params_for")


def _without_owner(request, owner: str):
    request = copy.copy(request)
    for name, part in list(vars(request).items()):
        if name == "owner":
            request.owner = owner
        elif hasattr(part, "owner"):
            part = copy.copy(part)
            part.owner = owner
            setattr(request, name, part)
    return request
