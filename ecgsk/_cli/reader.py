"""Reads recordings in any format as a model needs them, also in other processes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from ecgsk._cli.model_input import ModelInput
from ecgsk._core.record_error import RecordError
from ecgsk._core.sampling_rate import Unify
from ecgsk._formats.lead_plan import plan_leads
from ecgsk._formats.record_files import RecordFile
from ecgsk._formats.stored import ReadOptions, Statements, StoredECG

# Largest difference of a recording's length from the model's that is not an error, s.
_TOLERANCE = 0.05
# A recording cannot be read, or a package for its format is missing.
_ERRORS = (OSError, ValueError, ImportError, MemoryError)


@dataclass
class Recording:
    """A recording before and after the model's prediction."""

    name: str
    signal: np.ndarray | None = None  # float32 (n_leads, n_samples), mV
    states: Statements = Statements()
    covariates: dict[str, float] = field(default_factory=dict)  # NaN where unknown
    doubts: list[str] = field(default_factory=list)  # each with its kind first
    error: str = ""  # why there is no prediction
    prediction: Sequence[str] = ()  # probabilities and decision, as they are written

    def fail(self, error: Exception) -> None:
        """Drop the signal and store the reason."""
        self.signal = None
        self.error = error.reason if isinstance(error, RecordError) else str(error)
        if isinstance(error, MemoryError):
            self.error = "it does not fit into memory."


class RecordReader:
    """Reads recordings and brings them to the rate, length and preprocessing of a model.

    Covariates are not examined. ``crop`` uses the beginning of
    recordings that are too long.
    """

    def __init__(self, model_input: ModelInput, options: ReadOptions, *, crop: bool = False):
        # The model's parts are large, and other processes do not need them.
        self._model_input = replace(model_input, covariates=())
        # One second more keeps the end of the resampled recording free of artifacts.
        seconds = model_input.seconds + 1 if crop else None
        self._options = replace(options, seconds=seconds)
        self._crop = crop
        self._unify = Unify(model_input.sampling_rate, model_input.n_samples)

    def read_file(self, file: RecordFile) -> Recording:
        """Return the recording of a file with one."""
        (recording,) = self.read(file)
        return recording

    def read(self, file: RecordFile, start: int = 0) -> Iterator[Recording]:
        """Yield the recordings of a file without the first ``start``."""
        names = file.names
        done = start
        try:
            if file.error or file.source.format is None:
                raise ValueError(file.error)
            found = file.source.format.decode(file.source.path, self._options)
            for ecg, samples in islice(found, start, file.n_records):
                yield self._recording(names[done], ecg, samples)
                done += 1
            if done < len(names):
                raise ValueError("it was replaced during the run")
        except _ERRORS as error:
            for name in names[done:]:
                recording = Recording(name)
                recording.fail(error)
                yield recording

    def _recording(self, name: str, ecg: StoredECG, samples: Callable) -> Recording:
        recording = Recording(name, states=ecg.states)
        try:
            plan = plan_leads(ecg.leads, self._options.wanted)
            recording.doubts = self._check_length(ecg.n_samples, ecg.sampling_rate)
            signal = self._unify(plan.apply(samples(plan.needed)), ecg.sampling_rate)
            signal = np.ascontiguousarray(signal, dtype=np.float32)
            recording.doubts += [f"file: {doubt}." for doubt in ecg.doubts]
            recording.doubts += self._model_input.check(signal)
            recording.signal = self._model_input.prepare(signal)
        except _ERRORS as error:
            recording.fail(error)
        return recording

    def _check_length(self, n_samples: int, rate: float) -> list[str]:
        """Return a doubt for a recording that is cropped; raise for one of a wrong length."""
        seconds, wanted = n_samples / rate, self._model_input.seconds
        if abs(seconds - wanted) <= _TOLERANCE:
            return []
        length = f"it is {seconds:g} s long ({n_samples} samples at {rate:g} Hz)"
        if seconds > wanted and self._crop:
            return [f"cropped: {length}; the prediction is for its first {wanted:g} s."]
        remedy = ", or --crop to use its beginning" if seconds > wanted else ""
        raise ValueError(f"{length}; the model takes {wanted:g} s{remedy}.")
