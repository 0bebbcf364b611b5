"""What the MTECG estimators share: the size of the network, and weights to start from."""

from numbers import Integral

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator

from ecgsk._compat import Interval, StrOptions, check_is_fitted
from ecgsk.networks import MTECG_PRESETS
from ecgsk.weights import SHIPPED, WeightFile, read_weights

DEFAULT_PRESET = "ti_12_25"
SIZE_CONSTRAINTS = {
    "preset": [StrOptions(set(MTECG_PRESETS)), None],
    "patch_size": [Interval(Integral, 1, None, closed="left"), None],
    "width": [Interval(Integral, 1, None, closed="left"), None],
    "depth": [Interval(Integral, 1, None, closed="left"), None],
    "n_heads": [Interval(Integral, 1, None, closed="left"), None],
}
# Rates at which ten-second records are told apart by their length alone.
_TOLD_BY_LENGTH = (100, 500)


def network_size(estimator, longest: int | None = None) -> dict:
    """Return the size of the network that an estimator's parameters mean.

    Parameters
    ----------
    estimator : estimator
        With ``preset``, ``patch_size``, ``width``, ``depth``, ``n_heads``, ``sampling_rate``.
    longest : int or None, default=None
        Samples that a segment of a preset's duration is cut down to; one that the user chose
        stays.

    Returns
    -------
    dict
        ``patch_size``, ``width``, ``depth``, ``n_heads``.
    """
    size = dict(MTECG_PRESETS[estimator.preset or DEFAULT_PRESET])
    patch_size = max(1, round(size.pop("patch_duration") * estimator.sampling_rate))
    size["patch_size"] = patch_size if longest is None else max(1, min(patch_size, longest))
    for name in size:
        given = getattr(estimator, name)
        size[name] = size[name] if given is None else given
    return size


def check_size(estimator, network: dict, source: str) -> None:
    """Raise if an estimator asks for another network than the weights it starts from have.

    Parameters
    ----------
    estimator : estimator
        Parameters that are None ask for nothing.
    network : dict
        Arguments of the weights' network.
    source : str
        The parameter that named the weights, for the message.
    """
    asked = {name: getattr(estimator, name) for name in ("patch_size", "width", "depth", "n_heads")}
    if estimator.preset is not None:
        preset = MTECG_PRESETS[estimator.preset]
        asked |= {k: preset[k] for k in ("width", "depth", "n_heads") if asked[k] is None}
    wrong = {k: v for k, v in asked.items() if v is not None and v != network[k]}
    if wrong:
        said = ", ".join(f"{name}={value}" for name, value in wrong.items())
        has = ", ".join(f"{name}={network[name]}" for name in wrong)
        raise ValueError(
            f"{said} does not fit {source}, whose network has {has}. Leave preset, patch_size, "
            f"width, depth and n_heads at None: they come with {source}."
        )


def as_weights(source, *, kind: str) -> WeightFile:
    """Return weights from a file, from those shipped, or from a fitted estimator.

    Parameters
    ----------
    source : path-like, str or estimator
        A file, a name, or a fitted `MTECGPretrainer` (also in a ``FrozenEstimator``).
    kind : str
        Which of the shipped files is meant by a name.
    """
    if isinstance(source, FrozenEstimator):
        source = source.estimator
    if hasattr(source, "to_weights"):
        check_is_fitted(source, "net_")
        return source.to_weights()
    # A file may be of either kind: both hold an encoder.
    return read_weights(source, kind=kind if source in SHIPPED else None, parameter="pretrained")


def encoder_tensors(weights: WeightFile) -> dict:
    """Return the tensors of the encoder by the names that MTECG gives them, without a head."""
    tensors = weights.tensors
    if weights.kind == "mtecg-pretrainer":
        prefix = "encoder."
        tensors = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return {name: value for name, value in tensors.items() if not name.startswith("head.")}


def load_tensors(module: torch.nn.Module, tensors: dict, *, source, without=()) -> None:
    """Give a module its weights; all of them have to be there, and no others.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place.
    tensors : dict of str to ndarray
        Its state.
    source : str
        Where they come from, for the message.
    without : tuple of str
        Beginnings of names that may be missing.

    Raises
    ------
    ValueError
        Listing what is missing, unexpected or of another shape.
    """
    own = module.state_dict()
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
    with torch.no_grad():
        for name, value in tensors.items():
            own[name].copy_(torch.from_numpy(np.asarray(value)))


def rate_of(sampling_rate, n_samples: int, weights: WeightFile, source) -> float:
    """Return the recordings' sampling rate, and make sure that they are as long as they must be.

    Parameters
    ----------
    sampling_rate : float or None
        As the user gave it; None lets the length tell.
    n_samples : int
        Of the recordings.
    weights : WeightFile
        What is to read them.
    source : str
        Name of the weights, for the message.
    """
    seconds = weights.seconds
    if sampling_rate is None:
        for rate in _TOLD_BY_LENGTH:
            if n_samples == rate * seconds:
                return rate
        raise ValueError(
            f"X has {n_samples} samples a record; {source} takes {seconds:g} s, which would be "
            f"{' or '.join(f'{rate * seconds:g} at {rate} Hz' for rate in _TOLD_BY_LENGTH)}. Give "
            f"sampling_rate, and bring records to {seconds:g} s with ecgsk.preprocessing.CropPad."
        )
    if n_samples != round(seconds * sampling_rate):
        said = n_samples / sampling_rate
        other = next((r for r in _TOLD_BY_LENGTH if n_samples == r * seconds), None)
        hint = f" If the recordings have {other} Hz, say sampling_rate={other}." if other else ""
        raise ValueError(
            f"X has {n_samples} samples a record, {said:g} s at sampling_rate="
            f"{sampling_rate:g} Hz; {source} takes {seconds:g} s.{hint} Otherwise bring them to "
            f"{round(seconds * sampling_rate)} samples with ecgsk.preprocessing.CropPad."
        )
    return sampling_rate
