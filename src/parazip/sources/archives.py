"""Other archives as sources: what is in them, and what of it can be copied.

Nothing is inflated here. Each record that is looked at is held against its archive's directory.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Collection, Iterable
from functools import partial
from io import RawIOBase
from typing import NoReturn

from parazip.codecs import inflating, others
from parazip.errors import NotCopiedError
from parazip.format import reader
from parazip.format.end import Read
from parazip.format.local import find_data_offset
from parazip.format.names import find_fault, leads_out, make_pattern
from parazip.format.records import FLAG_ENCRYPTED, FLAG_PATCH, LOCAL
from parazip.format.refusals import Judge, Refusal
from parazip.format.surroundings import Surroundings, read_surroundings
from parazip.format.values import DEFLATED, STORED, Buffer, Entry
from parazip.model import ArchiveMember, File, FilePiece, Piece
from parazip.sources import files
from parazip.sources.contents import RANGE

_MAX_EXTRA = 0xFFFF
"""The most bytes that the extra field of a local header takes (APPNOTE 4.4.11)."""

_END = 256 << 10
"""Bytes of a remote archive that are fetched at once: the directory of some 2,500 members."""


def read_entries(archive: File, allowed: Collection[str] = ()) -> list[Entry]:
    """The members of an archive, as its directory tells of them.

    Args:
        archive: its file.
        allowed: ids of refusals that do not matter.

    Raises:
        SourceError: the file cannot be read.
        SourceChangedError: it is not what it was when it was found.
        BadArchiveError: it is damaged, or no archive.
    """

    def hear(refusal: Refusal) -> None:
        if refusal.id not in allowed:
            raise refusal.error(archive.path)

    judge = Judge(archive.path, hear)
    with files.open_unchanged(archive, pieces=[locate_end(archive)]) as file:
        return reader.read_directory(archive.path, archive.size, partial(read_at, file), judge)


def read_layout(archive: File) -> reader.Layout:
    """Where things are in an archive, as its directory says, however odd that is.

    Raises what `read_entries` raises, but for what is odd.
    """
    with files.open_unchanged(archive, pieces=[locate_end(archive)]) as file:
        return reader.read_layout(archive.path, archive.size, partial(read_at, file))


def check_passed_over(archive: File, entries: Iterable[Entry]) -> None:
    """Makes sure that members that are not copied have one meaning, as those that are.

    Those of a remote archive are not looked at: to read a few members means not to read the rest.

    Raises:
        SourceError: the file cannot be read.
        SourceChangedError: it is not what it was when it was found.
        BadArchiveError: a record disagrees with the directory.
    """
    if archive.is_remote:
        return
    judge = Judge(archive.path)
    with files.open_unchanged(archive) as file:
        read = partial(read_at, file)
        for entry in entries:
            find_data_offset(judge, entry, read_front(read, entry), read)


def read_archive_surroundings(archive: File) -> Surroundings:
    """What an archive has besides its members; raises what `read_entries` raises."""
    members = read_entries(archive)
    with files.open_unchanged(archive) as file:
        judge = Judge(archive.path)
        return read_surroundings(judge, archive.size, partial(read_at, file), members)


def locate_stored(archive: File, file: RawIOBase, entry: Entry) -> FilePiece:
    """The contents of a stored member, as the piece of its archive, open in `file`, that they are.

    Raises:
        BadArchiveError: its local header disagrees with the directory.
    """
    read = partial(read_at, file)
    begin = find_data_offset(Judge(archive.path), entry, read_front(read, entry), read)
    return FilePiece(archive, begin, entry.record.size, entry.record.crc)


def find_contents_offset(copied: ArchiveMember) -> int:
    """Where the contents of a stored member begin, counted from the start of their archive.

    Raises what `locate_stored` raises, and what `read_entries` raises of the file.
    """
    with files.open_unchanged(copied.archive) as file:
        return locate_stored(copied.archive, file, copied.entry).offset


def refuse_unsafe_name(archive: str, entry: Entry, verb: str = "copy") -> None:
    """Refuses a name that leads out of the folder that it is unpacked in, or to no file in it.

    Args:
        archive: what messages call it.
        entry: the member.
        verb: what cannot be done with it, for messages.

    Raises:
        NotCopiedError: it does.
    """
    why = find_fault(entry.name, is_file=bool(entry.record.size))
    if why:
        rule = "name-leads-out" if leads_out(entry.name) else "name-of-a-folder"
        _refuse(archive, entry, rule, f"its name {why}", verb)


def refuse_uncopyable(
    archive: str, entry: Entry, verb: str = "copy", more: Collection[int] = ()
) -> None:
    """Refuses what cannot be copied as it is; see `refuse_unsafe_name`.

    Args:
        archive: what messages call it.
        entry: the member.
        verb: what cannot be done with it, for messages.
        more: methods that will do besides stored and deflated.

    Raises:
        NotCopiedError: it is encrypted, or has another method, or stands for a device or the like,
            which some readers make, or leave out, and others take for a file.
    """
    record = entry.record
    if record.flags & FLAG_ENCRYPTED:
        _refuse(archive, entry, "encrypted", "it is encrypted", verb)
    if record.flags & FLAG_PATCH:
        _refuse(archive, entry, "patch", "it is a patch", verb)
    if record.method not in (STORED, DEFLATED, *more):
        known = ", ".join(["not stored", *(others.NAMES[method] for method in more)])
        what = f"it has the compression method {record.method}, {known} or deflated"
        _refuse(archive, entry, "method", what, verb)
    if (kind := record.attributes >> 28) not in _KINDS:
        what = f"it is {SPECIAL_KINDS.get(kind, 'neither a file nor a folder nor a link')}"
        _refuse(archive, entry, "special-file", what, verb)


def check_contents(judge: Judge, entry: Entry, chunks: Iterable[Buffer]) -> None:
    """Refuses contents that are not what the directory says.

    Args:
        judge: is told, and raises a `BadArchiveError`.
        entry: the member.
        chunks: its compressed bytes.
    """
    record = entry.record
    what = f"the data of {entry.name}"
    try:
        crc_and_size = inflating.measure_inflated(record.method, chunks, record.size)
    except inflating.StreamEndError as error:
        expected = f"a deflate stream of {record.compressed_size} bytes"
        judge.refuse("stream-end", what, record.offset, expected, str(error), entry.name)
    except ValueError as error:
        expected = "a deflate stream"
        judge.refuse("stream-damaged", what, record.offset, expected, str(error), entry.name)
    else:
        refuse_other_contents(judge, entry, *crc_and_size)


def check_target(judge: Judge, entry: Entry, data: Buffer | None) -> str:
    """Refuses a link's target that ends at a NUL for who makes the link.

    It is in memory as a whole for that. Empty blocks make a deflate stream as long as one likes, so
    one that is no short target's is refused as well.

    Args:
        judge: is told, and raises a `BadArchiveError`.
        entry: the link.
        data: its compressed bytes; None if there are more than `RANGE`.

    Returns:
        The target.
    """
    record = entry.record
    what = f"the data of {entry.name}"
    if data is None:
        expected = f"at most {RANGE:,} compressed bytes of a link's target"
        judge.refuse(
            "link-target", what, record.offset, expected, record.compressed_size, entry.name
        )
        return ""
    target = inflating.inflate_whole(bytes(data), record.size) if record.method else bytes(data)
    if target is None or b"\0" in target:
        expected = "a link's target without NUL"
        judge.refuse("link-target", what, record.offset, expected, target, entry.name)
    return os.fsdecode(bytes(target or b""))


def refuse_other_contents(judge: Judge, entry: Entry, crc: int, size: int) -> None:
    """Refuses contents that do not have the CRC-32 and the size that the directory says."""
    record = entry.record
    if (crc, size) != (record.crc, record.size):
        what = f"the data of {entry.name}"
        expected = f"CRC {record.crc:#010x} of {record.size} bytes"
        found = f"{crc:#010x} of {size}"
        judge.refuse("crc-mismatch", what, record.offset, expected, found, entry.name)


_OTHER_WAYS = {
    "copy": ", or unpack the archive and merge the folder",
    "extract": ", or extract it with 7z",
}
"""What else can be done about a member that other programs may unpack."""

LINK = 10
_KINDS = (8, 4, LINK)
"""The highest 4 bits of the mode of a file, a folder, and a link."""

SPECIAL_KINDS = {
    0: "a volume label or a reparse point of Windows",
    1: "a named pipe",
    2: "a device",
    6: "a device",
    12: "a socket",
}

NOT_COPIED = (
    "name-leads-out",
    "name-of-a-folder",
    "encrypted",
    "patch",
    "method",
    "special-file",
)
"""The ids of what keeps a member from being copied, and not the archive from being read."""


def _refuse(archive: str, entry: Entry, rule: str, what: str, verb: str) -> NoReturn:
    reason = f"cannot {verb} {entry.name} of {archive}: {what}"
    other = _OTHER_WAYS[verb] if rule in ("encrypted", "patch", "method") else ""
    raise NotCopiedError(
        f"{reason}; leave it out with --exclude {shlex.quote(make_pattern(entry.name))}{other} "
        f"[{rule}]",
        member=entry.name,
        id=rule,
        reason=reason,
    )


def read_front(read: Read, entry: Entry, more: int = 0) -> bytes:
    """A member's local header, and at least `more` bytes of what follows it, as far as it goes.

    How long the extra field between them is, only the header tells.
    """
    begin, end = locate_record(entry, more)
    return read(begin, end - begin)


def locate_record(entry: Entry, more: int) -> Piece:
    """Where a member's record is in its archive, up to `more` bytes behind its local header."""
    offset = entry.record.offset
    most = LOCAL.size + len(entry.record.name) + _MAX_EXTRA + more
    return offset, min(offset + most, entry.end)


def locate_records(archive: File, entries: Iterable[Entry]) -> list[Piece]:
    """The records of members that will be read of a remote archive, with their contents."""
    if not archive.is_remote:
        return []
    return [locate_record(entry, entry.record.compressed_size) for entry in entries]


def locate_end(archive: File) -> Piece:
    """The end of an archive: its end records, and mostly all of its directory."""
    return max(0, archive.size - _END), archive.size


def read_at(file: RawIOBase, offset: int, length: int) -> bytes:
    """`length` bytes from `offset` on; fewer at the end of the file."""
    if offset > sys.maxsize:  # where no file goes, and no system either
        return b""
    file.seek(offset)
    data = file.read(length) or b""
    while len(data) < length and (more := file.read(length - len(data))):
        data += more
    return data
