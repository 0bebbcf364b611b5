"""Batches that are read while a device computes."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import sklearn
import torch

from ecgsk._training.device import current_device
from ecgsk._training.memory import is_out_of_memory

# The kind of device that copies from page-locked memory while it computes.
_COPIES_ALONE = "cuda"


def read_ahead(batches: Iterable, device: str) -> Iterator:
    """Yield batches; where a device computes, the next one is read in a thread meanwhile.

    On the CPU nothing is read ahead: computing needs all of its cores. Tensors in tuples and lists
    are in page-locked memory, from which they reach a GPU without a stop.
    """
    kind = torch.device(device).type
    iterator = iter(batches)
    if kind == "cpu":
        yield from iterator
        return
    # What contexts and scikit-learn's configuration hold belongs to a thread.
    context, config = copy_context(), sklearn.get_config()
    end = object()

    def read() -> Any:
        with sklearn.config_context(**config), current_device(device):
            batch = next(iterator, end)
            return _page_locked(batch) if kind == _COPIES_ALONE else batch

    with ThreadPoolExecutor(1, thread_name_prefix="ecgsk-reader") as reader:
        coming = reader.submit(context.run, read)
        while (batch := coming.result()) is not end:
            coming = reader.submit(context.run, read)
            yield batch


def to_device(tensor: torch.Tensor, device: str, dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor on a device, where floating numbers have the type of the network's.

    They are converted before they move: MPS has no float64.
    """
    if tensor.is_floating_point():
        tensor = tensor.to(dtype)
    return tensor.to(device, non_blocking=torch.device(device).type == _COPIES_ALONE)


def _page_locked(batch):
    if isinstance(batch, torch.Tensor):
        try:
            return batch.pin_memory()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return batch  # systems limit page-locked memory; without it the copy is slower
    if isinstance(batch, (tuple, list)):
        return type(batch)(_page_locked(part) for part in batch)
    return batch
