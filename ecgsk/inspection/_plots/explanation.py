"""Contributions to one patient's probability."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

from ecgsk._core.public import public
from ecgsk.inspection._ebm.local import check_explanation, explain_record, show_value
from ecgsk.inspection._plots.display import ResultDisplay
from ecgsk.inspection._plots.style import AGAINST, FOR, GREY, INK, ZERO, bare, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

_WIDTH, _ROW, _AROUND = 6.4, 0.27, 1.15  # inches
_PROBABILITIES = np.array(
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4]
    + [0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999]
)


@public("ecgsk.inspection")
class ExplanationDisplay(ResultDisplay):
    """The way from the model's average to one patient's probability.

    From the top, each bar starts where the one above ended: red bars lead to the right and support
    the class, blue ones lead to the left and speak against it. Thin lines are the spread between
    the model's bagged copies. Log-odds are written beneath and their probabilities above.

    Parameters
    ----------
    result : RecordExplanation
        From `explain_record` or `group_explanation`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the drawing, log-odds along x.
    figure_ : matplotlib Figure
        That holds the axes.

    Notes
    -----
    "average" is the model's intercept, the mean of its log-odds over the training records. Where a
    condition is rare, the probability of this intercept is below its prevalence: most records have
    low log-odds, and few have high ones.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from interpret.glassbox import ExplainableBoostingClassifier
    >>> from ecgsk.inspection import ExplanationDisplay
    >>> X = np.random.default_rng(0).random((300, 2))
    >>> ebm = ExplainableBoostingClassifier(
    ...     ["LBBB", "SR"], interactions=0, outer_bags=3, max_rounds=30, n_jobs=1, random_state=0
    ... ).fit(X, X[:, 0] > 0.6)
    >>> display = ExplanationDisplay.from_estimator(ebm, [0.9, 0.1])
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['average', 'LBBB = 0.9', 'SR = 0.1', 'this patient']
    >>> matplotlib.pyplot.close(display.figure_)
    """

    @classmethod
    def from_estimator(cls, ebm, row, **plot_params) -> "Self":
        """Explain one patient's probability and draw it.

        Parameters
        ----------
        ebm, row : object
            As in `explain_record`.
        **plot_params
            As in `plot`.

        Returns
        -------
        ExplanationDisplay
            The display, drawn.
        """
        return cls(explain_record(ebm, row)).plot(**plot_params)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        n_terms: int = 10,
        value_format: Callable[[str, object], str] | None = None,
        title: str | None = None,
    ) -> "Self":
        """Draw the explanation.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            To draw on; None makes a figure.
        n_terms : int, default=10
            How many terms to draw, those with the largest contributions; the rest is one bar.
        value_format : callable or None, default=None
            ``value_format(term, value)`` returns the text of a predictor's value, for example to
            show logits as probabilities. None writes three digits.
        title : str or None, default=None
            Written above.

        Returns
        -------
        ExplanationDisplay
            The display itself.

        Raises
        ------
        TypeError
            When ``result`` does not come from `explain_record` or `group_explanation`.
        ValueError
            When ``n_terms`` is below 1.
        """
        explanation = self.result
        check_explanation(explanation)
        if n_terms < 1:
            raise ValueError(f"n_terms={n_terms!r} must be at least 1.")
        bars = _bars(
            explanation.table, n_terms, value_format or (lambda term, value: show_value(value))
        )
        intercept = explanation.intercept
        if ax is None:
            import matplotlib.pyplot as plt

            size = (_WIDTH, _ROW * (len(bars) + 2) + _AROUND)
            ax = plt.figure(figsize=size, layout="constrained").add_subplot()

        steps = np.array([bar[1] for bar in bars])
        ends = intercept + np.cumsum(steps)
        starts = ends - steps
        places = np.arange(1, len(bars) + 1)
        colors = [FOR if step > 0 else AGAINST for step in steps]
        ax.barh(places, steps, left=starts, height=0.62, color=colors, zorder=2)
        for place, start, end, (_, step, low, high) in zip(places, starts, ends, bars, strict=True):
            if np.isfinite(low) and high > low:
                ax.plot([start + low, start + high], [place, place], color=INK, lw=0.8, zorder=3)
            # The next bar starts where this one ended.
            ax.plot([end, end], [place - 0.31, place + 1.31], color=GREY, lw=0.6, zorder=1)
            reach = [start, end, *(start + np.array([low, high]))]
            edge, side = (np.nanmax(reach), 1) if step > 0 else (np.nanmin(reach), -1)
            ax.annotate(
                signed(step), (edge, place), (3 * side, 0), textcoords="offset points",
                ha="left" if side > 0 else "right", va="center", fontsize=7, zorder=4,
            )  # fmt: skip
        last = len(bars) + 1
        ax.axvline(intercept, **ZERO)
        ax.plot([intercept, intercept], [-0.31, 1.31], color=GREY, lw=0.6, zorder=1)
        points = ((0, intercept, GREY), (last, ends[-1], INK))
        for row, value, color in points:
            ax.plot(value, row, "D", color=color, markersize=4.5, zorder=4)
            side = 1 if value == min(point[1] for point in points) else -1
            ax.annotate(
                _percent(expit(value)), (value, row), (6 * side, 0), textcoords="offset points",
                ha="left" if side > 0 else "right", va="center", fontsize=8, fontweight="bold",
                zorder=4,
            )  # fmt: skip
        ax.set_yticks(range(last + 1), ["average", *(bar[0] for bar in bars), "this patient"])
        ax.set_ylim(last + 0.6, -0.6)
        # Bars would keep the axis from reaching beyond where they start.
        ax.use_sticky_edges = False
        ax.margins(x=0.13)
        of_class = explanation.positive_class
        # With 0 and 1 or False and True it is clear which class is meant.
        name = f" of {of_class}" if isinstance(of_class, str) else ""
        ax.set_xlabel(f"log-odds{name}", fontsize=8)
        bare(ax, "right", "left")
        ax.tick_params(axis="y", length=0, labelsize=8)
        _draw_probabilities(ax)
        if title is not None:
            ax.set_title(title, loc="left", fontsize=9, fontweight="bold")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _bars(table, n_terms, value_format):
    """Return (text, contribution, low, high) from the top."""
    shown, rest = table.iloc[:n_terms], table.iloc[n_terms:]
    if len(rest) == 1:
        # To name it takes no more room than "1 other term".
        shown, rest = table, rest.iloc[:0]
    bars = [
        (
            f"{term} = {value_format(term, row['value'])}",
            row["contribution"],
            row["low"],
            row["high"],
        )
        for term, row in shown.iterrows()
    ]
    if len(rest):
        # The spread of the sum does not follow from the spreads of the terms.
        total = float(rest["contribution"].sum())
        bars.append((f"{len(rest)} other terms", total, np.nan, np.nan))
    return [
        (text, float(step), low - step + step, high - step + step) for text, step, low, high in bars
    ]


def _percent(probability: float) -> str:
    if probability < 0.001 or probability > 0.999:
        return "< 0.1 %" if probability < 0.001 else "> 99.9 %"
    return f"{100 * probability:.1f} %"


def _draw_probabilities(ax) -> None:
    """Write the probabilities that the log-odds mean along the upper edge."""
    low, high = ax.get_xlim()
    places = logit(_PROBABILITIES)
    inside = (places > low) & (places < high)
    chosen: list[float] = []
    apart = (high - low) / 9
    # From the middle, so that 50 % stays where there is no room for all.
    for place in sorted(places[inside], key=abs):
        if all(abs(place - other) >= apart for other in chosen):
            chosen.append(place)
    if len(chosen) < 2:
        chosen = list(np.linspace(low, high, 5)[1:-1])
    upper = ax.secondary_xaxis("top")
    upper.set_xticks(chosen, [f"{100 * expit(place):.3g} %" for place in chosen])
    upper.set_xlabel("probability", fontsize=8)
    upper.tick_params(labelsize=7, length=2.5, width=0.6)
