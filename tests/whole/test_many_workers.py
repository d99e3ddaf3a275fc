"""Archives by somebody's executor: the same bytes, and the same errors."""

from __future__ import annotations

import io
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip import ExecutorError, Selection, Settings, SourceChangedError, SourceError
from parazip.engine import shards
from parazip.settings import MIB
from parazip.testing import InlineExecutor
from support.executors import Counted, create, make_tree, make_wheel, merge, walk_names
from support.patience import HUNG
from support.streams import OneWay
from support.threads import count_threads


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("many") / "tree")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Path:
    return make_wheel(tmp_path_factory.mktemp("wheel") / "all.whl", tree)


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context) as pool:
        yield pool


@pytest.fixture(params=["inline", "threads", "processes", "loky"])
def executor(request: pytest.FixtureRequest, processes: Executor) -> Iterator[Executor]:
    if request.param == "threads":
        with ThreadPoolExecutor(2) as threads:
            yield threads
    elif request.param == "loky":
        loky = pytest.importorskip("loky", reason="loky is not installed")
        with loky.ProcessPoolExecutor(2) as pool:
            yield pool
    else:
        yield InlineExecutor() if request.param == "inline" else processes


def test_the_bytes_do_not_depend_on_the_executor(
    tree: Path, wheel: Path, executor: Executor
) -> None:
    asked = Counted(executor)
    assert create(tree, asked, level=1) == create(tree, level=1)
    assert len(asked.questions) > 3
    assert merge(tree, wheel, asked, level=2) == merge(tree, wheel, level=2)
    assert executor.submit(abs, -1).result() == 1  # it is still open
    assert count_threads() == 0


@pytest.mark.parametrize("level", [0, 2])
def test_the_bytes_do_not_depend_on_shards(
    tree: Path, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = create(tree, level=level)
    counts = []
    for cost in (1, 5 * MIB, 1 << 40):
        monkeypatch.setattr(shards, "COST", cost)
        asked = Counted(InlineExecutor())
        assert create(tree, asked, level=level, memory=1 << 40) == expected
        counts.append(len(asked.questions))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[1] > counts[2] == 1


@pytest.mark.parametrize(
    "settings",
    [{"jobs": 1}, {"jobs": 3}, {"jobs": 50}, {"memory": MIB}, {"jobs": 9, "memory": MIB}],
)
def test_jobs_say_how_many_shards_may_be_in_flight(tree: Path, settings: dict[str, Any]) -> None:
    with ThreadPoolExecutor(2) as threads:
        asked = Counted(threads)
        assert create(tree, asked, level=1, **settings) == create(tree, level=1)
    assert asked.most <= settings.get("jobs", 2)


def test_so_many_shards_fit_into_the_budget() -> None:
    for memory in (MIB, 256 * MIB, 1 << 40):
        for jobs in (None, 1, 7, 1000):
            cost = shards.choose_cost(jobs, memory)
            assert cost * (jobs or 1) <= memory
            assert cost <= shards.COST


def test_a_pipe_gets_the_same(tree: Path) -> None:
    given = Selection(directory=tree, store=("*.raw",), timestamp="epoch")
    plain, made = OneWay(), OneWay()
    parazip.create(plain, ["."], Settings(level=1), given)
    asked = Counted(InlineExecutor())
    parazip.create(made, ["."], Settings(level=1), given, executor=asked)
    assert made.data == plain.data
    assert any(b"stored" in question for question in asked.questions)


def test_what_comes_as_somebody_iterates_is_made_here(tree: Path) -> None:
    def members() -> Iterator[parazip.Member]:
        date = 33 << 16  # 1980-01-01; now would be another moment the second time
        for name in ("large", "small"):
            pieces = [b"some words " * 9_999] * (30 if name == "large" else 1)
            yield parazip.make_member(name, iter(pieces))._replace(date=date)
            yield parazip.make_member(f"{name}.file", tree / "blocks")
            yield parazip.make_member(f"{name}.bytes", b"bytes " * 99_999)._replace(date=date)

    plain, made = io.BytesIO(), io.BytesIO()
    report = parazip.write(plain, members())
    asked = Counted(InlineExecutor())
    again = parazip.write(made, members(), executor=asked)
    assert made.getvalue()[:-99] == plain.getvalue()[:-99]
    assert again.codecs == report.codecs
    assert len(asked.questions) >= 3


def test_the_cache_serves_all(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parazip.engine.keys._TICK_NS", 0)
    monkeypatch.setattr("parazip.engine.keys._COARSE_TICK_NS", 0)
    cache = parazip.Cache(tmp_path / "cache")
    given = Selection(directory=tree, timestamp="epoch")
    archive = tmp_path / "a.zip"
    asked = Counted(InlineExecutor())
    fast = Settings(level=1)
    report = parazip.create(archive, ["."], fast, given, executor=asked, cache=cache)
    assert (report.recalled, len(asked.questions) > 0) == (0, True)
    made = archive.read_bytes()
    nobody = Counted(InlineExecutor())
    again = parazip.create(archive, ["."], fast, given, executor=nobody, cache=cache)
    assert (again.recalled, nobody.questions) == (again.members, [])
    assert again.codecs == report.codecs
    assert archive.read_bytes() == made
    parazip.create(archive, ["."], fast, given)
    assert archive.read_bytes() == made


def test_progress_and_report_tell_the_same(tree: Path) -> None:
    def told(executor: Executor | None) -> tuple[Any, ...]:
        heard: list[parazip.Progress] = []
        report = parazip.create(
            io.BytesIO(), [tree], Settings(level=1), progress=heard.append, executor=executor
        )
        end = heard[-1]
        return report.codecs, report.members, report.bytes_in, end[:2], end[2:5], end.current

    assert told(InlineExecutor()) == told(None)


# Errors


def fail(make: Callable[[], object]) -> Any:
    with pytest.raises((parazip.ParazipError, MemoryError)) as caught:
        make()
    error = caught.value
    return type(error), str(error), vars(error), getattr(error, "errno", None)


@pytest.mark.parametrize("name", ["short/333.txt", "blocks", "large.raw"])
def test_a_file_that_changes_is_the_same_error(
    tmp_path: Path, name: str, processes: Executor
) -> None:
    """Workers are told the inode and the times, and look at them."""
    tree = make_tree(tmp_path / "tree")
    members = [
        parazip.make_member(each, tree / each)
        for each in sorted(walk_names(tree))
        if each != "link"
    ]
    with (tree / name).open("ab") as changed:
        changed.write(b"more")
    archive = tmp_path / "a.zip"
    fast = Settings(level=1)
    plain = fail(lambda: parazip.write(archive, members, fast))
    assert plain[0] is SourceChangedError
    assert fail(lambda: parazip.write(archive, members, fast, executor=processes)) == plain
    assert os.listdir(tmp_path) == ["tree"]


def test_a_file_that_is_gone_is_told_with_all_others(tmp_path: Path, processes: Executor) -> None:
    tree = make_tree(tmp_path / "tree")
    (tree / "blocks").chmod(0)
    if os.access(tree / "blocks", os.R_OK):
        members = [parazip.make_member("m", tree / "blocks")]
        (tree / "blocks").unlink()
    else:
        members = [parazip.make_member("m", tree / "blocks")]
    output = io.BytesIO()
    plain = fail(lambda: parazip.write(output, members))
    assert plain[0] is SourceError
    assert plain[3]
    assert fail(lambda: parazip.write(output, members, executor=processes)) == plain


def test_a_damaged_archive_is_the_same_error(
    tmp_path: Path, wheel: Path, processes: Executor
) -> None:
    damaged = bytearray(wheel.read_bytes())
    damaged[5_000:5_020] = bytes(20)
    (tmp_path / "bad.whl").write_bytes(damaged)

    def make(executor: Executor | None) -> object:
        sources = [tmp_path / "bad.whl"]
        return parazip.merge(tmp_path / "a.zip", sources, check_crc=True, executor=executor)

    plain = fail(lambda: make(None))
    assert plain[0] is parazip.BadArchiveError
    assert fail(lambda: make(processes)) == plain
    assert os.listdir(tmp_path) == ["bad.whl"]


def test_paths_count_from_the_callers_folder(
    tree: Path, tmp_path: Path, processes: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes were started somewhere else."""
    processes.submit(abs, -1).result()  # they are there
    monkeypatch.chdir(tree)
    plain, made = io.BytesIO(), io.BytesIO()
    parazip.create(plain, ["."], Settings(level=1))
    parazip.create(made, ["."], Settings(level=1), executor=processes)
    assert made.getvalue() == plain.getvalue()


def test_memory_that_runs_out_there_is_told_as_here(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_memory(*args: object, **settings: object) -> None:
        raise MemoryError

    monkeypatch.setattr("parazip.engine.compress.read_block", without_memory)
    with pytest.raises(MemoryError) as caught:
        create(tree, InlineExecutor(), level=1)
    assert caught.value.__notes__ == [f"at {tree}/./blocks"]


def test_a_worker_with_other_versions_is_refused(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = shards._describe_maker()
    told = iter([here, "parazip 99"])
    monkeypatch.setattr(shards, "_describe_maker", lambda: next(told, here))
    with pytest.raises(ExecutorError) as caught:
        create(tree, InlineExecutor())
    assert str(caught.value).startswith(f"a worker has parazip 99, and here is {here}: ")


@pytest.mark.once
def test_processes_that_die_are_an_error(tree: Path, tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(os.getpid).result()
        pool.submit(os._exit, 1)
        with pytest.raises(ExecutorError, match="BrokenProcessPool") as caught:
            parazip.create(tmp_path / "a.zip", [tree], executor=pool)
    assert caught.value.__cause__ is not None
    assert os.listdir(tmp_path) == []


def test_what_fails_here_cancels_what_has_not_begun(tree: Path) -> None:
    """The caller fails while one shard is at work; that one is not waited for."""
    all_handed_over, begun, may_end = (threading.Event() for _ in range(3))
    futures: list[Future[Any]] = []

    class Slow(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            futures.append(super().submit(wait_and_do, len(futures), fn, *args))
            if len(futures) == 4:
                all_handed_over.set()
            return futures[-1]

    def wait_and_do(number: int, fn: Any, question: bytes) -> Any:
        assert all_handed_over.wait(HUNG)
        if number == 1:
            begun.set()
            assert may_end.wait(HUNG)
        return fn(question)

    def fail_once_begun(progress: parazip.Progress) -> None:
        assert begun.wait(HUNG)
        raise OSError("no more")

    with Slow(1) as threads:
        with pytest.raises(OSError, match="no more"):
            parazip.create(
                io.BytesIO(), [tree], Settings(level=1), progress=fail_once_begun, executor=threads
            )
        assert not futures[1].done()
        assert all(future.cancelled() for future in futures[2:])
        may_end.set()


@pytest.mark.parametrize("executor", [5, "dask://host:1"])
def test_what_is_no_executor_is_refused_at_once(tmp_path: Path, executor: Any) -> None:
    with pytest.raises(TypeError, match="an executor"):
        parazip.write(tmp_path / "a.zip", [parazip.make_member("a", b"a")], executor=executor)
    assert os.listdir(tmp_path) == []
