import contextlib
import hashlib
import os
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import roc_auc_score

import ecgsk.datasets._synthetic.echonext as module
from ecgsk import check_ecg
from ecgsk.datasets import ECHONEXT_FLAGS, ECHONEXT_SCALING, load_echonext, make_echonext
from ecgsk.datasets._echonext.layout import COLUMNS
from ecgsk.datasets._synthetic.echonext_table import draw_splits, draw_table, make_table
from ecgsk.datasets._synthetic.lef_cohort import draw_physiology
from tests._processes import DEAD, die

SPLITS = ("train", "val", "test", "no_split")
CSV = "echonext_metadata_100k.csv"
# Published shares of the flags in train.
PREVALENCES = (0.2, 0.244, 0.040, 0.012, 0.085, 0.106, 0.008, 0.132, 0.029, 0.189, 0.103, 0.524)


@pytest.fixture(autouse=True)
def no_unexpected_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_echonext(tmp_path_factory.mktemp("made") / "new" / "folder", 260, random_state=0)


@pytest.fixture(scope="module")
def table(made):
    return pd.read_csv(made.path / CSV, index_col=0)


@pytest.fixture(scope="module")
def many():
    """Return a table of many records without their recordings."""
    rng = np.random.default_rng(0)
    patients, split = draw_splits(40_000, None, rng)
    cohort = draw_table(patients, split, 0.2, rng)
    p, _ = draw_physiology(cohort, 0.02, rng)
    return make_table(cohort, p), cohort, p


def load(made, split, **kwargs):
    return load_echonext(made.path, split=split, allow_no_split=True, **kwargs)


def test_the_files_are_those_of_the_layout(made, table):
    names = {
        f"EchoNext_{s}_{kind}.npy" for s in SPLITS for kind in ("waveforms", "tabular_features")
    }
    names |= {CSV, "README.md", "SHA256SUMS.txt", "synthetic_truth.csv"}
    assert {file.name for file in made.path.iterdir()} == names
    assert list(table.columns) == list(COLUMNS) and len(COLUMNS) == 38
    assert (made.path / CSV).read_text().startswith(",ecg_key,patient_key,")
    assert "SYNTHETIC" in (made.path / "README.md").read_text().splitlines()[0]
    lines = (made.path / "SHA256SUMS.txt").read_text().splitlines()
    sums = dict(line.split("  ")[::-1] for line in lines)
    assert set(sums) == names - {"SHA256SUMS.txt"}
    for name, digest in sums.items():
        assert hashlib.sha256((made.path / name).read_bytes()).hexdigest() == digest
    for split in SPLITS:
        z = np.load(made.path / f"EchoNext_{split}_waveforms.npy", mmap_mode="r")
        assert z.shape == ((table["split"] == split).sum(), 1, 2500, 12) and z.dtype == np.float64


def test_it_loads_and_says_that_it_is_synthetic(made, table):
    for split in SPLITS:
        ecgs = load(made, split)
        assert ecgs.synthetic and "SYNTHETIC" in ecgs.DESCR
        assert_array_equal(ecgs.target, table["lvef_lte_45_flag"][table["split"] == split])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_ecg(np.asarray(ecgs.data))


def test_the_round_trip_gives_back_what_was_rendered(tmp_path, monkeypatch):
    drawn = []

    def render(*args):
        ecg, beats = original(*args)
        drawn.append(ecg)
        return ecg, beats

    original = module.render
    monkeypatch.setattr(module, "render", render)
    made = make_echonext(tmp_path, 120, random_state=3)
    some = slice(None, None, 12)
    ecg = np.concatenate(drawn).astype(float)[some]
    level = ecg
    for width in (51, 151):
        level = np.pad(level, [(0, 0), (0, 0), (width // 2, width // 2)], mode="edge")
        level = np.median(np.lib.stride_tricks.sliding_window_view(level, width, axis=2), axis=3)
    limits = ECHONEXT_SCALING[["low", "high"]].to_numpy().T[:, None, :, None] * 0.00488
    wanted = np.clip(ecg - level, *limits)
    clipped = (wanted != ecg - level).mean()
    assert 0 < clipped < 0.01
    found = np.concatenate([np.asarray(load(made, split).data) for split in SPLITS])[some]
    assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found).max() > 1
    assert abs(np.median(found)) < 0.02


def test_recordings_have_about_the_published_deviation(made):
    z = load(made, "train", microvolt_per_count=None, lazy=False).data
    assert np.all(np.abs(z.mean(axis=(0, 2))) < 0.5)
    assert np.all((z.std(axis=(0, 2)) > 0.4) & (z.std(axis=(0, 2)) < 2))


@pytest.mark.parametrize("n_records", [8, 40, 60])
@pytest.mark.parametrize("column_order", ["readme", "code"])
def test_small_sets_and_both_orders_of_the_features(tmp_path, n_records, column_order):
    for seed in range(3):
        made = make_echonext(tmp_path, n_records, column_order=column_order, random_state=seed)
        for split in SPLITS:
            ecgs = load(made, split, tabular=n_records >= 40)
            assert len(ecgs.data) >= (2 if n_records >= 40 else 1)
            if n_records >= 40:
                assert (
                    ecgs.tabular.columns[1]
                    == {
                        "readme": "ventricular_rate",
                        "code": "age_at_ecg",
                    }[column_order]
                )
                age = ecgs.tabular["age_at_ecg"] * 16.008829 + 61.269679
                assert_allclose(age, ecgs.metadata["age_at_ecg"])
                pr = (ecgs.metadata["pr_interval"].fillna(0) - 142.880842) / 57.740987
                assert_allclose(ecgs.tabular["pr_interval"], pr)
                assert_array_equal(ecgs.tabular["sex"], 1 - ecgs.covariates["sex"])


@pytest.mark.parametrize(("n_records", "n_patients"), [(40, None), (700, None), (700, 500)])
def test_patients_of_a_split(n_records, n_patients):
    for seed in range(5):
        patients, split = draw_splits(n_records, n_patients, np.random.default_rng(seed))
        of = {name: patients[split == name] for name in SPLITS}
        judged = np.concatenate([of["val"], of["test"]])
        assert len(np.unique(judged)) == len(judged)
        assert set(of["no_split"]) <= set(judged)
        assert not set(of["train"]) & set(judged)
        assert len(np.unique(patients)) == patients.max() + 1
        if n_patients is not None:
            assert len(np.unique(patients)) == n_patients


def test_shares_of_splits_and_patients_are_the_published_ones(many):
    table = many[0]
    share = table["split"].value_counts(normalize=True)
    for split, published in zip(SPLITS, (0.72475, 0.04626, 0.05442, 0.17457), strict=True):
        assert_allclose(share[split], published, atol=1e-4)
    assert_allclose(table["patient_key"].nunique() / len(table), 0.36286, atol=1e-3)
    assert table["ecg_key"].is_unique


def test_the_latest_recording_is_that_of_val_and_test(many):
    table = many[0]
    latest = table[table["most_recent_ecg"] == 1]
    assert latest["patient_key"].is_unique
    assert len(latest) == table["patient_key"].nunique()
    assert (table["most_recent_ecg"][table["split"].isin(["val", "test"])] == 1).all()
    assert (table["most_recent_ecg"][table["split"] == "no_split"] == 0).all()
    last = table.groupby("patient_key")["acquisition_year"].transform("max")
    assert (table["acquisition_year"] == last)[table["most_recent_ecg"] == 1].all()
    # People age by a year a year, to the 90 at which the data set stops counting.
    born = table["acquisition_year"] - table["age_at_ecg"]
    young = table["age_at_ecg"] < 90
    spread = born[young].groupby(table["patient_key"][young]).agg(np.ptp)
    assert spread.max() == 0 and table["age_at_ecg"].max() == 90


def test_flags_have_about_the_published_prevalence(many):
    table = many[0]
    train = table[table["split"] == "train"]
    for flag, published in zip(ECHONEXT_FLAGS, PREVALENCES, strict=True):
        tolerance = 0.08 if flag.startswith("shd") else 0.01 + 0.1 * published
        assert_allclose(train[flag].mean(), published, atol=tolerance, err_msg=flag)
    others = table[list(ECHONEXT_FLAGS[:-1])].any(axis=1)
    assert_array_equal(table["shd_moderate_or_greater_flag"], others.astype(int))


def test_values_are_missing_as_documented_and_agree_with_the_flags(many):
    table, cohort, _ = many
    low = cohort.ejection_fraction <= 45
    assert_array_equal(table["lvef_lte_45_flag"], low)
    missing = table["lvef_value"].isna()
    assert not (missing & (table["shd_moderate_or_greater_flag"] == 1)).any()
    assert_allclose(missing[~low].mean(), 0.2, atol=0.02)
    seen = table[~missing]
    assert_array_equal(seen["lvef_value"], cohort.ejection_fraction[~missing])
    thick = seen[["ivs_measurement", "lvpw_measurement"]].max(axis=1) >= 1.3
    assert_array_equal(thick, seen["lvwt_gte_13_flag"])
    assert_array_equal(seen["pasp_value"] >= 45, seen["pasp_gte_45_flag"])
    assert_array_equal(seen["tr_max_velocity_value"] >= 3.2, seen["tr_max_gte_32_flag"])
    for value, flag in (
        ("mitral_regurgitation_value", ECHONEXT_FLAGS[4]),
        ("rv_systolic_function_value", ECHONEXT_FLAGS[7]),
        ("pericardial_effusion_value", ECHONEXT_FLAGS[8]),
    ):
        graded = seen[value].str.contains("^moderate|^severe|^large")
        assert_array_equal(graded, seen[flag])
    values = [c for c in table if c.endswith(("_value", "_measurement"))]
    assert len(values) == 12 and table.loc[missing, values].isna().all(axis=None)


def test_findings_of_the_heart_go_with_its_fraction(many):
    table, cohort, p = many
    low = table["lvef_lte_45_flag"]
    rv, lvwt = table["rv_systolic_dysfunction_moderate_or_greater_flag"], table["lvwt_gte_13_flag"]
    assert rv[low == 1].mean() > 3 * rv[low == 0].mean()
    shown = dict(zip(cohort.diagnosis_names, cohort.diagnoses.T == 1, strict=True))
    assert lvwt[shown["LVH"]].mean() > 3 * lvwt[~shown["LVH"]].mean()
    for name in ("atrial_rate", "pr_interval"):
        assert_array_equal(table[name].isna(), shown["AFIB"])
    assert_allclose(table["ventricular_rate"], p["heart_rate"], atol=0.5)
    assert table["qrs_duration"][shown["CLBBB"]].min() > 120
    assert table["qt_corrected"][shown["LNGQT"]].median() > 500 > table["qt_corrected"].median()
    assert table["ventricular_rate"].between(30, 200).all()
    # The data set codes 1 for male, make_lef_cohort 1 for female.
    assert_array_equal(table["sex"], cohort.sex == 0)


def test_the_truth_is_what_was_planted(made, table):
    truth = pd.read_csv(made.path / "synthetic_truth.csv")
    pd.testing.assert_frame_equal(truth, made.truth, check_dtype=False)
    assert list(truth.columns[:5]) == [
        "ecg_key",
        "patient_key",
        "split",
        "ejection_fraction",
        "oracle",
    ]
    assert len(truth.columns) == 19 and "CLBBB" in truth
    for name in ("ecg_key", "patient_key", "split"):
        assert_array_equal(truth[name], table[name])
    assert_array_equal(truth["ejection_fraction"] <= 45, table["lvef_lte_45_flag"])
    assert roc_auc_score(truth["ejection_fraction"] <= 45, truth["oracle"]) > 0.85


def test_findings_are_in_the_recordings_of_their_rows(made):
    ecgs = load(made, "train", lazy=False)
    truth = made.truth.set_index("ecg_key").loc[ecgs.metadata["ecg_key"]]
    size = np.ptp(ecgs.data, axis=2).mean(axis=1)
    assert roc_auc_score(truth["LVOLT"], -size) > 0.9
    # The area of V1 turns down in left bundle branch block.
    assert roc_auc_score(truth["CLBBB"], -ecgs.data[:, 6].mean(axis=1)) > 0.8
    beats = (np.abs(np.diff(ecgs.data, axis=2)).sum(axis=1) ** 2).mean(axis=1)
    assert roc_auc_score(truth["LVOLT"], -beats) > 0.9


def test_every_recording_has_noise_of_its_own(tmp_path):
    made = make_echonext(tmp_path, 160, noise=0.5, random_state=0)
    noise = [np.diff(load(made, split, lazy=False).data[:, 6]) for split in SPLITS]
    correlation = np.corrcoef(np.concatenate(noise)) - np.eye(160)
    assert np.abs(correlation).max() < 0.3


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_the_seed_decides_and_the_global_generator_is_left_alone(tmp_path, n_jobs):
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    first = make_echonext(tmp_path / "a", 70, random_state=1)
    make_echonext(tmp_path / "b", 70, random_state=1, n_jobs=n_jobs)
    make_echonext(tmp_path / "c", 70, random_state=np.random.RandomState(1))
    assert_array_equal(np.random.get_state()[1], before)
    sums = [(tmp_path / d / "SHA256SUMS.txt").read_text() for d in "abc"]
    assert sums[0] == sums[1] != sums[2]
    assert not list(first.path.glob(".*"))


def test_temporary_files_of_a_killed_run_are_removed(tmp_path, monkeypatch):
    def killed(path, temporary):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ecgsk._core.files.os.replace", killed)
        patch.setattr("pathlib.Path.unlink", lambda *args, **kwargs: None)
        with pytest.raises(KeyboardInterrupt):
            make_echonext(tmp_path, 8, random_state=0)
    assert list(tmp_path.glob(".*.tmp"))
    make_echonext(tmp_path, 8, random_state=0)
    assert not list(tmp_path.glob(".*"))


def test_synthetic_files_are_replaced_and_others_never(tmp_path):
    made = make_echonext(tmp_path, 60, random_state=0)
    (tmp_path / "notes.txt").write_text("mine")
    make_echonext(tmp_path, 40, random_state=0)
    assert len(pd.read_csv(tmp_path / CSV)) == 40
    assert (tmp_path / "notes.txt").read_text() == "mine"

    def refused(folder, names):
        before = {file.name: file.read_bytes() for file in folder.glob("*.*")}
        with pytest.raises(FileExistsError, match=f"holds {names}.*has not made.*new folder"):
            make_echonext(folder, 40)
        assert before == {file.name: file.read_bytes() for file in folder.glob("*.*")}

    for name in ("README.md", "EchoNext_test_waveforms.npy", CSV, "EchoNext_metadata_100k.csv"):
        folder = tmp_path / "others" / name
        folder.mkdir(parents=True)
        (folder / name).write_text("of somebody else")
        refused(folder, name)
    (made.path / "EchoNext_metadata_100k.csv").write_text("real")
    refused(made.path, "EchoNext_metadata_100k.csv")
    (made.path / "EchoNext_metadata_100k.csv").unlink()
    # Real files over synthetic ones, a README that says nothing, a truth without either.
    text = (made.path / CSV).read_text()
    (made.path / CSV).write_text(text + "real")
    refused(made.path, "EchoNext_no_split_tabular_features.npy")
    (made.path / CSV).write_text(text)
    (made.path / "README.md").write_text("# EchoNext\n")
    refused(made.path, "EchoNext_no_split_tabular_features.npy")
    (made.path / "README.md").unlink()
    refused(made.path, "EchoNext_no_split_tabular_features.npy")


def test_a_run_that_was_stopped_can_be_repeated(tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "_write_batch", stop)
        with pytest.raises(KeyboardInterrupt):
            make_echonext(tmp_path, 40, random_state=0)
    assert not (tmp_path / "EchoNext_train_waveforms.npy").exists()
    with pytest.raises(FileNotFoundError, match=CSV):
        load_echonext(tmp_path, split="train")
    made = make_echonext(tmp_path, 40, random_state=0)
    assert len(load(made, "train").data) == 29


def make_and_die(dest, step, count):
    owner, name = {"replace": (os, "replace"), "unlink": (os, "unlink")}[step]
    function, calls = getattr(owner, name), []

    def dies(*args, **kwargs):
        calls.append(1)
        if len(calls) > count:
            die()
        return function(*args, **kwargs)

    setattr(owner, name, dies)
    make_echonext(dest, 8, random_state=0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("step", ["replace", "unlink"])
def test_a_run_killed_at_any_step_can_be_repeated(tmp_path, step):
    """Killed between any two files that it writes, or that it removes of a run before."""
    make_echonext(tmp_path / "whole", 8, random_state=0)
    whole = {file.name: file.read_bytes() for file in (tmp_path / "whole").iterdir()}
    dest, n_kills = tmp_path / "made", 0
    for count in range(40):
        if step == "unlink":
            make_echonext(dest, 8, random_state=1)
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                make_and_die(dest, step, count)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != DEAD:
            break
        n_kills += 1
    assert n_kills > 8
    make_echonext(dest, 8, random_state=0)
    assert {file.name: file.read_bytes() for file in dest.iterdir()} == whole


def test_a_full_disk_is_noticed_first(tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10**7}))
    with pytest.raises(OSError, match="n_records=60 need 0.0 GB and the disk has 0.0 GB left"):
        make_echonext(tmp_path, 60)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"n_records": 7}, ValueError, "n_records=7 is not allowed; use at least 8"),
        ({"n_records": 50.0}, TypeError, "n_records=50.0"),
        ({"n_records": None}, TypeError, "n_records=None"),
        ({"n_patients": True}, TypeError, "n_patients=True"),
        ({"n_patients": 5}, ValueError, "n_patients=5 is not allowed; use an integer from 7 to 50"),
        ({"n_patients": 51}, ValueError, "n_patients=51"),
        ({"column_order": "paper"}, ValueError, "column_order='paper'.*'readme' or 'code'"),
        ({"prevalence": 1.2}, ValueError, "prevalence=1.2"),
        ({"prevalence": "a"}, TypeError, "prevalence='a'"),
        ({"noise": -1}, ValueError, "noise=-1"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_written(
    tmp_path, kwargs, error, message
):
    with pytest.raises(error, match=message):
        make_echonext(tmp_path / "new", **({"n_records": 60} | kwargs))
    assert not (tmp_path / "new").exists()
