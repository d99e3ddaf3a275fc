"""What is in an archive, as its central directory tells."""

from __future__ import annotations

import os
from datetime import datetime
from typing import NamedTuple

from parazip.extraction.choice import advising, choose_entries, find_archive
from parazip.format.records import FLAG_ENCRYPTED
from parazip.format.values import Entry
from parazip.sources.selection import check_patterns


class ListedMember(NamedTuple):
    """A member of an archive.

    Attributes:
        name: its name; a folder's ends with `/`.
        size: its uncompressed bytes.
        compressed_size: the bytes of its data in the archive.
        crc: the CRC-32 of its contents.
        method: its compression method (APPNOTE 4.4.5): 0 stored, 8 deflated.
        mode: its Unix mode, kind included, as `os.stat` has it.
        date: when it was last changed, in local time, to two seconds (APPNOTE 4.4.6).
        is_encrypted: whether its contents are.
    """

    name: str
    size: int
    compressed_size: int
    crc: int
    method: int
    mode: int
    date: datetime
    is_encrypted: bool


def list_members(
    path: str | os.PathLike[str],
    members: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
) -> list[ListedMember]:
    """The members of an archive, in the order of its central directory; none is read.

    Args:
        path: of the archive.
        members: patterns of those that are listed, compared as `Selection.exclude` is; all members
            if there are none.
        exclude: patterns of those that are not.

    Raises:
        SourceError: the archive cannot be read.
        SourceChangedError: it changed meanwhile.
        BadArchiveError: it is damaged, or no archive.
        NoSuchMemberError: a pattern of `members` matches nothing.
    """
    check_patterns("members", members)
    check_patterns("exclude", exclude)
    with advising():
        archive = find_archive(os.fspath(path))
        return [*map(_describe, choose_entries(archive, members, exclude, "list", "listed"))]


def _describe(entry: Entry) -> ListedMember:
    name, (_, flags, method, date, crc, compressed_size, size, attributes, _), _ = entry
    return ListedMember(
        name,
        size,
        compressed_size,
        crc,
        method,
        attributes >> 16,
        read_date(date),
        bool(flags & FLAG_ENCRYPTED),
    )


def read_date(date: int) -> datetime:
    """A MS-DOS date and time (APPNOTE 4.4.6)."""
    day, clock = date >> 16, date & 0xFFFF
    return datetime(
        1980 + (day >> 9), day >> 5 & 15, day & 31,
        clock >> 11, clock >> 5 & 63, 2 * (clock & 31),
    )  # fmt: skip
