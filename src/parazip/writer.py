"""Puts records where they belong: offsets, header patching, zip64, central directory.

A part is written as it comes; its offsets are shifted to where it landed. A member that comes
block by block has a header before its CRC and compressed size are known. On an output that can
seek, the header's place is reserved and filled in afterwards. On one that cannot, the header
announces a data descriptor (APPNOTE 4.3.9) that follows the data.
"""

from __future__ import annotations

import struct
from contextlib import suppress

from parazip.errors import OutputError, SourceError
from parazip.format.records import (
    FLAG_DESCRIPTOR,
    LIMIT_32,
    central_header,
    data_descriptor,
    end_records,
    local_header,
    shift,
)
from parazip.model import DEFLATED, Block, Buffer, Part, Range, Record
from parazip.output import Output


class ArchiveWriter:
    """Writes one archive: prefix, then parts and cut members in order, then `finish`."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._central: list[bytes] = []
        self._opened: _OpenMember | None = None
        self._members = 0

    def prefix(self, data: bytes | Range) -> None:
        """Bytes in front of the archive; all offsets count them."""
        self._put(data)

    def part(self, part: Part) -> None:
        """A finished part, wherever it came from."""
        base = self._output.position
        for piece in part.data:
            self._put(piece)
        self._place(part.directory, base)

    def _put(self, piece: Buffer | Range) -> None:
        if isinstance(piece, Range):
            self._output.copy(piece)
        else:
            self._output.write(piece)

    def recall(self, part: Part, crc: int) -> bool:
        """A part that lies in one file as a whole, if it still has the CRC-32 that it had.

        Otherwise it is taken back, on an output that can seek, and False is given.
        """
        base = self._output.position
        (data,) = part.data
        assert isinstance(data, Range)
        with suppress(SourceError, struct.error):
            if self._output.copy_checked(data) == crc:
                self._place(part.directory, base)
                return True
        self._output.rewind(base)
        return False

    def _place(self, directory: bytes, base: int) -> None:
        placed, count = shift(directory, base)
        self._central.append(placed)
        self._members += count

    def mark(self) -> int:
        """A place between members, for `directory_since`."""
        return len(self._central)

    def directory_since(self, mark: int, base: int) -> bytes:
        """The central directory headers of all members since `mark`, offsets relative to `base`."""
        return shift(b"".join(self._central[mark:]), -base)[0]

    def begin(self, record: Record) -> None:
        """Begins a member that comes block by block.

        CRC, compressed size and offset of `record` are not known yet and filled in here.
        """
        opened = _OpenMember(record, self._output)
        self._output.write(local_header(opened.record, opened.zip64))
        opened.data_position = self._output.position
        self._opened = opened

    def block(self, block: Block) -> None:
        """The next block of the member that was begun."""
        for chunk in block.data:
            self._output.write(chunk)

    def end(self, crc: int, is_kept: bool = False) -> int | None:
        """Ends the member that was begun; gives its compressed size in bytes.

        None says that deflate did not make it smaller, on an output that can seek: the member
        is taken back, and the caller puts it in again as stored. Not so if it `is_kept`.
        """
        opened = self._opened
        assert opened is not None
        self._opened = None
        output = self._output
        size = output.position - opened.data_position
        record = opened.record._replace(crc=crc, compressed_size=size, offset=opened.position)
        if not output.seekable:
            if size >= LIMIT_32 and not opened.zip64:
                raise OutputError(
                    f"cannot write {output.name}: {record.name.decode()} grew over 4 GiB when it "
                    "was compressed, and its header is gone; write to a file, or choose another "
                    "level",
                    member=record.name.decode(),
                )
            output.write(data_descriptor(record, opened.zip64))
        elif record.method == DEFLATED and size >= record.size and not is_kept:
            output.rewind(opened.position)
            return None
        else:
            output.patch(opened.position, local_header(record, opened.zip64))
        self._central.append(central_header(record))
        self._members += 1
        return size

    def finish(self, comment: bytes = b"") -> None:
        """Writes the central directory, and the end records with the archive's comment."""
        output = self._output
        begin = output.position
        for chunk in self._central:
            output.write(chunk)
        output.write(end_records(self._members, output.position - begin, begin, comment))
        output.flush()


class _OpenMember:
    """A member whose blocks are being written."""

    def __init__(self, record: Record, output: Output) -> None:
        self.position = output.position
        self.data_position = 0
        if output.seekable:
            self.zip64 = record.size >= LIMIT_32
            self.record = record
        else:
            self.zip64 = _bound(record.size) >= LIMIT_32
            self.record = record._replace(flags=record.flags | FLAG_DESCRIPTOR)


def _bound(size: int) -> int:
    """The most bytes that deflate makes of `size` with stored blocks and sync flushes.

    Kept tight: Java's streaming reader expects a descriptor with 64 bits from 4 GiB on and not
    before, whatever the header says.
    """
    return size + size // 2048 + 64
