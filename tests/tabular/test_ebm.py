import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from interpret.glassbox import ExplainableBoostingClassifier
from sklearn.base import clone

import ecgsk
from ecgsk.inspection import explain_record, group_importances
from ecgsk.tabular import (
    GroupedEBMClassifier,
    TableColumns,
    merge_ebms,
    screen_predictors,
)

COLUMNS = ["a", "b", "c", "d"]


def quick(**params):
    return GroupedEBMClassifier(
        **{"interactions": 0, "outer_bags": 2, "max_rounds": 40, "n_jobs": 1, **params}
    )


@pytest.fixture
def table():
    return pd.DataFrame(np.random.default_rng(0).normal(size=(120, 4)), columns=COLUMNS)


@pytest.fixture
def y(table):
    return (table["a"] + table["b"] > 0).astype(int)


@pytest.fixture
def ebm(table, y):
    return quick().fit(table, y)


class Interchange:
    """A DataFrame of a library that offers nothing but the dataframe protocol."""

    def __init__(self, frame):
        self.frame = frame

    def __dataframe__(self, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return self.frame.__dataframe__(**options)


class Stream:
    """A DataFrame of a library that offers nothing but arrow's protocol."""

    def __init__(self, frame):
        self.frame = frame

    def __arrow_c_stream__(self, requested_schema=None):
        return self.frame.__arrow_c_stream__(requested_schema)


def of_polars(frame):
    polars = pytest.importorskip("polars")
    return polars.DataFrame({name: frame[name].to_numpy() for name in frame})


def of_pyarrow(frame):
    return pytest.importorskip("pyarrow").Table.from_pandas(frame)


def of_arrow_types(frame):
    pytest.importorskip("pyarrow")
    return frame.convert_dtypes(dtype_backend="pyarrow")


def of_stream(frame):
    pytest.importorskip("pyarrow")
    if not hasattr(pd.DataFrame, "from_arrow"):
        pytest.skip("needs pandas 3")
    return Stream(frame)


KINDS = {
    "pandas": lambda frame: frame,
    "nullable": lambda frame: frame.convert_dtypes(),
    "pyarrow types": of_arrow_types,
    "polars": of_polars,
    "pyarrow": of_pyarrow,
    "interchange": Interchange,
    "stream": of_stream,
}
METHODS = {
    "predict": lambda ebm, X: ebm.predict(X),
    "predict_proba": lambda ebm, X: ebm.predict_proba(X),
    "decision_function": lambda ebm, X: ebm.decision_function(X),
    "eval_terms": lambda ebm, X: ebm.eval_terms(X),
    "predict_with_uncertainty": lambda ebm, X: ebm.predict_with_uncertainty(X),
    "explain_local": lambda ebm, X: np.array(
        [
            [part["scores"], part["names"]]
            for part in (ebm.explain_local(X).data(row) for row in range(5))
        ]
    ),
    "score": lambda ebm, X: ebm.score(X, np.arange(120) % 2),
}
all_kinds = pytest.mark.parametrize("kind", KINDS)
all_methods = pytest.mark.parametrize("method", METHODS)


@all_kinds
@all_methods
def test_columns_are_found_by_name(ebm, table, kind, method):
    ask = METHODS[method]
    expected = ask(ebm, table)
    for columns in (COLUMNS, COLUMNS[::-1], ["d", "a", "e", "c", "b"]):
        X = KINDS[kind](table.assign(e=1.0)[columns])
        np.testing.assert_array_equal(ask(ebm, X), expected)


@all_kinds
@all_methods
def test_columns_of_other_names_are_refused(ebm, table, kind, method):
    with pytest.raises(ValueError, match="X lacks a of the 4 columns"):
        METHODS[method](ebm, KINDS[kind](table.rename(columns={"a": "A"})))


@all_kinds
def test_a_fit_on_any_frame_is_the_same(ebm, table, y, kind):
    fitted = quick().fit(KINDS[kind](table), y)
    assert fitted.feature_names_in_ == COLUMNS
    np.testing.assert_array_equal(
        fitted.predict_proba(table[COLUMNS[::-1]]), ebm.predict_proba(table)
    )


@all_kinds
def test_text_integers_truth_and_unknown_values_are_alike_in_any_frame(kind, y):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "text": random.choice(["x", "y", "z"], 120),
            "integer": random.integers(0, 9, 120),
            "truth": random.random(120) < 0.5,
            "unknown": np.where(random.random(120) < 0.3, np.nan, random.normal(size=120)),
        }
    )
    expected = quick().fit(frame, y)
    if kind == "interchange":
        frame = frame.astype({"text": "category"})
    found = quick().fit(KINDS[kind](frame), y)
    assert found.feature_types_in_ == expected.feature_types_in_
    np.testing.assert_array_equal(
        found.predict_proba(KINDS[kind](frame)), expected.predict_proba(frame)
    )


@pytest.mark.parametrize("kind", ["nullable", "pyarrow types"])
def test_unknown_truth_and_categories_of_pyarrow_are_read(kind, y):
    frame = pd.DataFrame({"truth": [True, None, False] * 40, "text": ["x", None, "y"] * 40})
    frame["numbers"] = np.arange(120.0)
    frame = KINDS[kind](frame)
    frame["category"] = frame["text"].astype("category")
    ebm = quick().fit(frame, y)
    assert np.isfinite(ebm.predict_proba(frame)).all()


@all_kinds
def test_explanations_find_columns_by_name(ebm, table, y, kind):
    row, permuted = table[:1], KINDS[kind](table[:1][COLUMNS[::-1]])
    expected = explain_record(ebm, row).table
    pd.testing.assert_frame_equal(explain_record(ebm, permuted).table, expected)
    frame = KINDS[kind](table[COLUMNS[::-1]])
    pd.testing.assert_frame_equal(
        group_importances(ebm, frame, {"both": ["a", "b"]}),
        group_importances(ebm, table, {"both": ["a", "b"]}),
    )
    screened = screen_predictors(frame, y, n_resamples=0).table
    pd.testing.assert_frame_equal(
        screened.loc[COLUMNS], screen_predictors(table, y, n_resamples=0).table.loc[COLUMNS]
    )
    ages = TableColumns(["d", "a"]).fit_transform(frame)
    np.testing.assert_array_equal(ages, table[["d", "a"]])


def test_a_lazy_frame_is_refused(ebm, table):
    with pytest.raises(ValueError, match=r"give X.collect\(\)"):
        ebm.predict(of_polars(table).lazy())


def test_names_that_occur_twice_are_refused(ebm, table, y):
    twice = pd.concat([table, table["a"]], axis=1)
    for ask in (lambda: quick().fit(twice, y), lambda: ebm.predict(twice)):
        with pytest.raises(ValueError, match="X has a twice"):
            ask()


def test_feature_names_rename_the_columns_of_the_fit(ebm, table, y):
    names = ["LBBB", "AFIB", "SR", "PVC"]
    renamed = quick(feature_names=names).fit(table, y)
    assert renamed.term_names_ == names
    expected = ebm.predict_proba(table)
    for X in (table, table[COLUMNS[::-1]], table.set_axis(names, axis=1)[names[::-1]]):
        np.testing.assert_array_equal(renamed.predict_proba(X), expected)
    with pytest.raises(ValueError, match="X lacks b of the 4 columns"):
        renamed.predict_proba(table.drop(columns="b"))
    named = quick(feature_names=names).fit(table.to_numpy(), y)
    np.testing.assert_array_equal(
        named.predict_proba(table.set_axis(names, axis=1)[names[::-1]]), expected
    )
    with pytest.raises(ValueError, match="X lacks LBBB, AFIB, SR, PVC of the 4 columns"):
        named.predict_proba(table)


def test_a_frame_after_a_fit_on_an_array_is_warned_of(table, y):
    plain = quick().fit(table.to_numpy(), y)
    with pytest.warns(UserWarning, match="was fitted without feature names"):
        found = plain.predict_proba(table)
    np.testing.assert_array_equal(found, plain.predict_proba(table.to_numpy()))
    with pytest.raises(ValueError, match="X has 3 features"):
        plain.predict_proba(table[["a", "b", "c"]])


def test_integers_name_columns_too(table, y):
    frame = table.set_axis([3, 1, 2, 0], axis=1)
    ebm = quick().fit(frame, y)
    np.testing.assert_array_equal(ebm.predict_proba(frame[[0, 1, 2, 3]]), ebm.predict_proba(frame))


# Changed machines.


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow types"])
def test_a_removed_column_is_not_needed(ebm, table, kind):
    whole = ebm.eval_terms(table)
    ebm.remove_features(["c"])
    expected = ebm.intercept_ + whole[:, [0, 1, 3]].sum(axis=1)
    for X in (table, table.drop(columns="c"), table[["d", "b", "a"]]):
        found = ebm.decision_function(KINDS[kind](X))
        np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(ebm.decision_function(table[["a", "b", "d"]].to_numpy()), expected)
    with pytest.raises(ValueError, match="X has 4 features"):
        ebm.decision_function(table.to_numpy())
    with pytest.raises(ValueError, match="X lacks a of the 3 columns"):
        ebm.decision_function(table[["b", "c", "d"]])


def test_changes_can_follow_each_other(ebm, table, tmp_path):
    ebm.remove_terms(["d"]).monotonize("a").scale("a", 0.5).scale("b", 2.0).scale(0, 1.0)
    terms = ebm.eval_terms(table)
    ebm.remove_features(["d"])
    assert ebm.term_names_ == ["a", "b", "c"] and ebm.n_features_in_ == 3
    np.testing.assert_array_equal(ebm.eval_terms(table.drop(columns="d")), terms)
    with pytest.raises(ValueError, match="changed by monotonize"):
        ebm.predict_with_uncertainty(table)
    ebm.explain_global()
    ebm.explain_local(table)
    ecgsk.save(ebm, tmp_path / "ebm.ecgsk")
    for again in (ecgsk.load(tmp_path / "ebm.ecgsk"), pickle.loads(pickle.dumps(ebm)), ebm.copy()):
        np.testing.assert_array_equal(again.eval_terms(table.drop(columns="d")), terms)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_machines_are_merged(table, tmp_path, n_classes):
    y = pd.qcut(table["a"] + table["b"], n_classes, labels=False)
    models = [quick(random_state=seed).fit(table[seed::2], y[seed::2]) for seed in range(2)]
    before = [model.predict_proba(table) for model in models]
    merged = merge_ebms(models)
    assert type(merged) is GroupedEBMClassifier and merged.get_params() == models[0].get_params()
    for model, probabilities in zip(models, before, strict=True):
        np.testing.assert_array_equal(model.predict_proba(table), probabilities)
    # The log-odds are the mean of those of the machines, which have as many records.
    logits = [model.decision_function(table) for model in models]
    mean = np.mean(logits, axis=0)
    assert np.corrcoef(np.ravel(merged.decision_function(table)), np.ravel(mean))[0, 1] > 0.98
    np.testing.assert_array_equal(
        merged.predict_proba(table[COLUMNS[::-1]]), merged.predict_proba(table)
    )
    ecgsk.save(merged, tmp_path / "merged.ecgsk")
    np.testing.assert_array_equal(
        ecgsk.load(tmp_path / "merged.ecgsk").predict_proba(table), merged.predict_proba(table)
    )
    clone(merged).fit(table, y)
    merge_ebms([merged, models[0]])
    merged.explain_global()
    merged.remove_features(["c"])
    assert merged.predict_proba(table.drop(columns="c")).shape == (120, n_classes)


def test_machines_are_merged_as_by_interpret(table, y):
    params = {"interactions": 0, "outer_bags": 2, "max_rounds": 40, "n_jobs": 1}
    plain = [
        ExplainableBoostingClassifier(**params, random_state=seed).fit(table, y)
        for seed in range(2)
    ]
    own = [quick(random_state=seed).fit(table, y) for seed in range(2)]
    from interpret.glassbox import merge_ebms as merge_plain

    expected = merge_plain(plain).predict_proba(table)
    np.testing.assert_array_equal(merge_ebms(own).predict_proba(table), expected)
    np.testing.assert_array_equal(merge_ebms([own[0], plain[1]]).predict_proba(table), expected)


def test_what_cannot_be_merged_is_refused(ebm, table, y):
    with pytest.raises(ValueError, match="models is empty"):
        merge_ebms([])
    with pytest.raises(TypeError, match=r"models\[1\] is a str"):
        merge_ebms([ebm, "ebm"])
    with pytest.raises(ValueError, match="not fitted"):
        merge_ebms([ebm, quick()])
    other = quick().fit(table.rename(columns={"a": "A"}), y)
    with pytest.raises(ValueError, match="name mismatch"):
        merge_ebms([ebm, other])
    with pytest.raises(ValueError, match="classes"):
        merge_ebms([ebm, quick().fit(table, y + 1)])
    with pytest.raises(ValueError, match="Merge first"):
        merge_ebms([ebm, ebm.copy().monotonize("a")])


# Few records.


@pytest.mark.parametrize("counts", [(2, 1), (1, 2), (9, 1), (1, 1)])
def test_too_few_records_are_refused(counts):
    y = np.repeat([0, 1], counts)
    X = np.random.default_rng(0).normal(size=(len(y), 71))
    with pytest.raises(ValueError, match="at least 2 records of each class"):
        GroupedEBMClassifier().fit(X, y)


@pytest.mark.parametrize("counts", [(2, 2), (3, 3), (18, 2), (30, 6), (2, 2, 2)])
def test_few_records_hold_out_each_class_and_stop_early(counts):
    y = np.repeat(np.arange(len(counts)), counts)
    X = np.random.default_rng(0).normal(size=(len(y), 12))
    ebm = quick(max_rounds=5000).fit(X, y)
    # A machine that is stopped by the number of rounds has made one for each column.
    assert np.max(ebm.best_iteration_) < 12 * 1000
    assert np.isfinite(ebm.predict_proba(X)).all()


def test_enough_records_are_bagged_by_interpret(table, y):
    params = {"interactions": 0, "outer_bags": 2, "max_rounds": 40, "n_jobs": 1}
    plain = ExplainableBoostingClassifier(**params).fit(table, y)
    np.testing.assert_array_equal(
        quick().fit(table, y).predict_proba(table), plain.predict_proba(table)
    )


def test_nothing_may_be_held_out_of_few_records():
    X, y = np.random.default_rng(0).normal(size=(3, 5)), [0, 0, 1]
    ebm = quick(validation_size=0, outer_bags=1).fit(X, y)
    assert np.isfinite(ebm.predict_proba(X)).all()
