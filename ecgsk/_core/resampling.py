"""Resamples of patients, as counts of records."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ecgsk._core.checks import check_groups
from ecgsk._core.host_arrays import on_host

# Of one array of a chunk. Some five of them exist at a time, so that resampling stays below 50 MB.
CHUNK_BYTES = 8_000_000


class Resamples:
    """Patients, or records without ``groups``, drawn with replacement, within strata if given.

    Each resample has as many units of each stratum as the data. The stratum of a patient is the
    greatest value among the records: with 0 and 1, whether there is a positive one.
    """

    def __init__(self, n_records: int, *, groups=None, stratify=None):
        groups = check_groups(groups, n_records)
        self.n_records = n_records
        if groups is None:
            unit = np.arange(n_records)
        else:
            unit = np.unique(groups, return_inverse=True)[1].reshape(-1)
        self.n_units = int(unit.max()) + 1  # patients, or records
        stratum = np.zeros(self.n_units, dtype=np.intp)
        if stratify is not None:
            np.maximum.at(stratum, unit, _codes(stratify, n_records))
        # Units are numbered by stratum, so that a stratum is a range of numbers.
        rank = np.empty(self.n_units, dtype=np.intp)
        rank[np.argsort(stratum, kind="stable")] = np.arange(self.n_units)
        self._unit = rank[unit]
        self._whole = groups is None and stratify is None
        sizes = np.bincount(stratum)
        self._sizes = sizes[sizes > 0]
        self.varies = bool(self._sizes.max() > 1)  # otherwise all resamples are the data

    def draws(self, n_resamples: int, random: np.random.RandomState) -> Iterator[np.ndarray]:
        """Yield the units drawn, (some resamples, n_units); the number at a time has no effect."""
        at_once = max(1, CHUNK_BYTES // (8 * max(self.n_units, self.n_records)))
        # One size for all is twice as quick as one for each unit.
        size = np.repeat(self._sizes, self._sizes) if len(self._sizes) > 1 else self.n_units
        first = np.repeat(np.cumsum(self._sizes) - self._sizes, self._sizes)
        for done in range(0, n_resamples, at_once):
            rows = min(at_once, n_resamples - done)
            drawn = random.randint(size, size=(rows, self.n_units))
            yield drawn if len(self._sizes) == 1 else drawn + first

    def weights(self, n_resamples: int, random: np.random.RandomState) -> Iterator[np.ndarray]:
        """Yield how often each record is in each resample, (some resamples, n_records).

        They are whole numbers as float64, whose sums are exact.
        """
        for drawn in self.draws(n_resamples, random):
            drawn = drawn + self.n_units * np.arange(len(drawn))[:, np.newaxis]
            counts = np.bincount(drawn.ravel(), minlength=drawn.size).astype(np.float64)
            counts = counts.reshape(drawn.shape)
            yield counts if self._whole else counts[:, self._unit]

    def rows(self, n_resamples: int, random: np.random.RandomState) -> Iterator[np.ndarray]:
        """Yield the records of one resample after the other, as indices."""
        order = np.argsort(self._unit, kind="stable")
        size = np.bincount(self._unit)
        start = np.cumsum(size) - size
        for drawn in self.draws(n_resamples, random):
            for units in drawn:
                if len(size) == self.n_records:
                    yield order[units]
                    continue
                # Each unit's range of `order`, one after the other, without a loop over units.
                lengths = size[units]
                shift = np.repeat(start[units] - (np.cumsum(lengths) - lengths), lengths)
                yield order[shift + np.arange(len(shift))]


def _codes(stratify, n_records: int) -> np.ndarray:
    strata = np.asarray(on_host(stratify, "stratify"))
    if strata.shape != (n_records,):
        raise ValueError(
            f"stratify has shape {strata.shape}; expected ({n_records},), a stratum for each "
            "record, for example y_true."
        )
    missing = pd.isna(strata)
    if missing.any():
        raise ValueError(
            f"stratify is missing for {missing.sum()} of {n_records} records. Give these records "
            "a stratum of their own."
        )
    return pd.factorize(strata, sort=True)[0]


def percentiles(values: np.ndarray, level: float) -> tuple[float, float]:
    """Return the ends of an interval; NaN where over half of the resamples are not defined."""
    defined = values[np.isfinite(values)]
    if len(defined) < max(1, len(values) / 2):
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
