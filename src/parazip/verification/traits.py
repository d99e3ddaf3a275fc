"""Traits of an archive that are in order, and that some reader refuses: a prefix, zip64, and so on.

They are told as notes, one for all members that share a trait.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress

from parazip.format.end import MAX_CENTRAL, Directory, Read
from parazip.format.records import (
    CENTRAL,
    FLAG_DESCRIPTOR,
    FLAG_ENCRYPTED,
    FLAG_UTF8,
    LIMIT_32,
    ZIP64_END,
)
from parazip.format.values import DEFLATED, STORED, Entry, Record
from parazip.sources.archives import SPECIAL_KINDS
from parazip.verification.faults import Fault

_WIDE_END = b"PK\6\6"
"""Signature of the zip64 end of central directory record (APPNOTE 4.3.14)."""

_HERE = 6
"""Its field with the number of members on this disk; the next one has that of all."""

_PIECE = 64 * MAX_CENTRAL


def find_traits(entries: Sequence[Entry], directory: Directory, read: Read) -> Iterator[Fault]:
    """The traits of an archive that a strict reader takes.

    Args:
        entries: its members.
        directory: where its central directory is.
        read: gives the file's bytes.
    """
    first = min((entry.record.offset for entry in entries), default=directory.begin)
    if first:
        yield Fault.by_rule("prefix", "", "file", f"{first:,} bytes in front")
    if entries and max(entry.end for entry in entries) < directory.begin:
        yield Fault.by_rule("gap", "", "file", "bytes in front of the directory")
    end = read(directory.end, ZIP64_END.size)
    if end.startswith(_WIDE_END):
        yield Fault.by_rule("zip64", "", "zip64 EOCD", "one")
        here, count = ZIP64_END.unpack(end)[_HERE : _HERE + 2]
        if here != count or not count:
            yield Fault.by_rule("zip64-counts", "", "zip64 EOCD", f"{here:,} of {count:,} members")
    for rule, names in _group_members(entries, directory, read).items():
        yield Fault.of_names(rule, "members", names)


def _group_members(
    entries: Sequence[Entry], directory: Directory, read: Read
) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    folders: set[str] = set()
    headers = _read_variable_parts(directory, read)
    for (name, record, _), (has_comment, is_wide) in zip(entries, headers, strict=False):
        flags = record.flags
        if flags & FLAG_DESCRIPTOR:
            groups["data-descriptor"].append(name)
        if flags & FLAG_ENCRYPTED:
            groups["encrypted"].append(name)
        if record.method not in (STORED, DEFLATED):
            groups["method"].append(name)
        if has_comment:
            groups["member-comment"].append(name)
        if is_wide:
            groups["zip64"].append(name)
        if not _is_in_header(record, name):
            groups["name-in-extra-field"].append(name)
        if not flags & FLAG_UTF8 and not record.name.isascii():
            is_utf8 = _is_utf8(record.name)
            groups["name-without-flag" if is_utf8 else "name-in-code-page"].append(name)
        if record.attributes >> 28 in SPECIAL_KINDS:
            groups["special-file"].append(name)
        if name.endswith("/"):
            if not record.name.endswith(b"/"):
                groups["folder-without-slash"].append(name)
            if name in folders:
                groups["folder-twice"].append(name)
            folders.add(name)
    return groups


def _is_in_header(record: Record, name: str) -> bool:
    """Whether a name is the one in the header, and not that of a Unicode path."""
    for encoding in ("utf-8", "cp437"):
        with suppress(UnicodeDecodeError):
            if _flatten(record.name.decode(encoding)) == _flatten(name):
                return True
    return False


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _flatten(name: str) -> str:
    return name.replace("\\", "/").rstrip("/")


def _read_variable_parts(directory: Directory, read: Read) -> Iterator[tuple[bool, bool]]:
    """Whether a header has a comment, and whether zip64 tells how long or where its data are.

    Where it tells the uncompressed size alone, nobody needs that to find and inflate the data.
    """
    at = directory.begin
    piece, base = b"", at
    while at < directory.end:
        if at + CENTRAL.size > base + len(piece):
            piece, base = read(at, min(_PIECE, directory.end - at)), at
        if at + CENTRAL.size > base + len(piece):
            return
        fields = CENTRAL.unpack_from(piece, at - base)
        yield bool(fields[11]), LIMIT_32 in (fields[7], fields[15])
        at += CENTRAL.size + sum(fields[9:12])
