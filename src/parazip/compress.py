"""The producer that compresses: batches of small members whole, large members block by block.

Each function here runs on a worker, takes one task and touches nothing but the files it names.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from parazip import files
from parazip.codecs import checksums, deflating
from parazip.codecs.levels import STORE, Coder
from parazip.codecs.sizes import BLOCK, WINDOW
from parazip.format.records import (
    LIMIT_32,
    make_record,
    pack_central_header,
    pack_headers,
    pack_local_header,
)
from parazip.format.values import STORED, Buffer
from parazip.model import Block, Contents, File, FilePiece, Header, Member, Part, Range, Tally
from parazip.plan import Batch, BlockTask, StoredTask, StreamTask


class _Scratch(threading.local):
    """A worker's read buffer. Made once: fresh memory costs more than reading into it."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(WINDOW + BLOCK + 1))


_scratch = _Scratch()


def looks_compressible(member: Member) -> bool:
    """Whether a large member's contents look compressible; reads a few samples of a file.

    Raises:
        SourceError: the file cannot be read.
    """
    source = member.source
    if isinstance(source, bytes):
        return deflating.looks_compressible(
            len(source), lambda start, size: source[start : start + size]
        )
    file, offset = _place(source)
    with files.open_unchanged(file) as opened:

        def sample(start: int, size: int) -> memoryview:
            return files.read_into(opened, offset + start, memoryview(bytearray(size)))

        # Who asks about a file of fewer bytes has found many more than the system tells of.
        return deflating.looks_compressible(max(member.size, files.MOST_UNKNOWN), sample)


def _place(source: Contents) -> tuple[File, int]:
    """The file that contents are in, and where they begin there."""
    if isinstance(source, FilePiece):
        return source.archive, source.offset
    assert isinstance(source, File)
    return source, 0


def compress_batch(batch: Batch) -> Part | None:
    """Small members, each compressed whole, as one part.

    None says that there is more to them than the system tells, and more than is to be in memory.
    """
    pieces: list[Buffer | Header] = []
    data: list[Buffer] = []
    directory: list[bytes] = []
    stored, deflated = [0, 0, 0], [0, 0, 0]
    coder = batch.recipe.whole
    most = batch.cost + files.MOST_UNKNOWN
    offset = 0
    for member in batch.members:  # a few microseconds here are most of a short member's time
        try:
            method, packed, crc, size = compress_whole(member, coder)
        except files.UnsizedError:
            return None
        if offset > most:
            return None
        packed_size = len(packed)
        header, central = pack_headers(member, method, crc, packed_size, size, offset)
        if member.align > 1 and not method:
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
    sums_by_coder = ((STORE, stored), (coder, deflated))
    return Part(
        (*pieces, b"".join(data)),
        b"".join(directory),
        {str(coder): Tally(*sums) for coder, sums in sums_by_coder if sums[0]},
    )


def compress_whole(member: Member, coder: Coder) -> tuple[int, Buffer, int, int]:
    """Method, compressed bytes, CRC-32 and size of a member that is not cut.

    Raises what `files.read_file` raises.
    """
    source = member.source
    if isinstance(source, bytes):
        contents = source
    elif isinstance(source, FilePiece):
        contents = b"".join(
            files.read_chunks(source.archive, source.size, source.offset, source.size)
        )
    else:
        assert isinstance(source, File)
        contents = files.read_file(source)
    method, data = deflating.compress_or_store(STORE if member.store else coder, contents)
    return method, data, checksums.crc32(contents), len(contents)


def store_untouched(task: StoredTask) -> Part:
    """A large member that is stored, as a part that leaves its contents where they are.

    Raises:
        SourceError: the file cannot be read.
    """
    member = task.member
    source = member.source
    data: Buffer | Range
    if isinstance(source, bytes):
        data, crc = source, checksums.crc32(source)
    else:
        file, offset = _place(source)
        data = Range(file, offset, member.size)
        crc = source.crc if isinstance(source, FilePiece) else files.crc32_of_file(file)
    made = make_record(member, STORED, crc, member.size, 0)
    header = pack_local_header(made, made.size >= LIMIT_32)
    return Part(
        (Header(header, member.align) if member.align > 1 else header, data),
        pack_central_header(made),
        {str(STORE): Tally(1, made.size, made.size)},
    )


def compress_block(cut: BlockTask) -> Block:
    """The piece of a large member that `cut` tells of.

    A file ends where it ends: it may have fewer bytes than it is said to have, or more. Then the
    block is the last, or the one that was to be the last is not, and has all the bytes it can have.

    A file that is read in blocks is read at several moments, and what was read as one block's end
    is read once more as the next one's window. If the two differ, the stream would be broken; so
    the CRC-32 of both is told. Where changes are no matter, blocks do without a window.
    """
    source, start, length, is_last = cut.member.source, cut.start, cut.length, cut.last
    has_window = cut.coder != STORE
    if isinstance(source, File):
        has_window = has_window and source.is_watched and start < source.size
        length = BLOCK + 1 if is_last else length
    begin = max(0, start - WINDOW) if has_window else start
    if isinstance(source, bytes):
        view = memoryview(source)[begin : start + length]
    else:
        view = _scratch.view[: start + length - begin]
        file, offset = _place(source)
        with files.open_unchanged(file) as opened:
            if file is source:
                view = files.read_into(opened, begin, view)
            else:
                files.fill_view(file, opened, offset + begin, view)
    window, data = view[: start - begin], view[start - begin :]
    if isinstance(source, File):
        is_last = len(data) <= BLOCK if is_last else len(data) < length
        data = data[:BLOCK]
    packed = deflating.compress_block(cut.coder, window, data, start, is_last)
    return Block(
        packed,
        checksums.crc32(data),
        len(data),
        is_last,
        checksums.crc32(window) if isinstance(source, File) else 0,
        checksums.crc32(data[-WINDOW:]),
    )


def stream_blocks(task: StreamTask) -> Iterator[Block]:
    """A large member that is not cut, piece by piece."""
    source = task.member.source
    chunks: Iterable[Buffer]
    if isinstance(source, bytes):
        chunks = (source,)
    elif isinstance(source, File):
        chunks = files.read_chunks(source)
    else:
        file, offset = _place(source)
        chunks = files.read_chunks(file, offset=offset, length=task.member.size)
    stream = deflating.ZipfileStream()
    for chunk in chunks:
        yield Block((stream.compress(chunk),), checksums.crc32(chunk), len(chunk))
    yield Block((stream.flush(),), 0, 0)
