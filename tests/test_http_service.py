"""The HTTP example predicts as the model does, and refuses all other requests."""

import asyncio
import gc
import importlib.util
import io
import json
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline

from ecgsk import STANDARD_LEADS, MTECGClassifier, ProbabilityTransformer, make_ecg
from ecgsk.persistence import save
from ecgsk.preprocessing import BandPass, Resample
from tests.fuzz._case import generator, mutate

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
        ({"signal": [[True, 0.5] * 100] * 12}, "only numbers"),
        ({"signal": [["1", 0.5] * 100] * 12}, "only numbers"),
        ({"signal": [[0.1] * 200] * 11 + [{"0": 1}]}, "only numbers"),
        ({"signal": [[[0.1]] * 50] * 12}, "only numbers"),
        ({"signal": [[2**63, 0.5] * 100] * 12}, "beyond 1e9"),
        ({"signal": [[float("inf")] * 200] * 12}, "NaN or infinite"),
        ({"signal": [[[]] * 200] * 12}, "only numbers"),
        ({"signal": [[[]] * 1000] * 12}, "more than 10000 lists"),
        ({"signal": [["a"] * 500] * 12}, "more than 10000 lists"),
        ({"leads": ["\ud800", *LEADS[1:]]}, "\\ud800"),
        ({"leads": ["V1", *LEADS[1:]]}, "V1"),
        ({"leads": ["x" * 100_000] * 12}, "are missing"),
        ({"unit": "\udfff" * 100_000}, "not a voltage"),
        ({"sampling_rate": "100"}, "sampling_rate must be"),
        ({"sampling_rate": float("nan")}, "sampling_rate must be"),
    ],
)
def test_what_is_no_ecg_is_refused(client, said, change, match):
    said |= change(said) if callable(change) else change
    answer = client.post(
        "/predict", content=json.dumps(said), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422 and match in answer.json()["detail"]
    assert len(answer.content) < 2000


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
    assert send_npy(client, good, unit=["uV", "mV"]).status_code == 422
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


def test_names_that_occur_twice_and_a_query_next_to_json_are_refused(client, said):
    body = json.dumps(said)[:-1] + ', "unit": "uV"}'
    headers = {"Content-Type": "application/json"}
    answer = client.post("/predict", content=body, headers=headers)
    assert answer.status_code == 422 and "a name occurs twice" in answer.json()["detail"]
    answer = client.post("/predict?sampling_rate=250", json=said)
    assert answer.status_code == 422 and "query must be empty" in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["network", "threshold", "steps", "table"])
def test_the_network_computes_once(example, model, said, tmp_path, monkeypatch, kind):
    X, y = make_ecg(16, duration=2, sampling_rate=100, random_state=0), ["no", "yes"] * 8
    served = model
    if kind == "threshold":
        served = FixedThresholdClassifier(FrozenEstimator(model), threshold=0.9, pos_label="yes")
        served = make_pipeline(BandPass(0.5, 40, sampling_rate=100), served).fit(X, y)
    elif kind == "steps":
        served = make_pipeline(BandPass(0.5, 40, sampling_rate=100), model)
        served = FixedThresholdClassifier(FrozenEstimator(served), threshold=0.1, pos_label="no")
        served.fit(X, y)
    elif kind == "table":
        served = make_pipeline(ProbabilityTransformer(FrozenEstimator(model)), LogisticRegression())
        served.fit(X, y)
    save(served, tmp_path / "model.ecgsk")
    service, calls = example.Service(tmp_path / "model.ecgsk"), []
    compute = MTECGClassifier.decision_function
    monkeypatch.setattr(
        MTECGClassifier, "decision_function", lambda self, X: [calls.append(1), compute(self, X)][1]
    )
    answers = [service.predict(**said), service.predict(**{**said, "leads": LEADS[::-1]})]
    assert len(calls) == 2 and answers[0]["probability"] != answers[1]["probability"]
    X = np.array([said["signal"], said["signal"][::-1]], dtype=np.float32)
    assert [answer["decision"] for answer in answers] == served.predict(X).tolist()
    expected = served.predict_proba(X)[:, 1]
    assert [answer["probability"] for answer in answers] == pytest.approx(expected, abs=1e-6)


def random_body(said, random):
    """Return a body that is like a good one, after random changes of fields or of bytes."""
    fields = json.loads(json.dumps(said))
    odd = [None, True, "", "\ud800", "I", [], {}, -1, 0, 1e-300, 1e308, 10**30, [[]], "x" * 5000]
    kind = random.integers(0, 4)
    if kind == 0:
        fields[random.choice(list(fields))] = odd[random.integers(len(odd))]
    elif kind == 1:
        row = fields["signal"][random.integers(0, 12)]
        row[random.integers(0, len(row))] = odd[random.integers(len(odd))]
    elif kind == 2:
        fields["leads"][random.integers(0, 12)] = odd[random.integers(len(odd))]
    else:
        fields["sampling_rate"] = float(10 ** random.uniform(-3, 7))
    return json.dumps(fields).encode()


def test_no_bytes_at_all_lead_to_an_error_in_the_service(client, said):
    said["signal"] = np.round(said["signal"], 3).tolist()
    array = as_npy(np.array(said["signal"], dtype=np.float32))
    for seed in range(150):
        random = generator("service", seed)
        if seed % 3 == 0:
            answer = send_npy(client, mutate(array[:140], random) + array[140:])
        else:
            body = random_body(said, random)
            body = (
                mutate(body, random, [b"[", b"{", b"\xff", b"1e999", b"NaN"]) if seed % 2 else body
            )
            headers = {"Content-Type": "application/json"}
            answer = client.post("/predict", content=body, headers=headers)
        assert answer.status_code in (200, 413, 422), (seed, answer.text)
        assert len(answer.content) < 2000


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30, "²"])
def test_an_odd_length_is_refused(client, length):
    headers = {"Content-Type": "application/json", "Content-Length": length.encode()}
    assert client.post("/predict", content=b"{}", headers=headers).status_code == 413


def test_few_bodies_are_in_memory_at_a_time(example, model, tmp_path, monkeypatch):
    """Sixty bodies of small lists arrive at once: few are read, and one is parsed, at a time."""
    save(model, tmp_path / "model.ecgsk")
    app = example.create_app(tmp_path / "model.ecgsk")
    reading, parsing, most = [0], [0], [0, 0]
    read, parse = example.read_body, example.from_json

    async def read_body(request):
        reading[0] += 1
        most[0] = max(most[0], reading[0])
        await asyncio.sleep(0)
        body = await read(request)
        reading[0] -= 1
        return body

    def from_json(body):
        parsing[0] += 1
        most[1] = max(most[1], parsing[0])
        try:
            return parse(body)
        finally:
            parsing[0] -= 1

    monkeypatch.setattr(example, "read_body", read_body)
    monkeypatch.setattr(example, "from_json", from_json)

    async def post():
        sent = []
        body = b"[" + b"[]," * 10_000 + b"0]"
        scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"",
                 "headers": [(b"content-type", b"application/json")], "http_version": "1.1",
                 "scheme": "http", "server": ("test", 80), "raw_path": b"/predict"}  # fmt: skip

        async def receive():
            await asyncio.sleep(0)
            return {"type": "http.request", "body": body}

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)
        return sent[0]["status"]

    async def all_at_once():
        return await asyncio.gather(*[post() for _ in range(60)])

    assert set(asyncio.run(all_at_once())) == {422}
    assert most[0] <= example.BODIES and most[1] == 1


def test_a_refused_body_leaves_memory_at_once(client, example, said, monkeypatch):
    class Fields(dict):
        pass

    parse, parsed = example.from_json, []

    def from_json(body):
        fields = Fields(parse(body))
        parsed.append(weakref.ref(fields))
        return fields

    monkeypatch.setattr(example, "from_json", from_json)
    gc.disable()
    try:
        assert client.post("/predict", json=said | {"unit": "furlong"}).status_code == 422
        assert [fields() for fields in parsed] == [None]
    finally:
        gc.enable()


def test_a_body_that_does_not_arrive_gives_its_place_to_others(client, example, said, monkeypatch):
    async def never(request):
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(example, "read_body", never)
        patch.setattr(example, "ARRIVES", 0.0)
        for _ in range(example.BODIES + 1):
            assert client.post("/predict", json=said).status_code == 408
    assert client.post("/predict", json=said).status_code == 200
