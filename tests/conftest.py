from __future__ import annotations

from pathlib import Path

import surroundings  # before all that looks at them

surroundings.make_usual()

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

import readers  # noqa: E402
import refusals  # noqa: E402

settings.register_profile("parazip", deadline=None)  # no test asserts a time
settings.load_profile("parazip")


def pytest_report_header() -> str:
    """Says which readers will judge the archives; those that are missing are skipped."""
    return f"readers: {readers.report()}"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test meets what another one, or the user, has kept."""
    monkeypatch.setenv("PARAZIP_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What refuses system calls when it is preloaded; see `refusals`."""
    return refusals.make_library(tmp_path_factory.mktemp("library"))
