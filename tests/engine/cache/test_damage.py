"""What is damaged in the cache is not found."""

from __future__ import annotations

import errno
import io
import itertools
import json
import logging
import os
import random
import shutil
import zlib
from pathlib import Path
from typing import Any

import pytest

from parazip.engine import cache as cache_module
from parazip.engine import cache_folders
from parazip.engine.cache import Cache, Usage
from support.caching import (
    DATA,
    DIRECTORY,
    HEAD,
    KEY,
    POSIX,
    TALLIES,
    keep_part,
    key_of_number,
    place_of_part,
    recall_part,
)


def assert_thrown_away(cache: Cache, why: str = "") -> None:
    assert recall_part(cache) is None
    assert not os.path.lexists(place_of_part(cache))
    (note,) = cache.notes
    assert "damaged part" in note
    assert str(place_of_part(cache)) in note
    assert why in note
    assert recall_part(cache) is None
    assert len(cache.notes) == 1


def test_no_changed_bit_gets_through(cache: Cache) -> None:
    keep_part(cache)
    path = place_of_part(cache)
    good = path.read_bytes()
    begin = len(good) - len(DATA)
    for position, flip in itertools.product(range(len(good)), (0x01, 0x80, 0xFF)):
        bad = bytearray(good)
        bad[position] ^= flip
        path.write_bytes(bad)
        fresh = Cache(cache.folder)
        if position < begin:
            assert_thrown_away(fresh)
            path.write_bytes(good)
        else:  # whoever copies them compares
            assert fresh.find(KEY) is not None
            assert recall_part(fresh) is None
            assert fresh.notes == []
    path.write_bytes(good)
    assert recall_part(Cache(cache.folder)) == DATA


def test_no_other_length_gets_through(cache: Cache) -> None:
    keep_part(cache)
    path = place_of_part(cache)
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        assert_thrown_away(Cache(cache.folder))
    for more in (b"\0", b"PK", good):
        path.write_bytes(good + more)
        assert_thrown_away(Cache(cache.folder), "it is not whole")


def sealed(head: bytes, told: bytes) -> bytes:
    """A file with the right CRC-32 over whatever its front says."""
    return head + told + zlib.crc32(head + told).to_bytes(4, "little") + DATA


def described(text: str) -> bytes:
    told = text.encode()
    return sealed(HEAD.pack(b"parazip1", len(told), 0, len(DATA), zlib.crc32(DATA)), told)


def make_claiming_part(description: int, directory: int, length: int) -> bytes:
    told = json.dumps({"key": KEY, "tallies": {}}).encode() + DIRECTORY
    return sealed(HEAD.pack(b"parazip1", description, directory, length, zlib.crc32(DATA)), told)


FITTING = len(json.dumps({"key": KEY, "tallies": {}}))

IMPOSTERS = [
    pytest.param(b"", id="empty"),
    pytest.param(random.Random(3).randbytes(50_000), id="noise"),
    pytest.param(bytes(50_000), id="zeros"),
    pytest.param(b"PK\3\4" + bytes(500), id="a zip"),
    pytest.param(make_claiming_part(2**32 - 1, 0, 0), id="a huge description"),
    pytest.param(make_claiming_part(0, 2**32 - 1, 0), id="a huge directory"),
    pytest.param(make_claiming_part(0, 0, 2**64 - 1), id="huge data"),
    pytest.param(make_claiming_part(2**32 - 1, 2**32 - 1, 2**64 - 1), id="all huge"),
    pytest.param(
        make_claiming_part(FITTING + 1, len(DIRECTORY) - 1, len(DATA)), id="a shifted directory"
    ),
    pytest.param(
        make_claiming_part(FITTING - 1, len(DIRECTORY) + 1, len(DATA)), id="a shifted description"
    ),
    pytest.param(make_claiming_part(FITTING, len(DIRECTORY) + 1, len(DATA) - 1), id="shifted data"),
    pytest.param(make_claiming_part(0, 0, FITTING + len(DIRECTORY) + len(DATA)), id="data alone"),
    pytest.param(sealed(HEAD.pack(b"parazip2", 0, 0, len(DATA), 0), b""), id="another magic"),
    pytest.param(described(""), id="no description"),
    pytest.param(described("{}"), id="an empty description"),
    pytest.param(described("[]"), id="a list for a description"),
    pytest.param(described("7"), id="a number for a description"),
    pytest.param(described("9" * 5000), id="a number beyond all"),
    pytest.param(described("[" * 100_000), id="a deep description"),
    pytest.param(described(f'{{"key":"{KEY}"}}'), id="no tallies"),
    pytest.param(described(f'{{"key":"{"0" * 64}","tallies":{{}}}}'), id="another key"),
    pytest.param(described(f'{{"key":"{KEY}","tallies":{{"a":1}}}}'), id="no list of numbers"),
    pytest.param(described(f'{{"key":"{KEY}","tallies":{{"a":[1]}}}}'), id="too few numbers"),
    pytest.param(described(f'{{"key":"{KEY}","tallies":{{"a":[1,"x",2]}}}}'), id="no numbers"),
    pytest.param(described(f'{{"key":"{KEY}","tallies":[]}}'), id="a list of tallies"),
    pytest.param(
        described(f'{{"key":"{KEY}","tallies":{{"a":[1,Infinity,1]}}}}'),
        id="infinite tallies",
    ),
]


@pytest.mark.parametrize("imposter", IMPOSTERS)
def test_what_is_no_part_is_thrown_away_and_can_be_kept_again(
    cache: Cache, imposter: bytes
) -> None:
    keep_part(cache)
    place_of_part(cache).write_bytes(imposter)
    assert_thrown_away(cache)
    keep_part(cache)
    assert recall_part(cache) == DATA


def test_another_keys_part_is_thrown_away(cache: Cache) -> None:
    keep_part(cache)
    keep_part(cache, key_of_number(1), b"other")
    shutil.copy(place_of_part(cache, key_of_number(1)), place_of_part(cache))
    assert_thrown_away(cache, "it belongs to another key")
    assert recall_part(cache, key_of_number(1)) == b"other"


def test_a_link_to_nowhere_is_no_part(cache: Cache) -> None:
    keep_part(cache)
    place_of_part(cache).unlink()
    place_of_part(cache).symlink_to("nowhere")
    assert recall_part(cache) is None
    keep_part(cache)
    assert recall_part(cache) == DATA
    assert not place_of_part(cache).is_symlink()


def test_a_folder_is_no_part(cache: Cache) -> None:
    keep_part(cache)
    place_of_part(cache).unlink()
    place_of_part(cache).mkdir()
    assert recall_part(cache) is None
    keep_part(cache)
    assert recall_part(cache) == DATA
    assert len(cache.notes) == 1


def test_a_part_that_cannot_be_read_is_told_once_and_can_be_kept_again(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_part(cache)
    keep_part(cache, key_of_number(1))

    def refuse(path: Any, mode: str = "r", buffering: int = -1, **more: Any) -> Any:
        if mode == "rb":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return io.open(path, mode, buffering, **more)  # noqa: UP020 - `open` is what is replaced

    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "open", refuse, raising=False)
        assert cache.find(KEY) is None
        assert cache.find(key_of_number(1)) is None
        keep_part(cache)
    (note,) = cache.notes
    assert "cannot be read: Permission denied" in note
    assert recall_part(cache) == DATA


@POSIX
def test_a_part_without_permissions_is_told_and_replaced(cache: Cache) -> None:
    keep_part(cache)
    place_of_part(cache).chmod(0)
    if os.access(place_of_part(cache), os.R_OK):
        pytest.skip("root reads it all")
    assert cache.find(KEY) is None
    assert "Permission denied" in cache.notes[0]
    keep_part(cache)
    assert recall_part(cache) == DATA
    assert len(cache.notes) == 1


def test_discarding_tells_why_and_once(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    keep_part(cache)
    keep_part(cache, key_of_number(1))
    with caplog.at_level(logging.INFO, "parazip.cache"):
        cache.discard(KEY, "it is ugly")
        cache.discard(key_of_number(1), "it is ugly, too")
        cache.discard(key_of_number(2), "it was never there")
    assert cache.usage() == Usage(0, 0)
    assert len(cache.notes) == 1
    assert "(it is ugly)" in cache.notes[0]
    told = [(record.name, record.levelno, record.getMessage()) for record in caplog.records]
    assert told == [("parazip.cache", logging.INFO, cache.notes[0])]


def test_data_of_another_length_are_not_found(cache: Cache) -> None:
    for length in (0, len(DATA) - 1, len(DATA) + 1):
        cache.keep(KEY, TALLIES, DIRECTORY, length, [DATA])
        assert_thrown_away(Cache(cache.folder), "it is not whole")


@POSIX
def test_a_pipe_in_place_of_a_part_keeps_nobody_waiting(cache: Cache) -> None:
    keep_part(cache)
    place_of_part(cache).unlink()
    os.mkfifo(place_of_part(cache))
    assert cache.find(KEY) is None
    assert not place_of_part(cache).exists()


def test_damage_is_seen_by_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no calls by descriptors, as on Windows."""
    monkeypatch.setattr(cache_folders, "BY_DESCRIPTOR", False)
    test_no_changed_bit_gets_through(Cache(tmp_path / "3"))
    test_a_folder_is_no_part(Cache(tmp_path / "4"))
    test_data_of_another_length_are_not_found(Cache(tmp_path / "5"))
