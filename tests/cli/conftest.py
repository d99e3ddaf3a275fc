"""Fixtures of the tests in this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command import TEXT


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working folder with a tree `t` in it."""
    work = tmp_path / "work"
    (work / "t" / "empty").mkdir(parents=True)
    (work / "t" / "build").mkdir()
    (work / "t" / "a.txt").write_bytes(TEXT)
    (work / "t" / "b.pyc").write_bytes(b"code")
    (work / "t" / "build" / "x").write_bytes(b"built")
    (work / "t" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (work / "t" / "run.sh").chmod(0o755)
    (work / "t" / "link").symlink_to("a.txt")
    return work
