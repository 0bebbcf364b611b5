"""Recordings in files: all are listed at the start, and each is read when its turn comes."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ecgsk._cli.model_input import ModelInput
from ecgsk._core.covariates import read_age
from ecgsk._core.file_formats import read_npy_header
from ecgsk._core.records import RecordArray
from ecgsk._core.sampling_rate import Unify
from ecgsk._wfdb.folder import Unread, find_copies, find_unread, list_folder, summarize
from ecgsk._wfdb.header import Header, RecordError, read_header
from ecgsk._wfdb.metadata import record_metadata
from ecgsk._wfdb.signal import read_signal, scan_record

# Largest difference of a recording's length from the model's that is not an error, s.
_TOLERANCE = 0.05
# Recordings of an .npy file that are read together: memory of the file is released after each read.
_BLOCK = 16


@dataclass
class Recording:
    """A recording before and after the model's prediction."""

    name: str
    signal: np.ndarray | None = None  # float32 (n_leads, n_samples), mV
    age: float = np.nan  # years; NaN where unknown
    sex: float = np.nan  # 0 male, 1 female; NaN where unknown
    warning: str = ""
    error: str = ""  # why there is no prediction
    prediction: Sequence[str] = ()  # probabilities and decision, as they are written

    def fail(self, error: Exception) -> None:
        """Drop the signal and store the reason."""
        self.signal = None
        self.error = error.reason if isinstance(error, RecordError) else str(error)


@dataclass(frozen=True)
class _Source:
    path: str
    shown: str
    n_records: int = 1
    numbered: bool = False
    error: str = ""
    unread: bool = False  # a file in another format, or a folder


class Recordings:
    """The recordings in folders, WFDB records and ``.npy`` files, in a fixed order.

    A recording that several paths lead to is listed once (``repeated`` has the names of the other
    paths). Files in a folder that may be recordings, but are in another format, are listed with
    the reason as their error.

    Raises FileNotFoundError for missing paths and folders without recordings, ValueError when the
    rate of ``.npy`` files, or the names of the model's leads, are needed and unknown.
    """

    def __init__(
        self,
        given: Sequence[str],
        model_input: ModelInput,
        *,
        sampling_rate: float | None = None,
        crop: bool = False,
    ):
        self.model_input = model_input
        self.crop = crop
        self._unify = Unify(model_input.sampling_rate, model_input.n_samples)
        self._sources, self.repeated = _without_repeats(s for path in given for s in _sources(path))
        read = [source for source in self._sources if not source.unread]
        arrays = next((s.shown for s in read if _is_array(s.path)), None)
        if arrays is not None and sampling_rate is None:
            raise ValueError(f"{arrays} does not contain its sampling rate: give --sampling-rate.")
        header = next((s.shown for s in read if not _is_array(s.path)), None)
        if header is not None and model_input.leads is None:
            raise ValueError(
                f"MODEL takes {model_input.n_leads} lead(s) but does not contain their names, so "
                f"they cannot be found in {header}: name them with --leads."
            )
        self._array_rate = sampling_rate or 0.0
        self._leads = model_input.leads or ()

    def __len__(self) -> int:
        return sum(source.n_records for source in self._sources)

    @property
    def unread(self) -> list[Unread]:
        """The files, and folders, among them that are not read."""
        return [Unread(source.path, source.error) for source in self._sources if source.unread]

    @property
    def sha256(self) -> str:
        """Hash of the list of recordings, not of their content."""
        digest = hashlib.sha256()
        for source in self._sources:
            text = f"{source.shown}\0{source.n_records}\0"
            digest.update(text.encode(errors="surrogatepass"))
        return digest.hexdigest()

    def read(self, start: int = 0) -> Iterator[Recording]:
        """Yield recordings, without the first ``start``, at the model's rate and length."""
        for source in self._sources:
            if start >= source.n_records:
                start -= source.n_records
                continue
            if source.error:
                yield Recording(source.shown, error=source.error)
            elif _is_array(source.path):
                yield from self._read_array(source, start)
            else:
                yield self._read_wfdb(source)
            start = 0

    def _read_wfdb(self, source: _Source) -> Recording:
        recording = Recording(source.shown)
        try:
            header = scan_record(source.path, self._leads)
            n_samples = header.n_samples or 0
            recording.warning = self._check_length(n_samples, header.sampling_rate)
            if recording.warning and header.data_file is not None:
                # One second more keeps the end of the resampled recording free of artifacts.
                needed = int((self.model_input.seconds + 1) * header.sampling_rate) + 1
                n_samples = min(n_samples, needed)
                header = replace(header, n_samples=n_samples)
            signal = np.empty((len(self._leads), n_samples), dtype=np.float32)
            read_signal(header, self._leads, signal)
            self._set_signal(recording, signal, header.sampling_rate)
            if self.model_input.table:
                metadata = record_metadata(header, signal)
                recording.age = metadata["age"]
                recording.sex = {"male": 0.0, "female": 1.0}.get(metadata["sex"], np.nan)
                doubt = read_age(metadata["age_text"]).doubt
                if doubt:
                    found = f"Its age {doubt!r} cannot be right and counts as unknown."
                    recording.warning = " ".join(filter(None, [recording.warning, found]))
        except (OSError, ValueError) as error:
            recording.fail(error)
        return recording

    def _read_array(self, source: _Source, start: int) -> Iterator[Recording]:
        numbers = range(start, source.n_records)
        names = [f"{source.shown}[{i}]" if source.numbered else source.shown for i in numbers]
        try:
            array = RecordArray.wrap(_open_array(source.path)[0])
            if len(array) != source.n_records:
                raise ValueError("it was replaced during the run.")
            self._check_leads(array.shape[1], array.shape[2])
            warning = self._check_length(array.shape[2], self._array_rate)
        except Exception as error:  # a file can be cut off, or replaced, in any way
            yield from (Recording(name, error=str(error)) for name in names)
            return
        blocks = (np.arange(i, min(i + _BLOCK, source.n_records)) for i in numbers[::_BLOCK])
        with np.errstate(over="ignore"):  # too large for float32: `ModelInput.check` refuses it
            signals = (signal for rows in blocks for signal in array.read(rows))
            for name, signal in zip(names, signals, strict=True):
                recording = Recording(name, warning=warning)
                try:
                    self._set_signal(recording, signal, self._array_rate)
                except ValueError as error:
                    recording.fail(error)
                yield recording

    def _check_leads(self, n_leads: int, n_samples: int) -> None:
        """Refuse arrays with another number of leads, which might be too long to resample."""
        wanted = self.model_input.n_leads
        if n_leads != wanted:
            turned = " Its axes look swapped: leads come before samples." * (n_samples == wanted)
            raise ValueError(f"it has {n_leads} leads; the model takes {wanted}.{turned}")

    def _check_length(self, n_samples: int, rate: float) -> str:
        """Return a warning for a recording that is cropped; raise for one of a wrong length."""
        seconds, wanted = n_samples / rate, self.model_input.seconds
        if abs(seconds - wanted) <= _TOLERANCE:
            return ""
        length = f"it is {seconds:g} s long ({n_samples} samples at {rate:g} Hz)"
        if seconds > wanted and self.crop:
            return f"{length}; the prediction is for its first {wanted:g} s."
        remedy = ", or --crop to use its beginning" if seconds > wanted else ""
        raise ValueError(f"{length}; the model takes {wanted:g} s{remedy}.")

    def _set_signal(self, recording: Recording, signal: np.ndarray, sampling_rate: float) -> None:
        signal = self._unify(signal, sampling_rate)
        found = self.model_input.check(np.ascontiguousarray(signal, dtype=np.float32))
        recording.signal = signal
        recording.warning = " ".join(filter(None, [recording.warning, found]))

    def stack(self, recordings: Sequence[Recording]):
        """Return recordings as one array for the model, with age and sex where it reads them."""
        X = np.stack([r.signal for r in recordings if r.signal is not None])
        if not self.model_input.table:
            return X
        table = {"age": [r.age for r in recordings], "sex": [r.sex for r in recordings]}
        return RecordArray.wrap(
            X,
            table=pd.DataFrame(table),
            sampling_rate=self.model_input.sampling_rate,
            leads=self.model_input.leads,
        )


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
        unread = find_unread([given], [])
        reason = unread[0].reason if unread else f"{stem}.hea does not exist"
        raise FileNotFoundError(
            f"RECORDS: {given!r} is neither a folder nor an .npy file nor a WFDB record ({reason})."
        )
    yield _Source(f"{stem}.hea", stem)


def _of_folder(folder: str) -> Iterator[_Source]:
    content = list_folder(folder)
    paths = [path for path in content.files if path.endswith(".hea") or _is_array(path)]
    headers = _headers(path for path in paths if not _is_array(path))
    unread = [*find_unread(content.files, headers), *content.unread]
    if not paths:
        found = f"; not read: {summarize(unread)}" if unread else ""
        raise FileNotFoundError(
            f"RECORDS: the folder {folder!r} contains no .hea or .npy file{found}."
        )
    segments = {
        os.path.join(header.folder, f"{name}.hea")
        for header in headers
        for name, _ in header.segments
    }
    errors = {item.path: item.reason for item in unread}
    for path in sorted([*paths, *errors]):
        if path in errors:
            yield _Source(path, path, error=errors[path], unread=True)
        elif _is_array(path):
            yield _array_source(path)
        elif path not in segments:
            yield _Source(path, path.removesuffix(".hea"))


def _headers(paths: Iterable[str]) -> list[Header]:
    found = []
    for path in paths:
        with suppress(RecordError):
            found.append(read_header(path))
    return found


def _without_repeats(sources: Iterable[_Source]) -> tuple[list[_Source], list[str]]:
    """Return each source once, and the names of those that two paths lead to."""
    kept: dict[tuple[str, str], _Source] = {}
    repeated = []
    for source in sources:
        folder, name = os.path.split(source.path)
        # Links to files are not resolved: a header's signal files are in the folder of the link.
        place = (os.path.realpath(folder), name)
        if place in kept:
            repeated.append(source.shown)
        kept.setdefault(place, source)
    headers = _headers(s.path for s in kept.values() if not s.error and not _is_array(s.path))
    copies = {copy.path: copy.reason for copy in find_copies(headers)}
    sources = [replace(s, error=copies.get(s.path, s.error)) for s in kept.values()]
    return sources, repeated


def _array_source(path: str) -> _Source:
    if not os.path.isfile(path):
        return _Source(path, path, error="it is not a regular file.")  # a pipe may never end
    try:
        array, numbered = _open_array(path)
        return _Source(path, path, n_records=len(array), numbered=numbered)
    except Exception as error:  # foreign bytes can make NumPy's reader fail in any way
        return _Source(path, path, error=f"it is not an .npy file of recordings: {error}")


def _open_array(path: str) -> tuple[np.ndarray, bool]:
    """Return a memory map of shape (n_records, n_leads, n_samples), and whether it was 3D."""
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
    array = np.memmap(path, dtype, "r", offset, shape, "F" if fortran_order else "C")
    return (array, True) if array.ndim == 3 else (array[np.newaxis], False)
