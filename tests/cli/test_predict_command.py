"""``ecgsk predict``: the model's answers, a line for each record, whatever happens on the way."""

import csv
import io
import json
import os
import subprocess
import sys
import time

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ecgsk import (
    ProbabilityTransformer,
    RecordArray,
    load_wfdb,
    make_ecg,
    make_lef_classifier,
)
from ecgsk._cli.arguments import make_parser
from ecgsk._cli.main import main
from ecgsk._cli.model_input import find_model_input
from ecgsk._cli.predictor import Predictor
from ecgsk._cli.recordings import Recordings
from ecgsk.persistence import save
from ecgsk.preprocessing import BandPass, Resample, SelectLeads
from tests._models import RATE, recordings, small_models
from tests._processes import DEAD, die, start
from tests._wfdb_files import LEADS, write_record

THREE = "I,II,V1"


class Fragile(ClassifierMixin, BaseEstimator):
    """Fails, like a network on absurd amplitudes, on whole batches for one recording in them."""

    n_samples_in_, n_features_in_, n_calls = 200, 3, 0
    classes_ = np.array([0, 1])

    def __init__(self, sampling_rate=RATE):
        self.sampling_rate = sampling_rate

    def predict_proba(self, X):
        self.n_calls += 1
        peak = np.abs(X).max(axis=(1, 2))
        if (peak > 100).any():
            raise ValueError(f"no finite answer for {(peak > 100).sum()} of {len(X)}")
        # Depends on the batch, as sums of float32 do.
        p = 1 / (2 + peak + len(X) / 1e3 + np.arange(len(X)) / 1e6)
        p = np.where(peak > 50, np.nan, p)
        return np.stack([1 - p, p], axis=1)

    def predict(self, X):
        return self.classes_[(self.predict_proba(X)[:, 1] > 0.5).astype(int)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def model(folder):
    X, y = recordings()
    model = small_models()["mtecg"].set_params(max_epochs=2).fit(X, np.array(["no", "yes"])[y])
    save(model, folder / "model.ecgsk")
    joblib.dump(model, folder / "model.joblib")
    np.save(folder / "many.npy", recordings(30, seed=1)[0])
    return model


@pytest.fixture(scope="module")
def files(folder):
    """Return a folder of WFDB records at 500 Hz in folders, one of them of other leads."""
    for i in range(5):
        counts = (make_ecg(1, duration=2, sampling_rate=500, random_state=i)[0] * 1000).astype(
            "<i2"
        )
        write_record(folder / "files" / f"part{i % 2}", f"r{i}", counts, mat=i == 3)
    return folder / "files"


def predict(*words, status=0, **options):
    words = [*map(str, words)]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    assert main(["predict", *words]) == status


def lines(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_answers_are_those_of_the_model(folder, model, files, capsys):
    predict(folder / "model.ecgsk", folder / "many.npy", files, out=folder / "all.csv",
            sampling_rate=RATE, leads=THREE, batch_size=7)  # fmt: skip
    rows = lines(folder / "all.csv")
    names = [f"{folder}/many.npy[{i}]" for i in range(30)]
    names += [f"{files}/part{i % 2}/r{i}" for i in (0, 2, 4, 1, 3)]
    assert [row["record"] for row in rows] == names
    read = load_wfdb(files, leads=THREE.split(","), sampling_rate=RATE, n_samples=200).data
    X = np.concatenate([np.load(folder / "many.npy"), read])
    p = np.concatenate([model.predict_proba(X[i : i + 7])[:, 1] for i in range(0, 35, 7)])
    assert [float(row["probability"]) for row in rows] == p.tolist()
    assert [row["decision"] for row in rows] == model.predict(X).tolist()
    assert {row["error"] for row in rows} == {""}
    assert not (folder / "all.csv.state.json").exists()
    assert str(folder / "all.csv") in capsys.readouterr().out


def test_a_bad_record_costs_only_its_line(folder, model, capsys):
    place = folder / "bad"
    ecgs = (make_ecg(9, duration=2, sampling_rate=500, random_state=0) * 1000).astype("<i2")
    good = [write_record(place, f"g{i}", ecgs[i]) for i in range(5)]
    bad = {
        "is truncated": write_record(place, "a", ecgs[5], data=b"\0\0"),
        "leads V1 are missing": write_record(place, "b", ecgs[6], leads=[*LEADS[:6], *"ABCDEF"]),
        "it is 1 s long": write_record(place, "c", ecgs[7][:, :500]),
        "no sample of it is a number": write_record(place, "d", np.full((12, 1000), -32768)),
        "signal file e.dat is missing": write_record(place, "e", ecgs[8]),
        "NaN or infinite": place / "nan.npy",
        "axes look swapped": place / "turned.npy",
        "shape (1, 1) and type object": place / "objects.npy",
    }
    (place / "e.dat").unlink()
    np.save(place / "nan.npy", np.where(np.arange(600).reshape(3, 200) == 5, np.nan, 0.1))
    np.save(place / "turned.npy", np.zeros((200, 3)))
    np.save(place / "objects.npy", np.array([[{}]]), allow_pickle=True)
    flat = ecgs[4].copy()
    flat[1] = 0
    good[4] = write_record(place, "g4", flat)

    mixed = [good[0], *bad.values(), *good[1:]]
    options = {"sampling_rate": RATE, "leads": THREE, "batch_size": 2}
    predict(folder / "model.ecgsk", *mixed, out=folder / "bad.csv", status=1, **options)
    assert "8 of 13 recordings have no prediction" in capsys.readouterr().err
    predict(folder / "model.ecgsk", *good, out=folder / "good.csv", **options)
    rows = lines(folder / "bad.csv")
    assert [row for row in rows if not row["error"]] == lines(folder / "good.csv")
    failed = [row for row in rows if row["error"]]
    assert all(row["probability"] == row["decision"] == "" for row in failed)
    for row, (reason, path) in zip(failed, bad.items(), strict=True):
        assert row["record"] == str(path) and reason in row["error"]
    assert [bool(row["doubts"]) for row in rows] == [False] * 12 + [True]


def test_what_the_model_refuses_is_found_in_its_batch(folder):
    joblib.dump(Fragile(), folder / "fragile.joblib")
    X = recordings(41, seed=2)[0]
    good = np.ones(41, dtype=bool)
    good[[0, 3, 4, 17, 39]] = False
    X[[0, 3, 4], 0, 0], X[[17, 39], 0, 0] = 1000, 70
    np.save(folder / "mixed.npy", X)
    np.save(folder / "sound.npy", X[good])
    options = {"sampling_rate": RATE, "batch_size": 16, "allow_pickle": True}
    model = folder / "fragile.joblib"
    predict(model, folder / "mixed.npy", out=folder / "mixed.csv", status=1, **options)
    predict(model, folder / "sound.npy", out=folder / "sound.csv", **options)
    rows, sound = lines(folder / "mixed.csv"), lines(folder / "sound.csv")
    kept = [row["probability"] for row in rows if not row["error"]]
    assert kept == [row["probability"] for row in sound]
    assert [bool(row["error"]) for row in rows] == (~good).tolist()
    assert rows[3]["error"] == "no finite answer for 1 of 1" and "finite" in rows[17]["error"]

    # Two in 64 are found in a dozen calls, not in 64.
    np.save(folder / "one.npy", np.concatenate([X[good], X[:1], X[good][:27]]))
    fragile = Fragile()
    records = Recordings([str(folder / "one.npy")], find_model_input(fragile), sampling_rate=RATE)
    assert len(sum(Predictor(fragile).batches(records, 64), [])) == 64
    assert fragile.n_calls <= 25


class Crowded(Fragile):
    def predict_proba(self, X):
        if len(X) > 20:
            raise RuntimeError("out of memory")
        return super().predict_proba(X)


def test_a_batch_that_is_too_large_is_no_fault_of_records(folder, model, capsys):
    joblib.dump(Crowded(), folder / "crowded.joblib")
    predict(folder / "crowded.joblib", folder / "many.npy", out=folder / "crowded.csv",
            sampling_rate=RATE, allow_pickle=True, status=2)  # fmt: skip
    assert "smaller --batch-size" in capsys.readouterr().err
    # Nothing was written that another size could not begin with.
    predict(folder / "crowded.joblib", folder / "many.npy", out=folder / "crowded.csv",
            sampling_rate=RATE, allow_pickle=True, batch_size=20)  # fmt: skip


def answer_until_killed(state, words):
    """Run the command, and die without a word when it has written how far it is."""
    answer, calls = Predictor.predict, []

    def dies(self, X):
        calls.append(len(X))
        if len(calls) == 100:
            time.sleep(0.3)  # it writes that four times a second
        if state.exists() and json.loads(state.read_text())["records"]:
            die()
        return answer(self, X)

    Predictor.predict = dies
    main(["predict", *words])


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_alike(folder, model, capsys):
    X = recordings(800, seed=3)[0]
    X[::50] = np.nan
    np.save(folder / "long.npy", X)
    words = [folder / "model.ecgsk", folder / "long.npy", "--sampling-rate", RATE]
    words += ["--batch-size", 1, "--out"]
    killed, whole = folder / "killed.csv", folder / "whole.csv"
    state = folder / "killed.csv.state.json"
    process = start(answer_until_killed, state, [*map(str, words), str(killed)])
    process.join()
    assert process.exitcode == DEAD
    there = killed.read_bytes()
    assert 1 < there.count(b"\n") < 800
    killed.write_bytes(there + b'"half a li')

    # Another model, other options or other recordings do not go on with it.
    predict(*words[:-3], out=killed, batch_size=2, status=2)
    assert "a run with other options" in capsys.readouterr().err
    predict(*words[:2], folder / "many.npy", *words[2:], killed, status=2)
    assert "other RECORDS" in capsys.readouterr().err

    predict(*words, killed, status=1)
    said = capsys.readouterr().err
    predict(*words, whole, status=1)
    assert killed.read_bytes() == whole.read_bytes()
    assert said.replace("killed", "whole") == capsys.readouterr().err
    assert "16 of 800" in said and not state.exists()
    predict(*words, whole, status=2)
    assert "exists already" in capsys.readouterr().err
    assert whole.read_bytes() == killed.read_bytes()


def test_an_interrupted_run_says_how_to_go_on(folder, model, monkeypatch, capsys):
    pytest.importorskip("pyarrow")
    words = [folder / "model.ecgsk", folder / "many.npy"]
    options = {"sampling_rate": RATE, "batch_size": 8}
    predict(*words, out=folder / "straight.parquet", **options)
    predict_batch, calls = Predictor.predict, []

    def interrupted(self, X):
        calls.append(len(X))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return predict_batch(self, X)

    monkeypatch.setattr(Predictor, "predict", interrupted)
    out = folder / "stopped.parquet"
    predict(*words, out=out, status=130, **options)
    said = capsys.readouterr().err
    assert "after 16 of 30 recordings; give the same command to continue" in said
    assert not out.exists() and (folder / "stopped.parquet.partial.csv").exists()
    predict(*words, out=out, **options)
    assert calls == [8, 8, 8, 8, 6]
    left = pd.read_parquet(out)
    pd.testing.assert_frame_equal(left, pd.read_parquet(folder / "straight.parquet"))
    predict(*words, out=folder / "straight.csv", **options)
    told = pd.read_csv(folder / "straight.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(left, told, check_dtype=False)
    assert not list(folder.glob("stopped.parquet.*"))


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "table"])
def test_columns_and_decisions(folder, model, kind):
    X, y = recordings()
    if kind == "table":
        names = ["probability"]
        glass = make_pipeline(
            ProbabilityTransformer(FrozenEstimator(model)), LogisticRegression(C=50)
        )
        other = glass.fit(X, y)
    elif kind == "multiclass":
        names = [f"probability_{name}" for name in "abc"]
        other = small_models()["ecgfounder"].set_params(max_epochs=1)
        other.fit(X, np.array(list("abc"))[y + (np.arange(48) % 3 == 0)])
    else:
        names = ["probability_fast", "probability_slow, or =odd"]
        labels = pd.DataFrame({"fast": y, "slow, or =odd": 1 - y})
        other = small_models()["mtecg"].set_params(max_epochs=4).fit(X, labels)
    save(other, folder / f"{kind}.ecgsk")
    np.save(folder / "some.npy", X)
    out = folder / f"{kind}.csv"
    words = [folder / f"{kind}.ecgsk", folder / "some.npy"]
    predict(*words, out=out, sampling_rate=RATE)
    rows = lines(out)
    assert list(rows[0]) == ["record", *names, "decision", "doubts", "error"]
    p = np.array([[float(row[name]) for name in names] for row in rows])
    expected = other.predict_proba(X)
    np.testing.assert_array_equal(p, expected[:, 1:] if kind == "table" else expected)
    decided = other.predict(X)
    if kind == "multilabel":
        names = np.array(["fast", "slow, or =odd"], dtype=object)
        assert len({row["decision"] for row in rows}) > 1
        assert [r["decision"] for r in rows] == [";".join(names[row == 1]) for row in decided]
    else:
        assert [row["decision"] for row in rows] == [str(value) for value in decided]
    if kind == "table":
        cut = sorted(p[:, 0])[30]
        predict(*words, out=out, sampling_rate=RATE, threshold=cut, overwrite=True)
        assert [row["decision"] for row in lines(out)] == np.where(
            p[:, 0] >= cut, "1", "0"
        ).tolist()
    else:
        predict(*words, out=out, sampling_rate=RATE, threshold=0.5, overwrite=True, status=2)


def test_age_and_sex_come_from_headers(folder, model):
    X, y = recordings()
    table = pd.DataFrame({"age": np.linspace(30, 80, 48), "sex": np.arange(48) // 24})
    lef = make_lef_classifier(
        FrozenEstimator(model), covariates=["age", "sex"], classifier="logistic"
    )
    lef.fit(RecordArray.wrap(X, table=table), np.arange(48) // 24)
    save(lef, folder / "lef.ecgsk")
    ecg = (make_ecg(1, duration=2, sampling_rate=RATE, random_state=0)[0] * 1000).astype("<i2")
    for name, said in [("man", ["#Age: 40", "#Sex: Male"]), ("woman", ["#Age: 70", "#Sex: F"])]:
        write_record(folder / "patients", name, ecg, rate=RATE, comments=said)
    write_record(folder / "patients", "x", ecg, rate=RATE)
    said = ["#Age: 300", "#Sex: F"]  # hidden as over 89
    write_record(folder / "patients", "y", ecg, rate=RATE, comments=said)
    write_record(folder / "patients", "z", ecg, rate=RATE, comments=["#Age: -1", "#Sex: F"])
    out = folder / "lef.csv"
    predict(folder / "lef.ecgsk", folder / "patients", out=out, leads=THREE, batch_size=8, status=1)
    with pytest.warns(UserWarning, match=r"'-1' \(z\)"):
        read = load_wfdb(folder / "patients", leads=THREE.split(",")).data
    table = pd.DataFrame({"age": [40, 70, np.nan, 90, np.nan], "sex": [0, 1, np.nan, 1, 1]})
    expected = lef.predict_proba(RecordArray.wrap(read, table=table))[:, 1]
    rows = lines(out)
    known = [0, 1, 3]
    expected = [expected[i] for i in known]
    assert [float(rows[i]["probability"]) for i in known] == pytest.approx(expected, rel=1e-5)
    assert expected[1] > expected[0]
    assert rows[2]["error"].startswith("the model needs age; the file has none")
    assert "that of the file, '-1', cannot be right" in rows[4]["error"]
    assert [row["doubts"] for row in rows[:3]] == [""] * 3
    assert "covariate: its age is 90, but training had values of 30 to 80" in rows[3]["doubts"]
    # A table completes and corrects what headers state; doubts do not fail unless asked.
    (folder / "ages.csv").write_text(
        "record;age;sex\nman;45;\nwoman;;female\nx;50;male\ny;70;1\nz;33;0\n"
    )
    options = {"out": out, "leads": THREE, "overwrite": True, "table": folder / "ages.csv"}
    predict(folder / "lef.ecgsk", folder / "patients", status=2, **options)  # what 1 means
    options["sex_one_is"] = "female"
    predict(folder / "lef.ecgsk", folder / "patients", strict=True, **options)
    table = pd.DataFrame({"age": [45.0, 70, 50, 70, 33], "sex": [0.0, 1, 0, 1, 0]})
    expected = lef.predict_proba(RecordArray.wrap(read, table=table))[:, 1]
    rows = lines(out)
    assert [float(row["probability"]) for row in rows] == pytest.approx(expected.tolist(), rel=1e-5)
    text = (folder / "ages.csv").read_text()
    (folder / "ages.csv").write_text(text.replace("x;50", "x;110"))
    predict(folder / "lef.ecgsk", folder / "patients", **options)
    predict(folder / "lef.ecgsk", folder / "patients", strict=True, status=3, **options)
    (folder / "ages.csv").write_text(text.replace("x;50", "x;-1"))
    predict(folder / "lef.ecgsk", folder / "patients", status=2, **options)
    # The spreadsheet of the training: another column of names, with folders and endings.
    named = text.replace("record;age", "File;Age").replace("x;50;", "patients/x.xml;50 years;")
    named = named.replace("man;45;\n", "man;45;\nman.hea;45;\n", 1) + "nobody;1;male\n"
    (folder / "ages.csv").write_text(named)
    predict(folder / "lef.ecgsk", folder / "patients", table_on="file", **options)
    again = [float(row["probability"]) for row in lines(out)]
    assert again == pytest.approx(expected.tolist(), rel=1e-5)
    (folder / "ages.csv").write_text(named.replace("man.hea;45", "man.hea;46"))
    predict(folder / "lef.ecgsk", folder / "patients", status=2, table_on="file", **options)
    (folder / "ages.csv").write_text(text.replace("x;50;male\n", ""))
    predict(folder / "lef.ecgsk", folder / "patients", status=1, **options)
    assert "--table has no row for the record 'x'" in lines(out)[2]["error"]


def test_recordings_that_are_too_long_are_cut_if_asked(folder, model):
    ecg = (make_ecg(1, duration=5, sampling_rate=500, random_state=0)[0] * 1000).astype("<i2")
    write_record(folder / "long", "wfdb", ecg)
    write_record(folder / "long", "copy", ecg[:, :1000])
    options = {"leads": THREE, "batch_size": 1}
    predict(folder / "model.ecgsk", folder / "long", out=folder / "cut.csv", crop=True, **options)
    copy, cut = lines(folder / "cut.csv")
    assert "its first 2 s" in cut["doubts"] and not copy["doubts"]
    assert float(cut["probability"]) == pytest.approx(float(copy["probability"]), abs=1e-3)
    predict(folder / "model.ecgsk", folder / "long", out=folder / "uncut.csv", status=1, **options)
    assert (
        "5 s long (2500 samples at 500 Hz); the model takes 2 s"
        in lines(folder / "uncut.csv")[1]["error"]
    )


def test_what_a_model_takes_is_read_from_its_parts(model):
    assert find_model_input(model).leads is None and find_model_input(model).n_samples == 200
    chosen = make_pipeline(
        Resample(500, RATE), SelectLeads(["I", "II", "V1"]), BandPass(0.5, 40, sampling_rate=RATE),
        ProbabilityTransformer(FrozenEstimator(model)), LogisticRegression(),
    )  # fmt: skip
    chosen.fit(make_ecg(6, duration=2, sampling_rate=500, random_state=0), [0, 1] * 3)
    taken = find_model_input(chosen)
    assert (taken.sampling_rate, taken.n_samples, list(taken.leads)) == (500, 1000, LEADS)
    with pytest.raises(ValueError, match="--model-rate"):
        find_model_input(LogisticRegression())
    taken = find_model_input(LogisticRegression(), sampling_rate=250, seconds=10)
    assert (taken.n_samples, taken.n_leads) == (2500, 12)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["nowhere.ecgsk", "many.npy"], "does not exist"),
        (["model.joblib", "many.npy"], "--allow-pickle"),
        (["many.npy", "many.npy"], "--allow-pickle"),
        (["many.npy", "many.npy", "--allow-pickle"], "is not a file of joblib"),
        (["model.ecgsk", "nowhere"], "there is no nowhere.hea"),
        (["model.ecgsk", "empty"], "the folder 'empty' contains no recording"),
        (["model.ecgsk", "files"], "name them with --leads"),
        (["model.ecgsk", "many.npy", "NO RATE"], "give --sampling-rate"),
        (["model.ecgsk", "many.npy", "--out", "x.txt"], "end in .csv or .parquet"),
        (
            ["model.ecgsk", "many.npy", "--out", "no/folder/x.csv"],
            "folder' does not exist. Create",
        ),
        (["model.ecgsk", "many.npy", "--out", "empty"], "name a file in it, for example 'empty/"),
        (["files", "model.ecgsk"], "MODEL='files' is a folder. Give a file of ecgsk.save, which"),
        (["x.XML", "many.npy"], "MODEL='x.XML' is empty"),
        (["model.ecgsk", "many.npy", "--out", "~/no/x.csv"], "/no' does not exist. Create it"),
        (["model.ecgsk", "x.XML"], "x.XML': it is empty"),
        (["model.csv", "many.npy", "--out", "model.csv"], "the same file as the input 'model.csv'"),
    ],
)
def test_what_cannot_be_done_is_said(folder, model, files, words, match, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "x.XML").touch()
    (folder / "model.csv").write_bytes((folder / "model.ecgsk").read_bytes())
    rate = [] if "NO RATE" in words else ["--sampling-rate", str(RATE)]
    words = [word for word in words if word != "NO RATE"]
    assert main(["predict", "--out", "wrong.csv", *words, *rate]) == 2
    said = capsys.readouterr().err
    assert said.startswith("ecgsk predict: ") and match in said and "Traceback" not in said
    assert not (folder / "wrong.csv").exists()


@pytest.mark.parametrize(
    ("option", "value", "match"),
    [
        ("--sampling-rate", "100Hz", "'100Hz' is not a positive number"),
        ("--seconds", "nan", "'nan' is not a positive number"),
        ("--threshold", "50", "'50' is not between 0 and 1"),
        ("--batch-size", "2.5", "'2.5' is not a positive whole number"),
    ],
)
def test_numbers_that_are_not_allowed_are_named(option, value, match, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["predict", "m", "r", "-o", "x.csv", option, value])
    assert f"argument {option}: {match}" in capsys.readouterr().err


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    parse = make_parser().parse_args
    options = parse(["predict", "~/m", "~/a", "b", "--out=~/c.csv"])
    assert (options.model, options.records) == (f"{tmp_path}/m", [f"{tmp_path}/a", "b"])
    assert options.out == f"{tmp_path}/c.csv"
    (tmp_path / "~").mkdir()
    assert parse(["info", "~"]).file == "~"


def test_names_that_a_terminal_cannot_show_are_no_error(folder, model, tmp_path, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", terminal)
    out = tmp_path / os.fsdecode(b"\xff\xe9.csv")
    predict(folder / "model.ecgsk", folder / "many.npy", out=out, sampling_rate=RATE)
    assert rb"\udcff\udce9.csv" in terminal.buffer.getvalue() and out.exists()


def test_help_is_quick_and_explains_the_columns(capsys):
    script = (
        "import sys; from ecgsk._cli.main import main\n"
        "try: main(['predict', '--help'])\n"
        "finally: assert not {'torch', 'interpret'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for column in ("record", "probability", "decision", "doubts", "error"):
        assert f"\n  {column} " in done.stdout
