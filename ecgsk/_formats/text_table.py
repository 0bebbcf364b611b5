"""Tables of samples in text files: csv, tsv and txt.

There is a column for each lead, and the first row has the names of the leads in any spelling that
`lead_name` reads, where wanted with their unit: ``I``, ``ECG lead II``, ``V1 (mV)``, ``aVR [uV]``.
Without such a row the user names the leads. A table may also have a row for each lead if its first
column names the leads.

Columns are separated by comma, semicolon, tab, bar or blanks. A column of times whose name states
the unit, such as ``time (ms)`` or ``time_s``, gives the sampling rate. Other columns are not used.
"""

import io
import re
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ecgsk._core.csv_tables import decode_text
from ecgsk._core.record_error import RecordError
from ecgsk._core.signal import lead_name, millivolt_factor
from ecgsk._formats.arrays import ArrayContent, opened, to_millivolt
from ecgsk._formats.stored import ReadOptions, StoredECG, WholeFileFormat
from ecgsk._formats.text_layout import (
    BLANKS,
    MISSING,
    TextLayout,
    find_layout,
    is_lead,
    lead_and_unit,
    split,
)
from ecgsk._formats.time_column import is_time, rate_of_step, seconds_per_unit, step_of_times

_LARGEST_FILE = 32 << 20
_SHORTEST = 1  # s; tables of amplitudes have columns of leads as well
_BEGINNING = 4096
_LONGEST_ROW = 1 << 20
_MOST_ROWS_OF_LEADS = 256


class TextTable(WholeFileFormat):
    """Tables of samples with named columns, in text files."""

    name = "CSV"
    endings = (".csv", ".tsv", ".txt")
    states_unit = False

    def recognizes(self, path: str, beginning: bytes) -> bool:
        if not path.lower().endswith(self.endings):
            return False
        cut = len(beginning) == _BEGINNING
        try:
            if cut and not re.search(rb"[\r\n]", beginning):
                with opened(path) as file:
                    beginning = file.read(_LONGEST_ROW)  # of numbers, or of a name for each
                cut = len(beginning) == _LONGEST_ROW
            layout = find_layout(decode_text(_without_cut_character(beginning)), cut)
        except ValueError:  # no text, or not to be opened
            return False
        return layout is not None and not layout.is_of_patients

    def decode_file(self, path: str, options: ReadOptions) -> tuple[StoredECG, np.ndarray]:
        with opened(path) as file:
            content = file.read(_LARGEST_FILE + 1)
            if len(content) > _LARGEST_FILE:
                raise RecordError(path, f"it has more than {_LARGEST_FILE >> 20} MB of text")
            text = decode_text(content)
            layout = find_layout(text)
            if layout is None:
                raise ValueError(
                    "its first row does not name two leads above columns of numbers, and it "
                    "contains more than numbers. Write the names of the leads into the first row"
                )
            if layout.by_row:
                names, samples, rate = *_read_rows(text, layout), None
            else:
                names, samples, rate = _read_columns(text, layout, options)
            units = [lead_and_unit(name)[1] for name in names]
            leads = tuple(lead_and_unit(name)[0] for name in names)
            unit = _one_unit(samples, units, options)
        found = ArrayContent(path, samples.shape, samples.dtype, rate, leads, unit)
        (ecg,) = found.recordings(self.name, options)
        if ecg.n_samples < _SHORTEST * ecg.sampling_rate:
            found.refuse(
                f"it has {ecg.n_samples} samples of each lead, less than {_SHORTEST} s: it is a "
                "table of something else"
            )
        signal = to_millivolt(samples, found.factor(options), path)
        return replace(ecg, crc=zlib.crc32(signal.tobytes())), signal


def _without_cut_character(beginning: bytes) -> bytes:
    """Return the beginning of a file, without the first bytes of a character in UTF-8."""
    for n_bytes in range(min(3, len(beginning)) + 1):
        whole = beginning[: len(beginning) - n_bytes]
        try:
            whole.decode("utf-8")
        except UnicodeDecodeError:
            continue
        return whole
    return beginning


def _read_rows(text: str, layout: TextLayout) -> tuple[list[str], np.ndarray]:
    """Return the names and samples of a table with a row for each lead."""
    lines = [line for line in text[layout.start :].splitlines() if line.strip(" \t,;|")]
    if len(lines) > _MOST_ROWS_OF_LEADS:
        raise ValueError(f"it has {len(lines)} rows; expected one for each lead")
    rows = [split(line, layout.separator) for line in lines]
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"its rows have {min(map(len, rows))} to {max(map(len, rows))} columns")
    return [row[0] for row in rows], np.array([_row_of_numbers(row[1:]) for row in rows])


def _row_of_numbers(cells: Sequence[str]) -> np.ndarray:
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:  # decimal commas, or missing samples
        texts = (cell.replace(",", ".").lower() for cell in cells)
        return np.array([np.nan if text in MISSING else float(text) for text in texts])


def _read_columns(
    text: str, layout: TextLayout, options: ReadOptions
) -> tuple[list[str], np.ndarray, float | None]:
    """Return the names and samples of the leads, and the rate that the times among them state."""
    cells = layout.cells
    if cells is None:
        names = list(_stated_leads(layout, options))
        return names, _numbers(text, layout, range(layout.n_columns)).T, None
    wanted = {*options.wanted, *map(lead_name, options.leads or ())}
    names = [lead_and_unit(cell)[0] for cell in cells]
    leads = [i for i, name in enumerate(names) if is_lead(name) or name in wanted]
    times = [i for i, cell in enumerate(cells) if i not in leads and is_time(cell)]
    frame = _numbers(text, layout, leads)
    rate = None
    if times:
        time = max(times, key=lambda i: seconds_per_unit(cells[i]) is not None)
        rate = _rate_of_times(text, layout, time, options)
    return [cells[i] for i in leads], frame.T, rate


def _stated_leads(layout: TextLayout, options: ReadOptions) -> Sequence[str]:
    if options.leads is None:
        raise ValueError(
            f"its {layout.n_columns} columns have no names: add a first row with the names of the "
            "leads, or give file_leads"
        )
    if len(options.leads) != layout.n_columns:
        raise ValueError(
            f"it has {layout.n_columns} columns without names, but file_leads has "
            f"{len(options.leads)} names. Add a first row with the names of the columns"
        )
    return options.leads


def _rate_of_times(
    text: str, layout: TextLayout, column: int, options: ReadOptions
) -> float | None:
    """Return the rate that a column of times states.

    Raises ValueError for steps that are not constant, or that contradict the rate that is given.
    """
    assert layout.cells is not None
    name = layout.cells[column]
    unit = seconds_per_unit(name)
    try:
        times = _numbers(text, layout, [column])[:, 0]
    except ValueError:
        if unit is None:
            return None  # times of the day, or dates
        raise
    step, relative_error = step_of_times(times, name)
    if unit is not None:
        return rate_of_step(step * unit, relative_error)
    if options.sampling_rate is None:
        raise ValueError(
            f"its column {name!r} does not state the unit of the times: rename it to 'time_s' or "
            "'time_ms', or give file_sampling_rate (--sampling-rate)"
        )
    # In s, ms, us or samples.
    possible = (step * options.sampling_rate / factor for factor in (1, 1e3, 1e6))
    if step != 1 and not any(abs(ratio - 1) <= 0.01 for ratio in possible):
        raise ValueError(
            f"the steps of its column {name!r} are {step:g}, which is {1 / step:g} Hz if in s, but "
            f"file_sampling_rate={options.sampling_rate:g} was given"
        )
    return None


def _numbers(text: str, layout: TextLayout, columns: Sequence[int]) -> np.ndarray:
    """Return some columns of a table as numbers; ValueError for texts and rows that are cut."""
    body = io.StringIO(text)
    failures = []
    for decimal in (".", ","):
        body.seek(layout.start)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame = pd.read_csv(
                    body,
                    sep=layout.separator,
                    header=None,
                    names=range(layout.n_columns),
                    usecols=list(columns),
                    dtype=np.float64,
                    decimal=decimal,
                    skipinitialspace=True,
                    index_col=False,
                )
            break
        except (ValueError, pd.errors.ParserWarning) as error:
            failures.append(" ".join(str(error).split()))
    else:
        raise ValueError(f"its columns of samples cannot be read: {failures[0]}")
    _check_rows(text, layout, len(frame))
    samples = frame[list(columns)].to_numpy()
    # Spreadsheets write rows without values after the last one.
    filled = np.flatnonzero(~np.isnan(samples).all(axis=1))
    return samples[: filled[-1] + 1 if len(filled) else 0]


def _check_rows(text: str, layout: TextLayout, n_rows: int) -> None:
    """Raise ValueError where rows have more or fewer columns than the first, such as a cut one."""
    if '"' in text[layout.start :]:
        return
    if layout.separator == BLANKS:
        n_found, n_expected = len(text[layout.start :].split()), n_rows * layout.n_columns
    else:
        n_found = text.count(layout.separator, layout.start)
        n_expected = n_rows * (layout.n_columns - 1)
    if n_found != n_expected:
        raise ValueError(
            f"not all of its {n_rows} rows have {layout.n_columns} columns: it was cut off or "
            "changed"
        )


def _one_unit(samples: np.ndarray, units: Sequence[str | None], options: ReadOptions) -> str | None:
    """Return the unit of all leads; samples in different ones are converted to mV, in place."""
    if None not in units:
        if len(set(units)) == 1:
            return units[0]
        samples *= np.array([[millivolt_factor(unit or "")] for unit in units])
        return "mV"
    if any(units):
        raise ValueError("the names of some leads state a unit, and those of others do not")
    if options.unit is None and not (samples[:, :100] % 1 > 0).any() and _are_whole(samples):
        raise ValueError(
            "its samples are whole numbers, which are counts or uV rather than mV: give file_unit, "
            "or state the unit in the names of the leads, such as 'I (uV)'"
        )
    return None


def _are_whole(samples: np.ndarray) -> bool:
    found = samples[np.isfinite(samples)]
    return bool(found.any() and not (found % 1).any())
