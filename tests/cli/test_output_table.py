"""The table of ``ecgsk predict``: its names, its lock, and how it goes on after any kill."""

import csv
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecgsk._cli import output_table
from ecgsk._cli.output_table import OutputTable
from ecgsk._core.files import replacing
from tests._names import PIECES, original, random_name
from tests._processes import DEAD, SERVER, die, start

COLUMNS = ["record", "probability", "decision", "doubts", "error"]


def names(n, seed=0):
    random = np.random.default_rng(seed)
    made = [random_name(random) for _ in range(n)]
    return list(dict.fromkeys([*PIECES, *made]))


def write(path, rows, **options):
    with OutputTable(path, COLUMNS, {"RECORDS": "these"}, **options) as table:
        for row in rows[table.n_records :]:
            table.write([row], n_failed=int(bool(row[-1])))
        table.finish()


def rows_of(records):
    return [(name, repr(i / 7), "yes", "", "") for i, name in enumerate(records)]


def read_csv_module(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_pandas(path):
    types = {"record": str, "probability": float}
    return pd.read_csv(path, dtype=types, keep_default_na=False).to_dict("records")


def read_arrow_csv(path):
    arrow = pytest.importorskip("pyarrow.csv")
    return arrow.read_csv(path, parse_options=arrow.ParseOptions(newlines_in_values=True),
                          convert_options=arrow.ConvertOptions(column_types={"record": "string"}),
                          ).to_pylist()  # fmt: skip


def read_pandas_parquet(path):
    return pd.read_parquet(path).to_dict("records")


def read_parquet(path):
    return pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()


READERS = [
    (".csv", read_csv_module),
    (".csv", read_pandas),
    (".csv", read_arrow_csv),
    (".parquet", read_parquet),
    (".parquet", read_pandas_parquet),
]


@pytest.mark.parametrize(("suffix", "read"), READERS)
def test_every_name_survives(tmp_path, suffix, read):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    made = names(800)
    write(tmp_path / f"out{suffix}", rows_of(made))
    found = read(tmp_path / f"out{suffix}")
    assert [original(row["record"]) for row in found] == made
    probabilities = [float(row["probability"]) for row in found]
    assert probabilities == pytest.approx([i / 7 for i in range(len(made))], rel=1e-15)
    assert len({row["record"] for row in found}) == len(made)


def test_plain_names_are_written_as_they_are(tmp_path):
    write(tmp_path / "out.csv", rows_of(["a\\b", "a b", "é", "C:\\users\\r1"]))
    assert [line.split(",")[0] for line in (tmp_path / "out.csv").read_text().splitlines()] == [
        "record", "a\\b", "a b", "é", "C:\\users\\r1"
    ]  # fmt: skip


# Where a process can be killed: each is called by the table in a place of its own.
STEPS = {
    "open": (os, "open"),
    "truncate": (os, "ftruncate"),
    "write": (os, "write"),
    "sync": (os, "fsync"),
    "replace": (os, "replace"),
    "remove": (os, "unlink"),
    "convert": (output_table, "_to_parquet"),
}


def write_and_die(path, step, count, after):
    owner, name = STEPS[step]
    function, calls = getattr(owner, name), []

    def dies(*args, **kwargs):
        calls.append(1)
        if len(calls) == count and not after:
            die()
        result = function(*args, **kwargs)
        if len(calls) == count:
            die()
        return result

    output_table._CHECKPOINT = 0
    setattr(owner, name, dies)
    write(path, rows_of("ab"))


def died(*args) -> bool:
    """Run it in a copy of this process, and return whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            write_and_die(*args)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == DEAD


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("step", STEPS)
def test_a_run_killed_at_any_step_is_continued(tmp_path, suffix, step, monkeypatch):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow.csv")
    write(tmp_path / f"whole{suffix}", rows_of("ab"))
    whole = (tmp_path / f"whole{suffix}").read_bytes()
    n_kills = 0
    for after in (False, True):
        for count in range(1, 60):
            folder = tmp_path / f"{after}{count}"
            folder.mkdir()
            out = folder / f"out{suffix}"
            if not died(out, step, count, after):
                assert out.read_bytes() == whole
                break
            n_kills += 1
            if count % 4 == 2:  # killed again while it continues
                died(out, step, count, after)
            if out.exists() and not list(folder.glob("out*.state.json")) and out.stat().st_size:
                assert out.read_bytes() == whole  # it was complete
            else:
                write(out, rows_of("ab"))
            assert out.read_bytes() == whole
            assert [path.name for path in folder.iterdir()] == [out.name]
    assert n_kills or (suffix, step) == (".csv", "convert")


def hold(path, pipe):
    """Write a row, and wait for a word."""
    with OutputTable(path, COLUMNS, {"RECORDS": "these"}) as table:
        table.write(rows_of("a"), 0)
        pipe.send("written")
        pipe.recv()
        table.write(rows_of("ab")[1:], 0)
        table.finish()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_second_process_changes_nothing(tmp_path, suffix):
    pytest.importorskip("fcntl")
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / f"out{suffix}"
    here, there = SERVER.Pipe()
    process = start(hold, out, there)
    assert here.recv() == "written"
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for options in ({}, {"overwrite": True}):
        with pytest.raises(ValueError, match="being written by another run"):
            write(out, rows_of("xyz"), **options)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    here.send("go on")
    process.join()
    assert process.exitcode == 0
    write(tmp_path / f"whole{suffix}", rows_of("ab"))
    assert out.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


def test_nothing_is_emptied_before_the_lock(tmp_path, monkeypatch):
    """Another run starts, and writes, between any two steps of this one until the lock."""
    fcntl = pytest.importorskip("fcntl")
    out = tmp_path / "out.csv"
    flock = fcntl.flock
    other = []

    def late(*args):
        if not other:
            other.append(None)
            other[0] = OutputTable(out, COLUMNS, {"RECORDS": "others"})
            other[0].write(rows_of("abc"), 0)
        return flock(*args)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(ValueError, match="being written by another run"):
        OutputTable(out, COLUMNS, {"RECORDS": "these"})
    other[0].finish()
    assert len(read_csv_module(out)) == 3


def test_a_file_that_was_removed_before_the_lock_is_opened_again(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    out, flock = tmp_path / "out.csv", fcntl.flock

    def late(*args):
        monkeypatch.setattr(fcntl, "flock", flock)
        out.unlink()
        return flock(*args)

    monkeypatch.setattr(fcntl, "flock", late)
    write(out, rows_of("ab"))
    assert len(read_csv_module(out)) == 2


def test_temporary_files_of_another_run_are_left_alone(tmp_path):
    first, second = (tmp_path / f"{'x' * 45}{name}.csv" for name in "ab")
    with replacing(Path(f"{first}.state.json")) as in_use:
        write(second, rows_of("a"))
        assert in_use.exists()
    left = tmp_path / ".short.csv.0123.tmp"
    left.touch()
    write(tmp_path / "short.csv", rows_of("a"))
    assert not left.exists()


def test_a_full_disk_leaves_a_state_to_continue_from(tmp_path, monkeypatch):
    out, system_write, left = tmp_path / "out.csv", os.write, [400]

    def full(file, content):
        if not left[0]:
            raise OSError(28, "No space left on device")
        n = system_write(file, content[: left[0]])
        left[0] -= n
        return n

    made = rows_of(names(50))
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*out.csv'"):
        write(out, made)
    monkeypatch.undo()
    write(out, made)
    write(tmp_path / "whole.csv", made)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_an_output_that_cannot_be_written_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "file").touch()
    for name, match in {
        "folder.csv": "is a folder: name a file in it, for example .*folder.csv/result.csv",
        ".": "is a folder",
        "pipe.csv": "not a regular file",
        "out.csv.gz": "must end in .csv or .parquet",
        "none/out.csv": "none' does not exist. Create it",
        "file/out.csv": "file' does not exist",
        "x" * 250 + ".csv": "too long",
    }.items():
        with pytest.raises((ValueError, OSError), match=match):
            OutputTable(tmp_path / name, COLUMNS, {})
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid(), reason="needs root to give up")
def test_a_folder_without_permission_is_named():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        os.seteuid(65534)
        try:
            with pytest.raises(OSError, match="out.csv' cannot be written .Permission denied"):
                OutputTable(Path(folder) / "out.csv", COLUMNS, {})
        finally:
            os.seteuid(0)


@pytest.mark.parametrize(
    "state", [b"", b"{", b"[]", b"\xff", b'{"identity": 1}', b"[" * 5000,
              b'{"identity": {}, "bytes": "1", "records": 1, "failed": 0}',
              b'{"identity": {}, "bytes": -1, "records": 1, "failed": 0}']
)  # fmt: skip
def test_a_damaged_state_is_refused_with_the_remedy(tmp_path, state):
    (tmp_path / "out.csv").write_text("mine\n")
    (tmp_path / "out.csv.state.json").write_bytes(state)
    with pytest.raises(ValueError, match="Give --overwrite"):
        write(tmp_path / "out.csv", rows_of("a"))
    assert (tmp_path / "out.csv").read_text() == "mine\n"
    write(tmp_path / "out.csv", rows_of("a"), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
