"""A zip archive while it is being made: its bytes, and who does what when."""

from __future__ import annotations

import datetime
import gc
import io
import itertools
import os
import struct
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip import Settings, stream
from parazip.engine import joining
from parazip.output import outflow
from parazip.output.stream import Pipe
from parazip.workers.line import SLOW
from support.archives import contents_of
from support.patience import HUNG
from support.streams import WriteOnly
from support.threads import count_threads

make_member = partial(parazip.make_member, date=datetime.datetime(2020, 1, 1))
MIB = 1 << 20
LINES = b"".join(b"line %d of many\n" % number for number in range(200_000))
NOISE = bytes(range(256)) * 4096
LEVELS = [0, 1, 6]


pytestmark = [pytest.mark.usefixtures("all_threads_end"), pytest.mark.once]


def cut(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def make_mixed(tree: Path) -> list[Any]:
    random = os.urandom(1000) * 2000
    return [
        make_member("bytes.txt", b"text" * 10),
        make_member("empty", iter([])),
        make_member("folder/", b""),
        make_member("lines.txt", cut(LINES, 1000)),
        make_member("long.txt", cut(LINES * 8, 1 << 17), size=8 * len(LINES)),
        make_member("no-shorter.bin", cut(os.urandom(3 * MIB), 5000)),
        make_member("stored.txt", cut(LINES, 777), store=True),
        make_member("file.txt", tree / "a"),
        make_member("opened.txt", io.BytesIO(LINES)),
        make_member("view.bin", memoryview(random)),
        str(tree),
    ]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(b"a" * 100)
    (tree / "b").write_bytes(LINES * 8)
    (tree / "c").write_bytes(os.urandom(2 * MIB))
    return tree


@pytest.mark.parametrize("level", LEVELS)
def test_the_archive_holds_what_was_given(tree: Path, level: int) -> None:
    data = b"".join(stream(make_mixed(tree), Settings(level=level)))
    found = contents_of(data)
    assert found["lines.txt"] == found["stored.txt"] == found["opened.txt"] == LINES
    assert found["long.txt"] == found[f"{str(tree).lstrip('/')}/b"] == LINES * 8
    assert found["empty"] == found["folder/"] == b""
    assert found["file.txt"] == b"a" * 100
    assert len(found["no-shorter.bin"]) == 3 * MIB
    assert len(found) == 14


@pytest.mark.parametrize("level", LEVELS)
def test_the_bytes_are_those_that_a_pipe_gets(tree: Path, level: int) -> None:
    def members() -> list[Any]:
        return [
            make_member("lines", cut(LINES * 8, 1 << 16)),
            make_member("noise", NOISE),
            make_member("file", tree / "b"),
            make_member("stored", tree / "c", store=True),
        ]

    pipe: Any = WriteOnly()
    parazip.write(Pipe(pipe, "pipe"), members(), Settings(level=level))
    assert b"".join(stream(members(), Settings(level=level))) == bytes(pipe.data)


def test_neither_jobs_nor_chunks_have_a_say_in_the_bytes() -> None:
    made = {
        b"".join(stream([make_member("a", cut(LINES * 8, size))], Settings(jobs=jobs)))
        for jobs in (1, 3)
        for size in (100_000, 3 * MIB, 1 << 30)
    }
    assert len(made) == 1


def test_chunks_are_bytes_of_64_kib_to_2_mib(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outflow, "SLOW", 1e9)  # else shorter ones go out where that takes long
    chunks = list(stream([*make_mixed(tree), make_member("large", NOISE * 9)], Settings(level=0)))
    assert all(type(chunk) is bytes for chunk in chunks)
    assert all(len(chunk) <= 2 * MIB for chunk in chunks)
    assert sum(len(chunk) < 64 << 10 for chunk in chunks) <= 1
    assert chunks[-1]


def test_nothing_is_asked_for_before_the_first_chunk_is() -> None:
    asked: list[int] = []

    def members() -> Iterator[parazip.Member]:
        asked.append(1)
        yield make_member("a", b"a")

    chunks = stream(members())
    assert not asked
    assert contents_of(b"".join(chunks)) == {"a": b"a"}


@pytest.mark.parametrize("size", [10, MIB, 20 * MIB])
def test_a_member_is_asked_for_when_the_one_before_was_read_to_its_end(size: int) -> None:
    read: list[str] = []

    def chunks(name: str) -> Iterator[bytes]:
        yield from cut(LINES * (size // len(LINES)) + bytes(size % len(LINES)), 100_000)
        read.append(name)

    def members() -> Iterator[parazip.Member]:
        for number in range(5):
            assert len(read) == number
            yield make_member(str(number), chunks(str(number)))

    found = contents_of(b"".join(stream(members(), Settings(level=1))))
    assert [len(data) for data in found.values()] == [size] * 5


def test_nothing_is_made_that_nobody_reads() -> None:
    given = itertools.count(1)
    member = make_member("endless", (b"%d " % next(given) * 1000 for _ in itertools.count()))
    chunks = stream([member], Settings(level=1, jobs=2))
    next(chunks)
    so_far = next(given)
    assert so_far * 1000 < 40 * MIB
    assert next(given) == so_far + 1  # nobody asks for more meanwhile
    chunks.close()


def test_closing_ends_all_work_and_the_generators_of_members() -> None:
    ended: list[str] = []

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield LINES
        finally:
            ended.append("contents")

    def members() -> Iterator[parazip.Member]:
        try:
            yield make_member("a", endless())
        finally:
            ended.append("members")

    chunks = stream(members(), Settings(level=1))
    next(chunks)
    chunks.close()
    gc.collect()
    assert sorted(ended) == ["contents", "members"]
    assert count_threads() == 0


def test_one_that_is_forgotten_ends_too() -> None:
    chunks = stream([make_member("a", itertools.repeat(LINES))], Settings(level=1))
    next(chunks)
    del chunks
    gc.collect()
    assert count_threads() == 0


@pytest.mark.parametrize("level", [0, 6])
def test_memory_does_not_grow_with_what_was_sent(level: int) -> None:
    def members() -> Iterator[parazip.Member]:
        for number in range(1000):
            yield make_member(f"{number}", bytes(100) * 1000)
        yield make_member("one", (bytes(100_000) for _ in range(1000)))

    tracemalloc.start()
    try:
        for chunk in stream(members(), Settings(level=level, jobs=1)):
            del chunk
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 35 * MIB


def test_what_is_done_goes_out_before_a_slow_source_is_asked_again() -> None:
    asked = threading.Event()
    given = threading.Event()

    def slow(first: bytes) -> Iterator[bytes]:
        time.sleep(2 * SLOW)
        yield first
        asked.set()
        assert given.wait(HUNG)
        yield b"end"

    def members() -> Iterator[parazip.Member]:
        yield make_member("noise", NOISE[: 100 << 10])
        yield make_member("slow", slow(os.urandom(3 * MIB)))

    chunks = stream(members(), Settings(level=0))
    taken = b""
    while len(taken) < (100 << 10) + 2 * MIB:  # all but the block that nobody knows to be complete
        taken += next(chunks)
        assert not asked.is_set() or len(taken) > 100 << 10
    given.set()
    assert contents_of(taken + b"".join(chunks))["slow"].endswith(b"end")


def test_small_members_go_out_one_by_one_where_they_come_slowly() -> None:
    sent: list[int] = []

    def members() -> Iterator[parazip.Member]:
        for number in range(4):
            time.sleep(2 * SLOW)
            sent.append(len(taken))
            yield make_member(f"{number}", b"text")

    taken: list[bytes] = []
    for chunk in stream(members()):
        taken.append(chunk)
    assert sent == [0, 1, 2, 3]


@pytest.mark.slow
def test_very_short_chunks_take_no_more_memory_than_long_ones() -> None:
    short = make_member("a", itertools.repeat(b"ab", 1_000_000))
    none = make_member("b", itertools.repeat(b"", 1_000_000))
    tracemalloc.start()
    try:
        for chunk in stream([short, none], Settings(level=1, jobs=1)):
            del chunk
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 35 * MIB


def test_streams_side_by_side_do_not_wait_for_each_other() -> None:
    stalled = [stream([make_member("a", itertools.repeat(LINES))]) for _ in range(30)]
    for chunks in stalled:
        next(chunks)
    others = [stream([make_member("b", LINES * 9)], Settings(level=1)) for _ in range(3)]
    taken: list[list[bytes]] = [[], [], []]
    for pieces in itertools.zip_longest(*others):
        for into, piece in zip(taken, pieces, strict=True):
            into.append(piece or b"")
    assert all(contents_of(b"".join(pieces)) == {"b": LINES * 9} for pieces in taken)
    for chunks in stalled:
        chunks.close()


# What goes wrong


@pytest.mark.parametrize(
    "error", [ConnectionResetError("mine"), TimeoutError("mine"), ValueError("mine")]
)
@pytest.mark.parametrize("after", [0, 10, 3 * MIB, 40 * MIB])
def test_an_error_of_a_members_iterable_comes_out_as_it_is(error: Exception, after: int) -> None:
    error = type(error)("mine")

    def chunks() -> Iterator[bytes]:
        yield from cut(bytes(after), 1 << 20)
        raise error

    taken: list[bytes] = []
    with pytest.raises(type(error)) as caught:
        taken.extend(stream([make_member("a", b"a"), make_member("b", chunks())]))
    assert caught.value is error
    assert caught.value.__notes__ == ["while what b is made of was read"]
    assert not zipfile.is_zipfile(io.BytesIO(b"".join(taken)))


@pytest.mark.parametrize("size", [10, 5 * MIB, 25 * MIB])
@pytest.mark.parametrize(("lie", "told"), [(-1, "more bytes than"), (1, "bytes, not the")])
def test_a_size_that_is_not_true_is_an_error(size: int, lie: int, told: str) -> None:
    member = make_member("a.bin", cut(bytes(size), 100_000), size=size + lie)
    with pytest.raises(parazip.SourceError, match=rf"a\.bin: it has .*{told}"):
        list(stream([member]))


@pytest.mark.parametrize("chunk", ["text", 7, None, [b"a"]])
def test_what_is_no_bytes_is_an_error_that_names_the_member(chunk: Any) -> None:
    with pytest.raises(TypeError, match=r"a\.bin is to be made of bytes"):
        list(stream([make_member("a.bin", iter([b"a", chunk]))]))


def test_a_buffer_that_is_used_again_does_no_harm() -> None:
    def chunks() -> Iterator[bytearray]:
        buffer = bytearray(1000)
        for number in range(3000):
            buffer[:] = bytes([number % 256]) * 1000
            yield buffer

    expected = b"".join(bytes([number % 256]) * 1000 for number in range(3000))
    assert contents_of(b"".join(stream([make_member("a", chunks())]))) == {"a": expected}


def test_two_members_of_one_name_are_refused_before_the_next_is_asked_for() -> None:
    def members() -> Iterator[parazip.Member]:
        yield make_member("a", b"")
        yield make_member("a", b"")
        raise AssertionError("asked for more")

    with pytest.raises(parazip.DuplicateMemberError):
        list(stream(members()))


def test_a_folder_may_be_named_twice_and_a_file_by_one_path(tree: Path) -> None:
    members: list[Any] = [
        make_member("d/", b""),
        make_member("d/", iter([])),
        str(tree),
        str(tree / "a"),
    ]
    assert len(contents_of(b"".join(stream(members)))) == 5


def test_a_file_that_has_gone_is_told(tree: Path) -> None:
    members = [make_member("a", tree / "a"), make_member("b", tree / "c", store=True)]
    (tree / "c").unlink()
    with pytest.raises(parazip.SourceError, match="c"):
        list(stream(members))
    with pytest.raises(parazip.SourceError, match="nowhere"):
        list(stream([str(tree / "nowhere")]))
    with pytest.raises(parazip.SourceError, match="nowhere"):
        make_member("a", tree / "nowhere")
    with pytest.raises(parazip.SourceError, match="not a regular file"):
        make_member("a", tree)


@pytest.mark.parametrize("wrong", ["a", b"a", Path("a"), make_member("a", b"")])
def test_a_single_member_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError, match="members are needed"):
        stream(wrong)


def test_what_is_no_member_is_refused() -> None:
    with pytest.raises(TypeError, match="make_member"):
        list(stream([("a", b"b")]))  # type: ignore[list-item]


# 4 GiB


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "LIMIT_32", 3 * MIB)


@pytest.mark.usefixtures("small_limit")
def test_a_member_that_grows_over_the_limit_needs_its_size(tmp_path: Path) -> None:
    def member() -> parazip.Member:
        return make_member("a.bin", cut(bytes(4 * MIB), MIB))

    told = r"a\.bin: it has 4 GiB or more.*size before"
    with pytest.raises(parazip.SourceError, match=told):
        list(stream([member()], Settings(level=1)))
    with pytest.raises(parazip.SourceError, match=told):
        parazip.write(tmp_path / "a.zip", [member()], Settings(level=1))
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.usefixtures("small_limit")
def test_with_its_size_it_does_not() -> None:
    sized = make_member("a", cut(bytes(4 * MIB), MIB), size=4 * MIB)
    assert contents_of(b"".join(stream([sized], Settings(level=1)))) == {"a": bytes(4 * MIB)}


def test_zip64_is_used_no_earlier_than_a_number_needs_it(tmp_path: Path) -> None:
    members = [make_member("a", cut(LINES * 8, MIB)), make_member("b", cut(LINES, MIB))]
    parazip.write(tmp_path / "a.zip", members, Settings(level=1))
    data = (tmp_path / "a.zip").read_bytes()
    name_length, extra_length = struct.unpack_from("<2H", data, 26)
    assert (name_length, extra_length) == (1, 0)


# Feeds in `write`


@pytest.mark.parametrize("level", LEVELS)
def test_write_takes_what_stream_takes(tree: Path, tmp_path: Path, level: int) -> None:
    members = [item for item in make_mixed(tree) if isinstance(item, parazip.Member)]
    report = parazip.write(tmp_path / "a.zip", members, Settings(level=level))
    found = contents_of(tmp_path / "a.zip")
    assert found["long.txt"] == LINES * 8
    assert report.bytes_in == sum(len(data) for data in found.values())
    assert parazip.verify(tmp_path / "a.zip").is_sound


def test_a_cache_does_not_take_what_can_be_read_only_once(tmp_path: Path) -> None:
    cache = parazip.Cache(tmp_path / "cache")
    for identity in ("stat", "content"):
        with pytest.raises(parazip.SettingsError, match="a can be read only once"):
            parazip.write(
                tmp_path / "a.zip",
                [make_member("a", iter([b"a"]))],
                cache=cache,
                identity=identity,
            )
    assert not (tmp_path / "a.zip").exists()


def test_progress_counts_all_that_is_sent() -> None:
    told: list[parazip.Progress] = []
    members = [make_member("a", cut(LINES * 8, MIB)), make_member("b", b"b")]
    data = b"".join(stream(members, progress=told.append))
    assert told[-1].members == told[-1].members_total == 2
    assert told[-1].bytes == told[-1].bytes_total == 8 * len(LINES) + 1
    assert told[-1].bytes_out <= len(data)
