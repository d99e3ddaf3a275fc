"""What was used longest ago goes; and what is cleared."""

from __future__ import annotations

import errno
import os
import random
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parazip.engine import cache as cache_module
from parazip.engine import cache_folders
from parazip.engine.cache import Cache, Usage
from parazip.engine.cache_folders import CacheFolder
from parazip.errors import OutputError
from support.caching import (
    DATA,
    KEY,
    System,
    keep_part,
    key_of_number,
    list_cache,
    place_of_part,
    recall_part,
)


def used(cache: Cache, number: int, second: int) -> None:
    """Sets the time when a part was used last."""
    os.utime(place_of_part(cache, key_of_number(number)), (second, 1_000_000_000))


def those_left(cache: Cache) -> list[int]:
    return [number for number in range(40) if place_of_part(cache, key_of_number(number)).exists()]


USES = (3, 1, 4, 0, 2)
"""Parts in the order in which they were used."""


@pytest.mark.parametrize("left", range(7))
@pytest.mark.parametrize("spare", [0, 1, -1])
def test_pruning_leaves_what_was_used_last(cache: Cache, left: int, spare: int) -> None:
    for number in USES:
        keep_part(cache, key_of_number(number))
        used(cache, number, 1_000_000_000 + USES.index(number))
    size = place_of_part(cache, key_of_number(0)).stat().st_size
    assert cache.usage() == Usage(5, 5 * size)
    gone = cache.prune(left * size + spare)
    count = max(0, min(5, left - (spare < 0)))
    assert those_left(cache) == sorted(USES[5 - count :])
    assert gone == Usage(5 - count, (5 - count) * size)
    assert cache.usage() == Usage(count, count * size)
    for number in those_left(cache):
        assert recall_part(cache, key_of_number(number)) == DATA
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
            keep_part(cache, key_of_number(number), bytes(size))
            used(cache, number, 1_000_000_000 + uses.index(number))
        lengths = [
            place_of_part(cache, key_of_number(number)).stat().st_size
            for number in range(len(sizes))
        ]
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
        keep_part(cache, key_of_number(number))
        used(cache, number, 1_000_000_000 + number)
    before = place_of_part(cache, key_of_number(1)).stat()
    # Far away from now: reading sets the same time, on some systems and on some days.
    with monkeypatch.context() as patch:
        clock = SimpleNamespace(time_ns=lambda: 2 * 10**18, time=lambda: 2e9)
        patch.setattr(cache_module, "time", clock)
        assert cache.find(key_of_number(1)) is not None
        after = place_of_part(cache, key_of_number(1)).stat()
        assert after.st_atime_ns == 2 * 10**18
        assert after.st_mtime_ns == before.st_mtime_ns
        cache.prune(2 * before.st_size)
    assert those_left(cache) == [1, 3]
    assert recall_part(cache, key_of_number(1)) == DATA


def test_keeping_a_part_counts_as_use(cache: Cache) -> None:
    for number in range(3):
        keep_part(cache, key_of_number(number))
        used(cache, number, 1_000_000_000 + number)
    keep_part(cache, key_of_number(0))
    cache.prune(2 * place_of_part(cache, key_of_number(0)).stat().st_size)
    assert those_left(cache) == [0, 2]


def test_closing_makes_room_if_something_was_added(tmp_path: Path) -> None:
    large = Cache(tmp_path)
    for number in range(5):
        keep_part(large, key_of_number(number))
        used(large, number, 1_000_000_000 + number)
    size = place_of_part(large, key_of_number(0)).stat().st_size
    small = Cache(tmp_path, 3 * size)
    assert recall_part(small, key_of_number(2)) == DATA
    small.close()
    assert those_left(small) == [0, 1, 2, 3, 4]
    keep_part(small, key_of_number(5))
    small.close()
    assert those_left(small) == [2, 4, 5]
    assert small.usage() == Usage(3, 3 * size)
    assert small.notes == []


def test_closing_within_the_limit_throws_nothing_away(cache: Cache) -> None:
    for number in range(20):
        keep_part(cache, key_of_number(number))
    cache.close()
    assert those_left(cache) == list(range(20))


def test_pruning_goes_on_where_something_cannot_be_deleted(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        keep_part(cache, key_of_number(number))
        used(cache, number, 1_000_000_000 + number)
    size = place_of_part(cache, key_of_number(0)).stat().st_size
    held = place_of_part(cache, key_of_number(0)).name

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
    keep_part(cache)
    left = Path(cache.folder, "parts-1", "tmp-0123456789abcdef")
    left.write_bytes(b"half a part")
    later = left.stat().st_mtime + seconds
    patched = SimpleNamespace(time=lambda: later, time_ns=lambda: int(later * 1e9))
    monkeypatch.setattr(cache_module, "time", patched)
    assert cache.usage().parts == 1
    assert cache.prune(1 << 30) == Usage(0, 0)
    assert left.exists() is stays
    assert recall_part(cache) == DATA


def test_clearing_leaves_what_is_not_ours(cache: Cache) -> None:
    for number in range(40):
        keep_part(cache, key_of_number(number))
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
    assert usage == Usage(40, 40 * place_of_part(cache, key_of_number(0)).stat().st_size)
    assert cache.clear() == usage
    assert cache.usage() == cache.clear() == Usage(0, 0)
    names = [str(path.relative_to(cache.folder)) for path in foreign]
    assert list_cache(cache) == sorted(names)
    assert not os.path.exists(os.path.join(cache.folder, "parts-1"))
    keep_part(cache)
    assert recall_part(cache) == DATA


def test_what_cannot_be_cleared_is_an_error(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any, **more: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)

    keep_part(cache)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        with pytest.raises(OutputError, match=r"cannot .*parts-1"):
            cache.clear()
    assert recall_part(cache) == DATA
    assert cache.clear().parts == 1


def test_clearing_goes_on_where_another_process_prunes(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        keep_part(cache, key_of_number(number))
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
    keep_part(cache)
    rmdir = os.rmdir

    def rmdir_late(path: Any, **more: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "rmdir", rmdir)
            keep_part(Cache(cache.folder), key_of_number(1))
        rmdir(path, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", rmdir_late)
        assert cache.clear().parts == 1
    assert recall_part(cache, key_of_number(1)) == DATA


def test_pruning_is_the_same_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no calls by descriptors, as on Windows."""
    monkeypatch.setattr(cache_folders, "BY_DESCRIPTOR", False)
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
    assert note.startswith(f"the cache is not used: {tmp_path / 'cache/parts-1'} is not a folder; ")


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

    keep_part(cache, KEY, b"data")
    scan = CacheFolder.scan
    monkeypatch.setattr(CacheFolder, "scan", lambda folder: [Unknown(), *scan(folder)])
    assert cache.usage().parts == 1
    cache.close()
    assert cache.prune(0).parts == 1
