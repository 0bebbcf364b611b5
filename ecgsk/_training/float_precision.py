"""Whether products of float32 numbers are exact to float32, or may be rounded to TF32."""

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from ecgsk._training.device import device_type

# The newer API, of torch 2.9 and later. Its module torch.backends.mkldnn writes another setting
# than it reads, so these functions below it are used.
_read: Any = getattr(torch._C, "_get_fp32_precision_getter", None)
_write: Any = getattr(torch._C, "_set_fp32_precision_setter", None)
_NAMES = {False: "ieee", True: "tf32"}


@dataclass(eq=False)
class _Setting:
    """A setting of the older API, with those of the newer one that torch compares with it.

    torch raises RuntimeError, in its getters and in some kernels, where the two disagree. In the
    newer API an operation whose setting is "none" has that of its parent: of all operations of the
    backend, and these have the generic one.
    """

    read: Callable[[], Any]
    write: Callable[[Any], None]
    # What the older API calls float32 (False) and TF32 (True).
    values: dict[bool, Any]
    # What it holds where it cannot be read, with the newer settings at "none".
    if_unreadable: Any = None
    # Newer settings that `write` writes too, and more of the same backend.
    written: tuple[tuple[str, str], ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    parents: tuple[tuple[str, str], ...] = ()
    allowed: bool | None = None
    before: tuple[Any, dict] | None = field(default=None, repr=False)

    def __post_init__(self):
        if _write is None:
            self.written = self.others = self.parents = ()

    def allow_tf32(self, allowed: bool | None) -> None:
        """Set what is allowed; None puts back what was set before."""
        if allowed == self.allowed:
            return
        if allowed is None:
            if self.before is not None:
                self._put_back(*self.before)
            self.before = None
        else:
            if self.before is None and not self._is(allowed):
                self.before = self._look_up()
            if self.before is not None:
                self.write(self.values[allowed])
                for setting in self.others:
                    _write(*setting, _NAMES[allowed])
        self.allowed = allowed

    def _is(self, allowed: bool) -> bool:
        """Return whether everything is set as wanted already."""
        try:
            as_wanted = self.read() == self.values[allowed]
        except RuntimeError:  # the two APIs disagree
            return False
        fine = (*_NAMES.values(), "none") if allowed else ("ieee", "none")
        return (
            as_wanted
            and all((_read(*setting) == "tf32") == allowed for setting in self.written[:1])
            and all(_read(*setting) in fine for setting in self.others)
        )

    def _look_up(self) -> tuple[Any, dict]:
        """Return what is set. Below parents that are "none", a setting reads as it was written."""
        newer = {}
        for setting in (*self.parents, *self.others, *self.written):
            newer[setting] = _read(*setting)
            if newer[setting] != "none":
                _write(*setting, "none")
        try:
            older = self.read()
        except RuntimeError:
            older = self.if_unreadable
        for setting in self.parents:
            _write(*setting, newer.pop(setting))
        return older, newer

    def _put_back(self, older: Any, newer: dict) -> None:
        self.write(older)
        for setting, value in newer.items():
            _write(*setting, value)


_MATRIX_PRODUCTS = _Setting(
    torch.get_float32_matmul_precision,
    torch.set_float32_matmul_precision,
    {False: "highest", True: "high"},
    written=(("cuda", "matmul"), ("mkldnn", "matmul")),
    others=(("mkldnn", "all"), ("mkldnn", "conv"), ("mkldnn", "rnn")),
    parents=(("generic", "all"), ("cuda", "all")),
)
_CUDNN = _Setting(
    lambda: torch.backends.cudnn.allow_tf32,
    lambda value: setattr(torch.backends.cudnn, "allow_tf32", value),
    {False: False, True: True},
    if_unreadable=True,
    written=(("cuda", "conv"), ("cuda", "rnn")),
    others=(("cuda", "all"),),
    parents=(("generic", "all"),),
)
_XPU = _Setting(
    lambda: torch.backends.mkldnn.allow_tf32,
    lambda value: setattr(torch.backends.mkldnn, "allow_tf32", value),
    {False: False, True: True},
)
_SETTINGS = (_MATRIX_PRODUCTS, _CUDNN, _XPU)
# A build of torch without xpu has no value for its setting.
_HAS_XPU = getattr(torch.backends.mkldnn, "allow_tf32", None) is not None
_OF_DEVICES = {
    "cpu": (_MATRIX_PRODUCTS,),
    "mps": (_MATRIX_PRODUCTS,),
    "xpu": (_MATRIX_PRODUCTS, _XPU) if _HAS_XPU else (_MATRIX_PRODUCTS,),
}
_OF_OTHERS = (_MATRIX_PRODUCTS, _CUDNN)


@dataclass(eq=False)
class _Block:
    """What a thread wants while it computes."""

    allowed: bool
    settings: tuple[_Setting, ...]
    thread: int = field(default_factory=threading.get_ident)


_LOCK = threading.Lock()
_BLOCKS: list[_Block] = []


@contextmanager
def float32_products(device: str, *, allow_tf32: bool) -> Iterator[None]:
    """Compute products of float32 numbers on a device in float32, or allow TF32 for them.

    Matrix products, convolutions and recurrent layers are meant: on cuda, cuDNN's convolutions use
    TF32 unless it is forbidden. On the CPU ``torch.set_float32_matmul_precision("medium")`` would
    use bfloat16. torch's settings are as before after the block, in the older API and in the newer.

    The settings belong to the process. While several threads are in such blocks, TF32 is allowed
    if all of them allow it; the last one puts the settings back.
    """
    block = _Block(allow_tf32, _OF_DEVICES.get(device_type(device), _OF_OTHERS))
    try:
        with _LOCK:
            _swallow_deprecation()
            _BLOCKS.append(block)
            _settle()
        yield
    finally:
        with _LOCK:
            _BLOCKS[:] = [other for other in _BLOCKS if other is not block]
            _settle()


def _settle() -> None:
    """Set what all blocks agree to."""
    for setting in _SETTINGS:
        wanted = [block.allowed for block in _BLOCKS if setting in block.settings]
        setting.allow_tf32(all(wanted) if wanted else None)


@cache
def _swallow_deprecation() -> None:
    """Suppress the one warning of torch 2.9 about the older API, which is used to agree with it."""
    with warnings.catch_warnings(), suppress(RuntimeError):
        warnings.simplefilter("ignore")
        torch.get_float32_matmul_precision()


def _keep_blocks_of_this_thread() -> None:
    """Forget the blocks of threads that a forked process does not have."""
    global _LOCK
    _LOCK = threading.Lock()
    _BLOCKS[:] = [block for block in _BLOCKS if block.thread == threading.get_ident()]
    _settle()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_blocks_of_this_thread)
