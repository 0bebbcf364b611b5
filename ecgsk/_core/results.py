"""Results that are a table and what holds for the table as a whole."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class TableResult:
    """A table, shown as such, with attributes that describe all of it.

    pandas loses ``DataFrame.attrs`` in most operations; attributes of a result stay with it.
    """

    table: pd.DataFrame

    def __repr__(self) -> str:
        return repr(self.table)

    def _repr_html_(self) -> str | None:
        return self.table._repr_html_()


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class ResampledResult(TableResult):
    """A table of metrics whose intervals come from resamples of the records or patients."""

    n_records: int
    n_patients: int | None  # drawn whole; None without groups
    level: float  # share of the resamples inside the intervals
    n_resamples: int
