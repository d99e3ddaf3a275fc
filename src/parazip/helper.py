"""Helper processes: forked copies of this one, for work that would hold the GIL. No word of zip.

Threads share one GIL. Where a task is thousands of short system calls, two threads are slower
than one (measured: 50,000 files of 1 KB, 0.51 s on one thread, 0.79 s on two, 0.28 s in two
processes). So a worker thread may hand such a task to a helper and wait for its answer.

A helper is asked through a pipe and answers through shared memory; questions and answers are
plain bytes. What it guarantees:

* An answer is exactly what the parent's own call would have given. Where there is none (the call
  raised, the answer was too large, the helper was killed, forking is not safe here) the parent
  gets None and makes the call itself; so errors need no way back, and nothing depends on helpers.
* Forking is done only on Linux and only while this process has a single thread, native ones
  included, as the others' locks would stay locked for ever in the copy.
* A helper ends when its parent closes it or ends, however that happens: it reads the end of the
  pipe. It ignores Ctrl-C, which is its parent's affair, and writes nothing anywhere.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

_LENGTH = struct.Struct("<q")
_NO_ANSWER = -1


class Helpers:
    """A few helpers that worker threads share, from `start` on.

    Args:
        function: computes an answer from a question.
        count: how many helpers to have; there are none where forking is not safe.
        capacity: the most bytes that an answer may have.
    """

    def __init__(self, function: Callable[[bytes], bytes], count: int, capacity: int) -> None:
        self._function = function
        self._count = count
        self._capacity = capacity
        self._idle: SimpleQueue[_Helper] = SimpleQueue()
        self._all: list[_Helper] = []

    def start(self) -> None:
        """Forks the helpers, if that has not been tried yet."""
        count, self._count = self._count, 0
        if not count or not _may_fork():
            return
        try:
            for _ in range(count):
                self._all.append(_Helper(self._function, self._capacity, self._all))
        except (OSError, RuntimeError):  # something is short: leave it to others; or Python ends
            self.close()
            self._all.clear()
        for helper in self._all:
            self._idle.put(helper)

    def __len__(self) -> int:
        return len(self._all)

    def ask(self, question: bytes) -> bytes | None:
        """`function(question)` as a helper computes it, or None."""
        try:
            helper = self._idle.get_nowait()
        except Empty:
            return None
        answer = helper.ask(question)
        if helper.alive:
            self._idle.put(helper)
        return answer

    def close(self) -> None:
        """Ends all helpers and waits for them."""
        for helper in self._all:
            helper.close()


@contextlib.contextmanager
def helpers(function: Callable[[bytes], bytes], count: int, capacity: int) -> Iterator[Helpers]:
    """`Helpers` that are closed at the end of the block."""
    crew = Helpers(function, count, capacity)
    try:
        yield crew
    finally:
        crew.close()


def _may_fork() -> bool:
    if sys.platform != "linux":
        return False
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


class _Helper:
    """One forked process and the parent's ends of its pipes."""

    def __init__(
        self, function: Callable[[bytes], bytes], capacity: int, siblings: list[_Helper]
    ) -> None:
        self._memory = mmap.mmap(-1, capacity)
        ends: list[int] = []
        try:
            ends += os.pipe()
            ends += os.pipe()
            self._pid = os.fork()
        except BaseException:
            for end in ends:
                os.close(end)
            raise
        questions, self._questions, self._answers, answers = ends
        self.alive = True
        if self._pid == 0:
            try:
                for helper in [*siblings, self]:
                    os.close(helper._questions)
                    os.close(helper._answers)
                _serve(function, questions, answers, self._memory)
            finally:
                os._exit(0)
        os.close(questions)
        os.close(answers)

    def ask(self, question: bytes) -> bytes | None:
        try:
            _write(self._questions, _LENGTH.pack(len(question)) + question)
            reply = _read(self._answers, _LENGTH.size)
        except OSError:
            reply = b""
        if len(reply) < _LENGTH.size:
            self.alive = False
            return None
        (length,) = _LENGTH.unpack(reply)
        return None if length == _NO_ANSWER else self._memory[:length]

    def close(self) -> None:
        os.close(self._questions)
        os.close(self._answers)
        with contextlib.suppress(ChildProcessError):  # someone else waited for all children
            os.waitpid(self._pid, 0)
        self._memory.close()


def _serve(
    function: Callable[[bytes], bytes], questions: int, answers: int, memory: mmap.mmap
) -> None:
    """A helper's life: answer until there are no more questions."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while len(head := _read(questions, _LENGTH.size)) == _LENGTH.size:
        question = _read(questions, *_LENGTH.unpack(head))
        length = _NO_ANSWER
        with contextlib.suppress(Exception):
            answer = function(question)
            if len(answer) <= len(memory):
                memory[: len(answer)] = answer
                length = len(answer)
        os.write(answers, _LENGTH.pack(length))


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _read(descriptor: int, size: int) -> bytes:
    """`size` bytes, or fewer at the end of the pipe."""
    data = os.read(descriptor, size)
    while 0 < len(data) < size:
        more = os.read(descriptor, size - len(data))
        if not more:
            break
        data += more
    return data
