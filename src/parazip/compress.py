"""The producer that compresses: batches of small members whole, large members block by block.

Each function here runs on a worker, takes one task and touches nothing but the files it names.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from parazip import codecs, files
from parazip.format.records import headers
from parazip.model import (
    STORE,
    Block,
    Buffer,
    Coder,
    File,
    Member,
    Part,
    Tally,
)
from parazip.plan import Batch, Cut, Stream


class _Scratch(threading.local):
    """A worker's read buffer. Made once: fresh memory costs more than reading into it."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(codecs.WINDOW + codecs.BLOCK))


_scratch = _Scratch()


def shrinks(member: Member) -> bool:
    """Whether a large member's contents look compressible; reads a few samples of a file.

    Raises:
        SourceError: the file cannot be read.
    """
    source = member.source
    assert isinstance(source, (File, bytes))
    if isinstance(source, bytes):
        return codecs.shrinks(len(source), lambda start, size: source[start : start + size])
    with files.reading(source) as file:

        def sample(start: int, size: int) -> memoryview:
            return files.fill(source, file, start, memoryview(bytearray(size)))

        return codecs.shrinks(source.size, sample)


def batch(batch: Batch) -> Part:
    """Small members, each compressed whole, as one part."""
    data: list[Buffer] = []
    directory: list[bytes] = []
    stored, deflated = [0, 0, 0], [0, 0, 0]
    coder = batch.coder
    offset = 0
    for member in batch.members:  # a few microseconds here are most of a short member's time
        method, packed, crc, size = whole(member, coder)
        packed_size = len(packed)
        header, central = headers(member, method, crc, packed_size, size, offset)
        data.append(header)
        data.append(packed)
        directory.append(central)
        offset += len(header) + packed_size
        sums = deflated if method else stored
        sums[0] += 1
        sums[1] += size
        sums[2] += packed_size
    sums_by_coder = ((STORE, stored), (batch.coder, deflated))
    return Part(
        (b"".join(data),),
        b"".join(directory),
        {str(coder): Tally(*sums) for coder, sums in sums_by_coder if sums[0]},
    )


def whole(member: Member, coder: Coder) -> tuple[int, Buffer, int, int]:
    """Method, compressed bytes, CRC-32 and size of a member that is not cut."""
    source = member.source
    assert isinstance(source, (File, bytes))
    contents = source if isinstance(source, bytes) else files.read(source)
    method, data = codecs.compress_or_store(STORE if member.store else coder, contents)
    return method, data, codecs.crc32(contents), len(contents)


def block(cut: Cut) -> Block:
    """The piece of a large member that `cut` tells of."""
    source = cut.member.source
    assert isinstance(source, (File, bytes))
    if isinstance(source, bytes):
        begin = max(0, cut.start - codecs.WINDOW)
        view = memoryview(source)[begin : cut.start + cut.length]
    else:
        begin = max(0, cut.start - codecs.WINDOW) if cut.coder != STORE else cut.start
        view = _scratch.view[: cut.start + cut.length - begin]
        with files.reading(source) as file:
            files.fill(source, file, begin, view)
    window, data = view[: cut.start - begin], view[cut.start - begin :]
    packed = codecs.compress_block(cut.coder, window, data, cut.last)
    return Block(packed, codecs.crc32(data), cut.length)


def stream(task: Stream) -> Iterator[Block]:
    """A large member that is not cut, piece by piece."""
    source = task.member.source
    assert isinstance(source, (File, bytes))
    deflating = codecs.ZipfileStream()
    for chunk in (source,) if isinstance(source, bytes) else files.chunks(source):
        yield Block((deflating.compress(chunk),), codecs.crc32(chunk), len(chunk))
    yield Block((deflating.flush(),), 0, 0)
