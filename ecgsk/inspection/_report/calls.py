"""Calls that are recorded as text, so that each result can be made again."""

import numpy as np


class Name(str):
    """A variable of the report, as an argument of a call."""

    def __repr__(self) -> str:
        return str(self)


class Calls:
    """Calls functions on the report's variables, and keeps the results by the text of the call."""

    def __init__(self, **variables):
        self.variables = variables
        self.results: dict[str, object] = {}

    def __call__(self, function, *arguments, **keywords) -> tuple[object, str]:
        """Return the result of a function, and the call as text.

        Arguments that are a `Name` are looked up; those whose variable is None are left out of
        the call if they are keywords.
        """
        keywords = {
            key: value
            for key, value in keywords.items()
            if not (isinstance(value, Name) and self.variables[value] is None)
        }
        parts = [repr(argument) for argument in arguments]
        parts += [f"{key}={value!r}" for key, value in keywords.items()]
        # A classmethod has the class that it is called on.
        owner = getattr(function, "__self__", None)
        name = function.__name__ if owner is None else f"{owner.__name__}.{function.__name__}"
        text = f"{name}({', '.join(parts)})"
        result = function(
            *(self._value(argument) for argument in arguments),
            **{key: self._value(value) for key, value in keywords.items()},
        )
        self.results[text] = result
        return result, text

    def _value(self, argument):
        return self.variables[argument] if isinstance(argument, Name) else argument


def as_number(value) -> float:
    """Return a NumPy number as Python's, so that a call reads as one would type it."""
    return value.item() if isinstance(value, np.generic) else value
