"""What post-training gains over plain fine-tuning, and which of its parts makes it.

    python benchmarks/post_training_study.py PTBXL --extra EXTRA --work WORK
    python benchmarks/post_training_study.py PTBXL --weights 12-lead --work WORK

The published weights cannot be had everywhere, and none that were trained on PTB-XL itself would
be a fair start, so two bases are made from one half of the patients (folds 1 to 4): Net1D, small,
trained on the 71 statements; and MTECG, small, pre-trained by masking without labels. The other
half (folds 5 to 8) fine-tunes, fold 9 is looked at, fold 10 is not read. With ``--weights`` the
base is a checkpoint of ECGFounder, on recordings at 500 Hz, and folds 1 to 8 fine-tune.

Each fit sees the records as often in all of its weights as the others: those without preview get
one more epoch, which costs more than the one pass of the preview. Everything but the parts in
question is the same (AdamW, rates, weight decay, batches). Each cell leaves its answers in WORK; a
killed study goes on with the cells that are missing.
`post_training_report.py` reports what there is.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from _ptbxl_training_data import (
    RATE,
    cinc2011,
    more_ptbxl,
    ptbxl,
    some_patients,
    targets,
)
from sklearn.base import clone

from ecgsk import (
    ECGAugmentation,
    ECGFounderClassifier,
    MTECGClassifier,
    MTECGPretrainer,
    load_ptbxl,
)
from ecgsk.estimators import FullTraining, LinearProbe, PostTraining
from ecgsk.preprocessing import Standardize

EPOCHS = {0.1: 40, 0.3: 20, 1.0: 10}
TASKS = ("superdiagnostic", "rhythm", "form")
# The share of the labels at which rates of stochastic depth are compared.
COMPARED_AT = 0.3
# Second-hand values of the paper's recipe; the batches are smaller, for there are few records.
COMMON = {
    "sampling_rate": RATE,
    "batch_size": 32,
    "learning_rate": 5e-4,
    "weight_decay": 0.05,
    "layer_decay": 1.0,
    "precision": "float32",
}
SECOND = {"final_learning_rate": 1e-5, "stochastic_depth": 0.3, "dropout": 0.05}
WHOLE = PostTraining(head_epochs=30, head_learning_rate=5e-3, head_weight_decay=0.1, **SECOND)
NONE = FullTraining(final_learning_rate=1e-5)
ARMS = {
    "plain": NONE,
    "post-training": WHOLE,
    "without preview": FullTraining(**SECOND),
    "without stochastic depth": clone(WHOLE).set_params(stochastic_depth=0.0),
    "without dropout": clone(WHOLE).set_params(dropout=0.0),
    "head alone": LinearProbe(max_epochs=30, learning_rate=5e-3, weight_decay=0.1),
}
MAIN = ("plain", "post-training", "head alone")
RATES = {"depth 0.1": 0.1, "depth 0.5": 0.5}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ptbxl")
    parser.add_argument("--extra", help="more recordings for the bases")
    parser.add_argument("--weights", help="a checkpoint of ECGFounder: '12-lead' or a path")
    parser.add_argument("--work", default="post-training-work")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--bases", nargs="+", default=["net1d", "mtecg"])
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--fractions", nargs="+", type=float, default=sorted(EPOCHS))
    parser.add_argument("--minutes", type=float, default=np.inf, help="begin no cell after this")
    options = parser.parse_args()
    if options.weights:
        options.bases = ["ecgfounder"]
    study = Study(options)
    for cell in cells(options):
        if time.perf_counter() - study.start > 60 * options.minutes:
            print("out of time: call it again to go on")
            break
        study.run(cell)


def cells(options):
    """Yield the grid in the order of what matters most, each part for all seeds."""
    where = [
        {"seed": seed, "base": base, "task": task, "fraction": fraction}
        for seed in range(options.seeds)
        for task in options.tasks
        for base in options.bases
        for fraction in options.fractions
    ]
    for cell in where:
        for arm in MAIN:
            yield {**cell, "arm": arm}
    # The parts are taken apart where labels are few: there the paper gains most.
    parts = [arm for arm in ARMS if arm not in MAIN]
    few = [cell for cell in where if cell["fraction"] <= COMPARED_AT]
    for seed in range(options.seeds):
        for cell in few:
            if cell["seed"] == seed:
                for arm in parts:
                    yield {**cell, "arm": arm}
                if seed == 0 and cell["fraction"] == COMPARED_AT:
                    for arm in ("random start", *RATES):
                        yield {**cell, "arm": arm}
    for cell in where:
        if cell["seed"] == 0:
            yield {**cell, "arm": "random start"}


class Study:
    """Makes bases, fits cells and keeps their answers."""

    def __init__(self, options):
        self.options = options
        self.start = time.perf_counter()
        self.work = Path(options.work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.targets = {task: targets(options.ptbxl, task) for task in options.tasks}
        if options.weights:
            self._read_500()
            return
        records = ptbxl(options.ptbxl)
        self.X, self.patients, self.fold = records.X, records.patients, records.fold
        self.tuned_on = (self.fold > 4) & (self.fold < 9)
        half = self.fold < 5
        self.base_X, self.base_Y, self.unlabeled = records.X[half], records.Y[half], None
        if options.extra:
            more = more_ptbxl(options.extra, records.X[self.fold < 9])
            extra = more.fold < 5
            self.base_X = np.concatenate([self.base_X, more.X[extra]])
            self.base_Y = np.concatenate([self.base_Y, more.Y[extra]])
            self.unlabeled = cinc2011(options.extra)

    def _read_500(self):
        bunch = load_ptbxl(self.options.ptbxl, sampling_rate=500, folds=range(1, 10), lazy=True)
        ids = bunch.metadata.index
        self.X, self.patients, self.fold = bunch.data, bunch.groups, bunch.fold
        self.targets = {task: table.loc[ids] for task, table in self.targets.items()}
        self.tuned_on = self.fold < 9

    def base(self, name: str) -> Path | str:
        """Return the weights of a base, made at their first use."""
        if name == "ecgfounder":
            return self.options.weights
        path = self.work / f"base-{name}.safetensors"
        if not path.exists():
            shared = {
                "sampling_rate": RATE,
                "precision": "float32",
                "random_state": 0,
                "checkpoint_dir": self.work / "checkpoints",
            }
            augmentation = {"shift": 0.5, "lead_drop": 0, "noise": 0, "amplitude": 0.2}
            if name == "net1d":
                model = ECGFounderClassifier(
                    "small",
                    preprocessing="none",
                    max_epochs=60,
                    strategy=FullTraining(stochastic_depth=0.1),
                    augmentation=ECGAugmentation(**augmentation | {"lead_drop": 0.05}),
                    head_init="prior",
                    weight_averaging=0.99,
                    **shared,
                ).fit(Standardize().transform(self.base_X), self.base_Y)
            else:
                X = [self.base_X] if self.unlabeled is None else [self.base_X, self.unlabeled]
                model = MTECGPretrainer(
                    "small",
                    max_epochs=60,
                    augmentation=ECGAugmentation(**augmentation),
                    **shared,
                ).fit(np.concatenate(X))
            model.save_weights(path)
            print(f"base {name}: {sum(row['dur'] for row in model.history_):.0f} s", flush=True)
        return path

    def model(self, cell: dict):
        """Return the estimator of a cell."""
        arm, epochs = cell["arm"], EPOCHS[cell["fraction"]]
        strategy = ARMS.get(arm, NONE)
        if arm in RATES:
            strategy = clone(WHOLE).set_params(stochastic_depth=RATES[arm])
        # Without a preview, one more pass takes its place.
        max_epochs = epochs + (type(strategy) is FullTraining)
        params = {**COMMON, "strategy": strategy, "max_epochs": max_epochs}
        params["random_state"] = cell["seed"]
        weights = None if arm == "random start" else self.base(cell["base"])
        if cell["base"] == "ecgfounder":
            return ECGFounderClassifier(weights=weights, **{**params, "sampling_rate": 500})
        if cell["base"] == "net1d":
            size = "small" if weights is None else None
            return ECGFounderClassifier(size, weights=weights, preprocessing="none", **params)
        if weights is None:
            return MTECGClassifier("small", pooling="mean", **params)
        return MTECGClassifier(pretrained=weights, pooling="mean", **params)

    def run(self, cell: dict) -> None:
        """Fit one cell unless its answers are there, and save them."""
        name = "-".join(str(value).replace(" ", "_") for value in cell.values())
        path = self.work / f"cell-{name}.npz"
        if path.exists():
            return
        table = self.targets[cell["task"]]
        known = table.notna().all(axis=1).to_numpy()
        train = some_patients(self.patients, known & self.tuned_on, cell["fraction"], cell["seed"])
        valid = known & (self.fold == 9)
        model = self.model(cell)
        start = time.perf_counter()
        model.fit(self._pick(train, cell), table[train].astype(int))
        seconds = time.perf_counter() - start
        np.savez(
            path,
            probabilities=model.predict_proba(self._pick(valid, cell)).astype(np.float32),
            truth=table[valid].to_numpy(dtype=np.int8),
            patients=self.patients[valid],
            about=json.dumps({**cell, "n_train": int(train.sum()), "seconds": round(seconds, 1)}),
        )
        print(f"[{time.perf_counter() - self.start:5.0f} s] {cell}: {seconds:.1f} s", flush=True)

    def _pick(self, rows, cell):
        X = self.X[rows]
        return Standardize().transform(X) if cell["base"] == "net1d" else X


if __name__ == "__main__":
    main()
