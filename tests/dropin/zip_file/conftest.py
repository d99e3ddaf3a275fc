"""Fixtures of the tests in this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.threads import count_threads


@pytest.fixture(autouse=True)
def _all_threads_end() -> Iterator[None]:
    yield
    assert count_threads() == 0
