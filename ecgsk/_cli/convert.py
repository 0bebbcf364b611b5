"""What ``ecgsk info`` and ``ecgsk convert`` do with files of models and of weights."""

import argparse
import json
import os
from pathlib import Path

from ecgsk._cli.model_file import kind_of, load_model
from ecgsk._core.files import file_sha256
from ecgsk.persistence import describe, save
from ecgsk.weights import (
    WeightFile,
    as_json,
    convert_checkpoint,
    read_weights,
    write_weights,
)

# Values of a list that are shown to people.
_SHOWN = 8


def run_info(options: argparse.Namespace) -> int:
    """Print what a file holds.

    Parameters
    ----------
    options : Namespace
        ``file`` and ``json``.

    Returns
    -------
    int
        0.

    Raises
    ------
    OSError, ValueError
        When the file is not there, damaged, or of another kind.
    """
    kind = kind_of(options.file)
    if kind in ("weights", "checkpoint"):
        weights, dropped = _read_network(options.file)
        said = _about_weights(weights)
        if dropped:
            said["not_used"] = dropped
    else:
        said = describe(options.file)
    if options.json:
        print(as_json(said))
        return 0
    width = max(map(len, said)) + 2
    for name, value in said.items():
        print(f"{name.replace('_', ' ') + ':':<{width}}{_in_words(value)}")
    return 0


def _in_words(value) -> str:
    if value is None:
        return "not known"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        more = f", ... ({len(value)} in all)" if len(value) > _SHOWN else ""
        return (", ".join(_in_words(inner) for inner in value[:_SHOWN]) or "none") + more
    return str(value)


def _about_weights(weights: WeightFile) -> dict:
    said = {
        "kind": weights.kind,
        "network": weights.network,
        "n_weights": sum(int(value.size) for value in weights.tensors.values()),
        "sampling_rate": weights.sampling_rate,
        "seconds": weights.seconds,
        "preprocessing": [f"{name}({_in_words(step)})" for name, step in weights.preprocessing],
        "classes": weights.classes,
        "label_names": weights.label_names,
        "about": weights.about,
    }
    return json.loads(as_json(said))


def run_convert(options: argparse.Namespace) -> int:
    """Write a checkpoint, weights or a pickled model as a file that runs no code.

    Parameters
    ----------
    options : Namespace
        ``file``, ``out``, ``overwrite``, ``allow_pickle`` and ``trust``.

    Returns
    -------
    int
        0.

    Raises
    ------
    OSError, ValueError
        When the file is not there, damaged or of another kind, the result is there already, or
        cannot be what its name says.
    """
    out = Path(options.out)
    if out.suffix not in (".safetensors", ".ecgsk"):
        raise ValueError(f"--out {options.out!r} has to end in .safetensors or .ecgsk.")
    if out.exists() and not options.overwrite:
        raise ValueError(f"--out {options.out!r} is there already: name another or --overwrite.")
    kind = kind_of(options.file)
    if kind not in ("weights", "checkpoint"):
        if out.suffix != ".ecgsk":
            raise ValueError(
                f"{options.file} holds no weights alone; --out {options.out!r} has to end in "
                ".ecgsk."
            )
        model = load_model(options.file, allow_pickle=options.allow_pickle, trusted=options.trust)
        sha256 = save(model, out, about=f"Converted from {os.path.basename(options.file)}.")
    else:
        weights, dropped = _read_network(options.file)
        print(f"{weights.kind}: all {len(weights.tensors)} tensors match the network.")
        if dropped:
            print(f"Dropped, as the network has no use for them: {_in_words(dropped)}.")
        if out.suffix == ".safetensors":
            write_weights(out, weights)
            sha256 = file_sha256(out)
        else:
            about = f"Weights of {os.path.basename(options.file)}. {as_json(weights.about)}"
            sha256 = save(_estimator(weights.kind, options.file), out, about=about)
    print(f"Written: {out} (SHA-256 {sha256})")
    return 0


def _read_network(path) -> tuple[WeightFile, list[str]]:
    """Return weights, and what a checkpoint holds besides and the network was trained without."""
    if kind_of(path) == "weights":
        return read_weights(path), []
    return convert_checkpoint(
        path, {"source": os.path.basename(path), "source_sha256": file_sha256(path)}
    )


def _estimator(kind: str, path):
    """Return what answers with weights as they are; the length of recordings tells their rate."""
    from ecgsk.estimators import ECGFounderClassifier, MTECGClassifier

    known = {"ecgfounder-classifier": ECGFounderClassifier, "mtecg-classifier": MTECGClassifier}
    if kind not in known:
        raise ValueError(
            f"{path} holds a {kind}, which answers no question; --out .ecgsk is for classifiers "
            f"({', '.join(known)}). Fine-tune it first: MTECGClassifier(weights=path)."
        )
    return known[kind].from_pretrained(os.fspath(path))
