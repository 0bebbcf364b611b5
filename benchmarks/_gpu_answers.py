"""What ecgsk computes on a device: checks of gpu.py, each in a function of its own.

A check gets a `Machine` and returns its numbers. It fails by raising, most often AssertionError.
"""

import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
from _gpu_machine import ALIKE, LEARNED_ALIKE, Machine, check, difference
from sklearn.base import clone
from torch import nn

import ecgsk
from ecgsk import (
    ECGAugmentation,
    ECGFounderClassifier,
    MTECGClassifier,
    MTECGPretrainer,
    NetworkClassifier,
    RecordArray,
)
from ecgsk._training import Checkpoint
from ecgsk._training.random_state import generator_states
from ecgsk.estimators import Distillation


class SmallCNN(nn.Module):
    """A network of a user's."""

    def __init__(self, n_leads: int, n_samples: int, n_outputs: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(n_leads, 16, 16, stride=4),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(16, n_outputs)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


def paths(machine: Machine):
    """Every estimator, target, strategy and precision fits and predicts."""
    X, y = machine.X, machine.y
    targets = {"binary": y, "multiclass": np.arange(len(y)) % 3, "multilabel": np.c_[y, 1 - y]}
    options = {
        "class_weight": "balanced",
        "augmentation": ECGAugmentation(),
        "early_stopping": True,
        "weight_averaging": 0.9,
        "head_init": "prior",
        "strategy": "post_training",
    }
    models = {
        "MTECG": MTECGClassifier("nano", **machine.small),
        "Net1D": ECGFounderClassifier("nano", preprocessing="none", **machine.small),
        "own": NetworkClassifier(SmallCNN, **machine.small),
    }
    n_fits = 0
    for kind, target in targets.items():
        for name, model in models.items():
            teacher = clone(model).fit(X, target)
            numbers = options | {"distillation": Distillation(teacher)}
            if name == "own":
                numbers |= {"strategy": "full"}  # it has no stochastic depth
            model = clone(model).set_params(**numbers)
            fitted = model.fit(X, target, sample_weight=np.linspace(0, 1, len(X)))
            check(np.isfinite(fitted.predict_proba(X)).all(), (kind, name))
            check(len(fitted.transform(X)) == len(X), (kind, name))
            check(fitted.device_ == machine.device, fitted.device_)
            n_fits += 2
    precisions = ["auto", "float32", "tf32", "bf16", "float64"]
    for precision in precisions[: 4 if machine.kind == "mps" else 5]:
        for name, model in models.items():
            fitted = clone(model).set_params(precision=precision).fit(X, y)
            check(np.isfinite(fitted.decision_function(X)).all(), (precision, name))
            n_fits += 1
    pretrainer = MTECGPretrainer("nano", augmentation=ECGAugmentation(), **machine.small).fit(X)
    check(np.isfinite(pretrainer.reconstruct(X)).all() and pretrainer.score(X) < 0, "pre-trainer")
    for strategy in ("full", "linear_probe"):
        tuned = MTECGClassifier(pretrained=pretrainer, strategy=strategy, **machine.small).fit(X, y)
        check(np.isfinite(tuned.predict_proba(X)).all(), strategy)
    shipped = MTECGClassifier(weights="ptbxl", sampling_rate=100, device=machine.device)
    check(shipped.predict_proba(X).shape == (len(X), 71), "shipped weights")
    return f"{n_fits + 3} fits"


def agreement(machine: Machine):
    """A GPU predicts as the CPU does in float32, also where the user has allowed TF32."""
    found = {}
    X = machine.recordings[:32]
    for name, cls in {"MTECG": MTECGClassifier, "Net1D": ECGFounderClassifier}.items():
        model = machine.network(cls, precision="float32").fit(X, machine.labels[:32])
        for allowed in (False, True):
            with _user_allows_tf32(allowed):
                own = {"logits": model.decision_function(X), "embeddings": model.transform(X)}
                with torch.inference_mode():
                    plain = model.net_.module_(torch.from_numpy(X).to(machine.device))
                    plain = plain.cpu().numpy()[:, 0]
            model.set_params(device="cpu")
            expected = {"logits": model.decision_function(X), "embeddings": model.transform(X)}
            model.set_params(device=machine.device)
            case = f"{name}, TF32 {'allowed' if allowed else 'not allowed'}"
            found[case] = {part: difference(own[part], expected[part]) for part in own}
            # What the same network does without ecgsk, to see whether the check can fail here.
            found[case]["torch alone"] = difference(plain, expected["logits"])
    worst = max(max(case["logits"], case["embeddings"]) for case in found.values())
    check(worst < ALIKE, found)
    return found


@contextmanager
def _user_allows_tf32(allowed: bool) -> Iterator[None]:
    backends = torch.backends
    before = backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32
    backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = allowed
    try:
        yield
        after = backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32
        check(after == (allowed, allowed), f"the user's switches became {after}")
    finally:
        backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32 = before


def batches(machine: Machine):
    """A record has the same answer in every batch, and from an array that is read in parts."""
    X = machine.X
    model = MTECGClassifier("nano", **machine.small, precision="float32").fit(X, machine.y)
    expected = model.decision_function(X)
    found = {}
    for size in (1, 7, len(X)):
        found[f"batches of {size}"] = difference(
            np.concatenate(
                [model.decision_function(X[i : i + size]) for i in range(0, len(X), size)]
            ),
            expected,
        )
    found["RecordArray"] = difference(model.decision_function(RecordArray.wrap(X)), expected)
    check(max(found.values()) < ALIKE, found)
    streamed = clone(model).fit(RecordArray.wrap(X), machine.y)
    found["fit of a RecordArray"] = difference(streamed.decision_function(X), expected)
    check(found["fit of a RecordArray"] < LEARNED_ALIKE, found)
    tensor = torch.from_numpy(X).to(machine.device)
    found["a tensor on the device"] = difference(model.decision_function(tensor), expected)
    check(found["a tensor on the device"] < ALIKE, found)
    return found


def resume(machine: Machine):
    """A killed fit goes on, with averaged weights, on the same device and on another."""
    found = {}
    routes = {"the same device": (machine.device, machine.device)}
    if machine.kind != "cpu":
        routes |= {"to the CPU": (machine.device, "cpu"), "from the CPU": ("cpu", machine.device)}
    for averaging in (0.0, 0.9):
        model = MTECGClassifier(
            "nano",
            **machine.small | {"max_epochs": 4},
            precision="float32",
            weight_averaging=averaging,
        )
        expected = clone(model).fit(machine.X, machine.y).decision_function(machine.X)
        for name, (first, second) in routes.items():
            model.set_params(checkpoint_dir=machine.folder / f"resume {averaging} {name}")
            rows = _killed(clone(model).set_params(device=first), machine)
            again = clone(model).set_params(device=second).fit(machine.X, machine.y)
            check(again.history_[:2] == rows, f"{name}: the fit started from the beginning")
            logits = again.set_params(device=machine.device).decision_function(machine.X)
            found[f"averaging {averaging}, {name}"] = difference(logits, expected)
    check(max(found.values()) <= (0 if machine.kind == "cpu" else LEARNED_ALIKE), found)
    return found


def _killed(model, machine: Machine) -> list[dict]:
    """Stop a fit after its second epoch; return the history that it had written."""
    save, histories = Checkpoint.save, []

    def save_and_stop(self, state, history):
        save(self, state, history)
        histories.append(history)
        if len(histories) == 2:
            raise KeyboardInterrupt

    with mock.patch.object(Checkpoint, "save", save_and_stop):
        try:
            model.fit(machine.X, machine.y)
        except KeyboardInterrupt:
            return histories[-1]
    raise AssertionError("the fit was not stopped")


def generators(machine: Machine):
    """Fits, predictions and files leave torch's generators as they are, those of all devices."""
    devices = sorted({"cpu", machine.device, *machine.all_of_its_kind()})
    for device in devices:
        if device != "cpu":
            torch.rand(1, device=device)  # a generator has a state once it is in use
    path = machine.folder / "generators.ecgsk"

    def states():
        return [state for device in devices for state in generator_states(device).values()]

    for device in dict.fromkeys((machine.device, "cpu")):
        before = states()
        model = MTECGClassifier(
            "nano", augmentation=ECGAugmentation(), **machine.small | {"device": device}
        ).fit(machine.X, machine.y)
        model.predict(machine.X)
        ecgsk.save(model, path)
        ecgsk.load(path).predict(machine.X)
        pickle.loads(pickle.dumps(model)).predict(machine.X)
        MTECGClassifier.from_pretrained(device=device).predict(machine.X)
        same = [torch.equal(*pair) for pair in zip(before, states(), strict=True)]
        check(all(same), f"device={device!r} changed a generator of {devices}: {same}")
    return f"of {', '.join(devices)}"


def repeats(machine: Machine):
    """Two fits with one seed learn the same: on the CPU bit for bit, on a GPU nearly."""
    found = {}
    for name, model in {
        "MTECG": MTECGClassifier("nano", augmentation=ECGAugmentation(), **machine.small),
        "Net1D": ECGFounderClassifier("nano", preprocessing="none", **machine.small),
    }.items():
        model.set_params(precision="float32")
        logits = [
            clone(model).fit(machine.X, machine.y).decision_function(machine.X) for _ in range(2)
        ]
        found[name] = difference(*logits)
    check(max(found.values()) <= (0 if machine.kind == "cpu" else LEARNED_ALIKE), found)
    return found


def moves(machine: Machine):
    """``set_params(device=...)``, ``set_device`` and ``load(device=...)`` move a fitted network."""
    X, path = machine.X, machine.folder / "moves.ecgsk"
    model = MTECGClassifier("nano", **machine.small | {"device": "cpu"}).fit(X, machine.y)
    expected = model.decision_function(X)
    ecgsk.save(model, path)
    on_device = {
        "set_params": clone(model).fit(X, machine.y).set_params(device=machine.device),
        "set_device": ecgsk.set_device(ecgsk.load(path), machine.device),
        "load": ecgsk.load(path, device=machine.device),
    }
    found = {}
    for name, moved in on_device.items():
        found[name] = difference(moved.decision_function(X), expected)
        places = {str(p.device) for p in moved.net_.module_.parameters()}
        check({place.removesuffix(":0") for place in places} ==
              {machine.device.removesuffix(":0")}, (name, places))  # fmt: skip
        check(moved.device_ == machine.device, (name, moved.device_))
        moved.set_params(device="cpu")
        back = moved.decision_function(X)
        check(np.array_equal(back, expected) and moved.device_ == "cpu", (name, "back to the CPU"))
    check(max(found.values()) < ALIKE, found)
    try:
        model.set_params(device="cuda:99").predict(X)
    except ValueError as error:
        check("cuda:99" in str(error) and "cpu" in str(error), error)
    else:
        raise AssertionError("device='cuda:99' was no error")
    return found


def default_device(machine: Machine):
    """``torch.set_default_device`` of the user changes nothing."""
    model = MTECGClassifier("nano", augmentation=ECGAugmentation(), **machine.small)
    model.set_params(precision="float32", head_init="prior", weight_averaging=0.9)
    path = machine.folder / "default.ecgsk"

    def run():
        fitted = clone(model).fit(machine.X, machine.y)
        ecgsk.save(fitted, path)
        pretrained = MTECGPretrainer("nano", **machine.small, precision="float32").fit(machine.X)
        return (
            fitted.decision_function(machine.X),
            ecgsk.load(path).decision_function(machine.X),
            pretrained.reconstruct(machine.X),
        )

    expected = run()
    torch.set_default_device(machine.device)
    try:
        found = [difference(*pair) for pair in zip(run(), expected, strict=True)]
    finally:
        torch.set_default_device(None)
    check(max(found) < LEARNED_ALIKE, found)
    return found


def compiled(machine: Machine):
    """``compile=True`` learns what a fit without it learns."""
    found = {}
    for name, model in {
        "MTECG": MTECGClassifier("nano", **machine.small),
        "Net1D": ECGFounderClassifier("nano", preprocessing="none", **machine.small),
        "pre-training": MTECGPretrainer("nano", **machine.small),
    }.items():
        model.set_params(precision="float32")
        expected = clone(model).fit(machine.X, machine.y).transform(machine.X)
        start = time.perf_counter()
        fitted = clone(model).set_params(compile=True).fit(machine.X, machine.y)
        found[name] = {
            "difference": difference(fitted.transform(machine.X), expected),
            "seconds": round(time.perf_counter() - start, 1),
        }
    check(all(part["difference"] < LEARNED_ALIKE for part in found.values()), found)
    return found


CHECKS = (paths, agreement, batches, resume, generators, repeats, moves, default_device, compiled)
