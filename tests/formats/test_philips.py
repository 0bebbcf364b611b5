"""Philips XML."""

import re

import numpy as np
import pytest

from ecgsk._core.record_error import RecordError
from ecgsk._formats.philips import PhilipsXML
from ecgsk._formats.registry import find_format
from ecgsk._formats.stored import ReadOptions
from tests._xml_files import EIGHT_LEADS, TWELVE_LEADS, write_philips

MV = np.random.default_rng(0).normal(0, 0.4, (12, 300))
STEP = 0.005


def decode(path):
    return PhilipsXML().decode_file(str(path), ReadOptions())


def changed(old, new):
    def edit(text):
        assert re.search(old, text)
        return re.sub(old, new, text)

    return edit


@pytest.mark.parametrize("form", ["Base64", "Plain", "XLI"])
@pytest.mark.parametrize("version", ["1.03", "1.04", "1.04.02"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_counts_come_back_and_equal_those_of_ecgdatakit(tmp_path, form, version, encoding):
    path = tmp_path / "a.xml"
    counts = write_philips(path, MV, form=form, version=version, encoding=encoding)
    assert isinstance(find_format(str(path)), PhilipsXML)
    ecg, signal = decode(path)
    assert (ecg.leads, ecg.sampling_rate, ecg.n_samples) == (TWELVE_LEADS, 500.0, 300)
    np.testing.assert_array_equal(np.rint(signal / STEP), counts)
    record = pytest.importorskip("ecgdatakit.parsing").FileParser.parse(path)
    np.testing.assert_allclose(signal, [lead.samples for lead in record.leads], atol=1e-6)


@pytest.mark.parametrize(
    "signal",
    [
        np.zeros((12, 1200)),
        np.ones((12, 3)),
        np.tile(np.repeat([1.5, -1.5], 50), (12, 6)),
        np.full((12, 40), 8.0) * np.resize([1, -1], 40),
        np.resize([0, 0, 0, 160, -160, 160, 0, 0], (12, 400)) * np.resize([1, 0.3, -0.7], (12, 1)),
        np.cumsum(np.random.default_rng(1).normal(0, 0.02, (12, 5500)), axis=1),
    ],
    ids=["flat", "short", "squares", "steep", "overflow", "11 s"],
)
def test_compression_without_loss(tmp_path, signal):
    counts = write_philips(tmp_path / "a.xml", signal, form="XLI")
    np.testing.assert_array_equal(np.rint(decode(tmp_path / "a.xml")[1] / STEP), counts)


@pytest.mark.parametrize("form", ["Base64", "XLI"])
def test_other_leads(tmp_path, form):
    names = (*EIGHT_LEADS, "V3R", "Resp")
    counts = write_philips(tmp_path / "a.xml", MV[:10], leads=names, form=form)
    ecg, signal = decode(tmp_path / "a.xml")
    assert ecg.leads == names
    np.testing.assert_array_equal(np.rint(signal / STEP), counts)


@pytest.mark.parametrize(("form", "n_more"), [("Base64", 4), ("XLI", 4), ("XLI", 0)])
def test_twelve_leads_without_names_may_be_followed_by_others(tmp_path, form, n_more):
    names = (*TWELVE_LEADS, *("V3R", "V4R", "V7", "V8")[:n_more])
    signal = np.resize(MV, (12 + n_more, 300))
    counts = write_philips(
        tmp_path / "a.xml",
        signal,
        leads=names,
        version="1.03",
        form=form,
        edit=changed("<acquisitiontype>STD-12</acquisitiontype>", "<leadset>std-12</leadset>"),
    )
    ecg, read = decode(tmp_path / "a.xml")
    assert ecg.leads == (*TWELVE_LEADS, *(f"channel {13 + i}" for i in range(n_more)))
    np.testing.assert_array_equal(np.rint(read / STEP), counts)


def test_acquired_samples_may_have_had_fewer_bits(tmp_path):
    edit = changed("<bitspersample>16", "<bitspersample>12")
    counts = write_philips(tmp_path / "a.xml", MV, version="1.03", edit=edit)
    np.testing.assert_array_equal(np.rint(decode(tmp_path / "a.xml")[1] / STEP), counts)


@pytest.mark.parametrize(("version", "n_doubts"), [("1.04.09", 0), ("1.05", 1), ("1.02.1", 1)])
def test_other_versions(tmp_path, version, n_doubts):
    counts = write_philips(tmp_path / "a.xml", MV, version=version)
    ecg, signal = decode(tmp_path / "a.xml")
    assert len(ecg.doubts) == n_doubts
    np.testing.assert_array_equal(np.rint(signal / STEP), counts)


def test_offsets_and_signs_are_those_of_the_samples(tmp_path):
    """Samples may have been changed after they were acquired, with other properties."""
    properties = {"signaloffset": 1000, "signalsigned": "False", "resolution": 2.5}
    counts = write_philips(tmp_path / "a.xml", MV + 10, waveform=properties)
    _, signal = decode(tmp_path / "a.xml")
    np.testing.assert_array_equal(np.rint(signal / 0.0025) + 1000, counts)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"waveform": {"durationperchannel": None}}, "no duration"),
        ({"waveform": {"durationperchannel": "-600"}}, "no duration"),
        ({"waveform": {"durationperchannel": "598"}}, "3600 samples instead of 299"),
        ({"waveform": {"durationperchannel": "10000"}}, "3600 samples instead of 5000"),
        ({"waveform": {"numberofleads": 8}}, "3600 samples instead of 300 for each of 8"),
        ({"waveform": {"bitspersample": 12}}, "samples of 12 bits"),
        ({"waveform": {"dataencoding": "Hex"}}, "samples in 'hex'"),
        ({"waveform": {"compression": "LZW2"}}, "compressed by 'lzw2'"),
        ({"waveform": {"leadlabels": "I II " * 6}}, "leads I, II more than once"),
        ({"waveform": {"leadlabels": None}, "leads": EIGHT_LEADS}, "leads have no names"),
        ({"edit": changed("resolution", "nothing")}, "no resolution"),
        ({"edit": changed("samplingrate|samplespersecond", "nothing")}, "no sampling rate"),
        ({"edit": changed("<documentversion>[^<]*", "<documentversion>2.0")}, "version is '2.0'"),
        ({"edit": changed("parsedwaveforms", "leadwaveforms")}, "0 elements parsedwaveforms"),
        ({"edit": changed("</waveforms>", "<parsedwaveforms/></waveforms>")}, "2 elements"),
        ({"form": "Plain", "edit": changed("</parsed", " x</parsed")}, "not numbers"),
        ({"form": "Plain", "edit": changed("</parsed", " 1</parsed")}, "3601 samples"),
        ({"form": "XLI", "edit": changed(r"(?s)\n[^\n]*\n</parsed", "</parsed")}, "is cut|base64"),
        ({"form": "XLI", "waveform": {"durationperchannel": 601 * 2}}, "300 instead of 601"),
        ({"form": "XLI", "waveform": {"durationperchannel": 1e12}}, "more than is read"),
        ({"form": "XLI", "waveform": {"durationperchannel": 200}}, "more than it states"),
        ({"form": "XLI", "leads": TWELVE_LEADS[::-1]}, "unknown order, V6 V5"),
    ],
)
def test_what_leaves_samples_uncertain_is_an_error(tmp_path, arguments, error):
    signal = MV[: len(arguments.get("leads", MV))]
    write_philips(tmp_path / "a.xml", signal, **arguments)
    with pytest.raises(RecordError, match=error):
        decode(tmp_path / "a.xml")


def test_statements_are_those_of_the_file(tmp_path):
    write_philips(tmp_path / "a.xml", MV)
    states = decode(tmp_path / "a.xml")[0].states
    assert states.statements == ("Sinus rhythm V-rate 50-99",)
    assert (states.patient, states.age_text, states.sex_text) == ("4711", "63 years", "Female")
    assert states.date.isoformat() == "2023-04-01T10:11:12"
    assert states.device == "Philips Medical Products PageWriter TC"
    assert states.comments == {"severity": "NORMAL ECG", "status": "Confirmed"}
    assert states.measurements == {"heart_rate": 71.0, "pr_interval": 158.0, "qtc_bazett": 436.0}
    assert "Doe" not in repr(states)


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        ("<dateofbirth>1950-04-02</dateofbirth>", "72"),
        ("<dateofbirth>---</dateofbirth>", None),
        ("<months>18</months>", "18 months"),
    ],
)
def test_ages(tmp_path, age, expected):
    write_philips(tmp_path / "a.xml", MV, edit=changed("<years>63</years>", age))
    assert decode(tmp_path / "a.xml")[0].states.age_text == expected
