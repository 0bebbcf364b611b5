"""From the columns of a table of labels to a target."""

import operator
import re
import warnings
from collections.abc import Callable, Sequence
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


def _answer(question: Question, table: UserTable, rows: np.ndarray) -> np.ndarray:
    texts = table.texts(question.column)
    texts = [texts[row] for row in rows]

    def check(bad, problem: str, remedy: str = f"{_CORRECT}.") -> None:
        refuse(
            texts, bad, lambda place: table.row_names(rows[place]), question.column, problem, remedy
        )

    if isinstance(question.value, str) and question.comparison:
        same = np.array([text.casefold() == question.value.casefold() for text in texts])
        if question.comparison == "==" and not same.any():
            others = ", ".join(map(repr, sorted(set(texts))[:8]))
            raise ValueError(
                f"target={question.name!r}: no matched row has {question.value!r} in the column "
                f"{question.column!r}, which has {others}."
            )
        return (same if question.comparison == "==" else ~same).astype(np.int64)

    intervals = read_intervals(texts, table.decimal_comma)
    if question.comparison:
        compare = _COMPARE[question.comparison]
        low = np.array([np.nan if i is None else i.low for i in intervals])
        high = np.array([np.nan if i is None else i.high for i in intervals])
        answer = compare(low, question.value)
        # A range such as "35-40" has one answer if both of its ends have it.
        unclear = np.isnan(low) | (answer != compare(high, question.value))
        if question.comparison in ("==", "!="):
            unclear |= low != high
        check(
            np.flatnonzero(unclear),
            f"have no clear answer to {question.name!r}",
        )
        warn_of_codes(low[low == high], question.column)
        _warn_if_constant(
            question,
            answer.astype(np.int64),
            f"The column {question.column!r} has values from {low.min():g} to {high.max():g}: is "
            "the threshold in its unit?",
        )
        return answer.astype(np.int64)

    answer = _answer_of_cells(question, texts, intervals, check)
    _warn_if_constant(
        question, answer, "If empty cells of the column mean no, write 0 or no into them."
    )
    return answer


def _answer_of_cells(
    question: Question, texts: list[str], intervals: Sequence[Interval | None], check: Callable
) -> np.ndarray:
    """Return what cells state without a comparison: 0 and 1, other numbers, or classes."""
    truth = np.array([read_truth(text) for text in texts])
    if not np.isnan(truth).any():
        return truth.astype(np.int64)
    is_number = np.array([item is not None and item.is_number for item in intervals])
    is_word = ~np.isnan(truth) & ~is_number
    if len(set(truth[is_word])) == 2:
        check(np.flatnonzero(np.isnan(truth)), "are neither yes nor no")
    if is_number.any():
        compared = f"{_CORRECT}, or compare the column with a number: '{question.column}<=...'."
        check(np.flatnonzero(~is_number), "are not numbers", compared)
        numbers = np.array([item.low for item in intervals if item is not None])
        warn_of_codes(numbers, question.column)
        whole = numbers.astype(np.int64) if np.abs(numbers).max() < 2**53 else numbers
        return whole if (whole == numbers).all() else numbers
    spellings = dict.fromkeys(texts)
    first: dict[str, str] = {}
    for text in spellings:
        first.setdefault(text.casefold(), text)
    check(
        [place for place, text in enumerate(texts) if first[text.casefold()] != text],
        "have other capitals than the same class in other cells",
        "Write them alike, or compare the column: "
        f"'{question.column}=={texts[0]}', which ignores capitals.",
    )
    if len(texts) >= _FEW and len(spellings) > len(texts) / 2:
        raise ValueError(
            f"target={question.name!r} has {len(spellings)} different texts for {len(texts)} "
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
