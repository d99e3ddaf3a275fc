"""Commands and their helpers are killed at random moments, and disks are full: nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import parazip
from parazip import Selection
from support.paths import make_noise
from support.patience import HUNG
from support.surroundings import KILLS

MOMENTS = int(os.environ.get(KILLS, "20"))
"""At so many moments each command is killed."""

pytestmark = [pytest.mark.slow, pytest.mark.once, pytest.mark.skipif("sys.platform == 'win32'")]

COMMANDS = {
    "create": ["create", "-q", "a.zip", "src"],
    "create, cached": ["create", "-q", "--cache", "a.zip", "src"],
    "create, verified": ["create", "-q", "--verify", "a.zip", "src"],
    "merge": ["merge", "-q", "a.zip", "b.zip", "src"],
    "update": ["update", "-q", "a.zip", "src"],
    "extract": ["extract", "-q", "b.zip", "-d", "out"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sources that helpers are started for, an archive to be replaced, and one to be read."""
    source = tmp_path / "src"
    source.mkdir()
    for number in range(3000):
        (source / f"{number}.txt").write_bytes(b"text %d " % number * 300)
    (source / "noise").write_bytes(make_noise(6 << 20))
    parazip.create(tmp_path / "b.zip", ["src"], selection=Selection(directory=tmp_path))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("old", b"old")
    return tmp_path


def start(folder: Path, command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "parazip", *command],
        cwd=folder,
        env={**os.environ, "PARAZIP_CACHE_DIR": str(folder / "cache")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and what it told."""
    _, told = process.communicate(timeout=HUNG)
    return process.returncode, told


def list_group(group: int) -> list[int]:
    """The processes of a group that are no zombies."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry))
    return found


def wait_for_end(group: int) -> None:
    """Helpers see that they are alone, and end."""
    latest = time.monotonic() + HUNG
    while list_group(group):
        assert time.monotonic() < latest, "something still runs"
        time.sleep(0.01)


def assert_old_or_new(folder: Path, old: bytes, wants_archive: bool) -> None:
    """An archive is complete, old or new; a folder that is to be new is complete or not there."""
    path = folder / "a.zip"
    if path.read_bytes() != old:
        assert wants_archive
        assert parazip.verify(path).is_sound
        assert len(zipfile.ZipFile(path).namelist()) > 3000
    if (folder / "out").exists():
        assert len([*(folder / "out" / "src").iterdir()]) == 3001
    left = {entry.name for entry in folder.iterdir()} - {"src", "a.zip", "b.zip", "out", "cache"}
    assert all(name.startswith(".parazip-") for name in left)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_killed_leaves_the_old_or_the_new(folder: Path, name: str) -> None:
    old = (folder / "a.zip").read_bytes()
    began = time.monotonic()
    assert finish(start(folder, COMMANDS[name])) == (0, "")
    takes = time.monotonic() - began
    (folder / "a.zip").write_bytes(old)
    chance = random.Random(name)
    killed = 0
    for _ in range(MOMENTS):
        clear(folder, old)
        process = start(folder, COMMANDS[name])
        time.sleep(chance.uniform(0, takes))
        process.kill()
        finish(process)
        killed += process.returncode == -signal.SIGKILL
        if sys.platform == "linux":
            wait_for_end(process.pid)
        assert_old_or_new(folder, old, name != "extract")
    assert killed
    clear(folder, old)
    assert finish(start(folder, COMMANDS[name])) == (0, "")
    assert_old_or_new(folder, old, name != "extract")


def clear(folder: Path, old: bytes) -> None:
    (folder / "a.zip").write_bytes(old)
    subprocess.run(["rm", "-rf", *folder.glob(".parazip-*"), folder / "out"], check=True)


@pytest.mark.skipif("sys.platform != 'linux'", reason="helpers are found in /proc")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_helper_that_is_killed_costs_no_more_than_the_run(folder: Path, name: str) -> None:
    old = (folder / "a.zip").read_bytes()
    chance = random.Random(name)
    killed = 0
    for _ in range(MOMENTS):
        clear(folder, old)
        subprocess.run(["rm", "-rf", folder / "cache"], check=True)  # or there is no work for them
        process = start(folder, COMMANDS[name])
        for helper in find_helpers(process):
            time.sleep(chance.uniform(0, 0.1))
            try:
                os.kill(helper, signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
        code, told = finish(process)
        assert code in (0, 1)
        assert "Traceback" not in told
        assert told.startswith("parazip: ") or not code
        assert_old_or_new(folder, old, name != "extract")
        wait_for_end(process.pid)
    assert killed


def find_helpers(process: subprocess.Popen[str]) -> Iterator[int]:
    """One helper of a command, once there is one; none if it ends without."""
    while process.poll() is None:
        helpers = [pid for pid in list_group(process.pid) if pid != process.pid]
        if helpers:
            yield helpers[-1]
            return
        time.sleep(0.005)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted: {mounted.stderr.decode()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.skipif("sys.platform != 'linux'", reason="it mounts a file system in memory")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_keeps_the_old_one(folder: Path, small_disk: Path, name: str) -> None:
    old = (folder / "a.zip").read_bytes()
    (small_disk / "a.zip").write_bytes(old)
    words = {"a.zip": str(small_disk / "a.zip"), "out": str(small_disk / "out")}
    code, told = finish(start(folder, [words.get(word, word) for word in COMMANDS[name]]))
    assert code == 1
    assert told.startswith("parazip: ")
    assert "disk is full" in told or "there is room for" in told, told
    assert {entry.name for entry in small_disk.iterdir()} == {"a.zip"}
    assert (small_disk / "a.zip").read_bytes() == old
