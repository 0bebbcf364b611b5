"""Labels and covariates in a table, joined to recordings."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from ecgsk._core.calling_line import stacklevel_of_user
from ecgsk._core.public import public
from ecgsk._core.record_names import IGNORABLE
from ecgsk._core.sklearn_compat import StrOptions, validate_params
from ecgsk._core.user_tables import open_table
from ecgsk.datasets._labels.choice import STOPPING, UsedColumn, choose_rows
from ecgsk.datasets._labels.covariates import columns_of, compare_patients, set_covariates
from ecgsk.datasets._labels.parts import add_columns, cut
from ecgsk.datasets._labels.report import explain_no_match, find_hints, summarize
from ecgsk.datasets._labels.rows import (
    NAMES,
    Candidates,
    find_by_keys,
    find_by_name,
    keys_of,
    metadata_of,
    names_of,
)
from ecgsk.datasets._labels.target import (
    Question,
    answers_of_rows,
    column_of,
    has_target,
    leave_out_unclear,
    make_target,
    parse_questions,
)
from ecgsk.datasets._reading import RecordsLeftOutWarning


@public("ecgsk")
@validate_params(
    {
        "bunch": [dict],
        "table": "no_validation",  # `open_table` names what is allowed
        "on": [str, Mapping],
        "target": [str, list, tuple, None],
        "patient": [str, None],
        "covariates": [str, list, tuple, Mapping],
        "sex_one_is": [StrOptions({"male", "female"}), None],
        "ignore": [str, list, tuple, set, frozenset],
        "within": [str, timedelta, None],
        "direction": [StrOptions({"nearest", "before", "after"})],
        "on_error": [StrOptions({"warn", "raise"})],
    },
    prefer_skip_nested_validation=True,
)
def join_labels(
    bunch: Bunch,
    table,
    *,
    on: str | Mapping[str, str],
    target: str | Sequence[str] | None = None,
    patient: str | None = None,
    covariates: str | Sequence[str] | Mapping[str, str] = (),
    sex_one_is: str | None = None,
    ignore: str | Sequence[str] = ("suffix",),
    within: str | timedelta | None = None,
    direction: str = "nearest",
    on_error: str = "warn",
) -> Bunch:
    """Join a table of labels and covariates to recordings.

    Each recording gets at most one row of the table, found by the name of its file, or by patient
    and date. Recordings without a row, or without a label in it, are left out and counted.
    Identifiers are compared as text: "00123" is not "123".

    Parameters
    ----------
    bunch : Bunch
        What a loader returns: `load_ecg`, `load_wfdb`, `load_ptbxl` and others. It is not changed.
    table : path or DataFrame
        A csv or tsv file with any separator in any encoding, as spreadsheets save it, a parquet
        file (extra ``parquet``), the first sheet of an xlsx file (extra ``excel``), or a DataFrame
        of pandas, polars or another library. Read a DataFrame with ``dtype=str``, or leading zeros
        of identifiers are lost.
    on : str or dict of str to str
        The column of the table with the names of the recordings' files. A name may have folders
        and an ending: those folders have to be the last ones of the recording's path. A dict
        compares other columns: ``{"patient": "mrn"}`` compares ``metadata["patient"]`` with the
        column "mrn". With a date, such as ``{"patient": "mrn", "date": "echo_date"}``, rows have
        to be from the same day (the same time, if both have times), or see ``within``.
    target : str, list of str or None, default=None
        The target: a column, or a comparison such as ``"lvef<=40"`` (also ``<``, ``>``,
        ``>=``, ``==``, ``!=``), which is 1 where it is true. Columns of yes and no, true and false,
        or 1 and 0 become 0 and 1; numbers stay; other texts are classes. A comparison reads "35 %",
        and ranges such as "35-40" and "<20" where both ends have the same answer. Several rows of a
        recording may differ in the column if their answers are equal. A list gives a column of 0
        and 1 for each. None keeps the target of ``bunch``.
    patient : str or None, default=None
        The column of the table with the patients, which become ``groups``. None keeps those of
        ``bunch``, or takes those of ``on``.
    covariates : str, list of str, or dict of str to str, default=()
        Columns of the table that become covariates: numbers, or yes and no. A dict renames them:
        ``{"age": "Age at ECG"}``. "age" and "sex" are read as loaders read them, "063Y" and "F"
        included. They replace those of the files where the table has a value.
    sex_one_is : {"male", "female"} or None, default=None
        What 1 means in the column of the sex, where it has numbers.
    ignore : list of {"suffix", "folder", "case", "zeros"}, default=("suffix",)
        What may differ between names: the ending of the file, its folders, capitals, and zeros
        before a number. Without "suffix", a name has to be ``metadata["record"]`` or the whole
        name of the file. A row that fits several recordings is not used.
    within : str or timedelta or None, default=None
        How far a row may be from the recording in time, such as ``"14 days"``. Needs a date in
        ``on``. Of a patient's rows that have a target, each recording gets the nearest one. Of
        two at the same distance, it gets the earlier one. A row may belong to several recordings.
    direction : {"nearest", "before", "after"}, default="nearest"
        Whether the row may be from before the recording, from after it, or both ("nearest").
    on_error : {"warn", "raise"}, default="warn"
        Whether to leave out recordings whose rows contradict each other, whose row fits several
        recordings, has no patient, or has no clear answer, such as "40-50" for ``"lvef<=45"``, or
        to stop at the first of them. If more than half of the cells are unclear, it is an error.

    Returns
    -------
    Bunch
        All of ``bunch``, cut to the recordings with labels, in the order of ``bunch``, and:

        data : ndarray, list or RecordArray
            Not read if it is a `RecordArray`, which then carries ``covariates`` as its table.
        target : ndarray of shape (n_records,) or (n_records, n_labels)
            See ``target``.
        target_names : list of str
            A name for each column of the target, or the classes if these are texts.
        groups : ndarray of shape (n_records,), or None
            Patients, for splitters that keep a patient's records together.
        covariates : DataFrame
            ``age`` (years), ``sex`` (0 male, 1 female) and others; NaN where unknown.
        metadata : DataFrame
            That of ``bunch`` and all columns of the table. A column that both have is called
            ``NAME_table`` in the second case.
        left_out : list of (str, str)
            Path and reason of each recording that was left out, after those of ``bunch``.
        matches : Bunch
            ``n_recordings``, ``n_rows``, ``n_matched``; ``rows``, the place of each recording's
            row in the table (counted from 0, without empty rows); ``rows_left`` (names of rows
            without a recording), ``left_out`` as above, ``n_repeated_rows``, ``n_shared_rows``
            (that belong to several recordings), ``n_ties``, and ``summary``, all of it as text.

    Raises
    ------
    FileNotFoundError
        When the file of the table does not exist.
    ImportError
        When a package that reads the file is missing.
    ValueError
        When a column does not exist, when no recording has a row or a label, when most cells of the
        target, or any of a covariate, a date or a patient, cannot be understood (the error has rows
        and values), when a spreadsheet has made identifiers numbers,
        and with ``on_error="raise"`` at the first recording that it concerns.

    Warns
    -----
    RecordsLeftOutWarning
        When recordings or rows were left over, or files and table contradict each other: the
        summary.
    UserWarning
        When all recordings have the same label, so that the unit of a threshold may be wrong. When
        numbers look like codes of unknown values.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecgsk import join_labels, make_ecg
    >>> from sklearn.utils import Bunch
    >>> names = pd.DataFrame({"record": ["0001", "0002", "0003"]})
    >>> ecgs = Bunch(data=make_ecg(3, random_state=0), metadata=names)  # or load_ecg(folder)
    >>> labels = pd.DataFrame(
    ...     {"file": ["0003.xml", "0001.xml", "0002.xml"], "lvef": ["35 %", "60", "40-45"],
    ...      "mrn": ["A7", "A9", "A7"], "age": [71, 54, 70]}
    ... )
    >>> joined = join_labels(
    ...     ecgs, labels, on="file", target="lvef<=45", patient="mrn", covariates=["age"]
    ... )
    >>> joined.target, joined.target_names, joined.groups.tolist()
    (array([0, 1, 1]), ['lvef<=45'], ['A9', 'A7', 'A7'])
    >>> print(joined.matches.summary)
    3 of 3 recordings were joined to rows of table, which has 3.
    """
    ignored, window = _check_ignore(ignore), _check_within(within)
    opened = open_table(table, _mentioned_columns(on, target, patient, covariates))
    keys = keys_of(bunch, on, opened)
    questions = [] if target is None else parse_questions(target, opened)
    columns = columns_of(covariates, opened)
    _check_leak(questions, columns)
    patients = None if patient is None else opened.identifiers(opened.find(patient, "patient"))
    labeled = has_target(questions, opened)
    by_name = len(keys) == 1 and next(iter(keys)) in NAMES
    if by_name:
        _check_no_time(within, direction)

    def find(ignored: set[str]) -> Candidates:
        if by_name:
            return find_by_name(bunch, next(iter(keys.values())), opened, ignored)
        usable = labeled | (window is None)
        return find_by_keys(bunch, keys, opened, ignored, window, direction, usable)

    found = find(ignored)
    ignorable = IGNORABLE if by_name else ("case", "zeros")
    hints = find_hints(find, found, ignored, ignorable)
    if not any(found.rows):
        raise ValueError(explain_no_match(bunch, on, keys, found, opened, window, hints))

    used = [
        UsedColumn(
            question.column, opened.texts(question.column), answers_of_rows(question, opened)
        )
        for question in questions
    ]
    used += [UsedColumn(column, opened.texts(column)) for column in columns.values()]
    rows, reasons = choose_rows(found, opened, used, labeled, patients)
    if on_error == "raise":
        stopping = [text for _, kind, text in reasons if kind in STOPPING]
        if stopping:
            raise ValueError(f"{stopping[0]}. Leave such recordings out with on_error='warn'.")
    else:
        reasons = sorted([*reasons, *leave_out_unclear(questions, opened, rows)])
    kept = np.flatnonzero(rows >= 0)
    rows = rows[kept]
    if not len(kept):
        counts = Counter(kind for _, kind, _ in reasons).items()
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts)
        raise ValueError(f"No recording is left: {kinds}. The first: {reasons[0][2]}.")

    result = cut(bunch, kept)
    names = [name for name, _ in names_of(bunch)]
    notes = []
    if questions:
        result.target, result.target_names = make_target(
            questions, not isinstance(target, str), opened, rows
        )
    if patients is not None:
        groups = np.array([patients[row] for row in rows], dtype=object)
        notes += compare_patients(result.get("groups"), groups, [names[place] for place in kept])
        result.groups = groups
    elif result.get("groups") is None and "patient" in keys:
        result.groups = metadata_of(bunch)["patient"].to_numpy(dtype=object)[kept]
    notes += set_covariates(result, columns, opened, rows, sex_one_is)
    result.metadata = add_columns(result.metadata, opened.values(rows))
    result.matches = summarize(names, found, reasons, rows, notes, hints, opened)
    paths = [path or name for name, path in names_of(bunch)]
    result.matches.left_out = [(paths[place], text) for place, _, text in reasons]
    if isinstance(result.get("left_out", []), list):
        result.left_out = [*result.get("left_out", []), *result.matches.left_out]
    result.DESCR = f"{result.get('DESCR', '')}\n{result.matches.summary}".strip()
    if reasons or notes or result.matches.rows_left:
        warnings.warn(
            result.matches.summary, RecordsLeftOutWarning, stacklevel=stacklevel_of_user()
        )
    return result


def _check_ignore(ignore) -> set[str]:
    chosen = {ignore} if isinstance(ignore, str) else set(ignore)
    if not chosen <= set(IGNORABLE):
        raise ValueError(
            f"ignore={ignore!r} is not allowed; give some of {', '.join(map(repr, IGNORABLE))}."
        )
    return chosen


def _check_within(within: str | timedelta | None) -> pd.Timedelta | None:
    if within is None:
        return None
    try:
        window = pd.Timedelta(within)
        # pandas takes "14" for nanoseconds.
        valid = window >= pd.Timedelta(0) and not str(within).strip().isdigit()
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"within={within!r} is not allowed; give a time such as '14 days'.")
    return window


def _check_no_time(within, direction: str) -> None:
    if within is not None or direction != "nearest":
        raise ValueError(
            f"within={within!r}, direction={direction!r} need a date in on=, such as "
            "on={'patient': 'mrn', 'date': 'echo_date'}."
        )


def _check_leak(questions: Sequence[Question], columns: Mapping[str, str]) -> None:
    leaked = {question.column for question in questions} & set(columns.values())
    if leaked:
        raise ValueError(
            f"covariates has {', '.join(map(repr, sorted(leaked)))}, which target reads: a model "
            "would see the answer. Leave it out of covariates."
        )


def _mentioned_columns(on, target, patient: str | None, covariates) -> list[str]:
    """Return names by which the separator of a text file is found."""
    targets = [target] if isinstance(target, str) else target or []
    several = [covariates] if isinstance(covariates, str) else covariates
    columns = several.values() if isinstance(several, Mapping) else several
    names = [on] if isinstance(on, str) else on.values()
    targets = [column_of(item) for item in targets if isinstance(item, str)]
    return [str(name) for name in (*names, *targets, *columns, patient) if name is not None]
