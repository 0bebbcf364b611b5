"""From the columns of a table of labels to a target."""

import operator
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgsk._core.calling_line import stacklevel_of_user
from ecgsk._core.cell_values import (
    Interval,
    is_missing,
    read_interval,
    read_intervals,
    read_truth,
    refuse,
    warn_of_codes,
)
from ecgsk._core.user_tables import UserTable

_QUESTION = re.compile(r"(.+?)\s*(<=|>=|==|!=|<|>|≤|≥)\s*(.+)", re.DOTALL)
_SPELLED = {"≤": "<=", "≥": ">="}
_COMPARE = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
}
# Fewer recordings may each have a class of their own.
_FEW = 10
_CORRECT = "Correct these cells, or empty those of unknown values"
UNANSWERED = "because their cells have no clear answer"


@dataclass(frozen=True)
class Question:
    """A label: a comparison with the cell of a column, or the cell itself."""

    column: str
    name: str
    comparison: str = ""
    value: str | float = ""


def column_of(target: str) -> str:
    """Return the column of a text such as "lvef<=40", or the text itself."""
    match = _QUESTION.fullmatch(target.strip())
    return match[1] if match else target


def parse_questions(target, table: UserTable) -> list[Question]:
    """Read the parameter ``target`` of `join_labels`."""
    targets = [target] if isinstance(target, str) else list(target)
    if not targets or not all(isinstance(item, str) and item.strip() for item in targets):
        raise ValueError(
            f"target={target!r} is not allowed; give a column such as 'low_ef', a comparison such "
            "as 'lvef<=40', or a list of them."
        )
    questions = [_parse(item, table) for item in targets]
    names = [question.name for question in questions]
    if len(set(names)) < len(names):
        raise ValueError(f"target={target!r} has a label twice; leave one of them out.")
    return questions


def _parse(target: str, table: UserTable) -> Question:
    match = _QUESTION.fullmatch(target.strip())
    if match is None or target in table.frame.columns:
        column = table.find(target, "target")
        return Question(column, column)
    column = table.find(match[1], "target")
    comparison = _SPELLED.get(match[2], match[2])
    text = match[3].strip().strip("\"'")
    number = read_interval(text)
    if number is not None and number.is_number:
        return Question(column, f"{column}{comparison}{number.low:g}", comparison, number.low)
    if comparison not in ("==", "!="):
        raise ValueError(
            f"target={target!r} compares {column!r} with {text!r}, which is not a number. Give a "
            "number, or use == or != for texts."
        )
    return Question(column, f"{column}{comparison}{text}", comparison, text)


def has_target(questions: Sequence[Question], table: UserTable) -> np.ndarray:
    """Return which rows of the table have a value in all columns of the target."""
    known = np.ones(len(table), dtype=bool)
    for column in {question.column for question in questions}:
        known &= [not is_missing(text) for text in table.texts(column)]
    return known


def answers_of_rows(question: Question, table: UserTable) -> list[int | None] | None:
    """Return what each row answers to a comparison, None where that is unclear or missing.

    None for a question without a comparison.
    """
    if not question.comparison:
        return None
    cells = _Cells.read(question, table, np.arange(len(table)))
    answer, unclear = cells.compare()
    unclear |= [is_missing(text) for text in cells.texts]
    return [None if no else int(yes) for yes, no in zip(answer, unclear, strict=True)]


def leave_out_unclear(
    questions: Sequence[Question], table: UserTable, rows: np.ndarray
) -> list[tuple[int, str, str]]:
    """Set rows with an unclear cell to -1; return the places, with kind and text of the reason.

    Raises ValueError if more than half of the cells are unclear.
    """
    reasons = []
    for question in questions:
        places = np.flatnonzero(rows >= 0)
        cells = _Cells.read(question, table, rows[places])
        unclear, _, problem = cells.find_unclear()
        if 2 * unclear.sum() > len(places):
            cells.refuse_unclear()
        for number in np.flatnonzero(unclear):
            text = (
                f"{cells.texts[number]!r} in {table.row_names(cells.rows[number])} of the column "
                f"{question.column!r} {problem}"
            )
            reasons.append((int(places[number]), UNANSWERED, text))
        rows[places[unclear]] = -1
    return reasons


def make_target(
    questions: Sequence[Question], is_matrix: bool, table: UserTable, rows: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Return the target of some rows, which have one, and the names of its labels.

    Of shape (n_rows,), or (n_rows, n_labels) with 0 and 1.
    """
    answers = [_answer(question, table, rows) for question in questions]
    if not is_matrix:
        return answers[0], _names(questions[0], answers[0])
    for question, answer in zip(questions, answers, strict=True):
        if answer.dtype == object or not np.isin(answer, (0, 1)).all():
            first = answer[~np.isin(answer, (0, 1))][0]
            raise ValueError(
                f"target={question.name!r} has values such as {first!r}, but each of several "
                f"labels has to be yes or no. Compare it: '{question.column}<=...' or "
                f"'{question.column}==...'."
            )
    return np.column_stack(answers).astype(np.int64), [question.name for question in questions]


def _names(question: Question, answer: np.ndarray) -> list[str]:
    return [question.name] if answer.dtype != object else sorted(set(answer))


@dataclass(frozen=True)
class _Cells:
    """The cells of some rows in the column of a question."""

    question: Question
    table: UserTable
    rows: np.ndarray
    texts: list[str]
    intervals: list[Interval | None]

    @classmethod
    def read(cls, question: Question, table: UserTable, rows: np.ndarray) -> "_Cells":
        texts = table.texts(question.column)
        intervals = read_intervals(texts, table.decimal_comma)  # the whole column decides
        return cls(
            question, table, rows, [texts[row] for row in rows], [intervals[row] for row in rows]
        )

    @property
    def truth(self) -> np.ndarray:
        return np.array([read_truth(text) for text in self.texts])

    @property
    def is_number(self) -> np.ndarray:
        return np.array([item is not None and item.is_number for item in self.intervals], bool)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        low = np.array([np.nan if item is None else item.low for item in self.intervals])
        return low, np.array([np.nan if item is None else item.high for item in self.intervals])

    def compare(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the answers to a comparison, and which of them are unclear."""
        comparison, value = self.question.comparison, self.question.value
        if isinstance(value, str):
            same = np.array([text.casefold() == value.casefold() for text in self.texts], bool)
            return (same if comparison == "==" else ~same), np.zeros(len(same), bool)
        low, high = self.bounds()
        answer = _COMPARE[comparison](low, value)
        # A range such as "35-40" has one answer if both of its ends have it.
        unclear = np.isnan(low) | (answer != _COMPARE[comparison](high, value))
        if comparison in ("==", "!="):
            unclear |= low != high
        return answer, unclear

    def find_unclear(self) -> tuple[np.ndarray, str, str]:
        """Return which cells are unclear, and what is wrong with several and with one of them."""
        if self.question.comparison:
            problem = f"no clear answer to {self.question.name!r}"
            return self.compare()[1], f"have {problem}", f"has {problem}"
        truth, is_number = self.truth, self.is_number
        if np.isnan(truth).any():
            if len(set(truth[~np.isnan(truth) & ~is_number])) == 2:
                return np.isnan(truth), "are neither yes nor no", "is neither yes nor no"
            if is_number.any():
                return ~is_number, "are not numbers", "is not a number"
        return np.zeros(len(truth), bool), "", ""

    def refuse(self, bad, problem: str, remedy: str) -> None:
        refuse(
            self.texts,
            bad,
            lambda place: self.table.row_names(self.rows[place]),
            self.question.column,
            problem,
            remedy,
        )

    def refuse_unclear(self) -> None:
        """Raise ValueError if cells are unclear."""
        unclear, problem, _ = self.find_unclear()
        remedy = _CORRECT
        if problem == "are not numbers":
            remedy += f", or compare the column with a number: '{self.question.column}<=...'"
        if 2 * unclear.sum() > len(unclear):
            remedy += ". They are more than half, so check that this is the right column"
        else:
            remedy += ", or leave such recordings out with on_error='warn'"
        self.refuse(np.flatnonzero(unclear), problem, f"{remedy}.")


def _answer(question: Question, table: UserTable, rows: np.ndarray) -> np.ndarray:
    cells = _Cells.read(question, table, rows)
    cells.refuse_unclear()
    if not question.comparison:
        answer = _answer_of_cells(cells)
        _warn_if_constant(
            question, answer, "If empty cells of the column mean no, write 0 or no into them."
        )
        return answer
    answer = cells.compare()[0].astype(np.int64)
    if isinstance(question.value, str):
        if question.comparison == "==" and not answer.any():
            others = ", ".join(map(repr, sorted(set(cells.texts))[:8]))
            raise ValueError(
                f"target={question.name!r}: no matched row has {question.value!r} in the column "
                f"{question.column!r}, which has {others}."
            )
        return answer
    low, high = cells.bounds()
    warn_of_codes(low[low == high], question.column)
    _warn_if_constant(
        question,
        answer,
        f"The column {question.column!r} has values from {low.min():g} to {high.max():g}: is "
        "the threshold in its unit?",
    )
    return answer


def _answer_of_cells(cells: _Cells) -> np.ndarray:
    """Return what clear cells state without a comparison: 0 and 1, other numbers, or classes."""
    truth, texts, column = cells.truth, cells.texts, cells.question.column
    if not np.isnan(truth).any():
        return truth.astype(np.int64)
    if cells.is_number.any():
        numbers = cells.bounds()[0]
        warn_of_codes(numbers, column)
        whole = numbers.astype(np.int64) if np.abs(numbers).max() < 2**53 else numbers
        return whole if (whole == numbers).all() else numbers
    spellings = dict.fromkeys(texts)
    first: dict[str, str] = {}
    for text in spellings:
        first.setdefault(text.casefold(), text)
    cells.refuse(
        [place for place, text in enumerate(texts) if first[text.casefold()] != text],
        "have other capitals than the same class in other cells",
        f"Write them alike, or compare the column: '{column}=={texts[0]}', which ignores capitals.",
    )
    if len(texts) >= _FEW and len(spellings) > len(texts) / 2:
        raise ValueError(
            f"target={cells.question.name!r} has {len(spellings)} different texts for {len(texts)} "
            f"recordings, such as {texts[0]!r}, so they cannot be classes. Name another column."
        )
    return np.array(texts, dtype=object)


def _warn_if_constant(question: Question, answer: np.ndarray, values: str) -> None:
    if len(answer) > 1 and len(set(answer)) == 1:
        warnings.warn(
            f"target={question.name!r} is {answer[0]} for all {len(answer)} recordings. {values}",
            UserWarning,
            stacklevel=stacklevel_of_user(),
        )
