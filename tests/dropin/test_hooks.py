"""Hooks on what the standard library would call are called, as often as it would call them."""

from __future__ import annotations

import builtins
import functools
import io
import os
import shutil
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, nullcontext
from operator import attrgetter
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from isal import isal_zlib

import parazip
from parazip.dropin import hooks
from parazip.dropin.handle import MemberWriter
from parazip.dropin.members import MemberJobs

MEMBERS = 210

Stock = zipfile.ZipFile

Job = Callable[[Path, Path], None]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More members than are worked on by one thread alone, and one that is inflated in parts."""
    path = tmp_path_factory.mktemp("hooks") / "many.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for i in range(MEMBERS):
            archive.writestr(f"folder{i % 5}/{i}", b"%d\n" % i * 20)
        archive.writestr("large", bytes(1 << 20))
    return path


def extract(many: Path, place: Path) -> None:
    with zipfile.ZipFile(many) as archive:
        archive.extractall(place / "out")


def assert_tested_whole(many: Path, place: Path) -> None:
    with zipfile.ZipFile(many) as archive:
        assert archive.testzip() is None


def read(many: Path, place: Path) -> None:
    with zipfile.ZipFile(many) as archive:
        for name in archive.namelist()[:10]:
            assert archive.read(name).endswith(b"\n")
        with archive.open("large") as member:
            while member.read(100_000):
                pass
        archive.extract("large", place / "out")
        archive.extractall(place / "out", archive.namelist()[10:20])


def write(many: Path, place: Path) -> None:
    (place / "folder").mkdir()
    (place / "file").write_bytes(b"contents\n" * 1000)
    with zipfile.ZipFile(place / "new.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(20):
            archive.write(place / "file", str(i))
            archive.writestr(f"s{i}", b"contents\n" * 1000)
        archive.write(place / "folder", "folder")
        archive.mkdir("another")
        with archive.open("opened", "w") as member:
            member.write(b"contents\n")


READING = [extract, assert_tested_whole, read]

OF_ARCHIVES = (
    *("__init__", "open", "read", "write", "writestr", "mkdir", "close", "getinfo"),
    *("extract", "extractall", "testzip", "namelist", "infolist", "__enter__", "__exit__"),
    *("_extract_member", "_open_to_write", "_writecheck", "_RealGetContents"),
    *("_write_end_record", "_fpclose"),
)

OF_READERS = ("__init__", "read", "read1", "_read1", "_read2", "_update_crc", "close")

WHERE_READING = (
    *(f"Reader.{name}" for name in OF_READERS),
    *(f"Shared.{name}" for name in ("__init__", "read", "close")),
    *("zipfile._get_decompressor", "zlib.decompressobj"),
)

WHERE_WRITING = (
    *("Info.FileHeader", "Info.from_file", "zipfile._get_compressor", "zlib.compressobj"),
    *(f"Writer.{name}" for name in ("__init__", "write", "close")),
)

WHERE_BOTH = (
    *("Info.__init__", "Info.is_dir", "Info._encodeFilenameFlags", "zipfile.crc32"),
    *("zipfile._check_compression", "shutil.copyfileobj", "builtins.open", "io.open"),
    *(f"os.{name}" for name in ("stat", "lstat", "mkdir", "makedirs", "getcwd")),
    *(f"path.{name}" for name in ("join", "exists", "isdir", "dirname", "normpath", "splitdrive")),
)


def holder_of(place: str) -> tuple[Any, str]:
    holder, _, name = place.partition(".")
    holders = {
        "ZipFile": zipfile.ZipFile,  # that which stands there now
        "Stock": Stock,
        "Reader": zipfile.ZipExtFile,
        "Info": zipfile.ZipInfo,
        "Writer": vars(zipfile)["_ZipWriteFile"],
        "Shared": vars(zipfile)["_SharedFile"],
        "zipfile": zipfile,
        "zlib": zlib,
        "shutil": shutil,
        "builtins": builtins,
        "io": io,
        "os": os,
        "path": os.path,
    }
    return holders[holder], name


class Hook:
    """Something in the place of a function, that counts its calls."""

    def __init__(self, place: str) -> None:
        self.calls: list[tuple[int, int]] = []
        self._holder, self._name = holder_of(place)
        missing = object()
        self._before = vars(self._holder).get(self._name, missing)
        self._is_own = self._before is not missing
        old = getattr(self._holder, self._name)
        is_class_method = isinstance(self._before, classmethod)

        @functools.wraps(old)
        def hook(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((os.getpid(), threading.get_ident()))
            return old(*args[is_class_method:], **kwargs)

        self._hook: Any = classmethod(hook) if is_class_method else hook

    def __enter__(self) -> Hook:
        setattr(self._holder, self._name, self._hook)
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_own:
            setattr(self._holder, self._name, self._before)
        else:
            delattr(self._holder, self._name)


def calls_by(job: Job, hook: Hook, many: Path, place: Path) -> Any:
    place.mkdir()
    with hook:
        job(many, place)
    return hook.calls


CASES = [
    *((f"ZipFile.{name}", job) for name in OF_ARCHIVES for job in (*READING, write)),
    *((f"Stock.{name}", job) for name in OF_ARCHIVES for job in (*READING, write)),
    *((place, job) for place in (*WHERE_READING, *WHERE_BOTH) for job in READING),
    *((place, write) for place in (*WHERE_WRITING, *WHERE_BOTH)),
]


@pytest.mark.parametrize(("place", "job"), CASES)
def test_a_hook_is_called_as_often_as_ever(
    many: Path, tmp_path: Path, place: str, job: Job
) -> None:
    """On the class that stands in `zipfile` or the one that stood there, and on all around it."""
    expected = calls_by(job, Hook(place), many, tmp_path / "stock")
    with parazip.patch():
        assert calls_by(job, Hook(place), many, tmp_path / "ours") == expected


def test_where_nobody_hooks_in_all_cores_are_used(many: Path, tmp_path: Path) -> None:
    """So the tests above are not about a class that leaves all to the standard library."""
    for originals in (hooks.TESTING, hooks.EXTRACTING, hooks.READING_FILES, hooks.WRITING):
        assert originals.are_in_place()
    with (
        parazip.patch(),
        mock.patch("parazip.dropin.zip_file.MemberJobs", wraps=MemberJobs) as first,
        mock.patch.object(
            MemberWriter, "close", autospec=True, side_effect=MemberWriter.close
        ) as end,
    ):
        extract(many, tmp_path)
        assert_tested_whole(many, tmp_path)
        assert first.call_count == 2
        write(many, tmp_path)
        assert end.call_count == 41


def test_a_hook_that_is_taken_back_by_hand_is_gone(many: Path, tmp_path: Path) -> None:
    """Where it was looked up by name, or was inherited, something else comes to stand there."""
    with parazip.patch(), pytest.MonkeyPatch.context() as patch:
        for name in OF_ARCHIVES:
            patch.setattr(zipfile.ZipFile, name, getattr(zipfile.ZipFile, name))
        with mock.patch("parazip.dropin.zip_file.MemberJobs", wraps=MemberJobs) as first:
            extract(many, tmp_path)
            assert_tested_whole(many, tmp_path)
        assert first.call_count == 2


@pytest.mark.parametrize("patched", [False, True])
def test_mocks(many: Path, tmp_path: Path, patched: bool) -> None:
    """The same by the standard library's class and by ours."""
    (tmp_path / "file").write_bytes(b"contents")
    with parazip.patch() if patched else nullcontext():
        with zipfile.ZipFile(many) as archive:
            with mock.patch("shutil.copyfileobj") as copy:
                archive.extractall(tmp_path / "out")
            assert copy.call_count == MEMBERS + 1
            with mock.patch("zipfile.ZipFile.extract", autospec=True) as extract:
                archive.extract("large", path="here")
            extract.assert_called_once_with(archive, "large", path="here")
            with mock.patch("zipfile.ZipFile.extractall", autospec=True) as extractall:
                archive.extractall("here")
                with pytest.raises(TypeError):
                    archive.extractall("here", None, None, None)  # type: ignore[call-arg]
            extractall.assert_called_once_with(archive, "here")
            with mock.patch("builtins.open", mock.mock_open()) as opened:
                archive.extractall(tmp_path / "out")
            assert opened.call_count == MEMBERS + 1
        assert (tmp_path / "out" / "large").stat().st_size == 0
        with mock.patch("zipfile.ZipFile") as kind:
            zipfile.ZipFile("a.zip").read("b")
        kind.return_value.read.assert_called_once_with("b")
        with mock.patch("zipfile.ZipFile", autospec=True) as kind:
            zipfile.ZipFile("a.zip", "w").write("file", arcname="b")
            with pytest.raises(TypeError):
                zipfile.ZipFile("a.zip", "w").write()  # type: ignore[call-arg] # to be refused
        kind.return_value.write.assert_called_once_with("file", arcname="b")
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            with mock.patch("builtins.open", mock.mock_open(read_data=b"mocked")) as opened:
                archive.write(tmp_path / "file", "a")
            opened.assert_called_once_with(tmp_path / "file", "rb")
            assert archive.read("a") == b"mocked"
            with mock.patch.object(archive, "write") as method:
                archive.write("nothing")
            method.assert_called_once_with("nothing")


def in_no_place(*args: Any, **kwargs: Any) -> None:
    """Is called by nobody."""


class Around(ContextDecorator):
    """Makes wrappers that are defined in a module of the standard library."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("copyfileobj", functools.wraps(shutil.copyfileobj)(in_no_place)),
        ("copyfileobj", Around()(shutil.copyfileobj)),
        ("copyfileobj", functools.partial(shutil.copyfileobj)),
        ("copyfileobj", mock.create_autospec(shutil.copyfileobj)),
        ("copyfileobj", mock.Mock(shutil.copyfileobj)),
        ("copyfileobj", shutil.copyfile),
        ("copyfileobj", None),
        ("mkdir", os.rmdir),
        ("mkdir", os.makedirs),
        ("decompressobj", isal_zlib.decompressobj),
        ("crc32", isal_zlib.crc32),
        ("read", [].append),
        ("read", property()),
        ("read", property(in_no_place)),
        ("ZipInfo", type("ZipInfo", (zipfile.ZipInfo,), {})),
        ("ZipExtFile", zipfile.ZipInfo),
    ],
    ids=str,
)
def test_what_is_not_the_standard_librarys_own(name: str, value: Any) -> None:
    assert not hooks.is_original(name, value)


@pytest.mark.parametrize("name", ["INFLATING", "TESTING", "EXTRACTING", "READING_FILES", "WRITING"])
def test_each_place_is_looked_at(name: str) -> None:
    originals: hooks.Originals = getattr(hooks, name)
    assert originals.are_in_place()
    for place in originals._places:
        holder, _, last = place.rpartition(".")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attrgetter(holder)(hooks), last, mock.Mock(), raising=True)
            assert not originals.are_in_place(), place
        assert originals.are_in_place()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "open", open, raising=False)
        assert not originals.are_in_place()


def test_a_hook_may_be_older_than_parazip(tmp_path: Path) -> None:
    """And it may go."""
    (tmp_path / "t.py").write_text(
        "import functools, shutil, zipfile\n"
        "old = shutil.copyfileobj\n"
        "def hook(*args): calls.append(1); return old(*args)\n"
        "shutil.copyfileobj = functools.wraps(old)(hook)\n"
        "import parazip.dropin.hooks\n"
        "for calls in [], []:\n"
        "    print(parazip.dropin.hooks.EXTRACTING.are_in_place())\n"
        "    with parazip.ZipFile('a.zip', 'w') as archive:\n"
        "        for i in range(210): archive.writestr(str(i), 'contents')\n"
        "        archive.write('t.py')\n"
        "    parazip.ZipFile('a.zip').extractall('out')\n"
        "    print(len(calls))\n"
        "    shutil.copyfileobj = old\n"
    )
    done = subprocess.run([sys.executable, "t.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "212", "True", "0"], done.stderr


def test_other_methods_and_classes_of_zipfile_count(many: Path, tmp_path: Path) -> None:
    """As of packages that teach `zipfile` another method: they are asked, here and in order."""

    class Reader(zipfile.ZipExtFile):
        def read(self, n: int | None = -1) -> bytes:
            seen.append(self.name)
            return super().read(n)

    class Info(zipfile.ZipInfo):
        pass

    seen: list[str] = []
    with parazip.ZipFile(many) as archive:
        with mock.patch("zipfile.ZipExtFile", Reader):
            assert isinstance(archive.open("large"), Reader)
            assert archive.testzip() is None
            assert list(dict.fromkeys(seen)) == archive.namelist()
        assert archive.testzip() is None
    with parazip.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("before", b"contents")
        with mock.patch("zipfile.ZipInfo", Info):
            archive.writestr("a", b"contents")
            assert type(archive.getinfo("a")) is Info
            assert type(archive.getinfo("before")) is not Info
            assert archive.getinfo("before").CRC == archive.getinfo("a").CRC
        archive.writestr("after", b"contents")
        assert archive.testzip() is None


@pytest.mark.once
@pytest.mark.parametrize("is_first", [True, False])
def test_a_package_that_teaches_zipfile_another_method(tmp_path: Path, is_first: bool) -> None:
    pytest.importorskip("zstandard", reason="zipfile_zstd works with it")
    lines = ["import zipfile_zstd, zipfile", "parazip.patch()"]
    (tmp_path / "t.py").write_text(
        "import os, parazip\n" + "\n".join(lines[:: 1 if is_first else -1]) + "\n"
        "with zipfile.ZipFile('a.zip', 'w', zipfile.ZIP_ZSTANDARD) as archive:\n"
        "    for i in range(300): archive.writestr(str(i), 'contents' * i)\n"
        "    archive.writestr('deflated', 'contents', zipfile.ZIP_DEFLATED)\n"
        "with zipfile.ZipFile('a.zip') as archive:\n"
        "    print(type(archive) is parazip.ZipFile, archive.testzip())\n"
        "    archive.extractall('out')\n"
        "    print(*{info.compress_type for info in archive.infolist()}, len(os.listdir('out')))\n"
    )
    done = subprocess.run([sys.executable, "t.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "True None\n8 93 301\n", done.stderr


def test_members_that_are_told_one_by_one(many: Path, tmp_path: Path) -> None:
    """As by tqdm, or a generator that shows what is being extracted."""

    def names() -> Iterator[str]:
        for i, name in enumerate(archive.namelist()):
            assert len([one for one in (tmp_path / "out").rglob("*") if one.is_file()]) == i
            yield name

    with parazip.ZipFile(many) as archive:
        (tmp_path / "out").mkdir()
        archive.extractall(tmp_path / "out", names())
        assert (tmp_path / "out" / "large").stat().st_size == 1 << 20
        with mock.patch("parazip.dropin.zip_file.MemberJobs", wraps=MemberJobs) as first:
            archive.extractall(tmp_path / "out1", archive.NameToInfo)
            archive.extractall(tmp_path / "out2", archive.NameToInfo.values())
            archive.extractall(tmp_path / "out3", archive.infolist())
            assert first.call_count == 3


def test_members_of_a_class_of_ones_own(many: Path, tmp_path: Path) -> None:
    class Info(zipfile.ZipInfo):
        __slots__ = ()

        def is_dir(self) -> bool:
            seen.append(self.filename)
            return super().is_dir()

    with parazip.ZipFile(many) as archive:
        for info in archive.infolist():
            info.__class__ = Info
        seen: list[str] = []
        archive.extractall(tmp_path / "out")
        assert list(dict.fromkeys(seen)) == archive.namelist()
        seen.clear()
        with mock.patch("parazip.dropin.zip_file.MemberJobs", wraps=MemberJobs) as first:
            assert archive.testzip() is None
        assert not first.called


def test_a_file_system_that_is_faked(tmp_path: Path) -> None:
    fake = pytest.importorskip("pyfakefs.fake_filesystem_unittest", reason="the real package")
    nowhere = tmp_path / "nowhere"
    with parazip.patch(), fake.Patcher() as patcher:
        for i in range(MEMBERS):
            patcher.fs.create_file(nowhere / "in" / str(i), contents=f"{i}\n" * 100)
        with zipfile.ZipFile(nowhere / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            assert isinstance(archive, parazip.ZipFile)
            for name in os.listdir(nowhere / "in"):
                archive.write(nowhere / "in" / name, f"folder/{name}")
        with zipfile.ZipFile(nowhere / "a.zip") as archive:
            assert archive.testzip() is None
            archive.extractall(nowhere / "out")
        assert (nowhere / "out" / "folder" / "7").read_text() == "7\n" * 100
        assert len(os.listdir(nowhere / "out" / "folder")) == MEMBERS
    assert os.listdir(tmp_path) == []
