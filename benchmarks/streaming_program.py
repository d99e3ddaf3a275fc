"""A stream and who takes it: `streaming_program.py PACKAGE SOURCE LEVEL CONSUMER TARGET STEPS`.

PACKAGE is one of `STREAMS`, CONSUMER one of `CONSUMERS`; SOURCE is a folder, or `rows` for members
that are made of rows. Each package is handed its members as its documentation says. What is told in
STEPS counts from the call on, as a server starts Python and imports a package only once. It is a
program of its own, so that nothing of the benchmarks is in its memory.
"""

from __future__ import annotations

import datetime
import importlib
import json
import os
import random
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import cache
from itertools import chain, cycle, islice
from typing import Any

ROWS = "rows"
TABLES = 10
"""Members that are made of rows."""

_ROWS = 100_000
"""Rows of each of them, a chunk each."""

_DIFFERENT_ROWS = 20_000
"""Then they come again, which no window reaches back to."""

_READ_SIZE = 64 << 10
_LONG = 1 << 20
_SLOW_CHUNK = 0.05
_SLOW_SECONDS = 4.0
_LOOK_AWAY = 0.5


def _stream_parazip(source: str, level: int) -> Iterator[bytes]:
    import parazip

    settings = parazip.Settings(level=level)
    if source == ROWS:
        members = (parazip.make_member(name, rows) for name, rows in _make_tables())
        return parazip.stream(members, settings)
    os.chdir(source)
    return parazip.stream(["."], settings)


def _stream_zipstream_ng(source: str, level: int) -> Iterator[bytes]:
    from zipstream import ZIP_DEFLATED, ZIP_STORED, ZipStream

    if level:
        stream = ZipStream(compress_type=ZIP_DEFLATED, compress_level=level)
    else:
        stream = ZipStream(compress_type=ZIP_STORED)
    if source == ROWS:
        for name, rows in _make_tables():
            stream.add(rows, name)
    else:
        stream.add_path(source, "/")
    return iter(stream)


def _stream_stream_zip(source: str, level: int) -> Iterator[bytes]:
    """Its caller looks for files and reads them.

    What it stores it has in memory before, so what is long becomes stored blocks of deflate.
    """
    from stream_zip import NO_COMPRESSION_64, ZIP_64, stream_zip

    def make_members() -> Iterator[tuple[str, datetime.datetime, int, Any, Iterable[bytes]]]:
        if source == ROWS:
            now = datetime.datetime.now()
            for name, rows in _make_tables():
                yield name, now, 0o100644, ZIP_64, rows
            return
        for parent, _, names in os.walk(source, followlinks=True):
            for name in names:
                path = os.path.join(parent, name)
                info = os.stat(path)
                date = datetime.datetime.fromtimestamp(info.st_mtime)
                method = ZIP_64 if level or info.st_size > _LONG else NO_COMPRESSION_64
                yield os.path.relpath(path, source), date, info.st_mode, method, _read_file(path)

    def make_compressor() -> Any:
        return zlib.compressobj(level, wbits=-zlib.MAX_WBITS)

    return iter(stream_zip(make_members(), get_compressobj=make_compressor))


STREAMS: dict[str, tuple[str, Callable[[str, int], Iterator[bytes]]]] = {
    "parazip": ("parazip.engine.streaming", _stream_parazip),
    "zipstream-ng": ("zipstream", _stream_zipstream_ng),
    "stream-zip": ("stream_zip", _stream_stream_zip),
}
"""By the name of a package: what is imported of it, and what makes a stream."""


def _make_tables() -> Iterator[tuple[str, Iterator[bytes]]]:
    for number in range(TABLES):
        yield f"table{number}.csv", islice(cycle(_make_rows()), number, number + _ROWS)


@cache
def _make_rows() -> list[bytes]:
    made = random.Random(11)
    return [make_row(made) for _ in range(_DIFFERENT_ROWS)]


def make_row(made: random.Random) -> bytes:
    """A row of a table as CSV, of some 46 bytes."""
    city = made.choice(("Aberdeen", "Bergen", "Cork", "Dundee", "Esbjerg", "Farsund", "Galway"))
    day = f"2024-{made.randint(1, 12):02}-{made.randint(1, 28):02}"
    kind = made.choice(("paid", "open", "late"))
    return f"{made.randrange(10**9)},{city},{made.gauss(20, 5):.4f},{day},{kind},EUR\r\n".encode()


def _read_file(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(_READ_SIZE):
            yield chunk


def _count(chunks: Iterable[bytes], target: str) -> None:
    """Takes all, and throws it away."""
    size = 0
    for chunk in chunks:
        size += len(chunk)


def _save(chunks: Iterable[bytes], target: str) -> None:
    """Makes a file of all."""
    with open(target, "wb") as file:
        file.writelines(chunks)


def _take_slowly(chunks: Iterable[bytes], target: str) -> None:
    """Waits after each chunk, as a slow client makes a server wait, and leaves after a while."""
    end = time.monotonic() + _SLOW_SECONDS
    for _ in chunks:
        time.sleep(_SLOW_CHUNK)
        if time.monotonic() > end:
            return


def _abandon(chunks: Iterable[bytes], target: str) -> None:
    """Takes one chunk, and leaves after a while."""
    for _ in islice(chunks, 1):
        time.sleep(_LOOK_AWAY)


CONSUMERS: dict[str, Callable[[Iterable[bytes], str], None]] = {
    "count": _count,
    "save": _save,
    "slow": _take_slowly,
    "abandon": _abandon,
}
"""Who takes the chunks."""


def _digest_members(path: str) -> int:
    """A number that two archives share if zipfile reads the same members from them.

    Folders do not count: not every package makes members of them.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        if damaged is not None:
            raise SystemExit(f"{damaged} is damaged")
        found = [info for info in archive.infolist() if not info.is_dir()]
    members = sorted((info.filename, info.file_size, info.CRC) for info in found)
    return zlib.crc32(repr(members).encode())


def _measure_cpu() -> float:
    """Seconds of this process, and of its children that have ended."""
    return sum(os.times()[:4])


def main() -> None:
    """Does what the command line tells."""
    package, source, level, consumer, target, steps = sys.argv[1:]
    module, make_stream = STREAMS[package]
    importlib.import_module(module)
    _make_rows()
    used, began = _measure_cpu(), time.perf_counter()
    chunks = make_stream(source, int(level))
    first = next(chunk for chunk in chunks if chunk)
    came = time.perf_counter()
    CONSUMERS[consumer](chain([first], chunks), target)
    left = time.perf_counter()
    if isinstance(chunks, Generator):
        chunks.close()
    ended = time.perf_counter()
    if consumer == "abandon":
        time.sleep(_LOOK_AWAY)  # what still works then, works for nobody
    told = {
        "first": came - began,
        "all": ended - began,
        "close": ended - left,
        "cpu": _measure_cpu() - used,
    }
    if consumer == "save":
        told["digest"] = _digest_members(target)
    with open(steps, "w", encoding="utf-8") as file:
        json.dump(told, file)


if __name__ == "__main__":
    main()
