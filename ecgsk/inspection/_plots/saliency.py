"""The parts of a recording that an answer hangs on, shaded on ECG paper."""

from typing import TYPE_CHECKING

import numpy as np

from ecgsk._core.public import public
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk.inspection._plots.ecg import plot_ecg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes


@public("ecgsk.inspection")
def plot_saliency(
    record,
    values,
    *,
    sampling_rate: float,
    leads: "Sequence[str]" = STANDARD_LEADS,
    layout: str = "3x4+1",
    title: str | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a recording on ECG paper, and shade what speaks for a class and what against it.

    Beneath the traces, red spans speak for the class and blue ones against it, the deeper the
    further the log-odds change when they are hidden. A scale stands at the lower edge.

    Parameters
    ----------
    record : array-like of shape (n_leads, n_samples) or (1, n_leads, n_samples)
        One recording, mV.
    values : Saliency, or array-like of shape (n_samples,) or (n_leads, n_samples)
        From `saliency`, log-odds. One row is for all leads.
    sampling_rate : float
        In Hz.
    leads : sequence of str, default=STANDARD_LEADS
        Names of the leads of ``record``, in their order.
    layout : {"3x4+1", "12x1"}, default="3x4+1"
        Of the page: see `plot_ecg`.
    title : str or None, default=None
        Written above.
    ax : matplotlib Axes or None, default=None
        To draw on; None makes a figure in the size of the paper.

    Returns
    -------
    matplotlib Axes
        With the drawing, mm of paper along both axes.

    Raises
    ------
    ValueError
        When shapes do not match, values are not finite, or as `plot_ecg` raises it.

    See Also
    --------
    plot_ecg : Takes the values as ``saliency=``, beside its own speed, gain and highlights.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from ecgsk.inspection import plot_saliency
    >>> values = np.where(np.arange(1000) // 20 == 10, 0.8, 0)
    >>> ax = plot_saliency(np.zeros((12, 1000)), values, sampling_rate=100)
    >>> [text.get_text() for text in ax.texts][-1]
    'for, +0.8 log-odds'
    >>> matplotlib.pyplot.close(ax.figure)
    """
    if np.ndim(record) == 3 and len(record) == 1:
        record = record[0]
    return plot_ecg(
        record,
        sampling_rate=sampling_rate,
        leads=leads,
        layout=layout,
        title=title,
        ax=ax,
        saliency=getattr(values, "values", values),
    )
