"""What `--sync` promises: the order in which bytes and names reach the disk, call by call."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

import parazip
from parazip.output import syncing
from support.other_os import OtherOs
from support.patience import HUNG
from support.refusals import preload_refusals

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="calls are recorded by Linux's preloading"),
]

WRITES = {"write", "pwrite64", "copy_file_range", "ftruncate", "ftruncate64", "fchmod"}
NAMES = {"linkat", "link", "rename", "renameat"}


class Call(NamedTuple):
    """A line of the library's log."""

    name: str
    inode: int
    path: str


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is put in, and two archives: one that is changed, and one that is read."""
    work = tmp_path / "work"
    (work / "src" / "inner").mkdir(parents=True)
    (work / "src" / "inner" / "a.txt").write_bytes(b"text " * 1_000)
    (work / "src" / "noise").write_bytes(os.urandom(3 << 20))
    for name in ("old.zip", "read.zip"):
        with zipfile.ZipFile(work / name, "w") as archive:
            archive.writestr("gone.txt", name)
            archive.writestr("inner/b.txt", b"b" * 100_000)
    return work


def record(
    folder: Path,
    library: Path,
    *words: str,
    fails: bool = False,
    refused: dict[str, str] | None = None,
) -> tuple[list[Call], str]:
    """The calls that a command makes, and what it tells."""
    log = folder.with_name("log")
    log.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-B", "-m", "parazip", *words],
        cwd=folder,
        env={**os.environ, "LD_PRELOAD": str(library), "CALLS_LOG": str(log), **(refused or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=HUNG,
    )
    assert done.returncode == fails, done.stderr
    lines = [line.split(" ", 2) for line in log.read_text().splitlines()]
    return [Call(name, int(inode), path) for name, inode, path in lines], done.stderr


def find_all(calls: list[Call], names: set[str], inode: int) -> list[int]:
    return [at for at, call in enumerate(calls) if call.name in names and call.inode == inode]


def find_naming(calls: list[Call], folder: Path, name: str) -> int:
    return max(
        at
        for at, call in enumerate(calls)
        if call.name in NAMES and folder / call.path == folder / name
    )


def assert_in_order(calls: list[Call], path: Path) -> None:
    """First all bytes, then the file to the disk, then its name, then the folder to the disk."""
    inode = path.stat().st_ino
    written, synced = (find_all(calls, names, inode) for names in (WRITES, {"fsync"}))
    named = find_naming(calls, path.parent, path.name)
    assert max(written) < max(synced) < named
    assert max(find_all(calls, {"fsync"}, path.parent.stat().st_ino)) > named


COMMANDS = {
    "create": ["create", "-q", "new.zip", "src"],
    "create, replacing": ["create", "-q", "old.zip", "src"],
    "create, executable": ["create", "-q", "new.zip", "src", "--shebang", "/bin/python"],
    "merge": ["merge", "-q", "new.zip", "read.zip", "src"],
    "update": ["update", "-q", "old.zip", "src"],
    "delete": ["delete", "-q", "old.zip", "gone.txt"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_end(
    folder: Path, library: Path, name: str
) -> None:
    words = COMMANDS[name]
    calls, _ = record(folder, library, *words, "--sync")
    assert_in_order(calls, folder / words[2])


def test_a_copy_is_synced_where_files_without_names_cannot_be_linked(
    folder: Path, library: Path
) -> None:
    refused = preload_refusals(library, "linkat", errno.EPERM, folder / "new.zip")
    calls, _ = record(folder, library, *COMMANDS["create"], "--sync", refused=refused)
    assert_in_order(calls, folder / "new.zip")
    assert find_naming(calls, folder, "new.zip") > 0


def test_without_sync_nothing_waits_for_the_disk(folder: Path, library: Path) -> None:
    calls, _ = record(folder, library, *COMMANDS["create"])
    assert find_all(calls, WRITES, (folder / "new.zip").stat().st_ino)
    assert not any(call.name == "fsync" for call in calls)


def test_an_update_that_changes_nothing_brings_to_the_disk_what_is_there(
    folder: Path, library: Path
) -> None:
    record(folder, library, *COMMANDS["update"])
    calls, _ = record(folder, library, *COMMANDS["update"], "--sync")
    assert find_all(calls, {"fsync"}, (folder / "old.zip").stat().st_ino)
    assert find_all(calls, {"fsync"}, folder.stat().st_ino)


def test_it_is_the_folder_of_the_file_that_a_link_leads_to(folder: Path, library: Path) -> None:
    (folder / "real").mkdir()
    (folder / "old.zip").rename(folder / "real" / "old.zip")
    (folder / "old.zip").symlink_to("real/old.zip")
    for _ in "changes", "changes nothing":
        calls, _ = record(folder, library, *COMMANDS["update"], "--sync")
        assert find_all(calls, {"fsync"}, (folder / "real").stat().st_ino)
        assert not find_all(calls, {"fsync"}, folder.stat().st_ino)


def test_each_file_and_folder_of_a_finished_one_is_synced_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made"
    (made / "inner").mkdir(parents=True)
    for path in (made / "a", made / "inner" / "b"):
        path.write_bytes(b"x")
    (made / "link").symlink_to("a")
    synced = []
    monkeypatch.setattr(syncing, "sync", lambda descriptor: synced.append(os.fstat(descriptor)))
    syncing.sync_finished(str(made))
    paths = [made / "a", made / "inner" / "b", made, made / "inner", tmp_path]
    assert [info.st_ino for info in synced] == [path.stat().st_ino for path in paths]


def test_where_the_system_has_a_call_for_that_the_disk_itself_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """macOS: fsync(2) there waits for the way to the disk only. Not all file systems have it."""
    asked: list[object] = []
    refuses = False

    def ask(descriptor: int, what: int) -> None:
        if refuses:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        asked.append((descriptor, what))

    monkeypatch.setattr(syncing, "_TO_THE_DISK", 51)
    monkeypatch.setattr(syncing, "fcntl", SimpleNamespace(fcntl=ask))
    monkeypatch.setattr(syncing, "os", OtherOs(fsync=asked.append))
    syncing.sync(7)
    refuses = True
    syncing.sync(8)
    assert asked == [(7, 51), 8]


@pytest.mark.parametrize("target", ["out", "new/parent/out"])
def test_each_file_and_folder_that_is_extracted_is_on_the_disk(
    folder: Path, library: Path, target: str
) -> None:
    calls, _ = record(folder, library, "extract", "-q", "read.zip", "-d", target, "--sync")
    out = folder / target
    named = find_naming(calls, folder, target)
    for path in [out, *out.rglob("*")]:
        synced = find_all(calls, {"fsync"}, path.stat().st_ino)
        written = find_all(calls, WRITES, path.stat().st_ino)
        assert max(written, default=0) < max(synced) < named, path
    for path in [out, *out.parents][1 : target.count("/") + 2]:  # up to one that was there
        assert max(find_all(calls, {"fsync"}, path.stat().st_ino)) > named, path


def test_what_does_not_reach_the_disk_is_an_error_and_the_old_archive_stays(
    folder: Path, library: Path
) -> None:
    old = (folder / "old.zip").read_bytes()
    refused = {**preload_refusals(library, "fsync", errno.EIO, folder), "REFUSED_AT": "1"}
    words = COMMANDS["create, replacing"]
    _, told = record(folder, library, *words, "--sync", fails=True, refused=refused)
    assert told == "parazip: cannot write old.zip: Input/output error\n"
    assert (folder / "old.zip").read_bytes() == old
    assert {path.name for path in folder.iterdir()} == {"src", "old.zip", "read.zip"}


def test_a_name_that_does_not_reach_the_disk_is_told(folder: Path, library: Path) -> None:
    refused = preload_refusals(library, "fsync", errno.EIO, Path(f"{folder}$"))
    _, told = record(folder, library, *COMMANDS["create"], "--sync", fails=True, refused=refused)
    assert told == (
        "parazip: cannot write new.zip: Input/output error; it is complete, but a loss of power "
        "may lose it\n"
    )
    assert parazip.verify(folder / "new.zip").is_sound


def test_what_is_no_file_with_a_name_cannot_be_synced(folder: Path) -> None:
    with open(folder / "o.zip", "wb") as file, pytest.raises(parazip.SettingsError, match="synced"):
        parazip.create(file, [folder / "src"], sync=True)
    with pytest.raises(parazip.SettingsError, match="synced"):
        parazip.create("/dev/null", [folder / "src"], sync=True)
