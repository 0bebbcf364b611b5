"""``ecgsk predict`` and ``ecgsk report`` on files of several formats."""

import csv
import os
from types import SimpleNamespace

import numpy as np
import pytest

from ecgsk import make_ecg
from ecgsk._cli.main import main
from ecgsk._cli.model_input import ModelInput
from ecgsk._cli.recordings import Recordings
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._formats.muse import MuseXML
from tests._wfdb_files import write_record
from tests._xml_files import EIGHT_LEADS, write_muse
from tests.fuzz._predict import N_SAMPLES, RATE, model_file

pytest.importorskip("ecgdatakit")

X = make_ecg(6, duration=N_SAMPLES / RATE, sampling_rate=RATE, random_state=0)
EIGHT = [STANDARD_LEADS.index(lead) for lead in EIGHT_LEADS]


def muse(path, i, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_muse(path, X[i][EIGHT], rate=RATE, units_per_bit="1", **options)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of recordings in three formats, and of files that are not recordings."""
    place = tmp_path / "in"
    for i in range(3):
        muse(place / "muse" / f"m{i}.xml", i)
        write_record(place / "wfdb", f"w{i}", np.rint(X[i] * 1000).astype("<i2"), rate=RATE)
    np.save(place / "x.npy", X)
    (place / "scan.pdf").write_bytes(b"%PDF-1.4")
    (place / "muse" / "broken.xml").write_text("<RestingECG><Waveform>")
    (place / "labels.csv").write_text("record,lvef\nm0,50\n")
    return place


def predict(*words, status=0):
    given = ["predict", model_file(), "--sampling-rate", RATE, *words]
    assert main(list(map(str, given))) == status


def rows_of(path):
    with open(path, newline="") as file:
        return {os.path.basename(row["record"]): row for row in csv.DictReader(file)}


def test_all_formats_have_one_row_each_and_equal_recordings_equal_predictions(
    folder, tmp_path, capsys
):
    predict(folder, "-o", tmp_path / "a.csv", status=1)
    printed = capsys.readouterr().err
    assert "2 of 14 recordings have no prediction" in printed
    assert "1 of them are not read: 1 .pdf ('scan.pdf')" in printed
    rows = rows_of(tmp_path / "a.csv")
    assert "PDF" in rows.pop("scan.pdf")["error"] and rows.pop("broken.xml")["error"]
    assert len(rows) == 12 and not any(row["error"] for row in rows.values())
    for i in range(3):
        same = [rows[name]["probability"] for name in (f"m{i}.xml", f"w{i}", f"x.npy[{i}]")]
        assert np.ptp(np.array(same, dtype=float)) < 1e-4


def test_several_processes_write_the_same_bytes(folder, tmp_path):
    for i in range(20):
        muse(folder / "more" / f"{i:02d}.xml", i % 6, statements=["Normal ECG"] * i)
    for jobs in (1, 2):
        predict(folder, "-o", tmp_path / f"{jobs}.csv", "--jobs", jobs, status=1)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


INPUT = ModelInput(RATE, N_SAMPLES / RATE, STANDARD_LEADS, 12)


def read(*given, model_input=INPUT, start=0, **options):
    recordings = Recordings([os.fspath(path) for path in given], model_input, **options)
    return list(recordings.read(start))


def test_a_run_continues_where_another_stopped(folder):
    everything = read(folder, sampling_rate=RATE)
    assert len(everything) == 14
    for start in (1, 5, 9, 14):
        rest = read(folder, sampling_rate=RATE, start=start)
        for one, other in zip(rest, everything[start:], strict=True):
            assert (one.name, one.error, one.doubts) == (other.name, other.error, other.doubts)
            np.testing.assert_array_equal(one.signal, other.signal)


def test_covariates_are_those_of_the_file(tmp_path):
    part = SimpleNamespace(
        columns_=["age", "sex"],
        has_missing_=[False, False],
        unlike_training=lambda table: table.iloc[:0],
    )
    model_input = ModelInput(RATE, N_SAMPLES / RATE, STANDARD_LEADS, 12, covariates=(part,))
    muse(tmp_path / "in" / "a.xml", 0)
    muse(tmp_path / "in" / "b.xml", 0, patient={"PatientAge": "", "DateofBirth": ""})
    a, b = read(tmp_path / "in", model_input=model_input)
    assert a.covariates == {"age": 63.0, "sex": 1.0} and a.signal is not None
    assert b.error.startswith("the model needs age; the file has none")


def test_a_recording_that_is_too_long_names_the_remedy(tmp_path):
    """Files of Philips have 11 s; a model of 10 s reads the beginning."""
    muse(tmp_path / "a.xml", 0)
    short = ModelInput(RATE, 1.5, STANDARD_LEADS, 12)
    (refused,) = read(tmp_path / "a.xml", model_input=short)
    assert "it is 2 s long (200 samples at 100 Hz); the model takes 1.5 s, or --crop" in (
        refused.error
    )
    (cut,) = read(tmp_path / "a.xml", model_input=short, crop=True)
    np.testing.assert_allclose(cut.signal, X[0][:, :150], atol=1.1e-3)
    assert cut.doubts[0].startswith("cropped: it is 2 s long")


def test_a_missing_package_costs_the_rows_of_its_format(folder, monkeypatch):
    def decode(self, path, options):
        raise ImportError('Reading MUSE XML needs a package: pip install "ecgsk[formats]".')

    monkeypatch.setattr(MuseXML, "decode", decode)
    found = read(folder / "muse", folder / "wfdb")
    assert [bool(r.error) for r in found] == [True] * 4 + [False] * 3
    assert 'needs a package: pip install "ecgsk[formats]"' in found[1].error


def test_a_parser_without_memory_costs_its_row(folder, monkeypatch):
    def decode(self, path, options):
        raise MemoryError

    monkeypatch.setattr(MuseXML, "decode", decode)
    found = read(folder / "muse", folder / "wfdb")
    assert [r.error for r in found] == ["it does not fit into memory."] * 4 + [""] * 3


def test_reports_take_any_format(folder, tmp_path, capsys):
    files = [folder / "muse" / "m0.xml", folder / "wfdb" / "w1"]
    words = ["report", model_file(), "--ecg", *files, "--out", tmp_path / "r.html"]
    assert main(list(map(str, [*words, "--resamples", 10]))) == 0
    text = (tmp_path / "r.html").read_text()
    assert "m0.xml" in text and "w1" in text
    assert main(list(map(str, ["report", model_file(), "--ecg", folder / "scan.pdf"]))) == 2
    assert "a PDF is a picture" in capsys.readouterr().err


def test_what_files_do_not_contain_is_given(tmp_path):
    leads = [*EIGHT_LEADS[::-1]]
    np.save(tmp_path / "a.npy", np.rint(X[0][EIGHT][::-1] * 1000))
    np.save(tmp_path / "b.npy", X[0])
    options = ["--file-unit", "uV", "--file-leads", ",".join(leads)]
    predict(tmp_path / "a.npy", "-o", tmp_path / "a.csv", *options)
    predict(tmp_path / "b.npy", "-o", tmp_path / "b.csv")
    a, b = (list(rows_of(tmp_path / f"{name}.csv").values())[0] for name in "ab")
    assert abs(float(a["probability"]) - float(b["probability"])) < 1e-4
