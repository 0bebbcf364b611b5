"""Published checkpoints: what is read of them, what is refused, and what the cache keeps."""

import io
import json
import os
import pickle
import shutil
import socket
import sys
import threading
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _ecgfounder_files import (
    nano_state,
    published_checkpoint,
    published_state,
    save_as_numpy,
)
from numpy.testing import assert_array_equal
from safetensors import safe_open
from safetensors.numpy import save_file

from ecgsk import ECGFounderClassifier, make_ecg
from ecgsk._core.files import file_sha256
from ecgsk._core.optional import import_optional
from ecgsk.estimators import _ecgfounder_checkpoint as module
from ecgsk.estimators._ecgfounder_checkpoint import convert_checkpoint, read_ecgfounder
from ecgsk.networks import NET1D_PRESETS, Net1D
from ecgsk.weights import (
    ECGFOUNDER_TASKS,
    PUBLISHED,
    _published,
    cache_folder,
    find_published,
    write_weights,
)

TINY = {"stem_width": 4, "widths": (4,), "depths": (1,), "kernel_size": 2, "group_width": 4}
OWN = {
    "first_conv.conv": "stem",
    "stage_list": "stages",
    ".block_list": "",
    "conv1.conv": "conv1",
    "conv2.conv": "conv2",
    "conv3.conv": "conv3",
    "se_fc1": "squeeze",
    "se_fc2": "excite",
    "dense": "head",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    def refuse(self, address):
        raise AssertionError(f"a test asked the network for {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("ECGSK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def sized(monkeypatch):
    """Return a function that gives the published networks another size."""

    def change(size):
        monkeypatch.setattr(module, "NET1D_PRESETS", {**NET1D_PRESETS, "12-lead": size})

    return change


@pytest.fixture
def nano(sized):
    sized(NET1D_PRESETS["nano"])


@pytest.fixture
def path(nano, tmp_path):
    """Return a good file of three leads and two outputs."""
    path = tmp_path / "good.pth"
    torch.save(published_checkpoint(nano_state(3, 2)), path)
    return path


def own_tensors(state: dict) -> dict:
    """Return what a conversion should hold."""
    tensors = {}
    for name, value in state.items():
        parts = name.split(".")
        if not any(part.startswith("bn") or part == "first_bn" for part in parts):
            for published, own in OWN.items():
                name = name.replace(published, own)
            tensors[name] = value.detach().float().numpy()
    return tensors


def assert_holds(weights, state: dict) -> None:
    expected = own_tensors(state)
    assert set(weights.tensors) == set(expected)
    for name, value in weights.tensors.items():
        assert value.dtype == np.float32
        assert_array_equal(value, expected[name], err_msg=name)


def contents(folder: Path) -> dict:
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(source, function=read_ecgfounder) -> str:
    """Make sure that a source is refused as it should be, and return what is said."""
    before = contents(cache_folder())
    with pytest.raises(Exception) as caught:  # noqa: B017, PT011
        function(source)
    # Subclasses would be errors that nobody has put into words, such as UnicodeDecodeError.
    assert caught.type in (ValueError, FileNotFoundError), repr(caught.value)
    assert str(source) in str(caught.value)
    assert contents(cache_folder()) == before
    return str(caught.value)


# --- what is read


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    state = published_state(NET1D_PRESETS["12-lead"])
    path = tmp_path_factory.mktemp("published") / "12_lead_ECGFounder.pth"
    torch.save(published_checkpoint(state), path)
    yield path, state
    path.unlink()


def test_a_file_of_the_published_size(full, monkeypatch):
    path, state = full
    assert len(state) == 509
    weights = read_ecgfounder(path)
    assert_holds(weights, state)
    with torch.device("meta"):
        assert set(Net1D(**weights.network).state_dict()) == set(weights.tensors)
    assert weights.kind == "ecgfounder-classifier"
    assert (weights.sampling_rate, weights.n_samples, weights.seconds) == (500, 5000, 10)
    assert weights.preprocessing == [("ECGFounderPreprocessor", {"variant": "filtered"})]
    said = {"source": path.name, "source_sha256": file_sha256(path)}
    assert weights.about.items() >= said.items()
    monkeypatch.setattr(module, "convert_checkpoint", None)
    again = read_ecgfounder(str(path))
    for name, value in weights.tensors.items():
        assert_array_equal(again.tensors[name], value)


@pytest.mark.parametrize(
    ("n_leads", "n_outputs"), [(12, 150), (1, 150), (12, 1), (1, 1), (12, 2), (12, 151)]
)
def test_every_tensor_finds_its_place(nano, tmp_path, n_leads, n_outputs):
    state = nano_state(n_leads, n_outputs)
    torch.save(published_checkpoint(state), tmp_path / "file.pth")
    weights = convert_checkpoint(tmp_path / "file.pth", about={"who": "test"})
    assert_holds(weights, state)
    assert weights.network == {
        "n_leads": n_leads,
        "n_outputs": n_outputs,
        **NET1D_PRESETS["nano"],
    }
    assert weights.about == {"who": "test"}
    labels = [f"label_{i}" for i in range(n_outputs)]
    if n_outputs == 150:
        labels = list(ECGFOUNDER_TASKS)
    assert weights.label_names == (None if n_outputs == 1 else labels)
    assert weights.classes == ([0, 1] if n_outputs == 1 else None)


def test_the_estimator_answers_with_the_files_tensors(nano, tmp_path):
    state = nano_state(12, 150)
    torch.save(published_checkpoint(state), tmp_path / "file.pth")
    X = make_ecg(2, sampling_rate=500, random_state=0)
    model = ECGFounderClassifier.from_pretrained(tmp_path / "file.pth")
    network = Net1D(12, 150, **NET1D_PRESETS["nano"])
    network.load_state_dict({k: torch.tensor(v) for k, v in own_tensors(state).items()})
    with torch.inference_mode():
        expected = torch.sigmoid(network(torch.tensor(model.prepare(X)))).numpy()
    for _ in range(2):  # from the file, from the cache
        np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-6)
        assert model.label_names_ == list(ECGFOUNDER_TASKS)
        model = ECGFounderClassifier.from_pretrained(tmp_path / "file.pth")


def test_a_bare_state_and_one_without_normalisation(nano, tmp_path):
    state = nano_state(3, 2)
    bare = {name: value for name, value in state.items() if "bn" not in name}
    assert len(bare) < len(state)
    for saved in (state, bare, {"state_dict": bare, "epoch": 1}):
        torch.save(saved, tmp_path / "file.pth")
        assert_holds(convert_checkpoint(tmp_path / "file.pth"), state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(nano, tmp_path, dtype):
    state = nano_state(3, 2)
    cast = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    torch.save({"state_dict": cast}, tmp_path / "file.pth")
    assert_holds(convert_checkpoint(tmp_path / "file.pth"), cast)


def test_parameters_are_tensors_as_well(nano, tmp_path):
    state = nano_state(3, 2)
    network = {k: torch.nn.Parameter(v) for k, v in state.items() if v.is_floating_point()}
    torch.save(network, tmp_path / "file.pth")
    assert_holds(convert_checkpoint(tmp_path / "file.pth"), state)


def test_tensors_that_share_their_values(nano, tmp_path):
    state = nano_state(3, 2)
    values = torch.linspace(-1, 1, 200)
    state["dense.weight"] = values[:64].reshape(32, 2).t()
    state["first_conv.conv.bias"] = values[3:19]
    state["dense.bias"] = values[199:].expand(2)
    state["stage_list.0.block_list.0.conv1.conv.bias"] = values[::5][20:36]
    torch.save(published_checkpoint(state), tmp_path / "file.pth")
    assert_holds(convert_checkpoint(tmp_path / "file.pth"), state)


def test_a_file_of_a_machine_with_the_other_order_of_bytes(nano, tmp_path):
    state = {name: value for name, value in nano_state(3, 2).items() if "bn" not in name}
    torch.save(state, tmp_path / "file.pth")
    with (
        zipfile.ZipFile(tmp_path / "file.pth") as before,
        zipfile.ZipFile(tmp_path / "swapped.pth", "w") as after,
    ):
        for name in before.namelist():
            content = before.read(name)
            if "/data/" in name:
                content = np.frombuffer(content, "<f4").astype(">f4").tobytes()
            elif name.endswith("/byteorder"):
                assert content == sys.byteorder.encode() == b"little"
                content = b"big"
            after.writestr(name.replace("file/", "swapped/"), content)
    assert_holds(convert_checkpoint(tmp_path / "swapped.pth"), state)


@pytest.mark.parametrize("module_name", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numbers_of_either_numpy(nano, tmp_path, module_name):
    state = nano_state(3, 2)
    save_as_numpy(published_checkpoint(state), tmp_path / "file.pth", module_name)
    with zipfile.ZipFile(tmp_path / "file.pth") as archive:
        assert f"c{module_name}\nscalar\n".encode() in archive.read("file/data.pkl")
    assert_holds(convert_checkpoint(tmp_path / "file.pth"), state)


def test_names_that_torch_was_told_to_trust_stay_so(path, tmp_path):
    (tmp_path / "bad.pth").write_bytes(path.read_bytes()[:-30])
    with torch.serialization.safe_globals([np.ndarray]):
        before = set(torch.serialization.get_safe_globals())
        read_ecgfounder(path)
        refused(tmp_path / "bad.pth")
        assert set(torch.serialization.get_safe_globals()) == before
    assert np.ndarray not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("names", ["dtype", "scalar", "dtype scalar"])
def test_names_that_torch_was_told_to_trust_do_no_harm(path, names):
    trusted = {"dtype": np.dtype, "scalar": np.float64(0).__reduce__()[0]}
    with torch.serialization.safe_globals([trusted[name] for name in names.split()]):
        assert_holds(convert_checkpoint(path), nano_state(3, 2))


def test_threads_read_at_once(path, cache):
    start, found = threading.Barrier(4), []

    def read():
        start.wait()
        try:
            found.append(read_ecgfounder(path))
        except Exception as error:
            found.append(error)

    for _ in range(3):
        shutil.rmtree(cache, ignore_errors=True)
        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [str(each) for each in found if isinstance(each, Exception)] == []
        assert len(contents(cache)) == 1
    for weights in found:
        assert_holds(weights, nano_state(3, 2))


# --- what is refused


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_values_that_are_not_finite(path, tmp_path, value):
    state = nano_state(3, 2)
    broken = state["stage_list.1.block_list.0.conv2.conv.weight"].double()
    broken[3, 2, 1] = value
    state["stage_list.1.block_list.0.conv2.conv.weight"] = broken
    torch.save({"state_dict": state}, tmp_path / "bad.pth")
    said = refused(tmp_path / "bad.pth")
    assert "not finite" in said and "stages.1.0.conv2.weight" in said


def test_values_that_nobody_uses_may_be_anything(nano, tmp_path):
    state = nano_state(3, 2)
    state["first_bn.running_var"].fill_(float("nan"))
    torch.save({"state_dict": state}, tmp_path / "file.pth")
    assert_holds(convert_checkpoint(tmp_path / "file.pth"), state)


@pytest.mark.parametrize("name", [name for name in nano_state(3, 2) if "bn" not in name])
def test_every_tensor_has_to_be_there(nano, tmp_path, name):
    state = nano_state(3, 2)
    del state[name]
    torch.save({"state_dict": state}, tmp_path / "bad.pth")
    assert name in refused(tmp_path / "bad.pth")


def test_what_does_not_match_is_listed(path, tmp_path):
    state = nano_state(3, 2)
    del state["stage_list.2.block_list.1.se_fc2.bias"]
    state["stage_list.9.block_list.0.conv1.conv.bias"] = torch.zeros(2)
    state["first_conv.conv.bias"] = torch.zeros(7)
    state["dense.bias"] = torch.zeros(2, 1)
    torch.save({"state_dict": state}, tmp_path / "bad.pth")
    said = refused(tmp_path / "bad.pth")
    assert "Missing: stage_list.2.block_list.1.se_fc2.bias;" in said
    assert "unexpected: stage_list.9.block_list.0.conv1.conv.bias;" in said
    assert "first_conv.conv.bias (7,) instead of (16,)" in said
    assert "dense.bias (2, 1) instead of (2,)" in said


@pytest.mark.parametrize("size", ["small", "12-lead"])
def test_a_network_of_another_size_is_refused_in_a_few_words(nano, tmp_path, size):
    state = {"state_dict": nano_state(3, 2)}
    torch.save(state, tmp_path / "bad.pth")
    module.NET1D_PRESETS["12-lead"] = NET1D_PRESETS[size]
    said = refused(tmp_path / "bad.pth")
    assert "Missing: stage_list.0.block_list" in said or "Missing: stage_list.3" in said
    assert " more;" in said and len(said) < 2000


@pytest.mark.parametrize("prefix", ["module.", "model."])
def test_names_of_another_network_are_refused(path, tmp_path, prefix):
    state = {prefix + name: value for name, value in nano_state(3, 2).items()}
    torch.save({"state_dict": state}, tmp_path / "bad.pth")
    said = refused(tmp_path / "bad.pth")
    assert "first_conv.conv.weight" in said and f"{prefix}dense.bias" in said and " more" in said


@pytest.mark.parametrize(
    "changed",
    [
        {"dense.weight": torch.zeros(2)},
        {"first_conv.conv.weight": torch.zeros(16, 24)},
        {"dense.bias": torch.zeros(3)},
        {"stage_list.1.block_list.0.conv2.conv.weight": torch.zeros(32, 8, 16)},
        {"stage_list.1.block_list.2.conv2.conv.bias": torch.zeros(32)},
        {"first_bn.weights": torch.zeros(16)},
        {3: torch.zeros(1)},
        pytest.param({"dense.bias": torch.zeros(2).to_sparse()}, id="sparse"),
        pytest.param({"dense.bias": torch.zeros(2, device="meta")}, id="meta"),
        pytest.param({"dense.bias": torch.full((2,), 1j)}, id="complex"),
        pytest.param(
            {"dense.weight": torch.zeros(0, 32), "dense.bias": torch.zeros(0)}, id="no outputs"
        ),
        pytest.param({"first_conv.conv.weight": torch.zeros(16, 0, 8)}, id="no leads"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_that_no_network_has(path, tmp_path, changed):
    torch.save({"state_dict": nano_state(3, 2) | changed}, tmp_path / "bad.pth")
    refused(tmp_path / "bad.pth")


@pytest.mark.parametrize(
    "saved",
    [
        None,
        {},
        [1, 2],
        torch.zeros(3),
        {"state_dict": None},
        {"state_dict": [1]},
        {"state_dict": {"dense.weight": "text"}},
        {"epoch": 3, "optimizer": {}},
        pytest.param({3: torch.zeros(2), "a": torch.zeros(2)}, id="mixed names"),
    ],
)
def test_saves_of_torch_that_are_no_checkpoints(path, tmp_path, saved):
    torch.save(saved, tmp_path / "bad.pth")
    refused(tmp_path / "bad.pth")


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
    assert_holds(convert_checkpoint(path), nano_state(3, 2))


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
            weights = convert_checkpoint(path)
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
            weights = convert_checkpoint(bad)
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
    for function in (read_ecgfounder, convert_checkpoint):
        for source in (tmp_path / "bad.pth", str(tmp_path / "bad.pth")):
            said = refused(source, function)
            if function is convert_checkpoint:
                assert "Fetch it again" in said
    assert len(contents(cache)) == 1


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
    for function in (read_ecgfounder, convert_checkpoint):
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


# --- own files


def test_a_file_of_save_weights_is_read_as_it_is(path, tmp_path, cache, monkeypatch):
    weights = convert_checkpoint(path)
    write_weights(tmp_path / "own", weights)
    with monkeypatch.context() as patch:
        patch.setattr(module, "convert_checkpoint", None)
        assert_holds(read_ecgfounder(tmp_path / "own"), nano_state(3, 2))
    content = (tmp_path / "own").read_bytes()
    size = len(content)
    for n_bytes in [*range(0, 40, 3), *range(40, size, size // 20), size - 1]:
        (tmp_path / "bad").write_bytes(content[:n_bytes])
        refused(tmp_path / "bad")
    write_weights(tmp_path / "other", replace(weights, kind="mtecg-classifier"))
    assert "mtecg-classifier" in refused(tmp_path / "other")
    assert not cache.exists()


# --- the cache


def test_the_second_read_comes_from_the_cache(path, tmp_path, cache, monkeypatch):
    first = read_ecgfounder(path)
    (kept,) = contents(cache)
    assert file_sha256(path)[:16] in kept.name
    monkeypatch.setattr(module, "convert_checkpoint", None)
    (tmp_path / "elsewhere").mkdir()
    copy = shutil.copy(path, tmp_path / "elsewhere" / "renamed.bin")
    for source in (path, str(path), copy):
        again = read_ecgfounder(source)
        assert_holds(again, nano_state(3, 2))
        for name, value in vars(first).items():
            if name != "tensors":  # JSON knows no tuples
                assert json.dumps(vars(again)[name]) == json.dumps(value)
    assert list(contents(cache)) == [kept]


def test_a_file_that_changes_is_read_anew(path, cache):
    read_ecgfounder(path)
    state = nano_state(3, 2)
    state["dense.bias"] += 1
    torch.save(published_checkpoint(state), path)
    assert_holds(read_ecgfounder(path), state)
    assert len(contents(cache)) == 2


@pytest.mark.parametrize(
    "kind",
    [
        "truncated",
        "empty",
        "garbage",
        "text",
        "other kind",
        "no metadata",
        "no JSON",
        "JSON of another kind",
        "fields of another version",
        "field missing",
        "no tensors",
        "flipped bits",
    ],
)
def test_a_cache_that_cannot_be_read_is_made_anew(path, cache, kind):
    expected = read_ecgfounder(path)
    ((kept, good),) = contents(cache).items()
    with safe_open(kept, "numpy") as file:
        metadata = file.metadata()
    said = json.loads(metadata["ecgsk"])
    spoilt = {
        "truncated": [good[:n] for n in (1, 8, 9, 100, len(good) // 2, len(good) - 1)],
        "empty": [b""],
        "garbage": [os.urandom(len(good)), b"\xff" * 50],
        "text": [b"not what was here\n" * 20],
        "flipped bits": [
            good[:-n] + bytes([good[-n] ^ 1]) + good[len(good) - n + 1 :] for n in (5, 99)
        ],
    }
    metadata_of = {
        "other kind": {**metadata, "ecgsk": json.dumps({**said, "kind": "mtecg-classifier"})},
        "no metadata": {},
        "no JSON": {**metadata, "ecgsk": "{"},
        "JSON of another kind": {**metadata, "ecgsk": "[]"},
        "fields of another version": {**metadata, "ecgsk": json.dumps({**said, "new": 1})},
        "field missing": {
            **metadata,
            "ecgsk": json.dumps({k: v for k, v in said.items() if k != "network"}),
        },
    }
    for content in spoilt.get(kind, [None]):
        if content is not None:
            kept.write_bytes(content)
        elif kind == "no tensors":
            save_file({}, kept, metadata)
        else:
            save_file(expected.tensors, kept, metadata_of[kind])
        assert_holds(read_ecgfounder(path), nano_state(3, 2))
        assert list(contents(cache)) == [kept]
        convert, module.convert_checkpoint = module.convert_checkpoint, None
        try:
            assert_holds(read_ecgfounder(path), nano_state(3, 2))
        finally:
            module.convert_checkpoint = convert


def test_a_folder_in_the_place_of_the_conversion(path, cache):
    read_ecgfounder(path)
    (kept,) = contents(cache)
    kept.unlink()
    kept.mkdir()
    assert_holds(read_ecgfounder(path), nano_state(3, 2))
    assert list(cache.rglob("*")) == [kept]


@pytest.mark.parametrize(
    "kind",
    [
        "file",
        "under a file",
        "read-only",
        "long name",
        "no home",
        "full",
    ],
)
def test_a_cache_that_cannot_be_written_is_done_without(path, tmp_path, monkeypatch, kind):
    state = nano_state(3, 2)
    (tmp_path / "file").write_text("here")
    if kind == "file":
        monkeypatch.setenv("ECGSK_CACHE", str(tmp_path / "file"))
    elif kind == "under a file":
        monkeypatch.setenv("ECGSK_CACHE", str(tmp_path / "file" / "cache"))
    elif kind == "long name":
        monkeypatch.setenv("ECGSK_CACHE", str(tmp_path / ("x" * 300)))
    elif kind == "no home":

        def nowhere(cls):
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.delenv("ECGSK_CACHE")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", classmethod(nowhere))
    elif kind == "read-only":
        (tmp_path / "cache").mkdir(mode=0o500)
        if os.access(tmp_path / "cache", os.W_OK):
            pytest.skip("this user may write everywhere")
    elif kind == "full":
        resource = pytest.importorskip("resource")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        weights = read_ecgfounder(path)
    finally:
        if kind == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_holds(weights, state)
    assert contents(tmp_path / "cache") == {}
    assert (tmp_path / "file").read_text() == "here"


def test_where_the_cache_is(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("ECGSK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "ecgsk"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "ecgsk"
    assert not any(tmp_path.iterdir())


# --- published files by their names


def publish(monkeypatch, name, sha256):
    monkeypatch.setitem(PUBLISHED, name, PUBLISHED[name]._replace(sha256=sha256))


def put(cache, name, n_leads, n_outputs=150) -> Path:
    cache.mkdir(exist_ok=True)
    path = cache / PUBLISHED[name].filename
    torch.save(published_checkpoint(nano_state(n_leads, n_outputs)), path)
    return path


def no_hub(*args, **kwargs):
    raise ImportError('Fetching weights needs huggingface_hub: pip install "ecgsk[hub]".')


def test_what_is_known_of_the_published_files():
    assert {name: p.n_leads for name, p in PUBLISHED.items()} == {"12-lead": 12, "1-lead": 1}
    for published in PUBLISHED.values():
        assert len(published.revision) == 40  # a commit, not a branch that moves
        assert published.sha256 is None or len(published.sha256) == 64
    assert PUBLISHED["12-lead"].sha256


def test_a_file_of_another_checksum_is_not_the_published_one(nano, cache, monkeypatch):
    monkeypatch.setattr(_published, "import_optional", no_hub)
    path = put(cache, "12-lead", 12)
    for function in (find_published, read_ecgfounder):
        before = contents(cache)
        with pytest.raises(ValueError, match="is not the published file.*Delete it") as caught:
            function("12-lead")
        for said in (str(path), file_sha256(path), PUBLISHED["12-lead"].sha256, "'12-lead'"):
            assert said in str(caught.value)
        assert contents(cache) == before
    # As the message says, its path is another matter.
    assert_holds(read_ecgfounder(path), nano_state(12, 150))


def test_a_file_in_the_cache_needs_no_hub(nano, cache, monkeypatch):
    monkeypatch.setattr(_published, "import_optional", no_hub)
    for name, n_leads in (("12-lead", 12), ("1-lead", 1)):
        path = put(cache, name, n_leads)
        if PUBLISHED[name].sha256:
            publish(monkeypatch, name, file_sha256(path))
        assert find_published(name) == path
        assert_holds(read_ecgfounder(name), nano_state(n_leads, 150))
        assert_holds(read_ecgfounder(name), nano_state(n_leads, 150))
    assert len(contents(cache)) == 4
    (cache / PUBLISHED["12-lead"].filename).unlink()
    assert_holds(read_ecgfounder("12-lead"), nano_state(12, 150))


def test_a_file_of_other_leads_under_the_name_of_one_lead(nano, cache):
    put(cache, "1-lead", 12)
    before = contents(cache)
    with pytest.raises(ValueError, match="12 lead.*expected 1"):
        read_ecgfounder("1-lead")
    assert contents(cache) == before


@pytest.mark.parametrize("name", ["12-lead", "1-lead"])
def test_without_a_hub_it_is_said_where_to_put_the_file(cache, monkeypatch, name):
    def no_module(*args):
        raise ModuleNotFoundError("No module named 'huggingface_hub'")

    monkeypatch.setattr("ecgsk._core.optional.import_module", no_module)
    for function in (find_published, read_ecgfounder, ECGFounderClassifier.from_pretrained):
        with pytest.raises(FileNotFoundError) as caught:
            function(name)
        said = str(caught.value)
        assert str(cache) in said and PUBLISHED[name].filename in said
        assert PUBLISHED[name].revision in said and 'pip install "ecgsk[hub]"' in said
    assert not cache.exists()


def hub_that(download, monkeypatch):
    hub = SimpleNamespace(hf_hub_download=download)
    monkeypatch.setattr(_published, "import_optional", lambda *args, **kwargs: hub)


@pytest.mark.parametrize(
    "error", [OSError("no route to host"), RuntimeError("two\nlines"), KeyError("x"), OSError()]
)
def test_a_hub_that_fails(cache, monkeypatch, error):
    def download(*args, **kwargs):
        raise error

    hub_that(download, monkeypatch)
    with pytest.raises(FileNotFoundError) as caught:
        read_ecgfounder("12-lead")
    said = str(caught.value)
    assert type(error).__name__ in said and str(error).partition("\n")[0] in said
    assert str(cache) in said and PUBLISHED["12-lead"].filename in said and said.isprintable()
    assert caught.value.__cause__ is error
    assert not cache.exists()


def test_an_interruption_is_no_failure_of_the_hub(monkeypatch):
    def download(*args, **kwargs):
        raise KeyboardInterrupt

    hub_that(download, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        find_published("1-lead")


def test_the_hub_is_asked_for_the_known_revision(path, cache, monkeypatch):
    asked = []

    def download(*args, **kwargs):
        asked.append((args, kwargs))
        return str(path)

    hub_that(download, monkeypatch)
    publish(monkeypatch, "12-lead", file_sha256(path))
    assert find_published("12-lead") == path
    ((repository, filename), options) = asked[0]
    assert repository == "PKUDigitalHealth/ECGFounder"
    assert filename == "12_lead_ECGFounder.pth"
    assert options["revision"] == PUBLISHED["12-lead"].revision
    assert cache in Path(options["cache_dir"]).parents
    publish(monkeypatch, "12-lead", "0" * 64)
    with pytest.raises(ValueError, match="is not the published file"):
        find_published("12-lead")


def test_a_package_that_is_not_there_can_be_installed():
    assert import_optional("json", extra="hub", purpose="This") is json
    with pytest.raises(ImportError, match=r"This needs .*no_such.*pip install \"ecgsk\[hub\]\""):
        import_optional("no_such_package_of_ecgsk", extra="hub", purpose="This")


@pytest.mark.parametrize("number", [10**5, 2**31 - 1])
def test_a_small_file_cannot_ask_for_much_memory(tmp_path, number):
    """The unpickler makes room for as many objects as a file numbers."""
    with zipfile.ZipFile(tmp_path / "bad.pth", "w") as archive:
        pickled = b"\x80\x02}r" + number.to_bytes(4, "little") + b"."
        archive.writestr("bad/data.pkl", pickled)
    assert "more objects than it can hold" in refused(tmp_path / "bad.pth")


def test_a_tensor_that_repeats_one_value_for_ever_is_refused(nano, tmp_path):
    state = nano_state(3, 2)
    state["dense.weight"] = torch.zeros(1).expand(10**9, 32)
    state["dense.bias"] = torch.zeros(1).expand(10**9)
    torch.save({"state_dict": state}, tmp_path / "bad.pth")
    assert "repeats its values" in refused(tmp_path / "bad.pth")
