"""The outputs of an ONNX network as probabilities of classes or labels."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, softmax

from ecgsk._core.calling_line import stacklevel_of_user
from ecgsk._core.checks import check_distinct
from ecgsk._core.targets import plain_target
from ecgsk.estimators._onnx_file import ONNXDescription

ACTIVATIONS = ("none", "sigmoid", "softmax")
# Rounding of networks that compute probabilities, and of their sums over classes.
_OUTSIDE, _SUM = 1e-6, 1e-3
# So many logits are not all in [0, 1] by chance.
_ENOUGH = 20


@dataclass(frozen=True)
class ONNXColumns:
    """The classes or the labels of a network, in the order of its outputs."""

    classes: list
    label_names: list[str] | None
    multilabel: bool

    @property
    def kind(self) -> str:
        """Return "binary", "multiclass" or "multilabel"."""
        if self.multilabel:
            return "multilabel"
        return "binary" if len(self.classes) == 2 else "multiclass"

    @property
    def in_words(self) -> str:
        """Return the number of names and their parameter as text."""
        what = "label_names" if self.multilabel else "classes"
        return f"{what} has {len(self.classes)} names"


def columns_of_parameters(params: dict) -> ONNXColumns | None:
    """Return the columns that ``label_names`` or ``classes`` state; None without both."""
    names, classes = params["label_names"], params["classes"]
    if names is not None and classes is not None:
        raise ValueError(
            f"label_names={_some(names)} and classes={_some(classes)} exclude each other. Labels "
            "are independent and have a probability each; the probabilities of classes add up to "
            "1. Leave out one of them."
        )
    if names is not None:
        names = [str(name) for name in _listed("label_names", names, least=1)]
        check_distinct(names, "label_names")
        return ONNXColumns(list(range(len(names))), names, True)
    if classes is not None:
        classes = _listed("classes", classes, least=2)
        check_distinct(classes, "classes")
        return ONNXColumns(classes, None, False)
    return None


def find_output(found: ONNXDescription, name: str | None, source: str) -> str:
    names = [tensor.name for tensor in found.outputs]
    if name is None:
        if len(names) > 1:
            raise ValueError(
                f"{source} has the outputs {', '.join(names)}. Give output, the name of the one "
                "with the probabilities or logits."
            )
        name = names[0]
    if name not in names:
        raise ValueError(f"output={name!r} is not in {source}, which has {', '.join(names)}.")
    return name


def find_activation(
    found: ONNXDescription, output: str, activation: str, columns: ONNXColumns, source: str
) -> str:
    """Return the activation that is to be applied; ValueError where it cannot be right."""
    applied = found.activations.get(output)
    if activation == "auto":
        if applied is None:
            raise ValueError(
                f"{source} does not state whether its output {output!r} has logits or "
                "probabilities. Give activation='sigmoid' or 'softmax' for logits, 'none' for "
                "probabilities."
            )
        activation = "none"
    if activation != "none" and applied is not None:
        raise ValueError(
            f"activation={activation!r} would be applied twice: {source} computes its output "
            f"{output!r} with a {applied}. Use activation='none'."
        )
    of_labels = activation if activation != "none" else applied
    if columns.multilabel and of_labels == "softmax":
        raise ValueError(
            f"the output {output!r} of {source} is a softmax, whose probabilities add up to 1, but "
            "label_names are independent labels. Give classes instead of label_names."
        )
    tensor = next(each for each in found.outputs if each.name == output)
    if tensor.dtype is None or len(tensor.shape) > 2:
        raise ValueError(
            f"the output {output!r} of {source} has shape {tensor.shape_in_words}"
            f"{'' if tensor.dtype is not None else ' and is not of floating numbers'}; expected "
            "floating numbers of shape (records, columns). Choose another with output."
        )
    if tensor.shape:
        n_columns = 1 if len(tensor.shape) < 2 else tensor.shape[1]
        if n_columns is not None:
            check_n_columns(n_columns, columns, activation, output)
    return activation


def check_n_columns(n_columns: int, columns: ONNXColumns, activation: str, output: str) -> None:
    """Raise ValueError if an output does not have a column for each class or label."""
    one = columns.kind == "binary" and n_columns == 1
    if n_columns != len(columns.classes) and not one:
        raise ValueError(
            f"{columns.in_words}, but the output {output!r} has {n_columns} columns. Give one "
            "name for each column, in their order."
        )
    if one and activation == "softmax":
        raise ValueError(
            f"activation='softmax' is not allowed: the output {output!r} has one column, whose "
            "softmax is always 1. Use 'sigmoid' for a logit, 'none' for a probability."
        )
    if not one and not columns.multilabel and activation == "sigmoid":
        raise ValueError(
            f"activation='sigmoid' is not allowed: the output {output!r} has a column for each of "
            f"{n_columns} classes, whose probabilities have to add up to 1. Use 'softmax', or "
            "give label_names instead of classes if they are independent."
        )


def probabilities_of(
    outputs: np.ndarray, columns: ONNXColumns, activation: str, output: str
) -> np.ndarray:
    """Return probabilities with a column for each sorted class, or for each label."""
    check_n_columns(outputs.shape[1], columns, activation, output)
    if columns.kind == "binary" and outputs.shape[1] == 1:
        if activation == "sigmoid":
            _warn_of_probabilities(outputs, activation, output)
            outputs = np.concatenate([expit(-outputs), expit(outputs)], axis=1)
        else:
            outputs = np.concatenate([1 - outputs, outputs], axis=1)
    elif activation != "none":
        _warn_of_probabilities(outputs, activation, output)
        outputs = softmax(outputs, axis=1) if activation == "softmax" else expit(outputs)
    outside = np.argwhere((outputs < -_OUTSIDE) | (outputs > 1 + _OUTSIDE))
    if len(outside):
        record, column = outside[0]
        raise ValueError(
            f"activation='none', but the output {output!r} is "
            f"{outputs[record, column]:g} for record {record}, which is not a probability. Use "
            "activation='sigmoid' or 'softmax' for logits."
        )
    outputs = outputs.clip(0, 1)
    if columns.multilabel:
        return outputs
    away = np.flatnonzero(np.abs(outputs.sum(axis=1) - 1) > _SUM)
    if len(away):
        raise ValueError(
            f"classes exclude each other, but the output {output!r} adds up to "
            f"{outputs[away[0]].sum():g} for record {away[0]}. Use activation='softmax' for "
            "logits, or give label_names instead of classes for independent labels."
        )
    return outputs[:, np.unique(columns.classes, return_index=True)[1]]


def _warn_of_probabilities(outputs: np.ndarray, activation: str, output: str) -> None:
    """Warn if outputs seem to be probabilities already: logits are not all in [0, 1].

    The operators of a file do not always show it, for example if networks are averaged.
    """
    if outputs.size >= _ENOUGH and outputs.min() >= 0 and outputs.max() <= 1:
        warnings.warn(
            f"activation={activation!r}, but all {outputs.size} values of the output {output!r} "
            "are in [0, 1], as those of probabilities. If they are, use activation='none'.",
            stacklevel=stacklevel_of_user(),
        )


def check_targets(y, columns: ONNXColumns) -> None:
    """Raise ValueError for targets other than the classes or labels of the network."""
    y, names = plain_target(y)
    y = np.asarray(y)
    if columns.multilabel:
        if y.ndim != 2 or y.shape[1] != len(columns.classes):
            raise ValueError(
                f"y has shape {y.shape}; expected (n_records, {len(columns.classes)}), a column "
                "of 0 and 1 for each label of the network."
            )
        if names and columns.label_names and list(names) != columns.label_names:
            raise ValueError(
                f"y has the columns {list(names)[:8]}, but the labels of the network are "
                f"{columns.label_names[:8]}. Choose and order the columns of y alike."
            )
        return
    unknown = sorted(set(np.ravel(y).tolist()) - set(np.unique(columns.classes).tolist()), key=str)
    if unknown:
        raise ValueError(
            f"y contains {unknown[:5]}, which are not among the classes of the network, "
            f"{list(columns.classes)[:8]}. Code y as classes, or correct classes."
        )


def _listed(name: str, values, *, least: int) -> list:
    values = np.asarray(values).tolist() if isinstance(values, np.ndarray) else list(values)
    if len(values) < least:
        raise ValueError(f"{name}={values} is not allowed; give at least {least}.")
    return values


def _some(values: Sequence) -> str:
    return f"{list(values)!r:.100}"
