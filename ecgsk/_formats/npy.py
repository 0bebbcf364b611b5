"""NumPy's format for one array, ``.npy``."""

import os
from collections.abc import Sequence

import numpy as np

from ecgsk._core.file_formats import NpyHeader, read_npy_header
from ecgsk._core.record_error import RecordError
from ecgsk._formats.arrays import ArrayContent, to_millivolt
from ecgsk._formats.stored import Format, ReadOptions, StoredECG

_MAGIC = b"\x93NUMPY"


class NPY(Format):
    """Arrays of shape (leads, samples) or (recordings, leads, samples), by a memory map.

    The user states the sampling rate, which the file does not contain, and also the unit, if it is
    not mV, and the leads, if they are not the twelve standard ones.
    """

    name = "NPY"
    endings = (".npy",)

    def recognizes(self, path: str, beginning: bytes) -> bool:
        return beginning.startswith(_MAGIC) or path.endswith(".npy")

    def count(self, path: str, options: ReadOptions) -> int | None:
        content, _ = _open(path)
        return content.n_records

    def scan(self, path: str, options: ReadOptions) -> Sequence[StoredECG]:
        content, header = _open(path)
        content.factor(options)
        return content.recordings(self.name, options, handle=header)

    def read(self, ecg: StoredECG, leads: Sequence[str], options: ReadOptions) -> np.ndarray:
        content, header = _open(ecg.path)
        if header != ecg.handle:
            raise RecordError(ecg.path, "it was replaced after it had been listed")
        shape, fortran_order, dtype, offset = header
        # The pages that were read are given back with the map.
        array = np.memmap(ecg.path, dtype, "r", offset, shape, "F" if fortran_order else "C")
        rows = [ecg.leads.index(lead) for lead in leads]
        samples = array[rows] if ecg.row is None else array[ecg.row, rows]
        return to_millivolt(np.asarray(samples), content.factor(options))


def _open(path: str) -> tuple[ArrayContent, NpyHeader]:
    try:
        if not os.path.isfile(path) and os.path.exists(path):
            raise RecordError(path, "it is not a regular file")
        with open(path, "rb") as file:
            header = read_npy_header(file)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise RecordError(path, f"it cannot be opened ({error.strerror})", missing) from None
    except RecordError:
        raise
    except ValueError as error:
        raise RecordError(path, f"it is not an .npy file of recordings: {error}") from None
    content = ArrayContent(path, header.shape, header.dtype)
    content.check()
    if header.file_size > size:
        raise RecordError(
            path, f"it is cut off: it has {size} bytes; {header.file_size} bytes are needed"
        )
    return content, header
