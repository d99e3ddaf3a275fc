"""The producer that compresses: batches of small members whole, large members block by block.

Each function here runs on a worker, takes one task and touches nothing but the files it names.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from parazip import codecs, files
from parazip.format.records import LIMIT_32, central_header, headers, local_header, record
from parazip.model import (
    STORE,
    STORED,
    Block,
    Buffer,
    Coder,
    File,
    Header,
    Member,
    Part,
    Range,
    Source,
    Stored,
    Tally,
)
from parazip.plan import Batch, Cut, Stream, Untouched


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
    if isinstance(source, bytes):
        return codecs.shrinks(len(source), lambda start, size: source[start : start + size])
    file, offset = _place(source)
    with files.reading(file) as opened:

        def sample(start: int, size: int) -> memoryview:
            return files.fill(file, opened, offset + start, memoryview(bytearray(size)))

        return codecs.shrinks(member.size, sample)


def _place(source: Source) -> tuple[File, int]:
    """The file that contents are in, and where they begin there."""
    if isinstance(source, Stored):
        return source.archive, source.offset
    assert isinstance(source, File)
    return source, 0


def batch(batch: Batch) -> Part:
    """Small members, each compressed whole, as one part."""
    pieces: list[Buffer | Header] = []
    data: list[Buffer] = []
    directory: list[bytes] = []
    stored, deflated = [0, 0, 0], [0, 0, 0]
    coder = batch.coder
    offset = 0
    for member in batch.members:  # a few microseconds here are most of a short member's time
        method, packed, crc, size = whole(member, coder)
        packed_size = len(packed)
        header, central = headers(member, method, crc, packed_size, size, offset)
        if member.align and not method:
            pieces += (b"".join(data), Header(header, member.align))
            data.clear()
        else:
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
        (*pieces, b"".join(data)),
        b"".join(directory),
        {str(coder): Tally(*sums) for coder, sums in sums_by_coder if sums[0]},
    )


def whole(member: Member, coder: Coder) -> tuple[int, Buffer, int, int]:
    """Method, compressed bytes, CRC-32 and size of a member that is not cut."""
    source = member.source
    if isinstance(source, bytes):
        contents = source
    elif isinstance(source, Stored):
        contents = b"".join(files.chunks(source.archive, source.size, source.offset, source.size))
    else:
        assert isinstance(source, File)
        contents = files.read(source)
    method, data = codecs.compress_or_store(STORE if member.store else coder, contents)
    return method, data, codecs.crc32(contents), len(contents)


def untouched(task: Untouched) -> Part:
    """A large member that is stored, as a part that leaves its contents where they are.

    Raises:
        SourceError: the file cannot be read.
    """
    member = task.member
    source = member.source
    data: Buffer | Range
    if isinstance(source, bytes):
        data, crc = source, codecs.crc32(source)
    else:
        file, offset = _place(source)
        data = Range(file, offset, member.size)
        crc = source.crc if isinstance(source, Stored) else files.crc32(file)
    made = record(member, STORED, crc, member.size, 0)
    header = local_header(made, made.size >= LIMIT_32)
    return Part(
        (Header(header, member.align) if member.align else header, data),
        central_header(made),
        {str(STORE): Tally(1, made.size, made.size)},
    )


def block(cut: Cut) -> Block:
    """The piece of a large member that `cut` tells of."""
    source = cut.member.source
    if isinstance(source, bytes):
        begin = max(0, cut.start - codecs.WINDOW)
        view = memoryview(source)[begin : cut.start + cut.length]
    else:
        begin = max(0, cut.start - codecs.WINDOW) if cut.coder != STORE else cut.start
        view = _scratch.view[: cut.start + cut.length - begin]
        file, offset = _place(source)
        with files.reading(file) as opened:
            files.fill(file, opened, offset + begin, view)
    window, data = view[: cut.start - begin], view[cut.start - begin :]
    packed = codecs.compress_block(cut.coder, window, data, cut.start, cut.last)
    return Block(packed, codecs.crc32(data), cut.length)


def stream(task: Stream) -> Iterator[Block]:
    """A large member that is not cut, piece by piece."""
    source = task.member.source
    chunks: Iterable[Buffer]
    if isinstance(source, bytes):
        chunks = (source,)
    else:
        file, offset = _place(source)
        chunks = files.chunks(file, offset=offset, length=task.member.size)
    deflating = codecs.ZipfileStream()
    for chunk in chunks:
        yield Block((deflating.compress(chunk),), codecs.crc32(chunk), len(chunk))
    yield Block((deflating.flush(),), 0, 0)
