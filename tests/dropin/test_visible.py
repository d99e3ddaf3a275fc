"""What is seen of an archive while it is written: what the standard library's class would show."""

from __future__ import annotations

import io
import os
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import parazip
from support.streams import WriteOnly

KINDS = [zipfile.ZipFile, parazip.ZipFile]


def sizes_on_disk(path: Path, kind: Any) -> Iterator[int]:
    with kind(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for _ in put_in(archive):
            yield path.stat().st_size


def sizes_of_buffer(path: Path, kind: Any) -> Iterator[int]:
    buffer = io.BytesIO()
    with kind(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for _ in put_in(archive):
            yield len(buffer.getvalue())


def positions_of_file(path: Path, kind: Any) -> Iterator[int]:
    with path.open("w+b") as file:
        file.write(b"#!something\n")
        with kind(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for _ in put_in(archive):
                yield file.tell()


def positions_of_fp(path: Path, kind: Any) -> Iterator[int]:
    with kind(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for _ in put_in(archive):
            yield archive.fp.tell()


def bytes_sent(path: Path, kind: Any) -> Iterator[int]:
    stream = WriteOnly()
    with kind(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for _ in put_in(archive):
            yield stream.sent


def put_in(archive: zipfile.ZipFile) -> Iterator[None]:
    """Contents that do not shrink, so that all kinds of archives have the same size."""
    for i in range(12):
        made = zipfile.ZipInfo(f"{i}", (2020, 1, 1, 0, 0, 0))
        made.compress_type = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[i % 2]
        archive.writestr(made, os.urandom((10_000, 300_000, 2_500_000)[i % 3]))
        yield
        archive.mkdir(f"folder{i}")
        yield
        archive.write(__file__, f"file{i}", zipfile.ZIP_STORED)
        yield


LOOKS = [sizes_on_disk, sizes_of_buffer, positions_of_file, positions_of_fp, bytes_sent]


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.__name__)
def test_each_call_has_done_its_work_when_it_returns(
    tmp_path: Path, look: Callable[[Path, Any], Iterator[int]]
) -> None:
    stock, ours = (list(look(tmp_path / kind.__module__, kind)) for kind in KINDS)
    assert len(stock) == 36
    for expected, found in zip(stock, ours, strict=True):
        # Deflate streams of noise differ in length by some bytes a block; and the standard library
        # may hold back what its file buffers.
        assert abs(found - expected) <= expected // 500 + io.DEFAULT_BUFFER_SIZE
    assert ours == sorted(ours)
    assert ours[0] >= 10_000


def test_alignment_by_the_files_position(tmp_path: Path) -> None:
    """As for APKs and USDZ: extra fields are as long as it takes that contents begin on a page."""
    path = tmp_path / "aligned.apk"
    with parazip.ZipFile(path, "w") as archive:
        for i in range(3):
            made = zipfile.ZipInfo(f"l{i}.so")
            assert archive.fp is not None
            made.extra = b"\0" * (-(archive.fp.tell() + 30 + len(made.filename)) % 4096)
            archive.writestr(made, b"x" * 5000)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for made in archive.infolist():
            lengths = struct.unpack_from("<HH", data, made.header_offset + 26)
            assert (made.header_offset + 30 + sum(lengths)) % 4096 == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", ["position", "size on disk"])
def test_parts_of_a_limited_size(tmp_path: Path, kind: Any, by: str) -> None:
    limit, made = 100_000, 0
    archive = kind(tmp_path / "0.zip", "w")
    for i in range(40):
        here = archive.fp.tell() if by == "position" else os.path.getsize(archive.filename)
        if here + 20_000 > limit:
            archive.close()
            made += 1
            archive = kind(tmp_path / f"{made}.zip", "w")
        archive.writestr(str(i), os.urandom(15_000))
    archive.close()
    assert made >= 6
    assert all(path.stat().st_size <= limit for path in tmp_path.iterdir())


@pytest.mark.parametrize("passed", ["path", "buffer", "stream"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_within_a_member_the_file_shows_what_is_asked_of_it(
    tmp_path: Path, passed: str, method: int
) -> None:
    target: Any = {"path": tmp_path / "a.zip", "buffer": io.BytesIO(), "stream": WriteOnly()}[
        passed
    ]
    with parazip.ZipFile(target, "w", method) as archive:
        archive.writestr("first", b"1")
        with archive.open("a", "w") as member:
            assert archive.fp is not None
            begin = archive.fp.tell()
            first = archive.getinfo("first")
            record = 30 + len("first") + first.compress_size + 16 * (passed == "stream")
            assert begin == record + 30 + len("a")
            for _ in range(5):
                member.write(os.urandom(1 << 20))
            shown = archive.fp.tell() - begin
            assert (3 << 20) < shown < (5 << 20) + 1000
    data = bytes(target.data) if passed == "stream" else None
    with zipfile.ZipFile(io.BytesIO(data) if data else target) as stock:
        assert stock.testzip() is None
        assert stock.namelist() == ["first", "a"]


def test_raw_bytes_may_be_written_through_the_archives_file() -> None:
    """Tools copy members without inflating them: seek, write, and say where the next one begins."""
    source = io.BytesIO()
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("copied", b"contents " * 100)
        info = archive.getinfo("copied")
    raw = source.getvalue()[info.header_offset : info.header_offset + 36 + info.compress_size]
    target = io.BytesIO()
    with parazip.ZipFile(target, "w") as made:
        made.writestr("before", b"1")
        assert made.fp is not None
        made.fp.seek(made.start_dir)
        info.header_offset = made.fp.tell()
        made.fp.write(raw)
        made.filelist.append(info)
        made.NameToInfo[info.filename] = info
        made.start_dir = made.fp.tell()
        made.writestr("after", b"2")
    with zipfile.ZipFile(target) as stock:
        assert stock.testzip() is None
        assert stock.read("copied") == b"contents " * 100
        assert stock.namelist() == ["before", "copied", "after"]


def test_a_stream_that_counts_for_itself_and_is_written_by_others_too() -> None:
    class Counting(WriteOnly):
        def tell(self) -> int:
            return self.sent

    made = []
    for kind in KINDS:
        stream: Any = Counting()
        stream.write(b"in front")
        with kind(stream, "w") as archive:
            archive.writestr("a", b"1")
            stream.write(b"between")
            archive.writestr("b", b"2")
        made.append(bytes(stream.data))
    assert made[0] == made[1]
    with zipfile.ZipFile(io.BytesIO(made[1])) as archive:
        assert archive.testzip() is None


def test_a_hundred_open_archives_take_no_threads() -> None:
    archives = [parazip.ZipFile(WriteOnly(), "w", zipfile.ZIP_DEFLATED) for _ in range(100)]  # type: ignore[call-overload]
    before = threading.active_count()
    for archive in archives:
        archive.writestr("a", os.urandom(2 << 20))
        archive.writestr("b", os.urandom(2 << 20))
        assert threading.active_count() == before
    for archive in archives:
        archive.close()


@pytest.mark.parametrize("level", [0, 1, 6, 9])
@pytest.mark.parametrize("size", [0, 10, 1000, 100_000, 3 << 20])
def test_outputs_and_readers_get_bytes(level: int, size: int) -> None:
    """As WSGI servers ask for, and whoever puts what he gets into a set."""

    class Keeping(WriteOnly):
        def __init__(self) -> None:
            super().__init__()
            self.kinds: set[type] = set()

        def write(self, data: Any) -> int:
            self.kinds.add(type(data))
            return super().write(data)

    stream: Any = Keeping()
    with parazip.ZipFile(stream, "w", level=level) as archive:
        archive.writestr("a", b"text " * (size // 5))
    assert stream.kinds == {bytes}
    with parazip.ZipFile(io.BytesIO(stream.data)) as archive:
        assert type(archive.read("a")) is bytes
        with archive.open("a") as opened:
            member: Any = opened
            chunks = [member.read(10), member.read1(10), member.read(1 << 20), member.read()]
        assert {type(chunk) for chunk in chunks} == {bytes}


@pytest.mark.parametrize("kind", KINDS)
def test_an_open_member_that_is_left_by_an_exception_is_in_as_with_zipfile(kind: Any) -> None:
    output = io.BytesIO()

    def put_and_raise(archive: zipfile.ZipFile, error: type[BaseException]) -> None:
        with archive.open(error.__name__, "w") as member:
            member.write(b"1" * 10)
            raise error

    def making() -> Iterator[None]:
        with archive.open("generator", "w") as member:
            member.write(b"1" * 10)
            yield

    with kind(output, "w") as archive:
        for error in ValueError, GeneratorExit, SystemExit, KeyboardInterrupt:
            with pytest.raises(error):
                put_and_raise(archive, error)
        left = making()
        next(left)
        del left
        dropped = archive.open("dropped", "w")
        del dropped
    with zipfile.ZipFile(output) as stock:
        assert [made.file_size for made in stock.infolist()] == [10, 10, 10, 10, 10, 0]
        assert stock.testzip() is None
