"""Augmentation, the mean of the weights and the teacher's part in the loss."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from ecgsk import ECGAugmentation
from ecgsk._training import (
    Checkpoint,
    DistillationLoss,
    ECGDataset,
    ECGNet,
    Trainer,
    TrainingStage,
    seeded,
)
from ecgsk._training.weight_average import Average
from ecgsk.networks import MTECG
from tests._models import recordings

OFF = {"shift": 0.0, "lead_drop": 0.0, "noise": 0.0, "amplitude": 0.0}


def batch(n_records=64, n_leads=12, n_samples=200):
    generator = torch.Generator().manual_seed(0)
    # No value is near 0, so that zeros are recognized as such.
    return torch.rand((n_records, n_leads, n_samples), generator=generator) + 1


def augmented(x, seed=0, **parameters):
    with seeded(seed, "cpu"):
        return ECGAugmentation(**{**OFF, **parameters}).bind(100)(x)


def test_without_any_part_recordings_stay_as_they_are():
    x = batch()
    assert torch.equal(augmented(x), x)


def test_shift_moves_all_leads_together_and_enters_zeros():
    x = batch(400)
    before = x.clone()
    out = augmented(x, shift=0.05)
    assert torch.equal(x, before)
    seen = []
    for old, new in zip(x, out, strict=True):
        zero = (new == 0).all(dim=0)
        assert torch.equal((new == 0).any(dim=0), zero)
        n = int(zero.sum())
        if n and zero[0]:
            assert zero[:n].all() and torch.equal(new[:, n:], old[:, :-n])
            seen.append(n)
        elif n:
            assert zero[-n:].all() and torch.equal(new[:, :-n], old[:, n:])
            seen.append(-n)
        else:
            assert torch.equal(new, old)
            seen.append(0)
    # 0.05 s at 100 Hz are five samples either way, each as likely as the others.
    values, counts = np.unique(seen, return_counts=True)
    assert values.tolist() == list(range(-5, 6))
    assert counts.min() > 15 and counts.max() < 65


def test_shift_leaves_something_of_records_that_are_shorter_than_it():
    out = augmented(batch(200, 2, 4), shift=10.0)
    assert (out != 0).any(dim=(1, 2)).all()


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_lead_drop_zeroes_whole_leads_at_its_rate(rate):
    x = batch(500, 12, 20)
    out = augmented(x, lead_drop=rate)
    lost = (out == 0).all(dim=2)
    assert torch.equal((out == 0).any(dim=2), lost)
    assert torch.equal(out[~lost], x[~lost])
    assert lost.float().mean().item() == pytest.approx(rate, abs=0.02)


@pytest.mark.parametrize("n_leads", [1, 3, 12])
def test_lead_drop_always_leaves_a_lead(n_leads):
    out = augmented(batch(500, n_leads, 4), lead_drop=0.99)
    left = (out != 0).all(dim=2).sum(dim=1)
    assert left.min() == 1
    assert left.float().mean() < 1.3


def test_noise_is_white_and_scales_with_the_record():
    x = torch.randn(300, 3, 400, generator=torch.Generator().manual_seed(0))
    x[::2] *= 50
    added = augmented(x, noise=0.2) - x
    relative = (added.std(dim=(1, 2)) / x.std(dim=(1, 2))).numpy()
    # Evenly between 0 and 0.2, whatever the size of the record.
    for part in (relative[::2], relative[1::2]):
        assert part.min() < 0.01 and 0.19 < part.max() < 0.21
        assert part.mean() == pytest.approx(0.1, abs=0.015)
    record = added[relative.argmax()]
    assert np.abs(np.corrcoef(record.numpy()) - np.eye(3)).max() < 0.2
    assert abs(np.corrcoef(record[0, 1:], record[0, :-1])[0, 1]) < 0.2


def test_noise_is_no_larger_for_an_offset():
    flat = torch.full((4, 3, 100), 5.0)
    assert torch.equal(augmented(flat, noise=1.0), flat)


def test_amplitude_keeps_the_leads_proportions():
    x = batch(1000, 3, 10)
    factors = augmented(x, amplitude=0.1) / x
    torch.testing.assert_close(factors, factors[:, :1, :1].expand_as(factors))
    logarithm = factors[:, 0, 0].log()
    assert logarithm.std().item() == pytest.approx(0.1, rel=0.1)
    assert logarithm.mean().item() == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_seeds_repeat_and_shape_and_precision_stay(dtype):
    x = batch().to(dtype)
    change = ECGAugmentation().bind(100)
    outs = []
    for seed in (0, 0, 1):
        with seeded(seed, "cpu"):
            outs.append(change(x))
    assert torch.equal(outs[0], outs[1]) and not torch.equal(outs[0], outs[2])
    assert outs[0].shape == x.shape and outs[0].dtype == dtype


@pytest.mark.parametrize(
    "wrong",
    [
        {"shift": -0.1},
        {"lead_drop": 1.0},
        {"lead_drop": -0.1},
        {"noise": -1.0},
        {"amplitude": "large"},
        {"shift": None},
    ],
)
def test_wrong_parameters_are_named(wrong):
    with pytest.raises(ValueError, match=f"'{next(iter(wrong))}'"):
        ECGAugmentation(**wrong).bind(100)


def test_augmentation_is_an_estimator():
    augmentation = ECGAugmentation(shift=0.3)
    assert augmentation.get_params() == {
        "shift": 0.3,
        "lead_drop": 0.1,
        "noise": 0.1,
        "amplitude": 0.1,
    }
    copies = [clone(augmentation), pickle.loads(pickle.dumps(augmentation))]
    assert all(copied.get_params() == augmentation.get_params() for copied in copies)
    assert copies[0].set_params(noise=0.0).noise == 0.0 and augmentation.noise == 0.1
    bound = pickle.loads(pickle.dumps(augmentation.bind(100)))
    x = batch(4)
    with seeded(0, "cpu"):
        first = bound(x)
    with seeded(0, "cpu"):
        assert torch.equal(augmentation.bind(100)(x), first)


def steps_of(network, n_steps):
    for _ in range(n_steps):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        yield [parameter.detach().clone() for parameter in network.parameters()]


def test_the_mean_is_the_one_computed_by_hand():
    network = nn.Linear(3, 2)
    average = Average(network, 0.6)
    expected = [parameter.detach().double() for parameter in network.parameters()]
    for step, weights in enumerate(steps_of(network, 30), start=1):
        average.move(step)
        memory = min(0.6, step / (step + 10))
        expected = [
            memory * mean + (1 - memory) * own for mean, own in zip(expected, weights, strict=True)
        ]
    for mean, other in zip(average.weights, expected, strict=True):
        torch.testing.assert_close(mean.double(), other, rtol=0, atol=1e-5)


def test_the_mean_forgets_the_random_start():
    network = nn.Linear(3, 2)
    with torch.no_grad():
        network.weight.fill_(1000.0)
    average = Average(network, 0.999)
    with torch.no_grad():
        network.weight.fill_(1.0)
    for step in range(1, 301):
        average.move(step)
    assert average.weights[0].max() < 1.01


def test_the_mean_takes_the_place_of_the_weights_and_gives_it_back():
    network = nn.Linear(3, 2)
    average = Average(network, 0.9)
    (own,) = steps_of(network, 1)
    average.move(1)
    mean = copy.deepcopy(average.weights)
    for _ in range(2):  # a second call must not take the mean for the network's own
        average.put_in()
        assert all(p.equal(m) for p, m in zip(network.parameters(), mean, strict=True))
    for _ in range(2):
        average.take_out()
        assert all(p.equal(o) for p, o in zip(network.parameters(), own, strict=True))
    assert all(a.equal(m) for a, m in zip(average.weights, mean, strict=True))


def test_running_statistics_belong_to_the_mean():
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = Average(network, 0.5)
    network(torch.full((4, 3), 5.0) + torch.randn(4, 3))
    own = network[1].running_mean.clone()
    average.move(100)
    average.put_in()
    torch.testing.assert_close(network[1].running_mean, own / 2)  # it started at 0
    average.take_out()
    assert network[1].running_mean.equal(own) and network[1].num_batches_tracked == 1


def test_without_memory_nothing_happens():
    network = nn.Linear(3, 2)
    average = Average(network, 0.0)
    (own,) = steps_of(network, 1)
    average.move(1)
    average.put_in()
    assert all(p.equal(o) for p, o in zip(network.parameters(), own, strict=True))
    average.take_out()
    assert all(p.equal(o) for p, o in zip(network.parameters(), own, strict=True))
    assert average.weights is None


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
        augmentation=ECGAugmentation().bind(100),
        batch_size=12,
    ).initialize()
    y, ones, rows = y.astype(np.float32), np.ones(48), np.arange(48)
    train = ECGDataset(X, y, ones, rows[:36] if valid else rows)
    held_out = ECGDataset(X, y, ones, rows[36:]) if valid else None
    generator = torch.Generator().manual_seed(0)
    return Trainer(net, stages, train, held_out, generator=generator, **kwargs)


def weights_of(trainer):
    return copy.deepcopy(trainer.net.module_.state_dict())


def same(one, other):
    return all(value.equal(other[name]) for name, value in one.items())


def own_weights_after_each_step(trainer):
    kept, original = [], trainer.after_batch

    def spy():
        original()
        kept.append([p.detach().clone() for p in trainer.net.module_.parameters()])

    trainer.after_batch = spy
    return kept


def test_a_fit_ends_with_the_mean_of_the_weights():
    trainer = make_trainer([TrainingStage("x", 3, 1e-2, averaging=0.8)])
    mean = [p.detach().clone() for p in trainer.net.module_.parameters()]
    steps = own_weights_after_each_step(trainer)
    trainer.execute()
    assert len(steps) == 12
    for step, own in enumerate(steps, start=1):
        memory = min(0.8, step / (step + 10))
        mean = [m.lerp(o, 1 - memory) for m, o in zip(mean, own, strict=True)]
    final = list(trainer.net.module_.parameters())
    assert all(p.equal(m) for p, m in zip(final, mean, strict=True))
    assert not any(p.equal(o) for p, o in zip(final, steps[-1], strict=True))


def test_averaging_does_not_disturb_the_steps():
    trainers = [
        make_trainer([TrainingStage("x", 3, 1e-2, averaging=a)], valid=True) for a in (0.0, 0.9)
    ]
    steps = [own_weights_after_each_step(trainer) for trainer in trainers]
    for trainer in trainers:
        torch.manual_seed(1)
        trainer.execute()
    assert len(steps[0]) == len(steps[1]) == 9
    for one, other in zip(*steps, strict=True):
        assert all(a.equal(b) for a, b in zip(one, other, strict=True))


def test_early_stopping_judges_and_keeps_the_mean():
    trainer = make_trainer([TrainingStage("x", 6, 1e-2, averaging=0.9)], valid=True, tol=0.0)
    candidates, original = [], trainer.after_epoch

    def spy():
        original()
        candidates.append(copy.deepcopy(trainer.average.weights))

    trainer.after_epoch = spy
    rows = trainer.execute()
    losses = [row["valid_loss"] for row in rows]
    best = candidates[int(np.argmin(losses))]
    module = trainer.net.module_
    parameters = [*module.parameters(), *module.buffers()]
    assert all(p.equal(b) for p, b in zip(parameters, best, strict=True))
    X, y = recordings()
    judge = nn.BCEWithLogitsLoss()
    for candidate, loss in zip(candidates, losses, strict=True):
        with torch.no_grad():
            for parameter, value in zip(parameters, candidate, strict=True):
                parameter.copy_(value)
            logits = trainer.net.module_.eval()(torch.from_numpy(X[36:]))[:, 0]
        assert judge(logits, torch.tensor(y[36:]).float()).item() == pytest.approx(loss, rel=1e-5)


def test_the_next_stage_starts_from_the_mean_of_the_last():
    stages = [
        TrainingStage("first", 2, 1e-2, averaging=0.8),
        TrainingStage("second", 1, 1e-30, weight_decay=0.0),
    ]
    trainer = make_trainer(stages)
    trainer.execute()
    alone = make_trainer(stages[:1])
    alone.execute()
    assert same(weights_of(trainer), weights_of(alone))


@pytest.mark.parametrize("valid", [False, True])
@pytest.mark.parametrize("killed_in", [1, 4])
def test_a_killed_fit_with_averaging_ends_as_an_unbroken_one(tmp_path, valid, killed_in):
    stages = [
        TrainingStage("first", 3, 1e-2, averaging=0.8),
        TrainingStage("second", 3, 1e-2, averaging=0.9),
    ]
    with seeded(7, "cpu"):
        unbroken = make_trainer(stages, valid=valid)
        expected = unbroken.execute()

    first = make_trainer(stages, valid=valid, checkpoint=Checkpoint(tmp_path, "x"))
    original, batches = first.before_batch, []

    def die():
        original()
        batches.append(1)
        if len(batches) == killed_in * first.n_batches + 2:
            raise MemoryError

    first.before_batch = die
    with pytest.raises(MemoryError), seeded(7, "cpu"):
        # make_trainer seeds as well: the unbroken trainer started from the same state.
        torch.manual_seed(0)
        first.net.initialize()
        first.execute()
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]

    resumed = make_trainer(stages, valid=valid, checkpoint=Checkpoint(tmp_path, "x"))
    torch.manual_seed(99)
    rows = resumed.execute()
    assert same(weights_of(resumed), weights_of(unbroken))
    assert [row["train_loss"] for row in rows] == [row["train_loss"] for row in expected]
    assert not list(tmp_path.iterdir())


def example(kind, n_records=6):
    generator = torch.Generator().manual_seed(0)
    n_outputs = {"binary": 1, "multiclass": 4, "multilabel": 4}[kind]
    own, teacher = 3 * torch.randn(2, n_records, n_outputs, generator=generator).double()
    return own.requires_grad_(), teacher[:, 0] if kind == "binary" else teacher


KINDS = pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])


@KINDS
def test_a_network_that_predicts_as_the_teacher_has_no_loss(kind):
    _, teacher = example(kind)
    own = teacher.reshape(len(teacher), -1).clone().requires_grad_()
    loss = DistillationLoss(kind)(own, teacher, torch.ones(6))
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-12)
    assert own.grad.abs().max() < 1e-12


@KINDS
@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_distillation_is_the_divergence_of_softened_predictions(kind, temperature):
    own, teacher = example(kind)
    loss = DistillationLoss(kind, temperature)(own, teacher, torch.ones(6))
    (gradient,) = torch.autograd.grad(loss, own)
    p, q = teacher.reshape(own.shape) / temperature, own / temperature
    if kind == "multiclass":
        p, q = p.softmax(dim=1), q.softmax(dim=1)
        each = (p * (p / q).log()).sum(dim=1)
        cross_entropy = -(p * q.log()).sum(dim=1).mean()
    else:
        p, q = p.sigmoid(), q.sigmoid()
        each = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
        cross_entropy = -(p * q.log() + (1 - p) * (1 - q).log()).mean()
    assert loss.item() == pytest.approx(temperature**2 * each.mean().item(), rel=1e-9)
    (plain,) = torch.autograd.grad(cross_entropy, own, retain_graph=True)
    torch.testing.assert_close(gradient, temperature**2 * plain)
    # The softened cross-entropy's gradient by what it is given, times the temperature.
    share = (q - p).detach() / (len(p) if kind == "multiclass" else p.numel())
    torch.testing.assert_close(gradient, temperature * share)


@KINDS
def test_saturated_predictions_stay_finite(kind):
    own, teacher = example(kind)
    own = (100 * own.detach().sign()).float().requires_grad_()
    teacher = (-100 * own.detach()).clamp(-100, 100).reshape(teacher.shape)
    for temperature in (1.0, 2.0):
        loss = DistillationLoss(kind, temperature)(own, teacher, torch.ones(6))
        (gradient,) = torch.autograd.grad(loss, own)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all()
        assert loss > 1


@KINDS
def test_weights_of_a_distillation_repeat_records(kind):
    own, teacher = example(kind)
    weights = torch.tensor([0.0, 1, 3, 2, 1, 0])
    repeats = weights.long()
    loss = DistillationLoss(kind)
    repeated = loss(
        own.repeat_interleave(repeats, 0),
        teacher.repeat_interleave(repeats, 0),
        torch.ones(int(weights.sum())),
    )
    assert loss(own, teacher, weights).item() == pytest.approx(repeated.item(), rel=1e-12)


def test_the_teacher_counts_by_its_weight_and_in_training_alone():
    own, teacher = example("multilabel")
    target, weights = (teacher > 1).float(), torch.arange(1.0, 7)
    distillation = DistillationLoss("multilabel", 3.0)
    net = ECGNet(
        MTECG,
        module__n_leads=2,
        module__n_samples=40,
        module__n_outputs=4,
        module__patch_size=10,
        module__width=8,
        module__depth=1,
        module__n_heads=1,
        criterion__kind="multilabel",
        distillation=distillation,
        distillation_weight=0.3,
    ).initialize()
    beside = (target, weights, teacher)
    hard, soft = net.criterion_(own, target, weights), distillation(own, teacher, weights)
    mixed = net.get_loss(own, beside, training=True)
    torch.testing.assert_close(mixed, 0.7 * hard + 0.3 * soft)
    torch.testing.assert_close(net.get_loss(own, beside, training=False), hard)
    # Records that are held out for early stopping bring no answers of the teacher.
    torch.testing.assert_close(net.get_loss(own, beside[:2], training=False), hard)


def test_augmentation_changes_batches_in_training_alone():
    net = make_trainer([TrainingStage("x", 1, 1e-3)]).net
    net.augmentation = lambda x: x * 0
    x = torch.from_numpy(recordings()[0][:4])
    net.module_.train()
    assert torch.equal(net.infer(x), net.infer(2 * x))
    net.module_.eval()
    assert torch.equal(net.infer(x), net.module_(x))
    assert not torch.equal(net.infer(x), net.infer(2 * x))
