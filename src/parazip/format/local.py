"""A member's local record (APPNOTE 4.3.7), held against the central directory.

Who reads an archive from front to back sees local headers and whatever stands between them; who
reads it by its directory sees neither. So a record must say what the directory says, and end where
the next one begins: behind the data there is nothing, or the data descriptor that the header
announces, which must say the same once more. Padding between two records is refused, as a reader
that comes from the front takes it for the archive's end. Behind the last record zeros pass, and an
APK Signing Block: no member is lost behind them.
"""

from __future__ import annotations

import re
import struct

from parazip.format.end import Read
from parazip.format.extra import Where, is_plain, parse_extra, unicode_name, widen
from parazip.format.records import (
    FLAG_DESCRIPTOR,
    FLAG_ENCRYPTED,
    FLAG_UTF8,
    LIMIT_32,
    LOCAL,
    data_descriptors,
)
from parazip.format.refusals import Judge
from parazip.model import Entry, Record

_AGREEING_FLAGS = FLAG_ENCRYPTED | FLAG_DESCRIPTOR | FLAG_UTF8

_SIGNATURE = b"PK\3\4"
_WHAT = "local file header"

_PIECE = 1 << 20
_SHOWN = 64
_MOST_DESCRIPTOR = 24


def data_offset(judge: Judge, entry: Entry, front: bytes, read: Read) -> int:
    """Where the data of a member begins, counted from the start of its file.

    Args:
        judge: is told what is not right: the headers disagree, the data do not end before the next
            record, or something stands between that should not.
        entry: what the central directory says of the member.
        front: the file from the record's offset on, at least its header, as far as the next record.
        read: gives the rest.
    """
    _, (raw, flags, method, _, crc, packed, size, _, offset), end = entry
    if len(front) >= LOCAL.size:
        fields = LOCAL.unpack_from(front)
        signature, _, its_flags, its_method, _, *numbers, name_length, extra_length = fields
        extra_at = LOCAL.size + name_length
        begin: int = offset + extra_at + extra_length
        # All that most records are. What is odd in any way is looked at once more.
        if (
            begin + packed == end
            and numbers == [crc, packed, size]
            and its_flags == flags
            and not flags & FLAG_DESCRIPTOR
            and its_method == method
            and front[LOCAL.size : extra_at] == raw
            and signature == _SIGNATURE
            and (not extra_length or is_plain(front[extra_at : extra_at + extra_length]))
        ):
            return begin
    return _checked_offset(judge, entry, front, read)


def _checked_offset(judge: Judge, entry: Entry, front: bytes, read: Read) -> int:
    name, record, end = entry
    raw, flags, method, _, crc, packed, size, _, offset = record
    if len(front) < LOCAL.size:
        judge.stop("local-header-missing", _WHAT, offset, f"{LOCAL.size} bytes", len(front))
    signature, _, its_flags, its_method, *rest = LOCAL.unpack_from(front)
    _, its_crc, its_packed, its_size, name_length, extra_length = rest
    if signature != _SIGNATURE:
        judge.stop("local-header-missing", _WHAT, offset, _SIGNATURE, signature)
    what = f"{_WHAT} of {name!r}"
    extra_at = LOCAL.size + name_length
    its_name = front[LOCAL.size : extra_at]
    differing = (flags ^ its_flags) & _AGREEING_FLAGS
    if raw.isascii():
        differing &= ~FLAG_UTF8  # it has one meaning
    if its_flags & FLAG_DESCRIPTOR:
        differing &= ~FLAG_DESCRIPTOR  # only who reads the local header looks for a descriptor
    if differing or (its_method, its_name) != (method, raw):
        kind = (flags & _AGREEING_FLAGS, method, raw)
        found = (its_flags & _AGREEING_FLAGS, its_method, its_name)
        expected = f"flags, method and name as in the directory, {kind}"
        judge.refuse("local-header-mismatch", what, offset, expected, found, name)
    begin: int = offset + extra_at + extra_length
    if begin + packed > end:
        expected = f"at most {end - begin} bytes before the next record"
        judge.stop("records-overlap", what, offset, expected, f"{packed} bytes of data", name)
    where = Where(judge, what, offset)
    told = parse_extra(front[extra_at : extra_at + extra_length], where)
    sizes: tuple[int, ...] = (its_size, its_packed)
    unknown = 0 if its_flags & FLAG_DESCRIPTOR else None  # git and bsdtar know just the size
    if told.zip64 is not None:
        sizes = _widened(told.zip64, (its_size, its_packed), (size, packed), unknown == 0, where)
    numbers, its_numbers = (crc, size, packed), (its_crc, *sizes)
    if any(a not in (b, unknown) for a, b in zip(its_numbers, numbers, strict=True)):
        expected = f"CRC and sizes as in the directory, {numbers}"
        judge.refuse("local-sizes-mismatch", what, offset, expected, its_numbers, name)
    if told.unicode_path is not None:
        other = unicode_name(told.unicode_path, raw, where)
        if other is not None and other.rstrip("/") != name.rstrip("/"):
            expected = f"a Unicode path of {name!r}, as in the directory"
            where.refuse("unicode-path-mismatch", expected, other)
    if begin + packed < end or its_flags & FLAG_DESCRIPTOR:

        def read_on(at: int, length: int) -> bytes:
            data = front[at - offset : at - offset + length]
            return data if len(data) == length else read(at, length)

        _check_gap(judge, entry, begin + packed, read_on, bool(its_flags & FLAG_DESCRIPTOR))
    return begin


def _widened(
    field: bytes,
    told: tuple[int, int],
    sizes: tuple[int, int],
    is_unknown: bool,
    where: Where,
) -> tuple[int, ...]:
    """The sizes that a local header tells with the help of its zip64 field (APPNOTE 4.5.3).

    Args:
        field: its data; both sizes should be there as soon as one is saturated.
        told: what stands in the header, the uncompressed one first.
        sizes: what the directory says.
        is_unknown: whether zeros may stand for what the data descriptor will tell.
        where: the header.
    """
    if LIMIT_32 in told and len(field) == 16:
        wide = struct.unpack("<2Q", field)
        if any(a not in (b, LIMIT_32) for a, b in zip(told, wide, strict=True)):
            where.refuse("zip64-field-mismatch", f"a zip64 field of {told}", wide)
        return wide
    if is_unknown and LIMIT_32 not in told:
        if any(field):
            widen(field, sizes, where)
        return told
    return widen(field, told, where)


def _check_gap(judge: Judge, entry: Entry, at: int, read: Read, is_announced: bool) -> None:
    """Refuses what should not stand behind a member's data, with a descriptor announced or not."""
    name, record, end = entry
    what = f"record of {name!r}"
    start = read(at, min(_MOST_DESCRIPTOR, end - at))
    if is_announced:
        descriptors = data_descriptors(record)
        if end - at <= _MOST_DESCRIPTOR and start in descriptors:
            return
        length = next((len(form) for form in descriptors if start.startswith(form)), 0)
        if not length:
            is_there = start.startswith(b"PK\7\x08") or end - at in map(len, descriptors)
            rule = "descriptor-mismatch" if is_there else "descriptor-missing"
            numbers = (record.crc, record.compressed_size, record.size)
            judge.refuse(rule, what, at, f"a data descriptor of {numbers}", start, name)
            return
        at += length
        start = start[length:]
    place = find_record(read, at, end)
    if place is not None:
        expected = "no record that the directory does not list"
        found = read(place, min(_SHOWN, end - place))
        judge.refuse("unlisted-record", what, place, expected, found, name)
    else:
        expected = f"the next record, or the central directory, at {at}"
        judge.refuse("bytes-between-records", what, at, expected, start, name)


_RECORD = re.compile(rb"PK\x03\x04(?=.{4}[\x00-\x63]\x00)", re.DOTALL)
"""How a local record begins, of one of the methods up to 99 (4.4.5); the version is not asked."""


def find_record(read: Read, begin: int, end: int) -> int | None:
    """Where the first whole local record begins in a piece of a file, if there is any.

    The signature alone is none: programs that read archives have it in themselves, and such a
    program is what stands in front of a self-extracting archive.
    """
    while begin < end:
        piece = read(begin, min(_PIECE, end - begin))
        for match in _RECORD.finditer(piece):
            if _is_record(read, begin + match.start(), end):
                return begin + match.start()
        if begin + len(piece) >= end or len(piece) < LOCAL.size:
            return None
        begin += len(piece) - LOCAL.size
    return None


def _is_record(read: Read, at: int, end: int) -> bool:
    """Whether a local record could stand there and end before `end`."""
    header = read(at, min(LOCAL.size, end - at))
    if len(header) < LOCAL.size:
        return False
    _, _, flags, _, _, _, packed, _, name_length, extra_length = LOCAL.unpack(header)
    needed = LOCAL.size + name_length + extra_length
    needed += 0 if flags & FLAG_DESCRIPTOR or packed == LIMIT_32 else packed  # told elsewhere
    if at + needed > end or not name_length:
        return False
    return b"\0" not in read(at + LOCAL.size, name_length)


def end_of_last(record: Record, begin: int, read: Read) -> int:
    """Where the last record has to end at most, so that what stands behind it is no member's.

    That is an APK Signing Block right before the central directory, and zeros before either.

    Args:
        record: what the directory says of the member whose record is the last.
        begin: where the directory begins.
        read: gives the file.
    """
    end = _signing_block(begin, read)
    header = read(record.offset, LOCAL.size)
    if len(header) < LOCAL.size or not header.startswith(_SIGNATURE):
        return end
    at = record.offset + LOCAL.size + sum(LOCAL.unpack(header)[-2:]) + record.compressed_size
    start = read(at, min(_MOST_DESCRIPTOR, end - at)) if at < end else b""
    if LOCAL.unpack(header)[2] & FLAG_DESCRIPTOR:
        at += next((len(form) for form in data_descriptors(record) if start.startswith(form)), 0)
    last: int = at
    while at < end:
        piece = read(at, min(_PIECE, end - at))
        if not piece or piece.strip(b"\0"):
            return end
        at += len(piece)
    return min(last, end)


_MAGIC = b"APK Sig Block 42"
_BLOCK_END = struct.Struct("<Q16s")


def _signing_block(begin: int, read: Read) -> int:
    """Where the APK Signing Block begins that ends at `begin`; `begin` if there is none.

    Android describes it (source.android.com/docs/security/features/apksigning/v2): its length in 8
    bytes without these, pairs of a length and so many bytes, the length once more, and a magic.
    """
    if begin < _BLOCK_END.size + 8:
        return begin
    # What has been cut off meanwhile has no such block; that it was is noticed by who reads it.
    found = read(begin - _BLOCK_END.size, _BLOCK_END.size)
    length, magic = _BLOCK_END.unpack(found.ljust(_BLOCK_END.size, b"\0"))
    start: int = begin - length - 8
    if magic != _MAGIC or length < _BLOCK_END.size or start < 0:
        return begin
    at, end = start + 8, begin - _BLOCK_END.size
    if read(start, 8) != length.to_bytes(8, "little"):
        return begin
    while at + 8 <= end:
        at += 8 + int.from_bytes(read(at, 8), "little")
    if at != end or find_record(read, start, begin) is not None:
        return begin
    return start
