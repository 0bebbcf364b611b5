"""Folders of WFDB records, among them those of the PhysioNet/CinC Challenges."""

import os
import warnings
from collections.abc import Sequence
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import Bunch

from ecgsk._core.covariates import read_covariates
from ecgsk._core.files import expanded
from ecgsk._core.frames import frame_of_rows
from ecgsk._core.public import public
from ecgsk._core.record_error import RecordError
from ecgsk._core.records import RecordArray
from ecgsk._core.sampling_rate import Unify
from ecgsk._core.signal import STANDARD_LEADS, lead_name
from ecgsk._core.sklearn_compat import Interval, StrOptions, validate_params
from ecgsk._formats.folder import find_unread, list_folder, summarize
from ecgsk._wfdb.header import RATES, Header
from ecgsk._wfdb.metadata import comment_target, comment_value, header_comments, record_metadata
from ecgsk._wfdb.signal import scan_record
from ecgsk.datasets._reading import (
    FileReader,
    RecordsLeftOutWarning,
    attempt,
    differences,
    header_key,
    keep_places,
    read_into,
    warn_of_copies,
    warn_of_differences,
    warn_of_padding,
)


@public("ecgsk")
@validate_params(
    {
        "source": [str, os.PathLike, list, tuple],
        "leads": [list, tuple],
        "sampling_rate": [Interval(Real, *RATES, closed="both"), None],
        "n_samples": [Interval(Integral, 1, None, closed="left"), None],
        "lazy": ["boolean"],
        "target": [str],
        "verify": ["boolean"],
        "on_error": [StrOptions({"warn", "raise"})],
        "n_jobs": [Integral, None],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_wfdb(
    source: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    leads: Sequence[str] = STANDARD_LEADS,
    sampling_rate: float | None = None,
    n_samples: int | None = None,
    target: str = "dx",
    lazy: bool = False,
    verify: bool = True,
    on_error: str = "warn",
    n_jobs: int | None = None,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray | list[np.ndarray] | RecordArray, np.ndarray | None]:
    r"""Load the 12-lead ECGs of a folder of WFDB records.

    Reads any WFDB record, among them those of the PhysioNet/CinC Challenges 2020 and 2021
    (headers over MATLAB version 4 files, SNOMED CT codes in a ``#Dx`` comment). Leads are found by
    their name, gain, baseline and unit are taken from each header.

    Parameters
    ----------
    source : path, or list of paths
        A folder, searched with all folders below it for ``.hea`` files (hidden files and the
        segments of multi-segment records apart), or records, with or without ``.hea``.
    leads : sequence of str, default=STANDARD_LEADS
        The leads wanted, in the order wanted. Records that lack one are left out.
    sampling_rate : float or None, default=None
        Rate in Hz, 10 to 100,000, to which each record is resampled, in the same way as with
        `ecgsk.preprocessing.Resample`. None keeps the rate of each record. Where samples are
        missing, the new ones are missing, too.
    n_samples : int or None, default=None
        Length to which each record is brought after resampling: it is cropped at the end, or
        padded there with 0 mV. None keeps the length of each record.
    target : str, default="dx"
        The comment of the headers that is the target: ``"dx"`` for the diagnosis codes, or the key
        of another one, such as ``"Chagas label"`` of the CinC Challenge 2025. Records without
        that comment are left out.
    lazy : bool, default=False
        Whether ``data`` is a `RecordArray` that reads the files when they are needed, for more
        records than memory holds. It carries ``sampling_rate``, ``lead_names`` and ``covariates``,
        which an array cannot. Headers and file sizes are checked at once all the same; the records
        have to be of one rate and length, see ``sampling_rate`` and ``n_samples``.
    verify : bool, default=True
        Whether to compare the samples with the checksums of the header, where it has them, and
        refuse signal files that are longer than it describes. With ``lazy=True`` that happens as
        records are read, and a record that differs raises an error.
    on_error : {"warn", "raise"}, default="warn"
        Whether to leave out malformed records with one warning that names them all, or to stop at
        the first.
    n_jobs : int or None, default=None
        Number of threads, as in joblib.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` alone.

    Returns
    -------
    Bunch
        data : ndarray of shape (n_records, n_leads, n_samples), RecordArray, or list of ndarray
            float32, mV; NaN where the file marks a sample as not recorded. A list of arrays of
            shape (n_leads, n_samples) when the records differ in rate or length and
            ``sampling_rate`` and ``n_samples`` do not unify them.
        target : ndarray of shape (n_records, n_codes) or (n_records,), or None
            1 where the header lists the diagnosis; None when no header lists any. With another
            ``target``: 0 and 1 for comments such as "True" and "no", otherwise their texts.
        target_names : list of str
            The diagnosis codes found, sorted. With another ``target`` its key, or the texts.
        metadata : DataFrame
            A row per record: ``record``, ``path``, ``sampling_rate`` (Hz) and ``n_samples`` of the
            file, ``age`` (years, as in ``covariates``), ``sex`` ("male", "female" or None),
            ``age_text`` and ``sex_text`` (as in the header), ``dx`` (list of codes), ``patient``
            (text, None where the header names none), ``date`` (of the recording), ``comments`` (a
            dict of all comments of the form "key: value"), and ``n_missing``, the number of NaN in
            ``data`` (None with ``lazy=True``).
        groups : ndarray of shape (n_records,), or None
            Patients, for splitters that keep a patient's records together: where each header has
            a comment such as ``Patient ID: 17`` or ``subject_id: 17``; else None.
        covariates : DataFrame
            ``age`` (years) and ``sex`` (0 male, 1 female), NaN where unknown: as in `load_ptbxl`
            and `load_echonext`. Ages that are hidden as over 89 (such as ">89", "90+" and the 300
            of PTB-XL) are 90; "063Y", "006M" and the like are understood. The table of ``data``
            with ``lazy=True``.
        age_over_89 : ndarray of bool of shape (n_records,)
            Whose age is hidden so.
        sampling_rate : float or None
            Rate of ``data`` in Hz; None when the records differ.
        lead_names : list of str
            The second axis of ``data``.
        left_out, unreadable : list of (str, str)
            Path and reason of each record that was left out.
        DESCR : str
            Description of the data.
    (data, target) : tuple
        With ``return_X_y=True``.

    Raises
    ------
    FileNotFoundError
        When the folder does not exist or holds no ``.hea`` file.
    ValueError
        When no record at all can be read, with ``on_error="raise"`` at the first that cannot, and
        with ``lazy=True`` for records that differ in rate or length.

    Warns
    -----
    RecordsLeftOutWarning
        When records were left out, and when a folder has files that may be recordings in formats
        that are not read.
    UserWarning
        When ``data`` is a list because the records differ. When records have the same samples.
        When ages or sexes cannot be right; they count as unknown.

    References
    ----------
    .. [1] WFDB header format, https://www.physionet.org/physiotools/wag/header-5.htm
    .. [2] M. A. Reyna et al., "Will two do? Varying dimensions in electrocardiography: the
       PhysioNet/Computing in Cardiology Challenge 2021", Computing in Cardiology 48, 2021.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from ecgsk.datasets import load_wfdb
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.arange(6, dtype="<i2").tofile(folder / "a.dat")
    >>> lines = ["a 2 500 3", "a.dat 16 1000/mV 16 0 0 0 0 II", "a.dat 16 1000/mV 16 0 1 0 0 I"]
    >>> _ = (folder / "a.hea").write_text("\n".join([*lines, "# Dx: 426783006"]))
    >>> ecgs = load_wfdb(folder, leads=["I", "II"])
    >>> ecgs.data
    array([[[0.001, 0.003, 0.005],
            [0.   , 0.002, 0.004]]], dtype=float32)
    >>> ecgs.target_names
    ['426783006']
    """
    if not leads or not all(isinstance(lead, str) for lead in leads):
        raise ValueError(f"leads={leads!r} is not allowed; give names such as ['I', 'II', 'V1'].")
    leads = tuple(lead_name(lead) for lead in leads)
    paths = _record_paths(source)
    scanned = attempt(
        partial(_scan, leads=leads, target=target, verify=verify),
        paths,
        n_jobs=n_jobs,
        on_error=on_error,
    )
    if isinstance(source, (str, os.PathLike)):
        scanned = _without_segments(scanned)
    failures = [result for result in scanned if isinstance(result, RecordError)]
    headers = [result for result in scanned if isinstance(result, Header)]

    unify = Unify(sampling_rate, n_samples)
    shapes = [(len(leads), unify.n_samples_of(h.n_samples or 0, h.sampling_rate)) for h in headers]
    rates = [sampling_rate or header.sampling_rate for header in headers]
    uniform = len(set(shapes)) == 1 and len(set(rates)) == 1
    if lazy and headers and not uniform:
        raise ValueError(
            f"The records differ ({differences(headers)}), so a RecordArray cannot hold them. Give "
            "sampling_rate= and n_samples= with lazy=True."
        )
    data: np.ndarray | list[np.ndarray] | RecordArray = []
    places = list(range(len(headers)))
    if not lazy:
        out: np.ndarray | list[np.ndarray]
        if uniform:
            out = np.empty((len(headers), *shapes[0]), dtype=np.float32)
        else:
            out = [np.empty(shape, dtype=np.float32) for shape in shapes]
        results = read_into(headers, leads, out, n_jobs=n_jobs, on_error=on_error, finish=unify)
        failures += [result for result in results if result is not None]
        places = [place for place, result in enumerate(results) if result is None]
        data = keep_places(out, places)
    if not places:
        raise ValueError(
            f"none of the {len(paths)} records in {_source_name(source)} could be read. The first: "
            f"{failures[0]}"
        )
    headers = [headers[place] for place in places]

    left_out = sorted((failure.file, failure.reason) for failure in failures)
    if left_out:
        warnings.warn(
            f"{len(left_out)} of {len(left_out) + len(headers)} records were left out:\n"
            + "\n".join(f"{file}: {reason}" for file, reason in left_out),
            RecordsLeftOutWarning,
            stacklevel=3,
        )
    left_out += _unread(source, headers, [file.removesuffix(".hea") for file, _ in left_out])
    warn_of_padding(unify, headers)
    if not uniform:
        warn_of_differences(headers)
    warn_of_copies((header_key(header), header.path) for header in headers)
    rows = [
        record_metadata(header, None if lazy else data[place])
        for place, header in enumerate(headers)
    ]
    metadata = frame_of_rows(rows).astype({"age": float, "sex": object})
    covariates, over_89 = read_covariates(
        metadata["age_text"],
        metadata["sex_text"],
        metadata["record"],
        one_is=None,
        source=_source_name(source),
        stacklevel=4,
    )
    if lazy:
        data = RecordArray(
            FileReader(headers, leads, shapes[0], unify),
            (len(headers), *shapes[0]),
            table=covariates,
            sampling_rate=rates[0],
            leads=leads,
            preprocessing=[],
        )
    y, target_names = _target(rows, target)
    if return_X_y:
        return data, y
    patients = metadata["patient"]
    return Bunch(
        data=data,
        target=y,
        target_names=target_names,
        groups=patients.to_numpy() if patients.notna().all() else None,
        metadata=metadata,
        covariates=covariates,
        age_over_89=over_89,
        sampling_rate=rates[0] if len({rates[place] for place in places}) == 1 else None,
        lead_names=list(leads),
        left_out=left_out,
        unreadable=left_out,
        DESCR=f"{len(headers)} WFDB records from {_source_name(source)}, in mV, leads "
        f"{' '.join(leads)}; {len(left_out)} left out.",
    )


def _scan(path: str, *, leads: tuple[str, ...], target: str, verify: bool) -> Header:
    header = scan_record(path, leads, verify=verify)
    if target.lower() != "dx" and comment_value(header_comments(header), target) is None:
        raise RecordError(path, f"the header has no comment {target!r}")
    return header


def _target(rows: list[dict], target: str) -> tuple[np.ndarray | None, list[str]]:
    if target.lower() != "dx":
        return comment_target(rows, target)
    codes = [row["dx"] for row in rows]
    names = sorted({code for row in codes for code in row})
    binarizer = MultiLabelBinarizer(classes=names)
    return (binarizer.fit_transform(codes) if names else None), names


def _unread(source, headers: list[Header], named: list[str]) -> list[tuple[str, str]]:
    """Return files of a folder that may be recordings in other formats, and warn of them."""
    folder = None if isinstance(source, (list, tuple)) else expanded(source)
    if folder is None or not folder.is_dir():
        return []
    content = list_folder(str(folder.resolve()))
    found = [*content.unread, *find_unread(content.files, headers)]
    unread = [file for file in found if os.path.splitext(file.path)[0] not in named]
    if unread:
        warnings.warn(
            f"{len(unread)} files in {str(source)!r} may be recordings that load_wfdb does not "
            f"read: {summarize(unread)}. left_out has all of them with a reason.",
            RecordsLeftOutWarning,
            stacklevel=4,
        )
    return [(file.path, file.reason) for file in unread]


def _source_name(source) -> str:
    return "the list" if isinstance(source, (list, tuple)) else str(source)


def _record_paths(source) -> list[str]:
    if isinstance(source, (list, tuple)):
        if not source:
            raise ValueError("source is an empty list; give at least one record or a folder.")
        return [_header_path(record) for record in source]
    folder = expanded(source)
    if not folder.is_dir():
        path = _header_path(folder)
        if os.path.isfile(path):
            return [path]
        raise FileNotFoundError(
            f"source={str(source)!r} is neither a folder nor a WFDB record. Give the folder that "
            "holds the .hea files."
        )
    paths = sorted(
        str(path) for path in folder.resolve().rglob("*.hea") if not path.name.startswith(".")
    )
    if not paths:
        raise FileNotFoundError(
            f"source={str(source)!r} holds no .hea file, nor do its subfolders."
        )
    return paths


def _header_path(record) -> str:
    if not isinstance(record, (str, os.PathLike)):
        raise TypeError(f"source holds {record!r}; a record is given by its path.")
    path = os.path.abspath(expanded(record))
    stem, suffix = os.path.splitext(path)
    if suffix in (".mat", ".dat") and os.path.isfile(f"{stem}.hea"):
        return f"{stem}.hea"
    return path if suffix == ".hea" else f"{path}.hea"


def _without_segments(scanned: list) -> list:
    """Drop the headers that are pieces of a multi-segment record in the same folder."""
    segments = {
        os.path.join(header.folder, f"{name}.hea")
        for header in scanned
        if isinstance(header, Header)
        for name, _ in header.segments
    }
    return [
        result
        for result in scanned
        if (result.path if isinstance(result, Header) else result.file) not in segments
    ]
