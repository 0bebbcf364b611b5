"""Work on files in several processes."""

from itertools import count, islice

import pytest

from ecgsk._formats.processes import Processes, n_processes
from tests._processes import die

DEADLY, WRONG = 3, 99


def double(item):
    if item == DEADLY:
        die()
    if item == WRONG:
        raise LookupError(item)
    return 2 * item


def lost(item):
    return f"lost {item}"


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_results_come_in_order_and_items_are_taken_when_they_are_needed(n_jobs):
    taken = []
    items = (taken.append(i) or i for i in count(100))
    with Processes(double, n_jobs, lost=lost) as processes:
        assert list(islice(processes.map(items), 50)) == [2 * i for i in range(100, 150)]
        assert 50 <= len(taken) <= 50 + 48
        assert list(processes.map([1, 2])) == [2, 4] and list(processes.map([])) == []
        with pytest.raises(LookupError, match="99"):
            list(processes.map([WRONG]))
        if n_jobs == 2:
            found = list(processes.map(range(60)))
            assert found == [lost(i) if i == DEADLY else 2 * i for i in range(60)]


@pytest.mark.parametrize(
    ("n_jobs", "n_items", "expected"),
    [(None, 500, 1), (1, 500, 1), (3, None, 3), (3, 500, 3), (3, 1, 2), (3, 16, 2), (3, 17, 3)],
)
def test_few_items_do_not_start_all_processes(n_jobs, n_items, expected):
    assert n_processes(n_jobs, n_items) == expected
