"""Pickles in checkpoints that were made to do harm."""

import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from ecgsk.weights import read_ecgfounder
from ecgsk.weights._torch_file import read_torch_file
from tests._ecgfounder_files import (
    assert_holds,
    converted,
    nano_state,
    published_checkpoint,
    refused,
)
from tests._harmful_pickles import (
    DTYPE,
    EIGHT,
    HARMFUL,
    ONE,
    ORDERED,
    SCALAR,
    STATE,
    TENSOR,
    with_pickle,
)


class Rebuilt:
    """Pickles as a tensor does, with other arguments."""

    def __init__(self, values, offset, size, stride):
        self.arguments = values, offset, size, stride, False, OrderedDict()

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.arguments


def storage(n_values: int):
    return torch.zeros(n_values).storage()


@pytest.mark.filterwarnings("ignore:TypedStorage")
@pytest.mark.parametrize(
    "arguments",
    [
        (lambda: storage(1), 0, (2, 32), (32, 1)),
        (lambda: storage(64), 1, (2, 32), (32, 1)),
        (lambda: storage(64), 0, (2, 32), (33, 1)),
        (lambda: storage(64), -1, (2, 32), (32, 1)),
        (lambda: storage(64), 63, (2, 32), (-32, -1)),
        (lambda: storage(64), 0, (2, 32), (32,)),
        (lambda: storage(64), 0, (2, 32), (32, 2**61)),
        (lambda: storage(64), 0.0, (2, 32), (32, 1)),
        (lambda: storage(64), 0, (2, 32), (32, float("nan"))),
        (lambda: [0.0] * 64, 0, (2, 32), (32, 1)),
        pytest.param((lambda: torch.zeros(1).expand(64), 0, (2, 32), (32, 1)), id="tensor"),
    ],
)
def test_tensors_beyond_their_values(path, tmp_path, arguments):
    values, *rest = arguments
    state = nano_state(3, 2) | {"dense.weight": Rebuilt(values(), *rest)}
    torch.save({"state_dict": state}, tmp_path / "bad.pth")
    refused(tmp_path / "bad.pth")


class Changes:
    """Asks for attributes of the very functions that build tensors."""

    def __reduce__(self):
        build = torch._utils._rebuild_parameter
        return build, (build, False, OrderedDict()), (None, {"__defaults__": (1,), "__doc__": "?"})


def test_the_reader_cannot_be_changed(path, tmp_path):
    torch.save(published_checkpoint(nano_state(3, 2)) | {"step": Changes()}, tmp_path / "bad.pth")
    refused(tmp_path / "bad.pth")
    assert_holds(converted(path), nano_state(3, 2))


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


class Builds(Runs):
    """Does so in the arguments of a number of NumPy, which is let through."""

    def __reduce__(self):
        return np.float64(0).__reduce__()[0], (np.dtype("O"), Runs(self.marker))


class Evaluates(Runs):
    """Does so by a builtin."""

    def __reduce__(self):
        return eval, (f"__import__('pathlib').Path({str(self.marker)!r}).touch()",)


@pytest.mark.parametrize("harm", [Runs, Builds, Evaluates])
@pytest.mark.parametrize("kind", ["pickle", "torch", "beside the state", "in the state"])
def test_nothing_in_a_file_is_run(path, tmp_path, harm, kind):
    bad, marker = tmp_path / "bad.pth", tmp_path / "marker"
    state = nano_state(3, 2)
    harm = harm(marker)
    if kind == "pickle":
        bad.write_bytes(pickle.dumps({"state_dict": {"a": 1}, "harm": harm}))
    else:
        saved = {
            "torch": harm,
            "beside the state": published_checkpoint(state) | {"val_auroc": harm},
            "in the state": {"state_dict": state | {"dense.bias": harm}},
        }[kind]
        torch.save(saved, bad)
    for function in (read_ecgfounder, converted):
        refused(bad, function)
    assert not marker.exists()
    try:  # the file would have done it
        torch.load(bad, weights_only=False) if kind != "pickle" else pickle.loads(bad.read_bytes())
    except TypeError:
        pass
    assert marker.exists()


@pytest.mark.parametrize("kind", ["harm", "module"])
def test_what_is_said_can_be_read_and_followed(path, tmp_path, kind):
    saved = {"harm": {"state_dict": Runs(tmp_path / "marker")}, "module": torch.nn.Linear(2, 2)}
    torch.save(saved[kind], tmp_path / "bad.pth")
    said = refused(tmp_path / "bad.pth")
    assert said.isprintable()
    assert "weights_only" not in said and "can still be loaded" not in said


def test_a_tensor_that_repeats_one_value_for_ever_is_refused(nano, tmp_path):
    state = nano_state(3, 2)
    state["dense.weight"] = torch.zeros(1).expand(10**9, 32)
    state["dense.bias"] = torch.zeros(1).expand(10**9)
    torch.save({"state_dict": state}, tmp_path / "bad.pth")
    assert "repeats its values" in refused(tmp_path / "bad.pth")


def test_harmful_pickles_neither_crash_nor_take_time_or_memory(tmp_path):
    for number, content in enumerate(HARMFUL.values()):
        with_pickle(tmp_path / f"{number}.pth", content)
    script = """
import resource, sys, time
import torch
from ecgsk.weights._torch_file import read_torch_file

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number, name in enumerate(sys.argv[2:]):
    path = f"{sys.argv[1]}/{number}.pth"
    print(name, file=sys.stderr)
    start = time.process_time()
    try:
        found = read_torch_file(path)
    except ValueError as error:
        assert type(error) is ValueError and path in str(error) and str(error).isprintable(), error
    else:
        raise AssertionError(found)
    assert time.process_time() - start < 20
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2_000_000
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *HARMFUL], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    "content",
    [
        TENSOR,
        ORDERED + b"}X\x09\0\0\0_metadata}sb",
        DTYPE + STATE + b"b",
        SCALAR + DTYPE + STATE + b"b" + EIGHT + b"\x86R",
        SCALAR.replace(b"_core", b"core") + DTYPE + STATE + b"b" + EIGHT + b"\x86R",
        b"}q\1(" + ONE + b"\x88" + b"G" + bytes(8) + b"\x8a\x09" + b"\x7f" * 9 + b"u",
    ],
)
def test_the_parts_of_harmful_pickles_are_harmless(tmp_path, content):
    with_pickle(tmp_path / "good.pth", content)
    found = read_torch_file(tmp_path / "good.pth")
    expected = torch.load(tmp_path / "good.pth", weights_only=False)
    assert type(found) is type(expected) and str(found) == str(expected)


def test_a_small_file_cannot_ask_for_room_for_four_billion_objects(tmp_path):
    with_pickle(tmp_path / "good.pth", b"}r\xff\xff\xff\xff")
    assert read_torch_file(tmp_path / "good.pth") == {}


@pytest.mark.parametrize("kind", ["doubled", "overlapping", "compressed"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_two_readers_may_read_in_two_ways(tmp_path, kind):
    bad = tmp_path / "bad.pth"
    with_pickle(bad, TENSOR)
    if kind == "compressed":
        with zipfile.ZipFile(bad, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("bad/data/1", bytes(10**7))
    elif kind == "doubled":
        with zipfile.ZipFile(bad, "a") as archive:
            archive.writestr("bad/data.pkl", b"\x80\x02N.")
    else:
        with zipfile.ZipFile(bad, "a") as archive:
            archive.writestr("bad/other", bytes(9))
            for name in ("bad/one", "bad/two"):
                record = zipfile.ZipInfo(name)
                vars_of = archive.getinfo("bad/data/0")
                for field in ("header_offset", "file_size", "compress_size", "CRC"):
                    setattr(record, field, getattr(vars_of, field))
                archive.filelist.append(record)
                archive.NameToInfo[name] = record
    with pytest.raises(ValueError, match="bad.pth.*(compressed|one name|overlap|changed)"):
        read_torch_file(bad)
