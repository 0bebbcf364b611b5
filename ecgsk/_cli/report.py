"""``ecgsk report``: from a saved model and recordings to an HTML report."""

import argparse
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from ecgsk._cli.model_file import load_model
from ecgsk._cli.output_path import check_output
from ecgsk._core.records import RecordArray
from ecgsk.datasets import load_echonext, load_wfdb
from ecgsk.inspection import make_report
from ecgsk.preprocessing import MedianBaseline

# Length of recordings for the networks, and the largest difference that is not reported, s.
_SECONDS, _TOLERANCE = 10.0, 0.05
_SUBGROUPS = {"location": "location_setting", "race or ethnicity": "race_ethnicity"}


def run_report(options: argparse.Namespace) -> int:
    """Write the report and print its path."""
    if options.ecg and options.patients:
        raise ValueError("--patients is only for --echonext; with --ecg each record has a section.")
    for record in options.ecg or ():
        if os.path.isdir(record):
            raise ValueError(f"--ecg {record!r} is a folder: name the records in it.")
    check_output(options.out, inputs=[options.model])
    model = load_model(options.model, allow_pickle=options.allow_pickle, trusted=options.trust)
    about = options.about or f"Loaded from {Path(options.model).name}; nothing else is known."
    common = {
        "threshold": options.threshold,
        "about": about,
        "title": options.title,
        "n_resamples": options.resamples,
    }
    if options.ecg:
        report = _of_recordings(model, options, common)
    else:
        report = _of_cohort(model, options, common)
    print(f"Threshold: {report.threshold:g} ({report.threshold_source})")
    print(f"Report: {report.path}")
    return 0


def _of_cohort(model, options, common):
    cohort = load_echonext(options.echonext, split=options.split, target=options.target,
                           tabular=False)  # fmt: skip
    if cohort.target.ndim > 1:
        raise ValueError(
            f"--target {options.target} has {cohort.target.shape[1]} flags; a report is about one. "
            f"Use one of {', '.join(cohort.target_names)}."
        )
    if options.sampling_rate not in (None, cohort.sampling_rate):
        raise ValueError(
            f"--sampling-rate {options.sampling_rate:g} is not allowed with --echonext, which has "
            f"{cohort.sampling_rate} Hz; leave it out. It is for --ecg."
        )
    validation = None
    if options.validation.lower() != "none":
        if options.validation == options.split:
            raise ValueError(
                f"--validation {options.validation} is also --split: thresholds chosen there would "
                "look better than they are. Use another split, or none."
            )
        other = load_echonext(options.echonext, split=options.validation, target=options.target,
                              tabular=False)  # fmt: skip
        validation = (other.data, other.target)
    keys = cohort.metadata["ecg_key"].astype(str).tolist()
    unknown = [key for key in options.patients if key not in keys]
    if unknown:
        raise ValueError(
            f"--patients {unknown[0]} is not an ecg_key of the split; use for example "
            f"{', '.join(keys[:4])}."
        )
    # The column "sex" of the metadata is text, or 1 for male.
    sex = cohort.covariates["sex"].map({0.0: "male", 1.0: "female"})
    by = cohort.covariates.assign(sex=sex)
    for name, column in _SUBGROUPS.items():
        if column in cohort.metadata:
            by[name] = cohort.metadata[column].to_numpy()
    source = "synthetic records in EchoNext's layout" if cohort.synthetic else "EchoNext"
    return make_report(
        options.out, model, cohort.data, cohort.target,
        data=f"{options.split} split of {source}, {options.target}",
        groups=cohort.groups,
        validation=validation,
        records=[keys.index(key) for key in options.patients],
        record_names=[f"ECG {key}" for key in keys],
        by=by,
        condition=_condition(cohort.target_names[0]),
        sampling_rate=cohort.sampling_rate,
        synthetic=cohort.synthetic,
        n_lead_records=options.leads,
        **common,
    )  # fmt: skip


def _condition(target: str) -> str:
    """Return the name of a target of `load_echonext` in words."""
    match = re.fullmatch(r"lvef(<=?)([\d.]+)", target)
    if match is None:
        return target.removesuffix("_flag").replace("_", " ")
    return f"ejection fraction {'of at most' if match[1] == '<=' else 'below'} {match[2]} %"


def _other_lengths(metadata: pd.DataFrame) -> str:
    """Return which recordings were cropped or filled, with a warning where there are some."""
    seconds = metadata["n_samples"] / metadata["sampling_rate"]
    changed = [
        f"{record} of {length:g} s"
        for record, length in zip(metadata["record"], seconds, strict=True)
        if abs(length - _SECONDS) > _TOLERANCE
    ]
    if not changed:
        return ""
    text = f"cropped, or filled with 0 mV, to {_SECONDS:g} s: {', '.join(changed)}"
    warnings.warn(f"{text}. A model of whole recordings may be wrong on them.", stacklevel=2)
    return f", {text}"


def _of_recordings(model, options, common):
    rate = 250.0 if options.sampling_rate is None else options.sampling_rate
    if not 0 < rate < np.inf:
        raise ValueError(f"--sampling-rate {rate:g} must be a positive number, Hz.")
    found = load_wfdb(list(options.ecg), sampling_rate=rate, n_samples=round(_SECONDS * rate),
                      on_error="raise")  # fmt: skip
    data = found.data
    steps = f"resampled to {rate:g} Hz{_other_lengths(found.metadata)}"
    if options.remove_baseline:
        data = MedianBaseline((0.2, 0.6), sampling_rate=rate).transform(data)
        steps += ", baseline removed as in EchoNext"
    return make_report(
        options.out,
        model,
        RecordArray.wrap(
            np.ascontiguousarray(data),
            table=found.covariates,
            sampling_rate=rate,
            leads=found.lead_names,
        ),
        data=f"{len(data)} recording{'s' * (len(data) > 1)} from files, {steps}",
        record_names=[str(name) for name in found.metadata["record"]],
        sampling_rate=rate,
        **common,
    )
