"""Paths may begin with "~" wherever ecgsk takes one; a shell does not expand those in Python."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import ecgsk
from ecgsk import ECGFounderClassifier, MTECGClassifier, make_echonext
from ecgsk._core.files import expanded
from ecgsk.persistence import describe
from ecgsk.weights import read_weights, write_weights


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def test_models(home):
    sha256 = ecgsk.save(LogisticRegression(C=0.5), "~/model.ecgsk")
    assert (home / "model.ecgsk").is_file()
    assert ecgsk.load("~/model.ecgsk", sha256=sha256).C == 0.5
    assert describe("~/model.ecgsk")["model"] == "LogisticRegression"


@pytest.mark.parametrize("kind", [MTECGClassifier, ECGFounderClassifier])
def test_weights_and_checkpoints(home, kind):
    X, y = ecgsk.make_ecg(8, sampling_rate=100, random_state=0), np.arange(8) % 2
    model = kind("nano", sampling_rate=100, max_epochs=1, random_state=0)
    model.set_params(checkpoint_dir="~/states").fit(X, y).save_weights("~/w.safetensors")
    assert (home / "states").is_dir()
    write_weights("~/again.safetensors", read_weights("~/w.safetensors"))
    for name in ("w", "again"):
        loaded = kind(weights=f"~/{name}.safetensors", sampling_rate=100)
        assert loaded.predict_proba(X).shape == (8, 2)


def test_made_data(home):
    made = make_echonext("~/echonext", 60, random_state=0)
    assert made.path == home / "echonext"


def test_names_that_mean_no_home_folder_stay(home):
    assert expanded("~nobody-of-that-name/x").parts == ("~nobody-of-that-name", "x")
    assert expanded("a/~/b").parts == ("a", "~", "b")
