"""`parazip.ZipFile` beside `zipfile.ZipFile`: the same calls, archives and errors."""

from __future__ import annotations

import copy
import errno
import gc
import hashlib
import io
import itertools
import os
import pickle
import random
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parazip
from parazip.dropin import handle, targets
from parazip.dropin import members as members_module
from parazip.testing import FailingOutput
from patience import HUNG

MIB = 1 << 20
DATE = (2020, 2, 3, 4, 5, 6)
Archive = Callable[..., zipfile.ZipFile]


def text(size: int, seed: int = 0) -> bytes:
    made = random.Random(seed)
    line = b"".join(b"%x of a line of text\n" % made.getrandbits(40) for _ in range(2000))
    return (line * (size // len(line) + 1))[:size]


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def info(name: str, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name, DATE)
    made.compress_type = method
    return made


class Pipe(io.RawIOBase):
    """An output that cannot seek."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.taken += data
        return len(data)


def threads_alive() -> int:
    return sum(thread.name.startswith("parazip") for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def _all_threads_end() -> Iterator[None]:
    yield
    assert threads_alive() == 0


# What is made

Step = Callable[[zipfile.ZipFile, str], None]

CONTENTS = {
    "nothing": b"",
    "short": b"hello",
    "text": text(70_000),
    "noise": noise(120_000),
    "long text": text(1_100_000),
    "long noise": noise(1_100_000),
}


def _put(contents: bytes, method: int, level: int | None, chunk: int, force: bool) -> Step:
    def step(archive: zipfile.ZipFile, name: str) -> None:
        if chunk:
            made = info(name, method)
            made._compresslevel = level  # type: ignore[attr-defined] # as zipfile itself sets it
            with archive.open(made, "w", force_zip64=force) as target:
                for start in range(0, len(contents), chunk):
                    assert target.write(contents[start : start + chunk]) > 0
        else:
            archive.writestr(info(name, method), contents, compresslevel=level)

    return step


def _folder(archive: zipfile.ZipFile, name: str) -> None:
    made = zipfile.ZipInfo(f"{name}/", DATE)
    made.CRC = made.compress_size = 0
    archive.mkdir(made)


def _file(archive: zipfile.ZipFile, name: str) -> None:
    archive.write(__file__, name)


def _again(archive: zipfile.ZipFile, name: str) -> None:
    """One ZipInfo for two members: both entries of the directory tell of the second."""
    made = info(name)
    archive.writestr(made, b"first " * 50)
    made.filename += " again"
    archive.writestr(made, b"second " * 50)


def _look(archive: zipfile.ZipFile, name: str) -> None:
    for made in archive.infolist()[-2:]:
        assert made.header_offset >= 0
        assert made.CRC >= 0


steps = st.lists(
    st.one_of(
        st.builds(
            _put,
            st.sampled_from(sorted(CONTENTS)).map(CONTENTS.__getitem__),
            st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]),
            st.sampled_from([None, 1, 6, 9]),
            st.sampled_from([0, 0, 0, 900, 7000, 400_000]),
            st.booleans(),
        ),
        st.sampled_from([_folder, _file, _again, _look]),
    ),
    max_size=8,
)


def build(kind: Archive, output: Any, steps: list[Step], **settings: Any) -> None:
    with kind(output, "w", zipfile.ZIP_DEFLATED, **settings) as archive:
        archive.comment = b"a comment"
        for i, step in enumerate(steps):
            step(archive, f"{i}")


@given(steps, st.booleans(), st.sampled_from([1, 2]))
@settings(max_examples=15)
def test_with_zlib_the_same_calls_make_the_same_bytes(
    steps: list[Step], seekable: bool, jobs: int
) -> None:
    for kind, more in (zipfile.ZipFile, {}), (parazip.ZipFile, {"codec": "zlib", "jobs": jobs}):
        output: Any = io.BytesIO() if seekable else Pipe()
        build(kind, output, steps, **more)
        made = output.getvalue() if seekable else bytes(output.taken)
        if kind is zipfile.ZipFile:
            stock = made
    assert digest(made) == digest(stock)


def digest(data: bytes) -> str:
    """Bytes that are not worth printing when they differ."""
    return hashlib.sha256(data).hexdigest()


def facts(made: zipfile.ZipInfo) -> tuple[Any, ...]:
    """What is told of a member that does not depend on how its contents are compressed."""
    where = ("header_offset", "compress_size", "_end_offset", "_raw_time")
    names = [name for name in zipfile.ZipInfo.__slots__ if name not in where]
    return tuple(getattr(made, name) for name in names)


@given(steps, st.booleans(), st.integers(1, 9))
@settings(max_examples=15)
def test_with_other_codecs_the_archive_holds_the_same(
    steps: list[Step], seekable: bool, level: int
) -> None:
    archives = []
    for kind, more in (zipfile.ZipFile, {}), (parazip.ZipFile, {"memory": 4 * MIB}):
        output: Any = io.BytesIO() if seekable else Pipe()
        build(kind, output, steps, compresslevel=level, **more)
        archives.append(zipfile.ZipFile(output if seekable else io.BytesIO(output.taken)))
    stock, ours = archives
    assert ours.comment == stock.comment
    assert list(map(facts, ours.infolist())) == list(map(facts, stock.infolist()))
    for name in dict.fromkeys(stock.namelist()):
        assert contents(ours, name) == contents(stock, name), name


def contents(archive: zipfile.ZipFile, name: str) -> str | type[Exception]:
    """What a member holds, or how it is refused: newer Pythons refuse one of two same entries."""
    try:
        return digest(archive.read(name))
    except zipfile.BadZipFile as error:
        return type(error)


@pytest.mark.parametrize("level", [0, 1, 3, 6, 9])
@pytest.mark.parametrize("contents", [text(18 * MIB + 5), noise(2 * MIB)], ids=["text", "noise"])
def test_a_large_member_is_the_same_however_it_comes(level: int, contents: bytes) -> None:
    made = []
    for chunk, jobs, memory in (
        (MIB, 2, 4 * MIB),
        (77_777, 1, 64 * MIB),
        (len(contents), 3, MIB),
        (1000, 2, 8 * MIB),
    ):
        output = io.BytesIO()
        with parazip.ZipFile(output, "w", level=level, jobs=jobs, memory=memory) as archive:
            with archive.open(info("large", archive.compression), "w") as target:
                for start in range(0, len(contents), chunk):
                    target.write(memoryview(contents)[start : start + chunk])
            assert archive.read("large") == contents
        made.append(output.getvalue())
    assert len(set(map(digest, made))) == 1
    with zipfile.ZipFile(output) as stock:
        assert stock.read("large") == contents


def test_large_members_stay_in_the_budget() -> None:
    with parazip.ZipFile(io.BytesIO(), "w", level=1, jobs=4, memory=8 * MIB) as archive:
        with archive.open("large", "w") as target:
            target.write(text(2 * MIB))
            lane: Any = target._lane  # type: ignore[attr-defined]
            for i in range(30):
                target.write(text(MIB, i))
        budget = lane._budget
    assert 3 * MIB < budget.peak <= 8 * MIB
    assert budget.used == 0


def test_modes_x_and_a(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with parazip.ZipFile(path, "x", level=6) as archive:
        archive.writestr("first", text(100_000))
    with pytest.raises(FileExistsError):
        parazip.ZipFile(path, "x")
    with parazip.ZipFile(path, "a", level=6) as archive:
        archive.writestr("second", text(200_000))
        assert archive.read("first") == text(100_000)
        archive.writestr("third", b"3")
    with zipfile.ZipFile(path) as stock:
        assert {name: len(stock.read(name)) for name in stock.namelist()} == {
            "first": 100_000,
            "second": 200_000,
            "third": 1,
        }


def test_what_is_appended_to_stands_before_the_archive() -> None:
    output = io.BytesIO()
    output.write(b"#!/bin/sh\n")
    with parazip.ZipFile(output, "a", level=6) as archive:
        archive.writestr("a", b"contents")
    assert output.getvalue().startswith(b"#!/bin/sh\nPK\3\4")
    with zipfile.ZipFile(output) as stock:
        assert stock.read("a") == b"contents"


def test_a_file_is_read_at_the_call(tmp_path: Path) -> None:
    path = tmp_path / "source"
    with parazip.ZipFile(io.BytesIO(), "w", level=6) as archive:
        for i in range(5):
            path.write_bytes(text(300_000, i))
            archive.write(path, f"{i}")
            path.unlink()
        assert [archive.read(f"{i}") for i in range(5)] == [text(300_000, i) for i in range(5)]


def test_nothing_is_written_to_an_archive_that_cannot_take_it(tmp_path: Path) -> None:
    archive = parazip.ZipFile(tmp_path / "a.zip", "w")
    with archive.open("a", "w"):
        for call in (
            lambda: archive.open("b", "w"),
            lambda: archive.writestr("b", b""),
            lambda: archive.write(__file__),
            lambda: archive.mkdir("b"),
            archive.close,
        ):
            with pytest.raises(ValueError, match=r"writ"):
                call()
    archive.close()
    for call in (
        lambda: archive.open("b", "w"),
        lambda: archive.writestr("b", b""),
        lambda: archive.write(__file__),
        lambda: archive.mkdir("b"),
    ):
        with pytest.raises(ValueError, match="closed"):
            call()
    with parazip.ZipFile(tmp_path / "a.zip") as archive:
        for call in (lambda: archive.writestr("b", b""), lambda: archive.mkdir("b")):
            with pytest.raises(ValueError, match="mode"):
                call()


@pytest.mark.parametrize(
    ("name", "date", "expected"),
    [
        ("x" * 70_000, DATE, struct.error),
        ("\udc80", DATE, UnicodeEncodeError),
        ("late", (2200, 1, 1, 0, 0, 0), struct.error),
    ],
)
def test_what_no_header_can_say_is_refused_at_the_call(
    name: str, date: Any, expected: type[Exception]
) -> None:
    for kind in zipfile.ZipFile, parazip.ZipFile:
        with kind(io.BytesIO(), "w") as archive:
            with pytest.raises(expected):
                archive.writestr(zipfile.ZipInfo(name, date), b"contents")
            assert archive.namelist() == []


def test_a_second_member_of_a_name_is_warned_of_and_found() -> None:
    with parazip.ZipFile(io.BytesIO(), "w") as archive:
        archive.writestr("a", b"first")
        with pytest.warns(UserWarning, match="Duplicate name: 'a'"):
            archive.writestr("a", b"second")
        assert archive.read("a") == b"second"
        assert archive.read(archive.infolist()[0]) == b"first"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_that_is_too_large_for_its_header_leaves_the_others(
    method: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 3 * MIB)
    output = io.BytesIO()

    def put(name: str, force_zip64: bool = False) -> None:
        with archive.open(name, "w", force_zip64=force_zip64) as target:
            for _ in range(5):
                target.write(noise(MIB))

    with parazip.ZipFile(output, "w", method, compresslevel=1) as archive:
        archive.writestr("before", b"1")
        with pytest.raises(RuntimeError, match="File size too large"):
            put("x")
        archive.writestr("after", b"2")
        put("y", force_zip64=True)
        with pytest.raises(RuntimeError, match="File size too large"):
            put("z")
    with zipfile.ZipFile(output) as stock:
        assert stock.namelist() == ["before", "after", "y"]
        assert stock.testzip() is None


def test_without_zip64_all_is_left_to_the_standard_library() -> None:
    with parazip.ZipFile(io.BytesIO(), "w", allowZip64=False) as archive:
        archive.writestr("a", text(3 * MIB))
        archive.mkdir("b")
        with pytest.raises(ValueError, match="force_zip64"):
            archive.open("c", "w", force_zip64=True)


@pytest.mark.filterwarnings(
    # zipfile's own handle, which a bad level left half made
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
)
def test_levels_mean_what_they_mean_in_zipfile() -> None:
    for level in 10, "high", 2.5:
        with parazip.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
            with pytest.raises((ValueError, TypeError)):
                archive.writestr("a", b"contents", compresslevel=level)  # type: ignore[arg-type]
            assert archive.namelist() == []
    with parazip.ZipFile(io.BytesIO(), "w", level=0) as archive:
        archive.writestr("a", text(1000))
        assert archive.getinfo("a").compress_type == zipfile.ZIP_STORED
    for more in {"level": 6}, {"compression": zipfile.ZIP_DEFLATED}:
        output = io.BytesIO()
        with parazip.ZipFile(output, "w", **more) as archive:  # type: ignore[call-overload]
            archive.writestr(zipfile.ZipInfo("a", DATE), text(1000), archive.compression)
            assert archive.getinfo("a").compress_size < 1000
    with pytest.raises(parazip.SettingsError, match="level"):
        parazip.ZipFile(output, "w", level=6, compresslevel=6)
    with pytest.raises(parazip.SettingsError, match="level 10"):
        parazip.ZipFile(output, "w", level=10)
    with pytest.raises(ValueError, match="jobs"):
        parazip.ZipFile(output, "w", jobs=0)


# What is seen of it meanwhile


def test_what_a_zipinfo_tells_is_there_when_the_call_returns() -> None:
    with parazip.ZipFile(io.BytesIO(), "w", level=6) as archive:
        archive.writestr("a", text(5000))
        made = archive.getinfo("a")
        assert type(made) is zipfile.ZipInfo
        assert zlib.crc32(text(5000)) == made.CRC
        assert 0 < made.compress_size < 5000
        assert made.header_offset == 0
        assert archive.start_dir == 30 + 1 + made.compress_size
        assert pickle.loads(pickle.dumps(made)).CRC == copy.copy(made).CRC == made.CRC
        assert archive.read(made) == text(5000)


def test_a_zipinfo_that_was_handed_in_can_be_changed_at_any_time() -> None:
    output = io.BytesIO()
    with parazip.ZipFile(output, "w") as archive:
        made = info("a")
        archive.writestr(made, text(5000))
        made.comment = b"later"
        made.external_attr = 0o755 << 16
        made.CRC = made.CRC
    with zipfile.ZipFile(output) as stock:
        assert stock.getinfo("a").comment == b"later"
        assert stock.getinfo("a").external_attr == 0o755 << 16
        assert stock.testzip() is None


def test_a_small_archive_needs_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "Thread", None)
    with parazip.ZipFile(io.BytesIO(), "w", level=6) as archive:
        for i in range(10):
            archive.writestr(f"{i}", text(1000, i))
        assert archive.testzip() is None


def test_where_no_threads_are_to_be_had_they_are_not_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with parazip.ZipFile(io.BytesIO(), "w", level=1) as archive:
        archive.writestr("a", text(3 * MIB))
        assert archive.read("a") == text(3 * MIB)


def test_a_forgotten_archive_is_finished(tmp_path: Path) -> None:
    gc.disable()
    try:
        archive = parazip.ZipFile(tmp_path / "a.zip", "w", level=6)
        archive.writestr("a", text(2 * MIB))
        del archive
    finally:
        gc.enable()
    with zipfile.ZipFile(tmp_path / "a.zip") as stock:
        assert stock.read("a") == text(2 * MIB)


def test_zipfile_path_goes_on_with_it() -> None:
    with parazip.ZipFile(io.BytesIO(), "w", level=6) as archive:
        archive.writestr("folder/a", text(2 * MIB))
        root = zipfile.Path(archive)
        assert (root / "folder" / "a").read_bytes() == text(2 * MIB)
        with (root / "b").open("wb") as target:
            target.write(b"contents")
        assert sorted(path.name for path in root.iterdir()) == ["b", "folder"]
        assert isinstance(archive, parazip.ZipFile)


def test_progress_is_told() -> None:
    told: list[parazip.Progress] = []
    output = io.BytesIO()
    with parazip.ZipFile(output, "w", level=1, progress=told.append) as archive:
        archive.writestr("a", text(3 * MIB))
        archive.mkdir("b")
        end = archive.start_dir
    assert told[-1][:5] == (2, 2, 3 * MIB, 3 * MIB, end)
    assert told[0].current == "a"
    assert [moment.bytes for moment in told] == sorted(moment.bytes for moment in told)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_copy_can_go_on_with_the_archive(tmp_path: Path) -> None:
    """In the copy there are no threads; as with zipfile, one of the two should write."""
    program = """
import os, sys, parazip
archive = parazip.ZipFile("a.zip", "w", level=1)
archive.writestr("0", os.urandom(3 << 20))
with archive.open("1", "w") as member:
    member.write(os.urandom(5 << 20))
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        os._exit(0)
    member.write(os.urandom(5 << 20))
archive.close()
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=HUNG,
    )
    assert (done.returncode, done.stderr) == (0, "")
    with zipfile.ZipFile(tmp_path / "a.zip") as stock:
        assert [made.file_size for made in stock.infolist()] == [3 * MIB, 10 * MIB]
        assert stock.testzip() is None


def test_an_archive_that_is_open_when_python_ends_is_finished(tmp_path: Path) -> None:
    program = (
        "import parazip\n"
        "archive = parazip.ZipFile('a.zip', 'w', level=6, memory=5 << 20)\n"
        "for i in range(12): archive.writestr(str(i), bytes(range(256)) * 5000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    with zipfile.ZipFile(tmp_path / "a.zip") as stock:
        assert len(stock.namelist()) == 12
        assert stock.testzip() is None


def test_who_is_told_may_look() -> None:
    file = io.BytesIO()
    seen: list[int] = []

    def look(moment: parazip.Progress) -> None:
        assert all(made.CRC for made in archive.infolist())
        assert archive.fp is file
        seen.append(file.tell())

    archive = parazip.ZipFile(file, "w", level=1, progress=look)
    for i in range(4):
        archive.writestr(f"{i}", text(9 * MIB, i))
    assert archive.testzip() is None
    archive.close()
    assert len(seen) > 4
    assert seen == sorted(seen)
    with zipfile.ZipFile(file) as stock:
        assert stock.testzip() is None


@pytest.mark.parametrize("size", [10, 9 * MIB])
def test_who_is_told_may_not_write(size: int) -> None:
    """It is in the middle of a call that does: what it wrote would be in a member's place."""
    calls: dict[str, Callable[[], object]] = {
        "writestr": lambda: archive.writestr("mine", b"contents"),
        "open": lambda: archive.open("mine", "w"),
        "mkdir": lambda: archive.mkdir("mine"),
        "write": lambda: archive.write(__file__, "mine"),
        "close": lambda: archive.close(),
    }
    refused = []
    archive: parazip.ZipFile

    def interfere(moment: parazip.Progress) -> None:
        for name, call in calls.items():
            try:
                call()
            except ValueError:
                refused.append(name)

    output = io.BytesIO()
    with parazip.ZipFile(output, "w", level=1, progress=interfere) as archive:
        archive.writestr("a", text(size))
        assert len(refused) >= len(calls)
        assert set(refused) == set(calls)
    with zipfile.ZipFile(output) as stock:
        assert stock.namelist() == ["a"]
        assert stock.testzip() is None


def test_many_threads_write_one_at_a_time() -> None:
    turn = threading.Lock()

    def write(number: int) -> None:
        for i in range(20):
            with turn:
                archive.writestr(f"{number}/{i}", text(50_000, i))

    with parazip.ZipFile(io.BytesIO(), "w", level=1) as archive:
        threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(archive.namelist()) == 80
        assert archive.testzip() is None


# When something goes wrong


def members(archive: zipfile.ZipFile) -> Iterator[str]:
    for i in range(3):
        archive.writestr(f"{i}", text(700_000, i))
        yield f"{i}"
    with archive.open("cut", "w") as target:
        for i in range(4):
            target.write(text(MIB, i))
    yield "cut"
    archive.mkdir("folder")
    yield "folder/"
    archive.writestr("last", b"last")
    yield "last"


@pytest.mark.parametrize("operation", ["write", "seek", "tell"])
@pytest.mark.parametrize("memory", [MIB, 64 * MIB])
def test_an_output_that_fails_once_is_told_of_and_holds_whole_members(
    operation: str, memory: int
) -> None:
    for n in itertools.count(1):
        file = io.BytesIO()
        output: Any = FailingOutput(file, n, OSError(errno.ENOSPC, "full"), operations=[operation])
        with suppress(OSError):
            archive = parazip.ZipFile(output, "w", level=1, memory=memory)
            if output.calls >= n:  # zipfile takes it for an output that cannot seek
                archive.close()
                continue
            asked: list[str] = []
            with suppress(OSError):
                asked.extend(members(archive))
            has_failed = output.calls >= n
            archive.close()
            with zipfile.ZipFile(file) as stock:
                assert stock.testzip() is None
                assert stock.namelist() == archive.namelist()
                assert len(asked) <= len(stock.namelist()) <= 6
            if not has_failed:
                break
    assert n > 8


def test_after_an_error_the_archive_can_be_gone_on_with() -> None:
    file = io.BytesIO()
    output: Any = FailingOutput(file, 13, OSError(errno.ENOSPC, "full"), operations=["write"])
    archive = parazip.ZipFile(output, "w", level=1, memory=4 * MIB)

    def put() -> None:
        for i in range(30):
            archive.writestr(f"{i}", text(MIB, i))

    with pytest.raises(OSError, match="full"):
        put()
    kept = archive.namelist()
    assert len(kept) == 12
    archive.writestr("after", text(200_000))
    assert archive.getinfo("after").compress_size > 0
    archive.close()
    with zipfile.ZipFile(file) as stock:
        assert stock.namelist() == [*kept, "after"]
        assert stock.testzip() is None


def test_a_full_disk_keeps_each_member_that_fits() -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            if self.tell() + len(data) > 500_000:
                raise OSError(errno.ENOSPC, "full")
            return super().write(data)

    output = Full()
    archive = parazip.ZipFile(output, "w")
    with pytest.raises(OSError, match="full"):
        list(map(archive.writestr, map(str, range(100, 200)), itertools.repeat(noise(9_900))))
    archive.close()
    with zipfile.ZipFile(output) as stock:
        assert len(stock.namelist()) == 500_000 // (9_900 + 33)
        assert stock.testzip() is None


def test_an_error_of_a_worker_is_raised_and_what_was_before_it_is_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compress = handle._compress_task

    def compress_until(piece: Any) -> Any:
        if piece.start == 2 * MIB:
            raise MemoryError
        return compress(piece)

    output = io.BytesIO()
    with parazip.ZipFile(output, "w", level=6) as archive:
        archive.writestr("0", text(3 * MIB))
        monkeypatch.setattr(handle, "_compress_task", compress_until)
        with pytest.raises(MemoryError):
            archive.writestr("1", text(9 * MIB, 1))
        archive.writestr("2", text(MIB, 2))
    with zipfile.ZipFile(output) as stock:
        assert stock.namelist() == ["0", "2"]
        assert stock.testzip() is None


@pytest.mark.parametrize(("size", "is_in"), [(10, True), (3 * MIB, False)])
def test_an_error_of_progress_is_raised(size: int, is_in: bool) -> None:
    """A member is in if it was told to be finished; one of which a part was told is not."""

    def told(moment: parazip.Progress) -> None:
        assert (moment.members == 1) == is_in
        raise LookupError(moment.current)

    output = io.BytesIO()
    with parazip.ZipFile(output, "w", level=1, progress=told) as archive:
        with pytest.raises(LookupError, match="a"):
            archive.writestr("a", text(size))
        assert archive.testzip() is None
    with zipfile.ZipFile(output) as stock:
        assert stock.namelist() == ["a"] * is_in


# What is read


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mode,
        )
        for path in folder.rglob("*")
    }


NAMES = [
    "a",
    "b/c",
    "b/d/e",
    "/abs",
    "../up",
    "b/../side",
    "x//y",
    "./here",
    "B/C",
    "b",
    "b/d/",
    "é",
    "e\u0301",
]


@given(names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=7), helped=st.booleans())
@settings(max_examples=60)
def test_extracting_leaves_what_zipfile_leaves(
    names: list[str], helped: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("extracted")
    output = folder / "made.zip"
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in dict.fromkeys(names):
            archive.writestr(name, b"" if name.endswith("/") else text(2000, len(name)))
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "_FEW", 0)
        patch.setattr(members_module, "_WORTH_HELPERS", 1 if helped else sys.maxsize)
        for kind in zipfile.ZipFile, parazip.ZipFile:
            into = folder / kind.__module__
            try:
                with kind(output) as archive:
                    archive.extractall(into)
                error: type[Exception] | None = None
            except OSError as raised:
                error = type(raised)
            seen.append((error, tree(into)))
    assert seen[0] == seen[1]
    assert not list(folder.glob("*up"))


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """An archive of which reading is shared out."""
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for i in range(300):
            archive.writestr(f"{i % 7}/{i}", text(20_000 + i, i))
        archive.writestr("big", text(5 * MIB))
        archive.writestr("script", b"#!/bin/sh\n")
    return path


@pytest.mark.parametrize("how", ["helpers", "threads", "memory", "file"])
def test_extracting_and_testing_many(
    large: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members_module, "_WORTH_HELPERS", sys.maxsize if how == "threads" else 1)
    file: Any = large
    if how == "memory":
        file = io.BytesIO(large.read_bytes())
    elif how == "file":
        file = large.open("rb")
        file.read(5)
    with zipfile.ZipFile(large) as stock:
        stock.extractall(tmp_path / "stock")
    with parazip.ZipFile(file, jobs=3) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path / "ours")
        archive.extractall(tmp_path / "some", ["big", archive.getinfo("3/3")])
        assert archive.read("big") == text(5 * MIB)
    assert tree(tmp_path / "ours") == tree(tmp_path / "stock")
    assert sorted(tree(tmp_path / "some")) == ["3", "3/3", "big"]
    with parazip.ZipFile(large) as archive, pytest.raises(KeyError, match="missing"):
        archive.extractall(tmp_path / "some", ["script", "missing"])
    assert (tmp_path / "some" / "script").exists()
    if how == "file":
        assert not file.closed
        file.close()


def test_the_folder_is_there_before_many_extract_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that make it at once are an error in Pythons before 3.13."""
    made = tmp_path / "flat.zip"
    with zipfile.ZipFile(made, "w") as archive:
        for i in range(300):
            archive.writestr(str(i), b"contents")
    asked = []

    first_error = members_module.MemberJobs.find_first_failure

    def asking(self: members_module.MemberJobs) -> Any:
        asked.append((tmp_path / "a" / "b").is_dir())
        return first_error(self)

    monkeypatch.setattr(members_module.MemberJobs, "find_first_failure", asking)
    with parazip.ZipFile(made, jobs=2) as archive:
        archive.extractall(tmp_path / "a" / "b")
        monkeypatch.chdir(tmp_path / "a")
        archive.extractall("")
    assert asked == [True, True]
    assert len(tree(tmp_path / "a" / "b")) == 300
    assert len(tree(tmp_path / "a")) == 601


@pytest.mark.skipif(os.name != "posix", reason="POSIX links")
@pytest.mark.parametrize("link", ["folder", "symbolic", "dangling", "hard"])
def test_where_links_make_one_of_two_the_last_one_wins(tmp_path: Path, link: str) -> None:
    made = tmp_path / "made.zip"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a/x", noise(4 * MIB))
        for i in range(300):
            archive.writestr(f"c/{i}", b"contents")
        archive.writestr("../b/x", b"the last")
    into = tmp_path / "into"
    (into / "a").mkdir(parents=True)
    if link == "folder":
        (into / "b").symlink_to("a")
    else:
        (into / "b").mkdir()
        if link != "dangling":
            (into / "a" / "x").touch()
        if link == "hard":
            (into / "b" / "x").hardlink_to(into / "a" / "x")
        else:
            (into / "b" / "x").symlink_to("../a/x")
    with parazip.ZipFile(made, jobs=2) as archive:
        archive.extractall(into)
    assert (into / "a" / "x").read_bytes() == b"the last"


def spoil(path: Path, *names: str) -> None:
    """Breaks the contents of members, where a deflate stream has its first block."""
    with zipfile.ZipFile(path) as archive:
        offsets = [archive.getinfo(name).header_offset + 30 + len(name) for name in names]
    with path.open("r+b") as file:
        for offset in offsets:
            file.seek(offset + 600)
            file.write(bytes(100))


@pytest.mark.parametrize("helped", [True, False])
def test_the_first_damaged_member_is_told_of(
    large: Path, tmp_path: Path, helped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members_module, "_WORTH_HELPERS", 1 if helped else sys.maxsize)
    spoil(large, "5/250", "4/60", "big")
    errors = []
    for kind in zipfile.ZipFile, parazip.ZipFile:
        with kind(large) as archive:
            try:
                found: Any = archive.testzip()
            except zlib.error:
                found = zlib.error
            with pytest.raises((zipfile.BadZipFile, zlib.error)) as caught:
                archive.extractall(tmp_path / kind.__module__)
            errors.append((found, caught.type))
    assert errors[0] == errors[1]
    for i in range(60):
        assert (tmp_path / "parazip.dropin.zip_file" / f"{i % 7}/{i}").read_bytes() == text(
            20_000 + i, i
        )


@given(st.data())
@settings(max_examples=150)
def test_a_damaged_stream_reads_as_with_zipfile(data: st.DataObject) -> None:
    contents = data.draw(st.sampled_from([b"", b"hello", text(3000), noise(500), text(200_000)]))
    file = bytearray()
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", data.draw(st.sampled_from([0, 8]))) as archive:
        archive.writestr("a", contents)
    file += output.getvalue()
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(31, len(file) - 1))
        file[at] ^= 1 << data.draw(st.integers(0, 7))
    step = data.draw(st.sampled_from([-1, 1000, 65536]))
    seen: list[Any] = []
    for kind in zipfile.ZipFile, parazip.ZipFile:
        try:
            with kind(io.BytesIO(file)) as archive, archive.open("a") as member:
                if step < 0:
                    seen.append(member.read())
                else:
                    seen.append(b"".join(iter(lambda member=member: member.read(step), b"")))  # type: ignore[misc]
        except Exception as error:
            seen.append(type(error))
    assert seen[0] == seen[1]


@given(st.data())
@settings(max_examples=150)
def test_a_member_inflated_at_once_is_tested_as_with_zipfile(data: st.DataObject) -> None:
    """Also where its size is not what the directory says, or something follows the stream."""
    contents = data.draw(st.sampled_from([b"", b"hello", text(3000), noise(500), text(200_000)]))
    size = data.draw(st.sampled_from([-99_999, -3, -1, 0, 0, 0, 1, 1000])) + len(contents)
    raw = bytearray(zlib.compress(contents, 6, -15))
    raw += data.draw(st.sampled_from([b"", b"", b"more", b"\1\0\0\xff\xff"]))
    for _ in range(data.draw(st.integers(0, 2))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    del raw[len(raw) - data.draw(st.sampled_from([0, 0, 0, 1, 2])) :]
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        archive.writestr(info("a", zipfile.ZIP_STORED), bytes(raw))
        stored = archive.getinfo("a")
        stored.compress_type, stored.file_size = zipfile.ZIP_DEFLATED, max(0, size)
        stored.CRC = zlib.crc32(contents[: max(0, size)])
    seen: list[Any] = []
    for kind in zipfile.ZipFile, parazip.ZipFile:
        with tempfile.TemporaryDirectory() as folder, kind(output) as archive:
            for call in archive.testzip, lambda archive=archive: archive.extractall(folder):
                try:
                    seen.append(call())
                except Exception as error:
                    seen.append(type(error))
            whole = seen[-1] is None
            seen.append(Path(folder, "a").read_bytes() if whole else b"")
    assert seen[:3] == seen[3:]


def test_reading_back_and_forth() -> None:
    output = io.BytesIO()
    with parazip.ZipFile(output, "w", level=6) as archive:
        archive.writestr("a", text(3 * MIB))
        with archive.open("a") as member:
            assert member.read(100) == text(3 * MIB)[:100]
            member.seek(2 * MIB)
            assert member.read(5) == text(3 * MIB)[2 * MIB : 2 * MIB + 5]
            member.seek(7)
            assert member.read() == text(3 * MIB)[7:]


def test_modes_of_extracted_files_are_zipfiles(large: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with parazip.ZipFile(large) as archive:
            archive.extractall(tmp_path / "out")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out" / "script").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "out" / "3").stat().st_mode) == 0o750


@pytest.mark.parametrize("method", ["open", "read", "getinfo", "_extract_member"])
def test_a_class_of_ones_own_has_its_say(large: Path, tmp_path: Path, method: str) -> None:
    """Like the wheel package's, which looks at all that is read: here, and in order."""
    seen: list[str] = []

    def looking(self: Any, name: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(getattr(name, "filename", name))
        return getattr(parazip.ZipFile, method)(self, name, *args, **kwargs)

    kind: Any = type("Looking", (parazip.ZipFile,), {method: looking})
    with kind(large) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "out")
        assert seen == ([] if method == "read" else names)
        assert archive.testzip() is None
    assert (tmp_path / "out" / "big").read_bytes() == text(5 * MIB)


def test_a_member_may_be_extracted_in_ones_own_way(large: Path, tmp_path: Path) -> None:
    class Own(parazip.ZipFile):
        def _extract_member(self, member: Any, targetpath: Any, pwd: Any) -> str:
            made = Path(targetpath, self.getinfo(member).filename)
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_bytes(self.read(member))
            return str(made)

    with Own(large) as archive:
        archive.extractall(tmp_path / "out")
    assert (tmp_path / "out" / "big").read_bytes() == text(5 * MIB)


# Elsewhere


def test_pyzipfile(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("answer = 42\n")
    path = tmp_path / "modules.zip"
    with parazip.PyZipFile(path, "w", level=6, optimize=1) as archive:
        archive.writepy(str(tmp_path / "module.py"))
        assert isinstance(archive, zipfile.PyZipFile)
    assert zipfile.ZipFile(path).namelist() == ["module.pyc"]
