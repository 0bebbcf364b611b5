import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GroupKFold

from ecgsk import RecordArray, check_ecg
from ecgsk.datasets import ECHONEXT_FLAGS, ECHONEXT_SCALING, load_echonext
from tests._echonext_files import COUNTS, FLAGS, ORDERS, make_rows, make_waves, write_echonext

# Written out a second time: mean and deviation of each lead, counts.
MEAN = [5.438903, 4.386144, -0.882852, -4.901228, 3.179303, 1.718962]
MEAN += [-4.385368, -1.499179, -0.239010, 3.622169, 5.396824, 5.660982]
STD = [32.428324, 31.372624, 30.155475, 28.126380, 27.097712, 26.148743]
STD += [37.739211, 52.792504, 56.751389, 49.902239, 45.001427, 39.066061]


@pytest.fixture(autouse=True)
def no_unexpected_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_echonext(tmp_path_factory.mktemp("echonext"))


def expected(n, seed, microvolt=4.88):
    z = make_waves(n, seed)[:, 0]
    return ((z * STD + MEAN) * microvolt / 1000).transpose(0, 2, 1)


def test_records_are_millivolt_of_the_published_constants(folder):
    for seed, split in enumerate(COUNTS):
        ecgs = load_echonext(folder, split=split, allow_no_split=True)
        assert isinstance(ecgs.data, RecordArray)
        assert ecgs.data.shape == (COUNTS[split], 12, 2500) and ecgs.split == split
        data = np.asarray(ecgs.data)
        assert data.dtype == np.float32
        assert_allclose(data, expected(len(data), seed), rtol=1e-6, atol=1e-7)
        check_ecg(ecgs.data, n_samples=2500)
    assert ecgs.sampling_rate == 250 and ecgs.lead_names[3] == "aVR"
    assert not ecgs.synthetic and "synthetic files alone" in ecgs.DESCR


def test_scale_can_be_another_or_none(folder):
    other = load_echonext(folder, split="val", microvolt_per_count=5, lazy=False).data
    assert isinstance(other, np.ndarray)
    assert_allclose(other, expected(3, 1, 5), rtol=1e-6, atol=1e-7)
    z = load_echonext(folder, split="val", microvolt_per_count=None, lazy=False)
    assert_array_equal(z.data, make_waves(3, 1)[:, 0].transpose(0, 2, 1).astype(np.float32))
    assert "standard deviations" in z.DESCR
    assert list(ECHONEXT_SCALING.columns) == ["low", "high", "mean", "std"]
    assert_array_equal(ECHONEXT_SCALING["std"], STD)
    assert ECHONEXT_SCALING.loc["aVR", "high"] == 118.5


def test_rows_stay_together(folder):
    table = pd.read_csv(folder / "echonext_metadata_100k.csv", index_col=0)
    rows = table[table["split"] == "test"].reset_index(drop=True)
    ecgs = load_echonext(folder, split="test")
    pd.testing.assert_frame_equal(ecgs.metadata, rows)
    assert_array_equal(ecgs.groups, rows["patient_key"])
    assert_array_equal(ecgs.ejection_fraction, rows["lvef_value"])
    assert_array_equal(ecgs.target, rows["lvef_lte_45_flag"])
    assert_array_equal(ecgs.covariates["age"], rows["age_at_ecg"])
    assert_array_equal(ecgs.covariates["sex"], 1 - rows["sex"])
    assert_array_equal(ecgs.tabular["sex"], rows["sex"])
    assert ecgs.data.table.equals(ecgs.covariates)
    X, y = load_echonext(folder, split="test", return_X_y=True)
    assert_array_equal(X[2], ecgs.data[2])
    assert_array_equal(y, ecgs.target)


@pytest.mark.parametrize("csv", ["EchoNext_metadata_100k.csv", "echonext_metadata_100k.csv"])
def test_capitals_and_the_index_column_do_not_matter(tmp_path, csv):
    write_echonext(tmp_path, csv=csv)
    pd.read_csv(tmp_path / csv, index_col=0).to_csv(tmp_path / csv, index=False)
    assert len(load_echonext(tmp_path, split="val").data) == 3


@pytest.mark.slow
def test_slices_pickles_and_processes_read_the_same(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    ecgs = load_echonext(folder.name, split="train")
    monkeypatch.chdir(tmp_path)
    whole = np.asarray(ecgs.data)
    for rows in ([3, 0, 0, 5], [-1], [], [4, 3, 2], range(1, 5)):
        assert_array_equal(ecgs.data.read(list(rows)), whole[list(rows)])
    part = ecgs.data[1:5][[2, 0]]
    assert_array_equal(np.asarray(part), whole[[3, 1]])
    assert_array_equal(part.table["age"], ecgs.covariates["age"].iloc[[3, 1]])
    pickled = pickle.dumps(part)
    assert len(pickled) < 10_000
    assert_array_equal(np.asarray(pickle.loads(pickled)), whole[[3, 1]])
    train, _ = next(GroupKFold(2).split(ecgs.data, groups=ecgs.groups))
    (read,) = Parallel(n_jobs=2)(delayed(np.asarray)(x) for x in [ecgs.data[train]])
    assert_array_equal(read, whole[train])


def test_records_left_out_are_not_read(tmp_path):
    table = make_rows()
    table.loc[[1, 4], ["lvef_value", "lvef_lte_45_flag"]] = np.nan
    write_echonext(tmp_path, table)
    ecgs, all_ = (load_echonext(tmp_path, split="train", target=t) for t in ("lvef<=45", "flags"))
    assert ecgs.left_out == all_.left_out == {"no_target": 2}
    ecgs = load_echonext(tmp_path, split="train")
    order = pd.read_csv(tmp_path / "echonext_metadata_100k.csv")
    order = order[order["split"] == "train"].reset_index(drop=True)
    kept = np.flatnonzero(order["lvef_value"].notna())
    assert_allclose(np.asarray(ecgs.data), expected(6, 0)[kept], rtol=1e-6, atol=1e-7)
    assert_allclose(ecgs.data[[3, 1]][1], expected(6, 0)[kept[1]], rtol=1e-6, atol=1e-7)
    for name in ("target", "groups", "metadata", "tabular", "covariates", "ejection_fraction"):
        assert len(ecgs[name]) == 4, name
    assert_array_equal(ecgs.metadata["ecg_key"], order["ecg_key"][kept])
    assert ecgs.data.table.index.tolist() == [0, 1, 2, 3]
    assert "2 without a target" in ecgs.DESCR


def test_no_split_is_refused_with_its_reason(folder):
    with pytest.raises(ValueError, match="patients of val and test.*allow_no_split=True"):
        load_echonext(folder, split="no_split")
    assert load_echonext(folder, split="no_split", allow_no_split=True).split == "no_split"


def test_patients_shared_between_splits_are_warned_of(tmp_path):
    table = make_rows()
    table.loc[0, "patient_key"] = table["patient_key"][table["split"] == "test"].iloc[0]
    write_echonext(tmp_path, table)
    with pytest.warns(UserWarning, match="1 patients of split 'train'") as seen:
        load_echonext(tmp_path, split="val")
    assert seen[0].filename == __file__


@pytest.mark.parametrize("order", ["readme", "code"])
@pytest.mark.parametrize("coded", [False, True])
def test_the_order_of_the_features_is_found(tmp_path, order, coded):
    table = make_rows()
    table.loc[::3, ["atrial_rate", "pr_interval"]] = np.nan
    table.loc[2, "qrs_duration"] = np.nan
    write_echonext(tmp_path, table, order)
    if coded:
        csv = tmp_path / "echonext_metadata_100k.csv"
        said = pd.read_csv(csv, index_col=0)
        said["sex"] = np.where(said["sex"] == 1, "Male", "FEMALE")
        said.to_csv(csv)
    for split in ("train", "val", "test"):
        ecgs = load_echonext(tmp_path, split=split)
        assert " ".join(ecgs.tabular.columns) == ORDERS[order]
        assert_allclose(ecgs.tabular["age_at_ecg"], (ecgs.metadata["age_at_ecg"] - 90) / 17)
        assert_array_equal(ecgs.covariates["sex"], 1 - ecgs.tabular["sex"])


def test_a_constant_column_is_settled_by_elimination(tmp_path):
    table = make_rows()
    table["sex"] = 1
    ecgs = load_echonext(write_echonext(tmp_path, table), split="train")
    assert " ".join(ecgs.tabular.columns) == ORDERS["readme"]
    table["qrs_duration"] = 88.0
    write_echonext(tmp_path, table)
    with pytest.raises(ValueError, match="cannot be told.*0 .qrs_duration or sex.*tabular=False"):
        load_echonext(tmp_path, split="train")
    assert load_echonext(tmp_path, split="train", tabular=False).tabular is None


def test_rates_that_are_equal_where_both_are_known_are_told_by_the_missing_ones(tmp_path):
    table = make_rows()
    table["atrial_rate"] = table["ventricular_rate"].where(np.arange(len(table)) % 4 > 0)
    write_echonext(tmp_path, table, "code")
    ecgs = load_echonext(tmp_path, split="train")
    assert " ".join(ecgs.tabular.columns) == ORDERS["code"]


def test_rates_that_are_nearly_equal_are_told_by_the_better_fit(tmp_path):
    table = make_rows()
    table["atrial_rate"] = table["ventricular_rate"] + 0.2 * (np.arange(len(table)) % 3)
    write_echonext(tmp_path, table, "code")
    ecgs = load_echonext(tmp_path, split="train")
    assert " ".join(ecgs.tabular.columns) == ORDERS["code"]
    table["atrial_rate"] = table["ventricular_rate"]
    write_echonext(tmp_path, table)
    with pytest.raises(ValueError, match="cannot be told.*1 .atrial_rate or ventricular_rate"):
        load_echonext(tmp_path, split="train")


def test_sex_is_understood_and_what_is_not_is_said(tmp_path):
    table = make_rows().astype({"sex": object})
    table.loc[:5, "sex"] = ["M", " female", "unknown", "0.0", "x", np.nan]
    write_echonext(tmp_path, table)
    with pytest.warns(UserWarning, match="1 records have a sex that is neither.*'x'") as seen:
        ecgs = load_echonext(tmp_path, split="train", tabular=False)
    assert len(seen) == 1 and seen[0].filename == __file__
    found = dict(zip(ecgs.metadata["ecg_key"], ecgs.covariates["sex"], strict=True))
    keys = table["ecg_key"][:6]
    assert_array_equal([found[key] for key in keys], [0, 1, np.nan, 1, np.nan, np.nan])


def test_nan_in_a_recording_is_refused_where_it_is_used(tmp_path):
    write_echonext(tmp_path)
    file = tmp_path / "EchoNext_val_waveforms.npy"
    z = np.load(file)
    z[1, 0, 7, 3] = np.nan
    np.save(file, z)
    data = load_echonext(tmp_path, split="val").data
    assert np.isnan(np.asarray(data)).sum() == 1
    with pytest.raises(ValueError, match="1 NaN.*first in record 1"):
        np.asarray(check_ecg(data, warn=False))


def test_flags_are_in_the_order_of_the_mini_model(folder):
    assert list(ECHONEXT_FLAGS) == FLAGS


def test_other_floats_are_read(tmp_path):
    write_echonext(tmp_path)
    file = tmp_path / "EchoNext_val_waveforms.npy"
    z = np.load(file)
    for dtype in ("float32", ">f8"):
        np.save(file, z.astype(dtype))
        data = np.asarray(load_echonext(tmp_path, split="val").data)
        assert_allclose(data, expected(3, 1), rtol=1e-5, atol=1e-6)


STREAM = """
import os, psutil, sys
import numpy as np
from ecgsk._core.records import batches
from ecgsk.datasets import load_echonext
data = load_echonext(sys.argv[1], split="train", tabular=False).data
process, peak = psutil.Process(), 0
data.read(np.arange(4))
start = process.memory_info().rss
order = np.random.default_rng(0).permutation(len(data))
for X in (data, data[order]):
    for rows in batches(len(X), X.shape[1:]):
        X.read(np.arange(rows.start, rows.stop))
        peak = max(peak, process.memory_info().rss - start)
print(len(data), peak / 1e6)
"""


@pytest.mark.slow
def test_streaming_stays_small_in_memory(tmp_path):
    n = 2000
    write_echonext(tmp_path, make_rows(COUNTS | {"train": 4}))
    table = make_rows({"train": n, "val": 1, "test": 1, "no_split": 1})
    table.to_csv(tmp_path / "echonext_metadata_100k.csv")
    # Sparse: half a gigabyte of zeros that takes no room on disk but does in memory once read.
    np.lib.format.open_memmap(
        tmp_path / "EchoNext_train_waveforms.npy", "w+", np.float64, (n, 1, 2500, 12)
    ).flush()
    command = [sys.executable, "-c", STREAM, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(said[0]) == n
    assert float(said[1]) < 120
