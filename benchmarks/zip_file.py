"""`parazip.ZipFile` beside the standard library's, and beside `parazip create`.

Each is a whole process; small archives are made 2,000 times in one, and what importing costs is
told by processes that do nothing else.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from benchmarks import commands, compare, measure, workloads
from benchmarks.model import OUTPUT, Command, Figure, Tell
from benchmarks.table import markdown
from benchmarks.targets import Verdict

_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "zip_file_program.py")
_LEVELS = (6, 1)
_SHM = "/dev/shm"
"""A file system in memory, on Linux."""
_IMPORT_MS = 15


class Pair(NamedTuple):
    """What is measured, and what it is compared with.

    Attributes:
        ours: the command that is measured.
        other: its yardstick.
        asked: the limit of what is asked.
        is_faster: whether ours is to be so many times as fast, not to take so many times as long.
    """

    ours: Command
    other: Command
    asked: float
    is_faster: bool = False

    def ratio(self, figures: dict[Command, Figure]) -> float:
        """How many times as fast, or as long."""
        ours, other = figures[self.ours].seconds, figures[self.other].seconds
        return other / ours if self.is_faster else ours / other


class Measured(NamedTuple):
    """All pairs, and what came of their commands."""

    pairs: list[Pair]
    imports: Pair
    figures: dict[Command, Figure]


def measured(runs: int, tell: Tell) -> Measured:
    """Runs all pairs in turn; what extracts in memory, if there is a file system in it."""
    imports = Pair(_python("import zipfile, parazip"), _python("import zipfile"), _IMPORT_MS)
    with compare.scratch() as scratch, folder_in_memory(scratch) as memory:
        making, reading = _making(), _reading(scratch, tell)
        workloads.read(workloads.find("tensorflow").folder)
        figures = measure.in_turn(_ordered([*making, imports]), runs, scratch, tell)
        figures |= measure.in_turn(_ordered(reading), runs, memory, tell)
    return Measured([*making, *reading], imports, figures)


def folder_in_memory(scratch: str) -> AbstractContextManager[str]:
    """A folder in memory: making 13,000 files costs some disks ten times what all else costs."""
    if os.path.isdir(_SHM):
        return tempfile.TemporaryDirectory(prefix="parazip-", dir=_SHM)
    return nullcontext(scratch)


def _ordered(pairs: list[Pair]) -> list[Command]:
    return [command for pair in pairs for command in (pair.other, pair.ours)]


def verdicts(of: Measured) -> list[Verdict]:
    """What is asked, and whether it holds."""
    found = [
        Verdict(
            f"{pair.ours.label} against {pair.other.label}",
            ">=" if pair.is_faster else "<=",
            pair.asked,
            pair.ratio(of.figures),
            "x",
        )
        for pair in of.pairs
    ]
    ours, other = of.figures[of.imports.ours], of.figures[of.imports.other]
    over = (ours.seconds - other.seconds) * 1000
    return [*found, Verdict("import of parazip over that of zipfile", "<=", _IMPORT_MS, over, "ms")]


def _making() -> list[Pair]:
    tree, one = workloads.find("tensorflow"), workloads.find("one")
    pairs = []
    for workload, task, asked in (tree, "tree", 1.15), (one, "chunks", 1.5):
        for level in _LEVELS:
            ours = _program("parazip", task, level, workload.folder, OUTPUT)
            pairs.append(Pair(ours, commands.parazip(workload, level), asked))
    for task, target in ("small", OUTPUT), ("memory", ""):
        ours, other = (_program(kind, task, 6, "", target) for kind in ("parazip", "zipfile"))
        pairs.append(Pair(ours, other, 1.5))
    return pairs


def _reading(scratch: str, tell: Tell) -> list[Pair]:
    pairs = []
    for name in "tensorflow", "one":
        archive = os.path.join(scratch, f"{name}.archive")
        tell(f"making an archive of {name}")
        measure.make(commands.parazip(workloads.find(name), 6), archive)
        for task, target in ("extract", OUTPUT), ("test", ""):
            ours, other = (
                replace(
                    _program(kind, task, 6, archive, target),
                    before=partial(workloads.read, archive),
                )
                for kind in ("parazip", "zipfile")
            )
            pairs.append(Pair(ours, other, 3, is_faster=True))
    return pairs


def _program(kind: str, task: str, level: int, source: str, target: str) -> Command:
    of = f" {os.path.basename(source)}" if source else ""
    at = f", level {level}" if task in ("tree", "chunks") else ""
    arguments = (sys.executable, _PROGRAM, kind, task, str(level), source, target)
    return Command(f"{kind}.ZipFile: {task}{of}{at}", arguments)


def _python(line: str) -> Command:
    return Command(line, (sys.executable, "-c", line))


def table(of: Measured) -> str:
    """All that was measured as one Markdown table."""
    rows = []
    for pair in (*of.pairs, of.imports):
        for command in pair.other, pair.ours:
            figure = of.figures[command]
            row = [command.label, f"{figure.seconds:.3f}", f"{figure.cpu:.2f}"]
            row += [f"{figure.memory / 1e6:.0f}", f"{figure.size / 1e6:.1f}"]
            row.append(f"{pair.ratio(of.figures):.2f}" if command is pair.ours else "")
            rows.append(row)
    return markdown(("what", "seconds", "CPU s", "peak MB", "MB", "x"), rows)
