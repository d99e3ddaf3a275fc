"""No step after the work loses the work, whatever is refused on the way.

Here each call is refused in this process; `test_refusals` lets the C library and a file system do
it to whole commands.
"""

from __future__ import annotations

import errno
import io
import itertools
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip import naming, rights, temporary
from parazip import output as output_module
from parazip.cli.commands import reporting_errors
from parazip.errors import OutputError
from parazip.output import open_replacement
from refusals import ERRORS, OLD

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX files only")
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
ROOT = pytest.mark.skipif(not IS_ROOT, reason="only root may give files to others")
NOBODY = 12345
MEMBERS = {"a": b"first " * 50, "b/c": os.urandom(500)}

NAMES = errno.errorcode.__getitem__

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


def make(path: Path, **options: Any) -> parazip.Report:
    members = [parazip.Member(n, d, 0o100644 << 16, 0x5264_28C4) for n, d in MEMBERS.items()]
    return parazip.write(path, members, **options)


def tried(path: Path) -> tuple[parazip.Report | None, OutputError | None]:
    """What came of it."""
    try:
        return make(path), None
    except OutputError as error:
        return None, error


def is_right(path: str | os.PathLike[str]) -> bool:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()} == MEMBERS


def rest(folder: Path) -> list[str]:
    """What else is in a folder than a.zip."""
    return sorted({*os.listdir(folder)} - {"a.zip"})


def refuse(patch: pytest.MonkeyPatch, call: str, number: int) -> None:
    """Lets the system refuse one kind of call."""

    def refused(*args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    if call == "O_TMPFILE":
        if not hasattr(os, "O_TMPFILE"):
            return
        opened = os.open

        def open_(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                refused()
            return opened(path, flags, mode, **options)

        patch.setattr(os, "open", open_)
    elif call == "truncate":

        class Uncut(io.FileIO):
            def truncate(self, size: int | None = None, /) -> int:
                raise OSError(number, os.strerror(number))

        patch.setattr(temporary, "FileIO", Uncut)
        patch.setattr(os, "truncate", refused)
    elif call == "copy_file_range":
        patch.setattr(output_module, "_copy_file_range", refused)
    elif hasattr(os, call):
        patch.setattr(os, call, refused)


def kept_by(error: OutputError) -> str:
    """The file that an error says holds all of the archive; its name is in the message."""
    assert error.kept
    assert f"all of it is in {error.kept}" in str(error)
    return error.kept


@contextmanager
def as_somebody() -> Iterator[None]:
    """This process without root's rights, if it has them."""
    if not IS_ROOT:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder, "a.zip"))  # imports what others may not be able to read
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@pytest.fixture
def open_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that other users may go into; pytest's own are closed to them."""
    if IS_ROOT:  # who becomes another user here; TMPDIR may be root's own
        monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    folder = Path(tempfile.mkdtemp(prefix="parazip-tests-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for inside in (folder, *folder.glob("*/")):
            inside.chmod(0o755)
        shutil.rmtree(folder)


# --- One call is refused ---------------------------------------------------------------------


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
                refuse(patch, "O_TMPFILE", errno.EOPNOTSUPP)
            refuse(patch, call, number)
            report = make(path, shebang=shebang)
        assert is_right(path)
        assert rest(tmp_path) == []
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
                refuse(patch, call, number)
            report, error = tried(path)
            if error is not None:
                assert is_right(kept_by(error))
                os.unlink(error.kept)
            else:
                assert report is not None
                assert is_right(path)
                for name in rest(tmp_path):  # what cannot be removed is told, and has no bytes
                    assert "unlink" in calls
                    assert any(name in note for note in report.notes)
                    assert "truncate" in calls or not (tmp_path / name).stat().st_size
        for name in rest(tmp_path):
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
        make(path)
        assert next(calls) > 1
        assert is_right(path)
        assert rest(tmp_path) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@POSIX
@pytest.mark.parametrize("is_named", [False, True])
def test_bytes_that_cannot_be_cut_off_do_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    """A member is taken back when it does not shrink; what follows may be shorter than it was."""
    if is_named:
        refuse(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    refuse(monkeypatch, "truncate", errno.EPERM)
    path = tmp_path / "a.zip"
    with open_replacement(str(path)) as output:
        output.write(b"kept ")
        position = output.position
        output.write(b"taken back, and longer than what follows")
        output.rewind(position)
        output.write(b"new")
    assert path.read_bytes() == b"kept new"
    assert rest(tmp_path) == []


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
        refuse(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    path = tmp_path / "a.zip"
    for old in (None, OLD):
        if old is not None:
            path.write_bytes(old)
        with open_replacement(str(path)) as output:
            output.write(b"complete")
            is_done = True
            if call == "dup":
                refuse(monkeypatch, "dup", number)
        is_done = False
        assert path.read_bytes() == b"complete"
        assert rest(tmp_path) == []


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
        make(folder / "a.zip")
        assert is_right(folder / "a.zip")
        assert rest(folder) == []
        assert os.listdir(elsewhere) == []


# --- The archive is written over what stands there -------------------------------------------


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
    refuse(monkeypatch, "replace", errno.EBUSY)
    monkeypatch.setattr(naming, "_CHUNK", 100)
    for number in itertools.count(1):
        path.write_bytes(OLD)
        monkeypatch.setattr(naming, "FileIO", failing_at(number, error))
        try:
            _, told = tried(path)
        except KeyboardInterrupt as interrupt:
            (note,) = interrupt.__notes__
            kept = note.removeprefix("all of it is in ").removesuffix(": move it from there")
            del interrupt.__notes__[:]
        else:
            if told is None:
                break
            kept = kept_by(told)
            assert str(told).startswith(f"cannot write {path}: broken; all of it is in ")
        assert is_right(kept)
        assert rest(tmp_path) == [os.path.basename(kept)]
        os.unlink(kept)
    assert number > 3
    assert is_right(path)
    assert rest(tmp_path) == []


def test_interrupt_says_where_the_archive_is(capsys: pytest.CaptureFixture[str]) -> None:
    interrupt = KeyboardInterrupt()
    interrupt.add_note("all of it is in x")
    with pytest.raises(SystemExit), reporting_errors():
        raise interrupt
    assert capsys.readouterr().err == "parazip: interrupted; all of it is in x\n"


def test_new_file_that_cannot_be_completed_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "replace", errno.EPERM)
    refuse(monkeypatch, "link", errno.EPERM)
    real = naming.pour_bytes

    def fail_for_target(source: io.FileIO, target: io.FileIO, size: int) -> None:
        real(source, target, size // 2)
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(naming, "pour_bytes", fail_for_target)
    with pytest.raises(OutputError, match="the disk is full") as told:
        make(tmp_path / "a.zip")
    assert is_right(kept_by(told.value))
    assert os.listdir(tmp_path) == [os.path.basename(told.value.kept)]


@pytest.mark.skipif(not hasattr(os, "statvfs"), reason="disks do not tell how full they are")
@pytest.mark.parametrize("blocks", [1000, 0])
def test_disk_without_room_is_found_before_anything_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    """Some file systems know no numbers at all: there it has to be tried."""
    path = tmp_path / "a.zip"
    path.write_bytes(b"old")
    refuse(monkeypatch, "replace", errno.EBUSY)
    disk = os.statvfs_result((512, 512, blocks, 0, 0, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda file: disk)
    if not blocks:
        make(path)
        assert is_right(path)
        return
    with pytest.raises(OutputError, match="the disk is full") as told:
        make(path)
    assert told.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert is_right(kept_by(told.value))


def test_old_file_that_cannot_be_shortened_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end would be read as the archive's."""
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    refuse(monkeypatch, "replace", errno.EBUSY)
    refuse(monkeypatch, "ftruncate", errno.EPERM)
    opened = os.open

    def open_(name: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        if flags & os.O_TRUNC:
            raise PermissionError(errno.EPERM, "no")
        return opened(name, flags, mode, **options)

    monkeypatch.setattr(os, "open", open_)
    with pytest.raises(OutputError, match="cannot write") as told:
        make(path)
    assert path.read_bytes() == OLD
    assert is_right(kept_by(told.value))


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT], ids=NAMES)
def test_bytes_that_did_not_arrive_are_told_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    refuse(monkeypatch, "replace", errno.EBUSY)
    refuse(monkeypatch, "fsync", number)
    with pytest.raises(OutputError) as told:
        make(path)
    assert told.value.errno == number
    assert is_right(kept_by(told.value))


@POSIX
def test_pipe_that_came_under_the_name_meanwhile_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zip"
    refuse(monkeypatch, "replace", errno.EBUSY)

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
    refuse(monkeypatch, "replace", errno.EBUSY)
    make(path, shebang="/usr/bin/env python3")
    assert is_right(path)
    assert path.stat().st_ino == inode
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert rest(tmp_path) == []


@POSIX
def test_temporary_file_that_cannot_go_is_told_and_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    refuse(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    refuse(monkeypatch, "replace", errno.EBUSY)
    refuse(monkeypatch, "unlink", errno.EPERM)
    report = make(path)
    assert is_right(path)
    (name,) = rest(tmp_path)
    assert report.notes == (f"{tmp_path / name} is left over: the system refuses to remove it",)
    assert (tmp_path / name).stat().st_size == 0


def test_refused_unlink_does_not_hide_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    refuse(monkeypatch, "unlink", errno.EPERM)
    with pytest.raises(ValueError, match="on purpose"), open_replacement(str(tmp_path / "a.zip")):
        raise ValueError("on purpose")


# --- What cannot be written is said before the work ------------------------------------------


def begin(path: Path) -> OutputError:
    """The error of an output that cannot be opened."""
    with pytest.raises(OutputError) as told, open_replacement(str(path)):
        raise AssertionError("it was said only after the work")
    assert told.value.kept == ""
    return told.value


def closed_folder(open_folder: Path) -> Path:
    """A folder that takes no new file of ours, and the user that we are then."""
    folder = open_folder / "closed"
    folder.mkdir(0o755)
    return folder


@POSIX
def test_folder_that_takes_no_file_is_told_before_the_work(open_folder: Path) -> None:
    folder = closed_folder(open_folder)
    folder.chmod(0o555)
    with as_somebody():
        error = begin(folder / "a.zip")
    told = f"cannot write {folder}/a.zip: Permission denied; {folder} takes no new file; "
    assert str(error) == f"{told}write elsewhere"
    assert os.listdir(folder) == []


@POSIX
@pytest.mark.parametrize("old", [OLD, b""])
def test_file_in_a_folder_that_takes_none_is_written_over(open_folder: Path, old: bytes) -> None:
    folder = closed_folder(open_folder)
    path = folder / "a.zip"
    path.write_bytes(old)
    path.chmod(0o666)
    folder.chmod(0o555)
    before = set(os.listdir(tempfile.gettempdir()))
    with as_somebody():
        make(path, shebang="python3")
    assert is_right(path)
    assert path.stat().st_mode & 0o777 == (0o666 if IS_ROOT else 0o777)
    assert os.listdir(folder) == ["a.zip"]
    assert [n for n in {*os.listdir(tempfile.gettempdir())} - before if n[:9] == ".parazip-"] == []


@POSIX
def test_no_folder_for_temporary_files_is_told_before_the_work(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = closed_folder(open_folder)
    path = folder / "a.zip"
    path.write_bytes(OLD)
    path.chmod(0o666)
    folder.chmod(0o555)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with as_somebody():
        error = begin(path)
    assert "takes no new file, nor does a folder for temporary files, such as TMPDIR" in str(error)
    assert path.read_bytes() == OLD


@ROOT
def test_others_file_in_a_sticky_folder(open_folder: Path) -> None:
    """It may be written, or not; to replace it is not allowed."""
    folder = open_folder / "sticky"
    folder.mkdir()
    folder.chmod(0o1777)
    path = folder / "a.zip"
    path.write_bytes(OLD)
    path.chmod(0o666)
    with as_somebody():
        make(path)
    assert is_right(path)
    assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (0, 0o666)
    assert rest(folder) == []
    path.chmod(0o644)
    with as_somebody():
        error = begin(path)
    assert "Permission denied" in str(error)
    assert f"{path} cannot be replaced either; write elsewhere" in str(error)
    assert rest(folder) == []


@POSIX
def test_read_only_file_in_our_own_folder_is_replaced(open_folder: Path) -> None:
    if IS_ROOT:
        os.chown(open_folder, NOBODY, NOBODY)
    path = open_folder / "a.zip"
    with as_somebody():
        path.write_bytes(OLD)
        path.chmod(0o444)
        make(path)
    assert is_right(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert rest(open_folder) == []


@contextmanager
def mounted(source: Path, target: Path, *options: str) -> Iterator[None]:
    """A file that is mounted upon another, as containers do it."""
    if not IS_ROOT or sys.platform != "linux":
        pytest.skip("only root may mount, and only Linux mounts files")
    done = subprocess.run(["mount", "--bind", source, target], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.decode().strip()}")
    try:
        if options:
            subprocess.run(["mount", "-o", "remount,bind,ro", target], check=True)
        yield
    finally:
        subprocess.run(["umount", target], check=True)


@pytest.mark.parametrize("name", ["a.zip", "with blank\tand\\.zip"])
def test_file_that_is_a_mount_point_is_written_over(tmp_path: Path, name: str) -> None:
    """As with `docker run -v $PWD/out.zip:/out.zip`."""
    real, path = tmp_path / "real.zip", tmp_path / "inside" / name
    path.parent.mkdir()
    real.write_bytes(OLD)
    path.touch()
    with mounted(real, path):
        make(path)
        assert rights._is_mount_point(str(path))
    assert not rights._is_mount_point(str(path))
    assert is_right(real)
    assert os.listdir(path.parent) == [name]


def test_read_only_mount_point_is_told_before_the_work(tmp_path: Path) -> None:
    real, path = tmp_path / "real.zip", tmp_path / "inside" / "a.zip"
    path.parent.mkdir()
    real.write_bytes(OLD)
    path.touch()
    with mounted(real, path, "ro"):
        error = begin(path)
    assert "Read-only file system" in str(error)
    assert real.read_bytes() == OLD
    assert os.listdir(path.parent) == ["a.zip"]


@contextmanager
def attribute(path: Path, letter: str) -> Iterator[None]:
    """A file with an attribute of chattr(1)."""
    try:
        done = subprocess.run(["chattr", f"+{letter}", path], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no chattr")
    if done.returncode:
        pytest.skip(f"no file can get the attribute here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["chattr", f"-{letter}", path], check=True)


def test_immutable_file_is_told_before_the_work(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    with attribute(path, "i"):
        error = begin(path)
    assert "Operation not permitted" in str(error)
    assert path.read_bytes() == OLD
    assert rest(tmp_path) == []


def test_what_cannot_replace_an_append_only_file_is_kept(tmp_path: Path) -> None:
    """access(2) says that it may be written, and to open it would wake up who watches it."""
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    with attribute(path, "a"):
        _, error = tried(path)
    assert error is not None
    kept = kept_by(error)
    assert is_right(kept)
    assert path.read_bytes() == OLD
    assert rest(tmp_path) == [os.path.basename(kept)]


# --- Rights ----------------------------------------------------------------------------------


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    try:
        yield os.umask
    finally:
        os.umask(before)


@POSIX
@pytest.mark.parametrize("is_named", [False, True])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (0o644, 0o644),
        (0o600, 0o600),
        (0o664, 0o664),
        (0o666, 0o666),
        (0o444, 0o444),
        (0o755, 0o755),
        (0o060, 0o060),
        (0o4755, 0o755),
        (0o2755, 0o755),
        (0o6755, 0o755),
        (0o1644, 0o644),
        (0o7777, 0o777),
    ],
    ids="{:04o}".format,
)
def test_rights_are_handed_on_and_set_id_bits_are_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    umask: Callable[[int], int],
    old: int,
    new: int,
    is_named: bool,
) -> None:
    umask(0o077)
    if is_named:
        refuse(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    path.chmod(old)
    make(path)
    assert stat.S_IMODE(path.stat().st_mode) == new


@POSIX
def test_mode_that_is_right_is_not_set_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: Callable[[int], int]
) -> None:
    umask(0o027)
    calls: list[object] = []
    monkeypatch.setattr(os, "fchmod", lambda *given: calls.append(given))
    for _ in range(2):
        make(tmp_path / "a.zip")
    assert calls == []
    assert stat.S_IMODE((tmp_path / "a.zip").stat().st_mode) == 0o640


@ROOT
@pytest.mark.parametrize("is_named", [False, True])
@pytest.mark.parametrize(
    ("mask", "user", "group", "old", "new"),
    [
        (0o022, NOBODY, NOBODY, 0o4755, (0, NOBODY, 0o755)),
        (0o022, NOBODY, NOBODY, 0o6777, (0, NOBODY, 0o755)),
        (0o022, NOBODY, NOBODY, 0o666, (0, NOBODY, 0o644)),
        (0o022, NOBODY, NOBODY, 0o600, (0, NOBODY, 0o600)),
        (0o022, NOBODY, NOBODY, 0o444, (0, NOBODY, 0o444)),
        (0o002, NOBODY, 0, 0o664, (0, 0, 0o664)),
        (0o077, NOBODY, 0, 0o664, (0, 0, 0o600)),
        (0o022, 0, NOBODY, 0o660, (0, NOBODY, 0o660)),
        (0o022, 0, NOBODY, 0o2770, (0, NOBODY, 0o770)),
    ],
)
def test_rights_of_another_owners_file_add_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    umask: Callable[[int], int],
    is_named: bool,
    mask: int,
    user: int,
    group: int,
    old: int,
    new: tuple[int, int, int],
) -> None:
    """They may take away from what the umask leaves. The group comes along."""
    umask(mask)
    if is_named:
        refuse(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    os.chown(path, user, group)
    path.chmod(old)
    make(path)
    info = path.stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == new


@ROOT
@pytest.mark.parametrize(("old", "new"), [(0o660, 0o600), (0o664, 0o644), (0o675, 0o655)])
def test_group_that_cannot_be_kept_leaves_no_rights_to_another(
    open_folder: Path, umask: Callable[[int], int], old: int, new: int
) -> None:
    umask(0)
    os.chown(open_folder, NOBODY, NOBODY)
    path = open_folder / "a.zip"
    path.write_bytes(OLD)
    os.chown(path, NOBODY, NOBODY + 1)
    path.chmod(old)
    with as_somebody():
        make(path)
    info = path.stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (NOBODY, NOBODY, new)


@POSIX
@pytest.mark.parametrize("is_named", [False, True])
def test_nobody_may_read_it_meanwhile_who_may_not_read_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: Callable[[int], int], is_named: bool
) -> None:
    umask(0)
    if is_named:
        refuse(monkeypatch, "O_TMPFILE", errno.EOPNOTSUPP)
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    path.chmod(0o600)
    with open_replacement(str(path)) as output:
        assert output.descriptor is not None
        assert stat.S_IMODE(os.fstat(output.descriptor).st_mode) == 0o600


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="needs Linux's access control lists")
def test_rights_of_an_access_control_list_are_no_groups(
    tmp_path: Path, umask: Callable[[int], int]
) -> None:
    """With a list the mode's middle is the most that any user or group of it may do (acl(5))."""
    umask(0)
    path = tmp_path / "a.zip"
    path.write_bytes(OLD)
    entries = [(1, 6, -1), (2, 6, NOBODY), (4, 0, -1), (16, 6, -1), (32, 0, -1)]
    value = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, rights, who & 0xFFFFFFFF) for tag, rights, who in entries
    )
    try:
        os.setxattr(path, "system.posix_acl_access", value)
    except OSError as error:
        pytest.skip(f"the file system has no access control lists: {error}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    make(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not rights.has_acl(str(path))


# --- Files and folders of others -------------------------------------------------------------


def test_moved_file_is_written_over_where_renaming_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, path = tmp_path / "new", tmp_path / "a.zip"
    for old in (None, OLD):
        new.write_bytes(b"finished")
        if old is not None:
            path.write_bytes(old)
        with pytest.MonkeyPatch.context() as patch:
            refuse(patch, "replace", errno.EBUSY)
            naming.move_finished(str(new), str(path), "a.zip")
        assert path.read_bytes() == b"finished"
        assert rest(tmp_path) == []


def test_moved_folder_stays_and_is_told_where_renaming_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").mkdir()
    refuse(monkeypatch, "replace", errno.EBUSY)
    with pytest.raises(OutputError, match=re.escape(os.strerror(errno.EBUSY))) as told:
        naming.move_finished(str(tmp_path / "new"), str(tmp_path / "there"), "there")
    assert kept_by(told.value) == str(tmp_path / "new")
    assert naming.leaves_file_behind(told.value)


# --- Links that others have put there --------------------------------------------------------


@pytest.fixture
def planted(open_folder: Path) -> tuple[Path, Path]:
    """A link of another user's in a folder like /tmp, and where it leads."""
    if not IS_ROOT:
        pytest.skip("only root makes links of others")
    shared = open_folder / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    link, aim = shared / "a.zip", open_folder / "aim"
    link.symlink_to(aim)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    return link, aim


@POSIX
@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("steps", [0, 1])
def test_another_users_link_in_a_shared_folder_is_not_followed(
    planted: tuple[Path, Path], tmp_path: Path, is_there: bool, steps: int
) -> None:
    link, aim = planted
    if is_there:
        aim.write_bytes(OLD)
    path = link
    for step in range(steps):
        path = tmp_path / f"step{step}"
        path.symlink_to(link)
    with pytest.raises(OutputError, match=re.escape(f"{link} is another user's link")):
        make(path)
    with pytest.raises(OutputError, match="another user's link"):
        parazip.preview([__file__], archive=path)
    assert aim.exists() == is_there
    assert not is_there or aim.read_bytes() == OLD
    finished = tmp_path / "finished"
    finished.write_bytes(b"new")
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, "replace", errno.EPERM)
        with pytest.raises(OutputError, match="another user's link") as error:
            naming.move_finished(str(finished), str(path), "a.zip")
    assert kept_by(error.value) == str(finished)
    assert aim.exists() == is_there


@POSIX
def test_other_links_are_followed_as_ever(planted: tuple[Path, Path]) -> None:
    link, aim = planted
    shared = link.parent
    make(shared / ".." / "shared" / ".." / "b.zip")
    assert is_right(aim.parent / "b.zip")
    (shared / "ours").symlink_to(aim)
    make(shared / "ours")
    assert is_right(aim)
    aim.unlink()
    os.chown(shared, NOBODY, NOBODY)  # the link is its owner's now
    make(link)
    assert is_right(aim)
    assert link.is_symlink()
    aim.unlink()
    os.chown(shared, 0, 0)
    shared.chmod(0o755)
    make(link)
    assert is_right(aim)
    (shared / "within").symlink_to(aim.parent)
    os.chown(shared / "within", NOBODY, NOBODY, follow_symlinks=False)
    shared.chmod(0o1777)
    make(shared / "within" / "c.zip")  # what is no last step, Linux does not ask for either
    assert is_right(aim.parent / "c.zip")


@POSIX
def test_links_in_a_circle_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.zip").symlink_to("b.zip")
    (tmp_path / "b.zip").symlink_to("a.zip")
    with pytest.raises(OutputError, match=r"cannot write .*a\.zip: Too many levels"):
        make(tmp_path / "a.zip")


# --- What is known before the work -----------------------------------------------------------


@POSIX
@pytest.mark.parametrize("goes_through", ["create", "preview"])
def test_what_is_in_vain_is_refused_before_the_work(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, goes_through: str
) -> None:
    """What a dry run and a real one refuse is the same, and nothing has been looked at by then."""

    def refused(archive: str, **front: Any) -> Exception:
        done: Callable[..., object] = partial(parazip.create, archive, ["source"])
        if goes_through == "preview":
            done = partial(parazip.preview, ["source"], archive=archive)
        with pytest.raises(parazip.ParazipError) as error:
            done(**front)
        return error.value

    monkeypatch.chdir(open_folder)
    Path("source").write_bytes(b"data")
    Path("source").chmod(0o644)
    Path("folder").mkdir()
    Path("folder").chmod(0o755)
    with monkeypatch.context() as patch:  # no source is opened
        patch.setattr("parazip.files.read_file", lambda file: pytest.fail("it was read"))
        assert "does not exist; make it first" in str(refused("missing/a.zip"))
        assert "it is a folder; name a file in it" in str(refused("folder"))
        assert "is not a path" in str(refused(""))
        assert "cannot write source/a.zip" in str(refused("source/a.zip"))
        assert "the shebang '' is not" in str(refused("a.zip", shebang=""))
        assert "cannot read gone: No such file" in str(refused("a.zip", prepend="gone"))
        assert "cannot read folder: Is a directory" in str(refused("a.zip", prepend="folder"))
        assert "cannot read '': No such file" in str(refused("a.zip", prepend=""))
        Path("secret").write_bytes(b"#!")
        Path("secret").chmod(0)
        Path("fixed.zip").write_bytes(OLD)
        open_folder.chmod(0o777)
        if IS_ROOT:
            with as_somebody():
                assert "Permission denied" in str(refused("a.zip", prepend="secret"))
                assert "folder takes no new file" in str(refused("folder/a.zip"))
        assert Path("fixed.zip").read_bytes() == OLD
    assert sorted(os.listdir()) == ["fixed.zip", "folder", "secret", "source"]
    assert os.listdir("folder") == []


@POSIX
def test_a_dry_run_lets_pass_what_a_real_one_does(open_folder: Path) -> None:
    source = open_folder / "source"
    source.write_bytes(b"data")
    source.chmod(0o644)
    folder = open_folder / "folder"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "ours.zip").write_bytes(OLD)
    (folder / "ours.zip").chmod(0o666)
    os.mkfifo(folder / "pipe")
    (folder / "pipe").chmod(0o666)
    with as_somebody():
        for name in ("ours.zip", "pipe"):
            assert parazip.preview([source], archive=folder / name).members
        assert parazip.preview([source], archive=os.devnull, prepend=folder / "pipe").members
    assert (folder / "ours.zip").read_bytes() == OLD
