from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from parazip.sources import web
from support.s3_server import S3, serving_s3
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


@pytest.fixture(scope="module")
def _s3() -> Iterator[S3]:
    with serving_s3() as served:
        yield served


@pytest.fixture
def s3(_s3: S3) -> S3:
    """An S3 on loopback that has an empty bucket, and nothing else."""
    _s3.reset()
    return _s3


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent and copied is some hundred times as short as else."""
    for room in ("output.pieces", "output.upload", "pushing"):
        monkeypatch.setattr(f"parazip.{room}.PART", 100_000)
    monkeypatch.setattr("parazip.pushing.MOST_ON_THE_WAY", 300_000)
    monkeypatch.setattr("parazip.output.pieces.SMALLEST_PART", 50_000)
    monkeypatch.setattr("parazip.output.pieces.LARGEST_COPY", 250_000)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 50_000)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore tries again at once."""
    monkeypatch.setattr("botocore.retryhandler.delay_exponential", lambda **_: 0.0)
