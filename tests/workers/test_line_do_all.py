"""All tasks of a line in one call."""

from __future__ import annotations

import threading

import pytest

from parazip.workers.line import Line


def test_all_results_come_in_the_order_of_the_tasks() -> None:
    assert Line(2, 100).do_all(str, range(50), cost=10) == [(n, str(n)) for n in range(50)]
    assert Line(2, 100).do_all(str, [], cost=10) == []


def test_each_task_counts_with_its_cost() -> None:
    line = Line(4, 20)
    line.do_all(str, range(50), cost=10)
    assert line.budget.peak <= 20
    assert line.budget.used == 0


def test_the_first_error_is_raised_and_no_thread_is_left() -> None:
    def fail(number: int) -> None:
        raise ValueError(number)

    with pytest.raises(ValueError, match=r"^0$"):
        Line(2, 100).do_all(fail, range(50), cost=10)
    assert not any(thread.name.startswith("parazip") for thread in threading.enumerate())
