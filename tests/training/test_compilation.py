"""Training through torch.compile: what is compiled, how often, and what a fit is then.

Most tests compile with a backend that counts graphs and runs them as they are, which takes a second
where torch's own takes a minute.
"""

import copy
import pickle
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_validate
from torch import nn

import ecgsk
from ecgsk import (
    ECGAugmentation,
    ECGFounderClassifier,
    MTECGClassifier,
    MTECGPretrainer,
    NetworkClassifier,
    OptunaSearchCV,
)
from ecgsk._training import Checkpoint, ECGNet, TrainingStage, compilation
from ecgsk._training.compilation import CompiledFeatures
from ecgsk.estimators import FullTraining, LinearProbe
from tests._devices import MEMORY_ERRORS
from tests._networks import SmallCNN, WithBranches

RATE = 100
# In batches of 8 the last of an epoch is smaller.
X = np.random.default_rng(0).normal(0, 0.2, (29, 3, 200)).astype(np.float32)
Y = np.arange(29) % 2
QUICK = {
    "sampling_rate": RATE,
    "max_epochs": 2,
    "batch_size": 8,
    "device": "cpu",
    "precision": "float32",
    "random_state": 0,
}
MTECG_NANO = MTECGClassifier("nano", **QUICK)
PRETRAINER = MTECGPretrainer("nano", **QUICK)
OWN = NetworkClassifier(SmallCNN, **QUICK)
REGULARIZED = FullTraining(dropout=0.2, stochastic_depth=0.2)
ESTIMATORS = {
    "mtecg": MTECG_NANO,
    "ecgfounder": ECGFounderClassifier("nano", preprocessing="none", **QUICK),
    "own network": OWN,
    "pre-trainer": PRETRAINER,
}


class TwoStages:
    """A strategy whose second stage has another rate of dropout."""

    def stages(self, numbers):
        return [TrainingStage(str(rate), 2, 1e-3, dropout=rate) for rate in (0.1, 0.2)]


class HasCounter(SmallCNN):
    """Has features that torch cannot compile as a whole."""

    def features(self, x):
        if float(x.mean()) > 1e9:
            raise ValueError("These recordings are too high.")
        return super().features(x)


class HasModuleOfFeatures(nn.Module):
    def __init__(self, n_leads, n_samples, n_outputs):
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(n_leads * n_samples, 4))
        self.head = nn.Linear(4, n_outputs)


class RefusesRecordings(SmallCNN):
    def features(self, x):
        raise ValueError("There is something wrong with the network.")


class HasWrongSize(SmallCNN):
    def features(self, x):
        return super().features(x[:, :2])


class Killed(Exception):
    pass


COMPILE = torch.compile


@pytest.fixture
def graphs(monkeypatch):
    """Let torch.compile count the graphs that it would compile, and return their list."""
    found = []

    def backend(graph, example_inputs):
        found.append(graph)
        return graph.forward

    monkeypatch.setattr(
        torch, "compile", lambda function, **how: COMPILE(function, backend=backend, **how)
    )
    return found


def fitted(model, **params):
    data = (X,) if isinstance(model, MTECGPretrainer) else (X, Y)
    return clone(model).set_params(**params).fit(*data)


def weights(model) -> dict:
    return {name: value.numpy() for name, value in model.net_.module_.state_dict().items()}


def assert_same_weights(first, second, tolerance=0.0):
    own, other = weights(first), weights(second)
    assert list(own) == list(other)
    for name in own:
        np.testing.assert_allclose(own[name], other[name], rtol=0, atol=tolerance, err_msg=name)


def fit_killed_after_an_epoch(model, monkeypatch):
    def save_and_die(self, *state):
        save(self, *state)
        raise Killed

    with monkeypatch.context() as patch:
        save = Checkpoint.save
        patch.setattr(Checkpoint, "save", save_and_die)
        with pytest.raises(Killed):
            model.fit(X, Y)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_fit_compiles_once_and_learns_the_same(name, graphs):
    model = ESTIMATORS[name]
    compiled = fitted(model, compile=True)
    assert len(graphs) == 1
    plain = fitted(model)
    assert len(graphs) == 1
    assert_same_weights(compiled, plain)
    names = ("epoch", "train_loss")
    losses = [[[row[n] for n in names] for row in m.history_] for m in (compiled, plain)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("params", "n_graphs"),
    [
        ({"strategy": REGULARIZED}, 1),
        ({"strategy": REGULARIZED, "early_stopping": True, "weight_averaging": 0.9}, 1),
        ({"augmentation": ECGAugmentation(), "class_weight": "balanced"}, 1),
        ({"precision": "bf16"}, 1),
        ({"precision": "float64", "head_init": "prior"}, 1),
        ({"batch_size": 1, "max_epochs": 1}, 1),
        ({"batch_size": 64}, 1),
        ({"strategy": "post_training", "strategy__head_epochs": 1}, 1),
        ({"strategy": TwoStages()}, 2),
        # What the head reads is computed once, as for predictions ...
        ({"strategy": LinearProbe(max_epochs=2)}, 0),
        # ... but not if it changes from epoch to epoch.
        ({"strategy": LinearProbe(max_epochs=2), "augmentation": ECGAugmentation()}, 1),
    ],
)
def test_each_stage_compiles_once(params, n_graphs, graphs):
    compiled = fitted(MTECG_NANO, compile=True, **params)
    assert len(graphs) == n_graphs
    assert_same_weights(compiled, fitted(MTECG_NANO, **params))


def test_random_depth_of_own_networks_is_drawn_as_without(graphs):
    model = NetworkClassifier(WithBranches, **QUICK, strategy=REGULARIZED)
    assert_same_weights(fitted(model, compile=True), fitted(model))
    assert len(graphs) == 1


def test_every_fit_of_a_process_is_compiled(graphs):
    # torch compiles the same code 8 times, and runs it as it is from then on.
    for count, width in enumerate(range(4, 16), start=1):
        fitted(OWN, compile=True, network_params={"width": width}, max_epochs=1)
        assert len(graphs) == count
    found = cross_validate(
        clone(OWN).set_params(compile=True, max_epochs=1), X, Y, cv=3, error_score="raise"
    )
    assert len(found["test_score"]) == 3 and len(graphs) == count + 3


def test_predictions_are_not_compiled(graphs):
    model = fitted(OWN, compile=True, early_stopping=True)
    graphs.clear()
    plain = clone(model).set_params(compile=False).fit(X, Y)
    for method in ("predict_proba", "decision_function", "transform"):
        found, expected = getattr(model, method)(X), getattr(plain, method)(X)
        np.testing.assert_array_equal(found, expected)
    assert not graphs
    pretrained = fitted(PRETRAINER, compile=True)
    graphs.clear()
    pretrained.transform(X), pretrained.score(X), pretrained.reconstruct(X)
    assert not graphs


@pytest.mark.parametrize("name", ["ecgfounder", "pre-trainer"])
def test_nothing_compiled_stays_in_a_fitted_estimator(name, graphs, tmp_path):
    model = fitted(ESTIMATORS[name], compile=True)
    assert model.net_.compiled is None
    ecgsk.save(model, tmp_path / "model.ecgsk")
    copies = [pickle.loads(pickle.dumps(model)), ecgsk.load(tmp_path / "model.ecgsk")]
    for other in [*copies, copy.deepcopy(model)]:
        assert other.compile is True and other.net_.compiled is None
        np.testing.assert_array_equal(other.transform(X), model.transform(X))
        assert_same_weights(other, model)
    refitted = fitted(copies[1])
    assert len(graphs) == 2
    assert_same_weights(refitted, model)


def test_copies_of_a_net_in_training_hold_nothing_compiled(graphs):
    net = fitted(OWN, compile=True).net_
    with net.compiling():
        assert isinstance(net.compiled, CompiledFeatures)
        copies = [pickle.loads(pickle.dumps(net)), copy.deepcopy(net)]
        assert isinstance(net.compiled, CompiledFeatures)
    assert [other.compiled for other in [net, *copies]] == [None] * 3


def test_a_failed_fit_leaves_nothing_compiled(graphs, monkeypatch, tmp_path):
    nets, initialize = [], ECGNet.initialize
    monkeypatch.setattr(ECGNet, "initialize", lambda net: nets.append(net) or initialize(net))
    model = clone(OWN).set_params(compile=True, checkpoint_dir=tmp_path)
    fit_killed_after_an_epoch(model, monkeypatch)
    assert len(graphs) == 1 and [net.compiled for net in nets] == [None]
    assert not hasattr(model, "net_")


@pytest.mark.parametrize(("before", "after"), [(True, True), (True, False), (False, True)])
def test_a_killed_fit_goes_on_whatever_is_compiled(before, after, graphs, tmp_path, monkeypatch):
    model = clone(MTECG_NANO).set_params(strategy=REGULARIZED, checkpoint_dir=tmp_path)
    fit_killed_after_an_epoch(model.set_params(compile=before), monkeypatch)
    (state,) = tmp_path.iterdir()
    restored = torch.load(state, weights_only=True)
    assert set(restored["module"]) == set(weights(fitted(MTECG_NANO, max_epochs=1)))
    resumed = model.set_params(compile=after).fit(X, Y)
    assert len(graphs) == before + after and not list(tmp_path.iterdir())
    assert_same_weights(resumed, fitted(model, checkpoint_dir=None, compile=after))


def test_own_networks_of_any_kind(graphs):
    for network in (HasModuleOfFeatures, HasCounter):
        model = NetworkClassifier(network, **QUICK)
        assert_same_weights(fitted(model, compile=True), fitted(model))
        assert graphs
        graphs.clear()
    with pytest.raises(ValueError, match="There is something wrong with the network"):
        fitted(NetworkClassifier(RefusesRecordings, **QUICK), compile=True)
    with pytest.raises(RuntimeError, match="to have 3 channels, but got 2"):
        fitted(NetworkClassifier(HasWrongSize, **QUICK), compile=True)


def test_processes_that_fit_together(graphs):
    group = torch.distributed
    group.init_process_group("gloo", store=group.HashStore(), rank=0, world_size=1)
    try:
        together = fitted(PRETRAINER, compile=True, distributed=True, precision="float64")
    finally:
        group.destroy_process_group()
    # torch cuts the graph where gradients are sent.
    assert len(graphs) == 2
    assert_same_weights(together, fitted(PRETRAINER, precision="float64"), 1e-12)


def fails_at_once(*args, **how):
    raise RuntimeError("Python 3.99+ not yet supported for torch.compile")


def fails_later(function, **how):
    def backend(graph, example_inputs):
        raise RuntimeError("Cannot find a working triton installation.\nInstall it.")

    return COMPILE(function, backend=backend, **how)


@pytest.mark.parametrize(
    ("replacement", "reason"),
    [(fails_at_once, "Python 3.99"), (fails_later, "working triton installation. Install it.")],
)
def test_errors_of_the_compiler_name_parameter_and_remedy(replacement, reason, monkeypatch):
    monkeypatch.setattr(torch, "compile", replacement)
    model = clone(OWN).set_params(compile=True)
    with pytest.raises(RuntimeError, match=f"compile=True.*{reason}.*set compile=False"):
        model.fit(X, Y)
    assert not hasattr(model, "net_")
    model.set_params(compile=False).fit(X, Y)


def test_a_missing_compiler_is_an_error(monkeypatch):
    from torch._inductor import config

    with (
        config.patch({"cpp.cxx": (None, "/nowhere/g++")}),
        pytest.raises(RuntimeError, match=r"compile=True.*/nowhere/g\+\+.*set compile=False"),
    ):
        fitted(OWN, compile=True)


@pytest.mark.parametrize("forked", [True, False])
def test_a_forked_process_compiles_by_itself(forked, monkeypatch):
    from torch._inductor import config

    n_threads = []

    def backend(graph, example_inputs):
        n_threads.append(config.compile_threads)
        return graph.forward

    monkeypatch.setattr(
        torch, "compile", lambda function, **how: COMPILE(function, backend=backend, **how)
    )
    if forked:
        monkeypatch.setattr(compilation, "_IMPORTED_IN", -1)
    with config.patch(compile_threads=3):
        fitted(OWN, compile=True)
    assert n_threads == [1 if forked else 3]


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_memory_errors_of_the_compiler_are_memory_errors(name, monkeypatch):
    def backend(graph, example_inputs):
        raise MEMORY_ERRORS[name]

    monkeypatch.setattr(
        torch, "compile", lambda function, **how: COMPILE(function, backend=backend, **how)
    )
    with pytest.raises(torch.OutOfMemoryError, match="does not suffice for batch_size=8"):
        fitted(OWN, compile=True)


def test_the_real_compiler_learns_the_same_up_to_rounding():
    model = NetworkClassifier(WithBranches, **QUICK)
    compiled, plain = fitted(model, compile=True), fitted(model)
    assert_same_weights(compiled, plain, 1e-4)
    regularized = clone(model).set_params(compile=True, strategy=REGULARIZED)
    assert_same_weights(fitted(regularized), fitted(regularized))


def test_a_stored_search_goes_on_whatever_is_compiled(graphs, tmp_path):
    search = OptunaSearchCV(
        clone(OWN).set_params(max_epochs=1),
        {"weight_decay": optuna.distributions.FloatDistribution(0.01, 0.1)},
        n_trials=1,
        cv=2,
        storage=f"sqlite:///{tmp_path / 'study.db'}",
        random_state=0,
        refit=False,
    )
    search.fit(X, Y)
    search.set_params(estimator__compile=True, n_trials=2).fit(X, Y)
    assert len(graphs) == 2 and len(search.cv_results_["params"]) == 2


def test_files_of_before_are_not_compiled():
    folder = Path(__file__).parent.parent / "fixtures" / "0.1.0"
    for name in ("mtecg", "ecgfounder", "pretrainer"):
        assert ecgsk.load(folder / f"{name}.ecgsk").compile is False


@pytest.mark.parametrize("value", [None, "yes", 1.5])
def test_only_booleans_are_allowed(value):
    with pytest.raises(ValueError, match="'compile' parameter.*bool"):
        fitted(OWN, compile=value)
