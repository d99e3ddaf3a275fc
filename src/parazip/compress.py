"""The producer that compresses: batches of small members whole, large members block by block.

Each function here runs on a worker, takes one task and touches nothing but the files it names.

A source is read after it was found, and may have changed in between, or may change while it is
read. So the file is asked once more *after* its bytes were taken: if size, modification time,
inode and change time are still what they were when it was found, what was read is what stood there
all along. Anything else is an error (`SourceChangedError`), never a wrong archive.
"""

from __future__ import annotations

import marshal
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from parazip import codecs
from parazip.errors import SourceChangedError, SourceError
from parazip.format.records import FLAG_UTF8, central_header, local_header
from parazip.model import (
    DEFLATED,
    STORE,
    STORED,
    Block,
    Buffer,
    Coder,
    File,
    Member,
    Part,
    Record,
    Tally,
)
from parazip.plan import Batch, Cut, Task

_READ_ONLY = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class _Scratch(threading.local):
    """A worker's read buffer. Made once: fresh memory costs more than reading into it."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(codecs.WINDOW + codecs.BLOCK))


_scratch = _Scratch()


def run(task: Task) -> Part | Block:
    """What `task` makes: a finished part for a batch, a block for a cut.

    Raises:
        SourceError: a file cannot be read.
        SourceChangedError: a file is not what it was when it was found.
    """
    return batch(task) if isinstance(task, Batch) else block(task)


def weight(result: Part | Block) -> int:
    """The bytes that a result holds until it is written."""
    data = result.data
    return sum(map(len, data)) if isinstance(data, tuple) else len(data)


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
    return marshal.dumps((part.data, part.directory, tallies))


def answered(answer: bytes) -> Part:
    """The part in a helper's answer."""
    data, directory, tallies = marshal.loads(answer)
    return Part(data, directory, {coder: Tally(*sums) for coder, sums in tallies.items()})


def shrinks(member: Member) -> bool:
    """Whether a large member's contents look compressible; reads a few samples of a file.

    Raises:
        SourceError: the file cannot be read.
    """
    source = member.source
    if isinstance(source, bytes):
        return codecs.shrinks(len(source), lambda start, size: source[start : start + size])
    with _told(source), open(source.path, "rb", buffering=0) as file:

        def sample(start: int, size: int) -> bytes:
            file.seek(start)
            return file.read(size) or b""

        return codecs.shrinks(source.size, sample)


def record(member: Member, method: int, crc: int, compressed_size: int, offset: int) -> Record:
    """What the central directory says about `member`."""
    name = member.name
    flags = 0 if name.isascii() else FLAG_UTF8
    return Record(
        name.encode(),
        flags,
        method,
        member.date,
        crc,
        compressed_size,
        member.size,
        member.attributes,
        offset,
    )


def batch(batch: Batch) -> Part:
    """Small members, each compressed whole, as one part."""
    data: list[Buffer] = []
    directory = []
    stored, deflated = [0, 0, 0], [0, 0, 0]
    offset = 0
    for member in batch.members:
        source = member.source
        contents = source if isinstance(source, bytes) else _read(source)
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
        b"".join(data),
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
    if isinstance(source, bytes):
        begin = max(0, cut.start - codecs.WINDOW)
        view = memoryview(source)[begin : cut.start + cut.length]
    else:
        begin = max(0, cut.start - codecs.WINDOW) if cut.coder != STORE else cut.start
        view = _read_into(source, begin, cut.start + cut.length - begin)
    window, data = view[: cut.start - begin], view[cut.start - begin :]
    packed = codecs.compress_block(cut.coder, window, data, cut.last)
    return Block(packed, codecs.crc32(data), cut.length)


def _read(source: File) -> bytes:
    """All bytes of a file. One byte more is asked for, so that a file that grew is noticed."""
    path, size = source.path, source.size
    try:
        descriptor = os.open(path, _READ_ONLY)
        try:
            data = os.read(descriptor, size + 1)
            while len(data) < size and (more := os.read(descriptor, size + 1 - len(data))):
                data += more  # network file systems may give less at a time
            info = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SourceError.of(path, error) from error
    if len(data) != size:
        raise _changed(source, info)
    _check(source, info)
    return data


def _read_into(source: File, start: int, length: int) -> memoryview:
    """Bytes of a file in this worker's read buffer, until its next call."""
    view = _scratch.view[:length]
    with _told(source), open(source.path, "rb", buffering=0) as file:
        file.seek(start)
        filled = 0
        while filled < length and (count := file.readinto(view[filled:])):
            filled += count
        info = os.fstat(file.fileno())
    if filled != length:
        raise _changed(source, info)
    _check(source, info)
    return view


@contextmanager
def _told(source: File) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError.of(source.path, error) from error


def _check(source: File, info: os.stat_result) -> None:
    if info.st_mtime_ns != source.mtime_ns or info.st_size != source.size:
        raise _changed(source, info)
    if info.st_ino != source.inode and source.inode:  # some systems' scans know no inode
        raise _changed(source, info)
    if info.st_ctime_ns != source.ctime_ns and source.ctime_ns:
        raise _changed(source, info)


def _changed(source: File, info: os.stat_result) -> SourceChangedError:
    if info.st_size != source.size:
        what = f"it had {source.size} bytes and has {info.st_size} now"
    else:
        what = "it was modified or replaced"
    return SourceChangedError(
        f"{source.path} changed while it was read: {what}; "
        "try again when nothing writes to it, or leave it out with --exclude",
        member=source.path,
    )
