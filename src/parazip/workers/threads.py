"""Those who do the jobs of a line: threads. `executors` has somebody's executor instead.

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
from contextlib import suppress
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
        is_counted: whether the consumer counts it with what its result holds.
        is_light: whether the consumer does it.

    Args:
        function: does the task.
        finished: gets the job when a worker has done it.
        task: see above.
        is_light: see above.
    """

    # It must not hold its lane: that would be a cycle, and a forgotten lane would not end its job.
    __slots__ = (
        "_claimed_by_worker",
        "_finished",
        "_function",
        "error",
        "is_counted",
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
        self.is_counted = False
        self.error: BaseException | None = None
        self.result: Result
        self._claimed_by_worker: dict[None, bool] = {}

    # Who claims is told by what it is, and not by its thread: a worker may be a consumer, too, and
    # would do again what it has done or cancelled as one.

    def claim(self) -> bool:
        """Whether the job is its consumer's; the first to ask, it or a worker, has it."""
        # One call of C: nothing can come between looking whether it is free and taking it.
        return not self._claimed_by_worker.setdefault(None, False)

    def is_at_work(self) -> bool:
        """Whether a worker has claimed it and is not done."""
        return not self.is_done and self._claimed_by_worker.get(None, False)

    def run(self) -> None:
        """Does the job as a worker, once, if its consumer has not claimed it."""
        self.run_by(self._function)

    def run_by(self, function: Callable[[Task], Result]) -> None:
        """The same by another function, such as one that knows the result."""
        if not self._claimed_by_worker.setdefault(None, True):
            return
        try:
            self.result = function(self.task)
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

    def have_room(self) -> bool:
        """Whether they are to be given one job more by now."""

    def will_go_on(self) -> bool:
        """Whether they will do what they have begun."""

    def need_caller(self) -> bool:
        """Whether the caller has to do jobs that they have not begun."""

    def drop(self) -> None:
        """Forgets the jobs of a lane that is closed, which has claimed all it could."""


class Threads:
    """Threads that are started as jobs come, and end when nobody holds this object any more.

    So nobody can submit a job after their end.
    """

    def __init__(self, count: int) -> None:
        self.queue: SimpleQueue[Any] = SimpleQueue()
        # What the queue gets when this object is gone. A function written in C is called, which no
        # signal handler can interrupt half-way; what it would raise, nobody would hear. `__del__`
        # would not do: while it runs, a weak reference still gives the object to others, who would
        # submit jobs to threads that are about to end.
        self._end = weakref.ref(self, self.queue.put)
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
        arguments = (self.queue, self._end)
        thread = threading.Thread(target=_do_jobs, args=arguments, name=name, daemon=True)
        self.threads.append(thread)
        try:
            thread.start()
        except RuntimeError:  # the system gives no more, or Python is on its way out
            self.threads.remove(thread)
            self._numbers.clear()

    def have_room(self) -> bool:
        """Any number of jobs may wait for them."""
        return True

    def will_go_on(self) -> bool:
        """Whether jobs that a thread has begun will be done."""
        return self.are_of_this_process() and not sys.is_finalizing()

    def need_caller(self) -> bool:
        """Whether jobs that no thread has begun may wait for ever.

        Nobody but the caller may be there, or all may wait as it does, if it is one of the threads.
        A thread that is just being started does not count yet, as it may not come to that.
        """
        alive = [thread.ident for thread in list(self.threads) if thread.is_alive()]
        return not alive or get_ident() in alive

    def drop(self) -> None:
        """Nothing is to be done: they pass over jobs that their consumer has claimed."""


def _do_jobs(queue: SimpleQueue[Any], end: object) -> None:
    """A worker's life. It must not hold the `Threads`, whose end is its own."""
    while (job := queue.get()) is not end:
        job.run()
        del job  # and with it a result that may be large
    queue.put(end)  # for the next worker
