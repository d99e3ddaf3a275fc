"""How many CPUs there are for this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from parazip.workers import cpus as cpus_module
from parazip.workers.cpus import usable_cpus


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
    quota = cpus_module._read_quota(str(tmp_path / "self"), str(tmp_path / "fs"))
    assert quota == cpus if cpus is not None else quota > 10_000


def test_usable_cpus_follow_affinity_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("process_cpu_count", "sched_getaffinity"):
        monkeypatch.delattr(f"os.{name}", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr(cpus_module, "_read_quota", lambda *paths: 3)
    assert usable_cpus() == 3
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {4, 5}, raising=False)
    assert usable_cpus() == 2
    monkeypatch.setattr("os.process_cpu_count", lambda: 1, raising=False)
    assert usable_cpus() == 1
