"""Inflating: whole members, stretches of large ones, and streams step by step.

Which library inflates depends on whose verdict counts. zlib-ng is zlib's code with other inner
loops: it finds the same errors in the same calls, so it judges streams and replaces zlib where
`zipfile` would call it. libdeflate and ISA-L are faster, and each takes some codes that zlib
refuses. So what they inflate counts only where a CRC-32 says that it is right, and what they fail
at is for zlib-ng to judge.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from isal import isal_zlib
from zlib_ng import zlib_ng

from parazip.codecs import checksums, libdeflate
from parazip.codecs.sizes import BLOCK, RESTART
from parazip.codecs.table import RAW
from parazip.format.values import MOST_DEFLATED, STORED, Buffer

InflateError = zlib.error
"""What `zipfile` raises, and what is raised here, where something is no deflate stream."""

_LIBRARY_ERRORS: Any = (zlib_ng.error, isal_zlib.error)

_MOST_AT_ONCE = 16 << 20
"""libdeflate writes all contents into one buffer. Far beyond a CPU's caches it is slower."""

_PIECE = 1 << 20
"""Bytes that are inflated in one call. Between two calls a thread has to wait for the GIL."""

_LAST_STORED = b"\1\x10\0\xef\xff"
"""The header of a last stored block of 16 bytes (RFC 1951, 3.2.4)."""


class _Decompress(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Buffer, most: int = 0, /) -> bytes: ...
    def flush(self) -> bytes: ...


def inflate_whole(data: bytes, size: int) -> bytes | bytearray | None:
    """The contents of a raw deflate stream; None if they are not just `size` bytes, or damaged.

    libdeflate takes half to two thirds of ISA-L's time, as long as the contents are not much larger
    than the CPU's caches. Bytes behind the stream do not count.
    """
    if not 0 < size <= MOST_DEFLATED * len(data):
        return None
    contents: bytes | bytearray
    try:
        if size <= _MOST_AT_ONCE:
            contents = libdeflate.inflate_at_once(data, size)
            return contents if len(contents) == size else None
        inflater = FastInflater()
        contents = inflater.decompress(data, size + 1)
    except (libdeflate.FastInflateError, InflateError):
        return None
    return contents if len(contents) == size and inflater.eof else None


class Stretch(NamedTuple):
    """What stands between two restarts, inflated.

    Attributes:
        pieces: the contents.
        crc: their CRC-32.
    """

    pieces: list[bytes]
    crc: int


def inflate_stretch(data: Iterable[memoryview]) -> Stretch | None:
    """The contents of a piece of a deflate stream, if they do not depend on what is around it.

    A block has to begin where `data` begins. Then two things are to be shown: that nothing refers
    to what stands before, and that another block begins right after the end. The codec raises
    an error if the first is not so. For the second, the stream goes on with a last stored block of
    bytes that nobody can foresee. They come out, and the stream ends with them, only if a block's
    header was due there. Within a stored block their header would come out, too. Within a
    compressed one the first bit, which is set, would belong to a code, and what follows it would be
    the header of a block that is not the last.

    Args:
        data: the stretch in pieces, from where a block begins up to and including a
            `deflating.SYNC_MARKER`.

    Returns:
        The contents, `RESTART` bytes. None if there are fewer or more, which could take any memory
        or time, or if only the whole stream tells what they are.
    """
    stream = isal_zlib.decompressobj(RAW)
    pieces = []
    left = RESTART
    crc = 0
    unforeseen = os.urandom(16)
    try:
        for view in data:
            for start in range(0, len(view), _PIECE):
                piece = stream.decompress(view[start : start + _PIECE], left + 1)
                left -= len(piece)
                if left < 0 or stream.eof:
                    return None
                crc = checksums.crc32(piece, crc)
                pieces.append(piece)
        end = stream.decompress(_LAST_STORED + unforeseen)
    except isal_zlib.error:  # type: ignore[misc] # an exception; its stubs say it is any class
        return None
    if left or end != unforeseen or not stream.eof or stream.unused_data:
        return None
    return Stretch(pieces, crc)


class StepInflater:
    """Does what `zlib.decompressobj(-15)` does, call by call, in half the time, by zlib-ng.

    Of each piece of a stream it makes as many bytes as zlib does, leaves as many over, and finds
    what is wrong in the same call.

    Raises:
        zlib.error: the bytes are no deflate stream.
    """

    def __init__(self) -> None:
        self._stream: _Decompress = zlib_ng.decompressobj(RAW)

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        return self._stream.eof

    @property
    def unconsumed_tail(self) -> bytes:
        """Compressed bytes that were left over, as they would have made too many."""
        return self._stream.unconsumed_tail

    def decompress(self, data: Buffer, most: int = 0, /) -> bytes:
        """The contents that `data` adds; no more than `most` bytes of them, if that is not 0."""
        try:
            return self._stream.decompress(data, most)
        except _LIBRARY_ERRORS as error:
            raise zlib.error(str(error)) from None

    def flush(self) -> bytes:
        """Contents that were held back."""
        try:
            return self._stream.flush()
        except _LIBRARY_ERRORS as error:
            raise zlib.error(str(error)) from None


class FastInflater(StepInflater):
    """The same contents by ISA-L, sooner; but single calls give more or fewer of the bytes.

    It keeps up to 64 KiB back, and takes codes that zlib refuses. So contents may be used if their
    CRC-32 is right, and where it fails, `StepInflater` has to judge.

    Args:
        window: the contents before what is to be inflated, if it is not a stream's beginning.
    """

    def __init__(self, window: bytes = b"") -> None:
        self._stream = isal_zlib.decompressobj(RAW, window)


class StreamEndError(ValueError):
    """A deflate stream does not end where its member ends."""


def measure_inflated(method: int, chunks: Iterable[Buffer], most: int) -> tuple[int, int]:
    """CRC-32 and size of a member's contents, of which no more than a chunk is in memory.

    zlib-ng judges as zlib does, which zipfile and Java use. ISA-L would be up to a fifth faster for
    long members and no faster for short ones, and takes codes that zlib refuses. libdeflate takes
    others of them, and does not tell where a stream ends.

    Args:
        method: the member's compression method, stored or deflated.
        chunks: its compressed bytes.
        most: the size in bytes that is believed; from there on nothing more is inflated.

    Raises:
        StreamEndError: the stream ends elsewhere than the chunks, or goes on after `most` bytes.
        ValueError: the bytes are no deflate stream.
    """
    crc = size = 0
    if method == STORED:
        for chunk in chunks:
            crc = checksums.crc32(chunk, crc)
            size += len(chunk)
        return crc, size
    stream: _Decompress = zlib_ng.decompressobj(RAW)
    try:
        for chunk in chunks:
            if stream.eof:
                raise StreamEndError("one that goes on where it should end")
            data = stream.decompress(chunk, BLOCK)
            while data:
                crc = checksums.crc32(data, crc)
                size += len(data)
                if size > most:
                    break
                data = stream.decompress(stream.unconsumed_tail, BLOCK)
            if size > most or stream.unused_data:
                raise StreamEndError("one that goes on where it should end")
    except zlib_ng.error as error:  # type: ignore[misc] # an exception; its stubs say it is any class
        raise ValueError(str(error)) from error
    if not stream.eof:
        raise StreamEndError("one that does not end")
    return crc, size
