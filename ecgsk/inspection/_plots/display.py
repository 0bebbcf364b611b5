"""What the displays of results share."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class ResultDisplay:
    """A display whose constructor takes one result; subclasses ``plot`` it."""

    plot: "Callable[..., Self]"

    def __init__(self, result):
        self.result = result

    @classmethod
    def from_result(cls, result, **plot_params) -> "Self":
        """Draw a result.

        Parameters
        ----------
        result : object
            As the class takes it.
        **plot_params
            As in `plot`.

        Returns
        -------
        display
            The display, drawn.
        """
        return cls(result).plot(**plot_params)
