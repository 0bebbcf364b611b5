"""The skorch nets that the estimators compose."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from skorch import NeuralNet
from torch.nn import functional as F

from ecgsk._training.compilation import CompiledFeatures
from ecgsk._training.dataset import keep_batch
from ecgsk._training.float_precision import float32_products
from ecgsk._training.losses import DistillationLoss, WeightedLoss
from ecgsk._training.read_ahead import read_ahead, to_device

# Rows of a matrix product that are rounded alike, by any of the usual kernels.
_ROWS = 32


class ECGNet(NeuralNet):
    """skorch's net around a module of ``features`` and a linear ``head``, with weights in the loss.

    Under bf16 forward passes run in autocast: parameters, losses and logits are never bf16. Under
    tf32 products of float32 numbers may be rounded. While training, ``augmentation`` maps batches
    to batches, and ``distillation`` is a share of the loss.
    """

    # Whether batches hold what the head reads, made beforehand, instead of recordings.
    reads_features = False
    # The most records for which the memory has sufficed, once a prediction found it too small.
    records_at_once: int | None = None
    # What computes features while the net trains, with ``compile_features``.
    compiled: CompiledFeatures | None = None

    def __init__(
        self,
        module,
        *,
        precision: str = "float32",
        augmentation: Callable | None = None,
        distillation: DistillationLoss | None = None,
        distillation_weight: float = 0.0,
        compile_features: bool = False,
        **kwargs,
    ):
        super().__init__(
            module,
            optimizer=torch.optim.AdamW,
            iterator_train__collate_fn=keep_batch,
            iterator_valid__collate_fn=keep_batch,
            train_split=None,
            verbose=0,
            **{"criterion": WeightedLoss, **kwargs},
        )
        self.precision = precision
        self.augmentation = augmentation
        self.distillation = distillation
        self.distillation_weight = distillation_weight
        self.compile_features = compile_features

    def initialize_module(self, *args, **kwargs):
        """Build the network; float64 converts its parameters."""
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)  # a user may have set another one
        try:
            super().initialize_module(*args, **kwargs)
        finally:
            torch.set_default_dtype(default)
        if self.precision == "float64":
            self.module_.double()
        return self

    def move_to(self, device: str) -> None:
        """Move network and loss to a device."""
        if torch.device(device).type == "mps":  # it has no float64
            self.module_._apply(lambda x: x.float() if x.dtype == torch.float64 else x)
        self.module_.to(device)
        if isinstance(getattr(self, "criterion_", None), torch.nn.Module):
            self.criterion_.to(device)
        self.device = device
        self.records_at_once = None

    def on_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor on the device; floating numbers have the parameters' precision."""
        return to_device(tensor, self.device, self.module_.head.weight.dtype)

    def embed(self, x):
        """Return what the head reads, float32 or float64."""
        if self.reads_features:
            return self.on_device(x)
        x = self.augmented(x)
        features = self.features(x)
        # bfloat16 has eight bits: the logits of rare findings would move in steps of 3 %.
        return features.to(x.dtype)

    def features(self, *inputs):
        """Return the module's features in autocast; predictions are never compiled."""
        compiles = self.module_.training and self.compiled is not None
        with self.autocast():
            return (self.compiled if compiles else self.module_.features)(*inputs)

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Compile the features of training batches inside the block, if that is wanted."""
        if self.compile_features:
            self.compiled = CompiledFeatures(self.module_.features)
        try:
            yield
        finally:
            self.compiled = None

    def __getstate__(self):
        state = super().__getstate__()
        state.pop("compiled", None)  # compiled code belongs to a process
        return state

    def infer(self, x, **fit_params):
        """Return logits, float32 or float64."""
        features = self.embed(x)
        if self.module_.training:
            return self.module_.head(features)
        # Matrix products of few rows are rounded in another way. Rows of zeros give a record the
        # same logits in every batch.
        n_records = len(features)
        return self.module_.head(F.pad(features, (0, 0, 0, -n_records % _ROWS)))[:n_records]

    def autocast(self) -> AbstractContextManager:
        """Return the context of forward passes."""
        return _autocast(self.device, enabled=self.precision == "bf16")

    @contextmanager
    def products(self) -> Iterator[None]:
        """Return the context of training and prediction: how exact products of float32 are."""
        products: AbstractContextManager = nullcontext()
        if self.precision not in ("bf16", "float64"):
            products = float32_products(self.device, allow_tf32=self.precision == "tf32")
        # Autocast that the caller has around a fit or a prediction must not lower its precision.
        with _autocast(self.device, enabled=False), products:
            yield

    def augmented(self, x):
        """Return a batch on the device, in the parameters' precision, changed while training."""
        x = self.on_device(x)
        if self.augmentation is not None and self.module_.training:
            x = self.augmentation(x)
        return x

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the loss of a batch; with distillation y_true ends with the teacher's logits."""
        target, weights, *teacher = (self.on_device(part) for part in y_true)
        loss = self.criterion_(y_pred, target, weights)
        if self.distillation is None or not training:
            return loss
        soft = self.distillation(y_pred, teacher[0], weights)
        return (1 - self.distillation_weight) * loss + self.distillation_weight * soft

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Go once over the batches; losses stay on the device until the last one.

        skorch would fetch the loss of each batch, for which a GPU has to finish it.
        """
        if iterator is None:
            return
        losses, sizes = [], []
        for batch in read_ahead(iterator, self.device):
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            losses.append(step["loss"].detach())
            sizes.append(len(batch[0]))
            self.notify("on_batch_end", batch=batch, training=training, **step)
        rows = self.history[-1]["batches"][-len(losses) :]
        for row, loss, size in zip(rows, torch.stack(losses).tolist(), sizes, strict=True):
            row |= {f"{prefix}_loss": loss, f"{prefix}_batch_size": size}
        self.history.record(f"{prefix}_batch_count", len(losses))

    def trim_for_prediction(self):
        """Drop what only training needs, also gradients, which take as much memory as weights."""
        super().trim_for_prediction()
        for parameter in self.module_.parameters():
            parameter.grad = None


def _autocast(device: str, *, enabled: bool) -> AbstractContextManager:
    kind = torch.device(device).type
    if not enabled and not (
        torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    ):
        return nullcontext()  # entering a context costs more than this question
    # torch empties its cache of rounded weights after the outermost block, which may be the whole
    # fit: the first step's weights would stay.
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=enabled, cache_enabled=False)


class MaskedNet(ECGNet):
    """skorch's net around a `MaskedMTECG` or its like; targets and their weights are ignored."""

    # What shares batches out while several processes train the net together.
    ranks: Any = None

    def __init__(self, module, **kwargs):
        super().__init__(module, **{"criterion": torch.nn.Module, **kwargs})

    def fill(self, x, order) -> tuple[torch.Tensor, torch.Tensor]:
        """Return predictions of the masked segments and what they should have been."""
        x, order = self.augmented(x), self.on_device(order)
        segments = self.module_.segments(x)
        return self.predict_masked(segments, order), self.module_.targets(segments, order)

    def predict_masked(self, segments, order) -> torch.Tensor:
        """Return predictions of the masked segments."""
        features = self.features(segments, order)
        return self.module_.head(features.to(segments.dtype))

    def infer(self, x, **fit_params):
        """Mask at random, and return predictions and truth of what was masked."""
        order = self.module_.draw_order(len(x))
        return self.fill(x, order) if self.ranks is None else self.ranks.fill(x, order)

    def embed(self, x):
        """Return the encoder's features of whole recordings."""
        x = self.augmented(x)
        with self.autocast():
            features = self.module_.encoder.features(x)
        return features.to(x.dtype)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the mean squared error over the masked segments."""
        loss = F.mse_loss(*y_pred)
        return loss if self.ranks is None else loss * self.ranks.part(len(X))

    def train_step(self, batch, **fit_params):
        """Make a step, and return the loss of the whole batch."""
        step = super().train_step(batch, **fit_params)
        if self.ranks is not None:
            step["loss"] = self.ranks.mean(step["loss"])
        return step
