"""A plugin of pytest that puts OptunaSearchCV in the place of GridSearchCV."""

import numpy as np
import sklearn.model_selection
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler
from sklearn.model_selection import ParameterGrid

from ecgsk import OptunaSearchCV


class InOrder(BaseSampler):
    """Proposes the spaces of a list one after the other."""

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, name, distribution: CategoricalDistribution):
        return distribution.choices[trial.number if name == "space" else 0]


class OptunaGrid(OptunaSearchCV):
    """OptunaSearchCV that tries given candidates, by the signature of GridSearchCV."""

    _parameter_constraints = {
        name: constraint
        for name, constraint in OptunaSearchCV._parameter_constraints.items()
        if name in ("estimator", "scoring", "n_jobs", "refit", "cv", "verbose", "error_score",
                    "return_train_score")
    }  # fmt: skip
    timeout = pruner = storage = study_name = None
    random_state = 0

    def __init__(
        self, estimator, param_grid, *, scoring=None, n_jobs=None, refit=True, cv=None, verbose=0,
        pre_dispatch="2*n_jobs", error_score=np.nan, return_train_score=False,
    ):  # fmt: skip
        self.estimator = estimator
        self.param_grid = param_grid
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.refit = refit
        self.cv = cv
        self.verbose = verbose
        self.pre_dispatch = pre_dispatch
        self.error_score = error_score
        self.return_train_score = return_train_score

    def _candidates(self):
        return list(ParameterGrid(self.param_grid))

    @property
    def sampler(self):
        return InOrder()

    @property
    def param_distributions(self):
        return [{name: [value] for name, value in params.items()} for params in self._candidates()]

    @property
    def n_trials(self):
        return len(self._candidates())


sklearn.model_selection.GridSearchCV = OptunaGrid
