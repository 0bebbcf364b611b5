"""AUROC by subgroup of patients."""

from typing import TYPE_CHECKING

from ecgsk._core.public import public
from ecgsk.inspection._plots.display import ResultDisplay
from ecgsk.inspection._plots.forest import Row, check_table, draw_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

_COLUMNS = ("n_records", "n_positive", "AUROC", "AUROC low", "AUROC high")


@public("ecgsk.inspection")
class SubgroupsDisplay(ResultDisplay):
    """The AUROC of subgroups of patients, with intervals.

    Parameters
    ----------
    result : SubgroupEvaluation or DataFrame
        From `ecgsk.metrics.evaluate_subgroups`, or a table with a row for each subgroup, under
        (variable, subgroup), and columns ``n_records``, ``n_positive``, ``AUROC``, ``AUROC low``
        and ``AUROC high``. Rows whose AUROC is NaN are written without a point: they hold one class
        only or too few records.

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
    >>> import numpy as np
    >>> from ecgsk.inspection import SubgroupsDisplay
    >>> from ecgsk.metrics import evaluate_subgroups
    >>> random = np.random.default_rng(0)
    >>> y = random.random(200) < 0.3
    >>> by = {"sex": np.tile(["female", "male"], 100)}
    >>> evaluation = evaluate_subgroups(y, y + random.normal(size=200), by, random_state=0)
    >>> display = SubgroupsDisplay.from_result(evaluation)
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['sex', 'female', 'male']
    >>> matplotlib.pyplot.close(display.figure_)
    """

    def plot(self, ax: "Axes | None" = None, *, title: str | None = None) -> "Self":
        """Draw the subgroups.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            To draw on; None makes a figure.
        title : str or None, default=None
            Written above.

        Returns
        -------
        SubgroupsDisplay
            The display itself.

        Raises
        ------
        ValueError
            When the table has no rows, lacks a column, or has another index.
        """
        table = check_table(self.result, _COLUMNS, "ecgsk.metrics.evaluate_subgroups")
        if table.index.nlevels != 2:
            raise ValueError(
                f"table has an index of {table.index.nlevels} level; expected two, (variable, "
                "subgroup)."
            )
        rows, previous = [], None
        for (variable, subgroup), row in table.iterrows():
            if variable != previous:
                rows.append(Row(str(variable)))
            previous = variable
            one_class = row["n_positive"] in (0, row["n_records"])
            rows.append(
                Row(
                    str(subgroup),
                    (row["AUROC"], row["AUROC low"], row["AUROC high"]),
                    counts=f"{row['n_positive']:,.0f} / {row['n_records']:,.0f}",
                    unranked="one class" if one_class else "too few",
                )
            )
        self.ax_ = draw_rows(rows, ax, title, counts="positive / all")
        self.figure_ = self.ax_.figure
        return self
