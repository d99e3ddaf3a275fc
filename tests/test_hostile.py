"""Hostile and damaged archives: merge refuses them, or makes a correct archive of them.

Two real-looking wheels are damaged at random (the seeds are fixed), and archives are made by hand
that lie in one thing each. A mutation that hits compressed data is merged with `check_crc` alone:
without it, contents are believed to be what the directory says. All others are merged both ways.
"""

from __future__ import annotations

import base64
import contextlib
import faulthandler
import fnmatch
import hashlib
import io
import os
import random
import resource
import signal
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

import parazip
from odd_archives import (
    DEFLATED,
    DESCRIPTOR,
    ENCRYPTED,
    END,
    LIMIT16,
    LIMIT32,
    MASKED,
    PATCH,
    STORED,
    STRONG,
    UTF8,
    Fields,
    Item,
    deflated,
    descriptor,
    end_records64,
    extra,
    extra64,
    zipped,
)
from parazip import ParazipError, Settings
from readers import programs, run

HANGS = 20
"""Seconds until one merge of a few KB must be taken to hang."""
ALL_HANG = 200
"""Seconds until a thread that never ends is told of, and the tests with it."""
MEMORY = 2 << 30
"""What all merges may take together: no length is believed that the file cannot have."""

WITHOUT, WITH, BOTH = (False,), (True,), (False, True)


class Case(NamedTuple):
    """An archive to be merged.

    Attributes:
        kind: what was done to it.
        name: what tells it from others of the kind.
        data: the archive.
        checks: merge it with and without `check_crc`.
        told: a pattern of the message that refuses it; "" if it is merged, None for either.
        contents: the members, if it is merged: no other contents may come out.
    """

    kind: str
    name: str
    data: bytes
    checks: tuple[bool, ...]
    told: str | None
    contents: Mapping[str, bytes]


# Wheels, and what happens to them


def text(seed: int, size: int) -> bytes:
    """Something like the source of a module."""
    source = random.Random(seed)
    words = ("self", "value", "return", "import", "raise", "yield", "result", "name", "None")
    lines = [f"def f_{i}({source.choice(words)}): {source.choice(words)}" for i in range(size)]
    return "\n".join(lines).encode()


def wheel(name: str, files: Mapping[str, bytes], version: str = "1.0") -> dict[str, bytes]:
    """The members of a wheel, RECORD included."""
    info = f"{name}-{version}.dist-info"
    members = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
        + text(3, 20),
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


PURE = wheel("pure", {"pure/__init__.py": b"", "pure/core.py": text(1, 40), "pure/a.py": b"A = 1"})
NATIVE = wheel(
    "native",
    {
        "native/": b"",
        "native/__init__.py": b"from ._fast import *\n",
        "native/_fast.so": b"\x7fELF" + random.Random(2).randbytes(300),
        "native/gr\u00fc\u00df\u4e2d.txt": text(2, 10),
    },
)
TIMES = struct.pack("<2HB2I", 0x5455, 9, 3, 1_600_000_000, 1_600_000_000)
"""Info-ZIP's extra field of two times."""
STUB = b"#!/usr/bin/env python3\n" + b"# Some bytes in front that no offset counts.\n" * 16


def pure() -> bytes:
    """As `wheel` and `build` make them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in PURE.items():
            archive.writestr(zipfile.ZipInfo(name, (2024, 5, 6, 7, 8, 10)), data, DEFLATED)
    return file.getvalue()


def native() -> bytes:
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


WHEELS = {"pure": (pure(), PURE), "native": (native(), NATIVE)}

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


def anatomy(archive: bytes) -> Anatomy:
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


ANATOMIES = {name: anatomy(data) for name, (data, _) in WHEELS.items()}

Mutation = tuple[bytes, list[Span]]
"""What became of an archive, and which of its bytes are not what or where they were."""


def somewhere(source: random.Random, archive: bytes, found: Anatomy) -> int:
    """A place; headers are as likely as data, and so is what stands in front."""
    first = archive.index(b"PK\3\4")
    begin, end = source.choice(
        [(0, len(archive)), (0, max(1, first)), source.choice(found.data), (first, first + 60)]
    )
    return min(source.randint(begin, end), len(archive) - 1)


def flipped(source: random.Random, archive: bytes, found: Anatomy) -> Mutation:
    changed = bytearray(archive)
    places = [somewhere(source, archive, found) for _ in range(source.choice((1, 1, 2, 3)))]
    for place in places:
        changed[place] ^= 1 << source.randrange(8)
    return bytes(changed), [(place, place + 1) for place in places]


def cut(source: random.Random, archive: bytes, found: Anatomy) -> Mutation:
    """A piece is missing, at the end or before."""
    begin = somewhere(source, archive, found)
    end = begin + source.choice((1, 4, 20, 100, len(archive)))
    return archive[:begin] + archive[end:], [(begin, min(end, len(archive)))]


def inserted(source: random.Random, archive: bytes, found: Anatomy) -> Mutation:
    """Something stands in between: noise, zeros, or a piece of the archive itself."""
    at, other = somewhere(source, archive, found), source.randrange(len(archive))
    length = source.choice((1, 2, 22, 46, 200))
    new = source.choice((source.randbytes(length), bytes(length), archive[other : other + length]))
    return archive[:at] + new + archive[at:], [(at, at + 1)]


def swapped(source: random.Random, archive: bytes, found: Anatomy) -> Mutation:
    """Two pieces of one length change places."""
    length = source.choice((1, 2, 4, 16, 60))
    one, two = sorted(somewhere(source, archive, found) for _ in range(2))
    one, two = min(one, len(archive) - 2 * length), min(max(two, one + length), len(archive))
    first, second = archive[one : one + length], archive[two : two + length]
    first = first[: len(second)]
    end, after = one + len(first), two + len(second)
    changed = archive[:one] + second + archive[end:two] + first + archive[after:]
    assert len(changed) == len(archive)
    return changed, [(one, end), (two, after)]


def edited(source: random.Random, archive: bytes, found: Anatomy) -> Mutation:
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
    "flip": flipped,
    "cut": cut,
    "insert": inserted,
    "swap": swapped,
    "field": edited,
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


# Archives made by hand

TEXT = text(5, 30)
A, B = Item(b"a.txt", TEXT), Item(b"d/b.bin", b"stored", STORED)
AB = {"a.txt": TEXT, "d/b.bin": b"stored"}
PLAIN = zipped(A, B)
BEGIN = len(PLAIN) - 22 - 2 * 46 - len(b"a.txtd/b.bin")
"""Where the directory of `PLAIN` begins."""
LENGTH = len(PLAIN) - 22 - BEGIN


def twin(**lies: int) -> bytes:
    """zip64's end records of `PLAIN`."""
    return end_records64(2, LENGTH, BEGIN, lies)


SATURATED: Fields = {"here": LIMIT16, "count": LIMIT16, "length": LIMIT32, "offset": LIMIT32}


def wide(end: Fields = SATURATED, **lies: int) -> bytes:
    return zipped(A, B, end=end, wide=twin(**lies))


def one(**fields: Any) -> bytes:
    """Another archive than `PLAIN` in one thing about its first member."""
    return zipped(A._replace(**fields), B)


def overlapping(count: int) -> bytes:
    """A bomb: one record that many members share."""
    local, central = A.headers(0)
    names = [b"%05d" % i for i in range(count)]
    headers = [central.replace(b"a.txt", name) for name in names]
    data = local + A.data()
    directory = b"".join(headers)
    end = END.pack(b"PK\5\6", 0, 0, count, count, len(directory), len(data), 0)
    return data + directory + end


def quoted_records(count: int, in_extra: bool) -> bytes:
    """A bomb: each member's data, or extra field, begins with the whole record of the next one.

    In the data it stands in a deflate block that is stored; so all of them end with one kernel.
    """
    body, directory = b"", []
    kernel = deflated(bytes(5000))
    contents, packed, size = bytes(5000), kernel, len(kernel)
    for i in reversed(range(count)):
        item = Item(b"%05d" % i, contents, both={"packed": size, "size": len(contents)})
        if not body:
            local, central = item.headers(0)
            body = local + packed
        elif in_extra:
            local, central = item._replace(local_extra=b"").headers(0)
            length = len(body) - len(kernel)
            extra = struct.pack("<2H", 0xABCD, length) + body[:length]
            local = local[:28] + struct.pack("<H", len(extra)) + local[30:] + extra
            body = local + kernel
        else:
            quote = body[: 30 + 5]
            packed = b"\0" + struct.pack("<2H", 35, ~35 & LIMIT16) + body
            contents = quote + contents
            size = len(packed)
            item = Item(b"%05d" % i, contents, both={"packed": size, "size": len(contents)})
            local, central = item.headers(0)
            body = local + packed
        directory.append((central, len(body)))
    directory.reverse()
    headers = b"".join(
        central[:42] + struct.pack("<I", len(body) - length) for central, length in directory
    )
    names = [b"%05d" % i for i in range(count)]
    headers = b"".join(headers[i * 46 : i * 46 + 46] + name for i, name in enumerate(names))
    return body + headers + END.pack(b"PK\5\6", 0, 0, count, count, len(headers), len(body), 0)


def primed(window: bytes, data: bytes) -> bytes:
    """A stream that reaches back to what stands before it."""
    stream = zlib.compressobj(6, DEFLATED, -15, zdict=window)
    return stream.compress(data) + stream.flush()


NOISE = random.Random(9).randbytes(200)
PACKED = deflated(TEXT)
LINK = {"attributes": 0o120777 << 16}
TIMED = Item(b"timed", TEXT, local_extra=TIMES, central_extra=extra(0x5455, TIMES[4:9]))

# What is unusual and yet clear: merged, with just these members.
MERGED: dict[str, tuple[bytes, Mapping[str, bytes]]] = {
    "nothing odd": (PLAIN, AB),
    "no members": (zipped(), {}),
    "no members, comment": (zipped(comment=b"none"), {}),
    "bytes in front": (b"#!/bin/sh\n" + PLAIN, AB),
    "bytes in front, counted": (zipped(A, B, front=b"#!/bin/sh\n"), AB),
    "an archive inside": (
        zipped(Item(b"inner.zip", PLAIN, STORED), A),
        {"inner.zip": PLAIN, "a.txt": TEXT},
    ),
    "a directory inside": (
        zipped(Item(b"x", PLAIN[BEGIN:], STORED), A),
        {"x": PLAIN[BEGIN:], "a.txt": TEXT},
    ),
    "a record in a comment": (zipped(A._replace(comment=b"PK\3\4" + bytes(30)), B), AB),
    "comment": (zipped(A, B, comment=b"PK\1\2 and so on"), AB),
    "longest comment": (zipped(A, B, comment=bytes(LIMIT16)), AB),
    "zip64's end records": (wide(), AB),
    "zip64's end records, not needed": (wide({}), AB),
    "zip64's sizes": (
        one(
            both={"packed": LIMIT32, "size": LIMIT32},
            local_extra=extra64(len(TEXT), len(PACKED)),
            central_extra=extra64(len(TEXT), len(PACKED)),
        ),
        AB,
    ),
    "zip64's offset": (one(central={"offset": LIMIT32}, central_extra=extra64(0)), AB),
    "extra fields": (zipped(TIMED, A), {"timed": TEXT, "a.txt": TEXT}),
    "comment of a member": (one(comment=b"PK\5\6" + bytes(18)), AB),
    "descriptor": (one(both={"flags": DESCRIPTOR}, after=descriptor(TEXT, PACKED)), AB),
    "descriptor, no sizes before": (
        one(
            both={"flags": DESCRIPTOR},
            local={"crc": 0, "packed": 0, "size": 0},
            after=descriptor(TEXT, PACKED),
        ),
        AB,
    ),
    "descriptor without signature": (
        one(
            both={"flags": DESCRIPTOR},
            local={"crc": 0, "packed": 0, "size": 0},
            after=descriptor(TEXT, PACKED)[4:],
        ),
        AB,
    ),
    "versions that disagree": (one(local={"version": 99}, central={"version": 10}), AB),
    "dates that disagree": (one(local={"date": 1, "time": 2}), AB),
    "no date": (one(both={"date": 0, "time": 0}), AB),
    "date that cannot be": (one(both={"date": LIMIT16, "time": LIMIT16}), AB),
    "a masked directory's flag alone": (one(both={"flags": MASKED}), AB),
    "a local flag of UTF-8, ASCII": (one(local={"flags": UTF8}), AB),
    "a flag of UTF-8 in the directory, ASCII": (one(central={"flags": UTF8}), AB),
    "one folder twice": (zipped(Item(b"d/"), Item(b"d/")), {"d/": b""}),
    "zip64, two counts": (wide(here=1), AB),
    "all other flags": (
        one(both={"flags": LIMIT16 & ~(ENCRYPTED | DESCRIPTOR | PATCH | STRONG | MASKED)}),
        AB,
    ),
    "other flags that disagree": (one(local={"flags": 6}), AB),
    "a disk that only zip64 tells": (
        one(central={"disk": LIMIT16}, central_extra=extra(1, bytes(4))),
        AB,
    ),
    "no attributes": (one(central={"attributes": 0}), AB),
    "all attributes": (one(central={"made_by": 20, "attributes": 0x0FFFFBE7}), AB),
    "attributes of DOS": (one(central={"made_by": 0, "attributes": 0x27}), AB),
    "made by something unknown": (one(central={"made_by": LIMIT16}), AB),
    "internal attributes": (one(central={"internal": LIMIT16}), AB),
    "a link": (
        zipped(Item(b"link", b"a.txt", STORED, central=LINK), A),
        {"link": b"a.txt", "a.txt": TEXT},
    ),
    "a link, deflated": (zipped(Item(b"link", b"a.txt", central=LINK)), {"link": b"a.txt"}),
    "a folder": (zipped(Item(b"d/", b"", STORED), B), {"d/": b"", "d/b.bin": b"stored"}),
    "a folder, deflated": (zipped(Item(b"d/"), B), {"d/": b"", "d/b.bin": b"stored"}),
    "an empty file": (zipped(Item(b"0", b"", STORED)), {"0": b""}),
    "an empty file, deflated": (zipped(Item(b"0")), {"0": b""}),
    "a stream of 1,032 times": (zipped(Item(b"0", bytes(1 << 20))), {"0": bytes(1 << 20)}),
    "a stream in many blocks": (one(packed=b"\0\0\0\xff\xff" * 300 + PACKED), AB),
    "name in UTF-8": (
        zipped(Item("gr\u00fc\u00df".encode(), TEXT, both={"flags": UTF8})),
        {"gr\u00fc\u00df": TEXT},
    ),
    "name in code page 437": (
        zipped(Item(b"gr\x81n", TEXT, central={"made_by": 0})),
        {"gr\u00fcn": TEXT},
    ),
    "names of one folder, differing in case": (
        zipped(A, A._replace(name=b"A.TXT")),
        {"a.txt": TEXT, "A.TXT": TEXT},
    ),
    "long name": (zipped(Item(b"n" * 1000, TEXT)), {"n" * 1000: TEXT}),
    "a name with dots": (
        zipped(Item(b"...", TEXT), Item(b"a..b/..c", TEXT)),
        {"...": TEXT, "a..b/..c": TEXT},
    ),
}

DAMAGED, COPY = " is damaged: ", "cannot copy "
NO_ARCHIVE = "is no zip archive or was cut off"
EOCD, EOCD64, LOCATOR = "EOCD at offset", "zip64 EOCD at offset", "zip64 EOCD locator at offset"
HEADER = "central directory header at offset"
LOCAL_A = "local file header of 'a.txt' at offset 0"
DISAGREE = LOCAL_A + ": expected flags, method and name as in the directory"
SIZES = LOCAL_A + ": expected CRC and sizes as in the directory"
LEADS_OUT = "its name leads out of the archive"


def rule(name: str) -> str:
    """A pattern of the end of a message."""
    return f"[[]{name}]"


REFUSED: dict[str, tuple[bytes, str]] = {
    # Records that overlap
    "overlap, one record for two": (overlapping(2), "record of b'00001' at offset 0"),
    "overlap, one record for 3,000": (overlapping(3000), "record of b'00001' at offset 0"),
    "overlap, quoted in data": (quoted_records(40, False), "record of b'00001' at offset"),
    "overlap, quoted in two": (quoted_records(2, False), "record of b'00001' at offset"),
    "overlap, quoted in extra fields": (quoted_records(40, True), rule("records-overlap")),
    "overlap by a byte": (
        zipped(A, B._replace(central={"offset": BEGIN - len(B.headers(0)[0]) - 7})),
        "record of b'd/b.bin' at offset",
    ),
    "overlap of extra field and next record": (
        one(local={"extra": 1}),
        f"{LOCAL_A}: expected at most {len(PACKED) - 1} bytes before the next record",
    ),
    "extra field as long as can be": (one(local={"extra": LIMIT16}), LOCAL_A),
    "overlap with the directory": (
        zipped(A, B._replace(local={"extra": 1})),
        "local file header of 'd/b.bin' at offset",
    ),
    "record inside the directory": (
        zipped(A, B._replace(central={"offset": BEGIN})),
        f"a record that ends before {BEGIN}",
    ),
    # What is not found by reading alone
    "an archive in front": (zipped(A._replace(name=b"other")) + PLAIN, rule("unlisted-record")),
    "a record in an extra field": (one(local_extra=A.headers(0)[0]), rule("extra-field-cut-off")),
    "a record between": (
        zipped(A, B._replace(before=A.headers(0)[0] + A.data())),
        rule("unlisted-record"),
    ),
    "an EOCD in the comment": (
        zipped(A, B, comment=zipped() + b"more"),
        rule("end-record-in-comment"),
    ),
    "an archive in the comment": (
        zipped(A, B, comment=zipped(A) + b"more"),
        rule("end-record-in-comment"),
    ),
    "zip64's extra field, not needed": (
        one(local_extra=extra64(7, 7), central_extra=extra64(7)),
        rule("zip64-field-mismatch"),
    ),
    "extra field of noise": (
        one(local_extra=NOISE, central_extra=NOISE),
        rule("extra-field-cut-off"),
    ),
    "extra field that is cut off": (
        one(local_extra=b"UT\xff\xff", central_extra=b"U"),
        rule("extra-field-cut-off"),
    ),
    "descriptor that lies": (
        one(
            both={"flags": DESCRIPTOR},
            local={"crc": 0, "packed": 0, "size": 0},
            after=descriptor(TEXT, PACKED, crc=1, packed=LIMIT32, size=1),
        ),
        rule("descriptor-mismatch"),
    ),
    "no descriptor, but the flag": (one(both={"flags": DESCRIPTOR}), rule("descriptor-missing")),
    "version": (one(both={"version": 0xFFFF}), rule("version-needed")),
    "a disk that zip64 does not tell": (one(central={"disk": LIMIT16}), rule("split-archive")),
    "attributes of a folder": (
        one(central={"attributes": 0o040755 << 16 | 0x10}),
        rule("folder-with-contents"),
    ),
    "attributes of nothing": (one(central={"attributes": LIMIT32}), "it is neither a file nor"),
    "attributes of a device": (
        one(central={"attributes": 0o020666 << 16}),
        "it is a device; leave it out with --exclude a.txt",
    ),
    # Names
    "one name twice": (zipped(A, B, A), "two members would have the name a.txt"),
    "one name in two encodings": (
        zipped(
            Item(b"\x81", central={"made_by": 0}), Item("\u00fc".encode(), both={"flags": UTF8})
        ),
        "two members would have the name \u00fc",
    ),
    "a file that is a folder": (
        zipped(A, Item(b"a.txt/")),
        "two members would have the name a.txt",
    ),
    "no name": (one(name=b""), rule("name-missing")),
    "NUL in a name": (one(name=b"a.txt\0.exe"), "expected a name without NUL"),
    "a name in wrong UTF-8": (one(name=b"a\xff", both={"flags": UTF8}), "a name in UTF-8"),
    "a surrogate": (one(name=b"\xed\xa0\x80", both={"flags": UTF8}), "a name in UTF-8"),
    "a name that leads up": (one(name=b"../a.txt"), LEADS_OUT),
    "a name that leads up inside": (one(name=b"d/../../a.txt"), LEADS_OUT),
    "a name that leads up and back": (one(name=b"d/../a.txt"), LEADS_OUT),
    "a name that is up": (one(name=b".."), LEADS_OUT),
    "a folder that is up": (zipped(Item(b"../", b"", STORED)), LEADS_OUT),
    "a name from the root": (one(name=b"/a.txt"), LEADS_OUT),
    "a name from a share": (one(name=b"//host/a.txt"), LEADS_OUT),
    "the root": (zipped(Item(b"/", b"", STORED)), LEADS_OUT),
    "a name too long for UTF-8": (
        zipped(Item(b"\x81" * 40_000, central={"made_by": 0})),
        "a zip archive takes 1 to 65535",
    ),
    # Headers that disagree
    "local signature": (one(local={"signature": b"PK\3\5"}), "local file header at offset 0"),
    "local flag of encryption": (one(local={"flags": ENCRYPTED}), DISAGREE),
    "local flag of descriptors": (one(local={"flags": DESCRIPTOR}), rule("descriptor-missing")),
    "flag of descriptors in the directory": (one(central={"flags": DESCRIPTOR}), DISAGREE),
    "local method": (one(local={"method": STORED}), DISAGREE),
    "method in the directory": (one(central={"method": STORED, "size": len(PACKED)}), DISAGREE),
    "local CRC": (one(local={"crc": 0}), SIZES),
    "CRC in the directory": (one(central={"crc": 0}), SIZES),
    "local compressed size": (one(local={"packed": len(PACKED) - 1}), SIZES),
    "compressed size in the directory": (one(central={"packed": len(PACKED) - 1}), SIZES),
    "local size": (one(local={"size": len(TEXT) - 1}), SIZES),
    "size in the directory": (one(central={"size": len(TEXT) - 1}), SIZES),
    "no local sizes": (one(local={"crc": 0, "packed": 0, "size": 0}), SIZES),
    "local name": (one(other_name=b"b.txt"), DISAGREE),
    "local name, in another case": (one(other_name=b"A.txt"), DISAGREE),
    "local name, longer": (one(other_name=b"a.txt.exe"), DISAGREE),
    "local name's length": (one(local={"name": 4}), DISAGREE),
    "local name, none": (one(other_name=b"", local_extra=b"a.txt"), DISAGREE),
    "one size of two with a descriptor": (
        one(both={"flags": DESCRIPTOR}, local={"packed": 0, "size": 5, "crc": 0}),
        SIZES,
    ),
    "local zip64 sizes": (
        one(
            local={"packed": LIMIT32, "size": LIMIT32},
            local_extra=extra64(len(TEXT), len(PACKED) + 1),
        ),
        SIZES,
    ),
    "local zip64 sizes, none": (one(local={"packed": LIMIT32, "size": LIMIT32}), SIZES),
    # What cannot be copied
    "encrypted": (one(both={"flags": ENCRYPTED}), "cannot copy a.txt of *: it is encrypted"),
    "strong encryption": (one(both={"flags": ENCRYPTED | STRONG}), "it is encrypted"),
    "patch": (one(both={"flags": PATCH}), COPY),
    **{
        f"method {method}": (one(method=method), f"the compression method {method}, not stored")
        for method in (1, 6, 9, 12, 14, 20, 93, 95, 97, 98, 99, LIMIT16)
    },
    # Sizes that cannot be
    "stored with two sizes": (one(method=STORED, both={"size": 1}), "a size that method 0 can"),
    "stored, 4 GiB": (one(method=STORED, both={"size": LIMIT32 - 1}), "a size that method 0"),
    "more than 1,032 times": (
        one(both={"size": 1033 * len(PACKED)}),
        "a size that method 8 can have",
    ),
    "deflated, 4 GiB": (one(both={"size": LIMIT32 - 1}), "a size that method 8 can have"),
    "no bytes, and yet a size": (one(packed=b""), "a size that method 8 can have"),
    "packed, 4 GiB": (one(both={"packed": LIMIT32 - 1}), f"a record that ends before {BEGIN}"),
    "packed, a byte more": (
        zipped(A, B._replace(both={"packed": 7, "size": 7})),
        f"a record that ends before {BEGIN}",
    ),
    "zip64, all bits": (
        one(both={"packed": LIMIT32, "size": LIMIT32}, central_extra=extra64(2**64 - 1, 2**64 - 1)),
        "a record that ends before",
    ),
    "zip64, 8 EiB": (
        one(both={"size": LIMIT32}, central_extra=extra64(1 << 63)),
        "a size that method 8 can have",
    ),
    "zip64, offset of 8 EiB": (
        one(central={"offset": LIMIT32}, central_extra=extra64(1 << 63)),
        "a record that ends before",
    ),
    "zip64, saturated and nothing else": (one(both={"size": LIMIT32}), "a zip64 extra field"),
    "zip64, an extra field too short": (
        one(both={"packed": LIMIT32, "size": LIMIT32}, central_extra=extra64(5)),
        "a zip64 extra field",
    ),
    "zip64, an extra field that is cut off": (
        one(both={"size": LIMIT32}, central_extra=extra64(5)[:10]),
        rule("extra-field-cut-off"),
    ),
    "zip64, another tag": (
        one(both={"size": LIMIT32}, central_extra=extra64(len(TEXT), tag=2)),
        "a zip64 extra field",
    ),
    # Where it ends
    "nothing": (b"", NO_ARCHIVE),
    "no archive": (TEXT, NO_ARCHIVE),
    "zeros": (bytes(70_000), NO_ARCHIVE),
    "half an EOCD": (PLAIN[:-11], NO_ARCHIVE),
    "a byte less": (PLAIN[:-1], NO_ARCHIVE),
    "a byte more": (PLAIN + b"\n", rule("bytes-behind-archive")),
    "no EOCD": (PLAIN[:-22], NO_ARCHIVE),
    "no directory": (PLAIN[:BEGIN], NO_ARCHIVE),
    "half": (PLAIN[: len(PLAIN) // 2], NO_ARCHIVE),
    "the first byte": (PLAIN[:1], NO_ARCHIVE),
    "without its first byte": (PLAIN[1:], EOCD),
    "without its first record": (PLAIN[len(A.headers(0)[0] + PACKED) :], EOCD),
    "an EOCD alone": (PLAIN[-22:], EOCD),
    "an EOCD twice": (PLAIN + PLAIN[-22:], rule("two-directories")),
    "a comment too short": (zipped(A, B, end={"comment": 9}, comment=b"12345678"), NO_ARCHIVE),
    "a comment too long": (
        zipped(A, B, end={"comment": 7}, comment=b"12345678"),
        rule("bytes-behind-archive"),
    ),
    "two EOCDs that fit": (zipped(A, B, comment=zipped()), rule("end-record-in-comment")),
    "two archives that fit": (zipped(A, comment=zipped(B)), rule("end-record-in-comment")),
    # Counts, lengths, offsets
    "a member more": (zipped(A, B, end={"here": 3, "count": 3}), EOCD),
    "a member less": (
        zipped(A, B, end={"here": 1, "count": 1}),
        "the end of the central directory",
    ),
    "no member": (zipped(A, B, end={"here": 0, "count": 0}), EOCD),
    "as many as can be": (zipped(A, B, end={"here": LIMIT16, "count": LIMIT16}), EOCD),
    "two counts": (zipped(A, B, end={"here": 1}), rule("count-mismatch")),
    "a second disk": (zipped(A, B, end={"disk": 1, "first": 1}), "one disk"),
    "disks that disagree": (zipped(A, B, end={"disk": 1}), "one disk"),
    "a member on another disk": (one(central={"disk": 1}), "disk 0"),
    "directory a byte shorter": (zipped(A, B, end={"length": LENGTH - 1}), rule("two-directories")),
    "directory a byte longer": (zipped(A, B, end={"length": LENGTH + 1}), EOCD),
    "directory longer, and earlier": (
        zipped(A, B, end={"length": LENGTH + 1, "offset": BEGIN - 1}),
        HEADER,
    ),
    "directory longer than the file": (zipped(A, B, end={"length": LIMIT32 - 1}), EOCD),
    "directory of no length": (zipped(A, B, end={"length": 0}), EOCD),
    "directory a byte later": (zipped(A, B, end={"offset": BEGIN + 1}), EOCD),
    "directory a byte earlier": (zipped(A, B, end={"offset": BEGIN - 1}), "a record that ends"),
    "directory a byte earlier, and room": (
        zipped(A, B._replace(after=b"-"), end={"offset": BEGIN}),
        rule("two-records"),
    ),
    "directory behind the file": (zipped(A, B, end={"offset": LIMIT32 - 1}), EOCD),
    "something behind the directory": (zipped(A, B, wide=b"PK"), rule("two-directories")),
    "a hole in the directory": (
        zipped(A._replace(central={"comment": 1}), B),
        HEADER,
    ),
    "central signature": (one(central={"signature": b"PK\3\4"}), HEADER),
    "central name's length": (one(central={"name": 4}), DAMAGED),
    "central name's length, all bits": (one(central={"name": LIMIT16}), HEADER),
    "central extra field's length": (one(central={"extra": LIMIT16}), HEADER),
    "central comment's length": (
        zipped(A, B._replace(central={"comment": 1})),
        HEADER,
    ),
    "offset, a byte more": (
        one(central={"offset": 1}, after=b"-"),
        "local file header at offset 1: expected b'PK",
    ),
    "offset, a byte less": (
        one(before=b"-", central={"offset": 0}),
        "local file header at offset 0: expected b'PK",
    ),
    "offset of another record": (
        zipped(A, B._replace(central={"offset": 0})),
        "record of b'd/b.bin' at offset 0",
    ),
    "offset behind all": (one(central={"offset": LIMIT32 - 1}), "a record that ends before"),
    # What zip64 can lie about
    "zip64 announced, but not there": (zipped(A, B, end=SATURATED), LOCATOR),
    "zip64 offset announced": (zipped(A, B, end={"offset": LIMIT32}), LOCATOR),
    "zip64 signature": (wide().replace(b"PK\6\6", b"PK\6\5"), EOCD64),
    "zip64 locator's signature": (wide().replace(b"PK\6\7", b"PK\6\5"), LOCATOR),
    "zip64 locator's offset": (wide(at=0), LOCATOR),
    "zip64 locator's offset behind all": (wide(at=1 << 63), LOCATOR),
    "zip64 record's size": (wide(size=45), EOCD64),
    "zip64 record's size, all bits": (wide(size=2**64 - 1), EOCD64),
    "zip64 disk": (wide(disk=1), "one disk"),
    "zip64 first disk": (wide(first=1), "one disk"),
    "zip64, a member more": (wide(here=3, count=3), EOCD),
    "zip64, 2 ** 64 - 1 members": (wide(here=2**64 - 1, count=2**64 - 1), EOCD),
    "zip64, another length": (wide({}, length=LENGTH - 1), EOCD),
    "zip64, 8 EiB of directory": (wide(length=1 << 63, at=BEGIN + (1 << 63)), EOCD),
    "zip64, directory at 4 EiB": (wide(offset=1 << 62, at=LENGTH + (1 << 62)), EOCD),
    "zip64, another count": (wide({"here": 1, "count": 1}), EOCD),
    "zip64, another offset": (wide({"offset": 0}), EOCD),
    "zip64 locator alone": (zipped(A, B, wide=twin()[56:]), DAMAGED),
}

# What only shows when it is inflated.
CHECKED: dict[str, tuple[bytes, str]] = {
    "stored, a bit": (zipped(A, B._replace(packed=b"stoped")), "data of d/b.bin * expected CRC"),
    "stored, CRC": (zipped(A, B._replace(both={"crc": 5})), "expected CRC 0x00000005 of 6 bytes"),
    "deflated, CRC": (one(both={"crc": 5}), "expected CRC 0x00000005"),
    "deflated, a size less": (one(both={"size": len(TEXT) - 1}), "data of a.txt"),
    "deflated, a size more": (one(both={"size": len(TEXT) + 1}), "data of a.txt"),
    "deflated, no size": (one(both={"size": 0, "crc": 0}), "data of a.txt"),
    "deflated, ends early": (one(packed=PACKED[:-1]), "does not end"),
    "deflated, ends at half": (one(packed=PACKED[: len(PACKED) // 2]), "data of a.txt"),
    "deflated, never ends": (one(packed=b"\0\0\0\xff\xff"), "does not end"),
    "deflated, goes on": (one(packed=PACKED + b"\0"), "goes on where it should end"),
    "deflated, another stream": (one(packed=PACKED + PACKED), "goes on where it should end"),
    "deflated, an archive behind": (one(packed=PACKED + PLAIN), "goes on where it should end"),
    "deflated, larger than told": (
        zipped(Item(b"0", TEXT, packed=deflated(bytes(40 << 20)))),
        "goes on where it should end",
    ),
    "deflated, larger and smaller": (
        zipped(Item(b"0", TEXT, packed=deflated(TEXT + b"!"))),
        "goes on where it should end",
    ),
    "deflated, not at all": (one(packed=TEXT), "data of a.txt"),
    "deflated, a block of type 3": (one(packed=b"\7" + PACKED), "data of a.txt"),
    "deflated, a block of wrong length": (
        one(packed=b"\1\2\0\xfd\xfe12" + bytes(9)),
        "data of a.txt",
    ),
    "deflated, reaching too far back": (
        one(packed=primed(TEXT, TEXT)),
        "data of a.txt",
    ),
    "descriptor, CRC in the directory": (
        one(
            both={"flags": DESCRIPTOR},
            local={"crc": 0, "packed": 0, "size": 0},
            central={"crc": 5},
            after=descriptor(TEXT, PACKED),
        ),
        rule("descriptor-mismatch"),
    ),
    "extra field, shorter than it is": (
        one(local_extra=TIMES, local={"extra": 0}),
        rule("bytes-between-records"),
    ),
}


def by_hand() -> Iterator[Case]:
    for name, (data, contents) in MERGED.items():
        yield Case("by hand", name, data, BOTH, "", contents)
    for name, (data, told) in REFUSED.items():
        yield Case("by hand", name, data, BOTH, told, {})
    for name, (data, told) in CHECKED.items():
        yield Case("by hand", name, data, WITH, told, {})


# What comes of them


class Outcome(NamedTuple):
    """What a merge did: it raised `error`, or wrote `path`."""

    case: Case
    check: bool
    error: BaseException | None
    path: Path | None

    def __str__(self) -> str:
        case = self.case
        return f"{case.kind}, {case.name}{', check_crc' * self.check}: {self.error or self.path}"


class HangError(BaseException):
    """A merge did not end."""


@contextlib.contextmanager
def guarded(stderr: int) -> Iterator[None]:
    """Neither time nor memory without end is given to the block."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, ring)
    faulthandler.dump_traceback_later(ALL_HANG, file=stderr, exit=True)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    if os.path.exists("/proc/self/statm"):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


def merged(case: Case, check: bool, folder: Path, name: str) -> Outcome:
    """Archives without members go to a folder of their own, as unzip warns of them."""
    source, path = folder / "source.zip", folder / ("members" if case.contents else "none") / name
    source.write_bytes(case.data)
    signal.setitimer(signal.ITIMER_REAL, HANGS, HANGS)
    try:
        parazip.merge(path, [source], Settings(jobs=1), check_crc=check)
    except (Exception, HangError) as error:
        return Outcome(case, check, error, None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return Outcome(case, check, None, path)


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> list[Outcome]:
    """What became of each case, one after the other."""
    folder = tmp_path_factory.mktemp("hostile")
    for name in ("members", "none"):
        (folder / name).mkdir()
    capture: Any = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        stderr = os.dup(2)
    try:
        with guarded(stderr):
            return [
                merged(case, check, folder, f"{i}-{check:d}.zip")
                for i, case in enumerate([*mutations(), *by_hand()])
                for check in case.checks
            ]
    finally:
        os.close(stderr)


def successes(outcomes: list[Outcome]) -> list[tuple[Outcome, Path]]:
    return [(outcome, outcome.path) for outcome in outcomes if outcome.path is not None]


def test_anatomy() -> None:
    for name, (archive, contents) in WHEELS.items():
        with zipfile.ZipFile(io.BytesIO(archive)) as read:
            assert read.testzip() is None
            assert {member: read.read(member) for member in read.namelist()} == contents
        packed = [archive[begin:end] for begin, end in ANATOMIES[name].data]
        assert all(
            data in (plain, zlib.compress(plain, 6, -15))
            for data, plain in zip(packed, contents.values(), strict=True)
        )


def test_only_errors_on_purpose_are_raised(outcomes: list[Outcome]) -> None:
    errors = [outcome for outcome in outcomes if outcome.error is not None]
    assert [str(o) for o in errors if not isinstance(o.error, ParazipError)] == []


def test_a_refusal_names_the_archive_and_leaves_nothing(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        if isinstance(outcome.error, parazip.BadArchiveError | parazip.NotCopiedError):
            assert "source.zip" in str(outcome.error)
            assert outcome.error.member is not None
            assert len(str(outcome.error)) < 1000, outcome
    written = [path for _, path in successes(outcomes)]
    top = written[0].parent.parent
    assert sorted(top.rglob("*.zip")) == sorted([top / "source.zip", *written])
    assert len(list(top.rglob("*"))) == len(written) + len(["members", "none", "source.zip"])


def test_zipfile_finds_in_merged_archives_what_was_put_in(outcomes: list[Outcome]) -> None:
    for outcome, path in successes(outcomes):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None, outcome
            found = {name: archive.read(name) for name in archive.namelist()}
            assert len(found) == len(archive.infolist()), outcome
        assert found.items() <= outcome.case.contents.items(), outcome


def test_unzip_finds_no_error_in_merged_archives(outcomes: list[Outcome]) -> None:
    if "unzip" not in programs():
        pytest.skip("unzip is not installed")
    paths = [path for outcome, path in successes(outcomes) if outcome.case.contents]
    done = run([programs()["unzip"].command, "-tq", paths[0].parent / "*.zip"])
    said = [line for line in done.stdout.splitlines() if not line.startswith("No errors")]
    assert done.returncode == 0, said
    assert said == ["", f"{len(paths)} archives were successfully processed."]


@pytest.mark.parametrize("name", [case.name for case in by_hand()])
def test_what_lies_is_refused_and_what_is_clear_is_merged(
    outcomes: list[Outcome], name: str
) -> None:
    found = [o for o in outcomes if o.case.kind == "by hand" and o.case.name == name]
    assert found
    for outcome in found:
        told = outcome.case.told
        assert told is not None
        if told:
            assert isinstance(outcome.error, ParazipError), outcome
            assert fnmatch.fnmatchcase(str(outcome.error), f"*{told}*"), outcome
        else:
            assert outcome.path is not None, outcome
            with zipfile.ZipFile(outcome.path) as archive:
                assert set(archive.namelist()) == outcome.case.contents.keys()


def test_there_were_enough_of_each_kind(outcomes: list[Outcome]) -> None:
    """Mutations that are all refused, or none of them, would show little."""
    cases = Counter(outcome.case.kind for outcome in outcomes if outcome.check)
    assert cases.keys() == {*MUTATIONS, "by hand"}
    assert all(cases[kind] == 2 * EACH for kind in MUTATIONS)
    assert sum(cases.values()) >= 200
    for check in (False, True):
        for kind in cases:
            of_kind = [o for o in outcomes if (o.case.kind, o.check) == (kind, check)]
            refused = sum(outcome.error is not None for outcome in of_kind)
            assert 3 <= refused <= len(of_kind) - 3, (kind, check, refused, len(of_kind))
