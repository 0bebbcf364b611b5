"""Philips XML (Sierra ECG), versions 1.03 and 1.04.

All leads are in one element, parsedwaveforms: integers as base64 or as text, one lead after the
other, or compressed by the method XLI. Recordings of PageWriter devices have 11 s, the last of
which contains a calibration pulse at 10.7 s: a shorter recording has to be cut from the start.
"""

import re
from xml.etree.ElementTree import Element

import numpy as np

from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._formats.stored import ReadOptions, Statements
from ecgsk._formats.xml_format import XMLFormat, XMLLead, plausible, xml_lead_name
from ecgsk._formats.xml_tree import (
    base64_bytes,
    day_of,
    first_text,
    listed_numbers,
    number,
    text_of,
    timestamp,
    years_between,
)

_VERSIONS = ("1.03", "1.04")
_SIMILAR_VERSION = re.compile(r"1\.\d+(\.\d+)*")
_MOST_MORE_LEADS = 4
_LIMB_LEADS = STANDARD_LEADS[:6]
_DERIVED = frozenset(STANDARD_LEADS[2:6])
# Five minutes of twelve leads at 500 Hz.
_MOST_COMPRESSED_SAMPLES = 2_000_000
_XLI_HEADER = 8
# Codes of LZW have ten bits; the last one has no meaning.
_N_CODES = 1023
_DELTA_BIAS = 64
_DATES = ("%Y-%m-%d", "%m/%d/%Y")
_MEASUREMENTS = {
    "heart_rate": ("heartrate", "meanventrate"),
    "rr_interval": ("rrint",),
    "pr_interval": ("print", "meanprint"),
    "qrs_duration": ("qrsdur", "meanqrsdur"),
    "qt_interval": ("qtint", "meanqtint"),
    "qtc_interval": ("meanqtc",),
    "qtc_bazett": ("qtcb",),
    "qtc_fridericia": ("qtcf",),
    "p_axis": ("pfrontaxis",),
    "qrs_axis": ("qrsfrontaxis",),
    "t_axis": ("tfrontaxis",),
}
# Where versions store measurements.
_GROUPS = (
    "interpretations/interpretation/globalmeasurements",
    "interpretations/interpretation/interpretationmeasurements",
    "internalmeasurements/crossleadmeasurements",
    "measurements/globalmeasurements",
)


class PhilipsXML(XMLFormat):
    """Philips Sierra XML, versions 1.03 and 1.04 (root element restingecgdata)."""

    name = "Philips XML"
    root = "restingecgdata"

    def leads(self, root: Element, options: ReadOptions) -> list[XMLLead]:
        version = text_of(root, "documentinfo/documentversion")
        if not _SIMILAR_VERSION.fullmatch(version):
            raise ValueError(
                f"its version is {version!r}; versions {' and '.join(_VERSIONS)} are read"
            )
        found = list(root.iter("parsedwaveforms"))
        if len(found) != 1:
            raise ValueError(f"it contains {len(found)} elements parsedwaveforms instead of one")
        (parsed,) = found
        described = root.find("dataacquisition/signalcharacteristics")

        def stated(*names: str) -> str:
            """Return a property of the samples, which differ from the acquired ones at times."""
            return first_text(
                text
                for name in names
                for text in ((parsed.get(name) or "").strip(), text_of(described, name))
            )

        names = _lead_names(parsed, described)
        rate = number(stated("samplespersecond", "samplingrate"))
        duration = number(parsed.get("durationperchannel"))
        if not rate or not duration or min(rate, duration) < 0:
            raise ValueError("it states no sampling rate or no duration (durationperchannel)")
        resolution = number(stated("resolution", "signalresolution"))
        if not resolution or resolution < 0:
            raise ValueError("its amplitude is unknown: it states no resolution")
        # Those of the acquired signal may be fewer.
        bits = parsed.get("bitspersample") or parsed.get("nbitspersample") or "16"
        if number(bits) != 16:
            raise ValueError(f"samples of {bits} bits are not read")
        signed = stated("signalsigned").lower() not in ("false", "no", "f", "0")
        counts = _samples(parsed, names, round(duration * rate / 1000), signed)
        zero = number(stated("signaloffset") or "0") or 0.0
        gain = resolution * 1e-3
        doubts: tuple[str, ...] = ()
        if not version.startswith(_VERSIONS):
            doubts = (f"it was read as versions {' and '.join(_VERSIONS)}, but is of another one",)
        return [
            XMLLead(name, row, rate, gain, offset=-zero * gain, doubts=doubts)
            for name, row in zip(names, counts, strict=True)
        ]

    def statements(self, root: Element) -> Statements:
        acquisition = root.find("dataacquisition")
        patient = root.find("patient/generalpatientdata")
        day, time = (
            "" if acquisition is None else acquisition.get(key, "") for key in ("date", "time")
        )
        date = timestamp(day, time, _DATES)
        machine = None if acquisition is None else acquisition.find("machine")
        described = "" if machine is None else machine.get("detaildescription", "")
        device = " ".join(filter(None, (described.partition(":")[0].strip(), text_of(machine))))
        interpretation = next(root.iter("interpretation"), None)
        lines = [] if interpretation is None else interpretation.findall("statement")
        texts = (
            f"{text_of(line, 'leftstatement')} {text_of(line, 'rightstatement')}" for line in lines
        )
        comments = {
            "severity": text_of(interpretation, "severity").strip("- "),
            "status": (root.get("status") or "").strip(),
        }
        return Statements(
            patient=first_text(text_of(patient, tag) for tag in ("patientid", "mrn")) or None,
            age_text=_age(patient, date),
            sex_text=text_of(patient, "sex") or None,
            date=date,
            device=device or None,
            statements=tuple(stripped for text in texts if (stripped := text.strip())),
            measurements=plausible(
                {
                    name: first_text(
                        text_of(root, f"{group}/{tag}") for group in _GROUPS for tag in tags
                    )
                    for name, tags in _MEASUREMENTS.items()
                }
            ),
            comments={key: text for key, text in comments.items() if text},
        )


def _lead_names(parsed: Element, described: Element | None) -> list[str]:
    names = (parsed.get("leadlabels") or "").split()
    if names:
        count = number(parsed.get("numberofleads"))
        names = names[: int(count)] if count else names
    else:
        count = number(
            first_text(
                text_of(described, f"numberchannels{kind}") for kind in ("allocated", "valid")
            )
        )
        system = first_text(text_of(described, tag) for tag in ("acquisitiontype", "leadset"))
        n_more = (count or 0) - len(STANDARD_LEADS)
        if system.upper() not in ("STD-12", "10-WIRE") or not 0 <= n_more <= _MOST_MORE_LEADS:
            raise ValueError(f"its leads have no names ({count or 0:g} channels, {system!r})")
        names = [*STANDARD_LEADS, *(f"channel {13 + i}" for i in range(int(n_more)))]
    return [xml_lead_name(name) for name in names]


def _samples(parsed: Element, names: list[str], n_samples: int, signed: bool) -> np.ndarray:
    text = "".join(parsed.itertext())
    encoding = (parsed.get("dataencoding") or "").lower()
    compression = _compression(parsed)
    if compression not in ("", "xli") or encoding not in ("base64", "plain"):
        raise ValueError(f"samples in {encoding!r}, compressed by {compression!r}, are not read")
    if encoding == "plain":
        values = listed_numbers(text, "parsedwaveforms")
    else:
        payload = base64_bytes(text, "parsedwaveforms")
        if compression:
            return _decompress(payload, names, n_samples)
        if len(payload) % 2:
            raise ValueError(f"it has {len(payload)} bytes in samples of 2 bytes")
        values = np.frombuffer(payload, dtype="<i2" if signed else "<u2")
    if len(values) != len(names) * n_samples:
        raise ValueError(
            f"it has {len(values)} samples instead of {n_samples} for each of {len(names)} leads"
        )
    return values.reshape(len(names), n_samples)


def _compression(parsed: Element) -> str:
    if (parsed.get("compressflag") or "").lower() in ("false", "no", "f", "0"):
        return ""
    method = (parsed.get("compression") or parsed.get("compressmethod") or "").strip().lower()
    return "" if method in ("uncompressed", "none") else method


def _decompress(payload: bytes, names: list[str], n_samples: int) -> np.ndarray:
    """Return samples compressed by XLI: differences of each lead, and those by LZW.

    The leads that follow from I and II are stored as the differences from what follows.
    """
    limbs_first = tuple(names[:6]) == _LIMB_LEADS
    if not limbs_first and _DERIVED & set(names):
        raise ValueError("its leads are compressed in an unknown order, " + " ".join(names))
    if len(names) * n_samples > _MOST_COMPRESSED_SAMPLES:
        raise ValueError(f"{len(names)} leads of {n_samples} samples are more than is read")
    counts = np.empty((len(names), n_samples), dtype=np.int64)
    start = 0
    for name, row in zip(names, counts, strict=True):
        head = payload[start : start + _XLI_HEADER]
        size = int.from_bytes(head[:4], "little")
        start += _XLI_HEADER + size
        if len(head) < _XLI_HEADER or start > len(payload):
            raise ValueError(f"it is cut: it has no samples of lead {name}, or not all")
        # Without a limit, few bytes become gigabytes.
        unpacked = _unpack(payload[start - size : start], 4 * n_samples)
        if len(unpacked) < 2 * n_samples:
            raise ValueError(f"lead {name} has {len(unpacked) // 2} instead of {n_samples} samples")
        row[:] = _integrate(unpacked, int.from_bytes(head[6:], "little", signed=True))[:n_samples]
    if limbs_first:
        one, two, three, avr, avl, avf = counts[:6]
        three[:] = _wrapped(two - one - three)
        avr[:] = -avr - (one + two) // 2
        avl[:] = (one - three) // 2 - avl
        avf[:] = (two + three) // 2 - avf
    return _wrapped(counts)


def _unpack(packed: bytes, limit: int) -> bytes:
    """Return what LZW codes stand for; ValueError for other bytes and for too many."""
    if len(packed) > 2 * limit:
        raise ValueError("its compressed samples are more than it states")
    # Four codes of ten bits in five bytes.
    a, b, c, d, e = np.frombuffer(packed + bytes(-len(packed) % 5), np.uint8).reshape(-1, 5).T
    pairs = ((a, b), (b, c), (c, d), (d, e))
    joined = [left.astype(np.uint16) << 8 | right for left, right in pairs]
    codes = np.stack([word >> 6 - 2 * i & _N_CODES for i, word in enumerate(joined)], axis=1)
    codes = codes.ravel()[: len(packed) * 8 // 10]
    words = [bytes([value]) for value in range(256)]
    found: list[bytes] = []
    length, previous = 0, b""
    for code in codes.tolist():
        if code < len(words):
            word = words[code]
        elif code == len(words) and previous and code < _N_CODES:
            word = previous + previous[:1]
        elif code == _N_CODES:
            break
        else:
            raise ValueError("its compressed samples were changed")
        if previous and len(words) < _N_CODES:
            words.append(previous + word[:1])
        previous = word
        found.append(word)
        length += len(word)
        if length > limit:
            raise ValueError("its compressed samples are more than it states")
    return b"".join(found)


def _integrate(unpacked: bytes, first: int) -> np.ndarray:
    """Return samples from their second differences, whose high bytes come before the low ones."""
    half = (len(unpacked) + 1) // 2
    parts = np.frombuffer(unpacked.ljust(2 * half, b"\0"), dtype=np.uint8).reshape(2, half)
    deltas = (parts[0].astype(np.int16) << 8 | parts[1]).astype(np.int64)
    bends = np.concatenate([[deltas[1] - deltas[0], -first], _DELTA_BIAS - deltas[2:-1]])
    counts = np.concatenate([deltas[:1], deltas[0] + np.cumsum(np.cumsum(bends))])[:half]
    return _wrapped(counts)


def _wrapped(counts: np.ndarray) -> np.ndarray:
    """Return counts as devices keep them, which compute in 16 bits: differences may overflow."""
    return counts.astype(np.int16).astype(np.int64)


def _age(patient: Element | None, date) -> str | None:
    for unit in ("years", "months", "weeks", "days"):
        if text := text_of(patient, f"age/{unit}"):
            return f"{text} {unit}"
    birth = first_text(text_of(patient, path) for path in ("age/dateofbirth", "dateofbirth"))
    return years_between(day_of(birth, _DATES), date)
