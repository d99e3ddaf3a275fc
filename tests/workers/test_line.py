"""A line of workers: order, budget, errors, and who does the work where nobody else does."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parazip.workers import line as line_module
from parazip.workers.budget import MEMORY, Budget
from parazip.workers.line import Lane, Line, line_for, shared_line
from support.patience import HUNG
from support.threads import count_threads


def make_lane(
    function: Callable[[int], int],
    jobs: int = 2,
    limit: int = 100,
    cost: Callable[[int], int] = lambda task: 10,
    weight: Callable[[int], int] = lambda result: 5,
    **settings: Any,
) -> Lane[int, int]:
    return Line(jobs, limit).open_lane(function, cost, weight, **settings)


pytestmark = pytest.mark.usefixtures("all_threads_end")


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_results_come_in_the_order_of_the_tasks(jobs: int) -> None:
    released = threading.Event()

    def slow_first(task: int) -> int:
        if task == 0 and jobs > 1:
            assert released.wait(HUNG)
        if task == 1:
            released.set()
        return task * 2

    with make_lane(slow_first, jobs) as lane:
        assert list(lane.through(range(50))) == [(task, task * 2) for task in range(50)]


@given(
    costs=st.lists(st.integers(1, 50), max_size=60),
    limit=st.integers(1, 120),
    jobs=st.integers(1, 4),
    most=st.sampled_from([1, 3, sys.maxsize]),
)
def test_budget_is_never_exceeded_and_is_given_back(
    costs: list[int], limit: int, jobs: int, most: int
) -> None:
    line = Line(jobs, limit)
    with line.open_lane(lambda n: n, lambda n: n, lambda n: n // 2, most=most) as lane:
        results = [result for _, result in lane.through(costs)]
    assert results == costs
    assert line.budget.used == 0
    assert line.budget.peak <= max([limit, *costs])


def test_a_result_counts_until_the_next_one_is_asked_for() -> None:
    with make_lane(lambda task: task, limit=10) as lane:
        results = lane.through([1, 2])
        next(results)
        assert lane._budget.used >= 5
        assert list(results) == [(2, 2)]
    assert lane._budget.used == 0


def test_behind_a_task_that_holds_data_and_finds_no_room_no_other_is_asked_for() -> None:
    asked: list[int] = []

    def source() -> Iterator[int]:
        for task in range(100):
            asked.append(task)
            yield task

    with make_lane(lambda task: task, most=3, holds_data=lambda task: True) as lane:
        for task, _ in lane.through(source()):
            assert len(asked) <= task + 4
    assert len(asked) == 100


def test_a_task_over_the_whole_budget_runs_alone() -> None:
    running: list[int] = []
    most = 0

    def count(task: int) -> int:
        nonlocal most
        running.append(task)
        most = max(most, len(running))
        running.remove(task)
        return task

    with make_lane(count, 4, limit=10, cost=lambda task: 1000) as lane:
        assert [result for _, result in lane.through(range(10))] == list(range(10))
    assert most == 1


def test_a_lane_that_is_gone_without_an_end_counts_no_more() -> None:
    budget = Budget(10)
    lane = make_lane(lambda task: task)
    budget.count(budget.register(lane), 9)
    assert not budget.fits(2)
    del lane
    gc.collect()
    assert budget.fits(10)
    budget.register(budget)
    assert budget._used == {}


def test_a_slow_head_does_not_stop_tasks_that_fit_meanwhile() -> None:
    """What finished tasks give back admits new ones although the first is still at work."""
    head_may_end = threading.Event()
    done: list[int] = []

    def work(task: int) -> int:
        if task == 0:
            assert head_may_end.wait(HUNG)
        else:
            done.append(task)
            if len(done) == 19:
                head_may_end.set()
        return task

    with make_lane(work, limit=30, weight=lambda result: 0) as lane:
        assert [result for _, result in lane.through(range(20))] == list(range(20))
    assert sorted(done) == list(range(1, 20))


def test_the_first_error_in_order_is_raised_and_nothing_runs_after_it() -> None:
    started: list[int] = []

    def fail(task: int) -> int:
        started.append(task)
        if task >= 3:
            raise ValueError(task)
        return task

    seen: list[int] = []
    with make_lane(fail, limit=40) as lane, pytest.raises(ValueError, match=r"^3$"):
        seen.extend(result for _, result in lane.through(range(1000)))
    count = len(started)
    assert len(started) == count < 20
    assert seen == [0, 1, 2]


def test_nothing_begins_once_a_task_has_failed() -> None:
    """A task that failed gives its bytes back, which others would take while the first one runs."""
    started: list[int] = []
    may_end = threading.Event()

    def work(task: int) -> int:
        started.append(task)
        if task:
            raise ValueError(task)
        assert may_end.wait(HUNG)
        return task

    def give_tasks() -> Iterator[int]:
        yield from (0, 1)
        while lane.finished.empty():  # until the second one has failed
            time.sleep(0.001)
        may_end.set()
        yield from (2, 3)

    lane = make_lane(work, limit=20)
    with lane, pytest.raises(ValueError, match=r"^1$"):
        list(lane.through(give_tasks()))
    assert sorted(started) == [0, 1]


def test_an_error_of_the_task_source_waits_for_what_runs() -> None:
    finished: list[int] = []

    def tasks() -> Iterator[int]:
        yield from range(3)
        raise OSError("no more")

    with make_lane(finished.append) as lane, pytest.raises(OSError, match="no more"):  # type: ignore[arg-type]
        list(lane.through(tasks()))
    count = len(finished)
    assert len(finished) == count


def test_closing_cancels_what_has_not_begun_and_waits_for_what_has() -> None:
    started: list[int] = []
    ended: list[int] = []
    at_work, may_end = threading.Event(), threading.Event()

    def work(task: int) -> int:
        started.append(task)
        if task:
            at_work.set()
            assert may_end.wait(HUNG)
        ended.append(task)
        return task

    lane = make_lane(work, 1, limit=10**6)
    for task in range(100):
        lane.put(task)
    results = lane.take_all()
    assert next(results) == (0, 0)
    assert at_work.wait(HUNG)
    closing = threading.Thread(target=lane.close)
    closing.start()
    may_end.set()
    closing.join(HUNG)
    assert started == ended
    assert len(started) <= 2
    assert list(lane.through([5])) == []


def test_what_is_put_in_is_given_when_it_is_ready_and_all_of_it_in_the_end() -> None:
    with make_lane(lambda task: task * 2, limit=10**6) as lane:
        given: list[tuple[int, int]] = []
        for task in range(100):
            lane.put(task)
            given += lane.take_finished()
        given += lane.take_all()
    assert given == [(task, task * 2) for task in range(100)]


def test_light_tasks_run_on_the_consumers_thread_when_their_turn_comes() -> None:
    where: dict[int, int] = {}

    def note(task: int) -> int:
        where[task] = threading.get_ident()
        return task

    with make_lane(note, is_light=lambda task: task % 2 == 1) as lane:
        assert [result for _, result in lane.through(range(20))] == list(range(20))
    here = threading.get_ident()
    assert all((where[task] == here) == (task % 2 == 1) for task in where)


def test_two_lanes_that_one_thread_uses_in_turn_do_not_wait_for_each_other() -> None:
    """The results of one fill the budget while tasks of the other are to be admitted."""
    line = Line(2, 100)
    first: Lane[int, int] = line.open_lane(lambda n: n, lambda n: 90, lambda n: 90)
    second: Lane[int, int] = line.open_lane(lambda n: n, lambda n: 90, lambda n: 90)
    with first, second:
        first.put(1)
        assert list(first.take_finished()) in ([], [(1, 1)])
        second.put(2)
        assert list(second.take_all()) == [(2, 2)]
        first.put(3)
        assert list(first.take_all())[-1] == (3, 3)


def test_all_lanes_share_the_threads() -> None:
    line = Line(2, 10**6)
    lanes: list[Lane[int, int]] = [
        line.open_lane(lambda task: task, lambda task: 1, lambda result: 1) for _ in range(50)
    ]
    for lane in lanes:
        lane.put(1)
        list(lane.take_finished())
    assert count_threads() <= 2
    for lane in lanes:
        assert list(lane.take_all()) in ([], [(1, 1)])
        lane.close()


def test_a_task_may_use_its_own_line() -> None:
    line = Line(1, 10**6)
    done: list[int] = []

    def add(number: int) -> int:
        done.append(number)
        return number + 1

    def outer(task: int) -> int:
        inner: Lane[int, int] = line.open_lane(add, lambda n: 1, lambda n: 1)
        with inner:
            return sum(result for _, result in inner.through(range(task)))

    with line.open_lane(outer, lambda n: 1, lambda n: 1) as lane:
        assert [result for _, result in lane.through([3, 4])] == [6, 10]
    assert sorted(done) == sorted([*range(3), *range(4)])


@pytest.mark.parametrize("why", ["no thread is given", "greenlets", "python ends"])
def test_without_threads_the_consumer_does_all(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    where: set[int] = set()

    def note(task: int) -> int:
        where.add(threading.get_ident())
        return task

    def start(*args: Any) -> None:
        raise RuntimeError("can't start new thread")

    if why == "greenlets":
        monkeypatch.setattr("_thread.start_new_thread", lambda *args: start())
    elif why == "python ends":
        monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    else:
        monkeypatch.setattr(threading.Thread, "start", start)
    with make_lane(note) as lane:
        assert [result for _, result in lane.through(range(20))] == list(range(20))
    assert where == {threading.get_ident()}


def test_what_a_thread_began_that_will_never_go_on_is_done_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a forked copy, and while Python ends."""
    at_work, may_end = threading.Event(), threading.Event()
    here = threading.get_ident()

    def work(task: int) -> int:
        if threading.get_ident() != here:
            at_work.set()
            assert may_end.wait(HUNG)
        return task

    lane = make_lane(work, 1)
    lane.put(7)
    list(lane.take_finished())
    assert at_work.wait(HUNG)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "is_finalizing", lambda: True)
        assert list(lane.take_all()) == [(7, 7)]
    may_end.set()
    lane.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_copy_goes_on_by_itself() -> None:
    line = Line(2, 10**6)
    lane: Lane[int, int] = line.open_lane(lambda n: n, lambda n: 1, lambda n: 1)
    with lane:
        list(lane.through(range(10)))
        child = os.fork()
        if not child:
            done = list(lane.through([1, 2])) == [(1, 1), (2, 2)]
            os._exit(0 if done and shared_line() is not line else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_the_line_of_the_process_is_for_all_who_ask_for_nothing_else() -> None:
    line = shared_line()
    assert line_for(None, MEMORY) is line is shared_line()
    assert line_for(1, MEMORY) is not line
    assert line_for(None, 1 << 20) is not line
    assert count_threads() == 0


def test_a_line_is_used_by_many_threads_at_once() -> None:
    def use(number: int) -> list[int]:
        line = line_for(None, MEMORY)
        lane: Lane[int, int] = line.open_lane(lambda n: n * number, lambda n: 1, lambda n: 1)
        with lane:
            return [result for _, result in lane.through(range(100))]

    with ThreadPoolExecutor(8, thread_name_prefix="user") as threads:
        for number, found in enumerate(threads.map(use, range(200))):
            assert found == [n * number for n in range(100)]
    assert count_threads() == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_does_not_wait_for_what_never_comes(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    monkeypatch.setattr(line_module, "_PATIENCE", 0.01)
    come, begun = threading.Event(), threading.Event()

    def stuck(task: int) -> int:
        begun.set()
        assert come.wait(HUNG)
        return task

    def interrupted() -> None:
        with make_lane(stuck, jobs=1) as lane:
            lane.put(1)
            assert list(lane.take_finished()) == []
            assert begun.wait(HUNG)
            raise error

    with pytest.raises(error):
        interrupted()
    assert count_threads() == 1
    with make_lane(lambda task: task, jobs=1) as other:  # others go on
        assert list(other.through([1, 2])) == [(1, 1), (2, 2)]
    come.set()
    for thread in threading.enumerate():
        if thread.name.startswith("parazip"):
            thread.join(HUNG)
