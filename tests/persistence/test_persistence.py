"""Models that are saved, and answer alike elsewhere."""

import json
import os
import pickle
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from optuna.distributions import FloatDistribution
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    StratifiedKFold,
    TunedThresholdClassifierCV,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import ecgsk
from ecgsk import (
    ECGAugmentation,
    MTECGClassifier,
    MTECGPretrainer,
    ProbabilityTransformer,
    RecordArray,
    SinglePredictorClassifier,
    make_lef_classifier,
)
from ecgsk._core.tensor_store import being_loaded, being_saved
from ecgsk.estimators import Distillation
from ecgsk.model_selection import OptunaSearchCV
from ecgsk.persistence import ModelFileError, ModelVersionWarning, _types, describe, load, save
from ecgsk.persistence._archive import open_plain, pack
from ecgsk.persistence._container import FORMAT, Container, read_container
from ecgsk.tabular import GroupedEBMClassifier
from tests._fixtures import RELEASES, compare_with_release
from tests._models import RATE, recordings, small_models

X, Y = recordings(32)
X.flags.writeable = False
LABELS = pd.DataFrame({"AF": Y, "LBBB": 1 - Y})
PATIENTS = RecordArray.wrap(X, table=pd.DataFrame({"age": np.linspace(40, 80, 32)}))
TABLE = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 4)), columns=list("abcd"))
ANSWER = (TABLE["a"] + np.random.default_rng(1).normal(size=60) > 0).astype(int).to_numpy()


def quick(name="mtecg", **params):
    return small_models()[name].set_params(max_epochs=1, **params)


def networks() -> dict:
    pretrainer = MTECGPretrainer(
        "nano", sampling_rate=RATE, max_epochs=1, decoder_width=16, random_state=0
    ).fit(X)
    teacher = quick().fit(X, Y)
    words = np.where(Y, "sick", "well")
    return {
        "binary": quick(leads=["I", "II", "V1"], augmentation=ECGAugmentation()).fit(X, words),
        "float64": quick(precision="float64", class_weight={0: 1, 1: 3}).fit(X, Y),
        "multilabel": quick("ecgfounder", random_state=np.random.RandomState(3)).fit(X, LABELS),
        "pretrainer": pretrainer,
        "taught": MTECGClassifier(
            pretrained=pretrainer,
            distillation=Distillation(teacher),
            sampling_rate=RATE,
            max_epochs=1,
            random_state=0,
            precision="float32",
        ).fit(X, Y),
        "shipped": MTECGClassifier(weights="ptbxl", sampling_rate=RATE),
    }


def composed() -> dict:
    lef = make_lef_classifier(quick(), covariates=["age"], classifier="logistic", cv=2)
    frozen = FrozenEstimator(quick().fit(X, LABELS))
    glass = make_pipeline(
        ProbabilityTransformer(frozen),
        GroupedEBMClassifier(interactions=0, outer_bags=2, max_rounds=10, n_jobs=1),
    ).fit(X, Y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(glass), method="isotonic", cv=2)
    boosted = make_lef_classifier(None, covariates=["age"], classifier="gradient_boosting")
    return {
        "lef": lef.fit(PATIENTS, Y),
        "glass": glass,
        "tuned": TunedThresholdClassifierCV(calibrated, cv=2, random_state=0).fit(X, Y),
        "boosted": boosted.set_params(classifier__max_iter=5).fit(PATIENTS, Y),
    }


def tables() -> dict:
    stack = [("a", LogisticRegression()), ("b", SinglePredictorClassifier("best", scale="logit"))]
    grid = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()),
        {"logisticregression__C": [1, 2]},
        cv=StratifiedGroupKFold(2),
        scoring=["roc_auc", "average_precision"],
        refit="roc_auc",
    )
    search = OptunaSearchCV(
        LogisticRegression(),
        {"C": FloatDistribution(0.1, 10, log=True)},
        n_trials=2,
        cv=2,
        random_state=0,
    )
    return {
        "search": search.fit(TABLE, ANSWER),
        "stack": StackingClassifier(stack, cv=StratifiedKFold(2)).fit(TABLE, ANSWER),
        "grid": grid.fit(TABLE, ANSWER, groups=np.arange(60) // 2),
        "logarithm": make_pipeline(FunctionTransformer(np.expm1), LogisticRegression()).fit(
            TABLE, ANSWER
        ),
    }


def answer(name: str, model) -> np.ndarray:
    if name == "pretrainer":
        return np.concatenate([model.reconstruct(X).ravel(), model.transform(X).ravel()])
    if name == "shipped":
        return model.predict_proba(ecgsk.make_ecg(2, sampling_rate=RATE, random_state=0))
    given = {"lef": PATIENTS, "boosted": PATIENTS}.get(name, TABLE if name in TABULAR else X)
    return np.column_stack([model.predict_proba(given), model.predict(given) == model.classes_[0]])


TABULAR = ("search", "stack", "grid", "logarithm")
NAMES = ("binary", "float64", "multilabel", "pretrainer", "taught", "shipped")
NAMES += ("lef", "glass", "tuned", "boosted", *TABULAR)


@pytest.fixture(scope="module")
def models() -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {**networks(), **composed(), **tables()}


@pytest.fixture(scope="module")
def answers(models) -> dict:
    return {name: _answer(name, model) for name, model in models.items()}


def _answer(name, model):
    if name == "multilabel":
        return model.predict_proba(X)
    return answer(name, model)


@pytest.fixture(scope="module")
def folder(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, model in models.items():
            save(model, folder / f"{name}.ecgsk", about=name)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_model_answers_the_same_bit_for_bit(name, models, answers, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = load(folder / f"{name}.ecgsk")
    given = _answer(name, again)
    assert given.dtype == answers[name].dtype
    np.testing.assert_array_equal(given, answers[name])
    assert repr(again.get_params(deep=False).keys()) == repr(
        models[name].get_params(deep=False).keys()
    )
    assert being_saved() is None and being_loaded() is None


_ELSEWHERE = """
import sys, pickle, joblib, numpy as np
from tests.persistence.test_persistence import NAMES, _answer, load
folder = sys.argv[1]
answers = np.load(f"{folder}/answers.npz")
for name in NAMES:
    np.testing.assert_array_equal(_answer(name, load(f"{folder}/{name}.ecgsk")), answers[name])
for name in ("binary", "multilabel", "lef"):
    with open(f"{folder}/{name}.pickle", "rb") as file:
        np.testing.assert_array_equal(_answer(name, pickle.load(file)), answers[name])
    again = joblib.load(f"{folder}/{name}.joblib")
    np.testing.assert_array_equal(_answer(name, again), answers[name])
"""


@pytest.mark.slow
def test_another_process_answers_the_same_whatever_the_file(models, answers, folder):
    np.savez(folder / "answers.npz", **answers)
    for name in ("binary", "multilabel", "lef"):
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(models[name]))
        joblib.dump(models[name], folder / f"{name}.joblib")
    # A folder from which the weights that come with ecgsk would not be found by a relative path.
    path = os.pathsep.join([os.getcwd(), *sys.path])
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ELSEWHERE, str(folder)],
        check=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_what_the_parameters_hold_survives(models, folder):
    taught, before = load(folder / "taught.ecgsk"), models["taught"]
    for name in ("distillation__teacher", "pretrained"):
        np.testing.assert_array_equal(
            taught.get_params()[name].transform(X), before.get_params()[name].transform(X)
        )
    multilabel = load(folder / "multilabel.ecgsk")
    assert multilabel.label_names_ == ["AF", "LBBB"]
    assert multilabel.random_state.randint(1000) == clone(
        models["multilabel"]
    ).random_state.randint(1000)
    binary = load(folder / "binary.ecgsk")
    assert binary.augmentation.get_params() == ECGAugmentation().get_params()
    assert binary.lead_names_ == ["I", "II", "V1"] and binary.history_ == models["binary"].history_
    assert next(load(folder / "float64.ecgsk").net_.module_.parameters()).dtype.itemsize == 8
    assert load(folder / "grid.ecgsk").cv_results_["params"] == models["grid"].cv_results_["params"]
    search = load(folder / "search.ecgsk")
    assert search.param_distributions == models["search"].param_distributions
    assert not hasattr(search, "study_") and models["search"].study_ is not None


def test_a_loaded_model_is_refitted_as_the_original(models, folder):
    again = load(folder / "binary.ecgsk").fit(X, Y)
    np.testing.assert_array_equal(
        again.predict_proba(X), clone(models["binary"]).fit(X, Y).predict_proba(X)
    )
    lef = load(folder / "lef.ecgsk")
    lef.fit(PATIENTS, Y, predictors__diagnoses=LABELS)


def test_weights_travel_with_the_model(tmp_path):
    trained = quick().fit(X, Y)
    trained.save_weights(tmp_path / "w.safetensors")
    model = MTECGClassifier(weights=tmp_path / "w.safetensors", sampling_rate=RATE)
    save(model, tmp_path / "m.ecgsk")
    assert "_from_weights" not in vars(model)
    (tmp_path / "w.safetensors").unlink()
    again = load(tmp_path / "m.ecgsk")
    np.testing.assert_array_equal(again.predict_proba(X), trained.predict_proba(X))
    assert again.sampling_rate == RATE and again.weights == str(tmp_path / "w.safetensors")


def test_an_unfitted_model_is_its_parameters(tmp_path):
    model = make_lef_classifier(quick(), covariates=["age"], classifier="logistic", memory="cache")
    save(model, tmp_path / "m.ecgsk")
    again = load(tmp_path / "m.ecgsk")
    # A cache belongs to a machine.
    (name, step), _ = model["predictors"].transformer_list
    assert step.memory == "cache"
    assert repr(again) == repr(clone(model).set_params(**{f"predictors__{name}__memory": None}))
    with config_context(enable_metadata_routing=True):
        assert repr(again.get_metadata_routing()) == repr(model.get_metadata_routing())
    assert again.fit(PATIENTS, Y).predict(PATIENTS).shape == (32,)


def test_a_device_that_is_not_here_becomes_the_cpu(tmp_path):
    model = quick().fit(X, Y)
    expected = model.predict_proba(X)
    model.net_.device = "cuda:1"
    model.device = "cuda:1"
    save(model, tmp_path / "m.ecgsk")
    again = load(tmp_path / "m.ecgsk")
    assert again.device == "cuda:1"
    assert again.device_ == again.net_.device
    if again.device_ == "cpu":
        np.testing.assert_array_equal(again.predict_proba(X), expected)


def test_a_shared_network_is_kept_once(models, folder):
    glass = load(folder / "glass.ecgsk")
    step = glass[0]
    assert step.estimator is step.estimator_
    tuned, alone = (os.path.getsize(folder / f"{n}.ecgsk") for n in ("tuned", "glass"))
    assert tuned < 2 * alone


def test_the_same_model_makes_the_same_file(models, tmp_path):
    parts = []
    for name in ("one", "two"):
        save(models["lef"], tmp_path / name)
        container = read_container(tmp_path / name)
        parts.append((container.model, container.tensors))
    assert parts[0] == parts[1]


def test_the_description_needs_no_model(folder, models):
    said = describe(folder / "tuned.ecgsk")
    assert said["model"] == (
        "TunedThresholdClassifierCV(CalibratedClassifierCV(FrozenEstimator(Pipeline("
        "ProbabilityTransformer(FrozenEstimator(MTECGClassifier)), GroupedEBMClassifier))))"
    )
    assert said["about"] == "tuned" and said["classes"] == [0, 1] and said["n_features"] == 3
    assert said["sampling_rate"] == RATE and said["n_samples"] == 200 and said["format"] == FORMAT
    assert said["versions"]["ecgsk"] == ecgsk.__version__ and len(said["sha256"]) == 64
    assert "ecgsk.MTECGClassifier" in said["types"] and not said["to_trust"]
    said = describe(folder / "binary.ecgsk")
    assert said["classes"] == ["sick", "well"] and said["leads"] == ["I", "II", "V1"]
    assert describe(folder / "multilabel.ecgsk")["label_names"] == ["AF", "LBBB"]
    json.dumps(said)


def test_the_hash_tells_a_file_from_another(models, tmp_path):
    one = save(models["stack"], tmp_path / "m.ecgsk")
    assert describe(tmp_path / "m.ecgsk")["sha256"] == one
    load(tmp_path / "m.ecgsk", sha256=one.upper())
    save(models["stack"], tmp_path / "m.ecgsk", about="another")
    with pytest.raises(ModelFileError, match="Get the right file, or correct sha256"):
        load(tmp_path / "m.ecgsk", sha256=one)


class Doubled(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return 2 * np.asarray(X)


def test_own_types_have_to_be_trusted(tmp_path):
    model = make_pipeline(Doubled(), LogisticRegression()).fit(TABLE, ANSWER)
    name = f"{Doubled.__module__}.Doubled"
    with pytest.warns(UserWarning, match="To load it, use trusted"):
        save(model, tmp_path / "m.ecgsk")
    with pytest.raises(ModelFileError, match=f"trusted=\\['{name}'\\]"):
        load(tmp_path / "m.ecgsk")
    assert describe(tmp_path / "m.ecgsk")["to_trust"] == [name]
    again = load(tmp_path / "m.ecgsk", trusted=[name])
    np.testing.assert_array_equal(again.predict_proba(TABLE), model.predict_proba(TABLE))
    for wrong in (name, True, [Doubled], ["Doubled"]):
        with pytest.raises(TypeError, match="full name"):
            load(tmp_path / "m.ecgsk", trusted=wrong)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (FunctionTransformer(lambda x: x), "<lambda>"),
        (
            quick(distillation=Distillation(LogisticRegression()), class_weight={True: 1}),
            "keys of type bool",
        ),
        (quick(checkpoint_dir=PATIENTS), "RecordArray"),
        (FunctionTransformer(kw_args={"parent": []}), "contains the whole"),
        (LogisticRegression(class_weight=TABLE), "DataFrame"),
        (LogisticRegression(C=b"bytes"), "BytesNode.*LogisticRegression.C"),
    ],
)
def test_what_a_file_cannot_keep_is_an_error(model, said, tmp_path):
    if "whole" in said:
        model.kw_args["parent"].append(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ModelFileError, match=said):
            save(model, tmp_path / "m.ecgsk")
    assert not list(tmp_path.iterdir())


def test_only_estimators_are_saved(tmp_path):
    for wrong in (LogisticRegression, "model", X):
        with pytest.raises(TypeError, match="not an estimator"):
            save(wrong, tmp_path / "m.ecgsk")
    with pytest.raises(TypeError, match="about"):
        save(LogisticRegression(), tmp_path / "m.ecgsk", about=None)
    with pytest.raises(FileNotFoundError):
        save(LogisticRegression(), tmp_path / "nowhere" / "m.ecgsk")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.ecgsk"
    save(LogisticRegression(C=2), path)

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        save(LogisticRegression(C=3), path)
    assert load(path).C == 2 and list(tmp_path.iterdir()) == [path]


def test_other_versions_are_said_once(tmp_path, models):
    save(models["glass"], tmp_path / "m.ecgsk")
    old = read_container(tmp_path / "m.ecgsk")
    old.description["versions"] |= {"sklearn": "1.0.1", "interpret": "0.1", "torch": "1.0"}
    # Of which scikit-learn would say so for each of its estimators.
    with open_plain(old.model) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    here = f'"\\"{sklearn.__version__}\\""'.encode()
    assert here in parts["schema.json"]
    old.model = pack(parts | {"schema.json": parts["schema.json"].replace(here, b'"\\"1.0.1\\""')})
    old.write(tmp_path / "old.ecgsk")
    with pytest.warns(ModelVersionWarning) as caught:
        load(tmp_path / "old.ecgsk")
    assert len(caught) == 1
    said = str(caught[0].message)
    assert "sklearn 1.0.1 (now" in said and "interpret 0.1 (now" in said and "torch" not in said
    assert caught[0].filename == __file__
    save(models["binary"], tmp_path / "m.ecgsk")
    old = read_container(tmp_path / "m.ecgsk")
    old.description["versions"]["sklearn"] = "1.0.1"
    old.write(tmp_path / "m.ecgsk")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tmp_path / "m.ecgsk")  # nothing in it is of scikit-learn


def _without_backend_and_scale(part: dict) -> dict:
    if part.get("__loader__") == "DictNode":
        for name in {"backend", "scale"} & set(part["content"]):
            del part["content"][name]
            part["key_types"]["content"].pop()
    return part


def test_models_of_before_a_parameter_have_its_default(tmp_path):
    network = quick().fit(X, Y)
    model = make_pipeline(ProbabilityTransformer(FrozenEstimator(network)), StandardScaler())
    save(model.fit(X, Y), tmp_path / "m.ecgsk")
    old = read_container(tmp_path / "m.ecgsk")
    with open_plain(old.model) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts["schema.json"], object_hook=_without_backend_and_scale)
    old.model = pack(parts | {"schema.json": json.dumps(schema).encode()})
    old.write(tmp_path / "m.ecgsk")
    again = load(tmp_path / "m.ecgsk")
    assert again[0].scale == "probability" and again[0].estimator.estimator.backend == "torch"
    assert again.transform(X).shape == (32, 1)


def test_a_newer_format_asks_for_an_update(tmp_path):
    said = {"format": FORMAT + 1, "versions": {"ecgsk": "9.1"}}
    Container(said, b"", b"").write(tmp_path / "m.ecgsk")
    for read in (load, describe):
        with pytest.raises(ModelFileError, match=r"newer.*Update ecgsk.*9\.1"):
            read(tmp_path / "m.ecgsk")


def test_listed_types_are_there_and_all_estimators_are_listed():
    from importlib import import_module

    # Parts of scikit-learn come and go with its versions.
    for module, name in _types.objects() - _types._SKLEARN_PARTS:
        assert isinstance(getattr(import_module(module), name), type)
    listed = {name for _, name in _types.ECGSK}
    for room in ("estimators", "tabular", "preprocessing", "model_selection"):
        public = import_module(f"ecgsk.{room}")
        for name in public.__all__:
            thing = getattr(public, name)
            if hasattr(thing, "get_params") or hasattr(thing, "split"):
                assert name in listed, name


@pytest.mark.parametrize("expected", RELEASES, ids=[path.parent.name for path in RELEASES])
def test_models_of_earlier_releases_answer_as_they_did(expected):
    compare_with_release(expected)


def test_there_are_models_of_earlier_releases():
    assert RELEASES


class HoldsTorch(TransformerMixin, BaseEstimator):
    """A user's transformer with something of torch in it."""

    def __init__(self, holds=None):
        self.holds = holds

    def fit(self, X, y=None):
        self.part_ = self.holds
        return self

    def transform(self, X):
        return X


def torch_objects():
    import skorch
    import torch

    net = torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3), torch.nn.ReLU())
    return {
        "network": net,
        "module without weights": torch.nn.ReLU(),
        "tensor": torch.zeros(3),
        "in a list": [net],
        "in a dict": {"net": net},
        "optimizer": torch.optim.SGD(net.parameters()),
        "device": torch.device("cpu"),
        "skorch": skorch.NeuralNetClassifier(torch.nn.Linear),
    }


@pytest.mark.parametrize("kind", list(torch_objects()))
def test_a_users_network_is_refused_with_its_place(tmp_path, kind):
    holds = torch_objects()[kind]
    for model in (HoldsTorch(holds), make_pipeline(HoldsTorch(holds), LogisticRegression())):
        with pytest.raises(ModelFileError, match=r"HoldsTorch.holds is a .*NetworkClassifier"):
            save(model, tmp_path / "model.ecgsk")
    assert not list(tmp_path.iterdir())
