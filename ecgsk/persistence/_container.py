"""The model file: a description, the model without networks, and the tensors of networks."""

import contextlib
import hashlib
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ecgsk._core.files import expanded, write_file
from ecgsk.persistence._archive import open_plain, pack, read
from ecgsk.persistence._errors import ModelFileError
from ecgsk.persistence._file_kind import ADVICE, archive_kind, file_kind

FORMAT = 1
DESCRIPTION, MODEL, TENSORS = "ecgsk.json", "model.skops", "tensors.safetensors"


@dataclass
class Container:
    """The content of a model file: JSON values, a skops archive without networks, safetensors."""

    description: dict
    model: bytes
    tensors: bytes

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole content, 64 hexadecimal digits."""
        digest = hashlib.sha256()
        description = {k: v for k, v in self.description.items() if k != "sha256"}
        for part in (_as_json(description), self.model, self.tensors):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.hexdigest()

    def write(self, path: str | os.PathLike) -> str:
        """Write the complete file or nothing, and return the SHA-256 of its content."""
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
    """Read a file, and check that it is complete.

    ModelFileError if it is not a model file, is damaged, or has a newer format.
    """
    path = expanded(path)
    if not path.exists():
        raise FileNotFoundError(f"path={str(path)!r} does not exist. {ADVICE}.")
    if not path.is_file():
        raise ModelFileError(f"{path} is a folder or a device, not a file. {ADVICE}.")
    content = path.read_bytes()
    if not content.startswith(b"PK"):
        raise ModelFileError(
            f"{path} is not a model of ecgsk: it is {file_kind(content)}. {ADVICE}."
        )
    try:
        with open_plain(content) as archive:
            container = _read_parts(archive)
    except ModelFileError as error:
        raise ModelFileError(f"{path} {error}") from error
    except ValueError as error:
        raise _unreadable(path, content, error) from error
    if container.description.get("sha256") != container.sha256:
        raise ModelFileError(
            f"{path} is damaged or was changed: the SHA-256 of its content is not the one in its "
            "description. Copy the file again from where it was saved."
        )
    return container


def _read_parts(archive: zipfile.ZipFile) -> Container:
    description = _from_json(read(archive, DESCRIPTION))
    number = description.get("format")
    if type(number) is not int or number < 1:
        raise ValueError(f"its format {number!r} is not a format of ecgsk")
    if number > FORMAT:
        version = description.get("versions")
        version = version.get("ecgsk") if isinstance(version, dict) else None
        raise ModelFileError(
            f"has format {number}, which is newer than this version of ecgsk reads ({FORMAT}). "
            f"Update ecgsk: pip install --upgrade ecgsk (saved with {version!s:.20})."
        )
    if set(archive.namelist()) != {DESCRIPTION, MODEL, TENSORS}:
        raise ValueError("it has other parts than a model file")
    return Container(description, read(archive, MODEL), read(archive, TENSORS))


def _unreadable(path: Path, content: bytes, error: ValueError) -> ModelFileError:
    names: list[str] = []
    with contextlib.suppress(Exception), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if names and DESCRIPTION not in names:
        kind = archive_kind(names)
        return ModelFileError(f"{path} is not a model of ecgsk: it is {kind}. {ADVICE}.")
    return ModelFileError(
        f"{path} is incomplete, damaged or not a model of ecgsk: {error}. Copy it again from "
        f"where it was saved (this file has {len(content)} bytes)."
    )


def _as_json(value) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode()


def _from_json(content: bytes) -> dict:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{DESCRIPTION} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{DESCRIPTION} is not a JSON object")
    return value
