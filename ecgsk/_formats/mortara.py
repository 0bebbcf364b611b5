"""XML of Mortara (Welch Allyn, Hillrom) ELI electrocardiographs.

Each CHANNEL holds base64 of little-endian 16-bit integers, with UNITS_PER_MV. No specification is
public; independent readers agree on this. A TYPICAL_CYCLE is an average heartbeat.
"""

from xml.etree.ElementTree import Element

import numpy as np

from ecgsk._formats.stored import ReadOptions, Statements
from ecgsk._formats.xml_format import XMLFormat, XMLLead, plausible, xml_lead_name
from ecgsk._formats.xml_tree import (
    base64_bytes,
    day_of,
    first_text,
    number,
    timestamp,
    years_between,
)

_ENCODING = {"bits": "16", "format": "SIGNED", "encoding": "BASE64"}
_DATES = ("%Y%m%d", "%Y-%m-%d")
_MEASUREMENTS = {
    "pr_interval": "pr_duration",
    "qrs_duration": "qrs_duration",
    "qt_interval": "qt",
    "qtc_interval": "qtc",
    "qtc_bazett": "qtb",
    "qtc_fridericia": "qtf",
    "p_axis": "p_axis",
    "qrs_axis": "qrs_axis",
    "t_axis": "t_axis",
}
# Fields of DEMOGRAPHIC_FIELDS by number: their labels are in the language of the device.
_PATIENT, _AGE, _SEX = "2", "3", "4"


class MortaraXML(XMLFormat):
    """Mortara ELI XML (root element ECG)."""

    name = "Mortara XML"
    root = "ecg"

    def leads(self, root: Element, options: ReadOptions) -> list[XMLLead]:
        channels = root.findall("channel")
        if not channels:
            raise ValueError("it has no CHANNEL, as XML of Mortara devices has")
        return [_lead(channel) for channel in channels]

    def statements(self, root: Element) -> Statements:
        date = _date(root.get("acquisition_time_xml") or root.get("acquisition_time") or "")
        subject = _attributes(root.find("subject"))
        fields = {
            field.get("id", "").strip(): field
            for field in root.findall("demographic_fields/demographic_field")
        }
        source = _attributes(root.find("source"))
        model = source.get("model") or source.get("acquiring_device_extended_model_description")
        device = " ".join(text for text in (source.get("manufacturer"), model) if text)
        statements = (
            " ".join(filter(None, (line.get("text") or line.text or "", line.get("reason"))))
            for line in root.findall("automatic_interpretation/statement")
        )
        cycle = _attributes(root.find("typical_cycle"))
        texts = {name: cycle.get(key, "") for name, key in _MEASUREMENTS.items()}
        texts |= {
            "heart_rate": root.get("vent_rate", ""),
            "rr_interval": root.get("average_rr", ""),
        }
        birth = day_of(subject.get("dob_xml") or subject.get("dob") or "", _DATES)
        return Statements(
            patient=first_text((subject.get("id", ""), _value(fields.get(_PATIENT)))) or None,
            age_text=_age(root, fields.get(_AGE)) or years_between(birth, date),
            sex_text=first_text((subject.get("gender", ""), _value(fields.get(_SEX)))) or None,
            date=date,
            device=device or None,
            statements=tuple(text for line in statements if (text := " ".join(line.split()))),
            measurements=plausible(texts),
        )


def _lead(channel: Element) -> XMLLead:
    values = _attributes(channel)
    name = xml_lead_name(values.get("name", ""))
    for key, allowed in _ENCODING.items():
        if (values.get(key) or allowed).upper() != allowed:
            raise ValueError(f"lead {name} has {key.upper()} {values[key]}; {allowed} is read")
    doubts: tuple[str, ...] = ()
    if values.get("offset") and number(values["offset"]) != 0:
        doubts = ("its leads have an OFFSET, whose meaning is not documented; it was not used",)
    payload = base64_bytes(channel.get("data") or channel.text or "", f"lead {name}")
    if len(payload) % 2:
        raise ValueError(f"lead {name} has {len(payload)} bytes in samples of 2 bytes")
    counts = np.frombuffer(payload, dtype="<i2")
    rate, per_mv = (number(values.get(key, "")) for key in ("sample_freq", "units_per_mv"))
    if not rate or rate < 0:
        raise ValueError(f"lead {name} has no sampling rate (SAMPLE_FREQ)")
    if not per_mv or per_mv < 0:
        raise ValueError(f"the amplitude of lead {name} is unknown: it has no UNITS_PER_MV")
    # A number of samples; some programs write milliseconds.
    stated = number(values.get("duration", ""))
    if stated and stated not in (len(counts), round(1000 * len(counts) / rate)):
        raise ValueError(f"lead {name} has {len(counts)} samples and DURATION {stated:g}")
    return XMLLead(
        name=name,
        counts=counts,
        rate=rate,
        gain=1 / per_mv,
        start=values.get("offset") or "0",
        doubts=doubts,
    )


def _attributes(element: Element | None) -> dict[str, str]:
    return {} if element is None else {key: text.strip() for key, text in element.attrib.items()}


def _value(field: Element | None) -> str:
    return "" if field is None else field.get("value", "").strip()


def _age(root: Element, field: Element | None) -> str:
    stated = (root.get("age", ""), root.get("age_units", ""))
    if not stated[0].strip() and field is not None:
        stated = (_value(field), field.get("units", ""))
    return " ".join(stated).strip().lower() if stated[0].strip() else ""


def _date(text: str):
    """Return a time of the form 20231201120000 or 2023-12-01T12:00:00."""
    digits = "".join(c for c in text.strip()[:19] if c.isdigit())
    clock = ":".join((digits[8:10], digits[10:12], digits[12:14]))
    return timestamp(digits[:8], clock, ("%Y%m%d",))
