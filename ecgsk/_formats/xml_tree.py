"""Untrusted XML files as trees of elements, within bounds of time and memory.

The whole text is decoded before it is parsed: declarations of the encoding are often wrong, and
in the decoded text a declaration of entities cannot hide. Names of elements and attributes are in
lower case and without namespaces, because exports and their converters differ in both.
"""

import base64
import binascii
import codecs
import os
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from xml.etree.ElementTree import Element, ParseError, XMLParser

import numpy as np

from ecgsk._core.record_error import RecordError
from ecgsk._formats.limits import check_file, unopened

# Resting ECGs have less than 1 MB, and 10,000 elements if each heartbeat is annotated. A tree
# takes some 20 times the memory of its text where that consists of elements only.
_LARGEST_FILE = 32 << 20
_MOST_TAGS = _MOST_ATTRIBUTES = 1_000_000
_DEEPEST = 500
_MOST_NAMES = 2000  # in the cache
# Content of this length is set aside; the letter, which Unicode reserves for programs, takes its
# place with a number.
_MANY_LETTERS, _ASIDE = 1000, "\ue000"

_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{1,40})["']""")
# Codecs of text only: others of Python's need quadratic time.
_TEXT_CODEC = re.compile(
    r"(iso-?8859-?|latin-?|windows-|cp|koi8-|gb|big5|shift_?jis|euc-)\w*(-\w+)?", re.IGNORECASE
)
_WIDE = (
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
# Codecs are modules: these are imported before any file is read.
for _codec in ("cp1252", "latin-1", *(codec for _, codec in _WIDE)):
    codecs.lookup(_codec)
# What may come before the root element: instructions, comments and a document type without
# declarations of its own.
_PROLOG = re.compile(
    r"\s*(?:<\?.*?\?>\s*|<!--.*?-->\s*|<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>\s*)*", re.DOTALL
)
_ROOT = re.compile(r"<(?:[\w.-]+:)?([\w.-]+)(?=[\s/>])")
_LARGEST_INTEGERS = (np.iinfo(np.int64).min, np.iinfo(np.int64).max)
_LONG_PROLOG = 1 << 20
_NUMBER = re.compile(
    r"[+-]?(?:\d{1,30}(?:[.,]\d{0,30})?|[.,]\d{1,30})(?:[eE][+-]?\d{1,3})?", re.ASCII
)


class _SimpleNames(dict):
    """Names of elements and attributes in lower case and without namespaces."""

    def __missing__(self, name: str) -> str:
        simple = name.rpartition("}")[2].lower()
        if len(self) < _MOST_NAMES:
            self[name] = simple
        return simple


_SIMPLE = _SimpleNames()


def root_name(beginning: bytes, read_more: Callable[[int], bytes]) -> str:
    """Return the name of the root element, in lower case and without prefix, or "".

    ``read_more`` is called with a number of bytes where the beginning is all prolog.
    """
    head = beginning.removeprefix(codecs.BOM_UTF8).lstrip()[:2]
    if not head.startswith(b"<") and not beginning.startswith(tuple(mark for mark, _ in _WIDE)):
        return ""
    text = _decode_head(beginning)
    match = _ROOT.match(text, _PROLOG.match(text).end())  # type: ignore[union-attr]
    if match is None and len(beginning) < _LONG_PROLOG:
        longer = read_more(_LONG_PROLOG)
        if len(longer) > len(beginning):
            text = _decode_head(longer)
            match = _ROOT.match(text, _PROLOG.match(text).end())  # type: ignore[union-attr]
    return match[1].lower() if match else ""


def read_tree(path: str) -> Element:
    """Return the root element of a file; RecordError for what is not bounded, well-formed XML."""
    check_file(path, _LARGEST_FILE)
    try:
        with open(path, "rb") as stream:
            data = stream.read(os.path.getsize(path))
    except OSError as error:
        raise unopened(path, error) from None
    try:
        return parse_tree(_decode(data))
    except MemoryError:
        raise RecordError(path, "it does not fit into memory") from None
    except ParseError as error:
        raise RecordError(
            path, f"it cannot be decoded: it is not well-formed XML ({error})"
        ) from None
    except ValueError as error:
        raise RecordError(path, str(error)) from None


def parse_tree(text: str) -> Element:
    """Return the root element of a text; ValueError for what no recording contains."""
    if "<!ENTITY" in text:
        raise ValueError("it declares entities, which recordings do not need")
    many = len(text) > min(_MOST_TAGS, _MOST_ATTRIBUTES)
    if many and (text.count("<") > 2 * _MOST_TAGS or text.count("=") > _MOST_ATTRIBUTES):
        raise ValueError(f"it has more than {_MOST_TAGS} elements or attributes")
    short, samples = _set_samples_aside(text)
    parser = XMLParser()
    parser.feed(short)
    root = parser.close()
    level, depth = [root], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError("its elements are nested too deeply")
        for element in level:
            element.tag = _SIMPLE[element.tag]
            if samples and element.text and element.text[0] == _ASIDE:
                element.text = samples[int(element.text[1:])]
            if element.attrib:
                values = {_SIMPLE[key]: value for key, value in element.attrib.items()}
                element.attrib.clear()
                element.attrib.update(values)
        level = [child for element in level for child in element]
    return root


def _set_samples_aside(text: str) -> tuple[str, list[str]]:
    """Return a text without the long content of its elements, and that content.

    The parser calls back for each line of it, which takes most of its time.
    """
    samples: list[str] = []
    if _ASIDE in text:
        return text, samples
    pieces = text.split("<")
    for place, piece in enumerate(pieces):
        if len(piece) > _MANY_LETTERS and piece[0] not in "!?/":
            tag, _, content = piece.partition(">")
            special = ">" in content or "&" in content or "\0" in content
            if content and tag[-1:] != "/" and not special:
                pieces[place] = f"{tag}>{_ASIDE}{len(samples)}"
                samples.append(content)
    return "<".join(pieces), samples


def _decode(data: bytes) -> str:
    """Return the text of a file, whose encoding may differ from the declared one."""
    for mark, codec in _WIDE:
        if data.startswith(mark):
            try:
                return _without_declaration(data.decode(codec))
            except UnicodeDecodeError:
                raise ValueError("it is cut or changed: it is not UTF-16 as it begins") from None
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode(_declared_codec(data), errors="replace")
    return _without_declaration(text)


def _declared_codec(data: bytes) -> str:
    match = _DECLARED.match(data)
    name = match[1].decode("ascii") if match else ""
    try:
        if _TEXT_CODEC.fullmatch(name) and codecs.lookup(name).name != "iso8859-1":
            return name
    except LookupError:
        pass
    # What Windows programs mean by ISO-8859-1; five of its bytes are not defined.
    return "latin-1" if set(data) & {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "cp1252"


def _without_declaration(text: str) -> str:
    # Some programs add padding after the end.
    return re.sub(r"^\s*<\?xml[^>]*\?>", "", text, count=1).lstrip().rstrip("\0\x1a \t\r\n")


def _decode_head(data: bytes) -> str:
    """Return the beginning of a file as text, without errors at its cut end."""
    for mark, codec in _WIDE:
        if data.startswith(mark):
            return data.decode(codec, errors="ignore")
    return data.removeprefix(codecs.BOM_UTF8).decode("latin-1")


def text_of(element: Element | None, path: str = "") -> str:
    """Return the text below an element, with single blanks; "" where it is missing.

    ``path`` leads to a child. Dashes alone, "---", count as empty.
    """
    found = element if element is None or not path else element.find(path)
    if found is None:
        return ""
    text = " ".join("".join(found.itertext() if len(found) else (found.text or "")).split())
    return text if text.strip("- ") else ""


def first_text(texts: Iterable[str]) -> str:
    """Return the first text that is not empty."""
    return next((text for text in texts if text), "")


def number(text: str | None) -> float | None:
    """Return the number in a text, with a decimal point or comma; None for other texts."""
    if text is None or not _NUMBER.fullmatch(text.strip()):
        return None
    value = float(text.strip().replace(",", "."))
    return value if np.isfinite(value) else None


def base64_bytes(text: str, where: str) -> bytes:
    """Return the bytes that a text contains in base64; ValueError for other text."""
    try:
        packed = text.encode("ascii").translate(None, b" \t\r\n")
        return base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"the samples of {where} are not base64: the file was changed") from None


def listed_numbers(text: str, where: str) -> np.ndarray:
    """Return the numbers in a text, separated by blanks; ValueError for other text."""
    if text.isascii():
        blank = np.frombuffer(text.encode("ascii"), dtype=np.uint8) <= ord(" ")
        starts_with_word = len(blank) > 0 and not blank[0]
        n_words = int(np.count_nonzero(~blank[1:] & blank[:-1])) + starts_with_word
        # Integers are read ten times as fast; those that are too large are limited.
        for dtype in (np.int64, np.float64):
            try:
                values = np.fromstring(text, dtype=dtype, sep=" ")
            except ValueError:
                continue
            if len(values) == n_words and not np.isin(values, _LARGEST_INTEGERS).any():
                return values
    raise ValueError(f"the samples of {where} are not numbers")


def timestamp(day: str, time: str, formats: Iterable[str]) -> datetime | None:
    """Return a date, by the first of some formats, at a time; midnight where it has none."""
    found = day_of(day, formats)
    if found is None:
        return None
    for layout in ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f"):
        try:
            return datetime.combine(found, datetime.strptime(time.strip(), layout).time())
        except ValueError:
            pass
    return datetime(found.year, found.month, found.day)


def day_of(text: str, formats: Iterable[str]) -> date | None:
    """Return a date by the first of some formats that fits."""
    for layout in formats:
        try:
            return datetime.strptime(text.strip(), layout).date()
        except ValueError:
            pass
    return None


def years_between(birth: date | None, day: datetime | None) -> str | None:
    """Return the age on a day, in whole years, or None where a date is unknown."""
    if birth is None or day is None or birth > day.date():
        return None
    return str(day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day)))
