"""WFDB records: headers that lie, signals that do not fit, names that lead elsewhere."""

import codecs
import os
import tempfile
import warnings
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from ecgsk._core.record_error import RecordError
from ecgsk.datasets import load_wfdb

from ._case import NUMBERS, WORDS, Case, generator, mutate, mutate_text, write

KIND = "record"
LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
N_SAMPLES = 50
GOOD = ("aa", "zz")
_UNIFIED = {"sampling_rate": 100, "n_samples": 30}
# Bytes of a sample in the formats of WFDB.
BYTES = {
    "8": 1, "16": 2, "24": 3, "32": 4, "61": 2, "80": 1, "160": 2, "212": 1.5, "310": 4 / 3,
    "311": 4 / 3,
}  # fmt: skip


def record(
    name: str, sample_format: str = "16", *, n_samples: int = N_SAMPLES, seed: str = ""
) -> dict[str, bytes]:
    """Return the files of a record of 12 leads; any bytes are samples in all of the formats."""
    size = int(np.ceil(12 * n_samples * BYTES[sample_format] / 4)) * 4
    payload = generator(name, sample_format, seed).bytes(size)
    lines = [f"{name} 12 500 {n_samples}"]
    lines += [f"{name}.dat {sample_format} 1000.0(0)/mV 16 0 0 0 0 {lead}" for lead in LEADS]
    return {f"{name}.hea": _text(lines), f"{name}.dat": payload}


def matlab(name: str) -> dict[str, bytes]:
    """Return a record as the Challenges ship them."""
    payload = generator(name).bytes(24 * N_SAMPLES)
    start = np.array([30, 12, N_SAMPLES, 0, 4], "<i4").tobytes() + b"val\0"
    lines = [f"{name} 12 500 {N_SAMPLES} 12-May-2020 12:33:59"]
    lines += [f"{name}.mat 16x1+24 1000.0(0)/mV 16 0 0 0 0 {lead}" for lead in LEADS]
    lines += ["# Age: 74", "# Sex: Male", "# Dx: 59118001,164889003"]
    return {f"{name}.hea": _text(lines), f"{name}.mat": start + payload}


def segments(layout: bool) -> dict[str, bytes]:
    """Return a record of two segments, with or without a layout before them."""
    pieces = [record("bad_1", seed="1"), record("bad_2", seed="2")]
    listed = ["bad_1 50", "bad_2 50"]
    if layout:
        lines = ["bad_0 12 500 0", *(f"~ 0 1000.0(0)/mV 16 0 0 0 0 {lead}" for lead in LEADS)]
        pieces.append({"bad_0.hea": _text(lines)})
        listed = ["bad_0 0", *listed, "~ 20"]
    length = 120 if layout else 100
    files = {"bad.hea": _text([f"bad/{len(listed)} 12 500 {length}", *listed])}
    for piece in pieces:
        files |= piece
    return files


def _text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


@lru_cache
def originals() -> dict[str, dict[str, bytes]]:
    """Return the records that are broken, by what they are."""
    files = {f"format-{name}": record("bad", name) for name in BYTES}
    files |= {"matlab": matlab("bad"), "segments": segments(False), "layout": segments(True)}
    plain, half = record("bad"), 12 * N_SAMPLES
    files["two-files"] = {
        "bad.hea": _text(plain["bad.hea"].decode().replace("dat", "da2", 6).splitlines()),
        "bad.da2": plain["bad.dat"][:half],
        "bad.dat": plain["bad.dat"][half:],
    }
    return files


def _beside_good(folder: Path) -> None:
    write(folder, record("aa") | matlab("zz"))


def _build(files: dict[str, bytes], folder: Path) -> Path:
    _beside_good(folder)
    write(folder, files)
    return folder


def _build_random(origin: str, name: str, folder: Path) -> Path:
    random = generator(KIND, name)
    files = dict(originals()[origin])
    target = sorted(files)[random.integers(0, len(files))]
    if random.integers(0, 3):  # headers are where mistakes are understood wrongly
        target = "bad.hea"
    if target.endswith(".hea"):
        files[target] = mutate_text(files[target].decode(), random)
    else:
        files[target] = mutate(files[target], random)
    return _build(files, folder)


def random_cases(n: int, seed: int) -> list[Case]:
    """Return records that were broken at random."""
    names = list(originals())
    return [
        Case(KIND, name, partial(_build_random, names[i % len(names)], name), random=True)
        for i in range(n)
        for name in [f"{names[i % len(names)]}-{seed}-{i}"]
    ]


def hand_made() -> list[Case]:
    """Return records that were broken on purpose."""
    cases = [
        Case(KIND, f"whole {origin}", partial(_build, files), "answer")
        for origin, files in originals().items()
    ]
    for origin in ("format-16", "format-212", "matlab", "segments"):
        cases += [_headers(origin, *change) for change in _CHANGES]
    cases += [Case(KIND, name, build, must, says) for name, build, must, says in _files()]
    for number in NUMBERS:
        for place, old in _PLACES.items():
            cases.append(_headers("format-16", f"{place} {number[:21]}", old, old[1](number)))
    for word in WORDS:
        for place in ("bad 12", "bad.dat 16 1000.0(0)/mV 16 0 0 0 0 V6", "/mV 16 0 0 0 0 V5"):
            new = place.replace(place.split()[-1], word + place.split()[-1], 1)
            cases.append(_headers("format-16", f"{word[:9]!a} in {place}", place, new))
    return cases


_LAST = "16 0 0 0 0 V6"
_PLACES = {
    "signals": ("bad 12 500 50", lambda n: f"bad {n} 500 50"),
    "rate": ("bad 12 500 50", lambda n: f"bad 12 {n} 50"),
    "samples": ("bad 12 500 50", lambda n: f"bad 12 500 {n}"),
    "segments": ("bad 12 500 50", lambda n: f"bad/{n} 12 500 50"),
    "format": (f"bad.dat 16 1000.0(0)/mV {_LAST}", lambda n: f"bad.dat {n} 1000/mV {_LAST}"),
    "frames": (f"bad.dat 16 1000.0(0)/mV {_LAST}", lambda n: f"bad.dat 16x{n} 1000/mV {_LAST}"),
    "skew": (f"bad.dat 16 1000.0(0)/mV {_LAST}", lambda n: f"bad.dat 16:{n} 1000/mV {_LAST}"),
    "offset": ("bad.dat 16 ", lambda n: f"bad.dat 16+{n} "),
    "gain": (f"1000.0(0)/mV {_LAST}", lambda n: f"{n}(0)/mV {_LAST}"),
    "baseline": (f"1000.0(0)/mV {_LAST}", lambda n: f"1000({n})/mV {_LAST}"),
    "zero": (f"1000.0(0)/mV {_LAST}", lambda n: f"1000/mV 16 {n} 0 0 0 V6"),
    "checksum": (f"1000.0(0)/mV {_LAST}", lambda n: f"1000/mV 16 0 0 {n} 0 V6"),
}
# Name, what is replaced in the header, and by what.
_CHANGES = [
    ("path up", "bad.", "../../../../etc/passwd bad."),
    ("path up in name", "bad", "../bad"),
    ("path to a secret", "bad.dat", "../secret/secret.dat"),
    ("absolute path", "bad.dat", "/etc/passwd"),
    ("absolute path of a segment", "bad_1", "/etc/passwd"),
    ("segment up", "bad_1", "../secret/secret"),
    ("record that names itself", "bad_1", "bad"),
    ("file is the header", "bad.dat", "bad.hea"),
    ("file is this folder", "bad.dat", "."),
    ("file is the folder above", "bad.dat", ".."),
    ("NUL in a file name", "bad.dat", "b\0d.dat"),
    ("very long file name", "bad.dat", "d" * 5000),
    ("file of a network", "bad.dat", "s3://bucket/bad.dat"),
    ("all leads V1", " V", " V1 #"),
    ("leads twice", " 0 V6", " 0 V5"),
    ("leads unknown", " 0 V6", " 0 X"),
    ("unit of pressure", "/mV", "/mmHg"),
    ("unit missing", "/mV", "/"),
    ("rate below a cycle", " 500 ", " 0.000001 "),
    ("rate nearly 500", " 500 ", " 499.99999 "),
    ("rate of a radio", " 500 ", " 100000000 "),
    ("rate beyond floats", " 500 ", " 1e308 "),
    ("gain near nothing", "1000.0(0)", "1e-308(0)"),
    ("gain beyond floats", "1000.0(0)", "1e308(0)"),
    ("negative gains", "1000.0(0)", "-1000.0(0)"),
    ("baseline beyond integers", "1000.0(0)", f"1000({10**30})"),
    ("baseline beyond floats", "1000.0(0)", f"1000({10**400})"),
    ("samples beyond the file", " 500 50", " 500 1000000000"),
    ("more samples than atoms", " 500 50", f" 500 {10**80}"),
    ("carriage returns", "\n", "\r\n"),
    ("only carriage returns", "\n", "\r"),
    ("line separators", "\n", "\u2028"),
    ("tabs", " ", "\t"),
    ("byte order mark", "bad ", "\ufeffbad "),
    ("format of FLAC", ".dat 16", ".dat 516"),
    ("formats mixed", f"dat 16 1000.0(0)/mV {_LAST}", f"dat 80 1000/mV {_LAST}"),
    ("a lead of 7 samples a frame", f"16 1000.0(0)/mV {_LAST}", f"16x7 1000/mV {_LAST}"),
    ("100,000 comments", "bad 12", "# Dx: 1\n" * 100_000 + "bad 12"),
    ("100,000 signals", "bad 12", "bad 100000",
     "V6\n", "V6\n" + "x.dat 16 1 16 0 0 0 0 y\n" * 99_988),
    ("100,000 codes", "bad 12", "# Dx: " + ",".join(map(str, range(100_000))) + "\nbad 12"),
    ("an age of text", "bad 12", "# Age: 1e999\n# Sex: \0\nbad 12"),
]  # fmt: skip


def _headers(origin: str, name: str, *changes) -> Case:
    files = dict(originals()[origin])
    text = files["bad.hea"].decode()
    pairs = (
        [changes]
        if isinstance(changes[0], tuple)
        else list(zip(changes[::2], changes[1::2], strict=True))
    )
    for old, new in pairs:
        old = old[0] if isinstance(old, tuple) else old
        text = text.replace(old, new)
    files["bad.hea"] = text.encode()
    return Case(KIND, f"{name} ({origin})", partial(_build, files))


def _with_checksums(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return a record of format 16 whose header has the checksums of its signals."""
    lines = files["bad.hea"].decode().splitlines()
    signals = [i for i, line in enumerate(lines) if line.startswith("bad.dat")]
    counts = np.frombuffer(files["bad.dat"], "<i2").reshape(-1, len(signals))
    for i, signal in zip(signals, counts.T, strict=True):
        fields = lines[i].split(maxsplit=8)
        fields[6] = str(int(signal.astype(int).sum()) % 65536)
        lines[i] = " ".join(fields)
    return files | {"bad.hea": ("\n".join(lines) + "\n").encode()}


def _files() -> list[tuple[str, Callable[[Path], Path], str, str]]:
    plain, mat = record("bad"), matlab("bad")
    content = mat["bad.mat"]

    def of(files, **changed):
        return partial(_build, files | {k.replace("_", "."): v for k, v in changed.items()})

    def start(*numbers):
        return np.array(numbers, "<i4").tobytes() + content[20:]

    verified = _with_checksums(plain)
    data = verified["bad.dat"]
    longer = data.replace(data[:1], b"\r" + data[:1])  # as line feeds become two bytes
    swapped = np.frombuffer(data, ">i2").astype("<i2").tobytes()

    def changed(bytes_):
        return of(verified, bad_dat=bytes_)

    made = [
        ("line ends changed", changed(longer), "error", "checksum"),
        ("a byte lost", changed(data[:7] + data[8:] + b"\0"), "error", "checksum"),
        ("bytes swapped", changed(swapped), "error", "checksum"),
        ("signals moved", changed(data[2:] + data[:2]), "error", "checksum"),
        ("checksums right", of(verified), "answer", ""),
        ("empty signals", of(plain, bad_dat=b""), "error", "truncated"),
        ("one byte short", of(plain, bad_dat=plain["bad.dat"][:-1]), "error", "truncated"),
        ("more samples than said", of(plain, bad_dat=plain["bad.dat"] * 9), "error", "bytes more"),
        ("empty header", of(plain, bad_hea=b""), "error", "empty"),
        ("header of NUL", of(plain, bad_hea=b"\0" * 5000), "error", ""),
        ("header of bytes", of(plain, bad_hea=bytes(range(256)) * 20), "error", ""),
        ("header of 20 MB", of(plain, bad_hea=b"a" * 20_000_000), "error", ""),
        ("header of 20 MB of lines", of(plain, bad_hea=b"a\n" * 10_000_000), "error", ""),
        ("header in UTF-16", of(plain, bad_hea=plain["bad.hea"].decode().encode("utf-16")),
         "error", ""),
        ("mat: rows and columns swapped", of(mat, bad_mat=start(30, 50, 12, 0, 4)),
         "error", "MATL"),
        ("mat: doubles", of(mat, bad_mat=start(0, 12, 50, 0, 4)), "error", "MATLAB"),
        ("mat: big-endian", of(mat, bad_mat=start(1030, 12, 50, 0, 4)), "error", "MATLAB"),
        ("mat: 2^31 columns", of(mat, bad_mat=start(30, 12, -1, 0, 4)), "either", ""),
        ("mat: fewer columns", of(mat, bad_mat=start(30, 12, 49, 0, 4)), "either", ""),
        ("mat: complex", of(mat, bad_mat=start(30, 12, 50, 1, 4)), "either", ""),
        ("mat: a long name", of(mat, bad_mat=start(30, 12, 50, 0, 2**31 - 1)), "either", ""),
        ("mat: version 5", of(mat, bad_mat=b"MATLAB 5.0 MAT-file".ljust(9000)), "error", "MATLAB"),
        ("mat: version 7.3", of(mat, bad_mat=b"\x89HDF\r\n\x1a\n".ljust(9000)), "error", "MATLAB"),
        ("mat: empty", of(mat, bad_mat=b""), "error", ""),
    ]  # fmt: skip
    for name, build in _SPECIAL.items():
        made.append((name, build, "error", ""))
    return made


def _fifo_header(folder: Path) -> Path:
    _build(record("bad"), folder)
    (folder / "bad.hea").unlink()
    os.mkfifo(folder / "bad.hea")
    return folder


def _fifo_signals(sample_format: str, folder: Path) -> Path:
    _build(record("bad", sample_format), folder)
    (folder / "bad.dat").unlink()
    os.mkfifo(folder / "bad.dat")
    return folder


def _open_length_fifo(folder: Path) -> Path:
    _fifo_signals("16", folder)
    header = (folder / "bad.hea").read_bytes()
    (folder / "bad.hea").write_bytes(header.replace(b" 500 50\n", b" 500\n"))
    return folder


def _linked(file: str, to: str, folder: Path) -> Path:
    _build(record("bad"), folder)
    (folder / file).unlink()
    (folder / file).symlink_to(to)
    return folder


def _folder_as(file: str, folder: Path) -> Path:
    _build(record("bad"), folder)
    (folder / file).unlink()
    (folder / file).mkdir()
    return folder


def _forbidden(file: str, folder: Path) -> Path:
    _build(record("bad"), folder)
    (folder / file).chmod(0)
    return folder


def _sparse_header(folder: Path) -> Path:
    _build(record("bad"), folder)
    os.truncate(folder / "bad.hea", 2**40)
    return folder


def _loop(folder: Path) -> Path:
    """Two records of segments, each of which names the other twice."""
    lines = {"bad.hea": _text(["bad/2 12 500 100", "badb 50", "badb 50"])}
    lines["badb.hea"] = _text(["badb/2 12 500 50", "bad 25", "bad 25"])
    return _build(lines, folder)


def _tower(folder: Path) -> Path:
    """Segments in segments: what is small unfolds to 2^40 of them."""
    files = record("bad40")
    for level in range(40):
        name = "bad" if not level else f"bad{level:02}"
        below = f"bad{level + 1:02}"
        files[f"{name}.hea"] = _text([f"{name}/2 12 500 50", f"{below} 50", f"{below} 50"])
    return _build(files, folder)


def _undecodable_name(folder: Path) -> Path:
    _build({}, folder)
    for name, content in record("bad").items():
        place = os.fsencode(folder / name).replace(b"/bad", b"/bad\xff\xfe")
        with open(place, "wb") as file:
            file.write(content if not name.endswith(".hea") else content[:100])
    return folder


def _newline_in_name(folder: Path) -> Path:
    _build({}, folder)
    (folder / "bad\n\x1b[31mred.hea").write_bytes(b"bad 1 500\n")
    return folder


_SPECIAL: dict[str, Callable[[Path], Path]] = {
    "header is a FIFO": _fifo_header,
    "signals are a FIFO": partial(_fifo_signals, "16"),
    "signals of format 212 are a FIFO": partial(_fifo_signals, "212"),
    "signals of unknown length are a FIFO": _open_length_fifo,
    "header is /dev/zero": partial(_linked, "bad.hea", "/dev/zero"),
    "signals are /dev/zero": partial(_linked, "bad.dat", "/dev/zero"),
    "header names itself": partial(_linked, "bad.hea", "bad.hea"),
    "signals name themselves": partial(_linked, "bad.dat", "bad.dat"),
    "header is nowhere": partial(_linked, "bad.hea", "nowhere"),
    "header is a folder": partial(_folder_as, "bad.hea"),
    "signals are a folder": partial(_folder_as, "bad.dat"),
    "header may not be read": partial(_forbidden, "bad.hea"),
    "signals may not be read": partial(_forbidden, "bad.dat"),
    "header of 1 TB of nothing": _sparse_header,
    "segments that name each other": _loop,
    "segments in segments in segments": _tower,
    "name that is no text": _undecodable_name,
    "name with a line break": _newline_in_name,
}


def warm_up() -> None:
    """Import what is imported once: nobody, as whom inputs are read, may not be able to."""
    for origin in originals():
        with tempfile.TemporaryDirectory() as folder:
            place = _build(originals()[origin], Path(folder))
            assert not wrong(place, read(place))
    codecs.lookup("ascii")


def read(folder: Path):
    """Read a folder as users do: as it is, brought to one rate, and without what surrounds it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        return load_wfdb(folder), load_wfdb(folder, **_UNIFIED)


def reason(answer) -> str:
    """Return why a record was left out, or nothing when all could be read."""
    left_out = [left for ecgs in answer for left in ecgs.left_out][:4]
    return "; ".join(str(RecordError(*left)) for left in left_out)


def wrong(folder: Path, answer) -> str:
    """Return what is wrong with an answer; nothing if it is right."""
    import wfdb

    for unified, ecgs in enumerate(answer):
        found = dict(zip(ecgs.metadata["record"], ecgs.data, strict=True))
        for name in GOOD:
            alone = load_wfdb(folder / name, **(_UNIFIED if unified else {}))
            if name not in found or found[name].tobytes() != alone.data[0].tobytes():
                return f"the good record {name} is lost or changed"
        for name, data in found.items():
            if np.isinf(data).any():
                return f"{name} holds infinite values"
            if name in GOOD or unified:
                continue
            try:
                judge = wfdb.rdrecord(str(folder / name))
            except Exception as error:
                if "sampto" in str(error):
                    continue  # a length of 0 leaves it open, by the format's description
                return f"wfdb refuses {name}, and we answered: {type(error).__name__}: {error}"
            rows = [[lead.upper() for lead in judge.sig_name].index(want.upper()) for want in LEADS]
            factors = [{"mv": 1, "v": 1000, "uv": 1e-3}[judge.units[row].lower()] for row in rows]
            expected = judge.p_signal.T[rows] * np.array(factors)[:, np.newaxis]
            if expected.shape != data.shape or not np.allclose(
                data, expected, rtol=1e-5, atol=1e-6, equal_nan=True
            ):
                return f"{name} differs from what wfdb reads"
    return ""
