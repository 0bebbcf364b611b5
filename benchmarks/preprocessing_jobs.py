"""Time of each preprocessing transformer with one and with two jobs, and of SciPy's equal.

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
from scipy import ndimage, signal

import ecgsk
from ecgsk.preprocessing import (
    BandPass,
    CropPad,
    MedianBaseline,
    Notch,
    Resample,
    SelectLeads,
    Standardize,
)

TRANSFORMERS = [
    BandPass(0.5, 40),
    Notch(50),
    MedianBaseline(0.4),
    Resample(500, 100),
    Resample(360, 500),
    Standardize(),
    SelectLeads(["I", "II", "V2"]),
    CropPad(4096),
]


def band_pass(X):
    sos = signal.butter(4, [0.5, 40], "bandpass", fs=500, output="sos")
    return signal.sosfiltfilt(sos, X.astype(np.float64), padlen=27)


def notch(X):
    return signal.filtfilt(*signal.iirnotch(50, 30, 500), X.astype(np.float64))


def baseline(X):
    leads = X.reshape(-1, X.shape[2])
    medians = [ndimage.median_filter(lead, 201, mode="constant", cval=0.0) for lead in leads]
    return X - np.reshape(medians, X.shape)


# The same with SciPy, in parts of 16 records that stay in the processor's cache.
SCIPY = {"BandPass": band_pass, "Notch": notch, "MedianBaseline": baseline}


def seconds(transform, X):
    start = time.perf_counter()
    transform(X)
    return time.perf_counter() - start


def in_parts(function):
    return lambda X: [function(X[i : i + 16]).astype(np.float32) for i in range(0, len(X), 16)]


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
        scipys, of_scipy = SCIPY.get(type(transformer).__name__), np.inf
        # The first round starts the workers and is not counted.
        for repetition in range(options.repetitions + 1):
            for jobs in jobs_tried:
                if takes_jobs:
                    transformer.set_params(n_jobs=jobs)
                elapsed = seconds(transformer.transform, X)
                if repetition:
                    best[jobs] = min(best[jobs], elapsed)
            if scipys:
                elapsed = seconds(in_parts(scipys), X)
                of_scipy = min(of_scipy, elapsed if repetition else np.inf)
        if takes_jobs:
            transformer.set_params(n_jobs=None)
        times = [1000 * elapsed / len(X) for elapsed in best.values()]
        ratio = f"{times[0] / times[-1]:8.2f}" if takes_jobs else ""
        print(f"{transformer!r:<52}" + "".join(f"{t:8.2f}" for t in times) + ratio)
        if scipys:
            of_scipy *= 1000 / len(X)
            print(f"    SciPy, one job: {of_scipy:.2f}, {of_scipy / times[0]:.2f} times ours")


if __name__ == "__main__":
    main()
