"""What a file is that is no model of ecgsk, told by its first bytes without opening it."""

from ecgsk._core.file_formats import starts_as_safetensors

_JOBLIB = (
    "a pickle or joblib file. joblib.load reads it, but runs whatever code is in it: do so only "
    "with a file that you or people you trust have written, and then keep the model with "
    "ecgsk.save"
)
_BEGINNINGS = [
    *((b"\x80" + bytes([protocol]), _JOBLIB) for protocol in range(2, 6)),
    (b"ccopy_reg\n", _JOBLIB),
    (b"(dp0", _JOBLIB),
    (b"(lp0", _JOBLIB),
    # What joblib compresses with.
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


def what_it_is(content: bytes) -> str:
    """Return what content that is no zip file seems to be, as an end of "it is ..."."""
    if not content:
        return "empty"
    for beginning, meaning in _BEGINNINGS:
        if content.startswith(beginning):
            return meaning
    if starts_as_safetensors(content[:9], len(content)):
        return (
            "a safetensors file of weights. Estimators read it themselves, as in "
            "MTECGClassifier(weights=path) or ECGFounderClassifier(weights=path)"
        )
    if b"\x00" not in content[:1024]:
        return "text"
    return "of an unknown kind"


def what_the_archive_is(names: list[str]) -> str:
    """Return what a zip file seems to be that holds other things than a model."""
    if any(name.endswith("data.pkl") for name in names):
        return (
            "a checkpoint of torch, which holds a pickle. ECGFounderClassifier(weights=path) reads "
            "those of ECGFounder without running it"
        )
    if "schema.json" in names:
        return "a skops file: skops.io.load reads it"
    return "a zip archive of something else"
