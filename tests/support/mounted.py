"""A file system of a program (FUSE) that refuses what it is told to; see `refusing_files`."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.patience import HUNG
from support.places import TESTS


class Mounted:
    """A file system that hands all on to a folder, and refuses what it is told to."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "mounted"
        self.real = folder / "real"
        self.told = folder / "refused"

    def refuse(self, *operations: str, number: int = errno.EPERM) -> None:
        self.told.write_text(json.dumps([operations, number]))


@contextlib.contextmanager
def mount_refusing(folder: Path) -> Iterator[Mounted]:
    """Such a file system as `mounted` in a folder; skips the test where none can be had."""
    if sys.platform != "linux" or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("there is no /dev/fuse that may be opened")
    try:
        import fuse  # noqa: F401
    except (ImportError, OSError) as error:  # fusepy says the latter where libfuse is missing
        pytest.skip(f"fusepy or libfuse is missing: {error}")
    made = Mounted(folder)
    made.path.mkdir()
    made.real.mkdir()
    made.refuse()
    program = TESTS / "support" / "refusing_files.py"
    process = subprocess.Popen(
        [sys.executable, program, made.real, made.path, made.told],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not os.path.ismount(made.path):
            if process.poll() is not None:
                assert process.stderr is not None
                pytest.skip(f"nothing can be mounted here: {process.stderr.read()[-500:]}")
            time.sleep(0.05)
        yield made
    finally:
        for command in (["umount"], ["fusermount", "-u"], ["fusermount3", "-u"]):
            with contextlib.suppress(FileNotFoundError):
                if not subprocess.run([*command, made.path], capture_output=True).returncode:
                    break
        process.terminate()
        process.wait(HUNG)
        assert process.stderr is not None
        process.stderr.close()
