"""What a model consists of and what its columns mean, through every wrapper of scikit-learn."""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ecgsk._core.fitted import (
    last_step,
    named_parts,
    parts_in_order,
    unwrap,
)
from ecgsk._core.log_odds import FLOAT32_SATURATION, log_odds

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X > 0).astype(int)


def test_the_last_step_is_found_in_pipelines_searches_and_frozen_models():
    model = LogisticRegression().fit(X, Y[:, 0])
    assert last_step(model) is model and unwrap(model) is model
    search = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {}, cv=2)
    assert last_step(search) is search  # not fitted: it has no best one yet
    search.fit(X, Y[:, 0])
    best = search.best_estimator_
    outer = FrozenEstimator(Pipeline([("whole", FrozenEstimator(search))]))
    assert last_step(outer) is best[-1]
    assert unwrap(FrozenEstimator(search)) is best
    assert [type(part).__name__ for part in parts_in_order(outer)] == [
        "FrozenEstimator", "Pipeline", "FrozenEstimator", "GridSearchCV", "Pipeline",
        "StandardScaler", "LogisticRegression",
    ]  # fmt: skip
    assert list(parts_in_order(outer))[-1] is best[-1]


def test_named_parts_are_those_that_set_params_reaches():
    union = FeatureUnion([("scale", StandardScaler()), ("no", "drop")])
    model = Pipeline([("union", union), ("skip", "passthrough"), ("last", LogisticRegression())])
    assert [name for name, _ in named_parts(model)] == ["union", "last"]
    assert named_parts(union) == [("scale", union.transformer_list[0][1])]
    assert [name for name, _ in named_parts(GridSearchCV(model, {}))] == ["estimator"]
    assert named_parts(LogisticRegression()) == named_parts(StandardScaler) == []


def test_log_odds_stay_finite_at_0_and_1():
    p = np.array([0.0, 0.25, 0.5, 1.0])
    expected = np.log((1 - FLOAT32_SATURATION) / FLOAT32_SATURATION)
    assert log_odds(p) == pytest.approx([-expected, np.log(1 / 3), 0, expected])
    assert log_odds(p, 0.25) == pytest.approx([-np.log(3), -np.log(3), 0, np.log(3)])
    assert log_odds(np.float32(0.1)).dtype == np.float64
