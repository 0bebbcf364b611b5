"""Rows of numbers in a folder, each under a key: a cache that several processes may share.

Rows that were stored together are one file, which appears as a whole and never changes. Nothing is
locked, and every file may vanish or be damaged at any time: its rows are then missing. Each row has
a checksum of its own.
"""

import hashlib
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np

from ecgsk._core.files import write_file

KEY_SIZE = 32  # bytes
_MAGIC = b"ecgsk rows 1\n\0\0\0"
# Number of rows and of columns, type of the numbers.
_HEADER = struct.Struct("<16sQQ8s")
_CHECK_SIZE = 16
_SUFFIX = ".rows"
_DTYPES = ("<f8", "<f4")
# Files of one group before small ones are joined.
_MANY = 64
# Seconds after which a temporary file belongs to a process that was killed.
_ABANDONED = 3600


class RowStore:
    """Rows under keys of 32 bytes, in groups; a group is for example a model.

    ``limit`` is the size of all files in bytes. The oldest files go first. Writers that write at
    the same moment may exceed it until the next one writes.
    """

    def __init__(self, folder: Path, limit: int):
        self.folder, self.limit = folder, limit

    def get(self, group: str, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the rows that are stored and undamaged, by key."""
        wanted, found = set(keys), {}
        for path in _files(self.folder / group):
            if not wanted:
                break
            rows = _read(path, group, wanted)
            found.update(rows)
            wanted.difference_update(rows)
        return found

    def put(self, group: str, keys: Sequence[bytes], rows: np.ndarray) -> None:
        """Store rows; OSError where they cannot be written."""
        content = _to_bytes(group, keys, rows)
        if len(content) > self.limit:
            return
        self._make_room(len(content))
        self._write(group, content)
        files = _files(self.folder / group)
        if len(files) > _MANY:
            self._join(group, files)

    def _write(self, group: str, content: bytes) -> None:
        folder = self.folder / group
        # The folder may be deleted at any time, also between these lines.
        for attempt in range(3):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                write_file(folder / f"{time.time_ns():020d}-{uuid4().hex[:8]}{_SUFFIX}", content)
                return
            except FileNotFoundError:
                if attempt == 2:
                    raise

    def _join(self, group: str, files: list[Path]) -> None:
        """Write the rows of the smaller half of the files into one, so that files stay few."""
        sizes = {path: _size(path) for path in files}
        small = sorted(files, key=lambda path: sizes[path])[: _MANY // 2]
        if sum(sizes[path] for path in small) > self.limit // 16:
            return  # one file would make up too large a share of what goes at once
        rows: dict[bytes, np.ndarray] = {}
        for path in small:
            rows.update(_read(path, group))
        kinds = {(row.dtype, row.shape) for row in rows.values()}
        if len(kinds) == 1:
            content = _to_bytes(group, list(rows), np.stack(list(rows.values())))
            self._write(group, content)
        if len(kinds) < 2:
            for path in small:
                _remove(path)

    def _make_room(self, n_bytes: int) -> None:
        files = [path for folder in _folders(self.folder) for path in _files(folder)]
        sizes = {path: _size(path) for path in files}
        for folder in _folders(self.folder):
            for path in folder.glob("*.tmp"):
                with suppress(OSError):
                    if time.time() - path.stat().st_mtime > _ABANDONED:
                        path.unlink()
                        continue
                sizes[path] = _size(path)
        excess = sum(sizes.values()) + n_bytes - self.limit
        for path in sorted(files, key=lambda path: path.name):
            if excess <= 0:
                break
            _remove(path)
            excess -= sizes[path]


class _Header(NamedTuple):
    n_rows: int
    dtype: np.dtype
    width: int

    @property
    def row_size(self) -> int:
        return self.width * self.dtype.itemsize + _CHECK_SIZE


def _to_bytes(group: str, keys: Sequence[bytes], rows: np.ndarray) -> bytes:
    rows = np.ascontiguousarray(rows, dtype="<f4" if rows.dtype == np.float32 else "<f8")
    header = _HEADER.pack(_MAGIC, *rows.shape, rows.dtype.str.encode())
    body = b"".join(
        content + _check(group, rows.dtype.str, key, content)
        for key, content in zip(keys, (row.tobytes() for row in rows), strict=True)
    )
    return header + b"".join(keys) + body


def _read(path: Path, group: str, wanted: set[bytes] | None = None) -> dict[bytes, np.ndarray]:
    """Return undamaged rows of a file; none of a file that is damaged, gone or foreign."""
    found: dict[bytes, np.ndarray] = {}
    with suppress(OSError), open(path, "rb") as file:
        header = _read_header(file.read(_HEADER.size), _size(path))
        if header is None:
            return found
        keys = np.frombuffer(file.read(header.n_rows * KEY_SIZE), dtype=f"V{KEY_SIZE}")
        start = _HEADER.size + keys.nbytes
        for number in _positions(keys, wanted):
            file.seek(start + int(number) * header.row_size)
            content, key = file.read(header.row_size), keys[number].tobytes()
            content, check = content[:-_CHECK_SIZE], content[-_CHECK_SIZE:]
            if check == _check(group, header.dtype.str, key, content):
                found[key] = np.frombuffer(content, dtype=header.dtype)
    return found


def _read_header(content: bytes, size: int) -> _Header | None:
    if len(content) < _HEADER.size:
        return None
    magic, n_rows, width, dtype = _HEADER.unpack(content)
    dtype = dtype.rstrip(b"\0").decode("latin-1")
    if magic != _MAGIC or dtype not in _DTYPES:
        return None
    header = _Header(n_rows, np.dtype(dtype), width)
    complete = size == _HEADER.size + n_rows * (KEY_SIZE + header.row_size)
    return header if complete else None


def _positions(keys: np.ndarray, wanted: set[bytes] | None):
    """Return the positions of wanted keys."""
    if wanted is None:
        return range(len(keys))
    beginnings = keys.view("<u8")[:: KEY_SIZE // 8]
    those = np.array([int.from_bytes(key[:8], "little") for key in wanted], dtype="<u8")
    likely = np.flatnonzero(np.isin(beginnings, those))
    return [number for number in likely if keys[number].tobytes() in wanted]


def _check(group: str, dtype: str, key: bytes, content: bytes) -> bytes:
    about = f"{group} {dtype}".encode()
    return hashlib.blake2b(about + key + content, digest_size=_CHECK_SIZE).digest()


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []


def _files(folder: Path) -> list[Path]:
    """Return the files of a group, the newest first."""
    try:
        return sorted((p for p in folder.iterdir() if p.suffix == _SUFFIX), reverse=True)
    except OSError:
        return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
