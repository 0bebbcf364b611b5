"""A synthetic cohort with low ejection fractions whose best possible score is known."""

from inspect import getdoc
from numbers import Real

import numpy as np
from scipy.special import expit, softmax
from sklearn.utils import Bunch

from ecgsk._core.public import public
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk.datasets._synthetic.ecg import as_generator, check_size, resolve_physiology
from ecgsk.datasets._synthetic.ecg_model import draw_bodies
from ecgsk.datasets._synthetic.rhythm import render

# Echocardiographers report whole percents, and on a finite set of values the posterior is a sum.
_EF_GRID = np.arange(10.0, 81.0)
_EF_HEALTHY, _EF_FAILING = (61.0, 6.0), (34.0, 8.0)

# Logit at an EF of 55 %, its change for each 10 points below, whether a patient keeps it.
_FINDINGS = {
    "CLBBB": (-3.6, 1.2, True),
    "ASMI": (-3.3, 1.3, True),
    "IMI": (-3.0, 0.6, True),
    "LVH": (-2.7, 0.7, True),
    "AFIB": (-2.7, 0.8, False),
    "INVT": (-2.5, 1.2, False),
    "STD_": (-2.8, 0.7, False),
    "LVOLT": (-3.2, 0.5, False),
    "STACH": (-3.0, 0.8, False),
    "PVC": (-2.8, 0.8, False),
    "LNGQT": (-3.0, 0.7, False),
    "CRBBB": (-2.9, 0.0, True),
    "LAFB": (-2.6, 0.0, True),
    "1AVB": (-2.6, 0.0, True),
}
_NAMES = list(_FINDINGS)

# The finding that a parameter of make_ecg shows, its range without and with the finding.
_RANGES = {
    "heart_rate": ("STACH", (55, 88), (104, 135)),
    "pr_interval": ("1AVB", (0.13, 0.19), (0.23, 0.30)),
    "axis": ("LAFB", (-20, 85), (-75, -45)),
    "voltage": ("LVOLT", (0.8, 1.25), (0.30, 0.45)),
    "hypertrophy": ("LVH", (0.0, 0.1), (0.6, 1.1)),
    "t_wave": ("INVT", (0.6, 1.4), (-1.1, -0.5)),
    "st_level": ("STD_", (-0.03, 0.03), (-0.25, -0.12)),
    "pvc_rate": ("PVC", (0.0, 0.0), (0.2, 0.4)),
    "qtc": ("LNGQT", (0.38, 0.43), (0.50, 0.57)),
}
_OF_THE_RECORD = ("heart_rate", "st_level", "pvc_rate")
_QRS = {None: (0.080, 0.105), "left": (0.13, 0.17), "right": (0.125, 0.16)}
_INFARCTS = np.array([None, "anterior", "inferior", "both"], dtype=object)
_BODY_VARIATION = 0.15
_LONGEST_QT = 0.9
_LOUDEST = 3.0


@public("ecgsk")
def make_lef_cohort(
    n_records: int = 1000,
    *,
    n_patients: int | None = None,
    prevalence: float = 0.2,
    ef_threshold: float = 45.0,
    sampling_rate: float = 100.0,
    duration: float = 10.0,
    noise: float = 0.02,
    random_state=None,
) -> Bunch:
    """Make a cohort of synthetic ECGs with ejection fractions, and the best score there can be.

    The cohort is made in three steps, and the waveform knows of the ejection fraction (EF) through
    the second alone.

    1. A patient's EF is a whole percent from 10 to 80, from two bells at those values: mean 61 and
       deviation 6, or mean 34 and deviation 8. The share of the second is what makes
       ``P(EF <= ef_threshold)`` the ``prevalence``. All records of a patient have that EF.
    2. Each finding k is there with a probability of its own, independent of the others once the
       EF is given::

           logit P(finding k | EF) = a[k] + b[k] * (55 - EF) / 10

       ========  =====  ====  ============================================  ===========
       Finding   a      b     Seen as                                       Drawn for a
       ========  =====  ====  ============================================  ===========
       CLBBB     -3.6   1.2   left bundle branch block, QRS 0.13-0.17 s     patient
       ASMI      -3.3   1.3   anteroseptal infarct: QS in V1-V3             patient
       IMI       -3.0   0.6   inferior infarct: Q in II, III, aVF           patient
       LVH       -2.7   0.7   high voltages and strain                      patient
       AFIB      -2.7   0.8   atrial fibrillation                           record
       INVT      -2.5   1.2   inverted T                                    record
       ``STD_``  -2.8   0.7   ST depressed by 0.12-0.25 mV in V5            record
       LVOLT     -3.2   0.5   0.30 to 0.45 of the usual voltage             record
       STACH     -3.0   0.8   rate 104-135 (else 55-88) per minute          record
       PVC       -2.8   0.8   premature ventricular beats, 0.2-0.4 of all   record
       LNGQT     -3.0   0.7   QTc 0.50-0.57 (else 0.38-0.43) s              record
       CRBBB     -2.9   0.0   right bundle branch block                     patient
       LAFB      -2.6   0.0   axis -75 to -45 (else -20 to 85) degrees      patient
       1AVB      -2.6   0.0   PR 0.23-0.30 (else 0.13-0.19) s               patient
       ========  =====  ====  ============================================  ===========

    3. `make_ecg` draws the record from its findings and from what has nothing to do with the EF:
       values within the ranges above, the body (variation 0.15), noise (0.5 to 1.5 times
       ``noise``), wander (0.02 to 0.1 mV). Body, intervals, axis and voltage are the patient's,
       so two records of a patient look alike. Age and sex are independent of all else. CLBBB
       hides CRBBB and AFIB hides 1AVB; the hidden ones say nothing of the EF.

    ``oracle`` is ``P(EF <= ef_threshold | the record's findings)``, summed exactly over the values
    of the EF. By the lemma of Neyman and Pearson no score that is computed from one record has a
    higher AUROC in expectation, for any model: about 0.92 at the default settings.

    Parameters
    ----------
    n_records : int, default=1000
        Number of recordings.
    n_patients : int, default=None
        From how many patients; each has one at least. None: two thirds of ``n_records``.
    prevalence : float, default=0.2
        ``P(EF <= ef_threshold)`` of a patient.
    ef_threshold : float, default=45.0
        Highest EF that counts as low, percent.
    sampling_rate : float, default=100.0
        Hz.
    duration : float, default=10.0
        Seconds.
    noise : float, default=0.02
        Standard deviation of the white noise, mV.
    random_state : int, numpy Generator, RandomState or None, default=None
        Makes the cohort repeat. NumPy's global generator is neither read nor changed.

    Returns
    -------
    cohort : Bunch
        ``data`` (n_records, 12, n_samples), float32 mV, leads I II III aVR aVL aVF V1-V6;
        ``target`` (n_records,), 1 where ``ejection_fraction`` (percent) is at most
        ``ef_threshold``;
        ``diagnoses`` (n_records, 14) 0/1 with ``diagnosis_names``; ``oracle`` (n_records,);
        ``groups``, ``age`` (years) and ``sex`` (0 male, 1 female) of the patients, each of length
        n_records; ``sampling_rate``, ``lead_names`` and ``DESCR``.

    Raises
    ------
    ValueError
        For sizes below 1, more patients than records, noise below 0, and a prevalence that no
        mixture of the two bells gives at that threshold.
    TypeError
        For values that are not numbers.

    Examples
    --------
    >>> from sklearn.metrics import roc_auc_score
    >>> from ecgsk.datasets import make_lef_cohort
    >>> cohort = make_lef_cohort(300, random_state=0)
    >>> cohort.data.shape, cohort.diagnoses.shape
    ((300, 12, 1000), (300, 14))
    >>> bool(roc_auc_score(cohort.target, cohort.oracle) > 0.8)
    True
    """
    n_samples = check_size(n_records, sampling_rate, duration)
    check_numbers(prevalence=prevalence, ef_threshold=ef_threshold, noise=noise)
    rng = as_generator(random_state)
    cohort = draw_cohort(n_records, n_patients, prevalence, ef_threshold, rng)
    p, body = draw_physiology(cohort, noise, rng)
    cohort.data, _ = render(p, body, sampling_rate, n_samples, rng)
    cohort.update(
        sampling_rate=float(sampling_rate),
        lead_names=list(STANDARD_LEADS),
        DESCR=getdoc(make_lef_cohort),
    )
    return cohort


def check_numbers(**given) -> None:
    """Raise for values that are not numbers, and for noise that is too loud."""
    for name, value in given.items():
        if not isinstance(value, Real):
            raise TypeError(f"{name}={value!r} is not allowed; use a number.")
    noise = given["noise"]
    if not 0 <= noise <= _LOUDEST:
        raise ValueError(f"noise={noise!r} is not allowed; use mV from 0 to {_LOUDEST:g}.")


def draw_cohort(
    n_records: int,
    n_patients: int | None,
    prevalence: float,
    ef_threshold: float,
    rng: np.random.Generator,
) -> Bunch:
    """Draw all of a cohort but its waveforms."""
    if n_patients is None:
        n_patients = max(1, round(n_records / 1.5))
    if not isinstance(n_patients, (int, np.integer)) or not 1 <= n_patients <= n_records:
        raise ValueError(
            f"n_patients={n_patients!r} is not allowed; use an integer from 1 to "
            f"n_records={n_records}."
        )
    extra = rng.integers(n_patients, size=n_records - n_patients)
    groups = rng.permutation(np.concatenate([np.arange(n_patients), extra]))
    return draw_records(groups, prevalence, ef_threshold, rng)


def draw_records(
    groups: np.ndarray, prevalence: float, ef_threshold: float, rng: np.random.Generator
) -> Bunch:
    """Draw a cohort's records, given which patient (0 to the last) each is of."""
    n_records, n_patients = len(groups), int(groups.max()) + 1
    prior = ef_distribution(prevalence, ef_threshold)
    ef = rng.choice(_EF_GRID, size=n_patients, p=prior)[groups]
    chance = finding_probabilities(ef)
    kept = np.array([finding[2] for finding in _FINDINGS.values()])
    luck = np.where(
        kept, rng.random((n_patients, len(kept)))[groups], rng.random((n_records, len(kept)))
    )
    diagnoses = (luck < chance).astype(int)
    age = np.clip(rng.normal(63, 14, n_patients), 18, 95).round()[groups]
    return Bunch(
        target=(ef <= ef_threshold).astype(int),
        ejection_fraction=ef,
        diagnoses=diagnoses,
        diagnosis_names=list(_NAMES),
        groups=groups,
        age=age,
        sex=rng.integers(2, size=n_patients)[groups],
        oracle=posterior(diagnoses, prior, ef_threshold),
    )


def ef_distribution(prevalence: float, ef_threshold: float) -> np.ndarray:
    """Return the probability of each EF from 10 to 80 %."""
    healthy, failing = (
        softmax(-((_EF_GRID - mean) ** 2) / (2 * deviation**2))
        for mean, deviation in (_EF_HEALTHY, _EF_FAILING)
    )
    low = ef_threshold >= _EF_GRID
    least, most = healthy[low].sum(), failing[low].sum()
    if not least <= prevalence <= most:
        raise ValueError(
            f"prevalence={prevalence!r} is not allowed with ef_threshold={ef_threshold!r}; at that "
            f"threshold it can be {least:.3g} to {most:.3g}."
        )
    share = (prevalence - least) / (most - least) if most > least else 0.0
    return share * failing + (1 - share) * healthy


def finding_probabilities(ef: np.ndarray) -> np.ndarray:
    """Return P(finding | EF), of shape (len(ef), findings)."""
    intercept, slope = np.array([finding[:2] for finding in _FINDINGS.values()]).T
    return expit(intercept + slope * (55 - np.asarray(ef)[:, None]) / 10)


def posterior(diagnoses: np.ndarray, prior: np.ndarray, ef_threshold: float) -> np.ndarray:
    """Return P(EF <= ef_threshold | the findings of a record)."""
    chance = finding_probabilities(_EF_GRID)
    log_likelihood = diagnoses @ np.log(chance).T + (1 - diagnoses) @ np.log1p(-chance).T
    with np.errstate(divide="ignore"):
        weights = softmax(log_likelihood + np.log(prior), axis=1)
    return weights[:, ef_threshold >= _EF_GRID].sum(axis=1)


def draw_physiology(cohort: Bunch, noise: float, rng: np.random.Generator) -> tuple[dict, dict]:
    """Turn findings into parameters of make_ecg, and draw the bodies of the patients."""
    n, groups = len(cohort.target), cohort.groups
    n_patients = groups.max() + 1
    shown = dict(zip(_NAMES, cohort.diagnoses.T.astype(bool), strict=True))
    p = {}
    for name, (finding, without, present) in _RANGES.items():
        place = rng.random(n) if name in _OF_THE_RECORD else rng.random(n_patients)[groups]
        low, high = np.where(shown[finding], np.array(present)[:, None], np.array(without)[:, None])
        p[name] = low + place * (high - low)
    block = np.full(n, None, dtype=object)
    block[shown["CRBBB"]] = "right"
    block[shown["CLBBB"]] = "left"
    low, high = np.array([_QRS[side] for side in block]).T
    qrs = low + rng.random(n_patients)[groups] * (high - low)
    rr = 60 / p["heart_rate"]
    qt = np.minimum(p.pop("qtc") * np.cbrt(rr) + np.maximum(qrs - 0.09, 0), _LONGEST_QT * rr)
    p.update(
        bundle_branch_block=block,
        qrs_duration=qrs,
        qt_interval=qt,
        infarct=_INFARCTS[shown["ASMI"] + 2 * shown["IMI"]],
        st_territory="lateral",
        atrial_fibrillation=shown["AFIB"],
        heart_rate_variability=rng.uniform(0.01, 0.05, n),
        body_variation=_BODY_VARIATION,
        noise=noise * rng.uniform(0.5, 1.5, n),
        baseline_wander=rng.uniform(0.02, 0.1, n),
        powerline=0.0,
        powerline_frequency=50.0,
    )
    bodies = draw_bodies(n_patients, _BODY_VARIATION, rng)
    return resolve_physiology(n, p), {name: part[groups] for name, part in bodies.items()}
