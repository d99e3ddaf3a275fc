"""What helpers are asked in tests: they start afresh, so it has to be in a module."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time


def span(question: bytes) -> bytes:
    return b"%d bytes %s in %d" % (len(question), question[:9], os.getpid())


def turn(question: bytes) -> bytes:
    return question[::-1]


def fail_odd(question: bytes) -> bytes:
    if len(question) % 2:
        raise ValueError(question)
    return b"even"


def die(question: bytes) -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def wait_for_ever(question: bytes) -> bytes:
    """Like who opens a named pipe: nothing but its own end ends it."""
    with open(question, "wb") as told:
        told.write(b"%d" % os.getpid())
    while True:
        time.sleep(60)


def surroundings(question: bytes) -> bytes:
    folder = "/proc/self/fd"
    files = []
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            files.append(os.readlink(f"{folder}/{name}"))
    alien = [name for name in sys.modules if name.partition(".")[0] in ("pytest", "_pytest", "pex")]
    return json.dumps([files, alien, signal.getsignal(signal.SIGINT) == signal.SIG_IGN]).encode()
