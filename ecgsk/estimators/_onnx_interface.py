"""Input and output of an ONNX network, from the parameters and the metadata of its file."""

import re
from dataclasses import dataclass
from math import isclose

import numpy as np
from sklearn.base import clone

from ecgsk import preprocessing as transformers
from ecgsk._core.signal import STANDARD_LEADS, millivolt_factor
from ecgsk.estimators._onnx_file import ONNXDescription, ONNXTensor
from ecgsk.estimators._onnx_metadata import (
    LAYOUTS,
    SAME_RATE,
    named_leads,
    read_statements,
    with_statements,
)
from ecgsk.estimators._onnx_outputs import (
    ONNXColumns,
    columns_of_parameters,
    find_activation,
    find_output,
)

_LARGEST_BATCH = 2**30
# Limit for recordings within the preprocessing: times their length before or after it.
_LONGEST = 100
_UNIT = re.compile(r"\s*(\d[\d.]*(?:e[+-]?\d+)?)?\s*(\S+)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class ONNXInterface:
    """The recordings that a network takes, and what its outputs mean.

    ``leads`` are those of the recordings where its preprocessing starts, in their order, and
    ``array_leads`` those of arrays, which carry no names; None if they have no names.
    """

    input: ONNXTensor
    output: str
    samples_first: bool
    n_at_once: int | None  # records of a batch, where the file fixes it
    factor: float  # from mV to the network's unit
    shape: tuple[int, int]  # leads and samples that the network reads
    sampling_rate: float  # of the recordings, Hz
    n_samples: int | None  # of the recordings; None for any number
    seconds: float | None
    leads: tuple[str, ...] | None
    array_leads: tuple[str, ...] | None
    steps: tuple  # transformers of the recordings, before the network
    preprocessed_by: list | None  # name and parameters of those before the classifier, if known
    activation: str
    columns: ONNXColumns


def find_interface(params: dict, found: ONNXDescription, source: str) -> ONNXInterface:
    """Return how recordings become probabilities; ``params`` are those of the estimator.

    ValueError if the file and the parameters leave something open, or contradict each other.
    """
    stated = read_statements(found, source)
    columns = columns_of_parameters(params)
    if stated is not None:
        params = with_statements(params, stated, source)
        known = stated["columns"]
        if columns is None or not (known.multilabel and known.label_names is None):
            columns = known
    if columns is None:
        raise ValueError(
            f"{source} does not state what its outputs are. Give label_names, a name for each "
            "output, if they are independent labels, or classes, if they exclude each other."
        )
    rate = params["sampling_rate"]
    if rate is None:
        raise ValueError(
            f"{source} does not state the sampling rate of the recordings that the network reads. "
            "Give it in Hz, for example sampling_rate=400."
        )
    tensor = _only_input(found, source)
    leads = named_leads(params["leads"])
    if leads is None and (stated is None or tensor.shape[1] == len(STANDARD_LEADS)):
        leads = STANDARD_LEADS
    # The preprocessing in a file of ecgsk may derive leads: the network reads others.
    read = leads if stated is None else None
    samples_first = _samples_first(tensor, read, params["input_layout"], source)
    n_leads, n_samples = tensor.shape[:0:-1] if samples_first else tensor.shape[1:]
    n_leads = n_leads or len(read or ())
    n_samples = _n_samples(n_samples, params["seconds"], rate, source)
    n_bytes = (tensor.shape[0] or 1) * n_leads * n_samples * 4
    if n_bytes > _LARGEST_BATCH:
        raise ValueError(
            f"{source} reads {tensor.shape[0] or 1} records of {n_leads} leads and {n_samples} "
            f"samples at once, which are {n_bytes / 2**30:.1f} GiB. Export the network for any "
            "number of records (a dynamic first dimension)."
        )
    steps, first_rate = _steps(params["preprocessing"], stated, rate)
    output = find_output(found, params["output"], source)
    activation = find_activation(found, output, params["activation"], columns, source)
    any_length = any(type(step).__name__ == "CropPad" for step in steps)
    in_standard_order = stated is None and n_leads == len(STANDARD_LEADS)
    seconds = n_samples / rate
    return ONNXInterface(
        input=tensor,
        output=output,
        samples_first=samples_first,
        n_at_once=tensor.shape[0],
        factor=1 / _unit_in_millivolt(params["unit"]),
        shape=(n_leads, n_samples),
        sampling_rate=first_rate,
        n_samples=None if any_length else round(seconds * first_rate),
        seconds=None if any_length else seconds,
        leads=leads,
        array_leads=STANDARD_LEADS if in_standard_order else leads,
        steps=steps,
        preprocessed_by=None if stated is None else stated["preprocessed_by"],
        activation=activation,
        columns=columns,
    )


# What a network reads


def check_shapes(steps, shape: tuple[int, int], wanted: tuple[int, int]) -> None:
    """Raise ValueError unless transformers bring recordings to the shape that is wanted.

    ``shape`` is (n_leads, n_samples) of the recordings. Nothing is computed: a file may state steps
    that take all memory.
    """
    found = shape
    for step in steps:
        found = step._plan(*found)[1]
        if found[1] > _LONGEST * max(shape[1], wanted[1]):
            break
    if found != wanted:
        raise ValueError(
            f"recordings have {found[0]} leads and {found[1]} samples after the preprocessing; the "
            f"network reads {wanted[0]} leads and {wanted[1]} samples. Add "
            f"ecgsk.preprocessing.CropPad({wanted[1]}) to preprocessing, or correct it."
        )


def _only_input(found: ONNXDescription, source: str) -> ONNXTensor:
    if len(found.inputs) != 1:
        names = ", ".join(tensor.name for tensor in found.inputs) or "none"
        raise ValueError(
            f"{source} has {len(found.inputs)} inputs ({names}); a classifier of recordings has "
            "one. Export the network so that it reads recordings alone."
        )
    tensor = found.inputs[0]
    if tensor.dtype is None or len(tensor.shape) != 3:
        raise ValueError(
            f"{source} has the input {tensor.name!r} of shape {tensor.shape_in_words}"
            f"{'' if tensor.dtype is not None else ', which are not floating numbers'}; expected "
            "floating numbers of shape (records, leads, samples) or (records, samples, leads). "
            "Export the network with such an input."
        )
    return tensor


def _samples_first(tensor: ONNXTensor, leads, layout: str, source: str) -> bool:
    """Return whether samples come before leads in the input."""
    n_leads = tensor.shape[1] if leads is None else len(leads)
    # A size that is not fixed takes any number of leads.
    fits = [tensor.shape[place] in (None, n_leads) for place in (1, 2)]
    sure = [tensor.shape[place] == n_leads for place in (1, 2)]
    place = {"auto": None, LAYOUTS[0]: 0, LAYOUTS[1]: 1}[layout]
    if not any(fits) or (place is not None and not fits[place]):
        stated = f" with input_layout={layout!r}" if place is not None else ""
        names = "no names" if leads is None else ", ".join(leads)
        raise ValueError(
            f"{source} has an input of shape {tensor.shape_in_words}, which does not fit leads of "
            f"{n_leads} ({names}){stated}. Give leads the name of each lead that the network "
            "reads, in its order."
        )
    if place is None:
        if fits[0] != fits[1]:
            sure = fits
        if sure[0] == sure[1]:
            raise ValueError(
                f"{source} has an input of shape {tensor.shape_in_words}, in which leads "
                "and samples cannot be distinguished. Give input_layout="
                f"{LAYOUTS[0]!r} or {LAYOUTS[1]!r}."
            )
        place = sure.index(True)
    return place == 1


def _n_samples(fixed: int | None, seconds: float | None, rate: float, source: str) -> int:
    if seconds is None:
        if fixed is None:
            raise ValueError(
                f"{source} takes recordings of any length, but networks are trained on one. "
                "Give it in seconds, for example seconds=10."
            )
        return fixed
    n_samples = round(seconds * rate)
    if fixed is not None and fixed != n_samples:
        raise ValueError(
            f"seconds={seconds:g} are {n_samples} samples at sampling_rate={rate:g} Hz, but "
            f"{source} reads {fixed}, which are {fixed / rate:g} s. Leave seconds out, or correct "
            "sampling_rate."
        )
    if n_samples < 1:
        raise ValueError(f"seconds={seconds:g} is less than one sample. Give a larger number.")
    return n_samples


def _unit_in_millivolt(unit: str) -> float:
    """Return how many mV a unit such as "mV", "uV" or "1e-4 V" is."""
    match = _UNIT.fullmatch(unit)
    try:
        if match is None:
            raise ValueError
        factor = float(match[1] or 1) * millivolt_factor(match[2])
        if not 0 < factor < np.inf:
            raise ValueError
        return factor
    except ValueError:
        raise ValueError(
            f"unit={unit!r} is not allowed; give the unit that the network reads: 'mV', 'uV', 'V', "
            "or a multiple such as '1e-4 V'."
        ) from None


def _steps(preprocessing, stated: dict | None, rate: float) -> tuple[tuple, float]:
    """Return the transformers of recordings, and the sampling rate, Hz, that they start with."""
    given = [] if preprocessing is None else preprocessing
    if hasattr(given, "transform"):
        given = [given]
    for step in given:
        name = type(step).__name__
        if not isinstance(step, getattr(transformers, name, ())) or name == "SelectLeads":
            raise ValueError(
                f"preprocessing contains {step!r:.100}; allowed are transformers of "
                "ecgsk.preprocessing, except SelectLeads: leads names the leads of the network. "
                "Put others before the classifier in a Pipeline."
            )
    given = [clone(step) for step in given]  # its output may be set to another container
    own = [] if stated is None else stated["steps"]
    network_rate = rate if stated is None else stated["first_rate"]
    rates = [step.sampling_rate for step in given if hasattr(step, "sampling_rate")]
    first = present = rates[0] if rates else network_rate
    for step in given:
        expected = getattr(step, "sampling_rate", present)
        if not isclose(expected, present, rel_tol=SAME_RATE):
            raise ValueError(
                f"preprocessing contains {step!r}, but recordings have {present:g} Hz there. "
                "Correct its sampling_rate, or the order of the transformers."
            )
        present = step._rate_out(present)
    if not isclose(present, network_rate, rel_tol=SAME_RATE):
        raise ValueError(
            f"preprocessing ends at {present:g} Hz, but the network reads {network_rate:g} Hz. Add "
            f"ecgsk.preprocessing.Resample({present:g}, {network_rate:g}) to the parameter "
            "preprocessing of ONNXClassifier, or correct sampling_rate."
        )
    return (*given, *own), float(first)
