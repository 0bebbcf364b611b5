"""The list of recordings of a command: what the given paths lead to, each once."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ecgsk._core.file_formats import read_npy_header
from ecgsk._core.record_error import RecordError
from ecgsk._formats.folder import find_copies, find_unread, list_folder, summarize
from ecgsk._wfdb.header import Header, read_header


@dataclass(frozen=True)
class Source:
    """A file of one or more recordings, or one that is not read."""

    path: str  # of the header or the .npy file
    shown: str  # name of its recordings in the table
    n_records: int = 1
    numbered: bool = False  # whether the name of each recording has its number
    error: str = ""
    unread: bool = False  # a file in another format, or a folder

    @property
    def state(self) -> str:
        """What changes when the file is replaced, as text."""
        try:
            about = os.stat(self.path)
        except OSError:
            return "missing"
        return f"{about.st_size} {about.st_mtime_ns}"


def is_array(path: str) -> bool:
    return path.endswith(".npy")


def _sources(given: str, headers: "_Headers") -> Iterator[Source]:
    if os.path.isdir(given):
        yield from _of_folder(given, headers)
        return
    if is_array(given) and os.path.isfile(given):
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
    yield Source(f"{stem}.hea", stem)


def _of_folder(folder: str, headers: "_Headers") -> Iterator[Source]:
    content = list_folder(folder)
    paths = [path for path in content.files if path.endswith(".hea") or is_array(path)]
    found = headers.read(path for path in paths if not is_array(path))
    unread = [*find_unread(content.files, found), *content.unread]
    if not paths:
        others = f"; not read: {summarize(unread)}" if unread else ""
        raise FileNotFoundError(
            f"RECORDS: the folder {folder!r} contains no .hea or .npy file{others}."
        )
    segments = {
        os.path.join(header.folder, f"{name}.hea")
        for header in found
        for name, _ in header.segments
    }
    errors = {item.path: item.reason for item in unread}
    for path in sorted([*paths, *errors]):
        if path in errors:
            yield Source(path, path, error=errors[path], unread=True)
        elif is_array(path):
            yield _array_source(path)
        elif path not in segments:
            yield Source(path, path.removesuffix(".hea"))


class _Headers:
    """The headers that can be parsed, each read once, without their comments."""

    def __init__(self) -> None:
        self._by_path: dict[str, Header | None] = {}

    def read(self, paths: Iterable[str]) -> list[Header]:
        return [header for path in paths if (header := self._read(path)) is not None]

    def _read(self, path: str) -> Header | None:
        if path not in self._by_path:
            self._by_path[path] = None
            with suppress(RecordError):
                self._by_path[path] = replace(read_header(path), comments=())
        return self._by_path[path]


def list_sources(given: Iterable[str]) -> tuple[list[Source], list[str]]:
    """Return each source once, and the names of those that two paths lead to."""
    headers = _Headers()
    # Links to files are not resolved: a header's signal files are in the folder of the link.
    real_folder = lru_cache(maxsize=1024)(os.path.realpath)
    kept: dict[tuple[str, str], Source] = {}
    repeated = []
    for source in (source for path in given for source in _sources(path, headers)):
        folder, name = os.path.split(source.path)
        place = (real_folder(folder), name)
        if place in kept:
            repeated.append(source.shown)
        kept.setdefault(place, source)
    read = headers.read(s.path for s in kept.values() if not s.error and not is_array(s.path))
    copies = {copy.path: copy.reason for copy in find_copies(read)}
    return [replace(s, error=copies.get(s.path, s.error)) for s in kept.values()], repeated


def _array_source(path: str) -> Source:
    if not os.path.isfile(path):
        return Source(path, path, error="it is not a regular file.")  # a pipe may never end
    try:
        array, numbered = open_array(path)
        return Source(path, path, n_records=len(array), numbered=numbered)
    except Exception as error:  # foreign bytes can make NumPy's reader fail in any way
        return Source(path, path, error=f"it is not an .npy file of recordings: {error}")


def open_array(path: str) -> tuple[np.ndarray, bool]:
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
