"""
EchoNext: what the files hold
=============================

EchoNext pairs ECGs with echocardiograms. Access is restricted, so this script writes a synthetic
data set of the same layout with a planted ejection fraction; with the real one::

    python examples/plot_05_echonext.py --path /data/echonext

We will look at who is in a split, what the question can be, and a recording. Runs in ten seconds.
"""

import argparse
from pathlib import Path

import numpy as np

from ecgsk import load_echonext, make_echonext
from ecgsk.inspection import ECGDisplay, describe_cohort

parser = argparse.ArgumentParser()
parser.add_argument("--path", help="folder of EchoNext (default: a synthetic one is made)")
parser.add_argument("--out", default="example-output")
options = parser.parse_args()
out = Path(options.out)
out.mkdir(parents=True, exist_ok=True)
path = options.path or make_echonext(out / "echonext", 1200, random_state=0).path

# %%
# Nothing is read but the tables: the recordings stay on disk until they are asked for. They are in
# mV again, from the standardized values that the files hold.
train = load_echonext(path, split="train")
print(train.DESCR)
print(train.data, f"{train.data.nbytes / 1e6:.0f} MB if it were all read")

# %%
# Who is in it. Patients have several recordings in this split, so they travel along as groups.
sex = train.covariates["sex"].map({0: "male", 1: "female"})
by = train.covariates.assign(sex=sex, setting=train.metadata["location_setting"])
print(describe_cohort(train.target, by, groups=train.groups, names=("EF above 45", "EF <= 45")))

# %%
# The question is yours: another cut-off, a degree, one of the twelve flags, or all of them. The
# measured value is missing for some; what follows from the flag is used, the rest is left out.
for target in ("lvef<=35", "lvef<=40", "lvef<=45", "lvef<=50", "severe", "flags"):
    part = load_echonext(path, split="train", target=target)
    share = ", ".join(f"{value:.1%}" for value in part.target.mean(axis=0, keepdims=True).ravel())
    print(f"{target:<9} {len(part.target)} records, {part.left_out.no_target} left out: {share}")

# %%
# The records of no_split are earlier ones of the patients of val and test. Training on them would
# leak, and the loader refuses.
try:
    load_echonext(path, split="no_split")
except ValueError as error:
    print(error)

# %%
# One recording, and what is known beside it. Its table goes wherever the recording goes.
number = int(np.flatnonzero(np.isfinite(train.ejection_fraction))[0])
print(train.data[number : number + 1].table.to_dict("records"))
ef = train.ejection_fraction[number]
display = ECGDisplay.from_record(
    train.data[number],
    sampling_rate=train.sampling_rate,
    title=f"EF {ef:.0f} %{', synthetic' if train.synthetic else ''}",
)
display.figure_.savefig(out / "echonext-ecg.png", dpi=120)
