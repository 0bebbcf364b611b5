"""The formats that are read."""

import os
from functools import lru_cache

from ecgsk._formats.aecg import HL7aECG
from ecgsk._formats.dicom import DICOM
from ecgsk._formats.edf import EDF
from ecgsk._formats.hdf5 import HDF5
from ecgsk._formats.mortara import MortaraXML
from ecgsk._formats.muse import MuseXML
from ecgsk._formats.npy import NPY
from ecgsk._formats.npz import NPZ
from ecgsk._formats.philips import PhilipsXML
from ecgsk._formats.scp import SCPECG
from ecgsk._formats.stored import Format
from ecgsk._formats.text_table import TextTable
from ecgsk._formats.wfdb import WFDB

# In the order in which they are tried: those with an unmistakable beginning first.
FORMATS: tuple[Format, ...] = (
    WFDB(),
    DICOM(),
    MuseXML(),
    PhilipsXML(),
    HL7aECG(),
    MortaraXML(),
    SCPECG(),
    EDF(),
    NPY(),
    NPZ(),
    HDF5(),
    TextTable(),
)
_BEGINNING = 4096


def read_beginning(path: str, n_bytes: int = _BEGINNING) -> bytes:
    """Return the first bytes of a regular file, and nothing of all others."""
    try:
        if os.path.isfile(path):
            with open(path, "rb", buffering=0) as stream:
                return stream.read(n_bytes)
    except OSError:
        pass
    return b""


def find_format(path: str) -> Format | None:
    """Return the format that a file's content has, or None."""
    beginning = read_beginning(path)
    return next((f for f in FORMATS if f.recognizes(path, beginning)), None)


@lru_cache
def format_named(name: str) -> Format:
    """Return the format of a `StoredECG`."""
    return next(f for f in FORMATS if f.name == name)
