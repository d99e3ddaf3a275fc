"""Damaged members: at each call what `zipfile` gives, bytes and error, in every way of reading.

`damage` makes the archives, each by a seed. All ways are tried on a few of them in any run, and on
thousands by `make damaged`.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip.codecs import inflating
from parazip.dropin.member import WHOLE
from parazip.dropin.sources import can_reread
from support.beside_zipfile import (
    Derived,
    Odd,
    Opens,
    Told,
    compare_inflating,
    compare_reading,
    one_core,
    open_memory,
    outcome_of,
    read_as_a_whole,
    read_in_a_way,
    two_cores,
    write_path,
)
from support.damage import (
    DEFLATED,
    MIB,
    ODD_STREAMS,
    SIZES,
    STREAMS,
    Member,
    deflate_oddly,
    join_members,
    make_contents,
    make_damaged,
    make_damaged_large,
    make_member,
    make_text,
    spoil_members,
)
from support.paths import list_below


def compare_all(
    read: Any, kind: Opens, seeds: range, make: Callable[[int], bytes] = make_damaged
) -> None:
    errors = {
        answer.error for seed in seeds for answer in compare_reading(read, kind, make(seed), seed)
    }
    assert {zipfile.BadZipFile, zlib.error} <= errors


FEW = range(40)

MANY = range(1000, 3000)

MANY_LARGE = range(100, 200)


@pytest.mark.parametrize("seeds", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=len)
@pytest.mark.parametrize("read", [read_in_a_way, read_as_a_whole])
def test_each_call_tells_what_zipfile_tells(read: Any, seeds: range) -> None:
    compare_all(read, one_core, seeds)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [one_core, two_cores])
@pytest.mark.parametrize("read", [read_in_a_way, read_as_a_whole])
def test_large_members_too(read: Any, kind: Opens) -> None:
    compare_all(read, kind, MANY_LARGE, make_damaged_large)


def make_many_members(seed: int) -> bytes:
    """So many members that they are shared out, a few of which are damaged."""
    made = random.Random(seed)
    members = [make_member(made, f"m{i}", DEFLATED, make_text(made, 2000 + i)) for i in range(230)]
    for _ in range(3):
        members = spoil_members(made, members)
    return join_members(members)


def extract_and_test(kind: Opens, data: bytes, folder: Path, seed: int) -> Iterator[Told]:
    """As far as the first damaged member; what comes after it may be there, too."""
    with kind(write_path(data, folder)) as archive:
        yield outcome_of(archive.testzip)
        answer = outcome_of(lambda: archive.extractall(folder / "all"))
        yield answer
        there = list_below(folder / "all")
        for name in archive.namelist():
            if answer.error and outcome_of(partial(archive.read, name)).error:
                yield Told(there.get(name))
                break
            yield Told(there[name])


@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(10, 60), marks=pytest.mark.slow)])
def test_the_first_of_many_is_told_of(seeds: range) -> None:
    answers = [
        compare_reading(extract_and_test, two_cores, make_many_members(seed), seed)
        for seed in seeds
    ]
    assert any(told.error for all_told in answers for told in all_told)


@pytest.mark.parametrize("seeds", [range(200), pytest.param(range(9999), marks=pytest.mark.slow)])
def test_zlib_ng_does_at_each_call_what_zlib_does(seeds: range) -> None:
    messages = set()
    for seed in seeds:
        made = random.Random(seed)
        raw = deflate_oddly(made, make_contents(made, made.choice(SIZES)))
        for _ in range(made.choice([0, 1, 1, 2])):
            raw = made.choice(STREAMS)(made, raw)
        messages.add(compare_inflating(raw, made))
    assert len(messages) >= 7  # no message is one


# What is odd in one way


def archive_with(raw: bytes, size: int, crc: int = 5) -> bytes:
    return join_members([Member("m", DEFLATED, raw, crc, size)])


DATA = make_text(random.Random(7), 150_000)

RAW = zlib.compress(DATA, 6, -15)

CRC = zlib.crc32(DATA)

ODD = {
    "wrong checksum": archive_with(RAW, len(DATA)),
    "nothing in other words": archive_with(b"\5\0\0\0", 0, 0),
    "something follows": archive_with(RAW + b"more", len(DATA), CRC),
    "ends early": archive_with(RAW, len(DATA) + 1, CRC),
    "never ends": archive_with(RAW[:-1], len(DATA), CRC),
    "told too small": archive_with(RAW, 100_000, zlib.crc32(DATA[:100_000])),
    "told of bytes that are not there": join_members(
        [Member("m", DEFLATED, RAW[:999], CRC, len(DATA), packed=99_999_999)]
    ),
} | {f"odd stream {i}": archive_with(raw, len(DATA)) for i, raw in enumerate(ODD_STREAMS)}


def in_small_steps(kind: Opens, data: bytes, folder: Path, seed: int) -> Iterator[Told]:
    with kind(io.BytesIO(data)) as archive:
        opened = outcome_of(partial(archive.open, "m"))
        if opened.error:
            yield opened
            return
        file: Any = opened.value
        while (answer := outcome_of(partial(file.read, 4096))).value:
            yield answer
        yield answer
        yield outcome_of(file.read)
        file.close()


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
@pytest.mark.parametrize("read", [in_small_steps, read_in_a_way, read_as_a_whole])
def test_what_is_odd_in_one_way(read: Any, data: bytes) -> None:
    for seed in range(1 if read is in_small_steps else 4):
        compare_reading(read, one_core, data, seed)


def test_a_wrong_checksum_is_no_matter_to_who_does_not_reach_it() -> None:
    data = b"contents"
    raw = zlib.compress(data, 6, -15)
    with parazip.ZipFile(io.BytesIO(archive_with(raw, 20_000))) as archive:
        with archive.open("m") as file:
            pass
        assert outcome_of(lambda: archive.read("m")).error is zipfile.BadZipFile
    raw = zlib.compress(DATA, 6, -15)
    with (
        parazip.ZipFile(io.BytesIO(archive_with(raw, len(DATA)))) as archive,
        archive.open("m") as file,
    ):
        assert file.read(70_000) == DATA[:70_000]
        assert file.read(70_000) == DATA[70_000:140_000]
        with pytest.raises(zipfile.BadZipFile, match="Bad CRC-32 for file 'm'"):
            file.read(70_000)


# What is sound


@pytest.fixture
def inflated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what was inflated at once."""
    sizes = []
    inflate = inflating.inflate_whole

    def noted(data: bytes, size: int) -> bytes | bytearray | None:
        sizes.append(size)
        return inflate(data, size)

    monkeypatch.setattr(inflating, "inflate_whole", noted)
    return sizes


@pytest.mark.parametrize("source", [open_memory, write_path])
def test_sound_members_are_inflated_at_once(
    source: Any, inflated: list[int], tmp_path: Path
) -> None:
    data = archive_with(RAW, len(DATA), CRC)
    with parazip.ZipFile(source(data, tmp_path)) as archive:
        assert archive.read("m") == DATA
        archive.extract("m", tmp_path)
        archive.extractall(tmp_path)
        assert archive.testzip() is None
        assert inflated == 4 * [len(DATA)]
        with archive.open("m") as file:
            assert file.read(65_536) == DATA[:65_536]
        assert len(inflated) == 4  # as many read no more than that
        with archive.open("m") as file:
            shutil.copyfileobj(file, target := io.BytesIO())
    assert target.getvalue() == DATA
    assert len(inflated) == 5
    assert (tmp_path / "m").read_bytes() == DATA


def test_what_was_given_out_is_no_longer_held() -> None:
    with (
        parazip.ZipFile(io.BytesIO(archive_with(RAW, len(DATA), CRC))) as archive,
        archive.open("m") as file,
    ):
        reader: Any = file
        assert file.read(65_536) + file.read(65_536) == DATA[: 2 * 65_536]
        assert reader._held is not None
        assert file.read(65_536) == DATA[2 * 65_536 :]
        assert reader._held is None
        assert file.read() == b""
        assert file.seek(3) == 3
        assert file.read() == DATA[3:]


@pytest.mark.parametrize("size", [WHOLE, WHOLE + 1])
def test_what_is_large_is_not_held(size: int, inflated: list[int]) -> None:
    data = bytes(size)
    made = archive_with(zlib.compress(data, 1, -15), size, zlib.crc32(data))
    with parazip.ZipFile(io.BytesIO(made)) as archive:
        with archive.open("m") as file:
            assert sum(map(len, iter(partial(file.read, MIB), b""))) == size
        assert len(inflated) == (size <= WHOLE)
        assert archive.read("m") == data  # that is in memory anyway


def test_a_claim_takes_no_memory(inflated: list[int]) -> None:
    assert inflating.inflate_whole(RAW, 1 << 50) is None
    much_behind = RAW + bytes(2 * len(DATA))
    with parazip.ZipFile(io.BytesIO(archive_with(much_behind, len(DATA), CRC))) as archive:
        assert archive.read("m") == DATA
    assert inflated == [1 << 50]


# Files that are no plain files


class Logged(Odd):
    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.log: list[tuple[str, Any]] = []
        self.read = self._logged("read")
        self.seek = self._logged("seek")

    def _logged(self, name: str) -> Any:
        def call(*args: int) -> object:
            self.log.append((name, args))
            return getattr(self._file, name)(*args)

        return call


def test_other_files_are_read_just_as_by_zipfile() -> None:
    """Each byte once, in the same pieces: somebody may fetch them from far away."""
    logs = []
    for kind in zipfile.ZipFile, parazip.ZipFile:
        file = Logged(archive_with(RAW, len(DATA), CRC))
        with kind(file) as archive:
            archive.read("m")
            with archive.open("m") as member:
                shutil.copyfileobj(member, io.BytesIO())
        logs.append(file.log)
    assert logs[0] == logs[1]


def test_which_files_can_be_read_twice(tmp_path: Path) -> None:
    name = tmp_path / "file"
    name.write_bytes(b"contents")
    with (
        name.open("rb") as plain,
        name.open("r+b") as both,
        name.open("rb", buffering=0) as raw,
        tempfile.TemporaryFile() as temporary,
        tempfile.NamedTemporaryFile() as named,
        tempfile.SpooledTemporaryFile() as spooled,
        io.BufferedReader(io.BytesIO(b"contents")) as over,
    ):
        assert [can_reread(file) for file in (plain, both, raw, temporary, io.BytesIO())] == 5 * [
            True
        ]
        others = (named, spooled, over, Derived(), Odd(b""), None)
        assert [can_reread(file) for file in others] == 6 * [False]
    assert not can_reread(raw)
    assert not can_reread(plain)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_a_pipe_cannot_be_read_twice(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with open(os.open(tmp_path / "pipe", os.O_RDWR), "rb", buffering=0) as pipe:
        assert not can_reread(pipe)
