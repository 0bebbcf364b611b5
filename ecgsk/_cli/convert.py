"""``ecgsk info`` and ``ecgsk convert``: files of models, of weights and of recordings."""

import argparse
import json
import os
import sys
import warnings

from ecgsk._cli.model_file import kind_of, load_model
from ecgsk._cli.output_path import check_output
from ecgsk._core.files import file_sha256
from ecgsk._formats.listing import list_sources
from ecgsk.datasets import RecordsLeftOutWarning, convert_to_wfdb
from ecgsk.persistence import describe, save
from ecgsk.weights import WeightFile, as_json, convert_checkpoint, read_weights, write_weights

_MODELS = (".safetensors", ".ecgsk")
# Values of a list that are printed.
_SHOWN = 8


def run_info(options: argparse.Namespace) -> int:
    """Print what a file contains."""
    kind = kind_of(options.file)
    if kind in ("weights", "checkpoint"):
        weights, dropped = _read_network(options.file)
        facts = _describe_weights(weights)
        if dropped:
            facts["not_used"] = dropped
    else:
        facts = describe(options.file)
    if options.json:
        print(as_json(facts))
        return 0
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        print(f"{name.replace('_', ' ') + ':':<{width}}{_as_text(value)}")
    return 0


def _as_text(value) -> str:
    if value is None:
        return "not known"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_as_text(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        more = f", ... ({len(value)} in all)" if len(value) > _SHOWN else ""
        return (", ".join(_as_text(inner) for inner in value[:_SHOWN]) or "none") + more
    return str(value)


def _describe_weights(weights: WeightFile) -> dict:
    facts = {
        "kind": weights.kind,
        "network": weights.network,
        "n_weights": sum(int(value.size) for value in weights.tensors.values()),
        "sampling_rate": weights.sampling_rate,
        "seconds": weights.seconds,
        "preprocessing": [f"{name}({_as_text(step)})" for name, step in weights.preprocessing],
        "classes": weights.classes,
        "label_names": weights.label_names,
        "about": weights.about,
    }
    return json.loads(as_json(facts))


def run_convert(options: argparse.Namespace) -> int:
    """Write recordings as WFDB records, or a model as a file that runs no code."""
    if options.out.lower().endswith(_MODELS) or not _are_recordings(options.file):
        if len(options.file) > 1:
            raise ValueError(f"--out {options.out!r} is for one model; INPUT has several files.")
        return _convert_model(options, options.file[0])
    return _convert_recordings(options)


def _are_recordings(files: list[str]) -> bool:
    if len(files) > 1 or os.path.isdir(files[0]):
        return True
    try:
        return bool(list_sources(files))
    except FileNotFoundError:
        return False


def _convert_recordings(options: argparse.Namespace) -> int:
    progress = sys.stderr.isatty() and not options.quiet
    with warnings.catch_warnings():
        warnings.simplefilter("always", RecordsLeftOutWarning)
        try:
            table = convert_to_wfdb(
                options.file,
                options.out,
                file_sampling_rate=options.sampling_rate,
                file_unit=options.file_unit,
                file_leads=options.file_leads,
                overwrite=options.overwrite,
                n_jobs=options.jobs,
                progress=progress,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted; records that are written stay in {options.out}; to start again, "
                "give --overwrite"
            ) from None
    n_failed, n_doubted = (int((table[name] != "").sum()) for name in ("error", "doubts"))
    if n_doubted and not options.quiet:
        print(
            f"ecgsk convert: {n_doubted} of {len(table) - n_failed} records have doubts; see the "
            f"column doubts of {os.path.join(options.out, 'conversion.csv')}",
            file=sys.stderr,
        )
    if not options.quiet:
        print(f"Written: {len(table) - n_failed} of {len(table)} records to {options.out}")
    return 1 if n_failed else 0


def _convert_model(options: argparse.Namespace, file: str) -> int:
    out = check_output(options.out, _MODELS, inputs=[file])
    if out.exists() and not options.overwrite:
        raise ValueError(f"--out {options.out!r} exists already: use another, or --overwrite.")
    kind = kind_of(file)
    if kind not in ("weights", "checkpoint"):
        if out.suffix.lower() != ".ecgsk":
            raise ValueError(
                f"{file} does not contain only weights; --out {options.out!r} must end in .ecgsk."
            )
        model = load_model(file, allow_pickle=options.allow_pickle, trusted=options.trust)
        sha256 = save(model, out, about=f"Converted from {os.path.basename(file)}.")
    else:
        weights, dropped = _read_network(file)
        print(f"{weights.kind}: all {len(weights.tensors)} tensors match the network.")
        if dropped:
            print(f"Dropped, because the network does not use them: {_as_text(dropped)}.")
        if out.suffix.lower() == ".safetensors":
            write_weights(out, weights)
            sha256 = file_sha256(out)
        else:
            about = f"Weights of {os.path.basename(file)}. {as_json(weights.about)}"
            sha256 = save(_classifier(weights.kind, file), out, about=about)
    print(f"Written: {out} (SHA-256 {sha256})")
    return 0


def _read_network(path) -> tuple[WeightFile, list[str]]:
    """Return weights, and the names of what else a checkpoint contains, which is not used."""
    if kind_of(path) == "weights":
        return read_weights(path), []
    return convert_checkpoint(
        path, {"source": os.path.basename(path), "source_sha256": file_sha256(path)}
    )


def _classifier(kind: str, path):
    """Return a classifier with these weights; the length of recordings determines their rate."""
    from ecgsk.estimators import ECGFounderClassifier, MTECGClassifier

    if kind == "ecgfounder-classifier":
        return ECGFounderClassifier.from_pretrained(os.fspath(path))
    if kind == "mtecg-classifier":
        return MTECGClassifier.from_pretrained(os.fspath(path))
    raise ValueError(
        f"{path} contains a {kind}, which does not classify; --out .ecgsk is for classifiers. "
        "Fine-tune it first: MTECGClassifier(pretrained=path)."
    )
