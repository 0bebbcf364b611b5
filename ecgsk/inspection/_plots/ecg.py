"""A recording on ECG paper."""

from typing import TYPE_CHECKING

import numpy as np

from ecgsk._core.host_arrays import on_host
from ecgsk._core.public import public
from ecgsk._core.signal import STANDARD_LEADS, lead_indices, lead_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

_PAPER = "#fffafa"
_THIN, _THICK = "#f9d4d4", "#efa3a3"
_INK = "#1a1a1a"
_HIGHLIGHT = "#f6c244"

# All in mm of paper. The margins and rows are whole squares, so that baselines lie on thick lines.
_RIGHT, _TOP, _BOTTOM = 5, 15, 10
_LEFT = {"3x4+1": 15, "12x1": 20}
_ROW_HEIGHT = {"3x4+1": 30, "12x1": 20}
_PULSE_WIDTH = 5
_SCALE_HEIGHT = 5
_MM_PER_INCH = 25.4
_LARGEST_WIDTH = 400


@public("ecgsk.inspection")
class ECGDisplay:
    """One recording as it is printed on ECG paper.

    The axes are in mm of paper, with equal proportions: thin lines are 1 mm apart and thick
    lines 5 mm, which at the usual speed and gain are 0.04 s and 0.2 s, 0.1 mV and 0.5 mV. A pulse
    of 1 mV and 0.2 s (at 25 mm/s) stands before each row.

    Parameters
    ----------
    record : array-like of shape (n_leads, n_samples) or (1, n_leads, n_samples)
        One recording, mV. NaN and infinite samples are drawn as gaps.
    sampling_rate : float, default=500
        In Hz.
    leads : sequence of str, default=STANDARD_LEADS
        Names of the leads of ``record``, in their order.
    highlight : sequence of tuple or None, default=None
        Spans to shade: ``(start, stop)`` in s for all leads or ``(start, stop, lead)`` for one.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the drawing.
    figure_ : matplotlib Figure
        That holds the axes.

    See Also
    --------
    ECGDisplay.from_record : Draws at once.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from ecgsk.inspection import ECGDisplay
    >>> display = ECGDisplay.from_record(np.zeros((12, 5000)), title="A flat line")
    >>> [text.get_text() for text in display.ax_.texts][-1]
    '25 mm/s   10 mm/mV   500 Hz'
    >>> matplotlib.pyplot.close(display.figure_)
    """

    def __init__(self, record, *, sampling_rate=500, leads=STANDARD_LEADS, highlight=None):
        self.record = record
        self.sampling_rate = sampling_rate
        self.leads = leads
        self.highlight = highlight

    @classmethod
    def from_record(
        cls, record, *, sampling_rate=500, leads=STANDARD_LEADS, highlight=None, **plot_params
    ) -> "Self":
        """Draw a recording.

        Parameters
        ----------
        record, sampling_rate, leads, highlight : object
            As in `ECGDisplay`.
        **plot_params
            As in `plot`.

        Returns
        -------
        ECGDisplay
            The display, drawn.
        """
        display = cls(record, sampling_rate=sampling_rate, leads=leads, highlight=highlight)
        return display.plot(**plot_params)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        layout: str = "3x4+1",
        title: str | None = None,
        speed: float = 25.0,
        gain: float = 10.0,
    ) -> "Self":
        """Draw the recording.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            To draw on; None makes a figure in the size of the paper, at most 400 mm wide.
        layout : {"3x4+1", "12x1"}, default="3x4+1"
            "3x4+1" is the clinical print of twelve leads: four columns that each show their own
            quarter of the recording (2.5 s of 10 s) and lead II in full beneath. "12x1" gives each
            lead, of any number of leads, a row in full.
        title : str or None, default=None
            Written above.
        speed : float, default=25.0
            Of the paper, in mm/s.
        gain : float, default=10.0
            In mm/mV.

        Returns
        -------
        ECGDisplay
            The display itself.

        Raises
        ------
        ValueError
            When the shape of the recording does not fit the leads, the leads do not fit the
            layout, or a number is not positive.
        """
        names = [lead_name(name) for name in self.leads]
        signal = _check_record(self.record, names)
        numbers = {"sampling_rate": self.sampling_rate, "speed": speed, "gain": gain}
        for name, value in numbers.items():
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name}={value!r} must be a positive number.")
        rate = self.sampling_rate
        duration = signal.shape[1] / rate
        rows = _rows(layout, names, signal.shape[1])
        spans = _check_highlight(self.highlight, names, duration)
        shading = self._shading(signal.shape)

        left = _LEFT[layout]
        width = left + 5 * np.ceil(duration * speed / 5) + _RIGHT
        pitch = _ROW_HEIGHT[layout]
        bottom = _BOTTOM + (_SCALE_HEIGHT if shading else 0)
        height = _TOP + pitch * len(rows) + bottom
        if ax is None:
            ax = _paper_sized_axes(width, height)
        _draw_paper(ax, width, height)

        for number, row in enumerate(rows):
            baseline = height - _TOP - pitch * (number + 0.5)
            _draw_pulse(ax, left - 11, baseline, gain)
            for position, (lead, samples) in enumerate(row):
                # A sample more than the column's own, so that neighbors meet.
                shown = np.arange(samples.start, min(samples.stop + 1, signal.shape[1]))
                start = left + samples.start / rate * speed
                ax.plot(
                    left + shown / rate * speed,
                    baseline + gain * signal[lead, shown],
                    color=_INK,
                    linewidth=0.8,
                    solid_joinstyle="round",
                    label=names[lead],
                    zorder=3,
                )
                if position:
                    ax.plot(
                        [start, start], [baseline - 4, baseline + 4], color=_INK, lw=0.8, zorder=3
                    )
                # Where a row has one lead, its name is to the left of the trace.
                place = (1, 0) if layout == "12x1" else (start + 1, 0.3 * pitch)
                _write(ax, place[0], baseline + place[1], names[lead], weight="bold")
                column = (samples.start / rate, samples.stop / rate)
                if shading:
                    stop = left + samples.stop / rate * speed
                    shading.draw(ax, lead, samples, start, stop, baseline, pitch - 1)
                for first, last in _overlaps(spans, names[lead], column):
                    _shade(ax, left + first * speed, left + last * speed, baseline, pitch)

        if title is not None:
            _write(ax, left, height - 6, title, weight="bold", size=10)
        _write(ax, left, bottom - 6, f"{speed:g} mm/s   {gain:g} mm/mV   {rate:g} Hz")
        if shading:
            shading.draw_scale(ax, left, bottom - 6 - _SCALE_HEIGHT, _write)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _shading(self, shape):
        """Return what to shade beneath the traces, or None."""
        return None


def _check_record(record, names):
    signal = np.asarray(on_host(record, "record"))
    if signal.ndim == 3 and len(signal) == 1:
        signal = signal[0]
    if signal.dtype.kind not in "fiub":
        raise ValueError(f"record has dtype {signal.dtype}; expected real numbers, mV.")
    if signal.ndim != 2 or signal.shape[1] == 0:
        raise ValueError(
            f"record has shape {signal.shape}; expected (n_leads, n_samples). "
            "Draw one recording at a time: X[0]."
        )
    if len(signal) != len(names):
        raise ValueError(
            f"record has {len(signal)} leads, but leads names {len(names)}. "
            "Give leads the name of each row of record."
        )
    return np.where(np.isfinite(signal), signal, np.nan)


def _rows(layout, names, n_samples):
    """Return the page's rows, each a list of (lead, slice of samples)."""
    if layout not in _ROW_HEIGHT:
        raise ValueError(f"layout={layout!r} is not allowed; use '3x4+1' or '12x1'.")
    whole = slice(0, n_samples)
    if layout == "12x1":
        return [[(lead, whole)] for lead in range(len(names))]
    if not set(STANDARD_LEADS) <= set(names):
        raise ValueError(
            f"layout='3x4+1' needs the twelve standard leads; leads are {', '.join(names)}. "
            "Use layout='12x1', which draws a row for each lead."
        )
    standard = lead_indices(names)
    edges = [n_samples * column // 4 for column in range(5)]
    grid = [
        [(standard[3 * column + row], slice(*edges[column : column + 2])) for column in range(4)]
        for row in range(3)
    ]
    return [*grid, [(names.index("II"), whole)]]


def _check_highlight(highlight, names, duration):
    """Return (start, stop, lead or None) tuples."""
    spans = []
    for span in highlight or ():
        try:
            start, stop, lead = (*span, None)[:3]
            valid = 0 <= start < stop and start < duration and len(span) <= 3
        except (TypeError, ValueError):
            valid = False
        lead = lead_name(lead) if valid and lead is not None else None
        if not valid or (lead is not None and lead not in names):
            raise ValueError(
                f"highlight holds {span!r}; expected (start, stop) in s within the recording's "
                f"{duration:g} s, or (start, stop, lead) with one of {', '.join(names)}."
            )
        spans.append((start, stop, lead))
    return spans


def _overlaps(spans, lead, column):
    for start, stop, only in spans:
        start, stop = max(start, column[0]), min(stop, column[1])
        if start < stop and only in (None, lead):
            yield start, stop


def _paper_sized_axes(width, height):
    import matplotlib.pyplot as plt

    scale = min(1.0, _LARGEST_WIDTH / width) / _MM_PER_INCH
    figure = plt.figure(figsize=(width * scale, height * scale))
    return figure.add_axes((0, 0, 1, 1))


def _draw_paper(ax, width, height):
    from matplotlib.collections import LineCollection

    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal", xticks=[], yticks=[])
    ax.set_facecolor(_PAPER)
    for spine in ax.spines.values():
        spine.set(color=_THICK, linewidth=0.8)
    # On a page that is much reduced the thin lines would run together.
    thin = [(1, _THIN, 0.3, 1.0)] if width <= 2 * _LARGEST_WIDTH else []
    for spacing, color, line_width, order in (*thin, (5, _THICK, 0.5, 1.1)):
        upright = [((x, 0), (x, height)) for x in np.arange(0, width + 0.5, spacing)]
        level = [((0, y), (width, y)) for y in np.arange(0, height + 0.5, spacing)]
        lines = LineCollection(upright + level, colors=color, linewidths=line_width, zorder=order)
        ax.add_collection(lines, autolim=False)


def _draw_pulse(ax, start, baseline, gain):
    x = start + np.array([0, 2, 2, 2 + _PULSE_WIDTH, 2 + _PULSE_WIDTH, 4 + _PULSE_WIDTH])
    y = baseline + gain * np.array([0, 0, 1, 1, 0, 0])
    ax.plot(x, y, color=_INK, lw=0.8, solid_joinstyle="miter", label="1 mV", zorder=3)


def _shade(ax, first, last, baseline, pitch):
    from matplotlib.patches import Rectangle

    corner = (first, baseline - pitch / 2)
    ax.add_patch(
        Rectangle(corner, last - first, pitch, facecolor=_HIGHLIGHT, alpha=0.35, lw=0, zorder=2)
    )


def _write(ax, x, y, text, *, size=8, weight="normal"):
    from matplotlib.patheffects import withStroke

    # The rim keeps words legible where a wave or the grid crosses them.
    rim = [withStroke(linewidth=2, foreground=_PAPER)]
    ax.text(
        x, y, text, color=_INK, size=size, weight=weight, va="center", path_effects=rim, zorder=4
    )
