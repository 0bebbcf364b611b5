"""The parts of a model, and a copy of the model without references to its parents."""

import copy
from collections.abc import Iterable
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from ecgsk._core.records import RecordArray


def copy_for_saving(
    value, copies: dict[int, tuple[object, object]] | None = None, place: str | None = "It"
):
    """Return a copy of a model that a file can store; ``copies`` are parts already copied, by id.

    ``place`` names the value in errors; None is for what an estimator of ecgsk stores itself.

    Estimators and helper objects of scikit-learn are copied. All other objects are shared with the
    original, which does not change. Caches (``memory``) and random generators for a later fit
    become None. Metadata requests refer to their estimator by name.
    """
    copied: Any
    copies = {} if copies is None else copies
    if id(value) in copies:
        return copies[id(value)][1]
    _check_storable(value)
    if place is not None:
        _check_no_torch(value, place)
    if type(value) in (list, tuple):
        copied = type(value)(copy_for_saving(part, copies, place) for part in value)
    elif type(value) is dict or type(value).__module__ == "sklearn.utils._bunch":
        copied = type(value)()
        copied.update({key: copy_for_saving(part, copies, place) for key, part in value.items()})
    elif isinstance(value, np.random.Generator):
        copied = None
    elif isinstance(value, pd.Index):
        copied = np.asarray(value, dtype=object)
    elif isinstance(value, np.memmap):
        copied = np.asarray(value)  # arrays that joblib shared with its workers
    elif _is_copied(value):
        copied = object.__new__(type(value))
        # Add the copy before its attributes, which may refer to the whole model.
        copies[id(value)] = (value, copied)
        ours = "ecgsk" in _packages(value)
        for name, part in vars(value).items():
            if name == "_metadata_request":
                part = _with_owner_name(part, type(value).__name__)
            elif name == "memory":
                part = None
            elif ours and _is_device(part):
                part = str(part)
            else:
                hidden = ours and name.startswith("_")
                inner = None if hidden else f"{type(value).__name__}.{name}"
                part = copy_for_saving(part, copies, inner)
            vars(copied)[name] = part
    else:
        return value
    copies[id(value)] = (value, copied)
    return copied


def parts(value, seen: set[int] | None = None):
    """Yield a model and each estimator or helper object of scikit-learn in it, once."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    inner: Iterable = ()
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, (list, tuple)):
        inner = value
    elif isinstance(value, MethodType):  # such as that of a FunctionTransformer
        inner = (value.__self__,)
    elif isinstance(value, partial):
        inner = (value.func, value.args, value.keywords)
    elif _is_copied(value):
        yield value
        inner = vars(value).values()
    for part in list(inner):
        yield from parts(part, seen)


def _check_storable(value) -> None:
    if isinstance(value, (RecordArray, pd.DataFrame, pd.Series)):
        raise ValueError(
            f"a parameter is a {type(value).__name__}; recordings and tables cannot be stored in "
            "a model"
        )
    if isinstance(value, (FunctionType, type)) and "<" in value.__qualname__:
        raise ValueError(
            f"it contains {value.__qualname__}, which cannot be imported by its name; define it at "
            "the top level of a module"
        )


def _check_no_torch(value, place: str) -> None:
    packages = set() if isinstance(value, type) else _packages(value)
    if "torch" not in packages and ("skorch" not in packages or "ecgsk" in packages):
        return
    raise ValueError(
        f"{place} is a {type(value).__module__}.{type(value).__name__}; tensors and networks of "
        "torch can be stored in the classifiers of ecgsk only. Put your network into "
        "ecgsk.NetworkClassifier, which stores its weights"
    )


def _is_device(value) -> bool:
    # A torch.device; this package does not import torch.
    return (type(value).__module__, type(value).__name__) == ("torch", "device")


def _packages(value) -> set[str]:
    """Return the packages of a value's class and of its bases."""
    return {cls.__module__.partition(".")[0] for cls in type(value).__mro__}


def _is_copied(value) -> bool:
    cls = type(value)
    if isinstance(value, type) or not hasattr(value, "__dict__"):
        return False
    special = ("__new__", "__reduce__", "__reduce_ex__")
    plain = all(getattr(cls, name) is getattr(object, name) for name in special)
    known = isinstance(value, BaseEstimator) or cls.__module__.startswith("sklearn.")
    # A net of skorch is an estimator, too, but the estimator that has it stores it.
    return plain and known and not hasattr(cls, "get_params_for")


def _with_owner_name(request, owner: str):
    request = copy.copy(request)
    for name, part in list(vars(request).items()):
        if name == "owner":
            request.owner = owner
        elif hasattr(part, "owner"):
            part = copy.copy(part)
            part.owner = owner
            setattr(request, name, part)
    return request
