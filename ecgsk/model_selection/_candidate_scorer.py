"""Cross-validation of one candidate of a search."""

import warnings

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from optuna.trial import Trial, TrialState
from sklearn.base import clone

from ecgsk._core.sklearn_compat import fit_and_score
from ecgsk.model_selection._shared_study import fold_results, store_fold_results
from ecgsk.model_selection._unchanged_steps import UnchangedSteps


class CandidateScorer:
    """Scores each candidate on the same folds, each with a clone of the estimator.

    The study maximizes ``metric``, the first one if None, and may stop a candidate between folds if
    it ``prunes``. ``options`` are further arguments of scikit-learn's ``_fit_and_score``.
    """

    def __init__(
        self,
        estimator,
        X,
        y,
        folds: list[tuple[np.ndarray, np.ndarray]],
        *,
        fit_params: dict,
        score_params: dict,
        unchanged: UnchangedSteps | None,
        metric: str | None,
        prunes: bool,
        n_jobs: int | None,
        **options,
    ):
        self.estimator = estimator
        self.data = {"X": X, "y": y, "fit_params": fit_params, "score_params": score_params}
        self.folds = folds
        self.unchanged = unchanged
        self.metric = metric
        self.prunes = prunes
        self.parallel = Parallel(n_jobs=n_jobs)
        workers = effective_n_jobs(n_jobs)
        # Without parallel jobs, fit one fold at a time: a killed trial then loses one fold.
        self.at_once = workers if prunes or workers == 1 else len(folds)
        self.options = options

    def score(self, trial: Trial, params: dict) -> tuple[TrialState, float | None]:
        """Score a candidate, beginning with the first fold that has no result yet.

        Returns the final state of the trial and, of a complete one, the mean score over the folds.
        """
        done = fold_results(trial)
        if not done:
            done = self._results_of_equal_trial(trial)
            store_fold_results(trial, done)
        reported = trial.study.trials[trial.number].intermediate_values
        for step in range(len(self.folds)):
            if step >= len(done):
                done += self._fold_results(params, range(step, len(self.folds))[: self.at_once])
                store_fold_results(trial, done)
            if self.prunes and step < len(self.folds) - 1:
                if step not in reported:
                    trial.report(self._mean(done[: step + 1]), step)
                if trial.should_prune():
                    store_fold_results(trial, done[: step + 1])
                    return TrialState.PRUNED, None
        value = self._mean(done)
        return (TrialState.COMPLETE, value) if np.isfinite(value) else (TrialState.FAIL, None)

    def _results_of_equal_trial(self, trial: Trial) -> list[dict]:
        """Return the results of a complete trial with the same parameters, if there is one."""
        for other in trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            if other.params == trial.params:
                return fold_results(other)
        return []

    def _fold_results(self, params: dict, indices: range) -> list[dict]:
        if self.unchanged is not None and not self._fit_unchanged(self.unchanged, indices):
            self.unchanged = None
        calls = []
        for index in indices:
            if self.unchanged is None:
                train, test = self.folds[index]
                rows = {"train": train, "test": test}
                calls.append({"estimator": clone(self.estimator), **rows, **self.data})
            else:
                last_steps = clone(self.unchanged.last_steps)
                calls.append({"estimator": last_steps, **self.unchanged.arguments(index)})
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
        return [_as_json(result) for result in results]

    def _fit_unchanged(self, unchanged: UnchangedSteps, indices: range) -> bool:
        try:
            return unchanged.fit(indices, self.parallel)
        except Exception:
            if self.options["error_score"] == "raise":
                raise
            # Each candidate raises the same error, and reports it as scikit-learn does.
            return False

    def _mean(self, folds: list[dict]) -> float:
        scores = [fold["test_scores"] for fold in folds]
        if any(isinstance(score, dict) for score in scores):
            # A failed fold has no names of metrics if scoring is a function.
            metric = self.metric or next(iter(next(s for s in scores if isinstance(s, dict))))
            named = next(score for score in scores if isinstance(score, dict))
            if metric not in named:
                raise ValueError(
                    "For multi-metric scoring, the parameter refit must be set to a scorer key or "
                    f"a callable to refit; got refit={metric!r}, and scoring returns "
                    f"{', '.join(map(str, named))}. Set refit to one of them, or to False."
                )
            scores = [score[metric] if isinstance(score, dict) else score for score in scores]
        return float(np.mean(scores))


def _as_json(result: dict) -> dict:
    """Return the parts of a result that the study stores, as values that JSON can hold."""
    stored = {}
    for name in ("test_scores", "train_scores", "fit_time", "score_time", "fit_error"):
        if name in result:
            value = result[name]
            if isinstance(value, dict):
                value = {key: float(score) for key, score in value.items()}
            as_is = value is None or isinstance(value, (dict, str))
            stored[name] = value if as_is else float(value)
    return stored


def fold_rows(trial, n_splits: int, names: list[str] | None, train: bool) -> list[dict]:
    """Return a row for each fold of a trial, with NaN for folds that were not run."""
    missing_score = np.nan if names is None else dict.fromkeys(names, np.nan)
    missing = {"test_scores": missing_score, "train_scores": missing_score}
    missing |= {"fit_time": np.nan, "score_time": np.nan}
    results = fold_results(trial)
    scores = ["test_scores", "train_scores"] if train else ["test_scores"]
    rows = []
    for result in results + [missing] * (n_splits - len(results)):
        row = {name: result[name] for name in [*scores, "fit_time", "score_time"]}
        for name in scores:
            if names is not None and not isinstance(row[name], dict):
                row[name] = dict.fromkeys(names, row[name])
        rows.append(row)
    return rows


def warn_about_nan_scores(trials) -> None:
    """Warn as scikit-learn does of folds that were run and have a score that is not finite."""
    for kind in ("test", "train"):
        bad = [
            trial.number
            for trial in trials
            for fold in fold_results(trial)
            if not fold["fit_error"]
            and not np.all(np.isfinite(_values(fold.get(f"{kind}_scores", 0.0))))
        ]
        if bad:
            numbers = ", ".join(map(str, dict.fromkeys(bad)))
            warnings.warn(
                f"One or more of the {kind} scores are non-finite: those of trials {numbers}. Such "
                "candidates are not chosen. Check scoring, and whether each fold has all classes.",
                UserWarning,
                stacklevel=4,
            )


def _values(scores) -> list:
    return list(scores.values()) if isinstance(scores, dict) else [scores]
