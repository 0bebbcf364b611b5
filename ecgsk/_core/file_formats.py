"""Recognize file formats by their first bytes, and read headers without trusting them."""

import os
from math import prod
from typing import BinaryIO, NamedTuple

import numpy as np

# NumPy refuses longer headers: Python's parser is not safe for them.
_LONGEST_HEADER = 10_000
# So many bytes of a file are enough for `read_npy_header`.
NPY_START = _LONGEST_HEADER + 64


class NpyHeader(NamedTuple):
    """Header of an array in NumPy's format, and where its values start in the file."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    offset: int

    @property
    def file_size(self) -> int:
        """Size in bytes of a file that holds the whole array."""
        return self.offset + prod(self.shape) * self.dtype.itemsize


def read_npy_header(stream: BinaryIO) -> NpyHeader:
    """Read the header at the start of a file in NumPy's format; ValueError when it is not valid."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(stream)
        if version not in readers:
            raise ValueError(f"format version {version} is not known")
        shape, fortran_order, dtype = readers[version](stream, max_header_size=_LONGEST_HEADER)
    # A header is a Python literal, whose parser raises many types of errors.
    except Exception as error:
        raise ValueError(str(error)) from error
    if len(shape) > 32 or any(length < 0 for length in shape):
        raise ValueError(f"the shape {shape} is not possible")
    return NpyHeader(shape, fortran_order, dtype, stream.tell())


def is_safetensors(path: str | os.PathLike) -> bool:
    """Return whether a file starts as safetensors files do: a length, and a JSON header."""
    with open(path, "rb") as file:
        return starts_as_safetensors(file.read(9), os.path.getsize(path))


def starts_as_safetensors(start: bytes, file_size: int) -> bool:
    """Return whether the first bytes of a file of this size are those of a safetensors file."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") < file_size
