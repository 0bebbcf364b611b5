"""What masked pre-training and each part of the recipe are worth on PTB-XL.

    python benchmarks/mtecg_study.py PTBXL --extra EXTRA --work WORK [--preset small]

Folds 1 to 8 train (pre-training takes the recordings of EXTRA as well), fold 9 is looked at, fold
10 is not read. Each cell of the grid leaves its answers in WORK; a killed study goes on with the
cells that are missing, and `mtecg_study_report.py` reports what there is. Cells come in the order
of their seed, so that a study that is stopped early is still a whole one with fewer seeds.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from _ptbxl_training_data import RATE, cinc2011, more_ptbxl, ptbxl, some_patients, targets

from ecgsk import ECGAugmentation, MTECGClassifier, MTECGPretrainer
from ecgsk.estimators import FullTraining

EPOCHS = {0.1: 60, 0.3: 30, 1.0: 15}
RATIOS = (0.05, 0.25, 0.5, 0.75)
STANDARD = 0.5
# The share of the labels at which masking ratios and parts of the recipe are compared.
COMPARED_AT = 0.3
RECIPE = {
    "sampling_rate": RATE,
    "pooling": "mean",
    "batch_size": 32,
    "learning_rate": 1e-3,
    "layer_decay": "auto",
    "strategy": FullTraining(stochastic_depth=0.1),
    "weight_averaging": 0.99,
    "head_init": "prior",
    "augmentation": ECGAugmentation(shift=0.5, lead_drop=0.05, noise=0.1, amplitude=0.2),
}
WITHOUT = {
    "layer decay": {"layer_decay": 1.0},
    "stochastic depth": {"strategy": "full"},
    "weight averaging": {"weight_averaging": 0.0},
    "prior of the head": {"head_init": "random"},
    "augmentation": {"augmentation": None},
}
PRETRAINING = {"sampling_rate": RATE, "max_epochs": 40, "batch_size": 32, "learning_rate": 1e-3}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ptbxl")
    parser.add_argument("--extra")
    parser.add_argument("--work", default="study-work")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", default=["superdiagnostic", "all"])
    parser.add_argument("--fractions", nargs="+", type=float, default=sorted(EPOCHS))
    parser.add_argument("--parts", nargs="+", default=["starts", "masking", "recipe"])
    parser.add_argument("--encoder", help="a pre-trained file: only the starts are compared")
    parser.add_argument("--minutes", type=float, default=np.inf, help="begin no cell after this")
    options = parser.parse_args()
    study = Study(options)
    for cell in cells(options):
        if time.perf_counter() - study.start > 60 * options.minutes:
            print("out of time: call it again to go on")
            break
        study.run(cell)


def cells(options):
    """Yield the grid: labels by start first, then masking ratios, then parts of the recipe."""
    for seed in range(options.seeds):
        for task in options.tasks:
            cell = {"seed": seed, "task": task}
            if "starts" in options.parts:
                for fraction in options.fractions:
                    for start in ("pretrained", "random"):
                        yield {**cell, "fraction": fraction, "start": start}
            if "masking" in options.parts and not options.encoder:
                for ratio in RATIOS:
                    # The starts have this one already.
                    if ratio != STANDARD:
                        yield {**cell, "fraction": COMPARED_AT, "mask_ratio": ratio}
            if "recipe" in options.parts and not options.encoder:
                for part in WITHOUT:
                    yield {**cell, "fraction": COMPARED_AT, "without": part}


class Study:
    """Fits cells and keeps their answers."""

    def __init__(self, options):
        self.options = options
        self.start = time.perf_counter()
        self.work = Path(options.work)
        self.work.mkdir(parents=True, exist_ok=True)
        records = ptbxl(options.ptbxl)
        train = records.fold < 9
        self.records, self.train = records, train
        unlabeled = [records.X[train]]
        if options.extra:
            more = more_ptbxl(options.extra, records.X[train])
            unlabeled += [more.X[more.fold < 9], cinc2011(options.extra)]
        self.unlabeled = np.concatenate(unlabeled)
        self.targets = {task: targets(options.ptbxl, task) for task in options.tasks}

    def encoder(self, ratio: float) -> Path:
        """Return the file of a pre-trained encoder, made at its first use."""
        if self.options.encoder:
            return Path(self.options.encoder)
        path = self.work / f"encoder-{ratio}.safetensors"
        if not path.exists():
            model = MTECGPretrainer(
                self.options.preset,
                mask_ratio=ratio,
                augmentation=ECGAugmentation(shift=0.5, lead_drop=0, noise=0, amplitude=0.2),
                precision=self.options.precision,
                checkpoint_dir=self.work / "checkpoints",
                random_state=0,
                **PRETRAINING,
            ).fit(self.unlabeled)
            model.save_weights(path)
            seconds = sum(row["dur"] for row in model.history_)
            losses = [row["train_loss"] for row in model.history_]
            said = {"mask_ratio": ratio, "seconds": round(seconds), "train_loss": losses}
            path.with_suffix(".json").write_text(json.dumps(said) + "\n")
            print(
                f"encoder, {ratio:.0%} masked: loss {losses[-1]:.3f}, {seconds:.0f} s", flush=True
            )
        return path

    def run(self, cell: dict) -> None:
        """Fit one cell unless its answers are there, and save them."""
        name = "-".join(str(value).replace(" ", "_") for value in cell.values())
        path = self.work / f"cell-{name}.npz"
        if path.exists():
            return
        table, seed = self.targets[cell["task"]], cell["seed"]
        known = table.notna().all(axis=1).to_numpy()
        train = some_patients(self.records.patients, known & self.train, cell["fraction"], seed)
        params = {**RECIPE, **WITHOUT.get(cell.get("without"), {})}
        if cell.get("start") == "random":
            params["preset"] = self.options.preset
        else:
            params["pretrained"] = self.encoder(cell.get("mask_ratio", STANDARD))
        model = MTECGClassifier(
            max_epochs=EPOCHS[cell["fraction"]],
            precision=self.options.precision,
            random_state=seed,
            **params,
        )
        start = time.perf_counter()
        model.fit(self._pick(train), table[train].astype(int))
        seconds = time.perf_counter() - start
        valid = known & ~self.train
        np.savez(
            path,
            probabilities=model.predict_proba(self._pick(valid)).astype(np.float32),
            truth=table[valid].to_numpy(dtype=np.int8),
            patients=self.records.patients[valid],
            about=json.dumps({**cell, "n_train": int(train.sum()), "seconds": round(seconds)}),
        )
        print(f"[{time.perf_counter() - self.start:5.0f} s] {cell}: {seconds:.0f} s", flush=True)

    def _pick(self, rows):
        return self.records.X[rows]


if __name__ == "__main__":
    main()
