import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from ecgsk._core.resampling import Resamples
from ecgsk.metrics import calibration_metrics, calibration_table, shift_prevalence
from ecgsk.metrics._calibration import _metrics
from ecgsk.metrics._logistic import fit_logistic


@pytest.fixture
def answers():
    random = np.random.default_rng(0)
    true = random.normal(-1.5, 1.2, size=1500)
    return random.random(1500) < expit(true), expit(1.7 * true + 0.4)


def slow_metrics(y, p):
    x = logit(p)

    def loss(intercept):
        linear = intercept[0] + x
        return np.sum(np.logaddexp(0, linear) - y * linear)

    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x[:, None], y)
    return {
        "Brier score": brier_score_loss(y, p),
        "scaled Brier score": 1 - brier_score_loss(y, p) / (y.mean() * (1 - y.mean())),
        "calibration-in-the-large": minimize(loss, [0.0], tol=1e-12).x[0],
        "calibration slope": model.coef_[0, 0],
        "observed / expected": y.mean() / p.mean(),
    }


def test_values_are_those_of_slower_ways(answers):
    expected = slow_metrics(*answers)
    result = calibration_metrics(*answers, n_resamples=0)
    found = result.table
    assert list(found.index) == list(expected)
    np.testing.assert_allclose(found["value"], list(expected.values()), rtol=1e-5)
    assert found[["low", "high"]].isna().all(axis=None)
    assert result.n_records == 1500 and result.n_patients is None and result.threshold is None


def test_metrics_of_resamples_are_those_of_their_records(answers):
    y, p = (part[:300] for part in answers)
    resamples = Resamples(300, groups=np.arange(300) // 2)
    weights = next(resamples.weights(4, np.random.RandomState(0)))
    found = _metrics(y, p, weights)
    for row, rows in zip(found, resamples.rows(4, np.random.RandomState(0)), strict=True):
        expected = list(slow_metrics(y[rows], p[rows]).values())
        np.testing.assert_allclose(row, expected, rtol=1e-4)


def test_calibrated_answers_look_calibrated():
    """The intervals cover the ideal as often as their level."""
    covered = np.zeros(3)
    ideal = {"calibration-in-the-large": 0, "calibration slope": 1, "observed / expected": 1}
    for seed in range(120):
        random = np.random.default_rng(seed)
        p = expit(random.normal(-1, 1, size=400))
        table = calibration_metrics(
            random.random(400) < p, p, n_resamples=200, random_state=seed
        ).table
        table = table.loc[list(ideal)]
        covered += (table["low"] <= list(ideal.values())) & (table["high"] >= list(ideal.values()))
    assert (covered / 120 > 0.87).all() and (covered / 120 <= 1).all()


def test_the_observed_share_is_part_of_what_is_uncertain(answers):
    y, p = answers
    table = calibration_metrics(y, p, n_resamples=2000, random_state=0).table
    low, high = table.loc["observed / expected", ["low", "high"]]
    residual = (y - p * y.mean() / p.mean()) / p.mean()
    assert high - low == pytest.approx(2 * 1.96 * residual.std() / np.sqrt(1500), rel=0.08)


def test_directions():
    random = np.random.default_rng(1)
    true = random.normal(-1, 1, size=5000)
    y = random.random(5000) < expit(true)
    sure = calibration_metrics(y, expit(2 * true), n_resamples=0).table["value"]
    assert sure["calibration slope"] == pytest.approx(0.5, abs=0.05)
    high = calibration_metrics(y, expit(true + 1), n_resamples=0).table["value"]
    assert high["calibration-in-the-large"] == pytest.approx(-1, abs=0.1)
    assert high["observed / expected"] < 0.8
    with pytest.warns(UndefinedMetricWarning, match="calibration slope: NaN"):
        base = calibration_metrics(y, np.full(5000, y.mean()), n_resamples=0).table
    assert base.loc["scaled Brier score", "value"] == pytest.approx(0, abs=1e-12)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    "p",
    [
        [0.1, 0.2, 0.7, 0.8],  # separated
        [0.1, 0.5, 0.5, 0.8],  # touching: the likelihood rises for ever as well
        [0.8, 0.7, 0.2, 0.1],  # separated the wrong way round
        [0.3, 0.3, 0.3, 0.3],  # nothing to have a slope on
        [0.0, 0.0, 1.0, 1.0],
    ],
)
def test_perfect_separation_has_no_slope(p):
    with pytest.warns(UndefinedMetricWarning, match="calibration slope.*NaN"):
        table = calibration_metrics([0, 0, 1, 1], p, n_resamples=20, random_state=0).table
    assert np.isnan(table.loc["calibration slope", "value"])
    assert table["value"].drop("calibration slope").notna().all()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_probabilities_of_0_and_1_have_metrics():
    random = np.random.default_rng(0)
    y = random.random(300) < 0.3
    p = np.where(random.random(300) < 0.8, y, ~y).astype(np.float32)
    table = calibration_metrics(y, p, random_state=0).table
    assert np.isfinite(table).all(axis=None)
    # Two values only: the slope is the log odds ratio over the distance of their logits.
    odds = [y[p == v].mean() / (1 - y[p == v].mean()) for v in (1, 0)]
    expected = np.log(odds[0] / odds[1]) / (2 * logit(1 - 2.0**-24))
    assert table.loc["calibration slope", "value"] == pytest.approx(expected)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("level", [1e-9, 1 - 1e-9, 0.5])
def test_answers_far_off_are_brought_back(level):
    """Where all probabilities are all but 1 there is no curvature for Newton's method."""
    y = np.arange(100) < 30
    x = logit(np.clip(level, 2.0**-24, 1 - 2.0**-24)) + np.linspace(-0.1, 0.1, 100)
    with np.errstate(all="raise"):
        found = _metrics(y, expit(x), np.ones((1, 100)))[0, 2]
    assert found == pytest.approx(logit(0.3) - x.mean(), abs=0.05)


def test_newton_does_not_leap_between_two_groups_of_sure_answers():
    """Little curvature lies between them: without smaller steps it jumps from side to side."""
    for seed in range(30):
        random = np.random.default_rng(seed)
        x = np.r_[random.normal(-8, 1, 20), random.normal(8, 1, 20)]
        y = random.random(40) < 0.5
        intercept = _metrics(y, expit(x), np.ones((1, 40)))[0, 2]
        assert expit(intercept + x).sum() == pytest.approx(y.sum(), abs=1e-6)  # the score is 0


def test_a_slope_that_is_steep_is_no_infinite_one():
    """Two records among many overlap, by little."""
    p = np.r_[np.linspace(0.01, 0.49, 40), 0.5, 0.5001, np.linspace(0.51, 0.99, 40)]
    y = np.arange(82) > 40
    y[[40, 41]] = [True, False]
    found = _metrics(y, p, np.ones((1, 82)))[0, 3]
    model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000, solver="newton-cholesky")
    assert found == pytest.approx(model.fit(logit(p)[:, None], y).coef_[0, 0], rel=1e-5)
    assert found > 100


def test_one_class_warns():
    with pytest.warns(UndefinedMetricWarning, match="scaled Brier score, calibration-in-the-large"):
        table = calibration_metrics([0, 0, 0], [0.1, 0.2, 0.6], random_state=0).table
    defined = table.index[table["value"].notna()].tolist()
    assert defined == ["Brier score", "observed / expected"]
    assert table.loc["observed / expected", "value"] == 0


def test_copies_of_records_do_not_narrow_intervals(answers):
    y, p = (part[:200] for part in answers)
    copies = [np.repeat(part, 9) for part in (y, p)]
    alone = calibration_metrics(y, p, random_state=0).table
    result = calibration_metrics(*copies, groups=np.repeat(np.arange(200), 9), random_state=0)
    grouped = result.table
    np.testing.assert_allclose(grouped, alone, rtol=1e-6)
    assert result.n_patients == 200


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
def test_the_table_is_scikit_learns_curve(answers, strategy):
    y, p = answers
    table = calibration_table(y, p, n_bins=8, strategy=strategy)
    observed, predicted = calibration_curve(y, p, n_bins=8, strategy=strategy)
    np.testing.assert_allclose(table["observed"], observed)
    np.testing.assert_allclose(table["predicted"], predicted)
    assert table["n"].sum() == 1500
    assert (table["low"] <= table["observed"]).all() and (table["observed"] <= table["high"]).all()


def test_intervals_of_the_table_are_wilsons():
    table = calibration_table([0] * 9 + [1], [0.2] * 10, n_bins=5)
    assert table["n"].tolist() == [10]
    np.testing.assert_allclose(table[["low", "high"]].iloc[0], [0.01787621, 0.40415002], rtol=1e-6)
    edges = calibration_table([0, 0, 1, 1], [0.1, 0.1, 0.9, 0.9], n_bins=2, strategy="uniform")
    assert edges["low"][0] == 0 and edges["high"][1] == 1


def test_shifting_the_prevalence():
    random = np.random.default_rng(0)
    p = random.random(1000)
    shifted = shift_prevalence(p, trained_at=0.2, used_at=0.05)
    factor = (0.05 / 0.95) / (0.2 / 0.8)
    np.testing.assert_allclose(shifted / (1 - shifted), factor * p / (1 - p))
    np.testing.assert_array_equal(np.argsort(shifted), np.argsort(p))
    back = shift_prevalence(shifted, trained_at=0.05, used_at=0.2)
    np.testing.assert_allclose(back, p)
    np.testing.assert_allclose(shift_prevalence(p, trained_at=0.3, used_at=0.3), p)
    ends = shift_prevalence(pd.Series([0, 1, 0.2]), trained_at=0.2, used_at=0.01)
    assert isinstance(ends, np.ndarray) and ends[:2].tolist() == [0, 1]
    assert ends[2] == pytest.approx(0.01)


def test_a_shift_mends_what_a_shift_broke():
    """Patients with and without the condition look the same; only how many there are differs."""
    random = np.random.default_rng(0)
    y = random.random(20_000) < 0.05
    x = random.normal(size=20_000) + 1.5 * y
    trained = expit(logit(0.3) + 1.5 * x - 1.5**2 / 2)
    shifted = shift_prevalence(trained, trained_at=0.3, used_at=0.05)
    before, after = (
        calibration_metrics(y, p, n_resamples=0).table["value"] for p in (trained, shifted)
    )
    assert before["observed / expected"] < 0.4
    assert after["observed / expected"] == pytest.approx(1, abs=0.06)
    assert after["calibration-in-the-large"] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibration_metrics([0, 1], [0.1, 1.2]), "y_prob lies outside .* record 1"),
        (lambda: calibration_metrics([0, 1], [0.1, np.nan]), "NaN"),
        (lambda: calibration_metrics([0, 1], [0.1]), "y_prob has 1 records and y_true has 2"),
        (lambda: calibration_metrics([0, 5], [0.1, 0.2]), "y_true holds the values"),
        (lambda: calibration_table([0, 1], [0.1, 0.2], n_bins=0), "n_bins=0"),
        (lambda: calibration_table([0, 1], [0.1, 0.2], strategy="equal"), "strategy='equal'"),
        (lambda: calibration_table([0, 1], [0.1, -0.2]), "y_prob lies outside"),
        (lambda: shift_prevalence([0.1], trained_at=0, used_at=0.1), "trained_at=0"),
        (lambda: shift_prevalence([0.1], trained_at=0.1, used_at=5), "used_at=5"),
        (lambda: shift_prevalence([1.1], trained_at=0.1, used_at=0.5), "y_prob lies outside"),
        (lambda: shift_prevalence(0.1, trained_at=0.1, used_at=0.5), "y_prob has shape"),
    ],
)
def test_messages_of_invalid_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_probability_on_an_edge_belongs_to_the_bin_below():
    y, p = [0, 0, 1, 1, 1], [0.1, 0.25, 0.25, 0.5, 0.75]
    table = calibration_table(y, p, n_bins=4, strategy="uniform")
    observed, predicted = calibration_curve(y, p, n_bins=4, strategy="uniform")
    np.testing.assert_allclose(table["observed"], observed)
    np.testing.assert_allclose(table["predicted"], predicted)
    assert table["n"].tolist() == [3, 1, 1]


def test_newton_comes_back_from_where_probabilities_have_no_curvature():
    """The first step would be 1e11 long, and halving it thirty times would not bring it back."""
    y = np.arange(10) < 3
    design = np.ones((10, 1))
    for offset in (-40.0, 40.0):
        found = fit_logistic(design, y, np.ones((1, 10)), np.full(10, offset))
        assert found.item() == pytest.approx(logit(0.3) - offset)
