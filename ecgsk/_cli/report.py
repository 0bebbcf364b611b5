"""``ecgsk report``: from a saved model and recordings to an HTML report."""

import argparse
import os
import re
import sys
import warnings
from pathlib import Path

from ecgsk._cli.model_file import load_model
from ecgsk._cli.open_recordings import open_recordings, preprocessing_in_words
from ecgsk._cli.output_path import check_output
from ecgsk._core.signal_doubts import ECGQualityWarning
from ecgsk.datasets import load_echonext
from ecgsk.inspection import make_report

_SUBGROUPS = {"location": "location_setting", "race or ethnicity": "race_ethnicity"}


def run_report(options: argparse.Namespace) -> int:
    """Write the report and print its path."""
    if options.ecg and options.patients:
        raise ValueError("--patients is only for --echonext; with --ecg each record has a section.")
    for record in options.ecg or ():
        if os.path.isdir(record):
            raise ValueError(f"--ecg {record!r} is a folder: name the records in it.")
    check_output(options.out, inputs=[options.model])
    model = load_model(
        options.model,
        allow_pickle=options.allow_pickle,
        trusted=options.trust,
        device=options.device,
    )
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
    given = options.model_rate or options.sampling_rate
    if given not in (None, cohort.sampling_rate):
        raise ValueError(
            f"--model-rate {given:g} is not allowed with --echonext, which has "
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
        n_lead_records=options.lead_importance,
        **common,
    )  # fmt: skip


def _condition(target: str) -> str:
    """Return the name of a target of `load_echonext` in words."""
    match = re.fullmatch(r"lvef(<=?)([\d.]+)", target)
    if match is None:
        return target.removesuffix("_flag").replace("_", " ")
    return f"ejection fraction {'of at most' if match[1] == '<=' else 'below'} {match[2]} %"


def _of_recordings(model, options, common):
    recordings = open_recordings(options.ecg, model, options)
    found = list(recordings.read())
    for recording in found:
        if recording.error:
            raise ValueError(f"{recording.name}: {recording.error}")
        for doubt in recording.doubts:
            warnings.warn(f"{recording.name}: {doubt}", ECGQualityWarning, stacklevel=2)
    if recordings.model_input.preprocessing or options.remove_baseline or options.preprocessed:
        print(f"ecgsk report: {preprocessing_in_words(model, options)}", file=sys.stderr)
    rate, leads = recordings.model_input.sampling_rate, recordings.model_input.leads
    doubted = "; ".join(f"{r.name}: {' '.join(r.doubts)}" for r in found if r.doubts)
    return make_report(
        options.out,
        model,
        recordings.stack(found),
        data=f"{len(found)} recording{'s' * (len(found) > 1)} from files at {rate:g} Hz, "
        f"{preprocessing_in_words(model, options)}" + (f". Doubts: {doubted}" if doubted else ""),
        record_names=[os.path.basename(recording.name) for recording in found],
        sampling_rate=rate,
        leads=leads or [f"lead {i}" for i in range(recordings.model_input.n_leads)],
        **common,
    )
