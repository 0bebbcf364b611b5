"""Exports of GE MUSE."""

import re
import zlib

import numpy as np
import pytest

from ecgsk import load_ecg
from ecgsk._core.record_error import RecordError
from ecgsk._formats.muse import MuseXML
from ecgsk._formats.registry import find_format
from ecgsk._formats.stored import ReadOptions
from tests._xml_files import EIGHT_LEADS, TWELVE_LEADS, muse_waveform, write_muse

MV = np.random.default_rng(0).normal(0, 0.4, (12, 400))
EIGHT = MV[[0, 1, 6, 7, 8, 9, 10, 11]]


def decode(path, **options):
    return MuseXML().decode_file(str(path), ReadOptions(**options))


def changed(old, new, count=0):
    """Return an edit of a file's text that must find what it replaces."""

    def edit(text):
        assert re.search(old, text)
        return re.sub(old, new, text, count=count)

    return edit


def after(waveform):
    """Return an edit that adds a waveform."""
    return changed("</RestingECG>", waveform + "</RestingECG>")


@pytest.mark.parametrize(
    ("arguments", "millivolts"),
    [
        ({}, 0.00488),
        ({"units_per_bit": "4,88"}, 0.00488),
        ({"units_per_bit": "0.00488", "unit": "MILLIVOLTS"}, 0.00488),
        ({"unit": "Microvolt"}, 0.00488),
        ({"units_per_bit": "1.0", "sample_size": 4}, 0.001),
        ({"sample_size": 1, "units_per_bit": "20"}, 0.02),
        ({"exponent": 2, "rate": 5}, 0.00488),
        ({"declared": "UTF-16", "encoding": "utf-16"}, 0.00488),
        ({"doctype": "", "declared": "utf-8", "encoding": "utf-8-sig"}, 0.00488),
        ({"edit": changed("<(/?)(Lead|Waveform)", r"<\1m:\2")}, None),
        ({"edit": lambda text: re.sub("</?[A-Za-z]+>", lambda m: m[0].upper(), text)}, 0.00488),
        ({"edit": changed(r"<WaveFormData>([^<]*)<", r"<WaveFormData><![CDATA[\1]]><")}, 0.00488),
        ({"edit": changed("<SampleType>.*\n|<LeadSampleCountTotal>.*\n", "")}, 0.00488),
    ],
)
def test_counts_come_back(tmp_path, arguments, millivolts):
    path = tmp_path / "a.xml"
    counts = write_muse(path, EIGHT, **arguments)
    assert isinstance(find_format(str(path)), MuseXML)
    if millivolts is None:
        # A prefix without a namespace is not XML.
        with pytest.raises(RecordError, match="cannot be decoded"):
            decode(path)
        return
    ecg, signal = decode(path)
    assert (ecg.leads, ecg.sampling_rate, ecg.n_samples) == (EIGHT_LEADS, 500.0, 400)
    assert signal.dtype == np.float32
    np.testing.assert_array_equal(np.rint(signal / millivolts), counts)


def test_leads_have_the_names_of_the_file(tmp_path):
    names = ["AVR", "I", "II", "V3R", "V4R", "V7", "III", "V1", "V2", "V3", "V4", "V5"]
    write_muse(tmp_path / "a.xml", MV, leads=names)
    ecg, _ = decode(tmp_path / "a.xml")
    assert ecg.leads == ("aVR", *names[1:])


def test_waveforms_with_other_leads_of_the_same_time_are_one_recording(tmp_path):
    counts = np.arange(800).reshape(2, 400)
    write_muse(tmp_path / "a.xml", EIGHT, edit=after(muse_waveform(counts, 500, ["V3R", "V4R"])))
    ecg, signal = decode(tmp_path / "a.xml")
    assert ecg.leads == (*EIGHT_LEADS, "V3R", "V4R")
    np.testing.assert_array_equal(np.rint(signal[8:] / 0.00488), counts)


def first_wrong(data):
    counts = np.rint(EIGHT[0] / 0.00488).astype("<i2")
    return zlib.crc32(data) ^ (data == counts.tobytes())


@pytest.mark.parametrize(
    ("crc", "verify", "error"),
    [
        (zlib.crc32, True, None),
        (lambda data: zlib.crc32(data) - 2**32, True, None),
        (lambda data: "", True, None),
        (lambda data: 0, True, None),
        (lambda data: "none", True, None),
        (first_wrong, True, r"CRC-32 of lead I\).*verify=False"),
        (first_wrong, False, None),
    ],
)
def test_checksums_are_compared_where_a_file_has_them(tmp_path, crc, verify, error):
    write_muse(tmp_path / "a.xml", EIGHT, crc=crc)
    if error is None:
        assert decode(tmp_path / "a.xml", verify=verify)[1].shape == (8, 400)
        return
    with pytest.raises(RecordError, match=error):
        decode(tmp_path / "a.xml", verify=verify)


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (changed("MICROVOLTS", ""), "amplitude of lead I is unknown"),
        (changed("MICROVOLTS", "MMHG"), "'MMHG'"),
        (changed("4.88", ""), "amplitude of lead I is unknown"),
        (changed("4.88", "0"), "amplitude of lead I is unknown"),
        (changed("4.88", "-4.88"), "amplitude of lead I is unknown"),
        (changed("4.88", "nan"), "amplitude of lead I is unknown"),
        (changed("Rhythm", "Stress"), "no waveform of the type Rhythm"),
        (changed(r"<SampleBase>\d+", "<SampleBase>"), "no sampling rate"),
        (changed(r"<SampleBase>\d+", "<SampleBase>0"), "0 Hz"),
        (changed(r"<SampleBase>\d+", "<SampleBase>-500"), "-500 Hz"),
        (changed(r"<SampleExponent>0", "<SampleExponent>99"), "no sampling rate"),
        (changed("CONTINUOUS_SAMPLES", "HUFFMAN"), "samples of the type HUFFMAN"),
        (changed(r"<LeadID>V6<", "<LeadID><"), "lead without a name"),
        (changed(r"<LeadID>V6<", "<LeadID>V5<"), "contains leads V5 more than once"),
        (changed("SampleCountTotal>400", "SampleCountTotal>399"), "400 instead of 399"),
        (changed("ByteCountTotal>800", "ByteCountTotal>9e9"), "800 instead of 9e9"),
        (changed("SampleSize>2", "SampleSize>3"), "samples of 3 bytes"),
        (changed("SampleSize>2", "SampleSize>0"), "samples of 0 bytes"),
        (changed("TimeOffset>0", "TimeOffset>2500", 9), "different times at which they start"),
        (changed("<WaveFormData>\n....", "<WaveFormData>\n*~~*"), "not base64"),
        (changed("(?s)<WaveFormData>.*?<", "<WaveFormData><"), "0 instead of 800"),
        (changed("(?s)<LeadData>.*</LeadData>", ""), "no waveform|contains no recording"),
        (changed("<SampleBase>500", "<SampleBase>0", 2), "0 Hz"),
    ],
)
def test_what_leaves_samples_uncertain_is_an_error(tmp_path, edit, error):
    write_muse(tmp_path / "a.xml", EIGHT, edit=edit)
    with pytest.raises(RecordError, match=error):
        decode(tmp_path / "a.xml")


@pytest.mark.parametrize(
    ("options", "doubt"),
    [
        ({"crc": lambda data: zlib.crc32(data) ^ 1}, "checksums of all its leads"),
        ({"crc": lambda data: -7}, "checksums of all its leads"),
        ({"edit": changed("FirstSample>0", "FirstSample>2")}, "states a leadoffsetfirstsample"),
        ({"edit": changed("SampleBaseline>0", "SampleBaseline>-7")}, "a firstsamplebaseline"),
    ],
)
def test_what_may_be_right_is_read_with_a_doubt(tmp_path, options, doubt):
    write_muse(tmp_path / "a.xml", EIGHT, **options)
    ecg, signal = decode(tmp_path / "a.xml")
    assert len(ecg.doubts) == 1 and doubt in ecg.doubts[0]
    write_muse(tmp_path / "good.xml", EIGHT)
    good, expected = decode(tmp_path / "good.xml")
    assert good.doubts == ()
    np.testing.assert_array_equal(signal, expected)
    with pytest.warns(UserWarning, match=f"1, such as .*a.xml: .*{doubt}"):
        ecgs = load_ecg([tmp_path / "a.xml"])
    assert ecgs.metadata["doubts"][0] == list(ecg.doubts)


@pytest.mark.parametrize(
    "more",
    [
        muse_waveform(np.ones((1, 400)), 250, ["V7"]),
        muse_waveform(np.ones((1, 300)), 500, ["V7"]),
        muse_waveform(np.arange(800).reshape(2, 400), 500, ["V7", "V7"]),
        muse_waveform(np.ones((1, 400)), 500, ["V7"], lead_elements={"LeadTimeOffset": 5}),
    ],
)
def test_more_leads_that_do_not_fit_are_left_out(tmp_path, more):
    counts = write_muse(tmp_path / "a.xml", EIGHT, edit=after(more))
    ecg, signal = decode(tmp_path / "a.xml")
    assert (ecg.leads, ecg.doubts) == (EIGHT_LEADS, ())
    np.testing.assert_array_equal(np.rint(signal / 0.00488), counts)
    with pytest.raises(RecordError, match="different|more than once"):
        decode(tmp_path / "a.xml", wanted=("I", "V7"))


def test_a_copy_of_a_lead_is_left_out(tmp_path):
    leads = (*EIGHT_LEADS, "II")
    write_muse(tmp_path / "a.xml", EIGHT[[*range(8), 1]], leads=leads)
    assert decode(tmp_path / "a.xml")[0].leads == EIGHT_LEADS
    write_muse(tmp_path / "a.xml", EIGHT[[*range(8), 2]], leads=leads)
    with pytest.raises(RecordError, match="contains leads II more than once"):
        decode(tmp_path / "a.xml")


@pytest.mark.parametrize(
    ("n_samples", "first", "n_doubts"),
    [((1200, 1500), 0, 1), ((1500, 1200), 0, 1), ((400, 1200), 1, 0), ((1200, 400), 0, 0)],
)
def test_the_first_of_several_recordings_is_read(tmp_path, n_samples, first, n_doubts):
    """A recording of up to two seconds may be an average heartbeat."""
    counts = [np.random.default_rng(n).integers(-99, 99, (8, n)) for n in n_samples]
    one, two = (muse_waveform(rows, 500, EIGHT_LEADS) for rows in counts)
    edit = changed("(?s)<Waveform>.*</Waveform>\n", one + two)
    write_muse(tmp_path / "a.xml", EIGHT, edit=edit)
    ecg, signal = decode(tmp_path / "a.xml")
    np.testing.assert_array_equal(np.rint(signal / 0.00488), counts[first])
    assert len(ecg.doubts) == n_doubts


@pytest.mark.parametrize(("unit", "millivolts"), [("µV", 1e-3), ("UV", 1e-3), ("nV", 1e-6)])
def test_short_names_of_units(tmp_path, unit, millivolts):
    edit = changed("MICROVOLTS", unit)
    counts = write_muse(tmp_path / "a.xml", EIGHT, edit=edit, declared="utf-8", encoding="utf-8")
    _, signal = decode(tmp_path / "a.xml")
    np.testing.assert_array_equal(np.rint(signal / (4.88 * millivolts)), counts)


def test_missing_samples_are_nan(tmp_path):
    signal = EIGHT.copy()
    signal[0, 5:9] = -32768 * 0.00488
    write_muse(tmp_path / "a.xml", signal)
    _, read = decode(tmp_path / "a.xml")
    assert np.isnan(read[0, 5:9]).all() and np.isnan(read).sum() == 4


@pytest.mark.parametrize(("constant", "n_missing"), [(True, 400), (False, 0)])
def test_leads_that_were_off_are_named_and_nan_where_they_have_no_signal(
    tmp_path, constant, n_missing
):
    signal = EIGHT.copy()
    signal[7] = 0 if constant else signal[7]

    def edit(text):
        head, tail = text.rsplit("<LeadOff>FALSE", 1)
        return f"{head}<LeadOff>TRUE{tail}"

    write_muse(tmp_path / "a.xml", signal, edit=edit)
    ecg, read = decode(tmp_path / "a.xml")
    assert ecg.states.comments["leads off"] == "V6"
    assert np.isnan(read[7]).sum() == n_missing and not np.isnan(read[:7]).any()


def test_statements_are_those_of_the_file(tmp_path):
    write_muse(tmp_path / "a.xml", EIGHT, statements=["Sinus rhythm", "Vorhofflimmern é"])
    states = decode(tmp_path / "a.xml")[0].states
    assert states.statements == ("Sinus rhythm", "Vorhofflimmern é")
    assert (states.patient, states.age_text, states.sex_text) == ("4711", "63 years", "FEMALE")
    assert states.date.isoformat() == "2013-03-14T10:11:12" and states.device == "MAC55"
    assert states.comments == {"status": "CONFIRMED"}
    assert states.measurements == {
        "heart_rate": 71.0,
        "pr_interval": 158.0,
        "qrs_duration": 92.0,
        "qt_interval": 402.0,
        "qtc_interval": 436.0,
        "qrs_axis": 41.0,
    }
    assert "Doe" not in repr(states) and "Jane" not in repr(states)


@pytest.mark.parametrize(
    ("patient", "test", "age", "date"),
    [
        ({"PatientAge": 7, "AgeUnits": "MONTHS"}, {}, "7 months", "2013-03-14T10:11:12"),
        ({"PatientAge": 12, "AgeUnits": "HOURS"}, {}, "0.50 days", "2013-03-14T10:11:12"),
        ({"PatientAge": ""}, {}, "63", "2013-03-14T10:11:12"),
        ({"PatientAge": "", "DateofBirth": "03-15-1950"}, {}, "62", "2013-03-14T10:11:12"),
        ({"PatientAge": "", "DateofBirth": ""}, {}, None, "2013-03-14T10:11:12"),
        ({}, {"AcquisitionTime": ""}, "63 years", "2013-03-14T00:00:00"),
        ({}, {"AcquisitionDate": "14-03-2013"}, "63 years", None),
        ({}, {"AcquisitionDate": "2013-03-14"}, "63 years", "2013-03-14T10:11:12"),
    ],
)
def test_ages_and_dates(tmp_path, patient, test, age, date):
    write_muse(tmp_path / "a.xml", EIGHT, patient=patient, test=test)
    states = decode(tmp_path / "a.xml")[0].states
    assert states.age_text == age
    assert (states.date and states.date.isoformat()) == date


def test_statements_of_a_reader_come_before_those_of_the_device(tmp_path):
    edit = changed("Normal ECG", "Abnormal ECG", 1)
    write_muse(tmp_path / "a.xml", EIGHT, edit=edit)
    states = decode(tmp_path / "a.xml")[0].states
    assert states.statements == ("Normal sinus rhythm", "Abnormal ECG")
    assert states.comments["statements of the device"] == "Normal sinus rhythm; Normal ECG"


def test_parts_of_a_statement_are_joined(tmp_path):
    edit = changed("<StmtFlag>ENDSLINE</StmtFlag>\n<StmtText>A", "<StmtText>A")
    write_muse(tmp_path / "a.xml", EIGHT, statements=["A", "with B", "C"], edit=edit)
    assert decode(tmp_path / "a.xml")[0].states.statements == ("A with B", "C")


def test_measurements_that_are_impossible_are_left_out(tmp_path):
    values = {"PRInterval": 0, "QTInterval": 32767, "RAxis": 999, "VentricularRate": "-1"}
    write_muse(tmp_path / "a.xml", EIGHT, measurements=values)
    measured = decode(tmp_path / "a.xml")[0].states.measurements
    assert measured == {"qrs_duration": 92.0, "qtc_interval": 436.0}


def test_ecgdatakit_reads_the_same(tmp_path):
    parser = pytest.importorskip("ecgdatakit.parsing").FileParser
    write_muse(tmp_path / "a.xml", MV, leads=TWELVE_LEADS)
    ecg, signal = decode(tmp_path / "a.xml")
    record = parser.parse(tmp_path / "a.xml")
    assert tuple(lead.label for lead in record.leads) == ecg.leads
    np.testing.assert_allclose(signal, [lead.samples for lead in record.leads], atol=1e-6)
