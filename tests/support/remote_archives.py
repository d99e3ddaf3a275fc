"""Archives that are large beside what is read of them."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Sequence

MEMBERS, SIZE = 200, 40_000


def make_large_archive(members: int = MEMBERS, size: int = SIZE) -> bytes:
    """An archive whose members do not shrink."""
    made = io.BytesIO()
    source = random.Random(18)
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(members):
            name = f"package/{number // 20:02}/{number:04}.bin"
            archive.writestr(zipfile.ZipInfo(name), source.randbytes(size), zipfile.ZIP_DEFLATED)
    return made.getvalue()


def choose_ten(names: Sequence[str]) -> tuple[str, ...]:
    """Ten names, far from each other."""
    return tuple(names[3 :: len(names) // 10][:10])


def read_contents(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}
