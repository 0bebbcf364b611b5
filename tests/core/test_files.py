"""Files that appear as a whole or not at all."""

import hashlib
import os
import re
import subprocess
import sys
import threading

import pytest

from ecgsk._core.files import file_sha256, replacing, temporary_files, write_file

# Writes a file larger than the limit at "path", in each way that the package has.
WRITERS = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from ecgsk._core.files import write_file
from ecgsk._training.checkpoint import Checkpoint
from ecgsk.inspection._report.page import Page
from ecgsk.persistence._container import Container
from ecgsk.weights import WeightFile, write_weights

folder = Path(sys.argv[1])
checkpoint = Checkpoint(folder, "checkpoint")
page = Page("Title")
page.section("Section")
page.text("long " * 100_000)
array = np.zeros(1 << 18, dtype="f4")
writers = {
    "plain": lambda path: write_file(path, bytes(1 << 20)),
    "synced": lambda path: write_file(path, bytes(1 << 20), sync=True),
    "checkpoint.ckpt": lambda path: checkpoint.save({"weight": torch.from_numpy(array)}, []),
    "weights": lambda path: write_weights(
        path, WeightFile("mtecg-classifier", {}, {"a": array}, 100.0)
    ),
    "model": lambda path: Container({}, bytes(1 << 20), b"").write(path),
    "report": lambda path: page.write(path, opening=[], footer=""),
}
# A limit on the size of files fails in the same calls as a full disk.
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
for name, write in writers.items():
    path = folder / name
    path.write_bytes(b"old")
    try:
        write(path)
    except OSError as error:
        assert str(path) in str(error) and ".tmp" not in str(error), error
    else:
        raise AssertionError(name)
    assert path.read_bytes() == b"old"
    path.unlink()
"""


def test_a_file_is_written_and_nothing_else(tmp_path):
    write_file(tmp_path / "a", b"one")
    write_file(str(tmp_path / "a"), b"two", sync=True)
    assert (tmp_path / "a").read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a"]
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows fewer names")
@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "a[b]*?.npy"])
def test_any_name_that_the_file_system_allows(tmp_path, name):
    with replacing(tmp_path / name) as temporary:
        assert temporary_files(tmp_path / name) == [temporary]
        assert temporary_files(tmp_path / "other") == []
        temporary.write_bytes(b"one")
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_failure_leaves_the_file_that_was_there(tmp_path, error):
    write_file(tmp_path / "a", b"one")
    with pytest.raises(error), replacing(tmp_path / "a") as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert (tmp_path / "a").read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a"]


def test_errors_name_the_file(tmp_path):
    with pytest.raises(FileNotFoundError) as missing:
        write_file(tmp_path / "nowhere" / "a", b"")
    assert missing.value.filename == str(tmp_path / "nowhere" / "a")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as folder:
        write_file(tmp_path / "folder", b"")
    assert folder.value.filename == str(tmp_path / "folder")
    with pytest.raises(FileNotFoundError) as other, replacing(tmp_path / "a"):
        (tmp_path / "source").read_bytes()
    assert other.value.filename == str(tmp_path / "source")
    path = re.escape(str(tmp_path / "a"))
    with (
        pytest.raises(OSError, match=f"{path} cannot be written: no room"),
        replacing(tmp_path / "a", errors=(RuntimeError,)),
    ):
        raise RuntimeError("no room")
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are those of POSIX")
def test_a_full_disk(tmp_path):
    subprocess.run([sys.executable, "-c", WRITERS, tmp_path], check=True)
    assert not os.listdir(tmp_path)


def test_threads_that_write_one_file(tmp_path):
    contents = [bytes([i]) * 100_000 for i in range(8)]
    threads = [
        threading.Thread(target=write_file, args=(tmp_path / "a", content)) for content in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_bytes() in contents
    assert os.listdir(tmp_path) == ["a"]


def test_the_checksum_of_a_file(tmp_path):
    content = os.urandom((1 << 20) + 17)
    (tmp_path / "file").write_bytes(content)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
