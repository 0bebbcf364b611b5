"""Names of files that tables tend to damage."""

import re

import numpy as np

PIECES = (
    *"ab é\"',;=+-@#\\",
    *("\r", "\n", "\r\n", "\t", "\x0b", "\x0c", "\x1b", "\x7f", "\x85", "\u2028", "\ufeff"),
    *("\udc80", "\udcff", "\\udc80", "\\\\", "\\n", "NA", "nan", "007", "1e5", "True", "😀", "  "),
)


def random_name(random: np.random.Generator) -> str:
    return "".join(random.choice(PIECES, random.integers(1, 6)))


def original(text: str) -> str:
    """Return the name whose escaped form a table of ``ecgsk predict`` contains."""
    if not re.search(r"\\ud[89a-f][0-9a-f]{2}", text):
        return text
    return re.sub(r"\\(\\|u(d[89a-f]..))", lambda m: chr(int(m[2], 16)) if m[2] else "\\", text)
