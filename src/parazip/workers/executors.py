"""Somebody's executor does the jobs of a lane: processes, other machines. No word of zip.

An executor is handed one function of a module and a question, and gives an answer; both are plain
bytes. What is guaranteed:

* Nothing else is shared with it. So where it runs does not matter, nor how often it tries: an
  answer depends on its question alone, and a second one is dropped.
* There is no lock and no event that a lost worker would leave waiting. A job is done when its
  future is, and to see to that is the executor's affair.
* What it cannot do is an `ExecutorError` at the job's place in the order: that it was shut down,
  that a worker died, that somebody cancelled a future. What the function has raised is the cause.
* When the lane is closed, futures that nobody has begun are cancelled. Those at work are not waited
  for: they touch nothing of ours. The executor stays open, as it is its owner's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from contextlib import suppress
from functools import partial
from typing import Any

from parazip.errors import ExecutorError, ParazipError
from parazip.workers.threads import Job


class ExecutorWorkers:
    """Those who do the jobs of one lane.

    Args:
        executor: where they work.
        function: gives an answer to a question there.
        write: the question for a task.
        read: what came of it, out of the answer; raises what went wrong.
        most: how many questions without an answer it may have; None for any number.
    """

    def __init__(
        self,
        executor: Executor,
        function: Callable[[bytes], bytes],
        write: Callable[[Any], bytes],
        read: Callable[[bytes], Any],
        most: int | None = None,
    ) -> None:
        self.threads: list[threading.Thread] = []
        self._executor = executor
        self._function = function
        self._write = write
        self._read = read
        self._most = most
        self._asked: dict[Job[Any, Any], Future[bytes]] = {}

    def submit(self, job: Job[Any, Any]) -> None:
        """Hands the executor a question."""
        question = self._write(job.task)
        try:
            future = self._executor.submit(self._function, question)
            self._asked[job] = future
            future.add_done_callback(partial(self._take_answer, job))
        except Exception as error:
            self._asked.pop(job, None)
            job.run_by(partial(_refuse, error))

    def _take_answer(self, job: Job[Any, Any], future: Future[bytes]) -> None:
        """Reads an answer, on whatever thread it came."""
        self._asked.pop(job, None)
        job.run_by(lambda task: self._read_answer(future))

    def _read_answer(self, future: Future[bytes]) -> Any:
        answer = _get_answer(future)
        try:
            return self._read(answer)
        except ParazipError:
            raise
        except (EOFError, TypeError, ValueError) as error:  # marshal's, where it cannot be read
            raise ExecutorError(
                f"the executor has given back something else than an answer: {answer!r:.60}"
            ) from error

    def have_room(self) -> bool:
        """Whether it may have one question more."""
        return self._most is None or len(self._asked) < self._most

    def will_go_on(self) -> bool:
        """An executor does what it has accepted, or says that it does not."""
        return True

    def need_caller(self) -> bool:
        """Nobody knows; who uses an executor from within itself may wait for ever."""
        return False

    def drop(self) -> None:
        """Cancels what nobody has begun."""
        # From the end, as workers come from the beginning. Another thread may take answers
        # meanwhile: `popitem` is one step.
        with suppress(KeyError):
            while True:
                self._asked.popitem()[1].cancel()


def _get_answer(future: Future[bytes]) -> bytes:
    error = CancelledError() if future.cancelled() else future.exception()
    return future.result() if error is None else _refuse(error)


def _refuse(error: BaseException, task: object = None) -> Any:
    """Raises what says that the executor, or the function where it ran, has failed."""
    name = type(error).__name__
    why = f"{name}: {error}".removesuffix(": ")
    if isinstance(error, CancelledError):
        why = "it was cancelled"
    elif isinstance(error, ImportError):
        why += "; install parazip for all workers"
    raise ExecutorError(f"the executor has not done what it was handed: {why}") from error
