"""Files of recordings, with the number of recordings in each."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from ecgsk._core.record_error import RecordError
from ecgsk._formats.listing import Source, list_sources
from ecgsk._formats.stored import ReadOptions


@dataclass(frozen=True)
class RecordFile:
    """A file of one or more recordings, or one that is not read."""

    source: Source
    n_records: int = 1
    numbered: bool = False  # whether the name of each recording has its number
    error: str = ""

    @property
    def names(self) -> list[str]:
        """The names of its recordings in the table."""
        shown = self.source.shown
        return [f"{shown}[{i}]" for i in range(self.n_records)] if self.numbered else [shown]

    @property
    def state(self) -> str:
        """The size and time of the file, which differ when it is replaced, as text."""
        try:
            about = os.stat(self.source.path)
        except OSError:
            return "missing"
        return f"{about.st_size} {about.st_mtime_ns}"


def list_files(
    given: Iterable[str], options: ReadOptions, *, argument: str
) -> tuple[list[RecordFile], list[str]]:
    """Return the sources as `list_sources` does, with the number of recordings in each."""
    sources, repeated = list_sources(given, argument=argument)
    return [_counted(source, options) for source in sources], repeated


def _counted(source: Source, options: ReadOptions) -> RecordFile:
    if source.error or source.format is None:
        return RecordFile(source, error=source.error)
    try:
        n_records = source.format.count(source.path, options)
    except (RecordError, ImportError) as error:
        return RecordFile(
            source, error=error.reason if isinstance(error, RecordError) else str(error)
        )
    return RecordFile(source, n_records or 1, numbered=n_records is not None)
