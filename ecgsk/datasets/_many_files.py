"""Many files of any format: decoded in processes or threads, or listed to be read later."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from ecgsk._core.record_error import RecordError
from ecgsk._core.sampling_rate import Unify
from ecgsk._core.signal_doubts import find_doubts
from ecgsk._formats.lead_plan import plan_leads
from ecgsk._formats.processes import Processes, n_processes
from ecgsk._formats.registry import format_named
from ecgsk._formats.stored import Format, ReadOptions, StoredECG

# Files for a thread at a time: enough to hide the cost of a call, few enough for the bar to move.
_CHUNK = 16
# So many files take less time than the start of a process.
_FEW = 64


@dataclass(frozen=True)
class Wanted:
    """The leads, rate and length that recordings are converted to."""

    leads: tuple[str, ...]
    unify: Unify
    options: ReadOptions

    def shape(self, ecg: StoredECG) -> tuple[int, int]:
        """Return the shape of a recording's array."""
        return len(self.leads), self.unify.n_samples_of(ecg.n_samples, ecg.sampling_rate)

    def derived(self, ecg: StoredECG) -> tuple[str, ...]:
        """Return which leads follow from others; RecordError for leads that are missing."""
        return self._plan(ecg).derived

    def finish(self, ecg: StoredECG, read: Callable[[Sequence[str]], np.ndarray]) -> np.ndarray:
        """Return the wanted leads at the wanted rate and length, by a function that reads leads."""
        plan = self._plan(ecg)
        signal = plan.apply(read(plan.needed))
        if np.isinf(signal).any():
            raise RecordError(ecg.path, "it contains infinite samples")
        return self.unify(signal, ecg.sampling_rate)

    def _plan(self, ecg: StoredECG):
        try:
            return plan_leads(ecg.leads, self.leads)
        except ValueError as error:
            raise RecordError(ecg.path, str(error)) from None


@dataclass(frozen=True)
class Loaded:
    """A recording, with its array unless it is read later."""

    ecg: StoredECG
    derived: tuple[str, ...]
    signal: np.ndarray | None = None
    doubts: tuple[str, ...] = ()  # of the file and about its use


_UNIT = "its amplitude is unlikely for mV; give file_unit if it has another unit"
_PADDED = (
    "it is shorter than n_samples and ends with 0 mV, which models read as a flat line; leave it "
    "out, or use a smaller n_samples"
)

Result = Loaded | RecordError


def load_files(
    files: Sequence[tuple[str, Format]],
    wanted: Wanted,
    *,
    lazy: bool,
    on_error: str,
    n_jobs: int | None,
    progress: bool,
) -> list[Result]:
    """Return the recordings in files, in their order, and an error for each that is not usable.

    Formats that are parsed in Python are decoded in processes, others in threads.
    """
    results: list[list[Result]] = [[] for _ in files]
    slow = [kind.in_processes for _, kind in files]
    load = partial(_load, wanted=wanted, lazy=lazy)

    def lost(file: tuple[str, Format]) -> list[Result]:
        return [
            RecordError(
                file[0], "it ended the process that decoded it, by a crash or by too much memory"
            )
        ]

    with tqdm(total=len(files), disable=not progress, unit="file") as bar:
        for in_processes in (False, True):
            places = [place for place, is_slow in enumerate(slow) if is_slow == in_processes]
            items = [files[place] for place in places]
            n_workers = min(n_processes(n_jobs), -(-len(items) // _FEW)) if in_processes else 1
            with Processes(load, max(1, n_workers), lost=lost) as processes:
                done = processes.map(items) if in_processes else _in_threads(load, items, n_jobs)
                for place, found in zip(places, done, strict=True):
                    errors = [result for result in found if isinstance(result, RecordError)]
                    if errors and on_error == "raise":
                        raise errors[0]
                    results[place] = found
                    bar.update()
    return [result for found in results for result in found]


def _in_threads(load: Callable, items: Sequence, n_jobs: int | None) -> Iterator[list[Result]]:
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    calls = (delayed(lambda chunk: [load(item) for item in chunk])(chunk) for chunk in chunks)
    for done in Parallel(n_jobs=n_jobs, require="sharedmem", return_as="generator")(calls):
        yield from done


def _load(file: tuple[str, Format], *, wanted: Wanted, lazy: bool) -> list[Result]:
    return list(_recordings(*file, wanted, lazy))


def _recordings(path: str, kind: Format, wanted: Wanted, lazy: bool) -> Iterator[Result]:
    try:
        found: Iterable[tuple[StoredECG, Callable | None]]
        if lazy:
            found = ((ecg, None) for ecg in kind.scan(path, wanted.options))
        else:
            found = kind.decode(path, wanted.options)
        for ecg, read in found:
            try:
                signal = None if read is None else wanted.finish(ecg, read)
                if signal is not None and kind.name != "WFDB":
                    ecg = replace(ecg, handle=None, crc=fingerprint(signal))
                doubts = list(ecg.doubts)
                if signal is not None and not kind.states_unit and _is_of_another_unit(signal):
                    doubts.append(_UNIT)
                if wanted.unify.pads(ecg.n_samples, ecg.sampling_rate):
                    doubts.append(_PADDED)
                yield Loaded(ecg, wanted.derived(ecg), signal, tuple(doubts))
            except RecordError as error:
                yield error
            except ValueError as error:
                yield RecordError(path, str(error))
    except RecordError as error:
        yield error
    except (ImportError, ValueError) as error:
        yield RecordError(path, str(error).rstrip("."))
    except OSError as error:
        yield RecordError(path, f"it cannot be read ({error.strerror or error})")
    except MemoryError:
        yield RecordError(path, "it does not fit into memory")
    except Exception as error:  # untrusted bytes can fail in any way; the others must not
        yield RecordError(path, f"it cannot be decoded ({type(error).__name__}: {error})")


def _is_of_another_unit(signal: np.ndarray) -> bool:
    finite = np.nan_to_num(signal, nan=0.0)[np.newaxis]
    return any(doubt.kind == "amplitude" for doubt in find_doubts(finite))


def fingerprint(signal: np.ndarray) -> int | None:
    """Return a number that equal recordings share, in whole microvolt; None for flat ones."""
    with np.errstate(invalid="ignore"):
        microvolt = np.rint(np.nan_to_num(signal, nan=0.0) * np.float32(1000)).astype(np.int32)
    return zlib.crc32(microvolt) if microvolt.any() else None


class FormatReader:
    """Reads recordings of one shape from their files, for a `RecordArray`."""

    def __init__(self, ecgs: Sequence[StoredECG], wanted: Wanted, shape: tuple[int, int]):
        self.ecgs = list(ecgs)
        self.wanted = wanted
        self.shape = shape

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), *self.shape), dtype=np.float32)
        for place, row in enumerate(rows):
            ecg = self.ecgs[row]
            out[place] = self.wanted.finish(ecg, partial(self._read, ecg))
        return out

    def _read(self, ecg: StoredECG, leads: Sequence[str]) -> np.ndarray:
        return format_named(ecg.format).read(ecg, leads, self.wanted.options)
