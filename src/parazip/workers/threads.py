"""Those who do the jobs of a line: threads, or somebody's executor.

Threads end when nobody holds them any more. No lock and no `close` does that, because a signal
handler may raise between any two instructions of the main thread: between taking a lock and
remembering that, between starting a thread and noting that it is to be ended. What holds a
`Threads` object (the lanes that are open) is forgotten in one step, whatever is raised.
"""

from __future__ import annotations

import sys
import threading
import weakref
from _thread import get_ident
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from parazip.workers.system import SimpleQueue, has_native_threads, own

Task = TypeVar("Task")
Result = TypeVar("Result")


class Job(Generic[Task, Result]):
    """A task on its way.

    Attributes:
        task: what is to be done.
        result: what came of it.
        error: what went wrong.
        is_done: whether one of these two is there.
        is_light: whether the consumer does it.

    Args:
        function: does the task.
        finished: gets the job when a worker has done it.
        task: see above.
        is_light: see above.
    """

    # It must not hold its lane: that would be a cycle, and a forgotten lane would not end its job.
    __slots__ = (
        "_claims",
        "_finished",
        "_function",
        "error",
        "is_done",
        "is_light",
        "result",
        "task",
    )

    def __init__(
        self,
        function: Callable[[Task], Result],
        finished: SimpleQueue[Job[Task, Result]],
        task: Task,
        is_light: bool,
    ) -> None:
        self._function = function
        self._finished = finished
        self.task = task
        self.is_light = is_light
        self.is_done = False
        self.error: BaseException | None = None
        self.result: Result
        self._claims: dict[None, int] = {}

    def claim(self) -> bool:
        """Whether the job is this thread's; the first to ask has it."""
        # One call of C: nothing can come between looking whether it is free and taking it.
        return self._claims.setdefault(None, get_ident()) == get_ident()

    def is_running_elsewhere(self) -> bool:
        """Whether another thread has claimed it and is not done."""
        return not self.is_done and self._claims.get(None, get_ident()) != get_ident()

    def run(self) -> None:
        """Does the job on a worker's thread, if nobody has claimed it yet."""
        if not self.claim():
            return
        try:
            self.result = self._function(self.task)
        except BaseException as error:
            self.error = error
        # In this order: who finds it done finds its result, and who is woken finds it done.
        self.is_done = True
        self._finished.put(self)


class Workers(Protocol):
    """Those who do jobs.

    Attributes:
        threads: those that end with this object.
    """

    threads: list[threading.Thread]

    def submit(self, job: Job[Any, Any]) -> None:
        """Has a job done, if there is anybody to do it."""

    def are_alive(self) -> bool:
        """Whether jobs that were submitted will be done, by others than the caller."""

    def include_caller(self) -> bool:
        """Whether the calling thread is one of them."""


class Threads:
    """Threads that are started as jobs come, and end when nobody holds this object any more.

    So nobody can submit a job after their end.
    """

    def __init__(self, count: int) -> None:
        self.queue: SimpleQueue[Job[Any, Any] | None] = SimpleQueue()
        self.threads: list[threading.Thread] = []
        self._numbers = list(range(count, 0, -1))  # of those that are not started yet
        self._process = own.getpid()

    def are_of_this_process(self) -> bool:
        """Whether this is the process that started them, and no copy of it."""
        return self._process == own.getpid()

    def submit(self, job: Job[Any, Any]) -> None:
        """Queues a job, and starts a thread more if all have not been started."""
        self.queue.put(job)
        if self.are_of_this_process() and has_native_threads():
            with suppress(IndexError):  # all are there
                self._start(self._numbers.pop())

    def _start(self, number: int) -> None:
        name = f"parazip_{number}"
        thread = threading.Thread(target=_do_jobs, args=(self.queue,), name=name, daemon=True)
        self.threads.append(thread)
        try:
            thread.start()
        except RuntimeError:  # the system gives no more, or Python is on its way out
            self.threads.remove(thread)
            self._numbers.clear()

    def are_alive(self) -> bool:
        """Whether jobs that were submitted will be done."""
        may_run = self.are_of_this_process() and not sys.is_finalizing()
        return may_run and any(thread.is_alive() for thread in self.threads)

    def include_caller(self) -> bool:
        """Whether the calling thread is one of them."""
        return any(thread.ident == get_ident() for thread in self.threads)


class ExecutorWorkers:
    """An executor of somebody's."""

    def __init__(self, executor: Executor) -> None:
        self.threads: list[threading.Thread] = []
        self._executor = executor

    def submit(self, job: Job[Any, Any]) -> None:
        """Hands a job to the executor."""
        self._executor.submit(job.run)

    def are_alive(self) -> bool:
        """An executor does what it has accepted."""
        return True

    def include_caller(self) -> bool:
        """Nobody knows; who uses an executor from within itself may wait for ever."""
        return False


def _do_jobs(queue: SimpleQueue[Job[Any, Any] | None]) -> None:
    """A worker's life. It must not hold the `Threads`, whose end is its own."""
    while (job := queue.get()) is not None:
        job.run()
        del job  # and with it a result that may be large
    queue.put(None)  # for the next worker


_watches: set[weakref.ref[Threads]] = set()
"""A weak reference calls nobody if it is gone before what it refers to."""


def end_when_forgotten(threads: Threads) -> weakref.ref[Threads]:
    """Sees to it that threads end when nobody holds their object; gives what finds it until then.

    `Threads.__del__` could not do that: while it runs, a weak reference still gives the object to
    others, who would submit jobs to threads that are about to end.
    """
    end = partial(_end_threads, own.getpid(), threads.queue, threads.threads)
    watch = weakref.ref(threads, end)
    _watches.add(watch)
    return watch


def _end_threads(
    process: int,
    queue: SimpleQueue[Job[Any, Any] | None],
    threads: list[threading.Thread],
    watch: weakref.ref[Threads],
) -> None:
    """Ends threads that nobody holds."""
    _watches.discard(watch)
    if not threads or process != own.getpid():
        return
    queue.put(None)
