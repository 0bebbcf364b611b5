"""Compact archives of skops, which are equal for equal models."""

import io
import json
import zipfile
from collections import Counter

from ecgsk.persistence import _types
from ecgsk.persistence._archive import pack
from ecgsk.persistence._audit import SCHEMA

# Nodes without identity: they are written again wherever they are used.
_WITHOUT_IDENTITY = {"JsonNode", "TypeNode", "FunctionNode"}


def deduplicate(dump: bytes) -> bytes:
    """Return an archive of skops in which each object and each array occurs once.

    skops writes an object wherever it is used, with its address in memory as its number. Here, the
    second use refers to the first, numbers count from 1, and files are numbered in their order.
    """
    with zipfile.ZipFile(io.BytesIO(dump)) as archive:
        schema = json.loads(archive.read(SCHEMA))
        uses: Counter = Counter()
        _count_uses(schema, uses)
        files: dict[str, str] = {}
        compact = _renumber(schema, uses, {}, files)
        for key in ("protocol", "_skops_version"):
            compact[key] = schema[key]
        parts = {SCHEMA: json.dumps(compact, separators=(",", ":")).encode()}
        return pack(parts | {new: archive.read(old) for old, new in files.items()})


def _is_node(value) -> bool:
    return isinstance(value, dict) and isinstance(value.get("__loader__"), str)


def _count_uses(value, uses: Counter) -> None:
    if _is_node(value):
        uses[value.get("__id__")] += 1
        if uses[value.get("__id__")] > 1:
            return  # its inner nodes are shared, too
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            _count_uses(part, uses)


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
    compact = {}
    for key, part in value.items():
        if key in ("__id__", "protocol", "_skops_version"):
            continue
        if key == "file":
            part = files.setdefault(part, f"{len(files)}.npy")
        compact[key] = _renumber(part, uses, numbers, files) if key != "file" else part
    if kind == "FunctionNode":
        compact["__module__"] = _public_module(compact["__module__"], compact["__class__"])
    elif kind == "LossNode" and compact["__module__"] == "_loss":
        # Older versions of scikit-learn give this name, which is not a module.
        compact["__module__"] = "sklearn._loss._loss"
    elif (compact["__module__"], compact["__class__"]) == ("numpy", "bool"):
        compact["__class__"] = "bool_"  # the only name before NumPy 2.0
    if kind not in _WITHOUT_IDENTITY and uses[number] > 1:
        compact["__id__"] = numbers[number] = len(numbers) + 1
    return compact


def _public_module(module: str, name: str) -> str:
    """Return the public module of a function of NumPy or SciPy; skops may name another one."""
    for public in ("numpy", "scipy.special"):
        if module.startswith(public.partition(".")[0]) and (public, name) in _types.functions():
            return public
    return module
