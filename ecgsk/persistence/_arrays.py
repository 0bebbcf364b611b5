"""Checks of the arrays in a model file, before NumPy or scikit-learn read them."""

import io

import numpy as np

from ecgsk._core.file_formats import read_npy_header

_PLAIN_KINDS = "biufcSUmMV"


def check_array(beginning: bytes, size: int) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and dtype of an array in NumPy's format, if the size of its file fits them.

    ``beginning`` needs `NPY_START` bytes. ValueError if its header is not valid, or does not fit.
    """
    try:
        header = read_npy_header(io.BytesIO(beginning))
    except ValueError as error:
        raise ValueError(f"the header of an array is not valid: {error}") from error
    shape, _, dtype, _ = header
    if dtype.hasobject or dtype.itemsize == 0 or dtype.kind not in _PLAIN_KINDS:
        raise ValueError(f"an array has the dtype {dtype}, which is not allowed")
    if header.file_size != size:
        raise ValueError(f"an array of shape {shape} and {dtype} does not have {size} bytes")
    return shape, dtype


def check_random_state(key: np.ndarray, position: int) -> None:
    """Raise an error for a RandomState that would read memory beyond its key."""
    if key.shape != (624,) or key.dtype.kind not in "iu" or type(position) is not int:
        raise ValueError("the state of a RandomState has a wrong size")
    if not 0 <= position <= 624:
        raise ValueError(f"the position of a RandomState is {position}, but must be from 0 to 624")


def features_of_tree(nodes: np.ndarray) -> int:
    """Check the nodes of a boosted tree, and return the number of features that they use.

    Compiled code of scikit-learn uses the indices of features and child nodes without a check: a
    malicious file could make it read other memory. ValueError for a negative feature, and for a
    child that is not one of the nodes after its parent.
    """
    fields = {"left", "right", "feature_idx", "is_leaf", "is_categorical"}
    if nodes.ndim != 1 or not len(nodes) or not fields <= set(nodes.dtype.names or ()):
        raise ValueError("the nodes of a boosted tree are not valid")
    inner = nodes["is_leaf"] == 0
    if nodes["is_categorical"][inner].any():
        raise ValueError("a boosted tree has categorical splits, which cannot be stored")
    indices = np.arange(len(nodes))[inner]
    for name in ("left", "right"):
        children = nodes[name][inner].astype(np.int64)
        if ((children <= indices) | (children >= len(nodes))).any():
            raise ValueError("a boosted tree refers to nodes that it does not have")
    features = nodes["feature_idx"][inner]
    if len(features) and features.min() < 0:
        raise ValueError("a boosted tree uses a feature below 0")
    return int(features.max()) + 1 if len(features) else 0
