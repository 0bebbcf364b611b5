"""What a change to the training and prediction code does to their speed on the CPU.

    git worktree add --detach ../before f5cc521
    python benchmarks/devices_on_cpu.py --before ../before --out devices_on_cpu.json
    python benchmarks/devices_on_cpu.py --out devices_on_cpu.json --docs docs   # what is there

Two processes, one for each checkout, wait for work and get it in turns, so that a machine that
slows down slows both. Ratios are the present speed over that of before, the median and the range of
turns: above 1 is faster now. Each process has one thread (--threads). Then time is that of the
processor, which other work on the machine moves less. Recordings are synthetic, of 10 s at 100 Hz.
What is counted are operations that torch dispatches in a step of training, parameter groups, and
the memory of tensors that a fitted estimator holds.

Two choices of the present code are compared with their alternatives: AdamW's fused kernel, and
reading the next batch only when the last one is computed.
"""

import argparse
import gc
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils._python_dispatch import TorchDispatchMode

RATE = 100
# Network: records of an epoch and of a step.
NETWORKS = {
    "MTECG ti_12_25": (8, 4),
    "MTECG small": (256, 32),
    "MTECG nano": (256, 32),
    "Net1D small": (64, 32),
}
PREDICTIONS = {
    "MTECG ti_12_25": (1, 32),
    "MTECG small": (1, 32, 1000),
    "MTECG nano": (1, 32, 1000),
    "Net1D small": (1, 32, 1000),
}
# Ways to compute, all with the present code.
CHOICES = {
    "AdamW": ("fused", "foreach", "one by one"),
    "reading": ("in turn", "ahead in a thread"),
}
SECONDS = 0.5


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="a checkout to compare with")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="measure what has this in its name")
    parser.add_argument("--quick", action="store_true", help="prove that it runs; no figures")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--docs", metavar="DIR", type=Path, help="write --out into results.md")
    options = parser.parse_args()
    if options.docs:
        write_documents(json.loads(options.out.read_text()), options.docs)
        return
    present = Path(__file__).resolve().parents[1]
    before = (options.before or present).resolve()
    with ExitStack() as stack:
        checkouts = {
            name: stack.enter_context(Worker(path, options))
            for name, path in {"before": before, "now": present}.items()
        }
        results = {
            "commits": {name: commit(path) for name, path in
                        {"before": before, "now": present}.items()},
            "processor": processor(),
            "threads": options.threads,
            "turns": options.turns,
            "seed": options.seed,
            "versions": {name: version(name) for name in ("torch", "skorch", "numpy")},
            "speed": compare(checkouts, speeds(options), options.turns),
            "counted": counted(checkouts, options),
            "choices": choices(checkouts["now"], options),
        }  # fmt: skip
    print("\n".join(table(results)))
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


class Worker:
    """A process that measures one checkout."""

    def __init__(self, path: Path, options):
        self.path = path
        self.settings = {"seed": options.seed, "quick": options.quick, "path": str(path)}
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(path),
            "OMP_NUM_THREADS": str(options.threads),
            "MKL_NUM_THREADS": str(options.threads),
            "DEVICES_ON_CPU": json.dumps(self.settings),
        }

    def __enter__(self) -> "Worker":
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *exception) -> None:
        self.process.stdin.close()
        self.process.wait()

    def measure(self, task: str, *arguments):
        """Return what a function of `TASKS` returns there."""
        self.process.stdin.write(json.dumps([task, *arguments]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{task}{arguments} ended the process of {self.path}")
        return json.loads(answer)


def commit(path: Path) -> str:
    command = ["git", "-C", str(path), "describe", "--always", "--dirty", "--abbrev=7"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "?"


def processor() -> str:
    from scaling import cpu_name  # the processes that measure do not need what it imports

    return f"{cpu_name()}, {os.cpu_count()} cores"


def speeds(options) -> dict[str, tuple]:
    """Return what is measured in both checkouts, all in units per second."""
    tasks: dict[str, tuple] = {}
    for network, sizes in PREDICTIONS.items():
        tasks[f"training, {network}: steps/s"] = ("training", network)
        for n_records in sizes:
            tasks[f"prediction, {network}, {n_records} at once: records/s"] = (
                "prediction", network, n_records
            )  # fmt: skip
    tasks["a short fit, MTECG nano: fits/s"] = ("short_fit",)
    for network in ("MTECG ti_12_25", "MTECG nano"):
        tasks[f"ecgsk.load, {network}: files/s"] = ("loading", network)
        tasks[f"pickle.loads, {network}: pickles/s"] = ("unpickling", network)
    return {name: task for name, task in tasks.items() if options.only in name}


def compare(checkouts: dict[str, Worker], tasks: dict[str, tuple], turns: int) -> dict:
    """Return medians of both checkouts and ratios of turns."""
    found = {}
    for name, task in tasks.items():
        rates: dict[str, list] = {checkout: [] for checkout in checkouts}
        for turn in range(turns + 1):
            # Who is first changes from turn to turn; the first turn warms up.
            order = list(checkouts)[:: 1 if turn % 2 else -1]
            for checkout in order:
                rate = checkouts[checkout].measure(*task)
                if turn:
                    rates[checkout].append(rate)
        found[name] = with_ratios(rates["before"], rates["now"])
        print(f"{name}: {found[name]}", file=sys.stderr, flush=True)
    return found


def with_ratios(before: list[float], now: list[float]) -> dict:
    ratios = [b / a for a, b in zip(before, now, strict=True)]
    return {
        "before": statistics.median(before),
        "now": statistics.median(now),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }


def counted(checkouts: dict[str, Worker], options) -> dict:
    return {
        network: {name: worker.measure("count", network) for name, worker in checkouts.items()}
        for network in NETWORKS
        if options.only in f"counted, {network}"
    }


def choices(worker: Worker, options) -> dict:
    """Return speeds of the present code with each way to compute, relative to the first one."""
    found: dict[str, dict] = {}
    for choice, ways in CHOICES.items():
        names = {
            "AdamW": [("training", network) for network in NETWORKS],
            "reading": [("training_from_disk",), ("filtering",)],
        }[choice]
        for task in names:
            name = f"{choice}, {', '.join(task).replace('_', ' ')}"
            if options.only not in name:
                continue
            rates: dict[str, list] = {way: [] for way in ways}
            for turn in range(options.turns + 1):
                for way in ways:
                    rate = worker.measure(*task, way)
                    if turn:
                        rates[way].append(rate)
            found[name] = {way: with_ratios(rates[ways[0]], rates[way]) for way in ways}
            print(f"{name}: {found[name]}", file=sys.stderr, flush=True)
    return found


# In the process of one checkout


class Bench:
    """Models and recordings of one checkout."""

    def __init__(self, seed: int, quick: bool, path: str):
        import ecgsk

        assert Path(ecgsk.__file__).is_relative_to(path), f"{ecgsk.__file__} is not in {path}"
        self.ecgsk = ecgsk
        self.seed = seed
        self.quick = quick
        self.seconds = 0.1 if quick else SECONDS
        self.clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
        self.fitted: dict[str, Any] = {}
        self.made: dict[tuple, np.ndarray] = {}
        self.folder = Path(tempfile.mkdtemp())

    def records(self, n: int, rate: int = RATE):
        if (n, rate) not in self.made:
            self.made[n, rate] = self.ecgsk.make_ecg(n, sampling_rate=rate, random_state=self.seed)
        return self.made[n, rate], np.arange(n) % 2

    def model(self, network: str, **params):
        kind, _, preset = network.partition(" ")
        common = {"random_state": self.seed, "device": "cpu", "precision": "float32",
                  "sampling_rate": RATE, **params}  # fmt: skip
        if kind == "MTECG":
            return self.ecgsk.MTECGClassifier(preset, **common)
        return self.ecgsk.ECGFounderClassifier(preset, **{"preprocessing": "none", **common})

    def fastest(self, function: Callable, clock: Callable | None = None) -> float:
        """Return the seconds of the fastest call within a time, of two calls at least."""
        times: list[float] = []
        clock = clock or self.clock
        while sum(times) < self.seconds or len(times) < 2:
            start = clock()
            function()
            times.append(clock() - start)
        return min(times)

    def sizes(self, network: str) -> tuple[int, int]:
        return (8, 4) if self.quick else NETWORKS[network]

    def after_a_fit(self, network: str):
        if network not in self.fitted:
            X, y = self.records(8)
            self.fitted[network] = self.model(network, max_epochs=1, batch_size=8).fit(X, y)
        return self.fitted[network].set_params(batch_size=32)

    def training(self, network: str, way: str = "") -> float:
        """Return steps a second."""
        n_records, batch_size = self.sizes(network)
        X, y = self.records(n_records)
        model = self.model(network, max_epochs=4, batch_size=batch_size)
        # skorch measures each epoch by this clock.
        with computed(way), mock.patch("skorch.callbacks.logging.time", time=self.clock):
            model.fit(X, y)
        return n_records / batch_size / min(row["dur"] for row in model.history_[1:])

    def training_from_disk(self, way: str = "") -> float:
        """Return steps a second of a network that reads a memory map, by the clock on the wall."""
        n_records, batch_size = self.sizes("MTECG small")
        X, y = self.records(n_records)
        np.save(self.folder / "X.npy", X)
        X = self.ecgsk.RecordArray.wrap(np.load(self.folder / "X.npy", mmap_mode="r"))
        model = self.model("MTECG small", max_epochs=4, batch_size=batch_size)
        with computed(way):
            model.fit(X, y)
        return n_records / batch_size / min(row["dur"] for row in model.history_[1:])

    def filtering(self, way: str = "") -> float:
        """Return records a second that a network predicts, filtered as they are read."""
        n_records = 16 if self.quick else 128
        X, y = self.records(n_records, 500)
        X = self.ecgsk.RecordArray.wrap(X)
        if "filtering" not in self.fitted:
            model = self.model(
                "Net1D small", max_epochs=1, preprocessing="filtered", sampling_rate=500
            )
            self.fitted["filtering"] = model.fit(X[:16], y[:16])
        with computed(way):
            return n_records / self.fastest(
                lambda: self.fitted["filtering"].predict_proba(X), time.perf_counter
            )

    def prediction(self, network: str, n_records: int) -> float:
        model = self.after_a_fit(network)
        X, _ = self.records(n_records)
        return n_records / self.fastest(lambda: model.predict_proba(X))

    def short_fit(self) -> float:
        X, y = self.records(32)
        model = self.model("MTECG nano", max_epochs=1)
        return 1 / self.fastest(lambda: model.fit(X, y))

    def loading(self, network: str) -> float:
        path = self.folder / f"{network}.ecgsk"
        if not path.exists():
            self.ecgsk.save(self.after_a_fit(network), path)
        return 1 / self.fastest(lambda: self.ecgsk.load(path))

    def unpickling(self, network: str) -> float:
        content = pickle.dumps(self.after_a_fit(network))
        return 1 / self.fastest(lambda: pickle.loads(content))

    def count(self, network: str) -> dict:
        """Return operations of a step, parameter groups, and memory of tensors after a fit."""
        n_records, batch_size = self.sizes(network)
        X, y = self.records(2 * batch_size)
        self.model(network, max_epochs=1, batch_size=batch_size).fit(X, y)
        totals = []
        for epochs in (1, 3):
            with Operations() as operations:
                model = self.model(network, max_epochs=epochs, batch_size=batch_size).fit(X, y)
            totals.append(operations)
        n_steps = totals[1].n_steps - totals[0].n_steps
        del model
        before = tensor_bytes()
        model = self.model(network, max_epochs=1, batch_size=batch_size).fit(X, y)
        parameters = list(model.net_.module_.parameters())
        gradients = sum(p.grad.nbytes for p in parameters if p.grad is not None)
        return {
            "operations of a step": (totals[1].n - totals[0].n) / n_steps,
            "operations of AdamW": totals[1].n_of_optimizer / totals[1].n_steps,
            "parameter groups": totals[1].n_groups,
            "weights, kB": sum(p.nbytes for p in parameters) // 1024,
            "held after a fit, kB": (tensor_bytes() - before + gradients) // 1024,
        }


def tensor_bytes() -> int:
    """Return the bytes of tensors that Python sees."""
    gc.collect()
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in gc.get_objects()
        if type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.layout is torch.strided
    }
    return sum(storages.values())


class Operations(TorchDispatchMode):
    """Count what torch dispatches, and how much of it is of the optimizer."""

    def __init__(self):
        super().__init__()
        self.n = self.n_of_optimizer = self.n_steps = self.n_groups = self._after_backward = 0

    def __enter__(self):
        backward = torch.Tensor.backward

        def counted_backward(tensor, *arguments, **options):
            backward(tensor, *arguments, **options)
            self._after_backward = self.n

        with ExitStack() as stack:
            # The step of an optimizer computes loss and gradients first.
            stack.enter_context(mock.patch.object(torch.Tensor, "backward", counted_backward))
            stack.callback(register_optimizer_step_post_hook(self._count_step).remove)
            self._exit = stack.pop_all()
        return super().__enter__()

    def __exit__(self, *exception):
        self._exit.close()
        return super().__exit__(*exception)

    def _count_step(self, optimizer, *arguments) -> None:
        self.n_steps += 1
        self.n_groups = len(optimizer.param_groups)
        self.n_of_optimizer += self.n - self._after_backward

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.n += 1
        return function(*args, **(kwargs or {}))


@contextmanager
def computed(way: str) -> Iterator[None]:
    """Compute in one of the `CHOICES`."""
    adam = torch.optim.AdamW

    def with_kernel(**kernel):
        return lambda *args, **kwargs: adam(*args, **{**kwargs, "fused": None, **kernel})

    with ExitStack() as stack:
        if way in CHOICES["AdamW"]:
            kernel = {
                "fused": {"fused": True},
                "foreach": {"foreach": True},
                "one by one": {"foreach": False},
            }[way]
            stack.enter_context(mock.patch.object(torch.optim, "AdamW", with_kernel(**kernel)))
        elif way == "ahead in a thread":
            from ecgsk._training import prediction, read_ahead, skorch_net

            # For a device that computes by itself and needs no page-locked memory.
            ahead = read_ahead.read_ahead
            for module in (prediction, skorch_net):
                stack.enter_context(
                    mock.patch.object(
                        module, "read_ahead", lambda batches, device: ahead(batches, "mps")
                    )
                )
        yield


def work(settings: dict) -> None:
    """Measure what the lines on standard input name."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    bench = Bench(**settings)
    for line in sys.stdin:
        task, *arguments = json.loads(line)
        print(json.dumps(getattr(bench, task)(*arguments)), flush=True)


def table(results: dict) -> list[str]:
    """Return the results as lines of Markdown."""
    lines = [
        f"{results['commits']['now']} against {results['commits']['before']}; "
        f"{results['processor']}, {results['threads']} thread(s); medians of {results['turns']} "
        f"turns; seed {results['seed']}; "
        + ", ".join(f"{name} {number}" for name, number in results["versions"].items())
        + ".",
        "",
        "| | before | now | ratio | of turns |",
        "|---|---|---|---|---|",
    ]
    for name, row in results["speed"].items():
        lines.append(
            f"| {name} | {row['before']:.4g} | {row['now']:.4g} | {row['ratio']:.3f} | "
            f"{min(row['ratios']):.2f} to {max(row['ratios']):.2f} |"
        )
    lines += ["", "| counted | before | now |", "|---|---|---|"]
    for network, row in results["counted"].items():
        for name, number in row["before"].items():
            lines.append(f"| {network}: {name} | {number:,.0f} | {row['now'][name]:,.0f} |")
    lines += ["", "| choice | way | ratio to the first | of turns |", "|---|---|---|---|"]
    for name, ways in results["choices"].items():
        for way, row in ways.items():
            lines.append(
                f"| {name} | {way} | {row['ratio']:.3f} | {min(row['ratios']):.2f} to "
                f"{max(row['ratios']):.2f} |"
            )
    return lines


def write_documents(results: dict, docs: Path) -> None:
    """Write the results next to the documents, and the table into results.md."""
    from scaling import fill_in

    (docs / "devices_on_cpu.json").write_text(json.dumps(results, indent=1) + "\n")
    fill_in(docs / "results.md", {"devices_on_cpu": table(results)})


if __name__ == "__main__":
    if "DEVICES_ON_CPU" in os.environ:
        work(json.loads(os.environ["DEVICES_ON_CPU"]))
    else:
        main()
