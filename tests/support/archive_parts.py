"""Records, fields and members of which archives are made that are refused, or odd."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip import BadArchiveError
from support import damage
from support.odd_archives import (
    DESCRIPTOR,
    ENCRYPTED,
    LIMIT16,
    LIMIT32,
    STORED,
    Item,
    deflate,
    descriptor,
    end_records64,
    extra,
    unicode_path,
    zipped,
)

TEXT = b"def f(): return 'something'\n" * 9

PACKED = deflate(TEXT)

A, B, LAST = Item(b"a.py", TEXT), Item(b"d/b", b"stored", STORED), Item(b"last", b"1", STORED)

EMPTY = Item(b"empty", b"", STORED)

PLAIN = zipped(A, B, LAST)

BEGIN = PLAIN.index(b"PK\1\2")

LENGTH = len(PLAIN) - 22 - BEGIN

RECORD = A.headers(0)[0] + PACKED


def make_lying_record(
    name: bytes = b"evil.py", contents: bytes = b"evil", **lies: int | bytes
) -> bytes:
    """A stored member's record, and the lies in its header."""
    item = Item(name, contents, STORED, local=lies)
    return item.headers(0)[0] + contents


LATE: dict[str, int | bytes] = {"crc": 0, "packed": 0, "size": 0}

DOS, NTFS, DARWIN = 0, 10, 19

FILE, FOLDER, LINK, PIPE, DEVICE = (
    kind << 16 for kind in (0o100644, 0o040775, 0o120777, 0o010644, 0o020666)
)

CHINESE = "\u4e2d\u6587.txt"

GBK = CHINESE.encode("gbk")

EXECUTABLE = b"\x7fELF" + bytes(range(256)) * 9 + b"PK\3\4 PK\1\2 PK\5\6" + bytes(99)
"""A program in front that reads archives: it has their signatures."""


def make_with_first(**fields: Any) -> bytes:
    """`PLAIN`, but for one thing about its first member."""
    return zipped(A._replace(**fields), B, LAST)


def make_with_empty(**fields: Any) -> bytes:
    """A member of no bytes between others, and one thing about it."""
    return zipped(A, EMPTY._replace(**fields), LAST)


def make_with_last(**fields: Any) -> bytes:
    """`PLAIN`, but for one thing about its last member."""
    return zipped(A, B, LAST._replace(**fields))


def make_streamed(after: bytes, **fields: Any) -> bytes:
    """`PLAIN`, but what stands in for the data descriptor of its first member."""
    fields = {"both": {"flags": DESCRIPTOR}, "local": LATE, **fields}
    return make_with_first(after=after, **fields)


def make_stored(contents: bytes, after: bytes | None = None, **fields: Any) -> bytes:
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


def tar(name: str = "evil") -> bytes:
    """A tar archive of one member."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size = 4
        archive.addfile(info, io.BytesIO(b"evil"))
    return output.getvalue()


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


def make_with_field(
    field: bytes, attributes: int = FILE, contents: bytes = b"/etc", **fields: Any
) -> bytes:
    """A member with an extra field in both headers."""
    fields = {"local_extra": field, "central_extra": field, **fields}
    central = {"attributes": attributes, **fields.pop("central", {})}
    return zipped(Item(b"n", contents, STORED, central=central, **fields), LAST)


def make_with_zip64(end: dict[str, int | bytes] | None = None, **lies: int) -> bytes:
    """`PLAIN` with zip64's end records."""
    if end is None:
        end = {"here": LIMIT16, "count": LIMIT16, "length": LIMIT32, "offset": LIMIT32}
    return zipped(A, B, LAST, end=end, wide=end_records64(3, LENGTH, BEGIN, lies))


def make_of_kind(name: bytes, attributes: int, system: int = 3, contents: bytes = b"") -> bytes:
    """A member with attributes by a system."""
    central = {"made_by": system << 8 | 20, "attributes": attributes}
    return zipped(Item(name, contents, STORED, central=central), LAST)


def make_named_item(raw: bytes, field: bytes, **fields: Any) -> Item:
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


def incomplete_distances() -> bytes:
    """A deflate stream of "a" with codes for two distances, of the four that have their length."""
    order = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1)
    lengths = {0: 2, 1: 2, 2: 2, 18: 2}
    one, two, zeros = damage.code(1, 2), damage.code(2, 2), damage.code(3, 2)
    return damage.join_bits(
        *((1, 1), (2, 2), (0, 5), (1, 5), (len(order) - 4, 4)),
        *((lengths.get(symbol, 0), 3) for symbol in order),
        *(zeros, (97 - 11, 7), one),  # "a" has one bit
        *(zeros, (138 - 11, 7), zeros, (20 - 11, 7), one),  # and so has the end of the block
        *(two, two),
        *(damage.code(0, 1), damage.code(1, 1)),
    )


def merge_and_read(folder: Path, data: bytes, **options: Any) -> dict[str, bytes]:
    """What a merge makes of an archive, as zipfile reads it."""
    path = folder / "s.zip"
    path.write_bytes(data)
    output = io.BytesIO()
    parazip.merge(output, [path], parazip.Settings(jobs=1), **options)
    with zipfile.ZipFile(output) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def refuse_merge(folder: Path, data: bytes, **options: Any) -> BadArchiveError:
    with pytest.raises(BadArchiveError) as error:
        merge_and_read(folder, data, **options)
    return error.value


NOT_COPIED: dict[str, Item] = {
    "encrypted": Item(b"n", TEXT, both={"flags": ENCRYPTED}),
    "encrypted, of nothing": Item(b"n", b"", STORED, both={"flags": ENCRYPTED}),
    "patch": Item(b"n", TEXT, both={"flags": 1 << 5}),
    "method": Item(b"n", TEXT, 14),
    "method, of nothing": Item(b"n", b"", 14, both={"size": 1000}),
    "name-leads-out": Item(b"../n", TEXT),
    "name-leads-out, by a Unicode path": make_named_item(
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
