"""What a device and its processes have to bear: checks of gpu.py, as those in _gpu_answers.py."""

import multiprocessing
import os
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import joblib
import numpy as np
import torch
from _gpu_machine import ALIKE, LEARNED_ALIKE, MB, Machine, Skipped, check, difference
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

import ecgsk
from ecgsk import (
    ECGFounderClassifier,
    MTECGClassifier,
    MTECGPretrainer,
)


def memory(machine: Machine):
    """A fitted network has its weights on the device and nothing else; then not even those."""
    X, y = machine.recordings[:32], machine.labels[:32]
    # The first products of a process set workspaces aside, which stay.
    machine.network(MTECGClassifier).fit(X, y)
    before = machine.allocated()
    model = machine.network(MTECGClassifier).fit(X, y)
    parameters = list(model.net_.module_.parameters())
    check(all(p.grad is None for p in parameters), "gradients are left after the fit")
    weights = sum(p.nbytes for p in parameters)
    fitted = machine.allocated() - before
    model.predict_proba(X)
    predicted = machine.allocated() - before
    del model, parameters
    left = machine.allocated() - before
    found = {
        name: round(value / MB, 2)
        for name, value in {
            "weights, MB": weights,
            "after the fit": fitted,
            "after a prediction": predicted,
            "without the model": left,
        }.items()
    }
    check(max(fitted, predicted) <= 1.1 * weights + 2 * MB and left <= MB, found)
    return found


def other_machine(machine: Machine):
    """A file, a pickle and joblib's file predict alike on a machine without the device."""
    X = machine.X
    model = MTECGClassifier("nano", **machine.small | {"device": machine.device}).fit(X, machine.y)
    np.savez(machine.folder / "expected.npz", X=X, expected=model.decision_function(X))
    ecgsk.save(model, machine.folder / "model.ecgsk")
    joblib.dump(model, machine.folder / "model.joblib")
    (machine.folder / "model.pickle").write_bytes(pickle.dumps(model))
    printed = machine.python(
        "-c",
        "import json, pickle, joblib, numpy as np, ecgsk\n"
        "data = np.load('expected.npz')\n"
        "models = {'file': ecgsk.load('model.ecgsk'), 'joblib': joblib.load('model.joblib'),\n"
        "          'pickle': pickle.load(open('model.pickle', 'rb'))}\n"
        "for name, model in models.items():\n"
        "    logits = model.decision_function(data['X'])\n"
        "    print(name, model.device_, abs(logits - data['expected']).max())\n",
        CUDA_VISIBLE_DEVICES="",
        HIP_VISIBLE_DEVICES="-1",
        ONEAPI_DEVICE_SELECTOR="*:cpu",
    )
    found = {
        name: (device, float(far)) for name, device, far in map(str.split, printed.split("\n")[:-1])
    }
    scale = float(abs(model.decision_function(X)).max())
    check(len(found) == 3 and all(far < ALIKE * scale for _, far in found.values()), found)
    if machine.kind != "mps":  # which no variable hides
        check({device for device, _ in found.values()} == {"cpu"}, found)
    return found


def syncs(machine: Machine):
    """A step of training does not wait for the GPU; an epoch does so once."""
    X, y = machine.recordings[:256], machine.labels[:256]
    steps = -(-len(X) // 32)
    machine.network(MTECGClassifier).fit(X, y)
    found = {}
    for name, cls in {"MTECG": MTECGClassifier, "Net1D": ECGFounderClassifier,
                      "pre-training": MTECGPretrainer}.items():  # fmt: skip
        target = () if cls is MTECGPretrainer else (y,)
        counts = []
        for epochs in (1, 3):
            model = machine.network(cls, max_epochs=epochs)
            with _syncs(machine) as count:
                model.fit(X, *target)
            counts.append(len(count))
        found[name] = {"an epoch": (counts[1] - counts[0]) / 2, "around it": counts[0]}
    with _syncs(machine) as count:
        model.transform(X)
    found["prediction"] = {"all batches": len(count)}
    machine.needs("cuda")  # torch counts there alone
    check(all(part.get("an epoch", 0) < steps for part in found.values()), found)
    return found | {"steps in an epoch": steps}


@contextmanager
def _syncs(machine: Machine) -> Iterator[list]:
    """Collect torch's warnings of calls that wait for the GPU."""
    found: list = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if machine.kind == "cuda":
            torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            if machine.kind == "cuda":
                torch.cuda.set_sync_debug_mode("default")
            found += [one for one in caught if "synchronizing CUDA" in str(one.message)]


def out_of_memory(machine: Machine):
    """A fit names what did not fit and frees it; a prediction goes on with smaller batches."""
    machine.needs("cuda")
    X = ecgsk.make_ecg(512, sampling_rate=500, random_state=machine.seed)
    y = np.arange(len(X)) % 2
    params = machine.large | {"sampling_rate": 500, "precision": "float32"}
    model = MTECGClassifier("ti_12_25", **params).fit(X[:32], y[:32])
    expected = model.decision_function(X)
    before = machine.allocated()
    with machine.limited_memory(1024 * MB):
        try:
            MTECGClassifier("ti_12_25", **params | {"batch_size": 512}).fit(X, y)
        except torch.OutOfMemoryError as error:
            failure = error  # as a notebook keeps it
        else:
            raise AssertionError("the fit did not run out of memory")
        kept = (machine.allocated() - before) / MB
        check("batch_size=512" in str(failure) and machine.device in str(failure), failure)
        check(kept < 32, f"{kept:.0f} MB are kept with the error")
        MTECGClassifier("nano", **machine.small).fit(machine.X, machine.y)
    model.set_params(batch_size=512)
    texts, logits = [], []
    with machine.limited_memory(256 * MB):
        for _ in range(2):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                logits.append(model.decision_function(X))
            texts.append([str(one.message) for one in caught if "not suffice" in str(one.message)])
    found = {
        "error": str(failure)[:120],
        "kept with the error, MB": round(kept, 1),
        "warnings of the first and the second prediction": texts,
        "difference": max(difference(part, expected) for part in logits),
    }
    check(bool(texts[0]) and not texts[1] and found["difference"] < ALIKE, found)
    return found


def workers(machine: Machine):
    """Workers of joblib fit, also in turns; a forked process is refused, or uses the CPU."""
    X, y = machine.X, machine.y
    model = MTECGClassifier("nano", **machine.small | {"device": "auto"})
    scores = cross_val_score(model, X, y, cv=2, n_jobs=2, error_score="raise")
    with mock.patch.dict(os.environ, ECGSK_JOBS_PER_DEVICE="1"):
        clone(model).fit(X, y)
    found = {"scores of workers": scores.tolist()}
    if "fork" not in multiprocessing.get_all_start_methods() or machine.kind == "mps":
        return found
    model = MTECGClassifier("nano", **machine.small).fit(X, y)
    path = machine.folder / "workers.ecgsk"
    ecgsk.save(model, path)
    expected = model.decision_function(X)
    found["a fit in a fork"] = _in_fork(lambda: clone(model).fit(X, y).device_)
    loaded = _in_fork(lambda: difference(ecgsk.load(path).decision_function(X), expected))
    found["a file in a fork"] = loaded
    check(isinstance(loaded, float) and loaded < ALIKE, found)
    if machine.kind == "cuda":
        check("forked" in str(found["a fit in a fork"]), found)
    return found


def _in_fork(function):
    """Return what a function returns in a forked process, or the text of its error."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def child():
        torch.set_num_threads(1)  # the parent's other threads are not in the fork
        try:
            send.send(function())
        except Exception as error:
            send.send(f"{type(error).__name__}: {error}"[:200])

    process = context.Process(target=child)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of forks with threads
        process.start()
    try:
        return receive.recv() if receive.poll(120) else "no answer"
    finally:
        process.kill()
        process.join()


_TORCHRUN = """
import json, os, sys, ecgsk
settings = json.loads(sys.argv[1])
X = ecgsk.make_ecg(48, sampling_rate=100, random_state=settings["seed"])
model = ecgsk.MTECGPretrainer("nano", sampling_rate=100, max_epochs=2, batch_size=16,
    random_state=settings["seed"], precision="float32", distributed=True, device=settings["device"])
model.fit(X)
if os.environ["RANK"] == "0":
    print("SCORE", model.set_params(device="cpu").score(X))
"""


def torchrun(machine: Machine):
    """torchrun (nccl on cuda, gloo on the CPU) learns what one process learns."""
    if machine.kind not in ("cuda", "cpu"):
        raise Skipped(f"distributed=True does not take {machine.kind}")
    (machine.folder / "torchrun.py").write_text(_TORCHRUN)
    one = MTECGPretrainer("nano", **machine.small, precision="float32").fit(machine.X)
    expected = one.set_params(device="cpu").score(machine.X)
    found = {"one process, without torchrun": expected}
    for n_processes in sorted({1, min(len(machine.all_of_its_kind()), 4)}):
        options = f'{{"seed": {machine.seed}, "device": "{machine.kind}"}}'
        printed = machine.python(
            *("-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", str(n_processes), "torchrun.py", options),
        )
        score = float(printed.partition("SCORE ")[2].split()[0])
        found[f"{n_processes} process(es)"] = score
        check(difference(score, expected) < LEARNED_ALIKE, found)
    return found


_ON_THE_CPU = """
import pickle, ecgsk, torch
X = ecgsk.make_ecg(8, sampling_rate=100, random_state=0)
params = dict(sampling_rate=100, max_epochs=1, random_state=0)
model = ecgsk.MTECGClassifier("nano", device="cpu", **params).fit(X, [0, 1] * 4)
model.predict(X)
ecgsk.save(model.set_params(device="auto"), "model-of-the-cpu.ecgsk")
ecgsk.load("model-of-the-cpu.ecgsk")
pickle.loads(pickle.dumps(model))
ecgsk.MTECGClassifier.from_pretrained()
print(torch.cuda.is_initialized())
"""


def untouched(machine: Machine):
    """A fit on the CPU and the loading of models do not start CUDA."""
    printed = machine.python("-c", _ON_THE_CPU).strip()
    check(printed == "False", f"torch.cuda.is_initialized() is {printed}")
    return "CUDA was not started"


def several(machine: Machine):
    """Of several GPUs each worker takes one, and has no memory on the others."""
    devices = machine.all_of_its_kind()
    if machine.kind != "cuda" or len(devices) < 2:
        raise Skipped("needs two GPUs")
    X, y = machine.X, machine.y
    logits, models = [], []
    for device in devices[:2]:
        models.append(MTECGClassifier("nano", **machine.small | {"device": device}).fit(X, y))
        check(models[-1].device_ == device, models[-1].device_)
        logits.append(models[-1].decision_function(X))
    found = {"two GPUs": difference(*logits)}
    check(found["two GPUs"] < LEARNED_ALIKE, found)
    moved = models[0].set_params(device=devices[1]).decision_function(X)
    found["moved"] = difference(moved, logits[0])
    check(found["moved"] < ALIKE, found)
    found["workers"] = _two_workers(machine)
    for number, (device, contexts) in enumerate(found["workers"]):
        check(device == devices[number], found)
        check(contexts == [place == device for place in devices], found)
    return found


def _two_workers(machine: Machine) -> list:
    context = multiprocessing.get_context("spawn")
    queues = [context.SimpleQueue() for _ in range(2)]
    processes = [
        context.Process(target=fit_in_worker, args=(queue, machine.seed), name=f"Worker-{number}")
        for number, queue in enumerate(queues, start=1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        process.kill()
    return [None if queue.empty() else queue.get() for queue in queues]


def fit_in_worker(queue, seed: int) -> None:
    """Send the device that a worker took, and on which GPUs it has memory."""
    X = ecgsk.make_ecg(16, sampling_rate=100, random_state=seed)
    model = MTECGClassifier("nano", sampling_rate=100, max_epochs=1, random_state=seed)
    model.fit(X, np.arange(16) % 2).predict(X)
    # What has a public name would start CUDA there.
    contexts = [
        torch._C._cuda_hasPrimaryContext(number) for number in range(torch.cuda.device_count())
    ]
    queue.put((model.device_, contexts))


CHECKS = (memory, out_of_memory, syncs, other_machine, workers, torchrun, untouched, several)
