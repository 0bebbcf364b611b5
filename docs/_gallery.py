"""How the gallery runs the examples: writing outside the repository.

Environment: ``ECGSK_GALLERY_OUT`` keeps what they write; ``ECGSK_GALLERY_SHORT`` lets them train
for a short time on few records, as the tests do; ``ECGSK_PTBXL`` is a download of PTB-XL, without
which its example is shown and does not run.
"""

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

OUT = Path(os.environ.get("ECGSK_GALLERY_OUT") or tempfile.mkdtemp(prefix="ecgsk-gallery-"))
SHORT = bool(os.environ.get("ECGSK_GALLERY_SHORT"))
PTBXL = os.environ.get("ECGSK_PTBXL")
# Examples that are shown and do not run here.
NOT_RUN = [] if PTBXL else ["plot_02_ptbxl"]
if find_spec("onnxruntime") is None or find_spec("onnxscript") is None:
    NOT_RUN.append("plot_10_other_models")
_SHORTER = {
    "plot_01_low_ef": ["--records", "300"],
    "plot_03_pretraining": ["--epochs", "10", "--draws", "1"],
    "plot_04_post_training": ["--records", "200", "--epochs", "2"],
    "plot_10_other_models": ["--records", "90"],
}


def arguments(gallery_conf: dict, script: dict) -> list[str]:
    """Return the words that an example is called with."""
    name = Path(script["src_file"]).stem
    out = str(OUT / name)
    if name == "plot_02_ptbxl":
        return [PTBXL, "--epochs", "1"]
    if "plot_05" <= name < "plot_09":
        return ["--out", out, "--path", str(_echonext())]
    return ["--out", out, *(_SHORTER.get(name, []) if SHORT else [])]


def _echonext() -> Path:
    # One data set for all of them.
    from ecgsk import make_echonext

    path = OUT / "echonext"
    if not path.exists():
        make_echonext(path, 450 if SHORT else 1200, random_state=0)
    return path
