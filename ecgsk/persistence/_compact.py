"""What skops writes, made small and the same for the same model."""

import io
import json
import zipfile
from collections import Counter

from ecgsk.persistence import _types
from ecgsk.persistence._archive import pack
from ecgsk.persistence._audit import SCHEMA

# What has no identity is written where it is used.
_WITHOUT_IDENTITY = {"JsonNode", "TypeNode", "FunctionNode"}


def tidy(dump: bytes) -> bytes:
    """Return an archive of skops with each object and each array once.

    skops writes an object wherever it is used, numbered by its place in memory. Here the second
    use refers to the first, numbers count from 1, and files are named in their order.

    Parameters
    ----------
    dump : bytes
        As ``skops.io.dumps`` returns it.
    """
    with zipfile.ZipFile(io.BytesIO(dump)) as archive:
        schema = json.loads(archive.read(SCHEMA))
        uses: Counter = Counter()
        _count(schema, uses)
        files: dict[str, str] = {}
        small = _renumber(schema, uses, {}, files)
        for kept in ("protocol", "_skops_version"):
            small[kept] = schema[kept]
        parts = {SCHEMA: json.dumps(small, separators=(",", ":")).encode()}
        return pack(parts | {new: archive.read(old) for old, new in files.items()})


def _is_node(value) -> bool:
    return isinstance(value, dict) and isinstance(value.get("__loader__"), str)


def _count(value, uses: Counter) -> None:
    if _is_node(value):
        uses[value.get("__id__")] += 1
        if uses[value.get("__id__")] > 1:
            return  # what is below is shared with it
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            _count(part, uses)


def _renumber(value, uses: Counter, numbers: dict, files: dict[str, str]):
    if isinstance(value, list):
        return [_renumber(part, uses, numbers, files) for part in value]
    if not _is_node(value):
        if isinstance(value, dict):
            return {key: _renumber(part, uses, numbers, files) for key, part in value.items()}
        return value
    number, kind = value.get("__id__"), value["__loader__"]
    if number in numbers:
        return {
            "__class__": None,
            "__module__": None,
            "__loader__": "CachedNode",
            "__id__": numbers[number],
        }
    small = {}
    for key, part in value.items():
        if key in ("__id__", "protocol", "_skops_version"):
            continue
        if key == "file":
            part = files.setdefault(part, f"{len(files)}.npy")
        small[key] = _renumber(part, uses, numbers, files) if key != "file" else part
    if kind == "FunctionNode":
        small["__module__"] = _public_module(small["__module__"], small["__class__"])
    elif kind == "LossNode" and small["__module__"] == "_loss":
        # Older versions of scikit-learn call it by a name that is no module.
        small["__module__"] = "sklearn._loss._loss"
    elif (small["__module__"], small["__class__"]) == ("numpy", "bool"):
        small["__class__"] = "bool_"  # NumPy before 2.0 has no other name
    if kind not in _WITHOUT_IDENTITY and uses[number] > 1:
        small["__id__"] = numbers[number] = len(numbers) + 1
    return small


def _public_module(module: str, name: str) -> str:
    """Return where a function of NumPy or SciPy is public: skops names a module it is also in."""
    for public in ("numpy", "scipy.special"):
        if module.startswith(public.partition(".")[0]) and (public, name) in _types.functions():
            return public
    return module
