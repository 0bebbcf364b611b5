"""Fitted networks in another engine, and in a file that others read."""

import contextlib
import copy
import io
import logging
import os
import threading
import warnings
from typing import Any

import numpy as np
import torch
from torch import nn

from ecgsk._core.files import write_file
from ecgsk._core.optional import import_optional
from ecgsk._training.float_precision import float32_products
from ecgsk._training.random_state import new_tensors_on_cpu

BACKENDS = ("torch", "openvino", "onnxruntime")
# Records that pass through together: few enough for the processor's cache, enough for its units.
_AT_ONCE = 4
# torch's exporter is not made for threads.
_EXPORTS = threading.RLock()


class _LogitsAndFeatures(nn.Module):
    """A network that returns logits and features."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, recordings):
        features = self.network.features(recordings)
        return self.network.head(features), features


def to_onnx(network: nn.Module, shape: tuple[int, int]) -> bytes:
    """Return a network of ``features`` and ``head`` in the ONNX format, in float32.

    Its input is ``recordings``, any number with the ``shape`` (n_leads, n_samples); its outputs are
    ``logits`` and ``features``.
    """
    for package in ("onnx", "onnxscript"):
        import_optional(package, extra="onnx", purpose="The ONNX format")
    both = _LogitsAndFeatures(copy.deepcopy(network).float().cpu()).eval()
    buffer = io.BytesIO()
    with _EXPORTS, _quiet(), new_tensors_on_cpu(), torch.inference_mode():
        program: Any = torch.onnx.export(
            both,
            (torch.zeros(2, *shape),),
            dynamo=True,
            verbose=False,
            input_names=["recordings"],
            output_names=["logits", "features"],
            dynamic_shapes=({0: torch.export.Dim("records")},),
        )
        program.save(buffer)
    return buffer.getvalue()


def write_onnx(path, network: nn.Module, shape: tuple[int, int], about: dict) -> float:
    """Write a network to an ONNX file after it has been compared with torch.

    ``about`` are texts for the file's metadata. Returns the largest difference of a logit from
    torch's, over the largest logit; above 1e-4 it is a RuntimeError and no file is written.
    """
    onnx = import_optional("onnx", extra="onnx", purpose="The ONNX format")
    content = to_onnx(network, shape)
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0), device="cpu")
    module = _LogitsAndFeatures(copy.deepcopy(network).float().cpu()).eval()
    with torch.inference_mode(), float32_products("cpu", allow_tf32=False):
        expected = module(x)[0].numpy()
    found = OnnxRuntime(content)(x)[0]
    difference = float(abs(found - expected).max() / max(abs(expected).max(), 1.0))
    if not difference <= 1e-4:
        raise RuntimeError(
            f"The exported network differs from the fitted one by {difference:.1e} of the largest "
            "logit, more than the 1e-4 allowed; no file was written."
        )
    model = onnx.load_from_string(content)
    for key, value in about.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    write_file(path, model.SerializeToString())
    return difference


def compiled(backend: str, network: nn.Module, shape: tuple[int, int], precision: str):
    """Return a function from recordings to logits and features that runs on the CPU.

    It takes a Tensor (n_records, n_leads, n_samples) and returns two ndarrays. ``shape`` is the
    number of leads and samples, ``precision`` is "float32", or "bf16" for openvino only.
    """
    allowed = {"openvino": ("float32", "bf16"), "onnxruntime": ("float32",)}[backend]
    if precision not in allowed:
        raise ValueError(
            f"precision={precision!r} is not allowed with backend={backend!r}, which computes "
            f"in {' or '.join(allowed)}. Change one of them."
        )
    import_optional(backend, extra="onnx", purpose=f"backend={backend!r}")
    content = to_onnx(network, shape)
    return OnnxRuntime(content) if backend == "onnxruntime" else OpenVINO(content, shape, precision)


class _Engine:
    """What threads of this process work for."""

    def __init__(self):
        self.process = os.getpid()

    def __del__(self):
        if os.getpid() != self.process:
            # A fork has none of the threads that would have to end: waiting for them hangs.
            _OF_PARENTS.append(vars(self).copy())


_OF_PARENTS: list[dict] = []


class OnnxRuntime(_Engine):
    """A network in ONNX Runtime."""

    def __init__(self, content: bytes):
        super().__init__()
        runtime = import_optional("onnxruntime", extra="onnx", purpose="ONNX Runtime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # its errors are exceptions as well
        self.session = runtime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )

    def __call__(self, x: torch.Tensor) -> list[np.ndarray]:
        return self.session.run(["logits", "features"], {"recordings": x.numpy()})


class OpenVINO(_Engine):
    """A network in OpenVINO, each core with recordings of its own."""

    def __init__(self, content: bytes, shape: tuple[int, int], precision: str):
        super().__init__()
        openvino = import_optional("openvino", extra="onnx", purpose="OpenVINO")
        core = openvino.Core()
        model = core.read_model(content)
        model.reshape([_AT_ONCE, *shape])
        n_threads = torch.get_num_threads()
        network = core.compile_model(
            model,
            "CPU",
            {
                # Its own choice would be bf16 where there is hardware for it.
                "INFERENCE_PRECISION_HINT": {"float32": "f32", "bf16": "bf16"}[precision],
                "INFERENCE_NUM_THREADS": n_threads,
                "NUM_STREAMS": n_threads,
            },
        )
        self.queue = openvino.AsyncInferQueue(network, n_threads)
        self.queue.set_callback(_keep)
        # Threads that share an estimator share the queue.
        self.turn = threading.Lock()

    def __call__(self, x: torch.Tensor) -> list[np.ndarray]:
        n_records = len(x)
        missing = -n_records % _AT_ONCE
        padded = np.pad(x.numpy(), ((0, missing), (0, 0), (0, 0)))
        parts: list = [None] * (len(padded) // _AT_ONCE)
        with self.turn:
            for number in range(len(parts)):
                rows = slice(number * _AT_ONCE, (number + 1) * _AT_ONCE)
                self.queue.start_async({"recordings": padded[rows]}, (parts, number))
            self.queue.wait_all()
        return [np.concatenate(outputs)[:n_records] for outputs in zip(*parts, strict=True)]


def _keep(request, place: tuple[list, int]) -> None:
    parts, number = place
    parts[number] = [request.get_tensor(name).data.copy() for name in ("logits", "features")]


@contextlib.contextmanager
def _quiet():
    """Silence the exporter's messages to its developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
