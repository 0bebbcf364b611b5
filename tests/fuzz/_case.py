"""What an input of the corpus is, and how files are broken at random."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

# Numbers that readers tend to believe.
NUMBERS = (
    "-1 0 1 -0 65536 2147483648 4294967297 1000000000 1000000000000000 99999999999999999999 NaN "
    "inf -inf 1e308 1e-308 1e999 -5 0x10 1_000 0.5 ١٢ " + "9" * 400
).split(" ")
WORDS = ["", "~", "-", "/", "../", "\0", "\n", "#", "%s", "{}", "é", "\u2028", "A" * 5000, "'"]


@dataclass(frozen=True)
class Case:
    """An input.

    Parameters
    ----------
    kind : str
        Which reader it is for.
    name : str
        Unique within its kind; the seed of what is random in it.
    build : callable
        ``build(folder)`` writes it into an empty folder and returns its path.
    must : {"either", "error", "answer"}, default="either"
        How reading has to end. "either" allows a clear error or a right answer.
    says : str, default=""
        Pattern that has to be found in the error.
    random : bool, default=False
        Whether it comes from a seed; the others are made by hand.
    """

    kind: str
    name: str
    build: Callable[[Path], Path]
    must: str = "either"
    says: str = ""
    random: bool = False


def generator(*names: object) -> np.random.Generator:
    """Return a generator seeded by names."""
    return np.random.default_rng(crc32("/".join(map(str, names)).encode()))


def mutate(content: bytes, random: np.random.Generator, words=()) -> bytes:
    """Return content after one to three random changes.

    Parameters
    ----------
    content : bytes
        Of a file.
    random : Generator
        Draws kind and place.
    words : sequence of bytes, default=()
        Texts that are put in; the more the content is text, the better they bite.
    """
    for _ in range(random.integers(1, 4)):
        content = _change(content, random, words)
    return content


def _change(content: bytes, random: np.random.Generator, words) -> bytes:
    n = len(content)
    start, stop = sorted(random.integers(0, n + 1, 2).tolist())
    kind = random.integers(0, 7 if len(words) else 6)
    if kind == 0 and n:
        changed = bytearray(content)
        for place in random.integers(0, n, random.integers(1, 9)):
            changed[place] ^= 1 << int(random.integers(0, 8))
        return bytes(changed)
    if kind == 1 or not n:
        return content[:start]
    if kind == 2:
        return content[:start] + content[stop:]
    if kind == 3:
        return content[:stop] + content[start:stop] + content[stop:]
    if kind == 4:
        return content[:start] + random.bytes(int(random.integers(1, 40))) + content[start:]
    if kind == 5:
        blob = random.bytes(int(random.integers(1, 17)))
        return content[:start] + blob + content[start + len(blob) :]
    word = words[random.integers(0, len(words))]
    return content[:start] + word + content[start:]


def mutate_text(text: str, random: np.random.Generator) -> bytes:
    """Return a text with a number, a word or a line changed, and often bytes as well."""
    kind = random.integers(0, 5)
    numbers = list(re.finditer(r"\d+(\.\d+)?", text))
    if kind < 2 and numbers:
        hit = numbers[random.integers(0, len(numbers))]
        number = NUMBERS[random.integers(0, len(NUMBERS))]
        text = text[: hit.start()] + number + text[hit.end() :]
    elif kind == 2:
        place = int(random.integers(0, len(text) + 1))
        text = text[:place] + WORDS[random.integers(0, len(WORDS))] + text[place:]
    elif kind == 3:
        lines = text.splitlines(keepends=True)
        one, other = random.integers(0, len(lines), 2)
        lines[one] = lines[other] if random.integers(0, 2) else ""
        text = "".join(lines)
    content = text.encode()
    return mutate(content, random) if kind == 4 else content


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Write files by name."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
