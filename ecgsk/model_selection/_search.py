"""A scikit-learn search whose candidates are proposed by Optuna."""

import contextlib
import time
import warnings
from collections.abc import Iterator
from copy import deepcopy
from numbers import Integral, Real

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from sklearn.base import clone, is_classifier
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state, get_tags, indexable
from tqdm.auto import tqdm

from ecgsk._core.host_arrays import on_host
from ecgsk._core.metadata import check_folds, check_groups_arrive
from ecgsk._core.public import public
from ecgsk._core.sklearn_compat import (
    BaseSearchCV,
    Interval,
    MultimetricScorer,
    StrOptions,
    check_method_params,
    fit_context,
    warn_about_failed_fits,
)
from ecgsk._core.tensor_store import being_loaded, being_saved
from ecgsk.model_selection._candidate_scorer import (
    CandidateScorer,
    fold_rows,
    warn_about_nan_scores,
)
from ecgsk.model_selection._folds import split_once
from ecgsk.model_selection._search_fingerprint import search_fingerprint
from ecgsk.model_selection._shared_study import SharedStudy, derived_seed, fold_results
from ecgsk.model_selection._space import from_json, search_space, space_of, to_json
from ecgsk.model_selection._unchanged_steps import unchanged_steps

_SAMPLERS = {"tpe": TPESampler, "random": RandomSampler}


@public("ecgsk")
class OptunaSearchCV(BaseSearchCV):
    """Search for parameters by cross-validation, with candidates that Optuna proposes.

    Works like ``sklearn.model_selection.GridSearchCV``, with the same ``cv_results_``,
    ``best_estimator_``, ``refit``, multiple metrics and metadata routing. Optuna uses the scores of
    earlier candidates to propose the next one, and can stop a candidate between folds.

    Parameters
    ----------
    estimator : estimator
        Estimator or Pipeline; it is cloned for each candidate.
    param_distributions : dict, list of dict or None, default=None
        Names of parameters, as ``set_params`` takes them, with a distribution of
        ``optuna.distributions`` or a list of choices of any type for each. Of a list of such dicts,
        each candidate has the parameters of one. None uses
        `search_space(estimator) <ecgsk.model_selection.search_space>`.
    n_trials : int, default=10
        Total number of candidates. With ``storage``, the trials that the study already has count,
        so that an interrupted search continues up to the same number.
    timeout : float or None, default=None
        No candidate starts after this time, s.
    sampler : {"tpe", "random"}, optuna sampler or callable, default="tpe"
        Proposes the candidates. The named samplers are seeded for each trial by ``random_state``
        and the number of the trial. The search is therefore reproducible even if it was
        interrupted, and processes that share a study propose different candidates. A callable,
        such as ``optuna.samplers.CmaEsSampler``, is called with ``seed=``. An object keeps its own
        seed unless it joins a study that has trials. CMA-ES stores its state as a pickle in the
        trials: share its studies only with people whose code you would run.
    pruner : optuna pruner or None, default=None
        Decides after each fold, by the mean score so far, whether to stop the candidate, for
        example ``optuna.pruners.MedianPruner(n_warmup_steps=1)``. None runs all folds.
    storage : str, optuna storage or None, default=None
        Where trials are stored, such as ``"sqlite:///search.db"``. Calling the same ``fit`` on the
        same data continues the study. This can be done after an interruption, or by several
        processes or machines at once. Each trial is run by one process; if the process dies,
        another one continues the trial at the fold where it stopped. None keeps trials in memory.
    study_name : str or None, default=None
        Name of the study in ``storage``. None derives a name from data, folds, space, scoring and
        estimator, so that each fold of an outer cross-validation has its own study. A study in
        which any of them is different raises an error.
    scoring : str, callable, list, tuple, dict or None, default=None
        As in ``GridSearchCV``. With several metrics, the sampler maximizes the one that ``refit``
        names, or the first one if ``refit`` names none.
    n_jobs : int or None, default=None
        Number of folds of a candidate that are fitted in parallel. Leave it at None for networks,
        which use all cores themselves; to run several candidates at once, start several processes
        with the same ``storage``.
    refit : bool, str or callable, default=True
        As in ``GridSearchCV``.
    cv : int, splitter, iterable or None, default=None
        As in ``GridSearchCV``. It is split once, so that all candidates have the same folds. With
        ``storage``, the folds must be reproducible: set an integer ``random_state`` in a splitter
        that shuffles.
    verbose : int, default=0
        0 prints nothing, 1 shows a progress bar, 2 and more also print the scores of each fold.
    random_state : int, RandomState instance or None, default=None
        Seed of the sampler. The estimator has its own ``random_state``.
    error_score : "raise" or float, default=nan
        Score of a fold whose fit fails. With NaN, the trial fails, and counts in ``n_trials``.
    return_train_score : bool, default=False
        Whether ``cv_results_`` includes scores on the training folds.

    Attributes
    ----------
    cv_results_ : dict of ndarray
        As in ``GridSearchCV``, with one row for each trial, and also ``trial_number`` and
        ``trial_state`` ("COMPLETE", "PRUNED", "FAIL"). Folds that a pruned trial did not run are
        NaN.
    best_estimator_ : estimator
        The best candidate, fitted on all records.
    best_score_, best_params_, best_index_, refit_time_, scorer_, n_splits_, multimetric_, \
            classes_, n_features_in_
        As in ``GridSearchCV``.
    study_ : optuna.Study
        The finished trials, in memory, for example for ``optuna.visualization``.

    Raises
    ------
    ValueError
        If the space names a parameter that the estimator does not have, if the study belongs to
        another search, or if no trial succeeds.

    See Also
    --------
    search_space : Default search space of an estimator.
    sklearn.model_selection.GridSearchCV : Evaluates all candidates of a grid.

    Notes
    -----
    If no candidate changes the first steps of a Pipeline, and their output is a table, these steps
    are fitted once for each fold, as long as the tables fit in scikit-learn's ``working_memory``.
    For example, a search over the glass-box classifier does not train the network in front of it
    again. Steps that learn nothing run once for all folds. ``fit_time`` covers the other steps
    only. Set ``memory`` in the Pipeline to keep these fits for a search that is restarted.

    If a sampler proposes the same candidate twice, it is scored once.

    With ``storage``, the database holds scores and parameters, but no recordings. A second study,
    ``<study_name>:queue``, determines which process takes the next trial.

    `ecgsk.save` writes a search without ``study_`` and ``storage``.

    References
    ----------
    T. Akiba et al., "Optuna: a next-generation hyperparameter optimization framework", KDD 2019.

    Examples
    --------
    >>> from optuna.distributions import FloatDistribution
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from ecgsk.model_selection import OptunaSearchCV
    >>> X, y = make_classification(random_state=0)
    >>> search = OptunaSearchCV(
    ...     LogisticRegression(),
    ...     {"C": FloatDistribution(1e-3, 1e2, log=True), "class_weight": [None, "balanced"]},
    ...     n_trials=5,
    ...     random_state=0,
    ... )
    >>> sorted(search.fit(X, y).best_params_)
    ['C', 'class_weight']
    """

    _parameter_constraints: dict = {
        **{k: v for k, v in BaseSearchCV._parameter_constraints.items() if k != "pre_dispatch"},
        "param_distributions": [dict, list, None],
        "n_trials": [Interval(Integral, 1, None, closed="left")],
        "timeout": [Interval(Real, 0, None, closed="neither"), None],
        "sampler": [StrOptions(set(_SAMPLERS)), BaseSampler, callable],
        "pruner": [BasePruner, None],
        "storage": [str, BaseStorage, None],
        "study_name": [str, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator,
        param_distributions=None,
        *,
        n_trials=10,
        timeout=None,
        sampler="tpe",
        pruner=None,
        storage=None,
        study_name=None,
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=None,
        verbose=0,
        random_state=None,
        error_score=np.nan,
        return_train_score=False,
    ):
        self.estimator = estimator
        self.param_distributions = param_distributions
        self.n_trials = n_trials
        self.timeout = timeout
        self.sampler = sampler
        self.pruner = pruner
        self.storage = storage
        self.study_name = study_name
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.refit = refit
        self.cv = cv
        self.verbose = verbose
        self.random_state = random_state
        self.error_score = error_score
        self.return_train_score = return_train_score

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **params):
        """Run the search, and fit the best candidate on all records.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_features)
            Input of the estimator.
        y : array-like of shape (n_records,) or (n_records, n_labels), default=None
            Targets.
        **params : dict
            ``groups`` for the splitter, and arguments of the estimator's ``fit``. With metadata
            routing, everything that was requested. Groups that would not reach all parts of the
            estimator that split by patients are a ValueError.

        Returns
        -------
        self : object
            The fitted search.
        """
        if y is None and get_tags(self.estimator).target_tags.required:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None: "
                f"{type(self.estimator).__name__} needs it."
            )
        deadline = np.inf if self.timeout is None else time.monotonic() + self.timeout
        scorers, _ = self._get_scorers()
        X, y = indexable(on_host(X), on_host(y, "y"))
        params = {name: on_host(value, name) for name, value in params.items()}
        params = check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        folds = split_once(cv, X, y, routed.splitter.split)
        check_groups_arrive(self, params.get("groups"), params)
        check_folds(folds, params.get("groups"), self.cv)
        self.n_splits_ = len(folds)
        distributions = self.param_distributions
        if distributions is None:
            distributions = search_space(self.estimator)
        space = space_of(distributions, self.estimator)
        data = {"X": X, "y": y, "folds": folds}
        data |= {"fit_params": routed.estimator.fit, "score_params": routed.scorer.score}
        scorer = CandidateScorer(
            clone(self.estimator),
            **data,
            unchanged=unchanged_steps(self.estimator, space.names, self.scoring, **data),
            metric=self.refit if isinstance(self.refit, str) else None,
            prunes=self.pruner is not None,
            n_jobs=self.n_jobs,
            scorer=scorers,
            return_train_score=self.return_train_score,
            error_score=self.error_score,
            verbose=int(self.verbose),
        )
        fingerprints = search_fingerprint(
            X=X,
            y=y,
            folds=folds,
            params=params,
            space=space.content(),
            scoring=self._scoring_parts(scorers),
            estimator=self.estimator,
            strict=self.storage is not None,
        )
        with _optuna_warnings_only():
            study = SharedStudy(
                self.storage,
                self.study_name,
                fingerprints=fingerprints,
                n_trials=self.n_trials,
                sampler=self._sampler_of_trial(),
                pruner=self.pruner,
                seed=int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max)),
                deadline=deadline,
            )
            try:
                self._run(scorer, study, space)
            except KeyboardInterrupt:
                self.study_ = study.in_memory()
                with contextlib.suppress(ValueError):  # no trial was finished
                    self._store_results(space, scorers)
                raise
            self.study_ = study.in_memory()
        self._store_results(space, scorers)
        if self.refit:
            best = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
            start = time.time()
            best.fit(X, *(() if y is None else (y,)), **routed.estimator.fit)
            # As in scikit-learn, where fit of a user's class need not return the estimator.
            self.best_estimator_ = best
            self.refit_time_ = time.time() - start
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_
        return self

    def _run(self, scorer: CandidateScorer, study: SharedStudy, space) -> None:
        with tqdm(total=self.n_trials, unit="trial", disable=self.verbose != 1) as bar:
            while True:
                finished = study.finished()
                bar.update(len(finished) - bar.n)
                values = [t.values[0] for t in finished if t.state == TrialState.COMPLETE]
                if values:
                    bar.set_postfix(best=f"{max(values):.4f}")
                trial = study.next_trial(space.distributions)
                if trial is None:
                    bar.update(len(study.finished()) - bar.n)
                    return
                with study.heartbeat(trial):
                    study.finish(trial, *scorer.score(trial, space.decode(trial.params)))

    def _store_results(self, space, scorers) -> None:
        """Set the attributes that scikit-learn's searches have."""
        trials = [trial for trial in self.study_.trials if trial.state != TrialState.RUNNING]
        folds = [fold for trial in trials for fold in fold_results(trial)]
        if not folds:
            raise ValueError(
                f"timeout={self.timeout!r} s ended the search before its first trial was finished. "
                "Use a larger timeout."
            )
        # Raises an error with the reasons if all fits failed.
        warn_about_failed_fits(folds, self.error_score)
        complete = any(trial.state == TrialState.COMPLETE for trial in trials)
        # If fits failed, the error of the refit gives the reason.
        if not complete and not any(fold["fit_error"] for fold in folds):
            raise ValueError(
                f"None of {len(trials)} trials has a finite score on all folds: they were pruned, "
                "or their scores are NaN. Use a milder pruner, or check scoring."
            )
        names = next((list(s) for f in folds if isinstance(s := f["test_scores"], dict)), None)
        self.multimetric_ = names is not None
        refit_metric = "score"
        if names is not None:
            if callable(self.scoring):
                self._check_refit_for_multimetric(dict.fromkeys(names))
            refit_metric = self.refit
        options = (self.n_splits_, names, self.return_train_score)
        rows = [row for trial in trials for row in fold_rows(trial, *options)]
        state = np.array([trial.state.name for trial in trials])
        more = {"trial_number": [t.number for t in trials], "trial_state": state}
        warn_about_nan_scores(trials)
        with warnings.catch_warnings():
            if (state != "COMPLETE").any():
                # Folds that were not run are NaN, but did not fail.
                warnings.filterwarnings(
                    "ignore", message="One or more of the", category=UserWarning
                )
            results = self._format_results(
                [space.decode(trial.params) for trial in trials], self.n_splits_, rows, more
            )
        if self.refit or not self.multimetric_:
            self.best_index_ = self._select_best_index(self.refit, refit_metric, results)
            if not callable(self.refit):
                self.best_score_ = results[f"mean_test_{refit_metric}"][self.best_index_]
            self.best_params_ = results["params"][self.best_index_]
        self.scorer_ = scorers._scorers if isinstance(scorers, MultimetricScorer) else scorers
        self.cv_results_ = results

    def _sampler_of_trial(self):
        """Return the parameter ``sampler`` of `SharedStudy`."""
        if isinstance(self.sampler, str):
            kind = _SAMPLERS[self.sampler]
            # With a sampler for each trial, a proposal does not depend on earlier draws.
            return lambda seed, number: kind(seed=derived_seed(seed, number))
        created = []

        def once(seed, number):
            if created:
                return None
            created.append(number)
            if not isinstance(self.sampler, BaseSampler):
                return self.sampler(seed=derived_seed(seed, number))
            sampler = deepcopy(self.sampler)
            if number:
                # Another process may have drawn from the same seed before.
                sampler.reseed_rng()
            return sampler

        return once

    def _scoring_parts(self, scorers) -> list:
        """Return everything about scoring that changes the scores, for the fingerprint."""
        scorers = scorers._scorers if isinstance(scorers, MultimetricScorer) else {"score": scorers}
        if self.scoring is None:
            scorers = {"score": "the estimator's own"}
        metric = self.refit if isinstance(self.refit, str) else None
        return [scorers, metric, self.return_train_score, self.error_score]

    def set_callbacks(self, *callbacks) -> "OptunaSearchCV":
        """Refuse callbacks of scikit-learn, which a study with many processes could not call."""
        if callbacks:
            raise NotImplementedError(
                "OptunaSearchCV calls no callbacks of scikit-learn. verbose shows its progress; "
                "storage lets you follow its study with optuna."
            )
        return self

    def __getstate__(self):
        state = super().__getstate__()
        if being_saved() is None:
            return state
        # Saved files leave out the study, whose trials are in cv_results_, and the address of the
        # database, which may contain a password.
        state = {name: value for name, value in state.items() if name != "study_"}
        return state | {"storage": None, "param_distributions": to_json(self.param_distributions)}

    def __setstate__(self, state):
        if being_loaded() is not None:
            state = {**state, "param_distributions": from_json(state["param_distributions"])}
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = deepcopy(inner.input_tags)
        tags.target_tags = deepcopy(inner.target_tags)
        return tags


@contextlib.contextmanager
def _optuna_warnings_only() -> Iterator[None]:
    """Stop Optuna from logging a line for each trial."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)
