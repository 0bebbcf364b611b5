"""The search that Optuna drives is one of scikit-learn's."""

import pickle
import time
import warnings
from itertools import count

import numpy as np
import optuna
import pandas as pd
import pytest
import sklearn
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.pruners import ThresholdPruner
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone, is_classifier
from sklearn.datasets import make_classification
from sklearn.exceptions import FitFailedWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import ecgsk
from ecgsk import MTECGClassifier, ProbabilityTransformer, RecordArray, make_lef_classifier
from ecgsk.estimators import PostTraining
from ecgsk.model_selection import OptunaSearchCV, search_space
from ecgsk.tabular import GroupedEBMClassifier
from tests._models import recordings, small_models

SPACE = {"C": FloatDistribution(1e-3, 1e2, log=True)}


@pytest.fixture
def table():
    return make_classification(90, random_state=0)


def search(estimator=None, space=None, **params):
    params = {"n_trials": 5, "cv": 3, "random_state": 0, **params}
    return OptunaSearchCV(estimator or LogisticRegression(), space or SPACE, **params)


@parametrize_with_checks([search(n_trials=2, cv=2)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_scores_equal_cross_validation(table):
    X, y = table
    found = search(scoring="roc_auc", return_train_score=True).fit(X, y)
    assert len(found.cv_results_["params"]) == 5
    for i, params in enumerate(found.cv_results_["params"]):
        scores = cross_validate(
            LogisticRegression(**params), X, y, cv=3, scoring="roc_auc", return_train_score=True
        )
        for fold in range(3):
            row = found.cv_results_[f"split{fold}_test_score"][i]
            assert row == scores["test_score"][fold]
            assert found.cv_results_[f"split{fold}_train_score"][i] == scores["train_score"][fold]
    assert found.best_score_ == max(found.cv_results_["mean_test_score"])
    best = LogisticRegression(**found.best_params_).fit(X, y)
    np.testing.assert_array_equal(found.predict_proba(X), best.predict_proba(X))
    assert found.best_index_ == found.study_.best_trial.number
    assert found.cv_results_["trial_state"].tolist() == ["COMPLETE"] * 5


def test_search_is_reproducible_with_any_n_jobs(table):
    once, again = (search(n_jobs=n, n_trials=12).fit(*table) for n in (None, 2))
    assert once.cv_results_["params"] == again.cv_results_["params"]
    other = search(random_state=1).fit(*table)
    assert other.cv_results_["params"] != once.cv_results_["params"][:5]
    assert clone(once).get_params().keys() == once.get_params().keys()


def test_several_metrics(table):
    metrics = ["accuracy", "roc_auc"]
    found = search(scoring=metrics, refit="roc_auc").fit(*table)
    assert found.multimetric_ and set(found.scorer_) == set(metrics)
    assert found.best_score_ == max(found.cv_results_["mean_test_roc_auc"])
    assert found.study_.best_value == found.best_score_
    assert found.score(*table) == found.scorer_["roc_auc"](found.best_estimator_, *table)
    unfitted = search(scoring=metrics, refit=False).fit(*table)
    assert unfitted.study_.best_value == max(unfitted.cv_results_["mean_test_accuracy"])
    assert not hasattr(unfitted, "best_estimator_")
    last = search(scoring=metrics, refit=lambda results: 4).fit(*table)
    assert last.best_params_ == last.cv_results_["params"][4]

    def both(estimator, X, y):
        return {"a": estimator.score(X, y), "b": -1.0}

    assert search(scoring=both, refit="a").fit(*table).best_score_ > 0.5
    with pytest.raises(ValueError, match="refit"):
        search(scoring=metrics).fit(*table)


class Fragile(GaussianNB):
    def __init__(self, level=0, var_smoothing=1e-9):
        super().__init__(var_smoothing=var_smoothing)
        self.level = level

    def fit(self, X, y):
        if self.level > 1:
            raise ValueError("too high a level")
        return super().fit(X, y)


def test_failing_fits(table):
    levels = {"level": [0, 1, 2, 3]}
    with pytest.warns(FitFailedWarning, match="too high a level"):
        found = search(Fragile(), levels, n_trials=12).fit(*table)
    states = found.cv_results_["trial_state"]
    high = np.array([params["level"] > 1 for params in found.cv_results_["params"]])
    assert 0 < high.sum() < 12
    assert set(states[high]) == {"FAIL"} and set(states[~high]) == {"COMPLETE"}
    assert np.isnan(found.cv_results_["mean_test_score"][high]).all()
    assert found.best_params_["level"] < 2
    with pytest.raises(ValueError, match="(?s)All the .* fits failed.*too high a level"):
        search(Fragile(), {"level": [2, 3]}).fit(*table)
    with pytest.raises(ValueError, match="too high a level"):
        search(Fragile(), {"level": [2, 3]}, error_score="raise").fit(*table)
    with pytest.warns(FitFailedWarning):
        counted = search(Fragile(), levels, n_trials=12, error_score=0.0).fit(*table)
    assert set(counted.cv_results_["trial_state"]) == {"COMPLETE"}


class Logged(ClassifierMixin, BaseEstimator):
    """Notes how often it was fitted, and on how much."""

    fits: list = []

    def __init__(self, C=1.0):
        self.C = C

    def fit(self, X, y, sample_weight=None, groups=None):
        Logged.fits.append((self.C, len(X), sample_weight is not None, groups is not None))
        self.model_ = LogisticRegression(C=self.C).fit(X, y, sample_weight)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X):
        return self.model_.predict(X)

    def predict_proba(self, X):
        return self.model_.predict_proba(X)


@pytest.mark.slow
def test_pruning_between_folds(table):
    space = {"C": [1e-9, 1.0]}
    # A penalty that leaves no weights says nothing: log(2) in each fold.
    pruner = ThresholdPruner(lower=-0.6)
    found = {}
    for n_jobs in (None, 2):
        Logged.fits.clear()
        found[n_jobs] = search(
            Logged(), space, n_trials=6, pruner=pruner, n_jobs=n_jobs, refit=False,
            scoring="neg_log_loss",
        ).fit(*table)  # fmt: skip
        if n_jobs is None:
            fits = [C for C, *_ in Logged.fits]
    results = found[None].cv_results_
    pruned = results["trial_state"] == "PRUNED"
    assert [params["C"] for params in np.array(results["params"])[pruned]] == [1e-9] * pruned.sum()
    assert pruned.any() and not pruned.all()
    # What was pruned is tried again, what was not is known.
    assert fits.count(1e-9) == pruned.sum() and fits.count(1.0) == 3
    assert np.isfinite(results["split0_test_score"]).all()
    assert np.isnan(results["split1_test_score"][pruned]).all()
    assert results["rank_test_score"][pruned].min() > 1
    for name in ("trial_state", "split0_test_score", "split2_test_score"):
        np.testing.assert_array_equal(results[name], found[2].cv_results_[name])


def test_search_without_any_score_raises(table):
    with pytest.raises(ValueError, match="None of 5 trials has a finite score on all folds"):
        search(pruner=ThresholdPruner(lower=2)).fit(*table)


def test_timeout(table, monkeypatch):
    ticks = count()
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks) / 100)
    found = search(n_trials=100_000, timeout=0.5).fit(*table)
    assert 0 < len(found.cv_results_["params"]) < 100_000
    with pytest.raises(ValueError, match="timeout=1e-09 s ended the search before"):
        search(timeout=1e-9).fit(*table)


def test_exhausted_sampler_ends_the_search(table):
    space = {"C": [0.1, 1.0, 10.0]}
    found = search(space=space, sampler=optuna.samplers.GridSampler(space, seed=0), n_trials=9)
    assert sorted(found.fit(*table).cv_results_["param_C"]) == space["C"]


def test_equal_candidates_are_fitted_once(table):
    Logged.fits.clear()
    found = search(
        Logged(), {"C": [0.1, 1.0]}, n_trials=8, refit=False, scoring="neg_log_loss"
    ).fit(*table)
    assert len(found.cv_results_["params"]) == 8
    assert len(Logged.fits) == 2 * 3
    assert np.isfinite(found.cv_results_["split2_test_score"]).all()
    assert len(set(found.cv_results_["mean_test_score"])) == 2


def test_samplers(table):
    for sampler in ("random", optuna.samplers.QMCSampler(seed=1), optuna.samplers.RandomSampler):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            found = search(sampler=sampler).fit(*table)
        assert len({params["C"] for params in found.cv_results_["params"]}) == 5
    with pytest.raises(ValueError, match="sampler"):
        search(sampler="guess").fit(*table)


def test_choices_of_any_type(table):
    pipeline = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())])
    space = {
        "model": [LogisticRegression(), DecisionTreeClassifier(random_state=0)],
        "scale": [StandardScaler(), "passthrough"],
        "model__random_state": np.arange(3),
    }
    found = search(pipeline, space, n_trials=8).fit(*table)
    kinds = {type(params["model"]) for params in found.cv_results_["params"]}
    assert kinds == {LogisticRegression, DecisionTreeClassifier}
    assert type(found.best_estimator_["model"]) is type(found.best_params_["model"])
    assert found.best_estimator_["model"] is not found.best_params_["model"]


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"c": [1]}, "has 'c', which is not a parameter of LogisticRegression"),
        ({"C": 1.0}, "give a list of choices or an optuna distribution"),
        ({"C": []}, "give a list of choices"),
        ({}, "param_distributions={} is not allowed"),
    ],
)
def test_invalid_spaces_raise(table, space, said):
    with pytest.raises(ValueError, match=said):
        OptunaSearchCV(LogisticRegression(), space).fit(*table)


def test_search_has_the_tags_of_its_estimator(table):
    X, y = table
    assert is_classifier(search())
    assert get_tags(search(MTECGClassifier())).input_tags.three_d_array
    assert get_tags(search(MTECGClassifier())).classifier_tags.multi_label
    # An integer around it means stratified folds.
    ordered = np.argsort(y, kind="stable")
    scores = cross_val_score(search(n_trials=2), X[ordered], y[ordered], cv=2)
    assert (scores > 0.7).all()


def test_pickle_without_the_database(table, tmp_path):
    found = search(storage=f"sqlite:///{tmp_path / 'a.db'}").fit(*table)
    (tmp_path / "a.db").unlink()
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.predict_proba(table[0]), found.predict_proba(table[0]))
    assert len(again.study_.trials) == 5


def test_saved_file_does_not_name_the_database(table, tmp_path):
    found = search(storage=f"sqlite:///{tmp_path / 'secret.db'}").fit(*table)
    ecgsk.save(found, tmp_path / "search.ecgsk")
    assert b"secret.db" not in (tmp_path / "search.ecgsk").read_bytes()
    again = ecgsk.load(tmp_path / "search.ecgsk")
    assert again.param_distributions == SPACE and again.storage is None
    np.testing.assert_array_equal(again.predict_proba(table[0]), found.predict_proba(table[0]))
    np.testing.assert_array_equal(again.cv_results_["param_C"], found.cv_results_["param_C"])


@pytest.mark.parametrize("routing", [False, True])
def test_groups_and_weights_are_routed(table, routing):
    X, y = table
    groups = np.arange(len(y)) // 3
    weight = np.ones(len(y))
    Logged.fits.clear()
    with sklearn.config_context(enable_metadata_routing=routing):
        model = Logged()
        if routing:
            model.set_fit_request(sample_weight=True, groups=True)
            model.set_score_request(sample_weight=False)
        found = search(model, n_trials=2, cv=GroupKFold(3))
        if routing:
            found.fit(X, y, groups=groups, sample_weight=weight)
        else:
            # As in GridSearchCV, groups would be for the splitter alone.
            with pytest.raises(ValueError, match="does not hand them on to Logged"):
                found.fit(X, y, groups=groups)
            found.set_params(cv=3).fit(X, y, sample_weight=weight)
    fits = Logged.fits
    assert fits and all(weighted for *_, weighted, _ in fits)
    assert all(grouped is routing for *_, grouped in fits)


def test_unchanged_steps_are_fitted_once_for_each_fold():
    X, y = recordings(48)
    front = ProbabilityTransformer(Extractor(), cv=2, feature_names=["fast"])
    pipeline = Pipeline([("front", front), ("model", LogisticRegression())])
    space = {"model__C": FloatDistribution(1e-3, 10, log=True)}
    Extractor.calls.clear()
    found = search(pipeline, space, n_trials=6, scoring="roc_auc", refit=False).fit(X, y)
    # Three folds of a fit on all and two out of fold, asked for the test part once.
    assert Extractor.calls.count("fit") == 3 * 3

    def roc_auc(estimator, X, y):
        from sklearn.metrics import roc_auc_score

        return roc_auc_score(y, estimator.predict_proba(X)[:, 1])

    # A function may look at the recordings: nothing is taken out of its sight.
    Extractor.calls.clear()
    whole = search(pipeline, space, n_trials=6, scoring=roc_auc, refit=False).fit(X, y)
    assert Extractor.calls.count("fit") == 3 * 3 * 6
    np.testing.assert_array_equal(
        found.cv_results_["mean_test_score"], whole.cv_results_["mean_test_score"]
    )
    Extractor.calls.clear()
    space |= {"front__estimator__low": [0.0, 0.1]}
    search(pipeline, space, n_trials=3, refit=False).fit(X, y)
    assert Extractor.calls.count("fit") == 3 * 3 * 3


@pytest.mark.parametrize("covariates", [[], ["age"]])
def test_steps_that_learn_nothing_run_once(covariates):
    X, y = recordings(36)
    fitted = Extractor().fit(X, y)
    X = RecordArray.wrap(X, table=pd.DataFrame({"age": np.arange(36.0)}))
    lef = make_lef_classifier(FrozenEstimator(fitted), classifier="logistic", covariates=covariates)
    asked = []
    Extractor.predict_proba, plain = (
        lambda self, X: asked.append(len(X)) or plain(self, X)
    ), Extractor.predict_proba  # fmt: skip
    try:
        space = {"classifier__C": FloatDistribution(1e-3, 10, log=True)}
        found = search(lef, space, n_trials=4, scoring="roc_auc", refit=False).fit(X, y)
    finally:
        Extractor.predict_proba = plain
    # All records once, and some of them to compare the order of the columns with `predict`.
    assert sum(asked) == 36 + 32
    for params, score in zip(
        found.cv_results_["params"], found.cv_results_["mean_test_score"], strict=True
    ):
        again = cross_val_score(clone(lef).set_params(**params), X, y, cv=3, scoring="roc_auc")
        assert again.mean() == pytest.approx(score, abs=1e-12)


class Extractor(ClassifierMixin, BaseEstimator):
    """A classifier of recordings that is quick and counts."""

    calls: list = []

    def __init__(self, low=0.0):
        self.low = low

    def fit(self, X, y, groups=None):
        Extractor.calls.append("fit")
        self.model_ = LogisticRegression().fit(self._energy(X), y)
        self.classes_ = self.model_.classes_
        return self

    def _energy(self, X):
        return np.square(np.asarray(X)).mean(axis=2)

    def predict(self, X):
        return self.model_.predict(self._energy(X))

    def predict_proba(self, X):
        return self.model_.predict_proba(self._energy(X))


def test_outputs_other_than_tables_are_not_kept():
    X, y = recordings(24)

    class Same(TransformerMixin, BaseEstimator):
        fits: list = []

        def fit(self, X, y=None):
            Same.fits.append(len(X))
            return self

        def transform(self, X):
            return X

    pipeline = make_pipeline(Same(), Extractor())
    search(pipeline, {"extractor__low": [0, 1, 2]}, n_trials=3, refit=False).fit(X, y)
    assert len(Same.fits) > 3 * 2


def test_metadata_is_routed_to_unchanged_and_last_steps():
    X, y = recordings(48)
    patients = np.arange(len(y)) // 2
    y = np.repeat(y[:24], 2)
    findings = pd.DataFrame({"a": y, "b": 1 - y})
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_lef_classifier(
            small_models()["mtecg"].set_params(max_epochs=1), cv=2, random_state=0, n_jobs=1
        )
        pipeline.set_params(classifier__max_rounds=5, classifier__outer_bags=2)
        found = OptunaSearchCV(
            pipeline,
            {"classifier__learning_rate": [0.01, 0.05]},
            n_trials=2,
            cv=StratifiedGroupKFold(2),
            scoring="roc_auc",
            random_state=0,
            error_score="raise",
        ).fit(X, y, groups=patients, diagnoses=findings)
    assert found.best_estimator_[-1].term_names_ == ["a", "b"]


@pytest.mark.parametrize("name", small_models())
def test_networks_are_searched(name):
    X, y = recordings(24)
    model = small_models()[name].set_params(max_epochs=1)
    space = {key: search_space(model)[key] for key in ("learning_rate", "strategy__dropout")}
    found = search(model, space, n_trials=2, cv=2, scoring="roc_auc", error_score="raise")
    assert found.fit(X, y).predict_proba(X).shape == (24, 2)


def test_spaces_of_our_estimators():
    def names(estimator):
        return {name.rpartition("__")[2] for name in search_space(estimator)}

    assert {"learning_rate", "dropout"} <= names(MTECGClassifier())
    assert names(MTECGClassifier(strategy="linear_probe")) == {"learning_rate"}
    assert set(search_space(MTECGClassifier(strategy="linear_probe"))) == {
        "strategy__learning_rate"
    }
    assert set(search_space(MTECGClassifier(strategy=PostTraining()))) == set(
        search_space(MTECGClassifier(strategy="post_training"))
    )
    assert "layer_decay" in names(MTECGClassifier(weights="ptbxl"))
    lef = make_lef_classifier("mtecg", covariates=["age"])
    assert {name.split("__")[0] for name in search_space(lef)} == {"classifier"}
    trained = make_lef_classifier(MTECGClassifier(), covariates=["age"])
    assert "predictors__mtecg__estimator__learning_rate" in search_space(trained)
    frozen = FeatureUnion([("a", ProbabilityTransformer(FrozenEstimator(MTECGClassifier())))])
    both = make_pipeline(frozen, GroupedEBMClassifier())
    assert all(name.startswith("groupedebm") for name in search_space(both))
    for estimator in (lef, trained, both):
        known = estimator.get_params()
        assert all(name in known for name in search_space(estimator))
    with pytest.raises(ValueError, match="SVC has no default search space"):
        search_space(SVC())
    assert OptunaSearchCV(LogisticRegression(), n_trials=1).fit(*make_classification()).best_params_


# What is stored.


def stored(tmp_path, **params):
    return search(storage=f"sqlite:///{tmp_path / 'a.db'}", study_name="lef", **params)


def test_search_continues_a_stored_study(table, tmp_path):
    Logged.fits.clear()
    stored(tmp_path, estimator=Logged(), n_trials=3, refit=False).fit(*table)
    longer = stored(tmp_path, estimator=Logged(), n_trials=7, refit=False).fit(*table)
    assert len(Logged.fits) == 7 * 3
    Logged.fits.clear()
    again = stored(tmp_path, estimator=Logged(), n_trials=5, refit=False).fit(*table)
    assert not Logged.fits
    whole = search(Logged(), n_trials=7, refit=False).fit(*table)
    for found in (longer, again):
        assert found.cv_results_["params"] == whole.cv_results_["params"]


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("data", lambda X, y: ({}, X + 1e-9, y)),
        ("data", lambda X, y: ({}, X, 1 - y)),
        ("folds", lambda X, y: ({"cv": 4}, X, y)),
        ("folds", lambda X, y: ({"cv": StratifiedKFold(3, shuffle=True)}, X, y)),
        ("space", lambda X, y: ({"space": {"C": FloatDistribution(1e-3, 10)}}, X, y)),
        ("scoring", lambda X, y: ({"scoring": "roc_auc"}, X, y)),
        ("estimator", lambda X, y: ({"estimator": LogisticRegression(tol=1e-3)}, X, y)),
    ],
)
def test_study_of_another_search_raises(table, tmp_path, part, change):
    stored(tmp_path, n_trials=1).fit(*table)
    params, X, y = change(*table)
    with pytest.raises(ValueError, match=f"study_name='lef' belongs to another search: .*{part}"):
        stored(tmp_path, n_trials=1, **params).fit(X, y)


def test_parts_that_stay_fitted_are_compared(tmp_path):
    X, y = recordings(24)
    fitted = [small_models()["mtecg"].set_params(max_epochs=n).fit(X, y) for n in (1, 2)]
    for model in fitted:
        model.set_params(max_epochs=1)

    def run(model):
        frozen = make_pipeline(ProbabilityTransformer(FrozenEstimator(model)), LogisticRegression())
        space = {"logisticregression__C": [0.1, 1.0]}
        return stored(tmp_path, estimator=frozen, space=space, n_trials=1).fit(X, y)

    run(fitted[0])
    run(pickle.loads(pickle.dumps(fitted[0])))
    with pytest.raises(ValueError, match="another search: estimator differ"):
        run(fitted[1])


def test_parameters_without_effect_may_differ(table, tmp_path):
    stored(tmp_path, n_trials=1).fit(*table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = LogisticRegression(verbose=1, n_jobs=1)
        found = stored(tmp_path, n_trials=2, estimator=model).fit(*table)
    assert len(found.cv_results_["params"]) == 2


def test_study_of_another_program_raises(table, tmp_path):
    theirs = optuna.create_study(storage=f"sqlite:///{tmp_path / 'a.db'}", study_name="lef")
    theirs.optimize(lambda trial: trial.suggest_float("C", 0, 1), n_trials=1)
    with pytest.raises(ValueError, match="trials that OptunaSearchCV did not start"):
        stored(tmp_path).fit(*table)


def test_outer_folds_do_not_share_a_study(table, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    cross_val_score(search(n_trials=2, storage=url), *table, cv=KFold(2))
    names = [n for n in optuna.get_all_study_names(url) if not n.endswith(":queue")]
    assert len(names) == 2
    with pytest.raises(ValueError, match="another search"):
        cross_val_score(
            search(n_trials=2, storage=url, study_name="one"), *table, error_score="raise",
            cv=KFold(2),
        )  # fmt: skip


def test_interrupted_search_continues_in_the_same_process(table, tmp_path):
    class Interrupted(Logged):
        left = 4

        def fit(self, X, y, sample_weight=None, groups=None):
            Interrupted.left -= 1
            if not Interrupted.left:
                raise KeyboardInterrupt
            return super().fit(X, y)

    model = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        stored(tmp_path, estimator=model, refit=False).fit(*table)
    Logged.fits.clear()
    found = stored(tmp_path, estimator=model, refit=False).fit(*table)
    assert found.cv_results_["trial_state"].tolist() == ["COMPLETE"] * 5
    assert len(Logged.fits) == 5 * 3 - 3


def test_enqueued_trials_run_first(table, tmp_path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    stored(tmp_path, n_trials=1).fit(*table)
    optuna.load_study(study_name="lef", storage=url).enqueue_trial({"C": 7.0})
    found = stored(tmp_path, n_trials=3).fit(*table)
    assert found.cv_results_["param_C"][1] == 7.0 and len(found.cv_results_["params"]) == 3


def test_invalid_storages_raise(table):
    with pytest.raises(ValueError, match="storage='a.db' is not the URL.*sqlite:///a.db"):
        search(storage="a.db").fit(*table)
    with pytest.raises(ValueError, match="cannot be opened"):
        search(storage="sqlite:////no/such/folder/a.db").fit(*table)


def test_verbose_controls_progress(table, capsys):
    before = optuna.logging.get_verbosity()
    search().fit(*table)
    said = capsys.readouterr()
    assert not said.out and not said.err
    search(verbose=1).fit(*table)
    assert "5/5" in capsys.readouterr().err
    assert optuna.logging.get_verbosity() == before


def test_categorical_distributions_of_optuna(table):
    found = search(space={"C": CategoricalDistribution([0.1, 1.0])}, n_trials=3).fit(*table)
    assert found.best_params_["C"] in (0.1, 1.0)


@pytest.mark.parametrize(("memory", "n_fits"), [(40.0, 3), (20.0, 13)])
def test_outputs_are_kept_only_within_working_memory(memory, n_fits):
    """Where they do not, every candidate fits the first steps itself.

    That is 3 folds of 4 candidates, after one fold that shows how large its table is.
    """
    X, y = make_classification(300, n_features=20, random_state=0)
    fits = []

    class Scaler(StandardScaler):
        def fit(self, X, y=None):
            fits.append(len(X))
            return super().fit(X)

    pipeline = Pipeline([("scale", Scaler()), ("model", LogisticRegression())])
    size = X.nbytes / 2**20
    with sklearn.config_context(working_memory=size * memory / 10):
        search(pipeline, {"model__C": FloatDistribution(1e-3, 10)}, n_trials=4, refit=False).fit(
            X, y
        )
    assert len(fits) == n_fits
