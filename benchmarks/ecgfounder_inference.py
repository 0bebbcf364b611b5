"""Record files to the 150 probabilities of ECGFounder, beside the reference code.

    python benchmarks/ecgfounder_inference.py PTBXL --reference CHECKOUT [--records 256]

CHECKOUT is a copy of the repository PKUDigitalHealth/ECGFounder that you supply; its ``net1d.py``
and ``util.py`` are imported as they are. The reference reads with wfdb, filters lead by lead,
standardizes and asks its network, in batches of the same size, in one process or with the workers
of a DataLoader as its evaluation does, whichever is faster here. Weights are random, or those of
``--checkpoint``; both networks have the same, and their answers are compared.

All ways take turns, after one turn to warm up; each has its best turn reported, because a slow
turn is another process's doing. Ratios are of the reference's time over ours.
"""

import argparse
import copy
import json
import os
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import wfdb

from ecgsk import ECGFounderClassifier, load_ptbxl
from ecgsk.preprocessing import ECGFounderPreprocessor

warnings.filterwarnings("ignore")
WAYS = {
    "torch float32": {"backend": "torch", "precision": "float32"},
    "openvino float32": {"backend": "openvino", "precision": "float32"},
    "torch bf16": {"backend": "torch", "precision": "bf16"},
    "openvino bf16": {"backend": "openvino", "precision": "bf16"},
}


class Files(torch.utils.data.Dataset):
    """The reference's reading and preprocessing of one file after the other."""

    def __init__(self, paths, filter_bandpass):
        self.paths = paths
        self.filter_bandpass = filter_bandpass
        self.seconds = np.zeros(2)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        start = time.perf_counter()
        record, _ = wfdb.rdsamp(self.paths[index])
        read = time.perf_counter()
        record = self.filter_bandpass(np.nan_to_num(record).T, 500)
        record = (record - np.mean(record)) / (np.std(record) + 1e-8)
        self.seconds += read - start, time.perf_counter() - read
        return torch.FloatTensor(record)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ptbxl")
    parser.add_argument("--reference", required=True)
    parser.add_argument("--checkpoint")
    parser.add_argument("--records", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()
    sys.path.insert(0, options.reference)
    from net1d import Net1D
    from util import filter_bandpass

    n, n_cores = options.records, len(os.sched_getaffinity(0))
    start = time.perf_counter()
    bunch = load_ptbxl(options.ptbxl, sampling_rate=500, folds=range(1, 10), lazy=True)
    headers = (time.perf_counter() - start) / len(bunch.data)
    X = bunch.data[np.random.default_rng(0).choice(len(bunch.data), n, replace=False)]
    names = bunch.metadata["filename_hr"].to_numpy()[np.asarray(X._indices)]
    paths = [str(Path(options.ptbxl) / name) for name in names]

    torch.manual_seed(0)
    network = Net1D(
        in_channels=12,
        base_filters=64,
        ratio=1,
        filter_list=[64, 160, 160, 400, 400, 1024, 1024],
        m_blocks_list=[2, 2, 2, 3, 3, 4, 4],
        kernel_size=16,
        stride=2,
        groups_width=16,
        use_bn=False,
        use_do=False,
        n_classes=150,
    ).eval()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("ECGSK_CACHE", folder)
        checkpoint = options.checkpoint or str(Path(folder) / "random.pth")
        if not options.checkpoint:
            torch.save({"state_dict": network.state_dict()}, checkpoint)
        loaded = ECGFounderClassifier.from_pretrained(checkpoint, n_jobs=n_cores)
    if options.checkpoint:
        saved = torch.load(checkpoint, weights_only=False, map_location="cpu")
        network.load_state_dict(saved["state_dict"])

    seconds: dict[str, list[float]] = {}
    answers = {}

    def timed(name, function):
        start = time.perf_counter()
        answers[name] = function()
        seconds.setdefault(name, []).append(time.perf_counter() - start)

    def reference(n_workers):
        files = Files(paths, filter_bandpass)
        batches = torch.utils.data.DataLoader(
            files, batch_size=options.batch_size, num_workers=n_workers
        )
        with torch.inference_mode():
            found = [torch.sigmoid(network(batch)).numpy() for batch in batches]
        if n_workers == 0:
            seconds.setdefault("reference, reading", []).append(files.seconds[0])
            seconds.setdefault("reference, preprocessing", []).append(files.seconds[1])
        return np.concatenate(found)

    ours = {}
    for name, params in WAYS.items():
        ours[name] = copy.deepcopy(loaded).set_params(batch_size=options.batch_size, **params)
    in_memory = np.asarray(X)
    for turn in range(options.turns + 1):
        if turn == 1:
            seconds.clear()
        timed("reference", lambda: reference(0))
        timed("reference, workers", lambda: reference(n_cores))
        for name, model in ours.items():
            timed(name, lambda model=model: model.predict_proba(X))
        timed("ours, reading", lambda: np.asarray(X))
        for n_jobs in (1, n_cores):
            step = ECGFounderPreprocessor(n_jobs=n_jobs)
            timed(f"ours, preprocessing, n_jobs={n_jobs}", lambda s=step: s.transform(in_memory))

    best = {name: 1e3 * min(found) / n for name, found in seconds.items()}
    for name in WAYS:
        best[name] += 1e3 * headers
    whole = min(best["reference"], best["reference, workers"])
    result = {
        "records": n,
        "cores": n_cores,
        "batch_size": options.batch_size,
        "versions": {name: version(name) for name in ("ecgsk", "torch", "openvino", "wfdb")},
        "milliseconds_a_record": {name: round(value, 2) for name, value in best.items()},
        "ratio_to_the_faster_reference": {name: round(whole / best[name], 2) for name in WAYS},
        "ratio_to_the_reference_in_one_process": {
            name: round(best["reference"] / best[name], 2) for name in WAYS
        },
        "ratio_of_preprocessing": {
            name: round(best["reference, preprocessing"] / value, 2)
            for name, value in best.items()
            if name.startswith("ours, preprocessing")
        },
        "largest_difference_of_a_probability": {
            name: float(f"{abs(answers[name] - answers['reference']).max():.1e}") for name in WAYS
        },
    }
    print(json.dumps(result, indent=1))
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
