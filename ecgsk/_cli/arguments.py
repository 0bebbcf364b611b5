"""The words of the commands that take a model, apart from what they do: all of it imports fast."""

import argparse

_COLUMNS = """\
columns of the result, a line for each recording in the order given:
  record       path as given or found (without .hea), with [i] after it for recording i, counted
               from 0, of an .npy file that holds several. Names are written as they are: a
               spreadsheet may take one that begins with = + - or @ for a formula.
  probability  of the second class of a binary model; for other models probability_CLASS for each
               class, or probability_LABEL for each label. Empty where error is not.
  decision     the class that the model decides for; of labels those present, joined by ';'
  warning      what looks wrong with the recording, although it was answered
  error        why there is no answer; empty where there is one

A recording that cannot be answered costs only its own line. An interrupted run goes on when the
same command is given again, and ends with the same file, byte for byte; FILE.state.json beside the
result says how far it is, and goes when the run ends.

exit status: 0 all were answered, 1 some were not, 2 nothing could be done, 130 interrupted
"""


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add MODEL and how far it is trusted.

    Parameters
    ----------
    parser : ArgumentParser
        Of a command.
    """
    parser.add_argument(
        "model", metavar="MODEL", help="a fitted classifier or Pipeline, saved with ecgsk.save"
    )
    add_trust_arguments(parser)


def add_trust_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that let a file run code.

    Parameters
    ----------
    parser : ArgumentParser
        Of a command.
    """
    parser.add_argument(
        "--allow-pickle", action="store_true",
        help="load a file of joblib or pickle, which RUNS WHATEVER CODE IS IN IT: your own only",
    )  # fmt: skip
    parser.add_argument(
        "--trust", metavar="TYPE", action="append", default=[],
        help="full name of a type of your own in a file of ecgsk.save (can be repeated)",
    )  # fmt: skip


def add_predict_arguments(commands) -> None:
    """Add ``predict`` to the parser.

    Parameters
    ----------
    commands : argparse subparsers
        Of the program.
    """
    parser = commands.add_parser(
        "predict",
        help="a saved model and recordings in, a table of probabilities out",
        description="Answer recordings with a saved model, a batch at a time. Research software, "
        "not a medical device.",
        epilog=_COLUMNS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_arguments(parser)
    parser.add_argument(
        "records", metavar="RECORDS", nargs="+",
        help="folders (searched for .hea and .npy), WFDB records with or without .hea, and .npy "
        "files of (leads, samples) or (recordings, leads, samples) in mV",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--out", metavar="FILE", required=True, help=".csv, or .parquet (extra parquet)"
    )
    parser.add_argument(
        "--sampling-rate", type=_positive, metavar="HZ",
        help="of .npy files, which do not tell it; headers of WFDB do",
    )  # fmt: skip
    parser.add_argument(
        "--model-rate", type=_positive, metavar="HZ",
        help="that the model takes, to which all are resampled (default: as the model tells)",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=_positive, metavar="S",
        help="length of the recordings that the model takes (default: as the model tells)",
    )  # fmt: skip
    parser.add_argument(
        "--leads", metavar="NAME,...", type=lambda text: text.split(","),
        help="leads that the model takes, in its order (default: as the model tells)",
    )  # fmt: skip
    parser.add_argument(
        "--crop", action="store_true",
        help="answer recordings that are too long by their beginning, with a warning",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", type=_share, metavar="P",
        help="a binary model decides for the second class from this probability on",
    )  # fmt: skip
    parser.add_argument(
        "--batch-size", type=_count, default=64, metavar="N",
        help="recordings that are in memory and answered together (default: 64)",
    )  # fmt: skip
    parser.add_argument(
        "--overwrite", action="store_true", help="start anew where the result is there already"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar, errors alone")


def add_info_arguments(commands) -> None:
    """Add ``info`` to the parser.

    Parameters
    ----------
    commands : argparse subparsers
        Of the program.
    """
    parser = commands.add_parser(
        "info",
        help="what a model or a weight file is, without running anything in it",
        description="Say what a file of ecgsk.save, a safetensors file of weights or a published "
        "checkpoint of ECGFounder holds. Nothing in it is run.",
    )
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="for machines")


def add_convert_arguments(commands) -> None:
    """Add ``convert`` to the parser.

    Parameters
    ----------
    commands : argparse subparsers
        Of the program.
    """
    parser = commands.add_parser(
        "convert",
        help="a checkpoint, weights or a pickle into a file that runs no code",
        description="Turn a published checkpoint of ECGFounder (.pth) or weights into a "
        ".safetensors file of weights or an .ecgsk file of a model that answers; or a model in a "
        "file of joblib into an .ecgsk file.",
    )
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("-o", "--out", metavar="FILE", required=True, help=".safetensors or .ecgsk")
    add_trust_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return number
