"""Ages and sexes as files state them."""

import warnings

import numpy as np
import pytest

from ecgsk._core.covariates import read_age, read_ages, read_sexes


@pytest.mark.parametrize(
    ("value", "years"),
    [
        (63, 63),
        (63.5, 63.5),
        (np.float32(63), 63),
        (" 63 ", 63),
        ("63,5", 63.5),
        ("063Y", 63),
        ("006M", 0.5),
        ("026W", 0.498),
        ("030D", 0.082),
        ("63 years", 63),
        ("63 yrs", 63),
        ("63 y/o", 63),
        ("63-year-old", 63),
        ("18 months", 1.5),
        (0, 0),
        (90, 90),
        (104, 104),
    ],
)
def test_ages_become_years(value, years):
    found = read_age(value)
    assert found.years == pytest.approx(years, abs=1e-3)
    assert not found.over_89 and not found.doubt


@pytest.mark.parametrize(
    "value",
    [300, 300.0, "300", ">89", "> 89", ">=90", "≥ 90", "90+", "89+", "90 +", "over 89"]
    + ["89 or older", "89 years or older", "90 and over", "Older than 89", ">89 years", "300Y"],
)
def test_hidden_ages_are_90(value):
    assert read_age(value) == (90.0, True, "")


@pytest.mark.parametrize("value", ["", " ", "NaN", np.nan, None, "unknown", "n/a", "?", "None"])
def test_missing_ages_are_unknown_without_a_word(value):
    found = read_age(value)
    assert np.isnan(found.years) and not found.over_89 and not found.doubt


@pytest.mark.parametrize(
    "value",
    [
        -1,
        "-1",
        -0.5,
        121,
        150,
        299,
        301,
        999,
        "inf",
        np.inf,
        "old",
        "063X",
        ">80",
        "80+",
        "Y",
        True,
    ],
)
def test_what_cannot_be_an_age_is_unknown_and_named(value):
    found = read_age(value)
    assert np.isnan(found.years) and not found.over_89 and found.doubt == str(value)


def test_doubtful_ages_are_counted_with_their_records():
    values = [50, -1, "NaN", *range(200, 206), 300]
    names = [f"r{i}" for i in range(len(values))]
    with pytest.warns(UserWarning) as caught:
        years, over_89 = read_ages(values, names, source="a.csv", stacklevel=1)
    message = str(caught[0].message)
    assert len(caught) == 1 and message.startswith(
        "7 records have an age that is not from 0 to 120"
    )
    assert "'-1' (r1), '200' (r3)" in message and "... in a.csv" in message
    np.testing.assert_array_equal(years, [50, *[np.nan] * 8, 90])
    assert over_89.nonzero()[0].tolist() == [9]


@pytest.mark.parametrize(
    ("one_is", "expected"),
    [
        ("female", [0, 1, 0, 1, 0, 1, 0, 1]),
        ("male", [0, 1, 0, 1, 1, 0, 1, 0]),
        (None, [0, 1, 0, 1, *[np.nan] * 4]),
    ],
)
def test_sexes_have_one_code(one_is, expected):
    values = ["M", "female", " Male ", "F", 0, 1, "0.0", 1.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error" if one_is else "ignore")
        found = read_sexes(values, values, one_is=one_is, source="a", stacklevel=1)
    np.testing.assert_array_equal(found, expected)


def test_sexes_may_be_words_of_other_languages():
    values = ["W", "weiblich", "m", "Männlich", "femme", "Homme", "mujer", "maschile"]
    found = read_sexes(values, values, one_is=None, source="a", stacklevel=1)
    assert found.tolist() == [1, 1, 0, 0, 1, 0, 1, 0]


def test_unknown_sexes_are_nan_and_odd_ones_named():
    values = ["unknown", None, np.nan, "", "other", "2", "Z"]
    with pytest.warns(UserWarning, match=r"2 records have a sex .* nor 1, .*'2' \(2\), 'Z' \(Z\)"):
        found = read_sexes(values, values, one_is="female", source="a", stacklevel=1)
    assert np.isnan(found).all()
