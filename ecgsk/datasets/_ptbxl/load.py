"""PTB-XL in its official layout."""

import os
import warnings
from collections.abc import Iterable
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import Bunch

from ecgsk._core.covariates import read_covariates
from ecgsk._core.files import expanded
from ecgsk._core.public import public
from ecgsk._core.record_error import RecordError
from ecgsk._core.records import RecordArray
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._core.sklearn_compat import Options, StrOptions, validate_params
from ecgsk._wfdb.header import Header
from ecgsk._wfdb.signal import scan_record
from ecgsk.datasets._ptbxl.labels import PTBXL_TASKS, labels_of
from ecgsk.datasets._ptbxl.table import FILENAME_COLUMN, read_table
from ecgsk.datasets._reading import (
    FileReader,
    RecordsLeftOutWarning,
    attempt,
    keep_places,
    read_into,
)

_SECONDS = 10

_DESCR = """\
PTB-XL, a large publicly available electrocardiography dataset
--------------------------------------------------------------
Source: P. Wagner et al., Scientific Data 7, 154 (2020); PhysioNet, doi 10.13026/kfzx-aw45.
License: CC BY 4.0.
Task {task}: {n_labels} labels. Folds 1-8 are for training, 9 for validation, 10 for testing.
{n_records} records of 12 leads and {n_samples} samples at {sampling_rate} Hz, in mV.
Left out: {no_label} rows without a label of the task, {no_file} without a {sampling_rate} Hz file,
{not_found} whose files were not found, {unreadable} unreadable.
"""


@public("ecgsk")
@validate_params(
    {
        "path": [str, os.PathLike],
        "task": [StrOptions(set(PTBXL_TASKS))],
        "sampling_rate": [Options(Integral, {100, 500})],
        "lazy": ["boolean"],
        "verify": ["boolean"],
        "on_error": [StrOptions({"warn", "raise"})],
        "n_jobs": [Integral, None],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_ptbxl(
    path: str | os.PathLike,
    *,
    task: str = "all",
    sampling_rate: int = 100,
    folds: int | Iterable[int] | None = None,
    lazy: bool = False,
    verify: bool = True,
    on_error: str = "warn",
    n_jobs: int | None = None,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray | RecordArray, np.ndarray]:
    """Load PTB-XL, or as much of it as there is.

    Labels follow the benchmark of [2]_: every statement of a record counts with any likelihood
    (0 means unknown), and records without a label of the task are left out.

    Parameters
    ----------
    path : path
        The folder that holds ``ptbxl_database.csv`` and ``records100/`` or ``records500/``, or
        the table in it. Some of the records are enough. A spreadsheet may have saved the table
        with other separators or in another encoding.
    task : {"all", "diagnostic", "subdiagnostic", "superdiagnostic", "form", "rhythm"}, \
            default="all"
        Which statements are the labels: 71, 44, 23, 5, 19 or 12 of them. The columns are the same
        whichever records are there.
    sampling_rate : {100, 500}, default=100
        Hz. Chooses the files; nothing is resampled.
    folds : int, iterable of int or None, default=None
        Folds to load, 1 to 10. The authors recommend 1-8 for training, 9 for validation and 10
        for testing. None loads all.
    lazy : bool, default=False
        Whether ``data`` is a `RecordArray` that reads the files when they are needed, for more
        records than memory holds. It carries ``sampling_rate``, ``lead_names`` and ``covariates``,
        which an array cannot. Headers and file sizes are checked at once all the same.
    verify : bool, default=True
        Whether to compare the samples with the checksums of the headers. With ``lazy=True`` that
        happens as records are read, and a record that differs raises an error.
    on_error : {"warn", "raise"}, default="warn"
        Whether to leave out records whose files are missing or malformed, or to stop at the first.
        Rows for which the table itself names no file are left out in both cases.
    n_jobs : int or None, default=None
        Number of threads, as in joblib.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` alone.

    Returns
    -------
    Bunch
        data : ndarray of shape (n_records, 12, n_samples), or RecordArray
            float32, mV, leads in the order of `STANDARD_LEADS`, 10 s.
        target : ndarray of shape (n_records, n_labels)
            1 where the record has the label.
        target_names : list of str
            Names of the columns of ``target``: ``PTBXL_TASKS[task]``.
        groups : ndarray of shape (n_records,)
            Patient numbers, for splitters that keep a patient's records together.
        fold : ndarray of shape (n_records,)
            1 to 10.
        metadata : DataFrame
            The rows of ``ptbxl_database.csv``, index ``ecg_id``, with the values of the file.
        covariates : DataFrame
            ``age`` (years) and ``sex`` (0 male, 1 female), NaN where unknown: as in `load_wfdb`
            and `load_echonext`. Ages over 89, for which PTB-XL writes 300, are 90. The table of
            ``data`` with ``lazy=True``.
        age_over_89 : ndarray of bool of shape (n_records,)
            Whose age PTB-XL hides so.
        sampling_rate : int
            Hz.
        lead_names : list of str
            The second axis of ``data``.
        left_out : Bunch
            Rows of the chosen folds that were left out, counted by reason: ``no_label``,
            ``no_file`` (the table names none for this rate), ``not_found`` and ``unreadable``
            (malformed files, and rows of the table that cannot be understood).
        unreadable : list of (str, str)
            File and reason of each record counted in ``not_found`` or ``unreadable``.
        DESCR : str
            Source, license and counts.
    (data, target) : tuple
        With ``return_X_y=True``.

    Raises
    ------
    FileNotFoundError
        When there is no ``ptbxl_database.csv`` in the folder.
    ValueError
        For a parameter that is not allowed, a table without the needed columns, when no record is
        left, and with ``on_error="raise"`` at the first record that cannot be read.

    Warns
    -----
    RecordsLeftOutWarning
        When rows were left out for want of a readable file, with counts and the first example.
    UserWarning
        When rows have statements that PTB-XL does not define; they count for no label. When ages
        or sexes cannot be right; they count as unknown.

    References
    ----------
    .. [1] P. Wagner et al., "PTB-XL, a large publicly available electrocardiography dataset",
       Scientific Data 7, 154, 2020.
    .. [2] N. Strodthoff et al., "Deep learning for ECG analysis: benchmarks and insights from
       PTB-XL", IEEE Journal of Biomedical and Health Informatics 25, 1519-1528, 2021.

    Examples
    --------
    >>> from ecgsk.datasets import PTBXL_TASKS, load_ptbxl
    >>> PTBXL_TASKS["superdiagnostic"]
    ('CD', 'HYP', 'MI', 'NORM', 'STTC')
    >>> load_ptbxl("no-such-folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: path='no-such-folder' holds no ptbxl_database.csv. ...
    """
    path = expanded(path)
    table, statements, failures = read_table(path, folds, sampling_rate)
    left_out = Bunch(no_label=0, no_file=0, not_found=0, unreadable=0)
    if failures and on_error == "raise":
        raise failures[0]

    labels = [labels_of(codes, task) for codes in statements]
    labeled = np.array([bool(row) for row in labels], dtype=bool)
    has_file = table[FILENAME_COLUMN[sampling_rate]].notna().to_numpy()
    left_out.no_label = int((~labeled).sum())
    left_out.no_file = int((labeled & ~has_file).sum())
    rows = np.flatnonzero(labeled & has_file)

    names = table[FILENAME_COLUMN[sampling_rate]].iloc[rows]
    root = str((path.parent if path.is_file() else path).resolve())
    files = [os.path.join(root, f"{name}.hea") for name in names]
    scan = _Scan(sampling_rate, verify)
    results = attempt(scan, files, n_jobs=n_jobs, on_error=on_error)
    places = [place for place, result in enumerate(results) if isinstance(result, Header)]
    failures += [result for result in results if isinstance(result, RecordError)]
    rows, headers = rows[places], [results[place] for place in places]

    shape = (len(headers), len(STANDARD_LEADS), _SECONDS * sampling_rate)
    data: RecordArray | np.ndarray
    if not lazy:
        out = np.empty(shape, dtype=np.float32)
        results = read_into(headers, STANDARD_LEADS, out, n_jobs=n_jobs, on_error=on_error)
        failures += [result for result in results if result is not None]
        places = [place for place, result in enumerate(results) if result is None]
        rows, data = rows[places], np.asarray(keep_places(out, places))

    left_out.not_found = sum(failure.missing for failure in failures)
    left_out.unreadable = len(failures) - left_out.not_found
    _report(left_out, failures, n_kept=len(rows), task=task, sampling_rate=sampling_rate)
    binarizer = MultiLabelBinarizer(classes=PTBXL_TASKS[task])
    target = binarizer.fit_transform([labels[row] for row in rows])
    metadata = table.iloc[rows]
    covariates, over_89 = _covariates(metadata)
    if lazy:
        data = RecordArray(
            FileReader(headers, STANDARD_LEADS, shape[1:]),
            shape,
            table=covariates,
            sampling_rate=sampling_rate,
            preprocessing=[],
            leads=STANDARD_LEADS,
        )
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        target_names=list(PTBXL_TASKS[task]),
        groups=metadata["patient_id"].to_numpy(),
        fold=metadata["strat_fold"].to_numpy(),
        metadata=metadata,
        covariates=covariates,
        age_over_89=over_89,
        sampling_rate=sampling_rate,
        lead_names=list(STANDARD_LEADS),
        left_out=left_out,
        unreadable=[(failure.file, failure.reason) for failure in failures],
        DESCR=_DESCR.format(
            task=task,
            n_labels=target.shape[1],
            n_records=len(rows),
            n_samples=shape[2],
            sampling_rate=sampling_rate,
            **left_out,
        ),
    )


class _Scan:
    """Checks a record's header and file size against what PTB-XL promises."""

    def __init__(self, sampling_rate: int, verify: bool):
        self.sampling_rate = sampling_rate
        self.verify = verify

    def __call__(self, file: str) -> Header:
        header = scan_record(file, STANDARD_LEADS, verify=self.verify)
        expected = (self.sampling_rate, _SECONDS * self.sampling_rate)
        if (header.sampling_rate, header.n_samples) != expected:
            raise RecordError(
                file,
                f"it has {header.n_samples} samples at {header.sampling_rate:g} Hz; expected "
                f"{expected[1]} at {expected[0]} Hz",
            )
        return header


def _covariates(metadata: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the ages and sexes of records, and whose age is known only to be above 89."""
    unknown = pd.Series(np.nan, index=metadata.index)
    return read_covariates(
        metadata.get("age", unknown),
        metadata.get("sex", unknown),
        [f"ecg_id {ecg_id}" for ecg_id in metadata.index],
        one_is="female",
        source=f"the table of {len(metadata)} records of PTB-XL",
        stacklevel=5,
    )


def _report(left_out, failures, *, n_kept: int, task: str, sampling_rate: int) -> None:
    parts = [
        (left_out.no_file, f"have no {sampling_rate} Hz file"),
        (left_out.not_found, "are listed but their files are not there"),
        (left_out.unreadable, "cannot be read"),
    ]
    listed = ", ".join(f"{count} {text}" for count, text in parts if count)
    example = f". The first: {failures[0]}" if failures else ""
    if not n_kept:
        raise ValueError(
            f"no record is left to load: {left_out.no_label} rows have no label of task={task!r}"
            f"{', ' if listed else ''}{listed}{example}"
        )
    if listed:
        warnings.warn(
            f"{n_kept} records were loaded; of the others, {listed}{example}",
            RecordsLeftOutWarning,
            stacklevel=4,
        )
