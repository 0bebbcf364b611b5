"""One candidate after the other, fold by fold."""

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from optuna.trial import Trial, TrialState
from sklearn.base import clone

from ecgsk._core.sklearn_compat import fit_and_score
from ecgsk.model_selection._reuse import ReusedSteps
from ecgsk.model_selection._study import folds_of, note_folds


class Candidates:
    """Scores candidates on the same folds.

    Parameters
    ----------
    estimator : estimator
        Cloned for each fold.
    X, y : array-like
        Records and targets.
    folds : list of (ndarray, ndarray)
        Training and test rows.
    fit_params, score_params : dict
        What was routed to the estimator and to the scorer.
    reused : ReusedSteps or None
        See there.
    metric : str or None
        The one that the study follows where there are several; None is the first.
    prunes : bool
        Whether the study may give up between folds.
    n_jobs : int or None
        Folds at once.
    **options
        Of `fit_and_score`.
    """

    def __init__(
        self,
        estimator,
        X,
        y,
        folds,
        *,
        fit_params: dict,
        score_params: dict,
        reused: ReusedSteps | None,
        metric: str | None,
        prunes: bool,
        n_jobs: int | None,
        **options,
    ):
        self.estimator = estimator
        self.data = {"X": X, "y": y, "fit_params": fit_params, "score_params": score_params}
        self.folds = folds
        self.reused = reused
        self.metric = metric
        self.prunes = prunes
        self.parallel = Parallel(n_jobs=n_jobs)
        workers = effective_n_jobs(n_jobs)
        # One after the other a killed trial loses least.
        self.at_once = workers if prunes or workers == 1 else len(folds)
        self.options = options

    def score(self, trial: Trial, params: dict) -> tuple[TrialState, float | None]:
        """Score a candidate, from the fold on where it was left.

        Parameters
        ----------
        trial : optuna.trial.Trial
            Handed out by the ledger.
        params : dict
            As the estimator takes them.

        Returns
        -------
        state : TrialState
            How it ended.
        value : float or None
            The mean over the folds where it has all of them.
        """
        done = folds_of(trial)
        if not done:
            done = self._same_before(trial)
            note_folds(trial, done)
        told = trial.study.trials[trial.number].intermediate_values
        for step in range(len(self.folds)):
            if step >= len(done):
                done += self._fold_results(params, range(step, len(self.folds))[: self.at_once])
                note_folds(trial, done)
            if self.prunes and step < len(self.folds) - 1:
                if step not in told:
                    trial.report(self._mean(done[: step + 1]), step)
                if trial.should_prune():
                    note_folds(trial, done[: step + 1])
                    return TrialState.PRUNED, None
        value = self._mean(done)
        return (TrialState.COMPLETE, value) if np.isfinite(value) else (TrialState.FAIL, None)

    def _same_before(self, trial: Trial) -> list[dict]:
        """Return the folds of a trial with the same parameters: they would be the same."""
        for other in trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            if other.params == trial.params:
                return folds_of(other)
        return []

    def _fold_results(self, params: dict, indices: range) -> list[dict]:
        if self.reused is not None and not self._prepared(indices):
            self.reused = None
        calls = []
        for index in indices:
            if self.reused is None:
                train, test = self.folds[index]
                calls.append({"estimator": clone(self.estimator), "train": train, "test": test,
                              **self.data})  # fmt: skip
            else:
                tail = clone(self.reused.tail)
                calls.append({"estimator": tail, **self.reused.fold(index)})
        results = self.parallel(
            delayed(fit_and_score)(
                **call,
                parameters=params,
                split_progress=(index, len(self.folds)),
                return_times=True,
                **self.options,
            )
            for index, call in zip(indices, calls, strict=True)
        )
        return [_plain(result) for result in results]

    def _prepared(self, indices: range) -> bool:
        try:
            return self.reused.prepare(indices, self.parallel)
        except Exception:
            if self.options["error_score"] == "raise":
                raise
            # The candidates will meet the same error, and it is theirs to report.
            return False

    def _mean(self, folds: list[dict]) -> float:
        scores = [fold["test_scores"] for fold in folds]
        if any(isinstance(score, dict) for score in scores):
            # A fold that has failed may not know the names of a function's metrics.
            metric = self.metric or next(iter(next(s for s in scores if isinstance(s, dict))))
            scores = [score[metric] if isinstance(score, dict) else score for score in scores]
        return float(np.mean(scores))


def _plain(result: dict) -> dict:
    """Return what JSON keeps of a result."""
    plain = {}
    for name in ("test_scores", "train_scores", "fit_time", "score_time", "fit_error"):
        if name in result:
            value = result[name]
            if isinstance(value, dict):
                value = {key: float(score) for key, score in value.items()}
            plain[name] = value if value is None or isinstance(value, (dict, str)) else float(value)
    return plain
