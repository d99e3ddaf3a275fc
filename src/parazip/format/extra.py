"""The extra fields of a member's headers that change what the header says.

There are two: zip64 (APPNOTE 4.5.3) has the numbers that do not fit, and the Unicode path (4.6.9)
has the name in UTF-8 beside one in an old code page. Two more say to some readers that a member is
a link or a folder. Others are passed over, but the last must end where the extra field ends. Up to
three zero bytes may be left over: Android's zipalign pads so.

A Unicode path counts if it has the CRC-32 of the header's name. All readers pass over one that was
left behind when the header got another name. Not all readers know this field. So it may have what
an old code page could not, and nothing else: what is ASCII in it must stand in the header, too.
Between that the header has bytes of its code page, or what Info-ZIP and WinZip put in their place
(`#U4e2d`, `?`, `_`).
"""

from __future__ import annotations

import re
import struct
from binascii import crc32
from typing import NamedTuple

from parazip.format.records import ATTRIBUTE_FOLDER, LIMIT_32, ZIP64_TAG
from parazip.format.refusals import Judge

UNICODE_PATH_TAG = 0x7075

_UNPACK_FIELD = struct.Struct("<2H").unpack_from
_PATH = struct.Struct("<BI")


class HeaderJudge(NamedTuple):
    """A judge of one header: it puts into each message which header that is.

    Attributes:
        judge: is told what is not right.
        record: what the header is.
        offset: where it begins in the file.
    """

    judge: Judge
    record: str
    offset: int

    def refuse(
        self,
        id: str,  # noqa: A002 # as `Judge`
        expected: object,
        found: object,
        member: str | None = None,
    ) -> None:
        """Hears that something about the header is not right; see `Judge.refuse`."""
        self.judge.refuse(id, self.record, self.offset, expected, found, member)


class ExtraFields(NamedTuple):
    """The extra fields that count.

    Attributes:
        zip64: a zip64 field's data, or None.
        unicode_path: a Unicode path's, or None.
        kinds: tags and data of fields that some readers take a member's kind from.
    """

    zip64: bytes | None
    unicode_path: bytes | None
    kinds: tuple[tuple[int, bytes], ...] = ()


def is_plain(extra: bytes) -> bool:
    """Whether extra fields are right and change nothing about the header, as most do."""
    at, end = 0, len(extra)
    while at + 4 <= end:
        tag, size = _UNPACK_FIELD(extra, at)
        if tag in _COUNTING:
            return False
        at += 4 + size
    return at == end


def has_field(extra: bytes, tag: int) -> bool:
    """Whether there is an extra field of that tag, as far as they are right."""
    at = 0
    while at + 4 <= len(extra):
        its_tag, size = _UNPACK_FIELD(extra, at)
        if its_tag == tag:
            return True
        at += 4 + size
    return False


def parse_extra(extra: bytes, header_judge: HeaderJudge) -> ExtraFields:
    """The extra fields that count; of zip64 and the Unicode path there may be one each."""
    at, end = 0, len(extra)
    found: dict[int, bytes] = {}
    kinds = []
    while at + 4 <= end:
        tag, size = _UNPACK_FIELD(extra, at)
        at += 4
        if tag in _IDS_IF_TWICE and at + size <= end:
            if tag in found:
                header_judge.refuse(
                    _IDS_IF_TWICE[tag], "one such extra field", f"another: {extra[at - 4 :]!r}"
                )
            found[tag] = extra[at : at + size]
        elif tag in _KINDS:
            kinds.append((tag, extra[at : at + size]))
        at += size
    if at > end or extra[at:].strip(b"\0"):
        header_judge.refuse("extra-field-cut-off", f"extra fields of {end} bytes", extra)
    return ExtraFields(found.get(ZIP64_TAG), found.get(UNICODE_PATH_TAG), tuple(kinds))


_IDS_IF_TWICE = {ZIP64_TAG: "zip64-field-twice", UNICODE_PATH_TAG: "unicode-path-twice"}
_LIBARCHIVE_TAG, _ASI_TAG = 0x6C78, 0x756E
_KINDS = (_LIBARCHIVE_TAG, _ASI_TAG)
_COUNTING = {*_IDS_IF_TWICE, *_KINDS}

_FILE, _FOLDER, _LINK = 8, 4, 10
_UNIX, _DOS = 3, 0


def check_kinds(
    header_judge: HeaderJudge, kinds: tuple[tuple[int, bytes], ...], system: int, attributes: int
) -> None:
    """Refuses fields that give a member another kind than the directory does.

    libarchive takes the kind from a field of its own (0x6c78, its archive_read_support_format_zip.c
    describes it): a byte of bits, then what these announce, the version made by in two bytes (bit
    0), internal attributes in two (bit 1), and external ones in four (bit 2).

    Args:
        header_judge: is told what is not right.
        kinds: the fields.
        system: that made the member, by its header.
        attributes: the external ones, as our own records have them.
    """
    for tag, data in kinds:
        if tag != _LIBARCHIVE_TAG or not data or not data[0] & 4:
            continue
        bits = data[0]
        at = next((i for i, byte in enumerate(data) if byte < 0x80), len(data)) + 1
        if bits & 1:
            system = int.from_bytes(data[at + 1 : at + 2], "little")
        at += (bits & 1) * 2 + (bits & 2)
        claimed = int.from_bytes(data[at : at + 4], "little")
        if system == _UNIX:
            kind = claimed >> 28 or _FILE
        elif system == _DOS and claimed & ATTRIBUTE_FOLDER:
            kind = _FOLDER
        else:
            kind = _FILE
        if kind != attributes >> 28:
            header_judge.refuse("kind-mismatch", f"a member of kind {attributes >> 28}", kind)


def has_asi_link(kinds: tuple[tuple[int, bytes], ...]) -> bool:
    """Whether a field of ASi's (4.6.8: a CRC-32, then a Unix mode) is one of a link.

    Info-ZIP's unzip heeds it where the external attributes have no mode.
    """
    return any(tag == _ASI_TAG and data[5:6] and data[5] >> 4 == _LINK for tag, data in kinds)


def resolve_zip64(
    field: bytes | None, values: tuple[int, ...], header_judge: HeaderJudge, has_disk: bool = False
) -> tuple[int, ...]:
    """The numbers of a header, those that are saturated taken from its zip64 field.

    Without a field 0xFFFFFFFF is a number like any other; WinZip writes it so. A field beside
    numbers of which none is saturated must repeat them.

    Args:
        field: its data.
        values: size, compressed size, and in a central header the offset.
        header_judge: is told what is not right.
        has_disk: whether the number of a disk, which is saturated, follows in 4 bytes.
    """
    if field is None:
        return values
    if has_disk and len(field) % 8 == 4:
        if field[-4:] != b"\0\0\0\0":
            header_judge.refuse("split-archive", "disk 0", field[-4:])
        field = field[:-4]
    wide = struct.unpack_from(f"<{len(field) // 8}Q", field)
    due = values.count(LIMIT_32)
    if not due:
        if len(field) % 8 or wide != values[: len(wide)]:
            header_judge.refuse(
                "zip64-field-mismatch", f"a zip64 field of {values}, or none", field
            )
        return values
    if len(wide) < due:
        header_judge.refuse("zip64-field-missing", f"a zip64 extra field of {due} numbers", field)
        return values
    if len(field) != 8 * due:
        header_judge.refuse(
            "zip64-field-length", f"a zip64 extra field of {8 * due} bytes", len(field)
        )
    numbers = iter(wide)
    return tuple(next(numbers) if value == LIMIT_32 else value for value in values)


def decode_unicode_path(field: bytes, raw: bytes, header_judge: HeaderJudge) -> str | None:
    """The name in a Unicode path; None if it does not count, as it belongs to another name.

    Args:
        field: its data.
        raw: the name in the header.
        header_judge: is told what is not right.
    """
    if len(field) < _PATH.size:
        header_judge.refuse("unicode-path-invalid", f"a Unicode path of {_PATH.size} bytes", field)
        return None
    version, crc = _PATH.unpack_from(field)
    if version != 1:
        header_judge.refuse("unicode-path-invalid", "a Unicode path of version 1", version)
        return None
    if crc != crc32(raw):
        return None
    data = field[_PATH.size :]
    try:
        name = data.decode()
    except UnicodeDecodeError:
        name = ""
    if not name or "\0" in name:
        header_judge.refuse("unicode-path-invalid", "a Unicode path in UTF-8, without NUL", data)
        return None
    if not _stands_for(raw, name):
        header_judge.refuse("unicode-path-mismatch", f"{raw!r}, but for what is not ASCII", name)
        return None
    return name


_NOT_ASCII = re.compile(r"[^\0-\x7f]+")


def _stands_for(raw: bytes, name: str) -> bool:
    """Whether all that is ASCII in `name` stands in the header's name, step by step."""
    steps = name.split("/")
    raw_steps = raw.split(b"/")
    return len(steps) == len(raw_steps) and all(map(_step_stands_for, raw_steps, steps))


_STANDS_IN = re.compile(rb"(?:[\x80-\xff][\x30-\x7e]?+|#[UL][0-9A-Fa-f]{4,8}+|[?_])++").fullmatch
"""What takes the place of letters that are not ASCII. Of two bytes in an East Asian code page the
second may be ASCII."""


def _step_stands_for(raw: bytes, step: str) -> bool:
    # Not one regular expression: the time to fail might grow with a power of the length.
    first, *rest = (piece.encode() for piece in _NOT_ASCII.split(step))
    if not rest:
        return raw == first
    *middle, last = rest
    end = len(raw) - len(last)
    at = len(first)
    if at > end or not raw.startswith(first) or not raw.endswith(last):
        return False
    for piece in middle:
        found = raw.find(piece, at, end)
        if found < 0 or not _STANDS_IN(raw, at, found):
            return False
        at = found + len(piece)
    return bool(_STANDS_IN(raw, at, end))
