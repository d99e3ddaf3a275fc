"""A generator of odd archives: each record is told field by field, and any of them may lie."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import NamedTuple

STORED, DEFLATED = 0, 8

LIMIT16, LIMIT32 = 0xFFFF, 0xFFFFFFFF

ENCRYPTED, DESCRIPTOR, PATCH, STRONG, UTF8, MASKED = 1, 1 << 3, 1 << 5, 1 << 6, 1 << 11, 1 << 13

LOCAL = struct.Struct("<4s5H3I2H")

_LOCAL_FIELDS = (
    "signature", "version", "flags", "method", "time", "date", "crc", "packed", "size", "name",
    "extra",
)  # fmt: skip

CENTRAL = struct.Struct("<4s6H3I5H2I")

_CENTRAL_FIELDS = (
    "signature", "made_by", "version", "flags", "method", "time", "date", "crc", "packed", "size",
    "name", "extra", "comment", "disk", "internal", "attributes", "offset",
)  # fmt: skip

END = struct.Struct("<4s4H2IH")

_END_FIELDS = ("signature", "disk", "first", "here", "count", "length", "offset", "comment")

Fields = Mapping[str, int | bytes]

NONE: Fields = {}


class Item(NamedTuple):
    """A member, and the lies about it.

    Attributes:
        name: as both headers have it.
        contents: uncompressed.
        method: how it is compressed; the bytes of a method that is not known here are zeros.
        packed: its compressed bytes, if not those.
        both: fields of both headers that are not what they should be.
        local: such fields of the local header alone.
        central: such fields of the central header alone.
        local_extra: the extra field of the local header.
        central_extra: that of the central header.
        other_name: the name in the local header, if it is another one there.
        comment: of the member.
        before: bytes in front of the local header.
        after: bytes behind the data, such as a data descriptor.
    """

    name: bytes
    contents: bytes = b""
    method: int = DEFLATED
    packed: bytes | None = None
    both: Fields = NONE
    local: Fields = NONE
    central: Fields = NONE
    local_extra: bytes = b""
    central_extra: bytes = b""
    other_name: bytes | None = None
    comment: bytes = b""
    before: bytes = b""
    after: bytes = b""

    def data(self) -> bytes:
        """The compressed bytes."""
        if self.packed is not None:
            return self.packed
        return deflate(self.contents) if self.method == DEFLATED else self.contents

    def headers(self, offset: int) -> tuple[bytes, bytes]:
        """Both headers."""
        packed, name = self.data(), self.name if self.other_name is None else self.other_name
        fields: dict[str, int | bytes] = {
            "made_by": 3 << 8 | 20, "version": 20, "flags": 0, "method": self.method,
            "time": 0x28C4, "date": 0x5264, "crc": zlib.crc32(self.contents), "packed": len(packed),
            "size": len(self.contents), "disk": 0, "internal": 0, "attributes": 0o100644 << 16,
            "offset": offset, **self.both,
        }  # fmt: skip
        local = {"signature": b"PK\3\4", "name": len(name), "extra": len(self.local_extra)}
        local = {**fields, **local, **self.local}
        central = {"signature": b"PK\1\2", "name": len(self.name), "comment": len(self.comment)}
        central = {**fields, **central, "extra": len(self.central_extra), **self.central}
        return (
            LOCAL.pack(*(local[field] for field in _LOCAL_FIELDS)) + name + self.local_extra,
            CENTRAL.pack(*(central[field] for field in _CENTRAL_FIELDS))
            + self.name
            + self.central_extra
            + self.comment,
        )


def deflate(data: bytes) -> bytes:
    return zlib.compress(data, 6, -15)


def zipped(
    *items: Item, end: Fields = NONE, front: bytes = b"", comment: bytes = b"", wide: bytes = b""
) -> bytes:
    """An archive; `wide` stands where zip64's end records stand."""
    body, directory = bytearray(front), bytearray()
    for item in items:
        body += item.before
        local, central = item.headers(len(body))
        body += local + item.data() + item.after
        directory += central
    count = len(items)
    fields: dict[str, int | bytes] = {
        "signature": b"PK\5\6", "disk": 0, "first": 0, "here": count, "count": count,
        "length": len(directory), "offset": len(body), "comment": len(comment), **end,
    }  # fmt: skip
    return bytes(body + directory + wide + END.pack(*(fields[f] for f in _END_FIELDS)) + comment)


def extra(tag: int, data: bytes, size: int | None = None) -> bytes:
    """One extra field (APPNOTE 4.5.1), of `size` bytes if it is to lie."""
    return struct.pack("<2H", tag, len(data) if size is None else size) + data


def extra64(*values: int, tag: int = 1, size: int | None = None) -> bytes:
    """A zip64 extra field (APPNOTE 4.5.3)."""
    return extra(tag, struct.pack(f"<{len(values)}Q", *values), size)


def unicode_path(raw: bytes, name: bytes, version: int = 1, crc: int | None = None) -> bytes:
    """A Unicode path field (APPNOTE 4.6.9) of a header whose name is `raw`."""
    crc = zlib.crc32(raw) if crc is None else crc
    return extra(0x7075, struct.pack("<BI", version, crc) + name)


def descriptor(contents: bytes, data: bytes, **lies: int) -> bytes:
    """A data descriptor (APPNOTE 4.3.9) with signature and 32 bits."""
    fields = {"crc": zlib.crc32(contents), "packed": len(data), "size": len(contents), **lies}
    return b"PK\7\x08" + struct.pack("<3I", *fields.values())


def descriptor64(contents: bytes, data: bytes, **lies: int) -> bytes:
    """A data descriptor with signature and sizes of 64 bits."""
    fields = {"crc": zlib.crc32(contents), "packed": len(data), "size": len(contents), **lies}
    return b"PK\7\x08" + struct.pack("<I2Q", *fields.values())


def end_records64(
    count: int, length: int, offset: int, lies: Mapping[str, int] | None = None
) -> bytes:
    """The zip64 end record and its locator (APPNOTE 4.3.14 and 4.3.15)."""
    fields = {
        "size": 44, "disk": 0, "first": 0, "here": count, "count": count, "length": length,
        "offset": offset, "locator_disk": 0, "at": offset + length, "disks": 1, **(lies or {}),
    }  # fmt: skip
    *values, locator_disk, at, disks = fields.values()
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", values[0], 45, 45, *values[1:])
    return record + struct.pack("<4sIQI", b"PK\6\7", locator_disk, at, disks)
