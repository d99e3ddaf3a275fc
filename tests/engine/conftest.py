"""Fixtures of the tests in this folder and below."""

from __future__ import annotations

from pathlib import Path

import pytest

from parazip.engine.cache import Cache


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")
