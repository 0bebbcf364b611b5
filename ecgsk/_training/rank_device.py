"""Which device each process of a distributed fit takes."""

import os
import socket

import torch
from torch import distributed

from ecgsk._training.device import refuse_after_fork, resolve_device
from ecgsk._training.device_lock import device_name
from ecgsk._training.launch import number_on_machine


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
    variable, number = _gpu_of_process(count)
    if number >= count:
        raise ValueError(
            f"{variable}={number}, but this process sees {count} GPUs, cuda:0 to cuda:{count - 1} "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')!r}). Start at most "
            f"{count} processes on the machine (torchrun --nproc-per-node {count}), or show each "
            "process one GPU of its own in CUDA_VISIBLE_DEVICES."
        )
    return f"cuda:{number}"


def _gpu_of_process(count: int) -> tuple[str, int]:
    """Return which of several GPUs a process takes, and where that number is from."""
    source, number = number_on_machine(count) or ("RANK", 0)
    # GPU 0 is where everything is that nobody has chosen.
    chosen = torch.cuda.current_device() if torch.cuda.is_initialized() else 0
    if chosen and source not in ("LOCAL_RANK", "device_id"):
        return "torch.cuda.current_device()", chosen
    return source, number


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
