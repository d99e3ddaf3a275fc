"""`parazip.stream` beside zipstream-ng and stream-zip, which stream archives from one thread.

Each run is a whole process that makes one stream, whose chunks are counted and thrown away. Before
that zipfile reads what each of them makes, and all have to hold the same members. The workloads:

* `sources`: many small files.
* `large`: three tables of text, and the largest two files of workload tensorflow below 64 MiB.
* `rows`: members that a program makes of rows, 100,000 of some 46 bytes each.

Two more consumers show what a client can cost that takes little: one waits 50 ms after each chunk
and leaves after 4 seconds, one takes a single chunk, leaves after half a second, and is looked at
for as long again.
"""

from __future__ import annotations

import importlib.util
import os
import random
import sys
from collections.abc import Iterable, Sequence
from statistics import quantiles
from typing import NamedTuple

import click

from benchmarks import compare, measure, workloads
from benchmarks.model import OUTPUT, STEPS, Command, Figure, Tell
from benchmarks.streaming_program import ROWS, STREAMS, make_row
from benchmarks.table import markdown

_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "streaming_program.py")
_GROUP = "streaming"
"""Of dependencies in pyproject.toml: the packages that are compared."""

_TABLES = 3
_TABLE_SIZE = 40_000_000
_LIBRARIES = 2
_LIBRARY_LIMIT = 64 << 20

NAMES = ("sources", "large", ROWS)
"""All workloads."""


class Case(NamedTuple):
    """A workload at one level, by one package.

    Attributes:
        workload: its name.
        level: 0 to 9.
        package: what makes the stream.
    """

    workload: str
    level: int
    package: str


class Measured(NamedTuple):
    """What came of all cases.

    Attributes:
        sizes: bytes of the archives.
        counted: runs whose chunks were counted.
        slow: those whose client was slow; only at the last level.
        abandoned: those whose client left; only at the last level.
    """

    sizes: dict[Case, int]
    counted: dict[Case, Figure]
    slow: dict[Case, Figure]
    abandoned: dict[Case, Figure]


def measured(runs: int, names: Iterable[str], levels: Sequence[int], tell: Tell) -> Measured:
    """Measures all packages on each workload; those of one workload and level in turn.

    Raises:
        ClickException: one makes an archive that zipfile does not read, or of other members.
    """
    _require_packages()
    found = Measured({}, {}, {}, {})
    with compare.scratch() as scratch:
        for name in names:
            source = _find_source(name, scratch, tell)
            for level in levels:
                cases = [Case(name, level, package) for package in STREAMS]
                found.sizes.update(_check(cases, source, scratch, tell))
                found.counted.update(_run(cases, source, "count", runs, scratch, tell))
            found.slow.update(_run(cases, source, "slow", 1, scratch, tell))
            found.abandoned.update(_run(cases, source, "abandon", runs, scratch, tell))
    return found


def table(found: Measured) -> str:
    """All cases in one Markdown table, and in another what clients cost."""
    rows = []
    for case, figure in found.counted.items():
        ours = found.counted[case._replace(package="parazip")]
        low, high = _spread(figure)
        steps = figure.steps
        rows.append(
            (
                case.workload,
                str(case.level),
                case.package,
                f"{steps['all']:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{steps['all'] / ours.steps['all']:.2f}",
                f"{steps['cpu']:.2f}",
                f"{steps['first'] * 1000:.1f}",
                f"{figure.memory / 1e6:.0f}",
                f"{found.sizes[case] / 1e6:.1f}",
            )
        )
    return f"{markdown(_HEADER, rows, texts=3)}\n\n{_tell_clients(found)}"


_HEADER = (
    *("workload", "level", "by", "seconds", "middle half", "x parazip", "CPU s"),
    *("first byte, ms", "peak MB", "MB"),
)


def _tell_clients(found: Measured) -> str:
    rows = []
    for case, slow in found.slow.items():
        left = found.abandoned[case].steps
        rows.append(
            (
                case.workload,
                str(case.level),
                case.package,
                f"{slow.memory / 1e6:.0f}",
                f"{slow.steps['cpu']:.2f}",
                f"{left['cpu']:.2f}",
                f"{left['close'] * 1000:.1f}",
            )
        )
    header = (
        "workload",
        "level",
        "by",
        "slow: peak MB",
        "slow: CPU s",
        "left: CPU s",
        "to end, ms",
    )
    return markdown(header, rows, texts=3)


def _spread(figure: Figure) -> tuple[float, float]:
    """Between which times the middle half of the runs lies."""
    times = [run.steps["all"] for run in figure.runs]
    if len(times) == 1:
        return times[0], times[0]
    low, _, high = quantiles(times, n=4, method="inclusive")
    return low, high


def _require_packages() -> None:
    for package, (module, _) in STREAMS.items():
        if importlib.util.find_spec(module) is None:
            raise click.ClickException(f"{package} is missing: pip install --group {_GROUP}")


def _find_source(name: str, scratch: str, tell: Tell) -> str:
    """A folder whose files are in the page cache, or what stands for rows."""
    if name == ROWS:
        return ROWS
    folder = _make_large(scratch, tell) if name == "large" else workloads.find(name).folder
    workloads.read(folder)
    return folder


def _make_large(scratch: str, tell: Tell) -> str:
    tell("making the workload large")
    folder = os.path.join(scratch, "large")
    os.mkdir(folder)
    for number in range(_TABLES):
        made = random.Random(number)
        with open(os.path.join(folder, f"table{number}.csv"), "wb") as file:
            while file.tell() < _TABLE_SIZE:
                file.write(make_row(made))
    tree = workloads.find("tensorflow").folder
    sizes = {path: os.path.getsize(path) for path in workloads.list_files(tree)}
    fitting = [path for path, size in sizes.items() if size < _LIBRARY_LIMIT]
    for path in sorted(fitting, key=lambda path: (sizes[path], path))[-_LIBRARIES:]:
        workloads.link(path, os.path.join(folder, os.path.basename(path)))
    return folder


def _check(cases: list[Case], source: str, scratch: str, tell: Tell) -> dict[Case, int]:
    """The size of each archive, once zipfile has read all of it."""
    figures = _run(cases, source, "save", 1, scratch, tell)
    for case, figure in figures.items():
        if figure.steps["digest"] != figures[cases[0]].steps["digest"]:
            raise click.ClickException(f"{_label(case)}: not the members of {_label(cases[0])}")
    return {case: figure.size for case, figure in figures.items()}


def _run(
    cases: list[Case], source: str, consumer: str, runs: int, scratch: str, tell: Tell
) -> dict[Case, Figure]:
    commands = {case: _make_command(case, source, consumer) for case in cases}
    in_turn = measure.watched_in_turn if consumer == "slow" else measure.in_turn
    figures = in_turn(commands.values(), runs, scratch, tell)
    return {case: figures[command] for case, command in commands.items()}


def _make_command(case: Case, source: str, consumer: str) -> Command:
    """A program that makes the stream for a consumer; without a run to warm up, as all is read."""
    target = OUTPUT if consumer == "save" else ""
    arguments = (_PROGRAM, case.package, source, str(case.level), consumer, target, STEPS)
    return Command(f"{_label(case)}, {consumer}", (sys.executable, *arguments), slow=True)


def _label(case: Case) -> str:
    return f"{case.package}, {case.workload}, level {case.level}"
