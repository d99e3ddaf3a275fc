"""A member's local record (APPNOTE 4.3.7), held against the central directory.

Who reads an archive from front to back sees local headers and whatever stands between them; who
reads it by its directory sees neither. So a record must say what the directory says, and end where
the next one begins: behind the data there is nothing, or the data descriptor that the header
announces, which must say the same once more. Padding between two records is refused, as a reader
that comes from the front takes it for the archive's end. Behind the last record zeros pass, and an
APK Signing Block: no member is lost behind them.
"""

from __future__ import annotations

import struct
from binascii import crc32

from parazip.format.end import Read
from parazip.format.extra import (
    Where,
    check_kinds,
    has_field,
    is_plain,
    parse_extra,
    unicode_name,
    widen,
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
    data_descriptors,
)
from parazip.format.refusals import Judge
from parazip.format.values import DEFLATED, STORED, Entry, Record

_SIGNATURE = b"PK\3\4"
_WHAT = "local file header"

_PIECE = 1 << 20
_SHOWN = 64
_BEGIN_OF_DESCRIPTOR, _MOST_DESCRIPTOR = 8, 24
_CRC = struct.Struct("<I")
_DESCRIPTOR_LENGTHS = (12, 16, 20, 24)
_UNUSED_FLAG = 1 << 15


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
    signature, version, its_flags, its_method, *rest = LOCAL.unpack_from(front)
    _, its_crc, its_packed, its_size, name_length, extra_length = rest
    if signature != _SIGNATURE:
        judge.stop("local-header-missing", _WHAT, offset, _SIGNATURE, signature)
    what = f"{_WHAT} of {name!r}"
    extra_at = LOCAL.size + name_length
    its_name = front[LOCAL.size : extra_at]
    differing = (flags ^ its_flags) & ~_UNUSED_FLAG  # 7-Zip drops the contents if others differ
    if method == DEFLATED:
        differing &= ~FLAG_LEVEL
    if raw.isascii():
        differing &= ~FLAG_UTF8  # it has one meaning
    if its_flags & FLAG_DESCRIPTOR:
        differing &= ~FLAG_DESCRIPTOR  # only who reads the local header looks for a descriptor
    if differing or (its_method, its_name) != (method, raw):
        kind, found = (flags, method, raw), (its_flags, its_method, its_name)
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
    if told.kinds and raw[-1:] != b"/":
        check_kinds(where, told.kinds, version >> 8, record.attributes)
    if begin + packed < end or its_flags & FLAG_DESCRIPTOR:

        def read_on(at: int, length: int) -> bytes:
            data = front[at - offset : at - offset + length]
            return data if len(data) == length else read(at, length)

        forms: list[bytes] = []
        if its_flags & FLAG_DESCRIPTOR:
            forms = data_descriptors(record, told.zip64 is not None)
            if method == STORED:
                _check_inside(judge, entry, begin, read_on)
        _check_gap(judge, entry, begin + packed, read_on, forms)
    return begin


def _check_inside(judge: Judge, entry: Entry, begin: int, read: Read) -> None:
    """Refuses a data descriptor in stored contents that is true of what stands in front of it.

    Who reads a stream knows nothing else of where the contents end, and libarchive compares no more
    of it than the CRC-32.
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
                what, expected = f"record of {entry.name!r}", "the data descriptor behind it alone"
                judge.refuse("two-descriptors", what, at + place, expected, "another", entry.name)
                return
            place = piece.find(DESCRIPTOR_SIGNATURE, place + 1)
        if at + len(piece) >= end or last < 0:
            return
        crc = crc32(view[counted : last + 1], crc)
        at += last + 1


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
    what = f"record of {name!r}"
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
            judge.refuse(rule, what, at, expected, start, name)
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
    _, _, flags, *_, name_length, extra_length = LOCAL.unpack(header)
    extra_at = record.offset + LOCAL.size + name_length
    at = extra_at + extra_length + record.compressed_size
    if flags & FLAG_DESCRIPTOR and at < end:
        forms = data_descriptors(record, has_field(read(extra_at, extra_length), ZIP64_TAG))
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
    for _ in range(_MOST_PAIRS):
        if at + 8 > end:
            break
        at += 8 + int.from_bytes(read(at, 8), "little")
    # Who reads a stream goes on looking for records here, and takes any signature for one.
    if at != end or find_signature(read, start, begin) is not None:
        return begin
    return start
