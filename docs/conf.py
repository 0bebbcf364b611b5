"""The site: what ``make docs`` builds."""

import os
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

os.environ.setdefault("MPLBACKEND", "Agg")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from _gallery import NOT_RUN, OUT  # noqa: E402

import ecgsk  # noqa: E402

project = "ecgsk"
author = "the ecgsk developers"
copyright = author  # noqa: A001
version = release = ecgsk.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst", "**/sg_execution_times.rst"]
default_role = "py:obj"
nitpicky = True
# Classes of other packages, which an index of ours does not hold.
nitpick_ignore_regex = [("py:obj", r"(interpret|optuna|scipy|sklearn)\..*")]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = "ecgsk"
html_static_path = ["_static"]
html_css_files = ["ecgsk.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_toc_level": 2,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "navigation_with_keys": False,
    "header_links_before_dropdown": 5,
    "footer_start": ["copyright"],
    "footer_end": [],
    "logo": {"text": "ecgsk"},
}
html_context = {"default_mode": "light"}

# Reference: each room's page lists its __all__, so that a new name is there without being written.
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
autodoc_inherit_docstrings = True
numpydoc_show_class_members = False
ROOMS = [
    room
    for room in (
        import_module(f"ecgsk.{module.name}")
        for module in iter_modules(ecgsk.__path__)
        if not module.name.startswith("_")
    )
    if hasattr(room, "__all__")
]
# Names of the package that are documented in the room that they come from.
HOMES = {name: room.__name__ for room in ROOMS for name in room.__all__ if name in ecgsk.__all__}
# A constant has no docstring to take it from.
CONSTANTS = {
    "ecgsk.STANDARD_LEADS": "Names of the twelve leads, in the order that recordings have them.",
    "ecgsk.__version__": "Of the package.",
    "ecgsk.datasets.ECHONEXT_FLAGS": "Names of the flags that can be a target of `load_echonext`.",
    "ecgsk.datasets.ECHONEXT_SCALING": "Mean and deviation of each lead of EchoNext's files, and "
    "where they were clipped, in counts.",
    "ecgsk.datasets.PTBXL_STATEMENTS": "What each of the 71 statements of PTB-XL means.",
    "ecgsk.datasets.PTBXL_TASKS": "Labels of each task of `load_ptbxl`, in the order of columns.",
    "ecgsk.networks.MTECG_PRESETS": "Sizes of `MTECG` by name; segments in s.",
    "ecgsk.networks.NET1D_PRESETS": "Sizes of `Net1D` by name.",
    "ecgsk.weights.ECGFOUNDER_TASKS": "Statements of the published ECGFounder, in the order of "
    "its outputs.",
}
autosummary_context = {"homes": HOMES, "constants": CONSTANTS}

# Gallery: the examples run when the site is built; -D plot_gallery=0 shows them as they are.
sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "auto_examples",
    # These are not examples of the gallery: services, and scripts that others start.
    "ignore_pattern": r"(^|/)(?!plot_)[^/]+\.py$",
    "filename_pattern": f"(?!{'|'.join(NOT_RUN) or '$'})plot_",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "remove_config_comments": True,
    "abort_on_example_error": True,
    "reset_modules": ("matplotlib",),
    "reset_argv": "_gallery.arguments",
}


def _own_members_only(app, what, name, obj, skip, options):
    """Leave out what a class has from scikit-learn, torch or interpret."""
    if what != "class":
        return None
    function = getattr(obj, "fget", obj)
    module = getattr(function, "__module__", None) or ""
    return skip or not module.startswith("ecgsk")


def _name_at_the_top(app, env):
    """Let ``ecgsk.load_ptbxl`` lead to the page of ``ecgsk.datasets.load_ptbxl``."""
    objects = env.domains.python_domain.objects
    for name, home in HOMES.items():
        if f"{home}.{name}" in objects:
            objects[f"ecgsk.{name}"] = objects[f"{home}.{name}"]._replace(aliased=True)


def _find_home(app, env, node, contnode):
    """Lead a bare name, which docstrings may use across rooms, to the page that it is on."""
    name = node["reftarget"].removeprefix("ecgsk.")
    for room in [ecgsk, *ROOMS]:
        if name in room.__all__:
            node["reftarget"] = f"{room.__name__}.{name}"
            return env.domains.python_domain.resolve_xref(
                env, node["refdoc"], app.builder, "obj", node["reftarget"], node, contnode
            )
    return None


def _mend_text(app, docname, source):
    """Make text that was written for the repository, or printed by an example, fit the site."""
    text = source[0].replace(str(OUT), "example-output")
    source[0] = text.replace("](../ecgsk/weights/ptbxl.md)", "](model_card.md)")


def setup(app):
    """Connect what is above."""
    app.connect("autodoc-skip-member", _own_members_only)
    app.connect("env-updated", _name_at_the_top)
    app.connect("missing-reference", _find_home)
    app.connect("source-read", _mend_text)
