"""What is seen of an archive while it is being written."""

from __future__ import annotations

import copy
import gc
import io
import os
import pickle
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

import parazip
from support.patience import HUNG
from support.zip_file import MIB, info, make_text_lines


def test_what_a_zipinfo_tells_is_there_when_the_call_returns() -> None:
    with parazip.ZipFile(io.BytesIO(), "w", level=6) as archive:
        archive.writestr("a", make_text_lines(5000))
        made = archive.getinfo("a")
        assert type(made) is zipfile.ZipInfo
        assert zlib.crc32(make_text_lines(5000)) == made.CRC
        assert 0 < made.compress_size < 5000
        assert made.header_offset == 0
        assert archive.start_dir == 30 + 1 + made.compress_size
        assert pickle.loads(pickle.dumps(made)).CRC == copy.copy(made).CRC == made.CRC
        assert archive.read(made) == make_text_lines(5000)


def test_a_zipinfo_that_was_handed_in_can_be_changed_at_any_time() -> None:
    output = io.BytesIO()
    with parazip.ZipFile(output, "w") as archive:
        made = info("a")
        archive.writestr(made, make_text_lines(5000))
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
            archive.writestr(f"{i}", make_text_lines(1000, i))
        assert archive.testzip() is None


def test_where_no_threads_are_to_be_had_they_are_not_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with parazip.ZipFile(io.BytesIO(), "w", level=1) as archive:
        archive.writestr("a", make_text_lines(3 * MIB))
        assert archive.read("a") == make_text_lines(3 * MIB)


def test_a_forgotten_archive_is_finished(tmp_path: Path) -> None:
    gc.disable()
    try:
        archive = parazip.ZipFile(tmp_path / "a.zip", "w", level=6)
        archive.writestr("a", make_text_lines(2 * MIB))
        del archive
    finally:
        gc.enable()
    with zipfile.ZipFile(tmp_path / "a.zip") as stock:
        assert stock.read("a") == make_text_lines(2 * MIB)


def test_zipfile_path_goes_on_with_it() -> None:
    with parazip.ZipFile(io.BytesIO(), "w", level=6) as archive:
        archive.writestr("folder/a", make_text_lines(2 * MIB))
        root = zipfile.Path(archive)
        assert (root / "folder" / "a").read_bytes() == make_text_lines(2 * MIB)
        with (root / "b").open("wb") as target:
            target.write(b"contents")
        assert sorted(path.name for path in root.iterdir()) == ["b", "folder"]
        assert isinstance(archive, parazip.ZipFile)


def test_progress_is_told() -> None:
    told: list[parazip.Progress] = []
    output = io.BytesIO()
    with parazip.ZipFile(output, "w", level=1, progress=told.append) as archive:
        archive.writestr("a", make_text_lines(3 * MIB))
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
        archive.writestr(f"{i}", make_text_lines(9 * MIB, i))
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
        archive.writestr("a", make_text_lines(size))
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
                archive.writestr(f"{number}/{i}", make_text_lines(50_000, i))

    with parazip.ZipFile(io.BytesIO(), "w", level=1) as archive:
        threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(archive.namelist()) == 80
        assert archive.testzip() is None
