"""Files of ``torch.save``, read by torch after everything in them was checked."""

import io
import os
import threading
import zipfile

import numpy as np

from ecgsk.weights._pickle_check import NUMBER_TYPES, PickleCheck, Refused

_REMEDY = "Fetch it again, or give a file as torch.save or save_weights wrote it."
# torch keeps the names that it trusts for the whole process.
_TRUST = threading.Lock()


def read_torch_file(path: str | os.PathLike):
    """Return the content of a file of ``torch.save`` (since version 1.6), with tensors on the CPU.

    Nothing in it can run: torch itself compares no checksums and trusts the pickle not to crash
    it, so `PickleCheck` reads it first. Raises ValueError when the file is cut off, changed, of
    another format, or contains other types of objects.
    """
    import torch

    try:
        checked = _checked(path)
        with _TRUST, torch.serialization.safe_globals(_numpy_types()):
            return torch.load(checked, map_location="cpu", weights_only=True)
    except Refused as refusal:
        raise ValueError(f"{path} {refusal} {_REMEDY}") from refusal.__cause__
    except Exception as error:  # for damaged files, zipfile and torch raise almost anything
        reason = ascii(f"{type(error).__name__}: {error}")[:200]
        raise ValueError(
            f"{path} is not a file of torch.save, or was cut off or changed ({reason}). {_REMEDY}"
        ) from error


def _numpy_types() -> list:
    number = np.float64(0)
    return [number.__reduce__()[0], np.dtype, *(type(np.dtype(kind)) for kind in NUMBER_TYPES)]


def _checked(path: str | os.PathLike) -> io.BytesIO:
    """Return an archive of the checked records alone.

    Two readers of one archive may find different records in it: torch gets an archive that this
    function has written.
    """
    with zipfile.ZipFile(path) as archive:
        _check_records(archive, os.path.getsize(path))
        names = archive.namelist()
        pickles = [name for name in names if name.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1:
            raise Refused("is not a file of torch.save: it has no data.pkl.")
        folder = pickles[0].removesuffix("data.pkl")
        start = f"{folder}data/"
        sizes = {
            record.filename.removeprefix(start): record.file_size
            for record in archive.infolist()
            if record.filename.startswith(start)
        }
        content = archive.read(pickles[0])
        check = PickleCheck(content, sizes)
        checked = io.BytesIO()
        with zipfile.ZipFile(checked, "w") as copy:
            copy.writestr("archive/data.pkl", _for_this_numpy(content, check.globals))
            copy.writestr("archive/version", b"3\n")
            if f"{folder}byteorder" in names:
                copy.writestr("archive/byteorder", archive.read(f"{folder}byteorder"))
            for key in check.storages:
                copy.writestr(f"archive/data/{key}", archive.read(f"{start}{key}"))
    checked.seek(0)
    return checked


def _check_records(archive: zipfile.ZipFile, file_size: int) -> None:
    records = archive.infolist()
    for record in records:
        # torch compresses nothing; a record that grows while it is read is an attack.
        if record.compress_type != zipfile.ZIP_STORED or record.file_size > file_size:
            raise Refused(f"was changed: its record {ascii(record.filename)} is compressed.")
    if len({record.filename for record in records}) < len(records):
        raise Refused("was changed: it has two records of one name.")
    if sum(record.file_size for record in records) > file_size:
        raise Refused("was changed: its records overlap.")
    broken = archive.testzip()
    if broken is not None:
        raise Refused(f"was changed: the checksum of its record {ascii(broken)} is wrong.")


def _for_this_numpy(content: bytes, names: list[tuple[int, str]]) -> bytes:
    """Return a pickle that finds the numbers of NumPy where this version has them."""
    module = np.float64(0).__reduce__()[0].__module__
    parts, done = [], 0
    for position, name in names:
        if name.endswith(".multiarray scalar"):
            parts += [content[done:position], f"c{module}\nscalar\n".encode()]
            done = position + len(f"c{name}\n")
    return b"".join([*parts, content[done:]])
