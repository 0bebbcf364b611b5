"""A cache of its own for each test, and small networks under the published names."""

import socket

import pytest
import torch

from ecgsk.networks import NET1D_PRESETS
from tests._ecgfounder_files import (
    nano_state,
    published_checkpoint,
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    def refuse(self, address):
        raise AssertionError(f"a test asked the network for {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("ECGSK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def sized(monkeypatch):
    """Return a function that gives the published networks another size."""

    def change(size):
        monkeypatch.setitem(NET1D_PRESETS, "12-lead", size)

    return change


@pytest.fixture
def nano(sized):
    sized(NET1D_PRESETS["nano"])


@pytest.fixture
def path(nano, tmp_path):
    """Return a good file of three leads and two outputs."""
    path = tmp_path / "good.pth"
    torch.save(published_checkpoint(nano_state(3, 2)), path)
    return path
