"""Recordings as the CODE group publishes them: (samples, leads), with zeros before and after."""

import numpy as np

from ecgsk._core.limb_leads import contradiction
from ecgsk._core.record_error import RecordError

CODE_RATE, CODE_SAMPLES = 400.0, 4096  # Hz
# Of the 4000 samples of 10 s, and of the 2800 of 7 s, in 4096.
_PADDINGS = (0, 48, 648)
_BLOCK = 512
_EXAMINED = 5
# Too large for a voltage in any unit; its square is finite.
_LARGEST = 1e9


def recorded_parts(tracings) -> list[tuple[int, int]]:
    """Return the first sample and the end of each recording between zeros; (0, 0) for zeros alone.

    ``tracings`` (n_records, CODE_SAMPLES, n_leads) is an HDF5 dataset. Of recordings with the usual
    number of zeros only some samples are read, those around the ends that are possible.
    """
    n = CODE_SAMPLES
    probes = sorted({p for pad in _PADDINGS for p in (max(pad - 1, 0), pad, n - pad - 1,
                                                      min(n - pad, n - 1))})  # fmt: skip
    at = {probe: i for i, probe in enumerate(probes)}
    parts: list[tuple[int, int]] = []
    for first in range(0, len(tracings), _BLOCK):
        rows = slice(first, min(first + _BLOCK, len(tracings)))
        # NaN counts as recorded.
        live = (tracings[rows, probes, :] != 0).any(axis=2)
        for row, is_live in zip(range(rows.start, rows.stop), live.tolist(), strict=True):
            parts.append(
                next(
                    (
                        (pad, n - pad)
                        for pad in _PADDINGS
                        if is_live[at[pad]]
                        and is_live[at[n - pad - 1]]
                        and (not pad or not (is_live[at[pad - 1]] or is_live[at[n - pad]]))
                    ),
                    None,
                )
                or recorded_part(tracings[row])
            )
    return parts


def recorded_part(tracing: np.ndarray) -> tuple[int, int]:
    """Return the first sample that is not zero in all leads, and the end; (0, 0) for zeros."""
    live = np.flatnonzero((tracing != 0).any(axis=1))
    return (int(live[0]), int(live[-1]) + 1) if len(live) else (0, 0)


def check_lead_order(path: str, tracings, rows: list[int], names: tuple[str, ...]) -> None:
    """Raise RecordError for leads that are in another order than that of ``names``.

    The test set of CODE has aVL, aVF, aVR, which its file does not state: the equations of the limb
    leads reveal it.
    """
    texts = []
    for row in rows[:_EXAMINED]:
        with np.errstate(invalid="ignore"):
            signal = np.asarray(tracings[row], dtype=np.float64)
        start, stop = recorded_part(signal)
        signal = signal[start:stop].T
        if not signal.size or not np.isfinite(signal).all() or np.abs(signal).max() > _LARGEST:
            continue
        centered = signal - signal.mean(axis=1, keepdims=True)
        gram = centered @ centered.T / signal.shape[1]
        texts.append(contradiction(gram, np.ptp(signal, axis=1) == 0, names))
    explained = [text for text in texts if "looks as if" in text]
    if 2 * len(explained) > len(texts):
        raise RecordError(
            path,
            f"read as {' '.join(names)}, {explained[0]}. Its leads are not named: give their order "
            "in file_leads",
        )
