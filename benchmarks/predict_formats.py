"""Peak memory of ``ecgsk predict`` and ``ecgsk convert`` on many files of three formats.

    python benchmarks/predict_formats.py [--records 10000] [--jobs 2] [--out FILE] [--folder DIR]

Writes 20 synthetic 12-lead ECGs of ten seconds at 500 Hz as GE MUSE XML, DICOM and WFDB files each,
and gives them so many names by hard links that a folder has --records files of each format. The
commands process, each in a process of its own, first a folder with a hundredth of the files, then
this one: the difference shows what grows with their number. The resident memory of the process and
of those that it starts is added up every 50 ms; pages that processes share count for each. Times
include the start, and depend on what else the machine does. The model is small and has learned
almost nothing, which changes neither memory nor time. Needs the extra formats, psutil and the
tests' writers of files.
"""

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ecgsk import MTECGClassifier, make_ecg  # noqa: E402
from ecgsk.datasets import convert_to_wfdb  # noqa: E402
from ecgsk.persistence import save  # noqa: E402
from ecgsk.preprocessing import Resample  # noqa: E402
from tests._dicom_edf_files import write_dicom  # noqa: E402
from tests._xml_files import EIGHT_LEADS, write_muse  # noqa: E402

SEED = 0
N_FILES = 20
RATE = 500


def write_files(folder: Path) -> None:
    """Write N_FILES recordings in each format."""
    for name in ("muse", "dicom", "wfdb"):
        (folder / name).mkdir(parents=True)
    ecgs = make_ecg(N_FILES, heart_rate=np.linspace(50, 120, N_FILES), random_state=SEED)
    eight = [["I", "II", "III", "aVR", "aVL", "aVF"].index(lead) if lead[0] != "V"
             else 5 + int(lead[1:]) for lead in EIGHT_LEADS]  # fmt: skip
    for i, ecg in enumerate(ecgs):
        write_muse(folder / "muse" / f"{i:02d}.xml", ecg[eight], rate=RATE)
        write_dicom(folder / "dicom" / f"{i:02d}.dcm", ecg, rate=RATE)
        np.save(folder / f"{i:02d}.npy", ecg)
    convert_to_wfdb(str(folder / "*.npy"), folder / "wfdb", file_sampling_rate=RATE)


def link_files(source: Path, target: Path, n_records: int) -> None:
    """Give the files so many names; a WFDB header names its signal file, so it is written again."""
    for kind in ("muse", "dicom", "wfdb"):
        for i in range(n_records):
            place = target / kind / f"{i // 1000:03d}"
            place.mkdir(parents=True, exist_ok=True)
            stem, name = f"{i % N_FILES:02d}", f"r{i:06d}"
            if kind == "wfdb":
                os.link(source / kind / f"{stem}.dat", place / f"{name}.dat")
                header = (source / kind / f"{stem}.hea").read_text()
                (place / f"{name}.hea").write_text(
                    header.replace(f"{stem}.dat", f"{name}.dat").replace(stem, name, 1)
                )
            else:
                ending = "xml" if kind == "muse" else "dcm"
                os.link(source / kind / f"{stem}.{ending}", place / f"{name}.{ending}")


def measure(*words) -> dict[str, float]:
    """Return seconds and the peak resident memory in MB of a command and its processes."""
    start = time.perf_counter()
    process = psutil.Popen([sys.executable, "-m", "ecgsk", *map(str, words), "--quiet"])
    peak = 0
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            tree = [process, *process.children(recursive=True)]
            peak = max(peak, sum(each.memory_info().rss for each in tree))
        time.sleep(0.05)
    assert process.returncode == 0, process.returncode
    return {"seconds": round(time.perf_counter() - start, 1), "peak_mb": round(peak / 1e6)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--out", default=None)
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    packages = ("ecgsk", "torch", "numpy", "joblib", "pydicom")
    figures: dict = {
        "what": f"{options.records} files each of GE MUSE XML, DICOM and WFDB, 10 s at {RATE} Hz; "
        f"network {options.preset} at 100 Hz",
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "seed": SEED,
        "results": {},
    }
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_files(folder / "source")
        ecgs = make_ecg(40, random_state=SEED)
        model = MTECGClassifier(
            options.preset, sampling_rate=100, max_epochs=1, random_state=SEED
        ).fit(Resample(RATE, 100).transform(ecgs), np.arange(40) % 2)
        save(model, folder / "model.ecgsk")
        few = max(options.records // 100, 1)
        answers = set()
        for n_records, all_jobs in ((few, (1, options.jobs)), (options.records, (options.jobs,))):
            records = folder / f"{n_records}"
            link_files(folder / "source", records, n_records)
            for jobs in all_jobs:
                out = folder / "out.csv"
                words = ["predict", folder / "model.ecgsk", records, "-o", out, "--overwrite"]
                found = measure(*words, "--jobs", jobs)
                lines = out.read_bytes()
                assert lines.count(b"\n") == 3 * n_records + 1
                answers.add((n_records, lines))
                figures["results"][f"predict {3 * n_records} files, {jobs} job(s)"] = found
                print(3 * n_records, "files,", jobs, "job(s):", found, flush=True)
            target = folder / f"converted{n_records}"
            found = measure("convert", records, "-o", target, "--jobs", options.jobs)
            figures["results"][f"convert {3 * n_records} files, {options.jobs} job(s)"] = found
            print(3 * n_records, "files converted:", found, flush=True)
    figures["results are equal"] = len(answers) == 2
    text = json.dumps(figures, indent=2)
    print(text)
    if options.out:
        Path(options.out).write_text(text + "\n")


if __name__ == "__main__":
    main()
