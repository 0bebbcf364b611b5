"""``ecgsk predict``: from a saved model and recordings to a table of probabilities."""

import argparse
import json
import sys
from contextlib import closing

from tqdm import tqdm

from ecgsk._cli.model_file import load_model, move_networks
from ecgsk._cli.model_input import ModelInput
from ecgsk._cli.open_recordings import open_recordings, preprocessing_in_words
from ecgsk._cli.output_path import check_output
from ecgsk._cli.output_table import OutputTable
from ecgsk._cli.predictor import Predictor
from ecgsk._cli.reader import Recording
from ecgsk._cli.recordings import Recordings
from ecgsk._core.files import file_sha256
from ecgsk._core.record_error import printable
from ecgsk._formats.folder import summarize
from ecgsk._version import __version__


def run_predict(options: argparse.Namespace) -> int:
    """Predict for recordings, one batch at a time, and write a row for each; 1 when some failed."""
    check_output(options.out, (".csv", ".parquet"), inputs=[options.model, *options.records])
    model = load_model(
        options.model,
        allow_pickle=options.allow_pickle,
        trusted=options.trust,
        device=options.device,
    )
    predictor = Predictor(model, options.threshold)
    recordings = open_recordings(options.records, model, options)
    model_input = recordings.model_input
    devices = ", ".join(move_networks(model))
    columns = ["record", *predictor.columns, "decision", "doubts", "error"]
    identity = _identity(options, model_input, recordings, devices)
    if not options.quiet:
        print(f"ecgsk predict: {preprocessing_in_words(model, options)}", file=sys.stderr)
        print(f"ecgsk predict: decisions: {predictor.decides}", file=sys.stderr)
        if devices:
            print(f"ecgsk predict: the network computes on {devices}", file=sys.stderr)
    with OutputTable(options.out, columns, identity, overwrite=options.overwrite) as table:
        try:
            _fill(table, predictor, recordings, options)
            table.finish()
        except (KeyboardInterrupt, OSError) as error:
            stopped = isinstance(error, KeyboardInterrupt)
            raise type(error)(
                f"{'interrupted' if stopped else error} after {table.n_records} of "
                f"{len(recordings)} recordings; "
                f"{'' if stopped else 'make room or restore the access, then '}give the same "
                f"command {'without --overwrite ' if options.overwrite else ''}to continue"
            ) from (None if stopped else error)
    if recordings.repeated:
        print(
            f"ecgsk predict: recordings that several paths lead to are listed once: "
            f"{_few(recordings.repeated)}",
            file=sys.stderr,
        )
    if table.n_doubted and not options.quiet:
        print(
            f"ecgsk predict: {table.n_doubted} of {table.n_records - table.n_failed} predictions "
            f"have doubts; see the column doubts of {table.path}",
            file=sys.stderr,
        )
    if table.n_failed:
        print(
            f"ecgsk predict: {table.n_failed} of {table.n_records} recordings have no prediction; "
            f"see the column error of {table.path}, for example {table.first_failed}",
            file=sys.stderr,
        )
    if recordings.unread:
        print(
            f"ecgsk predict: {len(recordings.unread)} of them are not read: "
            f"{summarize(recordings.unread)}",
            file=sys.stderr,
        )
    if not options.quiet:
        print(f"Predictions: {table.path}")
    if table.n_failed:
        return 1
    return 3 if options.strict and table.n_doubted else 0


def _few(names: list[str]) -> str:
    return ", ".join(map(repr, names[:5])) + ", ..." * (len(names) > 5)


def _identity(
    options, model_input: ModelInput, recordings: Recordings, devices: str
) -> dict[str, str]:
    names = (
        "sampling_rate",
        "file_unit",
        "file_leads",
        "crop",
        "threshold",
        "batch_size",
        "table_on",
        "sex_one_is",
    )
    given = {name: getattr(options, name) for name in names}
    given["table"] = None if options.table is None else file_sha256(options.table)
    return {
        "MODEL": file_sha256(options.model),
        "RECORDS": recordings.sha256,
        "device": devices,  # the last digits depend on it
        "options": json.dumps({**given, "model": repr(model_input)}),
        "version of ecgsk": __version__,
    }


def _fill(table: OutputTable, predictor: Predictor, recordings: Recordings, options) -> None:
    silent = options.quiet or not sys.stderr.isatty()
    n_columns = len(predictor.columns) + 1
    with (
        tqdm(
            total=len(recordings),
            initial=table.n_records,
            disable=silent,
            unit="ECG",
            smoothing=0.05,
        ) as bar,
        closing(
            predictor.batches(recordings, options.batch_size, start=table.n_records)
        ) as batches,
    ):
        for done in batches:
            rows = [_row(recording, n_columns) for recording in done]
            n_failed = sum(bool(recording.error) for recording in done)
            n_doubted = sum(bool(recording.doubts) for recording in done if not recording.error)
            table.write(rows, n_failed, n_doubted)
            bar.update(len(done))


def _row(recording: Recording, n_columns: int) -> list[str]:
    prediction = recording.prediction or [""] * n_columns
    doubts = " ".join(recording.doubts)
    texts = (printable(" ".join(text.split())) for text in (doubts, recording.error))
    return [recording.name, *prediction, *texts]
