"""
Low ejection fraction by one probability alone
==============================================

A network that was never trained on ejection fractions says how likely each of 71 ECG statements
is. Each of these probabilities is an answer to another question: does a high (or a low) one go with
a low ejection fraction? Nothing is trained here.

Synthetic records by default; ``--path /data/echonext`` for the real ones. Runs in half a minute.
"""

import argparse
from pathlib import Path

from sklearn.pipeline import make_pipeline

from ecgsk import load_echonext, make_echonext, make_lef_classifier
from ecgsk.inspection import PredictorsDisplay
from ecgsk.metrics import choose_threshold, evaluate_binary
from ecgsk.tabular import SinglePredictorClassifier, screen_predictors

parser = argparse.ArgumentParser()
parser.add_argument("--path", help="folder of EchoNext (default: a synthetic one is made)")
parser.add_argument("--out", default="example-output")
options = parser.parse_args()
out = Path(options.out)
out.mkdir(parents=True, exist_ok=True)
path = options.path or make_echonext(out / "echonext", 1200, random_state=0).path
train, val, test = (load_echonext(path, split=split) for split in ("train", "val", "test"))
where = "synthetic records" if test.synthetic else "EchoNext"

# %%
# From recordings at 250 Hz to a table of log-odds, by the first step of the framework.
to_table = make_lef_classifier("mtecg", sampling_rate=train.sampling_rate)["predictors"]
tables = {part.split: to_table.fit(part.data).transform(part.data) for part in (train, val, test)}

# %%
# Every column alone, on the training records.
screened = screen_predictors(
    tables["train"], train.target, groups=train.groups, n_resamples=200, random_state=0
)
print(screened.table.head(8).round(3).to_string())
title = f"Single predictors of EF <= 45 %, {where}"
display = PredictorsDisplay.from_result(screened, title=title)
display.figure_.savefig(out / "predictors.png", dpi=120, bbox_inches="tight")

# %%
# The best of them as a classifier. It was chosen on train and gets its threshold from val; what it
# is worth is what it does on test.
best, direction = screened.table.index[0], screened.table["direction"].iloc[0]
alone = SinglePredictorClassifier(best, direction=direction)
alone = make_pipeline(alone).fit(tables["train"], train.target)
threshold = choose_threshold(val.target, alone.predict_proba(tables["val"])[:, 1], rule="youden")
result = evaluate_binary(
    test.target,
    alone.predict_proba(tables["test"])[:, 1],
    threshold=threshold,
    groups=test.groups,
    random_state=0,
)
print(f"{best} alone ({direction} values support it), on test, {where}:")
print(result.table.round(3))
