"""How the processes of a distributed fit were started, and which device each of them takes."""

import os
import socket
from typing import NamedTuple

import torch
from torch import distributed

from ecgsk._training.device import resolve_device
from ecgsk._training.device_lock import device_name, refuse_after_fork

_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Launcher(NamedTuple):
    """A program that starts processes, and the variables in which it numbers them."""

    name: str
    rank: str
    size: str
    local_rank: str


# mpirun inside a Slurm job passes Slurm's variables on, which then number something else: last.
_LAUNCHERS = (
    Launcher(
        "mpirun (Open MPI)",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
    ),
    Launcher(
        "mpirun (MVAPICH)",
        "MV2_COMM_WORLD_RANK",
        "MV2_COMM_WORLD_SIZE",
        "MV2_COMM_WORLD_LOCAL_RANK",
    ),
    Launcher("mpirun (Intel MPI or MPICH)", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    Launcher("mpiexec (PALS)", "PALS_RANKID", "PALS_SIZE", "PALS_LOCAL_RANKID"),
    Launcher("Slurm", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
)


def check_launch() -> None:
    """Raise ValueError unless the variables are set by which processes find each other."""
    missing = [name for name in _NEEDED if name not in os.environ]
    if not missing:
        return
    error = (
        "distributed=True is for a script that torchrun starts: `torchrun --nproc-per-node 2 "
        "script.py` with the number of GPUs of the machine."
    )
    launcher = next((known for known in _LAUNCHERS if known.rank in os.environ), None)
    if launcher is None and len(missing) == len(_NEEDED):
        raise ValueError(f"{error} Use distributed=False elsewhere.")
    started = "The" if launcher is None else f"{launcher.name} started this process, but the"
    remedy = {
        "RANK": f"to {launcher.rank}" if launcher else "to the number of this process, from 0",
        "WORLD_SIZE": f"to {launcher.size}" if launcher else "to the number of processes",
        "MASTER_ADDR": "to the name of the machine of process 0",
        "MASTER_PORT": "to a free port of that machine, such as 29500",
    }
    raise ValueError(
        f"{error} {started} environment variable(s) {', '.join(missing)} are not set. Start the "
        "script by torchrun, or set "
        + ", ".join(f"{name} {remedy[name]}" for name in missing)
        + " before the fit."
    )


def device_of_rank(device: "str | torch.device") -> str:
    """Return the device of this process: a GPU of its own, or the CPU.

    Its number is that of the process on the machine: LOCAL_RANK, or what another launcher calls
    so. Without either it is the GPU that the user has chosen for torch, or the rank's. ValueError
    for a device that cannot be one for each process.
    """
    device = str(device)
    if device not in ("auto", "cuda", "cpu"):
        reason = {
            "cuda": "All processes would share it.",
            "mps": "A Mac has one GPU, which all processes would share.",
        }.get(device.partition(":")[0], "Only GPUs of cuda train one network together.")
        raise ValueError(
            f"device={device!r} is not allowed with distributed=True. {reason} Use 'auto' or "
            "'cuda', which take another GPU for each process, or 'cpu'."
        )
    if device != "cpu":
        refuse_after_fork(device)
    if device == "cpu" or device == "auto" and not torch.cuda.is_available():
        _refuse_group_without_cpu()
        return "cpu"
    if not torch.cuda.is_available():
        return resolve_device(device)  # its error names what is there
    count = torch.cuda.device_count()
    if count == 1:
        return "cuda:0"
    variable, number = _number_on_machine()
    if number >= count:
        raise ValueError(
            f"{variable}={number}, but this process sees {count} GPUs, cuda:0 to cuda:{count - 1} "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')!r}). Start at most "
            f"{count} processes on the machine (torchrun --nproc-per-node {count}), or show each "
            "process one GPU of its own in CUDA_VISIBLE_DEVICES."
        )
    return f"cuda:{number}"


def _number_on_machine() -> tuple[str, int]:
    """Return the number of a process on its machine, or of the GPU it uses, and where it is from.

    Only for a machine of several GPUs.
    """
    if "LOCAL_RANK" in os.environ:
        return "LOCAL_RANK", _number("LOCAL_RANK")
    rank = distributed.get_rank() if distributed.is_initialized() else _number("RANK")
    if distributed.is_initialized():
        bound = getattr(distributed.group.WORLD, "bound_device_id", None)
        if bound is not None and bound.type == "cuda":
            return "device_id", bound.index
    # GPU 0 is where everything is that nobody has chosen.
    if torch.cuda.is_initialized() and torch.cuda.current_device() > 0:
        return "torch.cuda.current_device()", torch.cuda.current_device()
    for launcher in _LAUNCHERS:
        # Processes that the user has forked from one of Slurm's all have its number.
        others = launcher.rank in os.environ and _number(launcher.rank) != rank
        if launcher.local_rank in os.environ and not others:
            return launcher.local_rank, _number(launcher.local_rank)
    return "RANK", rank % torch.cuda.device_count()


def _number(variable: str) -> int:
    value = os.environ[variable]
    if not value.isdecimal():
        raise ValueError(
            f"The environment variable {variable}={value!r} is not allowed: it is the number of "
            "a process, 0 or more."
        )
    return int(value)


def _refuse_group_without_cpu() -> None:
    if distributed.is_initialized() and distributed.get_backend() == "nccl":
        raise ValueError(
            "The process group has the backend nccl, which does not compute on the CPU. Use "
            "device='cuda', or start the group with 'gloo'."
        )


def refuse_shared_gpu(store: "distributed.Store", rank: int, count: int, device: str) -> None:
    """Raise ValueError in all processes if two of them have one GPU, which nccl cannot use.

    ``store`` belongs to this fit: each process writes its GPU there, and waits for all others.
    """
    index = torch.device(device).index
    gpus = [f"{socket.gethostname()} {device_name(index)}"]
    store.set(f"gpu/{rank}", gpus[0])
    gpus = [store.get(f"gpu/{number}").decode() for number in range(count)]
    for second, gpu in enumerate(gpus):
        first = gpus.index(gpu)
        if first != second:
            raise ValueError(shared_gpu(first, second, gpu))


def shared_gpu(first: int, second: int, gpu: str) -> str:
    """Return the error of two processes that use one GPU."""
    return (
        f"Processes {first} and {second} of this distributed fit use the same GPU ({gpu}). Start "
        "as many processes on a machine as it has GPUs, with torchrun, or set LOCAL_RANK to the "
        "number of a process on its machine, or show each process one GPU of its own in "
        "CUDA_VISIBLE_DEVICES."
    )
