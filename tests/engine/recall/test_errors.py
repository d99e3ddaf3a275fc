"""Outputs that the cache is no help for, and errors in the middle, which keep nothing wrong."""

from __future__ import annotations

import io
import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import parazip
from parazip import Selection, Settings
from parazip.engine.cache import Cache, Usage
from parazip.errors import SourceChangedError, SourceError
from parazip.output.stream import Pipe
from parazip.sources import files
from parazip.sources.walk import find_members
from support.paths import delete_file, grow_file
from support.patience import HUNG
from support.recalling import (
    POSIX,
    TEXT,
    assert_whole,
    change_in_place,
    flip_bit,
    list_parts,
    list_temporaries,
    make_archive,
    one_byte,
)

pytestmark = pytest.mark.once


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
        make_archive(tree, cache)
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


def write_other_bytes(path: Path) -> None:
    change_in_place(path, one_byte)


@pytest.mark.parametrize("name", ["t/large.txt", "t/one", "t/run.sh"])
@pytest.mark.parametrize("happen", [delete_file, grow_file, write_other_bytes])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_source_that_changes_in_the_middle_keeps_nothing_wrong(
    tree: Path, cache: Cache, name: str, happen: Callable[[Path], None], warm: bool
) -> None:
    selection = Selection(directory=tree.parent, symlinks="store")
    target = tree.parent / "out.zip"
    if warm:
        make_archive(tree, cache)
    else:
        make_archive(tree / "folder", cache)
    members = list(find_members(["t"], selection))
    if warm:  # what is recalled is not looked at again
        change_in_place(tree.parent / name, lambda data: data)
        members = list(find_members(["t"], selection))
    happen(tree.parent / name)
    before = target.read_bytes() if target.exists() else None
    with pytest.raises((SourceError, SourceChangedError), match=name):
        parazip.write(target, members, Settings(level=1), cache=cache)
    assert (target.read_bytes() if target.exists() else None) == before
    assert list_temporaries(cache) == []
    assert_whole(Cache(cache.folder))
    if not (tree.parent / name).exists():
        (tree.parent / name).write_bytes(b"back again")
    plain = make_archive(tree)
    for _ in range(2):
        data, report = make_archive(tree, cache)
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
            change_in_place(Path(file.path), one_byte)
        return known

    with monkeypatch.context() as patch:
        patch.setattr(files, "hash_file", then_changed)
        with pytest.raises(SourceChangedError, match=r"a\.txt"):
            make_archive(small, cache, identity="content")
    assert cache.usage() == Usage(0, 0)
    plain = make_archive(small)
    assert make_archive(small, cache, identity="content").data == plain.data
    assert make_archive(small, cache, identity="content").data == plain.data


def test_a_source_of_a_damaged_part_that_has_gone_is_an_error(pair: Path, cache: Cache) -> None:
    make_archive(pair, cache)
    members = list(find_members(["t"], Selection(directory=pair.parent, symlinks="store")))
    flip_bit(list_parts(cache)[0], -1)
    flip_bit(list_parts(cache)[1], -1)
    (pair / "b").unlink()
    with pytest.raises(SourceError, match="t/b"):
        parazip.write(pair.parent / "new.zip", members, Settings(level=1), cache=cache)
    assert not (pair.parent / "new.zip").exists()
    assert list_temporaries(cache) == []


def test_a_progress_sink_that_fails_keeps_nothing_wrong(tree: Path, cache: Cache) -> None:
    def fail(progress: parazip.Progress) -> None:
        if progress.members > 65:
            raise RuntimeError("on purpose")

    selection = Selection(directory=tree.parent)
    with pytest.raises(RuntimeError, match="on purpose"):
        parazip.create(tree.parent / "x.zip", ["t"], None, selection, cache=cache, progress=fail)
    assert not (tree.parent / "x.zip").exists()
    assert list_temporaries(cache) == []
    assert_whole(Cache(cache.folder))


@POSIX
@pytest.mark.parametrize("exists", [False, True])
def test_a_cache_inside_of_what_is_put_in_is_refused_or_left_out(pair: Path, exists: bool) -> None:
    cache = Cache(pair / "deep" / "z")
    (pair / "deep").mkdir()
    (pair / "link").symlink_to("deep")
    if exists:
        make_archive(pair / "a", cache)
    for inside in (cache, Cache(pair / "link" / "z")):
        with pytest.raises(SourceError, match=r"the cache .* lies inside .*--exclude t/deep/z"):
            make_archive(pair, inside)
    plain = make_archive(pair, exclude=("z",))
    make_archive(pair, cache, exclude=("z",))
    again = make_archive(pair, cache, exclude=("t/deep/z",))
    assert again.data == plain.data
    assert again.report.recalled > 0
    assert cache.usage().parts >= 2
