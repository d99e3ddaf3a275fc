"""The cache by itself: what was kept is found, what is damaged is not, and what is old goes."""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import json
import logging
import os
import random
import re
import shutil
import stat
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from io import FileIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parazip
from parazip import cache as cache_module
from parazip import files
from parazip.cache import LIMIT, Cache, CachedPart, Usage
from parazip.codecs import libraries
from parazip.codecs.levels import Coder, Recipe
from parazip.errors import OutputError, SettingsError, SourceError
from parazip.format.values import Entry, Record
from parazip.keys import identify_by_content, identify_by_stat, make_key
from parazip.model import ArchiveMember, File, Member, Range, Tally

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions only")

HEAD = struct.Struct("<8s2IQI")
"""Magic, lengths of description, directory and data, CRC-32 of the data."""

KEY = "0f" + "5a" * 31
TALLIES = {"libdeflate 5": Tally(3, 1000, 400), "stored": Tally(1, 9, 9)}
DIRECTORY = b"central directory headers"
DATA = random.Random(1).randbytes(100)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def keep(cache: Cache, key: str = KEY, *data: bytes) -> None:
    chunks = data or (DATA,)
    cache.keep(key, TALLIES, DIRECTORY, sum(map(len, chunks)), chunks)


def place(cache: Cache, key: str = KEY) -> Path:
    return Path(cache.folder, "parts-1", key[:2], key[2:])


def numbered(number: int) -> str:
    """A key; those of 16 numbers share a folder."""
    return f"{number >> 4:02x}" + f"{number & 15:x}" * 62


def everything(cache: Cache) -> list[str]:
    """All files in the folder of a cache, by their paths in it."""
    folder = Path(cache.folder)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def data_of(kept: CachedPart) -> bytes:
    """The data of a part as they stand in its file."""
    (piece,) = kept.part.data
    assert isinstance(piece, Range)
    with files.open_unchanged(piece.file) as file:
        return bytes(
            files.fill_view(piece.file, file, piece.offset, memoryview(bytearray(len(piece))))
        )


def recalled(cache: Cache, key: str = KEY) -> bytes | None:
    """The data of a part that is found and whole."""
    kept = cache.find(key)
    if kept is None:
        return None
    data = data_of(kept)
    return data if zlib.crc32(data) == kept.crc else None


# --- What was kept is found ------------------------------------------------------------------


CHUNKS: dict[str, tuple[bytes, ...]] = {
    "one chunk": (DATA,),
    "many chunks": tuple(DATA[i : i + 7] for i in range(0, len(DATA), 7)),
    "empty chunks": (b"", DATA, b"", DATA, b""),
    "no chunk": (),
    "chunks of a MiB": (bytes(1 << 20), random.Random(2).randbytes(1 << 20), b"end"),
}


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("directory", [DIRECTORY, b"", b"x" * 100_000], ids=["short", "no", "long"])
@pytest.mark.parametrize("tallies", [TALLIES, {}], ids=["tallies", "no tallies"])
def test_what_was_kept_is_found(
    cache: Cache, tallies: dict[str, Tally], directory: bytes, chunks: tuple[bytes, ...]
) -> None:
    data = b"".join(chunks)
    cache.keep(KEY, tallies, directory, len(data), iter(chunks))
    for opened in (cache, Cache(cache.folder)):
        kept = opened.find(KEY)
        assert kept is not None
        assert kept.part.tallies == tallies
        assert all(type(tally) is Tally for tally in kept.part.tallies.values())
        assert kept.part.directory == directory
        assert kept.crc == zlib.crc32(data)
        assert data_of(kept) == data
        assert opened.notes == []


def test_what_was_not_kept_is_not_found_and_looking_makes_nothing(cache: Cache) -> None:
    assert cache.find(KEY) is None
    assert cache.usage() == Usage(0, 0)
    assert cache.prune(0) == Usage(0, 0)
    assert cache.clear() == Usage(0, 0)
    cache.close()
    assert not os.path.exists(cache.folder)
    keep(cache)
    assert cache.find("f" * 64) is None
    assert cache.find(KEY[:-1] + "0") is None
    assert cache.notes == []


def test_keeping_it_again_replaces_it(cache: Cache) -> None:
    keep(cache, KEY, b"as long as it was before")
    keep(cache, KEY, b"now")
    assert recalled(cache) == b"now"
    assert cache.usage() == Usage(1, place(cache).stat().st_size)


def test_a_part_has_the_place_and_the_layout_that_are_told(cache: Cache) -> None:
    keep(cache)
    assert everything(cache) == [f"parts-1/{KEY[:2]}/{KEY[2:]}", "parts-1/CACHEDIR.TAG"]
    data = place(cache).read_bytes()
    magic, description, directory, length, crc = HEAD.unpack_from(data)
    assert (magic, directory, length, crc) == (
        b"parazip1",
        len(DIRECTORY),
        len(DATA),
        zlib.crc32(DATA),
    )
    front = data[: HEAD.size + description + directory]
    assert json.loads(front[HEAD.size :][:description]) == {
        "key": KEY,
        "tallies": {coder: list(tally) for coder, tally in TALLIES.items()},
    }
    assert front.endswith(DIRECTORY)
    assert data == front + zlib.crc32(front).to_bytes(4, "little") + DATA


def test_the_folder_says_that_it_is_a_cache(cache: Cache) -> None:
    keep(cache)
    tag = Path(cache.folder, "parts-1/CACHEDIR.TAG")
    assert tag.read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    cache.clear()
    keep(cache)
    assert tag.is_file()
    assert cache.notes == []


@POSIX
@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_nobody_else_can_look_into_parts(cache: Cache, umask: int) -> None:
    before = os.umask(umask)
    try:
        keep(cache)
    finally:
        os.umask(before)
    assert stat.S_IMODE(place(cache).parents[1].stat().st_mode) == 0o700
    assert stat.S_IMODE(place(cache).parent.stat().st_mode) == 0o700


@POSIX
def test_nobody_else_can_put_other_parts_in_their_place(cache: Cache) -> None:
    before = os.umask(0)
    try:
        keep(cache)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(cache.folder).st_mode) == 0o700


# --- Where, and how much ---------------------------------------------------------------------


FOLDERS: dict[str, tuple[str | Path | None, str | None, str]] = {
    "told": ("here", None, "{cwd}/here"),
    "told as a path": (Path("here"), None, "{cwd}/here"),
    "told absolutely": ("/far/away", None, "/far/away"),
    "told and in the environment": ("here", "there", "{cwd}/here"),
    "in the environment": (None, "there", "{cwd}/there"),
    "in the environment absolutely": (None, "/far/away", "/far/away"),
    "empty in the environment": (None, "", "{user}"),
    "nowhere": (None, None, "{user}"),
}


@POSIX
@pytest.mark.parametrize(("given", "variable", "expected"), FOLDERS.values(), ids=FOLDERS)
def test_the_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: str | Path | None,
    variable: str | None,
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.delenv("PARAZIP_CACHE_DIR")
    if variable is not None:
        monkeypatch.setenv("PARAZIP_CACHE_DIR", variable)
    user = tmp_path / ("user" if sys.platform != "darwin" else "")
    cache = Cache(given)
    if expected == "{user}":
        assert os.path.basename(cache.folder) == "parazip"
        assert cache.folder.startswith(str(user)) or sys.platform == "darwin"
    else:
        assert cache.folder == expected.format(cwd=tmp_path)
    monkeypatch.chdir("/")
    assert cache.folder == os.path.abspath(cache.folder)


LIMITS: dict[str, tuple[int | str | None, str | None, int]] = {
    "bytes": (12345, None, 12345),
    "nothing": (0, None, 0),
    "text": ("1.5M", None, 3 << 19),
    "text without a unit": ("77", None, 77),
    "told and in the environment": ("2G", "1G", 2 << 30),
    "nothing told and in the environment": (0, "1G", 0),
    "told, and nonsense in the environment": ("2G", "nonsense", 2 << 30),
    "in the environment": (None, "3GiB", 3 << 30),
    "empty, and in the environment": ("", "3GiB", 3 << 30),
    "empty": ("", None, LIMIT),
    "empty in the environment": (None, "", LIMIT),
    "nowhere": (None, None, LIMIT),
}


@pytest.mark.parametrize(("given", "variable", "expected"), LIMITS.values(), ids=LIMITS)
def test_the_limit(
    monkeypatch: pytest.MonkeyPatch, given: int | str | None, variable: str | None, expected: int
) -> None:
    if variable is not None:
        monkeypatch.setenv("PARAZIP_CACHE_SIZE", variable)
    assert Cache("here", given).limit == expected


@pytest.mark.parametrize("size", ["much", "-1", "1X", "1e9", "9" * 40])
def test_a_wrong_limit_is_told(monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    with pytest.raises(SettingsError, match=size):
        Cache("here", size)
    monkeypatch.setenv("PARAZIP_CACHE_SIZE", size)
    with pytest.raises(SettingsError, match=f"PARAZIP_CACHE_SIZE.*'{size}' is"):
        Cache("here")


@pytest.mark.parametrize(("limit", "kept"), [(0, False), (99, False), (100, True), (1000, True)])
def test_a_part_over_the_limit_is_not_kept(tmp_path: Path, limit: int, kept: bool) -> None:
    cache = Cache(tmp_path / "cache", limit)
    keep(cache)
    assert os.path.exists(cache.folder) is kept
    assert (recalled(cache) == DATA) is kept
    assert not any("tmp-" in name for name in everything(cache))


# --- What is damaged is not found ------------------------------------------------------------


def assert_thrown_away(cache: Cache, why: str = "") -> None:
    assert recalled(cache) is None
    assert not os.path.lexists(place(cache))
    (note,) = cache.notes
    assert "damaged part" in note
    assert str(place(cache)) in note
    assert why in note
    assert recalled(cache) is None
    assert len(cache.notes) == 1


def test_no_changed_bit_gets_through(cache: Cache) -> None:
    keep(cache)
    path = place(cache)
    good = path.read_bytes()
    begin = len(good) - len(DATA)
    for position, flip in itertools.product(range(len(good)), (0x01, 0x80, 0xFF)):
        bad = bytearray(good)
        bad[position] ^= flip
        path.write_bytes(bad)
        fresh = Cache(cache.folder)
        if position < begin:
            assert_thrown_away(fresh)
            path.write_bytes(good)
        else:  # whoever copies them compares
            assert fresh.find(KEY) is not None
            assert recalled(fresh) is None
            assert fresh.notes == []
    path.write_bytes(good)
    assert recalled(Cache(cache.folder)) == DATA


def test_no_other_length_gets_through(cache: Cache) -> None:
    keep(cache)
    path = place(cache)
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        assert_thrown_away(Cache(cache.folder))
    for more in (b"\0", b"PK", good):
        path.write_bytes(good + more)
        assert_thrown_away(Cache(cache.folder), "it is not whole")


def sealed(head: bytes, told: bytes) -> bytes:
    """A file with the right CRC-32 over whatever its front says."""
    return head + told + zlib.crc32(head + told).to_bytes(4, "little") + DATA


def described(text: str) -> bytes:
    told = text.encode()
    return sealed(HEAD.pack(b"parazip1", len(told), 0, len(DATA), zlib.crc32(DATA)), told)


def claiming(description: int, directory: int, length: int) -> bytes:
    told = json.dumps({"key": KEY, "tallies": {}}).encode() + DIRECTORY
    return sealed(HEAD.pack(b"parazip1", description, directory, length, zlib.crc32(DATA)), told)


FITTING = len(json.dumps({"key": KEY, "tallies": {}}))

IMPOSTERS = [
    pytest.param(b"", id="empty"),
    pytest.param(random.Random(3).randbytes(50_000), id="noise"),
    pytest.param(bytes(50_000), id="zeros"),
    pytest.param(b"PK\3\4" + bytes(500), id="a zip"),
    pytest.param(claiming(2**32 - 1, 0, 0), id="a huge description"),
    pytest.param(claiming(0, 2**32 - 1, 0), id="a huge directory"),
    pytest.param(claiming(0, 0, 2**64 - 1), id="huge data"),
    pytest.param(claiming(2**32 - 1, 2**32 - 1, 2**64 - 1), id="all huge"),
    pytest.param(claiming(FITTING + 1, len(DIRECTORY) - 1, len(DATA)), id="a shifted directory"),
    pytest.param(claiming(FITTING - 1, len(DIRECTORY) + 1, len(DATA)), id="a shifted description"),
    pytest.param(claiming(FITTING, len(DIRECTORY) + 1, len(DATA) - 1), id="shifted data"),
    pytest.param(claiming(0, 0, FITTING + len(DIRECTORY) + len(DATA)), id="data alone"),
    pytest.param(sealed(HEAD.pack(b"parazip2", 0, 0, len(DATA), 0), b""), id="another magic"),
    pytest.param(described(""), id="no description"),
    pytest.param(described("{}"), id="an empty description"),
    pytest.param(described("[]"), id="a list for a description"),
    pytest.param(described("7"), id="a number for a description"),
    pytest.param(described("9" * 5000), id="a number beyond all"),
    pytest.param(described("[" * 100_000), id="a deep description"),
    pytest.param(described(f'{{"key":"{KEY}"}}'), id="no tallies"),
    pytest.param(described(f'{{"key":"{"0" * 64}","tallies":{{}}}}'), id="another key"),
    pytest.param(described(f'{{"key":"{KEY}","tallies":{{"a":1}}}}'), id="no list of numbers"),
    pytest.param(described(f'{{"key":"{KEY}","tallies":{{"a":[1]}}}}'), id="too few numbers"),
    pytest.param(described(f'{{"key":"{KEY}","tallies":{{"a":[1,"x",2]}}}}'), id="no numbers"),
    pytest.param(described(f'{{"key":"{KEY}","tallies":[]}}'), id="a list of tallies"),
    pytest.param(
        described(f'{{"key":"{KEY}","tallies":{{"a":[1,Infinity,1]}}}}'),
        id="infinite tallies",
    ),
]


@pytest.mark.parametrize("imposter", IMPOSTERS)
def test_what_is_no_part_is_thrown_away_and_can_be_kept_again(
    cache: Cache, imposter: bytes
) -> None:
    keep(cache)
    place(cache).write_bytes(imposter)
    assert_thrown_away(cache)
    keep(cache)
    assert recalled(cache) == DATA


def test_another_keys_part_is_thrown_away(cache: Cache) -> None:
    keep(cache)
    keep(cache, numbered(1), b"other")
    shutil.copy(place(cache, numbered(1)), place(cache))
    assert_thrown_away(cache, "it belongs to another key")
    assert recalled(cache, numbered(1)) == b"other"


def test_a_link_to_nowhere_is_no_part(cache: Cache) -> None:
    keep(cache)
    place(cache).unlink()
    place(cache).symlink_to("nowhere")
    assert recalled(cache) is None
    keep(cache)
    assert recalled(cache) == DATA
    assert not place(cache).is_symlink()


def test_a_folder_is_no_part(cache: Cache) -> None:
    keep(cache)
    place(cache).unlink()
    place(cache).mkdir()
    assert recalled(cache) is None
    keep(cache)
    assert recalled(cache) == DATA
    assert len(cache.notes) == 1


def test_a_part_that_cannot_be_read_is_told_once_and_can_be_kept_again(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(cache)
    keep(cache, numbered(1))

    def refuse(path: Any, mode: str = "r", buffering: int = -1, **more: Any) -> Any:
        if mode == "rb":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return io.open(path, mode, buffering, **more)  # noqa: UP020 - `open` is what is replaced

    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "open", refuse, raising=False)
        assert cache.find(KEY) is None
        assert cache.find(numbered(1)) is None
        keep(cache)
    (note,) = cache.notes
    assert "cannot be read: Permission denied" in note
    assert recalled(cache) == DATA


@POSIX
def test_a_part_without_permissions_is_told_and_replaced(cache: Cache) -> None:
    keep(cache)
    place(cache).chmod(0)
    if os.access(place(cache), os.R_OK):
        pytest.skip("root reads it all")
    assert cache.find(KEY) is None
    assert "Permission denied" in cache.notes[0]
    keep(cache)
    assert recalled(cache) == DATA
    assert len(cache.notes) == 1


def test_discarding_tells_why_and_once(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    keep(cache)
    keep(cache, numbered(1))
    with caplog.at_level(logging.INFO, "parazip.cache"):
        cache.discard(KEY, "it is ugly")
        cache.discard(numbered(1), "it is ugly, too")
        cache.discard(numbered(2), "it was never there")
    assert cache.usage() == Usage(0, 0)
    assert len(cache.notes) == 1
    assert "(it is ugly)" in cache.notes[0]
    told = [(record.name, record.levelno, record.getMessage()) for record in caplog.records]
    assert told == [("parazip.cache", logging.INFO, cache.notes[0])]


# --- What goes wrong while a part is kept ----------------------------------------------------


class Disk:
    """Opens files for the cache; the write with a number is too much for the disk.

    Half of it is still written, as disks do. Bites are the most bytes that a write takes.
    """

    def __init__(self, full_at: int = 0, bite: int = 1 << 30) -> None:
        self.full_at = full_at
        self.bite = bite
        self.writes = 0
        self.opened = 0

    def open(self, path: Any, mode: str = "r", buffering: int = -1, **more: Any) -> Any:
        if mode != "xb":
            return io.open(path, mode, buffering, **more)  # noqa: UP020 - `open` is what is replaced
        self.opened += 1
        disk = self

        class Opened(FileIO):
            def write(self, data: Any, /) -> int:
                disk.writes += 1
                if disk.writes == disk.full_at:
                    super().write(memoryview(data)[: len(data) // 2])
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return super().write(memoryview(data)[: disk.bite])

        return Opened(path, mode)


def test_a_full_disk_leaves_nothing_whenever_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for full_at in itertools.count(1):
        cache = Cache(tmp_path / f"{full_at}")
        disk = Disk(full_at)
        monkeypatch.setattr(cache_module, "open", disk.open, raising=False)
        caplog.clear()
        with caplog.at_level(logging.INFO, "parazip.cache"):
            keep(cache, KEY, b"one", b"two", b"three")
        if disk.writes < full_at:
            break
        assert everything(cache) == ["parts-1/CACHEDIR.TAG"]
        assert recalled(cache) is None
        (note,) = cache.notes
        assert note == f"nothing more was kept in the cache {cache.folder}: No space left on device"
        assert [record.getMessage() for record in caplog.records] == [note]
        keep(cache)
        assert disk.opened == 1, "it is tried once more"
        keep(Cache(cache.folder))
        assert recalled(cache) == DATA
    assert full_at == 5
    assert recalled(cache) == b"onetwothree"
    assert cache.notes == []


@pytest.mark.parametrize("bite", [1, 3, 50])
def test_a_disk_that_takes_little_at_a_time_gets_it_all(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, bite: int
) -> None:
    disk = Disk(bite=bite)
    monkeypatch.setattr(cache_module, "open", disk.open, raising=False)
    keep(cache)
    assert disk.writes > len(DATA) // bite
    assert recalled(cache) == DATA


class System:
    """The module `os`, of which some functions fail."""

    def __init__(self, *failing: str, error: int) -> None:
        self._failing = failing
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return self._fail if name in self._failing else getattr(os, name)

    def _fail(self, *args: object, **more: object) -> None:
        raise OSError(self._error, os.strerror(self._error))


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("function", ["makedirs", "replace"])
def test_a_system_that_refuses_is_told_once(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, function: str, error: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "os", System(function, error=error))
        keep(cache)
        keep(cache, numbered(1))
    (note,) = cache.notes
    assert note.startswith(f"nothing more was kept in the cache {cache.folder}: ")
    assert note.endswith(os.strerror(error))
    assert set(everything(cache)) <= {"parts-1/CACHEDIR.TAG"}
    assert recalled(cache) is None


def test_a_time_of_use_that_cannot_be_set_is_no_matter(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(cache)
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "os", System("utime", error=errno.EROFS))
        assert recalled(cache) == DATA
    assert cache.notes == []


def test_data_that_cannot_be_read_are_not_kept(cache: Cache) -> None:
    def failing() -> Iterable[bytes]:
        yield b"one"
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    cache.keep(KEY, TALLIES, DIRECTORY, 6, failing())
    assert everything(cache) == ["parts-1/CACHEDIR.TAG"]
    assert len(cache.notes) == 1


def test_data_of_another_length_are_not_found(cache: Cache) -> None:
    for length in (0, len(DATA) - 1, len(DATA) + 1):
        cache.keep(KEY, TALLIES, DIRECTORY, length, [DATA])
        assert_thrown_away(Cache(cache.folder), "it is not whole")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError, MemoryError])
def test_what_is_no_fault_of_the_disk_is_raised_and_leaves_nothing(
    cache: Cache, error: type[BaseException]
) -> None:
    def failing() -> Iterable[bytes]:
        yield b"one"
        raise error("on purpose")

    with pytest.raises(error, match="on purpose"):
        cache.keep(KEY, TALLIES, DIRECTORY, 6, failing())
    assert everything(cache) == ["parts-1/CACHEDIR.TAG"]
    assert cache.notes == []
    keep(cache)
    assert recalled(cache) == DATA


# --- What was used longest ago goes ----------------------------------------------------------


def used(cache: Cache, number: int, second: int) -> None:
    """Sets the time when a part was used last."""
    os.utime(place(cache, numbered(number)), (second, 1_000_000_000))


def those_left(cache: Cache) -> list[int]:
    return [number for number in range(40) if place(cache, numbered(number)).exists()]


USES = (3, 1, 4, 0, 2)
"""Parts in the order in which they were used."""


@pytest.mark.parametrize("left", range(7))
@pytest.mark.parametrize("spare", [0, 1, -1])
def test_pruning_leaves_what_was_used_last(cache: Cache, left: int, spare: int) -> None:
    for number in USES:
        keep(cache, numbered(number))
        used(cache, number, 1_000_000_000 + USES.index(number))
    size = place(cache, numbered(0)).stat().st_size
    assert cache.usage() == Usage(5, 5 * size)
    gone = cache.prune(left * size + spare)
    count = max(0, min(5, left - (spare < 0)))
    assert those_left(cache) == sorted(USES[5 - count :])
    assert gone == Usage(5 - count, (5 - count) * size)
    assert cache.usage() == Usage(count, count * size)
    for number in those_left(cache):
        assert recalled(cache, numbered(number)) == DATA
    assert cache.notes == []


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 5000), max_size=8),
    order=st.randoms(use_true_random=False),
    limit=st.integers(0, 30_000),
)
def test_pruning_throws_away_no_more_than_it_must(
    sizes: list[int], order: random.Random, limit: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(folder)
        uses = list(range(len(sizes)))
        order.shuffle(uses)
        for number, size in enumerate(sizes):
            keep(cache, numbered(number), bytes(size))
            used(cache, number, 1_000_000_000 + uses.index(number))
        lengths = [place(cache, numbered(number)).stat().st_size for number in range(len(sizes))]
        expected = list(uses)
        while sum(lengths[number] for number in expected) > limit:
            expected.pop(0)
        gone = cache.prune(limit)
        assert those_left(cache) == sorted(expected)
        assert gone.size == sum(lengths) - cache.usage().size
        assert gone.parts == len(sizes) - len(expected)


def test_finding_a_part_counts_as_use_and_changes_nothing_else(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        keep(cache, numbered(number))
        used(cache, number, 1_000_000_000 + number)
    before = place(cache, numbered(1)).stat()
    # Far away from now: reading sets the same time, on some systems and on some days.
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "time", SimpleNamespace(time_ns=lambda: 2 * 10**18))
        assert cache.find(numbered(1)) is not None
    after = place(cache, numbered(1)).stat()
    assert after.st_atime_ns == 2 * 10**18
    assert after.st_mtime_ns == before.st_mtime_ns
    cache.prune(2 * before.st_size)
    assert those_left(cache) == [1, 3]
    assert recalled(cache, numbered(1)) == DATA


def test_keeping_a_part_counts_as_use(cache: Cache) -> None:
    for number in range(3):
        keep(cache, numbered(number))
        used(cache, number, 1_000_000_000 + number)
    keep(cache, numbered(0))
    cache.prune(2 * place(cache, numbered(0)).stat().st_size)
    assert those_left(cache) == [0, 2]


def test_closing_makes_room_if_something_was_added(tmp_path: Path) -> None:
    large = Cache(tmp_path)
    for number in range(5):
        keep(large, numbered(number))
        used(large, number, 1_000_000_000 + number)
    size = place(large, numbered(0)).stat().st_size
    small = Cache(tmp_path, 3 * size)
    assert recalled(small, numbered(2)) == DATA
    small.close()
    assert those_left(small) == [0, 1, 2, 3, 4]
    keep(small, numbered(5))
    small.close()
    assert those_left(small) == [2, 4, 5]
    assert small.usage() == Usage(3, 3 * size)
    assert small.notes == []


def test_closing_within_the_limit_throws_nothing_away(cache: Cache) -> None:
    for number in range(20):
        keep(cache, numbered(number))
    cache.close()
    assert those_left(cache) == list(range(20))


def test_pruning_goes_on_where_something_cannot_be_deleted(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        keep(cache, numbered(number))
        used(cache, number, 1_000_000_000 + number)
    size = place(cache, numbered(0)).stat().st_size
    held = place(cache, numbered(0)).name

    class Holding(System):
        def unlink(self, path: str, **more: Any) -> None:
            if os.path.basename(path) == held:
                self._fail()
            os.unlink(path, **more)

    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "os", Holding(error=errno.EPERM))
        assert cache.prune(0) == Usage(2, 2 * size)
    assert those_left(cache) == [0]


@pytest.mark.parametrize(("seconds", "stays"), [(0, True), (3590, True), (3610, False)])
def test_what_killed_processes_left_goes_after_an_hour(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, seconds: int, stays: bool
) -> None:
    keep(cache)
    left = Path(cache.folder, "parts-1", "tmp-0123456789abcdef")
    left.write_bytes(b"half a part")
    later = left.stat().st_mtime + seconds
    patched = SimpleNamespace(time=lambda: later, time_ns=lambda: int(later * 1e9))
    monkeypatch.setattr(cache_module, "time", patched)
    assert cache.usage().parts == 1
    assert cache.prune(1 << 30) == Usage(0, 0)
    assert left.exists() is stays
    assert recalled(cache) == DATA


def test_clearing_leaves_what_is_not_ours(cache: Cache) -> None:
    for number in range(40):
        keep(cache, numbered(number))
    foreign = [
        Path(cache.folder, "notes.txt"),
        Path(cache.folder, "folder", "notes.txt"),
        Path(cache.folder, "parts-2", "00", "of the future"),
    ]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("not ours")
    Path(cache.folder, "parts-1", "tmp-0123456789abcdef").write_bytes(b"half a part")
    usage = cache.usage()
    assert usage == Usage(40, 40 * place(cache, numbered(0)).stat().st_size)
    assert cache.clear() == usage
    assert cache.usage() == cache.clear() == Usage(0, 0)
    names = [str(path.relative_to(cache.folder)) for path in foreign]
    assert everything(cache) == sorted(names)
    assert not os.path.exists(os.path.join(cache.folder, "parts-1"))
    keep(cache)
    assert recalled(cache) == DATA


def test_what_cannot_be_cleared_is_an_error(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any, **more: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)

    keep(cache)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        with pytest.raises(OutputError, match=r"cannot .*parts-1"):
            cache.clear()
    assert recalled(cache) == DATA
    assert cache.clear().parts == 1


def test_clearing_goes_on_where_another_process_prunes(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        keep(cache, numbered(number))
    unlink = os.unlink
    deleted: list[object] = []

    def unlink_late(path: Any, **more: Any) -> None:
        unlink(path, **more)
        deleted.append(path)
        if len(deleted) == 2:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink_late)
        assert cache.clear().parts == 5
    assert cache.usage() == Usage(0, 0)


def test_clearing_is_no_error_where_another_process_keeps(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(cache)
    rmtree = shutil.rmtree

    def rmtree_slowly(path: Any, **more: Any) -> None:
        rmtree(path, **more)
        keep(Cache(cache.folder), numbered(1))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", rmtree_slowly)
        assert cache.clear().parts == 1


# --- Keys ------------------------------------------------------------------------------------


OLD = 1_600_000_000_123_456_789
"""Long ago, in nanoseconds since 1970."""

RECIPE = Recipe(Coder("libdeflate", 5), Coder("zlib-ng", 5), 16 << 20)
FILE = File("/tree/a", 1000, OLD, 77, OLD)
MEMBER = Member("a", FILE, 0o100644 << 16, 0x5264_28C4)
RECORD = Record(b"a", 0, 8, 0x5264_28C4, 1234, 500, 1000, 0o100644 << 16, 0)
ARCHIVE = File("/wheel", 5000, OLD, 78, OLD)
PACKED = MEMBER._replace(source=ArchiveMember(ARCHIVE, Entry("a", RECORD, 600)))
LINK = Member("link", b"target", 0o120777 << 16, 0x5264_28C4)
MEMBERS = [MEMBER, LINK, PACKED._replace(name="packed")]

named = partial(make_key, identity=identify_by_stat)


def of_file(**changes: Any) -> list[Member]:
    return [MEMBER._replace(source=FILE._replace(**changes)), *MEMBERS[1:]]


def of_member(**changes: Any) -> list[Member]:
    return [MEMBER._replace(**changes), *MEMBERS[1:]]


def of_link(**changes: Any) -> list[Member]:
    return [MEMBER, LINK._replace(**changes), MEMBERS[2]]


def of_packed(source: ArchiveMember) -> list[Member]:
    return [*MEMBERS[:2], PACKED._replace(name="packed", source=source)]


OTHER_KEYS: dict[str, Callable[[], str]] = {
    "none": lambda: named(MEMBERS, RECIPE),
    "size": lambda: named(of_file(size=1001), RECIPE),
    "modification time": lambda: named(of_file(mtime_ns=OLD + 1), RECIPE),
    "inode": lambda: named(of_file(inode=79), RECIPE),
    "change time": lambda: named(of_file(ctime_ns=OLD + 1), RECIPE),
    "name": lambda: named(of_member(name="b"), RECIPE),
    "mode": lambda: named(of_member(attributes=0o100755 << 16), RECIPE),
    "date": lambda: named(of_member(date=0x5264_28C5), RECIPE),
    "stored": lambda: named(of_member(store=True), RECIPE),
    "bytes for a file": lambda: named(of_member(source=b"contents"), RECIPE),
    "nothing for a file": lambda: named(of_member(source=b""), RECIPE),
    "target of a link": lambda: named(of_link(source=b"other"), RECIPE),
    "archive that is copied from": lambda: named(
        of_packed(ArchiveMember(ARCHIVE._replace(mtime_ns=OLD + 1), Entry("a", RECORD, 600))),
        RECIPE,
    ),
    "record that is copied": lambda: named(
        of_packed(ArchiveMember(ARCHIVE, Entry("a", RECORD._replace(offset=9), 600))), RECIPE
    ),
    "order": lambda: named(MEMBERS[::-1], RECIPE),
    "fewer members": lambda: named(MEMBERS[:2], RECIPE),
    "more members": lambda: named([*MEMBERS, MEMBER._replace(name="b")], RECIPE),
    "coder of whole members": lambda: named(MEMBERS, RECIPE._replace(whole=Coder("libdeflate", 6))),
    "coder of blocks": lambda: named(MEMBERS, RECIPE._replace(block=Coder("zlib", 5))),
    "where members are cut": lambda: named(MEMBERS, RECIPE._replace(cut=1 << 20)),
    "coder of what does not shrink": lambda: named(
        MEMBERS, RECIPE._replace(plain=Coder("zlib", 0))
    ),
    "something more": lambda: named(MEMBERS, RECIPE, "more"),
    "something else more": lambda: named(MEMBERS, RECIPE, "mo", "re"),
    "contents": lambda: make_key(MEMBERS, RECIPE, identity=lambda file: "a"),
    "other contents": lambda: make_key(MEMBERS, RECIPE, identity=lambda file: "b"),
}


def test_whatever_determines_the_bytes_determines_the_key() -> None:
    keys = {what: make() for what, make in OTHER_KEYS.items()}
    assert len(set(keys.values())) == len(keys)
    for made in keys.values():
        assert len(made) == 64
        assert not made.strip("0123456789abcdef")
    assert keys == {what: make() for what, make in OTHER_KEYS.items()}


@pytest.mark.parametrize("what", ["libraries", "layout"])
def test_other_versions_have_other_keys(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    before = named(MEMBERS, RECIPE)
    if what == "libraries":
        monkeypatch.setattr("parazip.keys._codec_versions", lambda: "isal 99")
    else:
        monkeypatch.setattr("parazip.keys.LAYOUT", "parts-2")
    assert named(MEMBERS, RECIPE) != before


@pytest.mark.parametrize("library", [*libraries.LIBRARIES, "cpu"])
def test_each_library_and_the_cpu_count_as_versions(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    before = libraries.describe_versions()
    assert before == libraries.describe_versions()
    if library == "cpu":
        monkeypatch.setattr(libraries, "_describe_cpu", lambda: "another")
    else:
        another = libraries.LIBRARIES[library]._replace(version="99.99.99")
        monkeypatch.setitem(libraries.LIBRARIES, library, another)
    assert libraries.describe_versions() != before


def test_where_a_file_is_makes_no_other_key() -> None:
    assert named(of_file(path="/elsewhere/x"), RECIPE) == named(MEMBERS, RECIPE)


def test_by_contents_only_the_contents_of_a_file_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parazip.keys._TICK_NS", 0)
    monkeypatch.setattr("parazip.keys._COARSE_TICK_NS", 0)
    keys = []
    for name, contents in (("one", b"same"), ("two", b"same"), ("three", b"Same")):
        path = tmp_path / name
        path.write_bytes(contents)
        file = files.describe_file(str(path), path.stat())
        keys.append(make_key([MEMBER._replace(source=file)], RECIPE, identity=identify_by_content))
    assert keys[0] == keys[1] != keys[2]


def test_names_beyond_ascii_have_keys() -> None:
    names = ["\u00e4", "a\u0308", "\U0001f4e6", "a\nb", "a'b", "a\\b"]
    assert len({named(of_member(name=name), RECIPE) for name in names}) == len(names)


# --- What was just changed may change again --------------------------------------------------


NOW = 1_700_000_000_123_456_789
SECOND = 1_700_000_000_000_000_000
MS = 1_000_000

FRESHNESS: dict[str, tuple[int, int, int, bool]] = {  # now, mtime, ctime, whether it is certain
    "all is old": (NOW, OLD, OLD, True),
    "changed this very moment": (NOW, NOW, NOW, False),
    "changed 99 ms ago": (NOW, OLD, NOW - 99 * MS, False),
    "changed 100 ms ago": (NOW, OLD, NOW - 100 * MS, False),
    "changed 101 ms ago": (NOW, OLD, NOW - 101 * MS, True),
    "written 99 ms ago": (NOW, NOW - 99 * MS, NOW - 99 * MS, False),
    "written 101 ms ago": (NOW, NOW - 101 * MS, NOW - 101 * MS, True),
    "written 99 ms ago, on Windows": (NOW, NOW - 99 * MS, 0, False),
    "written 101 ms ago, on Windows": (NOW, NOW - 101 * MS, 0, True),
    "whole seconds, 1.9 s ago": (SECOND + 1900 * MS, OLD, SECOND, False),
    "whole seconds, 2 s ago": (SECOND + 2000 * MS, OLD, SECOND, False),
    "whole seconds, 2.1 s ago": (SECOND + 2100 * MS, OLD, SECOND, True),
    "whole seconds, on Windows": (SECOND + 1900 * MS, SECOND, 0, False),
    "put back to whole seconds": (SECOND + 1900 * MS, SECOND, SECOND + 1 * MS, True),
    "of the future": (NOW, NOW + 1, OLD, False),
    "of the far future": (NOW, NOW * 2, OLD, False),
}


@pytest.mark.parametrize(("now", "mtime", "ctime", "certain"), FRESHNESS.values(), ids=FRESHNESS)
def test_files_of_just_now_have_no_key(
    monkeypatch: pytest.MonkeyPatch, now: int, mtime: int, ctime: int, certain: bool
) -> None:
    monkeypatch.setattr("parazip.keys.time", SimpleNamespace(time_ns=lambda: now))
    monkeypatch.setattr(files, "hash_file", lambda file: "contents")
    file = File("x", 1, mtime, 1, ctime)
    for source in (file, ArchiveMember(file, Entry("a", RECORD, 600))):
        for identity in (identify_by_stat, identify_by_content):
            members = [LINK, MEMBER._replace(name="x", source=source)]
            assert bool(make_key(members, RECIPE, identity=identity)) is certain


def test_bytes_at_hand_have_a_key_at_once() -> None:
    now = time.time_ns()
    assert named([LINK], RECIPE)
    assert not named([LINK, of_file(mtime_ns=now)[0]], RECIPE)


def test_one_file_of_just_now_is_enough() -> None:
    fresh = of_file(ctime_ns=time.time_ns())[0]
    assert named([*MEMBERS, MEMBER._replace(name="b")], RECIPE)
    assert named([*MEMBERS, fresh._replace(name="b")], RECIPE) == ""
    assert named([fresh._replace(name="b"), *MEMBERS], RECIPE) == ""


def test_a_file_of_just_now_is_not_hashed() -> None:
    with pytest.raises(SourceError):
        make_key(of_file(path="/missing"), RECIPE, identity=identify_by_content)
    fresh = of_file(path="/missing", ctime_ns=time.time_ns())
    assert make_key(fresh, RECIPE, identity=identify_by_content) == ""


def test_the_public_name_is_this_one() -> None:
    assert parazip.Cache is Cache


@POSIX
def test_a_pipe_in_place_of_a_part_keeps_nobody_waiting(cache: Cache) -> None:
    keep(cache)
    place(cache).unlink()
    os.mkfifo(place(cache))
    assert cache.find(KEY) is None
    assert not place(cache).exists()


# --- Only what is this user's alone is used --------------------------------------------------


def open_to_all(path: Path, aside: Path) -> None:
    path.chmod(path.stat().st_mode | 0o007)


def open_to_a_group(path: Path, aside: Path) -> None:
    path.chmod(path.stat().st_mode | 0o070)


def of_another_user(path: Path, aside: Path) -> None:
    if os.geteuid():
        pytest.skip("only root gives files away")
    os.chown(path, 12345, -1)


def a_link(path: Path, aside: Path) -> None:
    """To what it was itself."""
    path.rename(aside)
    path.symlink_to(aside)


def a_pipe(path: Path, aside: Path) -> None:
    path.rename(aside)
    os.mkfifo(path)


def another_kind(path: Path, aside: Path) -> None:
    """A file where a folder was, a folder where a file was."""
    path.rename(aside)
    if aside.is_dir():
        path.write_bytes(b"no folder")
    else:
        path.mkdir()


@POSIX
def test_another_users_link_is_no_cache(tmp_path: Path) -> None:
    """It would lead into a folder of ours, where nothing is to be distrusted."""
    if os.geteuid():
        pytest.skip("only root makes links of others")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (tmp_path / "mine").mkdir(mode=0o700)
    link = shared / "cache"
    link.symlink_to(tmp_path / "mine")
    cache = Cache(link)
    keep(cache)
    assert cache.find(KEY) is not None  # our own link is followed
    os.chown(link, 12345, -1, follow_symlinks=False)
    cache = Cache(link)
    assert cache.find(KEY) is None
    keep(cache)
    assert cache.clear() == Usage(0, 0)
    assert cache.notes == [
        f"the cache is not used: {link} is another user's link in a folder that everybody may "
        "write to; choose another folder with --cache-dir or PARAZIP_CACHE_DIR"
    ]
    assert Cache(tmp_path / "mine").usage().parts == 1


DISTRUSTED: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "open to all": (open_to_all, r"can be written to by others \(mode 7?\d07\)"),
    "open to a group": (open_to_a_group, r"can be written to by others \(mode 7?\d70\)"),
    "of another user": (of_another_user, r"belongs to another user \(12345, and this is 0\)"),
    "a link": (a_link, "is no folder|it is a link"),
    "a pipe": (a_pipe, "is no folder|it is a named pipe"),
    "another kind": (another_kind, "is no folder|it is a folder"),
}


@pytest.fixture(params=["by descriptor", "by name"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How folders are looked into."""
    if request.param == "by name":
        monkeypatch.setattr(cache_module, "_BY_DESCRIPTOR", False)
    return str(request.param)


@POSIX
@pytest.mark.parametrize("depth", [2, 1, 0], ids=["parts", "folder of parts", "part"])
@pytest.mark.parametrize("how", DISTRUSTED)
def test_what_others_could_have_put_there_is_not_used(
    cache: Cache, tmp_path: Path, way: str, how: str, depth: int
) -> None:
    spoil, why = DISTRUSTED[how]
    keep(cache)
    kept = cache.find(KEY)
    assert kept is not None
    path = [place(cache), *place(cache).parents][depth]
    spoil(path, tmp_path / "itself")
    with pytest.raises(OSError, match=why):  # also what was found before
        kept.opener(place(cache).as_posix(), os.O_RDONLY)
    for _ in range(2):
        assert cache.find(KEY) is None
    (note,) = cache.notes
    assert re.search(why, note)
    assert str(path) in note
    keep(cache)
    if depth:
        assert "choose another folder with --cache-dir or PARAZIP_CACHE_DIR" in note
        assert cache.find(KEY) is None
        assert cache.usage() == cache.prune(0) == cache.clear() == Usage(0, 0)
    else:
        assert "thrown away" in note
        assert recalled(cache) == DATA
    assert len(cache.notes) == 1
    fresh = Cache(cache.folder)
    assert (fresh.find(KEY) is None) is (depth > 0)


@POSIX
def test_a_folder_for_all_may_hold_the_cache(cache: Cache, way: str) -> None:
    """As /tmp does: what counts is what is in it."""
    Path(cache.folder).mkdir()
    Path(cache.folder).chmod(0o1777)
    keep(cache)
    assert recalled(cache) == DATA
    assert cache.notes == []


class Quick(System):
    """The module `os`; before one of its calls somebody renames other parts into place."""

    def __init__(self, at: int, ours: Path, theirs: Path) -> None:
        super().__init__(error=0)
        self.calls = 0
        self._at = at
        self._ours = ours
        self._theirs = theirs

    def __getattr__(self, name: str) -> Any:
        function = getattr(os, name)
        if name not in ("open", "lstat", "fstat", "mkdir", "replace"):
            return function

        def call(*args: Any, **more: Any) -> Any:
            self.calls += 1
            if self.calls == self._at:
                (self._ours / "parts-1").rename(self._ours / "gone")
                (self._theirs / "parts-1").rename(self._ours / "parts-1")
            return function(*args, **more)

        return call


@POSIX
def test_what_is_renamed_into_place_at_any_moment_is_not_used(tmp_path: Path) -> None:
    for at in itertools.count(1):
        cache, forged = Cache(tmp_path / f"{at}"), Cache(tmp_path / f"forged {at}")
        keep(cache, KEY, b"ours")
        keep(forged, KEY, b"forged")
        Path(forged.folder, "parts-1").chmod(0o777)
        system = Quick(at, Path(cache.folder), Path(forged.folder))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cache_module, "os", system)
            kept = cache.find(KEY)
            if kept is not None:
                with (
                    contextlib.suppress(SourceError),
                    open(place(cache), "rb", buffering=0, opener=kept.opener) as file,
                ):
                    assert file.read().endswith(b"ours")
            keep(cache, numbered(1), b"ours, too")
        if system.calls < at:
            break
        assert recalled(cache) is None
        assert recalled(cache, numbered(1)) is None
        assert not place(cache, numbered(1)).exists()
    assert at > 10


@pytest.mark.parametrize("given", [True, False], ids=["told", "in the environment"])
def test_a_tilde_is_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("PARAZIP_CACHE_DIR", os.path.join("~", "b"))
    cache = Cache(os.path.join("~", "a") if given else None)
    assert cache.folder == str(tmp_path / ("a" if given else "b"))


def test_all_is_the_same_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no such calls, as on Windows."""
    monkeypatch.setattr(cache_module, "_BY_DESCRIPTOR", False)
    test_what_was_not_kept_is_not_found_and_looking_makes_nothing(Cache(tmp_path / "1"))
    test_keeping_it_again_replaces_it(Cache(tmp_path / "2"))
    test_no_changed_bit_gets_through(Cache(tmp_path / "3"))
    test_a_folder_is_no_part(Cache(tmp_path / "4"))
    test_data_of_another_length_are_not_found(Cache(tmp_path / "5"))
    test_pruning_leaves_what_was_used_last(Cache(tmp_path / "6"), 3, 0)
    test_finding_a_part_counts_as_use_and_changes_nothing_else(Cache(tmp_path / "7"), monkeypatch)
    test_clearing_leaves_what_is_not_ours(Cache(tmp_path / "8"))


def test_a_cache_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    """It might lead to anything; and what is in there has names like those of parts."""
    precious = tmp_path / "precious" / "ab"
    precious.mkdir(parents=True)
    (precious / ("c" * 62)).write_bytes(b"mine")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/parts-1").symlink_to(tmp_path / "precious")
    cache = Cache(tmp_path / "cache", limit=0)
    assert cache.usage() == cache.prune(0) == cache.clear() == Usage(0, 0)
    assert (precious / ("c" * 62)).read_bytes() == b"mine"
    assert cache.find("ab" + "c" * 62) is None
    (note,) = cache.notes
    assert note.startswith(f"the cache is not used: {tmp_path / 'cache/parts-1'} is no folder; ")


def test_entry_that_cannot_be_looked_at_ends_no_command(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room is made after the work. Some file systems' scans do not tell folders from files."""

    class Unknown:
        name = path = "unknown"

        def is_dir(self, *, follow_symlinks: bool = True) -> bool:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    keep(cache, KEY, b"data")
    scan = cache_module._scan
    monkeypatch.setattr(cache_module, "_scan", lambda folder: [Unknown(), *scan(folder)])
    assert cache.usage().parts == 1
    cache.close()
    assert cache.prune(0).parts == 1
