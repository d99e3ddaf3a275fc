"""The least that two threads can take to read and compress large files: `bound.py FOLDER`.

The blocks and their windows are those of parazip, and so is the codec of its level 1; but there
is no order, no CRC, no output and no budget, and files that are not cut into blocks are left out.
What parazip takes longer is what all these cost. A program of its own, as its whole run is timed.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from isal import isal_zlib

_THREADS = 2
_LEVEL = 1
_BLOCK = 1 << 20
_WINDOW = 1 << 15
_SYNC_FLUSH = 2


def blocks(folder: str) -> Iterator[tuple[str, int]]:
    """Path and offset of each block of all files that have more than one."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            size = os.path.getsize(path)
            if size > _BLOCK:
                yield from ((path, offset) for offset in range(0, size, _BLOCK))


def compress(tasks: Iterator[tuple[str, int]], lock: threading.Lock) -> int:
    """Compresses the blocks that it gets hold of; returns their compressed bytes."""
    total = 0
    buffer = memoryview(bytearray(_WINDOW + _BLOCK))
    while True:
        with lock:
            path, offset = next(tasks, ("", 0))
        if not path:
            return total
        before = min(offset, _WINDOW)
        with open(path, "rb", buffering=0) as file:
            file.seek(offset - before)
            filled = file.readinto(buffer[: before + _BLOCK])
        coder = isal_zlib.compressobj(_LEVEL, 8, -15, 8, 0, zdict=buffer[:before])
        total += len(coder.compress(buffer[before:filled])) + len(coder.flush(_SYNC_FLUSH))


def main() -> None:
    """Compresses what the command line tells, and forgets the result."""
    tasks = blocks(sys.argv[1])
    lock = threading.Lock()
    with ThreadPoolExecutor(_THREADS) as pool:
        print(sum(pool.map(compress, [tasks] * _THREADS, [lock] * _THREADS)))


if __name__ == "__main__":
    main()
