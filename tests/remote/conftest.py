from __future__ import annotations

from collections.abc import Iterator

import pytest

from parazip.sources import web
from support.web_server import Site, serving


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A web server; who tries again does so at once."""
    monkeypatch.setattr(web, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(web, "LONGEST_PAUSE", 0.0)
    with serving() as served:
        yield served
