"""Contents of DICOM files besides the samples: patient, date, device, measurements, findings."""

import re
from datetime import datetime

from ecgsk._formats.dicom_dataset import DICOMFile, text
from ecgsk._formats.stored import Statements, age_at

_DATES = (
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
    ("StudyDate", "StudyTime"),
)
# Of MDC (ISO/IEEE 11073-10102), SCP-ECG and LOINC, as PS3.16 and devices have them. Codes of a
# corrected QT interval stand for two formulas each: the meaning decides.
_CODES = {
    "2:16770": "heart_rate",
    "8867-4": "heart_rate",
    "2:16000": "rr_interval",
    "2:16168": "rr_interval",
    "5.10.2.1-3": "rr_interval",
    "2:15872": "pr_interval",
    "5.13.5-7": "pr_interval",
    "2:16156": "qrs_duration",
    "5.13.5-9": "qrs_duration",
    "2:16160": "qt_interval",
    "5.13.5-11": "qt_interval",
    "2:16128": "p_axis",
    "5.10.3-11": "p_axis",
    "2:16132": "qrs_axis",
    "5.10.3-13": "qrs_axis",
    "2:16136": "t_axis",
    "5.10.3-15": "t_axis",
}
# Meanings without what does not distinguish them.
_MEANINGS = {
    "heartrate": "heart_rate",
    "hr": "heart_rate",
    "ventricularheartrate": "heart_rate",
    "ventricularrate": "heart_rate",
    "ventrate": "heart_rate",
    "vrate": "heart_rate",
    "rr": "rr_interval",
    "pr": "pr_interval",
    "pq": "pr_interval",
    "qrs": "qrs_duration",
    "qt": "qt_interval",
    "qtc": "qtc_interval",
    "qtcorrected": "qtc_interval",
    "paxis": "p_axis",
    "qrsaxis": "qrs_axis",
    "raxis": "qrs_axis",
    "taxis": "t_axis",
}
_FILLERS = re.compile(
    r"\b(global|mean|average|frontal|interval|duration|time|period|value)\b|[^a-z]+"
)
_FORMULAS = {"bazett": "qtc_bazett", "fridericia": "qtc_fridericia", "fredericia": "qtc_fridericia"}
_OTHER_FORMULAS = ("framingham", "hodges", "rautaharju")
_UNITS = {
    "axis": {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "°": 1.0},
    "rate": dict.fromkeys(
        ("/min", "1/min", "bpm", "{beats}/min", "{beat}/min", "{h.b.}/min", "beats/min"), 1.0
    ),
    "time": {"ms": 1.0, "msec": 1.0, "s": 1000.0, "us": 0.001},
}
_POSITIONS = ("ReferencedSamplePositions", "ReferencedTimeOffsets", "ReferencedDateTime")


def statements_of(file: DICOMFile) -> Statements:
    """Return what a file states."""
    dataset = file.dataset
    findings: tuple[str, ...] = ()
    measurements: dict[str, float] = {}
    comments = {}
    try:
        findings, measurements = _annotations(file)
    except MemoryError:
        raise
    except Exception as error:  # too many, or what pydicom makes of foreign bytes
        comments["annotations"] = f"they cannot be read ({type(error).__name__})"
    born, recorded = _moment(text(dataset, "PatientBirthDate")), _recorded(dataset)
    device = text(dataset, "Manufacturer"), text(dataset, "ManufacturerModelName")
    return Statements(
        patient=text(dataset, "PatientID") or None,
        age_text=text(dataset, "PatientAge") or age_at(born, recorded),
        sex_text=text(dataset, "PatientSex") or None,
        date=recorded,
        device=" ".join(part for part in device if part) or None,
        statements=findings,
        measurements=measurements,
        comments=comments,
    )


def _recorded(dataset) -> datetime | None:
    """Return when the recording was made, by the clock of the place; midnight without a time."""
    found = _moment(text(dataset, "AcquisitionDateTime"))
    for day, time in _DATES:
        found = found or _moment(text(dataset, day), text(dataset, time))
    return found


def _moment(day: str, time: str = "") -> datetime | None:
    """Return a moment of the value representations DT, or DA and TM, with those of old versions."""
    match = re.match(r"(\d{8})((?:\d\d){0,3})", day.replace(".", "", 2) if time else day)
    match = match or re.match(r"(\d{8})()", re.sub(r"[.-]", "", day))
    if match is None:
        return None
    clock = match[2] or re.match(r"(?:\d\d){0,3}", time.replace(":", ""))[0]  # type: ignore[index]
    try:
        return datetime.strptime(match[1] + clock, "%Y%m%d%H%M%S"[: 6 + len(clock)])
    except ValueError:
        return None


def _annotations(file: DICOMFile) -> tuple[tuple[str, ...], dict[str, float]]:
    """Return the findings in words, and the measurements of the whole recording."""
    findings: list[str] = []
    measurements: dict[str, float] = {}
    for item in file.items(file.dataset, "WaveformAnnotationSequence"):
        if any(position in item for position in _POSITIONS):
            continue  # of one heartbeat
        concept = file.code(item, "ConceptNameCodeSequence")
        if "NumericValue" not in item:
            _, meaning = file.code(item, "ConceptCodeSequence")
            finding = text(item, "UnformattedTextValue") or meaning
            if finding and finding not in findings:
                findings.append(finding)
        elif (name := _measurement(*concept)) and _is_of_all_channels(item):
            unit = file.code(item, "MeasurementUnitsCodeSequence")
            value = _value(name, text(item, "NumericValue"), unit)
            if value is not None:
                measurements.setdefault(name, value)
    return tuple(findings), measurements


def _measurement(value: str, meaning: str) -> str | None:
    """Return the name of a measurement in `Statements`, None for those that are not there."""
    words = _FILLERS.sub("", meaning.lower())
    if any(formula in words for formula in _OTHER_FORMULAS):
        return None
    by_formula = (name for formula, name in _FORMULAS.items() if formula in words)
    return next(by_formula, None) or _MEANINGS.get(words) or _CODES.get(value)


def _is_of_all_channels(item) -> bool:
    # Pairs of a group and a channel, 0 for all.
    channels = text(item, "ReferencedWaveformChannels").split()[1::2]
    return set(channels) <= {"0"}


def _value(name: str, value: str, unit: tuple[str, str]) -> float | None:
    """Return a measurement in the unit of its name; None where it has another or was not made."""
    kind = name.rpartition("_")[2] if name.endswith(("axis", "rate")) else "time"
    factor = next((f for part in unit if (f := _UNITS[kind].get(part.strip().lower()))), None)
    try:
        number = float(value)
    except ValueError:
        return None
    if factor is None or not abs(number) < 1e6 or (kind != "axis" and number <= 0):
        return None
    return number * factor
