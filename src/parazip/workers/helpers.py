"""Helper processes, for work that would hold the GIL. No word of zip.

Threads share one GIL. Where a task is thousands of short system calls, two threads are slower
than one (measured on 50,000 files of 1 KB: 0.51 s on one thread, 0.79 s on two, 0.28 s in two
processes). So a worker thread may hand such a task to a helper and wait for its answer.

A helper is asked through a socket and answers through shared memory; questions and answers are
plain bytes. What is guaranteed:

* An answer is exactly what the parent's own call would have given. Where there is none (the call
  raised, the answer was too large, the helper was killed or does not start), the parent gets None
  and makes the call itself. So errors need no way back, and nothing depends on helpers.
* A process that is not ours is never forked: greenlets, locks, sockets and what else a program has
  would be there twice. Helpers are started afresh, as `python -I -S` with the few modules that they
  need (`serving`). That is done only where `sys.executable` is the Python that runs here, as a
  frozen program would start itself. They take some 0.2 s to start.
* The `parazip` command may fork (`may_fork`): only on Linux, and only while it has a single thread,
  native ones included, as the others' locks would stay locked for ever in the copy.
* A helper ends when it is closed, and when its parent ends, however that happens and whatever the
  helper is waiting for. It ignores Ctrl-C, which is for its parent to handle. It holds none of the
  program's files but those that it is given, and writes to no file.
* A helper that dies does no harm: writing to its socket gives an error, and no SIGPIPE.

PARAZIP_HELPERS=0 in the environment does without helpers, in the command and in any program.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import struct
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from parazip.version import __version__
from parazip.workers import starting
from parazip.workers.channel import receive, send
from parazip.workers.starting import Starter
from parazip.workers.system import Empty, SimpleQueue, own

if sys.platform != "win32":
    import _socket

Answer = TypeVar("Answer")

LENGTH = struct.Struct("<q")
NO_ANSWER = -1

HELLO = f"{__version__} {sys.version} {sys.getfilesystemencoding()}".encode()
"""What a helper says once it can be asked: it must be what its parent is."""


_PATIENCE = 10.0
"""Seconds that a helper has to start: fifty times what it takes."""


class HelpersClosedError(Exception):
    """Helpers were closed while one of them was asked."""


class Helpers:
    """A few helpers that worker threads share, from `start` on.

    Those that are not copies of this process are started, ended and waited for by a thread of their
    own. On the main thread a signal handler could raise right after a helper has started, before
    anything holds it, or while it is waited for. That would leave a process behind.

    Attributes:
        are_started: whether there may be helpers to ask.

    Args:
        function: what they call with a question, as `module:name`; it takes and gives bytes.
        count: how many to start; there are none where that is not safe.
        capacity: the most bytes that an answer may have.
        folders: where they find the modules that they need, besides the standard library.
        files: descriptors that a helper has as `starting.FIRST_FILE` and those after it.
    """

    def __init__(
        self,
        function: str,
        count: int,
        capacity: int,
        folders: Sequence[str] = (),
        files: Sequence[int] = (),
    ) -> None:
        self._function = function
        self._count = count
        self._capacity = capacity
        self._folders = folders
        self._files = files
        self._process = own.getpid()
        self._processes = _Processes()
        self._idle: SimpleQueue[Helper] = SimpleQueue()
        self._not_taken: list[None] = []
        self._keeper: threading.Thread | None = None
        self._is_closed = False
        self.are_started = False

    def start(self) -> None:
        """Starts the helpers, if that has not been tried yet."""
        count, self._count = self._count, 0
        if not count:
            return
        starter = starting.choose_way_to_start(
            self._function, self._capacity, self._folders, self._files
        )
        if starter is None:
            return
        if self.are_forked:
            self._processes.start(starter, count)
        else:
            # If the helpers are forgotten, they end, too. A function written in C is called, which
            # no signal handler can interrupt half-way.
            forgotten = weakref.ref(self, self._processes.end_asked.put)
            keeper = threading.Thread(
                target=self._processes.start_and_end,
                args=(starter, count, forgotten),
                name="parazip_helpers",
                daemon=True,
            )
            try:
                keeper.start()
            except RuntimeError:  # the system gives no more threads, or Python ends
                return
            self._keeper = keeper
        self._not_taken += [None] * count
        self.are_started = True

    @property
    def are_forked(self) -> bool:
        """Whether they are copies of this process: then they begin at once, but before threads."""
        return starting.may_fork and not self._files

    def ask(self, question: bytes) -> bytes | None:
        """`function(question)` as a helper computes it, or None; raises what `ask_for` raises."""
        return self.ask_for(bytes, question)

    def ask_for(self, read: Callable[[memoryview], Answer], question: bytes) -> Answer | None:
        """What `read` makes of the bytes of a helper's answer, which are gone after that; or None.

        Raises:
            HelpersClosedError: they were closed meanwhile; nobody waits for the answer any more.
        """
        helper = self._take_idle()
        answer = helper.ask_for(read, question) if helper is not None else None
        if helper is not None and helper.is_alive:
            self._idle.put(helper)
        elif self._is_closed:
            raise HelpersClosedError
        return answer

    def _take_idle(self) -> Helper | None:
        if self._process != own.getpid():  # in a forked copy: they are the parent's
            return None
        with contextlib.suppress(Empty):
            return self._idle.get_nowait()
        with contextlib.suppress(IndexError):
            self._not_taken.pop()
            helper = self._processes.begun.get()
            if helper is not None and helper.is_ready():
                return helper
        return None

    def close(self) -> None:
        """Ends all helpers and waits for them; one that is at work is killed."""
        self._is_closed = True
        if self.are_forked:
            self._processes.end()
            return
        # Their thread may be there and not be known here, after an interrupt. It ends them, too.
        self._processes.end_asked.put(None)
        # While Python ends, no thread goes on, and helpers end with their parent.
        if self._keeper is not None and not sys.is_finalizing():
            self._keeper.join()


class _Processes:
    """The processes of a `Helpers`. Their thread must not hold it: it ends when it is forgotten.

    Attributes:
        helpers: those that were started.
        begun: the same, to be taken by those who ask; None for each that could not be started.
        end_asked: gets something when they are to end.
    """

    def __init__(self) -> None:
        self.helpers: list[Helper] = []
        self.begun: SimpleQueue[Helper | None] = SimpleQueue()
        self.end_asked: SimpleQueue[object] = SimpleQueue()

    def start_and_end(self, starter: Starter, count: int, _: weakref.ref[Helpers]) -> None:
        """Starts helpers, waits until they are to end, and ends them."""
        self.start(starter, count)
        self.end_asked.get()
        self.end()

    def start(self, starter: Starter, count: int) -> None:
        """Starts helpers, until the system has no more to give or they are to end."""
        told = 0
        try:
            with contextlib.suppress(OSError, RuntimeError, MemoryError):
                while told < count and self.end_asked.empty():
                    helper = Helper(*starter([helper.socket for helper in self.helpers]))
                    self.helpers.append(helper)
                    self.begun.put(helper)
                    told += 1
        finally:  # whatever is raised, nobody waits for one that does not come
            for _ in range(count - told):
                self.begun.put(None)

    def end(self) -> None:
        """Ends the helpers."""
        while self.helpers:
            self.helpers.pop().close()


@contextlib.contextmanager
def running_helpers(
    function: str,
    count: int,
    capacity: int,
    folders: Sequence[str] = (),
    files: Sequence[int] = (),
) -> Iterator[Helpers]:
    """`Helpers` that are closed at the end of the block."""
    helpers = Helpers(function, count, capacity, folders, files)
    try:
        yield helpers
    finally:
        helpers.close()


class Helper:
    """One helper process, and the parent's end of what leads to it.

    Attributes:
        socket: leads to it.
        is_alive: whether it can be asked, now or as soon as it has started.

    Args:
        pid: its process.
        socket: leads to it.
        memory: where it writes its answers.
    """

    def __init__(self, pid: int, socket: _socket.socket, memory: mmap.mmap) -> None:
        self.socket = socket
        self.is_alive = True
        self._pid = pid
        self._memory = memory
        self._is_at_work = True  # it starts

    def is_ready(self) -> bool:
        """Waits for its hello; whether it came.

        The caller could work meanwhile, but that would take CPUs from helpers that start.
        """
        self.socket.settimeout(_PATIENCE)
        try:
            hello = receive(self.socket, len(HELLO))
        except OSError:
            hello = b""
        self.socket.settimeout(None)
        self.is_alive = hello == HELLO
        self._is_at_work = not self.is_alive
        return self.is_alive

    def ask_for(self, read: Callable[[memoryview], Answer], question: bytes) -> Answer | None:
        """What `read` makes of its answer to a question; None if it has none."""
        self._is_at_work = True
        try:
            send(self.socket, LENGTH.pack(len(question)) + question)
            reply = receive(self.socket, LENGTH.size)
        except OSError:
            reply = b""
        if len(reply) < LENGTH.size:
            self.is_alive = False
            return None
        self._is_at_work = False
        (length,) = LENGTH.unpack(reply)
        if length == NO_ANSWER:
            return None
        with memoryview(self._memory) as memory, memory[:length] as answer:
            return read(answer)

    def close(self) -> None:
        """Ends it and waits for its end."""
        with contextlib.suppress(OSError):  # it may be gone
            self.socket.shutdown(_socket.SHUT_RDWR)  # also for a thread that waits for it
        with contextlib.suppress(ChildProcessError):  # somebody else waits for all children
            if self._is_at_work and own.waitpid(self._pid, os.WNOHANG) == (0, 0):
                own.kill(self._pid, signal.SIGKILL)
            own.waitpid(self._pid, 0)
        self.socket.close()
        with contextlib.suppress(BufferError):  # a thread reads an answer: it goes with that
            self._memory.close()
