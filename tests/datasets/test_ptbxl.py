import ast
import copy
import pickle
import shutil
import warnings
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import wfdb
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.utils.multiclass import type_of_target

from ecgsk import RecordArray, check_ecg
from ecgsk.datasets import PTBXL_STATEMENTS, PTBXL_TASKS, RecordsLeftOutWarning, load_ptbxl
from tests._wfdb_files import (
    LEADS,
    edit_header,
    ptbxl_counts,
    random_counts,
    write_ptbxl,
    write_record,
)

ROWS = [
    {"scp_codes": {"NORM": 100.0, "LVOLT": 0.0, "SR": 0.0}},
    {"scp_codes": {"ASMI": 15.0, "ISCAL": 0.0, "AFIB": 0.0}},
    {"scp_codes": {"NDT": 100.0}},
    {"scp_codes": {"SR": 0.0}},
    {"scp_codes": {"LAFB": 100.0, "IPLMI": 50.0, "LAO/LAE": 0.0, "PRC(S)": 100.0}},
    {"scp_codes": {}},
    {"scp_codes": {"1AVB": 80.0, "3AVB": 0.0, "PVC": 100.0, "ISC_": 35.0}},
]


@pytest.fixture(autouse=True)
def no_unexpected_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_ptbxl(tmp_path_factory.mktemp("ptbxl"), ROWS)


@pytest.fixture
def own_folder(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "ptbxl")


def expected_data(ecg_ids, rate=100):
    return np.stack([(ptbxl_counts(i, rate) / 1000).astype(np.float32) for i in ecg_ids])


def labels(ecgs):
    """Return the names of the labels each record has, by ecg_id."""
    names = np.array(ecgs.target_names)
    return {
        ecg_id: names[row == 1].tolist()
        for ecg_id, row in zip(ecgs.metadata.index, ecgs.target, strict=True)
    }


def record_of(folder, ecg_id, rate=100):
    return folder / f"records{rate}" / "00000" / f"{ecg_id:05d}_{'lr' if rate == 100 else 'hr'}"


@pytest.mark.parametrize(
    ("task", "n_labels", "first", "last"),
    [
        ("all", 71, "1AVB", "WPW"),
        ("diagnostic", 44, "1AVB", "WPW"),
        ("subdiagnostic", 23, "AMI", "_AVB"),
        ("superdiagnostic", 5, "CD", "STTC"),
        ("form", 19, "ABQRS", "VCLVH"),
        ("rhythm", 12, "AFIB", "TRIGU"),
    ],
)
def test_label_lists(task, n_labels, first, last):
    names = PTBXL_TASKS[task]
    assert len(names) == len(set(names)) == n_labels
    assert list(names) == sorted(names) and (names[0], names[-1]) == (first, last)


def test_label_lists_fit_together():
    diagnostic, form, rhythm = (set(PTBXL_TASKS[t]) for t in ("diagnostic", "form", "rhythm"))
    assert diagnostic | form | rhythm == set(PTBXL_TASKS["all"])
    assert diagnostic & form == {"DIG", "LNGQT", "NDT", "NST_"}
    assert not rhythm & (diagnostic | form)
    assert PTBXL_TASKS["all"].index("ISC_") == 34 and PTBXL_TASKS["all"].index("NORM") == 46


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (
            "all",
            {
                1: ["LVOLT", "NORM", "SR"],
                2: ["AFIB", "ASMI", "ISCAL"],
                3: ["NDT"],
                4: ["SR"],
                5: ["IPLMI", "LAFB", "LAO/LAE", "PRC(S)"],
                7: ["1AVB", "3AVB", "ISC_", "PVC"],
            },
        ),
        (
            "diagnostic",
            {
                1: ["NORM"],
                2: ["ASMI", "ISCAL"],
                3: ["NDT"],
                5: ["IPLMI", "LAFB", "LAO/LAE"],
                7: ["1AVB", "3AVB", "ISC_"],
            },
        ),
        (
            "subdiagnostic",
            {
                1: ["NORM"],
                2: ["AMI", "ISCA"],
                3: ["STTC"],
                5: ["IMI", "LAFB/LPFB", "LAO/LAE"],
                7: ["ISC_", "_AVB"],
            },
        ),
        (
            "superdiagnostic",
            {
                1: ["NORM"],
                2: ["MI", "STTC"],
                3: ["STTC"],
                5: ["CD", "HYP", "MI"],
                7: ["CD", "STTC"],
            },
        ),
        ("form", {1: ["LVOLT"], 3: ["NDT"], 5: ["PRC(S)"], 7: ["PVC"]}),
        ("rhythm", {1: ["SR"], 2: ["AFIB"], 4: ["SR"]}),
    ],
)
def test_labels_by_hand_with_likelihood_zero_counted(folder, task, expected):
    ecgs = load_ptbxl(folder, task=task)
    assert labels(ecgs) == expected
    assert ecgs.target_names == list(PTBXL_TASKS[task])
    assert ecgs.left_out == {
        "no_label": 7 - len(expected),
        "no_file": 0,
        "not_found": 0,
        "unreadable": 0,
    }
    assert f"{7 - len(expected)} rows without a label" in ecgs.DESCR
    np.testing.assert_array_equal(ecgs.data, expected_data(expected))


def test_rows_stay_together(folder):
    ecgs = load_ptbxl(folder)
    assert ecgs.metadata.index.tolist() == [1, 2, 3, 4, 5, 7]
    assert ecgs.groups.tolist() == [1001, 1002, 1003, 1004, 1005, 1007]
    assert ecgs.groups.dtype.kind == ecgs.fold.dtype.kind == "i"
    assert ecgs.fold.tolist() == [1, 2, 3, 4, 5, 7]
    assert ecgs.sampling_rate == 100 and ecgs.lead_names == LEADS
    assert "CC BY 4.0" in ecgs.DESCR
    assert type_of_target(ecgs.target) == "multilabel-indicator"
    check_ecg(ecgs.data, n_samples=1000, warn=False)  # random numbers are no ECG


@pytest.mark.parametrize(
    ("folds", "ecg_ids"),
    [
        (5, [5]),
        (np.int64(2), [2]),
        ([1, 7], [1, 7]),
        (range(2, 5), [2, 3, 4]),
        (iter((4, 3)), [3, 4]),
        (np.array([1, 2]), [1, 2]),
    ],
)
def test_folds(folder, folds, ecg_ids):
    ecgs = load_ptbxl(folder, folds=folds)
    assert ecgs.metadata.index.tolist() == ecg_ids
    np.testing.assert_array_equal(ecgs.data, expected_data(ecg_ids))


def test_left_out_counts_are_those_of_the_chosen_folds(folder):
    assert load_ptbxl(folder, folds=[1, 2]).left_out.no_label == 0
    assert load_ptbxl(folder, folds=[1, 6]).left_out.no_label == 1


def test_return_X_y(folder):
    X, y = load_ptbxl(folder, task="rhythm", return_X_y=True)
    ecgs = load_ptbxl(folder, task="rhythm")
    np.testing.assert_array_equal(X, ecgs.data)
    np.testing.assert_array_equal(y, ecgs.target)


def test_leads_gain_and_unit_come_from_the_header(own_folder):
    counts = random_counts(99, n_samples=1000)
    record = record_of(own_folder, 3)
    write_record(
        record.parent, record.name, counts[::-1], leads=LEADS[::-1], rate=100, gain="200(50)"
    )
    expected = ((counts - 50) / 200).astype(np.float32)
    np.testing.assert_array_equal(load_ptbxl(own_folder, folds=3).data[0], expected)


def test_both_rates_and_rows_without_a_file_for_one(tmp_path):
    rows = copy.deepcopy(ROWS[:4])
    rows[2]["filename_hr"] = None
    folder = write_ptbxl(tmp_path, rows, rates=(100, 500))
    with pytest.warns(RecordsLeftOutWarning, match="3 records were loaded.*1 have no 500 Hz file"):
        ecgs = load_ptbxl(folder, sampling_rate=500)
    assert ecgs.metadata.index.tolist() == [1, 2, 4] and ecgs.left_out.no_file == 1
    np.testing.assert_array_equal(ecgs.data, expected_data([1, 2, 4], rate=500))
    np.testing.assert_array_equal(load_ptbxl(folder).data, expected_data([1, 2, 3, 4]))
    # A row for which the table names no file is no malformed record.
    with pytest.warns(RecordsLeftOutWarning):
        assert len(load_ptbxl(folder, sampling_rate=500, on_error="raise").data) == 3


@pytest.mark.parametrize("lazy", [False, True])
def test_a_subset_of_the_records_works_and_says_what_is_missing(own_folder, lazy):
    for suffix in (".hea", ".dat"):
        record_of(own_folder, 2).with_suffix(suffix).unlink()
    record_of(own_folder, 5).with_suffix(".dat").unlink()
    with pytest.warns(RecordsLeftOutWarning, match="2 are listed but their files are not") as seen:
        ecgs = load_ptbxl(own_folder, lazy=lazy)
    assert len(seen) == 1 and seen[0].filename == __file__
    assert "00002_lr" in str(seen[0].message)
    assert ecgs.left_out.not_found == 2 and ecgs.left_out.unreadable == 0
    assert ecgs.metadata.index.tolist() == [1, 3, 4, 7]
    assert ecgs.target.shape == (4, 71) and ecgs.groups.tolist() == [1001, 1003, 1004, 1007]
    np.testing.assert_array_equal(np.asarray(ecgs.data), expected_data([1, 3, 4, 7]))
    with pytest.raises(ValueError, match="00002_lr.hea: there is no such header"):
        load_ptbxl(own_folder, lazy=lazy, on_error="raise")


def shorten(record):
    path = record.with_suffix(".dat")
    path.write_bytes(path.read_bytes()[:-10])


def wrong_rate(record):
    edit_header(record, "12 100 1000", "12 200 1000")


def wrong_length(record):
    edit_header(record, "12 100 1000", "12 100 999")


def wrong_lead(record):
    edit_header(record, " aVL", " aVX")


def garbage(record):
    record.with_suffix(".hea").write_bytes(b"\xff\x00\xfe")


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (shorten, "999 of 1000 samples"),
        (wrong_rate, "1000 samples at 200 Hz; expected 1000 at 100 Hz"),
        (wrong_length, "24 bytes more than its header describes"),
        (wrong_lead, "aVL are missing"),
        (garbage, "record line"),
    ],
)
def test_malformed_records_are_found_up_front(own_folder, damage, reason, lazy):
    damage(record_of(own_folder, 3))
    with pytest.warns(RecordsLeftOutWarning, match=f"1 cannot be read.*00003_lr.hea: .*{reason}"):
        ecgs = load_ptbxl(own_folder, lazy=lazy)
    assert ecgs.left_out.unreadable == 1 and ecgs.left_out.not_found == 0
    [(file, why)] = ecgs.unreadable
    assert file.endswith("00003_lr.hea") and reason in why
    np.testing.assert_array_equal(np.asarray(ecgs.data), expected_data([1, 2, 4, 5, 7]))
    with pytest.raises(ValueError, match=reason):
        load_ptbxl(own_folder, lazy=lazy, on_error="raise")


def change_table(folder, ecg_id, column, value):
    file = folder / "ptbxl_database.csv"
    table = pd.read_csv(file).astype(object)
    table.loc[table["ecg_id"] == ecg_id, column] = value
    table.to_csv(file, index=False)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("scp_codes", "{'NORM': "),
        ("scp_codes", "['NORM']"),
        ("scp_codes", None),
        ("patient_id", None),
        ("patient_id", "unknown"),
        ("patient_id", 17.5),
        ("strat_fold", None),
    ],
)
def test_a_broken_row_costs_nothing_but_itself(own_folder, column, value):
    change_table(own_folder, 4, column, value)
    message = f"1 cannot be read.*row ecg_id 4 has no usable {column}"
    with pytest.warns(RecordsLeftOutWarning, match=message):
        ecgs = load_ptbxl(own_folder)
    assert ecgs.metadata.index.tolist() == [1, 2, 3, 5, 7]
    assert ecgs.groups.tolist() == [1001, 1002, 1003, 1005, 1007]
    with pytest.raises(ValueError, match="ecg_id 4"):
        load_ptbxl(own_folder, on_error="raise")


def test_unknown_statements_are_counted_in_a_warning(own_folder):
    change_table(own_folder, 1, "scp_codes", "{'NORM': 100.0, 'XYZ': 0.0, 'QQQ': 1.0}")
    change_table(own_folder, 2, "scp_codes", "{'XYZ': 50.0}")
    with pytest.warns(UserWarning, match=r"3 statements .* XYZ \(2\), QQQ \(1\)") as seen:
        ecgs = load_ptbxl(own_folder)
    assert len(seen) == 1 and seen[0].filename == __file__
    assert labels(ecgs)[1] == ["NORM"] and 2 not in labels(ecgs)
    assert ecgs.left_out.no_label == 2


def test_rows_that_break_several_ways_are_counted_once(own_folder):
    change_table(own_folder, 4, "patient_id", None)
    change_table(own_folder, 4, "scp_codes", "?")
    with pytest.warns(RecordsLeftOutWarning, match="1 cannot be read"):
        assert load_ptbxl(own_folder).left_out.unreadable == 1


def test_lazy_equals_eager(folder):
    eager, lazy = load_ptbxl(folder), load_ptbxl(folder, lazy=True)
    assert isinstance(lazy.data, RecordArray) and lazy.data.shape == eager.data.shape
    np.testing.assert_array_equal(np.asarray(lazy.data), eager.data)
    np.testing.assert_array_equal(lazy.target, eager.target)
    np.testing.assert_array_equal(np.asarray(lazy.data[[4, 0, 0]]), eager.data[[4, 0, 0]])
    np.testing.assert_array_equal(lazy.data[-1], eager.data[-1])
    train, test = next(GroupKFold(2).split(lazy.data, groups=lazy.groups))
    np.testing.assert_array_equal(np.asarray(lazy.data[test]), eager.data[test])
    assert len(train) + len(test) == len(eager.data)


def test_lazy_records_pickle_and_do_not_depend_on_the_working_folder(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder.parent)
    lazy = load_ptbxl(folder.name, lazy=True).data
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(pickle.dumps(lazy[1:4]))
    np.testing.assert_array_equal(np.asarray(again), expected_data([2, 3, 4]))


def test_lazy_reading_of_a_file_that_went_away_names_it(own_folder):
    lazy = load_ptbxl(own_folder, lazy=True).data
    record_of(own_folder, 2).with_suffix(".dat").unlink()
    np.testing.assert_array_equal(lazy[0], expected_data([1])[0])
    with pytest.raises(ValueError, match="00002_lr.hea: its signal file cannot be read") as caught:
        lazy[1]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_threads_change_nothing(folder):
    np.testing.assert_array_equal(load_ptbxl(folder, n_jobs=2).data, load_ptbxl(folder).data)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"task": "diagnosis"}, "'task' parameter.*superdiagnostic"),
        ({"sampling_rate": 250}, "'sampling_rate' parameter.*100"),
        ({"folds": 0}, "folds=0 is not allowed; give an integer from 1 to 10"),
        ({"folds": [1, 11]}, "folds="),
        ({"folds": []}, "folds="),
        ({"folds": "9"}, "folds="),
        ({"folds": True}, "folds="),
        ({"folds": 1.0}, "folds="),
        ({"folds": 9}, r"folds=\[9\] select no row .* has folds \[1, 2, 3, 4, 5, 6, 7\]"),
        ({"folds": 6}, "no record is left to load: 1 rows have no label of task='all'"),
        ({"sampling_rate": 500}, "no record is left to load: .* 6 have no 500 Hz file"),
        ({"on_error": "ignore"}, "'on_error' parameter"),
        ({"lazy": "yes"}, "'lazy' parameter"),
    ],
)
def test_bad_parameters_are_refused_by_name(folder, kwargs, message):
    with pytest.raises(ValueError, match=message):
        load_ptbxl(folder, **kwargs)


def test_wrong_folders_are_named(folder, own_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no ptbxl_database.csv. Give the folder"):
        load_ptbxl(folder / "records100")
    with pytest.raises(FileNotFoundError, match="There is one in .*ptbxl"):
        load_ptbxl(tmp_path)
    table = pd.read_csv(own_folder / "ptbxl_database.csv")
    table.drop(columns="scp_codes").to_csv(own_folder / "ptbxl_database.csv", index=False)
    with pytest.raises(ValueError, match="has no column scp_codes"):
        load_ptbxl(own_folder)


def test_no_record_at_all_is_an_error_with_the_first_reason(own_folder):
    shutil.rmtree(own_folder / "records100")
    with pytest.raises(ValueError, match="6 are listed but their files are not.*00001_lr"):
        load_ptbxl(own_folder)


@pytest.mark.real_data
def test_tasks_agree_with_scp_statements(ptbxl_path):
    statements = pd.read_csv(ptbxl_path / "scp_statements.csv", index_col=0)
    assert sorted(statements.index) == list(PTBXL_TASKS["all"])
    for task in ("diagnostic", "form", "rhythm"):
        assert sorted(statements.index[statements[task] == 1]) == list(PTBXL_TASKS[task])
    table = pd.read_csv(ptbxl_path / "ptbxl_database.csv").set_index("ecg_id")
    for task, column in [
        ("subdiagnostic", "diagnostic_subclass"),
        ("superdiagnostic", "diagnostic_class"),
    ]:
        mapping = statements[column].dropna()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecordsLeftOutWarning)
            found = labels(load_ptbxl(ptbxl_path, task=task, lazy=True))
        for ecg_id, names in found.items():
            codes = ast.literal_eval(table.loc[ecg_id, "scp_codes"])
            assert names == sorted({mapping[code] for code in codes if code in mapping})


@pytest.mark.real_data
def test_statement_counts_agree_with_the_table(ptbxl_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordsLeftOutWarning)
        ecgs = load_ptbxl(ptbxl_path, lazy=True)
    table = pd.read_csv(ptbxl_path / "ptbxl_database.csv").set_index("ecg_id")
    assert len(ecgs.target) + sum(ecgs.left_out.values()) == len(table)
    counts = Counter(
        code
        for text in table.loc[ecgs.metadata.index, "scp_codes"]
        for code in ast.literal_eval(text)
    )
    assert dict(zip(ecgs.target_names, ecgs.target.sum(axis=0), strict=True)) == {
        name: counts[name] for name in PTBXL_TASKS["all"]
    }
    if len(table) == 3835:
        assert counts["NORM"] == 1870 and ecgs.target.shape == (3835, 71)
    occurring = ecgs.target[:, ecgs.target.any(axis=0)]
    assert roc_auc_score(occurring, occurring, average="macro") == 1.0


@pytest.mark.real_data
@pytest.mark.parametrize("rate", [100, 500])
def test_real_records_equal_wfdb(ptbxl_path, rate):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordsLeftOutWarning)
        ecgs = load_ptbxl(ptbxl_path, sampling_rate=rate, lazy=True)
    column = {100: "filename_lr", 500: "filename_hr"}[rate]
    for place in np.linspace(0, len(ecgs.data) - 1, 15).astype(int):
        expected, fields = wfdb.rdsamp(str(ptbxl_path / ecgs.metadata[column].iloc[place]))
        assert fields["sig_name"] == [lead.upper() for lead in LEADS]
        np.testing.assert_array_equal(ecgs.data[place], expected.T.astype(np.float32))


def test_every_statement_has_a_meaning():
    assert sorted(PTBXL_STATEMENTS) == sorted(PTBXL_TASKS["all"])
    assert len(set(PTBXL_STATEMENTS.values())) == 71


@pytest.mark.parametrize(
    ("separator", "encoding", "decimal"),
    [(";", "latin-1", ","), ("\t", "utf-16", "."), (";", "utf-8-sig", "."), (",", "cp1252", ".")],
)
def test_tables_saved_by_a_spreadsheet_are_read(own_folder, separator, encoding, decimal):
    csv = own_folder / "ptbxl_database.csv"
    expected = load_ptbxl(own_folder)
    table = pd.read_csv(csv).assign(report="Überleitungsstörung; sonst, normal")
    table.to_csv(csv, index=False, sep=separator, encoding=encoding, decimal=decimal)
    for path in (own_folder, csv):
        ecgs = load_ptbxl(path)
        pd.testing.assert_frame_equal(
            ecgs.metadata, expected.metadata.assign(report="Überleitungsstörung; sonst, normal")
        )
        np.testing.assert_array_equal(ecgs.data, expected.data)


def test_a_table_of_another_name_can_be_given(own_folder):
    (own_folder / "ptbxl_database.csv").rename(own_folder / "mine.csv")
    assert len(load_ptbxl(own_folder / "mine.csv").data) == 6
    with pytest.raises(FileNotFoundError, match="ptbxl_database.csv' does not exist. Give the fol"):
        load_ptbxl(own_folder / "ptbxl_database.csv")


def test_only_the_names_of_the_chosen_rate_are_needed(own_folder):
    csv = own_folder / "ptbxl_database.csv"
    pd.read_csv(csv).drop(columns=["filename_hr"]).to_csv(csv, index=False)
    assert len(load_ptbxl(own_folder).data) == 6
    with pytest.raises(ValueError, match="has no column filename_hr; it starts with the columns"):
        load_ptbxl(own_folder, sampling_rate=500)


def test_codes_that_a_spreadsheet_damaged_are_read_or_named(own_folder):
    csv = own_folder / "ptbxl_database.csv"
    table = pd.read_csv(csv)
    curled = table.assign(scp_codes=table["scp_codes"].str.replace("'", "\u2019"))
    curled.to_csv(csv, index=False, encoding="utf-8")
    assert len(load_ptbxl(own_folder).data) == 6
    table.loc[0, "scp_codes"] = "{'NORM': 100.0, 'LVOL"
    table.to_csv(csv, index=False)
    with pytest.warns(RecordsLeftOutWarning, match="no usable scp_codes: .*'LVOL"):
        assert len(load_ptbxl(own_folder).data) == 5


def test_rows_that_are_there_twice_count_once(own_folder):
    csv = own_folder / "ptbxl_database.csv"
    table = pd.read_csv(csv)
    pd.concat([table, table.iloc[[1]]]).to_csv(csv, index=False)
    with pytest.warns(RecordsLeftOutWarning, match="1 cannot be read.*ecg_id 2 is there more than"):
        ecgs = load_ptbxl(own_folder)
    assert ecgs.metadata.index.tolist() == load_ids(table)
    pd.concat([table, table.iloc[[1]].assign(patient_id=7)]).to_csv(csv, index=False)
    with pytest.warns(RecordsLeftOutWarning, match="2 cannot be read.*with different values"):
        ecgs = load_ptbxl(own_folder)
    assert 2 not in ecgs.metadata.index and len(ecgs.data) == 5
    with pytest.raises(ValueError, match="ecg_id 2 is there more than once, with different"):
        load_ptbxl(own_folder, on_error="raise")


def load_ids(table):
    return table["ecg_id"][table["scp_codes"] != "{}"].tolist()


def test_rows_without_a_number_are_left_out(own_folder):
    csv = own_folder / "ptbxl_database.csv"
    table = pd.read_csv(csv).astype({"ecg_id": object})
    table.loc[2, "ecg_id"] = "three"
    table.to_csv(csv, index=False)
    with pytest.warns(RecordsLeftOutWarning, match="row 2 has no usable ecg_id"):
        ecgs = load_ptbxl(own_folder)
    assert ecgs.metadata.index.dtype == np.int64 and 3 not in ecgs.metadata.index
