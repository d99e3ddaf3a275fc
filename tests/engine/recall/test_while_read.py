"""What a neighbour does to a part while it is being copied into an archive."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parazip.engine.cache import Cache
from parazip.sources import files
from support.recalling import (
    NOISE,
    POSIX,
    flip_bit,
    list_parts,
    list_temporaries,
    make_archive,
)

pytestmark = [pytest.mark.once, POSIX]


def cut(path: Path, other: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path, other: Path) -> None:
    os.truncate(path, 0)


def extend(path: Path, other: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(1 << 20))


def damage(path: Path, other: Path) -> None:
    flip_bit(path, -1)


def damage_and_put_the_time_back(path: Path, other: Path) -> None:
    info = path.stat()
    flip_bit(path, -1)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def write_another_over_it(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def swap(path: Path, other: Path) -> None:
    aside = path.parents[3] / "aside"
    path.rename(aside)
    other.rename(path)
    aside.rename(other)


def link_hard(path: Path, other: Path) -> None:
    path.unlink()
    path.hardlink_to(other)


def link(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(other)


def pipe(path: Path, other: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def open_to_all(path: Path, other: Path) -> None:
    path.chmod(0o666)
    path.parent.chmod(0o777)


def remove_all(path: Path, other: Path) -> None:
    Cache(path.parents[2]).clear()


DEEDS = [
    cut,
    empty,
    extend,
    damage,
    damage_and_put_the_time_back,
    write_another_over_it,
    swap,
    link_hard,
    link,
    pipe,
    open_to_all,
    remove_all,
]


class Reading:
    """Stands for `files.fill_view`; before the n-th piece of a part is read, something is done."""

    def __init__(self, parts: list[Path], at: int, do: Callable[[Path, Path], None]) -> None:
        self.pieces = 0
        self._parts = parts
        self._at = at
        self._do = do
        self._fill = files.fill_view

    def __call__(self, file: Any, opened: Any, offset: int, view: memoryview) -> memoryview:
        path = Path(file.path)
        if path in self._parts:
            self.pieces += 1
            if self.pieces == self._at:
                (other,) = {*self._parts} - {path}
                self._do(path, other)
        return self._fill(file, opened, offset, view)


@pytest.mark.parametrize("do", DEEDS)
def test_what_is_done_to_a_part_while_it_is_read_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, do: Callable[[Path, Path], None]
) -> None:
    """Nor what is done to the one that is read next."""
    tree = tmp_path / "t"
    tree.mkdir()
    (tree / "a").write_bytes(NOISE)
    (tree / "b").write_bytes(NOISE[: 2 << 20])
    plain = make_archive(tree)
    for at in itertools.count(1, 2):
        cache = Cache(tmp_path / "cache")
        make_archive(tree, cache)
        parts = list_parts(cache)
        assert len(parts) == 2
        reading = Reading(parts, at, do)
        with monkeypatch.context() as patch:
            patch.setattr(files, "fill_view", reading)
            data, report = make_archive(tree, Cache(cache.folder))
        assert data == plain.data
        assert report.codecs == plain.report.codecs
        assert len(report.notes) <= 1
        assert list_temporaries(cache) == []
        if reading.pieces < at:
            break
        cache.clear()
        for recalled in (0, plain.report.members):
            data, report = make_archive(tree, cache)
            assert data == plain.data
            assert report.recalled == recalled
        cache.clear()
    assert at > 6
