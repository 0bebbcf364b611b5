"""Arrays of other libraries, on any device, as arrays of NumPy."""

from typing import Any

import numpy as np

# Types of torch, JAX and ml_dtypes that NumPy lacks.
_NOT_OF_NUMPY = ("bfloat16", "float8", "float4")


def on_host(values, name: str = "X") -> Any:
    """Return an array that NumPy cannot read, or a list of them, as NumPy's; others as they are.

    These are tensors of torch that are on a GPU, have gradients or are bfloat16; arrays of CuPy and
    other libraries with ``__cuda_array_interface__``; and arrays with nothing but ``__dlpack__``.
    TypeError, with ``name``, for tensors on torch's device "meta", which have no values.
    """
    if isinstance(values, (list, tuple)):
        if any(map(_is_of_device, {type(value) for value in values})):
            # Numbers of no dimension become scalars: a list of these is a list of numbers.
            arrays = (on_host(value, name) for value in values)
            return [a[()] if isinstance(a, np.ndarray) and not a.ndim else a for a in arrays]
        return values
    kind = type(values)
    if _is_tensor(kind):
        if str(values.device).partition(":")[0] == "meta":
            raise TypeError(
                f"{name} is a tensor on the device 'meta', which has a shape and no values. Pass "
                "an array, or a tensor on another device."
            )
        values = values.detach().cpu()
        values = np.asarray(values.float() if _is_unknown(values) else values)
    elif hasattr(kind, "__cuda_array_interface__"):
        copies = ("to_pandas", "get", "copy_to_host")  # of cuDF, CuPy and Numba
        copy = next((method for method in copies if hasattr(kind, method)), None)
        values = values if copy is None else getattr(values, copy)()
    elif hasattr(kind, "__dlpack__") and not hasattr(kind, "__array__"):
        try:
            values = np.from_dlpack(values, device="cpu")
        except TypeError:  # NumPy 2.0 and before, and libraries that cannot copy
            values = np.from_dlpack(values)
    if _is_unknown(values):
        values = np.asarray(values).astype(np.float32)
    return values


def _is_of_device(kind: type) -> bool:
    return not issubclass(kind, np.ndarray) and (hasattr(kind, "__dlpack__") or _is_tensor(kind))


def _is_tensor(kind: type) -> bool:
    return hasattr(kind, "detach") and hasattr(kind, "cpu")


def _is_unknown(values) -> bool:
    """Return whether an array is of a type that NumPy lacks."""
    dtype = str(getattr(values, "dtype", ""))
    return dtype.removeprefix("torch.").startswith(_NOT_OF_NUMPY)
