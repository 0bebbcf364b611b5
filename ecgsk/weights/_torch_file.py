"""Files of ``torch.save``, read without torch and without running anything in them."""

import io
import math
import os
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from typing import NamedTuple

import numpy as np

from ecgsk._core.public import public

_DTYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_REMEDY = "Fetch it again, or give a file as torch.save or save_weights wrote it."


@public("ecgsk.weights")
def read_torch_file(path: str | os.PathLike):
    """Return what was saved, with arrays in the place of tensors.

    The pickle inside is read with names of this module only: what would build a tensor makes an
    array, NumPy numbers become None, and any other name is refused. The checksums of the archive,
    at which torch does not look, are compared first.

    Parameters
    ----------
    path : path-like
        A file that ``torch.save`` wrote in its format since version 1.6.

    Returns
    -------
    object
        Of dicts, lists, numbers, strings and arrays; bfloat16 becomes float32.

    Raises
    ------
    ValueError
        When the file is cut off, changed, no such file, or asks for anything else to be built.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_records(archive, path)
            return _Reader(archive).load()
    except _Refused as refusal:
        raise ValueError(f"{path} {refusal} {_REMEDY}") from refusal.__cause__
    except Exception as error:  # damaged files make the standard library raise almost anything
        said = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path} is no file of torch.save, or it was cut off or changed ({ascii(said)[:200]}). "
            f"{_REMEDY}"
        ) from error


class _Refused(Exception):  # noqa: N818 - carries the half of a message
    """The file can be read, but is not what it should be."""


def _check_records(archive: zipfile.ZipFile, path) -> None:
    on_disk = os.path.getsize(path)
    for record in archive.infolist():
        # Nothing is compressed by torch; what unpacks to more than the file holds is a trap.
        if record.compress_type != zipfile.ZIP_STORED or record.file_size > on_disk:
            raise _Refused(f"was changed: its record {ascii(record.filename)} is compressed.")
    broken = archive.testzip()
    if broken is not None:
        raise _Refused(f"was changed: the checksum of its record {ascii(broken)} is wrong.")


class _Storage(NamedTuple):
    """Where the values of tensors are."""

    kind: str


def _check_memo(content: bytes) -> None:
    """Refuse numbers of memo entries for which the unpickler would take gigabytes."""
    for code, argument, _ in pickletools.genops(content):
        if code.name.endswith("PUT") and argument > len(content):
            raise _Refused("was changed: its pickle numbers more objects than it can hold.")


class _Values(NamedTuple):
    """What a storage holds: of these alone tensors are made."""

    values: np.ndarray


class _Maker:
    """A function that a file may call, and cannot change."""

    __slots__ = ("function",)

    def __init__(self, function):
        object.__setattr__(self, "function", function)

    def __call__(self, *args):
        return self.function(*args)

    def __setattr__(self, name, value):
        raise _Refused("was changed: it sets what cannot be set.")

    __setstate__ = None


class _Inert:
    """Stands in for what would build a NumPy number, and builds nothing."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


class _Reader(pickle.Unpickler):
    """Unpickle what the archive holds under names that are known."""

    def __init__(self, archive: zipfile.ZipFile):
        names = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
        if len(names) != 1:
            raise _Refused("is no file of torch.save: it has no data.pkl.")
        self.archive = archive
        self.folder = names[0].partition("/")[0]
        order = f"{self.folder}/byteorder"
        big = order in archive.namelist() and archive.read(order).strip() == b"big"
        self.order = ">" if big else "<"
        self.storages: dict[str, _Values] = {}
        content = archive.read(names[0])
        _check_memo(content)
        super().__init__(io.BytesIO(content), encoding="latin1")

    def find_class(self, module, name):
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return _Storage(name)
        known = _KNOWN.get(f"{module}.{name}")
        if known is None:
            asked = ascii(f"{module}.{name}")[1:-1]
            raise _Refused(
                f"cannot be read without running code: it asks for {asked}. Nothing was run."
            )
        return known

    def persistent_load(self, saved):
        _, kind, key, *_ = saved
        if key not in self.storages:
            record = f"{self.folder}/data/{key}"
            values = np.frombuffer(self.archive.read(record), dtype=self.order + _DTYPES[kind.kind])
            if kind.kind == "BFloat16Storage":
                values = (values.astype("<u4") << 16).view("<f4")
            self.storages[key] = _Values(values)
        return self.storages[key]


def _tensor(storage, offset, size, stride, *rest):
    """Return a tensor's values, a view of its storage."""
    if not isinstance(storage, _Values):
        raise _Refused("was changed: a tensor is made of something else than values.")
    values = storage.values
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min([offset, *stride, *size]) < 0 or (0 not in size and last >= len(values)):
        raise _Refused("was changed: a tensor lies outside of its values.")
    if math.prod(size) > max(len(values), 1):
        raise _Refused("was changed: a tensor repeats its values.")
    strides = [step * values.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(values[offset:], size, strides, writeable=False)


def _parameter(values, *rest):
    return values


def _encoded(text, encoding="latin1"):
    return text.encode("latin1")


_KNOWN = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _Maker(_tensor),
    "torch._utils._rebuild_parameter": _Maker(_parameter),
    "_codecs.encode": _Maker(_encoded),
    "numpy.dtype": _Inert,
    # NumPy 2 moved it.
    "numpy.core.multiarray.scalar": _Inert,
    "numpy._core.multiarray.scalar": _Inert,
}
