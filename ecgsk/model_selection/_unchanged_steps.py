"""The first steps of a Pipeline that no candidate changes, fitted once for each fold."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import sklearn
from joblib import Parallel, delayed
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from ecgsk._core.sklearn_compat import BaseScorer, check_method_params, safe_indexing
from ecgsk.model_selection._row_wise import is_row_wise

_LAST = "last steps"


class UnchangedSteps:
    """The first steps of a Pipeline, which no candidate changes, and their output for each fold.

    ``fit_params`` and ``score_params`` are routed to the whole Pipeline and to the scorer.
    """

    def __init__(
        self,
        steps: list[tuple],
        memory,
        last_steps: Pipeline,
        X,
        y,
        folds: list[tuple[np.ndarray, np.ndarray]],
        fit_params: dict,
        score_params: dict,
    ):
        self.steps, self.memory, self.last_steps = steps, memory, last_steps
        self.X, self.y, self.folds = X, y, folds
        self.fit_params, self.score_params = fit_params, score_params
        # The output of steps that transform each record by itself is the same in each fold.
        learning = (i for i, (_, part) in enumerate(steps) if not is_row_wise(part))
        self._n_same_in_each_fold = next(learning, len(steps))
        self._tables: dict[int, object] = {}

    def fit(self, folds: Iterable[int], parallel: Parallel) -> bool:
        """Compute the output of the steps for folds.

        False when it is not a table, or too large to keep: each candidate then fits the steps
        itself.
        """
        if self._n_same_in_each_fold:
            self._transform_all_records(self.steps[: self._n_same_in_each_fold])
        pipeline = self._pipeline(self.steps)
        params = _routed_params(pipeline, "fit_transform", self.fit_params)
        missing = [i for i in folds if i not in self._tables]
        tables = parallel(
            delayed(_output)(clone(pipeline), self.X, self.y, *self.folds[i], params)
            for i in missing
        )
        for i, table in zip(missing, tables, strict=True):
            if table is None or _n_bytes(table) * len(self.folds) > _working_memory():
                return False
            self._tables[i] = table
        return True

    def _transform_all_records(self, steps) -> None:
        """Replace the records by the output of these steps, if it is a table."""
        pipeline = self._pipeline(steps)
        params = _routed_params(pipeline, "fit_transform", self.fit_params)
        table = clone(pipeline).fit_transform(self.X, self.y, **params)
        if getattr(table, "ndim", None) == 2 and _n_bytes(table) <= _working_memory():
            self.X, self.steps = table, self.steps[self._n_same_in_each_fold :]
        self._n_same_in_each_fold = 0

    def _pipeline(self, steps) -> Pipeline:
        # A Pipeline caches all steps but its last.
        return Pipeline([*steps, (_LAST, "passthrough")], memory=self.memory)

    def arguments(self, index: int) -> dict:
        """Return the arguments with which ``_fit_and_score`` scores the last steps on a fold."""
        train, test = self.folds[index]
        rows = np.concatenate([train, test])
        params = _routed_params(self.last_steps, "fit", self.fit_params)
        return {
            "X": self._tables[index],
            "y": None if self.y is None else safe_indexing(self.y, rows),
            "train": np.arange(len(train)),
            "test": np.arange(len(train), len(rows)),
            "fit_params": check_method_params(self.X, params, indices=rows),
            "score_params": check_method_params(self.X, self.score_params, indices=rows),
        }


def unchanged_steps(estimator, names, scoring, **data) -> UnchangedSteps | None:
    """Return the first steps of a Pipeline that no candidate changes, or None.

    Candidates change the parameters ``names``; ``data`` are further arguments of `UnchangedSteps`.
    """
    if not isinstance(estimator, Pipeline) or not _scores_predictions_only(scoring):
        return None
    steps = [name for name, _ in estimator.steps]
    changed = {name.partition("__")[0] for name in names}
    if not changed <= set(steps) or get_tags(estimator).input_tags.pairwise:
        return None
    cut = min(steps.index(name) for name in changed)
    if not any(hasattr(part, "fit") for _, part in estimator.steps[:cut]):
        return None
    return UnchangedSteps(estimator.steps[:cut], estimator.memory, estimator[cut:], **data)


def _scores_predictions_only(scoring) -> bool:
    """Return whether no scorer can read the recordings; a user's function could."""
    if isinstance(scoring, dict):
        return all(map(_scores_predictions_only, scoring.values()))
    return scoring is None or isinstance(scoring, (str, list, tuple, set, BaseScorer))


def _routed_params(pipeline: Pipeline, method: str, params: dict) -> dict:
    """Return the metadata of the whole Pipeline that is routed to this part of it."""
    if sklearn.get_config()["enable_metadata_routing"]:
        names = pipeline.get_metadata_routing().consumes(method, params.keys())
    else:
        steps = set(pipeline.named_steps)
        names = [name for name in params if name.partition("__")[0] in steps]
    return {name: params[name] for name in names}


def _output(pipeline: Pipeline, X, y, train, test, params: dict):
    """Return the output for the training rows, followed by the test rows; None for no table."""
    params = check_method_params(X, params, indices=train)
    target = None if y is None else safe_indexing(y, train)
    parts = [
        pipeline.fit_transform(safe_indexing(X, train), target, **params),
        pipeline.transform(safe_indexing(X, test)),
    ]
    if all(isinstance(part, pd.DataFrame) for part in parts):
        return pd.concat(parts, ignore_index=True)
    if all(sparse.issparse(part) for part in parts):
        return sparse.vstack(parts, format="csr")
    if all(isinstance(part, np.ndarray) and part.ndim == 2 for part in parts):
        return np.concatenate(parts)
    return None


def _n_bytes(table) -> int:
    if isinstance(table, pd.DataFrame):
        return int(table.memory_usage().sum())
    return table.data.nbytes


def _working_memory() -> int:
    return sklearn.get_config()["working_memory"] * 2**20
