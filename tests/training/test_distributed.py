"""Pre-training in the processes of torchrun; as a script, this file is what one of them runs."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

from ecgsk import ECGAugmentation, MTECGClassifier, MTECGPretrainer
from ecgsk._training import Checkpoint, together

RATE = 100
# 25 records in batches of 8: of the last batch, the first of two processes gets nothing.
X = np.random.default_rng(0).normal(0, 0.2, (25, 3, 200)).astype(np.float32)
EXACT = MTECGPretrainer(
    "nano",
    sampling_rate=RATE,
    max_epochs=2,
    batch_size=8,
    augmentation=ECGAugmentation(),
    precision="float64",
    device="cpu",
    random_state=0,
)
SINGLE = clone(EXACT).set_params(precision="float32", augmentation=None)


class DiesInTheSecondBatch:
    """An augmentation that ends the second process."""

    calls = 0

    def bind(self, sampling_rate):
        return self.augment

    def augment(self, x):
        self.calls += 1
        if self.calls == 2 and os.environ["RANK"] == "1":
            os._exit(1)
        return x


def one_process(folder: Path) -> None:
    """Fit together with the other process, and write down what came out."""
    number = int(os.environ["RANK"])
    out = {}
    for name, model in (("exact", EXACT), ("single", SINGLE)):
        out[name] = clone(model).set_params(distributed=True).fit(X)
        assert not torch.distributed.is_initialized()
    out["resumed"] = clone(EXACT).set_params(distributed=True, checkpoint_dir=folder / "state")
    out["resumed"].fit(X)
    out["unseeded"] = clone(SINGLE).set_params(distributed=True, random_state=None).fit(X)
    other = X if number == 0 else X[::-1]
    with pytest.raises(ValueError, match="have different recordings"):
        clone(SINGLE).set_params(distributed=True).fit(other)
    with pytest.raises(ValueError, match="device='cuda:0' is not allowed"):
        clone(SINGLE).set_params(distributed=True, device="cuda:0").fit(X)
    (folder / f"{number}.pickle").write_bytes(pickle.dumps(out))
    # torchrun ends the others as soon as one is dead; this one wants to notice it by itself.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    doomed = clone(SINGLE).set_params(distributed=True, augmentation=DiesInTheSecondBatch())
    with pytest.raises(RuntimeError, match="has ended or no longer answers"):
        doomed.fit(X)
    assert not hasattr(doomed, "net_")
    (folder / "noticed").touch()


class _Killed(Exception):
    pass


@pytest.mark.slow
def test_two_processes_fit_what_one_does(tmp_path, monkeypatch):
    def save_and_die(self, *state):
        save(self, *state)
        raise _Killed

    with monkeypatch.context() as patch:
        save = Checkpoint.save
        patch.setattr(Checkpoint, "save", save_and_die)
        with pytest.raises(_Killed):
            clone(EXACT).set_params(checkpoint_dir=tmp_path / "state").fit(X)
    assert len(list((tmp_path / "state").iterdir())) == 1

    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__]
    torchrun = subprocess.Popen(
        [sys.executable, *command, str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = torchrun.communicate(timeout=3600)
    finally:
        torchrun.terminate()  # it takes the processes with it
    assert (tmp_path / "noticed").exists(), said[-3000:]
    assert torchrun.returncode  # the second process is dead
    assert not list((tmp_path / "state").iterdir())

    first, second = (pickle.loads((tmp_path / f"{i}.pickle").read_bytes()) for i in (0, 1))
    alone = {"exact": clone(EXACT).fit(X), "single": clone(SINGLE).fit(X)}
    alone["resumed"] = alone["exact"]
    for name, model in alone.items():
        tolerance = 1e-10 if name != "single" else 2e-5
        assert first[name].scale_ == model.scale_
        for found in (first[name], second[name]):
            assert [row["epoch"] for row in found.history_] == [1, 2]
            np.testing.assert_allclose(losses(found), losses(model), rtol=tolerance)
            np.testing.assert_allclose(
                found.transform(X), model.transform(X), rtol=10 * tolerance, atol=tolerance
            )
            for own, other in zip(weights(found), weights(model), strict=True):
                np.testing.assert_allclose(own, other, rtol=0, atol=tolerance * abs(other).max())
    for name in first:
        for own, other in zip(weights(first[name]), weights(second[name]), strict=True):
            np.testing.assert_array_equal(own, other)
    assert np.isfinite(first["unseeded"].score(X))
    MTECGClassifier(pretrained=first["exact"], sampling_rate=RATE, max_epochs=1, device="cpu").fit(
        X, np.arange(25) % 2
    )


def losses(model):
    return [row["train_loss"] for row in model.history_]


def weights(model):
    state = {name: value.numpy() for name, value in model.net_.module_.state_dict().items()}
    for name in state:
        if name.endswith("qkv.bias"):
            # Attention does not depend on the bias of its keys: their gradients are rounding
            # errors, which the optimizer makes as large as any other.
            queries, _, values = np.split(state[name], 3)
            state[name] = np.concatenate([queries, values])
    return list(state.values())


def test_a_group_that_is_there_is_used_and_left():
    group = torch.distributed
    group.init_process_group("gloo", store=group.HashStore(), rank=0, world_size=1)
    try:
        model = clone(EXACT).set_params(distributed=True).fit(X)
        assert group.is_initialized()
    finally:
        group.destroy_process_group()
    assert "ranks" not in vars(model.net_)
    for own, other in zip(weights(model), weights(clone(EXACT).fit(X)), strict=True):
        np.testing.assert_array_equal(own, other)


@pytest.fixture
def group_of_one():
    """Return a group that is the user's."""
    group = torch.distributed
    group.init_process_group("gloo", store=group.HashStore(), rank=0, world_size=1)
    yield
    group.destroy_process_group()


# As torch and nccl write them.
LOST = [
    torch.distributed.DistBackendError(
        "NCCL error in: ../ProcessGroupNCCL.cpp:2027, remote process exited or there was a network "
        "error\nncclRemoteError: A call failed possibly due to a network error or a remote process "
        "exiting prematurely."
    ),
    torch.distributed.DistBackendError(
        "[Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=808, "
        "OpType=ALLREDUCE) ran for 1800020 milliseconds before timing out."
    ),
    RuntimeError("NCCL communicator was aborted on rank 1. Original reason for failure was: ..."),
    torch.distributed.DistBackendError(
        "[1] is setting up NCCL communicator and retrieving ncclUniqueId from [0] via c10d "
        "key-value store by key '0', but store->get('0') got error: Connection reset by peer"
    ),
    torch.distributed.DistNetworkError(
        "failed to recv, got 0 bytes. Connection was likely closed. Did the remote server shutdown?"
    ),
    torch.distributed.DistStoreError("wait timeout after 1800000ms, keys: /ecgsk/0/gpu/1"),
    torch.distributed.DistStoreError(
        "Timed out after 1801 seconds waiting for clients. 1/2 joined"
    ),
    RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer"),
]
PRESENT = [
    RuntimeError("The batch cannot be read: the request timed out"),
    ValueError("NCCL communicator was aborted on rank 1."),
    torch.OutOfMemoryError("CUDA out of memory."),
    torch.distributed.DistBackendError(
        "NCCL error: unhandled cuda error\nncclUnhandledCudaError: Call to CUDA function failed.\n"
        "Last error: Cuda failure 2 'out of memory'"
    ),
    torch.distributed.DistBackendError(
        "NCCL error: unhandled system error\nncclSystemError: System call (e.g. socket, malloc) or "
        "external library call failed. It can be also caused by unexpected exit of a remote peer.\n"
        "Last error: Error while creating shared memory segment /dev/shm/nccl-x (size 9637888)"
    ),
    torch.distributed.DistNetworkError(
        "The server socket has failed to listen on any local network address. port: 29500, "
        "name: EADDRINUSE, message: address already in use"
    ),
]


@pytest.mark.parametrize("error", LOST, ids=lambda error: str(error)[:30])
def test_the_loss_of_a_process_has_one_error(group_of_one, error):
    with pytest.raises(RuntimeError, match="has ended or no longer answers") as caught:
        with together("cpu"):
            raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", PRESENT, ids=lambda error: str(error)[:30])
def test_other_errors_of_a_distributed_fit_stay_what_they_are(group_of_one, error):
    with pytest.raises(type(error)) as caught, together("cpu"):
        raise error
    assert caught.value is error


def test_nccls_error_of_a_shared_gpu_names_both_processes(group_of_one):
    text = "ncclInvalidUsage\nLast error:\nDuplicate GPU detected : rank 3 and rank 1 both on CUDA "
    with pytest.raises(
        ValueError, match=r"Processes 1 and 3 .* the same GPU \(CUDA device e2000\)"
    ):
        with together("cpu"):
            raise torch.distributed.DistBackendError(text + "device e2000\nException raised from")


@pytest.mark.parametrize("backend", ["gloo", "nccl"])
def test_a_process_that_fails_does_not_wait_for_the_others(backend, monkeypatch):
    group = torch.distributed
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_PORT", "0")
    monkeypatch.setattr(group, "get_backend", lambda *group: backend)
    try:
        with together("cpu"):
            assert group.is_initialized()
        assert not group.is_initialized()
        with pytest.raises(ZeroDivisionError), together("cpu"):
            1 / 0  # noqa: B018
        # nccl's groups end only when all processes end them, which the others do not.
        assert group.is_initialized() == (backend == "nccl")
        if backend == "nccl":
            with pytest.raises(RuntimeError, match="An earlier distributed fit failed.*the script"):
                clone(SINGLE).set_params(distributed=True).fit(X)
            group.destroy_process_group()
            with together("cpu"):
                pass
    finally:
        if group.is_initialized():
            group.destroy_process_group()


def test_outside_torchrun_it_says_how_to_start():
    with pytest.raises(ValueError, match="torchrun --nproc-per-node 2 script.py"):
        clone(SINGLE).set_params(distributed=True).fit(X)


if __name__ == "__main__":
    one_process(Path(sys.argv[1]))
