"""When the heart beats, and how its beats, fibrillation and noise add up to a recording."""

import numpy as np

from ecgsk.datasets._synthetic.ecg_model import Waves, beat_waves, premature_waves

_BEATS_AT_ONCE = 256
_SAMPLES_AT_ONCE = 40_000
# Bells are drawn to where they have fallen below a five-hundredth.
_WIDTHS_DRAWN = 3.5

_LEAST_AF_VARIABILITY = 0.2
_AF_SHORTEST_RR = 0.45
_PVC_PREMATURITY = 0.36

_WANDER_FREQUENCIES = np.array([0.05, 0.09, 0.14, 0.19, 0.23, 0.28, 0.33, 0.39, 0.46])
# What I, II, V1-V6 see of the two fibrillating wavefronts, mV.
_F_WAVES = np.array(
    [
        (0.01, 0.02, 0.075, 0.04, 0.015, 0.005, 0.0, 0.0),
        (0.015, 0.045, 0.02, 0.01, 0.01, 0.015, 0.02, 0.02),
    ],
    dtype=np.float32,
)


def render(
    p: dict, body: dict, sampling_rate: float, n_samples: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[dict]]:
    """Draw recordings, (n, 12, n_samples) float32 mV, and each one's beats.

    ``p`` holds the parameters of `make_ecg`, an array of length n each, and ``body`` what
    `draw_bodies` returns.
    """
    n = len(p["heart_rate"])
    ecg, beats = np.empty((n, 12, n_samples), dtype=np.float32), []
    for start in range(0, n, max(1, _SAMPLES_AT_ONCE // n_samples)):
        rows = slice(start, start + max(1, _SAMPLES_AT_ONCE // n_samples))
        chunk = {name: values[rows] for name, values in p.items()}
        eight = _disturbances(chunk, sampling_rate, n_samples, rng)
        waves, peak = beat_waves(chunk, {name: part[rows] for name, part in body.items()})
        onset, premature = _beat_times(chunk, n_samples / sampling_rate, rng)
        ectopic = premature_waves(waves, chunk["voltage"], rng) if premature.any() else waves
        _add_beats(eight, waves, ectopic, onset, premature, sampling_rate)
        _derive_limb_leads(eight, ecg[rows])
        for i, (times, ventricular) in enumerate(zip(onset, premature, strict=True)):
            inside = (times + peak[i] >= 0) & (times + peak[i] < n_samples / sampling_rate)
            times, ventricular = times[inside], ventricular[inside]
            beats.append({"qrs": times, "r": times + peak[i], "pvc": ventricular})
    return ecg, beats


def _beat_times(p: dict, duration: float, rng: np.random.Generator):
    """Return QRS onsets, (n, beats) s from before the recording to after it, and which are PVCs."""
    mean = 60 / p["heart_rate"]
    n, m = len(mean), int(1.3 * duration / mean.min()) + 8
    while True:
        beat = np.arange(m)
        phase = 2 * np.pi * rng.random((n, 2, 1))
        breath = rng.uniform(0.2, 0.3, (n, 1))
        time = beat * mean[:, None]
        # Variances 0.49 by respiration, 0.25 by the slower wave of blood pressure, 0.26 by chance.
        z = 0.7 * np.sqrt(2) * np.sin(2 * np.pi * breath * time + phase[:, 0])
        z += 0.5 * np.sqrt(2) * np.sin(2 * np.pi * 0.1 * time + phase[:, 1])
        z += np.sqrt(0.26) * rng.standard_normal((n, m))
        variability = p["heart_rate_variability"][:, None]
        relative = np.maximum(1 + variability * z, 0.4)
        fibrillates = p["atrial_fibrillation"]
        if fibrillates.any():
            spread = np.maximum(variability[fibrillates], _LEAST_AF_VARIABILITY)
            shape = ((1 - _AF_SHORTEST_RR) / spread) ** 2
            chance = rng.gamma(np.broadcast_to(shape, (len(shape), m))) / shape
            relative[fibrillates] = _AF_SHORTEST_RR + (1 - _AF_SHORTEST_RR) * chance
        onset = np.cumsum(relative * mean[:, None], axis=1)
        onset -= onset[:, [1]] + rng.random((n, 1)) * mean[:, None]
        if onset[:, -1].min() > duration + 1:
            break
        m *= 2
    premature = _choose_premature(p["pvc_rate"], m, rng)
    # The beat after it comes when it would have come: the pause is fully compensatory.
    onset = onset - premature * _PVC_PREMATURITY * mean[:, None]
    return onset, premature


def _choose_premature(rate: np.ndarray, m: int, rng: np.random.Generator) -> np.ndarray:
    """Choose beats at the rate given, never two in a row."""
    premature = np.zeros((len(rate), m), dtype=bool)
    if rate.any():
        after_a_normal_beat = rate / (1 - rate)
        premature[:, 0] = rng.random(len(rate)) < rate
        for i in range(1, m):
            chosen = rng.random(len(rate)) < after_a_normal_beat
            premature[:, i] = chosen & ~premature[:, i - 1]
    return premature


def _add_beats(
    eight: np.ndarray,
    waves: Waves,
    ectopic: Waves,
    onset: np.ndarray,
    premature: np.ndarray,
    sampling_rate: float,
) -> None:
    n_samples = eight.shape[2]
    both = (waves, ectopic)
    first = min(float((w.start - _WIDTHS_DRAWN * w.rise).min()) for w in both)
    last = max(float((w.stop + _WIDTHS_DRAWN * w.fall).max()) for w in both)
    length = int((last - first) * sampling_rate) + 2
    joined = Waves(
        *(
            np.concatenate([a, b]).astype(np.float32)
            for a, b in zip(vars(waves).values(), vars(ectopic).values(), strict=True)
        )
    )
    seen = (onset + last > 0) & (onset + first < n_samples / sampling_rate)
    record, beat = np.nonzero(seen)
    times = onset[record, beat]
    source = record + len(onset) * premature[record, beat]
    offset = np.ceil((times + first) * sampling_rate).astype(int)
    for begin in range(0, len(record), _BEATS_AT_ONCE):
        block = slice(begin, begin + _BEATS_AT_ONCE)
        samples = offset[block, None] + np.arange(length)
        time = (samples / sampling_rate - times[block, None]).astype(np.float32)
        shape = joined.take(source[block])
        drawn = shape.leads.transpose(0, 2, 1) @ shape.bells(time)
        for row, at, beat_leads in zip(record[block], offset[block], drawn, strict=True):
            low, high = max(0, -at), min(length, n_samples - at)
            if low < high:
                eight[row, :, at + low : at + high] += beat_leads[:, low:high]


def _disturbances(
    p: dict, sampling_rate: float, n_samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Return noise, wander, mains hum and f waves in I, II, V1-V6: (n, 8, n_samples), mV."""
    n = len(p["noise"])
    time = np.arange(n_samples) / sampling_rate
    if p["noise"].any():
        eight = rng.standard_normal((n, 8, n_samples), dtype=np.float32)
        eight *= p["noise"][:, None, None].astype(np.float32)
    else:
        eight = np.zeros((n, 8, n_samples), dtype=np.float32)
    if p["baseline_wander"].any():
        angle = 2 * np.pi * np.outer(_WANDER_FREQUENCIES, time)
        basis = np.concatenate([np.sin(angle), np.cos(angle)]).astype(np.float32)
        size = rng.standard_normal((n, 8, len(basis)), dtype=np.float32)
        size *= (p["baseline_wander"] / np.sqrt(len(_WANDER_FREQUENCIES)))[:, None, None]
        eight += size @ basis
    # Above half the sampling rate the recorder's filter takes the hum away.
    heard = (p["powerline"] != 0) & (p["powerline_frequency"] < sampling_rate / 2)
    for i in np.flatnonzero(heard):
        phase = 2 * np.pi * (p["powerline_frequency"][i] * time + rng.random())
        eight[i] += np.outer(p["powerline"][i] * rng.uniform(0.5, 1, 8), np.sin(phase))
    for i in np.flatnonzero(p["atrial_fibrillation"]):
        eight[i] += _F_WAVES.T @ _fibrillation(time, rng)
    return eight


def _fibrillation(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return two wavefronts of 4 to 9 Hz whose rate and size drift, (2, len(time))."""
    rate = rng.uniform(5, 7.5) + rng.uniform(-0.5, 0.5, (2, 1))
    drift, phase, swell = 2 * np.pi * rng.random((3, 2, 1))
    angle = 2 * np.pi * rate * time + 1.2 * np.sin(2 * np.pi * 0.3 * time + drift) + phase
    wave = np.sin(angle) + 0.35 * np.sin(2 * angle + drift)
    return (wave * (1 + 0.4 * np.sin(2 * np.pi * 0.17 * time + swell))).astype(np.float32)


def _derive_limb_leads(eight: np.ndarray, twelve: np.ndarray) -> None:
    """Fill twelve leads from I, II, V1-V6 by Einthoven's and Goldberger's equations."""
    i, ii = eight[:, 0], eight[:, 1]
    twelve[:, 0], twelve[:, 1], twelve[:, 6:] = i, ii, eight[:, 2:]
    twelve[:, 2] = ii - i
    twelve[:, 3] = -(i + ii) / 2
    twelve[:, 4] = i - ii / 2
    twelve[:, 5] = ii - i / 2
