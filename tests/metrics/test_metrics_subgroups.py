import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ecgsk.metrics import evaluate_binary, evaluate_subgroups


@pytest.fixture
def cohort():
    random = np.random.default_rng(0)
    y = random.random(400) < 0.3
    age = random.integers(18, 95, size=400).astype(float)
    sex = np.where(random.random(400) < 0.4, "female", "male").astype(object)
    age[:15], sex[5:25] = np.nan, None
    return y, y + random.normal(size=400), pd.DataFrame({"sex": sex, "age": age})


def test_rows_are_the_metrics_of_their_records(cohort):
    y, score, by = cohort
    table = evaluate_subgroups(
        y, score, by, threshold=0.5, bins={"age": [40, 65]}, n_resamples=50, random_state=0
    ).table
    assert table.index.tolist() == [
        ("sex", "female"),
        ("sex", "male"),
        ("sex", "missing"),
        ("age", "< 40"),
        ("age", "40 to < 65"),
        ("age", ">= 65"),
        ("age", "missing"),
    ]
    assert table.index.names == ["variable", "subgroup"]
    inside = ((by.age >= 40) & (by.age < 65)).to_numpy()
    alone = evaluate_binary(y[inside], score[inside], threshold=0.5, n_resamples=0).table["value"]
    row = table.loc[("age", "40 to < 65")]
    names = ["AUROC", "average precision", "sensitivity", "specificity", "PPV", "NPV"]
    np.testing.assert_allclose(row[names].astype(float), alone[names])
    assert row["n_records"] == inside.sum() and row["n_positive"] == y[inside].sum()
    assert row["AUROC low"] < row["AUROC"] < row["AUROC high"]
    assert table.loc["sex", "n_records"].sum() == table.loc["age", "n_records"].sum() == 400


def test_without_edges_there_are_tertiles(cohort):
    y, score, by = cohort
    table = evaluate_subgroups(y, score, {"age": by.age.tolist()}, n_resamples=0).table
    assert len(table) == 4
    n = table["n_records"].drop(("age", "missing"))
    assert n.min() > 110 and n.max() < 150
    assert table[["AUROC low", "AUROC high"]].isna().all(axis=None)
    assert "PPV" not in table.columns


def test_an_index_is_ignored(cohort):
    y, score, by = cohort
    expected = evaluate_subgroups(y, score, by, n_resamples=20, random_state=0).table
    moved = by.set_index(np.arange(400)[::-1])
    found = evaluate_subgroups(pd.Series(y), score, moved, n_resamples=20, random_state=0).table
    pd.testing.assert_frame_equal(found, expected)
    series = evaluate_subgroups(y, score, moved.sex, n_resamples=20, random_state=0).table
    pd.testing.assert_frame_equal(series, expected.loc[["sex"]])


def test_a_subgroup_of_one_class_is_not_ranked_and_counted(cohort):
    y, score, by = cohort
    y = y & (by.sex != "female").to_numpy()
    result = evaluate_subgroups(y, score, by[["sex"]], threshold=0.5, n_resamples=20)
    table = result.table
    row = table.loc[("sex", "female")]
    assert row[["AUROC", "AUROC low", "AUROC high", "average precision"]].isna().all()
    assert row["n_positive"] == 0 and row["specificity"] > 0 and np.isnan(row["sensitivity"])
    assert result.n_not_ranked == 1 and result.n_too_small == 0
    assert (result.threshold, result.n_records, result.n_patients) == (0.5, 400, None)


def test_small_subgroups_are_listed_without_metrics(cohort):
    y, score, by = cohort
    result = evaluate_subgroups(y, score, by[["sex"]], min_records=21, n_resamples=0)
    table = result.table
    assert table.loc[("sex", "missing"), "n_records"] == 20
    assert np.isnan(table.loc[("sex", "missing"), "AUROC"])
    assert result.n_not_ranked == result.n_too_small == 1
    every = evaluate_subgroups(y, score, by[["sex"]], min_records=20, n_resamples=0).table
    assert every["AUROC"].notna().all()
    none = evaluate_subgroups(y, score, by[["sex"]], min_records=999, n_resamples=0)
    assert none.table["AUROC"].isna().all() and none.n_not_ranked == 3


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (np.tile([0, 1], 200), ["0", "1"]),
        (np.tile([0.0, 1.0, np.nan, 1.0], 100), ["0", "1", "missing"]),
        (np.tile([True, False], 200), ["False", "True"]),
        (np.arange(400) % 10, [str(i) for i in range(10)]),
        (np.tile([0.5, 1234567.0, 1234568.0, 2], 100), ["0.5", "2", "1234567", "1234568"]),
        (pd.Series([1, None] * 200, dtype="Int64"), ["1", "missing"]),
        (pd.Series([True, None] * 200, dtype="boolean"), ["True", "missing"]),
        (np.array(["b", 1] * 200, dtype=object), ["1", "b"]),
        (
            pd.Categorical(["mild", "severe"] * 200, categories=["none", "severe", "mild"]),
            ["severe", "mild"],
        ),
        (pd.Series(pd.Categorical([1, 2] * 200)), ["1", "2"]),
    ],
)
def test_values_are_named_by_their_text(cohort, column, names):
    y, score, _ = cohort
    table = evaluate_subgroups(y, score, {"x": column}, n_resamples=0).table
    assert table.index.tolist() == [("x", name) for name in names]
    assert table["n_records"].sum() == 400


def test_heavy_ties_make_fewer_ranges_not_empty_ones(cohort):
    y, score, _ = cohort
    values = np.zeros(400)
    values[:12] = np.arange(12)
    table = evaluate_subgroups(y, score, {"x": values}, n_resamples=0).table
    assert table["n_records"].min() > 0 and table["n_records"].sum() == 400


def test_copies_of_records_do_not_narrow_intervals(cohort):
    y, score, by = cohort
    params = {"n_resamples": 300, "random_state": 0, "bins": {"age": [60]}}
    alone = evaluate_subgroups(y, score, by, **params).table
    rows = np.repeat(np.arange(400), 9)
    grouped = evaluate_subgroups(y[rows], score[rows], by.iloc[rows], groups=rows, **params).table
    columns = ["AUROC", "AUROC low", "AUROC high", "average precision"]
    np.testing.assert_allclose(grouped[columns], alone[columns], rtol=1e-9)
    naive = evaluate_subgroups(y[rows], score[rows], by.iloc[rows], **params).table
    # The fifteen records without an age happen to be ranked without a mistake.
    few = ("age", "missing")
    width, narrow = ((t["AUROC high"] - t["AUROC low"]).drop(index=few) for t in (grouped, naive))
    assert (narrow < 0.5 * width).all()


def test_an_interval_does_not_depend_on_other_subgroups(cohort):
    y, score, by = cohort
    both = evaluate_subgroups(y, score, by, n_resamples=50, random_state=3).table
    alone = evaluate_subgroups(y, score, by[["age"]], n_resamples=50, random_state=3).table
    pd.testing.assert_frame_equal(both.loc[["age"]], alone)
    male = (by.sex == "male").to_numpy()
    assert both.loc[("sex", "male"), "AUROC"] == pytest.approx(roc_auc_score(y[male], score[male]))


@pytest.mark.parametrize(
    ("by", "params", "message"),
    [
        (np.zeros(400), {}, "by is a ndarray that names no column"),
        (pd.Series(np.zeros(400)), {}, "by is a Series that names no column"),
        ({}, {}, "names no column"),
        ({"sex": np.zeros(399)}, {}, r"by\['sex'\] has 399 records and y_true has 400"),
        ({"sex": np.zeros((400, 1))}, {}, r"by\['sex'\] has shape \(400, 1\)"),
        ({"patient": np.arange(400).astype(str)}, {}, "400 different values"),
        ({"age": np.arange(400)}, {"bins": {"Age": [40]}}, r"bins names \['Age'\]"),
        ({"age": np.arange(400)}, {"bins": {"age": [65, 40]}}, "rising numbers"),
        ({"age": np.arange(400)}, {"bins": {"age": []}}, "rising numbers"),
        ({"sex": ["a", "b"] * 200}, {"bins": {"sex": [1]}}, "cannot be cut"),
        ({"age": np.arange(400)}, {"min_records": 0}, "min_records=0"),
        ({"age": np.arange(400)}, {"groups": np.zeros(3)}, "groups has shape"),
        (pd.DataFrame(np.zeros((400, 2)), columns=["a", "a"]), {}, "two columns 'a'"),
    ],
)
def test_messages_of_invalid_subgroups(cohort, by, params, message):
    y, score, _ = cohort
    with pytest.raises(ValueError, match=message):
        evaluate_subgroups(y, score, by, **params)
