"""Archives to be merged, what is expected of it, and what they are made of."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from support.odd_archives import (
    LIMIT16,
    LIMIT32,
    STORED,
    Fields,
    Item,
    deflate,
    end_records64,
    zipped,
)

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


def make_source_text(seed: int, size: int) -> bytes:
    """Something like the source of a module."""
    source = random.Random(seed)
    words = ("self", "value", "return", "import", "raise", "yield", "result", "name", "None")
    lines = [f"def f_{i}({source.choice(words)}): {source.choice(words)}" for i in range(size)]
    return "\n".join(lines).encode()


TEXT = make_source_text(5, 30)

A, B = Item(b"a.txt", TEXT), Item(b"d/b.bin", b"stored", STORED)

PLAIN = zipped(A, B)

BEGIN = len(PLAIN) - 22 - 2 * 46 - len(b"a.txtd/b.bin")
"""Where the directory of `PLAIN` begins."""

LENGTH = len(PLAIN) - 22 - BEGIN


def make_end_records64(**lies: int) -> bytes:
    """zip64's end records of `PLAIN`."""
    return end_records64(2, LENGTH, BEGIN, lies)


SATURATED: Fields = {"here": LIMIT16, "count": LIMIT16, "length": LIMIT32, "offset": LIMIT32}


def make_with_records64(end: Fields = SATURATED, **lies: int) -> bytes:
    return zipped(A, B, end=end, wide=make_end_records64(**lies))


def make_with_first_item(**fields: Any) -> bytes:
    """Another archive than `PLAIN` in one thing about its first member."""
    return zipped(A._replace(**fields), B)


PACKED = deflate(TEXT)
