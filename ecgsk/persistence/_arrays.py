"""Arrays of a model's file, looked at before NumPy or scikit-learn believe what they say."""

import io

import numpy as np

from ecgsk._core.file_formats import read_npy_header

_PLAIN_KINDS = "biufcSUmMV"


def check_array(beginning: bytes, size: int) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and dtype of an array in NumPy's format, if the size of its file fits them.

    Parameters
    ----------
    beginning : bytes
        Start of the file: `NPY_START` bytes are enough.
    size : int
        Size of the whole file in bytes.

    Raises
    ------
    ValueError
        When the array's header is wrong, or does not fit the size.
    """
    try:
        header = read_npy_header(io.BytesIO(beginning))
    except ValueError as error:
        raise ValueError(f"an array has no valid header: {error}") from error
    shape, _, dtype, _ = header
    if dtype.hasobject or dtype.itemsize == 0 or dtype.kind not in _PLAIN_KINDS:
        raise ValueError(f"an array has the dtype {dtype}")
    if header.file_size != size:
        raise ValueError(f"an array of shape {shape} and {dtype} does not have {size} bytes")
    return shape, dtype


def check_random_state(key: np.ndarray, position: int) -> None:
    """Raise for a state of the Mersenne Twister that would read beyond its key."""
    if key.shape != (624,) or key.dtype.kind not in "iu" or type(position) is not int:
        raise ValueError("a RandomState has a state of another size")
    if not 0 <= position <= 624:
        raise ValueError(f"a RandomState is at position {position} of 624")


def features_of_tree(nodes: np.ndarray) -> int:
    """Return how many features the nodes of a boosted tree need, if they are a tree.

    Compiled code of scikit-learn follows the numbers of features and children without a check, so
    that a file could make it read memory that is not the tree's.

    Parameters
    ----------
    nodes : ndarray
        ``TreePredictor.nodes``.

    Raises
    ------
    ValueError
        When a node points elsewhere than to nodes behind it.
    """
    needed = {"left", "right", "feature_idx", "is_leaf", "is_categorical"}
    if nodes.ndim != 1 or not len(nodes) or not needed <= set(nodes.dtype.names or ()):
        raise ValueError("the nodes of a boosted tree are no nodes")
    inner = nodes["is_leaf"] == 0
    if nodes["is_categorical"][inner].any():
        raise ValueError("a boosted tree splits categories, which a file cannot keep")
    numbers = np.arange(len(nodes))[inner]
    for name in ("left", "right"):
        children = nodes[name][inner].astype(np.int64)
        if ((children <= numbers) | (children >= len(nodes))).any():
            raise ValueError("a boosted tree points to nodes that it does not have")
    features = nodes["feature_idx"][inner]
    if len(features) and features.min() < 0:
        raise ValueError("a boosted tree asks for a feature below 0")
    return int(features.max()) + 1 if len(features) else 0
