"""The first steps of a Pipeline, fitted once for each fold where no candidate changes them."""

import numpy as np
import pandas as pd
import sklearn
from joblib import Parallel, delayed
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import get_tags

from ecgsk._core.sklearn_compat import BaseScorer, check_method_params, safe_indexing
from ecgsk.tabular import TableColumns

_REST = "rest of the pipeline"


class ReusedSteps:
    """Answers what `fit_and_score` needs for a fold, with the first steps done beforehand.

    Parameters
    ----------
    steps : list of (str, estimator)
        The steps that stay.
    memory : str, joblib.Memory or None
        Of the Pipeline.
    tail : Pipeline
        The steps that are searched.
    X, y : array-like
        Records and targets.
    folds : list of (ndarray, ndarray)
        Training and test rows.
    fit_params, score_params : dict
        What was routed to the whole Pipeline, and to the scorer.
    """

    def __init__(self, steps, memory, tail, X, y, folds, fit_params: dict, score_params: dict):
        self.steps, self.memory, self.tail = steps, memory, tail
        self.X, self.y, self.folds = X, y, folds
        self.fit_params, self.score_params = fit_params, score_params
        # What learns nothing says the same of a record in each fold.
        self._same = next((i for i, (_, part) in enumerate(steps) if _learns(part)), len(steps))
        self._tables: dict[int, object] = {}

    def prepare(self, indices, parallel: Parallel) -> bool:
        """Do the first steps for folds; False where they are better done by every candidate.

        That is where they yield recordings, or tables that would fill the memory.

        Parameters
        ----------
        indices : iterable of int
            Folds.
        parallel : joblib.Parallel
            Runs them.
        """
        if self._same:
            self._do_once(self.steps[: self._same])
        head = self._pipeline(self.steps)
        params = _taken(head, "fit_transform", self.fit_params)
        lacking = [i for i in indices if i not in self._tables]
        tables = parallel(
            delayed(_table)(clone(head), self.X, self.y, *self.folds[i], params) for i in lacking
        )
        for i, table in zip(lacking, tables, strict=True):
            if table is None or _size(table) * len(self.folds) > _room():
                return False
            self._tables[i] = table
        return True

    def _do_once(self, steps) -> None:
        """Put the table of all records in the place of the records, if these steps yield one."""
        front = self._pipeline(steps)
        params = _taken(front, "fit_transform", self.fit_params)
        table = clone(front).fit_transform(self.X, self.y, **params)
        if getattr(table, "ndim", None) == 2 and _size(table) <= _room():
            self.X, self.steps = table, self.steps[self._same :]
        self._same = 0

    def _pipeline(self, steps) -> Pipeline:
        # A Pipeline caches all steps but its last.
        return Pipeline([*steps, (_REST, "passthrough")], memory=self.memory)

    def fold(self, index: int) -> dict:
        """Return the arguments of `fit_and_score` for a fold."""
        train, test = self.folds[index]
        rows = np.concatenate([train, test])
        params = _taken(self.tail, "fit", self.fit_params)
        return {
            "X": self._tables[index],
            "y": None if self.y is None else safe_indexing(self.y, rows),
            "train": np.arange(len(train)),
            "test": np.arange(len(train), len(rows)),
            "fit_params": check_method_params(self.X, params, indices=rows),
            "score_params": check_method_params(self.X, self.score_params, indices=rows),
        }


def reused_steps(estimator, names, scoring, **data) -> ReusedSteps | None:
    """Return the first steps of a Pipeline that no candidate changes, or None.

    Parameters
    ----------
    estimator : estimator
        What is searched.
    names : iterable of str
        Parameters that candidates change.
    scoring : object
        As the search takes it. A function of one's own may look at the recordings themselves.
    **data
        As `ReusedSteps` takes them.
    """
    if not isinstance(estimator, Pipeline) or not _looks_at_answers(scoring):
        return None
    steps = [name for name, _ in estimator.steps]
    touched = {name.partition("__")[0] for name in names}
    if not touched <= set(steps) or get_tags(estimator).input_tags.pairwise:
        return None
    cut = min(steps.index(name) for name in touched)
    if not any(hasattr(part, "fit") for _, part in estimator.steps[:cut]):
        return None
    return ReusedSteps(estimator.steps[:cut], estimator.memory, estimator[cut:], **data)


def _looks_at_answers(scoring) -> bool:
    if isinstance(scoring, dict):
        return all(map(_looks_at_answers, scoring.values()))
    return scoring is None or isinstance(scoring, (str, list, tuple, set, BaseScorer))


def _taken(pipeline: Pipeline, method: str, params: dict) -> dict:
    """Return those of the whole Pipeline's parameters that concern this part of it."""
    if sklearn.get_config()["enable_metadata_routing"]:
        names = pipeline.get_metadata_routing().consumes(method, params.keys())
    else:
        steps = set(pipeline.named_steps)
        names = [name for name in params if name.partition("__")[0] in steps]
    return {name: params[name] for name in names}


def _learns(part) -> bool:
    """Tell whether a step says something else of a record after a fit on other records."""
    if isinstance(part, FeatureUnion):
        return any(_learns(inner) for _, inner in part.transformer_list)
    if isinstance(part, (str, TableColumns, type(None))):
        return False
    return get_tags(part).requires_fit


def _table(head: Pipeline, X, y, train, test, params: dict):
    """Return what the tail reads: rows to learn from, then rows to be judged by."""
    params = check_method_params(X, params, indices=train)
    target = None if y is None else safe_indexing(y, train)
    parts = [head.fit_transform(safe_indexing(X, train), target, **params),
             head.transform(safe_indexing(X, test))]  # fmt: skip
    if all(isinstance(part, pd.DataFrame) for part in parts):
        return pd.concat(parts, ignore_index=True)
    if all(sparse.issparse(part) for part in parts):
        return sparse.vstack(parts, format="csr")
    if all(isinstance(part, np.ndarray) and part.ndim == 2 for part in parts):
        return np.concatenate(parts)
    return None


def _size(table) -> int:
    if isinstance(table, pd.DataFrame):
        return int(table.memory_usage().sum())
    return table.data.nbytes


def _room() -> int:
    return sklearn.get_config()["working_memory"] * 2**20
