"""Damaged parts cost time and nothing else."""

from __future__ import annotations

import errno
import io
import logging
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from parazip.codecs import checksums
from parazip.engine import cache as cache_module
from parazip.engine.cache import Cache, CachedPart
from support.recalling import NOISE, POSIX, flip_bit, list_parts, list_temporaries, make_archive

pytestmark = pytest.mark.once

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


def flip_bit_of_part(where: Callable[[Layout], int]) -> Callable[[Path], None]:
    return lambda path: flip_bit(path, where(layout(path.read_bytes())))


def cut_part(where: Callable[[Layout], int]) -> Callable[[Path], None]:
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
        pytest.param(flip_bit_of_part(where), id=f"flip {name}")
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
        pytest.param(cut_part(where), id=f"cut {name}")
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


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_costs_time_and_nothing_else(
    pair: Path,
    cache: Cache,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], object],
    which: int,
) -> None:
    plain = make_archive(pair, cache)
    assert cache.usage().parts == 2
    path = list_parts(cache)[which]
    do(damage, path)
    with caplog.at_level(logging.INFO, "parazip.cache"):
        data, report = make_archive(pair, Cache(cache.folder))
    assert data == plain.data
    assert 0 < report.recalled < report.members
    assert report.codecs == plain.report.codecs
    (note,) = report.notes
    assert str(path) in note
    told = [(record.name, record.levelno, record.getMessage()) for record in caplog.records]
    assert told == [("parazip.cache", logging.INFO, note)]
    data, report = make_archive(pair, Cache(cache.folder))
    assert data == plain.data
    assert report.recalled == report.members
    assert report.notes == ()


def test_much_damage_is_told_once(tree: Path, cache: Cache) -> None:
    plain = make_archive(tree, cache)
    for i, path in enumerate(list_parts(cache)):
        flip_bit(path, [0, -1, 30][i % 3])
    fresh = Cache(cache.folder)
    data, report = make_archive(tree, fresh)
    assert data == plain.data
    assert report.recalled == 0
    assert len(report.notes) == 1
    assert make_archive(tree, fresh).report.recalled == report.members


def test_a_part_that_cannot_be_read_is_made_again(
    pair: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_archive(pair, cache)
    locked = str(list_parts(cache)[0])

    def refuse(path: Any, mode: str = "r", buffering: int = -1, **more: Any) -> Any:
        if path == locked and mode == "rb":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return io.open(path, mode, buffering, **more)  # noqa: UP020 - `open` is what is replaced

    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "open", refuse, raising=False)
        data, report = make_archive(pair, Cache(cache.folder))
    assert data == plain.data
    assert 0 < report.recalled < report.members
    (note,) = report.notes
    assert "Permission denied" in note
    assert make_archive(pair, Cache(cache.folder)).report.recalled == report.members


@POSIX
def test_a_part_without_permissions_is_made_again(pair: Path, cache: Cache) -> None:
    plain = make_archive(pair, cache)
    list_parts(cache)[0].chmod(0)
    if os.access(list_parts(cache)[0], os.R_OK):
        pytest.skip("root reads it all")
    data, report = make_archive(pair, Cache(cache.folder))
    assert data == plain.data
    assert len(report.notes) == 1
    assert make_archive(pair, Cache(cache.folder)).report.recalled == report.members


def prune_it(path: Path) -> None:
    path.unlink()


def keep_it_again(path: Path) -> None:
    """As another process does that did not find it when it looked."""
    again = path.with_name("again")
    again.write_bytes(path.read_bytes())
    again.replace(path)


def damage_it(path: Path) -> None:
    flip_bit(path, -1)


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

    plain = make_archive(tree, cache)
    data, report = make_archive(tree, Raced(cache.folder))
    assert data == plain.data
    assert report.codecs == plain.report.codecs
    assert list_temporaries(cache) == []
    assert make_archive(tree, Cache(cache.folder)).data == plain.data


def test_what_another_process_pruned_meanwhile_is_not_called_damaged(
    pair: Path, cache: Cache
) -> None:
    class Pruned(Cache):
        def find(self, key: str) -> CachedPart | None:
            kept = super().find(key)
            Cache(self.folder).prune(0)
            return kept

    plain = make_archive(pair, cache)
    data, report = make_archive(pair, Pruned(cache.folder))
    assert data == plain.data
    assert report.notes == ()
