"""How helper processes are started: as copies of this process, or afresh."""

from __future__ import annotations

import contextlib
import importlib
import mmap
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

from parazip.workers.channel import make_pair
from parazip.workers.system import has_native_threads, own

if sys.platform != "win32":
    import _socket
    import fcntl

FIRST_FILE = 3
"""The descriptor of the first file that a helper is given; before it: socket, memory, errors."""

_SERVE = "import sys; sys.path += sys.argv[5:]; from parazip.workers.serving import main; main()"

may_fork = False
"""Whether this process is parazip's own. The `parazip` command says so."""

Started: TypeAlias = "tuple[int, _socket.socket, mmap.mmap]"
"""A helper's process, the socket that leads to it, and the memory that it answers through."""

Starter: TypeAlias = "Callable[[Sequence[_socket.socket]], Started]"
"""Starts a helper, given the sockets of those before it."""


def choose_way_to_start(
    function: str, capacity: int, folders: Sequence[str], files: Sequence[int]
) -> Starter | None:
    """What starts a helper; None if there are to be none."""
    if os.environ.get("PARAZIP_HELPERS") == "0" or sys.platform == "win32":
        return None
    if may_fork and not files:
        can_fork = sys.platform == "linux" and _is_single_threaded()
        return partial(_fork, load_function(function), capacity) if can_fork else None
    if not (has_native_threads() and runs_in_python()):
        return None
    command = (function, str(capacity), str(own.getpid()), str(len(files)))
    return partial(_start_afresh, command, capacity, folders, files)


def load_function(function: str) -> Callable[[bytes], bytes]:
    """The function that is called `module:name`."""
    module, _, name = function.partition(":")
    loaded: Callable[[bytes], bytes] = getattr(importlib.import_module(module), name)
    return loaded


def runs_in_python() -> bool:
    """Whether `sys.executable` is the Python that runs this program, and would run no other.

    Frozen programs and those that embed Python would start themselves by that name.
    """
    path = sys.executable
    if not path or getattr(sys, "frozen", False) or not hasattr(os, "posix_spawn"):
        return False
    if not re.fullmatch(r"(python|pypy)[\d.]*[a-z]*", os.path.basename(path), re.IGNORECASE):
        return False
    try:
        running = os.stat("/proc/self/exe")
        return os.path.samestat(running, os.stat(path))
    except OSError:  # there is no such file outside Linux: the name has to do
        return sys.platform != "linux" and os.path.exists(path)


def _is_single_threaded() -> bool:
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


def _fork(
    function: Callable[[bytes], bytes], capacity: int, siblings: Sequence[_socket.socket]
) -> Started:
    """A copy of this process that serves."""
    from parazip.workers.serving import serve

    parent = own.getpid()
    with contextlib.ExitStack() as failed:
        memory = failed.enter_context(mmap.mmap(-1, capacity))
        ours, theirs = make_pair()
        failed.callback(theirs.close)
        failed.callback(ours.close)
        with _holding_signals():
            pid = own.fork()
        failed.pop_all()
    if pid:
        theirs.close()
        return pid, ours, memory
    # In the copy. It must leave by `os._exit` alone: what the parent wants done at its end
    # (buffers flushed, files removed) must not be done twice.
    try:
        # A socket of the parent's that stays open here would hide from others that it has ended.
        for socket in (ours, *siblings):
            socket.close()
        serve(function, theirs, memory, parent)
    finally:
        os._exit(0)


@contextlib.contextmanager
def _holding_signals() -> Iterator[None]:
    """In this block no signal arrives; afterwards those do that came meanwhile.

    What a handler raises while hooks of `os.fork` run is printed and forgotten, so Ctrl-C would be.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_afresh(
    command: Sequence[str],
    capacity: int,
    folders: Sequence[str],
    files: Sequence[int],
    siblings: Sequence[_socket.socket],
) -> Started:
    """A new Python that serves."""
    with contextlib.ExitStack() as opened, contextlib.ExitStack() as failed:
        ours, theirs = make_pair()
        opened.callback(theirs.close)
        failed.callback(ours.close)
        memory = opened.enter_context(_shared_file(capacity))
        answers = failed.enter_context(mmap.mmap(memory, capacity))
        nothing = own.open(os.devnull, os.O_RDWR)
        opened.callback(own.close, nothing)
        actions = []
        for number, descriptor in enumerate((theirs.fileno(), memory, nothing, *files)):
            # The numbers to give out may be taken by what is to be given: so first a copy above all
            # of them.
            copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_FILE + len(files))
            opened.callback(own.close, copy)
            actions.append((own.POSIX_SPAWN_DUP2, copy, number))
        mode = f"utf8={sys.flags.utf8_mode}"
        pid = own.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-X", mode, "-c", _SERVE, *command, *folders],
            os.environ,
            file_actions=actions,
            setsigmask=(),
            setsigdef=(signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD),
        )
        failed.pop_all()
        return pid, ours, answers


@contextlib.contextmanager
def _shared_file(size: int) -> Iterator[int]:
    """Opens a file without a name, of `size` bytes; gives its descriptor."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("parazip")
    else:
        import tempfile  # here, as it loads much that is not needed elsewhere

        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.truncate(descriptor, size)
        yield descriptor
    finally:
        own.close(descriptor)
