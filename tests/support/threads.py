"""Threads of ours."""

from __future__ import annotations

import threading


def count_threads() -> int:
    return sum(thread.name.startswith("parazip") for thread in threading.enumerate())
