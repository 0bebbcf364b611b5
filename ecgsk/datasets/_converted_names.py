"""Names of the WFDB files of a conversion, and checks of what they would replace."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgsk._formats.record_files import RecordFile

TABLE = "conversion.csv"
_ENDINGS = (".hea", ".dat")
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Task:
    """A file and the names of its records below the target folder."""

    file: RecordFile
    names: tuple[str, ...]


def check_folder(paths: Iterable[str], target: Path) -> None:
    """Raise ValueError for a target that is a file, or whose files get mixed with the sources."""
    if os.path.lexists(target) and not target.is_dir():
        raise ValueError(f"folder={os.fspath(target)!r} is a file. Give the path of a folder.")
    inner = Path(os.path.realpath(target))
    for path in paths:
        outer = Path(os.path.realpath(base_folder(path)))
        nested = inner.is_relative_to(outer) or outer.is_relative_to(inner)
        if inner == outer or (os.path.isdir(path) and nested):
            raise ValueError(
                f"folder={os.fspath(target)!r} contains {path!r}, or is in it: recordings and "
                "their conversions would get mixed. Give another folder."
            )


def base_folder(path: str) -> str:
    """Return the folder below which the subfolders of a folder, file or pattern are kept."""
    while not os.path.isdir(path or "."):
        path = os.path.dirname(path)
    return path or "."


def plan_names(files: Sequence[RecordFile], bases: Sequence[str]) -> list[Task]:
    """Return each file with the names of its records, which differ in more than capitals.

    Files that are not read have one empty name.
    """
    taken: set[str] = set()
    tasks = []
    for file in files:
        if file.error:
            tasks.append(Task(file, ("",)))
            continue
        inside = Path(os.path.dirname(file.source.path))
        base = next((base for base in bases if inside.is_relative_to(base)), inside)
        name = os.fspath(inside.relative_to(base) / _record_name(file))
        names = [f"{name}_{i}" for i in range(file.n_records)] if file.numbered else [name]
        tasks.append(Task(file, tuple(_free(name, taken) for name in names)))
    return tasks


def _record_name(file: RecordFile) -> str:
    name = os.path.basename(file.source.shown)
    stem, suffix = os.path.splitext(name)
    if file.source.format is not None and suffix.lower() in file.source.format.endings:
        name = stem
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:_LONGEST_NAME] or "record"


def _free(name: str, taken: set[str]) -> str:
    """Return a name as it is, or with a number if it is taken."""
    free, number = name, 1
    while free.casefold() in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free.casefold())
    return free


def check_existing(tasks: Sequence[Task], target: Path) -> None:
    """Raise FileExistsError if a file to be written exists."""
    names = [f"{name}{e}" for task in tasks for name in task.names if name for e in _ENDINGS]
    existing = [name for name in [TABLE, *names] if os.path.lexists(target / name)]
    if existing:
        raise FileExistsError(
            f"{len(existing)} of the files to be written exist already in {os.fspath(target)!r}, "
            f"for example {existing[-1]!r}. Give another folder, or replace them with "
            "overwrite=True (--overwrite)."
        )
