"""The loaders have the same parameters and results, as far as their data allow."""

from inspect import signature
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline

from ecgsk import STANDARD_LEADS, RecordArray, load_ecg
from ecgsk.datasets import (
    RecordsLeftOutWarning,
    load_code15,
    load_echonext,
    load_ptbxl,
    load_wfdb,
)
from ecgsk.tabular import TableColumns
from tests._code15_files import exams, write_code15
from tests._echonext_files import COUNTS, make_rows, make_waves, write_echonext
from tests._wfdb_files import random_counts, write_ptbxl, write_record

KEYS = {
    *("data", "target", "target_names", "groups", "metadata", "covariates", "age_over_89"),
    *("sampling_rate", "lead_names", "left_out", "unreadable", "DESCR"),
}
# In each data set: a man of 61, a woman hidden as over 89, a woman and nobody known.
AGES, SEXES = [61.0, 90.0, 48.0, np.nan], [0.0, 1.0, 1.0, np.nan]


def ptbxl(folder):
    rows = [
        {"scp_codes": {"NORM": 100.0}, "age": age, "sex": sex}
        for age, sex in zip([61, 300, 48, None], [0, 1, 1, None], strict=True)
    ]
    write_ptbxl(folder, rows)
    broken = folder / "records100/00000/00003_lr.dat"
    return load_ptbxl, {"path": folder}, broken


def wfdb(folder):
    comments = [("Age: 61", "Sex: Male"), ("Age: >89", "Sex: Female"), ("Age: 048Y", "sex: F"), ()]
    for number, lines in enumerate(comments):
        some = [f"#{line}" for line in (*lines, "Dx: 1", f"Patient ID: p{number // 2}")]
        write_record(folder, f"r{number}", random_counts(number), comments=some)
    return load_wfdb, {"source": folder}, folder / "r2.dat"


def ecg(folder):
    _, where, broken = wfdb(folder)
    return load_ecg, where, broken


def echonext(folder):
    table = make_rows().astype({"sex": object, "age_at_ecg": object})
    write_echonext(folder, table)
    csv = folder / "echonext_metadata_100k.csv"
    table = pd.read_csv(csv, index_col=0).astype({"sex": object, "age_at_ecg": object})
    rows = table.index[table["split"] == "test"]
    table.loc[rows, "age_at_ecg"] = [61, 90, 48, None]
    table.loc[rows, "sex"] = ["Male", 0, "F", None]
    table.to_csv(csv)
    return load_echonext, {"path": folder, "split": "test", "tabular": False}, None


def code15(folder):
    table = exams(age=[61, ">89", 48, None], is_male=[True, False, False, None])
    write_code15(folder, table)
    return load_code15, {"path": folder, "n_samples": 2800}, None


def break_tracings(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "exams_part1.hdf5", "a") as file:
        file["tracings"][0, 2000, 3] = np.nan


def break_waves(folder):
    waves = make_waves(COUNTS["test"], 2)
    waves[2, 0, 100, 3] = np.nan
    np.save(folder / "EchoNext_test_waveforms.npy", waves)


@pytest.fixture(params=[ptbxl, wfdb, echonext, ecg, code15], ids=lambda make: make.__name__)
def case(request, tmp_path):
    if request.param is code15:
        pytest.importorskip("h5py")
    folder = tmp_path / "data"
    load, where, broken = request.param(folder)

    def spoil():
        if load is load_code15:
            break_tracings(folder)
        elif broken is None:
            break_waves(folder)
        else:
            broken.write_bytes(broken.read_bytes()[:-100])

    return SimpleNamespace(load=load, where=where, spoil=spoil, folder=folder)


def test_results_and_their_order(case):
    ecgs = case.load(**case.where, lazy=False, n_jobs=2)
    assert set(ecgs) >= KEYS
    assert isinstance(ecgs.data, np.ndarray) and ecgs.data.dtype == np.float32
    assert case.load is load_ecg or len(ecgs.target) == 4
    for key in ("groups", "metadata", "covariates", "age_over_89"):
        assert len(ecgs[key]) == len(ecgs.data) == 4, key
    assert ecgs.unreadable == []
    assert_array_equal(ecgs.covariates, np.column_stack([AGES, SEXES]))
    assert ecgs.covariates.columns.tolist() == ["age", "sex"]
    assert all(kind == np.float64 for kind in ecgs.covariates.dtypes)
    assert ecgs.covariates.index.tolist() == [0, 1, 2, 3]
    assert ecgs.age_over_89.tolist() == [False, True, False, False]


def test_lazy_data_are_the_same_and_carry_what_is_known(case):
    eager, lazy = (case.load(**case.where, lazy=lazy) for lazy in (False, True))
    assert isinstance(lazy.data, RecordArray)
    assert_array_equal(np.asarray(lazy.data), eager.data)
    assert_array_equal(lazy.data[[3, 0, 0]], eager.data[[3, 0, 0]])
    assert lazy.data.sampling_rate == eager.sampling_rate
    assert lazy.data.leads == tuple(eager.lead_names) == STANDARD_LEADS
    assert lazy.data.table.equals(eager.covariates)
    assert_array_equal(TableColumns().fit_transform(lazy.data[::-1])["age"], AGES[::-1])
    if case.load is load_ecg:
        return
    X, y = case.load(**case.where, lazy=True, return_X_y=True)
    assert X.table.equals(eager.covariates)
    assert_array_equal(y, eager.target)


@pytest.mark.parametrize("lazy", [False, True])
def test_results_can_be_two_arrays(case, lazy):
    if case.load is load_ecg:
        pytest.skip("files state no target")
    X, y = case.load(**case.where, lazy=lazy, return_X_y=True)
    ecgs = case.load(**case.where, lazy=lazy)
    assert type(X) is type(ecgs.data)
    assert_array_equal(np.asarray(X), np.asarray(ecgs.data))
    assert_array_equal(y, ecgs.target)


def test_broken_records_are_left_out_or_raise(case):
    case.spoil()
    with pytest.warns(RecordsLeftOutWarning):
        ecgs = case.load(**case.where, lazy=False)
    assert len(ecgs.data) == len(ecgs.groups) == len(ecgs.covariates) == 3
    assert_array_equal(ecgs.covariates["age"], [61, 90, np.nan])
    ((file, reason),) = ecgs.unreadable
    assert str(case.folder) in file and reason
    with pytest.raises(ValueError):
        case.load(**case.where, lazy=False, on_error="raise")


def test_parameters_have_the_same_defaults():
    loaders = (load_ptbxl, load_wfdb, load_ecg, load_echonext, load_code15)
    for name in ("lazy", "on_error", "n_jobs", "return_X_y"):
        has_it = [load for load in loaders if name in signature(load).parameters]
        defaults = [signature(load).parameters[name].default for load in has_it]
        if name == "lazy":  # 8.7 and 66 GB are not read unless asked for
            assert defaults == [False, False, False, True, True]
        else:
            assert len(set(defaults)) == 1, name


def test_a_home_folder_is_found(case, monkeypatch):
    monkeypatch.setenv("HOME", str(case.folder.parent))
    monkeypatch.setenv("USERPROFILE", str(case.folder.parent))
    where = {
        name: "~/data" if value == case.folder else value for name, value in case.where.items()
    }
    assert len(case.load(**where).data) == 4


def test_groups_are_unknown_where_a_header_names_no_patient(tmp_path):
    _, where, _ = wfdb(tmp_path)
    assert load_wfdb(**where).groups.tolist() == ["p0", "p0", "p1", "p1"]
    write_record(tmp_path, "r9", random_counts(9))
    assert load_wfdb(**where).groups is None


def test_lazy_records_that_differ_are_refused(tmp_path):
    write_record(tmp_path, "a", random_counts(0))
    write_record(tmp_path, "b", random_counts(1, n_samples=60))
    with pytest.raises(
        ValueError, match="records differ .*sampling_rate= and n_samples= with lazy"
    ):
        load_wfdb(tmp_path, lazy=True)
    ecgs = load_wfdb(tmp_path, lazy=True, n_samples=55, sampling_rate=250)
    assert_array_equal(
        np.asarray(ecgs.data), load_wfdb(tmp_path, n_samples=55, sampling_rate=250).data
    )
    assert (ecgs.data.shape, ecgs.data.sampling_rate) == ((2, 12, 55), 250)


def test_ages_that_cannot_be_right_are_counted_and_the_file_keeps_its_values(tmp_path):
    rows = [{"scp_codes": {"NORM": 100.0}, "age": age} for age in (50, -1, 300, 150)]
    write_ptbxl(tmp_path, rows)
    with pytest.warns(UserWarning, match=r"2 records have an age.*'-1' \(ecg_id 2\), '150'"):
        ecgs = load_ptbxl(tmp_path)
    assert ecgs.metadata["age"].tolist() == [50, -1, 300, 150]
    assert_array_equal(ecgs.covariates["age"], [50, np.nan, 90, np.nan])
    assert ecgs.covariates["sex"].isna().all()  # this table has none


def test_a_model_of_one_table_takes_that_of_another_loader(tmp_path):
    sources = [make(tmp_path / make.__name__) for make in (ptbxl, wfdb, echonext, ecg)]
    tables = [load(**where, lazy=True).data for load, where, _ in sources]
    model = make_pipeline(TableColumns(["age", "sex"]), HistGradientBoostingClassifier())
    model.fit(tables[0], [0, 1, 0, 1])
    expected = model.predict_proba(tables[0])
    for other in tables[1:]:
        assert_array_equal(model.predict_proba(other), expected)
