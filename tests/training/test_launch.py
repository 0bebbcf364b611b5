"""Which device each process of a distributed fit takes, and what launchers have to set."""

import threading
from types import SimpleNamespace

import pytest
import torch
from torch import distributed

from ecgsk import MTECGPretrainer
from ecgsk._training import distributed as ranks
from ecgsk._training import launch, rank_device, resolve_device
from ecgsk._training.rank_device import device_of_rank

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
SLURM = {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "5",
    "OMPI_COMM_WORLD_SIZE": "8",
    "OMPI_COMM_WORLD_LOCAL_RANK": "2",
}


@pytest.fixture
def machine(monkeypatch):
    """Return a function that makes a machine of GPUs, and a process on it."""
    for launcher in launch._LAUNCHERS:
        for name in launcher[1:]:
            monkeypatch.delenv(name, raising=False)
    for name in (*TORCHRUN, "LOCAL_RANK", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    cuda = torch.cuda
    monkeypatch.setattr(cuda, "_is_in_bad_fork", lambda: False)

    def make(gpus, variables=(), *, group=None, current=None, bound=None, backend="nccl"):
        monkeypatch.setattr(cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(cuda, "is_initialized", lambda: current is not None)
        monkeypatch.setattr(cuda, "current_device", lambda: current)
        for name, value in dict(variables).items():
            monkeypatch.setenv(name, value)
        world = SimpleNamespace(bound_device_id=bound)
        monkeypatch.setattr(distributed, "is_initialized", lambda: group is not None)
        monkeypatch.setattr(distributed, "get_rank", lambda: group)
        monkeypatch.setattr(distributed, "get_backend", lambda: backend)
        monkeypatch.setattr(distributed, "group", SimpleNamespace(WORLD=world))

    return make


@pytest.mark.parametrize("device", ["auto", "cuda", torch.device("cuda")])
@pytest.mark.parametrize(
    ("gpus", "state", "expected"),
    [
        (4, {"variables": {**TORCHRUN, "LOCAL_RANK": "3"}}, "cuda:3"),
        # Each task sees one GPU, and its number does not matter.
        (1, {"variables": {**TORCHRUN, "LOCAL_RANK": "3", "CUDA_VISIBLE_DEVICES": "2"}}, "cuda:0"),
        (1, {"group": 3, "variables": SLURM}, "cuda:0"),
        # Launchers that do not set LOCAL_RANK.
        (4, {"variables": {**TORCHRUN, "RANK": "5", **SLURM}}, "cuda:1"),
        (4, {"variables": {**TORCHRUN, "RANK": "5", **OPEN_MPI}}, "cuda:2"),
        (4, {"group": 5, "variables": OPEN_MPI}, "cuda:2"),
        (4, {"group": 5, "variables": {"MPI_LOCALRANKID": "3"}}, "cuda:3"),
        (4, {"group": 5, "variables": {**SLURM, **OPEN_MPI}}, "cuda:2"),
        (4, {"group": 5, "variables": {**OPEN_MPI, "LOCAL_RANK": "0"}}, "cuda:0"),
        (4, {"group": 0, "variables": {**TORCHRUN, "LOCAL_RANK": "3"}}, "cuda:3"),
        # Processes that one task of Slurm has started all have its variables.
        (4, {"group": 3, "variables": {**SLURM, "SLURM_PROCID": "0"}}, "cuda:3"),
        # The user's own process group.
        (4, {"group": 6}, "cuda:2"),
        (4, {"group": 6, "current": 3}, "cuda:3"),
        (4, {"group": 6, "current": 3, "variables": SLURM}, "cuda:3"),
        (4, {"group": 6, "bound": torch.device("cuda:1")}, "cuda:1"),
        (4, {"group": 6, "bound": torch.device("cuda:0"), "current": 3}, "cuda:0"),
        # An earlier fit has used CUDA, and nobody has chosen a GPU.
        (4, {"group": 6, "current": 0}, "cuda:2"),
        (4, {"group": 5, "current": 0, "variables": SLURM}, "cuda:1"),
        (4, {"variables": TORCHRUN}, "cuda:1"),
        (4, {"variables": {**TORCHRUN, "LOCAL_RANK": "-1"}}, "cuda:1"),
    ],
)
def test_each_process_takes_a_gpu_of_its_own(machine, device, gpus, state, expected):
    machine(gpus, **state)
    assert device_of_rank(device) == expected


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.parametrize(
    ("gpus", "state", "expected"),
    [
        (4, {"variables": {**TORCHRUN, "LOCAL_RANK": "3"}}, "cuda:3"),
        (4, {"variables": SLURM}, "cuda:1"),
        (4, {"variables": {**SLURM, "LOCAL_RANK": "3"}, "current": 2}, "cuda:2"),
        (4, {"variables": SLURM, "current": 0}, "cuda:1"),
        # A prediction may share a GPU, a distributed fit may not.
        (2, {"variables": {**TORCHRUN, "LOCAL_RANK": "3"}}, "cuda:1"),
        (1, {"variables": {**TORCHRUN, "LOCAL_RANK": "3"}}, "cuda:0"),
        (4, {"current": 2}, "cuda:2"),
        (4, {}, "cuda:0"),
        (4, {"variables": {"LOCAL_RANK": "-1"}}, "cuda:0"),
        (4, {"group": 6}, "cuda:2"),
        (4, {"group": 6, "bound": torch.device("cuda:1")}, "cuda:1"),
    ],
)
def test_processes_predict_on_their_own_gpus_too(machine, device, gpus, state, expected):
    machine(gpus, **state)
    assert resolve_device(device) == expected


@pytest.mark.parametrize("device", ["auto", "cpu", torch.device("cpu")])
def test_without_a_gpu_processes_use_the_cpu(machine, device):
    machine(0, TORCHRUN)
    assert device_of_rank(device) == "cpu"
    machine(4, {**TORCHRUN, "LOCAL_RANK": "9"})
    assert device == "auto" or device_of_rank(device) == "cpu"


@pytest.mark.parametrize(
    ("state", "name"),
    [
        ({"variables": {"LOCAL_RANK": "4"}}, "LOCAL_RANK=4"),
        ({"group": 5, "variables": {**SLURM, "SLURM_LOCALID": "5"}}, "SLURM_LOCALID=5"),
    ],
)
def test_more_processes_than_gpus_are_an_error(machine, state, name):
    machine(2, **state)
    with pytest.raises(ValueError, match="sees 2 GPUs, cuda:0 to cuda:1") as caught:
        device_of_rank("auto")
    message = str(caught.value)
    assert message.startswith(name) and "CUDA_VISIBLE_DEVICES=None" in message
    assert "--nproc-per-node 2" in message and "device='auto'" not in message


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("cuda:1", "All processes would share it"),
        (torch.device("cuda:0"), "All processes would share it"),
        ("mps", "A Mac has one GPU"),
        ("xpu", "Only GPUs of cuda"),
        ("xpu:1", "Only GPUs of cuda"),
        ("gpu", "Only GPUs of cuda"),
    ],
)
def test_a_device_that_processes_would_share_is_refused(machine, device, reason):
    machine(2, TORCHRUN)
    with pytest.raises(ValueError, match=f"is not allowed with distributed=True. {reason}"):
        device_of_rank(device)


def test_what_is_not_there_is_refused(machine):
    machine(0, TORCHRUN)
    with pytest.raises(ValueError, match="'cuda.*is not available"):
        device_of_rank("cuda")
    machine(2, {"LOCAL_RANK": "0"}, group=0)
    with pytest.raises(ValueError, match="nccl, which does not compute on the CPU"):
        device_of_rank("cpu")
    machine(2, {"LOCAL_RANK": "0"}, group=0, backend="gloo")
    assert device_of_rank("cpu") == "cpu"


@pytest.mark.parametrize(
    ("variables", "parts"),
    [
        ({}, ["torchrun --nproc-per-node 2 script.py", "Use distributed=False elsewhere."]),
        (SLURM, ["Slurm started this process", "RANK to SLURM_PROCID", "WORLD_SIZE to SLURM_NT"]),
        (
            {**OPEN_MPI, "RANK": "5", "WORLD_SIZE": "8"},
            ["mpirun (Open MPI) started this", "MASTER_ADDR, MASTER_PORT are not set", "free port"],
        ),
        (
            {**TORCHRUN, "RANK": None},
            ["The environment variable(s) RANK are not set", "RANK to the number of this process"],
        ),
    ],
)
def test_the_error_names_what_the_launcher_did_not_set(machine, variables, parts):
    machine(0, {name: value for name, value in variables.items() if value is not None})
    pretrainer = MTECGPretrainer("nano", sampling_rate=100, distributed=True)
    with pytest.raises(ValueError, match="torchrun --nproc-per-node") as caught:
        pretrainer.fit(torch.zeros(8, 1, 200).numpy())
    for part in parts:
        assert part in str(caught.value)
    if variables.get("RANK"):
        assert "set RANK" not in str(caught.value)


def gpus_of(names, monkeypatch):
    """Let each of some processes, here threads, compare its GPU with the others'."""
    local, errors = threading.local(), [None] * len(names)
    monkeypatch.setattr(rank_device, "device_name", lambda index: f"cuda-{local.name}")
    monkeypatch.setattr(rank_device.socket, "gethostname", lambda: local.host)
    store = distributed.HashStore()

    def compare(rank):
        local.host, local.name = names[rank]
        try:
            rank_device.refuse_shared_gpu(store, rank, len(names), "cuda:0")
        except ValueError as error:
            errors[rank] = str(error)

    threads = [threading.Thread(target=compare, args=(rank,)) for rank in range(len(names))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_two_processes_on_one_gpu_are_refused_by_all(monkeypatch):
    errors = gpus_of([("a", 0), ("b", 0), ("a", 1), ("b", 0)], monkeypatch)
    assert len(set(errors)) == 1
    assert errors[0].startswith(
        "Processes 1 and 3 of this distributed fit use the same GPU (b cuda"
    )
    assert "LOCAL_RANK" in errors[0] and "CUDA_VISIBLE_DEVICES" in errors[0]
    assert gpus_of([("a", 0), ("b", 0), ("a", 1), ("b", 1)], monkeypatch) == [None] * 4


@pytest.fixture
def group_of_two_on_one_gpu(machine, monkeypatch):
    """Return the store in which another process has named the GPU of this one."""
    machine(1, {**TORCHRUN, "RANK": "0", "WORLD_SIZE": "2"})
    monkeypatch.setattr(rank_device.socket, "gethostname", lambda: "host")
    monkeypatch.setattr(rank_device, "device_name", lambda index: "cuda-U")
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.no_grad())
    store = distributed.HashStore()
    monkeypatch.setattr(ranks, "_NUMBER", iter([7]))
    distributed.PrefixStore("ecgsk/7", store).set("gpu/1", "host cuda-U")
    return store


def test_a_shared_gpu_is_found_before_nccl_starts(group_of_two_on_one_gpu, monkeypatch):
    met = [(group_of_two_on_one_gpu, 0, 2)]
    monkeypatch.setattr(distributed, "rendezvous", lambda *args, **options: iter(met))
    monkeypatch.setattr(distributed, "init_process_group", lambda *args, **options: 1 / 0)
    with pytest.raises(ValueError, match="Processes 0 and 1 of this distributed fit use the same"):
        with ranks.together("auto"):
            pass


def test_a_shared_gpu_is_found_in_a_group_of_the_users(
    group_of_two_on_one_gpu, machine, monkeypatch
):
    machine(1, group=0)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(
        distributed.distributed_c10d, "_get_default_store", lambda: group_of_two_on_one_gpu
    )
    with pytest.raises(ValueError, match="Processes 0 and 1 of this distributed fit use the same"):
        with ranks.together("auto"):
            pass
