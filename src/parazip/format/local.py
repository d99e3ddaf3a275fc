"""A member's local record (APPNOTE 4.3.7), held against the central directory.

A reader that goes from the first byte to the last sees local headers and whatever stands between
them. One that goes by the directory sees neither. So a record must say what the directory says, and
end where the next one begins. Behind the data there is nothing, or the data descriptor that the
header announces, which must say the same once more. Padding between two records is refused, as a
reader from the first byte on takes it for the archive's end. Zeros and an APK Signing Block may
stand behind the last record: no member is lost behind them.
"""

from __future__ import annotations

import struct
from binascii import crc32
from typing import NamedTuple

from parazip.format.end import Read
from parazip.format.extra import (
    ExtraFields,
    HeaderJudge,
    check_kinds,
    decode_unicode_path,
    has_field,
    is_plain,
    parse_extra,
    resolve_zip64,
)
from parazip.format.prefix import find_record, find_signature
from parazip.format.records import (
    DESCRIPTOR_SIGNATURE,
    FLAG_DESCRIPTOR,
    FLAG_LEVEL,
    FLAG_UTF8,
    LIMIT_32,
    LOCAL,
    ZIP64_TAG,
    list_descriptor_forms,
)
from parazip.format.refusals import Judge
from parazip.format.values import DEFLATED, STORED, Entry, Record

_SIGNATURE = b"PK\3\4"
_HEADER = "local file header"

_PIECE = 1 << 20
"""Bytes that are searched at a time."""
_SHOWN = 64
"""Bytes of an unlisted record that a message shows."""
_BEGIN_OF_DESCRIPTOR, _MOST_DESCRIPTOR = 8, 24
_CRC = struct.Struct("<I")
_DESCRIPTOR_LENGTHS = (12, 16, 20, 24)
_UNUSED_FLAG = 1 << 15


class _Header(NamedTuple):
    """The fields of a local file header, in their order (4.3.7)."""

    signature: bytes
    version: int
    flags: int
    method: int
    date: int
    crc: int
    compressed_size: int
    size: int
    name_length: int
    extra_length: int


def find_data_offset(judge: Judge, entry: Entry, start: bytes, read: Read) -> int:
    """Where the data of a member begins, counted from the start of its file.

    Args:
        judge: is told what is not right: the headers disagree, the data do not end before the next
            record, or something stands between that should not.
        entry: what the central directory says of the member.
        start: the file from the record's offset on, at least its header, as far as the next record.
        read: gives the rest.
    """
    _, (raw, flags, method, _, crc, compressed_size, size, _, offset), end = entry
    if len(start) >= LOCAL.size:
        fields = LOCAL.unpack_from(start)
        signature, _, its_flags, its_method, _, *numbers, name_length, extra_length = fields
        extra_at = LOCAL.size + name_length
        begin: int = offset + extra_at + extra_length
        # All that most records are. What is odd in any way is looked at once more.
        if (
            begin + compressed_size == end
            and numbers == [crc, compressed_size, size]
            and its_flags == flags
            and not flags & FLAG_DESCRIPTOR
            and its_method == method
            and start[LOCAL.size : extra_at] == raw
            and signature == _SIGNATURE
            and (not extra_length or is_plain(start[extra_at : extra_at + extra_length]))
        ):
            return begin
    return _find_checked_offset(judge, entry, start, read)


def _find_checked_offset(judge: Judge, entry: Entry, start: bytes, read: Read) -> int:
    """The same for any record, field by field."""
    name, record, end = entry
    offset, compressed_size = record.offset, record.compressed_size
    if len(start) < LOCAL.size:
        judge.stop("local-header-missing", _HEADER, offset, f"{LOCAL.size} bytes", len(start))
    header = _Header(*LOCAL.unpack_from(start))
    if header.signature != _SIGNATURE:
        judge.stop("local-header-missing", _HEADER, offset, _SIGNATURE, header.signature)
    header_judge = HeaderJudge(judge, f"{_HEADER} of {name!r}", offset)
    extra_at = LOCAL.size + header.name_length
    _check_fields(header_judge, entry, header, start[LOCAL.size : extra_at])
    begin: int = offset + extra_at + header.extra_length
    if begin + compressed_size > end:
        expected = f"at most {end - begin} bytes before the next record"
        found = f"{compressed_size} bytes of data"
        judge.stop("records-overlap", header_judge.record, offset, expected, found, name)
    extra_fields = parse_extra(start[extra_at : extra_at + header.extra_length], header_judge)
    _check_numbers(header_judge, entry, header, extra_fields.zip64)
    _check_extra_fields(header_judge, entry, header, extra_fields)
    has_descriptor = bool(header.flags & FLAG_DESCRIPTOR)
    if begin + compressed_size < end or has_descriptor:

        def read_on(at: int, length: int) -> bytes:
            data = start[at - offset : at - offset + length]
            return data if len(data) == length else read(at, length)

        forms: list[bytes] = []
        if has_descriptor:
            forms = list_descriptor_forms(record, extra_fields.zip64 is not None)
            if record.method == STORED:
                _check_inside(judge, entry, begin, read_on)
        _check_gap(judge, entry, begin + compressed_size, read_on, forms)
    return begin


def _check_fields(header_judge: HeaderJudge, entry: Entry, header: _Header, raw: bytes) -> None:
    """Refuses flags, a method or a name that are not the directory's."""
    name, record, _ = entry
    ignored = _UNUSED_FLAG  # 7-Zip drops the contents if others differ
    if record.method == DEFLATED:
        ignored |= FLAG_LEVEL
    if record.name.isascii():
        ignored |= FLAG_UTF8  # the name has one meaning
    if header.flags & FLAG_DESCRIPTOR:
        ignored |= FLAG_DESCRIPTOR  # only who reads the local header looks for a descriptor
    is_other = (record.flags ^ header.flags) & ~ignored
    if is_other or (header.method, raw) != (record.method, record.name):
        expected = (record.flags, record.method, record.name)
        header_judge.refuse(
            "local-header-mismatch",
            f"flags, method and name as in the directory, {expected}",
            (header.flags, header.method, raw),
            name,
        )


def _check_numbers(
    header_judge: HeaderJudge, entry: Entry, header: _Header, zip64: bytes | None
) -> None:
    """Refuses a CRC or sizes that are not the directory's."""
    name, record, _ = entry
    # Where a data descriptor follows, zeros mean "not known yet"; git and bsdtar know the size.
    unknown = 0 if header.flags & FLAG_DESCRIPTOR else None
    sizes: tuple[int, ...] = (header.size, header.compressed_size)
    if zip64 is not None:
        in_directory = (record.size, record.compressed_size)
        sizes = _widen_sizes(
            zip64, (header.size, header.compressed_size), in_directory, unknown == 0, header_judge
        )
    numbers = (record.crc, record.size, record.compressed_size)
    its_numbers = (header.crc, *sizes)
    if any(a not in (b, unknown) for a, b in zip(its_numbers, numbers, strict=True)):
        expected = f"CRC and sizes as in the directory, {numbers}"
        header_judge.refuse("local-sizes-mismatch", expected, its_numbers, name)


def _check_extra_fields(
    header_judge: HeaderJudge, entry: Entry, header: _Header, extra_fields: ExtraFields
) -> None:
    """Refuses extra fields that give the member another name or kind than the directory does."""
    name, record, _ = entry
    if extra_fields.unicode_path is not None:
        other = decode_unicode_path(extra_fields.unicode_path, record.name, header_judge)
        if other is not None and other.rstrip("/") != name.rstrip("/"):
            expected = f"a Unicode path of {name!r}, as in the directory"
            header_judge.refuse("unicode-path-mismatch", expected, other)
    if extra_fields.kinds and record.name[-1:] != b"/":
        check_kinds(header_judge, extra_fields.kinds, header.version >> 8, record.attributes)


def _check_inside(judge: Judge, entry: Entry, begin: int, read: Read) -> None:
    """Refuses a data descriptor in stored contents that is true of what stands in front of it.

    A reader of a stream has nothing else to know by where the contents end, and libarchive compares
    no more of it than the CRC-32.
    """
    crc, at = 0, begin
    end = begin + entry.record.compressed_size + _BEGIN_OF_DESCRIPTOR - 1
    while at < end:
        piece = read(at, min(_PIECE, end - at))
        view, counted = memoryview(piece), 0
        last = len(piece) - _BEGIN_OF_DESCRIPTOR
        place = piece.find(DESCRIPTOR_SIGNATURE)
        while 0 <= place <= last:
            crc, counted = crc32(view[counted:place], crc), place
            if _CRC.unpack_from(piece, place + 4)[0] == crc:
                record = f"record of {entry.name!r}"
                expected = "the data descriptor behind it alone"
                judge.refuse("two-descriptors", record, at + place, expected, "another", entry.name)
                return
            place = piece.find(DESCRIPTOR_SIGNATURE, place + 1)
        if at + len(piece) >= end or last < 0:
            return
        crc = crc32(view[counted : last + 1], crc)
        at += last + 1


def _widen_sizes(
    field: bytes,
    sizes: tuple[int, int],
    in_directory: tuple[int, int],
    may_be_unknown: bool,
    header_judge: HeaderJudge,
) -> tuple[int, ...]:
    """The sizes in a local header that has a zip64 field (APPNOTE 4.5.3).

    Args:
        field: its data; both sizes should be there as soon as one is saturated.
        sizes: what stands in the header, the uncompressed one first.
        in_directory: what the directory says.
        may_be_unknown: whether zeros may stand for what the data descriptor has.
        header_judge: is told what is not right.
    """
    if LIMIT_32 in sizes and len(field) == 16:
        wide = struct.unpack("<2Q", field)
        if any(a not in (b, LIMIT_32) for a, b in zip(sizes, wide, strict=True)):
            header_judge.refuse("zip64-field-mismatch", f"a zip64 field of {sizes}", wide)
        return wide
    if may_be_unknown and LIMIT_32 not in sizes:
        if any(field):
            resolve_zip64(field, in_directory, header_judge)
        return sizes
    return resolve_zip64(field, sizes, header_judge)


def _check_gap(judge: Judge, entry: Entry, at: int, read: Read, forms: list[bytes]) -> None:
    """Refuses what should not stand behind a member's data.

    Args:
        judge: is told of it.
        entry: the member.
        at: where its data end.
        read: gives the file.
        forms: of the data descriptor that must be there; none if it is not announced.
    """
    name, record, end = entry
    record_name = f"record of {name!r}"
    start = read(at, min(_MOST_DESCRIPTOR, end - at))
    if forms:
        if end - at <= _MOST_DESCRIPTOR and start in forms:
            return
        length = next((len(form) for form in forms if start.startswith(form)), 0)
        if not length:
            is_there = start.startswith(DESCRIPTOR_SIGNATURE) or end - at in _DESCRIPTOR_LENGTHS
            rule = "descriptor-mismatch" if is_there else "descriptor-missing"
            numbers = (record.crc, record.compressed_size, record.size)
            lengths = " or ".join(str(len(form)) for form in forms)
            expected = f"a data descriptor of {numbers} in {lengths} bytes"
            judge.refuse(rule, record_name, at, expected, start, name)
            return
        at += length
        start = start[length:]
    place = find_record(read, at, end)
    if place is not None:
        expected = "no record that the directory does not list"
        found = read(place, min(_SHOWN, end - place))
        judge.refuse("unlisted-record", record_name, place, expected, found, name)
    else:
        expected = f"the next record, or the central directory, at {at}"
        judge.refuse("bytes-between-records", record_name, at, expected, start, name)


def find_end_of_last(record: Record, begin: int, read: Read) -> int:
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
    _, _, flags, *_, name_length, extra_length = LOCAL.unpack(header)
    extra_at = record.offset + LOCAL.size + name_length
    at = extra_at + extra_length + record.compressed_size
    if flags & FLAG_DESCRIPTOR and at < end:
        forms = list_descriptor_forms(record, has_field(read(extra_at, extra_length), ZIP64_TAG))
        start = read(at, min(_MOST_DESCRIPTOR, end - at))
        at += next((len(form) for form in forms if start.startswith(form)), 0)
    last: int = at
    while at < end:
        piece = read(at, min(_PIECE, end - at))
        if not piece or piece.strip(b"\0"):
            return end
        at += len(piece)
    return min(last, end)


_MAGIC = b"APK Sig Block 42"
_BLOCK_END = struct.Struct("<Q16s")
_MOST_PAIRS = 1 << 12
"""Pairs in a signing block. There are some ten; each costs a read."""


def _signing_block(begin: int, read: Read) -> int:
    """Where the APK Signing Block begins that ends at `begin`; `begin` if there is none.

    Android describes it (source.android.com/docs/security/features/apksigning/v2): its length in 8
    bytes without these, pairs of a length and so many bytes, the length once more, and a magic.
    """
    if begin < _BLOCK_END.size + 8:
        return begin
    # A file that was cut off meanwhile has no such block. Whoever reads on will notice the cut.
    found = read(begin - _BLOCK_END.size, _BLOCK_END.size)
    length, magic = _BLOCK_END.unpack(found.ljust(_BLOCK_END.size, b"\0"))
    start: int = begin - length - 8
    if magic != _MAGIC or length < _BLOCK_END.size or start < 0:
        return begin
    at, end = start + 8, begin - _BLOCK_END.size
    if read(start, 8) != length.to_bytes(8, "little"):
        return begin
    for _ in range(_MOST_PAIRS):
        if at + 8 > end:
            break
        at += 8 + int.from_bytes(read(at, 8), "little")
    # A reader of a stream goes on looking for records here, and takes any signature for one.
    if at != end or find_signature(read, start, begin) is not None:
        return begin
    return start
