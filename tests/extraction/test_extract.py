"""What is extracted is what was put in: contents, permissions, times, and all or nothing."""

from __future__ import annotations

import bz2
import io
import itertools
import marshal
import ntpath
import os
import random
import re
import shutil
import stat
import struct
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip import Extraction, Settings
from parazip.extraction import contents, crew, extract, folder, run, unpacking
from parazip.extraction.extract import write_contents
from parazip.output import syncing
from parazip.workers import starting
from parazip.workers.helpers import Helpers, HelpersClosedError
from support import odd_archives
from support.other_os import OtherOs
from support.paths import list_below, make_noise, plant_files

MIB = 1 << 20


def make_tree(path: Path) -> dict[str, bytes]:
    """Files of each kind that is extracted in a way of its own, by their names."""
    made = random.Random(1)
    files = {
        f"small/{i // 100}/{i}": b"%d of many\n" % i * made.randrange(1, 99) for i in range(700)
    }
    files |= {
        "empty": b"",
        "noise": make_noise(100_000),
        "one byte": b"x",
        "at once": b"a line\n" * (contents.AT_ONCE // 7),
        "chunks": b"some more lines\n" * (3 * MIB // 16) + make_noise(MIB),
        "deep/er/and/deeper/file": b"far down",
        "caf\u00e9/\u2603": b"names that are not ASCII",
    }
    plant_files(path, files)
    plant_files(path, {"without files/": b""})
    return files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    make_tree(tmp_path / "t")
    return tmp_path / "t"


def pack(tree: Path, path: Path, level: int = 6, **selection: Any) -> Path:
    chosen = parazip.Selection(directory=tree, symlinks="store", **selection)
    parazip.create(path, ["."], Settings(level=level), selection=chosen)
    return path


@pytest.fixture(params=["by descriptor", "by name"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How folders are found; by name where the system has no calls by descriptors."""
    if request.param == "by name":
        monkeypatch.setattr(folder, "BY_DESCRIPTOR", False)
        monkeypatch.setattr(unpacking, "_UTIME_BY_DESCRIPTOR", False)
    return str(request.param)


@pytest.mark.once
@pytest.mark.parametrize("jobs", [1, 2, 7])
@pytest.mark.parametrize("level", [0, 1, 6])
@pytest.mark.parametrize("target", ["new", "there"])
def test_what_comes_out_is_what_went_in(
    tree: Path, tmp_path: Path, way: str, jobs: int, level: int, target: str
) -> None:
    archive = pack(tree, tmp_path / "a.zip", level)
    out = tmp_path / "out"
    if target == "there":
        plant_files(out, {"mine": b"stays"})
    report = parazip.extract(archive, out, settings=Settings(jobs=jobs))
    found = list_below(out)
    if target == "there":
        assert found.pop("mine") == b"stays"
    assert found == list_below(tree)
    assert report.folder == str(out)
    assert report.members == len(found)
    assert report.bytes == sum(len(data) for data in found.values() if data)
    assert report.skipped == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("way_to_start", ["forked", "afresh"])
def test_helpers_make_the_same_files(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way_to_start: str
) -> None:
    archive = pack(tree, tmp_path / "a.zip")
    monkeypatch.setattr(crew, "_WORTH_FORKED", 0)
    monkeypatch.setattr(crew, "_WORTH_FRESH", 0)
    monkeypatch.setattr(starting, "may_fork", way_to_start == "forked")
    monkeypatch.setattr(starting, "_is_single_threaded", lambda: True)
    answers: list[bytes | None] = []
    ask = Helpers.ask

    def overheard(self: Helpers, question: bytes) -> bytes | None:
        answers.append(ask(self, question))
        return answers[-1]

    monkeypatch.setattr(Helpers, "ask", overheard)
    parazip.extract(archive, tmp_path / "out", settings=Settings(jobs=2))
    assert list_below(tmp_path / "out") == list_below(tree)
    assert answers
    assert None not in answers


def test_what_a_killed_helper_leaves_is_made_anew(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper may end at any moment: after no file, in the middle of one, after all of them."""
    archive = pack(tree, tmp_path / "a.zip")
    plant_files(tmp_path / "out", {"mine": b"stays"})
    monkeypatch.setattr(crew, "_WORTH_FORKED", 0)
    made = random.Random(2)
    killed = []

    class Dying:
        are_started = True
        are_forked = True

        def start(self) -> None:
            pass

        def ask(self, question: bytes) -> bytes | None:
            if made.random() < 0.3:
                return unpacking.answer_question(question)
            killed.append(True)
            archive, place, items = marshal.loads(question)
            done = made.randrange(len(items) + 1)
            question = marshal.dumps((archive, place, items[:done]))
            unpacking.answer_question(question)
            if done < len(items):
                path = Path(place[0], items[done][0])
                path.write_bytes(b"half")
            return None

        def close(self) -> None:
            pass

    monkeypatch.setattr(crew, "Helpers", lambda *args: Dying())
    parazip.extract(archive, tmp_path / "out", settings=Settings(jobs=2))
    assert killed
    found = list_below(tmp_path / "out")
    assert found.pop("mine") == b"stays"
    assert found == list_below(tree)


def test_what_was_at_work_when_helpers_are_killed_is_not_left_half_written(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C kills them. In a folder that stays, each file is complete or not there."""
    archive = pack(tree, tmp_path / "a.zip")
    plant_files(tmp_path / "out", {"mine": b"stays"})
    monkeypatch.setattr(crew, "_WORTH_FORKED", 0)
    asked = []

    class Killed:
        are_started = True
        are_forked = True

        def start(self) -> None:
            pass

        def ask(self, question: bytes) -> bytes | None:
            archive, place, items = marshal.loads(question)
            if len(items) == 1:
                return unpacking.answer_question(question)
            asked.append(items)
            done = len(items) // 2
            unpacking.answer_question(marshal.dumps((archive, place, items[:done])))
            Path(place[0], items[done][0]).write_bytes(b"half")
            raise HelpersClosedError

        def close(self) -> None:
            pass

    monkeypatch.setattr(crew, "Helpers", lambda *args: Killed())
    with pytest.raises(HelpersClosedError):
        parazip.extract(archive, tmp_path / "out", settings=Settings(jobs=2))
    assert asked
    found = {name: data for name, data in list_below(tmp_path / "out").items() if data is not None}
    assert found.pop("mine") == b"stays"
    there = list_below(tree)
    assert found == {name: there[name] for name in found}
    assert found


# What files get


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
@pytest.mark.parametrize("modes", ["keep", "normal", "none"])
def test_permissions_are_those_that_were_asked_for(
    tmp_path: Path, way: str, modes: Any, umask: int
) -> None:
    wanted = {0o600: 0o666, 0o644: 0o666, 0o755: 0o777, 0o444: 0o666, 0o4755: 0o777, 0o711: 0o777}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for mode in wanted:
            info = zipfile.ZipInfo(f"f{mode:o}", (2020, 1, 1, 0, 0, 0))
            info.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(info, b"data")
        info = zipfile.ZipInfo("d/", (2020, 1, 1, 0, 0, 0))
        info.external_attr = (stat.S_IFDIR | 0o700) << 16
        archive.writestr(info, b"")
    before = os.umask(umask)
    try:
        parazip.extract(tmp_path / "a.zip", tmp_path / "out", Extraction(modes=modes))
    finally:
        os.umask(before)
    for mode, normal in wanted.items():
        expected = {"keep": mode & 0o777, "normal": normal, "none": 0o666}[modes] & ~umask
        found = (tmp_path / "out" / f"f{mode:o}").stat().st_mode
        assert stat.S_IMODE(found) == expected, oct(mode)
    expected = {"keep": 0o700, "normal": 0o777, "none": 0o777}[modes] & ~umask
    assert stat.S_IMODE((tmp_path / "out/d").stat().st_mode) == expected


@pytest.mark.parametrize("zone", ["UTC", "<+14>-14", "America/New_York"])
def test_times_are_local_ones_or_those_of_extended_timestamps(
    tmp_path: Path, way: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for name in "plain", "extended", "d/", "e/":
                info = zipfile.ZipInfo(name, (2021, 7, 2, 3, 4, 6))
                if name in ("extended", "e/"):
                    info.extra = struct.pack("<HHBi", 0x5455, 5, 1, 1_600_000_001)
                archive.writestr(info, b"")
        parazip.extract(tmp_path / "a.zip", tmp_path / "out")
        local = time.mktime((2021, 7, 2, 3, 4, 6, 0, 0, -1))
    finally:
        monkeypatch.undo()
        time.tzset()
    out = tmp_path / "out"
    assert [(out / name).stat().st_mtime for name in ("plain", "d")] == [local, local]
    assert [(out / name).stat().st_mtime for name in ("extended", "e")] == [1_600_000_001.0] * 2


@pytest.mark.parametrize(
    "extra", [b"UT", b"UT\5\0\1", b"UT\5\0\0abcd", b"xxUT\5\0", b"zz\1\0aUT\5\0"]
)
def test_an_extended_timestamp_that_is_none_does_not_count(extra: bytes) -> None:
    record = parazip_record(date=(41 << 9 | 7 << 5 | 2) << 16)
    header = bytes(30) + record.name + extra
    assert unpacking.find_time(record, header) == unpacking.read_dos_date(record.date)


def parazip_record(date: int) -> Any:
    from parazip.format.values import Record

    return Record(b"name", 0, 0, date, 0, 0, 0, 0, 0)


# All or nothing


def damage(path: Path, name: str) -> None:
    """Flips a bit in the middle of a member's data."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    data = bytearray(path.read_bytes())
    data[info.header_offset + 30 + len(name.encode()) + info.compress_size // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("name", ["small/3/333", "chunks", "noise", "at once"])
def test_a_damaged_member_is_named_and_a_new_folder_is_not_there(
    tree: Path, tmp_path: Path, jobs: int, name: str
) -> None:
    archive = pack(tree, tmp_path / "a.zip")
    damage(archive, name)
    with pytest.raises(parazip.BadArchiveError) as caught:
        parazip.extract(archive, tmp_path / "out", settings=Settings(jobs=jobs))
    assert caught.value.member == name
    assert caught.value.id in ("crc-mismatch", "stream-damaged", "stream-end")
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "t"]


def test_folders_that_may_not_be_written_to_go_away_with_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a user may not write to, only root removes: so permissions are taken back before."""
    plant_files(tmp_path / "t", {"closed/inside/file": b"contents"})
    (tmp_path / "t/link").symlink_to("closed")
    (tmp_path / "t/closed/inside").chmod(0o500)
    (tmp_path / "t/closed").chmod(0o555)
    archive = pack(tmp_path / "t", tmp_path / "a.zip")
    modes: list[int] = []
    unlink = os.unlink

    def watched(path: str, **where: Any) -> None:
        modes.append(stat.S_IMODE(os.stat(os.path.dirname(path) or ".").st_mode))
        unlink(path, **where)

    monkeypatch.setattr(os, "unlink", watched)
    monkeypatch.setattr(run.Run, "make_all", make_all_and_stand_in_the_way(tmp_path / "out"))
    with pytest.raises(parazip.OutputError, match="it was not there when extracting began"):
        parazip.extract(archive, tmp_path / "out")
    assert len(modes) == 2
    assert all(mode & 0o300 == 0o300 for mode in modes)
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "out", "t"]


def test_a_process_that_may_have_few_files_open_extracts_all_the_same(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    names = [f"{number}/{part}/file" for number in range(300) for part in "ab"]
    plant_files(tmp_path / "t", dict.fromkeys(names, b"contents"))
    archive = pack(tmp_path / "t", tmp_path / "a.zip")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = len(os.listdir("/dev/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 40, before[1]))
    try:
        parazip.extract(archive, tmp_path / "out", settings=Settings(jobs=8))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert list_below(tmp_path / "out") == list_below(tmp_path / "t")


def make_all_and_stand_in_the_way(path: Path) -> Callable[[run.Run], None]:
    make_all = run.Run.make_all

    def made(self: run.Run) -> None:
        make_all(self)
        path.write_bytes(b"somebody else's")

    return made


def test_an_empty_member_may_be_damaged_too(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("empty", b"")
        archive.writestr("x", b"")
    parazip.extract(path, tmp_path / "sound")
    assert list_below(tmp_path / "sound") == {"empty": b"", "x": b""}
    data = path.read_bytes()
    at = 30 + len("empty")
    assert data[at : at + 2] == b"\3\0"
    path.write_bytes(data[:at] + b"\7\0" + data[at + 2 :])
    for do in (
        lambda: parazip.extract(path, tmp_path / "out"),
        lambda: write_contents(path, io.BytesIO(), Extraction()),
    ):
        with pytest.raises(parazip.BadArchiveError) as caught:
            do()
        assert (caught.value.id, caught.value.member) == ("stream-damaged", "empty")


@pytest.mark.parametrize(
    ("method", "packed"),
    [(8, odd_archives.deflate(b"evil")), (8, b"\3\0more"), (8, b"evil"), (12, bz2.compress(b"1"))],
    ids=["contents", "behind its end", "no stream", "bzip2"],
)
def test_a_folder_whose_stream_gives_something_is_refused(
    tmp_path: Path, method: int, packed: bytes
) -> None:
    """It claims to be empty, and nobody has to inflate it to make a folder. Found by fuzzing."""
    lies = {"size": 0, "crc": 0}
    folder = {"attributes": (stat.S_IFDIR | 0o755) << 16}
    item = odd_archives.Item(b"d/", method=method, packed=packed, both=lies, central=folder)
    path = tmp_path / "a.zip"
    path.write_bytes(odd_archives.zipped(item))
    with pytest.raises(parazip.BadArchiveError) as caught:
        parazip.extract(path, tmp_path / "out")
    assert caught.value.id in ("stream-end", "stream-damaged")
    assert caught.value.member == "d/"
    assert os.listdir(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("jobs", [1, 2, 7])
def test_in_a_folder_that_is_there_the_error_says_what_was_made(
    tree: Path, tmp_path: Path, jobs: int
) -> None:
    archive = pack(tree, tmp_path / "a.zip")
    damage(archive, "small/6/690")
    (tmp_path / "out").mkdir()
    told = r"; ([\d,]+) members were extracted before that, and stay"
    with pytest.raises(parazip.BadArchiveError, match=told) as caught:
        parazip.extract(archive, tmp_path / "out", settings=Settings(jobs=jobs))
    (count,) = re.findall(told, str(caught.value))
    assert int(count.replace(",", "")) == len(list_below(tmp_path / "out")) > 500
    assert not (tmp_path / "out/small/6/690").exists()
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert path.read_bytes() == (tree / path.relative_to(tmp_path / "out")).read_bytes()


@pytest.mark.parametrize("call", ["open", "write", "utime", "mkdir", "close"])
def test_whatever_the_system_refuses_nothing_is_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Each call fails once, the first, the second and so on; into a new folder and another one."""
    tree = plant_files(tmp_path / "t", {f"d{i}/f{i}": b"contents" * i for i in range(6)})
    archive = pack(tree, tmp_path / "a.zip")
    whole = list_below(tree)
    original = getattr(os, call)
    for fail_at in itertools.count(1):
        out = tmp_path / f"out {fail_at}"
        out.mkdir()
        count = 0

        def failing(*args: Any, fail_at: int = fail_at, **more: Any) -> Any:
            nonlocal count
            count += 1
            if call == "close":
                original(*args, **more)
            if count == fail_at:
                raise OSError(28, "No space left on device")
            return None if call == "close" else original(*args, **more)

        with monkeypatch.context() as patch:
            patch.setattr(unpacking, "os", OtherOs(**{call: failing}))
            patch.setattr(folder, "os", OtherOs(**{call: failing}))
            try:
                parazip.extract(archive, out, settings=Settings(jobs=1))
            except (parazip.OutputError, parazip.SourceError, OSError):
                assert count >= fail_at
        found = list_below(out)
        for name, data in found.items():
            assert data == whole[name], (call, fail_at)
        if count < fail_at:
            break
    assert found == whole
    assert fail_at > 5


@pytest.mark.parametrize(
    "command",
    [
        ["zip", "-qr", "a.zip", "t"],
        ["7z", "a", "-tzip", "-bso0", "-bsp0", "a.zip", "t"],
        ["bsdtar", "-acf", "a.zip", "t"],
        ["jar", "cf", "a.zip", "t"],
    ],
    ids=lambda command: command[0],
)
def test_archives_of_others_come_out(tree: Path, tmp_path: Path, command: list[str]) -> None:

    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    subprocess.run(command, cwd=tmp_path, check=True)
    parazip.extract(tmp_path / "a.zip", tmp_path / "out", Extraction(exclude=("META-INF",)))
    assert list_below(tmp_path / "out" / "t") == list_below(tree)


@pytest.mark.parametrize("target", ["new", "there"])
def test_all_is_on_the_disk_before_it_returns_if_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    tree = plant_files(tmp_path / "t", {"a": b"1", "d/b": b"2" * 2 * MIB, "d/e/c": b"3"})
    archive = pack(tree, tmp_path / "a.zip")
    if target == "there":
        (tmp_path / "out").mkdir()
    synced: list[int] = []

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        os.fsync(descriptor)

    monkeypatch.setattr(syncing, "os", OtherOs(fsync=noted))
    parazip.extract(archive, tmp_path / "out", Extraction(sync=True), Settings(jobs=1))
    paths = [tmp_path / "out", *(tmp_path / "out").rglob("*")]
    if target == "new":
        paths.append(tmp_path)  # it has the folder's name
    assert {path.stat().st_ino for path in paths} == set(synced)
    synced.clear()
    parazip.extract(archive, tmp_path / "not asked for", settings=Settings(jobs=1))
    assert synced == []


def test_a_drive_that_is_not_there_is_no_endless_way_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "os", OtherOs(path=ntpath))
    assert extract._list_missing("Z:\\new\\folder") == ["Z:\\new\\folder", "Z:\\new", "Z:\\"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_place_of_the_folder_is_not_waited_for(tree: Path, tmp_path: Path) -> None:
    archive = pack(tree, tmp_path / "a.zip")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(parazip.OutputError, match="Not a directory"):
        parazip.extract(archive, tmp_path / "pipe", Extraction(sync=True))
