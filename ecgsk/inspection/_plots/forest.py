"""Values with their intervals, one row for each."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from ecgsk.inspection._plots.style import CURVE, GREY, ZERO, bare

_WIDTH, _ROW = 6.2, 0.23  # inches


class Row(NamedTuple):
    """A row of the drawing; without values a heading."""

    name: str
    values: tuple[float, float, float] | None = None
    color: str = CURVE
    marker: str = "o"
    counts: str = ""
    unranked: str = "not ranked"


def check_table(result, columns, source) -> pd.DataFrame:
    """Return the table of a result; raise unless it has rows and these columns."""
    table = getattr(result, "table", result)
    lacking = [name for name in columns if name not in getattr(table, "columns", ())]
    if lacking or not len(table):
        raise ValueError(
            f"table is a {type(table).__name__} of {len(table)} rows that lacks "
            f"{', '.join(lacking) or 'rows'}; expected what {source} returns."
        )
    return table


def draw_rows(rows: list[Row], ax, title, counts: str = ""):
    """Draw rows on axes, or on new ones, and return the axes."""
    if ax is None:
        ax = _new_axes(rows, counts, title)
    known = np.array([row.values for row in rows if row.values], dtype=float)
    known = known[np.isfinite(known)]
    low, high = min(0.5, known.min(initial=0.5)), known.max(initial=0.6)
    margin = 0.04 * (high - low)
    ax.set_xlim(low - margin, high + margin)
    ax.axvline(0.5, **ZERO)
    # Columns of text are to the right of the axes, in inches from their edge.
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
            ax.plot(ends, [place, place], color=row.color, lw=1.2, zorder=2)
            text += f" ({ends[0]:.2f} to {ends[1]:.2f})"
        ax.plot(value, place, row.marker, color=row.color, markersize=4, zorder=3)
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
