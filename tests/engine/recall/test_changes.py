"""What is the same to the cache, and what is not."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

import parazip
from parazip import Selection, Settings
from parazip.engine import archive, keys
from parazip.engine import cache as cache_module
from parazip.engine.cache import Cache
from support.recalling import LAST_YEAR, TEXT, change_in_place, make_archive, one_byte

pytestmark = pytest.mark.once


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


def touch_texts(tree: Path) -> None:
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
    "files were touched": Change(False, True, touch_texts),
    "files were copied": Change(False, True, copy_elsewhere),
    "rewritten with the same": Change(
        False, True, lambda tree: change_in_place(tree / "a.txt", lambda data: data)
    ),
    "one byte, its time put back": Change(
        False, False, lambda tree: change_in_place(tree / "a.txt", one_byte)
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
    total = make_archive(small, cache, Settings(level=1), identity, **first).report.members
    assert cache.usage().parts == 1
    assert make_archive(small, cache, Settings(level=1), identity, **first).report.recalled == total
    change.change(small)
    selection = {**first, **change.selection}
    plain = make_archive(small, None, change.settings, **selection)
    again = make_archive(small, cache, change.settings, identity, target="other.zip", **selection)
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
    total = make_archive(small, cache).report.members
    with monkeypatch.context() as patch:
        patch.setattr(keys, "_codec_versions", lambda: "isal 99")
        assert make_archive(small, cache).report.recalled == 0
    assert make_archive(small, cache).report.recalled == total


def test_both_identities_keep_parts_of_their_own(small: Path, cache: Cache) -> None:
    total = make_archive(small, cache).report.members
    assert make_archive(small, cache, identity="content").report.recalled == 0
    assert cache.usage().parts == 2
    assert make_archive(small, cache, identity="content").report.recalled == total
    assert make_archive(small, cache).report.recalled == total


def test_by_content_a_copy_elsewhere_is_known(small: Path, cache: Cache) -> None:
    total = make_archive(small, cache, identity="content", timestamp="epoch").report.members
    shutil.copytree(small, small.parent / "deep" / "t", symlinks=True)
    copy = small.parent / "deep" / "t"
    assert make_archive(copy, cache, identity="content", timestamp="epoch").report.recalled == total
    assert make_archive(copy, cache, identity="stat", timestamp="epoch").report.recalled == 0


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
    plain = make_archive(small)
    for age, kept, recalled in ((50, 0, 0), (99, 0, 0), (2001, 1, 0), (50, 1, 0), (2001, 1, 1)):
        now = changed + age * 1_000_000
        clock = SimpleNamespace(time_ns=lambda now=now: now, time=lambda now=now: now / 1e9)
        with monkeypatch.context() as patch:
            patch.setattr(cache_module, "time", clock)
            patch.setattr("parazip.engine.keys.time", clock)
            data, report = make_archive(small, cache, identity=identity)
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
    total = make_archive(forest, cache, identity=identity).report.members
    assert total == MANY + 11
    assert make_archive(forest, cache, identity=identity).report.recalled == total
    for what, change in FEW.items():
        before = cache.usage().parts
        change(forest)
        data, report = make_archive(forest, cache, identity=identity)
        assert cache.usage().parts - before <= 2, what
        assert report.recalled > report.members * 0.6, what
        assert data == make_archive(forest).data
