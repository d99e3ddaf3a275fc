"""Fixtures of the tests in this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.layout import NOISE, TEXT


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder `t` with what is cut and what is not, what shrinks and what does not."""
    tree = tmp_path / "t"
    (tree / "lib" / "deep").mkdir(parents=True)
    (tree / "a.txt").write_bytes(TEXT[:3000])
    (tree / "empty").write_bytes(b"")
    (tree / "large.txt").write_bytes(TEXT)
    (tree / "lib" / "one.jar").write_bytes(TEXT[:40_000])
    (tree / "lib" / "deep" / "two.jar").write_bytes(TEXT)
    (tree / "lib" / "readme").write_bytes(TEXT[:500])
    (tree / "noise").write_bytes(NOISE)
    (tree / "noise.bin").write_bytes(NOISE[:5000])
    (tree / "padded noise").write_bytes(b"pad " * 60 + NOISE[: 2 << 20])
    return tree
