import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils.multiclass import type_of_target

from ecgsk.datasets import load_echonext
from tests._echonext_files import FLAGS, make_rows, write_echonext

NAN = np.nan
# Value, flag, and what each cut-off makes of it (None: left out).
CASES = pd.DataFrame(
    [
        (20, 1, 1, 1, 1, 1, 1),
        (35, 1, 0, 1, 1, 1, 1),
        (40, 1, 0, 0, 1, 1, 1),
        (45, 1, 0, 0, 1, 0, 1),
        (46, 0, 0, 0, 0, 0, 1),
        (50, 0, 0, 0, 0, 0, 1),
        (51, 0, 0, 0, 0, 0, 0),
        (NAN, 1, NAN, NAN, 1, NAN, 1),
        (NAN, 0, 0, 0, 0, 0, NAN),
        (NAN, NAN, NAN, NAN, NAN, NAN, NAN),
        (30, NAN, 1, 1, 1, 1, 1),
    ],
    columns=["value", "flag", "lvef<=30", "lvef<=35", "lvef<=45", "lvef<45", "lvef<=50"],
)


@pytest.fixture(autouse=True)
def no_unexpected_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def rows_of(values, flags):
    table = make_rows({"train": len(values), "val": 2, "test": 2, "no_split": 2})
    table["lvef_lte_45_flag"] = table["lvef_lte_45_flag"].astype(float)
    table.loc[: len(values) - 1, "lvef_value"] = np.asarray(values, dtype=float)
    table.loc[: len(values) - 1, "lvef_lte_45_flag"] = np.asarray(flags, dtype=float)
    return table


def answers(ecgs, table):
    """Return the target in the order of the table, NaN where a record was left out."""
    given = dict(zip(ecgs.metadata["ecg_key"], ecgs.target, strict=True))
    return np.array([given.get(key, NAN) for key in table["ecg_key"][table["split"] == "train"]])


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    table = rows_of(CASES["value"], CASES["flag"])
    return write_echonext(tmp_path_factory.mktemp("cases"), table), table


@pytest.mark.parametrize("target", CASES.columns[2:])
def test_values_count_and_flags_stand_in_for_them(cases, target):
    folder, table = cases
    ecgs = load_echonext(folder, split="train", target=target)
    assert_array_equal(answers(ecgs, table), CASES[target])
    assert ecgs.left_out.no_target == CASES[target].isna().sum()
    assert ecgs.target_names == [target] and type_of_target(ecgs.target) == "binary"
    assert ecgs.target.dtype == np.int64


@pytest.mark.parametrize("target", ["lvef<=35", "lvef<=50"])
def test_records_without_a_value_can_be_dropped_or_refused(cases, target):
    folder, table = cases
    ecgs = load_echonext(folder, split="train", target=target, missing_ef="drop")
    assert_array_equal(answers(ecgs, table), CASES[target].where(CASES["value"].notna()))
    assert not np.isnan(ecgs.ejection_fraction).any() and ecgs.left_out.no_target == 3
    with pytest.raises(ValueError, match="3 of 11 records have no lvef_value.*'infer'.*'drop'"):
        load_echonext(folder, split="train", target=target, missing_ef="error")
    load_echonext(folder, split="val", target=target, missing_ef="error")
    flags = load_echonext(folder, split="train", target=FLAGS[1], missing_ef="error")
    assert len(flags.target) == 11


def test_the_default_target_is_the_flag(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.integers(20, 70, 40).astype(float)
    flags = (values <= 45).astype(float)
    values[rng.random(40) < 0.4] = NAN
    table = rows_of(values, flags)
    ecgs = load_echonext(write_echonext(tmp_path, table), split="train")
    assert_array_equal(answers(ecgs, table), flags)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("lvef <= 40", "lvef<=40"),
        (" LVEF<=37.50", "lvef<=37.5"),
        ("lvef≤40", "lvef<=40"),
        ("lvef < 40.0", "lvef<40"),
        ("mild", "lvef<=50"),
        ("Moderate", "lvef<=40"),
        ("severe", "lvef<=30"),
        ("shd_moderate_or_greater_flag", "shd_moderate_or_greater_flag"),
    ],
)
def test_the_grammar_of_targets(cases, target, name):
    folder, _ = cases
    ecgs = load_echonext(folder, split="test", target=target)
    assert ecgs.target_names == [name] and ecgs.target.ndim == 1
    if name.startswith("lvef<"):
        cut_off = float(name.strip("lvef<="))
        below = ecgs.ejection_fraction <= cut_off if "=" in name else ecgs.ejection_fraction < 40
        assert_array_equal(ecgs.target, below)
    else:
        assert_array_equal(ecgs.target, ecgs.metadata[name])


def test_several_flags_are_a_matrix(cases):
    folder, _ = cases
    ecgs = load_echonext(folder, split="test", target="flags")
    assert ecgs.target_names == FLAGS and ecgs.target.shape == (2, 12)
    assert_array_equal(ecgs.target, ecgs.metadata[FLAGS])
    two = load_echonext(folder, split="train", target=[FLAGS[9], FLAGS[0]])
    assert two.target_names == [FLAGS[9], FLAGS[0]] and two.left_out.no_target == 2
    assert_array_equal(two.target, two.metadata[[FLAGS[9], FLAGS[0]]])
    assert load_echonext(folder, split="val", target=(FLAGS[3],)).target.shape == (2, 1)


@pytest.mark.parametrize(
    "target",
    ["lvef", "lvef>=45", "lvef<=0", "lvef<=100", "lvef<=", "ef<=45", "lvef_flag", [], ["flags"]]
    + [["lvef<=45"], [FLAGS[0], FLAGS[0]], [3], ""],
)
def test_other_targets_are_refused_with_what_is_allowed(cases, target):
    message = "target=.* is not allowed.*'lvef<=45'.*'mild'.*'flags'.*shd_moderate"
    with pytest.raises(ValueError, match=message):
        load_echonext(cases[0], split="test", target=target)


def test_contradictions_are_counted_and_the_rule_is_kept(tmp_path):
    values, flags = [30, 60, 60, 30, NAN, 50], [1, 0, 1, 0, 1, 0]
    table = rows_of(values, flags)
    write_echonext(tmp_path, table)
    with pytest.warns(UserWarning, match="contradict each other in 2 of 6.*the value") as seen:
        ecgs = load_echonext(tmp_path, split="train", target="lvef<=40")
    assert len(seen) == 1 and seen[0].filename == __file__
    assert_array_equal(answers(ecgs, table), [1, 0, 0, 1, NAN, 0])
    for missing, last in (("infer", 1), ("drop", NAN)):
        with pytest.warns(UserWarning, match="contradict.*the flag"):
            ecgs = load_echonext(tmp_path, split="train", missing_ef=missing)
        assert_array_equal(answers(ecgs, table), [1, 0, 1, 0, last, 0])
    # No warning where flags are asked for by name.
    ecgs = load_echonext(tmp_path, split="train", target="lvef_lte_45_flag")
    assert_array_equal(answers(ecgs, table), flags)


def test_flags_may_be_spelled_as_booleans(tmp_path):
    table = make_rows()
    table[FLAGS] = table[FLAGS].astype(bool)
    ecgs = load_echonext(write_echonext(tmp_path, table), split="train", target="flags")
    assert_array_equal(ecgs.target, ecgs.metadata[FLAGS].astype(int))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("lvef_value", "normal", "1 values of lvef_value that are not numbers.*'normal'.*ecg_key"),
        ("lvef_value", 155, "values of lvef_value from .* to 155; expected percent"),
        ("lvef_value", -1, "values of lvef_value from -1"),
        ("lvef_lte_45_flag", 2, "1 values of lvef_lte_45_flag that are neither 0 nor 1.*'?2"),
        ("lvef_lte_45_flag", "yes", "neither 0 nor 1, the first is 'yes'"),
        ("age_at_ecg", "old", "1 values of age_at_ecg that are not numbers, the first is 'old'"),
    ],
)
def test_values_that_the_documentation_does_not_know_are_errors(tmp_path, column, value, message):
    table = make_rows().astype({column: object})
    table.loc[2, column] = value
    folder = tmp_path
    write_echonext(folder, make_rows())
    csv = pd.read_csv(folder / "echonext_metadata_100k.csv", index_col=0).astype({column: object})
    csv.loc[csv["ecg_key"] == table["ecg_key"][2], column] = value
    csv.to_csv(folder / "echonext_metadata_100k.csv")
    with pytest.raises(ValueError, match=message):
        load_echonext(folder, split="train", tabular=False)
    assert len(load_echonext(folder, split="val", tabular=False).data) == 3


def test_fractions_of_one_are_refused(tmp_path):
    table = make_rows()
    table["lvef_value"] /= 100
    write_echonext(tmp_path, table)
    with pytest.raises(ValueError, match="expected percent"):
        load_echonext(tmp_path, split="train")


def test_no_record_with_a_target_is_an_error(tmp_path):
    table = rows_of([NAN, NAN, NAN], [1, 1, 1])
    write_echonext(tmp_path, table)
    message = "none of the 3 records of split 'train' has a target for target='lvef<=30'"
    with pytest.raises(ValueError, match=message):
        load_echonext(tmp_path, split="train", target="lvef<=30", tabular=False)
    with pytest.raises(ValueError, match="none of the 3"):
        load_echonext(tmp_path, split="train", missing_ef="drop", tabular=False)
