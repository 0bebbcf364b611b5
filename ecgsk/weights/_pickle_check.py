"""Check the pickle in a file of ``torch.save`` before torch unpickles it.

With ``weights_only=True`` torch runs no code of a file. A crafted pickle can still crash the
process (the hash of tuples that are nested too deeply overflows the stack), keep it busy forever,
or make tensors that are larger than the file. This module interprets the pickle without building
anything, and allows only what ``torch.save`` writes for dicts of tensors and plain values.
"""

import pickletools
from math import prod

_MOST_OPCODES = _MOST_VALUES = 500_000
_DEEPEST = 50

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_ATOMS = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", *_CONSTANTS)
_EMPTY = {"EMPTY_DICT": "dict", "EMPTY_LIST": "list", "EMPTY_TUPLE": "tuple"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
# Bytes of a value in each type of storage.
_STORAGES = {
    "torch DoubleStorage": 8, "torch FloatStorage": 4, "torch HalfStorage": 2,
    "torch BFloat16Storage": 2, "torch LongStorage": 8, "torch IntStorage": 4,
    "torch ShortStorage": 2, "torch CharStorage": 1, "torch ByteStorage": 1,
    "torch BoolStorage": 1,
}  # fmt: skip
_TENSOR, _PARAMETER = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"
_ORDERED_DICT, _BYTES, _DTYPE = "collections OrderedDict", "_codecs encode", "numpy dtype"
# NumPy 2 moved it.
_NUMBERS = ("numpy.core.multiarray scalar", "numpy._core.multiarray scalar")
_GLOBALS = {*_STORAGES, _TENSOR, _PARAMETER, _ORDERED_DICT, _BYTES, _DTYPE, *_NUMBERS}
# Types of NumPy numbers, and the state that their dtypes have.
NUMBER_TYPES = ("f8", "f4", "f2", "i8", "i4")
_DTYPE_STATE = (3, "<", None, None, None, -1, -1, 0)


class Refused(Exception):  # noqa: N818 - holds the end of a sentence that starts with the path
    """The file is not what it should be."""


class _Value:
    """What is known of an object on the stack of the unpickler.

    ``depth`` is how deeply it is nested, ``size`` how many values it has where shared ones count
    each time. An object that is part of another must not change: there are no cycles.
    """

    __slots__ = ("content", "depth", "is_part", "kind", "size")

    def __init__(self, kind: str, content=None, parts=()):
        self.kind, self.content = kind, content
        self.depth, self.size, self.is_part = 0, 1, False
        self.add(*parts)

    def add(self, *parts: "_Value") -> None:
        for part in parts:
            part.is_part = True
            if self.is_part:
                raise Refused("was changed: an object in its pickle holds itself.")
            self.depth = max(self.depth, part.depth + 1)
            self.size += part.size
        if self.depth > _DEEPEST or self.size > _MOST_VALUES:
            raise Refused(
                f"was changed: its pickle is nested more than {_DEEPEST} times, or holds more "
                f"than {_MOST_VALUES:,} values."
            )

    def plain(self):
        """Return an atom, or a tuple of atoms."""
        if self.kind == "tuple":
            return tuple(part.plain() for part in self.content)
        if self.kind != "atom":
            raise Refused(f"was changed: a {self.kind} stands where a number or a text should.")
        return self.content


class PickleCheck:
    """Interprets a pickle; raises `Refused` for what ``torch.save`` does not write.

    ``record_sizes`` are the sizes in bytes of the file's storages by their keys.
    """

    def __init__(self, content: bytes, record_sizes: dict[str, int]):
        self.globals: list[tuple[int, str]] = []  # position and name of each import
        self.storages: dict[str, str] = {}  # types of the used storages by key
        self._record_sizes = record_sizes
        self._stack: list[_Value] = []
        self._outer: list[list[_Value]] = []
        self._memo: dict[int, _Value] = {}
        for number, (opcode, argument, position) in enumerate(pickletools.genops(content)):
            if number > _MOST_OPCODES:
                raise Refused(f"was changed: its pickle has more than {_MOST_OPCODES:,} steps.")
            self._step(opcode.name, argument, position)

    def _step(self, name: str, argument, position: int | None) -> None:
        stack = self._stack
        if name in _ATOMS:
            stack.append(_Value("atom", _CONSTANTS.get(name, argument)))
        elif name in _EMPTY:
            stack.append(_Value(_EMPTY[name], () if name == "EMPTY_TUPLE" else []))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name == "MARK":
            self._outer.append(stack)
            self._stack = []
        elif name == "TUPLE" or name in _TUPLES:
            parts = self._pop_mark() if name == "TUPLE" else self._pop(_TUPLES[name])
            self._stack.append(_Value("tuple", tuple(parts), parts))
        elif name in ("APPEND", "APPENDS"):
            parts = self._pop_mark() if name == "APPENDS" else self._pop(1)
            self._last("list").add(*parts)
        elif name in ("SETITEM", "SETITEMS"):
            parts = self._pop_mark() if name == "SETITEMS" else self._pop(2)
            target = self._last("dict", "OrderedDict")
            target.content.extend(key.plain() for key in self._keys(parts))
            target.add(*parts)
        elif name == "GLOBAL":
            self._import(argument, position)
        elif name == "BINPERSID":
            stack.append(self._storage(*self._pop(1)))
        elif name == "REDUCE":
            stack.append(self._call(*self._pop(2)))
        elif name == "BUILD":
            self._build(*self._pop(1))
        elif not (name == "PROTO" and argument == 2 or name == "STOP" and len(stack) == 1):
            raise Refused(
                f"cannot be read: torch.save does not write the pickle step {name} there."
            )

    def _pop(self, n: int) -> list[_Value]:
        parts = self._stack[-n:]
        if len(parts) < n:
            raise Refused("was changed: its pickle takes what it does not have.")
        del self._stack[-n:]
        return parts

    def _pop_mark(self) -> list[_Value]:
        parts, self._stack = self._stack, self._outer.pop()
        return parts

    def _last(self, *kinds: str) -> _Value:
        target = self._stack[-1]
        if target.kind not in kinds:
            raise Refused(f"was changed: its pickle adds to a {target.kind}.")
        return target

    @staticmethod
    def _keys(parts: list[_Value]) -> list[_Value]:
        keys = parts[::2]
        if len(parts) % 2 or any(key.kind != "atom" for key in keys):
            raise Refused("was changed: a key in its pickle is neither a text nor a number.")
        return keys

    def _import(self, name: str, position: int | None) -> None:
        if name not in _GLOBALS:
            shown = ascii(name.replace(" ", "."))[1:-1]
            raise Refused(f"cannot be read without running code: it asks for {shown}. Nothing ran.")
        self.globals.append((position or 0, name))
        self._stack.append(_Value("function", name))

    def _storage(self, identity: _Value) -> _Value:
        if identity.kind != "tuple" or len(identity.content) != 5:
            raise Refused("was changed: a storage in its pickle has no identity.")
        marker, function, *rest = identity.content
        if any(part.kind != "atom" for part in rest):
            raise Refused("was changed: a storage in its pickle has no identity.")
        key, _, n_values = (part.content for part in rest)
        kind, size = function.content, self._record_sizes.get(key)
        if (
            (marker.plain(), function.kind) != ("storage", "function")
            or kind not in _STORAGES
            or type(n_values) is not int
            or size != n_values * _STORAGES[kind]
            or self.storages.setdefault(key, kind) != kind
        ):
            raise Refused("was changed: the values of a tensor are not in it, or are not all.")
        return _Value("storage", n_values, (identity,))

    def _call(self, function: _Value, arguments: _Value) -> _Value:
        if function.kind != "function" or arguments.kind != "tuple":
            raise Refused("was changed: its pickle calls an object that is not a function.")
        args, name = arguments.content, function.content
        kinds = [part.kind for part in args]
        if name == _TENSOR and len(args) == 6:
            _check_tensor(args)
            return _Value("tensor", None, (arguments,))
        if name == _PARAMETER and kinds == ["tensor", "atom", "OrderedDict"] and args[2].size == 1:
            return _Value("tensor", None, (arguments,))
        if name == _ORDERED_DICT and not args:
            return _Value("OrderedDict", [])
        if name == _BYTES and kinds == ["atom", "atom"]:
            text, encoding = arguments.plain()
            if type(text) is str and encoding == "latin1":
                return _Value("bytes")
        if name == _DTYPE and kinds == ["atom"] * 3:
            if arguments.plain() in [(kind, False, True) for kind in NUMBER_TYPES]:
                return _Value("dtype")
        if name in _NUMBERS and kinds == ["dtype", "bytes"]:
            return _Value("number", None, (arguments,))
        raise Refused(f"was changed: its pickle calls {name.replace(' ', '.')} with other values.")

    def _build(self, state: _Value) -> None:
        """Check the state that an object gets: what networks say of themselves, and dtypes."""
        target = self._last("OrderedDict", "dtype")
        if target.kind == "OrderedDict" and state.kind == "dict":
            if state.content == ["_metadata"]:
                target.add(state)
                return
        elif target.kind == "dtype" and not target.is_part and state.plain() == _DTYPE_STATE:
            return
        raise Refused(f"was changed: a {target.kind} in its pickle gets another state.")


def _check_tensor(args: tuple[_Value, ...]) -> None:
    """Raise unless a tensor lies within its storage."""
    storage, *place, _, hooks = args
    offset, size, stride = (part.plain() for part in place)
    if storage.kind != "storage" or hooks.kind != "OrderedDict" or hooks.size > 1:
        raise Refused("was changed: a tensor is made of something else than values.")
    n_values, numbers = storage.content, (offset, *size, *stride)
    if any(type(n) is not int for n in numbers) or len(size) != len(stride) or len(size) > 25:
        raise Refused("was changed: a tensor has no valid shape.")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    empty = 0 in size and max(numbers) < 2**31
    if min(numbers) < 0 or not (empty or last < n_values):
        raise Refused("was changed: a tensor lies outside of its values.")
    if prod(size) > max(n_values, 1):
        raise Refused("was changed: a tensor repeats its values.")
