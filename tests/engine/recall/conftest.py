"""Fixtures of the tests in this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from parazip.engine import keys
from support.recalling import NOISE, TEXT


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of files that were written just now are kept, too: nothing changes them unseen here."""
    monkeypatch.setattr(keys, "_TICK_NS", 0)
    monkeypatch.setattr(keys, "_COARSE_TICK_NS", 0)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree `t` of all kinds of members, which takes several sections."""
    tree = tmp_path / "t"
    (tree / "folder" / "empty").mkdir(parents=True)
    for i in range(60):
        (tree / "folder" / f"{i}.txt").write_bytes(TEXT[i * 10 : i * 100])
    (tree / "large.txt").write_bytes(TEXT)
    (tree / "noise").write_bytes(NOISE)
    (tree / "like noise").write_bytes(TEXT[:40_000] + NOISE[: 2 << 20])
    (tree / "nothing").write_bytes(b"")
    (tree / "one").write_bytes(b"1")
    (tree / "r\u00e9sum\u00e9").write_bytes(TEXT[:5000])
    (tree / "run.sh").write_bytes(b"#!/bin/sh\n")
    (tree / "run.sh").chmod(0o755)
    (tree / "link").symlink_to("one")
    return tree


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A tree `t` that takes one section and no time."""
    tree = tmp_path / "t"
    (tree / "folder").mkdir(parents=True)
    (tree / "a.txt").write_bytes(TEXT[:3000])
    (tree / "b.txt").write_bytes(TEXT[3000:5000])
    (tree / "b.txt").chmod(0o600)
    (tree / "folder" / "c.txt").write_bytes(TEXT[5000:9000])
    (tree / "link").symlink_to("a.txt")
    return tree


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A tree `t` of two sections of some hundred kilobytes in all."""
    tree = tmp_path / "t"
    tree.mkdir()
    (tree / "a").write_bytes(bytes(4 << 20))
    (tree / "b").write_bytes(TEXT[: 200 << 10] + NOISE[: 100 << 10])
    return tree
