"""Files of `ecgsk.save`: changed, cut, and made to do harm behind a correct hash."""

import contextlib
import io
import json
import pickle
import zipfile
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import safetensors.numpy

from ecgsk.persistence import describe, load
from ecgsk.persistence._archive import open_plain, pack
from ecgsk.persistence._container import Container, read_container

from ._case import Case, generator, mutate, mutate_text

KIND = "model"
RELEASE = Path(__file__).parent.parent / "fixtures" / "0.1.0"
ORIGINS = ("mtecg", "glass-box", "threshold")
_EVIL = [
    ("os", "system"), ("builtins", "eval"), ("subprocess", "Popen"), ("ecgsk_canary", "x"),
    ("functools", "partial"), ("operator", "methodcaller"), ("importlib", "import_module"),
    ("pickle", "loads"), ("joblib", "load"), ("ecgsk.persistence._container", "Container"),
]  # fmt: skip
_NODES = [
    "ObjectNode", "TypeNode", "FunctionNode", "MethodNode", "PartialNode", "OperatorFuncNode",
    "ReduceNode", "DictNode", "ListNode", "NdArrayNode", "RandomStateNode", "Unknown",
]  # fmt: skip


@lru_cache
def originals() -> dict[str, bytes]:
    """Return models of a release."""
    return {name: (RELEASE / f"{name}.ecgsk").read_bytes() for name in ORIGINS}


@lru_cache
def _parts(origin: str) -> tuple[dict, dict[str, bytes], bytes]:
    container = read_container(RELEASE / f"{origin}.ecgsk")
    with open_plain(container.model) as archive:
        inner = {name: archive.read(name) for name in archive.namelist()}
    return container.description, inner, container.tensors


def _build(content: bytes, folder: Path) -> Path:
    (folder / "bad.ecgsk").write_bytes(content)
    return folder / "bad.ecgsk"


def _build_random(origin: str, name: str, folder: Path) -> Path:
    random = generator(KIND, name)
    if random.integers(0, 3) == 0:
        return _build(mutate(originals()[origin], random), folder)
    about, inner, tensors = _parts(origin)
    inner = dict(inner)
    if random.integers(0, 4) == 0:
        tensors = mutate(tensors, random)
    else:
        member = sorted(inner)[random.integers(0, len(inner))]
        if random.integers(0, 2):
            member = "schema.json"
        if member == "schema.json":
            inner[member] = mutate_text(inner[member].decode(), random)
        else:
            inner[member] = mutate(inner[member], random)
    # Written with the hash that belongs to it.
    Container(about, pack(inner), tensors).write(folder / "bad.ecgsk")
    return folder / "bad.ecgsk"


def random_cases(n: int, seed: int) -> list[Case]:
    """Return files that were broken at random, two of three behind a correct hash."""
    return [
        Case(KIND, name, partial(_build_random, ORIGINS[i % len(ORIGINS)], name), random=True)
        for i in range(n)
        for name in [f"{ORIGINS[i % len(ORIGINS)]}-{seed}-{i}"]
    ]


def _build_schema(change, folder: Path) -> Path:
    about, inner, tensors = _parts("threshold")
    schema = change(json.loads(inner["schema.json"]))
    text = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    Container(about, pack({**inner, "schema.json": text}), tensors).write(folder / "bad.ecgsk")
    return folder / "bad.ecgsk"


def _evil(node: str, module: str, name: str, schema: dict) -> dict:
    content = {"__loader__": "JsonNode", "__module__": "builtins", "__class__": "str",
               "content": json.dumps("open('../canary', 'w')"), "is_json": True}  # fmt: skip
    planted = {"__loader__": node, "__module__": module, "__class__": name, "content": content,
               "__id__": 10**9, "func": content, "args": content, "kwargs": content,
               "attrs": content,
               "constructor": content, "key_types": content, "type": "numpy"}  # fmt: skip
    return _planted(schema, planted)


def _planted(schema, planted: dict):
    """Put a node in the place of the first plain value of an object's attributes."""
    attributes = schema["content"]["content"]
    first = next(iter(attributes))
    return {**schema, "content": {**schema["content"], "content": {**attributes, first: planted}}}


def hand_made() -> list[Case]:
    """Return files that were broken on purpose."""
    cases = [Case(KIND, f"whole {name}", partial(_build, content), "answer")
             for name, content in originals().items()]  # fmt: skip
    for node in _NODES:
        for module, name in _EVIL:
            build = partial(_build_schema, partial(_evil, node, module, name))
            cases.append(Case(KIND, f"{node} of {module}.{name}", build, "error"))
    about, inner, tensors = _parts("mtecg")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ecgsk.json", json.dumps(about))
        archive.writestr("model.skops", bytes(100_000_000))
        archive.writestr("tensors.safetensors", tensors)
    lies = safetensors.numpy.save({"0/head.weight": np.zeros((1, 4), np.float32)})
    made = {
        "empty": b"",
        "a pickle": pickle.dumps({"a": 1}),
        "text": b"hello\n",
        "zip that unfolds to 100 MB": buffer.getvalue(),
        "archive of nothing": pack({}),
        "tensors of another network": _packed(about, inner, lies),
        "no tensors": _packed(about, inner, safetensors.numpy.save({})),
        "a format of the future": _packed({**about, "format": 99}, inner, tensors),
        "a format that is text": _packed({**about, "format": "x"}, inner, tensors),
        "described by a list": _packed({**about, "versions": []}, inner, tensors),
        "schema of nested lists": _packed(about, inner | {"schema.json": b"[" * 200_000}, tensors),
        "schema of nothing": _packed(about, inner | {"schema.json": b"{}"}, tensors),
        "schema that is no JSON": _packed(about, inner | {"schema.json": b"\xff\xfe"}, tensors),
    }
    cases += [Case(KIND, name, partial(_build, content), "error")
              for name, content in made.items() if name != "described by a list"]  # fmt: skip
    cases.append(Case(KIND, "described by a list", partial(_build, made["described by a list"])))
    for step in range(1, 60):
        content = originals()["threshold"]
        cut = content[: len(content) * step // 60]
        cases.append(Case(KIND, f"cut at {step} of 60", partial(_build, cut), "error"))
    return cases


def _packed(about: dict, inner: dict[str, bytes], tensors: bytes) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        Container(about, pack(inner), tensors).write(path)
        return path.read_bytes()


def warm_up() -> None:
    """Import what is imported once, which executes text."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for content in originals().values():
            answer = read(_build(content, Path(folder)))
            assert hasattr(answer, "predict_proba")
        for case in hand_made()[::7]:
            with contextlib.suppress(ValueError):
                read(case.build(Path(folder)))


def read(path: Path):
    """Say what is in it, and build it."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        describe(path)
        return load(path)


def wrong(path: Path, answer) -> str:
    """Return what is wrong with an answer; nothing if it is right."""
    if path.read_bytes() in originals().values():
        return "" if hasattr(answer, "predict_proba") else "is no model"
    # What was changed behind a correct hash is another model: nobody can tell its right answers.
    return "" if hasattr(answer, "get_params") else f"is a {type(answer).__name__}"
