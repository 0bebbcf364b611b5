"""Waveforms of DICOM."""

import io
import re
import sys
import zlib
from datetime import datetime

import numpy as np
import pytest

from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._formats.dicom import DICOM
from ecgsk._formats.folder import sort_files
from ecgsk._formats.registry import find_format
from ecgsk._formats.stored import ReadOptions
from tests._dicom_edf_files import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    annotation,
    coded,
    dataset,
    mdc_source,
    multiplex_group,
    named_source,
    scp_source,
    write_dicom,
)

pydicom = pytest.importorskip("pydicom", reason="the extra formats is not installed")

STEP = 0.00488  # mV
LIMB = np.array([[1, 0], [0, 1], [-1, 1], [-0.5, -0.5], [1, -0.5], [-0.5, 1]])


def make_signal(n_samples=600, seed=0):
    """Return the twelve leads, whose limb leads agree."""
    counts = np.random.default_rng(seed).integers(-400, 400, (8, n_samples)) * 2.0
    return np.concatenate([LIMB @ counts[:2], counts[2:]]) * STEP


def decode(path, **options):
    return DICOM().decode_file(str(path), ReadOptions(**options))


def reason(path, **options):
    with pytest.raises(RecordError) as info:
        decode(path, **options)
    assert "Secret" not in str(info.value)
    return info.value.reason


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.dcm"


def test_the_file_of_pydicom():
    path = pydicom.data.get_testdata_file("waveform_ecg.dcm")
    ecg, signal = decode(path)
    expected = pydicom.dcmread(path).waveform_array(0).T / 1000  # from µV
    np.testing.assert_allclose(signal, expected, atol=1e-6)
    assert (ecg.leads, ecg.sampling_rate, ecg.n_samples) == (STANDARD_LEADS, 1000.0, 10_000)
    stated = ecg.states
    assert (stated.patient, stated.age_text, stated.sex_text) == ("642341", "042Y", "F")
    assert stated.date == datetime(2013, 1, 25, 10, 59, 19)
    assert stated.device == "Mortara Instrument, Inc. el250"
    assert stated.statements == ("RITMO SINUSALE", "ECG NORMALE")
    assert stated.measurements == {
        "rr_interval": 982.0,
        "pr_interval": 161.0,
        "qrs_duration": 75.0,
        "qt_interval": 368.0,
        "qtc_interval": 370.0,
        "p_axis": 74.0,
        "qrs_axis": 52.0,
        "t_axis": 57.0,
    }


@pytest.mark.parametrize("undefined_length", [False, True], ids=["lengths", "delimiters"])
@pytest.mark.parametrize(
    ("syntax", "preamble"),
    [
        (EXPLICIT, True),
        (EXPLICIT, False),
        (IMPLICIT, True),
        (IMPLICIT, False),
        (BIG_ENDIAN, True),
        (DEFLATED, True),
    ],
)
def test_transfer_syntaxes(path, syntax, preamble, undefined_length):
    signal = make_signal()
    write_dicom(
        path,
        signal,
        transfer_syntax=syntax,
        preamble=preamble,
        undefined_length=undefined_length,
        annotations=[dataset(UnformattedTextValue="Sinus rhythm")],
    )
    assert isinstance(find_format(str(path)), DICOM)
    ecg, decoded = decode(path)
    np.testing.assert_array_equal(np.rint(decoded / STEP), np.rint(signal / STEP))
    assert (ecg.leads, ecg.sampling_rate, ecg.n_samples) == (STANDARD_LEADS, 500.0, 600)
    assert ecg.states.statements == ("Sinus rhythm",)


@pytest.mark.parametrize(
    ("unit", "code", "sensitivity"),
    [
        ("uV", None, 2.5),
        ("uV", [("µV", "")], 2.5),
        ("uV", [("x", "Microvolts")], 2.5),
        ("uV", [("uV", "a voltage")], 2.5),
        ("mV", None, 0.0025),
        ("mV", [("MV", "millivolt")], 0.0025),
        ("V", None, 2.5e-6),
        ("nV", None, 2500.0),
    ],
)
def test_units(path, unit, code, sensitivity):
    signal = make_signal()
    code = coded(*code[0]) if code else None
    write_dicom(path, signal, unit=unit, unit_code=code, sensitivity=sensitivity)
    np.testing.assert_allclose(decode(path)[1], signal, atol=0.00126)


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize(
    ("interpretation", "sensitivity", "baseline"),
    [
        ("SB", 100.0, 0.0),
        ("UB", 100.0, -12_000.0),
        ("SS", 4.88, 0.0),
        ("US", 4.88, -20_000.0),
        ("SL", 4.88, 0.0),
        ("UL", 4.88, -20_000.0),
    ],
)
def test_kinds_of_samples(path, interpretation, sensitivity, baseline, syntax):
    signal = make_signal(599)
    write_dicom(
        path,
        signal,
        transfer_syntax=syntax,
        interpretation=interpretation,
        sensitivity=sensitivity,
        correction=1.01,
        baseline=baseline,
    )
    decoded = decode(path)[1]
    np.testing.assert_allclose(decoded, signal, atol=sensitivity * 1.01 / 2000 + 1e-5)
    if syntax == EXPLICIT:
        expected = pydicom.dcmread(path).waveform_array(0).T / 1000
        np.testing.assert_allclose(decoded, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("keywords", "kept", "expected"),
    [
        (["ChannelSensitivity"], 1, None),
        (["ChannelSensitivityUnitsSequence"], 1, None),
        (["ChannelSensitivity", "ChannelSensitivityUnitsSequence", "ChannelBaseline"], 1, None),
        (["ChannelSensitivity"], 2, "lead III has no sensitivity|lead V1 has no sensitivity"),
        (["ChannelSensitivity"], 0, "lead I has no sensitivity"),
    ],
)
def test_what_the_first_channel_states_for_all(path, keywords, kept, expected):
    def drop(made):
        for channel in made.WaveformSequence[0].ChannelDefinitionSequence[kept:]:
            for keyword in keywords:
                delattr(channel, keyword)

    signal = make_signal()
    write_dicom(path, signal, correction=2.0, baseline=30.0, edit=drop)
    if expected:
        assert re.search(expected, reason(path))
        return
    ecg, decoded = decode(path)
    np.testing.assert_allclose(decoded, signal, atol=0.005)
    assert "only its first channel states ChannelSensitivity" in ecg.doubts[0]


@pytest.mark.parametrize("correction", [None, 0.5, 2.0])
def test_corrected_sensitivity(path, correction):
    signal = make_signal()
    write_dicom(path, signal, correction=correction)
    ecg, decoded = decode(path)
    np.testing.assert_allclose(decoded, signal, atol=0.005)
    assert ecg.resolutions == pytest.approx([STEP * (correction or 1)] * 12)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize(("kind", "padding"), [("SS", -32768), ("US", 65535), ("SL", -(2**31))])
def test_padding_is_missing(path, syntax, kind, padding):
    signal = make_signal()
    signal[3, :40] = signal[7, 590:] = np.nan
    baseline = -20_000.0 if kind == "US" else 0.0
    write_dicom(
        path,
        signal,
        interpretation=kind,
        padding=padding,
        baseline=baseline,
        transfer_syntax=syntax,
    )
    decoded = decode(path)[1]
    np.testing.assert_array_equal(np.isnan(decoded), np.isnan(signal))
    np.testing.assert_allclose(decoded, signal, atol=0.005)


def test_disconnected_leads_are_missing(path):
    def disconnect(made):
        made.WaveformSequence[0].ChannelDefinitionSequence[4].ChannelStatus = ["DISCONNECTED"]

    write_dicom(path, make_signal(), edit=disconnect)
    missing = np.isnan(decode(path)[1])
    assert missing[4].all()
    assert not np.delete(missing, 4, axis=0).any()


def test_padding_of_a_value_that_leads_have_is_long(path):
    signal = make_signal()
    signal[6, 100:120] = 0
    signal[7, 500:] = np.nan
    write_dicom(path, signal, padding=0)
    decoded = decode(path)[1]
    assert np.isnan(decoded[7, 500:]).all() and np.isnan(decoded).sum() == 100
    np.testing.assert_allclose(decoded, signal, atol=1e-6)


@pytest.mark.parametrize(
    ("status", "which", "n_missing", "doubts"),
    [
        ("OK", slice(None), 0, ()),
        ("INVALID", slice(3, 4), 600, ()),
        ("INVALID", slice(None), 0, ("all its leads are marked as INVALID",)),
        ("TEST DATA", slice(None), 0, ("all its leads are marked as TEST DATA",)),
        ("QUESTIONABLE", slice(7, 8), 0, ("lead V2 is marked as QUESTIONABLE",)),
    ],
)
def test_status_of_leads(path, status, which, n_missing, doubts):
    def mark(made):
        for channel in made.WaveformSequence[0].ChannelDefinitionSequence[which]:
            channel.ChannelStatus = status

    write_dicom(path, make_signal(), edit=mark)
    ecg, decoded = decode(path)
    assert np.isnan(decoded).sum() == n_missing
    assert ecg.doubts == doubts


@pytest.mark.parametrize(
    ("elements", "leads"),
    [
        ({"NumberOfWaveformSamples": 0}, STANDARD_LEADS),
        ({"NumberOfWaveformSamples": 700}, STANDARD_LEADS),
        ({"NumberOfWaveformChannels": 3}, STANDARD_LEADS),
        ({"SamplingFrequency": "0"}, STANDARD_LEADS),
        ({"WaveformSampleInterpretation": "MB"}, STANDARD_LEADS),
        ({"NumberOfWaveformSamples": 0}, ("V7",)),
    ],
)
def test_a_group_that_cannot_be_read_matters_where_it_may_be_the_recording(path, elements, leads):
    signal = make_signal()
    group = multiplex_group(signal[: len(leads)], 500, leads, label=None, source=named_source)
    group.update(dataset(**elements))
    write_dicom(path, signal, more_groups=[group])
    np.testing.assert_allclose(decode(path)[1], signal, atol=1e-6)
    if leads != STANDARD_LEADS:
        assert "contain no samples" in reason(path, wanted=leads)

    def exchange(made):
        made.WaveformSequence = list(made.WaveformSequence)[::-1]

    write_dicom(path, signal, more_groups=[group], edit=exchange)
    assert reason(path)


@pytest.mark.parametrize(
    "source",
    [
        mdc_source,
        lambda lead: named_source(f"{lead} lead"),
        lambda lead: named_source(f"Lead {lead} (precordial)"),
        lambda lead: [dataset(LongCodeValue=mdc_source(lead)[0].CodeValue, CodeMeaning="a lead")],
        scp_source,
        None,
        named_source,
        lambda lead: named_source(f"Lead {lead} (Einthoven)"),
        lambda lead: named_source(f"{lead.upper()}, augmented voltage"),
        lambda lead: named_source(lead.replace("V", "C") if lead[0] == "V" else lead),
        lambda lead: coded(f"MDC_ECG_LEAD_{lead.upper()}"),
        lambda lead: coded(str((2 << 16) + int(mdc_source(lead)[0].CodeValue[2:])), scheme="MDC"),
    ],
)
def test_names_of_leads(path, source):
    write_dicom(path, make_signal(), source=source)
    assert decode(path)[0].leads == STANDARD_LEADS


def test_other_orders_and_eight_leads(path):
    signal = make_signal()
    order = [1, 0, *range(11, 5, -1)]
    leads = tuple(STANDARD_LEADS[i] for i in order)
    write_dicom(path, signal[order], leads=leads)
    ecg, decoded = decode(path)
    assert ecg.leads == leads
    np.testing.assert_allclose(decoded, signal[order], atol=1e-6)


def beat(**options):
    label = options.pop("label", "MEDIAN BEAT")
    return multiplex_group(make_signal(300, 1), 500, label=label, **options)


def test_a_recording_comes_before_a_shorter_one(path):
    short = multiplex_group(make_signal(600, 1), 500, label=None)
    write_dicom(
        path, None, more_groups=[short, multiplex_group(make_signal(1200), 500, label=None)]
    )
    ecg, decoded = decode(path)
    np.testing.assert_allclose(decoded, make_signal(1200), atol=1e-6)
    assert ecg.doubts == ("it contains 2 recordings, and multiplex group 2 is read",)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "made",
    [
        {},
        {"label": "Average Complex"},
        {"label": None, "originality": "DERIVED"},
        {"label": "AVERAGE"},
    ],
)
def test_an_average_heartbeat_is_not_the_recording(path, first, made):
    def exchange(file):
        if first:
            file.WaveformSequence = list(file.WaveformSequence)[::-1]

    signal = make_signal(1200)
    write_dicom(path, signal, more_groups=[beat(**made)], edit=exchange)
    ecg, decoded = decode(path)
    assert ecg.n_samples == 1200
    np.testing.assert_allclose(decoded, signal, atol=1e-6)
    assert ecg.doubts == ()


def test_only_an_average_heartbeat(path):
    write_dicom(path, None, more_groups=[beat()])
    assert reason(path) == "it contains an average heartbeat only, and no recording"


def test_the_first_original_recording_is_read(path):
    derived = multiplex_group(make_signal(1500, 1), 250, originality="DERIVED")
    original = multiplex_group(make_signal(1200, 2), 500)
    later = multiplex_group(make_signal(1200, 3), 500)
    write_dicom(path, None, more_groups=[derived, original, later])
    ecg, decoded = decode(path)
    np.testing.assert_allclose(decoded, make_signal(1200, 2), atol=1e-6)
    assert ecg.doubts == ("it contains 3 recordings, and multiplex group 2 is read",)


def split(signal, **options):
    """Return four groups of three leads each."""
    starts = options.pop("starts", [None] * 4)
    rates = options.pop("rates", [500] * 4)
    return [
        multiplex_group(signal[i : i + 3], rate, STANDARD_LEADS[i : i + 3], start=start, **options)
        for i, start, rate in zip(range(0, 12, 3), starts, rates, strict=True)
    ]


@pytest.mark.parametrize("starts", [[None] * 4, [0] * 4])
def test_groups_of_leads_that_were_recorded_together(path, starts):
    signal = make_signal(1200)
    groups = split(signal, starts=starts)
    strip = multiplex_group(make_signal(5000)[1:2], 500, ["II"])
    write_dicom(path, None, more_groups=[strip, *groups])
    ecg, decoded = decode(path)
    assert ecg.leads == STANDARD_LEADS
    np.testing.assert_allclose(decoded, signal, atol=1e-6)
    doubt = "its leads are in several multiplex groups that do not state when they begin"
    assert ecg.doubts == ((doubt,) if None in starts else ())


@pytest.mark.parametrize(
    ("signal", "options", "expected"),
    [
        (make_signal(1200), {"starts": [0, 2500, 5000, 7500]}, "not recorded at the same time"),
        (make_signal(1200), {"rates": [500, 500, 500, 250]}, "not recorded at the same time"),
        (
            np.concatenate([make_signal(1200, i)[3 * i : 3 * i + 3] for i in range(4)]),
            {},
            "limb leads of one group contradict those of another",
        ),
    ],
    ids=["starts", "rates", "contradiction"],
)
def test_groups_of_leads_that_were_not(path, signal, options, expected):
    write_dicom(path, None, more_groups=split(signal, **options))
    assert expected in reason(path)


def test_a_copy_of_a_lead_is_left_out(path):
    signal = make_signal()
    leads = (*STANDARD_LEADS, "II")
    write_dicom(path, np.concatenate([signal, signal[1:2]]), leads=leads)
    assert decode(path)[0].leads == STANDARD_LEADS
    write_dicom(path, np.concatenate([signal, signal[2:3]]), leads=leads)
    assert "stand more than once" in reason(path)


def test_channels_of_other_quantities_are_left_out(path):
    pressure = multiplex_group(make_signal()[:1], 5, ["I"], unit_code=coded("mm[Hg]"))
    pressure.ChannelDefinitionSequence[0].ChannelSourceSequence = named_source("Arterial pressure")
    write_dicom(path, make_signal(), more_groups=[pressure])
    assert decode(path)[0].leads == STANDARD_LEADS


@pytest.mark.parametrize("together", [False, True])
def test_no_lead_is_wanted_in_particular(path, together):
    signal = make_signal()
    pressure = multiplex_group(signal[:1], 5, ["I"], unit_code=coded("mm[Hg]"))
    others = multiplex_group(signal[:2], 250, ["I", "II"])
    chest = (
        split(signal)[2:] if together else [multiplex_group(signal[6:], 500, STANDARD_LEADS[6:])]
    )
    write_dicom(path, None, more_groups=[pressure, others, *chest])
    ecg, decoded = decode(path, wanted=())
    assert ecg.leads == STANDARD_LEADS[6:]
    np.testing.assert_allclose(decoded, signal[6:], atol=1e-6)
    write_dicom(path, None, more_groups=[pressure])
    assert reason(path, wanted=()) == "it contains no lead whose amplitude is known"


def test_wanted_leads_decide(path):
    leads = ("I", "II")
    write_dicom(path, make_signal()[:2], leads=leads)
    assert decode(path, wanted=("II", "aVF"))[0].leads == leads
    assert "leads V1, V2, V3, V4, V5, V6 are missing" in reason(path)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"PatientAge": "018M"}, "018M"),
        ({"PatientAge": None}, "63Y"),
        ({"PatientAge": "", "PatientBirthDate": "19500526"}, "62Y"),
        ({"PatientAge": None, "PatientBirthDate": "20130101"}, "144D"),
        ({"PatientAge": None, "PatientBirthDate": "20140101"}, None),
        ({"PatientAge": None, "PatientBirthDate": "1950"}, None),
        ({"PatientAge": None, "PatientBirthDate": "19000101"}, None),
        ({"PatientAge": None, "PatientBirthDate": None}, None),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, about the short date
def test_ages(path, elements, expected):
    write_dicom(path, make_signal(), elements=elements)
    assert decode(path)[0].states.age_text == expected


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, datetime(2013, 5, 25, 10, 59, 19)),
        ({"AcquisitionDateTime": "201305251059"}, datetime(2013, 5, 25, 10, 59)),
        ({"AcquisitionDateTime": "20130525"}, datetime(2013, 5, 25)),
        (
            {"AcquisitionDateTime": None, "AcquisitionDate": "20120131", "AcquisitionTime": "2359"},
            datetime(2012, 1, 31, 23, 59),
        ),
        (
            {"AcquisitionDateTime": "", "StudyDate": "2012.01.31", "StudyTime": "23:59:07.5"},
            datetime(2012, 1, 31, 23, 59, 7),
        ),
        ({"AcquisitionDateTime": "", "ContentDate": "20120131"}, datetime(2012, 1, 31)),
        ({"AcquisitionDateTime": "20131325105919"}, None),
        ({"AcquisitionDateTime": None}, None),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, about the old forms
def test_dates(path, elements, expected):
    write_dicom(path, make_signal(), elements=elements)
    assert decode(path)[0].states.date == expected


def test_statements(path):
    write_dicom(
        path,
        make_signal(),
        annotations=[
            dataset(UnformattedTextValue="Vorhofflimmern, überprüft", AnnotationGroupNumber=1),
            dataset(ConceptCodeSequence=coded("F-000B7", "Normal ECG", "SRT")),
            annotation("Ventricular Heart Rate", 71, "/min"),
            annotation("QRS duration, global", 0.09, "s", "2:16156"),
            annotation("QT", 380, "ms", "2:16160", channels=(1, 3)),
            annotation("QTc global using Bazett formula", 410, "ms", "2:15880"),
            annotation("QTc (Fridericia's formula)", 402, "ms"),
            annotation("PQ Interval, mean", 160, "ms"),
            annotation("QTc global using Framingham formula", 400, "ms", "2:15880"),
            annotation("QTc Interval", 405, "ms"),
            annotation("R Axis", -30, "deg"),
            annotation("T Axis", 1, "rad"),
            annotation("PR Interval", 0, "ms"),
        ],
        elements={"SpecificCharacterSet": "ISO_IR 192", "PatientSex": "O"},
    )
    stated = decode(path)[0].states
    assert stated.statements == ("Vorhofflimmern, überprüft", "Normal ECG")
    assert stated.measurements == {
        "heart_rate": 71.0,
        "qrs_duration": 90.0,
        "qtc_bazett": 410.0,
        "qtc_fridericia": 402.0,
        "pr_interval": 160.0,
        "qtc_interval": 405.0,
        "qrs_axis": -30.0,
    }
    assert (stated.patient, stated.sex_text, stated.device) == ("P-17", "O", "A maker Model 1")
    assert "Secret" not in repr(stated)


def test_annotations_of_all_heartbeats_cost_no_samples(path, monkeypatch):
    monkeypatch.setattr("ecgsk._formats.dicom_dataset._MOST_READS", 5000)
    signal = make_signal()
    write_dicom(path, signal, annotations=[annotation("QT", 380, "ms")] * 500)
    ecg, decoded = decode(path)
    np.testing.assert_allclose(decoded, signal, atol=1e-6)
    assert ecg.states.patient == "P-17"
    assert ecg.states.comments == {"annotations": "they cannot be read (ValueError)"}


def group_of(made):
    return made.WaveformSequence[0]


def channel_of(made, lead):
    return group_of(made).ChannelDefinitionSequence[STANDARD_LEADS.index(lead)]


def set_group(**elements):
    return lambda made: group_of(made).update(dataset(**elements))


def set_channel(lead, **elements):
    def edit(made):
        channel = channel_of(made, lead)
        for keyword, value in elements.items():
            setattr(channel, keyword, value)

    return edit


def fill_up(more):
    return lambda made: set_group(WaveformData=group_of(made).WaveformData + more)(made)


def drop_channel_element(lead, keyword):
    return lambda made: delattr(channel_of(made, lead), keyword)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (set_group(NumberOfWaveformSamples=599), "bytes of samples; 12 channels of 599 samples"),
        (set_group(NumberOfWaveformSamples=601), "14400 bytes of samples; 12 channels of 601"),
        (set_group(NumberOfWaveformSamples=4_000_000_000), "at most 100000000 samples are read"),
        (set_group(NumberOfWaveformSamples=0), "contain no samples"),
        (set_group(NumberOfWaveformChannels=13), "states 13 channels and describes 12"),
        (set_group(NumberOfWaveformChannels=0), "states 0 channels and describes 12"),
        (set_group(SamplingFrequency=0), "sampling rate is 0 Hz"),
        (set_group(SamplingFrequency="1e9"), "sampling rate is 1e+09 Hz"),
        (set_group(WaveformSampleInterpretation="MB", WaveformBitsAllocated=8), "'MB' of 8 bits"),
        (set_group(WaveformSampleInterpretation="SS", WaveformBitsAllocated=8), "'SS' of 8 bits"),
        (set_group(WaveformData=b""), "a waveform without samples"),
        (lambda made: delattr(group_of(made), "WaveformData"), "a waveform without samples"),
        (lambda made: delattr(group_of(made), "SamplingFrequency"), "sampling rate is 0 Hz"),
        (set_group(WaveformPaddingValue=b""), None),
        (set_channel("V3", ChannelSensitivity=0), "lead V3 has a sensitivity of 0"),
        (set_channel("V3", ChannelSensitivityCorrectionFactor=0), "V3 has a sensitivity of 0"),
        (
            set_channel("V3", ChannelSensitivity="1e30"),
            "one count is 1e+27 mV, and count 0 0 mV: an ECG cannot have",
        ),
        (set_channel("V3", ChannelSensitivity="nan"), "ChannelSensitivity is 'nan', which is not"),
        (set_channel("V3", ChannelBaseline=["1", "2"]), "ChannelBaseline is '1 2', which"),
        (drop_channel_element("V3", "ChannelSensitivity"), "lead V3 has no sensitivity"),
        (drop_channel_element("V3", "ChannelSensitivityUnitsSequence"), "V3 is in no unit"),
        (
            set_channel("V3", ChannelSensitivityUnitsSequence=coded("mm[Hg]", "mercury")),
            "lead V3 is in mm[Hg] mercury: its amplitude is unknown",
        ),
        (
            set_channel("V3", ChannelSensitivityUnitsSequence=coded("mV", "microvolt")),
            "lead V3 is in mV microvolt: its amplitude is unknown",
        ),
        (
            set_channel("V3", ChannelSourceSequence=coded("2:5", "Lead V4", "MDC")),
            "lead V3, V4 has several names",
        ),
        (set_channel("V3", ChannelSourceSequence=named_source("RR")), "leads V3 are missing"),
        (set_channel("V3", ChannelSourceSequence=mdc_source("V4")), "leads V3 are missing"),
        (set_channel("V3", ChannelStatus="UNCALIBRATED"), "lead V3 is marked as UNCALIBRATED"),
        (set_channel("V3", ChannelSampleSkew="3"), "sampled 3 samples after one another"),
        (
            set_channel("V3", ChannelSampleSkew=None, ChannelTimeSkew="0.01"),
            "sampled 5 samples after one another",
        ),
        (set_channel("V3", ChannelTimeSkew="0.0001"), None),
        (set_group(WaveformSampleInterpretation="ss"), None),
        (fill_up(bytes(8)), None),
        (fill_up(bytes(24)), "14424 bytes of samples; 12 channels of 600 samples are 14400"),
        (fill_up(b"\x01\0"), "14402 bytes of samples"),
        # Lead III follows from I and II.
        (drop_channel_element("III", "ChannelSensitivity"), None),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")  # of pydicom as it writes
def test_contradictions_and_omissions(path, edit, expected):
    write_dicom(path, make_signal(), edit=edit)
    if expected is None:
        decode(path)
    else:
        assert expected in reason(path)


def test_more_channels_than_any_recording_has(path):
    write_dicom(path, np.zeros((513, 1)), leads=["I"] * 513)
    assert reason(path) == "it has 513 channels; at most 512 are read"


def test_samples_without_their_sign(path):
    def strip_signs(made):
        group = group_of(made)
        counts = np.frombuffer(group.WaveformData, "<i2") & 0x0FFF
        group.WaveformData = counts.astype("<i2").tobytes()
        for channel in group.ChannelDefinitionSequence:
            channel.WaveformBitsStored = 12

    write_dicom(path, make_signal(), edit=strip_signs)
    assert "12 bits have no sign" in reason(path)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        (
            {
                "SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1",
                "MIMETypeOfEncapsulatedDocument": "application/pdf",
                "EncapsulatedDocument": b"%PDF",
            },
            "it contains a PDF, and no waveform",
        ),
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "PixelData": b"\0\0"},
            "it contains 'Secondary Capture Image Storage', and no waveform",
        ),
        ({}, "it contains '12-lead ECG Waveform Storage', and no waveform"),
    ],
)
def test_other_contents(path, elements, expected):
    def set_data_type(made):
        if "PixelData" in made:
            made["PixelData"].VR = "OW"

    write_dicom(path, None, elements=elements, edit=set_data_type)
    assert reason(path) == expected


def test_a_private_transfer_syntax(path):
    write_dicom(path, make_signal())
    content = path.read_bytes()
    private = b"1.2.840.113619.5.2\0\0"
    path.write_bytes(content.replace(EXPLICIT.encode() + b"\0", private[:20], 1))
    assert "1.2.840.113619.5.2 is private" in reason(path)


def in_file(elements, *, syntax=EXPLICIT):
    """Return a file's bytes with an encoded dataset."""
    from pydicom.filewriter import write_file_meta_info
    from pydicom.uid import UID

    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = "1.2.3"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    buffer = io.BytesIO()
    write_file_meta_info(buffer, meta)
    return bytes(128) + b"DICM" + buffer.getvalue() + elements


SEQUENCE = b"\x00\x54\x00\x01SQ\0\0\xff\xff\xff\xff"
ITEM = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"


def many_elements(n_elements):
    elements = np.empty((n_elements, 8), np.uint8)
    elements[:, :4] = (np.arange(n_elements, dtype="<u4") << 16 | 9).view(np.uint8).reshape(-1, 4)
    elements[:, 4:] = np.frombuffer(b"LO\0\0", np.uint8)
    return elements.tobytes()


EMPTY_ITEMS = (ITEM[:4] + bytes(4)) * 3000


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        (SEQUENCE + ITEM + many_elements(6000), "it has more elements than any recording"),
        (SEQUENCE + EMPTY_ITEMS, "it has more elements than any recording"),
        # pydicom may replace the reason by its own.
        (SEQUENCE[:8] + len(EMPTY_ITEMS).to_bytes(4, "little") + EMPTY_ITEMS, ""),
        ((SEQUENCE + ITEM) * 2000, "it cannot be decoded"),
        (SEQUENCE[:8] + (2**32 - 2).to_bytes(4, "little") + b"x" * 50, ""),
        (b"", "it contains something else than a recording, and no waveform"),
    ],
    ids=["elements", "items", "items of stated length", "nested", "lying length", "empty"],
)
def test_files_of_attackers(path, elements, expected, monkeypatch):
    monkeypatch.setattr("ecgsk._formats.dicom_dataset._MOST_READS", 5000)
    path.write_bytes(in_file(elements))
    assert expected in reason(path)


def test_what_is_not_deflated(path):
    path.write_bytes(in_file(b"something else", syntax=DEFLATED))
    assert "it cannot be decoded (error: Error -3" in reason(path)


def test_a_file_that_inflates_too_much(path, monkeypatch):
    monkeypatch.setattr("ecgsk._formats.dicom_dataset.LARGEST_FILE", 1 << 20)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = compressor.compress(bytes(2 << 20)) + compressor.flush()
    path.write_bytes(in_file(bomb, syntax=DEFLATED))
    assert "inflates to more than 1 MB" in reason(path)


def test_files_that_are_cut_off_or_damaged(path):
    write_dicom(path, make_signal(40), annotations=[annotation("QT", 380, "ms")])
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for size in range(140, len(content), 251):
        path.write_bytes(content[:size])
        reason(path)
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(132, len(content), 5):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            decode(path)
        except RecordError as error:
            assert error.file == str(path)


def test_reading_after_listing(path):
    signal = make_signal()
    write_dicom(path, signal)
    (ecg,) = DICOM().scan(str(path), ReadOptions())
    leads = DICOM().read(ecg, ("V1", "I"), ReadOptions())
    np.testing.assert_allclose(leads, signal[[6, 0]], atol=1e-6)
    write_dicom(path, signal[:, :300])
    with pytest.raises(RecordError, match="replaced after it had been listed"):
        DICOM().read(ecg, ("V1", "I"), ReadOptions())


def test_without_pydicom(path, monkeypatch):
    write_dicom(path, make_signal())
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(
        ImportError, match=r"Reading DICOM needs .* pip install \"ecgsk\[formats\]\""
    ):
        decode(path)


def test_no_file(path, tmp_path):
    assert reason(path).startswith("it cannot be opened")
    assert reason(tmp_path) == "it is not a regular file"


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        bytes(600),
        np.array([8, 8, 5, 0, 3, 2, 1, 0], "<i2").tobytes(),
        np.array([8, 5, 8, 0, 300, 2, 1, 0], "<i2").tobytes(),
        b"\x08\0\x05",
    ],
)
def test_other_files_are_not_recognized(beginning):
    assert not DICOM().recognizes("a.dat", beginning)


@pytest.mark.filterwarnings("ignore:Unknown encoding")  # of pydicom as it writes
def test_an_unknown_character_set(path):
    elements = {"SpecificCharacterSet": "NO_SUCH"}
    write_dicom(path, make_signal(), elements=elements)
    assert decode(path)[0].states.patient == "P-17"


def test_the_list_of_files_on_a_medium_is_not_a_recording(tmp_path):
    place = tmp_path / "DICOMDIR"
    write_dicom(place, None, elements={"SOPClassUID": "1.2.840.10008.1.3.10"})
    assert sort_files([str(place)], []) == ([], [])
