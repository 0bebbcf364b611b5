"""The file itself: a description, the model without its networks, and their tensors."""

import contextlib
import hashlib
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ecgsk._core.files import write_file
from ecgsk.persistence._archive import open_plain, pack, read
from ecgsk.persistence._errors import ModelFileError
from ecgsk.persistence._file_kind import ADVICE, what_it_is, what_the_archive_is

FORMAT = 1
DESCRIPTION, MODEL, TENSORS = "ecgsk.json", "model.skops", "tensors.safetensors"


@dataclass
class Container:
    """What a model's file holds.

    Parameters
    ----------
    description : dict
        Format, versions, and what is known of the model: plain JSON.
    model : bytes
        A skops archive without the networks.
    tensors : bytes
        A safetensors file.
    """

    description: dict
    model: bytes
    tensors: bytes

    @property
    def sha256(self) -> str:
        """Hash of all that the file says, 64 hexadecimal digits."""
        digest = hashlib.sha256()
        described = {k: v for k, v in self.description.items() if k != "sha256"}
        for part in (_as_json(described), self.model, self.tensors):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.hexdigest()

    def write(self, path: str | os.PathLike) -> str:
        """Write the file whole or not at all, and return its hash."""
        sha256 = self.sha256
        content = pack(
            {
                DESCRIPTION: _as_json({**self.description, "sha256": sha256}),
                MODEL: self.model,
                TENSORS: self.tensors,
            }
        )
        write_file(path, content, sync=True)
        return sha256


def read_container(path: str | os.PathLike) -> Container:
    """Read a file, and make sure that it is whole.

    Parameters
    ----------
    path : path-like
        Of a file that `Container.write` wrote.

    Raises
    ------
    FileNotFoundError
        When there is none.
    ModelFileError
        When it is something else, damaged, or of a newer format.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"path={str(path)!r} does not exist. {ADVICE}.")
    if not path.is_file():
        raise ModelFileError(f"{path} is a folder or a device. {ADVICE}.")
    content = path.read_bytes()
    if not content.startswith(b"PK"):
        raise ModelFileError(f"{path} is no model of ecgsk: it is {what_it_is(content)}. {ADVICE}.")
    try:
        with open_plain(content) as archive:
            container = _parts(archive)
    except ModelFileError as error:
        raise ModelFileError(f"{path} {error}") from error
    except ValueError as error:
        raise _foreign_or_damaged(path, content, error) from error
    if container.description.get("sha256") != container.sha256:
        raise ModelFileError(
            f"{path} is damaged or was changed: its content does not have the SHA-256 that it "
            "names. Copy it again from where it was saved."
        )
    return container


def _parts(archive: zipfile.ZipFile) -> Container:
    description = _from_json(read(archive, DESCRIPTION))
    number = description.get("format")
    if type(number) is not int or number < 1:
        raise ValueError(f"its format {number!r} is none")
    if number > FORMAT:
        version = description.get("versions")
        version = version.get("ecgsk") if isinstance(version, dict) else None
        raise ModelFileError(
            f"has format {number}, which is newer than this version of ecgsk reads ({FORMAT}). "
            f"Update ecgsk: pip install --upgrade ecgsk (the file says {version!s:.20})."
        )
    if set(archive.namelist()) != {DESCRIPTION, MODEL, TENSORS}:
        raise ValueError("it holds other parts than those of a model")
    return Container(description, read(archive, MODEL), read(archive, TENSORS))


def _foreign_or_damaged(path: Path, content: bytes, error: ValueError) -> ModelFileError:
    names: list[str] = []
    with contextlib.suppress(Exception), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if names and DESCRIPTION not in names:
        kind = what_the_archive_is(names)
        return ModelFileError(f"{path} is no model of ecgsk: it is {kind}. {ADVICE}.")
    return ModelFileError(
        f"{path} is cut off, damaged, or no model of ecgsk: {error}. Copy it again from where it "
        f"was saved ({len(content)} bytes are here)."
    )


def _as_json(value) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode()


def _from_json(content: bytes) -> dict:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{DESCRIPTION} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{DESCRIPTION} is no description")
    return value
