"""Datasets of DICOM files, which pydicom parses within limits.

pydicom keeps about a kilobyte for each element, and inflates files to any size: a small file can
take up all memory. Here only the elements that describe a recording are kept, and the number of
reads is limited, because each element needs at least one.
"""

import io
import math
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, overload

from ecgsk._formats.limits import LARGEST_FILE

# A hundred times what the test file of pydicom needs, which has measurements of nine heartbeats.
_MOST_READS = 400_000
_WAVEFORMS = 0x5400_0100
_KEYWORDS = (
    "SOPClassUID MIMETypeOfEncapsulatedDocument Manufacturer ManufacturerModelName PatientID "
    "PatientBirthDate PatientSex PatientAge AcquisitionDateTime AcquisitionDate AcquisitionTime "
    "ContentDate ContentTime StudyDate StudyTime WaveformAnnotationSequence WaveformSequence"
).split()
# Value representations of texts without line breaks.
_PLAIN = frozenset("AS CS DA DS DT IS LO SH TM UI".split())
# All of the standard; a vendor's own may have samples in another byte order than elements.
_TRANSFER_SYNTAXES = "1.2.840.10008.1.2"


class DICOMFile:
    """The elements of a DICOM file that describe a recording.

    Methods raise errors of any type: what pydicom makes of foreign bytes can fail in any way.
    """

    def __init__(self, path: str):
        from pydicom.filereader import read_dataset, read_partial

        self._reads = iter(range(_MOST_READS))
        self._codes: dict[bytes, tuple[str, str]] = {}
        with open(path, "rb") as file:
            try:
                self.dataset: Any = read_partial(
                    self._limited(file), _is_behind_waveforms, force=True, specific_tags=_tags()
                )
                syntax = str(self.dataset.file_meta.get("TransferSyntaxUID") or "")
            except _DeflatedError:
                self.dataset = read_dataset(
                    self._limited(io.BytesIO(_inflate(file.read()))),
                    is_implicit_VR=False,
                    is_little_endian=True,
                    stop_when=_is_behind_waveforms,
                    specific_tags=_tags(),
                )
                syntax = ""
        if syntax and not syntax.startswith(_TRANSFER_SYNTAXES):
            raise ValueError(
                f"its transfer syntax {syntax} is private to a vendor: export it in Explicit VR "
                "Little Endian"
            )

    def items(self, dataset, keyword: str) -> list:
        """Return the items of a sequence; an empty list where it is missing."""
        from pydicom.charset import convert_encodings
        from pydicom.filereader import read_sequence

        element = dataset.get_item(_entry(keyword)[0])
        if element is None:
            return []
        if not isinstance(element.value, bytes):
            return list(element.value or ())  # it has been parsed with the dataset
        return list(
            read_sequence(
                self._limited(io.BytesIO(element.value)),
                element.is_implicit_VR,
                element.is_little_endian,
                len(element.value),
                convert_encodings(self.dataset.get("SpecificCharacterSet", "")),
            )
        )

    def code(self, dataset, keyword: str) -> tuple[str, str]:
        """Return the value and the meaning of a coded concept, empty where it is missing."""
        element = dataset.get_item(_entry(keyword)[0])
        raw = element.value if element is not None else b""
        # All channels have the same unit.
        key = raw if isinstance(raw, bytes) else b""
        if not key or key not in self._codes:
            items = self.items(dataset, keyword)
            value = meaning = ""
            if items:
                value = text(items[0], "CodeValue") or text(items[0], "LongCodeValue")
                meaning = text(items[0], "CodeMeaning")
            self._codes[key] = value, meaning
        return self._codes[key]

    def content(self) -> str:
        """Return what the file contains instead of a recording."""
        from pydicom.uid import UID

        if "pdf" in text(self.dataset, "MIMETypeOfEncapsulatedDocument").lower():
            return "a PDF"
        uid = text(self.dataset, "SOPClassUID")
        return repr(UID(uid).name) if uid else "something else than a recording"

    def _limited(self, file) -> Any:
        return _LimitedReader(file, self._reads)


def text(dataset, keyword: str) -> str:
    """Return an element's value as text, empty where it is missing or invalid."""
    plain = _plain(dataset, keyword)
    if plain is not None:
        return plain
    try:
        value = dataset.get(keyword)
    except Exception:  # what pydicom makes of foreign bytes can fail in any way
        return ""
    if value is None:
        return ""
    values = [value] if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__") else value
    return " ".join(str(part) for part in values).replace("\0", "").strip()


@overload
def number(dataset, keyword: str) -> float | None: ...
@overload
def number(dataset, keyword: str, default: float) -> float: ...
def number(dataset, keyword: str, default: float | None = None) -> float | None:
    """Return an element's value, the default where it is missing; ValueError for no number."""
    value = _plain(dataset, keyword)
    if value is None and keyword in dataset:
        value = dataset[keyword].value
    if value in (None, ""):
        return default
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"its {keyword} is {value!r}, which is not a number")
    return found


def _plain(dataset, keyword: str) -> str | None:
    """Return the text of an element that pydicom has not decoded yet, and need not; or None.

    It takes a fifth of the time.
    """
    tag, representation = _entry(keyword)
    element = dataset.get_item(tag)
    value = None if element is None else element.value
    if not isinstance(value, bytes) or (element.VR or representation) not in _PLAIN:
        return None
    if not value.isascii() or b"\x1b" in value:  # it depends on the character set
        return None
    return value.decode().replace("\\", " ").replace("\0", "").strip()


class _DeflatedError(Exception):
    """pydicom would inflate all that follows."""


class _LimitedReader:
    """A binary file for pydicom that counts reads, and never makes room for more than there is."""

    def __init__(self, file, reads: Iterator[int]):
        self.seek, self.tell = file.seek, file.tell
        self._read = file.read
        self._reads = reads

    def read(self, size: int = -1) -> bytes:
        if next(self._reads, None) is None:
            raise ValueError("it has more elements than any recording")
        if size < 0:
            raise _DeflatedError
        return self._read(size if size < LARGEST_FILE else LARGEST_FILE)


def _inflate(deflated: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(deflated, LARGEST_FILE)
    if not inflater.eof:
        raise ValueError(
            f"it is cut off, or inflates to more than {LARGEST_FILE >> 20} MB, which is not read"
        )
    return inflated


def _is_behind_waveforms(tag: int, vr: str | None, length: int) -> bool:
    return tag > _WAVEFORMS


@lru_cache
def _entry(keyword: str) -> tuple[Any, str]:
    """Return the tag and the value representation of a keyword."""
    from pydicom.datadict import dictionary_VR
    from pydicom.tag import Tag

    tag = Tag(keyword)
    return tag, dictionary_VR(tag)


@lru_cache
def _tags() -> list:
    return [_entry(keyword)[0] for keyword in _KEYWORDS]
