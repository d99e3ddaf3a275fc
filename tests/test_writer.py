from __future__ import annotations

import errno
import io
import itertools
import os
import random
import stat
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

import parazip
from parazip import output as output_module
from parazip import temporary as temporary_files
from parazip.errors import OutputError
from parazip.format.records import FLAG_DESCRIPTOR, LIMIT_32, pack_central_header, pack_local_header
from parazip.format.values import DEFLATED, STORED, Buffer, Record
from parazip.model import Block, Part
from parazip.output import Output, Pipe, open_replacement
from parazip.progress import Progress
from parazip.testing import OPERATIONS, FailingOutput, InlineExecutor, ShortOutput
from parazip.writer import ArchiveWriter

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX files only")
DATE = 0x5264_28C4
ATTRIBUTES = 0o100644 << 16


def noise(size: int) -> bytes:
    """Bytes that do not shrink, the same each time."""
    return random.Random(size).randbytes(size)


LINES = b"".join(b"line %d of a text that shrinks\n" % i for i in range(70_000))
PADDED_NOISE = b"pad " * 60 + noise(2 << 20)
"""Its first bytes look as if it shrank; it does not."""


def record(name: str, method: int, size: int) -> Record:
    return Record(name.encode(), 0, method, DATE, 0, 0, size, ATTRIBUTES, 0)


def deflated(data: bytes) -> Block:
    """A finished stream in two pieces, as a codec may give it."""
    packed = zlib.compress(data, 6, -15)
    return Block((packed[:9], packed[9:]), zlib.crc32(data), len(data))


def stored(data: bytes) -> Block:
    return Block((data,), zlib.crc32(data), len(data))


def length(block: Block) -> int:
    return sum(map(len, block.data))


def member(name: str, data: bytes) -> parazip.Member:
    return parazip.Member(name, data, ATTRIBUTES, DATE)


def part(name: str, data: bytes) -> Part:
    made = Record(
        name.encode(), 0, STORED, DATE, zlib.crc32(data), len(data), len(data), ATTRIBUTES, 0
    )
    return Part((pack_local_header(made, False) + data,), pack_central_header(made), {})


def contents(file: str | Path | BinaryIO) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def parazip_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("parazip")]


def write_then(path: Path, action: Callable[[], object]) -> None:
    """Writes a complete archive to `path`, does `action`, and only then ends."""
    with open_replacement(str(path)) as output:
        output.write(b"complete")
        action()


def fail_with(error: type[BaseException]) -> Callable[[], object]:
    def fail() -> None:
        raise error("on purpose")

    return fail


@pytest.fixture(params=["nameless", "named"])
def temporary(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The two kinds of temporary files; the first one where the system can make such."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif not hasattr(os, "O_TMPFILE"):
        pytest.skip("the system has no files without names")
    return str(request.param)


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
        parazip.write(tmp_path / "a.zip", [member("a", b"text")])
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
        parazip.write(path, [member("a", b"")])
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
        parazip.write(path, [member("__main__.py", b"print()")], shebang="/usr/bin/env python3")
    finally:
        os.umask(before)
    assert path.read_bytes().startswith(b"#!/usr/bin/env python3\nPK\3\4")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_output_that_was_handed_in_has_no_right_to_execute(tmp_path: Path) -> None:
    path = tmp_path / "a.pyz"
    with path.open("wb") as file:
        mode = os.fstat(file.fileno()).st_mode
        parazip.write(file, [member("__main__.py", b"")], shebang="python3")
    assert path.stat().st_mode == mode


# --- What is no regular file -----------------------------------------------------------------


@POSIX
def test_null_device_takes_an_archive_and_stays_a_device() -> None:
    report = parazip.write(os.devnull, [member("a", LINES)], parazip.Settings(level=1))
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert report.bytes_out > 1000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_named_pipe_gets_the_archive_and_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    parazip.write(path, [member("lines", LINES), member("b", b"b")], parazip.Settings(level=1))
    reader.join()
    assert contents(io.BytesIO(read[0])) == {"lines": LINES, "b": b"b"}
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_full_disk_is_told_by_name_and_errno() -> None:
    with pytest.raises(OutputError, match="cannot write /dev/full: the disk is full") as told:
        parazip.write("/dev/full", [member("a", b"text")])
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
        parazip.write(Pipe(file, "-"), [member("a", b"text")])
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
    report = parazip.write(output, [member("a", noise(3000))])
    assert len(output.getvalue()) == report.bytes_out
    assert len(contents(io.BytesIO(output.getvalue()))) == 1


@POSIX
def test_pipe_that_does_not_wait_is_an_error_not_a_loss() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with (
        open(reading, "rb"),
        open(writing, "wb", buffering=0) as pipe,
        pytest.raises(OutputError, match="not to wait for its reader"),
    ):
        parazip.write(pipe, [member("a", noise(300_000))])


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
    members = [member(str(i), noise(300_000)) for i in range(10)] + [member("cut", noise(2 << 20))]
    with (
        file_size_limit(2_000_000),
        pytest.raises(OutputError, match=r"cannot write .*a\.zip: ") as told,
    ):
        parazip.write(path, members, parazip.Settings(level=level))
    assert told.value.errno == errno.EFBIG
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    assert parazip_threads() == []


# --- Whole archives that fail ----------------------------------------------------------------


def tree(tmp_path: Path) -> Path:
    """A folder whose archive at level 1 takes every way through the writer."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a empty").mkdir()
    (folder / "b cut").write_bytes(LINES)
    (folder / "c small").write_bytes(b"small " * 1000)
    (folder / "d taken back").write_bytes(PADDED_NOISE)
    (folder / "e noise").write_bytes(noise((1 << 20) + 1))
    (folder / "f last").write_bytes(b"last")
    return folder


def folder_contents(folder: Path) -> dict[str, bytes]:
    return {
        file.name + "/" * file.is_dir(): b"" if file.is_dir() else file.read_bytes()
        for file in folder.iterdir()
    }


FAST = parazip.Settings(level=1, jobs=2)
FROM_FOLDER = "."


def into(output: output_module.BinaryOutput | Pipe, folder: Path) -> parazip.Report:
    selection = parazip.Selection(directory=folder)
    return parazip.create(output, [FROM_FOLDER], FAST, selection, shebang="python3")


@pytest.mark.parametrize("kind", ["file", "pipe"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_failure_of_any_call_of_the_output_is_told_and_ends_everything(
    tmp_path: Path, operation: str, kind: str
) -> None:
    folder = tree(tmp_path)
    expected = folder_contents(folder)
    for n in range(1, 1000):
        file = io.BytesIO()
        error = OSError(errno.EIO, "the cable is broken")
        failing = FailingOutput(file, n, error, (operation,))
        try:
            into(failing if kind == "file" else Pipe(failing, "-"), folder)
        except OutputError as raised:
            told = raised
        else:
            break
        assert str(told) == "cannot write -: the cable is broken"
        assert (told.errno, told.__cause__) == (errno.EIO, error)
        assert failing.calls == n, "after the error nothing more is tried"
        assert parazip_threads() == []
    assert failing.calls == n - 1
    assert contents(file) == expected
    used = {
        "file": {"write", "seek", "tell", "truncate", "flush"},
        "pipe": {"write", "flush"},
    }
    assert (n > 1) == (operation in used[kind])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "cannot write -: the disk is full; make room or write elsewhere",
        ),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "cannot write -: whoever reads it has gone"),
        (OSError(errno.EDQUOT, "Quota exceeded"), "cannot write -: Quota exceeded"),
        (OSError("no number"), "cannot write -: no number"),
    ],
)
def test_message_says_what_to_do(tmp_path: Path, error: OSError, message: str) -> None:
    failing = FailingOutput(io.BytesIO(), 3, error, ("write",))
    with pytest.raises(OutputError) as told:
        into(failing, tree(tmp_path))
    assert str(told.value) == message
    assert told.value.errno == error.errno
    assert told.value.__cause__ is error


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interruption_at_any_progress_leaves_nothing_behind(
    tmp_path: Path, error: type[BaseException]
) -> None:
    folder = tree(tmp_path)
    place = tmp_path / "place"
    place.mkdir()
    path = place / "a.zip"
    path.write_bytes(b"old")
    selection = parazip.Selection(directory=folder)
    for n in itertools.count(1):
        calls = 0

        def sink(progress: Progress, n: int = n) -> None:
            nonlocal calls
            calls += 1
            if calls == n:
                raise error("on purpose")

        try:
            parazip.create(path, ["."], FAST, selection, progress=sink)
        except error:
            assert path.read_bytes() == b"old"
            assert list(place.iterdir()) == [path]
            assert parazip_threads() == []
        else:
            break
    assert n > 5
    assert contents(path) == folder_contents(folder)


@pytest.mark.parametrize("size", [0, 1 << 10, (1 << 20) + 1])
@pytest.mark.parametrize(
    "change", [Path.unlink, lambda file: file.write_bytes(b"changed")], ids=["deleted", "changed"]
)
def test_source_that_changed_leaves_the_old_archive_alone(
    tmp_path: Path, change: Callable[[Path], object], size: int
) -> None:
    source, path = tmp_path / "source", tmp_path / "a.zip"
    source.write_bytes(bytes(size))
    path.write_bytes(b"old")
    info = source.stat()
    file = parazip.File(str(source), size, info.st_mtime_ns, info.st_ino)
    change(source)
    before = sorted(tmp_path.iterdir())
    members = [member("first", b"first"), parazip.Member("changed", file, ATTRIBUTES, DATE)]
    with pytest.raises(parazip.SourceError) as told:
        parazip.write(path, members, FAST)
    assert told.value.member == str(source)
    assert path.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == before
    assert parazip_threads() == []


# --- Output ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bite", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_output_writes_everything_to_a_file_that_takes_little(
    bite: int, kind: Callable[[bytes], bytes | bytearray | memoryview]
) -> None:
    file = io.BytesIO()
    output = Output(ShortOutput(file, bite), "short")
    for data in (b"abcdefg", b"", b"hi"):
        output.write(kind(data))
    output.patch(2, b"CDEF")
    output.write(b"!")
    assert file.getvalue() == b"abCDEFghi!"
    assert output.position == 10


def test_output_counts_from_where_the_file_stands() -> None:
    file = io.BytesIO()
    file.write(b"in front")
    output = Output(file, "file")
    assert (output.seekable, output.position) == (True, 8)
    output.write(b"12345")
    output.rewind(10)
    assert (output.position, file.getvalue()) == (10, b"in front12")
    output.patch(8, b"x")
    output.write(b"y")
    assert (output.position, file.getvalue()) == (11, b"in frontx2y")


def test_output_that_cannot_seek_counts_from_zero() -> None:
    file = io.BytesIO(b"........")
    file.seek(8)
    output = Output(Pipe(file, "pipe"), "pipe")
    output.write(b"12")
    assert (output.seekable, output.position) == (False, 2)


@pytest.mark.parametrize("bite", [1, 1000])
def test_archive_on_a_file_that_takes_little_is_the_same(bite: int) -> None:
    members = [member("a", b"a" * 5000), member("cut", LINES[: (1 << 20) + 9])]
    whole, short = io.BytesIO(), io.BytesIO()
    settings = parazip.Settings(level=1)
    parazip.write(whole, members, settings, executor=InlineExecutor())
    parazip.write(ShortOutput(short, bite), members, settings, executor=InlineExecutor())
    assert short.getvalue() == whole.getvalue()


def test_archive_behind_other_bytes_of_an_open_file_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with path.open("wb") as file:
        file.write(b"in front")
        report = parazip.write(file, [member("cut", LINES), member("b", b"b")], FAST)
    assert report.bytes_out == path.stat().st_size - 8
    with zipfile.ZipFile(path) as archive:
        assert archive.infolist()[0].header_offset == 8
    assert contents(path) == {"cut": LINES, "b": b"b"}


def test_archive_at_the_end_of_a_file_opened_for_appending_is_right_or_refused(
    tmp_path: Path,
) -> None:
    """Such a file says that it can seek, and writes at its end all the same."""
    path = tmp_path / "a.zip"
    path.write_bytes(b"in front")
    with path.open("ab") as file:
        try:
            parazip.write(file, [member("cut", LINES), member("b", b"b")], FAST)
        except parazip.ParazipError:
            return
    assert contents(path) == {"cut": LINES, "b": b"b"}


# --- Members that come block by block --------------------------------------------------------


def local_of(file: io.BytesIO, offset: int = 0) -> tuple[int, int, int, int, int]:
    """Version needed, flags, CRC and sizes of a local file header, by zipfile's own table."""
    fields = zipfile.struct.unpack_from(  # type: ignore[attr-defined]  # not in its stubs
        zipfile.structFileHeader,  # type: ignore[attr-defined]  # not in its stubs
        file.getvalue(),
        offset,
    )
    return fields[1], fields[3], fields[7], fields[8], fields[9]


def test_cut_member_on_an_output_that_seeks_has_everything_in_its_header() -> None:
    file = io.BytesIO()
    archive = ArchiveWriter(Output(file, "file"))
    block = deflated(LINES)
    archive.begin_member(record("cut", DEFLATED, len(LINES)))
    archive.write_block(block)
    assert archive.end_member(block.crc) == length(block)
    archive.finish()
    assert local_of(file) == (20, 0, block.crc, length(block), len(LINES))
    assert contents(file) == {"cut": LINES}


def test_cut_member_on_an_output_that_cannot_seek_has_a_descriptor() -> None:
    file = io.BytesIO()
    archive = ArchiveWriter(Output(Pipe(file, "pipe"), "pipe"))
    block = deflated(LINES)
    archive.begin_member(record("cut", DEFLATED, len(LINES)))
    archive.write_block(block)
    assert archive.end_member(block.crc) == length(block)
    archive.finish()
    assert local_of(file) == (20, FLAG_DESCRIPTOR, 0, 0, 0)
    after = 30 + len("cut") + length(block)
    assert file.getvalue()[after : after + 20] == (
        b"PK\7\x08"
        + block.crc.to_bytes(4, "little")
        + length(block).to_bytes(4, "little")
        + len(LINES).to_bytes(4, "little")
        + b"PK\1\2"
    )
    assert contents(file) == {"cut": LINES}
    with zipfile.ZipFile(file) as read:
        assert read.getinfo("cut").flag_bits == FLAG_DESCRIPTOR


def test_cut_member_between_parts_lands_where_the_directory_says() -> None:
    for wrap in (lambda file: file, lambda file: Pipe(file, "pipe")):
        file = io.BytesIO()
        archive = ArchiveWriter(Output(wrap(file), "file"))
        archive.write_prefix(b"#!prefix\n")
        archive.write_part(part("first", b"1"))
        archive.begin_member(record("cut", STORED if wrap(file) is file else DEFLATED, 6))
        blocks = [stored(b"abc"), stored(b"def")] if wrap(file) is file else [deflated(b"abcdef")]
        for block in blocks:
            archive.write_block(block)
        archive.end_member(zlib.crc32(b"abcdef"))
        archive.write_part(part("last", b"2"))
        archive.finish()
        assert contents(file) == {"first": b"1", "cut": b"abcdef", "last": b"2"}


@pytest.mark.parametrize("growth", [0, 1])
def test_member_that_did_not_shrink_is_taken_back_without_a_trace(growth: int) -> None:
    file = io.BytesIO()
    archive = ArchiveWriter(Output(file, "file"))
    archive.write_part(part("first", b"1"))
    before = file.getvalue()
    block = deflated(noise(1000))
    archive.begin_member(record("noise", DEFLATED, length(block) - growth))
    archive.write_block(block)
    assert archive.end_member(block.crc) is None
    assert file.getvalue() == before
    archive.write_part(part("last", b"2"))
    archive.finish()
    assert contents(file) == {"first": b"1", "last": b"2"}


@pytest.mark.parametrize("kind", ["stored", "pipe"])
def test_member_that_did_not_shrink_stays_where_it_cannot_or_need_not_be_taken_back(
    kind: str,
) -> None:
    file = io.BytesIO()
    data = noise(1000)
    method, block = (STORED, stored(data)) if kind == "stored" else (DEFLATED, deflated(data))
    archive = ArchiveWriter(Output(file if kind == "stored" else Pipe(file, "pipe"), kind))
    archive.begin_member(record("noise", method, len(data)))
    archive.write_block(block)
    assert archive.end_member(block.crc) == length(block)
    archive.finish()
    assert contents(file) == {"noise": data}


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_large_member_that_only_looks_as_if_it_shrank_is_stored(kind: str) -> None:
    file = io.BytesIO()
    members = [member("a", b"a"), member("noise", PADDED_NOISE), member("z", b"z")]
    report = parazip.write(file if kind == "file" else Pipe(file, "-"), members, FAST)
    assert contents(file) == {"a": b"a", "noise": PADDED_NOISE, "z": b"z"}
    assert report.bytes_out == len(file.getvalue())
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo("noise")
    assert (info.compress_type == STORED) == (kind == "file")
    assert (info.flag_bits == FLAG_DESCRIPTOR) == (kind == "pipe")


@pytest.mark.parametrize(
    ("size", "zip64"), [(LIMIT_32 - 1, False), (LIMIT_32, True), (LIMIT_32 + 1, True)]
)
def test_header_of_a_cut_member_reserves_zip64_when_its_size_needs_it(
    size: int, zip64: bool
) -> None:
    file = io.BytesIO()
    archive = ArchiveWriter(Output(file, "file"))
    archive.begin_member(record("huge", DEFLATED, size))
    archive.write_block(deflated(b"as if this were 4 GiB"))
    assert archive.end_member(7) is not None
    header = file.getvalue()[: 34 + 20]
    assert header[4:6] == (b"\x2d\0" if zip64 else b"\x14\0")
    assert header[28:30] == (b"\x14\0" if zip64 else b"\0\0")
    if zip64:
        assert header[34:46] == b"\1\0\x10\0" + size.to_bytes(8, "little")


@pytest.mark.parametrize(("size", "zip64"), [(1 << 31, False), (LIMIT_32 - 1, True)])
def test_descriptor_is_wide_where_the_compressed_size_could_need_it(size: int, zip64: bool) -> None:
    """The header comes first, and its zip64 field is what tells a reader how wide sizes are."""
    file = io.BytesIO()
    archive = ArchiveWriter(Output(Pipe(file, "pipe"), "pipe"))
    block = deflated(b"as if this were 4 GiB")
    archive.begin_member(record("huge", DEFLATED, size))
    archive.write_block(block)
    archive.end_member(7)
    header = 30 + len("huge") + (20 if zip64 else 0)
    assert file.getvalue()[28:30] == (b"\x14\0" if zip64 else b"\0\0")
    descriptor = file.getvalue()[header + length(block) :]
    width = 8 if zip64 else 4
    assert descriptor == (
        b"PK\7\x08"
        + (7).to_bytes(4, "little")
        + length(block).to_bytes(width, "little")
        + size.to_bytes(width, "little")
    )


def test_archive_without_members_is_an_archive() -> None:
    file = io.BytesIO()
    report = parazip.write(file, [])
    assert contents(file) == {}
    assert (report.members, report.bytes_out) == (0, 22)
