"""Metadata of the files of ``export``: written, and read again."""

import json
from math import inf, isclose
from typing import Any

from ecgsk import preprocessing as transformers
from ecgsk._core.checks import check_distinct
from ecgsk._core.signal import STANDARD_LEADS, lead_name
from ecgsk._core.steps import as_named_steps
from ecgsk.estimators._onnx_file import ONNXDescription
from ecgsk.estimators._onnx_outputs import ONNXColumns
from ecgsk.estimators._recordings import rate_of_recordings
from ecgsk.weights import as_json

LAYOUTS = ("leads-samples", "samples-leads")
# Rates that are computed from each other differ by rounding.
SAME_RATE = 1e-6
_ACTIVATION_OF = {"binary": "sigmoid", "multiclass": "softmax", "multilabel": "sigmoid"}


def statements_of(estimator) -> dict[str, str]:
    """Return what `export` writes about a classifier's network, as JSON texts by name."""
    about = {
        "classes": None if estimator.multilabel_ else estimator.classes_.tolist(),
        "label_names": list(getattr(estimator, "label_names_", [])) or None,
        "target": estimator._target_kind,
        "sampling_rate": estimator._network_rate(),
        "preprocessing": estimator._preprocessing(),
        "recordings": _recordings_of(estimator),
    }
    return {name: as_json(value) for name, value in about.items()}


def _recordings_of(estimator) -> dict:
    """Return the recordings that a classifier takes, and what they go through."""
    rate = rate_of_recordings(estimator, None) or estimator._network_rate()
    leads = estimator.leads
    if leads is None:
        leads = vars(estimator).get("lead_names_")
    if leads is None and hasattr(estimator, "_wanted_leads"):
        leads = estimator._wanted_leads()
    if leads is None and estimator._shape_read[0] == len(STANDARD_LEADS):
        leads = STANDARD_LEADS
    source = estimator._source
    n_samples = estimator.n_samples_in_ if source is None else round(source.seconds * rate)
    return {
        "sampling_rate": rate,
        "leads": None if leads is None else list(leads),
        "steps": as_named_steps(estimator._steps(n_samples, rate)),
        "preprocessed_by": vars(estimator).get("preprocessed_by_"),
    }


def read_statements(found: ONNXDescription, source: str) -> dict | None:
    """Return what a file of ecgsk states about its network; None for other files."""
    wanted = ("target", "classes", "label_names", "sampling_rate", "preprocessing")
    if not set(wanted) <= set(found.metadata):
        return None
    try:
        about = {name: json.loads(found.metadata[name]) for name in wanted}
        recordings = json.loads(found.metadata.get("recordings", "{}"))
        steps = [_named_step(pair) for pair in recordings.get("steps", about["preprocessing"])]
        names, (logits,) = about["label_names"], [t for t in found.outputs if t.name == "logits"]
        multilabel = about["target"] == "multilabel"
        classes = list(range(logits.shape[1] or 0)) if multilabel else list(about["classes"])
        before = recordings.get("preprocessed_by")
        for pair in before or ():
            _named_step(pair)
        rate = float(about["sampling_rate"])
        first_rate = float(recordings.get("sampling_rate", rate))
        if names is not None and len(names) != len(classes):
            raise ValueError(f"it has {len(names)} label_names for {len(classes)} outputs")
        if not (0 < rate < inf and 0 < first_rate < inf):
            raise ValueError(f"its sampling_rate is {min(rate, first_rate)}")
        return {
            "columns": ONNXColumns(classes, names and [str(n) for n in names], multilabel),
            "sampling_rate": rate,
            "leads": named_leads(recordings.get("leads")),
            "steps": steps,
            "preprocessed_by": None if before is None else as_named_steps(before),
            "first_rate": first_rate,
            "activation": _ACTIVATION_OF[about["target"]],
        }
    # The metadata may come from anybody, in any form.
    except Exception as error:
        raise ValueError(
            f"{source} has metadata of ecgsk that are not valid: {type(error).__name__}: "
            f"{error!s:.200}. Export the network again."
        ) from error


def _named_step(pair):
    name, params = pair
    if name not in transformers.__all__:
        raise ValueError(f"{name!r:.60} is not a transformer of ecgsk.preprocessing")
    return getattr(transformers, name)(**params)


def with_statements(params: dict, stated: dict, source: str) -> dict:
    """Return the parameters after those that the file states; ValueError for contradictions."""
    columns = stated["columns"]
    own: dict[str, Any] = {
        "label_names": columns.label_names,
        "classes": None if columns.multilabel else columns.classes,
        "sampling_rate": stated["sampling_rate"],
        "leads": stated["leads"],
        "unit": "mV",
        "input_layout": LAYOUTS[0],
        "activation": stated["activation"],
        "output": "logits",
    }
    for name, value in own.items():
        given = params[name]
        if given is None or (isinstance(given, str) and given == "auto"):
            continue
        if name == "leads":
            given = named_leads(given)
        named_here = ("leads", "label_names") if columns.multilabel else ("leads",)
        if not (value is None and name in named_here) and not _alike(given, value):
            raise ValueError(
                f"{name}={params[name]!r:.200} contradicts {source}, which states {value!r:.200}. "
                f"Leave {name} out: ecgsk wrote this file, which contains all that its use needs."
            )
        own[name] = given
    return {**params, **own}


def _alike(given, value) -> bool:
    if isinstance(value, float):
        return isinstance(given, int | float) and isclose(given, value, rel_tol=SAME_RATE)
    if isinstance(value, list | tuple):
        return list(given) == list(value)
    return bool(given == value)


def named_leads(leads) -> tuple[str, ...] | None:
    if leads is None:
        return None
    names = tuple(lead_name(name) for name in leads)
    check_distinct(names, "leads")
    return names
