"""What is odd about an archive and has one meaning all the same: it passes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import parazip
from parazip.format.local import find_data_offset
from parazip.format.refusals import Judge
from parazip.sources import archives
from parazip.sources.contents import RANGE
from support.archive_parts import (
    CHINESE,
    DARWIN,
    DOS,
    EMPTY,
    EXECUTABLE,
    FILE,
    FOLDER,
    GBK,
    LAST,
    LATE,
    LIKE_A_SIGNATURE,
    LINK,
    NTFS,
    PACKED,
    PIPE,
    PLAIN,
    RECORD,
    TEXT,
    A,
    B,
    asi,
    chinese,
    like_libarchive,
    make_lying_record,
    make_named_item,
    make_of_kind,
    make_stored,
    make_streamed,
    make_with_empty,
    make_with_field,
    make_with_first,
    make_with_last,
    make_with_zip64,
    merge_and_read,
    signing_block,
    tar,
)
from support.odd_archives import (
    DEFLATED,
    DESCRIPTOR,
    LIMIT16,
    LIMIT32,
    MASKED,
    STORED,
    UTF8,
    Item,
    deflate,
    descriptor,
    descriptor64,
    end_records64,
    extra,
    extra64,
    unicode_path,
    zipped,
)

NAMES = ["a.py", "d/b", "last"]

CODE = b"\x81\x3ePK\3\4\x0f\x85\xa7\n\0\0\x0f\xb6\x46\4\x88\x45\x10\x41\x0f\xb7\x46" + bytes(64)
"""A comparison of a signature, and what it is for."""

ODD: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    "nothing odd": (lambda: PLAIN, NAMES),
    "no members": (lambda: zipped(), []),
    # The end
    "a comment": (lambda: zipped(A, comment=b"PK\1\2 PK\3\4 PK\6\6"), ["a.py"]),
    "a directory on disk 1": (lambda: zipped(A, end={"first": 1}), ["a.py"]),
    "zip64": (lambda: make_with_zip64(), NAMES),
    "zip64 that is not needed": (lambda: make_with_zip64({}), NAMES),
    "zip64, 1 member on this disk": (lambda: make_with_zip64(here=1), NAMES),
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
        lambda: zipped(A, front=b"#!x\n" + make_lying_record(b"a\0b")),
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
    "a descriptor": (lambda: make_streamed(descriptor(TEXT, PACKED)), NAMES),
    "a descriptor without signature": (lambda: make_streamed(descriptor(TEXT, PACKED)[4:]), NAMES),
    "a descriptor of 64 bits": (
        lambda: make_streamed(descriptor64(TEXT, PACKED), local_extra=extra64(0, 0)),
        NAMES,
    ),
    "one without signature": (
        lambda: make_streamed(descriptor64(TEXT, PACKED)[4:], local_extra=extra64(0, 0)),
        NAMES,
    ),
    "a descriptor whose CRC is like its signature": (
        lambda: zipped(
            Item(
                b"n",
                LIKE_A_SIGNATURE,
                both={"flags": DESCRIPTOR},
                local=LATE,
                after=descriptor(LIKE_A_SIGNATURE, deflate(LIKE_A_SIGNATURE)),
            )
        ),
        ["n"],
    ),
    "a descriptor of what is stored": (lambda: make_stored(TEXT), ["a.py", "in", "last"]),
    "descriptors in what is stored": (
        lambda: make_stored(make_streamed(descriptor(TEXT, PACKED))),
        ["a.py", "in", "last"],
    ),
    "a descriptor of another CRC in what is stored": (
        lambda: make_stored(TEXT + descriptor(TEXT, TEXT, crc=5) + RECORD),
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
                    TEXT + descriptor(TEXT, TEXT), deflate(TEXT + descriptor(TEXT, TEXT))
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
        lambda: make_with_first(both={"flags": DESCRIPTOR}, after=descriptor(TEXT, PACKED)),
        NAMES,
    ),
    "a descriptor, the size is known": (
        lambda: make_streamed(
            descriptor(TEXT, PACKED), local={"crc": 0, "packed": 0, "size": len(TEXT)}
        ),
        NAMES,
    ),
    "a descriptor that the local header alone announces": (
        lambda: make_with_first(
            local={"flags": DESCRIPTOR, **LATE}, after=descriptor(TEXT, PACKED)
        ),
        NAMES,
    ),
    "a descriptor of nothing": (
        lambda: make_with_empty(both={"flags": DESCRIPTOR}, after=descriptor(b"", b"")),
        ["a.py", "empty", "last"],
    ),
    "a descriptor behind all": (
        lambda: make_with_last(both={"flags": DESCRIPTOR}, after=descriptor(b"1", b"1")),
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
    "zeros before the directory": (lambda: make_with_last(after=bytes(4096)), NAMES),
    "a descriptor and zeros": (
        lambda: make_with_last(
            both={"flags": DESCRIPTOR}, after=descriptor(b"1", b"1") + bytes(99)
        ),
        NAMES,
    ),
    "a signing block": (lambda: make_with_last(after=signing_block()), NAMES),
    "zeros and a signing block": (
        lambda: make_with_last(after=bytes(4000) + signing_block()),
        NAMES,
    ),
    "a signing block behind a descriptor": (
        lambda: make_with_last(
            both={"flags": DESCRIPTOR}, after=descriptor(b"1", b"1") + signing_block()
        ),
        NAMES,
    ),
    "a signing block of no pairs": (lambda: make_with_last(after=signing_block(b"")), NAMES),
    "a signing block behind nothing": (
        lambda: zipped(EMPTY._replace(after=signing_block())),
        ["empty"],
    ),
    # Fields
    "a zip64 field": (
        lambda: make_with_first(
            both={"packed": LIMIT32, "size": LIMIT32},
            local_extra=extra64(len(TEXT), len(PACKED)),
            central_extra=extra64(len(TEXT), len(PACKED)),
        ),
        NAMES,
    ),
    "a zip64 field behind others": (
        lambda: make_with_first(
            central={"size": LIMIT32},
            central_extra=extra(7, b"-") + extra64(len(TEXT)) + extra(8, b""),
        ),
        NAMES,
    ),
    "a zip64 field with a disk": (
        lambda: make_with_first(
            central={"size": LIMIT32, "disk": LIMIT16},
            central_extra=extra(1, struct.pack("<QI", len(TEXT), 0)),
        ),
        NAMES,
    ),
    "a zip64 field that repeats the header": (
        lambda: make_with_first(
            local_extra=extra64(len(TEXT), len(PACKED)), central_extra=extra64(len(TEXT))
        ),
        NAMES,
    ),
    "an empty zip64 field": (
        lambda: make_with_first(local_extra=extra64(), central_extra=extra64()),
        NAMES,
    ),
    "a local zip64 field of zeros, and a descriptor": (
        lambda: make_streamed(descriptor64(TEXT, PACKED), local_extra=extra64(0, 0)),
        NAMES,
    ),
    "a local zip64 field, saturated, and a descriptor": (
        lambda: make_streamed(
            descriptor64(TEXT, PACKED),
            local={"crc": 0, "packed": LIMIT32, "size": LIMIT32},
            local_extra=extra64(0, 0),
        ),
        NAMES,
    ),
    "one size in a local zip64 field": (
        lambda: make_with_first(local={"size": LIMIT32}, local_extra=extra64(len(TEXT))),
        NAMES,
    ),
    "padding of zipalign": (lambda: make_with_first(local_extra=bytes(3)), NAMES),
    "padding of zipalign behind a field": (
        lambda: make_with_first(local_extra=extra(7, b"-") + b"\0"),
        NAMES,
    ),
    "zeros for extra fields": (lambda: make_with_first(local_extra=bytes(4000)), NAMES),
    "a version of 6.3": (lambda: make_with_first(both={"version": 63}), NAMES),
    "a system's number in the version": (
        lambda: make_with_first(both={"version": 3 << 8 | 20}),
        NAMES,
    ),
    "versions that disagree": (lambda: make_with_first(local={"version": 255}), NAMES),
    "dates that disagree": (lambda: make_with_first(local={"date": 1}), NAMES),
    # Flags
    "UTF-8 in the local header": (lambda: make_with_first(local={"flags": UTF8}), NAMES),
    "UTF-8 in the directory": (lambda: make_with_first(central={"flags": UTF8}), NAMES),
    "a masked directory": (lambda: make_with_first(both={"flags": MASKED}), NAMES),
    "levels that disagree": (lambda: make_with_first(local={"flags": 6}), NAMES),
    "a flag that nobody uses": (lambda: zipped(A, B._replace(local={"flags": 1 << 15})), NAMES[:2]),
    "a disk that only zip64 tells": (
        lambda: make_with_first(central={"disk": LIMIT16}, central_extra=extra(1, bytes(4))),
        NAMES,
    ),
    "zip64, the disk too": (
        lambda: make_with_zip64(
            {"disk": LIMIT16, "first": LIMIT16, "here": LIMIT16, "count": LIMIT16}
        ),
        NAMES,
    ),
    # Nothing in it
    "a file": (lambda: make_with_empty(), ["a.py", "empty", "last"]),
    "an empty stream": (lambda: make_with_empty(method=DEFLATED), ["a.py", "empty", "last"]),
    "another empty stream": (
        lambda: make_with_empty(method=DEFLATED, packed=b"\1\0\0\xff\xff"),
        ["a.py", "empty", "last"],
    ),
    "an empty stream in many blocks": (
        lambda: make_with_empty(method=DEFLATED, packed=b"\0\0\0\xff\xff" * 99 + b"\3\0"),
        ["a.py", "empty", "last"],
    ),
    "a folder with an empty stream": (
        lambda: make_with_empty(name=b"d/", method=DEFLATED),
        ["a.py", "d/", "last"],
    ),
    # Kinds
    "a folder": (lambda: make_of_kind(b"d/", FOLDER), ["d/", "last"]),
    "a folder with a file's mode": (lambda: make_of_kind(b"d/", FILE), ["d/", "last"]),
    "a folder without mode": (lambda: make_of_kind(b"d/", 0), ["d/", "last"]),
    "a folder without slash": (lambda: make_of_kind(b"d", FOLDER), ["d/", "last"]),
    "a folder without slash by macOS": (lambda: make_of_kind(b"d", FOLDER, DARWIN), ["d/", "last"]),
    "a folder without slash by MS-DOS": (lambda: make_of_kind(b"d", 0x10, DOS), ["d/", "last"]),
    "MS-DOS's bit of a folder, by Unix": (
        lambda: make_of_kind(b"f", FILE | 0x10, contents=b"1"),
        ["f", "last"],
    ),
    "a folder's mode, by MS-DOS": (
        lambda: make_of_kind(b"f", FOLDER & ~0xFFFF, DOS, contents=b"1"),
        ["f", "last"],
    ),
    "Amiga's folder": (lambda: make_of_kind(b"d", 0o4755 << 16, 1), ["d/", "last"]),
    "Amiga's file": (lambda: make_of_kind(b"f", 0o2755 << 16, 1, contents=b"1"), ["f", "last"]),
    "a volume label's bit, by Unix": (
        lambda: make_of_kind(b"f", FILE | 0x8, contents=b"1"),
        ["f", "last"],
    ),
    "a volume label's bit, by NTFS": (lambda: make_of_kind(b"f", 0x8, NTFS, b"1"), ["f", "last"]),
    "a folder's reparse point": (lambda: make_of_kind(b"d/", 0x410, DOS), ["d/", "last"]),
    "a reparse point of nothing": (lambda: make_of_kind(b"f", 0x420, DOS), ["f", "last"]),
    "a link": (lambda: make_of_kind(b"l", LINK, contents=b"/etc"), ["l", "last"]),
    "a pipe with contents": (lambda: make_of_kind(b"-", PIPE, contents=b"hi"), ["-", "last"]),
    "a link of 4,095 bytes": (
        lambda: make_of_kind(b"l", LINK, contents=b"/a" * 2047 + b"b"),
        ["l", "last"],
    ),
    "a deflated link": (
        lambda: zipped(Item(b"l", b"a\nb", central={"attributes": LINK})),
        ["l"],
    ),
    "libarchive's field of a file": (lambda: make_with_field(like_libarchive(FILE)), ["n", "last"]),
    "of another mode": (lambda: make_with_field(like_libarchive(0o100755 << 16)), ["n", "last"]),
    "of a file by MS-DOS": (lambda: make_with_field(like_libarchive(0x20, DOS)), ["n", "last"]),
    "of a link": (lambda: make_with_field(like_libarchive(LINK), LINK), ["n", "last"]),
    "of a folder": (
        lambda: make_with_field(like_libarchive(FOLDER), FOLDER, contents=b""),
        ["n/", "last"],
    ),
    "without attributes": (lambda: make_with_field(extra(0x6C78, b"\1\x14\3")), ["n", "last"]),
    "of no bytes": (lambda: make_with_field(extra(0x6C78, b"")), ["n", "last"]),
    "of a folder by its slash": (
        lambda: zipped(Item(b"d/", b"", STORED, central_extra=like_libarchive(FILE))),
        ["d/"],
    ),
    "ASi's field of a file": (lambda: make_with_field(asi(0o100644), 0), ["n", "last"]),
    "of a link, beside a mode": (lambda: make_with_field(asi(0o120777)), ["n", "last"]),
    "of a link by MS-DOS": (
        lambda: make_with_field(asi(0o120777), 0, central={"made_by": 20}),
        ["n", "last"],
    ),
    "of a link to nothing": (lambda: make_with_field(asi(0o120777), 0, b""), ["n", "last"]),
    "of a few bytes": (lambda: make_with_field(extra(0x756E, b"1234"), 0), ["n", "last"]),
    "no kind": (lambda: make_of_kind(b"f", 0o644 << 16, contents=b"1"), ["f", "last"]),
    "a kind that there is not": (lambda: make_of_kind(b"f", 0o170644 << 16), ["f", "last"]),
    "a backslash by Unix": (lambda: make_of_kind(b"a\\b", FILE), ["a\\b", "last"]),
    # Names
    "a Unicode path": (lambda: zipped(make_named_item(GBK, chinese())), [CHINESE]),
    "a Unicode path in the directory alone": (
        lambda: zipped(make_named_item(GBK, chinese(), local_extra=b"")),
        [CHINESE],
    ),
    "a Unicode path behind another field": (
        lambda: zipped(make_named_item(GBK, extra(7, b"1") + chinese())),
        [CHINESE],
    ),
    "a Unicode path by Unix": (
        lambda: zipped(make_named_item(GBK, chinese(), central={})),
        [CHINESE],
    ),
    "a Unicode path beside the same name": (
        lambda: zipped(
            make_named_item(
                CHINESE.encode(),
                unicode_path(CHINESE.encode(), CHINESE.encode()),
                both={"flags": UTF8},
            )
        ),
        [CHINESE],
    ),
    "a Unicode path of ASCII": (
        lambda: zipped(make_named_item(b"a.txt", unicode_path(b"a.txt", b"a.txt"))),
        ["a.txt"],
    ),
    "a Unicode path of another name": (
        lambda: zipped(make_named_item(b"a.txt", unicode_path(b"b.txt", b"c.txt"))),
        ["a.txt"],
    ),
    "a Unicode path of another name, damaged": (
        lambda: zipped(make_named_item(b"a.txt", unicode_path(b"b.txt", b"\xff"))),
        ["a.txt"],
    ),
    "a Unicode path beside Info-ZIP's escapes": (
        lambda: zipped(
            make_named_item(
                b"d/#U4e2d#U6587.txt", unicode_path(b"d/#U4e2d#U6587.txt", b"d/" + CHINESE.encode())
            )
        ),
        ["d/" + CHINESE],
    ),
    "a Unicode path beside WinZip's stand-ins": (
        lambda: zipped(
            make_named_item(
                b"d__/??.txt", unicode_path(b"d__/??.txt", "d\u00fc/\u4e2d.txt".encode())
            )
        ),
        ["d\u00fc/\u4e2d.txt"],
    ),
    **{
        f"a Unicode path beside {raw!r}": (
            partial(
                lambda raw, path: zipped(make_named_item(raw, unicode_path(raw, path.encode()))),
                raw,
                p,
            ),
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
        lambda: zipped(
            make_named_item(b"?/", unicode_path(b"?/", "\u4e2d/".encode()), contents=b"")
        ),
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
    assert list(merge_and_read(tmp_path, make(), check_crc=check_crc)) == names


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
