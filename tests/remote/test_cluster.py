"""Dask's workers, two of them on this machine: the same bytes, and one of them is killed."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import parazip
from support.command import run_create
from support.executors import create, make_tree
from support.s3_server import S3

pytestmark = [
    pytest.mark.filterwarnings("default"),  # of distributed, botocore and moto
    pytest.mark.once,
]

URL = "s3://bucket/made.zip"


@pytest.fixture
def client(s3: S3) -> Iterator[Any]:
    """Of a cluster whose workers find the store as we do: by variables of their surroundings."""
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def kill_one(client: Any) -> None:
    """Ends a worker as the system does that has no memory left."""
    os.kill(min(client.run(os.getpid).values()), signal.SIGKILL)


def test_the_bytes_are_the_same(client: Any, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    with client.get_executor(pure=False) as executor:
        assert create(tree, executor, level=1) == create(tree, level=1)


def test_the_command_reaches_a_scheduler(client: Any, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    address = client.scheduler_info()["address"].removeprefix("tcp://")
    made = run_create("made.zip", "tree", "-1", "--executor", f"dask://{address}", cwd=tmp_path)
    assert made.code == 0, made.err
    run_create("plain.zip", "tree", "-1", cwd=tmp_path)
    assert (tmp_path / "made.zip").read_bytes() == (tmp_path / "plain.zip").read_bytes()


@pytest.mark.parametrize("place", [pytest.param("file", marks=pytest.mark.slow), "store"])
def test_a_worker_that_is_killed_changes_nothing(
    client: Any, s3: S3, tmp_path: Path, place: str
) -> None:
    top = tmp_path / "tree"
    top.mkdir()
    chance = random.Random(1)
    for number in range(60):
        half = chance.randbytes(2 << 20)
        (top / f"{number}.bin").write_bytes(half + bytes(2 << 20))
    fast = parazip.Settings(level=1, jobs=3)
    parazip.create(tmp_path / "plain.zip", [top], fast)
    heard: list[parazip.Progress] = []

    def kill_in_the_middle(progress: parazip.Progress) -> None:
        if not heard:
            kill_one(client)
        heard.append(progress)

    made = URL if place == "store" else str(tmp_path / "made.zip")
    with client.get_executor(pure=False) as executor:
        report = parazip.create(made, [top], fast, executor=executor, progress=kill_in_the_middle)
    assert heard[0].members < report.members == 61
    data = s3.system.cat(URL) if place == "store" else (tmp_path / "made.zip").read_bytes()
    assert data == (tmp_path / "plain.zip").read_bytes()
    assert s3.list_unfinished() == []
