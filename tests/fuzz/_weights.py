"""Networks in files: safetensors of ours, and published checkpoints, which are pickles in a zip."""

import io
import json
import pickle
import struct
import tempfile
import zipfile
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load

from ecgsk.networks import NET1D_PRESETS, Net1D
from ecgsk.weights import WeightFile, read_weights, write_weights
from ecgsk.weights._torch_file import read_torch_file

from .._harmful_pickles import HARMFUL
from ._case import NUMBERS, Case, generator, mutate

KIND = "weights"


@lru_cache
def originals() -> dict[str, bytes]:
    """Return a file of each format."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        tensors = {"head.weight": np.ones((1, 4), np.float32), "scale": np.float32(0.2)}
        network = {"n_leads": 12, "n_samples": 1000}
        write_weights(path, WeightFile("mtecg-classifier", network, tensors, 100.0))
        found = {"safetensors": path.read_bytes()}
        state = Net1D(1, 2, **NET1D_PRESETS["nano"]).state_dict()
        state = {name: state[name] for name in list(state)[:6]}
        torch.save({"state_dict": state, "step": 7}, path)
        found["checkpoint"] = path.read_bytes()
        torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
        found["old checkpoint"] = path.read_bytes()
    return found


def _members() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(originals()["checkpoint"])) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(members: dict[str, bytes], compression=zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _with_pickle(content: bytes) -> bytes:
    members = _members()
    name = next(name for name in members if name.endswith("data.pkl"))
    return _zipped(members | {name: content})


def _safetensors(header: dict | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def _metadata(**changes) -> bytes:
    content = originals()["safetensors"]
    n = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + n])
    said = json.loads(header["__metadata__"]["ecgsk"])
    for name, value in changes.items():
        if value is None:
            said.pop(name, None)
        else:
            said[name] = value
    header["__metadata__"]["ecgsk"] = json.dumps(said)
    return _safetensors(header, content[8 + n :])


def _build(content: bytes, folder: Path) -> Path:
    (folder / "bad.weights").write_bytes(content)
    return folder / "bad.weights"


def _build_random(origin: str, name: str, folder: Path) -> Path:
    random = generator(KIND, name)
    content = originals()[origin]
    if origin == "checkpoint" and random.integers(0, 2):
        # Behind correct checksums.
        members = _members()
        member = sorted(members)[random.integers(0, len(members))]
        content = _zipped(members | {member: mutate(members[member], random)})
    elif origin == "safetensors" and random.integers(0, 2):
        n = struct.unpack("<Q", content[:8])[0]
        content = _safetensors(mutate(content[8 : 8 + n], random), content[8 + n :])
    else:
        content = mutate(content, random)
    return _build(content, folder)


def random_cases(n: int, seed: int) -> list[Case]:
    """Return files that were broken at random."""
    names = list(originals())
    return [
        Case(KIND, name, partial(_build_random, names[i % len(names)], name), random=True)
        for i in range(n)
        for name in [f"{names[i % len(names)]}-{seed}-{i}"]
    ]


class _Calls:
    """A pickle that calls something."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def _evil(protocol: int) -> bytes:
    return pickle.dumps({"state_dict": _Calls(eval, "open('../canary', 'w')")}, protocol)


def hand_made() -> list[Case]:
    """Return files that were broken on purpose."""
    made = [(f"whole {name}", content) for name, content in originals().items()]
    made += [(f"pickle that evaluates, protocol {p}", _evil(p)) for p in range(6)]
    made += [(f"checkpoint that evaluates, protocol {p}", _with_pickle(_evil(p))) for p in range(6)]
    for module, name in (
        ("os", "system"), ("ecgsk_canary", "x"), ("builtins", "exec"), ("subprocess", "Popen"),
        ("torch", "load"), ("functools", "partial"), ("torch._utils", "_rebuild_tensor_v3"),
    ):  # fmt: skip
        code = f"c{module}\n{name}\n(S'true'\ntR.".encode()
        made.append((f"checkpoint that calls {module}.{name}", _with_pickle(code)))
    whole = _members()
    storage = next(name for name in whole if "/data/" in name)
    made += [
        (f"checkpoint with harmful pickle, {name}", _with_pickle(b"\x80\x02" + content + b"."))
        for name, content in HARMFUL.items()
    ]
    made += [
        ("checkpoint without its storage",
         _zipped({k: v for k, v in whole.items() if k != storage})),
        ("checkpoint with half a storage", _zipped(whole | {storage: whole[storage][: 8]})),
        ("checkpoint, compressed", _zipped(whole, zipfile.ZIP_DEFLATED)),
        ("checkpoint that unfolds to 200 MB",
         _zipped(whole | {storage: bytes(200_000_000)}, zipfile.ZIP_DEFLATED)),
        ("empty archive", _zipped({})),
        ("archive of other things", _zipped({"a/b.txt": b"c"})),
        ("empty", b""),
        ("a picture", b"\x89PNG\r\n\x1a\n" + bytes(500)),
        ("text", b"hello\n" * 100),
        ("header longer than the file", _safetensors(b"{}", length=2**40)),
        ("header of 2^64 - 1", _safetensors(b"{}", length=2**64 - 1)),
        ("header that nests", _safetensors(b"[" * 100_000)),
        ("header that is a list", _safetensors(b"[]")),
        ("no metadata", _safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
                                     bytes(4))),
        ("tensor larger than the file",
         _safetensors({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})),
        ("tensors that overlap",
         _safetensors({k: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for k in "ab"},
                      bytes(4))),
        ("kind of another", _metadata(kind="cat")),
        ("unknown field", _metadata(surprise=1)),
        ("preprocessing of another", _metadata(preprocessing=[["Evil", {}]])),
        ("preprocessing that is no list", _metadata(preprocessing=7)),
        ("preprocessing in pieces", _metadata(preprocessing=["Resample"])),
    ]  # fmt: skip
    made += [(f"without {name}", _metadata(**{name: None}))
             for name in ("kind", "network", "sampling_rate", "preprocessing")]  # fmt: skip
    made += [(f"sampling rate {n[:21]}", _metadata(sampling_rate=n)) for n in NUMBERS]
    made += [
        (f"network {value!r}", _metadata(network=value)) for value in (7, [], "x", {"a": None})
    ]
    return [Case(KIND, name, partial(_build, content), _must(name)) for name, content in made]


def _must(name: str) -> str:
    if name in ("whole safetensors", "whole checkpoint"):
        return "answer"
    sure = (
        "harmful",
        "that evaluates",
        "that calls",
        "larger",
        "longer",
        "nests",
        "empty",
        "text",
        "picture",
    )
    return "error" if any(word in name for word in sure) else "either"


def read(path: Path):
    """Read what it looks like."""
    is_zip = path.read_bytes()[:2] == b"PK"
    return read_torch_file(path) if is_zip else read_weights(path)


def wrong(path: Path, answer) -> str:
    """Return what is wrong with an answer; nothing if it is right."""
    if not isinstance(answer, WeightFile):
        return _differs_from_torch(path, answer)
    if not isinstance(answer.network, dict) or not isinstance(answer.preprocessing, list):
        return "fields are of other types than they say"
    expected = load(path.read_bytes())
    same = expected.keys() == answer.tensors.keys() and all(
        np.array_equal(value.astype(np.float32), answer.tensors[name], equal_nan=True)
        for name, value in expected.items()
    )
    return "" if same else "tensors differ from those in the file"


def _differs_from_torch(path: Path, answer) -> str:
    try:
        judge = torch.load(path, weights_only=True)
    except Exception:  # torch refuses more than it has to, NumPy's numbers for one
        return ""
    return "" if _same(judge, answer) else "differs from the content that torch reads"


def _same(judge, answer) -> bool:
    if isinstance(judge, torch.Tensor):
        same = isinstance(answer, torch.Tensor) and judge.dtype == answer.dtype
        return same and np.array_equal(
            judge.detach().double(), answer.detach().double(), equal_nan=True
        )
    if isinstance(judge, dict):
        return isinstance(answer, dict) and len(judge) == len(answer) and all(
            _same(a, b) for a, b in zip(judge.values(), answer.values(), strict=True)
        )  # fmt: skip
    if isinstance(judge, (list, tuple)):
        return len(judge) == len(answer) and all(map(_same, judge, answer))
    return judge == answer or judge != judge
