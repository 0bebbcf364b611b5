"""Peak memory and speed of ``ecgsk predict`` on many recordings.

    python benchmarks/predict_stream.py [--records 100000] [--preset nano] [--folder DIR]

Writes synthetic 12-lead ECGs of ten seconds at 100 Hz, as one .npy file (4.8 GB for 100,000) and
as WFDB records in a folder (2.4 GB), and has the command answer them in a process of its own.
Before that a hundredth of them: what grows with their number is told from what does not. Prints the
largest resident memory of each process, looked at every 20 ms, its time and recordings a second,
both with start-up. The model is small and has learned next to nothing: neither depends on it. The
last line is JSON.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil

from ecgsk import STANDARD_LEADS, MTECGClassifier, make_ecg
from ecgsk.persistence import save

RATE, N_SAMPLES = 100, 1000


def write_array(path: Path, ecgs: np.ndarray, n_records: int) -> None:
    shape = (n_records, *ecgs.shape[1:])
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for start in range(0, n_records, len(ecgs)):
        out[start : start + len(ecgs)] = ecgs[: n_records - start]
    out.flush()


def write_wfdb(folder: Path, ecgs: np.ndarray, n_records: int) -> None:
    counts = [(ecg.T * 1000).astype("<i2").tobytes() for ecg in ecgs]
    for i in range(n_records):
        place = folder / f"{i // 1000:03d}"
        place.mkdir(parents=True, exist_ok=True)
        name = f"r{i:06d}"
        (place / f"{name}.dat").write_bytes(counts[i % len(counts)])
        lines = [f"{name} {len(STANDARD_LEADS)} {RATE} {N_SAMPLES}"]
        lines += [f"{name}.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in STANDARD_LEADS]
        (place / f"{name}.hea").write_text("\n".join(lines) + "\n")


def predict(model: Path, records: Path, n_records: int) -> tuple[float, float]:
    """Return seconds and the peak resident memory in MB of one process."""
    out = model.with_name("out.csv")
    words = ["predict", model, records, "-o", out, "--sampling-rate", RATE, "--quiet"]
    start = time.perf_counter()
    process = psutil.Popen([sys.executable, "-m", "ecgsk", *map(str, [*words, "--overwrite"])])
    peak = 0
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            peak = max(peak, process.memory_info().rss)
        time.sleep(0.02)
    seconds = time.perf_counter() - start
    assert process.returncode == 0
    with open(out) as file:
        assert sum(1 for _ in file) == n_records + 1
    return seconds, peak / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    names = ("ecgsk", "torch", "numpy")
    print(", ".join(f"{name} {version(name)}" for name in names))
    ecgs = make_ecg(100, sampling_rate=RATE, heart_rate=np.linspace(50, 120, 100), random_state=0)
    figures = {"records": options.records, "preset": options.preset}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        model = Path(folder) / "model.ecgsk"
        small = MTECGClassifier(options.preset, sampling_rate=RATE, max_epochs=1, random_state=0)
        save(small.fit(ecgs, np.arange(100) % 2), model)
        few = max(options.records // 100, 1)
        for kind, write, name in (("npy", write_array, "{}.npy"), ("wfdb", write_wfdb, "{}")):
            for size, n_records in (("few", few), ("all", options.records)):
                path = Path(folder) / name.format(n_records)
                write(path, ecgs, n_records)
                seconds, megabytes = predict(model, path, n_records)
                speed = n_records / seconds
                figures[f"{kind}_{size}_mb"] = round(megabytes)
                figures[f"{kind}_{size}_records_per_s"] = round(speed, 1)
                print(
                    f"{kind:<5} {n_records:>7} records: {megabytes:6.0f} MB, {seconds:7.1f} s, "
                    f"{speed:6.0f} a second"
                )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
