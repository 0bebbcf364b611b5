"""OptunaSearchCV behaves as scikit-learn's own searches where both can do the same."""

import pickle
import re
import warnings

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier as Boosting
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

import ecgsk
from ecgsk import OptunaSearchCV

X, Y = make_classification(60, random_state=0)


def search(model=None, space=None, **params):
    return OptunaSearchCV(
        LogisticRegression() if model is None else model,
        {"C": [0.1, 1.0]} if space is None else space,
        **{"n_trials": 2, "cv": 2, "random_state": 0} | params,
    )


SPACES = [
    {"model": [LogisticRegression()], "model__C": FloatDistribution(0.1, 1)},
    {"model": [Boosting()], "model__max_iter": [2, 3], "model__max_depth": [1, 2]},
]


def test_each_candidate_has_the_parameters_of_one_space(tmp_path):
    pipeline = Pipeline([("model", LogisticRegression())])
    params = {"n_trials": 12, "storage": f"sqlite:///{tmp_path / 'a.db'}"}
    found = search(pipeline, SPACES, **params).fit(X, Y)
    kinds = {type(p["model"]).__name__: set(p) for p in found.cv_results_["params"]}
    assert kinds == {
        "LogisticRegression": {"model", "model__C"},
        "HistGradientBoostingClassifier": {"model", "model__max_iter", "model__max_depth"},
    }
    assert found.cv_results_["param_model__max_iter"].mask.any()
    again = search(pipeline, SPACES, **params).fit(X, Y)
    assert again.study_.study_name == found.study_.study_name
    other = search(pipeline, SPACES[:1], **params).fit(X, Y)
    assert other.study_.study_name != found.study_.study_name
    assert clone(found).param_distributions is not None
    path = tmp_path / "found.ecgsk"
    ecgsk.save(found, path)
    assert ecgsk.load(path).best_params_.keys() == found.best_params_.keys()
    assert pickle.loads(pickle.dumps(found)).best_score_ == found.best_score_


@pytest.mark.parametrize("spaces", [[], [{}], [{"C": [1]}, 3], [{"nothing": [1]}]])
def test_wrong_lists_of_spaces_are_refused(spaces):
    with pytest.raises(ValueError, match="param_distributions"):
        search(space=spaces).fit(X, Y)


def test_scores_that_are_not_finite_are_warned_of():
    calls = []

    def scoring(estimator, X, y):
        calls.append(1)
        return np.nan if len(calls) == 2 else 1.0

    with pytest.warns(UserWarning, match="One or more of the test scores are non-finite.*trials 0"):
        found = search(scoring=scoring).fit(X, Y)
    assert found.best_index_ == 1


def test_an_interrupted_search_keeps_what_was_found():
    class Interrupted(LogisticRegression):
        n_fits = 0

        def fit(self, X, y):
            Interrupted.n_fits += 1
            if Interrupted.n_fits == 6:
                raise KeyboardInterrupt
            return super().fit(X, y)

    found = search(Interrupted(), {"C": FloatDistribution(0.1, 1)}, n_trials=9)
    with pytest.raises(KeyboardInterrupt):
        found.fit(X, Y)
    assert len(found.cv_results_["params"]) == 2
    assert found.best_params_ in found.cv_results_["params"]
    assert len(found.study_.trials) >= 2


def test_metrics_of_a_function_need_the_key_of_refit():
    def scoring(estimator, X, y):
        return {"a": 1.0, "b": 2.0}

    with pytest.raises(ValueError, match="refit='c', and scoring returns a, b"):
        search(scoring=scoring, refit="c").fit(X, Y)
    assert search(scoring=scoring, refit="b").fit(X, Y).best_score_ == 2


def test_verbose_prints_each_fold(capsys):
    search(verbose=2).fit(X, Y)
    assert len(re.findall(r"\[CV\] END .*C=", capsys.readouterr().out)) == 4


def test_callbacks_are_refused():
    with pytest.raises(NotImplementedError, match="no callbacks"):
        search().set_callbacks(object())


def test_an_estimator_whose_fit_returns_nothing():
    class Silent(LogisticRegression):
        def fit(self, X, y, eval_set=None):
            assert eval_set is not None
            super().fit(X, y)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = search(Silent()).fit(X, Y, eval_set=[(X[:5], Y[:5])])
    assert found.best_estimator_.predict(X[:3]).shape == (3,)
