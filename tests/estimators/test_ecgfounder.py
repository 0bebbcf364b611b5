"""ECGFounder: recordings in mV to its answers, with published and with own weights."""

import os
import pickle
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import signal
from scipy.interpolate import interp1d
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from ecgsk import (
    STANDARD_LEADS,
    ECGFounderClassifier,
    MTECGClassifier,
    ProbabilityTransformer,
    RecordArray,
    load_ptbxl,
    make_ecg,
)
from ecgsk.networks import NET1D_PRESETS, Net1D
from ecgsk.preprocessing import BandPass, ECGFounderPreprocessor, Resample, SelectLeads
from ecgsk.weights import ECGFOUNDER_TASKS, read_weights

QUICK = {"max_epochs": 1, "random_state": 0, "precision": "float32", "device": "cpu"}


@pytest.fixture(scope="module")
def X():
    return make_ecg(12, sampling_rate=500, random_state=0)


@pytest.fixture(scope="module")
def Y():
    i = np.arange(12)
    return pd.DataFrame({"AFIB": i % 2, "LVH": i // 2 % 2, "MI": i // 3 % 2})


@pytest.fixture(scope="module")
def fitted(X, Y):
    return ECGFounderClassifier("nano", **QUICK).fit(X, Y)


@pytest.fixture(scope="module")
def path(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    fitted.save_weights(path, about={"data": "synthetic"})
    return path


# --- agreement with the reference implementation


@pytest.fixture(scope="module")
def oracle():
    """Return the folder of the reference implementation's answers, $ECGSK_ORACLE."""
    default = Path(__file__).parents[2] / ".data" / "oracle"
    folder = Path(os.environ.get("ECGSK_ORACLE", default))
    if not (folder / "ecgfounder_logits.npz").exists():
        pytest.skip("no reference answers: set ECGSK_ORACLE to the folder that holds them")
    return folder


@pytest.fixture(scope="module")
def checkpoints(oracle, tmp_path_factory):
    """Return files laid out like the published ones, whose weights follow from a seed."""
    folder = tmp_path_factory.mktemp("checkpoints")
    script = runpy.run_path(str(oracle / "make_ecgfounder_checkpoint.py"))
    for n_leads in (12, 1):
        state = script["state_dict"](0, n_leads)
        saved = {"epoch": 9, "state_dict": state, "val_auroc": np.float64(0.9)}
        torch.save(saved, folder / f"{n_leads}.pth")
    return folder


@pytest.fixture(scope="module")
def answers(oracle):
    with np.load(oracle / "ecgfounder_logits.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def recorded(answers, ptbxl_path):
    bunch = load_ptbxl(ptbxl_path, sampling_rate=500, folds=range(1, 10), lazy=True)
    rows = bunch.metadata.index.get_indexer(answers["ecg_id"])
    return bunch.data.read(rows)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ECGSK_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.real_data
def test_signals_are_those_of_the_reference(recorded, answers):
    found = ECGFounderPreprocessor().transform(recorded)
    assert_allclose(found, answers["filtered"], atol=1e-4)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("preprocessing", "expected"),
    [
        ("filtered", "logits_filtered"),
        (None, "logits_filtered"),
        ("unfiltered", "logits_unfiltered"),
    ],
)
def test_predictions_are_those_of_the_reference(
    recorded, answers, checkpoints, preprocessing, expected
):
    model = ECGFounderClassifier.from_pretrained(
        checkpoints / "12.pth", preprocessing=preprocessing, device="cpu"
    )
    assert_allclose(model.decision_function(recorded), answers[expected], atol=1e-3)
    if preprocessing == "filtered":
        assert_allclose(model.transform(recorded), answers["features_filtered"], atol=1e-3)
        probability = 1 / (1 + np.exp(-answers[expected]))
        assert_allclose(model.predict_proba(recorded), probability, atol=1e-4)
        assert model.label_names_ == list(ECGFOUNDER_TASKS)


@pytest.mark.real_data
def test_an_odd_length_is_padded_as_the_reference_pads(answers, checkpoints):
    model = ECGFounderClassifier(weights=checkpoints / "12.pth", preprocessing="none", device="cpu")
    found = model.decision_function(answers["filtered"][..., :4999])
    assert_allclose(found, answers["logits_4999_samples"], atol=1e-3)


@pytest.mark.real_data
def test_one_lead_predicts_as_the_reference(recorded, answers, checkpoints):
    model = ECGFounderClassifier.from_pretrained(checkpoints / "1.pth", device="cpu")
    for given in (recorded, recorded[:, :1], recorded[:, 0]):
        assert_allclose(model.decision_function(given), answers["logits_one_lead"], atol=1e-3)
    model.set_params(leads=["II", "I"])
    given = recorded[:, [1, 0]]
    assert_allclose(model.decision_function(given), answers["logits_one_lead"], atol=1e-3)


# --- preprocessing


def reference(X, rate, mains, variant):
    """The published preprocessing, lead by lead, as its description says."""

    def standardized(record):
        return (record - record.mean()) / (record.std() + 1e-8)

    def resampled(record):
        time = np.linspace(0, 1, record.shape[1])
        return interp1d(time, record)(np.linspace(0, 1, 5000))

    out = []
    for record in X.astype(np.float64):
        if variant == "unfiltered":
            out.append(resampled(standardized(record)))
            continue
        if mains is not None:
            record = signal.filtfilt(*signal.iirnotch(mains, 30, rate), record)
        record = signal.filtfilt(*signal.butter(4, [0.67, 40], "bandpass", fs=rate), record)
        width = int(0.4 * rate) + 1
        width += 1 - width % 2
        record = record - [signal.medfilt(lead, width) for lead in record]
        out.append(standardized(resampled(record)))
    return np.array(out)


@pytest.mark.parametrize("variant", ["filtered", "unfiltered"])
@pytest.mark.parametrize("rate", [240, 250, 360, 500, 977, 1000])
@pytest.mark.parametrize("mains", [50.0, 60.0, None])
def test_preprocessing_is_the_published_one(X, variant, rate, mains):
    given = X[:2] if rate == 500 else Resample(500, rate).transform(X[:2])
    given = given + np.float32(0.3) * np.sin(2 * np.pi * 50 * np.arange(given.shape[2]) / rate)
    given = given.astype(np.float32)
    step = ECGFounderPreprocessor(variant, sampling_rate=rate, mains_frequency=mains)
    assert_allclose(step.transform(given), reference(given, rate, mains, variant), atol=1e-4)


@pytest.mark.parametrize("rate", [100, 2000, 4000])
def test_rates_at_which_the_published_filters_cannot_be_built(X, rate):
    """No notch above half the rate; no explosion of a high-order fraction."""
    given = Resample(500, rate).transform(X[:2])
    found = ECGFounderPreprocessor(sampling_rate=rate).transform(given)
    expected = ECGFounderPreprocessor(mains_frequency=None if rate == 100 else 50).transform(X[:2])
    assert found.shape == (2, 12, 5000)
    inside = slice(250, 4750)
    # Not sample by sample: the interpolation keeps both ends, which stretches time a little.
    for a, b in zip(found[..., inside].reshape(24, -1), expected.reshape(24, -1), strict=True):
        assert np.corrcoef(a, b[inside])[0, 1] > 0.9


@pytest.mark.parametrize(
    ("n_samples", "rate", "expected"),
    [(5000, 500, 5000), (4999, 500, 5000), (5001, 500, 5000), (2500, 500, 2500), (300, 100, 1500)],
)
def test_the_length_of_the_result(n_samples, rate, expected):
    X = np.random.default_rng(0).normal(size=(1, 2, n_samples))
    for variant in ("filtered", "unfiltered"):
        found = ECGFounderPreprocessor(variant, sampling_rate=rate).transform(X)
        assert found.shape == (1, 2, expected)
        assert np.isfinite(found).all()


def test_a_flat_recording_becomes_zeros():
    """What rounding leaves of it must not be standardized into a recording."""
    flat = np.full((1, 12, 5000), 0.4, np.float32)
    for variant in ("filtered", "unfiltered"):
        assert abs(ECGFounderPreprocessor(variant).transform(flat)).max() < 1e-4


def test_preprocessing_streams_and_does_not_depend_on_chunks_and_workers(X):
    step = ECGFounderPreprocessor()
    expected = step.transform(X)
    lazy = step.transform(RecordArray.wrap(X))
    assert isinstance(lazy, RecordArray)
    assert_array_equal(np.asarray(lazy), expected)
    assert_array_equal(ECGFounderPreprocessor(n_jobs=2).transform(X), expected)
    assert_array_equal(np.concatenate([step.transform(x[np.newaxis]) for x in X]), expected)


def test_a_rate_too_low_for_the_band_is_an_error(X):
    with pytest.raises(ValueError, match="high=40 Hz must be below 37.5 Hz"):
        ECGFounderPreprocessor(sampling_rate=75).transform(X)


# --- the estimator


def test_it_reads_recordings_as_the_preprocessor_makes_them(fitted, X):
    own = clone(fitted).set_params(preprocessing="none")
    prepared = ECGFounderPreprocessor().transform(X)
    own.fit(prepared, np.arange(12) % 2)
    whole = clone(fitted).fit(X, np.arange(12) % 2)
    assert_array_equal(own.predict_proba(prepared), whole.predict_proba(X))
    assert_array_equal(whole.prepare(X), prepared)


def test_a_file_predicts_as_the_fitted_model(fitted, path, X):
    model = ECGFounderClassifier.from_pretrained(path, device="cpu")
    assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))
    assert model.label_names_ == ["AFIB", "LVH", "MI"]
    assert_array_equal(model.transform(X), fitted.transform(X))
    assert not get_tags(model).requires_fit
    assert_array_equal(clone(model).predict(X), fitted.predict(X))
    assert read_weights(path).about == {"data": "synthetic"}


@pytest.mark.parametrize("variant", ["filtered", "unfiltered", "none"])
def test_a_file_remembers_its_preprocessing(X, Y, tmp_path, variant):
    given = X if variant != "none" else ECGFounderPreprocessor().transform(X)
    params = {"preprocessing": variant, "mains_frequency": 60}
    model = ECGFounderClassifier("nano", **params, **QUICK).fit(given, Y)
    model.save_weights(tmp_path / "w")
    loaded = ECGFounderClassifier.from_pretrained(tmp_path / "w", device="cpu")
    assert_array_equal(loaded.predict_proba(given), model.predict_proba(given))
    loaded.save_weights(tmp_path / "again")
    again = ECGFounderClassifier(weights=tmp_path / "again", device="cpu")
    assert_array_equal(again.predict_proba(given), model.predict_proba(given))


def test_steps_before_the_estimator_travel_with_the_weights(X, Y, tmp_path):
    step = BandPass(1, 30)
    model = ECGFounderClassifier("nano", **QUICK).fit(step.transform(X), Y)
    model.save_weights(tmp_path / "w", preprocessing=[step])
    loaded = ECGFounderClassifier.from_pretrained(tmp_path / "w", device="cpu")
    assert_array_equal(loaded.predict_proba(X), model.predict_proba(step.transform(X)))
    slow = Resample(500, 250).transform(X)
    assert_allclose(loaded.predict_proba(slow), loaded.predict_proba(X), atol=0.05)


@pytest.mark.parametrize("rate", [100, 250, 1000])
def test_other_rates_are_resampled(path, X, rate):
    given = Resample(500, rate).transform(X)
    model = ECGFounderClassifier(weights=path, sampling_rate=rate, device="cpu")
    expected = ECGFounderClassifier(weights=path, device="cpu").predict_proba(X)
    assert_allclose(model.predict_proba(given), expected, atol=0.05)
    told = ECGFounderClassifier.from_pretrained(path, device="cpu")
    assert_array_equal(told.predict_proba(given), model.predict_proba(given))


@pytest.mark.parametrize("n_samples", [2500, 1000])
def test_a_rate_that_does_not_fit_the_length_is_an_error_that_names_both(path, X, n_samples):
    with pytest.raises(ValueError, match=r"set sampling_rate=(250|100)"):
        ECGFounderClassifier(weights=path).predict_proba(X[..., :n_samples])


def test_own_preprocessing_allows_another_length(path, X):
    """The network takes any length: whoever knows what he does prepares recordings himself."""
    model = ECGFounderClassifier(weights=path, preprocessing="none", device="cpu")
    crop = ECGFounderPreprocessor().transform(X[..., :1250])
    assert model.predict_proba(crop).shape == (12, 3)
    with pytest.raises(ValueError, match="CropPad"):
        ECGFounderClassifier(weights=path).predict_proba(X[..., :1250])
    with pytest.raises(ValueError, match="Set sampling_rate"):
        ECGFounderClassifier.from_pretrained(path).predict_proba(X[..., :1250])


def test_leads_are_found_by_name(path, X):
    expected = ECGFounderClassifier(weights=path, device="cpu").predict_proba(X)
    names = list(reversed(STANDARD_LEADS))
    model = ECGFounderClassifier(weights=path, leads=names, device="cpu")
    assert_array_equal(model.predict_proba(X[:, ::-1]), expected)
    # Limb leads follow from I and II.
    names = ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]
    eight = SelectLeads(names).transform(X)
    model = ECGFounderClassifier(weights=path, leads=names, device="cpu")
    assert_allclose(model.predict_proba(eight), expected, atol=1e-3)
    with pytest.raises(ValueError, match="leads V6 are missing"):
        ECGFounderClassifier(weights=path, leads=names[:-1]).predict_proba(eight[:, :-1])
    with pytest.raises(ValueError, match="X has 8 leads"):
        ECGFounderClassifier(weights=path).predict_proba(eight)


def test_a_model_of_other_leads_is_saved_for_the_standard_ones(X, Y, tmp_path):
    names = list(reversed(STANDARD_LEADS))
    model = ECGFounderClassifier("nano", leads=names, **QUICK).fit(X[:, ::-1], Y)
    model.save_weights(tmp_path / "w")
    loaded = ECGFounderClassifier(weights=tmp_path / "w", device="cpu")
    assert_array_equal(loaded.predict_proba(X), model.predict_proba(X[:, ::-1]))


def test_a_one_lead_network_takes_lead_one(X, Y, monkeypatch):
    monkeypatch.setitem(NET1D_PRESETS, "1-lead", NET1D_PRESETS["nano"])
    model = ECGFounderClassifier("1-lead", **QUICK).fit(X, Y)
    assert model.net_.module_.stem.in_channels == 1
    assert model.n_features_in_ == 1
    expected = model.predict_proba(X)
    assert_array_equal(model.predict_proba(X[:, :1]), expected)
    assert_array_equal(model.predict_proba(RecordArray.wrap(X)), expected)
    with pytest.raises(ValueError, match="leads"):
        model.predict_proba(X[:, :3])


def test_it_is_fine_tuned_from_weights(path, X):
    y = np.repeat(["no", "yes"], 6)
    model = ECGFounderClassifier(weights=path, **QUICK).fit(X, y)
    assert model.predict_proba(X).shape == (12, 2)
    assert list(model.classes_) == ["no", "yes"]
    start = ECGFounderClassifier(weights=path, **{**QUICK, "learning_rate": 1e-30}).fit(X, y)
    source = read_weights(path).tensors
    for name, value in start.net_.module_.state_dict().items():
        assert name.startswith("head.") or torch.equal(value, torch.from_numpy(source[name])), name
    assert not hasattr(model, "label_names_")


def test_the_head_is_kept_where_the_labels_are_the_same(path, X, Y, fitted):
    still = {**QUICK, "learning_rate": 1e-30}
    model = ECGFounderClassifier(weights=path, **still).fit(X, Y)
    assert_allclose(model.predict_proba(X), fitted.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("preset", ["12-lead", "1-lead", "small"])
def test_a_size_that_does_not_fit_the_weights_is_an_error(path, X, preset):
    with pytest.raises(ValueError, match="Leave preset at None"):
        ECGFounderClassifier(preset, weights=path).predict_proba(X)


def test_weights_of_another_network_are_refused(X, fitted, path, tmp_path):
    other = MTECGClassifier("nano", max_epochs=1, random_state=0).fit(X, np.arange(12) % 2)
    other.save_weights(tmp_path / "mtecg")
    with pytest.raises(ValueError, match="holds a mtecg-classifier; expected a ecgfounder"):
        ECGFounderClassifier(weights=tmp_path / "mtecg").predict(X)
    with pytest.raises(ValueError, match="holds a ecgfounder-classifier"):
        MTECGClassifier(weights=path).predict(X)


def test_predictions_before_a_fit_are_errors(X):
    with pytest.raises(NotFittedError):
        ECGFounderClassifier().predict(X)
    with pytest.raises(FileNotFoundError, match="neither a file nor a name of published weights"):
        ECGFounderClassifier(weights="nowhere.pth").predict(X)
    with pytest.raises(ValueError, match="sampling_rate=None"):
        ECGFounderClassifier("nano", sampling_rate=None).fit(X, np.arange(12) % 2)


def test_bad_recordings_raise(path, X):
    model = ECGFounderClassifier(weights=path)
    broken = X.copy()
    broken[3, 2, 100] = np.nan
    with pytest.raises(ValueError, match="record 3"):
        model.predict_proba(broken)
    lenient = ECGFounderClassifier(weights=path, missing="zero", device="cpu")
    others = [0, 1, 2, *range(4, 12)]
    expected = model.predict_proba(X)
    assert_allclose(lenient.predict_proba(broken)[others], expected[others], atol=1e-6)


def test_it_is_a_step_of_a_pipeline(path, X):
    names = ["AFIB", "LVH", "MI"]
    model = make_pipeline(
        ProbabilityTransformer(ECGFounderClassifier(weights=path, device="cpu")),
        LogisticRegression(),
    )
    model.fit(X, np.arange(12) % 2)
    assert list(model[-1].feature_names_in_) == names
    assert model.predict_proba(X).shape == (12, 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fitted", "loaded", "mtecg"])
def test_a_pickle_holds_the_weights_and_little_more(kind, X, Y, path, tmp_path):
    """It answers alike in a fresh process, which need not have the training device."""
    if kind == "loaded":
        model = ECGFounderClassifier.from_pretrained(path)
    elif kind == "mtecg":
        model = MTECGClassifier("ti_12_25", **QUICK).fit(X, Y)
    else:
        model = ECGFounderClassifier("12-lead", **QUICK).fit(X[:4], Y[:4])
        state = model.net_.module_.state_dict()
        assert sum(value.numel() for value in state.values()) > 30e6
    expected = model.predict_proba(X)
    content = pickle.dumps(model)
    state = model.net_.module_.state_dict().values()
    n_bytes = sum(value.numel() * value.element_size() for value in state)
    if kind != "loaded":  # of a network that small, parameters are the greater part
        assert len(content) <= 1.05 * n_bytes
    (tmp_path / "model.pkl").write_bytes(content)
    np.save(tmp_path / "X.npy", X)
    script = (
        "import pickle, sys, numpy as np\n"
        "model = pickle.load(open(sys.argv[1] + '/model.pkl', 'rb'))\n"
        "np.save(sys.argv[1] + '/p.npy', model.predict_proba(np.load(sys.argv[1] + '/X.npy')))\n"
    )
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, env=hidden)
    assert_allclose(np.load(tmp_path / "p.npy"), expected, atol=1e-6)


def test_the_150_names():
    assert len(ECGFOUNDER_TASKS) == len(set(ECGFOUNDER_TASKS)) == 150
    assert ECGFOUNDER_TASKS[5] == "ATRIAL FIBRILLATION"
    assert ECGFOUNDER_TASKS[7] == "otherwise normal ecg"
    assert ECGFOUNDER_TASKS[149] == "MULTIFOCAL ATRIAL TACHYCARDIA"


def test_there_is_no_batch_normalisation_to_revive():
    with torch.device("meta"):
        network = Net1D()
    assert not [m for m in network.modules() if "Norm" in type(m).__name__]


def test_a_length_is_forgiven_only_where_recordings_are_stretched(tmp_path, path, X):
    """The published preprocessing makes 10 s of what is nearly as long; other files do not."""
    model = ECGFounderClassifier(weights=path, sampling_rate=500, device="cpu")
    assert model.predict_proba(X[..., :4975]).shape == (12, 3)
    with pytest.raises(ValueError, match="takes 10 s"):
        model.predict_proba(X[..., :4940])
    own = ECGFounderClassifier("nano", preprocessing="none", sampling_rate=100, **QUICK)
    x = Resample(500, 100).transform(X)
    own.fit(x, np.arange(12) % 2).save_weights(tmp_path / "own", preprocessing=[BandPass(1, 30)])
    model = ECGFounderClassifier(weights=tmp_path / "own", sampling_rate=100, device="cpu")
    assert model.predict_proba(x).shape == (12, 2)
    with pytest.raises(ValueError, match="X has 999 samples a record.* takes 10 s"):
        model.predict_proba(x[..., :999])


def test_a_dict_sets_the_size_of_the_network(X, Y):
    size = {"stem_width": 16, "widths": (16, 32), "depths": (1, 1)}
    model = ECGFounderClassifier(size, **QUICK).fit(X, Y)
    assert model.transform(X).shape == (12, 32) and len(model.net_.module_.stages) == 2
    with pytest.raises(ValueError, match="may have the keys stem_width, widths, depths"):
        ECGFounderClassifier({"width": 32}, **QUICK).fit(X, Y)
