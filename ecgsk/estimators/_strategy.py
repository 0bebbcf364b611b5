"""From an estimator's parameters to the stages of its fit."""

from numbers import Integral, Real

from ecgsk._core.sklearn_compat import Interval, StrOptions
from ecgsk._training import TrainingStage

_POSITIVE = Interval(Real, 0, None, closed="neither")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_SHARE = Interval(Real, 0, 1, closed="left")
_AUTO = StrOptions({"auto"})

STRATEGY_CONSTRAINTS = {
    "strategy": [StrOptions({"full", "linear_probe", "post_training"})],
    "head_epochs": [Interval(Integral, 1, None, closed="left")],
    "head_learning_rate": [_POSITIVE],
    "head_weight_decay": [_NOT_NEGATIVE],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "learning_rate": [_POSITIVE],
    "final_learning_rate": [_NOT_NEGATIVE, _AUTO],
    "weight_decay": [_NOT_NEGATIVE],
    "stochastic_depth": [_SHARE, _AUTO],
    "stochastic_depth_rule": [StrOptions({"linear", "constant"})],
    "dropout": [_SHARE, _AUTO],
    "weight_averaging": [_SHARE],
    "head_init": [StrOptions({"random", "prior"})],
}
# What "auto" means in post-training. The values are those of public re-implementations, which
# disagree on stochastic depth (0.3, 0.5); the paper's own are not known to us.
POST_TRAINING = {"stochastic_depth": 0.3, "dropout": 0.05, "final_learning_rate": 1e-5}
_OTHERWISE = {"stochastic_depth": 0.0, "dropout": 0.0, "final_learning_rate": 0.0}


class Strategy:
    """Adds ``strategy`` to a classifier: the stages in which it learns."""

    def _check_before_fit(self) -> None:
        super()._check_before_fit()
        peak, final = self._auto("learning_rate"), self._auto("final_learning_rate")
        if final > peak:
            raise ValueError(
                f"final_learning_rate={final:g} must not be above learning_rate={peak:g}."
            )

    def _auto(self, name: str) -> float:
        """Return a parameter's value, with what "auto" means under the strategy."""
        value = getattr(self, name)
        if value != "auto":
            return value
        return (POST_TRAINING if self.strategy == "post_training" else _OTHERWISE)[name]

    def _search_space(self) -> dict:
        """Return what is worth searching: rates within a decade of the present ones."""
        # Not everyone who fits a network searches with Optuna.
        from optuna.distributions import FloatDistribution

        def around(value: float, lowest: float = 0.0) -> FloatDistribution:
            return FloatDistribution(max(value / 10, lowest), max(value * 10, lowest), log=True)

        space = {}
        if self.strategy != "full":
            space["head_learning_rate"] = around(self.head_learning_rate)
        if self.strategy == "linear_probe":
            return space
        final = self._auto("final_learning_rate")
        space["learning_rate"] = around(self._auto("learning_rate"), final)
        if self._auto("weight_decay"):
            space["weight_decay"] = around(self._auto("weight_decay"))
        space["stochastic_depth"] = FloatDistribution(0.0, 0.5)
        space["dropout"] = FloatDistribution(0.0, 0.3)
        if getattr(self, "pretrained", None) is not None or self.weights is not None:
            space["layer_decay"] = FloatDistribution(0.5, 1.0)
        return space

    def _stages(self) -> list[TrainingStage]:
        head = TrainingStage(
            "linear probing",
            epochs=self.head_epochs,
            learning_rate=self.head_learning_rate,
            weight_decay=self.head_weight_decay,
            trainable="head",
        )
        if self.strategy == "linear_probe":
            return [head]
        starts_anew = self._source is None
        learning_rate = self._auto("learning_rate")
        layer_decay = self.layer_decay
        if layer_decay == "auto":
            layer_decay = 1.0 if starts_anew else 0.75
        everything = TrainingStage(
            "scratch" if starts_anew else "fine-tuning",
            epochs=self.max_epochs,
            learning_rate=learning_rate,
            final_rate=self._auto("final_learning_rate") / learning_rate,
            layer_decay=layer_decay,
            weight_decay=self._auto("weight_decay"),
            stochastic_depth=self._auto("stochastic_depth"),
            stochastic_depth_rule=self.stochastic_depth_rule,
            dropout=self._auto("dropout"),
            averaging=self.weight_averaging,
        )
        return [head, everything] if self.strategy == "post_training" else [everything]
