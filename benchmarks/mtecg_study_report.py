"""Report what `mtecg_study.py` has found: JSON, pictures and a page of results.

    python benchmarks/mtecg_study_report.py WORK --docs docs [--shipped SHIPPED_WORK]

Intervals are 95 % bootstrap intervals over the patients of fold 9. A figure over several seeds is
their mean, and its interval that of the mean: it says how far the patients of fold 9 carry it, not
how seeds spread, which is given beside it. Differences are paired: on the same patients.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import matplotlib
import numpy as np
from mtecg_study import COMPARED_AT, EPOCHS, RATIOS, STANDARD, WITHOUT

from ecgsk.metrics import bootstrap, macro_roc_auc

matplotlib.use("Agg")
TASKS = {"superdiagnostic": "5 superclasses", "all": "71 statements"}
COLORS = {"pretrained": "#c8401e", "random": "#4a6d8c"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work")
    parser.add_argument("--shipped", help="the work folder of a study of the shipped encoder")
    parser.add_argument("--docs", default="docs")
    options = parser.parse_args()
    docs = Path(options.docs)
    (docs / "figures").mkdir(parents=True, exist_ok=True)
    cells = read(options.work)
    study = {
        "versions": {n: version(n) for n in ("ecgsk", "torch", "scikit-learn", "skorch")},
        "starts": starts(cells),
        "masking": masking(cells, Path(options.work)),
        "recipe": recipe(cells),
        "shipped_encoder": starts(read(options.shipped)) if options.shipped else [],
    }
    (docs / "mtecg_study.json").write_text(json.dumps(study, indent=1) + "\n")
    draw_starts(study["starts"], docs / "figures" / "pretraining-by-labels.png")
    draw_masking(study["masking"], docs / "figures" / "masking-ratio.png")
    page = tables(study)
    path = docs / "results.md"
    before, mark, rest = path.read_text().partition("<!-- mtecg_study -->\n")
    _, end, after = rest.partition("<!-- end of mtecg_study -->")
    assert mark and end, f"{path} has no place for the tables"
    path.write_text(before + mark + page + end + after)
    print(page)


def read(work) -> list[dict]:
    """Return the cells of a study with their answers."""
    cells = []
    for path in sorted(Path(work).glob("cell-*.npz")):
        with np.load(path) as file:
            cells.append({**json.loads(str(file["about"])), **{k: file[k] for k in file.files[:3]}})
    return cells


def some(cells, **wanted) -> list[dict]:
    """Return the cells with these values, in the order of their seeds."""
    kinds = ("start", "mask_ratio", "without")
    found = [
        cell
        for cell in cells
        if all(cell.get(k) == v for k, v in wanted.items())
        and not any(k in cell and k not in wanted for k in kinds)
    ]
    return sorted(found, key=lambda cell: cell["seed"])


def macro(truth, *stacks):
    """Return the mean over seeds; of two stacks the difference."""
    means = [np.mean([macro_roc_auc(truth, p[:, s]) for s in range(p.shape[1])]) for p in stacks]
    return means[0] if len(means) == 1 else means[0] - means[1]


def figure(*groups):
    """Return a mean over seeds with its interval; for two groups of cells the paired difference."""
    n = min(len(cells) for cells in groups)
    if n == 0:
        return None
    stacks = [np.stack([cell["probabilities"] for cell in cells[:n]], axis=1) for cells in groups]
    first = groups[0][0]
    value = bootstrap(
        macro, first["truth"], *stacks, groups=first["patients"], n_resamples=200, random_state=0
    )
    each = [macro(first["truth"], *(p[:, [s]] for p in stacks)) for s in range(n)]
    return {**value._asdict(), "each_seed": [round(float(v), 4) for v in each]}


def starts(cells) -> list[dict]:
    rows = []
    for task in TASKS:
        for fraction in EPOCHS:
            groups = [
                some(cells, task=task, fraction=fraction, start=start)
                for start in ("pretrained", "random")
            ]
            # Seeds of which only one start was run would compare unlike records.
            n_seeds = min(map(len, groups))
            groups = [found[:n_seeds] for found in groups]
            if all(groups):
                rows.append(
                    {
                        "task": task,
                        "fraction": fraction,
                        "n_train": [cell["n_train"] for cell in groups[0]],
                        "pretrained": figure(groups[0]),
                        "random": figure(groups[1]),
                        "gain": figure(*groups),
                    }
                )
    return rows


def masking(cells, work) -> list[dict]:
    rows = []
    for task in TASKS:
        for ratio in RATIOS:
            wanted = {"mask_ratio": ratio} if ratio != STANDARD else {"start": "pretrained"}
            found = some(cells, task=task, fraction=COMPARED_AT, **wanted)
            if found:
                said = json.loads((work / f"encoder-{ratio}.json").read_text())
                rows.append(
                    {
                        "task": task,
                        "mask_ratio": ratio,
                        "macro_auroc": figure(found),
                        "masked_loss": round(said["train_loss"][-1], 4),
                        "seconds": said["seconds"],
                    }
                )
    return rows


def recipe(cells) -> list[dict]:
    rows = []
    for task in TASKS:
        whole = some(cells, task=task, fraction=COMPARED_AT, start="pretrained")
        for part in WITHOUT:
            without = some(cells, task=task, fraction=COMPARED_AT, without=part)
            if without and whole:
                rows.append(
                    {
                        "task": task,
                        "without": part,
                        "macro_auroc": figure(without),
                        "change": figure(without, whole),
                    }
                )
    return rows


def shown(value, sign=False) -> str:
    form = "{:+.3f}" if sign else "{:.3f}"
    low, high = form.format(value["low"]), form.format(value["high"])
    return f"{form.format(value['value'])} ({low} to {high})"


def by_seed(value, sign=False) -> str:
    return " ".join(f"{v:+.3f}" if sign else f"{v:.3f}" for v in value["each_seed"])


def tables(study) -> str:
    lines = []

    def table(title, header, rows):
        if rows:
            lines.extend(["", f"**{title}**", "", f"| {' | '.join(header)} |"])
            lines.append("|" + " --- |" * len(header))
            lines.extend(f"| {' | '.join(row)} |" for row in rows)

    for key, title in (
        ("starts", "Pre-trained against random start, small network"),
        ("shipped_encoder", "The same with the shipped encoder and its size"),
    ):
        table(
            title,
            ["task", "labels", "pre-trained", "random start", "gain", "gain of each seed"],
            [
                [
                    TASKS[r["task"]],
                    f"{r['fraction']:.0%} ({round(np.mean(r['n_train']))})",
                    shown(r["pretrained"]),
                    shown(r["random"]),
                    shown(r["gain"], sign=True),
                    by_seed(r["gain"], sign=True),
                ]
                for r in study[key]
            ],
        )
    table(
        f"Masking ratio, fine-tuned with {COMPARED_AT:.0%} of the labels",
        ["task", "masked", "macro AUROC", "each seed", "masked loss", "pre-training, s"],
        [
            [
                TASKS[r["task"]],
                f"{r['mask_ratio']:.0%}",
                shown(r["macro_auroc"]),
                by_seed(r["macro_auroc"]),
                f"{r['masked_loss']:.3f}",
                f"{r['seconds']}",
            ]
            for r in study["masking"]
        ],
    )
    table(
        f"The recipe without one of its parts, {COMPARED_AT:.0%} of the labels",
        ["task", "without", "macro AUROC", "change", "change of each seed"],
        [
            [
                TASKS[r["task"]],
                r["without"],
                shown(r["macro_auroc"]),
                shown(r["change"], sign=True),
                by_seed(r["change"], sign=True),
            ]
            for r in study["recipe"]
        ],
    )
    return "\n".join([*lines, "", ""])


def panels():
    from matplotlib import pyplot as plt

    figure_, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for ax, title in zip(axes, TASKS.values(), strict=True):
        ax.set_title(title)
        ax.set_ylabel("macro AUROC, fold 9")
        ax.spines[["top", "right"]].set_visible(False)
    return figure_, dict(zip(TASKS, axes, strict=True))


def draw_starts(rows, path):
    figure_, axes = panels()
    for task, ax in axes.items():
        here = [row for row in rows if row["task"] == task]
        for start, color in COLORS.items():
            x = np.array([row["fraction"] * 100 for row in here])
            value, low, high = (
                np.array([row[start][k] for row in here]) for k in ("value", "low", "high")
            )
            label = {"pretrained": "pre-trained", "random": "random start"}[start]
            ax.errorbar(
                x,
                value,
                [value - low, high - value],
                fmt="o-",
                color=color,
                capsize=3,
                label=label,
            )
        ax.set_xscale("log")
        ax.set_xticks([10, 30, 100], ["10 %", "30 %", "100 %"])
        ax.minorticks_off()
        ax.set_xlabel("share of the labels")
    axes["superdiagnostic"].legend(frameon=False, loc="lower right")
    figure_.savefig(path, dpi=130)


def draw_masking(rows, path):
    figure_, axes = panels()
    for task, ax in axes.items():
        here = [row for row in rows if row["task"] == task]
        x = np.array([row["mask_ratio"] * 100 for row in here])
        value, low, high = (
            np.array([row["macro_auroc"][k] for row in here]) for k in ("value", "low", "high")
        )
        ax.errorbar(
            x, value, [value - low, high - value], fmt="o-", color=COLORS["pretrained"], capsize=3
        )
        ax.set_xticks([5, 25, 50, 75])
        ax.set_xlabel("masked, % of the segments")
    figure_.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
