"""The running median and the filters, which are computed in blocks, against those of scipy."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import ndimage, signal

from ecgsk.preprocessing import BandPass, MedianBaseline, Notch, Standardize
from ecgsk.preprocessing import _recursive as recursive
from ecgsk.preprocessing import _running_median as median
from ecgsk.preprocessing._recursive import filter_both_ways
from ecgsk.preprocessing._running_median import running_median


def scipys_median(x, width):
    return np.stack([ndimage.median_filter(lead, width, mode="constant", cval=0.0) for lead in x])


def walk(shape, seed=0, offset=0.0):
    """Return noise with a drift, as a lead has it."""
    rng = np.random.default_rng(seed)
    return offset + rng.normal(size=shape) + 0.1 * rng.normal(size=shape).cumsum(axis=-1)


@pytest.mark.parametrize("seed", range(5))
def test_running_median_of_random_shapes_and_widths(seed):
    rng = np.random.default_rng(seed)
    for _ in range(40):
        x = walk((rng.integers(1, 5), rng.integers(1, 700)), seed).astype(np.float32)
        width = 2 * int(rng.integers(0, 300)) + 1
        assert_array_equal(running_median(x, width), scipys_median(x, width), err_msg=f"{width}")


@pytest.mark.parametrize("n", [1, 2, 3, 31, 32, 33, 100])
def test_running_median_of_every_width(n):
    x = walk((2, n)).astype(np.float32)
    for width in range(1, 2 * n + 6, 2):
        assert_array_equal(running_median(x, width), scipys_median(x, width), err_msg=f"{width}")


@pytest.mark.parametrize("width", [511, 513, 1001, 3001])
def test_running_median_of_wide_windows(width):
    x = walk((2, 4000)).astype(np.float32)
    assert_array_equal(running_median(x, width), scipys_median(x, width))


@pytest.mark.parametrize("width", [3, 21, 201])
def test_running_median_of_ties_and_extremes(width):
    rng = np.random.default_rng(0)
    x = np.stack(
        [
            np.full(500, -0.3),
            np.zeros(500),
            rng.integers(-1, 2, 500),
            rng.choice([0.0, -0.0], 500),
            rng.choice([-1e38, 1e38, 1e-45, -1e-45], 500),
            rng.choice([-np.inf, np.inf, 1.0], 500),
            np.arange(500),
            -np.arange(500),
        ]
    ).astype(np.float32)
    assert_array_equal(running_median(x, width), scipys_median(x, width))


@pytest.mark.parametrize("chunk", [1, 100, 1500])
def test_running_median_does_not_depend_on_the_chunk(monkeypatch, chunk):
    x = walk((5, 1000)).astype(np.float32)
    expected = scipys_median(x, 51)
    monkeypatch.setattr(median, "_CHUNK", chunk)
    assert_array_equal(running_median(x, 51), expected)


def test_running_median_beside_missing_samples():
    x = walk((2, 300)).astype(np.float32)
    expected = scipys_median(x, 21)
    x[0, 100:103] = np.nan, -np.nan, np.nan
    y = running_median(x, 21)
    assert_array_equal(y[1], expected[1])
    # Windows without them are as they were.
    assert_array_equal(y[0, :90], expected[0, :90])
    assert_array_equal(y[0, 113:], expected[0, 113:])


def test_running_median_leaves_its_input_and_numpys_buffer():
    x = walk((2, 300)).astype(np.float32)
    kept, size = x.copy(), np.getbufsize()
    running_median(x, 21)
    assert_array_equal(x, kept)
    assert np.getbufsize() == size


def test_running_median_in_threads():
    x = [walk((12, 2000), seed).astype(np.float32) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for part, y in zip(x, pool.map(lambda part: running_median(part, 101), x), strict=True):
            assert_array_equal(y, scipys_median(part, 101))


def test_median_baseline_takes_float64():
    x = walk((2, 3, 600))
    single = x.astype(np.float32)
    expected = [lead - scipys_median(lead, 201) for lead in single]
    assert_array_equal(MedianBaseline(0.4).transform(x), expected)


def assert_as_scipy(sos, x, padding, tolerance=1e-9):
    expected = signal.sosfiltfilt(sos, x, padlen=padding)
    error = np.abs(filter_both_ways(sos, x, padding) - expected).max(axis=-1)
    # A filter that takes all but the offset out leaves rounding errors of the size of the input's.
    scale = np.maximum(np.abs(expected).max(axis=-1), 1e-3 * np.abs(x).max(axis=-1))
    assert (error <= tolerance * scale).all(), (error / scale).max()


DESIGNS = [
    (order, corners, kind, rate)
    for order in (1, 2, 3, 4, 7, 12, 20)
    for corners, kind, rate in [
        ((0.67, 40), "bandpass", 500),
        ((0.05, 40), "bandpass", 1000),
        (0.05, "highpass", 1000),
        (0.5, "highpass", 100),
        (40, "lowpass", 500),
        (0.05, "lowpass", 1000),
        (49, "lowpass", 100),
        ((10, 10.5), "bandpass", 500),
    ]
]


@pytest.mark.parametrize(("order", "corners", "kind", "rate"), DESIGNS)
def test_filter_is_scipys(order, corners, kind, rate):
    sos = signal.butter(order, corners, kind, fs=rate, output="sos")
    # Against extended precision scipy is off by 5e-9 here, the block form by 4e-12.
    hard = (corners, kind) == (0.05, "lowpass") and order > 7
    assert_as_scipy(sos, walk((2, 5000)), 3 * (2 * len(sos) + 1), 3e-8 if hard else 1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_filter_of_random_shapes(seed):
    rng = np.random.default_rng(seed)
    sos = signal.butter(4, (0.67, 40), "bandpass", fs=500, output="sos")
    for _ in range(40):
        n = int(rng.integers(1, 3000) if rng.random() < 0.5 else rng.integers(1, 100))
        assert_as_scipy(sos, walk((rng.integers(1, 6), n), seed), min(27, n - 1))


@pytest.mark.parametrize("offset", [0.0, 300.0, -1e5])
def test_filter_of_an_offset(offset):
    sos = signal.butter(4, (0.5, 40), "bandpass", fs=500, output="sos")
    assert_as_scipy(sos, walk((3, 5000), offset=offset), 27)
    assert_as_scipy(sos, np.full((1, 700), offset), 27)


@pytest.mark.parametrize(("frequency", "quality", "rate"), [(50, 30, 500), (60, 200, 1000)])
def test_notch_is_scipys(frequency, quality, rate):
    b, a = signal.iirnotch(frequency, quality, fs=rate)
    x = walk((3, 5003))
    expected = signal.filtfilt(b, a, x, padlen=9)
    filtered = filter_both_ways(np.concatenate([b, a])[np.newaxis], x, 9)
    np.testing.assert_allclose(filtered, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize(
    "sos",
    [
        [[2.0, 0, 0, 1, 0, 0]],
        [[1.0, 2, 3, 1, 0, 0]],
        [[1.0, 0.5, 0, 1, -0.9, 0]],
        [[1.0, 0, 0, 1, -1.8, 0.81]],
        [[1.0, -0.5, 0, 1, -0.5, 0], [0.3, 0.1, 0.2, 1, 0.5, -0.3]],
    ],
    ids=["gain", "no poles", "first order", "double pole", "cancelled pole"],
)
def test_filter_of_degenerate_sections(sos):
    assert_as_scipy(np.array(sos), walk((2, 500)), 9)


@pytest.mark.parametrize("chunk", [1, 1000])
def test_filter_does_not_depend_on_the_chunk(monkeypatch, chunk):
    sos = signal.butter(2, (0.67, 40), "bandpass", fs=500, output="sos")
    monkeypatch.setattr(recursive, "_CHUNK", chunk)
    monkeypatch.setattr(recursive, "_ONE_THREAD", 100 * chunk)
    assert_as_scipy(sos, walk((5, 500)), 15)


@pytest.mark.parametrize("filter_", [BandPass(0.67, 40), Notch(50)], ids=repr)
def test_transform_rounds_once(filter_):
    x = walk((2, 3, 2000)).astype(np.float32)
    if isinstance(filter_, Notch):
        expected = signal.filtfilt(*signal.iirnotch(50, 30, fs=500), x.astype(float), padlen=9)
    else:
        sos = signal.butter(4, (0.67, 40), "bandpass", fs=500, output="sos")
        expected = signal.sosfiltfilt(sos, x.astype(float), padlen=27)
    error = np.abs(filter_.transform(x) - expected)
    assert (error <= np.spacing(np.abs(expected).astype(np.float32)) + 1e-9).all()


@pytest.mark.parametrize(("scope", "axis"), [("record", (1, 2)), ("lead", 2)])
@pytest.mark.parametrize("shape", [(3, 12, 500), (2, 1, 7), (4, 2, 1)])
def test_standardise_is_the_formula(scope, axis, shape):
    x = walk(shape, offset=20.0).astype(np.float32)
    exact = x.astype(np.float64)
    exact -= exact.mean(axis, keepdims=True)
    exact /= exact.std(axis, keepdims=True) + 1e-8
    np.testing.assert_allclose(Standardize(scope).transform(x), exact, rtol=1e-6, atol=1e-9)
