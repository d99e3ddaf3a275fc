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


def _require(size: int) -> None:
    """Raises a MemoryError if there are not so many bytes to be had, twice."""
    try:
        mmap.mmap(-1, 2 * size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError as error:
        raise MemoryError from error


def _compress_if_it_can(data: Buffer, level: int) -> bytearray:
    _require(_TABLES[level] + len(data))
    return deflate.deflate_compress(data, level)


def _inflate_if_it_can(data: Buffer, size: int) -> bytearray:
    _require(_TABLES_TO_INFLATE + size)
    return deflate.deflate_decompress(data, size)


compress_whole: Callable[[Buffer, int], bytearray] = deflate.deflate_compress
"""`compress_whole(data, level)`: `data`, at least one byte, as a finished raw deflate stream."""

inflate_at_once: Callable[[Buffer, int], bytearray] = deflate.deflate_decompress
"""`inflate_at_once(data, size)`: the contents of a raw deflate stream that makes `size` bytes.

Raises:
    FastInflateError: it is damaged, or makes more; where it ends in `data` nobody tells.
"""

if _is_limited():
    compress_whole, inflate_at_once = _compress_if_it_can, _inflate_if_it_can

FastInflateError = deflate.DeflateError

VERSION = deflate.__version__
