"""The command `parazip` as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from support.patience import HUNG

COMMAND = [sys.executable, "-m", "parazip"]
"""Seconds until a command that was told to end must be taken to hang."""

TEXT = b"".join(b"line %d of some text\n" % i for i in range(20_000))

ENDLESS = 256 << 30
"""A sparse file of so many bytes is not compressed to its end while a test runs."""


class Done(NamedTuple):
    code: int
    out: bytes
    err: str


def make_environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}


def run_parazip(*args: str | Path, cwd: Path, stdin: bytes = b"", **popen: Any) -> Done:
    popen.setdefault("env", make_environment())
    done = subprocess.run(
        [*COMMAND, *(str(arg) for arg in args)],
        cwd=cwd,
        input=stdin,
        stdout=popen.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        timeout=HUNG,
        check=False,
        **popen,
    )
    return Done(done.returncode, done.stdout or b"", done.stderr.decode())


def run_create(*args: str | Path, cwd: Path, **more: Any) -> Done:
    return run_parazip("create", *args, cwd=cwd, **more)


def assert_fails(done: Done, code: int, *told: str) -> None:
    """A clear message and the right code, and nothing of Python's inside."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert "Exception ignored" not in done.err
    for text in told:
        assert text in done.err


EVERYTHING = ["t/", "t/a.txt", "t/b.pyc", "t/build/", "t/build/x", "t/empty/", "t/link", "t/run.sh"]
