"""What a fit passes to the method that builds its network."""

from dataclasses import dataclass

import numpy as np

from ecgsk._core.records import RecordArray
from ecgsk.estimators._targets import Targets
from ecgsk.weights import WeightFile


@dataclass(frozen=True)
class StartingWeights:
    """What a fit starts from.

    Parameters
    ----------
    parameter : str
        The parameter that names the weights, for messages.
    file : WeightFile
        The weights.
    """

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

    Parameters
    ----------
    X : ndarray or RecordArray of shape (n_records, n_leads, n_samples)
        Recordings as the network reads them.
    rows : ndarray of int
        Training records.
    weights : ndarray of shape (n_records,)
        Weight of each record.
    start : StartingWeights or None
        Weights that the network starts from.
    targets : Targets or None, default=None
        The task of a classifier.
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
