"""Files whose size the system does not know are read to their end."""

from __future__ import annotations

import io
import os
import subprocess
import tracemalloc
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import parazip
from parazip import File, Member, OutputError, Progress, Selection, Settings, SourceChangedError
from parazip.codecs import levels
from parazip.codecs.sizes import BLOCK
from parazip.engine import assembly, joining
from parazip.engine.cache import Cache
from parazip.engine.progress import Counter
from parazip.engine.sections import AssemblyOptions
from parazip.model import Changes, Section
from parazip.output.stream import Pipe
from parazip.sources import files, merging
from support.archives import contents_of
from support.command import COMMAND
from support.patience import HUNG
from support.sources import LINUX, TEXT, append_blocks, scan_file


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


def make_member_of_size(path: Path, size: int, changes: Changes = "ctime") -> Member:
    """A member whose file is said to have `size` bytes."""
    (member,) = scan_file(path, changes)
    assert isinstance(member.source, File)
    return member._replace(source=member.source._replace(size=size))


UNKNOWN: list[tuple[int, int]] = [  # bytes that are told, and bytes that are there
    *((0, size) for size in (1, 5000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 8 * BLOCK + 1)),
    *((4096, size) for size in (0, 23, 4095, 4097, BLOCK + 4096, BLOCK + 4097, 3 * BLOCK)),
    *((2 * BLOCK + 5, size) for size in (0, 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 4)),
    *((2 * BLOCK + 5, size) for size in (2 * BLOCK + 6, 3 * BLOCK, 3 * BLOCK + 1, 8 * BLOCK)),
    *((2 * BLOCK, size) for size in (2 * BLOCK - 1, 2 * BLOCK + 1, 3 * BLOCK)),
]


@pytest.mark.once
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
    for name, given in paths.items():
        (tmp_path / name).write_bytes(given)
        members.append(make_member_of_size(tmp_path / name, size))
    monkeypatch.setattr(files, "os", Telling(size))
    buffer = io.BytesIO()
    seen: list[Progress] = []
    report = parazip.write(
        buffer if output == "file" else Pipe(buffer, "pipe"),
        members,
        Settings(level=level, jobs=2),
        progress=seen.append,
    )
    assert contents_of(buffer) == paths
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
        members.append(make_member_of_size(tmp_path / f"{i}", 0))
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
    member = make_member_of_size(tmp_path / "file", 0)
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
    member = make_member_of_size(tmp_path / "file", 0)
    monkeypatch.setattr(files, "os", Telling(0))
    monkeypatch.setattr(joining, "LIMIT_32", 4 * BLOCK)
    parazip.write(tmp_path / "o.zip", [Member("first", b"1", 0, 33 << 16), member])
    assert contents_of(tmp_path / "o.zip") == {"first": b"1", "file": TEXT}
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
    member = make_member_of_size(tmp_path / "file", size)
    monkeypatch.setattr(files, "os", Telling(size))
    counter = Counter(None)
    counter.count([member])
    means = AssemblyOptions(recipe=levels.AS_ZIPFILE, jobs=1, memory=1 << 20)
    report = assembly.assemble(tmp_path / "o.zip", [Section(lambda: [member])], means, counter)
    assert contents_of(tmp_path / "o.zip") == {"file": TEXT * 2}
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
        members = scan_file(path)
        append_blocks(path)
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
        member = make_member_of_size(path, size)
        assert isinstance(member.source, File)
        source = member.source._replace(ctime_ns=0)
        member = member._replace(source=source)
        monkeypatch.setattr(files, "os", Telling(size))
        for data in (b"one", b"two", b"three"):
            path.write_bytes(data)
            os.utime(path, ns=(source.mtime_ns, source.mtime_ns))
            report = parazip.write(tmp_path / "o.zip", [member], cache=cache)
            assert (report.recalled, contents_of(tmp_path / "o.zip")) == (0, {"file": data})


def test_sums_are_of_all_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib
    import zlib

    path = tmp_path / "file"
    for data in (b"", b"x", TEXT[:300_000], TEXT):
        path.write_bytes(data)
        for size in (0, 4096, 400_000, len(data)):
            source = make_member_of_size(path, size).source
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
    members = [
        packed,
        make_member_of_size(small, 0),
        make_member_of_size(large, 0),
        packed._replace(name="c"),
    ]

    class Both(Telling):
        def fstat(self, descriptor: int) -> Any:
            info = os.fstat(descriptor)
            is_archive = info.st_ino == os.stat(tmp_path / "s2.zip").st_ino
            return info if is_archive else super().fstat(descriptor)

    monkeypatch.setattr(files, "os", Both(0))
    parazip.write(tmp_path / "o.zip", members)
    assert contents_of(tmp_path / "o.zip") == {
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
    found = contents_of(tmp_path / "o.zip")
    assert list(found) == [path[1:] for path in there]
    assert b"Pid:" in found["proc/self/status"]
    steady = [path for path in there if path not in ("/proc/cpuinfo", "/proc/self/status")]
    assert [found[path[1:]] for path in steady] == [Path(path).read_bytes() for path in steady]
    assert {
        info.filename: info.file_size for info in zipfile.ZipFile(tmp_path / "o.zip").infolist()
    } == {name: len(data) for name, data in found.items()}
