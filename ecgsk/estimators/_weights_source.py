"""Weights as what a fit starts from, and as what an estimator predicts with."""

from typing import Any

import numpy as np
import torch

from ecgsk._core.signal import STANDARD_LEADS, lead_name
from ecgsk._core.signal_doubts import without_doubts
from ecgsk._core.sklearn_compat import set_output_container
from ecgsk._training import ECGNet, OwnRandomNumbers, new_tensors_on_cpu
from ecgsk.estimators._fit_context import StartingWeights
from ecgsk.estimators._targets import Targets, prior_logits
from ecgsk.networks import start_head
from ecgsk.weights import WeightFile


def start_classifier(
    network: Any,
    start: StartingWeights | None,
    targets: Targets,
    rows: np.ndarray,
    weights: np.ndarray,
    *,
    head_init: str,
) -> None:
    """Load the weights that a new classifier starts from; its head stays where labels differ.

    ``rows`` are the training records and ``weights`` those of all records. ``head_init`` is
    "random", or "prior" for a new head that starts with the log-odds of the classes.
    """
    keeps_head = False
    if start is not None:
        tensors, names = start.encoder(), start.file.label_names
        keeps_head = bool(names) and names == targets.label_names
        if keeps_head:
            tensors |= {k: v for k, v in start.file.tensors.items() if k.startswith("head.")}
        load_tensors(network, tensors, source=start.parameter, without=("head.",))
    if head_init == "prior" and not keeps_head:
        start_head(network.head, prior_logits(targets, rows, weights))


def net_for_prediction(
    estimator,
    arguments: dict,
    tensors: dict,
    *,
    precision: str,
    batch_size: int,
    source: str,
    dtype: torch.dtype | None = None,
) -> ECGNet:
    """Return an estimator's net with these weights, on the CPU, which predicts and is not trained.

    ``arguments`` are those of the network, ``source`` is where the tensors come from, for
    messages, and ``dtype`` that of the weights, where it is not that of the precision.
    """
    module = estimator._module_class
    without_values = is_own_network(module)
    net = estimator._net_class(
        module,
        precision=precision,
        batch_size=batch_size,
        device="meta" if without_values else "cpu",
        criterion=torch.nn.Module,  # a prediction computes no loss
        **{f"module__{name}": value for name, value in arguments.items()},
    )
    # The start that is to be overwritten must not move generators that others draw from.
    place = torch.device("meta") if without_values else OwnRandomNumbers()
    with new_tensors_on_cpu(), place:
        net.initialize()
    if without_values:
        # Before memory is taken: a file may state any size.
        _compare_tensors(net.module_.state_dict(), tensors, source=source)
        net.module_.to_empty(device="cpu")
        net.device = "cpu"
    if dtype is not None:
        net.module_.to(dtype)
    load_tensors(net.module_, tensors, source=source)
    net.trim_for_prediction()
    return net


def is_own_network(module) -> bool:
    """Return whether a network is built without values: all that it holds is in its state.

    Networks of users may compute constants and read numbers while they are built.
    """
    return module.__module__.partition(".")[0] == "ecgsk"


def load_tensors(module: torch.nn.Module, tensors: dict, *, source: str, without=()) -> None:
    """Load weights into a module; all of them have to be there, and no others.

    ``without`` are beginnings of names that may be missing. The ValueError lists what is missing,
    unexpected or of another shape.
    """
    own = module.state_dict()
    _compare_tensors(own, tensors, source=source, without=without)
    with torch.no_grad():
        for name, value in tensors.items():
            # joblib's workers receive read-only arrays, and torch warns of these.
            own[name].copy_(torch.from_numpy(np.require(value, requirements="W")))


def _compare_tensors(own: dict, tensors: dict, *, source: str, without=()) -> None:
    missing = [k for k in own if k not in tensors and not k.startswith(tuple(without))]
    unexpected = [k for k in tensors if k not in own]
    shapes = [
        f"{k} {tuple(v.shape)} instead of {tuple(own[k].shape)}"
        for k, v in tensors.items()
        if k in own and tuple(v.shape) != tuple(own[k].shape)
    ]
    if missing or unexpected or shapes:
        raise ValueError(
            f"{source} does not match the network. Missing: {missing or 'none'}; unexpected: "
            f"{unexpected or 'none'}; of another shape: {shapes or 'none'}."
        )


def rate_of(
    sampling_rate: float | None,
    n_samples: int,
    weights: WeightFile,
    *,
    rates: tuple[int, ...],
    tolerance: float = 0.0,
) -> float:
    """Return the recordings' sampling rate, and check that they are as long as they must be.

    Where the user left the rate at None, one of ``rates`` is derived from the length; recordings
    may be longer or shorter by ``tolerance`` seconds.
    """
    seconds = weights.seconds
    if sampling_rate is None:
        for rate in rates:
            if n_samples == rate * seconds:
                return rate
        raise ValueError(
            f"X has {n_samples} samples a record; the network takes {seconds:g} s, which would be "
            f"{' or '.join(f'{rate * seconds:g} at {rate} Hz' for rate in rates)}. Set "
            f"sampling_rate, and bring records to {seconds:g} s with ecgsk.preprocessing.CropPad."
        )
    if abs(n_samples - round(seconds * sampling_rate)) > tolerance * sampling_rate:
        other = next((r for r in rates if n_samples == r * seconds), None)
        hint = f" If the recordings have {other} Hz, set sampling_rate={other}." if other else ""
        raise ValueError(
            f"X has {n_samples} samples a record, {n_samples / sampling_rate:g} s at sampling_rate="
            f"{sampling_rate:g} Hz; the network takes {seconds:g} s.{hint} Otherwise bring them to "
            f"{round(seconds * sampling_rate)} samples with ecgsk.preprocessing.CropPad."
        )
    return sampling_rate


def are_rearranged(leads) -> bool:
    """Return whether leads are the standard twelve in another order.

    ValueError for other leads: a weight file does not hold their names.
    """
    names = [lead_name(lead) for lead in leads]
    if sorted(names) != sorted(STANDARD_LEADS):
        raise ValueError(
            f"leads={names} are not the standard twelve: weight files are for those. Keep a model "
            "of other leads with ecgsk.save."
        )
    return names != list(STANDARD_LEADS)


def as_kept_in_files(transformers) -> list[tuple[str, dict]]:
    """Return the transformers before an estimator, or None of them, as a weight file keeps them."""
    kept = [(type(step).__name__, step.get_params()) for step in transformers or []]
    lengthening = [name for name, _ in kept if name in ("Resample", "CropPad")]
    if lengthening:
        raise ValueError(
            f"preprocessing holds {', '.join(lengthening)}, which change the number of samples: "
            "weights resample by themselves, and take records of one length. Leave them out."
        )
    return kept


def transformed(X, steps: list):
    """Return recordings after some transformers, as arrays in any configuration of scikit-learn."""
    with without_doubts():
        for step in steps:
            set_output_container(step, "default")
            X = step.transform(X)
    return X
