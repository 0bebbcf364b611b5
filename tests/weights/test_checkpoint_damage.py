"""Checkpoints that were cut off or changed, and other files."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgsk.weights import read_ecgfounder
from tests._ecgfounder_files import (
    assert_holds,
    contents,
    converted,
    nano_state,
    published_checkpoint,
    published_state,
    refused,
)

TINY = {"stem_width": 4, "widths": (4,), "depths": (1,), "kernel_size": 2, "group_width": 4}


def test_a_file_that_was_cut_off(path, tmp_path, cache):
    read_ecgfounder(path)
    content, bad = path.read_bytes(), tmp_path / "bad.pth"
    size = len(content)
    for n_bytes in [*range(40), *range(40, size, size // 80), *range(size - 90, size)]:
        bad.write_bytes(content[:n_bytes])
        refused(bad)
    assert len(contents(cache)) == 1


@pytest.fixture
def tiny(sized, tmp_path):
    """Return the bytes of a file so small that it can be read often, and its state."""
    sized(TINY)
    state = published_state(TINY, 3, 2)
    buffer = io.BytesIO()
    torch.save(published_checkpoint(state), buffer)
    return buffer.getvalue(), state


def flipped(content: bytes, state: dict, places, path: Path) -> dict:
    """Return what came of flipped bits that should not have: neither refused nor harmless."""
    wrong = {}
    for place, mask in places:
        changed = bytearray(content)
        changed[place] ^= mask
        path.write_bytes(changed)
        try:
            weights = converted(path)
        except Exception as error:
            if type(error) is not ValueError or str(path) not in str(error):
                wrong.setdefault(repr(error)[:90], (place, mask))
        else:  # what pads the file, dates and the like
            try:
                assert_holds(weights, state)
            except AssertionError:
                wrong.setdefault("other values", (place, mask))
    return wrong


def test_changed_values_are_noticed(tiny, tmp_path):
    content, state = tiny
    bad = tmp_path / "bad.pth"
    for name in ("dense.weight", "first_conv.conv.weight", "stage_list.0.block_list.0.se_fc1.bias"):
        values = state[name].numpy().tobytes()
        assert content.count(values) == 1
        for offset in range(len(values)):
            changed = bytearray(content)
            changed[content.index(values) + offset] ^= 1 << offset % 8
            bad.write_bytes(changed)
            assert "was changed" in refused(bad)


def test_bits_flipped_anywhere_in_the_records(tiny, tmp_path):
    content, state = tiny
    end = zipfile.ZipFile(io.BytesIO(content)).start_dir
    places = [(place, 1 << place % 8) for place in range(0, end, 31)]
    assert flipped(content, state, places, tmp_path / "bad.pth") == {}


def test_bits_flipped_in_the_directory(tiny, tmp_path):
    content, state = tiny
    archive = zipfile.ZipFile(io.BytesIO(content))
    start = archive.start_dir
    size = 46 + len(archive.infolist()[0].filename)
    places = [(start + i, 1 << bit) for i in range(size) for bit in (0, 3, 7)]
    places += [(place, 4) for place in range(start + size, len(content), 29)]
    places += [(place, 1) for place in range(len(content) - 98, len(content))]
    assert flipped(content, state, places, tmp_path / "bad.pth") == {}


def test_other_bytes_around_the_archive(path, tmp_path):
    content, bad = path.read_bytes(), tmp_path / "bad.pth"
    for before, after in ((b"x" * 10, b""), (b"", b"x" * 10), (content, b""), (b"", b"\0" * 10**5)):
        bad.write_bytes(before + content + after)
        try:
            weights = converted(bad)
        except ValueError:
            refused(bad)
        else:
            assert_holds(weights, nano_state(3, 2))


def other_file(kind: str, path: Path) -> None:
    """Write a file that is no checkpoint."""
    state = nano_state(3, 2)
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("<html>404: no such file</html>\n" * 50)
    elif kind == "legacy torch":
        torch.save(published_checkpoint(state), path, _use_new_zipfile_serialization=False)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({k: v.numpy() for k, v in state.items()}))
    elif kind == "npz":
        with open(path, "wb") as file:
            np.savez(file, **{k: v.numpy() for k, v in state.items()})
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("bad/readme.txt", "nothing here")
    elif kind == "module":
        torch.save(torch.nn.Linear(2, 2), path)
    elif kind == "arrays":
        torch.save({"state_dict": {k: v.numpy() for k, v in state.items()}}, path)
    elif kind == "script":
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), str(path))
    elif kind == "directory":
        path.mkdir()
        (path / "data.pkl").touch()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*TorchScript:UserWarning")
@pytest.mark.parametrize(
    "kind",
    [
        "empty",
        "text",
        "legacy torch",
        "pickle",
        "npz",
        "zip",
        "module",
        "arrays",
        "script",
        "directory",
        "nothing",
    ],
)
def test_files_that_are_something_else(path, tmp_path, kind, cache):
    read_ecgfounder(path)
    other_file(kind, tmp_path / "bad.pth")
    for function in (read_ecgfounder, converted):
        for source in (tmp_path / "bad.pth", str(tmp_path / "bad.pth")):
            said = refused(source, function)
            if function is converted:
                assert "Fetch it again" in said
    assert len(contents(cache)) == 1
