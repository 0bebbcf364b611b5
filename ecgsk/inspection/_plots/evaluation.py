"""Discrimination, calibration and net benefit of probabilities."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from ecgsk._core.metric_inputs import check_probabilities, check_target
from ecgsk._core.public import public
from ecgsk.inspection._class_probability import ClassProbability
from ecgsk.inspection._plots.style import GREY, INK, SERIES, ZERO, bare, drawing_area
from ecgsk.metrics import calibration_table, decision_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

_WIDTH, _PANEL, _LINE, _GAP = 7.2, 2.6, 0.145, 0.42  # inches
_HISTOGRAM_BINS = 20


@public("ecgsk.inspection")
class EvaluationDisplay:
    """ROC, precision-recall, calibration and decision curves of up to four models.

    Calibration has one point for each bin of predictions, with its interval where there is one
    model, and beneath it the distribution of the predictions. The decision curve is the net benefit
    of treating those above a threshold, compared with that of treating all and none.

    Parameters
    ----------
    y_true : array-like of shape (n_records,)
        0 and 1, or bool.
    y_prob : array-like of shape (n_records,), or mapping of str to array-like
        Probabilities of 1; of several models by their names.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes, of shape (5,)
        ROC, precision-recall, calibration, its histogram, decision.
    figure_ : matplotlib Figure
        That holds the axes.

    References
    ----------
    Vickers AJ and Elkin EB, "Decision curve analysis", Medical Decision Making 26, 2006.

    Van Calster B et al., "Calibration: the Achilles heel of predictive analytics", BMC Medicine
    17, 2019.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from ecgsk.inspection import EvaluationDisplay
    >>> p = np.random.default_rng(0).random(400)
    >>> y = np.random.default_rng(1).random(400) < p
    >>> display = EvaluationDisplay.from_predictions(y, p, threshold=0.3)
    >>> [ax.get_ylabel() for ax in display.axes_]
    ['Sensitivity', 'Precision', 'Observed share', 'Records', 'Net benefit']
    >>> matplotlib.pyplot.close(display.figure_)
    """

    def __init__(self, y_true, y_prob):
        self.y_true = y_true
        self.y_prob = y_prob

    @classmethod
    def from_estimator(cls, estimator, X, y, **plot_params) -> "Self":
        """Draw the curves of a fitted binary classifier.

        Parameters
        ----------
        estimator : fitted classifier with ``predict_proba``
            Of two classes, 0 and 1.
        X : array-like of shape (n_records, ...)
            Records that the estimator was not fitted on.
        y : array-like of shape (n_records,)
            0 and 1, or bool.
        **plot_params
            As in `plot`.

        Returns
        -------
        EvaluationDisplay
            The display, drawn.
        """
        return cls(y, ClassProbability(estimator)(X)).plot(**plot_params)

    @classmethod
    def from_predictions(cls, y_true, y_prob, **plot_params) -> "Self":
        """Draw the curves of probabilities.

        Parameters
        ----------
        y_true, y_prob : object
            As in `EvaluationDisplay`.
        **plot_params
            As in `plot`.

        Returns
        -------
        EvaluationDisplay
            The display, drawn.
        """
        return cls(y_true, y_prob).plot(**plot_params)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        threshold: float | Mapping[str, float] | None = None,
        n_bins: int = 10,
        title: str | None = None,
    ) -> "Self":
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes of a grid, in whose place to draw; None makes a figure.
        threshold : float, mapping of str to float, or None, default=None
            Probability from which on a record counts as positive, of each model where they differ.
            It is marked on all panels; choose it on other records than these.
        n_bins : int, default=10
            Bins of the calibration.
        title : str or None, default=None
            Written above.

        Returns
        -------
        EvaluationDisplay
            The display itself.

        Raises
        ------
        ValueError
            When lengths differ, ``y_true`` holds other values than 0 and 1 or one class only,
            values are not probabilities, a threshold is not between 0 and 1, or there are more than
            four models.
        """
        y, models = _check(self.y_true, self.y_prob)
        thresholds = _thresholds(threshold, models)
        panels = _panels(ax, len(models), bool(thresholds), title)
        roc, ranking, calibration, histogram, decision = panels
        for (name, p), (color, dashes) in zip(models.items(), SERIES, strict=False):
            line = {"color": color, "linestyle": dashes, "linewidth": 1.3, "zorder": 3}
            limit = thresholds.get(name)
            _draw_ranking(roc, ranking, y, p, name, limit, line)
            _draw_calibration(calibration, histogram, y, p, n_bins, limit, line, len(models) == 1)
            curve = decision_curve(y, p)
            decision.plot(curve["threshold"], curve["net_benefit"], label=name or "model", **line)
            if limit is not None:
                decision.axvline(limit, color=color, linewidth=0.7, linestyle=":", zorder=2)
        if thresholds and len(models) > 1:
            same = len(set(thresholds.values())) == 1
            note = f"from {next(iter(thresholds.values())):.2g}" if same else "at the thresholds"
            for panel in (roc, ranking):
                panel.plot([], [], "o", color=GREY, markersize=5, label=note)
        _finish_ranking(roc, ranking, y.mean())
        _finish_calibration(calibration, histogram)
        _finish_decision(decision, curve, y.mean())
        for letter, panel in zip("abcd", (roc, ranking, calibration, decision), strict=True):
            panel.set_title(letter, loc="left", fontsize=10, fontweight="bold")
        self.axes_, self.figure_ = np.array(panels, dtype=object), roc.get_figure(root=True)
        return self


def _check(y_true, y_prob):
    """Return the truth as booleans, and the models' probabilities by their names."""
    y = check_target(y_true)
    if y.all() or not y.any():
        raise ValueError("y_true holds one class only: there is nothing to rank. Give both.")
    models = y_prob if isinstance(y_prob, Mapping) else {"": y_prob}
    if not 1 <= len(models) <= len(SERIES):
        raise ValueError(
            f"y_prob holds {len(models)} models; expected 1 to {len(SERIES)}. Draw the others on "
            "a figure of their own."
        )
    return y, {
        str(name): check_probabilities(p, len(y), f"y_prob[{name!r}]" if name else "y_prob")
        for name, p in models.items()
    }


def _thresholds(threshold, models) -> dict[str, float]:
    if threshold is None:
        return {}
    given = threshold if isinstance(threshold, Mapping) else dict.fromkeys(models, threshold)
    for name, value in given.items():
        if name not in models or not 0 <= value <= 1:
            raise ValueError(
                f"threshold={threshold!r} is not allowed; expected a probability from 0 to 1, or "
                f"one for each of {', '.join(models) or 'the models'}."
            )
    return dict(given)


def _panels(ax, n_models: int, marked: bool, title):
    """Return the axes, with room beneath for legends, which would cover curves inside."""
    lines = n_models + 1 + marked
    # Treating all and none have entries of their own in the lower legend, of two columns.
    upper, lower = _GAP + _LINE * lines, _GAP + _LINE * -(-(n_models + 2) // 2)
    top, between, bottom = 0.5 if title else 0.28, upper + 0.32, lower + 0.1
    height = top + _PANEL + between + _PANEL + bottom
    figure = drawing_area(ax, (_WIDTH, height))
    # On a figure of another size the panels change and the texts do not.
    height = figure.bbox.height / figure.dpi
    panel = (height - top - between - bottom) / 2
    grid = figure.add_gridspec(
        2, 2, left=0.085, right=0.985, bottom=bottom / height, top=1 - top / height,
        wspace=0.24, hspace=between / panel,
    )  # fmt: skip
    inner = grid[1, 0].subgridspec(2, 1, height_ratios=[4, 1], hspace=0.07)
    panels = [figure.add_subplot(cell) for cell in (grid[0, 0], grid[0, 1], inner[0])]
    panels.append(figure.add_subplot(inner[1], sharex=panels[2]))
    panels.append(figure.add_subplot(grid[1, 1]))
    for panel in panels:
        bare(panel, "top", "right")
    if title is not None:
        figure.suptitle(title, y=1 - 0.1 / height, va="top", fontsize=10, fontweight="bold")
    return panels


def _draw_ranking(roc, ranking, y, p, name, limit, line) -> None:
    prefix = f"{name}, " if name else ""
    false, true, _ = roc_curve(y, p)
    roc.plot(false, true, label=f"{prefix}AUROC {roc_auc_score(y, p):.3f}", **line)
    precision, recall, _ = precision_recall_curve(y, p)
    average = average_precision_score(y, p)
    # Steps: between two thresholds there is no precision in between.
    label = f"{prefix}average precision {average:.3f}"
    ranking.step(recall, precision, where="post", label=label, **line)
    if limit is None:
        return
    called = p >= limit
    sensitivity, specificity = called[y].mean(), 1 - called[~y].mean()
    precision = y[called].mean() if called.any() else np.nan
    # For several models these numbers would fill the page; evaluate_binary lists them.
    labels = (
        ("_", "_")
        if name
        else (
            f"from {limit:.2g}: sensitivity {sensitivity:.2f}, specificity {specificity:.2f}",
            f"from {limit:.2g}: precision {precision:.2f}",
        )
    )
    mark = {"color": line["color"], "markersize": 6, "zorder": 4, "markeredgecolor": "white"}
    roc.plot(1 - specificity, sensitivity, "o", label=labels[0], **mark)
    ranking.plot(sensitivity, precision, "o", label=labels[1], **mark)


def _draw_calibration(ax, histogram, y, p, n_bins, limit, line, alone: bool) -> None:
    table = calibration_table(y, p, n_bins=n_bins)
    observed = table["observed"]
    ax.plot(table["predicted"], observed, marker="o", markersize=4, **line)
    if alone:
        reach = np.maximum([observed - table["low"], table["high"] - observed], 0)
        ax.errorbar(
            table["predicted"], observed, reach, fmt="none", ecolor=line["color"], elinewidth=0.8
        )
    edges = np.linspace(0, 1, _HISTOGRAM_BINS + 1)
    counts, _ = np.histogram(p, edges)
    if alone:
        histogram.bar(edges[:-1], counts, np.diff(edges), align="edge", color="#b8b8b8")
    else:
        histogram.stairs(counts, edges, **{**line, "linewidth": 0.9})
    if limit is not None:
        for panel in (ax, histogram):
            panel.axvline(limit, color=line["color"], linewidth=0.7, linestyle=":", zorder=2)


def _legend(ax, columns: int = 1) -> None:
    height = ax.get_window_extent().height / ax.figure.dpi
    ax.legend(
        loc="upper left", bbox_to_anchor=(0, -(_GAP - 0.03) / height), ncols=columns, fontsize=7,
        frameon=False, handlelength=2.6, borderpad=0, borderaxespad=0, labelspacing=0.35,
    )  # fmt: skip


def _finish_ranking(roc, ranking, prevalence) -> None:
    roc.plot([0, 1], [0, 1], **ZERO)
    roc.set(xlim=(-0.01, 1), ylim=(0, 1.01))
    roc.set_xlabel("1 \N{MINUS SIGN} specificity", fontsize=8)
    roc.set_ylabel("Sensitivity", fontsize=8)
    _legend(roc)
    ranking.axhline(prevalence, label=f"prevalence {prevalence:.2g}", **ZERO)
    ranking.set(xlim=(0, 1.01), ylim=(0, 1.01))
    ranking.set_xlabel("Sensitivity (recall)", fontsize=8)
    ranking.set_ylabel("Precision", fontsize=8)
    _legend(ranking)


def _finish_calibration(ax, histogram) -> None:
    ax.plot([0, 1], [0, 1], **ZERO)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    ax.set_ylabel("Observed share", fontsize=8)
    ax.tick_params(labelbottom=False)
    histogram.set_xlabel("Predicted probability", fontsize=8)
    histogram.set_ylabel("Records", fontsize=8)
    histogram.locator_params(axis="y", nbins=2)
    ax.figure.align_ylabels([ax, histogram])


def _finish_decision(ax, curve, prevalence) -> None:
    ax.plot(curve["threshold"], curve["treat_all"], color=GREY, linewidth=0.9, label="treat all")
    ax.plot(curve["threshold"], curve["treat_none"], color=INK, linewidth=0.9, label="treat none")
    # Treating all falls without end; below the axis it only means "worse than none".
    ax.set(xlim=(0, 1), ylim=(-0.25 * prevalence, 1.08 * prevalence))
    ax.set_xlabel("Threshold probability", fontsize=8)
    ax.set_ylabel("Net benefit", fontsize=8)
    _legend(ax, columns=2)
