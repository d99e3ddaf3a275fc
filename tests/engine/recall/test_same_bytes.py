"""Archives with a cache have the same bytes as without one."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip import Selection, Settings
from parazip.codecs.table import CodecName
from parazip.engine import archive
from parazip.engine.cache import Cache
from support.recalling import flip_bit, list_parts, list_temporaries, make_archive

pytestmark = pytest.mark.once

RECIPES: list[tuple[int, CodecName]] = [(1, "auto"), (6, "auto"), (1, "zlib-ng"), (6, "zlib")]


@pytest.mark.parametrize(("level", "codec"), RECIPES)
@pytest.mark.parametrize("identity", ["stat", "content"])
def test_all_archives_are_the_same(
    tree: Path, cache: Cache, level: int, codec: CodecName, identity: archive.Identification
) -> None:
    settings = Settings(level=level, codec=codec)
    plain = make_archive(tree, None, settings)
    with zipfile.ZipFile(io.BytesIO(plain.data)) as opened:
        assert opened.testzip() is None
        total = len(opened.namelist())
        assert opened.getinfo("t/large.txt").compress_type == zipfile.ZIP_DEFLATED
        assert opened.getinfo("t/noise").compress_type == zipfile.ZIP_STORED
    recalled = {}

    def make(state: str) -> None:
        fresh = Cache(cache.folder)
        data, report = make_archive(tree, fresh, settings, identity)
        assert data == plain.data, state
        assert report.codecs == plain.report.codecs, state
        for name in ("members", "bytes_in", "bytes_out", "sections"):
            assert getattr(report, name) == getattr(plain.report, name), (state, name)
        assert (fresh.notes != []) is (state == "damaged")
        assert list_temporaries(fresh) == []
        recalled[state] = report.recalled

    make("cold")
    assert cache.usage().parts >= 3
    make("warm")
    usage = cache.usage()
    cache.clear()
    make("cleared")
    assert cache.usage() == usage
    cache.prune(0)
    make("pruned")
    cache.prune(usage.size - 1)
    make("one pruned")
    make("warm again")
    for path in list_parts(cache):
        flip_bit(path, -1)
    make("damaged")
    make("repaired")
    assert plain.report.recalled == 0
    assert 0 < recalled.pop("one pruned") < total
    cold = ("cold", "cleared", "pruned", "damaged")
    assert recalled == {state: 0 if state in cold else total for state in recalled}


@pytest.mark.parametrize("jobs", [1, 2, 8])
@pytest.mark.parametrize("memory", [1 << 20, 256 << 20])
def test_jobs_and_memory_change_neither_bytes_nor_keys(
    tree: Path, cache: Cache, jobs: int, memory: int
) -> None:
    settings = Settings(level=1, jobs=jobs, memory=memory)
    plain = make_archive(tree)
    assert make_archive(tree, cache, settings).data == plain.data
    for again in (settings, Settings(level=1)):
        data, report = make_archive(tree, cache, again)
        assert data == plain.data
        assert report.recalled == report.members
    assert cache.notes == []


@pytest.mark.parametrize("is_first", [True, False])
def test_what_stands_in_front_is_in_no_part(tree: Path, cache: Cache, is_first: bool) -> None:
    def shebang(cache: Cache | None) -> tuple[bytes, int]:
        selection = Selection(directory=tree.parent, symlinks="store")
        path = tree.parent / "out.pyz"
        settings = Settings(level=1)
        more: dict[str, Any] = {"prepend": b"x" * 777, "shebang": "/bin/sh", "cache": cache}
        report = parazip.create(path, ["t"], settings, selection, **more)
        return path.read_bytes(), report.recalled

    bare = make_archive(tree)
    total = bare.report.members
    plain, _ = shebang(None)
    if is_first:
        assert shebang(cache) == (plain, 0)
    else:
        make_archive(tree, cache)
    assert shebang(cache) == (plain, total)
    assert os.access(tree.parent / "out.pyz", os.X_OK)
    again = make_archive(tree, cache)
    assert (again.data, again.report.recalled) == (bare.data, total)


def test_progress_reaches_its_end_however_sections_are_made(tree: Path, cache: Cache) -> None:
    for state in ("cold", "warm", "damaged"):
        if state == "damaged":
            flip_bit(list_parts(cache)[0], -1)
            flip_bit(list_parts(cache)[-1], -1)
        seen: list[parazip.Progress] = []
        selection = Selection(directory=tree.parent)
        path = tree.parent / "out.zip"
        report = parazip.create(path, ["t"], None, selection, cache=cache, progress=seen.append)
        assert [moment.bytes for moment in seen] == sorted(moment.bytes for moment in seen)
        assert (seen[-1].members, seen[-1].bytes) == (report.members, report.bytes_in)
        for moment in seen:
            assert moment.members <= moment.members_total <= report.members
            assert moment.bytes <= moment.bytes_total <= report.bytes_in


def test_members_that_are_told_one_by_one_are_recalled(tmp_path: Path, cache: Cache) -> None:
    members = [parazip.Member(f"{i}", b"%d" % i * 1000, 0o100644 << 16, 0) for i in range(50)]
    results = []
    for used in (None, cache, cache):
        report = parazip.write(tmp_path / "out.zip", members, cache=used)
        results.append(((tmp_path / "out.zip").read_bytes(), report.recalled))
    assert [recalled for _, recalled in results] == [0, 0, 50]
    assert len({data for data, _ in results}) == 1
