"""HL7 annotated ECG (PORT_MT020001).

A series has sequences of numbers: one of the times (GLIST, with an increment) and one for each
lead (SLIST_PQ: origin + scale * digit). A derived series is an average heartbeat.
"""

import math
from collections.abc import Iterator
from datetime import datetime
from xml.etree.ElementTree import Element

from ecgsk._core.signal import millivolt_factor
from ecgsk._formats.stored import ReadOptions, Statements
from ecgsk._formats.xml_format import XMLFormat, XMLLead, plausible, xml_lead_name
from ecgsk._formats.xml_tree import (
    day_of,
    first_text,
    listed_numbers,
    number,
    text_of,
    timestamp,
    years_between,
)

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_LEAD = "_ECG_LEAD_"
_NEGATIVE_AVR = "AVRNEG"
# Units of measurements, and the factor to that of `Statements`.
_UNITS = {"ms": 1.0, "s": 1e3, "us": 1e-3, "deg": 1.0, "hz": 60.0, "/s": 60.0, "": 1.0}
_UNITS |= dict.fromkeys(("bpm", "/min", "1/min", "{beats}/min", "{beat}/min"), 1.0)
_MEASUREMENTS = {
    "MDC_ECG_HEART_RATE": "heart_rate",
    "MDC_ECG_TIME_PD_RR": "rr_interval",
    "MDC_ECG_TIME_PD_PR": "pr_interval",
    "MDC_ECG_TIME_PD_QRS": "qrs_duration",
    "MDC_ECG_TIME_PD_QT": "qt_interval",
    "MDC_ECG_TIME_PD_QTC": "qtc_interval",
    "MDC_ECG_TIME_PD_QTCB": "qtc_bazett",
    "MDC_ECG_TIME_PD_QTCF": "qtc_fridericia",
    "MDC_ECG_ANGLE_P_FRONT": "p_axis",
    "MDC_ECG_ANGLE_QRS_FRONT": "qrs_axis",
    "MDC_ECG_ANGLE_T_FRONT": "t_axis",
    "MINDRAY_ECG_P_AXIS": "p_axis",
    "MINDRAY_ECG_QRS_AXIS": "qrs_axis",
    "MINDRAY_ECG_T_AXIS": "t_axis",
}
_STATEMENTS = tuple(f"MDC_ECG_INTERPRETATION{end}" for end in ("", "_STATEMENT", "_SUMMARY"))
_SUBJECT = "componentof/timepointevent/componentof/subjectassignment/subject/trialsubject"
_NO_IDENTIFIERS = ("", "?", "UNK", "NA", "N/A")
_REPORTED_AGE = "21612-7"  # LOINC
_SEXES = {"UN": "other"}  # undifferentiated
_AGE_UNITS = {"a": "years", "yr": "years", "mo": "months", "wk": "weeks", "d": "days"}


class HL7aECG(XMLFormat):
    """HL7 annotated ECG (root element AnnotatedECG)."""

    name = "HL7 aECG"
    root = "annotatedecg"
    endings = (".xml", ".aecg")

    def leads(self, root: Element, options: ReadOptions) -> list[XMLLead]:
        groups = (
            group
            for series in _rhythm_series(root)
            for group in series.findall("component/sequenceset")
        )
        return [lead for part, group in enumerate(groups) for lead in _leads(group, part)]

    def statements(self, root: Element) -> Statements:
        series = _rhythm_series(root)
        date = _date(root, series)
        subject = root.find(_SUBJECT)
        person = None if subject is None else subject.find("subjectdemographicperson")
        author = series[0].find("author/seriesauthor") if series else None
        parts = ("manufacturerorganization/name", "manufacturedseriesdevice/manufacturermodelname")
        birth = day_of(_attribute(person, "birthtime", "value")[:8], ("%Y%m%d",))
        sex = _attribute(person, "administrativegendercode", "code")
        texts, found = _annotations(series)
        return Statements(
            patient=_patient(subject, person),
            age_text=_age(root) or text_of(person, "age") or years_between(birth, date),
            sex_text=_SEXES.get(sex, sex) or None,
            date=date,
            device=" ".join(filter(None, (text_of(author, part) for part in parts))) or None,
            statements=tuple(texts),
            measurements=plausible(found),
        )


def _rhythm_series(root: Element) -> list[Element]:
    return [
        series
        for series in root.findall("component/series")
        if _attribute(series, "code", "code").upper() != "REPRESENTATIVE_BEAT"
    ]


def _leads(group: Element, part: int) -> Iterator[XMLLead]:
    """Yield the leads of a set of sequences that share their times."""
    sequences = [(_code(item), item.find("value")) for item in group.findall("component/sequence")]
    times = [value for code, value in sequences if code.startswith("TIME_")]
    leads = [(code, value) for code, value in sequences if _LEAD in code]
    if not leads:
        return
    rate = _rate(times[0] if times else None)
    start = _attribute(times[0], "head", "value")
    for code, value in leads:
        name = code.partition(_LEAD)[2]
        name = "-aVR" if name == _NEGATIVE_AVR else xml_lead_name(name)
        scale, unit = _quantity(value, "scale", name)
        origin, origin_unit = _quantity(value, "origin", name, missing="0")
        doubts: tuple[str, ...] = ()
        if origin and not origin_unit:
            origin_unit = unit
            doubts = (
                f"the origin of its leads has no unit; that of their scale, {unit}, was used",
            )
        digits = None if value is None else value.find("digits")
        yield XMLLead(
            name=name,
            counts=listed_numbers("" if digits is None else digits.text or "", f"lead {name}"),
            rate=rate,
            gain=scale * millivolt_factor(unit),
            offset=origin * millivolt_factor(origin_unit) if origin else 0.0,
            start=start,
            part=part,
            doubts=doubts,
        )


def _rate(times: Element | None) -> float:
    step = number(_attribute(times, "increment", "value"))
    unit = _attribute(times, "increment", "unit")
    if not step or step < 0 or unit not in _SECONDS:
        raise ValueError(
            f"its sampling rate is unknown: it has no sequence of times with an increment in "
            f"{', '.join(_SECONDS)}"
        )
    rate = 1 / (step * _SECONDS[unit])
    if abs(rate - round(rate)) < 1e-6 * rate:
        return float(round(rate))
    decimals = _attribute(times, "increment", "value").replace(",", ".").partition(".")[2]
    if not decimals.isdecimal():
        return rate
    # The text of 1 / 512, 0.001953, is cut: it may stand for whole rates.
    half = 0.5 * 10.0 ** -len(decimals) * _SECONDS[unit]
    lowest, highest = math.ceil(1 / (1 / rate + half)), math.floor(1 / (1 / rate - half))
    return float(lowest) if lowest == highest else rate


def _quantity(value: Element | None, tag: str, name: str, missing: str = "") -> tuple[float, str]:
    """Return a number and its unit."""
    text = _attribute(value, tag, "value") or missing
    stated = number(text)
    if stated is None:
        raise ValueError(f"the amplitude of lead {name} is unknown: its {tag} is {text!r}")
    return stated, _attribute(value, tag, "unit")


def _attribute(element: Element | None, path: str, key: str) -> str:
    found = None if element is None else element.find(path)
    return "" if found is None else (found.get(key) or "").strip()


def _code(element: Element) -> str:
    return _attribute(element, "code", "code").upper()


def _date(root: Element, series: list[Element]) -> datetime | None:
    """Return when the recording began, from those places that state at least a day."""
    places = [root, *series]
    texts = [
        _attribute(place, f"effectivetime/{edge}", "value")
        for place in places
        for edge in ("low", "center")
    ]
    texts += [_attribute(place, "effectivetime", "value") for place in places]
    texts += [_attribute(place, ".//sequence/value/head", "value") for place in series]
    for text in texts:
        digits = text.partition(".")[0].partition("+")[0].partition("-")[0]
        clock = ":".join((digits[8:10], digits[10:12], digits[12:14] or "00"))
        if digits.isdigit() and (found := timestamp(digits[:8], clock, ("%Y%m%d",))):
            return found
    return None


def _patient(subject: Element | None, person: Element | None) -> str | None:
    """Return the identifier, which devices without a trial write below the person."""
    found = (_attribute(subject, "id", "extension"), text_of(person, "patientid"))
    return next((text for text in found if text.upper() not in _NO_IDENTIFIERS), None)


def _age(root: Element) -> str:
    for item in root.findall("controlvariable/relatedobservation"):
        age, unit = (_attribute(item, "value", key) for key in ("value", "unit"))
        if _code(item) == _REPORTED_AGE and age:
            return f"{age} {_AGE_UNITS.get(unit, unit)}".strip()
    return ""


def _annotations(all_series: list[Element]) -> tuple[list[str], dict[str, str]]:
    """Return the statements and measurements of the recording, a reader's before a device's.

    What is stated for one heartbeat or one lead is not among them.
    """
    sets = []
    for series in all_series:
        derived = series.findall("derivation/derivedseries")
        for place in (series, *derived):
            sets += place.findall("subjectof/annotationset")
    person = "author/assignedentity/assignedauthortype/assignedperson"
    sets.sort(key=lambda item: item.find(person) is None)
    measured: dict[str, str] = {}
    statements: list[str] = []
    for item in sets:
        lines = []
        for annotation in _global_annotations(item):
            code = _code(annotation)
            value = annotation.find("value")
            if value is None:
                continue
            if code in _STATEMENTS:
                lines.append(first_text((text_of(value), value.get("displayname", ""))))
            name = _MEASUREMENTS.get(code.removesuffix("_GL"))
            amount = number(value.get("value"))
            factor = _UNITS.get((value.get("unit") or "").lower())
            if name and amount is not None and factor:
                measured.setdefault(name, f"{amount * factor:.10g}")
        # Those of a reader replace those of a device.
        statements = statements or [line for line in dict.fromkeys(lines) if line]
    return statements, measured


def _global_annotations(group: Element) -> Iterator[Element]:
    """Yield annotations at any depth, without those of heartbeats and single leads."""
    waiting = group.findall("component/annotation")[::-1]
    while waiting:
        annotation = waiting.pop()
        boundaries = annotation.findall("support/supportingroi/component/boundary")
        if _code(annotation) == "MDC_ECG_BEAT" or any(_LEAD in _code(item) for item in boundaries):
            continue
        yield annotation
        waiting += annotation.findall("component/annotation")[::-1]
