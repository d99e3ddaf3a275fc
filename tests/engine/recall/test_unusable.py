"""A cache that cannot be used harms nothing, and is told of once."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parazip import Settings
from parazip.engine import cache as cache_module
from parazip.engine import cache_folders, part_files
from parazip.engine.cache import Cache
from support.recalling import (
    NOISE,
    POSIX,
    assert_whole,
    change_in_place,
    flip_bit,
    list_parts,
    list_temporaries,
    make_archive,
)

pytestmark = pytest.mark.once


def a_file(folder: Path, patch: pytest.MonkeyPatch) -> Cache:
    folder.write_text("no folder")
    return Cache(folder)


def below_a_file(folder: Path, patch: pytest.MonkeyPatch) -> Cache:
    folder.write_text("no folder")
    return Cache(folder / "cache")


def a_link_to_nowhere(folder: Path, patch: pytest.MonkeyPatch) -> Cache:
    folder.symlink_to("nowhere")
    return Cache(folder)


def a_link_to_itself(folder: Path, patch: pytest.MonkeyPatch) -> Cache:
    folder.symlink_to(folder)
    return Cache(folder)


def a_long_name(folder: Path, patch: pytest.MonkeyPatch) -> Cache:
    return Cache(str(folder) + "x" * 300)


def parts_that_are_a_file(folder: Path, patch: pytest.MonkeyPatch) -> Cache:
    folder.mkdir()
    (folder / "parts-1").write_text("no folder")
    return Cache(folder)


class ReadOnly:
    """The module `os` on a file system that takes nothing new."""

    @classmethod
    def mount(cls, patch: pytest.MonkeyPatch) -> None:
        for module in cache_module, cache_folders:
            patch.setattr(module, "os", cls())

    def __getattr__(self, name: str) -> Any:
        if name not in ("mkdir", "replace", "rmdir", "unlink", "utime"):
            return getattr(os, name)
        return self._fail

    def _fail(self, *args: object, **more: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def read_only(folder: Path, patch: pytest.MonkeyPatch) -> Cache:
    ReadOnly.mount(patch)
    return Cache(folder)


def smaller_than_a_part(folder: Path, patch: pytest.MonkeyPatch) -> Cache:
    return Cache(folder, 10)


def of_no_size(folder: Path, patch: pytest.MonkeyPatch) -> Cache:
    return Cache(folder, 0)


UNUSABLE = [
    a_file,
    below_a_file,
    a_link_to_nowhere,
    a_link_to_itself,
    a_long_name,
    parts_that_are_a_file,
    read_only,
    smaller_than_a_part,
]


@POSIX
@pytest.mark.parametrize("spoil", [*UNUSABLE, of_no_size])
def test_a_cache_that_cannot_be_used_harms_nothing(
    tree: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[..., Cache]
) -> None:
    plain = make_archive(tree)
    before = sorted(tree.parent.rglob("*"))
    spoilt = spoil(tree.parent / "cache", monkeypatch)
    for _ in range(2):
        data, report = make_archive(tree, spoilt)
        assert data == plain.data
        assert report.recalled == 0
        assert report.codecs == plain.report.codecs
    left = set(tree.parent.rglob("*")) - set(before) - {tree.parent / "cache"}
    assert {path.name for path in left} <= {"parts-1"}


@POSIX
@pytest.mark.parametrize("spoil", UNUSABLE)
def test_a_cache_that_cannot_be_used_is_told_once(
    pair: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[..., Cache],
) -> None:
    with caplog.at_level(logging.INFO, "parazip.cache"):
        spoilt = spoil(pair.parent / "cache", monkeypatch)
        report = make_archive(pair, spoilt).report
    assert len(report.notes) == 1
    assert [record.getMessage() for record in caplog.records] == list(report.notes)


def test_a_cache_of_no_size_is_what_was_asked_for(pair: Path, tmp_path: Path) -> None:
    none = Cache(tmp_path / "cache", 0)
    assert make_archive(pair, none).report.notes == ()
    assert not os.path.exists(none.folder)


@POSIX
def test_a_folder_without_permissions_is_told_once(pair: Path, cache: Cache) -> None:
    plain = make_archive(pair, cache)
    cache.clear()
    Path(cache.folder).chmod(0o500)
    if os.access(cache.folder, os.W_OK):
        pytest.skip("root may do it all")
    data, report = make_archive(pair, Cache(cache.folder))
    Path(cache.folder).chmod(0o700)
    assert data == plain.data
    (note,) = report.notes
    assert "nothing more was kept" in note
    assert "Permission denied" in note


def test_parts_on_a_file_system_that_takes_nothing_new_are_recalled(
    pair: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_archive(pair, cache)
    ReadOnly.mount(monkeypatch)
    data, report = make_archive(pair, Cache(cache.folder))
    assert data == plain.data
    assert report.recalled == report.members
    assert report.notes == ()
    flip_bit(list_parts(cache)[0], -1)
    data, report = make_archive(pair, Cache(cache.folder))
    assert data == plain.data
    assert 0 < report.recalled < report.members


class Writes:
    """Stands for the cache's writing: counts, and fails half-way through one write."""

    def __init__(self, fail_at: int) -> None:
        self.fail_at = fail_at
        self.count = 0
        self._lock = threading.Lock()
        self._write: Callable[[Any, bytes], None] = part_files._write_all

    def __call__(self, file: Any, data: bytes) -> None:
        with self._lock:
            self.count += 1
            fails = self.count == self.fail_at
        if fails:
            self._write(file, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._write(file, data)


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_disk_that_is_full_at_any_moment_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    for name in "abc":
        (tree / name).write_bytes(NOISE)
    settings = Settings(level=1, jobs=jobs)
    plain = make_archive(tree)
    for fail_at in itertools.count(1):
        cache = Cache(tmp_path / "cache")
        writes = Writes(fail_at)
        with monkeypatch.context() as patch:
            patch.setattr(part_files, "_write_all", writes)
            data, report = make_archive(tree, cache, settings)
        assert data == plain.data
        assert list_temporaries(cache) == []
        if writes.count < fail_at:
            break
        (note,) = report.notes
        assert note.endswith("No space left on device")
        assert_whole(Cache(cache.folder))
        assert cache.usage().parts < 3
        data, report = make_archive(tree, Cache(cache.folder))
        assert data == plain.data
        assert report.notes == ()
        cache.clear()
    assert fail_at > 3 * 5
    assert report.notes == ()
    assert cache.usage().parts == 3


def test_parts_over_the_limit_are_left_out_and_all_others_kept(tree: Path, cache: Cache) -> None:
    small = Cache(cache.folder, 100_000)
    plain = make_archive(tree)
    for recalled in (False, True):
        data, report = make_archive(tree, small)
        assert data == plain.data
        assert (report.recalled > 0) is recalled
        assert report.recalled < report.members
        assert 0 < small.usage().size <= small.limit
        assert list_temporaries(small) == []


def test_what_does_not_fit_goes(tree: Path, cache: Cache) -> None:
    total = make_archive(tree, cache).report.members
    usage = cache.usage()
    small = Cache(cache.folder, usage.size - 1)
    assert make_archive(tree, small).report.recalled == total
    assert small.usage() == usage
    change_in_place(tree / "one", lambda data: b"2")
    plain = make_archive(tree)
    data, report = make_archive(tree, small)
    assert data == plain.data
    assert 0 < report.recalled < total
    assert 0 < small.usage().size <= small.limit
    assert small.usage().parts <= usage.parts
    data, report = make_archive(tree, small)
    assert data == plain.data
    assert report.notes == ()
    assert small.usage().size <= small.limit
