"""Saves small models for the tests of later releases: python tests/_fixtures.py FOLDER.

Run it once at a release, with FOLDER tests/fixtures/VERSION, and commit what it writes. Files are
never made anew: that later versions read them is the point.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parent.parent))

from ecgsk import MTECGPretrainer, ProbabilityTransformer
from ecgsk.persistence import ModelVersionWarning, describe, load, save
from ecgsk.tabular import GroupedEBMClassifier
from tests._models import RATE, recordings, small_models

SEED = 7
RELEASES = sorted((Path(__file__).parent / "fixtures").glob("*/expected.json"))


def given(kind: str, seed: int):
    """Return what a saved model is asked about."""
    if kind == "recordings":
        return recordings(6, seed=seed)[0]
    return np.random.default_rng(seed).normal(size=(6, 3))


def fitted() -> dict:
    """Return a model for each name, with what it is asked and how."""
    X, y = recordings(24)
    labels = pd.DataFrame({"AF": y, "LBBB": np.arange(24) // 2 % 2})
    small = {"preset__width": 16, "preset__depth": 1, "max_epochs": 2}
    mtecg = small_models()["mtecg"]
    extractor = mtecg.set_params(**small).fit(X, labels)
    glass = GroupedEBMClassifier(interactions=0, outer_bags=2, max_rounds=20, n_jobs=1)
    table = np.random.default_rng(0).normal(size=(40, 3))
    answer = table[:, 0] + 0.5 * np.random.default_rng(1).normal(size=40) > 0
    tuned = TunedThresholdClassifierCV(
        CalibratedClassifierCV(make_pipeline(StandardScaler(), LogisticRegression()), cv=2),
        cv=2,
        random_state=0,
    )
    return {
        "mtecg": (
            small_models()["mtecg"].set_params(max_epochs=2).fit(X, np.where(y, "sick", "well")),
            "recordings",
            "predict_proba",
        ),
        "ecgfounder": (
            small_models()["ecgfounder"].set_params(max_epochs=1).fit(X, labels),
            "recordings",
            "predict_proba",
        ),
        "pretrainer": (
            MTECGPretrainer(
                {"preset": "nano", "width": 16},
                sampling_rate=RATE,
                decoder_width=16,
                max_epochs=1,
                random_state=0,
            ).fit(X),
            "recordings",
            "transform",
        ),
        "glass-box": (
            make_pipeline(ProbabilityTransformer(FrozenEstimator(extractor)), glass).fit(X, y),
            "recordings",
            "predict_proba",
        ),
        "threshold": (tuned.fit(table, answer.astype(int)), "table", "predict_proba"),
    }


def compare_with_release(expected: Path) -> None:
    """Load the models of a release, and compare their answers with those of then."""
    for name, said in json.loads(expected.read_text()).items():
        path = expected.with_name(f"{name}.ecgsk")
        saved = describe(path)["versions"]["sklearn"].split(".")[:2]
        if [int(n) for n in saved] > [int(n) for n in sklearn.__version__.split(".")[:2]]:
            pytest.skip(f"saved with scikit-learn {'.'.join(saved)}, newer than the one here")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ModelVersionWarning)
            model = load(path)
        answers = getattr(model, said["method"])(given(said["given"], said["seed"]))
        np.testing.assert_allclose(answers, said["answers"], atol=1e-6, err_msg=name)


def main(folder: Path) -> None:
    """Write the models, and what they answer."""
    folder.mkdir(parents=True)
    expected = {}
    for name, (model, kind, method) in fitted().items():
        save(model, folder / f"{name}.ecgsk", about="A fixture: fitted on noise.")
        expected[name] = {
            "given": kind,
            "seed": SEED,
            "method": method,
            "answers": getattr(model, method)(given(kind, SEED)).tolist(),
        }
    (folder / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
