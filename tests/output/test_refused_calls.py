"""Whole commands where the system refuses something: by a preloaded C library, and by FUSE.

The tests in `naming` refuse the same within a process, and has the rarer cases.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.mounted import Mounted
from support.patience import HUNG
from support.refusals import ERRORS, OLD, SYSTEM_CALLS, preload_refusals

pytestmark = pytest.mark.once

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's preloading and FUSE")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A folder to be put in: small files, and one that is cut and does not shrink."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for i in range(20):
        (folder / f"{i}.txt").write_bytes(b"line %d\n" % i * 100)
    (folder / "noise").write_bytes(os.urandom(2_500_000))
    return folder


def check_contents(archive: str | os.PathLike[str], sources: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        found = {os.path.basename(n): opened.read(n) for n in opened.namelist() if n[-1] != "/"}
    assert found == {path.name: path.read_bytes() for path in sources.iterdir()}


def run_in_folder(
    *command: str | os.PathLike[str], folder: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-m", "parazip", *command],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=HUNG,
    )


# --- A preloaded library ---------------------------------------------------------------------


@LINUX
@pytest.mark.parametrize("call", SYSTEM_CALLS)
def test_command_where_a_call_is_refused(
    tmp_path: Path, library: Path, sources: Path, call: str
) -> None:
    """Once with a new archive, once with one that is replaced, once by merging."""
    out = tmp_path / "out"
    out.mkdir()
    variables = preload_refusals(library, call, errno.EPERM, out)
    commands = [("create", "out/o.zip"), ("create", "out/o.zip"), ("merge", "out/o.zip")]
    for command in commands:
        if command[0] == "merge":
            shutil.copy(out / "o.zip", tmp_path / "source.zip")
            (out / "o.zip").write_bytes(OLD)
        source = "source.zip" if command[0] == "merge" else "sources"
        done = run_in_folder(*command, source, folder=tmp_path, **variables)
        assert done.returncode == 0, done.stderr
        check_contents(out / "o.zip", sources)
        assert os.listdir(out) == ["o.zip"]


_ALL = """
import contextlib, io, itertools, json, os, sys, zipfile
from parazip.cli import commands

out, calls, errors = json.loads(sys.argv[1])
wrong = []
for (name, refused), number, old, what in itertools.product(
    calls.items(), errors, (None, b"old", b"longer " * 9_999), ("create", "merge")
):
    for entry in os.listdir(out):
        os.unlink(os.path.join(out, entry))
    path = os.path.join(out, "o.zip")
    if old is not None:
        with open(path, "wb") as file:
            file.write(old)
    told = io.StringIO()
    sys.argv = ["parazip", what, path, "small.zip" if what == "merge" else "small"]
    os.environ.update(REFUSED=refused, REFUSED_ERROR=str(number))
    try:
        with contextlib.redirect_stderr(told):
            commands.main()
    except SystemExit as end:
        code = end.code
    os.environ["REFUSED"] = ""
    try:
        assert code == 0
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            names = {os.path.basename(entry) for entry in archive.namelist()} - {""}
            assert names == {"0.txt", "1.txt"}
        assert os.listdir(out) == ["o.zip"]
    except Exception as error:
        found = os.listdir(out), told.getvalue()
        wrong.append([name, number, old is None, what, repr(error), *found])
print(json.dumps(wrong))
"""


@LINUX
@pytest.mark.once
def test_each_call_is_refused_with_each_error(tmp_path: Path, library: Path, sources: Path) -> None:
    small, out = tmp_path / "small", tmp_path / "out"
    small.mkdir()
    out.mkdir()
    for name in ("0.txt", "1.txt"):
        shutil.copy(sources / name, small)
    shutil.make_archive(str(small), "zip", small)
    variables = {"LD_PRELOAD": str(library), "REFUSED": "", "REFUSED_UNDER": str(out)}
    done = subprocess.run(
        [sys.executable, "-B", "-c", _ALL, json.dumps([str(out), SYSTEM_CALLS, ERRORS])],
        cwd=tmp_path,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=HUNG,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


@LINUX
@pytest.mark.parametrize("old", [None, OLD], ids=["new", "replaced"])
def test_archive_that_cannot_be_put_anywhere_is_kept(
    tmp_path: Path, library: Path, sources: Path, old: bytes | None
) -> None:
    """Renaming is refused, and so is cutting off what the old one has more."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "o.zip").write_bytes(b"x" * 9_999_999)
    variables = preload_refusals(library, "rename", errno.EBUSY, out)
    variables["REFUSED"] += " ftruncate64 fsync"
    variables["REFUSED_ERROR"] = str(errno.EIO)
    if old is None:
        os.mkdir(out / "folder")
    done = run_in_folder("create", "out/o.zip", "sources", folder=tmp_path, **variables)
    assert done.returncode == 1
    told = re.fullmatch(
        r"parazip: cannot write out/o\.zip: .*; all of it is in (.*): move it from there\n",
        done.stderr,
    )
    assert told, done.stderr
    check_contents(told[1], sources)


@LINUX
@pytest.mark.parametrize("old", [None, OLD], ids=["new", "replaced"])
def test_sandbox_that_allows_one_path_only(
    tmp_path: Path, library: Path, sources: Path, old: bytes | None
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if old is not None:
        (out / "o.zip").write_bytes(old)
    variables = preload_refusals(library, "linkat", errno.EACCES, out / ".parazip")
    variables["REFUSED"] = "linkat create"
    done = run_in_folder("create", "out/o.zip", "sources", folder=tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    check_contents(out / "o.zip", sources)
    assert os.listdir(out) == ["o.zip"]


@LINUX
def test_full_disk_leaves_all_as_it_was(tmp_path: Path, sources: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1M", "none", str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        for old in (None, b"old"):
            if old is not None:
                (disk / "o.zip").write_bytes(old)
            result = run_in_folder("create", disk / "o.zip", "sources", folder=tmp_path)
            assert result.returncode == 1
            assert "the disk is full; make room or write elsewhere" in result.stderr
            assert {path.name: path.read_bytes() for path in disk.iterdir()} == (
                {} if old is None else {"o.zip": old}
            )
    finally:
        subprocess.run(["umount", disk], check=True)


# --- FUSE ------------------------------------------------------------------------------------

_OPERATIONS = [
    "chmod",
    "chown",
    "link",
    "rename",
    "truncate",
    "fsync",
    "utimens",
    "unlink",
    "getxattr",
    "access",
    "statfs",
    "backwards",
]


def empty_folder(folder: Path) -> Path:
    for path in folder.iterdir():
        path.unlink()
    return folder


@pytest.mark.parametrize("operation", _OPERATIONS)
def test_file_system_that_refuses_one_thing(
    tmp_path: Path, mounted: Mounted, sources: Path, operation: str
) -> None:
    mounted.refuse()
    empty_folder(mounted.path)
    for number in (errno.EPERM, errno.ENOSYS, errno.EIO):
        for command in (["create"], ["create", "--shebang", "/usr/bin/env python3"]):
            mounted.refuse(operation, number=number)
            done = run_in_folder(*command, mounted.path / "o.zip", sources, folder=tmp_path)
            mounted.refuse()
            assert done.returncode == 0, done.stderr
            check_contents(mounted.real / "o.zip", sources)
            assert os.listdir(mounted.real) == ["o.zip"]
            is_told = "is not executable" in done.stderr
            is_executable = bool((mounted.real / "o.zip").stat().st_mode & 0o111)
            assert is_told == ("--shebang" in command and not is_executable)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.EINVAL])
def test_file_system_that_refuses_to_flush(
    tmp_path: Path, mounted: Mounted, sources: Path, number: int
) -> None:
    """That it has not got all bytes, it would say by another error."""
    mounted.refuse()
    empty_folder(mounted.path)
    for _ in range(2):
        mounted.refuse("flush", number=number)
        done = run_in_folder("create", mounted.path / "o.zip", sources, folder=tmp_path)
        mounted.refuse()
        assert done.returncode == 0, done.stderr
        check_contents(mounted.real / "o.zip", sources)
        assert os.listdir(mounted.real) == ["o.zip"]


def test_file_system_that_refuses_chmod_keeps_the_mode(
    tmp_path: Path, mounted: Mounted, sources: Path
) -> None:
    """The second archive asks for no other mode than it has."""
    mounted.refuse()
    empty_folder(mounted.path)
    mounted.refuse("chmod", "chown", "truncate", "link")
    for _ in range(2):
        done = run_in_folder("create", mounted.path / "o.zip", sources, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        check_contents(mounted.real / "o.zip", sources)


def test_file_system_that_takes_no_new_files(
    tmp_path: Path, mounted: Mounted, sources: Path
) -> None:
    """A new archive is told before the work; an old one is written over."""
    mounted.refuse()
    empty_folder(mounted.path)
    mounted.refuse("create", number=errno.EROFS)
    done = run_in_folder("create", mounted.path / "o.zip", sources, folder=tmp_path)
    assert done.returncode == 1
    assert f"{mounted.path} takes no new file; write elsewhere" in done.stderr
    (mounted.real / "o.zip").write_bytes(OLD)
    done = run_in_folder("create", mounted.path / "o.zip", sources, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    check_contents(mounted.real / "o.zip", sources)
    assert os.listdir(mounted.real) == ["o.zip"]


def test_file_system_that_breaks_when_the_archive_is_written_over(
    tmp_path: Path, mounted: Mounted, sources: Path
) -> None:
    mounted.refuse()
    empty_folder(mounted.path)
    (mounted.real / "o.zip").write_bytes(b"x" * 9_999_999)
    mounted.refuse("rename", "truncate", "open O_TRUNC", number=errno.EBUSY)
    done = run_in_folder("create", mounted.path / "o.zip", sources, folder=tmp_path)
    mounted.refuse()
    assert done.returncode == 1
    told = re.search(r"all of it is in (.*): move it from there", done.stderr)
    assert told, done.stderr
    check_contents(told[1], sources)
    assert (mounted.real / "o.zip").read_bytes() == b"x" * 9_999_999
