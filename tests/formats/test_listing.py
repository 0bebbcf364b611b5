"""What paths, folders and patterns lead to."""

import os

import numpy as np
import pytest

from ecgsk._formats.listing import list_sources, unread_of
from tests._wfdb_files import random_counts, write_record

DICOM = bytes(128) + b"DICM" + bytes(50)
MUSE = b'<?xml version="1.0"?>\n<RestingECG>'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in {
        "in/IM1": DICOM, "in/deep/x.xml": MUSE, "in/deep/y.XML": MUSE, "in/deep/z.pdf": b"%PDF",
        "in/labels.csv": b"record,lvef\nr,50\n", "in/README": b"Hello", "in/.hidden.xml": MUSE,
        "in/odd.xml": b"<html/>",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    write_record(tmp_path / "in", "r", random_counts(0))
    np.save(tmp_path / "in" / "a.npy", random_counts(1))
    return tmp_path


def listed(*given):
    sources, repeated = list_sources(map(os.fspath, given))
    return {s.shown: s.format.name if s.format else s.error for s in sources}, repeated


def test_formats_are_found_by_content_in_folders(folder):
    found, repeated = listed("in")
    assert list(found) == sorted(found) and repeated == []
    assert "PDF" in found.pop("in/deep/z.pdf") and ".xml is not read" in found.pop("in/odd.xml")
    assert found == {
        "in/IM1": "DICOM",
        "in/a.npy": "NPY",
        "in/deep/x.xml": "MUSE XML",
        "in/deep/y.XML": "MUSE XML",
        "in/r": "WFDB",
    }
    unread = unread_of(list_sources(["in"])[0])
    assert [item.path for item in unread] == ["in/deep/z.pdf", "in/odd.xml"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("in/deep/*.xml", ["in/deep/x.xml"]),
        ("in/**/*.[xX]*", ["in/deep/x.xml", "in/deep/y.XML", "in/odd.xml"]),
        ("in/*.dat", ["in/r"]),
        ("in/*.hea", ["in/r"]),
        ("in/r*", ["in/r"]),
        ("i*/d*", ["in/deep/x.xml", "in/deep/y.XML", "in/deep/z.pdf"]),
        ("in/*", None),
    ],
)
def test_patterns_lead_to_recordings(folder, pattern, expected):
    assert list(listed(pattern)[0]) == (expected or list(listed("in")[0]))


def test_each_recording_is_listed_once_in_the_given_order(folder):
    found, repeated = listed("in/r.dat", "in/deep/x.xml", "in/r", "./in/../in/deep", "in/r.hea")
    assert list(found)[:2] == ["in/r", "in/deep/x.xml"] and len(found) == 4
    assert repeated == ["in/r", "./in/../in/deep/x.xml", "in/r"]


def test_a_given_file_in_no_format_is_named_among_others_that_are_read(folder):
    found, _ = listed("in/r", "in/labels.csv", "in/deep/z.pdf")
    assert found["in/labels.csv"] == "its content is in no format that is read"
    assert "PDF" in found["in/deep/z.pdf"]
    with pytest.raises(FileNotFoundError, match=r"none of the files is read: 1 .csv .* no format"):
        listed("in/labels.csv", "in/deep/z.pdf")


def test_segments_of_a_record_are_not_recordings(folder):
    write_record(folder / "long", "a", random_counts(0))
    write_record(folder / "long", "b", random_counts(1))
    (folder / "long" / "all.hea").write_text("all/2 12 500 100\na 50\nb 50\n")
    assert list(listed("long")[0]) == list(listed("long/*")[0]) == ["long/all"]
    assert list(listed("long/a")[0]) == ["long/a"]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (["in", "nowhere"], "source: 'nowhere' does not exist, and there is no nowhere.hea"),
        (["x.hea"], "'x.hea' does not exist"),
        (["in", "*.scp"], "the pattern '.*scp' contains no recording"),
        (["in", "empty"], "the folder 'empty' contains no recording"),
        ([], "source is empty"),
    ],
)
def test_paths_that_lead_to_nothing_are_refused(folder, given, match):
    (folder / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=match):
        listed(*given)
