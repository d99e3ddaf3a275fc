"""Where the central directory is: the end of an archive, where all readers read it the same way.

An archive is read from its end (APPNOTE 4.3.6). The end of central directory record (EOCD), with
its zip64 counterpart where a number does not fit, says where the central directory is. Readers look
for the EOCD in different ways: the last signature, the last that fits, the first that fits. So one
must fit to the byte, and no signature may stand behind it.

The directory's place follows in three ways, and readers take any of them: it ends where the end
records begin, it begins at its offset, and zip64's locator says where the end records begin. The
first is taken here. Offsets may leave out what stands in front of the archive. Then they lead to
another place, and nothing that looks like these records may stand there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from parazip.format.records import (
    CENTRAL,
    END,
    LIMIT_16,
    LIMIT_32,
    ZIP64_END,
    ZIP64_LOCATOR,
)
from parazip.format.refusals import Judge

Read: TypeAlias = Callable[[int, int], bytes]
"""Gives `length` bytes of a file from `offset` on, fewer at its end: `read(offset, length)`."""

_MAX_COMMENT = 0xFFFF
MAX_CENTRAL = CENTRAL.size + 3 * 0xFFFF

_EOCD, _EOCD64, _LOCATOR = "EOCD", "zip64 EOCD", "zip64 EOCD locator"


class Directory(NamedTuple):
    """Where the central directory is.

    Attributes:
        begin: its offset in the file.
        end: the offset of what follows it.
        members: how many it has.
        shift: what is to be added to its offsets: the bytes of the prefix that they leave out.
        disk: the number of the disk that it begins on, by the EOCD.
    """

    begin: int
    end: int
    members: int
    shift: int
    disk: int = 0


class _Claims(NamedTuple):
    """What end records say of the directory."""

    members: int
    length: int
    offset: int


def read_exactly(judge: Judge, read: Read, offset: int, length: int) -> bytes:
    """`length` bytes; the archive is refused if it has got shorter."""
    data = read(offset, length)
    if len(data) != length:
        judge.stop("file-cut-off", "file", offset, f"{length} bytes", len(data))
    return data


def find_directory(judge: Judge, size: int, read: Read) -> Directory:
    """Where the central directory of an archive is.

    Args:
        judge: is told what is not right.
        size: of the file, in bytes.
        read: gives its bytes.
    """
    position, tail = _find_end(judge, size, read)
    _, disk, first, here, *numbers, _ = END.unpack_from(tail)
    claims = _Claims(*numbers)
    if here != claims.members:
        judge.refuse("count-mismatch", _EOCD, position, f"{claims.members} members here", here)
    locator_at = position - ZIP64_LOCATOR.size
    locator = b""
    if locator_at >= 0:
        locator = read_exactly(judge, read, locator_at, ZIP64_LOCATOR.size)
    end = position
    wide = None
    if locator.startswith(b"PK\6\7"):
        end = locator_at - ZIP64_END.size
        wide = claims = _read_zip64(judge, read, locator_at, locator, claims)
    elif LIMIT_32 in claims:
        judge.refuse("zip64-locator", _LOCATOR, max(0, locator_at), b"PK\6\7", locator[:4])
    if disk and (wide is None or disk != LIMIT_16):
        judge.refuse("split-archive", _EOCD, position, "one disk", f"disk {disk} of several")
    directory = _locate_directory(judge, position, end, claims)
    if directory.shift:
        _refuse_unshifted(judge, read, directory, claims, wide)
    return directory._replace(disk=first)


def _find_end(judge: Judge, size: int, read: Read) -> tuple[int, bytes]:
    """Where the EOCD is, and the file from there on."""
    begin = max(0, size - END.size - _MAX_COMMENT)
    tail = read_exactly(judge, read, begin, size - begin)
    places = _find_places(tail, b"PK\5\6")
    ends = {at: at + END.size + END.unpack_from(tail, at)[-1] for at in places}
    fitting = [at for at, end in ends.items() if end == len(tail)]
    if not fitting:
        if not places:
            judge.stop("no-end-record", _EOCD, begin, b"PK\5\6", f"none in {size} bytes")
        last = places[-1]
        cut = ends[last] > len(tail)
        judge.stop(
            "comment-cut-off" if cut else "bytes-behind-archive",
            _EOCD,
            begin + last,
            f"an end at {begin + ends[last]}",
            f"{size} bytes",
        )
    at = fitting[0]
    behind = tail.find(b"PK\5\6", at + 1)  # cut off, too: some readers go no further
    if behind >= 0:
        judge.refuse(
            "end-record-in-comment",
            _EOCD,
            begin + at,
            "no other behind it",
            f"another at {begin + behind}",
        )
    return begin + at, tail[at:]


def _find_places(data: bytes, signature: bytes) -> list[int]:
    """Where an EOCD could stand whole."""
    places = []
    at = data.find(signature)
    while 0 <= at <= len(data) - END.size:
        places.append(at)
        at = data.find(signature, at + 1)
    return places


def _read_zip64(
    judge: Judge, read: Read, locator_at: int, locator: bytes, claims: _Claims
) -> _Claims:
    """What the zip64 EOCD claims; the EOCD must say the same, or that it cannot.

    No reader heeds its number of members on this disk.
    """
    at = locator_at - ZIP64_END.size
    if at < 0:
        missing = f"{ZIP64_END.size} bytes before its locator"
        judge.stop("zip64-end-record", _EOCD64, 0, missing, locator_at)
    data = read_exactly(judge, read, at, ZIP64_END.size)
    signature, size, _, _, disk, first_disk, _, *numbers = ZIP64_END.unpack(data)
    if (signature, size) != (b"PK\6\6", ZIP64_END.size - 12):
        expected = (b"PK\6\6", ZIP64_END.size - 12)
        judge.stop("zip64-end-record", _EOCD64, at, expected, (signature, size))
    if disk or first_disk:
        judge.refuse("split-archive", _EOCD64, at, "one disk", f"disk {disk} of several")
    wide = _Claims(*numbers)
    limits = (LIMIT_16, LIMIT_32, LIMIT_32)
    if any(a not in (b, limit) for a, b, limit in zip(claims, wide, limits, strict=True)):
        expected_numbers = f"count, size, offset {tuple(wide)}"
        position = locator_at + len(locator)
        judge.refuse("zip64-end-mismatch", _EOCD, position, expected_numbers, tuple(claims))
    _, disk, end_at, disks = ZIP64_LOCATOR.unpack(locator)
    if disk or disks != 1:
        found = f"disk {disk} of {disks}"
        judge.refuse("split-archive", _LOCATOR, locator_at, "disk 0 of 1", found)
    if end_at != wide.offset + wide.length:
        expected_offset = f"offset {wide.offset + wide.length}"
        judge.refuse("zip64-locator", _LOCATOR, locator_at, expected_offset, end_at)
    return wide


def _locate_directory(judge: Judge, position: int, end: int, claims: _Claims) -> Directory:
    """Where the directory is, if it can be there."""
    members, length, offset = claims
    begin = end - length
    if begin < 0:
        expected = f"a central directory of at most {end} bytes"
        judge.stop("directory-place", _EOCD, position, expected, length)
    if begin < offset:
        expected = f"a central directory at {begin} or before"
        judge.stop("directory-place", _EOCD, position, expected, offset)
    if members * CENTRAL.size > length:
        most = length // CENTRAL.size
        expected = f"at most {most} members in {length} bytes"
        judge.stop("count-mismatch", _EOCD, position, expected, members)
    if members * MAX_CENTRAL < length:
        expected = f"at most {members * MAX_CENTRAL} bytes of {members} members"
        judge.stop("count-mismatch", _EOCD, position, expected, length)
    return Directory(begin, end, members, begin - offset)


def _refuse_unshifted(
    judge: Judge, read: Read, directory: Directory, claims: _Claims, wide: _Claims | None
) -> None:
    """Refuses what a reader finds that takes offsets as they are, without the prefix."""
    offset = claims.offset
    if read(offset, 4) in (b"PK\1\2", b"PK\5\6", b"PK\6\6"):
        expected = f"the central directory at {directory.begin} alone"
        judge.refuse("two-directories", "central directory", offset, expected, "another")
    if wide is not None and read(wide.offset + wide.length, 4) == b"PK\6\6":
        at = wide.offset + wide.length
        expected = f"the zip64 EOCD at {directory.end} alone"
        judge.refuse("two-zip64-end-records", _EOCD64, at, expected, "another")
