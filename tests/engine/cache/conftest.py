"""Fixtures of the tests in this folder."""

from __future__ import annotations

import pytest

from parazip.engine import cache_folders


@pytest.fixture(params=["by descriptor", "by name"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How folders are looked into."""
    if request.param == "by name":
        monkeypatch.setattr(cache_folders, "BY_DESCRIPTOR", False)
    return str(request.param)
