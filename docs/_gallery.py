"""How the gallery runs the examples: writing outside the repository.

Environment: ``ECGSK_GALLERY_OUT`` keeps what they write; ``ECGSK_GALLERY_RECORDS`` is how many
records of EchoNext's layout they have (the tests take few); ``ECGSK_PTBXL`` is a download of
PTB-XL, without which its example is shown and not run.
"""

import os
import tempfile
from pathlib import Path

OUT = Path(os.environ.get("ECGSK_GALLERY_OUT") or tempfile.mkdtemp(prefix="ecgsk-gallery-"))
RECORDS = int(os.environ.get("ECGSK_GALLERY_RECORDS", "1200"))
PTBXL = os.environ.get("ECGSK_PTBXL")


def arguments(gallery_conf: dict, script: dict) -> list[str]:
    """Return the words that an example is called with."""
    name = Path(script["src_file"]).stem
    out = str(OUT / name)
    if name == "plot_02_ptbxl":
        return [PTBXL, "--epochs", "1"]
    if name < "plot_05":
        return [out]
    return ["--out", out, "--path", str(_echonext())]


def _echonext() -> Path:
    # One data set for all of them.
    from ecgsk import make_echonext

    path = OUT / "echonext"
    if not path.exists():
        make_echonext(path, RECORDS, random_state=0)
    return path
