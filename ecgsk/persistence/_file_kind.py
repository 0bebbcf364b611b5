"""Recognize the formats of files that are not models of ecgsk, for error messages."""

from ecgsk._core.file_formats import starts_as_safetensors

_JOBLIB = (
    "a pickle or joblib file. joblib.load reads it, but runs any code in it. Load it only if it "
    "is from you or from people whom you trust, and then save the model with ecgsk.save"
)
_FIRST_BYTES = [
    *((b"\x80" + bytes([protocol]), _JOBLIB) for protocol in range(2, 6)),
    (b"ccopy_reg\n", _JOBLIB),
    (b"(dp0", _JOBLIB),
    (b"(lp0", _JOBLIB),
    # The following formats are compressed by joblib.
    (b"\x78\x01", _JOBLIB),
    (b"\x78\x5e", _JOBLIB),
    (b"\x78\x9c", _JOBLIB),
    (b"\x78\xda", _JOBLIB),
    (b"\x1f\x8b", f"compressed with gzip, probably {_JOBLIB}"),
    (b"BZh", f"compressed with bzip2, probably {_JOBLIB}"),
    (b"\xfd7zXZ\x00", f"compressed with xz, probably {_JOBLIB}"),
    (b"\x5d\x00\x00", f"compressed with lzma, probably {_JOBLIB}"),
    (b"\x04\x22\x4d\x18", f"compressed with lz4, probably {_JOBLIB}"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"%PDF", "a PDF document"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
]
ADVICE = "Give a file that ecgsk.save wrote"


def file_kind(content: bytes) -> str:
    """Return a description of a file that is not a zip file, which completes "it is ..."."""
    if not content:
        return "empty"
    for first_bytes, kind in _FIRST_BYTES:
        if content.startswith(first_bytes):
            return kind
    if starts_as_safetensors(content[:9], len(content)):
        return (
            "a safetensors file of weights. Use it with MTECGClassifier(weights=path) or "
            "ECGFounderClassifier(weights=path)"
        )
    if b"\x00" not in content[:1024]:
        return "a text file"
    return "a file of an unknown kind"


def archive_kind(names: list[str]) -> str:
    """Return a description of a zip file without a model, which completes "it is ..."."""
    if any(name.endswith("data.pkl") for name in names):
        return (
            "a checkpoint of torch, which contains a pickle. ECGFounderClassifier(weights=path) "
            "reads checkpoints of ECGFounder without running code"
        )
    if "schema.json" in names:
        return "a skops file. Read it with skops.io.load"
    return "another zip archive"
