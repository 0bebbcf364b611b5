import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import signal
from sklearn.pipeline import make_pipeline

from ecgsk import STANDARD_LEADS
from ecgsk.preprocessing import (
    BandPass,
    CropPad,
    MedianBaseline,
    Notch,
    Resample,
    SelectLeads,
    Standardize,
)

T = np.arange(5000) / 500
INNER = slice(1000, 4000)


def sine(frequency, t=T, phase=0.3):
    return np.sin(2 * np.pi * frequency * t + phase)[np.newaxis]


def amplitude(x):
    """Return the amplitude of a sine from its root mean square."""
    return np.sqrt(2 * np.mean(np.square(x, dtype=np.float64)))


@pytest.mark.parametrize(
    ("low", "high", "passes", "stops"),
    [
        (0.5, 40, (5, 10, 20), (0.1, 100, 200)),
        (None, 40, (0.1, 10), (100, 200)),
        (0.5, None, (10, 200), (0.05, 0.1)),
    ],
)
def test_band_pass_gain(low, high, passes, stops):
    band_pass = BandPass(low, high)
    # A minute: what a slow wave leaves at the ends of a high-pass dies away in seconds.
    t, inner = np.arange(30000) / 500, slice(10000, 20000)
    for frequency in passes:
        filtered = band_pass.transform(sine(frequency, t))
        assert_allclose(filtered[0, inner], sine(frequency, t)[0, inner], atol=0.01)
    for frequency in stops:
        assert amplitude(band_pass.transform(sine(frequency, t))[0, inner]) < 0.1


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("frequency", [1.0, 30.0])
def test_band_pass_loses_six_decibel_at_its_corners(order, frequency):
    filtered = BandPass(1.0, 30.0, order=order).transform(sine(frequency, np.arange(20000) / 500))
    assert amplitude(filtered[0, 5000:15000]) == pytest.approx(0.5, abs=0.01)


def test_band_pass_keeps_the_place_of_a_wave():
    wave = np.exp(-0.5 * ((T - 5.0) / 0.02) ** 2)[np.newaxis]
    filtered = BandPass(0.5, 40).transform(wave)[0]
    assert filtered.argmax() == 2500
    assert_allclose(filtered[2400:2500], filtered[2600:2500:-1], atol=1e-4)


def test_band_pass_takes_out_an_offset_up_to_the_ends():
    assert_allclose(
        BandPass(0.5, 40).transform(sine(10) + 300),
        BandPass(0.5, 40).transform(sine(10)),
        atol=1e-4,
    )


@pytest.mark.parametrize("mains", [50, 60])
def test_notch(mains):
    notch = Notch(mains)
    assert amplitude(notch.transform(sine(mains))[0, INNER]) < 0.001
    for frequency in (10, mains - 5, mains + 5):
        kept = amplitude(notch.transform(sine(frequency))[0, INNER])
        # Forwards and backwards: the design's gain twice.
        b, a = signal.iirnotch(mains, 30, fs=500)
        gain = abs(signal.freqz(b, a, [frequency], fs=500)[1][0]) ** 2
        assert kept == pytest.approx(gain, abs=1e-3) and kept > 0.95


@pytest.mark.parametrize(
    ("window", "rate", "width"), [(0.4, 500, 201), (0.29, 100, 31), (0.2, 250, 51), (0.001, 500, 1)]
)
def test_median_baseline_is_medfilt(window, rate, width):
    x = np.random.default_rng(0).normal(size=(3, 2, 700)).astype(np.float32)
    expected = [[lead - signal.medfilt(lead, width) for lead in record] for record in x]
    assert_array_equal(MedianBaseline(window, sampling_rate=rate).transform(x), expected)


def test_median_baseline_of_a_record_shorter_than_the_window():
    x = np.array([[1.0, 2.0, 3.0]])
    # Of 201 values 198 are the zeros beyond the ends.
    assert_array_equal(MedianBaseline(0.4).transform(x), x)


@pytest.mark.parametrize(
    ("old", "new"), [(500, 100), (100, 500), (360, 500), (500, 250.5), (1000, 500), (257, 128)]
)
def test_resample_keeps_a_sine(old, new):
    x = 2.0 + sine(5, np.arange(10 * old) / old)
    y = Resample(old, new).transform(x)[0]
    assert len(y) == int(np.ceil(10 * old * new / old - 1e-9))
    expected = 2.0 + sine(5, np.arange(len(y)) / new)[0]
    margin = len(y) // 20
    assert_allclose(y[margin:-margin], expected[margin:-margin], atol=3e-3)


def test_resample_does_not_alias():
    # Without a filter 70 Hz would show at 30 Hz with amplitude 1.
    assert amplitude(Resample(500, 100).transform(sine(70))[0, 50:-50]) < 0.005


@pytest.mark.parametrize(("old", "new"), [(500, 100), (100, 500), (360, 500)])
@pytest.mark.parametrize("drift", [0.0, 0.2])
def test_resample_keeps_offset_and_drift_up_to_the_ends(old, new, drift):
    y = Resample(old, new).transform([300 + drift * np.arange(10 * old) / old])
    assert_allclose(y, [300 + drift * np.arange(10 * new) / new], rtol=1e-6)


def test_resample_to_the_same_rate_is_the_identity():
    x = np.random.default_rng(0).normal(size=(2, 3, 50)).astype(np.float32)
    assert_allclose(Resample(250, 250.0).transform(x), x, atol=1e-6)


def test_resample_one_sample():
    assert_allclose(Resample(100, 500).transform([[2.0]]), np.full((1, 5), 2.0))
    assert_allclose(Resample(500, 100).transform([[2.0]]), [[2.0]])


@pytest.mark.parametrize(("scope", "axis"), [("record", (1, 2)), ("lead", 2)])
def test_standardize(scope, axis):
    x = np.random.default_rng(0).normal(3, [[[0.1], [5.0]]], size=(4, 2, 1000)).astype(np.float32)
    z = Standardize(scope).transform(x).astype(np.float64)
    assert_allclose(z.mean(axis), 0, atol=1e-6)
    assert_allclose(z.std(axis), 1, atol=1e-5)
    # A straight line in x: nothing but an offset and a scale was changed.
    assert np.corrcoef(z[0, 0], x[0, 0])[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("scope", ["record", "lead"])
@pytest.mark.parametrize("eps", [0, 1e-8])
def test_standardise_turns_a_constant_into_zeros(scope, eps):
    x = np.full((3, 2, 4999), 1e6 / 3)
    x[1:, 0] = x[1:, 1] = [[0.1], [0.0]]
    assert_array_equal(Standardize(scope, eps=eps).transform(x), np.zeros_like(x))


def test_standardise_adds_eps_to_the_deviation():
    assert_allclose(Standardize(eps=1.0).transform([[-1.0, 1.0]]), [[-0.5, 0.5]])


def twelve_leads():
    """Return one record that obeys Einthoven and Goldberger, and its electrodes' potentials."""
    right, left, foot, *chest = np.random.default_rng(0).normal(size=(9, 40))
    terminal = (right + left + foot) / 3
    limb = [left - right, foot - right, foot - left]
    augmented = [right - (left + foot) / 2, left - (right + foot) / 2, foot - (right + left) / 2]
    return np.array([*limb, *augmented, *(c - terminal for c in chest)])[np.newaxis]


def test_select_leads_derives_limb_leads_from_i_and_ii():
    x = twelve_leads()
    eight = SelectLeads(["V6", "II", "I", "V1", "V2", "V3", "V4", "V5"])
    names = [name.upper() for name in eight.leads]
    restored = SelectLeads(input_leads=names).transform(eight.transform(x))
    assert_allclose(restored, x, atol=1e-6)


def test_select_leads_prefers_a_recorded_lead():
    x = np.arange(3.0).reshape(1, 3, 1)
    assert SelectLeads(["III"], input_leads=["I", "II", "III"]).transform(x).item() == 2.0


@pytest.mark.parametrize("input_leads", [None, STANDARD_LEADS])
def test_select_leads_reorders(input_leads):
    x = twelve_leads().astype(np.float32)
    chosen = SelectLeads(["avf", "lead I", "MDC_ECG_LEAD_V2"], input_leads=input_leads)
    assert_array_equal(chosen.transform(x), x[:, [5, 0, 7]])
    assert_array_equal(SelectLeads(input_leads=STANDARD_LEADS[::-1]).transform(x[:, ::-1]), x)
    assert_array_equal(SelectLeads().transform(x[:, :7]), x[:, :7])


@pytest.mark.parametrize(("n_samples", "position", "expected"), [
    (2, "start", [1, 2]), (2, "center", [2, 3]), (2, "end", [4, 5]),
    (3, "center", [2, 3, 4]), (4, "center", [1, 2, 3, 4]), (5, "end", [1, 2, 3, 4, 5]),
    (7, "start", [1, 2, 3, 4, 5, 9, 9]), (7, "center", [9, 1, 2, 3, 4, 5, 9]),
    (8, "center", [9, 1, 2, 3, 4, 5, 9, 9]), (7, "end", [9, 9, 1, 2, 3, 4, 5]),
])  # fmt: skip
def test_crop_pad(n_samples, position, expected):
    crop_pad = CropPad(n_samples, position=position, pad_value=9)
    assert_array_equal(crop_pad.transform([[1, 2, 3, 4, 5]]), [expected])


@pytest.fixture
def noise():
    return np.random.default_rng(1).normal(size=(2, 3, 600)).astype(np.float32)


@pytest.mark.parametrize("filter_", [BandPass(5, 40), Notch(50), Resample(500, 100)], ids=repr)
def test_filters_are_linear(filter_, noise):
    x, y = noise
    together = filter_.transform((2 * x - 3 * y)[np.newaxis])[0]
    apart = 2 * filter_.transform(noise)[0] - 3 * filter_.transform(noise)[1]
    assert_allclose(together, apart, atol=1e-5)


@pytest.mark.parametrize("filter_", [BandPass(5, 40), Notch(50), MedianBaseline(0.1)], ids=repr)
def test_filters_do_not_know_the_direction_of_time(filter_):
    x = np.random.default_rng(1).normal(size=(1, 6000))
    there, back = filter_.transform(x), filter_.transform(x[:, ::-1])[:, ::-1]
    # In the middle: what the passes make of the ends is not the same in both directions.
    assert_allclose(back[:, 2000:4000], there[:, 2000:4000], atol=1e-5)


@pytest.mark.parametrize("scope", ["record", "lead"])
def test_standardise_does_not_know_unit_nor_offset(scope, noise):
    expected = Standardize(scope).transform(noise)
    assert_allclose(Standardize(scope).transform(1000 * noise + 50), expected, atol=1e-4)
    assert_allclose(Standardize(scope).transform(expected), expected, atol=1e-6)


def test_standardise_scopes_differ_by_the_amplitude_of_a_lead(noise):
    noise[:, 0] *= 10
    by_record, by_lead = (Standardize(s).transform(noise).std(axis=2) for s in ("record", "lead"))
    assert_allclose(by_lead, 1, atol=1e-5)
    assert (by_record[:, 0] > 8 * by_record[:, 1]).all()


@pytest.mark.parametrize("position", ["start", "center", "end"])
def test_padding_and_cropping_back_is_the_identity(position, noise):
    padded = CropPad(777, position=position, pad_value=-9).transform(noise)
    assert (padded == -9).sum() == 2 * 3 * 177
    assert_array_equal(CropPad(600, position=position).transform(padded), noise)


@pytest.mark.parametrize(
    "transformer",
    [BandPass(), Notch(), MedianBaseline(0.02), Resample(500, 100), Standardize()],
    ids=repr,
)
def test_memory_beyond_the_result_is_bounded(transformer):
    x = np.zeros((250, 12, 5000), dtype=np.float32)
    tracemalloc.start()
    try:
        result = transformer.transform(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # In float64 the recordings alone would take 120 MB, and each step of a filter as much again.
    assert peak < 2 * result.nbytes + 60e6


X12 = np.zeros((2, 12, 100))


@pytest.mark.parametrize(("transformer", "X", "message"), [
    (BandPass(0.5, 250), X12, "high=250 Hz must be below 250 Hz, half of sampling_rate=500 Hz"),
    (BandPass(300, None), X12, "low=300 Hz must be below 250 Hz"),
    (BandPass(0.5, 60, sampling_rate=100), X12, "high=60 Hz must be below 50 Hz"),
    (BandPass(40, 0.5), X12, "low=40 Hz must be below high=0.5 Hz"),
    (BandPass(40, 40), X12, "low=40 Hz must be below high=40 Hz"),
    (BandPass(None, None), X12, "leave nothing to filter"),
    (BandPass(-1), X12, "'low' parameter of BandPass must be"),
    (Notch(50, sampling_rate=100), X12, "frequency=50 Hz must be below 50 Hz"),
    (MedianBaseline(0), X12, "'window' parameter of MedianBaseline"),
    (MedianBaseline((0.2, -1)), X12, "window=.0.2, -1. has to be a positive number"),
    (MedianBaseline(()), X12, "window=.. has to be"),
    (Resample(0, 100), X12, "'sampling_rate' parameter of Resample"),
    (Standardize("leads"), X12, "'scope' parameter of Standardize"),
    (CropPad(0), X12, "'n_samples' parameter of CropPad"),
    (SelectLeads(["V7", "I", "V9"]), X12, "leads V7, V9 are missing"),
    (SelectLeads(["I", "lead I"]), X12, "each only once"),
    (SelectLeads([]), X12, "at least one lead"),
    (SelectLeads("II"), X12, "'leads' parameter of SelectLeads"),
    (SelectLeads(["I"]), X12[:, :8], "X has 8 leads, but input_leads is None"),
    (SelectLeads(input_leads=["I", "II"]), X12, "X has 12 leads, but input_leads is"),
    (SelectLeads(["III"], input_leads=["I", "V1"]), X12[:, :2], "leads III are missing"),
    (SelectLeads(["III"], input_leads=["I", "II", "I"]), X12[:, :3], "stand more than once"),
])  # fmt: skip
@pytest.mark.parametrize("method", ["fit", "transform"])
def test_messages(transformer, X, message, method):
    with pytest.raises(ValueError, match=message):
        getattr(transformer, method)(X)


@pytest.mark.real_data
def test_filter_chain_of_a_published_model(ptbxl_path):
    wfdb = pytest.importorskip("wfdb")
    header = sorted(ptbxl_path.glob("records500/*/*_hr.hea"))[0]
    x = wfdb.rdrecord(str(header.with_suffix(""))).p_signal.T[np.newaxis]
    chain = make_pipeline(Notch(50), BandPass(0.67, 40), MedianBaseline(), Standardize())

    # The same in the fraction form and float64 throughout.
    b, a = signal.iirnotch(50, 30, 500)
    y = signal.filtfilt(b, a, x)
    b, a = signal.butter(4, [0.67, 40], "bandpass", fs=500)
    y = signal.filtfilt(b, a, y)[0]
    y -= np.array([signal.medfilt(lead, 201) for lead in y])
    assert_allclose(chain.transform(x)[0], (y - y.mean()) / (y.std() + 1e-8), atol=1e-4)


@pytest.fixture
def read(ptbxl_path):
    wfdb = pytest.importorskip("wfdb")
    ecg_ids = [
        header.stem.removesuffix("_hr") for header in sorted(ptbxl_path.glob("records500/*/*.hea"))
    ][:3]

    def read_at(rate):
        folder, suffix = (f"records{rate}", "hr" if rate == 500 else "lr")
        paths = [next(ptbxl_path.glob(f"{folder}/*/{i}_{suffix}.hea")) for i in ecg_ids]
        records = [wfdb.rdrecord(str(path.with_suffix(""))) for path in paths]
        return np.stack([record.p_signal.T for record in records])

    return read_at


@pytest.mark.real_data
def test_resampled_recordings_are_those_published_at_the_other_rate(read):
    resampled = Resample(500, 100).transform(read(500))
    published = read(100)
    assert resampled.shape == published.shape
    for ours, theirs in zip(resampled.reshape(-1, 1000), published.reshape(-1, 1000), strict=True):
        assert np.corrcoef(ours[10:-10], theirs[10:-10])[0, 1] > 0.98


@pytest.mark.real_data
def test_derived_limb_leads_are_those_recorded(read):
    x = read(500)
    six = SelectLeads(STANDARD_LEADS[:6], input_leads=["I", "II"]).transform(x[:, :2])
    # Files hold multiples of 0.001 mV or 0.005 mV.
    assert np.percentile(abs(six - x[:, :6]), 99) < 0.011


def test_medians_one_after_the_other():
    x = np.random.default_rng(0).normal(size=(2, 3, 700)).astype(np.float32)
    first = np.stack([[signal.medfilt(lead, 51) for lead in record] for record in x])
    second = np.stack([[signal.medfilt(lead, 151) for lead in record] for record in first])
    found = MedianBaseline((0.2, 0.6), sampling_rate=250).transform(x)
    assert_array_equal(found, x - second)
