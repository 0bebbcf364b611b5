"""The heart as a moving dipole: the waves of a beat, and what twelve leads see of them.

Vectors are (x towards the left arm, y towards the feet, z towards the sternum). Each wave of a
beat is a bell in time, with a slope of its own on either side, times one such vector.
"""

from dataclasses import dataclass

import numpy as np

# Leads I, II, V1-V6: the limb leads are Einthoven's triangle, the chest leads Dower's (1980).
_LIMB_SCALE = 0.65
_LEAD_VECTORS = np.array(
    [
        (_LIMB_SCALE, 0.0, 0.0),
        (_LIMB_SCALE / 2, _LIMB_SCALE * np.sqrt(3) / 2, 0.0),
        (-0.515, 0.157, 0.917),
        (0.044, 0.164, 1.387),
        (0.882, 0.098, 1.277),
        (1.213, 0.127, 0.601),
        (1.125, 0.127, 0.086),
        (0.831, 0.076, -0.230),
    ]
)
# A heart that lies steep or flat shows it less in the chest than in the limbs.
_CHEST_SHARE_OF_TURN = 0.35
_T_SHARE_OF_TURN = 0.4

# Seconds after the onset of P, width in seconds, vector in mV: right atrium, left atrium.
_P_WAVES = np.array(
    [
        (0.038, 0.016, 0.050, 0.130, 0.060),
        (0.064, 0.018, 0.080, 0.080, -0.065),
    ]
)
# Centre and width as fractions of the QRS duration, vector in mV. Six rows each, of which the
# third and fourth are the bulk of the left ventricle, which hypertrophy enlarges.
_QRS_WAVES = {
    None: np.array(
        [
            (0.17, 0.068, -0.22, -0.08, 0.34),
            (0.36, 0.085, 0.55, 0.50, 0.36),
            (0.51, 0.085, 1.05, 0.85, -0.35),
            (0.67, 0.080, 0.10, 0.10, -0.80),
            (0.82, 0.070, -0.28, -0.22, -0.12),
            (0.82, 0.070, 0.0, 0.0, 0.0),
        ]
    ),
    "left": np.array(
        [
            (0.14, 0.060, 0.22, 0.12, 0.16),
            (0.30, 0.085, 0.78, 0.30, -0.68),
            (0.48, 0.095, 0.55, 0.12, -0.92),
            (0.67, 0.090, 0.86, 0.16, -0.72),
            (0.84, 0.062, 0.20, 0.0, -0.25),
            (0.84, 0.062, 0.0, 0.0, 0.0),
        ]
    ),
    "right": np.array(
        [
            (0.11, 0.045, -0.22, -0.08, 0.34),
            (0.23, 0.055, 0.55, 0.50, 0.36),
            (0.33, 0.055, 1.05, 0.85, -0.35),
            (0.45, 0.060, 0.10, 0.10, -0.55),
            (0.66, 0.090, -0.48, 0.06, 0.58),
            (0.81, 0.075, -0.42, 0.04, 0.24),
        ]
    ),
}
_BULK = slice(4, 6)
# The late vectors of right bundle branch block say nothing of the axis of the left ventricle.
_LATE_RIGHT = slice(6, 8)
_INFARCT_WAVES = {
    "anterior": (0.35, 0.135, -0.40, 0.0, -0.90),
    "inferior": (0.27, 0.110, 0.10, -0.95, 0.10),
}

_T_VECTOR = np.array((0.30, 0.24, 0.18))
_SECONDARY_T = {
    "left": (-0.62, -0.27, 0.24),
    "right": (0.05, 0.0, -0.34),
    "anterior": (-0.32, 0.0, -0.42),
    "inferior": (0.06, -0.55, 0.06),
    "hypertrophy": (-0.58, -0.30, 0.12),
}
# Several diseases together do not make a T as deep as their sum. Longer than any one alone.
_LONGEST_SECONDARY_T = 0.75
_SECONDARY_ST = {
    "left": (-0.10, 0.0, 0.16),
    "right": (0.0, 0.0, -0.05),
    "anterior": (0.03, 0.0, 0.09),
    "inferior": (0.0, 0.04, 0.0),
    "hypertrophy": (-0.12, -0.06, 0.06),
}

# Direction of the ST vector, and the combination of I, II, V1-V6 in which its level is meant:
# V3, aVF = II - I/2, and V5.
ST_TERRITORIES = {
    "anterior": ((0.2, 0.0, 1.0), (0, 0, 0, 0, 1, 0, 0, 0)),
    "inferior": ((-0.1, 1.0, 0.0), (-0.5, 1, 0, 0, 0, 0, 0, 0)),
    "lateral": ((0.9, 0.4, 0.0), (0, 0, 0, 0, 0, 0, 1, 0)),
}

P, QRS, ANTERIOR, INFERIOR, ST, T = slice(0, 2), slice(2, 8), 8, 9, 10, 11
_N_WAVES = 12

_PVC_WAVES = np.array([(0.18, 0.07, 0.25), (0.38, 0.10, 0.9), (0.55, 0.10, 1.0), (0.74, 0.10, 0.7)])
_PVC_DURATION, _PVC_QT = 0.16, 0.46


@dataclass
class Waves:
    """The waves of a beat, for each of n records: bells with a flat top from start to stop.

    Times are in seconds after the onset of the QRS complex, each of shape (n, waves);
    ``leads`` is what I, II, V1-V6 see at the top, mV, of shape (n, waves, 8).
    """

    start: np.ndarray
    stop: np.ndarray
    rise: np.ndarray
    fall: np.ndarray
    leads: np.ndarray

    def take(self, records: np.ndarray) -> "Waves":
        """Return the waves of some records."""
        return Waves(*(array[records] for array in vars(self).values()))

    def bells(self, time: np.ndarray) -> np.ndarray:
        """Evaluate the bells, (n, waves, len), at times of shape (n, len)."""
        time = time[:, None, :]
        before = np.minimum(time - self.start[..., None], 0) / self.rise[..., None]
        after = np.maximum(time - self.stop[..., None], 0) / self.fall[..., None]
        # One of the two is zero everywhere, so the sum's square is the sum of the squares.
        before += after
        np.square(before, out=before)
        before *= -0.5
        return np.exp(before, out=before)


def draw_bodies(n: int, variation: float | np.ndarray, rng: np.random.Generator) -> dict:
    """Draw how n bodies differ: gains of the chest leads, and shifts of each wave's vector."""
    scale = np.broadcast_to(np.asarray(variation, dtype=float), (n,))
    return {
        "gain": np.exp(0.7 * scale[:, None] * rng.standard_normal((n, 6))),
        "shift": scale[:, None, None] * rng.standard_normal((n, _N_WAVES, 3)),
    }


def beat_waves(p: dict, body: dict) -> tuple[Waves, np.ndarray]:
    """Build the waves of each record's beat, and the time of its R peak after the QRS onset."""
    n = len(p["qrs_duration"])
    center, width, vectors = np.zeros((n, _N_WAVES)), np.ones((n, _N_WAVES)), _vectors(p)
    center[:, P] = _P_WAVES[:, 0] - p["pr_interval"][:, None]
    width[:, P] = _P_WAVES[:, 1]
    for block, table in _QRS_WAVES.items():
        rows = p["bundle_branch_block"] == block
        center[rows, QRS], width[rows, QRS] = table[:, 0], table[:, 1]
    for wave, name in ((ANTERIOR, "anterior"), (INFERIOR, "inferior")):
        center[:, wave], width[:, wave] = _INFARCT_WAVES[name][:2]
    qrs = slice(QRS.start, INFERIOR + 1)
    center[:, qrs] *= p["qrs_duration"][:, None]
    width[:, qrs] *= p["qrs_duration"][:, None]

    jt = p["qt_interval"] - p["qrs_duration"]
    start, rise, fall = center, width, width.copy()
    # The tangent to a bell's steepest descent meets the baseline two widths after its top, which
    # is how the end of T is read.
    start[:, T], rise[:, T], fall[:, T] = p["qrs_duration"] + 0.70 * jt, 0.20 * jt, 0.15 * jt
    stop = start.copy()
    start[:, ST], rise[:, ST] = p["qrs_duration"], 0.012
    stop[:, ST] = p["qrs_duration"] + np.minimum(0.08, 0.35 * jt)
    fall[:, ST] = (start[:, T] - stop[:, ST]) / 2

    length = np.linalg.norm(vectors, axis=2, keepdims=True)
    vectors = vectors + body["shift"] * length
    # Before the ST level joins, so that the level asked for is the level there is.
    leads = _project(vectors, _turns(p, vectors, width), body["gain"])
    _add_st_level(leads, p, body["gain"])
    waves = Waves(start, stop, rise, fall, leads)
    return waves, _peak_time(waves, vectors, p["qrs_duration"])


def _vectors(p: dict) -> np.ndarray:
    n, voltage = len(p["voltage"]), p["voltage"][:, None]
    vectors = np.zeros((n, _N_WAVES, 3))
    vectors[:, P] = np.where(p["atrial_fibrillation"][:, None, None], 0.0, _P_WAVES[:, 2:])
    t, st = np.zeros((2, n, 3))
    degrees = {
        "left": p["bundle_branch_block"] == "left",
        "right": p["bundle_branch_block"] == "right",
        "anterior": np.isin(p["infarct"], ("anterior", "both")),
        "inferior": np.isin(p["infarct"], ("inferior", "both")),
        "hypertrophy": p["hypertrophy"],
    }
    for name, degree in degrees.items():
        t += degree[:, None] * np.array(_SECONDARY_T[name])
        st += degree[:, None] * np.array(_SECONDARY_ST[name])
    length = np.linalg.norm(t, axis=1, keepdims=True)
    t *= _LONGEST_SECONDARY_T / np.maximum(length, _LONGEST_SECONDARY_T)
    t += p["t_wave"][:, None] * _T_VECTOR
    for block, table in _QRS_WAVES.items():
        vectors[p["bundle_branch_block"] == block, QRS] = table[:, 2:]
    vectors[:, _BULK] *= 1 + 0.9 * p["hypertrophy"][:, None, None]
    for wave, name in ((ANTERIOR, "anterior"), (INFERIOR, "inferior")):
        vectors[:, wave] = degrees[name][:, None] * np.array(_INFARCT_WAVES[name][2:])
    vectors[:, QRS.start : INFERIOR + 1] *= voltage[..., None]
    vectors[:, T], vectors[:, ST] = voltage * t, voltage * st
    return vectors


def _turns(p: dict, vectors: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Return by how much each wave turns in the frontal plane to give the axis, radians."""
    share = np.zeros(width.shape)
    share[:, QRS] = 1
    share[p["bundle_branch_block"] == "right", _LATE_RIGHT] = 0
    x, y = ((share * width * vectors[..., i]).sum(axis=1) for i in (0, 1))
    turn = np.deg2rad(p["axis"]) - np.arctan2(y, x)
    turn = (turn + np.pi) % (2 * np.pi) - np.pi
    share[:, T] = _T_SHARE_OF_TURN
    return share * turn[:, None]


def _project(vectors: np.ndarray, turn: np.ndarray, gain: np.ndarray) -> np.ndarray:
    leads = np.empty((*vectors.shape[:2], 8))
    for where, angle in ((slice(0, 2), turn), (slice(2, 8), _CHEST_SHARE_OF_TURN * turn)):
        sin, cos = np.sin(angle), np.cos(angle)
        turned = vectors.copy()
        turned[..., 0] = cos * vectors[..., 0] - sin * vectors[..., 1]
        turned[..., 1] = sin * vectors[..., 0] + cos * vectors[..., 1]
        leads[..., where] = turned @ _LEAD_VECTORS[where].T
    leads[..., 2:] *= gain[:, None, :]
    return leads


def _add_st_level(leads: np.ndarray, p: dict, gain: np.ndarray) -> None:
    for name, (direction, reference) in ST_TERRITORIES.items():
        rows = p["st_territory"] == name
        seen = np.tile(_LEAD_VECTORS @ direction, (int(rows.sum()), 1))
        seen[:, 2:] *= gain[rows]
        leads[rows, ST] += (p["st_level"][rows] / (seen @ np.array(reference)))[:, None] * seen


def _peak_time(waves: Waves, vectors: np.ndarray, duration: np.ndarray) -> np.ndarray:
    """Return when the heart's vector is longest in the QRS, seconds after its onset."""
    n = len(duration)
    if not n:
        return np.zeros(0)
    time = np.linspace(0, 1, 101) * duration[:, None]
    qrs = slice(QRS.start, INFERIOR + 1)
    path = np.einsum("nwt,nwc->ntc", waves.bells(time)[:, qrs], vectors[:, qrs])
    return time[np.arange(n), np.linalg.norm(path, axis=2).argmax(axis=1)]


def premature_waves(waves: Waves, voltage: np.ndarray, rng: np.random.Generator) -> Waves:
    """Return each record's premature ventricular beat: no P, a broad QRS and a T against it."""
    n = len(waves.start)
    leads = np.zeros_like(waves.leads)
    start, rise, fall = waves.start.copy(), waves.rise.copy(), waves.fall.copy()
    # From the right ventricle's outflow tract: downwards, away from the sternum.
    angle = rng.normal(np.deg2rad(100), 0.3, n)
    direction = np.stack([np.cos(angle), np.sin(angle), np.full(n, -0.75)], axis=1)
    seen = 1.3 * voltage[:, None] * (direction @ _LEAD_VECTORS.T)
    for wave, (center, width, size) in enumerate(_PVC_WAVES, start=QRS.start):
        start[:, wave] = center * _PVC_DURATION
        rise[:, wave] = fall[:, wave] = width * _PVC_DURATION
        leads[:, wave] = size * seen
    jt = _PVC_QT - _PVC_DURATION
    start[:, T], rise[:, T], fall[:, T] = _PVC_DURATION + 0.6 * jt, 0.2 * jt, 0.17 * jt
    leads[:, T] = -0.4 * seen
    return Waves(start, start.copy(), rise, fall, leads)
