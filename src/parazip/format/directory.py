"""The headers of the central directory (APPNOTE 4.3.12): members as their author meant them.

A name that is not ASCII may be in UTF-8, in code page 437, or told by a Unicode path field. Two
members whose names differ only by that, or by less, are one file to some readers (`forms`). A
backslash by a system that has them between folders is that to some, and a letter to others.

External attributes (4.4.15) mean what the system that made the member means by them. A folder
whose name lacks its slash gets it; one that has contents is a file to some readers, and is refused.
"""

from __future__ import annotations

from typing import NoReturn

from parazip.format.end import MAX_CENTRAL, Directory, Read, read_exactly
from parazip.format.extra import (
    Told,
    Where,
    check_kinds,
    is_asi_link,
    is_plain,
    parse_extra,
    unicode_name,
    widen,
)
from parazip.format.forms import refuse_forms
from parazip.format.names import MOST_STEPS
from parazip.format.records import (
    ATTRIBUTE_FOLDER,
    CENTRAL,
    FLAG_ENCRYPTED,
    FLAG_UTF8,
    LIMIT_16,
    LIMIT_32,
    LOCAL,
    dos_date,
)
from parazip.format.refusals import Judge
from parazip.format.values import DEFLATED, STORED, Record

_MOST_VERSION = 63
"""Who needs a later version of the format than 6.3 to read it is shut out by zipfile (4.4.3)."""

_MOST_DEFLATED = 1032
"""A byte of a deflate stream stands for at most so many: two bits can mean 258 bytes."""

_UNIX = 3
_UNIX_SYSTEMS = (_UNIX, 19)
"""What made the member (APPNOTE 4.4.2): Unix, macOS. Others have no mode to tell."""

_DOS_SYSTEMS = (0, 6, 10, 11, 14)
"""MS-DOS, HPFS, NTFS by two numbers, VFAT: the lowest byte has MS-DOS attributes."""

_LABEL, _LABEL_SYSTEMS = 0x08, (0, 6, 11)
"""A volume label: unzip passes over it, others make a file."""

_REPARSE, _REPARSE_SYSTEMS = 0x400, (0, 11)
"""A reparse point of Windows: 7-Zip makes a link of its contents, others a file."""

_AMIGA = 1
_AMIGA_KINDS, _AMIGA_FOLDER = 0o6000 << 16, 0o4000 << 16

_ASI_SYSTEMS = (2, 3, 5, 12, 13, 16, 17, 30)
"""Those where unzip takes a kind from ASi's extra field if there is no mode."""

_NO_LINK = 1 << 2
"""A bit of the internal attributes, reserved by APPNOTE (4.4.14): with it unzip makes no link."""

_MOST_TARGET = 4095
"""No system makes a link to a longer path."""

_KIND_FILE, _KIND_FOLDER, KIND_LINK = 8, 4, 10
"""The highest 4 bits of a Unix mode that are in use."""

_KINDS = 0o170000 << 16
_FILE, _FILE_MODE = 0o100000 << 16, 0o100644 << 16
_FOLDER, _FOLDER_MODE = 0o040000 << 16, 0o040755 << 16
_SPECIAL_KINDS = (1, 2, 6, 12)
"""A named pipe, devices, a socket: handed on as they are, for who copies to refuse."""
_PIPE = 1
"""One with contents is a file to all: `zip archive.zip -` tells what standard input was."""
_NO_KIND = 0
"""In a header: none is told. In ours: a label or a reparse point, for who copies to refuse."""

_EPOCH = dos_date(1980, 1, 1, 0, 0, 0)

_PIECE = 4 << 20
"""So much of a directory is read at a time: what it claims to be is not believed at once."""

_HEADER = "central directory header"
_NOTHING = Told(None, None)


def read_headers(judge: Judge, directory: Directory, read: Read) -> tuple[list[str], list[Record]]:
    """Names and records of an archive's members, in the directory's order.

    Args:
        judge: is told what is not right.
        directory: where it is.
        read: gives the file's bytes.
    """
    begin, end, members, shift, _ = directory
    length = end - begin
    data, base = b"", 0  # what was read of it, from where on
    names: list[str] = []
    records: list[Record] = []
    unpack, fixed = CENTRAL.unpack_from, CENTRAL.size
    position = 0
    is_odd = False  # whether a name might be another's in another form
    good_date = _EPOCH
    kinds: list[tuple[int, Where, Told, int]] = []

    def stop(at: int, expected: object, found: object) -> NoReturn:
        judge.stop("central-header", _HEADER, begin + at, expected, found)

    for _ in range(members):
        at = position
        if at + fixed > length:
            stop(at, f"{fixed} bytes", length - at)
        if at + MAX_CENTRAL > base + len(data) < length:
            data = read_exactly(judge, read, begin + at, min(_PIECE, length - at))
            base = at
        fields = unpack(data, at - base)
        signature, made_by, version, flags, method, date, crc, packed, size = fields[:9]
        name_length, extra_length, comment_length, disk, internal, attributes, offset = fields[9:]
        if signature != b"PK\1\2":
            stop(at, b"PK\1\2", signature)
        extra_at = at + fixed + name_length
        position = extra_at + extra_length + comment_length
        if position > length:
            stop(at, f"at most {length - at} bytes", position - at)
        raw = data[at - base + fixed : extra_at - base]
        system = made_by >> 8
        told = _NOTHING
        if extra_length:
            extra = data[extra_at - base : extra_at - base + extra_length]
            if not is_plain(extra):
                where = Where(judge, _HEADER, begin + at)
                told = parse_extra(extra, where)
                values = (size, packed, offset)
                size, packed, offset = widen(told.zip64, values, where, disk == LIMIT_16)
                if told.kinds and raw[-1:] != b"/":
                    kinds.append((len(names), where, told, system))
                    is_asked = system in _ASI_SYSTEMS and size and not attributes >> 16
                    if is_asked and is_asi_link(told.kinds):
                        where.refuse("kind-mismatch", "a file, as by its attributes", "a link")
        offset += shift
        if (
            offset + LOCAL.size + name_length + packed > begin
            or disk
            or version & 0xFF > _MOST_VERSION
            or (packed != size if method == STORED else size > packed * _MOST_DEFLATED)
            or (not size and (crc or (method and not packed)))
        ):
            record = Record(raw, flags, method, date, crc, packed, size, attributes, offset)
            _check_numbers(judge, begin + at, record, begin, disk, version, told)
        name = raw.decode("ascii") if raw.isascii() else ""
        if (
            not name
            or told.unicode_path is not None
            or not name.isprintable()
            or "\\" in name
            or ";" in name
        ):
            is_odd = True
            name = _name(judge, begin + at, raw, flags, system, told.unicode_path)
        if not 0 < name_length <= MOST_STEPS:
            _refuse_name(judge, begin + at, name)
        if date != good_date:
            if _is_date(date):
                good_date = date
            else:
                date = _EPOCH
        if attributes >> 28 == _KIND_FILE and system == _UNIX and raw[-1:] != b"/":
            attributes &= 0xFFFF0000
        else:
            if attributes >> 28 == KIND_LINK and internal & _NO_LINK:
                expected = "a link without bit 2 of the internal attributes"
                judge.refuse("link-mismatch", _HEADER, begin + at, expected, f"{internal:#06x}")
            name, attributes = _kind(judge, begin + at, name, attributes, system, size)
        names.append(name)
        records.append(Record(raw, flags, method, date, crc, packed, size, attributes, offset))
    if position != length:
        rest = read_exactly(judge, read, begin + position, min(4, length - position))
        expected = "the end of the central directory"
        judge.refuse("count-mismatch", _HEADER, begin + position, expected, rest)
    for i, where, told, system in kinds:
        check_kinds(where, told.kinds, system, records[i].attributes)
    if is_odd:
        refuse_forms(judge, begin, names, records)
    return names, records


def _check_numbers(
    judge: Judge, at: int, record: Record, begin: int, disk: int, version: int, told: Told
) -> None:
    """Refuses numbers that cannot be, where the directory begins at `begin`; most of them can."""
    raw, flags, method, _, crc, packed, size, _, offset = record
    is_narrow = told.zip64 is None and LIMIT_32 in (packed, size, offset)

    def refuse(id: str, expected: object, found: object) -> None:  # noqa: A002 # as `Judge`
        if is_narrow:
            id, expected, found = "zip64-field-missing", "a zip64 extra field", (packed, size)  # noqa: A001
        judge.refuse(id, _HEADER, at, expected, found)

    if offset + LOCAL.size + len(raw) + packed > begin:
        refuse("record-outside", f"a record that ends before {begin}", (offset, packed))
    is_told = disk == LIMIT_16 and told.zip64 is not None and len(told.zip64) % 8 == 4
    if disk and not is_told:
        judge.refuse("split-archive", _HEADER, at, "disk 0", disk)
    if version & 0xFF > _MOST_VERSION:
        found = f"{(version & 0xFF) / 10}"
        judge.refuse("version-needed", _HEADER, at, f"{_MOST_VERSION / 10} or before", found)
    if flags & FLAG_ENCRYPTED or method not in (STORED, DEFLATED):
        return  # encryption adds bytes, and other methods make more of one
    if packed != size if method == STORED else size > packed * _MOST_DEFLATED:
        refuse("size-impossible", f"a size that method {method} can have", (packed, size))
    elif method == DEFLATED and not packed:
        judge.refuse("deflate-stream-missing", _HEADER, at, "a deflate stream", "0 bytes")
    if not size and crc:
        judge.refuse("crc-of-nothing", _HEADER, at, "CRC 0 of 0 bytes", crc)


def _refuse_name(judge: Judge, at: int, name: str) -> None:
    """Refuses a name that is none, or that no system takes."""
    if not name:
        judge.refuse("name-missing", _HEADER, at, "a name", b"")
    elif (steps := name.count("/")) > MOST_STEPS:
        judge.refuse("name-too-deep", _HEADER, at, f"a name of at most {MOST_STEPS} steps", steps)


def _name(
    judge: Judge, at: int, raw: bytes, flags: int, system: int, unicode_path: bytes | None
) -> str:
    """A name as text.

    Without flag 11 it is in code page 437 (APPNOTE appendix D); but Info-ZIP's zip on Unix takes
    the name as the system has it, which is UTF-8 nearly everywhere. A Unicode path tells better,
    unless the header is in UTF-8 itself: then some readers take the header's.
    """
    is_told = bool(flags & FLAG_UTF8)
    name = ""
    try:
        if is_told or system in _UNIX_SYSTEMS or raw.isascii():
            name = raw.decode()
            is_told = is_told or not raw.isascii()
    except UnicodeDecodeError:
        if is_told:
            judge.refuse("name-not-utf-8", _HEADER, at, "a name in UTF-8", raw)
    name = name or raw.decode("cp437")
    if unicode_path is not None:
        where = Where(judge, _HEADER, at)
        other = unicode_name(unicode_path, raw, where)
        if is_told and other not in (None, name):
            where.refuse("unicode-path-mismatch", f"a Unicode path of {name!r}", other)
        name = other or name
    if "\0" in name:
        judge.refuse("name-with-nul", _HEADER, at, "a name without NUL", raw)
    if "\\" in name and system not in _UNIX_SYSTEMS:
        judge.refuse("name-with-backslash", _HEADER, at, "/ between folders", name)
    return name


def _kind(
    judge: Judge, at: int, name: str, attributes: int, system: int, size: int
) -> tuple[str, int]:
    """A name that has a folder's slash, and attributes with a Unix mode that tells the kind."""
    is_unix = system in _UNIX_SYSTEMS
    mode = attributes & 0xFFFF0000 if is_unix else 0
    kind = attributes >> 28
    if kind == _PIPE and size:
        kind = _KIND_FILE
    is_folder = name.endswith("/")
    if kind == KIND_LINK and (is_folder or system != _UNIX):
        found = f"{name!r}, made by system {system}"
        judge.refuse("link-mismatch", _HEADER, at, "a link by Unix, whose name has no slash", found)
    if is_unix:
        is_told = kind == _KIND_FOLDER
    else:
        is_told = system in _DOS_SYSTEMS and bool(attributes & ATTRIBUTE_FOLDER)
        is_told |= system == _AMIGA and attributes & _AMIGA_KINDS == _AMIGA_FOLDER
    if (is_folder or is_told) and size:
        found = f"{size} bytes in {name!r}"
        judge.refuse("folder-with-contents", _HEADER, at, "a folder without contents", found)
    if system in _LABEL_SYSTEMS and attributes & _LABEL:
        return name, _NO_KIND
    if is_folder or is_told:
        name = name if is_folder else name + "/"
        return name, (mode & ~_KINDS or _FOLDER_MODE) | _FOLDER | ATTRIBUTE_FOLDER
    if is_unix and kind == KIND_LINK and not 0 < size <= _MOST_TARGET:
        expected = f"a link's target of 1 to {_MOST_TARGET:,} bytes"
        judge.refuse("link-target", _HEADER, at, expected, f"{size:,} bytes in {name!r}")
    if is_unix and (kind == KIND_LINK or kind in _SPECIAL_KINDS):
        return name, mode
    if system == _UNIX and kind not in (_NO_KIND, _KIND_FILE) and size:
        return name, mode  # there is no such kind, and bsdtar makes zeros of the contents
    if system in _REPARSE_SYSTEMS and attributes & _REPARSE and size:
        return name, _NO_KIND
    return name, (mode & ~_KINDS or _FILE_MODE) | _FILE


def _is_date(date: int) -> bool:
    """Whether a MS-DOS date and time is one that a clock can show."""
    return (
        0 < date >> 21 & 15 <= 12
        and date >> 16 & 31 > 0
        and date >> 11 & 31 < 24
        and date >> 5 & 63 < 60
        and date & 31 < 30
    )
