"""A digest of all that an object consists of, such as a fitted model."""

import hashlib
import platform
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from ecgsk._version import __version__

# Parameters and attributes of estimators that do not change what they predict. Where a network
# predicts is in its attribute device_.
_WITHOUT_EFFECT = {
    "_metadata_request",
    "_sklearn_output_config",
    "checkpoint_dir",
    "device",
    "history_",
    "memory",
    "memory_limit",
    "n_jobs",
    "random_state",
    "verbose",
}
# Global values of a module that its functions may use.
_USED = (
    FunctionType, type, ModuleType, bool, int, float, complex, str, bytes, tuple, list, dict, set,
    frozenset, np.ndarray, np.generic,
)  # fmt: skip
# Packages that compute what networks and their preprocessing return.
_COMPUTING = ("numpy", "scipy", "torch", "openvino", "onnxruntime")


def content_digest(*values) -> bytes:
    """Return 32 bytes that change with the content of the values.

    Estimators enter with their parameters and what they have learned, networks with their weights
    instead of the path of these, classes and functions of the user's with their code, others with
    the version of their package. TypeError for objects that cannot be examined.
    """
    digest = _Digest()
    for value in values:
        digest.add(value)
    return digest.hash.digest()


@cache
def computing_versions() -> tuple[str, ...]:
    """Return the versions of the packages that the last digits of a prediction depend on."""
    found = [f"ecgsk {__version__}", f"machine {platform.machine()}"]
    for name in _COMPUTING:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return tuple(found)


class _Digest:
    """A hash to which objects are added."""

    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=32)
        self.open: list[int] = []  # ids of the objects that are being added
        self.code: set[int] = set()  # ids of the functions and classes that were added

    def add(self, value) -> None:
        """Add the content of any object."""
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
            self._write(type(value).__name__, repr(value))
        elif isinstance(value, (np.ndarray, np.generic)) and value.dtype != object:
            array = np.ascontiguousarray(value)
            self._write("array", str(array.dtype), str(np.shape(value)))
            self.hash.update(array.view(np.uint8).data if array.dtype.kind in "Mm" else array.data)
        elif isinstance(value, FunctionType):
            self._add_function(value)
        elif isinstance(value, type):
            self._add_class(value)
        elif isinstance(value, ModuleType):
            self._add_module(value)
        elif isinstance(value, CodeType):
            self._add_code(value)
        elif isinstance(value, BuiltinFunctionType) and value.__module__:
            self._write("builtin", f"{value.__module__}.{value.__qualname__}")
        elif id(value) in self.open:
            self._write("parent", str(len(self.open) - self.open.index(id(value))))
        else:
            self.open.append(id(value))
            self._add_parts(value)
            self.open.pop()

    def _add_parts(self, value) -> None:
        if isinstance(value, np.ndarray):
            self._add_all("objects", [value.shape, *value.ravel().tolist()])
        elif type(value) in (list, tuple):
            self._add_all(type(value).__name__, value)
        elif type(value) is dict:
            self._add_mapping(value)
        elif isinstance(value, (set, frozenset)):
            self._add_all("set", sorted(content_digest(item) for item in value))
        elif hasattr(value, "get_params"):
            self._add_estimator(value)
        else:
            reduced = value.__reduce_ex__(4)
            if isinstance(reduced, str):
                self._write("name", f"{type(value).__module__}.{reduced}")
                return
            function, arguments, state, *rest = (*reduced, None, None, None)[:5]
            self._add_all("object", [type(value), function, arguments, state])
            for items in rest:
                self._add_all("items", () if items is None else list(items))

    def _add_estimator(self, estimator) -> None:
        if hasattr(estimator, "_fitted_net"):
            estimator._fitted_net()  # weights that are named are read late
        state: Any = estimator.__getstate__()
        state = dict(state if isinstance(state, dict) else vars(estimator))
        params = estimator.get_params(deep=False)
        if "_from_weights" in state:
            # The content of the weights counts, not where they are.
            state["_from_weights"] = _net_without_settings(state["_from_weights"][1])
            state.pop("weights", None)
        state = _net_without_settings(state)
        self.add(type(estimator))
        self._add_mapping({k: v for k, v in state.items() if _has_effect(k, params)})

    def _add_mapping(self, mapping: dict) -> None:
        self._write("dict", str(len(mapping)))
        for key in sorted(mapping, key=lambda key: (type(key).__name__, repr(key))):
            self.add(key)
            self.add(mapping[key])

    def _add_all(self, kind: str, values: Iterable) -> None:
        values = list(values)
        self._write(kind, str(len(values)))
        for value in values:
            self.add(value)

    # Code

    def _add_class(self, cls: type) -> None:
        self._write("class", f"{cls.__module__}.{cls.__qualname__}", _version_of(cls.__module__))
        if id(cls) in self.code or _is_of_a_package(cls.__module__):
            return
        self.code.add(id(cls))
        for base in cls.__bases__:
            self.add(base)
        for name, value in sorted(vars(cls).items()):
            value = getattr(value, "__func__", getattr(value, "fget", value))
            if isinstance(value, FunctionType):
                self._write(name)
                self._add_function(value)

    def _add_function(self, function: FunctionType) -> None:
        module = function.__module__ or ""
        self._write("function", f"{module}.{function.__qualname__}", _version_of(module))
        if id(function) in self.code or _is_of_a_package(module):
            return
        self.code.add(id(function))
        cells = []
        for cell in function.__closure__ or ():
            try:
                cells.append(cell.cell_contents)
            except ValueError:  # not assigned yet
                continue
        self._add_all("values", [function.__defaults__, function.__kwdefaults__, *cells])
        self._add_code(function.__code__)
        for name in sorted(_global_names(function.__code__)):
            used = function.__globals__.get(name)
            if isinstance(used, _USED):
                self.add(used)

    def _add_code(self, code: CodeType) -> None:
        self._write("code", code.co_code.hex(), repr(code.co_names), repr(code.co_varnames))
        self._add_all("constants", code.co_consts)

    def _add_module(self, module: ModuleType) -> None:
        self._write("module", module.__name__, _version_of(module.__name__))
        path = getattr(module, "__file__", None)
        if path is not None and not _is_of_a_package(module.__name__):
            with open(path, "rb") as file:
                self._write(file.read().hex())

    def _write(self, *texts: str) -> None:
        for text in texts:
            content = text.encode("utf-8", "surrogatepass")
            self.hash.update(len(content).to_bytes(8, "little") + content)


def _has_effect(name: str, params: dict) -> bool:
    """Return whether an attribute is a parameter, or learned, by the names of scikit-learn."""
    learned = name.startswith("_") or name.endswith("_")
    return name not in _WITHOUT_EFFECT and (name in params or learned)


def _net_without_settings(attributes: dict) -> dict:
    """Return attributes without settings of the net, which each prediction sets by parameters."""
    net = attributes.get("net_")
    if not isinstance(net, dict):
        return attributes
    settings = ("batch_size", "precision")
    return {**attributes, "net_": {k: v for k, v in net.items() if k not in settings}}


def _global_names(code: CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_global_names, inner))


def _version_of(module: str) -> str:
    top = sys.modules.get(module.partition(".")[0])
    return str(getattr(top, "__version__", ""))


def _is_of_a_package(module: str) -> bool:
    """Return whether a module belongs to Python or an installed package, which has a version."""
    top = module.partition(".")[0]
    if top == "ecgsk" or top in sys.stdlib_module_names:
        return True
    path = getattr(sys.modules.get(top), "__file__", None) or ""
    return any(folder in path for folder in ("site-packages", "dist-packages"))
