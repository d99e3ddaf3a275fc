"""The guarantees of the line, under each schedule of its threads, with Ctrl-C at each step."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import pytest

pytest.importorskip("greenlet", reason="`make test` gives it to one Python only")

from support.schedules import Program, Rooms, explore

pytestmark = pytest.mark.once

NEVER = sys.maxsize


class TaskError(Exception):
    """What a task raises."""


class SourceError(Exception):
    """What the source of tasks raises."""


@dataclass(frozen=True)
class Case:
    """What is to be done in a lane, and what goes wrong.

    Attributes:
        costs: the tasks' bytes; a result holds half of them.
        limit: the budget's bytes.
        jobs: how many threads there may be.
        most: how many tasks may be in flight.
        light: tasks that are light.
        failing: tasks that fail.
        source_fails: after its last task, the source fails.
        leaves_after: how many results the consumer takes.
        refused: which starts of threads the system refuses.
        rests: before the lane is closed, the consumer waits until the threads have nothing to do.
    """

    costs: tuple[int, ...] = (4, 4, 4)
    limit: int = 8
    jobs: int = 2
    most: int = NEVER
    light: frozenset[int] = frozenset()
    failing: frozenset[int] = frozenset()
    source_fails: bool = False
    leaves_after: int = NEVER
    refused: frozenset[int] = frozenset()
    rests: bool = False


@dataclass
class Lanes:
    """All lanes of a budget.

    Attributes:
        allowed: how many bytes may be held at once.
        wrong: what was found wrong where nobody would hear of an error.
    """

    allowed: int
    records: list[Record] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Record:
    """What is done in a lane, and what comes of it."""

    def __init__(self, rooms: Rooms, case: Case, lanes: Lanes | None = None) -> None:
        self.rooms = rooms
        self.scheduler = rooms.scheduler
        self.case = case
        self.lanes = lanes or Lanes(max(case.limit, *case.costs))
        self.lanes.records.append(self)
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.taken: list[int] = []
        self.held = 0
        self.error: Exception | None = None
        self.budget: Any = None
        self.key: Any = None

    def open_lane(self, line: Any) -> Any:
        case = self.case
        lane = line.open_lane(self.do, self.cost, self.weigh, case.light.__contains__, case.most)
        self.budget, self.key = line.budget, lane._key
        return lane

    def cost(self, task: int) -> int:
        return self.case.costs[task]

    def weigh(self, result: int) -> int:
        return self.case.costs[result] // 2

    def hold(self, amount: int) -> None:
        self.held += amount
        if sum(record.held for record in self.lanes.records) > self.lanes.allowed:
            self.lanes.wrong.append("more is held than the budget allows")

    def give(self) -> Iterator[int]:
        yield from range(len(self.case.costs))
        if self.case.source_fails:
            raise SourceError

    def do(self, task: int) -> int:
        if task in self.begun:
            self.lanes.wrong.append(f"{task} is done twice")
        self.begun.append(task)
        self.hold(self.cost(task))
        left = 0
        try:
            self.work(task)
            if task in self.case.failing:
                raise TaskError(task)
            left = self.weigh(task)
        except AssertionError as error:
            self.lanes.wrong.append(f"{error}")
        finally:
            is_closed = self.budget is not None and self.key not in self.budget._used
            if is_closed and not self.scheduler.arrived:
                self.lanes.wrong.append("a closed lane is at work")
            self.ended.append(task)
            self.hold(left - self.cost(task))
        return task

    def work(self, task: int) -> None:
        self.scheduler.step()

    def use(self, line: Any) -> None:
        """Has all tasks done, until there is an error."""
        lane = None
        try:
            with self.open_lane(line) as lane:
                self.take(lane)
        except (TaskError, SourceError) as error:
            self.error = error.with_traceback(None)
        assert lane is not None
        assert sorted(self.begun) == sorted(self.ended), "a closed lane is at work"
        assert lane._key not in line.budget._used, "a closed lane holds bytes"
        self.held = 0

    def take(self, lane: Any) -> None:
        if self.case.leaves_after == 0:
            return
        for task, result in lane.through(self.give()):
            self.note(task, result)
            if len(self.taken) == self.case.leaves_after:
                return
        self.rest(lane)

    def note(self, task: int, result: int) -> None:
        assert task == result
        self.taken.append(task)
        self.hold(-self.weigh(result))

    def rest(self, lane: Any) -> None:
        if self.case.rests:
            self.scheduler.wait_for_rest()
            assert list(lane.take_finished()) == []
            assert lane._budget.used == 0, "bytes are not given back"

    def check(self, was_interrupted: bool = False) -> None:
        """What must hold once all threads have ended."""
        case = self.case
        assert not self.lanes.wrong, self.lanes.wrong
        assert self.taken == list(range(len(self.taken)))
        assert sorted(self.begun) == sorted(self.ended)
        assert set(self.taken) <= set(self.begun)
        if was_interrupted:
            return
        expected = min(len(case.costs), case.leaves_after, *case.failing)
        if case.source_fails:
            assert isinstance(self.error, SourceError)
            assert len(self.taken) <= expected
        elif expected in case.failing and expected < case.leaves_after:
            assert isinstance(self.error, TaskError)
            assert self.error.args == (expected,)
            assert len(self.taken) == expected
        else:
            assert self.error is None
            assert len(self.taken) == expected


Use: TypeAlias = "Callable[[Record, Any], None]"


class Pushed(Record):
    """Tasks are put in, and results taken as they come."""

    def take(self, lane: Any) -> None:
        for task in self.give():
            lane.put(task)
            for done, result in lane.take_finished():
                self.note(done, result)
        for done, result in lane.take_all():
            self.note(done, result)
        self.rest(lane)


class Nested(Record):
    """Each task has others done, at the same line."""

    def use(self, line: Any) -> None:
        self.line = line
        super().use(line)

    def work(self, task: int) -> None:
        inner = Record(self.rooms, Case(costs=(1,)), self.lanes)
        inner.use(self.line)
        inner.check()


class Left(Record):
    """All tasks are put in, and what is not ready then is left."""

    def take(self, lane: Any) -> None:
        for task in self.give():
            lane.put(task)
        for done, result in lane.take_finished():
            self.note(done, result)

    def check(self, was_interrupted: bool = False) -> None:
        super().check(was_interrupted=True)


class Forgotten(Left):
    """The lane is gone without an end, too."""

    def use(self, line: Any) -> None:
        self.take(self.open_lane(line))


class Beside(Record):
    """Calls are made on a thread of their own."""

    def use(self, line: Any) -> None:
        try:
            with self.rooms.SideThread() as side:
                for task in range(len(self.case.costs)):
                    side.call(partial(self.do, task))
                    if task == 0:
                        side.finish()
                side.finish()
                assert self.ended == list(range(len(self.case.costs)))
        except TaskError as error:
            self.error = error.with_traceback(None)
        assert sorted(self.begun) == sorted(self.ended)

    def check(self, was_interrupted: bool = False) -> None:
        assert not self.lanes.wrong, self.lanes.wrong
        first = min(self.case.failing, default=NEVER)
        assert self.ended == list(range(min(len(self.ended), first + 1))), "one is left out"
        if not was_interrupted:
            assert (self.error.args if self.error else (NEVER,)) == (first,)


def run_and_judge(rooms: Rooms, line: Any, records: list[Record]) -> None:
    """The main task: uses the first lane itself, and has the others used meanwhile."""
    scheduler = rooms.scheduler
    for record in records[1:]:
        scheduler.spawn("other", partial(record.use, line))
    was_interrupted = False
    try:
        records[0].use(line)
    except KeyboardInterrupt:
        was_interrupted = True
    scheduler.interrupts = 0
    scheduler.wait_for_end()
    assert was_interrupted == (scheduler.arrived > 0), "an interrupt is lost"
    for record in records:
        record.check(was_interrupted and record is records[0])
    if was_interrupted and line.budget.used:
        gc.collect()  # an error of a task holds the lane that raised it, by its traceback
    assert line.budget.used == 0, "bytes are not given back"
    assert line.budget.peak <= records[0].lanes.allowed, "more is counted than the budget allows"
    scheduler.end_exploring()
    rooms.refused_starts = frozenset()
    again = Record(rooms, Case(rests=True))
    again.use(line)
    scheduler.wait_for_end()
    again.check()


def use_lanes(*cases: Case, kind: type[Record] = Record) -> Program:
    """Lanes of one line; the first is used by the main thread, the others by others."""

    def prepare(rooms: Rooms) -> Callable[[], None]:
        rooms.refused_starts = cases[0].refused
        line = rooms.Line(cases[0].jobs, cases[0].limit)
        most = [max(case.costs) for case in cases]
        allowed = max(cases[0].limit, *most) if len(cases) == 1 else cases[0].limit + sum(most)
        lanes = Lanes(allowed + (len(cases[0].costs) if kind is Nested else 0))
        records = [kind(rooms, case, lanes) for case in cases]
        return partial(run_and_judge, rooms, line, records)

    return prepare


CASES = {
    "all is well": Case(),
    "the threads come to rest": Case(rests=True),
    "one thread": Case(jobs=1),
    "more threads than tasks": Case(jobs=4),
    "a task over the whole budget": Case(costs=(2, 20, 2)),
    "few in flight": Case(limit=100, most=2),
    "room for all": Case(limit=100),
    "light tasks": Case(light=frozenset({0, 2})),
    "the first fails": Case(failing=frozenset({0})),
    "the second fails": Case(failing=frozenset({1})),
    "the third fails": Case(failing=frozenset({2})),
    "all fail": Case(failing=frozenset({0, 1, 2}), limit=100),
    "a light one fails": Case(failing=frozenset({1}), light=frozenset({1})),
    "the source fails": Case(source_fails=True),
    "the consumer leaves at once": Case(leaves_after=0),
    "the consumer leaves": Case(leaves_after=1),
    "no thread is given": Case(refused=frozenset({1, 2, 3, 4})),
    "one thread is given": Case(refused=frozenset({2})),
}

FEW = Case(costs=(4, 4))
FAILING = Case(failing=frozenset({1}))

PROGRAMS: dict[str, Program] = {
    **{name: use_lanes(case) for name, case in CASES.items()},
    "tasks are put in": use_lanes(Case(rests=True), kind=Pushed),
    "a task that was put in fails": use_lanes(FAILING, kind=Pushed),
    "tasks use their own line": use_lanes(FEW, kind=Nested),
    "tasks use their own line, one thread": use_lanes(Case(costs=(4, 4), jobs=1), kind=Nested),
    "tasks are left": use_lanes(Case(limit=100), kind=Left),
    "the lane is forgotten": use_lanes(Case(), kind=Forgotten),
    "calls are made beside": use_lanes(Case(), kind=Beside),
    "a call beside fails": use_lanes(FAILING, kind=Beside),
    "two lanes": use_lanes(FEW, FEW),
    "two lanes, one thread": use_lanes(Case(costs=(4, 4), jobs=1), FEW),
    "two lanes, one fails": use_lanes(FEW, FAILING),
    "two lanes, the other is left": use_lanes(FAILING, Case(costs=(4, 4), leaves_after=1)),
    "two lanes, one is left at work": use_lanes(
        Case(costs=(4, 4, 4), limit=100, jobs=3, leaves_after=1), FEW
    ),
    "two lanes, one start is refused": use_lanes(Case(costs=(4, 4), refused=frozenset({1})), FEW),
    "two lanes of tasks that use their own line": use_lanes(
        Case(costs=(4,), refused=frozenset({1})), Case(costs=(4,)), kind=Nested
    ),
    "three lanes": use_lanes(FEW, FEW, FEW),
}


@dataclass(frozen=True)
class Mutant:
    """A fault in a room.

    Attributes:
        room: where it is.
        right: what stands there.
        wrong: what would stand there instead.
        program: what it is found by.
        found: what is said then.
        departures: how many the schedule has that shows it.
        by_statement: whether there is a step at each statement.
    """

    room: str
    right: str
    wrong: str
    program: str
    found: str
    departures: int = 1
    by_statement: bool = False


MUTANTS = {
    "a worker does not say that it is done": Mutant(
        "threads", "        self._finished.put(self)\n", "", "all is well", "Deadlock: main waits"
    ),
    "a worker says too early that it is done": Mutant(
        "threads",
        "self.is_done = True\n        self._finished.put(self)",
        "self._finished.put(self)\n        self.is_done = True",
        "all is well",
        "Deadlock: main waits",
    ),
    "looking whether a job is free, and taking it, are two steps": Mutant(
        "threads",
        "if not self._claimed_by_worker.setdefault(None, True):",
        "claimed = self._claimed_by_worker\n"
        "        if claimed.get(None) is False or claimed.update({None: True}):",
        "tasks are left",
        "a closed lane is at work",
        departures=2,
    ),
    "the next worker is not told of the end": Mutant(
        "threads", "    queue.put(end)  #", "    pass  #", "all is well", "parazip_2 waits"
    ),
    "threads are told of their end by a function of Python's": Mutant(
        "threads",
        "weakref.ref(self, self.queue.put)",
        "weakref.ref(self, lambda end, queue=self.queue: queue.put(end))",
        "all is well",
        "an interrupt is lost",
    ),
    "a worker waits for the results of its own lane": Mutant(
        "threads",
        "return not alive or get_ident() in alive",
        "return not alive",
        "tasks use their own line, one thread",
        "Deadlock: main waits",
    ),
    "what a thread has begun is done again": Mutant(
        "line",
        "(workers.need_caller() and head.claim())",
        "workers.need_caller()",
        "two lanes, one thread",
        "done twice",
    ),
    "what a job holds is counted late": Mutant(
        "line",
        "        self._count_done(job)  #",
        "        #",
        "a task over the whole budget",
        "more is counted than the budget allows",
        by_statement=True,
    ),
    "the budget is not told that a lane is closed": Mutant(
        "line", "self._budget.forget(self._key)", "pass", "all is well", "a closed lane holds bytes"
    ),
    "closing waits for one job only": Mutant(
        "line",
        "self.finished.get(timeout=_PATIENCE if is_interrupted else None)\n",
        "self.finished.get(timeout=_PATIENCE if is_interrupted else None)\n                break\n",
        "tasks are left",
        "a closed lane is at work",
        departures=3,
    ),
    "tasks are cancelled from the first": Mutant(
        "line",
        "in reversed(self._jobs)",
        "in self._jobs",
        "calls are made beside",
        "one is left out",
        departures=3,
    ),
    "a worker waits for the end of the others": Mutant(
        "line",
        "is_stuck or is_one_of_them or",
        "is_stuck or",
        "tasks use their own line",
        "Deadlock: ",
        departures=2,
    ),
    "a thread is waited for that has not started": Mutant(
        "line",
        "if thread.is_alive():",
        "if thread.ident is not None:",
        "two lanes, one thread",
        "cannot join thread before it is started",
        departures=2,
    ),
}


LONG = [name for name in PROGRAMS if name.startswith(("two lanes,", "two lanes of", "tasks use"))]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in PROGRAMS],
)
def test_the_line_keeps_its_word_under_each_schedule(name: str) -> None:
    """With one departure each, and some by chance; the rest is for `make proofs`."""
    count = explore(PROGRAMS[name], departures=1, by_statement=False)
    count += explore(PROGRAMS[name], departures=0, walks=40)
    assert count > 42


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_line_keeps_its_word_under_hundreds_of_thousands_of_schedules(name: str) -> None:
    count = explore(PROGRAMS[name], departures=2, by_statement=False)
    count += explore(PROGRAMS[name], departures=1)
    count += explore(PROGRAMS[name], departures=0, walks=6_000)
    count += explore(PROGRAMS[name], departures=0, walks=3_000, interrupts=2)
    print(f"{count} schedules")
    assert count > 9_000
    assert count * len(PROGRAMS) > 300_000


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if mutant.departures == 3 else name
        for name, mutant in MUTANTS.items()
    ],
)
def test_a_fault_in_the_line_is_found(name: str) -> None:
    mutant = MUTANTS[name]
    with pytest.raises(AssertionError, match=r"under the schedule \(") as error:
        explore(
            PROGRAMS[mutant.program],
            mutant.departures,
            edits={mutant.room: (mutant.right, mutant.wrong)},
            by_statement=mutant.by_statement,
        )
    assert mutant.found in str(error.value)
    assert "not a second time" not in str(error.value)
