"""A search of scikit-learn whose candidates Optuna proposes."""

import contextlib
import re
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
from ecgsk.model_selection._candidates import Candidates
from ecgsk.model_selection._identity import identity
from ecgsk.model_selection._reuse import reused_steps
from ecgsk.model_selection._space import Space, as_plain, from_plain, search_space
from ecgsk.model_selection._study import Ledger, derived_seed, folds_of, in_memory

_SAMPLERS = {"tpe": TPESampler, "random": RandomSampler}


@public("ecgsk")
class OptunaSearchCV(BaseSearchCV):
    """Search parameters by cross-validation, with candidates that Optuna proposes.

    To scikit-learn it is a search like ``GridSearchCV``: ``cv_results_``, ``best_estimator_``,
    several metrics, ``refit``, metadata routing, ``clone`` and pickle are as there. Optuna looks at
    the scores so far before it proposes the next candidate, and can give up on one between folds.

    Parameters
    ----------
    estimator : estimator
        Cloned for each candidate; a Pipeline as well.
    param_distributions : dict or None, default=None
        Names of parameters, as ``set_params`` takes them, and for each a distribution of
        ``optuna.distributions`` or a list of choices, of any kind. None takes
        `search_space(estimator) <ecgsk.model_selection.search_space>`.
    n_trials : int, default=10
        Candidates in all. With ``storage`` those that the study has count: a search that was
        killed goes on to the same number.
    timeout : float or None, default=None
        No candidate is begun after so many seconds.
    sampler : {"tpe", "random"}, optuna sampler, or callable, default="tpe"
        What proposes. The named ones are seeded for each trial by ``random_state`` and its number,
        so that a search repeats, killed in between or not, and processes that share a study do not
        propose alike. A callable, such as ``optuna.samplers.CmaEsSampler``, is called with
        ``seed=``. An object keeps its own seed, save where it joins a study that has trials.
        CMA-ES keeps its state in the trials as a pickle: share its studies with those alone whom
        you would let run code.
    pruner : optuna pruner or None, default=None
        Looks at the mean score after each fold, for example
        ``optuna.pruners.MedianPruner(n_warmup_steps=1)``. None runs all folds.
    storage : str, optuna storage or None, default=None
        Where trials are kept, such as ``"sqlite:///search.db"``. The same ``fit`` on the same data
        goes on with them, in this process or others, on this machine or others, at once or
        after one was killed; each trial is worked on once, a dead one's is taken over at the fold
        where it stopped. None keeps them in memory.
    study_name : str or None, default=None
        Of the study in ``storage``. None is a name made of data, folds, space, scoring and
        estimator, so that each fold of an outer cross-validation has a study of its own.
        A study that differs in any of them is refused.
    scoring : str, callable, list, tuple, dict or None, default=None
        As in ``GridSearchCV``. With several metrics the sampler follows the one that ``refit``
        names, the first where it names none.
    n_jobs : int or None, default=None
        Folds of a candidate that are fitted at once. Leave it at None for a network, which uses
        all cores by itself, and share ``storage`` between processes for more candidates at once.
    refit : bool, str or callable, default=True
        As in ``GridSearchCV``.
    cv : int, splitter, iterable or None, default=None
        As in ``GridSearchCV``. It is asked once: all candidates have the same folds. With
        ``storage`` it has to repeat: give a splitter that shuffles an integer ``random_state``.
    verbose : int, default=0
        0 is silent, 1 shows a progress bar, from 2 on each fold's scores are printed as well.
    random_state : int, RandomState instance or None, default=None
        Seeds the sampler. The estimator has its own.
    error_score : "raise" or float, default=nan
        Score of a fold whose fit fails. With NaN the trial fails and counts.
    return_train_score : bool, default=False
        Whether ``cv_results_`` has scores on training folds.

    Attributes
    ----------
    cv_results_ : dict of ndarray
        As of ``GridSearchCV``, a row for each trial, and ``trial_number``, ``trial_state``
        ("COMPLETE", "PRUNED", "FAIL"). Folds that a pruned trial did not see are NaN.
    best_estimator_ : estimator
        Fitted on all records.
    best_score_, best_params_, best_index_, refit_time_, scorer_, n_splits_, multimetric_, \
            classes_, n_features_in_
        As of ``GridSearchCV``.
    study_ : optuna.Study
        The finished trials, in memory, for ``optuna.visualization`` and its like.

    Raises
    ------
    ValueError
        For a space that names what the estimator does not have, for a study of another search, and
        when no trial succeeds.

    See Also
    --------
    search_space : A space for each of our estimators.
    sklearn.model_selection.GridSearchCV : All candidates of a grid.

    Notes
    -----
    Steps at the front of a Pipeline that no candidate changes, and that yield a table, are fitted
    once for each fold, as long as the tables fit in ``working_memory``: searching the glass box
    does not train the network behind it again; where they learn nothing, once for all folds.
    ``fit_time`` is then of the rest. With the ``memory`` of the Pipeline they are found again by a
    search that is restarted.

    A candidate that a sampler proposes twice is scored once.

    With ``storage``, scores and parameters are in the database, recordings are not. A second
    study, ``<study_name>:queue``, says whose turn it is to take a trial.

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
        "param_distributions": [dict, None],
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
        """Search, and fit the best candidate on all records.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_features)
            Whatever the estimator takes.
        y : array-like of shape (n_records,) or (n_records, n_labels), default=None
            Targets.
        **params : dict
            ``groups`` for the splitter, and what ``fit`` of the estimator takes; with metadata
            routing whatever has been asked for.

        Returns
        -------
        self : object
            The fitted search.
        """
        if y is None and get_tags(self.estimator).target_tags.required:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None: "
                f"{type(self.estimator).__name__} learns from it."
            )
        until = np.inf if self.timeout is None else time.monotonic() + self.timeout
        scorers, _ = self._get_scorers()
        X, y = indexable(X, y)
        params = check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        folds = list(cv.split(X, y, **routed.splitter.split))
        self.n_splits_ = len(folds)
        given = self.param_distributions
        space = Space(search_space(self.estimator) if given is None else given, self.estimator)
        data = {
            "X": X,
            "y": y,
            "folds": folds,
            "fit_params": routed.estimator.fit,
            "score_params": routed.scorer.score,
        }
        candidates = Candidates(
            clone(self.estimator),
            **data,
            reused=reused_steps(self.estimator, space.distributions, self.scoring, **data),
            metric=self.refit if isinstance(self.refit, str) else None,
            prunes=self.pruner is not None,
            n_jobs=self.n_jobs,
            scorer=scorers,
            return_train_score=self.return_train_score,
            error_score=self.error_score,
            verbose=max(0, int(self.verbose) - 1),
        )
        about = identity(
            X=X,
            y=y,
            folds=folds,
            params=params,
            space=space.describe(),
            scoring=self._judged_by(scorers),
            estimator=self.estimator,
        )
        with _quiet_optuna():
            ledger = Ledger(
                self.storage,
                self.study_name,
                identity=about,
                n_trials=self.n_trials,
                sampler=self._sampler_of_trial(),
                pruner=self.pruner,
                seed=int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max)),
                deadline=until,
            )
            self._run(candidates, ledger, space)
            self.study_ = in_memory(ledger)
        self._note(space, scorers)
        if self.refit:
            best = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
            start = time.time()
            target = () if y is None else (y,)
            self.best_estimator_ = best.fit(X, *target, **routed.estimator.fit)
            self.refit_time_ = time.time() - start
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_
        return self

    def _run(self, candidates: Candidates, ledger: Ledger, space: Space) -> None:
        with tqdm(total=self.n_trials, unit="trial", disable=not self.verbose) as bar:
            while True:
                done = ledger.finished()
                bar.update(len(done) - bar.n)
                values = [t.value for t in done if t.state == TrialState.COMPLETE]
                if values:
                    bar.set_postfix(best=f"{max(values):.4f}")
                trial = ledger.next(space.distributions)
                if trial is None:
                    bar.update(len(ledger.finished()) - bar.n)
                    return
                with ledger.working(trial):
                    ledger.tell(trial, *candidates.score(trial, space.decode(trial.params)))

    def _note(self, space: Space, scorers) -> None:
        """Write the trials down as scikit-learn does."""
        trials = self.study_.trials
        folds = [fold for trial in trials for fold in folds_of(trial)]
        if not folds:
            raise ValueError(
                f"timeout={self.timeout!r} s ended the search before its first trial was done. "
                "Give more time."
            )
        # It raises where all have failed, with the reasons.
        warn_about_failed_fits(folds, self.error_score)
        complete = any(trial.state == TrialState.COMPLETE for trial in trials)
        # Where fits have failed, that of the refit says why.
        if not complete and not any(fold["fit_error"] for fold in folds):
            raise ValueError(
                f"None of {len(trials)} trials has a finite score on all folds: they were pruned, "
                "or scoring gives NaN. Use a milder pruner, or look at scoring."
            )
        names = next((list(f["test_scores"]) for f in folds if isinstance(f["test_scores"], dict)),
                     None)  # fmt: skip
        self.multimetric_ = names is not None
        refit_metric = "score"
        if self.multimetric_:
            if callable(self.scoring):
                self._check_refit_for_multimetric(dict.fromkeys(names))
            refit_metric = self.refit
        rows = [row for trial in trials for row in _rows(trial, self.n_splits_, names,
                                                         self.return_train_score)]  # fmt: skip
        state = np.array([trial.state.name for trial in trials])
        more = {"trial_number": [t.number for t in trials], "trial_state": state}
        with warnings.catch_warnings():
            if (state != "COMPLETE").any():
                # Folds that were not run are not folds that went wrong.
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
        """Return what `Ledger` asks for the sampler of each trial."""
        if isinstance(self.sampler, str):
            kind = _SAMPLERS[self.sampler]
            # A sampler for each trial: a number's draw does not depend on who drew before.
            return lambda seed, number: kind(seed=derived_seed(seed, number))
        begun = []

        def once(seed, number):
            if begun:
                return None
            begun.append(number)
            if not isinstance(self.sampler, BaseSampler):
                return self.sampler(seed=derived_seed(seed, number))
            sampler = deepcopy(self.sampler)
            if number:
                # Others may have drawn from its seed before.
                sampler.reseed_rng()
            return sampler

        return once

    def _judged_by(self, scorers) -> list:
        """Return what a score depends on beside the estimator."""
        names = scorers._scorers if isinstance(scorers, MultimetricScorer) else {"score": scorers}
        said = [(name, _named(scorer)) for name, scorer in sorted(names.items())]
        metric = self.refit if isinstance(self.refit, str) else None
        return [said, metric, self.return_train_score, self.error_score]

    def __getstate__(self):
        state = super().__getstate__()
        if being_saved() is None:
            return state
        # A file that is handed on holds the model, not its way there: the trials are in
        # cv_results_, and the address of a database may hold a password.
        state = {name: value for name, value in state.items() if name != "study_"}
        return state | {"storage": None, "param_distributions": as_plain(self.param_distributions)}

    def __setstate__(self, state):
        if being_loaded() is not None:
            given = from_plain(state["param_distributions"])
            state = {**state, "param_distributions": given}
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = deepcopy(inner.input_tags)
        tags.target_tags = deepcopy(inner.target_tags)
        return tags


def _rows(trial, n_splits: int, names: list[str] | None, train: bool) -> list[dict]:
    """Return a row for each fold of a trial, NaN for those that were not run."""
    none = np.nan if names is None else dict.fromkeys(names, np.nan)
    lacking = {"test_scores": none, "train_scores": none, "fit_time": np.nan, "score_time": np.nan}
    rows = folds_of(trial) + [lacking] * (n_splits - len(folds_of(trial)))
    scores = ["test_scores", "train_scores"] if train else ["test_scores"]
    kept = []
    for row in rows:
        row = {name: row[name] for name in [*scores, "fit_time", "score_time"]}
        for name in scores:
            if names is not None and not isinstance(row[name], dict):
                row[name] = dict.fromkeys(names, row[name])
        kept.append(row)
    return kept


def _named(scorer) -> str:
    """Return a name of a scorer without an address in memory."""
    return getattr(scorer, "__qualname__", None) or re.sub(r" at 0x[0-9a-f]+", "", repr(scorer))


@contextlib.contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Keep Optuna from writing a line for each trial: there is a bar for that."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)
