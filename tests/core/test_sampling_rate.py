"""One way to change the sampling rate."""

from fractions import Fraction

import numpy as np
import pytest

from ecgsk._core.sampling_rate import Unify, n_resampled, rate_ratio, resample
from ecgsk.datasets import load_wfdb
from ecgsk.preprocessing import CropPad, Resample
from tests._wfdb_files import random_counts, write_record


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (500, 100, Fraction(1, 5)),
        (100, 500, Fraction(5)),
        (360, 500, Fraction(25, 18)),
        (128.5, 500, Fraction(1000, 257)),
        (500, 500.2, Fraction(2501, 2500)),
        (1000 / 3, 500, Fraction(3, 2)),
        (500, 500 + 1e-9, Fraction(1)),
        (10, 100_000, Fraction(10_000)),
        (100_000, 10, Fraction(1, 10_000)),
    ],
)
def test_ratios_of_rates(old, new, expected):
    assert rate_ratio(old, new) == expected


@pytest.mark.parametrize("old", [10, 99_991.37, 257.123456])
@pytest.mark.parametrize("new", [10.000001, 100_000, 333.3333, 499.99])
def test_ratios_are_close_and_filters_short(old, new):
    ratio = rate_ratio(old, new)
    assert max(ratio.numerator, ratio.denominator) <= 10_000
    assert float(ratio) == pytest.approx(new / old, rel=1e-4)
    assert rate_ratio(new, old) == 1 / ratio


@pytest.mark.parametrize("rates", [(1, 30_000), (1e-300, 1e300), (30_000, 1)])
def test_rates_that_differ_too_much_are_refused(rates):
    with pytest.raises(ValueError, match="cannot be resampled.*at most 10,000 times"):
        Resample(*rates).transform(np.zeros((1, 12, 100)))


@pytest.mark.parametrize("rate", [50, 360, 499, 500, 1000])
@pytest.mark.parametrize("own", [500, 257, 499.5])
def test_loading_and_transforming_give_the_same_bits(tmp_path, own, rate):
    for name in "ab":
        counts = random_counts(ord(name), n_samples=400)
        write_record(tmp_path, name, counts, rate=own)
    ecgs = load_wfdb(tmp_path)
    expected = Resample(own, rate).transform(ecgs.data)
    found = load_wfdb(tmp_path, sampling_rate=rate)
    np.testing.assert_array_equal(found.data, expected)
    assert found.data.dtype == np.float32
    np.testing.assert_array_equal(
        load_wfdb(tmp_path, sampling_rate=rate, n_samples=300).data,
        CropPad(300).transform(expected),
    )
    assert found.data.shape[2] == n_resampled(400, rate_ratio(own, rate))


def test_an_offset_does_not_ring_and_gaps_stay_gaps():
    x = np.full((2, 3, 200), 7.5, dtype=np.float32)
    np.testing.assert_allclose(resample(x, Fraction(5, 2)), 7.5, atol=1e-5)
    x[1, 2, 50:60] = np.nan
    x[0, 1] = np.nan
    given = x.copy()
    out = resample(x, Fraction(2))
    np.testing.assert_array_equal(x, given)
    assert np.isnan(out[0, 1]).all()
    missing = np.flatnonzero(np.isnan(out[1, 2]))
    np.testing.assert_array_equal(missing, np.arange(99, 120))
    assert np.isnan(out).sum() == 400 + len(missing)


def test_unify_keeps_what_is_not_given():
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    assert Unify(None, None)(x, 100) is x
    np.testing.assert_array_equal(Unify(None, 4)(x, 100), x[:, :4])
    np.testing.assert_array_equal(Unify(100, 8)(x, 100)[:, 6:], 0)
