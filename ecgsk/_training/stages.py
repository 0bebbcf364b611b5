"""What a fit does is data: a list of training stages."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from ecgsk._core.public import public


@public("ecgsk.estimators")
@dataclass(frozen=True)
class TrainingStage:
    """One stretch of training with one optimizer.

    Parameters
    ----------
    name : str
        Shown in the progress bar and written to the history.
    epochs : int
        Passes over the training records.
    learning_rate : float
        Peak rate of AdamW, reached at the end of the warm-up.
    weight_decay : float, default=0.05
        For matrices and kernels; biases, gains and what the network exempts have none.
    layer_decay : float, default=1.0
        The rate of a layer is this factor times the rate of the next deeper one.
    warmup : float, default=0.1
        Share of the steps over which the rate grows linearly from 0.
    final_rate : float, default=0.0
        Share of the peak rate at which the half cosine after the warm-up ends.
    stochastic_depth : float, default=0.0
        Probability that a record skips a branch of the deepest block.
    stochastic_depth_rule : {"linear", "constant"}, default="linear"
        How the rates of the other blocks follow.
    dropout : float, default=0.0
        Rate of dropout.
    trainable : {"all", "head"}, default="all"
        Which parameters learn.
    betas : tuple of (float, float), default=(0.9, 0.999)
        Memory of AdamW's mean and of its variance.
    averaging : float, default=0.0
        Memory of an exponential mean of the weights over the steps, which then takes their place;
        0 keeps the weights themselves.
    """

    name: str
    epochs: int
    learning_rate: float
    weight_decay: float = 0.05
    layer_decay: float = 1.0
    warmup: float = 0.1
    final_rate: float = 0.0
    stochastic_depth: float = 0.0
    stochastic_depth_rule: str = "linear"
    dropout: float = 0.0
    trainable: str = "all"
    betas: tuple[float, float] = (0.9, 0.999)
    averaging: float = 0.0


def trainable_parameters(
    network: nn.Module, stage: TrainingStage
) -> Iterator[tuple[str, nn.Parameter]]:
    """Freeze what a stage does not train and yield the rest with its names."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(stage.trainable == "all" or name.startswith("head."))
        if parameter.requires_grad:
            yield name, parameter


def layers_in_order(network: nn.Module) -> tuple[Callable[[str], int], int]:
    """Return the depth of a parameter by its name, and the number of layers.

    A network without ``layer_of`` and ``n_layers`` has its children as layers, in their order, and
    the head behind them; parameters of its own count for the first.
    """
    named: Any = network
    if hasattr(named, "layer_of"):
        return named.layer_of, named.n_layers
    children = [name for name, _ in network.named_children() if name != "head"]
    depths = {name: depth for depth, name in enumerate([*children, "head"])}
    return lambda name: depths.get(name.partition(".")[0], 0), len(depths)


def parameter_groups(network: nn.Module, stage: TrainingStage) -> list[dict]:
    """Return AdamW's parameter groups: one for each rate and weight decay that differ.

    Each has an ``lr_scale``, which multiplies the scheduled rate: ``layer_decay`` to the power of
    the layers between its parameters and the head. What the stage does not train is frozen. A
    network may have ``no_weight_decay``, names of parameters without it.
    """
    exempt: frozenset[str] = getattr(network, "no_weight_decay", frozenset())
    layer_of, n_layers = layers_in_order(network)
    groups: dict[tuple[float, float], dict] = {}
    for name, parameter in trainable_parameters(network, stage):
        decays = parameter.ndim > 1 and name not in exempt
        weight_decay = stage.weight_decay if decays else 0.0
        lr_scale = stage.layer_decay ** (n_layers - 1 - layer_of(name))
        group = groups.setdefault(
            (lr_scale, weight_decay),
            {"params": [], "weight_decay": weight_decay, "lr_scale": lr_scale, "lr": 0.0},
        )
        group["params"].append(parameter)
    return list(groups.values())


def rate_factor(step: int, n_steps: int, stage: TrainingStage) -> float:
    """Return the share of the peak rate at a step: linear warm-up, then half a cosine.

    ``step`` is the number of steps done in this stage, ``n_steps`` that of the whole stage.
    """
    n_warmup = int(stage.warmup * n_steps)
    if step < n_warmup:
        return (step + 1) / n_warmup
    progress = (step - n_warmup) / max(1, n_steps - n_warmup)
    cosine = 0.5 * (1.0 + math.cos(progress * math.pi))
    return stage.final_rate + (1.0 - stage.final_rate) * cosine
