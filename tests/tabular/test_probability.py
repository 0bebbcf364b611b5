import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from interpret.glassbox import ExplainableBoostingClassifier
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, PredefinedSplit, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecgsk import ProbabilityTransformer, RecordArray
from ecgsk._core.metadata import fit_arguments
from ecgsk.preprocessing import Standardize
from tests._models import recordings, small_models

NAMES = ["AFIB", "LVH", "SR"]


@pytest.fixture
def table():
    random = np.random.default_rng(0)
    X = random.normal(size=(90, 4))
    findings = (X[:, :3] + random.normal(size=(90, 3)) > 0).astype(int)
    return X, findings, np.arange(90) // 3


class Remembers(LogisticRegression):
    """Gives the share of ones among the records of a patient that it was fitted on."""

    def fit(self, X, y, sample_weight=None):
        self.known_ = {row[0]: label for row, label in zip(X, y, strict=True)}
        return super().fit(X, y)

    def predict_proba(self, X):
        p = np.array([self.known_.get(row[0], 0.5) for row in X])
        return np.stack([1 - p, p], axis=1)


@pytest.mark.parametrize("given", [True, False])
def test_no_record_is_judged_by_what_has_seen_its_patient(given):
    patient = np.repeat(np.arange(30), 3)
    X = np.column_stack([patient, np.zeros(90)]).astype(float)
    y = patient % 2
    step = ProbabilityTransformer(Remembers(), cv=5, random_state=0)
    leaked = step.fit_transform(X, y, groups=patient if given else None).to_numpy()[:, 0]
    # A classifier that knows a patient answers 0 or 1; one that does not answers 0.5.
    assert (leaked == 0.5).all() == given
    assert set(step.transform(X).to_numpy()[:, 0]) == {0.0, 1.0}


def test_out_of_fold_values_are_those_of_the_folds(table):
    X, findings, groups = table
    folds = PredefinedSplit(groups % 3)
    step = ProbabilityTransformer(GaussianNB(), cv=folds)
    values = step.fit_transform(X, findings[:, 0]).to_numpy()[:, 0]
    for train, test in folds.split():
        fold = GaussianNB().fit(X[train], findings[train, 0])
        np.testing.assert_array_equal(values[test], fold.predict_proba(X[test])[:, 1])
    whole = GaussianNB().fit(X, findings[:, 0])
    np.testing.assert_array_equal(step.transform(X)["class_1"], whole.predict_proba(X)[:, 1])


def test_diagnoses_not_y_are_learnt_and_name_the_columns(table):
    X, findings, groups = table
    question = np.random.default_rng(1).integers(2, size=90)
    diagnoses = pd.DataFrame(findings, columns=NAMES)
    step = ProbabilityTransformer(KNeighborsClassifier(3), cv=3, random_state=0)
    first = step.fit_transform(X, question, diagnoses=diagnoses, groups=groups)
    assert list(first.columns) == list(step.get_feature_names_out()) == NAMES
    second = clone(step).fit_transform(X, 1 - question, diagnoses=diagnoses, groups=groups)
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(
    "estimator",
    [
        KNeighborsClassifier(3),
        RandomForestClassifier(5, random_state=0),
        OneVsRestClassifier(LogisticRegression()),
    ],
)
def test_scikit_learns_multilabel_answers_become_one_table(table, estimator):
    X, findings, _ = table
    findings[:, 2] = 0  # a label that never occurs
    step = ProbabilityTransformer(estimator, feature_names=NAMES, cv=3, random_state=0)
    out = step.fit(X, diagnoses=findings).transform(X)
    assert list(out.columns) == NAMES
    fitted = clone(estimator).fit(X, findings)
    of_second = fitted.predict_proba(X)
    of_second = of_second[1][:, 1] if isinstance(of_second, list) else of_second[:, 1]
    np.testing.assert_allclose(out["LVH"], of_second)
    assert (out["SR"] == 0).all()
    assert step.fit_transform(X, diagnoses=findings).shape == (90, 3)


@pytest.mark.parametrize(
    ("labels", "columns"),
    [
        ([0, 1], ["class_1"]),
        (["no", "yes"], ["yes"]),
        (["a", "b", "c"], ["a", "b", "c"]),
        ([3, 5, 9], ["class_3", "class_5", "class_9"]),
    ],
)
def test_columns_of_single_label_targets(table, labels, columns):
    X, findings, _ = table
    y = np.asarray(labels)[findings.sum(axis=1) % len(labels)]
    out = ProbabilityTransformer(GaussianNB(), cv=3).fit_transform(X, y)
    assert list(out.columns) == columns


def test_a_class_that_a_fold_lacks_has_no_probability_there(table):
    X = table[0]
    y = np.array(["a", "b"])[(X[:, 0] > 0).astype(int)].astype(object)
    y[0] = "rare"
    out = ProbabilityTransformer(GaussianNB(), cv=3, random_state=0).fit_transform(X, y)
    assert list(out.columns) == ["a", "b", "rare"]
    assert out.loc[0, "rare"] == 0
    np.testing.assert_allclose(out.sum(axis=1), 1)


def test_frozen_classifiers_are_used_as_they_are(table):
    X, findings, _ = table
    fitted = make_pipeline(StandardScaler(), GaussianNB()).fit(X, findings[:, 0])
    step = ProbabilityTransformer(FrozenEstimator(fitted), feature_names=["AFIB"])
    expected = fitted.predict_proba(X)[:, 1]
    np.testing.assert_array_equal(step.transform(X)["AFIB"], expected)
    np.testing.assert_array_equal(step.fit_transform(X, 1 - findings[:, 0])["AFIB"], expected)
    assert clone(step).fit(X).estimator_.estimator is fitted


def test_a_classifier_to_be_fitted_needs_targets(table):
    with pytest.raises(ValueError, match="y is None.*diagnoses.*FrozenEstimator"):
        ProbabilityTransformer(GaussianNB()).fit(table[0])


@pytest.mark.parametrize(
    ("names", "said"), [(["A"], "1 names.*3 columns"), (["A", "B", "A"], "twice")]
)
def test_names_have_to_fit(table, names, said):
    X, findings, _ = table
    with pytest.raises(ValueError, match=said):
        ProbabilityTransformer(KNeighborsClassifier(), feature_names=names).fit(
            X, diagnoses=findings
        )


def test_folds_have_to_partition_the_records(table):
    X, findings, _ = table
    some = [(np.arange(60), np.arange(60, 90))]
    with pytest.raises(ValueError, match="60 of 90 records in no test fold"):
        ProbabilityTransformer(GaussianNB(), cv=some).fit_transform(X, findings[:, 0])


class Saturated(GaussianNB):
    """Is as sure as a float32 can be."""

    def predict_proba(self, X):
        p = (np.arange(len(X)) % 3 / 2).astype(np.float32)
        return np.stack([1 - p, p], axis=1)


def test_logits_are_finite_where_probabilities_saturate(table):
    X, findings, _ = table
    step = ProbabilityTransformer(Saturated(), scale="logit").fit(X, findings[:, 0])
    logits = step.transform(X)["class_1"].to_numpy()
    assert set(logits.round(3)) == {-15.942, 0.0, 15.942}


def test_containers(table):
    X, findings, _ = table
    frame = pd.DataFrame(X, columns=list("abcd"), index=np.arange(90) + 1000)
    step = ProbabilityTransformer(GaussianNB(), cv=3).fit(frame, findings[:, 0])
    assert list(step.transform(frame).index[:2]) == [1000, 1001]
    assert list(step.feature_names_in_) == list("abcd")
    assert isinstance(step.set_output(transform="pandas").transform(frame), pd.DataFrame)


def test_sample_weight_and_groups_reach_the_last_step_of_a_pipeline(table):
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    given = fit_arguments(pipeline, groups=np.ones(3), sample_weight=np.ones(3))
    assert list(given) == ["logisticregression__sample_weight"]
    model = make_pipeline(Standardize(), small_models()["mtecg"])
    assert set(fit_arguments(model, groups=np.ones(3), sample_weight=None)) == {
        "mtecgclassifier__groups"
    }


def test_weights_that_nothing_takes_are_not_lost(table):
    X, findings, _ = table
    with pytest.raises(ValueError, match="fit of KNeighborsClassifier does not take it"):
        ProbabilityTransformer(KNeighborsClassifier()).fit(
            X, findings[:, 0], sample_weight=np.ones(90)
        )


class NotesGroups(LogisticRegression):
    """Remembers the patients it was fitted with."""

    seen = []

    def fit(self, X, y, groups=None, sample_weight=None):
        self.seen.append(groups)
        return super().fit(X, y)


@pytest.mark.parametrize("routing", [False, True])
def test_groups_reach_every_step_and_search_inside(table, routing):
    X, findings, groups = table
    y = findings[:, 0]
    NotesGroups.seen.clear()
    with sklearn.config_context(enable_metadata_routing=routing):
        last = NotesGroups()
        if routing:
            last.set_fit_request(groups=True)
        inner = make_pipeline(StandardScaler(), last)
        ProbabilityTransformer(inner, cv=3).fit_transform(X, y, groups=groups)
    assert [len(g) for g in NotesGroups.seen] == [90, 60, 60, 60]
    search = GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-3]}, cv=GroupKFold(3))
    ProbabilityTransformer(search, cv=2).fit_transform(X, y, groups=groups)


def test_routing_asks_for_what_was_not_said(table):
    X, findings, groups = table
    with sklearn.config_context(enable_metadata_routing=True):
        step = ProbabilityTransformer(make_pipeline(StandardScaler(), NotesGroups()))
        with pytest.raises(UnsetMetadataPassedError, match="groups"):
            step.fit(X, findings[:, 0], groups=groups)


def test_nested_steps_fold_by_patient(table):
    X, findings, groups = table
    X = np.column_stack([groups, np.zeros(90)]).astype(float)
    y = groups % 2
    inner = make_pipeline(ProbabilityTransformer(Remembers(), cv=3), LogisticRegression())
    inner_step = ProbabilityTransformer(inner, cv=3, random_state=0).fit(X, y, groups=groups)
    # What the inner last step learned from is 0.5 throughout: nothing was known of a patient.
    assert inner_step.estimator_[-1].coef_[0, 0] == pytest.approx(0, abs=1e-6)


def test_labels_have_to_be_0_and_1(table):
    X, findings, _ = table
    for wrong in (findings + 1, 100 * findings, 2 * findings - 1):
        with pytest.raises(ValueError, match="diagnoses holds .* has to hold 0 and 1"):
            ProbabilityTransformer(RandomForestClassifier(2)).fit(X, diagnoses=wrong)
        with pytest.raises(ValueError, match="y holds .* has to hold 0 and 1"):
            ProbabilityTransformer(RandomForestClassifier(2)).fit(X, wrong)
    with pytest.raises(ValueError, match="multiclass-multioutput"):
        ProbabilityTransformer(RandomForestClassifier(2)).fit(X, diagnoses=findings.cumsum(axis=1))


def test_nothing_of_an_earlier_fit_is_left(table):
    X, findings, _ = table
    frame = pd.DataFrame(X, columns=list("abcd"))
    step = ProbabilityTransformer(KNeighborsClassifier(3), cv=2)
    step.fit_transform(frame, diagnoses=pd.DataFrame(findings, columns=NAMES))
    three = GaussianNB().fit(X, findings.sum(axis=1) % 3)
    step.set_params(estimator=FrozenEstimator(three))
    assert list(step.fit_transform(X).columns) == ["class_0", "class_1", "class_2"]
    assert not hasattr(step, "feature_names_in_")


def test_frozen_perceptrons_with_two_labels_keep_both(table):
    X, findings, _ = table
    fitted = MLPClassifier(max_iter=5, random_state=0).fit(X, findings[:, :2])
    step = ProbabilityTransformer(FrozenEstimator(fitted))
    assert list(step.fit_transform(X).columns) == ["label_0", "label_1"]


def test_a_frozen_classifier_has_to_be_fitted(table):
    with pytest.raises(NotFittedError):
        ProbabilityTransformer(FrozenEstimator(GaussianNB())).fit(table[0])


@pytest.mark.parametrize("kind", ["sparse", "column", "series"])
def test_diagnoses_in_other_containers(table, kind):
    X, findings, _ = table
    step = ProbabilityTransformer(KNeighborsClassifier(3), cv=3, random_state=0)
    diagnoses, columns = {
        "sparse": (sparse.csr_array(findings), ["label_0", "label_1", "label_2"]),
        "column": (pd.DataFrame({"LVH": findings[:, 0]}), ["LVH"]),
        "series": (pd.Series(findings[:, 0], name="LVH", index=np.arange(90)[::-1]), ["LVH"]),
    }[kind]
    out = step.fit_transform(X, diagnoses=diagnoses)
    assert list(out.columns) == columns
    plain = findings if kind == "sparse" else findings[:, 0]
    np.testing.assert_array_equal(out, clone(step).fit_transform(X, diagnoses=plain))


def test_an_iterator_of_folds_serves_once(table):
    X, findings, _ = table
    step = ProbabilityTransformer(GaussianNB(), cv=GroupKFold(3).split(X, groups=table[2]))
    step.fit_transform(X, findings[:, 0])
    with pytest.raises(ValueError, match="an iterator works only once"):
        step.fit_transform(X, findings[:, 0])


def test_an_array_comes_out_where_it_is_asked_for(table):
    X, findings, _ = table
    step = ProbabilityTransformer(GaussianNB(), cv=3).set_output(transform="default")
    assert type(step.fit_transform(X, findings[:, 0])) is np.ndarray


@pytest.fixture(scope="module")
def cohort():
    X, y = recordings(60)
    findings = pd.DataFrame({"FAST": y, "SLOW": 1 - y, "NONE": 0})
    question = np.where(np.arange(60) % 10 == 0, 1 - y, y)
    return X, findings, question, np.arange(60) // 2


def glass_box(cv=2):
    return make_pipeline(
        ProbabilityTransformer(small_models()["mtecg"], cv=cv, random_state=0),
        ExplainableBoostingClassifier(
            interactions=0, outer_bags=2, max_rounds=50, min_samples_leaf=2, n_jobs=1
        ),
    )


def test_the_glass_box_sees_names(cohort):
    X, findings, question, groups = cohort
    pipeline = glass_box().fit(
        X,
        question,
        probabilitytransformer__diagnoses=findings,
        probabilitytransformer__groups=groups,
    )
    assert pipeline[-1].feature_names_in_ == ["FAST", "SLOW", "NONE"]
    assert pipeline.score(*recordings(40, seed=5)) == 1.0
    again = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(again.predict_proba(X), pipeline.predict_proba(X))


def test_the_whole_pipeline_is_cross_validated_with_routing(cohort):
    X, findings, question, groups = cohort
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = glass_box()
        pipeline[0].set_fit_request(diagnoses=True, groups=True)
        scores = cross_validate(
            pipeline,
            RecordArray.wrap(X),
            question,
            cv=GroupKFold(2),
            params={"diagnoses": findings, "groups": groups},
            error_score="raise",
        )
    assert scores["test_score"].min() >= 0.8


def test_pandas_output_is_set_on_a_whole_pipeline(cohort):
    X, findings, _, _ = cohort
    pipeline = make_pipeline(Standardize(), ProbabilityTransformer(small_models()["mtecg"], cv=2))
    pipeline.set_output(transform="pandas")
    out = pipeline.fit_transform(X, probabilitytransformer__diagnoses=findings)
    assert list(out.columns) == ["FAST", "SLOW", "NONE"]


def test_a_frozen_network_with_two_labels_keeps_both(cohort):
    X, findings, _, _ = cohort
    network = small_models()["mtecg"].fit(X, findings[["FAST", "SLOW"]].to_numpy())
    out = ProbabilityTransformer(FrozenEstimator(network)).transform(X)
    assert list(out.columns) == ["label_0", "label_1"]


def test_a_frozen_pipeline_keeps_the_names_of_its_network(cohort):
    X, findings, _, _ = cohort
    fitted = make_pipeline(Standardize(), small_models()["mtecg"]).fit(X, findings)
    out = ProbabilityTransformer(FrozenEstimator(fitted)).transform(X)
    assert list(out.columns) == ["FAST", "SLOW", "NONE"]


class Counts(GaussianNB):
    """Notes how many positive records each fit has."""

    seen: list = []

    def fit(self, X, y, sample_weight=None):
        Counts.seen.append(int(np.sum(y)))
        return super().fit(X, y)


@pytest.mark.parametrize("grouped", [True, False])
def test_every_fold_has_its_share_of_a_rare_class(grouped):
    patient = np.arange(60) // 2 if grouped else None
    y = (np.arange(60) < 6).astype(int)
    X = np.random.default_rng(0).normal(size=(60, 2))
    for seed in range(5):
        Counts.seen.clear()
        step = ProbabilityTransformer(Counts(), cv=3, random_state=seed)
        step.fit_transform(X, y, groups=patient)
        assert sorted(Counts.seen) == [4, 4, 4, 6]


def test_a_class_that_is_too_rare_for_every_fold_is_no_obstacle():
    y = np.r_[1, 1, np.zeros(28, dtype=int)]
    X = np.random.default_rng(0).normal(size=(30, 2))
    for groups in (None, np.arange(30)):
        step = ProbabilityTransformer(GaussianNB(), cv=3, random_state=0)
        assert np.isfinite(step.fit_transform(X, y, groups=groups).to_numpy()).all()
