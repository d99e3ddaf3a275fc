"""No step after the work loses the work: one call is refused.

Each is refused in this process; `test_refused_calls` lets the C library and a file system do it
to whole commands.
"""

from __future__ import annotations

import errno
import io
import itertools
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from parazip.errors import OutputError
from parazip.output import naming, temporary
from parazip.output import stream as output_module
from parazip.output.stream import open_replacement
from support.naming import (
    NAMES,
    POSIX,
    is_right,
    kept_file_of,
    list_others,
    make_archive_at,
    refuse_call,
    try_to_make_archive,
)
from support.refusals import ERRORS, OLD

CALLS = [
    "O_TMPFILE",
    "link",
    "replace",
    "unlink",
    "fchmod",
    "fchown",
    "ftruncate",
    "truncate",
    "statvfs",
    "fsync",
    "getxattr",
    "copy_file_range",
    "utime",
]


@pytest.mark.once
@pytest.mark.parametrize("number", ERRORS, ids=NAMES)
@pytest.mark.parametrize("call", CALLS)
def test_refused_call_costs_nothing(tmp_path: Path, call: str, number: int) -> None:
    cases = itertools.product((None, OLD, b"old"), (False, True), (None, "/usr/bin/env python3"))
    for old, is_named, shebang in cases:
        path = tmp_path / "a.zip"
        with suppress(FileNotFoundError):
            path.unlink()
        if old is not None:
            path.write_bytes(old)
            path.chmod(0o604)
        with pytest.MonkeyPatch.context() as patch:
            if is_named:
                refuse_call(patch, "O_TMPFILE", errno.EOPNOTSUPP)
            refuse_call(patch, call, number)
            report = make_archive_at(path, shebang=shebang)
        assert is_right(path)
        assert list_others(tmp_path) == []
        can_execute = os.name == "posix" and path.stat().st_mode & 0o111
        assert (shebang is not None and not can_execute and os.name == "posix") == any(
            "is not executable" in note for note in report.notes
        )


@pytest.mark.parametrize("calls", [*itertools.combinations(CALLS, 2)], ids="+".join)
def test_two_refused_calls_lose_nothing(tmp_path: Path, calls: tuple[str, str]) -> None:
    """Either the archive is where it should be, or the error says where it is."""
    for old, number in itertools.product((None, OLD), (errno.EPERM, errno.EIO)):
        path = tmp_path / "a.zip"
        with suppress(FileNotFoundError):
            path.unlink()
        if old is not None:
            path.write_bytes(old)
        with pytest.MonkeyPatch.context() as patch:
            for call in calls:
                refuse_call(patch, call, number)
            report, error = try_to_make_archive(path)
            if error is not None:
                assert is_right(kept_file_of(error))
                os.unlink(error.kept)
            else:
                assert report is not None
                assert is_right(path)
                for name in list_others(
                    tmp_path
                ):  # what cannot be removed is told, and has no bytes
                    assert "unlink" in calls
                    assert any(name in note for note in report.notes)
                    assert "truncate" in calls or not (tmp_path / name).stat().st_size
        for name in list_others(tmp_path):
            os.unlink(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="the system has no files without names")
def test_link_that_is_refused_only_when_all_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the file is copied to one that has a name."""
    link, calls = os.link, itertools.count()

    def refused(*args: Any, **options: Any) -> None:
        if next(calls):
            raise PermissionError(errno.EPERM, "no")
        link(*args, **options)

    for old in (None, OLD):
        calls = itertools.count()
        path = tmp_path / "a.zip"
        if old is not None:
            path.write_bytes(old)
            path.chmod(0o640)
        monkeypatch.setattr(os, "link", refused)
        make_archive_at(path)
        assert next(calls) > 1
        assert is_right(path)
        assert list_others(tmp_path) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@POSIX
@pytest.mark.parametrize("is_named", [False, True])
def test_bytes_that_cannot_be_cut_off_do_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    """A member is taken back when it does not shrink; what follows may be shorter than it was."""
    if is_named:
        refuse_call(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    refuse_call(monkeypatch, "truncate", errno.EPERM)
    path = tmp_path / "a.zip"
    with open_replacement(str(path)) as output:
        output.write(b"kept ")
        position = output.position
        output.write(b"taken back, and longer than what follows")
        output.rewind(position)
        output.write(b"new")
    assert path.read_bytes() == b"kept new"
    assert list_others(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EACCES], ids=NAMES)
@pytest.mark.parametrize("is_named", [False, True])
@pytest.mark.parametrize("call", ["close", "dup"])
def test_last_look_at_the_bytes_may_be_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, is_named: bool, number: int
) -> None:
    """A file is closed to learn whether all bytes have arrived. Few errors say that not."""
    is_done = False

    class Refusing(io.FileIO):
        def close(self) -> None:
            was_open = not self.closed
            super().close()
            if was_open and is_done:
                raise OSError(number, os.strerror(number))

    if call == "close":
        for room in (naming, temporary):
            monkeypatch.setattr(room, "FileIO", Refusing)
    if is_named:
        refuse_call(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    path = tmp_path / "a.zip"
    for old in (None, OLD):
        if old is not None:
            path.write_bytes(old)
        with open_replacement(str(path)) as output:
            output.write(b"complete")
            is_done = True
            if call == "dup":
                refuse_call(monkeypatch, "dup", number)
        is_done = False
        assert path.read_bytes() == b"complete"
        assert list_others(tmp_path) == []


def test_refused_truncate_of_somebodys_own_file_is_told(tmp_path: Path) -> None:
    """Nobody else could cut off the rest of that."""

    class Uncut(io.BytesIO):
        def truncate(self, size: int | None = None, /) -> int:
            raise OSError(errno.EPERM, "no")

    output = output_module.Output(Uncut(), "a.zip")
    output.write(b"abc")
    with pytest.raises(OutputError, match=r"cannot write a\.zip: no"):
        output.rewind(1)


def test_system_that_only_writes_forward_gets_the_archive_in_one_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Object stores that are mounted do so. The archive is made elsewhere, then."""
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    folder = tmp_path / "mounted"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))

    class Forward(io.FileIO):
        def seek(self, offset: int, whence: int = 0, /) -> int:
            if "w" in self.mode or "+" in self.mode or "x" in self.mode:
                where = os.readlink(f"/proc/self/fd/{self.fileno()}")
                if where.startswith(str(folder)) and offset < self.tell():
                    raise OSError(errno.EINVAL, "forward only")
            return super().seek(offset, whence)

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc to know files by their descriptors")
    for room in (naming, temporary):
        monkeypatch.setattr(room, "FileIO", Forward)
    for _ in range(2):  # new, and replaced
        make_archive_at(folder / "a.zip")
        assert is_right(folder / "a.zip")
        assert list_others(folder) == []
        assert os.listdir(elsewhere) == []
