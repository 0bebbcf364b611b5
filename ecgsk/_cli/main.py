"""The command ``ecgsk``."""

import argparse
import sys
import warnings
from collections.abc import Sequence

from ecgsk import __version__
from ecgsk._cli.arguments import (
    add_convert_arguments,
    add_info_arguments,
    add_predict_arguments,
)
from ecgsk._cli.report_arguments import add_report_arguments


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, default=None
        Words after the program's name; None takes those of the process.

    Returns
    -------
    int
        Exit status: 0 for success, 1 when ``predict`` could not answer some recordings, 2 for what
        the user can mend, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="ecgsk",
        description="scikit-learn estimators for the 12-lead ECG. Not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"ecgsk {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo", help="recordings in, an interpretable answer out, with figures and pictures"
    )
    demo.add_argument(
        "--ptbxl", metavar="DIR", help="folder of a PTB-XL download (default: synthetic ECGs)"
    )
    demo.add_argument("--out", metavar="DIR", default="demo-output", help="where results go")
    demo.add_argument("--seed", type=_seed, default=0, help="seeds everything (default: 0)")
    add_predict_arguments(commands)
    add_report_arguments(commands)
    add_info_arguments(commands)
    add_convert_arguments(commands)
    options = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_plainly
            return _run(options)
    except (OSError, ValueError, ImportError) as error:
        print(f"ecgsk {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"ecgsk {options.command}: {stop if stop.args else 'interrupted'}", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    # Torch and interpret take seconds to import, which --help should not.
    if options.command == "predict":
        from ecgsk._cli.predict import run_predict

        return run_predict(options)
    if options.command == "info":
        from ecgsk._cli.convert import run_info

        return run_info(options)
    if options.command == "convert":
        from ecgsk._cli.convert import run_convert

        return run_convert(options)
    if options.command == "report":
        from ecgsk._cli.report import run_report

        run_report(options)
    else:
        from ecgsk._cli.demo import run_demo

        run_demo(options.ptbxl, options.out, seed=options.seed)
    return 0


def _seed(text: str) -> int:
    seed = int(text)
    if not 0 <= seed < 2**32:
        raise argparse.ArgumentTypeError(f"{seed} is not between 0 and 2**32 - 1")
    return seed


def _show_plainly(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"{category.__name__}: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
