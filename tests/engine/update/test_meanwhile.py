"""An archive that others change, lock or read meanwhile."""

from __future__ import annotations

import itertools
import os
import random
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip import ParazipError, Settings, SourceChangedError, SourceError
from parazip.format.surroundings import Surroundings
from parazip.output import existing, temporary
from parazip.sources import archives, files
from support.archives import contents_of, names_in
from support.command import COMMAND
from support.patience import HUNG
from support.updating import (
    IN_TREE,
    TEXT,
    TREE,
    edit_file,
    identify_file,
    plant_dated_files,
    when_written,
)


@pytest.mark.parametrize("how", ["replaced", "appended to", "gone", "touched"])
@pytest.mark.parametrize("call", ["update", "delete"])
def test_an_archive_that_changes_meanwhile_stays_as_it_was_changed(
    work: Path, how: str, call: str
) -> None:
    def change() -> None:
        if how == "replaced":
            (work / "other.zip").write_bytes((work / "out.zip").read_bytes())
            os.replace("other.zip", "out.zip")
        elif how == "appended to":
            with open("out.zip", "ab") as file:
                file.write(b"more")
        elif how == "gone":
            os.unlink("out.zip")
        else:
            os.utime("out.zip", (1, 1))

    edit_file(work / "d/b", b"new")
    expected = SourceError if how == "gone" else SourceChangedError
    sink = when_written(change)
    calls = {
        "update": lambda: parazip.update("out.zip", ["d"], progress=sink),
        "delete": lambda: parazip.delete("out.zip", ["d/b"], progress=sink),
    }
    with pytest.raises(expected, match=r"out\.zip"):
        calls[call]()
    left = ["d"] if how == "gone" else ["d", "out.zip"]
    assert sorted(os.listdir(work)) == left
    if how == "replaced":
        assert contents_of(work / "out.zip")["d/b"] == TREE["d/b"]


def test_of_two_updates_at_once_none_is_lost(work: Path) -> None:
    edit_file(work / "d/b", b"ours")
    plant_dated_files(work, {"theirs": b"theirs"})

    def other() -> None:
        parazip.update("out.zip", ["theirs"])

    with pytest.raises(SourceChangedError):
        parazip.update("out.zip", ["d/b"], progress=when_written(other))
    assert names_in(work / "out.zip") == [*IN_TREE, "theirs"]
    parazip.update("out.zip", ["d/b"])
    assert names_in(work / "out.zip") == [*IN_TREE, "theirs"]
    assert contents_of(work / "out.zip")["d/b"] == b"ours"


def refuse_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **options: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    monkeypatch.setattr(os, "link", refused)


@pytest.mark.parametrize("way", ["a file without a name", "hard links", "neither", "elsewhere"])
@pytest.mark.parametrize("is_link", [False, True])
def test_an_archive_that_comes_meanwhile_is_not_replaced(
    work: Path, monkeypatch: pytest.MonkeyPatch, way: str, is_link: bool
) -> None:
    plant_dated_files(work, {"theirs": b"theirs"})
    if is_link:
        os.symlink("far.zip", "new.zip")
    before = sorted(os.listdir(work))
    if way == "hard links":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif way == "neither":
        refuse_links(monkeypatch)
    elif way == "elsewhere":
        (work / "tmp").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(work / "tmp"))
        open_in = temporary._open_in

        def refused(folder: str, *args: Any, **options: Any) -> temporary.Temporary:
            if folder == str(work):
                raise PermissionError(13, "Permission denied")
            return open_in(folder, *args, **options)

        monkeypatch.setattr(temporary, "_open_in", refused)
    made = "far.zip" if is_link else "new.zip"

    def other() -> None:
        with monkeypatch.context() as patch:
            if way == "elsewhere":
                patch.setattr(temporary, "_open_in", open_in)
            parazip.update("new.zip", ["theirs"])

    with pytest.raises(SourceChangedError, match=r"new\.zip was made by somebody else meanwhile"):
        parazip.update("new.zip", ["d"], progress=when_written(other))
    assert names_in(work / made) == ["theirs"]
    left = sorted({*before, made} | ({"tmp"} if way == "elsewhere" else set()))
    assert sorted(os.listdir(work)) == left
    assert way != "elsewhere" or os.listdir(work / "tmp") == []
    parazip.update("new.zip", ["d"])
    assert names_in(work / made) == ["theirs", *IN_TREE]
    os.unlink(made)
    parazip.update("new.zip", ["d"])  # each way makes what is not there
    assert names_in(work / made) == IN_TREE
    assert sorted(os.listdir(work)) == left


@pytest.mark.parametrize("way", ["a file without a name", "hard links", "neither"])
def test_what_comes_at_the_last_moment_is_not_replaced_either(
    work: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """After the last look: only what gives the name can see it."""
    if way == "hard links":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif way == "neither":
        refuse_links(monkeypatch)
    check = existing.ExistingFile.check
    calls = 0

    def look(standing: existing.ExistingFile) -> os.stat_result | None:
        nonlocal calls
        calls += 1
        found = check(standing)
        if calls == 3 - (way == "a file without a name"):
            (work / "new.zip").write_bytes(b"theirs")
        return found

    monkeypatch.setattr(existing.ExistingFile, "check", look)
    with pytest.raises(SourceChangedError, match="made by somebody else"):
        parazip.update("new.zip", ["d"])
    assert (work / "new.zip").read_bytes() == b"theirs"
    assert sorted(os.listdir(work)) == ["d", "new.zip", "out.zip"]


def test_of_many_updates_at_once_each_is_there_or_has_failed(work: Path) -> None:
    plant_dated_files(work, {f"n{number}": b"%d" % number for number in range(8)})
    for archive in ("new.zip", "out.zip"):
        running = [
            subprocess.Popen(
                [*COMMAND, "update", "-q", archive, f"n{number}"], cwd=work, stderr=subprocess.PIPE
            )
            for number in range(8)
        ]
        told = [process.communicate(timeout=HUNG)[1].decode() for process in running]
        done = [f"n{n}" for n, process in enumerate(running) if process.returncode == 0]
        assert done
        expected = {*done, *(IN_TREE if archive == "out.zip" else ())}
        assert {*names_in(work / archive)} == expected, told
        assert all("run the command again" in text for text in told if text)
    assert sorted(os.listdir(work)) == ["d", *(f"n{n}" for n in range(8)), "new.zip", "out.zip"]


@pytest.mark.skipif(sys.platform == "win32", reason="flock is POSIX's")
def test_an_archive_that_somebody_has_locked_is_left_alone(work: Path) -> None:
    import fcntl

    before = identify_file(work / "out.zip")
    with open("out.zip", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(SourceChangedError, match=r"out\.zip is locked by somebody else"):
            parazip.delete("out.zip", ["d/a"])
    assert identify_file(work / "out.zip") == before
    parazip.delete("out.zip", ["d/a"])


@pytest.mark.skipif(sys.platform == "win32", reason="flock is POSIX's")
def test_file_systems_without_locks_do_without(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refused)
    parazip.delete("out.zip", ["d/a"])
    assert "d/a" not in names_in(work / "out.zip")


@pytest.mark.parametrize("call", ["update", "delete"])
def test_new_rights_of_the_archive_are_no_change_and_are_handed_on(work: Path, call: str) -> None:
    edit_file(work / "d/b", b"new")
    sink = when_written(lambda: os.chmod("out.zip", 0o640))
    if call == "update":
        parazip.update("out.zip", ["d"], progress=sink)
    else:
        parazip.delete("out.zip", ["d/b"], progress=sink)
    assert stat.S_IMODE(os.stat("out.zip").st_mode) == 0o640
    assert names_in(work / "out.zip") == [
        name for name in IN_TREE if call == "update" or name != "d/b"
    ]


def test_contents_that_change_while_their_date_is_put_back_are_seen(work: Path) -> None:
    if not files.HAS_CTIME:
        pytest.skip("the system has no change times")

    def change() -> None:
        info = os.stat("out.zip")
        with open("out.zip", "r+b") as file:
            file.seek(40)
            file.write(b"theirs")
        os.utime("out.zip", ns=(info.st_atime_ns, info.st_mtime_ns))

    told = "by somebody else meanwhile: its change time is not what it was; it stays"
    with pytest.raises(SourceChangedError, match=told):
        parazip.delete("out.zip", ["d/b"], progress=when_written(change))
    assert b"theirs" in (work / "out.zip").read_bytes()


@pytest.mark.parametrize("how", ["replaced", "appended to", "touched", "gone", "a named pipe"])
def test_errors_of_the_archive_do_not_advise_to_leave_it_out(work: Path, how: str) -> None:
    if how == "a named pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes")

    def change() -> None:
        if how == "replaced":
            parazip.delete("out.zip", ["d/a"])
        elif how == "appended to":
            with open("out.zip", "ab") as file:
                file.write(b"more")
        elif how == "touched":
            os.utime("out.zip", (1, 1))
        else:
            os.unlink("out.zip")
            if how == "a named pipe":
                os.mkfifo("out.zip")

    edit_file(work / "d/b", b"new")
    with pytest.raises(SourceError, match=r"out\.zip .*run the command again") as told:
        parazip.update("out.zip", ["d"], progress=when_written(change))
    assert "--exclude" not in str(told.value)


def test_who_reads_the_old_archive_reads_on(work: Path) -> None:
    with zipfile.ZipFile("out.zip") as archive, archive.open("d/a") as member:
        begin = member.read(100)
        edit_file(work / "d/a", b"new")
        parazip.update("out.zip", ["d"])
        parazip.delete("out.zip", ["d/b"])
        assert begin + member.read() == TEXT
        assert archive.testzip() is None
    assert contents_of(work / "out.zip")["d/a"] == b"new"


def test_a_file_that_changes_while_it_is_put_in_is_an_error(work: Path) -> None:
    large = random.Random(1).randbytes(1 << 20) * 20
    edit_file(work / "d/large", large)
    before = identify_file(work / "out.zip")

    def change() -> None:
        (work / "d/large").write_bytes(large[1:])

    with pytest.raises(SourceChangedError, match="d/large"):
        parazip.update(
            "out.zip", ["d"], Settings(jobs=1, memory=1 << 20), progress=when_written(change)
        )
    assert identify_file(work / "out.zip") == before


def test_an_archive_that_is_cut_off_while_it_is_read_is_told(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_file(work / "d/a", b"new")
    whole = (work / "out.zip").read_bytes()
    read = archives.read_at
    for moment in itertools.count():
        (work / "out.zip").write_bytes(whole)
        calls = itertools.count()

        def cut_off(
            file: Any, offset: int, length: int, moment: int = moment, calls: Any = calls
        ) -> bytes:
            if next(calls) == moment:
                os.truncate("out.zip", 20)
            return read(file, offset, length)

        monkeypatch.setattr(archives, "read_at", cut_off)
        try:
            parazip.update("out.zip", ["d"])
        except ParazipError:
            continue
        break
    assert moment > 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="where named pipes exist")
def test_an_archive_that_has_become_a_named_pipe_is_not_waited_for(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_file(work / "d/a", b"new")
    surroundings = archives.read_archive_surroundings

    def swapped(archive: Any) -> Surroundings:
        found = surroundings(archive)
        os.unlink("out.zip")
        os.mkfifo("out.zip")
        return found

    monkeypatch.setattr(archives, "read_archive_surroundings", swapped)
    with pytest.raises(SourceError, match="a named pipe"):
        parazip.update("out.zip", ["d"])
