"""NumPy's format for several arrays, ``.npz``.

The arrays of a file of recordings have these names:

- ``data``: (leads, samples) or (recordings, leads, samples), numbers;
- ``sampling_rate``: a number, Hz;
- ``leads``: texts, one for each lead;
- ``unit``: a text: V, mV, uV or nV; mV where it is missing;
- ``records``: texts, one for each recording (optional).

A file with a single array is read as ``.npy`` is. Other arrays are not used.
"""

import io
import os
import zipfile
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import BinaryIO, NamedTuple

import numpy as np

from ecgsk._core.file_formats import NPY_START, NpyHeader, read_npy_header
from ecgsk._core.record_error import RecordError
from ecgsk._formats.arrays import ArrayContent, opened, to_millivolt
from ecgsk._formats.stored import Format, ReadOptions, StoredECG

_DATA = "data"
_NAMES = ("sampling_rate", "leads", "unit", "records")
# Compressed arrays can only be decompressed as a whole.
_LARGEST_COMPRESSED = 256 << 20
_LARGEST_TEXTS = 16 << 20
_BLOCK = 1 << 20


class _Member(NamedTuple):
    """An array in the file."""

    path: str
    offset: int  # of the member's content in the file
    stored_size: int
    method: int
    crc: int
    size: int
    header: NpyHeader


class _File(NamedTuple):
    content: ArrayContent
    data: _Member
    records: tuple[str, ...] | None


class NPZ(Format):
    """Arrays of recordings with their sampling rate, leads and unit.

    Uncompressed arrays (``numpy.savez``) are read by a memory map. Compressed ones
    (``numpy.savez_compressed``) may have up to 256 MB.
    """

    name = "NPZ"
    endings = (".npz",)
    names_leads = False
    states_unit = False

    def recognizes(self, path: str, beginning: bytes) -> bool:
        # The first file in the archive is an array.
        n_name = int.from_bytes(beginning[26:28], "little")
        return beginning[:4] == b"PK\x03\x04" and beginning[30 : 30 + n_name].endswith(b".npy")

    def count(self, path: str, options: ReadOptions) -> int | None:
        return _open(path).content.n_records

    def scan(self, path: str, options: ReadOptions) -> Sequence[StoredECG]:
        content, data, records = _open(path)
        content.factor(options)
        if options.verify:
            _check_crc(data)
        names = None if records is None else [{"record": name} for name in records]
        return content.recordings(self.name, options, handle=data, comments=names)

    def read(self, ecg: StoredECG, leads: Sequence[str], options: ReadOptions) -> np.ndarray:
        content, data, _ = _open(ecg.path)
        if data != ecg.handle:
            raise RecordError(ecg.path, "it was replaced after it had been listed")
        shape, fortran_order, dtype, offset = data.header
        array: np.ndarray
        if data.method == zipfile.ZIP_STORED:
            array = np.memmap(
                ecg.path, dtype, "r", data.offset + offset, shape, "F" if fortran_order else "C"
            )
        else:
            array = np.frombuffer(_decompressed(data), dtype, offset=offset)
            array = array.reshape(shape, order="F" if fortran_order else "C")
        rows = [ecg.leads.index(lead) for lead in leads]
        samples = array[rows] if ecg.row is None else array[ecg.row, rows]
        return to_millivolt(np.asarray(samples), content.factor(options), ecg.path)


def _open(path: str) -> _File:
    """Return what a file contains, without the samples."""
    with opened(path) as file:
        members = _members(path, file)
        name = _name_of_data(path, members)
        data = members[name]
        stated = {} if name != _DATA else {n: members[n] for n in _NAMES if n in members}
        values = {n: _small_array(member) for n, member in stated.items()}
    leads = _texts(path, "leads", values.get("leads"))
    unit = _texts(path, "unit", values.get("unit"))
    content = ArrayContent(
        path,
        data.header.shape,
        data.header.dtype,
        sampling_rate=_rate(path, values.get("sampling_rate")),
        leads=leads,
        unit=None if unit is None else unit[0],
    )
    content.check()
    records = _texts(path, "records", values.get("records"))
    if records is not None and len(records) != (content.n_records or 1):
        content.refuse(f"it has {content.n_records or 1} recordings, but {len(records)} records")
    return _File(content, data, records)


def _members(path: str, file: BinaryIO) -> dict[str, _Member]:
    """Return the arrays in a file; ValueError for archives that are not written by NumPy."""
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except zipfile.BadZipFile as error:
        raise ValueError(f"it is not an .npz file of recordings: {error}") from None
    names = [info.filename.removesuffix(".npy") for info in infos]
    if len(set(names)) < len(names):
        raise ValueError("it contains arrays of the same name")
    return {
        name: _member(path, file, info)
        for name, info in zip(names, infos, strict=True)
        if name != info.filename
    }


def _member(path: str, file: BinaryIO, info: zipfile.ZipInfo) -> _Member:
    """Return an array in the file; its header has to agree with the directory of the archive."""
    quoted = repr(info.filename)
    if info.flag_bits & 1:
        raise ValueError("it is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"its compression {info.compress_type} is not used by NumPy")
    file.seek(info.header_offset)
    local = file.read(30)
    if len(local) < 30 or local[:4] != b"PK\x03\x04":
        raise ValueError(f"{quoted} is not where its directory states")
    n_name, n_extra = np.frombuffer(local, "<u2", 2, offset=26).tolist()
    offset = info.header_offset + 30 + n_name + n_extra
    if offset + info.compress_size > os.fstat(file.fileno()).st_size:
        raise ValueError("it is cut off")
    file.seek(offset)
    start = file.read(min(info.compress_size, NPY_START))
    if info.compress_type == zipfile.ZIP_DEFLATED:
        start = _inflated(start, NPY_START)
    elif info.compress_size != info.file_size:
        raise ValueError(f"{quoted} states two different sizes")
    header = read_npy_header(io.BytesIO(start))
    if header.dtype.hasobject:
        raise ValueError(f"{quoted} contains Python objects, which are not loaded")
    if header.file_size != info.file_size:
        raise ValueError(
            f"{quoted} has {info.file_size} bytes; its header states {header.file_size}"
        )
    return _Member(
        path, offset, info.compress_size, info.compress_type, info.CRC, info.file_size, header
    )


def _inflated(content: bytes, n_bytes: int) -> bytes:
    """Return at most so many bytes of compressed content."""
    try:
        return zlib.decompressobj(-15).decompress(content, n_bytes)
    except zlib.error as error:
        raise ValueError(f"it cannot be decompressed: {error}") from None


def _name_of_data(path: str, members: dict[str, _Member]) -> str:
    if _DATA in members:
        return _DATA
    if len(members) == 1:
        return next(iter(members))
    found = ", ".join(f"{name} {member.header.shape}" for name, member in members.items())
    raise RecordError(
        path,
        f"it contains no array named {_DATA!r}, but {found or 'no array'}. Save it with "
        "numpy.savez(path, data=..., sampling_rate=..., leads=..., unit=...)",
    )


def _small_array(member: _Member) -> np.ndarray:
    if member.size > _LARGEST_TEXTS:
        raise ValueError(f"one of {', '.join(_NAMES)} has {member.size} bytes")
    shape, fortran_order, dtype, offset = member.header
    content = _content(member)
    if zlib.crc32(content) != member.crc:
        raise ValueError(
            "the checksum of an array is wrong: the file was changed on its way. Fetch it again"
        )
    flat = np.frombuffer(content, dtype, offset=offset)
    return flat.reshape(shape, order="F" if fortran_order else "C")


def _content(member: _Member) -> bytes:
    """Return a member's bytes; RecordError where there are more or fewer than stated."""
    with opened(member.path) as file:
        file.seek(member.offset)
        content = file.read(member.stored_size)
        if member.method == zipfile.ZIP_DEFLATED:
            content = _inflated(content, member.size + 1)
        if len(content) != member.size:
            raise ValueError("an array has another size than the archive states")
    return content


@lru_cache(maxsize=1)
def _content_of_state(member: _Member, state: tuple[int, int]) -> bytes:
    return _content(member)


def _decompressed(member: _Member) -> bytes:
    """Return a compressed array; that of the last file is kept for the next recording in it."""
    if member.size > _LARGEST_COMPRESSED:
        raise RecordError(
            member.path,
            f"its array is compressed and has {member.size >> 20} MB; at most "
            f"{_LARGEST_COMPRESSED >> 20} MB can be decompressed. Save it with numpy.savez",
        )
    about = os.stat(member.path)
    return _content_of_state(member, (about.st_mtime_ns, about.st_size))


def _check_crc(member: _Member) -> None:
    crc = 0
    if member.method == zipfile.ZIP_DEFLATED:
        crc = zlib.crc32(_decompressed(member))
    else:
        with opened(member.path) as file:
            file.seek(member.offset)
            left = member.size
            while left > 0 and (block := file.read(min(left, _BLOCK))):
                crc = zlib.crc32(block, crc)
                left -= len(block)
    if crc != member.crc:
        raise RecordError(
            member.path,
            "its checksum is wrong: the file was changed on its way. Fetch it again, or use "
            "verify=False, which reads it as it is",
        )


def _rate(path: str, value: np.ndarray | None) -> float | None:
    if value is None:
        return None
    if value.size != 1 or value.dtype.kind not in "fiu":
        raise RecordError(path, f"its sampling_rate has shape {value.shape} and type {value.dtype}")
    return float(value.reshape(-1)[0])


def _texts(path: str, name: str, value: np.ndarray | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    if value.dtype.kind not in "US" or not value.size or (name == "unit" and value.size != 1):
        raise RecordError(
            path, f"its array {name!r} has shape {value.shape} and type {value.dtype}; expected "
            "texts"
        )  # fmt: skip
    texts = value.reshape(-1).tolist()
    return tuple(t.decode("utf-8", "replace") if isinstance(t, bytes) else t for t in texts)
