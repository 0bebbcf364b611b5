"""What a second process is worth: pre-training, cross-validation, prediction.

    python benchmarks/scaling.py --out scaling.json          # minutes; leave the machine alone
    python benchmarks/scaling.py --arithmetic                # ten million recordings, on paper
    python benchmarks/scaling.py --out scaling.json --docs docs      # tables of what is there

Each process has one thread. Figures are records a second of steps that are warm: starting
processes and importing torch is left out. One and two processes are measured in turns, so that a
machine that slows down slows both; a ratio is the median over turns. Recordings are synthetic, at
100 Hz for 10 s. Pre-training is that of torchrun with one and with two processes, which read a
memory map; cross-validation is joblib's dask backend on a cluster of one and of two workers;
prediction is that of the shipped weights, in this process and in two of loky's.

--arithmetic measures nothing: it counts what the published network needs for ten million
recordings, and divides by what hardware is said to do.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.model_selection import cross_validate
from sklearn.utils import gen_batches
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ecgsk import MTECGClassifier, MTECGPretrainer, RecordArray, make_ecg
from ecgsk.networks import MaskedMTECG

RATE = 100
FULL = {
    "records": 1024,
    "pretraining": {"preset": "compact", "epochs": 3, "batch_size": 32},
    "cross_validation": {"preset": "small", "records": 1024, "epochs": 2, "folds": 4},
    "prediction": {"chunk": 128},
    "turns": 3,
}
QUICK = {
    "records": 64,
    "pretraining": {"preset": "nano", "epochs": 2, "batch_size": 16},
    "cross_validation": {"preset": "nano", "records": 48, "epochs": 1, "folds": 2},
    "prediction": {"chunk": 16},
    "turns": 1,
}
# Ten million recordings of 10 s at 500 Hz, on eight GPUs.
RECORDS, SAMPLES, EPOCHS, GPUS, BATCH = 10_000_000, 5000, 100, 8, 4096
# Dense bfloat16 of a data sheet, FLOP/s, and the share of it that so narrow a network may reach.
HARDWARE = {
    "NVIDIA A100, 10 % used": (312e12, 0.10),
    "NVIDIA A100, 30 % used": (312e12, 0.30),
    "NVIDIA H100, 10 % used": (989e12, 0.10),
    "NVIDIA H100, 30 % used": (989e12, 0.30),
}
DISKS = {"0.5 GB/s (SATA or network)": 0.5e9, "3 GB/s (one NVMe)": 3e9, "12 GB/s (four NVMe)": 12e9}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="prove that it runs; no figures")
    parser.add_argument("--arithmetic", action="store_true", help="count, measure nothing")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="where the figures go, as JSON")
    parser.add_argument("--docs", metavar="DIR", help="write the tables of --out into scaling.md")
    options = parser.parse_args()
    if options.arithmetic:
        print("\n".join(table_of_arithmetic(arithmetic())))
        return
    if options.docs and options.out and Path(options.out).exists():
        write_documents(json.loads(Path(options.out).read_text()), Path(options.docs))
        return
    # For the processes to come; torch has counted its own already.
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        results = measure(QUICK if options.quick else FULL, options.seed, Path(folder))
    print(json.dumps(results))
    if options.out:
        Path(options.out).write_text(json.dumps(results, indent=1) + "\n")


def measure(size, seed, folder):
    np.save(folder / "X.npy", make_ecg(size["records"], sampling_rate=RATE, random_state=seed))
    X = RecordArray.wrap(np.load(folder / "X.npy", mmap_mode="r"))
    tasks = {
        "pre-training, torchrun": lambda n: pretraining(folder, n, size["pretraining"], seed),
        "cross-validation, dask": lambda n: validation(X, n, size["cross_validation"], seed),
        "prediction, loky": lambda n: prediction(X, n, **size["prediction"]),
    }
    found = {task: {1: [], 2: []} for task in tasks}
    for turn in range(size["turns"]):
        for task, function in tasks.items():
            for n_processes in (1, 2):
                found[task][n_processes].append(function(n_processes))
            print(
                f"turn {turn}, {task}: {[rates[-1] for rates in found[task].values()]}", flush=True
            )
    return {
        "records": f"{size['records']} synthetic, 12 leads x {10 * RATE} samples, float32",
        "settings": size,
        "seed": seed,
        "machine": f"{cpu_name()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": {
            name: version(name)
            for name in ("ecgsk", "torch", "scikit-learn", "joblib", "distributed", "numpy")
        },
        "tasks": {
            task: {
                "records_per_s": {n: statistics.median(found[task][n]) for n in (1, 2)},
                "ratio": statistics.median(np.divide(found[task][2], found[task][1])),
                "ratios": np.divide(found[task][2], found[task][1]).tolist(),
            }
            for task in tasks
        },
        "reading_records_per_s": reading(X, seed),
    }


def cpu_name():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "?")


def pretraining(folder, n_processes, settings, seed):
    """Return records a second of epochs after the first."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n_processes)]
    told = json.dumps({**settings, "folder": str(folder), "seed": seed})
    subprocess.run(
        [sys.executable, *command, __file__],
        env={**os.environ, "SCALING_TASK": told},
        check=True,
    )
    return json.loads((folder / "rate.json").read_text())


def one_of_torchrun(told):
    """Pre-train together with the other processes; the first one writes the rate down."""
    folder = Path(told["folder"])
    X = RecordArray.wrap(np.load(folder / "X.npy", mmap_mode="r"))
    model = MTECGPretrainer(
        told["preset"],
        sampling_rate=RATE,
        max_epochs=told["epochs"],
        batch_size=told["batch_size"],
        distributed=True,
        device="cpu",
        precision="float32",
        random_state=told["seed"],
    ).fit(X)
    if os.environ["RANK"] == "0":
        rate = len(X) / statistics.median(row["dur"] for row in model.history_[1:])
        (folder / "rate.json").write_text(json.dumps(rate))


def validation(X, n_workers, settings, seed):
    """Return records a second that pass through fits of a cross-validation."""
    from distributed import Client, LocalCluster

    X = X[: settings["records"]]
    y = np.arange(len(X)) % 2
    model = MTECGClassifier(
        settings["preset"],
        sampling_rate=RATE,
        max_epochs=settings["epochs"],
        device="cpu",
        precision="float32",
        random_state=seed,
    )
    cluster = LocalCluster(
        n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, Client(cluster) as client:
        client.run(warm, model, np.asarray(X[:16]), y[:16])
        begun = time.perf_counter()
        if n_workers == 1:
            # joblib would leave the cluster alone and work in this process.
            client.submit(cross_validate, model, X, y, cv=settings["folds"]).result()
        else:
            with joblib.parallel_config(backend="dask"):
                cross_validate(model, X, y, cv=settings["folds"], n_jobs=n_workers)
        seconds = time.perf_counter() - begun
    passes = (settings["folds"] - 1) * settings["epochs"] + 1
    return passes * len(X) / seconds


def warm(model, X, y):
    model.fit(X, y)


def prediction(X, n_processes, chunk):
    """Return records a second of the shipped weights."""
    model = MTECGClassifier(weights="ptbxl", sampling_rate=RATE, device="cpu")
    with joblib.parallel_config(backend="loky", n_jobs=n_processes):
        ask = delayed(model.predict_proba)
        Parallel()(ask(X[:chunk]) for _ in range(2 * n_processes))
        begun = time.perf_counter()
        parts = Parallel()(ask(X[rows]) for rows in gen_batches(len(X), chunk))
        seconds = time.perf_counter() - begun
    return sum(map(len, parts)) / seconds


def reading(X, seed):
    """Return records a second that one process reads in random order, from the page cache."""
    order = np.random.default_rng(seed).permutation(len(X))
    np.asarray(X)
    begun = time.perf_counter()
    for rows in gen_batches(len(X), 32):
        X.read(order[rows])
    return len(X) / (time.perf_counter() - begun)


def arithmetic():
    """Return what pre-training of the published network takes, by counting."""
    torch.manual_seed(0)
    network = MaskedMTECG(12, SAMPLES)
    # Attention as plain products, so that all of it is counted.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        order, segments = network.draw_order(1), network.segments(torch.randn(1, 12, SAMPLES))
        predicted = network.head(network.features(segments, order))
        (predicted - network.targets(segments, order)).square().mean().backward()
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    return {
        "parameters": n_parameters,
        "flop_per_record": counter.get_total_flops(),
        "flop": counter.get_total_flops() * RECORDS * EPOCHS,
        "steps_per_epoch": -(-RECORDS // BATCH),
        "bytes_of_gradient": 4 * n_parameters,
        # Of a ring: each GPU sends, and gets, this much in a step.
        "bytes_per_step_and_gpu": round(2 * (GPUS - 1) / GPUS * 4 * n_parameters),
        # The weights, and the two means of AdamW.
        "bytes_of_checkpoint": 12 * n_parameters,
        "bytes_of_recordings": {
            name: RECORDS * 12 * SAMPLES * size for name, size in (("float32", 4), ("int16", 2))
        },
    }


def table_of_arithmetic(count):
    tb = {name: size / 1e12 for name, size in count["bytes_of_recordings"].items()}
    per_record = count["flop_per_record"]
    lines = [
        "| counted | |",
        "|---|---|",
        f"| recordings | {RECORDS:,} of 12 x {SAMPLES}: {tb['float32']:.1f} TB as float32, "
        f"{tb['int16']:.1f} TB as int16 |",
        f"| parameters of encoder and decoder | {count['parameters']:,} |",
        f"| forward and backward, half of the segments masked | {per_record / 1e9:.2f} GFLOP a "
        "record |",
        f"| {EPOCHS} epochs | {count['flop']:.2e} FLOP, {tb['float32'] * EPOCHS:.0f} TB read as "
        f"float32 |",
        f"| steps of {BATCH:,} records | {count['steps_per_epoch']:,} an epoch, "
        f"{count['steps_per_epoch'] * EPOCHS:,} in all |",
        f"| gradients | {count['bytes_of_gradient'] / 1e6:.0f} MB; "
        f"{count['bytes_per_step_and_gpu'] / 1e6:.0f} MB sent by each GPU in a step |",
        f"| checkpoint | {count['bytes_of_checkpoint'] / 1e6:.0f} MB, once an epoch |",
        "",
        f"| {GPUS} GPUs, assumed | records/s | {EPOCHS} epochs, hours | to be read, GB/s, float32 "
        "| int16 |",
        "|---|---|---|---|---|",
    ]
    for name, (peak, used) in HARDWARE.items():
        rate = GPUS * peak * used / per_record
        lines.append(
            f"| {name} | {rate:,.0f} | {RECORDS * EPOCHS / rate / 3600:.1f} | "
            f"{rate * 12 * SAMPLES * 4 / 1e9:.1f} | {rate * 12 * SAMPLES * 2 / 1e9:.1f} |"
        )
    lines += [
        "",
        f"| disks, assumed | records/s, float32 | {EPOCHS} epochs, hours, float32 | int16 |",
        "|---|---|---|---|",
    ]
    for name, speed in DISKS.items():
        hours = {kind: size * EPOCHS / speed / 3600 for kind, size in
                 count["bytes_of_recordings"].items()}  # fmt: skip
        lines.append(
            f"| {name} | {speed / (12 * SAMPLES * 4):,.0f} | {hours['float32']:,.0f} | "
            f"{hours['int16']:,.0f} |"
        )
    return lines


def table_of_scaling(results):
    lines = [
        f"{results['records']}; seed {results['seed']}; {results['machine']}; "
        + ", ".join(f"{name} {number}" for name, number in results["versions"].items())
        + f". Medians of {results['settings']['turns']} turns, one thread a process.",
        "",
        "| | 1 process, records/s | 2 processes, records/s | ratio | ratio of each turn |",
        "|---|---|---|---|---|",
    ]
    for task, found in results["tasks"].items():
        rates = {str(n): rate for n, rate in found["records_per_s"].items()}
        each = ", ".join(f"{ratio:.2f}" for ratio in found["ratios"])
        lines.append(
            f"| {task} | {rates['1']:,.0f} | {rates['2']:,.0f} | {found['ratio']:.2f} | {each} |"
        )
    mb = results["reading_records_per_s"] * 12 * 10 * RATE * 4 / 1e6
    lines += [
        "",
        "One process reads a memory map that the system has cached, in random order and batches of "
        f"32, at {results['reading_records_per_s']:,.0f} records/s ({mb:,.0f} MB/s).",
    ]
    return lines


def write_documents(results, docs):
    """Write the figures beside the documents, and the tables into scaling.md."""
    (docs / "scaling.json").write_text(json.dumps(results, indent=1) + "\n")
    tables = {"scaling": table_of_scaling(results), "arithmetic": table_of_arithmetic(arithmetic())}
    fill_in(docs / "scaling.md", tables)


def fill_in(path: Path, tables: dict[str, list[str]]) -> None:
    """Replace what is between the marks of each table in a document."""
    text = path.read_text()
    for name, lines in tables.items():
        before, begin, rest = text.partition(f"<!-- {name}:begin -->\n")
        _, end, after = rest.partition(f"<!-- {name}:end -->")
        assert begin and end, f"{path} has no place for the table of {name}"
        text = before + begin + "\n" + "\n".join(lines) + "\n\n" + end + after
    path.write_text(text)


if __name__ == "__main__":
    if "SCALING_TASK" in os.environ:
        one_of_torchrun(json.loads(os.environ["SCALING_TASK"]))
    else:
        main()
