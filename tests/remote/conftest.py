from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from parazip.sources import web
from support.web_server import Site, serving


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A web server; who tries again does so at once."""
    monkeypatch.setattr(web, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(web, "LONGEST_PAUSE", 0.0)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with serving() as served:
        yield served
