"""The terms that an explainable boosting machine has learned."""

from typing import TYPE_CHECKING

import numpy as np

from ecgsk._core.public import public
from ecgsk.inspection._ebm.terms import check_binary_ebm, ebm_importances
from ecgsk.inspection._plots.style import (
    BAND,
    CURVE,
    DENSITY,
    INK,
    ZERO,
    bare,
    drawing_area,
    signed,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

_COLUMNS = 3
_LETTERS_ACROSS = 24


@public("ecgsk.inspection")
class EBMTermsDisplay:
    """The most important terms of a binary explainable boosting machine.

    On the left are the importances of the terms, the mean absolute contribution over the training
    data, and as thin lines 1.96 standard deviations between the model's bagged copies. Next to
    them, in the same order, is each term's contribution to the log-odds against its predictor: a
    step curve, or points for categories, with one standard deviation between the copies. The gray
    histograms beneath are the training data. Pairs of predictors are drawn as maps, each with a
    scale of its own. Where predictors were missing in training, the contribution of "missing" is
    written into the panel.

    Parameters
    ----------
    ebm : ExplainableBoostingClassifier
        Fitted on two classes; positive contributions support ``ebm.classes_[1]``.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Of the importances first, then of the terms.
    figure_ : matplotlib Figure
        That holds the axes.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from interpret.glassbox import ExplainableBoostingClassifier
    >>> from ecgsk.inspection import EBMTermsDisplay
    >>> X = np.random.default_rng(0).random((200, 3))
    >>> ebm = ExplainableBoostingClassifier(
    ...     ["LBBB", "AFIB", "SR"], interactions=0, outer_bags=2, max_rounds=20, n_jobs=1
    ... )
    >>> display = EBMTermsDisplay.from_estimator(ebm.fit(X, X[:, 0] > 0.5), n_terms=2)
    >>> display.axes_[0].get_yticklabels()[0].get_text()
    'LBBB'
    >>> matplotlib.pyplot.close(display.figure_)
    """

    def __init__(self, ebm):
        self.ebm = ebm

    @classmethod
    def from_estimator(cls, ebm, **plot_params) -> "Self":
        """Draw the terms of a fitted model.

        Parameters
        ----------
        ebm : ExplainableBoostingClassifier
            Fitted on two classes; of a Pipeline its last step.
        **plot_params
            As in `plot`.

        Returns
        -------
        EBMTermsDisplay
            The display, drawn.
        """
        return cls(ebm).plot(**plot_params)

    def plot(self, ax: "Axes | None" = None, *, n_terms: int = 9, share_y: bool = True) -> "Self":
        """Draw the terms.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes of a grid, in whose place to draw; None makes a figure.
        n_terms : int, default=9
            How many terms to draw, the most important first.
        share_y : bool, default=True
            Whether all curves have one scale, so that their heights compare.

        Returns
        -------
        EBMTermsDisplay
            The display itself.

        Raises
        ------
        ValueError
            When the model has more than two classes or ``n_terms`` is below 1.
        TypeError
            When the model is not an ExplainableBoostingClassifier.
        """
        ebm = self.ebm
        check_binary_ebm(ebm)
        if n_terms < 1:
            raise ValueError(f"n_terms={n_terms!r} must be at least 1.")
        order = np.argsort(-np.asarray(ebm.term_importances()), kind="stable")[:n_terms]
        explanation = ebm.explain_global()
        terms = [explanation.data(int(i)) for i in order]

        # Four look better in a square than as three and one.
        columns = 2 if len(order) == 4 else min(_COLUMNS, len(order))
        rows = -(-len(order) // columns)
        figure = drawing_area(ax, (2.4 * (columns + 1), 2.1 * rows + 0.3))
        grid = _grid(figure, columns, rows)
        names = [ebm.term_names_[i] for i in order]
        _draw_importances(figure.add_subplot(grid[:, 0]), ebm_importances(ebm).iloc[:n_terms])

        curves = []
        for position, (index, term) in enumerate(zip(order, terms, strict=True)):
            cell = grid[position // columns, 1 + position % columns]
            if term["type"] == "interaction":
                pair = [ebm.feature_names_in_[feature] for feature in ebm.term_features_[index]]
                _draw_pair(figure, cell, pair, term)
                continue
            curve, density = _panel(figure, cell)
            _draw_curve(curve, density, names[position], term)
            _note_missing(curve, ebm, index)
            if position % columns == 0 or terms[position - 1]["type"] == "interaction":
                curve.set_ylabel("log-odds", fontsize=8)
            curves.append(curve)
        if share_y and curves:
            low = min(curve.get_ylim()[0] for curve in curves)
            high = max(curve.get_ylim()[1] for curve in curves)
            for curve in curves:
                curve.set_ylim(low, high)
        self.axes_ = np.array(figure.axes, dtype=object)
        self.figure_ = figure.get_figure(root=True)
        return self


def _grid(figure, columns, rows):
    """Return a grid of equal cells with margins of the same inches on any figure."""
    width, height = figure.bbox.width / figure.dpi, figure.bbox.height / figure.dpi
    return figure.add_gridspec(
        rows,
        columns + 1,
        left=0.2 / width,
        right=1 - 0.25 / width,
        bottom=0.45 / height,
        top=1 - 0.15 / height,
        wspace=0.42,
        hspace=0.42,
    )


def _draw_importances(ax, table):
    names, importances = list(table.index), table["importance"].to_numpy()
    places = np.arange(len(names))
    ax.barh(places, importances, height=0.35, color=CURVE)
    spread = np.array([importances - table["low"], table["high"] - importances])
    if np.isfinite(spread).any():
        ax.errorbar(importances, places, xerr=spread, fmt="none", ecolor=INK, elinewidth=0.8)
    # Above its bar a name of any length has room.
    ax.set_yticks(places - 0.36, names, ha="left")
    ax.set_ylim(max(len(names), 4) - 0.6, -0.7)
    ax.locator_params(axis="x", nbins=4)
    ax.set_xlabel("mean |log-odds|", fontsize=8)
    bare(ax, "top", "right", "left")
    ax.tick_params(axis="y", length=0, pad=0, labelsize=8)


def _panel(figure, cell):
    """Return the axes of a curve and, beneath it, those of the data's density."""
    inner = cell.subgridspec(2, 1, height_ratios=[5, 1], hspace=0.08)
    curve = figure.add_subplot(inner[0])
    density = figure.add_subplot(inner[1], sharex=curve)
    curve.tick_params(labelbottom=False)
    density.set_yticks([])
    bare(curve, "top", "right", "bottom")
    bare(density, "top", "right", "left")
    curve.tick_params(axis="x", length=0)
    return curve, density


def _draw_curve(curve, density, name, term):
    scores = np.asarray(term["scores"], dtype=float)
    lower, upper = (np.asarray(term[f"{side}_bounds"], dtype=float) for side in ("lower", "upper"))
    counts = np.asarray(term["density"]["scores"], dtype=float)
    curve.axhline(0, **ZERO)
    if len(term["names"]) == len(scores) + 1:
        edges = np.asarray(term["names"], dtype=float)
        # A step's last value is repeated, for it to reach the last edge.
        low, middle, high = (np.append(values, values[-1]) for values in (lower, scores, upper))
        curve.fill_between(edges, low, high, step="post", color=BAND, linewidth=0)
        curve.step(edges, middle, where="post", color=CURVE, linewidth=1.2)
        bins = np.asarray(term["density"]["names"], dtype=float)
        density.bar(bins[:-1], counts, np.diff(bins), align="edge", color=DENSITY)
        curve.set_xlim(edges[0], edges[-1])
        density.locator_params(axis="x", nbins=4)
    else:
        places = np.arange(len(scores))
        curve.errorbar(
            places, scores, [scores - lower, upper - scores],
            fmt="o", color=CURVE, ecolor=BAND, elinewidth=4, markersize=4,
        )  # fmt: skip
        density.bar(places, counts, 0.6, color=DENSITY)
        labels = [str(category) for category in term["names"]]
        density.set_xticks(places, labels)
        if sum(map(len, labels)) > _LETTERS_ACROSS:
            density.tick_params(axis="x", rotation=90)
        curve.set_xlim(-0.6, len(scores) - 0.4)
    density.set_xlabel(name, fontsize=8)


def _note_missing(curve, ebm, index):
    if ebm.bin_weights_[index][0] > 0:
        text = f"missing: {signed(ebm.term_scores_[index][0])}"
        curve.text(0.98, 0.97, text, ha="right", va="top", size=6.5, transform=curve.transAxes)


def _draw_pair(figure, cell, names, term):
    inner = cell.subgridspec(1, 2, width_ratios=[14, 1], wspace=0.06)
    ax = figure.add_subplot(inner[0])
    scores = np.asarray(term["scores"], dtype=float)
    edges = []
    for axis, side in ((ax.xaxis, "left"), (ax.yaxis, "right")):
        labels, size = term[f"{side}_names"], scores.shape[len(edges)]
        if len(labels) == size + 1:
            edges.append(np.asarray(labels, dtype=float))
        else:
            edges.append(np.arange(size + 1) - 0.5)
            axis.set_ticks(np.arange(size), [str(label) for label in labels])
    limit = max(abs(scores).max(), 1e-12)
    colors = ax.pcolormesh(
        *edges, scores.T, cmap="RdBu_r", vmin=-limit, vmax=limit, rasterized=True
    )
    bare(ax)
    ax.set_xlabel(names[0], fontsize=8)
    ax.set_ylabel(names[1], fontsize=8)
    bar = figure.colorbar(colors, cax=figure.add_subplot(inner[1]))
    bar.ax.tick_params(labelsize=6, length=2, width=0.6, pad=1.5)
    bar.ax.locator_params(nbins=3)
    bar.outline.set_linewidth(0.6)
    bar.ax.set_title("log-odds", fontsize=6.5, pad=3)
