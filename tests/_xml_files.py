"""Writers of XML recordings as devices and archives export them, for tests."""

import base64
import re
import textwrap
import zlib
from collections.abc import Callable, Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

import numpy as np

TWELVE_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
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


def write_aecg(
    path,
    signal: np.ndarray,
    rate: float = 500,
    leads: Sequence[str] = TWELVE_LEADS,
    *,
    scale: float = 2.5,
    unit: str = "uV",
    origin: float = 0.0,
    increment: str | None = None,
    statements: Sequence[str] = ("Sinus rhythm", "Normal ECG"),
    prefix: str = "",
    before: str = "",
    encoding: str = "utf-8",
    edit: Callable[[str], str] = no_edit,
) -> np.ndarray:
    """Write an HL7 annotated ECG and return the digits in it; ``signal`` is in mV.

    ``prefix`` stands before all names of elements, such as "hl7:".
    """
    factor = {"nV": 1e-6, "uV": 1e-3, "mV": 1.0}[unit]
    digits = np.rint((np.asarray(signal) - origin * factor) / (scale * factor)).astype(int)

    def sequence_set(rows: np.ndarray) -> str:
        steps = increment or f'<increment value="{1 / rate:.10g}" unit="s"/>'
        parts = [
            '<sequence><code code="TIME_ABSOLUTE"/><value xsi:type="GLIST_TS">'
            f'<head value="20230401101112.000"/>{steps}</value></sequence>'
        ]
        parts += [
            f'<sequence><code code="MDC_ECG_LEAD_{lead.upper()}"/><value xsi:type="SLIST_PQ">'
            f'<origin value="{origin:g}" unit="{unit}"/><scale value="{scale:g}" unit="{unit}"/>'
            f"<digits>{' '.join(map(str, row))}</digits></value></sequence>"
            for lead, row in zip(leads, rows, strict=True)
        ]
        inner = "".join(f"<component>{part}</component>\n" for part in parts)
        return f"<component><sequenceSet>\n{inner}</sequenceSet></component>\n"

    def annotation(code: str, value: str, inner: str = "") -> str:
        content = f'<code code="{code}"/>{value}{inner}'
        return f"<component><annotation>{content}</annotation></component>"

    lines = "".join(
        annotation("MDC_ECG_INTERPRETATION_STATEMENT", f"<value>{escape(text)}</value>")
        for text in statements
    )
    heartbeat = annotation("MDC_ECG_TIME_PD_QT", '<value xsi:type="PQ" value="1" unit="ms"/>')
    annotations = (
        annotation("MDC_ECG_HEART_RATE", '<value xsi:type="PQ" value="71" unit="bpm"/>')
        + annotation("MDC_ECG_TIME_PD_PR", '<value xsi:type="PQ" value="0.158" unit="s"/>')
        + annotation("MDC_ECG_BEAT", "", heartbeat)
        + annotation("MDC_ECG_INTERPRETATION", "", lines)
    )
    median = sequence_set(digits[:, : max(len(digits[0]) // 8, 1)] // 2)
    text = f"""<AnnotatedECG xmlns{":" + prefix[:-1] if prefix else ""}="urn:hl7-org:v3"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" type="Observation">
<id root="1.2.3"/><code code="93000"/>
<effectiveTime><low value="20230401101112"/><high value="20230401101122"/></effectiveTime>
<componentOf><timepointEvent><componentOf><subjectAssignment><subject><trialSubject>
<id root="1.2.3" extension="4711"/><subjectDemographicPerson><name>JD</name>
<administrativeGenderCode code="F"/><birthTime value="19500228"/></subjectDemographicPerson>
</trialSubject></subject></subjectAssignment></componentOf></timepointEvent></componentOf>
<component><series><code code="RHYTHM"/><author><seriesAuthor>
<manufacturedSeriesDevice><manufacturerModelName>M1</manufacturerModelName>
</manufacturedSeriesDevice><manufacturerOrganization><name>Example devices</name>
</manufacturerOrganization></seriesAuthor></author>
{sequence_set(digits)}<subjectOf><annotationSet>{annotations}</annotationSet></subjectOf>
<derivation><derivedSeries><code code="REPRESENTATIVE_BEAT"/>
{median}</derivedSeries></derivation></series></component></AnnotatedECG>
"""
    text = re.sub(r"<(/?)(\w)", rf"<\1{prefix}\2", text)
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n{before}{text}'
    with open(path, "wb") as stream:
        stream.write(edit(text).encode(encoding))
    return digits


def write_mortara(
    path,
    signal: np.ndarray,
    rate: float = 500,
    leads: Sequence[str] = TWELVE_LEADS,
    *,
    units_per_mv: float = 400,
    attributes: Mapping[str, object] | None = None,
    before: str = "",
    edit: Callable[[str], str] = no_edit,
) -> np.ndarray:
    """Write XML of a Mortara device and return the counts in it; ``signal`` is in mV.

    ``attributes`` are added to each CHANNEL or replace those there.
    """
    counts = np.rint(np.asarray(signal) * units_per_mv).astype("<i2")

    def element(tag: str, values: Mapping[str, object], inner: str = "") -> str:
        text = " ".join(f"{key}={quoteattr(str(value))}" for key, value in values.items())
        return f"<{tag} {text}>{inner}</{tag}>\n"

    sampling = {"BITS": 16, "FORMAT": "SIGNED", "UNITS_PER_MV": f"{units_per_mv:g}"}
    sampling |= {"SAMPLE_FREQ": f"{rate:g}", "ENCODING": "BASE64"}
    channels = "".join(
        element(
            "CHANNEL",
            {"OFFSET": 0, **sampling, "DURATION": len(row), "NAME": lead}
            | {"DATA": base64.b64encode(row.tobytes()).decode()}
            | dict(attributes or {}),
        )
        for lead, row in zip(leads, counts, strict=True)
    )
    median = element(
        "TYPICAL_CYCLE_CHANNEL",
        {"NAME": "I", "DATA": base64.b64encode(counts[0, :8].tobytes()).decode()},
    )
    cycle = {"PR_DURATION": 158, "QRS_DURATION": 92, "QT": 402, "QTC": 436, "QRS_AXIS": 41}
    statement = element("STATEMENT", {"TEXT": "Sinus rhythm", "REASON": "rate 71"})
    inner = (
        element("SOURCE", {"MANUFACTURER": "Mortara", "MODEL": "ELI 250", "TYPE": "STD-12"})
        + element("SUBJECT", {"LAST_NAME": "Doe", "ID": "4711", "GENDER": "Female"})
        + element("AUTOMATIC_INTERPRETATION", {}, statement)
        + element("TYPICAL_CYCLE", {**sampling, **cycle}, median)
        + channels
    )
    head = {"ACQUISITION_TIME": "20230401101112", "AGE": 63, "AGE_UNITS": "YEARS"}
    head |= {"VENT_RATE": 71, "AVERAGE_RR": 845}
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{before}{element("ECG", head, inner)}'
    with open(path, "wb") as stream:
        stream.write(edit(text).encode())
    return counts


def write_philips(
    path,
    signal: np.ndarray,
    rate: float = 500,
    leads: Sequence[str] = TWELVE_LEADS,
    *,
    resolution: float = 5,
    version: str = "1.04.01",
    form: str = "Base64",
    waveform: Mapping[str, object] | None = None,
    before: str = "",
    encoding: str = "utf-16",
    edit: Callable[[str], str] = no_edit,
) -> np.ndarray:
    """Write Philips XML and return the counts in it; ``signal`` is in mV.

    ``form`` is Base64, Plain or XLI. ``waveform`` are attributes of parsedwaveforms that are added
    or, with the value None, taken away. Version 1.03 has no names of leads.
    """
    counts = np.rint(np.asarray(signal) / (resolution * 1e-3)).astype(int)
    old = version == "1.03"
    payload = xli_encode(counts, leads) if form == "XLI" else counts.astype("<i2").tobytes()
    values: dict[str, object] = {
        "dataencoding": "Plain" if form == "Plain" else "Base64",
        "durationperchannel": f"{1000 * len(counts[0]) / rate:g}",
    }
    if old:
        values |= {"compressflag": form == "XLI", "nbitspersample": 16}
        values |= {"compressmethod": "XLI"} if form == "XLI" else {}
    else:
        values |= {"compression": "XLI"} if form == "XLI" else {}
        values |= {"numberofleads": len(leads), "leadlabels": " ".join(leads)}
        values |= {"samplespersecond": f"{rate:g}", "resolution": f"{resolution:g}"}
        values |= {"signaloffset": 0, "signalsigned": "True", "bitspersample": 16}
    values |= dict(waveform or {})
    texts = {key: str(value) for key, value in values.items() if value is not None}
    attributes = " ".join(f"{key}={quoteattr(text)}" for key, text in texts.items())
    data = " ".join(map(str, counts.ravel())) if form == "Plain" else _lines(payload)
    text = f"""<?xml version="1.0" encoding="{encoding}"?>
{before}<restingecgdata xmlns="http://www3.medical.philips.com" status="Confirmed">
<documentinfo><documenttype>{"SierraECG" if old else "PhilipsECG"}</documenttype>
<documentversion>{version}</documentversion></documentinfo>
<dataacquisition date="2023-04-01" time="10:11:12">
<machine detaildescription="Philips Medical Products:860315:A.07">PageWriter TC</machine>
<signalcharacteristics><samplingrate>{rate:g}</samplingrate>
<{"signal" * old}resolution>{resolution:g}</{"signal" * old}resolution>
<acquisitiontype>STD-12</acquisitiontype><bitspersample>16</bitspersample>
<signaloffset>0</signaloffset><signalsigned>True</signalsigned>
<numberchannelsallocated>{len(leads)}</numberchannelsallocated></signalcharacteristics>
</dataacquisition>
<patient><generalpatientdata><patientid>4711</patientid><name><lastname>Doe</lastname></name>
<age><years>63</years></age><sex>Female</sex></generalpatientdata></patient>
<interpretations><interpretation><globalmeasurements><heartrate>71</heartrate>
<print>158</print><qtcb>436</qtcb><pfrontaxis>Failed</pfrontaxis></globalmeasurements>
<severity code="NM">- NORMAL ECG -</severity>
<statement><leftstatement>Sinus rhythm</leftstatement>
<rightstatement>V-rate 50-99</rightstatement></statement></interpretation></interpretations>
<waveforms><parsedwaveforms {attributes}>{data}</parsedwaveforms></waveforms></restingecgdata>
"""
    with open(path, "wb") as stream:
        stream.write(edit(text).encode(encoding))
    return counts


def xli_encode(counts: np.ndarray, leads: Sequence[str] = TWELVE_LEADS) -> bytes:
    """Return leads as XLI: an 8-byte header for each, then the LZW of its second differences.

    III, aVR, aVL and aVF are replaced by what differs from Einthoven's and Goldberger's equations.
    """
    rows = np.asarray(counts, dtype=int).copy()
    if tuple(leads[:6]) == TWELVE_LEADS[:6]:
        one, two, three = rows[:3].copy()
        rows[2] = two - one - three
        rows[3] = -rows[3] - (one + two) // 2
        rows[4] = (one - three) // 2 - rows[4]
        rows[5] = (two + three) // 2 - rows[5]
    chunks = []
    for row in rows:
        bends = 2 * row[1:-1] - row[:-2] - row[2:]
        deltas = np.concatenate([row[:2], 64 + bends[1:], [64]]).astype("<i2").view(np.uint8)
        packed = _lzw(bytes(deltas[1::2]) + bytes(deltas[::2]))
        head = len(packed).to_bytes(4, "little") + bytes(2)
        chunks.append(head + int(bends[0]).to_bytes(2, "little", signed=True) + packed)
    return b"".join(chunks)


def _lzw(data: bytes) -> bytes:
    """Return codes of ten bits for words that are learned until there are 1,023."""
    codes = {bytes([value]): value for value in range(256)}
    word, bits = b"", []
    for value in data:
        longer = word + bytes([value])
        if longer in codes:
            word = longer
            continue
        bits.append(f"{codes[word]:010b}")
        if len(codes) < 1023:
            codes[longer] = len(codes)
        word = bytes([value])
    text = "".join([*bits, f"{codes[word]:010b}"])
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")
