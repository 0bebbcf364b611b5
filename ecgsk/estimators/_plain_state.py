"""The state of an estimator without its networks, and back: for `ecgsk.save` and for pickles.

A state does not name the classes of networks: the estimator's own class determines them. Pickles
therefore stay readable when private modules move.
"""

import os
from dataclasses import asdict
from pathlib import Path, PurePath

import numpy as np
import torch

from ecgsk import preprocessing
from ecgsk._core.tensor_store import TensorStore
from ecgsk._training import ECGNet
from ecgsk.estimators._weights_lookup import load_weights
from ecgsk.estimators._weights_source import is_own_network, net_for_prediction
from ecgsk.weights import WeightFile

_NET, _WEIGHTS = "net_", "_source"


def to_plain(estimator, state: dict, store: TensorStore) -> dict:
    """Return a state without networks, weights, paths and devices; ``store`` gets the tensors."""
    if "net_" not in state and state.get("weights") is not None:
        # Elsewhere the file of the weights is not there.
        load_weights(estimator)
        state = {**state, "_from_weights": vars(estimator)["_from_weights"]}
    plain = without_networks(estimator, state, store)
    for name, value in plain.items():
        if isinstance(value, os.PathLike):
            plain[name] = os.fspath(value)
        elif isinstance(value, torch.device):
            plain[name] = str(value)
    return plain


def without_networks(estimator, state: dict, store: TensorStore) -> dict:
    """Return a state with descriptions of networks and weights; ``store`` gets the tensors."""
    plain = _attributes_to_plain(estimator, state, store)
    if "_from_weights" in state:
        key, attributes = state["_from_weights"]
        plain["_from_weights"] = [list(key), _attributes_to_plain(estimator, attributes, store)]
    return plain


def from_plain(estimator, state: dict, store: TensorStore) -> dict:
    """Return the state that `to_plain` or `without_networks` received, with its networks.

    Networks are on the CPU; the first prediction moves them. ValueError when the state does not
    describe the network that the tensors belong to.
    """
    if "network" in state:
        # The class of a user's network is a parameter; it is needed to build the net.
        vars(estimator)["network"] = state["network"]
    state = _attributes_from_plain(estimator, state, store)
    if "_from_weights" in state:
        key, attributes = state["_from_weights"]
        attributes = _attributes_from_plain(estimator, attributes, store)
        attributes.pop("device_", None)  # states of version 0.1.0 hold it, and in the key as well
        key = (key[0], *key[2:]) if len(key) == 4 else tuple(key)
        state["_from_weights"] = (key, attributes)
    return state


def as_pure_path(value):
    """Return a path in a type that other operating systems can unpickle; other values unchanged."""
    return PurePath(value) if isinstance(value, Path) else value


def as_path_here(value):
    """Return what `as_pure_path` received, in the type of this operating system."""
    return Path(value) if isinstance(value, PurePath) else value


def _attributes_to_plain(estimator, attributes: dict, store: TensorStore) -> dict:
    plain = dict(attributes)
    if plain.get(_NET) is not None:
        plain[_NET] = _net_to_plain(estimator, plain[_NET], store)
    if plain.get(_WEIGHTS) is not None:
        # Its tensors are in the net.
        plain[_WEIGHTS] = {k: v for k, v in asdict(plain[_WEIGHTS]).items() if k != "tensors"}
    return plain


def _attributes_from_plain(estimator, plain: dict, store: TensorStore) -> dict:
    attributes = dict(plain)
    if attributes.get(_NET) is not None:
        attributes[_NET] = _net_from_plain(estimator, attributes[_NET], store)
    if attributes.get(_WEIGHTS) is not None:
        source = WeightFile(tensors={}, **attributes[_WEIGHTS])
        source.preprocessing = [(name, params) for name, params in source.preprocessing]
        unknown = [n for n, _ in source.preprocessing if n not in preprocessing.__all__]
        if unknown:
            raise ValueError(f"preprocessing {unknown} is not in ecgsk.preprocessing")
        attributes[_WEIGHTS] = source
    return attributes


def _net_to_plain(estimator, net: ECGNet, store: TensorStore) -> dict:
    if (type(net), net.module) != (estimator._net_class, estimator._module_class):
        raise TypeError(
            f"{type(estimator).__name__} holds another network than its class determines "
            f"({net.module.__name__})"
        )
    return {
        "tensors": store.put(net, lambda: _tensors_of(net.module_)),
        "arguments": dict(net.get_params_for("module")),
        "precision": net.precision,
        "batch_size": net.batch_size,
        "device": str(net.device),
    }


def _tensors_of(module: torch.nn.Module) -> dict[str, np.ndarray]:
    state = module.state_dict()
    return {name: np.array(value.cpu().numpy(), order="C") for name, value in state.items()}


def _net_from_plain(estimator, plain: dict, store: TensorStore) -> ECGNet:
    key = (type(estimator), repr(plain))
    return store.build(plain["tensors"], key, lambda tensors: _build(estimator, plain, tensors))


def _build(estimator, plain: dict, tensors: dict[str, np.ndarray]) -> ECGNet:
    if is_own_network(estimator._module_class):
        _check_depth(plain["arguments"], tensors)
    return net_for_prediction(
        estimator,
        plain["arguments"],
        tensors,
        precision=plain["precision"],
        batch_size=plain["batch_size"],
        source="the file",
        # A change of precision after the fit leaves the weights in that of the fit.
        dtype=torch.from_numpy(np.empty(0, tensors["head.weight"].dtype)).dtype,
    )


def _check_depth(arguments: dict, tensors: dict[str, np.ndarray]) -> None:
    """Raise for more layers than there are tensors, before a network of so many is built."""
    for name, value in arguments.items():
        if name.endswith(("depth", "depths")) and np.abs(value).sum() > len(tensors):
            raise ValueError(f"{name}={value!r}, but there are {len(tensors)} tensors")
