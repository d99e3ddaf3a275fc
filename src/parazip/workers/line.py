"""A line of workers: threads and one budget of bytes, shared by all who work at it. No word of zip.

Whoever has work takes a `Lane`: a queue of tasks of its own, whose results come in order. All lanes
of a line share its threads and its budget, so a program that makes a hundred archives at once has
as many threads as it has CPUs. What is guaranteed:

* The results of a lane come in the order of its tasks, whatever order they are finished in.
* The bytes in flight do not exceed the budget: a task counts from its admission with what it may
  need (`cost`), from its end with what its result holds (`weight`), and until the consumer asks
  for the next result. What is alone in its lane is admitted whatever its size. So a lane waits for
  nobody but itself, and two archives that one thread writes in turn cannot wait for each other.
* A task that is light is not worth a thread: it runs on the consumer's when its turn comes.
* The first error in the order of the tasks is raised to the consumer, unwrapped. Tasks that have
  not begun are cancelled when the lane is closed, those that have are waited for; their errors are
  dropped, because the first one is the answer.
* Ctrl-C does not wait for what may never end, such as a file system that does not answer: a thread
  that is still at work after two seconds is left to itself, and what it gives is dropped.
* Where there are no threads, the consumer does all by itself: where the system gives none, where a
  program has replaced them by greenlets, in a forked copy of the process, while Python ends. It
  then does again what a thread had begun that will never go on.
* A line ends its threads when its last lane is closed. They are daemons: a program that forgets an
  archive is not kept from ending.

A signal handler may raise (Ctrl-C) between any two instructions of the main thread, so what
matters is done in single calls of C: a task is claimed by `dict.setdefault`, handed over by a queue
and done when one attribute is set. The books of a lane are kept by its consumer alone; an interrupt
may skew them, but it also ends the lane. Nothing polls.
"""

from __future__ import annotations

import sys
import threading
import weakref
from _thread import get_ident
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, cast

from parazip.workers.cpus import usable_cpus
from parazip.workers.system import Empty, SimpleQueue, has_native_threads, own

Task = TypeVar("Task")
Result = TypeVar("Result")

MEMORY = 256 << 20
"""Bytes that may be in flight at once where nothing else is said."""

_NO_MORE = object()

_PATIENCE = 2.0
"""Seconds: what is at work takes less, unless what it waits for may never come."""


def is_interrupt(kind: type[BaseException] | None) -> bool:
    """Whether a block ends because the program is to end."""
    return kind is not None and issubclass(kind, KeyboardInterrupt | SystemExit)


class Budget:
    """Bytes that may be in flight at once, counted by each lane for itself.

    Attributes:
        limit: how many that is.
        peak: the most that ever were.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.peak = 0
        self._used: dict[weakref.ref[Any], int] = {}

    @property
    def used(self) -> int:
        """How many are in flight now."""
        return sum(list(self._used.values()))  # a list is made in one step, beside other threads

    def fits(self, amount: int) -> bool:
        """Whether `amount` more may be in flight."""
        return self.used + amount <= self.limit

    def count(self, lane: weakref.ref[Any], amount: int) -> None:
        """A lane has so many in flight."""
        self._used[lane] = amount
        self.peak = max(self.peak, self.used)

    def forget(self, lane: weakref.ref[Any]) -> None:
        """A lane has ended, or is gone."""
        self._used.pop(lane, None)


class _Job(Generic[Task, Result]):
    """A task on its way.

    Attributes:
        task: what is to be done.
        result: what came of it.
        error: what went wrong.
        is_done: whether one of these two is there.
        is_light: whether the consumer does it.
    """

    __slots__ = ("_claims", "_lane", "error", "is_done", "is_light", "result", "task")

    def __init__(self, lane: Lane[Task, Result], task: Task, is_light: bool) -> None:
        # Not the lane itself: that would be a cycle, and who forgets a lane would not end it.
        self._lane = lane.function, lane.finished
        self.task = task
        self.is_light = is_light
        self.is_done = False
        self.error: BaseException | None = None
        self.result: Result
        self._claims: dict[None, int] = {}

    def claim(self) -> bool:
        """Whether the job is this thread's; the first to ask has it."""
        return self._claims.setdefault(None, get_ident()) == get_ident()

    def is_running_elsewhere(self) -> bool:
        return not self.is_done and self._claims.get(None, get_ident()) != get_ident()

    def run(self) -> None:
        """Does the job on a worker's thread, if nobody has claimed it yet."""
        if not self.claim():
            return
        function, finished = self._lane
        try:
            self.result = function(self.task)
        except BaseException as error:
            self.error = error
        self.is_done = True
        finished.put(self)


class _Workers(Protocol):
    """Who does jobs.

    Attributes:
        threads: those that end with this object.
    """

    threads: list[threading.Thread]

    def submit(self, job: _Job[Any, Any]) -> None:
        """Has a job done, if there is anybody."""

    def are_there(self) -> bool:
        """Whether jobs are done by others than who asks."""

    def have_me(self) -> bool:
        """Whether who asks is one of them."""


class _Threads:
    """Threads that are started as jobs come. They end when nobody holds this object any more.

    So nobody can hand in a job behind their end, and there is no lock: between taking one and
    remembering that, an exception could strike.
    """

    def __init__(self, jobs: int) -> None:
        self.queue: SimpleQueue[_Job[Any, Any] | None] = SimpleQueue()
        self.threads: list[threading.Thread] = []
        self._numbers = list(range(jobs, 0, -1))
        self._process = own.getpid()

    def is_here(self) -> bool:
        """Whether this is the process whose threads these are, and no copy of it."""
        return self._process == own.getpid()

    def submit(self, job: _Job[Any, Any]) -> None:
        self.queue.put(job)
        if self.is_here() and has_native_threads():
            with suppress(IndexError):  # all are there
                self._start(self._numbers.pop())

    def _start(self, number: int) -> None:
        name = f"parazip_{number}"
        thread = threading.Thread(target=_work, args=(self.queue,), name=name, daemon=True)
        self.threads.append(thread)
        try:
            thread.start()
        except RuntimeError:  # the system gives no more, or Python is on its way out
            self.threads.remove(thread)
            self._numbers.clear()

    def are_there(self) -> bool:
        is_here = self.is_here() and not sys.is_finalizing()
        return is_here and any(thread.is_alive() for thread in self.threads)

    def have_me(self) -> bool:
        return any(thread.ident == get_ident() for thread in self.threads)


_ends: set[weakref.ref[_Threads]] = set()


def _watch(threads: _Threads) -> weakref.ref[_Threads]:
    """What finds threads as long as somebody holds them, and ends them then.

    No `__del__` does it: while that runs, a weak reference still gives the object to others.
    """
    end = partial(_end_threads, own.getpid(), threads.queue, threads.threads)
    found = weakref.ref(threads, end)
    _ends.add(found)
    return found


def _end_threads(
    process: int,
    queue: SimpleQueue[_Job[Any, Any] | None],
    threads: list[threading.Thread],
    gone: weakref.ref[_Threads],
) -> None:
    """Ends threads that nobody holds."""
    _ends.discard(gone)
    if not threads or process != own.getpid():
        return
    queue.put(None)


class _Strangers:
    """An executor of somebody's."""

    def __init__(self, executor: Executor) -> None:
        self.threads: list[threading.Thread] = []
        self._executor = executor

    def submit(self, job: _Job[Any, Any]) -> None:
        self._executor.submit(job.run)

    def are_there(self) -> bool:
        return True

    def have_me(self) -> bool:
        return False


def _work(queue: SimpleQueue[_Job[Any, Any] | None]) -> None:
    """A worker's life. It must not hold the `_Threads`, whose end is its own."""
    while (job := queue.get()) is not None:
        job.run()
        del job  # and with it a result that may be large
    queue.put(None)  # for the next worker


class Line:
    """Threads and a budget.

    Args:
        jobs: how many threads to have at most; they are started as work comes.
        memory: bytes that may be in flight at once.
        executor: who works instead of threads of its own.
    """

    def __init__(self, jobs: int, memory: int, executor: Executor | None = None) -> None:
        self.jobs = jobs
        self.budget = Budget(memory)
        self._executor = executor
        self._threads: Callable[[], _Threads | None] = lambda: None

    def lane(
        self,
        function: Callable[[Task], Result],
        cost: Callable[[Task], int],
        weight: Callable[[Result], int],
        is_light: Callable[[Task], bool] = lambda task: False,
        most: int = sys.maxsize,
    ) -> Lane[Task, Result]:
        """A place in this line.

        Args:
            function: what a worker does with a task.
            cost: the bytes a task may need while it runs, result included.
            weight: the bytes that its result holds.
            is_light: whether a task costs less than handing it to a worker does.
            most: how many tasks may be in flight at once, whatever they cost.
        """
        return Lane(self._find_workers(), self.budget, function, cost, weight, is_light, most)

    def do_all(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], cost: int
    ) -> list[tuple[Task, Result]]:
        """Has all tasks done by workers, and gives each with its result, in order.

        Args:
            function: what a worker does with a task; its result is small.
            tasks: what is to be done.
            cost: the bytes that each may need while it runs.
        """
        with self.lane(function, cost=lambda _: cost, weight=lambda _: 0) as lane:
            return list(lane.through(tasks))

    def _find_workers(self) -> _Workers:
        """Those of the lanes that are open, or new ones."""
        if self._executor is not None:
            return _Strangers(self._executor)
        threads = self._threads()
        if threads is None or not threads.is_here():
            # Who comes at the very same moment may make others: some threads more, for that once.
            threads = _Threads(self.jobs)
            self._threads = _watch(threads)
        return threads


class Lane(Generic[Task, Result]):
    """Tasks and their results, in order; see the head of this module.

    One thread at a time uses a lane. It is closed at the end of a `with` block. Who goes through
    results goes to their end, or closes the lane.
    """

    def __init__(
        self,
        workers: _Workers,
        budget: Budget,
        function: Callable[[Task], Result],
        cost: Callable[[Task], int],
        weight: Callable[[Result], int],
        is_light: Callable[[Task], bool],
        most: int,
    ) -> None:
        self.function = function
        self.finished: SimpleQueue[_Job[Task, Result]] = SimpleQueue()
        self._workers: _Workers | None = workers
        self._budget = budget
        self._me = weakref.ref(self, budget.forget)
        self._cost = cost
        self._weight = weight
        self._is_light = is_light
        self._most = most
        self._planned: deque[Task] = deque()
        self._jobs: deque[_Job[Task, Result]] = deque()
        self._used = 0

    def __enter__(self) -> Lane[Task, Result]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.close(is_interrupt(kind))

    def put(self, task: Task) -> None:
        """Takes a task; `ready` hands it to the workers."""
        self._planned.append(task)

    def take_finished(self) -> Generator[tuple[Task, Result], None, None]:
        """Hands on what was put in, and gives each task that is finished with its result.

        Waits only where the budget has no room for what was put in.
        """
        while self._admit():
            if self._is_head_done():
                yield from self._head()
            elif self._planned:
                self._wait()
            else:
                return

    def take_all(self) -> Generator[tuple[Task, Result], None, None]:
        """All tasks that were put in, with their results."""
        return self.through(())

    def through(self, source: Iterable[Task]) -> Generator[tuple[Task, Result], None, None]:
        """Each task with its result, in order.

        Tasks are taken from their source without waiting for the budget, between results: so
        a source that has to look for them goes on while workers are busy. It is asked again after
        its end as long as there are results to come: that may be a passing end.
        """
        tasks = iter(source)
        while self._admit():
            if self._is_head_done():
                yield from self._head()
            elif (found := next(tasks, _NO_MORE)) is not _NO_MORE:
                self._planned.append(cast("Task", found))
            elif self._planned or self._jobs:
                self._wait()
            else:
                return

    def close(self, is_interrupted: bool = False) -> None:
        """Cancels what has not begun, and waits for what has. Nothing runs any more after that.

        If it `is_interrupted`, it waits two seconds for each at most.
        """
        workers, self._workers = self._workers, None
        if workers is None:
            return
        self._planned.clear()
        for job in self._jobs:
            job.claim()
        is_stuck = False
        while workers.are_there() and any(job.is_running_elsewhere() for job in self._jobs):
            try:
                self.finished.get(timeout=_PATIENCE if is_interrupted else None)
            except Empty:
                is_stuck = True
                break
        self._jobs.clear()
        self._budget.forget(self._me)
        found, threads = weakref.ref(workers), workers.threads
        del workers
        if found() is None and not is_stuck:  # this was the last lane
            for thread in () if sys.is_finalizing() else threads:
                if thread.ident not in (None, get_ident()):
                    thread.join()

    def _admit(self) -> bool:
        """Makes jobs of tasks as the budget has room; False if the lane is closed."""
        workers = self._workers
        if workers is None:
            return False
        while not self.finished.empty():
            self._book(self.finished.get())
        while self._planned:
            cost = self._cost(self._planned[0])
            is_full = len(self._jobs) >= self._most or not self._budget.fits(cost)
            if self._jobs and is_full:
                break
            task = self._planned.popleft()
            job = _Job(self, task, self._is_light(task))
            self._jobs.append(job)
            self._count(cost)
            if not job.is_light:
                workers.submit(job)
        return True

    def _is_head_done(self) -> bool:
        return bool(self._jobs) and (self._jobs[0].is_done or self._jobs[0].is_light)

    def _head(self) -> Iterator[tuple[Task, Result]]:
        job = self._jobs[0]
        if job.is_light and not job.is_done:
            self._run_here(job)
        if job.error is not None:
            raise job.error
        yield job.task, job.result
        self._jobs.popleft()
        self._count(-self._weight(job.result))

    def _wait(self) -> None:
        """Until one job more is done; does it here, if nobody else ever will."""
        workers = self._workers
        assert workers is not None
        head = self._jobs[0]
        if not workers.are_there() or (workers.have_me() and head.claim()):
            self._run_here(head)
        else:
            self._book(self.finished.get())

    def _run_here(self, job: _Job[Task, Result]) -> None:
        job.claim()
        job.result = self.function(job.task)
        job.is_done = True
        self._book(job)

    def _book(self, job: _Job[Task, Result]) -> None:
        """A job that is done holds its result and no more."""
        held = self._weight(job.result) if job.error is None else 0
        self._count(held - self._cost(job.task))

    def _count(self, amount: int) -> None:
        self._used += amount
        self._budget.count(self._me, self._used)


_lines: dict[int, Line] = {}
"""The line of a process, by its number: a copy of the process has another one."""


def shared_line() -> Line:
    """The line of this process: as many threads as CPUs, and one budget for all who use it."""
    process = own.getpid()
    return _lines.get(process) or _lines.setdefault(process, Line(usable_cpus(), MEMORY))


def line_for(jobs: int | None, memory: int, executor: Executor | None = None) -> Line:
    """The process's line; or one of its own, where anything else is asked for than the defaults."""
    if jobs is None and memory == MEMORY and executor is None:
        return shared_line()
    return Line(jobs or usable_cpus(), memory, executor)
