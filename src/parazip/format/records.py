"""The records of a zip archive as bytes (APPNOTE 6.3.10, section 4.3).

A size or an offset of 0xFFFFFFFF announces a zip64 extra field (4.4.8), so that very value does
not fit into 32 bits any more; 65,535 members do fit into 16, and readers that know no zip64
(zipimport before Python 3.13) open such an archive only without it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Protocol

from parazip.errors import SettingsError
from parazip.format.values import STORED, Record

FLAG_ENCRYPTED = 1 << 0 | 1 << 6
"""Encryption, and strong encryption (APPNOTE 4.4.4)."""
FLAG_LEVEL = 1 << 1 | 1 << 2
"""How hard a deflated member was compressed."""
FLAG_LZMA_END = 1 << 1
"""For LZMA the lower of the two says whether a mark ends the stream (4.4.4)."""
FLAG_DESCRIPTOR = 1 << 3
FLAG_PATCH = 1 << 5
FLAG_UTF8 = 1 << 11
ATTRIBUTE_FOLDER = 0x10
"""The MS-DOS directory bit of the external attributes (APPNOTE 4.4.15)."""

MAX_NAME = 0xFFFF
LIMIT_32 = 0xFFFFFFFF
LIMIT_16 = 0xFFFF

_VERSION = 20
_VERSION_ZIP64 = 45
_UNIX = 3 << 8
ZIP64_TAG = 0x0001

ALIGN_TAG = 0xD935
"""The extra field by which Android's apksigner and zipalign pad (APPNOTE has no word of it): the
multiple that the contents begin at, in 16 bits, and as many zeros as that takes."""
MOST_ALIGN = 1 << 15
"""The largest power of two for which padding always fits into an extra field of 65,535 bytes."""

LOCAL = struct.Struct("<4s3H4I2H")
CENTRAL = struct.Struct("<4s4H4I5H2I")
_LOCAL_EXTRA_LENGTH = struct.Struct("<H")
_LOCAL_EXTRA_LENGTH_AT = 28
_CENTRAL_LENGTHS_AND_OFFSET = struct.Struct("<2H10xI")
_CENTRAL_LENGTHS_AT = 28
_CENTRAL_OFFSET = struct.Struct("<I")
_CENTRAL_OFFSET_AT = 42
END = struct.Struct("<4s4H2IH")
ZIP64_END = struct.Struct("<4sQ2H2I4Q")
ZIP64_LOCATOR = struct.Struct("<4sIQI")
DESCRIPTOR_SIGNATURE = b"PK\7\x08"
_DESCRIPTOR = struct.Struct("<4s3I")
_ZIP64_DESCRIPTOR = struct.Struct("<4sI2Q")
_ZIP64_SIZES = struct.Struct("<2H2Q")
_ALIGN = struct.Struct("<3H")
_ALIGN_TAG_BYTES = struct.pack("<H", ALIGN_TAG)


class Described(Protocol):
    """A member, as far as its headers tell of it before it is compressed."""

    @property
    def name(self) -> str:
        """Its name, with `/` between folders."""

    @property
    def attributes(self) -> int:
        """The external attributes (4.4.15)."""

    @property
    def date(self) -> int:
        """Its date and time, as `pack_dos_date` gives them."""

    @property
    def size(self) -> int:
        """Its uncompressed size in bytes."""


def make_record(
    member: Described, method: int, crc: int, compressed_size: int, offset: int
) -> Record:
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


def pack_local_header(record: Record, zip64: bool) -> bytes:
    """A local file header with its name (APPNOTE 4.3.7).

    `zip64` reserves the extra field with both sizes, which must be there as soon as one of the
    two does not fit (4.5.3), and may be there while they are not known yet. Where a data
    descriptor follows, CRC and sizes are zero (4.4.4, bit 3).
    """
    name, flags, method, date, crc, compressed_size, size, _, _ = record
    if flags & FLAG_DESCRIPTOR:
        crc = compressed_size = size = 0
    if not zip64:
        fixed = LOCAL.pack(
            b"PK\3\4", _VERSION, flags, method, date, crc, compressed_size, size, len(name), 0
        )
        return fixed + name
    extra = _ZIP64_SIZES.pack(ZIP64_TAG, 16, size, compressed_size)
    fixed = LOCAL.pack(
        b"PK\3\4", _VERSION_ZIP64, flags, method, date, crc, LIMIT_32, LIMIT_32, len(name), 20
    )
    return fixed + name + extra


def pack_headers(
    member: Described, method: int, crc: int, compressed_size: int, size: int, offset: int
) -> tuple[bytes, bytes]:
    """Local file header and central directory header of a member where all numbers fit.

    They are what `pack_local_header` and `pack_central_header` make of its record, in a third of
    the time.
    """
    name, attributes = member.name, member.attributes
    raw = name.encode()
    flags = 0 if len(raw) == len(name) else FLAG_UTF8
    numbers = (flags, method, member.date, crc, compressed_size, size, len(raw), 0)
    made_by = _UNIX | _VERSION
    return (
        LOCAL.pack(b"PK\3\4", _VERSION, *numbers) + raw,
        CENTRAL.pack(b"PK\1\2", made_by, _VERSION, *numbers, 0, 0, 0, attributes, offset) + raw,
    )


def check_align(name: str, multiple: int) -> None:
    """Refuses what contents cannot be aligned to.

    Raises:
        SettingsError: it is no power of two, or more than `MOST_ALIGN`.
    """
    if not 0 < multiple <= MOST_ALIGN or multiple & (multiple - 1):
        raise SettingsError(
            f"cannot align {name} to {multiple} bytes: it has to be a power of two from 1 to "
            f"{MOST_ALIGN:,}, as padding goes into the extra field of a header"
        )


def parse_alignment(extra: bytes) -> int:
    """The multiple that a padding field asks for; 0 if there is none, or none that we write.

    Args:
        extra: the extra fields of a local header (4.5.1).
    """
    at = extra.find(_ALIGN_TAG_BYTES)  # most have other fields, if any
    if at < 0:
        return 0
    at = 0
    while at + _ALIGN.size <= len(extra):
        tag, size, multiple = _ALIGN.unpack_from(extra, at)
        if tag == ALIGN_TAG and size >= 2:
            is_ours = 1 < multiple <= MOST_ALIGN and not multiple & (multiple - 1)
            return multiple if is_ours else 0
        at += 4 + size
    return 0


def pad_header(header: bytes, multiple: int, position: int) -> bytes:
    """A local file header that is padded, so that what follows begins at a multiple.

    The padding field is there even where nothing is lacking: it tells tools that write the archive
    anew, such as apksigner, what they have to keep.

    Args:
        header: as `pack_local_header` and `pack_headers` make it.
        multiple: of how many bytes; a power of two up to `MOST_ALIGN`.
        position: where the header will begin, counted from the start of the file.
    """
    padding = -(position + len(header) + _ALIGN.size) % multiple
    at = _LOCAL_EXTRA_LENGTH_AT
    (length,) = _LOCAL_EXTRA_LENGTH.unpack_from(header, at)
    length = _LOCAL_EXTRA_LENGTH.pack(length + _ALIGN.size + padding)
    field = _ALIGN.pack(ALIGN_TAG, 2 + padding, multiple) + bytes(padding)
    return header[:at] + length + header[at + len(length) :] + field


def pack_descriptor(record: Record, zip64: bool) -> bytes:
    """The CRC and sizes that follow a member's data (APPNOTE 4.3.9), with their signature."""
    shape = _ZIP64_DESCRIPTOR if zip64 else _DESCRIPTOR
    return shape.pack(DESCRIPTOR_SIGNATURE, record.crc, record.compressed_size, record.size)


def list_descriptor_forms(record: Record, zip64: bool) -> list[bytes]:
    """The forms of a member's data descriptor, with a signature and without.

    The signature came into use without being in the standard (4.3.9.3). It must be there where a
    CRC-32 would be taken for it, and behind stored contents, whose end nothing else tells.

    Args:
        record: what the directory says of the member.
        zip64: whether a zip64 field of the local header announces numbers of 64 bits (4.3.9.2).
            Not all writers have one for what is larger than 32 bits.
    """
    form = pack_descriptor(record, zip64 or max(record.compressed_size, record.size) > LIMIT_32)
    if record.method == STORED or form.startswith(DESCRIPTOR_SIGNATURE, 4):
        return [form]
    return [form, form[4:]]


def pack_central_header(record: Record) -> bytes:
    """A file header of the central directory (APPNOTE 4.3.12); zip64 just for what needs it."""
    name, flags, method, date, crc, compressed_size, size, attributes, offset = record
    extra = b""
    version = _VERSION
    if size >= LIMIT_32 or compressed_size >= LIMIT_32 or offset >= LIMIT_32:
        wide = [value for value in (size, compressed_size, offset) if value >= LIMIT_32]
        extra = struct.pack(f"<2H{len(wide)}Q", ZIP64_TAG, 8 * len(wide), *wide)
        version = _VERSION_ZIP64
        size, compressed_size, offset = (
            min(value, LIMIT_32) for value in (size, compressed_size, offset)
        )
    fixed = CENTRAL.pack(
        b"PK\1\2",
        _UNIX | version,
        version,
        flags,
        method,
        date,
        crc,
        compressed_size,
        size,
        len(name),
        len(extra),
        0,
        0,
        0,
        attributes,
        offset,
    )
    return fixed + name + extra


def shift_offsets(
    directory: bytes, base: int, padding: Mapping[int, int] | None = None
) -> tuple[bytes, int]:
    """The headers of a directory with `base` added to each offset; and how many they are.

    An offset that does not fit into 32 bits any more moves into a zip64 extra field.

    Args:
        directory: headers as `pack_central_header` makes them, offsets in ascending order.
        base: is added to each of them.
        padding: bytes by which a member has become longer, by its offset in `directory`; they are
            added to the offsets of all that follow it.
    """
    headers = bytearray(directory)
    position = count = 0
    end = len(headers)
    to_add = base
    while position < end:
        name_length, extra_length, offset = _CENTRAL_LENGTHS_AND_OFFSET.unpack_from(
            headers, position + _CENTRAL_LENGTHS_AT
        )
        if extra_length or offset + to_add >= LIMIT_32:
            return _shift_wide(directory, base, padding or {})
        _CENTRAL_OFFSET.pack_into(headers, position + _CENTRAL_OFFSET_AT, offset + to_add)
        if padding:
            to_add += padding.get(offset, 0)
        position += CENTRAL.size + name_length
        count += 1
    return bytes(headers), count


def _shift_wide(directory: bytes, base: int, padding: Mapping[int, int]) -> tuple[bytes, int]:
    headers = []
    position = 0
    while position < len(directory):
        record, length = parse_central_header(directory, position)
        headers.append(pack_central_header(record._replace(offset=record.offset + base)))
        base += padding.get(record.offset, 0)
        position += length
    return b"".join(headers), len(headers)


def parse_central_header(directory: bytes, position: int) -> tuple[Record, int]:
    """The record that `pack_central_header` packed at `position`, and the bytes that it takes."""
    fields = CENTRAL.unpack_from(directory, position)
    flags, method, date, crc, compressed_size, size, name_length, extra_length = fields[3:11]
    attributes, offset = fields[14:]
    begin = position + CENTRAL.size
    name = directory[begin : begin + name_length]
    extra = directory[begin + name_length : begin + name_length + extra_length]
    wide = iter(struct.unpack(f"<{len(extra[4:]) // 8}Q", extra[4:]))
    size, compressed_size, offset = (
        next(wide) if value == LIMIT_32 else value for value in (size, compressed_size, offset)
    )
    record = Record(name, flags, method, date, crc, compressed_size, size, attributes, offset)
    return record, CENTRAL.size + name_length + extra_length


def pack_end_records(count: int, size: int, offset: int, comment: bytes = b"") -> bytes:
    """What closes an archive: the EOCD, and before it its zip64 twin where that is needed.

    Args:
        count: members in the central directory.
        size: bytes of the central directory.
        offset: where the central directory begins, counted from the start of the output.
        comment: the archive's (4.3.16), at most 65,535 bytes.
    """
    zip64 = b""
    if count > LIMIT_16 or size >= LIMIT_32 or offset >= LIMIT_32:
        zip64 = ZIP64_END.pack(
            b"PK\6\6",
            ZIP64_END.size - 12,  # the size without this field and what stands before it
            _UNIX | _VERSION_ZIP64,
            _VERSION_ZIP64,
            0,
            0,
            count,
            count,
            size,
            offset,
        ) + ZIP64_LOCATOR.pack(b"PK\6\7", 0, offset + size, 1)
    count = min(count, LIMIT_16)
    end = END.pack(
        b"PK\5\6",
        0,
        0,
        count,
        count,
        min(size, LIMIT_32),
        min(offset, LIMIT_32),
        len(comment),
    )
    return zip64 + end + comment


def pack_dos_date(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    """Date and time in MS-DOS format (APPNOTE 4.4.6), date in the high half; odd seconds sink.

    The caller has checked that the year is one of 1980 to 2107.
    """
    date = (year - 1980) << 9 | month << 5 | day
    return date << 16 | hour << 11 | minute << 5 | second >> 1
