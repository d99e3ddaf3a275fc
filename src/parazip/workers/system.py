"""The system's own functions, whatever a program has put in their place.

gevent, eventlet and others replace functions of `os`, `threading`, `queue` and `socket` by ones
that run other pieces of the program while they wait. Such a piece would run in the middle of our
work, and a wait for it might never end. So the rooms of `workers` take what they need from the C
modules below those, and start no threads where a program has replaced them.
"""

from __future__ import annotations

import _thread
import os
import sys
from types import BuiltinFunctionType
from typing import TYPE_CHECKING

if TYPE_CHECKING or os.name == "posix":
    import posix as own
else:
    import nt as own

if TYPE_CHECKING:
    from queue import Empty, SimpleQueue
else:
    try:
        from _queue import Empty, SimpleQueue
    except ImportError:  # another Python than CPython
        from queue import Empty, SimpleQueue

__all__ = ["Empty", "SimpleQueue", "has_native_threads", "own"]


def has_native_threads() -> bool:
    """Whether a new thread would be one of the system's, and not a greenlet of this one."""
    return isinstance(_thread.start_new_thread, BuiltinFunctionType) and not sys.is_finalizing()
