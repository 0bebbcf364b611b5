"""Weight files, and estimators that start from them or answer with them as they are."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from ecgsk import (
    STANDARD_LEADS,
    MTECGClassifier,
    MTECGPretrainer,
    ProbabilityTransformer,
    load_ptbxl,
    make_ecg,
)
from ecgsk.datasets import PTBXL_TASKS
from ecgsk.estimators import MTECGSize
from ecgsk.metrics import macro_roc_auc
from ecgsk.preprocessing import BandPass, Resample
from ecgsk.weights import WeightFile, read_weights, write_weights

COMMON = {
    "sampling_rate": 100,
    "max_epochs": 1,
    "random_state": 0,
    "precision": "float32",
    "device": "cpu",
}
NAMES = ["AFIB", "LVH", "MI"]
# A rate this small leaves float32 weights as they are.
STILL = {**COMMON, "learning_rate": 1e-30}


@pytest.fixture(scope="module")
def X():
    return make_ecg(24, sampling_rate=100, random_state=0)


@pytest.fixture(scope="module")
def Y():
    i = np.arange(24)
    return pd.DataFrame(dict(zip(NAMES, [i % 2, i // 2 % 2, i // 3 % 2], strict=True)))


@pytest.fixture(scope="module")
def pretrainer(X):
    return MTECGPretrainer("nano", **COMMON).fit(X)


@pytest.fixture(scope="module")
def fitted(pretrainer, X, Y):
    return MTECGClassifier(pretrained=pretrainer, learning_rate=1e-2, **COMMON).fit(X, Y)


@pytest.fixture(scope="module")
def path(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    fitted.save_weights(path, about={"data": "synthetic"})
    return path


@pytest.fixture(scope="module")
def answers(fitted, X):
    return fitted.predict_proba(X)


@pytest.fixture
def weights():
    rng = np.random.default_rng(0)
    tensors = {
        "body.weight": rng.normal(size=(5, 3)).astype(np.float32),
        "body.scale": np.float32(0.1234567),
    }
    return WeightFile(
        kind="mtecg-classifier",
        network={"n_leads": 12, "n_samples": 1000},
        tensors=tensors,
        sampling_rate=100,
        preprocessing=[("BandPass", BandPass(0.5, 40, sampling_rate=100).get_params())],
        label_names=NAMES,
        about={"license": "CC BY 4.0", "AUROC": 0.9},
    )


def metadata_of(path):
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    return header["__metadata__"]


def rewrite(path, new, *, tensors=None, **said):
    """Write another file with other tensors or other metadata."""
    metadata = metadata_of(path)
    metadata["ecgsk"] = json.dumps({**json.loads(metadata["ecgsk"]), **said})
    save_file(load_file(path) if tensors is None else tensors, new, metadata)
    return new


# --- the file -------------------------------------------------------------------------------


def test_float32_comes_back_bit_for_bit(weights, tmp_path):
    write_weights(tmp_path / "w.safetensors", weights)
    back = read_weights(tmp_path / "w.safetensors", kind="mtecg-classifier")
    for name, value in weights.tensors.items():
        assert_array_equal(back.tensors[name], value)
        assert back.tensors[name].shape == value.shape
    left = [{**vars(w), "tensors": None} for w in (back, weights)]
    assert left[0] == left[1]
    assert back.seconds == 10


def test_float16_keeps_three_digits_and_scalars_exactly(weights, tmp_path):
    write_weights(tmp_path / "w.safetensors", weights, dtype="float16")
    back = read_weights(str(tmp_path / "w.safetensors")).tensors
    assert_allclose(back["body.weight"], weights.tensors["body.weight"], rtol=1e-3)
    assert (back["body.weight"] != weights.tensors["body.weight"]).any()
    assert back["body.scale"] == weights.tensors["body.scale"]
    assert all(value.dtype == np.float32 for value in back.values())


def test_other_floats_become_float32_or_are_refused_by_name(path, tmp_path):
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    values = torch.tensor([[0.5, -3.0, float("inf")]])
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int32):
        given = values.nan_to_num(posinf=7).to(dtype)
        save_torch_file({"a": given}, tmp_path / "w", metadata)
        found = read_weights(tmp_path / "w").tensors["a"]
        assert found.dtype == np.float32
        assert_array_equal(found, given.float().numpy())
    for dtype, name in ((torch.float8_e4m3fn, "F8_E4M3"), (torch.float8_e5m2, "F8_E5M2")):
        save_torch_file({"scale": values.to(dtype)}, tmp_path / "w", metadata)
        with pytest.raises(ValueError, match=f"w holds the tensor 'scale' in {name}, .*BF16"):
            read_weights(tmp_path / "w")


def test_tensors_in_other_memory_orders_come_back(weights, tmp_path):
    value = np.asfortranarray(np.arange(15.0).reshape(5, 3))
    weights.tensors = {"a": value, "b": value.T, "c": value[::2]}
    write_weights(tmp_path / "w", weights)
    back = read_weights(tmp_path / "w").tensors
    for name, tensor in weights.tensors.items():
        assert_array_equal(back[name], tensor)


def test_the_file_is_plain_safetensors_and_no_pickle(path):
    metadata = metadata_of(path)
    assert set(metadata) == {"format", "version", "ecgsk"}
    said = json.loads(metadata["ecgsk"])
    assert said["kind"] == "mtecg-classifier" and said["label_names"] == NAMES
    assert said["about"] == {"data": "synthetic"}
    with pytest.raises(Exception):  # noqa: B017 - whatever pickle makes of it
        pickle.loads(path.read_bytes())


def test_nothing_but_the_file_is_left(weights, tmp_path):
    for _ in range(2):  # the second replaces the first
        write_weights(tmp_path / "w.safetensors", weights)
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_write_that_fails_leaves_the_old_file(weights, tmp_path):
    write_weights(tmp_path / "w.safetensors", weights)
    before = (tmp_path / "w.safetensors").read_bytes()
    weights.about = {"function": print}
    with pytest.raises(TypeError):
        write_weights(tmp_path / "w.safetensors", weights)
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
    assert (tmp_path / "w.safetensors").read_bytes() == before


def test_what_cannot_be_written_is_named(weights, tmp_path):
    with pytest.raises(ValueError, match="dtype='int8'.*float16"):
        write_weights(tmp_path / "w", weights, dtype="int8")
    weights.preprocessing = [("StandardScaler", {})]
    with pytest.raises(ValueError, match="preprocessing holds StandardScaler.*BandPass"):
        write_weights(tmp_path / "w", weights)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("source", ["no_such_name", "no/such/file.safetensors"])
def test_what_is_not_there_is_named(source):
    with pytest.raises(FileNotFoundError, match=f"{source}.*shipped weights .ptbxl"):
        read_weights(source)
    with pytest.raises(FileNotFoundError, match=source):
        MTECGClassifier.from_pretrained(source)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="is neither a file"):
        read_weights(tmp_path)


def test_files_of_others_are_refused(tmp_path):
    text = tmp_path / "text.safetensors"
    for content in (b"", b"hello", b"These are no weights. " * 20, pickle.dumps({"a": 1})):
        text.write_bytes(content)
        with pytest.raises(ValueError, match="text.safetensors is not a safetensors file"):
            read_weights(text)
    other = tmp_path / "other.safetensors"
    for metadata in (None, {"format": "pt"}, {"format": "ecgsk-weights-99"}):
        save_file({"a": np.ones(2)}, other, metadata)
        with pytest.raises(ValueError, match="not written by ecgsk .*save_weights"):
            read_weights(other)


def test_half_a_file_is_refused(path, tmp_path):
    half = tmp_path / "half.safetensors"
    half.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a safetensors file"):
        read_weights(half)


def test_another_kind_is_refused(path, pretrainer, tmp_path):
    with pytest.raises(ValueError, match="holds a mtecg-classifier; expected a mtecg-pretrainer"):
        MTECGPretrainer.from_pretrained(path)
    pretrainer.save_weights(tmp_path / "p")
    with pytest.raises(ValueError, match="holds a mtecg-pretrainer; expected a mtecg-classifier"):
        MTECGClassifier.from_pretrained(tmp_path / "p")


@pytest.mark.parametrize("name", ["Denoise2030", "os", "_base"])
def test_preprocessing_of_the_future_is_refused(path, tmp_path, name):
    new = rewrite(path, tmp_path / "new", preprocessing=[[name, {}]])
    with pytest.raises(ValueError, match=f"does not have: {name}. Update ecgsk"):
        read_weights(new)


def test_missing_and_extra_tensors_are_listed(path, tmp_path):
    tensors = load_file(path)
    bias = tensors.pop("head.bias")
    new = rewrite(path, tmp_path / "missing", tensors=tensors)
    with pytest.raises(ValueError, match=r"Missing: \['head.bias'\]; unexpected: none"):
        MTECGClassifier.from_pretrained(new)
    tensors |= {"head.bias": bias, "tail.bias": bias}
    new = rewrite(path, tmp_path / "extra", tensors=tensors)
    with pytest.raises(ValueError, match=r"Missing: none; unexpected: \['tail.bias'\]"):
        MTECGClassifier.from_pretrained(new)
    del tensors["tail.bias"]
    tensors["head.bias"] = np.zeros(7, np.float32)
    new = rewrite(path, tmp_path / "shape", tensors=tensors)
    with pytest.raises(ValueError, match=r"head.bias \(7,\) instead of \(3,\)"):
        MTECGClassifier.from_pretrained(new)


# --- answers without a fit ------------------------------------------------------------------


def test_a_file_answers_as_the_model_it_was_made_of(path, fitted, answers, X):
    for rate in (100, None):
        model = MTECGClassifier.from_pretrained(path, sampling_rate=rate)
        assert_array_equal(model.predict_proba(X), answers)
        assert_array_equal(model.predict(X), fitted.predict(X))
        assert_array_equal(model.transform(X), fitted.transform(X))
        assert_array_equal(model.get_feature_names_out(), fitted.get_feature_names_out())
        assert model.label_names_ == NAMES and model.scale_ == fitted.scale_
        assert model.n_features_in_ == 12 and model.multilabel_


def test_float16_weights_answer_nearly_alike(fitted, answers, X, tmp_path):
    fitted.save_weights(tmp_path / "w", dtype="float16")
    found = MTECGClassifier.from_pretrained(tmp_path / "w").predict_proba(X)
    assert_allclose(found, answers, atol=2e-3)


def test_parameters_stay_verbatim(path):
    model = MTECGClassifier(weights=path)
    model.classes_  # noqa: B018 - it reads the file
    params = model.get_params()
    assert params["weights"] is path and params["preset"] is None
    assert params["sampling_rate"] == 500


def test_preprocessing_travels_with_the_weights(X, Y, tmp_path):
    step = BandPass(0.5, 40, sampling_rate=100)
    model = MTECGClassifier("nano", **COMMON).fit(step.transform(X), Y)
    model.save_weights(tmp_path / "w", preprocessing=[step])
    back = MTECGClassifier(weights=tmp_path / "w", sampling_rate=100)
    assert_array_equal(back.predict_proba(X), model.predict_proba(step.transform(X)))
    assert (back.predict_proba(X) != model.predict_proba(X)).any()

    # Other rates are resampled first, then filtered at the rate of the network.
    fast = make_ecg(6, sampling_rate=500, random_state=0)
    by_hand = step.transform(Resample(500, 100).transform(fast))
    for rate in (500, None):
        back = MTECGClassifier(weights=tmp_path / "w", sampling_rate=rate)
        assert_array_equal(back.predict_proba(fast), model.predict_proba(by_hand))

    # It travels on from a model that was fine-tuned on the file.
    tuned = MTECGClassifier(weights=tmp_path / "w", **STILL).fit(X, Y)
    tuned.save_weights(tmp_path / "tuned")
    again = MTECGClassifier(weights=tmp_path / "tuned", sampling_rate=100)
    assert_array_equal(again.predict_proba(X), tuned.predict_proba(X))
    assert read_weights(tmp_path / "tuned").preprocessing == [("BandPass", step.get_params())]


def test_preprocessing_is_not_disturbed_by_a_set_output(path, answers, X):
    import sklearn

    with sklearn.config_context(transform_output="pandas"):
        model = MTECGClassifier(weights=path, leads=list(STANDARD_LEADS), sampling_rate=100)
        assert_array_equal(model.predict_proba(X), answers)


def test_the_length_tells_the_rate(path, fitted, answers, X):
    model = MTECGClassifier.from_pretrained(path)
    assert_array_equal(model.predict_proba(X), answers)
    fast = Resample(100, 500).transform(X)
    assert fast.shape[2] == 5000
    expected = fitted.predict_proba(Resample(500, 100).transform(fast))
    assert_array_equal(model.predict_proba(fast), expected)
    with pytest.raises(ValueError, match="900 samples.*1000 at 100 Hz or 5000 at 500 Hz.*CropPad"):
        model.predict_proba(X[..., :900])


def test_another_rate_is_resampled_where_it_is_told(path, fitted, X):
    slow = Resample(100, 250).transform(X)
    model = MTECGClassifier(weights=path, sampling_rate=250)
    expected = fitted.predict_proba(Resample(250, 100).transform(slow))
    assert_array_equal(model.predict_proba(slow), expected)


def test_a_wrong_rate_is_noticed_in_fit(path, pretrainer, X, Y):
    for start in ({"weights": path}, {"pretrained": pretrainer}):
        with pytest.raises(ValueError, match="1000 samples.*sampling_rate=100"):
            MTECGClassifier(**start).fit(X, Y)


def test_a_wrong_rate_is_noticed_in_prediction(path, X):
    with pytest.raises(ValueError, match="1000 samples.*sampling_rate=100"):
        MTECGClassifier(weights=path).predict_proba(X)


def test_leads_are_rearranged_by_name(path, answers, X):
    order = np.random.default_rng(0).permutation(12)
    leads = [STANDARD_LEADS[i].lower() for i in order]
    model = MTECGClassifier(weights=path, leads=leads, sampling_rate=100)
    assert_array_equal(model.predict_proba(X[:, order]), answers)


def test_eight_leads_are_enough(path, answers, X):
    leads = ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]
    model = MTECGClassifier(weights=path, leads=leads, sampling_rate=100)
    rows = [STANDARD_LEADS.index(lead) for lead in leads]
    assert model.n_features_in_ == 8
    assert_allclose(model.predict_proba(X[:, rows]), answers, atol=1e-5)
    with pytest.raises(ValueError, match="12 leads"):
        model.predict_proba(X)
    with pytest.raises(ValueError, match="leads"):
        MTECGClassifier(weights=path, sampling_rate=100).predict_proba(X[:, rows])


def test_a_model_of_leads_in_another_order_survives_the_file(X, Y, tmp_path):
    leads = list(STANDARD_LEADS)[::-1]
    model = MTECGClassifier("nano", leads=leads, learning_rate=1e-2, **COMMON)
    model.fit(X[:, ::-1], Y).save_weights(tmp_path / "w")
    back = MTECGClassifier(weights=tmp_path / "w", leads=leads, sampling_rate=100)
    assert_array_equal(back.predict_proba(X[:, ::-1]), model.predict_proba(X[:, ::-1]))


def test_clones_and_pickles_answer_alike(path, answers, X):
    model = MTECGClassifier.from_pretrained(path)
    for copy in (clone(model), pickle.loads(pickle.dumps(model)), clone(model).set_params()):
        assert_array_equal(copy.predict_proba(X), answers)


def test_a_pickle_needs_no_file_any_more_in_a_fresh_process(path, answers, X, tmp_path):
    own = tmp_path / "own.safetensors"
    own.write_bytes(path.read_bytes())
    model = MTECGClassifier.from_pretrained(own)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    np.save(tmp_path / "X.npy", X)
    own.unlink()
    script = (
        "import pickle, numpy as np\n"
        "model = pickle.load(open('model.pkl', 'rb'))\n"
        "np.save('answers.npy', model.predict_proba(np.load('X.npy')))\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    assert_array_equal(np.load(tmp_path / "answers.npy"), answers)
    with pytest.raises(FileNotFoundError):
        clone(model).predict_proba(X)


def test_another_file_is_read_when_the_parameter_changes(path, answers, X, Y, tmp_path):
    MTECGClassifier("nano", **COMMON).fit(X, Y).save_weights(tmp_path / "other")
    model = MTECGClassifier(weights=tmp_path / "other", sampling_rate=100)
    assert (model.predict_proba(X) != answers).any()
    assert_array_equal(model.set_params(weights=path).predict_proba(X), answers)
    with pytest.raises(NotFittedError):
        model.set_params(weights=None).predict_proba(X)


def test_weights_need_no_fit_and_no_targets(path, answers, X):
    model = MTECGClassifier(weights=path, sampling_rate=100)
    assert not get_tags(model).requires_fit
    assert get_tags(MTECGClassifier()).requires_fit
    step = ProbabilityTransformer(model)
    y = np.arange(24) % 2
    found = cross_val_predict(make_pipeline(step, LogisticRegression()), X, y, cv=3)
    assert_array_equal(found, cross_val_predict(LogisticRegression(), answers, y, cv=3))
    for found in (step.transform(X), clone(step).fit_transform(X)):
        assert list(found.columns) == NAMES
        assert_array_equal(found, answers)


def test_a_model_without_weights_has_none_of_it():
    model = MTECGClassifier("nano")
    assert not hasattr(model, "classes_") and not hasattr(model, "net_")
    with pytest.raises(AttributeError, match="'MTECGClassifier' object has no attribute 'n_leads'"):
        model.n_leads  # noqa: B018


@pytest.mark.parametrize("classes", [["normal", "ill"], ["a", "bb", "ccc"], [3, 7], [False, True]])
def test_classes_survive_the_file(X, classes, tmp_path):
    y = np.array(classes)[np.arange(24) % len(classes)]
    model = MTECGClassifier("nano", **COMMON).fit(X, y)
    model.save_weights(tmp_path / "w")
    back = MTECGClassifier(weights=tmp_path / "w", sampling_rate=100)
    assert_array_equal(back.classes_, model.classes_)
    assert back.classes_.dtype == model.classes_.dtype and not back.multilabel_
    assert_array_equal(back.predict(X), model.predict(X))
    assert_array_equal(back.predict_proba(X), model.predict_proba(X))
    assert back.score(X, y) == model.score(X, y)


def test_labels_without_names_are_numbered(X, Y, tmp_path):
    MTECGClassifier("nano", **COMMON).fit(X, Y.to_numpy()).save_weights(tmp_path / "w")
    back = MTECGClassifier(weights=tmp_path / "w", sampling_rate=100)
    assert back.label_names_ == ["label_0", "label_1", "label_2"]


def test_sizes_of_numpy_are_written(X, Y, tmp_path):
    model = MTECGClassifier(MTECGSize("nano", width=np.int64(32)), **COMMON).fit(X, Y)
    model.save_weights(tmp_path / "w")
    assert read_weights(tmp_path / "w").network["width"] == 32


# --- fine-tuning ----------------------------------------------------------------------------


def test_fine_tuning_keeps_the_head_of_labels_it_knows(path, answers, X, Y):
    tuned = MTECGClassifier(weights=path, **STILL).fit(X, Y)
    assert_array_equal(tuned.predict_proba(X), answers)
    assert [row["stage"] for row in tuned.history_] == ["fine-tuning"]
    moved = MTECGClassifier(weights=path, **COMMON).fit(X, Y)
    assert (moved.predict_proba(X) != answers).any()


@pytest.mark.parametrize("head_init", ["random", "prior"])
def test_fine_tuning_on_other_labels_has_a_new_head(path, fitted, answers, X, Y, head_init):
    tuned = MTECGClassifier(weights=path, head_init=head_init, **STILL)
    tuned.fit(X, Y.rename(columns={"MI": "CLBBB"}))
    assert tuned.label_names_ == ["AFIB", "LVH", "CLBBB"]
    assert_array_equal(tuned.transform(X), fitted.transform(X))
    assert np.abs(tuned.predict_proba(X) - answers).max() > 1e-3
    y = np.array(["no", "yes"])[np.arange(24) % 2]
    tuned.fit(X, y)
    assert tuned.classes_.tolist() == ["no", "yes"] and not tuned.multilabel_
    assert tuned.predict_proba(X).shape == (24, 2)


def test_labels_of_the_file_do_not_name_those_of_a_fit_without_names(path, X, Y):
    tuned = MTECGClassifier(weights=path, **STILL).fit(X, 1 - Y.to_numpy())
    assert not hasattr(tuned, "label_names_")
    names = ["label_0", "label_1", "label_2"]
    assert tuned.to_weights().label_names == names
    assert list(ProbabilityTransformer(FrozenEstimator(tuned)).transform(X).columns) == names


def test_a_head_that_knows_the_shares_starts_with_them(pretrainer, X):
    y = (np.arange(24) % 4 == 0).astype(int)
    model = MTECGClassifier(pretrained=pretrainer, head_init="prior", **STILL).fit(X, y)
    assert_allclose(model.predict_proba(X)[:, 1], 0.25, atol=1e-3)


def test_fine_tuning_keeps_the_pooling_that_the_head_reads(X, Y, tmp_path):
    model = MTECGClassifier("nano", pooling="mean", **COMMON).fit(X, Y)
    model.save_weights(tmp_path / "w")
    tuned = MTECGClassifier(weights=tmp_path / "w", **STILL).fit(X, Y)
    assert_array_equal(tuned.predict_proba(X), model.predict_proba(X))


def test_a_fine_tuning_that_fails_leaves_no_mixture(path, answers, X):
    model = MTECGClassifier(weights=path, class_weight={0: -1.0, 1: -1.0}, **COMMON)
    with pytest.raises(ValueError, match="class_weight"):
        model.fit(X, np.arange(24) % 2)
    try:
        found = model.predict_proba(X)
    except NotFittedError:
        return
    assert_array_equal(found, answers)


def test_a_fit_outlives_its_file(path, X, Y, tmp_path):
    own = tmp_path / "own"
    own.write_bytes(path.read_bytes())
    tuned = MTECGClassifier(weights=own, **COMMON).fit(X, Y)
    own.unlink()
    back = pickle.loads(pickle.dumps(tuned))
    assert_array_equal(back.predict_proba(X), tuned.predict_proba(X))


def test_the_pretrained_encoder_is_where_a_fit_starts(pretrainer, X, Y, tmp_path):
    pretrainer.save_weights(tmp_path / "p")
    sources = [pretrainer, FrozenEstimator(pretrainer), tmp_path / "p", str(tmp_path / "p")]
    models = [MTECGClassifier(pretrained=s, pooling="mean", **STILL).fit(X, Y) for s in sources]
    for model in models:
        assert_array_equal(model.transform(X), pretrainer.transform(X))
        assert_array_equal(model.predict_proba(X), models[0].predict_proba(X))
        assert model.scale_ == pretrainer.scale_


def test_a_classifiers_file_gives_its_encoder_as_well(path, fitted, X, Y):
    model = MTECGClassifier(pretrained=path, **STILL).fit(X, Y["LVH"])
    assert_array_equal(model.transform(X), fitted.transform(X))


def test_the_pretrained_network_itself_does_not_learn(pretrainer, X, Y):
    before = pretrainer.transform(X)
    MTECGClassifier(pretrained=pretrainer, learning_rate=1e-2, **COMMON).fit(X, Y)
    assert_array_equal(pretrainer.transform(X), before)


def test_a_file_of_a_pretrainer_goes_on_where_it_was(pretrainer, X, tmp_path):
    pretrainer.save_weights(tmp_path / "p")
    back = MTECGPretrainer.from_pretrained(tmp_path / "p")
    assert_array_equal(back.transform(X), pretrainer.transform(X))
    assert not get_tags(back).requires_fit
    further = MTECGPretrainer(weights=tmp_path / "p", **STILL).fit(X)
    assert_array_equal(further.transform(X), pretrainer.transform(X))


def test_an_unfitted_pretrainer_is_refused(X, Y):
    for unfitted in (MTECGPretrainer("nano"), FrozenEstimator(MTECGPretrainer("nano"))):
        with pytest.raises(NotFittedError, match="MTECGPretrainer"):
            MTECGClassifier(pretrained=unfitted, **COMMON).fit(X, Y)


def test_a_clone_keeps_the_fitted_pretrainer(pretrainer):
    model = MTECGClassifier(pretrained=pretrainer)
    assert clone(clone(model)).pretrained is pretrainer


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ({"preset": "small"}, "width=96, depth=4, n_heads=3 does not fit.*width=32, depth=2"),
        ({"preset": {"patch_size": 10}}, "patch_size=10 does not fit.*patch_size=20"),
        ({"preset": MTECGSize(width=64)}, "width=64 does not fit.*at None"),
    ],
)
def test_another_size_than_that_of_the_start_is_refused(pretrainer, path, X, Y, size, said):
    for start in ({"pretrained": pretrainer}, {"weights": path}):
        with pytest.raises(ValueError, match=said):
            MTECGClassifier(**start, **size, **COMMON).fit(X, Y)
    MTECGClassifier("nano", pretrained=pretrainer, **STILL).fit(X, Y)


def test_a_fit_has_one_start(pretrainer, path, X, Y):
    model = MTECGClassifier(pretrained=pretrainer, weights=path, **COMMON)
    with pytest.raises(ValueError, match="weights=.*pretrained were both set.*one"):
        model.fit(X, Y)


def test_without_weights_a_rate_is_needed(X, Y):
    for model in (MTECGClassifier("nano"), MTECGPretrainer("nano")):
        with pytest.raises(ValueError, match="sampling_rate=None.*Hz"):
            model.set_params(sampling_rate=None).fit(X, Y)


def test_an_unfitted_model_has_nothing_to_save(tmp_path):
    with pytest.raises(NotFittedError):
        MTECGClassifier("nano").save_weights(tmp_path / "w")
    assert not list(tmp_path.iterdir())


def test_prepare_gives_what_the_network_reads(X):
    model = MTECGPretrainer.from_pretrained("ptbxl")
    fast = Resample(100, 500).transform(X[:2])
    prepared = model.prepare(fast)
    expected = BandPass(0.5, 40, sampling_rate=100).transform(Resample(500, 100).transform(fast))
    assert_allclose(prepared, expected, atol=1e-6)
    filled, mask = model.reconstruct(fast, return_mask=True)
    seen = np.broadcast_to(~mask[:, None], filled.shape)
    assert_array_equal(filled[seen], prepared[seen])


def test_shipped_weights_answer_on_raw_recordings_of_either_rate(X):
    model = MTECGClassifier.from_pretrained("ptbxl")
    answers = model.predict_proba(X)
    assert answers.shape == (24, 71) and model.label_names_ == list(PTBXL_TASKS["all"])
    fast = model.predict_proba(Resample(100, 500).transform(X))
    assert np.abs(fast - answers).max() < 0.05
    state = torch.get_rng_state()
    again = MTECGClassifier(weights="ptbxl", sampling_rate=100).predict_proba(X)
    assert_array_equal(again, answers)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.real_data
def test_shipped_weights_rank_the_statements_of_fold_9(ptbxl_path):
    bunch = load_ptbxl(ptbxl_path, folds=9)
    answers = MTECGClassifier.from_pretrained("ptbxl").predict_proba(bunch.data)
    assert macro_roc_auc(bunch.target, answers) > 0.88


def test_shipped_files_are_small_and_have_a_card():
    from importlib import resources

    files = {f.name: f for f in resources.files("ecgsk.weights").iterdir()}
    sizes = [f.stat().st_size for name, f in files.items() if name.endswith(".safetensors")]
    assert len(sizes) == 2 and sum(sizes) < 12e6
    card = files["ptbxl.md"].read_text()
    assert "not a medical device" in card and "CC BY 4.0" in card and "{macro" not in card
