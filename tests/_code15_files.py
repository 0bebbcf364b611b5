"""Files in the layout of CODE-15."""

from pathlib import Path

import numpy as np
import pandas as pd

from ecgsk import make_ecg

LABELS = ["1dAVb", "RBBB", "LBBB", "SB", "ST", "AF"]


def code15_signals(n_records=4):
    """Return recordings of 10.24, 10, 7 and 10 s at 400 Hz, (12, n_samples) each."""
    ecgs = make_ecg(n_records, sampling_rate=400, random_state=0)
    first = np.hstack([ecgs[0], ecgs[0][:, 3904:]])
    return [first, ecgs[1], ecgs[2][:, :2800], *ecgs[3:]]


def write_part(path, signals, exam_ids):
    """Write a file of recordings, which ends with an empty one with the number 0."""
    import h5py

    tracings = np.zeros((len(signals) + 1, 4096, 12), dtype=np.float32)
    for target, signal in zip(tracings, signals, strict=False):
        start = (4096 - signal.shape[1]) // 2
        target[start : start + signal.shape[1]] = signal.T
    with h5py.File(path, "w") as file:
        file["tracings"] = tracings
        file["exam_id"] = np.array([*exam_ids, 0], dtype=np.int64)


def exams(**changed) -> pd.DataFrame:
    """Return a table of four exams of three patients, in another order than the files."""
    table = {
        "exam_id": [103, 101, 104, 102],
        "age": [48, 61, 30, 93],
        "is_male": [False, True, True, False],
        "nn_predicted_age": [50.5, 60.1, 29.0, 80.0],
        **{label: [False] * 4 for label in LABELS},
        "patient_id": [8, 7, 9, 8],
        "death": [None, True, False, None],
        "timey": [None, 1.5, 3.0, None],
        "normal_ecg": [True, False, False, False],
        "trace_file": ["exams_part0.hdf5", "exams_part0.hdf5", "exams_part1.hdf5",
                       "exams_part0.hdf5"],
    }  # fmt: skip
    table["AF"] = [False, True, False, False]
    table["RBBB"] = [False, True, True, False]
    return pd.DataFrame({**table, **changed})


def write_code15(folder, table=None) -> Path:
    """Write exams 102, 101, 103 in part 0, and 104 in part 1, with their table."""
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    s101, s102, s103, s104 = code15_signals()
    write_part(folder / "exams_part0.hdf5", [s102, s101, s103], [102, 101, 103])
    write_part(folder / "exams_part1.hdf5", [s104], [104])
    (exams() if table is None else table).to_csv(folder / "exams.csv", index=False)
    return folder
