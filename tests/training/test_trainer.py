"""Fits of several stages, as the recipes of later estimators are made of."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from ecgsk._training import ECGDataset, ECGNet, Trainer, TrainingStage, parameter_groups
from ecgsk.estimators import NetworkClassifier
from ecgsk.networks import MTECG, StochasticDepth
from tests._models import RATE, recordings
from tests._networks import SmallCNN


def make_trainer(stages, *, valid=False, **kwargs):
    X, y = recordings()
    torch.manual_seed(0)
    net = ECGNet(
        MTECG,
        module__n_leads=3,
        module__n_samples=200,
        module__patch_size=20,
        module__width=16,
        module__depth=2,
        module__n_heads=2,
        module__input_scale=0.2,
        criterion__kind="binary",
        batch_size=12,
    ).initialize()
    y, ones, rows = y.astype(np.float32), np.ones(48), np.arange(48)
    train = ECGDataset(X, y, ones, rows[:36] if valid else rows)
    held_out = ECGDataset(X, y, ones, rows[36:]) if valid else None
    generator = torch.Generator().manual_seed(0)
    return Trainer(net, stages, train, held_out, generator=generator, **kwargs)


def weights_of(trainer):
    return copy.deepcopy(trainer.net.module_.state_dict())


def test_a_phase_of_the_head_moves_nothing_else():
    trainer = make_trainer([TrainingStage("preview", 2, 1e-2, trainable="head")])
    before = weights_of(trainer)
    trainer.execute()
    moved = {name for name, value in weights_of(trainer).items() if not value.equal(before[name])}
    assert moved == {"head.weight", "head.bias"}


def test_phases_follow_one_another_with_their_own_rates():
    stages = [
        TrainingStage("preview", 2, 1e-2, trainable="head"),
        TrainingStage("tune", 3, 1e-3, stochastic_depth=0.4, dropout=0.2, layer_decay=0.5),
    ]
    trainer = make_trainer(stages)
    seen = []
    original = trainer.before_batch

    def spy():
        original()
        groups = trainer.net.optimizer_.param_groups
        depths = [m.rate for m in trainer.net.module_.modules() if isinstance(m, StochasticDepth)]
        seen.append((trainer.stage.name, sorted({group["lr"] for group in groups}), depths))

    trainer.before_batch = spy
    before = weights_of(trainer)
    rows = trainer.execute()
    assert [row["stage"] for row in rows] == ["preview"] * 2 + ["tune"] * 3
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert not weights_of(trainer)["patch_embed.weight"].equal(before["patch_embed.weight"])

    assert len(seen) == 5 * 4
    name, rates, depths = seen[2 * 4]
    assert name == "tune" and depths == [0.0, 0.0, 0.4, 0.4]
    # Four depths (input, two blocks, head): each learns half as fast as the next.
    np.testing.assert_allclose(np.divide(rates[1:], rates[:-1]), 2.0)
    peak = max(max(rates) for name, rates, _ in seen if name == "tune")
    assert peak == pytest.approx(1e-3)
    assert all(depths == [0.0] * 4 for name, _, depths in seen if name == "preview")


def test_layer_decay_holds_the_input_back():
    """The farther from the head, the less the weights move."""
    moved = {}
    for decay in (1.0, 0.1):
        trainer = make_trainer(
            [TrainingStage("tune", 2, 1e-3, layer_decay=decay, weight_decay=0.0)]
        )
        before = weights_of(trainer)
        trainer.execute()
        after = weights_of(trainer)
        moved[decay] = [
            (after[name] - before[name]).abs().mean().item()
            for name in ("patch_embed.weight", "blocks.0.qkv.weight", "head.weight")
        ]
    ratio = np.divide(moved[0.1], moved[1.0])
    np.testing.assert_allclose(ratio, [1e-3, 1e-2, 1.0], rtol=0.35)


def test_each_phase_ends_early_by_itself_with_its_best_epoch():
    stages = [TrainingStage("first", 30, 3e-2), TrainingStage("second", 30, 3e-2)]
    trainer = make_trainer(stages, valid=True, n_iter_no_change=2, tol=10.0)
    rows = trainer.execute()
    # No epoch gains as much as tol after the first: each stage bears two more.
    assert [row["stage"] for row in rows] == ["first"] * 3 + ["second"] * 3


def test_an_explosion_after_a_good_epoch_keeps_that_epoch():
    trainer = make_trainer([TrainingStage("x", 6, 1e-3)], valid=True)
    best = {}
    original = trainer.before_batch

    def explode():
        original()
        if trainer.epoch == 2:
            best.update(trainer.best_weights)
            trainer.net.module_.head.weight.data.fill_(torch.nan)

    trainer.before_batch = explode
    with pytest.warns(UserWarning, match="no longer finite in epoch 3 of 'x'.*best epoch"):
        rows = trainer.execute()
    assert len(rows) == 3
    assert all(value.equal(best[name]) for name, value in weights_of(trainer).items())


def test_history_does_not_grow_with_batches():
    trainer = make_trainer([TrainingStage("x", 2, 1e-3)])
    rows = trainer.execute()
    assert set(rows[0]) == {"stage", "epoch", "train_loss", "dur"}
    assert all(len(row["batches"]) == 1 for row in trainer.net.history)


class Plain(nn.Module):
    """A network without names for its layers and without stochastic depth."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(3, 1))
        self.head = nn.Linear(4, 1)
        self.first = nn.Conv1d(3, 4, 5)
        self.second = nn.Conv1d(4, 4, 5)
        self.dropout = nn.Dropout(0.3)

    def features(self, x):
        return self.dropout(self.second(self.first(x + self.shift)).mean(dim=-1))


def fit_plain(**rates):
    X, y = recordings()
    net = ECGNet(Plain, criterion__kind="binary", batch_size=16).initialize()
    data = ECGDataset(X, y.astype(np.float32), np.ones(48), np.arange(48))
    stages = [TrainingStage("x", 1, 1e-3, **rates), TrainingStage("y", 1, 1e-3)]
    Trainer(net, stages, data, generator=torch.Generator().manual_seed(0)).execute()
    return net.module_


def test_layers_without_names_follow_their_order_with_the_head_last():
    groups = parameter_groups(Plain(), TrainingStage("x", 1, 1.0, layer_decay=0.5))
    scales = {tuple(p.shape): group["lr_scale"] for group in groups for p in group["params"]}
    # The dropout counts as a layer: nothing learns there.
    assert scales[1, 4] == 1.0 and scales[4, 4, 5] == 0.25
    assert scales[4, 3, 5] == scales[3, 1] == 0.125


def test_rates_of_the_network_stay_where_a_stage_sets_none():
    assert fit_plain().dropout.p == 0.3
    assert fit_plain(dropout=0.5).dropout.p == 0.3  # of the second stage
    with pytest.raises(ValueError, match="stochastic_depth=0.2 needs StochasticDepth modules"):
        fit_plain(stochastic_depth=0.2)


class WithComplexWeights(SmallCNN):
    """A network with a filter in the domain of frequencies."""

    def __init__(self, **sizes):
        super().__init__(**sizes)
        self.filter = torch.nn.Parameter(torch.ones(1, dtype=torch.complex64))

    def features(self, x):
        return super().features(x) * self.filter.real


def test_complex_parameters_are_trained_without_the_fused_kernel():
    X, y = recordings(16)
    options = {"sampling_rate": RATE, "max_epochs": 1, "random_state": 0, "device": "cpu"}
    model = NetworkClassifier(WithComplexWeights, **options).fit(X, y)
    assert model.net_.module_.filter.item() != 1
