"""Published checkpoints: what is read from them."""

import shutil
import sys
import threading
import zipfile

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from ecgsk import ECGFounderClassifier, make_ecg
from ecgsk._core.files import file_sha256
from ecgsk.networks import NET1D_PRESETS, Net1D
from ecgsk.weights import ECGFOUNDER_TASKS, read_ecgfounder
from ecgsk.weights import _ecgfounder_checkpoint as module
from tests._ecgfounder_files import (
    assert_holds,
    contents,
    converted,
    nano_state,
    own_tensors,
    published_checkpoint,
    published_state,
    refused,
    save_as_numpy,
)


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
    weights = converted(tmp_path / "file.pth", about={"who": "test"})
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


def test_a_bare_state_and_one_without_normalization(nano, tmp_path):
    state = nano_state(3, 2)
    bare = {name: value for name, value in state.items() if "bn" not in name}
    assert len(bare) < len(state)
    for saved in (state, bare, {"state_dict": bare, "epoch": 1}):
        torch.save(saved, tmp_path / "file.pth")
        assert_holds(converted(tmp_path / "file.pth"), state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(nano, tmp_path, dtype):
    state = nano_state(3, 2)
    cast = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    torch.save({"state_dict": cast}, tmp_path / "file.pth")
    assert_holds(converted(tmp_path / "file.pth"), cast)


def test_parameters_are_tensors_as_well(nano, tmp_path):
    state = nano_state(3, 2)
    network = {k: torch.nn.Parameter(v) for k, v in state.items() if v.is_floating_point()}
    torch.save(network, tmp_path / "file.pth")
    assert_holds(converted(tmp_path / "file.pth"), state)


def test_tensors_that_share_their_values(nano, tmp_path):
    state = nano_state(3, 2)
    values = torch.linspace(-1, 1, 200)
    state["dense.weight"] = values[:64].reshape(32, 2).t()
    state["first_conv.conv.bias"] = values[3:19]
    state["dense.bias"] = values[199:].expand(2)
    state["stage_list.0.block_list.0.conv1.conv.bias"] = values[::5][20:36]
    torch.save(published_checkpoint(state), tmp_path / "file.pth")
    assert_holds(converted(tmp_path / "file.pth"), state)


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
    assert_holds(converted(tmp_path / "swapped.pth"), state)


@pytest.mark.parametrize("module_name", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numbers_of_either_numpy(nano, tmp_path, module_name):
    state = nano_state(3, 2)
    save_as_numpy(published_checkpoint(state), tmp_path / "file.pth", module_name)
    with zipfile.ZipFile(tmp_path / "file.pth") as archive:
        assert f"c{module_name}\nscalar\n".encode() in archive.read("file/data.pkl")
    assert_holds(converted(tmp_path / "file.pth"), state)


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
        assert_holds(converted(path), nano_state(3, 2))


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
