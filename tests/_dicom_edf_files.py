"""Writers of DICOM and EDF files as devices and archives export them, for tests.

They need pydicom and pyedflib.
"""

import warnings
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path

import numpy as np

from ecgsk._core.signal import STANDARD_LEADS

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
TWELVE_LEAD = "1.2.840.10008.5.1.4.1.1.9.1.1"
_NUMBERS = {lead: n for n, lead in enumerate("I II V1 V2 V3 V4 V5 V6".split(), 1)}
_NUMBERS |= {lead: n for n, lead in enumerate("III aVR aVL aVF".split(), 61)}
_DTYPES = {"SB": "i1", "UB": "u1", "SS": "i2", "US": "u2", "SL": "i4", "UL": "u4"}
_PER_MILLIVOLT = {"nV": 1e6, "uV": 1e3, "mV": 1.0, "V": 1e-3}


def dataset(**elements):
    """Return a dataset with elements by keyword; those of None are left out."""
    from pydicom.dataset import Dataset

    made = Dataset()
    for keyword, value in elements.items():
        if value is not None:
            setattr(made, keyword, value)
    return made


def coded(value: str, meaning: str = "", scheme: str = "") -> list:
    """Return a code sequence."""
    return [dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)]


def mdc_source(lead: str) -> list:
    """Return a channel's source by its MDC code, whose meaning need not be understood."""
    return coded(f"2:{_NUMBERS[lead]}", "a lead", "MDC")


def scp_source(lead: str) -> list:
    """Return a channel's source by its code of SCP-ECG."""
    return coded(f"5.6.3-9-{_NUMBERS[lead]}", f"Lead {lead}", "SCPECG")


def named_source(name: str) -> list:
    """Return a channel's source by a device's own code and a name."""
    return coded("x-1", name, "99VENDOR")


def annotation(name: str, value: float, unit: str, code: str = "", channels=(1, 0)):
    """Return a measurement of a Waveform Annotation Sequence."""
    return dataset(
        ConceptNameCodeSequence=coded(code, name, "MDC"),
        NumericValue=value,
        MeasurementUnitsCodeSequence=coded(unit, "", "UCUM"),
        ReferencedWaveformChannels=list(channels),
    )


def multiplex_group(
    signal_mv: np.ndarray,
    rate: float,
    leads: Sequence[str] = STANDARD_LEADS,
    *,
    label: str | None = "RHYTHM",
    originality: str = "ORIGINAL",
    unit: str = "uV",
    unit_code: list | None = None,
    sensitivity: float = 4.88,
    correction: float | None = 1.0,
    baseline: float = 0.0,
    interpretation: str = "SS",
    source: Callable[[str], list] | None = mdc_source,
    padding: int | None = None,
    start: float | None = None,
    big_endian: bool = False,
    channel: dict | None = None,
):
    """Return an item of a Waveform Sequence; samples that are NaN become the padding value.

    ``sensitivity`` is a count in ``unit``, which ``unit_code`` describes in other words.
    ``channel`` contains more elements of each channel.
    """
    dtype = np.dtype(_DTYPES[interpretation])
    step = sensitivity * (1.0 if correction is None else correction)
    counts = np.rint((np.asarray(signal_mv) * _PER_MILLIVOLT[unit] - baseline) / step)
    counts = np.where(np.isnan(counts), padding or 0, counts)
    limits = np.iinfo(dtype)
    assert counts.min() >= limits.min and counts.max() <= limits.max, "the counts do not fit"
    stored = dtype.newbyteorder(">" if big_endian else "<")
    definitions = [
        dataset(
            ChannelSourceSequence=source(lead) if source else None,
            ChannelLabel=None if source else lead,
            ChannelSensitivity=sensitivity,
            ChannelSensitivityUnitsSequence=unit_code or coded(unit, "", "UCUM"),
            ChannelSensitivityCorrectionFactor=correction,
            ChannelBaseline=baseline,
            ChannelSampleSkew="0",
            WaveformBitsStored=8 * dtype.itemsize,
            **(channel or {}),
        )
        for lead in leads
    ]
    payload = counts.T.astype(stored).tobytes()
    return dataset(
        MultiplexGroupTimeOffset=start,
        WaveformOriginality=originality,
        NumberOfWaveformChannels=len(leads),
        NumberOfWaveformSamples=counts.shape[1],
        SamplingFrequency=rate,
        MultiplexGroupLabel=label,
        ChannelDefinitionSequence=definitions,
        WaveformBitsAllocated=8 * dtype.itemsize,
        WaveformSampleInterpretation=interpretation,
        WaveformPaddingValue=None if padding is None else np.array(padding, stored).tobytes(),
        WaveformData=payload + b"\0" * (len(payload) % 2),
    )


def write_dicom(
    path,
    signal_mv: np.ndarray | None,
    rate: float = 500.0,
    leads: Sequence[str] = STANDARD_LEADS,
    *,
    more_groups: Sequence = (),
    transfer_syntax: str = EXPLICIT,
    preamble: bool = True,
    undefined_length: bool = False,
    annotations: Sequence | None = None,
    elements: dict | None = None,
    edit: Callable | None = None,
    **group,
) -> None:
    """Write a 12-lead ECG object of DICOM.

    ``group`` are options of `multiplex_group`; without a signal the file has ``more_groups`` only.
    ``elements`` replace those of the dataset, by keyword, and None leaves one out. ``edit`` changes
    the dataset before it is written.
    """
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, generate_uid

    groups = list(more_groups)
    if signal_mv is not None:
        big = transfer_syntax == BIG_ENDIAN
        groups.insert(0, multiplex_group(signal_mv, rate, leads, big_endian=big, **group))
    about = {
        "SOPClassUID": TWELVE_LEAD,
        "SOPInstanceUID": generate_uid(entropy_srcs=["a test"]),
        "Modality": "ECG",
        "Manufacturer": "A maker",
        "ManufacturerModelName": "Model 1",
        "PatientName": "Secret^Name",
        "PatientID": "P-17",
        "PatientSex": "F",
        "PatientAge": "063Y",
        "PatientBirthDate": "19500102",
        "AcquisitionDateTime": "20130525105919.25+0200",
        "WaveformAnnotationSequence": annotations,
        "WaveformSequence": groups or None,
    }
    made = dataset(**about | (elements or {}))
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    if edit is not None:
        edit(made)
    if undefined_length:
        _set_undefined_length(made)
    if preamble:
        made.save_as(path, enforce_file_format=True)
    else:
        del made.file_meta
        made.save_as(path, implicit_vr=transfer_syntax == IMPLICIT, little_endian=True)


def _set_undefined_length(made) -> None:
    for element in made:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                _set_undefined_length(item)


def write_edf(
    path,
    signal_mv: np.ndarray,
    rate: float = 500.0,
    leads: Sequence[str] = STANDARD_LEADS,
    *,
    plus: bool = True,
    unit: str = "uV",
    digital: tuple[int, int] = (-32768, 32767),
    physical: tuple[float, float] = (-10_000.0, 10_000.0),
    rates: Sequence[float] | None = None,
    record_seconds: float | None = None,
    header: dict | None = None,
    annotations: Sequence[tuple[float, float, str]] = (),
    edit: Callable[[bytearray], None] | None = None,
) -> np.ndarray:
    """Write EDF, or EDF+, and return the counts.

    ``physical`` are the limits in ``unit``. ``rates`` are those of each lead, where they differ:
    of each signal the first samples are written. ``edit`` changes the bytes of the file.
    """
    import pyedflib

    low, high = physical
    step = (high - low) / (digital[1] - digital[0])
    values = np.asarray(signal_mv) * _PER_MILLIVOLT[unit]
    counts = np.rint((values - low) / step + digital[0]).astype(np.int32)
    kind = pyedflib.FILETYPE_EDFPLUS if plus else pyedflib.FILETYPE_EDF
    with warnings.catch_warnings(), pyedflib.EdfWriter(str(path), len(leads), kind) as writer:
        warnings.filterwarnings("ignore", "Forcing a specific record_duration")
        writer.setHeader(
            {
                "patientcode": "P-17",
                "patientname": "Secret Name",
                "sex": "Female",
                "birthdate": date(1950, 1, 2),
                "startdate": datetime(2013, 5, 25, 10, 59, 19),
                "equipment": "Model 1",
                "technician": "",
                "admincode": "",
                "patient_additional": "",
                "recording_additional": "",
            }
            | (header or {})
        )
        writer.setSignalHeaders(
            [
                {
                    "label": lead,
                    "dimension": unit,
                    "sample_frequency": rate if rates is None else rates[i],
                    "physical_min": int(low) if low == int(low) else low,
                    "physical_max": int(high) if high == int(high) else high,
                    "digital_min": digital[0],
                    "digital_max": digital[1],
                    "transducer": "",
                    "prefilter": "HP:0.05Hz LP:150Hz",
                }
                for i, lead in enumerate(leads)
            ]
        )
        if record_seconds is not None:
            writer.setDatarecordDuration(record_seconds)
        rows = [
            np.ascontiguousarray(row[: round(len(row) * (1 if rates is None else rates[i] / rate))])
            for i, row in enumerate(counts)
        ]
        writer.writeSamples(rows, digital=True)
        for onset, seconds, text in annotations:
            writer.writeAnnotation(onset, seconds, text)
    if edit is not None:
        content = bytearray(Path(path).read_bytes())
        edit(content)
        Path(path).write_bytes(content)
    return counts
