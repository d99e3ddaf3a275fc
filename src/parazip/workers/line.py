"""A line of workers: threads and one budget of bytes, shared by all who work at it. No word of zip.

Whoever has work takes a `Lane`: a queue of tasks of its own, whose results come in order. All lanes
of a line share its threads and its budget, so a program that makes a hundred archives at once has
as many threads as it has CPUs. What is guaranteed:

* The results of a lane come in the order of its tasks, whatever order they are finished in.
* The bytes in flight do not exceed the budget: a task counts from its admission with what it may
  need (`cost`), and from its end with what its result holds (`weight`), until the consumer asks
  for the next result. A task that is alone in its lane is admitted whatever its size. So a lane
  waits for nobody but itself, and two archives that one thread writes in turn cannot wait for each
  other.
* A light task is not worth a thread: it runs on the consumer's when its turn comes.
* The first error in the order of the tasks is raised to the consumer, unwrapped. When the lane is
  closed, tasks that have not begun are cancelled, and those that have are waited for. Their errors
  are dropped, because the first one is the answer. Once a task is seen to have failed, none begins.
* Ctrl-C does not wait for what may never end, such as a file system that does not answer. A thread
  that is still at work after two seconds is left to itself, and its result is dropped.
* Where there are no threads, the consumer does all by itself: where the system gives none, where a
  program has replaced them by greenlets, in a forked copy of the process, while Python ends. It
  then does again what a thread had begun that will never go on.
* A line ends its threads when its last lane is closed. They are daemons: a program that forgets an
  archive can still end.

A signal handler may raise (Ctrl-C) between any two instructions of the main thread. So each step
that matters is a single call of C: a task is claimed by `dict.setdefault`, handed over by a queue,
and done when one attribute is set. Only the consumer of a lane counts what it has in flight. An
interrupt may leave a wrong count, but it also ends the lane. Nothing polls.
"""

from __future__ import annotations

import sys
import time
import weakref
from _thread import get_ident
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Generic, cast

from parazip.workers.budget import MEMORY, Budget
from parazip.workers.cpus import usable_cpus
from parazip.workers.system import Empty, SimpleQueue, own
from parazip.workers.threads import Job, Result, Task, Threads, Workers

_NO_MORE = object()

SLOW = 0.02
"""Seconds to find a task after which who waits for results has waited long enough."""

_QUICK = 8
"""Tasks that are found sooner than that, one after the other, after which a source is not slow."""

_PATIENCE = 2.0
"""Seconds. Every task takes less, unless it waits for what may never come."""


def is_interrupt(kind: type[BaseException] | None) -> bool:
    """Whether a block ends because the program is to end."""
    return kind is not None and issubclass(kind, KeyboardInterrupt | SystemExit)


class Line:
    """Threads and a budget.

    Args:
        jobs: how many threads to have at most; they are started as work comes.
        memory: bytes that may be in flight at once.
    """

    def __init__(self, jobs: int, memory: int) -> None:
        self.jobs = jobs
        self.budget = Budget(memory)
        self._threads: Callable[[], Threads | None] = lambda: None

    def open_lane(
        self,
        function: Callable[[Task], Result],
        cost: Callable[[Task], int],
        weight: Callable[[Result], int] = lambda result: 0,
        is_light: Callable[[Task], bool] = lambda task: False,
        most: int = sys.maxsize,
        holds_data: Callable[[Task], bool] = lambda task: False,
        *,
        has_consumer: bool = False,
        workers: Workers | None = None,
    ) -> Lane[Task, Result]:
        """Opens a place in this line.

        Args:
            function: what a worker does with a task.
            cost: the bytes a task may need while it runs, result included.
            weight: the bytes that its result holds.
            is_light: whether a task costs less than handing it to a worker does.
            most: how many tasks may be in flight at once, whatever they cost.
            holds_data: whether a task that has not begun holds more than some numbers. Behind one
                that finds no room no other is asked for.
            has_consumer: whether somebody waits for each result: a source that is slow is not asked
                for more before all that is at work is given.
            workers: do its tasks, if the line's threads do not.
        """
        workers = workers or self._find_threads()
        lane = Lane(workers, self.budget, function, cost, weight, is_light, most)
        lane.holds_data = holds_data
        lane.has_consumer = has_consumer
        return lane

    def do_all(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], cost: int
    ) -> list[tuple[Task, Result]]:
        """Does all tasks, and gives them with their results, in order.

        That is for results which are small, as all of them are in memory in the end.

        Args:
            function: what a worker does with a task.
            tasks: are taken from their source between results.
            cost: the bytes that each of them may need while it runs.
        """
        with self.open_lane(function, lambda task: cost) as lane:
            return list(lane.through(tasks))

    def _find_threads(self) -> Threads:
        """Those of the lanes that are open, or new ones."""
        threads = self._threads()
        if threads is None or not threads.are_of_this_process():
            # Another thread may do so in the same moment. That makes some threads more, for once.
            threads = Threads(self.jobs)
            self._threads = weakref.ref(threads)
        return threads


class Lane(Generic[Task, Result]):
    """Tasks and their results, in order; see the head of this module.

    One thread at a time uses a lane. It is closed at the end of a `with` block. The results are
    taken to their end, or the lane is closed.
    """

    def __init__(
        self,
        workers: Workers,
        budget: Budget,
        function: Callable[[Task], Result],
        cost: Callable[[Task], int],
        weight: Callable[[Result], int],
        is_light: Callable[[Task], bool],
        most: int,
    ) -> None:
        self.function = function
        self.holds_data: Callable[[Task], bool] = lambda task: False
        self.has_consumer = False
        self.finished: SimpleQueue[Job[Task, Result]] = SimpleQueue()
        self._workers: Workers | None = workers
        self._budget = budget
        self._key = budget.register(self)
        self._cost = cost
        self._weight = weight
        self._is_light = is_light
        self._most_jobs = most
        self._quick = _QUICK
        self._planned: deque[Task] = deque()
        self._jobs: deque[Job[Task, Result]] = deque()
        self._in_flight = 0
        self._has_failed = False

    def __enter__(self) -> Lane[Task, Result]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.close(is_interrupt(kind))

    def put(self, task: Task) -> None:
        """Takes a task; `take_finished` hands it to the workers."""
        self._planned.append(task)

    def take_finished(self) -> Generator[tuple[Task, Result], None, None]:
        """Hands the tasks that were put in to the workers; gives those that are done, with results.

        Waits only where the budget has no room for a task.
        """
        while self._admit_planned():
            if self._is_head_ready():
                yield from self._give_head()
            elif self._planned:
                self._wait_for_job()
            else:
                return

    def take_all(self) -> Generator[tuple[Task, Result], None, None]:
        """Gives all tasks that were put in, with their results; waits for those at work."""
        return self.through(())

    def through(self, source: Iterable[Task]) -> Generator[tuple[Task, Result], None, None]:
        """Each task with its result, in order.

        Tasks are taken from their source between results, whether the budget has room or not,
        unless they hold data: so a source that has to look for them goes on while workers are busy.
        As long as there are results to come, a source that has ended is asked again: it may have
        more by then.
        """
        tasks = iter(source)
        while self._admit_planned():
            if self._is_head_ready():
                yield from self._give_head()
            elif self._may_ask() and (found := self._ask(tasks)) is not _NO_MORE:
                self._planned.append(cast("Task", found))
            elif self._planned or self._jobs:
                self._wait_for_job()
            else:
                return

    def close(self, is_interrupted: bool = False) -> None:
        """Cancels tasks that have not begun, and waits for those that have. Then nothing runs.

        If it `is_interrupted`, it waits for two seconds at most for each.
        """
        workers, self._workers = self._workers, None
        if workers is None:
            return
        self._planned.clear()
        # What is ours no worker begins. From the end, as workers come from the beginning: so none
        # begins a task after one that is cancelled.
        for job in reversed(self._jobs):
            job.claim()
        workers.drop()
        is_stuck = False
        while workers.will_go_on() and any(job.is_at_work() for job in self._jobs):
            try:
                self.finished.get(timeout=_PATIENCE if is_interrupted else None)
            except Empty:
                is_stuck = True
                break
        self._jobs.clear()
        self._budget.forget(self._key)
        # If no other lane holds the workers, they are gone with this name, and their threads have
        # been told to end (`Threads`). Only then may they be waited for, but not by one of them:
        # another one might wait for it. And not those that an interrupt has left half started.
        found, threads = weakref.ref(workers), workers.threads
        is_one_of_them = get_ident() in [thread.ident for thread in threads]
        del workers
        if found() is None and not (is_stuck or is_one_of_them or sys.is_finalizing()):
            for thread in threads:
                if thread.is_alive():
                    thread.join()

    def _admit_planned(self) -> bool:
        """Makes jobs of tasks, as far as the budget has room; False if the lane is closed."""
        workers = self._workers
        if workers is None:
            return False
        while not self.finished.empty():
            self._count_done(self.finished.get())
        # A job that failed gives its bytes back. Others that begin for them would be in vain: all
        # that come before it in order have begun.
        while self._planned and not self._has_failed:
            cost = self._cost(self._planned[0])
            is_full = len(self._jobs) >= self._most_jobs or not self._budget.fits(cost)
            if self._jobs and (is_full or not workers.have_room()):
                break
            task = self._planned.popleft()
            job = Job(self.function, self.finished, task, self._is_light(task))
            self._jobs.append(job)
            self._add_in_flight(cost)
            if not job.is_light:
                workers.submit(job)
        return True

    def _may_ask(self) -> bool:
        """Whether one more task may be taken from its source."""
        is_slow = self.has_consumer and self._quick < _QUICK
        if self._has_failed or (is_slow and (self._planned or self._jobs)):
            return False
        return not (self._planned and self.holds_data(self._planned[-1]))

    def _ask(self, tasks: Iterator[Task]) -> object:
        """The next task, or `_NO_MORE`."""
        began = time.monotonic()
        found = next(tasks, _NO_MORE)
        self._quick = 0 if time.monotonic() - began > SLOW else self._quick + 1
        return found

    def _is_head_ready(self) -> bool:
        return bool(self._jobs) and (self._jobs[0].is_done or self._jobs[0].is_light)

    def _give_head(self) -> Iterator[tuple[Task, Result]]:
        """The first task with its result, which counts until the consumer comes back."""
        job = self._jobs[0]
        if job.is_light and not job.is_done:
            self._run_here(job)
        self._count_done(job)  # it is seen to be done before its worker says so
        if job.error is not None:
            raise job.error
        yield job.task, job.result
        self._jobs.popleft()
        self._add_in_flight(-self._weight(job.result))

    def _wait_for_job(self) -> None:
        """Waits until one job more is done; does the first one here if nobody else ever will."""
        workers = self._workers
        assert workers is not None
        head = self._jobs[0]
        # A task may use the line whose worker does it. If all workers waited so for the results of
        # their own lanes, nobody would be left to make them. But what a thread has claimed it does.
        if not workers.will_go_on() or (workers.need_caller() and head.claim()):
            self._run_here(head)
        else:
            self._count_done(self.finished.get())

    def _run_here(self, job: Job[Task, Result]) -> None:
        job.claim()
        job.result = self.function(job.task)
        job.is_done = True
        self._count_done(job)

    def _count_done(self, job: Job[Task, Result]) -> None:
        """From now on a job counts with what its result holds."""
        if job.is_counted:
            return
        job.is_counted = True
        self._has_failed = self._has_failed or job.error is not None
        held = self._weight(job.result) if job.error is None else 0
        self._add_in_flight(held - self._cost(job.task))

    def _add_in_flight(self, amount: int) -> None:
        self._in_flight += amount
        self._budget.count(self._key, self._in_flight)


_lines: dict[int, Line] = {}
"""The line of a process, by its number: a copy of the process has another one."""


def shared_line() -> Line:
    """The line of this process: as many threads as CPUs, and one budget for all archives."""
    process = own.getpid()
    return _lines.get(process) or _lines.setdefault(process, Line(usable_cpus(), MEMORY))


def line_for(jobs: int | None, memory: int) -> Line:
    """The line of this process; or a new one, if anything but the defaults is asked for."""
    if jobs is None and memory == MEMORY:
        return shared_line()
    return Line(jobs or usable_cpus(), memory)
