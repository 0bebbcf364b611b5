"""Fits of several phases, as the recipes of later estimators are made of."""

import copy

import numpy as np
import pytest
import torch
from _models import recordings

from ecgsk._training import ECGDataset, ECGNet, Phase, Run
from ecgsk.networks import MTECG, StochasticDepth


def make_run(phases, *, valid=False, **kwargs):
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
    return Run(net, phases, train, held_out, generator=generator, **kwargs)


def weights_of(run):
    return copy.deepcopy(run.net.module_.state_dict())


def test_a_phase_of_the_head_moves_nothing_else():
    run = make_run([Phase("preview", 2, 1e-2, trainable="head")])
    before = weights_of(run)
    run.execute()
    moved = {name for name, value in weights_of(run).items() if not value.equal(before[name])}
    assert moved == {"head.weight", "head.bias"}


def test_phases_follow_one_another_with_their_own_rates():
    phases = [
        Phase("preview", 2, 1e-2, trainable="head"),
        Phase("tune", 3, 1e-3, stochastic_depth=0.4, dropout=0.2, layer_decay=0.5),
    ]
    run = make_run(phases)
    seen = []
    original = run.before_batch

    def spy():
        original()
        groups = run.net.optimizer_.param_groups
        depths = [m.rate for m in run.net.module_.modules() if isinstance(m, StochasticDepth)]
        seen.append((run.phase.name, sorted({group["lr"] for group in groups}), depths))

    run.before_batch = spy
    before = weights_of(run)
    rows = run.execute()
    assert [row["phase"] for row in rows] == ["preview"] * 2 + ["tune"] * 3
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert not weights_of(run)["patch_embed.weight"].equal(before["patch_embed.weight"])

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
        run = make_run([Phase("tune", 2, 1e-3, layer_decay=decay, weight_decay=0.0)])
        before = weights_of(run)
        run.execute()
        after = weights_of(run)
        moved[decay] = [
            (after[name] - before[name]).abs().mean().item()
            for name in ("patch_embed.weight", "blocks.0.qkv.weight", "head.weight")
        ]
    ratio = np.divide(moved[0.1], moved[1.0])
    np.testing.assert_allclose(ratio, [1e-3, 1e-2, 1.0], rtol=0.35)


def test_each_phase_ends_early_by_itself_with_its_best_epoch():
    phases = [Phase("first", 30, 3e-2), Phase("second", 30, 3e-2)]
    run = make_run(phases, valid=True, n_iter_no_change=2, tol=10.0)
    rows = run.execute()
    # No epoch gains as much as tol after the first: each phase bears two more.
    assert [row["phase"] for row in rows] == ["first"] * 3 + ["second"] * 3


def test_an_explosion_after_a_good_epoch_keeps_that_epoch():
    run = make_run([Phase("x", 6, 1e-3)], valid=True)
    best = {}
    original = run.before_batch

    def explode():
        original()
        if run.epoch == 2:
            best.update(run.best_weights)
            run.net.module_.head.weight.data.fill_(torch.nan)

    run.before_batch = explode
    with pytest.warns(UserWarning, match="no longer finite in epoch 3 of 'x'.*best epoch"):
        rows = run.execute()
    assert len(rows) == 3
    assert all(value.equal(best[name]) for name, value in weights_of(run).items())


def test_history_does_not_grow_with_batches():
    run = make_run([Phase("x", 2, 1e-3)])
    rows = run.execute()
    assert set(rows[0]) == {"phase", "epoch", "train_loss", "dur"}
    assert all(len(row["batches"]) == 1 for row in run.net.history)
