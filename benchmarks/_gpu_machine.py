"""The device that gpu.py examines: sizes that suit it, its memory, other processes."""

import gc
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from scaling import cpu_name

import ecgsk
from ecgsk import ECGFounderClassifier, MTECGClassifier, MTECGPretrainer, make_ecg
from ecgsk._training import available_devices, device_type, resolve_device
from ecgsk._training.device import release_cached_memory

MB = 1 << 20
# Of logits, relative to the largest one: float32 rounds to some 1e-6, TF32 to some 1e-3.
ALIKE = 1e-4
# Two fits on a GPU may add in another order; what they learned differs by little.
LEARNED_ALIKE = 1e-2


class Skipped(Exception):  # noqa: N818 - a signal, not an error
    """A check is not possible on this machine."""


class Machine:
    """A device, and recordings and networks of a size that suits it.

    ``small`` are parameters of fits of a second on ``X`` and ``y``; ``large`` are those of fits of
    the published networks on ``recordings``. With ``quick``, and on the CPU, both are small.
    """

    def __init__(self, device: str, *, quick: bool, seed: int, folder: Path, records: int):
        self.device = resolve_device(device)
        self.kind = device_type(self.device)
        self.quick = quick or self.kind == "cpu"
        self.seed = seed
        self.folder = folder
        self.records = min(64, records) if self.quick else records
        self.rate = 100 if self.quick else 500
        common = {"random_state": seed, "device": self.device}
        self.small = {**common, "sampling_rate": 100, "max_epochs": 2, "batch_size": 16}
        self.large = {**common, "sampling_rate": self.rate, "max_epochs": 1, "batch_size": 32}
        self.X = make_ecg(48, sampling_rate=100, random_state=seed)
        self.y = np.arange(len(self.X)) % 2

    @cached_property
    def recordings(self) -> np.ndarray:
        """Recordings of the size of published ones."""
        return make_ecg(self.records, sampling_rate=self.rate, random_state=self.seed)

    @property
    def labels(self) -> np.ndarray:
        """Targets of ``recordings``."""
        return np.arange(self.records) % 2

    def network(self, cls: type, **params):
        """Return an estimator of the published size, to be fitted on ``recordings``."""
        preset = {
            MTECGClassifier: "ti_12_25",
            MTECGPretrainer: "ti_12_25",
            ECGFounderClassifier: "12-lead",
        }[cls]
        as_they_are = {"preprocessing": "none"} if cls is ECGFounderClassifier else {}
        preset = "nano" if self.quick else preset
        return cls(preset, **{**self.large, **as_they_are, **params})

    def all_of_its_kind(self) -> list[str]:
        """Return the device and others of its kind."""
        if self.kind not in ("cuda", "xpu"):
            return [self.device]
        return [f"{self.kind}:{number}" for number in range(self.backend.device_count())]

    def needs(self, kind: str) -> None:
        """Skip the check on devices of other kinds."""
        if self.kind != kind:
            raise Skipped(f"only {kind} has it")

    @property
    def backend(self):
        """The module of torch for the device."""
        return getattr(torch, self.kind)

    def allocated(self) -> int:
        """Return the bytes of tensors that are alive on the device; 0 where torch counts none."""
        if self.kind != "cpu":
            gc.collect()
        if self.kind == "mps":
            return torch.mps.current_allocated_memory()
        return self.backend.memory_allocated(self.device) if self.kind in ("cuda", "xpu") else 0

    def forget_peak(self) -> None:
        """Let `peak` start again."""
        if self.kind in ("cuda", "xpu"):
            self.backend.reset_peak_memory_stats(self.device)

    def peak(self) -> int | None:
        """Return the most bytes that tensors had on the device; None where torch counts none."""
        if self.kind in ("cuda", "xpu"):
            return self.backend.max_memory_allocated(self.device)
        return None

    def release(self) -> None:
        """Give back what torch has reserved for later."""
        if self.kind != "cpu":
            gc.collect()
            release_cached_memory(self.device)

    @contextmanager
    def limited_memory(self, n_bytes: int) -> Iterator[None]:
        """Let torch take so many more bytes than it has now."""
        self.needs("cuda")
        self.release()
        total = torch.cuda.mem_get_info(self.device)[1]
        allowed = torch.cuda.memory_reserved(self.device) + n_bytes
        if allowed > total:
            raise Skipped(f"the device has less than {allowed / MB:.0f} MB")
        torch.cuda.set_per_process_memory_fraction(allowed / total, self.device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, self.device)

    def python(self, *arguments: str, **variables: str) -> str:
        """Return what another Python process prints; AssertionError when it fails."""
        packages = os.pathsep.join(
            filter(None, [str(Path(ecgsk.__file__).parents[1]), os.environ.get("PYTHONPATH")])
        )
        done = subprocess.run(
            [sys.executable, "-W", "ignore", *arguments],
            env={**os.environ, "PYTHONPATH": packages, **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert not done.returncode, done.stderr[-600:]
        return done.stdout

    def describe(self) -> dict:
        """Return what a figure depends on."""
        found = {
            "device": self.device,
            "available": available_devices(),
            "card": self.kind,
            "processor": f"{cpu_name()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
            "system": platform.platform(),
            "python": platform.python_version(),
            "versions": {name: _version(name) for name in ("ecgsk", "torch", "skorch", "numpy")},
        }
        if self.kind in ("cuda", "xpu"):
            card = self.backend.get_device_properties(self.device)
            found |= {"card": card.name, "memory_MB": round(card.total_memory / MB)}
        if self.kind == "cuda":
            found |= {
                "capability": ".".join(map(str, torch.cuda.get_device_capability(self.device))),
                "driver": _driver(),
                "cuda": torch.version.cuda or f"ROCm {torch.version.hip}",
                "cudnn": torch.backends.cudnn.version(),
            }
        return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a checkout that is not installed
        return getattr(sys.modules.get(package), "__version__", "?")


def _driver() -> str:
    """Return the version of NVIDIA's driver."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.split()[0] if done.stdout.split() else "?"
    return "?"


def difference(found, expected) -> float:
    """Return the largest difference, relative to the largest value."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return float(abs(found - expected).max() / max(abs(expected).max(), 1e-12))


def check(condition: bool, found) -> None:
    """Fail with what was found; unlike assert, also under python -O."""
    if not condition:
        raise AssertionError(str(found))
