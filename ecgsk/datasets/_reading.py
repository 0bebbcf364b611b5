"""Many records of a data set: read in threads, without those that cannot be read."""

import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np
from joblib import Parallel, delayed

from ecgsk._core.calling_line import stacklevel_of_user
from ecgsk._core.public import public
from ecgsk._core.record_error import RecordError, printable
from ecgsk._core.records import RecordArray, batches
from ecgsk._core.sampling_rate import Unify
from ecgsk._core.signal import lead_name, millivolt_factor
from ecgsk._formats.stored import ReadOptions
from ecgsk._wfdb.header import Header
from ecgsk._wfdb.signal import read_signal

_CHUNK = 64
# Examples that a message names, and reasons.
_NAMED, _REASONS = 5, 20


@public("ecgsk.datasets")
class RecordsLeftOutWarning(UserWarning):
    """Some records were left out; the message has their number and the reasons."""


def checked_leads(parameter: str, leads: Sequence[str]) -> tuple[str, ...]:
    """Return names of leads in the spelling of STANDARD_LEADS; ValueError for other values."""
    if not leads or not all(isinstance(lead, str) and lead.strip() for lead in leads):
        raise ValueError(f"{parameter}={leads!r} is not allowed; give names such as ['I', 'II'].")
    return tuple(map(lead_name, leads))


def read_options(
    sampling_rate: float | None, unit: str | None, leads: Sequence[str] | None, *, verify: bool
) -> ReadOptions:
    """Return the options for the parameters ``file_...`` of a loader; ValueError for wrong ones."""
    if unit is not None:
        try:
            millivolt_factor(unit)
        except ValueError as error:
            raise ValueError(f"file_unit: {error}") from None
    return ReadOptions(
        sampling_rate=sampling_rate,
        unit=unit,
        leads=None if leads is None else checked_leads("file_leads", leads),
        verify=verify,
    )


def listed_reasons(reasons: Sequence[tuple[str, str]]) -> str:
    """Return a line for each path and reason, and the number of those that are not shown."""
    lines = [f"\n{printable(path)}: {printable(reason)}" for path, reason in reasons[:_REASONS]]
    n_more = len(reasons) - len(lines)
    return "".join(lines) + (f"\n... and {n_more} more" if n_more else "")


def attempt(function: Callable, items: Sequence, *, n_jobs: int | None, on_error: str) -> list:
    """Call a function on each item, in threads; a RecordError replaces a result that failed.

    With ``on_error="raise"`` the first RecordError ends it instead. The function may write into
    arrays that it shares with the caller.
    """

    def call(chunk):
        results = []
        for item in chunk:
            try:
                results.append(function(item))
            except RecordError as error:
                if on_error == "raise":
                    raise
                results.append(error)
        return results

    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    done = Parallel(n_jobs=n_jobs, require="sharedmem")(delayed(call)(chunk) for chunk in chunks)
    return [result for results in done for result in results]


def read_into(
    headers: Sequence[Header],
    leads: tuple[str, ...],
    out: np.ndarray | list[np.ndarray],
    *,
    n_jobs: int | None,
    on_error: str,
    finish: Callable[[np.ndarray, float], np.ndarray] | None = None,
) -> list[RecordError | None]:
    """Read each record into its place in ``out``; ``finish`` takes a signal and its rate."""

    def read(place):
        header = headers[place]
        if finish is None:
            read_signal(header, leads, out[place])
        else:
            signal = np.empty((len(leads), header.n_samples), dtype=np.float32)
            out[place][...] = finish(read_signal(header, leads, signal), header.sampling_rate)

    return attempt(read, range(len(headers)), n_jobs=n_jobs, on_error=on_error)


class FileReader:
    """Reads records of one shape from their files, for a `RecordArray`.

    ``finish`` takes a signal and its rate, as in `read_into`.
    """

    def __init__(self, headers, leads, shape, finish=None):
        self.headers = headers
        self.leads = leads
        self.shape = shape
        self.finish = finish

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), *self.shape), dtype=np.float32)
        headers = [self.headers[row] for row in rows]
        read_into(headers, self.leads, out, n_jobs=1, on_error="raise", finish=self.finish)
        return out


def read_all(records: RecordArray, n_jobs: int | None) -> np.ndarray:
    """Read a whole `RecordArray` in threads."""
    out = np.empty(records.shape, dtype=np.float32)

    def read(rows):
        out[rows] = records.read(np.arange(rows.start, rows.stop))

    parts = batches(len(records), records.shape[1:])
    Parallel(n_jobs=n_jobs, require="sharedmem")(delayed(read)(rows) for rows in parts)
    return out


def keep_places(records: np.ndarray | list, places: Sequence[int]) -> np.ndarray | list:
    """Return some of the records in ascending order, without a second array of that size."""
    if isinstance(records, list):
        return [records[place] for place in places]
    for target, place in enumerate(places):
        if target != place:
            records[target] = records[place]
    return records[: len(places)]


def warn_of_copies(recordings: Iterable[tuple[Hashable, str]]) -> None:
    """Warn of recordings with equal keys, such as "A0001.hea" and "A0001 (1).hea", by their paths.

    A recording whose key is None is equal to no other.
    """
    first: dict[Hashable, str] = {}
    pairs = []
    for key, path in recordings:
        if key is not None and key in first:
            pairs.append(f"{path} and {first[key]}")
        first.setdefault(key, path)
    if pairs:
        warnings.warn(
            f"Recordings occur twice ({len(pairs)}): {'; '.join(pairs[:_NAMED])}"
            f"{'; ...' if len(pairs) > _NAMED else ''}. A patient on both sides of a split makes "
            "results too good: leave one of each out.",
            UserWarning,
            stacklevel=stacklevel_of_user(),
        )


def header_key(header: Header) -> Hashable:
    """Return what WFDB records with the same samples share, or None where the header shows none."""
    if not header.checksums and header.data_file is None:
        return None
    return header.n_samples, header.signals, header.checksums or header.data_file


def differences(records: Sequence) -> str:
    """Return how many recordings have which ``n_samples`` and ``sampling_rate``, as text."""
    tally = Counter((record.sampling_rate, record.n_samples) for record in records)
    kinds = ", ".join(
        f"{count} with {n_samples} samples at {rate:g} Hz"
        for (rate, n_samples), count in tally.most_common(_NAMED)
    )
    return f"{kinds}{', ...' if len(tally) > _NAMED else ''}"


def warn_of_differences(records: Sequence) -> None:
    """Warn that the data of recordings are a list of arrays."""
    warnings.warn(
        f"The records differ ({differences(records)}), so data is a list of arrays. Give "
        "sampling_rate= and n_samples= to get one array.",
        UserWarning,
        stacklevel=stacklevel_of_user(),
    )


def warn_of_padding(unify: Unify, records: Sequence) -> None:
    """Warn of recordings, with ``path``, that are shorter than what they are brought to."""
    short = [r for r in records if unify.pads(r.n_samples or 0, r.sampling_rate)]
    if short:
        first = short[0]
        warnings.warn(
            f"{len(short)} of {len(records)} recordings are shorter than "
            f"n_samples={unify.n_samples} and end with 0 mV, such as {printable(first.path)} of "
            f"{first.n_samples / first.sampling_rate:g} s. Models read this as a flat line: leave "
            "these recordings out, or use a smaller n_samples.",
            UserWarning,
            stacklevel=stacklevel_of_user(),
        )
