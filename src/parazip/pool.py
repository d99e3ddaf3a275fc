"""An ordered pool of workers under one budget of bytes. Knows nothing of zip.

What it guarantees:

* Results come in the order of the tasks, whatever order they are finished in.
* The bytes in flight never exceed the budget: a task counts from its submission with what it
  may need (`cost`), from its end with what its result holds (`weight`), and until the consumer
  asks for the next result. A task that alone exceeds the budget runs alone, so nothing
  deadlocks.
* A task that is light is not worth a thread: it runs on the consumer's when its turn comes.
* The first error in the order of the tasks is raised to the consumer, unwrapped. Later tasks
  that have not begun are cancelled, those that have are waited for; their errors are dropped,
  because the first one is the answer.
* However the loop over the results ends (exhausted, error, `close()`, Ctrl-C) no task runs any
  more when it has ended.

All decisions and all books are the consumer's thread's. A worker only puts what it has finished
into a queue, which wakes the consumer; there is no lock of ours. Nothing polls.

Ctrl-C raises in the main thread between any two instructions, also between taking a lock of a
future and remembering that it is taken; a worker that wants that lock then waits for ever. So
while the pool is at work `interrupts_held` keeps signal handlers back: a signal that comes inside
the pool only wakes it (a queue may be put into from a handler), and the handler runs where no lock
is held. While the consumer is at work, handlers run at once.
"""

from __future__ import annotations

import math
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from io import FileIO
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Generic, ParamSpec, TypeVar, cast

Task = TypeVar("Task")
Result = TypeVar("Result")
Outcome = TypeVar("Outcome")
Arguments = ParamSpec("Arguments")

_NO_MORE = object()

_INTERRUPTS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Budget:
    """Bytes that may be in flight at once.

    Attributes:
        limit: how many that is.
        used: how many are in flight now.
        peak: the most that ever were.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.peak = 0

    def fits(self, amount: int) -> bool:
        """Whether `amount` may be added; always, if nothing else is in flight."""
        return self.used == 0 or self.used + amount <= self.limit

    def add(self, amount: int) -> None:
        """Count `amount` more bytes; a negative amount gives bytes back."""
        self.used += amount
        self.peak = max(self.peak, self.used)


class Pool(Generic[Task, Result]):
    """Runs one function over many tasks and gives the results in order.

    Args:
        function: what a worker does with a task.
        budget: the bytes that may be in flight.
        cost: the bytes a task may need while it runs, result included.
        weight: the bytes that its result holds.
        is_light: whether a task costs less than handing it to a worker does.
    """

    def __init__(
        self,
        function: Callable[[Task], Result],
        budget: Budget,
        cost: Callable[[Task], int],
        weight: Callable[[Result], int],
        is_light: Callable[[Task], bool] = lambda task: False,
    ) -> None:
        self._function = function
        self._budget = budget
        self._cost = cost
        self._weight = weight
        self._is_light = is_light
        self._finished: SimpleQueue[tuple[Future[Result], int] | None] = SimpleQueue()
        self._held: deque[Callable[[], object]] = deque()
        self._with_consumer = True

    def run(
        self, tasks: Iterable[Task], executor: Executor
    ) -> Generator[tuple[Task, Result], None, None]:
        """Each task with its result, in order.

        Tasks are taken from their source without waiting for the budget, between results: so
        a source that has to look for them goes on while workers are busy.

        Args:
            tasks: what is to be done.
            executor: where it is done; its end is its owner's affair.
        """
        with closing(self.along(iter(tasks), executor, pauses=lambda: False)) as results:
            for done in results:
                if done is None:
                    self.run_held()
                else:
                    yield done

    def along(
        self, source: Iterator[Task], executor: Executor, pauses: Callable[[], bool]
    ) -> Generator[tuple[Task, Result] | None, None, None]:
        """Like `run`, for a consumer that is the source itself: with pauses in between.

        Args:
            source: what is to be done; asked again after its end, which may be a passing one.
            executor: where it is done.
            pauses: asked where all is submitted and no result is ready. If it is true, None is
                given, and the consumer comes back when it likes; else the next result is waited
                for, and after the last one this ends. None is also given where a handler was held
                back that the consumer should run.
        """
        process = os.getpid()
        planned: deque[Task] = deque()
        waiting: deque[tuple[Task, Future[Result] | None]] = deque()
        self._with_consumer = False
        try:
            while True:
                if self._held:
                    yield from self._pause()
                self._settle()
                while planned and self._budget.fits(self._cost(planned[0])):
                    task = planned.popleft()
                    self._budget.add(self._cost(task))
                    light = self._is_light(task)
                    waiting.append((task, None if light else self._submit(task, executor)))
                if waiting and ((future := waiting[0][1]) is None or future.done()):
                    task, _ = waiting.popleft()
                    result = self._run(task) if future is None else future.result()
                    self._with_consumer = True
                    yield task, result
                    self._with_consumer = False
                    self._budget.add(-self._weight(result))
                elif (found := next(source, _NO_MORE)) is not _NO_MORE:
                    planned.append(cast("Task", found))
                elif planned or (waiting and not pauses()):
                    self._book(self._finished.get())
                elif pauses():
                    yield from self._pause()
                else:
                    return
        finally:
            self._with_consumer = False
            futures = [future for _, future in waiting if future is not None]
            if os.getpid() == process:  # a forked copy has no workers to wait for
                for future in futures:
                    future.cancel()
                wait(futures)

    def _pause(self) -> Iterator[None]:
        self._with_consumer = True
        yield None
        self._with_consumer = False

    @contextmanager
    def interrupts_held(self) -> Iterator[None]:
        """In this block handlers of SIGINT, SIGTERM and SIGHUP run where they do no harm.

        That is: between results, while the consumer is at work on one, and at the block's end.
        """
        handlers: dict[int, Callable[[int, FrameType | None], object]] = {}

        def note(number: int, frame: FrameType | None) -> None:
            if self._with_consumer:
                handlers[number](number, frame)
            else:
                self._held.append(lambda: handlers[number](number, frame))
                self._finished.put(None)

        self._with_consumer = False
        is_main = threading.current_thread() is threading.main_thread()
        try:
            for number in _INTERRUPTS if is_main else ():
                handler = signal.getsignal(number)
                if callable(handler):
                    handlers[number] = handler
                    signal.signal(number, note)
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._with_consumer = True
            self.run_held()

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """In this block they do not: for a consumer that takes locks, between two results."""
        self._with_consumer = False
        try:
            yield
        finally:
            self._with_consumer = True
            self.run_held()

    def run_held(self) -> None:
        """Runs handlers that were held back: for who is at work in the block, between its steps."""
        while self._held:
            self._held.popleft()()

    def _run(self, task: Task) -> Result:
        result = self._function(task)
        self._budget.add(self._weight(result) - self._cost(task))
        return result

    def _submit(self, task: Task, executor: Executor) -> Future[Result]:
        cost = self._cost(task)
        future = executor.submit(self._function, task)
        future.add_done_callback(lambda done: self._finished.put((done, cost)))
        return future

    def _settle(self) -> None:
        """Books all that workers have finished."""
        with suppress(Empty):
            while True:
                self._book(self._finished.get_nowait())

    def _book(self, finished: tuple[Future[Result], int] | None) -> None:
        """A task that has ended holds its result and no more."""
        if finished is not None:
            future, cost = finished
            held = 0 if future.exception() is not None else self._weight(future.result())
            self._budget.add(held - cost)


class InlineExecutor(Executor):
    """An executor without threads: `submit` runs the task and gives a future that is finished.

    An `Exception` of the task stands in its future; anything else (`KeyboardInterrupt`) ends
    `submit` itself, as there is nobody else whom it could concern.
    """

    def submit(
        self, fn: Callable[Arguments, Outcome], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Outcome]:
        """Runs `fn` at once."""
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class _Workers(ThreadPoolExecutor):
    """Threads that are not missed where the system gives none, or Python is on its way out."""

    def submit(
        self, fn: Callable[Arguments, Outcome], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Outcome]:
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError:
            return InlineExecutor().submit(fn, *args, **kwargs)


def workers(jobs: int) -> ThreadPoolExecutor:
    """Threads for a pool; the codecs let go of the GIL while they work.

    What is submitted where no thread can be started is run by whoever submits it, and perhaps
    again by a thread that is started later.
    """
    return _Workers(jobs, thread_name_prefix="parazip")


def usable_cpus() -> int:
    """How many CPUs this process may use: its affinity, and its control group's quota.

    A container that is given 1.5 of 64 CPUs can use two threads, not 64.
    """
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        count = os.process_cpu_count() or 1
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, min(count, _quota("/proc/self/cgroup", "/sys/fs/cgroup")))


def _quota(membership: str, root: str) -> int:
    """The CPUs that control groups (version 2, else 1) allow, rounded up."""
    quota = math.inf
    for folder in _cgroup_folders(membership):
        for read in (_quota_v2, _quota_v1):
            quota = min(quota, read(root, folder))
    return math.ceil(quota) if quota < math.inf else 1 << 30


def _cgroup_folders(membership: str) -> list[str]:
    """The groups this process is in and all above them; a container often sees the root only."""
    folders = {""}
    try:
        lines = _contents(membership).splitlines()
        paths = [line.split(":", 2)[2].strip("/") for line in lines]
    except (OSError, IndexError):
        return list(folders)
    for path in paths:
        steps = path.split("/") if path else []
        folders.update("/".join(steps[: i + 1]) for i in range(len(steps)))
    return list(folders)


def _quota_v2(root: str, folder: str) -> float:
    try:
        limit, period = _contents(f"{root}/{folder}/cpu.max").split()[:2]
        return int(limit) / int(period)
    except (OSError, ValueError):
        return math.inf


def _quota_v1(root: str, folder: str) -> float:
    try:
        limit = int(_contents(f"{root}/cpu/{folder}/cpu.cfs_quota_us"))
        period = int(_contents(f"{root}/cpu/{folder}/cpu.cfs_period_us"))
        return limit / period if limit > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def _contents(path: str) -> str:
    """What is in a file, past all hooks on `open`: it is no file of the program's."""
    with FileIO(path) as file:
        return os.fsdecode(file.read())
