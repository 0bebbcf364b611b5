import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from ecgsk.metrics import bootstrap, compare_models, evaluate_binary


@pytest.fixture
def models():
    random = np.random.default_rng(0)
    y = random.random(600) < 0.25
    common = y + random.normal(size=600)
    return y, common + 0.3 * random.normal(size=600), common + 0.3 * random.normal(size=600)


def delong(y, a, b):
    """Standard error of the difference of two correlated AUROCs (DeLong et al., 1988)."""
    parts = []
    for s in (a, b):
        wins = (s[y][:, None] > s[~y]) + 0.5 * (s[y][:, None] == s[~y])
        parts.append((wins.mean(axis=1), wins.mean(axis=0)))
    positive, negative = (np.cov([part[i] for part in parts]) for i in (0, 1))
    covariance = positive / y.sum() + negative / (~y).sum()
    contrast = np.array([1, -1])
    return np.sqrt(contrast @ covariance @ contrast)


def test_the_difference_is_as_uncertain_as_delong_has_it(models):
    y, a, b = models
    found = compare_models(y, a, b, n_resamples=2000, random_state=0)
    error = (found.difference.high - found.difference.low) / (2 * 1.96)
    assert error == pytest.approx(delong(y, a, b), rel=0.1)
    assert found.difference.value == pytest.approx(roc_auc_score(y, a) - roc_auc_score(y, b))


def test_models_are_compared_on_the_same_resamples(models):
    y, a, b = models
    found = compare_models(y, a, b, random_state=0)
    apart = [bootstrap(roc_auc_score, y, s, n_resamples=200, random_state=0) for s in (a, b)]
    unpaired = np.hypot(*(estimate.high - estimate.low for estimate in apart))
    assert found.difference.high - found.difference.low < 0.5 * unpaired
    for name, estimate, score in (("a", found.a, a), ("b", found.b, b)):
        alone = evaluate_binary(y, score, random_state=0).table.loc["AUROC"]
        np.testing.assert_allclose(estimate, alone, err_msg=name)


@pytest.mark.parametrize("metric", ["AUROC", "average precision", roc_auc_score])
def test_a_model_does_not_differ_from_itself(models, metric):
    y, a, _ = models
    n = 50
    for other in (a, 3 * a + 1):  # the same ranking
        found = compare_models(y, a, other, metric=metric, n_resamples=n, random_state=0)
        assert found.difference == (0, 0, 0) and found.p_value == 1


def test_a_better_model_is_better(models):
    y, a, _ = models
    noise = np.random.default_rng(1).normal(size=600)
    found = compare_models(y, a, noise, n_resamples=99, random_state=0)
    assert found.difference.low > 0.2 and found.p_value == pytest.approx(2 / 100)
    back = compare_models(y, noise, a, n_resamples=99, random_state=0)
    np.testing.assert_allclose(back.difference, -np.array(found.difference)[[0, 2, 1]])
    assert back.p_value == found.p_value


def test_p_counts_the_rarer_sign(models):
    y, a, b = models
    seen = []

    def metric(y, score):
        seen.append(roc_auc_score(y, score))
        return seen[-1]

    found = compare_models(y, a, b, metric=metric, n_resamples=40, random_state=0)
    difference = np.diff(np.reshape(seen[2:], (40, 2)), axis=1)
    rarer = min((difference <= 0).sum(), (difference >= 0).sum())
    assert 0 < rarer < 40 and found.p_value == pytest.approx(min(1, 2 * (1 + rarer) / 41))


def test_under_the_hypothesis_p_is_uniform_enough():
    """Two equally good models: about one in ten comparisons has p < 0.1 and covers no zero."""
    significant = covered = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        y = random.random(150) < 0.4
        common = y + random.normal(size=150)
        a, b = (common + random.normal(size=150) for _ in range(2))
        found = compare_models(y, a, b, n_resamples=200, level=0.9, random_state=seed)
        significant += found.p_value < 0.1
        covered += found.difference.low <= 0 <= found.difference.high
    assert 0.04 < significant / 200 < 0.17
    assert 0.83 < covered / 200 < 0.96


@pytest.mark.parametrize(
    ("metric", "reference"),
    [("average precision", average_precision_score), ("Brier score", brier_score_loss)],
)
def test_named_metrics_are_callables_but_quicker(models, metric, reference):
    y, a, b = models
    a, b = (1 / (1 + np.exp(-s)) for s in (a, b))
    patients = np.arange(600) // 2
    params = {"n_resamples": 60, "random_state": 0, "groups": patients}
    named = compare_models(y, a, b, metric=metric, **params)
    called = compare_models(y, a, b, metric=reference, **params)
    np.testing.assert_allclose(np.array(named[:3]), np.array(called[:3]), atol=1e-12)
    assert named.p_value == called.p_value


def test_copies_of_records_prove_nothing(models):
    y, a, b = (part[:200] for part in models)
    alone = compare_models(y, a, b, random_state=0)
    copies = [np.repeat(part, 9) for part in (y, a, b)]
    grouped = compare_models(*copies, groups=np.repeat(np.arange(200), 9), random_state=0)
    np.testing.assert_allclose(np.array(grouped[:3]), np.array(alone[:3]), atol=1e-12)
    assert grouped.p_value == alone.p_value
    naive = compare_models(*copies, random_state=0).difference
    assert naive.high - naive.low < 0.5 * (alone.difference.high - alone.difference.low)


def test_text(models):
    text = str(compare_models(*models, n_resamples=20, random_state=0))
    assert " against " in text and "p = " in text


@pytest.mark.parametrize(
    ("change", "params", "message"),
    [
        ({}, {"metric": "F1"}, "metric='F1' is unknown; choose one of AUROC"),
        ({"y": np.zeros(600)}, {}, "AUROC needs both classes"),
        ({}, {"metric": "Brier score"}, "score_a lies outside"),
        ({"b": np.zeros(599)}, {}, "score_b has 599 records"),
        ({"a": np.full(600, np.nan)}, {}, "score_a holds 600 values that are NaN"),
        ({}, {"n_resamples": 0}, "n_resamples=0"),
        ({}, {"groups": np.zeros(600)}, "1 group to resample"),
        ({}, {"metric": lambda y, s: np.nan}, "defined on 0 of 1000"),
    ],
)
def test_messages_of_invalid_comparisons(models, change, params, message):
    y, a, b = (change.get(name, part) for name, part in zip("yab", models, strict=True))
    with pytest.raises(ValueError, match=message):
        compare_models(y, a, b, **params)
