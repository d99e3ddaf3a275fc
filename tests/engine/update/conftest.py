"""Fixtures of the tests in this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

import parazip
from parazip import Settings
from support.updating import TREE, plant_dated_files


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree, and the archive `out.zip` of it at level 1; the working folder is theirs."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.chdir(tmp_path)
    plant_dated_files(tmp_path, TREE)
    parazip.create("out.zip", ["d"], Settings(level=1))
    return tmp_path
