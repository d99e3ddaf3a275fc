"""Each system call fails once, at each moment: nothing is lost, half written or left over."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import parazip
from support.patience import HUNG
from support.refusals import make_library

MOST = 400
"""Calls of one kind that a command makes; more would be a mistake of this test."""

CALLS = {
    "open": errno.EIO,
    "create": errno.ENOSPC,
    "tmpfile": errno.EMFILE,
    "read": errno.EIO,
    "pread64": errno.EIO,
    "write": errno.ENOSPC,
    "pwrite64": errno.EDQUOT,
    "copy_file_range": errno.EIO,
    "rename renameat": errno.EIO,
    "link linkat": errno.EIO,
    "fsync": errno.EIO,
    "mkdir mkdirat": errno.EDQUOT,
    "symlink symlinkat": errno.EPERM,
    "unlink unlinkat rmdir": errno.EIO,
    "fchmod chmod": errno.EPERM,
    "ftruncate ftruncate64": errno.EIO,
    "mmap": errno.ENOMEM,
    "fork": errno.EAGAIN,
    "pipe2": errno.EMFILE,
    "pthread_create": errno.EAGAIN,
}
"""Functions of the C library, and how they fail."""


class Operation(NamedTuple):
    """A command, and what it makes.

    Attributes:
        command: its words.
        makes: the names of what may be there after it that was not there before.
    """

    command: list[str]
    makes: frozenset[str] = frozenset()


OPERATIONS = {
    "create": Operation(["create", "-q", "a.zip", "src"]),
    "create, cached": Operation(["create", "-q", "--cache", "a.zip", "src"]),
    "create, verified": Operation(["create", "-q", "--verify", "a.zip", "src"]),
    "merge": Operation(["merge", "-q", "a.zip", "b.zip", "src"]),
    "update": Operation(["update", "-q", "a.zip", "src"]),
    "extract": Operation(["extract", "-q", "b.zip", "-d", "out"], frozenset({"out"})),
    "extract, synced": Operation(
        ["extract", "-q", "--sync", "b.zip", "-d", "out"], frozenset({"out"})
    ),
    "list": Operation(["list", "b.zip"]),
    "verify": Operation(["verify", "-q", "b.zip"]),
}


def fill(folder: Path) -> None:
    """What operations find: sources, an archive that is replaced, and one that is read."""
    source = folder / "src"
    source.mkdir()
    for number in range(12):
        (source / f"{number}.txt").write_bytes(b"text %d " % number * 200)
    (source / "large").write_bytes(b"".join(b"line %d\n" % line for line in range(300_000)))
    (source / "link").symlink_to("large")
    for name in ("a.zip", "b.zip"):
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(source / "1.txt", f"{name}/1.txt")
            archive.write(source / "large", f"{name}/large")
            link = zipfile.ZipInfo(f"{name}/link")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "large")


def run(
    folder: Path, operation: Operation, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "parazip", *operation.command],
        cwd=folder,
        env={**os.environ, "PARAZIP_CACHE_DIR": str(folder / "cache"), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
        start_new_session=True,
    )
    assert_nothing_runs(done)
    return done


def assert_nothing_runs(done: subprocess.CompletedProcess[str]) -> None:
    """What a process has started has ended with it: its pipes are closed, or this would hang."""
    assert done.returncode in (0, 1), (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    if done.returncode:
        assert done.stderr.startswith("parazip: "), done.stderr
        assert "standard output" not in done.stderr, done.stderr


def read_members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("calls", CALLS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_call_that_fails_once_costs_nothing(
    tmp_path_factory: pytest.TempPathFactory, name: str, calls: str
) -> None:
    operation = OPERATIONS[name]
    library = make_library(tmp_path_factory.mktemp("library"))
    start = tmp_path_factory.mktemp("start")
    fill(start)
    failed = 0
    for at in range(1, MOST):
        folder = tmp_path_factory.mktemp("work")
        shutil.copytree(start, folder, dirs_exist_ok=True, symlinks=True)
        told = tmp_path_factory.mktemp("told") / "told"
        faults = {
            "LD_PRELOAD": str(library),
            "REFUSED": calls,
            "REFUSED_ERROR": str(CALLS[calls]),
            "REFUSED_UNDER": str(folder),
            "REFUSED_AT": str(at),
            "REFUSED_TOLD": str(told),
        }
        done = run(folder, operation, faults)
        has_failed = told.exists()
        failed += has_failed
        assert_all_is_well(folder, start, operation, done)
        assert run(folder, operation, {}).returncode in (0, 1 if "extract" in name else 0)
        shutil.rmtree(folder)
        if not has_failed:
            break
    else:
        pytest.fail(f"more than {MOST} calls")
    print(f"{name}, {calls}: {failed}")


def assert_all_is_well(
    folder: Path, start: Path, operation: Operation, done: subprocess.CompletedProcess[str]
) -> None:
    there = {path.name for path in folder.iterdir()}
    assert there - operation.makes - {"cache"} == {path.name for path in start.iterdir()}, done
    assert (folder / "b.zip").read_bytes() == (start / "b.zip").read_bytes()
    is_old = (folder / "a.zip").read_bytes() == (start / "a.zip").read_bytes()
    if not is_old:
        assert parazip.verify(folder / "a.zip").is_sound
        assert len(read_members(folder / "a.zip")) > 5
    if done.returncode == 0 and "a.zip" in operation.command:
        assert not is_old
    out = folder / "out"
    if out.exists():
        assert done.returncode == 0 or "a loss of power may" in done.stderr, done.stderr
        expected = read_members(start / "b.zip")
        found = {
            name: os.fsencode(os.readlink(out / name))
            if (out / name).is_symlink()
            else (out / name).read_bytes()
            for name in expected
        }
        assert found == expected
    elif operation.makes:
        assert done.returncode == 1
