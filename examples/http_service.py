"""A saved model behind HTTP: one recording in, its probabilities out. For research use only.

    pip install "ecgsk[service]"
    python examples/http_service.py model.ecgsk           # or ECGSK_MODEL=model.ecgsk

    curl -s localhost:8000/model
    curl -s localhost:8000/predict -H "Content-Type: application/json" -d '{"sampling_rate": 500,
        "unit": "mV", "leads": ["I", "II", ...], "signal": [[0.01, 0.02, ...], ...]}'
    curl -s "localhost:8000/predict?sampling_rate=500&unit=mV&leads=I,II,..." \
        -H "Content-Type: application/x-npy" --data-binary @ecg.npy

Rate, unit and leads are never guessed; leads may come in any order, and limb leads that are missing
are computed from I and II. A body is read up to 4 MB, which ten seconds at 1000 Hz do not reach.
What is no ECG that the model takes is refused with the reason. It listens on this machine alone:
who may ask, encryption and time limits are for the proxy in front of it.
"""

import argparse
import io
import json
import os
import threading
import warnings

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from starlette.concurrency import run_in_threadpool

import ecgsk
from ecgsk._cli.predict_answers import Answers
from ecgsk._cli.predict_input import intake_of
from ecgsk._core.signal import millivolt_factor
from ecgsk.persistence import describe, load
from ecgsk.preprocessing import CropPad, Resample, SelectLeads

LARGEST_BODY = 4 * 2**20
# What nobody misses at the end of a recording, s.
TOLERANCE = 0.05
NOTICE = "For research use only: not a medical device, and no basis for decisions about a patient."
FIELDS = ("sampling_rate", "unit", "leads", "signal")
ARRAYS = ("application/x-npy", "application/octet-stream")


class Service:
    """A model, and how recordings are brought to it; one is answered at a time."""

    def __init__(self, path: str):
        model = load(path)
        self.about = {"notice": NOTICE, **describe(path)}
        self.answers = Answers(model)
        self.intake = intake_of(model)
        if self.intake.leads is None:
            raise ValueError(f"{path} does not tell the names of its leads: fit it with leads=.")
        self.about["takes"] = {
            "sampling_rate": self.intake.sampling_rate,
            "seconds": self.intake.seconds,
            "leads": self.intake.leads,
        }
        self._lock = threading.Lock()

    def predict(self, sampling_rate: float, unit: str, leads: list[str], signal) -> dict:
        """Return probabilities and the decision; ValueError for what cannot be answered."""
        # The lock also keeps the warnings of one recording from another.
        with self._lock, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            X = self._recording(sampling_rate, unit, leads, signal)
            (answer,) = self.answers.of(X)
        if not answer:
            raise ValueError("the model's probabilities of it are not finite.")
        quality = [w.message for w in caught if issubclass(w.category, ecgsk.ECGQualityWarning)]
        *probabilities, decision = answer
        return {
            "notice": NOTICE,
            **dict(zip(self.answers.columns, map(float, probabilities), strict=True)),
            "decision": decision,
            "warnings": sorted({str(message) for message in quality}),
        }

    def _recording(self, sampling_rate, unit, leads, signal) -> np.ndarray:
        signal = as_numbers(signal)
        if signal.ndim != 2 or len(signal) != len(leads):
            raise ValueError(
                f"signal has shape {signal.shape}; expected ({len(leads)}, samples) for the "
                f"{len(leads)} leads named."
            )
        taken = self.intake
        seconds = signal.shape[1] / sampling_rate
        # Before resampling: a wrong rate would ask for any amount of memory.
        if abs(seconds - taken.seconds) > TOLERANCE:
            raise ValueError(
                f"signal is {seconds:g} s long ({signal.shape[1]} samples at {sampling_rate:g} "
                f"Hz); the model takes {taken.seconds:g} s."
            )
        with np.errstate(over="ignore"):  # becomes infinite, and is refused as such
            X = signal[np.newaxis] * millivolt_factor(unit)
        X = ecgsk.check_ecg(X, n_leads=len(leads))
        X = SelectLeads(taken.leads, input_leads=leads).transform(X)
        if sampling_rate != taken.sampling_rate:
            X = Resample(sampling_rate, taken.sampling_rate).transform(X)
        return CropPad(taken.n_samples).transform(X)


def as_numbers(values) -> np.ndarray:
    """Return an array of numbers; ValueError for text, gaps, and lists of different lengths."""
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError, RecursionError):
        array = None
    if array is None or array.dtype.kind not in "fiu":
        raise ValueError("signal has to hold numbers alone, as many for each lead.")
    return array


def from_json(body: bytes) -> dict:
    """Return the four fields of a JSON body."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"the body is no JSON that can be read ({type(error).__name__})."
        ) from None
    if not isinstance(said, dict) or set(said) != set(FIELDS):
        raise ValueError(f"the body has to be an object of {', '.join(FIELDS)}, and nothing else.")
    return said


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
        # Objects are pickles; and NumPy's own reader would take memory for any size that is named.
        if dtype.kind not in "fiu":
            raise ValueError("not of numbers")
        values = np.frombuffer(body, dtype, offset=stream.tell())
        signal = values.reshape(shape, order="F" if fortran else "C")
    except Exception:  # foreign bytes can make the reader fail in any way
        raise ValueError("the body is no .npy file of numbers.") from None
    if set(query) != set(FIELDS[:3]):
        raise ValueError(f"the query has to give {', '.join(FIELDS[:3])}, and nothing else.")
    try:
        rate = float(query["sampling_rate"])
    except ValueError:
        rate = None
    leads = query["leads"].split(",")
    return {"sampling_rate": rate, "unit": query["unit"], "leads": leads, "signal": signal}


def check_fields(said: dict) -> dict:
    """Refuse fields of another type than they have to be."""
    rate, leads = said["sampling_rate"], said["leads"]
    if type(rate) not in (int, float) or not 0 < rate < 1e6:
        raise ValueError("sampling_rate has to be a positive number, Hz.")
    if not isinstance(leads, list) or not all(isinstance(lead, str) for lead in leads):
        raise ValueError("leads has to be a list of names.")
    if not isinstance(said["unit"], str):
        raise ValueError("unit has to be a name, such as mV.")
    return said


async def read_body(request: Request) -> bytes:
    """Return the body, of which no more than the limit is ever in memory."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise HTTPException(413, f"the body is larger than {LARGEST_BODY} bytes.")
    return bytes(body)


def create_app(path: str | None = None) -> FastAPI:
    """Return the service of a model: of the path given, or of ECGSK_MODEL."""
    path = path or os.environ.get("ECGSK_MODEL")
    if not path:
        raise ValueError("Name a file of ecgsk.save, as the argument or in ECGSK_MODEL.")
    service = Service(path)
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
        body = await read_body(request)

        def answer() -> dict:
            said = from_json(body) if kind == "application/json" else None
            said = said or from_npy(body, request.query_params)
            return service.predict(**check_fields(said))

        try:
            return await run_in_threadpool(answer)
        except (TypeError, ValueError) as error:
            raise HTTPException(422, str(error)) from None

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="a file of ecgsk.save (default: ECGSK_MODEL)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    # Each request may hold some bodies' worth of memory while it waits for its turn.
    uvicorn.run(
        create_app(options.model), host=options.host, port=options.port, limit_concurrency=32
    )
