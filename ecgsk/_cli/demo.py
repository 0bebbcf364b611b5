"""``ecgsk demo``: train and test a small network and an EBM that reads its probabilities."""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from interpret.glassbox import ExplainableBoostingClassifier
from scipy.special import expit
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ecgsk._core.files import write_file
from ecgsk._training import resolve_device
from ecgsk.datasets import load_ptbxl, make_lef_cohort
from ecgsk.estimators import MTECGClassifier
from ecgsk.inspection import EBMTermsDisplay, ECGDisplay
from ecgsk.metrics import Estimate, bootstrap, label_roc_auc, macro_roc_auc
from ecgsk.persistence import save, set_device
from ecgsk.preprocessing import BandPass
from ecgsk.tabular import ProbabilityTransformer, SinglePredictorClassifier

RATE = 100
_NOTE = "Research software, not a medical device."


@dataclass
class Cohort:
    """The data of the demo; ``name`` and ``kind`` of the recordings are for texts."""

    name: str
    kind: str
    data: np.ndarray  # (n_records, 12, n_samples), mV, at 100 Hz
    findings: pd.DataFrame  # targets of the network, 0 and 1
    groups: np.ndarray  # patients
    train: np.ndarray  # bool; the other records are for the test
    questions: dict[str, np.ndarray]  # targets of the EBM by name: 0, 1, or NaN where unknown
    epochs: int  # of the network
    oracle: np.ndarray | None = None  # the best possible score of each record

    @property
    def test(self) -> np.ndarray:
        """The records for the test."""
        return ~self.train


def synthetic_cohort(seed: int, n_records: int = 2500) -> Cohort:
    """Return synthetic ECGs with findings that depend on the ejection fraction."""
    bunch = make_lef_cohort(n_records, sampling_rate=RATE, random_state=seed)
    train, _ = next(
        GroupShuffleSplit(1, test_size=0.3, random_state=seed).split(
            bunch.data, groups=bunch.groups
        )
    )
    return Cohort(
        kind="synthetic ECG",
        name=f"synthetic low-EF cohort ({n_records} records; no real ejection fractions)",
        data=bunch.data,
        findings=pd.DataFrame(bunch.diagnoses, columns=bunch.diagnosis_names),
        groups=bunch.groups,
        train=np.isin(np.arange(n_records), train),
        questions={"EF at most 45 %": bunch.target.astype(float)},
        epochs=16,
        oracle=bunch.oracle,
    )


def ptbxl_cohort(path) -> Cohort:
    """Return PTB-XL without its test fold; its questions are about age and sex."""
    bunch = load_ptbxl(path, task="all", sampling_rate=RATE, folds=range(1, 10))
    age, sex = (bunch.metadata[name].to_numpy(dtype=float) for name in ("age", "sex"))
    return Cohort(
        kind="PTB-XL",
        name=f"PTB-XL ({len(bunch.data)} records of folds 1 to 9)",
        data=bunch.data,
        findings=pd.DataFrame(bunch.target, columns=bunch.target_names),
        groups=bunch.groups,
        train=bunch.fold < 9,
        questions={"age 65 or over": np.where(np.isnan(age), np.nan, age >= 65), "sex female": sex},
        epochs=12,
    )


def run_demo(options: argparse.Namespace) -> int:
    """Run the demo on the recordings of the options."""
    out = Path(options.out)
    existing = next(path for path in (out, *out.parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"--out {options.out!r}: {os.fspath(existing)!r} is not a folder. "
                         "Name another.")  # fmt: skip
    device = options.device or "auto"
    resolve_device(device)  # an error comes before the work
    say = _Log()
    say(f"ecgsk demo. {_NOTE}")
    say("Reading recordings ...")
    seed = options.seed
    cohort = ptbxl_cohort(options.ptbxl) if options.ptbxl else synthetic_cohort(seed)
    train_and_test(cohort, out, seed=seed, device=device, say=say)
    return 0


def train_and_test(
    cohort: Cohort,
    out: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    say: Callable[[str], None] = print,
) -> dict:
    """Train the network and the EBM, test them, and return the content of ``results.json``.

    The folder ``out`` receives it, the plots and the fitted Pipelines.
    """
    out.mkdir(parents=True, exist_ok=True)
    # It is written last: results of a run before must not stand next to models of this one.
    (out / "results.json").unlink(missing_ok=True)
    n_train, n_patients = int(cohort.train.sum()), len(set(cohort.groups[cohort.train]))
    say(
        f"{cohort.name}: {n_train} records of {n_patients} patients for training, "
        f"{int(cohort.test.sum())} for the test; {cohort.findings.shape[1]} findings."
    )

    band_pass = BandPass(0.5, 40.0, sampling_rate=RATE, n_jobs=2)
    network = MTECGClassifier(
        "small",
        sampling_rate=RATE,
        max_epochs=cohort.epochs,
        learning_rate=2e-3,
        device=device,
        precision="float32",
        random_state=seed,
        verbose=int(sys.stderr.isatty()),
    )
    step = ProbabilityTransformer(
        make_pipeline(band_pass, network), cv=3, scale="logit", random_state=seed
    )
    say(
        f"Training a small MTECG on the findings ({cohort.epochs} epochs): on three folds of "
        "patients for out-of-fold probabilities, then on all ..."
    )
    table = step.fit_transform(
        cohort.data[cohort.train],
        diagnoses=cohort.findings[cohort.train],
        groups=cohort.groups[cohort.train],
    )
    test_table = step.transform(cohort.data[cohort.test])
    results: dict[str, Any] = {
        "data": cohort.name,
        "seed": seed,
        "versions": {n: version(n) for n in ("ecgsk", "scikit-learn", "torch", "interpret-core")},
        "findings": _test_findings(cohort, test_table, say),
        "questions": {},
    }
    for question in cohort.questions:
        say(f"Question: {question}?")
        scores, model = _train_and_test_ebm(question, cohort, table, test_table, seed, say)
        results["questions"][question] = scores
        name = re.sub("[^a-z0-9]+", "-", question.lower()).strip("-")
        pipeline = Pipeline(
            [("diagnoses", ProbabilityTransformer(FrozenEstimator(step.estimator_), scale="logit"))]
            + [("glass box", model)]
        )
        save(set_device(pipeline, "auto"), out / f"{name}.ecgsk")  # for other machines, too
        figure = EBMTermsDisplay.from_estimator(model, n_terms=8).figure_
        figure.suptitle(
            f"{question}, by the log-odds of the network's findings; {cohort.kind}", y=1.03
        )
        figure.savefig(out / f"{name}-terms.png", dpi=150, bbox_inches="tight")
        plt.close(figure)
        _draw_record(question, cohort, pipeline, test_table, out / f"{name}-ecg.png")
    write_file(out / "results.json", (json.dumps(results, indent=2) + "\n").encode())
    say(f"Done. Plots, results and Pipelines are in {out}/. {_NOTE}")
    return results


def _test_findings(cohort, test_table, say) -> dict:
    truth = cohort.findings[cohort.test].to_numpy()
    areas = label_roc_auc(truth, test_table.to_numpy())
    macro = bootstrap(
        macro_roc_auc,
        truth,
        test_table.to_numpy(),
        groups=cohort.groups[cohort.test],
        n_resamples=100,
        random_state=0,
    )
    n_ranked = int(np.isfinite(areas).sum())
    say(f"Findings on the test records: macro AUROC {macro}, of {n_ranked} findings.")
    return {"macro_auroc": _as_dict(macro), "n_ranked": n_ranked}


def _train_and_test_ebm(question, cohort, table, test_table, seed, say):
    """Cross-validate and test the EBM and simpler models on one question."""
    y = cohort.questions[question]
    known = {part: np.isfinite(y[rows]) for part, rows in _parts(cohort)}
    y_train, y_test = (y[rows][known[part]].astype(int) for part, rows in _parts(cohort))
    X_train, X_test = table[known["train"]], test_table[known["test"]]
    groups, test_groups = (cohort.groups[rows][known[part]] for part, rows in _parts(cohort))
    folds = list(
        StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(X_train, y_train, groups)
    )
    models = {
        # The network that is refitted on all records is more confident than those of the folds;
        # coarse bins are less sensitive to the difference.
        "EBM": ExplainableBoostingClassifier(
            interactions=0, max_bins=32, min_samples_leaf=20, random_state=seed
        ),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(C=0.1)),
    }
    say(
        f"  {len(y_train)} records, {y_train.mean():.0%} yes; cross-validated over 5 folds of "
        f"patients, then tested on {len(y_test)} records."
    )
    results = {}

    def add(name, cross_validated, tested):
        results[name] = {
            "cross_validated": _as_dict(_auroc(y_train, cross_validated, groups)),
            "test": _as_dict(_auroc(y_test, tested, test_groups)),
        }
        text = [f"{Estimate(**results[name][key])}" for key in ("cross_validated", "test")]
        say(f"  AUROC, {name:<24} {text[0]:<26} test {text[1]}")

    single = SinglePredictorClassifier("best").fit(X_train, y_train)
    scores = (single.decision_function(X) for X in (X_train, X_test))
    add(f"{single.predictor_} alone", *scores)
    for name, model in models.items():
        scores = cross_val_predict(model, X_train, y_train, cv=folds, method="predict_proba")[:, 1]
        model.fit(X_train, y_train)
        add(name, scores, model.predict_proba(X_test)[:, 1])
    if cohort.oracle is not None:
        add(
            "best possible",
            cohort.oracle[cohort.train][known["train"]],
            cohort.oracle[cohort.test][known["test"]],
        )
    return results, models["EBM"]


def _parts(cohort):
    return (("train", cohort.train), ("test", cohort.test))


def _auroc(y, score, groups) -> Estimate:
    return bootstrap(roc_auc_score, y, score, groups=groups, n_resamples=500, random_state=0)


def _as_dict(estimate: Estimate) -> dict:
    return {name: round(value, 4) for name, value in estimate._asdict().items()}


def _draw_record(question, cohort, pipeline, test_table, path) -> None:
    """Draw the test record with the highest probability."""
    probabilities = pipeline[-1].predict_proba(test_table)[:, 1]
    highest = int(np.argmax(probabilities))
    findings = test_table.iloc[highest].sort_values(ascending=False)[:3]
    shown = ", ".join(f"{name} {expit(logit):.2f}" for name, logit in findings.items())
    ECGDisplay.from_record(
        cohort.data[cohort.test][highest],
        sampling_rate=RATE,
        title=f"{question}: {probabilities[highest]:.2f}   ({shown}; {cohort.kind})",
    )
    plt.savefig(path, dpi=150)
    plt.close()


class _Log:
    """Prints texts with the time since the start."""

    def __init__(self):
        self.start = time.perf_counter()

    def __call__(self, text: str) -> None:
        print(f"[{time.perf_counter() - self.start:4.0f} s] {text}", flush=True)
