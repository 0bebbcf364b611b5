"""``--device`` of the commands."""

import re

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression

from ecgsk import MTECGClassifier
from ecgsk._cli import demo
from ecgsk._cli.main import main
from ecgsk._cli.model_file import load_model, move_networks
from ecgsk._cli.predictor import Predictor
from ecgsk.persistence import save
from tests._device_stand_in import DEVICE, DeviceStandIn
from tests._devices import machine
from tests._models import RATE, recordings, small_models

OPTIONS = ["--sampling-rate", str(RATE), "--leads", "I,II,V1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices")
    X, y = recordings(16)
    np.save(folder / "records.npy", X[:8])
    small = {"preset__width": 16, "preset__depth": 1, "max_epochs": 1, "device": "cpu"}
    network = small_models()["mtecg"].set_params(**small)
    model = CalibratedClassifierCV(network, cv=2).fit(X, y)
    np.save(folder / "expected.npy", model.predict_proba(X[:8])[:, 1])
    for fold in model.calibrated_classifiers_:
        fold.estimator.device = "cuda:1"
    save(model, folder / "model.ecgsk")
    joblib.dump(model, folder / "model.joblib")
    return folder


def predict(folder, *options, model="model.ecgsk", out="a.csv", status=0):
    words = [str(folder / model), str(folder / "records.npy"), "--out", str(folder / out)]
    assert main(["predict", *words, *OPTIONS, *options]) == status
    return pd.read_csv(folder / out)["probability"].to_numpy() if not status else None


@pytest.mark.parametrize("model", ["model.ecgsk", "model.joblib"])
def test_predict_takes_a_device(model, folder, capsys):
    allow = ["--allow-pickle", "--overwrite"]
    wanted = np.load(folder / "expected.npy")
    with machine():
        found = predict(folder, *allow, model=model)
        printed = capsys.readouterr().err
        assert printed.count("UserWarning: The network predicts on device='cpu'") == 1
        np.testing.assert_array_equal(found, wanted)
        for device in ("cpu", "auto"):
            found = predict(folder, *allow, "--device", device, model=model)
            printed = capsys.readouterr().err
            assert "Warning" not in printed and "the network computes on cpu" in printed
            np.testing.assert_array_equal(found, wanted)
    with DeviceStandIn("cuda"):
        predict(folder, *allow, "--device", "auto", model=model)
        assert f"the network computes on {DEVICE}" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["cuda:7", "mps", "gpu"])
def test_a_missing_device_is_a_wrong_argument(device, folder, tmp_path, capsys):
    commands = [
        ["predict", folder / "model.ecgsk", folder / "records.npy", "-o", tmp_path / "a.csv"],
        ["predict", folder / "model.joblib", folder / "records.npy", "-o", tmp_path / "a.csv"],
        ["report", folder / "model.ecgsk", "--ecg", folder / "records.npy"],
        ["demo", "--out", tmp_path / "demo"],
    ]
    commands[1].append("--allow-pickle")
    commands[2] += ["--out", tmp_path / "a.html"]
    for words in commands:
        with machine(cuda=2):
            assert main([*map(str, words), "--device", device]) == 2
        printed = capsys.readouterr().err
        missing = f"device='{device}' is not available; here there are cuda:0, cuda:1, cpu"
        assert printed.startswith(f"ecgsk {words[0]}: ") and missing in printed
    assert list(tmp_path.iterdir()) == []


def test_report_takes_a_device(folder, tmp_path, capsys):
    words = ["report", folder / "model.ecgsk", "--ecg", folder / "records.npy", "--out"]
    words += [tmp_path / "a.html", *OPTIONS]
    with machine():
        assert main([*map(str, words), "--device", "cpu"]) == 0
    assert "predicts on device" not in capsys.readouterr().err
    assert (tmp_path / "a.html").exists()


def test_an_interrupted_run_does_not_go_on_on_another_device(folder, monkeypatch, capsys):
    filled = Predictor._fill
    calls = []

    def interrupted(self, *arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return filled(self, *arguments)

    monkeypatch.setattr(Predictor, "_fill", interrupted)
    options = ["--device", "cpu", "--batch-size", "4"]
    predict(folder, *options, out="b.csv", status=130)
    with DeviceStandIn("cuda"):
        predict(folder, "--device", "auto", "--batch-size", "4", out="b.csv", status=2)
    assert "a run with other device" in capsys.readouterr().err
    found = predict(folder, *options, out="b.csv")
    np.testing.assert_array_equal(found, np.load(folder / "expected.npy"))


def test_an_error_of_the_device_is_not_one_of_the_recordings(folder, monkeypatch, capsys):
    def fails(self, X):
        raise torch.OutOfMemoryError("The memory of cuda:0 does not suffice.")

    monkeypatch.setattr(Predictor, "predict", fails)
    predict(folder, "--device", "cpu", out="c.csv", status=2)
    printed = capsys.readouterr().err
    assert re.search("The memory of cuda:0 does not suffice. after 0 of 8 recordings", printed)


def test_a_network_that_does_not_fit_on_its_device_is_reported(folder, monkeypatch, capsys):
    def fails(self):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(MTECGClassifier, "_placed_net", fails)
    predict(folder, "--device", "cpu", out="d.csv", status=2)
    assert "--device cpu computes without it" in capsys.readouterr().err
    assert not (folder / "d.csv").exists()


class Ensemble(BaseEstimator):
    """Keeps what it has fitted under a name of its own."""

    def __init__(self, estimator):
        self.estimator = estimator


def test_networks_that_are_not_fitted_stay_where_they_are():
    assert move_networks(Ensemble(small_models()["mtecg"])) == []


def test_models_without_networks_take_any_device_that_is_here(tmp_path):
    model = LogisticRegression().fit([[0], [1]], [0, 1])
    save(model, tmp_path / "model.ecgsk")
    assert move_networks(load_model(tmp_path / "model.ecgsk", device="auto")) == []


def test_the_demo_trains_on_a_device_and_saves_for_all(monkeypatch, tmp_path):
    given = {}
    monkeypatch.setattr(demo, "synthetic_cohort", lambda seed: None)
    monkeypatch.setattr(demo, "train_and_test", lambda *a, **options: given.update(options))
    assert main(["demo", "--out", str(tmp_path)]) == 0 and given["device"] == "auto"
    assert main(["demo", "--out", str(tmp_path), "--device", "cpu"]) == 0
    assert given["device"] == "cpu"
