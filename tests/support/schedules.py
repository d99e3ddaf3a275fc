"""An explorer of schedules: the rooms of `workers`, run by one task at a time, in any order.

Each thread is a greenlet. The rooms are loaded once more, above queues and threads of a scheduler's
own, with a step before each statement and after each call: there another task may go on, and there
Ctrl-C may come to the main task. By itself a task goes on until it has to wait, and then the one
goes on that has been ready for longest. A schedule says where that is departed from: pairs of a
step's number and a choice. So each schedule can be run again, and those with few departures are so
few that all of them can be run.
"""

from __future__ import annotations

import ast
import gc
import random
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

from greenlet import GreenletExit, getcurrent, greenlet

import parazip.workers
from parazip.workers.system import Empty

Schedule: TypeAlias = "tuple[tuple[int, int], ...]"

Edits: TypeAlias = "dict[str, tuple[str, str]]"
"""For a room, a piece of its source and what stands there instead."""

_HERE = Path(parazip.workers.__file__).parent
_ROOMS = ["budget", "threads", "line", "side_thread", "helpers"]

_PRIMITIVES = {"put", "get", "get_nowait", "empty", "start", "is_alive", "setdefault", "pop"}
_PURE = {"any", "bool", "cast", "isinstance", "iter", "len", "list", "max", "range", "sum"}


class Deadlock(AssertionError):  # noqa: N818 # as everybody calls it
    """Tasks wait, and none can go on."""


class Task:
    """A thread of the program.

    Attributes:
        waiters: where it waits, with others.
        raised: what it finds raised when it goes on.
    """

    def __init__(self, name: str, number: int, body: Callable[[], None], hub: greenlet) -> None:
        self.name = name
        self.number = number
        self.is_over = False
        self.waiters: list[Task] | None = None
        self.raised: type[BaseException] | None = None
        self.light = greenlet(body, hub)


class Scheduler:
    """Runs a program and its threads, one at a time.

    Attributes:
        count: how many steps were made.
        options: for each step, in how many ways it could have been departed from the plain order.
        taken: the departures.
        interrupts: how many may still come.
        arrived: how many have come.
        explored: how many steps were made before `end_exploring`.
        trace: who stopped where and who went on, if that `is_told`.
    """

    def __init__(self) -> None:
        self.is_told = False
        self._is_running = False

    def run(
        self,
        main: Callable[[], None],
        schedule: Schedule = (),
        interrupts: int = 1,
        chance: random.Random | None = None,
    ) -> None:
        """Runs a program to its end, and to that of its threads.

        Args:
            main: the program.
            schedule: where to depart from the plain order.
            interrupts: how many may come.
            chance: says where to depart, if there is no schedule.
        """
        self.count = self.arrived = self.explored = 0
        self.options: list[int] = []
        self.taken: list[tuple[int, int]] = []
        self.interrupts = interrupts
        self.trace: list[str] = []
        self._ready: deque[Task] = deque()
        self._timed: list[Task] = []
        self._patient: list[Task] = []
        self._all: list[Task] = []
        self._error: BaseException | None = None
        self._hub = getcurrent()
        self._chance = chance
        self._pause = chance.choice([5, 20, 60, 200]) if chance else 0
        self._departures = iter(schedule)
        self._look_ahead()
        self.main = self.current = self.spawn("main", main)
        self._is_running = True
        try:
            self._switch(self._pick(0))
            while self._error is None and self._can_anyone_go_on():
                self._choose()
            if self._error is None and not all(task.is_over for task in self._all):
                self._error = self._tell_deadlock()
            if self._error is not None:
                raise self._error
        finally:
            self._is_running = False
            self._error = None
            for task in self._all:
                while not task.light.dead:
                    task.light.throw(GreenletExit)

    def spawn(self, name: str, body: Callable[[], None]) -> Task:
        """Adds a task."""

        def live() -> None:
            try:
                body()
            except GreenletExit:
                pass
            except BaseException as error:
                self._error = self._error or error
            task.is_over = True

        task = Task(name, len(self._all) + 1, live, self._hub)
        self._all.append(task)
        self._ready.append(task)
        return task

    def step(self, value: Any = None) -> Any:
        """Where another task may go on, or an interrupt comes; gives what it gets."""
        if self._is_running:
            self.count += 1
            self.options.append(len(self._ready) + len(self._timed) + (self.interrupts > 0))
            if self.count == self._next:
                self._depart()
        return value

    def wait(self, waiters: list[Task], is_timed: bool = False) -> None:
        """Waits until another task wakes those who wait there.

        Raises:
            Empty: that took too long. Who `is_timed` may be told so at any time.
        """
        if not self._is_running:
            raise GreenletExit
        task = self.current
        task.waiters = waiters
        waiters.append(task)
        if is_timed:
            self._timed.append(task)
        if self._can_anyone_go_on():
            self._choose()
        else:
            self._hub.switch()
        self._take_raised(task)

    def wake(self, waiters: list[Task]) -> None:
        """Lets those go on who wait there."""
        for task in list(waiters):
            self._release(task)
            self._ready.append(task)

    def end_exploring(self) -> None:
        """From now on there are no departures."""
        self.interrupts = self._next = 0
        self._chance, self._departures = None, iter(())
        self.explored = self.count

    def wait_for_rest(self) -> None:
        """Waits until no other task can go on."""
        self.wait(self._patient)

    def wait_for_end(self) -> None:
        """Waits until all other tasks are over."""
        others = [task for task in self._all if task is not self.current]
        self.wait_for_rest()
        if not all(task.is_over for task in others):
            gc.collect()  # for what only that finds
            self.wait_for_rest()
        if not all(task.is_over for task in others):
            raise self._tell_deadlock()

    def _look_ahead(self) -> None:
        """Finds the step of the next departure, and what it is."""
        if self._chance is None:
            self._next, self._choice = next(self._departures, (0, 0))
        else:
            self._next = self.count + 1 + int(self._chance.expovariate(1 / self._pause))

    def _can_anyone_go_on(self) -> bool:
        if not self._ready and not self._timed:
            self.wake(self._patient)
        return bool(self._ready or self._timed)

    def _depart(self) -> None:
        """Another task goes on instead of the current one, or that is interrupted."""
        choice = self._take_choice(first=1)
        if choice:
            task, other = self.current, self._pick(choice - 1)
            if other is not task:
                self._ready.append(task)
            self._switch(other)
            self._take_raised(task)

    def _choose(self) -> None:
        """Another task goes on, as the current one has to wait."""
        self.count += 1
        self.options.append(len(self._ready) + len(self._timed) + (self.interrupts > 0) - 1)
        self._switch(self._pick(self._take_choice(first=0) if self.count == self._next else 0))

    def _take_choice(self, first: int) -> int:
        """The choice that is due; 0 stands for the plain order."""
        options = self.options[-1]
        choice = self._choice if self._chance is None else 0
        if self._chance is not None:
            choice = self._chance.randint(min(first, options), options)
            if choice == options and self.interrupts and self._chance.random() < 0.9:
                choice = 0  # or they would all come early
        assert 0 <= choice <= options, "a schedule of another program"
        if choice:
            self.taken.append((self.count, choice))
        self._look_ahead()
        return choice

    def _pick(self, number: int) -> Task:
        """Who goes on: first come those who can, then those whose time may be up, then Ctrl-C."""
        if number < len(self._ready):
            task = self._ready[number]
            del self._ready[number]
        elif number < len(self._ready) + len(self._timed):
            task = self._timed[number - len(self._ready)]
            task.raised = Empty
        else:
            task = self.main
            task.raised = KeyboardInterrupt
            self.interrupts -= 1
            self.arrived += 1
            if task in self._ready:
                self._ready.remove(task)
        self._release(task)
        return task

    def _switch(self, task: Task) -> None:
        if self.is_told:
            raised = f" with {task.raised.__name__}" if task.raised else ""
            before = f"{self.current.name} stops at {_tell_place(self.current)}"
            self.trace.append(f"step {self.count}: {before}, {task.name} goes on{raised}")
        self.current = task
        if task.light is not getcurrent():
            task.light.switch()

    def _take_raised(self, task: Task) -> None:
        if not self._is_running:
            raise GreenletExit
        raised, task.raised = task.raised, None
        if raised is not None:
            raise raised

    def _release(self, task: Task) -> None:
        """Takes a task from where it waits."""
        if task.waiters is not None:
            task.waiters.remove(task)
            task.waiters = None
        if task in self._timed:
            self._timed.remove(task)

    def _tell_deadlock(self) -> Deadlock:
        waiting = [task for task in self._all if not task.is_over and task.waiters]
        return Deadlock("; ".join(f"{task.name} waits at {_tell_place(task)}" for task in waiting))


def _tell_place(task: Task) -> str:
    """The innermost line of the rooms that a task is in."""
    frame = sys._getframe() if task.light is getcurrent() else task.light.gr_frame
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.parent == _HERE:
            return f"{path.name}:{frame.f_lineno}"
        frame = frame.f_back
    return "its end" if task.is_over else "the program"


class _Queue:
    """A `SimpleQueue`: each call is one step, as those are written in C."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._items: deque[Any] = deque()
        self._waiters: list[Task] = []

    def put(self, item: Any) -> None:
        self._items.append(item)
        self._scheduler.wake(self._waiters)

    def get(self, timeout: float | None = None) -> Any:
        while not self._items:
            self._scheduler.wait(self._waiters, timeout is not None)
        return self._items.popleft()

    def get_nowait(self) -> Any:
        if not self._items:
            raise Empty
        return self._items.popleft()

    def empty(self) -> bool:
        return not self._items


class _Thread:
    """A `threading.Thread`: its start is seen by the thread itself first, and then by others."""

    def __init__(
        self, rooms: Rooms, target: Callable[..., None], args: Any, name: str, daemon: bool
    ) -> None:
        assert daemon
        self.ident: int | None = None
        self._rooms = rooms
        self._scheduler = rooms.scheduler
        self._call: Any = (target, args)
        self._name = name
        self._is_started = False
        self._task: Task | None = None
        self._waiters: list[Task] = []

    def start(self) -> None:
        self._rooms.starts += 1
        if self._rooms.starts in self._rooms.refused_starts:
            raise RuntimeError("can't start new thread")
        self._scheduler.step()
        self._task = self._scheduler.spawn(self._name, self._live)
        while not self._is_started:
            self._scheduler.wait(self._waiters)

    def is_alive(self) -> bool:
        return self._is_started and self._task is not None and not self._task.is_over

    def join(self) -> None:
        if not self._is_started:
            raise RuntimeError("cannot join thread before it is started")
        while self.is_alive():
            self._scheduler.wait(self._waiters)

    def _live(self) -> None:
        assert self._task is not None
        self.ident = self._task.number
        self._scheduler.step()
        self._is_started = True
        self._scheduler.wake(self._waiters)
        self._scheduler.step()
        target, args = self._call
        self._call = None
        target(*args)
        del target, args
        self._scheduler.step()
        self._task.is_over = True
        self._scheduler.wake(self._waiters)


class Rooms:
    """The rooms above a scheduler; their names are its attributes.

    Attributes:
        starts: how many threads were to start.
        refused_starts: which of them the system refuses.
        spaces: what the rooms know by name.

    Args:
        scheduler: runs what they do.
        edits: makes other rooms of them, to see whether that is found.
        by_statement: whether there is a step at each; otherwise only after the calls by which
            threads meet.
    """

    def __init__(
        self, scheduler: Scheduler, edits: Edits | None = None, by_statement: bool = True
    ) -> None:
        self.scheduler = scheduler
        self.starts = 0
        self.refused_starts: frozenset[int] = frozenset()
        self.spaces: dict[str, dict[str, Any]] = {}
        self._names: dict[str, Any] = {
            "Empty": Empty,
            "SimpleQueue": lambda: _Queue(scheduler),
            "get_ident": lambda: scheduler.current.number,
            "has_native_threads": lambda: True,
            "own": SimpleNamespace(getpid=lambda: 1),
            "threading": SimpleNamespace(Thread=lambda **settings: _Thread(self, **settings)),
        }
        for room in _ROOMS:
            self._load(room, (edits or {}).get(room), by_statement)

    def __getattr__(self, name: str) -> Any:
        return self._names[name]

    def _load(self, room: str, edit: tuple[str, str] | None, by_statement: bool) -> None:
        path = _HERE / f"{room}.py"
        source = path.read_text(encoding="utf-8")
        if edit is not None:
            assert source.count(edit[0]) == 1, f"{room} has no single {edit[0]!r} any more"
            source = source.replace(*edit)
        tree = _Steps(by_statement).visit(ast.parse(source))
        space: dict[str, Any] = {"__name__": f"scheduled {room}", "_step": self.scheduler.step}
        self.spaces[room] = space
        exec(compile(ast.fix_missing_locations(tree), path, "exec"), space)
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.asname or alias.name for alias in node.names]
                space.update({name: self._names[name] for name in names if name in self._names})
        for name, value in space.items():
            if getattr(value, "__module__", None) == space["__name__"]:
                self._names[name] = value


class _Steps(ast.NodeTransformer):
    """Puts steps into functions."""

    def __init__(self, by_statement: bool) -> None:
        self._by_statement = by_statement
        self._depth = 0

    def visit(self, node: ast.AST) -> Any:
        is_inside = self._depth > 0
        visited = super().visit(node)
        if is_inside and self._by_statement and isinstance(node, ast.stmt):
            return [ast.copy_location(ast.Expr(_make_step([])), node), visited]
        return visited

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._depth += 1
        node.body = [each for one in node.body for each in _as_list(self.visit(one))]
        self._depth -= 1
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        is_met = name not in _PURE if self._by_statement else name in _PRIMITIVES
        if self._depth == 0 or not is_met:
            return node
        return ast.copy_location(_make_step([node]), node)


def _make_step(arguments: list[ast.expr]) -> ast.Call:
    return ast.Call(ast.Name("_step", ast.Load()), arguments, [])


def _as_list(visited: Any) -> list[ast.stmt]:
    return visited if isinstance(visited, list) else [visited]


Program: TypeAlias = "Callable[[Rooms], Callable[[], None]]"
"""Prepares what the main task does."""


def explore(
    program: Program,
    departures: int = 1,
    walks: int = 0,
    interrupts: int = 1,
    edits: Edits | None = None,
    by_statement: bool = True,
) -> int:
    """Runs a program under each schedule with so few departures, and under some by chance.

    Args:
        program: what is run.
        departures: how many a schedule has at most.
        walks: how many schedules, with any number of departures, are made by chance.
        interrupts: how many of the departures may be interrupts.
        edits: what is changed in the rooms.
        by_statement: see `Rooms`.

    Returns:
        How many schedules those were.

    Raises:
        AssertionError: under one of them it failed; with the schedule, and what happened.
    """
    scheduler = Scheduler()
    rooms = Rooms(scheduler, edits, by_statement)
    count = 0

    def run(schedule: Schedule, chance: random.Random | None = None) -> None:
        nonlocal count
        count += 1
        if count % 500 == 0:
            gc.collect()
        rooms.starts = 0
        rooms.refused_starts = frozenset()
        lost.clear()
        scheduler.run(program(rooms), schedule, interrupts, chance)
        assert lost == [], "raised where nobody could hear it"

    def run_told(schedule: Schedule, chance: random.Random | None = None) -> None:
        try:
            run(schedule, chance)
        except BaseException as error:
            schedule = tuple(scheduler.taken)
            message = f"{type(error).__name__}: {error}\nunder the schedule {schedule}:\n"
            scheduler.is_told = True
            try:
                run(schedule)
            except BaseException as again:
                if type(again) is type(error):
                    raise AssertionError(message + "\n".join(scheduler.trace)) from error
            raise AssertionError(f"{message}but not a second time") from error

    with _nothing_between() as lost:
        waiting: list[Schedule] = [()]
        while waiting:
            schedule = waiting.pop()
            run_told(schedule)
            if len(schedule) < departures:
                first = schedule[-1][0] if schedule else 0
                for step in range(first, scheduler.explored):
                    choices = range(1, scheduler.options[step] + 1)
                    waiting.extend((*schedule, (step + 1, choice)) for choice in choices)
        for seed in range(walks):
            run_told((), random.Random(seed))
    return count


@contextmanager
def _nothing_between() -> Iterator[list[object]]:
    """In this block nothing but the scheduler has a say in what happens when.

    Gives a list of the errors that nobody could be told.
    """
    tracing, hook = sys.gettrace(), sys.unraisablehook
    lost: list[object] = []
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.settrace(None)
    sys.unraisablehook = lambda unraisable: lost.append(unraisable.exc_value)
    try:
        yield lost
    finally:
        sys.unraisablehook = hook
        sys.settrace(tracing)
        gc.enable()
        gc.unfreeze()
