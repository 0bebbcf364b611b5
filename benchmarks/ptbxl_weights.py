"""Make the weights that come with ecgsk from PTB-XL.

    python benchmarks/ptbxl_weights.py PTBXL --extra EXTRA --work WORK [--stage pretrain]

PTBXL is the folder of PTB-XL, or of a part of it. EXTRA (optional) holds further recordings as
arrays, see ``_ptbxl_training_data.py``. Folds 1 to 8 train, fold 9 is looked at, fold 10 is not
read. Both trainings go on where they were killed; WORK keeps checkpoints, logs, the two files and
their card, from where they were copied to ``ecgsk/weights`` (the logs to ``docs``).
"""

import argparse
import json
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from _ptbxl_training_data import PREPROCESSING, RATE, cinc2011, more_ptbxl, ptbxl
from sklearn.metrics import roc_auc_score

from ecgsk import ECGAugmentation, MTECGClassifier, MTECGPretrainer
from ecgsk.datasets import PTBXL_TASKS, load_ptbxl
from ecgsk.datasets._ptbxl.labels import labels_of
from ecgsk.estimators import FullTraining
from ecgsk.metrics import bootstrap, label_roc_auc, macro_roc_auc
from ecgsk.weights import read_weights, write_weights

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
FINETUNING = {
    "sampling_rate": RATE,
    "pooling": "mean",
    "max_epochs": 20,
    "batch_size": 32,
    "learning_rate": 5e-4,
    "layer_decay": 0.75,
    "weight_decay": 0.05,
    "strategy": {"stochastic_depth": 0.1},
    "weight_averaging": 0.998,
    "head_init": "prior",
    "precision": "bf16",
    "random_state": 0,
}
AUGMENTATION = {"shift": 0.5, "lead_drop": 0.05, "noise": 0.1, "amplitude": 0.2}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ptbxl")
    parser.add_argument("--extra")
    parser.add_argument("--work", default="weights-work")
    parser.add_argument("--stage", choices=["pretrain", "finetune", "card", "all"], default="all")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--name", default="ptbxl", help="of the classifier's files")
    parser.add_argument("--recipe", default="{}", help="JSON: other fine-tuning parameters")
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
    if options.stage in ("finetune", "all"):
        X, Y = records.X[train], records.Y[train]
        if more is not None:
            X = np.concatenate([X, more.X[more.fold < 9]])
            Y = np.concatenate([Y, more.Y[more.fold < 9]])
        valid = records.X[~train], records.Y[~train], records.patients[~train]
        finetune(X, Y, valid, work, options)
    if options.stage in ("card", "all"):
        card(options, work)


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


def finetune(X, Y, valid, work, options):
    recipe = {**FINETUNING, **json.loads(options.recipe)}
    augmentation = {**AUGMENTATION, **recipe.pop("augmentation", {})}
    print(f"fine-tuning on {len(X)} recordings: {recipe} {augmentation}", flush=True)
    start = time.perf_counter()
    names = list(PTBXL_TASKS["all"])
    model = MTECGClassifier(
        # The file brings its preprocessing; these recordings have gone through it already.
        pretrained=_without_preprocessing(work / "ptbxl-mtecg-pretrainer.safetensors"),
        augmentation=ECGAugmentation(**augmentation),
        checkpoint_dir=work / "checkpoints",
        device=options.device,
        verbose=1,
        **{**recipe, "strategy": FullTraining(**recipe["strategy"])},
    ).fit(X, pd.DataFrame(Y, columns=names))
    seconds = round(time.perf_counter() - start)
    model.save_weights(
        work / f"{options.name}-mtecg-classifier.safetensors",
        preprocessing=PREPROCESSING,
        dtype="float16",
    )
    X_valid, Y_valid, patients = valid
    P = model.predict_proba(X_valid)
    areas = label_roc_auc(Y_valid, P)
    macro = bootstrap(macro_roc_auc, Y_valid, P, groups=patients, n_resamples=1000, random_state=0)
    figures = {
        "n_records": len(X),
        "seconds": seconds,
        "recipe": recipe,
        "augmentation": augmentation,
        "macro_auroc_fold_9": macro._asdict(),
        "auroc_fold_9": dict(zip(names, areas.tolist(), strict=True)),
        "history": model.history_,
    }
    (work / f"{options.name}-finetuning.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(f"{options.name}: 71 statements, macro AUROC on fold 9: {macro}; {seconds} s", flush=True)


def card(options, work):
    """Measure the files as they are shipped, on raw recordings, and write the model card."""
    file = work / f"{options.name}-mtecg-classifier.safetensors"
    said, pre = (
        json.loads((work / name).read_text())
        for name in (f"{options.name}-finetuning.json", "pretraining.json")
    )
    figures = {}
    for rate in (100, 500):
        bunch = load_ptbxl(options.ptbxl, task="all", sampling_rate=rate, folds=9)
        P = MTECGClassifier.from_pretrained(file).predict_proba(bunch.data)
        figures[rate] = (bunch.target, P, bunch.groups)
    Y, P, patients = figures[100]
    macros = {
        rate: bootstrap(macro_roc_auc, y, p, groups=g, n_resamples=1000, random_state=0)
        for rate, (y, p, g) in figures.items()
    }
    names, rows = PTBXL_TASKS["all"], []
    for column, name in enumerate(names):
        y = Y[:, column]
        if 0 < y.sum() < len(y):
            area = bootstrap(
                roc_auc_score, y, P[:, column], groups=patients, n_resamples=300, random_state=0
            )
            rows.append(f"| {name} | {int(y.sum())} | {area} | {P[:, column].mean():.3f} |")
    absent = [name for name, n in zip(names, Y.sum(axis=0), strict=True) if n == 0]
    supers = _superclasses(options.ptbxl, P)
    text = (Path(__file__).parent / "ptbxl_card.md").read_text()
    values = {
        "macro_100": macros[100],
        "macro_500": macros[500],
        "n_500": len(figures[500][0]),
        "n_valid": len(Y),
        "n_ranked": len(rows),
        "macro_super": supers,
        "n_pretrain": pre["n_records"],
        "epochs_pretrain": PRETRAINING["max_epochs"],
        "minutes_pretrain": round(pre["seconds"] / 60),
        "masked_loss": f"{pre['masked_loss_fold_9']:.3f}",
        "n_train": said["n_records"],
        "minutes_finetune": round(said["seconds"] / 60),
        "recipe": json.dumps(said["recipe"]),
        "augmentation": json.dumps(said["augmentation"]),
        "pretraining": json.dumps(PRETRAINING),
        "versions": ", ".join(f"{n} {version(n)}" for n in ("ecgsk", "torch", "skorch", "numpy")),
        "rows": "\n".join(rows),
        "absent": ", ".join(absent),
    }
    (work / "ptbxl.md").write_text(text.format(**values))
    print(f"macro AUROC at 100 Hz {macros[100]}, at 500 Hz {macros[500]}, superclasses {supers}")


def _superclasses(path, P):
    """Rank the five superclasses by the probability that none of their statements is absent."""
    bunch = load_ptbxl(path, task="superdiagnostic", folds=9, lazy=True)
    ids = load_ptbxl(path, task="all", folds=9, lazy=True).metadata.index
    P = P[ids.get_indexer(bunch.metadata.index)]
    statements = PTBXL_TASKS["diagnostic"]
    columns = list(PTBXL_TASKS["all"])
    scores = []
    for name in PTBXL_TASKS["superdiagnostic"]:
        of_class = [
            columns.index(s)
            for s in statements
            if labels_of({s: 100.0}, "superdiagnostic") == [name]
        ]
        scores.append(1 - np.prod(1 - P[:, of_class], axis=1))
    return bootstrap(
        macro_roc_auc,
        bunch.target,
        np.stack(scores, axis=1),
        groups=bunch.groups,
        n_resamples=1000,
        random_state=0,
    )


def _without_preprocessing(path):
    bare = path.with_name("bare-" + path.name)
    write_weights(bare, replace(read_weights(path), preprocessing=[]))
    return bare


if __name__ == "__main__":
    main()
