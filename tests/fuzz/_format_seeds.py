"""A small recording of 12 leads in each format that ecgsk reads, byte by byte."""

import base64
import binascii
import importlib.util
import io
import struct
import zipfile
import zlib
from functools import lru_cache

import numpy as np

from ._case import generator

LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
N_SAMPLES = 200
RATE = 100
MICROVOLTS = 5  # of a count

XML = ("muse", "philips", "philips_xli", "aecg", "mortara")
_EXTRA = ("ecgdatakit", "pydicom", "h5py")
SUFFIXES = {
    **dict.fromkeys(XML, "xml"), "scp": "scp", "edf": "edf", "dicom": "dcm", "npy": "npy",
    "npz": "npz", "csv": "csv", "hdf5": "h5",
}  # fmt: skip


@lru_cache
def counts(name: str = "format") -> np.ndarray:
    """Return a recording of 12 leads, in which the limb leads follow from I and II."""
    signal = generator(name).normal(0, 40, (12, N_SAMPLES)).round().astype(int) * 2
    first, second = signal[:2]
    signal[2:6] = second - first, -(first + second) // 2, first - second // 2, second - first // 2
    return signal.astype("<i2")


def millivolts() -> np.ndarray:
    """Return the recording of all files, mV."""
    return (counts() * (MICROVOLTS / 1000)).astype(np.float32)


def _text64(samples: np.ndarray) -> str:
    return base64.b64encode(samples.astype("<i2").tobytes()).decode()


def muse() -> bytes:
    """Return a MUSE file of the eight leads that these contain, with checksums."""
    leads = "".join(
        f"<LeadData><LeadByteCountTotal>{2 * N_SAMPLES}</LeadByteCountTotal>"
        f"<LeadTimeOffset>0</LeadTimeOffset><LeadSampleCountTotal>{N_SAMPLES}"
        f"</LeadSampleCountTotal><LeadAmplitudeUnitsPerBit>{MICROVOLTS}"
        "</LeadAmplitudeUnitsPerBit><LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits>"
        f"<LeadID>{LEADS[row]}</LeadID><LeadSampleSize>2</LeadSampleSize>"
        f"<LeadDataCRC32>{zlib.crc32(counts()[row].tobytes())}</LeadDataCRC32>"
        f"<WaveFormData>{_text64(counts()[row])}</WaveFormData></LeadData>\n"
        for row in (0, 1, 6, 7, 8, 9, 10, 11)
    )
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<RestingECG><MuseInfo><MuseVersion>9.0'
        "</MuseVersion></MuseInfo><PatientDemographics><PatientID>12</PatientID><PatientAge>63"
        "</PatientAge><AgeUnits>YEARS</AgeUnits><Gender>MALE</Gender></PatientDemographics>"
        "<TestDemographics><AcquisitionDevice>MAC55</AcquisitionDevice></TestDemographics>"
        "<Diagnosis><DiagnosisStatement><StmtFlag>ENDSLINE</StmtFlag><StmtText>Sinus rhythm"
        "</StmtText></DiagnosisStatement></Diagnosis><Waveform><WaveformType>Rhythm"
        f"</WaveformType><SampleBase>{RATE}</SampleBase><SampleExponent>0</SampleExponent>"
        f"<NumberofLeads>8</NumberofLeads>{leads}</Waveform></RestingECG>\n"
    ).encode()


def philips_file(data: str, compression: str) -> bytes:
    """Return a Philips file with the text of its samples."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<restingecgdata><documentinfo><documenttype>'
        "SierraECG</documenttype><documentversion>1.04</documentversion></documentinfo><patient>"
        "<generalpatientdata><patientid>12</patientid><age><years>63</years></age><sex>Male</sex>"
        "</generalpatientdata></patient><dataacquisition><signalcharacteristics><samplingrate>"
        f"{RATE}</samplingrate><resolution>{MICROVOLTS}</resolution><numberchannelsallocated>12"
        "</numberchannelsallocated><acquisitiontype>STD-12</acquisitiontype>"
        "</signalcharacteristics></dataacquisition><waveforms><parsedwaveforms "
        f'{compression} dataencoding="Base64" durationperchannel="{N_SAMPLES * 1000 // RATE}" '
        f'numberofleads="12" leadlabels="{" ".join(LEADS)}">{data}</parsedwaveforms></waveforms>'
        "</restingecgdata>\n"
    ).encode()


def philips() -> bytes:
    """Return a Philips file without compression."""
    return philips_file(_text64(counts()), 'compressflag="False"')


def philips_xli() -> bytes:
    """Return a Philips file as devices write it: limb leads as residuals, all compressed."""
    signal = counts().astype(int)
    signal[2] = 0
    first, second = signal[:2]
    third = second - first
    signal[3] = -(first + second) // 2 - counts()[3]
    signal[4] = (first - third) // 2 - counts()[4]
    signal[5] = (second + third) // 2 - counts()[5]
    data = b"".join(map(xli_chunk, signal))
    return philips_file(base64.b64encode(data).decode(), 'compressflag="True" compression="XLI"')


def xli_chunk(signal: np.ndarray) -> bytes:
    """Return a lead as second differences behind a code that repeats no bytes."""
    steps = 2 * signal[1:-1] - signal[:-2] - signal[2:]
    deltas = np.concatenate([signal[:2], steps[1:] + 64, [64]]).astype(">i2")
    halves = deltas.view(np.uint8).reshape(-1, 2).T.tobytes()
    bits = "".join(f"{byte:010b}" for byte in halves)
    bits += "0" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return struct.pack("<ihh", len(packed), 0, int(steps[0])) + packed


def aecg() -> bytes:
    """Return an HL7 aECG file."""
    time = (
        '<component><sequence><code code="TIME_ABSOLUTE"/><value xsi:type="GLIST_TS">'
        f'<head value="20200101120000"/><increment value="{1 / RATE}" unit="s"/></value>'
        "</sequence></component>"
    )
    leads = "".join(
        f'<component><sequence><code code="MDC_ECG_LEAD_{lead}"/><value xsi:type="SLIST_PQ">'
        f'<origin value="0" unit="uV"/><scale value="{MICROVOLTS}" unit="uV"/><digits>'
        f"{' '.join(map(str, row))}</digits></value></sequence></component>\n"
        for lead, row in zip(LEADS, counts().tolist(), strict=True)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><id root="1.2.3"/><component>'
        '<series><code code="RHYTHM"/><component><sequenceSet>'
        f"{time}{leads}</sequenceSet></component></series></component></AnnotatedECG>\n"
    ).encode()


def mortara() -> bytes:
    """Return a Mortara file."""
    channels = "".join(
        f'<CHANNEL NAME="{lead}" BITS="16" FORMAT="SIGNED" UNITS_PER_MV="{1000 // MICROVOLTS}" '
        f'DURATION="{N_SAMPLES}" SAMPLE_FREQ="{RATE}" ENCODING="BASE64" DATA="{_text64(row)}"/>\n'
        for lead, row in zip(LEADS, counts(), strict=True)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ECG ACQUISITION_TIME="20200101120000" AGE="63" '
        f'AGE_UNITS="years"><SUBJECT ID="12" GENDER="Male"/><SOURCE MANUFACTURER="Mortara"/>'
        f"{channels}</ECG>\n"
    ).encode()


_SCP_LEADS = [1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8]


def scp() -> bytes:
    """Return an SCP-ECG file without compression, with checksums."""
    leads = struct.pack("<BB", 12, 0x4 | 12 << 3)
    leads += b"".join(struct.pack("<IIB", 1, N_SAMPLES, code) for code in _SCP_LEADS)
    data = struct.pack("<HHBB", MICROVOLTS * 1000, 10**6 // RATE, 0, 0)
    data += struct.pack("<12H", *[2 * N_SAMPLES] * 12) + counts().tobytes()
    patient = struct.pack("<BH3sB2s", 2, 3, b"12\0", 255, b"\0\0")
    return scp_file({1: patient, 3: leads, 6: data})


def scp_file(bodies: dict[int, bytes]) -> bytes:
    """Return an SCP-ECG file of sections, with checksums that are right."""
    bodies = {number: body + bytes(len(body) % 2) for number, body in bodies.items()}
    place = 7 + 16 + 10 * 12
    pointers, sections = [struct.pack("<HII", 0, 16 + 10 * 12, 7)], b""
    for number in range(1, 12):
        body = bodies.get(number)
        size = 16 + len(body) if body is not None else 0
        pointers.append(struct.pack("<HII", number, size, place + len(sections) if size else 0))
        if body is not None:
            sections += _scp_section(number, body)
    content = _scp_section(0, b"".join(pointers)) + sections
    content = struct.pack("<I", 6 + len(content)) + content
    return struct.pack("<H", binascii.crc_hqx(content, 0xFFFF)) + content


def _scp_section(number: int, body: bytes) -> bytes:
    reserved = b"SCPECG" if number == 0 else bytes(6)
    content = struct.pack("<HIBB", number, 16 + len(body), 13, 13) + reserved + body
    return struct.pack("<H", binascii.crc_hqx(content, 0xFFFF)) + content


def edf() -> bytes:
    """Return an EDF file of two records, one second each."""
    seconds = N_SAMPLES // RATE
    limit = 32767 * MICROVOLTS
    columns = [
        [(lead, 16) for lead in LEADS], [("", 80)] * 12, [("uV", 8)] * 12, [(-limit, 8)] * 12,
        [(limit, 8)] * 12, [(-32767, 8)] * 12, [(32767, 8)] * 12, [("", 80)] * 12,
        [(RATE, 8)] * 12, [("", 32)] * 12,
    ]  # fmt: skip
    start = [("0", 8), ("12", 80), ("", 80), ("01.01.20", 8), ("12.00.00", 8), (256 * 13, 8),
             ("", 44), (seconds, 8), (1, 8), (12, 4)]  # fmt: skip
    header = "".join(str(text).ljust(width) for part in [start, *columns] for text, width in part)
    return header.encode() + counts().reshape(12, seconds, RATE).swapaxes(0, 1).tobytes()


def dicom() -> bytes:
    """Return a DICOM file, by pydicom."""
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage

    def code(value, scheme, meaning):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        return Sequence([item])

    channels = []
    for number, lead in zip(_SCP_LEADS, LEADS, strict=True):
        channel = Dataset()
        channel.ChannelSourceSequence = code(f"5.6.3-9-{number}", "SCPECG", f"Lead {lead}")
        channel.ChannelSensitivity = str(MICROVOLTS)
        channel.ChannelSensitivityUnitsSequence = code("uV", "UCUM", "microvolt")
        channel.ChannelSensitivityCorrectionFactor = "1"
        channel.ChannelBaseline = "0"
        channel.WaveformBitsStored = 16
        channels.append(channel)
    group = Dataset()
    group.MultiplexGroupLabel = "RHYTHM"
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformChannels = 12
    group.NumberOfWaveformSamples = N_SAMPLES
    group.SamplingFrequency = str(RATE)
    group.ChannelDefinitionSequence = Sequence(channels)
    group.WaveformBitsAllocated = 16
    group.WaveformSampleInterpretation = "SS"
    group.add_new(0x54001010, "OW", counts().T.tobytes())
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = TwelveLeadECGWaveformStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    file.SOPClassUID, file.SOPInstanceUID = TwelveLeadECGWaveformStorage, "1.2.3"
    file.PatientID, file.PatientAge, file.PatientSex, file.Modality = "12", "063Y", "M", "ECG"
    file.WaveformSequence = Sequence([group])
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def npy() -> bytes:
    """Return the recording as an array, mV."""
    buffer = io.BytesIO()
    np.save(buffer, millivolts())
    return buffer.getvalue()


def npz(compression: int = zipfile.ZIP_DEFLATED, **arrays: bytes) -> bytes:
    """Return an archive of arrays; of the recording alone where no other is given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in (arrays or {"ecg": npy()}).items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def csv() -> bytes:
    """Return the recording as a table with the names of its leads, mV."""
    rows = "".join(",".join(f"{x:.3f}" for x in row) + "\n" for row in millivolts().T.tolist())
    return (",".join(LEADS) + "\n" + rows).encode()


def hdf5(**options) -> bytes:
    """Return three recordings as CODE-15 has them, by h5py."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        tracings = np.zeros((3, N_SAMPLES, 12), np.float32) + millivolts().T
        file.create_dataset("tracings", data=tracings, **options)
        file.create_dataset("exam_id", data=np.arange(3))
    return buffer.getvalue()


@lru_cache
def originals() -> dict[str, bytes]:
    """Return a file of each format that can be read with the packages that are installed."""
    if any(importlib.util.find_spec(package) is None for package in _EXTRA):
        return {name: globals()[name]() for name in ("npy", "npz", "csv")}
    return {name: globals()[name]() for name in SUFFIXES}
