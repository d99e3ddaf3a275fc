"""libdeflate, with a crutch where memory is limited.

Its package does not look whether libdeflate got memory for its tables. If it did not, the process
ends by a signal, and nobody hears why. Linux refuses memory as a rule only where a limit is set
(`ulimit -v` and `-d`); so where one is, as much is asked for and given back before each call, and a
refusal is a MemoryError. As other threads may take some of it meanwhile, it is asked for twice.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Callable

import deflate

from parazip.format.values import Buffer

if sys.platform != "win32":
    import resource

_TABLES = (256 << 10, *[1 << 20] * 9, *[10 << 20] * 3)
"""Bytes that libdeflate takes at most for its tables, by its own level, 0 to 12."""

_TABLES_TO_INFLATE = 64 << 10


def _is_limited() -> bool:
    if sys.platform == "win32":
        return False
    limits = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    return any(resource.getrlimit(limit)[0] != resource.RLIM_INFINITY for limit in limits)


_IS_LIMITED = _is_limited()


def _require(size: int) -> None:
    """Raises a MemoryError if there are not so many bytes to be had, twice."""
    try:
        mmap.mmap(-1, 2 * size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError as error:
        raise MemoryError from error


def compress_whole(data: Buffer, level: int) -> bytearray:
    """`data`, at least one byte, as a finished raw deflate stream.

    Raises:
        MemoryError: there is not enough.
    """
    if _IS_LIMITED:
        _require(_TABLES[level] + len(data))
    try:
        return deflate.deflate_compress(data, level)
    except SystemError as error:  # its result could not be cut to its size, for want of memory
        raise MemoryError from error


def _inflate_if_it_can(data: Buffer, size: int) -> bytearray:
    _require(_TABLES_TO_INFLATE + size)
    return deflate.deflate_decompress(data, size)


inflate_at_once: Callable[[Buffer, int], bytearray] = deflate.deflate_decompress
"""`inflate_at_once(data, size)`: the contents of a raw deflate stream that makes `size` bytes.

Raises:
    FastInflateError: it is damaged, or makes more; where it ends in `data` nobody tells.
"""

if _IS_LIMITED:
    inflate_at_once = _inflate_if_it_can

FastInflateError = deflate.DeflateError

VERSION = deflate.__version__
