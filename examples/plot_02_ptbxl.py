"""
Diagnostic statements from PTB-XL
=================================

Trains a small MTECG on folds 1 to 8 of a PTB-XL download and scores it on fold 9::

    python examples/plot_02_ptbxl.py PTBXL_DIR [--epochs 12] [--task superdiagnostic]

A fifth of PTB-XL takes about a minute on two cores. Where the site was built without a download,
this page shows the script and not what it prints.
"""

# sphinx_gallery_thumbnail_path = 'figures/pretraining-by-labels.png'

import argparse

import pandas as pd
from sklearn.pipeline import make_pipeline

from ecgsk import MTECGClassifier, load_ptbxl
from ecgsk.metrics import bootstrap, label_roc_auc, macro_roc_auc
from ecgsk.preprocessing import BandPass

parser = argparse.ArgumentParser()
parser.add_argument("ptbxl")
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--task", default="superdiagnostic")
options = parser.parse_args()

# %%
# Fold 10 stays unread: it is for the figure in the paper, once.
records = load_ptbxl(options.ptbxl, task=options.task, sampling_rate=100, folds=range(1, 10))
print(records.DESCR)
train, test = records.fold < 9, records.fold == 9

# %%
# The column names of a DataFrame become the names of the labels.
model = make_pipeline(
    BandPass(0.5, 40, sampling_rate=100),
    MTECGClassifier(
        "small",
        sampling_rate=100,
        max_epochs=options.epochs,
        learning_rate=2e-3,
        precision="float32",
        random_state=0,
        verbose=2,
    ),
)
model.fit(records.data[train], pd.DataFrame(records.target, columns=records.target_names)[train])

# %%
p = model.predict_proba(records.data[test])
macro = bootstrap(
    macro_roc_auc,
    records.target[test],
    p,
    groups=records.groups[test],
    n_resamples=200,
    random_state=0,
)
print(f"macro AUROC on fold 9: {macro}")
print(pd.Series(label_roc_auc(records.target[test], p), model[-1].label_names_).round(3))
