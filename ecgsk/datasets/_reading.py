"""Many records of a data set: read in threads, without those that cannot be read."""

from collections.abc import Callable, Sequence

import numpy as np
from joblib import Parallel, delayed

from ecgsk._core.public import public
from ecgsk._core.record_error import RecordError
from ecgsk._core.records import RecordArray, batches
from ecgsk._wfdb.header import Header
from ecgsk._wfdb.signal import read_signal

_CHUNK = 64


@public("ecgsk.datasets")
class RecordsLeftOutWarning(UserWarning):
    """Some records were left out; the message has their number and the reasons."""


def attempt(function: Callable, items: Sequence, *, n_jobs: int | None, on_error: str) -> list:
    """Call a function on each item, in threads; a RecordError stands where a result failed.

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
