"""For programs under the library of `refusals.c`: which call fails, and what is left after it."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from support.patience import HUNG

CALLS = {
    "open": errno.EIO,
    "create": errno.ENOSPC,
    "tmpfile": errno.EMFILE,
    "read": errno.EIO,
    "pread64": errno.EIO,
    "write": errno.ENOSPC,
    "pwrite64": errno.EDQUOT,
    "copy_file_range": errno.EIO,
    "rename renameat": errno.EIO,
    "link linkat": errno.EIO,
    "fsync": errno.EIO,
    "mkdir mkdirat": errno.EDQUOT,
    "symlink symlinkat": errno.EPERM,
    "unlink unlinkat rmdir": errno.EIO,
    "fchmod chmod": errno.EPERM,
    "ftruncate ftruncate64": errno.EIO,
    "mmap": errno.ENOMEM,
    "memory": errno.ENOMEM,
    "fork": errno.EAGAIN,
    "posix_spawn": errno.EAGAIN,
    "socketpair": errno.EMFILE,
    "memfd_create": errno.EMFILE,
    "pipe2": errno.EMFILE,
    "pthread_create": errno.EAGAIN,
}
"""Functions of the C library, and how they fail."""


class Held(NamedTuple):
    """What a process holds.

    Attributes:
        files: its open descriptors.
        threads: how many there are, native ones included.
        has_children: whether it has child processes, running or not waited for.
    """

    files: frozenset[str]
    threads: int
    has_children: bool

    @classmethod
    def look(cls) -> Held:
        files = {}
        with os.scandir("/proc/self/fd") as entries:  # one of them is this folder's own
            for entry in entries:
                with suppress(FileNotFoundError):  # closed by another thread just now
                    files[entry.name] = os.readlink(entry.path)
        return cls(
            frozenset(name for name, path in files.items() if not path.endswith("/fd")),
            len(os.listdir("/proc/self/task")),
            _has_children(),
        )


SAID_BY_PYTHON = "SystemError: deallocated bytearray object has exported buffers\n"
"""CPython 3.11 writes that where a bytearray gets no memory; it means nothing."""


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


class Turn:
    """A turn in which one call is to fail.

    Attributes:
        has_failed: whether one did, once the turn is over.
    """

    has_failed = False


@contextmanager
def failing(calls: str, number: int, at: int, under: Path) -> Iterator[Turn]:
    """In this block one of these calls is refused: the one that is number `at`, counted from 1.

    Args:
        calls: names, as REFUSED takes them.
        number: of the error.
        at: see above.
        under: files below this folder are concerned.
    """
    library = ctypes.CDLL(None)
    turn = Turn()
    told = under.with_name("told")
    os.environ.update(
        REFUSED_AT=str(at),
        REFUSED_UNDER=str(under),
        REFUSED_ERROR=str(number),
        REFUSED_TOLD=str(told),
    )
    library.restart_refusals()
    os.environ["REFUSED"] = calls
    try:
        yield turn
    finally:
        os.environ["REFUSED"] = ""
        library.restart_refusals()
        turn.has_failed = told.exists()  # helpers tell it, too
        told.unlink(missing_ok=True)


def assert_nothing_is_left(before: Held) -> None:
    """A process holds what it held before; threads that were told to end may do so now."""
    latest = time.monotonic() + HUNG
    while (now := Held.look()).threads > before.threads:
        assert time.monotonic() < latest, f"threads are left: {threading.enumerate()}"
        time.sleep(0.001)
    assert now.files == before.files, f"files are left open: {now.files - before.files}"
    assert not now.has_children, "a child process is left"
