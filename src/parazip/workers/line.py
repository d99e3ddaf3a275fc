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
from typing import Any, Generic, TypeVar, cast

from parazip.workers.cpus import usable_cpus
from parazip.workers.system import SimpleQueue, has_native_threads, own

Task = TypeVar("Task")
Result = TypeVar("Result")

MEMORY = 256 << 20
"""Bytes that may be in flight at once where nothing else is said."""

_NO_MORE = object()


class Budget:
    """Bytes that may be in flight at once, counted by each lane for itself.

    Attributes:
        limit: how many that is.
        peak: the most that ever were.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.peak = 0
        self._used: dict[object, int] = {}

    @property
    def used(self) -> int:
        """How many are in flight now."""
        return sum(list(self._used.values()))  # a list is made in one step, beside other threads

    def fits(self, amount: int) -> bool:
        """Whether `amount` more may be in flight."""
        return self.used + amount <= self.limit

    def count(self, lane: object, amount: int) -> None:
        """A lane has so many in flight."""
        self._used[lane] = amount
        self.peak = max(self.peak, self.used)

    def forget(self, lane: object) -> None:
        """A lane has ended."""
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

    __slots__ = ("_claims", "error", "is_done", "is_light", "lane", "result", "task")

    def __init__(self, lane: Lane[Task, Result], task: Task, is_light: bool) -> None:
        self.lane = lane
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
        try:
            self.result = self.lane.function(self.task)
        except BaseException as error:
            self.error = error
        self.is_done = True
        self.lane.finished.put(self)


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
        self.process = own.getpid()
        self._executor = executor
        self._queue: SimpleQueue[_Job[Any, Any] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lanes: weakref.WeakSet[Lane[Any, Any]] = weakref.WeakSet()
        self._lock = threading.RLock()  # a signal handler may be here a second time
        self._may_start = True

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
        lane = Lane(self, function, cost, weight, is_light, most)
        with self._lock:
            self._lanes.add(lane)
        return lane

    def leave(self, lane: Lane[Any, Any]) -> None:
        """A lane is closed. The last one takes the threads along."""
        self.budget.forget(lane)
        if self.process != own.getpid():
            return
        with self._lock:
            self._lanes.discard(lane)
            if self._lanes:
                return
            # Who comes next finds another queue: nothing is put in behind the end of this one.
            queue, threads = self._queue, self._threads
            self._queue, self._threads = SimpleQueue(), []
        _end(queue, threads)

    def submit(self, job: _Job[Any, Any]) -> None:
        """Has a job done by a worker, if there are any."""
        if self._executor is not None:
            self._executor.submit(job.run)
        elif (
            self.process == own.getpid()
        ):  # in a copy, whose threads are elsewhere, the lock may be held
            with self._lock:
                self._queue.put(job)
                self._start_thread()

    def has_workers(self) -> bool:
        """Whether jobs are done by others than who asks."""
        if self._executor is not None:
            return True
        return not sys.is_finalizing() and any(thread.is_alive() for thread in self._threads)

    def is_worker(self) -> bool:
        """Whether who asks is one of the workers."""
        return any(thread.ident == get_ident() for thread in self._threads)

    def _start_thread(self) -> None:
        if len(self._threads) >= self.jobs or not (self._may_start and has_native_threads()):
            return
        name = f"parazip_{len(self._threads)}"
        thread = threading.Thread(target=_work, args=(self._queue,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system gives no more, or Python is on its way out
            self._may_start = False
        else:
            self._threads.append(thread)

    def __del__(self) -> None:
        """Ends the threads, if a lane was forgotten; every lane holds its line."""
        if self.process == own.getpid():
            _end(self._queue, self._threads)


def _end(queue: SimpleQueue[_Job[Any, Any] | None], threads: list[threading.Thread]) -> None:
    """Ends threads that have nothing to do any more, and waits for that."""
    if sys.is_finalizing():
        return
    queue.put(None)
    for thread in threads:
        if thread.ident != get_ident():
            thread.join()


def _work(queue: SimpleQueue[_Job[Any, Any] | None]) -> None:
    """A worker's life. It must not hold the line, which ends it."""
    while (job := queue.get()) is not None:
        job.run()
        del job  # and with it a result that may be large
    queue.put(None)  # for the next worker


class Lane(Generic[Task, Result]):
    """Tasks and their results, in order; see the head of this module.

    One thread at a time uses a lane. It is closed at the end of a `with` block. Who goes through
    results goes to their end, or closes the lane.
    """

    def __init__(
        self,
        line: Line,
        function: Callable[[Task], Result],
        cost: Callable[[Task], int],
        weight: Callable[[Result], int],
        is_light: Callable[[Task], bool],
        most: int,
    ) -> None:
        self.function = function
        self.finished: SimpleQueue[_Job[Task, Result]] = SimpleQueue()
        self._line: Line | None = line
        self._budget = line.budget
        self._cost = cost
        self._weight = weight
        self._is_light = is_light
        self._most = most
        self._planned: deque[Task] = deque()
        self._jobs: deque[_Job[Task, Result]] = deque()
        self._used = 0

    def __enter__(self) -> Lane[Task, Result]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def put(self, task: Task) -> None:
        """Takes a task; `ready` hands it to the workers."""
        self._planned.append(task)

    def ready(self) -> Generator[tuple[Task, Result], None, None]:
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

    def rest(self) -> Generator[tuple[Task, Result], None, None]:
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

    def close(self) -> None:
        """Cancels what has not begun, and waits for what has. Nothing runs any more after that."""
        line, self._line = self._line, None
        if line is None:
            return
        self._planned.clear()
        for job in self._jobs:
            job.claim()
        while line.has_workers() and any(job.is_running_elsewhere() for job in self._jobs):
            self.finished.get()
        self._jobs.clear()
        line.leave(self)

    def _admit(self) -> bool:
        """Makes jobs of tasks as the budget has room; False if the lane is closed."""
        line = self._line
        if line is None:
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
                line.submit(job)
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
        assert self._line is not None
        head = self._jobs[0]
        if not self._line.has_workers() or (self._line.is_worker() and head.claim()):
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
        self._budget.count(self, self._used)


_lines: weakref.WeakValueDictionary[int, Line] = weakref.WeakValueDictionary()
"""The line of a process, by its number: a copy of the process has another one."""

_sharing = (0, threading.RLock())
"""The lock by which it is found, and whose it is."""


def shared_line() -> Line:
    """The line of this process: as many threads as CPUs, and one budget for all who use it."""
    global _sharing
    process = own.getpid()
    if _sharing[0] != process:  # a copy of a process may have been made while the lock was held
        _sharing = process, threading.RLock()
    with _sharing[1]:
        line = _lines.get(process)
        if line is None:
            line = _lines[process] = Line(usable_cpus(), MEMORY)
        return line


def line_of(jobs: int | None, memory: int, executor: Executor | None = None) -> Line:
    """The process's line; or one of its own, where anything else is asked for than the defaults."""
    if jobs is None and memory == MEMORY and executor is None:
        return shared_line()
    return Line(jobs or usable_cpus(), memory, executor)
