from __future__ import annotations

import contextlib
import fnmatch
import io
import itertools
import random
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import pytest

import parazip
from parazip.errors import BadArchiveError
from parazip.format.local import find_data_offset
from parazip.format.reader import read_directory
from parazip.format.records import (
    pack_central_header,
    pack_dos_date,
    pack_end_records,
    pack_local_header,
)
from parazip.format.refusals import Judge
from parazip.format.values import DEFLATED, STORED, Entry, Record
from parazip.output import Pipe
from parazip.testing import InlineExecutor, SparseOutput

PATH = "some.zip"
DATE = 0x5264_28C4
LIMIT = 0xFFFFFFFF
UNIX, DARWIN, DOS = 3, 19, 0
DESCRIPTOR, UTF8 = 1 << 3, 1 << 11
FILE, FOLDER = 0o100644 << 16, 0o040755 << 16 | 0x10
TEXT = b"to be deflated " * 30
MEMBERS = {"a": b"hello", "text": TEXT, "empty": b"", "d/": b"", "d/e": bytes(range(256))}
FOREIGN = {"\u2603": b"snow", "gr\u00fc\u00df/": b"", "gr\u00fc\u00df/\U0001f600": TEXT}
LARGE = {"large": bytes(3 << 20), "small": b"s"}


def entries(data: bytes | SparseOutput) -> list[Entry]:
    """The members; reads stay in the file, below 64 MiB, and below three times its size in all."""
    size = len(data) if isinstance(data, bytes) else data.size
    taken = 0

    def read(offset: int, length: int) -> bytes:
        nonlocal taken
        taken += length
        assert offset >= 0
        assert 0 <= length <= min(size - offset, 64 << 20)
        assert taken <= 3 * size
        return piece(data, offset, length)

    return read_directory(PATH, size, read)


def piece(data: bytes | SparseOutput, offset: int, length: int) -> bytes:
    if isinstance(data, bytes):
        return data[offset : offset + length]
    data.seek(offset)
    return data.read(length)


def contents(data: bytes | SparseOutput, entry: Entry) -> bytes:
    """What a member holds, found as `data_offset` tells."""
    record = entry.record
    packed = piece(data, offset_in(data, entry), record.compressed_size)
    return packed if record.method == STORED else zlib.decompress(packed, -15)


def offset_in(data: bytes | SparseOutput, entry: Entry) -> int:
    """Where the data of a member begin."""
    offset = entry.record.offset
    front = piece(data, offset, min(entry.end - offset, 30 + 2 * 0xFFFF))
    return find_data_offset(Judge(PATH), entry, front, lambda at, length: piece(data, at, length))


def agreed(data: bytes | SparseOutput) -> dict[str, Entry]:
    """The members by name, after zipfile was found to say the same."""
    found = entries(data)
    with zipfile.ZipFile(io.BytesIO(data) if isinstance(data, bytes) else data) as archive:
        infos, directory = archive.infolist(), archive.start_dir
    begins = sorted([*(info.header_offset for info in infos), directory])
    ends = dict(itertools.pairwise(begins))
    for (name, record, end), info in zip(found, infos, strict=True):
        told = (info.flag_bits, info.compress_type, pack_dos_date(*info.date_time), info.CRC)
        kind = stat.S_IFDIR if info.is_dir() else stat.S_IFREG
        assert (name, record.name.decode()) == (info.filename, info.filename)
        assert record[1:5] == told
        assert (record.compressed_size, record.size) == (info.compress_size, info.file_size)
        assert (record.offset, end) == (info.header_offset, ends[info.header_offset])
        assert record.attributes >> 16 == stat.S_IMODE(info.external_attr >> 16) | kind
    return {entry.name: entry for entry in found}


class OneWay(io.BytesIO):
    """A file that cannot seek: zipfile writes data descriptors to it."""

    def tell(self) -> int:
        raise io.UnsupportedOperation


def zipped(
    members: Mapping[str, bytes] = MEMBERS,
    method: int = zipfile.ZIP_DEFLATED,
    file: io.BytesIO | None = None,
    comment: bytes = b"",
    zip64: bool = False,
) -> bytes:
    """An archive by zipfile; the comment is on the archive and on each file."""
    file = file or io.BytesIO()
    with zipfile.ZipFile(file, "w" if isinstance(file, OneWay) else "a") as archive:
        archive.comment = comment
        for name, data in members.items():
            info = zipfile.ZipInfo(name, (2021, 3, 4, 5, 6, 8))
            info.compress_type, info.comment = method, comment
            if info.is_dir():
                archive.mkdir(name)
            else:
                with archive.open(info, "w", force_zip64=zip64) as member:
                    member.write(data)
    return file.getvalue()


def written(members: Mapping[str, bytes], level: int) -> bytes:
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
    "no members": (lambda: zipped({}), {}),
    "no members, comment": (lambda: zipped({}, comment=b"none"), {}),
    "stored": (lambda: zipped(method=zipfile.ZIP_STORED), MEMBERS),
    "deflated": (zipped, MEMBERS),
    "comments": (lambda: zipped(comment=b"PK\1\2 and so on"), MEMBERS),
    "longest comment": (lambda: zipped({"a": b""}, comment=bytes(0xFFFF)), {"a": b""}),
    "names": (lambda: zipped(FOREIGN), FOREIGN),
    "prefix counted": (lambda: zipped(file=io.BytesIO(b"#!/bin/x\n")), MEMBERS),
    "prefix not counted": (lambda: b"#!/bin/x\n" + zipped(), MEMBERS),
    "archive inside": (lambda: zipped({"x": zipped()}, zipfile.ZIP_STORED), {"x": zipped()}),
    "descriptors": (lambda: zipped(file=OneWay()), MEMBERS),
    "zip64": (lambda: zipped(zip64=True), MEMBERS),
    "by parazip": (lambda: written(MEMBERS, 6), MEMBERS),
    "by parazip, stored": (lambda: written(FOREIGN, 0), FOREIGN),
    "by parazip, in blocks": (lambda: written(LARGE, 1), LARGE),
    "by hand": (lambda: GOOD, {"a": b"hello", "b.txt": b"world"}),
    "by hand, zip64": (lambda: WIDE, {"a": b"hello", "b.txt": b"world"}),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives_are_read_as_zipfile_reads_them(case: str) -> None:
    data = ARCHIVES[case][0]()
    assert {name: contents(data, entry) for name, entry in agreed(data).items()} == ARCHIVES[case][
        1
    ]


def assembled(*members: tuple[Record, bytes]) -> bytes:
    """An archive of records that say what they like; only their offsets are set right."""
    headers, body = [], bytearray()
    for record, data in members:
        headers.append(pack_central_header(record._replace(offset=len(body))))
        body += pack_local_header(record, False) + data
    return closed(bytes(body), headers)


def closed(body: bytes, headers: Iterable[bytes]) -> bytes:
    """Records, a central directory of `headers`, and the EOCD."""
    headers = list(headers)
    directory = b"".join(headers)
    return body + directory + pack_end_records(len(headers), len(directory), len(body))


@pytest.mark.parametrize("count", [65_535, 65_536])
def test_many_members(count: int) -> None:
    record = Record(b"", 0, STORED, DATE, 0, 0, 0, FILE, 0)
    data = assembled(*((record._replace(name=b"%x" % i), b"") for i in range(count)))
    assert data.startswith(b"PK\6\7", len(data) - 42) == (count > 65_535)
    found = agreed(data)
    assert len(found) == count
    assert not any(contents(data, entry) for entry in found.values())


@pytest.mark.parametrize(
    ("begin", "size"), [(LIMIT - 40, LIMIT - 1), (LIMIT - 30, LIMIT + 2), (LIMIT + 1, LIMIT)]
)
def test_offsets_and_sizes_around_4_gib(begin: int, size: int) -> None:
    output = SparseOutput()
    output.write(b"#!")  # 512 zeros in front are an empty tar archive
    output.seek(begin)
    parazip.write(output, [parazip.Member("a", b"hello", FILE, DATE)], executor=InlineExecutor())
    a = agreed(output)["a"]
    b = Record(b"b", 0, STORED, DATE, 1, size, size, FILE, a.end)
    output.seek(a.end)
    output.write(pack_local_header(b, size >= LIMIT))
    directory = output.seek(size, 1)
    output.write(closed(b"", map(pack_central_header, (a.record, b)))[:-22])
    output.write(pack_end_records(2, output.tell() - directory, directory))
    found = agreed(output)
    assert contents(output, found["a"]) == b"hello"
    assert offset_in(output, found["b"]) == directory - size


A = Record(b"a", 0, STORED, DATE, zlib.crc32(b"hello"), 5, 5, FILE, 0)
B = Record(b"b.txt", 0, DEFLATED, DATE, zlib.crc32(b"world"), 10, 5, FILE, 36)
GOOD: bytes = assembled((A, b"hello"), (B, b"\1\5\0\xfa\xffworld"))
D = 36 + 30 + 5 + 10
"""Where the central directory of `GOOD` begins; then its second header, and the EOCD."""
D2 = D + 47
E = D2 + 51
L = E - D
TWIN = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 0, 45, 0, 0, 2, 2, L, D)
NEXT = struct.pack("<4sIQI", b"PK\6\7", 0, E, 1)
LAST = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, LIMIT, LIMIT, 0)
WIDE: bytes = GOOD[:E] + TWIN + NEXT + LAST
K = E + 56
"""Where the locator of `WIDE` begins; then its EOCD."""
W = K + 20


def put(at: int, form: str, *values: int, data: bytes = GOOD) -> bytes:
    changed = bytearray(data)
    struct.pack_into(f"<{form}", changed, at, *values)
    return bytes(changed)


def listed(*headers: Record | bytes) -> bytes:
    """The two records of `GOOD` under another central directory."""
    packed = [pack_central_header(one) if isinstance(one, Record) else one for one in headers]
    return closed(GOOD[:D], packed)


def made_by(system: int, record: Record) -> bytes:
    """A central header that another system made."""
    return put(5, "B", system, data=pack_central_header(record))


def wide(*values: int) -> bytes:
    """A's central header with saturated sizes, and a zip64 extra field behind another."""
    extra = struct.pack(f"<2H1s2H{len(values)}Q", 7, 1, b"-", 1, 8 * len(values), *values)
    data = put(20, "2I", LIMIT, LIMIT, data=pack_central_header(A))
    return put(30, "H", len(extra), data=data) + extra


def on_disk(number: int) -> bytes:
    """A's central header with a disk that a zip64 field tells."""
    data = put(34, "H", 0xFFFF, data=put(30, "H", 8, data=pack_central_header(A)))
    return data + struct.pack("<2HI", 1, 4, number)


FINE: dict[str, tuple[bytes, list[Record]]] = {
    "what the tables damage": (GOOD, [A, B]),
    "what they damage of zip64": (WIDE, [A, B]),
    "the directory in another order": (listed(B, A), [B, A]),
    "a stream of 1,032 times": (listed(A, B._replace(size=10_320)), [A, B._replace(size=10_320)]),
    "another method": (
        listed(A._replace(method=99, size=9999)),
        [A._replace(method=99, size=9999)],
    ),
    "encrypted": (listed(A._replace(flags=1, size=1)), [A._replace(flags=1, size=1)]),
    "a disk that zip64 tells": (listed(on_disk(0), B), [A, B]),
    "an EOCD that says what its twin says": (put(W + 8, "2H2I", 2, 2, L, D, data=WIDE), [A, B]),
    "zip64 behind another extra field": (listed(wide(5, 5)), [A]),
    "a directory that begins on disk 1": (put(E + 6, "H", 1), [A, B]),
    "zip64 that counts other members here": (put(E + 24, "Q", 1, data=WIDE), [A, B]),
    "nothing": (closed(b"", []), []),
    "nothing, zip64": (put(24, "4Q", 0, 0, 0, 0, data=put(64, "Q", 0, data=WIDE[E:])), []),
}


@pytest.mark.parametrize("case", FINE)
def test_what_is_rare_but_clear_is_read(case: str) -> None:
    data, records = FINE[case]
    assert [entry.record for entry in entries(data)] == records


def test_a_member_ends_where_the_next_record_begins_in_whatever_order() -> None:
    assert [entry.end for entry in entries(b"in front" + listed(B, A))] == [D + 8, 36 + 8]


EOCD, EOCD64, LOCATOR = "EOCD", "zip64 EOCD", "zip64 EOCD locator"
DIRECTORY, HEADER = "central directory", "central directory header"
SIGNATURE = repr(b"PK\1\2")
ZIP64 = "a zip64 extra field"
FRONT, F = bytes(70_000), 70_000 + E
TRAILING = GOOD[:E] + b"XY" + put(E + 12, "I", L + 2)[E:]
LONG = listed(A._replace(name=b"n" * 46))
SIZE64 = put(K + 8, "Q", D + (1 << 63), data=WIDE)
OFFSET64 = put(K + 8, "Q", L + (1 << 62), data=WIDE)
FORMS = (
    made_by(DOS, A._replace(name=b"\x81")),
    B._replace(name=b"u\xcc\x88", flags=UTF8),
)

# What is damaged; then, as the message tells them: record, offset, expected, found.
REFUSED: dict[str, tuple[bytes, str, int, str, str]] = {
    "two EOCDs": (FRONT + put(E + 20, "H", 22) + GOOD[E:], EOCD, F, "no other*", f"*{F + 22}"),
    "two disks": (put(E + 4, "2H", 1, 1), EOCD, E, "one disk", "disk 1 of several"),
    "two counts": (put(E + 8, "H", 1), EOCD, E, "2 members here", "1"),
    "count past the size": (put(E + 8, "2H", 3, 3), EOCD, E, f"at most 2 members in {L}*", "3"),
    "count too small": (put(E + 8, "2H", 1, 1), HEADER, D2, f"the end of the {DIRECTORY}", "*PK*"),
    "size past the file": (put(E + 12, "I", E + 1), EOCD, E, f"* at most {E} bytes", f"{E + 1}"),
    "offset past it": (put(E + 16, "I", D + 1), EOCD, E, f"* at {D} or before", f"{D + 1}"),
    "begins early": (put(E + 12, "2I", L + 1, D - 1), HEADER, D - 1, SIGNATURE, "b'dPK?x01'"),
    "begins late": (put(E + 12, "I", L - 1), DIRECTORY, D, f"*at {D + 1} alone", "another"),
    "signature": (put(D2, "B", 1), HEADER, D2, SIGNATURE, "b'?x01K?x01?x02'"),
    "name runs out": (put(D2 + 28, "H", 6), HEADER, D2, "at most 51 bytes", "52"),
    "extra runs out": (put(D + 30, "H", 99), HEADER, D, f"at most {L} bytes", "146"),
    "comment runs out": (put(D2 + 32, "H", 0xFFFF), HEADER, D2, "at most 51 bytes", "65586"),
    "a disk that zip64 does not tell": (put(D + 34, "H", 0xFFFF), HEADER, D, "disk 0", "65535"),
    "an EOCD on a disk that zip64 does not tell": (
        put(E + 4, "H", 0xFFFF),
        EOCD,
        E,
        "one disk",
        "disk 65535 of several",
    ),
    "member's disk": (put(D2 + 34, "H", 1), HEADER, D2, "disk 0", "1"),
    "no locator": (WIDE[:K] + WIDE[W:], LOCATOR, K - 20, repr(b"PK\6\7"), "*"),
    "locator's signature": (put(K, "B", 1, data=WIDE), LOCATOR, K, repr(b"PK\6\7"), "b'?x01K*"),
    "locator leads elsewhere": (put(K + 8, "Q", 7, data=WIDE), LOCATOR, K, f"offset {E}", "7"),
    "locator alone": (WIDE[K:], EOCD64, 0, "56 bytes before its locator", "0"),
    "zip64 signature": (put(E, "B", 1, data=WIDE), EOCD64, E, "(b'PK?x06?x06', 44)", "(b'?x01K*"),
    "zip64 record's size": (put(E + 4, "Q", 45, data=WIDE), EOCD64, E, "(*, 44)", "(*, 45)"),
    "zip64 disk": (put(E + 16, "I", 1, data=WIDE), EOCD64, E, "one disk", "disk 1 of several"),
    "zip64 first disk": (put(E + 20, "I", 1, data=WIDE), EOCD64, E, "one disk", "disk 0 *"),
    "another count": (put(W + 8, "2H", 1, 1, data=WIDE), EOCD, W, f"*(2, {L}, {D})", "(1, *)"),
    "another size": (put(W + 12, "I", 1, data=WIDE), EOCD, W, f"*(2, {L}, {D})", "(65535, 1, *)"),
    "another offset": (put(W + 16, "I", 1, data=WIDE), EOCD, W, f"*(2, {L}, {D})", "(*, 1)"),
    "vast count": (put(E + 24, "2Q", 9**19, 9**19, data=WIDE), EOCD, W, "at most 2*", f"{9**19}"),
    "vast size": (put(E + 40, "Q", 1 << 63, data=SIZE64), EOCD, W, f"* {E} bytes", f"{1 << 63}"),
    "vast offset": (put(E + 48, "Q", 1 << 62, data=OFFSET64), EOCD, W, f"*{D}*", f"{1 << 62}"),
    "saturated compressed size": (put(D + 20, "I", LIMIT), HEADER, D, ZIP64, f"({LIMIT}, 5)"),
    "saturated size": (put(D + 24, "I", LIMIT), HEADER, D, ZIP64, f"(5, {LIMIT})"),
    "saturated offset": (put(D2 + 42, "I", LIMIT), HEADER, D2, ZIP64, "(10, 5)"),
    "one size for two": (listed(wide(5)), HEADER, D, f"{ZIP64} of 2 numbers", "b'?x05*"),
    "vast compressed size": (listed(wide(5, 1 << 63)), HEADER, D, f"*before {D}", "(0, 9*)"),
    "offset past all": (put(D + 42, "I", D), HEADER, D, f"a record*before {D}", f"({D}, 5)"),
    "data too long": (put(D2 + 20, "I", 11), HEADER, D2, f"a record*before {D}", "(36, 11)"),
    "one record twice": (listed(A, B, A._replace(name=b"c")), "record of b'c'", 0, "*36*b'a'", "0"),
    "an overlap": (listed(A, B._replace(offset=35)), "record of b'b.txt'", 35, "*36*b'a'", "35"),
    "two names in one form": (
        listed(*FORMS),
        DIRECTORY,
        D,
        "one spelling of '\u00fc'",
        "'u\u0308'",
    ),
    "stored as another size": (listed(A._replace(size=6)), HEADER, D, "*method 0*", "(5, 6)"),
    "1,033 times": (listed(B._replace(size=10_321)), HEADER, D, "*method 8*", "(10, 10321)"),
    "no name": (listed(A._replace(name=b"")), HEADER, D, "a name", "b''"),
    "NUL": (listed(A._replace(name=b"a\0b")), HEADER, D, "a name without NUL", "b'a?x00b'"),
    "bad UTF-8": (listed(A._replace(name=b"\xff", flags=UTF8)), HEADER, D, "*UTF-8", "*xff'"),
    "surrogate": (listed(A._replace(name=b"\xed\xa0\x80", flags=UTF8)), HEADER, D, "*", "*"),
    "much to tell": (listed(A._replace(name=bytes(46))), HEADER, D, "*", f"b'{'?x00' * 29}?x..."),
    "one more": (put(D + 92 + 8, "2H", 2, 2, data=LONG), HEADER, D + 92, "46 bytes", "0"),
    "trailing bytes": (TRAILING, HEADER, E, "*end*", "b'XY'"),
}


@contextlib.contextmanager
def refused(record: str, offset: int, expected: str, found: str) -> Iterator[None]:
    """The block is refused with a message that says all this; `*` and `?` stand for others."""
    told = f"{PATH} *: {record} at offset {offset}: expected {expected}, found {found}; *"
    with pytest.raises(BadArchiveError, match="^" + fnmatch.translate(told)) as refusal:
        yield
    assert refusal.value.member in (PATH, "a")


@pytest.mark.parametrize("case", REFUSED)
def test_directory_that_is_not_right_is_refused_by_name(case: str) -> None:
    with refused(*REFUSED[case][1:]):
        entries(REFUSED[case][0])


NO_ARCHIVE = [
    b"PK is how an archive begins\n" * 9,
    bytes(70_000),
    GOOD + b"more than the comment",
    put(E + 20, "H", 2) + b"1",
    put(E + 20, "H", 0xFFFF) + bytes(0x10000),
    *(GOOD[:n] for n in range(len(GOOD))),
    *(WIDE[:n] for n in range(E, len(WIDE))),
]


def test_what_does_not_end_like_an_archive_is_called_none_or_has_too_much() -> None:
    for data in NO_ARCHIVE:
        told = rf"^{PATH} (is no zip archive or was cut off|can be read in two ways): EOCD .*; get"
        with pytest.raises(BadArchiveError, match=told) as refusal:
            entries(data)
        assert refusal.value.member == PATH


def test_archive_without_its_first_bytes_is_refused() -> None:
    for data in (*(GOOD[n:] for n in range(1, E)), *(WIDE[n:] for n in range(1, W))):
        with pytest.raises(
            BadArchiveError, match=f"^{PATH} (is damaged|can be read in two ways): "
        ):
            entries(data)


def shrinking(call: int, length: int) -> Callable[[int, int], bytes]:
    """Reads of which one gives fewer bytes."""
    ends = iter([length if n == call else None for n in range(4)])
    return lambda offset, wanted: piece(WIDE, offset, wanted)[: next(ends)]


def test_a_file_that_is_cut_off_meanwhile_is_refused() -> None:
    for call, length in itertools.product((0, 3, 1, 2), (0, 4, -1)):
        with pytest.raises(BadArchiveError, match=PATH):
            read_directory(PATH, len(WIDE), shrinking(call, length))


def test_no_memory_is_taken_for_a_directory_that_cannot_be() -> None:
    output = SparseOutput()
    output.seek(1 << 40)
    output.write(pack_end_records(2, 1 << 40, 0))
    with refused("EOCD", output.size - 22, "*", str(1 << 40)):
        entries(output)


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
    data = closed(pack_local_header(record, False) + b"hello", [made_by(system, record)])
    assert entries(data) == [Entry(name, record, 35 + len(raw))]
    assert contents(data, entries(data)[0]) == b"hello"


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
    data = closed(pack_local_header(record, False) + target, [made_by(system, record)])
    assert entries(data)[0].record.attributes == expected


def test_dates_without_month_or_day_are_the_first_of_1980() -> None:
    dates = [0, DATE & ~(15 << 21), DATE & ~(31 << 16), DATE, 0x0021_0001]
    found = [entries(listed(A._replace(date=date)))[0].record.date for date in dates]
    assert found == [0x0021_0000, 0x0021_0000, 0x0021_0000, DATE, 0x0021_0001]


STREAMED = A._replace(flags=DESCRIPTOR)
SIZES64 = pack_local_header(A, True)
DESCRIBED = struct.pack("<4s3I", b"PK\7\x08", A.crc, 5, 5)
DESCRIBED64 = struct.pack("<4sI2Q", b"PK\7\x08", A.crc, 5, 5)

# What the directory says of a member, and its local record.
AGREEING: dict[str, tuple[Record, bytes]] = {
    "version and date": (A, put(4, "3HI", 45, 0, 0, 7)[:36]),
    "zip64 for small sizes": (A, SIZES64 + b"hello"),
    "more behind zip64": (A, put(28, "H", 24, data=SIZES64) + b"\7\0\0\0hello"),
    "a descriptor": (STREAMED, pack_local_header(STREAMED, False) + b"hello" + DESCRIBED),
    "a descriptor, all known": (STREAMED, put(6, "H", 8)[:36] + DESCRIBED),
    "a descriptor, saturated": (
        STREAMED,
        pack_local_header(STREAMED, True) + b"hello" + DESCRIBED64,
    ),
    "a descriptor in the local header alone": (A, put(6, "H", 8)[:36] + DESCRIBED),
    "UTF-8": (A, put(6, "H", UTF8)[:36]),
    **{
        f"a descriptor, {numbers}": (
            STREAMED,
            put(6, "2H4I", 8, 0, DATE, *numbers)[:36] + DESCRIBED,
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
    data = zipped(file=OneWay(), zip64=True)
    assert {name: contents(data, entry) for name, entry in agreed(data).items()} == MEMBERS


NUMBERS, KIND = f"CRC and sizes*({A.crc}, 5, 5)", "flags, method and name*(0, 0, b'a')"
LOCAL_REFUSED: dict[str, tuple[Record, bytes, str, str]] = {
    "signature": (A, put(2, "B", 1), repr(b"PK\3\4"), "b'PK?x01?x04'"),
    "another name": (A, put(30, "B", 98), KIND, "(0, 0, b'b')"),
    "no name": (A, put(26, "H", 0), KIND, "(0, 0, b'')"),
    "longer name": (A, put(26, "H", 2), KIND, "(0, 0, b'ah')"),
    "name cut off": (A, GOOD[:30], KIND, "(0, 0, b'')"),
    "method": (A, put(8, "H", 8), KIND, "(0, 8, b'a')"),
    "encrypted": (A, put(6, "H", 1), KIND, "(1, 0, b'a')"),
    "level of what is stored": (A, put(6, "H", 6), KIND, "(6, 0, b'a')"),
    "descriptor": (A, put(6, "H", 8), f"a data descriptor of ({A.crc}, 5, 5) in 16 *", "b''"),
    "CRC": (A, put(14, "I", 1), NUMBERS, "(1, 5, 5)"),
    "compressed size": (A, put(18, "I", 4), NUMBERS, f"({A.crc}, 5, 4)"),
    "size": (A, put(22, "I", 4), NUMBERS, f"({A.crc}, 4, 5)"),
    "no numbers": (A, put(14, "3I", 0, 0, 0), NUMBERS, "(0, 0, 0)"),
    "saturated": (A, put(18, "2I", LIMIT, LIMIT), NUMBERS, f"*{LIMIT}, {LIMIT})"),
    "zip64 size": (A, put(35, "Q", 4, data=SIZES64) + b"hello", NUMBERS, f"({A.crc}, 4, 5)"),
    "zip64 cut off": (A, SIZES64[:40], "at most -11 bytes*", "5 bytes of data"),
    "descriptor, CRC": (STREAMED, put(6, "2H4I", 8, 0, 0, 1, 0, 0), "CRC*", "(1, 0, 0)"),
    "descriptor, one size": (STREAMED, put(6, "2H4I", 8, 0, 0, 0, 4, 0), "CRC*", "(0, 0, 4)"),
    "descriptor, other size": (STREAMED, put(6, "2H4I", 8, 0, 0, 0, 0, 4), "CRC*", "(0, 4, 0)"),
    "extra field too long": (A, put(28, "H", 1), "at most 4 bytes *", "5 bytes of data"),
    "extra field far too long": (A, put(28, "H", 99), "at most -94 bytes *", "5 bytes of data"),
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
    with refused(f"*{'record of' if at == 41 else 'local file header'}*", at, expected, found):
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
    good = (GOOD, WIDE, zipped(few, file=OneWay()), b"#!" + zipped(few, comment=b"so"))
    read = denied = 0
    for seed in range(8000):
        data, end = mutated(good[seed % 4], random.Random(seed)), 0
        try:
            found = entries(data)
        except BadArchiveError:
            denied += 1
            continue
        for _, record, after in sorted(found, key=lambda entry: entry.record.offset):
            assert end <= record.offset < after <= len(data), seed
            end = after
        for entry in found:
            begin, header = entry.record.offset, data[entry.record.offset : entry.end]
            with contextlib.suppress(BadArchiveError):
                at = find_data_offset(Judge(PATH), entry, header, partial(piece, data))
                assert begin + 30 < at <= at + entry.record.compressed_size <= entry.end, seed
                read += 1
    assert read > 1000 < denied
