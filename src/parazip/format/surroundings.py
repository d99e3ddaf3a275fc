"""What an archive has besides its members: a prefix, comments, extra fields.

Copying members does not need it. To change an archive does: it stays, or what is lost is told.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from parazip.format.end import Read, find_directory, read_exactly
from parazip.format.extra import UNICODE_PATH_TAG
from parazip.format.records import CENTRAL, END, ZIP64_END, ZIP64_LOCATOR, ZIP64_TAG
from parazip.format.refusals import Judge
from parazip.format.values import Entry

_LENGTHS = struct.Struct("<3H")
_LENGTHS_AT = 28
"""Lengths of a central directory header's name, extra fields and comment (APPNOTE 4.3.12)."""


_IN_ENTRY = (ZIP64_TAG, UNICODE_PATH_TAG)
"""Tags of what `Entry` has: sizes and offset, and the name in Unicode (APPNOTE 4.5.3, 4.6.9)."""


class Surroundings(NamedTuple):
    """What an archive has besides the contents of its members and what `Entry` tells of them.

    Attributes:
        prefix_size: how many bytes stand in front of its first record.
        comment: its comment (APPNOTE 4.3.16).
        names: its members' names.
        commented: the names of those that have a comment (4.3.12).
        extras: for each name the tags of its extra fields (4.5.2), if it has any that say more
            than `Entry`.
    """

    prefix_size: int
    comment: bytes
    names: list[str]
    commented: set[str]
    extras: dict[str, list[int]]


def read_surroundings(judge: Judge, size: int, read: Read, entries: list[Entry]) -> Surroundings:
    """What an archive has besides its members.

    Args:
        judge: is told what is not right, which can only be the end records now.
        size: of its file, in bytes.
        read: gives `length` bytes from `offset` on: `read(offset, length)`.
        entries: its members, as `read_directory` gives them: it has proven all that is read here.
    """
    begin, end, *_ = find_directory(judge, size, read)
    directory = read_exactly(judge, read, begin, end - begin)
    commented: set[str] = set()
    extras: dict[str, list[int]] = {}
    position = 0
    for entry in entries:
        name, extra, comment = _LENGTHS.unpack_from(directory, position + _LENGTHS_AT)
        extra_at = position + CENTRAL.size + name
        position = extra_at + extra + comment
        if extra and (tags := list(_find_tags(directory[extra_at : extra_at + extra]))):
            extras[entry.name] = tags
        if comment:
            commented.add(entry.name)
    tail = read_exactly(judge, read, end, size - end)
    if tail.startswith(b"PK\6\6"):
        tail = tail[ZIP64_END.size + ZIP64_LOCATOR.size :]
    return Surroundings(
        prefix_size=min((entry.record.offset for entry in entries), default=begin),
        comment=tail[END.size :],
        names=[entry.name for entry in entries],
        commented=commented,
        extras=extras,
    )


def _find_tags(extra: bytes) -> Iterator[int]:
    """The tags of extra fields (APPNOTE 4.5.1) that say more than `Entry`."""
    at = 0
    while at + 4 <= len(extra):
        tag, size = struct.unpack_from("<2H", extra, at)
        if tag not in _IN_ENTRY:
            yield tag
        at += 4 + size
