"""The constants of the model, measured on this machine; see `costs.Measured`.

All times are CPU times, as the machine may have other work. Each is the median of some runs, and
`Found.spread` tells how far they lie apart. What is compressed are the files of this Python:
sources, compiled ones and libraries, as in the workloads.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import parazip
from benchmarks.model import Tell
from benchmarks.scale.costs import Measured
from benchmarks.scale.members import Input, make_equal
from benchmarks.scale.store import CountedUpload, Ledger, make_part
from parazip.codecs import checksums
from parazip.codecs.levels import choose_recipe
from parazip.engine import plan, shards, wire
from parazip.engine.plan import MembersTask
from parazip.engine.writer import ArchiveWriter
from parazip.format.records import make_record, pack_central_header
from parazip.format.values import DEFLATED
from parazip.model import Member, Part, Uploaded

_PLANNED = 200_000
_KNOWN = 50_000
_FOUND = 20_000
_HANDED_OUT = 300
_LARGE = 200 << 10
_MUCH = 96 << 20
_SHORT = 1000
_PART = 6 << 20
_FAR = 5 << 30
"""An offset that needs zip64, as most have in a large archive."""


class Found(NamedTuple):
    """A constant: the median of all runs, the least and the most."""

    value: float
    least: float
    most: float

    @property
    def spread(self) -> str:
        """How far the runs lie apart."""
        return f"{self.least:.3g} to {self.most:.3g}"


def measure(level: int, runs: int, tell: Tell) -> tuple[Measured, dict[str, Found]]:
    """All constants, as values, and with their spread."""
    found: dict[str, Found] = {}
    steps = _measure_planning, _measure_finding, _measure_handing_out, _measure_here
    for step in steps:
        found |= step(runs)
        tell(", ".join(f"{name} {each.value:.3g}" for name, each in found.items()))
    found |= _measure_workers(level, runs)
    counts = {"known", "question", "directory", "record"}
    values: Any = {
        name: round(each.value) if name in counts else each.value for name, each in found.items()
    }
    return Measured(**values), found


def _measure_planning(runs: int) -> dict[str, Found]:
    """What this process does for members, with answers that are made up."""
    given = Input("planned", _PLANNED, _PLANNED * 4096, 0.5, make_equal)
    members = list(given.list_members())
    recipe = choose_recipe(6, "auto")

    def group() -> list[Any]:
        sharing = CountedUpload(Ledger()).share()
        grouped = shards.group_members(members, recipe, False, sharing, lambda members: iter(()))
        return list(shards.give_tickets(grouped, sharing))

    handed = group()
    rest = iter(members)
    directories = [
        b"".join(_pack_header(next(rest), number) for number in range(shard.members))
        for shard in handed
    ]

    answers = [
        wire.write_answer(Part((Uploaded(_PART, make_part(number, _PART)),), directory, {}))
        for number, directory in enumerate(directories, 2)
    ]

    def place() -> None:
        upload = CountedUpload(Ledger())
        upload.position = _FAR
        writer = ArchiveWriter(upload)
        for number, answer in enumerate(answers, 2):
            upload.promise(number)
            part = wire.read_answer(answer)
            assert isinstance(part, Part)
            writer.write_part(part)

    size = sum([len(each) for each in directories])
    return {
        "plan": _repeat(runs, group, _PLANNED),
        "answer": _repeat(runs, place, _PLANNED),
        "known": _always(_weigh_known(members[:_KNOWN])),
        "question": _always(sum([len(shard.question) for shard in handed]) / _PLANNED),
        "directory": _always(size / _PLANNED + 12),  # the offset, where it needs zip64
        "record": _always(30 + sum([len(member.name) for member in members]) / _PLANNED),
    }


def _pack_header(member: Member, number: int) -> bytes:
    return pack_central_header(make_record(member, DEFLATED, number, 1000, 300 * number))


def _weigh_known(members: list[Member]) -> float:
    """Bytes of memory that a member takes as long as names are held against each other."""
    given = Input("known", len(members), len(members) * 4096, 0.5, make_equal)
    tracemalloc.start()
    try:
        checked = plan.check_names(given.list_members(), readers=None, is_one_tree=True)
        for _ in zip(range(len(members) - 1), checked, strict=False):
            pass
        return tracemalloc.get_traced_memory()[0] / len(members)
    finally:
        tracemalloc.stop()


def _measure_finding(runs: int) -> dict[str, Found]:
    with tempfile.TemporaryDirectory() as folder:
        for number in range(_FOUND):
            path = os.path.join(folder, f"{number // 200:04}")
            os.makedirs(path, exist_ok=True)
            with open(os.path.join(path, f"{number}.txt"), "wb") as file:
                file.write(b"text")

        def find() -> None:
            parazip.preview([folder])

        return {"find": _repeat(runs, find, _FOUND)}


def _measure_handing_out(runs: int) -> dict[str, Found]:
    """What a shard costs here besides its members, with processes as workers."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(len, [b""] * 10))

        def hand_out() -> None:
            deque(pool.map(len, [b"question" * 1000] * _HANDED_OUT), maxlen=0)

        return {"shard": _repeat(runs, hand_out, _HANDED_OUT)}


def _measure_here(runs: int) -> dict[str, Found]:
    """What a byte costs that is written here: it is copied into a part, and counted in a CRC-32.

    What sending it costs is left out, as encryption and network depend on the machine.
    """
    data = os.urandom(1 << 20)

    def write() -> None:
        part = bytearray()
        for _ in range(64):
            part += data
        checksums.crc32(part)

    return {"here": _repeat(runs, write, 64 << 20)}


def _measure_workers(level: int, runs: int) -> dict[str, Found]:
    """What workers do for a byte and for a member; nothing is sent."""
    large, size = _collect(lambda size: size >= _LARGE)
    short, small = _collect(lambda size: 0 < size < _SHORT)
    compress = _repeat(runs, lambda: _make(large, size, level), size)
    all_ = _repeat(runs, lambda: _make(short, small, level), len(short))
    each = [value - compress.value * small / len(short) for value in all_]
    return {"compress": compress, "member": Found(*each)}


def _collect(is_taken: Callable[[int], bool]) -> tuple[list[Member], int]:
    """Files below this Python's folder, and how many bytes they have."""
    members: list[Member] = []
    taken = 0
    for folder, _, names in os.walk(sys.prefix):
        for name in sorted(names):
            path = os.path.join(folder, name)
            size = os.path.getsize(path) if os.path.isfile(path) else 0
            if is_taken(size) and taken + size <= _MUCH and len(members) < 4 * shards.MOST_MEMBERS:
                members.append(parazip.make_member(os.path.relpath(path, sys.prefix), Path(path)))
                taken += size
    return members, taken


def _make(members: list[Member], size: int, level: int) -> None:
    """Does what a worker does."""
    question = wire.write_question(MembersTask(members, choose_recipe(level, "auto"), False, size))
    shard = shards.MemberShard(question, len(members), size, members[-1].name, False)
    shards.read_answer(shards.do_shard(shards.write_shard(shard)))


def _repeat(runs: int, function: Callable[[], object], count: int) -> Found:
    """CPU seconds of a call for each of `count` things."""
    times = []
    for _ in range(runs):
        began = time.process_time()
        function()
        times.append((time.process_time() - began) / count)
    return Found(statistics.median(times), min(times), max(times))


def _always(value: float) -> Found:
    return Found(value, value, value)
