"""What a helper process does: it answers until there are no more questions."""

from __future__ import annotations

import _socket
import contextlib
import gc
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
    """Serves in a helper that was started afresh; `sys.argv` says what function, and for whom."""
    function, capacity, parent, files = sys.argv[1:5]
    os.closerange(FIRST_FILE + int(files), os.sysconf("SC_OPEN_MAX"))
    socket = _socket.socket(fileno=0)
    socket.settimeout(None)
    serve(load_function(function), socket, mmap.mmap(1, int(capacity)), int(parent))
    os._exit(0)


def serve(
    function: Callable[[bytes], bytes], socket: _socket.socket, memory: mmap.mmap, parent: int
) -> None:
    """Answers questions until the socket is closed, or the parent ends.

    Args:
        function: is called with each question, and gives the answer.
        socket: where questions come from.
        memory: where answers go.
        parent: the process that asks.
    """
    # A copy shares its parent's memory until it is written to, which looking for garbage does. What
    # a helper does makes no cycles, so none is looked for.
    gc.freeze()
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
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


def _end_with_parent(parent: int) -> None:
    """Ends this process when its parent has ended.

    The socket ends then, too. But a helper that waits for something else does not notice; and
    another copy of the parent may hold the socket open.
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
