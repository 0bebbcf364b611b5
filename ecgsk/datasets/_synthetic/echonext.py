"""A synthetic data set in the layout of EchoNext, with planted ejection fractions."""

import errno
import os
import shutil
from collections.abc import Callable
from numbers import Integral
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from scipy.ndimage import median_filter
from sklearn.utils import Bunch

from ecgsk._core.files import expanded, file_sha256, replacing, temporary_files, write_file
from ecgsk._core.public import public
from ecgsk.datasets._echonext.layout import (
    CSV,
    DATA_NAMES,
    ECHONEXT_SCALING,
    MICROVOLT_PER_COUNT,
    N_SAMPLES,
    SAMPLING_RATE,
    SPLITS,
    TABULAR_ORDERS,
    TRUTH,
    tabular_name,
    waveform_name,
)
from ecgsk.datasets._synthetic.ecg import as_generator
from ecgsk.datasets._synthetic.echonext_table import (
    draw_splits,
    draw_table,
    make_features,
    make_table,
    make_truth,
)
from ecgsk.datasets._synthetic.lef_cohort import check_numbers, draw_physiology
from ecgsk.datasets._synthetic.rhythm import render

_README, _SUMS = "README.md", "SHA256SUMS.txt"
_WINDOWS = (51, 151)
# Records made at a time: 12 MB in the file, and the seed of each batch makes it repeat whatever
# process makes it.
_BATCH = 48
_LEAST_RECORDS = 8

_README_TEXT = """\
# SYNTHETIC data in the layout of EchoNext

`ecgsk.datasets.make_echonext` made these files. They hold no patients, and say nothing of the
EchoNext data set but how its files are laid out. {n_records} recordings, {n_patients} made-up
patients, prevalence {prevalence:g} of an ejection fraction of at most 45 %.

What was planted is in `{truth}`. The columns of `*_tabular_features.npy` are
{columns}.
"""


@public("ecgsk")
def make_echonext(
    dest: str | os.PathLike,
    n_records: int = 1000,
    *,
    prevalence: float = 0.2,
    n_patients: int | None = None,
    column_order: str = "readme",
    noise: float = 0.02,
    random_state=None,
    n_jobs: int | None = None,
) -> Bunch:
    """Write a synthetic data set in the layout of EchoNext.

    It is for trials of code for EchoNext, access to which is restricted. Names, shapes, types,
    units, splits and missing values are the documented ones. Recordings are those of
    `make_lef_cohort` at 250 Hz, so that their best possible score is known. The files follow the
    documentation of EchoNext alone: they were not compared with the real ones.

    - Recordings: mV by 4.88 microvolt a count, less the median of 51 and then 151 samples (ends
      repeated; how the authors treat the ends is not known), clipped and standardized by
      `ECHONEXT_SCALING`, float64. They are not rounded to whole counts.
    - Splits: the published shares of records; "val" and "test" hold the latest of each of their
      patients, "no_split" the earlier ones of the same patients, "train" 2.8 of a patient.
    - Table: all documented columns. Rates and intervals are those drawn; atrial rate and PR are
      missing in fibrillation. ``lvef_value`` is the planted fraction, and missing (with all other
      values) in a fifth of the records whose fraction is above 45: those of patients without any
      flag, as of more than a year before the echocardiogram. The other flags have about the
      published prevalences where the fraction has its default; right ventricle, valves and
      pressures are worse the lower the fraction is, thick walls come with the finding LVH.
      Numbers of people, years, and the words for grades are made up.
    - Features: standardized by the constants of the mini-model.

    Parameters
    ----------
    dest : path
        The folder; it is created if it does not exist. Synthetic files in it are replaced. A
        folder that holds other files of these names raises FileExistsError.
    n_records : int, default=1000
        Number of recordings, at least 8; 240 kB each.
    prevalence : float, default=0.2
        Share of patients with an ejection fraction of at most 45 %.
    n_patients : int, default=None
        Number of patients. None: the published ratio of patients to recordings.
    column_order : {"readme", "code"}, default="readme"
        Order of the features: age last, as in the data set's README, or second, as in the
        authors' code.
    noise : float, default=0.02
        Standard deviation of the white noise, mV.
    random_state : int, numpy Generator, RandomState or None, default=None
        Makes the files repeat, with any ``n_jobs``. NumPy's global generator is neither read nor
        changed.
    n_jobs : int or None, default=None
        Number of processes, as in joblib.

    Returns
    -------
    Bunch
        path : pathlib.Path
            The folder.
        truth : DataFrame
            The planted findings, in the order of the table, as in ``synthetic_truth.csv``:
            ``ecg_key``, ``patient_key``, ``split``, ``ejection_fraction`` (percent), ``oracle``
            (the probability of at most 45 % given the findings: no reader of one recording has a
            higher AUROC) and the 14 findings of `make_lef_cohort`, 0 or 1.

    Raises
    ------
    FileExistsError
        When the folder holds files that were not made by this function.
    OSError
        When the disk has no room for the recordings.
    ValueError
        For sizes, a prevalence or an order that are not allowed.
    TypeError
        For values that are not numbers.

    See Also
    --------
    load_echonext : Loads it.

    Examples
    --------
    >>> import tempfile
    >>> from ecgsk.datasets import make_echonext
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = make_echonext(folder, 40, random_state=0)
    ...     print(sorted(file.name for file in made.path.iterdir())[0])
    EchoNext_no_split_tabular_features.npy
    >>> made.truth["split"].value_counts().to_dict()
    {'train': 29, 'no_split': 7, 'val': 2, 'test': 2}
    """
    for name, value in (("n_records", n_records), ("n_patients", n_patients)):
        absent = value is None and name == "n_patients"
        if not absent and (isinstance(value, bool) or not isinstance(value, Integral)):
            raise TypeError(f"{name}={value!r} is not allowed; use an integer.")
    if n_records < _LEAST_RECORDS:
        raise ValueError(
            f"n_records={n_records!r} is not allowed; use at least {_LEAST_RECORDS}, so that each "
            "split has some."
        )
    if column_order not in TABULAR_ORDERS:
        raise ValueError(
            f"column_order={column_order!r} is not allowed; use "
            f"{' or '.join(map(repr, TABULAR_ORDERS))}."
        )
    check_numbers(prevalence=prevalence, noise=noise)
    rng = as_generator(random_state)
    patients, split = draw_splits(n_records, n_patients, rng)
    cohort = draw_table(patients, split, prevalence, rng)
    p, body = draw_physiology(cohort, noise, rng)
    table = make_table(cohort, p)
    truth = make_truth(table, cohort)

    dest = expanded(dest)
    _prepare(dest, n_records)
    # These two first: even an unfinished folder is marked as synthetic.
    _write(dest, TRUTH, lambda file: truth.to_csv(file, index=False))
    text = _README_TEXT.format(
        n_records=n_records,
        n_patients=int(patients.max()) + 1,
        prevalence=prevalence,
        truth=TRUTH,
        columns=", ".join(TABULAR_ORDERS[column_order]),
    )
    _write(dest, _README, lambda file: file.write_text(text, encoding="utf-8"))
    for name in SPLITS:
        rows = np.flatnonzero(split == name)
        _write(
            dest,
            waveform_name(name),
            lambda file, rows=rows: _write_batches(file, rows, p, body, rng, n_jobs),
        )
        features = make_features(table.iloc[rows], column_order)
        _write(dest, tabular_name(name), lambda file, X=features: _save_array(file, X), sum=True)
    _write(dest, CSV, table.to_csv, sum=True)
    written = sorted((_README, TRUTH, *DATA_NAMES))
    write_file(dest / _SUMS, "".join(_sum_line(dest / name, name) for name in written).encode())
    return Bunch(path=dest, truth=truth)


def remove_baseline(x: np.ndarray) -> np.ndarray:
    """Subtract the running median over 0.2 and then 0.6 s of each lead, (n, leads, samples)."""
    out = np.empty_like(x)
    # A lead alone takes a tenth of the time that the filter needs for several at once.
    for lead, level in zip(x.reshape(-1, x.shape[-1]), out.reshape(-1, x.shape[-1]), strict=True):
        level[:] = lead
        for width in _WINDOWS:
            level[:] = median_filter(level, size=width, mode="nearest")
    return x - out


def _prepare(dest: Path, n_records: int) -> None:
    """Make the folder, or empty it of synthetic files; refuse what is not ours and a full disk."""
    ours = (_README, _SUMS, TRUTH, *DATA_NAMES)
    there = {entry.name.lower(): entry for entry in dest.iterdir()} if dest.is_dir() else {}
    found = [there[name.lower()] for name in ours if name.lower() in there]
    # On most disks other capitals are another file, and none of ours.
    if any(file.name not in ours for file in found) or (found and not _is_synthetic(dest)):
        raise FileExistsError(
            f"dest={str(dest)!r} holds {', '.join(sorted(file.name for file in found))}, which "
            "make_echonext has not made and will not replace. Give an empty or new folder."
        )
    dest.mkdir(parents=True, exist_ok=True)
    # The sums last: as long as there are tables, a run that continues has to know them.
    for file in sorted(found, key=lambda file: file.name == _SUMS):
        if file.name not in (TRUTH, _README):
            file.unlink()
    for name in ours:  # of a run that was killed
        for file in temporary_files(dest / name):
            file.unlink()
    needed, free = n_records * 12 * N_SAMPLES * 8, shutil.disk_usage(dest).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"n_records={n_records} need {needed / 1e9:.1f} GB and the disk has {free / 1e9:.1f} "
            "GB left. Make fewer",
            str(dest),
        )


def _is_synthetic(dest: Path) -> bool:
    """Tell by the truth, the README's first line, and tables that are still those made here."""
    if not (dest / TRUTH).is_file():
        return False
    readme, sums = dest / _README, dest / _SUMS
    if not readme.is_file():
        # A run that was stopped right after its first file has left that one alone.
        return not any((dest / name).exists() for name in (_SUMS, *DATA_NAMES))
    with open(readme, encoding="utf-8", errors="replace") as stream:
        if stream.readline() != _README_TEXT.partition("\n")[0] + "\n":
            return False
    # Real files may have been copied over ours; the waveforms take too long to look at.
    listed = sums.read_text(encoding="utf-8", errors="replace") if sums.is_file() else ""
    small = [dest / name for name in (CSV, *map(tabular_name, SPLITS))]
    return all(_sum_line(file, file.name) in listed for file in small if file.exists())


def _sum_line(file: Path, name: str) -> str:
    return f"{file_sha256(file)}  {name}\n"


def _write(dest: Path, name: str, write: Callable, *, sum: bool = False) -> None:
    """Write a file as a whole; with ``sum`` its checksum is in the list before it appears."""
    with replacing(dest / name) as temporary:
        write(temporary)
        if sum:
            sums = dest / _SUMS
            listed = sums.read_text(encoding="utf-8") if sums.exists() else ""
            write_file(sums, (listed + _sum_line(temporary, name)).encode())


def _save_array(file: Path, array: np.ndarray) -> None:
    with open(file, "wb") as stream:
        np.save(stream, array)


def _write_batches(file: Path, rows, p: dict, body: dict, rng, n_jobs) -> None:
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype("<f8")),
        "fortran_order": False,
        "shape": (len(rows), 1, N_SAMPLES, 12),
    }
    with open(file, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        offset = stream.tell()
        stream.truncate(offset + len(rows) * 12 * N_SAMPLES * 8)
    starts = range(0, len(rows), _BATCH)
    seeds = rng.integers(2**63, size=len(starts))
    Parallel(n_jobs=n_jobs)(
        delayed(_write_batch)(
            str(file),
            offset + start * 12 * N_SAMPLES * 8,
            *(
                {name: values[rows[start : start + _BATCH]] for name, values in given.items()}
                for given in (p, body)
            ),
            seed,
        )
        for start, seed in zip(starts, seeds, strict=True)
    )


def _write_batch(file: str, offset: int, p: dict, body: dict, seed: int) -> None:
    ecg, _ = render(p, body, SAMPLING_RATE, N_SAMPLES, np.random.default_rng(seed))
    counts = remove_baseline(ecg / np.float32(MICROVOLT_PER_COUNT / 1000)).transpose(0, 2, 1)
    low, high, mean, std = ECHONEXT_SCALING.to_numpy().T
    z = np.clip(counts, low, high)
    z -= mean
    z /= std
    with open(file, "r+b") as stream:
        stream.seek(offset)
        stream.write(np.ascontiguousarray(z, dtype="<f8").data)
