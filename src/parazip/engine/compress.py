"""The producer that compresses: batches of small members whole, large members block by block.

Each function here runs on a worker, takes one task and touches nothing but the files it names.
"""

from __future__ import annotations

from collections.abc import Iterator

from parazip.codecs import checksums, deflating
from parazip.codecs.levels import STORE, Coder
from parazip.codecs.sizes import WINDOW
from parazip.engine.plan import Batch, BlockTask, StoredTask, StreamTask
from parazip.errors import note_member
from parazip.format.records import (
    LIMIT_32,
    make_record,
    pack_central_header,
    pack_headers,
    pack_local_header,
)
from parazip.format.values import STORED, Buffer
from parazip.model import Block, Header, Member, Part, RunningTally, Tally
from parazip.sources import files
from parazip.sources.contents import (
    describe_origin,
    leave_in_place,
    read_block,
    read_chunks,
    read_whole,
)


def compress_batch(batch: Batch) -> Part | None:
    """Small members, each compressed whole, as one part.

    None says that there is more to them than the system tells, and more than is to be in memory.
    """
    pieces: list[Buffer | Header] = []
    data: list[Buffer] = []
    directory: list[bytes] = []
    stored, deflated = RunningTally(), RunningTally()
    coder = batch.recipe.whole
    most = batch.cost + files.MOST_UNKNOWN
    offset = 0
    for member in batch.members:  # a few microseconds here are most of a short member's time
        try:
            method, compressed, crc, size = compress_whole(member, coder)
        except files.UnsizedError:
            return None
        except MemoryError as error:
            note_member(error, describe_origin(member))
            raise
        if offset > most:
            return None
        compressed_size = len(compressed)
        header, central = pack_headers(member, method, crc, compressed_size, size, offset)
        if member.align > 1 and not method:
            pieces += (b"".join(data), Header(header, member.align))
            data.clear()
        else:
            data.append(header)
        data.append(compressed)
        directory.append(central)
        offset += len(header) + compressed_size
        tally = deflated if method else stored
        tally.members += 1
        tally.bytes_in += size
        tally.bytes_out += compressed_size
    tallies = {
        str(name): tally.finish()
        for name, tally in ((STORE, stored), (coder, deflated))
        if tally.members
    }
    return Part((*pieces, b"".join(data)), b"".join(directory), tallies)


def compress_whole(member: Member, coder: Coder) -> tuple[int, Buffer, int, int]:
    """Method, compressed bytes, CRC-32 and size of a member that is not cut.

    Raises what `files.read_file` raises.
    """
    contents = read_whole(member.source)
    method, data = deflating.compress_or_store(STORE if member.store else coder, contents)
    return method, data, checksums.crc32(contents), len(contents)


def store_untouched(task: StoredTask) -> Part:
    """A large member that is stored, as a part that leaves its contents where they are.

    Raises:
        SourceError: the file cannot be read.
    """
    member = task.member
    data, crc = leave_in_place(member.source)
    size = len(data)
    made = make_record(member, STORED, crc, size, 0)._replace(size=size)
    header = pack_local_header(made, size >= LIMIT_32)
    return Part(
        (Header(header, member.align) if member.align > 1 else header, data),
        pack_central_header(made),
        {str(STORE): Tally(1, size, size)},
    )


def compress_block(task: BlockTask) -> Block:
    """The piece of a large member that a task asks for.

    Blocks are read at different moments, and the end of one is read once more as the window of the
    next. If a file changed in between, no reader could make sense of the stream. So a block has the
    CRC-32 of both, and they are compared when blocks are joined.
    """
    window, data, is_last = read_block(
        task.member.source, task.start, task.length, task.is_last, has_window=task.coder != STORE
    )
    return Block(
        deflating.compress_block(task.coder, window, data, task.start, is_last),
        checksums.crc32(data),
        len(data),
        is_last,
        checksums.crc32(window),
        checksums.crc32(data[-WINDOW:]),
    )


def stream_blocks(task: StreamTask) -> Iterator[Block]:
    """A large member that is not cut, piece by piece."""
    stream = deflating.ZipfileStream()
    for chunk in read_chunks(task.member.source):
        yield Block((stream.compress(chunk),), checksums.crc32(chunk), len(chunk))
    yield Block((stream.flush(),), 0, 0)
