"""Datasets in untrusted HDF5 files, which may be links or state more than the file contains."""

from typing import Any

import numpy as np

from ecgsk._formats.arrays import ArrayContent

# Deflate, shuffle, Fletcher-32, szip, nbit, scale-offset, LZF: part of HDF5 or h5py.
_FILTERS = frozenset((1, 2, 3, 4, 5, 6, 32000))
# Deflate reaches 1032.
_LARGEST_RATIO = 1100
_LARGEST_CHUNK = 256 << 20
_LISTED = 10
_LARGEST_TEXTS = 16 << 20


def find_dataset(file, name: str):
    """Return a dataset of the file itself, None without one; ValueError for links and groups."""
    import h5py

    link = file.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name!r} is a link to another place")
    data = file[name]
    if not isinstance(data, h5py.Dataset) or data.shape is None:
        raise ValueError(f"{name!r} is not a dataset with samples")
    if data.is_virtual or data.external:
        raise ValueError(f"the samples of {name!r} are in another file")
    return data


def check_dataset(data, content: ArrayContent) -> None:
    """Raise RecordError for a dataset that needs more memory than its content justifies."""
    properties = data.id.get_create_plist()
    filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
    if filters - _FILTERS:
        content.refuse(f"its compression {sorted(filters - _FILTERS)} is not part of HDF5")
    if data.chunks and np.prod(data.chunks, dtype=object) * data.dtype.itemsize > _LARGEST_CHUNK:
        content.refuse(f"its chunks of shape {data.chunks} are too large to be read one by one")
    n_bytes = int(np.prod(data.shape, dtype=object)) * data.dtype.itemsize
    stored = data.id.get_storage_size()
    if n_bytes > stored * (_LARGEST_RATIO if filters else 1):
        content.refuse(
            f"{data.name[1:]!r} of shape {data.shape} should have {n_bytes} bytes; it has {stored}"
        )


def stated_value(file, data, name: str) -> Any:
    """Return what a dataset of that name, or an attribute, states: a number or texts, or None.

    Raises ValueError for values of another type and for contradictions.
    """
    found = []
    dataset = find_dataset(file, name)
    if dataset is not None:
        if dataset.size * max(dataset.dtype.itemsize, 1) > _LARGEST_TEXTS:
            raise ValueError(
                f"{name!r} has shape {dataset.shape}; at most {_LARGEST_TEXTS >> 20} MB are read"
            )
        found.append(dataset[()])
    found += [place.attrs[name] for place in (data, file) if name in place.attrs]
    values = [_plain(name, value) for value in found]
    if any(value != values[0] for value in values[1:]):
        raise ValueError(f"it states two values of {name}: {values[0]} and {values[1]}")
    return values[0] if values else None


def _plain(name: str, value) -> float | list[str]:
    array = np.asarray(value)
    if name == "sampling_rate":
        if array.size != 1 or array.dtype.kind not in "fiu":
            raise ValueError(f"sampling_rate has shape {array.shape} and type {array.dtype}")
        return float(array.reshape(-1)[0])
    texts = [
        item.decode("utf-8", "replace") if isinstance(item, bytes) else item
        for item in array.reshape(-1).tolist()
    ]
    one = name == "unit"
    if not texts or not all(isinstance(text, str) for text in texts) or (one and len(texts) != 1):
        raise ValueError(f"{name!r} has shape {array.shape} and type {array.dtype}; expected texts")
    return texts


def describe(file) -> str:
    """Return the names of what is in a file, and the shapes."""
    names = list(file)[:_LISTED]
    kinds = {name: file.get(name, getclass=True, getlink=True).__name__ for name in names}
    texts = []
    for name, kind in kinds.items():
        shape = getattr(file[name], "shape", "a group") if kind == "HardLink" else "a link"
        texts.append(f"{name!r} {shape}")
    return ", ".join(texts) or "nothing"
