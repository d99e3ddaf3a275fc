"""An archive that is its own member, by the method of Russ Cox (research.swtch.com/zip).

Its deflate stream is made of two operations: to give out bytes that follow, and to repeat the last
ones that came out. Both take up `_UNIT` bytes, so that each can be given out by another one. What
comes out has to be the header in front, the operations themselves, and the directory behind.
"""

from __future__ import annotations

import zlib

from support.damage import code, join_bits
from support.odd_archives import Item, zipped

_UNIT = 10

_LENGTHS = ((35, 273, 3), (43, 274, 3), (51, 275, 3), (59, 276, 3), (67, 277, 4), (83, 278, 4))
"""The first length of each code that is needed here, the code, and its extra bits (RFC 1951)."""

_DISTANCES = ((33, 10, 4), (49, 11, 4), (65, 12, 5), (97, 13, 5))


def make_quine(name: bytes = b"again.zip") -> bytes:
    """The archive; its only member, of that name, has the same bytes."""
    # The CRC-32 of the archive is a part of it. Each bit of that field changes the CRC-32 of the
    # whole by the same bits, whatever the others are; so those bits are found that lead to
    # themselves, by elimination.
    crc_of_zero = zlib.crc32(_lay_out(name, 0))
    rows = [
        ((zlib.crc32(_lay_out(name, 1 << bit)) ^ crc_of_zero ^ 1 << bit), 1 << bit)
        for bit in range(32)
    ]
    left, crc = crc_of_zero, 0
    while rows:
        change, bits = rows.pop()
        if change:
            top = 1 << change.bit_length() - 1
            rows = [(a ^ change, b ^ bits) if a & top else (a, b) for a, b in rows]
            if left & top:
                left, crc = left ^ change, crc ^ bits
    archive = _lay_out(name, crc)
    assert zlib.crc32(archive) == crc, "take another name"
    return archive


def _lay_out(name: bytes, crc: int) -> bytes:
    item = Item(name, both={"crc": crc})
    size = len(_put_together(item, 0, 0))
    packed = size - len(_split(item)[0]) - len(_split(item)[1])
    return _put_together(item, packed, size)


def _split(item: Item) -> tuple[bytes, bytes]:
    """What stands in front of the stream, and what behind it."""
    archive = zipped(item)
    at = len(item.headers(0)[0])
    return archive[:at], archive[at + len(item.data()) :]


def _put_together(item: Item, packed: int, size: int) -> bytes:
    item = item._replace(packed=b"", both={**item.both, "packed": packed, "size": size})
    front, _ = _split(item)
    behind = zipped(item, end={"offset": len(front) + packed})[len(front) :]
    whole_front, last = len(front) + _UNIT, _UNIT + len(behind)
    a, b = _give(whole_front), _repeat(whole_front)
    one, four, again, end = _give(_UNIT), _give(4 * _UNIT), _repeat(4 * _UNIT), _repeat(last, True)
    nothing, rest = _give(0), _give(last)
    operations = [
        *(a, front, a, b, one, b, one, one, four, b, one, one, four, again),
        *(four, again, four, again, four, again, four, again, nothing, nothing, rest),
        *(again, nothing, nothing, rest, end, behind, end),
    ]
    return front + b"".join(operations) + behind


def _give(count: int) -> bytes:
    """Gives out so many bytes that follow: a stored block, behind an empty one."""
    return (
        b"\0\0\0\xff\xff\0" + count.to_bytes(2, "little") + (count ^ 0xFFFF).to_bytes(2, "little")
    )


def _repeat(count: int, last: bool = False) -> bytes:
    """Gives out the last bytes again: a block of fixed codes, and empty ones to fill it up."""
    length = max(each for each in _LENGTHS if each[0] <= count)
    distance = max(each for each in _DISTANCES if each[0] <= count)
    bits = [
        *((0, 1), (1, 2), code(length[1] - 256, 7), (count - length[0], length[2])),
        *(code(distance[1], 5), (count - distance[0], distance[2]), (0, 7)),
        *((0, 1), (1, 2), (0, 7)),
        *((int(last), 1), (0, 2)),
    ]
    filled = join_bits(*bits) + b"\0\0\xff\xff"
    assert len(filled) == _UNIT
    return filled
