"""Public names: the module from which users import a class or a function."""

from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def public(module: str) -> Callable[[_T], _T]:
    """Return a decorator that sets ``__module__`` to a public package such as "ecgsk.metrics".

    Pickles and saved models store this name. They stay readable when the private module that
    defines the class or function is renamed.
    """

    def set_module(thing: _T) -> _T:
        thing.__module__ = module
        return thing

    return set_module
