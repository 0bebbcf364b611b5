"""Tables of samples in text files."""

import csv
import io

import numpy as np
import pytest

from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._formats.folder import sort_files
from ecgsk._formats.registry import find_format
from ecgsk._formats.stored import ReadOptions
from ecgsk._formats.text_table import TextTable

FORMAT = TextTable()
GIVEN = ReadOptions(sampling_rate=250)
X = np.random.default_rng(0).normal(0, 0.3, (12, 1500)).round(3)
SECONDS = np.arange(1500) / 250


def table(names=STANDARD_LEADS, columns=X, *, separator=",", decimal=".", end="\n", digits=3):
    """Return a table as text."""
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=separator, lineterminator=end)
    if names is not None:
        writer.writerow(names)
    for row in zip(*columns, strict=True):
        texts = [v if isinstance(v, str) else f"{v:.{digits}f}" for v in row]
        writer.writerow([text.replace(".", decimal) for text in texts])
    return stream.getvalue()


def with_times(name, times, digits=3):
    return table([name, *STANDARD_LEADS], [[f"{t:.{digits}f}" for t in times], *X])


def decoded(path, content, options=GIVEN, encoding="utf-8"):
    path.write_bytes(content.encode(encoding))
    assert isinstance(find_format(str(path)), TextTable)
    return FORMAT.decode_file(str(path), options)


@pytest.mark.parametrize(
    "content",
    [
        table(),
        table(separator=";"),
        table(separator=";", decimal=","),
        table(separator="\t", decimal=","),
        table(separator="|"),
        table(separator=" "),
        table(end="\r\n"),
        "sep=;\r\n" + table(separator=";", decimal=",", end="\r\n"),
        "# made by a device\n\n" + table(end="\n\n"),
        table().replace("\n", "\n" + ",".join(["mV"] * 12) + "\n", 1),
        ",".join(f"'{lead}'" for lead in STANDARD_LEADS) + "\n" + ",".join(["'uV'"] * 12) + "\n"
        + table(None, 1000 * X),
        table().replace("\n", ",\n"),
        table(separator=",", decimal=",").replace("\n", "\r\n"),
        table([f"Lead {lead.upper()} " for lead in STANDARD_LEADS]),
        table([f"{lead} (mV)" for lead in STANDARD_LEADS]),
        table([f"{lead}_mV" for lead in STANDARD_LEADS]),
        table([f"{lead} [uV]" for lead in STANDARD_LEADS], 1000 * X),
        table([f"{lead}/µV" for lead in STANDARD_LEADS], 1000 * X),
        table(["I (mV)", *(f"{lead} (uV)" for lead in STANDARD_LEADS[1:])],
              [X[0], *(1000 * X[1:])]),
        table(["", *STANDARD_LEADS, "respiration", "time"], [np.arange(1500), *X, X[0], SECONDS]),
    ],
)  # fmt: skip
def test_a_table_with_names_of_leads_is_read(tmp_path, content):
    ecg, signal = decoded(tmp_path / "x.csv", content)
    assert (ecg.leads, ecg.sampling_rate, ecg.n_samples) == (STANDARD_LEADS, 250, 1500)
    assert signal.dtype == np.float32
    np.testing.assert_allclose(signal, X, atol=1e-6)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
def test_encodings_of_spreadsheets_are_read(tmp_path, encoding):
    content = table([f"{lead} (µV)" for lead in STANDARD_LEADS], 1000 * X, separator=";",
                    decimal=",", end="\r\n")  # fmt: skip
    _, signal = decoded(tmp_path / "x.TXT", content, encoding=encoding)
    np.testing.assert_allclose(signal, X, atol=1e-6)


@pytest.mark.parametrize("separator", [",", "\t", " "])
def test_a_table_without_names_needs_them(tmp_path, separator):
    content = table(None, separator=separator)
    with pytest.raises(RecordError, match="12 columns have no names.*file_leads"):
        decoded(tmp_path / "x.txt", content)
    options = ReadOptions(sampling_rate=250, leads=STANDARD_LEADS[::-1])
    ecg, signal = decoded(tmp_path / "x.txt", content, options)
    assert ecg.leads == STANDARD_LEADS[::-1]
    np.testing.assert_allclose(signal, X, atol=1e-6)


@pytest.mark.parametrize("first", ["", "lead;" + ";".join(map(str, range(1500))) + "\n"])
def test_a_row_for_each_lead_needs_a_column_of_names(tmp_path, first):
    rows = [f"{lead} (uV);" + ";".join(f"{1000 * v:.1f}".replace(".", ",") for v in values)
            for lead, values in zip(STANDARD_LEADS, X, strict=True)]  # fmt: skip
    ecg, signal = decoded(tmp_path / "x.csv", first + "\n".join(rows))
    assert (ecg.leads, ecg.n_samples) == (STANDARD_LEADS, 1500)
    np.testing.assert_allclose(signal, X, atol=1e-6)


def test_missing_samples_are_nan(tmp_path):
    content = table(separator=";").splitlines()
    content[5] = ";" + content[5].partition(";")[2]
    content[9] = content[9].rpartition(";")[0] + ";NaN"
    _, signal = decoded(tmp_path / "x.csv", "\n".join(content))
    assert np.argwhere(np.isnan(signal)).tolist() == [[0, 4], [11, 8]]


@pytest.mark.parametrize(
    ("name", "times", "digits", "rate"),
    [
        ("time_s", SECONDS, 3, 250),
        ("Time (ms)", 1000 * SECONDS, 0, 250),
        ("t [s]", SECONDS + 1.7e9, 3, 250),
        ("seconds", np.arange(1500) / 257, 3, 257),
        ("time/s", np.arange(1500) / 360, 16, 360),
        ("elapsed_ms", np.arange(1500) / 0.1282, 9, 128.2),
    ],
)
def test_times_in_a_stated_unit_give_the_rate(tmp_path, name, times, digits, rate):
    ecg, signal = decoded(tmp_path / "x.csv", with_times(name, times, digits), ReadOptions())
    assert ecg.sampling_rate == pytest.approx(rate, rel=1e-9)
    assert ecg.leads == STANDARD_LEADS and signal.shape == X.shape


@pytest.mark.parametrize(
    ("content", "options", "match"),
    [
        (table(), ReadOptions(), r"give file_sampling_rate \(--sampling-rate\)"),
        (with_times("time", SECONDS), ReadOptions(), "does not state the unit"),
        (with_times("time_s", SECONDS), ReadOptions(500), "250 Hz, but file_sampling_rate=500"),
        (with_times("time", SECONDS), ReadOptions(500), "0.004, which is 250 Hz if in s"),
        (with_times("time_ms", np.delete(np.arange(1501), 700) * 4), GIVEN, "not constant"),
        (with_times("time_s", SECONDS[::-1]), GIVEN, "not constant"),
        (with_times("time_s", SECONDS.round(2)), GIVEN, "not constant"),
        (with_times("time_s", np.where(SECONDS == 2, np.nan, SECONDS)), GIVEN, "missing times"),
        (table([f"{lead} (mV)" for lead in STANDARD_LEADS]), ReadOptions(250, "uV"), "file_unit"),
        (table(["I (mV)", *STANDARD_LEADS[1:]]), GIVEN, "some leads state a unit"),
        (table(columns=1000 * X, digits=0), GIVEN, "whole numbers.*file_unit"),
        (table(), ReadOptions(250, leads=STANDARD_LEADS[::-1]), "file_leads has V6"),
        (table(None), ReadOptions(250, leads=("I", "II")), "12 columns without names"),
        (table(columns=X[:, :249]), GIVEN, "249 samples of each lead, less than 1 s"),
        (table() + "0," * 11 + "broken\n", GIVEN, "broken"),
        (table()[:-8], GIVEN, "cut off or changed"),
        (table() + "1,2\n", GIVEN, "cut off or changed"),
        (table() + "1," * 12 + "2\n", GIVEN, "cut off or changed"),
        (table(separator=";", decimal=",") + "0.5;" * 11 + "0.5\n", GIVEN, "cannot be read"),
    ],
)
def test_what_cannot_be_read_or_is_a_contradiction_is_refused(tmp_path, content, options, match):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(RecordError, match=match):
        FORMAT.decode_file(str(tmp_path / "x.csv"), options)


def test_whole_numbers_are_read_in_the_unit_that_is_given(tmp_path):
    content = table(columns=1000 * X, digits=0)
    _, signal = decoded(tmp_path / "x.csv", content, ReadOptions(250, unit="uV"))
    np.testing.assert_allclose(signal, X, atol=6e-4)


@pytest.mark.parametrize(
    "content",
    [
        "ecg_id,age,report\n1,56.0,sinus rhythm\n2,19.0,other\n",
        "ecg_id,AFIB\n1,0\n2,1\n",
        "patient_id,I,II,V1\n1,0.2,0.3,0.1\n2,0.1,0.4,0.2\n",
        "record,probability\nr,0.5\nq,0.2\n",
        "name,V1\na,0.1\nb,0.2\n",
        "x,V1\n5,0.1\n7,0.2\n",
        "Free. 1 2 3\n",
        "",
        "1\n",
        "I,II,III\n",
        "I,II\nx,y\n",
        "\0" * 100,
    ],
)
def test_other_text_is_not_a_recording(tmp_path, content):
    (tmp_path / "x.csv").write_text(content)
    assert find_format(str(tmp_path / "x.csv")) is None


def test_large_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("ecgsk._formats.text_table._LARGEST_FILE", 10_000)
    with pytest.raises(RecordError, match="of text"):
        decoded(tmp_path / "x.csv", table())


def test_units_in_the_second_row_are_those_of_times_as_well(tmp_path):
    units = "'ms'," + ",".join(["'uV'"] * 12) + "\n"
    names = "'Elapsed time'," + ",".join(f"'{lead}'" for lead in STANDARD_LEADS) + "\n"
    content = names + units + table(None, [1000 * SECONDS, *(1000 * X)])
    ecg, signal = decoded(tmp_path / "x.csv", content, ReadOptions())
    assert (ecg.sampling_rate, ecg.leads) == (250, STANDARD_LEADS)
    np.testing.assert_allclose(signal, X, atol=1e-6)


HEADER = ",".join(STANDARD_LEADS)
ROWS = (",".join(["0.125"] * 12) + "\n") * 20


@pytest.mark.parametrize(
    ("text", "doubtful"),
    [
        (",".join(f"ch{i}" for i in range(12)) + "\n" + ROWS, True),
        (f"Patient;7\nDate;2020\n{HEADER}\n{ROWS}".replace(",", ";"), True),  # a head before it
        (f"{HEADER},label\n" + ROWS.replace("\n", ",AF\n"), True),
        ("ecg_id," + ",".join(f"x{i}" for i in range(11)) + "\n" + ROWS, False),
        ("record,AF,SR\na,1,0\nb,0,1\n", False),
        ("hadm,lvef,tte\n1,30,2\n2,50,4\n3,4,5\n", False),
        ("hello\n" * 20, False),
        ("", False),
    ],
)
def test_tables_in_unknown_layouts_are_named_and_those_of_patients_are_not(
    tmp_path, text, doubtful
):
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    read, unread = sort_files([str(tmp_path / "x.csv")], [])
    assert not read
    assert len(unread) == doubtful
    assert all("in an unknown layout" in item.reason for item in unread)


def test_rows_without_values_at_the_end_are_not_samples(tmp_path):
    (tmp_path / "x.csv").write_text(f"{HEADER}\n{ROWS}{',' * 11}\n{',' * 11}\n", encoding="utf-8")
    ecg, signal = TextTable().decode_file(str(tmp_path / "x.csv"), ReadOptions(sampling_rate=20))
    assert ecg.n_samples == 20 and (signal == 0.125).all()
