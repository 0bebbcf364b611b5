"""Peak memory while records stream from EchoNext's float64 file through the shipped network.

    python benchmarks/echonext_memory.py [--records 27600] [--path DIR]

Writes a synthetic data set in EchoNext's layout whose train split holds about 20,000 records
(4.8 GB of float64) unless --path names one. A process of its own loads the split and asks the
network for its 71 probabilities; printed are the largest resident memory of that process and the
time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.metadata import version

_CHILD = """
import json, resource, sys, time
from ecgsk import load_echonext, make_lef_classifier
train = load_echonext(sys.argv[1], split="train")
step = make_lef_classifier("mtecg")["predictors"].fit(train.data)
step.transform(train.data[:8])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
table = step.transform(train.data)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({
    "records": len(table), "file_gb": len(table) * 12 * 2500 * 8 / 1e9,
    "before_gb": before * 1024 / 1e9, "peak_gb": peak * 1024 / 1e9,
    "ms_per_record": 1e3 * seconds / len(table),
}))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=27_600)
    parser.add_argument("--path", help="a data set that is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.path
        if path is None:
            from ecgsk import make_echonext

            path = make_echonext(f"{folder}/echonext", options.records, random_state=0).path
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, str(path)], check=True, capture_output=True, text=True
        )
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"ecgsk {version('ecgsk')}, torch {version('torch')}, numpy {version('numpy')}")
    print(
        f"{found['records']} records, {found['file_gb']:.1f} GB of float64: peak "
        f"{found['peak_gb']:.2f} GB resident ({found['before_gb']:.2f} before the first), "
        f"{found['ms_per_record']:.1f} ms a record"
    )


if __name__ == "__main__":
    main()
