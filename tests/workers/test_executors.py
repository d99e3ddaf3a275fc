"""Somebody's executor at a lane: order, room, errors, and what happens to what is not begun."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from parazip.errors import ExecutorError
from parazip.testing import InlineExecutor
from parazip.workers.executors import ExecutorWorkers
from parazip.workers.line import Lane, Line
from support.patience import HUNG
from support.threads import count_threads


class Untouched(Executor):
    """An executor that begins nothing; the test says what becomes of its futures.

    Attributes:
        futures: what was handed to it.
    """

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Takes note of it."""
        self.futures.append(Future())
        return self.futures[-1]


def open_lane(
    executor: Executor, function: Callable[[bytes], bytes] = bytes.upper, most: int | None = None
) -> Lane[Any, Any]:
    """A lane whose tasks are texts, or numbers that stay with the caller."""
    workers = ExecutorWorkers(executor, function, str.encode, bytes.decode, most)
    return Line(2, 100).open_lane(
        lambda task: task,
        lambda task: 10,
        is_light=lambda task: isinstance(task, int),
        workers=workers,
    )


def take_until_error(lane: Lane[Any, Any], tasks: Iterator[Any]) -> list[Any]:
    """What comes before the executor fails."""
    results: list[Any] = []
    with pytest.raises(ExecutorError) as caught, lane:  # noqa: PT012 - one by one
        for _, result in lane.through(tasks):
            results.append(result)
    return [*results, caught.value]


@pytest.mark.parametrize("most", [None, 1, 3])
def test_results_come_in_order_and_light_tasks_stay_here(most: int | None) -> None:
    names: set[str] = set()

    def note(question: bytes) -> bytes:
        names.add(threading.current_thread().name)
        return question.upper()

    tasks = [text if text != "c" else 3 for text in "abcdefgh" * 5]
    with ThreadPoolExecutor(2, "own") as threads:
        with open_lane(threads, note, most) as lane:
            results = [result for _, result in lane.through(tasks)]
        assert threads.submit(str, 1).result() == "1"  # it is its owner's, and stays open
    assert results == [task.upper() if isinstance(task, str) else task for task in tasks]
    assert {name[:3] for name in names} == {"own"}
    assert count_threads() == 0


def test_an_executor_that_answers_at_once_will_do() -> None:
    with open_lane(InlineExecutor(), most=1) as lane:
        assert [result for _, result in lane.through("abc")] == ["A", "B", "C"]


@pytest.mark.parametrize(("most", "expected"), [(None, 10), (3, 3), (20, 10)])
def test_no_more_is_handed_out_than_there_is_room_for(most: int | None, expected: int) -> None:
    """The budget has room for ten tasks."""
    executor = Untouched()
    with open_lane(executor, most=most) as lane:
        for _ in range(30):
            lane.put("x")
        lane._admit_planned()
        assert len(executor.futures) == expected
        executor.futures[1].set_result(b"X")
        assert len(executor.futures) == expected
        executor.futures[0].set_result(b"X")
        results = lane.take_finished()
        assert [next(results), next(results)] == [("x", "X")] * 2
        assert len(executor.futures) in (expected + 1, expected + 2)
    assert all(future.cancelled() for future in executor.futures[2:])


def test_what_is_at_work_is_not_waited_for_when_the_lane_is_closed() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def stuck(question: bytes) -> bytes:
        begun.set()
        assert may_end.wait(HUNG)
        return question

    with ThreadPoolExecutor(1) as threads:
        with open_lane(threads, stuck) as lane:
            lane.put("a")
            lane.put("b")
            lane._admit_planned()
            assert begun.wait(HUNG)
            first, second = lane._jobs
        assert not first.is_done
        assert second.is_at_work() is False
        may_end.set()
    assert not first.is_done  # what came of it is dropped
    assert not second.is_done


@pytest.mark.parametrize("when", [0, 3])
def test_an_executor_that_was_shut_down_is_an_error_in_its_turn(when: int) -> None:
    with ThreadPoolExecutor(1) as threads:

        def tasks() -> Iterator[str]:
            for number, text in enumerate("abcdef"):
                if number == when:
                    threads.shutdown()
                yield text

        *results, error = take_until_error(open_lane(threads), tasks())
    assert results == list("ABCDEF"[:when])
    assert "cannot schedule new futures after shutdown" in str(error)
    assert isinstance(error.__cause__, RuntimeError)


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (BrokenProcessPool("a worker has gone"), "BrokenProcessPool: a worker has gone"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ModuleNotFoundError("No module named 'parazip'"), "install parazip for all workers"),
        (CancelledError(), "it was cancelled"),
    ],
)
def test_what_an_executor_fails_with_is_the_cause(cause: BaseException, told: str) -> None:
    executor = Untouched()
    lane = open_lane(executor)
    for text in "abc":
        lane.put(text)
    lane._admit_planned()
    first, second, third = executor.futures
    if isinstance(cause, CancelledError):
        second.cancel()
    else:
        second.set_exception(cause)
    first.set_result(b"A")
    result, error = take_until_error(lane, iter(()))
    assert result == "A"
    assert str(error).startswith("the executor has not done what it was handed: ")
    assert str(error).endswith(told)
    assert type(error.__cause__) is type(cause)
    assert third.cancelled()


def test_what_cannot_be_read_is_an_error_in_its_turn() -> None:
    results = take_until_error(open_lane(InlineExecutor(), lambda _: b"\xff"), iter("ab"))
    assert isinstance(results[0].__cause__, UnicodeDecodeError)


def test_an_interrupt_while_a_question_is_handed_over_ends_the_lane() -> None:
    def interrupted(question: bytes) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_lane(InlineExecutor(), interrupted) as lane:
        list(lane.through("a"))


@pytest.mark.parametrize("answer", [None, 5, "text"])
def test_an_executor_that_gives_no_future_is_an_error_in_its_turn(answer: Any) -> None:
    class Broken(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            return answer

    results = take_until_error(open_lane(Broken()), iter("ab"))
    assert "AttributeError" in str(results[0])


@pytest.mark.parametrize("answer", [None, 5, "text"])
def test_what_is_no_answer_is_an_error_in_its_turn(answer: Any) -> None:
    results = take_until_error(open_lane(InlineExecutor(), lambda question: answer), iter("ab"))
    assert "something else than an answer" in str(results[0])
