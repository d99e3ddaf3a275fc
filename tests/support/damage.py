"""Archives that are damaged, each in its own way, by a seed."""

from __future__ import annotations

import bz2
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import parazip

MIB = 1 << 20

PASSWORD = b"secret"

STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14

ENCRYPTED, DESCRIPTOR = 1, 8


@dataclass(frozen=True)
class Member:
    """A member as it is going to stand in an archive."""

    name: str
    method: int
    raw: bytes
    crc: int
    size: int
    flags: int = 0
    packed: int | None = None
    """What the headers say that `raw` has bytes, if that is not true."""


def make_text(made: random.Random, size: int) -> bytes:
    line = b"".join(
        b"%x of a line\n" % made.getrandbits(30) for _ in range(min(3000, size // 9 + 1))
    )
    return (line * (size // len(line) + 1))[:size]


def make_contents(made: random.Random, size: int) -> bytes:
    kind = made.randrange(4)
    if kind == 0:
        return made.randbytes(size)
    if kind == 1:
        return bytes(size)
    if kind == 2:
        return bytes(made.choices(b"abcd\n", k=min(size, 20_000)))
    return make_text(made, size)


def deflate_oddly(made: random.Random, data: bytes) -> bytes:
    """In blocks of any kind: stored, with fixed and with other codes, and after flushes."""
    strategy = made.choice([0, 0, 0, zlib.Z_FIXED, zlib.Z_RLE, zlib.Z_HUFFMAN_ONLY])
    coder = zlib.compressobj(made.choice([0, 1, 6, 9]), 8, -15, made.choice([1, 8, 9]), strategy)
    pieces = []
    step = made.choice([len(data) + 1, 30_000, made.randint(500, 100_000)])
    for start in range(0, len(data), step):
        pieces.append(coder.compress(data[start : start + step]))
        if made.random() < 0.3:
            pieces.append(coder.flush(made.choice([zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH])))
    return b"".join([*pieces, coder.flush()])


def make_member(made: random.Random, name: str, method: int, data: bytes) -> Member:
    if method == DEFLATED:
        raw = deflate_oddly(made, data)
    elif method == BZIP2:
        raw = bz2.compress(data)
    elif method == LZMA:
        raw = _lzma(data)
    else:
        raw = data
    return Member(name, method, raw, zlib.crc32(data), len(data))


def _lzma(data: bytes) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", data)
    with zipfile.ZipFile(output) as archive:
        info = archive.getinfo("a")
        return output.getvalue()[31 : 31 + info.compress_size]


SIZES = (0, 1, 5, 700, 3000, 4096, 20_000, 65_536, 70_000, 140_000, 300_000)


def make_sound_members(made: random.Random) -> list[Member]:
    """One to five members, of any method and size."""
    members = []
    for i in range(made.randint(1, 5)):
        method = made.choice([DEFLATED] * 8 + [STORED] * 3 + [BZIP2, LZMA])
        members.append(make_member(made, f"m{i}", method, make_contents(made, made.choice(SIZES))))
    return members


def encrypt_member(made: random.Random, member: Member) -> Member:
    """As ZipCrypto does it (APPNOTE 6.1)."""
    check = member.crc >> 24 if not member.flags & DESCRIPTOR else 0
    keys = [0x12345678, 0x23456789, 0x34567890]

    def mix(byte: int) -> None:
        keys[0] = _crc_step(keys[0], byte)
        keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = _crc_step(keys[2], keys[1] >> 24)

    for byte in PASSWORD:
        mix(byte)
    out = bytearray()
    for byte in made.randbytes(11) + bytes([check]) + member.raw:
        key = keys[2] | 2
        out.append(byte ^ (key * (key ^ 1) >> 8) & 0xFF)
        mix(byte)
    return replace(member, raw=bytes(out), flags=member.flags | ENCRYPTED)


def _crc_step(crc: int, byte: int) -> int:
    return zlib.crc32(bytes([byte]), crc ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def join_members(members: Sequence[Member]) -> bytes:
    body, directory = bytearray(), bytearray()
    for member in members:
        name = member.name.encode()
        size = len(member.raw) if member.packed is None else member.packed
        numbers = member.crc, size & 0xFFFFFFFF, member.size
        late = bool(member.flags & DESCRIPTOR)
        common = struct.pack("<4H", member.flags, member.method, 0, 0x21)
        offset = len(body)
        body += b"PK\3\4\x14\0" + common + struct.pack("<3I", *((0, 0, 0) if late else numbers))
        body += struct.pack("<2H", len(name), 0) + name + member.raw
        body += b"PK\7\x08" + struct.pack("<3I", *numbers) if late else b""
        directory += b"PK\1\2\x14\3\x14\0" + common + struct.pack("<3I", *numbers)
        directory += struct.pack("<5H2I", len(name), 0, 0, 0, 0, 0o644 << 16, offset) + name
    count = len(members)
    end = struct.pack("<4H2IH", 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory) + b"PK\5\6" + end


def flip_some_bits(made: random.Random, data: bytes) -> bytes:
    spoilt = bytearray(data)
    for _ in range(made.choice([1, 1, 1, 2, 8]) if data else 0):
        near = made.random() < 0.4
        spoilt[made.randrange(min(60, len(data)) if near else len(data))] ^= 1 << made.randrange(8)
    return bytes(spoilt)


def cut_short(made: random.Random, data: bytes) -> bytes:
    return data[: len(data) - made.choice([1, 1, 2, 5, made.randint(0, len(data))])]


def cut_out(made: random.Random, data: bytes) -> bytes:
    start = made.randint(0, len(data))
    return data[:start] + data[start + made.randint(1, 5000) :]


def append_junk(made: random.Random, data: bytes) -> bytes:
    """Junk, or another stream, after the stream."""
    more = made.randbytes(made.choice([1, 100, 9000]))
    return data + made.choice([more, deflate_oddly(made, b"another"), bytes(len(more))])


def splice_stream(made: random.Random, data: bytes) -> bytes:
    start = made.randint(0, len(data))
    return data[:start] + deflate_oddly(made, make_contents(made, 3000)) + data[start:]


def join_bits(*fields: tuple[int, int]) -> bytes:
    """Numbers of so many bits each, as deflate joins them (RFC 1951, 3.1.1)."""
    number = position = 0
    for value, length in fields:
        number |= value << position
        position += length
    return number.to_bytes((position + 7) // 8, "little")


def code(value: int, length: int) -> tuple[int, int]:
    """A code, of which the first bit comes first."""
    return int(f"{value:0{length}b}"[::-1], 2), length


A_FIXED = code(0x30 + ord("A"), 8)

END_FIXED = (0, 7)

ODD_STREAMS = (
    b"\5\0\0\0",
    b"",
    b"\7\0",  # a last block of the kind that there is not
    b"\1\0\0\xff\xff",
    b"\1\5\0\0\0hello",
    b"\0\0\0\xff\xff" * 1000 + b"\3\0",
    join_bits((1, 1), (1, 2), A_FIXED, code(0xC6, 8), code(0, 5), END_FIXED),  # length 286
    join_bits((1, 1), (1, 2), A_FIXED, code(0xC7, 8), code(0, 5), END_FIXED),  # length 287
    join_bits((1, 1), (1, 2), A_FIXED, code(1, 7), code(30, 5), END_FIXED),  # distance 30
    join_bits((1, 1), (1, 2), A_FIXED, code(1, 7), code(31, 5), END_FIXED),  # distance 31
    join_bits((1, 1), (1, 2), A_FIXED, code(1, 7), code(4, 5), (0, 1), END_FIXED),  # too far back
    join_bits((1, 1), (2, 2), (30, 5), (0, 5), (0, 4), (0, 12)),  # 287 lengths are announced
    join_bits((1, 1), (2, 2), (0, 5), (31, 5), (0, 4), (0, 12)),  # 32 distances are
    join_bits((1, 1), (2, 2), (0, 5), (0, 5), (0, 4), (1, 3), (0, 60)),  # one code for code lengths
    join_bits(
        (1, 1), (2, 2), (0, 5), (0, 5), (14, 4), *[(1, 3)] * 18, (0, 60)
    ),  # too many of one bit
    join_bits(  # no end of the block
        *((1, 1), (2, 2), (0, 5), (0, 5), (0, 4), (1, 3), (0, 3), (1, 3), (0, 3)),
        *((1, 1), (127, 7), (1, 1), (109, 7), (0, 1)),
    ),
)
"""Streams that no encoder makes; most are none at all (RFC 1951, 3.2.5 to 3.2.7)."""


def make_odd_stream(made: random.Random, data: bytes) -> bytes:
    odd = made.choice(ODD_STREAMS)
    before = zlib.compressobj(6, zlib.DEFLATED, -15)
    start = before.compress(make_text(made, made.choice([100, 4096, 70_000])))
    return made.choice([odd, start + before.flush(zlib.Z_SYNC_FLUSH) + odd, made.randbytes(200)])


STREAMS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    flip_some_bits,
    flip_some_bits,
    flip_some_bits,
    cut_short,
    cut_out,
    append_junk,
    append_junk,
    splice_stream,
    make_odd_stream,
)


def _numbers(made: random.Random, member: Member) -> Member:
    """A wrong number in the headers."""
    delta = made.choice([-70_000, -4096, -258, -1, 1, 4096, 70_000, made.randint(-9999, 9999)])
    size = max(0, made.choice([member.size + delta, 0, 0xFFFFFF, 0x7FFFFFFF]))
    kind = made.randrange(5)
    if kind == 0:
        return replace(member, crc=member.crc ^ 1 << made.randrange(32))
    if kind == 1:
        return replace(member, size=size)
    if kind == 2:
        return replace(member, packed=max(0, len(member.raw) + delta))
    if kind == 3:
        return replace(member, size=0, crc=0)
    return replace(member, method=made.choice([STORED, DEFLATED, 5]))


def _as_told(made: random.Random, member: Member) -> Member:
    """The CRC-32 of what zlib makes of the stream, up to the size in the headers."""
    inflater = zlib.decompressobj(-15)
    try:
        data = inflater.decompress(member.raw) if member.method == DEFLATED else member.raw
    except zlib.error:
        return member
    size = made.choice([len(data), member.size])
    return replace(member, size=size, crc=zlib.crc32(data[:size]))


def spoil_members(made: random.Random, members: list[Member]) -> list[Member]:
    at = made.randrange(len(members))
    member = members[at]
    for _ in range(made.choice([0, 1, 1, 1, 2])):
        member = replace(member, raw=made.choice(STREAMS)(made, member.raw))
    if made.random() < 0.3:
        member = _as_told(made, member)
    if made.random() < 0.3:
        member = _numbers(made, member)
    if made.random() < 0.1 and len(members) > 1:
        other = members[at - 1]
        member = replace(member, crc=other.crc, size=other.size)
    return [*members[:at], member, *members[at + 1 :]]


def spoil_bytes(made: random.Random, archive: bytes) -> bytes:
    """Damage to whatever stands there: headers, descriptors, directory, streams."""
    spoilt = bytearray(archive)
    for _ in range(made.choice([1, 1, 2, 4])):
        kind = made.randrange(6)
        at = made.randrange(max(1, len(spoilt) - 22))
        if kind == 0:  # what stands before the directory has a hole
            del spoilt[at : at + made.choice([1, 10, 1000])]
        elif kind == 1:  # all that follows is gone
            del spoilt[made.choice([at, len(spoilt) - made.randint(1, 30)]) :]
        else:
            if kind == 2:
                at = spoilt.find(b"PK\1\2") + made.randrange(60)
            elif kind == 3:
                at = spoilt.rfind(b"PK\3\4", 0, at + 4) + made.randrange(35)
            if 0 <= at < len(spoilt):
                spoilt[at] ^= 1 << made.randrange(8)
    return bytes(spoilt)


def make_damaged(seed: int) -> bytes:
    """A damaged archive; some are sound."""
    made = random.Random(seed)
    members = make_sound_members(made)
    for _ in range(made.choice([0, 1, 1, 1, 2])):
        members = spoil_members(made, members)
    if made.random() < 0.3:
        members = [replace(member, flags=DESCRIPTOR) for member in members]
    if made.random() < 0.2:
        members = [
            encrypt_member(made, member)
            if member.size <= 20_000 and len(member.raw) < 20_000
            else member
            for member in members
        ]
    archive = join_members(members)
    return spoil_bytes(made, archive) if made.random() < 0.35 else archive


@cache
def _large(size: int, how: str) -> Member:
    data = make_text(random.Random(size), size)
    if how == "stored":
        return Member("large", STORED, data, zlib.crc32(data), size)
    if how == "zlib":
        return Member("large", DEFLATED, zlib.compress(data, 1, -15), zlib.crc32(data), size)
    output = io.BytesIO()
    with (
        parazip.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("large", "w") as target,
    ):
        target.write(data)
    with zipfile.ZipFile(output) as made:
        info = made.getinfo("large")
        raw = output.getvalue()[35 : 35 + info.compress_size]
    return Member("large", DEFLATED, raw, info.CRC, size)


def make_damaged_large(seed: int) -> bytes:
    """One large member, of more than 1, 4 or 16 MiB, and a small one."""
    made = random.Random(seed)
    size = made.choice([2 * MIB + 7, 5 * MIB, 16 * MIB, 16 * MIB + 1, 26 * MIB + 3])
    members = [_large(size, made.choice(["parazip", "parazip", "zlib", "stored"]))]
    for _ in range(made.choice([0, 1, 1])):
        members = spoil_members(made, members)
    members.append(make_member(made, "small", DEFLATED, make_text(made, 5000)))
    archive = join_members(members)
    return spoil_bytes(made, archive) if made.random() < 0.2 else archive
