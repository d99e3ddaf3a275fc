"""Archives with a cache, and damage to its parts."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import parazip
from parazip import Report, Selection, Settings
from parazip.engine import archive
from parazip.engine.cache import Cache
from parazip.model import Range
from parazip.output.stream import Output

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX only")

TEXT = b"".join(b"line %d of some text\n" % i for i in range(100_000))

NOISE = random.Random(1).randbytes(4 << 20)

LAST_YEAR = 1_600_000_000


class Archive(NamedTuple):
    data: bytes
    report: Report


def make_archive(
    tree: Path,
    cache: Cache | None = None,
    settings: Settings | None = None,
    identity: archive.Identification = "stat",
    target: str = "out.zip",
    **selection: Any,
) -> Archive:
    """An archive of `tree`, beside it."""
    selected = Selection(**{"directory": tree.parent, "symlinks": "store", **selection})
    settings = settings or Settings(level=1, jobs=2)
    path = tree.parent / target
    report = parazip.create(path, [tree.name], settings, selected, cache=cache, identity=identity)
    return Archive(path.read_bytes(), report)


def list_parts(cache: Cache) -> list[Path]:
    return sorted(Path(cache.folder, "parts-1").glob("??/*"))


def list_temporaries(cache: Cache) -> list[Path]:
    """What is neither a part nor the tag, in or below the folder of a cache."""
    found = [path for path in Path(cache.folder).rglob("*") if path.is_file()]
    return sorted({*found} - {*list_parts(cache), Path(cache.folder, "parts-1/CACHEDIR.TAG")})


def flip_bit(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def assert_whole(cache: Cache) -> None:
    """Whatever stands under a part's name is that part."""
    for path in list_parts(cache):
        kept = cache.find(path.parent.name + path.name)
        assert kept is not None, cache.notes
        (piece,) = kept.part.data
        assert isinstance(piece, Range)
        assert Output(io.BytesIO(), "-").copy_checked(piece) == kept.crc
    assert cache.notes == []


def change_in_place(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Changes a file in place and puts its modification time back; its change time tells."""
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(change(path.read_bytes()))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def one_byte(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


PATCHED = """
import sys
from parazip.engine import cache, keys, part_files
keys._TICK_NS = keys._COARSE_TICK_NS = 0
"""


def start_python(code: str, *args: str | Path, cwd: Path) -> subprocess.Popen[bytes]:
    """A process that runs `code`, with parts of files of just now kept, too."""
    return subprocess.Popen(
        [sys.executable, "-c", PATCHED + code, *(str(arg) for arg in args)],
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def start_at_once(*processes: subprocess.Popen[bytes]) -> None:
    """Lets all go on as soon as all are ready."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
