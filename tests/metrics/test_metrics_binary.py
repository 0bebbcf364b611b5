import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    roc_auc_score,
)

from ecgsk.metrics import bootstrap, choose_threshold, decision_curve, evaluate_binary
from ecgsk.metrics._calibration import wilson


@pytest.fixture
def detector():
    random = np.random.default_rng(0)
    y = random.random(800) < 0.2
    return y, 1 / (1 + np.exp(2 - 2 * y - random.normal(size=800)))


def test_values_are_those_of_scikit_learn(detector):
    y, p = detector
    values = evaluate_binary(y, p, threshold=0.3, n_resamples=0).table["value"]
    tn, fp, fn, tp = confusion_matrix(y, p >= 0.3).ravel()
    expected = {
        "AUROC": roc_auc_score(y, p),
        "average precision": average_precision_score(y, p),
        "prevalence": y.mean(),
        "Brier score": brier_score_loss(y, p),
        "F1": f1_score(y, p >= 0.3),
        "sensitivity": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "PPV": tp / (tp + fp),
        "NPV": tn / (tn + fn),
        "flagged": (tp + fp) / 800,
    }
    assert list(values.index) == list(expected)
    np.testing.assert_allclose(values, list(expected.values()), rtol=1e-12)


def test_containers_and_types_give_the_same(detector):
    y, p = detector
    expected = evaluate_binary(y, p, threshold=0.3, n_resamples=20, random_state=0).table
    shuffled = np.random.default_rng(0).permutation(800)
    for truth in (y.tolist(), y.astype(int), y.astype(float), pd.Series(y, index=shuffled)):
        for score in (p, p.tolist(), pd.Series(p), pd.Series(p, index=shuffled[::-1])):
            found = evaluate_binary(
                truth, score, threshold=0.3, n_resamples=20, random_state=0
            ).table
            pd.testing.assert_frame_equal(found, expected)
    nullable = evaluate_binary(
        pd.Series(y).astype("boolean"),
        pd.Series(p).astype("Float64"),
        threshold=0.3,
        n_resamples=20,
        random_state=0,
    ).table
    pd.testing.assert_frame_equal(nullable, expected)


def test_without_a_threshold_there_are_no_decisions(detector):
    y, p = detector
    result = evaluate_binary(y, p, n_resamples=0)
    table = result.table
    assert list(table.index) == ["AUROC", "average precision", "prevalence", "Brier score"]
    assert table[["low", "high"]].isna().all(axis=None)
    assert (result.n_records, result.n_positive, result.n_patients) == (800, int(y.sum()), None)
    assert (result.threshold, result.level, result.n_resamples) == (None, 0.95, 0)


def test_a_result_is_shown_as_its_table_and_survives_pickling(detector):
    result = evaluate_binary(*detector, threshold=0.3, n_resamples=20, random_state=0)
    again = pickle.loads(pickle.dumps(result))
    pd.testing.assert_frame_equal(again.table, result.table)
    assert again.threshold == 0.3 and again.n_records == 800
    assert repr(result) == repr(result.table)
    assert result._repr_html_() == result.table._repr_html_()


def test_a_score_that_is_no_probability_has_no_brier_score(detector):
    y, p = detector
    table = evaluate_binary(y, np.log(p / (1 - p)), threshold=0.0, n_resamples=10).table
    assert np.isnan(table.loc["Brier score"]).all()
    assert table.drop(index="Brier score").notna().all(axis=None)


def test_the_decision_is_at_the_threshold_or_above():
    table = evaluate_binary([0, 1, 1, 0], [0.2, 0.5, 0.7, 0.4], threshold=0.5, n_resamples=0).table
    assert table.loc["sensitivity", "value"] == 1 and table.loc["PPV", "value"] == 1
    # As NumPy compares: 0.7 in float32 is below 0.7 in float64.
    score = np.array([0.2, 0.7, 0.9], dtype=np.float32)
    table = evaluate_binary([0, 1, 1], score, threshold=np.float64(0.7), n_resamples=0).table
    assert table.loc["flagged", "value"] == (score >= 0.7).mean() == 2 / 3


def test_what_is_not_defined_is_nan_not_zero():
    y, p = [0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]
    values = evaluate_binary(y, p, threshold=0.9, n_resamples=0).table["value"]
    assert np.isnan(values["PPV"]) and values["NPV"] == 0.5 and values["sensitivity"] == 0
    assert np.isnan(evaluate_binary(y, p, threshold=0.0, n_resamples=0).table.loc["NPV", "value"])


@pytest.mark.parametrize("positive", [False, True])
def test_one_class_warns(positive):
    y = np.full(20, positive)
    with pytest.warns(UndefinedMetricWarning, match="one class"):
        table = evaluate_binary(y, np.linspace(0, 1, 20), threshold=0.5, random_state=0).table
    undefined = table.index[table["value"].isna()].tolist()
    lacking = "specificity" if positive else "sensitivity"
    assert {"AUROC", "average precision", lacking} <= set(undefined)
    assert ("F1" in undefined) is not positive
    assert table.loc[undefined, ["low", "high"]].isna().all(axis=None)
    assert table.loc["Brier score"].notna().all()


def test_resamples_without_a_value_are_left_out():
    """Two are flagged; whether a resample flags any is chance, and usual."""
    y = np.r_[np.ones(10), np.zeros(90)]
    p = np.r_[0.9, np.full(9, 0.3), 0.9, np.linspace(0, 0.4, 89)]
    table = evaluate_binary(y, p, threshold=0.8, random_state=0).table
    assert table.loc["PPV"].tolist() == [0.5, 0, 1]
    # One is flagged and missing in 37 % of resamples, but all that flag it have the same PPV.
    p[10] = 0.1
    assert evaluate_binary(y, p, threshold=0.8, random_state=0).table.loc["PPV"].tolist() == [
        1,
        1,
        1,
    ]
    table = evaluate_binary(y, p, threshold=0.95, random_state=0).table
    assert np.isnan(table.loc["PPV"]).all()


def test_one_patient_has_no_interval():
    table = evaluate_binary([0, 1, 1], [0.1, 0.5, 0.4], groups=["a"] * 3, random_state=0).table
    assert table["value"].notna().all() and table[["low", "high"]].isna().all(axis=None)


def test_copies_of_records_add_no_precision(detector):
    y, p = (part[:300] for part in detector)
    alone = evaluate_binary(y, p, threshold=0.3, random_state=0).table
    copies = [np.repeat(part, 9) for part in (y, p)]
    patients = np.repeat(np.arange(300), 9)
    result = evaluate_binary(*copies, threshold=0.3, groups=patients, random_state=0)
    grouped = result.table
    np.testing.assert_allclose(grouped, alone, rtol=1e-9)
    assert result.n_patients == 300
    naive = evaluate_binary(*copies, threshold=0.3, random_state=0).table
    width, naive_width = (t["high"] - t["low"] for t in (grouped, naive))
    assert (naive_width < 0.5 * width).all()


def test_intervals_are_those_of_the_plain_bootstrap(detector):
    y, p = detector
    table = evaluate_binary(y, p, threshold=0.3, n_resamples=2000, random_state=0).table
    for name, metric, stratify in (
        ("AUROC", roc_auc_score, y),
        ("average precision", average_precision_score, None),
        ("F1", lambda y, p: f1_score(y, p >= 0.3), None),
    ):
        slow = bootstrap(metric, y, p, n_resamples=500, random_state=1, stratify=stratify)
        half = (slow.high - slow.low) / 2
        np.testing.assert_allclose(table.loc[name, ["low", "high"]], slow[1:], atol=0.2 * half)


def test_intervals_of_shares_are_as_wide_as_statistics_has_them(detector):
    """The PPV's denominator and the prevalence vary: at a fixed prevalence they would be narrow."""
    y, p = detector
    table = evaluate_binary(y, p, threshold=0.3, n_resamples=4000, random_state=0).table
    flagged = p >= 0.3
    for name, share, n in (
        ("prevalence", y.mean(), 800),
        ("sensitivity", flagged[y].mean(), y.sum()),
        ("specificity", (~flagged[~y]).mean(), (~y).sum()),
        ("PPV", y[flagged].mean(), flagged.sum()),
        ("flagged", flagged.mean(), 800),
    ):
        low, high = wilson(share * n, n, 0.95)
        assert table.loc[name, "high"] - table.loc[name, "low"] == pytest.approx(
            high - low, rel=0.08
        ), name


def test_intervals_cover_the_truth():
    truth, hits = norm.cdf(1 / np.sqrt(2)), 0
    for seed in range(150):
        random = np.random.default_rng(seed)
        y = random.random(200) < 0.3
        score = y + random.normal(size=200)
        _, low, high = evaluate_binary(y, score, n_resamples=300, random_state=seed).table.loc[
            "AUROC"
        ]
        hits += low <= truth <= high
    assert 0.88 < hits / 150 < 0.99


def test_seeds(detector):
    first, second, other = (
        evaluate_binary(*detector, n_resamples=30, random_state=seed).table for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first, second)
    assert not first.equals(other)
    before = np.random.get_state()[1].copy()
    evaluate_binary(*detector, n_resamples=30)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


BAD = [
    ([0, 1, 2], [0.1, 0.2, 0.3], {}, "y_true holds the values"),
    ([-1, 1, 1], [0.1, 0.2, 0.3], {}, "y_true holds the values"),
    (["low", "high", "low"], [0.1, 0.2, 0.3], {}, "y_true holds the values"),
    ([0, np.nan, 1], [0.1, 0.2, 0.3], {}, "y_true is missing for 1 of 3"),
    ([0, 1, 1], [0.1, np.nan, 0.3], {}, "y_score holds 1 values that are NaN.*record 1"),
    ([0, 1, 1], [0.1, 0.2, np.inf], {}, "infinite, the first in record 2"),
    ([0, 1, 1], ["a", "b", "c"], {}, "scores have to be numbers"),
    ([0, 1, 1], [0.1, 0.2], {}, "y_score has 2 records and y_true has 3"),
    ([0, 1, 1], np.zeros((3, 2)), {}, r"y_score has shape \(3, 2\).*predict_proba"),
    ([[0], [1], [1]], [0.1, 0.2, 0.3], {}, r"y_true has shape \(3, 1\)"),
    ([], [], {}, "y_true holds no records"),
    ([0, 1, 1], [0.1, 0.2, 0.3], {"threshold": np.nan}, "threshold=nan"),
    ([0, 1, 1], [0.1, 0.2, 0.3], {"threshold": "f1"}, "threshold='f1'"),
    ([0, 1, 1], [0.1, 0.2, 0.3], {"level": 95}, "level=95"),
    ([0, 1, 1], [0.1, 0.2, 0.3], {"n_resamples": -1}, "n_resamples=-1"),
    ([0, 1, 1], [0.1, 0.2, 0.3], {"groups": [1, 2]}, "groups has shape"),
]


@pytest.mark.parametrize(("y", "score", "params", "message"), BAD)
def test_messages_of_invalid_arguments(y, score, params, message):
    with pytest.raises(ValueError, match=message):
        evaluate_binary(y, score, **params)


def all_thresholds(y, score):
    """Return each candidate with its counts, the slow way."""
    for t in np.unique(score):
        called = score >= t
        yield t, (called & y).sum(), (called & ~y).sum()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_thresholds_are_the_best_of_all(seed, dtype):
    random = np.random.default_rng(seed)
    y = random.random(80) < 0.3
    y[:2] = [True, False]
    score = np.round(y * 0.3 + random.random(80), 1 + seed % 3).astype(dtype)
    table = pd.DataFrame(all_thresholds(y, score), columns=["t", "tp", "fp"]).iloc[::-1]
    n_pos, n_neg = y.sum(), (~y).sum()
    f1 = 2 * table.tp / (table.tp + table.fp + n_pos)
    assert choose_threshold(y, score) == table.t[f1.idxmax()]
    youden = table.tp * n_neg - table.fp * n_pos
    assert choose_threshold(y, score, rule="youden") == table.t[youden.idxmax()]
    for share in (0.5, 0.9, 1):
        t = choose_threshold(y, score, rule="sensitivity", sensitivity=share)
        assert t == table.t[table.tp / n_pos >= share - 1e-12].max()
        t = choose_threshold(y, score, rule="specificity", specificity=share)
        called = score >= t
        assert (~called[~y]).mean() >= share - 1e-12
        lower = table.t[table.t < t]
        assert all((score[~y] < lower_t).mean() < share for lower_t in lower)


def test_threshold_that_evaluate_binary_agrees_with(detector):
    y, p = detector
    p = p.astype(np.float32)
    for rule in ("sensitivity", "specificity"):
        t = choose_threshold(y, p, rule=rule)
        assert evaluate_binary(y, p, threshold=t, n_resamples=0).table.loc[rule, "value"] >= 0.9
    best = choose_threshold(y, p)
    f1 = evaluate_binary(y, p, threshold=best, n_resamples=0).table.loc["F1", "value"]
    assert f1 == pytest.approx(max(f1_score(y, p >= t) for t in np.unique(p)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_specificity_that_only_silence_reaches(dtype):
    score = np.array([0.1, 0.5, 0.9, 0.9], dtype=dtype)
    t = choose_threshold([0, 1, 1, 0], score, rule="specificity", specificity=1)
    assert not (score >= t).any() and t == pytest.approx(0.9)


def test_a_share_reached_exactly_is_reached():
    """0.55 * 100 is 55.00000000000001, but the 55th record suffices."""
    y, score = np.r_[np.ones(100), 0], np.linspace(1, 0, 101)
    for k in range(1, 101):
        t = choose_threshold(y, score, rule="sensitivity", sensitivity=k / 100)
        assert (score[:100] >= t).sum() == k
        t = choose_threshold(1 - y, -score, rule="specificity", specificity=k / 100)
        assert (-score[:100] < t).sum() == k


@pytest.mark.parametrize(
    ("y", "score", "params", "message"),
    [
        ([0, 0], [0.1, 0.2], {}, "0 positive and 2 negative"),
        ([1, 1], [0.1, 0.2], {}, "2 positive and 0 negative"),
        ([0, 1], [0.1, np.nan], {}, "NaN"),
        ([0, 2], [0.1, 0.2], {}, "0 and 1"),
        ([0, 1], [0.1, 0.2], {"rule": "F2"}, "rule='F2' is unknown; choose one of f1"),
        ([0, 1], [0.1, 0.2], {"sensitivity": 0.9}, "belongs to rule='sensitivity'"),
        ([0, 1], [0.1, 0.2], {"rule": "specificity", "specificity": 90}, "specificity=90"),
        ([0, 1], [0.1, 0.2], {"rule": "sensitivity", "sensitivity": 0}, "sensitivity=0"),
    ],
)
def test_messages_of_thresholds_that_cannot_be_chosen(y, score, params, message):
    with pytest.raises(ValueError, match=message):
        choose_threshold(y, score, **params)


def test_decision_curve_is_its_definition(detector):
    y, p = detector
    table = decision_curve(y, p)
    assert len(table) == 99
    for t, benefit, everyone, nobody in table.itertuples(index=False):
        called = p >= t
        expected = (called & y).mean() - (called & ~y).mean() * t / (1 - t)
        assert benefit == pytest.approx(expected, abs=1e-12)
        assert everyone == pytest.approx(y.mean() - (~y).mean() * t / (1 - t), abs=1e-12)
        assert nobody == 0
    at = decision_curve(y, p, thresholds=[0, y.mean()])
    assert at.net_benefit[0] == at.treat_all[0] == y.mean()
    assert at.treat_all[1] == pytest.approx(0, abs=1e-12)
    # In the precision of the probabilities, as a comparison would be.
    ties = np.array([0.7, 0.1], dtype=np.float32)
    assert decision_curve([1, 0], ties, thresholds=0.7).net_benefit[0] == 0.5


@pytest.mark.parametrize("thresholds", [[0.5, 1], [-0.1], [np.nan], []])
def test_decision_thresholds_are_probabilities(thresholds):
    with pytest.raises(ValueError, match="thresholds=.*0, 1"):
        decision_curve([0, 1], [0.1, 0.9], thresholds=thresholds)
    with pytest.raises(ValueError, match="y_prob lies outside"):
        decision_curve([0, 1], [0.1, 1.9])
