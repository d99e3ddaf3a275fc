"""Reads the central directory of an archive, strictly: what is odd is refused, and by name.

An archive is read from its end (APPNOTE 4.3.6): the end of central directory record (EOCD), with
its zip64 twin where a number did not fit, tells where the central directory is. Everything in it
is a claim that somebody made, so nothing is believed before it is held against the file: a
length, an offset or a count leads nowhere outside of it, and no memory is taken for what cannot
be there. What two readers could understand in two ways (two EOCDs that both fit, two members of
one name, records that overlap, headers that disagree) is refused.

Bytes in front of the archive are fine, whether its offsets count them or not; so is a comment.
Local file headers stand beside the members' data and are read with it, when a member is copied:
`data_offset` holds one against the directory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NoReturn

from parazip.errors import BadArchiveError
from parazip.format.records import (
    ATTRIBUTE_FOLDER,
    CENTRAL,
    END,
    FLAG_DESCRIPTOR,
    FLAG_ENCRYPTED,
    FLAG_UTF8,
    LIMIT_16,
    LIMIT_32,
    LOCAL,
    ZIP64_END,
    ZIP64_LOCATOR,
    ZIP64_TAG,
    dos_date,
)
from parazip.model import DEFLATED, STORED, Entry, Record
from parazip.names import MOST_STEPS

_MAX_COMMENT = 0xFFFF
_MAX_CENTRAL = CENTRAL.size + 3 * 0xFFFF

_MOST_DEFLATED = 1032
"""A byte of a deflate stream stands for at most so many: two bits can mean 258 bytes."""

_UNIX_SYSTEMS = (3, 19)
"""What made the member (APPNOTE 4.4.2): Unix, macOS. Others have no mode to tell."""

_KINDS = 0o170000 << 16
_FILE, _FILE_MODE = 0o100000 << 16, 0o100644 << 16
_FOLDER, _FOLDER_MODE = 0o040000 << 16, 0o040755 << 16

_EPOCH = dos_date(1980, 1, 1, 0, 0, 0)

_AGREEING_FLAGS = FLAG_ENCRYPTED | FLAG_DESCRIPTOR | FLAG_UTF8


def read_directory(path: str, size: int, read: Callable[[int, int], bytes]) -> list[Entry]:
    """The members of an archive in the order of its central directory.

    Args:
        path: what messages call the archive.
        size: of its file, in bytes.
        read: gives `length` bytes from `offset` on, fewer at the end: `read(offset, length)`.

    Raises:
        BadArchiveError: it is no archive, or something about it is not right; the message names
            the record, its offset, what was expected and what was found.
    """
    directory = _Directory(path, size, read)
    names, records = directory.members()
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twin = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value] # the usual idiom
        directory.fail("central directory", directory.begin, "each name once", f"two {twin!r}")
    return list(map(Entry, names, records, _ends(directory, records)))


def directory_place(path: str, size: int, read: Callable[[int, int], bytes]) -> tuple[int, int]:
    """Where the central directory begins, and where what follows it does."""
    directory = _Directory(path, size, read)
    return directory.begin, directory.end


def data_offset(path: str, entry: Entry, header: bytes) -> int:
    """Where the data of a member begins, counted from the start of its file.

    Args:
        path: what messages call the archive.
        entry: what the central directory says of the member.
        header: its local file header with name and extra field, and maybe more (APPNOTE 4.3.7);
            if it is cut off in its extra field, the end of the data is still known to fit.

    Raises:
        BadArchiveError: the two headers disagree, or the data would not end before the next
            record begins.
    """
    record = entry.record
    if len(header) < LOCAL.size:
        _fail(path, "local file header", record.offset, f"{LOCAL.size} bytes", len(header))
    fields: tuple[Any, ...] = LOCAL.unpack_from(header)
    signature, _, flags, method, _, crc, packed, size, name_length, extra_length = fields
    if signature != b"PK\3\4":
        _fail(path, "local file header", record.offset, b"PK\3\4", signature)
    name = header[LOCAL.size : LOCAL.size + name_length]
    kind = (record.flags & _AGREEING_FLAGS, record.method, record.name)
    if (flags & _AGREEING_FLAGS, method, name) != kind:
        found = (flags & _AGREEING_FLAGS, method, name)
        _disagree(path, entry, "flags, method and name", kind, found)
    numbers = (record.crc, record.size, record.compressed_size)
    if (crc, size, packed) != numbers or LIMIT_32 in (size, packed):
        told = [crc, size, packed]
        if LIMIT_32 in (size, packed):
            extra = header[LOCAL.size + name_length :][:extra_length]
            told[1:] = _widened(extra, [size, packed]) or (size, packed)
        unknown = 0 if flags & FLAG_DESCRIPTOR else None  # git and bsdtar know just the size
        if any(a not in (b, unknown) for a, b in zip(told, numbers, strict=True)):
            _disagree(path, entry, "CRC and sizes", numbers, tuple(told))
    begin: int = record.offset + LOCAL.size + name_length + extra_length
    if begin + record.compressed_size > entry.end:
        most = entry.end - begin
        _fail(
            path,
            f"local file header of {entry.name!r}",
            record.offset,
            f"at most {most} bytes before the next record",
            f"{record.compressed_size} bytes of data",
        )
    return begin


_PIECE = 4 << 20
"""So much of a directory is read at a time: what it claims to be is not believed at once."""


class _Directory:
    """Where the central directory is, and what it holds.

    Attributes:
        begin: its offset in the file.
        end: the offset of what follows it.
    """

    def __init__(self, path: str, size: int, read: Callable[[int, int], bytes]) -> None:
        self._path = path
        self._reader = read
        position, end, claims = self._find(size)
        self._count, length, offset = claims
        self.end = end
        self.begin = end - length
        self._shift = self.begin - offset
        if self.begin < 0:
            self.fail("EOCD", position, f"a central directory of at most {end} bytes", length)
        if self._shift < 0:
            self.fail("EOCD", position, f"a central directory at {self.begin} or before", offset)
        if self._count * CENTRAL.size > length:
            most = length // CENTRAL.size
            self.fail("EOCD", position, f"at most {most} members in {length} bytes", self._count)
        if self._count * _MAX_CENTRAL < length:
            most = self._count * _MAX_CENTRAL
            self.fail("EOCD", position, f"at most {most} bytes of {self._count} members", length)

    def fail(self, record: str, offset: int, expected: object, found: object) -> NoReturn:
        """Refuses the archive."""
        _fail(self._path, record, offset, expected, found)

    def _read(self, offset: int, length: int) -> bytes:
        data = self._reader(offset, length)
        if len(data) != length:
            self.fail("file", offset, f"{length} bytes", len(data))
        return data

    def _find(self, size: int) -> tuple[int, int, tuple[int, int, int]]:
        """Where the EOCD is, where the directory ends, and its count, length and offset."""
        begin = max(0, size - END.size - _MAX_COMMENT)
        tail = self._read(begin, size - begin)
        fitting = [
            at
            for at in _places(tail, b"PK\5\6")
            if at + END.size <= len(tail)
            and at + END.size + END.unpack_from(tail, at)[-1] == len(tail)
        ]
        if not fitting:
            raise BadArchiveError(
                f"{self._path} is no zip archive or was cut off: no end of central directory "
                f"record (EOCD) fits the end of its {size} bytes; get the whole file again, "
                "without anything behind it",
                archive=self._path,
            )
        position = begin + fitting[0]
        if len(fitting) > 1:
            self.fail("EOCD", position, "one", f"another that fits at {begin + fitting[1]}")
        _, disk, first_disk, here, count, length, offset, _ = END.unpack_from(tail, fitting[0])
        if here != count or disk != first_disk or disk not in (0, LIMIT_16):
            self.fail("EOCD", position, "one disk", f"disk {disk}, {here} of {count} members")
        locator_at = position - ZIP64_LOCATOR.size
        locator = self._read(locator_at, ZIP64_LOCATOR.size) if locator_at >= 0 else b""
        if locator.startswith(b"PK\6\7"):
            claims = self._wide(locator_at, locator, (count, length, offset))
            return position, locator_at - ZIP64_END.size, claims
        if LIMIT_32 in (length, offset):
            self.fail("zip64 EOCD locator", max(0, locator_at), b"PK\6\7", locator[:4])
        return position, position, (count, length, offset)

    def _wide(
        self, locator_at: int, locator: bytes, claims: tuple[int, int, int]
    ) -> tuple[int, int, int]:
        """What the zip64 EOCD claims; the EOCD must say the same, or that it cannot."""
        at = locator_at - ZIP64_END.size
        if at < 0:
            self.fail("zip64 EOCD", 0, f"{ZIP64_END.size} bytes before its locator", locator_at)
        data = self._read(at, ZIP64_END.size)
        signature, size, _, _, disk, first_disk, here, count, length, offset = ZIP64_END.unpack(
            data
        )
        if (signature, size) != (b"PK\6\6", ZIP64_END.size - 12):
            self.fail("zip64 EOCD", at, (b"PK\6\6", ZIP64_END.size - 12), (signature, size))
        if disk or first_disk or here != count:
            self.fail("zip64 EOCD", at, "one disk", f"disk {disk}, {here} of {count} members")
        wide = (count, length, offset)
        limits = (LIMIT_16, LIMIT_32, LIMIT_32)
        if any(a not in (b, limit) for a, b, limit in zip(claims, wide, limits, strict=True)):
            self.fail("EOCD", locator_at + len(locator), f"count, size, offset {wide}", claims)
        told = ZIP64_LOCATOR.unpack(locator)[2]
        if told != offset + length:
            self.fail("zip64 EOCD locator", locator_at, f"offset {offset + length}", told)
        return wide

    def members(self) -> tuple[list[str], list[Record]]:
        """Names and records, in the directory's order."""
        length = self.end - self.begin
        data, base = b"", 0  # what was read of it, from where on
        names: list[str] = []
        records: list[Record] = []
        unpack, fixed, shift = CENTRAL.unpack_from, CENTRAL.size, self._shift
        position = 0
        for _ in range(self._count):
            at = position
            if at + fixed > length:
                self._fail_at(at, f"{fixed} bytes", length - at)
            if at + _MAX_CENTRAL > base + len(data) < length:
                data, base = self._read(self.begin + at, min(_PIECE, length - at)), at
            fields = unpack(data, at - base)
            signature, made_by, _, flags, method, date, crc, packed, size = fields[:9]
            name_length, extra_length, comment_length, disk, _, attributes, offset = fields[9:]
            if signature != b"PK\1\2":
                self._fail_at(at, b"PK\1\2", signature)
            extra_at = at + fixed + name_length
            position = extra_at + extra_length + comment_length
            if position > length:
                self._fail_at(at, f"at most {length - at} bytes", position - at)
            raw = data[at - base + fixed : extra_at - base]
            if LIMIT_32 in (size, packed, offset):
                extra = data[extra_at - base : extra_at - base + extra_length]
                wide = _widened(extra, [size, packed, offset])
                if wide is None:
                    self._fail_at(at, "a zip64 extra field", extra)
                size, packed, offset = wide
            offset += shift
            if disk not in (0, LIMIT_16):
                self._fail_at(at, "disk 0", disk)
            if offset + LOCAL.size + name_length + packed > self.begin:
                self._fail_at(at, f"a record that ends before {self.begin}", (offset, packed))
            if not _is_plausible(flags, method, packed, size):
                self._fail_at(at, f"a size that method {method} can have", (packed, size))
            system = made_by >> 8
            name = self._name(at, raw, flags, system)
            if not _is_date(date):
                date = _EPOCH
            attributes = _attributes(name, attributes, system)
            names.append(name)
            records.append(Record(raw, flags, method, date, crc, packed, size, attributes, offset))
        if position != length:
            rest = self._read(self.begin + position, min(4, length - position))
            self._fail_at(position, "the end of the central directory", rest)
        return names, records

    def _name(self, at: int, raw: bytes, flags: int, system: int) -> str:
        """A name as text.

        Without flag 11 it is in code page 437 (APPNOTE appendix D); but Info-ZIP's zip on Unix
        takes the name as the system has it, which is UTF-8 nearly everywhere.
        """
        if not raw or b"\0" in raw:
            self._fail_at(at, "a name without NUL", raw)
        if (steps := raw.count(b"/")) > MOST_STEPS:
            self._fail_at(at, f"a name of at most {MOST_STEPS} steps", steps)
        if raw.isascii():
            return raw.decode("ascii")
        try:
            if flags & FLAG_UTF8 or system in _UNIX_SYSTEMS:
                return raw.decode()
        except UnicodeDecodeError:
            if flags & FLAG_UTF8:
                self._fail_at(at, "a name in UTF-8", raw)
        return raw.decode("cp437")

    def _fail_at(self, position: int, expected: object, found: object) -> NoReturn:
        self.fail("central directory header", self.begin + position, expected, found)


def _places(data: bytes, signature: bytes) -> list[int]:
    """Where a signature stands, the last place first."""
    places = []
    at = data.rfind(signature)
    while at >= 0:
        places.append(at)
        at = data.rfind(signature, 0, at + len(signature) - 1)
    return places


def _ends(directory: _Directory, records: list[Record]) -> list[int]:
    """Where the next record begins, for each; records that overlap are refused."""
    ends = [directory.begin] * len(records)
    order = sorted(range(len(records)), key=lambda i: records[i].offset)
    for i, j in pairwise(order):
        first, second = records[i], records[j]
        least = first.offset + LOCAL.size + len(first.name) + first.compressed_size
        if least > second.offset:
            directory.fail(
                f"record of {second.name!r}",
                second.offset,
                f"offset {least} or more, behind {first.name!r}",
                second.offset,
            )
        ends[i] = second.offset
    return ends


def _widened(extra: bytes, values: list[int]) -> list[int] | None:
    """`values`, those that are saturated taken from the zip64 extra field (APPNOTE 4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        tag, size = struct.unpack_from("<2H", extra, at)
        if tag == ZIP64_TAG:
            data = extra[at + 4 : at + 4 + size]
            wide = iter(struct.unpack_from(f"<{len(data) // 8}Q", data))
            try:
                return [next(wide) if value == LIMIT_32 else value for value in values]
            except StopIteration:
                return None
        at += 4 + size
    return None


def _is_plausible(flags: int, method: int, packed: int, size: int) -> bool:
    """Whether so many bytes can be so many compressed ones; encryption adds some."""
    if flags & FLAG_ENCRYPTED:
        return True
    if method == STORED:
        return packed == size
    return method != DEFLATED or size <= packed * _MOST_DEFLATED


def _is_date(date: int) -> bool:
    """Whether a MS-DOS date and time is one that a clock can show."""
    return (
        0 < date >> 21 & 15 <= 12
        and date >> 16 & 31 > 0
        and date >> 11 & 31 < 24
        and date >> 5 & 63 < 60
        and date & 31 < 30
    )


def _attributes(name: str, attributes: int, system: int) -> int:
    """External attributes with a Unix mode that tells the kind, as all readers understand it."""
    mode = attributes & 0xFFFF0000 if system in _UNIX_SYSTEMS else 0
    if name.endswith("/"):
        return (mode & ~_KINDS or _FOLDER_MODE) | _FOLDER | ATTRIBUTE_FOLDER
    if mode & _KINDS in (0, _FOLDER):
        return (mode & ~_KINDS or _FILE_MODE) | _FILE
    return mode


def _disagree(
    path: str, entry: Entry, what: str, expected: tuple[object, ...], found: tuple[object, ...]
) -> NoReturn:
    record = f"local file header of {entry.name!r}"
    _fail(path, record, entry.record.offset, f"{what} as in the directory, {expected}", found)


def _fail(path: str, record: str, offset: int, expected: object, found: object) -> NoReturn:
    def told(value: object) -> str:
        text = value if isinstance(value, str) else repr(value)
        return text if len(text) <= _TOLD else text[:_TOLD] + "..."

    raise BadArchiveError(
        f"{path} is damaged: {record} at offset {offset}: expected {told(expected)}, "
        f"found {told(found)}",
        archive=path,
    )


_TOLD = 120
