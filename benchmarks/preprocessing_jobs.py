"""Time of each preprocessing transformer with one and with two jobs.

Run with ``python benchmarks/preprocessing_jobs.py``. One row is printed a transformer; the times
are the best of the repetitions, which alternate between the numbers of jobs so that both see the
same load of the machine.
"""

import argparse
import os
import platform
import time

import joblib
import numpy as np
import scipy

import ecgsk
from ecgsk.preprocessing import (
    BandPass,
    CropPad,
    MedianBaseline,
    Notch,
    Resample,
    SelectLeads,
    Standardise,
)

TRANSFORMERS = [
    BandPass(0.5, 40),
    Notch(50),
    MedianBaseline(0.4),
    Resample(500, 100),
    Resample(360, 500),
    Standardise(),
    SelectLeads(["I", "II", "V2"]),
    CropPad(4096),
]


def seconds(transformer, X):
    start = time.perf_counter()
    transformer.transform(X)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=256)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()

    X = np.random.default_rng(0).normal(size=(options.records, 12, 5000)).astype(np.float32)
    print(
        f"ecgsk {ecgsk.__version__}, scipy {scipy.__version__}, numpy {np.__version__}, "
        f"joblib {joblib.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores"
    )
    print(f"{options.records} records of 12 x 5000 samples; ms a record with n_jobs of")
    print(f"{'':<52}" + "".join(f"{jobs:>8}" for jobs in options.jobs) + f"{'ratio':>8}")
    for transformer in TRANSFORMERS:
        takes_jobs = "n_jobs" in transformer.get_params()
        jobs_tried = options.jobs if takes_jobs else options.jobs[:1]
        best = dict.fromkeys(jobs_tried, np.inf)
        # The first round starts the workers and is not counted.
        for repetition in range(options.repetitions + 1):
            for jobs in jobs_tried:
                if takes_jobs:
                    transformer.set_params(n_jobs=jobs)
                elapsed = seconds(transformer, X)
                if repetition:
                    best[jobs] = min(best[jobs], elapsed)
        if takes_jobs:
            transformer.set_params(n_jobs=None)
        times = [1000 * elapsed / len(X) for elapsed in best.values()]
        ratio = f"{times[0] / times[-1]:8.2f}" if takes_jobs else ""
        print(f"{transformer!r:<52}" + "".join(f"{t:8.2f}" for t in times) + ratio)


if __name__ == "__main__":
    main()
