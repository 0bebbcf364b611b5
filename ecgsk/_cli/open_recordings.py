"""Recordings as a model takes them: one way for all commands."""

import argparse
from collections.abc import Sequence

from ecgsk._cli.model_input import find_model_input, in_words
from ecgsk._cli.recordings import Recordings
from ecgsk._core.model_input import known_input


def open_recordings(paths: Sequence[str], model, options: argparse.Namespace) -> Recordings:
    """Return the recordings for a model, with the options that all commands share."""
    model_input = find_model_input(
        model,
        sampling_rate=options.model_rate,
        seconds=options.seconds,
        leads=options.leads,
        remove_baseline=options.remove_baseline,
        preprocessed=options.preprocessed,
    )
    return Recordings(
        paths,
        model_input,
        sampling_rate=options.sampling_rate,
        unit=options.file_unit,
        file_leads=options.file_leads,
        crop=options.crop,
        table=options.table,
        table_on=options.table_on,
        sex_one_is=options.sex_one_is,
        n_jobs=options.jobs,
    )


def preprocessing_in_words(model, options: argparse.Namespace) -> str:
    """Return which preprocessing the recordings go through, and why."""
    stated = known_input(model).preprocessing
    if options.preprocessed:
        return f"preprocessing: none (--preprocessed), for a model of {in_words(stated)}"
    if stated is None and options.remove_baseline:
        return "preprocessing: baseline removed as in EchoNext (--remove-baseline)"
    if stated is None:
        return (
            "preprocessing: none, because MODEL does not state what its training recordings went "
            "through before (see preprocessing of ecgsk.save)"
        )
    return f"preprocessing: {in_words(stated)}, as for the training recordings of MODEL"
