"""A network in one file: its tensors, and the metadata that their use needs."""

import json
import os
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ecgsk import preprocessing
from ecgsk._core.files import expanded, replacing
from ecgsk._core.public import public
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._version import __version__

_FORMAT = "ecgsk-weights-1"
_NUMPY_DTYPES = ("F32", "F16", "F64", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")
SHIPPED = ("ptbxl",)
# Names of transformers in files of earlier versions.
_RENAMED = {"Standardise": "Standardize"}
SHIPPED_KINDS = ("mtecg-classifier", "mtecg-pretrainer")


@public("ecgsk.weights")
@dataclass
class WeightFile:
    """Content of a weight file.

    Parameters
    ----------
    kind : {"mtecg-classifier", "mtecg-pretrainer", "ecgfounder-classifier"}
        Kind of the estimator.
    network : dict
        Arguments of the network's class.
    tensors : dict of str to ndarray
        The network's state.
    sampling_rate : float
        At which the network reads recordings, Hz.
    preprocessing : list of (str, dict)
        Transformers of `ecgsk.preprocessing` that recordings go through at that rate, in mV,
        before the network: name and parameters.
    classes : list or None
        Classes of a binary or multiclass classifier; None for labels and pre-trainers.
    label_names : list of str or None
        Labels of a multilabel classifier.
    about : dict
        Data, license, figures: for readers.
    n_samples : int or None
        Samples of a recording at that rate, where the network's arguments do not have it.
    """

    kind: str
    network: dict
    tensors: dict
    sampling_rate: float
    preprocessing: list = field(default_factory=list)
    classes: list | None = None
    label_names: list[str] | None = None
    about: dict = field(default_factory=dict)
    n_samples: int | None = None

    def __post_init__(self):
        self.preprocessing = [(_RENAMED.get(n, n), params) for n, params in self.preprocessing]

    @property
    def seconds(self) -> float:
        """How long a recording has to be, s."""
        return int(self.network.get("n_samples") or self.n_samples or 0) / self.sampling_rate

    def steps(self, sampling_rate: float, leads=None) -> list:
        """Return the transformers from a user's recordings to what the network takes.

        Parameters
        ----------
        sampling_rate : float
            Sampling rate of the recordings, Hz.
        leads : list of str or None
            Their leads; None are `STANDARD_LEADS`, in which order the network reads them.
        """
        steps = self._own_steps()
        if sampling_rate != self.sampling_rate:
            steps.insert(0, preprocessing.Resample(sampling_rate, self.sampling_rate))
        if leads is not None and self.network["n_leads"] == len(STANDARD_LEADS):
            steps.insert(0, preprocessing.SelectLeads(self.leads, input_leads=leads))
        return steps

    @property
    def leads(self) -> tuple[str, ...] | None:
        """Leads of the recordings that the preprocessing takes; None where they have no names."""
        for step in self._own_steps():
            if isinstance(step, preprocessing.SelectLeads):
                return tuple(step.input_leads or STANDARD_LEADS)
        return STANDARD_LEADS if self.network["n_leads"] == len(STANDARD_LEADS) else None

    def _own_steps(self) -> list:
        return [getattr(preprocessing, name)(**params) for name, params in self.preprocessing]


@public("ecgsk.weights")
def write_weights(path: str | os.PathLike, weights: WeightFile, *, dtype: str = "float32") -> None:
    """Write a file in the safetensors format; nothing in it can run code.

    Parameters
    ----------
    path : path-like
        Path of the file; by custom it ends in ``.safetensors``.
    weights : WeightFile
        Content of the file.
    dtype : {"float32", "float16"}, default="float32"
        Type of the stored tensors. float16 takes half the space and keeps three digits.
    """
    if dtype not in ("float32", "float16"):
        raise ValueError(f"dtype={dtype!r} is not allowed; use 'float32' or 'float16'.")
    fields = {k: v for k, v in vars(weights).items() if k != "tensors"}
    fields["preprocessing"] = [[name, params] for name, params in weights.preprocessing]
    unknown = [name for name, _ in weights.preprocessing if name not in preprocessing.__all__]
    if unknown:
        raise ValueError(
            f"preprocessing holds {', '.join(unknown)}; only transformers of ecgsk.preprocessing "
            f"can travel with weights: {', '.join(preprocessing.__all__)}."
        )
    tensors = {
        # Scalars, such as the scale of recordings, cost nothing and stay exact.
        name: np.array(value, dtype=dtype if np.ndim(value) else np.float32, order="C")
        for name, value in weights.tensors.items()
    }
    metadata = {"format": _FORMAT, "version": __version__, "ecgsk": as_json(fields)}
    with replacing(path, errors=(SafetensorError,)) as temporary:
        save_file(tensors, temporary, metadata)


def as_json(value) -> str:
    """Return plain values, NumPy's among them, as JSON."""
    return json.dumps(value, default=_plain)


def _plain(value):
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(
        f"a weight file keeps plain values; {value!r} in about, network or preprocessing is not "
        "plain."
    )


def _tensor(file, name: str, path) -> np.ndarray:
    """Return a tensor in float32."""
    dtype = file.get_slice(name).get_dtype()
    if dtype in _NUMPY_DTYPES:
        return file.get_tensor(name).astype(np.float32)
    if dtype == "BF16":  # NumPy has none
        with safe_open(path, framework="pt") as again:
            return again.get_tensor(name).float().numpy()
    raise ValueError(
        f"{path} holds the tensor {ascii(name)} in {dtype}, which cannot be read. Save it in "
        f"{', '.join(_NUMPY_DTYPES[:3])} or BF16."
    )


@public("ecgsk.weights")
def read_weights(
    source: str | os.PathLike,
    *,
    kind: str | None = None,
    parameter: str = "weights",
    header_only: bool = False,
) -> WeightFile:
    """Read a weight file, or weights that come with ecgsk.

    Parameters
    ----------
    source : path-like or {"ptbxl"}
        A file that `write_weights` wrote, or the name of shipped weights.
    kind : str or None, default=None
        Which of the shipped files (None is the classifier); and what a file has to be (None takes
        any).
    parameter : str, default="weights"
        Name of the parameter, for messages.
    header_only : bool, default=False
        Whether to leave the tensors unread.

    Returns
    -------
    WeightFile
        With float32 tensors.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file was not written by ecgsk, or is of another kind.
    """
    if source in SHIPPED:
        name = f"{source}-{kind or SHIPPED_KINDS[0]}.safetensors"
        path = Path(str(resources.files("ecgsk.weights") / name))
    else:
        path = expanded(source)
    if not path.is_file():
        raise FileNotFoundError(
            f"{parameter}={os.fspath(source)!r} is neither a file nor a name of shipped weights "
            f"({', '.join(SHIPPED)})."
        )
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            names = [] if header_only else file.keys()
            tensors = {name: _tensor(file, name, path) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}.") from error
    if metadata.get("format") != _FORMAT:
        raise ValueError(
            f"{path} was not written by ecgsk (format {metadata.get('format')!r}, expected "
            f"{_FORMAT!r}). Write it with the save_weights of a fitted estimator."
        )
    try:
        fields = json.loads(metadata["ecgsk"])
        fields["preprocessing"] = [
            (str(name), dict(params)) for name, params in fields["preprocessing"]
        ]
        found = WeightFile(tensors=tensors, **fields)
        known = isinstance(found.network, dict) and isinstance(found.kind, str)
        if not known or not 0 < found.sampling_rate < np.inf:
            raise ValueError("its fields are not what they should be")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        reason = f"{type(error).__name__}: {ascii(str(error))[:200]}"
        raise ValueError(
            f"{path} was changed, or written by another version of ecgsk ({reason}). Write it with "
            "the save_weights of a fitted estimator."
        ) from error
    if kind is not None and found.kind != kind:
        raise ValueError(f"{path} holds a {found.kind}; expected a {kind}.")
    unknown = [name for name, _ in found.preprocessing if name not in preprocessing.__all__]
    if unknown:
        raise ValueError(
            f"{path} needs preprocessing that this version of ecgsk does not have: "
            f"{', '.join(unknown)}. Update ecgsk."
        )
    return found
