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
from typing import IO, Any, NamedTuple, Protocol

import pytest

import parazip
from parazip.codecs import inflating
from parazip.dropin.member import WHOLE
from parazip.dropin.sources import can_reread
from support.damage import (
    BZIP2,
    DEFLATED,
    MIB,
    ODD_STREAMS,
    PASSWORD,
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

STEPS = (-1, 1, 4, 100, 4096, 5000, 65_536, 70_000, MIB)

CALLS = 600
"""How many calls of one kind are compared; a member may take many more."""


class Told(NamedTuple):
    """What a call told: a value, or an error of a kind."""

    value: object = None
    error: type[Exception] | None = None
    message: str = ""


def outcome_of(call: Callable[[], object]) -> Told:
    try:
        return Told(call())
    except Exception as error:
        return Told(None, type(error), str(error))


class Odd:
    """A file of which nothing is known: it can do what `zipfile` asks for."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.read = self._file.read
        self.seek = self._file.seek
        self.tell = self._file.tell
        self.seekable = self._file.seekable


class Derived(io.BytesIO):
    pass


# From what an archive is read


def open_memory(data: bytes, folder: Path) -> Any:
    return io.BytesIO(data)


def open_derived(data: bytes, folder: Path) -> Any:
    return Derived(data)


def open_odd(data: bytes, folder: Path) -> Any:
    return Odd(data)


def write_path(data: bytes, folder: Path) -> Any:
    made = folder / "made.zip"
    made.write_bytes(data)
    return made


SOURCES = (open_memory, write_path, open_derived, open_odd)

# Ways of reading one member: what each call tells

Way = Callable[[IO[bytes], random.Random], Iterator[Callable[[], object]]]


def by_read(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    step = made.choice(STEPS)
    for _ in range(CALLS):
        yield lambda: file.read(step)


def by_read_of_any_size(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    for _ in range(60):
        step = made.choice([*STEPS, made.randint(0, 200_000)])
        yield partial(file.read, step)
        yield file.tell


def by_its_size(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    step = max(0, file._orig_file_size + made.choice([-1, 0, 0, 1, 100]))
    for _ in range(4):
        yield lambda: file.read(step)


def by_read1(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    step = made.choice(STEPS)
    for _ in range(CALLS):
        yield lambda: file.read1(step)


def by_lines(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    limit = made.choice([-1, -1, 7, 5000])
    readline = file.readline
    for _ in range(CALLS):
        yield lambda: readline(limit)
        if made.random() < 0.02:
            yield lambda: file.read(70_000)


def by_iterating(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    lines = iter(file)
    for _ in range(CALLS):
        yield lambda: next(lines)
    yield lambda: file.readlines()


def by_readinto(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    name = made.choice(["readinto", "readinto1"])
    step = made.choice([1, 100, 4096, 70_000, MIB])
    for _ in range(CALLS):
        yield partial(_filled, getattr(file, name), step)


def _filled(readinto: Any, size: int) -> tuple[int, bytes]:
    target = bytearray(size)
    return readinto(target), bytes(target)


def by_text(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    lines = io.TextIOWrapper(file, "latin-1")
    for _ in range(CALLS):
        yield lines.readline
    yield lines.read


def by_buffered(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    buffered = io.BufferedReader(file, made.choice([512, 8192, MIB]))
    for _ in range(60):
        yield partial(buffered.read, made.choice(STEPS))


def by_copying(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    target = io.BytesIO()
    yield lambda: shutil.copyfileobj(file, target)
    yield target.getvalue
    yield file.read


def back_and_forth(file: Any, made: random.Random) -> Iterator[Callable[[], object]]:
    """Any calls in any order; some are made through methods that were taken before."""
    size = file._orig_file_size
    bound = {name: getattr(file, name) for name in ("read", "read1", "readline", "peek", "tell")}
    for _ in range(80):
        step = made.choice([*STEPS, 70_000, 65_536, made.randint(0, 3000)])
        to = made.choice(
            [0, size // 2, min(size, 200_000), made.randint(-5, min(size, 999_999) + 5)]
        )
        whence = made.choice([0, 0, 1, 2])
        name = made.choice(["read", "read", "read", "read1", "readline", "peek", "seek", "tell"])
        if name == "seek":
            yield partial(file.seek, to, whence)
        elif name == "tell":
            yield bound[name]
        else:
            yield partial(made.choice([bound[name], getattr(file, name)]), step)


WAYS: tuple[Way, ...] = (
    by_read,
    by_read,
    by_read_of_any_size,
    by_its_size,
    by_read1,
    by_lines,
    by_iterating,
    by_readinto,
    by_text,
    by_buffered,
    by_copying,
    back_and_forth,
    back_and_forth,
)


class Opens(Protocol):
    """A class of archives, or what makes one."""

    def __call__(self, file: Any, /) -> zipfile.ZipFile: ...


def one_core(file: Any) -> zipfile.ZipFile:
    return parazip.ZipFile(file, jobs=1)


def two_cores(file: Any) -> zipfile.ZipFile:
    return parazip.ZipFile(file, jobs=2)


def read_in_a_way(kind: Opens, data: bytes, folder: Path, seed: int) -> Iterator[Told]:
    """What each call tells, up to some calls after an error."""
    made = random.Random(seed)
    source = made.choice(SOURCES)
    password = made.choice([None, PASSWORD, PASSWORD, b"wrong"])
    opened = outcome_of(lambda: kind(source(data, folder)))
    if opened.error is not None:
        yield opened
        return
    archive: Any = opened.value
    with archive:
        for info in archive.infolist():
            way, script = made.choice(WAYS), random.Random(made.random())
            got = outcome_of(partial(archive.open, info, pwd=password))
            if got.error is not None:
                yield got
                continue
            file: Any = got.value
            after = 0
            for call in way(file, script):
                answer = outcome_of(call)
                yield answer
                after += answer.error is not None or answer.value in (b"", "", (0, b""))
                if after == 4 or (answer.error and info.compress_type == BZIP2):
                    break  # libbz2 may end the process if it is asked for more after an error
            yield outcome_of(file.close)


def read_as_a_whole(kind: Opens, data: bytes, folder: Path, seed: int) -> Iterator[Told]:
    """The methods of the archive itself, and of paths; what is on disk after them."""
    made = random.Random(seed)
    source = made.choice(SOURCES)
    opened = outcome_of(lambda: kind(source(data, folder)))
    if opened.error is not None:
        yield opened
        return
    archive: Any = opened.value
    with archive:
        if made.random() < 0.5:
            archive.setpassword(made.choice([PASSWORD, b"wrong"]))
        for info in archive.infolist():
            yield outcome_of(partial(archive.read, info))
            yield outcome_of(partial(archive.extract, info, folder / "one"))
        yield outcome_of(archive.testzip)
        yield outcome_of(lambda: archive.extractall(folder / "all"))
        yield outcome_of(lambda: archive.extractall(folder / "all", reversed(archive.namelist())))
        for info in archive.infolist():
            member: Any = zipfile.Path(archive, info.filename)
            yield outcome_of(member.read_bytes)
            yield outcome_of(partial(member.read_text, "latin-1"))
    yield Told(list_below(folder))


def compare_reading(read: Any, kind: Opens, data: bytes, seed: int) -> list[Told]:
    """What both tell, which is the same."""
    seen = []
    for each in zipfile.ZipFile, kind:
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder, "here")
            here.mkdir()
            answers = list(read(each, data, here, seed))
            seen.append([_without(answer, folder) for answer in answers])
    for i, (theirs, ours) in enumerate(zip(*seen, strict=False)):
        assert theirs == ours, f"seed {seed}, call {i}"
    assert len(seen[0]) == len(seen[1]), f"seed {seed}"
    return seen[0]


def _without(answer: Told, folder: str) -> Told:
    value = answer.value
    if isinstance(value, str):
        value = value.replace(folder, "")
    return answer._replace(value=value, message=answer.message.replace(folder, ""))


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
        zlibs, ours = zlib.decompressobj(-15), inflating.StepInflater()
        start = 0
        while not zlibs.eof and (start < len(raw) or zlibs.unconsumed_tail):
            step = made.choice([1, 4096, 5000, 65_536, MIB, made.randint(1, 70_000)])
            most = made.choice([step, max(step, 4096), 257, 258, 4096])
            data = zlibs.unconsumed_tail + raw[start : start + step]
            start += step
            theirs = outcome_of(partial(zlibs.decompress, data, most))
            assert outcome_of(partial(ours.decompress, data, most)) == theirs, seed
            if theirs.error:
                messages.add(theirs.message)
                break
            assert (ours.eof, ours.unconsumed_tail) == (zlibs.eof, zlibs.unconsumed_tail), seed
        else:
            assert ours.flush() == zlibs.flush()
    assert len(messages) >= 6


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
