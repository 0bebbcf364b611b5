"""The commands' options and help. It imports fast: torch and interpret take seconds."""

import argparse
import os
from collections.abc import Callable
from contextlib import suppress

from ecgsk._version import __version__

_PREDICT_EPILOG = """\
columns of the result, one row for each recording in the given order:
  record       path as given or found (without .hea), with [i] after it for recording i, counted
               from 0, of a file with several. Names are written as they are: a spreadsheet
               may take one that begins with = + - or @ for a formula. Bytes that are not text are
               written as \\udc80 to \\udcff, and backslashes in such names as two.
  probability  of the second class of a binary model; for other models probability_CLASS for each
               class, or probability_LABEL for each label. Empty where error is not.
  decision     class that the model decides for; for multilabel models the labels that are present,
               joined by ';'
  doubts       what looks wrong in a recording or in its covariates, each with its kind first:
               amplitude, copied_lead, covariate, cropped, file, fill_value, flat_lead, ...
  error        why there is no prediction; empty where there is one

RECORDS may be in any mixture of formats, which the content of the files decides: WFDB, DICOM, GE
MUSE XML, Philips XML, HL7 aECG, Mortara XML, SCP-ECG, EDF, HDF5 (CODE-15), arrays (.npy, .npz) of
shape (leads, samples) or (recordings, leads, samples), and tables with a column for each lead
(.csv). DICOM, SCP-ECG and HDF5 need the extra formats. Leads are found by their names; III, aVR,
aVL and aVF are computed from I and II where a file does not contain them. Arrays without names
have the model's leads.

A recording without a prediction affects only its own row. Files in a folder that may be recordings
in formats that are not read (.pdf, .mwf, ...) have such a row too. A recording that several paths
lead to is listed once. Hidden files and folders are not searched. Recordings have the length that
the model takes; --crop uses the beginning of longer ones, such as the 11 s of Philips files.

To continue an interrupted run, give the same command again: the file will be the same, byte for
byte. FILE.state.json next to the result holds the state of the run and is removed at its end.

exit status: 0 all recordings have a prediction, with doubts or without, 1 some have none or were
not read, 2 nothing was done, 3 with --strict: all have a prediction, but some have doubts, 130
interrupted
"""


_CONVERT_EPILOG = """\
Each recording becomes a header, NAME.hea, and 16-bit counts with checksums, NAME.dat. Its leads
are the standard ones in their usual order, with III, aVR, aVL and aVF computed where a file does
not contain them, and then all others. A count is the file's own smallest step, or 1 uV where that
is not known. Subfolders are kept. OUT/conversion.csv has a row for each recording: its WFDB record,
its file, why it was not converted, and doubts about it.

exit status: 0 all recordings are converted, 1 some are not, 2 nothing was done, 130 interrupted
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; ``run`` of a result is "module:function" of a command."""
    parser = argparse.ArgumentParser(
        prog="ecgsk",
        description="scikit-learn estimators for the 12-lead ECG. Not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"ecgsk {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_demo(commands)
    _add_predict(commands)
    _add_report(commands)
    _add_info(commands)
    _add_convert(commands)
    return parser


def _add_command(commands, name: str, module: str, help_text: str, description: str, **options):
    parser = commands.add_parser(name, help=help_text, description=description, **options)
    parser.set_defaults(run=f"ecgsk._cli.{module}:run_{name}")
    return parser


def _add_demo(commands) -> None:
    parser = _add_command(
        commands, "demo", "demo", "train and test an interpretable model, with plots and results",
        "Train a small network and an interpretable model on recordings, test them on other "
        "patients, and save the models, plots and results.",
    )  # fmt: skip
    add = parser.add_argument
    add(
        "--ptbxl",
        metavar="DIR",
        type=_path,
        help="folder of a PTB-XL download (default: synthetic ECGs)",
    )
    add("--out", metavar="DIR", default="demo-output", type=_path,
        help="folder for the results (default: demo-output)")  # fmt: skip
    add("--seed", type=_seed, default=0, help="random seed (default: 0)")
    _add_device(parser, "where the network computes", "auto")


def _add_predict(commands) -> None:
    parser = _add_command(
        commands, "predict", "predict", "from a saved model and recordings to a table",
        "Predict for recordings with a saved model, one batch at a time. Research software, not a "
        "medical device.",
        epilog=_PREDICT_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    _add_model(parser)
    add = parser.add_argument
    add("records", metavar="RECORDS", nargs="+", type=_path,
        help="folders, searched with their subfolders; files in any format that is read; patterns "
        "such as 'in/*.xml'; WFDB records with or without .hea")  # fmt: skip
    add("-o", "--out", metavar="FILE", required=True, type=_path,
        help=".csv, or .parquet (extra parquet)")  # fmt: skip
    _add_input(parser)
    add("--threshold", type=_share, metavar="P",
        help="probability from which on a binary model decides for its second class (default: "
        "the threshold of a threshold classifier in MODEL, otherwise its predict)")  # fmt: skip
    add("--batch-size", type=_count, default=64, metavar="N",
        help="recordings in memory at the same time (default: 64)")  # fmt: skip
    add("--strict", action="store_true", help="exit with status 3 if predictions have doubts")
    add("--overwrite", action="store_true", help="start again and replace an existing result")
    add("--quiet", action="store_true", help="print only errors, no progress bar")


def _add_report(commands) -> None:
    parser = _add_command(
        commands, "report", "report", "from a saved model and recordings to an HTML report",
        "Write a report about a model on a cohort in the layout of EchoNext, or on single ECGs.",
    )  # fmt: skip
    _add_model(parser)
    add_source = parser.add_mutually_exclusive_group(required=True).add_argument
    add_source(
        "--echonext", metavar="DIR", type=_path, help="folder of EchoNext, or of make_echonext"
    )
    add_source("--ecg", metavar="RECORD", nargs="+", type=_path,
               help="recordings in any format that is read: a section on each, no "
               "accuracy")  # fmt: skip
    add = parser.add_argument
    add(
        "--out",
        metavar="FILE",
        default="report.html",
        type=_path,
        help="HTML file (default: report.html)",
    )
    add("--target", default="lvef<=45", help="condition in --echonext (default: lvef<=45)")
    add("--split", default="test", help="split of --echonext (default: test)")
    add("--validation", default="val", metavar="SPLIT",
        help="split for the choice of thresholds, or none (default: val)")  # fmt: skip
    add("--threshold", type=float, metavar="P",
        help="probability from which on the condition is predicted (default: the "
        "threshold of a threshold classifier in MODEL, otherwise the one with the greatest F1 on "
        "--validation)")  # fmt: skip
    add("--patients", metavar="KEY", nargs="*", default=[],
        help="ecg_key of records with a section of their own")  # fmt: skip
    add("--lead-importance", type=int, default=0, metavar="N",
        help="measure the importance of leads on N records (default: 0, not measured)")  # fmt: skip
    add("--resamples", type=int, default=1000, metavar="N",
        help="bootstrap resamples for intervals (default: 1000)")  # fmt: skip
    _add_input(parser)
    add("--about", metavar="TEXT", help="the training data, for the model card")
    add("--title", metavar="TEXT", help="title of the report")


def _add_info(commands) -> None:
    parser = _add_command(
        commands, "info", "convert", "contents of a file of a model or of weights",
        "Print what a file of ecgsk.save, a safetensors file of weights or a published checkpoint "
        "of ECGFounder contains. No code in it runs.",
    )  # fmt: skip
    add = parser.add_argument
    add("file", metavar="FILE", type=_path, help="file of a model or of weights")
    add("--json", action="store_true", help="print JSON")


def _add_convert(commands) -> None:
    parser = _add_command(
        commands, "convert", "convert", "recordings to WFDB records, or a model to a safe file",
        "Convert recordings in any format to WFDB records, which other tools can read.\n"
        "Or convert a model: a published checkpoint of ECGFounder (.pth) or weights to a\n"
        ".safetensors file of weights or an .ecgsk file of a model; a model in a file of joblib\n"
        "to an .ecgsk file.",
        epilog=_CONVERT_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("file", metavar="INPUT", nargs="+", type=_path,
        help="folders, files or patterns of recordings; or one checkpoint, file of weights or "
        "file of joblib")  # fmt: skip
    add("-o", "--out", metavar="OUT", required=True, type=_path,
        help="folder of the WFDB records; or .safetensors or .ecgsk file of the model")  # fmt: skip
    _add_trust(parser)
    add("--overwrite", action="store_true", help="replace existing files")
    _add_file_options(parser)
    _add_jobs(parser)
    add("--quiet", action="store_true", help="print only errors, no progress bar")


def _add_input(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _add_file_options(parser)
    add("--model-rate", type=_positive, metavar="HZ",
        help="sampling rate that the model takes, Hz; recordings are resampled to it (default: "
        "the one stored in the model)")  # fmt: skip
    add("--seconds", type=_positive, metavar="S",
        help="length of the recordings that the model takes, s (default: "
        "stored in the model)")  # fmt: skip
    add("--leads", metavar="NAME,...", type=_names,
        help="leads that the model takes, in its order (default: stored in the model)")  # fmt: skip
    add("--crop", action="store_true",
        help="use the beginning of recordings that are too long, and add a doubt")  # fmt: skip
    _add_jobs(parser)
    add("--table", metavar="FILE", type=_path, action=_Once,
        help="CSV, parquet or xlsx file with the covariates that the model needs, by names of "
        "recordings (folders and endings may be absent); they come before the age and sex in "
        "files of recordings")  # fmt: skip
    add("--table-on", metavar="COLUMN", default="record",
        help="column of --table with the names of recordings (default: record)")  # fmt: skip
    add("--sex-one-is", choices=("male", "female"),
        help="what 1 means in the column sex of --table, where it has numbers")  # fmt: skip
    add("--remove-baseline", action="store_true",
        help="remove the baseline in the same way as EchoNext did, for a model of its recordings "
        "whose file does not state this; what a file states is done without it")  # fmt: skip
    add("--preprocessed", action="store_true",
        help="the recordings have gone through the preprocessing that the model states: do not "
        "repeat it")  # fmt: skip


def _add_file_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--sampling-rate", type=_positive, metavar="HZ",
        help="sampling rate, Hz, of files that do not contain it, such as .npy")  # fmt: skip
    add("--file-unit", choices=("V", "mV", "uV", "nV"),
        help="unit of the samples in files that do not contain it (default: mV)")  # fmt: skip
    add("--file-leads", metavar="NAME,...", type=_names,
        help="leads, in their order, of files that do not contain their names")  # fmt: skip


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=_count, default=1, metavar="N",
                        help="processes that decode files; the result is the same, and a file "
                        "that crashes its decoder costs only itself (default: 1, which starts no "
                        "other process)")  # fmt: skip


def _add_model(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        type=_path,
        help="fitted classifier or Pipeline, saved with ecgsk.save",
    )
    _add_trust(parser)
    _add_device(parser, "where MODEL's networks compute", "as saved in MODEL")


def _add_device(parser: argparse.ArgumentParser, purpose: str, default: str) -> None:
    parser.add_argument("--device", metavar="DEVICE", help=f"{purpose}: cpu, cuda, cuda:1, xpu, "
                        f"mps, or auto for the fastest one here (default: {default})")  # fmt: skip


def _add_trust(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--allow-pickle", action="store_true",
        help="load a file of joblib or pickle, which RUNS ANY CODE IN IT: only your "
        "own files")  # fmt: skip
    add("--trust", metavar="TYPE", action="append", default=[],
        help="full name of a type of your own in a file of ecgsk.save (can "
        "be repeated)")  # fmt: skip


def _names(text: str) -> list[str]:
    return text.split(",")


class _Once(argparse.Action):
    """An option that is given once; of several, argparse would use the last one only."""

    def __call__(self, parser, namespace, values, option_string=None):
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given twice; join the tables to one file first.")
        setattr(namespace, self.dest, values)


def _path(text: str) -> str:
    """Return a path with the home folder for ``~``, which shells leave in ``--out=~/a.csv``."""
    return text if os.path.lexists(text) else os.path.expanduser(text)


def _number(kind: type, allowed: Callable[[float], bool], wanted: str) -> Callable[[str], float]:
    def number(text: str) -> float:
        with suppress(ValueError):
            value = kind(text)
            if allowed(value):
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")

    return number


_positive = _number(float, lambda number: 0 < number < float("inf"), "a positive number")
_share = _number(float, lambda number: 0 <= number <= 1, "between 0 and 1")
_count = _number(int, lambda number: number >= 1, "a positive whole number")
_seed = _number(int, lambda number: 0 <= number < 2**32, "between 0 and 2**32 - 1")
