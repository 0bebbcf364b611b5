"""The HTTP example predicts as the model does, and refuses all other requests."""

import asyncio
import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecgsk import STANDARD_LEADS, MTECGClassifier, make_ecg
from ecgsk.persistence import save
from ecgsk.preprocessing import Resample

pytest.importorskip("fastapi")
EXAMPLE = Path(__file__).parent.parent / "examples" / "http_service.py"
LEADS = list(STANDARD_LEADS)


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("http_service", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model():
    X = make_ecg(16, duration=2, sampling_rate=100, random_state=0)
    model = MTECGClassifier("nano", sampling_rate=100, max_epochs=1, random_state=0)
    return model.fit(X, ["no", "yes"] * 8)


@pytest.fixture(scope="module")
def client(example, model, tmp_path_factory):
    from fastapi.testclient import TestClient

    path = tmp_path_factory.mktemp("service") / "model.ecgsk"
    save(model, path, about="A toy.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECGSK_MODEL", str(path))
        app = example.create_app()
    # The answer of a server to an error in the service, instead of the error.
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def said():
    ecg = make_ecg(1, duration=2, sampling_rate=100, random_state=5)[0]
    return {"sampling_rate": 100, "unit": "mV", "leads": LEADS, "signal": ecg.tolist()}


def as_npy(signal):
    stream = io.BytesIO()
    np.save(stream, signal)
    return stream.getvalue()


def send_npy(client, content, **query):
    query = {"sampling_rate": 100, "unit": "mV", "leads": ",".join(LEADS), **query}
    headers = {"Content-Type": "application/x-npy"}
    return client.post("/predict", params=query, content=content, headers=headers)


def test_predictions_are_those_of_the_model(client, model, said):
    assert client.get("/health").json() == {"status": "ok"}
    about = client.get("/model").json()
    assert about["about"] == "A toy." and about["classes"] == ["no", "yes"]
    assert about["takes"] == {"sampling_rate": 100, "seconds": 2, "leads": LEADS}
    X = np.array(said["signal"], dtype=np.float32)
    expected = model.predict_proba(X[np.newaxis])[0, 1]
    answer = client.post("/predict", json=said).json()
    assert answer["probability"] == expected and answer["warnings"] == []
    assert answer["decision"] == model.predict(X[np.newaxis])[0]
    assert "research use only" in answer["notice"] and "research use" in about["notice"]

    assert send_npy(client, as_npy(X)).json() == answer
    turned = np.asfortranarray(X[::-1].astype(float))
    assert send_npy(client, as_npy(turned), leads=",".join(LEADS[::-1])).json() == answer
    microvolt = {**said, "unit": "uV", "signal": (X.astype(float) * 1000).tolist()}
    assert client.post("/predict", json=microvolt).json()["probability"] == pytest.approx(expected)
    # Without aVF, which is computed, and at another rate.
    eleven = {**said, "leads": LEADS[:5] + LEADS[6:], "signal": np.delete(X, 5, axis=0).tolist()}
    answer = client.post("/predict", json=eleven).json()
    assert answer["probability"] == pytest.approx(expected, abs=1e-3)
    fast = Resample(100, 500).transform(X[np.newaxis])[0]
    answer = send_npy(client, as_npy(fast), sampling_rate=500).json()
    assert answer["probability"] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("names", [["AF", "LBBB"], None])
def test_each_label_has_a_probability(example, tmp_path, said, names):
    X = make_ecg(8, duration=2, sampling_rate=100, random_state=0)
    y = np.arange(16).reshape(8, 2) % 3 == 0
    model = MTECGClassifier("nano", sampling_rate=100, max_epochs=1, random_state=0)
    model.fit(X, y.astype(int) if names is None else pd.DataFrame(y.astype(int), columns=names))
    save(model, tmp_path / "model.ecgsk")
    answer = example.Service(tmp_path / "model.ecgsk").predict(**said)
    X = np.array(said["signal"], dtype=np.float32)[np.newaxis]
    names = names or ["label_0", "label_1"]
    found = [answer[f"probability_{name}"] for name in names]
    assert found == model.predict_proba(X)[0].tolist()
    present = [name for name, value in zip(names, model.predict(X)[0], strict=True) if value]
    assert answer["decision"] == ";".join(present)


def test_microvolt_that_are_called_millivolt_are_noticed(client, said):
    said["signal"] = (np.array(said["signal"]) * 1000).tolist()
    (warning,) = client.post("/predict", json=said).json()["warnings"]
    assert "divide by 1000" in warning


def lose(lead):
    def change(said):
        place = said["leads"].index(lead)
        leads = [name for name in said["leads"] if name != lead]
        return {"leads": leads, "signal": said["signal"][:place] + said["signal"][place + 1 :]}

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lose("V6"), "leads V6 are missing"),
        ({"leads": LEADS[:11]}, "the 11 leads named"),
        ({"leads": ["I"] * 12}, "are missing"),
        ({"leads": "I,II"}, "leads must be a list"),
        ({"leads": [1] * 12}, "leads must be a list"),
        ({"signal": [[]] * 12}, "0 s long"),
        ({"signal": []}, "expected (12, samples)"),
        ({"signal": "twelve leads"}, "only numbers"),
        ({"signal": [["0.1"] * 200] * 12}, "only numbers"),
        ({"signal": [[0.1] * 200] * 11 + [[0.1]]}, "only numbers"),
        ({"signal": [[None] * 200] * 12}, "only numbers"),
        ({"signal": [[10**400, 0.5] * 100] * 12}, "only numbers"),
        ({"signal": [[1e300] * 200] * 12}, "beyond 1e9"),
        ({"signal": [[float("nan")] * 200] * 12}, "NaN or infinite"),
        ({"sampling_rate": 500}, "0.4 s long (200 samples at 500 Hz); the model takes 2 s"),
        ({"sampling_rate": 1e-9}, "s long"),
        ({"sampling_rate": -100}, "sampling_rate must be"),
        ({"sampling_rate": True}, "sampling_rate must be"),
        ({"sampling_rate": 10**400}, "sampling_rate must be"),
        ({"unit": "furlong"}, "not a voltage"),
        ({"unit": None}, "unit must be"),
        ({"units": "uV"}, "and nothing else"),
    ],
)
def test_what_is_no_ecg_is_refused(client, said, change, match):
    said |= change(said) if callable(change) else change
    answer = client.post(
        "/predict", content=json.dumps(said), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422 and match in answer.json()["detail"]


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 100_000, b"1" * 5000, b'{"signal": 1}']
)
def test_what_is_no_json_is_refused(client, body):
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422 and "body" in answer.json()["detail"]


def test_what_is_no_npy_is_refused(client, tmp_path):
    good = as_npy(np.zeros((12, 200)))
    huge = good.replace(b"(12, 200)", b"(12, 1200000000000)").replace(b" " * 10, b"", 1)
    objects = io.BytesIO()
    np.save(objects, np.array([[open]], dtype=object), allow_pickle=True)
    for content in (b"", good[:-8], good + b"\0" * 8, huge, objects.getvalue(), b"\x93NUMPY\x09"):
        answer = send_npy(client, content)
        assert answer.status_code == 422 and "not an .npy file" in answer.json()["detail"]
    assert send_npy(client, good, unit="").status_code == 422
    assert send_npy(client, good, sampling_rate="nan").status_code == 422
    assert send_npy(client, good, more=1).status_code == 422
    assert client.post("/predict", data={"signal": "1"}).status_code == 415


def test_a_body_that_is_too_large_is_not_read(client, example):
    content = b" " * (example.LARGEST_BODY + 1)
    answer = client.post("/predict", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413 and str(example.LARGEST_BODY) in answer.json()["detail"]

    class Endless:
        n_parts = 0

        async def stream(self):
            while True:
                self.n_parts += 1
                yield b" " * 2**20

    request = Endless()
    with pytest.raises(example.HTTPException, match="larger than"):
        asyncio.run(example.read_body(request))
    assert request.n_parts == 5


def test_an_error_in_the_service_reveals_nothing(client, said, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("secret")

    monkeypatch.setattr(MTECGClassifier, "predict", broken)
    answer = client.post("/predict", json=said)
    assert answer.status_code == 500 and "secret" not in answer.text


def test_a_model_that_does_not_name_its_leads_is_not_served(example, model, tmp_path, monkeypatch):
    X = make_ecg(4, duration=2, sampling_rate=100, random_state=0)[:, :3]
    three = MTECGClassifier("nano", sampling_rate=100, max_epochs=1, random_state=0)
    save(three.fit(X, [0, 1, 0, 1]), tmp_path / "three.ecgsk")
    with pytest.raises(ValueError, match="names of its leads"):
        example.create_app(tmp_path / "three.ecgsk")
    monkeypatch.delenv("ECGSK_MODEL", raising=False)
    with pytest.raises(ValueError, match="ECGSK_MODEL"):
        example.create_app()
