"""The threshold that was chosen for a model is saved in it, and the commands decide by it."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer, recall_score
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from ecgsk import ProbabilityTransformer, load
from ecgsk._cli.main import main
from ecgsk._cli.predictor import Predictor
from ecgsk._core.decision import decision_rule
from ecgsk.inspection import make_report
from ecgsk.persistence import save
from tests._models import RATE, recordings, small_models

THRESHOLD = 0.9


@pytest.fixture(scope="module")
def network():
    X, y = recordings()
    return small_models()["mtecg"].set_params(max_epochs=2).fit(X, y)


def fixed(model, **options):
    return FixedThresholdClassifier(model, threshold=THRESHOLD, **options)


NESTED = {
    "the last step": lambda front: make_pipeline(front, fixed(LogisticRegression(C=50))),
    "around": lambda front: fixed(make_pipeline(front, LogisticRegression(C=50))),
    "around the frozen": lambda front: fixed(
        FrozenEstimator(make_pipeline(front, LogisticRegression(C=50)))
    ),
    "in a pipeline": lambda front: make_pipeline(
        FunctionTransformer(), fixed(make_pipeline(front, LogisticRegression(C=50)))
    ),
    "in a search": lambda front: GridSearchCV(
        make_pipeline(front, fixed(LogisticRegression(C=50))),
        {"fixedthresholdclassifier__estimator__C": [50.0]},
        cv=2,
    ),
    "tuned": lambda front: TunedThresholdClassifierCV(
        make_pipeline(front, LogisticRegression(C=50)), scoring="balanced_accuracy", cv=2
    ),
    "decision_function": lambda front: make_pipeline(
        front, FixedThresholdClassifier(LogisticRegression(C=50), threshold=1.0,
                                        response_method="decision_function"),
    ),
    "first class": lambda front: make_pipeline(
        front, fixed(LogisticRegression(C=50), pos_label="no")
    ),
    "tuned for the first class": lambda front: TunedThresholdClassifierCV(
        make_pipeline(front, LogisticRegression(C=50)),
        scoring=make_scorer(recall_score, pos_label="no"), cv=2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", NESTED)
def test_predict_decides_by_the_threshold_of_the_model(kind, network, tmp_path, capsys):
    X, y = recordings()
    y = np.array(["no", "yes"])[y]
    front = ProbabilityTransformer(FrozenEstimator(network))
    if kind == "around the frozen":
        made = NESTED[kind](front)
        made.estimator.estimator.fit(X, y)
        model = made.fit(X, y)
    else:
        model = NESTED[kind](front).fit(X, y)
    save(model, tmp_path / "model.ecgsk")
    expected = load(tmp_path / "model.ecgsk").predict(X)
    assert expected.tolist() == model.predict(X).tolist()
    assert [row[-1] for row in Predictor(model).predict(X)] == expected.tolist()

    np.save(tmp_path / "x.npy", X)
    words = ["predict", tmp_path / "model.ecgsk", tmp_path / "x.npy", "-o", tmp_path / "x.csv"]
    words = [*map(str, words), "--sampling-rate", str(RATE)]
    assert main(words) == 0
    assert pd.read_csv(tmp_path / "x.csv")["decision"].tolist() == expected.tolist()
    rule = decision_rule(model)
    printed = capsys.readouterr().err
    assert f"decisions: {rule.in_words} (threshold of MODEL)" in printed
    assert main([*words, "--overwrite", "--threshold", "0.25"]) == 0
    table = pd.read_csv(tmp_path / "x.csv")
    assert ((table["decision"] == "yes") == (table["probability"] >= 0.25)).all()
    assert "yes from a probability of 0.25 on (--threshold), instead of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "threshold", "source"),
    [
        ({}, 0.9, "chosen when the model was made"),
        ({"pos_label": 0}, 0.1, "chosen when the model was made"),
    ],
)
def test_the_report_has_the_threshold_of_the_model(options, threshold, source, network, tmp_path):
    X, y = recordings()
    front = ProbabilityTransformer(FrozenEstimator(network))
    for model in (
        make_pipeline(front, fixed(LogisticRegression(C=50), **options)),
        fixed(make_pipeline(front, LogisticRegression(C=50)), **options),
    ):
        model.fit(X, y)
        words = {"data": "made up", "sampling_rate": RATE, "leads": ["I", "II", "V1"],
                 "n_resamples": 5}  # fmt: skip
        report = make_report(tmp_path / "r.html", model, X, y, **words)
        assert report.threshold == pytest.approx(threshold)
        assert report.threshold_source == source
        assert "screen_predictors" in " ".join(report.results)
        text = (tmp_path / "r.html").read_text()
        assert re.search(rf"from a probability of {threshold:.3f} on\s+\({source}\)", text)
        given = make_report(tmp_path / "r.html", model, X, y, threshold=0.3, **words)
        assert given.threshold == 0.3 and "instead of" in given.threshold_source


def test_the_report_refuses_a_threshold_that_is_not_a_probability(network, tmp_path):
    X, y = recordings()
    model = make_pipeline(
        ProbabilityTransformer(FrozenEstimator(network)),
        FixedThresholdClassifier(LogisticRegression(), threshold=1.0,
                                 response_method="decision_function"),
    ).fit(X, y)  # fmt: skip
    with pytest.raises(ValueError, match="1 from a decision_function of 1 on.*Give threshold"):
        make_report(tmp_path / "r.html", model, X, y, data="x", leads=["I", "II", "V1"])
