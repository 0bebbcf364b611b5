"""HL7 annotated ECG."""

import re

import numpy as np
import pytest

from ecgsk._core.record_error import RecordError
from ecgsk._formats.aecg import HL7aECG
from ecgsk._formats.registry import find_format
from ecgsk._formats.stored import ReadOptions
from tests._xml_files import EIGHT_LEADS, TWELVE_LEADS, write_aecg

MV = np.random.default_rng(0).normal(0, 0.4, (12, 300))


def decode(path):
    return HL7aECG().decode_file(str(path), ReadOptions())


def changed(old, new, count=0):
    def edit(text):
        assert re.search(old, text)
        return re.sub(old, new, text, count=count)

    return edit


@pytest.mark.parametrize(
    ("arguments", "step", "origin"),
    [
        ({}, 0.0025, 0.0),
        ({"scale": 5, "origin": -200}, 0.005, -0.2),
        ({"scale": 0.001, "unit": "mV", "origin": 0.5}, 0.001, 0.5),
        ({"scale": 2500, "unit": "nV"}, 0.0025, 0.0),
        ({"prefix": "hl7:"}, 0.0025, 0.0),
        ({"encoding": "utf-16"}, 0.0025, 0.0),
        ({"increment": '<increment value="2" unit="ms"/>'}, 0.0025, 0.0),
        ({"increment": '<increment value="2000" unit="us"/>'}, 0.0025, 0.0),
        ({"edit": changed("</series>", "</series><!-- the end -->")}, 0.0025, 0.0),
    ],
)
def test_digits_come_back_and_equal_those_of_ecgdatakit(tmp_path, arguments, step, origin):
    path = tmp_path / "a.xml"
    digits = write_aecg(path, MV, **arguments)
    assert isinstance(find_format(str(path)), HL7aECG)
    ecg, signal = decode(path)
    assert (ecg.leads, ecg.sampling_rate, ecg.n_samples) == (TWELVE_LEADS, 500.0, 300)
    np.testing.assert_array_equal(np.rint((signal - origin) / step), digits)
    record = pytest.importorskip("ecgdatakit.parsing").FileParser.parse(path)
    np.testing.assert_allclose(signal, [lead.samples for lead in record.leads], atol=1e-6)


def test_digits_may_have_decimals_and_lines(tmp_path):
    def edit(text):
        digits = " \n\t1.5\n-2.25e1  3 \n"
        return re.sub("<digits>[^<]*", f"<digits>{digits}", text)

    write_aecg(tmp_path / "a.xml", MV, edit=edit, scale=1000)
    np.testing.assert_allclose(decode(tmp_path / "a.xml")[1][3], [1.5, -22.5, 3], rtol=1e-6)


@pytest.mark.parametrize(
    ("increment", "rate"),
    [
        ("0.00390625", 256.0),
        ("0.003", 1 / 0.003),
        ("0.001953", 512.0),
        ("0.00333", 300.0),
        ("0,0083", 1 / 0.0083),
        ("1.96e-3", 1 / 0.00196),
    ],
)
def test_rates_need_not_be_whole(tmp_path, increment, rate):
    """A text that was cut stands for the only whole rate that it may be."""
    steps = f'<increment value="{increment}" unit="s"/>'
    write_aecg(tmp_path / "a.xml", MV, increment=steps)
    assert decode(tmp_path / "a.xml")[0].sampling_rate == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("origin", "offset", "n_doubts"),
    [("", 0.0, 0), ('value="0" unit="1"', 0.0, 0), ('value="0"', 0.0, 0), ('value="7"', 0.007, 1)],
)
def test_an_origin_without_unit(tmp_path, origin, offset, n_doubts):
    edit = changed('<origin value="0" unit="uV"/>', f"<origin {origin}/>" if origin else "")
    digits = write_aecg(tmp_path / "a.xml", MV, edit=edit)
    ecg, signal = decode(tmp_path / "a.xml")
    np.testing.assert_allclose(signal, digits * 0.0025 + offset, atol=1e-6)
    assert len(ecg.doubts) == n_doubts


@pytest.mark.parametrize("part", ["component><series", "component><sequenceSet"])
def test_the_first_of_several_recordings_is_read(tmp_path, part):
    """Also where a series has an average heartbeat before, which is named in no known way."""
    end = "></".join(part.split("><")[::-1])

    def edit(text):
        first = re.search(rf"(?s)<{part}>.*?</{end}>", text)[0]
        second = re.sub("<digits>[^<]*", f"<digits>{'5 ' * 1200}", first)
        beat = re.sub("<digits>[^<]*", f"<digits>{'7 ' * 300}", first)
        return text.replace(first, beat.replace("RHYTHM", "OTHER") + first + second)

    signal = np.resize(MV, (12, 1200))
    digits = write_aecg(tmp_path / "a.xml", signal, edit=edit)
    ecg, read = decode(tmp_path / "a.xml")
    np.testing.assert_array_equal(np.rint(read / 0.0025), digits)
    assert ecg.doubts == ("it contains several recordings; the first was read",)


def test_series_and_sets_with_other_leads_of_the_same_time_are_one_recording(tmp_path):
    write_aecg(tmp_path / "b.xml", MV[8:], leads=EIGHT_LEADS[4:])
    other = (tmp_path / "b.xml").read_text()
    part = re.search(r"(?s)<component><series>.*</series></component>", other)[0]
    digits = write_aecg(
        tmp_path / "a.xml", MV[:4], leads=EIGHT_LEADS[:4], edit=changed("</Annot", part + "</Annot")
    )
    ecg, signal = decode(tmp_path / "a.xml")
    assert ecg.leads == EIGHT_LEADS
    np.testing.assert_array_equal(np.rint(signal[:4] / 0.0025), digits)


def test_other_sequences_are_not_leads(tmp_path):
    write_aecg(tmp_path / "a.xml", MV, edit=changed("MDC_ECG_LEAD_V6", "MDC_RESP"))
    assert decode(tmp_path / "a.xml")[0].leads == TWELVE_LEADS[:-1]


def test_the_negative_of_a_lead_is_another_lead(tmp_path):
    write_aecg(tmp_path / "a.xml", MV, edit=changed("LEAD_AVR", "LEAD_AVRNEG"))
    assert decode(tmp_path / "a.xml")[0].leads[3] == "-aVR"


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (changed('<scale value="2.5"', "<scale"), "amplitude of lead I is unknown"),
        (changed('<scale value="2.5"', '<scale value="0"'), "gain of lead I is not possible"),
        (changed('<scale value="2.5"', '<scale value="inf"'), "scale is 'inf'"),
        (changed('(<scale[^>]*)unit="uV"', r"\1"), "unit ''"),
        (changed('(<scale[^>]*)unit="uV"', r'\1unit="mm"'), "unit 'mm'"),
        (changed('<origin value="0" unit="uV"', '<origin value="7" unit="1"'), "unit '1'"),
        (changed('<origin value="0"', '<origin value="?"'), "origin is '?'"),
        (changed("<increment[^>]*>", ""), "sampling rate is unknown"),
        (changed("<increment[^>]*>", '<increment value="2" unit="beats"/>'), "is unknown"),
        (changed("<increment[^>]*>", '<increment value="-1" unit="s"/>'), "is unknown"),
        (changed("<increment[^>]*>", '<increment value="1e-9" unit="s"/>'), "1e.09 Hz"),
        (changed("<digits>[^<]*", "<digits>"), "contain no samples"),
        (changed("<digits>", "<digits>x "), "samples of lead I are not numbers"),
        (changed("<digits>", "<digits>1,2 "), "not numbers"),
        (changed("<digits>", "<digits>1-2 "), "not numbers"),
        (changed("<digits>", "<digits>\u0663 "), "not numbers"),
        (changed("<digits>", "<digits>1e400 "), "infinite samples"),
        (changed("<digits>", "<digits>1 ", 1), "different lengths"),
        (changed("RHYTHM", "REPRESENTATIVE_BEAT"), "contains no recording"),
        (changed('MDC_ECG_LEAD_II<|MDC_ECG_LEAD_II"', 'MDC_ECG_LEAD_I"'), "leads I more than"),
    ],
)
def test_what_leaves_samples_uncertain_is_an_error(tmp_path, edit, error):
    write_aecg(tmp_path / "a.xml", MV, edit=edit)
    with pytest.raises(RecordError, match=error.replace("?", r"\?")):
        decode(tmp_path / "a.xml")


def test_leads_of_other_times_are_an_error(tmp_path):
    def edit(text):
        part = re.search(r"(?s)<component><sequenceSet>.*?</sequenceSet></component>", text)[0]
        later = part.replace("20230401101112.000", "20230401101122.000")
        later = re.sub("LEAD_(A?V)", r"LEAD_X\1", later)
        first = re.sub("LEAD_(I+)", r"LEAD_X\1", part)
        return text.replace(part, first + later)

    write_aecg(tmp_path / "a.xml", MV, edit=edit)
    with pytest.raises(RecordError, match="different times at which they start"):
        decode(tmp_path / "a.xml")


def test_statements_are_those_of_the_file(tmp_path):
    write_aecg(tmp_path / "a.xml", MV)
    states = decode(tmp_path / "a.xml")[0].states
    assert states.statements == ("Sinus rhythm", "Normal ECG")
    assert (states.patient, states.age_text, states.sex_text) == ("4711", "73", "F")
    assert states.date.isoformat() == "2023-04-01T10:11:12"
    assert states.device == "Example devices M1"
    # QT is stated for a heartbeat only.
    assert states.measurements == {"heart_rate": 71.0, "pr_interval": 158.0}
    assert "JD" not in repr(states)


def test_a_reported_age_comes_before_the_date_of_birth(tmp_path):
    age = (
        '<controlVariable><relatedObservation><code code="21612-7"/>'
        '<value xsi:type="PQ" value="18" unit="mo"/></relatedObservation></controlVariable>'
    )
    write_aecg(tmp_path / "a.xml", MV, edit=changed("<component><series>", age + r"\g<0>"))
    assert decode(tmp_path / "a.xml")[0].states.age_text == "18 months"


def test_statements_of_a_reader_come_before_those_of_the_device(tmp_path):
    read = (
        "<annotationSet><author><assignedEntity><assignedAuthorType><assignedPerson/>"
        "</assignedAuthorType></assignedEntity></author><component><annotation>"
        '<code code="MDC_ECG_INTERPRETATION_STATEMENT"/><value>Atrial flutter</value>'
        '</annotation></component><component><annotation><code code="MDC_ECG_HEART_RATE"/>'
        '<value value="75" unit="bpm"/></annotation></component></annotationSet></subjectOf>'
    )
    write_aecg(tmp_path / "a.xml", MV, edit=changed("</subjectOf>", read))
    states = decode(tmp_path / "a.xml")[0].states
    assert states.statements == ("Atrial flutter",)
    assert states.measurements == {"heart_rate": 75.0, "pr_interval": 158.0}


@pytest.mark.parametrize(
    ("extension", "below", "patient"),
    [
        ("", "815", "815"),
        ("?", "", None),
        ("UNK", "815", "815"),
        ("7", "815", "7"),
    ],
)
def test_identifiers_of_patients(tmp_path, extension, below, patient):
    def edit(text):
        text = text.replace('extension="4711"', f'extension="{extension}"')
        return text.replace("<name>JD</name>", f"<PatientID>{below}</PatientID>")

    write_aecg(tmp_path / "a.xml", MV, edit=edit)
    assert decode(tmp_path / "a.xml")[0].states.patient == patient
