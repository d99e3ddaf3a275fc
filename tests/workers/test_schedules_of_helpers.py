"""Helper processes are ended, and nobody waits for them for ever, under each schedule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("greenlet", reason="`make test` gives it to one Python only")

from support.schedules import Rooms, explore

pytestmark = pytest.mark.once


class Process:
    """A helper process, and what is known of it."""

    socket = None

    def __init__(self, step: Callable[[], None]) -> None:
        self.step = step
        self.is_alive = True
        self.is_ended = False

    def is_ready(self) -> bool:
        self.step()
        self.is_alive = not self.is_ended
        return self.is_alive

    def ask_for(self, read: Callable[[memoryview], bytes], question: bytes) -> bytes | None:
        self.step()
        self.is_alive = not self.is_ended
        return read(memoryview(question)) if self.is_alive else None

    def close(self) -> None:
        assert not self.is_ended
        self.step()
        self.is_ended = True


def use_helpers(most: int, rooms: Rooms) -> Callable[[], None]:
    """Two helpers are asked by three threads; the system gives so many processes at most."""
    processes: list[Process] = []

    def start(siblings: list[Any]) -> tuple[Process]:
        rooms.scheduler.step()
        if len(processes) == most:
            raise OSError
        processes.append(Process(rooms.scheduler.step))
        rooms.scheduler.step()
        return (processes[-1],)

    rooms.spaces["helpers"] |= {
        "Helper": lambda process: process,
        "starting": SimpleNamespace(may_fork=False, choose_way_to_start=lambda *_: start),
    }
    return partial(run_and_judge, rooms, processes)


def ask(rooms: Rooms, helpers: Any) -> None:
    for question in b"1", b"2":
        try:
            assert helpers.ask(question) in (question, None)
        except rooms.HelpersClosedError:
            return


def use(rooms: Rooms) -> None:
    with rooms.running_helpers("function", 2, 100) as helpers:
        helpers.start()
        for name in "first", "second":
            rooms.scheduler.spawn(name, partial(ask, rooms, helpers))
        ask(rooms, helpers)


def run_and_judge(rooms: Rooms, processes: list[Process]) -> None:
    was_interrupted = False
    try:
        use(rooms)
        assert all(process.is_ended for process in processes)
    except KeyboardInterrupt:
        was_interrupted = True
    rooms.scheduler.interrupts = 0
    rooms.scheduler.wait_for_end()
    rooms.scheduler.end_exploring()
    assert was_interrupted == (rooms.scheduler.arrived > 0)
    assert all(process.is_ended for process in processes)


@pytest.mark.parametrize("most", [0, 1, 2])
def test_helpers_are_ended_and_nobody_waits_for_ever(most: int) -> None:
    count = explore(partial(use_helpers, most), departures=1, walks=100)
    assert count > 200


@pytest.mark.slow
@pytest.mark.parametrize("most", [0, 1, 2])
def test_helpers_are_ended_under_thousands_of_schedules(most: int) -> None:
    count = explore(partial(use_helpers, most), departures=2, by_statement=False)
    count += explore(partial(use_helpers, most), departures=0, walks=5_000, interrupts=2)
    assert count > 5_000


@pytest.mark.parametrize(
    ("right", "wrong", "found"),
    [
        ("weakref.ref(self, self._processes.end_asked.put)", "None", "Deadlock: parazip_helpers"),
        ("            self.begun.put(None)\n", "            pass\n", "Deadlock: "),
        ("self._processes.end_asked.put(None)", "pass", "Deadlock: main waits"),
    ],
)
def test_a_fault_in_the_helpers_is_found(right: str, wrong: str, found: str) -> None:
    with pytest.raises(AssertionError, match=r"under the schedule \(") as error:
        explore(partial(use_helpers, 1), edits={"helpers": (right, wrong)})
    assert found in str(error.value)
