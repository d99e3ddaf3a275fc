"""The producer that compresses: batches of small members whole, large members block by block.

Each function here runs on a worker, takes one task and touches nothing but the files it names.
"""

from __future__ import annotations

import marshal
import threading

from parazip import codecs, files
from parazip.format.records import central_header, local_header, record
from parazip.model import (
    DEFLATED,
    STORE,
    STORED,
    Block,
    Buffer,
    Coder,
    File,
    Member,
    Packed,
    Part,
    Range,
    Tally,
)
from parazip.plan import Batch, Cut


class _Scratch(threading.local):
    """A worker's read buffer. Made once: fresh memory costs more than reading into it."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(codecs.WINDOW + codecs.BLOCK))


_scratch = _Scratch()


def question(batch: Batch) -> bytes:
    """A batch as plain bytes, for a helper."""
    members = [
        (name, source if isinstance(source, bytes) else tuple(source), *rest)
        for name, source, *rest in batch.members
    ]
    return marshal.dumps((members, tuple(batch.coder), batch.size))


def answer(question: bytes) -> bytes:
    """What a helper makes of a question: the part as plain bytes."""
    members, coder, size = marshal.loads(question)
    files = [
        Member(name, source if isinstance(source, bytes) else File(*source), *rest)
        for name, source, *rest in members
    ]
    part = batch(Batch(files, Coder(*coder), size))
    tallies = {coder: tuple(tally) for coder, tally in part.tallies.items()}
    (data,) = part.data
    assert not isinstance(data, Range)
    return marshal.dumps((data, part.directory, tallies))


def answered(answer: bytes) -> Part:
    """The part in a helper's answer."""
    data, directory, tallies = marshal.loads(answer)
    return Part((data,), directory, {coder: Tally(*sums) for coder, sums in tallies.items()})


def shrinks(member: Member) -> bool:
    """Whether a large member's contents look compressible; reads a few samples of a file.

    Raises:
        SourceError: the file cannot be read.
    """
    source = member.source
    assert not isinstance(source, Packed)
    if isinstance(source, bytes):
        return codecs.shrinks(len(source), lambda start, size: source[start : start + size])
    with files.reading(source) as file:

        def sample(start: int, size: int) -> memoryview:
            return files.fill(source, file, start, memoryview(bytearray(size)))

        return codecs.shrinks(source.size, sample)


def batch(batch: Batch) -> Part:
    """Small members, each compressed whole, as one part."""
    data: list[Buffer] = []
    directory = []
    stored, deflated = [0, 0, 0], [0, 0, 0]
    offset = 0
    for member in batch.members:
        source = member.source
        assert not isinstance(source, Packed)
        contents = source if isinstance(source, bytes) else files.read(source)
        method, packed = _whole(contents, STORE if member.store else batch.coder)
        size = len(packed)
        made = record(member, method, codecs.crc32(contents), size, offset)
        header = local_header(made, False)
        data += (header, packed)
        directory.append(central_header(made))
        offset += len(header) + size
        sums = deflated if method else stored
        sums[0] += 1
        sums[1] += len(contents)
        sums[2] += size
    sums_by_coder = ((STORE, stored), (batch.coder, deflated))
    return Part(
        (b"".join(data),),
        b"".join(directory),
        {str(coder): Tally(*sums) for coder, sums in sums_by_coder if sums[0]},
    )


def _whole(data: bytes, coder: Coder) -> tuple[int, Buffer]:
    """Method and bytes of a member compressed whole; what does not shrink is stored."""
    size = len(data)
    if not size or coder == STORE:
        return STORED, data
    if size >= 2 * codecs.SAMPLED:
        view = memoryview(data)
        if not codecs.shrinks(size, lambda start, length: view[start : start + length]):
            return STORED, data
    packed = codecs.compress_whole(coder, data)
    return (DEFLATED, packed) if len(packed) < size else (STORED, data)


def block(cut: Cut) -> Block:
    """The piece of a large member that `cut` tells of."""
    source = cut.member.source
    assert not isinstance(source, Packed)
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
