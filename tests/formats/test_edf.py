"""European Data Format."""

from datetime import datetime

import numpy as np
import pytest

from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._formats.edf import EDF
from ecgsk._formats.registry import find_format
from ecgsk._formats.stored import ReadOptions
from tests._dicom_edf_files import write_edf

pyedflib = pytest.importorskip("pyedflib", reason="pyedflib is not installed")

HEADER = 256 * 13  # of twelve signals, without annotations
FIELDS = {  # where the fields of the file, or of the first of twelve signals, begin
    "patient": (8, 80),
    "recording": (88, 80),
    "date": (168, 8),
    "time": (176, 8),
    "n_bytes": (184, 8),
    "kind": (192, 44),
    "n_records": (236, 8),
    "seconds": (244, 8),
    "n_signals": (252, 4),
    "label": (256, 16),
    "unit": (256 + 12 * 96, 8),
    "physical_min": (256 + 12 * 104, 8),
    "physical_max": (256 + 12 * 112, 8),
    "digital_min": (256 + 12 * 120, 8),
    "digital_max": (256 + 12 * 128, 8),
    "n_samples": (256 + 12 * 216, 8),
}


def make_signal(n_leads=12, n_samples=1000):
    return np.random.default_rng(0).normal(0, 0.4, (n_leads, n_samples))


def set_fields(**values):
    """Return a function that changes fields of a file of EDF, without the plus."""

    def edit(content):
        for name, value in values.items():
            start, width = FIELDS[name]
            raw = value if isinstance(value, bytes) else value.encode("latin-1")
            content[start : start + width] = raw.ljust(width)

    return edit


def decode(path, **options):
    return EDF().decode_file(str(path), ReadOptions(**options))


def reason(path, **options):
    with pytest.raises(RecordError) as info:
        decode(path, **options)
    return info.value.reason


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.edf"


@pytest.mark.parametrize("plus", [True, False])
@pytest.mark.parametrize(
    ("unit", "physical", "digital"),
    [
        ("uV", (-10_000.0, 10_000.0), (-32768, 32767)),
        ("mV", (-5.0, 5.0), (-2048, 2047)),
        ("mV", (5.0, -5.0), (-32767, 32767)),
        ("V", (-0.01, 0.02), (-32768, 32767)),
        ("nV", (-9e6, 9e6), (-32768, 32767)),
    ],
)
def test_counts_come_back(path, plus, unit, physical, digital):
    signal = make_signal()
    counts = write_edf(path, signal, plus=plus, unit=unit, physical=physical, digital=digital)
    assert isinstance(find_format(str(path)), EDF)
    ecg, decoded = decode(path)
    assert (ecg.leads, ecg.sampling_rate, ecg.n_samples) == (STANDARD_LEADS, 500.0, 1000)
    per_unit = {"uV": 1e-3, "mV": 1.0, "V": 1e3, "nV": 1e-6}[unit]
    step = (physical[1] - physical[0]) / (digital[1] - digital[0])
    expected = ((counts - digital[0]) * step + physical[0]) * per_unit
    np.testing.assert_allclose(decoded, expected, atol=abs(step * per_unit) * 1e-3)
    np.testing.assert_allclose(decoded, signal, atol=abs(step * per_unit))
    assert ecg.resolutions == pytest.approx([abs(step * per_unit)] * 12)
    with pyedflib.EdfReader(str(path)) as reader:
        np.testing.assert_allclose(decoded[3], reader.readSignal(3) * per_unit, atol=1e-6)


@pytest.mark.parametrize("form", ["ECG {}", "EKG {}", "Lead {}", "ecg {}", "ECG_{}"])
def test_names_of_leads(path, form):
    write_edf(path, make_signal(), leads=[form.format(lead) for lead in STANDARD_LEADS])
    assert decode(path)[0].leads == STANDARD_LEADS


def test_other_signals_are_left_out(path):
    signal = make_signal(16)
    leads = ("EEG C3-A2", *STANDARD_LEADS[:6], "Resp", *STANDARD_LEADS[6:], "SpO2", "EMG")
    rates = [250.0 if lead in ("EEG C3-A2", "Resp") else 500.0 for lead in leads]
    write_edf(path, signal, leads=leads, rates=rates, annotations=[(0.5, -1, "Start")])
    ecg, decoded = decode(path)
    assert ecg.leads == STANDARD_LEADS
    np.testing.assert_allclose(decoded[[0, 6]], signal[[1, 8]], atol=0.001)
    assert decode(path, wanted=("EMG",))[0].leads == ("EMG",)


def test_leads_of_different_rates(path):
    rates = [500.0] * 6 + [250.0] * 6
    write_edf(path, make_signal(), rates=rates)
    text = "different sampling rates: 500 Hz (I, II, III, aVR, aVL, aVF); 250 Hz (V1, V2,"
    assert text in reason(path)
    assert decode(path, wanted=("V1", "V2"))[1].shape == (2, 500)


def test_derived_leads(path):
    signal = make_signal(8)
    leads = ("V6", "V5", "V4", "V3", "V2", "V1", "II", "I")
    write_edf(path, signal, leads=leads)
    ecg, decoded = decode(path)
    assert ecg.leads == leads
    np.testing.assert_allclose(decoded, signal, atol=0.001)
    write_edf(path, signal, leads=("X", *leads[1:]))
    assert "leads V6 are missing; the recording has X, V5" in reason(path)


@pytest.mark.parametrize(
    ("n_samples", "seconds", "expected"),
    [
        ("500", "1", 500.0),
        ("5", "0.033333", 150.0),  # the text of 1 / 30 is cut
        ("1001", "2", 500.5),
        ("500", "0.999", 500 / 0.999),
        ("256", "0.512", 500.0),
    ],
)
def test_sampling_rates(path, n_samples, seconds, expected):
    def edit(content):
        start, width = FIELDS["n_samples"]
        content[start : start + 12 * width] = n_samples.encode().ljust(8) * 12
        set_fields(seconds=seconds, n_records="2")(content)
        del content[HEADER + 2 * 2 * 12 * int(n_samples) :]

    write_edf(path, make_signal(n_samples=2500), plus=False, record_seconds=5, edit=edit)
    ecg, _ = decode(path)
    assert ecg.sampling_rate == pytest.approx(expected, rel=1e-12)
    assert ecg.n_samples == 2 * int(n_samples)


def test_statements(path):
    write_edf(path, make_signal())
    stated = decode(path)[0].states
    assert (stated.patient, stated.age_text, stated.sex_text) == ("P-17", "63Y", "F")
    assert (stated.date, stated.device) == (datetime(2013, 5, 25, 10, 59, 19), "Model 1")
    assert stated.comments == {"prefilter": "HP:0.05Hz LP:150Hz"}
    assert "Secret" not in repr(stated)


def test_statements_that_are_hidden(path):
    header = {"patientcode": "", "sex": "", "birthdate": "", "equipment": ""}
    write_edf(path, make_signal(), header=header)
    stated = decode(path)[0].states
    assert (stated.patient, stated.age_text, stated.sex_text, stated.device) == (None,) * 4


@pytest.mark.parametrize(
    ("patient", "expected"),
    [
        ("Secret Name", (None, None, None)),
        ("Secret", (None, None, None)),
        ("Secret M 02-JAN-1950 Secret", (None, "63Y", "M")),
        ("17 F 02-jan-1950 Secret_Name", ("17", "63Y", "F")),
        ("17 F 02-JAN-2050 Secret", ("17", None, "F")),
        ("17 X X X", ("17", None, None)),
        ("", (None, None, None)),
    ],
)
def test_patients_of_files_without_the_plus(path, patient, expected):
    edit = set_fields(patient=patient, date="25.05.13")
    write_edf(path, make_signal(), plus=False, edit=edit)
    stated = decode(path)[0].states
    assert (stated.patient, stated.age_text, stated.sex_text) == expected
    assert "Secret" not in repr(stated)


@pytest.mark.parametrize(
    ("day", "time", "expected"),
    [
        ("25.05.13", "10.59.19", datetime(2013, 5, 25, 10, 59, 19)),
        ("25.05.85", "10.59.19", datetime(1985, 5, 25, 10, 59, 19)),
        ("25.05.13", "", datetime(2013, 5, 25)),
        ("01.01.85", "00.00.00", None),
        ("31.02.13", "10.59.19", None),
        ("25/05/13", "10.59.19", None),
    ],
)
def test_dates(path, day, time, expected):
    edit = set_fields(date=day, time=time)
    write_edf(path, make_signal(), plus=False, edit=edit)
    assert decode(path)[0].states.date == expected


def test_a_hidden_date_of_the_plus(path):
    def edit(content):
        set_fields(recording="Startdate X X X X")(content)

    write_edf(path, make_signal(), edit=edit)
    stated = decode(path)[0].states
    assert (stated.date, stated.age_text) == (None, None)


def test_a_file_that_the_device_did_not_close(path):
    def edit(content):
        set_fields(n_records="-1")(content)
        content += bytes(100)

    signal = make_signal()
    write_edf(path, signal, plus=False, edit=edit)
    ecg, decoded = decode(path)
    np.testing.assert_allclose(decoded, signal, atol=0.001)
    assert ecg.doubts == ("the device did not close the file, so that its end may be missing",)
    write_edf(path, signal)
    assert decode(path)[0].doubts == ()


def discontinuous(kind, shift):
    """Return a function that changes the kind and the times of the data records from the third."""

    def edit(content):
        set_fields(kind=kind)(content)
        for record in range(2, 10):
            place = content.index(f"+{record * 0.2:.7f}\x14\x14".encode())
            content[place : place + 10] = f"+{record * 0.2 + shift:.7f}".encode()

    return edit


@pytest.mark.parametrize(
    ("kind", "shift", "expected"),
    [
        ("EDF+D", 1.5, "it is discontinuous: of 1 gaps, the first is at 0.4 s"),
        ("EDF+C", 1.5, "it is discontinuous: of 1 gaps, the first is at 0.4 s"),
        ("EDF+D", -0.1, "it is discontinuous"),
        ("EDF+D", 0.0, None),
        ("EDF+C", 0.0, None),
    ],
)
def test_discontinuous_recordings(path, kind, shift, expected):
    write_edf(path, make_signal(), record_seconds=0.2, edit=discontinuous(kind, shift))
    if expected is None:
        assert decode(path)[0].n_samples == 1000
    else:
        assert expected in reason(path)


def test_a_discontinuous_recording_without_times(path):
    write_edf(path, make_signal(), plus=False, edit=set_fields(kind="EDF+D"))
    assert "not all data records state a time" in reason(path)


def test_more_data_records_than_are_read(path, monkeypatch):
    monkeypatch.setattr("ecgsk._formats.edf._MOST_RECORDS", 9)
    write_edf(path, make_signal(), record_seconds=0.2)
    assert reason(path) == "it has 10 data records; at most 9 are read"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"n_records": "2"}, "24000 bytes of samples; 2 data records of 24000 bytes are 48000"),
        ({"n_records": "99999999"}, "24000 bytes of samples; 99999999 data records"),
        ({"n_records": "0"}, "24000 bytes of samples; 0 data records"),
        ({"n_records": "-2"}, "states -2 data records"),
        ({"n_records": "x"}, "number of data records is 'x', which is not a number"),
        ({"n_records": "1.5"}, "number of data records is '1.5', which is not an integer"),
        ({"seconds": "0"}, "1 data records of 0 s"),
        ({"seconds": "nan"}, "duration of a data record is 'nan', which is not a number"),
        ({"seconds": "1e-8"}, "sampling rate is 1e+11 Hz"),
        ({"seconds": "1e-308"}, "1 data records of 1e-308 s"),
        ({"physical_max": "1e308"}, "an ECG cannot have these"),
        ({"seconds": "1E8"}, "sampling rate is 1e-05 Hz"),
        ({"n_bytes": "256"}, "header of 256 bytes cannot describe 12 signals"),
        ({"n_signals": "0"}, "cannot describe 0 signals"),
        ({"n_signals": "-1"}, "cannot describe -1 signals"),
        ({"n_signals": "9999", "n_bytes": "2560000"}, "cannot describe 9999 signals"),
        ({"n_signals": "999", "n_bytes": "256000"}, "it is cut off"),
        ({"n_samples": "0"}, "states 0 samples of a signal in a data record"),
        ({"n_samples": "99999999"}, "1 data records of 200021998 bytes"),
        ({"n_samples": "1e300"}, "bytes of samples"),
        ({"unit": ""}, "unit '' is not allowed"),
        ({"unit": "mmHg"}, "unit 'mmHg' is not allowed"),
        ({"unit": "\xb5V"}, None),
        ({"unit": "µV".encode()}, None),
        ({"physical_min": "10000"}, "amplitude is unknown"),
        ({"physical_max": "x"}, "physical limit of I is 'x'"),
        ({"physical_max": "1e300"}, "an ECG cannot have these"),
        ({"physical_max": "1e400"}, "physical limit of I is '1e400', which is not a number"),
        ({"digital_max": "-32768"}, "amplitude is unknown"),
        ({"digital_max": "99999"}, "amplitude is unknown"),
        ({"label": "ECG II"}, "leads I are missing"),
        ({"label": "V1"}, "leads I are missing"),
        ({"patient": bytes(80)}, None),
        ({"patient": b"\xff" * 80}, None),
    ],
)
def test_contradictions_and_omissions(path, fields, expected):
    write_edf(path, make_signal(), plus=False, record_seconds=2, edit=set_fields(**fields))
    if expected is None:
        decode(path)
    else:
        assert expected in reason(path)


def test_leads_that_occur_twice(path):
    write_edf(path, make_signal(13), leads=("ECG I", *STANDARD_LEADS))
    assert "leads I stand more than once" in reason(path)


def test_files_that_are_cut_off(path):
    write_edf(path, make_signal())
    content = path.read_bytes()
    for size in (0, 100, 255, 256, 300, HEADER, len(content) - 1):
        path.write_bytes(content[:size])
        assert "cut off" in reason(path) or "bytes of samples" in reason(path)
    path.write_bytes(content + b"\r")
    assert "bytes of samples" in reason(path)


def test_bdf(path):
    path.write_bytes(b"\xffBIOSEMI" + b" " * 600)
    assert isinstance(find_format(str(path)), EDF)
    assert reason(path) == "it is BDF, of 24 bits, which is not read: convert it to EDF"


def test_damaged_files(path):
    write_edf(path, make_signal(n_samples=100))
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(content)
        for place in rng.integers(8, HEADER + 256, 8):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            decode(path)
        except RecordError as error:
            assert error.file == str(path)


def test_reading_after_listing(path):
    signal = make_signal()
    write_edf(path, signal)
    (ecg,) = EDF().scan(str(path), ReadOptions())
    leads = EDF().read(ecg, ("V1", "I"), ReadOptions())
    np.testing.assert_allclose(leads, signal[[6, 0]], atol=0.001)
    write_edf(path, signal[:, :500])
    with pytest.raises(RecordError, match="replaced after it had been listed"):
        EDF().read(ecg, ("V1", "I"), ReadOptions())


def test_no_file(path, tmp_path):
    assert reason(path).startswith("it cannot be opened")
    assert reason(tmp_path) == "it is not a regular file"
