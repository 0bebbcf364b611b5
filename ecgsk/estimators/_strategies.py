"""How a network is fitted: from an estimator's numbers to its training stages."""

from dataclasses import dataclass
from numbers import Integral, Real

from sklearn.base import BaseEstimator

from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import HasMethods, Interval, StrOptions
from ecgsk._training import TrainingStage

EPOCHS = Interval(Integral, 1, None, closed="left")
POSITIVE = Interval(Real, 0, None, closed="neither")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
SHARE = Interval(Real, 0, 1, closed="left")
_REGULARIZATION = {
    "final_learning_rate": [NOT_NEGATIVE],
    "stochastic_depth": [SHARE],
    "stochastic_depth_rule": [StrOptions({"linear", "constant"})],
    "dropout": [SHARE],
}


@dataclass(frozen=True)
class TrainingNumbers:
    """The numbers of an estimator that its strategy starts from; see `TrainingStage`.

    In ``max_epochs`` all weights learn; ``pretrained`` networks start from weights, not at random.
    """

    max_epochs: int
    learning_rate: float
    layer_decay: float
    weight_decay: float
    weight_averaging: float
    pretrained: bool


@public("ecgsk.estimators")
class FullTraining(BaseEstimator):
    """Train all weights in one stage.

    For the ``strategy`` parameter of the network classifiers, where ``"full"`` means
    ``FullTraining()``. A search reaches its numbers as ``strategy__dropout`` and so on.

    A strategy of your own is a scikit-learn estimator with a method ``stages(numbers)``, which
    takes the numbers that all strategies share (``max_epochs``, ``learning_rate``,
    ``layer_decay``, ``weight_decay``, ``weight_averaging``, and ``pretrained``, whether the network
    starts from weights) as attributes of one object, and returns a list of `TrainingStage`.

    Parameters
    ----------
    final_learning_rate : float, default=0.0
        Rate at which the cosine ends.
    stochastic_depth : float, default=0.0
        Probability that a record skips a branch of the deepest block while training.
    stochastic_depth_rule : {"linear", "constant"}, default="linear"
        Whether that probability grows from 0 at the first block, or is the same everywhere.
    dropout : float, default=0.0
        Rate of dropout.

    Examples
    --------
    >>> from ecgsk import MTECGClassifier
    >>> from ecgsk.estimators import FullTraining
    >>> model = MTECGClassifier(strategy=FullTraining(dropout=0.1))
    >>> model.set_params(strategy__dropout=0.2).strategy
    FullTraining(dropout=0.2)
    """

    _parameter_constraints: dict = _REGULARIZATION

    def __init__(
        self,
        *,
        final_learning_rate=0.0,
        stochastic_depth=0.0,
        stochastic_depth_rule="linear",
        dropout=0.0,
    ):
        self.final_learning_rate = final_learning_rate
        self.stochastic_depth = stochastic_depth
        self.stochastic_depth_rule = stochastic_depth_rule
        self.dropout = dropout

    def stages(self, numbers) -> list[TrainingStage]:
        """Return the training stages.

        Parameters
        ----------
        numbers : object
            With the numbers that all strategies share as attributes.

        Raises
        ------
        ValueError
            When the final rate is above the peak rate.
        """
        if self.final_learning_rate > numbers.learning_rate:
            raise ValueError(
                f"final_learning_rate={self.final_learning_rate:g} must not be above "
                f"learning_rate={numbers.learning_rate:g}. Lower it."
            )
        return [
            TrainingStage(
                "fine-tuning" if numbers.pretrained else "scratch",
                epochs=numbers.max_epochs,
                learning_rate=numbers.learning_rate,
                final_rate=self.final_learning_rate / numbers.learning_rate,
                layer_decay=numbers.layer_decay,
                weight_decay=numbers.weight_decay,
                stochastic_depth=self.stochastic_depth,
                stochastic_depth_rule=self.stochastic_depth_rule,
                dropout=self.dropout,
                averaging=numbers.weight_averaging,
            )
        ]

    def _search_space(self) -> dict:
        from optuna.distributions import FloatDistribution

        return {
            "stochastic_depth": FloatDistribution(0.0, 0.5),
            "dropout": FloatDistribution(0.0, 0.3),
        }


@public("ecgsk.estimators")
class LinearProbe(BaseEstimator):
    """Train the head alone: a linear model of the features of a network that stays as it is.

    For the ``strategy`` parameter of the network classifiers, where ``"linear_probe"`` means
    ``LinearProbe()``. The numbers of the estimator (``max_epochs``, ``learning_rate``, ...) are
    for all weights and play no part. Without augmentation the features are computed only once.

    Parameters
    ----------
    max_epochs : int, default=30
        Passes over the training records.
    learning_rate : float, default=5e-3
        Peak rate of AdamW; second-hand, see `PostTraining`.
    weight_decay : float, default=0.1
        Weight decay of AdamW; second-hand, see `PostTraining`.
    """

    _parameter_constraints: dict = {
        "max_epochs": [EPOCHS],
        "learning_rate": [POSITIVE],
        "weight_decay": [NOT_NEGATIVE],
    }

    def __init__(self, *, max_epochs=30, learning_rate=5e-3, weight_decay=0.1):
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def stages(self, numbers) -> list[TrainingStage]:
        """Return the training stages, as `FullTraining.stages` does; ``numbers`` are not used."""
        return [
            TrainingStage(
                "linear probing",
                epochs=self.max_epochs,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                trainable="head",
            )
        ]

    def _search_space(self) -> dict:
        return {"learning_rate": around(self.learning_rate)}


@public("ecgsk.estimators")
class PostTraining(FullTraining):
    """Train the head first (preview linear probing), then all weights.

    In the second stage the network is regularized by stochastic depth and dropout, and the rate
    falls to ``final_learning_rate``. For the ``strategy`` parameter of the network classifiers,
    where ``"post_training"`` means ``PostTraining()``.

    Parameters
    ----------
    head_epochs : int, default=30
        Passes over the training records in which the head alone learns.
    head_learning_rate : float, default=5e-3
        Peak rate of AdamW in these passes.
    head_weight_decay : float, default=0.1
        Weight decay of AdamW in these passes.
    final_learning_rate : float, default=1e-5
        Rate at which the cosine of the second stage ends.
    stochastic_depth : float, default=0.3
        Probability that a record skips a branch of the deepest block. Contested: another source
        has 0.5.
    stochastic_depth_rule : {"linear", "constant"}, default="linear"
        Whether that probability grows from 0 at the first block, or is the same everywhere.
    dropout : float, default=0.05
        Rate of dropout.

    Notes
    -----
    All defaults are second-hand: those of public re-implementations. The paper's own numbers are
    not known to us.

    References
    ----------
    Zhou Y, Yang Y, Fan X, Zhao W. Bridging performance gaps for foundation models: a
    post-training strategy for ECGFounder. arXiv:2509.12991v1 (its second version has another base
    model and other figures).
    """

    _parameter_constraints: dict = {
        "head_epochs": [EPOCHS],
        "head_learning_rate": [POSITIVE],
        "head_weight_decay": [NOT_NEGATIVE],
        **_REGULARIZATION,
    }

    def __init__(
        self,
        *,
        head_epochs=30,
        head_learning_rate=5e-3,
        head_weight_decay=0.1,
        final_learning_rate=1e-5,
        stochastic_depth=0.3,
        stochastic_depth_rule="linear",
        dropout=0.05,
    ):
        self.head_epochs = head_epochs
        self.head_learning_rate = head_learning_rate
        self.head_weight_decay = head_weight_decay
        self.final_learning_rate = final_learning_rate
        self.stochastic_depth = stochastic_depth
        self.stochastic_depth_rule = stochastic_depth_rule
        self.dropout = dropout

    def stages(self, numbers) -> list[TrainingStage]:
        """Return the training stages, as `FullTraining.stages` does."""
        head = LinearProbe(
            max_epochs=self.head_epochs,
            learning_rate=self.head_learning_rate,
            weight_decay=self.head_weight_decay,
        )
        return head.stages(numbers) + super().stages(numbers)

    def _search_space(self) -> dict:
        return {"head_learning_rate": around(self.head_learning_rate), **super()._search_space()}


STRATEGIES = {"full": FullTraining, "linear_probe": LinearProbe, "post_training": PostTraining}
STRATEGY_CONSTRAINTS = {
    "strategy": [StrOptions(set(STRATEGIES)), HasMethods("stages")],
    "max_epochs": [EPOCHS],
    "learning_rate": [POSITIVE],
    "weight_decay": [NOT_NEGATIVE],
    "weight_averaging": [SHARE],
    "head_init": [StrOptions({"random", "prior"})],
}


def strategy_of(value):
    """Return the strategy that a parameter means, or the value itself."""
    return STRATEGIES[value]() if isinstance(value, str) and value in STRATEGIES else value


def around(value: float, lowest: float = 0.0):
    """Return an Optuna distribution within a decade of a value."""
    # Not everyone who fits a network searches with Optuna.
    from optuna.distributions import FloatDistribution

    return FloatDistribution(max(value / 10, lowest), max(value * 10, lowest), log=True)
