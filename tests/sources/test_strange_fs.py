"""Sources on a file system of a program (FUSE), whose files are told as no disk tells them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import COMMAND
from support.patience import HUNG
from support.places import TESTS

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="mounted as Linux does it"),
]

PROGRAM = TESTS / "support" / "strange_fs.py"

CONTENTS = {
    "a": b"a few words\n" * 900,
    "b": os.urandom(700_000) * 5,
    "c": b"",
    "d": bytes(1 << 20),
}


@contextlib.contextmanager
def mount_strangely(folder: Path, kind: str) -> Iterator[subprocess.Popen[bytes]]:
    """A folder's files once more, as `mnt` beside it."""
    place = folder.with_name("mnt")
    place.mkdir()
    with subprocess.Popen(
        [sys.executable, PROGRAM, folder, place, kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as server:
        try:
            while not place.is_mount():
                if server.poll() is not None:
                    assert server.stderr is not None
                    said = server.stderr.read().decode().strip().splitlines()
                    pytest.skip(
                        f"FUSE cannot be had here: {said[-1] if said else server.returncode}"
                    )
                time.sleep(0.05)
            yield server
        finally:
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)
            server.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "f"
    folder.mkdir()
    for name, data in CONTENTS.items():
        (folder / name).write_bytes(data)
    return folder


def create_from_mount(folder: Path, *args: str) -> tuple[int, str]:
    done = subprocess.run(
        [*COMMAND, "create", "-q", "-C", "mnt", *args, "o.zip", "."],
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
    )
    return done.returncode, done.stderr


def read_made(folder: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(folder.with_name("o.zip")) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_files_are_what_they_are(folder: Path) -> None:
    with mount_strangely(folder, "steady"):
        assert create_from_mount(folder) == (0, "")
        assert read_made(folder) == CONTENTS


@pytest.mark.parametrize("level", ["-0", "-1", "-6"])
def test_files_without_a_size_are_read_to_their_end(folder: Path, level: str) -> None:
    with mount_strangely(folder, "unsized"):
        assert os.stat(folder.with_name("mnt") / "b").st_size == 0
        assert create_from_mount(folder, level) == (0, "")
        assert read_made(folder) == CONTENTS


@pytest.mark.parametrize(("kind", "what"), [("inode", "inode"), ("ctime", "change time")])
def test_what_a_file_system_tells_anew_at_each_look_need_not_count(
    folder: Path, kind: str, what: str
) -> None:
    with mount_strangely(folder, kind):
        code, said = create_from_mount(folder)
        assert code == 1
        assert f"a changed while it was read: its {what} is not what it was" in said
        assert "--changes mtime" in said
        for changes in ("mtime", "size", "none"):
            assert create_from_mount(folder, "--changes", changes) == (0, "")
            assert read_made(folder) == CONTENTS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_does_not_answer_keeps_nobody_from_ending(
    folder: Path, number: signal.Signals
) -> None:
    with mount_strangely(folder, "hanging") as server:
        with subprocess.Popen(
            [*COMMAND, "create", "-C", "mnt", "o.zip", "."],
            cwd=folder.parent,
            stderr=subprocess.PIPE,
        ) as process:
            assert server.stdout is not None
            assert server.stdout.readline() == b"asked\n"
            process.send_signal(number)
            _, said = process.communicate(timeout=HUNG)
        assert (process.returncode, said) == (1, b"parazip: interrupted\n")
        assert not folder.with_name("o.zip").exists()
