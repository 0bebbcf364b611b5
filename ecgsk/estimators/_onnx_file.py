"""ONNX files: their description, checks of what they contain, and their outputs."""

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np

from ecgsk._core.files import expanded
from ecgsk._core.optional import import_optional
from ecgsk._training.backends import OnnxRuntime

# What a message of protobuf, and so a file without external data, can hold.
_LARGEST_FILE = 2**31
# ONNX Runtime contains the operators of these; others would need a library with code.
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
_FLOATS: dict[int, np.dtype] = {
    1: np.dtype(np.float32),
    10: np.dtype(np.float16),
    11: np.dtype(np.float64),
}
# Operators that change neither the values of an output nor their number.
_UNCHANGED = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
_ACTIVATIONS = {"Sigmoid": "sigmoid", "Softmax": "softmax"}
_LOCK = threading.RLock()


@dataclass(frozen=True)
class ONNXTensor:
    """An input or output: ``dtype`` is None unless it has floating numbers.

    ``shape`` has None for sizes that are not fixed; it is empty where nothing is known.
    """

    name: str
    dtype: np.dtype | None
    shape: tuple[int | None, ...]

    @property
    def shape_in_words(self) -> str:
        """Return the shape as text."""
        if not self.shape:
            return "unknown"
        return f"({', '.join('any' if size is None else str(size) for size in self.shape)})"


@dataclass(frozen=True)
class ONNXDescription:
    """Inputs, outputs and metadata of a file.

    ``activations`` are the names of the activation that computes an output, where there is one.
    """

    inputs: tuple[ONNXTensor, ...]
    outputs: tuple[ONNXTensor, ...]
    activations: dict[str, str]
    metadata: dict[str, str]


class ONNXFile:
    """The content of an ONNX file, which classifiers with equal content share.

    It is examined and prepared for computing at the first use. ``source`` names it in errors.
    """

    def __init__(self, content: bytes, sha256: str, source: str):
        self.content = content
        self.sha256 = sha256
        self.source = source
        self._description: ONNXDescription | None = None
        self._engine: OnnxRuntime | None = None

    @property
    def description(self) -> ONNXDescription:
        """What the file contains; ValueError for files that are not computed."""
        with _LOCK:
            if self._description is None:
                self._description = _describe(self.content, self.source)
            return self._description

    def compute(self, inputs: dict[str, np.ndarray], output: str) -> np.ndarray:
        """Return an output for one batch."""
        try:
            return self._session().run([output], inputs)[0]
        # ONNX Runtime has no common class for its errors.
        except Exception as error:
            if isinstance(error, MemoryError | ImportError | ValueError):
                raise
            raise ValueError(
                f"{self.source} cannot be computed by ONNX Runtime: {error}. Export the network "
                "again, and check it with onnxruntime alone."
            ) from error

    def _session(self):
        with _LOCK:
            # A fork has none of the threads of its parent's session.
            if self._engine is None or self._engine.process != os.getpid():
                self.description  # noqa: B018 - refuses what must not be computed
                self._engine = OnnxRuntime(self.content)
            return self._engine.session


_KNOWN: WeakValueDictionary[str, ONNXFile] = WeakValueDictionary()


def onnx_file(content: bytes, source: str) -> ONNXFile:
    """Return the file with this content, which all that use it share."""
    sha256 = hashlib.sha256(content).hexdigest()
    with _LOCK:
        known = _KNOWN.get(sha256)
        if known is None:
            known = _KNOWN[sha256] = ONNXFile(content, sha256, source)
        return known


def read_onnx_file(path: str | os.PathLike) -> ONNXFile:
    """Read a file; FileNotFoundError if it does not exist, ValueError if it is too large."""
    place = expanded(path)
    if not place.is_file():
        problem = "is a folder or a device" if place.exists() else "does not exist"
        raise FileNotFoundError(
            f"path={os.fspath(path)!r} {problem}. Give the path of an ONNX file, usually with the "
            "suffix .onnx."
        )
    size = place.stat().st_size
    if size >= _LARGEST_FILE:
        raise ValueError(
            f"path={os.fspath(path)!r} has {size} bytes; ONNX files have less than 2 GiB. Export "
            "the network with fewer or smaller weights, such as float16."
        )
    return onnx_file(place.read_bytes(), f"path={os.fspath(path)!r}")


def _forget_threads() -> None:
    """Free the lock in a forked process, which lacks the thread that may have held it."""
    global _LOCK
    _LOCK = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def _describe(content: bytes, source: str) -> ONNXDescription:
    onnx = import_optional("onnx", extra="onnx", purpose="ONNXClassifier")
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # of protobuf, whose classes differ between versions
        raise ValueError(
            f"{source} is not an ONNX file, or is damaged: {error}. Export the network again."
        ) from error
    graph = model.graph
    if not graph.node or not graph.output:
        raise ValueError(f"{source} contains no network. Give an ONNX file, or export it again.")
    own = {(function.domain, function.name) for function in model.functions}
    for part in (graph, *model.functions):
        for node in _nodes(part, source):
            if node.domain not in _DOMAINS and (node.domain, node.op_type) not in own:
                raise ValueError(
                    f"{source} uses the operator {node.op_type!r} of {node.domain!r}, which is "
                    "not part of ONNX. It would need a library with code. Export the network "
                    "with standard operators."
                )
    weights = {tensor.name for tensor in graph.initializer}
    weights |= {tensor.values.name for tensor in graph.sparse_initializer}
    return ONNXDescription(
        inputs=tuple(_tensor(each) for each in graph.input if each.name not in weights),
        outputs=tuple(_tensor(each) for each in graph.output),
        activations=_activations(graph),
        metadata={entry.key: entry.value for entry in model.metadata_props},
    )


def _nodes(graph, source: str) -> Iterator:
    """Yield the nodes of a graph or function and of the graphs in it; refuse external data."""
    _refuse_external(getattr(graph, "initializer", ()), source)
    for sparse in getattr(graph, "sparse_initializer", ()):
        _refuse_external((sparse.values, sparse.indices), source)
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            sparse = (attribute.sparse_tensor, *attribute.sparse_tensors)
            parts = [part for each in sparse for part in (each.values, each.indices)]
            _refuse_external((attribute.t, *attribute.tensors, *parts), source)
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner, source)


def _refuse_external(tensors, source: str) -> None:
    for tensor in tensors:
        if tensor.external_data or tensor.data_location == 1:
            raise ValueError(
                f"{source} keeps weights in another file (external data), which is not read. "
                "Write one file: onnx.save_model(onnx.load(path), new_path, "
                "save_as_external_data=False)."
            )


def _tensor(value) -> ONNXTensor:
    kind = value.type.tensor_type
    sizes = (dim.dim_value if dim.HasField("dim_value") else 0 for dim in kind.shape.dim)
    shape = tuple(size if size > 0 else None for size in sizes)
    return ONNXTensor(value.name, _FLOATS.get(kind.elem_type), shape)


def _activations(graph) -> dict[str, str]:
    """Return which outputs come from an activation, by following them back to its operator."""
    makers = {name: node for node in graph.node for name in node.output}
    found = {}
    for output in graph.output:
        node = makers.get(output.name)
        for _ in range(len(graph.node)):
            if node is None or node.op_type not in _UNCHANGED:
                break
            node = makers.get(node.input[0]) if node.input else None
        if node is not None and node.op_type in _ACTIVATIONS:
            found[output.name] = _ACTIVATIONS[node.op_type]
    return found
