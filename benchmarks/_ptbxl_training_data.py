"""Recordings that the weights and the study are made from, at 100 Hz, filtered, in mV."""

import lzma
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ecgsk import load_ptbxl
from ecgsk.datasets import PTBXL_TASKS
from ecgsk.preprocessing import BandPass

RATE = 100
# What recordings go through before the network; it travels with the weights.
PREPROCESSING = [BandPass(0.5, 40.0, sampling_rate=RATE)]


class Records(NamedTuple):
    """Recordings (n, 12, 1000) in mV, their 71 statements, patients and folds."""

    X: np.ndarray
    Y: np.ndarray
    patients: np.ndarray
    fold: np.ndarray


def filtered(X):
    for step in PREPROCESSING:
        X = step.transform(X)
    return X


def ptbxl(path, folds=range(1, 10)) -> Records:
    """Read PTB-XL; fold 10 is left for the exam."""
    bunch = load_ptbxl(path, task="all", sampling_rate=RATE, folds=folds)
    return Records(filtered(bunch.data), bunch.target, bunch.groups, bunch.fold)


def targets(path, task: str) -> pd.DataFrame:
    """Return a task's labels of the records of folds 1 to 9, NaN for those without any of them.

    Such records do not take part in the task.
    """
    bunch = load_ptbxl(path, task=task, folds=range(1, 10), lazy=True)
    ids = load_ptbxl(path, folds=range(1, 10), lazy=True).metadata.index
    table = pd.DataFrame(bunch.target, index=bunch.metadata.index, columns=list(PTBXL_TASKS[task]))
    return table.reindex(ids)


def some_patients(patients: np.ndarray, rows: np.ndarray, fraction: float, seed: int):
    """Return a mask of the records of a share of the patients."""
    found = np.unique(patients[rows])
    chosen = np.random.default_rng(seed).permutation(found)[: round(fraction * len(found))]
    return rows & np.isin(patients, chosen)


def more_ptbxl(folder, like: np.ndarray) -> Records:
    """Read PTB-XL records that were filtered and z-scored by lead, and give them amplitudes.

    What was lost is put back as far as it can be: each lead gets the median deviation of that
    lead in the recordings ``like``.
    """
    table = pd.read_csv(Path(folder) / "ptbxl100_zscored.csv")
    X = _integrated(Path(folder) / "ptbxl100_zscored.npy.xz") / 1000
    X = X * np.median(like.std(axis=2), axis=0)[:, None].astype(np.float32)
    names = {name: column for column, name in enumerate(PTBXL_TASKS["all"])}
    Y = np.zeros((len(X), len(names)), dtype=int)
    for row, codes in enumerate(table["codes"].fillna("")):
        Y[row, [names[code] for code in codes.split()]] = 1
    return Records(X, Y, table["patient_id"].to_numpy(), table["strat_fold"].to_numpy())


def cinc2011(folder) -> np.ndarray:
    """Read CinC 2011 without recordings that are empty or torn by artefacts."""
    # The values are counts of 5 microvolt: so scaled, their deviation is that of PTB-XL.
    X = filtered(_integrated(Path(folder) / "cinc2011_100_uV.npy.xz") * np.float32(5e-3))
    deviation = X.std(axis=(1, 2))
    return X[(deviation > 0.06) & (deviation < 0.6)]


def _integrated(path) -> np.ndarray:
    with lzma.open(path) as file:
        steps = np.load(file)
    return np.cumsum(steps, axis=-1, dtype=np.int16).astype(np.float32)
