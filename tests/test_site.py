"""The site builds without a warning, what it shows has run, and no public name is missing."""

import html
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import matplotlib.pyplot as plt
import pytest

import ecgsk
from tests._processes import HANG

ROOT = Path(ecgsk.__file__).parent.parent
GUIDE = sorted((ROOT / "docs" / "guide").glob("*.md"))
# Pages, what the examples say on them, and what they write.
EXAMPLES = {
    "plot_01_low_ef": ("AUROC, best possible: 0.9", ["terms.png", "ecg.png"]),
    "plot_03_pretraining": ("pre-trained start  mean 0.", ["reconstruction.png"]),
    "plot_04_post_training": ("['linear probing', 'fine-tuning']", ["low-ef.safetensors"]),
    "plot_05_echonext": ("earlier recordings", ["echonext-ecg.png"]),
    "plot_06_single_predictors": ("values support it), on test", ["predictors.png"]),
    "plot_07_glass_box": ("AUROC of EBM less", ["evaluation.png", "lef-terms.png"]),
    "plot_08_why_and_report": ("report in example-output", ["report.html", "saliency.png"]),
    "plot_09_own_network": ("best width", ["small-cnn.safetensors"]),
    "plot_10_other_models": (
        "the same answers without the file: True",
        ["together.ecgsk", "other-models.png"],
    ),
}


# Packages that a page with such a word needs.
_EXTRAS = {"pydicom": ("ecgdatakit", "pydicom"), "ONNX": ("onnx", "onnxscript", "onnxruntime")}


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build from a copy, so that nothing is written into the repository or left from before."""
    for package in ("sphinx", "numpydoc", "sphinx_gallery", "myst_parser", "pydata_sphinx_theme"):
        pytest.importorskip(package, reason=f"the site needs {package} (extra docs)")
    folder = tmp_path_factory.mktemp("site")
    for part in ROOT.iterdir():
        if part.suffix == ".md":
            shutil.copy(part, folder)  # links in a page that is included start from its own folder
        elif part.name in ("ecgsk", "examples"):
            (folder / part.name).symlink_to(part)
    left = shutil.ignore_patterns("_build", "generated", "auto_examples", "__pycache__")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=left)
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-b", "html", "docs", "html"],
        cwd=folder,
        env={
            **os.environ,
            # For little work, further threads and processes cost more time than they save.
            "OMP_NUM_THREADS": "1",
            "LOKY_MAX_CPU_COUNT": "1",
            "ECGSK_GALLERY_OUT": str(folder / "out"),
            "ECGSK_GALLERY_SHORT": "1",
            "ECGSK_PTBXL": "",
        },
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.slow
def test_every_public_name_is_in_the_reference(site):
    from sphinx.util.inventory import InventoryFile

    with open(site / "html" / "objects.inv", "rb") as stream:
        inventory = InventoryFile.load(stream, "", lambda base, name: name)
    known = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    rooms = [import_module(f"ecgsk.{module.name}") for module in iter_modules(ecgsk.__path__)
             if not module.name.startswith("_")]  # fmt: skip
    public = {f"{room.__name__}.{name}" for room in [ecgsk, *rooms]
              for name in getattr(room, "__all__", ())}  # fmt: skip
    assert len(public) > 100
    assert not public - known
    assert {room.__name__ for room in rooms if hasattr(room, "__all__")} <= known


@pytest.mark.slow
def test_no_page_knows_where_it_was_built(site):
    pages = [path for path in (site / "html").rglob("*")
             if path.suffix in (".html", ".js", ".txt", ".py", ".ipynb")]  # fmt: skip
    assert len(pages) > 150
    for path in pages:
        if "_static" not in path.parts:
            text = path.read_text(encoding="utf-8")
            found = re.search(r"(?<![\w.:/-])/(?:work|tmp|home|root|Users)/\S*", text)
            assert not found and str(ROOT) not in text, f"{path.name}: {found}"


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_have_run(site, name):
    said, files = EXAMPLES[name]
    if name == "plot_10_other_models":
        pytest.importorskip("onnxruntime", reason="the example needs onnxruntime (extra onnx)")
    page = (site / "html" / "auto_examples" / f"{name}.html").read_text(encoding="utf-8")
    outputs = re.findall(r'<div class="sphx-glr-script-out.*?</pre>', page, re.DOTALL)
    assert said in "\n".join(map(text_of, outputs))
    for file in files:
        assert (site / "out" / name / file).stat().st_size > 10_000


def test_every_example_is_checked():
    names = {path.stem for path in (ROOT / "examples").glob("plot_*.py")}
    assert names == {*EXAMPLES, "plot_02_ptbxl"}


@pytest.mark.slow
@pytest.mark.parametrize("page", [path for path in GUIDE if path.stem != "index"],
                         ids=lambda path: path.stem)  # fmt: skip
def test_the_code_of_the_guide_runs(page, tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    assert blocks
    for word, packages in _EXTRAS.items():
        for package in packages if any(word in block for block in blocks) else ():
            pytest.importorskip(package, reason=f"the page needs {package} (an extra)")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)
    plt.close("all")
