"""Compressing: whole members, and blocks that join to one.

A member is compressed in one of two ways:

* **Whole**: one call makes one finished deflate stream. libdeflate is best at this; it has no
  streaming and no dictionary, so it can do nothing else.
* **By blocks**: the member is cut, each block is compressed by itself, and the pieces are joined.
  Two things make the joined bytes one valid deflate stream (RFC 1951). Each block but the last
  ends with a sync flush: an empty stored block that brings the stream to a byte boundary without
  ending it, so the next block can simply follow. And each block but the first is given the
  32 KiB of input that stand before it as a dictionary. The decoder has just produced those
  bytes, so matches may reach back into them, and cutting costs hardly any compression.
  The CRC-32 of the member comes from the blocks' by `crc32_combine`.

Every `RESTART` bytes a block gets no dictionary: the stream begins afresh there. So what stands
between two restarts, a *stretch*, can be inflated by itself, and a large member on all cores. More
empty stored blocks mark the place. They prove nothing, as contents may hold the same bytes;
`inflating.inflate_stretch` does.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence

from parazip.codecs.levels import DEFLATE_STORED, STORE, ZIPFILE, Coder
from parazip.codecs.libraries import LIBRARIES
from parazip.codecs.sizes import RESTART
from parazip.codecs.table import RAW
from parazip.format.values import DEFLATED, STORED, Buffer

_WHOLE = {name: library.whole for name, library in LIBRARIES.items()}
_BLOCK = {name: library.block for name, library in LIBRARIES.items() if library.block}

EMPTY_STREAM = b"\3\0"
"""A last block with fixed codes in which the end of the block is all (RFC 1951, 3.2.6)."""

_RESTART_MARKER = 5 * b"\0\0\0\xff\xff"

SYNC_MARKER = _RESTART_MARKER[1:5] + _RESTART_MARKER
"""How a stretch ends: a sync flush's end, and empty stored blocks (RFC 1951, 3.2.4).

One would do; but what is three times as long is found in a third of the time.
"""

_SAMPLES = 3
_SAMPLE = 16 << 10
_SAMPLER = Coder("isal", 1)
_MOST_OF_SAMPLE = 0.99

SAMPLED = _SAMPLES * _SAMPLE
"""Bytes that `looks_compressible` looks at. For fewer, compressing is the better question."""


def compress_whole(coder: Coder, data: Buffer) -> Buffer:
    """`data`, at least one byte, as one finished raw deflate stream (RFC 1951)."""
    return _WHOLE[coder.codec](data, coder.level)


def compress_or_store(coder: Coder, data: Buffer) -> tuple[int, Buffer]:
    """Method and bytes of a member that is made of `data`: what does not shrink is stored.

    `ZIPFILE` is the exception: zipfile deflates everything, even nothing.
    """
    size = len(data)
    if coder.codec == ZIPFILE:
        stream = ZipfileStream()
        return DEFLATED, stream.compress(data) + stream.flush()
    if not size or coder == STORE:
        return STORED, data
    if size >= 2 * SAMPLED:
        view = memoryview(data)
        if not looks_compressible(size, lambda start, length: view[start : start + length]):
            return STORED, data
    compressed = compress_whole(coder, data)
    return (DEFLATED, compressed) if len(compressed) < size else (STORED, data)


def deflate_whole(coder: Coder, chunks: Sequence[bytes]) -> Buffer:
    """A member's contents as one raw deflate stream, even where that makes them no smaller.

    zlib gets them in the `chunks` in which they came. So its stream is to the byte what `zipfile`
    makes of the same calls, whatever library stands in for zlib.
    """
    if coder.codec == "zlib":
        stream = zlib.compressobj(coder.level, zlib.DEFLATED, RAW)
        return b"".join([*map(stream.compress, chunks), stream.flush()])
    data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    if not data:
        return EMPTY_STREAM
    size = len(data)
    if size >= 2 * SAMPLED and not looks_compressible(
        size, lambda at, length: data[at : at + length]
    ):
        coder = DEFLATE_STORED
    return compress_whole(coder, data)


class ZipfileStream:
    """A raw deflate stream that is to the byte what `zipfile` makes of the same contents.

    The running Python's own zlib gets them in pieces of the size in which a program reads a file.
    zlib's output does not depend on that size, but nobody promises this of libraries that stand in
    for zlib.
    """

    def __init__(self) -> None:
        self._stream = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, RAW)

    def compress(self, data: Buffer) -> bytes:
        """The bytes that the stream goes on with when `data` come next; often none yet."""
        view = memoryview(data)
        size = io.DEFAULT_BUFFER_SIZE
        return b"".join(
            [self._stream.compress(view[at : at + size]) for at in range(0, len(view), size)]
        )

    def flush(self) -> bytes:
        """The end of the stream."""
        return self._stream.flush()


def compress_block(
    coder: Coder, window: Buffer, data: Buffer, start: int, last: bool
) -> tuple[Buffer, ...]:
    """`data` as a piece of a raw deflate stream, itself in pieces.

    Args:
        coder: one of a codec that makes blocks, so not libdeflate.
        window: the up to 32 KiB before `data`; without it the block begins afresh.
        data: the block; at least one byte, unless it is the last.
        start: where in the member the block begins, in bytes.
        last: whether the stream ends here; otherwise it goes on after a sync flush.
    """
    if coder == STORE:
        return (bytes(data),)
    if not data:
        return (EMPTY_STREAM,)
    flush = zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH
    end = b"" if last or (start + len(data)) % RESTART else _RESTART_MARKER
    if coder == DEFLATE_STORED:
        return *_store_in_blocks(data, last), end
    codec, level = coder
    return *_BLOCK[codec](data, level, window if start % RESTART else b"", flush), end


_MOST_STORED = 0xFFFF
"""The most bytes of a stored block (RFC 1951, 3.2.4)."""


def _store_in_blocks(data: Buffer, last: bool) -> Iterator[Buffer]:
    """`data` as stored blocks, and a sync flush if they are not the last.

    zlib makes nearly the same, and copies each byte twice more.
    """
    view = memoryview(data)
    for at in range(0, len(view), _MOST_STORED):
        piece = bytes(view[at : at + _MOST_STORED])
        is_end = last and at + len(piece) == len(view)
        yield struct.pack("<B2H", is_end, len(piece), len(piece) ^ _MOST_STORED)
        yield piece
    if not last:
        yield _RESTART_MARKER[:5]


def looks_compressible(size: int, read: Callable[[int, int], Buffer]) -> bool:
    """Whether deflate would probably make data smaller; decided by samples of its contents.

    JPEG, PNG, zip, zstd and their like do not shrink: to compress them costs the most time of all
    and gains nothing. Three samples, at the start, in the middle and at the end, go through the
    fastest codec. If one of them shrinks by 1 %, the data looks compressible.

    Args:
        size: bytes in all.
        read: gives `length` bytes from `offset` on: `read(offset, length)`.
    """
    for i in range(_SAMPLES):
        sample = read(max(0, size - _SAMPLE) * i // (_SAMPLES - 1), min(size, _SAMPLE))
        if len(sample) and len(compress_whole(_SAMPLER, sample)) < len(sample) * _MOST_OF_SAMPLE:
            return True
    return False
