"""Several processes that fit one network, each with its share of every batch."""

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ecgsk._training.checkpoint import Checkpoint
from ecgsk._training.dataset import ECGDataset, read_batch
from ecgsk._training.launch import check_launch
from ecgsk._training.memory import is_out_of_memory
from ecgsk._training.rank_device import device_of_rank, refuse_shared_gpu, shared_gpu
from ecgsk._training.skorch_net import MaskedNet

# How long a process waits for another. With gloo, one that ends is noticed at once.
_TIMEOUT = timedelta(minutes=30)
# One after another, groups of the same processes meet in the same store: under other names.
_NUMBER = itertools.count()
# Groups of nccl whose processes may wait for one another for ever.
_ABANDONED: list = []
# Most errors of gloo have no class of their own, but name its source files.
_BACKENDS = re.compile(r"gloo|nccl|connection (?:closed|reset) by peer", re.IGNORECASE)
# What backends and stores write when another process is gone.
_LOST = re.compile(
    r"gloo|connection (?:was |is )?(?:likely )?(?:closed|reset|refused)|broken pipe|got 0 bytes"
    r"|timed out|time-?out|ncclRemoteError|remote peer|remote process|communicator was aborted",
    re.IGNORECASE,
)
# nccl reports these, which are of this process, like the loss of another.
_LOCAL = re.compile(r"shared memory|no space left", re.IGNORECASE)
_DUPLICATE = re.compile(r"Duplicate GPU detected ?: rank (\d+) and rank (\d+) both on (.+)")


@contextmanager
def together(device: "str | torch.device") -> Iterator["Ranks"]:
    """Join the processes that torchrun started, for the block; each gets a GPU of its own.

    A process group that is there already is used, and left. ValueError where variables of the
    launcher are missing, and for a device that processes would share. RuntimeError when another
    process has ended or no longer answers, where the backend reports it to Python.
    """
    own = not distributed.is_initialized()
    if own:
        check_launch()
    elif any(group is distributed.group.WORLD for group in _ABANDONED):
        raise RuntimeError(
            "An earlier distributed fit failed in this process, and the other processes may still "
            "wait for it. Start the script again; with checkpoint_dir the fit goes on after its "
            "last epoch."
        )
    device = device_of_rank(device)
    with ExitStack() as stack:
        if device.startswith("cuda"):
            stack.enter_context(torch.cuda.device(device))  # nccl sends objects through it
        try:
            if own:
                _start_group(device)
                stack.push(_end_group)
            elif device.startswith("cuda"):
                store = _store(distributed.distributed_c10d._get_default_store())
                refuse_shared_gpu(
                    store, distributed.get_rank(), distributed.get_world_size(), device
                )
            yield Ranks(device)
        except RuntimeError as error:
            explained = _explained(error)
            if explained is None:
                raise
            raise explained from error


def _start_group(device: str) -> None:
    store, rank, world_size = next(distributed.rendezvous("env://", timeout=_TIMEOUT))
    store = _store(store)
    if device.startswith("cuda"):
        refuse_shared_gpu(store, rank, world_size, device)
    distributed.init_process_group(
        "nccl" if device.startswith("cuda") else "gloo",
        store=store,
        rank=rank,
        world_size=world_size,
        timeout=_TIMEOUT,
    )


def _store(store: "distributed.Store") -> "distributed.Store":
    """Return the part of a store that belongs to this fit."""
    return distributed.PrefixStore(f"ecgsk/{next(_NUMBER)}", store)


def _end_group(kind, error, traceback) -> None:
    if error is not None and distributed.get_backend() == "nccl":
        # Since torch 2.6 nccl ends only when all processes end it: one that failed would wait for
        # the others, which wait for its gradients, and its error would not be seen.
        _ABANDONED.append(distributed.group.WORLD)
    else:
        distributed.destroy_process_group()


def _explained(error: RuntimeError) -> Exception | None:
    """Return the error to raise for one of torch's backends; None leaves it as it is."""
    text = str(error)
    duplicate = _DUPLICATE.search(text)
    if duplicate is not None:
        first, second = sorted(map(int, duplicate.groups()[:2]))
        return ValueError(shared_gpu(first, second, duplicate[3]))
    of_backend = isinstance(error, distributed.DistError) or _BACKENDS.search(text)
    if not of_backend or is_out_of_memory(error) or _LOCAL.search(text) or not _LOST.search(text):
        return None
    return RuntimeError(
        "Another process of this distributed fit has ended or no longer answers: its own "
        "message has the reason. Start the script again; with checkpoint_dir the fit goes "
        "on after its last epoch."
    )


class Ranks:
    """The ``count`` processes that fit one network, and which ``number``, from 0, this one is."""

    def __init__(self, device: str):
        self.device = device
        self.number = distributed.get_rank()
        self.count = distributed.get_world_size()

    def share(self, n_records: int) -> slice:
        """Return which records of a batch are this process's; there may be none."""
        return slice(
            n_records * self.number // self.count, n_records * (self.number + 1) // self.count
        )

    def of_first(self, value):
        """Return the value that the first process has, to all of them."""
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]

    def check_same(self, identity: str) -> None:
        """Raise ValueError unless all processes have the same recordings."""
        others: list = [None] * self.count
        distributed.all_gather_object(others, identity)
        if len(set(others)) > 1:
            raise ValueError(
                "The processes of a distributed fit have different recordings or networks. "
                "Pass all recordings to each of them, in the same order: every process reads its "
                "share of a batch by itself."
            )

    def checkpoint(self, checkpoint: Checkpoint | None) -> "SharedCheckpoint | None":
        """Return a checkpoint that only the first process reads and writes."""
        return None if checkpoint is None else SharedCheckpoint(checkpoint, self)

    @contextmanager
    def train(self, net: MaskedNet) -> Iterator[None]:
        """Share out the batches of a net inside the block; it is as it was afterwards."""
        net.ranks = SharedBatches(net, self)
        try:
            yield
        finally:
            del net.ranks


class SharedBatches:
    """What a net uses while several processes train it.

    torch's `DistributedDataParallel` averages the gradients; the network itself stays as it is.
    """

    def __init__(self, net: MaskedNet, ranks: Ranks):
        self.net = net
        self.ranks = ranks
        devices = [torch.device(ranks.device)] if ranks.device.startswith("cuda") else None
        self.parallel = DistributedDataParallel(_Prediction(net), device_ids=devices)

    def fill(self, x: torch.Tensor, order: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return predictions and truth of this process's share of a batch.

        Recordings and order are those of the whole batch, of which only the share is read.
        """
        share = at_least_one(self.ranks.share(len(x)))
        if self.net.augmentation is None:
            x = self.net.augmented(x[share])
        else:
            # Random numbers are those of the whole batch, as one process would draw them.
            x = self.net.augmented(x)[share]
        module, order = self.net.module_, order[share].to(x.device)
        segments = module.segments(x)
        return self.parallel(segments, order), module.targets(segments, order)

    def part(self, n_records: int) -> float:
        """Return what the mean loss of the share is multiplied by, so that ranks' mean is right."""
        share = self.ranks.share(n_records)
        return (share.stop - share.start) * self.ranks.count / n_records

    def mean(self, loss: torch.Tensor) -> torch.Tensor:
        """Return the mean over processes."""
        loss = loss.detach().clone()
        distributed.all_reduce(loss)
        return loss / self.ranks.count


def at_least_one(share: slice) -> slice:
    """Return a share with a record in it: one that counts nothing stands in for none."""
    return share if share.stop > share.start else slice(0, 1)


class _Prediction(nn.Module):
    """What a net predicts, as the module whose parameters torch is to watch."""

    def __init__(self, net: MaskedNet):
        super().__init__()
        self.network = net.module_
        self.predict: Callable = net.predict_masked

    def forward(self, segments: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        return self.predict(segments, order)


class SharedDataset(ECGDataset):
    """Batches of which a process reads its share; the other records are zeros."""

    def __init__(self, ranks: Ranks, *args):
        super().__init__(*args)
        self.ranks = ranks

    def __getitems__(self, indices: list[int]):
        """Fetch a batch of full length."""
        rows = self.rows[indices]
        share = at_least_one(self.ranks.share(len(rows)))
        # NumPy's zeros take no memory until they are read, torch's do.
        records = torch.from_numpy(np.zeros((len(rows), *self.X.shape[1:]), np.float32))
        records[share] = read_batch(self.X, rows[share])
        return records, tuple(part[rows] for part in self.targets)


class SharedCheckpoint:
    """A checkpoint of the first process, from which all go on.

    Only the first process's machine has to have the file.
    """

    def __init__(self, checkpoint: Checkpoint, ranks: Ranks):
        self.checkpoint = checkpoint
        self.ranks = ranks

    def load(self) -> dict | None:
        """Return the state that the first process finds."""
        return self.ranks.of_first(self.checkpoint.load() if self.ranks.number == 0 else None)

    def save(self, state: dict, history: list) -> None:
        """Write the state, which is the same everywhere, once."""
        if self.ranks.number == 0:
            self.checkpoint.save(state, history)

    def remove(self) -> None:
        """Delete the file."""
        if self.ranks.number == 0:
            self.checkpoint.remove()
