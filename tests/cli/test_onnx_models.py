"""``ecgsk predict`` and ``ecgsk info`` of models with networks of other groups."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from ecgsk import STANDARD_LEADS, ONNXClassifier, ProbabilityTransformer, save  # noqa: E402
from ecgsk._cli.main import main  # noqa: E402
from ecgsk.preprocessing import Resample  # noqa: E402
from tests._onnx_files import write_onnx  # noqa: E402
from tests._wfdb_files import write_record  # noqa: E402

LEADS = ["V2", "II"]
WEIGHT = np.array([[3.0, -2.0, 0.5], [1.0, 4.0, -2.0]])


@pytest.fixture(scope="module")
def counts():
    random = np.random.default_rng(0)
    level = random.integers(-400, 400, size=(5, 12, 1))
    return level + random.integers(-50, 50, size=(5, 12, 1000))


@pytest.fixture(params=["network", "behind"])
def model(request, tmp_path, counts):
    """Return a model of recordings at 200 Hz, whose network reads 100 Hz and other leads."""
    write_onnx(tmp_path / "network.onnx", (1, 500, 2), WEIGHT, samples_first=True)
    network = ONNXClassifier(
        tmp_path / "network.onnx",
        ["AF", "LBBB", "MI"],
        sampling_rate=100,
        leads=LEADS,
        activation="sigmoid",
        preprocessing=Resample(200, 100),
    )
    model = make_pipeline(network)
    if request.param == "behind":
        model = make_pipeline(ProbabilityTransformer(network), LogisticRegression())
        model.fit(counts.astype(np.float32) / 1000, ["low", "high", "low", "high", "low"])
    save(model, tmp_path / "model.ecgsk")
    return model


@pytest.mark.filterwarnings("ignore::ecgsk.ECGQualityWarning")
def test_predictions_of_files_need_no_network_file(model, counts, tmp_path, capsys):
    order = list(STANDARD_LEADS[::-1])
    for number, recording in enumerate(counts):
        in_order = recording[::-1].repeat(2, axis=1)  # 400 Hz, in steps
        write_record(tmp_path / "records", f"r{number}", in_order, leads=order, rate=400)
    expected = model.predict_proba(counts.astype(np.float32) / 1000)
    (tmp_path / "network.onnx").unlink()
    out = tmp_path / "out.csv"
    words = [str(tmp_path / "model.ecgsk"), str(tmp_path / "records"), "-o", str(out)]
    assert main(["predict", *words]) == 0
    table = pd.read_csv(out)
    columns = [name for name in table if name.startswith("probability")]
    if len(columns) == 1:
        expected = expected[:, [1]]
    else:
        assert columns == ["probability_AF", "probability_LBBB", "probability_MI"]
    # Steps of 400 Hz are not the same signal as those of 200 Hz, but have the same level.
    np.testing.assert_allclose(table[columns], expected, atol=5e-3)
    capsys.readouterr()
    assert main(["info", words[0], "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["leads"] == LEADS and about["sampling_rate"] == 200 and about["n_samples"] == 1000
