"""Time the reading of PTB-XL at 500 Hz: ecgsk against a loop of wfdb.rdsamp.

python benchmarks/read_ptbxl.py PTBXL_DIR [--records 500] [--sampling-rate 500]

Both read the same files into memory, in turns within one run, after one untimed turn that warms
the file cache; the values must agree to float32 rounding.
"""

import argparse
import platform
import statistics
import time
import warnings

import numpy as np
import wfdb

import ecgsk
from ecgsk.datasets import RecordsLeftOutWarning, load_ptbxl, load_wfdb

COLUMN = {100: "filename_lr", 500: "filename_hr"}


def read_with_wfdb(paths):
    return [wfdb.rdsamp(path)[0] for path in paths]


def read_with_ecgsk(paths):
    return load_wfdb(paths, on_error="raise").data


def timed(function, paths):
    start = time.perf_counter()
    records = function(paths)
    return (time.perf_counter() - start) / len(paths) * 1e3, records


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ptbxl_dir")
    parser.add_argument("--records", type=int, default=500)
    parser.add_argument("--sampling-rate", type=int, default=500, choices=sorted(COLUMN))
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordsLeftOutWarning)
        ecgs = load_ptbxl(args.ptbxl_dir, sampling_rate=args.sampling_rate, lazy=True)
    names = ecgs.metadata[COLUMN[args.sampling_rate]].iloc[: args.records]
    paths = [f"{args.ptbxl_dir}/{name}" for name in names]
    read_with_wfdb(paths), read_with_ecgsk(paths)

    times = {"wfdb": [], "ecgsk": []}
    for _ in range(args.turns):
        wfdb_time, expected = timed(read_with_wfdb, paths)
        ecgsk_time, data = timed(read_with_ecgsk, paths)
        times["wfdb"].append(wfdb_time)
        times["ecgsk"].append(ecgsk_time)

    difference = 0.0
    for signal, reference in zip(data, expected, strict=True):
        np.testing.assert_allclose(signal, reference.T, rtol=2e-7, atol=0)
        difference = max(difference, np.abs(signal - reference.T).max())
    wfdb_time, ecgsk_time = (statistics.median(times[name]) for name in ("wfdb", "ecgsk"))
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, wfdb {wfdb.__version__}, "
        f"ecgsk {ecgsk.__version__}"
    )
    print(f"{len(paths)} records at {args.sampling_rate} Hz, median of {args.turns} turns")
    print(f"wfdb.rdsamp  {wfdb_time:7.3f} ms a record")
    print(f"ecgsk        {ecgsk_time:7.3f} ms a record")
    print(f"ratio        {wfdb_time / ecgsk_time:7.1f}")
    print(f"largest difference {difference:.2g} mV (values agree to float32 rounding)")


if __name__ == "__main__":
    main()
