"""Files of every format, broken at random and on purpose, and the files that are near them."""

import codecs
import itertools
import os
import tempfile
import warnings
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from ecgsk._core.record_error import RecordError
from ecgsk._formats.registry import find_format
from ecgsk._formats.stored import ReadOptions
from ecgsk.datasets import load_ecg

from . import _format_seeds as seeds
from ._case import Case, generator, mutate, mutate_text, write
from ._format_cases import CHECKED, hand_made_files

KIND = "format"
# A million elements of XML, or a large piece of HDF5.
MEMORY = 512 << 20
_OPTIONS = ReadOptions(sampling_rate=seeds.RATE, unit="mV")


def _good() -> dict[str, bytes]:
    files = {"aa.npy": seeds.npy(), "zz.npy": seeds.npy()}
    for name in ("muse", "dicom"):
        if name in seeds.originals():
            files[f"good-{name}.{seeds.SUFFIXES[name]}"] = seeds.originals()[name]
    return files


def _build(origin: str, content, folder: Path) -> Path:
    write(folder, _good())
    # Where a file's checksums were computed for its samples, other samples are right.
    path = folder / f"{'made-' * callable(content)}{origin}.{seeds.SUFFIXES[origin]}"
    path.write_bytes(content() if callable(content) else content)
    return path


def _build_random(origin: str, name: str, folder: Path) -> Path:
    random = generator(KIND, name)
    content = seeds.originals()[origin]
    if origin in seeds.XML and random.integers(0, 3):
        content = mutate_text(content.decode(), random)
    elif random.integers(0, 2):
        content = _with_number(content, random)
    else:
        content = mutate(content, random)
    return _build(origin, content, folder)


def _with_number(content: bytes, random: np.random.Generator) -> bytes:
    """Return content with a wrong number, mostly in the first part, where lengths are."""
    size = int(2 ** random.integers(0, 4))
    number = [0, -1, 2 ** (8 * size - 1) - 1, -(2 ** (8 * size - 1)), 1][random.integers(0, 5)]
    end = len(content) if random.integers(0, 3) == 0 else min(len(content), 2048)
    place = int(random.integers(0, max(end - size, 1)))
    return content[:place] + number.to_bytes(size, "little", signed=True) + content[place + size :]


def random_cases(n: int, seed: int) -> list[Case]:
    """Return files that were broken at random."""
    names = list(seeds.originals())
    return [
        Case(KIND, name, partial(_build_random, names[i % len(names)], name), random=True)
        for i in range(n)
        for name in [f"{names[i % len(names)]}-{seed}-{i}"]
    ]


def hand_made() -> list[Case]:
    """Return files that were broken on purpose."""
    return [
        Case(KIND, name, partial(_build_hand_made, name), must)
        for name, (_, _, must) in _hand_made().items()
    ]


@lru_cache
def _hand_made() -> dict[str, tuple]:
    """Return format, content (or a function that makes it) and end by name."""
    made = list(hand_made_files())
    named = {f"{origin}: {name}": (origin, *case) for origin, name, *case in made}
    assert len(named) == len(made)
    return named


def _build_hand_made(name: str, folder: Path) -> Path:
    # Large contents are not sent to the process that reads them: it was forked with them.
    origin, content, _ = _hand_made()[name]
    return _build(origin, content, folder)


def warm_up() -> None:
    """Import what is imported once: the user who reads inputs may not be able to."""
    for codec in ("ascii", "cp1252", "latin-1", "utf-16", "utf-32", "utf-7"):
        codecs.lookup(codec)
    for origin, content in seeds.originals().items():
        with tempfile.TemporaryDirectory() as folder:
            path = _build(origin, content, Path(folder))
            answer = read(path)
            assert not (reason(answer) or wrong(path, answer)), (origin, reason(answer))


def _decode(path: Path) -> list:
    """Read the file by its format."""
    found = find_format(os.fspath(path))
    if found is None:
        raise RecordError(os.fspath(path), "its format is unknown")
    n = found.count(os.fspath(path), _OPTIONS)
    decoded = found.decode(os.fspath(path), _OPTIONS)
    if n is not None:
        decoded = itertools.islice(decoded, 3)
    return [(ecg, function(ecg.leads)) for ecg, function in decoded]


def read(path: Path):
    """Read a file by its format, and the folder that it is in."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        try:
            alone, error = _decode(path), ""
        except RecordError as caught:
            alone, error = [], str(caught)
        except Exception as caught:
            # It would stop a whole folder, and users would not see which file is bad.
            raise RuntimeError(f"{path}: {type(caught).__name__}: {caught}") from caught
        ecgs = load_ecg(
            path.parent,
            file_sampling_rate=seeds.RATE,
            file_unit="mV",
            sampling_rate=seeds.RATE,
            n_samples=seeds.N_SAMPLES,
            lazy=True,
        )
        return alone, error, ecgs


def reason(answer) -> str:
    """Return why the file was not read."""
    return answer[1]


def wrong(path: Path, answer) -> str:
    """Return what is wrong with an answer; nothing if it is right."""
    alone, _, ecgs = answer
    found = list(ecgs.metadata["record"])
    for name in _good():
        stem = name.rpartition(".")[0]
        if found.count(stem) != 1:
            return f"the good file {name} is lost"
        if np.abs(ecgs.data[found.index(stem)] - seeds.millivolts()).max() > 1e-5:
            return f"the good file {name} is changed"
    origin = path.stem
    for ecg, signal in alone:
        if signal.shape != (len(ecg.leads), ecg.n_samples) or signal.dtype != np.float32:
            return f"samples of shape {signal.shape} and type {signal.dtype}"
        if np.isinf(signal).any():
            return "infinite samples"
        if not 0 < ecg.sampling_rate < np.inf:
            return f"a rate of {ecg.sampling_rate}"
        if origin in CHECKED and not _is_of_original(signal):
            return "other samples than in the original, whose checksum is in the file"
    return ""


def _is_of_original(signal: np.ndarray) -> bool:
    """Return whether each lead is one of the original's in any unit: these have no checksum."""
    if signal.shape[1] != seeds.N_SAMPLES:
        return False
    alike = np.corrcoef(signal.astype(float), seeds.millivolts())[: len(signal), len(signal) :]
    return bool((np.abs(alike).max(axis=1) > 0.9999).all())
