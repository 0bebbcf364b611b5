"""Whether products of float32 numbers are exact, or may be rounded to TF32, where it counts."""

import numpy as np
import pytest
import torch
from _device_stand_in import DEVICE, DeviceStandIn
from _networks import SmallCNN

from ecgsk import MTECGClassifier, MTECGPretrainer, NetworkClassifier
from ecgsk._training import PRECISIONS
from ecgsk.estimators import Distillation, LinearProbe
from ecgsk.inspection import saliency
from ecgsk.networks import MTECG, MaskedMTECG

X = np.random.default_rng(0).normal(scale=0.2, size=(8, 2, 100)).astype(np.float32)
y = np.arange(8) % 2
SETTINGS = {"max_epochs": 1, "batch_size": 4, "random_state": 0, "sampling_rate": 100}
seen: set[tuple[str, bool]] = set()


def flags():
    """Return torch's settings of products: of matrices, and of convolutions on a GPU."""
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


class Recording(SmallCNN):
    def features(self, x):
        seen.add(flags())
        return super().features(x)


@pytest.fixture(autouse=True)
def of_user(monkeypatch):
    """Set what a user may have set, and find it again afterwards."""

    def recording(features):
        def record(*args):
            seen.add(flags())
            return features(*args)

        return record

    for network in (MTECG, MaskedMTECG):
        monkeypatch.setattr(network, "features", recording(network.features))
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True
    seen.clear()
    yield
    assert flags() == ("medium", True)
    torch.set_float32_matmul_precision("highest")


def seen_in(function, *args, **kwargs):
    seen.clear()
    result = function(*args, **kwargs)
    return result, set(seen)


EXACT = {("highest", False)}
WHILE_TRAINING = {
    "auto": EXACT,
    "float32": EXACT,
    "tf32": {("high", True)},
    "bf16": {("medium", True)},
    "float64": {("medium", True)},
}
networks = pytest.mark.parametrize(
    "classifier", [NetworkClassifier(Recording), MTECGClassifier("nano")], ids=["user's", "mtecg"]
)


@pytest.mark.parametrize("precision", PRECISIONS)
@networks
def test_only_tf32_allows_it_and_only_while_training(classifier, precision, monkeypatch):
    monkeypatch.setattr("ecgsk._training.device.has_fast_bfloat16", lambda device: False)
    classifier.set_params(**SETTINGS, precision=precision, early_stopping=True)
    with DeviceStandIn(float64=precision == "float64"):
        classifier.set_params(device=DEVICE)
        fitted, training = seen_in(classifier.fit, X, y)
        # The network is examined on the CPU before it is fitted.
        assert training - {("medium", True), ("highest", True)} == (
            WHILE_TRAINING[precision] - {("medium", True)}
        )
        if precision in ("bf16", "float64"):
            return
        for predict in (fitted.predict_proba, fitted.transform):
            assert seen_in(predict, X)[1] == EXACT
        assert seen_in(fitted.score, X, y)[1] == EXACT
        explained = seen_in(saliency, fitted, X[0], sampling_rate=100, leads=["I", "II"])[1]
        assert explained == EXACT


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_pre_training_and_what_it_predicts(precision):
    model = MTECGPretrainer("nano", **SETTINGS, precision=precision)
    with DeviceStandIn():
        fitted, training = seen_in(model.set_params(device=DEVICE).fit, X)
        assert training == WHILE_TRAINING[precision]
        for predict in (fitted.transform, fitted.reconstruct, fitted.score):
            assert seen_in(predict, X)[1] == EXACT


@networks
def test_on_the_cpu_convolutions_of_a_gpu_stay_as_they_are(classifier):
    classifier.set_params(**SETTINGS, precision="float32", device="cpu")
    fitted, training = seen_in(classifier.fit, X, y)
    assert training - {("medium", True)} == {("highest", True)}
    assert seen_in(fitted.predict_proba, X)[1] == {("highest", True)}


def test_what_is_rounded_less_on_the_cpu_does_not_change_with_the_settings_of_a_user():
    model = MTECGClassifier("nano", **SETTINGS, precision="float32", device="cpu")
    found = model.fit(X, y).predict_proba(X)
    torch.set_float32_matmul_precision("highest")
    expected = model.fit(X, y).predict_proba(X)
    torch.set_float32_matmul_precision("medium")
    np.testing.assert_array_equal(found, expected)


def test_a_teacher_and_features_that_stay_are_exact_while_the_head_learns_in_tf32():
    teacher = MTECGClassifier("nano", **SETTINGS).fit(X, y)
    model = MTECGClassifier(
        "nano", **SETTINGS, precision="tf32", strategy=LinearProbe(),
        distillation=Distillation(teacher), device=DEVICE,
    )  # fmt: skip
    with DeviceStandIn():
        teacher.set_params(device=DEVICE)
        assert {("highest", False)} <= seen_in(model.fit, X, y)[1]


def test_an_error_in_a_fit_puts_the_settings_back():
    class Broken(Recording):
        def features(self, x):
            if self.training:
                raise ZeroDivisionError
            return super().features(x)

    model = NetworkClassifier(Broken, **SETTINGS, precision="tf32", device="cpu")
    with pytest.raises(ZeroDivisionError):
        model.fit(X, y)
    assert flags() == ("medium", True)
