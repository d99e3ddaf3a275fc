"""The values of the format: a member as an archive's directory tells of it.

They exist once for each member, so they are named tuples: a frozen dataclass takes six times as
long to make.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview

STORED = 0
DEFLATED = 8
"""Compression methods (APPNOTE 4.4.5); no others are read or made."""

MOST_DEFLATED = 1032
"""Bytes that come of one of a deflate stream, at most: 258 for a length code and a distance code of
a bit each (RFC 1951, 3.2.5)."""


class Record(NamedTuple):
    """What the central directory says about one member.

    `offset` is where its local file header begins: in its part, or in the archive once the
    writer has placed the part. Sizes and offsets are in bytes.
    """

    name: bytes
    flags: int
    method: int
    date: int
    crc: int
    compressed_size: int
    size: int
    attributes: int
    offset: int


class Entry(NamedTuple):
    """A member as an archive's central directory tells of it.

    Attributes:
        name: as text; a folder's ends with `/`.
        record: what the directory says: the name as it is spelled there, the offset counted from
            the start of the file, external attributes and date as our own records have them.
        end: where the next record begins: the member ends before it.
    """

    name: str
    record: Record
    end: int
