"""Figures with intervals, one beneath the other."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from ecgsk._core.public import public
from ecgsk.inspection._plots.style import AGAINST, CURVE, FOR, GREY, INK, ZERO, bare

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _ROW = 6.2, 0.23  # inches
_SUBGROUP_COLUMNS = ("n_records", "n_positive", "AUROC", "AUROC low", "AUROC high")
_PREDICTOR_COLUMNS = ("AUROC", "low", "high", "direction")
_DIRECTIONS = {"higher": (FOR, "o"), "lower": (AGAINST, "s")}


class _Row(NamedTuple):
    """A row of the drawing; without values a heading."""

    name: str
    values: tuple[float, float, float] | None = None
    colour: str = CURVE
    marker: str = "o"
    counts: str = ""
    unranked: str = "not ranked"


@public("ecgsk.inspection")
def plot_subgroups(
    table: pd.DataFrame, *, title: str | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draw the AUROC of subgroups of patients, with their intervals.

    Parameters
    ----------
    table : DataFrame
        With a row for each subgroup, under (variable, subgroup), and columns ``n_records``,
        ``n_positive``, ``AUROC``, ``AUROC low`` and ``AUROC high``. Rows whose AUROC is NaN are
        written without a point: they hold one class only.
    title : str or None, default=None
        Written above.
    ax : matplotlib Axes or None, default=None
        To draw on; None makes a figure.

    Returns
    -------
    matplotlib Axes
        With the drawing, AUROC along x.

    Raises
    ------
    ValueError
        When ``table`` has no rows, lacks a column, or has another index.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pandas as pd
    >>> from ecgsk.inspection import plot_subgroups
    >>> table = pd.DataFrame(
    ...     {"n_records": [120, 80], "n_positive": [20, 9], "AUROC": [0.86, 0.81],
    ...      "AUROC low": [0.79, 0.68], "AUROC high": [0.92, 0.92]},
    ...     index=pd.MultiIndex.from_tuples([("sex", "female"), ("sex", "male")]),
    ... )
    >>> ax = plot_subgroups(table)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['sex', 'female', 'male']
    >>> matplotlib.pyplot.close(ax.figure)
    """
    _check(table, _SUBGROUP_COLUMNS, "ecgsk.metrics.evaluate_subgroups")
    if table.index.nlevels != 2:
        raise ValueError(
            f"table has an index of {table.index.nlevels} level; expected two, (variable, "
            "subgroup)."
        )
    rows, previous = [], None
    for (variable, subgroup), row in table.iterrows():
        if variable != previous:
            rows.append(_Row(str(variable)))
        previous = variable
        one_class = row["n_positive"] in (0, row["n_records"])
        rows.append(
            _Row(
                str(subgroup),
                tuple(float(row[name]) for name in ("AUROC", "AUROC low", "AUROC high")),
                counts=f"{row['n_positive']:,.0f} / {row['n_records']:,.0f}",
                unranked="one class" if one_class else "too few",
            )
        )
    return _draw(rows, ax, title, counts="positive / all")


@public("ecgsk.inspection")
def plot_predictors(
    table: pd.DataFrame,
    *,
    n_predictors: int = 15,
    title: str | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the AUROC that predictors have by themselves, with their intervals.

    Parameters
    ----------
    table : DataFrame
        With a row for each predictor, under its name, the best first, and columns ``AUROC``,
        ``low``, ``high`` and ``direction`` ("higher" or "lower" values speak for the class).
    n_predictors : int, default=15
        How many rows to draw, from the top of ``table``.
    title : str or None, default=None
        Written above.
    ax : matplotlib Axes or None, default=None
        To draw on; None makes a figure.

    Returns
    -------
    matplotlib Axes
        With the drawing, AUROC along x.

    Raises
    ------
    ValueError
        When ``table`` has no rows or lacks a column, or ``n_predictors`` is below 1.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pandas as pd
    >>> from ecgsk.inspection import plot_predictors
    >>> table = pd.DataFrame(
    ...     {"AUROC": [0.8, 0.7], "low": [0.75, 0.64], "high": [0.84, 0.76],
    ...      "direction": ["higher", "lower"]},
    ...     index=["LBBB", "SR"],
    ... )
    >>> ax = plot_predictors(table)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['LBBB', 'SR']
    >>> matplotlib.pyplot.close(ax.figure)
    """
    _check(table, _PREDICTOR_COLUMNS, "ecgsk.tabular.screen_predictors")
    if n_predictors < 1:
        raise ValueError(f"n_predictors={n_predictors!r} must be at least 1.")
    rows = [
        _Row(
            str(name),
            tuple(float(row[column]) for column in ("AUROC", "low", "high")),
            *_DIRECTIONS.get(row["direction"], (INK, "o")),
        )
        for name, row in table.iloc[:n_predictors].iterrows()
    ]
    ax = _draw(rows, ax, title)
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=4, lw=1.2,
               label=f"{direction} values speak for it")
        for direction, (colour, marker) in _DIRECTIONS.items()
    ]  # fmt: skip
    ax.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.38 / _height(ax)), ncols=2,
        frameon=False, fontsize=7,
    )  # fmt: skip
    return ax


def _check(table, columns, source) -> None:
    lacking = [name for name in columns if name not in getattr(table, "columns", ())]
    if lacking or not len(table):
        raise ValueError(
            f"table is a {type(table).__name__} of {len(table)} rows that lacks "
            f"{', '.join(lacking) or 'rows'}; expected what {source} returns."
        )


def _height(ax) -> float:
    """Return the height of axes in inches."""
    return ax.get_window_extent().height / ax.figure.dpi


def _draw(rows, ax, title, counts: str = ""):
    if ax is None:
        ax = _new_axes(rows, counts, title)
    known = np.array([row.values for row in rows if row.values], dtype=float)
    known = known[np.isfinite(known)]
    low, high = min(0.5, known.min(initial=0.5)), known.max(initial=0.6)
    margin = 0.04 * (high - low)
    ax.set_xlim(low - margin, high + margin)
    ax.axvline(0.5, **ZERO)
    # Columns of text stand beside the axes, in inches from their edge.
    width = ax.get_window_extent().width / ax.figure.dpi
    columns = (1 + 0.1 / width, 1 + (1.05 if counts else 0.1) / width)
    style = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": 7}
    for place, row in enumerate(rows):
        if row.values is None:
            continue
        value, *ends = row.values
        ax.text(columns[0], place, row.counts, **style)
        if not np.isfinite(value):
            ax.text(columns[1], place, row.unranked, color=GREY, **style)
            continue
        text = f"{value:.2f}"
        if np.isfinite(ends).all():
            ax.plot(ends, [place, place], color=row.colour, lw=1.2, zorder=2)
            text += f" ({ends[0]:.2f} to {ends[1]:.2f})"
        ax.plot(value, place, row.marker, color=row.colour, markersize=4, zorder=3)
        ax.text(columns[1], place, text, **style)
    for x, heading in zip(columns, (counts, "AUROC (interval)"), strict=True):
        ax.annotate(
            heading, (x, 1), (0, 5), xycoords="axes fraction", textcoords="offset points",
            va="center", fontsize=7, color=GREY,
        )  # fmt: skip
    ax.set_yticks(range(len(rows)), [row.name for row in rows])
    for label, row in zip(ax.get_yticklabels(), rows, strict=True):
        label.set_fontweight("normal" if row.values else "bold")
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel("AUROC", fontsize=8)
    bare(ax, "top", "right", "left")
    ax.tick_params(axis="y", length=0, labelsize=8)
    if title is not None:
        ax.set_title(title, loc="left", fontsize=9, fontweight="bold", pad=20)
    return ax


def _new_axes(rows, counts: str, title):
    """Return axes on a figure with room for the texts, margins of the same inches always."""
    import matplotlib.pyplot as plt

    # At 8 points a letter is about so wide.
    left = min(max(0.9, 0.2 + 0.072 * max(len(row.name) for row in rows)), 2.6)
    right, n_rows = 2.35 if counts else 1.4, len(rows)
    bottom, top = 0.45 if counts else 0.7, 0.25 if title is None else 0.5
    width, height = _WIDTH, _ROW * n_rows + bottom + top
    figure = plt.figure(figsize=(width, height))
    return figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, _ROW * n_rows / height)
    )
