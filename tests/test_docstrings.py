"""Examples in docstrings: each one runs on its own, once."""

import ast
import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import ecgsk

ROOT = Path(ecgsk.__file__).parent
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def examples():
    """Return the examples of every docstring in the package, public or not.

    They are read from the source, because doctest only finds a class in the module that its
    ``__module__`` names, which for public names is not the file that defines them.
    """
    tests = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            doc = ast.get_docstring(node, clean=False) if isinstance(node, DEFINITIONS) else None
            if doc:
                name = f"{path.relative_to(ROOT)}::{getattr(node, 'name', '')}"
                line = node.body[0].lineno - 1
                tests.append(doctest.DocTestParser().get_doctest(doc, {}, name, str(path), line))
    return [test for test in tests if test.examples]


EXAMPLES = examples()


@pytest.mark.parametrize("test", EXAMPLES, ids=[test.name for test in EXAMPLES])
def test_examples_run(test):
    report = []
    failed = doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=report.append).failed
    assert not failed, "".join(report)


def test_no_example_is_lost():
    prompts = sum(path.read_text().count(">>> ") for path in ROOT.rglob("*.py"))
    assert sum(len(test.examples) for test in EXAMPLES) == prompts


def public_names() -> list[tuple[str, str]]:
    packages = [info.name for info in pkgutil.iter_modules(ecgsk.__path__) if info.ispkg]
    modules = ["ecgsk", *(f"ecgsk.{name}" for name in packages if not name.startswith("_"))]
    return [
        (module, name) for module in modules for name in importlib.import_module(module).__all__
    ]


@pytest.mark.parametrize(("module", "name"), public_names())
def test_public_objects_name_the_package_that_exports_them(module, name):
    thing = getattr(importlib.import_module(module), name)
    if inspect.isclass(thing) or inspect.isroutine(thing):
        assert thing.__module__ == ("ecgsk" if name in ecgsk.__all__ else module)
        assert thing.__qualname__ == name
