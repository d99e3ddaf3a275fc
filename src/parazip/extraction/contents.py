"""The contents of a member, as bytes or in chunks, and always with their CRC-32 checked.

libdeflate and ISA-L inflate. Where they fail, or what they made has another CRC-32 than the
directory says, zlib-ng judges, as zlib does: its contents are taken if they are right, and its
error is told if they are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from parazip.codecs import checksums, deflating, inflating, libdeflate, others
from parazip.format.end import Read
from parazip.format.records import FLAG_LZMA_END
from parazip.format.refusals import Judge
from parazip.format.values import DEFLATED, STORED, Buffer, Entry
from parazip.sources.archives import check_contents, refuse_other_contents

AT_ONCE = 1 << 20
"""Bytes up to which contents are in memory as a whole, and their compressed bytes, too."""

CHUNK = 1 << 20
"""Bytes of a larger member that are read, and that are inflated, at a time."""


def inflate(judge: Judge, entry: Entry, data: bytes) -> Buffer:
    """The contents of a member.

    Args:
        judge: is told if they are damaged, and raises.
        entry: what the directory says of the member.
        data: its compressed bytes.

    Raises:
        BadArchiveError: they are damaged.
    """
    record = entry.record
    if record.method not in (STORED, DEFLATED):
        return b"".join(_decompress(judge, entry, (data,)))
    contents: Buffer = data
    is_sound = True
    if record.method != STORED:
        # Where nothing is to come out, libdeflate does not even look at what there is.
        is_sound = record.size > 0 or data == deflating.EMPTY_STREAM
        try:
            contents = libdeflate.inflate_at_once(data, record.size)
        except libdeflate.FastInflateError:
            is_sound = False
    if is_sound and checksums.crc32(contents) == record.crc and len(contents) == record.size:
        return contents
    check_contents(judge, entry, (data,))
    return b"".join(_inflate_by_zlib((data,)) if record.method != STORED else (data,))


def chunks(entry: Entry, begin: int, read: Read) -> Iterator[Buffer]:
    """The contents of a large member in chunks; the last one comes when all are found right.

    Args:
        entry: what the directory says of the member.
        begin: where its compressed bytes begin in the archive's file.
        read: gives the file's bytes.

    Raises:
        DoubtError: the fast inflater fails, or finds other contents; `judged_chunks` does not.
    """
    record = entry.record
    compressed = read_chunks(read, begin, record.compressed_size)
    if record.method == STORED:
        pieces: Iterator[Buffer] = compressed
    else:
        pieces = inflate_fast(compressed)
    crc = size = 0
    for piece in pieces:
        size += len(piece)
        crc = checksums.crc32(piece, crc)
        if size > record.size:
            raise DoubtError
        yield piece
    if (crc, size) != (record.crc, record.size):
        raise DoubtError


class DoubtError(Exception):
    """A large member may be damaged."""


def judged_chunks(judge: Judge, entry: Entry, begin: int, read: Read) -> Iterator[Buffer]:
    """The same as zlib-ng inflates it; so an error in the end is no doubt, but the truth.

    Args:
        judge: is told if they are damaged, and raises.
        entry: what the directory says of the member.
        begin: where its compressed bytes begin in the archive's file.
        read: gives the file's bytes.

    Raises:
        BadArchiveError: the member is damaged.
    """
    record = entry.record
    compressed = read_chunks(read, begin, record.compressed_size)
    if record.method not in (STORED, DEFLATED):
        yield from _decompress(judge, entry, compressed)
        return
    crc = size = 0
    is_sound = record.size > 0  # of nothing, only zlib-ng tells whether the stream is one
    try:
        for piece in compressed if record.method == STORED else _inflate_by_zlib(compressed):
            crc = checksums.crc32(piece, crc)
            size += len(piece)
            if size > record.size:
                break
            yield piece
    except inflating.InflateError:
        is_sound = False
    if not is_sound or (crc, size) != (record.crc, record.size):
        check_contents(judge, entry, read_chunks(read, begin, record.compressed_size))


def _decompress(judge: Judge, entry: Entry, compressed: Iterable[bytes]) -> Iterator[Buffer]:
    """The contents of a member that is neither stored nor deflated; see `judged_chunks`."""
    record = entry.record
    what = f"the data of {entry.name}"
    crc = size = 0
    try:
        has_end = bool(record.flags & FLAG_LZMA_END)
        for piece in others.decompress(record.method, compressed, record.size, has_end):
            crc = checksums.crc32(piece, crc)
            size += len(piece)
            yield piece
    except inflating.StreamEndError as error:
        expected = f"a stream of {record.compressed_size} bytes"
        judge.refuse("stream-end", what, record.offset, expected, str(error), entry.name)
    except ValueError as error:
        expected = f"a stream of {others.NAMES[record.method]}"
        judge.refuse("stream-damaged", what, record.offset, expected, str(error), entry.name)
    refuse_other_contents(judge, entry, crc, size)


def read_chunks(read: Read, begin: int, length: int) -> Iterator[bytes]:
    """A piece of the archive's file, in chunks."""
    for offset in range(begin, begin + length, CHUNK):
        yield read(offset, min(CHUNK, begin + length - offset))


def inflate_fast(compressed: Iterable[Buffer], window: bytes = b"") -> Iterator[Buffer]:
    """The contents of the rest of a deflate stream, in chunks.

    Args:
        compressed: the rest, in chunks.
        window: the last contents before it.

    Raises:
        DoubtError: ISA-L finds that it is no deflate stream.
    """
    stream = inflating.FastInflater(window)
    try:
        for data in compressed:
            while piece := stream.decompress(data, CHUNK):
                yield piece
                data = stream.unconsumed_tail
    except inflating.InflateError as error:
        raise DoubtError from error


def _inflate_by_zlib(compressed: Iterable[bytes]) -> Iterator[Buffer]:
    stream = inflating.StepInflater()
    for data in compressed:
        piece = stream.decompress(data, CHUNK)
        while piece:
            yield piece
            piece = stream.decompress(stream.unconsumed_tail, CHUNK)
