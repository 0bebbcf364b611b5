"""The framework for low ejection fraction: its steps, and that they keep patients apart."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from ecgsk import MTECGClassifier, RecordArray, load, make_lef_classifier, make_lef_cohort, save
from ecgsk.datasets._synthetic.lef_cohort import draw_cohort
from ecgsk.inspection import explain_record
from ecgsk.tabular import (
    GroupedEBMClassifier,
    ProbabilityTransformer,
    SinglePredictorClassifier,
    TableColumns,
    patient_bags,
    screen_predictors,
)

# Together they take longer than all else that `make test-fast` runs.
pytestmark = pytest.mark.slow


@parametrize_with_checks(
    [
        GroupedEBMClassifier(interactions=0, outer_bags=2, max_rounds=50, n_jobs=1),
        SinglePredictorClassifier(0),
        SinglePredictorClassifier("best"),
        TableColumns(),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def cohort():
    return make_lef_cohort(90, sampling_rate=250, random_state=0)


@pytest.fixture(scope="module")
def records(cohort):
    return RecordArray.wrap(
        cohort.data, table=pd.DataFrame({"age": cohort.age, "sex": cohort.sex, "site": "A"})
    )


def quick(pipeline):
    return pipeline.set_params(classifier__outer_bags=2, classifier__max_rounds=40)


@pytest.mark.parametrize("classifier", ["ebm", "logistic", "gradient_boosting"])
def test_a_plain_pipeline_from_recordings_to_an_answer(cohort, records, classifier):
    pipeline = make_lef_classifier(
        classifier=classifier, covariates=["age", "sex"], random_state=0, n_jobs=1
    )
    pipeline = clone(quick(pipeline) if classifier == "ebm" else pipeline)
    params = {"classifier__groups": cohort.groups} if classifier == "ebm" else {}
    pipeline.fit(records, cohort.target, **params)
    answers = pipeline.predict_proba(records[:7])
    assert answers.shape == (7, 2)
    names = list(pipeline[-1].feature_names_in_)
    assert len(names) == 73 and names[-2:] == ["age", "sex"] and "NORM" in names
    # The rows are each patient's own, whichever are asked for together.
    np.testing.assert_allclose(pipeline.predict_proba(records[[6, 2]]), answers[[6, 2]], atol=1e-5)
    again = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(again.predict_proba(records[:7]), answers)


def test_rates_are_bridged_inside(cohort):
    """The same hearts at two rates give nearly the same probabilities."""
    tables = []
    for rate in (250, 500):
        one = make_lef_cohort(20, sampling_rate=rate, noise=0, random_state=3)
        step = make_lef_classifier(sampling_rate=rate)["predictors"]
        tables.append(step.fit(one.data).transform(one.data))
    assert tables[0].shape == (20, 71)
    difference = (tables[0] - tables[1]).abs().to_numpy()
    assert np.median(difference) < 0.5
    with pytest.raises(ValueError, match="500"):
        make_lef_classifier(sampling_rate=500)["predictors"].transform(cohort.data)


def test_covariates_that_are_not_there_are_named(cohort, records):
    pipeline = quick(make_lef_classifier(covariates=["age", "height"]))
    with pytest.raises(ValueError, match="height.*of the recordings has age, sex, site"):
        pipeline.fit(records, cohort.target)
    with pytest.raises(ValueError, match="only recordings, but age, height.*RecordArray.wrap"):
        pipeline.fit(cohort.data, cohort.target)
    with pytest.raises(ValueError, match="site of the table contain text.*'A'"):
        make_lef_classifier(covariates=["site"]).fit(records, cohort.target)


@pytest.mark.filterwarnings("ignore:Missing values detected")  # of interpret's own plots
@pytest.mark.parametrize("classifier", ["ebm", "logistic", "gradient_boosting"])
def test_columns_of_a_vendors_table_are_predictors(cohort, classifier, tmp_path):
    random = np.random.default_rng(0)
    n_records = len(cohort.target)
    low = cohort.target == 1
    score = np.where(random.random(n_records) < 0.2, np.nan, low + random.normal(size=n_records))
    decision = np.where(low ^ (random.random(n_records) < 0.2), "Yes", "no").astype(object)
    decision[:4] = [None, "", np.nan, "unknown"]
    table = pd.DataFrame(
        {
            "AF probability (%)": score,
            "ischemia?": decision,
            "vendor's QRS, ms": [*random.integers(80, 140, n_records - 1), None],
            "paced": pd.array([*[True, False] * (n_records // 2 - 1), None, True]),
            "LVH": pd.Categorical(np.where(low, "present", "absent")),
        }
    )
    X = RecordArray.wrap(cohort.data, table=table)
    pipeline = make_lef_classifier(
        [], classifier=classifier, covariates=list(table), random_state=0, n_jobs=1
    )
    pipeline = quick(pipeline) if classifier == "ebm" else pipeline
    pipeline.fit(X, cohort.target)
    assert list(pipeline[-1].feature_names_in_) == list(table)
    assert pipeline.score(X, cohort.target) > 0.7
    found = pipeline["predictors"].transform(X)
    assert found["ischemia?"].isna().tolist()[:5] == [True] * 4 + [False]
    assert set(found["ischemia?"].dropna()) == set(found["LVH"]) == {0.0, 1.0}
    if classifier == "ebm":
        explained = explain_record(pipeline[-1], pipeline[:-1].transform(X[:1])).table
        assert set(explained.index) == set(table)
        assert set(pipeline[-1].term_names_) == set(table)
    save(pipeline, tmp_path / "model.ecgsk")
    expected = pipeline.predict_proba(X)
    np.testing.assert_array_equal(load(tmp_path / "model.ecgsk").predict_proba(X), expected)
    # The same decisions in other words, and a text that is not a decision.
    words = table.replace({"ischemia?": {"Yes": "positive", "no": "FALSE"}})
    np.testing.assert_array_equal(
        pipeline.predict_proba(RecordArray.wrap(cohort.data, table=words)), expected
    )
    words.loc[7, "ischemia?"] = "perhaps"
    with pytest.raises(ValueError, match=r"ischemia\? of the table contain text.*yes and no"):
        pipeline.predict_proba(RecordArray.wrap(cohort.data, table=words))


def test_several_extractors_side_by_side(cohort, records):
    network = MTECGClassifier("nano", sampling_rate=250, max_epochs=1, random_state=0)
    findings = pd.DataFrame(cohort.diagnoses, columns=cohort.diagnosis_names)
    fitted = clone(network).fit(cohort.data, findings)
    pipeline = quick(
        make_lef_classifier(
            {"own": network, "frozen": FrozenEstimator(fitted)},
            covariates="age",
            cv=2,
            random_state=0,
            n_jobs=1,
        )
    )
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline.fit(records, cohort.target, groups=cohort.groups, diagnoses=findings)
    names = list(pipeline[-1].feature_names_in_)
    assert len(names) == 29
    assert (names[0], names[14], names[-1]) == ("own__CLBBB", "frozen__CLBBB", "patient__age")
    transformed = pipeline[:-1].transform(records[:5])
    direct = ProbabilityTransformer(FrozenEstimator(fitted), scale="logit").transform(
        cohort.data[:5]
    )
    np.testing.assert_allclose(transformed.iloc[:, 14:28], direct, atol=1e-5)


@pytest.mark.parametrize(
    ("params", "error", "match"),
    [
        ({"extractor": "mtceg"}, ValueError, "extractor='mtceg'.*'mtecg' or 'ecgfounder'"),
        ({"extractor": []}, ValueError, "there are no predictors"),
        ({"extractor": 3}, TypeError, "without predict_proba and transform"),
        ({"classifier": "xgboost"}, ValueError, "classifier='xgboost'.*'logistic'"),
        ({"classifier": None}, ValueError, "classifier=None"),
        ({"sampling_rate": 0}, ValueError, "sampling_rate=0 must be"),
    ],
)
def test_what_is_not_known_is_refused(params, error, match):
    with pytest.raises(error, match=match):
        make_lef_classifier(**params)


def test_groups_reach_the_bags_through_cross_validation(cohort, records, monkeypatch):
    seen = []
    original = GroupedEBMClassifier.fit

    def fit(self, X, y, *, groups=None, **params):
        seen.append(groups)
        return original(self, X, y, groups=groups, **params)

    monkeypatch.setattr(GroupedEBMClassifier, "fit", fit)
    monkeypatch.setattr(fit, "__signature__", None, raising=False)
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = quick(make_lef_classifier(n_jobs=1))
        cross_validate(
            pipeline,
            records,
            cohort.target,
            cv=GroupKFold(2),
            params={"groups": cohort.groups},
            error_score="raise",
        )
    assert len(seen) == 2
    assert not set(seen[0]) & set(seen[1])


def patients_by_heart(rng, n_patients=120, n_each=10, n_columns=40):
    """Return a table in which each patient's rows are alike and independent of the target."""
    groups = np.repeat(np.arange(n_patients), n_each)
    column = rng.normal(size=(n_patients, n_columns))[groups]
    X = column + rng.normal(0, 0.01, column.shape)
    return X, rng.permutation(np.arange(n_patients) % 2)[groups], groups


def test_the_glass_box_does_not_learn_patients_by_heart():
    """Where nothing can be learned of other patients, growing has to stop at once.

    Held-out records of the patients learned from say that it goes well, and it goes on.
    """
    X, y, groups = patients_by_heart(np.random.default_rng(0))
    spread = {}
    for name, params in {"kept": {"groups": groups}, "ignored": {}}.items():
        ebm = GroupedEBMClassifier(interactions=0, outer_bags=2, max_rounds=300, n_jobs=1)
        spread[name] = np.std(ebm.fit(X, y, **params).decision_function(X))
    assert spread["kept"] < 0.5 < 2 < spread["ignored"]


def test_no_patient_is_on_both_sides_of_a_bag():
    rng = np.random.default_rng(0)
    groups = rng.integers(60, size=300)
    y = (rng.random(300) < 0.2).astype(int)
    bags = patient_bags(y, groups, n_bags=5, validation_size=0.2, random_state=0)
    held_patients = set()
    for bag in bags.T:
        learned, held = set(groups[bag == 1]), set(groups[bag == -1])
        assert not learned & held and learned | held == set(groups)
        assert 0.15 < len(held) / 60 < 0.27
        assert set(y[bag == 1]) == set(y[bag == -1]) == {0, 1}
        held_patients |= {frozenset(held)}
    assert len(held_patients) == 5
    np.testing.assert_array_equal(
        bags, patient_bags(y, groups, n_bags=5, validation_size=0.2, random_state=0)
    )


def test_a_whole_number_of_patients_can_be_held_out():
    bags = patient_bags(np.arange(40) % 2, np.arange(40), n_bags=1, validation_size=10)
    assert (bags == -1).sum() == 10
    assert (patient_bags([0, 1], [1, 2], n_bags=2, validation_size=0) == 1).all()


def test_too_few_patients_are_told():
    with pytest.raises(ValueError, match="groups has 3 patients, of whom 1 have a record of one"):
        patient_bags([0, 0, 1], [1, 2, 3])
    with pytest.raises(ValueError, match="groups and bags were both given"):
        GroupedEBMClassifier().fit(
            [[0.0], [1.0]], [0, 1], groups=[1, 2], bags=np.ones((2, 14), dtype=np.int8)
        )


def test_one_class_is_told():
    for model in (GroupedEBMClassifier(), SinglePredictorClassifier(0)):
        with pytest.raises(ValueError, match="class"):
            model.fit([[0.0], [1.0], [2.0]], [1, 1, 1])


def findings_as_a_network_says(n_records, seed):
    rng = np.random.default_rng(seed)
    cohort = draw_cohort(n_records, None, 0.2, 45.0, rng)
    said = np.where(cohort.diagnoses == 1, 3.0, -5.0) + rng.normal(0, 0.7, cohort.diagnoses.shape)
    return pd.DataFrame(said, columns=cohort.diagnosis_names), cohort


@pytest.mark.slow
def test_the_glass_box_finds_what_was_planted():
    """Within 0.01 of the best there is, and every shape in the planted direction."""
    table, cohort = findings_as_a_network_says(12_000, 0)
    fresh, test = findings_as_a_network_says(12_000, 1)
    ebm = make_lef_classifier(n_jobs=2, random_state=0)["classifier"]
    ebm.fit(table, cohort.target, groups=cohort.groups)
    area = roc_auc_score(test.target, ebm.predict_proba(fresh)[:, 1])
    best = roc_auc_score(test.target, test.oracle)
    assert best - 0.01 < area < best + 0.003
    low, high = pd.DataFrame(-5.0, table.index[:1], table.columns), 3.0
    rises = {
        name: ebm.decision_function(low.assign(**{name: high}))[0] - ebm.decision_function(low)[0]
        for name in table
    }
    # A finding without weight is not exactly flat; those with one are far above.
    nothing = {"CRBBB", "LAFB", "1AVB"}
    assert min(rises[name] for name in set(rises) - nothing) > 0.25
    assert max(abs(rises[name]) for name in nothing) < 0.25
    strongest = sorted(rises, key=rises.get)[-3:]
    assert set(strongest) == {"CLBBB", "ASMI", "INVT"}


def test_single_predictors_turn_to_the_question():
    table, cohort = findings_as_a_network_says(2000, 0)
    table["NORM"] = -table["ASMI"] - table["CLBBB"] - table["INVT"]
    alone = SinglePredictorClassifier("NORM").fit(table, cohort.target)
    assert (alone.predictor_, alone.direction_) == ("NORM", "lower")
    area = roc_auc_score(cohort.target, alone.predict_proba(table)[:, 1])
    assert area == pytest.approx(1 - roc_auc_score(cohort.target, table["NORM"]))
    assert area > 0.75
    best = SinglePredictorClassifier("best").fit(table, cohort.target)
    areas = {c: abs(roc_auc_score(cohort.target, table[c]) - 0.5) for c in table}
    assert best.predictor_ == max(areas, key=areas.get)
    labels = np.array(["normal", "low"])[1 - cohort.target]
    named = SinglePredictorClassifier("ASMI", direction="higher").fit(table, labels)
    assert named.classes_.tolist() == ["low", "normal"]


def test_single_predictors_as_probabilities():
    X = pd.DataFrame({"AFIB": [0.0, 0.2, 0.9, 1.0], "age": [50, np.nan, 60, 70]})
    alone = SinglePredictorClassifier("AFIB", direction="higher", scale="probability")
    answers = alone.fit(X, [0, 0, 1, 1]).predict_proba(X)[:, 1]
    np.testing.assert_allclose(answers, X["AFIB"], atol=1e-6)
    with pytest.raises(ValueError, match="1 NaN or infinite values in age, the first in record 1"):
        SinglePredictorClassifier("age").fit(X, [0, 0, 1, 1])
    with pytest.raises(ValueError, match="from 50 to 70 in age.*scale='logit'"):
        SinglePredictorClassifier("age", scale="probability").fit(X.dropna(), [0, 1, 1])
    with pytest.raises(ValueError, match="predictor='SR' is not a column.*AFIB, age"):
        SinglePredictorClassifier("SR").fit(X, [0, 0, 1, 1])


@pytest.mark.slow
def test_single_predictors_in_a_search(cohort):
    pipeline = make_lef_classifier(classifier=SinglePredictorClassifier("NORM"))
    search = GridSearchCV(
        pipeline, {"classifier__predictor": ["NORM", "CLBBB"]}, cv=2, scoring="roc_auc"
    )
    search.fit(cohort.data, cohort.target)
    assert search.best_params_["classifier__predictor"] in ("NORM", "CLBBB")


def test_any_classifier_will_do(cohort):
    pipeline = make_lef_classifier(classifier=LogisticRegression(C=0.01, max_iter=500))
    assert list(pipeline.named_steps) == ["predictors", "classifier"]
    assert pipeline.fit(cohort.data, cohort.target).predict(cohort.data).shape == (90,)


def test_the_extractors_are_not_asked_again_with_memory(cohort, tmp_path, monkeypatch):
    calls = []
    original = MTECGClassifier.predict_proba

    def predict_proba(self, X):
        calls.append(len(X))
        return original(self, X)

    monkeypatch.setattr(MTECGClassifier, "predict_proba", predict_proba)
    pipeline = make_lef_classifier(classifier="logistic", memory=str(tmp_path))
    for strength in (0.1, 1.0, 10.0):
        clone(pipeline).set_params(classifier__C=strength).fit(cohort.data, cohort.target)
    assert calls == [90]


def test_screening_scores_every_column_as_scikit_learn_does():
    table, cohort = findings_as_a_network_says(800, 0)
    table["NORM"] = -table["ASMI"]
    table["half"] = table["INVT"].where(np.arange(800) % 2 == 0)
    table["same"] = 1.0
    table["unknown"] = np.nan
    result = screen_predictors(
        table, cohort.target, groups=cohort.groups, n_resamples=200, random_state=0
    )
    found = result.table
    for name in set(table) - {"half", "unknown"}:
        area = roc_auc_score(cohort.target, table[name])
        assert found.loc[name, "AUROC"] == pytest.approx(max(area, 1 - area), abs=1e-12)
        assert found.loc[name, "low"] <= found.loc[name, "AUROC"] <= found.loc[name, "high"]
    assert found["AUROC"].iloc[:-1].is_monotonic_decreasing
    assert found.loc["NORM", "direction"] == "lower"
    for column in ("AUROC", "low", "high", "average precision"):
        assert found.loc["NORM", column] == pytest.approx(found.loc["ASMI", column], abs=1e-12)
    assert found.loc["half", "n_records"] == 400
    even = np.arange(800) % 2 == 0
    assert found.loc["half", "AUROC"] == pytest.approx(
        roc_auc_score(cohort.target[even], table["INVT"][even])
    )
    assert found.loc["half", "high"] - found.loc["half", "low"] > (
        found.loc["INVT", "high"] - found.loc["INVT", "low"]
    )
    assert found.index[-1] == "unknown" and np.isnan(found["AUROC"].iloc[-1])
    assert result.n_not_ranked == 1 and result.n_patients == len(np.unique(cohort.groups))


def test_screening_draws_patients():
    """Copies of a patient's record tell nothing new."""
    table, cohort = findings_as_a_network_says(150, 0)
    copies = np.repeat(np.arange(150), 8)
    alone = screen_predictors(table, cohort.target, random_state=0).table
    many = screen_predictors(
        table.iloc[copies], cohort.target[copies], groups=copies, random_state=0
    ).table
    width = {k: (v["high"] - v["low"])["ASMI"] for k, v in {"alone": alone, "many": many}.items()}
    assert width["many"] == pytest.approx(width["alone"], rel=0.15)


@pytest.mark.parametrize(
    ("table", "y", "match"),
    [
        ([[1.0], [2.0]], [1, 1], "one class only .1."),
        ([1.0, 2.0], [0, 1], "expected .n_records, n_predictors."),
        (pd.DataFrame({"site": ["A", "B"]}), [0, 1], "text in 'site'"),
        (pd.DataFrame({"a": [np.inf, 1]}), [0, 1], "infinity in 'a'"),
        (pd.DataFrame(index=[0, 1]), [0, 1], "no columns"),
        ([[1.0], [2.0]], [0, 2], "y"),
        ([[1.0], [2.0]], [0, 1, 1], "inconsistent"),
    ],
)
def test_what_cannot_be_screened_is_told(table, y, match):
    with pytest.raises(ValueError, match=match):
        screen_predictors(table, y)


def test_names_of_columns_are_plain_text_without_pyarrow():
    """scikit-learn refuses str together with numpy.str_; strings of pyarrow have one type."""
    X = np.random.default_rng(0).normal(size=(40, 12, 8)).astype(np.float32)
    y = np.array(["no", "yes"])[(X[:, 0, 0] > 0).astype(int)]
    patients = pd.DataFrame({"age": np.arange(40.0), "sex": np.arange(40) % 2})
    flatten = FunctionTransformer(lambda X: np.asarray(X)[:, 0])
    extractor = make_pipeline(flatten, LogisticRegression()).fit(X, y)
    with pd.option_context("mode.string_storage", "python"):
        lef = make_lef_classifier(
            FrozenEstimator(extractor),
            covariates=list(np.array(["age", "sex"])),
            classifier="logistic",
        )
        lef.fit(RecordArray.wrap(X, table=patients), y)
    names = list(lef[0].get_feature_names_out())
    assert names == ["yes", "age", "sex"] and {type(name) for name in names} == {str}
