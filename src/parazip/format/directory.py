"""The headers of the central directory (APPNOTE 4.3.12): members as their author meant them.

A name that is not ASCII may be in UTF-8 or in code page 437, or stand in a Unicode path field. Two
members whose names differ only by that, or by less, are one file to some readers (`forms`). Where
the system that made the member separates folders by backslashes, a backslash does so to some
readers, and is a letter to others.

External attributes (4.4.15) mean what the system that made the member means by them. A folder
whose name lacks its slash gets one. A folder with contents is a file to some readers, and refused.
"""

from __future__ import annotations

from typing import NamedTuple, NoReturn

from parazip.format.end import MAX_CENTRAL, Directory, Read, read_exactly
from parazip.format.extra import (
    ExtraFields,
    HeaderJudge,
    check_kinds,
    decode_unicode_path,
    has_asi_link,
    is_plain,
    parse_extra,
    resolve_zip64,
)
from parazip.format.forms import refuse_ambiguous_names
from parazip.format.names import MOST_STEPS
from parazip.format.records import (
    ATTRIBUTE_FOLDER,
    CENTRAL,
    FLAG_ENCRYPTED,
    FLAG_UTF8,
    LIMIT_16,
    LIMIT_32,
    LOCAL,
    pack_dos_date,
)
from parazip.format.refusals import Judge
from parazip.format.values import DEFLATED, MOST_DEFLATED, STORED, Record

_MOST_VERSION = 63
"""zipfile refuses a member that needs a later version of the format than 6.3 (4.4.3)."""

_UNIX = 3
_UNIX_SYSTEMS = (_UNIX, 19)
"""Systems that make members (APPNOTE 4.4.2): Unix, macOS. Others give no mode."""

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
"""A named pipe, devices, a socket: handed on as they are, for the one who copies to refuse."""
_PIPE = 1
"""One with contents is a file to all: `zip archive.zip -` notes what standard input was."""
_NO_KIND = 0
"""In a header: no kind is given. In our records: a label or a reparse point, which the one who
copies refuses."""

_EPOCH = pack_dos_date(1980, 1, 1, 0, 0, 0)

_PIECE = 4 << 20
"""Bytes of a directory that are read at a time. Its claimed length is not believed at once."""

_HEADER = "central directory header"
_SIGNATURE = b"PK\1\2"
_NO_EXTRA_FIELDS = ExtraFields(None, None)


class _Header(NamedTuple):
    """The fields of a central directory header, in their order (4.3.12)."""

    signature: bytes
    made_by: int
    version: int
    flags: int
    method: int
    date: int
    crc: int
    compressed_size: int
    size: int
    name_length: int
    extra_length: int
    comment_length: int
    disk: int
    internal: int
    attributes: int
    offset: int

    @property
    def system(self) -> int:
        """What made the member (4.4.2)."""
        return self.made_by >> 8


def read_headers(judge: Judge, directory: Directory, read: Read) -> tuple[list[str], list[Record]]:
    """Names and records of an archive's members, in the directory's order.

    Args:
        judge: is told what is not right.
        directory: where it is.
        read: gives the file's bytes.
    """
    begin, end, members, shift, _ = directory
    length = end - begin
    uncommon = _UncommonHeaders(judge, directory)
    piece, base = b"", 0  # what was read of the directory, and where in it that begins
    names: list[str] = []
    records: list[Record] = []
    unpack, fixed = CENTRAL.unpack_from, CENTRAL.size
    position = 0
    good_date = _EPOCH
    for _ in range(members):
        at = position
        if at + fixed > length:
            _stop(judge, begin + at, f"{fixed} bytes", length - at)
        if at + MAX_CENTRAL > base + len(piece) < length:
            piece = read_exactly(judge, read, begin + at, min(_PIECE, length - at))
            base = at
        fields = unpack(piece, at - base)
        signature, made_by, version, flags, method, date, crc, compressed_size, size = fields[:9]
        name_length, extra_length, comment_length, disk, _, attributes, offset = fields[9:]
        if signature != _SIGNATURE:
            _stop(judge, begin + at, _SIGNATURE, signature)
        extra_at = at + fixed + name_length
        position = extra_at + extra_length + comment_length
        if position > length:
            _stop(judge, begin + at, f"at most {length - at} bytes", position - at)
        raw = piece[at - base + fixed : extra_at - base]
        extra = piece[extra_at - base : extra_at - base + extra_length] if extra_length else b""
        name = raw.decode("ascii") if raw.isascii() else ""
        # Nearly all headers are like this. Each call less here shows in the time that merging
        # takes; whatever is not so, `_UncommonHeaders` looks at step by step.
        if (
            attributes >> 28 == _KIND_FILE
            and made_by >> 8 == _UNIX
            and (not extra or is_plain(extra))
            and offset + shift + LOCAL.size + name_length + compressed_size <= begin
            and not disk
            and version & 0xFF <= _MOST_VERSION
            and (compressed_size == size or (method and size <= compressed_size * MOST_DEFLATED))
            and (size or not (crc or (method and not compressed_size)))
            and (date == good_date or _is_date(date))
            and 0 < name_length <= MOST_STEPS
            and name.isprintable()
            and name
            and name[-1] != "/"
            and "\\" not in name
            and ";" not in name
        ):
            good_date = date
            attributes &= 0xFFFF0000
            offset += shift
            record = Record(
                raw, flags, method, date, crc, compressed_size, size, attributes, offset
            )
        else:
            name, record = uncommon.read(at, len(names), _Header(*fields), raw, extra)
        names.append(name)
        records.append(record)
    if position != length:
        rest = read_exactly(judge, read, begin + position, min(4, length - position))
        expected = "the end of the central directory"
        judge.refuse("count-mismatch", _HEADER, begin + position, expected, rest)
    uncommon.check_together(names, records)
    return names, records


def _stop(judge: Judge, at: int, expected: object, found: object) -> NoReturn:
    judge.stop("central-header", _HEADER, at, expected, found)


class _KindClaim(NamedTuple):
    """Extra fields that some readers take a member's kind from.

    Attributes:
        number: which member it is, counted from 0.
        header_judge: is told what is not right.
        kinds: the fields; see `ExtraFields.kinds`.
        system: that made the member.
    """

    number: int
    header_judge: HeaderJudge
    kinds: tuple[tuple[int, bytes], ...]
    system: int


class _UncommonHeaders:
    """Reads headers that are not like most, and notes what can only be judged in the end."""

    def __init__(self, judge: Judge, directory: Directory) -> None:
        self._judge = judge
        self._begin = directory.begin
        self._shift = directory.shift
        self._has_odd_name = False  # one that might be another's in another form
        self._kind_claims: list[_KindClaim] = []

    def read(
        self, at: int, number: int, header: _Header, raw: bytes, extra: bytes
    ) -> tuple[str, Record]:
        """The name and record of a member.

        Args:
            at: where its header begins in the directory.
            number: which member it is, counted from 0.
            header: the header's fields.
            raw: the name as it is spelled there.
            extra: the extra fields.
        """
        judge, at = self._judge, self._begin + at
        extra_fields = _NO_EXTRA_FIELDS
        if extra and not is_plain(extra):
            extra_fields, header = self._apply_extra_fields(at, number, header, raw, extra)
        system, attributes = header.system, header.attributes
        record = Record(
            raw,
            header.flags,
            header.method,
            normalize_date(header.date),
            header.crc,
            header.compressed_size,
            header.size,
            attributes,
            header.offset + self._shift,
        )
        _check_numbers(judge, at, record, self._begin, header, extra_fields)
        name = raw.decode("ascii") if raw.isascii() else ""
        if (
            not name
            or extra_fields.unicode_path is not None
            or not name.isprintable()
            or "\\" in name
            or ";" in name
        ):
            self._has_odd_name = True
            name = _decode_name(judge, at, raw, header.flags, system, extra_fields.unicode_path)
        _check_name(judge, at, name)
        kind = attributes >> 28
        if kind == KIND_LINK and header.internal & _NO_LINK:
            expected = "a link without bit 2 of the internal attributes"
            judge.refuse("link-mismatch", _HEADER, at, expected, f"{header.internal:#06x}")
        if kind == _KIND_FILE and system == _UNIX and raw[-1:] != b"/":
            return name, record._replace(attributes=attributes & 0xFFFF0000)
        name, attributes = _resolve_kind(judge, at, name, attributes, system, header.size)
        return name, record._replace(attributes=attributes)

    def _apply_extra_fields(
        self, at: int, number: int, header: _Header, raw: bytes, extra: bytes
    ) -> tuple[ExtraFields, _Header]:
        """The extra fields that count, and the header with the numbers that they give."""
        header_judge = HeaderJudge(self._judge, _HEADER, at)
        extra_fields = parse_extra(extra, header_judge)
        size, compressed_size, offset = resolve_zip64(
            extra_fields.zip64,
            (header.size, header.compressed_size, header.offset),
            header_judge,
            header.disk == LIMIT_16,
        )
        header = header._replace(size=size, compressed_size=compressed_size, offset=offset)
        kinds, system = extra_fields.kinds, header.system
        if kinds and raw[-1:] != b"/":
            self._kind_claims.append(_KindClaim(number, header_judge, kinds, system))
            is_asked = system in _ASI_SYSTEMS and size and not header.attributes >> 16
            if is_asked and has_asi_link(kinds):
                header_judge.refuse("kind-mismatch", "a file, as by its attributes", "a link")
        return extra_fields, header

    def check_together(self, names: list[str], records: list[Record]) -> None:
        """Refuses what shows only when all members are known."""
        for number, header_judge, kinds, system in self._kind_claims:
            check_kinds(header_judge, kinds, system, records[number].attributes)
        if self._has_odd_name:
            refuse_ambiguous_names(self._judge, self._begin, names, records)


def _check_numbers(
    judge: Judge, at: int, record: Record, begin: int, header: _Header, extra_fields: ExtraFields
) -> None:
    """Refuses numbers that cannot be, where the directory begins at `begin`."""
    raw, flags, method, _, crc, compressed_size, size, _, offset = record
    version, disk, zip64 = header.version & 0xFF, header.disk, extra_fields.zip64
    is_narrow = zip64 is None and LIMIT_32 in (compressed_size, size, offset)

    def refuse(id: str, expected: object, found: object) -> None:  # noqa: A002 # as `Judge`
        if is_narrow:
            id, expected = "zip64-field-missing", "a zip64 extra field"  # noqa: A001
            found = (compressed_size, size)
        judge.refuse(id, _HEADER, at, expected, found)

    if offset + LOCAL.size + len(raw) + compressed_size > begin:
        refuse("record-outside", f"a record that ends before {begin}", (offset, compressed_size))
    is_disk_in_zip64 = disk == LIMIT_16 and zip64 is not None and len(zip64) % 8 == 4
    if disk and not is_disk_in_zip64:
        judge.refuse("split-archive", _HEADER, at, "disk 0", disk)
    if version > _MOST_VERSION:
        expected = f"{_MOST_VERSION / 10} or before"
        judge.refuse("version-needed", _HEADER, at, expected, f"{version / 10}")
    if not size and crc:
        judge.refuse("crc-of-nothing", _HEADER, at, "CRC 0 of 0 bytes", crc)
    if flags & FLAG_ENCRYPTED or method not in (STORED, DEFLATED):
        return  # encryption adds bytes, and other methods make more of one
    most = size if method == STORED else compressed_size * MOST_DEFLATED
    if size > most or (method == STORED and size != compressed_size):
        refuse("size-impossible", f"a size that method {method} can have", (compressed_size, size))
    elif method == DEFLATED and not compressed_size:
        judge.refuse("deflate-stream-missing", _HEADER, at, "a deflate stream", "0 bytes")


def _check_name(judge: Judge, at: int, name: str) -> None:
    """Refuses a name that is empty, or longer than any system takes."""
    if not name:
        judge.refuse("name-missing", _HEADER, at, "a name", b"")
    elif (steps := name.count("/")) > MOST_STEPS:
        judge.refuse("name-too-deep", _HEADER, at, f"a name of at most {MOST_STEPS} steps", steps)


def _decode_name(
    judge: Judge, at: int, raw: bytes, flags: int, system: int, unicode_path: bytes | None
) -> str:
    """A name as text.

    Without flag 11 it is in code page 437 (APPNOTE appendix D). But Info-ZIP's zip on Unix takes
    the name as the system has it, which is UTF-8 nearly everywhere. A Unicode path is more certain
    than either, unless the header is in UTF-8 itself: then some readers take the header's name.
    """
    is_utf8 = bool(flags & FLAG_UTF8)
    name = ""
    try:
        if is_utf8 or system in _UNIX_SYSTEMS or raw.isascii():
            name = raw.decode()
            is_utf8 = is_utf8 or not raw.isascii()
    except UnicodeDecodeError:
        if is_utf8:
            judge.refuse("name-not-utf-8", _HEADER, at, "a name in UTF-8", raw)
    name = name or raw.decode("cp437")
    if unicode_path is not None:
        header_judge = HeaderJudge(judge, _HEADER, at)
        other = decode_unicode_path(unicode_path, raw, header_judge)
        if is_utf8 and other not in (None, name):
            header_judge.refuse("unicode-path-mismatch", f"a Unicode path of {name!r}", other)
        name = other or name
    if "\0" in name:
        judge.refuse("name-with-nul", _HEADER, at, "a name without NUL", raw)
    if "\\" in name and system not in _UNIX_SYSTEMS:
        judge.refuse("name-with-backslash", _HEADER, at, "/ between folders", name)
    return name


def _resolve_kind(
    judge: Judge, at: int, name: str, attributes: int, system: int, size: int
) -> tuple[str, int]:
    """A name that has a folder's slash, and attributes with a Unix mode that has the kind."""
    is_unix = system in _UNIX_SYSTEMS
    mode = attributes & 0xFFFF0000 if is_unix else 0
    kind = attributes >> 28
    if kind == _PIPE and size:
        kind = _KIND_FILE
    has_slash = name.endswith("/")
    if kind == KIND_LINK and (has_slash or system != _UNIX):
        found = f"{name!r}, made by system {system}"
        judge.refuse("link-mismatch", _HEADER, at, "a link by Unix, whose name has no slash", found)
    is_folder = has_slash or _has_folder_attribute(attributes, kind, system)
    if is_folder and size:
        found = f"{size} bytes in {name!r}"
        judge.refuse("folder-with-contents", _HEADER, at, "a folder without contents", found)
    if system in _LABEL_SYSTEMS and attributes & _LABEL:
        return name, _NO_KIND
    if is_folder:
        name = name if has_slash else name + "/"
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


def _has_folder_attribute(attributes: int, kind: int, system: int) -> bool:
    """Whether the attributes say that a member is a folder, by the rules of its system."""
    if system in _UNIX_SYSTEMS:
        return kind == _KIND_FOLDER
    if system in _DOS_SYSTEMS:
        return bool(attributes & ATTRIBUTE_FOLDER)
    return system == _AMIGA and attributes & _AMIGA_KINDS == _AMIGA_FOLDER


def normalize_date(date: int) -> int:
    """An MS-DOS date and time as records have it: the earliest one if there is no such date."""
    return date if _is_date(date) else _EPOCH


def _is_date(date: int) -> bool:
    """Whether a MS-DOS date and time is one that a clock can show."""
    return (
        0 < date >> 21 & 15 <= 12
        and date >> 16 & 31 > 0
        and date >> 11 & 31 < 24
        and date >> 5 & 63 < 60
        and date & 31 < 30
    )
