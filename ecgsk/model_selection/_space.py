"""Search spaces: the parameters that a search varies, and their ranges."""

from collections.abc import Mapping

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

# Spaces for estimators of other packages, by name: importing interpret takes a second.
_SPACES: dict[str, dict[str, BaseDistribution]] = {
    "EBMModel": {
        "learning_rate": FloatDistribution(0.005, 0.1, log=True),
        "max_bins": CategoricalDistribution([64, 128, 256, 512]),
        "max_leaves": IntDistribution(2, 4),
        "min_samples_leaf": IntDistribution(2, 64, log=True),
        # Initial rounds with random cuts, which only help for smooth effects.
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
_SPACE = "space"
_JSON_KEY = "optuna distribution"
_PLAIN_TYPES = (bool, int, float, str, type(None))


@public("ecgsk")
def search_space(estimator) -> dict[str, BaseDistribution]:
    """Return the default search space of an estimator or a Pipeline.

    Estimators of ecgsk define their own search spaces. Explainable boosting machines, logistic
    regression and ``HistGradientBoostingClassifier`` have spaces as well. The search space of a
    Pipeline, a ``FeatureUnion`` or another meta-estimator combines the spaces of its parts.
    Parts that ``fit`` does not change have no search space: frozen estimators, and weights that
    are used without a fit.

    Parameters
    ----------
    estimator : estimator
        For example a Pipeline from `ecgsk.make_lef_classifier`.

    Returns
    -------
    dict of str to optuna distribution
        Distributions by parameter name, as ``set_params`` takes it, such as
        ``"classifier__learning_rate"``. Add or remove entries to change the search.

    Raises
    ------
    ValueError
        If no part of the estimator has a search space.

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
            f"estimator={type(estimator).__name__} has no default search space. Give "
            "param_distributions, a dict of parameter names and optuna distributions."
        )
    return space


def _space_of(estimator) -> dict[str, BaseDistribution]:
    if isinstance(estimator, (type, FrozenEstimator)):
        return {}
    own = _own_space(estimator)
    if not own and not get_tags(estimator).requires_fit:
        # For example a ProbabilityTransformer that uses weights without a fit.
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
        if kind.__name__ in _SPACES:
            return dict(_SPACES[kind.__name__])
    return {}


def space_of(param_distributions, estimator) -> "Space | SpaceChoice":
    """Return a search space in types that Optuna can store; a list is a choice of spaces."""
    if isinstance(param_distributions, (list, tuple)) and param_distributions:
        return SpaceChoice([Space(space, estimator) for space in param_distributions])
    return Space(param_distributions, estimator)


class Space:
    """A search space in types that Optuna can store.

    ValueError if ``param_distributions`` is not a search space, or names a parameter that the
    estimator does not have.
    """

    def __init__(self, param_distributions, estimator) -> None:
        if not isinstance(param_distributions, Mapping) or not param_distributions:
            raise ValueError(
                f"param_distributions={param_distributions!r} is not allowed; give a dict of "
                "parameter names and optuna distributions or lists, a list of such dicts, or None "
                "for search_space(estimator)."
            )
        self.distributions: dict[str, BaseDistribution] = {}
        self._choices: dict[str, list] = {}
        known = estimator.get_params(deep=True)
        for name, values in param_distributions.items():
            # If a part is itself a choice, it can have parameters that the present part lacks.
            parents = {name[:i] for i in range(len(name)) if name.startswith("__", i)}
            if name not in known and not parents & param_distributions.keys():
                raise ValueError(
                    f"param_distributions has {name!r}, which is not a parameter of "
                    f"{type(estimator).__name__}. Use the names that get_params() returns."
                )
            self.distributions[name] = self._distribution(name, values)

    def _distribution(self, name: str, values) -> BaseDistribution:
        if isinstance(values, CategoricalDistribution):
            values = list(values.choices)
        if isinstance(values, BaseDistribution):
            return values
        if isinstance(values, np.ndarray):
            values = values.tolist()
        if not isinstance(values, (list, tuple)) or not len(values):
            raise ValueError(
                f"param_distributions[{name!r}]={values!r} is not allowed; give a list of choices "
                "or an optuna distribution, for example "
                "optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)."
            )
        values = [v.item() if isinstance(v, np.generic) else v for v in values]
        plain = all(isinstance(v, _PLAIN_TYPES) and v == v for v in values)
        if plain and len(set(values)) == len(values):
            return CategoricalDistribution(values)
        # Optuna stores plain values only, and finds them by equality, by which 1, 1.0 and True are
        # the same. Other choices are stored by their position in the list.
        self._choices[name] = values
        return CategoricalDistribution(list(range(len(values))))

    @property
    def names(self) -> list[str]:
        """The estimator's parameters that candidates change."""
        return list(self.distributions)

    def decode(self, params: Mapping) -> dict:
        """Return the estimator's parameters for those of a trial that Optuna stores."""
        return {
            name: self._choices[name][params[name]] if name in self._choices else params[name]
            for name in self.distributions
        }

    def content(self) -> list:
        """Return the complete search space: names, distributions and choices."""
        return [
            [name, str(self.distributions[name]), self._choices.get(name)]
            for name in sorted(self.distributions)
        ]


class SpaceChoice:
    """Several search spaces; each candidate has the parameters of one.

    Optuna proposes values for all of them; those of the other spaces have no effect.
    """

    def __init__(self, spaces: list[Space]) -> None:
        self._spaces = spaces
        self.distributions: dict[str, BaseDistribution] = {
            _SPACE: CategoricalDistribution(list(range(len(spaces))))
        }
        for i, space in enumerate(spaces):
            own = space.distributions.items()
            self.distributions |= {f"{i}.{name}": values for name, values in own}

    @property
    def names(self) -> list[str]:
        """The estimator's parameters that candidates change."""
        return sorted({name for space in self._spaces for name in space.names})

    def decode(self, params: Mapping) -> dict:
        """Return the estimator's parameters for those of a trial that Optuna stores."""
        i = params[_SPACE]
        space = self._spaces[i]
        return space.decode({name: params[f"{i}.{name}"] for name in space.names})

    def content(self) -> list:
        """Return the complete search spaces: names, distributions and choices."""
        return [space.content() for space in self._spaces]


def to_json(param_distributions) -> dict | list | None:
    """Return a search space with its distributions as JSON."""
    if param_distributions is None:
        return None
    if isinstance(param_distributions, (list, tuple)):
        return [to_json(space) for space in param_distributions]
    return {
        name: {_JSON_KEY: distribution_to_json(values)}
        if isinstance(values, BaseDistribution)
        else values
        for name, values in param_distributions.items()
    }


def from_json(param_distributions) -> dict | list | None:
    """Return the search space that `to_json` converted."""
    if param_distributions is None:
        return None
    if isinstance(param_distributions, (list, tuple)):
        return [from_json(space) for space in param_distributions]
    return {
        name: json_to_distribution(values[_JSON_KEY])
        if isinstance(values, dict) and _JSON_KEY in values
        else values
        for name, values in param_distributions.items()
    }
