"""Fixtures of the tests in this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from parazip.engine import keys
from parazip.engine.cache import Cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setattr(keys, "_TICK_NS", 0)
    monkeypatch.setattr(keys, "_COARSE_TICK_NS", 0)
    return Cache(tmp_path / "cache")
