"""The strict reader: what it reads as zipfile does, and which directories it refuses."""

from __future__ import annotations

import io
import itertools
import struct
import zipfile
from collections.abc import Callable, Mapping

import pytest

import parazip
from parazip.errors import BadArchiveError
from parazip.format.reader import read_directory
from parazip.format.records import pack_central_header, pack_end_records, pack_local_header
from parazip.format.values import STORED, Record
from parazip.output.stream import Pipe
from parazip.testing import InlineExecutor, SparseOutput
from support.archives import join_records
from support.small_archives import (
    D2,
    DATE,
    DOS,
    FILE,
    FOLDER,
    GOOD,
    LIMIT,
    MEMBERS,
    PATH,
    TEXT,
    UTF8,
    WIDE,
    A,
    B,
    D,
    E,
    L,
    close_archive,
    data_offset_in,
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

FOREIGN = {"\u2603": b"snow", "gr\u00fc\u00df/": b"", "gr\u00fc\u00df/\U0001f600": TEXT}

LARGE = {"large": bytes(3 << 20), "small": b"s"}


def write_by_parazip(members: Mapping[str, bytes], level: int) -> bytes:
    """An archive by parazip, to a pipe: members that are cut have data descriptors."""
    output = io.BytesIO()
    made = [
        parazip.Member(name, data, FOLDER if name.endswith("/") else FILE, DATE)
        for name, data in members.items()
    ]
    settings = parazip.Settings(level=level)
    parazip.write(Pipe(output, "-"), made, settings, shebang="x", executor=InlineExecutor())
    return output.getvalue()


ARCHIVES: dict[str, tuple[Callable[[], bytes], Mapping[str, bytes]]] = {
    "no members": (lambda: write_by_zipfile({}), {}),
    "no members, comment": (lambda: write_by_zipfile({}, comment=b"none"), {}),
    "stored": (lambda: write_by_zipfile(method=zipfile.ZIP_STORED), MEMBERS),
    "deflated": (write_by_zipfile, MEMBERS),
    "comments": (lambda: write_by_zipfile(comment=b"PK\1\2 and so on"), MEMBERS),
    "longest comment": (lambda: write_by_zipfile({"a": b""}, comment=bytes(0xFFFF)), {"a": b""}),
    "names": (lambda: write_by_zipfile(FOREIGN), FOREIGN),
    "prefix counted": (lambda: write_by_zipfile(file=io.BytesIO(b"#!/bin/x\n")), MEMBERS),
    "prefix not counted": (lambda: b"#!/bin/x\n" + write_by_zipfile(), MEMBERS),
    "archive inside": (
        lambda: write_by_zipfile({"x": write_by_zipfile()}, zipfile.ZIP_STORED),
        {"x": write_by_zipfile()},
    ),
    "descriptors": (lambda: write_by_zipfile(file=OneWayBytes()), MEMBERS),
    "zip64": (lambda: write_by_zipfile(zip64=True), MEMBERS),
    "by parazip": (lambda: write_by_parazip(MEMBERS, 6), MEMBERS),
    "by parazip, stored": (lambda: write_by_parazip(FOREIGN, 0), FOREIGN),
    "by parazip, in blocks": (lambda: write_by_parazip(LARGE, 1), LARGE),
    "by hand": (lambda: GOOD, {"a": b"hello", "b.txt": b"world"}),
    "by hand, zip64": (lambda: WIDE, {"a": b"hello", "b.txt": b"world"}),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives_are_read_as_zipfile_reads_them(case: str) -> None:
    data = ARCHIVES[case][0]()
    assert {
        name: inflate_entry(data, entry) for name, entry in read_as_zipfile_does(data).items()
    } == ARCHIVES[case][1]


@pytest.mark.once
@pytest.mark.parametrize("count", [65_535, 65_536])
def test_many_members(count: int) -> None:
    record = Record(b"", 0, STORED, DATE, 0, 0, 0, FILE, 0)
    data = join_records(*((record._replace(name=b"%x" % i), b"") for i in range(count)))
    assert data.startswith(b"PK\6\7", len(data) - 42) == (count > 65_535)
    found = read_as_zipfile_does(data)
    assert len(found) == count
    assert not any(inflate_entry(data, entry) for entry in found.values())


@pytest.mark.once
@pytest.mark.parametrize(
    ("begin", "size"), [(LIMIT - 40, LIMIT - 1), (LIMIT - 30, LIMIT + 2), (LIMIT + 1, LIMIT)]
)
def test_offsets_and_sizes_around_4_gib(begin: int, size: int) -> None:
    output = SparseOutput()
    output.write(b"#!")  # 512 zeros in front are an empty tar archive
    output.seek(begin)
    parazip.write(output, [parazip.Member("a", b"hello", FILE, DATE)], executor=InlineExecutor())
    a = read_as_zipfile_does(output)["a"]
    b = Record(b"b", 0, STORED, DATE, 1, size, size, FILE, a.end)
    output.seek(a.end)
    output.write(pack_local_header(b, size >= LIMIT))
    directory = output.seek(size, 1)
    output.write(close_archive(b"", map(pack_central_header, (a.record, b)))[:-22])
    output.write(pack_end_records(2, output.tell() - directory, directory))
    found = read_as_zipfile_does(output)
    assert inflate_entry(output, found["a"]) == b"hello"
    assert data_offset_in(output, found["b"]) == directory - size


K = E + 56
"""Where the locator of `WIDE` begins; then its EOCD."""

W = K + 20


def central_header_with_zip64(*values: int) -> bytes:
    """A's central header with saturated sizes, and a zip64 extra field behind another."""
    extra = struct.pack(f"<2H1s2H{len(values)}Q", 7, 1, b"-", 1, 8 * len(values), *values)
    data = overwrite(20, "2I", LIMIT, LIMIT, data=pack_central_header(A))
    return overwrite(30, "H", len(extra), data=data) + extra


def on_disk(number: int) -> bytes:
    """A's central header with a disk that a zip64 field tells."""
    data = overwrite(34, "H", 0xFFFF, data=overwrite(30, "H", 8, data=pack_central_header(A)))
    return data + struct.pack("<2HI", 1, 4, number)


FINE: dict[str, tuple[bytes, list[Record]]] = {
    "what the tables damage": (GOOD, [A, B]),
    "what they damage of zip64": (WIDE, [A, B]),
    "the directory in another order": (list_under_directory(B, A), [B, A]),
    "a stream of 1,032 times": (
        list_under_directory(A, B._replace(size=10_320)),
        [A, B._replace(size=10_320)],
    ),
    "another method": (
        list_under_directory(A._replace(method=99, size=9999)),
        [A._replace(method=99, size=9999)],
    ),
    "encrypted": (list_under_directory(A._replace(flags=1, size=1)), [A._replace(flags=1, size=1)]),
    "a disk that zip64 tells": (list_under_directory(on_disk(0), B), [A, B]),
    "an EOCD that says what its twin says": (
        overwrite(W + 8, "2H2I", 2, 2, L, D, data=WIDE),
        [A, B],
    ),
    "zip64 behind another extra field": (
        list_under_directory(central_header_with_zip64(5, 5)),
        [A],
    ),
    "a directory that begins on disk 1": (overwrite(E + 6, "H", 1), [A, B]),
    "zip64 that counts other members here": (overwrite(E + 24, "Q", 1, data=WIDE), [A, B]),
    "nothing": (close_archive(b"", []), []),
    "nothing, zip64": (
        overwrite(24, "4Q", 0, 0, 0, 0, data=overwrite(64, "Q", 0, data=WIDE[E:])),
        [],
    ),
}


@pytest.mark.parametrize("case", FINE)
def test_what_is_rare_but_clear_is_read(case: str) -> None:
    data, records = FINE[case]
    assert [entry.record for entry in entries_in(data)] == records


def test_a_member_ends_where_the_next_record_begins_in_whatever_order() -> None:
    assert [entry.end for entry in entries_in(b"in front" + list_under_directory(B, A))] == [
        D + 8,
        36 + 8,
    ]


EOCD, EOCD64, LOCATOR = "EOCD", "zip64 EOCD", "zip64 EOCD locator"

DIRECTORY, HEADER = "central directory", "central directory header"

SIGNATURE = repr(b"PK\1\2")

ZIP64 = "a zip64 extra field"

FRONT, F = bytes(70_000), 70_000 + E

TRAILING = GOOD[:E] + b"XY" + overwrite(E + 12, "I", L + 2)[E:]

LONG = list_under_directory(A._replace(name=b"n" * 46))

SIZE64 = overwrite(K + 8, "Q", D + (1 << 63), data=WIDE)

OFFSET64 = overwrite(K + 8, "Q", L + (1 << 62), data=WIDE)

FORMS = (
    header_made_by(DOS, A._replace(name=b"\x81")),
    B._replace(name=b"u\xcc\x88", flags=UTF8),
)

# What is damaged; then, as the message tells them: record, offset, expected, found.
REFUSED: dict[str, tuple[bytes, str, int, str, str]] = {
    "two EOCDs": (
        FRONT + overwrite(E + 20, "H", 22) + GOOD[E:],
        EOCD,
        F,
        "no other*",
        f"*{F + 22}",
    ),
    "two disks": (overwrite(E + 4, "2H", 1, 1), EOCD, E, "one disk", "disk 1 of several"),
    "two counts": (overwrite(E + 8, "H", 1), EOCD, E, "2 members here", "1"),
    "count past the size": (
        overwrite(E + 8, "2H", 3, 3),
        EOCD,
        E,
        f"at most 2 members in {L}*",
        "3",
    ),
    "count too small": (
        overwrite(E + 8, "2H", 1, 1),
        HEADER,
        D2,
        f"the end of the {DIRECTORY}",
        "*PK*",
    ),
    "size past the file": (
        overwrite(E + 12, "I", E + 1),
        EOCD,
        E,
        f"* at most {E} bytes",
        f"{E + 1}",
    ),
    "offset past it": (overwrite(E + 16, "I", D + 1), EOCD, E, f"* at {D} or before", f"{D + 1}"),
    "begins early": (overwrite(E + 12, "2I", L + 1, D - 1), HEADER, D - 1, SIGNATURE, "b'dPK?x01'"),
    "begins late": (overwrite(E + 12, "I", L - 1), DIRECTORY, D, f"*at {D + 1} alone", "another"),
    "signature": (overwrite(D2, "B", 1), HEADER, D2, SIGNATURE, "b'?x01K?x01?x02'"),
    "name runs out": (overwrite(D2 + 28, "H", 6), HEADER, D2, "at most 51 bytes", "52"),
    "extra runs out": (overwrite(D + 30, "H", 99), HEADER, D, f"at most {L} bytes", "146"),
    "comment runs out": (overwrite(D2 + 32, "H", 0xFFFF), HEADER, D2, "at most 51 bytes", "65586"),
    "a disk that zip64 does not tell": (
        overwrite(D + 34, "H", 0xFFFF),
        HEADER,
        D,
        "disk 0",
        "65535",
    ),
    "an EOCD on a disk that zip64 does not tell": (
        overwrite(E + 4, "H", 0xFFFF),
        EOCD,
        E,
        "one disk",
        "disk 65535 of several",
    ),
    "member's disk": (overwrite(D2 + 34, "H", 1), HEADER, D2, "disk 0", "1"),
    "no locator": (WIDE[:K] + WIDE[W:], LOCATOR, K - 20, repr(b"PK\6\7"), "*"),
    "locator's signature": (
        overwrite(K, "B", 1, data=WIDE),
        LOCATOR,
        K,
        repr(b"PK\6\7"),
        "b'?x01K*",
    ),
    "locator leads elsewhere": (
        overwrite(K + 8, "Q", 7, data=WIDE),
        LOCATOR,
        K,
        f"offset {E}",
        "7",
    ),
    "locator alone": (WIDE[K:], EOCD64, 0, "56 bytes before its locator", "0"),
    "zip64 signature": (
        overwrite(E, "B", 1, data=WIDE),
        EOCD64,
        E,
        "(b'PK?x06?x06', 44)",
        "(b'?x01K*",
    ),
    "zip64 record's size": (overwrite(E + 4, "Q", 45, data=WIDE), EOCD64, E, "(*, 44)", "(*, 45)"),
    "zip64 disk": (
        overwrite(E + 16, "I", 1, data=WIDE),
        EOCD64,
        E,
        "one disk",
        "disk 1 of several",
    ),
    "zip64 first disk": (overwrite(E + 20, "I", 1, data=WIDE), EOCD64, E, "one disk", "disk 0 *"),
    "another count": (
        overwrite(W + 8, "2H", 1, 1, data=WIDE),
        EOCD,
        W,
        f"*(2, {L}, {D})",
        "(1, *)",
    ),
    "another size": (
        overwrite(W + 12, "I", 1, data=WIDE),
        EOCD,
        W,
        f"*(2, {L}, {D})",
        "(65535, 1, *)",
    ),
    "another offset": (overwrite(W + 16, "I", 1, data=WIDE), EOCD, W, f"*(2, {L}, {D})", "(*, 1)"),
    "vast count": (
        overwrite(E + 24, "2Q", 9**19, 9**19, data=WIDE),
        EOCD,
        W,
        "at most 2*",
        f"{9**19}",
    ),
    "vast size": (
        overwrite(E + 40, "Q", 1 << 63, data=SIZE64),
        EOCD,
        W,
        f"* {E} bytes",
        f"{1 << 63}",
    ),
    "vast offset": (
        overwrite(E + 48, "Q", 1 << 62, data=OFFSET64),
        EOCD,
        W,
        f"*{D}*",
        f"{1 << 62}",
    ),
    "saturated compressed size": (overwrite(D + 20, "I", LIMIT), HEADER, D, ZIP64, f"({LIMIT}, 5)"),
    "saturated size": (overwrite(D + 24, "I", LIMIT), HEADER, D, ZIP64, f"(5, {LIMIT})"),
    "saturated offset": (overwrite(D2 + 42, "I", LIMIT), HEADER, D2, ZIP64, "(10, 5)"),
    "one size for two": (
        list_under_directory(central_header_with_zip64(5)),
        HEADER,
        D,
        f"{ZIP64} of 2 numbers",
        "b'?x05*",
    ),
    "vast compressed size": (
        list_under_directory(central_header_with_zip64(5, 1 << 63)),
        HEADER,
        D,
        f"*before {D}",
        "(0, 9*)",
    ),
    "offset past all": (overwrite(D + 42, "I", D), HEADER, D, f"a record*before {D}", f"({D}, 5)"),
    "data too long": (overwrite(D2 + 20, "I", 11), HEADER, D2, f"a record*before {D}", "(36, 11)"),
    "one record twice": (
        list_under_directory(A, B, A._replace(name=b"c")),
        "record of b'c'",
        0,
        "*36*b'a'",
        "0",
    ),
    "an overlap": (
        list_under_directory(A, B._replace(offset=35)),
        "record of b'b.txt'",
        35,
        "*36*b'a'",
        "35",
    ),
    "two names in one form": (
        list_under_directory(*FORMS),
        DIRECTORY,
        D,
        r"one spelling of '\xfc'",
        r"'u\u0308'",
    ),
    "stored as another size": (
        list_under_directory(A._replace(size=6)),
        HEADER,
        D,
        "*method 0*",
        "(5, 6)",
    ),
    "1,033 times": (
        list_under_directory(B._replace(size=10_321)),
        HEADER,
        D,
        "*method 8*",
        "(10, 10321)",
    ),
    "no name": (list_under_directory(A._replace(name=b"")), HEADER, D, "a name", "b''"),
    "NUL": (
        list_under_directory(A._replace(name=b"a\0b")),
        HEADER,
        D,
        "a name without NUL",
        "b'a?x00b'",
    ),
    "bad UTF-8": (
        list_under_directory(A._replace(name=b"\xff", flags=UTF8)),
        HEADER,
        D,
        "*UTF-8",
        "*xff'",
    ),
    "surrogate": (
        list_under_directory(A._replace(name=b"\xed\xa0\x80", flags=UTF8)),
        HEADER,
        D,
        "*",
        "*",
    ),
    "much to tell": (
        list_under_directory(A._replace(name=bytes(46))),
        HEADER,
        D,
        "*",
        f"b'{'?x00' * 29}?x...",
    ),
    "one more": (overwrite(D + 92 + 8, "2H", 2, 2, data=LONG), HEADER, D + 92, "46 bytes", "0"),
    "trailing bytes": (TRAILING, HEADER, E, "*end*", "b'XY'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_directory_that_is_not_right_is_refused_by_name(case: str) -> None:
    with expect_refusal(*REFUSED[case][1:]):
        entries_in(REFUSED[case][0])


NO_ARCHIVE = [
    b"PK is how an archive begins\n" * 9,
    bytes(70_000),
    GOOD + b"more than the comment",
    overwrite(E + 20, "H", 2) + b"1",
    overwrite(E + 20, "H", 0xFFFF) + bytes(0x10000),
    *(GOOD[:n] for n in range(len(GOOD))),
    *(WIDE[:n] for n in range(E, len(WIDE))),
]


def test_what_does_not_end_like_an_archive_is_called_none_or_has_too_much() -> None:
    for data in NO_ARCHIVE:
        told = (
            rf"^{PATH} (is not a zip archive or was cut off|can be read in two ways): EOCD .*; get"
        )
        with pytest.raises(BadArchiveError, match=told) as refusal:
            entries_in(data)
        assert refusal.value.member == PATH


def test_archive_without_its_first_bytes_is_refused() -> None:
    for data in (*(GOOD[n:] for n in range(1, E)), *(WIDE[n:] for n in range(1, W))):
        with pytest.raises(
            BadArchiveError, match=f"^{PATH} (is damaged|can be read in two ways): "
        ):
            entries_in(data)


def shrinking(call: int, length: int) -> Callable[[int, int], bytes]:
    """Reads of which one gives fewer bytes."""
    ends = iter([length if n == call else None for n in range(4)])
    return lambda offset, wanted: read_piece(WIDE, offset, wanted)[: next(ends)]


def test_a_file_that_is_cut_off_meanwhile_is_refused() -> None:
    for call, length in itertools.product((0, 3, 1, 2), (0, 4, -1)):
        with pytest.raises(BadArchiveError, match=PATH):
            read_directory(PATH, len(WIDE), shrinking(call, length))


def test_no_memory_is_taken_for_a_directory_that_cannot_be() -> None:
    output = SparseOutput()
    output.seek(1 << 40)
    output.write(pack_end_records(2, 1 << 40, 0))
    with expect_refusal("EOCD", output.size - 22, "*", str(1 << 40)):
        entries_in(output)
