"""What is written by `ZipFile` of both kinds."""

from __future__ import annotations

import random
import zipfile

MIB = 1 << 20

DATE = (2020, 2, 3, 4, 5, 6)


def make_text_lines(size: int, seed: int = 0) -> bytes:
    made = random.Random(seed)
    line = b"".join(b"%x of a line of text\n" % made.getrandbits(40) for _ in range(2000))
    return (line * (size // len(line) + 1))[:size]


def info(name: str, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name, DATE)
    made.compress_type = method
    return made
