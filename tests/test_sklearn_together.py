"""scikit-learn's meta-estimators around ours: what they answer, not only that they run."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    fbeta_score,
    log_loss,
    make_scorer,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_validate,
)
from sklearn.pipeline import make_pipeline

from ecgsk import ProbabilityTransformer, RecordArray
from ecgsk.metrics import macro_roc_auc
from ecgsk.model_selection import MultilabelStratifiedGroupKFold
from ecgsk.preprocessing import Standardize
from ecgsk.tabular import GroupedEBMClassifier
from tests._models import recordings, small_models

NAMES = list(small_models())
CLASSES = np.array(["normal EF", "low EF"])
both = pytest.mark.parametrize("name", NAMES)
# scikit-learn calibrates by temperature from 1.8 on.
OF_1_8 = [int(part) for part in sklearn.__version__.split(".")[:2]] >= [1, 8]
METHODS = ["sigmoid", "temperature"] if OF_1_8 else ["sigmoid"]


def flipped(y, share: float, seed: int):
    """Return classes in words of which a share is wrong."""
    wrong = np.random.default_rng(seed).random(len(y)) < share
    return CLASSES[np.where(wrong, 1 - y, y)]


def words():
    """Return recordings, and classes in words."""
    X, y = recordings(60)
    return X, CLASSES[y]


@pytest.fixture(scope="module")
def data():
    return words()


@pytest.fixture(scope="module")
def fitted(data):
    return {name: model.fit(*data) for name, model in small_models().items()}


@both
def test_cross_validated_answers_are_those_of_the_folds(name, data):
    X, y = data
    model, folds = small_models()[name], KFold(2)
    said = cross_val_predict(model, X, y, cv=folds, method="predict_proba")
    for train, test in folds.split(X):
        of_fold = clone(model).fit(X[train], y[train])
        assert list(of_fold.classes_) == ["low EF", "normal EF"]
        np.testing.assert_array_equal(said[test], of_fold.predict_proba(X[test]))


@both
def test_scorers_of_several_labels(name, data):
    X, y = data
    fast = (y == "low EF").astype(int)
    Y = pd.DataFrame({"FAST": fast, "SLOW": 1 - fast, "CHANCE": np.arange(60) // 3 % 2})
    groups = np.arange(60) // 2
    scoring = {
        "f1": "f1_macro",
        "auc": "roc_auc",
        "ap": "average_precision",
        "ours": make_scorer(macro_roc_auc, response_method="predict_proba"),
    }
    found = cross_validate(
        small_models()[name],
        RecordArray.wrap(X),
        Y,
        cv=list(MultilabelStratifiedGroupKFold(2).split(X, Y, groups)),
        scoring=scoring,
        return_estimator=True,
        return_indices=True,
        error_score="raise",
    )
    for k, (model, test) in enumerate(
        zip(found["estimator"], found["indices"]["test"], strict=True)
    ):
        assert model.label_names_ == ["FAST", "SLOW", "CHANCE"]
        truth, p = Y.to_numpy()[test], model.predict_proba(X[test])
        auc = roc_auc_score(truth, p)
        assert found["test_f1"][k] == f1_score(truth, (p > 0.5).astype(int), average="macro")
        assert found["test_auc"][k] == found["test_ours"][k] == pytest.approx(auc)
        assert found["test_ap"][k] == pytest.approx(average_precision_score(truth, p))
        assert roc_auc_score(truth[:, :2], p[:, :2]) > 0.95


@both
def test_a_halving_search_keeps_the_rate_that_learns(name, data):
    X, y = data
    params = {"learning_rate": [1e-6, 1e-2]}
    resource = {
        "mtecg": {"resource": "max_epochs", "min_resources": 4, "max_resources": 8},
        "ecgfounder": {"resource": "n_samples", "min_resources": 30},
    }[name]
    search = HalvingGridSearchCV(
        small_models()[name],
        params,
        factor=2,
        cv=2,
        scoring="neg_log_loss",
        error_score="raise",
        random_state=0,
        **resource,
    ).fit(X, y)
    assert search.best_params_["learning_rate"] == 1e-2
    assert search.n_candidates_ == [2, 1]
    assert search.score(X, y) > -0.5 * np.log(2)


@both
@pytest.mark.parametrize("method", METHODS)
def test_calibration_takes_back_what_is_too_sure(name, method, fitted):
    X, y = recordings(80, seed=1)
    X_new, y_new = recordings(200, seed=2)
    # The network has seen no wrong label and is all but certain; one in five is wrong here.
    truth = flipped(y_new, 0.2, seed=3)
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted[name]), method=method, cv=3)
    calibrated.fit(X, flipped(y, 0.2, seed=4))
    before, after = (model.predict_proba(X_new) for model in (fitted[name], calibrated))
    assert log_loss(truth, after) < 0.8 * log_loss(truth, before)
    assert log_loss(truth, after) < 0.6
    np.testing.assert_allclose(after.sum(axis=1), 1)
    assert list(calibrated.classes_) == ["low EF", "normal EF"]
    if method == "temperature":
        # One number divides the logits: nothing changes sides.
        np.testing.assert_array_equal(before > 0.5, after > 0.5)
        one = calibrated.calibrated_classifiers_[0].calibrators[0].beta_
        assert 0 < one < 1


def test_calibration_in_folds_does_not_judge_what_was_learnt(data):
    X, y = recordings(80, seed=5)
    noisy = flipped(y, 0.2, seed=6)
    X_new, y_new = recordings(200, seed=2)
    truth = flipped(y_new, 0.2, seed=3)
    # Enough epochs to learn the wrong labels by heart.
    network = small_models()["mtecg"].set_params(max_epochs=25)
    loss = {
        ensemble: log_loss(
            truth,
            CalibratedClassifierCV(network, cv=2, ensemble=ensemble)
            .fit(X, noisy)
            .predict_proba(X_new),
        )
        for ensemble in (True, False)
    }
    alone = log_loss(truth, clone(network).fit(X, noisy).predict_proba(X_new))
    assert max(loss.values()) < alone


@both
def test_thresholds_do_what_they_were_chosen_for(name, data, fitted):
    X, y = recordings(80, seed=1)
    y = flipped(y, 0.2, seed=4)
    finds_all = make_scorer(fbeta_score, beta=5, pos_label="low EF")
    tuned = TunedThresholdClassifierCV(
        FrozenEstimator(fitted[name]), scoring=finds_all, cv="prefit", refit=False
    ).fit(X, y)
    p = fitted[name].predict_proba(X)[:, 0]
    expected = np.where(p >= tuned.best_threshold_, "low EF", "normal EF")
    np.testing.assert_array_equal(tuned.predict(X), expected)
    plain = fitted[name].predict(X)
    assert tuned.best_score_ > fbeta_score(y, plain, beta=5, pos_label="low EF")
    recalls = [recall_score(y, said, pos_label="low EF") for said in (tuned.predict(X), plain)]
    assert recalls[0] > recalls[1]

    fixed = FixedThresholdClassifier(
        FrozenEstimator(fitted[name]), threshold=0.9, pos_label="low EF"
    ).fit(X, y)
    np.testing.assert_array_equal(fixed.predict(X), np.where(p >= 0.9, "low EF", "normal EF"))


@both
def test_frozen_networks_are_not_fitted_again(name, data, fitted):
    X, y = data
    expected = fitted[name].predict_proba(X)
    frozen = FrozenEstimator(fitted[name])
    wrong = CLASSES[np.random.default_rng(0).integers(2, size=60)]
    assert clone(frozen).fit(X, wrong).estimator is fitted[name]
    found = cross_validate(frozen, X, wrong, cv=3, return_estimator=True)
    for model in found["estimator"]:
        np.testing.assert_array_equal(model.predict_proba(X), expected)


def test_votes_are_means(data, fitted):
    X, y = data
    vote = VotingClassifier(list(small_models().items()), voting="soft", weights=[3, 1]).fit(X, y)
    one, other = (fitted[name].predict_proba(X) for name in NAMES)
    np.testing.assert_allclose(vote.predict_proba(X), 0.75 * one + 0.25 * other, atol=1e-6)
    assert vote.predict(X).tolist() == y.tolist()


def test_a_stack_relies_on_who_knows_something(data):
    X, y = data
    models = small_models()
    models["ecgfounder"].set_params(learning_rate=1e-7, max_epochs=1)  # has learned nothing
    stack = StackingClassifier(list(models.items()), LogisticRegression(), cv=2).fit(X, y)
    knows, guesses = np.abs(stack.final_estimator_.coef_[0])
    assert knows > 3 * guesses
    X_new, y_new = recordings(seed=1)
    assert stack.score(X_new, CLASSES[y_new]) > 0.9
    out_of_fold = [
        cross_val_predict(model, X, y, cv=2, method="predict_proba")[:, 1]
        for model in models.values()
    ]
    expected = LogisticRegression().fit(np.column_stack(out_of_fold), y)
    np.testing.assert_allclose(stack.final_estimator_.coef_, expected.coef_, rtol=1e-5)


@both
def test_names_reach_the_glass_box_through_set_output(name, data):
    X, y = data
    fast = (y == "low EF").astype(int)
    findings = pd.DataFrame({"FAST": fast, "SLOW": 1 - fast})
    pipeline = make_pipeline(
        Standardize(),
        ProbabilityTransformer(small_models()[name], cv=2, random_state=0),
        GroupedEBMClassifier(interactions=0, outer_bags=2, max_rounds=30, n_jobs=1),
    ).set_output(transform="pandas")
    pipeline.fit(X, y, probabilitytransformer__diagnoses=findings)
    assert pipeline[-1].feature_names_in_ == pipeline[-1].term_names_ == ["FAST", "SLOW"]
    table = pipeline[:-1].transform(X)
    assert list(table.columns) == ["FAST", "SLOW"]
    whole = pipeline[1].estimator_.predict_proba(Standardize().transform(X))
    np.testing.assert_allclose(table, whole, rtol=1e-6)
    assert pipeline.score(X, y) > 0.9


METAS = {
    "grid": lambda model: GridSearchCV(model, {"max_epochs": [1, 2]}, cv=2),
    "halving": lambda model: HalvingGridSearchCV(
        model, {"max_epochs": [1, 2]}, cv=2, min_resources=30, factor=2, random_state=0
    ),
    "calibrated": lambda model: CalibratedClassifierCV(model, cv=2),
    "tuned": lambda model: TunedThresholdClassifierCV(model, cv=2, random_state=0),
    "fixed": lambda model: FixedThresholdClassifier(model, threshold=0.3, pos_label="low EF"),
    "stacking": lambda model: StackingClassifier([("a", model)], LogisticRegression(), cv=2),
    "voting": lambda model: VotingClassifier([("a", model), ("b", model)], voting="soft"),
    "frozen": lambda model: FrozenEstimator(model.fit(*words())),
    "pipeline": lambda model: make_pipeline(
        ProbabilityTransformer(model, cv=2, random_state=0), LogisticRegression()
    ),
}


@both
@pytest.mark.parametrize("kind", list(METAS))
def test_all_of_these_are_cloned_and_pickled(name, kind):
    X, y = words()
    meta = METAS[kind](small_models()[name].set_params(max_epochs=2))
    given = repr(meta.get_params())
    first = meta.fit(X, y).predict_proba(X)
    assert repr(meta.get_params()) == given
    np.testing.assert_array_equal(clone(meta).fit(X, y).predict_proba(X), first)
    again = pickle.loads(pickle.dumps(meta))
    np.testing.assert_array_equal(again.predict_proba(X), first)
    assert again.predict(X).tolist() == meta.predict(X).tolist()
    assert first.shape == (60, 2) and set(meta.classes_) == set(CLASSES)


def test_folds_that_are_listed_keep_patients_together_in_a_stack(data):
    # StackingClassifier hands groups to no splitter: its folds have to be made before.
    X, y = data
    groups = np.arange(60) // 2
    model = small_models()["mtecg"].set_params(max_epochs=1)
    with pytest.raises(ValueError, match="groups"):
        StackingClassifier([("a", model)], cv=GroupKFold(2)).fit(X, y)
    folds = list(GroupKFold(2).split(X, y, groups))
    stack = StackingClassifier([("a", model)], LogisticRegression(), cv=folds).fit(X, y)
    assert stack.predict_proba(X).shape == (60, 2)
