"""Recordings in files: all are listed at the start, and each is read when its turn comes."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from ecgsk._cli.covariate_table import CovariateTable
from ecgsk._cli.model_input import ModelInput
from ecgsk._cli.sources import Source, is_array, list_sources, open_array
from ecgsk._core.covariates import read_age
from ecgsk._core.record_error import RecordError
from ecgsk._core.records import RecordArray
from ecgsk._core.sampling_rate import Unify
from ecgsk._formats.folder import Unread
from ecgsk._wfdb.metadata import record_metadata
from ecgsk._wfdb.signal import read_signal, scan_record

# Largest difference of a recording's length from the model's that is not an error, s.
_TOLERANCE = 0.05
# Recordings of an .npy file that are read together: memory of the file is released after each read.
_BLOCK = 16


@dataclass
class Recording:
    """A recording before and after the model's prediction."""

    name: str
    signal: np.ndarray | None = None  # float32 (n_leads, n_samples), mV
    covariates: dict[str, float] = field(default_factory=dict)  # NaN where unknown
    doubts: list[str] = field(default_factory=list)  # each with its kind first
    error: str = ""  # why there is no prediction
    prediction: Sequence[str] = ()  # probabilities and decision, as they are written

    def fail(self, error: Exception) -> None:
        """Drop the signal and store the reason."""
        self.signal = None
        self.error = error.reason if isinstance(error, RecordError) else str(error)


class Recordings:
    """The recordings in folders, WFDB records and ``.npy`` files, in a fixed order.

    A recording that several paths lead to is listed once (``repeated`` has the names of the other
    paths). Files in a folder that may be recordings, but are in another format, are listed with
    the reason as their error.

    Raises FileNotFoundError for missing paths and folders without recordings, ValueError when the
    rate of ``.npy`` files, or the names of the model's leads, are needed and unknown.
    """

    def __init__(
        self,
        given: Sequence[str],
        model_input: ModelInput,
        *,
        sampling_rate: float | None = None,
        crop: bool = False,
        table: str | None = None,
    ):
        self.model_input = model_input
        self.crop = crop
        self._unify = Unify(model_input.sampling_rate, model_input.n_samples)
        self._sources, self.repeated = list_sources(given)
        read = [source for source in self._sources if not source.unread]
        arrays = next((s.shown for s in read if is_array(s.path)), None)
        if arrays is not None and sampling_rate is None:
            raise ValueError(f"{arrays} does not contain its sampling rate: give --sampling-rate.")
        header = next((s.shown for s in read if not is_array(s.path)), None)
        if header is not None and model_input.leads is None:
            raise ValueError(
                f"MODEL takes {model_input.n_leads} lead(s) but does not contain their names, so "
                f"they cannot be found in {header}: name them with --leads."
            )
        self._array_rate = sampling_rate or 0.0
        self._leads = model_input.leads or ()
        self._table = None if table is None else CovariateTable(table, model_input.columns)
        known = {"age", "sex"} if self._table is None else {"age", "sex", *self._table.columns}
        unknown = [name for name in model_input.columns if name not in known]
        if unknown:
            raise ValueError(
                f"MODEL needs {', '.join(unknown)}, which headers do not contain: give a table "
                "with them, and a column record, in --table."
            )

    def __len__(self) -> int:
        return sum(source.n_records for source in self._sources)

    @property
    def unread(self) -> list[Unread]:
        """The files, and folders, among them that are not read."""
        return [Unread(source.path, source.error) for source in self._sources if source.unread]

    @property
    def sha256(self) -> str:
        """Hash of the list of recordings and of when their files were changed."""
        digest = hashlib.sha256()
        for source in self._sources:
            text = f"{source.shown}\0{source.n_records}\0{source.state}\0"
            digest.update(text.encode(errors="surrogatepass"))
        return digest.hexdigest()

    def read(self, start: int = 0) -> Iterator[Recording]:
        """Yield recordings, without the first ``start``, at the model's rate and length."""
        for source in self._sources:
            if start >= source.n_records:
                start -= source.n_records
                continue
            if source.error:
                yield Recording(source.shown, error=source.error)
            elif is_array(source.path):
                yield from self._read_array(source, start)
            else:
                yield self._read_wfdb(source)
            start = 0

    def _read_wfdb(self, source: Source) -> Recording:
        recording = Recording(source.shown)
        try:
            header = scan_record(source.path, self._leads)
            n_samples = header.n_samples or 0
            recording.doubts = self._check_length(n_samples, header.sampling_rate)
            if recording.doubts and header.data_file is not None:
                # One second more keeps the end of the resampled recording free of artifacts.
                needed = int((self.model_input.seconds + 1) * header.sampling_rate) + 1
                n_samples = min(n_samples, needed)
                header = replace(header, n_samples=n_samples)
            signal = np.empty((len(self._leads), n_samples), dtype=np.float32)
            read_signal(header, self._leads, signal)
            metadata = record_metadata(header, signal)
            self._set_signal(recording, signal, header.sampling_rate)
            self._set_covariates(recording, metadata)
        except (OSError, ValueError) as error:
            recording.fail(error)
        return recording

    def _read_array(self, source: Source, start: int) -> Iterator[Recording]:
        numbers = range(start, source.n_records)
        names = [f"{source.shown}[{i}]" if source.numbered else source.shown for i in numbers]
        try:
            array = RecordArray.wrap(open_array(source.path)[0])
            if len(array) != source.n_records:
                raise ValueError("it was replaced during the run.")
            self._check_leads(array.shape[1], array.shape[2])
            doubts = self._check_length(array.shape[2], self._array_rate)
        except Exception as error:  # a file can be cut off, or replaced, in any way
            yield from (Recording(name, error=str(error)) for name in names)
            return
        blocks = (np.arange(i, min(i + _BLOCK, source.n_records)) for i in numbers[::_BLOCK])
        with np.errstate(over="ignore"):  # too large for float32: `ModelInput.check` refuses it
            signals = (signal for rows in blocks for signal in array.read(rows))
            for name, signal in zip(names, signals, strict=True):
                recording = Recording(name, doubts=list(doubts))
                try:
                    self._set_signal(recording, signal, self._array_rate)
                    self._set_covariates(recording, None)
                except ValueError as error:
                    recording.fail(error)
                yield recording

    def _check_leads(self, n_leads: int, n_samples: int) -> None:
        """Refuse arrays with another number of leads, which might be too long to resample."""
        wanted = self.model_input.n_leads
        if n_leads != wanted:
            turned = " Its axes look swapped: leads come before samples." * (n_samples == wanted)
            raise ValueError(f"it has {n_leads} leads; the model takes {wanted}.{turned}")

    def _check_length(self, n_samples: int, rate: float) -> list[str]:
        """Return a doubt for a recording that is cropped; raise for one of a wrong length."""
        seconds, wanted = n_samples / rate, self.model_input.seconds
        if abs(seconds - wanted) <= _TOLERANCE:
            return []
        length = f"it is {seconds:g} s long ({n_samples} samples at {rate:g} Hz)"
        if seconds > wanted and self.crop:
            return [f"cropped: {length}; the prediction is for its first {wanted:g} s."]
        remedy = ", or --crop to use its beginning" if seconds > wanted else ""
        raise ValueError(f"{length}; the model takes {wanted:g} s{remedy}.")

    def _set_signal(self, recording: Recording, signal: np.ndarray, sampling_rate: float) -> None:
        signal = self._unify(signal, sampling_rate)
        signal = np.ascontiguousarray(signal, dtype=np.float32)
        recording.doubts += self.model_input.check(signal)
        recording.signal = self.model_input.prepare(signal)

    def _set_covariates(self, recording: Recording, metadata: dict | None) -> None:
        """Take covariates from the table, and otherwise age and sex from the header."""
        where, doubt = "an .npy file", ""
        values = dict.fromkeys(self.model_input.columns, np.nan)
        if not values:
            return
        if metadata is not None:
            where, doubt = "the header", read_age(metadata["age_text"]).doubt
            sex = {"male": 0.0, "female": 1.0}.get(metadata["sex"], np.nan)
            header = {"age": metadata["age"], "sex": sex}
            values |= {name: header[name] for name in values if name in header}
        given = {} if self._table is None else self._table.of(recording.name)
        values |= given
        if "age" in values and "age" not in given and doubt:
            raise ValueError(
                f"the model needs age; that of the header, {doubt!r}, cannot be right. Correct it, "
                "or give it in --table."
            )
        recording.covariates = values
        if self._table is not None:
            where = f"--table or {where}"
        recording.doubts += self.model_input.check_covariates(values, where)

    def stack(self, recordings: Sequence[Recording]) -> RecordArray:
        """Return recordings as one array for the model, with its covariates."""
        X = np.stack([r.signal for r in recordings if r.signal is not None])
        table = pd.DataFrame([r.covariates for r in recordings])
        return RecordArray.wrap(
            X,
            table=table if self.model_input.columns else None,
            sampling_rate=self.model_input.sampling_rate,
            leads=self.model_input.leads,
        )
