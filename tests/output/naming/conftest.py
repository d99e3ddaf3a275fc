"""Fixtures of the tests in this folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.naming import IS_ROOT


@pytest.fixture
def open_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that other users may go into; pytest's own are closed to them."""
    if IS_ROOT:  # who becomes another user here; TMPDIR may be root's own
        monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    folder = Path(tempfile.mkdtemp(prefix="parazip-tests-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for inside in (folder, *folder.glob("*/")):
            inside.chmod(0o755)
        shutil.rmtree(folder)
