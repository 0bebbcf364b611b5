"""Check that a skops archive has only allowed types and correct sizes, before skops loads it.

skops checks types as well, but attacks have bypassed its check several times. Here, each node must
have exactly the fields that skops reads. Nothing is imported, and nodes that call something
(methods, operators, partial functions) are not allowed.
"""

import io
import json
import zipfile
from collections.abc import Iterable

import numpy as np

from ecgsk._core.file_formats import NPY_START
from ecgsk.persistence import _types
from ecgsk.persistence._archive import open_plain, pack, read
from ecgsk.persistence._arrays import check_array, check_random_state, features_of_tree

SCHEMA = "schema.json"
# Stacked meta-estimators have a depth of about 60.
_MAX_DEPTH = 150
# A shared part counts wherever it is used: a small file can contain an almost endless structure.
_MAX_NODES = 20_000_000
_OLDEST_PROTOCOL = 1
# Fields of each kind of node that skops reads, besides class, module, loader and id.
_FIELDS = {
    "CachedNode": set(),
    "ConstructorFromReduceNode": {"content"},
    "DTypeNode": {"content"},
    "DictNode": {"content", "key_types"},
    "FunctionNode": set(),
    "JsonNode": {"content", "is_json"},
    "ListNode": {"content"},
    "LossNode": {"content", "__reduce__"},
    "MaskedArrayNode": {"content"},
    "NdArrayNode": {"type"},
    "ObjectNode": {"content"},
    "RandomStateNode": {"content"},
    "SetNode": {"content"},
    "SliceNode": {"content"},
    "TreeNode": {"content", "__reduce__"},
    "TupleNode": {"content"},
    "TypeNode": set(),
}
_OPTIONAL = {"NdArrayNode": {"file", "content", "shape"}, "ObjectNode": {"content"}}
# Kinds of nodes in which types that the user trusts may occur.
_KINDS_FOR_TRUSTED = {
    "ConstructorFromReduceNode",
    "FunctionNode",
    "ObjectNode",
    "TreeNode",
    "TypeNode",
}


class Audit:
    """Checks a skops archive; ValueError if it has something that ecgsk never writes.

    ``types`` are all types in it, ``unknown`` those neither known nor ``trusted``, by module and
    name: do not load it if it has some. ``schema`` and ``model`` have the current public names.
    """

    def __init__(self, model: bytes, trusted: Iterable[tuple[str, str]] = ()):
        self.trusted = frozenset(trusted)
        self.types: set[tuple[str, str]] = set()
        self.unknown: set[tuple[str, str]] = set()
        self.path: list[str] = []
        self._sizes: dict[int, int] = {}
        self._features: dict[int, int] = {}
        with open_plain(model) as self._archive:
            self.schema, renamed = _schema(self._archive)
            self.model = self._with_schema() if renamed else model
            self._files = {m.filename: m.file_size for m in self._archive.infolist()}
            self._files.pop(SCHEMA)
            root = {k: v for k, v in self.schema.items() if k not in ("protocol", "_skops_version")}
            try:
                size, features = self._check_node(root, 0)
            except ValueError as error:
                where = ".".join(label for label in self.path if label)
                raise ValueError(f"{error}, in {where!s:.200}" if where else str(error)) from error
        if features:
            raise ValueError("a boosted tree is outside its model")
        if size > _MAX_NODES:
            raise ValueError(f"it expands to {size} parts")
        if self._files:
            raise ValueError(f"it has {len(self._files)} files that are not used")

    def _with_schema(self) -> bytes:
        parts = {name: read(self._archive, name) for name in self._archive.namelist()}
        return pack(parts | {SCHEMA: json.dumps(self.schema).encode()})

    def _check_node(self, state, depth: int) -> tuple[int, int]:
        """Check a node and all inside it; return their number and the features that trees use.

        Shared nodes count wherever they are used; trees count only without their model.
        """
        if depth > _MAX_DEPTH:
            raise ValueError(f"it is nested more than {_MAX_DEPTH} levels deep")
        kind = state.get("__loader__") if isinstance(state, dict) else None
        if not isinstance(kind, str) or kind not in _FIELDS:
            raise ValueError(f"it has a part of the kind {kind!s:.40}, which is never loaded")
        fields = set(state) - {"__class__", "__module__", "__loader__", "__id__"}
        optional = _OPTIONAL.get(kind, set())
        if not _FIELDS[kind] - optional <= fields <= _FIELDS[kind] | optional:
            raise ValueError(f"a {kind} has the fields {', '.join(sorted(fields))!s:.80}")
        number = state.get("__id__")
        if number is not None and (type(number) is not int or number < 1):
            raise ValueError(f"{number!r:.40} is not a valid number of a part")
        pair = state.get("__module__"), state.get("__class__")
        if kind == "CachedNode":
            if pair != (None, None) or number not in self._sizes:
                raise ValueError("it refers to a part that does not come before it")
            return self._sizes[number], self._features[number]
        if number in self._sizes:
            raise ValueError(f"it has two parts with the number {number}")
        if not all(isinstance(name, str) for name in pair):
            raise ValueError(f"a {kind} has no type")
        self._check_type(kind, pair)
        parts = getattr(self, f"_{kind}")(state)
        found = []
        for label, part in parts:
            self.path.append(label)
            found.append(self._check_node(part, depth + 1))
            self.path.pop()
        size = 1 + sum(n for n, _ in found)
        features = max((n for _, n in found), default=0)
        if kind == "RandomStateNode":
            self._check_random_state(state)
        elif pair == _types.TREE_PREDICTOR:
            features = max(features, self._features_of_tree(state))
        elif pair in _types.BOOSTED:
            features = _check_boosted(state, features)
        if size > _MAX_NODES:
            raise ValueError(f"it expands to more than {_MAX_NODES} parts")
        if number is not None:
            self._sizes[number], self._features[number] = size, features
        return size, features

    def _check_type(self, kind: str, pair: tuple[str, str]) -> None:
        """Collect a type, and check whether a node of this kind may have it."""
        self.types.add(pair)
        if pair in _allowed(kind) or (kind in _KINDS_FOR_TRUSTED and pair in self.trusted):
            return
        if kind not in _KINDS_FOR_TRUSTED:
            raise ValueError(f"a {kind} cannot be a {'.'.join(pair)!s:.80}")
        self.unknown.add(pair)

    def _DictNode(self, state):  # noqa: N802 - named as skops names the kinds
        content, keys = state["content"], state["key_types"]
        listed = _field(keys, "ListNode", "content")
        if not isinstance(listed, list) or len(listed) != len(_check_dict(content)):
            raise ValueError("a dict has different numbers of keys and values")
        for key in listed:
            pair = _field(key, "TypeNode", "__module__"), _field(key, "TypeNode", "__class__")
            if not any(pair == known for known in _types.KEYS):
                raise ValueError(
                    f"a dict has keys of type {pair[1]!s:.40}; only text and numbers can be stored"
                )
        return [("", keys), *content.items()]

    def _ListNode(self, state):  # noqa: N802
        if not isinstance(state["content"], list):
            raise ValueError("a list has no items")
        return [("", item) for item in state["content"]]

    _TupleNode = _ListNode

    def _SetNode(self, state):  # noqa: N802
        items = self._ListNode(state)
        for _, item in items:
            _field(item, "JsonNode", "content")
        return items

    def _JsonNode(self, state):  # noqa: N802
        _scalar(state)
        return ()

    def _NdArrayNode(self, state):  # noqa: N802
        if state["type"] == "numpy":
            if not isinstance(state.get("file"), str) or {"content", "shape"} & set(state):
                raise ValueError("an array has no file")
            self._check_file(state["file"])
            return ()
        if state["type"] != "json" or "file" in state or "shape" not in state:
            raise ValueError("an array is of an unknown kind")
        if (state["__module__"], state["__class__"]) != ("numpy", "ndarray"):
            raise ValueError("arrays of objects cannot be stored")
        items, shape = self._ListNode(state), state["shape"]
        if len(_field(shape, "TupleNode", "content")) != 1:
            # NumPy creates it from nested lists, in which shared lists would be expanded.
            for _, item in items:
                _check_values_only(item)
        return [*items, ("", shape)]

    def _MaskedArrayNode(self, state):  # noqa: N802
        content = state["content"]
        if not isinstance(content, dict) or set(content) != {"data", "mask"}:
            raise ValueError("a masked array has no mask")
        for part in content.values():
            _field(part, "NdArrayNode", "type")
        return list(content.items())

    def _DTypeNode(self, state):  # noqa: N802
        _field(state["content"], "NdArrayNode", "file")
        return [("", state["content"])]

    def _RandomStateNode(self, state):  # noqa: N802
        return [("", state["content"])]

    def _ObjectNode(self, state):  # noqa: N802
        if _has_no_attributes(state):
            return ()
        attributes = _field(state["content"], "DictNode", "content")
        # A cache of joblib consists of pickles, so a file must not choose its folder.
        if "memory" in _check_dict(attributes) and _scalar(attributes["memory"]) is not None:
            raise ValueError(f"a {state['__class__']!s:.60} has a memory, which is not allowed")
        return [(state["__class__"], state["content"])]

    def _SliceNode(self, state):  # noqa: N802
        content = state["content"]
        if not isinstance(content, dict) or set(content) != {"start", "stop", "step"}:
            raise ValueError("a slice has wrong fields")
        if any(type(value) not in (int, type(None)) for value in content.values()):
            raise ValueError("a slice has limits other than integers and None")
        return ()

    def _TypeNode(self, state):  # noqa: N802
        return ()

    _FunctionNode = _TypeNode

    def _ConstructorFromReduceNode(self, state):  # noqa: N802
        _field(state["content"], "TupleNode", "content")
        return [("", state["content"])]

    def _LossNode(self, state):  # noqa: N802
        if not isinstance(state["__reduce__"], dict) or set(state["__reduce__"]) != {"args"}:
            raise ValueError("a loss has an unknown constructor")
        return [("", state["content"]), ("", state["__reduce__"]["args"])]

    _TreeNode = _LossNode

    def _check_file(self, name: str) -> None:
        """Check the header of an array, whose file no other array may use."""
        if name not in self._files:
            raise ValueError(f"the array {name!s:.40} is missing, or used twice")
        size = self._files.pop(name)
        check_array(read(self._archive, name, min(NPY_START, size)), size)

    def _array(self, node) -> np.ndarray:
        """Return an array whose header was checked."""
        return np.load(io.BytesIO(read(self._archive, _field(node, "NdArrayNode", "file"))))

    def _check_random_state(self, state) -> None:
        whole = _check_dict(_field(state["content"], "DictNode", "content"))
        twister = _check_dict(_field(whole.get("state"), "DictNode", "content"))
        check_random_state(self._array(twister.get("key")), _scalar(twister.get("pos")))

    def _features_of_tree(self, state) -> int:
        attributes = _check_dict(_field(state.get("content"), "DictNode", "content"))
        return features_of_tree(self._array(attributes.get("nodes")))


def _check_boosted(state, n_features: int) -> int:
    """Check that the trees of a boosted model only use features that the model has."""
    if _has_no_attributes(state):
        return n_features
    attributes = _check_dict(_field(state["content"], "DictNode", "content"))
    if n_features:
        known = _scalar(attributes.get("n_features_in_"))
        encodes = _scalar(attributes.get("_preprocessor")) is not None
        if encodes or "_preprocess_X" in attributes or type(known) is not int:
            raise ValueError("a boosted model has categorical features, which cannot be stored")
        if n_features > known:
            raise ValueError(f"a boosted tree asks for feature {n_features - 1} of {known}")
    return 0


def _allowed(kind: str) -> frozenset[tuple[str, str]]:
    if kind == "ObjectNode":
        return _types.objects()
    if kind == "FunctionNode":
        return _types.functions()
    return _ALLOWED.get(kind, frozenset())


_ALLOWED = {
    **_types.CONTAINERS,
    "DTypeNode": frozenset({("numpy", "dtype")}),
    "JsonNode": frozenset({("builtins", "str")}),
    "LossNode": _types.LOSSES,
    # The second is its name in NumPy 1.
    "MaskedArrayNode": frozenset({("numpy.ma", "MaskedArray"), ("numpy.ma.core", "MaskedArray")}),
    "NdArrayNode": frozenset({("numpy", "ndarray"), *_types.SCALARS}),
    "RandomStateNode": frozenset({("numpy.random.mtrand", "RandomState")}),
    "SliceNode": frozenset({("builtins", "slice")}),
    "TypeNode": _types.TYPES,
}


def _schema(archive: zipfile.ZipFile) -> tuple[dict, bool]:
    """Return the schema with the current names, and whether it had old names."""
    renamed = []

    def rename(part: dict) -> dict:
        pair = part.get("__module__"), part.get("__class__")
        if all(isinstance(name, str) for name in pair) and pair in _types.RENAMED:
            renamed.append(pair)
            part["__module__"], part["__class__"] = _types.RENAMED[pair]
        return part

    try:
        schema = json.loads(read(archive, SCHEMA), object_hook=rename)
    except RecursionError as error:
        raise ValueError("its schema is nested too deep") from error
    protocol = _check_dict(schema).get("protocol")
    if type(protocol) is not int or protocol < _OLDEST_PROTOCOL:
        raise ValueError(f"its protocol {protocol!r:.40} is not a protocol of skops")
    return schema, bool(renamed)


def _has_no_attributes(state) -> bool:
    content = state.get("content")
    if content is None:
        return True
    is_value = _check_dict(content).get("__loader__") == "JsonNode"
    return is_value and _scalar(content) is None


def _check_dict(value) -> dict:
    if not isinstance(value, dict):
        raise ValueError("it has another value in place of a dict")
    return value


def _field(node, kind: str, field: str):
    """Return a field of a node, which must be of this kind."""
    if _check_dict(node).get("__loader__") != kind or field not in node:
        raise ValueError(f"it has another part in place of a {kind}")
    return node[field]


def _scalar(node):
    """Return the value of a node, which must be text, a number, a bool or None."""
    content = _field(node, "JsonNode", "content")
    if not isinstance(content, str):
        raise ValueError("a value is not JSON")
    try:
        value = json.loads(content)
    except RecursionError as error:
        raise ValueError("a value is nested") from error
    if isinstance(value, (dict, list)):
        raise ValueError("a value is a list or a dict")
    return value


def _check_values_only(item) -> None:
    """Raise an error unless a node is a value or a list of values."""
    if _check_dict(item).get("__loader__") == "ListNode":
        for inner in item["content"]:
            _check_values_only(inner)
    else:
        _field(item, "JsonNode", "content")
