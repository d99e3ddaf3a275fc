"""Members and parts for the writer."""

from __future__ import annotations

import threading

import parazip
from support.paths import make_noise

DATE = 0x5264_28C4

ATTRIBUTES = 0o100644 << 16

LINES = b"".join(b"line %d of a text that shrinks\n" % i for i in range(70_000))

PADDED_NOISE = b"pad " * 60 + make_noise(2 << 20)
"""Its first bytes look as if it shrank; it does not."""


def make_member(name: str, data: bytes) -> parazip.Member:
    return parazip.Member(name, data, ATTRIBUTES, DATE)


def parazip_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("parazip")]


FAST = parazip.Settings(level=1, jobs=2)
