"""Exports of GE MUSE (restecg.dtd).

Each lead of a Waveform element is base64 of little-endian integers with a CRC-32, in units of
LeadAmplitudeUnitsPerBit. Mostly I, II and V1 to V6 are stored. A Waveform of the type Median is an
average heartbeat.
"""

import zlib
from dataclasses import replace
from xml.etree.ElementTree import Element

import numpy as np

from ecgsk._formats.stored import ReadOptions, Statements
from ecgsk._formats.xml_format import XMLFormat, XMLLead, plausible, xml_lead_name
from ecgsk._formats.xml_tree import (
    base64_bytes,
    day_of,
    first_text,
    number,
    text_of,
    timestamp,
    years_between,
)

_MILLIVOLTS = {"nanovolt": 1e-6, "microvolt": 1e-3, "millivolt": 1.0, "volt": 1e3}
_MILLIVOLTS |= {"nv": 1e-6, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "mv": 1.0, "v": 1e3}
_DATES = ("%m-%d-%Y", "%m/%d/%Y", "%Y-%m-%d", "%Y%m%d", "%d-%b-%Y")
_MEASUREMENTS = {
    "heart_rate": "ventricularrate",
    "pr_interval": "printerval",
    "qrs_duration": "qrsduration",
    "qt_interval": "qtinterval",
    "qtc_interval": "qtcorrected",
    "qtc_fridericia": "qtcfrederica",
    "p_axis": "paxis",
    "qrs_axis": "raxis",
    "t_axis": "taxis",
}
# Where a lead's samples would have another meaning than those of a lead that begins at once.
_OFFSETS = ("leadoffsetfirstsample", "firstsamplebaseline")


class MuseXML(XMLFormat):
    """Exports of GE MUSE (root element RestingECG)."""

    name = "MUSE XML"
    root = "restingecg"

    def leads(self, root: Element, options: ReadOptions) -> list[XMLLead]:
        rhythms = [
            waveform
            for waveform in root.findall("waveform")
            if text_of(waveform, "waveformtype").lower() in ("rhythm", "")
        ]
        if not rhythms:
            raise ValueError("it contains no waveform of the type Rhythm")
        leads = []
        for part, waveform in enumerate(rhythms):
            rate = _rate(waveform)
            start = text_of(waveform, "waveformstarttime")
            leads += [_lead(element, rate, start, part) for element in waveform.findall("leaddata")]
        return _checked(leads) if options.verify else [lead for lead, _ in leads]

    def statements(self, root: Element) -> Statements:
        test = root.find("testdemographics")
        date = timestamp(text_of(test, "acquisitiondate"), text_of(test, "acquisitiontime"), _DATES)
        final, original = (_lines(root.find(tag)) for tag in ("diagnosis", "originaldiagnosis"))
        comments = {
            "status": text_of(test, "status"),
            "statements of the device": "; ".join(original if original != final else ()),
            "leads off": ", ".join(_leads_off(root)),
        }
        return Statements(
            patient=text_of(root, "patientdemographics/patientid") or None,
            age_text=_age(root.find("patientdemographics"), date),
            sex_text=text_of(root, "patientdemographics/gender") or None,
            date=date,
            device=text_of(test, "acquisitiondevice") or None,
            statements=tuple(final or original),
            measurements=_measurements(root),
            comments={key: text for key, text in comments.items() if text},
        )


def _rate(waveform: Element) -> float:
    base = number(text_of(waveform, "samplebase"))
    exponent = number(text_of(waveform, "sampleexponent") or "0")
    if base is None or exponent is None or abs(exponent) > 9:
        raise ValueError("its rhythm waveform has no sampling rate (SampleBase, SampleExponent)")
    kind = text_of(waveform, "sampletype").upper()
    if kind and not kind.startswith("CONTINUOUS"):
        raise ValueError(f"samples of the type {kind} are not read")
    return base * 10.0**exponent


def _lead(element: Element, rate: float, start: str, part: int) -> tuple[XMLLead, bool | None]:
    """Return a lead and whether its checksum is right, None where it has none."""
    name = xml_lead_name(text_of(element, "leadid"))
    doubts = tuple(
        f"the file states a {tag} for its leads, whose meaning is not documented; it was not used"
        for tag in _OFFSETS
        if (text := text_of(element, tag)) and number(text) != 0
    )
    data = element.find("waveformdata")
    payload = base64_bytes("" if data is None else "".join(data.itertext()), f"lead {name}")
    stated_size = text_of(element, "leadsamplesize") or "2"
    size = number(stated_size)
    if size not in (1, 2, 4) or len(payload) % size:
        raise ValueError(f"lead {name} has {len(payload)} bytes in samples of {stated_size} bytes")
    counts = np.frombuffer(payload, dtype=f"<i{size:.0f}")
    for tag, length in (
        ("leadbytecounttotal", len(payload)),
        ("leadsamplecounttotal", len(counts)),
    ):
        stated = text_of(element, tag)
        if number(stated) not in (None, length):
            raise ValueError(f"lead {name} has {length} instead of {stated} ({tag})")
    crc = number(text_of(element, "leaddatacrc32"))
    # Signed or not; programs that compute none leave it empty or 0.
    check = zlib.crc32(payload) == int(crc) % 2**32 if crc else None
    flagged = text_of(element, "leadoff").upper() == "TRUE"
    if flagged and len(counts) and (counts == counts[0]).all():
        counts = np.full(len(counts), np.nan)
    lead = XMLLead(
        name=name,
        counts=counts,
        rate=rate,
        gain=_gain(element, name),
        start=(start, number(text_of(element, "leadtimeoffset")) or 0.0),
        part=part,
        doubts=doubts,
    )
    return lead, check


def _checked(leads: list[tuple[XMLLead, bool | None]]) -> list[XMLLead]:
    """Return leads without a wrong checksum.

    Where no checksum is right, a program may compute them in another way: that is a doubt.
    """
    checks = [check for _, check in leads]
    wrong = next((lead.name for lead, check in leads if check is False), "")
    if wrong and True in checks:
        raise ValueError(
            f"its checksum is wrong (CRC-32 of lead {wrong}): the file was changed on its way. "
            "Fetch it again, or use verify=False, which reads it as it is"
        )
    doubt = ("the checksums of all its leads (CRC-32) are wrong: a program changed its samples, or "
             "computes checksums in another way")  # fmt: skip
    return [replace(lead, doubts=(*lead.doubts, doubt)) if wrong else lead for lead, _ in leads]


def _gain(element: Element, name: str) -> float:
    unit = text_of(element, "leadamplitudeunits")
    factor = _MILLIVOLTS.get(unit.lower().removesuffix("s"))
    per_bit = number(text_of(element, "leadamplitudeunitsperbit"))
    if factor is None or per_bit is None or per_bit <= 0:
        raise ValueError(
            f"the amplitude of lead {name} is unknown: LeadAmplitudeUnits is {unit!r} and "
            f"LeadAmplitudeUnitsPerBit {text_of(element, 'leadamplitudeunitsperbit')!r}"
        )
    return per_bit * factor


def _leads_off(root: Element) -> list[str]:
    return [
        text_of(element, "leadid")
        for waveform in root.findall("waveform")
        if text_of(waveform, "waveformtype").lower() in ("rhythm", "")
        for element in waveform.findall("leaddata")
        if text_of(element, "leadoff").upper() == "TRUE"
    ]


def _age(patient: Element | None, date) -> str | None:
    age, unit = text_of(patient, "patientage"), text_of(patient, "ageunits").lower()
    if unit == "hours" and number(age) is not None:
        return f"{number(age) / 24:.2f} days"  # type: ignore[operator]
    birth = day_of(text_of(patient, "dateofbirth"), _DATES)
    return f"{age} {unit}".strip() if age else years_between(birth, date)


def _lines(diagnosis: Element | None) -> list[str]:
    """Return the statements; each ends at the flag ENDSLINE, where a file uses it."""
    if diagnosis is None:
        return []
    parts = [
        (text_of(element, "stmttext"), {text_of(flag).upper() for flag in element.iter("stmtflag")})
        for element in diagnosis.findall("diagnosisstatement")
    ]
    flagged = any("ENDSLINE" in flags for _, flags in parts)
    lines: list[list[str]] = [[]]
    for text, flags in parts:
        lines[-1].append(text)
        if "ENDSLINE" in flags or not flagged:
            lines.append([])
    joined = (" ".join(text for text in line if text) for line in lines)
    return [line for line in joined if line]


def _measurements(root: Element) -> dict[str, float]:
    tags = ("restingecgmeasurements", "originalrestingecgmeasurements")
    texts = {
        name: first_text(text_of(root, f"{tag}/{child}") for tag in tags)
        for name, child in _MEASUREMENTS.items()
    }
    rr = first_text(
        text_of(root, path) for path in ("qrstimestypes/globalrr", "pharmadata/pharmarrinterval")
    )
    return plausible(texts | {"rr_interval": rr})
