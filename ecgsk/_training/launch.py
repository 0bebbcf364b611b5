"""Which of the processes that a launcher has started this one is."""

import os
from typing import NamedTuple

from torch import distributed

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


def number_on_machine(n_devices: int) -> tuple[str, int] | None:
    """Return the number of this process on its machine, and where it is from.

    A process group of the user's that names a device has the number of that. Without any of them
    it is the rank, as if all machines had as many processes as devices; None without a rank.
    """
    number = _number("LOCAL_RANK")
    if number is not None:
        return "LOCAL_RANK", number
    rank = _number("RANK")
    if distributed.is_available() and distributed.is_initialized():
        rank = distributed.get_rank()
        bound = getattr(distributed.group.WORLD, "bound_device_id", None)
        if bound is not None and bound.index is not None:
            return "device_id", bound.index
    for launcher in _LAUNCHERS:
        number, found = _number(launcher.local_rank), _number(launcher.rank)
        # Processes that the user has started from one of Slurm's all have its number.
        if number is not None and (rank is None or found is None or found == rank):
            return launcher.local_rank, number
    return None if rank is None else ("RANK", rank % n_devices)


def _number(variable: str) -> int | None:
    value = os.environ.get(variable, "")
    return int(value) if value.isdecimal() else None
