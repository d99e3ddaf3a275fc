"""The prefix: what stands in front of the first record, and what of it is another archive to some.

Readers that go by the directory pass over it: a shebang line, a PEX's preamble, the program of a
self-extracting archive. Others begin there, and some take it for more than it is:

* A reader of a stream ends at the first end record or directory header. Behind a signature of split
  archives it looks for the first record of any kind, wherever that stands.
* 7-Zip looks for the first local record, at any place, and adds what the directory does not list.
* 7-Zip and bsdtar know other formats. A file that begins as a tar archive is one to them.
"""

from __future__ import annotations

import re

from parazip.format.end import Read
from parazip.format.records import FLAG_DESCRIPTOR, LIMIT_32, LOCAL
from parazip.format.refusals import Judge
from parazip.format.values import DEFLATED, STORED

_SHOWN = 64
"""Bytes of an unlisted record that a message shows."""

_PIECE = 1 << 20
"""Bytes that are searched at a time."""

_SPLIT_SIGNATURES = (b"PK00", b"PK\7\x08")
"""How a split archive begins that became a single one, and one that did not (8.5.4, 8.5.3)."""

_ENDS = (b"PK\5\6", b"PK\6\6", b"PK\1\2")
_ANY_RECORD = re.compile(rb"PK(?:\x03\x04|\x05\x06|\x06\x06|\x01\x02)")
_LOCAL = re.compile(rb"PK\x03\x04")

_MOST_FALSE = 1 << 14
"""Signatures without a record behind them: each costs a look, and programs have a hundredth."""


def refuse_ambiguous_prefix(judge: Judge, first: int, read: Read) -> None:
    """Refuses what another reader finds in front of the first record that is listed.

    Args:
        judge: is told of it.
        first: the offset of that record.
        read: gives the file.
    """
    if not first:
        return
    signature = read(0, min(4, first))
    if signature in _ENDS:
        _refuse_end(judge, 0, read)
    # As the first bytes the signature is enough: to all readers an archive begins there.
    if signature == b"PK\3\4":
        place: int | None = 0
    elif signature in _SPLIT_SIGNATURES:
        place = _find(_ANY_RECORD, read, 4, first)
        if place is not None and read(place, 4) in _ENDS:
            _refuse_end(judge, place, read)
            place = None
    else:
        place = find_record(read, 0, first)
    if place is not None:
        expected = "no record that the directory does not list"
        found = read(place, min(_SHOWN, first - place))
        judge.refuse("unlisted-record", "local file header", place, expected, found)
    other = _other_format(first, read)
    if other:
        expected = "nothing that begins an archive of another format"
        judge.refuse("other-archive-in-front", "file", 0, expected, other)


def _refuse_end(judge: Judge, place: int, read: Read) -> None:
    expected = "no end of an archive in front of it"
    judge.refuse("end-record-in-front", "EOCD", place, expected, read(place, 22))


def find_record(read: Read, begin: int, end: int) -> int | None:
    """Where the first local record begins in a piece of a file, if there is any.

    The signature alone is no record. Programs that read archives have it in themselves, and such a
    program is the prefix of a self-extracting archive.
    """
    false = 0
    while begin < end:
        piece = read(begin, min(_PIECE, end - begin))
        for match in _LOCAL.finditer(piece):
            if false > _MOST_FALSE or _is_record(piece, match.start(), begin, read, end):
                return begin + match.start()
            false += 1
        if begin + len(piece) >= end or len(piece) < LOCAL.size:
            return None
        begin += len(piece) - 3  # a signature may be cut in two
    return None


def find_signature(read: Read, begin: int, end: int) -> int | None:
    """Where the signature of a local record first stands in a piece of a file, if it does."""
    return _find(_LOCAL, read, begin, end)


def _find(pattern: re.Pattern[bytes], read: Read, begin: int, end: int) -> int | None:
    while begin < end:
        piece = read(begin, min(_PIECE, end - begin))
        match = pattern.search(piece)
        if match:
            return begin + match.start()
        if begin + len(piece) >= end or len(piece) < 4:
            return None
        begin += len(piece) - 3
    return None


def _is_record(piece: bytes, at: int, begin: int, read: Read, end: int) -> bool:
    """Whether a local record could stand at a place of a piece, with its name before `end`.

    7-Zip takes one whatever its sizes, version, flags and method are, if there is no NUL in its
    name but at the end. Machine code of that length nearly always has a NUL, and control characters
    even more often. Where the sizes fit, a name may have control characters, or be missing.
    """
    header = piece[at : at + LOCAL.size]
    if len(header) < LOCAL.size:
        header = read(begin + at, min(LOCAL.size, end - begin - at))
        if len(header) < LOCAL.size:
            return False
    _, _, flags, method, _, _, compressed_size, _, name_length, extra_length = LOCAL.unpack(header)
    at += LOCAL.size
    length = end - begin - at  # up to the first record that is listed
    if name_length > length:
        return False
    is_elsewhere = bool(flags & FLAG_DESCRIPTOR) or compressed_size == LIMIT_32
    fits = name_length + extra_length + (0 if is_elsewhere else compressed_size) <= length
    if not name_length:
        return fits and method in (STORED, DEFLATED) and compressed_size > 0 and not is_elsewhere
    name = piece[at : at + name_length]
    if len(name) < name_length:
        name = read(begin + at, name_length)
    name = name.rstrip(b"\0")
    if not name or b"\0" in name:
        return False
    return (fits and method < _MOST_METHOD) or len(name.translate(None, _CONTROLS)) == len(name)


_MOST_METHOD = 100
"""No method has a number as high as this (4.4.5)."""

_CONTROLS = bytes(range(32)) + b"\x7f"


_TAR_BLOCK = 512
_TAR_SUM = slice(148, 156)

_FORMATS = (
    ("gzip", (b"\x1f\x8b",)),
    ("compress", (b"\x1f\x9d",)),
    ("bzip2", (b"BZh",)),
    ("xz", (b"\xfd7zXZ\0",)),
    ("LZMA", (b"]\0\0",)),
    ("lzip", (b"LZIP",)),
    ("Zstandard", (b"\x28\xb5\x2f\xfd",)),
    ("LZ4", (b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18")),
    ("Zstandard or LZ4", tuple(bytes((byte,)) + b"\x2a\x4d\x18" for byte in range(0x50, 0x60))),
    ("lzop", (b"\x89LZO\0",)),
    ("grzip", (b"GRZipII\0",)),
    ("RPM", (b"\xed\xab\xee\xdb",)),
    ("cpio", (b"070707", b"070701", b"070702", b"\xc7\x71", b"\x71\xc7")),
    ("ar", (b"!<arch>\n",)),
    ("7z", (b"7z\xbc\xaf\x27\x1c",)),
    ("RAR", (b"Rar!\x1a\7",)),
    ("cabinet", (b"MSCF",)),
    ("xar", (b"xar!",)),
    ("WIM", (b"MSWIM\0\0\0",)),
    ("WARC", (b"WARC/",)),
    ("mtree", (b"#mtree",)),
    ("uuencode", (*(b"begin %d" % digit for digit in range(8)), b"begin-base64 ")),
)
"""How archives and compressed files begin that 7-Zip or bsdtar take for what they are."""

_ISO, _ISO_AT = b"CD001", 0x8001


def _other_format(first: int, read: Read) -> str:
    """The format that a file begins in; empty if none is known."""
    start = read(0, min(_TAR_BLOCK, first))
    for name, signatures in _FORMATS:
        if start.startswith(signatures):
            return name
    if len(start) == _TAR_BLOCK and _is_tar(start):
        return "tar"
    if first >= _ISO_AT + len(_ISO) and read(_ISO_AT, len(_ISO)) == _ISO:
        return "ISO 9660"
    return ""


def _is_tar(block: bytes) -> bool:
    """Whether it is a tar archive's first block, or its last one: that is full of zeros."""
    digits = block[_TAR_SUM].strip(b" \0")
    if not digits:
        return not any(block)
    # The sum is of all bytes, its own taken for blanks. To some writers bytes have a sign.
    rest = block[: _TAR_SUM.start] + b" " * 8 + block[_TAR_SUM.stop :]
    total = sum(rest)
    signed = total - 256 * sum(byte >> 7 for byte in rest)
    is_octal = digits.isdigit() and digits.translate(None, b"89") == digits
    return is_octal and int(digits, 8) in (total, signed)
