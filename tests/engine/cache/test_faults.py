"""What goes wrong while a part is kept."""

from __future__ import annotations

import errno
import io
import itertools
import logging
import os
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from parazip.engine import cache as cache_module
from parazip.engine import cache_folders
from parazip.engine.cache import Cache
from support.caching import (
    DATA,
    DIRECTORY,
    KEY,
    TALLIES,
    System,
    keep_part,
    key_of_number,
    list_cache,
    recall_part,
)


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
        monkeypatch.setattr(cache_folders, "open", disk.open, raising=False)
        caplog.clear()
        with caplog.at_level(logging.INFO, "parazip.cache"):
            keep_part(cache, KEY, b"one", b"two", b"three")
        if disk.writes < full_at:
            break
        assert list_cache(cache) == ["parts-1/CACHEDIR.TAG"]
        assert recall_part(cache) is None
        (note,) = cache.notes
        assert note == f"nothing more was kept in the cache {cache.folder}: No space left on device"
        assert [record.getMessage() for record in caplog.records] == [note]
        keep_part(cache)
        assert disk.opened == 1, "it is tried once more"
        keep_part(Cache(cache.folder))
        assert recall_part(cache) == DATA
    assert full_at == 5
    assert recall_part(cache) == b"onetwothree"
    assert cache.notes == []


@pytest.mark.parametrize("bite", [1, 3, 50])
def test_a_disk_that_takes_little_at_a_time_gets_it_all(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, bite: int
) -> None:
    disk = Disk(bite=bite)
    monkeypatch.setattr(cache_folders, "open", disk.open, raising=False)
    keep_part(cache)
    assert disk.writes > len(DATA) // bite
    assert recall_part(cache) == DATA


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("function", ["mkdir", "replace"])
def test_a_system_that_refuses_is_told_once(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, function: str, error: int
) -> None:
    with monkeypatch.context() as patch:
        for module in cache_module, cache_folders:
            patch.setattr(module, "os", System(function, error=error))
        keep_part(cache)
        keep_part(cache, key_of_number(1))
    (note,) = cache.notes
    assert note.startswith(f"nothing more was kept in the cache {cache.folder}: ")
    assert note.endswith(os.strerror(error))
    assert set(list_cache(cache)) <= {"parts-1/CACHEDIR.TAG"}
    assert recall_part(cache) is None


def test_a_time_of_use_that_cannot_be_set_is_no_matter(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_part(cache)
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "os", System("utime", error=errno.EROFS))
        assert recall_part(cache) == DATA
    assert cache.notes == []


def test_data_that_cannot_be_read_are_not_kept(cache: Cache) -> None:
    def failing() -> Iterable[bytes]:
        yield b"one"
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    cache.keep(KEY, TALLIES, DIRECTORY, 6, failing())
    assert list_cache(cache) == ["parts-1/CACHEDIR.TAG"]
    assert len(cache.notes) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError, MemoryError])
def test_what_is_no_fault_of_the_disk_is_raised_and_leaves_nothing(
    cache: Cache, error: type[BaseException]
) -> None:
    def failing() -> Iterable[bytes]:
        yield b"one"
        raise error("on purpose")

    with pytest.raises(error, match="on purpose"):
        cache.keep(KEY, TALLIES, DIRECTORY, 6, failing())
    assert list_cache(cache) == ["parts-1/CACHEDIR.TAG"]
    assert cache.notes == []
    keep_part(cache)
    assert recall_part(cache) == DATA
