"""Fixtures of the tests in this folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from parazip.cli import commands as command
from support.command import Done
from support.merging import STORED, TREE, A, B, write_archive
from support.paths import plant_files


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """As `run_merge`, in this process: for tables of many command lines."""
    monkeypatch.setattr(command, "_taking_kill_for_interrupt", nullcontext)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)

    def called(*args: str, cwd: Path) -> Done:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["parazip", "merge", *args])
        with pytest.raises(SystemExit) as done:
            command.main()
        out, err = capfd.readouterr()
        assert isinstance(done.value.code, int)
        return Done(done.value.code, out.encode(), err)

    return called


ODD = {"odd": b"1"}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working folder with some archives and a tree."""
    work = tmp_path / "work"
    write_archive(work / "a.zip", A)
    write_archive(work / "b.zip", B, STORED)
    write_archive(work / "o" / "=odd.zip", ODD)
    plant_files(work / "tree", TREE)
    return work
