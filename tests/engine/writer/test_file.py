"""The file under its name appears when it is complete; and what is no regular file."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import parazip
from parazip.errors import OutputError
from parazip.format.values import Buffer
from parazip.output import temporary as temporary_files
from parazip.output.stream import Pipe, open_replacement
from support.archives import contents_of
from support.paths import make_noise
from support.writing import LINES, make_member, parazip_threads

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX files only")


def write_then(path: Path, action: Callable[[], object]) -> None:
    """Writes a complete archive to `path`, does `action`, and only then ends."""
    with open_replacement(str(path)) as output:
        output.write(b"complete")
        action()


def fail_with(error: type[BaseException]) -> Callable[[], object]:
    def fail() -> None:
        raise error("on purpose")

    return fail


# --- The file under its name -----------------------------------------------------------------


def test_archive_appears_when_it_is_complete_and_not_before(tmp_path: Path, temporary: str) -> None:
    path = tmp_path / "a.zip"
    with open_replacement(str(path)) as output:
        output.write(b"complete")
        assert not path.exists()
        assert [file.suffix for file in tmp_path.iterdir()] == [".tmp"] * (temporary == "named")
    assert path.read_bytes() == b"complete"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("temporary")
def test_archive_that_stood_there_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"old")
    with open_replacement(str(path)) as output:
        output.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, b"old"])
def test_nothing_happens_to_the_folder_on_an_error(
    tmp_path: Path, old: bytes | None, error: type[BaseException]
) -> None:
    path = tmp_path / "a.zip"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(error, match="on purpose"):
        write_then(path, fail_with(error))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == (
        {} if old is None else {"a.zip": old}
    )


@pytest.mark.usefixtures("temporary")
def test_relative_path_stands_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_replacement("a.zip") as output:
        output.write(b"here")
        assert output.name == "a.zip"
    assert (tmp_path / "a.zip").read_bytes() == b"here"


@pytest.mark.usefixtures("temporary")
@POSIX
@pytest.mark.parametrize("old", [None, b"old"])
def test_link_is_followed_and_stays_a_link(tmp_path: Path, old: bytes | None) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target, link = folder / "real.zip", tmp_path / "link.zip"
    if old is not None:
        target.write_bytes(old)
    link.symlink_to(target)
    with open_replacement(str(link)) as output:
        output.write(b"new")
    assert link.is_symlink()
    assert not target.is_symlink()
    assert target.read_bytes() == b"new"
    assert sorted(file.name for file in tmp_path.rglob("*")) == [
        "elsewhere",
        "link.zip",
        "real.zip",
    ]


@POSIX
def test_link_that_leads_to_a_missing_folder_names_that_folder(tmp_path: Path) -> None:
    link = tmp_path / "link.zip"
    link.symlink_to(tmp_path / "missing" / "real.zip")
    with (
        pytest.raises(OutputError, match=r"folder .*missing does not exist"),
        open_replacement(str(link)),
    ):
        raise AssertionError("nothing to write to")


@POSIX
def test_link_that_leads_to_itself_is_told(tmp_path: Path) -> None:
    link = tmp_path / "link.zip"
    link.symlink_to(link)
    with (
        pytest.raises(OutputError, match=r"cannot write .*link\.zip: ") as told,
        open_replacement(str(link)),
    ):
        raise AssertionError("nothing to write to")
    assert told.value.errno == errno.ELOOP


def test_folder_under_that_name_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="it is a folder; name a file in it") as told,
        open_replacement(str(tmp_path)),
    ):
        raise AssertionError("nothing to write to")
    assert told.value.member == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_told_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "a.zip"
    with (
        pytest.raises(OutputError, match=r"missing does not exist; make it first") as told,
        open_replacement(str(path)),
    ):
        raise AssertionError("nothing to write to")
    assert told.value.errno == errno.ENOENT
    assert list(tmp_path.iterdir()) == []


def test_file_where_a_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(OutputError, match="cannot write"),
        open_replacement(str(tmp_path / "file/a.zip")),
    ):
        raise AssertionError("nothing to write to")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_folder_without_write_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with (
            pytest.raises(OutputError, match="cannot write"),
            open_replacement(str(tmp_path / "a.zip")),
        ):
            raise AssertionError("nothing to write to")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.usefixtures("temporary")
def test_folder_that_came_under_the_name_meanwhile_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with pytest.raises(OutputError, match=r"cannot write .*a\.zip: ") as told:
        write_then(path, path.mkdir)
    assert {*tmp_path.iterdir()} == {path, Path(told.value.kept)}
    assert Path(told.value.kept).read_bytes() == b"complete"


def delete_all(folder: Path) -> None:
    files = list(folder.iterdir())
    assert files, "there must be something to delete"
    for file in files:
        file.unlink()


@POSIX
def test_temporary_file_that_someone_else_deleted_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    path = tmp_path / "a.zip"
    with pytest.raises(OutputError, match=r"cannot write .*a\.zip: "):
        write_then(path, lambda: delete_all(tmp_path))
    assert list(tmp_path.iterdir()) == []


@POSIX
def test_error_is_not_hidden_by_a_temporary_file_that_someone_else_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)

    def delete_and_fail() -> None:
        delete_all(tmp_path)
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        write_then(tmp_path / "a.zip", delete_and_fail)


@pytest.mark.usefixtures("temporary")
def test_disk_that_is_full_when_the_file_is_closed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network file systems tell of a full disk as late as that."""

    class FullWhenClosed(io.FileIO):
        def close(self) -> None:
            was_open = not self.closed
            super().close()
            if was_open:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(temporary_files, "FileIO", FullWhenClosed)
    with pytest.raises(OutputError, match="the disk is full"):
        parazip.write(tmp_path / "a.zip", [make_member("a", b"text")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(
    "name",
    ["a.zip", "no suffix", " ", "-", "\u2603.zip", "x" * 251 + ".zip", "\u4e2d" * 83 + ".zip"],
    ids=["plain", "no suffix", "blank", "hyphen", "snowman", "255 letters", "253 bytes of CJK"],
)
def test_any_name_that_the_system_allows_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")
    with open_replacement(str(path)) as output:
        output.write(b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("temporary")
@POSIX
@pytest.mark.parametrize(
    ("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0, 0o666)]
)
def test_permissions_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    path = tmp_path / "a.zip"
    before = os.umask(umask)
    try:
        parazip.write(path, [make_member("a", b"")])
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.usefixtures("temporary")
@POSIX
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o077, 0o700), (0o027, 0o750)])
def test_script_is_executable_for_whom_may_read_it(tmp_path: Path, umask: int, mode: int) -> None:
    path = tmp_path / "a.pyz"
    before = os.umask(umask)
    try:
        parazip.write(
            path, [make_member("__main__.py", b"print()")], shebang="/usr/bin/env python3"
        )
    finally:
        os.umask(before)
    assert path.read_bytes().startswith(b"#!/usr/bin/env python3\nPK\3\4")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_output_that_was_handed_in_has_no_right_to_execute(tmp_path: Path) -> None:
    path = tmp_path / "a.pyz"
    with path.open("wb") as file:
        mode = os.fstat(file.fileno()).st_mode
        parazip.write(file, [make_member("__main__.py", b"")], shebang="python3")
    assert path.stat().st_mode == mode


# --- What is no regular file -----------------------------------------------------------------


@POSIX
def test_null_device_takes_an_archive_and_stays_a_device() -> None:
    report = parazip.write(os.devnull, [make_member("a", LINES)], parazip.Settings(level=1))
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert report.bytes_out > 1000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_named_pipe_gets_the_archive_and_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    parazip.write(
        path, [make_member("lines", LINES), make_member("b", b"b")], parazip.Settings(level=1)
    )
    reader.join()
    assert contents_of(io.BytesIO(read[0])) == {"lines": LINES, "b": b"b"}
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_full_disk_is_told_by_name_and_errno() -> None:
    with pytest.raises(OutputError, match="cannot write /dev/full: the disk is full") as told:
        parazip.write("/dev/full", [make_member("a", b"text")])
    assert told.value.errno == errno.ENOSPC
    assert told.value.member == "/dev/full"
    assert parazip_threads() == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes that break as POSIX's do")
def test_pipe_that_nobody_reads_is_told() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with (
        open(writing, "wb", buffering=0) as file,
        pytest.raises(OutputError, match="whoever reads it has gone") as told,
    ):
        parazip.write(Pipe(file, "-"), [make_member("a", b"text")])
    assert told.value.errno == errno.EPIPE
    assert parazip_threads() == []


class _TellsNothing(io.BytesIO):
    """Takes all and returns None, as the response objects of web frameworks do."""

    def write(self, data: Buffer, /) -> None:  # type: ignore[override] # that is the point
        super().write(data)

    def seekable(self) -> bool:
        return False


def test_output_whose_write_returns_nothing_took_all() -> None:
    output = _TellsNothing()
    report = parazip.write(output, [make_member("a", make_noise(3000))])
    assert len(output.getvalue()) == report.bytes_out
    assert len(contents_of(io.BytesIO(output.getvalue()))) == 1


@POSIX
def test_pipe_that_does_not_wait_is_an_error_not_a_loss() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with (
        open(reading, "rb"),
        open(writing, "wb", buffering=0) as pipe,
        pytest.raises(OutputError, match="not to wait for its reader"),
    ):
        parazip.write(pipe, [make_member("a", make_noise(300_000))])


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    resource = pytest.importorskip("resource", reason="the system has no limits of resources")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("temporary")
@POSIX
@pytest.mark.parametrize("level", [0, 1, 6])
def test_file_that_may_not_grow_leaves_the_old_archive_alone(tmp_path: Path, level: int) -> None:
    """A failure of the real system: it takes a part of the last write, then no more."""
    path = tmp_path / "a.zip"
    path.write_bytes(b"old")
    members = [make_member(str(i), make_noise(300_000)) for i in range(10)] + [
        make_member("cut", make_noise(2 << 20))
    ]
    with (
        file_size_limit(2_000_000),
        pytest.raises(OutputError, match=r"cannot write .*a\.zip: ") as told,
    ):
        parazip.write(path, members, parazip.Settings(level=level))
    assert told.value.errno == errno.EFBIG
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    assert parazip_threads() == []
