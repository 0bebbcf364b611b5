"""Folders of recordings: the files in them, their formats, and which may be unread recordings."""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ecgsk._core.csv_tables import decode_text
from ecgsk._formats.registry import find_format, read_beginning
from ecgsk._formats.stored import Format
from ecgsk._formats.text_layout import may_contain_samples
from ecgsk._formats.text_table import TextTable
from ecgsk._wfdb.header import Header

# Endings of files in which devices, archives and programs store ECGs. Tables, images, other
# documents, archives and models are not among them.
_OTHER_FORMATS = frozenset(
    ".xml .dcm .dicom .edf .bdf .gdf .scp .ecg .mwf .hl7 .aecg .fif .h5 .hdf5 .hdf .npz .zarr "
    ".tfrecord .tfrecords".split()
)
_COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".lzma")
_SIGNALS = (".dat", ".mat")
_READ = (".hea", ".npy")
# These are recognized by their endings.
_NAMED = {".pdf": "a PDF is a picture of a recording: export the recording from its archive"}
_REMEDY = "convert it to WFDB, or export it in another format; its content is in no known one"
_BEGINNING = 1 << 16
# Names of each kind that a message lists.
_LISTED = 3


@dataclass(frozen=True)
class Unread:
    """A file, or a folder, that may contain recordings and is not read."""

    path: str
    reason: str


@dataclass(frozen=True)
class FolderContent:
    """The files in a folder and its subfolders, sorted, and the subfolders that are not read."""

    files: list[str]
    unread: list[Unread]


def list_folder(folder: str) -> FolderContent:
    """List a folder with its subfolders, without hidden ones.

    Links to folders are followed, but each folder is listed once. Raises OSError if ``folder``
    itself cannot be read.
    """
    files: list[str] = []
    unread: list[Unread] = []
    seen = set()
    folders = [folder]
    links: list[str] = []
    while folders or links:
        # Links last: files are listed under the path that they have without links.
        place = folders.pop() if folders else links.pop(0)
        try:
            about = os.stat(place)
            if (about.st_dev, about.st_ino) in seen:
                continue
            seen.add((about.st_dev, about.st_ino))
            with os.scandir(place) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            if place == folder:
                raise
            unread.append(Unread(place, f"the folder cannot be read ({error.strerror})"))
            continue
        for name in names:
            path = os.path.join(place, name)
            if name.startswith("."):
                continue
            if os.path.isdir(path) and not name.endswith(".zarr"):
                (links if os.path.islink(path) else folders).append(path)
            elif os.path.islink(path) and not os.path.exists(path) and "." not in name:
                unread.append(
                    Unread(path, "it is a link to what does not exist or may not be read")
                )
            else:
                files.append(path)
    return FolderContent(sorted(files), sorted(unread, key=lambda item: item.path))


def sort_files(
    files: Iterable[str], headers: Sequence[Header]
) -> tuple[list[tuple[str, Format]], list[Unread]]:
    """Return the recordings among files with their formats, and what may be unread recordings.

    ``headers`` are those among the files that could be parsed; files ending in ``.hea`` and those
    that headers name are in neither list.
    """
    signals = {path for header in headers for path in signal_files(header)}
    files = list(files)
    stems = {path[:-4].casefold() for path in files if path.lower().endswith(".hea")}
    read, unread = [], []
    for path in files:
        stem, suffix = os.path.splitext(path)
        kind = suffix.lower()
        if suffix == ".hea" or path in signals:
            continue
        if kind in _SIGNALS and stem.casefold() in stems:
            continue
        if (found := find_format(path)) is not None:
            read.append((path, found))
        elif reason := _doubt(path, stem, suffix):
            unread.append(Unread(path, reason))
    return read, unread


def find_unread(files: Iterable[str], headers: Sequence[Header]) -> list[Unread]:
    """Return the files that may be recordings, but no WFDB records or ``.npy`` files."""
    read, unread = sort_files(files, headers)
    unread += [
        Unread(path, f"{found.name} is not read by load_wfdb: use load_ecg")
        for path, found in read
        if not path.endswith(_READ)
    ]
    return sorted(unread, key=lambda item: item.path)


def reason_unread(path: str) -> str:
    """Return why a file in no known format is not read."""
    return _doubt(path, *os.path.splitext(path)) or "its content is in no format that is read"


def _doubt(path: str, stem: str, suffix: str) -> str:
    """Return why a file in no known format may be a recording that is not read, or ""."""
    kind = suffix.lower()
    if suffix in _READ:
        return ""
    if kind in _READ:
        return f"its name ends in {suffix}: rename it to end in {kind}"
    if kind in _SIGNALS:
        return f"it has no header: {os.path.basename(stem) + '.hea'!r} is missing"
    if kind in _COMPRESSED and os.path.splitext(stem)[1].lower() in (
        _OTHER_FORMATS.union(_READ, _SIGNALS)
    ):
        return f"{suffix} is not read: decompress it"
    if kind in _NAMED:
        return _NAMED[kind]
    if kind in _OTHER_FORMATS:
        return _obstacle(path) or f"{suffix} is not read: {_REMEDY}"
    if kind in TextTable.endings and _may_be_samples(path):
        return (
            "it looks like the samples of an ECG in an unknown layout. Write the names of the "
            "leads into its first row, one for each column, and the samples below"
        )
    return ""


def _may_be_samples(path: str) -> bool:
    try:
        return may_contain_samples(decode_text(read_beginning(path, _BEGINNING)))
    except UnicodeDecodeError:
        return False


def _obstacle(path: str) -> str:
    """Return why no content of a file can be read, or ""."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return "it is not a regular file"
        with open(path, "rb") as stream:
            return "" if stream.read(1) else "it is empty"
    except FileNotFoundError:
        return "it is a link to what does not exist"
    except OSError as error:
        return f"it cannot be opened ({error.strerror})"


def signal_files(header: Header) -> tuple[str, ...]:
    """Return the paths of the files that a header names."""
    if header.data_file is not None:
        return (header.data_file,)
    return tuple(os.path.join(header.folder, name) for name, _, _ in header.files)


def find_copies(headers: Iterable[Header]) -> list[Unread]:
    """Return headers that read the same samples as another header, such as second downloads.

    The one that has the name of its signal file is not among them, or else the first one.
    """
    groups: dict[tuple, list[Header]] = {}
    for header in headers:
        if files := signal_files(header):
            # A file may contain several records, one after another or by their leads.
            key = (files, header.files, header.offset, header.signals.names)
            groups.setdefault(key, []).append(header)
    found = []
    for (files, *_), group in groups.items():
        stems = [header.path.removesuffix(".hea") for header in group]
        named = os.path.splitext(files[0])[0]
        kept = stems.index(named) if named in stems else 0
        for place, header in enumerate(group):
            if place != kept:
                reason = (
                    f"it reads the same signals as {os.path.basename(stems[kept])!r}: remove one "
                    "of the two headers"
                )
                found.append(Unread(header.path, reason))
    return found


def summarize(unread: Sequence[Unread]) -> str:
    """Return the number of files of each ending, and the names of the first."""
    paths = [item.path for item in unread]
    kinds = Counter(os.path.splitext(path)[1] or "without ending" for path in paths)
    texts = []
    for kind, count in sorted(kinds.items()):
        names = [p for p in paths if (os.path.splitext(p)[1] or "without ending") == kind]
        shown = ", ".join(repr(os.path.basename(name)) for name in names[:_LISTED])
        texts.append(f"{count} {kind} ({shown}{', ...' * (count > _LISTED)})")
    return ", ".join(texts)
