"""The files of recordings that the given paths lead to, each once."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from glob import glob, has_magic

from ecgsk._core.record_error import RecordError
from ecgsk._formats.folder import (
    Unread,
    find_copies,
    list_folder,
    reason_unread,
    sort_files,
    summarize,
)
from ecgsk._formats.registry import find_format, format_named
from ecgsk._formats.stored import Format
from ecgsk._wfdb.header import Header, read_header

_WFDB = (".hea", ".mat", ".dat")


@dataclass(frozen=True)
class Source:
    """A file of one or more recordings, or a file or folder that is not read."""

    path: str  # of WFDB records: of the header
    format: Format | None  # None where it is not read
    error: str = ""  # why its recordings are not read
    unread: bool = False  # whether it is in no format that is read

    @property
    def shown(self) -> str:
        """The path as users write it: of WFDB records without ``.hea``."""
        return self.path.removesuffix(".hea")


def list_sources(
    given: Iterable[str], *, argument: str = "source", keep_missing: bool = False
) -> tuple[list[Source], list[str]]:
    """Return each source that the given paths lead to once, and those that occur again.

    A path is a folder, which is searched with its subfolders, a pattern such as ``"*/*.xml"``, a
    file, or a WFDB record without its ending. In folders, and among the files of a pattern, what
    does not look like a recording is left out, and sources are sorted by their paths. Segments of
    WFDB records are left out there, too. With ``keep_missing`` a path that leads to nothing is a
    source that is not read, unless all do.

    Raises FileNotFoundError, with the name of the ``argument``, for paths that do not exist, for
    folders and patterns without recordings, and where no file is read.
    """
    headers = _Headers()
    # Links to files are not resolved: a header's signal files are in the folder of the link.
    real_folder = lru_cache(maxsize=1024)(os.path.realpath)
    kept: dict[tuple[str, str], Source] = {}
    repeated = []
    for source in (
        source for path in given for source in _sources(path, headers, argument, keep_missing)
    ):
        folder, name = os.path.split(source.path)
        place = (real_folder(folder), name)
        if place in kept:
            repeated.append(source.shown)
        kept.setdefault(place, source)
    sources = list(kept.values())
    if all(source.unread for source in sources):
        raise FileNotFoundError(
            f"{argument}: none of the files is read: {summarize(unread_of(sources))}. "
            f"{sources[0].path!r}: {sources[0].error}."
            if sources
            else f"{argument} is empty: name folders or files of recordings."
        )
    read = headers.read(s.path for s in sources if not s.error and s.path.endswith(".hea"))
    copies = {copy.path: copy.reason for copy in find_copies(read)}
    return [replace(s, error=copies.get(s.path, s.error)) for s in sources], repeated


def unread_of(sources: Iterable[Source]) -> list[Unread]:
    """Return the files and folders that are in no format that is read."""
    return [Unread(source.path, source.error) for source in sources if source.unread]


def _sources(given: str, headers: "_Headers", argument: str, keep_missing: bool) -> list[Source]:
    try:
        return _existing_sources(given, headers, argument)
    except FileNotFoundError:
        if not keep_missing:
            raise
        is_folder = os.path.isdir(given)
        reason = "the folder contains no recording" if is_folder else "it does not exist"
        return [Source(given, None, reason, unread=True)]


def _existing_sources(given: str, headers: "_Headers", argument: str) -> list[Source]:
    if os.path.isdir(given):
        content = list_folder(given)
        return _recordings_among("folder", given, content.files, content.unread, headers, argument)
    exists, header = os.path.exists(given), _header_of(given)
    if exists and header is None and (found := find_format(given)) is not None:
        return [Source(given, found)]
    header = header or _existing(f"{given}.hea")
    if header is not None:
        return [Source(header, format_named("WFDB"))]
    if exists:
        return [Source(given, None, reason_unread(given), unread=True)]
    if has_magic(given):
        return _of_pattern(given, headers, argument)
    raise FileNotFoundError(
        f"{argument}: {given!r} does not exist, and there is no {given}.hea. Name folders, files "
        "of recordings, or WFDB records."
    )


def _of_pattern(pattern: str, headers: "_Headers", argument: str) -> list[Source]:
    files: set[str] = set()
    unread: list[Unread] = []
    for path in glob(pattern, recursive=True):
        if os.path.isdir(path):
            content = list_folder(path)
            files.update(content.files)
            unread += content.unread
        else:
            files.add(_header_of(path) or path)
    return _recordings_among("pattern", pattern, sorted(files), unread, headers, argument)


def _recordings_among(
    kind: str,
    given: str,
    files: Sequence[str],
    folders: Sequence[Unread],
    headers: "_Headers",
    argument: str,
) -> list[Source]:
    """Return the recordings among files, and those that may be recordings and are not read."""
    records = [path for path in files if path.endswith(".hea")]
    found = headers.read(records)
    segments = {
        os.path.join(header.folder, f"{name}.hea")
        for header in found
        for name, _ in header.segments
    }
    others, unread = sort_files(files, found)
    unread = [*unread, *folders]
    if not records and not others:
        shown = f"; not read: {summarize(unread)}" if unread else ""
        raise FileNotFoundError(f"{argument}: the {kind} {given!r} contains no recording{shown}.")
    sources = [Source(path, format_named("WFDB")) for path in records if path not in segments]
    sources += [Source(path, found) for path, found in others]
    sources += [Source(item.path, None, item.reason, unread=True) for item in unread]
    return sorted(sources, key=lambda source: source.path)


def _header_of(path: str) -> str | None:
    """Return the header of a WFDB record's file, if it exists."""
    stem, suffix = os.path.splitext(path)
    return _existing(f"{stem}.hea") if suffix in _WFDB else None


def _existing(path: str) -> str | None:
    return path if os.path.isfile(path) else None


class _Headers:
    """The headers that can be parsed, each read once, without their comments."""

    def __init__(self) -> None:
        self._by_path: dict[str, Header | None] = {}

    def read(self, paths: Iterable[str]) -> list[Header]:
        return [header for path in paths if (header := self._read(path)) is not None]

    def _read(self, path: str) -> Header | None:
        if path not in self._by_path:
            self._by_path[path] = None
            with suppress(RecordError):
                self._by_path[path] = replace(read_header(path), comments=())
        return self._by_path[path]
