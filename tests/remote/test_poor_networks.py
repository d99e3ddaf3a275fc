"""Networks that are slow and break off, between us and a server that does nothing wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip.engine import shards
from parazip.output import upload
from support.remote_archives import make_large_archive, read_contents
from support.s3_server import S3
from support.toxic_proxy import Network, poor_network
from support.web_server import Site

pytestmark = [
    pytest.mark.filterwarnings("default"),  # of botocore and moto
    pytest.mark.once,
]

LARGE = make_large_archive(60)
CONTENTS = read_contents(LARGE)
FAST = parazip.Settings(level=1, jobs=2)
URL = "s3://bucket/made.zip"


def some(number: int) -> int | None:
    """Two connections of three break after some bytes."""
    return 150_000 if number % 3 else None


NETWORKS: dict[str, Callable[[], Network]] = {
    "drips": lambda: Network(piece=700),
    "late": lambda: Network(pause=0.005),
    "breaks while it answers": lambda: Network(cut_down=some),
    "breaks while it is asked": lambda: Network(cut_up=some),
    "breaks at once": lambda: Network(cut_down=lambda number: 0 if number % 2 else None),
}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PART", 400_000)
    monkeypatch.setattr(upload, "SHARED", 400_000)
    monkeypatch.setattr(upload, "SMALLEST_PART", 100_000)
    monkeypatch.setattr(shards, "_ANSWER", 120_000)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 50_000)
    monkeypatch.setattr("botocore.retryhandler.delay_exponential", lambda **_: 0.0)


@pytest.fixture
def s3_by(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Network], None]]:
    """Puts a network between us and the S3, until the test ends."""
    opened: list[Any] = []
    systems = type(s3.system)

    def put_between(network: Network) -> None:
        opened.append(poor_network(os.environ["AWS_ENDPOINT_URL_S3"], network))
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", opened[-1].__enter__())
        systems.clear_instance_cache()

    yield put_between
    for each in opened:
        each.__exit__(None, None, None)
    systems.clear_instance_cache()


@pytest.mark.parametrize("network", NETWORKS)
def test_archives_on_a_web_server(site: Site, tmp_path: Path, network: str) -> None:
    site.put("/a.zip", LARGE)
    with poor_network(site.url, NETWORKS[network]()) as url:
        parazip.merge(tmp_path / "made.zip", [f"{url}/a.zip"])
    assert read_contents((tmp_path / "made.zip").read_bytes()) == CONTENTS


@pytest.mark.parametrize(
    "job",
    [
        pytest.param("read", marks=pytest.mark.slow),
        pytest.param("write", marks=pytest.mark.slow),
        "by workers",
    ],
)
@pytest.mark.parametrize("network", NETWORKS)
def test_archives_in_a_store(
    s3: S3, s3_by: Callable[[Network], None], tmp_path: Path, network: str, job: str
) -> None:
    (tmp_path / "a.zip").write_bytes(LARGE)
    parazip.extract(tmp_path / "a.zip", tmp_path / "tree")
    parazip.create(tmp_path / "made.zip", [tmp_path / "tree"], FAST)
    made = (tmp_path / "made.zip").read_bytes()
    s3.system.pipe("bucket/a.zip", LARGE)
    s3_by(NETWORKS[network]())
    if job == "read":
        parazip.extract("s3://bucket/a.zip", tmp_path / "out")
        found = {name: (tmp_path / "out" / name).read_bytes() for name in CONTENTS}
        assert found == CONTENTS
    elif job == "write":
        parazip.create(URL, [tmp_path / "tree"], FAST)
        assert s3.system.cat(URL) == made
    else:
        with ThreadPoolExecutor(2) as threads:
            parazip.create(URL, [tmp_path / "tree"], FAST, executor=threads)
        assert s3.system.cat(URL) == made
    assert s3.list_unfinished() == []


def test_a_network_that_always_breaks_is_an_error(
    s3: S3, s3_by: Callable[[Network], None], site: Site, tmp_path: Path
) -> None:
    (tmp_path / "a.zip").write_bytes(LARGE)
    site.put("/a.zip", LARGE)
    broken = Network(cut_up=lambda number: 150_000, cut_down=lambda number: 150_000)
    with (
        poor_network(site.url, broken) as url,
        pytest.raises(parazip.SourceError, match=r"/a\.zip: .*5 times"),
    ):
        parazip.merge(tmp_path / "made.zip", [f"{url}/a.zip"])
    s3_by(broken)
    with pytest.raises(parazip.OutputError, match=r"^cannot write s3://bucket/made\.zip: "):
        parazip.create(URL, [tmp_path / "a.zip"], FAST)
    assert os.listdir(tmp_path) == ["a.zip"]
    s3.system.invalidate_cache()
    assert s3.system.ls("bucket") == []
    assert s3.list_unfinished() == []
