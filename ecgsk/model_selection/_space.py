"""Which parameters a search may move, and how far."""

from collections.abc import Mapping
from numbers import Real

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags

from ecgsk._core.fitted import named_parts
from ecgsk._core.public import public

# What scikit-learn and interpret do not say of their own; names instead of classes, because
# interpret takes a second to import.
_OF_OTHERS = {
    "EBMModel": {
        "learning_rate": FloatDistribution(0.005, 0.1, log=True),
        "max_bins": CategoricalDistribution([64, 128, 256, 512]),
        "max_leaves": IntDistribution(2, 4),
        "min_samples_leaf": IntDistribution(2, 64, log=True),
        # Rounds at the start whose cuts are drawn: they help where effects are smooth alone.
        "smoothing_rounds": CategoricalDistribution([0, 25, 75]),
    },
    "LogisticRegression": {"C": FloatDistribution(1e-4, 1e2, log=True)},
    "HistGradientBoostingClassifier": {
        "learning_rate": FloatDistribution(0.01, 0.3, log=True),
        "max_iter": IntDistribution(50, 500, log=True),
        "max_leaf_nodes": IntDistribution(4, 63, log=True),
        "min_samples_leaf": IntDistribution(5, 100, log=True),
        "l2_regularization": FloatDistribution(1e-6, 10.0, log=True),
    },
}
_AS_TEXT = "optuna distribution"
_PLAIN = (bool, int, float, str, type(None))


@public("ecgsk")
def search_space(estimator) -> dict[str, BaseDistribution]:
    """Return a sensible space of parameters for an estimator or a Pipeline.

    Every estimator of ecgsk says what is worth moving in it, and how far; for explainable boosting
    machines, logistic regression and ``HistGradientBoostingClassifier`` it is said here. The parts
    of a Pipeline, a ``FeatureUnion`` and of every estimator that holds another are looked at in
    turn. What stays as it is has no space: what is frozen, and weights that are used without a
    fit.

    Parameters
    ----------
    estimator : estimator
        For example a Pipeline of `ecgsk.make_lef_classifier`.

    Returns
    -------
    dict of str to optuna distribution
        By the names that ``set_params`` takes, such as ``"classifier__learning_rate"``. A plain
        dict: take out what should stay, and put in what should move as well.

    Raises
    ------
    ValueError
        When nothing in it is known.

    Examples
    --------
    >>> from ecgsk import make_lef_classifier
    >>> from ecgsk.model_selection import search_space
    >>> search_space(make_lef_classifier("mtecg", classifier="logistic"))
    {'classifier__C': FloatDistribution(high=100.0, log=True, low=0.0001, step=None)}
    """
    space = _space_of(estimator)
    if not space:
        raise ValueError(
            f"estimator={type(estimator).__name__} has no parameter that is known to be worth "
            "searching. Give param_distributions, a dict of names and optuna distributions."
        )
    return space


def _space_of(estimator) -> dict[str, BaseDistribution]:
    if isinstance(estimator, (type, FrozenEstimator)):
        return {}
    own = _own_space(estimator)
    if not own and not get_tags(estimator).requires_fit:
        # Such as a ProbabilityTransformer that uses weights as they are.
        return {}
    kept = getattr(estimator, "_kept_by_clones", ())
    for name, part in named_parts(estimator):
        if name is not None and name not in kept:
            own |= {f"{name}__{key}": value for key, value in _space_of(part).items()}
    return own


def _own_space(estimator) -> dict[str, BaseDistribution]:
    if hasattr(estimator, "_search_space"):
        return estimator._search_space()
    for kind in type(estimator).__mro__:
        if kind.__name__ in _OF_OTHERS:
            return dict(_OF_OTHERS[kind.__name__])
    return {}


class Space:
    """A user's space, in what Optuna can store.

    Parameters
    ----------
    given : mapping of str to optuna distribution or list
        Lists are choices, of any kind.
    estimator : estimator
        Whose parameters they are.

    Raises
    ------
    ValueError
        For what is no space, and for names that the estimator does not have.
    """

    def __init__(self, given, estimator):
        if not isinstance(given, Mapping) or not given:
            raise ValueError(
                f"param_distributions={given!r} is no space; give a dict of parameter names and "
                "optuna distributions or lists, or None for search_space(estimator)."
            )
        self.distributions: dict[str, BaseDistribution] = {}
        self._choices: dict[str, list] = {}
        known = estimator.get_params(deep=True)
        for name, values in given.items():
            # A part that is itself a choice may bring parameters that its predecessor lacks.
            parents = {name[:i] for i in range(len(name)) if name.startswith("__", i)}
            if name not in known and not parents & given.keys():
                raise ValueError(
                    f"param_distributions names {name!r}, which is no parameter of "
                    f"{type(estimator).__name__}. Its parameters are the keys of get_params()."
                )
            self.distributions[name] = self._distribution(name, values)

    def _distribution(self, name: str, values) -> BaseDistribution:
        if isinstance(values, BaseDistribution):
            return values
        if isinstance(values, np.ndarray):
            values = values.tolist()
        if not isinstance(values, (list, tuple)) or not len(values):
            raise ValueError(
                f"param_distributions[{name!r}] is {values!r}; give a list of choices or a "
                "distribution of optuna, for example "
                "optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)."
            )
        values = [v.item() if isinstance(v, np.generic) else v for v in values]
        if all(isinstance(v, _PLAIN) for v in values) and len(set(map(repr, values))) == len(
            values
        ):
            return CategoricalDistribution(values)
        # Optuna stores plain values: others, such as estimators, by their place in the list.
        self._choices[name] = values
        return CategoricalDistribution(list(range(len(values))))

    def decode(self, params: Mapping) -> dict:
        """Return parameters as the estimator takes them.

        Parameters
        ----------
        params : mapping
            As Optuna stores them.
        """
        return {
            name: self._choices[name][params[name]] if name in self._choices else params[name]
            for name in self.distributions
        }

    def describe(self) -> list:
        """Return plain parts that say the space whole."""
        said = []
        for name in sorted(self.distributions):
            choices = self._choices.get(name)
            said += [name, self.distributions[name], choices and [_label(c) for c in choices]]
        return said


def as_plain(given: Mapping | None) -> dict | None:
    """Return a user's space with the distributions as text."""
    if given is None:
        return None
    return {
        name: {_AS_TEXT: distribution_to_json(values)}
        if isinstance(values, BaseDistribution)
        else values
        for name, values in given.items()
    }


def from_plain(given: Mapping | None) -> dict | None:
    """Return what `as_plain` was given."""
    if given is None:
        return None
    return {
        name: json_to_distribution(values[_AS_TEXT])
        if isinstance(values, dict) and _AS_TEXT in values
        else values
        for name, values in given.items()
    }


def _label(choice) -> str:
    if isinstance(choice, (*_PLAIN, Real)):
        return repr(choice)
    kind = f"{type(choice).__module__}.{type(choice).__qualname__}"
    params = choice.get_params(deep=False) if hasattr(choice, "get_params") else {}
    plain = {k: v for k, v in params.items() if isinstance(v, _PLAIN)}
    return f"{kind}({plain})" if params else kind
