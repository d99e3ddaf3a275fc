"""Wheels, and what happens to their bytes."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from support.hostile_cases import BOTH, WITH, Case, make_source_text
from support.odd_archives import DEFLATED, STORED


def make_wheel_members(
    name: str, files: Mapping[str, bytes], version: str = "1.0"
) -> dict[str, bytes]:
    """The members of a wheel, RECORD included."""
    info = f"{name}-{version}.dist-info"
    members = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
        + make_source_text(3, 20),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: hand\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n".encode(),
        f"{info}/top_level.txt": name.encode() + b"\n",
    }
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()[:43]},"
        f"{len(data)}\n"
        for path, data in members.items()
        if not path.endswith("/")
    ]
    record = f"{info}/RECORD"
    return {**members, record: ("".join(rows) + f"{record},,\n").encode()}


PURE = make_wheel_members(
    "pure",
    {"pure/__init__.py": b"", "pure/core.py": make_source_text(1, 40), "pure/a.py": b"A = 1"},
)

NATIVE = make_wheel_members(
    "native",
    {
        "native/": b"",
        "native/__init__.py": b"from ._fast import *\n",
        "native/_fast.so": b"\x7fELF" + random.Random(2).randbytes(300),
        "native/gr\u00fc\u00df\u4e2d.txt": make_source_text(2, 10),
    },
)

TIMES = struct.pack("<2HB2I", 0x5455, 9, 3, 1_600_000_000, 1_600_000_000)
"""Info-ZIP's extra field of two times."""

STUB = b"#!/usr/bin/env python3\n" + b"# Some bytes in front that no offset counts.\n" * 16


def make_pure_wheel() -> bytes:
    """As `make_wheel_members` and `build` make them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in PURE.items():
            archive.writestr(zipfile.ZipInfo(name, (2024, 5, 6, 7, 8, 10)), data, DEFLATED)
    return file.getvalue()


def make_native_wheel() -> bytes:
    """With all that an archive may have besides: folders, extra fields, comments, a stub."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = b"a comment of the archive"
        for name, data in NATIVE.items():
            info = zipfile.ZipInfo(name, (2024, 5, 6, 7, 8, 10))
            info.external_attr = (0o40755 << 16 | 0x10) if info.is_dir() else 0o100755 << 16
            info.compress_type = STORED if name.endswith((".so", "/")) else DEFLATED
            info.extra = TIMES
            info.comment = b"a comment"
            archive.writestr(info, data)
    return STUB + file.getvalue()


WHEELS = {"pure": (make_pure_wheel(), PURE), "native": (make_native_wheel(), NATIVE)}

Span = tuple[int, int]


class Anatomy(NamedTuple):
    """Where things are in an archive: begin and end of each.

    Attributes:
        data: the members' compressed bytes.
        starts: the lengths in local headers that alone tell where these begin.
        lengths: fields that are lengths, offsets and counts.
        others: all other numbers in headers.
    """

    data: list[Span]
    starts: list[Span]
    lengths: list[Span]
    others: list[Span]


def find_anatomy(archive: bytes) -> Anatomy:
    end = archive.rindex(b"PK\5\6")
    size, offset = struct.unpack_from("<2I", archive, end + 12)
    front = end - size - offset
    found = Anatomy([], [], [(end + 8, end + 10), (end + 10, end + 12)], [(end + 4, end + 8)])
    found.lengths.extend([(end + 12, end + 16), (end + 16, end + 20), (end + 20, end + 22)])
    at = front + offset
    places: tuple[int, ...]
    while at < end:
        packed, _, name, extra, comment = struct.unpack_from("<2I3H", archive, at + 20)
        local = front + struct.unpack_from("<I", archive, at + 42)[0]
        begin = local + 30 + sum(struct.unpack_from("<2H", archive, local + 26))
        found.data.append((begin, begin + packed))
        found.starts.append((local + 26, local + 30))
        for base, width, spans, places in (
            (at, 4, found.lengths, (20, 24, 42)),
            (at, 2, found.lengths, (28, 30, 32)),
            (at, 2, found.others, (4, 6, 8, 10, 12, 14, 34, 36, 38, 40)),
            (at, 4, found.others, (16,)),
            (local, 4, found.lengths, (18, 22)),
            (local, 2, found.lengths, (26, 28)),
            (local, 2, found.others, (4, 6, 8, 12)),
            (local, 4, found.others, (14,)),
        ):
            spans.extend((base + place, base + place + width) for place in places)
        at += 46 + name + extra + comment
    return found


ANATOMIES = {name: find_anatomy(data) for name, (data, _) in WHEELS.items()}

Mutation = tuple[bytes, list[Span]]
"""What became of an archive, and which of its bytes are not what or where they were."""


def choose_place(source: random.Random, archive: bytes, found: Anatomy) -> int:
    """A place; headers are as likely as data, and so is what stands in front."""
    first = archive.index(b"PK\3\4")
    begin, end = source.choice(
        [(0, len(archive)), (0, max(1, first)), source.choice(found.data), (first, first + 60)]
    )
    return min(source.randint(begin, end), len(archive) - 1)


def flip_bits(source: random.Random, archive: bytes, found: Anatomy) -> Mutation:
    changed = bytearray(archive)
    places = [choose_place(source, archive, found) for _ in range(source.choice((1, 1, 2, 3)))]
    for place in places:
        changed[place] ^= 1 << source.randrange(8)
    return bytes(changed), [(place, place + 1) for place in places]


def cut_piece(source: random.Random, archive: bytes, found: Anatomy) -> Mutation:
    """A piece is missing, at the end or before."""
    begin = choose_place(source, archive, found)
    end = begin + source.choice((1, 4, 20, 100, len(archive)))
    return archive[:begin] + archive[end:], [(begin, min(end, len(archive)))]


def insert_something(source: random.Random, archive: bytes, found: Anatomy) -> Mutation:
    """Something stands in between: noise, zeros, or a piece of the archive itself."""
    at, other = choose_place(source, archive, found), source.randrange(len(archive))
    length = source.choice((1, 2, 22, 46, 200))
    new = source.choice((source.randbytes(length), bytes(length), archive[other : other + length]))
    return archive[:at] + new + archive[at:], [(at, at + 1)]


def swap_pieces(source: random.Random, archive: bytes, found: Anatomy) -> Mutation:
    """Two pieces of one length change places."""
    length = source.choice((1, 2, 4, 16, 60))
    one, two = sorted(choose_place(source, archive, found) for _ in range(2))
    one, two = min(one, len(archive) - 2 * length), min(max(two, one + length), len(archive))
    first, second = archive[one : one + length], archive[two : two + length]
    first = first[: len(second)]
    end, after = one + len(first), two + len(second)
    changed = archive[:one] + second + archive[end:two] + first + archive[after:]
    assert len(changed) == len(archive)
    return changed, [(one, end), (two, after)]


def edit_number(source: random.Random, archive: bytes, found: Anatomy) -> Mutation:
    """A number in a header is another one: a length, an offset or a count three times of four."""
    begin, end = source.choice(found.lengths if source.random() < 0.75 else found.others)
    limit = 1 << 8 * (end - begin)
    old = int.from_bytes(archive[begin:end], "little")
    news = (
        0,
        1,
        old + 1,
        old - 1,
        old * 2,
        old + 46,
        limit - 1,
        limit - 2,
        limit // 2,
        len(archive),
    )
    new = source.choice([*news, source.randrange(limit)]) % limit
    return archive[:begin] + new.to_bytes(end - begin, "little") + archive[end:], [(begin, end)]


MUTATIONS: dict[str, Callable[[random.Random, bytes, Anatomy], Mutation]] = {
    "flip": flip_bits,
    "cut": cut_piece,
    "insert": insert_something,
    "swap": swap_pieces,
    "field": edit_number,
}

EACH = 20
"""So many mutations there are of each kind, of each wheel."""


def mutations() -> Iterator[Case]:
    for name, (archive, contents) in WHEELS.items():
        found = ANATOMIES[name]
        for kind, mutate in MUTATIONS.items():
            for seed in range(EACH):
                changed, touched = mutate(random.Random(f"{name} {kind} {seed}"), archive, found)
                believed = found.data + found.starts
                hits = any(b < end and begin < e for begin, end in believed for b, e in touched)
                checks = WITH if hits else BOTH
                yield Case(kind, f"{name}, seed {seed}", changed, checks, None, contents)
