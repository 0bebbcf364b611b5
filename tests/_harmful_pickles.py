"""Pickles for files of torch.save that crash readers, or take their time or memory."""

import zipfile


def with_pickle(path, content):
    """Write a file of torch.save with this pickle and one storage of 64 values."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bad/version", b"3\n")
        archive.writestr("bad/data.pkl", b"\x80\x02" + content + b".")
        archive.writestr("bad/data/0", bytes(256))


ONE = b"K\x01"
ORDERED = b"ccollections\nOrderedDict\n)R"
STORAGE = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK@tQ"
TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"K\0K@\x85K\x01\x85\x89" + ORDERED + b"tR"
)
DTYPE = b"cnumpy\ndtype\nX\x02\0\0\0f8\x89\x88\x87R"
STATE = b"(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0t"
SCALAR = b"cnumpy._core.multiarray\nscalar\n"
EIGHT = b"c_codecs\nencode\nX\x08\0\0\x0012345678X\x06\0\0\0latin1\x86R"


def doubled(times):
    """Return a tuple that holds a tuple twice, and so on."""
    steps = ((b"h" + bytes([i])) * 2 + b"\x86q" + bytes([i + 1]) for i in range(times))
    return b")q\0" + b"".join(steps)


HARMFUL = {
    "nested tuples": b")" + b"\x85" * 150_000,
    "nested tuples as a key": b"}" + b")" + b"\x85" * 150_000 + ONE + b"s",
    "tuple as a key": b"})" + ONE + b"s",
    "doubled tuples": doubled(100),
    "doubled tuples as a key": b"}" + doubled(100) + ONE + b"s",
    "nested lists": b"]" * 150_000 + b"a" * 149_999,
    "nested lists, outer first": b"(]q\0" + b"h\0]q\0a" * 50_000 + b"t",
    "nested dicts": (b"}" + ONE) * 150_000 + b"}" + b"s" * 150_000,
    "dict in tuples": b"}" + b"\x85" * 150_000,
    "nested marks": b"(" * 150_000 + b"t" * 150_000,
    "list in itself": b"]q\0h\0a",
    "list in a tuple in itself": b"]q\0h\0\x85a",
    "dict in itself": b"}q\0" + ONE + b"h\0s",
    "state in itself": ORDERED + b"q\0}X\x09\0\0\0_metadatah\0sb",
    "memo of nothing": b"h\x07",
    "long memo of nothing": b"j\xff\xff\xff\xff",
    "put of nothing": b"q\0",
    "many steps": b"]" + (ONE + b"a") * 300_000,
    "huge long": b"\x8b\xff\xff\xff\x7f",
    "long of 2 MB": b"\x8b\x80\x84\x1e\0" + b"\x7f" * 2_000_000,
    "text of 2 GB": b"X\xff\xff\xff\x7fabc",
    "text that is not UTF-8": b"X\x02\0\0\0\xff\xff",
    "bytes of 16 EB": b"\x8e" + b"\xff" * 8,
    "chain of calls": b"ccollections\nOrderedDict\n" + b")R" * 1000,
    "call of a tensor": TENSOR + b")R",
    "call with a list": b"ccollections\nOrderedDict\n]R",
    "call with values": b"ccollections\nOrderedDict\n]\x85R",
    "encode to another encoding": b"c_codecs\nencode\nX\x01\0\0\0aX\x03\0\0\0rot\x86R",
    "new object": b"ccollections\nOrderedDict\n)\x81",
    "stack that is empty": b"0",
    "tuple of too few": ONE + b"\x87",
    "two results": ONE + ONE,
    "no result": b"",
    "append to a dict": b"}" + ONE + b"a",
    "item of a list": b"]" + ONE + ONE + b"s",
    "odd items": b"}(" + ONE + b"u",
    "mark that is missing": ONE + b"t",
    "another protocol": b"\x80\x04N",
    "dtype of objects": DTYPE.replace(b"\x02\0\0\0f8", b"\x01\0\0\0O"),
    "dtype with another state": DTYPE + STATE.replace(b"<", b">") + b"b",
    "dtype with fields": DTYPE + STATE.replace(b"<NNN", b"<N)}") + b"b",
    "number of a list": SCALAR + DTYPE + STATE + b"b]\x86R",
    "number without a dtype": SCALAR + ONE + EIGHT + b"\x86R",
    "dtype that changes after use": (
        DTYPE + b"q\0" + SCALAR + b"h\0" + EIGHT + b"\x86Rh\0" + STATE + b"b"
    ),
    "attributes of a state": ORDERED + b"}X\x03\0\0\0getNsb",
    "state of a tensor": TENSOR + b"}b",
    "hooks of a tensor": TENSOR[:-2] + ONE + ONE + b"stR",
    "values of another type": b"(" + TENSOR + TENSOR.replace(b"Float", b"Int") + b"t",
    "values that are not there": TENSOR.replace(b"\x000X", b"\x001X"),
    "more values than there are": TENSOR.replace(b"K@tQ", b"M\xff\xfftQ"),
    "values of a process": STORAGE.replace(b"storagec", b"modules_c"),
    "storage without an identity": ONE + b"Q",
    "storage with a tuple as its key": STORAGE.replace(b"X\x01\0\0\x000", b")"),
}
