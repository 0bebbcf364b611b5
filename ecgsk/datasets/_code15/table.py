"""The table of CODE-15: exams, patients and labels."""

from pathlib import Path

import numpy as np
import pandas as pd

from ecgsk._core.csv_tables import read_csv
from ecgsk._core.record_error import RecordError

CSV = "exams.csv"
LABELS = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
_NEEDED = ("exam_id", "patient_id", *LABELS, "trace_file")
_TRUTH = {"true": 1, "1": 1, "1.0": 1, "false": 0, "0": 0, "0.0": 0}


def read_exams(path: Path) -> tuple[Path, pd.DataFrame, np.ndarray, list[RecordError]]:
    """Read the rows of ``exams.csv`` with ``exam_id`` as index, and the labels of each.

    ``path`` is the folder or the table in it. Returns the path of the table as well. Rows that
    cannot be understood are not in the table but among the returned errors.
    """
    file = path if path.is_file() else path / CSV
    if not file.is_file():
        raise FileNotFoundError(
            f"path={str(path)!r} contains no {CSV}. Give the folder of a CODE-15 download, which "
            "also contains exams_part0.hdf5 or others of its parts."
        )
    table = read_csv(file, _NEEDED)
    absent = [column for column in _NEEDED if column not in table]
    if absent:
        found = ", ".join(map(str, table.columns[:6]))
        raise ValueError(
            f"{file} has no column {', '.join(absent)}; it starts with the columns {found}. It is "
            "not the table that CODE-15 comes with, or not all of it."
        )
    problems = pd.Series("", index=table.index)
    for column in ("exam_id", "patient_id"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        table[column] = numbers.where(numbers % 1 == 0)
    labels = np.stack([_truth(table[label]) for label in LABELS], axis=1)
    for column, bad in {
        "exam_id": table["exam_id"].isna(),
        "patient_id": table["patient_id"].isna(),
        "trace_file": table["trace_file"].isna(),
        **{label: np.isnan(values) for label, values in zip(LABELS, labels.T, strict=True)},
    }.items():
        problems = problems.mask(bad & (problems == ""), f"has no usable {column}")
    again = table["exam_id"].duplicated(keep=False) & table["exam_id"].notna()
    problems = problems.mask(again & (problems == ""), "occurs more than once")
    failures = [
        RecordError(str(file), f"row {row} (exam_id {table['exam_id'][row]:.0f}) {problem}")
        for row, problem in problems[problems != ""].items()
    ]
    whole = (problems == "").to_numpy()
    kept = table[whole].astype({"exam_id": "int64", "patient_id": "int64"}).set_index("exam_id")
    return file, kept, labels[whole].astype(int), failures


def _truth(column: pd.Series) -> np.ndarray:
    """Return 1 for true, 0 for false, NaN for all else."""
    return column.astype(str).str.strip().str.lower().map(_TRUTH).to_numpy(dtype=float)
