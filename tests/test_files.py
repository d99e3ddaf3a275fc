"""Files that change, files of which the system knows little, and what is no file any more."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import parazip
from parazip import (
    File,
    Member,
    OutputError,
    Progress,
    Selection,
    Settings,
    SettingsError,
    SourceChangedError,
    SourceError,
    assembly,
    files,
    joining,
    keys,
    merging,
)
from parazip.cache import Cache
from parazip.codecs import levels
from parazip.codecs.sizes import BLOCK
from parazip.model import CHANGES, Changes, Section
from parazip.output import Pipe
from parazip.progress import Counter
from parazip.sections import AssemblyOptions
from parazip.walk import find_members
from patience import HUNG

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX only")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc and /sys are Linux's")

TEXT = b"".join(b"line %d of some text\n" % i for i in range(400_000))
COMMAND = [sys.executable, "-m", "parazip"]


def contents(path: Path | io.BytesIO) -> dict[str, bytes]:
    """What an archive holds, each member tested by its CRC-32."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {info.filename: archive.read(info) for info in archive.infolist()}


def found(path: Path, changes: Changes = "ctime") -> list[Member]:
    selection = Selection(directory=path.parent, changes=changes)
    return list(find_members([path.name], selection))


# --- What shows that a file has changed ------------------------------------------------------


def touch(path: Path) -> None:
    info = path.stat()
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns + 1_000_000))


def link(path: Path) -> None:
    """As backups and installers do that save room: the change time moves, and nothing else."""
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        path.with_name("link").unlink(missing_ok=True)
        path.with_name("link").hardlink_to(path)


def replace(path: Path) -> None:
    info = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(info.st_atime_ns, info.st_mtime_ns))
    other.replace(path)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more" * 5000)


def grow_much(path: Path) -> None:
    with path.open("ab") as file:
        file.write(TEXT)


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def empty(path: Path) -> None:
    os.truncate(path, 0)


CHANGED: list[tuple[Callable[[Path], None], Changes, str, str]] = [
    (link, "mtime", "its change time is not what it was", "mtime"),
    (replace, "mtime", "its inode and change time are not what they were", "mtime"),
    (touch, "size", "its modification time", "size"),
    (grow, "none", r"it had \d+ bytes and has \d+ now", "none"),
    (grow_much, "none", r"it had \d+ bytes and has \d+ now", "none"),
    (shrink, "none", r"it had \d+ bytes and has \d+ now", "none"),
    (empty, "none", r"it had \d+ bytes and has 0 now", "none"),
]
SIZES = {"short": 1000, "whole": 300_000, "cut": 3 * BLOCK + 5}


@POSIX
@pytest.mark.parametrize("output", ["file", "pipe"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(
    ("change", "enough", "what", "advice"), CHANGED, ids=[row[0].__name__ for row in CHANGED]
)
def test_only_what_counts_is_an_error(
    tmp_path: Path,
    change: Callable[[Path], None],
    enough: Changes,
    what: str,
    advice: str,
    size: int,
    output: str,
) -> None:
    for changes in CHANGES:
        path = tmp_path / changes / "file"
        path.parent.mkdir()
        path.write_bytes(TEXT[:size])
        members = found(path, changes)
        change(path)
        buffer = io.BytesIO()
        target = buffer if output == "file" else Pipe(buffer, "pipe")
        if CHANGES.index(changes) < CHANGES.index(enough):
            with pytest.raises(
                SourceChangedError, match=f"file changed while it was read: {what}"
            ) as e:
                parazip.write(target, members, Settings(level=1))
            assert f"--changes {advice} does not look at it" in str(e.value)
            assert "leave it out with --exclude" in str(e.value)
        else:
            report = parazip.write(target, members, Settings(level=1))
            assert contents(buffer) == {"file": path.read_bytes()}
            assert report.bytes_in == path.stat().st_size


def test_other_words_for_what_counts_are_refused() -> None:
    with pytest.raises(SettingsError, match="changes 'inode' is not one of ctime, mtime, size, n"):
        Selection(changes="inode")  # type: ignore[arg-type] # it is what is refused


@POSIX
@pytest.mark.parametrize("command", ["create", "merge"])
def test_the_command_has_the_option(tmp_path: Path, command: str) -> None:
    """A file that is written to all the time, as logs are."""
    log = tmp_path / "t" / "log"
    log.parent.mkdir()
    log.write_bytes(TEXT)
    script = (
        "import os, sys\n"
        "from parazip import files\n"
        "check = files._check_unchanged\n"
        "def grow(file, *rest):\n"
        "    with open(file.path, 'ab') as log:\n"
        "        log.write(b'one line more')\n"
        "    check(file, os.stat(file.path), *rest[1:])\n"
        "files._check_unchanged = grow\n"
        "from parazip.__main__ import main\n"
        "main()\n"
    )

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command_line = [sys.executable, "-c", script, command, "-q", *args, "out.zip", "t"]
        return subprocess.run(
            command_line, cwd=tmp_path, capture_output=True, text=True, timeout=HUNG, check=False
        )

    done = run()
    assert done.returncode == 1
    assert "log changed while it was read: it had" in done.stderr
    assert "--changes none" in done.stderr
    assert run("--changes", "mtime").returncode == 1
    assert run("--changes", "inode").returncode == 2
    assert run("--changes", "none").stderr == ""
    (name,) = (name for name in contents(tmp_path / "out.zip") if name.endswith("log"))
    assert contents(tmp_path / "out.zip")[name].startswith(TEXT)


@POSIX
@pytest.mark.parametrize("changes", CHANGES)
def test_archives_that_are_merged_may_change_as_files_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: Changes
) -> None:
    source = tmp_path / "s.zip"
    parazip.write(source, [Member("a", TEXT, 0, 33 << 16)])
    gather = merging.gather_members

    def touched(*args: Any) -> list[Member]:
        members: list[Member] = gather(*args)
        link(source)
        return members

    monkeypatch.setattr(merging, "gather_members", touched)
    target = tmp_path / "o.zip"
    if changes == "ctime":
        with pytest.raises(SourceChangedError, match=r"s\.zip changed while it was read"):
            parazip.merge(target, [source], selection=Selection(changes=changes))
    else:
        parazip.merge(target, [source], selection=Selection(changes=changes))
        assert contents(target) == {"a": TEXT}


@POSIX
@pytest.mark.parametrize("changes", ["size", "none", "ctime"])
def test_contents_that_change_between_two_blocks_never_make_a_broken_member(
    tmp_path: Path, changes: Changes
) -> None:
    """Deflate's blocks refer to those before them, which must be the ones that were written."""
    path = tmp_path / "file"
    path.write_bytes(TEXT)
    members = found(path, changes)
    source = members[0].source
    assert isinstance(source, File)
    # As where a program writes to a mapping, which moves no times as long as the page is dirty.
    members = [members[0]._replace(source=source._replace(ctime_ns=0))]
    seen: list[Progress] = []

    def rewrite(progress: Progress) -> None:
        if not seen:
            info = path.stat()
            with path.open("r+b") as file:
                file.write(TEXT[::-1])
            os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
        seen.append(progress)

    def make() -> None:
        settings = Settings(level=1, jobs=1, memory=1 << 20)
        parazip.write(tmp_path / "o.zip", members, settings, progress=rewrite)

    if changes == "ctime":
        with pytest.raises(SourceChangedError, match="its contents did, and its times did not"):
            make()
        assert not (tmp_path / "o.zip").exists()
    else:
        make()
        assert contents(tmp_path / "o.zip") == {"file": TEXT[:BLOCK] + TEXT[::-1][BLOCK:]}
    assert len(seen) > 1 or changes == "ctime"


# --- What the cache makes of it --------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setattr(keys, "_TICK_NS", 0)
    monkeypatch.setattr(keys, "_COARSE_TICK_NS", 0)
    return Cache(tmp_path / "cache")


def recalled(path: Path, cache: Cache, changes: Changes, identity: Any = "stat") -> bool:
    """Whether a file comes out of the cache; that it is the right one anyhow."""
    selection = Selection(directory=path.parent, changes=changes)
    target = path.with_name("o.zip")
    report = parazip.create(target, [path.name], None, selection, cache=cache, identity=identity)
    assert contents(target) == {path.name: path.read_bytes()}
    return report.recalled > 0


@POSIX
@pytest.mark.parametrize("identity", ["stat", "content"])
def test_the_cache_knows_files_by_what_counts(tmp_path: Path, cache: Cache, identity: str) -> None:
    by_content = identity == "content"
    for changes in CHANGES:
        path = tmp_path / f"{changes} {identity}"
        path.write_bytes(TEXT)
        is_known = changes in ("ctime", "mtime")
        assert not recalled(path, cache, changes, identity)
        assert recalled(path, cache, changes, identity) is is_known
        link(path)
        assert recalled(path, cache, changes, identity) is (
            (by_content and is_known) or changes == "mtime"
        )
        touch(path)
        assert recalled(path, cache, changes, identity) is (by_content and is_known)
        if not by_content:
            before = path.stat()
            with path.open("r+b") as file:
                file.write(b"other")
            if changes in ("size", "none"):  # nothing is recalled that might be something else
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            assert not recalled(path, cache, changes, identity)


@POSIX
def test_what_is_written_through_a_mapping_is_seen_by_contents(
    tmp_path: Path, cache: Cache
) -> None:
    path = tmp_path / "file"
    path.write_bytes(TEXT)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        for i in range(3):
            mapping[:5] = b"%05d" % i
            assert not recalled(path, cache, "ctime", "content")
            assert recalled(path, cache, "ctime", "content")


# --- Sizes that the system does not know -----------------------------------------------------


class Telling:
    """The module `os` on a file system that tells one size of all files."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fstat(self, descriptor: int) -> Any:
        info = os.fstat(descriptor)
        kept = {name: getattr(info, name) for name in dir(info) if name.startswith("st_")}
        return SimpleNamespace(**{**kept, "st_size": self._size})


def told(path: Path, size: int, changes: Changes = "ctime") -> Member:
    """A member whose file is said to have `size` bytes."""
    (member,) = found(path, changes)
    assert isinstance(member.source, File)
    return member._replace(source=member.source._replace(size=size))


UNKNOWN: list[tuple[int, int]] = [  # bytes that are told, and bytes that are there
    *((0, size) for size in (1, 5000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 8 * BLOCK + 1)),
    *((4096, size) for size in (0, 23, 4095, 4097, BLOCK + 4096, BLOCK + 4097, 3 * BLOCK)),
    *((2 * BLOCK + 5, size) for size in (0, 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 4)),
    *((2 * BLOCK + 5, size) for size in (2 * BLOCK + 6, 3 * BLOCK, 3 * BLOCK + 1, 8 * BLOCK)),
    *((2 * BLOCK, size) for size in (2 * BLOCK - 1, 2 * BLOCK + 1, 3 * BLOCK)),
]


@pytest.mark.parametrize("output", ["file", "pipe"])
@pytest.mark.parametrize("level", [0, 1, 6])
@pytest.mark.parametrize(("size", "real"), UNKNOWN)
def test_a_file_is_read_to_its_end_whatever_size_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, real: int, level: int, output: str
) -> None:
    data = (TEXT * 2)[:real]
    noise = os.urandom(min(real, 3 * BLOCK))
    paths = {"before": b"before", "text": data, "noise": noise, "after": b"after"}
    members = []
    for name, contents_of in paths.items():
        (tmp_path / name).write_bytes(contents_of)
        members.append(told(tmp_path / name, size))
    monkeypatch.setattr(files, "os", Telling(size))
    buffer = io.BytesIO()
    seen: list[Progress] = []
    report = parazip.write(
        buffer if output == "file" else Pipe(buffer, "pipe"),
        members,
        Settings(level=level, jobs=2),
        progress=seen.append,
    )
    assert contents(buffer) == paths
    assert report.bytes_in == sum(map(len, paths.values()))
    assert sum(tally.bytes_in for tally in report.codecs.values()) == report.bytes_in
    last = seen[-1]
    assert (last.members, last.bytes) == (last.members_total, last.bytes_total)
    assert last.bytes == report.bytes_in
    if output == "file":
        with zipfile.ZipFile(buffer) as opened:
            assert all(not info.flag_bits & 8 for info in opened.infolist())


def test_jobs_and_memory_change_nothing_about_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = []
    for i, size in enumerate((10, 3 * BLOCK, 500_000, 5 * BLOCK, 100)):
        (tmp_path / f"{i}").write_bytes(TEXT[:size])
        members.append(told(tmp_path / f"{i}", 0))
    monkeypatch.setattr(files, "os", Telling(0))
    made = set()
    for jobs, memory in ((1, 1 << 20), (3, 1 << 20), (4, 256 << 20)):
        parazip.write(tmp_path / "o.zip", members, Settings(jobs=jobs, memory=memory))
        made.add((tmp_path / "o.zip").read_bytes())
    assert len(made) == 1


def test_a_large_file_without_a_size_is_never_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(64 << 20)
    member = told(tmp_path / "file", 0)
    monkeypatch.setattr(files, "os", Telling(0))
    settings = Settings(level=1, jobs=1, memory=1 << 20)
    parazip.write(tmp_path / "o.zip", [member], settings)  # what is imported and made once
    tracemalloc.start()
    try:
        parazip.write(tmp_path / "o.zip", [member], settings)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20
    with zipfile.ZipFile(tmp_path / "o.zip") as opened:
        assert opened.getinfo("file").file_size == 64 << 20
        assert opened.testzip() is None


def test_what_grows_over_the_header_gets_a_wider_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(TEXT)
    member = told(tmp_path / "file", 0)
    monkeypatch.setattr(files, "os", Telling(0))
    monkeypatch.setattr(joining, "LIMIT_32", 4 * BLOCK)
    parazip.write(tmp_path / "o.zip", [Member("first", b"1", 0, 33 << 16), member])
    assert contents(tmp_path / "o.zip") == {"first": b"1", "file": TEXT}
    with zipfile.ZipFile(tmp_path / "o.zip") as opened:
        offset = opened.getinfo("file").header_offset
    header = (tmp_path / "o.zip").read_bytes()[offset : offset + 60]
    assert header[18:26] == b"\xff" * 8
    assert int.from_bytes(header[38:46], "little") == len(TEXT)
    with pytest.raises(OutputError, match="file grew over 4 GiB, and its header is gone"):
        parazip.write(Pipe(io.BytesIO(), "pipe"), [member])


@pytest.mark.parametrize("size", [0, 9 << 20])
def test_what_is_made_as_zipfile_makes_it_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    (tmp_path / "file").write_bytes(TEXT * 2)
    member = told(tmp_path / "file", size)
    monkeypatch.setattr(files, "os", Telling(size))
    counter = Counter(None)
    counter.count([member])
    means = AssemblyOptions(recipe=levels.AS_ZIPFILE, jobs=1, memory=1 << 20)
    report = assembly.assemble(tmp_path / "o.zip", [Section(lambda: [member])], means, counter)
    assert contents(tmp_path / "o.zip") == {"file": TEXT * 2}
    assert report.bytes_in == len(TEXT * 2)
    with zipfile.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as other:
        other.writestr("file", TEXT * 2)
        expected = other.getinfo("file").compress_size
    with zipfile.ZipFile(tmp_path / "o.zip") as opened:
        assert opened.getinfo("file").compress_size == expected


def test_a_log_that_grows_is_an_error_as_ever(tmp_path: Path) -> None:
    """Also one that was empty, which is what a file without a known size looks like."""
    for size in (0, 4096, 100):
        path = tmp_path / "log"
        path.write_bytes(b"x" * size)
        members = found(path)
        grow(path)
        with pytest.raises(
            SourceChangedError, match=f"it had {size} bytes and has {size + 20_000}"
        ):
            parazip.write(tmp_path / "o.zip", members)
        assert not (tmp_path / "o.zip").exists()


def test_what_the_system_does_not_know_is_not_kept(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing tells of other contents then: neither a size nor, in /proc, a time."""
    path = tmp_path / "file"
    for size in (0, 4096):
        path.write_bytes(b"one")
        member = told(path, size)
        assert isinstance(member.source, File)
        source = member.source._replace(ctime_ns=0)
        member = member._replace(source=source)
        monkeypatch.setattr(files, "os", Telling(size))
        for data in (b"one", b"two", b"three"):
            path.write_bytes(data)
            os.utime(path, ns=(source.mtime_ns, source.mtime_ns))
            report = parazip.write(tmp_path / "o.zip", [member], cache=cache)
            assert (report.recalled, contents(tmp_path / "o.zip")) == (0, {"file": data})


def test_sums_are_of_all_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib
    import zlib

    path = tmp_path / "file"
    for data in (b"", b"x", TEXT[:300_000], TEXT):
        path.write_bytes(data)
        for size in (0, 4096, 400_000, len(data)):
            source = told(path, size).source
            assert isinstance(source, File)
            with monkeypatch.context() as patch:
                patch.setattr(files, "os", Telling(size))
                assert files.measure_file(source) == (zlib.crc32(data), len(data))
                assert files.hash_file(source) == hashlib.sha256(data).hexdigest()


def test_merging_takes_all_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a").write_bytes(b"")
    parazip.write(tmp_path / "s.zip", [Member("b", TEXT[:5000], 0, 33 << 16)])
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(TEXT[:700])
    large.write_bytes(TEXT[: 3 * BLOCK])
    (tmp_path / "s2.zip").write_bytes((tmp_path / "s.zip").read_bytes())
    (packed,) = merging.gather_members([tmp_path / "s2.zip"], Selection())
    members = [packed, told(small, 0), told(large, 0), packed._replace(name="c")]

    class Both(Telling):
        def fstat(self, descriptor: int) -> Any:
            info = os.fstat(descriptor)
            is_archive = info.st_ino == os.stat(tmp_path / "s2.zip").st_ino
            return info if is_archive else super().fstat(descriptor)

    monkeypatch.setattr(files, "os", Both(0))
    parazip.write(tmp_path / "o.zip", members)
    assert contents(tmp_path / "o.zip") == {
        "b": TEXT[:5000],
        "small": TEXT[:700],
        "large": TEXT[: 3 * BLOCK],
        "c": TEXT[:5000],
    }


@LINUX
@pytest.mark.parametrize("target", ["o.zip", "-"])
def test_files_of_proc_and_sys_are_put_in(tmp_path: Path, target: str) -> None:
    told_wrongly = ["/proc/cpuinfo", "/proc/self/status", "/proc/version", "/proc/kallsyms"]
    told_wrongly += [
        path
        for path in (
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "/sys/kernel/profiling",
            "/sys/devices/system/cpu/online",
        )
        if os.access(path, os.R_OK)
    ]
    there = [path for path in told_wrongly if os.access(path, os.R_OK)]
    done = subprocess.run(
        [*COMMAND, "create", target, *there], cwd=tmp_path, capture_output=True, timeout=HUNG
    )
    assert done.returncode == 0, done.stderr
    if target == "-":
        (tmp_path / "o.zip").write_bytes(done.stdout)
    found = contents(tmp_path / "o.zip")
    assert list(found) == [path[1:] for path in there]
    assert b"Pid:" in found["proc/self/status"]
    steady = [path for path in there if path not in ("/proc/cpuinfo", "/proc/self/status")]
    assert [found[path[1:]] for path in steady] == [Path(path).read_bytes() for path in steady]
    assert {
        info.filename: info.file_size for info in zipfile.ZipFile(tmp_path / "o.zip").infolist()
    } == {name: len(data) for name, data in found.items()}


# --- What is no file any more ----------------------------------------------------------------


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        before = Path.cwd()
        os.chdir(path.parent)  # a socket's path must be short
        try:
            opened.bind(path.name)
        finally:
            os.chdir(before)


def make_device(path: Path) -> None:
    path.symlink_to(os.devnull)


def make_endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_folder(path: Path) -> None:
    path.mkdir()


NO_FILES = {
    "a named pipe": make_pipe,
    "a socket": make_socket,
    "a device": make_device,
    "a device that does not end": make_endless,
    "a folder": make_folder,
}


@POSIX
@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("size", [0, 1000, 3 * BLOCK])
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_takes_a_files_place_is_an_error_at_once(
    tmp_path: Path, kind: str, size: int, changes: Changes
) -> None:
    path = tmp_path / "f"
    path.write_bytes(TEXT[:size])
    members = found(path, changes)
    path.unlink()
    NO_FILES[kind](path)
    what = " ".join(kind.split()[:3]).removesuffix(" that")
    with pytest.raises(SourceError, match=f"cannot read .*/f: it is {what}, not a file; put"):
        parazip.write(tmp_path / "o.zip", members)
    source = members[0].source
    assert isinstance(source, File)
    for look in (
        files.read_file,
        files.crc32_of_file,
        files.hash_file,
        lambda file: list(files.read_chunks(file)),
    ):
        with pytest.raises(SourceError, match=what):
            look(source)
    assert not (tmp_path / "o.zip").exists()


@POSIX
def test_a_pipe_that_somebody_writes_to_is_none_either(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 10)
    members = found(path, "none")
    path.unlink()
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.write(descriptor, b"x" * 1000)
        with pytest.raises(SourceError, match="it is a named pipe, not a file"):
            parazip.write(tmp_path / "o.zip", members)
    finally:
        os.close(descriptor)


@POSIX
def test_an_archive_that_becomes_a_pipe_is_an_error_at_once(tmp_path: Path) -> None:
    source = tmp_path / "s.zip"
    parazip.write(source, [Member("a", os.urandom(1 << 20), 0, 33 << 16, True)])
    members = merging.gather_members([source], Selection())
    source.unlink()
    os.mkfifo(source)
    with pytest.raises(SourceError, match=r"s\.zip: it is a named pipe, not a file"):
        parazip.write(tmp_path / "o.zip", members)


@LINUX
def test_a_file_that_somebody_leases_is_waited_for(tmp_path: Path) -> None:
    """File servers do that, and give it back when they are asked."""
    import fcntl

    path = tmp_path / "f"
    path.write_bytes(TEXT[:1000])
    members = found(path)
    descriptor = os.open(path, os.O_RDWR)
    asked = threading.Event()

    def give_back() -> None:
        signal.sigwait([signal.SIGUSR2])
        asked.set()
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGUSR2)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        waiting = threading.Thread(target=give_back)
        waiting.start()
        parazip.write(tmp_path / "o.zip", members)
        waiting.join(HUNG)
    except OSError as error:
        pytest.skip(f"there are no leases here: {error}")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(descriptor)
    assert asked.is_set()
    assert contents(tmp_path / "o.zip") == {"f": TEXT[:1000]}


# --- What never comes ------------------------------------------------------------------------


STUCK = """
import os, sys
from parazip import files

opened = files._open

def stuck(path, *flags):
    if os.path.basename(path).startswith("stuck"):
        os.write(2, b"%d\\n" % os.getpid())
        return os.open("never", os.O_RDONLY)  # as a file system that does not answer
    return opened(path, *flags)

files._open = stuck
from parazip.__main__ import main
main()
"""


@contextlib.contextmanager
def waiting(folder: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command, in a group of its own, that is ended with all its processes in the end."""
    os.mkfifo(folder / "never")
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def who_is_stuck(process: subprocess.Popen[bytes]) -> int:
    assert process.stderr is not None
    return int(process.stderr.readline())


@LINUX
@pytest.mark.once
@pytest.mark.parametrize("who", ["a thread", "a helper", "a thread that cannot be without a name"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to", [os.kill, os.killpg], ids=["it", "all"])
def test_a_file_system_that_does_not_answer_keeps_nobody(
    tmp_path: Path, who: str, number: signal.Signals, to: Callable[[int, int], None]
) -> None:
    (tmp_path / "t").mkdir()
    for i in range(1200 if who == "a helper" else 3):
        (tmp_path / "t" / f"{i:04}").write_bytes(b"%d" % i)
    (tmp_path / "t" / ("stuck" if who != "a helper" else "0000stuck")).write_bytes(b"x" * 100)
    script = STUCK.replace('startswith("stuck")', 'endswith("stuck")')
    if "name" in who:
        script = "import os; del os.O_TMPFILE\n" + script
    command = [sys.executable, "-c", script, "create", "-j", "2", "out.zip", "t"]
    before = [*os.listdir(tmp_path), "never"]
    with waiting(tmp_path, *command) as process:
        assert (who_is_stuck(process) != process.pid) is (who == "a helper")
        to(process.pid, number)
        _, err = process.communicate(timeout=HUNG)
        assert (process.returncode, err.splitlines()[-1]) == (1, b"parazip: interrupted")
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    assert sorted(os.listdir(tmp_path)) == sorted(before)


@LINUX
@pytest.mark.once
def test_a_helper_ends_with_its_parent_whatever_it_waits_for(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    for i in range(1200):
        (tmp_path / "t" / f"{i:04}").write_bytes(b"%d" % i)
    (tmp_path / "t" / "0000stuck").write_bytes(b"x")
    script = STUCK.replace('startswith("stuck")', 'endswith("stuck")')
    command = [sys.executable, "-c", script, "create", "-j", "2", "out.zip", "t"]
    with waiting(tmp_path, *command) as process:
        assert who_is_stuck(process) != process.pid
        process.kill()
        process.communicate(timeout=HUNG)  # the streams end when the last one has gone who has them


@POSIX
@pytest.mark.once
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "out.zip", "--files-from", "never"),
        ("create", "out.zip", "--files-from", "-"),
        ("create", "out.zip", "--files-from", "/dev/stdin"),
        ("create", "out.zip", "t", "--prepend", "never"),
        ("merge", "out.zip", "t", "--prepend", "never"),
    ],
    ids=" ".join,
)
def test_a_pipe_that_somebody_names_is_waited_for_until_a_signal(
    tmp_path: Path, arguments: tuple[str, ...], number: signal.Signals
) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a").write_bytes(b"a")
    script = (
        "import builtins, os, sys\n"
        "was_open = builtins.open\n"
        "def told(path, *args, **more):\n"
        "    if path in ('never', '/dev/stdin'): os.write(2, b'0\\n')\n"
        "    return was_open(path, *args, **more)\n"
        "builtins.open = told\n"
        "if '-' in sys.argv: os.write(2, b'0\\n')\n"
        "from parazip.__main__ import main\n"
        "main()\n"
    )
    with waiting(tmp_path, sys.executable, "-c", script, *arguments) as process:
        who_is_stuck(process)
        assert process.poll() is None
        # Nobody knows whether it waits yet; a signal just before a call begins does not end it.
        while process.poll() is None:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        assert process.returncode
        assert not (tmp_path / "out.zip").exists()


@POSIX
@pytest.mark.once
def test_pipes_can_be_lists_and_prefixes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    command = (
        f"'{sys.executable}' -m parazip create -q o.zip --files-from <(echo a) "
        "--prepend <(printf '#!/bin/sh\\n') && "
        f"echo a | '{sys.executable}' -m parazip create -q p.zip --files-from /dev/stdin"
    )
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, timeout=HUNG, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "o.zip").read_bytes().startswith(b"#!/bin/sh\n")
    assert contents(tmp_path / "o.zip") == contents(tmp_path / "p.zip") == {"a": b"a"}
