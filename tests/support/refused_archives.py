"""What the strict reader refuses: each rule and its cases."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from collections.abc import Callable
from functools import partial

from support.archive_parts import (
    BEGIN,
    LAST,
    LENGTH,
    LINK,
    PACKED,
    PLAIN,
    RECORD,
    TEXT,
    A,
    B,
    incomplete_distances,
    make_with_first,
    make_with_zip64,
    tar,
)
from support.odd_archives import (
    LIMIT16,
    LIMIT32,
    STORED,
    Item,
    deflate,
    end_records64,
    extra,
    extra64,
    zipped,
)
from support.refused_members import REFUSED_MEMBERS
from support.refused_records import REFUSED_RECORDS


def old_tar() -> bytes:
    """The same as tar made it before there was a magic number for it."""
    block = bytearray(tar()[:512])
    block[257:265] = bytes(8)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + tar()[512:]


def two_directories(other: bytes) -> bytes:
    """What stands in front is not counted, and where the offset leads without it stands `other`."""
    local, central = LAST.headers(200 - 35)  # the directory's offset less the record's bytes
    front = bytes(200) + other.ljust(200)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), 200, 0)
    return front + local + LAST.data() + central + end


def two_zip64_end_records() -> bytes:
    """What stands in front is not counted; without it the locator leads into the data of `a`."""
    inside = bytes(247) + b"PK\6\6" + bytes(49)
    saturated: dict[str, int | bytes] = {"length": LIMIT32, "offset": LIMIT32}
    records = end_records64(1, 47, 331)
    return bytes(100) + zipped(Item(b"a", inside, STORED), end=saturated, wide=records)


REFUSED_ENDS: dict[str, dict[str, Callable[[], bytes]]] = {
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
        "a member's, saturated": lambda: make_with_first(central={"disk": LIMIT16}),
        "a member's, saturated, beside sizes": lambda: make_with_first(
            central={"disk": LIMIT16, "size": LIMIT32}, central_extra=extra64(len(TEXT))
        ),
        "a member's": lambda: make_with_first(central={"disk": 1}),
        "a member's in zip64": lambda: make_with_first(
            central={"disk": LIMIT16}, central_extra=extra(1, b"\2\0\0\0")
        ),
        "zip64": lambda: make_with_zip64(disk=1),
        "zip64's first": lambda: make_with_zip64(first=1),
        "a locator's": lambda: make_with_zip64(locator_disk=1),
        "a locator of two": lambda: make_with_zip64(disks=2),
        "a locator of none": lambda: make_with_zip64(disks=0),
    },
    "count-mismatch": {
        "one more": lambda: zipped(A, B, end={"here": 3, "count": 3}),
        "one less": lambda: zipped(A, B, end={"here": 1, "count": 1}),
        "none": lambda: zipped(A, B, end={"here": 0, "count": 0}),
        "two counts": lambda: zipped(A, B, end={"here": 1}),
        "zip64": lambda: make_with_zip64(count=1 << 40, here=1 << 40),
    },
    "directory-place": {
        "longer than the file": lambda: zipped(A, end={"length": LIMIT32 - 1}),
        "behind itself": lambda: zipped(A, end={"offset": BEGIN + 99}),
        "zip64's length": lambda: make_with_zip64(length=1 << 62, at=BEGIN + (1 << 62)),
        "zip64's offset": lambda: make_with_zip64(offset=1 << 62, at=LENGTH + (1 << 62)),
    },
    "two-directories": {
        "by offset and by size": lambda: two_directories(A.headers(0)[1]),
        "an end record by offset": lambda: two_directories(b"PK\5\6" + bytes(18)),
        "a byte too early": lambda: zipped(A, end={"length": len(A.headers(0)[1]) - 1}),
    },
    "zip64-locator": {
        "none": lambda: zipped(A, end={"offset": LIMIT32}),
        "another offset": lambda: make_with_zip64(at=0),
        "a byte off": lambda: make_with_zip64(at=BEGIN + LENGTH + 1),
    },
    "zip64-end-record": {
        "its size": lambda: make_with_zip64(size=45),
        "its signature": lambda: make_with_zip64().replace(b"PK\6\6", b"PK\6\5"),
        "none": lambda: zipped(wide=end_records64(0, 0, 0)[56:]),
    },
    "zip64-end-mismatch": {
        "count": lambda: make_with_zip64({"here": 1, "count": 1}),
        "length": lambda: make_with_zip64({"length": LENGTH - 1}),
        "offset": lambda: make_with_zip64({"offset": BEGIN - 1}),
        "zip64 has less": lambda: make_with_zip64({}, count=1, here=1),
    },
    "two-zip64-end-records": {
        "by locator and by search": lambda: two_zip64_end_records(),
    },
}
"""What is refused for its end records, and for what stands around an archive."""

REFUSED = {**REFUSED_ENDS, **REFUSED_MEMBERS, **REFUSED_RECORDS}

CHECKED: dict[str, dict[str, Callable[[], bytes]]] = {
    "crc-mismatch": {
        "stored": lambda: zipped(B._replace(both={"crc": 5})),
        "deflated": lambda: make_with_first(both={"crc": 5}),
        "a byte less": lambda: make_with_first(packed=deflate(TEXT[:-1])),
    },
    "stream-end": {
        "a byte more": lambda: make_with_first(packed=PACKED + b"\0"),
        "two streams": lambda: make_with_first(packed=PACKED + PACKED),
        "a byte less": lambda: make_with_first(packed=PACKED[:-1]),
        "more contents": lambda: make_with_first(packed=deflate(TEXT + b"-")),
    },
    "stream-damaged": {
        "no stream": lambda: make_with_first(packed=TEXT),
        "incomplete distance codes": lambda: zipped(
            Item(b"m", b"a", packed=incomplete_distances())
        ),
    },
}

CASES = [(rule, case) for rule, cases in REFUSED.items() for case in cases]

CHECKED_CASES = [(rule, case) for rule, cases in CHECKED.items() for case in cases]
