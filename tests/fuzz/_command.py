"""The command ``python -m tests.fuzz``."""

import argparse
import json
import time
from pathlib import Path

from . import _formats, _models, _predict, _records, _weights
from ._case import Case
from ._harness import Result, run, summary

KINDS = {module.KIND: module for module in (_records, _formats, _predict, _weights, _models)}
CORPUS = Path(__file__).parent / "corpus"
MANIFEST = json.loads((CORPUS / "manifest.json").read_text())


def cases(kinds, quick: bool) -> list[Case]:
    """Return the corpus: what is kept, what is made by hand, and what the seeds give."""
    found = []
    for name in kinds:
        n = MANIFEST["random"][name]
        of_kind = KINDS[name].hand_made() + KINDS[name].random_cases(n, MANIFEST["seed"])
        found += of_kind[:: MANIFEST["quick_every"][name]] if quick else of_kind
    names = [(case.kind, case.name) for case in found]
    if len(set(names)) < len(names):
        raise ValueError("two inputs of a kind have the same name")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run it and return the exit status: 1 if anything must not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--all", action="store_true", help="the whole corpus, not a slice of it")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="one kind alone")
    parser.add_argument("--only", help="inputs whose name holds this")
    parser.add_argument("--json", help="write all results to this file")
    parser.add_argument("--verbose", action="store_true", help="a line for each input")
    given = parser.parse_args(arguments)
    chosen = cases(given.kind or KINDS, quick=not (given.all or given.only))
    chosen = [case for case in chosen if not given.only or given.only in case.name]
    started = time.perf_counter()
    results = run(chosen, KINDS)
    for result in results:
        if given.verbose or result.defects:
            print(_line(result))
    print(summary(results, time.perf_counter() - started))
    if given.json:
        Path(given.json).write_text(json.dumps([_plain(result) for result in results]))
    return int(any(result.defects for result in results))


def _line(result: Result) -> str:
    said = result.message.replace("\n", " ")
    return (
        f"{result.case.kind} [{result.case.name}] {result.outcome} {result.seconds:.2f} s "
        f"{result.memory >> 20} MB: {said[:300]!r}"
        + "".join(f"\n    DEFECT {defect}" for defect in result.defects)
    )


def _plain(result: Result) -> dict:
    return {
        "kind": result.case.kind,
        "name": result.case.name,
        "random": result.case.random,
        **{name: value for name, value in vars(result).items() if name != "case"},
    }
