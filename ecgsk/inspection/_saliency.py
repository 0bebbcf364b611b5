"""Which parts of a recording the probability of a classifier depends on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ecgsk._core.host_arrays import on_host
from ecgsk._core.log_odds import log_odds
from ecgsk._core.public import public
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._core.signal_doubts import without_doubts
from ecgsk.inspection._class_probability import (
    ClassProbability,
    check_carried,
    check_leads,
    with_table,
)


@public("ecgsk.inspection")
class Saliency(NamedTuple):
    """What `saliency` found.

    Attributes
    ----------
    values : ndarray of shape (n_samples,) or (n_leads, n_samples)
        Change of the log-odds, positive where a sample supports the class; one row for each lead
        where leads were hidden one by one.
    times : ndarray of shape (n_samples,)
        s from the start of the recording.
    log_odds : float
        Of the class, for the recording as it is.
    """

    values: np.ndarray
    times: np.ndarray
    log_odds: float


@public("ecgsk.inspection")
def saliency(
    estimator,
    record,
    *,
    sampling_rate: float,
    window: float = 0.2,
    step: float | None = None,
    per_lead: bool = False,
    leads: Sequence[str] = STANDARD_LEADS,
    label: str | int | None = None,
    batch_size: int = 64,
) -> Saliency:
    """Hide one window of a recording after another, and measure how the log-odds change.

    Parameters
    ----------
    estimator : fitted classifier with ``predict_proba``
        Of recordings: a network, or a Pipeline with extractors and an interpretable model.
    record : array-like of shape (n_leads, n_samples) or (1, n_leads, n_samples), or RecordArray
        One recording, mV: ``X[0]`` or ``X[:1]``. The ``table`` of a `RecordArray` goes with it.
    sampling_rate : float
        In Hz.
    window : float, default=0.2
        Width of what is hidden, s: about that of a QRS complex or a T wave. Shorter than the
        recording.
    step : float or None, default=None
        From window to window, s. None: half a window.
    per_lead : bool, default=False
        Whether to hide the window in one lead at a time, which takes as many times longer as there
        are leads, instead of in all at once.
    leads : sequence of str, default=STANDARD_LEADS
        Names of the leads of ``record``, in their order.
    label : str, int or None, default=None
        Of a multilabel or multiclass estimator, the class or label: a name among the
        ``label_names_`` or ``classes_`` of its last step, or a column of its probabilities.
    batch_size : int, default=64
        Changed recordings that go to the estimator at once.

    Returns
    -------
    Saliency
        ``values``: for each sample the log-odds of the recording as it is minus those with a
        window hidden, the mean over the windows that cover the sample. ``times`` in s,
        ``log_odds`` of the recording.

    Raises
    ------
    ValueError
        When there is more than one recording, shapes do not match, or a number is not allowed.
    TypeError
        When the estimator has no ``predict_proba``.

    See Also
    --------
    SaliencyDisplay : Draws it on the recording.
    lead_importance : Which leads matter over many recordings.

    Notes
    -----
    A hidden window is a straight line between the samples on either side of it. Zeros would do
    more than hide: they make two steps where the baseline is not at 0 mV, which a network may
    take for a QRS complex, and then the log-odds change because of what was put in.

    What occlusion does not show: evidence that is there several times, such as a wave in every
    beat or in several leads, is hardly missed in one place; what spans more than a window (the
    rate, the rhythm, a PR interval) shows as the edges that were hidden, or not at all; values do
    not add up to the log-odds; and a model that depends on a wave need not read it as a
    cardiologist would. Compare windows of several widths.

    References
    ----------
    M. D. Zeiler and R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014,
    arXiv:1311.2901.

    Examples
    --------
    >>> import numpy as np
    >>> from ecgsk.inspection import saliency
    >>> class ReadsOneBeat:
    ...     def predict_proba(self, X):
    ...         p = 1 / (1 + np.exp(-X[:, 7, 200:210].max(axis=1)))
    ...         return np.column_stack([1 - p, p])
    >>> record = np.zeros((12, 500))
    >>> record[7, 200:210] = 1.5
    >>> found = saliency(ReadsOneBeat(), record, sampling_rate=100)
    >>> float(found.times[found.values.argmax()])
    2.0
    """
    for name, value in (("sampling_rate", sampling_rate), ("window", window), ("step", step)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name}={value!r} must be a positive number.")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size!r} must be at least 1.")
    record = on_host(record, "record")
    shape = np.shape(record)
    if (len(shape) == 3 and shape[0] != 1) or len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(
            f"record has shape {shape}; expected (n_leads, n_samples). Explain one "
            "recording at a time: saliency(estimator, X[:1], ...)."
        )
    n_leads, n_samples = shape[-2:]
    signal = np.asarray(record, dtype=np.float32).reshape(n_leads, n_samples)
    check_leads(leads, n_leads, "record")
    check_carried(record, sampling_rate, leads)
    width = max(1, round(window * sampling_rate))
    if width >= n_samples:
        raise ValueError(
            f"window={window:g} s is not shorter than the recording, {n_samples / sampling_rate:g} "
            "s. Hide less: 0.2 s is about a QRS complex."
        )
    stride = max(1, round((window / 2 if step is None else step) * sampling_rate))
    if stride > width:
        raise ValueError(
            f"step={step:g} s is longer than window={window:g} s: samples between would never be "
            "hidden. Use half a window."
        )
    starts = np.append(np.arange(0, n_samples - width, stride), n_samples - width)
    hidden_leads = [[lead] for lead in range(n_leads)] if per_lead else [list(range(n_leads))]
    hidden = [(some, start) for some in hidden_leads for start in starts]

    probability = ClassProbability(estimator, label)
    original = float(log_odds(probability(with_table(record, signal[np.newaxis])))[0])
    change = np.empty(len(hidden))
    for first in range(0, len(hidden), batch_size):
        batch = hidden[first : first + batch_size]
        occluded = np.repeat(signal[np.newaxis], len(batch), axis=0)
        for copy, (some, start) in zip(occluded, batch, strict=True):
            copy[some, start : start + width] = _line(signal[some], start, width)
        with without_doubts():
            answers = probability(
                with_table(record, occluded, rows=np.zeros(len(batch), dtype=int))
            )
        change[first : first + len(batch)] = original - log_odds(answers)

    values = np.zeros((len(hidden_leads), n_samples))
    covering = np.zeros(n_samples)
    for number, start in enumerate(starts):
        values[:, start : start + width] += change[number :: len(starts), np.newaxis]
        covering[start : start + width] += 1
    values /= covering
    return Saliency(
        values if per_lead else values[0], np.arange(n_samples) / sampling_rate, original
    )


def _line(signal: np.ndarray, start: int, width: int) -> np.ndarray:
    """Return straight lines between the samples before and after a window."""
    # At the ends of a recording there is one neighbor only, and the line is level.
    first, last = start - 1, start + width
    if first < 0:
        first = last
    if last >= signal.shape[1]:
        last = first
    return np.linspace(signal[:, first], signal[:, last], width + 2, axis=1)[:, 1:-1]
