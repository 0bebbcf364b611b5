"""What a hurried user does with the framework: no wrong row, no wrong class, no silent leak."""

import html
import os
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from interpret.glassbox import ExplainableBoostingClassifier
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from ecgsk import STANDARD_LEADS, RecordArray, make_lef_classifier, make_lef_cohort
from ecgsk._cli.main import main
from ecgsk.datasets import make_echonext
from ecgsk.inspection import describe_cohort, make_report
from ecgsk.tabular import (
    GroupedEBMClassifier,
    SinglePredictorClassifier,
    TableColumns,
    patient_bags,
    screen_predictors,
)

# Together they take longer than all else that `make test-fast` runs.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cohort():
    return make_lef_cohort(120, sampling_rate=100, random_state=0)


@pytest.fixture(scope="module")
def records(cohort):
    table = pd.DataFrame({"age": cohort.age, "sex": cohort.sex})
    return RecordArray.wrap(cohort.data, table=table)


def deviations(X):
    return pd.DataFrame(
        np.asarray(X).std(axis=2), columns=[f"sd {lead}" for lead in STANDARD_LEADS]
    )


def backwards(X):
    """Return a table whose rows have an index of their own."""
    return deviations(X).set_index(np.arange(len(X))[::-1])


def quick_ebm():
    return GroupedEBMClassifier(interactions=0, outer_bags=2, max_rounds=30, n_jobs=1)


@pytest.fixture(scope="module")
def model(cohort, records):
    return make_pipeline(FunctionTransformer(deviations), quick_ebm()).fit(records, cohort.target)


def report_on(path, model, X, y, **params):
    given = {"data": "made up", "sampling_rate": 100, "n_resamples": 10} | params
    return make_report(path / "report.html", model, X, y, **given)


# Rows and their table.


def test_rows_are_joined_by_place_and_not_by_index(cohort, records):
    pipeline = make_lef_classifier(
        FunctionTransformer(backwards), covariates=["age"], classifier=quick_ebm()
    )
    assert isinstance(pipeline["predictors"], FeatureUnion)
    for transform in (pipeline["predictors"].fit_transform, pipeline["predictors"].transform):
        table = transform(records)
        assert table["age"].tolist() == cohort.age.tolist()
        np.testing.assert_array_equal(table["sd V3"], deviations(records)["sd V3"])


def test_a_table_that_is_sorted_later_stays_with_its_records():
    age = pd.DataFrame({"age": [3.0, 1.0, 2.0]})
    X = RecordArray.wrap(np.zeros((3, 1, 4)), table=age)
    age.loc[:, "age"] = np.sort(age["age"])
    assert X.table["age"].tolist() == X[::-1][::-1].table["age"].tolist() == [3.0, 1.0, 2.0]


@pytest.mark.parametrize("table", [{"a": [1], "b": [2]}, np.zeros((2, 1)), pd.Series([1, 2])])
def test_a_table_has_columns(table):
    with pytest.raises(ValueError, match="table is a .*give a DataFrame"):
        RecordArray.wrap(np.zeros((2, 1, 4)), table=table)


def test_what_does_not_index_records_is_told(records):
    assert records[...].shape == records.shape
    assert records[...].table.equals(records.table)
    for key in (True, "age"):
        with pytest.raises(IndexError, match="indexed by an integer, a slice"):
            records[key]
    with pytest.raises(ValueError, match="array is a list"):
        RecordArray.wrap([[1, 2]])


def columns(table, names=None):
    n_records = len(table)
    return TableColumns(names).fit_transform(
        RecordArray.wrap(np.zeros((n_records, 1, 2)), table=table)
    )


def test_numbers_beside_none_are_numbers_and_dates_are_not():
    known = columns(
        pd.DataFrame({"age": pd.Series([61, None], dtype=object), "sex": [True, False]})
    )
    np.testing.assert_array_equal(known, [[61, 1], [np.nan, 0]])
    for values in (pd.date_range("2020", periods=2), [1j, 2j], pd.Categorical([1, 2])):
        with pytest.raises(ValueError, match="day of the table contain text or other values"):
            columns(pd.DataFrame({"day": values}))
        with pytest.raises(ValueError, match="text in 'day'"):
            screen_predictors(pd.DataFrame({"day": values}), [0, 1], n_resamples=0)


def test_columns_of_one_name_are_told():
    table = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=["age", "age"])
    with pytest.raises(ValueError, match="has age twice"):
        columns(table, ["age"])
    with pytest.raises(ValueError, match="has age twice"):
        columns(table.iloc[:, :1], ["age", "age"])
    with pytest.raises(ValueError, match="table has age twice"):
        screen_predictors(table, [0, 1])
    with pytest.raises(ValueError, match="by has age twice"):
        describe_cohort([0, 1], table)


# The glass box.


@pytest.mark.parametrize("kind", [float, "boolean"])
def test_classes_that_are_no_text_do_not_become_text(kind):
    X = np.random.default_rng(0).normal(size=(80, 2))
    y = pd.Series((X[:, 0] > 0).astype(int)).astype(kind)
    ebm = quick_ebm().fit(X, y)
    assert ebm.classes_.tolist() == [0, 1]
    assert set(ebm.predict(X)) == {0, 1}
    y = y.to_numpy(dtype=float)
    assert cross_val_score(quick_ebm(), X, y, cv=2, scoring="f1", error_score="raise").min() > 0.8


def test_columns_of_other_names_are_not_taken_by_their_place():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 3)), columns=["a", "b", "c"])
    ebm = quick_ebm().fit(X, X["a"] > 0)
    np.testing.assert_array_equal(ebm.predict_proba(X[["c", "a", "b"]]), ebm.predict_proba(X))
    np.testing.assert_array_equal(ebm.predict_proba(X.to_numpy()), ebm.predict_proba(X))
    for ask in (ebm.predict, ebm.predict_proba, ebm.decision_function):
        with pytest.raises(ValueError, match="X lacks a of the 3 columns"):
            ask(X.rename(columns={"a": "z"}))


def test_no_bag_loses_a_class():
    """Two patients have the only records without the condition, and records with it as well."""
    groups = np.append(np.arange(40), [0, 1])
    y = np.append(np.ones(40, dtype=int), [0, 0])
    bags = patient_bags(y, groups, n_bags=100, validation_size=0.5, random_state=0)
    for side in (1, -1):
        assert all(set(y[bag == side]) == {0, 1} for bag in bags.T)
    # The same with a rarer class that comes last in the alphabet, or first.
    for names in (["a", "b"], ["b", "a"]):
        again = np.array(names)[y]
        np.testing.assert_array_equal(
            patient_bags(again, groups, n_bags=100, validation_size=0.5, random_state=0), bags
        )


def test_the_share_held_out_is_rounded_up():
    """So that a class of few patients is judged as well."""
    y = np.arange(26) < 6
    bags = patient_bags(y, np.arange(26), n_bags=3, validation_size=0.15, random_state=0)
    assert ((bags == -1)[y].sum(axis=0) == 1).all()
    assert ((bags == -1)[~y].sum(axis=0) == 3).all()


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"validation_size": -1}, "validation_size=-1 is not allowed"),
        ({"validation_size": np.nan}, "validation_size=nan is not allowed"),
        ({"n_bags": 0}, "n_bags=0 must be"),
        ({"n_bags": 2.5}, "n_bags=2.5 must be"),
        ({"y": [], "groups": []}, "y contains no records"),
    ],
)
def test_bags_that_cannot_be_are_told(params, match):
    with pytest.raises(ValueError, match=match):
        patient_bags(**{"y": [0, 1, 0, 1], "groups": [1, 2, 3, 4]} | params)


def test_a_generator_seeds_the_glass_box():
    def seed(random_state):
        return make_lef_classifier(random_state=random_state)["classifier"].random_state

    assert isinstance(seed(np.random.RandomState(3)), int)
    assert seed(np.random.RandomState(3)) == seed(np.random.RandomState(3))
    assert (seed(5), seed(None)) == (5, None)


@pytest.mark.parametrize("name", ["patient", "a__b"])
def test_names_that_no_step_can_have_are_told(name):
    with pytest.raises(ValueError, match=f"extractor='{name}' cannot be the name"):
        make_lef_classifier({name: "mtecg"}, covariates=["age"])


@pytest.mark.parametrize(
    ("params", "match"), [({"n_resamples": -3}, "n_resamples=-3"), ({"level": "x"}, "level='x'")]
)
def test_intervals_that_cannot_be_are_told(params, match):
    with pytest.raises(ValueError, match=match):
        screen_predictors([[1.0], [2.0]], [0, 1], **params)


# The report.


def test_a_report_is_of_a_condition_that_is_known(tmp_path, cohort, records):
    """The second of 'low' and 'normal' is not the condition."""
    words = np.where(cohort.target == 1, "low", "normal")
    model = make_pipeline(FunctionTransformer(deviations), quick_ebm()).fit(records, words)
    with pytest.raises(ValueError, match="classes .'low', 'normal'.; which one is the condition"):
        report_on(tmp_path, model, records, cohort.target)
    with pytest.raises(ValueError, match="is not fitted"):
        report_on(tmp_path, make_lef_classifier(), records, cohort.target)
    with pytest.raises(ValueError, match="model has 3 classes"):
        three = make_pipeline(FunctionTransformer(deviations), LogisticRegression())
        report_on(tmp_path, three.fit(records, np.arange(120) % 3), records, cohort.target)


def test_classes_that_interpret_makes_texts_of_are_known(tmp_path, cohort, records):
    model = make_pipeline(
        FunctionTransformer(deviations),
        ExplainableBoostingClassifier(interactions=0, outer_bags=1, max_rounds=5, n_jobs=1),
    ).fit(records, cohort.target.astype(float))
    assert model.classes_.tolist() == ["0.0", "1.0"]
    out = report_on(
        tmp_path, model, records, cohort.target, record_names=(str(i) for i in range(120))
    )
    np.testing.assert_array_equal(out.probability, model.predict_proba(records)[:, 1])


def test_predictors_in_words_are_shown_but_not_ranked(tmp_path, cohort, records):
    def with_words(X):
        table = deviations(X)
        return table.assign(size=np.where(table["sd I"] > 0.15, "large", "small"))

    model = make_pipeline(FunctionTransformer(with_words), quick_ebm())
    model.fit(records, cohort.target)
    out = report_on(tmp_path, model, records, cohort.target, records=[0])
    assert "size" in out.results["ebm_importances(ebm)"].index
    assert "size" not in out.variables["screened"].table.index
    assert any(call.startswith("screen_predictors(numbers, y") for call in out.results)


def test_thresholds_are_not_chosen_on_what_is_reported(tmp_path, cohort, records, model):
    y = cohort.target
    detector = make_pipeline(FunctionTransformer(deviations), LogisticRegression()).fit(records, y)
    for X_val, y_val in ((records, y), (records[:], y), (records[::-2], y[::-2])):
        with pytest.raises(ValueError, match="validation holds the records that are reported on"):
            report_on(tmp_path, detector, records, y, validation=(X_val, y_val))
    out = report_on(tmp_path, detector, records[:80], y[:80], validation=(records[80:], y[80:]))
    assert 0 < out.threshold < 1


def test_tables_without_names_have_those_of_the_glass_box(tmp_path, cohort, records):
    model = make_pipeline(FunctionTransformer(deviations), StandardScaler(), quick_ebm())
    model.fit(records, cohort.target)
    out = report_on(tmp_path, model, records, cohort.target)
    assert list(out.variables["predictors"]) == list(model[-1].feature_names_in_)
    np.testing.assert_array_equal(out.probability, model.predict_proba(records)[:, 1])


def test_sparse_tables_are_reported_on(tmp_path, cohort, records):
    thin = FunctionTransformer(lambda X: sparse.csr_matrix(deviations(X)))
    model = make_pipeline(thin, LogisticRegression()).fit(records, cohort.target)
    out = report_on(tmp_path, model, records, cohort.target)
    assert out.variables["predictors"].shape == (120, 12)


@pytest.mark.slow
def test_wrapped_pipelines_are_looked_into_where_they_answer_alike(
    tmp_path, cohort, records, model
):
    search = GridSearchCV(model, {"groupedebmclassifier__max_rounds": [5]}, cv=2)
    wrapped = {
        "frozen": (FrozenEstimator(model), True),
        "search": (search.fit(records, cohort.target), True),
        "calibrated": (CalibratedClassifierCV(FrozenEstimator(model)), False),
    }
    for wrapper, is_seen in wrapped.values():
        if not is_seen:
            wrapper.fit(records, cohort.target)
        out = report_on(tmp_path, wrapper, records, cohort.target)
        np.testing.assert_array_equal(out.probability, wrapper.predict_proba(records)[:, 1])
        assert any(call.startswith("ebm_importances") for call in out.results) == is_seen


@pytest.mark.slow
@pytest.mark.parametrize("text", ["$$", r"$\frac$", "a$b$c", "<b onclick='x'>\"&", "a\nb"])
def test_names_are_letters_and_nothing_else(tmp_path, cohort, records, text):
    """Neither HTML nor a formula, wherever a user's words may stand."""
    named = FunctionTransformer(lambda X: deviations(X).add_prefix(text))
    model = make_pipeline(named, quick_ebm()).fit(records, cohort.target)
    by = pd.DataFrame({text: [f"{text} 1", f"{text} 2"] * 60})
    out = report_on(
        tmp_path, model, records, cohort.target, data=text, by=by, title=text, condition=text,
        about={text: text}, record_names=[text] * 120, records=[0],
    )  # fmt: skip
    written = Path(out.path).read_text()
    assert f"<title>{html.escape(text)}</title>" in written
    assert "<b onclick" not in written


def test_bytes_of_file_names_are_written(tmp_path, cohort, records, model):
    name = os.fsdecode(b"\xff-1.hea")
    out = report_on(tmp_path, model, records[:1], None, record_names=[name])
    assert "Patient: ?-1.hea" in Path(out.path).read_text()


@pytest.mark.slow
def test_intervals_of_leads_draw_patients(tmp_path, cohort, records, model):
    patients = np.repeat(np.arange(60), 2)
    out = report_on(tmp_path, model, records, cohort.target, groups=patients, n_lead_records=12)
    call = next(call for call in out.results if call.startswith("lead_importance"))
    assert "groups=groups_shown" in call
    shown = out.variables["shown"]
    assert out.variables["groups_shown"].tolist() == patients[shown].tolist()
    assert "resamples of patients" in Path(out.path).read_text()
    out = report_on(tmp_path, model, records, cohort.target)
    assert "resamples of records" in Path(out.path).read_text()


def test_an_age_in_words_is_not_cut(tmp_path, cohort, records, model):
    by = pd.DataFrame({"age": np.where(cohort.age < 65, "young", "old")})
    out = report_on(tmp_path, model, records, cohort.target, by=by)
    assert out.variables["subgroups"].table.index.tolist() == [("age", "old"), ("age", "young")]


@pytest.mark.slow
def test_another_rate_than_that_of_the_steps_is_told(tmp_path, cohort, records):
    model = make_lef_classifier(classifier="logistic", sampling_rate=100)
    model.fit(records, cohort.target)
    with pytest.warns(UserWarning, match="sampling_rate=250 Hz is given for X.*have 100 Hz"):
        report_on(tmp_path, model, records, cohort.target, sampling_rate=250)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"threshold": 7}, "threshold=7 is not allowed"),
        ({"threshold": "0.5"}, "threshold='0.5' is not allowed"),
        ({"sampling_rate": -1}, "sampling_rate=-1 has to be"),
        ({"n_terms": 0}, "n_terms=0 has to be"),
        ({"n_resamples": -1}, "n_resamples=-1 has to be"),
        ({"n_lead_records": -3}, "n_lead_records=-3 has to be"),
        ({"n_lead_records": 1}, "n_lead_records=1 is too few"),
        ({"random_state": None}, "random_state=None has to be"),
        ({"validation": np.zeros((3, 12, 10))}, "validation is a ndarray; give .X, y."),
        ({"validation": (np.zeros((3, 12, 10)), None)}, "validation holds None"),
        ({"groups": [1, 2]}, "groups has shape .2,."),
        ({"record_names": ["a"]}, "record_names has 1 names for 120 records"),
        ({"by": {"age": [1] * 120}}, "by is a dict; give a DataFrame"),
        ({"by": pd.DataFrame({"age": [1]})}, "by has 1 rows for 120 records"),
        ({"by": pd.DataFrame([[1, 2]] * 120, columns=["a", "a"])}, "by has a twice"),
        ({"bins": {"agee": [50]}}, "bins names 'agee', but by holds age, sex"),
        ({"bins": {"age": 50}}, "bins.'age'. is 50"),
        ({"records": [True]}, "records holds True"),
        ({"about": ["x"]}, "about is a list"),
        ({"data": None}, "data is empty or not text: None"),
        ({"leads": ["I", "II"]}, "X has 12 leads, but leads names 2"),
    ],
)
def test_what_a_report_cannot_be_made_of_is_told_before_the_model_is_asked(
    tmp_path, cohort, records, params, match
):
    class Unasked:
        classes_ = np.array([0, 1])

        def predict_proba(self, X):
            raise AssertionError("asked")

    with pytest.raises(ValueError, match=match):
        report_on(tmp_path, Unasked(), records, cohort.target, **params)
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_written_are_told_before_the_model_is_asked(
    tmp_path, cohort, records, model
):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "report.html", Path("/proc/report.html")):
        with pytest.raises(OSError, match="path=.*"):
            make_report(path, model, records[:1], data="x", sampling_rate=100)
    long = tmp_path / f"{'x' * 250}.html"
    make_report(long, model, records[:1], data="x", sampling_rate=100)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", long.name]


# The cohort's table.


def test_the_condition_of_a_cohort_is_0_or_1():
    for y, match in (([0, 1, 2], "0, 1, 2"), ([0, 1, np.nan], "missing"), (["0", "1", "0"], "'0'")):
        with pytest.raises(ValueError, match=match):
            describe_cohort(y)
    for names in ("ab", ("x", "x"), ("all", "x")):
        with pytest.raises(ValueError, match="names=.*two different"):
            describe_cohort([0, 1], names=names)


def test_rows_of_a_cohort_are_in_order_and_none_hides_another():
    table = describe_cohort([0, 1, 0], pd.DataFrame({"n": [10, 2, 1]}))
    assert list(table.index) == ["records", "n: 1", "n: 2", "n: 10"]
    table = describe_cohort([0, 1, 0], pd.DataFrame({"n": [1234567.0, 1234568.0, 1234567.0]}))
    assert table["all"].tolist() == ["3", "2 (66.7%)", "1 (33.3%)"]
    table = describe_cohort([0, 1, 0], pd.DataFrame({"n": pd.Series([1, "1", 1], dtype=object)}))
    assert table["all"].tolist() == ["3", "3 (100.0%)"]


# The command.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("misuse")
    make_echonext(folder / "echonext", 200, random_state=0)
    joblib.dump({"not": "a model"}, folder / "dict.joblib")
    joblib.dump(SinglePredictorClassifier(0), folder / "unfitted.joblib")
    joblib.dump(list(range(1000)), folder / "whole.joblib")
    whole = (folder / "whole.joblib").read_bytes()
    (folder / "cut.joblib").write_bytes(whole[:10])
    (folder / "compressed.joblib").write_bytes(b"\x78\x9c" + b"\x01" * 50)
    return folder


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["dict.joblib"], "contains a dict without predict_proba"),
        (["unfitted.joblib"], "is not fitted"),
        (["cut.joblib"], "is not a file of joblib or pickle"),
        (["compressed.joblib"], "is not a file of joblib or pickle"),
        (["unfitted.joblib", "--target", "flags"], "12 flags; a report is about one"),
        (["unfitted.joblib", "--sampling-rate", "500"], "500 is not allowed with --echonext"),
    ],
)
def test_the_command_gives_no_traceback(folder, words, match, capsys):
    model, *options = words
    out = folder / "never.html"
    status = main(
        ["report", str(folder / model), "--echonext", str(folder / "echonext"), *options]
        + ["--out", str(out), "--validation", "none", "--allow-pickle"]
    )
    assert status == 2 and match in capsys.readouterr().err and not out.exists()


def test_patients_of_another_source_are_told(folder, capsys):
    assert main(["report", "x.joblib", "--ecg", "x", "--patients", "3"]) == 2
    assert "--patients is only for --echonext" in capsys.readouterr().err


def test_the_command_says_in_words_what_was_asked(folder, capsys):
    model = make_lef_classifier(classifier="logistic")
    cohort = make_lef_cohort(40, sampling_rate=250, random_state=0)
    joblib.dump(model.fit(cohort.data, cohort.target), folder / "model.joblib")
    out = folder / "mild.html"
    status = main(
        ["report", str(folder / "model.joblib"), "--echonext", str(folder / "echonext")]
        + ["--split", "train", "--target", "mild", "--resamples", "5", "--out", str(out)]
        + ["--allow-pickle"]
    )
    assert status == 0, capsys.readouterr().err
    assert "<title>Ejection fraction of at most 50 % from" in out.read_text()


@pytest.mark.slow
def test_recordings_of_another_length_are_told(folder, tmp_path, capsys):
    wfdb = pytest.importorskip("wfdb")
    model = make_lef_classifier(classifier="logistic")
    cohort = make_lef_cohort(40, sampling_rate=250, random_state=0)
    joblib.dump(model.fit(cohort.data, cohort.target), tmp_path / "model.joblib")
    for name, n_samples in (("short", 1250), ("whole", 2500)):
        wfdb.wrsamp(
            name, fs=250, units=["mV"] * 12, sig_name=list(STANDARD_LEADS), fmt=["16"] * 12,
            p_signal=cohort.data[0, :, :n_samples].T.astype(float), write_dir=str(tmp_path),
        )  # fmt: skip
    out = tmp_path / "files.html"
    words = ["report", str(tmp_path / "model.joblib"), "--out", str(out), "--ecg"]
    assert main([*words, str(tmp_path / "short"), "--allow-pickle"]) == 2
    assert "it is 5 s long" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "whole"), "--allow-pickle"]) == 0
