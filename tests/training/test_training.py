import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ecgsk._core.fingerprint import fingerprint
from ecgsk._training import (
    Checkpoint,
    ECGDataset,
    TrainingStage,
    parameter_groups,
    rate_factor,
    resolve_device,
    resolve_precision,
    seeded,
    signal_scale,
)
from ecgsk._training.losses import WeightedLoss
from ecgsk.networks import MTECG


@pytest.fixture
def network():
    return MTECG(2, 40, 1, patch_size=10, width=8, depth=2, n_heads=1)


def test_rate_warms_up_then_falls_by_half_a_cosine():
    stage = TrainingStage("x", epochs=1, learning_rate=1.0, warmup=0.1, final_rate=0.2)
    rates = [rate_factor(step, 100, stage) for step in range(100)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.6)
    assert rates[99] == pytest.approx(0.2, abs=1e-3)
    assert np.all(np.diff(rates[10:]) < 0)


def test_without_warmup_the_first_step_has_the_peak_rate():
    assert rate_factor(0, 10, TrainingStage("x", 1, 1.0, warmup=0.0)) == pytest.approx(1.0)


def test_groups_hold_each_parameter_once_with_its_decay_and_depth(network):
    stage = TrainingStage("x", epochs=1, learning_rate=1.0, weight_decay=0.3, layer_decay=0.5)
    names = {id(p): name for name, p in network.named_parameters()}
    seen = {}
    for group in parameter_groups(network, stage):
        for parameter in group["params"]:
            name = names[id(parameter)]
            assert name not in seen
            seen[name] = (group["weight_decay"], group["lr_scale"])
    assert len(seen) == len(names)
    assert seen["head.weight"] == (0.3, 1.0)
    assert seen["head.bias"] == (0.0, 1.0)
    assert seen["blocks.1.qkv.weight"] == (0.3, 0.5)
    assert seen["blocks.0.norm1.weight"] == (0.0, 0.25)
    assert seen["positions"] == seen["cls_token"] == (0.0, 0.125)


def test_a_phase_of_the_head_freezes_the_rest(network):
    groups = parameter_groups(network, TrainingStage("x", 1, 1.0, trainable="head"))
    trained = {id(p) for group in groups for p in group["params"]}
    assert trained == {id(network.head.weight), id(network.head.bias)}
    assert [n for n, p in network.named_parameters() if p.requires_grad] == [
        "head.weight",
        "head.bias",
    ]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_integer_weights_repeat_records(kind):
    generator = torch.Generator().manual_seed(0)
    n_outputs = {"binary": 1, "multiclass": 3, "multilabel": 4}[kind]
    logits = torch.randn(5, n_outputs, generator=generator, dtype=torch.float64)
    target = {
        "binary": torch.tensor([0.0, 1, 1, 0, 1]),
        "multiclass": torch.tensor([0, 1, 2, 1, 0]),
        "multilabel": torch.randint(2, (5, 4), generator=generator).float(),
    }[kind]
    weights = torch.tensor([0.0, 1, 3, 2, 1])
    repeats = weights.long()
    loss = WeightedLoss(kind)
    weighted = loss(logits, target, weights)
    repeated = loss(
        logits.repeat_interleave(repeats, 0),
        target.repeat_interleave(repeats, 0),
        torch.ones(int(weights.sum())),
    )
    assert weighted.item() == pytest.approx(repeated.item(), rel=1e-12)


def test_class_weights_are_those_of_torch():
    logits, target = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    class_weights = torch.tensor([1.0, 2.0, 5.0])
    ours = WeightedLoss("multiclass", class_weights)(logits, target, torch.ones(6))
    torch.testing.assert_close(ours, F.cross_entropy(logits, target, weight=class_weights))


def test_label_weights_apply_to_each_label_alone():
    logits, target = torch.randn(4, 2), torch.tensor([[1.0, 0], [0, 1], [1, 1], [0, 0]])
    weights = torch.tensor([[1.0, 2.0], [3.0, 4.0]])  # of 0, of 1
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    expected = torch.tensor([[3.0, 2.0], [1.0, 4.0], [3.0, 4.0], [1.0, 2.0]])
    ours = WeightedLoss("multilabel", weights)(logits, target, torch.ones(4))
    torch.testing.assert_close(ours, (each * expected).sum() / expected.sum())


def test_devices():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in ("cpu", "mps", "cuda")
    with pytest.raises(ValueError, match="device='cuda:99' is not available.*cpu"):
        resolve_device("cuda:99")


def test_auto_predicts_in_float32_everywhere():
    assert resolve_precision("auto", "cpu", training=False) == "float32"
    assert resolve_precision("bf16", "cpu", training=False) == "bf16"
    assert resolve_precision("auto", "cpu", training=True) in ("bf16", "float32")


def test_seeding_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    with seeded(3, "cpu"):
        first = torch.rand(3)
    with seeded(3, "cpu"):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_dataset_hands_out_batches_of_its_own_rows():
    X = np.arange(10, dtype=np.float32).reshape(10, 1, 1)
    data = ECGDataset(X, np.arange(10) * 10, np.ones(10), rows=np.array([7, 2, 5]))
    records, (y, _) = data.__getitems__([2, 0])
    assert records.ravel().tolist() == [5, 7]
    assert y.tolist() == [50, 70]
    assert len(data) == 3


def test_fingerprints_tell_data_and_parameters_apart():
    X = np.random.default_rng(0).normal(size=(100, 12, 5)).astype(np.float32)
    other = X.copy()
    other[0, 0, 0] += 1
    marks = {fingerprint(X, {"a": 1}), fingerprint(other, {"a": 1}), fingerprint(X, {"a": 2})}
    assert len(marks) == 3
    assert fingerprint(X.copy(), {"a": 1}) in marks


def test_checkpoints_round_trip_and_say_when_they_are_broken(tmp_path):
    checkpoint = Checkpoint(tmp_path / "new", "abc")
    assert checkpoint.load() is None
    checkpoint.save({"epoch": 3, "module": {"w": torch.ones(2)}}, [{"train_loss": 0.5}])
    state = checkpoint.load()
    assert state["epoch"] == 3 and state["history"] == [{"train_loss": 0.5}]
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["abc.ckpt"]
    torch.save({"epoch": 3, "history": "[]"}, tmp_path / "new" / "old.ckpt")
    with pytest.raises(ValueError, match="old.ckpt is from another version of ecgsk.*delete"):
        Checkpoint(tmp_path / "new", "old").load()
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot be read.*Delete it"):
        checkpoint.load()
    checkpoint.remove()
    assert not checkpoint.path.exists()


def test_the_scale_is_the_median_of_records_spread_over_all():
    """Not that of 64 records, nor that of the first."""
    X = np.tile(np.array([-1.0, 1.0], np.float32), (2048, 1, 20))
    rows, ones = np.arange(2048), np.ones(2048)
    few = np.unique(np.linspace(0, 2047, 64).astype(int))
    X[few] *= 10
    assert signal_scale(X, rows, ones) == pytest.approx(1)
    X[:1100] *= 3
    assert signal_scale(X, rows, ones) == pytest.approx(3)
    # Records that do not count are not read, and weights decide.
    assert signal_scale(X, rows[1200:], ones) == pytest.approx(1)
    assert signal_scale(X, rows, np.where(rows < 1100, 0.1, 1)) == pytest.approx(1)
