"""What ``ecgsk predict`` does: a saved model and recordings in, a table of probabilities out."""

import argparse
import json
import sys

from tqdm import tqdm

from ecgsk._cli.model_file import load_model
from ecgsk._cli.predict_answers import Answers
from ecgsk._cli.predict_input import Intake, intake_of
from ecgsk._cli.predict_records import Record, Records
from ecgsk._cli.predict_table import Output
from ecgsk._core.files import file_sha256
from ecgsk._version import __version__


def run_predict(options: argparse.Namespace) -> int:
    """Answer recordings, a batch at a time, and write a line for each.

    Parameters
    ----------
    options : Namespace
        As `ecgsk._cli.arguments.add_predict_arguments` makes it.

    Returns
    -------
    int
        0 when all recordings were answered, 1 when some were not.

    Raises
    ------
    FileNotFoundError
        When the model or recordings are not there.
    ValueError
        For a model that cannot be loaded or does not tell what it takes, and a result that is
        there already or was begun otherwise.
    KeyboardInterrupt
        After Ctrl-C, with a message that says how to go on.
    """
    model = load_model(options.model, allow_pickle=options.allow_pickle, trusted=options.trust)
    answers = Answers(model, options.threshold)
    intake = intake_of(
        model, sampling_rate=options.model_rate, seconds=options.seconds, leads=options.leads
    )
    records = Records(
        options.records, intake, sampling_rate=options.sampling_rate, crop=options.crop
    )
    columns = ["record", *answers.columns, "decision", "warning", "error"]
    identity = _identity(options, intake, records)
    output = Output(options.out, columns, identity, overwrite=options.overwrite)
    try:
        _fill(output, answers, records, options)
        output.finish()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted after {output.n_records} of {len(records)} recordings; give the same "
            "command to go on"
        ) from None
    finally:
        output.pause()
    if output.n_failed:
        print(
            f"ecgsk predict: {output.n_failed} of {output.n_records} recordings have no answer; "
            f"the column error of {output.path} says why",
            file=sys.stderr,
        )
    if not options.quiet:
        print(f"Predictions: {output.path}")
    return 1 if output.n_failed else 0


def _identity(options, intake: Intake, records: Records) -> dict[str, str]:
    names = ("sampling_rate", "crop", "threshold", "batch_size")
    said = {name: getattr(options, name) for name in names}
    return {
        "MODEL": file_sha256(options.model),
        "RECORDS": records.sha256,
        "options": json.dumps({**said, "model": repr(intake)}),
        "version of ecgsk": __version__,
    }


def _fill(output: Output, answers: Answers, records: Records, options) -> None:
    silent = options.quiet or not sys.stderr.isatty()
    n_columns = len(answers.columns) + 1
    with tqdm(
        total=len(records), initial=output.n_records, disable=silent, unit="ECG", smoothing=0.05
    ) as bar:
        for done in answers.batches(records, options.batch_size, start=output.n_records):
            rows = [_row(record, n_columns) for record in done]
            output.write(rows, sum(bool(record.error) for record in done))
            bar.update(len(done))


def _row(record: Record, n_columns: int) -> list[str]:
    answer = record.answer or [""] * n_columns
    said = (" ".join(text.split()) for text in (record.warning, record.error))
    return [record.name, *answer, *said]
