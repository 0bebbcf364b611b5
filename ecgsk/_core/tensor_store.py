"""How objects know that they are written to, or read from, a file that runs no code.

`ecgsk.save` and `ecgsk.load` open the store; ``__getstate__`` and ``__setstate__`` of objects that
hold more than plain values use it. It is below all packages, because estimators need it and the
files need estimators.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np


class TensorStore:
    """Tensors of networks by "group/tensor", kept separately from the state that holds them."""

    def __init__(self, tensors: dict[str, np.ndarray] | None = None):
        self.groups: dict[str, dict[str, np.ndarray]] = {}
        for name, value in (tensors or {}).items():
            group, _, tensor = name.partition("/")
            self.groups.setdefault(group, {})[tensor] = value
        self._kept: dict[int, tuple[object, str]] = {}
        self._built: dict[str, tuple[object, object]] = {}

    def put(self, owner, tensors: Callable[[], dict[str, np.ndarray]]) -> str:
        """Keep the tensors of an owner once, and return the name of their group."""
        if id(owner) not in self._kept:
            group = str(len(self.groups))
            self.groups[group] = tensors()
            self._kept[id(owner)] = (owner, group)  # the owner stays, or its id might not
        return self._kept[id(owner)][1]

    def build(self, group: str, key, build: Callable[[dict[str, np.ndarray]], object]):
        """Return what ``build`` makes of a group's tensors, once; another ``key`` is an error."""
        if group not in self.groups:
            raise ValueError(f"the tensors of network {group!r} are not in the file")
        if group not in self._built:
            self._built[group] = (key, build(self.groups[group]))
        if self._built[group][0] != key:
            raise ValueError(f"the tensors of network {group!r} are asked for in two ways")
        return self._built[group][1]

    def not_built(self) -> list[str]:
        """Return the groups that no object used."""
        return sorted(set(self.groups) - set(self._built))

    def flat(self) -> dict[str, np.ndarray]:
        """Return all tensors by ``"group/tensor"``."""
        return {
            f"{group}/{name}": value
            for group, tensors in self.groups.items()
            for name, value in tensors.items()
        }


_SAVING: ContextVar[TensorStore | None] = ContextVar("ecgsk_saving", default=None)
_LOADING: ContextVar[TensorStore | None] = ContextVar("ecgsk_loading", default=None)


def being_saved() -> TensorStore | None:
    """Return the store while `ecgsk.save` collects states, which then have to be plain values."""
    return _SAVING.get()


def being_loaded() -> TensorStore | None:
    """Return the store while `ecgsk.load` gives states back."""
    return _LOADING.get()


@contextmanager
def saving(store: TensorStore) -> Iterator[TensorStore]:
    """Let `being_saved` return a store inside the block."""
    token = _SAVING.set(store)
    try:
        yield store
    finally:
        _SAVING.reset(token)


@contextmanager
def loading(store: TensorStore) -> Iterator[TensorStore]:
    """Let `being_loaded` return a store inside the block."""
    token = _LOADING.set(store)
    try:
        yield store
    finally:
        _LOADING.reset(token)
