"""Recordings in files, one after another: what is listed once, and read when it is its turn."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ecgsk._cli.predict_input import Intake
from ecgsk._core.file_formats import read_npy_header
from ecgsk._core.records import RecordArray
from ecgsk._core.sampling_rate import Unify
from ecgsk._wfdb.header import RecordError, read_header
from ecgsk._wfdb.metadata import record_metadata
from ecgsk._wfdb.signal import read_signal, scan_record

# What nobody misses at the end of a recording, s.
_TOLERANCE = 0.05
# Records of an .npy file that are read together: each reading gives the pages of the file back.
_BLOCK = 16


@dataclass
class Record:
    """A recording on its way to an answer.

    Parameters
    ----------
    name : str
        As the result names it.
    signal : ndarray of shape (n_leads, n_samples), or None
        float32, mV, as the model takes it; None after it could not be read, or was answered.
    age, sex : float
        Years; 0 is male and 1 is female. NaN where they are not known.
    warning, error : str
        What looks wrong; why there is no answer.
    answer : sequence of str
        Probabilities and decision, as they are written.
    """

    name: str
    signal: np.ndarray | None = None
    age: float = np.nan
    sex: float = np.nan
    warning: str = ""
    error: str = ""
    answer: Sequence[str] = ()


@dataclass(frozen=True)
class _Source:
    path: str
    shown: str
    n_records: int = 1
    numbered: bool = False
    error: str = ""


class Records:
    """The recordings of files and folders, in a fixed order.

    Parameters
    ----------
    given : sequence of str
        Folders, WFDB records, and ``.npy`` files.
    intake : Intake
        What the model takes.
    sampling_rate : float or None, default=None
        Of ``.npy`` files, Hz.
    crop : bool, default=False
        Whether recordings that are too long are answered by their beginning.

    Raises
    ------
    FileNotFoundError
        When something given is not there, or a folder holds no recordings.
    ValueError
        When the rate of ``.npy`` files, or the names of the model's leads, are needed and unknown.
    """

    def __init__(
        self,
        given: Sequence[str],
        intake: Intake,
        *,
        sampling_rate: float | None = None,
        crop: bool = False,
    ):
        self.intake = intake
        self.sampling_rate = sampling_rate
        self.crop = crop
        self._unify = Unify(intake.sampling_rate, intake.n_samples)
        self._sources = [source for one in given for source in _sources(one)]
        arrays = next((s.shown for s in self._sources if _is_array(s.path)), None)
        if arrays is not None and sampling_rate is None:
            raise ValueError(f"{arrays} does not tell its sampling rate: give --sampling-rate.")
        header = next((s.shown for s in self._sources if not _is_array(s.path)), None)
        if header is not None and intake.leads is None:
            raise ValueError(
                f"MODEL takes {intake.n_leads} lead(s) and does not tell which, so they cannot be "
                f"found in {header}: name them with --leads."
            )

    def __len__(self) -> int:
        return sum(source.n_records for source in self._sources)

    @property
    def sha256(self) -> str:
        """Of the list, not of what is in the files: it tells whether recordings came or went."""
        digest = hashlib.sha256()
        for source in self._sources:
            digest.update(f"{source.shown}\0{source.n_records}\0".encode(errors="replace"))
        return digest.hexdigest()

    def read(self, start: int = 0) -> Iterator[Record]:
        """Give each recording, read and brought to what the model takes.

        Parameters
        ----------
        start : int, default=0
            Recordings that are passed over.
        """
        for source in self._sources:
            if start >= source.n_records:
                start -= source.n_records
                continue
            if source.error:
                yield Record(source.shown, error=source.error)
            elif _is_array(source.path):
                yield from self._of_array(source, start)
            else:
                yield self._of_wfdb(source)
            start = 0

    def _of_wfdb(self, source: _Source) -> Record:
        record = Record(source.shown)
        leads = self.intake.leads
        try:
            header = scan_record(source.path, leads)
            record.warning = self._check_length(header.n_samples, header.sampling_rate)
            if record.warning and header.data_file is not None:
                # A day of it need not be read; a second more keeps resampling from its end.
                needed = int((self.intake.seconds + 1) * header.sampling_rate) + 1
                header = replace(header, n_samples=min(header.n_samples, needed))
            signal = np.empty((len(leads), header.n_samples), dtype=np.float32)
            self._finish(record, read_signal(header, leads, signal), header.sampling_rate)
            if self.intake.table:
                about = record_metadata(header, record.signal)
                record.age = about["age"]
                record.sex = {"male": 0.0, "female": 1.0}.get(about["sex"], np.nan)
        except RecordError as error:
            record.signal, record.error = None, error.reason
        except (OSError, ValueError) as error:
            record.signal, record.error = None, str(error)
        return record

    def _of_array(self, source: _Source, start: int) -> Iterator[Record]:
        names = [source.shown]
        if source.numbered:
            names = (f"{source.shown}[{i}]" for i in range(start, source.n_records))
        try:
            array = RecordArray.wrap(_open_array(source.path)[0])
            if len(array) != source.n_records:
                raise ValueError("it was replaced while others were answered.")
            self._check_leads(array.shape)
            warning = self._check_length(array.shape[2], self.sampling_rate)
        except Exception as error:  # a file can be cut off, or replaced, in any way
            yield from (Record(name, error=str(error)) for name in names)
            return
        blocks = range(start, source.n_records, _BLOCK)
        numbers = (np.arange(i, min(i + _BLOCK, source.n_records)) for i in blocks)
        with np.errstate(over="ignore"):  # becomes infinite, and is refused as such
            signals = (signal for rows in numbers for signal in array.read(rows))
            for name, signal in zip(names, signals, strict=True):
                record = Record(name, warning=warning)
                try:
                    self._finish(record, signal, self.sampling_rate)
                except ValueError as error:
                    record.signal, record.error = None, str(error)
                yield record

    def _check_leads(self, shape: tuple[int, int, int]) -> None:
        """Refuse arrays of another number of leads, which could not be resampled either."""
        wanted = self.intake.n_leads
        if shape[1] != wanted:
            turned = " It looks turned: leads come before samples." if shape[2] == wanted else ""
            raise ValueError(f"it has {shape[1]} leads; the model takes {wanted}.{turned}")

    def _check_length(self, n_samples: int, rate: float) -> str:
        """Return a warning of a recording that is cut; raise for one that cannot be answered."""
        seconds, wanted = n_samples / rate, self.intake.seconds
        if abs(seconds - wanted) <= _TOLERANCE:
            return ""
        said = f"it is {seconds:g} s long ({n_samples} samples at {rate:g} Hz)"
        if seconds > wanted and self.crop:
            return f"{said}, of which the first {wanted:g} s are answered."
        remedy = ", or --crop to answer by their beginning" if seconds > wanted else ""
        raise ValueError(f"{said}; the model takes {wanted:g} s{remedy}.")

    def _finish(self, record: Record, signal: np.ndarray, sampling_rate: float) -> None:
        signal = self._unify(signal, sampling_rate)
        found = self.intake.look_at(np.ascontiguousarray(signal, dtype=np.float32))
        record.signal = signal
        record.warning = " ".join(filter(None, [record.warning, found]))

    def together(self, records: Sequence[Record]):
        """Return recordings as one array for the model, with age and sex where it reads them.

        Parameters
        ----------
        records : sequence of Record
            That were read.
        """
        X = np.stack([record.signal for record in records])
        if not self.intake.table:
            return X
        table = pd.DataFrame({"age": [r.age for r in records], "sex": [r.sex for r in records]})
        return RecordArray.wrap(X, table=table)


def _is_array(path: str) -> bool:
    return path.endswith(".npy")


def _sources(given: str) -> Iterator[_Source]:
    if os.path.isdir(given):
        yield from _of_folder(given)
        return
    if _is_array(given) and os.path.isfile(given):
        yield _array_source(given)
        return
    stem, suffix = os.path.splitext(given)
    stem = stem if suffix in (".hea", ".mat", ".dat") else given
    if not os.path.isfile(f"{stem}.hea"):
        raise FileNotFoundError(
            f"RECORDS: {given!r} is no folder, no .npy file and no WFDB record ({stem}.hea is not "
            "there)."
        )
    yield _Source(f"{stem}.hea", stem)


def _of_folder(folder: str) -> Iterator[_Source]:
    paths = sorted(
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if name.endswith((".hea", ".npy")) and not name.startswith(".")
    )
    if not paths:
        raise FileNotFoundError(f"RECORDS: the folder {folder!r} holds no .hea or .npy file.")
    pieces = _segments(path for path in paths if not _is_array(path))
    for path in paths:
        if _is_array(path):
            yield _array_source(path)
        elif path not in pieces:
            yield _Source(path, path.removesuffix(".hea"))


def _segments(paths) -> set[str]:
    """Return the headers that are pieces of a multi-segment record beside them."""
    found = set()
    for path in paths:
        try:
            header = read_header(path)
        except RecordError:
            continue
        found |= {os.path.join(os.path.dirname(path), f"{n}.hea") for n, _ in header.segments}
    return found


def _array_source(path: str) -> _Source:
    if not os.path.isfile(path):
        return _Source(path, path, error="it is no regular file.")  # a pipe would be waited for
    try:
        array, numbered = _open_array(path)
        return _Source(path, path, n_records=len(array), numbered=numbered)
    except Exception as error:  # foreign bytes can make NumPy's reader fail in any way
        return _Source(path, path, error=f"it is no .npy file of recordings: {error}")


def _open_array(path: str) -> tuple[np.ndarray, bool]:
    """Return a memory map of shape (n_records, n_leads, n_samples), and whether it was one."""
    with open(path, "rb") as file:
        header = read_npy_header(file)
    if header.file_size > os.path.getsize(path):
        raise ValueError(f"it is cut off: {header.file_size} bytes are needed.")
    shape, fortran_order, dtype, offset = header
    if dtype.kind not in "fiu" or len(shape) not in (2, 3) or not all(shape):
        raise ValueError(
            f"shape {shape} and type {dtype}; expected numbers of shape (leads, samples) or "
            "(recordings, leads, samples)."
        )
    order = "F" if fortran_order else "C"
    array = np.memmap(path, dtype, "r", offset, shape, order)
    return (array, True) if array.ndim == 3 else (array[np.newaxis], False)
