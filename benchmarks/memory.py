"""The memory of a process and all its descendants at one moment.

`wait4` tells the peak of the largest one of them, which is too little where several work at once.
Adding up what is resident in each would be too much: after a fork they share most of it. The
proportional set size (PSS) counts a page that n processes have as an n-th in each, so its sum is
what they really take. Linux only; elsewhere there is nothing to be seen here, and 0 is told.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

_PSS = re.compile(rb"^Pss:\s+(\d+) kB$", re.MULTILINE)


def of_tree(pid: int) -> int:
    """What the process and its descendants take now, in bytes."""
    return sum(_pss(each) for each in _tree(pid))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        for child in _read(f"/proc/{pid}/task/{thread}/children").split():
            yield from _tree(int(child))


def _pss(pid: int) -> int:
    match = _PSS.search(_read(f"/proc/{pid}/smaps_rollup"))
    return int(match[1]) * 1024 if match else 0


def _read(path: str) -> bytes:
    """A file of /proc; empty if the process has ended in the meantime."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
