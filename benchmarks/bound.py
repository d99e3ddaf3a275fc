"""The least that two threads can take to read and compress one file: `bound.py FILE`.

The blocks and their windows are those of parazip, and so is the codec of its level 1; but there
is no order, no CRC, no output and no budget. What parazip takes longer is what these cost. A
program of its own, as its whole run is timed.
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


def compress(path: str, offsets: Iterator[int], lock: threading.Lock) -> int:
    """Compresses the blocks whose offsets it gets hold of; returns their compressed bytes."""
    total = 0
    buffer = memoryview(bytearray(_WINDOW + _BLOCK))
    with open(path, "rb", buffering=0) as file:
        while True:
            with lock:
                offset = next(offsets, None)
            if offset is None:
                return total
            before = min(offset, _WINDOW)
            file.seek(offset - before)
            filled = file.readinto(buffer[: before + _BLOCK])
            coder = isal_zlib.compressobj(_LEVEL, 8, -15, 8, 0, zdict=buffer[:before])
            total += len(coder.compress(buffer[before:filled])) + len(coder.flush(_SYNC_FLUSH))


def main() -> None:
    """Compresses the file that the command line tells, and forgets the result."""
    path = sys.argv[1]
    offsets = iter(range(0, os.path.getsize(path), _BLOCK))
    lock = threading.Lock()
    with ThreadPoolExecutor(_THREADS) as pool:
        print(sum(pool.map(compress, [path] * _THREADS, [offsets] * _THREADS, [lock] * _THREADS)))


if __name__ == "__main__":
    main()
