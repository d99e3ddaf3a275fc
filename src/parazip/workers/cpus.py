"""How many CPUs this process may use."""

from __future__ import annotations

import math
import os
from io import FileIO

_NO_QUOTA = 1 << 30
"""More CPUs than any machine has."""


def usable_cpus() -> int:
    """How many CPUs this process may use: its affinity, and its control group's quota.

    A container that is given 1.5 of 64 CPUs can use two threads, not 64.
    """
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        count = os.process_cpu_count() or 1
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, min(count, _read_quota("/proc/self/cgroup", "/sys/fs/cgroup")))


def _read_quota(membership: str, root: str) -> int:
    """The CPUs that control groups (version 2, else 1) allow, rounded up."""
    quota = math.inf
    for folder in _list_cgroups(membership):
        for read in (_read_quota_v2, _read_quota_v1):
            quota = min(quota, read(root, folder))
    return math.ceil(quota) if quota < math.inf else _NO_QUOTA


def _list_cgroups(membership: str) -> list[str]:
    """The groups of this process and all above them; a container often sees the root only."""
    folders = {""}
    try:
        lines = _read_file(membership).splitlines()
        paths = [line.split(":", 2)[2].strip("/") for line in lines]
    except (OSError, IndexError):
        return list(folders)
    for path in paths:
        steps = path.split("/") if path else []
        folders.update("/".join(steps[: i + 1]) for i in range(len(steps)))
    return list(folders)


def _read_quota_v2(root: str, folder: str) -> float:
    try:
        limit, period = _read_file(f"{root}/{folder}/cpu.max").split()[:2]
        return int(limit) / int(period)
    except (OSError, ValueError):
        return math.inf


def _read_quota_v1(root: str, folder: str) -> float:
    try:
        limit = int(_read_file(f"{root}/cpu/{folder}/cpu.cfs_quota_us"))
        period = int(_read_file(f"{root}/cpu/{folder}/cpu.cfs_period_us"))
        return limit / period if limit > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def _read_file(path: str) -> str:
    """A file as text. `FileIO` passes by all hooks on `open`: the file is not the program's."""
    with FileIO(path) as file:
        return os.fsdecode(file.read())
