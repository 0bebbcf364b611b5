"""A torch module of the user's becomes an estimator like those of the package."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

import ecgsk
from ecgsk import NetworkClassifier, ProbabilityTransformer, search_space
from ecgsk.estimators import Distillation, EarlyStopping, FullTraining, LinearProbe, PostTraining
from tests._models import RATE, recordings
from tests._networks import SmallCNN, WithBranches

QUICK = {
    "sampling_rate": RATE,
    "max_epochs": 8,
    "batch_size": 16,
    "learning_rate": 1e-2,
    "precision": "float32",
    "random_state": 0,
}


def model(network=SmallCNN, params=None, **changes) -> NetworkClassifier:
    return NetworkClassifier(network, params, **{**QUICK, **changes})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks_all_pass():
    checks = {"max_epochs": 40, "batch_size": 64, "precision": "float64"}
    results = check_estimator(model(**checks), on_fail=None)
    assert [r["check_name"] for r in results if r["status"] == "failed"] == []
    assert sum(r["status"] == "passed" for r in results) >= 72


def test_it_learns():
    X, y = recordings()
    fitted = model(max_epochs=30).fit(X, np.where(y, "fast", "slow"))
    assert list(fitted.classes_) == ["fast", "slow"]
    assert fitted.score(X, np.where(y, "fast", "slow")) > 0.9
    assert fitted.transform(X).shape == (48, 8)
    assert list(fitted.get_feature_names_out()[:1]) == ["networkclassifier0"]
    assert [row["stage"] for row in fitted.history_] == ["scratch"] * 30


def test_parameters_of_the_network_are_reached_by_name():
    one = model(params={"width": 4})
    assert one.get_params()["network__width"] == 4 and "network__width" not in one.get_params(
        deep=False
    )
    other = clone(one).set_params(network__dropout=0.5, max_epochs=1)
    assert other.network_params == {"width": 4, "dropout": 0.5}
    assert one.network_params == {"width": 4}
    X, y = recordings()
    search = GridSearchCV(model(max_epochs=2), {"network__width": [2, 4]}, cv=2).fit(X, y)
    assert (
        search.best_estimator_.net_.module_.head.in_features
        == search.best_params_["network__width"]
    )


def test_many_labels_groups_weights_and_early_stopping():
    X, y = recordings()
    labels = pd.DataFrame({"AF": y, "LBBB": np.arange(48) // 2 % 2})
    patients = np.arange(48) // 4
    stopping = EarlyStopping(n_iter_no_change=1, tol=10.0)
    fitted = model(early_stopping=stopping, class_weight="balanced")
    fitted.fit(X, labels, groups=patients, sample_weight=np.ones(48))
    assert fitted.multilabel_ and list(fitted.label_names_) == ["AF", "LBBB"]
    assert fitted.predict_proba(X).shape == (48, 2) and len(fitted.history_) == 2


def test_strategies():
    X, y = recordings()
    for strategy in ("linear_probe", LinearProbe(max_epochs=2)):
        fitted = model(strategy=strategy).fit(X, y)
        start = model(max_epochs=1, learning_rate=1e-12).fit(X, y)
        np.testing.assert_allclose(
            fitted.net_.module_.first.weight.detach(), start.net_.module_.first.weight.detach()
        )
    gentle = PostTraining(head_epochs=1, stochastic_depth=0.5, dropout=0.3)
    fitted = model(WithBranches, strategy=gentle, max_epochs=2).fit(X, y)
    assert [row["stage"] for row in fitted.history_] == ["linear probing", "scratch", "scratch"]
    with pytest.raises(ValueError, match=r"stochastic_depth=0.5 needs StochasticDepth modules"):
        model(strategy=gentle).fit(X, y)


def test_the_dropout_of_the_network_is_its_own_unless_a_strategy_has_another():
    X, y = recordings()

    def rates(**changes):
        seen = []

        class Watching(SmallCNN):
            def features(self, x):
                if self.training:
                    seen.append(self.dropout.p)
                return super().features(x)

        model(Watching, {"dropout": 0.25}, max_epochs=1, **changes).fit(X, y)
        return set(seen)

    assert rates() == {0.25}
    assert rates(strategy=FullTraining(dropout=0.1)) == {0.1}


def test_layers_are_the_children_in_their_order():
    X, y = recordings()
    seen = []

    fitted = model(layer_decay=0.5, max_epochs=1)
    original = fitted._build_net

    def remember(*args):
        net = original(*args)
        seen.append(net)
        return net

    fitted._build_net = remember
    fitted.fit(X, y)
    from ecgsk._training import TrainingStage, parameter_groups

    stage = TrainingStage("all", epochs=1, learning_rate=1.0, layer_decay=0.5)
    scales = sorted({group["lr_scale"] for group in parameter_groups(seen[0].module_, stage)})
    # first, second, dropout (without parameters), head
    assert scales == [0.125, 0.25, 1.0]


def test_a_killed_fit_continues_to_the_same_end(tmp_path):
    X, y = recordings()
    whole = model().fit(X, y)

    class Kill(BaseException):
        pass

    interrupted = model(checkpoint_dir=tmp_path)
    from ecgsk._training import Trainer

    original, calls = Trainer.after_epoch, []

    def after_epoch(trainer):
        original(trainer)
        calls.append(1)
        if len(calls) == 3:
            raise Kill

    Trainer.after_epoch = after_epoch
    try:
        with pytest.raises(Kill):
            interrupted.fit(X, y)
    finally:
        Trainer.after_epoch = original
    assert len(list(tmp_path.iterdir())) == 1
    continued = model(checkpoint_dir=tmp_path).fit(X, y)
    assert not list(tmp_path.iterdir())
    np.testing.assert_array_equal(continued.predict_proba(X), whole.predict_proba(X))


def test_weights_in_a_file(tmp_path):
    X, y = recordings(n_samples=1000)
    X = np.repeat(X, 4, axis=1)
    labels = pd.DataFrame({"AF": y, "LBBB": 1 - y})
    fitted = model(params={"width": 4}).fit(X, labels)
    fitted.save_weights(tmp_path / "cnn.safetensors", about={"data": "noise"})
    again = model(weights=tmp_path / "cnn.safetensors")
    np.testing.assert_allclose(again.predict_proba(X), fitted.predict_proba(X), atol=1e-6)
    assert again.label_names_ == ["AF", "LBBB"]
    # At another rate, leads by name in another order.
    leads = list(ecgsk.STANDARD_LEADS[::-1])
    turned = model(weights=tmp_path / "cnn.safetensors", leads=leads)
    np.testing.assert_allclose(turned.predict_proba(X[:, ::-1]), again.predict_proba(X), atol=1e-6)
    tuned = model(weights=tmp_path / "cnn.safetensors", max_epochs=1).fit(X, labels)
    assert tuned.history_[0]["stage"] == "fine-tuning"
    with pytest.raises(ValueError, match=r"network_params=\{'width': 8\} does not fit .*width=4"):
        model(params={"width": 8}, weights=tmp_path / "cnn.safetensors").predict(X)
    with pytest.raises(ValueError, match="network-classifier"):
        ecgsk.MTECGClassifier(weights=tmp_path / "cnn.safetensors").predict(X)


def test_copies(tmp_path):
    X, y = recordings()
    fitted = model().fit(X, y)
    wanted = fitted.predict_proba(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), wanted)
    pipeline = make_pipeline(ProbabilityTransformer(FrozenEstimator(fitted)), LogisticRegression())
    pipeline.fit(X, y)
    path = tmp_path / "model.ecgsk"
    with pytest.warns(UserWarning, match=r"trusted=\['tests\._networks\.SmallCNN'\]"):
        ecgsk.save(pipeline, path)
    with pytest.raises(ecgsk.persistence.ModelFileError, match=r"tests\._networks\.SmallCNN"):
        ecgsk.load(path)
    loaded = ecgsk.load(path, trusted=["tests._networks.SmallCNN"])
    np.testing.assert_array_equal(loaded.predict_proba(X), pipeline.predict_proba(X))

    class Local(SmallCNN):
        pass

    with pytest.raises(ecgsk.persistence.ModelFileError, match="Local"):
        ecgsk.save(model(Local, max_epochs=1).fit(X, y), path)


def test_it_stands_where_other_classifiers_stand():
    X, y = recordings()
    calibrated = CalibratedClassifierCV(model(max_epochs=2), cv=2).fit(X, y)
    assert calibrated.predict_proba(X).shape == (48, 2)
    taught = model(max_epochs=2, distillation=Distillation(model(max_epochs=2).fit(X, y)))
    assert taught.fit(X, y).predict(X).shape == (48,)
    assert "learning_rate" in search_space(model())


class NoHead(nn.Module):
    def __init__(self, n_leads, n_samples, n_outputs):
        super().__init__()
        self.fc = nn.Linear(n_leads, n_outputs)

    def forward(self, x):
        return self.fc(x.mean(dim=2))


class Sigmoid(SmallCNN):
    def forward(self, x):
        return super().forward(x).sigmoid()


class WrongOutputs(SmallCNN):
    def __init__(self, n_leads, n_samples, n_outputs):
        super().__init__(n_leads, n_samples, n_outputs + 3)


class WrongWidth(SmallCNN):
    def features(self, x):
        return super().features(x)[:, :3]


class NoArguments(nn.Module):
    def __init__(self, width=3):
        super().__init__()


@pytest.mark.parametrize(
    ("network", "params", "message"),
    [
        (NoHead, None, "NoHead needs a method features"),
        (Sigmoid, None, r"forward\(x\) is not head\(features\(x\)\)"),
        (WrongOutputs, None, "WrongOutputs.head has 4 outputs; the task needs n_outputs=1"),
        (WrongWidth, None, r"returns shape \(2, 3\) for 2 records; expected \(2, 8\)"),
        (NoArguments, None, "does not take n_leads, n_samples, n_outputs"),
        (SmallCNN, {"depth": 3}, "network_params has depth, but .* takes width, dropout"),
        (SmallCNN, {"n_leads": 3}, "network_params has n_leads"),
        (nn.Linear(3, 3), None, "network is an instance of Linear. Pass the class"),
    ],
)
def test_misuse(network, params, message):
    X, y = recordings()
    with pytest.raises((TypeError, ValueError), match=message):
        model(network, params).fit(X, y)


def test_unknown_names_are_refused_when_they_are_set():
    with pytest.raises(ValueError, match="network_params has depth"):
        model().set_params(network__depth=3)
