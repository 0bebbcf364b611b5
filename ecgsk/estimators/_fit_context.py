"""What a fit passes to the method that builds its network."""

from dataclasses import dataclass

import numpy as np

from ecgsk._core.records import RecordArray
from ecgsk.estimators._targets import Targets
from ecgsk.weights import WeightFile


@dataclass(frozen=True)
class StartingWeights:
    """The weights that a fit starts from, and the parameter that names them, for messages."""

    parameter: str
    file: WeightFile

    def encoder(self) -> dict:
        """Return the tensors of the encoder by the names of its own module, without a head."""
        tensors = self.file.tensors
        if self.file.kind == "mtecg-pretrainer":
            start = "encoder."
            tensors = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
        return {name: value for name, value in tensors.items() if not name.startswith("head.")}


@dataclass(frozen=True)
class FitContext:
    """What a fit has computed before it builds the network.

    ``X`` is as the network reads it, ``rows`` are the training records; ``weights`` has an entry
    for each record of X, ``targets`` is None for a pretrainer.
    """

    X: np.ndarray | RecordArray
    rows: np.ndarray
    weights: np.ndarray
    start: StartingWeights | None
    targets: Targets | None = None

    @property
    def kind(self) -> str:
        """The kind of task: "binary", "multiclass" or "multilabel"."""
        return "" if self.targets is None else self.targets.kind

    @property
    def n_outputs(self) -> int:
        """Logits that the task needs."""
        return 0 if self.targets is None else self.targets.n_outputs
