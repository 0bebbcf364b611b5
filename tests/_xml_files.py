"""Writers of XML recordings as devices and archives export them, for tests."""

import base64
import textwrap
import zlib
from collections.abc import Callable, Mapping, Sequence
from xml.sax.saxutils import escape

import numpy as np

EIGHT_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def no_edit(text: str) -> str:
    """Return a file's text as it is."""
    return text


def _lines(payload: bytes) -> str:
    return "\n" + "\n".join(textwrap.wrap(base64.b64encode(payload).decode(), 76)) + "\n"


def _elements(values: Mapping[str, object]) -> str:
    return "".join(f"<{tag}>{escape(str(text))}</{tag}>\n" for tag, text in values.items())


def muse_waveform(
    counts: np.ndarray,
    rate: float,
    leads: Sequence[str],
    *,
    kind: str = "Rhythm",
    units_per_bit: str = "4.88",
    unit: str = "MICROVOLTS",
    exponent: int = 0,
    crc: Callable[[bytes], object] = zlib.crc32,
    sample_size: int = 2,
    lead_elements: Mapping[str, object] | None = None,
) -> str:
    """Return a Waveform element of MUSE with integer counts of shape (n_leads, n_samples)."""
    parts = []
    for lead, row in zip(leads, np.asarray(counts), strict=True):
        payload = row.astype(f"<i{sample_size}").tobytes()
        values = {
            "LeadByteCountTotal": len(payload),
            "LeadTimeOffset": 0,
            "LeadSampleCountTotal": len(row),
            "LeadAmplitudeUnitsPerBit": units_per_bit,
            "LeadAmplitudeUnits": unit,
            "LeadHighLimit": 32767,
            "LeadLowLimit": 268402688,
            "LeadID": lead,
            "LeadOffsetFirstSample": 0,
            "FirstSampleBaseline": 0,
            "LeadSampleSize": sample_size,
            "LeadOff": "FALSE",
            "BaselineSway": "FALSE",
            "LeadDataCRC32": crc(payload),
            "WaveFormData": _lines(payload),
        }
        values.update(lead_elements or {})
        parts.append(f"<LeadData>\n{_elements(values)}</LeadData>\n")
    head = _elements(
        {
            "WaveformType": kind,
            "WaveformStartTime": 0,
            "NumberofLeads": len(leads),
            "SampleType": "CONTINUOUS_SAMPLES",
            "SampleBase": f"{rate:g}",
            "SampleExponent": exponent,
            "HighPassFilter": 16,
            "LowPassFilter": 150,
            "ACFilter": 60,
        }
    )
    return f"<Waveform>\n{head}{''.join(parts)}</Waveform>\n"


def write_muse(
    path,
    signal: np.ndarray,
    rate: float = 500,
    leads: Sequence[str] = EIGHT_LEADS,
    *,
    statements: Sequence[str] = ("Normal sinus rhythm", "Normal ECG"),
    patient: Mapping[str, object] | None = None,
    test: Mapping[str, object] | None = None,
    measurements: Mapping[str, object] | None = None,
    before: str = "",
    doctype: str = '<!DOCTYPE RestingECG SYSTEM "restecg.dtd">',
    declared: str = "ISO-8859-1",
    encoding: str = "iso-8859-1",
    edit: Callable[[str], str] = no_edit,
    **waveform,
) -> np.ndarray:
    """Write a MUSE export and return the counts in it, (n_leads, n_samples).

    ``signal`` is in mV. ``patient``, ``test`` and ``measurements`` add elements to those groups
    or replace them. ``before`` comes before the root element, ``edit`` changes the finished text.
    Other arguments are those of `muse_waveform`.
    """
    per_bit = float(str(waveform.get("units_per_bit", "4.88")).replace(",", "."))
    unit = {"MILLIVOLTS": 1.0}.get(waveform.get("unit", "MICROVOLTS"), 1e-3)
    counts = np.rint(np.asarray(signal, dtype=float) / (per_bit * unit)).astype(int)
    half = max(len(signal[0]) // 8, 1)
    groups = {
        "MuseInfo": {"MuseVersion": "9.0.9.18167"},
        "PatientDemographics": {
            "PatientID": "4711",
            "PatientAge": 63,
            "AgeUnits": "YEARS",
            "DateofBirth": "02-28-1950",
            "Gender": "FEMALE",
            "PatientLastName": "Doe",
            "PatientFirstName": "Jane",
        }
        | dict(patient or {}),
        "TestDemographics": {
            "DataType": "RESTING",
            "SiteName": "Example hospital",
            "AcquisitionDevice": "MAC55",
            "Status": "CONFIRMED",
            "AcquisitionTime": "10:11:12",
            "AcquisitionDate": "03-14-2013",
        }
        | dict(test or {}),
        "RestingECGMeasurements": {
            "VentricularRate": 71,
            "PRInterval": 158,
            "QRSDuration": 92,
            "QTInterval": 402,
            "QTCorrected": 436,
            "RAxis": 41,
            "QRSCount": 12,
        }
        | dict(measurements or {}),
    }
    body = "".join(f"<{tag}>\n{_elements(values)}</{tag}>\n" for tag, values in groups.items())
    lines = "".join(
        "<DiagnosisStatement>\n"
        + _elements({"StmtFlag": "ENDSLINE", "StmtText": text})
        + "</DiagnosisStatement>\n"
        for text in statements
    )
    for tag in ("Diagnosis", "OriginalDiagnosis"):
        body += f"<{tag}>\n<Modality>RESTING</Modality>\n{lines}</{tag}>\n"
    body += muse_waveform(counts[:, :half] // 2, rate, leads, **waveform | {"kind": "Median"})
    body += muse_waveform(counts, rate, leads, **waveform)
    text = f'<?xml version="1.0" encoding="{declared}"?>\n{doctype}\n{before}'
    text += f"<RestingECG>\n{body}</RestingECG>\n"
    with open(path, "wb") as stream:
        stream.write(edit(text).encode(encoding))
    return counts
