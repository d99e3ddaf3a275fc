"""Archives refused for what is said of a member: fields, names, kinds."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

from parazip.sources.contents import RANGE
from support.archive_parts import (
    CHINESE,
    DARWIN,
    DEVICE,
    DOS,
    FILE,
    FOLDER,
    GBK,
    LINK,
    NTFS,
    PACKED,
    TEXT,
    A,
    asi,
    chinese,
    like_libarchive,
    make_named_item,
    make_of_kind,
    make_streamed,
    make_with_empty,
    make_with_field,
    make_with_first,
    make_with_last,
)
from support.odd_archives import (
    DEFLATED,
    LIMIT16,
    LIMIT32,
    STORED,
    UTF8,
    Item,
    descriptor,
    extra,
    extra64,
    unicode_path,
    zipped,
)

EMPTY_BLOCKS = b"\0\0\0\xff\xff" * (RANGE // 5)

PACKED_A = b"\1\1\0\xfe\xffa"
"""A stored block of one letter, the last one."""

REFUSED_MEMBERS: dict[str, dict[str, Callable[[], bytes]]] = {
    # The central directory
    "central-header": {
        "signature": lambda: make_with_first(central={"signature": b"PK\1\3"}),
        "name that runs out": lambda: make_with_last(central={"name": 99}),
        "extra field that runs out": lambda: make_with_last(central={"extra": LIMIT16}),
        "comment that runs out": lambda: make_with_last(central={"comment": 1}),
    },
    "extra-field-cut-off": {
        "over its end": lambda: make_with_first(central_extra=extra(0x5455, b"12345", 9)),
        "over its end, local": lambda: make_with_first(local_extra=extra(0x5455, b"12345", 9)),
        "behind another": lambda: make_with_first(central_extra=extra(7, b"1") + extra(8, b"", 1)),
        "half a field": lambda: make_with_first(central_extra=b"UT"),
        "half a field, local": lambda: make_with_first(local_extra=b"UT\0"),
        "of nothing": lambda: make_with_empty(local_extra=extra(7, b"", LIMIT16)),
        "zip64": lambda: make_with_first(
            central={"size": LIMIT32}, central_extra=extra64(len(TEXT))[:-1]
        ),
    },
    "zip64-field-missing": {
        "size": lambda: make_with_first(both={"size": LIMIT32}),
        "compressed size": lambda: make_with_first(both={"packed": LIMIT32}),
        "offset": lambda: make_with_first(central={"offset": LIMIT32}),
        "empty": lambda: make_with_first(central={"size": LIMIT32}, central_extra=extra64()),
        "half": lambda: make_with_first(
            central={"size": LIMIT32, "packed": LIMIT32}, central_extra=extra64(len(TEXT))
        ),
        "too short": lambda: make_with_first(
            central={"size": LIMIT32}, central_extra=extra(1, b"1234567")
        ),
        "local, half": lambda: make_with_first(
            local={"size": LIMIT32, "packed": LIMIT32}, local_extra=extra64(len(TEXT))
        ),
    },
    "zip64-field-twice": {
        "equal": lambda: make_with_first(
            central={"size": LIMIT32}, central_extra=2 * extra64(len(TEXT))
        ),
        "with another between": lambda: make_with_first(
            central={"size": LIMIT32},
            central_extra=extra64(len(TEXT)) + extra(7, b"-") + extra64(5),
        ),
        "not needed": lambda: make_with_first(central_extra=2 * extra64()),
        "local": lambda: make_with_first(
            local={"size": LIMIT32, "packed": LIMIT32},
            local_extra=2 * extra64(len(TEXT), len(PACKED)),
        ),
        "of nothing": lambda: make_with_empty(local_extra=2 * extra64(0, 0)),
    },
    "zip64-field-length": {
        "a tail": lambda: make_with_first(
            central={"size": LIMIT32}, central_extra=extra64(len(TEXT), 5)
        ),
        "both sizes for one": lambda: make_with_first(
            central={"size": LIMIT32}, central_extra=extra64(len(TEXT), len(PACKED))
        ),
        "a disk that is not told": lambda: make_with_first(
            central={"size": LIMIT32}, central_extra=extra(1, struct.pack("<QI", len(TEXT), 0))
        ),
        "local": lambda: make_with_first(
            local={"size": LIMIT32, "packed": LIMIT32},
            local_extra=extra64(len(TEXT), len(PACKED), 0),
        ),
    },
    "zip64-field-mismatch": {
        "size": lambda: make_with_first(central_extra=extra64(5)),
        "compressed size": lambda: make_with_first(central_extra=extra64(len(TEXT), 5)),
        "offset": lambda: make_with_first(central_extra=extra64(len(TEXT), len(PACKED), 5)),
        "odd bytes": lambda: make_with_first(central_extra=extra(1, b"-")),
        "local": lambda: make_with_first(local_extra=extra64(5, 5)),
        "local, beside a descriptor": lambda: make_streamed(
            descriptor(TEXT, PACKED), local_extra=extra64(5, 5)
        ),
        "local, one is not saturated": lambda: make_with_first(
            local={"size": LIMIT32}, local_extra=extra64(len(TEXT), 5)
        ),
        "of nothing": lambda: make_with_empty(local_extra=extra64(5, 5)),
        "of nothing, in the directory": lambda: make_with_empty(central_extra=extra64(5, 5)),
    },
    "version-needed": {
        "25.5": lambda: make_with_first(both={"version": 255}),
        "6.4": lambda: make_with_first(central={"version": 64}),
        "of nothing": lambda: make_with_empty(both={"version": 64}),
    },
    "size-impossible": {
        "stored, of two sizes": lambda: make_with_first(method=STORED, both={"size": 1}),
        "stored, of a size and no bytes": lambda: make_with_empty(both={"size": 1}),
        "deflated, of no bytes": lambda: make_with_first(packed=b""),
        "more than 1,032 times": lambda: make_with_first(both={"size": 1033 * len(PACKED)}),
    },
    "crc-of-nothing": {
        "stored": lambda: make_with_empty(both={"crc": 5}),
        "deflated": lambda: make_with_empty(method=DEFLATED, both={"crc": 5}),
        "in the directory": lambda: make_with_empty(central={"crc": 5}),
        "a folder": lambda: make_with_empty(name=b"d/", both={"crc": 5}),
        "another method": lambda: make_with_empty(method=12, both={"crc": 5}),
    },
    "deflate-stream-missing": {
        "a file": lambda: make_with_empty(method=DEFLATED, packed=b""),
        "a folder": lambda: make_with_empty(name=b"d/", method=DEFLATED, packed=b""),
    },
    "name-missing": {
        "none": lambda: make_with_first(name=b""),
        "of nothing": lambda: make_with_empty(name=b""),
    },
    "name-with-nul": {
        "inside": lambda: make_with_first(name=b"a.py\0.txt"),
        "at the end": lambda: make_with_first(name=b"a.py\0"),
        "not ASCII": lambda: make_with_first(name=b"\xfc\0"),
    },
    "name-not-utf-8": {
        "bytes": lambda: make_with_first(name=b"a\xff", both={"flags": UTF8}),
        "a surrogate": lambda: make_with_first(name=b"\xed\xa0\x80", both={"flags": UTF8}),
        "too long a form": lambda: make_with_first(name=b"\xc0\xaf", both={"flags": UTF8}),
    },
    "name-too-deep": {"2,049 steps": lambda: make_with_first(name=b"a/" * 2049)},
    "name-with-backslash": {
        "MS-DOS": lambda: make_of_kind(b"a\\b", 0x20, DOS),
        "NTFS": lambda: make_of_kind(b"a\\b", 0x20, NTFS),
        "a folder": lambda: make_of_kind(b"a\\", 0x10, DOS),
        "beside a slash": lambda: make_of_kind(b"c/a\\b", 0x20, DOS),
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
            make_named_item(b"?", unicode_path(b"?", "\u4e2d".encode())),
            make_named_item(b"?", unicode_path(b"?", "\u6587".encode())),
        ),
        "only code pages tell them apart": lambda: zipped(
            Item(b"\xc3\xa9", central={"made_by": 20}), Item(b"\xc3\xa9")
        ),
        "one that is in UTF-8 what another is in a code page": lambda: zipped(
            Item(b"\xc3\xa9".decode("cp437").encode(), both={"flags": UTF8}), Item(b"\xc3\xa9")
        ),
    },
    "unicode-path-twice": {
        "another": lambda: zipped(make_named_item(GBK, chinese() + unicode_path(GBK, b"x.txt"))),
        "equal": lambda: zipped(make_named_item(GBK, 2 * chinese())),
        "one of them of another name": lambda: zipped(
            make_named_item(GBK, chinese(crc=1) + chinese())
        ),
        "chained": lambda: zipped(
            make_named_item(GBK, chinese() + unicode_path(CHINESE.encode(), "\u00fc.txt".encode()))
        ),
        "local": lambda: zipped(
            make_named_item(GBK, chinese())._replace(local_extra=2 * chinese())
        ),
    },
    "unicode-path-invalid": {
        "version 0": lambda: zipped(make_named_item(GBK, chinese(version=0))),
        "version 2": lambda: zipped(make_named_item(GBK, chinese(version=2))),
        "no name": lambda: zipped(make_named_item(GBK, unicode_path(GBK, b""))),
        "NUL": lambda: zipped(make_named_item(GBK, unicode_path(GBK, "\u4e2d\0.txt".encode()))),
        "bad UTF-8": lambda: zipped(make_named_item(GBK, unicode_path(GBK, b"\xff.txt"))),
        "cut off": lambda: zipped(make_named_item(GBK, extra(0x7075, b"\1\0\0"))),
        "nothing": lambda: zipped(make_named_item(GBK, extra(0x7075, b""))),
    },
    "unicode-path-mismatch": {
        "two names swapped": lambda: zipped(
            make_named_item(b"a", unicode_path(b"a", b"b")),
            make_named_item(b"b", unicode_path(b"b", b"a")),
        ),
        "two names made one": lambda: zipped(
            make_named_item(b"a", unicode_path(b"a", b"c")),
            make_named_item(b"b", unicode_path(b"b", b"c")),
        ),
        "a file made a folder": lambda: zipped(
            make_named_item(GBK, unicode_path(GBK, CHINESE.encode() + b"/"))
        ),
        "steps": lambda: zipped(
            make_named_item(GBK, unicode_path(GBK, "\u4e2d/\u6587.txt".encode()))
        ),
        "a way out": lambda: zipped(
            make_named_item(GBK, unicode_path(GBK, "../\u4e2d.txt".encode()))
        ),
        **{
            f"beside {raw!r}": partial(
                lambda raw, path: zipped(make_named_item(raw, unicode_path(raw, path.encode()))),
                raw,
                path,
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
        "another end": lambda: zipped(
            make_named_item(GBK, unicode_path(GBK, "\u4e2d\u6587.exe".encode()))
        ),
        "beside the flag of UTF-8": lambda: zipped(
            make_named_item(
                "\u00fc.txt".encode(),
                unicode_path("\u00fc.txt".encode(), CHINESE.encode()),
                both={"flags": UTF8},
            )
        ),
        "another one in the local header": lambda: zipped(
            make_named_item(GBK, chinese())._replace(
                local_extra=unicode_path(GBK, "\u00fc\u00e4.txt".encode())
            )
        ),
        "in the local header alone": lambda: zipped(
            make_named_item(GBK, chinese())._replace(central_extra=b"")
        ),
    },
    "folder-with-contents": {
        "a slash": lambda: make_of_kind(b"d/", FOLDER, contents=b"1"),
        "a slash, a file's mode": lambda: make_of_kind(b"d/", FILE, contents=b"1"),
        "Unix": lambda: make_of_kind(b"d", FOLDER, contents=b"1"),
        "macOS": lambda: make_of_kind(b"d", FOLDER, DARWIN, contents=b"1"),
        "MS-DOS": lambda: make_of_kind(b"d", 0x10, DOS, contents=b"1"),
        "NTFS": lambda: make_of_kind(b"d", 0x10, NTFS, contents=b"1"),
        "deflated": lambda: zipped(Item(b"d/", TEXT)),
        "Amiga": lambda: make_of_kind(b"d", 0o4755 << 16, 1, contents=b"1"),
        "a volume label's": lambda: make_of_kind(b"d/", 0x18, DOS, contents=b"1"),
    },
    "kind-mismatch": {
        "a link to libarchive": lambda: make_with_field(like_libarchive(LINK)),
        "in the local header": lambda: make_with_field(like_libarchive(LINK), central_extra=b""),
        "in the directory": lambda: make_with_field(like_libarchive(LINK), local_extra=b""),
        "a folder": lambda: make_with_field(like_libarchive(FOLDER)),
        "a folder of nothing": lambda: make_with_field(like_libarchive(FOLDER), contents=b""),
        "a folder by MS-DOS": lambda: make_with_field(like_libarchive(0x10, DOS)),
        "a device": lambda: make_with_field(like_libarchive(DEVICE)),
        "a file to libarchive": lambda: make_with_field(like_libarchive(FILE), LINK),
        "no kind beside a link": lambda: make_with_field(like_libarchive(0), LINK),
        "a folder beside a link": lambda: make_with_field(like_libarchive(FOLDER), LINK),
        "behind another": lambda: make_with_field(like_libarchive(FILE) + like_libarchive(LINK)),
        "with internal attributes": lambda: make_with_field(
            like_libarchive(LINK, internal=b"\1\0")
        ),
        "with more bits": lambda: make_with_field(like_libarchive(LINK, more=b"\x80\1")),
        "by the system of the header": lambda: make_with_field(
            extra(0x6C78, b"\4" + struct.pack("<I", LINK)), local_extra=b""
        ),
        "a link to unzip": lambda: make_with_field(asi(0o120777), 0),
        "a link to unzip by MS-DOS's attributes": lambda: make_with_field(
            asi(0o120777, b"/etc"), 0x20
        ),
        "a link to unzip by VMS": lambda: make_with_field(
            asi(0o120777), 0, central={"made_by": 2 << 8}
        ),
    },
    "link-target": {
        "none": lambda: make_of_kind(b"l", LINK),
        "none, deflated": lambda: zipped(Item(b"l", central={"attributes": LINK})),
        "4,096 bytes": lambda: make_of_kind(b"l", LINK, contents=b"a/" * 2048),
        "deflated": lambda: zipped(Item(b"l", b"a" * 5000, central={"attributes": LINK})),
        "NUL": lambda: make_of_kind(b"l", LINK, contents=b"a\0b"),
        "NUL at the end": lambda: make_of_kind(b"l", LINK, contents=b"a\0"),
        "NUL, deflated": lambda: zipped(Item(b"l", b"a\0b", central={"attributes": LINK})),
        "in many empty blocks": lambda: zipped(
            Item(b"l", b"a", packed=EMPTY_BLOCKS + PACKED_A, central={"attributes": LINK})
        ),
    },
    "link-mismatch": {
        "a slash": lambda: make_of_kind(b"l/", LINK),
        "a slash and a target": lambda: make_of_kind(b"l/", LINK, contents=b"/etc"),
        "MS-DOS": lambda: make_of_kind(b"l", LINK, DOS, contents=b"/etc"),
        "NTFS": lambda: make_of_kind(b"l", LINK, 11, contents=b"/etc"),
        "macOS": lambda: make_of_kind(b"l", LINK, DARWIN, contents=b"/etc"),
        "internal attributes": lambda: zipped(
            Item(b"l", b"a", central={"attributes": LINK, "internal": 4})
        ),
    },
}
"""What is refused for what is said of a member: fields, names, kinds."""
