"""Draw the first picture of the README: a recording, its findings, and why the answer is so.

python benchmarks/first_look.py [docs/figures/first-look.png]

The patient is synthetic. Takes a minute on two cores.
"""

import io
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from scipy.special import expit

from ecgsk import make_lef_classifier, make_lef_cohort
from ecgsk.datasets import PTBXL_STATEMENTS
from ecgsk.inspection import ECGDisplay, ExplanationDisplay, explain_record
from ecgsk.tabular import GroupedEBMClassifier

RATE = 250
# Of the 71 that the network knows, some that say different things.
FINDINGS = [
    *("CLBBB", "CRBBB", "LAFB", "AFIB", "STACH", "PVC", "1AVB"),
    *("ASMI", "IMI", "LVH", "INVT", "STD_", "LNGQT", "LOWT"),
]
INK, GREY, BAR, TRACK = "#1a1a1a", "#606060", "#1f5a99", "#e6ebf1"
WIDTH, HEIGHT, DPI = 12, 7.3, 150  # inches; shown at 900 pixels a point is a pixel


def patient():
    """Return a recording, its findings and what the glass box makes of them."""
    cohort = make_lef_cohort(2000, sampling_rate=RATE, random_state=0)
    known = cohort.groups < np.quantile(cohort.groups, 0.8)
    table = make_lef_classifier(sampling_rate=RATE)["predictors"].fit_transform(cohort.data)
    table = table[FINDINGS]
    glass_box = GroupedEBMClassifier(interactions=0, outer_bags=8, max_bins=256, random_state=0)
    glass_box.fit(table[known], cohort.target[known], groups=cohort.groups[known])
    # Of others that the model is sure of, the one in whom the network sees most.
    likely = np.argsort(-np.where(known, 0, glass_box.predict_proba(table)[:, 1]))[:10]
    chosen = likely[np.argmax((table.iloc[likely] > 0).sum(axis=1))]
    row = table.iloc[chosen]
    return cohort.data[chosen], row, explain_record(glass_box, row.to_frame().T)


def draw(recording, logits, explanation) -> plt.Figure:
    """Return the picture."""
    figure = plt.figure(figsize=(WIDTH, HEIGHT), facecolor="white")
    paper = figure.add_axes((0.012, 0.423, 0.684, 0.522))
    ECGDisplay.from_record(recording, sampling_rate=RATE, ax=paper)
    # The page without its margins.
    paper.set(ylim=(2, paper.get_ylim()[1] - 14), anchor="NW")
    probabilities = expit(logits).sort_values(ascending=False)
    _draw_findings(figure.add_axes((0.725, 0.41, 0.263, 0.535)), probabilities.head(7))
    why = figure.add_axes((0.13, 0.07, 0.858, 0.24))
    ExplanationDisplay.from_result(explanation, n_terms=6, value_format=_as_percent, ax=why)
    why.set_xlabel("log-odds", fontsize=9.5, color=GREY)
    for text in [*why.get_yticklabels(), *why.texts]:
        text.set_fontsize(10)
    for axes in (why, *why.child_axes):
        axes.tick_params(axis="x", labelsize=9, colors=GREY)
    for x, y, title, detail in (
        (0.012, 0.958, "An ECG", "twelve leads in mV (synthetic)"),
        (0.725, 0.958, "What the network sees", ""),
        (0.012, 0.378, "Why the glass box says low ejection fraction", "what each finding adds"),
    ):
        said = figure.text(x, y, title, fontsize=13, fontweight="bold", color=INK)
        edge = said.get_window_extent().x1 / figure.bbox.width
        figure.text(edge + 0.012, y, detail, fontsize=10.5, color=GREY)
    return figure


def _draw_findings(ax, probabilities):
    places = np.arange(len(probabilities))
    ax.set(xlim=(0, 1), ylim=(len(places) - 0.7, -0.8))
    ax.axis("off")
    ax.barh(places, 0.87, height=0.3, color=TRACK)
    ax.barh(places, 0.87 * probabilities, height=0.3, color=BAR)
    for place, (code, probability) in zip(places, probabilities.items(), strict=True):
        said = ax.text(0, place - 0.24, PTBXL_STATEMENTS[code], fontsize=10, va="bottom", color=INK)
        edge = said.get_window_extent().transformed(ax.transData.inverted()).x1
        ax.text(edge + 0.02, place - 0.24, code, fontsize=8, va="bottom", color=GREY)
        ax.text(1, place, f"{probability:.0%}", fontsize=10, va="center", ha="right",
                fontweight="bold", color=INK)  # fmt: skip


def _as_percent(term, logit) -> str:
    return f"{expit(float(logit)):.0%}"


def main():
    """Write the picture, with few colors to be small."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/figures/first-look.png")
    stream = io.BytesIO()
    draw(*patient()).savefig(stream, dpi=DPI)
    Image.open(stream).convert("RGB").quantize(48).save(out, optimize=True)
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
