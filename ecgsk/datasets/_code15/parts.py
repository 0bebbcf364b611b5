"""The files of CODE-15 with recordings: where each exam is, and how to read it."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import STANDARD_LEADS
from ecgsk._formats.hdf5 import opened_hdf5, rows_of_tracings
from ecgsk._formats.tracings import CODE_SAMPLES, check_lead_order, recorded_parts


class Place(NamedTuple):
    """Where an exam is: the row in a file, and the samples that were recorded."""

    file: str
    row: int
    start: int
    stop: int


def find_exams(
    folder: str, exam_ids: Sequence[int], names: Sequence[str]
) -> list[Place | RecordError]:
    """Return the place of each exam in the file that the table names for it, or an error.

    Only the numbers of the exams and a few samples of each are read.
    """
    files = pd.Series(list(names)).map(lambda name: os.path.join(folder, os.path.basename(name)))
    wanted = np.asarray(exam_ids, dtype=np.int64)
    found: list[Place | RecordError] = [RecordError("", "")] * len(wanted)
    for file, places in files.groupby(files).indices.items():
        for place, result in zip(places, _in_file(str(file), wanted[places]), strict=True):
            found[place] = result
    return found


def _in_file(file: str, exam_ids: np.ndarray) -> list[Place | RecordError]:
    try:
        with opened_hdf5(file) as content:
            array, rows, numbers = rows_of_tracings(file, content)
            if array.shape[1:] != (len(STANDARD_LEADS), CODE_SAMPLES) or numbers is None:
                raise ValueError(
                    f"expected 'tracings' of shape (exams, {CODE_SAMPLES}, {len(STANDARD_LEADS)}) "
                    "and 'exam_id', as CODE-15 has them"
                )
            tracings = content["tracings"]
            check_lead_order(file, tracings, rows, STANDARD_LEADS)
            parts = recorded_parts(tracings)
    except RecordError as error:
        return [error] * len(exam_ids)
    index = pd.Series(numbers)
    twice = set(index[index.duplicated(keep=False)].tolist())
    row_of = pd.Series(index.index, index=index)
    results: list[Place | RecordError] = []
    for exam_id in exam_ids.tolist():
        if exam_id in twice:
            results.append(RecordError(file, f"exam_id {exam_id} occurs more than once"))
        elif exam_id not in row_of.index:
            results.append(RecordError(file, f"exam_id {exam_id} is not in it", missing=True))
        else:
            row = int(row_of[exam_id])
            start, stop = parts[row]
            place = Place(file, row, start, stop)
            empty = RecordError(file, f"exam_id {exam_id} has only zeros")
            results.append(place if stop else empty)
    return results


class ExamReader:
    """Reads the middle of exams, with zeros around shorter ones, for a `RecordArray`."""

    def __init__(self, places: Sequence[Place], n_samples: int):
        self.places = list(places)
        self.n_samples = n_samples

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        out = np.zeros((len(rows), len(STANDARD_LEADS), self.n_samples), dtype=np.float32)
        files = [self.places[row].file for row in rows]
        for file in dict.fromkeys(files):
            with opened_hdf5(file) as content:
                tracings = content["tracings"]
                for target, row in enumerate(rows):
                    if files[target] == file:
                        self._read(tracings, self.places[row], out[target])
        return out

    def _read(self, tracings, place: Place, out: np.ndarray) -> None:
        surplus = (place.stop - place.start) - self.n_samples
        first = place.start + max(surplus, 0) // 2
        n_samples = min(place.stop - place.start, self.n_samples)
        at = max(-surplus, 0) // 2
        out[:, at : at + n_samples] = tracings[place.row, first : first + n_samples].T
