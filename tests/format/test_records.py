"""Headers, descriptors and end records, byte for byte as APPNOTE and zipfile have them."""

from __future__ import annotations

import io
import struct
import sys
import zipfile
import zlib
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parazip.format.records import (
    FLAG_DESCRIPTOR,
    FLAG_UTF8,
    LIMIT_32,
    make_record,
    pack_central_header,
    pack_descriptor,
    pack_dos_date,
    pack_end_records,
    pack_headers,
    pack_local_header,
    parse_central_header,
    shift_offsets,
)
from parazip.format.values import DEFLATED, STORED, Record
from parazip.model import Member

# 2021-03-04 05:06:08: (41 years, month 3, day 4), (5 hours, 6 minutes, 4 times 2 seconds).
DATE = (41 << 9 | 3 << 5 | 4) << 16 | (5 << 11 | 6 << 5 | 4)

PLAIN = Record(b"a.txt", 0, STORED, DATE, 0x01020304, 5, 5, 0o100644 << 16, 0x30)

SNOWMAN = Record(
    "\u2603".encode(), FLAG_UTF8, DEFLATED, DATE, 0xFFFFFFFF, 0x11, 0x22, 0o100755 << 16, 0x33
)

FOLDER = Record(b"d/", 0, STORED, DATE, 0, 0, 0, 0o040755 << 16 | 0x10, 0)

HUGE = Record(b"h", 0, DEFLATED, DATE, 0xA1B2C3D4, 1 << 32, (1 << 32) + 2, 0, 1 << 33)

FITS, LIMIT, ABOVE = 0xFFFFFFFE, 0xFFFFFFFF, 0x100000000


def octets(text: str) -> bytes:
    """Hex digits with remarks: what follows `#` on a line says which field they are."""
    return bytes.fromhex("".join(line.partition("#")[0] for line in text.splitlines()))


LOCAL = {
    "plain": (
        PLAIN,
        False,
        """
        50 4b 03 04   # signature
        14 00         # version needed: 2.0
        00 00         # general purpose flags
        00 00         # method: stored
        c4 28 64 52   # time 05:06:08, date 2021-03-04
        04 03 02 01   # CRC-32
        05 00 00 00   # compressed size
        05 00 00 00   # uncompressed size
        05 00 00 00   # length of the name, of the extra field
        61 2e 74 78 74
        """,
    ),
    "utf-8": (
        SNOWMAN,
        False,
        """
        50 4b 03 04
        14 00
        00 08         # bit 11: the name is UTF-8
        08 00         # method: deflated
        c4 28 64 52
        ff ff ff ff
        11 00 00 00
        22 00 00 00
        03 00 00 00
        e2 98 83
        """,
    ),
    "folder": (
        FOLDER,
        False,
        """
        50 4b 03 04
        14 00
        00 00
        00 00
        c4 28 64 52
        00 00 00 00
        00 00 00 00
        00 00 00 00
        02 00 00 00
        64 2f
        """,
    ),
    "descriptor follows": (
        PLAIN._replace(flags=FLAG_DESCRIPTOR),
        False,
        """
        50 4b 03 04
        14 00
        08 00         # bit 3: CRC and sizes follow the data
        00 00
        c4 28 64 52
        00 00 00 00
        00 00 00 00
        00 00 00 00
        05 00 00 00
        61 2e 74 78 74
        """,
    ),
    "zip64": (
        HUGE,
        True,
        """
        50 4b 03 04
        2d 00         # version needed: 4.5
        00 00
        08 00
        c4 28 64 52
        d4 c3 b2 a1
        ff ff ff ff   # both sizes stand in the extra field
        ff ff ff ff
        01 00 14 00
        68
        01 00 10 00               # zip64 extra field of 16 bytes
        02 00 00 00 01 00 00 00   # uncompressed size
        00 00 00 00 01 00 00 00   # compressed size
        """,
    ),
    "zip64, descriptor follows": (
        HUGE._replace(flags=FLAG_DESCRIPTOR),
        True,
        """
        50 4b 03 04
        2d 00
        08 00
        08 00
        c4 28 64 52
        00 00 00 00
        ff ff ff ff
        ff ff ff ff
        01 00 14 00
        68
        01 00 10 00
        00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00
        """,
    ),
}


@pytest.mark.parametrize("case", LOCAL)
def test_local_header_is_what_appnote_says(case: str) -> None:
    record, zip64, expected = LOCAL[case]
    assert pack_local_header(record, zip64) == octets(expected)


CENTRAL = {
    "plain": (
        PLAIN,
        """
        50 4b 01 02   # signature
        14 03         # made by: Unix, 2.0
        14 00         # version needed
        00 00         # general purpose flags
        00 00         # method
        c4 28 64 52   # time, date
        04 03 02 01   # CRC-32
        05 00 00 00   # compressed size
        05 00 00 00   # uncompressed size
        05 00         # length of the name
        00 00         # of the extra field
        00 00         # of the comment
        00 00         # disk
        00 00         # internal attributes
        00 00 a4 81   # external attributes: a regular file, 0644
        30 00 00 00   # offset of the local header
        61 2e 74 78 74
        """,
    ),
    "utf-8": (
        SNOWMAN,
        """
        50 4b 01 02
        14 03
        14 00
        00 08
        08 00
        c4 28 64 52
        ff ff ff ff
        11 00 00 00
        22 00 00 00
        03 00 00 00 00 00 00 00 00 00
        00 00 ed 81
        33 00 00 00
        e2 98 83
        """,
    ),
    "folder": (
        FOLDER,
        """
        50 4b 01 02
        14 03
        14 00
        00 00
        00 00
        c4 28 64 52
        00 00 00 00
        00 00 00 00
        00 00 00 00
        02 00 00 00 00 00 00 00 00 00
        10 00 ed 41   # a folder, 0755, for Unix and for MS-DOS
        00 00 00 00
        64 2f
        """,
    ),
    "zip64 for all three": (
        HUGE,
        """
        50 4b 01 02
        2d 03
        2d 00
        00 00
        08 00
        c4 28 64 52
        d4 c3 b2 a1
        ff ff ff ff
        ff ff ff ff
        01 00 1c 00 00 00 00 00 00 00
        00 00 00 00
        ff ff ff ff
        68
        01 00 18 00               # zip64 extra field of 24 bytes
        02 00 00 00 01 00 00 00   # uncompressed size
        00 00 00 00 01 00 00 00   # compressed size
        00 00 00 00 02 00 00 00   # offset
        """,
    ),
    "zip64 for the offset alone": (
        PLAIN._replace(offset=LIMIT_32),
        """
        50 4b 01 02
        2d 03
        2d 00
        00 00
        00 00
        c4 28 64 52
        04 03 02 01
        05 00 00 00
        05 00 00 00
        05 00 0c 00 00 00 00 00 00 00
        00 00 a4 81
        ff ff ff ff
        61 2e 74 78 74
        01 00 08 00
        ff ff ff ff 00 00 00 00
        """,
    ),
}


@pytest.mark.parametrize("case", CENTRAL)
def test_central_header_is_what_appnote_says(case: str) -> None:
    record, expected = CENTRAL[case]
    assert pack_central_header(record) == octets(expected)


def test_data_descriptor_is_what_appnote_says() -> None:
    assert pack_descriptor(SNOWMAN, False) == octets(
        """
        50 4b 07 08   # signature
        ff ff ff ff   # CRC-32
        11 00 00 00   # compressed size
        22 00 00 00   # uncompressed size
        """
    )
    assert pack_descriptor(HUGE, True) == octets(
        """
        50 4b 07 08
        d4 c3 b2 a1
        00 00 00 00 01 00 00 00
        02 00 00 00 01 00 00 00
        """
    )


def test_end_record_is_what_appnote_says() -> None:
    assert pack_end_records(3, 0x123, 0x4567) == octets(
        """
        50 4b 05 06   # signature
        00 00 00 00   # this disk, the disk where the central directory starts
        03 00 03 00   # members on this disk, in all
        23 01 00 00   # bytes of the central directory
        67 45 00 00   # its offset
        00 00         # length of the comment
        """
    )


def test_a_comment_stands_behind_its_length() -> None:
    plain, commented = (
        pack_end_records(3, 0x123, 0x4567),
        pack_end_records(3, 0x123, 0x4567, b"comment"),
    )
    assert commented == plain[:-2] + b"\7\0comment"
    assert pack_end_records(0x10000, 1, 1, b"c") == pack_end_records(0x10000, 1, 1)[:-2] + b"\1\0c"


def test_zip64_end_records_are_what_appnote_says() -> None:
    assert pack_end_records(0x10000, 0x123, 0x100000000) == octets(
        """
        50 4b 06 06               # zip64 end of central directory record
        2c 00 00 00 00 00 00 00   # bytes that follow: 44
        2d 03 2d 00               # made by: Unix, 4.5; version needed
        00 00 00 00 00 00 00 00   # disks
        00 00 01 00 00 00 00 00   # members on this disk
        00 00 01 00 00 00 00 00   # members in all
        23 01 00 00 00 00 00 00   # bytes of the central directory
        00 00 00 00 01 00 00 00   # its offset
        50 4b 06 07               # zip64 locator
        00 00 00 00               # disk
        23 01 00 00 01 00 00 00   # where the zip64 record begins
        01 00 00 00               # disks in all
        50 4b 05 06
        00 00 00 00
        ff ff ff ff               # members: see above
        23 01 00 00               # what fits still stands here
        ff ff ff ff               # offset: see above
        00 00
        """
    )


def by_zipfile(record: Record, data: bytes, force_zip64: bool, seekable: bool) -> bytes:
    """An archive of one member as the standard library makes it."""
    file = io.BytesIO() if seekable else _Unseekable()
    info = zipfile.ZipInfo(record.name.decode(), (2021, 3, 4, 5, 6, 8))
    info.create_system = 3
    info.compress_type = record.method
    info.external_attr = record.attributes
    with zipfile.ZipFile(file, "w") as archive:
        if record.name.endswith(b"/"):
            archive.writestr(info, b"")
        else:
            with archive.open(info, "w", force_zip64=force_zip64) as member:
                member.write(data)
    return file.getvalue()


class _Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise OSError("this is a pipe")

    def tell(self) -> int:
        raise OSError("this is a pipe")


@pytest.mark.parametrize("method", [STORED, DEFLATED])
@pytest.mark.parametrize("name", ["a.txt", "folder/b c", "\u2603", "x" * 0xFFFF, "d/"])
def test_archive_is_byte_for_byte_what_zipfile_writes(name: str, method: int) -> None:
    data = b"" if name.endswith("/") else b"some text, some text, some text"
    method = STORED if not data else method
    packed = zlib.compress(data, 6, -15) if method else data
    attributes = 0o040755 << 16 | 0x10 if not data else 0o100644 << 16
    record = Record(
        name.encode(),
        0 if name.isascii() else FLAG_UTF8,
        method,
        pack_dos_date(2021, 3, 4, 5, 6, 8),
        zlib.crc32(data),
        len(packed),
        len(data),
        attributes,
        0,
    )
    local = pack_local_header(record, False) + packed
    central = pack_central_header(record)
    made = local + central + pack_end_records(1, len(central), len(local))
    assert made == by_zipfile(record, data, force_zip64=False, seekable=True)


WRONG_VERSION = pytest.mark.skipif(
    sys.version_info < (3, 11, 4), reason="zipfile wrote version 2.0 there: gh-103861"
)


@pytest.mark.parametrize("zip64", [False, pytest.param(True, marks=WRONG_VERSION)])
@pytest.mark.parametrize("seekable", [False, True])
def test_local_header_and_descriptor_are_byte_for_byte_what_zipfile_writes(
    zip64: bool, seekable: bool
) -> None:
    data = b"some text, some text, some text"
    packed = zlib.compress(data, 6, -15)
    flags = 0 if seekable else FLAG_DESCRIPTOR
    record = Record(b"a", flags, DEFLATED, DATE, zlib.crc32(data), len(packed), len(data), 0, 0)
    made = pack_local_header(record, zip64) + packed
    if not seekable:
        made += pack_descriptor(record, zip64)
    theirs = by_zipfile(record, data, force_zip64=zip64, seekable=seekable)
    assert theirs[: theirs.index(b"PK\1\2")] == made


@pytest.mark.parametrize("value", [FITS, LIMIT, ABOVE])
@pytest.mark.parametrize("field", ["size", "compressed_size", "offset"])
def test_central_header_has_zip64_for_what_does_not_fit_and_for_nothing_else(
    field: str, value: int
) -> None:
    fields = PLAIN._asdict()
    record = Record(**{**fields, field: value})
    header = pack_central_header(record)
    wide = value > FITS
    length = 46 + len(record.name)
    assert header[length:] == (struct.pack("<2HQ", 1, 8, value) if wide else b"")
    assert struct.unpack_from("<2H", header, 4) == (
        (3 << 8 | 45, 45) if wide else (3 << 8 | 20, 20)
    )
    in_32_bits = {
        "compressed_size": struct.unpack_from("<I", header, 20)[0],
        "size": struct.unpack_from("<I", header, 24)[0],
        "offset": struct.unpack_from("<I", header, 42)[0],
    }
    assert in_32_bits.pop(field) == (LIMIT if wide else value)
    assert in_32_bits == {name: getattr(PLAIN, name) for name in in_32_bits}


@pytest.mark.parametrize(
    ("count", "size", "offset", "zip64"),
    [
        (0, 0, 0, False),
        (65_534, 1, 1, False),
        (65_535, 1, 1, False),
        (65_536, 1, 1, True),
        (1, FITS, 1, False),
        (1, LIMIT, 1, True),
        (1, ABOVE, 1, True),
        (1, 1, FITS, False),
        (1, 1, LIMIT, True),
        (1, 1, ABOVE, True),
        (65_535, FITS, FITS, False),
        (65_535, 1, ABOVE, True),
    ],
)
def test_end_records_have_zip64_when_a_number_does_not_fit_and_not_earlier(
    count: int, size: int, offset: int, zip64: bool
) -> None:
    records = pack_end_records(count, size, offset)
    assert len(records) == (56 + 20 + 22 if zip64 else 22)
    *_, on_disk, in_all, short_size, short_offset, comment = struct.unpack(
        "<4s4H2IH", records[-22:]
    )
    assert on_disk == in_all == min(count, 0xFFFF)
    assert (short_size, short_offset, comment) == (min(size, LIMIT), min(offset, LIMIT), 0)
    if zip64:
        assert struct.unpack_from("<4Q", records, 24) == (count, count, size, offset)
        assert struct.unpack_from("<4sIQI", records, 56) == (b"PK\6\7", 0, offset + size, 1)


SMALL = st.integers(0, 1 << 20)

NEAR = st.integers(FITS - 2, ABOVE + 2)

NUMBERS = SMALL | NEAR | st.integers(0, 1 << 62)

RECORDS = st.builds(
    Record,
    name=st.text(min_size=1, max_size=20).map(lambda name: name.encode(errors="replace")),
    flags=st.sampled_from([0, FLAG_DESCRIPTOR, FLAG_UTF8, FLAG_UTF8 | FLAG_DESCRIPTOR]),
    method=st.sampled_from([STORED, DEFLATED]),
    date=st.integers(0, LIMIT),
    crc=st.integers(0, LIMIT),
    compressed_size=NUMBERS,
    size=NUMBERS,
    attributes=st.integers(0, LIMIT),
    offset=NUMBERS,
)


@given(RECORDS, st.binary(max_size=5), st.binary(max_size=5))
def test_central_header_is_parsed_back_wherever_it_stands(
    record: Record, before: bytes, after: bytes
) -> None:
    header = pack_central_header(record)
    parsed, length = parse_central_header(before + header + after, len(before))
    assert parsed == record
    assert length == len(header)


@given(st.lists(RECORDS, max_size=6), NUMBERS)
def test_shift_is_packing_anew_with_moved_offsets(records: list[Record], base: int) -> None:
    directory = b"".join(map(pack_central_header, records))
    moved = [record._replace(offset=record.offset + base) for record in records]
    assert shift_offsets(directory, base) == (
        b"".join(map(pack_central_header, moved)),
        len(records),
    )


@pytest.mark.parametrize(
    ("offset", "base", "moved", "extra"),
    [
        (0, 0, 0, b""),
        (0x30, 0x100, 0x130, b""),
        (1, FITS - 1, FITS, b""),
        (1, FITS, LIMIT, struct.pack("<2HQ", 1, 8, LIMIT)),
        (1, LIMIT, LIMIT, struct.pack("<2HQ", 1, 8, ABOVE)),
    ],
)
def test_shift_moves_an_offset_into_a_zip64_field_when_it_does_not_fit(
    offset: int, base: int, moved: int, extra: bytes
) -> None:
    directory = pack_central_header(PLAIN) + pack_central_header(SNOWMAN._replace(offset=offset))
    shifted, count = shift_offsets(directory, base)
    last = len(shifted) - len(extra) - 46 - len(SNOWMAN.name)
    assert count == 2
    assert shifted[last : last + 4] == b"PK\1\2"
    assert struct.unpack_from("<I", shifted, last + 42) == (moved,)
    assert shifted[len(shifted) - len(extra) :] == extra
    assert shifted[last + 6 : last + 8] == (b"\x2d\0" if extra else b"\x14\0")


def test_shift_leaves_what_it_was_given_alone() -> None:
    directory = pack_central_header(PLAIN)
    shift_offsets(directory, 7)
    assert directory == pack_central_header(PLAIN)
    assert shift_offsets(b"", 7) == (b"", 0)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ((1980, 1, 1, 0, 0, 0), 0x0021_0000),
        ((2021, 3, 4, 5, 6, 8), 0x5264_28C4),
        ((2021, 3, 4, 5, 6, 9), 0x5264_28C4),
        ((2107, 12, 31, 23, 59, 59), 0xFF9F_BF7D),
    ],
)
def test_dos_date_has_the_bits_of_appnote(
    moment: tuple[int, int, int, int, int, int], expected: int
) -> None:
    assert pack_dos_date(*moment) == expected


@given(st.datetimes(datetime(1980, 1, 1), datetime(2107, 12, 31, 23, 59, 59)))
def test_dos_date_is_read_back_by_zipfile_to_two_seconds(moment: datetime) -> None:
    fields = moment.timetuple()[:6]
    record = PLAIN._replace(offset=0, date=pack_dos_date(*fields))
    local = pack_local_header(record, False) + b"hello"
    central = pack_central_header(record)
    file = io.BytesIO(local + central + pack_end_records(1, len(central), len(local)))
    with zipfile.ZipFile(file) as archive:
        assert archive.infolist()[0].date_time == (*fields[:5], fields[5] & ~1)


@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    method=st.sampled_from([STORED, DEFLATED]),
    numbers=st.tuples(*[st.integers(0, LIMIT_32 - 1)] * 6),
)
def test_both_headers_at_once_are_what_each_is_alone(
    name: str, method: int, numbers: tuple[int, int, int, int, int, int]
) -> None:
    crc, packed, size, attributes, date, offset = numbers
    member = Member(name, b"", attributes, date)
    made = make_record(member, method, crc, packed, offset)._replace(size=size)
    both = pack_headers(member, method, crc, packed, size, offset)
    assert both == (pack_local_header(made, False), pack_central_header(made))
