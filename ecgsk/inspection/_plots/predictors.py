"""AUROC of single predictors."""

from typing import TYPE_CHECKING

from ecgsk._core.public import public
from ecgsk.inspection._plots.display import ResultDisplay
from ecgsk.inspection._plots.forest import Row, check_table, draw_rows
from ecgsk.inspection._plots.style import AGAINST, FOR, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

_COLUMNS = ("AUROC", "low", "high", "direction")
_DIRECTIONS = {"higher": (FOR, "o"), "lower": (AGAINST, "s")}


@public("ecgsk.inspection")
class PredictorsDisplay(ResultDisplay):
    """The AUROC that predictors have by themselves, with intervals.

    Parameters
    ----------
    result : PredictorScreening or DataFrame
        From `ecgsk.screen_predictors`, or a table with a row for each predictor, under its name,
        the best first, and columns ``AUROC``, ``low``, ``high`` and ``direction`` ("higher" or
        "lower" values support the class).

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the drawing, AUROC along x.
    figure_ : matplotlib Figure
        That holds the axes.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pandas as pd
    >>> from ecgsk import screen_predictors
    >>> from ecgsk.inspection import PredictorsDisplay
    >>> table = pd.DataFrame({"LBBB": [0.9, 0.2, 0.8, 0.3], "SR": [0.1, 0.3, 0.4, 0.2]})
    >>> screening = screen_predictors(table, [1, 0, 1, 0], random_state=0)
    >>> display = PredictorsDisplay.from_result(screening)
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['LBBB', 'SR']
    >>> matplotlib.pyplot.close(display.figure_)
    """

    def plot(
        self, ax: "Axes | None" = None, *, n_predictors: int = 15, title: str | None = None
    ) -> "Self":
        """Draw the predictors.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            To draw on; None makes a figure.
        n_predictors : int, default=15
            How many rows to draw, from the top of the table.
        title : str or None, default=None
            Written above.

        Returns
        -------
        PredictorsDisplay
            The display itself.

        Raises
        ------
        ValueError
            When the table has no rows or lacks a column, or ``n_predictors`` is below 1.
        """
        from matplotlib.lines import Line2D

        table = check_table(self.result, _COLUMNS, "ecgsk.screen_predictors")
        if n_predictors < 1:
            raise ValueError(f"n_predictors={n_predictors!r} must be at least 1.")
        rows = [
            Row(
                str(name),
                (row["AUROC"], row["low"], row["high"]),
                *_DIRECTIONS.get(row["direction"], (INK, "o")),
            )
            for name, row in table.iloc[:n_predictors].iterrows()
        ]
        ax = draw_rows(rows, ax, title)

        height = ax.get_window_extent().height / ax.figure.dpi
        handles = [
            Line2D([], [], color=color, marker=marker, markersize=4, lw=1.2,
                   label=f"{direction} values support it")
            for direction, (color, marker) in _DIRECTIONS.items()
        ]  # fmt: skip
        ax.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.38 / height), ncols=2,
            frameon=False, fontsize=7,
        )  # fmt: skip
        self.ax_, self.figure_ = ax, ax.figure
        return self
