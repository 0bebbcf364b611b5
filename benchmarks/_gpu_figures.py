"""How fast a device trains and predicts: the figures of gpu.py."""

import statistics
import time
from collections.abc import Iterator

import _by_hand
import numpy as np
import torch
from _gpu_machine import MB, Machine

from ecgsk import ECGFounderClassifier, MTECGClassifier, MTECGPretrainer

TASKS = {
    "pre-training, MTECG": MTECGPretrainer,
    "fine-tuning, MTECG": MTECGClassifier,
    "fine-tuning, Net1D": ECGFounderClassifier,
}
PRECISIONS = ("float32", "tf32", "bf16")
BATCH_SIZES = (32, 256, 1024)
# Compiling takes a minute for each network and size of batch.
COMPILED = (("bf16", 32), ("bf16", 256))
EPOCHS = 3


def training(machine: Machine) -> Iterator[dict]:
    """Yield rows of records per second that are trained on, by ecgsk and by hand."""
    for task, cls in TASKS.items():
        if machine.kind != "cpu":
            yield _row(machine, task, cls, "auto", 32, device="cpu")
        for precision in PRECISIONS:
            for batch_size in _batch_sizes(machine):
                yield _row(machine, task, cls, precision, batch_size)
        if not machine.quick:
            for precision, batch_size in COMPILED:
                yield _row(machine, task, cls, precision, batch_size, compile=True)


def _batch_sizes(machine: Machine) -> list[int]:
    return [size for size in BATCH_SIZES if size <= machine.records]


def _row(machine, task, cls, precision, batch_size, *, device=None, compile=False) -> dict:
    """Return the figures of a fit and, without ``compile``, of a plain loop."""
    device = device or machine.device
    on_cpu = device == "cpu"
    row = {"task": task, "device": device, "precision": precision, "batch_size": batch_size,
           "compile": compile}  # fmt: skip
    # The CPU takes long for records that a GPU computes at once.
    X, y = (part[: 64 if on_cpu else None] for part in (machine.recordings, machine.labels))
    model = machine.network(
        cls, device=device, precision=precision, batch_size=batch_size, max_epochs=EPOCHS
    )
    if compile:
        model.set_params(compile=True)
    target = None if cls is MTECGPretrainer else y
    machine.release()
    try:
        machine.forget_peak()
        model.fit(X, target)
        durations = [epoch["dur"] for epoch in model.history_[1:]]
        row["records_per_s"] = len(X) / statistics.median(durations)
        row["peak_MB"] = _in_mb(machine.peak())
        if compile:
            row["compiling_s"] = model.history_[0]["dur"] - statistics.median(durations)
        elif not on_cpu or machine.kind == "cpu":
            net = model.net_
            network = net.module(**net.get_params_for("module"))
            machine.release()
            machine.forget_peak()
            row["by_hand_records_per_s"] = len(X) / _by_hand.train(
                network, X, None if target is None else y[:, None], batch_size=batch_size,
                device=device, precision=precision, epochs=EPOCHS,
            )  # fmt: skip
            row["by_hand_peak_MB"] = _in_mb(machine.peak())
    except Exception as error:  # the figures of other rows do not depend on it
        out = isinstance(error, torch.OutOfMemoryError)
        row["error"] = "out of memory" if out else f"{type(error).__name__}: {error}"[:200]
    return row


def _in_mb(n_bytes: int | None) -> float | None:
    return None if n_bytes is None else round(n_bytes / MB)


def prediction(machine: Machine) -> Iterator[dict]:
    """Yield rows of records per second that are predicted, and of the time of a single one."""
    for name, cls in {"MTECG": MTECGClassifier, "Net1D": ECGFounderClassifier}.items():
        model = machine.network(cls, precision="float32")
        model.fit(machine.recordings[:32], machine.labels[:32])
        for device in dict.fromkeys(("cpu", machine.device)):
            for precision in ("float32", "bf16"):
                on_cpu = device == "cpu"
                for batch_size in (1, *_batch_sizes(machine))[: 2 if on_cpu else None]:
                    if on_cpu and precision == "bf16":
                        continue
                    n_records = 16 if batch_size == 1 else 64 if on_cpu else machine.records
                    model.set_params(device=device, precision=precision, batch_size=batch_size)
                    row = {"task": f"prediction, {name}", "device": device, "precision": precision,
                           "batch_size": batch_size}  # fmt: skip
                    try:
                        row |= _of_prediction(machine, model, machine.recordings[:n_records])
                    except torch.OutOfMemoryError:
                        row["error"] = "out of memory"
                    yield row


def _of_prediction(machine: Machine, model, X) -> dict:
    """Return the figures of one setting; a batch of one record is a call for each record."""
    size = model.batch_size
    calls = [X[i : i + 1] for i in range(len(X))] if size == 1 else [X]
    network, options = None, {"batch_size": size, "precision": model.precision}

    def ours(x):
        model.decision_function(x)

    def by_hand(x):
        _by_hand.predict(network, x, device=model.device_, **options)

    ours(calls[0])  # moves the network
    network = model.net_.module_
    machine.release()
    machine.forget_peak()
    found = {"records_per_s": len(X) / _seconds(ours, calls), "peak_MB": _in_mb(machine.peak())}
    return found | {"by_hand_records_per_s": len(X) / _seconds(by_hand, calls)}


def _seconds(function, calls) -> float:
    """Return the median seconds of all calls, after one turn to warm up."""
    times = []
    for _ in range(4):
        start = time.perf_counter()
        for x in calls:
            function(x)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def kernels(machine: Machine) -> Iterator[dict]:
    """Yield what torch's profiler counts on a GPU in steps of 32 records."""
    if machine.kind != "cuda":
        return
    kinds = torch.profiler.ProfilerActivity
    X, y = machine.recordings[:256], machine.labels[:256]
    n_steps = 2 * len(X) / 32
    for task, cls in TASKS.items():
        for precision in ("float32", "bf16"):
            model = machine.network(cls, precision=precision, max_epochs=2)
            with torch.profiler.profile(activities=[kinds.CPU, kinds.CUDA]) as profile:
                model.fit(X, None if cls is MTECGPretrainer else y)
            events = [
                event
                for event in profile.events()
                if event.device_type == torch.autograd.DeviceType.CUDA
                # The time of a whole optimizer step is an event as well.
                and not getattr(event, "is_user_annotation", False)
            ]
            busy = sum(event.time_range.elapsed_us() for event in events)
            attention = {event.name[:60] for event in events
                         if any(s in event.name.lower() for s in ("flash", "fmha"))}  # fmt: skip
            yield {
                "task": task,
                "precision": precision,
                "kernels_per_step": round(len(events) / n_steps),
                "busy_ms_per_step": round(busy / n_steps / 1000, 2),
                "attention": sorted(attention)[:4],
            }


def tables(results: dict) -> list[str]:
    """Return the results as lines of Markdown."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    card = [machine["card"], machine["device"]]
    card += [f"{name} {machine[name]}" for name in ("driver", "cuda", "cudnn", "capability")
             if name in machine]  # fmt: skip
    lines = [
        f"{', '.join(card)}; {machine['processor']}; Python {machine['python']}, {versions}; "
        f"seed {results['seed']}; {results['records']} records of 12 x {results['n_samples']}"
        f"{', the smallest networks: no figures, only a proof that it runs' * results['quick']}.",
        "",
        "| check | result | s | found |",
        "|---|---|---|---|",
    ]
    for name, found in results["checks"].items():
        text = str(found["found"]).replace("|", "/").replace("\n", " ")
        lines.append(f"| {name} | {found['result']} | {found['seconds']:.1f} | {text[:160]} |")
    for part, title in {"training": "trained", "prediction": "predicted"}.items():
        if results[part]:
            lines += [
                "",
                f"| records/s {title} | device | precision | batch | ecgsk | torch by hand | ratio "
                "| peak, MB |",
                "|---|---|---|---|---|---|---|---|",
                *map(_line, results[part]),
            ]
    if results["kernels"]:
        lines += ["", "| a step of 32 records | precision | kernels and copies | GPU busy, ms |",
                  "|---|---|---|---|"]  # fmt: skip
        for row in results["kernels"]:
            lines.append(
                f"| {row['task']} | {row['precision']} | {row['kernels_per_step']} "
                f"| {row['busy_ms_per_step']} |"
            )
    return lines


def _line(row: dict) -> str:
    ours, hand = row.get("records_per_s"), row.get("by_hand_records_per_s")
    cells = [
        row["task"],
        row["device"],
        row["precision"] + ", compiled" * row.get("compile", False),
        str(row["batch_size"]),
        row.get("error", "") if ours is None else f"{ours:,.0f}",
        "" if hand is None else f"{hand:,.0f}",
        f"{ours / hand:.2f}" if ours and hand else "",
        "" if row.get("peak_MB") is None else f"{row['peak_MB']:,}",
    ]
    return f"| {' | '.join(cells)} |"


def as_plain(value):
    """Return what JSON can hold of numbers, arrays and texts."""
    if isinstance(value, dict):
        return {str(key): as_plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [as_plain(part) for part in value]
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
