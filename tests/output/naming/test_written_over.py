"""The archive is written over what stands there, and is never half lost."""

from __future__ import annotations

import errno
import io
import itertools
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from parazip.cli.commands import reporting_errors
from parazip.errors import OutputError
from parazip.output import naming
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
from support.refusals import OLD


def failing_at(number: int, error: BaseException) -> type[io.FileIO]:
    """Files of which the n-th write over another file fails."""
    calls = itertools.count(1)

    class Failing(io.FileIO):
        def write(self, data: Any, /) -> int:
            if self.mode == "wb" and next(calls) == number:
                raise error
            return super().write(data)

    return Failing


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), KeyboardInterrupt()], ids=type)
def test_failure_half_way_through_an_old_file_keeps_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "a.zip"
    refuse_call(monkeypatch, "replace", errno.EBUSY)
    monkeypatch.setattr(naming, "_CHUNK", 100)
    for number in itertools.count(1):
        path.write_bytes(OLD)
        monkeypatch.setattr(naming, "FileIO", failing_at(number, error))
        try:
            _, told = try_to_make_archive(path)
        except KeyboardInterrupt as interrupt:
            (note,) = interrupt.__notes__
            kept = note.removeprefix("all of it is in ").removesuffix(": move it from there")
            del interrupt.__notes__[:]
        else:
            if told is None:
                break
            kept = kept_file_of(told)
            assert str(told).startswith(f"cannot write {path}: broken; all of it is in ")
        assert is_right(kept)
        assert list_others(tmp_path) == [os.path.basename(kept)]
        os.unlink(kept)
    assert number > 3
    assert is_right(path)
    assert list_others(tmp_path) == []


def test_interrupt_says_where_the_archive_is(capsys: pytest.CaptureFixture[str]) -> None:
    interrupt = KeyboardInterrupt()
    interrupt.add_note("all of it is in x")
    with pytest.raises(SystemExit), reporting_errors():
        raise interrupt
    assert capsys.readouterr().err == "parazip: interrupted; all of it is in x\n"


def test_new_file_that_cannot_be_completed_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_call(monkeypatch, "replace", errno.EPERM)
    refuse_call(monkeypatch, "link", errno.EPERM)
    real = naming.pour_bytes

    def fail_for_target(source: io.FileIO, target: io.FileIO, size: int) -> None:
        real(source, target, size // 2)
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(naming, "pour_bytes", fail_for_target)
    with pytest.raises(OutputError, match="the disk is full") as told:
        make_archive_at(tmp_path / "a.zip")
    assert is_right(kept_file_of(told.value))
    assert os.listdir(tmp_path) == [os.path.basename(told.value.kept)]


@pytest.mark.skipif(not hasattr(os, "statvfs"), reason="disks do not tell how full they are")
@pytest.mark.parametrize("blocks", [1000, 0])
def test_disk_without_room_is_found_before_anything_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    """Some file systems know no numbers at all: there it has to be tried."""
    path = tmp_path / "a.zip"
    path.write_bytes(b"old")
    refuse_call(monkeypatch, "replace", errno.EBUSY)
    disk = os.statvfs_result((512, 512, blocks, 0, 0, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda file: disk)
    if not blocks:
        make_archive_at(path)
        assert is_right(path)
        return
    with pytest.raises(OutputError, match="the disk is full") as told:
        make_archive_at(path)
    assert told.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert is_right(kept_file_of(told.value))


def test_old_file_that_cannot_be_shortened_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end would be read as the archive's."""
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    refuse_call(monkeypatch, "replace", errno.EBUSY)
    refuse_call(monkeypatch, "ftruncate", errno.EPERM)
    opened = os.open

    def open_(name: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        if flags & os.O_TRUNC:
            raise PermissionError(errno.EPERM, "no")
        return opened(name, flags, mode, **options)

    monkeypatch.setattr(os, "open", open_)
    with pytest.raises(OutputError, match="cannot write") as told:
        make_archive_at(path)
    assert path.read_bytes() == OLD
    assert is_right(kept_file_of(told.value))


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT], ids=NAMES)
def test_bytes_that_did_not_arrive_are_told_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    refuse_call(monkeypatch, "replace", errno.EBUSY)
    refuse_call(monkeypatch, "fsync", number)
    with pytest.raises(OutputError) as told:
        make_archive_at(path)
    assert told.value.errno == number
    assert is_right(kept_file_of(told.value))


@POSIX
def test_pipe_that_came_under_the_name_meanwhile_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zip"
    refuse_call(monkeypatch, "replace", errno.EBUSY)

    def write() -> None:
        with open_replacement(str(path)) as output:
            output.write(b"complete")
            os.mkfifo(path)

    with pytest.raises(OutputError, match="cannot write") as told:
        write()
    assert Path(told.value.kept).read_bytes() == b"complete"
    assert stat.S_ISFIFO(path.stat().st_mode)


@POSIX
def test_file_that_is_written_over_keeps_its_identity_and_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    path.chmod(0o640)
    inode = path.stat().st_ino
    refuse_call(monkeypatch, "replace", errno.EBUSY)
    make_archive_at(path, shebang="/usr/bin/env python3")
    assert is_right(path)
    assert path.stat().st_ino == inode
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert list_others(tmp_path) == []


@POSIX
def test_temporary_file_that_cannot_go_is_told_and_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    refuse_call(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    refuse_call(monkeypatch, "replace", errno.EBUSY)
    refuse_call(monkeypatch, "unlink", errno.EPERM)
    report = make_archive_at(path)
    assert is_right(path)
    (name,) = list_others(tmp_path)
    assert report.notes == (f"{tmp_path / name} is left over: the system refuses to remove it",)
    assert (tmp_path / name).stat().st_size == 0


def test_refused_unlink_does_not_hide_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_call(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    refuse_call(monkeypatch, "unlink", errno.EPERM)
    with pytest.raises(ValueError, match="on purpose"), open_replacement(str(tmp_path / "a.zip")):
        raise ValueError("on purpose")
