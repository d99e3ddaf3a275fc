"""The contents of a member that is more than its share of the work, inflated on all cores.

The stretches of a member that parazip has cut are inflated side by side. What is no stretch, as all
of a member that others have made, is inflated by one thread while another one writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from parazip.codecs import checksums
from parazip.codecs.sizes import RESTART, WINDOW
from parazip.extraction.contents import CHUNK, DoubtError, inflate_fast, read_chunks
from parazip.extraction.stretches import inflate_stretches
from parazip.format.end import Read
from parazip.format.values import STORED, Buffer, Entry
from parazip.workers.line import Line


def chunks(entry: Entry, begin: int, read: Read, line: Line) -> Iterator[Buffer]:
    """The contents of a large member in chunks; the last one comes when all are found right.

    Args:
        entry: what the directory says of the member.
        begin: where its compressed bytes begin in the archive's file.
        read: gives the file's bytes, to any thread.
        line: who inflates.

    Raises:
        DoubtError: the member may be damaged.
    """
    record = entry.record
    crc = size = 0
    window = b""
    end = begin + record.compressed_size
    if record.method != STORED:
        source = _Bytes(begin, end, read)
        with closing(inflate_stretches(source, end - begin, record.size, line)) as stretches:
            for length, stretch in stretches:
                begin += length
                size += RESTART
                crc = checksums.crc32_combine(crc, stretch.crc, RESTART)
                for contents in filter(None, stretch.pieces):
                    window = (window + contents[-WINDOW:])[-WINDOW:]
                    yield contents
    rest: Iterator[Buffer] = read_chunks(read, begin, end - begin)
    if record.method != STORED:
        rest = inflate_fast(rest, window)
    for piece in _ahead(rest):
        crc = checksums.crc32(piece, crc)
        size += len(piece)
        if size > record.size:
            raise DoubtError
        yield piece
    if (crc, size) != (record.crc, record.size):
        raise DoubtError


class _Bytes:
    """A piece of the archive, from front to back."""

    def __init__(self, begin: int, end: int, read: Read) -> None:
        self._at = begin
        self._end = end
        self._read = read

    def read(self, size: int, /) -> bytes:
        """The next bytes; none at the end."""
        data = self._read(self._at, min(size, self._end - self._at))
        self._at += len(data)
        return data


def _ahead(chunks: Iterator[Buffer]) -> Iterator[Buffer]:
    """The same chunks; the next one is made by another thread while one is used."""

    def take_next(_: None) -> Buffer | None:
        return next(chunks, None)

    line = Line(1, 4 * CHUNK)
    with line.open_lane(take_next, cost=lambda _: CHUNK, weight=lambda _: CHUNK) as lane:
        # Never more than one at once: the line has one thread.
        lane.put(None)
        lane.put(None)
        for _, chunk in lane.take_all():
            if chunk is None:
                return
            lane.put(None)
            yield chunk
