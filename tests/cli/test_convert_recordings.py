"""``ecgsk convert`` of recordings."""

import filecmp
import os

import numpy as np
import pytest

from ecgsk import make_ecg
from ecgsk._cli.main import main
from tests._wfdb_files import random_counts, write_record


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in range(20):
        write_record(tmp_path / "in" / str(i % 2), f"r{i}", random_counts(i))
    np.save(tmp_path / "in" / "x.npy", make_ecg(2, sampling_rate=100, random_state=0))
    return tmp_path


def convert(*words, status=0):
    assert main(["convert", *map(str, words)]) == status


def test_folders_become_folders_of_the_same_files_with_several_processes(folder, capsys):
    convert("in", "-o", "one", "--sampling-rate", 100)
    assert "Written: 22 of 22 records to one" in capsys.readouterr().out
    convert("in", "-o", "two", "--sampling-rate", 100, "--jobs", 2, "--quiet")
    assert capsys.readouterr() == ("", "")
    files = [os.path.relpath(os.path.join(place, name), "one")
             for place, _, names in os.walk("one") for name in names]  # fmt: skip
    assert len(files) == 45
    assert filecmp.cmpfiles("one", "two", files, shallow=False) == (files, [], [])


def test_what_is_not_converted_is_named_and_the_status_is_1(folder, capsys):
    (folder / "in" / "scan.pdf").touch()
    (folder / "in" / "0" / "r4.dat").write_bytes(b"")
    convert("in", "-o", "out", "--sampling-rate", 100, status=1)
    printed = capsys.readouterr()
    assert "Written: 21 of 23" in printed.out and "2 of 23 recordings, or files" in printed.err
    assert (
        "in/scan.pdf: a PDF" in printed.err and "r4.hea: r4.dat is truncated: 0 of" in printed.err
    )


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["in", "-o", "in/out"], "would get mixed"),
        (["in/0/r2", "-o", "old"], "exist already"),
        (["in/x.npy", "nowhere", "-o", "out"], "'nowhere' does not exist"),
        (["in/0", "in/1", "-o", "a.ecgsk"], "is for one model"),
        (["in/0/r2", "-o", "a.ecgsk"], "FILE='in/0/r2' does not exist"),
        (["nowhere", "-o", "out"], "must end in .safetensors or .ecgsk"),
    ],
)
def test_what_cannot_be_done_is_an_error(folder, words, match, capsys):
    (folder / "old").mkdir()
    (folder / "old" / "r2.dat").touch()
    convert(*words, status=2)
    assert match in capsys.readouterr().err and not (folder / "out").exists()
