"""A reader that goes from record to record and believes no directory, as those of streams do."""

from __future__ import annotations

import struct
import zlib

from support.odd_archives import DEFLATED, DESCRIPTOR, ENCRYPTED, LIMIT32, LOCAL, STORED

Seen = list[tuple[bytes, bytes]]
"""Names and contents, in the order of the records."""


def read_from_front(data: bytes, at: int) -> Seen | None:
    """What the records tell that begin at `at`; None where records alone do not tell all.

    That is so if a member is encrypted or of another method than stored and deflated, and if
    nothing tells before its data where those of a stored one end.

    Raises:
        ValueError: something is damaged.
    """
    seen: Seen = []
    while data[at : at + 4] == b"PK\3\4":
        _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = LOCAL.unpack_from(
            data, at
        )
        begin = at + LOCAL.size + name_length + extra_length
        name = data[at + LOCAL.size :][:name_length]
        if LIMIT32 in (packed, size):
            packed, size = _find_wide(data[begin - extra_length : begin], packed, size)
        if flags & ENCRYPTED or method not in (STORED, DEFLATED):
            return None
        if method == STORED:
            if flags & DESCRIPTOR and not packed and crc == 0:
                return None
            contents, end = data[begin : begin + packed], begin + packed
        else:
            contents, end = _inflate(data, begin)
        if flags & DESCRIPTOR:
            end = _pass_descriptor(data, end, contents)
        elif (crc, size) != (zlib.crc32(contents), len(contents)):
            raise ValueError(f"{name!r} is not what its header says")
        seen.append((name, contents))
        at = end
    return seen


def _find_wide(extra: bytes, packed: int, size: int) -> tuple[int, int]:
    """Sizes by a zip64 field (APPNOTE 4.5.3)."""
    while len(extra) >= 4:
        tag, length = struct.unpack_from("<2H", extra)
        if tag == 1:
            numbers = iter(struct.unpack(f"<{length // 8}Q", extra[4 : 4 + length // 8 * 8]))
            size = next(numbers, size) if size == LIMIT32 else size
            packed = next(numbers, packed) if packed == LIMIT32 else packed
        extra = extra[4 + length :]
    return packed, size


def _inflate(data: bytes, begin: int) -> tuple[bytes, int]:
    inflater = zlib.decompressobj(-15)
    try:
        contents = inflater.decompress(data[begin:])
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not inflater.eof:
        raise ValueError("a stream does not end")
    return contents, len(data) - len(inflater.unused_data)


def _pass_descriptor(data: bytes, at: int, contents: bytes) -> int:
    """Where a descriptor ends, whichever form it has (APPNOTE 4.3.9)."""
    for signature in b"PK\7\x08", b"":
        crc = signature + struct.pack("<I", zlib.crc32(contents))
        for form in "IQ":
            width = struct.calcsize(f"<{form}")
            rest = data[at + len(crc) + width :][:width]
            if data[at : at + len(crc)] == crc and rest == struct.pack(f"<{form}", len(contents)):
                return at + len(crc) + 2 * width
    raise ValueError("there is no descriptor")
