"""Folders that are not as documented, each with the message it should give."""

import os

import numpy as np
import pandas as pd
import pytest

from ecgsk.datasets import load_echonext
from tests._echonext_files import write_echonext

CSV = "echonext_metadata_100k.csv"
WAVES, FEATURES = "EchoNext_val_waveforms.npy", "EchoNext_val_tabular_features.npy"


@pytest.fixture
def folder(tmp_path):
    return write_echonext(tmp_path / "data")


def load(folder, **kwargs):
    return load_echonext(folder, **({"split": "val"} | kwargs))


def change_csv(folder, change):
    table = change(pd.read_csv(folder / CSV, index_col=0))
    table.to_csv(folder / CSV)


def test_wrong_folders_are_named_with_what_they_hold(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no echonext_metadata_100k.csv; it holds d"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"'{folder}' holds the files: give that folder"):
        load(tmp_path)
    write_echonext(tmp_path / "echonext" / "1.1.0")
    with pytest.raises(
        FileNotFoundError, match="Give one of the folders.*1.1.0'.*data'|data'.*1.1.0'"
    ):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="not a folder. Give the one that holds echonext_"):
        load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=f"is a file; give the folder.*'{folder}'"):
        load(folder / CSV)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="it holds nothing.*make_echonext"):
        load(tmp_path / "empty")
    for k in range(20):
        (tmp_path / "empty" / f"file{k:02}").touch()
    with pytest.raises(FileNotFoundError, match="it holds file00, .*, file07, ...\\. "):
        load(tmp_path / "empty")


def test_a_deeper_folder_is_found(tmp_path):
    deep = write_echonext(tmp_path / "physionet.org" / "echonext" / "1.1.0")
    with pytest.raises(FileNotFoundError, match=f"'{deep}' holds the files"):
        load(tmp_path)


@pytest.mark.parametrize("name", [WAVES, FEATURES, CSV])
def test_a_file_that_is_missing_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"holds no {name}; it holds Echo.*another split"):
        load(folder)
    if name == FEATURES:
        assert load(folder, tabular=False).tabular is None
    if name != CSV:
        assert len(load(folder, split="test").data) == 4


def save(change):
    def damage(file):
        np.save(file, change(np.load(file)))

    return damage


def cut(file):
    os.truncate(file, file.stat().st_size - 1000)


def grow(file):
    with open(file, "ab") as stream:
        stream.write(bytes(24))


def replace(content):
    return lambda file: file.write_bytes(content)


def as_objects(file):
    np.save(file, np.load(file).astype(object), allow_pickle=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            save(lambda z: z.transpose(0, 1, 3, 2)),
            r"\(3, 1, 12, 2500\); expected \(N, 1, 2500, 12\)",
        ),
        (save(lambda z: z.transpose(0, 3, 2, 1)), "look turned or joined"),
        (save(lambda z: z[:, 0]), r"shape \(3, 2500, 12\).*turned or joined"),
        (save(lambda z: z[:, :, ::5]), r"shape \(3, 1, 500, 12\); expected"),
        (save(lambda z: z[:0]), r"shape \(0, 1, 2500, 12\); expected"),
        (save(lambda z: z[0, 0, 0, 0]), r"shape \(\); expected"),
        (save(lambda z: (100 * z).astype("int16")), "holds int16; expected float64"),
        (save(np.asfortranarray), "Fortran order.*ascontiguousarray"),
        (as_objects, "holds object; expected float64.*pickled objects are never read"),
        (cut, "has 719128 bytes; .* needs 720128: 1000 are missing.*SHA256SUMS"),
        (grow, "has 720152 bytes; .* needs 720128: there are 24 too many.*SHA256SUMS"),
        (replace(b""), "no readable NumPy header: it is empty.*Copy it again"),
        (replace(b"<!DOCTYPE html><html>"), "looks like a web page"),
        (replace(b"PK\x03\x04" + bytes(200)), "no readable NumPy header"),
        (replace(b"\x93NUMPY\x01\x00\x76\x00{'descr'"), "no readable NumPy header"),
        (replace(b"\x93NUMPY\x09\x00" + bytes(200)), "no readable NumPy header"),
        (save(lambda z: z[:2]), "has 2 rows, but .* has 3 of split 'val' .*6 of train"),
    ],
)
def test_recordings_that_are_not_as_documented(folder, damage, message):
    damage(folder / WAVES)
    with pytest.raises(ValueError, match=message) as caught:
        load(folder)
    assert WAVES in str(caught.value)
    assert len(load(folder, split="test").data) == 4


def nan(x):
    x[1:, 4] = np.nan
    x[2, 4] = np.inf
    return x


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (save(lambda x: x[:, :6]), r"shape \(3, 6\); expected \(N, 7\)"),
        (save(lambda x: x[:2]), "has 2 rows, but .* has 3 of split 'val'"),
        (save(lambda x: x.T), r"shape \(7, 3\)"),
        (as_objects, "holds object"),
        (lambda file: os.truncate(file, 290), "has 290 bytes; .* needs 296: 6 are missing"),
        (replace(b"version https://git-lfs"), "no readable NumPy header"),
        (save(nan), r"2 NaN or infinite values in column 4 \(qrs_duration\), the first in row 1"),
        (
            save(lambda x: x[::-1]),
            "fit no order of sex, .*above 0.999.*0: .*another order than the table.*tabular=F",
        ),
        (save(lambda x: x**2), "fit no order"),
    ],
)
def test_features_that_are_not_as_documented(folder, damage, message):
    damage(folder / FEATURES)
    with pytest.raises(ValueError, match=message) as caught:
        load(folder)
    assert FEATURES in str(caught.value)
    assert load(folder, tabular=False).tabular is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.drop(columns=["lvef_value", "pasp_gte_45_flag"]),
            "no column lvef_value, pasp_gte_45_flag; it starts with the columns ecg_key, patient_",
        ),
        (
            lambda t: t.assign(split=t["split"].replace("no_split", "unused")),
            "5 rows whose split is not one of train, val, test, no_split: 'unused'",
        ),
        (lambda t: t.assign(split=t["split"].replace("test", None)), "4 rows whose split is not"),
        (
            lambda t: t.assign(ecg_key=t["ecg_key"].replace(9003, 9004)),
            "1 rows whose ecg_key stands there before, the first is 9004",
        ),
        (
            lambda t: t.assign(patient_key=t["patient_key"].where(t.index != 3)),
            "1 rows without patient_key, the first is row 3",
        ),
        (lambda t: t.drop(index=t.index[t["split"] == "val"][:1]), "has 3 rows, but .* has 2 of"),
        (lambda t: t[t["split"] != "val"], "has 0 of split 'val'"),
    ],
)
def test_tables_that_are_not_as_documented(folder, change, message):
    change_csv(folder, change)
    with pytest.raises(ValueError, match=message) as caught:
        load(folder)
    assert CSV in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as CSV"),
        (b"a,b\n1,2\n1,2,3\n", "cannot be read as CSV"),
        (b"\xff\xfe\x00x,y\n1,2", "cannot be read as CSV"),
        (b"ecg_key;patient_key;split\n1;2;train\n", "no column sex.*columns ecg_key, patient_key"),
    ],
)
def test_what_is_no_table(folder, content, message):
    (folder / CSV).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"split": "training"}, "'split' parameter.*no_split"),
        ({"missing_ef": "zero"}, "'missing_ef' parameter.*infer"),
        ({"microvolt_per_count": 0}, "'microvolt_per_count' parameter"),
        ({"lazy": "yes"}, "'lazy' parameter"),
        ({"target": 45}, "'target' parameter"),
    ],
)
def test_bad_parameters_are_refused_by_name(folder, kwargs, message):
    with pytest.raises(ValueError, match=message):
        load(folder, **kwargs)


def test_a_file_that_changes_after_loading_is_noticed(folder):
    data = load(folder).data
    cut(folder / WAVES)
    with pytest.raises(ValueError, match="has 719128 bytes but had 720128 when it was loaded"):
        data[0]
    (folder / WAVES).unlink()
    with pytest.raises(FileNotFoundError, match=WAVES):
        data[0]
