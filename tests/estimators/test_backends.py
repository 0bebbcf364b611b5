"""Predictions with other engines, and export: as torch answers, whatever happened before."""

import ast
import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from ecgsk import ECGFounderClassifier, MTECGClassifier, RecordArray
from ecgsk._training import backends as _backend
from ecgsk._training.device import has_fast_bfloat16
from tests._models import RATE, recordings
from tests._processes import HANG

# Together they take longer than all else that `make test-fast` runs.
pytestmark = pytest.mark.slow

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("openvino")

ENGINES = ["openvino", "onnxruntime"]
MODELS = {
    "mtecg": (MTECGClassifier, {}),
    "ecgfounder": (ECGFounderClassifier, {"preprocessing": "none"}),
}
KINDS = ["binary", "multiclass", "multilabel"]
N_RECORDS = 20


def make(name: str, **params):
    kind, common = MODELS[name]
    return kind(
        "nano",
        **{
            "sampling_rate": RATE,
            "max_epochs": 2,
            "batch_size": 16,
            "learning_rate": 1e-2,
            "precision": "float32",
            "device": "cpu",
            "random_state": 0,
            **common,
            **params,
        },
    )


@pytest.fixture(scope="module")
def X():
    return recordings(N_RECORDS)[0]


@pytest.fixture(scope="module")
def targets():
    i = np.arange(N_RECORDS)
    return {
        "binary": i % 2,
        "multiclass": np.array(["healthy", "ill", "unclear"])[i % 3],
        "multilabel": pd.DataFrame({"AFIB": i % 2, "LVH": i // 2 % 2, "MI": i // 3 % 2}),
    }


@pytest.fixture(scope="module", autouse=True)
def conversions():
    """Convert a network only once: the same weights make the same file, which takes a second."""
    made, convert = {}, _backend.to_onnx

    def to_onnx(network, shape):
        state = [(k, v.cpu().numpy().tobytes()) for k, v in network.state_dict().items()]
        key = (repr(network), tuple(shape), str(state))
        if key not in made:
            made[key] = convert(network, shape)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_backend, "to_onnx", to_onnx)
        yield convert


@pytest.fixture(scope="module")
def fits(X, targets):
    """Return a function that gives a fitted model of its own."""
    known = {}

    def fitted(name="mtecg", kind="binary", **params):
        if (name, kind) not in known:
            known[name, kind] = make(name).fit(X, targets[kind])
        return copy.deepcopy(known[name, kind]).set_params(**params)

    return fitted


@pytest.fixture
def asked(monkeypatch):
    """Return the engines that were asked, in their order."""
    calls = []
    for engine, name in ((_backend.OnnxRuntime, "onnxruntime"), (_backend.OpenVINO, "openvino")):

        def call(self, x, *, ask=engine.__call__, name=name):
            calls.append(name)
            return ask(self, x)

        monkeypatch.setattr(engine, "__call__", call)
    return calls


def assert_same(model, backend: str, X, *, atol: float = 1e-5) -> None:
    """Compare all that a model answers with what it answers with torch."""
    methods = ("decision_function", "predict_proba", "transform")
    found = [getattr(model.set_params(backend=backend), method)(X) for method in methods]
    expected = [getattr(model.set_params(backend="torch"), method)(X) for method in methods]
    for method, one, other in zip(methods, found, expected, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        assert_allclose(one, other, rtol=0, atol=atol, err_msg=method)
    model.set_params(backend=backend)


# --- agreement


def test_nothing_else_is_touched(fits, X, targets, capfd):
    """Comes first: later tests find the network converted."""
    model = fits()
    weights = copy.deepcopy(model.net_.module_.state_dict())
    assert not model.net_.module_.training
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    threads, out = torch.get_num_threads(), sys.stdout
    capfd.readouterr()
    model.set_params(backend="openvino").predict(X)
    assert capfd.readouterr() == ("", "")
    assert torch.equal(states[0], torch.get_rng_state())
    assert_array_equal(states[1], np.random.get_state()[1])
    assert torch.get_num_threads() == threads and sys.stdout is out
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    assert not any(module.training for module in model.net_.module_.modules())
    for name, value in model.net_.module_.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, weights[name])
    model.fit(X, targets["binary"])  # parameters are not those of an inference


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_engines_answer_as_torch(fits, X, asked, name, kind, backend, monkeypatch):
    model = fits(name, kind)
    expected = model.predict(X)
    answers = model.decision_function(X)
    assert np.ptp(answers, axis=0).max() > 1e-3  # all records would not be alike in the wrong order
    for batch_size in (1, 3, 7, 33):
        model.set_params(batch_size=batch_size)
        assert_same(model, backend, X)
        assert_array_equal(model.predict(X), expected)
        assert_same(model, backend, X[:1])
        # The engine is kept.
        monkeypatch.setattr("ecgsk.estimators._classifier.compiled", None)
    assert set(asked) == {backend}


@pytest.mark.parametrize("backend", ENGINES)
def test_recordings_come_in_any_container(fits, X, backend, tmp_path):
    model = fits(backend=backend, batch_size=7)
    expected = model.decision_function(X)
    np.save(tmp_path / "X.npy", X)
    still = X.copy()
    still.flags.writeable = False
    others = [
        X.astype(np.float64),
        np.asfortranarray(X),
        still,
        X.tolist(),
        np.load(tmp_path / "X.npy", mmap_mode="r"),
        RecordArray.wrap(X),
        np.repeat(X, 2, axis=0)[::2],
    ]
    for other in others:
        assert_array_equal(model.decision_function(other), expected)
    before = X.copy()
    model.transform(X)
    assert_array_equal(X, before)


def test_bf16_is_a_coarser_computation(fits, X):
    for name in MODELS:
        model = fits(name, "multilabel")
        exact = model.predict_proba(X)
        model.set_params(backend="openvino", precision="bf16")
        coarse, embedding = model.predict_proba(X), model.transform(X)
        assert_allclose(coarse, exact, atol=0.05)
        assert embedding.dtype == np.float32
        if has_fast_bfloat16("cpu"):
            assert np.abs(coarse - exact).max() > 1e-5
        # Nothing of it stays.
        assert_same(model.set_params(precision="float32"), "openvino", X)


@pytest.mark.parametrize(
    ("backend", "precision"),
    [("onnxruntime", "bf16"), ("onnxruntime", "float64"), ("openvino", "float64")],
)
def test_a_precision_that_an_engine_does_not_have(fits, X, targets, backend, precision):
    fresh = make("mtecg", max_epochs=1, backend=backend, precision=precision)
    for model in (fits(backend=backend, precision=precision), fresh.fit(X, targets["binary"])):
        for method in (model.decision_function, model.predict, model.transform):
            with pytest.raises(ValueError) as caught:
                method(X)
            said = str(caught.value)
            assert f"precision={precision!r}" in said and f"backend={backend!r}" in said
        assert len(model.set_params(backend="torch").predict(X)) == N_RECORDS


def test_an_engine_that_there_is_not(fits, X):
    with pytest.raises(ValueError, match="backend.*'tensorrt'"):
        fits(backend="tensorrt").predict(X)


def test_a_fit_needs_no_engine(X, targets, monkeypatch, asked):
    monkeypatch.setattr("ecgsk.estimators._classifier.compiled", None)
    fits = [
        make("mtecg", backend=backend, early_stopping=True).fit(X, targets["binary"])
        for backend in (*ENGINES, "torch")
    ]
    answers = [model.set_params(backend="torch").decision_function(X) for model in fits]
    assert_array_equal(answers[0], answers[2])
    assert_array_equal(answers[1], answers[2])
    assert asked == []


# --- no stale engines


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("name", MODELS)
def test_a_refit_answers_with_its_own_network(fits, X, targets, name, backend):
    model = fits(name, "multilabel", backend=backend)
    before = model.decision_function(X)
    # Another network that gives as many logits.
    after = model.fit(X, targets["multiclass"]).decision_function(X)
    assert after.shape == before.shape and np.abs(after - before).max() > 1e-2
    assert_same(model, backend, X)
    model.fit(X, targets["multilabel"])
    assert_allclose(model.decision_function(X), before, atol=1e-5)
    with pytest.raises(ValueError, match="[Ss]ample.weight"):
        model.fit(X, targets["binary"], sample_weight=np.zeros(N_RECORDS))
    with pytest.raises(NotFittedError):
        model.decision_function(X)


def test_the_engine_is_the_one_that_was_asked_for(fits, X, asked):
    model, in_turn = fits(), ["openvino", "torch", "onnxruntime", "openvino", "torch", "openvino"]
    answers = [model.set_params(backend=backend).decision_function(X) for backend in in_turn]
    assert asked == [b for b in in_turn if b != "torch" for _ in range(2)]  # of 16 and 4 records
    for one in answers:
        assert_allclose(one, answers[1], atol=1e-5)


@pytest.fixture(scope="module")
def own_weights(fits, tmp_path_factory):
    """Return the files of two networks that have the same size."""
    folder = tmp_path_factory.mktemp("weights")
    for kind in ("binary", "multilabel"):
        fits("ecgfounder", kind).save_weights(folder / kind)
    return folder


@pytest.mark.parametrize("backend", ENGINES)
def test_recordings_of_any_length(own_weights, X, backend):
    model = ECGFounderClassifier(
        weights=own_weights / "binary", preprocessing="none", sampling_rate=RATE, backend=backend
    )
    for n_samples in (200, 151, 200, 151):
        assert_same(model, backend, X[:, :, :n_samples])


@pytest.mark.parametrize("backend", ENGINES)
def test_weights_that_change(own_weights, X, backend):
    model = ECGFounderClassifier(preprocessing="none", sampling_rate=RATE, backend=backend)
    for kind in ("binary", "multilabel", "binary"):
        model.set_params(weights=own_weights / kind)
        assert_same(model, backend, X)
        assert model.multilabel_ == (kind == "multilabel")
        assert_same(clone(model), backend, X)


# --- copies


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("name", MODELS)
def test_copies_of_a_model_that_has_predicted(fits, X, targets, name, backend, tmp_path):
    model = fits(name, backend=backend)
    size = len(pickle.dumps(model))
    joblib.dump(model, tmp_path / "before")
    expected = model.decision_function(X)
    assert len(pickle.dumps(model)) == size
    joblib.dump(model, tmp_path / "after")
    assert (tmp_path / "after").stat().st_size == (tmp_path / "before").stat().st_size
    copies = [
        pickle.loads(pickle.dumps(model)),
        joblib.load(tmp_path / "after"),
        copy.deepcopy(model),
        copy.copy(model),
    ]
    for other in copies:
        assert other.backend == backend
        assert_allclose(other.decision_function(X), expected, atol=1e-6)
    copies[2].set_params(random_state=1).fit(X, 1 - targets["binary"])
    copies[3].set_params(random_state=1).fit(X, 1 - targets["binary"])
    assert_array_equal(model.decision_function(X), expected)
    again = clone(model)
    assert again.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        again.decision_function(X)
    assert_allclose(again.fit(X, targets["binary"]).decision_function(X), expected, atol=1e-5)


def test_a_search_over_engines(X, targets, asked):
    grid = {"backend": ["torch", *ENGINES]}
    halves = np.arange(N_RECORDS // 2), np.arange(N_RECORDS // 2, N_RECORDS)
    search = GridSearchCV(make("mtecg"), grid, cv=[halves], scoring="neg_log_loss")
    search.fit(X, targets["binary"])
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert_allclose(scores, scores[0], atol=1e-5)
    assert set(asked) == set(ENGINES)
    assert search.best_estimator_.backend in grid["backend"]
    assert_same(search.best_estimator_, "onnxruntime", X)


# --- packages that are not there


@pytest.mark.parametrize(
    ("package", "backend"),
    [
        ("openvino", "openvino"),
        ("onnxruntime", "onnxruntime"),
        ("onnx", "openvino"),
        ("onnxscript", "onnxruntime"),
    ],
)
def test_a_package_that_is_not_there(fits, X, conversions, monkeypatch, tmp_path, package, backend):
    from ecgsk._core import optional as _optional

    import_module = _optional.import_module

    def without(name):
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return import_module(name)

    model = fits(backend=backend)
    monkeypatch.setattr(_optional, "import_module", without)
    if package != "onnxruntime":
        monkeypatch.setattr(_backend, "to_onnx", conversions)
    said = rf'{package}, which is not installed: pip install "ecgsk\[onnx\]"'
    for method in (model.predict, model.transform):
        with pytest.raises(ImportError, match=said):
            method(X)
    if package != "openvino":
        with pytest.raises(ImportError, match=said):
            model.export(tmp_path / "file.onnx")
    assert not any(tmp_path.iterdir())
    assert len(model.set_params(backend="torch").predict(X)) == N_RECORDS


def test_the_extra_brings_the_packages():
    setup = ast.parse((Path(__file__).parents[2] / "setup.py").read_text(encoding="utf-8"))
    (extras,) = (
        ast.literal_eval(node.value)
        for node in setup.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXTRAS"
    )
    names = {requirement.partition(">")[0] for requirement in extras["onnx"]}
    assert names >= {"onnx", "onnxscript", "onnxruntime", "openvino"}


# --- export


def session_of(path):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    return session, {key: json.loads(value) for key, value in metadata.items()}


def assert_exported(path, model, X) -> dict:
    """Make sure that a file answers as its model, and return what it says of itself."""
    onnx.checker.check_model(str(path))
    session, about = session_of(path)
    (given,) = session.get_inputs()
    assert given.name == "recordings" and given.type == "tensor(float)"
    assert [each.name for each in session.get_outputs()] == ["logits", "features"]
    prepared = np.asarray(model.prepare(X), dtype=np.float32)
    for n_records in (1, 7, len(X)):
        logits, features = session.run(None, {"recordings": prepared[:n_records]})
        expected = model.decision_function(X[:n_records])
        assert logits.shape == (n_records, logits.shape[1])
        assert_allclose(logits.reshape(expected.shape), expected, atol=1e-5)
        assert_allclose(features, model.transform(X[:n_records]), atol=1e-5)
    return about


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_a_file_answers_as_the_model(fits, X, name, kind, tmp_path):
    model = fits(name, kind)
    before = model.decision_function(X)
    assert model.export(tmp_path / "file.onnx") is None
    about = assert_exported(tmp_path / "file.onnx", model, X)
    assert about == {
        "classes": {
            "binary": [0, 1],
            "multiclass": ["healthy", "ill", "unclear"],
            "multilabel": None,
        }[kind],
        "label_names": ["AFIB", "LVH", "MI"] if kind == "multilabel" else None,
        "target": kind,
        "sampling_rate": RATE,
        "preprocessing": [],
        "recordings": {
            "sampling_rate": RATE,
            "leads": None,
            "steps": [],
            "preprocessed_by": None,
        },
    }
    assert_array_equal(model.decision_function(X), before)
    model.export(str(tmp_path / "file.onnx"))
    assert list(tmp_path.iterdir()) == [tmp_path / "file.onnx"]


def test_a_file_says_what_goes_before_it(X, targets, tmp_path):
    model = make("ecgfounder", preprocessing="filtered", mains_frequency=60.0)
    model.fit(X, targets["binary"]).export(tmp_path / "file.onnx")
    about = assert_exported(tmp_path / "file.onnx", model, X)
    assert about["sampling_rate"] == 500
    assert about["preprocessing"] == [
        ["ECGFounderPreprocessor", {"variant": "filtered", "mains_frequency": 60.0}]
    ]
    session, _ = session_of(tmp_path / "file.onnx")
    assert session.get_inputs()[0].shape[1:] == [3, 1000]


def test_weights_are_exported_without_a_fit(own_weights, X, tmp_path):
    model = ECGFounderClassifier(
        weights=own_weights / "binary", preprocessing="none", sampling_rate=RATE
    )
    model.export(tmp_path / "file.onnx")
    about = assert_exported(tmp_path / "file.onnx", model, X)
    assert about["classes"] == [0, 1] and about["label_names"] is None
    model.export(tmp_path / "short.onnx", n_samples=151)
    assert_exported(tmp_path / "short.onnx", model, X[:, :, :151])


def test_a_length_that_the_network_does_not_read(fits, tmp_path):
    with pytest.raises(ValueError, match="n_samples.*300"):
        fits("mtecg").export(tmp_path / "file.onnx", n_samples=300)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("mtecg", {"sampling_rate": np.int64(RATE)}),
        ("ecgfounder", {"preprocessing": "filtered", "mains_frequency": np.float32(60)}),
    ],
)
def test_numbers_of_numpy_are_written(X, targets, tmp_path, name, params):
    model = make(name, **params).fit(X, targets["binary"])
    model.save_weights(tmp_path / "weights")
    model.export(tmp_path / "file.onnx")
    assert session_of(tmp_path / "file.onnx")[1]["classes"] == [0, 1]


@pytest.mark.parametrize(
    ("wrong", "refused"),
    [
        (lambda logits: logits + 3e-4 * max(np.abs(logits).max(), 1), True),
        (lambda logits: np.where(np.arange(3)[:, None] == 2, 1e3, logits), True),
        (lambda logits: logits * np.nan, True),
        (lambda logits: logits + 1e-6, False),
    ],
)
def test_a_file_that_would_answer_otherwise_is_not_written(
    fits, monkeypatch, tmp_path, wrong, refused
):
    model, ask = fits(), _backend.OnnxRuntime.__call__

    def call(self, x):
        logits, features = ask(self, x)
        return [wrong(logits), features]

    monkeypatch.setattr(_backend.OnnxRuntime, "__call__", call)
    (tmp_path / "old.onnx").write_bytes(b"before")
    for name in ("new.onnx", "old.onnx"):
        if refused:
            with pytest.raises(RuntimeError, match="differs from the fitted one.*no file"):
                model.export(tmp_path / name)
        else:
            model.export(tmp_path / name)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == (["old.onnx"] if refused else ["new.onnx", "old.onnx"])
    assert ((tmp_path / "old.onnx").read_bytes() == b"before") == refused


@pytest.mark.parametrize("name", MODELS)
def test_what_is_not_fitted_is_not_exported(name, tmp_path):
    for backend in ("torch", *ENGINES):
        with pytest.raises(NotFittedError):
            make(name, backend=backend).export(tmp_path / "file.onnx")
    assert not any(tmp_path.iterdir())


def test_a_folder_that_is_not_there(fits, tmp_path):
    with pytest.raises(FileNotFoundError):
        fits().export(tmp_path / "no" / "file.onnx")
    (tmp_path / "file.onnx").mkdir()
    with pytest.raises(OSError):
        fits().export(tmp_path / "file.onnx")
    assert list(tmp_path.iterdir()) == [tmp_path / "file.onnx"]


# --- threads and processes


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("name", MODELS)
def test_threads_share_a_model(fits, X, name, backend):
    model = fits(name, backend=backend, batch_size=7)
    X = np.concatenate([X, X[::-1]])
    expected = model.decision_function(X)
    rows = [np.arange(start, len(X), 6) for start in range(6)] + [np.arange(len(X))]
    jobs = [each for _ in range(8) for each in rows]
    answers = Parallel(4, prefer="threads")(
        delayed(model.decision_function)(X[each]) for each in jobs
    )
    for each, found in zip(jobs, answers, strict=True):
        assert_allclose(found, expected[each], atol=1e-5)


ELSEWHERE = """
import json, os, pickle, signal, sys, time
import numpy as np

from joblib import Parallel, delayed

from ecgsk._training import backends as _backend

X, errors = np.load("X.npy"), {}

def load(name):
    with open(name + ".pkl", "rb") as file:
        return pickle.load(file)

def attempt(name, function):
    try:
        np.save(name + ".npy", function())
    except Exception as error:
        errors[name] = repr(error)[:300]

# The child need not wait for another conversion.
convert, made = _backend.to_onnx, []
_backend.to_onnx = lambda *given: made[0] if made else made.append(convert(*given)) or made[0]
model = load("mtecg-openvino")
attempt("fresh", lambda: model.decision_function(X))

def forked():
    try:
        answers = model.decision_function(X)
    except RuntimeError as error:
        assert "fork" in str(error) and "backend='openvino'" in str(error)
        answers = model.set_params(backend="torch").decision_function(X)
    np.save("forked.npy", answers)
    model.fit(X, np.arange(len(X)) % 2)  # drops the engine
    np.save("refitted.npy", model.set_params(backend="torch").decision_function(X))

sys.stdout.flush()
child = os.fork()
if child == 0:
    try:
        forked()
    finally:
        os._exit(0)  # as the children of multiprocessing
end = time.monotonic() + 600
while os.waitpid(child, os.WNOHANG) == (0, 0):
    if time.monotonic() > end:
        os.kill(child, signal.SIGKILL)
        errors["refitted" if os.path.exists("forked.npy") else "forked"] = "hangs"
        os.waitpid(child, 0)
        break
    time.sleep(0.05)

_backend.to_onnx = convert
shared = load("mtecg-openvino")
attempt("threads", lambda: np.concatenate(
    Parallel(3, prefer="threads")(
        delayed(shared.decision_function)(part) for part in (X[:7], X[7:11], X[11:])
    )
))
attempt("after", lambda: load("ecgfounder-onnxruntime").decision_function(X))
print("done")
with open("errors.json", "w") as file:
    json.dump(errors, file)
"""


@pytest.fixture(scope="module")
def elsewhere(fits, X, tmp_path_factory):
    """Return what came of models that have predicted here, in a process that they were sent to."""
    folder = tmp_path_factory.mktemp("elsewhere")
    np.save(folder / "X.npy", X)
    for name, backend in (("mtecg", "openvino"), ("ecgfounder", "onnxruntime")):
        model = fits(name, backend=backend)
        np.save(folder / f"{name}-expected.npy", model.decision_function(X))
        (folder / f"{name}-{backend}.pkl").write_bytes(pickle.dumps(model))
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    errors = folder / "errors.json"
    return folder, done, json.loads(errors.read_text()) if errors.exists() else {}


def assert_done(elsewhere, stage: str, name: str) -> None:
    folder, done, errors = elsewhere
    assert errors.get(stage) is None
    assert (folder / f"{stage}.npy").exists(), done.stderr[-500:]
    expected = np.load(folder / f"{name}-expected.npy")
    assert_allclose(np.load(folder / f"{stage}.npy"), expected, atol=1e-5)


@pytest.mark.slow
def test_a_fresh_process(elsewhere):
    assert_done(elsewhere, "fresh", "mtecg")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    "stage",
    [
        "forked",
        "refitted",
    ],
)
def test_a_fork_of_a_process_that_has_predicted(elsewhere, stage):
    """It answers, or says why not; it does not hang and is not killed."""
    assert_done(elsewhere, stage, "mtecg")


@pytest.mark.slow
def test_threads_that_ask_first(elsewhere):
    assert_done(elsewhere, "threads", "mtecg")


@pytest.mark.slow
def test_after_threads_all_is_as_before(elsewhere):
    assert_done(elsewhere, "after", "ecgfounder")
    assert elsewhere[1].stdout == "done\n" and elsewhere[1].returncode == 0


def test_weights_that_were_changed_in_place_are_noticed(fits, X):
    model = fits("ecgfounder", backend="onnxruntime")
    before = model.decision_function(X)
    with torch.no_grad():
        model.net_.module_.head.bias.add_(5)
    assert_allclose(model.decision_function(X), before + 5, atol=1e-4)
