"""Arrays of recordings in files that contain no names of leads, no unit or no sampling rate.

Their shape is (leads, samples), or (recordings, leads, samples). What a file does not contain, the
user states; what both state has to agree.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import STANDARD_LEADS, lead_name, millivolt_factor
from ecgsk._formats.limits import MOST_SAMPLES
from ecgsk._formats.stored import ReadOptions, Statements, StoredECG
from ecgsk._wfdb.header import RATES

MOST_RECORDINGS = 1_000_000
_MANY_LEADS = 32


@dataclass(frozen=True)
class ArrayContent:
    """An array of recordings, and what else its file states."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype
    sampling_rate: float | None = None
    leads: tuple[str, ...] | None = None
    unit: str | None = None

    @property
    def n_records(self) -> int | None:
        """Number of recordings; None for an array of shape (leads, samples)."""
        return self.shape[0] if len(self.shape) == 3 else None

    def check(self) -> None:
        """Raise RecordError for an array that cannot contain recordings."""
        if self.dtype.kind not in "fiu" or len(self.shape) not in (2, 3) or not all(self.shape):
            self.refuse(
                f"it contains an array of shape {self.shape} and type {self.dtype}; expected "
                "numbers of shape (leads, samples) or (recordings, leads, samples)"
            )
        if self.shape[-2] * self.shape[-1] > MOST_SAMPLES:
            self.refuse(
                f"its recordings have {self.shape[-2]} leads of {self.shape[-1]} samples; at most "
                f"{MOST_SAMPLES} samples can be read at once"
            )

    def refuse(self, reason: str) -> None:
        raise RecordError(self.path, reason)

    def recordings(
        self,
        format_name: str,
        options: ReadOptions,
        handle=None,
        comments: Sequence[dict[str, str]] | None = None,
    ) -> list[StoredECG]:
        """Return the recordings in the array; ``comments`` are those of each recording."""
        self.check()
        if (self.n_records or 0) > MOST_RECORDINGS:
            self.refuse(f"it has {self.n_records} recordings; at most {MOST_RECORDINGS} are read")
        leads = self._lead_names(options)
        rate = self._rate(options)
        rows: Sequence[int | None] = [None] if self.n_records is None else range(self.n_records)
        states = [Statements()] * len(rows)
        if comments is not None:
            states = [Statements(comments=comment) for comment in comments]
        return [
            StoredECG(
                path=self.path,
                format=format_name,
                leads=leads,
                sampling_rate=rate,
                n_samples=self.shape[-1],
                row=row,
                states=state,
                handle=handle,
            )
            for row, state in zip(rows, states, strict=True)
        ]

    def _rate(self, options: ReadOptions) -> float:
        rate = agreed_rate(self.path, self.sampling_rate, options)
        if rate is None:
            raise RecordError(
                self.path,
                "it does not contain its sampling rate: give file_sampling_rate (--sampling-rate)",
            )
        return rate

    def _lead_names(self, options: ReadOptions) -> tuple[str, ...]:
        """Return the names of the leads, as many as the array has."""
        n_leads, n_samples = self.shape[-2:]
        names = agreed_leads(self.path, self.leads, options)
        n_expected = len(options.unnamed if names is None else names)
        if n_leads != n_expected and (
            n_samples == n_expected or (n_leads > _MANY_LEADS and n_leads > n_samples)
        ):
            axes = "(0, 2, 1)" if len(self.shape) == 3 else "()"
            self.refuse(
                f"it has {n_leads} leads and {n_samples} samples. Its axes look swapped: leads "
                f"come before samples. Save array.transpose{axes} instead"
            )
        if names is None:
            if n_leads != n_expected:
                kind = "standard leads" if options.unnamed == STANDARD_LEADS else "lead(s)"
                self.refuse(
                    f"it has {n_leads} leads without names; without names, the {n_expected} "
                    f"{kind} are expected. Name its leads in their order with file_leads"
                )
            names = options.unnamed
        if len(names) != n_leads:
            self.refuse(f"it has {n_leads} leads, but {len(names)} names: {', '.join(names)}")
        return names

    def factor(self, options: ReadOptions) -> float:
        """Return the factor from the unit of the samples to mV."""
        given = options.unit
        if self.unit is not None and given is not None:
            if millivolt_factor(self.unit) != millivolt_factor(given):
                self.refuse(f"its unit is {self.unit}, but file_unit={given!r}")
        unit = self.unit if self.unit is not None else given
        try:
            return millivolt_factor("mV" if unit is None else unit)
        except ValueError as error:
            raise RecordError(self.path, str(error).rstrip(".")) from None


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open a regular file; what fails while it is open is a RecordError."""
    try:
        if not os.path.isfile(path) and os.path.exists(path):
            raise RecordError(path, "it is not a regular file")  # a pipe may never end
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise RecordError(path, f"it cannot be opened ({error.strerror})", missing) from None
    except RecordError:
        raise
    except (ValueError, EOFError, NotImplementedError) as error:
        raise RecordError(path, f"it cannot be decoded: {str(error).rstrip('.')}") from error


def agreed_rate(path: str, in_file: float | None, options: ReadOptions) -> float | None:
    """Return the sampling rate, Hz, that the file or the user states, or None."""
    given = options.sampling_rate
    if in_file is not None:
        if not RATES[0] <= in_file <= RATES[1]:  # NaN as well
            raise RecordError(
                path,
                f"its sampling rate is {in_file:g} Hz; {RATES[0]:g} to {RATES[1]:g} Hz is possible",
            )
        # A rate of two or three digits after the point is the same.
        if given is not None and abs(given - in_file) > 1e-3 * in_file:
            raise RecordError(
                path,
                f"its sampling rate is {in_file:g} Hz, but file_sampling_rate={given:g} was given",
            )
        return float(in_file)
    return None if given is None else float(given)


def agreed_leads(
    path: str, in_file: Sequence[str] | None, options: ReadOptions
) -> tuple[str, ...] | None:
    """Return the names of leads that the file or the user states, or None."""
    given = None if options.leads is None else tuple(map(lead_name, options.leads))
    if in_file is None:
        return given
    names = tuple(map(lead_name, in_file))
    if given is not None and given != names:
        raise RecordError(
            path, f"its leads are {', '.join(names)}, but file_leads has {', '.join(given)}"
        )
    return names


def to_millivolt(samples: np.ndarray, factor: float, path: str) -> np.ndarray:
    """Return samples as contiguous float32 in mV; RecordError for infinite ones."""
    with np.errstate(over="ignore", invalid="ignore"):
        if factor != 1.0:
            samples = samples * np.asarray(factor, np.result_type(samples.dtype, np.float32))
        samples = np.ascontiguousarray(samples, dtype=np.float32)
    if np.isinf(samples).any():
        raise RecordError(path, "it contains infinite samples")
    return samples
