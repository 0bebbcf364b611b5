"""NumPy's format for one array, ``.npy``."""

import os
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from ecgsk._core.file_formats import NpyHeader, read_npy_header
from ecgsk._core.record_error import RecordError
from ecgsk._formats.arrays import ArrayContent, opened, to_millivolt
from ecgsk._formats.stored import Format, ReadOptions, StoredECG

_MAGIC = b"\x93NUMPY"


class NPY(Format):
    """Arrays of shape (leads, samples) or (recordings, leads, samples), by a memory map.

    The user states the sampling rate, which the file does not contain, and also the unit, if it is
    not mV, and the leads, if they are not the twelve standard ones.
    """

    name = "NPY"
    endings = (".npy",)
    names_leads = False
    states_unit = False

    def recognizes(self, path: str, beginning: bytes) -> bool:
        return beginning.startswith(_MAGIC) or path.endswith(".npy")

    def count(self, path: str, options: ReadOptions) -> int | None:
        with opened(path) as file:
            content, _ = _read_header(path, file)
        return content.n_records

    def scan(self, path: str, options: ReadOptions) -> Sequence[StoredECG]:
        with opened(path) as file:
            content, header = _read_header(path, file)
            file.seek(0)
            start = file.read(header.offset)
        content.factor(options)
        return content.recordings(self.name, options, handle=(header, start))

    def read(self, ecg: StoredECG, leads: Sequence[str], options: ReadOptions) -> np.ndarray:
        (shape, fortran_order, dtype, offset), start = ecg.handle
        with opened(ecg.path) as file:
            if file.read(offset) != start:
                raise RecordError(ecg.path, "it was replaced after it had been listed")
            # The memory of what was read is freed together with the map.
            array = np.memmap(file, dtype, "r", offset, shape, "F" if fortran_order else "C")
        rows = [ecg.leads.index(lead) for lead in leads]
        samples = array[rows] if ecg.row is None else array[ecg.row, rows]
        content = ArrayContent(ecg.path, shape, dtype)
        return to_millivolt(np.asarray(samples), content.factor(options), ecg.path)


def _read_header(path: str, file: BinaryIO) -> tuple[ArrayContent, NpyHeader]:
    try:
        header = read_npy_header(file)
    except ValueError as error:
        raise RecordError(path, f"it is not an .npy file of recordings: {error}") from None
    content = ArrayContent(path, header.shape, header.dtype)
    content.check()
    size = os.fstat(file.fileno()).st_size
    if header.file_size > size:
        content.refuse(f"it is cut off: it has {size} bytes; {header.file_size} are needed")
    if header.file_size < size:
        content.refuse(
            f"it has {size} bytes; its header states {header.file_size}. Its line ends were "
            "changed on its way, or it contains a second array"
        )
    return content, header
