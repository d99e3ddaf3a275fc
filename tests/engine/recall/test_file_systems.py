"""A cache on file systems that lack something: locks, nameless files, parts of seconds, case."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from parazip.engine.cache import Cache, Usage
from parazip.errors import OutputError
from support.mounted import Mounted
from support.recalling import flip_bit, list_parts, make_archive, one_byte

pytestmark = pytest.mark.once

fcntl = pytest.importorskip("fcntl")

_BARE = ["access", "chmod", "chown", "fsync", "getxattr", "link", "statfs"]
"""What file systems refuse who keep files and hardly anything else."""

LACKING = {
    "nothing but nameless files and locks": [],  # FUSE has no O_TMPFILE
    "fractions of seconds": ["fractions"],
    "case": ["case"],
    "times that can be set": ["utimens"],
    "all that can be done without": ["fractions", "case", "utimens", *_BARE],
}


@pytest.fixture(autouse=True)
def _no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(fcntl, "lockf", refuse)


@pytest.mark.parametrize("lacking", LACKING)
def test_a_cache_works_on_a_file_system_that_lacks_something(
    pair: Path, mounted: Mounted, lacking: str
) -> None:
    plain = make_archive(pair)

    def check(recalled: int, notes: int = 0) -> None:
        """How many of two parts are recalled, and what is told."""
        data, report = make_archive(pair, Cache(cache.folder))
        assert data == plain.data
        assert (report.recalled > 0) + (report.recalled == report.members) == recalled
        assert len(report.notes) == notes
        assert list(mounted.real.rglob("tmp-*")) == []

    mounted.refuse(*LACKING[lacking], number=errno.EOPNOTSUPP)
    try:
        cache = Cache(mounted.path / "cache")
        check(0)
        check(2)
        usage = cache.usage()
        assert usage.parts == 2
        one, two = list_parts(cache)
        flip_bit(one, -1)
        check(1, notes=1)
        check(2)
        one.rename(two)  # another key's
        check(0, notes=1)
        check(2)
        assert cache.prune(usage.size - 1).parts == 1
        check(1)
        check(2)
        assert cache.prune(0) == usage
        check(0)
        assert cache.clear() == usage
        assert [path.name for path in mounted.real.rglob("*")] == ["cache"]
        assert cache.notes == []
    finally:
        mounted.refuse()
        shutil.rmtree(mounted.real / "cache", ignore_errors=True)


@pytest.mark.parametrize("operation", ["create", "mkdir", "rename", "write", "read", "open"])
def test_a_cache_on_a_file_system_that_refuses_much_costs_time_only(
    pair: Path, mounted: Mounted, operation: str
) -> None:
    plain = make_archive(pair)
    cache = Cache(mounted.path / "cache")
    try:
        for is_there in (False, True):
            mounted.refuse(operation, number=errno.EIO)
            data, report = make_archive(pair, Cache(cache.folder))
            assert data == plain.data
            assert len(report.notes) <= 1
            assert is_there or report.recalled == 0
            mounted.refuse()
            assert list(mounted.real.rglob("tmp-*")) == []
            assert make_archive(pair, cache).data == plain.data
            assert make_archive(pair, cache).report.recalled == plain.report.members
    finally:
        mounted.refuse()
        cache.clear()


def test_what_cannot_be_removed_is_told(pair: Path, mounted: Mounted) -> None:
    plain = make_archive(pair)
    cache = Cache(mounted.path / "cache")
    make_archive(pair, cache)
    usage = cache.usage()
    try:
        mounted.refuse("unlink")
        assert cache.prune(0) == Usage(0, 0)
        with pytest.raises(OutputError, match=r"cannot .*parts-1.*not permitted"):
            cache.clear()
        flip_bit(list_parts(cache)[0], 0)
        data, report = make_archive(pair, Cache(cache.folder))
        assert data == plain.data
        (note,) = report.notes
        assert note.startswith("a damaged part in the cache cannot be removed (it is not whole): ")
        assert cache.usage() == usage
    finally:
        mounted.refuse()
        assert cache.clear() == usage


def test_a_change_within_the_second_is_seen_where_times_have_no_fractions(
    mounted: Mounted, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same size; so what may still change in this way is not kept."""
    monkeypatch.undo()
    mounted.refuse("fractions")
    tree = mounted.path / "t"
    tree.mkdir()
    try:
        (tree / "a").write_bytes(b"one way or the other " * 100)
        info = (tree / "a").stat()
        assert info.st_ctime_ns % 10**9 == info.st_mtime_ns % 10**9 == 0
        for _ in range(3):
            made = make_archive(tree, cache)
            assert made.data == make_archive(tree).data
            assert made.report.recalled == 0
            (tree / "a").write_bytes(one_byte((tree / "a").read_bytes()))
    finally:
        mounted.refuse()
        (tree / "a").unlink()
        tree.rmdir()
