"""What an error says: one line for what is to be expected, a trace for our own faults."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

import parazip
from support.patience import HUNG

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("error", "told", "code"),
    [
        (MemoryError(), "out of memory; use a smaller --memory", 1),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out of memory", 1),
        (ImportError("x.so: failed to map segment from shared object"), "out of memory", 1),
        (SystemError("returned NULL without setting an error"), "if memory is short", 1),
        (OSError(errno.EMFILE, "Too many open files"), "does not open more files", 1),
        (OSError(errno.ENFILE, "Too many open files in system"), "does not open more files", 1),
        (RuntimeError("can't start new thread"), "not start more threads; use fewer --jobs", 1),
        (OSError(errno.ENOSPC, "No space left on device"), "cannot write to standard output", 1),
        (OSError(errno.ENOENT, "No such file or directory"), "the current folder is gone", 1),
        (KeyboardInterrupt(), "interrupted", 1),
        (parazip.SettingsError("level 10"), "level 10", 2),
        (parazip.ParazipError("it fails"), "it fails", 1),
    ],
    ids=repr,
)
@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_to_be_expected_is_told_in_a_line(
    work: Path, error: BaseException, told: str, code: int, as_json: bool
) -> None:
    program = (
        "import parazip.engine.archive, sys\n"
        "from parazip import ParazipError, SettingsError\n"
        f"def create(*args, **more): raise {error!r}\n"
        "parazip.engine.archive.create = create\n"
        "from parazip.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "create", *["--json"][: int(as_json)], "o.zip", "t"],
        cwd=work,
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
    )
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert line.startswith("parazip: ")
    assert told in line
    if as_json and "standard output" not in told:
        assert told in json.loads(done.stdout)["error"]["message"]
    else:
        assert done.stdout == ""


def test_a_fault_of_ours_is_told_with_its_trace(work: Path) -> None:
    program = (
        "import parazip.engine.archive\n"
        "def create(*args, **more): raise RuntimeError('a bug')\n"
        "parazip.engine.archive.create = create\n"
        "from parazip.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "create", "--json", "o.zip", "t"],
        cwd=work,
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
    )
    assert done.returncode == 1
    assert "RuntimeError: a bug" in done.stderr
    assert done.stdout == ""
