"""The table of a synthetic EchoNext: who is in which split, what was measured and found."""

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.utils import Bunch

from ecgsk.datasets._echonext.layout import (
    COLUMNS,
    ECHONEXT_FLAGS,
    TABULAR_ORDERS,
    TABULAR_SCALING,
    VALUES,
)
from ecgsk.datasets._synthetic.lef_cohort import draw_records, ef_distribution

_LOW = 45.0
_SHARES = {"train": 0.72475, "val": 0.04626, "test": 0.05442, "no_split": 0.17457}
_TRAIN_RECORDS_OF_A_PATIENT = 72_475 / 26_218
_OLDEST = 90
_UNMEASURED = 0.2

# The published share of each other finding, and how much its logit rises with each 10 points that
# the ejection fraction is below 55.
_FINDINGS = {
    "aortic_stenosis_moderate_or_greater_flag": (0.040, 0.1),
    "aortic_regurgitation_moderate_or_greater_flag": (0.012, 0.1),
    "mitral_regurgitation_moderate_or_greater_flag": (0.085, 0.7),
    "tricuspid_regurgitation_moderate_or_greater_flag": (0.106, 0.5),
    "pulmonary_regurgitation_moderate_or_greater_flag": (0.008, 0.2),
    "rv_systolic_dysfunction_moderate_or_greater_flag": (0.132, 1.0),
    "pericardial_effusion_moderate_large_flag": (0.029, 0.0),
    "pasp_gte_45_flag": (0.189, 0.5),
    "tr_max_gte_32_flag": (0.103, 0.5),
}
# Of thick walls, without and with the finding LVH.
_THICK = (0.19, 0.75)

_VALVE = ("none", "mild", "moderate", "severe")
_REDUCED = ("mildly", "moderately", "severely")
_GRADES = {
    **dict.fromkeys(VALUES[:5], _VALVE),
    "rv_systolic_function_value": ("normal", *(f"{how}_reduced" for how in _REDUCED)),
    "pericardial_effusion_value": ("none", "small", "moderate", "large"),
}
_SETTINGS = (("inpatient", "emergency", "outpatient", "procedural"), (0.4, 0.25, 0.3, 0.05))
_ETHNICITIES = (
    ("hispanic", "white", "black", "unknown", "other", "asian"),
    (0.3, 0.3, 0.18, 0.12, 0.07, 0.03),
)


def draw_splits(
    n_records: int, n_patients: int | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the patient (0 to the last) and the split of each record.

    Shares of records are the published ones. Val and test have one record of a patient, and all
    of no_split is of those patients.
    """
    least = 2 if n_records >= 40 else 1
    size = {name: max(least, round(share * n_records)) for name, share in _SHARES.items()}
    size["train"] = n_records - size["val"] - size["test"] - size["no_split"]
    judged = size["val"] + size["test"]
    if n_patients is None:
        in_train = max(1, round(size["train"] / _TRAIN_RECORDS_OF_A_PATIENT))
    else:
        in_train = n_patients - judged
    if not 1 <= in_train <= size["train"]:
        raise ValueError(
            f"n_patients={n_patients!r} is not allowed; use an integer from {judged + 1} to "
            f"{judged + size['train']} with n_records={n_records}: {judged} are in val and test."
        )
    extra = rng.integers(in_train, size=size["train"] - in_train)
    earlier = in_train + rng.integers(judged, size=size["no_split"])
    patients = np.concatenate([np.arange(in_train + judged), extra, earlier])
    order = rng.permutation(n_records)
    split = np.repeat(
        ["train", "val", "test", "train", "no_split"],
        [in_train, size["val"], size["test"], len(extra), size["no_split"]],
    )
    return patients[order], split[order]


def draw_table(
    patients: np.ndarray, split: np.ndarray, prevalence: float, rng: np.random.Generator
) -> Bunch:
    """Draw all of a cohort that the signal does not decide."""
    cohort = draw_records(patients, prevalence, _LOW, rng)
    n, n_patients = len(patients), int(patients.max()) + 1
    year = rng.integers(2008, 2023, size=n)
    # The record that stands for a patient in val or test is the latest.
    moment = np.lexsort((rng.random(n), split != "no_split", patients))
    starts = np.searchsorted(patients[moment], np.arange(n_patients))
    first = np.repeat(starts, np.diff(np.append(starts, n)))
    year[moment] = year[np.lexsort((year, patients))]
    latest = np.zeros(n, dtype=bool)
    latest[moment[np.append(starts[1:], n) - 1]] = True
    age = cohort.age.copy()
    age[moment] += year[moment] - year[moment[first]]
    cohort.age = np.minimum(age, _OLDEST)
    cohort.update(
        split=split,
        year=year,
        latest=latest,
        setting=rng.choice(_SETTINGS[0], p=_SETTINGS[1], size=n),
        ethnicity=rng.choice(_ETHNICITIES[0], p=_ETHNICITIES[1], size=n_patients)[patients],
        patient_key=(100_000 + rng.permutation(10 * n_patients)[:n_patients])[patients],
        ecg_key=1_000_000 + rng.permutation(10 * n)[:n],
    )
    cohort.echo = _draw_echo(cohort, prevalence, rng)
    return cohort


def _draw_echo(cohort: Bunch, prevalence: float, rng: np.random.Generator) -> pd.DataFrame:
    """Draw what the echocardiogram of a patient found: values and flags."""
    patients, ef = cohort.groups, cohort.ejection_fraction
    n, n_patients = len(patients), int(patients.max()) + 1
    flags = {"lvef_lte_45_flag": ef <= _LOW}
    hypertrophy = cohort.diagnoses[:, cohort.diagnosis_names.index("LVH")]
    luck = {name: rng.random(n_patients)[patients] for name in ("lvwt_gte_13_flag", *_FINDINGS)}
    # A jet that is fast is one of high pressure.
    luck["pasp_gte_45_flag"] = luck["tr_max_gte_32_flag"]
    flags["lvwt_gte_13_flag"] = luck["lvwt_gte_13_flag"] < np.take(_THICK, hypertrophy)
    prior = ef_distribution(prevalence, _LOW)
    grid = np.arange(10.0, 10.0 + len(prior))
    for name, (share, slope) in _FINDINGS.items():
        level = brentq(_excess, -20, 20, args=(slope, grid, prior, share))
        flags[name] = luck[name] < expit(level + slope * (55 - ef) / 10)
    flags["shd_moderate_or_greater_flag"] = np.any(list(flags.values()), axis=0)
    flags = pd.DataFrame(flags)[list(ECHONEXT_FLAGS)].astype(int)

    place = rng.random((len(VALUES), n_patients))[:, patients]
    values = {}
    for k, (name, grades) in enumerate(_GRADES.items()):
        # Three of four stay at the lower of the two grades on their side of the flag.
        grade = 2 * flags[ECHONEXT_FLAGS[2 + k]].to_numpy() + (place[k] > 0.75)
        values[name] = np.array(grades, dtype=object)[grade]
    thick = flags["lvwt_gte_13_flag"].to_numpy()
    values["ivs_measurement"] = np.where(thick, 1.3 + 0.6 * place[7], 0.7 + 0.5 * place[7])
    values["lvpw_measurement"] = values["ivs_measurement"] - 0.1 * place[8]
    fast, pressed = flags["tr_max_gte_32_flag"], flags["pasp_gte_45_flag"]
    velocity = np.select(
        [fast == 1, pressed == 1], [3.2 + place[10], 2.9 + 0.25 * place[10]], 1.8 + 0.9 * place[10]
    )
    # Bernoulli's 4 v^2 and the pressure of the right atrium, mmHg.
    atrium = np.where(pressed, 13 + 5 * place[9], 3 + 7 * place[9])
    values["pasp_value"] = np.round(4 * velocity**2 + atrium)
    values["tr_max_velocity_value"] = velocity.round(2)
    values["lvef_value"] = ef
    echo = pd.DataFrame(values)[list(VALUES)]
    for name in ("ivs_measurement", "lvpw_measurement"):
        echo[name] = echo[name].round(2)

    # Values exist within a year before the echo; earlier recordings are negative by rule, so
    # that of the negative ones alone some are without. The share is of those of normal fraction.
    negative = flags["shd_moderate_or_greater_flag"].to_numpy() == 0
    normal = flags["lvef_lte_45_flag"].to_numpy() == 0
    share = min(1.0, _UNMEASURED * normal.sum() / max(1, negative.sum()))
    early = negative & (rng.random(n) < share)
    echo.loc[early] = None
    return pd.concat([echo, flags], axis=1)


def _excess(level, slope, grid, prior, share):
    return prior @ expit(level + slope * (55 - grid) / 10) - share


def make_table(cohort: Bunch, p: dict) -> pd.DataFrame:
    """Return the table with all documented columns, given the physiology that is drawn."""
    fibrillates = p["atrial_fibrillation"]
    rate = p["heart_rate"].round()
    # Premature ventricular beats have no P wave. Rounded down, so that the two rates differ by
    # one now and then, as measured ones do: equal columns could not be told apart.
    atrial = np.floor(p["heart_rate"] * (1 - p["pvc_rate"]))
    bazett = p["qt_interval"] / np.sqrt(60 / p["heart_rate"])
    table = cohort.echo.assign(
        ecg_key=cohort.ecg_key,
        patient_key=cohort.patient_key,
        split=cohort.split,
        acquisition_year=cohort.year,
        location_setting=cohort.setting,
        race_ethnicity=cohort.ethnicity,
        most_recent_ecg=cohort.latest.astype(int),
        sex=1 - cohort.sex,
        ventricular_rate=rate,
        atrial_rate=np.where(fibrillates, np.nan, atrial),
        pr_interval=np.where(fibrillates, np.nan, (1000 * p["pr_interval"]).round()),
        qrs_duration=(1000 * p["qrs_duration"]).round(),
        qt_corrected=(1000 * bazett).round(),
        age_at_ecg=cohort.age,
    )
    return table[list(COLUMNS)]


def make_features(table: pd.DataFrame, column_order: str) -> np.ndarray:
    """Return standardized features, (n_records, 7): missing rates and PR are 0 before scaling."""
    columns = []
    for name in TABULAR_ORDERS[column_order]:
        mean, scale = TABULAR_SCALING.get(name, (0.0, 1.0))
        columns.append((table[name].fillna(0).to_numpy(dtype=float) - mean) / scale)
    return np.column_stack(columns)


def make_truth(table: pd.DataFrame, cohort: Bunch) -> pd.DataFrame:
    """Return what was planted: the ejection fraction, the oracle and the findings."""
    truth = table[["ecg_key", "patient_key", "split"]].assign(
        ejection_fraction=cohort.ejection_fraction, oracle=cohort.oracle
    )
    findings = pd.DataFrame(cohort.diagnoses, columns=cohort.diagnosis_names)
    return pd.concat([truth, findings], axis=1)
