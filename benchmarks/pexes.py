"""The ways to a PEX beside each other: how long it takes to make, how large it is, how it starts.

Each way makes a PEX of the lock of workload tensorflow, whose wheels pex has downloaded and
installed before: first with nothing kept of earlier PEXes, then again, where pex (for packed PEXes)
and parazip use what they have kept. Then the PEX is started for the first time on a machine: by
the interpreter that it is for, with a `PEX_ROOT` that is empty.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from benchmarks import charts, compare, measure, workloads
from benchmarks.copying_commands import CACHE, Place, place
from benchmarks.model import OUTPUT, Command, Figure, Tell
from benchmarks.table import markdown

NOTE = (
    "Build: with nothing kept of earlier ones, but all wheels downloaded and installed. Again: "
    "the same command once more. First boot: PEX -c pass, with an empty PEX_ROOT."
)
"""What is to be known about the table."""

_PACKED = ("--layout", "packed")
_KEPT_BY_PEX = ("packed_wheels", "bootstrap_zips", "bootstraps")


@dataclass(frozen=True, slots=True)
class _Way:
    """How a PEX is made.

    Attributes:
        label: how it is called in tables and charts.
        module: what runs, and its arguments besides those of what is put in.
        is_slow: whether it takes a minute to begin with.
        keeps: whether something is kept that makes it quicker when it is made again.
    """

    label: str
    module: tuple[str, ...]
    is_slow: bool = False
    keeps: bool = True


def _ways() -> tuple[_Way, ...]:
    def pex(*options: str, is_slow: bool = False, keeps: bool = False) -> _Way:
        return _Way(" ".join(("pex", *options)), ("pex", *options), is_slow, keeps)

    def parazip(*options: str, is_slow: bool = False) -> _Way:
        label = " ".join(("parazip pex", *options))
        return _Way(label, ("parazip", "pex", *options), is_slow)

    # One that keeps something is made again before another forgets what it has kept.
    return (
        pex(is_slow=True),
        pex("--no-compress"),
        pex("--no-pre-install-wheels"),
        pex(*_PACKED, is_slow=True, keeps=True),
        parazip(),
        parazip(*_PACKED),
        parazip("--exact", is_slow=True),
    )


class Row(NamedTuple):
    """What was measured of one way."""

    label: str
    first: Figure
    again: Figure
    boot: Figure

    def columns(self) -> dict[str, float]:
        """What is told of it: seconds, and megabytes of the PEX."""
        return {
            "build, s": self.first.seconds,
            "again, s": self.again.seconds,
            "first boot, s": self.boot.seconds,
            "MB": self.first.size / 1e6,
        }


def measured(runs: int, slow_runs: int, tell: Tell) -> list[Row]:
    """Measures all ways in turn, each once to warm up and for a PEX that can be started.

    Args:
        runs: how many runs of each command are counted.
        slow_runs: how many of those that take a minute.
        tell: is told of each run.
    """
    with compare.scratch() as scratch:
        at = place(scratch)
        rows = [_commands(at, way, slow_runs, tell) for way in _ways()]
        found = measure.in_turn((each for _, *row in rows for each in row), runs, scratch, tell)
    return [
        Row(label, found[first], found[again], found[boot]) for label, first, again, boot in rows
    ]


def _commands(
    at: Place, way: _Way, slow_runs: int, tell: Tell
) -> tuple[str, Command, Command, Command]:
    """How a way's PEX is made first, how again, and how it is started."""
    name = way.label.replace(" ", "_")
    cache, made, boot_root = (at.kept(name + end) for end in (".parts", ".pex", ".root"))

    def recall() -> None:
        workloads.read(at.pex_root, *([cache] if os.path.exists(cache) else []))

    def forget() -> None:
        by_pex = [os.path.join(at.pex_root, name) for name in _KEPT_BY_PEX]
        for folder in (cache, *by_pex) if way.keeps else ():
            shutil.rmtree(folder, ignore_errors=True)
        recall()

    def unpack_anew() -> None:
        shutil.rmtree(boot_root, ignore_errors=True)
        workloads.read(made)

    inputs = ("--python", at.python, "--lock", at.lock, "-o")
    first = Command(
        f"{way.label}, first",
        (sys.executable, "-m", *way.module, *inputs, OUTPUT),
        slow=True,
        environment=(("PEX_ROOT", at.pex_root), (CACHE, cache)),
        before=forget,
        at_most=slow_runs if way.is_slow else None,
    )
    again = first
    if way.keeps:
        again = replace(first, label=f"{way.label}, again", before=recall, at_most=None)
    tell(f"{way.label}, to warm up")
    measure.make(first, made)
    program = os.path.join(made, "__main__.py") if os.path.isdir(made) else made
    boot = Command(
        f"{way.label}, first boot",
        (at.python, program, "-c", "pass"),
        slow=True,
        environment=(("PEX_ROOT", boot_root),),
        before=unpack_anew,
    )
    return way.label, first, again, boot


def table(rows: Sequence[Row]) -> str:
    """All that was measured as one Markdown table."""
    cells = [
        (row.label, *(charts.show_number(each) for each in row.columns().values())) for row in rows
    ]
    return markdown(("how", *rows[0].columns()), cells)
