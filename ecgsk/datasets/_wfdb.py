"""Folders of WFDB records, among them those of the PhysioNet/CinC Challenges."""

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import Bunch

from ecgsk._core.public import public
from ecgsk._core.sampling_rate import Unify
from ecgsk._core.signal import STANDARD_LEADS, lead_name
from ecgsk._core.sklearn_compat import Interval, StrOptions, validate_params
from ecgsk._wfdb.header import RATES, Header, RecordError
from ecgsk._wfdb.metadata import record_metadata
from ecgsk._wfdb.signal import scan_record
from ecgsk.datasets._reading import RecordsLeftOutWarning, attempt, keep_places, read_into


@public("ecgsk")
@validate_params(
    {
        "source": [str, os.PathLike, list, tuple],
        "leads": [list, tuple],
        "sampling_rate": [Interval(Real, *RATES, closed="both"), None],
        "n_samples": [Interval(Integral, 1, None, closed="left"), None],
        "on_error": [StrOptions({"warn", "raise"})],
        "n_jobs": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def load_wfdb(
    source: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    leads: Sequence[str] = STANDARD_LEADS,
    sampling_rate: float | None = None,
    n_samples: int | None = None,
    on_error: str = "warn",
    n_jobs: int | None = None,
) -> Bunch:
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
    on_error : {"warn", "raise"}, default="warn"
        Whether to leave out malformed records with one warning that names them all, or to stop at
        the first.
    n_jobs : int or None, default=None
        Number of threads, as in joblib.

    Returns
    -------
    Bunch
        data : ndarray of shape (n_records, n_leads, n_samples), or list of ndarray
            float32, mV; NaN where the file marks a sample as not recorded. A list of arrays of
            shape (n_leads, n_samples) when the records differ in rate or length and
            ``sampling_rate`` and ``n_samples`` do not unify them.
        target : ndarray of shape (n_records, n_codes), or None
            1 where the header lists the diagnosis; None when no header lists any.
        target_names : list of str
            The diagnosis codes found, sorted.
        metadata : DataFrame
            A row per record: ``record``, ``path``, ``sampling_rate`` (Hz) and ``n_samples`` of the
            file, ``age`` (years), ``sex`` ("male", "female" or None), ``dx`` (list of codes), and
            ``n_missing``, the number of NaN in ``data``.
        sampling_rate : float or None
            Rate of ``data`` in Hz; None when the records differ.
        lead_names : list of str
            The second axis of ``data``.
        left_out : list of (str, str)
            Path and reason of each record that was left out.
        DESCR : str
            Description of the data.

    Raises
    ------
    FileNotFoundError
        When the folder does not exist or holds no ``.hea`` file.
    ValueError
        When no record at all can be read, and with ``on_error="raise"`` at the first that cannot.

    Warns
    -----
    RecordsLeftOutWarning
        When records were left out.
    UserWarning
        When ``data`` is a list because the records differ.

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
        lambda path: scan_record(path, leads), paths, n_jobs=n_jobs, on_error=on_error
    )
    if isinstance(source, (str, os.PathLike)):
        scanned = _without_segments(scanned)
    failures = [result for result in scanned if isinstance(result, RecordError)]
    headers = [result for result in scanned if isinstance(result, Header)]

    unify = Unify(sampling_rate, n_samples)
    shapes = [(len(leads), unify.n_samples_of(h.n_samples or 0, h.sampling_rate)) for h in headers]
    rates = [sampling_rate or header.sampling_rate for header in headers]
    uniform = len(set(shapes)) == 1 and len(set(rates)) == 1
    data: np.ndarray | list[np.ndarray]
    if uniform:
        data = np.empty((len(headers), *shapes[0]), dtype=np.float32)
    else:
        data = [np.empty(shape, dtype=np.float32) for shape in shapes]
    results = read_into(headers, leads, data, n_jobs=n_jobs, on_error=on_error, finish=unify)
    failures += [result for result in results if result is not None]
    places = [place for place, result in enumerate(results) if result is None]
    if not places:
        raise ValueError(
            f"none of the {len(paths)} records in {_source_name(source)} could be read. The first: "
            f"{failures[0]}"
        )
    data = keep_places(data, places)
    headers = [headers[place] for place in places]

    left_out = sorted((failure.file, failure.reason) for failure in failures)
    if left_out:
        warnings.warn(
            f"{len(left_out)} of {len(left_out) + len(headers)} records were left out:\n"
            + "\n".join(f"{file}: {reason}" for file, reason in left_out),
            RecordsLeftOutWarning,
            stacklevel=3,
        )
    if not uniform:
        _warn_of_differences(headers)
    rows = [record_metadata(*record) for record in zip(headers, data, strict=True)]
    metadata = pd.DataFrame(rows).astype({"age": float, "sex": object})
    target_names = sorted({code for codes in metadata["dx"] for code in codes})
    target = MultiLabelBinarizer(classes=target_names).fit_transform(metadata["dx"])
    return Bunch(
        data=data,
        target=target if target_names else None,
        target_names=target_names,
        metadata=metadata,
        sampling_rate=rates[0] if len({rates[place] for place in places}) == 1 else None,
        lead_names=list(leads),
        left_out=left_out,
        DESCR=f"{len(headers)} WFDB records from {_source_name(source)}, in mV, leads "
        f"{' '.join(leads)}; {len(left_out)} left out.",
    )


def _source_name(source) -> str:
    return "the list" if isinstance(source, (list, tuple)) else str(source)


def _record_paths(source) -> list[str]:
    if isinstance(source, (list, tuple)):
        if not source:
            raise ValueError("source is an empty list; give at least one record or a folder.")
        return [_header_path(record) for record in source]
    folder = Path(source)
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
    path = os.path.abspath(os.fspath(record))
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


def _warn_of_differences(headers: list[Header]) -> None:
    tally = Counter((header.sampling_rate, header.n_samples) for header in headers)
    kinds = ", ".join(
        f"{count} with {n_samples} samples at {rate:g} Hz"
        for (rate, n_samples), count in tally.most_common(5)
    )
    warnings.warn(
        f"The records differ ({kinds}{', ...' if len(tally) > 5 else ''}), so data is a list of "
        "arrays. Give sampling_rate= and n_samples= to get one array.",
        UserWarning,
        stacklevel=4,
    )
