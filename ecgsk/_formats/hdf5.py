"""HDF5 files of recordings: those of CODE-15, and our own layout.

CODE-15 (https://doi.org/10.5281/zenodo.4916206) has ``tracings`` of shape (recordings, 4096, 12)
at 400 Hz and ``exam_id``. Shorter recordings, of 10 s or 7 s, have zeros before and after them,
which are not read. The last recording in each file is empty, with the number 0.

Our own layout is that of ``.npz`` (see `ecgsk._formats.npz`): ``data`` of shape (leads, samples)
or (recordings, leads, samples), and ``sampling_rate``, ``leads``, ``unit`` and ``records`` as
datasets, or as attributes of ``data`` or of the file.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ecgsk._core.optional import import_optional
from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._formats.arrays import MOST_RECORDINGS, ArrayContent, to_millivolt
from ecgsk._formats.hdf5_dataset import check_dataset, describe, find_dataset, stated_value
from ecgsk._formats.limits import check_file
from ecgsk._formats.stored import Format, ReadOptions, Statements, StoredECG
from ecgsk._formats.tracings import CODE_RATE, CODE_SAMPLES, check_lead_order, recorded_parts

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LARGEST_FILE = 1 << 50
_STATED = ("sampling_rate", "leads", "unit", "records")


class _Place(NamedTuple):
    """Where a recording is in a dataset."""

    dataset: str
    shape: tuple[int, ...]
    start: int
    stop: int
    factor: float  # to mV


class HDF5(Format):
    """Recordings in HDF5 files, in the layout of CODE-15 or in our own, read one by one."""

    name = "HDF5"
    endings = (".h5", ".hdf5", ".hdf")
    states_unit = False

    def recognizes(self, path: str, beginning: bytes) -> bool:
        return any(beginning.startswith(_SIGNATURE, place) for place in (0, 512, 1024, 2048))

    def count(self, path: str, options: ReadOptions) -> int | None:
        with opened_hdf5(path) as file:
            if (data := find_dataset(file, "data")) is not None:
                return _content(path, data, dict.fromkeys(_STATED)).n_records
            return len(rows_of_tracings(path, file)[1])

    def scan(self, path: str, options: ReadOptions) -> Sequence[StoredECG]:
        with opened_hdf5(path) as file:
            return self._scan(path, file, options)

    def read(self, ecg: StoredECG, leads: Sequence[str], options: ReadOptions) -> np.ndarray:
        with opened_hdf5(ecg.path) as file:
            return _read(file, ecg, leads)

    def decode(self, path: str, options: ReadOptions) -> Iterator[tuple[StoredECG, Callable]]:
        with opened_hdf5(path) as file:
            for ecg in self._scan(path, file, options):
                yield ecg, lambda leads, ecg=ecg: _read(file, ecg, leads)

    def _scan(self, path: str, file, options: ReadOptions) -> list[StoredECG]:
        data = find_dataset(file, "data")
        if data is None:
            return _scan_tracings(self.name, path, file, options)
        values = {name: stated_value(file, data, name) for name in _STATED}
        content = _content(path, data, values)
        states = None
        if (records := values["records"]) is not None:
            if len(records) != (content.n_records or 1):
                content.refuse(f"it has {content.n_records or 1} recordings, but {len(records)} "
                               "records")  # fmt: skip
            states = [{"record": name} for name in records]
        place = _Place("data", data.shape, 0, data.shape[-1], content.factor(options))
        return content.recordings(self.name, options, handle=place, comments=states)


@contextmanager
def opened_hdf5(path: str) -> Iterator[Any]:
    """Open a file by h5py; what fails while it is open is a RecordError."""
    check_file(path, _LARGEST_FILE)
    h5py = import_optional("h5py", extra="formats", purpose="Reading HDF5")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (RecordError, MemoryError, GeneratorExit):
        raise
    except Exception as error:  # damaged files make HDF5 fail in any way
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise RecordError(path, f"it cannot be read as HDF5: {reason}") from error


def _content(path: str, data, values: dict[str, Any]) -> ArrayContent:
    rate, leads, unit = values["sampling_rate"], values["leads"], values["unit"]
    content = ArrayContent(
        path,
        data.shape,
        data.dtype,
        None if rate is None else float(rate),
        None if leads is None else tuple(leads),
        None if unit is None else unit[0],
    )
    content.check()
    check_dataset(data, content)
    return content


def rows_of_tracings(path: str, file) -> tuple[ArrayContent, list[int], np.ndarray | None]:
    """Return the content of ``tracings``, its rows with recordings, and the numbers of all rows."""
    tracings = find_dataset(file, "tracings")
    if tracings is None:
        raise ValueError(
            f"it contains {describe(file)}, but neither 'tracings', as files of CODE-15 do, nor "
            "'data' with 'sampling_rate', 'leads' and 'unit'"
        )
    shape = tracings.shape
    if len(shape) != 3 or shape[1] == len(STANDARD_LEADS) != shape[2]:
        raise ValueError(f"'tracings' has shape {shape}; expected (recordings, samples, leads)")
    content = ArrayContent(path, (shape[0], shape[2], shape[1]), tracings.dtype)
    content.check()
    check_dataset(tracings, content)
    if shape[0] > MOST_RECORDINGS:
        content.refuse(f"it has {shape[0]} recordings; at most {MOST_RECORDINGS} are read")
    ids = find_dataset(file, "exam_id")
    if ids is None:
        return content, list(range(shape[0])), None
    if ids.shape != shape[:1] or ids.dtype.kind not in "iu":
        raise ValueError(f"'exam_id' has shape {ids.shape} and type {ids.dtype}, where 'tracings' "
                         f"has shape {shape}")  # fmt: skip
    check_dataset(ids, content)
    numbers = ids[()]
    empty = {row for row in np.flatnonzero(numbers == 0).tolist() if not tracings[row].any()}
    return content, [row for row in range(shape[0]) if row not in empty], numbers


def _scan_tracings(name: str, path: str, file, options: ReadOptions) -> list[StoredECG]:
    content, rows, numbers = rows_of_tracings(path, file)
    tracings = file["tracings"]
    n_leads, n_samples = content.shape[1:]
    padded = (n_leads, n_samples) == (len(STANDARD_LEADS), CODE_SAMPLES)
    if padded:
        content = replace(content, sampling_rate=CODE_RATE)
    if content.dtype.kind in "iu" and options.unit is None:
        content.refuse("its samples are whole numbers without a unit: give file_unit")
    if options.leads is None and n_leads == len(STANDARD_LEADS):
        content = replace(content, leads=STANDARD_LEADS)
    factor = content.factor(options)
    whole = [(0, n_samples)] * content.shape[0]
    parts = recorded_parts(tracings) if padded else whole
    found = []
    # A recording of zeros alone is an error when it is read.
    ecgs = content.recordings(name, options)
    check_lead_order(path, tracings, rows, ecgs[0].leads)
    for row in rows:
        start, stop = parts[row] if parts[row][1] else whole[row]
        states = Statements()
        if numbers is not None:
            states = Statements(comments={"exam_id": str(numbers[row])})
        place = _Place("tracings", tracings.shape, start, stop, factor)
        found.append(replace(ecgs[row], n_samples=stop - start, states=states, handle=place))
    return found


def _read(file, ecg: StoredECG, leads: Sequence[str]) -> np.ndarray:
    name, shape, start, stop, factor = ecg.handle
    data = find_dataset(file, name)
    if data is None or data.shape != shape:
        raise RecordError(ecg.path, "it was replaced after it had been listed")
    content = ArrayContent(ecg.path, shape, data.dtype)
    check_dataset(data, content)
    samples = data[()] if ecg.row is None else data[ecg.row]
    if name == "tracings":
        if not samples.any():
            raise RecordError(ecg.path, f"recording {ecg.row} contains only zeros")
        if samples[:start].any() or samples[stop:].any():
            raise RecordError(ecg.path, "it was replaced after it had been listed")
        samples = samples[start:stop].T
    rows = [ecg.leads.index(lead) for lead in leads]
    return to_millivolt(samples[rows], factor, ecg.path)
