"""Recordings in files: all are listed at the start, and each is read when its turn comes."""

import hashlib
from collections.abc import Generator, Sequence
from itertools import groupby

import numpy as np
import pandas as pd

from ecgsk._cli.covariate_table import CovariateTable
from ecgsk._cli.model_input import ModelInput
from ecgsk._cli.reader import Recording, RecordReader
from ecgsk._core.covariates import read_age, sex_name
from ecgsk._core.records import RecordArray
from ecgsk._core.signal import lead_name
from ecgsk._formats.folder import Unread
from ecgsk._formats.listing import Source, unread_of
from ecgsk._formats.processes import Processes, n_processes
from ecgsk._formats.record_files import RecordFile, list_files
from ecgsk._formats.stored import ReadOptions, Statements


class Recordings:
    """The recordings in folders and files of any format, in a fixed order.

    A recording that several paths lead to is listed once (``repeated`` has the names of the other
    paths). Files in a folder that may be recordings, but are in no format that is read, are listed
    with the reason as their error. Limb leads that are not stored are derived from I and II.
    ``n_jobs`` processes decode files of one recording each; the recordings are the same.

    Raises FileNotFoundError for missing paths and folders without recordings, ValueError when the
    rate of ``.npy`` files, or the names of the model's leads, are needed and unknown.
    """

    def __init__(
        self,
        given: Sequence[str],
        model_input: ModelInput,
        *,
        sampling_rate: float | None = None,
        unit: str | None = None,
        file_leads: Sequence[str] | None = None,
        crop: bool = False,
        table: str | None = None,
        table_on: str = "record",
        sex_one_is: str | None = None,
        n_jobs: int = 1,
    ):
        self.model_input = model_input
        # Models without names of leads read arrays without names of leads.
        leads = model_input.leads or tuple(f"lead {i + 1}" for i in range(model_input.n_leads))
        options = ReadOptions(
            sampling_rate=sampling_rate,
            unit=unit,
            leads=None if file_leads is None else tuple(map(lead_name, file_leads)),
            wanted=leads,
            unnamed=leads,
        )
        self._files, self.repeated = list_files(given, options, argument="RECORDS")
        for file in self._files:
            self._check_options(file.source, sampling_rate)
        self._reader = RecordReader(model_input, options, crop=crop)
        self._n_jobs = n_jobs
        self._table = (
            None
            if table is None
            else CovariateTable(table, model_input.columns, self._files, table_on, sex_one_is)
        )
        known = {"age", "sex"} if self._table is None else {"age", "sex", *self._table.columns}
        unknown = [name for name in model_input.columns if name not in known]
        if unknown:
            raise ValueError(
                f"MODEL needs {', '.join(unknown)}, which files of recordings do not contain: give "
                "a table with them in --table."
            )

    def _check_options(self, source: Source, sampling_rate: float | None) -> None:
        if source.format is None:
            return
        if source.format.name == "NPY" and sampling_rate is None:
            raise ValueError(
                f"{source.shown} does not contain its sampling rate: give --sampling-rate."
            )
        if source.format.names_leads and self.model_input.leads is None:
            raise ValueError(
                f"MODEL takes {self.model_input.n_leads} lead(s) but does not contain their names, "
                f"so they cannot be found in {source.shown}: name them with --leads."
            )

    def __len__(self) -> int:
        return sum(file.n_records for file in self._files)

    @property
    def unread(self) -> list[Unread]:
        """The files, and folders, among them that are not read."""
        return unread_of(file.source for file in self._files)

    @property
    def sha256(self) -> str:
        """Hash of the list of recordings and of when their files were changed."""
        digest = hashlib.sha256()
        for file in self._files:
            text = f"{file.source.shown}\0{file.n_records}\0{file.state}\0"
            digest.update(text.encode(errors="surrogatepass"))
        return digest.hexdigest()

    def read(self, start: int = 0) -> Generator[Recording, None, None]:
        """Yield recordings, without the first ``start``, at the model's rate and length.

        Close the iterator to end other processes.
        """
        first = 0
        while first < len(self._files) and start >= self._files[first].n_records:
            start -= self._files[first].n_records
            first += 1
        files = self._files[first:]
        n_jobs = n_processes(self._n_jobs, len(files))
        with Processes(self._reader.read_file, n_jobs, lost=_lost) as processes:
            for numbered, group in groupby(files, lambda file: file.numbered):
                if not numbered:
                    yield from map(self._with_covariates, processes.map(group))
                    continue
                for file in group:
                    yield from map(self._with_covariates, self._reader.read(file, start))
                    start = 0

    def _with_covariates(self, recording: Recording) -> Recording:
        if not recording.error:
            try:
                self._set_covariates(recording)
            except ValueError as error:
                recording.fail(error)
        recording.states = Statements()
        return recording

    def _set_covariates(self, recording: Recording) -> None:
        """Take covariates from the table, and otherwise age and sex from the file."""
        values = dict.fromkeys(self.model_input.columns, np.nan)
        if not values:
            return
        age = read_age(recording.states.age_text or "")
        sex = {"male": 0.0, "female": 1.0}.get(sex_name(recording.states.sex_text) or "", np.nan)
        stated = {"age": age.years, "sex": sex}
        values |= {name: stated[name] for name in values if name in stated}
        given = {} if self._table is None else self._table.of(recording.name)
        values |= given
        if "age" in values and "age" not in given and age.doubt:
            raise ValueError(
                f"the model needs age; that of the file, {age.doubt!r}, cannot be right. Correct "
                "it, or give it in --table."
            )
        recording.covariates = values
        where = "the file" if self._table is None else "--table or the file"
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


def _lost(file: RecordFile) -> Recording:
    return Recording(
        file.source.shown,
        error="it ended the process that decoded it, by a crash or by too much memory.",
    )
