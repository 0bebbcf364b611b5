"""Peak memory while a network predicts a memory map that is larger than it may keep.

    python benchmarks/predict_memory.py [--records 20000] [--preset ti_12_25] [--folder DIR]

Writes synthetic 12-lead ECGs of 5000 samples to a file (4.8 GB for 20,000), opens it as a memory
map and predicts it, once directly and once behind a band-pass in a Pipeline. Prints the largest
resident memory of the process and the time. The weights are random: neither depends on them.
"""

import argparse
import platform
import resource
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline

from ecgsk import MTECGClassifier, make_ecg
from ecgsk.preprocessing import BandPass


def peak_gigabytes() -> float:
    scale = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e9


def write(path: Path, n_records: int) -> None:
    ecgs = make_ecg(100, heart_rate=np.linspace(50, 120, 100), random_state=0)
    with open(path, "wb") as stream:
        for start in range(0, n_records, len(ecgs)):
            ecgs[: n_records - start].tofile(stream)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--preset", default="ti_12_25")
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    names = ("ecgsk", "torch", "numpy")
    print(", ".join(f"{name} {version(name)}" for name in names))
    model = MTECGClassifier(options.preset, max_epochs=1, random_state=0)
    model.fit(make_ecg(8, random_state=0), np.arange(8) % 2)
    pipeline = make_pipeline(BandPass(0.5, 40.0, n_jobs=2), model)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "ecgs.f32"
        write(path, options.records)
        X = np.memmap(path, np.float32, "r", shape=(options.records, 12, 5000))
        print(
            f"{options.records} records, {X.nbytes / 1e9:.1f} GB; before: {peak_gigabytes():.2f} GB"
        )
        for name, estimator in (("network", model), ("band-pass and network", pipeline)):
            start = time.perf_counter()
            p = estimator.predict_proba(X)
            seconds = time.perf_counter() - start
            assert p.shape == (options.records, 2) and np.isfinite(p).all()
            print(
                f"{name:<24} peak {peak_gigabytes():.2f} GB resident, "
                f"{1000 * seconds / options.records:.1f} ms a record"
            )


if __name__ == "__main__":
    main()
