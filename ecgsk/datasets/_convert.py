"""Recordings in files of any format as WFDB records, which other tools can read."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ecgsk._core.calling_line import stacklevel_of_user
from ecgsk._core.files import expanded, write_file
from ecgsk._core.frames import frame_of_rows
from ecgsk._core.public import public
from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import STANDARD_LEADS, lead_indices
from ecgsk._core.sklearn_compat import Interval, validate_params
from ecgsk._formats.lead_plan import plan_leads
from ecgsk._formats.processes import Processes, n_processes
from ecgsk._formats.record_files import RecordFile, list_files
from ecgsk._formats.stored import ReadOptions, StoredECG
from ecgsk._wfdb.header import RATES
from ecgsk._wfdb.writer import write_record
from ecgsk.datasets._converted_names import (
    TABLE,
    Task,
    base_folder,
    check_existing,
    check_folder,
    plan_names,
)
from ecgsk.datasets._reading import RecordsLeftOutWarning, listed_reasons, read_options

# mV of a count where the file does not state it.
_RESOLUTION = 1e-3
# mV; a file that states others is wrong.
_RESOLUTIONS = (1e-7, 1.0)
_FEWEST_COUNTS = 50


@public("ecgsk.datasets")
@validate_params(
    {
        "source": [str, os.PathLike, list, tuple],
        "folder": [str, os.PathLike],
        "file_sampling_rate": [Interval(Real, *RATES, closed="both"), None],
        "file_unit": [str, None],
        "file_leads": [list, tuple, None],
        "verify": ["boolean"],
        "overwrite": ["boolean"],
        "n_jobs": [Integral, None],
        "progress": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def convert_to_wfdb(
    source: str | os.PathLike | Sequence[str | os.PathLike],
    folder: str | os.PathLike,
    *,
    file_sampling_rate: float | None = None,
    file_unit: str | None = None,
    file_leads: Sequence[str] | None = None,
    verify: bool = True,
    overwrite: bool = False,
    n_jobs: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Write recordings in files of any format as WFDB records, which other tools can read.

    Each recording becomes a header, ``NAME.hea``, and a file of 16-bit counts, ``NAME.dat``, with
    checksums. The command ``ecgsk convert`` does the same.

    Parameters
    ----------
    source : path, or list of paths
        A folder, a file, a pattern, or a list of these, as in `ecgsk.load_ecg`.
    folder : path
        Folder of the records; it is created if it does not exist. Subfolders of ``source`` are
        kept. It must not contain a folder of ``source``, or be in one.
    file_sampling_rate, file_unit, file_leads :
        What files do not contain themselves, as in `ecgsk.load_ecg`.
    verify : bool, default=True
        Whether to refuse files whose checksums, where they have any, differ from their content.
    overwrite : bool, default=False
        Whether to replace files that exist.
    n_jobs : int or None, default=None
        Number of processes, as in joblib. None is 1.
    progress : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        A row for each recording: ``record`` (path of the WFDB record in ``folder``, without
        ending; empty where it was not converted), ``source`` (path of the file), ``row`` (index in
        a file of several recordings, otherwise missing), ``format``, ``error`` (why it was not
        converted; otherwise empty), ``doubts`` (what its file leaves uncertain, and why not all
        standard leads are in it). It is also written to ``conversion.csv`` in ``folder``.

    Raises
    ------
    FileNotFoundError
        When a path does not exist, or a folder or pattern leads to no recording.
    FileExistsError
        When a file to be written exists and ``overwrite`` is False. Nothing is written then.
    ValueError
        When a parameter is not allowed, or ``folder`` contains a folder of ``source`` or is in one.

    Warns
    -----
    RecordsLeftOutWarning
        When recordings, or files that may be recordings, were not converted.

    Notes
    -----
    Rate and length are those of the file. The leads are the twelve standard ones in their usual
    order, III, aVR, aVL and aVF computed from I and II where the file does not contain them, and
    after these all other leads of the file. Standard leads that a file does not contain are left
    out. Other leads are left out where they are not a voltage; a comment of the header names
    them, and those that were computed.

    A count is the file's own smallest step where that is known, otherwise 1 uV. It is a tenth
    of that, or less, in a recording whose largest amplitude would be below 50 counts. A
    lead whose range is too large for 16 bits gets a baseline, or a step that is coarser by a power
    of two, so that no sample is clipped. Missing samples (NaN) are written as not recorded.

    Names of records contain letters, digits, ``-`` and ``_``: other characters become ``_``, and
    names that would occur twice have a number. Comments of the header have the patient's age, sex
    and identifier, date, device, statements and measurements as the file states them, format and
    name of the file, and the doubts. Names of patients are not read.

    References
    ----------
    .. [1] WFDB header format, https://www.physionet.org/physiotools/wag/header-5.htm

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from ecgsk import load_wfdb, make_ecg
    >>> from ecgsk.datasets import convert_to_wfdb
    >>> folder = Path(tempfile.mkdtemp())
    >>> X = make_ecg(2, sampling_rate=500, random_state=0)
    >>> np.save(folder / "a.npy", X)
    >>> done = convert_to_wfdb(folder / "a.npy", folder / "wfdb", file_sampling_rate=500)
    >>> done["record"].tolist()
    ['a_0', 'a_1']
    >>> bool(abs(load_wfdb(folder / "wfdb").data - X).max() <= 0.0005)
    True
    """
    options = replace(
        read_options(file_sampling_rate, file_unit, file_leads, verify=verify), others=True
    )
    given = [source] if isinstance(source, (str, os.PathLike)) else source
    paths = [os.fspath(expanded(path)) for path in given]
    target = expanded(folder)
    files, _ = list_files(paths, options, argument="source")
    check_folder(paths, target)
    tasks = plan_names(files, [base_folder(path) for path in paths])
    if not overwrite:
        check_existing(tasks, target)
    target.mkdir(parents=True, exist_ok=True)
    convert = partial(_convert_file, target=os.fspath(target), options=options)
    results: list[list[_Result]] = []
    with (
        Processes(convert, n_processes(n_jobs, len(tasks)), lost=_lost) as processes,
        tqdm(total=sum(len(t.names) for t in tasks), disable=not progress, unit="ECG") as bar,
    ):
        for found in processes.map(tasks):
            results.append(found)
            bar.update(len(found))
    table = _table(tasks, results)
    write_file(target / TABLE, table.to_csv(index=False).encode(errors="backslashreplace"))
    _warn(table)
    return table


class _Result(NamedTuple):
    """The error of a recording that was not converted, or the doubts about it."""

    error: str = ""
    doubts: tuple[str, ...] = ()


def _convert_file(task: Task, *, target: str, options: ReadOptions) -> list[_Result]:
    """Write the records of a file."""
    results: list[_Result] = []
    try:
        if task.file.error:
            raise ValueError(task.file.error)
        for ecg, read in _stored(task.file, options):
            if len(results) == len(task.names):
                raise ValueError("it was replaced during the conversion")
            try:
                _write(ecg, read, os.path.join(target, task.names[len(results)]))
                results.append(_Result(doubts=ecg.doubts))
            except ValueError as error:
                results.append(_Result(_reason(error)))
        if len(results) < len(task.names):
            raise ValueError("it was replaced during the conversion")
    except (ValueError, ImportError, MemoryError) as error:
        results += [_Result(_reason(error))] * (len(task.names) - len(results))
    return results


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    return error.reason if isinstance(error, RecordError) else str(error)


def _lost(task: Task) -> list[_Result]:
    reason = "it ended the process that decoded it, by a crash or by too much memory"
    return [_Result(reason)] * len(task.names)


def _stored(file: RecordFile, options: ReadOptions) -> Iterator[tuple[StoredECG, Callable]]:
    """Yield the recordings of a file, which may lack standard leads, and functions that read."""
    assert file.source.format is not None
    decode = partial(file.source.format.decode, file.source.path)
    n_found = 0
    try:
        for found in decode(options):
            yield found
            n_found += 1
    except RecordError as error:
        if n_found:
            raise
        for ecg, read in decode(replace(options, wanted=())):
            yield replace(ecg, doubts=(*ecg.doubts, error.reason.rstrip("."))), read
    except OSError as error:
        raise RecordError(file.source.path, f"it cannot be read ({error})") from error


def _write(ecg: StoredECG, read: Callable, path: str) -> None:
    standard = tuple(lead for lead in STANDARD_LEADS if _contains(ecg, lead))
    used = plan_leads(ecg.leads, standard).needed
    others = tuple(lead for lead in ecg.leads if lead not in used)
    leads = standard + others
    left_out: tuple[str, ...] = ()
    try:
        signal = plan_leads(ecg.leads, leads).apply(read(plan_leads(ecg.leads, leads).needed))
    except ValueError:
        if not (standard and others):
            raise
        # The others may be temperatures, or several leads of one name.
        leads, left_out = standard, others
        signal = plan_leads(ecg.leads, leads).apply(read(used))
    except OSError as error:
        raise RecordError(ecg.path, f"it cannot be read ({error})") from error
    derived = plan_leads(ecg.leads, leads).derived
    usual = _usual_resolution(signal)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write_record(
        path,
        os.path.basename(path),
        signal,
        leads,
        ecg.sampling_rate,
        # The equations of the limb leads contain halves of I and II.
        resolutions=[
            _resolution(ecg, "I", usual) / 2 if lead in derived else _resolution(ecg, lead, usual)
            for lead in leads
        ],
        date=ecg.states.date,
        comments=_comments(ecg, derived, left_out),
    )


def _contains(ecg: StoredECG, lead: str) -> bool:
    try:
        return bool(plan_leads(ecg.leads, (lead,)))
    except ValueError:
        return False


def _usual_resolution(signal: np.ndarray) -> float:
    """Return 1 uV, in mV, or less for recordings with too few counts of that size.

    Those may be in V, although read as mV: rounding to 1 uV would lose them.
    """
    largest = np.abs(np.nan_to_num(signal)).max(initial=0.0)
    resolution = _RESOLUTION
    while 0 < largest < _FEWEST_COUNTS * resolution and resolution > _RESOLUTIONS[0]:
        resolution /= 10
    return resolution


def _resolution(ecg: StoredECG, lead: str, usual: float) -> float:
    if not ecg.resolutions:
        return usual
    resolution = abs(ecg.resolutions[lead_indices(ecg.leads, [lead])[0]])
    return resolution if _RESOLUTIONS[0] <= resolution <= _RESOLUTIONS[1] else usual


def _comments(ecg: StoredECG, derived: Sequence[str], left_out: Sequence[str]) -> dict[str, str]:
    states = ecg.states
    row = "" if ecg.row is None else f"[{ecg.row}]"
    found = {
        "Age": states.age_text,
        "Sex": states.sex_text,
        "Patient ID": states.patient,
        "Date": states.date and states.date.isoformat(),
        "Device": states.device,
        "Dx": ",".join(states.dx),
        "Statements": "; ".join(states.statements),
        "Measurements": ", ".join(f"{k} {v:g}" for k, v in states.measurements.items()),
        "Source format": ecg.format,
        "Source file": os.path.basename(ecg.path) + row,
        "Derived leads": " ".join(derived),
        "Leads left out": " ".join(left_out),
        "Doubts": "; ".join(ecg.doubts),
    }
    comments = {key: str(text) for key, text in found.items() if text}
    known = {key.lower() for key in comments}
    return comments | {k: v for k, v in states.comments.items() if k.lower() not in known}


def _table(tasks: Sequence[Task], results: Sequence[list[_Result]]) -> pd.DataFrame:
    rows = [
        {
            "record": "" if result.error else name.replace(os.sep, "/"),
            "source": task.file.source.path,
            "row": row if task.file.numbered else None,
            "format": task.file.source.format.name if task.file.source.format else "",
            "error": result.error,
            "doubts": "; ".join(result.doubts),
        }
        for task, found in zip(tasks, results, strict=True)
        for row, (name, result) in enumerate(zip(task.names, found, strict=True))
    ]
    return frame_of_rows(rows).astype({"row": "Int64"})


def _warn(table: pd.DataFrame) -> None:
    failed = table[table["error"] != ""]
    if len(failed):
        reasons = [
            (f"{row.source}{'' if row.row is pd.NA else f'[{row.row}]'}", row.error)
            for row in failed.itertuples()
        ]
        warnings.warn(
            f"{len(failed)} of {len(table)} recordings, or files that may be recordings, are not "
            f"converted; {TABLE} has all of them:{listed_reasons(reasons)}",
            RecordsLeftOutWarning,
            stacklevel=stacklevel_of_user(),
        )
