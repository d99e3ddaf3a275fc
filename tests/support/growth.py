"""What a process holds, and what of it has grown between two looks."""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from support.patience import HUNG
from support.threads import count_threads

_SLACK = 8 << 20
"""Bytes by which memory may grow: what is freed does not all go back at once."""


class Held(NamedTuple):
    """What a process holds.

    Attributes:
        things: how many it has of each: threads, children, descriptors, files, shared memory,
            which has no names here, so that it shows by its descriptors and mappings.
        lines: how many pieces of memory Python has, by the line that asked for them.
        memory: all of it, in bytes.
    """

    things: Counter[str]
    lines: Counter[str]
    memory: int


def look(*folders: Path) -> Held:
    """What this process holds, and which files are in some folders.

    Threads that were told to end are waited for. Python forgets them before the system does, and in
    between what each has for itself is given back.
    """
    end = time.monotonic() + HUNG
    while _count_tasks() > threading.active_count() - count_threads() and time.monotonic() < end:
        time.sleep(0.001)
    if sys.version_info < (3, 13):
        sys._clear_type_cache()  # it holds 4,096 names of attributes
    else:
        sys._clear_internal_caches()
    for _ in range(3):  # what one search for garbage ends may leave some more
        gc.collect()
    things = Counter([*_list_open(), *(f"child {pid}" for pid in list_children())])
    things.update(f"{folder}/{name}" for folder in folders for name in os.listdir(folder))
    things["threads"] = _count_tasks()
    maps = Path("/proc/self/maps").read_text().splitlines()
    things["shared mappings"] = sum(line.split()[1].endswith("s") for line in maps)
    lines = _count_by_lines()  # it takes memory itself, so it comes first
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Held(things, lines, pages * resource.getpagesize())


def _count_tasks() -> int:
    return len(os.listdir("/proc/self/task"))


def list_children() -> Iterator[int]:
    """Processes that this one has started and not waited for, zombies among them."""
    for task in os.listdir("/proc/self/task"):
        # No `Path`: some Pythons keep each part of one for ever.
        try:
            with open(f"/proc/self/task/{task}/children", encoding="ascii") as told:
                yield from map(int, told.read().split())
        except (FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            continue


def _list_open() -> Iterator[str]:
    """What descriptors lead to; which socket or pipe it is does not matter."""
    for number in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{number}").partition("[")[0]
        except FileNotFoundError:  # that of the listing itself
            continue


def _count_by_lines() -> Counter[str]:
    own = [tracemalloc.Filter(False, name) for name in (tracemalloc.__file__, __file__)]
    traces = tracemalloc.take_snapshot().filter_traces(own)
    return Counter({str(line.traceback): line.count for line in traces.statistics("lineno")})


def compare(before: Held, after: Held, rounds: int) -> list[str]:
    """What has grown while the same was done `rounds` times, although nothing should.

    A line that leaks does so in each round; what other reasons there are for a line to hold more
    than before do not come in one round of two.
    """
    grown = [f"{name}: {count} more" for name, count in (after.things - before.things).items()]
    for line, count in (after.lines - before.lines).items():
        if count >= max(3, rounds / 2):
            grown.append(f"{line}: {count} pieces of memory more")
    if after.memory > before.memory + _SLACK:
        grown.append(f"memory: {after.memory - before.memory:,} bytes more")
    return grown
