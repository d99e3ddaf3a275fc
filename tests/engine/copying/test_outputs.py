"""Where copied members go, and who moves their bytes."""

from __future__ import annotations

import errno
import io
import itertools
import os
import random
import shutil
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip import Settings
from parazip.format.values import STORED
from parazip.output import stream as output_module
from parazip.output.stream import Pipe
from parazip.settings import MIB
from parazip.sources.contents import RANGE
from parazip.testing import ShortOutput
from support.copying import AROUND, LINES, NOISE, assert_fresh, merge_to_bytes, write_by_zipfile
from support.streams import OneWay

LARGE = {"large": NOISE, "text": LINES, **{str(size): NOISE[:size] for size in AROUND}}

RANGES = [data for data in LARGE.values() if len(data) > RANGE]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of members that go from file to file, and some that do not."""
    path = tmp_path_factory.mktemp("large") / "large.zip"
    path.write_bytes(write_by_zipfile({"first": b"1", **LARGE, "last": b"2"}, STORED))
    return path


class Moves:
    """A `copy_file_range` that tells what it was asked for.

    Args:
        move: moves at most so many bytes from one descriptor and place to another descriptor.
        most: what one call moves at most.
        fail_at: which call fails, counted from 1.
    """

    def __init__(
        self,
        move: Callable[[int, int, int, int], int],
        most: int = 1 << 30,
        fail_at: int | None = None,
    ) -> None:
        self._move, self._most, self._fail_at = move, most, fail_at
        self.calls = self.moved = 0

    def __call__(self, source: int, target: int, count: int, offset: int) -> int:
        self.calls += 1
        if self.calls == self._fail_at:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        count = self._move(source, target, min(count, self._most), offset)
        self.moved += count
        return count


def by_hand_move(source: int, target: int, count: int, offset: int) -> int:
    """Does what the system does, also where it cannot."""
    return os.write(target, os.pread(source, count, offset))


SIZE_OF_RANGES = sum(map(len, RANGES))

# What moves bytes, and how many of them.
MOVES: dict[str, tuple[Callable[[], Moves | None], int | None]] = {
    "off": (lambda: None, None),
    "the system": (lambda: Moves(os.copy_file_range), SIZE_OF_RANGES),
    "a substitute": (lambda: Moves(by_hand_move), SIZE_OF_RANGES),
    "short counts": (lambda: Moves(by_hand_move, most=70_001), SIZE_OF_RANGES),
    "nothing": (lambda: Moves(lambda *_: 0), 0),
    "fails at once": (lambda: Moves(by_hand_move, fail_at=1), SIZE_OF_RANGES - len(RANGES[0])),
    "fails after some bytes": (
        lambda: Moves(by_hand_move, most=100_000, fail_at=3),
        SIZE_OF_RANGES - len(RANGES[0]) + 200_000,
    ),
    "fails before the last bytes": (
        lambda: Moves(by_hand_move, most=len(RANGES[0]) - 1, fail_at=2),
        SIZE_OF_RANGES - 1,
    ),
}


@pytest.mark.parametrize("case", MOVES)
def test_the_system_moves_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: Path, case: str
) -> None:
    make, moved = MOVES[case]
    if case == "the system" and not hasattr(os, "copy_file_range"):
        pytest.skip("the system has no copy_file_range")
    expected = merge_to_bytes([large])
    moves = make()
    monkeypatch.setattr(output_module, "_copy_file_range", moves)
    monkeypatch.setattr(os, "major", lambda device: 0)
    report = parazip.merge(tmp_path / "o.zip", [shutil.copy(large, tmp_path / "s.zip")])
    assert (tmp_path / "o.zip").read_bytes() == expected
    assert report.bytes_out == len(expected)
    if moves is not None:
        assert moves.calls >= len(RANGES)
        assert moves.moved == moved


@pytest.mark.parametrize("case", ["a disk", "an open file"])
def test_the_system_is_not_asked_where_it_is_slower_or_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: Path, case: str
) -> None:
    moves = Moves(by_hand_move)
    monkeypatch.setattr(output_module, "_copy_file_range", moves)
    monkeypatch.setattr(os, "major", lambda device: 8 * (case == "a disk"))
    expected = merge_to_bytes([large])
    if case == "a disk":
        parazip.merge(tmp_path / "o.zip", [shutil.copy(large, tmp_path / "s.zip")])
    else:
        with open(tmp_path / "o.zip", "wb") as file:
            parazip.merge(file, [shutil.copy(large, tmp_path / "s.zip")])
    assert (tmp_path / "o.zip").read_bytes() == expected
    assert moves.calls == 0


def to_bytes_io(path: Path, merge: Callable[[Any], object]) -> bytes:
    output = io.BytesIO()
    merge(output)
    return output.getvalue()


def to_one_way(path: Path, merge: Callable[[Any], object]) -> bytes:
    output = OneWay()
    merge(output)
    return bytes(output.data)


def to_short(path: Path, merge: Callable[[Any], object]) -> bytes:
    output = io.BytesIO()
    merge(ShortOutput(output, 99_991))
    return output.getvalue()


def to_pipe_object(path: Path, merge: Callable[[Any], object]) -> bytes:
    output = io.BytesIO()
    merge(Pipe(output, "-"))
    return output.getvalue()


def to_pipe(path: Path, merge: Callable[[Any], object]) -> bytes:
    read, write = os.pipe()
    found = []

    def drain() -> None:
        with open(read, "rb") as file:
            found.append(file.read())

    reader = threading.Thread(target=drain)
    reader.start()
    try:
        with open(write, "wb") as file:
            merge(file)
    finally:
        reader.join()
    return found[0]


def to_path(path: Path, merge: Callable[[Any], object]) -> bytes:
    merge(path)
    return path.read_bytes()


def to_file(path: Path, merge: Callable[[Any], object]) -> bytes:
    with open(path, "w+b") as file:
        merge(file)
    return path.read_bytes()


def to_raw_file(path: Path, merge: Callable[[Any], object]) -> bytes:
    with open(path, "wb", buffering=0) as file:
        merge(file)
    return path.read_bytes()


OUTPUTS = (to_one_way, to_short, to_pipe_object, to_pipe, to_path, to_file, to_raw_file)


@pytest.mark.parametrize("to", OUTPUTS)
def test_each_output_gets_the_same_bytes(
    tmp_path: Path, large: Path, to: Callable[[Path, Callable[[Any], object]], bytes]
) -> None:
    """No descriptors on a pipe either: of what is copied all is known before."""
    expected = to_bytes_io(tmp_path, lambda output: parazip.merge(output, [large]))
    assert_fresh(expected)
    assert to(tmp_path / "o.zip", lambda output: parazip.merge(output, [large])) == expected


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, large: Path) -> list[Any]:
    """Sources of many small members, of large ones, and a folder in between."""
    root = tmp_path_factory.mktemp("mixed")
    source = random.Random(3)
    small: dict[str, bytes] = {}
    for i in range(700):
        begin = source.randrange(len(LINES) - 9000)
        small[f"{i:03}/"] = b""
        small[f"{i:03}/{i}.txt"] = LINES[begin : begin + source.randrange(9000)]
    (root / "small.zip").write_bytes(write_by_zipfile(small))
    (root / "stored.zip").write_bytes(write_by_zipfile(small, STORED, one_way=True))
    (root / "tree" / "empty").mkdir(parents=True)
    (root / "tree" / "text").write_bytes(LINES)
    (root / "tree" / "noise").write_bytes(NOISE)
    for i in range(300):
        (root / "tree" / f"{i}").write_bytes(LINES[i : i + 1000])
    (root / "none.zip").write_bytes(write_by_zipfile({}))
    names = ("small.zip", "none.zip", "tree", "stored.zip")
    return [(name.partition(".")[0], root / name) for name in names] + [large]


@pytest.mark.parametrize("check_crc", [False, True])
def test_jobs_and_memory_never_change_a_byte(mixed: list[Any], check_crc: bool) -> None:
    expected = merge_to_bytes(mixed, Settings(jobs=1))
    for jobs, memory in itertools.product((1, 2, 8), (MIB, 8 * MIB, Settings().memory)):
        settings = Settings(jobs=jobs, memory=memory)
        assert merge_to_bytes(mixed, settings, check_crc=check_crc) == expected, settings
    with zipfile.ZipFile(io.BytesIO(expected)) as archive:
        assert archive.testzip() is None
        assert len(archive.infolist()) == 2 * 1400 + 303 + len(LARGE) + 2
