"""Paths of results: refused before anything is computed, where they cannot be written."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path


def check_output(
    path: str | os.PathLike, suffixes: Sequence[str] = (), *, inputs: Iterable[str] = ()
) -> Path:
    """Return the path of ``--out``, a file that can be written and is none of the inputs.

    It has to end in one of the suffixes, if there are any. Raises ValueError or FileNotFoundError
    with the remedy.
    """
    path = Path(path)
    shown = f"--out {os.fspath(path)!r}"
    if path.is_dir():
        example = os.fspath(path / f"result{suffixes[0] if suffixes else ''}")
        raise ValueError(f"{shown} is a folder: name a file in it, for example {example!r}.")
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f"{shown} must end in {' or '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{shown}: the folder {os.fspath(path.parent)!r} does not exist. Create it, or name a "
            "file in another."
        )
    if not path.exists():
        return path
    if not path.is_file():
        raise ValueError(f"{shown} is not a regular file: name another.")
    for name in inputs:
        if os.path.exists(name) and os.path.samefile(path, name):
            raise ValueError(f"{shown} is the same file as the input {name!r}: name another.")
    return path
