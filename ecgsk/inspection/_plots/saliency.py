"""The parts of a recording that a probability depends on, shaded on ECG paper."""

from typing import TYPE_CHECKING

from ecgsk._core.public import public
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk.inspection._plots.ecg import ECGDisplay
from ecgsk.inspection._saliency import saliency

if TYPE_CHECKING:
    from typing import Self


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
