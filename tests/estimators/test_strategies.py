"""Linear probing, full fine-tuning and post-training, of both networks."""

import copy

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV

from ecgsk import ECGAugmentation, ECGFounderClassifier, MTECGClassifier
from ecgsk._training import TrainingStage, trainer
from ecgsk.estimators import Distillation, EarlyStopping, FullTraining, LinearProbe, PostTraining
from ecgsk.networks import StochasticDepth
from tests._models import recordings, small_models

pytestmark = pytest.mark.parametrize("name", list(small_models()))
PROBE, POST = LinearProbe(max_epochs=4), PostTraining(head_epochs=4)


@pytest.fixture
def model(name):
    return small_models()[name].set_params(max_epochs=3)


@pytest.fixture
def data():
    return recordings()


@pytest.fixture
def weights(model, data, tmp_path):
    """Return weights of a model that was fitted on other labels."""
    X, y = data
    path = tmp_path / "base.safetensors"
    base = (
        clone(model).set_params(max_epochs=1, random_state=3).fit(X, (X[:, 0, 0] > 0).astype(int))
    )
    base.save_weights(path)
    return path


def started(model, weights):
    """Return the model with weights to start from; three-lead files take no names."""
    return clone(model).set_params(preset=None, weights=weights, sampling_rate=100)


def parameters(model):
    return {name: p.detach().clone() for name, p in model.net_.module_.named_parameters()}


def test_the_head_alone_learns(model, data, weights):
    model = started(model, weights).set_params(strategy=PROBE, head_init="prior")
    before = {n: p.detach() for n, p in model.net_.module_.named_parameters()}
    before = copy.deepcopy(before)
    model.fit(*data)
    after = parameters(model)
    for name, value in after.items():
        moved = name.startswith("head.") or not torch.equal(value, before[name])
        assert moved == name.startswith("head."), name
    assert {row["stage"] for row in model.history_} == {"linear probing"}
    assert len(model.history_) == 4
    assert model.history_[-1]["train_loss"] < model.history_[0]["train_loss"]


def test_the_head_learns_the_same_from_features_as_through_the_network(model, data, monkeypatch):
    """Asking the resting network once is an economy, not another training."""
    model.set_params(strategy=PROBE)
    quick = clone(model).fit(*data)
    n_seen = []
    features = type(quick.net_.module_).features
    monkeypatch.setattr(
        type(quick.net_.module_),
        "features",
        lambda self, x: n_seen.append(len(x)) or features(self, x),
    )
    again = clone(model).fit(*data)
    assert sum(n_seen) == len(data[0])
    monkeypatch.setattr(trainer.Trainer, "_features_are_constant", lambda self, stage: False)
    n_seen.clear()
    slow = clone(model).fit(*data)
    assert sum(n_seen) == 4 * len(data[0])
    np.testing.assert_allclose(slow.predict_proba(data[0]), quick.predict_proba(data[0]), atol=1e-5)
    np.testing.assert_array_equal(again.predict_proba(data[0]), quick.predict_proba(data[0]))


def test_augmentation_reaches_the_resting_network(model, data, monkeypatch):
    model.set_params(strategy=PROBE, augmentation=ECGAugmentation(noise=0.5))
    n_seen = []
    plain = clone(model).fit(*data)
    network = type(plain.net_.module_)
    features = network.features
    monkeypatch.setattr(
        network, "features", lambda self, x: n_seen.append(len(x)) or features(self, x)
    )
    noisy = clone(model).fit(*data)
    assert sum(n_seen) == 4 * len(data[0])
    quiet = clone(model).set_params(augmentation=None).fit(*data)
    assert not np.allclose(noisy.predict_proba(data[0]), quiet.predict_proba(data[0]))


def test_post_training_is_a_preview_and_then_all_weights(model, data, monkeypatch):
    seen = []
    run_stage = trainer.Trainer._run_stage

    def spy(trainer, index, state):
        run_stage(trainer, index, state)
        module = trainer.net.module_
        rates = [d.rate for d in module.modules() if isinstance(d, StochasticDepth)]
        drops = {d.p for d in module.modules() if isinstance(d, torch.nn.Dropout)}
        frozen = [n for n, p in module.named_parameters() if not p.requires_grad]
        seen.append((trainer.stage, max(rates), drops, len(frozen)))

    monkeypatch.setattr(trainer.Trainer, "_run_stage", spy)
    model.set_params(strategy=POST).fit(*data)
    (head, rate, drops, frozen), (everything, rate2, drops2, frozen2) = seen
    assert isinstance(head, TrainingStage) and head.trainable == "head"
    assert (head.epochs, head.learning_rate, head.weight_decay) == (4, 5e-3, 0.1)
    assert (rate, drops) == (0.0, {0.0}) and frozen > 0
    assert everything.trainable == "all" and everything.learning_rate == 1e-2
    assert everything.final_rate * everything.learning_rate == pytest.approx(1e-5)
    assert (rate2, drops2, frozen2) == (0.3, {0.05}, 0)
    stages = [row["stage"] for row in model.history_]
    assert stages == ["linear probing"] * 4 + ["scratch"] * 3
    assert [row["epoch"] for row in model.history_] == list(range(1, 8))


def test_the_second_stage_starts_from_the_head_of_the_first(model, data, weights):
    """A preview that were thrown away would leave no trace."""
    still = {
        "strategy": clone(POST).set_params(final_learning_rate=0.0),
        "learning_rate": 1e-30,
    }
    model = started(model, weights)
    probe = clone(model).set_params(strategy=PROBE).fit(*data)
    both = clone(model).set_params(**still).fit(*data)
    np.testing.assert_allclose(both.predict_proba(data[0]), probe.predict_proba(data[0]), atol=1e-6)


@pytest.mark.parametrize(
    "part",
    [
        {"strategy__stochastic_depth": 0.0},
        {"strategy__stochastic_depth_rule": "constant"},
        {"strategy__dropout": 0.0},
        {"strategy__final_learning_rate": 0.0},
        {"strategy__head_epochs": 1},
        {"strategy__head_learning_rate": 1e-4},
        {"strategy": FullTraining(final_learning_rate=5e-3, stochastic_depth=0.3, dropout=0.05)},
    ],
)
def test_each_part_of_post_training_has_an_effect(model, data, part):
    model.set_params(strategy=POST, max_epochs=2, strategy__final_learning_rate=5e-3)
    whole = clone(model).fit(*data).decision_function(data[0])
    without = clone(model).set_params(**part).fit(*data).decision_function(data[0])
    assert abs(whole - without).max() > 1e-4


@pytest.mark.parametrize(
    ("short", "meant"),
    [
        ("full", FullTraining(final_learning_rate=0.0, stochastic_depth=0.0, dropout=0.0)),
        ("linear_probe", LinearProbe(max_epochs=30, learning_rate=5e-3, weight_decay=0.1)),
        ("post_training", PostTraining(stochastic_depth=0.3, dropout=0.05)),
    ],
)
def test_a_name_means_the_object_with_its_defaults(model, data, short, meant):
    model.set_params(max_epochs=1)
    one = clone(model).set_params(strategy=short).fit(*data).predict_proba(data[0])
    other = clone(model).set_params(strategy=meant).fit(*data).predict_proba(data[0])
    np.testing.assert_array_equal(one, other)


class Thaw(BaseEstimator):
    """A user's own strategy."""

    def __init__(self, warmup=0.5):
        self.warmup = warmup

    def stages(self, numbers):
        head = TrainingStage("head", 1, numbers.learning_rate, trainable="head")
        rest = TrainingStage("rest", numbers.max_epochs, 1e-3, warmup=self.warmup)
        return [head, rest]


def test_a_strategy_of_ones_own(model, data):
    model.set_params(strategy=Thaw(), strategy__warmup=0.1).fit(*data)
    assert [row["stage"] for row in model.history_] == ["head", "rest", "rest", "rest"]


def test_numbers_of_a_name_are_reached_through_it(model):
    model.set_params(strategy="post_training")
    assert model.get_params()["strategy__dropout"] == 0.05
    assert clone(model).strategy == "post_training"
    model.set_params(strategy__dropout=0.2)
    assert (model.strategy.dropout, model.strategy.stochastic_depth) == (0.2, 0.3)
    model.set_params(strategy="linear_probe", strategy__max_epochs=2, early_stopping=True)
    assert model.strategy.max_epochs == 2
    model.set_params(early_stopping__tol=0.5)
    assert model.early_stopping.tol == 0.5
    with pytest.raises(ValueError, match="early_stopping=False has no parameters of its own"):
        model.set_params(early_stopping=False, early_stopping__tol=0.5)


def test_each_stage_stops_by_itself(model, data):
    model.set_params(
        strategy=PostTraining(head_epochs=9),
        early_stopping=EarlyStopping(n_iter_no_change=1, tol=10.0),
        max_epochs=9,
    ).fit(*data)
    stages = [row["stage"] for row in model.history_]
    assert stages == ["linear probing"] * 2 + ["scratch"] * 2
    assert all("valid_loss" in row for row in model.history_)


@pytest.mark.parametrize("killed_after", [2, 5])
def test_a_killed_fit_goes_on_in_its_stage(model, data, tmp_path, monkeypatch, killed_after):
    model.set_params(strategy=POST, device="cpu")
    whole = clone(model).fit(*data)
    model.set_params(checkpoint_dir=tmp_path)
    after_epoch = trainer.Trainer.after_epoch
    n_done = []

    def die(trainer):
        after_epoch(trainer)
        n_done.append(1)
        if len(n_done) == killed_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer.Trainer, "after_epoch", die)
    with pytest.raises(KeyboardInterrupt):
        clone(model).fit(*data)
    monkeypatch.setattr(trainer.Trainer, "after_epoch", after_epoch)
    resumed = clone(model).fit(*data)
    np.testing.assert_array_equal(resumed.predict_proba(data[0]), whole.predict_proba(data[0]))
    assert len(resumed.history_) == 7
    assert not list(tmp_path.iterdir())


def test_the_numbers_can_be_searched(model, data):
    search = GridSearchCV(
        model.set_params(strategy=PostTraining(head_epochs=1), max_epochs=1),
        {"strategy__stochastic_depth": [0.1, 0.5], "strategy": [FullTraining(), POST]},
        cv=2,
    ).fit(*data)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_multilabel_probing_with_weights_of_records_and_classes(model, data):
    X, y = data
    Y = np.stack([y, 1 - y, X[:, 0, 0] > 0], axis=1).astype(int)
    weights = np.linspace(0, 1, len(X))
    model.set_params(strategy=PROBE, class_weight="balanced")
    assert model.fit(X, Y, sample_weight=weights).predict_proba(X).shape == (len(X), 3)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"strategy": "both"}, "strategy"),
        ({"strategy": PostTraining(head_epochs=0)}, "'head_epochs' parameter of PostTraining"),
        ({"strategy": LinearProbe(max_epochs=0)}, "'max_epochs' parameter of LinearProbe"),
        ({"strategy__stochastic_depth": 1.0}, "'stochastic_depth' parameter of FullTraining"),
        ({"strategy__stochastic_depth_rule": "cubic"}, "stochastic_depth_rule"),
        ({"strategy__final_learning_rate": -1.0}, "final_learning_rate"),
        ({"strategy__final_learning_rate": 0.1}, "must not be above learning_rate=0.01"),
        ({"early_stopping": EarlyStopping(1.5)}, "'validation_fraction' parameter of Early"),
        ({"augmentation": ECGAugmentation(shift=-1)}, "'shift' parameter of ECGAugmentation"),
        ({"distillation": Distillation(DummyClassifier(), weight=2)}, "'weight' parameter of Dist"),
    ],
)
def test_wrong_numbers_are_named(model, data, params, said):
    with pytest.raises(ValueError, match=said):
        model.set_params(**params).fit(*data)


def test_defaults_are_the_published_and_the_second_hand_ones(name):
    if name != "ecgfounder":
        pytest.skip("MTECG has numbers for defaults")

    def numbers(pretrained, strategy):
        found = ECGFounderClassifier()._training_numbers(strategy, pretrained)
        return found.learning_rate, found.weight_decay

    assert numbers(True, FullTraining()) == (1e-4, 1e-5)
    assert numbers(True, PostTraining()) == (5e-4, 0.05)
    assert numbers(False, FullTraining()) == (1e-3, 0.05)
    assert MTECGClassifier().get_params()["learning_rate"] == 5e-4
