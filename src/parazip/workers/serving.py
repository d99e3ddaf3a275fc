"""The life of a helper process: it answers until there are no more questions."""

from __future__ import annotations

import _socket
import contextlib
import mmap
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable

from parazip.workers.channel import receive, send
from parazip.workers.helpers import HELLO, LENGTH, NO_ANSWER
from parazip.workers.starting import FIRST_FILE, load_function


def main() -> None:
    """What a helper does that was started afresh; `sys.argv` tells it what for."""
    function, capacity, parent, files = sys.argv[1:5]
    os.closerange(FIRST_FILE + int(files), os.sysconf("SC_OPEN_MAX"))
    socket = _socket.socket(fileno=0)
    socket.settimeout(None)
    serve(load_function(function), socket, mmap.mmap(1, int(capacity)), int(parent))
    os._exit(0)


def serve(
    function: Callable[[bytes], bytes], socket: _socket.socket, memory: mmap.mmap, parent: int
) -> None:
    """Answers until the socket ends, or the parent.

    Args:
        function: is called with each question, and gives the answer.
        socket: where questions come from.
        memory: where answers go.
        parent: the process that asks.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    with contextlib.suppress(OSError):  # the parent has gone
        send(socket, HELLO)
        while len(head := receive(socket, LENGTH.size)) == LENGTH.size:
            question = receive(socket, *LENGTH.unpack(head))
            length = NO_ANSWER
            with contextlib.suppress(Exception):
                answer = function(question)
                if len(answer) <= len(memory):
                    memory[: len(answer)] = answer
                    length = len(answer)
            send(socket, LENGTH.pack(length))


def _end_with(parent: int) -> None:
    """Ends this process when its parent has ended.

    The socket's end tells that, too, but not to one who waits for something else; and not as long
    as another copy of the parent holds the socket open.
    """
    with contextlib.suppress(OSError, AttributeError):  # Linux 5.3 and newer can wait for it
        descriptor = os.pidfd_open(parent)
        end = select.poll()
        end.register(descriptor, select.POLLIN)
        if os.getppid() == parent:
            end.poll()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)
