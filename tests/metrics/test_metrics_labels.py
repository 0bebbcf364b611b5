import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from ecgsk.metrics import (
    evaluate_binary,
    evaluate_labels,
    label_average_precision,
    label_roc_auc,
    macro_average_precision,
    macro_roc_auc,
)


@pytest.fixture(scope="module")
def statements():
    """As many records and labels as PTB-XL's tenth fold; rare labels, float32 scores with ties."""
    random = np.random.default_rng(0)
    y = (random.random((2203, 71)) < random.beta(0.4, 6, size=71)).astype(int)
    y[0], y[1] = 0, 1  # both classes, of some labels once
    y[2:, 3] = 0
    score = 1 / (1 + np.exp(4 - 2 * y - random.normal(size=y.shape))).astype(np.float32)
    return y, np.round(score, 2)


def test_macro_auroc_is_that_of_the_benchmark(statements):
    y, score = statements
    assert score.dtype == np.float32 and len(np.unique(score)) < 110 and y.sum(axis=0).min() == 1
    result = evaluate_labels(y, score, n_resamples=0)
    table = result.table
    expected = roc_auc_score(y, score, average="macro")
    assert result.macro["AUROC"] == pytest.approx(expected, abs=1e-12)
    assert macro_roc_auc(y, score) == pytest.approx(expected, abs=1e-12)
    expected = average_precision_score(y, score, average="macro")
    assert result.macro["average precision"] == pytest.approx(expected, abs=1e-12)
    assert macro_average_precision(y, score) == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(table["AUROC"], label_roc_auc(y, score), atol=1e-12)
    precision = label_average_precision(y, score)
    np.testing.assert_allclose(table["average precision"], precision, atol=1e-12)
    assert result.skipped == []


def test_rows_are_those_of_each_detector(statements):
    y, score = (part[:300, 5:9] for part in statements)
    y[:3] = 1
    thresholds = [0.1, 0.2, 0.3, 0.4]
    result = evaluate_labels(y, score, thresholds=thresholds, n_resamples=0)
    table = result.table
    for i in range(4):
        alone = evaluate_binary(y[:, i], score[:, i], threshold=thresholds[i], n_resamples=0).table
        same = alone.index.intersection(table.columns)
        assert len(same) == 9
        pd.testing.assert_series_equal(
            table.loc[i, same], alone.loc[same, "value"], check_names=False
        )
    macro = np.mean([f1_score(y[:, i], score[:, i] >= thresholds[i]) for i in range(4)])
    assert result.macro["F1"] == pytest.approx(macro)
    assert "F1" not in evaluate_labels(y, score, n_resamples=0).table.columns
    assert set(evaluate_labels(y, score, n_resamples=0).macro) == {"AUROC", "average precision"}


def test_labels_of_one_class_are_counted_and_in_no_mean(statements):
    y, score = (part[:200, :4].copy() for part in statements)
    y[:3], y[:, 1], y[:, 2] = [1, 0, 1, 1], 0, 1
    result = evaluate_labels(
        y, score, thresholds=0.1, n_resamples=20, random_state=0, label_names=list("abcd")
    )
    table = result.table
    assert table["AUROC"].isna().tolist() == [False, True, True, False]
    assert (
        table.loc[["b", "c"], ["AUROC low", "AUROC high", "average precision"]]
        .isna()
        .all(axis=None)
    )
    assert result.skipped == ["b", "c"]
    for name, value in result.macro.items():
        assert value == pytest.approx(table.loc[["a", "d"], name].mean())
    assert result.macro["AUROC"] == pytest.approx(macro_roc_auc(y, score))
    nothing = evaluate_labels(y[:, 1:3], score[:, 1:3], n_resamples=0)
    assert np.isnan(nothing.macro["AUROC"]) and nothing.skipped == [0, 1]


def test_an_interval_does_not_depend_on_other_labels(statements):
    y, score = (part[:300] for part in statements)
    params = {"n_resamples": 100, "random_state": 0, "groups": np.arange(300) // 2}
    ends = ["AUROC low", "AUROC high"]
    result = evaluate_labels(y[:, 4:8], score[:, 4:8], **params)
    some = result.table
    one = evaluate_labels(y[:, 6:7], score[:, 6:7], **params).table
    np.testing.assert_array_equal(some.loc[2, ends], one.loc[0, ends])
    assert (some["AUROC low"] < some["AUROC"]).all() and result.n_patients == 150
    assert not set(ends) & set(evaluate_labels(y, score, n_resamples=0).table.columns)


def test_copies_of_records_do_not_narrow_intervals(statements):
    y, score = (part[:200, 4:6] for part in statements)
    patients = np.repeat(np.arange(200), 9)
    params = {"n_resamples": 300, "random_state": 0}
    alone = evaluate_labels(y, score, **params).table
    copies = [np.repeat(part, 9, axis=0) for part in (y, score)]
    grouped = evaluate_labels(*copies, groups=patients, **params).table
    columns = ["AUROC", "AUROC low", "AUROC high"]
    np.testing.assert_allclose(grouped[columns], alone[columns], rtol=1e-9)


def test_names_and_thresholds_by_name(statements):
    y, score = (pd.DataFrame(part[:100, :3], columns=list("abc")) for part in statements)
    by_position = evaluate_labels(y, score, thresholds=[0.1, 0.2, 0.3], random_state=0).table
    assert by_position.index.tolist() == list("abc")
    named = {"c": 0.3, "a": 0.1, "b": 0.2}
    for thresholds in (named, pd.Series(named)):
        found = evaluate_labels(y, score, thresholds=thresholds, random_state=0).table
        pd.testing.assert_frame_equal(found, by_position)
    assert evaluate_labels(y.to_numpy(), score).table.index.tolist() == list("abc")
    unnamed = pd.Series([0.1, 0.2, 0.3], index=[7, 8, 9])
    found = evaluate_labels(y, score, thresholds=unnamed, random_state=0).table
    pd.testing.assert_frame_equal(found, by_position)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"thresholds": [0.1, 0.2]}, r"thresholds has shape \(2,\)"),
        ({"thresholds": {"a": 0.1, "x": 1}}, r"lacks the labels \['b', 'c'\] and .*\['x'\]"),
        ({"thresholds": [0.1, 0.2, np.nan]}, "threshold=nan"),
        ({"label_names": ["a"]}, "label_names has 1 names and y_true 3"),
        ({"groups": [1, 2]}, "groups has shape"),
        ({"level": 0}, "level=0"),
        ({"n_resamples": 1.5}, "n_resamples=1.5"),
    ],
)
def test_messages_of_invalid_arguments(statements, params, message):
    y, score = (pd.DataFrame(part[:100, :3], columns=list("abc")) for part in statements)
    with pytest.raises(ValueError, match=message):
        evaluate_labels(y, score, **params)


def test_tables_that_do_not_fit(statements):
    y, score = (part[:100, :3] for part in statements)
    with pytest.raises(ValueError, match="n_records, n_labels"):
        evaluate_labels(y[:, 0], score[:, 0])
    with pytest.raises(ValueError, match="n_records, n_labels"):
        evaluate_labels(y[:99], score)
    with pytest.raises(ValueError, match="y_true holds the values"):
        evaluate_labels(y * 2, score)
    bad = score.copy()
    bad[7, 1] = np.nan
    for metric in (evaluate_labels, label_roc_auc, macro_average_precision):
        with pytest.raises(ValueError, match="y_score holds 1 values that are NaN.*record 7"):
            metric(y, bad)
