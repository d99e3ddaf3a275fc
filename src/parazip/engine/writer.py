"""Puts records where they belong: offsets, header patching, zip64, central directory.

A part is written as it comes; its offsets are shifted to where it landed. Only here it is known
where that is, so this is where headers of members that are aligned are padded. A member that comes
block by block has a header before its CRC and compressed size are known. On an output that can
seek, the header's place is reserved and filled in afterwards. On one that cannot, the header
announces a data descriptor (APPNOTE 4.3.9) that follows the data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NoReturn

from parazip.errors import OutputError, SourceError
from parazip.format.records import (
    FLAG_DESCRIPTOR,
    LIMIT_32,
    pack_central_header,
    pack_descriptor,
    pack_end_records,
    pack_local_header,
    pad_header,
    shift_offsets,
)
from parazip.format.values import DEFLATED, STORED, Buffer, Record
from parazip.model import Block, Header, Part, Range, Uploaded
from parazip.output.stream import Output
from parazip.sources import files


class ArchiveWriter:
    """Writes one archive: prefix, then parts and cut members in order, then `finish`.

    Attributes:
        aligned: how many members have been placed at a multiple of some number.
        aligned_before: how many of them because they were so in another archive.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._central: list[bytes] = []
        self._opened: _OpenMember | None = None
        self._members = 0
        self.aligned = 0
        self.aligned_before = 0

    @property
    def can_seek(self) -> bool:
        """Whether headers can be filled in after what is behind them."""
        return self._output.seekable

    def write_prefix(self, data: bytes | Range) -> None:
        """Bytes in front of the archive; all offsets count them."""
        self._write_piece(data)

    def write_part(self, part: Part) -> None:
        """A finished part, wherever it came from."""
        output = self._output
        base = output.position
        padding: dict[int, int] = {}
        for piece in _pad_and_join(part.data, base, padding):
            self._write_piece(piece)
        if padding:
            self.aligned += len(padding)
            self.aligned_before += sum(
                isinstance(piece, Header) and piece.is_inherited for piece in part.data
            )
        self._place_headers(part.directory, base, padding)

    def _write_piece(self, piece: Buffer | Range | Uploaded) -> None:
        if isinstance(piece, Range):
            self._output.copy(piece)
        elif isinstance(piece, Uploaded):
            self._output.accept(piece)
        else:
            self._output.write(piece)

    def recall_part(self, part: Part, crc: int, opener: files.Opener = files.open_regular) -> bool:
        """A part that lies in one file as a whole, if it still has the CRC-32 that it had.

        `opener` opens that file.

        Otherwise it is taken back, on an output that can seek, and False is given.
        """
        base = self._output.position
        (data,) = part.data
        assert isinstance(data, Range)
        self._output.hold(1)
        with suppress(SourceError, struct.error):
            if self._output.copy_checked(data, opener) == crc:
                self._place_headers(part.directory, base)
                self._output.let_go()
                return True
        self._output.rewind(base)
        self._output.let_go()
        return False

    def _place_headers(
        self, directory: bytes, base: int, padding: Mapping[int, int] | None = None
    ) -> None:
        placed, count = shift_offsets(directory, base, padding)
        self._central.append(placed)
        self._members += count

    def count_headers(self) -> int:
        """How many pieces of the central directory there are, for `directory_since`."""
        return len(self._central)

    def directory_since(self, headers: int, base: int) -> bytes:
        """The central directory from a number of headers on, offsets relative to `base`.

        `headers` is what `count_headers` gave there.
        """
        return shift_offsets(b"".join(self._central[headers:]), -base)[0]

    def begin_member(self, record: Record, is_wide: bool = False, align: int = 0) -> None:
        """Begins a member that comes block by block.

        CRC, compressed size and offset of `record` are not known yet and filled in here. If it
        `is_wide`, it will take zip64 whatever the size that is told of it. If it is stored, its
        contents begin at a multiple of `align` bytes.
        """
        align = align if record.method == STORED and align > 1 else 0
        opened = _OpenMember(record, self._output, is_wide, align)
        header = opened.header(opened.record)
        self._output.hold(len(header))
        self._output.write(header)
        opened.data_position = self._output.position
        self._opened = opened

    def write_block(self, block: Block) -> None:
        """The next block of the member that was begun."""
        for chunk in block.data:
            self._output.write(chunk)
        if block.sent is not None:
            self._output.accept(block.sent)

    def end_member(
        self, crc: int, must_stay: bool = False, contents: int | None = None
    ) -> int | None:
        """Ends the member that was begun; gives its compressed size in bytes.

        None says that deflate did not make it smaller, on an output that can seek: the member
        is taken back, and the caller puts it in again as stored. Not so if it `must_stay`.

        Args:
            crc: of its contents.
            must_stay: whether it stays as it is even if deflate did not make it smaller.
            contents: how many bytes these are, if not as many as was said when it was begun.
        """
        opened = self._opened
        assert opened is not None
        output = self._output
        size = output.position - opened.data_position
        record = opened.record._replace(crc=crc, compressed_size=size, offset=opened.position)
        if contents is not None:
            record = record._replace(size=contents)
        if output.seekable and record.method == DEFLATED and size >= record.size and not must_stay:
            self.take_back_member()
            return None
        if max(size, record.size) >= LIMIT_32 and not opened.zip64:
            self._refuse_growth(record.name.decode())
        self._opened = None
        if not output.seekable:
            output.write(pack_descriptor(record, opened.zip64))
        else:
            output.patch(opened.position, opened.header(record))
            output.let_go()
        self.aligned += opened.align > 0
        self._central.append(pack_central_header(record))
        self._members += 1
        return size

    def take_back_member(self) -> None:
        """Takes back the member that was begun.

        Raises:
            OutputError: the output cannot seek.
        """
        opened = self._opened
        assert opened is not None
        if not self._output.seekable:
            self._refuse_growth(opened.record.name.decode())
        self._opened = None
        self._output.rewind(opened.position)
        self._output.let_go()

    def _refuse_growth(self, name: str) -> NoReturn:
        raise OutputError(
            f"cannot write {self._output.name}: {name} grew over 4 GiB, and its header is "
            "gone, which has no room for that; write to a file, or choose another level",
            member=name,
        )

    def finish(self, comment: bytes = b"") -> None:
        """Writes the central directory, and the end records with the archive's comment."""
        output = self._output
        begin = output.position
        for chunk in self._central:
            output.write(chunk)
        output.write(pack_end_records(self._members, output.position - begin, begin, comment))
        output.flush()


_LONG = 64 << 10
"""Bytes for which a write of their own costs less than copying them."""


def _pad_and_join(
    data: Iterable[Buffer | Range | Header | Uploaded], begin: int, padding: dict[int, int]
) -> Iterator[Buffer | Range | Uploaded]:
    """The pieces of a part, its headers padded, and what is short joined: each write has its price.

    Args:
        data: the pieces.
        begin: where the part begins in the output.
        padding: is filled in: the bytes that were added, by the offset of their header in `data`.
    """
    position = begin
    added = 0
    short: list[Buffer] = []
    for piece in data:
        if isinstance(piece, Header):
            header = pad_header(piece.data, piece.multiple, position)
            padding[position - begin - added] = len(header) - len(piece)
            added += len(header) - len(piece)
            piece = header
        position += len(piece)
        if not isinstance(piece, Range | Uploaded) and len(piece) < _LONG:
            short.append(piece)
            continue
        if short:
            yield b"".join(short)
            short.clear()
        yield piece
    if short:
        yield b"".join(short)


class _OpenMember:
    """A member whose blocks are being written."""

    def __init__(self, record: Record, output: Output, is_wide: bool, align: int) -> None:
        self.align = align
        self.position = output.position
        self.data_position = 0
        if output.seekable:
            self.zip64 = is_wide or record.size >= LIMIT_32
            self.record = record
        else:
            self.zip64 = is_wide or _find_largest_size(record.size) >= LIMIT_32
            self.record = record._replace(flags=record.flags | FLAG_DESCRIPTOR)

    def header(self, record: Record) -> bytes:
        """Its local file header, of the same length whatever `record` says of CRC and sizes."""
        header = pack_local_header(record, self.zip64)
        return pad_header(header, self.align, self.position) if self.align else header


def _find_largest_size(size: int) -> int:
    """The most bytes that deflate makes of `size` with stored blocks and sync flushes.

    Kept tight: Java's streaming reader expects a descriptor with 64 bits from 4 GiB on and not
    before, whatever the header says.
    """
    return size + size // 2048 + 64
