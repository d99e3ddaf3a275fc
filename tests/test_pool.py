from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parazip import pool as pool_module
from parazip.pool import Budget, Pool, usable_cpus, workers


def make_pool(
    function: Callable[[int], int],
    limit: int = 100,
    cost: Callable[[int], int] = lambda task: 10,
    weight: Callable[[int], int] = lambda result: 5,
) -> tuple[Pool[int, int], Budget]:
    budget = Budget(limit)
    return Pool(function, budget, cost, weight), budget


def threads_alive() -> int:
    return sum(thread.name.startswith("parazip") for thread in threading.enumerate())


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_results_come_in_the_order_of_the_tasks(jobs: int) -> None:
    released = threading.Event()

    def slow_first(task: int) -> int:
        if task == 0 and jobs > 1:
            assert released.wait(10)
        if task == 1:
            released.set()
        return task * 2

    with workers(jobs) as crew:
        pool, _ = make_pool(slow_first)
        assert list(pool.run(range(50), crew)) == [(task, task * 2) for task in range(50)]


@given(
    costs=st.lists(st.integers(1, 50), max_size=60),
    limit=st.integers(1, 120),
    jobs=st.integers(1, 4),
)
def test_budget_is_never_exceeded_and_is_given_back(
    costs: list[int], limit: int, jobs: int
) -> None:
    with workers(jobs) as crew:
        pool, budget = make_pool(
            lambda task: task, limit, cost=lambda task: task, weight=lambda task: task // 2
        )
        results = [result for _, result in pool.run(costs, crew)]
    assert results == costs
    assert budget.used == 0
    assert budget.peak <= max([limit, *costs])


def test_a_result_counts_until_the_next_one_is_asked_for() -> None:
    with workers(1) as crew:
        pool, budget = make_pool(lambda task: task, limit=10)
        results = pool.run([1, 2], crew)
        next(results)
        assert budget.used >= 5
        assert list(results) == [(2, 2)]
        assert budget.used == 0


def test_a_task_over_the_whole_budget_runs_alone() -> None:
    running = 0
    most = 0
    lock = threading.Lock()

    def count(task: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        return task

    with workers(4) as crew:
        pool, budget = make_pool(count, limit=10, cost=lambda task: 1000)
        assert [result for _, result in pool.run(range(10), crew)] == list(range(10))
    assert most == 1
    assert budget.peak == 1000


def test_a_slow_head_does_not_stop_tasks_that_fit_meanwhile() -> None:
    """What finished tasks give back admits new ones although the first is still at work."""
    head_may_end = threading.Event()
    done: list[int] = []

    def work(task: int) -> int:
        if task == 0:
            assert head_may_end.wait(10)
        else:
            done.append(task)
            if len(done) == 19:
                head_may_end.set()
        return task

    with workers(2) as crew:
        pool, _ = make_pool(work, limit=30, cost=lambda task: 10, weight=lambda result: 0)
        assert [result for _, result in pool.run(range(20), crew)] == list(range(20))
    assert sorted(done) == list(range(1, 20))


def test_the_first_error_in_order_is_raised_and_nothing_runs_after_it() -> None:
    started: list[int] = []

    def fail(task: int) -> int:
        started.append(task)
        if task >= 3:
            raise ValueError(task)
        return task

    with workers(2) as crew:
        pool, _ = make_pool(fail, limit=40)
        seen: list[int] = []
        with pytest.raises(ValueError, match=r"^3$"):
            seen.extend(result for _, result in pool.run(range(1000), crew))
        count = len(started)
    assert len(started) == count < 20
    assert threads_alive() == 0


def test_many_errors_leave_no_deadlock() -> None:
    def fail(task: int) -> int:
        raise ValueError(task)

    with workers(3) as crew:
        pool, _ = make_pool(fail, limit=10**6)
        with pytest.raises(ValueError, match=r"^0$"):
            list(pool.run(range(500), crew))
    assert threads_alive() == 0


def test_an_error_of_the_task_source_waits_for_what_runs() -> None:
    finished: list[int] = []

    def tasks() -> Iterator[int]:
        yield from range(3)
        raise OSError("no more")

    def work(task: int) -> int:
        finished.append(task)
        return task

    with workers(2) as crew:
        pool, _ = make_pool(work)
        with pytest.raises(OSError, match="no more"):
            list(pool.run(tasks(), crew))
        count = len(finished)
    assert len(finished) == count


def test_closing_the_results_cancels_what_has_not_begun() -> None:
    started: list[int] = []
    gate = threading.Event()

    def work(task: int) -> int:
        started.append(task)
        if task:
            assert gate.wait(10)
        return task

    with workers(1) as crew:
        pool, _ = make_pool(work, limit=10**6)
        results = pool.run(range(100), crew)
        assert next(results) == (0, 0)
        gate.set()
        results.close()
    assert len(started) < 100


def test_a_signal_waits_until_a_consumer_may_be_disturbed() -> None:
    heard: list[str] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append("signal"))
    try:
        with workers(1) as crew:
            pool, _ = make_pool(lambda task: task)
            with pool.interrupts_held():
                for _ in pool.run([1], crew):
                    with pool.undisturbed():
                        signal.raise_signal(signal.SIGINT)
                        heard.append("undisturbed")
                    heard.append("after")
                    signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == ["undisturbed", "signal", "after", "signal"]


V2 = {"cpu.max": "150000 100000"}


@pytest.mark.parametrize(
    ("membership", "files", "cpus"),
    [
        ("0::/\n", {"cpu.max": "max 100000"}, None),
        ("0::/\n", {"cpu.max": "150000 100000"}, 2),
        ("0::/a/b\n", {"a/cpu.max": "100000 100000", "a/b/cpu.max": "400000 100000"}, 1),
        ("0::/hidden\n", {"cpu.max": "300000 100000"}, 3),
        ("4:cpu,cpuacct:/docker/x\n", {"cpu/cpu.cfs_quota_us": "-1"}, None),
        (
            "4:cpu,cpuacct:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "50000", "cpu/x/cpu.cfs_period_us": "100000"},
            1,
        ),
        ("nonsense", {"cpu.max": "nonsense"}, None),
        (None, {}, None),
    ],
)
def test_control_group_quota(
    tmp_path: Path, membership: str | None, files: dict[str, str], cpus: int | None
) -> None:
    if membership is not None:
        (tmp_path / "self").write_text(membership)
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    quota = pool_module._quota(str(tmp_path / "self"), str(tmp_path / "fs"))
    assert quota == cpus if cpus is not None else quota > 10_000


def test_usable_cpus_follow_affinity_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("process_cpu_count", "sched_getaffinity"):
        monkeypatch.delattr(f"os.{name}", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr(pool_module, "_quota", lambda *paths: 3)
    assert usable_cpus() == 3
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {4, 5}, raising=False)
    assert usable_cpus() == 2
    monkeypatch.setattr("os.process_cpu_count", lambda: 1, raising=False)
    assert usable_cpus() == 1
