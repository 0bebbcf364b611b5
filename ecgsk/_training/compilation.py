"""A network's features, compiled by torch while it trains."""

import os
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from ecgsk._training.memory import is_out_of_memory

_IMPORTED_IN = os.getpid()


class CompiledFeatures:
    """What ``torch.compile`` makes of a network's ``features``, for one training stage.

    Batches of the first one's shape are compiled. All others, such as the smaller last one of an
    epoch, run without it: to compile them would take as long again. RuntimeError where torch cannot
    compile; nothing falls back to a fit without it.
    """

    def __init__(self, features: Callable):
        self.features = features
        self.shape: torch.Size | None = None
        with _explained(RuntimeError):
            self.compiled = torch.compile(_with_code_of_its_own(features), dynamic=False)

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return features of a batch."""
        from torch._dynamo.exc import TorchDynamoException  # it takes a second the first time

        shape = inputs[0].shape
        is_first = self.shape is None
        if is_first:
            self.shape = shape
        elif shape != self.shape:
            return self.features(*inputs)
        # Where the folder of compiled code cannot be written, torch raises the bare OSError.
        with (
            _explained(TorchDynamoException, OSError),
            _without_workers(),
            _quiet() if is_first else nullcontext(),
        ):
            return self.compiled(*inputs)


def _without_workers() -> AbstractContextManager:
    """Return a context in which a forked process compiles by itself.

    torch would wait for ever for those processes that its parent started for that.
    """
    if os.getpid() == _IMPORTED_IN:
        return nullcontext()
    from torch._inductor import config

    return config.patch(compile_threads=1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence advice to allow TF32, which is up to ``precision``."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TensorFloat32 tensor cores")
        yield


def _with_code_of_its_own(features: Callable) -> Callable:
    """Return a function that calls another one, and that no other fit calls.

    torch stores what it compiled with the code of a function, and stops compiling the same code
    after 8 times. A search would reach that number, because its fits share a network's class.
    """

    def compute(*inputs):
        return features(*inputs)

    code = compute.__code__.replace(co_name="features")
    return types.FunctionType(code, compute.__globals__, "features", None, compute.__closure__)


@contextmanager
def _explained(*errors: type[Exception]) -> Iterator[None]:
    """Raise errors of the compiler as one that names the parameter and what can be done."""
    try:
        yield
    except errors as error:
        if is_out_of_memory(error):
            raise
        cause = getattr(error, "inner_exception", error)
        reason = " ".join(f"{type(cause).__name__}: {cause}".split())
        raise RuntimeError(
            f"compile=True is not possible here: torch.compile failed ({reason:.300}). It needs a "
            "C++ compiler, such as g++, and on GPUs also Triton. Install what is missing, or set "
            "compile=False."
        ) from error
