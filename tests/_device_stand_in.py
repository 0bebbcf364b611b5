"""A device in the place of a GPU, for machines without one.

torch's ``meta`` device computes shapes and no values. Estimators run on it as on a GPU: tensors of
two devices do not mix, and what goes from one to the other is counted.
"""

import sys
from collections import Counter
from contextlib import ExitStack
from importlib import import_module
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from ecgsk._training import device as device_module
from tests._devices import machine

DEVICE = "meta"


class DeviceFault(AssertionError):
    """What a GPU would refuse, or compute without need."""


class DeviceStandIn:
    """Make ``device="auto"`` and the kind that is played mean the stand-in, inside the block.

    Numbers that are read from the device are 0.5, integers 0. Each read is counted in ``syncs``,
    because the program waits for the device; operations and copies to it are counted by their
    names, and by their types and shapes. What the device would refuse raises a `DeviceFault`, again
    at the end of the block in case that somebody caught it. So does float64, which mps lacks and
    which costs cuda time: only ``float64=True`` allows it.
    """

    def __init__(self, kind: str = "cuda", *, float64: bool = False):
        self.kind = kind
        self.float64 = float64 and kind != "mps"
        self.operations: Counter = Counter()
        self.copies: Counter = Counter()
        self.syncs: Counter = Counter()
        self.faults: list[str] = []

    def __enter__(self) -> "DeviceStandIn":
        with ExitStack() as stack:
            stack.enter_context(machine(**{self.kind: 1}))
            for owner, name, replacement in self._replacements():
                stack.enter_context(mock.patch.object(owner, name, replacement))
            stack.enter_context(_Copies())
            stack.enter_context(_Watch(self))
            self._exit = stack.pop_all()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._exit.__exit__(kind, error, traceback)
        if error is None and self.faults:
            raise DeviceFault("; ".join(self.faults))

    def _replacements(self):
        optimizers = import_module("torch.optim.optimizer")
        autocast, save = torch.autocast, torch.save

        def autocast_for_all(device_type, dtype=None, enabled=True, **kwargs):
            if device_type != DEVICE:
                return autocast(device_type, dtype=dtype, enabled=enabled, **kwargs)
            return _Autocast(dtype) if enabled else torch.autocast("cpu", enabled=False)

        def save_values(state, *args, **kwargs):
            save(tree_map(_values, state), *args, **kwargs)

        def with_stand_in(devices):
            return lambda: [*devices(), DEVICE] if self.kind in devices() else devices()

        for name in ("foreach", "fused"):
            name = f"_get_{name}_kernels_supported_devices"
            yield optimizers, name, with_stand_in(getattr(optimizers, name))
        yield torch, "autocast", autocast_for_all
        yield torch, "save", save_values
        yield from _wherever_imported("available_devices", lambda: [DEVICE, "cpu"])
        kinds = device_module.device_type
        yield from _wherever_imported(
            "device_type", lambda device: self.kind if device == DEVICE else kinds(device)
        )

    def fault(self, message: str) -> None:
        """Keep the fault, and raise it."""
        self.faults.append(message)
        raise DeviceFault(message)

    def cost(self) -> Counter:
        """Return how many operations, copies and syncs there were."""
        parts = {"operations": self.operations, "copies": self.copies, "syncs": self.syncs}
        return Counter({name: sum(part.values()) for name, part in parts.items()})


def _wherever_imported(name, replacement):
    original = getattr(device_module, name)
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("ecgsk.") and vars(module).get(name) is original:
            yield module, name, replacement


def _values(value):
    """Return what is read from the device: halves, as zeros would be divided by, and else 0."""
    if not (isinstance(value, torch.Tensor) and value.is_meta):
        return value
    return torch.full(value.shape, 0.5 if value.is_floating_point() else 0, dtype=value.dtype)


# These work on a tensor's description, or set memory aside, and start nothing on a device.
_FREE = {"_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
# Operations whose results are values that the program waits for.
_ANSWERS = {"equal": False, "allclose": False}
# Indices may be on the CPU: torch copies them.
_TAKE_INDICES = {"index", "index_put", "index_put_", "_index_put_impl_"}
# Operations whose floating numbers have to be of one type, which the meta device does not check.
_OF_ONE_TYPE = {
    "mm", "bmm", "mv", "dot", "addmm", "addmv", "baddbmm", "convolution", "native_layer_norm",
    "native_group_norm", "lerp", "lerp_", "_foreach_lerp", "_foreach_lerp_",
    "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_fused_attention_overrideable",
}  # fmt: skip


class _Watch(TorchDispatchMode):
    """See each operation that torch is about to compute, also those of backward passes."""

    def __init__(self, stand_in: DeviceStandIn):
        super().__init__()
        self.stand_in = stand_in

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = operation._schema.name.removeprefix("aten::")
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        inference = torch.is_inference_mode_enabled() or any(t.is_inference() for t in tensors)
        if inference and operation.namespace == "aten":
            # There torch passes operations that consist of others, which are to be seen.
            with self:
                result = operation.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        here = [tensor for tensor in tensors if tensor.is_meta]
        elsewhere = [tensor for tensor in tensors if not tensor.is_meta]
        if here:
            read = self._read(name, args, kwargs)
            if read is not None:
                return read
        if name not in ("copy_", "_to_copy"):
            self._compare_devices(name, here, elsewhere)
        if name in _OF_ONE_TYPE and len({t.dtype for t in here if t.is_floating_point()}) > 1:
            self.stand_in.fault(
                f"{name} mixes types: {', '.join(str(tensor.dtype) for tensor in here)}"
            )
        result = operation(*args, **kwargs)
        made = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor) and t.is_meta]
        if made or here:
            self._count(name, operation, elsewhere, made, kwargs.get("generator"))
        return result

    def _read(self, name, args, kwargs):
        """Return what the program reads from the device; None for other operations."""
        device = kwargs.get("device")
        leaves = name == "_to_copy" and device is not None and torch.device(device).type != DEVICE
        if name == "_local_scalar_dense":
            read = _values(args[0]).item()
        elif name in _ANSWERS:
            read = _ANSWERS[name]
        elif leaves:
            read = _values(args[0]).to(kwargs.get("dtype") or args[0].dtype)
        elif name == "copy_" and not args[0].is_meta:
            read = args[0].copy_(_values(args[1]))
        else:
            return None
        self.stand_in.syncs[name] += 1
        return read

    def _compare_devices(self, name, here, elsewhere) -> None:
        # As torch does, take numbers that are tensors without dimensions from the CPU.
        elsewhere = [tensor for tensor in elsewhere if tensor.ndim]
        if here and elsewhere and not (name in _TAKE_INDICES and here[0].is_floating_point()):
            shapes = [tuple(tensor.shape) for tensor in here], [tuple(t.shape) for t in elsewhere]
            self.stand_in.fault(f"{name} mixes devices: {shapes[0]} here, {shapes[1]} on the CPU")

    def _count(self, name, operation, elsewhere, made, generator) -> None:
        stand_in = self.stand_in
        if made and isinstance(generator, torch.Generator):
            stand_in.fault(f"{name} draws with a generator of the CPU")
        if not stand_in.float64 and any(tensor.dtype == torch.float64 for tensor in made):
            stand_in.fault(f"{name} makes float64 on {stand_in.kind}")
        source = [tensor for tensor in elsewhere if tensor.ndim or name in ("copy_", "_to_copy")]
        if source:
            for tensor in source:
                stand_in.copies[str(tensor.dtype), tuple(tensor.shape)] += 1
        elif not operation.is_view and name not in _FREE:
            stand_in.operations[name] += 1


class _Copies(TorchFunctionMode):
    """Copy numbers to the device, which torch fills without an operation that could be seen."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function not in (torch.tensor, torch.as_tensor) or isinstance(args[0], torch.Tensor):
            return function(*args, **kwargs)
        device = kwargs.pop("device", None)
        made = function(*args, device="cpu", **kwargs)
        return made if device is None else made.to(device)


class _Autocast(TorchFunctionMode):
    """What autocast does to the types of the operations that ecgsk's networks use."""

    lower = frozenset({
        "linear", "conv1d", "conv2d", "matmul", "__matmul__", "mm", "bmm", "addmm", "baddbmm",
        "einsum", "scaled_dot_product_attention", "multi_head_attention_forward",
    })  # fmt: skip
    # From torch's list of operations that cuda computes in float32.
    full = frozenset({
        "__pow__", "__rpow__", "pow", "exp", "expm1", "log", "log1p", "log2", "log10", "rsqrt",
        "reciprocal", "softmax", "log_softmax", "softplus", "layer_norm", "group_norm", "norm",
        "sum", "cumsum", "prod", "cumprod", "mse_loss", "kl_div", "nll_loss", "smooth_l1_loss",
        "cosine_similarity", "binary_cross_entropy_with_logits",
    })  # fmt: skip

    def __init__(self, dtype: torch.dtype):
        super().__init__()
        self.dtype = dtype

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        wanted = self.dtype if name in self.lower else torch.float32 if name in self.full else None

        def cast(value):
            eligible = (
                isinstance(value, torch.Tensor)
                and value.is_meta
                and value.is_floating_point()
                and value.dtype != torch.float64
            )
            return value.to(wanted) if eligible else value

        if wanted is not None:
            args, kwargs = tree_map(cast, (args, kwargs or {}))
        return function(*args, **(kwargs or {}))
