"""What may run before the split: steps that are known to transform each record by itself."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from ecgsk import MTECGClassifier, ProbabilityTransformer
from ecgsk.model_selection import OptunaSearchCV
from ecgsk.model_selection._row_wise import is_row_wise
from ecgsk.preprocessing import BandPass
from ecgsk.tabular import RowAlignedFeatureUnion, TableColumns
from tests._models import small_models


def scale_batch(X):
    X = np.asarray(X)
    return (X - X.mean(0)) / X.std(0)


class WholeBatch(TransformerMixin, BaseEstimator):
    """Needs no fit, but reads all records that it is given."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return scale_batch(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


class SomeClassifier(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


X, Y = make_classification(90, random_state=0)
BATCH = FunctionTransformer(scale_batch)
ROW_WISE = {
    "passthrough": "passthrough",
    "none": None,
    "table columns": TableColumns(),
    "band-pass": BandPass(sampling_rate=100),
    "identity": FunctionTransformer(),
    "ufunc": FunctionTransformer(np.log1p),
    "union": FeatureUnion([("a", TableColumns()), ("b", "drop")]),
    "aligned union": RowAlignedFeatureUnion([("a", FunctionTransformer())]),
    "columns": ColumnTransformer([("a", FunctionTransformer(), [0])], remainder="passthrough"),
    "pipeline": make_pipeline(BandPass(), FunctionTransformer(np.abs)),
    "weights": ProbabilityTransformer(MTECGClassifier(weights="ptbxl")),
    "frozen network": ProbabilityTransformer(FrozenEstimator(small_models()["mtecg"])),
    "frozen classifier": ProbabilityTransformer(FrozenEstimator(SomeClassifier())),
    "frozen scaler": FrozenEstimator(StandardScaler().fit(X)),
    "frozen boosting": ProbabilityTransformer(
        FrozenEstimator(HistGradientBoostingClassifier(max_iter=2).fit(X, Y))
    ),
}
NOT_ROW_WISE = {
    "function": BATCH,
    "own class": WholeBatch(),
    "network without weights": ProbabilityTransformer(small_models()["mtecg"]),
    "own classifier": ProbabilityTransformer(SomeClassifier()),
    "scaler": StandardScaler(),
    "union": FeatureUnion([("a", TableColumns()), ("b", WholeBatch())]),
    "columns": ColumnTransformer([("a", BATCH, [0])]),
    "remainder": ColumnTransformer([("a", "passthrough", [0])], remainder=BATCH),
    "chosen columns": ColumnTransformer([("a", "passthrough", make_column_selector())]),
    "pipeline": make_pipeline(FunctionTransformer(), WholeBatch()),
    "frozen function": FrozenEstimator(BATCH),
    "frozen own class": FrozenEstimator(WholeBatch()),
    "frozen pipeline": ProbabilityTransformer(
        FrozenEstimator(make_pipeline(BATCH, LogisticRegression()).fit(X, Y))
    ),
    "frozen search": ProbabilityTransformer(
        FrozenEstimator(
            GridSearchCV(
                Pipeline([("a", "passthrough"), ("b", LogisticRegression())]), {"a": [BATCH]}
            ).fit(X, Y)
        )
    ),
}


@pytest.mark.parametrize("name", ROW_WISE)
def test_row_wise_steps_run_before_the_split(name):
    assert is_row_wise(ROW_WISE[name])


@pytest.mark.parametrize("name", NOT_ROW_WISE)
def test_other_steps_run_for_each_fold(name):
    assert not is_row_wise(NOT_ROW_WISE[name])


@pytest.mark.parametrize(
    "front",
    [
        FunctionTransformer(lambda X: (X - X.mean(0)) / X.std(0)),
        WholeBatch(),
        FunctionTransformer(lambda X: pd.DataFrame(X).rank()),
        FrozenEstimator(BATCH),
        make_pipeline(FunctionTransformer(), WholeBatch()),
        FeatureUnion([("a", WholeBatch()), ("b", FunctionTransformer())]),
        StandardScaler(),
        FunctionTransformer(np.abs),
    ],
)
def test_scores_are_those_of_a_search_without_reuse(front):
    model = Pipeline([("front", front), ("model", LogisticRegression())])
    space = {"model__C": [1e-3, 1e-2, 1.0]}
    # Sorted, so that the records of a fold differ from all records.
    order = np.argsort(X[:, 0])
    found = OptunaSearchCV(clone(model), space, n_trials=6, cv=KFold(3), random_state=0)
    found.fit(X[order], Y[order])
    grid = GridSearchCV(model, space, cv=KFold(3)).fit(X[order], Y[order])
    scores = dict(zip(space["model__C"], grid.cv_results_["mean_test_score"], strict=True))
    for params, score in zip(
        found.cv_results_["params"], found.cv_results_["mean_test_score"], strict=True
    ):
        assert score == pytest.approx(scores[params["model__C"]], abs=1e-12)


@pytest.mark.parametrize("as_list", [False, True])
def test_folds_may_be_masks(as_list):
    model = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())])
    space = {"model__C": [0.01, 1.0]}
    masks = []
    for train, test in KFold(3).split(X):
        fold = [np.isin(np.arange(len(X)), rows) for rows in (train, test)]
        masks.append([mask.tolist() for mask in fold] if as_list else fold)
    found = [
        OptunaSearchCV(model, space, n_trials=3, cv=cv, random_state=0).fit(X, Y).cv_results_
        for cv in (masks, (fold for fold in masks), KFold(3))
    ]
    for other in found[:2]:
        np.testing.assert_array_equal(other["mean_test_score"], found[2]["mean_test_score"])
