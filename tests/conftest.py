from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.register_assert_rewrite("support")

from support import surroundings  # noqa: E402 # before all that looks at them

surroundings.make_usual()

from hypothesis import settings  # noqa: E402

from parazip.workers import starting  # noqa: E402
from support import mounted as mounting  # noqa: E402
from support import readers, refusals  # noqa: E402
from support.threads import count_threads  # noqa: E402

settings.register_profile("parazip", deadline=None)  # no test asserts a time
settings.load_profile("parazip")


has_remote = find_spec("aiohttp") is not None

collect_ignore = [] if has_remote else ["remote"]
"""What `parazip[remote]` needs is imported there; `make test` has it on one Python."""


def pytest_report_header() -> list[str]:
    """Says which readers will judge the archives; those that are missing are skipped."""
    left_out = [] if has_remote else ["parazip[remote] is not installed: its tests are left out"]
    return [f"readers: {readers.list_readers()}", *left_out]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What opens URLs comes last: fsspec keeps its thread, and others want to be alone."""
    items.sort(key=lambda item: "remote" in item.path.parts)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test meets what another one, or the user, has kept."""
    monkeypatch.setenv("PARAZIP_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that runs the command in this process does not leave it as the command's process."""
    monkeypatch.setattr(starting, "may_fork", False)


@pytest.fixture(scope="session")
def library() -> Iterator[Path]:
    """What refuses system calls when it is preloaded; see `refusals`."""
    # LD_PRELOAD ends a path at a blank, and pytest's folders may have one.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield refusals.make_library(Path(folder))


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mounting.Mounted]:
    """A file system of a program that refuses what it is told to; see `support.mounted`."""
    with mounting.mount_refusing(tmp_path_factory.mktemp("fuse")) as made:
        yield made


@pytest.fixture
def all_threads_end() -> Iterator[None]:
    """Nothing works on when a test has ended."""
    gc.freeze()  # a look at all that is left of other tests takes seconds
    yield
    gc.collect()
    gc.unfreeze()
    if count_threads():
        gc.collect()  # what others have left may hold a thread
    assert count_threads() == 0
