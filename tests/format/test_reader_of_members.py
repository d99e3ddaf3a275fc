"""What the strict reader makes of names, attributes and local headers of members."""

from __future__ import annotations

import contextlib
import itertools
import random
import struct
import zlib
from functools import partial

import pytest

from parazip.errors import BadArchiveError
from parazip.format.local import find_data_offset
from parazip.format.records import pack_local_header
from parazip.format.refusals import Judge
from parazip.format.values import STORED, Entry, Record
from support.small_archives import (
    DARWIN,
    DATE,
    DESCRIPTOR,
    DOS,
    FILE,
    FOLDER,
    GOOD,
    LIMIT,
    MEMBERS,
    PATH,
    TEXT,
    UNIX,
    UTF8,
    WIDE,
    A,
    D,
    close_archive,
    entries_in,
    expect_refusal,
    header_made_by,
    inflate_entry,
    list_under_directory,
    overwrite,
    read_as_zipfile_does,
    read_piece,
    write_by_zipfile,
)
from support.streams import OneWayBytes

NAMES = [
    (b"a.txt", UTF8, UNIX, "a.txt"),
    (b"gr\x81n", 0, DOS, "gr\u00fcn"),
    (b"gr\xc3\xbcn", 0, DOS, "gr\u251c\u255dn"),
    (b"gr\xc3\xbcn", UTF8, DOS, "gr\u00fcn"),
    (b"gr\xc3\xbcn", 0, UNIX, "gr\u00fcn"),
    (b"gr\xc3\xbcn", 0, DARWIN, "gr\u00fcn"),
    (b"gr\x81n", 0, UNIX, "gr\u00fcn"),
    (b"\x80\xff", 0, DOS, "\u00c7\u00a0"),
]


@pytest.mark.parametrize(("raw", "flags", "system", "name"), NAMES)
def test_names_are_in_the_encoding_that_flags_and_system_tell(
    raw: bytes, flags: int, system: int, name: str
) -> None:
    record = A._replace(name=raw, flags=flags)
    data = close_archive(
        pack_local_header(record, False) + b"hello", [header_made_by(system, record)]
    )
    assert entries_in(data) == [Entry(name, record, 35 + len(raw))]
    assert inflate_entry(data, entries_in(data)[0]) == b"hello"


ATTRIBUTES = [
    ("f", UNIX, FILE | 0x21, FILE),
    ("f", UNIX, 0, FILE),
    ("f", UNIX, 0o755 << 16, 0o100755 << 16),
    ("f", DARWIN, 0o104711 << 16, 0o104711 << 16),
    ("f", DOS, 0o100755 << 16 | 0x20, FILE),
    ("f", UNIX, FOLDER, FOLDER),
    ("f", UNIX, 0o120777 << 16, 0o120777 << 16),
    ("f", UNIX, 0o170644 << 16, FILE),
    ("f", UNIX, 0o020644 << 16, 0o020644 << 16),
    ("f", DOS, 0x10, FOLDER),
    ("d/", UNIX, 0, FOLDER),
    ("d/", DOS, 0x10, FOLDER),
    ("d/", UNIX, 0o700 << 16, 0o040700 << 16 | 0x10),
    ("d/", UNIX, 0o100700 << 16, 0o040700 << 16 | 0x10),
]


@pytest.mark.parametrize(("name", "system", "attributes", "expected"), ATTRIBUTES)
def test_attributes_are_those_of_our_own_records(
    name: str, system: int, attributes: int, expected: int
) -> None:
    target = b"target" if attributes >> 28 == 10 else b""
    crc, size = zlib.crc32(target), len(target)
    record = Record(name.encode(), 0, STORED, DATE, crc, size, size, attributes, 0)
    data = close_archive(
        pack_local_header(record, False) + target, [header_made_by(system, record)]
    )
    assert entries_in(data)[0].record.attributes == expected


def test_dates_without_month_or_day_are_the_first_of_1980() -> None:
    dates = [0, DATE & ~(15 << 21), DATE & ~(31 << 16), DATE, 0x0021_0001]
    found = [
        entries_in(list_under_directory(A._replace(date=date)))[0].record.date for date in dates
    ]
    assert found == [0x0021_0000, 0x0021_0000, 0x0021_0000, DATE, 0x0021_0001]


STREAMED = A._replace(flags=DESCRIPTOR)

SIZES64 = pack_local_header(A, True)

DESCRIBED = struct.pack("<4s3I", b"PK\7\x08", A.crc, 5, 5)

DESCRIBED64 = struct.pack("<4sI2Q", b"PK\7\x08", A.crc, 5, 5)

# What the directory says of a member, and its local record.
AGREEING: dict[str, tuple[Record, bytes]] = {
    "version and date": (A, overwrite(4, "3HI", 45, 0, 0, 7)[:36]),
    "zip64 for small sizes": (A, SIZES64 + b"hello"),
    "more behind zip64": (A, overwrite(28, "H", 24, data=SIZES64) + b"\7\0\0\0hello"),
    "a descriptor": (STREAMED, pack_local_header(STREAMED, False) + b"hello" + DESCRIBED),
    "a descriptor, all known": (STREAMED, overwrite(6, "H", 8)[:36] + DESCRIBED),
    "a descriptor, saturated": (
        STREAMED,
        pack_local_header(STREAMED, True) + b"hello" + DESCRIBED64,
    ),
    "a descriptor in the local header alone": (A, overwrite(6, "H", 8)[:36] + DESCRIBED),
    "UTF-8": (A, overwrite(6, "H", UTF8)[:36]),
    **{
        f"a descriptor, {numbers}": (
            STREAMED,
            overwrite(6, "2H4I", 8, 0, DATE, *numbers)[:36] + DESCRIBED,
        )
        for numbers in itertools.product((0, A.crc), (0, 5), (0, 5))
    },
}


def held(record: Record, data: bytes, offset: int = 0, known: int | None = None) -> int:
    """Where the data begin in a local record; of which so many bytes are at hand at first."""
    entry = Entry("a", record._replace(offset=offset), offset + len(data))
    judge = Judge(PATH)
    return find_data_offset(judge, entry, data[:known], lambda at, n: data[at - offset :][:n])


@pytest.mark.parametrize("case", AGREEING)
def test_local_headers_agree_in_what_counts(case: str) -> None:
    record, data = AGREEING[case]
    begin = 31 + int.from_bytes(data[28:30], "little")
    assert held(record, data) == begin
    assert held(record, data, known=begin) == begin


def test_descriptors_of_zipfile_agree() -> None:
    data = write_by_zipfile(file=OneWayBytes(), zip64=True)
    assert {
        name: inflate_entry(data, entry) for name, entry in read_as_zipfile_does(data).items()
    } == MEMBERS


NUMBERS, KIND = f"CRC and sizes*({A.crc}, 5, 5)", "flags, method and name*(0, 0, b'a')"

LOCAL_REFUSED: dict[str, tuple[Record, bytes, str, str]] = {
    "signature": (A, overwrite(2, "B", 1), repr(b"PK\3\4"), "b'PK?x01?x04'"),
    "another name": (A, overwrite(30, "B", 98), KIND, "(0, 0, b'b')"),
    "no name": (A, overwrite(26, "H", 0), KIND, "(0, 0, b'')"),
    "longer name": (A, overwrite(26, "H", 2), KIND, "(0, 0, b'ah')"),
    "name cut off": (A, GOOD[:30], KIND, "(0, 0, b'')"),
    "method": (A, overwrite(8, "H", 8), KIND, "(0, 8, b'a')"),
    "encrypted": (A, overwrite(6, "H", 1), KIND, "(1, 0, b'a')"),
    "level of what is stored": (A, overwrite(6, "H", 6), KIND, "(6, 0, b'a')"),
    "descriptor": (A, overwrite(6, "H", 8), f"a data descriptor of ({A.crc}, 5, 5) in 16 *", "b''"),
    "CRC": (A, overwrite(14, "I", 1), NUMBERS, "(1, 5, 5)"),
    "compressed size": (A, overwrite(18, "I", 4), NUMBERS, f"({A.crc}, 5, 4)"),
    "size": (A, overwrite(22, "I", 4), NUMBERS, f"({A.crc}, 4, 5)"),
    "no numbers": (A, overwrite(14, "3I", 0, 0, 0), NUMBERS, "(0, 0, 0)"),
    "saturated": (A, overwrite(18, "2I", LIMIT, LIMIT), NUMBERS, f"*{LIMIT}, {LIMIT})"),
    "zip64 size": (A, overwrite(35, "Q", 4, data=SIZES64) + b"hello", NUMBERS, f"({A.crc}, 4, 5)"),
    "zip64 cut off": (A, SIZES64[:40], "at most -11 bytes*", "5 bytes of data"),
    "descriptor, CRC": (STREAMED, overwrite(6, "2H4I", 8, 0, 0, 1, 0, 0), "CRC*", "(1, 0, 0)"),
    "descriptor, one size": (STREAMED, overwrite(6, "2H4I", 8, 0, 0, 0, 4, 0), "CRC*", "(0, 0, 4)"),
    "descriptor, other size": (
        STREAMED,
        overwrite(6, "2H4I", 8, 0, 0, 0, 0, 4),
        "CRC*",
        "(0, 4, 0)",
    ),
    "extra field too long": (A, overwrite(28, "H", 1), "at most 4 bytes *", "5 bytes of data"),
    "extra field far too long": (
        A,
        overwrite(28, "H", 99),
        "at most -94 bytes *",
        "5 bytes of data",
    ),
    "a byte behind": (A, GOOD[:37], "the next record*at 41", "b'P'"),
    "a record behind": (A, GOOD[:D], "no record*", "b'PK*"),
    **{f"cut off at {n}": (A, GOOD[:n], "30 bytes", f"{n}") for n in (0, 4, 29)},
}

WHOLE = ("a byte behind", "a record behind", "zip64 size", "zip64 cut off", "name cut off")
"""Of the others, the first record of `GOOD` is shown, or as much of it as there is."""


@pytest.mark.parametrize("case", LOCAL_REFUSED)
def test_local_header_that_disagrees_is_refused(case: str) -> None:
    record, data, expected, found = LOCAL_REFUSED[case]
    at = {"a byte behind": 41, "a record behind": 41, "descriptor": 41}.get(case, 5)
    with expect_refusal(
        f"*{'record of' if at == 41 else 'local file header'}*", at, expected, found
    ):
        held(record, data if case in WHOLE else data[:36], offset=5)


def mutated(data: bytes, source: random.Random) -> bytes:
    """In up to three places bytes are replaced, put in or taken out; it may end early."""
    changed = bytearray(data)
    for _ in range(source.randint(1, 3)):
        at, other = source.randrange(len(data)), source.randrange(len(data))
        length = source.choice((1, 2, 4, 8, 46))
        flipped = bytes([data[at] ^ 1 << source.randrange(8)])
        kinds = (source.randbytes(length), b"\xff" * length, data[other : other + length])
        new = source.choice((flipped, flipped, bytes(length), *kinds))
        taken = source.choice((*8 * (len(new),), 0, 2 * length))
        changed[at : at + taken] = new
    return bytes(changed if source.random() < 0.95 else changed[: source.randrange(len(data))])


def test_damaged_archive_is_refused_or_clear() -> None:
    """Nothing but a refusal comes out, or members that lie in the file side by side."""
    few = {"a": b"hello", "b/": b"", "b/c": TEXT}
    good = (
        GOOD,
        WIDE,
        write_by_zipfile(few, file=OneWayBytes()),
        b"#!" + write_by_zipfile(few, comment=b"so"),
    )
    read = denied = 0
    for seed in range(8000):
        data, end = mutated(good[seed % 4], random.Random(seed)), 0
        try:
            found = entries_in(data)
        except BadArchiveError:
            denied += 1
            continue
        for _, record, after in sorted(found, key=lambda entry: entry.record.offset):
            assert end <= record.offset < after <= len(data), seed
            end = after
        for entry in found:
            begin, header = entry.record.offset, data[entry.record.offset : entry.end]
            with contextlib.suppress(BadArchiveError):
                at = find_data_offset(Judge(PATH), entry, header, partial(read_piece, data))
                assert begin + 30 < at <= at + entry.record.compressed_size <= entry.end, seed
                read += 1
    assert read > 1000 < denied
