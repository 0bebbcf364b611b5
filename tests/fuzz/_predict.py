"""Folders for ``ecgsk predict``: a broken file between good ones."""

import contextlib
import csv
import io
import pickle
import re
import struct
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from ecgsk._cli.main import main
from tests._models import RATE, small_models
from tests._names import PIECES, original, random_name

from ._case import Case, generator, mutate
from ._format_seeds import originals as originals_of_formats
from ._records import LEADS, record

KIND = "predict"
N_SAMPLES = 200
SUFFIXES = (".npy", ".NPY", ".hea", ".HEA", ".dat", ".mat", ".xml", ".dcm", ".edf", ".h5", ".csv",
            ".npy.gz", "")  # fmt: skip


@lru_cache
def model_file() -> Path:
    """Return the file of a small model of 12 leads."""
    import tempfile

    import ecgsk

    X = ecgsk.make_ecg(12, sampling_rate=RATE, duration=N_SAMPLES / RATE, random_state=0)
    model = small_models()["mtecg"].set_params(leads=LEADS, max_epochs=1)
    path = Path(tempfile.mkdtemp(prefix="ecgsk-fuzz-model-")) / "model.ecgsk"
    path.parent.chmod(0o755)
    ecgsk.save(model.fit(X, [0, 1] * 6), path)
    path.chmod(0o644)
    return path


def warm_up() -> None:
    """Make and import what is made and imported once, which executes text."""
    _expected()


def _npy(array, version=None, allow_pickle=False) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), version, allow_pickle)
    return buffer.getvalue()


def _header(text: str, data: bytes = b"", version: int = 1) -> bytes:
    size = struct.pack(
        "<H" if version == 1 else "<I", len(text) % (1 << 16 if version == 1 else 1 << 32)
    )
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode() + data


def signals(seed: int, n: int = 1) -> np.ndarray:
    """Return recordings, mV."""
    return np.random.default_rng(seed).normal(0, 0.3, (n, 12, N_SAMPLES)).astype(np.float32)


def good_files() -> dict[str, bytes]:
    """Return files that need predictions, with any others in their folder."""
    long = record("zz", n_samples=N_SAMPLES * 5)
    return {"aa.npy": _npy(signals(1)[0]), "ab.npy": _npy(signals(2, 3)), **long}


def _build(files: dict[str, bytes], folder: Path) -> Path:
    inside = folder / "records"
    inside.mkdir(mode=0o755)
    for name, content in {**good_files(), **files}.items():
        (inside / name).write_bytes(content)
    return inside


@lru_cache
def originals() -> dict[str, bytes]:
    """Return arrays that are broken, by what they are."""
    one = signals(3)[0]
    return {
        "float32": _npy(one),
        "float64": _npy(one.astype(float)),
        "int16": _npy((one * 2).astype(np.int16)),
        "Fortran": _npy(np.asfortranarray(one)),
        "big-endian": _npy(one.astype(">f4")),
        "many": _npy(signals(4, 4)),
    }


def _build_random(origin: str, name: str, folder: Path) -> Path:
    random = generator(KIND, name)
    content = originals()[origin]
    if random.integers(0, 2):
        # Where mistakes are understood wrongly.
        content = mutate(content[:128], random) + content[128:]
    else:
        content = mutate(content, random)
    return _build({"mm.npy": content}, folder)


def _build_folder(name: str, folder: Path) -> Path:
    random = generator(KIND, name)
    contents = [_npy(signals(6)[0]), _npy(signals(7, 2)), b"", random.bytes(300),
                b"1,2\n3,4\n", record("zz")["zz.hea"]]  # fmt: skip
    for content in originals_of_formats().values():
        contents += [content, mutate(content, random)]
    files = {}
    for _ in range(random.integers(1, 8)):
        suffix = SUFFIXES[random.integers(0, len(SUFFIXES))]
        # Not hidden, and none of the good files.
        files["_" + random_name(random) + suffix] = contents[random.integers(0, len(contents))]
    return _build(files, folder)


def random_cases(n: int, seed: int) -> list[Case]:
    """Return arrays that were broken at random, and folders of odd names and formats."""
    names = list(originals())
    arrays = [
        Case(KIND, name, partial(_build_random, names[i % len(names)], name), random=True)
        for i in range(n)
        for name in [f"{names[i % len(names)]}-{seed}-{i}"]
    ]
    folders = [f"folder-{seed}-{i}" for i in range(n // 4)]
    return arrays + [
        Case(KIND, name, partial(_build_folder, name), random=True) for name in folders
    ]


def hand_made() -> list[Case]:
    """Return arrays that were broken on purpose."""
    one = signals(5)[0]
    told = "{{'descr': {!r}, 'fortran_order': False, 'shape': {}, }}"

    class Evil:
        def __reduce__(self):
            return eval, ("open('../../canary', 'w')",)

    structured = np.zeros(12, [("a", "f4"), ("b", "i2")])
    made = {
        "objects": _npy(np.array([Evil()], object), allow_pickle=True),
        "a pickle": pickle.dumps(Evil()),
        "10^12 samples": _header(told.format("<f4", (12, 10**12)), bytes(4000)),
        "2^63 samples": _header(told.format("<f4", (12, 2**63)), bytes(4000)),
        "negative shape": _header(told.format("<f4", (12, -200)), bytes(9600)),
        "shape of text": _header(told.format("<f4", "'x'"), bytes(9600)),
        "descr of code": _header(told.format("__import__('os').system('x')", (12, 200)), bytes(99)),
        "header of 60 kB": _header("{" + " " * 60_000 + "}", bytes(10)),
        "header that nests": _header("(" * 30_000, bytes(10)),
        "header of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}",
        "version 9": b"\x93NUMPY\x09\x00" + _npy(one)[8:],
        "structured": _npy(structured),
        "complex": _npy(one.astype(complex)),
        "bool": _npy(one > 0),
        "text": _npy(np.full((12, 200), "a")),
        "dates": _npy(np.zeros((12, 200), "M8[s]")),
        "no dimension": _npy(np.float32(1)),
        "one dimension": _npy(one[0]),
        "five dimensions": _npy(one.reshape(1, 1, 1, 12, 200)),
        "no records": _npy(np.zeros((0, 12, 200), np.float32)),
        "no leads": _npy(np.zeros((3, 0, 200), np.float32)),
        "no samples": _npy(np.zeros((3, 12, 0), np.float32)),
        "11 leads": _npy(one[:11]),
        "turned": _npy(np.ascontiguousarray(one.T)),
        "too short": _npy(one[:, :50]),
        "too long": _npy(np.tile(one, 30)),
        "NaN": _npy(np.full_like(one, np.nan)),
        "one NaN": _npy(np.where(np.arange(200) == 7, np.nan, one).astype(np.float32)),
        "infinite": _npy(np.full_like(one, np.inf)),
        "beyond float32": _npy(np.full(one.shape, 1e300)),
        "absurd amplitude": _npy(one * 1e30),
        "microvolt": _npy(one * 1000),
        "flat": _npy(np.zeros_like(one)),
        "empty": b"",
        "six bytes": b"\x93NUMPY",
        "cut": _npy(one)[:-1],
        "longer than said": _npy(one) + bytes(5000),
        "a zip": b"PK\x03\x04" + bytes(100),
    }  # fmt: skip
    answered = {"int16", "float64", "flat", "microvolt", "longer than said"}
    cases = [Case(KIND, name, partial(_build, {"mm.npy": content}),
                  "either" if name in answered else "error")
             for name, content in made.items() if name not in ("bool",)]  # fmt: skip
    cases.append(Case(KIND, "bool", partial(_build, {"mm.npy": made["bool"]})))
    cases += [Case(KIND, f"whole {name}", partial(_build, {"mm.npy": content}), "answer")
              for name, content in originals().items()]  # fmt: skip
    array = _npy(signals(8)[0])
    cases += [Case(KIND, f"name {piece!a}", partial(_build, {f"m{piece}m.npy": array}), "answer")
              for piece in PIECES]  # fmt: skip
    cases += [Case(KIND, f"unread {suffix}", partial(_build, {f"mm{suffix}": b"?"}), "error",
                   "is not read|no header|rename it|not an .npy")
              for suffix in SUFFIXES if suffix not in ("", ".csv", ".hea")]  # fmt: skip
    for kind, build in (("FIFO", _fifo), ("folder", _as_folder), ("loop", _loop)):
        cases.append(Case(KIND, f"npy is a {kind}", build))
    return cases


def _fifo(folder: Path) -> Path:
    import os

    inside = _build({}, folder)
    os.mkfifo(inside / "mm.npy")
    return inside


def _as_folder(folder: Path) -> Path:
    inside = _build({}, folder)
    (inside / "mm.npy").mkdir()
    return inside


def _loop(folder: Path) -> Path:
    inside = _build({}, folder)
    (inside / "mm.npy").symlink_to("mm.npy")
    return inside


def _ask(records: Path, out: Path) -> tuple[int, list[dict], str]:
    said = io.StringIO()
    words = ["predict", model_file(), records, "--sampling-rate", RATE, "--out", out, "--quiet"]
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        status = main([str(word) for word in [*words, "--overwrite"]])
    rows = list(csv.DictReader(out.open(newline=""))) if out.exists() else []
    return status, rows, said.getvalue()


def read(records: Path):
    """Answer the folder."""
    status, rows, said = _ask(records, records.parent / "out.csv")
    if status not in (0, 1):
        raise ValueError(f"{records}: status {status}: {said}")
    return status, rows


def reason(answer) -> str:
    """Return why there is no answer of the file that may be broken."""
    return "; ".join(f"{row['record']!a}: {row['error']}" for row in answer[1] if row["error"])


@lru_cache
def _expected() -> dict[str, str]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        records = _build({}, Path(folder))
        status, rows, _ = _ask(records, Path(folder) / "out.csv")
    assert status == 0 and len(rows) == 5
    return {Path(row["record"]).name: row["probability"] for row in rows}


def wrong(records: Path, answer) -> str:
    """Return what is wrong with an answer; nothing if it is right."""
    status, rows = answer
    found = {Path(row["record"]).name: row for row in rows}
    for name, probability in _expected().items():
        if name not in found or found[name]["error"]:
            return f"the good recording {name} is lost"
        if found[name]["probability"] != probability:
            # Batches differ in size, and so in the last digit of float32.
            if abs(float(found[name]["probability"]) - float(probability)) > 1e-6:
                return f"the good recording {name} has another answer"
    listed = {original(row["record"]) for row in rows}
    listed |= {re.sub(r"\[\d+\]$", "", name) for name in listed}
    for path in records.iterdir():
        if path.suffix in (".npy", ".hea", ".xml") and not path.is_dir():
            stem = str(path).removesuffix(".hea")
            if stem not in listed:
                return f"{path.name!a} has no row"
    others = [row for name, row in found.items() if name not in _expected()]
    if status != int(any(row["error"] for row in others)):
        return f"status {status}"
    for row in others:
        if not row["error"] and not 0 <= float(row["probability"]) <= 1:
            return "answers no probability"
    return ""
