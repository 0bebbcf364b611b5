"""Recordings in files of any format."""

import os
import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from ecgsk._core.calling_line import stacklevel_of_user
from ecgsk._core.covariates import read_age, read_covariates, sex_name
from ecgsk._core.files import expanded
from ecgsk._core.frames import frame_of_rows
from ecgsk._core.public import public
from ecgsk._core.record_error import RecordError
from ecgsk._core.record_names import without_ending
from ecgsk._core.records import RecordArray
from ecgsk._core.sampling_rate import Unify
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._core.sklearn_compat import Interval, StrOptions, validate_params
from ecgsk._formats.listing import list_sources
from ecgsk._formats.stored import ReadOptions
from ecgsk._wfdb.header import RATES
from ecgsk.datasets._many_files import FormatReader, Loaded, Wanted, fingerprint, load_files
from ecgsk.datasets._reading import (
    RecordsLeftOutWarning,
    checked_leads,
    differences,
    header_key,
    listed_reasons,
    read_options,
    warn_of_copies,
    warn_of_differences,
)


@public("ecgsk")
@validate_params(
    {
        "source": "no_validation",
        "leads": [list, tuple],
        "sampling_rate": [Interval(Real, *RATES, closed="both"), None],
        "n_samples": [Interval(Integral, 1, None, closed="left"), None],
        "lazy": ["boolean"],
        "file_sampling_rate": [Interval(Real, *RATES, closed="both"), None],
        "file_unit": [str, None],
        "file_leads": [list, tuple, None],
        "verify": ["boolean"],
        "on_error": [StrOptions({"warn", "raise"})],
        "n_jobs": [Integral, None],
        "progress": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_ecg(
    source: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    leads: Sequence[str] = STANDARD_LEADS,
    sampling_rate: float | None = None,
    n_samples: int | None = None,
    lazy: bool = False,
    file_sampling_rate: float | None = None,
    file_unit: str | None = None,
    file_leads: Sequence[str] | None = None,
    verify: bool = True,
    on_error: str = "warn",
    n_jobs: int | None = None,
    progress: bool = False,
) -> Bunch:
    """Load ECGs from files of devices, archives and data sets, in any mixture of formats.

    Formats are recognized by the content of a file: WFDB, DICOM, GE MUSE XML, Philips XML, HL7
    aECG, Mortara XML, SCP-ECG, EDF, HDF5 (CODE-15 or our own layout), and arrays and tables
    (``.npy``, ``.npz``, ``.csv``). DICOM, SCP-ECG and HDF5 need the extra ``formats``.

    Parameters
    ----------
    source : path, or list of paths
        A folder, searched with all folders below it, but without hidden ones; a file; a pattern
        such as ``"export/**/*.xml"``; or a list of these. A WFDB record is named by its header,
        with or without ``.hea``.
    leads : sequence of str, default=STANDARD_LEADS
        The leads wanted, in the order wanted. III, aVR, aVL and aVF are computed from I and II
        where a file does not contain them, as in most files of GE MUSE. Recordings that lack
        another lead are left out.
    sampling_rate : float or None, default=None
        Rate in Hz, 10 to 100,000, to which each recording is resampled, in the same way as with
        `ecgsk.preprocessing.Resample`. None keeps the rate of each recording.
    n_samples : int or None, default=None
        Length to which each recording is brought after resampling: it is cropped at the end, or
        padded there with 0 mV. None keeps the length of each recording. Files of Philips have 11 s
        with a calibration pulse at the end, which the first 10 s do not contain.
    lazy : bool, default=False
        Whether ``data`` is a `RecordArray` that reads the files when they are needed, for more
        recordings than memory holds. It carries ``sampling_rate``, ``lead_names`` and
        ``covariates``. Recordings have to be of one rate and length, see ``sampling_rate`` and
        ``n_samples``.
    file_sampling_rate : float or None, default=None
        Rate in Hz of the recordings in files that do not contain it: arrays and tables.
    file_unit : {"V", "mV", "uV", "nV"} or None, default=None
        Unit of the samples in files that do not contain it; None is mV.
    file_leads : sequence of str or None, default=None
        Leads of the recordings in files that do not contain their names, in the order of the
        file; None is the standard order for twelve leads.
    verify : bool, default=True
        Whether to refuse files whose checksums, where they have any, differ from their content.
    on_error : {"warn", "raise"}, default="warn"
        Whether to leave out what cannot be read with one warning, or to stop at the first.
    n_jobs : int or None, default=None
        Number of processes that decode DICOM, SCP-ECG and XML files, and of threads that read the
        others, as in joblib. None is 1.
    progress : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    Bunch
        data : ndarray of shape (n_records, n_leads, n_samples), RecordArray, or list of ndarray
            float32, mV; NaN where the file marks a sample as not recorded. A list of arrays of
            shape (n_leads, n_samples) when the recordings differ in rate or length and
            ``sampling_rate`` and ``n_samples`` do not unify them.
        target : None
            Files state no labels of a study.
        target_names : list
            Empty.
        groups : ndarray of shape (n_records,), or None
            Patients, for splitters that keep a patient's recordings together; None where a file
            does not identify its patient.
        metadata : DataFrame
            A row for each recording: ``record`` (name of the file without its ending; ``[i]``
            after it for recording i, counted from 0, in a file of several), ``path``, ``format``,
            ``sampling_rate`` (Hz) and ``n_samples`` of the file, ``age`` (years), ``sex``
            ("male", "female" or None), ``age_text`` and ``sex_text`` (as in the file), ``patient``
            (identifier, None where unknown), ``date`` (of the recording), ``device``,
            ``statements`` (list of str: of the device or of its reader), ``measurements`` (a dict
            such as ``{"heart_rate": 72.0, "pr_interval": 160.0}``, in 1/min, ms and degrees),
            ``dx`` (list of diagnosis codes) and ``comments`` (a dict) of WFDB headers,
            ``derived`` (list of leads that were computed from I and II), ``doubts`` (list of str:
            what the file leaves uncertain), and ``n_missing`` (number of NaN in ``data``; None
            with ``lazy=True``). Names of patients are not read.
        covariates : DataFrame
            ``age`` (years, 90 where it is hidden as over 89) and ``sex`` (0 male, 1 female), NaN
            where unknown. The table of ``data`` with ``lazy=True``.
        age_over_89 : ndarray of bool of shape (n_records,)
            True where the age is hidden as over 89.
        sampling_rate : float or None
            Rate of ``data`` in Hz; None when the recordings differ.
        lead_names : list of str
            The second axis of ``data``.
        left_out, unreadable : list of (str, str)
            Path and reason of each file or recording that was left out.
        DESCR : str
            Description of the data.

    Raises
    ------
    FileNotFoundError
        When a path does not exist, or a folder or pattern leads to no recording. One of several
        paths is left out instead, with ``on_error="warn"``.
    TypeError
        When ``source`` is not a path or a list of paths.
    ValueError
        For a parameter that is not allowed, when no recording at all can be read, with
        ``on_error="raise"`` at the first that cannot, and with ``lazy=True`` for recordings that
        differ in rate or length.

    Warns
    -----
    RecordsLeftOutWarning
        When files or recordings were left out.
    UserWarning
        When ``data`` is a list because the recordings differ. When recordings have the same
        samples. When files leave something uncertain. When ages or sexes cannot be right; they
        count as unknown.

    See Also
    --------
    join_labels : Adds the labels and covariates of a table.
    load_wfdb : WFDB records with their diagnosis codes as target.

    Notes
    -----
    What the format of a file does not allow, an unknown unit, a wrong checksum or a missing lead is
    a reason to leave the file out. Nothing is guessed, and the other files are not affected.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from ecgsk import load_ecg, make_ecg
    >>> folder = Path(tempfile.mkdtemp())
    >>> X = make_ecg(2, sampling_rate=500, random_state=0)
    >>> np.save(folder / "a.npy", X)
    >>> ecgs = load_ecg(folder, file_sampling_rate=500, sampling_rate=100)
    >>> ecgs.data.shape, ecgs.metadata["record"].tolist()
    ((2, 12, 1000), ['a[0]', 'a[1]'])
    """
    options = _options(leads, file_sampling_rate, file_unit, file_leads, verify)
    wanted = Wanted(options.wanted, Unify(sampling_rate, n_samples), options)
    name, paths = _paths(source)
    sources, _ = list_sources(paths, keep_missing=on_error == "warn" and len(paths) > 1)
    unread = [(item.path, item.error) for item in sources if item.error]
    if unread and on_error == "raise":
        raise RecordError(*unread[0])
    files = [(item.path, item.format) for item in sources if item.format and not item.error]
    results = load_files(
        files, wanted, lazy=lazy, on_error=on_error, n_jobs=n_jobs, progress=progress
    )
    failures = [result for result in results if isinstance(result, RecordError)]
    if failures and on_error == "raise":
        raise failures[0]
    loaded = [result for result in results if isinstance(result, Loaded)]
    del results  # `_data` gives back the memory of each recording, one after another
    if not loaded:
        first = f" The first: {failures[0]}" if failures else ""
        raise ValueError(f"none of the {len(files)} files in {name} could be read.{first}")
    left_out = sorted((failure.file, failure.reason) for failure in failures)
    left_out += unread
    _warn_of_left_out(left_out, name)
    warn_of_copies(_keys(loaded))
    _warn_of_doubts(loaded)
    metadata = frame_of_rows([_row(item) for item in loaded])
    metadata["date"] = pd.to_datetime(metadata["date"], errors="coerce")
    metadata = metadata.astype({"age": float, "sex": object, "patient": object})
    covariates, over_89 = read_covariates(
        metadata["age_text"],
        metadata["sex_text"],
        metadata["record"],
        one_is=None,
        source=name,
        stacklevel=stacklevel_of_user() + 1,
    )
    data, rate = _data(loaded, wanted, covariates, lazy)
    patients = metadata["patient"]
    formats = Counter(item.ecg.format for item in loaded)
    listed = ", ".join(f"{count} {name}" for name, count in formats.most_common())
    return Bunch(
        data=data,
        target=None,
        target_names=[],
        groups=patients.to_numpy() if patients.notna().all() else None,
        metadata=metadata,
        covariates=covariates,
        age_over_89=over_89,
        sampling_rate=rate,
        lead_names=list(options.wanted),
        left_out=left_out,
        unreadable=left_out,
        DESCR=f"{len(loaded)} recordings from {name} ({listed}), in mV, leads "
        f"{' '.join(options.wanted)}; {len(left_out)} left out.",
    )


def _paths(source) -> tuple[str, list[str]]:
    """Return the name of a source, for messages, and its paths."""
    if isinstance(source, (str, os.PathLike)):
        name, paths = repr(os.fspath(source)), [source]
    elif isinstance(source, (bytes, dict)) or not isinstance(source, Iterable):
        raise TypeError(
            f"source={source!r} is not allowed; give a folder, a file, a pattern, or a list of "
            "these."
        )
    else:
        name, paths = "the list", list(source)
    if not paths:
        raise ValueError("source is an empty list; give at least one file or folder.")
    for path in paths:
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise TypeError(
                f"source contains {path!r}; a recording is given by its path. Give paths of files "
                "or folders."
            )
    return name, [os.path.abspath(expanded(path)) for path in paths]


def _options(leads, file_sampling_rate, file_unit, file_leads, verify) -> ReadOptions:
    wanted = checked_leads("leads", leads)
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"leads={leads!r} names a lead more than once. Name each once.")
    return replace(
        read_options(file_sampling_rate, file_unit, file_leads, verify=verify), wanted=wanted
    )


def _data(loaded: list[Loaded], wanted: Wanted, covariates: pd.DataFrame, lazy: bool):
    """Return the recordings as one array, a list or a RecordArray, and their rate if it is one."""
    ecgs = [item.ecg for item in loaded]
    shapes = {wanted.shape(ecg) for ecg in ecgs}
    rates = {float(wanted.unify.sampling_rate or ecg.sampling_rate) for ecg in ecgs}
    rate = rates.pop() if len(rates) == 1 else None
    uniform = len(shapes) == 1 and rate is not None
    if lazy and not uniform:
        raise ValueError(
            f"The records differ ({differences(ecgs)}), so a RecordArray cannot hold "
            "them. Give sampling_rate= and n_samples= with lazy=True."
        )
    if lazy:
        (shape,) = shapes
        records = RecordArray(
            FormatReader(ecgs, wanted, shape),
            (len(ecgs), *shape),
            table=covariates,
            sampling_rate=rate,
            leads=wanted.leads,
            preprocessing=[],
        )
        return records, rate
    if not uniform:
        warn_of_differences(ecgs)
        return [item.signal for item in loaded], rate
    (shape,) = shapes
    data = np.empty((len(loaded), *shape), dtype=np.float32)
    # From the last one: the memory allocator gives back what is at its end.
    for place in reversed(range(len(loaded))):
        data[place] = loaded[place].signal
        loaded[place] = replace(loaded[place], signal=None)  # not twice in memory
    return data, rate


def _row(item: Loaded) -> dict:
    ecg, states = item.ecg, item.ecg.states
    name = without_ending(os.path.basename(ecg.path))
    date = states.date
    return {
        "record": name if ecg.row is None else f"{name}[{ecg.row}]",
        "path": ecg.path,
        "format": ecg.format,
        "sampling_rate": ecg.sampling_rate,
        "n_samples": ecg.n_samples,
        "age": read_age(states.age_text or "").years,
        "sex": sex_name(states.sex_text),
        "age_text": states.age_text,
        "sex_text": states.sex_text,
        "patient": states.patient,
        "date": None if date is None else date.replace(tzinfo=None),
        "device": states.device,
        "statements": list(states.statements),
        "measurements": dict(states.measurements),
        "dx": list(states.dx),
        "comments": dict(states.comments),
        "derived": list(item.derived),
        "doubts": list(item.doubts),
        "n_missing": None if item.signal is None else int(np.isnan(item.signal).sum()),
    }


def _warn_of_left_out(left_out: list[tuple[str, str]], name: str) -> None:
    if left_out:
        warnings.warn(
            f"{len(left_out)} files or recordings in {name} are left out; left_out has all of "
            f"them:{listed_reasons(left_out)}",
            RecordsLeftOutWarning,
            stacklevel=stacklevel_of_user(),
        )


def _warn_of_doubts(loaded: list[Loaded]) -> None:
    doubtful: dict[str, list[str]] = {}
    for item in loaded:
        for doubt in item.doubts:
            doubtful.setdefault(doubt, []).append(item.ecg.path)
    if doubtful:
        kinds = [(f"{len(paths)}, such as {paths[0]}", d) for d, paths in doubtful.items()]
        warnings.warn(
            "Recordings are uncertain; metadata['doubts'] has the reasons for each:"
            f"{listed_reasons(kinds)}.",
            UserWarning,
            stacklevel=stacklevel_of_user(),
        )


def _keys(loaded: list[Loaded]) -> Iterator[tuple[Hashable, str]]:
    """Yield for each recording what those with the same samples share, and its path."""
    mixed = len({item.ecg.format for item in loaded}) > 1
    for item in loaded:
        key: Hashable = item.ecg.crc
        if item.ecg.format == "WFDB" and (not mixed or item.signal is None):
            key = header_key(item.ecg.handle)
        elif key is None and item.signal is not None:
            key = fingerprint(item.signal)
        yield key, item.ecg.path
