"""The probability of one class or label, from any classifier."""

from dataclasses import replace

import numpy as np

from ecgsk._core import carried
from ecgsk._core.checks import check_distinct
from ecgsk._core.columns import Columns, UnknownColumnsError, columns_of
from ecgsk._core.host_arrays import on_host
from ecgsk._core.records import RecordArray
from ecgsk._core.signal import lead_name


class ClassProbability:
    """The probability of one class or label of a classifier of recordings, or of a Pipeline.

    Of several, ``label`` is the name or the column.
    """

    def __init__(self, estimator, label=None):
        if not hasattr(estimator, "predict_proba"):
            raise TypeError(
                f"estimator is a {type(estimator).__name__} without predict_proba. Give a "
                "classifier of recordings, or a Pipeline that ends in a classifier."
            )
        self.estimator = estimator
        self.label = label

    def __call__(self, X) -> np.ndarray:
        """Return the probability for each record, of shape (n_records,)."""
        probabilities = self.estimator.predict_proba(X)
        try:
            columns = columns_of(self.estimator)
        except UnknownColumnsError:
            # A number chooses a column, or the second of two that are classes.
            probabilities = np.asarray(on_host(probabilities))
            if probabilities.ndim == 1:
                return probabilities
            columns = Columns(type(self.estimator).__name__, True, range(probabilities.shape[1]))
            if self.label is None and probabilities.shape[1] == 2:
                columns = replace(columns, multilabel=False)
            probabilities = columns.table(probabilities)
            return probabilities[:, self._column(columns, [])]
        return columns.table(probabilities)[:, self._column(columns, columns.names)]

    def _column(self, columns: Columns, names: list[str]) -> int:
        n_columns = len(columns.classes)
        if self.label is None:
            if n_columns == 1:
                return 0
            if n_columns == 2 and not columns.multilabel:
                return 1
            raise ValueError(
                f"label=None, but the estimator has {n_columns} classes or labels. Choose "
                f"one by its name or column: {_some(names, n_columns)}."
            )
        if isinstance(self.label, (int, np.integer)) and not isinstance(self.label, bool):
            if -n_columns <= self.label < n_columns:
                return int(self.label)
        elif str(self.label) in names:
            return names.index(str(self.label))
        raise ValueError(
            f"label={self.label!r} is not known; use one of {_some(names, n_columns)}, or a "
            f"column from 0 to {n_columns - 1}."
        )


def with_table(X, records, rows=None):
    """Return changed recordings with what X carries, and with the ``rows`` of its table."""
    if not isinstance(X, RecordArray):
        return records
    table = X.table if X.table is None or rows is None else X.table.iloc[rows]
    return RecordArray.wrap(records, table=table, sampling_rate=X.sampling_rate, leads=X.leads)


def check_leads(leads, n_leads: int, what: str) -> list[str]:
    """Return the leads' standard names, one for each in the recordings."""
    names = [lead_name(name) for name in leads]
    if len(names) != n_leads:
        raise ValueError(
            f"{what} has {n_leads} leads, but leads names {len(names)}. Give leads the name of "
            f"each lead of {what}."
        )
    check_distinct(names, "leads")
    return names


def check_carried(X, sampling_rate: float | None, leads) -> None:
    """Raise ValueError for recordings that carry another rate, or other leads, than were given."""
    if sampling_rate is not None:
        stated = f"sampling_rate={sampling_rate:g} was given"
        carried.check_rate(X, sampling_rate, stated, setting="sampling_rate={}", resample=False)
    stated = f"leads={list(leads)} was given"
    carried.check_leads(X, leads, stated, setting="leads={}", select=False)


def _some(names, n_columns: int) -> str:
    shown = names or list(range(n_columns))
    return ", ".join(map(str, shown[:8])) + ", ..." * (len(shown) > 8)
