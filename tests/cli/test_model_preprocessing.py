"""What the training recordings went through travels with the model to both commands."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from ecgsk import (
    ECGQualityWarning,
    ProbabilityTransformer,
    RecordArray,
    load,
    make_ecg,
    make_lef_classifier,
)
from ecgsk._cli.main import main
from ecgsk._core.model_input import known_input
from ecgsk.datasets import load_echonext, make_echonext
from ecgsk.persistence import describe, save
from ecgsk.preprocessing import BandPass, MedianBaseline
from tests._models import RATE, recordings, small_models
from tests._wfdb_files import write_record

STEPS = [MedianBaseline((0.2, 0.6), sampling_rate=RATE)]
LEADS = ["I", "II", "V1"]


@pytest.fixture(scope="module")
def cohort():
    X, y = recordings()
    drift = 0.5 * np.sin(np.arange(200) / 40).astype(np.float32)
    raw = X + drift
    return raw, STEPS[0].transform(raw), y


def learned(kind, X, y):
    """Return a model that was fitted on recordings which carry their preprocessing."""
    network = small_models()["mtecg"].set_params(max_epochs=2)
    if kind == "network":
        return network.fit(X, y)
    if kind == "probabilities":
        front = ProbabilityTransformer(FrozenEstimator(network.fit(np.asarray(X), y)))
        return make_pipeline(front, LogisticRegression(C=50)).fit(X, y)
    return make_pipeline(BandPass(0.5, 40, sampling_rate=RATE), network).fit(X, y)


@pytest.mark.parametrize("kind", ["network", "probabilities", "pipeline", "stated"])
def test_predict_and_report_apply_the_preprocessing_of_the_model(kind, cohort, tmp_path, capsys):
    raw, prepared, y = cohort
    stated = None
    if kind == "stated":
        model, stated = learned("network", prepared, y), STEPS
    else:
        carried = RecordArray.wrap(prepared, preprocessing=STEPS, sampling_rate=RATE)
        model = learned(kind, carried, y)
    file = tmp_path / "model.ecgsk"
    save(model, file, preprocessing=stated)
    ((name, params),) = describe(file)["preprocessing"]
    assert (name, params["window"]) == ("MedianBaseline", [0.2, 0.6])
    assert known_input(load(file)).preprocessing[0][0] == "MedianBaseline"

    np.save(tmp_path / "raw.npy", raw)
    np.save(tmp_path / "prepared.npy", prepared)
    words = ["--sampling-rate", str(RATE)]
    results = {}
    for given, options in [("raw", []), ("prepared", ["--preprocessed"])]:
        out = str(tmp_path / f"{given}.csv")
        path = str(tmp_path / f"{given}.npy")
        assert main(["predict", str(file), path, "-o", out, *words, *options]) == 0
        results[given] = pd.read_csv(out)
    expected = model.predict_proba(prepared)[:, 1]
    for table in results.values():
        np.testing.assert_allclose(
            table.filter(like="probability").iloc[:, -1], expected, atol=1e-6
        )
    assert "preprocessing: MedianBaseline(" in capsys.readouterr().err
    # Without it, the answers would be others.
    assert np.abs(model.predict_proba(raw)[:, 1] - expected).max() > 1e-3

    np.save(tmp_path / "one.npy", raw[:1])
    out = tmp_path / "r.html"
    one = str(tmp_path / "one.npy")
    if kind != "pipeline":
        words += ["--leads", ",".join(LEADS)]
        assert main(["report", str(file), "--ecg", one, "--out", str(out), *words]) == 0
        text = re.sub(r"\s+", " ", out.read_text())
        assert f": {expected[0]:.3f}" in text and "preprocessing: MedianBaseline" in text


def test_a_model_that_states_nothing_is_named_as_such(cohort, tmp_path, capsys):
    raw, prepared, y = cohort
    model = learned("network", prepared, y)
    save(model, tmp_path / "m.ecgsk")
    assert describe(tmp_path / "m.ecgsk")["preprocessing"] is None
    np.save(tmp_path / "raw.npy", raw)
    out = tmp_path / "x.csv"
    words = ["predict", tmp_path / "m.ecgsk", tmp_path / "raw.npy", "-o", out, "--overwrite"]
    words = [*map(str, words), "--sampling-rate", str(RATE)]
    assert main(words) == 0
    assert "MODEL does not state" in capsys.readouterr().err
    assert main([*words, "--remove-baseline"]) == 0
    expected = model.predict_proba(prepared)[:, 1]
    np.testing.assert_allclose(pd.read_csv(out)["probability"], expected, atol=1e-6)
    save(model, tmp_path / "m.ecgsk", preprocessing=[BandPass(0.5, 40, sampling_rate=RATE)])
    assert main([*words, "--remove-baseline"]) == 2
    assert "--remove-baseline contradicts MODEL" in capsys.readouterr().err
    save(model, tmp_path / "m.ecgsk", preprocessing=[])
    assert describe(tmp_path / "m.ecgsk")["preprocessing"] == []


def test_models_of_echonext_keep_what_echonext_did(tmp_path, capsys):
    make_echonext(tmp_path / "data", 60, random_state=0)
    ecgs = load_echonext(tmp_path / "data", split="train")
    assert ecgs.data[:5].preprocessing[0][0] == "MedianBaseline"
    model = make_lef_classifier("mtecg", covariates=["age", "sex"], classifier="logistic")
    save(model.fit(ecgs.data, ecgs.target), tmp_path / "lef.ecgsk")
    assert describe(tmp_path / "lef.ecgsk")["preprocessing"][0][0] == "MedianBaseline"
    ecg = (make_ecg(1, sampling_rate=500, random_state=0)[0] * 1000).astype("<i2")
    record = write_record(tmp_path / "patients", "a", ecg, comments=["#Age: 60", "#Sex: F"])
    report = tmp_path / "r.html"
    assert main(["report", str(tmp_path / "lef.ecgsk"), "--ecg", str(record),
                 "--out", str(report)]) == 0  # fmt: skip
    assert main(["predict", str(tmp_path / "lef.ecgsk"), str(record),
                 "-o", str(tmp_path / "x.csv")]) == 0  # fmt: skip
    p = pd.read_csv(tmp_path / "x.csv")["probability"][0]
    assert f": {p:.3f}" in report.read_text()


@pytest.mark.parametrize(
    ("steps", "error"),
    [("MedianBaseline", TypeError), ([3], TypeError), ([FunctionTransformer()], ValueError)],
)
def test_only_transformers_of_recordings_are_kept(steps, error, tmp_path):
    with pytest.raises(error, match="preprocessing"):
        save(LogisticRegression(), tmp_path / "x.ecgsk", preprocessing=steps)


@pytest.mark.parametrize("kind", ["network", "probabilities", "pipeline"])
def test_python_warns_of_recordings_that_went_through_other_steps(kind, cohort):
    raw, _, y = cohort
    X = RecordArray.wrap(raw, preprocessing=[], sampling_rate=RATE)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ECGQualityWarning)
        model = learned(kind, STEPS[0].transform(X), y)
        assert [name for name, _ in known_input(model).preprocessing] == ["MedianBaseline"]
        model.predict_proba(STEPS[0].transform(X))
        model.predict_proba(STEPS[0].transform(raw))  # arrays carry nothing
    with pytest.warns(UserWarning, match="no preprocessing.*MedianBaseline|BandPass.*Median"):
        model.predict_proba(X)
    again = learned(kind, X, y)
    with pytest.warns(UserWarning, match="MedianBaseline"):
        again.predict_proba(STEPS[0].transform(X))
