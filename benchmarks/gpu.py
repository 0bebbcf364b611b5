"""Examine ecgsk on a GPU: whether everything is right there, and how fast it is.

    python benchmarks/gpu.py                          # the first GPU, some ten minutes
    python benchmarks/gpu.py --device cuda:1 --out my-card.json
    python benchmarks/gpu.py memory syncs             # only these checks
    python benchmarks/gpu.py --quick                  # small networks, two minutes
    python benchmarks/gpu.py --out my-card.json --docs docs    # tables of what is there

Checks print OK, FAIL or SKIP and their numbers; a failure does not end the run. Figures are records
per second of epochs after the first, compared with a plain torch loop over the same network and
with the CPU of the same machine. Recordings are synthetic. The results are in one JSON file, and as
tables in a Markdown file next to it. The exit status is 1 where a check failed.

With --device cpu the same code runs with the smallest networks.
"""

import argparse
import json
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import _gpu_answers
import _gpu_figures
import _gpu_resources
from _gpu_machine import Machine, Skipped
from scaling import fill_in

CHECKS = {check.__name__: check for check in (*_gpu_answers.CHECKS, *_gpu_resources.CHECKS)}
FIGURES = {
    "training": _gpu_figures.training,
    "prediction": _gpu_figures.prediction,
    "kernels": _gpu_figures.kernels,
}
PARTS = (*CHECKS, *FIGURES)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=f"Parts: {', '.join(PARTS)}."
    )
    parser.add_argument("parts", nargs="*", metavar="part", help="default: all")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help="prove that it runs; no figures")
    parser.add_argument("--records", type=int, default=2048, help="records of an epoch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--docs", metavar="DIR", type=Path, help="write the tables into gpu.md")
    options = parser.parse_args(arguments)
    unknown = sorted({*options.parts} - {*PARTS})
    if unknown:
        parser.error(f"{', '.join(unknown)}: there are {', '.join(PARTS)}")
    if options.docs:
        write_documents(json.loads(options.out.read_text()), options.docs)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(
            options.device,
            quick=options.quick,
            seed=options.seed,
            folder=Path(folder),
            records=options.records,
        )
        results = examine(machine, options.parts or PARTS)
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    table = options.out.with_suffix(".md")
    table.write_text("\n".join(_gpu_figures.tables(results)) + "\n")
    failed = [name for name, found in results["checks"].items() if found["result"] == "FAIL"]
    print(f"{options.out} and {table} are written. Failed: {', '.join(failed) or 'nothing'}.")
    return 1 if failed else 0


def examine(machine: Machine, parts) -> dict:
    """Return what the parts found."""
    results = {
        "machine": machine.describe(),
        "seed": machine.seed,
        "quick": machine.quick,
        "records": machine.records,
        "n_samples": 10 * machine.rate,
        "checks": {},
        "training": [],
        "prediction": [],
        "kernels": [],
    }
    print(json.dumps(results["machine"]), flush=True)
    for name in filter(CHECKS.get, parts):
        found = results["checks"][name] = examined(name, machine)
        print(f"{found['result']:4} {name} {found['seconds']:.1f} s: {found['found']}", flush=True)
    for name in filter(FIGURES.get, parts):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for row in FIGURES[name](machine):
                results[name].append(_gpu_figures.as_plain(row))
                print(json.dumps(results[name][-1]), flush=True)
    return results


def examined(name: str, machine: Machine) -> dict:
    """Return the result of a check, its seconds, and its numbers or what is wrong."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result, found = "OK", CHECKS[name](machine)
    except Skipped as reason:
        result, found = "SKIP", str(reason)
    except Exception as error:
        ours = [line.strip() for line in traceback.format_exc().splitlines() if "File" in line]
        result, found = "FAIL", f"{type(error).__name__}: {error} ({ours[-1]})"
    machine.release()
    seconds = time.perf_counter() - start
    return {"result": result, "seconds": seconds, "found": _gpu_figures.as_plain(found)}


def write_documents(results: dict, docs: Path) -> None:
    """Write the results next to the documents, and the tables into gpu.md."""
    (docs / "gpu.json").write_text(json.dumps(results, indent=1) + "\n")
    fill_in(docs / "gpu.md", {"gpu": _gpu_figures.tables(results)})


if __name__ == "__main__":
    sys.exit(main())
