"""The state of an estimator as plain values, and back: what `ecgsk.save` writes.

Nothing in a state names what is built from it: the estimator's own class does.
"""

import os
from dataclasses import asdict

import numpy as np
import torch

from ecgsk import preprocessing
from ecgsk._core.tensor_store import TensorStore
from ecgsk._training import ECGNet, resolve_device, seeded
from ecgsk.estimators._from_weights import load_tensors
from ecgsk.weights import WeightFile

_NET, _WEIGHTS = "net_", "_source"


def to_plain(estimator, state: dict, store: TensorStore) -> dict:
    """Return a state without networks, weights, paths and devices.

    Parameters
    ----------
    estimator : ECGEstimator
        Whose state it is.
    state : dict
        Its attributes; left as it is.
    store : TensorStore
        Gets the tensors.
    """
    if "net_" not in state and state.get("weights") is not None:
        # Elsewhere the file of the weights is not there.
        estimator._loaded()
        state = {**state, "_from_weights": vars(estimator)["_from_weights"]}
    plain = {}
    for name, value in state.items():
        if name == "_from_weights":
            key, told = value
            value = [list(key), _swap(told, lambda net: _net_to_plain(estimator, net, store))]
        elif isinstance(value, os.PathLike):
            value = os.fspath(value)
        elif isinstance(value, torch.device):
            value = str(value)
        plain[name] = value
    return _swap(plain, lambda net: _net_to_plain(estimator, net, store))


def from_plain(estimator, state: dict, store: TensorStore) -> dict:
    """Return the state that `to_plain` was given, with networks on a device that is here.

    Parameters
    ----------
    estimator : ECGEstimator
        Says which network is built.
    state : dict
        As `to_plain` returned it.
    store : TensorStore
        Has the tensors.

    Raises
    ------
    ValueError
        When the state does not describe the network that the tensors belong to.
    """
    state = _swap_back(state, lambda said: _net_from_plain(estimator, said, store))
    if "_from_weights" in state:
        key, told = state["_from_weights"]
        told = _swap_back(told, lambda said: _net_from_plain(estimator, said, store))
        state["_from_weights"] = (tuple(key), told)
    return state


def _swap(attributes: dict, net_to_plain) -> dict:
    swapped = dict(attributes)
    if swapped.get(_NET) is not None:
        swapped[_NET] = net_to_plain(swapped[_NET])
    if swapped.get(_WEIGHTS) is not None:
        # Its tensors are in the net.
        swapped[_WEIGHTS] = {k: v for k, v in asdict(swapped[_WEIGHTS]).items() if k != "tensors"}
    return swapped


def _swap_back(attributes: dict, net_from_plain) -> dict:
    swapped = dict(attributes)
    if swapped.get(_NET) is not None:
        swapped[_NET] = net_from_plain(swapped[_NET])
    if swapped.get(_WEIGHTS) is not None:
        source = WeightFile(tensors={}, **swapped[_WEIGHTS])
        source.preprocessing = [(name, params) for name, params in source.preprocessing]
        unknown = [n for n, _ in source.preprocessing if n not in preprocessing.__all__]
        if unknown:
            raise ValueError(f"preprocessing {unknown} is not in ecgsk.preprocessing")
        swapped[_WEIGHTS] = source
    return swapped


def _net_to_plain(estimator, net: ECGNet, store: TensorStore) -> dict:
    if (type(net), net.module) != (estimator._net_class, estimator._module_class):
        raise TypeError(
            f"{type(estimator).__name__} holds another network than its class says "
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


def _net_from_plain(estimator, said: dict, store: TensorStore) -> ECGNet:
    key = (type(estimator), repr(said))
    return store.build(said["tensors"], key, lambda tensors: _build(estimator, said, tensors))


def _build(estimator, said: dict, tensors: dict[str, np.ndarray]) -> ECGNet:
    module_class, arguments = estimator._module_class, said["arguments"]
    _compare_sizes(module_class, arguments, tensors)
    device = _device_here(said["device"])
    with seeded(0, device):  # the weights to be overwritten draw from a generator of their own
        net = estimator._net_class(
            module_class,
            precision=said["precision"],
            batch_size=said["batch_size"],
            device=device,
            criterion=torch.nn.Module,  # an estimator that is only asked has no loss
            **{f"module__{name}": value for name, value in arguments.items()},
        ).initialize()
    # A change of precision after the fit leaves the weights in that of the fit.
    net.module_.to(torch.from_numpy(tensors["head.weight"]).dtype)
    load_tensors(net.module_, tensors, source="the file")
    net.trim_for_prediction()
    return net


def _compare_sizes(module_class, arguments: dict, tensors: dict[str, np.ndarray]) -> None:
    """Raise unless the network is as large as its tensors, before memory is taken for it."""
    for name, value in arguments.items():
        if name.endswith(("depth", "depths")) and np.abs(value).sum() > len(tensors):
            raise ValueError(f"{name}={value!r}, but there are {len(tensors)} tensors")
    with torch.device("meta"):
        wanted = {k: tuple(v.shape) for k, v in module_class(**arguments).state_dict().items()}
    has = {name: value.shape for name, value in tensors.items()}
    if wanted != has:
        differ = sorted({name for name, _ in wanted.items() ^ has.items()})
        raise ValueError(f"the network and its tensors differ in {', '.join(differ[:5])}")


def _device_here(saved: str) -> str:
    """Return the device that a network was on, or one that is here."""
    for device in (saved, saved.partition(":")[0], "cpu"):
        try:
            return resolve_device(device)
        except ValueError:
            continue
    raise AssertionError("the CPU is always there")
