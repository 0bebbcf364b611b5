"""Several processes that fit one network, each with its share of every batch."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ecgsk._training.checkpoint import Checkpoint
from ecgsk._training.dataset import ECGDataset, read_batch
from ecgsk._training.device import resolve_device
from ecgsk._training.skorch_net import MaskedNet

# How long a process waits for another. One that ends is noticed at once.
_TIMEOUT = timedelta(minutes=30)
_SET_BY_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
# One after another, groups of the same processes meet in the same store: under other names.
_NUMBER = itertools.count()
# Parts of the messages of torch's backends, which have no class of their own, when another
# process is gone.
_LOST = ("gloo", "Connection closed by peer", "Connection reset by peer")


@contextmanager
def together(device: "str | torch.device") -> Iterator["Ranks"]:
    """Join the processes that torchrun started, for the block; each gets the GPU of its number.

    A process group that is there already is used, and left. ValueError outside torchrun and for a
    device that all would share, RuntimeError when another process has ended or no longer answers.
    """
    if not distributed.is_initialized() and any(k not in os.environ for k in _SET_BY_TORCHRUN):
        raise ValueError(
            "distributed=True is for a script that torchrun starts: `torchrun --nproc-per-node 2 "
            "script.py` with the number of GPUs of the machine. Use distributed=False elsewhere."
        )
    device = _device_of_rank(device)
    with ExitStack() as stack:
        if device.startswith("cuda"):
            stack.enter_context(torch.cuda.device(device))  # nccl sends objects through it
        try:
            if not distributed.is_initialized():
                _start_group("nccl" if device.startswith("cuda") else "gloo")
                stack.callback(distributed.destroy_process_group)
            yield Ranks(device)
        except RuntimeError as error:
            lost = isinstance(error, distributed.DistError) or any(w in str(error) for w in _LOST)
            if not lost:
                raise
            raise RuntimeError(
                "Another process of this distributed fit has ended or no longer answers: its own "
                "message has the reason. Start the script again; with checkpoint_dir the fit goes "
                "on after its last epoch."
            ) from error


def _start_group(backend: str) -> None:
    store, rank, world_size = next(distributed.rendezvous("env://", timeout=_TIMEOUT))
    distributed.init_process_group(
        backend,
        store=distributed.PrefixStore(f"ecgsk/{next(_NUMBER)}", store),
        rank=rank,
        world_size=world_size,
        timeout=_TIMEOUT,
    )


def _device_of_rank(device) -> str:
    device = str(device)
    if device not in ("auto", "cuda", "cpu"):
        raise ValueError(
            f"device={device!r} is not allowed with distributed=True: use 'auto' or 'cuda', which "
            "use a GPU for each process, or 'cpu'."
        )
    if device == "cpu" or device == "auto" and not torch.cuda.is_available():
        return "cpu"
    return resolve_device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}")


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
