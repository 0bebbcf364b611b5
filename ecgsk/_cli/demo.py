"""The whole way once: recordings, probabilities, a glass box, figures with intervals, pictures."""

import json
import re
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

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

from ecgsk.datasets import load_ptbxl, make_lef_cohort
from ecgsk.estimators import MTECGClassifier
from ecgsk.inspection import EBMTermsDisplay, ECGDisplay
from ecgsk.metrics import Estimate, bootstrap, label_roc_auc, macro_roc_auc
from ecgsk.persistence import save
from ecgsk.preprocessing import BandPass
from ecgsk.tabular import ProbabilityTransformer

RATE = 100
_NOTE = "Research software, not a medical device."


@dataclass
class Cohort:
    """What the demo needs of a data set."""

    name: str
    kind: str
    data: np.ndarray
    findings: pd.DataFrame
    groups: np.ndarray
    train: np.ndarray
    questions: dict[str, np.ndarray]
    epochs: int
    oracle: np.ndarray | None = None

    @property
    def test(self) -> np.ndarray:
        """Mark the records kept apart."""
        return ~self.train


def synthetic_cohort(seed: int, n_records: int = 2500) -> Cohort:
    """Return synthetic ECGs whose ejection fraction shows through planted findings."""
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
    """Return PTB-XL without its test fold, with questions that are not among its statements."""
    bunch = load_ptbxl(path, task="all", sampling_rate=RATE, folds=range(1, 10))
    age, sex = (bunch.metadata[name].to_numpy(dtype=float) for name in ("age", "sex"))
    return Cohort(
        kind="PTB-XL",
        name=f"PTB-XL ({len(bunch.data)} records of folds 1 to 9)",
        data=bunch.data,
        findings=pd.DataFrame(bunch.target, columns=bunch.target_names),
        groups=bunch.groups,
        train=bunch.fold < 9,
        questions={
            "age 65 or over": np.where(np.isnan(age), np.nan, age >= 65),
            "sex female": sex,
        },
        epochs=12,
    )


def run_demo(ptbxl=None, out="demo-output", *, seed: int = 0, cohort: Cohort | None = None) -> dict:
    """Run the demo and return its figures.

    Parameters
    ----------
    ptbxl : path, default=None
        Folder of a PTB-XL download; None uses synthetic recordings.
    out : path, default="demo-output"
        Folder for the pictures, the figures and the fitted Pipeline.
    seed : int, default=0
        Seeds everything.
    cohort : Cohort, default=None
        Recordings to use instead.

    Returns
    -------
    dict
        What ``results.json`` in the folder holds.
    """
    say = _Speaker()
    out = Path(out)
    say(f"ecgsk demo. {_NOTE}")
    if cohort is None:
        say("Reading recordings ...")
        cohort = synthetic_cohort(seed) if ptbxl is None else ptbxl_cohort(ptbxl)
    out.mkdir(parents=True, exist_ok=True)
    n_train, n_patients = int(cohort.train.sum()), len(set(cohort.groups[cohort.train]))
    say(
        f"{cohort.name}: {n_train} records of {n_patients} patients to learn from, "
        f"{int(cohort.test.sum())} kept apart; {cohort.findings.shape[1]} findings."
    )

    band_pass = BandPass(0.5, 40.0, sampling_rate=RATE, n_jobs=2)
    network = MTECGClassifier(
        "small",
        sampling_rate=RATE,
        max_epochs=cohort.epochs,
        learning_rate=2e-3,
        precision="float32",
        random_state=seed,
        verbose=int(sys.stderr.isatty()),
    )
    step = ProbabilityTransformer(
        make_pipeline(band_pass, network), cv=3, scale="logit", random_state=seed
    )
    say(
        f"Training a small MTECG to tell the findings ({cohort.epochs} epochs): on three folds of "
        "patients for probabilities of records it has not seen, then on all ..."
    )
    table = step.fit_transform(
        cohort.data[cohort.train],
        diagnoses=cohort.findings[cohort.train],
        groups=cohort.groups[cohort.train],
    )
    held_out = step.transform(cohort.data[cohort.test])
    results = {
        "data": cohort.name,
        "seed": seed,
        "versions": {n: version(n) for n in ("ecgsk", "scikit-learn", "torch", "interpret-core")},
        "findings": _finding_figures(cohort, held_out, say),
        "questions": {},
    }
    for question in cohort.questions:
        say(f"Question: {question}?")
        figures, model = _answer(question, cohort, table, held_out, seed, say)
        results["questions"][question] = figures
        name = re.sub("[^a-z0-9]+", "-", question.lower()).strip("-")
        pipeline = Pipeline(
            [("diagnoses", ProbabilityTransformer(FrozenEstimator(step.estimator_), scale="logit"))]
            + [("glass box", model)]
        )
        save(pipeline, out / f"{name}.ecgsk")
        figure = EBMTermsDisplay.from_estimator(model, n_terms=8).figure_
        figure.suptitle(
            f"{question}, by the log-odds of the network's findings; {cohort.kind}", y=1.03
        )
        figure.savefig(out / f"{name}-terms.png", dpi=150, bbox_inches="tight")
        _draw_record(question, cohort, pipeline, held_out, out / f"{name}-ecg.png")
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    say(f"Done. Pictures, figures and Pipelines are in {out}/. {_NOTE}")
    return results


def _finding_figures(cohort, held_out, say) -> dict:
    truth = cohort.findings[cohort.test].to_numpy()
    areas = label_roc_auc(truth, held_out.to_numpy())
    macro = bootstrap(
        macro_roc_auc,
        truth,
        held_out.to_numpy(),
        groups=cohort.groups[cohort.test],
        n_resamples=100,
        random_state=0,
    )
    n_ranked = int(np.isfinite(areas).sum())
    say(f"Findings on the records kept apart: macro AUROC {macro}, {n_ranked} findings ranked.")
    return {"macro_auroc": _as_dict(macro), "n_ranked": n_ranked}


def _answer(question, cohort, table, held_out, seed, say):
    """Cross-validate and test the glass box and its rivals on one question."""
    y = cohort.questions[question]
    known = {part: np.isfinite(y[rows]) for part, rows in _parts(cohort)}
    y_train, y_test = (y[rows][known[part]].astype(int) for part, rows in _parts(cohort))
    X_train, X_test = table[known["train"]], held_out[known["test"]]
    groups, test_groups = (cohort.groups[rows][known[part]] for part, rows in _parts(cohort))
    folds = list(
        StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(X_train, y_train, groups)
    )
    models = {
        # Coarse bins: the classifier refitted on all records is a little surer of itself than
        # those of the folds, and fine ones would read much into that.
        "EBM": ExplainableBoostingClassifier(
            interactions=0, max_bins=32, min_samples_leaf=20, random_state=seed
        ),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(C=0.1)),
    }
    say(
        f"  {len(y_train)} records, {y_train.mean():.0%} yes; cross-validated over 5 folds of "
        f"patients, then tested on {len(y_test)} records kept apart."
    )
    figures = {}

    def note(name, cross_validated, tested):
        figures[name] = {
            "cross_validated": _as_dict(_auroc(y_train, cross_validated, groups)),
            "test": _as_dict(_auroc(y_test, tested, test_groups)),
        }
        text = [f"{Estimate(**figures[name][key])}" for key in ("cross_validated", "test")]
        say(f"  AUROC, {name:<24} {text[0]:<26} test {text[1]}")

    best = _best_single(X_train, y_train)
    sign = 1 if roc_auc_score(y_train, X_train[best]) >= 0.5 else -1
    note(f"{best} alone", sign * X_train[best], sign * X_test[best])
    for name, model in models.items():
        scores = cross_val_predict(model, X_train, y_train, cv=folds, method="predict_proba")[:, 1]
        model.fit(X_train, y_train)
        note(name, scores, model.predict_proba(X_test)[:, 1])
    if cohort.oracle is not None:
        note(
            "best possible",
            cohort.oracle[cohort.train][known["train"]],
            cohort.oracle[cohort.test][known["test"]],
        )
    return figures, models["EBM"]


def _parts(cohort):
    return (("train", cohort.train), ("test", cohort.test))


def _best_single(X, y) -> str:
    distance = {name: abs(roc_auc_score(y, X[name]) - 0.5) for name in X}
    return max(distance, key=distance.get)


def _auroc(y, score, groups) -> Estimate:
    return bootstrap(roc_auc_score, y, score, groups=groups, n_resamples=500, random_state=0)


def _as_dict(estimate: Estimate) -> dict:
    return {name: round(value, 4) for name, value in estimate._asdict().items()}


def _draw_record(question, cohort, pipeline, held_out, path) -> None:
    """Draw the record kept apart of which the glass box is surest."""
    answers = pipeline[-1].predict_proba(held_out)[:, 1]
    surest = int(np.argmax(answers))
    findings = held_out.iloc[surest].sort_values(ascending=False)[:3]
    shown = ", ".join(f"{name} {expit(logit):.2f}" for name, logit in findings.items())
    display = ECGDisplay.from_record(
        cohort.data[cohort.test][surest],
        sampling_rate=RATE,
        title=f"{question}: {answers[surest]:.2f}   ({shown}; {cohort.kind})",
    )
    display.figure_.savefig(path, dpi=150)


class _Speaker:
    """Prints what is being done and how long it has been since the start."""

    def __init__(self):
        self.start = time.perf_counter()

    def __call__(self, text: str) -> None:
        print(f"[{time.perf_counter() - self.start:4.0f} s] {text}", flush=True)
