import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import ecgsk
from ecgsk import __version__
from ecgsk._cli import demo
from ecgsk._cli import main as cli
from ecgsk._cli.demo import ptbxl_cohort, synthetic_cohort, train_and_test
from ecgsk.metrics import bootstrap


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    cohort = replace(synthetic_cohort(0, n_records=240), epochs=1)
    with pytest.MonkeyPatch.context() as patch:
        # Few resamples: intervals have tests of their own.
        patch.setattr(demo, "bootstrap", lambda *a, **k: bootstrap(*a, **k | {"n_resamples": 20}))
        return cohort, train_and_test(cohort, out), out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_demo_leaves_figures_pictures_and_a_pipeline_that_predicts(finished):
    cohort, results, out = finished
    assert json.loads((out / "results.json").read_text()) == results
    figures = results["questions"]["EF at most 45 %"]
    assert {"EBM", "logistic regression", "best possible"} < set(figures)
    for row in figures.values():
        for estimate in row.values():
            assert 0 <= estimate["low"] <= estimate["value"] <= estimate["high"] <= 1
    for name in ("terms", "ecg"):
        assert (out / f"ef-at-most-45-{name}.png").stat().st_size > 10_000
    pipeline = ecgsk.load(out / "ef-at-most-45.ecgsk")
    assert list(pipeline[0].get_feature_names_out()) == list(cohort.findings)
    answers = pipeline.predict_proba(cohort.data[cohort.test])[:, 1]
    tested = roc_auc_score(cohort.questions["EF at most 45 %"][cohort.test], answers)
    assert tested == pytest.approx(figures["EBM"]["test"]["value"], abs=1e-4)


def test_no_patient_is_on_both_sides():
    cohort = synthetic_cohort(0, n_records=300)
    assert not set(cohort.groups[cohort.train]) & set(cohort.groups[cohort.test])
    assert 0.6 < cohort.train.mean() < 0.8


@pytest.mark.real_data
def test_the_questions_put_to_ptbxl_are_none_of_its_statements(ptbxl_path):
    cohort = ptbxl_cohort(ptbxl_path)
    assert cohort.findings.shape[1] == 71
    assert not set(cohort.questions) & set(cohort.findings)
    assert not set(cohort.groups[cohort.train]) & set(cohort.groups[cohort.test])
    for answers in cohort.questions.values():
        assert set(np.unique(answers[np.isfinite(answers)])) == {0.0, 1.0}


def test_a_wrong_folder_is_one_line_and_a_status(tmp_path, capsys):
    assert cli.main(["demo", "--ptbxl", str(tmp_path / "none"), "--out", str(tmp_path)]) == 2
    assert not list(tmp_path.iterdir())
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "ptbxl_database.csv" in said[0]


def test_an_output_that_is_no_folder_is_refused_first(tmp_path, capsys):
    (tmp_path / "file").touch()
    for out in ("file", "file/below"):
        assert cli.main(["demo", "--out", str(tmp_path / out)]) == 2
        told = capsys.readouterr()
        assert "file' is not a folder" in told.err and not told.out


def test_results_of_a_run_before_do_not_stay_next_to_new_models(tmp_path, monkeypatch):
    (tmp_path / "results.json").touch()

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "MTECGClassifier", killed)
    with pytest.raises(KeyboardInterrupt):
        train_and_test(synthetic_cohort(0, n_records=60), tmp_path)
    assert not list(tmp_path.iterdir())


def test_version_and_usage(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert __version__ in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        cli.main([])


def test_interruption_and_odd_seeds(monkeypatch, capsys):
    from ecgsk._cli import demo as _demo

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(_demo, "run_demo", interrupt)
    assert cli.main(["demo"]) == 130
    assert "interrupted" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        cli.main(["demo", "--seed", "-1"])
    assert "--seed" in capsys.readouterr().err
