"""The command ``ecgsk``."""

import io
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from ecgsk._cli.arguments import make_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (None: of this process) and return its exit status.

    0 for success, 1 when ``predict`` has no prediction for some recordings, 2 for errors that the
    user can correct, 3 when ``predict --strict`` has doubts, 130 after Ctrl-C.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files may contain what the terminal cannot show: it is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    options = make_parser().parse_args(arguments)
    module, _, function = options.run.partition(":")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_plainly
            # Now and not above: torch and interpret take seconds to import.
            return getattr(import_module(module), function)(options)
    except (OSError, ValueError, ImportError) as error:
        print(f"ecgsk {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"ecgsk {options.command}: {stop if stop.args else 'interrupted'}", file=sys.stderr)
        return 130


def _show_plainly(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"{category.__name__}: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
