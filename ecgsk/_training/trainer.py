"""One fit: training stages in order, with a progress bar, checkpoints and early stopping."""

import copy
import math
import warnings

import torch
from skorch.callbacks import Callback
from skorch.helper import predefined_split
from skorch.history import History
from torch import nn
from tqdm.auto import tqdm

from ecgsk._training.checkpoint import Checkpoint
from ecgsk._training.dataset import ECGDataset
from ecgsk._training.device import device_type
from ecgsk._training.kept_recordings import keep_recordings
from ecgsk._training.prediction import predict_features
from ecgsk._training.random_state import generator_states, set_generator_states
from ecgsk._training.skorch_net import ECGNet
from ecgsk._training.stages import TrainingStage, parameter_groups, rate_factor
from ecgsk._training.weight_average import Average
from ecgsk.networks import StochasticDepth, set_dropout, set_stochastic_depth


class _StopStage(Exception):  # noqa: N818 - a signal, not an error
    """The validation loss has stopped falling."""


class Trainer:
    """Train an initialized skorch net in place by a list of stages.

    The loss of ``valid`` ends a stage after ``n_iter_no_change`` epochs without a fall by ``tol``,
    and chooses its best epoch. ``generator`` orders records. Verbose 1 shows a bar, 2 leaves it.
    """

    def __init__(
        self,
        net: ECGNet,
        stages: list[TrainingStage],
        train: ECGDataset,
        valid: ECGDataset | None = None,
        *,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        generator: torch.Generator,
        checkpoint: Checkpoint | None = None,
        verbose: int = 0,
    ):
        self.net = net
        self.stages = stages
        self.train = train
        self.valid = valid
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.generator = generator
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.n_batches = -(-len(train) // net.batch_size)
        self.stage_index = 0
        self.epoch = 0
        self.step = 0
        self.best_weights = None
        self.built_rates = {
            layer: layer.p if isinstance(layer, nn.Dropout) else layer.rate
            for layer in net.module_.modules()
            if isinstance(layer, (nn.Dropout, StochasticDepth))
        }

    @property
    def stage(self) -> TrainingStage:
        """The stage under way."""
        return self.stages[self.stage_index]

    def execute(self) -> list[dict]:
        """Train through all stages; return each epoch's stage, number, losses and duration in s."""
        net = self.net
        net.iterator_train__shuffle = True
        net.iterator_train__generator = self.generator
        net.callbacks_.append(("trainer", _Forward(self)))
        state = self.checkpoint.load() if self.checkpoint else None
        total = self.n_batches * sum(stage.epochs for stage in self.stages)
        self.bar = tqdm(total=total, unit="batch", disable=not self.verbose, leave=self.verbose > 1)
        datasets = [self.train] if self.valid is None else [self.train, self.valid]
        with self.bar, net.products(), keep_recordings(datasets, self._reads_of_a_record()):
            for index in range(state["stage"] if state else 0, len(self.stages)):
                self._run_stage(index, state)
                state = None
        if self.checkpoint:
            self.checkpoint.remove()
        net.iterator_train__generator = None
        return [_plain(row) for row in net.history]

    def _run_stage(self, index: int, state: dict | None) -> None:
        net = self.net
        self.stage_index, self.epoch, self.step, self.best_weights = index, 0, 0, None
        self._set_regularization()
        groups = parameter_groups(net.module_, self.stage)
        fused = _has_fused_kernel(groups, net.device) or None
        net.optimizer_ = torch.optim.AdamW(groups, betas=self.stage.betas, fused=fused)
        self.average = Average(net.module_, self.stage.averaging)
        if state:
            self._restore(state)
        train, valid = self.train, self.valid
        net.reads_features = self._features_are_constant(self.stage)
        if net.reads_features:
            train = self._features_of(train)
            valid = None if valid is None else self._features_of(valid)
        if valid is not None:
            net.train_split = predefined_split(valid)
        try:
            # A checkpoint may have been written after the epoch that ended the stage.
            self._stop_if_done()
            with net.compiling():
                net.fit_loop(train, epochs=self.stage.epochs - self.epoch)
        except _StopStage:
            pass
        finally:
            net.reads_features = False
        self.average.put_in()
        if self.best_weights is not None:
            net.module_.load_state_dict(self.best_weights)

    def _set_regularization(self) -> None:
        """Set the stage's rates; where they are 0, those that the network was built with stay."""
        module, stage = self.net.module_, self.stage
        for layer, built in self.built_rates.items():
            setattr(layer, "p" if isinstance(layer, nn.Dropout) else "rate", built)
        for name, kind in {"dropout": nn.Dropout, "stochastic_depth": StochasticDepth}.items():
            if getattr(stage, name) and not any(
                isinstance(layer, kind) for layer in self.built_rates
            ):
                raise ValueError(
                    f"{name}={getattr(stage, name):g} needs {kind.__name__} modules, and "
                    f"{type(module).__name__} has none. Set {name} to 0."
                )
        if stage.stochastic_depth:
            set_stochastic_depth(module, stage.stochastic_depth, stage.stochastic_depth_rule)
        if stage.dropout:
            set_dropout(module, stage.dropout)

    def _features_are_constant(self, stage: TrainingStage) -> bool:
        """Return whether what the head reads is the same in each epoch, and is computed once."""
        return stage.trainable == "head" and self.net.augmentation is None

    def _reads_of_a_record(self) -> int:
        """Return how often the fit reads each record, if no stage ends early."""
        return sum(
            1 if self._features_are_constant(stage) else stage.epochs for stage in self.stages
        )

    def _features_of(self, dataset: ECGDataset) -> ECGDataset:
        net = self.net
        net.reads_features = False
        features = predict_features(
            net,
            dataset.X,
            rows=dataset.rows,
            width=net.module_.head.in_features,
            batch_size=net.batch_size,
        )
        net.reads_features = True
        return dataset.with_features(features)

    def before_batch(self) -> None:
        """Set the learning rate of the step to come."""
        stage = self.stage
        factor = rate_factor(self.step, stage.epochs * self.n_batches, stage)
        for group in self.net.optimizer_.param_groups:
            group["lr"] = stage.learning_rate * group["lr_scale"] * factor
        self.step += 1
        self.bar.update()

    def after_batch(self) -> None:
        """Move the mean of the weights."""
        self.average.move(self.step)

    def before_validation(self) -> None:
        """Let the mean of the weights, which is what will be kept, be judged."""
        self.average.put_in()

    def after_epoch(self) -> None:
        """Note the epoch, keep the best weights, write the checkpoint, stop if it is time."""
        self.epoch += 1
        history = self.net.history
        history.record("stage", self.stage.name)
        if not math.isfinite(history[-1]["train_loss"]):
            self._handle_divergence()
        # One row a batch would make long fits' histories, and pickles, grow without bound.
        history[-1].pop("batches")
        history[-1]["batches"] = [{}]
        if self.valid is not None and self._epochs_since_best() == 0:
            self.best_weights = copy.deepcopy(self.net.module_.state_dict())
        self.average.take_out()
        self.bar.set_description(f"{self.stage.name} {self.epoch}/{self.stage.epochs}")
        self.bar.set_postfix(
            {key: f"{history[-1][key]:.4f}" for key in _LOSSES if key in history[-1]}
        )
        if self.checkpoint:
            self.checkpoint.save(self._state(), [_plain(row) for row in history])
        self._stop_if_done()

    def _handle_divergence(self) -> None:
        """Fall back on the best epoch where there is one."""
        reason = (
            f"The training loss is no longer finite in epoch {self.epoch} of {self.stage.name!r}"
        )
        remedy = "Lower learning_rate, or check recordings for absurd amplitudes."
        if self.best_weights is None:
            raise ValueError(f"{reason}. {remedy}")
        warnings.warn(f"{reason}: the best epoch before it is kept. {remedy}", stacklevel=2)
        raise _StopStage

    def _stop_if_done(self) -> None:
        if self.valid is not None and self._epochs_since_best() >= self.n_iter_no_change:
            raise _StopStage

    def _epochs_since_best(self) -> int:
        rows = list(self.net.history)[len(self.net.history) - self.epoch :]
        best, since = float("inf"), 0
        for row in rows:
            since += 1
            if row["valid_loss"] < best - self.tol:
                best, since = row["valid_loss"], 0
        return since

    def _state(self) -> dict:
        return {
            "stage": self.stage_index,
            "epoch": self.epoch,
            "step": self.step,
            "module": self.net.module_.state_dict(),
            "optimizer": self.net.optimizer_.state_dict(),
            "best_weights": self.best_weights,
            "average": self.average.weights,
            "order": self.generator.get_state(),
            "generators": generator_states(self.net.device),
        }

    def _restore(self, state: dict) -> None:
        """Go on from a checkpoint, also from one of another device."""
        self.epoch, self.step = state["epoch"], state["step"]
        self.net.module_.load_state_dict(state["module"])
        optimizer = self.net.optimizer_
        for saved, own in zip(
            state["optimizer"]["param_groups"], optimizer.param_groups, strict=True
        ):
            # The kernel is that of the device which computes now.
            saved |= {name: own[name] for name in ("foreach", "fused")}
        optimizer.load_state_dict(state["optimizer"])
        self.best_weights = state["best_weights"]
        self.average.restore(state["average"])
        self.generator.set_state(state["order"])
        set_generator_states(state["generators"], self.net.device)
        self.net.history_ = History({**row, "batches": [{}]} for row in state["history"])
        self.bar.update(self.n_batches * len(state["history"]))


def _has_fused_kernel(groups: list[dict], device: str) -> bool:
    """Return whether one kernel can update all parameters; others take ten calls for each."""
    parameters = [parameter for group in groups for parameter in group["params"]]
    return device_type(device) in ("cpu", "cuda") and all(p.is_floating_point() for p in parameters)


_LOSSES = ("train_loss", "valid_loss")


def _plain(row: dict) -> dict:
    """Return a row of skorch's history without its batches and its marks of the best epoch."""
    kept = ("stage", "epoch", "train_loss", "valid_loss", "dur")
    plain = {key: row[key] for key in kept if key in row}
    return {k: float(v) if isinstance(v, float) else v for k, v in plain.items()}


class _Forward(Callback):
    """Forward skorch's callbacks to the trainer."""

    def __init__(self, trainer: Trainer):
        self.trainer = trainer

    def on_batch_begin(self, net, training=False, **kwargs):
        if training:
            self.trainer.before_batch()
        else:
            self.trainer.before_validation()

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self.trainer.after_batch()

    def on_epoch_end(self, net, **kwargs):
        self.trainer.after_epoch()
