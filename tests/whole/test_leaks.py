"""Thousands of short archives leave nothing behind: no thread, file, process or memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.patience import HUNG
from support.places import TESTS

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="what a process holds is found in /proc"
)

FEW = {"commands": 3, "cache": 3, "zip_file": 3, "abandoned": 3, "errors": 3, "forked_helpers": 3}

MANY = {
    "commands": 300,
    "cache": 300,
    "zip_file": 300,
    "abandoned": 300,
    "errors": 100,
    "threads": 40,
    "forks": 40,
    "processes": 10,
    "helpers": 10,
    "forked_helpers": 30,
}


AT_ONCE = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
"""Has the C library give back what is freed, so that memory tells what is held."""


def find_growth(folder: Path, rounds: dict[str, int]) -> dict[str, list[str]]:
    """What a program holds more of after so many rounds more, by the kinds of work."""
    for name in "place", "temporary":
        (folder / name).mkdir()
    asked = [f"{kind}={count}" for kind, count in rounds.items()]
    program = TESTS / "support" / "short_archives.py"
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", program, folder / "place", *asked],
        env={**os.environ, **AT_ONCE, "TMPDIR": str(folder / "temporary")},
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    grown: dict[str, list[str]] = json.loads(done.stdout)
    return grown


@pytest.mark.once
def test_some_short_archives_leave_nothing_behind(tmp_path: Path) -> None:
    assert find_growth(tmp_path, FEW) == {kind: [] for kind in FEW}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MANY)
def test_thousands_of_short_archives_leave_nothing_behind(tmp_path: Path, kind: str) -> None:
    assert find_growth(tmp_path, {kind: MANY[kind]}) == {kind: []}
