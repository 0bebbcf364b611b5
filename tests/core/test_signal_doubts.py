"""What is unlikely in a recording is warned of, and nothing else."""

import warnings

import numpy as np
import pytest

from ecgsk import (
    STANDARD_LEADS,
    ECGQualityWarning,
    MTECGClassifier,
    MTECGPretrainer,
    RecordArray,
    check_ecg,
    load_ptbxl,
    make_ecg,
)
from ecgsk._core.signal_doubts import doubt_of_length, find_doubts
from ecgsk.inspection import lead_importance, saliency
from ecgsk.preprocessing import BandPass, CropPad, MedianBaseline, SelectLeads, Standardize

N_RECORDS = 12
LIMB = STANDARD_LEADS[:6]


@pytest.fixture(scope="module")
def ecgs():
    return make_ecg(N_RECORDS, sampling_rate=100, random_state=1)


@pytest.fixture(scope="module")
def shipped():
    return MTECGClassifier.from_pretrained("ptbxl")


def caught(function):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        function()
    return [str(w.message) for w in found if issubclass(w.category, ECGQualityWarning)]


Y = np.arange(N_RECORDS) % 2
FRESH = {"sampling_rate": 100, "max_epochs": 1, "random_state": 0}
WAYS = {
    "check_ecg": lambda shipped: check_ecg,
    "lazy": lambda shipped: lambda X: np.asarray(check_ecg(RecordArray.wrap(X))),
    "filter": lambda shipped: BandPass(sampling_rate=100).transform,
    "filter in fit": lambda shipped: BandPass(sampling_rate=100).fit_transform,
    "other step": lambda shipped: CropPad(500).transform,
    "lazy filter": lambda shipped: (
        lambda X: np.asarray(BandPass(sampling_rate=100).transform(RecordArray.wrap(X)))
    ),
    "weights": lambda shipped: shipped.predict_proba,
    "lazy weights": lambda shipped: lambda X: shipped.predict_proba(RecordArray.wrap(X)),
    "embeddings": lambda shipped: shipped.transform,
    "fit": lambda shipped: lambda X: MTECGClassifier("nano", **FRESH).fit(X, Y),
    "lazy fit": lambda shipped: (
        lambda X: MTECGClassifier("nano", **FRESH).fit(RecordArray.wrap(X), Y)
    ),
    "pre-training": lambda shipped: MTECGPretrainer("nano", **FRESH).fit,
}


def other_order(rng):
    while True:
        order = rng.permutation(12)
        if (order[:6] != np.arange(6)).any():
            return lambda X: X[:, order]


def other_sign(rng):
    lead = rng.integers(6)
    return lambda X: X * np.where(np.arange(12) == lead, -1, 1).astype("float32")[:, None]


def copied_lead(rng):
    source, target = rng.permutation(12)[:2]
    return lambda X: np.where(np.arange(12)[:, None] == target, X[:, [source]], X)


def other_unit(rng):
    factor = np.float32(10.0 ** rng.choice([-6, -3, -2, -1, 1, 2, 3, 4]))
    return lambda X: X * factor


def fill_value(rng):
    value = rng.choice([-32.768, 32.767, -999.0, 1e4, -99.0])

    def fill(X):
        X = X.copy()
        start = rng.integers(900)
        X[5, rng.integers(12), start : start + 20] = value
        return X

    return fill


def one_record_in_another_unit(rng):
    factor, record = np.float32(10.0 ** rng.choice([-3, 3])), rng.integers(N_RECORDS)
    return lambda X: np.where(np.arange(N_RECORDS)[:, None, None] == record, X * factor, X)


def flat_lead(rng):
    record, lead = rng.integers(N_RECORDS), rng.integers(12)

    def flatten(X):
        X = X.copy()
        X[record, lead] = 0.2
        return X

    return flatten


KINDS = {
    other_order: "lead_order",
    other_sign: "lead_order",
    copied_lead: "copied_lead",
    other_unit: "amplitude",
    one_record_in_another_unit: "amplitude",
    fill_value: "fill_value",
    flat_lead: "flat_lead",
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("seed", range(25))
def test_no_kind_of_wrong_recordings_is_silent(ecgs, kind, seed):
    wrong = kind(np.random.default_rng(seed))(ecgs)
    doubts = find_doubts(wrong, STANDARD_LEADS)
    assert KINDS[kind] in {doubt.kind for doubt in doubts}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("way", WAYS)
def test_every_entrance_warns(ecgs, shipped, way, kind):
    wrong = kind(np.random.default_rng(3))(ecgs)
    found = caught(lambda: WAYS[way](shipped)(wrong))
    assert found
    assert len(found) == len(set(found))


@pytest.mark.parametrize("way", WAYS)
def test_no_entrance_warns_of_good_recordings(ecgs, shipped, way):
    assert caught(lambda: WAYS[way](shipped)(ecgs)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X[:, [0, 1, 2, 3, 5, 4, *range(6, 12)]], "aVL and aVF are exchanged"),
        (lambda X: X[:, [0, 1, *range(6, 12), 2, 3, 4, 5]], "I II V1 V2 .* V6 III aVR aVL aVF"),
        (lambda X: X[:, ::-1], "order V6 V5 V4 V3 V2 V1 aVF aVL aVR III II I"),
        (lambda X: X * np.where(np.arange(12) == 3, -1, 1)[:, None], "aVR has the opposite sign"),
        (lambda X: X[:, [2, 0, 1, *range(3, 12)]], "limb leads are in the order III I II"),
        (lambda X: X * 1000, "divide by 1000, as in microvolt"),
        (lambda X: X / 1000, "multiply by 1000, as in volt"),
        (lambda X: X * 10, "divide by 10"),
        (lambda X: X / 10, "multiply by 10"),
    ],
)
def test_the_likely_cause_is_named(ecgs, change, message):
    with pytest.warns(ECGQualityWarning, match=message):
        check_ecg(change(ecgs))


def test_records_are_named_by_their_number_in_the_users_array(ecgs):
    X = np.tile(ecgs, (30, 1, 1))
    X[[200, 350]] *= 1000
    with pytest.warns(ECGQualityWarning, match=r"2 of 360 records: record 200 \(also 350\)"):
        check_ecg(X)
    with pytest.warns(ECGQualityWarning, match="1 of 60 records: record 350"):
        check_ecg(RecordArray.wrap(X)).read(np.arange(300, 360))


def test_records_on_disk_are_examined_once(ecgs):
    records = check_ecg(RecordArray.wrap(ecgs * 1000))
    assert len(caught(lambda: records.read([0, 1]))) == 1
    assert caught(lambda: records.read([0, 1])) == []


def test_warnings_of_many_batches_are_limited(ecgs):
    records = check_ecg(RecordArray.wrap(ecgs * 1000))
    assert len(caught(lambda: [records.read([i]) for i in range(N_RECORDS)])) == 3


def test_standardized_recordings_are_no_doubt_for_a_new_network(ecgs, shipped):
    by_lead = (ecgs - ecgs.mean(2, keepdims=True)) / ecgs.std(2, keepdims=True)
    for X in (by_lead, Standardize().transform(ecgs)):
        assert caught(lambda X=X: MTECGClassifier("nano", **FRESH).fit(X, Y)) == []
        assert any("trained on mV" in m for m in caught(lambda X=X: shipped.predict_proba(X)))


def test_a_wrong_order_is_noticed_in_standardized_recordings(ecgs):
    X = Standardize("record").transform(ecgs)
    assert find_doubts(X, STANDARD_LEADS) == []
    doubts = find_doubts(X[:, [0, 1, 2, 3, 5, 4, *range(6, 12)]], STANDARD_LEADS)
    assert {doubt.kind for doubt in doubts} == {"lead_order"}


def test_leads_that_are_scaled_one_by_one_are_no_other_order(ecgs):
    low, high = ecgs.min(2, keepdims=True), ecgs.max(2, keepdims=True)
    largest = np.maximum(np.abs(low), np.abs(high))
    for X in ((ecgs - low) / (high - low), ecgs / largest):
        assert find_doubts(X, STANDARD_LEADS) == []


@pytest.mark.parametrize("turn", [lambda x: x, lambda x: x.T], ids=["leads first", "turned"])
@pytest.mark.parametrize("way", ["check_ecg", "filter", "weights", "fit", "pre-training"])
def test_a_single_recording_without_its_axis_is_refused(ecgs, shipped, way, turn):
    with pytest.raises(ValueError, match=r"np\.newaxis"):
        WAYS[way](shipped)(turn(ecgs[0]))
    with pytest.raises(ValueError, match="looks like a single recording"):
        check_ecg(turn(ecgs[0]), n_leads=None)
    assert check_ecg(ecgs[:, 1], n_leads=1).shape == (N_RECORDS, 1, 1000)


def test_explanations_do_not_warn_of_their_own_changes(ecgs, shipped):
    for X in (ecgs, RecordArray.wrap(ecgs)):
        assert not caught(lambda X=X: lead_importance(shipped, X, Y, label="NORM", n_repeats=2))
    assert not caught(
        lambda: saliency(shipped, ecgs[0], sampling_rate=100, label="NORM", step=5, window=5)
    )


def test_leads_that_are_named_are_checked_under_their_names(ecgs):
    names = ["II", "aVF", "I", "V1", "III"]
    X = ecgs[:, [STANDARD_LEADS.index(name) for name in names]]
    assert caught(lambda: check_ecg(X, n_leads=5, leads=names)) == []
    assert caught(lambda: check_ecg(X, n_leads=5)) == []  # unknown names
    assert caught(lambda: check_ecg(X, n_leads=5, leads=["aVF", "II", "I", "V1", "III"]))
    order = [*range(6, 12), *range(6)]
    step = SelectLeads(input_leads=[STANDARD_LEADS[i] for i in order])
    assert caught(lambda: step.transform(ecgs[:, order])) == []


def test_a_missing_lead_is_one_doubt(ecgs):
    X = ecgs.copy()
    X[:, 2] = 0
    assert {doubt.kind for doubt in find_doubts(X, STANDARD_LEADS)} == {"flat_lead"}
    X[:, 2] = np.nan
    assert len(caught(lambda: check_ecg(X, missing="zero"))) == 1


@pytest.mark.parametrize(
    ("n_samples", "rate", "other"),
    [(1000, 500, 100), (5000, 100, 500), (4096, 1000, 400), (2500, 500, 250), (5000, 1000, 500)],
)
def test_unlikely_lengths_name_both_readings(n_samples, rate, other):
    message = doubt_of_length(n_samples, rate)
    assert f"sampling_rate={rate}" in message
    assert f"at {other} Hz" in message


@pytest.mark.parametrize(
    ("n_samples", "rate"),
    [(1000, 100), (5000, 500), (4096, 400), (2500, 250), (600, 500), (3000, 100), (7000, 500)],
)
def test_likely_lengths_raise_no_doubt(n_samples, rate):
    assert doubt_of_length(n_samples, rate) == ""


def test_default_rates_are_doubted(ecgs):
    for use in (BandPass().transform, lambda X: MTECGClassifier("nano", max_epochs=1).fit(X, Y)):
        assert any("10 s at 100 Hz" in message for message in caught(lambda use=use: use(ecgs)))
    carried = RecordArray.wrap(ecgs, sampling_rate=500)
    assert caught(lambda: BandPass().transform(carried)) == []


TURNED = {
    "array": lambda X: X.transpose(0, 2, 1),
    "lazy": lambda X: RecordArray.wrap(X.transpose(0, 2, 1)),
    "list": lambda X: X.transpose(0, 2, 1).tolist(),
}


@pytest.mark.parametrize("container", TURNED)
@pytest.mark.parametrize("way", ["check_ecg", "filter", "other step", "weights", "fit"])
def test_exchanged_axes_are_refused(ecgs, shipped, way, container):
    with pytest.raises(ValueError, match="1000 leads.*look exchanged"):
        WAYS[way](shipped)(TURNED[container](ecgs))
    with pytest.raises(ValueError, match="look exchanged"):
        check_ecg(TURNED[container](ecgs), n_leads=None)


NOT_NUMBERS = {
    "masked": lambda X: np.ma.masked_greater(X, 0.5),
    "masked in a list": lambda X: list(np.ma.masked_greater(X, 0.5)),
    "dates": lambda X: (X * 1000).astype("int64").astype("datetime64[ns]"),
    "time spans": lambda X: (X * 1000).astype("int64").astype("timedelta64[ns]"),
    "texts": lambda X: X.astype(str),
    "bytes": lambda X: X.astype("S8"),
    "texts as objects": lambda X: X.astype(str).astype(object),
    "list of texts": lambda X: X.astype(str).tolist(),
    "truth values": lambda X: X > 0,
    "complex": lambda X: X + 1j,
    "complex as objects": lambda X: (X + 1j).astype(object),
}


@pytest.mark.parametrize("kind", NOT_NUMBERS)
@pytest.mark.parametrize("way", ["check_ecg", "filter", "weights", "fit", "pre-training"])
def test_values_that_are_not_numbers_are_refused(ecgs, shipped, way, kind):
    with pytest.raises((TypeError, ValueError), match="masked|expected numbers|expected mV"):
        WAYS[way](shipped)(NOT_NUMBERS[kind](ecgs))


def test_masked_arrays_without_a_masked_sample_are_arrays(ecgs):
    np.testing.assert_array_equal(check_ecg(np.ma.masked_array(ecgs)), ecgs)


@pytest.mark.real_data
def test_real_recordings_raise_no_doubt(ptbxl_path):
    X = load_ptbxl(ptbxl_path, sampling_rate=100).data
    assert find_doubts(X, STANDARD_LEADS) == []
    # A running median is not linear, so limb leads contradict each other a little.
    filtered = MedianBaseline(sampling_rate=100).transform(X[:1000])
    assert find_doubts(filtered, STANDARD_LEADS) == []
