"""XML of Mortara devices."""

import re

import numpy as np
import pytest

from ecgsk._core.record_error import RecordError
from ecgsk._formats.mortara import MortaraXML
from ecgsk._formats.registry import find_format
from ecgsk._formats.stored import ReadOptions
from tests._xml_files import TWELVE_LEADS, write_mortara

MV = np.random.default_rng(0).normal(0, 0.4, (12, 300))


def decode(path):
    return MortaraXML().decode_file(str(path), ReadOptions())


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"units_per_mv": 1000, "rate": 1000},
        {"attributes": {"DURATION": 600, "BITS": 16, "FORMAT": "signed", "ENCODING": "base64"}},
        {"attributes": dict.fromkeys(("DURATION", "OFFSET", "BITS", "FORMAT", "ENCODING"), "")},
    ],
)
def test_counts_come_back_and_equal_those_of_ecgdatakit(tmp_path, arguments):
    path = tmp_path / "a.xml"
    counts = write_mortara(path, MV, **arguments)
    assert isinstance(find_format(str(path)), MortaraXML)
    ecg, signal = decode(path)
    rate, per_mv = arguments.get("rate", 500), arguments.get("units_per_mv", 400)
    assert (ecg.leads, ecg.sampling_rate, ecg.n_samples) == (TWELVE_LEADS, rate, 300)
    np.testing.assert_array_equal(np.rint(signal * per_mv), counts)
    record = pytest.importorskip("ecgdatakit.parsing").FileParser.parse(path)
    np.testing.assert_allclose(signal, [lead.samples for lead in record.leads], atol=1e-6)


@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ({"UNITS_PER_MV": ""}, "amplitude of lead I is unknown"),
        ({"UNITS_PER_MV": "-5"}, "amplitude of lead I is unknown"),
        ({"SAMPLE_FREQ": ""}, "no sampling rate"),
        ({"SAMPLE_FREQ": "0"}, "no sampling rate"),
        ({"BITS": 12}, "BITS 12"),
        ({"FORMAT": "UNSIGNED"}, "FORMAT UNSIGNED"),
        ({"ENCODING": "HEX"}, "ENCODING HEX"),
        ({"DURATION": 301}, "300 samples and DURATION 301"),
        ({"DATA": "AAA"}, "not base64"),
        ({"DATA": "AAAA"}, "3 bytes"),
        ({"DATA": "1 2 3"}, "not base64"),
        ({"DATA": "", "DURATION": ""}, "contain no samples"),
        ({"NAME": " "}, "lead without a name"),
        ({"NAME": "II"}, "leads II more than once"),
    ],
)
def test_what_leaves_samples_uncertain_is_an_error(tmp_path, attributes, error):
    write_mortara(tmp_path / "a.xml", MV, attributes=attributes)
    with pytest.raises(RecordError, match=error):
        decode(tmp_path / "a.xml")


def test_offsets_have_no_documented_meaning(tmp_path):
    counts = write_mortara(tmp_path / "a.xml", MV, attributes={"OFFSET": "3"})
    ecg, signal = decode(tmp_path / "a.xml")
    np.testing.assert_array_equal(np.rint(signal * 400), counts)
    assert "OFFSET, whose meaning is not documented" in ecg.doubts[0]

    content = (tmp_path / "a.xml").read_text().replace('OFFSET="3"', 'OFFSET="0"', 1)
    (tmp_path / "a.xml").write_text(content)
    with pytest.raises(RecordError, match="different times at which they start"):
        decode(tmp_path / "a.xml")


def test_statements_are_those_of_the_file(tmp_path):
    write_mortara(tmp_path / "a.xml", MV)
    states = decode(tmp_path / "a.xml")[0].states
    assert states.statements == ("Sinus rhythm rate 71",)
    assert (states.patient, states.age_text, states.sex_text) == ("4711", "63 years", "Female")
    assert states.date.isoformat() == "2023-04-01T10:11:12"
    assert states.device == "Mortara ELI 250"
    assert states.measurements == {
        "heart_rate": 71.0,
        "rr_interval": 845.0,
        "pr_interval": 158.0,
        "qrs_duration": 92.0,
        "qt_interval": 402.0,
        "qtc_interval": 436.0,
        "qrs_axis": 41.0,
    }
    assert "Doe" not in repr(states)


def test_demographic_fields_count_by_their_number(tmp_path):
    """Their labels are in the language of the device."""
    fields = "".join(
        f'<DEMOGRAPHIC_FIELD ID="{number}" LABEL="?" VALUE="{value}" UNITS="{unit}"/>'
        for number, value, unit in ((1, "Doe", ""), (2, "815", ""), (3, 9, "MONTHS"), (4, "M", ""))
    )

    def edit(text):
        text = re.sub(r"<SUBJECT[^>]*></SUBJECT>", "", text)
        text = text.replace('AGE="63"', 'AGE=""')
        return text.replace("</ECG>", f"<DEMOGRAPHIC_FIELDS>{fields}</DEMOGRAPHIC_FIELDS></ECG>")

    write_mortara(tmp_path / "a.xml", MV, edit=edit)
    states = decode(tmp_path / "a.xml")[0].states
    assert (states.patient, states.age_text, states.sex_text) == ("815", "9 months", "M")


def test_other_files_with_such_a_root_are_an_error(tmp_path):
    (tmp_path / "a.xml").write_text("<ECG><Lead>1 2 3</Lead></ECG>")
    with pytest.raises(RecordError, match="it has no CHANNEL"):
        decode(tmp_path / "a.xml")


def test_more_leads_than_any_device_has_are_an_error(tmp_path):
    names = [f"L{number}" for number in range(1001)]
    write_mortara(tmp_path / "a.xml", np.ones((1001, 2)), leads=names)
    with pytest.raises(RecordError, match="1001 leads; at most 1000 are read"):
        decode(tmp_path / "a.xml")
