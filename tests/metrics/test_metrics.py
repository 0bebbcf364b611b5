import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ecgsk.metrics import Estimate, bootstrap, label_roc_auc, macro_roc_auc


@pytest.fixture
def scores():
    random = np.random.default_rng(0)
    y = random.integers(2, size=(200, 4))
    return y, y + random.normal(size=y.shape)


def test_areas_are_those_of_scikit_learn(scores):
    y, s = scores
    expected = [roc_auc_score(y[:, i], s[:, i]) for i in range(4)]
    np.testing.assert_allclose(label_roc_auc(y, s), expected)
    assert macro_roc_auc(y, s) == pytest.approx(roc_auc_score(y, s, average="macro"))


def test_labels_of_one_class_are_left_out_not_scored(scores):
    y, s = scores
    y[:, 1], y[:, 3] = 0, 1
    areas = label_roc_auc(y, s)
    assert np.isnan(areas).tolist() == [False, True, False, True]
    assert macro_roc_auc(y, s) == pytest.approx((areas[0] + areas[2]) / 2)
    assert np.isnan(macro_roc_auc(y[:, 1:2], s[:, 1:2]))


@pytest.mark.parametrize("shape", [(200,), (200, 3), (199, 4)])
def test_shapes_have_to_agree(scores, shape):
    with pytest.raises(ValueError, match="y_score.*n_records, n_labels"):
        label_roc_auc(scores[0], np.zeros(shape))


def test_interval_of_a_mean_is_that_of_statistics():
    x = np.random.default_rng(0).normal(size=400)
    value, low, high = bootstrap(np.mean, x, n_resamples=4000, random_state=0)
    half = 1.96 * x.std() / np.sqrt(400)
    assert value == x.mean()
    np.testing.assert_allclose([low, high], [value - half, value + half], atol=0.1 * half)


def test_records_of_a_patient_are_drawn_together():
    """Copies of a record add no information: the interval must not shrink."""
    x = np.random.default_rng(0).normal(size=100)
    copies, patients = np.repeat(x, 9), np.repeat(np.arange(100), 9)
    alone = bootstrap(np.mean, x, random_state=0, n_resamples=2000)
    grouped = bootstrap(np.mean, copies, groups=patients, random_state=0, n_resamples=2000)
    naive = bootstrap(np.mean, copies, random_state=0, n_resamples=2000)
    np.testing.assert_allclose(grouped, alone)
    assert naive.high - naive.low < 0.5 * (grouped.high - grouped.low)


def test_groups_of_any_label_and_order_are_whole():
    seen = []

    def metric(patients):
        seen.append(np.unique(patients, return_counts=True))
        return 0.0

    patients = np.array(["b", "a", "c", "b", "a", "b"])
    bootstrap(metric, patients, groups=patients, n_resamples=20, random_state=0)
    size = {"a": 2, "b": 3, "c": 1}
    for names, counts in seen:
        assert all(count % size[name] == 0 for name, count in zip(names, counts, strict=True))


def test_undefined_resamples_are_left_out_and_too_many_are_an_error():
    y = np.r_[np.zeros(8), 1, 1].astype(int)
    estimate = bootstrap(roc_auc_score, y, np.arange(10.0), random_state=0, n_resamples=200)
    assert estimate == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="defined on 0 of 50 resamples"):
        bootstrap(lambda y: np.nan, y, n_resamples=50)


def test_seeds_and_text():
    x = np.arange(50.0)
    first, second = (bootstrap(np.mean, x, random_state=3, n_resamples=50) for _ in range(2))
    assert first == second
    assert str(Estimate(0.5, 0.25, 0.75)) == "0.500 (0.250 to 0.750)"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"level": 95}, "level=95 has to be between 0 and 1"),
        ({"n_resamples": 0}, "n_resamples=0"),
        ({"groups": np.zeros(10)}, "1 group to resample"),
        ({"groups": np.arange(9)}, "groups has shape"),
        ({"groups": np.r_[np.nan, np.arange(9)]}, "missing for 1 of 10"),
    ],
)
def test_messages_of_invalid_bootstraps(params, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(np.mean, np.arange(10.0), **params)


def test_tables_are_not_compared_by_position_alone(scores):
    y, s = (pd.DataFrame(part, columns=list("abcd")) for part in scores)
    assert macro_roc_auc(y, s) == macro_roc_auc(*scores)
    with pytest.raises(ValueError, match="the same, in one order"):
        macro_roc_auc(y, s[list("bacd")])


def test_likelihoods_are_no_truth(scores):
    with pytest.raises(ValueError, match="y_true holds the values"):
        macro_roc_auc(100 * scores[0], scores[1])
