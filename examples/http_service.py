"""A saved model behind HTTP: one recording in, its probabilities out. For research use only.

    pip install "ecgsk[service]"
    python examples/http_service.py model.ecgsk           # or ECGSK_MODEL=model.ecgsk

    curl -s localhost:8000/model
    curl -s localhost:8000/predict -H "Content-Type: application/json" -d '{"sampling_rate": 500,
        "unit": "mV", "leads": ["I", "II", ...], "signal": [[0.01, 0.02, ...], ...]}'
    curl -s "localhost:8000/predict?sampling_rate=500&unit=mV&leads=I,II,..." \
        -H "Content-Type: application/x-npy" --data-binary @ecg.npy

Sampling rate, unit and leads are required. Leads may come in any order, and limb leads that are
missing are computed from I and II. A body may have up to 4 MB; ten seconds at 1000 Hz need less,
and an .npy file a fifth of the same recording in JSON. Recordings that the model does not take are
refused with the reason. Four bodies are in memory at a time, and one of them is parsed; the others
wait. The service listens only on this machine: a proxy in front of it has to add access control,
encryption and time limits.
"""

import argparse
import asyncio
import io
import json
import os
import threading
import warnings
from contextlib import contextmanager

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from sklearn.pipeline import Pipeline
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

import ecgsk
from ecgsk.persistence import describe, load
from ecgsk.preprocessing import CropPad, Resample, SelectLeads

LARGEST_BODY = 4 * 2**20
# Bodies that are in memory at the same time, and the time in which one has to arrive, s.
BODIES, ARRIVES = 4, 30.0
# Lists, objects and texts need up to 50 times the memory of their JSON, numbers only 8 times.
MOST_MARKS = 10_000
LONGEST_TEXT = 500
# Largest difference of a recording's length from the model's, s.
TOLERANCE = 0.05
MILLIVOLTS = {"V": 1e3, "mV": 1.0, "uV": 1e-3, "µV": 1e-3, "nV": 1e-6}
NOTICE = "For research use only: not a medical device. Do not base decisions about patients on it."
FIELDS = ("sampling_rate", "unit", "leads", "signal")
ARRAYS = ("application/x-npy", "application/octet-stream")


class Service:
    """A model that predicts for one recording at a time."""

    def __init__(self, path: str):
        self.model = load(path, device="auto")
        about = describe(path)
        self.rate, self.seconds, self.leads = (
            about[name] for name in ("sampling_rate", "seconds", "leads")
        )
        if None in (self.rate, self.seconds, self.leads):
            raise ValueError(
                f"{path} does not contain the sampling rate, the length and the names of its "
                "leads: fit the model with sampling_rate= and leads=."
            )
        self.labels = about["label_names"]
        takes = {"sampling_rate": self.rate, "seconds": self.seconds, "leads": self.leads}
        self.about = {"notice": NOTICE, **about, "takes": takes}
        self._front, self._classifier = split_front(self.model)
        self._lock = threading.Lock()

    def predict(self, sampling_rate: float, unit: str, leads: list[str], signal) -> dict:
        """Return probabilities and the decision; ValueError for recordings that are refused."""
        # The lock also keeps the warnings of requests apart.
        with self._lock, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            X = self._prepare(sampling_rate, unit, leads, signal)
            for step in self._front:
                X = step.transform(X)
            with computed_once(self._classifier):
                probabilities = self._classifier.predict_proba(X)[0].tolist()
                decision = self._classifier.predict(X)[0]
        if not np.isfinite(probabilities).all():
            raise ValueError("the model's probabilities of it are not finite.")
        names = self.labels or [str(value) for value in self.model.classes_]
        if self.labels:
            present = [name for name, value in zip(names, decision, strict=True) if value]
            decision = ";".join(present)
        named = {f"probability_{n}": p for n, p in zip(names, probabilities, strict=True)}
        if not self.labels and len(names) == 2:
            named = {"probability": probabilities[1]}
        quality = [w.message for w in caught if issubclass(w.category, ecgsk.ECGQualityWarning)]
        return {
            "notice": NOTICE,
            **named,
            "decision": str(decision),
            "warnings": sorted({printable(message) for message in quality}),
        }

    def _prepare(self, sampling_rate, unit, leads, signal) -> np.ndarray:
        signal = as_numbers(signal)
        if signal.ndim != 2 or len(signal) != len(leads):
            raise ValueError(
                f"signal has shape {signal.shape}; expected ({len(leads)}, samples) for the "
                f"{len(leads)} leads named."
            )
        if unit not in MILLIVOLTS:
            raise ValueError(
                f"unit {unit[:40]!r} is not a voltage; use one of {', '.join(MILLIVOLTS)}."
            )
        seconds = signal.shape[1] / sampling_rate
        # Before resampling, which with a wrong rate may need any amount of memory.
        if abs(seconds - self.seconds) > TOLERANCE:
            raise ValueError(
                f"signal is {seconds:g} s long ({signal.shape[1]} samples at {sampling_rate:g} "
                f"Hz); the model takes {self.seconds:g} s."
            )
        with np.errstate(over="ignore"):  # check_ecg refuses infinity
            X = signal[np.newaxis] * MILLIVOLTS[unit]
            X = ecgsk.check_ecg(X, n_leads=len(leads), leads=leads)
        X = SelectLeads(self.leads, input_leads=leads).transform(X)
        if sampling_rate != self.rate:
            X = Resample(sampling_rate, self.rate).transform(X)
        return CropPad(round(self.seconds * self.rate)).transform(X)


def split_front(model) -> tuple[list, object]:
    """Return the steps in front of a model's classifier, and the classifier."""
    front: list = []
    while isinstance(model, Pipeline):
        front += [step for _, step in model.steps[:-1] if step not in (None, "passthrough")]
        model = model[-1]
    return front, model


@contextmanager
def computed_once(classifier):
    """Let a network, alone or below a threshold, compute once for probabilities and decision."""
    network = classifier
    while hasattr(network, "estimator") or isinstance(network, Pipeline):
        if isinstance(network, Pipeline):
            network = network[-1]
        else:
            network = getattr(network, "estimator_", network.estimator)
    if not hasattr(network, "net_"):
        yield  # it reads a table, which takes little time
        return
    compute, known = network.decision_function, []

    def decision_function(X):
        if not known or not np.array_equal(known[0], X):
            known[:] = X, compute(X)
        return known[1]

    network.decision_function = decision_function
    try:
        yield
    finally:
        del network.decision_function


def as_numbers(values) -> np.ndarray:
    """Return an array of numbers; ValueError for text, gaps and lists of different lengths."""
    try:
        if isinstance(values, list) and not only_numbers(values):
            raise ValueError("not numbers")
        array = np.asarray(values)
    except (ValueError, OverflowError, RecursionError):
        array = None
    if array is None or array.dtype.kind not in "fiu":
        raise ValueError("signal must contain only numbers, the same number for each lead.")
    return array


def only_numbers(rows: list) -> bool:
    """Return whether lists contain only numbers, without true and "1", which NumPy converts."""
    return all(isinstance(row, list) and set(map(type, row)) <= {int, float} for row in rows)


def printable(message) -> str:
    """Return a text that JSON can encode, and not all that a request sent to be repeated."""
    text = str(message)
    short = text[:LONGEST_TEXT] + " ..." * (len(text) > LONGEST_TEXT)
    return short.encode(errors="backslashreplace").decode()


def from_json(body: bytes) -> dict:
    """Return the four fields of a JSON body."""
    if sum(map(body.count, (b"[", b"{", b":", b'"'))) > MOST_MARKS:
        raise ValueError(
            f"the body contains more than {MOST_MARKS} lists, objects and quotes; it must be one "
            "object, with one list of numbers for each lead."
        )
    try:
        fields = json.loads(body, object_pairs_hook=without_repeats)
    except (ValueError, RecursionError) as error:
        reason = error if type(error) is ValueError else type(error).__name__
        raise ValueError(f"the body is not valid JSON ({reason}).") from None
    if not isinstance(fields, dict) or set(fields) != set(FIELDS):
        raise ValueError(f"the body must be an object of {', '.join(FIELDS)}, and nothing else.")
    return fields


def without_repeats(pairs: list) -> dict:
    """Return an object; ValueError for a name that occurs twice, of which Python takes the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


def from_npy(body: bytes, query) -> dict:
    """Return the four fields of an .npy body and a query."""
    stream = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(stream)
        else:
            header = np.lib.format.read_array_header_2_0(stream)
        shape, fortran, dtype = header
        # Objects are pickles; and np.load allocates memory for any size that the header names.
        if dtype.kind not in "fiu":
            raise ValueError("not of numbers")
        values = np.frombuffer(body, dtype, offset=stream.tell())
        signal = values.reshape(shape, order="F" if fortran else "C")
    except Exception:  # damaged bytes can make the reader fail in any way
        raise ValueError("the body is not an .npy file of numbers.") from None
    if sorted(name for name, _ in query.multi_items()) != sorted(FIELDS[:3]):
        raise ValueError(
            f"the query must contain {', '.join(FIELDS[:3])}, each once, and nothing else."
        )
    try:
        rate = float(query["sampling_rate"])
    except ValueError:
        rate = None
    leads = query["leads"].split(",")
    return {"sampling_rate": rate, "unit": query["unit"], "leads": leads, "signal": signal}


def check_fields(fields: dict) -> dict:
    """Refuse fields of wrong types."""
    rate, leads = fields["sampling_rate"], fields["leads"]
    if type(rate) not in (int, float) or not 0 < rate < 1e6:
        raise ValueError("sampling_rate must be a positive number, Hz.")
    if not isinstance(leads, list) or not all(isinstance(lead, str) for lead in leads):
        raise ValueError("leads must be a list of names.")
    if not isinstance(fields["unit"], str):
        raise ValueError("unit must be a name, such as mV.")
    return fields


async def read_body(request: Request) -> bytes:
    """Return the body, with at most the limit in memory."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise HTTPException(413, f"the body is larger than {LARGEST_BODY} bytes.")
    return bytes(body)


def create_app(path: str | None = None) -> FastAPI:
    """Return the service for the model at ``path``, or at ECGSK_MODEL."""
    path = path or os.environ.get("ECGSK_MODEL")
    if not path:
        raise ValueError("Give a file of ecgsk.save, as the argument or in ECGSK_MODEL.")
    service = Service(path)
    places, parsing = threading.Semaphore(BODIES), threading.Lock()

    def answer(body: bytes, query) -> tuple[int, dict | str]:
        # An error that left this function would keep the parsed body in memory with its traceback.
        try:
            with parsing:
                fields = from_json(body) if query is None else from_npy(body, query)
                return 200, service.predict(**check_fields(fields))
        except (TypeError, ValueError) as error:
            return 422, printable(error)

    app = FastAPI(title="ECG model", description=NOTICE, version=ecgsk.__version__)

    @app.get("/health")
    def health() -> dict:
        return {"status": "ok"}

    @app.get("/model")
    def model() -> dict:
        return service.about

    @app.post("/predict")
    async def predict(request: Request) -> dict:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and kind not in ARRAYS:
            raise HTTPException(415, "send application/json, or an .npy file as application/x-npy.")
        is_json = kind == "application/json"
        if is_json and request.url.query:
            raise HTTPException(422, "with a JSON body, the query must be empty.")
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 12 or int(length) > LARGEST_BODY:
            raise HTTPException(413, f"the body is larger than {LARGEST_BODY} bytes.")
        # Not asyncio's semaphore, which belongs to one event loop.
        while not places.acquire(blocking=False):
            await asyncio.sleep(0.01)
        try:
            body = await asyncio.wait_for(read_body(request), ARRIVES)
            query = None if is_json else request.query_params
            status, content = await run_in_threadpool(answer, body, query)
        except (asyncio.TimeoutError, ClientDisconnect):
            raise HTTPException(408, f"the body did not arrive in {ARRIVES:g} s.") from None
        finally:
            places.release()
        if status != 200:
            raise HTTPException(status, content)
        return content

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="a file of ecgsk.save (default: ECGSK_MODEL)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    # Requests that wait hold little memory, but not none.
    uvicorn.run(
        create_app(options.model), host=options.host, port=options.port, limit_concurrency=32
    )
