"""Which files ``ecgsk predict`` reads, and that it names those that it does not read."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from ecgsk import make_ecg
from ecgsk._cli.main import main
from ecgsk._cli.model_input import ModelInput
from ecgsk._cli.recordings import Recordings
from ecgsk._formats.folder import list_folder
from tests._wfdb_files import LEADS, write_record

INPUT = ModelInput(sampling_rate=100, seconds=2, leads=tuple(LEADS), n_leads=12)
COUNTS = (make_ecg(1, duration=2, sampling_rate=100, random_state=0)[0] * 1000).astype("<i2")


@pytest.fixture
def folder(tmp_path):
    write_record(tmp_path / "in", "r", COUNTS, rate=100)
    return tmp_path / "in"


def listed(*given, **options):
    return Recordings([os.fspath(path) for path in given], INPUT, sampling_rate=100, **options)


def errors(*given):
    """Return the errors of all recordings by their names below the first folder."""
    found = {os.path.relpath(r.name, given[0]): r.error for r in listed(*given).read()}
    return found


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        *[(f"x{kind}", b"?", f"{kind} is not read: convert it")
          for kind in (".xml", ".XML", ".dcm", ".edf", ".bdf", ".scp", ".ecg", ".h5", ".npz")],
        ("x.hea.gz", b"?", ".gz is not read: decompress it"),
        ("x.edf.xz", b"?", ".xz is not read: decompress it"),
        ("x.HEA", b"?", "rename it to end in .hea"),
        ("x.NPY", b"?", "rename it to end in .npy"),
        ("x.dat", b"?", "it has no header: 'x.hea' is missing"),
        ("x.mat", b"?", "it has no header: 'x.hea' is missing"),
        ("x.pdf", b"?", "a PDF is a picture of a recording"),
    ],
)  # fmt: skip
def test_recordings_in_other_formats_are_listed_with_the_reason(folder, name, content, match):
    (folder / name).write_bytes(content)
    found = errors(folder)
    assert found.pop("r") == ""
    assert match in found.pop(name) and not found
    (unread,) = listed(folder).unread
    assert unread.path == os.fspath(folder / name)


def test_what_is_no_recording_is_not_listed(folder):
    made = {
        "RECORDS": "r\n", "LICENSE.txt": "Free. 1 2 3\n", "SHA256SUMS.txt": "0ab1  r.dat\n" * 5,
        "ptbxl_database.csv": "ecg_id,age,report\n1,56.0,sinus rhythm\n2,19.0,other\n",
        "labels.csv": "ecg_id,AFIB\n1,0\n2,1\n", "out.csv": "record,probability\nr,0.5\nq,0.2\n",
        "README.md": "#", "empty.csv": "", "one.txt": "1\n", "model.ecgsk": "PK", "r.atr": "\0",
        ".hidden.npy": "", "._r.hea": "\0", "index.html": "<html>", "a.zip": "PK", "RECORDS.7": "r",
    }  # fmt: skip
    for name, content in made.items():
        (folder / name).write_text(content)
    (folder / ".git").mkdir()
    write_record(folder / ".git", "q", COUNTS, rate=100)
    assert errors(folder) == {"r": ""}


def test_a_store_that_is_a_folder_is_one_unread_file(folder):
    store = folder / "x.zarr" / "signals"
    store.mkdir(parents=True)
    (store / "0.0.npy").touch()
    assert set(errors(folder)) == {"r", "x.zarr"}


@pytest.mark.real_data
def test_no_file_of_real_data_sets_is_called_unread(ptbxl_path):
    assert listed(ptbxl_path / "records100").unread == []
    content = listed(ptbxl_path)
    assert content.unread == [] and content.repeated == []


def test_a_recording_that_several_paths_lead_to_is_listed_once(folder, tmp_path, monkeypatch):
    np.save(folder / "a.npy", COUNTS / 1000)
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    (folder / "again").symlink_to(folder, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    spellings = ["in", "in/r", "in/r.hea", "./in/r.dat", "in/../in/r", "link", "link/a.npy",
                 tmp_path / "in"]  # fmt: skip
    found = listed(*spellings)
    assert [r.name for r in found.read()] == ["in/a.npy", "in/r"]
    assert len(found.repeated) == 9 and "link/a.npy" in found.repeated
    assert [r.name for r in listed("link", "in").read()] == ["link/a.npy", "link/r"]


def test_files_of_one_name_in_several_folders_are_several_recordings(folder, tmp_path):
    """Their headers may be links to one file, as in annexes, and are not their signals."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "r.hea").symlink_to(folder / "r.hea")
    (other / "r.dat").write_bytes((-COUNTS.T).astype("<i2").tobytes())
    found = list(listed(folder, other).read())
    assert len(found) == 2 and not np.array_equal(found[0].signal, found[1].signal)


def test_a_second_header_of_the_same_signals_is_no_second_recording(folder):
    shutil.copy(folder / "r.hea", folder / "a (1).hea")
    shutil.copy(folder / "r.hea", folder / "r (1).hea")
    found = errors(folder)
    assert found.pop("r") == ""
    assert all("the same signals as 'r'" in error for error in found.values()) and len(found) == 2
    assert errors(folder, folder / "r")["r"] == ""
    # Alone it is the recording.
    assert [r.error for r in listed(folder / "r (1)").read()] == [""]


def test_links_to_folders_are_followed_once(folder, tmp_path):
    far = tmp_path / "far"
    write_record(far / "deep", "q", COUNTS, rate=100)
    (far / "deep" / "back").symlink_to(far)
    for name in ("x", "y"):
        (folder / name).symlink_to(far, target_is_directory=True)
    (folder / "self").symlink_to(folder)
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    (folder / "loop.hea").symlink_to("loop.hea")
    found = errors(folder)
    assert set(found) == {"r", "x/deep/q", "gone", "loop"}
    assert found["r"] == found["x/deep/q"] == "" and "link" in found["gone"] and found["loop"]


def test_folders_that_cannot_be_read_are_listed(folder, monkeypatch):
    (folder / "shut").mkdir()
    write_record(folder / "shut", "q", COUNTS, rate=100)
    scandir = os.scandir

    def shut(path):
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", shut)
    assert "cannot be read (Permission denied)" in errors(folder)["shut"]
    with pytest.raises(PermissionError):
        list_folder(os.fspath(folder / "shut"))


def test_files_that_change_during_the_run_cost_only_their_rows(folder):
    for name in "abc":
        write_record(folder, name, COUNTS, rate=100)
    np.save(folder / "n.npy", COUNTS / 1000)
    reading = listed(folder).read()
    first = next(reading)
    (folder / "b.hea").unlink()
    (folder / "c.dat").unlink()
    (folder / "n.npy").unlink()
    write_record(folder, "late", COUNTS, rate=100)
    rest = {os.path.basename(r.name): r.error for r in reading}
    assert not first.error and set(rest) == {"b", "c", "n.npy", "r"}
    assert rest["b"] and rest["c"] and rest["n.npy"] and not rest["r"]


def test_a_file_that_was_replaced_is_another_list_of_recordings(folder):
    """An interrupted run must not continue with other recordings under the same names."""
    np.save(folder / "n.npy", COUNTS / 1000)
    before = listed(folder).sha256
    assert listed(folder).sha256 == before
    os.utime(folder / "n.npy", ns=(1, 1))
    changed = listed(folder).sha256
    os.utime(folder / "r.hea", ns=(1, 1))
    assert len({before, changed, listed(folder).sha256}) == 3


def test_a_folder_without_recordings_names_what_it_contains(folder):
    for path in list(folder.iterdir()):
        path.unlink()
    for name in ("a.xml", "b.xml", "c.xml", "d.xml", "x.dcm"):
        (folder / name).touch()
    message = r"1 .dcm \('x.dcm'\), 4 .xml \('a.xml', 'b.xml', 'c.xml', ...\)"
    with pytest.raises(FileNotFoundError, match=message):
        listed(folder)


def test_the_command_names_what_it_has_not_read(folder, tmp_path, monkeypatch, capsys):
    from tests.fuzz._predict import model_file

    (folder / "x.xml").touch()
    (folder / "y.dcm").touch()
    out = tmp_path / "out.csv"
    words = ["predict", str(model_file()), str(folder), f"{folder}/r.dat", "-o", str(out)]
    for _ in range(2):
        assert main(words) == 1
        told = capsys.readouterr().err
        assert "2 of them are not read: 1 .dcm ('y.dcm'), 1 .xml ('x.xml')" in told
        assert "listed once: " in told
        rows = list(csv.DictReader(out.open(newline="")))
        assert [bool(row["error"]) for row in rows] == [False, True, True]
        out.unlink()
