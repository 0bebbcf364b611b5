"""Showing, copying and asking an estimator for its parts reads no weights."""

import builtins
import io
import os
import pathlib
import socket
import sys
import types

import numpy as np
import pytest
import safetensors
import sklearn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr, get_tags

from ecgsk import ECGFounderClassifier, MTECGClassifier, MTECGPretrainer, ProbabilityTransformer
from ecgsk.estimators import _classifier, _estimator, _weights_lookup
from ecgsk.estimators._known_weights import known_weights
from ecgsk.preprocessing import Standardize
from ecgsk.weights import ECGFOUNDER_TASKS, _ecgfounder_checkpoint, read_weights
from tests._models import RATE, recordings, small_models

ESTIMATORS = {
    "mtecg-named": (MTECGClassifier, "ptbxl"),
    "mtecg-path": (MTECGClassifier, "nowhere/w.safetensors"),
    "mtecg-pathlib": (MTECGClassifier, pathlib.Path("nowhere/w.safetensors")),
    "pretrainer-named": (MTECGPretrainer, "ptbxl"),
    "pretrainer-path": (MTECGPretrainer, "nowhere/w.safetensors"),
    "ecgfounder-12": (ECGFounderClassifier, "12-lead"),
    "ecgfounder-1": (ECGFounderClassifier, "1-lead"),
    "ecgfounder-path": (ECGFounderClassifier, "nowhere/w.pth"),
}
HOLDERS = {
    "bare": lambda model: model,
    "pipeline": lambda model: make_pipeline(Standardize(), model),
    "frozen": FrozenEstimator,
    "probability": ProbabilityTransformer,
    "all": lambda model: make_pipeline(
        ProbabilityTransformer(FrozenEstimator(model)), LogisticRegression()
    ),
}


@pytest.fixture
def calls(monkeypatch):
    """Return a list of the doors to disk and network that were opened."""
    found = []

    def closed(name, original):
        def knock(*args, **kwargs):
            # scikit-learn's drawings have a style sheet and a script.
            if args and str(args[0]).startswith(os.path.dirname(sklearn.__file__)):
                return original(*args, **kwargs)
            found.append((name, args[:1]))
            raise PermissionError(f"{name} is closed")

        return knock

    hub = types.ModuleType("huggingface_hub")
    hub.hf_hub_download = None
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    for module, name in [
        (builtins, "open"),
        (io, "open"),
        (os, "open"),
        (os, "stat"),
        (pathlib.Path, "open"),
        (pathlib.Path, "stat"),
        (pathlib.Path, "is_file"),
        (safetensors, "safe_open"),
        (socket, "socket"),
        (hub, "hf_hub_download"),
        (_estimator, "read_weights"),
        (_ecgfounder_checkpoint, "read_weights"),
        (_ecgfounder_checkpoint, "find_published"),
    ]:
        monkeypatch.setattr(
            module, name, closed(f"{module.__name__}.{name}", getattr(module, name))
        )
    yield found
    monkeypatch.undo()


@pytest.fixture(scope="module", autouse=True)
def _warm():
    # The first drawing imports modules and reads scikit-learn's style sheets.
    estimator_html_repr(make_pipeline(FrozenEstimator(LogisticRegression())))
    estimator_html_repr(MTECGClassifier(weights="ptbxl"))
    estimator_html_repr(ProbabilityTransformer(LogisticRegression()))


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_looking_opens_nothing(name, holder, calls):
    cls, weights = ESTIMATORS[name]
    if cls is MTECGPretrainer and holder in ("probability", "all"):
        pytest.skip("a pre-trainer has no probabilities")
    model = cls(weights=weights)
    held = HOLDERS[holder](model)
    shown = repr(held) + held._repr_html_() + str(held._repr_mimebundle_())
    assert "weights" in shown
    assert clone(held).get_params().keys() == held.get_params().keys()
    assert get_tags(held) is not None and dir(held) and dir(model)
    for attribute in ("nonsense", "_nonsense_", "steps", "feature_names_in_", "lead_names_"):
        assert not hasattr(model, attribute)
    for attribute in ("predict", "transform", "get_feature_names_out", "fit", "history_"):
        hasattr(held, attribute)
    if isinstance(weights, str) and weights.endswith(("ptbxl", "lead")):
        assert hasattr(model, "n_features_in_") and hasattr(model, "n_samples_in_")
        assert hasattr(model, "classes_") == (cls is not MTECGPretrainer)
    assert calls == []


def test_named_weights_are_known_without_their_files(calls):
    model = MTECGClassifier(weights="ptbxl")
    assert len(model.classes_) == len(model.label_names_) == 71 and model.multilabel_
    assert (model.n_features_in_, model.n_samples_in_, model.device_) != (None, None, None)
    assert model.scale_ == pytest.approx(0.1616, abs=1e-4)
    founder = ECGFounderClassifier(weights="12-lead")
    assert founder.label_names_ == list(ECGFOUNDER_TASKS) and founder.n_features_in_ == 12
    assert ECGFounderClassifier(weights="1-lead").n_features_in_ == 1
    assert ProbabilityTransformer(founder).get_feature_names_out()[5] == "ATRIAL FIBRILLATION"
    assert calls == []


@pytest.mark.parametrize("kind", ["mtecg-classifier", "mtecg-pretrainer"])
def test_what_is_known_agrees_with_the_files(kind):
    known, read = known_weights("ptbxl", kind), read_weights("ptbxl", kind=kind)
    assert {**vars(known), "tensors": 0} == {**vars(read), "tensors": 0}


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if "path" in name])
def test_what_cannot_be_read_is_an_attribute_error_that_names_file_and_remedy(name):
    cls, weights = ESTIMATORS[name]
    model = cls(weights=weights, sampling_rate=RATE)
    read = "comes from weights='nowhere/w.*neither a file"
    for attribute in ("n_features_in_", "net_", *(["classes_"] if "pre" not in name else [])):
        assert not hasattr(model, attribute)
        with pytest.raises(AttributeError, match=f"{attribute} {read}"):
            getattr(model, attribute)
    X = recordings(4)[0]
    with pytest.raises(FileNotFoundError, match="nowhere/w"):
        model.transform(X)
    with pytest.raises(FileNotFoundError, match="nowhere/w"):
        model.fit(X, [0, 1, 0, 1])
    if cls is not MTECGPretrainer:
        with pytest.raises(FileNotFoundError, match="nowhere/w"):
            model.predict(X)


def test_a_device_that_is_not_here_does_not_hide_the_classes():
    model = MTECGClassifier(weights="ptbxl", device="cuda:77")
    assert len(model.classes_) == 71 and not hasattr(model, "device_")
    with pytest.raises(ValueError, match="cuda:77.*not available"):
        model.predict(np.zeros((1, 12, 1000)))


@pytest.mark.parametrize("name", list(small_models()))
def test_attributes_of_a_file_need_its_header_alone(name, tmp_path, monkeypatch):
    X, y = recordings(8)
    fitted = small_models()[name].set_params(max_epochs=1).fit(X, np.where(y, "a", "b"))
    fitted.save_weights(tmp_path / "w.safetensors")
    model = clone(fitted).set_params(preset=None, weights=tmp_path / "w.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(_weights_lookup, "net_for_prediction", None)
        read = []
        reader = safetensors.safe_open

        def spied(*args, **kwargs):
            file = reader(*args, **kwargs)
            read.append(file)
            return file

        patch.setattr("ecgsk.weights._file.safe_open", spied)
        assert list(model.classes_) == ["a", "b"] and model.n_features_in_ == 3
        assert hasattr(model, "n_samples_in_") and not model.multilabel_
        assert vars(model)["_from_weights"][1]["_source"].tensors == {} and len(read) == 1
    np.testing.assert_array_equal(model.predict(X), fitted.predict(X))


def test_feature_names_of_weights_are_there_for_whoever_wants_them():
    model = MTECGClassifier(weights="ptbxl")
    assert len(model.get_feature_names_out()) == 192
    with pytest.raises(NotFittedError):
        MTECGClassifier().get_feature_names_out()
    assert _classifier.BaseECGClassifier.weights is None
