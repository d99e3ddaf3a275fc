"""Archives with a cache: the same bytes as without one, whatever is found in it or goes wrong."""

from __future__ import annotations

import errno
import io
import itertools
import json
import logging
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

import parazip
from parazip import Report, Selection, Settings, archive, files, keys
from parazip import cache as cache_module
from parazip.cache import Cache, CachedPart, Usage
from parazip.codecs import checksums
from parazip.codecs.table import CodecName
from parazip.errors import SourceChangedError, SourceError
from parazip.model import Range
from parazip.output import Output, Pipe
from parazip.walk import find_members
from parazip.workers import starting
from parazip.workers.helpers import Helpers
from patience import HUNG

pytestmark = pytest.mark.once

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX only")

TEXT = b"".join(b"line %d of some text\n" % i for i in range(100_000))
NOISE = random.Random(1).randbytes(4 << 20)
LAST_YEAR = 1_600_000_000


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of files that were written just now are kept, too: nothing changes them unseen here."""
    monkeypatch.setattr(keys, "_TICK_NS", 0)
    monkeypatch.setattr(keys, "_COARSE_TICK_NS", 0)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree `t` of all kinds of members, which takes several sections."""
    tree = tmp_path / "t"
    (tree / "folder" / "empty").mkdir(parents=True)
    for i in range(60):
        (tree / "folder" / f"{i}.txt").write_bytes(TEXT[i * 10 : i * 100])
    (tree / "large.txt").write_bytes(TEXT)
    (tree / "noise").write_bytes(NOISE)
    (tree / "like noise").write_bytes(TEXT[:40_000] + NOISE[: 2 << 20])
    (tree / "nothing").write_bytes(b"")
    (tree / "one").write_bytes(b"1")
    (tree / "r\u00e9sum\u00e9").write_bytes(TEXT[:5000])
    (tree / "run.sh").write_bytes(b"#!/bin/sh\n")
    (tree / "run.sh").chmod(0o755)
    (tree / "link").symlink_to("one")
    return tree


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A tree `t` that takes one section and no time."""
    tree = tmp_path / "t"
    (tree / "folder").mkdir(parents=True)
    (tree / "a.txt").write_bytes(TEXT[:3000])
    (tree / "b.txt").write_bytes(TEXT[3000:5000])
    (tree / "b.txt").chmod(0o600)
    (tree / "folder" / "c.txt").write_bytes(TEXT[5000:9000])
    (tree / "link").symlink_to("a.txt")
    return tree


class Archive(NamedTuple):
    data: bytes
    report: Report


def made(
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


def parts(cache: Cache) -> list[Path]:
    return sorted(Path(cache.folder, "parts-1").glob("??/*"))


def temporaries(cache: Cache) -> list[Path]:
    """What is neither a part nor the tag, in or below the folder of a cache."""
    found = [path for path in Path(cache.folder).rglob("*") if path.is_file()]
    return sorted({*found} - {*parts(cache), Path(cache.folder, "parts-1/CACHEDIR.TAG")})


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def assert_whole(cache: Cache) -> None:
    """Whatever stands under a part's name is that part."""
    for path in parts(cache):
        kept = cache.find(path.parent.name + path.name)
        assert kept is not None, cache.notes
        (piece,) = kept.part.data
        assert isinstance(piece, Range)
        assert Output(io.BytesIO(), "-").copy_checked(piece) == kept.crc
    assert cache.notes == []


# --- The same bytes --------------------------------------------------------------------------


RECIPES: list[tuple[int, CodecName]] = [(1, "auto"), (6, "auto"), (1, "zlib-ng"), (6, "zlib")]


@pytest.mark.parametrize(("level", "codec"), RECIPES)
@pytest.mark.parametrize("identity", ["stat", "content"])
def test_all_archives_are_the_same(
    tree: Path, cache: Cache, level: int, codec: CodecName, identity: archive.Identification
) -> None:
    settings = Settings(level=level, codec=codec)
    plain = made(tree, None, settings)
    with zipfile.ZipFile(io.BytesIO(plain.data)) as opened:
        assert opened.testzip() is None
        total = len(opened.namelist())
        assert opened.getinfo("t/large.txt").compress_type == zipfile.ZIP_DEFLATED
        assert opened.getinfo("t/noise").compress_type == zipfile.ZIP_STORED
    recalled = {}

    def make(state: str) -> None:
        fresh = Cache(cache.folder)
        data, report = made(tree, fresh, settings, identity)
        assert data == plain.data, state
        assert report.codecs == plain.report.codecs, state
        for name in ("members", "bytes_in", "bytes_out", "sections"):
            assert getattr(report, name) == getattr(plain.report, name), (state, name)
        assert (fresh.notes != []) is (state == "damaged")
        assert temporaries(fresh) == []
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
    for path in parts(cache):
        flip(path, -1)
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
    plain = made(tree)
    assert made(tree, cache, settings).data == plain.data
    for again in (settings, Settings(level=1)):
        data, report = made(tree, cache, again)
        assert data == plain.data
        assert report.recalled == report.members
    assert cache.notes == []


def test_what_stands_in_front_changes_no_part(tree: Path, cache: Cache) -> None:
    def shebang(cache: Cache | None) -> tuple[bytes, int]:
        selection = Selection(directory=tree.parent, symlinks="store")
        path = tree.parent / "out.pyz"
        settings = Settings(level=1)
        more: dict[str, Any] = {"prepend": b"x" * 777, "shebang": "/bin/sh", "cache": cache}
        report = parazip.create(path, ["t"], settings, selection, **more)
        return path.read_bytes(), report.recalled

    total = made(tree, cache).report.members
    plain, _ = shebang(None)
    assert shebang(cache) == (plain, total)
    assert os.access(tree.parent / "out.pyz", os.X_OK)


def test_progress_reaches_its_end_however_sections_are_made(tree: Path, cache: Cache) -> None:
    for state in ("cold", "warm", "damaged"):
        if state == "damaged":
            flip(parts(cache)[0], -1)
            flip(parts(cache)[-1], -1)
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


# --- What is the same, and what is not -------------------------------------------------------


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Changes a file in place and puts its modification time back; its change time tells."""
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(change(path.read_bytes()))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def one_byte(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def replace_alike(tree: Path) -> None:
    """Another file of the same size and modification time comes in a file's place."""
    old = (tree / "a.txt").stat()
    other = tree.parent / "other"
    other.write_bytes(one_byte((tree / "a.txt").read_bytes()))
    os.utime(other, ns=(old.st_atime_ns, old.st_mtime_ns))
    other.replace(tree / "a.txt")


def date_back(path: Path, seconds: int = LAST_YEAR) -> None:
    os.utime(path, (seconds, seconds))


def copy_elsewhere(tree: Path) -> None:
    """The same tree in the same place, of other files."""
    shutil.copytree(tree, tree.parent / "copy", symlinks=True)
    shutil.rmtree(tree)
    (tree.parent / "copy").rename(tree)


def move_away_and_back(tree: Path) -> None:
    (tree.parent / "deep").mkdir()
    tree.rename(tree.parent / "deep" / "moved")
    (tree.parent / "deep" / "moved").rename(tree)


def link_elsewhere(tree: Path) -> None:
    (tree / "link").unlink()
    (tree / "link").symlink_to("b.txt")


def add_what_is_left_out(tree: Path) -> None:
    (tree / "new.pyc").write_bytes(b"new")


def touch(tree: Path) -> None:
    for path in tree.rglob("*.txt"):
        date_back(path, LAST_YEAR - 12345)


class Change(NamedTuple):
    """What is different at the second time, and whether all is recalled then."""

    stat: bool
    content: bool
    change: Callable[[Path], object] = lambda tree: None
    settings: Settings = Settings(level=1)
    selection: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it


CHANGES = {
    "nothing": Change(True, True),
    "jobs": Change(True, True, settings=Settings(level=1, jobs=1)),
    "memory": Change(True, True, settings=Settings(level=1, memory=1 << 20)),
    "unrelated files": Change(True, True, lambda tree: (tree.parent / "new").write_bytes(b"new")),
    "a file that is left out": Change(
        True, True, add_what_is_left_out, selection={"exclude": ("*.pyc",)}
    ),
    "the tree was moved": Change(True, True, move_away_and_back),
    "files were touched": Change(False, True, touch),
    "files were copied": Change(False, True, copy_elsewhere),
    "rewritten with the same": Change(
        False, True, lambda tree: rewrite(tree / "a.txt", lambda data: data)
    ),
    "one byte, its time put back": Change(
        False, False, lambda tree: rewrite(tree / "a.txt", one_byte)
    ),
    "replaced by one of its size and time": Change(False, False, replace_alike),
    "contents": Change(False, False, lambda tree: (tree / "a.txt").write_bytes(b"new")),
    "name": Change(False, False, lambda tree: (tree / "a.txt").rename(tree / "aa.txt")),
    "mode": Change(False, False, lambda tree: (tree / "a.txt").chmod(0o604)),
    "mode of a folder": Change(False, False, lambda tree: (tree / "folder").chmod(0o705)),
    "a file is gone": Change(False, False, lambda tree: (tree / "a.txt").unlink()),
    "a new file": Change(False, False, lambda tree: (tree / "new.txt").write_bytes(b"new")),
    "a new folder": Change(False, False, lambda tree: (tree / "new").mkdir()),
    "another link": Change(False, False, link_elsewhere),
    "links are followed": Change(False, False, selection={"symlinks": "follow"}),
    "modes are normal": Change(False, False, selection={"modes": "normal"}),
    "prefix": Change(False, False, selection={"prefix": "p"}),
    "date": Change(False, False, selection={"timestamp": "keep"}),
    "level": Change(False, False, settings=Settings(level=2)),
    "codec": Change(False, False, settings=Settings(level=1, codec="zlib")),
}  # fmt: skip


@pytest.mark.parametrize("identity", ["stat", "content"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_all_that_determines_bytes_is_noticed_and_nothing_else(
    small: Path, cache: Cache, change: Change, identity: archive.Identification
) -> None:
    for path in (*small.rglob("*.txt"), small / "folder", small):
        date_back(path)
    first = {"timestamp": "epoch"}
    total = made(small, cache, Settings(level=1), identity, **first).report.members
    assert cache.usage().parts == 1
    assert made(small, cache, Settings(level=1), identity, **first).report.recalled == total
    change.change(small)
    selection = {**first, **change.selection}
    plain = made(small, None, change.settings, **selection)
    again = made(small, cache, change.settings, identity, target="other.zip", **selection)
    assert again.data == plain.data
    assert again.report.codecs == plain.report.codecs
    assert again.report.recalled == (plain.report.members if getattr(change, identity) else 0)
    assert cache.notes == []


@pytest.mark.parametrize("identity", ["stat", "content"])
def test_the_order_counts(small: Path, cache: Cache, identity: archive.Identification) -> None:
    names = ["t/a.txt", "t/b.txt"]
    recalled = []
    for order in (names, names[::-1], names):
        selection = Selection(directory=small.parent)
        path = small.parent / "out.zip"
        report = parazip.create(path, order, None, selection, cache=cache, identity=identity)
        recalled.append(report.recalled)
        with zipfile.ZipFile(path) as opened:
            assert opened.namelist() == order
    assert recalled == [0, 0, 2]


def test_other_libraries_make_other_parts(
    small: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = made(small, cache).report.members
    with monkeypatch.context() as patch:
        patch.setattr(keys, "_codec_versions", lambda: "isal 99")
        assert made(small, cache).report.recalled == 0
    assert made(small, cache).report.recalled == total


def test_both_identities_keep_parts_of_their_own(small: Path, cache: Cache) -> None:
    total = made(small, cache).report.members
    assert made(small, cache, identity="content").report.recalled == 0
    assert cache.usage().parts == 2
    assert made(small, cache, identity="content").report.recalled == total
    assert made(small, cache).report.recalled == total


def test_by_content_a_copy_elsewhere_is_known(small: Path, cache: Cache) -> None:
    total = made(small, cache, identity="content", timestamp="epoch").report.members
    shutil.copytree(small, small.parent / "deep" / "t", symlinks=True)
    copy = small.parent / "deep" / "t"
    assert made(copy, cache, identity="content", timestamp="epoch").report.recalled == total
    assert made(copy, cache, identity="stat", timestamp="epoch").report.recalled == 0


@pytest.mark.parametrize("identity", ["stat", "content"])
def test_files_of_just_now_are_kept_when_they_have_aged(
    small: Path,
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
    identity: archive.Identification,
) -> None:
    monkeypatch.undo()
    for path in small.rglob("*.txt"):
        date_back(path)  # which the system's change time tells, all the same
    changed = max(path.stat().st_ctime_ns for path in small.rglob("*.txt"))
    plain = made(small)
    for age, kept, recalled in ((50, 0, 0), (99, 0, 0), (2001, 1, 0), (50, 1, 0), (2001, 1, 1)):
        now = changed + age * 1_000_000
        clock = SimpleNamespace(time_ns=lambda now=now: now, time=lambda now=now: now / 1e9)
        with monkeypatch.context() as patch:
            patch.setattr(cache_module, "time", clock)
            patch.setattr("parazip.keys.time", clock)
            data, report = made(small, cache, identity=identity)
        assert data == plain.data
        assert cache.usage().parts == kept
        assert report.recalled == recalled * report.members
        assert report.notes == ()


MANY = 3000


@pytest.fixture
def forest(tmp_path: Path) -> Path:
    """A tree `t` of many short files in ten folders."""
    tree = tmp_path / "t"
    for folder in range(10):
        (tree / f"{folder}").mkdir(parents=True)
    for i in range(MANY):
        path = tree / f"{i % 10}" / f"file {i}.py"
        path.write_bytes(TEXT[i : i + 500 + i % 1000])
    return tree


def add_at_the_front(tree: Path) -> None:
    (tree / "0" / "a").write_bytes(b"new")


FEW: dict[str, Callable[[Path], object]] = {
    "one changed": lambda tree: (tree / "4" / "file 14.py").write_bytes(b"new"),
    "one more at the front": add_at_the_front,
    "one less": lambda tree: (tree / "0" / "file 10.py").unlink(),
}


@pytest.mark.parametrize("identity", ["stat", "content"])
def test_of_many_files_few_are_made_again(
    forest: Path, cache: Cache, identity: archive.Identification
) -> None:
    total = made(forest, cache, identity=identity).report.members
    assert total == MANY + 11
    assert made(forest, cache, identity=identity).report.recalled == total
    for what, change in FEW.items():
        before = cache.usage().parts
        change(forest)
        data, report = made(forest, cache, identity=identity)
        assert cache.usage().parts - before <= 2, what
        assert report.recalled > report.members * 0.6, what
        assert data == made(forest).data


# --- Damage ----------------------------------------------------------------------------------


HEAD = struct.Struct("<8s2IQI")


class Layout(NamedTuple):
    """Where the regions of a part's file begin."""

    description: int
    directory: int
    crc: int
    data: int
    end: int


def layout(data: bytes) -> Layout:
    _, description, directory, length, _ = HEAD.unpack_from(data)
    crc = HEAD.size + description + directory
    assert crc + 4 + length == len(data)
    return Layout(HEAD.size, HEAD.size + description, crc, crc + 4, len(data))


def flipped(where: Callable[[Layout], int]) -> Callable[[Path], None]:
    return lambda path: flip(path, where(layout(path.read_bytes())))


def cut(where: Callable[[Layout], int]) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, where(layout(path.read_bytes())))


def claim(*lengths: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = path.read_bytes()
        (crc,) = struct.unpack_from("<I", data, HEAD.size - 4)
        front = HEAD.pack(b"parazip1", *lengths, crc) + data[HEAD.size : layout(data).crc]
        sealed = front + struct.pack("<I", checksums.crc32(front))
        path.write_bytes(sealed + data[layout(data).data :])

    return damage


def another_part(path: Path) -> None:
    """The file of the other part that there is comes in its place."""
    (other,) = (found for found in path.parents[1].glob("??/*") if found != path)
    shutil.copy(other, path)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: list[Any] = [
    *(
        pytest.param(flipped(where), id=f"flip {name}")
        for name, where in {
            "magic": lambda at: 0,
            "length of description": lambda at: 8,
            "length of directory": lambda at: 12,
            "length of data": lambda at: 16,
            "high length of data": lambda at: 23,
            "CRC of data": lambda at: 24,
            "start of description": lambda at: at.description,
            "key": lambda at: at.description + 12,
            "end of description": lambda at: at.directory - 1,
            "start of directory": lambda at: at.directory,
            "middle of directory": lambda at: (at.directory + at.crc) // 2,
            "end of directory": lambda at: at.crc - 1,
            "CRC": lambda at: at.crc,
            "end of CRC": lambda at: at.data - 1,
            "start of data": lambda at: at.data,
            "middle of data": lambda at: (at.data + at.end) // 2,
            "end of data": lambda at: at.end - 1,
        }.items()
    ),
    *(
        pytest.param(cut(where), id=f"cut {name}")
        for name, where in {
            "all": lambda at: 0,
            "all but a byte": lambda at: 1,
            "in head": lambda at: at.description - 1,
            "description": lambda at: at.description,
            "in description": lambda at: at.directory - 1,
            "directory": lambda at: at.directory,
            "in directory": lambda at: at.crc - 1,
            "CRC": lambda at: at.crc,
            "data": lambda at: at.data,
            "half of data": lambda at: (at.data + at.end) // 2,
            "last byte": lambda at: at.end - 1,
            "nothing and has zeros more": lambda at: at.end + 10,
        }.items()
    ),
    pytest.param(claim(2**32 - 1, 2**32 - 1, 2**64 - 1), id="huge claims"),
    pytest.param(claim(2**32 - 1, 0, 0), id="a huge description"),
    pytest.param(claim(0, 0, 2**63), id="huge data"),
    pytest.param(another_part, id="another part"),
    pytest.param(lambda path: path.write_bytes(NOISE[:10_000]), id="noise"),
    pytest.param(lambda path: path.write_bytes(NOISE[:16]), id="a little noise"),
    pytest.param(folder_instead, id="a folder"),
]


def do(damage: Callable[[Path], object], path: Path) -> None:
    """Does damage, and sees that some was done."""
    before = path.read_bytes()
    damage(path)
    assert not path.is_file() or path.read_bytes() != before


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A tree `t` of two sections of some hundred kilobytes in all."""
    tree = tmp_path / "t"
    tree.mkdir()
    (tree / "a").write_bytes(bytes(4 << 20))
    (tree / "b").write_bytes(TEXT[: 200 << 10] + NOISE[: 100 << 10])
    return tree


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_costs_time_and_nothing_else(
    pair: Path,
    cache: Cache,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], object],
    which: int,
) -> None:
    plain = made(pair, cache)
    assert cache.usage().parts == 2
    path = parts(cache)[which]
    do(damage, path)
    with caplog.at_level(logging.INFO, "parazip.cache"):
        data, report = made(pair, Cache(cache.folder))
    assert data == plain.data
    assert 0 < report.recalled < report.members
    assert report.codecs == plain.report.codecs
    (note,) = report.notes
    assert str(path) in note
    told = [(record.name, record.levelno, record.getMessage()) for record in caplog.records]
    assert told == [("parazip.cache", logging.INFO, note)]
    data, report = made(pair, Cache(cache.folder))
    assert data == plain.data
    assert report.recalled == report.members
    assert report.notes == ()


def test_much_damage_is_told_once(tree: Path, cache: Cache) -> None:
    plain = made(tree, cache)
    for i, path in enumerate(parts(cache)):
        flip(path, [0, -1, 30][i % 3])
    fresh = Cache(cache.folder)
    data, report = made(tree, fresh)
    assert data == plain.data
    assert report.recalled == 0
    assert len(report.notes) == 1
    assert made(tree, fresh).report.recalled == report.members


def test_a_part_that_cannot_be_read_is_made_again(
    pair: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = made(pair, cache)
    locked = str(parts(cache)[0])

    def refuse(path: Any, mode: str = "r", buffering: int = -1, **more: Any) -> Any:
        if path == locked and mode == "rb":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return io.open(path, mode, buffering, **more)  # noqa: UP020 - `open` is what is replaced

    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "open", refuse, raising=False)
        data, report = made(pair, Cache(cache.folder))
    assert data == plain.data
    assert 0 < report.recalled < report.members
    (note,) = report.notes
    assert "Permission denied" in note
    assert made(pair, Cache(cache.folder)).report.recalled == report.members


@POSIX
def test_a_part_without_permissions_is_made_again(pair: Path, cache: Cache) -> None:
    plain = made(pair, cache)
    parts(cache)[0].chmod(0)
    if os.access(parts(cache)[0], os.R_OK):
        pytest.skip("root reads it all")
    data, report = made(pair, Cache(cache.folder))
    assert data == plain.data
    assert len(report.notes) == 1
    assert made(pair, Cache(cache.folder)).report.recalled == report.members


def prune_it(path: Path) -> None:
    path.unlink()


def keep_it_again(path: Path) -> None:
    """As another process does that did not find it when it looked."""
    again = path.with_name("again")
    again.write_bytes(path.read_bytes())
    again.replace(path)


def damage_it(path: Path) -> None:
    flip(path, -1)


def open_it_to_all(path: Path) -> None:
    path.parent.chmod(0o777)


def link_it(path: Path) -> None:
    again = path.parents[3] / path.name
    path.replace(again)
    path.symlink_to(again)


@pytest.mark.parametrize(
    "act", [prune_it, keep_it_again, damage_it, folder_instead, open_it_to_all, link_it]
)
def test_what_other_processes_do_between_finding_and_copying_harms_nothing(
    tree: Path, cache: Cache, act: Callable[[Path], None]
) -> None:
    class Raced(Cache):
        def find(self, key: str) -> CachedPart | None:
            kept = super().find(key)
            if kept is not None:
                act(Path(self.folder, "parts-1", key[:2], key[2:]))
            return kept

    plain = made(tree, cache)
    data, report = made(tree, Raced(cache.folder))
    assert data == plain.data
    assert report.codecs == plain.report.codecs
    assert temporaries(cache) == []
    assert made(tree, Cache(cache.folder)).data == plain.data


def test_what_another_process_pruned_meanwhile_is_not_called_damaged(
    pair: Path, cache: Cache
) -> None:
    class Pruned(Cache):
        def find(self, key: str) -> CachedPart | None:
            kept = super().find(key)
            Cache(self.folder).prune(0)
            return kept

    plain = made(pair, cache)
    data, report = made(pair, Pruned(cache.folder))
    assert data == plain.data
    assert report.notes == ()


# --- A cache that cannot be used -------------------------------------------------------------


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

    def __getattr__(self, name: str) -> Any:
        if name not in ("makedirs", "mkdir", "replace", "unlink", "utime"):
            return getattr(os, name)
        return self._fail

    def _fail(self, *args: object, **more: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def read_only(folder: Path, patch: pytest.MonkeyPatch) -> Cache:
    patch.setattr(cache_module, "os", ReadOnly())
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
    plain = made(tree)
    before = sorted(tree.parent.rglob("*"))
    spoilt = spoil(tree.parent / "cache", monkeypatch)
    for _ in range(2):
        data, report = made(tree, spoilt)
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
        report = made(pair, spoilt).report
    assert len(report.notes) == 1
    assert [record.getMessage() for record in caplog.records] == list(report.notes)


def test_a_cache_of_no_size_is_what_was_asked_for(pair: Path, tmp_path: Path) -> None:
    none = Cache(tmp_path / "cache", 0)
    assert made(pair, none).report.notes == ()
    assert not os.path.exists(none.folder)


@POSIX
def test_a_folder_without_permissions_is_told_once(pair: Path, cache: Cache) -> None:
    plain = made(pair, cache)
    cache.clear()
    Path(cache.folder).chmod(0o500)
    if os.access(cache.folder, os.W_OK):
        pytest.skip("root may do it all")
    data, report = made(pair, Cache(cache.folder))
    Path(cache.folder).chmod(0o700)
    assert data == plain.data
    (note,) = report.notes
    assert "nothing more was kept" in note
    assert "Permission denied" in note


def test_parts_on_a_file_system_that_takes_nothing_new_are_recalled(
    pair: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = made(pair, cache)
    monkeypatch.setattr(cache_module, "os", ReadOnly())
    data, report = made(pair, Cache(cache.folder))
    assert data == plain.data
    assert report.recalled == report.members
    assert report.notes == ()
    flip(parts(cache)[0], -1)
    data, report = made(pair, Cache(cache.folder))
    assert data == plain.data
    assert 0 < report.recalled < report.members


class Writes:
    """Stands for the cache's writing: counts, and fails half-way through one write."""

    def __init__(self, fail_at: int) -> None:
        self.fail_at = fail_at
        self.count = 0
        self._lock = threading.Lock()
        self._write: Callable[[Any, bytes], None] = cache_module._write_all

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
    plain = made(tree)
    for fail_at in itertools.count(1):
        cache = Cache(tmp_path / "cache")
        writes = Writes(fail_at)
        with monkeypatch.context() as patch:
            patch.setattr(cache_module, "_write_all", writes)
            data, report = made(tree, cache, settings)
        assert data == plain.data
        assert temporaries(cache) == []
        if writes.count < fail_at:
            break
        (note,) = report.notes
        assert note.endswith("No space left on device")
        assert_whole(Cache(cache.folder))
        assert cache.usage().parts < 3
        data, report = made(tree, Cache(cache.folder))
        assert data == plain.data
        assert report.notes == ()
        cache.clear()
    assert fail_at > 3 * 5
    assert report.notes == ()
    assert cache.usage().parts == 3


def test_parts_over_the_limit_are_left_out_and_all_others_kept(tree: Path, cache: Cache) -> None:
    small = Cache(cache.folder, 100_000)
    plain = made(tree)
    for recalled in (False, True):
        data, report = made(tree, small)
        assert data == plain.data
        assert (report.recalled > 0) is recalled
        assert report.recalled < report.members
        assert 0 < small.usage().size <= small.limit
        assert temporaries(small) == []


def test_what_does_not_fit_goes(tree: Path, cache: Cache) -> None:
    total = made(tree, cache).report.members
    usage = cache.usage()
    small = Cache(cache.folder, usage.size - 1)
    assert made(tree, small).report.recalled == total
    assert small.usage() == usage
    rewrite(tree / "one", lambda data: b"2")
    plain = made(tree)
    data, report = made(tree, small)
    assert data == plain.data
    assert 0 < report.recalled < total
    assert 0 < small.usage().size <= small.limit
    assert small.usage().parts <= usage.parts
    data, report = made(tree, small)
    assert data == plain.data
    assert report.notes == ()
    assert small.usage().size <= small.limit


# --- Outputs that are no file of ours --------------------------------------------------------


def as_memory(path: Path, members: list[parazip.Member], cache: Cache | None) -> bytes:
    output = io.BytesIO()
    report = parazip.write(output, members, Settings(level=1), cache=cache)
    assert (report.recalled, report.notes) == (0, ())
    return output.getvalue()


def as_open_file(path: Path, members: list[parazip.Member], cache: Cache | None) -> bytes:
    with open(path, "w+b") as output:
        output.write(b"what is there before")
        report = parazip.write(output, members, Settings(level=1), cache=cache)
    assert (report.recalled, report.notes) == (0, ())
    return path.read_bytes()


def as_pipe(path: Path, members: list[parazip.Member], cache: Cache | None) -> bytes:
    output = io.BytesIO()
    report = parazip.write(Pipe(output, "pipe"), members, Settings(level=1), cache=cache)
    assert (report.recalled, report.notes) == (0, ())
    return output.getvalue()


def as_named_pipe(path: Path, members: list[parazip.Member], cache: Cache | None) -> bytes:
    os.mkfifo(path)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()))
    reader.start()
    report = parazip.write(path, members, Settings(level=1), cache=cache)
    reader.join(HUNG)
    assert (report.recalled, report.notes) == (0, ())
    path.unlink()
    return received[0]


@POSIX
@pytest.mark.parametrize("write", [as_memory, as_open_file, as_pipe, as_named_pipe])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_other_outputs_do_without_the_cache(
    tree: Path,
    cache: Cache,
    warm: bool,
    write: Callable[[Path, list[parazip.Member], Cache | None], bytes],
) -> None:
    if warm:
        made(tree, cache)
    usage = cache.usage()
    members = list(find_members(["t"], Selection(directory=tree.parent, symlinks="store")))
    plain = write(tree.parent / "out", members, None)
    with zipfile.ZipFile(io.BytesIO(plain)) as opened:
        assert opened.testzip() is None
        assert opened.read("t/large.txt") == TEXT
    assert write(tree.parent / "out", members, cache) == plain
    assert cache.usage() == usage


def test_for_other_outputs_no_file_is_hashed(
    small: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(files, "hash_file", lambda file: hashed.append(file.path))
    selection = Selection(directory=small.parent)
    parazip.create(io.BytesIO(), ["t"], None, selection, cache=cache, identity="content")
    assert hashed == []


# --- Errors in the middle --------------------------------------------------------------------


def vanish(path: Path) -> None:
    path.unlink()


def grow(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def change(path: Path) -> None:
    rewrite(path, one_byte)


@pytest.mark.parametrize("name", ["t/large.txt", "t/one", "t/run.sh"])
@pytest.mark.parametrize("happen", [vanish, grow, change])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_source_that_changes_in_the_middle_keeps_nothing_wrong(
    tree: Path, cache: Cache, name: str, happen: Callable[[Path], None], warm: bool
) -> None:
    selection = Selection(directory=tree.parent, symlinks="store")
    target = tree.parent / "out.zip"
    if warm:
        made(tree, cache)
    else:
        made(tree / "folder", cache)
    members = list(find_members(["t"], selection))
    if warm:  # what is recalled is not looked at again
        rewrite(tree.parent / name, lambda data: data)
        members = list(find_members(["t"], selection))
    happen(tree.parent / name)
    before = target.read_bytes() if target.exists() else None
    with pytest.raises((SourceError, SourceChangedError), match=name):
        parazip.write(target, members, Settings(level=1), cache=cache)
    assert (target.read_bytes() if target.exists() else None) == before
    assert temporaries(cache) == []
    assert_whole(Cache(cache.folder))
    if not (tree.parent / name).exists():
        (tree.parent / name).write_bytes(b"back again")
    plain = made(tree)
    for _ in range(2):
        data, report = made(tree, cache)
        assert data == plain.data
    assert report.recalled == report.members
    assert report.notes == ()


def test_a_source_that_changes_after_it_was_hashed_keeps_nothing_wrong(
    small: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = files.hash_file

    def then_changed(file: parazip.File) -> str:
        known = digest(file)
        if file.path.endswith("a.txt"):
            rewrite(Path(file.path), one_byte)
        return known

    with monkeypatch.context() as patch:
        patch.setattr(files, "hash_file", then_changed)
        with pytest.raises(SourceChangedError, match=r"a\.txt"):
            made(small, cache, identity="content")
    assert cache.usage() == Usage(0, 0)
    plain = made(small)
    assert made(small, cache, identity="content").data == plain.data
    assert made(small, cache, identity="content").data == plain.data


def test_a_source_of_a_damaged_part_that_has_gone_is_an_error(pair: Path, cache: Cache) -> None:
    made(pair, cache)
    members = list(find_members(["t"], Selection(directory=pair.parent, symlinks="store")))
    flip(parts(cache)[0], -1)
    flip(parts(cache)[1], -1)
    (pair / "b").unlink()
    with pytest.raises(SourceError, match="t/b"):
        parazip.write(pair.parent / "new.zip", members, Settings(level=1), cache=cache)
    assert not (pair.parent / "new.zip").exists()
    assert temporaries(cache) == []


def test_a_progress_sink_that_fails_keeps_nothing_wrong(tree: Path, cache: Cache) -> None:
    def fail(progress: parazip.Progress) -> None:
        if progress.members > 65:
            raise RuntimeError("on purpose")

    selection = Selection(directory=tree.parent)
    with pytest.raises(RuntimeError, match="on purpose"):
        parazip.create(tree.parent / "x.zip", ["t"], None, selection, cache=cache, progress=fail)
    assert not (tree.parent / "x.zip").exists()
    assert temporaries(cache) == []
    assert_whole(Cache(cache.folder))


@POSIX
@pytest.mark.parametrize("exists", [False, True])
def test_a_cache_inside_of_what_is_put_in_is_refused_or_left_out(pair: Path, exists: bool) -> None:
    cache = Cache(pair / "deep" / "z")
    (pair / "deep").mkdir()
    (pair / "link").symlink_to("deep")
    if exists:
        made(pair / "a", cache)
    for inside in (cache, Cache(pair / "link" / "z")):
        with pytest.raises(SourceError, match=r"the cache .* lies inside .*--exclude t/deep/z"):
            made(pair, inside)
    plain = made(pair, exclude=("z",))
    made(pair, cache, exclude=("z",))
    again = made(pair, cache, exclude=("t/deep/z",))
    assert again.data == plain.data
    assert again.report.recalled > 0
    assert cache.usage().parts >= 2


# --- Several processes -----------------------------------------------------------------------


PATCHED = """
import sys
from parazip import cache, keys
keys._TICK_NS = keys._COARSE_TICK_NS = 0
"""


def python(code: str, *args: str | Path, cwd: Path) -> subprocess.Popen[bytes]:
    """A process that runs `code`, with parts of files of just now kept, too."""
    return subprocess.Popen(
        [sys.executable, "-c", PATCHED + code, *(str(arg) for arg in args)],
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


ON_START = """
from parazip.__main__ import main
import parazip.cli.create, parazip.archive
print("ready", flush=True)
sys.stdin.readline()
main()
"""

PRUNING = """
print("ready", flush=True)
sys.stdin.readline()
while True:
    cache.Cache(sys.argv[1]).prune(0)
"""


def started_at_once(*processes: subprocess.Popen[bytes]) -> None:
    """Lets all go on as soon as all are ready."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()


def test_two_processes_keep_and_find_at_once(tree: Path, cache: Cache) -> None:
    work = tree.parent
    plain = made(tree)
    usages = []
    for moment in range(6):
        if moment % 3 == 0:
            cache.clear()
        arguments = ["--cache-dir", cache.folder, "create", "-1", "-q", "--symlinks=store"]
        both = [
            python(ON_START, *arguments, "--cache", f"{name}.zip", "t", cwd=work) for name in "ab"
        ]
        started_at_once(*both)
        for process, name in zip(both, "ab", strict=True):
            _, err = process.communicate(timeout=HUNG)
            assert (process.returncode, err) == (0, b"")
            assert (work / f"{name}.zip").read_bytes() == plain.data
        assert temporaries(cache) == []
        usages.append(cache.usage())
    assert len(set(usages)) == 1
    assert_whole(Cache(cache.folder))
    assert made(tree, cache).report.recalled == plain.report.members


def test_a_process_that_prunes_all_the_time_harms_nothing(tree: Path, cache: Cache) -> None:
    plain = made(tree)
    pruning = python(PRUNING, cache.folder, cwd=tree.parent)
    try:
        started_at_once(pruning)
        for _ in range(8):
            assert made(tree, Cache(cache.folder)).data == plain.data
            assert made(tree, Cache(cache.folder)).data == plain.data
    finally:
        pruning.kill()
        pruning.communicate(timeout=HUNG)
    assert temporaries(cache) == []
    assert made(tree, Cache(cache.folder)).data == plain.data


KILLED = """
import os, signal, threading
from parazip.__main__ import main
number, at, part = int(sys.argv.pop(1)), int(sys.argv.pop(1)), float(sys.argv.pop(1))
write, replace, lock, writes = cache._write_all, os.replace, threading.Lock(), []

def write_and_die(file, data):
    with lock:
        writes.append(len(data))
        dies = len(writes) == at
    middle = int(part * len(data)) if dies else len(data)
    write(file, data[:middle])
    if dies:
        os.kill(os.getpid(), number)
        write(file, data[middle:])

def replace_and_die(old, new, **folders):
    dies = len(writes) >= -at > 0
    if dies and part < 0.5:
        os.kill(os.getpid(), number)
    replace(old, new, **folders)
    if dies:
        os.kill(os.getpid(), number)

cache._write_all, os.replace = write_and_die, replace_and_die
main()
"""


@POSIX
def test_a_kill_while_parts_are_kept_leaves_nothing_that_is_found(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    for name in "abc":
        (tree / name).write_bytes(NOISE)
    plain = made(tree)
    chance = random.Random(1)
    options = ["--cache-dir", cache.folder, "create", "-1", "--cache", "out.zip", "t"]
    (tmp_path / "out.zip").write_bytes(b"old")
    for kill in range(15):
        # At some write; every third time at a rename, before or after it.
        at = -1 - 4 * (kill // 3) if kill % 3 == 2 else chance.randint(1, 18)
        told = (str(signal.SIGKILL.value), str(at), str(chance.random()))
        process = python(KILLED, *told, *options, cwd=tmp_path)
        _, err = process.communicate(timeout=HUNG)
        assert (process.returncode, err) == (-signal.SIGKILL, b"")
        assert (tmp_path / "out.zip").read_bytes() == b"old"
        assert_whole(Cache(cache.folder))
        assert cache.usage().parts <= 3
        cache.prune(0)
    left = temporaries(cache)
    assert len(left) >= 5
    assert all(path.name.startswith("tmp-") for path in left)
    for _ in range(2):
        data, report = made(tree, Cache(cache.folder))
        assert data == plain.data
        assert report.notes == ()
    assert report.recalled == report.members
    assert temporaries(cache) == left
    now = max(path.stat().st_mtime for path in left)
    for seconds, expected in ((-1, left), (3500, left), (3700, [])):
        patched = SimpleNamespace(time=lambda later=now + seconds: later)
        with monkeypatch.context() as patch:
            patch.setattr(cache_module, "time", patched)
            cache.prune(cache.limit)
        assert temporaries(cache) == expected
    assert cache.usage().parts == 3


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [1, 8, 15])
def test_a_signal_while_parts_are_kept_leaves_nothing_half_done(
    tmp_path: Path, cache: Cache, number: signal.Signals, at: int
) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    for name in "abc":
        (tree / name).write_bytes(NOISE)
    plain = made(tree)
    (tmp_path / "out.zip").write_bytes(b"old")
    options = ["--cache-dir", cache.folder, "create", "-1", "--cache", "out.zip", "t"]
    process = python(KILLED, str(number.value), str(at), "0.5", *options, cwd=tmp_path)
    _, err = process.communicate(timeout=HUNG)
    assert (process.returncode, err) == (1, b"parazip: interrupted\n")
    assert (tmp_path / "out.zip").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["cache", "out.zip", "t"]
    assert temporaries(cache) == []
    assert_whole(Cache(cache.folder))
    assert made(tree, cache).data == plain.data


RECALLING = """
import os, signal
from parazip.__main__ import main
from parazip.writer import ArchiveWriter
number, at = int(sys.argv.pop(1)), int(sys.argv.pop(1))
recall, calls = ArchiveWriter.recall_part, []

def recall_and_signal(*arguments):
    calls.append(arguments)
    if len(calls) == at:
        os.kill(os.getpid(), number)
    return recall(*arguments)

ArchiveWriter.recall_part = recall_and_signal
main()
"""


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [1, 3, 6])
def test_a_signal_while_parts_are_recalled_leaves_nothing_half_done(
    tmp_path: Path, cache: Cache, number: signal.Signals, at: int
) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    for name in "abcdef":
        (tree / name).write_bytes(NOISE)
    plain = made(tree, cache)
    (tmp_path / "out.zip").write_bytes(b"old")
    options = ["--cache-dir", cache.folder, "create", "-1", "--cache", "out.zip", "t"]
    process = python(RECALLING, str(number.value), str(at), *options, cwd=tmp_path)
    _, err = process.communicate(timeout=HUNG)
    assert (process.returncode, err) == (1, b"parazip: interrupted\n")
    assert (tmp_path / "out.zip").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["cache", "out.zip", "t"]
    assert made(tree, cache).data == plain.data


@pytest.mark.parametrize("seed", range(5))
def test_recalled_and_made_sections_come_in_order(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    for i in range(6):
        (tree / f"{i}").write_bytes(NOISE[i:] + TEXT[: i * 1000])
    plain = made(tree, cache)
    assert len(parts(cache)) == 6
    chance = random.Random(seed)
    gone, gone_too, damaged = chance.sample(parts(cache), 3)
    gone.unlink()
    gone_too.unlink()
    flip(damaged, damaged.stat().st_size - 10)  # data: found out while they are written
    alive: list[bool] = []
    start = Helpers.start

    def counted(crew: Helpers) -> None:
        alive.append(threading.active_count() == 1)
        start(crew)

    monkeypatch.setattr(Helpers, "start", counted)
    monkeypatch.setattr(starting, "may_fork", True)  # by the command, before there are threads
    again = made(tree, cache)
    assert again.data == plain.data
    assert again.report.recalled in (3, 4)  # one part holds the folder, too
    assert alive == [True]
    assert len(cache.notes) == 1


# --- The command -----------------------------------------------------------------------------


class Done(NamedTuple):
    code: int
    out: bytes
    err: str


def run(*args: str | Path, cwd: Path) -> Done:
    process = python("from parazip.__main__ import main\nmain()", *args, cwd=cwd)
    out, err = process.communicate(timeout=HUNG)
    return Done(process.returncode, out, err.decode())


def assert_fails(done: Done, code: int, *told: str) -> None:
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    for text in told:
        assert text in done.err


@pytest.fixture
def in_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """The cache that commands use without being told."""
    monkeypatch.setenv("PARAZIP_CACHE_DIR", str(tmp_path / "cache"))
    return Cache()


SPELLINGS: dict[str, tuple[list[str], str | None]] = {
    "before": (["--cache", "out.zip", "t"], "stat"),
    "between": (["out.zip", "--cache", "t"], "stat"),
    "after": (["out.zip", "t", "--cache"], "stat"),
    "before options": (["--cache", "-1", "out.zip", "t"], "stat"),
    "before --": (["--cache", "--", "out.zip", "t"], "stat"),
    "=stat": (["--cache=stat", "out.zip", "t"], "stat"),
    "=content": (["--cache=content", "out.zip", "t"], "content"),
    "=content after": (["out.zip", "t", "--cache=content"], "content"),
    "content is the last word": (["--cache", "--cache=content", "out.zip", "t"], "content"),
    "none": (["out.zip", "t"], None),
}


@pytest.mark.parametrize(("args", "identity"), SPELLINGS.values(), ids=SPELLINGS)
def test_spellings_of_the_option(
    small: Path, in_environment: Cache, args: list[str], identity: archive.Identification | None
) -> None:
    work = small.parent
    level = [] if "-1" in args else ["-1"]
    done = run("create", "--symlinks=store", *level, *args, cwd=work)
    assert (done.code, done.out) == (0, b""), done.err
    assert done.err.startswith("out.zip: 6 members, ")
    assert (work / "out.zip").read_bytes() == made(small).data
    assert in_environment.usage().parts == (identity is not None)
    if identity is not None:
        report = made(small, in_environment, identity=identity).report
        assert report.recalled == report.members == 6
    assert sorted(os.listdir(work)) == [*(["cache"] if identity else []), "out.zip", "t"]


def test_behind_two_dashes_the_option_is_a_name(small: Path, in_environment: Cache) -> None:
    work = small.parent
    (work / "--cache").write_bytes(b"a file")
    done = run("create", "--", "out.zip", "--cache", cwd=work)
    assert done.code == 0, done.err
    assert zipfile.ZipFile(work / "out.zip").namelist() == ["--cache"]
    assert in_environment.usage() == Usage(0, 0)


@pytest.mark.parametrize("value", ["--cache=", "--cache=all", "--cache=Content"])
def test_other_values_of_the_option_are_refused(small: Path, value: str) -> None:
    done = run("create", value, "out.zip", "t", cwd=small.parent)
    assert_fails(done, 2, "--cache", "content")
    assert os.listdir(small.parent) == ["t"]


def test_the_summary_tells_what_was_recalled(small: Path, in_environment: Cache) -> None:
    work = small.parent
    command = ["create", "--cache", "out.zip", "t"]
    assert run(*command, cwd=work).err.startswith("out.zip: 6 members, ")
    assert run(*command, cwd=work).err.startswith("out.zip: 6 members (6 recalled), ")
    assert run(*command[:1], *command[2:], cwd=work).err.startswith("out.zip: 6 members, ")
    assert run(*command, "-q", cwd=work) == Done(0, b"", "")


def test_notes_stand_below_the_summary(small: Path, in_environment: Cache) -> None:
    Path(in_environment.folder).write_text("no folder")
    done = run("create", "--cache", "out.zip", "t", cwd=small.parent)
    assert done.code == 0
    summary, note = done.err.splitlines()
    assert summary.startswith("out.zip: 6 members, ")
    assert note.startswith(f"parazip: nothing more was kept in the cache {in_environment.folder}: ")
    assert run("create", "--cache", "-q", "out.zip", "t", cwd=small.parent) == Done(0, b"", "")


def test_the_last_event_tells_what_was_recalled_and_notes(
    small: Path, in_environment: Cache
) -> None:
    work = small.parent

    def done() -> dict[str, Any]:
        told = run("create", "--cache", "--progress=json", "out.zip", "t", cwd=work)
        assert told.code == 0, told.err
        event: dict[str, Any] = json.loads(told.err.splitlines()[-1])
        assert event["event"] == "done"
        assert event["members"] == 6
        return event

    first, second = done(), done()
    assert (first["recalled"], first["notes"]) == (0, [])
    assert (second["recalled"], second["notes"]) == (6, [])
    assert second["codecs"] == first["codecs"]
    assert second["sections"] == []
    flip(parts(in_environment)[0], -1)
    third = done()
    assert third["recalled"] == 0
    (note,) = third["notes"]
    assert str(parts(in_environment)[0]) in note


def test_standard_output_does_without_the_cache(small: Path, in_environment: Cache) -> None:
    work = small.parent
    plain = run("create", "-", "t", cwd=work)
    for option in ("--cache", "--cache=content"):
        done = run("create", option, "-", "t", cwd=work)
        assert (done.code, done.out) == (0, plain.out)
        assert done.err.startswith("standard output: 6 members, ")
    assert in_environment.usage() == Usage(0, 0)
    assert sorted(os.listdir(work)) == ["t"]


def test_the_place_of_the_cache(small: Path, in_environment: Cache) -> None:
    work = small.parent
    for told, folder in (([], "cache"), (["--cache-dir", "c2"], "c2"), (["--cache-dir=c3"], "c3")):
        assert run(*told, "create", "--cache", "out.zip", "t", cwd=work).code == 0
        assert Cache(work / folder).usage().parts == 1
        info = run(*told, "cache", "info", cwd=work)
        assert info.out.decode().splitlines()[0] == f"folder  {work / folder}"


def test_cache_info_prune_and_clear(small: Path, in_environment: Cache) -> None:
    work = small.parent

    def told(*args: str) -> list[str]:
        done = run("cache", *args, cwd=work)
        assert (done.code, done.err) == (0, "")
        return [" ".join(line.split()) for line in done.out.decode().splitlines()]

    folder = f"folder {in_environment.folder}"
    assert told("info") == [folder, "parts 0", "size 0 B of at most 5.4 GB"]
    assert told("clear") == told("prune") == ["0 parts thrown away, 0 B"]
    assert not os.path.exists(in_environment.folder)
    for level in "123":
        assert run("create", "--cache", f"-{level}", "out.zip", "t", cwd=work).code == 0
    assert in_environment.usage().parts == 3
    sizes = [path.stat().st_size for path in parts(in_environment)]
    size = f"{sum(sizes) / 1000:.1f} kB"
    assert told("info") == [folder, "parts 3", f"size {size} of at most 5.4 GB"]
    assert told("prune") == ["0 parts thrown away, 0 B"]
    for path, use in zip(parts(in_environment), (3, 1, 2), strict=True):
        os.utime(path, (LAST_YEAR + use, LAST_YEAR))
    (gone,) = told("prune", "--size", str(sum(sizes) - 1))
    assert gone == f"1 part thrown away, {sizes[1] / 1000:.1f} kB"
    assert in_environment.usage() == Usage(2, sizes[0] + sizes[2])
    assert told("prune", "--size=0") == [
        f"2 parts thrown away, {(sizes[0] + sizes[2]) / 1000:.1f} kB"
    ]
    assert run("create", "--cache", "out.zip", "t", cwd=work).code == 0
    (gone,) = told("clear")
    assert gone.startswith("1 part thrown away, ")
    assert told("info")[1:] == ["parts 0", "size 0 B of at most 5.4 GB"]
    assert os.listdir(in_environment.folder) == []


def test_the_size_of_the_cache(
    small: Path, in_environment: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = small.parent
    for _ in range(2):  # it does not fit: nothing is kept
        done = run("--cache-size", "100", "create", "--cache", "out.zip", "t", cwd=work)
        assert done.code == 0
        assert in_environment.usage() == Usage(0, 0)
    monkeypatch.setenv("PARAZIP_CACHE_SIZE", "2M")
    assert "of at most 2.1 MB" in run("cache", "info", cwd=work).out.decode()
    assert "of at most 1.0 kB" in run("--cache-size=1000", "cache", "info", cwd=work).out.decode()
    assert run("create", "--cache", "out.zip", "t", cwd=work).code == 0
    assert in_environment.usage().parts == 1
    assert run("--cache-size=1", "cache", "prune", cwd=work).out.startswith(b"1 part thrown away")


WRONG_SIZES: dict[str, tuple[list[str], str]] = {
    "info": (["--cache-size", "much", "cache", "info"], "cache size"),
    "prune": (["--cache-size", "-1", "cache", "prune"], "cache size"),
    "clear": (["--cache-size=1X", "cache", "clear"], "cache size"),
    "create": (["--cache-size=1X", "create", "--cache", "o.zip", "t"], "cache size"),
    "prune --size": (["cache", "prune", "--size", "much"], "--size"),
    "prune --size=-1": (["cache", "prune", "--size=-1"], "--size"),
}


@pytest.mark.parametrize(("args", "name"), WRONG_SIZES.values(), ids=WRONG_SIZES)
def test_a_wrong_size_is_a_wrong_command_line(
    small: Path, in_environment: Cache, args: list[str], name: str
) -> None:
    done = run(*args, cwd=small.parent)
    assert_fails(done, 2, "is not a size")
    assert name in done.err.replace("cache-size", "cache size")
    assert os.listdir(small.parent) == ["t"]


@pytest.mark.parametrize(
    "args", [["cache", "info"], ["cache", "clear"], ["create", "--cache", "o.zip", "t"]], ids=str
)
def test_a_wrong_size_in_the_environment_is_told(
    small: Path, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    monkeypatch.setenv("PARAZIP_CACHE_SIZE", "much")
    assert_fails(run(*args, cwd=small.parent), 2, "PARAZIP_CACHE_SIZE", "'much' is not a size")
    assert os.listdir(small.parent) == ["t"]
    assert run("create", "o.zip", "t", cwd=small.parent).code == 0, "who does not use it"


STUCK = """
import os, errno
from parazip.__main__ import main

def refuse(*args, **more):
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), *args[:1])

os.unlink = refuse
main()
"""


def test_what_cannot_be_cleared_is_told(small: Path, in_environment: Cache) -> None:
    made(small, in_environment)
    process = python(STUCK, "cache", "clear", cwd=small.parent)
    out, err = process.communicate(timeout=HUNG)
    assert_fails(Done(process.returncode, out, err.decode()), 1, "parazip: cannot ", "parts-1")
    assert in_environment.usage().parts == 1
    assert run("cache", "clear", cwd=small.parent).out.startswith(b"1 part thrown away, ")


def test_a_file_in_place_of_parts_is_no_matter_for_commands(
    small: Path, in_environment: Cache
) -> None:
    Path(in_environment.folder).mkdir()
    Path(in_environment.folder, "parts-1").write_text("no folder")
    assert b"parts   0" in run("cache", "info", cwd=small.parent).out
    assert run("cache", "prune", cwd=small.parent).out == b"0 parts thrown away, 0 B\n"
