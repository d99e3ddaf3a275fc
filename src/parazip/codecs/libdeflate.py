"""libdeflate, with a crutch where memory is limited.

Its package does not look whether libdeflate got memory for its tables. If it did not, the process
ends by a signal, and nobody hears why. Linux refuses memory as a rule only where a limit is set
(`ulimit -v` and `-d`, or by the program itself); so where one is, as much is asked for and given
back before each call, and a refusal is a MemoryError. Other threads may take some of it meanwhile,
so it is asked for twice: that makes such an end rare, and only the package could rule it out.
"""

from __future__ import annotations

import mmap
import sys

import deflate

from parazip.format.values import Buffer

if sys.platform != "win32":
    import resource

    _ADDRESS_SPACE = getattr(resource, "RLIMIT_AS", resource.RLIMIT_DATA)

_TABLES = (256 << 10, *[1 << 20] * 9, *[10 << 20] * 3)
"""Bytes that libdeflate takes at most for its tables, by its own level, 0 to 12."""

_TABLES_TO_INFLATE = 64 << 10


def _is_limited() -> bool:
    """Whether memory is limited; each call asks, as a program may set a limit at any time."""
    if sys.platform == "win32":
        return False
    none = resource.RLIM_INFINITY
    return (
        resource.getrlimit(resource.RLIMIT_DATA)[0] != none
        or resource.getrlimit(_ADDRESS_SPACE)[0] != none
    )


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
    if _is_limited():
        _require(_TABLES[level] + len(data))
    try:
        return deflate.deflate_compress(data, level)
    except SystemError as error:  # its result could not be cut to its size, for want of memory
        raise MemoryError from error


def inflate_at_once(data: Buffer, size: int) -> bytearray:
    """The contents of a raw deflate stream that makes `size` bytes.

    Raises:
        FastInflateError: it is damaged, or makes more; where it ends in `data` nobody tells.
        MemoryError: there is not enough.
    """
    if _is_limited():
        _require(_TABLES_TO_INFLATE + size)
    return deflate.deflate_decompress(data, size)


FastInflateError = deflate.DeflateError

VERSION = deflate.__version__
