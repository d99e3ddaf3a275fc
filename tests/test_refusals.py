"""What the strict reader refuses, by its ids, and what is odd and passes.

Archives are made byte by byte (`odd_archives`), each odd in one thing. Each of the classes in which
readers are known to disagree has its variants here.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import damage
import parazip
from odd_archives import (
    DEFLATED,
    DESCRIPTOR,
    ENCRYPTED,
    LIMIT16,
    LIMIT32,
    MASKED,
    PATCH,
    STORED,
    UTF8,
    Item,
    deflated,
    descriptor,
    descriptor64,
    end_records64,
    extra,
    extra64,
    unicode_path,
    zipped,
)
from parazip import BadArchiveError, DuplicateMemberError, NotCopiedError, Selection, archives
from parazip.codecs import inflating
from parazip.contents import RANGE
from parazip.format.local import find_data_offset
from parazip.format.reader import read_directory
from parazip.format.refusals import REFUSALS, Judge
from parazip.merging import OnDuplicate

DOCS = Path(__file__).parent.parent / "docs" / "refusals.md"
TEXT = b"def f(): return 'something'\n" * 9
PACKED = deflated(TEXT)
NOISE = b'#!/bin/sh\nexec unpack "$0"\n' * 3
A, B, LAST = Item(b"a.py", TEXT), Item(b"d/b", b"stored", STORED), Item(b"last", b"1", STORED)
EMPTY = Item(b"empty", b"", STORED)
NAMES = ["a.py", "d/b", "last"]
PLAIN = zipped(A, B, LAST)
BEGIN = PLAIN.index(b"PK\1\2")
LENGTH = len(PLAIN) - 22 - BEGIN
RECORD = A.headers(0)[0] + PACKED


def record(name: bytes = b"evil.py", contents: bytes = b"evil", **lies: int | bytes) -> bytes:
    """A stored member's record, and the lies in its header."""
    item = Item(name, contents, STORED, local=lies)
    return item.headers(0)[0] + contents


def newer(record: bytes) -> bytes:
    """The record as of a version that this format does not have yet (APPNOTE 4.4.3)."""
    return record[:4] + b"\x40" + record[5:]


def with_zip64_field(record: bytes) -> bytes:
    """The record with its sizes in a zip64 field (APPNOTE 4.5.3)."""
    sizes = struct.unpack_from("<2I", record, 18)
    name = struct.unpack_from("<H", record, 26)[0]
    field = struct.pack("<2H2Q", 1, 16, sizes[1], sizes[0])
    head = record[:18] + b"\xff" * 8 + struct.pack("<2H", name, len(field))
    return head + record[30 : 30 + name] + field + record[30 + name :]


LATE: dict[str, int | bytes] = {"crc": 0, "packed": 0, "size": 0}
DOS, NTFS, DARWIN = 0, 10, 19
FILE, FOLDER, LINK, PIPE, DEVICE = (
    kind << 16 for kind in (0o100644, 0o040775, 0o120777, 0o010644, 0o020666)
)
EMPTY_BLOCKS = b"\0\0\0\xff\xff" * (RANGE // 5)
PACKED_A = b"\1\1\0\xfe\xffa"
"""A stored block of one letter, the last one."""
CHINESE = "\u4e2d\u6587.txt"
GBK = CHINESE.encode("gbk")
ESCAPED = b"d/#U4e2d#U6587.txt"
CODE = b"\x81\x3ePK\3\4\x0f\x85\xa7\n\0\0\x0f\xb6\x46\4\x88\x45\x10\x41\x0f\xb7\x46" + bytes(64)
"""A comparison of a signature, and what it is for."""
EXECUTABLE = b"\x7fELF" + bytes(range(256)) * 9 + b"PK\3\4 PK\1\2 PK\5\6" + bytes(99)
"""A program in front that reads archives: it has their signatures."""


def one(**fields: Any) -> bytes:
    """`PLAIN`, but for one thing about its first member."""
    return zipped(A._replace(**fields), B, LAST)


def empty(**fields: Any) -> bytes:
    """A member of no bytes between others, and one thing about it."""
    return zipped(A, EMPTY._replace(**fields), LAST)


def last(**fields: Any) -> bytes:
    """`PLAIN`, but for one thing about its last member."""
    return zipped(A, B, LAST._replace(**fields))


def streamed(after: bytes, **fields: Any) -> bytes:
    """`PLAIN`, but what stands in for the data descriptor of its first member."""
    fields = {"both": {"flags": DESCRIPTOR}, "local": LATE, **fields}
    return one(after=after, **fields)


def stored(contents: bytes, after: bytes | None = None, **fields: Any) -> bytes:
    """A stored member with a data descriptor, whose sizes nothing else tells who reads a stream."""
    fields = {"both": {"flags": DESCRIPTOR}, "local": LATE, **fields}
    after = descriptor(contents, contents) if after is None else after
    return zipped(A, Item(b"in", contents, STORED, after=after, **fields), LAST)


def with_crc(crc: int) -> bytes:
    """Contents whose CRC-32 is that: the last four bytes make it so."""
    table = [0] * 256
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        table[byte] = value
    state, wanted, steps = zlib.crc32(TEXT) ^ LIMIT32, crc ^ LIMIT32, []
    for _ in range(4):
        step = next(i for i, value in enumerate(table) if value >> 24 == wanted >> 24)
        steps.append(step)
        wanted = (wanted ^ table[step]) << 8 & LIMIT32
    end = b""
    for step in reversed(steps):
        end += bytes([(state ^ step) & 255])
        state = state >> 8 ^ table[step]
    return TEXT + end


LIKE_A_SIGNATURE = with_crc(0x08074B50)
SIGNED = TEXT + b"PK\7\x08" + bytes(99)


def tar(name: str = "evil") -> bytes:
    """A tar archive of one member."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size = 4
        archive.addfile(info, io.BytesIO(b"evil"))
    return output.getvalue()


def old_tar() -> bytes:
    """The same as tar made it before there was a magic number for it."""
    block = bytearray(tar()[:512])
    block[257:265] = bytes(8)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + tar()[512:]


def like_libarchive(
    attributes: int, system: int = 3, internal: bytes = b"", more: bytes = b""
) -> bytes:
    """libarchive's experimental extra field."""
    bits = 5 | (2 if internal else 0) | (0x80 if more else 0)
    data = bytes([bits]) + more + struct.pack("<H", system << 8 | 20) + internal
    return extra(0x6C78, data + struct.pack("<I", attributes))


def asi(mode: int, target: bytes = b"") -> bytes:
    """The extra field of ASi (APPNOTE 4.6.8)."""
    data = struct.pack("<HI2H", mode, len(target), 0, 0) + target
    return extra(0x756E, struct.pack("<I", zlib.crc32(data)) + data)


def told(field: bytes, attributes: int = FILE, contents: bytes = b"/etc", **fields: Any) -> bytes:
    """A member with an extra field in both headers."""
    fields = {"local_extra": field, "central_extra": field, **fields}
    central = {"attributes": attributes, **fields.pop("central", {})}
    return zipped(Item(b"n", contents, STORED, central=central, **fields), LAST)


def flagged(bit: int) -> bytes:
    """A stored member whose local header alone has a flag."""
    return zipped(A, B._replace(local={"flags": 1 << bit}), LAST)


def wide(end: dict[str, int | bytes] | None = None, **lies: int) -> bytes:
    """`PLAIN` with zip64's end records."""
    if end is None:
        end = {"here": LIMIT16, "count": LIMIT16, "length": LIMIT32, "offset": LIMIT32}
    return zipped(A, B, LAST, end=end, wide=end_records64(3, LENGTH, BEGIN, lies))


def kept(name: bytes, attributes: int, system: int = 3, contents: bytes = b"") -> bytes:
    """A member with attributes by a system."""
    central = {"made_by": system << 8 | 20, "attributes": attributes}
    return zipped(Item(name, contents, STORED, central=central), LAST)


def named(raw: bytes, field: bytes, **fields: Any) -> Item:
    """A member by MS-DOS with a Unicode path in both headers."""
    central = {"made_by": 20}
    item = Item(raw, TEXT, central=central, local_extra=field, central_extra=field)
    return item._replace(**fields)


def chinese(**lies: Any) -> bytes:
    """A Unicode path of `GBK`."""
    return unicode_path(GBK, CHINESE.encode(), **lies)


def signing_block(pairs: bytes | None = None) -> bytes:
    """An APK Signing Block."""
    if pairs is None:
        pairs = struct.pack("<QI", 4 + 100, 0x7109871A) + bytes(100)
    length = struct.pack("<Q", len(pairs) + 24)
    return length + pairs + length + b"APK Sig Block 42"


def two_directories(other: bytes) -> bytes:
    """What stands in front is not counted, and where the offset leads without it stands `other`."""
    local, central = LAST.headers(200 - 35)  # the directory's offset less the record's bytes
    front = bytes(200) + other.ljust(200)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), 200, 0)
    return front + local + LAST.data() + central + end


def two_records() -> bytes:
    """What stands in front is not counted; without it an offset leads into the data of `a`."""
    inside = bytes(150) + LAST.headers(0)[0] + LAST.data() + bytes(15)
    return bytes(50) + zipped(Item(b"a", inside, STORED), LAST)


def two_zip64_end_records() -> bytes:
    """What stands in front is not counted; without it the locator leads into the data of `a`."""
    inside = bytes(247) + b"PK\6\6" + bytes(49)
    saturated: dict[str, int | bytes] = {"length": LIMIT32, "offset": LIMIT32}
    records = end_records64(1, 47, 331)
    return bytes(100) + zipped(Item(b"a", inside, STORED), end=saturated, wide=records)


def incomplete_distances() -> bytes:
    """A deflate stream of "a" with codes for two distances, of the four that have their length."""
    order = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1)
    lengths = {0: 2, 1: 2, 2: 2, 18: 2}
    one, two, zeros = damage.code(1, 2), damage.code(2, 2), damage.code(3, 2)
    return damage.bits(
        *((1, 1), (2, 2), (0, 5), (1, 5), (len(order) - 4, 4)),
        *((lengths.get(symbol, 0), 3) for symbol in order),
        *(zeros, (97 - 11, 7), one),  # "a" has one bit
        *(zeros, (138 - 11, 7), zeros, (20 - 11, 7), one),  # and so has the end of the block
        *(two, two),
        *(damage.code(0, 1), damage.code(1, 1)),
    )


REFUSED: dict[str, dict[str, Callable[[], bytes]]] = {
    # The end
    "no-end-record": {
        "nothing": lambda: b"",
        "no archive": lambda: TEXT,
        "records alone": lambda: PLAIN[:BEGIN],
        "half an end record": lambda: PLAIN[:-5],
    },
    "comment-cut-off": {
        "zeros in the place of a byte": lambda: (
            zipped(A, end={"comment": LIMIT16}, comment=b"comment") + bytes(99)
        ),
        "a byte of the comment": lambda: zipped(A, comment=b"comment")[:-1],
        "the comment": lambda: zipped(A, end={"comment": 1}),
        "the longest comment": lambda: zipped(A, end={"comment": LIMIT16}, comment=bytes(9)),
    },
    "bytes-behind-archive": {
        "a byte": lambda: PLAIN + b"\n",
        "a zero": lambda: PLAIN + b"\0",
        "zeros up to a block's end": lambda: PLAIN + bytes(10_240 - len(PLAIN)),
        "zeros and a byte": lambda: PLAIN + bytes(511) + b"\n",
        "zeros and an archive": lambda: PLAIN + bytes(511) + RECORD,
        "behind a comment": lambda: zipped(A, comment=b"comment") + b"-",
        "a comment of no length": lambda: zipped(A, end={"comment": 0}, comment=b"comment"),
        "a record": lambda: PLAIN + RECORD,
        "half an end record": lambda: PLAIN + b"PK\5\6" + bytes(9),
    },
    "end-record-in-comment": {
        "an archive and a byte": lambda: zipped(A, comment=zipped(B) + b"-"),
        "an archive": lambda: zipped(A, comment=zipped(B)),
        "an empty archive": lambda: zipped(A, comment=zipped() + bytes(99)),
        "one that is cut off": lambda: zipped(A, comment=b"hi PK\5\6 and so on"),
        "its signature alone": lambda: zipped(A, comment=b"PK\5\6"),
        "an archive whose comment is too short": lambda: zipped(
            A, comment=zipped(B, end={"comment": 3}, comment=b"no")
        ),
        "an archive whose comment is too long": lambda: zipped(
            A, comment=zipped(B, end={"comment": 1}, comment=b"yes")
        ),
        "an archive in an empty one": lambda: zipped(comment=zipped(B) + b"-"),
    },
    "end-record-in-front": {
        "an empty archive": lambda: zipped() + PLAIN,
        "one that counts": lambda: zipped(A, front=zipped(comment=b"and so on")),
        "its signature alone": lambda: b"PK\5\6" + PLAIN,
        "zip64's": lambda: zipped(A, front=b"PK\6\6 and so on"),
        "a directory": lambda: zipped(A, front=A.headers(0)[1]),
        "behind the mark of a split archive": lambda: zipped(A, front=b"PK00" + zipped()),
        "far behind it": lambda: zipped(A, front=b"PK\7\x08" + bytes(3 << 20) + zipped()),
        "a directory behind it": lambda: zipped(A, front=b"PK\7\x08 PK\1\2"),
    },
    "other-archive-in-front": {
        "tar": lambda: zipped(A, front=tar()),
        "tar, not counted": lambda: tar() + PLAIN,
        "tar without a magic number": lambda: zipped(A, front=old_tar()),
        "tar of a name that is not ASCII": lambda: zipped(A, front=tar("\u00fc" * 9)),
        "an empty tar": lambda: zipped(A, front=bytes(10240)),
        "a block of zeros": lambda: bytes(512) + PLAIN,
        "gzip": lambda: zipped(A, front=gzip.compress(tar())),
        "bzip2": lambda: zipped(A, front=bz2.compress(tar())),
        "xz": lambda: zipped(A, front=lzma.compress(tar())),
        "LZMA": lambda: zipped(A, front=lzma.compress(tar(), lzma.FORMAT_ALONE)),
        "cpio": lambda: zipped(A, front=b"070701" + b"0" * 104 + b"evil"),
        "7z": lambda: zipped(A, front=b"7z\xbc\xaf\x27\x1c\0\4" + bytes(24)),
        "ISO 9660": lambda: zipped(A, front=b"#" + bytes(0x8000) + b"CD001\1" + bytes(99)),
        **{
            f"{front!r}": partial(lambda front: zipped(A, front=front.ljust(99, b"-")), front)
            for front in (
                b"begin 144 evil\n",
                b"\xed\xab\xee\xdb\3\0",
                b"\x50\x2a\x4d\x18\4\0\0\0",
                b"\x5f\x2a\x4d\x18\4\0\0\0",
                b"\x02\x21\x4c\x18",
                b"\x89LZO\0\r\n\x1a\n",
            )
        },
        "text": lambda: zipped(A, front=b"begin 644 evil\n$979I;```\n`\nend\n"),
    },
    "split-archive": {
        "this disk": lambda: zipped(A, end={"disk": 1}),
        "the directory's, with a link": lambda: zipped(
            Item(b"l", b"a", central={"attributes": LINK}), end={"first": 1}
        ),
        "both disks": lambda: zipped(A, end={"disk": 1, "first": 1}),
        "saturated": lambda: zipped(A, end={"disk": LIMIT16}),
        "both saturated": lambda: zipped(A, end={"disk": LIMIT16, "first": LIMIT16}),
        "a member's, saturated": lambda: one(central={"disk": LIMIT16}),
        "a member's, saturated, beside sizes": lambda: one(
            central={"disk": LIMIT16, "size": LIMIT32}, central_extra=extra64(len(TEXT))
        ),
        "a member's": lambda: one(central={"disk": 1}),
        "a member's in zip64": lambda: one(
            central={"disk": LIMIT16}, central_extra=extra(1, b"\2\0\0\0")
        ),
        "zip64": lambda: wide(disk=1),
        "zip64's first": lambda: wide(first=1),
        "a locator's": lambda: wide(locator_disk=1),
        "a locator of two": lambda: wide(disks=2),
        "a locator of none": lambda: wide(disks=0),
    },
    "count-mismatch": {
        "one more": lambda: zipped(A, B, end={"here": 3, "count": 3}),
        "one less": lambda: zipped(A, B, end={"here": 1, "count": 1}),
        "none": lambda: zipped(A, B, end={"here": 0, "count": 0}),
        "two counts": lambda: zipped(A, B, end={"here": 1}),
        "zip64": lambda: wide(count=1 << 40, here=1 << 40),
    },
    "directory-place": {
        "longer than the file": lambda: zipped(A, end={"length": LIMIT32 - 1}),
        "behind itself": lambda: zipped(A, end={"offset": BEGIN + 99}),
        "zip64's length": lambda: wide(length=1 << 62, at=BEGIN + (1 << 62)),
        "zip64's offset": lambda: wide(offset=1 << 62, at=LENGTH + (1 << 62)),
    },
    "two-directories": {
        "by offset and by size": lambda: two_directories(A.headers(0)[1]),
        "an end record by offset": lambda: two_directories(b"PK\5\6" + bytes(18)),
        "a byte too early": lambda: zipped(A, end={"length": len(A.headers(0)[1]) - 1}),
    },
    "zip64-locator": {
        "none": lambda: zipped(A, end={"offset": LIMIT32}),
        "another offset": lambda: wide(at=0),
        "a byte off": lambda: wide(at=BEGIN + LENGTH + 1),
    },
    "zip64-end-record": {
        "its size": lambda: wide(size=45),
        "its signature": lambda: wide().replace(b"PK\6\6", b"PK\6\5"),
        "none": lambda: zipped(wide=end_records64(0, 0, 0)[56:]),
    },
    "zip64-end-mismatch": {
        "count": lambda: wide({"here": 1, "count": 1}),
        "length": lambda: wide({"length": LENGTH - 1}),
        "offset": lambda: wide({"offset": BEGIN - 1}),
        "zip64 has less": lambda: wide({}, count=1, here=1),
    },
    "two-zip64-end-records": {
        "by locator and by search": lambda: two_zip64_end_records(),
    },
    # The central directory
    "central-header": {
        "signature": lambda: one(central={"signature": b"PK\1\3"}),
        "name that runs out": lambda: last(central={"name": 99}),
        "extra field that runs out": lambda: last(central={"extra": LIMIT16}),
        "comment that runs out": lambda: last(central={"comment": 1}),
    },
    "extra-field-cut-off": {
        "over its end": lambda: one(central_extra=extra(0x5455, b"12345", 9)),
        "over its end, local": lambda: one(local_extra=extra(0x5455, b"12345", 9)),
        "behind another": lambda: one(central_extra=extra(7, b"1") + extra(8, b"", 1)),
        "half a field": lambda: one(central_extra=b"UT"),
        "half a field, local": lambda: one(local_extra=b"UT\0"),
        "of nothing": lambda: empty(local_extra=extra(7, b"", LIMIT16)),
        "zip64": lambda: one(central={"size": LIMIT32}, central_extra=extra64(len(TEXT))[:-1]),
    },
    "zip64-field-missing": {
        "size": lambda: one(both={"size": LIMIT32}),
        "compressed size": lambda: one(both={"packed": LIMIT32}),
        "offset": lambda: one(central={"offset": LIMIT32}),
        "empty": lambda: one(central={"size": LIMIT32}, central_extra=extra64()),
        "half": lambda: one(
            central={"size": LIMIT32, "packed": LIMIT32}, central_extra=extra64(len(TEXT))
        ),
        "too short": lambda: one(central={"size": LIMIT32}, central_extra=extra(1, b"1234567")),
        "local, half": lambda: one(
            local={"size": LIMIT32, "packed": LIMIT32}, local_extra=extra64(len(TEXT))
        ),
    },
    "zip64-field-twice": {
        "equal": lambda: one(central={"size": LIMIT32}, central_extra=2 * extra64(len(TEXT))),
        "with another between": lambda: one(
            central={"size": LIMIT32},
            central_extra=extra64(len(TEXT)) + extra(7, b"-") + extra64(5),
        ),
        "not needed": lambda: one(central_extra=2 * extra64()),
        "local": lambda: one(
            local={"size": LIMIT32, "packed": LIMIT32},
            local_extra=2 * extra64(len(TEXT), len(PACKED)),
        ),
        "of nothing": lambda: empty(local_extra=2 * extra64(0, 0)),
    },
    "zip64-field-length": {
        "a tail": lambda: one(central={"size": LIMIT32}, central_extra=extra64(len(TEXT), 5)),
        "both sizes for one": lambda: one(
            central={"size": LIMIT32}, central_extra=extra64(len(TEXT), len(PACKED))
        ),
        "a disk that is not told": lambda: one(
            central={"size": LIMIT32}, central_extra=extra(1, struct.pack("<QI", len(TEXT), 0))
        ),
        "local": lambda: one(
            local={"size": LIMIT32, "packed": LIMIT32},
            local_extra=extra64(len(TEXT), len(PACKED), 0),
        ),
    },
    "zip64-field-mismatch": {
        "size": lambda: one(central_extra=extra64(5)),
        "compressed size": lambda: one(central_extra=extra64(len(TEXT), 5)),
        "offset": lambda: one(central_extra=extra64(len(TEXT), len(PACKED), 5)),
        "odd bytes": lambda: one(central_extra=extra(1, b"-")),
        "local": lambda: one(local_extra=extra64(5, 5)),
        "local, beside a descriptor": lambda: streamed(
            descriptor(TEXT, PACKED), local_extra=extra64(5, 5)
        ),
        "local, one is not saturated": lambda: one(
            local={"size": LIMIT32}, local_extra=extra64(len(TEXT), 5)
        ),
        "of nothing": lambda: empty(local_extra=extra64(5, 5)),
        "of nothing, in the directory": lambda: empty(central_extra=extra64(5, 5)),
    },
    "version-needed": {
        "25.5": lambda: one(both={"version": 255}),
        "6.4": lambda: one(central={"version": 64}),
        "of nothing": lambda: empty(both={"version": 64}),
    },
    "size-impossible": {
        "stored, of two sizes": lambda: one(method=STORED, both={"size": 1}),
        "stored, of a size and no bytes": lambda: empty(both={"size": 1}),
        "deflated, of no bytes": lambda: one(packed=b""),
        "more than 1,032 times": lambda: one(both={"size": 1033 * len(PACKED)}),
    },
    "crc-of-nothing": {
        "stored": lambda: empty(both={"crc": 5}),
        "deflated": lambda: empty(method=DEFLATED, both={"crc": 5}),
        "in the directory": lambda: empty(central={"crc": 5}),
        "a folder": lambda: empty(name=b"d/", both={"crc": 5}),
    },
    "deflate-stream-missing": {
        "a file": lambda: empty(method=DEFLATED, packed=b""),
        "a folder": lambda: empty(name=b"d/", method=DEFLATED, packed=b""),
    },
    "name-missing": {"none": lambda: one(name=b""), "of nothing": lambda: empty(name=b"")},
    "name-with-nul": {
        "inside": lambda: one(name=b"a.py\0.txt"),
        "at the end": lambda: one(name=b"a.py\0"),
        "not ASCII": lambda: one(name=b"\xfc\0"),
    },
    "name-not-utf-8": {
        "bytes": lambda: one(name=b"a\xff", both={"flags": UTF8}),
        "a surrogate": lambda: one(name=b"\xed\xa0\x80", both={"flags": UTF8}),
        "too long a form": lambda: one(name=b"\xc0\xaf", both={"flags": UTF8}),
    },
    "name-too-deep": {"2,049 steps": lambda: one(name=b"a/" * 2049)},
    "name-with-backslash": {
        "MS-DOS": lambda: kept(b"a\\b", 0x20, DOS),
        "NTFS": lambda: kept(b"a\\b", 0x20, NTFS),
        "a folder": lambda: kept(b"a\\", 0x10, DOS),
        "beside a slash": lambda: kept(b"c/a\\b", 0x20, DOS),
    },
    "name-in-two-forms": {
        "NFC and NFD": lambda: zipped(
            Item("\u00fc".encode(), both={"flags": UTF8}),
            Item("u\u0308".encode(), both={"flags": UTF8}),
        ),
        "NFC and NFD, by Unix without the flag": lambda: zipped(
            Item("d/\u00fc/x".encode()), Item("d/u\u0308/x".encode())
        ),
        "with and without the flag": lambda: zipped(
            Item("\u00fc".encode(), both={"flags": UTF8}),
            Item("\u00fc".encode(), central={"made_by": 20}),
        ),
        "backslash and slash": lambda: zipped(Item(b"a\\b"), Item(b"a/b")),
        "VMS's version": lambda: zipped(A, Item(b"a.py;1")),
        "VMS's version in a folder": lambda: zipped(Item(b"d/a;12"), Item(b"d/a")),
        "no number": lambda: zipped(A, Item(b"a.py;")),
        "two versions": lambda: zipped(Item(b"n;1"), Item(b"n;2")),
        "a version that is not ASCII": lambda: zipped(
            Item("\u00fc;1".encode(), both={"flags": UTF8}),
            Item("\u00fc".encode(), both={"flags": UTF8}),
        ),
        "a control character": lambda: zipped(A, Item(b"a\1.py")),
        "DEL": lambda: zipped(Item(b"\x7fa.py"), A),
        "a line feed": lambda: zipped(A, Item(b"a.py\n")),
        "a folder with a control character": lambda: zipped(Item(b"d\x1b/x"), Item(b"d/x")),
        "a control character behind a version": lambda: zipped(A, Item(b"a.py;1\t")),
        "a file that is a folder": lambda: zipped(Item(b"a;2"), Item(b"a/b")),
        "a folder that is a file": lambda: zipped(Item(b"a"), Item(b"a\1/b")),
        "a folder alone that is a file": lambda: zipped(Item(b"a"), Item(b"a\1/", b"", STORED)),
        "only Unicode paths tell them apart": lambda: zipped(
            named(b"?", unicode_path(b"?", "\u4e2d".encode())),
            named(b"?", unicode_path(b"?", "\u6587".encode())),
        ),
        "only code pages tell them apart": lambda: zipped(
            Item(b"\xc3\xa9", central={"made_by": 20}), Item(b"\xc3\xa9")
        ),
        "one that is in UTF-8 what another is in a code page": lambda: zipped(
            Item(b"\xc3\xa9".decode("cp437").encode(), both={"flags": UTF8}), Item(b"\xc3\xa9")
        ),
    },
    "unicode-path-twice": {
        "another": lambda: zipped(named(GBK, chinese() + unicode_path(GBK, b"x.txt"))),
        "equal": lambda: zipped(named(GBK, 2 * chinese())),
        "one of them of another name": lambda: zipped(named(GBK, chinese(crc=1) + chinese())),
        "chained": lambda: zipped(
            named(GBK, chinese() + unicode_path(CHINESE.encode(), "\u00fc.txt".encode()))
        ),
        "local": lambda: zipped(named(GBK, chinese())._replace(local_extra=2 * chinese())),
    },
    "unicode-path-invalid": {
        "version 0": lambda: zipped(named(GBK, chinese(version=0))),
        "version 2": lambda: zipped(named(GBK, chinese(version=2))),
        "no name": lambda: zipped(named(GBK, unicode_path(GBK, b""))),
        "NUL": lambda: zipped(named(GBK, unicode_path(GBK, "\u4e2d\0.txt".encode()))),
        "bad UTF-8": lambda: zipped(named(GBK, unicode_path(GBK, b"\xff.txt"))),
        "cut off": lambda: zipped(named(GBK, extra(0x7075, b"\1\0\0"))),
        "nothing": lambda: zipped(named(GBK, extra(0x7075, b""))),
    },
    "unicode-path-mismatch": {
        "two names swapped": lambda: zipped(
            named(b"a", unicode_path(b"a", b"b")), named(b"b", unicode_path(b"b", b"a"))
        ),
        "two names made one": lambda: zipped(
            named(b"a", unicode_path(b"a", b"c")), named(b"b", unicode_path(b"b", b"c"))
        ),
        "a file made a folder": lambda: zipped(
            named(GBK, unicode_path(GBK, CHINESE.encode() + b"/"))
        ),
        "steps": lambda: zipped(named(GBK, unicode_path(GBK, "\u4e2d/\u6587.txt".encode()))),
        "a way out": lambda: zipped(named(GBK, unicode_path(GBK, "../\u4e2d.txt".encode()))),
        **{
            f"beside {raw!r}": partial(
                lambda raw, path: zipped(named(raw, unicode_path(raw, path.encode()))), raw, path
            )
            for raw, path in (
                (b"../evil", "\u00e9/\u00e8"),
                (b"/evil", "\u00e9/\u00e8"),
                (b"..\\evil", "\u00e9"),
                (b"evil.py", "\u00e9.py"),
                (b"\x82evil.py", "\u00e9.py"),
                (b".py", "\u00e9.py"),
                (b"", "\u00e9"),
                (b"a\0b", "\u00e9"),
                (b"\x82\0", "\u00e9"),
                (b"#U12", "\u00e9"),
                (b"a?evil?b", "a\u00e9?\u00e9b"),
            )
        },
        "another end": lambda: zipped(named(GBK, unicode_path(GBK, "\u4e2d\u6587.exe".encode()))),
        "beside the flag of UTF-8": lambda: zipped(
            named(
                "\u00fc.txt".encode(),
                unicode_path("\u00fc.txt".encode(), CHINESE.encode()),
                both={"flags": UTF8},
            )
        ),
        "another one in the local header": lambda: zipped(
            named(GBK, chinese())._replace(
                local_extra=unicode_path(GBK, "\u00fc\u00e4.txt".encode())
            )
        ),
        "in the local header alone": lambda: zipped(
            named(GBK, chinese())._replace(central_extra=b"")
        ),
    },
    "folder-with-contents": {
        "a slash": lambda: kept(b"d/", FOLDER, contents=b"1"),
        "a slash, a file's mode": lambda: kept(b"d/", FILE, contents=b"1"),
        "Unix": lambda: kept(b"d", FOLDER, contents=b"1"),
        "macOS": lambda: kept(b"d", FOLDER, DARWIN, contents=b"1"),
        "MS-DOS": lambda: kept(b"d", 0x10, DOS, contents=b"1"),
        "NTFS": lambda: kept(b"d", 0x10, NTFS, contents=b"1"),
        "deflated": lambda: zipped(Item(b"d/", TEXT)),
        "Amiga": lambda: kept(b"d", 0o4755 << 16, 1, contents=b"1"),
        "a volume label's": lambda: kept(b"d/", 0x18, DOS, contents=b"1"),
    },
    "kind-mismatch": {
        "a link to libarchive": lambda: told(like_libarchive(LINK)),
        "in the local header": lambda: told(like_libarchive(LINK), central_extra=b""),
        "in the directory": lambda: told(like_libarchive(LINK), local_extra=b""),
        "a folder": lambda: told(like_libarchive(FOLDER)),
        "a folder of nothing": lambda: told(like_libarchive(FOLDER), contents=b""),
        "a folder by MS-DOS": lambda: told(like_libarchive(0x10, DOS)),
        "a device": lambda: told(like_libarchive(DEVICE)),
        "a file to libarchive": lambda: told(like_libarchive(FILE), LINK),
        "no kind beside a link": lambda: told(like_libarchive(0), LINK),
        "a folder beside a link": lambda: told(like_libarchive(FOLDER), LINK),
        "behind another": lambda: told(like_libarchive(FILE) + like_libarchive(LINK)),
        "with internal attributes": lambda: told(like_libarchive(LINK, internal=b"\1\0")),
        "with more bits": lambda: told(like_libarchive(LINK, more=b"\x80\1")),
        "by the system of the header": lambda: told(
            extra(0x6C78, b"\4" + struct.pack("<I", LINK)), local_extra=b""
        ),
        "a link to unzip": lambda: told(asi(0o120777), 0),
        "a link to unzip by MS-DOS's attributes": lambda: told(asi(0o120777, b"/etc"), 0x20),
        "a link to unzip by VMS": lambda: told(asi(0o120777), 0, central={"made_by": 2 << 8}),
    },
    "link-target": {
        "none": lambda: kept(b"l", LINK),
        "none, deflated": lambda: zipped(Item(b"l", central={"attributes": LINK})),
        "4,096 bytes": lambda: kept(b"l", LINK, contents=b"a/" * 2048),
        "deflated": lambda: zipped(Item(b"l", b"a" * 5000, central={"attributes": LINK})),
        "NUL": lambda: kept(b"l", LINK, contents=b"a\0b"),
        "NUL at the end": lambda: kept(b"l", LINK, contents=b"a\0"),
        "NUL, deflated": lambda: zipped(Item(b"l", b"a\0b", central={"attributes": LINK})),
        "in many empty blocks": lambda: zipped(
            Item(b"l", b"a", packed=EMPTY_BLOCKS + PACKED_A, central={"attributes": LINK})
        ),
    },
    "link-mismatch": {
        "a slash": lambda: kept(b"l/", LINK),
        "a slash and a target": lambda: kept(b"l/", LINK, contents=b"/etc"),
        "MS-DOS": lambda: kept(b"l", LINK, DOS, contents=b"/etc"),
        "NTFS": lambda: kept(b"l", LINK, 11, contents=b"/etc"),
        "macOS": lambda: kept(b"l", LINK, DARWIN, contents=b"/etc"),
        "internal attributes": lambda: zipped(
            Item(b"l", b"a", central={"attributes": LINK, "internal": 4})
        ),
    },
    # The records
    "record-outside": {
        "compressed size": lambda: last(both={"packed": 999, "size": 999}),
        "offset": lambda: last(central={"offset": BEGIN}),
        "offset of zip64": lambda: last(
            central={"offset": LIMIT32}, central_extra=extra64(1 << 63)
        ),
    },
    "records-overlap": {
        "one for two": lambda: zipped(A, B._replace(central={"offset": 0})),
        "by a byte": lambda: zipped(A, B._replace(central={"offset": len(RECORD) - 1})),
        "an extra field over the next record": lambda: one(local={"extra": 1}),
        "of nothing, over the next record": lambda: empty(local={"extra": 34}),
        "an extra field over the directory": lambda: last(local={"extra": LIMIT16}),
    },
    "two-records": {
        "with and without what is in front": lambda: two_records(),
    },
    "unlisted-record": {
        "at the start": lambda: zipped(A, front=RECORD),
        "a signature at the start": lambda: b"PK\3\4" + PLAIN,
        "whose sizes go on behind the first": lambda: zipped(
            A, B, front=b"#!/bin/sh\n" + record(packed=200, size=200)
        ),
        "that takes the first for its contents": lambda: zipped(
            A, B, front=EXECUTABLE + record(contents=b"", packed=len(RECORD), size=len(RECORD))
        ),
        "that goes on behind all": lambda: zipped(
            A, front=b"#!/bin/sh\n" + record(packed=1 << 30, size=1 << 30)
        ),
        "of another method": lambda: zipped(A, front=b"#!/bin/sh\n" + record(method=200)),
        "of no method": lambda: zipped(A, front=EXECUTABLE + record(method=0xFFFF)),
        "of odd flags": lambda: zipped(A, front=EXECUTABLE + record(flags=0xFFF6)),
        "without a date": lambda: zipped(A, front=EXECUTABLE + record(date=0, time=0)),
        "whose name ends in NUL": lambda: zipped(A, front=EXECUTABLE + record(b"evil.py\0\0")),
        "whose name has a control character": lambda: zipped(
            A, front=EXECUTABLE + record(b"\1evil.py")
        ),
        "without a name behind a shebang line": lambda: zipped(
            A, front=b"#!/bin/sh\n" + record(b"")
        ),
        "whose signature is cut in two by a piece": lambda: zipped(
            A, front=b"#" * ((1 << 20) - 2) + record(packed=1 << 30)
        ),
        "whose name is cut in two by a piece": lambda: zipped(
            A, front=b"#" * ((1 << 20) - 33) + record(packed=1 << 30)
        ),
        "any behind the mark of a split archive": lambda: zipped(
            A, front=b"PK00" + bytes(9) + b"PK\3\4"
        ),
        "behind that mark, of a version to come, and no end": lambda: zipped(
            A, front=b"PK00" + newer(RECORD) + zipped()
        ),
        "more signatures than programs have": lambda: zipped(A, front=b"#" + b"PK\3\4" * 20_000),
        "half a record at the start": lambda: Item(b"x").headers(0)[0][:-1] + PLAIN,
        "behind a shebang line": lambda: zipped(A, front=b"#!/bin/sh\n" + RECORD),
        "behind a program": lambda: zipped(A, front=EXECUTABLE + RECORD),
        "of a version to come": lambda: zipped(A, front=b"#!/bin/sh\n" + newer(RECORD)),
        "with its sizes in zip64's field": lambda: zipped(
            A, front=b"#!/bin/sh\n" + with_zip64_field(RECORD)
        ),
        "an archive in front": lambda: zipped(B) + PLAIN,
        "an archive in front, counted": lambda: zipped(A, front=zipped(B)),
        "without a name at the start": lambda: zipped(
            A, front=EMPTY._replace(name=b"").headers(0)[0]
        ),
        "in front of nothing": lambda: zipped(front=RECORD),
        "between": lambda: one(after=RECORD),
        "between, of no bytes": lambda: one(after=EMPTY.headers(0)[0]),
        "between, streamed": lambda: one(
            after=Item(b"x", TEXT, both={"flags": DESCRIPTOR}, local=LATE).headers(0)[0] + PACKED
        ),
        "behind a descriptor": lambda: streamed(descriptor(TEXT, PACKED) + RECORD),
        "behind nothing": lambda: empty(after=RECORD),
        "behind some bytes": lambda: one(after=b"some bytes" + RECORD),
        "behind all": lambda: last(after=RECORD),
        "of a version to come, in a signing block": lambda: last(
            after=signing_block(struct.pack("<Q", len(RECORD)) + newer(RECORD))
        ),
        "with zip64's field, in a signing block": lambda: last(
            after=signing_block(
                struct.pack("<Q", len(with_zip64_field(RECORD))) + with_zip64_field(RECORD)
            )
        ),
        "in a signing block": lambda: last(
            after=signing_block(struct.pack("<Q", len(RECORD)) + RECORD)
        ),
        "behind a large member": lambda: zipped(
            Item(b"large", bytes(RANGE + 1), STORED, after=RECORD), LAST
        ),
    },
    "bytes-between-records": {
        "a byte": lambda: one(after=b"-"),
        "zeros": lambda: one(after=bytes(8)),
        "a page of zeros": lambda: one(after=bytes(4096)),
        "a signature": lambda: one(after=b"PK\3\4"),
        "a descriptor that is not announced": lambda: one(after=descriptor(TEXT, PACKED)),
        "zeros behind a descriptor": lambda: streamed(descriptor(TEXT, PACKED) + bytes(4)),
        "behind nothing": lambda: empty(after=b"-"),
        "behind all": lambda: last(after=b"-"),
        "behind zeros": lambda: last(after=bytes(99) + b"-"),
        "a signing block between": lambda: one(after=signing_block()),
        "a signature in a signing block": lambda: last(
            after=signing_block(struct.pack("<Q", 4) + b"PK\3\4")
        ),
        "with NUL in its name, in a signing block": lambda: last(
            after=signing_block(struct.pack("<Q", 50) + record(b"a\0b").ljust(50))
        ),
        "a signing block that lies": lambda: last(after=b"-" + signing_block()[1:]),
        "pairs that run out": lambda: last(after=signing_block(struct.pack("<Q", 99))),
        "a directory": lambda: last(after=A.headers(0)[1]),
        "behind a large member": lambda: zipped(
            Item(b"large", bytes(RANGE + 1), STORED, after=bytes(100_000)), LAST
        ),
    },
    "local-header-missing": {
        "another signature": lambda: one(local={"signature": b"PK\3\5"}),
        "zeros": lambda: zipped(EMPTY._replace(before=bytes(99), central={"offset": 3})),
        "of nothing, another signature": lambda: empty(local={"signature": b"PK\1\2"}),
    },
    "local-header-mismatch": {
        "name": lambda: one(other_name=b"b.py"),
        "name of nothing": lambda: empty(other_name=b"full!"),
        "name of a folder": lambda: zipped(Item(b"d/", b"", STORED, other_name=b"e/")),
        "method": lambda: one(local={"method": STORED}),
        "method of nothing": lambda: empty(local={"method": DEFLATED}),
        "encryption": lambda: one(local={"flags": ENCRYPTED}),
        "encryption of nothing": lambda: empty(local={"flags": ENCRYPTED}),
        "UTF-8": lambda: one(name="\u00fc".encode(), local={"flags": UTF8}),
        "UTF-8 in the directory": lambda: one(name="\u00fc".encode(), central={"flags": UTF8}),
        "a descriptor in the directory alone": lambda: one(central={"flags": DESCRIPTOR}),
        "a patch": lambda: one(local={"flags": PATCH}),
        "masked": lambda: one(local={"flags": MASKED}),
        "masked in the directory": lambda: one(central={"flags": MASKED}),
        "deflated in another way": lambda: one(local={"flags": 1 << 4}),
        **{
            f"bit {bit} of what is stored": partial(flagged, bit)
            for bit in (1, 2, 4, 5, 7, 8, 9, 10, 12, 13, 14)
        },
    },
    "local-sizes-mismatch": {
        "CRC": lambda: one(local={"crc": 5}),
        "size": lambda: one(local={"size": 5}),
        "compressed size": lambda: one(local={"packed": 5}),
        "none": lambda: one(local=LATE),
        "contents of nothing": lambda: zipped(
            EMPTY._replace(local={"size": len(TEXT), "packed": len(TEXT), "crc": 5}), LAST
        ),
        "CRC of nothing": lambda: empty(local={"crc": 5}),
        "contents of a folder": lambda: empty(name=b"d/", local={"size": 5, "packed": 5}),
        "saturated": lambda: one(local={"size": LIMIT32, "packed": LIMIT32}),
        "zip64": lambda: one(
            local={"size": LIMIT32, "packed": LIMIT32}, local_extra=extra64(len(TEXT), 5)
        ),
        "beside a descriptor": lambda: streamed(
            descriptor(TEXT, PACKED), local={"crc": 0, "packed": 0, "size": 5}
        ),
    },
    "descriptor-missing": {
        "none": lambda: streamed(b""),
        "none, though all is known": lambda: one(both={"flags": DESCRIPTOR}),
        "none of nothing": lambda: empty(both={"flags": DESCRIPTOR}),
        "none behind all": lambda: last(both={"flags": DESCRIPTOR}),
        "announced in the local header": lambda: one(local={"flags": DESCRIPTOR}),
        "something else": lambda: streamed(b"some bytes"),
        "a record": lambda: streamed(RECORD),
    },
    "descriptor-mismatch": {
        "CRC": lambda: streamed(descriptor(TEXT, PACKED, crc=5)),
        "size": lambda: streamed(descriptor(TEXT, PACKED, size=5)),
        "compressed size": lambda: streamed(descriptor(TEXT, PACKED, packed=5)),
        "64 bits": lambda: streamed(descriptor64(TEXT, PACKED, size=1 << 32)),
        "without signature": lambda: streamed(descriptor(TEXT, PACKED, crc=5)[4:]),
        "of nothing": lambda: empty(
            both={"flags": DESCRIPTOR}, after=descriptor(b"", b"", packed=5)
        ),
        "cut off": lambda: streamed(descriptor(TEXT, PACKED)[:-1]),
        "64 bits that no zip64 field announces": lambda: streamed(descriptor64(TEXT, PACKED)),
        "64 bits without signature": lambda: streamed(descriptor64(TEXT, PACKED)[4:]),
        "64 bits that the directory announces": lambda: streamed(
            descriptor64(TEXT, PACKED),
            central={"packed": LIMIT32, "size": LIMIT32},
            central_extra=extra64(len(TEXT), len(PACKED)),
        ),
        "64 bits behind all": lambda: last(
            both={"flags": DESCRIPTOR}, after=descriptor64(b"1", b"1")
        ),
        "32 bits where 64 are announced": lambda: streamed(
            descriptor(TEXT, PACKED), local_extra=extra64(0, 0)
        ),
        "no signature, and a CRC like it": lambda: zipped(
            Item(
                b"n",
                LIKE_A_SIGNATURE,
                both={"flags": DESCRIPTOR},
                after=descriptor(LIKE_A_SIGNATURE, deflated(LIKE_A_SIGNATURE))[4:],
            ),
            LAST,
        ),
        "no signature behind what is stored": lambda: stored(TEXT, descriptor(TEXT, TEXT)[4:]),
        "no signature behind nothing": lambda: stored(b"", descriptor(b"", b"")[4:]),
        "in the local header alone": lambda: one(
            local={"flags": DESCRIPTOR, **LATE}, after=descriptor(TEXT, PACKED, crc=5)
        ),
    },
    "two-descriptors": {
        "in the contents": lambda: stored(TEXT + descriptor(TEXT, TEXT) + b"and so on"),
        "and a record": lambda: stored(TEXT + descriptor(TEXT, TEXT) + RECORD),
        "and a directory": lambda: stored(TEXT + descriptor(TEXT, TEXT) + b"PK\1\2"),
        "at the end": lambda: stored(TEXT + descriptor(TEXT, TEXT)),
        "at the start": lambda: stored(descriptor(b"", b"") + RECORD),
        "of 64 bits": lambda: stored(TEXT + descriptor64(TEXT, TEXT) + RECORD),
        "behind others": lambda: stored(SIGNED + descriptor(SIGNED, SIGNED) + RECORD),
        "though the sizes are known": lambda: stored(
            TEXT + descriptor(TEXT, TEXT) + RECORD, local={}
        ),
        "of a large member": lambda: stored(
            bytes(RANGE + 9) + descriptor(bytes(RANGE + 9), bytes(RANGE + 9)) + RECORD
        ),
        "cut in two by a piece": lambda: stored(
            bytes((1 << 20) - 2) + descriptor(bytes((1 << 20) - 2), b"")
        ),
        "of other sizes": lambda: stored(TEXT + descriptor(TEXT, b"", size=0) + RECORD),
        "of signatures in a second piece": lambda: stored(
            SIGNED * 4000 + descriptor(SIGNED * 4000, b"")
        ),
        "cut in two by the end": lambda: stored(
            LIKE_A_SIGNATURE + b"PK\7\x08",
        ),
    },
    # The contents: of no bytes always, of others with --check-crc
    "stream-end": {
        "contents of nothing": lambda: empty(method=DEFLATED, packed=PACKED),
        "a folder with contents": lambda: empty(name=b"d/", method=DEFLATED, packed=PACKED),
        "two empty streams": lambda: empty(method=DEFLATED, packed=b"\3\0\3\0"),
        "bytes behind an empty stream": lambda: empty(method=DEFLATED, packed=b"\3\0-"),
        "a stream that does not end": lambda: empty(method=DEFLATED, packed=b"\0\0\0\xff\xff"),
        "large contents of nothing": lambda: empty(
            method=DEFLATED, packed=zlib.compress(bytes(RANGE + 99), 0, -15)
        ),
    },
    "stream-damaged": {
        "no stream": lambda: empty(method=DEFLATED, packed=b"\7\0"),
    },
}
CHECKED: dict[str, dict[str, Callable[[], bytes]]] = {
    "crc-mismatch": {
        "stored": lambda: zipped(B._replace(both={"crc": 5})),
        "deflated": lambda: one(both={"crc": 5}),
        "a byte less": lambda: one(packed=deflated(TEXT[:-1])),
    },
    "stream-end": {
        "a byte more": lambda: one(packed=PACKED + b"\0"),
        "two streams": lambda: one(packed=PACKED + PACKED),
        "a byte less": lambda: one(packed=PACKED[:-1]),
        "more contents": lambda: one(packed=deflated(TEXT + b"-")),
    },
    "stream-damaged": {
        "no stream": lambda: one(packed=TEXT),
        "incomplete distance codes": lambda: zipped(
            Item(b"m", b"a", packed=incomplete_distances())
        ),
    },
}


CASES = [(rule, case) for rule, cases in REFUSED.items() for case in cases]
CHECKED_CASES = [(rule, case) for rule, cases in CHECKED.items() for case in cases]


def merged(folder: Path, data: bytes, **options: Any) -> dict[str, bytes]:
    """What a merge makes of an archive, as zipfile reads it."""
    path = folder / "s.zip"
    path.write_bytes(data)
    output = io.BytesIO()
    parazip.merge(output, [path], parazip.Settings(jobs=1), **options)
    with zipfile.ZipFile(output) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def refusal(folder: Path, data: bytes, **options: Any) -> BadArchiveError:
    with pytest.raises(BadArchiveError) as error:
        merged(folder, data, **options)
    return error.value


@pytest.mark.parametrize("check_crc", [False, True])
@pytest.mark.parametrize(("rule", "case"), CASES)
def test_what_is_wrong_is_refused_by_its_id(
    tmp_path: Path, rule: str, case: str, check_crc: bool
) -> None:
    error = refusal(tmp_path, REFUSED[rule][case](), check_crc=check_crc)
    assert error.id == rule, error
    told = re.escape(f"{tmp_path}/s.zip {REFUSALS[rule].verdict}: ")
    advice = re.escape(f"; {REFUSALS[rule].advice} [{rule}]")
    assert re.fullmatch(
        rf"{told}.+ at offset \d+: expected .+, found .+{advice}", str(error), re.DOTALL
    )
    assert error.archive == str(tmp_path / "s.zip")


@pytest.mark.parametrize(("rule", "case"), CHECKED_CASES)
def test_contents_that_are_wrong_are_refused_if_they_are_checked(
    tmp_path: Path, rule: str, case: str
) -> None:
    data = CHECKED[rule][case]()
    assert refusal(tmp_path, data, check_crc=True).id == rule
    output = io.BytesIO()
    parazip.merge(output, [tmp_path / "s.zip"])  # without being asked nobody looks
    assert output.getvalue()


# What is odd and passes


ODD: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    "nothing odd": (lambda: PLAIN, NAMES),
    "no members": (lambda: zipped(), []),
    # The end
    "a comment": (lambda: zipped(A, comment=b"PK\1\2 PK\3\4 PK\6\6"), ["a.py"]),
    "a directory on disk 1": (lambda: zipped(A, end={"first": 1}), ["a.py"]),
    "zip64": (lambda: wide(), NAMES),
    "zip64 that is not needed": (lambda: wide({}), NAMES),
    "zip64, 1 member on this disk": (lambda: wide(here=1), NAMES),
    "zip64, 1 member": (
        lambda: zipped(
            A,
            end={"here": LIMIT16, "count": LIMIT16},
            wide=end_records64(1, len(A.headers(0)[1]), len(RECORD)),
        ),
        ["a.py"],
    ),
    "an archive inside": (lambda: zipped(Item(b"x.zip", PLAIN, STORED)), ["x.zip"]),
    # What stands in front
    "a shebang line": (lambda: b"#!/usr/bin/env python3\n" + PLAIN, NAMES),
    "a shebang line, counted": (lambda: zipped(A, front=b"#!/usr/bin/env python3\n"), ["a.py"]),
    "a program": (lambda: EXECUTABLE + PLAIN, NAMES),
    "a program, counted": (lambda: zipped(A, front=EXECUTABLE), ["a.py"]),
    "a program in front of nothing": (lambda: EXECUTABLE + zipped(), []),
    "zeros in front": (lambda: bytes(511) + PLAIN, NAMES),
    "a line and zeros": (lambda: b"#!/bin/sh\n".ljust(10240, b"\0") + PLAIN, NAMES),
    "the mark of a split archive": (lambda: zipped(A, front=b"PK00"), ["a.py"]),
    "another mark": (lambda: zipped(A, front=b"PK\7\x08"), ["a.py"]),
    "a mark and some bytes": (lambda: zipped(A, front=b"PK00 and so on"), ["a.py"]),
    "a locator in front": (lambda: zipped(A, front=b"PK\6\7" + bytes(16)), ["a.py"]),
    "an end behind a shebang line": (lambda: zipped(A, front=b"#!x\n" + zipped()), ["a.py"]),
    "a record with NUL in its name": (
        lambda: zipped(A, front=b"#!x\n" + record(b"a\0b")),
        ["a.py"],
    ),
    "signatures in code": (
        lambda: zipped(A, front=(b"\x7fELF" + CODE) * 99),
        ["a.py"],
    ),
    "something like a tar archive": (
        lambda: zipped(A, front=b"#" + tar()[1:]),
        ["a.py"],
    ),
    "a signature behind a shebang line": (lambda: b"#!x\nPK\3\4" + PLAIN, NAMES),
    "half a record behind one": (lambda: b"#!x\n" + RECORD[:31] + PLAIN, NAMES),
    # Gaps
    "a descriptor": (lambda: streamed(descriptor(TEXT, PACKED)), NAMES),
    "a descriptor without signature": (lambda: streamed(descriptor(TEXT, PACKED)[4:]), NAMES),
    "a descriptor of 64 bits": (
        lambda: streamed(descriptor64(TEXT, PACKED), local_extra=extra64(0, 0)),
        NAMES,
    ),
    "one without signature": (
        lambda: streamed(descriptor64(TEXT, PACKED)[4:], local_extra=extra64(0, 0)),
        NAMES,
    ),
    "a descriptor whose CRC is like its signature": (
        lambda: zipped(
            Item(
                b"n",
                LIKE_A_SIGNATURE,
                both={"flags": DESCRIPTOR},
                local=LATE,
                after=descriptor(LIKE_A_SIGNATURE, deflated(LIKE_A_SIGNATURE)),
            )
        ),
        ["n"],
    ),
    "a descriptor of what is stored": (lambda: stored(TEXT), ["a.py", "in", "last"]),
    "descriptors in what is stored": (
        lambda: stored(streamed(descriptor(TEXT, PACKED))),
        ["a.py", "in", "last"],
    ),
    "a descriptor of another CRC in what is stored": (
        lambda: stored(TEXT + descriptor(TEXT, TEXT, crc=5) + RECORD),
        ["a.py", "in", "last"],
    ),
    "a descriptor in what is stored, without one behind it": (
        lambda: zipped(Item(b"in", TEXT + descriptor(TEXT, TEXT) + RECORD, STORED)),
        ["in"],
    ),
    "a descriptor in what is deflated": (
        lambda: zipped(
            Item(
                b"in",
                TEXT + descriptor(TEXT, TEXT),
                both={"flags": DESCRIPTOR},
                after=descriptor(
                    TEXT + descriptor(TEXT, TEXT), deflated(TEXT + descriptor(TEXT, TEXT))
                ),
            )
        ),
        ["in"],
    ),
    "a descriptor of nothing, and zeros": (
        lambda: zipped(
            EMPTY._replace(both={"flags": DESCRIPTOR}, after=descriptor(b"", b"") + bytes(99))
        ),
        ["empty"],
    ),
    "a descriptor though all is known": (
        lambda: one(both={"flags": DESCRIPTOR}, after=descriptor(TEXT, PACKED)),
        NAMES,
    ),
    "a descriptor, the size is known": (
        lambda: streamed(
            descriptor(TEXT, PACKED), local={"crc": 0, "packed": 0, "size": len(TEXT)}
        ),
        NAMES,
    ),
    "a descriptor that the local header alone announces": (
        lambda: one(local={"flags": DESCRIPTOR, **LATE}, after=descriptor(TEXT, PACKED)),
        NAMES,
    ),
    "a descriptor of nothing": (
        lambda: empty(both={"flags": DESCRIPTOR}, after=descriptor(b"", b"")),
        ["a.py", "empty", "last"],
    ),
    "a descriptor behind all": (
        lambda: last(both={"flags": DESCRIPTOR}, after=descriptor(b"1", b"1")),
        NAMES,
    ),
    "a descriptor behind a large member": (
        lambda: zipped(
            Item(
                b"large",
                bytes(RANGE + 1),
                STORED,
                both={"flags": DESCRIPTOR},
                after=descriptor(bytes(RANGE + 1), bytes(RANGE + 1)),
            ),
            LAST,
        ),
        ["large", "last"],
    ),
    "zeros before the directory": (lambda: last(after=bytes(4096)), NAMES),
    "a descriptor and zeros": (
        lambda: last(both={"flags": DESCRIPTOR}, after=descriptor(b"1", b"1") + bytes(99)),
        NAMES,
    ),
    "a signing block": (lambda: last(after=signing_block()), NAMES),
    "zeros and a signing block": (lambda: last(after=bytes(4000) + signing_block()), NAMES),
    "a signing block behind a descriptor": (
        lambda: last(both={"flags": DESCRIPTOR}, after=descriptor(b"1", b"1") + signing_block()),
        NAMES,
    ),
    "a signing block of no pairs": (lambda: last(after=signing_block(b"")), NAMES),
    "a signing block behind nothing": (
        lambda: zipped(EMPTY._replace(after=signing_block())),
        ["empty"],
    ),
    # Fields
    "a zip64 field": (
        lambda: one(
            both={"packed": LIMIT32, "size": LIMIT32},
            local_extra=extra64(len(TEXT), len(PACKED)),
            central_extra=extra64(len(TEXT), len(PACKED)),
        ),
        NAMES,
    ),
    "a zip64 field behind others": (
        lambda: one(
            central={"size": LIMIT32},
            central_extra=extra(7, b"-") + extra64(len(TEXT)) + extra(8, b""),
        ),
        NAMES,
    ),
    "a zip64 field with a disk": (
        lambda: one(
            central={"size": LIMIT32, "disk": LIMIT16},
            central_extra=extra(1, struct.pack("<QI", len(TEXT), 0)),
        ),
        NAMES,
    ),
    "a zip64 field that repeats the header": (
        lambda: one(local_extra=extra64(len(TEXT), len(PACKED)), central_extra=extra64(len(TEXT))),
        NAMES,
    ),
    "an empty zip64 field": (lambda: one(local_extra=extra64(), central_extra=extra64()), NAMES),
    "a local zip64 field of zeros, and a descriptor": (
        lambda: streamed(descriptor64(TEXT, PACKED), local_extra=extra64(0, 0)),
        NAMES,
    ),
    "a local zip64 field, saturated, and a descriptor": (
        lambda: streamed(
            descriptor64(TEXT, PACKED),
            local={"crc": 0, "packed": LIMIT32, "size": LIMIT32},
            local_extra=extra64(0, 0),
        ),
        NAMES,
    ),
    "one size in a local zip64 field": (
        lambda: one(local={"size": LIMIT32}, local_extra=extra64(len(TEXT))),
        NAMES,
    ),
    "padding of zipalign": (lambda: one(local_extra=bytes(3)), NAMES),
    "padding of zipalign behind a field": (lambda: one(local_extra=extra(7, b"-") + b"\0"), NAMES),
    "zeros for extra fields": (lambda: one(local_extra=bytes(4000)), NAMES),
    "a version of 6.3": (lambda: one(both={"version": 63}), NAMES),
    "a system's number in the version": (lambda: one(both={"version": 3 << 8 | 20}), NAMES),
    "versions that disagree": (lambda: one(local={"version": 255}), NAMES),
    "dates that disagree": (lambda: one(local={"date": 1}), NAMES),
    # Flags
    "UTF-8 in the local header": (lambda: one(local={"flags": UTF8}), NAMES),
    "UTF-8 in the directory": (lambda: one(central={"flags": UTF8}), NAMES),
    "a masked directory": (lambda: one(both={"flags": MASKED}), NAMES),
    "levels that disagree": (lambda: one(local={"flags": 6}), NAMES),
    "a flag that nobody uses": (lambda: zipped(A, B._replace(local={"flags": 1 << 15})), NAMES[:2]),
    "a disk that only zip64 tells": (
        lambda: one(central={"disk": LIMIT16}, central_extra=extra(1, bytes(4))),
        NAMES,
    ),
    "zip64, the disk too": (
        lambda: wide({"disk": LIMIT16, "first": LIMIT16, "here": LIMIT16, "count": LIMIT16}),
        NAMES,
    ),
    # Nothing in it
    "a file": (lambda: empty(), ["a.py", "empty", "last"]),
    "an empty stream": (lambda: empty(method=DEFLATED), ["a.py", "empty", "last"]),
    "another empty stream": (
        lambda: empty(method=DEFLATED, packed=b"\1\0\0\xff\xff"),
        ["a.py", "empty", "last"],
    ),
    "an empty stream in many blocks": (
        lambda: empty(method=DEFLATED, packed=b"\0\0\0\xff\xff" * 99 + b"\3\0"),
        ["a.py", "empty", "last"],
    ),
    "a folder with an empty stream": (
        lambda: empty(name=b"d/", method=DEFLATED),
        ["a.py", "d/", "last"],
    ),
    # Kinds
    "a folder": (lambda: kept(b"d/", FOLDER), ["d/", "last"]),
    "a folder with a file's mode": (lambda: kept(b"d/", FILE), ["d/", "last"]),
    "a folder without mode": (lambda: kept(b"d/", 0), ["d/", "last"]),
    "a folder without slash": (lambda: kept(b"d", FOLDER), ["d/", "last"]),
    "a folder without slash by macOS": (lambda: kept(b"d", FOLDER, DARWIN), ["d/", "last"]),
    "a folder without slash by MS-DOS": (lambda: kept(b"d", 0x10, DOS), ["d/", "last"]),
    "MS-DOS's bit of a folder, by Unix": (
        lambda: kept(b"f", FILE | 0x10, contents=b"1"),
        ["f", "last"],
    ),
    "a folder's mode, by MS-DOS": (
        lambda: kept(b"f", FOLDER & ~0xFFFF, DOS, contents=b"1"),
        ["f", "last"],
    ),
    "Amiga's folder": (lambda: kept(b"d", 0o4755 << 16, 1), ["d/", "last"]),
    "Amiga's file": (lambda: kept(b"f", 0o2755 << 16, 1, contents=b"1"), ["f", "last"]),
    "a volume label's bit, by Unix": (
        lambda: kept(b"f", FILE | 0x8, contents=b"1"),
        ["f", "last"],
    ),
    "a volume label's bit, by NTFS": (lambda: kept(b"f", 0x8, NTFS, b"1"), ["f", "last"]),
    "a folder's reparse point": (lambda: kept(b"d/", 0x410, DOS), ["d/", "last"]),
    "a reparse point of nothing": (lambda: kept(b"f", 0x420, DOS), ["f", "last"]),
    "a link": (lambda: kept(b"l", LINK, contents=b"/etc"), ["l", "last"]),
    "a pipe with contents": (lambda: kept(b"-", PIPE, contents=b"hi"), ["-", "last"]),
    "a link of 4,095 bytes": (
        lambda: kept(b"l", LINK, contents=b"/a" * 2047 + b"b"),
        ["l", "last"],
    ),
    "a deflated link": (
        lambda: zipped(Item(b"l", b"a\nb", central={"attributes": LINK})),
        ["l"],
    ),
    "libarchive's field of a file": (lambda: told(like_libarchive(FILE)), ["n", "last"]),
    "of another mode": (lambda: told(like_libarchive(0o100755 << 16)), ["n", "last"]),
    "of a file by MS-DOS": (lambda: told(like_libarchive(0x20, DOS)), ["n", "last"]),
    "of a link": (lambda: told(like_libarchive(LINK), LINK), ["n", "last"]),
    "of a folder": (
        lambda: told(like_libarchive(FOLDER), FOLDER, contents=b""),
        ["n/", "last"],
    ),
    "without attributes": (lambda: told(extra(0x6C78, b"\1\x14\3")), ["n", "last"]),
    "of no bytes": (lambda: told(extra(0x6C78, b"")), ["n", "last"]),
    "of a folder by its slash": (
        lambda: zipped(Item(b"d/", b"", STORED, central_extra=like_libarchive(FILE))),
        ["d/"],
    ),
    "ASi's field of a file": (lambda: told(asi(0o100644), 0), ["n", "last"]),
    "of a link, beside a mode": (lambda: told(asi(0o120777)), ["n", "last"]),
    "of a link by MS-DOS": (
        lambda: told(asi(0o120777), 0, central={"made_by": 20}),
        ["n", "last"],
    ),
    "of a link to nothing": (lambda: told(asi(0o120777), 0, b""), ["n", "last"]),
    "of a few bytes": (lambda: told(extra(0x756E, b"1234"), 0), ["n", "last"]),
    "no kind": (lambda: kept(b"f", 0o644 << 16, contents=b"1"), ["f", "last"]),
    "a kind that there is not": (lambda: kept(b"f", 0o170644 << 16), ["f", "last"]),
    "a backslash by Unix": (lambda: kept(b"a\\b", FILE), ["a\\b", "last"]),
    # Names
    "a Unicode path": (lambda: zipped(named(GBK, chinese())), [CHINESE]),
    "a Unicode path in the directory alone": (
        lambda: zipped(named(GBK, chinese(), local_extra=b"")),
        [CHINESE],
    ),
    "a Unicode path behind another field": (
        lambda: zipped(named(GBK, extra(7, b"1") + chinese())),
        [CHINESE],
    ),
    "a Unicode path by Unix": (
        lambda: zipped(named(GBK, chinese(), central={})),
        [CHINESE],
    ),
    "a Unicode path beside the same name": (
        lambda: zipped(
            named(
                CHINESE.encode(),
                unicode_path(CHINESE.encode(), CHINESE.encode()),
                both={"flags": UTF8},
            )
        ),
        [CHINESE],
    ),
    "a Unicode path of ASCII": (
        lambda: zipped(named(b"a.txt", unicode_path(b"a.txt", b"a.txt"))),
        ["a.txt"],
    ),
    "a Unicode path of another name": (
        lambda: zipped(named(b"a.txt", unicode_path(b"b.txt", b"c.txt"))),
        ["a.txt"],
    ),
    "a Unicode path of another name, damaged": (
        lambda: zipped(named(b"a.txt", unicode_path(b"b.txt", b"\xff"))),
        ["a.txt"],
    ),
    "a Unicode path beside Info-ZIP's escapes": (
        lambda: zipped(
            named(
                b"d/#U4e2d#U6587.txt", unicode_path(b"d/#U4e2d#U6587.txt", b"d/" + CHINESE.encode())
            )
        ),
        ["d/" + CHINESE],
    ),
    "a Unicode path beside WinZip's stand-ins": (
        lambda: zipped(
            named(b"d__/??.txt", unicode_path(b"d__/??.txt", "d\u00fc/\u4e2d.txt".encode()))
        ),
        ["d\u00fc/\u4e2d.txt"],
    ),
    **{
        f"a Unicode path beside {raw!r}": (
            partial(lambda raw, path: zipped(named(raw, unicode_path(raw, path.encode()))), raw, p),
            [p],
        )
        for raw, p in (
            (b"#U4e2d#U6587.txt", CHINESE),
            (b"#L01f600.txt", "\U0001f600.txt"),
            (b"??.txt", CHINESE),
            (b"_.txt", CHINESE),
            (b"x\x83\x5cy/\x82.py", "x\u30bdy/\u00e9.py"),
        )
    },
    "a folder's Unicode path": (
        lambda: zipped(named(b"?/", unicode_path(b"?/", "\u4e2d/".encode()), contents=b"")),
        ["\u4e2d/"],
    ),
    "names that differ in case": (lambda: zipped(A, A._replace(name=b"A.PY")), ["a.py", "A.PY"]),
    "VMS's version alone": (lambda: zipped(Item(b"a;1"), Item(b"b;2")), ["a;1", "b;2"]),
    "a version of a folder": (
        lambda: zipped(Item(b"d;1/a"), Item(b"d/a")),
        ["d;1/a", "d/a"],
    ),
    "a version with a letter": (lambda: zipped(A, Item(b"a.py;1a")), ["a.py", "a.py;1a"]),
    "a control character alone": (lambda: zipped(Item(b"a\1.py"), B), ["a\1.py", "d/b"]),
    "NFD alone": (
        lambda: zipped(Item("u\u0308".encode(), both={"flags": UTF8})),
        ["u\u0308"],
    ),
    "one name by code page and by flag": (
        lambda: zipped(
            Item(b"\x81", central={"made_by": 20}), Item("\u00e4".encode(), both={"flags": UTF8})
        ),
        ["\u00fc", "\u00e4"],
    ),
    "one folder three times": (
        lambda: zipped(Item(b"META-INF/"), A, Item(b"META-INF/"), kept_folder()),
        ["META-INF/", "a.py"],
    ),
}


def kept_folder() -> Item:
    """A folder of another mode, without a slash."""
    return Item(b"META-INF", b"", STORED, central={"attributes": 0o040700 << 16})


@pytest.mark.parametrize("check_crc", [False, True])
@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_and_means_one_thing_passes(tmp_path: Path, case: str, check_crc: bool) -> None:
    make, names = ODD[case]
    assert list(merged(tmp_path, make(), check_crc=check_crc)) == names


def test_a_member_of_4_gib_less_a_byte_needs_no_zip64_field(tmp_path: Path) -> None:
    """WinZip writes 0xFFFFFFFF as any other number."""
    large = Item(b"large", b"", STORED, both={"size": LIMIT32, "packed": LIMIT32, "crc": 7})
    local, _ = large.headers(0)
    tail = zipped(large, LAST)[len(local) :]
    begin = tail.index(b"PK\1\2")
    directory = tail[begin:-22]
    last_at = len(local) + LIMIT32
    offset = last_at + begin
    directory = directory[: 46 + 5 + 42] + struct.pack("<I", LIMIT32) + directory[46 + 5 + 46 :]
    directory = directory[: 46 + 5 + 30] + struct.pack("<H", 12) + directory[46 + 5 + 32 :]
    directory += extra64(last_at)
    path = tmp_path / "s.zip"
    with open(path, "wb") as file:
        file.write(local)
        file.seek(last_at)
        file.write(tail[:begin] + directory + end_records64(2, len(directory), offset))
        end = (b"PK\5\6", 0, 0, 2, 2, len(directory), LIMIT32, 0)
        file.write(struct.pack("<4s4H2IH", *end))
    found = archives.read_entries(
        parazip.File(str(path), path.stat().st_size, path.stat().st_mtime_ns, 0)
    )
    assert [(entry.name, entry.record.size) for entry in found] == [("large", LIMIT32), ("last", 1)]
    with open(path, "rb") as archive:

        def read(at: int, length: int) -> bytes:
            archive.seek(at)
            return archive.read(length)

        assert find_data_offset(Judge(str(path)), found[0], read(0, 35), read) == 35


# One archive's duplicates, what is left out, and what cannot be copied


OUT = Selection(exclude=("n",))


def test_duplicates_in_one_archive_are_settled_as_asked(tmp_path: Path) -> None:
    first, second = Item(b"n", b"first", STORED), Item(b"n", b"second")
    data = zipped(first, LAST, second)
    with pytest.raises(DuplicateMemberError, match="--exclude, or choose with") as error:
        merged(tmp_path, data)
    assert "NAME/=SOURCE" not in str(error.value)
    expected: dict[OnDuplicate, dict[str, bytes]] = {
        "first": {"n": b"first", "last": b"1"},
        "last": {"last": b"1", "n": b"second"},
    }
    for choice, contents in expected.items():
        found = merged(tmp_path, data, on_duplicate=choice)
        assert list(found.items()) == list(contents.items())
    with pytest.raises(DuplicateMemberError, match="differ in size or CRC-32"):
        merged(tmp_path, data, on_duplicate="same")
    twice = zipped(first, first)
    assert merged(tmp_path, twice, on_duplicate="same") == {"n": b"first"}
    assert merged(tmp_path, data, selection=OUT) == {"last": b"1"}


@pytest.mark.parametrize(
    "case",
    [
        lambda **lies: (zipped(Item(b"n", TEXT, **lies), LAST), {"selection": OUT}),
        lambda **lies: (zipped(LAST, A, Item(b"a.py", TEXT, **lies)), {"on_duplicate": "first"}),
        lambda **lies: (zipped(Item(b"a.py", TEXT, **lies), A), {"on_duplicate": "last"}),
        lambda **lies: (zipped(Item(b"./", TEXT[:0], **lies), A), {}),
        lambda **lies: (zipped(Item(b"d/", b"", **lies), Item(b"d/"), A), {}),
        lambda **lies: (zipped(Item(b"d/", b""), Item(b"d/", b"", **lies), A), {}),
    ],
    ids=["left out", "second", "first", "the top", "a folder", "a folder twice"],
)
def test_what_is_not_taken_must_have_one_meaning_too(
    tmp_path: Path, case: Callable[..., tuple[bytes, dict[str, Any]]]
) -> None:
    data, options = case()
    merged(tmp_path, data, **options)
    for lies, rule in (
        ({"after": RECORD}, "unlisted-record"),
        ({"local": {"crc": 5}}, "local-sizes-mismatch"),
    ):
        data, options = case(**lies)
        assert refusal(tmp_path, data, **options).id == rule


NOT_COPIED: dict[str, Item] = {
    "encrypted": Item(b"n", TEXT, both={"flags": ENCRYPTED}),
    "encrypted, of nothing": Item(b"n", b"", STORED, both={"flags": ENCRYPTED}),
    "patch": Item(b"n", TEXT, both={"flags": 1 << 5}),
    "method": Item(b"n", TEXT, 14),
    "method, of nothing": Item(b"n", b"", 14, both={"size": 1000}),
    "name-leads-out": Item(b"../n", TEXT),
    "name-leads-out, by a Unicode path": named(
        b"../n?", unicode_path(b"../n?", "../n\u00fc".encode())
    ),
    "name-of-a-folder": Item(b"n/.", TEXT),
    "special-file": Item(b"n", b"", STORED, central={"attributes": DEVICE}),
    "special-file, a kind that there is not": Item(
        b"n", TEXT, central={"attributes": 0o170644 << 16}
    ),
    "special-file, another": Item(b"n", TEXT, central={"attributes": 0o030644 << 16}),
    "special-file, a volume label": Item(b"n", central={"made_by": 20, "attributes": 0x8}),
    "special-file, a label of contents": Item(
        b"n", TEXT, central={"made_by": 11 << 8, "attributes": 0x28}
    ),
    "special-file, a folder's label": Item(
        b"n/", b"", STORED, central={"made_by": 6 << 8, "attributes": 0x18}
    ),
    "special-file, a reparse point": Item(b"n", TEXT, central={"made_by": 20, "attributes": 0x420}),
    "special-file, NTFS's reparse point": Item(
        b"n", TEXT, central={"made_by": 11 << 8, "attributes": 0x400}
    ),
    "special-file, a pipe": Item(b"n", b"", STORED, central={"attributes": PIPE}),
}


@pytest.mark.parametrize("case", NOT_COPIED)
def test_what_cannot_be_copied_has_an_id_and_can_be_left_out(tmp_path: Path, case: str) -> None:
    data = zipped(LAST, NOT_COPIED[case])
    with pytest.raises(NotCopiedError) as error:
        merged(tmp_path, data)
    assert error.value.id == case.partition(",")[0]
    assert error.value.id in archives.NOT_COPIED
    assert str(error.value).endswith(f" [{error.value.id}]")
    assert "[" not in error.value.reason
    left_out = Selection(exclude=("n*",))
    assert merged(tmp_path, data, selection=left_out) == {"last": b"1"}


# The rules themselves


def test_each_rule_has_its_cases() -> None:
    assert {*REFUSED, *CHECKED, "file-cut-off"} == REFUSALS.keys()
    assert {case.partition(",")[0] for case in NOT_COPIED} == {*archives.NOT_COPIED}


def test_a_file_that_gets_shorter_is_refused() -> None:
    with pytest.raises(BadArchiveError) as error:
        read_directory("s.zip", len(PLAIN) + 1, lambda offset, length: PLAIN[offset:][:length])
    assert error.value.id == "file-cut-off"


def test_the_docs_list_each_id() -> None:
    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", DOCS.read_text(), re.MULTILINE)
    assert listed == [*REFUSALS, *archives.NOT_COPIED]


class Collector(Judge):
    """Is told of all that is not right."""

    def __init__(self) -> None:
        super().__init__("s.zip")
        self.found: list[str] = []

    def refuse(self, id: str, *told: Any, **more: Any) -> None:  # noqa: A002 # as `Judge`
        self.found.append(id)


def collected(data: bytes) -> list[str]:
    judge = Collector()

    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    try:
        for entry in read_directory("s.zip", len(data), read, judge):
            find_data_offset(judge, entry, read(entry.record.offset, 66_000), read)
    except BadArchiveError:
        assert judge.found
    return judge.found


@pytest.mark.parametrize(("rule", "case"), CASES)
def test_rules_can_be_collected_without_stopping_at_the_first(rule: str, case: str) -> None:
    is_inside = rule in ("stream-end", "stream-damaged") or (
        rule == "link-target" and case.startswith(("NUL", "in many empty blocks"))
    )
    if is_inside:
        assert collected(REFUSED[rule][case]()) == []  # contents are not read here
    else:
        assert rule in collected(REFUSED[rule][case]())


def test_all_that_is_not_right_is_collected() -> None:
    data = zipped(
        A._replace(both={"version": 99}, after=b"-"),
        EMPTY._replace(both={"crc": 5}, local={"size": 1}),
        LAST._replace(local={"method": DEFLATED}),
        front=RECORD,
        comment=zipped(),
    )
    assert collected(data) == [
        "end-record-in-comment",
        "version-needed",
        "crc-of-nothing",
        "unlisted-record",
        "bytes-between-records",
        "local-sizes-mismatch",
        "local-header-mismatch",
    ]


def zlib_takes(stream: bytes) -> bool:
    """Whether zlib takes a deflate stream that ends where its bytes end."""
    inflater = zlib.decompressobj(-15)
    try:
        inflater.decompress(stream)
    except zlib.error:
        return False
    return inflater.eof and not inflater.unused_data


def is_taken(chunks: Iterable[bytes]) -> bool:
    try:
        inflating.measure_inflated(DEFLATED, chunks, 1 << 20)
    except ValueError:
        return False
    return True


def test_streams_are_judged_as_zlib_judges_them() -> None:
    streams = [*damage.ODD_STREAMS, incomplete_distances(), PACKED, PACKED[:-1], PACKED + b"-"]
    for at in range(60):
        for bit in range(8):
            spoilt = bytearray(PACKED)
            spoilt[at % len(PACKED)] ^= 1 << bit
            streams.append(bytes(spoilt))
    taken = [zlib_takes(stream) for stream in streams]
    assert [is_taken([stream]) for stream in streams] == taken
    assert [is_taken([stream[:9], stream[9:]]) for stream in streams if len(stream) > 9] == [
        verdict for verdict, stream in zip(taken, streams, strict=True) if len(stream) > 9
    ]
    assert 3 < sum(taken) < len(streams) - 100


def test_names_of_long_steps_are_compared_at_a_bounded_cost(tmp_path: Path) -> None:
    """To put marks into their order takes the square of how many there are."""
    marks = "".join(chr(0x0300 + i % 2 * 0x16) for i in range(20_000))
    assert not unicodedata.is_normalized("NFC", marks)
    item = Item(marks.encode(), both={"flags": UTF8})
    assert list(merged(tmp_path, zipped(item, LAST))) == [marks, "last"]
