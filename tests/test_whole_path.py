"""From files to answers, through scikit-learn's own machinery."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from ecgsk import MTECGClassifier, check_ecg, load_ptbxl, load_wfdb
from ecgsk.metrics import macro_roc_auc
from ecgsk.preprocessing import BandPass, CropPad, Resample


@pytest.mark.slow
@pytest.mark.real_data
def test_ptbxl_is_learnt_in_a_minute(ptbxl_path):
    records = load_ptbxl(ptbxl_path, task="superdiagnostic", folds=range(1, 10))
    train, test = records.fold < 9, records.fold == 9
    model = make_pipeline(
        BandPass(0.5, 40, sampling_rate=100),
        MTECGClassifier(
            "nano",
            sampling_rate=100,
            max_epochs=6,
            learning_rate=4e-3,
            precision="float32",
            random_state=0,
        ),
    )
    findings = pd.DataFrame(records.target, columns=records.target_names)
    model.fit(records.data[train], findings[train])
    area = macro_roc_auc(records.target[test], model.predict_proba(records.data[test]))
    assert area > 0.72  # chance is 0.5
    assert model[-1].label_names_ == ["CD", "HYP", "MI", "NORM", "STTC"]


@pytest.mark.real_data
def test_cinc_records_reach_a_network_of_another_rate(cinc_path):
    records = load_wfdb(cinc_path)
    X = check_ecg(records.data)
    assert X.shape[1:] == (12, 5000)
    old = (records.metadata["age"] >= 60).to_numpy()
    model = MTECGClassifier("nano", sampling_rate=100, max_epochs=1, random_state=0)
    pipeline = make_pipeline(Resample(500, 100), CropPad(800), model).fit(X, old)
    p = pipeline.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    with pytest.raises(ValueError, match="5000 samples a record; expected 800"):
        model.predict(X)


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "ecgsk", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("ecgsk ")
