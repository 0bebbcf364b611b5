"""Writes hand-made folders in the layout of EchoNext, independently of make_echonext."""

import numpy as np
import pandas as pd

COUNTS = {"train": 6, "val": 3, "test": 4, "no_split": 5}
ORDERS = {
    "readme": "sex ventricular_rate atrial_rate pr_interval qrs_duration qt_corrected age_at_ecg",
    "code": "sex age_at_ecg ventricular_rate atrial_rate pr_interval qrs_duration qt_corrected",
}
FLAGS = [
    "lvef_lte_45_flag",
    "lvwt_gte_13_flag",
    "aortic_stenosis_moderate_or_greater_flag",
    "aortic_regurgitation_moderate_or_greater_flag",
    "mitral_regurgitation_moderate_or_greater_flag",
    "tricuspid_regurgitation_moderate_or_greater_flag",
    "pulmonary_regurgitation_moderate_or_greater_flag",
    "rv_systolic_dysfunction_moderate_or_greater_flag",
    "pericardial_effusion_moderate_large_flag",
    "pasp_gte_45_flag",
    "tr_max_gte_32_flag",
    "shd_moderate_or_greater_flag",
]


def make_rows(counts=COUNTS, seed=0):
    """Return a table; a patient has one record, but no_split is of those of val and test."""
    rng = np.random.default_rng(seed)
    split = np.repeat(list(counts), list(counts.values()))
    n = len(split)
    patient = np.arange(n) + 500
    judged = patient[np.isin(split, ["val", "test"])]
    patient[split == "no_split"] = rng.choice(judged, counts["no_split"])
    table = pd.DataFrame(
        {
            "ecg_key": 9000 + rng.permutation(n),
            "patient_key": patient,
            "sex": np.arange(n) % 2,
            "ventricular_rate": rng.integers(50, 120, n).astype(float),
            "atrial_rate": rng.integers(50, 300, n).astype(float),
            "pr_interval": rng.integers(120, 250, n).astype(float),
            "qrs_duration": rng.integers(70, 160, n).astype(float),
            "qt_corrected": rng.integers(380, 520, n).astype(float),
            "age_at_ecg": rng.integers(20, 91, n),
            "lvef_value": rng.integers(15, 70, n).astype(float),
        }
    )
    for flag in FLAGS:
        table[flag] = rng.integers(0, 2, n)
    table["lvef_lte_45_flag"] = (table["lvef_value"] <= 45).astype(int)
    table["split"] = split
    return table


def make_features(table, order="readme"):
    columns = []
    for name in ORDERS[order].split():
        values = table[name]
        if name in ("atrial_rate", "pr_interval"):
            values = values.fillna(0)
        elif name == "sex":
            values = values.astype(str).str.lower().str.strip().isin(["1", "m", "male"])
        else:
            values = values.fillna(values.median())
        columns.append(values if name == "sex" else (values - 90) / 17)
    return np.column_stack(columns).astype(float)


def make_waves(n, seed):
    return np.random.default_rng(seed).standard_normal((n, 1, 2500, 12))


def write_echonext(folder, table=None, order="readme", csv="echonext_metadata_100k.csv"):
    """Write a folder and return it; rows of the splits are mixed in the table."""
    table = make_rows() if table is None else table
    table = table.sample(frac=1, random_state=0).reset_index(drop=True)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / csv)
    for seed, split in enumerate(COUNTS):
        rows = table[table["split"] == split]
        np.save(folder / f"EchoNext_{split}_waveforms.npy", make_waves(len(rows), seed))
        np.save(folder / f"EchoNext_{split}_tabular_features.npy", make_features(rows, order))
    return folder
