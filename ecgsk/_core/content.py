"""A digest of all that an object consists of, such as a fitted model."""

import dis
import hashlib
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import resolve_name
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    ModuleType,
)
from typing import Any

import numpy as np

from ecgsk._version import __version__

# Parameters and attributes of estimators that do not change what they predict. Where a network
# predicts is in its attribute device_.
_WITHOUT_EFFECT = {
    "_metadata_request",
    "_sklearn_output_config",
    "checkpoint_dir",
    "compile",
    "device",
    "history_",
    "memory",
    "memory_limit",
    "n_jobs",
    "random_state",
    "verbose",
}
# Methods that change a container, such as a log of calls.
_CHANGING = {"add", "append", "clear", "extend", "insert", "pop", "remove", "setdefault", "update"}
_FILE_BLOCK = 1 << 20
# Packages that compute what networks and their preprocessing return.
_COMPUTING = ("numpy", "scipy", "torch", "openvino", "onnxruntime")


def content_digest(*values, files: bool = False, anywhere: bool = False) -> bytes:
    """Return 32 bytes that change with the content of the values.

    Estimators enter with their parameters and what they have learned, networks with their weights
    instead of the path of these, classes and functions of the user's with their code, others with
    the version of their package. With ``files``, texts and paths that name a file enter with its
    bytes. With ``anywhere``, the device on which a network predicts does not enter. Variables that
    the user's code itself changes, such as counters, never do. TypeError for objects that cannot be
    examined.
    """
    digest = _Digest(files, anywhere)
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

    def __init__(self, files: bool, anywhere: bool) -> None:
        self.files = files
        self.anywhere = anywhere
        self.hash = hashlib.blake2b(digest_size=32)
        self.open: list[int] = []  # ids of the objects that are being added
        self.code: set[int] = set()  # ids of the functions and classes that were added

    def add(self, value) -> None:
        """Add the content of any object."""
        if self.files and isinstance(value, (str, os.PathLike)) and (path := existing_file(value)):
            self._add_file(path)
        elif value is None or type(value) in (bool, int, float, complex, str, bytes):
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
            options = {"files": self.files, "anywhere": self.anywhere}
            digests = (content_digest(item, **options) for item in value)
            self._add_all("set", sorted(digests))
        elif isinstance(value, MappingProxyType):
            self._add_mapping(dict(value))
        elif hasattr(value, "get_params"):
            self._add_estimator(value)
        else:
            reduced = value.__reduce_ex__(4)
            if isinstance(reduced, str):
                self._write("name", f"{type(value).__module__}.{reduced}")
                # What functools.lru_cache and other decorators return has no content of its own.
                self.add(getattr(value, "__wrapped__", None))
                return
            function, arguments, state, *rest = (*reduced, None, None, None)[:5]
            self._add_all("object", [type(value), function, arguments, state])
            for items in rest:
                self._add_all("items", () if items is None else list(items))

    def _add_estimator(self, estimator) -> None:
        # Weights that are named are read late, and networks move where they predict.
        net = estimator._placed_net() if hasattr(estimator, "_placed_net") else None
        # A file enters with its content, wherever it is.
        by_content = getattr(type(estimator), "_state_by_content", None)
        state: Any = estimator.__getstate__() if by_content is None else by_content(estimator)
        state = dict(state if isinstance(state, dict) else vars(estimator))
        if net is not None:
            # Its number changes nothing, and workers take different ones.
            state["device_"] = None if self.anywhere else net.device.partition(":")[0]
        if "_from_weights" in state:
            # The content of the weights counts, not where they are.
            state["_from_weights"] = _net_without_settings(state["_from_weights"][1])
            state.pop("weights", None)
        state = _net_without_settings(state)
        self.add(type(estimator))
        self._add_mapping({k: v for k, v in state.items() if k not in _WITHOUT_EFFECT})

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
        own = {name: _plain_attribute(value) for name, value in vars(cls).items()}
        functions = [f for part in own.values() for f in part if isinstance(f, FunctionType)]
        changed = {name for f in functions for name in _changed_names(f.__code__)}
        for name, parts in sorted(own.items()):
            # Python's own attributes describe the class; of these only methods compute.
            special = name.startswith("__") and name.endswith("__") or name == "_abc_impl"
            for part in parts:
                if isinstance(part, FunctionType) or not (special or name in changed):
                    self._write(name)
                    self.add(part)

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
        changed = _changed_names(function.__code__)
        for name in sorted(_global_names(function.__code__) - changed):
            if name in function.__globals__:
                self._write(name)
                self.add(function.__globals__[name])
        for name in sorted(_imported_names(function)):
            with suppress(ImportError):  # a function may try a package that is not there
                self._add_module(import_module(name))

    def _add_code(self, code: CodeType) -> None:
        self._write("code", code.co_code.hex(), repr(code.co_names), repr(code.co_varnames))
        self._add_all("constants", code.co_consts)

    def _add_module(self, module: ModuleType) -> None:
        self._write("module", module.__name__, _version_of(module.__name__))
        path = getattr(module, "__file__", None)
        if path is None or id(module) in self.code or _is_of_a_package(module.__name__):
            return
        self.code.add(id(module))
        self._add_file(Path(path))
        for _, value in sorted(vars(module).items()):
            name = value.__name__ if isinstance(value, ModuleType) else _module_of(value)
            if name in sys.modules and name != module.__name__ and not _is_of_a_package(name):
                self._add_module(sys.modules[name])

    def _add_file(self, path: Path) -> None:
        self._write("file", str(path.stat().st_size))
        with open(path, "rb") as file:
            while block := file.read(_FILE_BLOCK):
                self.hash.update(block)

    def _write(self, *texts: str) -> None:
        for text in texts:
            content = text.encode("utf-8", "surrogatepass")
            self.hash.update(len(content).to_bytes(8, "little") + content)


def _net_without_settings(attributes: dict) -> dict:
    """Return attributes without settings of the net, which each prediction sets by parameters."""
    net = attributes.get("net_")
    if not isinstance(net, dict):
        return attributes
    settings = ("batch_size", "device", "precision")
    return {**attributes, "net_": {k: v for k, v in net.items() if k not in settings}}


def existing_file(value: str | os.PathLike) -> Path | None:
    """Return the path of the file that a value names, if there is one."""
    with suppress(OSError, ValueError, TypeError, RuntimeError):
        if value and (path := Path(value).expanduser()).is_file():
            return path
    return None


def _plain_attribute(value) -> list:
    """Return what an attribute of a class consists of, without descriptors around it."""
    if isinstance(value, (MemberDescriptorType, GetSetDescriptorType)):
        return []
    if isinstance(value, property):
        return [value.fget, value.fset, value.fdel]
    if isinstance(value, cached_property):
        return [value.func]
    return [getattr(value, "__func__", value)]


def _module_of(value) -> str:
    name = getattr(value, "__module__", None)
    return name if isinstance(name, str) else ""


def _instructions(code: CodeType) -> Iterator[list[dis.Instruction]]:
    """Yield the instructions of a function, and of the functions in it."""
    yield [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "EXTENDED_ARG")]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _instructions(constant)


def _global_names(code: CodeType) -> set[str]:
    loading = ("LOAD_GLOBAL", "LOAD_NAME")
    return {i.argval for part in _instructions(code) for i in part if i.opname in loading}


def _changed_names(code: CodeType) -> set[str]:
    """Return global names, and attributes of classes, that a function itself changes."""
    changed = set()
    for part in _instructions(code):
        for i, instruction in enumerate(part):
            before = part[i - 1] if i else instruction
            if instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                changed.add(instruction.argval)
            elif instruction.opname == "STORE_ATTR":
                if _owner(part, i).opname in ("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_NAME"):
                    changed.add(instruction.argval)
            elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                loads = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR")
                if instruction.argval in _CHANGING and before.opname in loads:
                    changed.add(before.argval)
    return changed


def _owner(part: list[dis.Instruction], store: int) -> dis.Instruction:
    """Return what loads the object whose attribute is stored, as in ``Class.count += 1``."""
    for i in range(store - 1, 1, -1):
        augmented = part[i].opname == "LOAD_ATTR" and part[i].argval == part[store].argval
        if augmented and part[i - 1].opname in ("COPY", "DUP_TOP"):
            return part[i - 2]
    return part[store - 1]


def _imported_names(function: FunctionType) -> set[str]:
    """Return the user's modules that a function imports."""
    names = set()
    for part in _instructions(function.__code__):
        for i, instruction in enumerate(part):
            if instruction.opname == "IMPORT_NAME":
                level = part[i - 2].argval if i > 1 else 0
                dots = "." * level if isinstance(level, int) else ""
                package = function.__globals__.get("__package__")
                with suppress(ImportError, ValueError):
                    names.add(resolve_name(f"{dots}{instruction.argval}", package))
    return {name for name in names if name and not _is_of_a_package(name)}


def _version_of(module: str) -> str:
    top = sys.modules.get(module.partition(".")[0])
    return str(getattr(top, "__version__", ""))


def _is_of_a_package(module: str) -> bool:
    """Return whether a module belongs to Python or an installed package, which has a version."""
    top = module.partition(".")[0]
    if top == "__main__":  # the user's, also where a package runs it
        return False
    if top == "ecgsk" or top in sys.stdlib_module_names:
        return True
    path = getattr(sys.modules.get(top), "__file__", None) or ""
    return any(folder in path for folder in ("site-packages", "dist-packages"))
