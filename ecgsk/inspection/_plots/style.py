"""Colors that print and that the color-blind can tell apart, and what else displays share."""

from typing import Any

INK, GREY = "#1a1a1a", "#808080"
CURVE, BAND, DENSITY = "#1f5a99", "#a9c6e3", "#b8b8b8"
# Warm supports a class and blue speaks against it; in gray print warm is the lighter one.
FOR, AGAINST = "#c8401e", "#1f5a99"
ZERO: dict[str, Any] = {"color": GREY, "linewidth": 0.6, "linestyle": (0, (4, 3)), "zorder": 1}
# Models in one panel differ in dashes as well as in color.
SERIES = (
    (CURVE, "-"),
    (FOR, (0, (5, 1.5))),
    ("#2b8a6b", (0, (1.2, 1.2))),
    ("#6a6a6a", (0, (5, 1.5, 1.2, 1.5))),
)
MINUS = "\N{MINUS SIGN}"


def drawing_area(ax, size):
    """Return the figure for several panels, or a subfigure in the place of axes.

    Raises ValueError when the axes are not part of a grid.
    """
    if ax is None:
        import matplotlib.pyplot as plt

        return plt.figure(figsize=size)
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError(
            "ax is not part of a grid, so that its place cannot be divided into panels. Give axes "
            "of plt.subplots() or figure.add_subplot(), or None for a new figure."
        )
    ax.set_axis_off()
    return ax.figure.add_subfigure(place)


def bare(ax, *sides) -> None:
    """Leave out spines, and thin the others and the ticks."""
    for side in sides:
        ax.spines[side].set_visible(False)
    ax.tick_params(labelsize=7, length=2.5, width=0.6)
    for spine in ax.spines.values():
        spine.set_linewidth(0.6)


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign, a minus of the width of the plus."""
    text = f"{value:+.{digits}f}"
    return text.replace("-", MINUS) if float(text) else text.lstrip("+-")
