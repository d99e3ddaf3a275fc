"""Decompressing by methods that parazip itself does not write with: bzip2 and LZMA.

The standard library does it, as `zipfile` would, a piece at a time: so a member takes no more
memory than it says it has contents, whatever its compressed bytes claim.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Protocol

from parazip.codecs.inflating import StreamEndError
from parazip.format.values import Buffer

BZIP2, LZMA = 12, 14
"""Compression methods (APPNOTE 4.4.5)."""

NAMES = {BZIP2: "bzip2", LZMA: "LZMA"}

_PIECE = 1 << 20
"""Bytes that are decompressed at a time."""

_GOES_ON = "one that goes on where it should end"

_LEAST_DICTIONARY = 4 << 10

_PROPERTIES_AT = 4
_PROPERTIES = 5
"""What stands in front of an LZMA stream: a version, a length, and so many properties (5.8.8)."""


@lru_cache(maxsize=1)
def find_methods() -> tuple[int, ...]:
    """The methods that this Python can decompress by; some are built without a library."""
    modules = {BZIP2: "_bz2", LZMA: "_lzma"}
    return tuple(method for method, name in modules.items() if importlib.util.find_spec(name))


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def decompress(
    method: int, chunks: Iterable[bytes], size: int, has_end: bool = True
) -> Iterator[Buffer]:
    """The contents of a member in pieces, and no more than it says that it has.

    Args:
        method: its compression method, one of `find_methods`.
        chunks: its compressed bytes.
        size: how many bytes it says that its contents are.
        has_end: whether an LZMA stream has a mark at its end (APPNOTE 4.4.4, bit 1).

    Raises:
        StreamEndError: the stream ends elsewhere than the chunks, or goes on after `size` bytes.
        ValueError: it is damaged.
    """
    chunks = iter(chunks)
    data = next(chunks, b"")
    left = size
    try:
        stream, data = _open_bzip2(data) if method == BZIP2 else _open_lzma(data, size)
        while not stream.eof and (left or method == BZIP2 or has_end):
            piece = stream.decompress(data, min(_PIECE, left) or 1)
            left -= len(piece)
            if left < 0:
                raise StreamEndError(_GOES_ON)
            if piece:
                yield piece
            data = b""
            if stream.needs_input and not stream.eof and not (data := next(chunks, b"")):
                raise StreamEndError("one that does not end")
        if stream.eof and (stream.unused_data or next(chunks, b"")):
            raise StreamEndError(_GOES_ON)
    except _find_errors(method) as error:
        raise ValueError(str(error)) from error


def _find_errors(method: int) -> tuple[type[Exception], ...]:
    """What the library of a method raises where bytes are damaged."""
    if method == BZIP2:
        return (OSError, EOFError)
    import lzma

    return (lzma.LZMAError,)


def _open_bzip2(data: bytes) -> tuple[_Decompressor, bytes]:
    import bz2

    return bz2.BZ2Decompressor(), data


def _open_lzma(data: bytes, size: int) -> tuple[_Decompressor, bytes]:
    """What decompresses, and the first bytes that it is given."""
    import lzma

    begin = _PROPERTIES_AT + _PROPERTIES
    if len(data) < begin or data[2:_PROPERTIES_AT] != bytes((_PROPERTIES, 0)):
        raise ValueError("it has no LZMA properties")
    packed, dictionary = data[_PROPERTIES_AT], int.from_bytes(data[5:begin], "little")
    rest, lc = divmod(packed, 9)
    pb, lp = divmod(rest, 5)
    if pb > 4 or lc + lp > 4:
        raise ValueError("its LZMA properties are out of range")
    # A stream may claim 4 GiB of dictionary. No more of it can be used than there are contents.
    dictionary = max(_LEAST_DICTIONARY, min(dictionary, size))
    properties = {"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[properties]), data[begin:]
