"""The parts of a recording that a probability depends on, shaded on ECG paper."""

from typing import TYPE_CHECKING

import numpy as np

from ecgsk._core.public import public
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk.inspection._plots.ecg import ECGDisplay
from ecgsk.inspection._plots.style import AGAINST, FOR, INK, MINUS
from ecgsk.inspection._saliency import saliency

if TYPE_CHECKING:
    from typing_extensions import Self

# Traces and the paper's lines have to be seen through the deepest shade.
_OPACITY = 0.6
_NOTHING = 1e-12
_BAR_WIDTH, _BAR_HEIGHT = 30, 3  # mm


@public("ecgsk.inspection")
class SaliencyDisplay(ECGDisplay):
    """A recording on ECG paper, shaded where it supports a class or speaks against it.

    Beneath the traces, red spans support the class and blue spans speak against it; the deeper the
    color, the further the log-odds change when the span is hidden. A scale is at the lower edge.

    Parameters
    ----------
    record : array-like of shape (n_leads, n_samples) or (1, n_leads, n_samples)
        One recording, mV. NaN and infinite samples are drawn as gaps.
    saliency : Saliency, or array-like of shape (n_samples,) or (n_leads, n_samples)
        From `saliency`, log-odds. One row is for all leads.
    sampling_rate : float, default=500
        In Hz.
    leads : sequence of str, default=STANDARD_LEADS
        Names of the leads of ``record``, in their order.
    highlight : sequence of tuple or None, default=None
        Spans to shade, as in `ECGDisplay`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the drawing.
    figure_ : matplotlib Figure
        That holds the axes.

    See Also
    --------
    saliency : Computes the values.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from ecgsk.inspection import SaliencyDisplay
    >>> values = np.where(np.arange(1000) // 20 == 10, 0.8, 0)
    >>> display = SaliencyDisplay.from_result(np.zeros((12, 1000)), values, sampling_rate=100)
    >>> [text.get_text() for text in display.ax_.texts][-1]
    'for, +0.8 log-odds'
    >>> matplotlib.pyplot.close(display.figure_)
    """

    def __init__(
        self, record, saliency, *, sampling_rate=500, leads=STANDARD_LEADS, highlight=None
    ):
        super().__init__(record, sampling_rate=sampling_rate, leads=leads, highlight=highlight)
        self.saliency = saliency

    @classmethod
    def from_result(
        cls, record, saliency, *, sampling_rate, leads=STANDARD_LEADS, **plot_params
    ) -> "Self":
        """Draw what `saliency` returned.

        Parameters
        ----------
        record, saliency, sampling_rate, leads : object
            As in `SaliencyDisplay`.
        **plot_params
            As in `ECGDisplay.plot`.

        Returns
        -------
        SaliencyDisplay
            The display, drawn.
        """
        display = cls(record, saliency, sampling_rate=sampling_rate, leads=leads)
        return display.plot(**plot_params)

    @classmethod
    def from_estimator(
        cls, estimator, record, *, sampling_rate, leads=STANDARD_LEADS,
        window=0.2, step=None, per_lead=False, label=None, batch_size=64, **plot_params,
    ) -> "Self":  # fmt: skip
        """Compute the saliency of a recording and draw it.

        Parameters
        ----------
        estimator, record, sampling_rate, leads, window, step, per_lead, label, batch_size : object
            As in `saliency`.
        **plot_params
            As in `ECGDisplay.plot`.

        Returns
        -------
        SaliencyDisplay
            The display, drawn.
        """
        found = saliency(
            estimator, record, sampling_rate=sampling_rate, leads=leads, window=window, step=step,
            per_lead=per_lead, label=label, batch_size=batch_size,
        )  # fmt: skip
        return cls.from_result(
            record, found, sampling_rate=sampling_rate, leads=leads, **plot_params
        )

    def _shading(self, shape):
        return _Shading(self.saliency, shape)


class _Shading:
    """Spans beneath traces, red where values (log-odds) are above 0 and blue where they are below.

    ``values`` are of shape (n_samples,) or (n_leads, n_samples); ``shape`` is the recording's.
    """

    def __init__(self, values, shape):
        values = np.asarray(getattr(values, "values", values), dtype=float)
        if values.shape not in (shape, shape[1:]):
            raise ValueError(
                f"saliency has shape {values.shape}; expected {shape[1:]} for all leads or {shape} "
                "for each, as saliency() returns it for this recording."
            )
        if not np.isfinite(values).all():
            raise ValueError("saliency holds NaN or infinite values; expected log-odds.")
        self.values = np.broadcast_to(values, shape)
        self.limit = max(float(np.abs(values).max()), _NOTHING)

    def draw(self, ax, lead: int, samples, left: float, right: float, middle: float, height: float):
        """Shade a lead's samples from ``left`` to ``right``, mm."""
        extent = (left, right, middle - height / 2, middle + height / 2)
        self._image(ax, self.values[lead, samples], extent)

    def draw_scale(self, ax, x: float, y: float, write) -> None:
        """Draw what the colors mean, from ``x`` on to the right."""
        limit = f"{self.limit:.2g}" if self.limit > _NOTHING else "0"
        write(ax, x, y, f"against, {MINUS}{limit}")
        # At 8 points the words are about so many mm wide.
        x += 28
        extent = (x, x + _BAR_WIDTH, y - _BAR_HEIGHT / 2, y + _BAR_HEIGHT / 2)
        self._image(ax, np.linspace(-self.limit, self.limit, 101), extent)
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
        frame = corners * (_BAR_WIDTH, _BAR_HEIGHT) + (extent[0], extent[2])
        ax.plot(*frame.T, color=INK, linewidth=0.4, zorder=3)
        write(ax, x + _BAR_WIDTH + 2, y, f"for, +{limit} log-odds")

    def _image(self, ax, values, extent) -> None:
        # Wherever the axes' limits are set beforehand, an image leaves them alone.
        ax.imshow(
            values[np.newaxis], cmap=_colors(), vmin=-self.limit, vmax=self.limit,
            extent=extent, aspect=ax.get_aspect(), interpolation="nearest", zorder=1.5,
        )  # fmt: skip


def _colors():
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    # Clear in the middle, so that the paper's lines show where nothing speaks.
    ends = [(*to_rgba(color)[:3], _OPACITY) for color in (AGAINST, FOR)]
    clear = [(*end[:3], 0.0) for end in ends]
    steps = [(0, ends[0]), (0.5, clear[0]), (0.5, clear[1]), (1, ends[1])]
    return LinearSegmentedColormap.from_list("for and against", steps)
