"""``ecgsk info`` and ``ecgsk convert``: what files of models hold, and how they become safe."""

import json

import joblib
import numpy as np
import pandas as pd
import pytest
import torch

from ecgsk import ECGFounderClassifier, MTECGClassifier, make_ecg
from ecgsk._cli.main import main
from ecgsk.networks import NET1D_PRESETS
from ecgsk.persistence import describe, load, save
from ecgsk.weights import ECGFOUNDER_TASKS, read_weights
from tests._ecgfounder_files import nano_state, published_checkpoint
from tests._models import RATE, recordings, small_models


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """Return a file of the published layout that is quick to read."""
    monkeypatch.setitem(NET1D_PRESETS, "12-lead", NET1D_PRESETS["nano"])
    monkeypatch.setenv("ECGSK_CACHE", str(tmp_path / "cache"))
    torch.save(published_checkpoint(nano_state()), tmp_path / "published.pth")
    return tmp_path / "published.pth"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    X, y = recordings(16)
    model = small_models()["mtecg"].set_params(max_epochs=1).fit(X, y)
    save(model, folder / "model.ecgsk", about="A toy.")
    joblib.dump(model, folder / "model.joblib")
    model.save_weights(folder / "weights.safetensors", about={"data": "made up"})
    return folder, model, X


def said_of(capsys, *words, status=0):
    assert main([str(word) for word in words]) == status
    captured = capsys.readouterr()
    return captured.err if status else captured.out


def test_info_of_a_model(fitted, capsys):
    folder, _, _ = fitted
    said = json.loads(said_of(capsys, "info", folder / "model.ecgsk", "--json"))
    assert said == describe(folder / "model.ecgsk")
    lines = said_of(capsys, "info", folder / "model.ecgsk").splitlines()
    told = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert told["about"] == "A toy." and told["model"] == "MTECGClassifier"
    assert told["classes"] == "0, 1" and told["sampling rate"] == str(RATE)


def test_info_of_weights_and_checkpoints(fitted, checkpoint, capsys):
    folder, model, _ = fitted
    said = json.loads(said_of(capsys, "info", folder / "weights.safetensors", "--json"))
    assert said["kind"] == "mtecg-classifier" and said["classes"] == [0, 1]
    assert said["n_weights"] == sum(p.numel() for p in model.net_.module_.state_dict().values())
    assert said["seconds"] == 2 and said["about"] == {"data": "made up"}
    text = said_of(capsys, "info", checkpoint)
    assert "ecgfounder-classifier" in text and "(150 in all)" in text
    assert "not used:" in text and "optimizer" in text
    assert not (checkpoint.parent / "cache").exists()


def test_info_runs_nothing(tmp_path, fitted, capsys):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    joblib.dump(Trap(), tmp_path / "trap.joblib")
    torch.save({"state_dict": Trap()}, tmp_path / "trap.pth")
    (tmp_path / "text").write_text("text")
    for name in ("trap.joblib", "trap.pth", "text", "nowhere", "."):
        said = said_of(capsys, "info", tmp_path / name, status=2)
        assert said.startswith("ecgsk info: ") and "Traceback" not in said
        out = tmp_path / "out.ecgsk"
        assert said_of(capsys, "convert", tmp_path / name, "-o", out, status=2) and not out.exists()
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_becomes_weights_and_a_model(checkpoint, tmp_path, capsys):
    weights, model = tmp_path / "own.safetensors", tmp_path / "own.ecgsk"
    said = said_of(capsys, "convert", checkpoint, "-o", weights)
    n_tensors = len(read_weights(weights).tensors)
    assert f"all {n_tensors} tensors match" in said and "SHA-256" in said
    assert "Dropped" in said and "optimizer" in said
    said_of(capsys, "convert", weights, "-o", model)
    direct = tmp_path / "direct.ecgsk"
    said_of(capsys, "convert", checkpoint, "-o", direct)
    X = make_ecg(2, sampling_rate=500, random_state=0)
    expected = ECGFounderClassifier(weights=checkpoint).predict_proba(X)
    checkpoint.unlink()
    weights.unlink()
    for path in (model, direct):
        np.testing.assert_array_equal(load(path).predict_proba(X), expected)

    # It takes ten seconds at the network's rate, and its columns are the statements.
    np.save(tmp_path / "ecgs.npy", X)
    out = tmp_path / "out.csv"
    words = ["predict", model, tmp_path / "ecgs.npy", "--sampling-rate", 500, "-o", out, "--quiet"]
    assert said_of(capsys, *words) == ""
    table = pd.read_csv(out, float_precision="round_trip")
    answers = table[[f"probability_{name}" for name in ECGFOUNDER_TASKS]]
    np.testing.assert_array_equal(answers, expected)


def test_a_pickle_becomes_a_model_if_allowed(fitted, tmp_path, capsys):
    folder, model, X = fitted
    out = tmp_path / "new.ecgsk"
    words = ["convert", folder / "model.joblib", "-o", out]
    assert "--allow-pickle" in said_of(capsys, *words, status=2) and not out.exists()
    said_of(capsys, *words, "--allow-pickle")
    np.testing.assert_array_equal(load(out).predict_proba(X), model.predict_proba(X))
    assert "exists already" in said_of(capsys, *words, "--allow-pickle", status=2)
    said_of(capsys, *words, "--allow-pickle", "--overwrite")
    for path, match in [
        (tmp_path / "new.bin", "end in .safetensors or .ecgsk"),
        (tmp_path / "new.safetensors", "does not contain only weights"),
    ]:
        words = ["convert", folder / "model.ecgsk", "-o", path]
        assert match in said_of(capsys, *words, status=2) and not path.exists()


@pytest.mark.parametrize(
    ("out", "match"),
    [
        ("none/new.ecgsk", "none' does not exist. Create it"),
        (".", "is a folder: name a file in it"),
        ("model.ecgsk", "is the same file as the input"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_first(fitted, capsys, out, match):
    folder, _, _ = fitted
    words = ["convert", folder / "model.ecgsk", "-o", folder / out, "--overwrite"]
    before = (folder / "model.ecgsk").read_bytes()
    assert match in said_of(capsys, *words, status=2)
    assert (folder / "model.ecgsk").read_bytes() == before


def test_files_that_are_none_are_named(tmp_path, capsys):
    (tmp_path / "empty").touch()
    for name, match in {"no": "does not exist", ".": "is a folder", "empty": "is empty"}.items():
        said = said_of(capsys, "info", tmp_path / name, status=2)
        assert f"FILE={str(tmp_path / name)!r} {match}" in said


def test_weights_become_a_model(fitted, tmp_path, capsys):
    folder, model, X = fitted
    assert "ecgsk convert" in said_of(
        capsys, "predict", folder / "weights.safetensors", folder, "-o", "x.csv", status=2
    )
    assert isinstance(model, MTECGClassifier)
    said_of(capsys, "convert", folder / "weights.safetensors", "-o", tmp_path / "new.ecgsk")
    again = load(tmp_path / "new.ecgsk").set_params(sampling_rate=RATE)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
