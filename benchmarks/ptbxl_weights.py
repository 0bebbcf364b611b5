"""Make the weights that come with ecgsk from PTB-XL.

    python benchmarks/ptbxl_weights.py PTBXL --extra EXTRA --work WORK [--stage pretrain]

PTBXL is the folder of PTB-XL, or of a part of it. EXTRA (optional) holds further recordings as
arrays, see ``_ptbxl_training_data.py``. Folds 1 to 8 train, fold 9 is looked at, fold 10 is not
read. Both stages go on where they were killed; WORK keeps checkpoints, logs and the files.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from _ptbxl_training_data import PREPROCESSING, RATE, cinc2011, more_ptbxl, ptbxl

from ecgsk import ECGAugmentation, MTECGPretrainer

PRETRAINING = {
    "preset": "compact",
    "mask_ratio": 0.5,
    "target": "fluctuation",
    "sampling_rate": RATE,
    "max_epochs": 72,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "warmup": 0.02,
    "weight_decay": 0.05,
    "precision": "bf16",
    "random_state": 0,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ptbxl")
    parser.add_argument("--extra")
    parser.add_argument("--work", default="weights-work")
    parser.add_argument("--stage", choices=["pretrain", "finetune", "all"], default="all")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    work = Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    records = ptbxl(options.ptbxl)
    train = records.fold < 9
    more = more_ptbxl(options.extra, records.X[train]) if options.extra else None
    if options.stage in ("pretrain", "all"):
        parts = [records.X[train]]
        if more is not None:
            parts += [more.X[more.fold < 9], cinc2011(options.extra)]
        pretrain(np.concatenate(parts), records.X[~train], work, options.device)


def pretrain(X, X_valid, work, device):
    print(f"pre-training on {len(X)} recordings", flush=True)
    start = time.perf_counter()
    model = MTECGPretrainer(
        **PRETRAINING,
        augmentation=ECGAugmentation(shift=0.5, lead_drop=0.0, noise=0.0, amplitude=0.2),
        checkpoint_dir=work / "checkpoints",
        device=device,
        verbose=1,
    ).fit(X)
    figures = {
        "n_records": len(X),
        "seconds": round(time.perf_counter() - start),
        "masked_loss_fold_9": -model.score(X_valid),
        "history": model.history_,
    }
    (work / "pretraining.json").write_text(json.dumps(figures, indent=1) + "\n")
    model.save_weights(
        work / "ptbxl-mtecg-pretrainer.safetensors", preprocessing=PREPROCESSING, dtype="float16"
    )
    print(f"masked loss on fold 9: {figures['masked_loss_fold_9']:.4f}", flush=True)


if __name__ == "__main__":
    main()
