import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

from ecgsk._core import resampling
from ecgsk._core.ranked_scores import Ranked
from ecgsk._core.resampling import Resamples
from ecgsk.metrics import bootstrap
from ecgsk.metrics._binary_metrics import BinaryMetrics


def weights_of(resamples, n, seed=0):
    return np.concatenate(list(resamples.weights(n, np.random.RandomState(seed))))


def test_a_stratified_resample_keeps_the_patients_of_each_class():
    random = np.random.default_rng(0)
    patient = random.integers(60, size=200)
    y = random.random(200) < 0.15
    sick = np.isin(patient, patient[y])
    w = weights_of(Resamples(200, groups=patient, stratify=y), 50)
    assert (w == np.round(w)).all() and not (w == w[0]).all()
    first = np.unique(patient, return_index=True)[1]
    for p in np.unique(patient):
        same = w[:, patient == p]
        assert (same == same[:, :1]).all()  # a patient is drawn whole
    np.testing.assert_array_equal(w[:, first][:, sick[first]].sum(axis=1), sick[first].sum())
    np.testing.assert_array_equal(w[:, first][:, ~sick[first]].sum(axis=1), (~sick[first]).sum())


def test_every_record_is_drawn_once_on_average():
    y = np.arange(40) < 4
    for stratify in (None, y):
        w = weights_of(Resamples(40, stratify=stratify), 20_000)
        np.testing.assert_allclose(w.mean(axis=0), 1, atol=0.05)
    # Of four positive ones, each is drawn as a multinomial of four.
    np.testing.assert_allclose(w[:, y].var(axis=0), 0.75, atol=0.05)


def test_a_few_at_a_time_are_the_same_resamples(monkeypatch):
    y = np.arange(30) % 3 == 0
    for params in ({}, {"stratify": y}, {"groups": np.arange(30) // 2, "stratify": y}):
        at_once = weights_of(Resamples(30, **params), 17)
        with monkeypatch.context() as patched:
            patched.setattr(resampling, "CHUNK_BYTES", 8 * 30 * 2)
            chunks = list(Resamples(30, **params).weights(17, np.random.RandomState(0)))
        assert len(chunks) > 5
        np.testing.assert_array_equal(np.concatenate(chunks), at_once)


def test_rows_and_weights_are_the_same_resamples():
    y = np.arange(31) % 3 == 0
    for params in ({}, {"stratify": y}, {"groups": np.arange(31) % 7, "stratify": y}):
        resamples = Resamples(31, **params)
        rows = resamples.rows(9, np.random.RandomState(0))
        counts = [np.bincount(r, minlength=31) for r in rows]
        np.testing.assert_array_equal(counts, weights_of(resamples, 9))


def test_memory_is_bounded():
    n = 20_000
    y = np.arange(n) % 10 == 0
    metrics = BinaryMetrics(y, np.random.default_rng(0).random(n), 0.5)
    tracemalloc.start()
    for w in Resamples(n, stratify=y).weights(200, np.random.RandomState(0)):
        metrics(w)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6  # all at once would be 32 MB for each of some six arrays


def test_a_stratified_bootstrap_is_defined_where_a_plain_one_is_not():
    y = np.r_[np.zeros(300), 1, 1].astype(int)
    seen = []

    def positives(y):
        seen.append(y.sum())
        return y.mean()

    bootstrap(positives, y, stratify=y, n_resamples=50, random_state=0)
    assert set(seen) == {2}
    seen.clear()
    bootstrap(positives, y, n_resamples=50, random_state=0)
    assert 0 in seen
    # Strata are any values, of any type.
    text = np.where(y, "sick", "well").astype(object)
    seen.clear()
    bootstrap(positives, y, stratify=text, n_resamples=50, random_state=0)
    assert set(seen) == {2}


def test_a_patient_with_a_positive_record_is_a_positive_patient():
    patient = np.repeat(np.arange(50), 2)
    y = np.zeros(100, dtype=int)
    y[[0, 3, 5]] = 1  # one record of three patients

    def positives(y):
        assert y.sum() == 3
        return 0.0

    for stratify in (y, y.astype(bool), y.astype(object)):
        bootstrap(positives, y, groups=patient, stratify=stratify, n_resamples=50, random_state=0)


@pytest.mark.parametrize(
    ("stratify", "message"),
    [
        (np.zeros(9), r"stratify has shape \(9,\)"),
        (np.r_[np.nan, np.zeros(9)], "stratify is missing for 1 of 10"),
        (np.arange(10), "stratum of its own"),
    ],
)
def test_messages_of_invalid_strata(stratify, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(np.mean, np.arange(10.0), stratify=stratify)
    with pytest.raises(ValueError, match="no records"):
        bootstrap(np.mean, [])


def test_the_global_generator_is_left_alone():
    before = np.random.get_state()[1].copy()
    bootstrap(np.mean, np.arange(10.0), n_resamples=5)
    bootstrap(np.mean, np.arange(10.0), n_resamples=5, random_state=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("distinct", [2, 7, 1000])
@pytest.mark.parametrize("share", [0.03, 0.5, 0.9])
def test_areas_are_those_of_scikit_learn_with_weights(distinct, share):
    random = np.random.default_rng(distinct)
    y = random.random(300) < share
    score = (random.integers(distinct, size=300) + y * distinct // 4).astype(float)
    weights = np.stack(
        [np.ones(300), random.integers(3, size=300), random.random(300), random.poisson(1, 300)]
    ).astype(float)
    weights[3, score == score.max()] = 0  # the first step of the curve has no weight
    aurocs, precisions = Ranked(y, score).areas(weights)
    for w, auroc, precision in zip(weights, aurocs, precisions, strict=True):
        assert auroc == pytest.approx(roc_auc_score(y, score, sample_weight=w), abs=1e-12)
        expected = average_precision_score(y, score, sample_weight=w)
        assert precision == pytest.approx(expected, abs=1e-12)


def test_areas_of_one_class_are_nan_in_that_row_alone():
    y = np.array([1, 1, 0, 0], dtype=bool)
    weights = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]], dtype=float)
    for areas in Ranked(y, np.arange(4.0)).areas(weights):
        assert np.isnan(areas).tolist() == [False, True, True, True]


def test_metrics_of_a_resample_are_those_of_its_records():
    random = np.random.default_rng(1)
    y = random.random(150) < 0.3
    score = np.round(np.clip(0.3 * y + random.random(150) * 0.7, 0, 1), 2)
    metrics = BinaryMetrics(y, score, 0.5)
    resamples = Resamples(150, groups=random.integers(80, size=150), stratify=y)
    found = metrics(weights_of(resamples, 5))
    for row, rows in zip(found, resamples.rows(5, np.random.RandomState(0)), strict=True):
        row = dict(zip(metrics.names, row, strict=True))
        assert row["AUROC"] == pytest.approx(roc_auc_score(y[rows], score[rows]), abs=1e-12)
        assert row["F1"] == pytest.approx(f1_score(y[rows], score[rows] >= 0.5), abs=1e-12)
        assert row["Brier score"] == pytest.approx(brier_score_loss(y[rows], score[rows]))
        assert row["prevalence"] == pytest.approx(y[rows].mean())
        assert row["flagged"] == pytest.approx((score[rows] >= 0.5).mean())


@pytest.mark.parametrize("n_defined", [49, 50])
def test_a_metric_has_to_be_defined_on_half_of_the_resamples(n_defined):
    calls = iter(range(1000))

    def metric(y):
        # The first call is that of the data themselves.
        return 0.5 if next(calls) <= n_defined else np.nan

    if n_defined < 50:
        with pytest.raises(ValueError, match="defined on 49 of 100 resamples only"):
            bootstrap(metric, np.arange(20.0), n_resamples=100, random_state=0)
    else:
        assert bootstrap(metric, np.arange(20.0), n_resamples=100, random_state=0).value == 0.5
