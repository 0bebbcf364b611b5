"""Every estimator on a device that stands in for a GPU: fits, predictions and resumed fits."""

import copy
import itertools
import random
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
import torch
from sklearn.base import clone

from ecgsk import (
    ECGAugmentation,
    ECGFounderClassifier,
    MTECGClassifier,
    MTECGPretrainer,
    NetworkClassifier,
    RecordArray,
)
from ecgsk._training import Checkpoint
from ecgsk.estimators import Distillation, EarlyStopping, LinearProbe, PostTraining
from tests._device_stand_in import DEVICE, DeviceStandIn
from tests._models import RATE, recordings
from tests._networks import SmallCNN, WithBranches

X, BINARY = recordings(12)
TARGETS = {
    "binary": BINARY,
    "multiclass": np.array(["a", "b", "c"])[np.arange(12) % 3],
    "multilabel": np.stack([BINARY, np.arange(12) // 2 % 2], axis=1),
}
QUICK = {"sampling_rate": RATE, "max_epochs": 1, "batch_size": 6, "random_state": 0}
SMALL = {"preset": "nano", "width": 16, "depth": 1}
NETWORKS = {
    "mtecg": MTECGClassifier(SMALL, **QUICK),
    "ecgfounder": ECGFounderClassifier("nano", preprocessing="none", **QUICK),
    "own": NetworkClassifier(WithBranches, **QUICK),
}
PRETRAINER = MTECGPretrainer(SMALL, decoder_width=16, **QUICK)
STRATEGIES = {
    "full": "full",
    "linear_probe": LinearProbe(max_epochs=1),
    "post_training": PostTraining(head_epochs=1),
}
DEVICES = [
    ("cuda", "float32"),
    ("cuda", "bf16"),
    ("cuda", "float64"),
    ("mps", "float32"),
    ("xpu", "bf16"),
]
HALF = EarlyStopping(validation_fraction=0.5)
FACTORS = {
    "device": DEVICES,
    "network": list(NETWORKS),
    "target": list(TARGETS),
    "strategy": list(STRATEGIES),
    "class_weight": [None, "balanced"],
    "distillation": [False, True],
    "augmentation": [None, ECGAugmentation()],
    "weight_averaging": [0.0, 0.9],
    "early_stopping": [False, HALF],
    "head_init": ["random", "prior"],
}


def pairwise(factors):
    """Return cases in which any two values of two factors meet at least once."""
    draw = random.Random(0)
    places = {name: range(len(values)) for name, values in factors.items()}

    def pairs(case):
        return set(itertools.combinations(case.items(), 2))

    missing = {
        ((a, i), (b, j))
        for a, b in itertools.combinations(factors, 2)
        for i, j in itertools.product(places[a], places[b])
    }
    while missing:
        drawn = [{name: draw.choice(place) for name, place in places.items()} for _ in range(100)]
        best = max(drawn, key=lambda case: len(pairs(case) & missing))
        if pairs(best) & missing:
            missing -= pairs(best)
            yield {name: factors[name][place] for name, place in best.items()}


CASES = list(pairwise(FACTORS))


def name_of(case):
    marks = {"class_weight", "distillation", "augmentation", "weight_averaging", "early_stopping"}
    words = [*case["device"], *(case[name] for name in ("network", "target", "strategy"))]
    return "-".join([*words, case["head_init"], *sorted(n for n in marks & set(case) if case[n])])


@pytest.fixture(scope="module")
def teachers():
    made = NetworkClassifier(SmallCNN, **QUICK).set_params(device="cpu")
    return {kind: clone(made).fit(X, y) for kind, y in TARGETS.items()}


def stand_in(kind, precision):
    return DeviceStandIn(kind, float64=precision == "float64")


def check_is_on_device(model, precision):
    assert model.device_ == model.net_.device == DEVICE
    dtype = torch.float64 if precision == "float64" else torch.float32
    state = model.net_.module_.state_dict().values()
    assert {(value.device.type, value.dtype) for value in state} == {(DEVICE, dtype)}


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_classifiers_learn_and_predict_on_a_device(case, teachers):
    kind, precision = case["device"]
    target, y = case["target"], TARGETS[case["target"]]
    options = {n: case[n] for n in FACTORS if n in NETWORKS["own"].get_params()}
    options |= {"strategy": STRATEGIES[case["strategy"]], "precision": precision}
    del options["network"]
    if case["distillation"]:
        options["distillation"] = Distillation(teachers[target])
    else:
        del options["distillation"]
    del options["device"]
    model = clone(NETWORKS[case["network"]]).set_params(**options)
    with stand_in(kind, precision) as device:
        model.fit(X, y)
        check_is_on_device(model, precision)
        probability = model.predict_proba(X)
        assert probability.shape == (12, 3 if target == "multiclass" else 2)
        assert model.predict_proba(RecordArray.wrap(X)).shape == probability.shape
        assert model.predict(X).shape == y.shape
        assert model.transform(X).shape == (12, model.net_.module_.head.in_features)
        assert all(parameter.grad is None for parameter in model.net_.module_.parameters())
    assert device.syncs and device.copies
    assert [row["epoch"] for row in model.history_] == [*range(1, len(model.history_) + 1)]


def test_cases_hold_every_pair_of_options():
    found = {
        (a, repr(case[a]), b, repr(case[b]))
        for case in CASES
        for a, b in itertools.combinations(FACTORS, 2)
    }
    lengths = [len(values) for values in FACTORS.values()]
    assert len(found) == sum(m * n for m, n in itertools.combinations(lengths, 2))


@pytest.mark.parametrize(
    "kind, precision, target, augmentation",
    [
        (*DEVICES[0], "raw", None),
        (*DEVICES[1], "normalized", ECGAugmentation()),
        (*DEVICES[2], "fluctuation", None),
        (*DEVICES[3], "normalized", ECGAugmentation()),
    ],
)
def test_pretrainers_learn_and_reconstruct_on_a_device(kind, precision, target, augmentation):
    model = clone(PRETRAINER).set_params(
        precision=precision, target=target, augmentation=augmentation
    )
    with stand_in(kind, precision):
        model.fit(X)
        check_is_on_device(model, precision)
        assert model.score(X) == -0.5
        filled, mask = model.reconstruct(X, return_mask=True)
        assert filled.shape == X.shape and mask.shape == (12, 200)
        seen = ~np.broadcast_to(mask[:, None], X.shape)
        np.testing.assert_array_equal(filled[seen], X[seen])
        assert model.transform(RecordArray.wrap(X)).shape == (12, 16)
        fine_tuned = MTECGClassifier(pretrained=model, precision=precision, **QUICK)
        check_is_on_device(fine_tuned.fit(X, BINARY), precision)


class Interrupted(Exception):  # noqa: N818 - not an error
    """The process of a fit has ended."""


@contextmanager
def interrupted_after(n_epochs):
    """Interrupt a fit behind the checkpoint of an epoch; yields the rows of history in it."""
    save, kept = Checkpoint.save, []

    def save_and_stop(checkpoint, state, history):
        save(checkpoint, state, history)
        if len(history) == n_epochs:
            kept.extend(copy.deepcopy(history))
            raise Interrupted

    with mock.patch.object(Checkpoint, "save", save_and_stop), pytest.raises(Interrupted):
        yield kept


RESUMED = {
    "mtecg": {"weight_averaging": 0.9, "early_stopping": HALF, "max_epochs": 2},
    "ecgfounder": {"strategy": PostTraining(head_epochs=1), "max_epochs": 1},
    "own": {
        "strategy": LinearProbe(max_epochs=2),
        "head_init": "prior",
        "class_weight": "balanced",
    },
    "pretrainer": {"max_epochs": 2, "augmentation": ECGAugmentation()},
}


@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize(
    "written, resumed, precision",
    [("cpu", "auto", "bf16"), ("auto", "cpu", "float32"), ("auto", "auto", "float32")],
)
def test_a_fit_goes_on_on_another_device(name, written, resumed, precision, tmp_path):
    data = (X,) if name == "pretrainer" else (X, BINARY)
    model = clone(PRETRAINER if name == "pretrainer" else NETWORKS[name]).set_params(
        **RESUMED[name], precision=precision, checkpoint_dir=tmp_path
    )
    with DeviceStandIn():
        with interrupted_after(1) as history:
            clone(model).set_params(device=written).fit(*data)
        model.set_params(device=resumed).fit(*data)
        assert model.history_[:1] == history and len(model.history_) == 2
        assert model.device_ == (DEVICE if resumed == "auto" else "cpu")
        assert model.transform(X).shape[0] == 12
    assert not list(tmp_path.iterdir())


def test_a_default_device_of_torch_changes_nothing():
    model = NETWORKS["mtecg"]
    for device in ("auto", "cpu"):
        wanted = clone(model).set_params(device=device)
        with DeviceStandIn(), torch.device(DEVICE):
            wanted.fit(X, BINARY)
            assert wanted.predict_proba(X).shape == (12, 2)
            assert wanted.device_ == (DEVICE if device == "auto" else "cpu")
    np.testing.assert_array_equal(
        wanted.predict_proba(X), clone(wanted).fit(X, BINARY).predict_proba(X)
    )


def test_precision_follows_the_kind_of_device():
    model = NETWORKS["own"]
    for kind, trained in {"cuda": "bf16", "mps": "float32"}.items():
        with DeviceStandIn(kind):
            fitted = clone(model).fit(X, BINARY)
            assert fitted.net_.precision == trained
            fitted.predict_proba(X)
            assert fitted.net_.precision == "float32"
    with DeviceStandIn("mps"), pytest.raises(ValueError, match="float64.*mps"):
        clone(model).set_params(precision="float64").fit(X, BINARY)


def test_shipped_weights_predict_on_a_device():
    ecg = np.tile(X, (1, 4, 5)).astype(np.float32)
    model = MTECGClassifier.from_pretrained(sampling_rate=RATE)
    with DeviceStandIn():
        assert model.predict_proba(ecg).shape[0] == 12
        assert model.device_ == DEVICE


def cost_of_fit(model, kind, n_batches, n_epochs=1):
    """Return the operations, copies and syncs of a fit."""
    model = clone(model).set_params(max_epochs=n_epochs, batch_size=4)
    data = (X[: 4 * n_batches], BINARY[: 4 * n_batches])
    with DeviceStandIn(kind) as device:
        model.fit(*data)
    return device


def cost_of_step(model, kind="cuda"):
    """Return what another batch adds to an epoch: operations by name, and all costs."""
    two, three = (cost_of_fit(model, kind, n) for n in (2, 3))
    return three.operations - two.operations, three.cost() - two.cost()


ALL = {"class_weight": "balanced", "augmentation": ECGAugmentation(), "weight_averaging": 0.9}
# The most operations of a step, a tenth more than with torch 2.13, and its copies: recordings,
# targets and weights, or recordings and masks.
COSTS = {
    "mtecg": (NETWORKS["mtecg"], {"float32": 125, "bf16": 165}, 3),
    "ecgfounder": (NETWORKS["ecgfounder"], {"float32": 230, "bf16": 325}, 3),
    "own": (NETWORKS["own"], {"float32": 75, "bf16": 90}, 3),
    "pretrainer": (PRETRAINER, {"float32": 205, "bf16": 290}, 2),
}


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_step_costs_few_operations_few_copies_and_no_sync(name, precision):
    model, most, n_copies = COSTS[name]
    options = {option: value for option, value in ALL.items() if option in model.get_params()}
    model = clone(model).set_params(**options, precision=precision)
    operations, cost = cost_of_step(model)
    assert cost["syncs"] == 0
    assert cost["copies"] == n_copies
    assert cost["operations"] <= most[precision]
    # One call for the parameters with weight decay, and one for those without.
    assert operations["_fused_adamw_"] == 2
    assert operations["_foreach_lerp_"] == ("weight_averaging" in options)


def test_a_teacher_costs_a_copy_in_each_step(teachers):
    model = clone(NETWORKS["own"]).set_params(distillation=Distillation(teachers["binary"]))
    _, cost = cost_of_step(model)
    assert cost["copies"] == 4 and cost["syncs"] == 0


@pytest.mark.parametrize("early_stopping, n_syncs", [(False, 1), (HALF, 2)])
def test_an_epoch_costs_a_sync_for_each_data_set(early_stopping, n_syncs):
    model = clone(NETWORKS["own"]).set_params(early_stopping=early_stopping, weight_averaging=0.9)
    one, two = (cost_of_fit(model, "cuda", 2, n).cost() for n in (1, 2))
    assert (two - one)["syncs"] == n_syncs


@pytest.mark.parametrize("name", NETWORKS)
def test_a_predicted_batch_costs_one_copy_and_one_sync(name):
    model = clone(NETWORKS[name]).set_params(batch_size=4)
    few, many = X, np.resize(X, (1100, *X.shape[1:]))
    with DeviceStandIn("cuda"):
        model.fit(X, BINARY)
        for recordings, n_batches in ((few[:4], 1), (few, 1), (many, 2)):
            with DeviceStandIn("cuda") as device:
                model.predict_proba(recordings)
            cost = device.cost()
            assert cost["copies"] == cost["syncs"] == n_batches
