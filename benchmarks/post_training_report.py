"""Report what `post_training_study.py` has found: JSON, a picture and tables.

    python benchmarks/post_training_report.py WORK --docs docs

Intervals are 95 % bootstrap intervals over the patients of fold 9 (500 resamples, seed 0). A figure
over several seeds is their mean, and its interval that of the mean. Gains are paired: on the same
patients, and of the same seeds. A label that a resample does not contain is left out of its mean.
"""

import argparse
import json
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import matplotlib
import numpy as np
from post_training_study import ARMS, EPOCHS, RATES, TASKS
from scipy.stats import rankdata

from ecgsk.metrics import macro_average_precision, macro_roc_auc

matplotlib.use("Agg")
N_RESAMPLES = 500
NAMES = {"superdiagnostic": "5 superclasses", "rhythm": "rhythm", "form": "form"}
BASES = {"net1d": "Net1D", "mtecg": "MTECG", "ecgfounder": "ECGFounder"}
METRICS = ("auroc", "auprc")
PARTS = [arm for arm in ARMS if arm.startswith("without")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work")
    parser.add_argument("--docs", default="docs")
    options = parser.parse_args()
    docs = Path(options.docs)
    rows = [row for group in read(options.work).values() if (row := compare(group))]
    order = {name: i for i, name in enumerate([*BASES, *TASKS])}
    rows.sort(key=lambda row: (order[row["base"]], order[row["task"]], row["fraction"]))
    study = {
        "versions": {n: version(n) for n in ("ecgsk", "torch", "scikit-learn", "skorch")},
        "n_resamples": N_RESAMPLES,
        "cells": rows,
    }
    (docs / "post_training_study.json").write_text(json.dumps(study, indent=1) + "\n")
    draw(rows, docs / "figures" / "post-training-gain.png")
    page = tables(rows)
    path = docs / "results.md"
    before, mark, rest = path.read_text().partition("<!-- post_training_study -->\n")
    _, end, after = rest.partition("<!-- end of post_training_study -->")
    assert mark and end, f"{path} has no place for the tables"
    path.write_text(before + mark + page + end + after)
    print(page)


def read(work) -> dict:
    """Return the cells by base, task and share of labels, and in these by arm."""
    groups = defaultdict(lambda: defaultdict(list))
    for path in sorted(Path(work).glob("cell-*.npz")):
        with np.load(path) as file:
            cell = {**json.loads(str(file["about"])), **{k: file[k] for k in file.files[:3]}}
        groups[cell["base"], cell["task"], cell["fraction"]][cell["arm"]].append(cell)
    return groups


def compare(arms: dict) -> dict | None:
    """Return the figures of one base, task and share of labels."""
    if not {"plain", "post-training"} <= set(arms):
        return None
    by_seed = {arm: {cell["seed"]: cell for cell in cells} for arm, cells in arms.items()}
    first = arms["plain"][0]
    truth, patients = first["truth"], first["patients"]
    columns = [(arm, seed) for arm, cells in by_seed.items() for seed in cells]
    scores = np.stack([by_seed[arm][seed]["probabilities"] for arm, seed in columns], axis=1)
    exact = np.array(
        [
            [macro_roc_auc(truth, scores[:, i]), macro_average_precision(truth, scores[:, i])]
            for i in range(len(columns))
        ]
    )
    drawn = np.stack([macros(truth[rows], scores[rows]) for rows in resamples(patients)])

    def mean_of(arm, seeds, values):
        return values[..., [columns.index((arm, seed)) for seed in seeds], :].mean(axis=-2)

    def figure(arm, against=None):
        seeds = sorted(set(by_seed[arm]) & set(by_seed[against or arm]))
        value, spread = mean_of(arm, seeds, exact), mean_of(arm, seeds, drawn)
        reference = None
        if against:
            reference = mean_of(against, seeds, exact)
            value, spread = value - reference, spread - mean_of(against, seeds, drawn)
        low, high = np.quantile(spread, [0.025, 0.975], axis=0)
        found = {"seeds": len(seeds)}
        for i, metric in enumerate(METRICS):
            found[metric] = [round(float(v), 4) for v in (value[i], low[i], high[i])]
            if against:
                found[f"{metric}_relative_percent"] = round(float(100 * value[i] / reference[i]), 1)
                each = [
                    mean_of(arm, [s], exact)[i] - mean_of(against, [s], exact)[i] for s in seeds
                ]
                found[f"{metric}_each_seed"] = [round(float(v), 4) for v in each]
        return found

    ranked = (truth == 0).any(axis=0) & (truth == 1).any(axis=0)
    return {
        **{k: first[k] for k in ("base", "task", "fraction")},
        "n_train": sorted({cell["n_train"] for cell in arms["plain"]}),
        "n_valid": len(truth),
        "n_labels_ranked": int(ranked.sum()),
        "prevalence": round(float(truth[:, ranked].mean()), 4),
        "arms": {arm: figure(arm) for arm in arms},
        "gain": figure("post-training", "plain"),
        "parts": {arm: figure("post-training", arm) for arm in PARTS if arm in arms},
        "rates": {arm: figure(arm, "post-training") for arm in RATES if arm in arms},
    }


def resamples(patients):
    """Yield the rows of patients drawn with replacement."""
    random = np.random.default_rng(0)
    _, unit = np.unique(patients, return_inverse=True)
    members = [np.flatnonzero(unit == i) for i in range(unit.max() + 1)]
    for _ in range(N_RESAMPLES):
        yield np.concatenate([members[i] for i in random.integers(len(members), size=len(members))])


def macros(truth, scores) -> np.ndarray:
    """Return macro AUROC and average precision of each stack, all at once."""
    ranked = (truth == 0).any(axis=0) & (truth == 1).any(axis=0)
    truth, scores = truth[:, ranked].astype(bool), scores[..., ranked]
    n_true = truth.sum(axis=0)
    of_true = np.where(truth[:, None], rankdata(scores, axis=0), 0).sum(axis=0)
    auroc = (of_true - n_true * (n_true + 1) / 2) / (n_true * (len(truth) - n_true))
    order = np.argsort(-scores, axis=0)
    hits = np.take_along_axis(np.broadcast_to(truth[:, None], scores.shape), order, axis=0)
    precision = hits.cumsum(axis=0) / np.arange(1, len(truth) + 1)[:, None, None]
    auprc = (precision * hits).sum(axis=0) / n_true
    return np.stack([auroc.mean(axis=-1), auprc.mean(axis=-1)], axis=-1)


def interval(values, digits=3) -> str:
    value, low, high = values
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def signed(values) -> str:
    value, low, high = values
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def tables(rows) -> str:
    lines = [
        "",
        "**Post-training against plain fine-tuning, same passes through all weights**",
        "",
        "| base | task | labels | records | plain AUROC | post-training AUROC | gain | plain AUPRC "
        "| gain of AUPRC | relative, AUROC / AUPRC |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        plain, gain = row["arms"]["plain"], row["gain"]
        cells = [
            BASES[row["base"]],
            NAMES[row["task"]],
            f"{row['fraction']:.0%}",
            f"{min(row['n_train'])} to {max(row['n_train'])}",
            interval(plain["auroc"]),
            interval(row["arms"]["post-training"]["auroc"]),
            signed(gain["auroc"]),
            interval(plain["auprc"]),
            signed(gain["auprc"]),
            f"{gain['auroc_relative_percent']:+.1f} / {gain['auprc_relative_percent']:+.1f} %",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "**What each part adds to post-training: the whole less the whole without it, AUROC**",
        "",
        "| base | task | labels | seeds | preview | stochastic depth | dropout |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["parts"]:
            parts = [
                signed(row["parts"][part]["auroc"]) if part in row["parts"] else "not run"
                for part in PARTS
            ]
            n_seeds = {str(part["seeds"]) for part in row["parts"].values()}
            where = [BASES[row["base"]], NAMES[row["task"]], f"{row['fraction']:.0%}"]
            lines.append("| " + " | ".join([*where, "/".join(sorted(n_seeds)), *parts]) + " |")
    lines += [
        "",
        "**For scale, AUROC**: the head alone on the resting base; a random start of all weights; "
        "other rates of stochastic depth than 0.3, less post-training (one seed)",
        "",
        "| base | task | labels | head alone | random start (one seed) | rate 0.1 | rate 0.5 |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        arms = [
            interval(row["arms"][arm]["auroc"]) if arm in row["arms"] else "not run"
            for arm in ("head alone", "random start")
        ]
        rates = [signed(row["rates"][arm]["auroc"]) if arm in row["rates"] else "" for arm in RATES]
        where = [BASES[row["base"]], NAMES[row["task"]], f"{row['fraction']:.0%}"]
        lines.append("| " + " | ".join([*where, *arms, *rates]) + " |")
    seeds = sorted({row["gain"]["seeds"] for row in rows})
    lines += ["", f"Seeds of the gains: {', '.join(map(str, seeds))}.", ""]
    return "\n".join(lines) + "\n"


def draw(rows, path) -> None:
    import matplotlib.pyplot as plt

    bases = [base for base in BASES if any(row["base"] == base for row in rows)]
    figure, axes = plt.subplots(
        len(bases), 2, figsize=(9, 3 * len(bases)), sharey="col", squeeze=False
    )
    for base, line in zip(bases, axes, strict=True):
        for metric, axis in zip(METRICS, line, strict=True):
            for i, task in enumerate(TASKS):
                found = [row for row in rows if (row["base"], row["task"]) == (base, task)]
                at = np.array([sorted(EPOCHS).index(row["fraction"]) for row in found])
                gains = np.array([row["gain"][metric] for row in found]).reshape(-1, 3)
                error = abs(gains[:, 1:] - gains[:, :1]).T
                axis.errorbar(
                    at + 0.15 * (i - 1), gains[:, 0], error, fmt="o", capsize=3, label=NAMES[task]
                )
            axis.axhline(0, color="0.5", linewidth=0.8)
            axis.set_xticks(range(len(EPOCHS)), [f"{f:.0%}" for f in sorted(EPOCHS)])
            axis.set_title(f"{BASES[base]}: gain of macro {metric.upper()}")
            axis.set_xlabel("share of the labels")
    axes[0, 0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
