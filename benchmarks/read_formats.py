"""Time the reading of each format: load_ecg against ecgdatakit (wfdb.rdsamp for WFDB) alone.

python benchmarks/read_formats.py [--files 60] [--turns 5] [--listed 40000] [--out FILE]

Synthetic recordings of 10 s at 500 Hz are written in each format by the writers of the tests. Both
read the same files into memory in one process, in turns within one run, after one untimed turn.
The last figure is a folder of many MUSE files (hard links to a few) opened with lazy=True.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import wfdb
from ecgdatakit.parsing import FileParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ecgsk import STANDARD_LEADS, load_ecg, make_ecg
from tests._dicom_edf_files import write_dicom, write_edf
from tests._scp_files import bits_of_default_table, lead_section, scp_file, signal_section
from tests._xml_files import EIGHT_LEADS, write_aecg, write_mortara, write_muse, write_philips

RATE = 500
EIGHT = [STANDARD_LEADS.index(lead) for lead in EIGHT_LEADS]


def write_wfdb(path, signal, rate):
    folder, name = os.path.split(path)
    wfdb.wrsamp(
        name.removesuffix(".hea"),
        fs=rate,
        units=["mV"] * len(signal),
        sig_name=list(STANDARD_LEADS),
        p_signal=signal.T.astype(float),
        fmt=["16"] * len(signal),
        write_dir=folder,
    )


def write_scp(path, signal, rate):
    counts = np.rint(signal / 0.005).astype(int)
    sections = {
        2: np.uint16(19999).tobytes(),
        3: lead_section(EIGHT_LEADS, counts.shape[1]),
        6: signal_section(
            counts, interval=1_000_000 // rate, differences=2, huffman=bits_of_default_table
        ),
    }
    Path(path).write_bytes(scp_file(sections))


WRITERS = {
    "WFDB": (".hea", write_wfdb),
    "DICOM": (".dcm", lambda path, signal, rate: write_dicom(path, signal, rate)),
    "MUSE XML": (".xml", lambda path, signal, rate: write_muse(path, signal[EIGHT], rate)),
    "Philips XML": (".xml", lambda path, signal, rate: write_philips(path, signal, rate)),
    "Philips XML, XLI": (
        ".xml",
        lambda path, signal, rate: write_philips(path, signal, rate, form="XLI"),
    ),
    "HL7 aECG": (".xml", lambda path, signal, rate: write_aecg(path, signal, rate)),
    "Mortara XML": (".xml", lambda path, signal, rate: write_mortara(path, signal, rate)),
    "SCP-ECG": (".scp", lambda path, signal, rate: write_scp(path, signal[EIGHT], rate)),
    "EDF": (".edf", lambda path, signal, rate: write_edf(path, signal, rate)),
}


def read_alone(name, paths):
    if name == "WFDB":
        return [wfdb.rdsamp(path.removesuffix(".hea"))[0] for path in paths]
    return [FileParser.parse(path) for path in paths]


def timed(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def compare(name, folder, signals, n_files, turns):
    ending, write = WRITERS[name]
    os.makedirs(folder)
    paths = [str(folder / f"r{i}{ending}") for i in range(n_files)]
    for i, path in enumerate(paths):
        write(path, signals[i % len(signals)], RATE)
    alone, ours = [], []
    for turn in range(turns + 1):
        pair = timed(read_alone, name, paths), timed(load_ecg, paths)
        if turn:
            alone.append(pair[0] / n_files * 1e3)
            ours.append(pair[1] / n_files * 1e3)
    ratios = [b / a for a, b in zip(alone, ours, strict=True)]
    figures = {
        "library_ms": round(statistics.median(alone), 3),
        "load_ecg_ms": round(statistics.median(ours), 3),
        "ratio": round(statistics.median(ratios), 2),
        "file_kilobytes": os.path.getsize(paths[0]) // 1000,
    }
    print(f"{name:12} {figures}", flush=True)
    return figures


def list_many(folder, signals, n_listed):
    """Return the seconds that a lazy load of many MUSE files takes on two cores."""
    os.makedirs(folder)
    ending, write = WRITERS["MUSE XML"]
    for i, signal in enumerate(signals):
        write(folder / f"seed{i}{ending}", signal, RATE)
    for i in range(n_listed - len(signals)):
        os.link(folder / f"seed{i % len(signals)}{ending}", folder / f"r{i}{ending}")
    start = time.perf_counter()
    ecgs = load_ecg(folder, lazy=True, n_jobs=2)
    seconds = time.perf_counter() - start
    first = time.perf_counter()
    ecgs.data[:64].read(np.arange(64))
    figures = {
        "files": len(ecgs.data),
        "seconds": round(seconds, 1),
        "ms_to_read_one_later": round((time.perf_counter() - first) / 64 * 1e3, 2),
    }
    print(f"lazy folder of MUSE files: {figures}", flush=True)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--listed", type=int, default=40_000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    signals = make_ecg(20, sampling_rate=RATE, random_state=0)
    packages = ("ecgsk", "ecgdatakit", "pydicom", "wfdb", "numpy")
    result = {
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": {name: version(name) for name in packages},
        "recordings": "synthetic, make_ecg(20, sampling_rate=500, random_state=0)",
        "files": args.files,
        "turns": args.turns,
    }
    with tempfile.TemporaryDirectory() as root:
        result["formats"] = {
            name: compare(name, Path(root) / name, signals, args.files, args.turns)
            for name in WRITERS
        }
        result["lazy_folder"] = list_many(Path(root) / "many", signals, args.listed)
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
