"""Ctrl-C at each instruction of each call: what `close` leaves is what `namelist` says.

Not by luck: a tracing function raises at the n-th event, for each n until the call gets through.
Instructions count in parazip's own code, lines in the standard library's.
"""

from __future__ import annotations

import gc
import io
import itertools
import os
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import parazip
from parazip.workers import line
from parazip.workers.helpers import running_helpers
from support.growth import list_children
from support.patience import HUNG
from support.places import TESTS
from support.streams import WriteOnly
from support.surroundings import KILLS

HERE = os.path.dirname(parazip.__file__)

NOISE = os.urandom(3 << 20)


def is_finalizer(frame: FrameType | None) -> bool:
    """Whether it runs because something has gone, where an exception is nobody's."""
    while frame is not None and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    return frame is not None


class Interrupt:
    """Raises KeyboardInterrupt at the n-th event in the code of `zipfile` and parazip."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, arg: object) -> Any:
        name = frame.f_code.co_filename
        if not (name.startswith(HERE) or name == zipfile.__file__) or is_finalizer(frame):
            return None
        if frame.f_code.co_qualname == "_Tellable.write":
            return None  # between sending and counting nobody can tell what a stream has got
        if frame.f_code.co_name == "<genexpr>":
            return None  # one that `any` has left is ended as it goes: see `is_finalizer`
        frame.f_trace_opcodes = name.startswith(HERE)
        return self.local

    def local(self, frame: FrameType, event: str, arg: object) -> Any:
        if event in ("line", "opcode"):
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self.local


def interrupted(call: Callable[[], object], at: int) -> bool:
    """Makes a call that is interrupted at the n-th event; False if it had fewer."""
    before = sys.gettrace()
    sys.settrace(Interrupt(at))
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


_DENSE = 100 if KILLS in os.environ else 30


def events(limit: int) -> Iterator[int]:
    """All of the first ones, and then some of the others, always more widely apart."""
    at = 1
    while at < limit:
        yield at
        at += 1 + at // _DENSE


def put_short(archive: zipfile.ZipFile, folder: Path) -> None:
    archive.writestr("short", b"short " * 100)


def put_large(archive: zipfile.ZipFile, folder: Path) -> None:
    archive.writestr("large", NOISE)


def put_file(archive: zipfile.ZipFile, folder: Path) -> None:
    archive.write(folder / "file", "file")


def put_folder(archive: zipfile.ZipFile, folder: Path) -> None:
    archive.mkdir("folder")


def put_by_pieces(archive: zipfile.ZipFile, folder: Path) -> None:
    with archive.open("pieces", "w") as member:
        for start in range(0, len(NOISE), 700_000):
            member.write(NOISE[start : start + 700_000])


CONTENTS = {
    "first": b"first " * 50,
    "short": b"short " * 100,
    "large": NOISE,
    "file": NOISE[:1000],
    "folder/": b"",
    "pieces": NOISE,
    "last": b"last",
}

OUTPUTS = ["path", "buffer", "stream"]


def open_for_writing(output: str, folder: Path) -> tuple[parazip.ZipFile, Any]:
    target: Any = {"path": folder / "made.zip", "buffer": io.BytesIO(), "stream": WriteOnly()}[
        output
    ]
    return parazip.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1), target


def assert_holds(archive: parazip.ZipFile, target: Any, *expected: str) -> None:
    """The closed archive holds what it says; and not less than what was there before."""
    file = io.BytesIO(target.data) if isinstance(target, WriteOnly) else target
    with zipfile.ZipFile(file) as stock:
        assert stock.namelist() == archive.namelist()
        assert set(expected) <= set(stock.namelist())
        for name in stock.namelist():
            contents = stock.read(name)
            if name == "pieces":  # as with zipfile, what was written to an open member may be in
                assert CONTENTS[name].startswith(contents)
            else:
                assert contents == CONTENTS[name], name


def all_threads_end() -> bool:
    """Waits for what was told to end, by a call that could not wait for it."""
    left = [thread for thread in threading.enumerate() if thread.name.startswith("parazip")]
    for thread in left:
        thread.join(HUNG)
    return not any(thread.is_alive() for thread in left)


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # It opens files of the system's; Python itself does not close one whose opening is interrupted.
    monkeypatch.setattr(line, "usable_cpus", lambda: 2)
    (tmp_path / "file").write_bytes(CONTENTS["file"])
    yield
    gc.collect()
    assert all_threads_end()


# A file that is interrupted between being opened and the `with` that closes it closes by itself.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("put", [put_short, put_large, put_file, put_folder, put_by_pieces])
def test_a_call_that_is_interrupted_takes_no_other_member_along(
    tmp_path: Path, output: str, put: Callable[[zipfile.ZipFile, Path], None]
) -> None:
    got_through = 0
    for at in events(100_000):
        archive, target = open_for_writing(output, tmp_path)
        archive.writestr("first", CONTENTS["first"])
        if not interrupted(lambda archive=archive: put(archive, tmp_path), at):  # type: ignore[misc]
            got_through += 1
        archive.writestr("last", CONTENTS["last"])
        archive.close()
        assert_holds(archive, target, "first", "last")
        if got_through == 2:
            break
    assert at > 100


# Between forgetting a file and closing it, zipfile's own code leaves that to the end of the object.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.once
def test_closing_that_is_interrupted_can_be_gone_on_with(tmp_path: Path, output: str) -> None:
    for at in itertools.count(1):
        archive, target = open_for_writing(output, tmp_path)
        for name in "first", "large":
            archive.writestr(name, CONTENTS[name])
        was_interrupted = interrupted(archive.close, at)
        archive.close()
        assert_holds(archive, target, "first", "large")
        if not was_interrupted:
            break
    assert at > 50


def test_a_look_that_is_interrupted_changes_nothing(tmp_path: Path) -> None:
    for at in itertools.count(1):
        archive, target = open_for_writing("path", tmp_path)
        with archive.open("pieces", "w") as member:
            member.write(NOISE[: 2 << 20])
            was_interrupted = interrupted(lambda archive=archive: archive.fp, at)  # type: ignore[misc]
            if was_interrupted:
                member.abandon()  # type: ignore[attr-defined]
            else:
                member.write(NOISE[2 << 20 :])
        archive.writestr("last", b"last")
        archive.close()
        assert_holds(archive, target, "last")
        if not was_interrupted:
            break
    assert at > 20


@pytest.mark.parametrize("job", ["extractall", "testzip"])
def test_reading_that_is_interrupted_leaves_nothing_running(tmp_path: Path, job: str) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for i in range(210):
            made.writestr(f"{i}", b"%d" % i * 1000)
        made.writestr("large", bytes(5 << 20))
    for at in events(1_000_000):
        with parazip.ZipFile(path, jobs=2) as archive:
            call = archive.testzip if job == "testzip" else lambda: archive.extractall(tmp_path)
            if not interrupted(call, at):
                break
            assert all_threads_end()
            assert archive.read("7") == b"7" * 1000
    assert at > 100


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what children there are")
def test_helpers_that_are_interrupted_leave_no_process_behind() -> None:
    before = set(list_children())  # of other tests

    def use() -> None:
        with running_helpers("support.helper_functions:span", 2, 100, [str(TESTS)]) as crew:
            crew.start()

    for at in itertools.count(1):
        was_interrupted = interrupted(use, at)
        assert all_threads_end()
        assert set(list_children()) <= before
        if not was_interrupted:
            break
    assert at > 100
