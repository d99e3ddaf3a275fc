"""A cache and what tests do to its parts."""

from __future__ import annotations

import os
import random
import stat
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parazip.engine.cache import Cache, CachedPart
from parazip.model import Range, Tally
from parazip.sources import files

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions only")

HEAD = struct.Struct("<8s2IQI")
"""Magic, lengths of description, directory and data, CRC-32 of the data."""

KEY = "0f" + "5a" * 31

TALLIES = {"libdeflate 5": Tally(3, 1000, 400), "stored": Tally(1, 9, 9)}

DIRECTORY = b"central directory headers"

DATA = random.Random(1).randbytes(100)


def keep_part(cache: Cache, key: str = KEY, *data: bytes) -> None:
    chunks = data or (DATA,)
    cache.keep(key, TALLIES, DIRECTORY, sum(map(len, chunks)), chunks)


def place_of_part(cache: Cache, key: str = KEY) -> Path:
    return Path(cache.folder, "parts-1", key[:2], key[2:])


def key_of_number(number: int) -> str:
    """A key; those of 16 numbers share a folder."""
    return f"{number >> 4:02x}" + f"{number & 15:x}" * 62


def list_cache(cache: Cache) -> list[str]:
    """All files in the folder of a cache, by their paths in it."""
    folder = Path(cache.folder)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def read_data(kept: CachedPart) -> bytes:
    """The data of a part as they stand in its file."""
    (piece,) = kept.part.data
    assert isinstance(piece, Range)
    with files.open_unchanged(piece.file) as file:
        return bytes(
            files.fill_view(piece.file, file, piece.offset, memoryview(bytearray(len(piece))))
        )


def recall_part(cache: Cache, key: str = KEY) -> bytes | None:
    """The data of a part that is found and whole."""
    kept = cache.find(key)
    if kept is None:
        return None
    data = read_data(kept)
    return data if zlib.crc32(data) == kept.crc else None


class System:
    """The module `os`, of which some functions fail."""

    def __init__(self, *failing: str, error: int) -> None:
        self._failing = failing
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return self._fail if name in self._failing else getattr(os, name)

    def _fail(self, *args: object, **more: object) -> None:
        raise OSError(self._error, os.strerror(self._error))


class Interrupted(System):
    """The module `os`; before the n-th call of what changes or opens something, somebody acts."""

    CALLS = (
        "fstat",
        "lstat",
        "mkdir",
        "open",
        "replace",
        "rmdir",
        "scandir",
        "stat",
        "unlink",
        "utime",
    )

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        super().__init__(error=0)
        self.calls = 0
        self._at = at
        self._act = act

    def __getattr__(self, name: str) -> Any:
        function = getattr(os, name)
        if name not in self.CALLS:
            return function

        def call(*args: Any, **more: Any) -> Any:
            self.calls += 1
            if self.calls == self._at:
                self._act()
            return function(*args, **more)

        return call


def describe_all(folder: Path) -> dict[str, tuple[Any, ...]]:
    """All that is in a folder, and what would tell of a change: kind, rights, times, contents."""
    found = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        info = path.lstat()
        contents = path.read_bytes() if stat.S_ISREG(info.st_mode) else None
        found[str(path)] = (info.st_mode, info.st_uid, info.st_ino, info.st_mtime_ns, contents)
    return found
