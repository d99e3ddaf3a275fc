"""Fixtures of the tests in this folder."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(params=["nameless", "named"])
def temporary(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The two kinds of temporary files; the first one where the system can make such."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif not hasattr(os, "O_TMPFILE"):
        pytest.skip("the system has no files without names")
    return str(request.param)
