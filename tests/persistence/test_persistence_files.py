"""Files that are damaged, foreign or made to do harm: refused in a sentence, and nothing runs."""

import copy
import io
import json
import os
import pickle
import struct
import sys
import tracemalloc
import zipfile

import joblib
import numpy as np
import pytest
import safetensors.numpy
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecgsk.persistence import ModelFileError, describe, load, save
from ecgsk.persistence._archive import open_plain, pack
from ecgsk.persistence._container import FORMAT, Container, read_container
from tests._models import recordings, small_models

TABLE = np.random.default_rng(0).normal(size=(40, 3))
ANSWER = (TABLE[:, 0] > 0).astype(int)


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Leave it to the system when thousands of small files reach the disk."""
    monkeypatch.setattr(os, "fsync", lambda number: None)


@pytest.fixture(scope="module")
def logistic():
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(TABLE, ANSWER)


@pytest.fixture(scope="module")
def network():
    X, y = recordings(8)
    return (
        small_models()["mtecg"].set_params(max_epochs=1, preset__width=8, preset__depth=1).fit(X, y)
    )


def whole(model, tmp_path) -> Container:
    save(model, tmp_path / "whole.ecgsk")
    return read_container(tmp_path / "whole.ecgsk")


def schema_of(container: Container) -> tuple[dict, dict]:
    with open_plain(container.model) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(parts.pop("schema.json")), parts


def written(tmp_path, schema, parts=None, tensors=None):
    """Write a file with a correct hash around a schema that someone made up."""
    schema = {"protocol": 2, "_skops_version": "0.16.0", **schema}
    content = json.dumps(schema) if isinstance(schema, dict) else schema
    model = pack({"schema.json": content.encode(), **(parts or {})})
    path = tmp_path / "made.ecgsk"
    Container({"format": FORMAT}, model, tensors or safetensors.numpy.save({})).write(path)
    return path


def node(kind, of, **fields) -> dict:
    module, _, name = of.rpartition(".")
    return {"__loader__": kind, "__module__": module, "__class__": name, **fields}


def value(what) -> dict:
    return node("JsonNode", "builtins.str", content=json.dumps(what), is_json=True)


def listed(*items) -> dict:
    return node("ListNode", "builtins.list", content=list(items))


def in_tuple(*items) -> dict:
    return node("TupleNode", "builtins.tuple", content=list(items))


def in_dict(**items) -> dict:
    keys = listed(*(node("TypeNode", "builtins.str") for _ in items))
    return node("DictNode", "builtins.dict", content=items, key_types=keys)


def model_with(**attributes) -> dict:
    return node(
        "ObjectNode",
        "sklearn.linear_model._logistic.LogisticRegression",
        content=in_dict(**attributes),
    )


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


# Foreign files


class Canary:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


FOREIGN = {
    "pickle": (lambda path, canary: path.write_bytes(pickle.dumps(canary)), "joblib.load.*code"),
    "pickle-0": (lambda path, canary: path.write_bytes(pickle.dumps(BaseEstimator(), 0)), "pickle"),
    "joblib": (lambda path, canary: joblib.dump(canary, path), "joblib.load.*code"),
    "joblib-zlib": (lambda path, canary: joblib.dump(canary, path, ("zlib", 3)), "joblib.load"),
    "joblib-gzip": (lambda path, canary: joblib.dump(canary, path, ("gzip", 3)), "joblib.load"),
    "joblib-xz": (lambda path, canary: joblib.dump(canary, path, ("xz", 3)), "joblib.load"),
    "empty": (lambda path, canary: path.write_bytes(b""), "it is empty"),
    "folder": (lambda path, canary: path.mkdir(), "a folder"),
    "text": (lambda path, canary: path.write_text("age,sex\n61,1\n"), "it is a text file"),
    "png": (lambda path, canary: path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0"), "PNG picture"),
    "zeros": (lambda path, canary: path.write_bytes(bytes(5000)), "unknown kind"),
    "weights": (
        lambda path, canary: path.write_bytes(safetensors.numpy.save({"a": np.zeros(3)})),
        "safetensors.*MTECGClassifier\\(weights=path\\)",
    ),
    "torch": (
        lambda path, canary: path.write_bytes(pack({"data.pkl": b""})),
        "checkpoint of torch",
    ),
    "skops": (lambda path, canary: path.write_bytes(pack({"schema.json": b"{}"})), "skops.io"),
    "zip": (lambda path, canary: path.write_bytes(pack({"a.txt": b""})), "another zip archive"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_recognised_and_not_opened(kind, tmp_path):
    write, said = FOREIGN[kind]
    write(tmp_path / "file", Canary(tmp_path / "canary"))
    for read in (load, describe):
        with pytest.raises(ModelFileError, match=said):
            read(tmp_path / "file")
    assert not (tmp_path / "canary").exists()


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="ecgsk.save"):
        load(tmp_path / "nothing.ecgsk")


# Damaged files


def outcome(path, content=None) -> object:
    """Return the model in a file, or None if it was refused."""
    if content is not None:
        path.write_bytes(content)
    try:
        return load(path)
    except ModelFileError:
        return None


def test_a_truncated_file_is_never_loaded(network, logistic, tmp_path):
    for model in (network, logistic):
        save(model, tmp_path / "m.ecgsk")
        content = (tmp_path / "m.ecgsk").read_bytes()
        for part in range(50):
            assert outcome(tmp_path / "cut", content[: len(content) * part // 50]) is None
        assert outcome(tmp_path / "cut", content[:-1]) is None
        assert outcome(tmp_path / "cut", content + content) is None


def test_a_flipped_byte_is_noticed_or_harmless(network, logistic, tmp_path):
    random = np.random.default_rng(0)
    X, _ = recordings(4)
    n_noticed = 0
    for model, given in ((network, X), (logistic, TABLE)):
        save(model, tmp_path / "m.ecgsk")
        content = (tmp_path / "m.ecgsk").read_bytes()
        for place in random.integers(len(content), size=100):
            changed = bytearray(content)
            changed[place] ^= 1 << random.integers(8)
            again = outcome(tmp_path / "flipped", bytes(changed))
            n_noticed += again is None
            if again is not None:
                np.testing.assert_array_equal(
                    again.predict_proba(given), model.predict_proba(given)
                )
    assert n_noticed > 180


def test_a_changed_part_with_a_correct_hash_raises_nothing_else(network, logistic, tmp_path):
    random = np.random.default_rng(1)
    n_refused = 0
    for model in (network, logistic):
        container = whole(model, tmp_path)
        schema, parts = schema_of(container)
        text = json.dumps(schema)
        for place in random.integers(len(text), size=75):
            letter = chr(random.integers(32, 127))
            changed = text[:place] + letter + text[place + 1 :]
            model = pack({"schema.json": changed.encode(), **parts})
            Container(container.description, model, container.tensors).write(tmp_path / "m")
            n_refused += outcome(tmp_path / "m") is None
        for place in random.integers(len(container.tensors), size=25):
            changed = bytearray(container.tensors)
            changed[place] ^= 255
            Container(container.description, container.model, bytes(changed)).write(tmp_path / "m")
            outcome(tmp_path / "m")
    assert n_refused > 75


# Files that want something run


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """Give a function that writes a file, a module that does when imported, and their command."""
    mark = tmp_path / "canary"
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "sings_at_import.py").write_text(
        f"open({str(mark)!r}, 'w')\nclass LogisticRegression: pass\ndef sing(*a, **k): pass\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    return mark


EVIL = (
    "os.system",
    "posix.system",
    "builtins.eval",
    "builtins.exec",
    "builtins.getattr",
    "subprocess.Popen",
    "sings_at_import.LogisticRegression",
    "sings_at_import.sing",
    "pickle.loads",
    "joblib.memory.Memory",
    "numpy.memmap",
    "functools.partial",
    "sklearn.linear_model._logistic.os.system",
    "ecgsk.persistence._save_load.os",
    "importlib.import_module",
)


def nodes_of(evil: str, command: str) -> dict:
    """Return each kind of node of skops that could call or import something."""
    args = in_tuple(value(command))
    array = {"type": "numpy", "file": "0.npy"}
    module, _, name = evil.rpartition(".")
    owner = node("ObjectNode", evil, content=in_dict(a=value(command)))
    return {
        "ObjectNode": owner,
        "ObjectNode-bare": node("ObjectNode", evil),
        "FunctionNode": node("FunctionNode", evil),
        "TypeNode": node("TypeNode", evil),
        "MethodNode": node(
            "MethodNode", evil, content={"func": "__init__", "obj": copy.deepcopy(owner)}
        ),
        "PartialNode": node(
            "PartialNode",
            "functools.partial",
            content={
                "func": node("FunctionNode", evil),
                "args": args,
                "kwds": in_dict(),
                "namespace": value(None),
            },
        ),
        "OperatorFuncNode": node("OperatorFuncNode", "operator.methodcaller", attrs=args),
        "ConstructorFromReduceNode": node("ConstructorFromReduceNode", evil, content=args),
        "LossNode": node("LossNode", evil, content=in_dict(), __reduce__={"args": args}),
        "TreeNode": node("TreeNode", evil, content=in_dict(), __reduce__={"args": args}),
        "QuantileForestNode": node(
            "QuantileForestNode", evil, content=in_dict(), __reduce__={"args": args}
        ),
        "DictNode": {**in_dict(a=value(command)), "__module__": module, "__class__": name},
        "DictNode-keys": node(
            "DictNode",
            "builtins.dict",
            content={command: value(0)},
            key_types=listed(node("TypeNode", evil)),
        ),
        "DefaultDictNode": node(
            "DefaultDictNode",
            "collections.defaultdict",
            content={"main": in_dict(), "default_factory": node("TypeNode", evil)},
        ),
        "_DictWithDeprecatedKeysNode": node(
            "_DictWithDeprecatedKeysNode",
            evil,
            content={"main": in_dict(), "_deprecated_key_to_new_key": in_dict()},
        ),
        "ListNode": {**listed(value(command)), "__module__": module, "__class__": name},
        "SetNode": node("SetNode", evil, content=[value(command)]),
        "TupleNode": node("TupleNode", evil, content=[value(command)]),
        "NdArrayNode": node("NdArrayNode", evil, **array),
        "NdArrayNode-json": node(
            "NdArrayNode", evil, type="json", content=[value(command)], shape=in_tuple(value(1))
        ),
        "MaskedArrayNode": node(
            "MaskedArrayNode",
            evil,
            content={
                "data": node("NdArrayNode", "numpy.ndarray", **array),
                "mask": node("NdArrayNode", "numpy.ndarray", **array),
            },
        ),
        "DTypeNode": node("DTypeNode", evil, content=node("NdArrayNode", evil, **array)),
        "RandomStateNode": node("RandomStateNode", evil, content=in_dict(a=value(command))),
        "RandomGeneratorNode": node(
            "RandomGeneratorNode",
            "numpy.random._generator.Generator",
            content={"bit_generator": in_dict(bit_generator=value("seed")), "seed_seq": in_dict()},
        ),
        "SparseMatrixNode": node("SparseMatrixNode", evil, type="scipy", file="0.npy"),
        "BytesNode": node("BytesNode", evil, file="0.npy"),
        "BytearrayNode": node("BytearrayNode", evil, file="0.npy"),
        "SliceNode": node("SliceNode", evil, content={"start": 0, "stop": 1, "step": None}),
        "JsonNode": node("JsonNode", evil, content=json.dumps(command), is_json=True),
        "CachedNode": {**node("CachedNode", evil), "__id__": 7},
        "Unheard": node("UnheardOfNode", evil),
    }


KINDS = list(nodes_of("a.b", ""))


def test_every_node_of_skops_is_attacked():
    from skops.io._audit import NODE_TYPE_MAPPING

    known = {name for name, _ in NODE_TYPE_MAPPING}
    assert known <= {kind.partition("-")[0] for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_of_node_imports_or_runs_what_is_not_listed(kind, tmp_path, canary):
    parts = {"0.npy": npy(np.zeros(2))}
    for evil in EVIL:
        bad = nodes_of(
            evil, f"touch {canary}" if "system" in evil else f"open({str(canary)!r}, 'w')"
        )
        made = [bad[kind], model_with(C=bad[kind])]
        # In the place of a part that was defined before, and by a protocol of older nodes.
        made.append(model_with(C={**value(0), "__id__": 1}, D={**bad[kind], "__id__": 1}))
        made += [{**made[1], "protocol": protocol} for protocol in (0, 1, 3, True, "2")]
        for schema in made:
            with pytest.raises(ModelFileError):
                load(written(tmp_path, schema, parts))
    assert not canary.exists() and "sings_at_import" not in sys.modules


def test_only_the_trusted_type_is_trusted(tmp_path, canary):
    good = node("ObjectNode", "decimal.Decimal")
    path = written(tmp_path, model_with(C=good, D=node("TypeNode", "sings_at_import.sing")))
    with pytest.raises(ModelFileError, match="sings_at_import.sing"):
        load(path, trusted=["decimal.Decimal"])
    # A method, an operator or a partial function of a trusted type is not loaded either.
    for kind in ("MethodNode", "PartialNode", "OperatorFuncNode"):
        path = written(tmp_path, model_with(C=nodes_of("os.system", "true")[kind]))
        with pytest.raises(ModelFileError, match="never loaded"):
            load(path, trusted=["os.system", "functools.partial", "operator.methodcaller"])
    assert not canary.exists() and "sings_at_import" not in sys.modules


def test_names_in_values_are_not_looked_up(network, tmp_path):
    """A preprocessing step is found by its name: only those of ecgsk.preprocessing are."""
    container = whole(network, tmp_path)
    schema, parts = schema_of(container)
    attributes = schema["content"]["content"]
    attributes["_source"] = in_dict(
        kind=value("mtecg-classifier"),
        network=in_dict(n_leads=value(3)),
        sampling_rate=value(100),
        preprocessing=listed(listed(value("__loader__"), in_dict(fullname=value("a")))),
    )
    path = written(tmp_path, schema, parts, container.tensors)
    with pytest.raises(ModelFileError, match="not in ecgsk.preprocessing"):
        load(path)


def test_a_cache_is_never_taken_from_a_file(logistic, tmp_path):
    schema, parts = schema_of(whole(logistic, tmp_path))
    schema["content"]["content"]["memory"] = value("//elsewhere/pickles")
    with pytest.raises(ModelFileError, match="memory"):
        load(written(tmp_path, schema, parts))


# Files that want memory, time, or what is behind an array


def refused(path, said, **options):
    """Read a file, and make sure that it takes little memory to refuse it."""
    size = path.stat().st_size
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=said):
            load(path, **options)
        assert tracemalloc.get_traced_memory()[1] < 30 * size + 3_000_000
    finally:
        tracemalloc.stop()


def lying(shape, descr="'<f8'", data=b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize(
    "content",
    [
        lying("(10000000000,)"),
        lying("(3,)", data=bytes(16)),
        lying("(-3,)"),
        lying("(10**9,)"),
        lying("(0, 3)", "'|S0'"),
        lying("(10000000000,)", "'|V0'"),
        lying("(2,)", "'|O'", pickle.dumps([Canary("x")])),
        lying("(1,)", "[('a', '|O')]", bytes(8)),
        lying("(1,)", "(" * 150 + "1" + ")" * 150),
        lying("(1,)", "-" * 5000 + "1"),
        lying("(1,)", "'" + "f" * 20_000 + "'"),
        b"\x93NUMPY\x03\x00",
        b"",
        npy(np.array([Canary("x")], dtype=object)),
    ],
)
def test_arrays_are_as_large_as_they_say(content, tmp_path):
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file="0.npy")
    refused(written(tmp_path, model_with(C=array), {"0.npy": content}), "array")


def test_one_array_is_used_once(tmp_path):
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file="0.npy")
    parts = {"0.npy": npy(np.zeros(1000))}
    refused(written(tmp_path, model_with(C=listed(*[array] * 500)), parts), "used twice")
    refused(written(tmp_path, model_with(), parts), "not used")
    array["file"] = "../0.npy"
    refused(written(tmp_path, model_with(C=array), parts), "missing")


def test_deep_files_are_refused(tmp_path):
    deep = value(0)
    for _ in range(400):
        deep = listed(deep)
    refused(written(tmp_path, model_with(C=deep)), "nested")
    model = pack({"schema.json": b'{"a":' * 100_000})
    Container({"format": FORMAT}, model, b"").write(tmp_path / "made.ecgsk")
    refused(tmp_path / "made.ecgsk", "nested")
    nested = node("JsonNode", "builtins.str", content="[" * 100_000, is_json=True)
    refused(written(tmp_path, model_with(C=nested)), "nested")
    for start in (b"[", b'{"a":'):
        content = {"ecgsk.json": start * 100_000, "model.skops": b"", "tensors.safetensors": b""}
        (tmp_path / "deep").write_bytes(pack(content))
        refused(tmp_path / "deep", "not JSON")


def test_what_unfolds_without_end_is_refused(tmp_path):
    """A list of ten lists of ten lists ... is small in the file and endless in NumPy."""
    parts = [{**listed(value(0)), "__id__": 1}]
    for number in range(2, 20):
        again = {
            "__loader__": "CachedNode",
            "__module__": None,
            "__class__": None,
            "__id__": number - 1,
        }
        parts.append({**listed(*[dict(again) for _ in range(10)]), "__id__": number})
    refused(written(tmp_path, model_with(C=listed(*parts))), "expands")
    forward = {"__loader__": "CachedNode", "__module__": None, "__class__": None, "__id__": 5}
    refused(written(tmp_path, model_with(C=listed(forward))), "does not come before")
    itself = {**listed({**forward, "__id__": 1}), "__id__": 1}
    refused(written(tmp_path, model_with(C=itself)), "does not come before")


def zipped(parts, **options) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        for name, content in parts:
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_are_plain_outside_and_inside(logistic, tmp_path):
    container = whole(logistic, tmp_path)
    with open_plain((tmp_path / "whole.ecgsk").read_bytes()) as archive:
        outer = [(name, archive.read(name)) for name in archive.namelist()]
    with open_plain(container.model) as archive:
        inner = [(name, archive.read(name)) for name in archive.namelist()]
    bombs = {
        "compressed|larger": lambda parts: zipped(parts, compression=zipfile.ZIP_DEFLATED),
        "twice": lambda parts: zipped([*parts, parts[-1]]),
        "path": lambda parts: zipped([*parts, ("../../evil.py", b"")]),
        "parts|not used": lambda parts: zipped([*parts, *((f"{i}.x", b"") for i in range(2000))]),
    }
    for said, bomb in bombs.items():
        (tmp_path / "outer").write_bytes(bomb(outer))
        refused(tmp_path / "outer", said)
        Container(container.description, bomb(inner), container.tensors).write(tmp_path / "inner")
        refused(tmp_path / "inner", said)
    zeros = zipped([("ecgsk.json", bytes(50_000_000))], compression=zipfile.ZIP_BZIP2)
    (tmp_path / "outer").write_bytes(zeros)
    refused(tmp_path / "outer", "larger than the file|compressed")
    (tmp_path / "outer").write_bytes(b"MZ" + zipped(outer))
    refused(tmp_path / "outer", "not a model")


def test_networks_are_as_large_as_their_tensors(network, tmp_path):
    container = whole(network, tmp_path)
    schema, parts = schema_of(container)
    changes = [
        ("depth", 10**9, "depth"),
        ("width", 2**40, "differ|cannot be loaded"),
        ("n_samples", 10**12, "differ"),
        ("n_heads", 0, "cannot be loaded"),
        ("pooling", "nonsense", "pooling"),
        ("unheard", 1, "unheard"),
    ]
    for name, changed, said in changes:
        made = copy.deepcopy(schema)
        arguments = made["content"]["content"]["net_"]["content"]["arguments"]
        if name not in arguments["content"]:
            arguments["key_types"]["content"].append(node("TypeNode", "builtins.str"))
        arguments["content"][name] = value(changed)
        refused(written(tmp_path, made, parts, container.tensors), said)
    tensors = safetensors.numpy.load(container.tensors)
    del tensors["0/head.bias"]
    refused(written(tmp_path, schema, parts, safetensors.numpy.save(tensors)), "head.bias")
    tensors = {**safetensors.numpy.load(container.tensors), "1/more": np.zeros(3)}
    refused(written(tmp_path, schema, parts, safetensors.numpy.save(tensors)), "not used")
    header = json.dumps(
        {"0/a": {"dtype": "F64", "shape": [10**12], "data_offsets": [0, 8 * 10**12]}}
    ).encode()
    lies = struct.pack("<Q", len(header)) + header
    refused(written(tmp_path, schema, parts, lies), "cannot be loaded")
    refused(written(tmp_path, schema, parts, struct.pack("<Q", 2**62)), "cannot be loaded")


def test_boosted_trees_point_to_what_is_there(tmp_path):
    model = HistGradientBoostingClassifier(max_iter=1).fit(TABLE, ANSWER)
    save(model, tmp_path / "m.ecgsk")
    np.testing.assert_array_equal(
        load(tmp_path / "m.ecgsk").predict_proba(TABLE), model.predict_proba(TABLE)
    )
    nodes = model._predictors[0][0].nodes
    inner = int(np.flatnonzero(nodes["is_leaf"] == 0)[0])
    for field, number in (
        ("left", 10**6),
        ("right", 0),
        ("feature_idx", 3),
        ("feature_idx", -1),
        ("is_categorical", 1),
    ):
        kept = nodes[field][inner]
        nodes[field][inner] = number
        with pytest.raises(ModelFileError, match="boosted"):
            save(model, tmp_path / "m.ecgsk")
        nodes[field][inner] = kept
    schema, parts = schema_of(whole(model, tmp_path))
    tree = schema["content"]["content"]["_predictors"]["content"][0]["content"][0]
    # A tree that is defined where X has more features, and used where it has fewer.
    for changed in ({"n_features_in_": value(0)}, {"_preprocessor": value("X")}):
        made = copy.deepcopy(schema)
        made["content"]["content"] |= changed
        refused(written(tmp_path, made, parts), "boosted")
    refused(written(tmp_path, model_with(C=tree), parts), "boosted|not used")


def test_other_trees_have_to_be_trusted(tmp_path):
    forest = RandomForestClassifier(2, random_state=0).fit(TABLE, ANSWER)
    with pytest.warns(UserWarning, match="trusted"):
        save(forest, tmp_path / "m.ecgsk")
    to_trust = describe(tmp_path / "m.ecgsk")["to_trust"]
    assert "sklearn.tree._tree.Tree" in to_trust
    with pytest.raises(ModelFileError, match="sklearn.tree._tree.Tree"):
        load(tmp_path / "m.ecgsk")
    again = load(tmp_path / "m.ecgsk", trusted=to_trust)
    np.testing.assert_array_equal(again.predict_proba(TABLE), forest.predict_proba(TABLE))


def test_a_random_state_stays_within_its_key(tmp_path):
    model = LogisticRegression(random_state=np.random.RandomState(0))
    schema, parts = schema_of(whole(model, tmp_path))
    state = schema["content"]["content"]["random_state"]["content"]["content"]["state"]["content"]
    for position in (625, -1, 2**40, "5", None):
        state["pos"] = value(position)
        refused(written(tmp_path, schema, parts), "RandomState")


_REMOVED = object()


def test_missing_and_misplaced_fields_are_refused(logistic, tmp_path):
    schema, parts = schema_of(whole(logistic, tmp_path))

    def places(part, path=()):
        if isinstance(part, dict):
            yield from ((*path, key) for key in part)
        inner = part.items() if isinstance(part, dict) else enumerate(part)
        for key, below in inner:
            if isinstance(below, (dict, list)):
                yield from places(below, (*path, key))

    everywhere = sorted(set(places(schema)), key=str)
    random = np.random.default_rng(0)
    for number in random.choice(len(everywhere), 60, replace=False):
        *above, key = everywhere[number]
        for replacement in (None, [], {}, 3, "x", True, _REMOVED):
            made = json.loads(json.dumps(schema))
            part = made
            for step in above:
                part = part[step]
            if replacement is _REMOVED:
                del part[key]
            else:
                part[key] = replacement
            # Whatever comes of it, there is no other error.
            outcome(written(tmp_path, made, parts))
