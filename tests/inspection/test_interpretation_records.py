"""What a classifier of recordings looks at: leads and spans of time."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from ecgsk import RecordArray
from ecgsk.inspection import SaliencyDisplay, lead_importance, saliency

V2, RATE = 7, 100


class Planted(ClassifierMixin, BaseEstimator):
    """Reads the mean of a span of one lead, and nothing else."""

    def __init__(self, lead=V2, span=(200, 240)):
        self.lead = lead
        self.span = span
        self.classes_ = np.array([0, 1])

    def fit(self, X, y):
        return self

    def score_of(self, X):
        return 2 * np.asarray(X)[:, self.lead, slice(*self.span)].mean(axis=1).astype(float)

    def predict_proba(self, X):
        p = expit(self.score_of(X))
        return np.column_stack([1 - p, p])


class Labels(Planted):
    """Two independent labels that do not sum to 1: V2's, and one of lead I."""

    multilabel_ = True
    label_names_ = ["ASMI", "AVB"]

    def predict_proba(self, X):
        other = expit(3 * np.asarray(X)[:, 0].mean(axis=1))
        return np.column_stack([expit(self.score_of(X)), other])


class NeedsAge(Planted):
    """Speaks of V2 for the young only, and keeps what it was given."""

    def predict_proba(self, X):
        assert len(X.table) == len(X)
        p = expit(np.where(X.table["age"] < 50, 1, 0) * self.score_of(X))
        return np.column_stack([1 - p, p])


@pytest.fixture(scope="module")
def X():
    random = np.random.default_rng(0)
    level = random.normal(size=(120, 12, 1))
    return (level + random.normal(scale=0.1, size=(120, 12, 400))).astype(np.float32)


@pytest.fixture(scope="module")
def y(X):
    noise = np.random.default_rng(1).normal(scale=0.3, size=len(X))
    return (Planted().score_of(X) + noise > 0).astype(int)


@pytest.mark.parametrize("method", ["permute", "silence"])
def test_the_planted_lead_is_found(X, y, method):
    before = X.copy()
    result = lead_importance(Planted(), X, y, method=method, random_state=0)
    found = result.table
    assert found.index[found["importance"] > 0.2].tolist() == ["V2"]
    others = found.drop("V2")
    assert_array_equal(others[["importance", "low", "high"]], 0)
    assert result.baseline == roc_auc_score(y, Planted().score_of(X))
    row = found.loc["V2"]
    assert 0 < row["low"] < row["importance"] < row["high"]
    assert_array_equal(X, before)


def test_importance_is_the_drop_of_the_metric(X, y):
    silent = X.copy()
    silent[:, V2] = 0
    model = Planted()
    for metric in (roc_auc_score, average_precision_score, lambda t, p: roc_auc_score(t, p)):
        result = lead_importance(model, X, y, method="silence", metric=metric, n_resamples=0)
        found = result.table.loc["V2"]
        drop = metric(y, model.score_of(X)) - metric(y, model.score_of(silent))
        assert found["importance"] == pytest.approx(drop)
        assert found[["sd", "low", "high"]].isna().all()


def test_the_quick_interval_is_that_of_the_metric(X, y):
    slow, quick = (
        lead_importance(
            Planted(), X, y, metric=metric, n_repeats=2, n_resamples=30, random_state=0,
            groups=np.arange(len(y)) // 3, together={"V2": ["V2"], "V3": ["V3"]},
        ).table
        for metric in (lambda truth, scores: roc_auc_score(truth, scores), roc_auc_score)
    )  # fmt: skip
    assert_allclose(slow, quick, atol=1e-12)
    assert quick.loc["V2", "high"] > quick.loc["V2", "low"] > 0


def test_permutations(X, y):
    arguments = {"n_resamples": 0, "random_state": 3}
    result = lead_importance(Planted(), X, y, n_repeats=4, **arguments)
    found = result.table
    again = lead_importance(Planted(), X, y, n_repeats=4, **arguments)
    pd.testing.assert_frame_equal(found, again.table)
    assert found.loc["V2", "sd"] > 0
    # Permuted, the score does not rank.
    assert result.baseline - found.loc["V2", "importance"] == pytest.approx(0.5, abs=0.1)
    assert lead_importance(Planted(), X, y, n_repeats=1, **arguments).table["sd"].isna().all()


def test_leads_that_say_the_same_are_missed_together():
    random = np.random.default_rng(0)
    X = np.repeat(random.normal(size=(80, 1, 1)), 12, axis=1) * np.ones(50)

    class Both(Planted):
        def predict_proba(self, X):
            p = expit(np.maximum(X[:, 1, 0], X[:, 5, 0]) * (X[:, 1, 0] > -9))
            return np.column_stack([1 - p, p])

    y = X[:, 0, 0] > 0.5
    together = {"II and aVF": ["II", "avf"], "II": ["II"], "aVF": ["aVF"]}
    found = lead_importance(Both(), X, y, method="silence", together=together, n_resamples=0).table
    assert list(found.index) == list(together)
    assert found["importance"].tolist() == [0.5, 0.0, 0.0]


def test_records_on_disk_are_exchanged_as_they_are_read(X, y):
    in_memory = lead_importance(Planted(), X, y, random_state=0, n_resamples=0).table
    most, total = 0, 0

    def read(rows):
        nonlocal most, total
        most, total = max(most, len(rows)), total + len(rows)
        return X[rows]

    class InBatches(Planted):
        def predict_proba(self, X):
            assert isinstance(X, RecordArray)
            parts = [X.read(np.arange(i, min(i + 10, len(X)))) for i in range(0, len(X), 10)]
            return np.concatenate([super(InBatches, self).predict_proba(p) for p in parts])

    lazy = lead_importance(
        InBatches(), RecordArray(read, X.shape), y, random_state=0, n_resamples=0
    ).table
    pd.testing.assert_frame_equal(lazy, in_memory)
    assert most == 10
    # Once as they are, then for 12 leads and 5 repeats with a donor for each.
    assert total == len(X) * (1 + 12 * 5 * 2)


def test_the_table_stays_with_its_records(X, y):
    table = pd.DataFrame({"age": np.where(np.arange(len(X)) % 2, 40, 70)})
    records = RecordArray.wrap(X, table=table)
    kept = (table["age"] < 50).to_numpy()
    found = lead_importance(NeedsAge(), records, y, random_state=0, n_resamples=0).table
    assert found["importance"].idxmax() == "V2"
    alone = lead_importance(NeedsAge(), records[kept], y[kept], random_state=0, n_resamples=0).table
    assert alone.loc["V2", "importance"] > found.loc["V2", "importance"]
    # Other recordings of the same array have their own row.
    for number, strong in ((0, False), (1, True)):
        values = saliency(NeedsAge(), records[number : number + 1], sampling_rate=RATE).values
        assert (np.abs(values).max() > 0.01) == strong


def test_labels(X, y):
    arguments = {"n_resamples": 0, "random_state": 0, "method": "silence"}
    asmi = lead_importance(Labels(), X, y, label="ASMI", **arguments).table
    assert asmi["importance"].idxmax() == "V2"
    pd.testing.assert_frame_equal(asmi, lead_importance(Labels(), X, y, label=0, **arguments).table)
    other = X[:, 0].mean(axis=1) > 0
    wrapped = FrozenEstimator(make_pipeline(FunctionTransformer(), Labels()))
    found = lead_importance(wrapped, X, other, label="AVB", **arguments).table
    assert found["importance"].idxmax() == "I"
    at = saliency(Labels(), X[0], sampling_rate=RATE, label="AVB").log_odds
    assert at == pytest.approx(logit(Labels().predict_proba(X[:1])[0, 1]), abs=1e-5)
    with pytest.raises(ValueError, match="label=None, but the estimator has 2 .* ASMI"):
        lead_importance(Labels(), X, y)
    with pytest.raises(ValueError, match="label='LVH' is not known; use one of ASMI, AVB"):
        lead_importance(Labels(), X, y, label="LVH")
    with pytest.raises(ValueError, match="label=2 is not known"):
        lead_importance(Labels(), X, y, label=2)


def test_labels_that_come_as_a_list(X, y):
    class Lists(Planted):
        classes_ = None

        def predict_proba(self, X):
            return [super().predict_proba(X)] * 2

    model = Lists()
    model.classes_ = [np.array([0, 1])] * 2
    found = lead_importance(model, X, y, label=1, method="silence", n_resamples=0).table
    assert found["importance"].idxmax() == "V2"
    with pytest.raises(ValueError, match="has 2 classes or labels"):
        lead_importance(model, X, y)


def test_patients_are_resampled_whole(X, y):
    # A patient's records repeat: as records they pretend to a precision that is not there.
    X, y, patients = X.repeat(6, axis=0)[:240], y.repeat(6)[:240], np.arange(240) // 6
    widths = []
    for groups in (None, patients):
        result = lead_importance(Planted(), X, y, method="silence", groups=groups, random_state=0)
        row = result.table.loc["V2"]
        widths.append(row["high"] - row["low"])
    assert widths[1] > 1.5 * widths[0]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"method": "zero"}, ValueError, "method='zero' is not allowed; use 'permute'"),
        ({"n_repeats": 0}, ValueError, "n_repeats=0 must be at least 1"),
        ({"X": np.zeros((5, 100))}, ValueError, r"X has shape \(5, 100\); expected \(n_records"),
        ({"y": np.zeros((120, 2))}, ValueError, r"y has shape \(120, 2\); expected \(n_records,\)"),
        ({"y": [0, 1]}, ValueError, "inconsistent numbers of samples"),
        ({"leads": ["I", "II"]}, ValueError, "X has 12 leads, but leads names 2"),
        ({"leads": ["I"] * 12}, ValueError, "leads has I twice"),
        ({"together": {"a": ["V9"]}}, ValueError, "leads V9 are missing"),
        ({"estimator": 3}, TypeError, "estimator is a int without predict_proba"),
    ],
)
def test_messages_of_leads(X, y, change, error, message):
    arguments = {"estimator": Planted(), "X": X, "y": y, **change}
    with pytest.raises(error, match=message):
        lead_importance(**arguments)


@pytest.fixture
def record():
    record = np.zeros((12, 1000), dtype=np.float32)
    record[V2, 300:320] = 1.0
    return record


def test_the_planted_span_is_found(record):
    model = Planted(span=(300, 320))
    found = saliency(model, record, sampling_rate=RATE)
    assert found.values.shape == found.times.shape == (1000,)
    assert found.log_odds == pytest.approx(2, abs=1e-5)
    # A window of 0.2 s that hides all of it takes away all that speaks for the class.
    peak = found.values.argmax()
    assert 300 <= peak < 320 and found.times[peak] == peak / RATE
    far = (np.arange(1000) < 280) | (np.arange(1000) >= 340)
    assert_allclose(found.values[far], 0, atol=1e-6)
    assert found.values[300:320].min() > 0.5
    against = saliency(model, -record, sampling_rate=RATE)
    assert_allclose(against.values, -found.values, atol=1e-5)


def test_each_lead_by_itself(record):
    model = Planted(span=(300, 320))
    found = saliency(model, record, sampling_rate=RATE, per_lead=True)
    assert found.values.shape == (12, 1000)
    assert_allclose(found.values[V2], saliency(model, record, sampling_rate=RATE).values, atol=1e-6)
    assert_allclose(np.delete(found.values, V2, axis=0), 0, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
@pytest.mark.parametrize(("window", "step"), [(0.2, 0.1), (0.33, 0.07), (0.2, 0.2), (9.5, None)])
def test_every_sample_is_hidden_and_counted(window, step, batch_size):
    """Against the definition, window by window, on a record with a slope and noise."""
    record = np.random.default_rng(0).normal(size=(3, 1000)) + np.linspace(0, 5, 1000)
    model = Planted(lead=1, span=(0, 1000))
    leads = ["I", "II", "III"]
    found = saliency(
        model, record, sampling_rate=RATE, window=window, step=step, leads=leads,
        batch_size=batch_size,
    )  # fmt: skip
    width = round(window * RATE)
    stride = round((step or window / 2) * RATE)
    starts = [*range(0, 1000 - width, stride), 1000 - width]
    total, n = np.zeros(1000), np.zeros(1000)
    for start in starts:
        hidden = record.astype(np.float32)
        before = hidden[:, start - 1] if start else hidden[:, start + width]
        after = hidden[:, start + width] if start + width < 1000 else before
        way = np.arange(1, width + 1) / (width + 1)
        line = before[:, np.newaxis] + way * (after - before)[:, np.newaxis]
        hidden[:, start : start + width] = line
        change = model.score_of(record[np.newaxis]) - model.score_of(hidden[np.newaxis])
        total[start : start + width] += change
        n[start : start + width] += 1
    assert n.min() >= 1
    assert_allclose(found.values, total / n, atol=1e-4)


def test_a_straight_baseline_is_no_evidence():
    # Zeros would make steps here; a line hides nothing where there is nothing.
    record = np.tile(np.linspace(1, 3, 1000, dtype=np.float32), (12, 1))
    found = saliency(Planted(span=(0, 1000)), record, sampling_rate=RATE)
    # At the ends the line is level, for want of a neighbor.
    assert_allclose(found.values[20:-20], 0, atol=1e-5)


def test_probabilities_of_0_and_1_stay_finite(record):
    class Sure(Planted):
        def predict_proba(self, X):
            p = (self.score_of(X) > 0.5).astype(float)
            return np.column_stack([1 - p, p])

    found = saliency(Sure(span=(300, 320)), record, sampling_rate=RATE)
    assert np.isfinite(found.values).all() and found.values.max() > 10


def test_one_recording_of_any_kind(record):
    model = Planted(span=(300, 320))
    expected = saliency(model, record, sampling_rate=RATE)
    for one in (record[np.newaxis], record.tolist(), RecordArray.wrap(record[np.newaxis])):
        assert_array_equal(saliency(model, one, sampling_rate=RATE).values, expected.values)


def test_a_display_of_an_estimator_is_that_of_its_saliency(record):
    display = SaliencyDisplay.from_estimator(
        Planted(), record[np.newaxis], sampling_rate=RATE, window=0.5, layout="12x1"
    )
    found = saliency(Planted(), record, sampling_rate=RATE, window=0.5)
    assert_array_equal(display.saliency.values, found.values)
    assert len(display.ax_.get_images()) == 13  # one for each lead, and the scale
    plt.close(display.figure_)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampling_rate": 0}, "sampling_rate=0 must be a positive"),
        ({"window": 10}, "window=10 s is not shorter than the recording, 10 s"),
        ({"window": -1}, "window=-1 must be a positive"),
        ({"step": 0.5}, "step=0.5 s is longer than window=0.2 s"),
        ({"batch_size": 0}, "batch_size=0 must be at least 1"),
        ({"record": np.zeros((2, 12, 1000))}, r"record has shape \(2, 12, 1000\)"),
        ({"record": np.zeros(1000)}, r"record has shape \(1000,\)"),
        ({"record": np.zeros((8, 1000))}, "record has 8 leads, but leads names 12"),
    ],
)
def test_messages_of_saliency(record, change, message):
    arguments = {"record": record, "sampling_rate": RATE, **change}
    with pytest.raises(ValueError, match=message):
        saliency(Planted(), arguments.pop("record"), **arguments)
