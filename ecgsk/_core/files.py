"""Files that appear as a whole or not at all."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from uuid import uuid4

# Characters of a file's name in the names of its temporary files.
LONGEST_START = 40


def expanded(path: str | os.PathLike) -> Path:
    """Return a path with "~" and "~name" replaced by the home folders that exist."""
    return Path(os.path.expanduser(os.fspath(path)))


@contextmanager
def replacing(
    path: str | os.PathLike, *, sync: bool = False, errors: tuple[type[Exception], ...] = ()
) -> Iterator[Path]:
    """Give the path of an empty temporary file, which replaces ``path`` when the block succeeds.

    The file is in the same folder, under a name of its own; it is removed when the block fails.
    ``sync`` writes it to the disk first, to survive a power failure. OSError names ``path``;
    ``errors`` are what the library that writes the file raises for a full disk instead.
    """
    path = expanded(path)
    temporary = path.with_name(f"{_start(path)}{uuid4().hex[:12]}.tmp")
    try:
        open(temporary, "xb").close()
        yield temporary
        if sync:
            with open(temporary, "r+b") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except Exception as error:
        if not isinstance(error, (OSError, *errors)):
            raise
        named = _naming(path, temporary, error)
        if named is error:
            raise
        raise named from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _start(path: Path) -> str:
    # A name as long as file systems allow leaves no room for an addition.
    return f".{path.name[:LONGEST_START]}."


def temporary_files(path: Path) -> list[Path]:
    """Return the temporary files that killed processes have left next to ``path``."""
    return list(path.parent.glob(f"{escape(_start(path))}*.tmp"))


def _naming(path: Path, temporary: Path, error: Exception) -> OSError:
    """Return an OSError that names a file, for an error of writing its temporary file."""
    cause: BaseException | None = error
    # Libraries raise their own errors while they handle Python's.
    while cause is not None and getattr(cause, "errno", None) is None:
        cause = cause.__context__
    if not isinstance(cause, OSError):
        return OSError(f"{path} cannot be written: {error}.")
    if cause.filename not in (None, temporary, str(temporary)):
        return cause
    return OSError(cause.errno, cause.strerror, str(path))


def write_file(path: str | os.PathLike, content: bytes, *, sync: bool = False) -> None:
    """Write a file as a whole or not at all; see `replacing`."""
    with replacing(path, sync=sync) as temporary:
        temporary.write_bytes(content)


def file_sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file of any size, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
