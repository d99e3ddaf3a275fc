"""What is asked of parazip, and whether it holds on this machine.

The figures are ratios of medians of one run, so they mean the same on most machines; but no
machine is quiet for ever, so a figure that is not met is told and no error.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from benchmarks import commands, compare, measure, workloads
from benchmarks.model import Command, Figure, Tell
from benchmarks.table import markdown
from benchmarks.workloads import Workload

_RELATIONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_DIGITS = {"x": 3, "s": 2}
_STARTUP_RUNS = 20
_STARTUP_MS = 120
_MEMORY_MB: tuple[tuple[str | None, int], ...] = ((None, 300), ("64M", 120))
_MEMORY_LEVELS = (1, 6)


def _speed(ours: Figure, theirs: Figure) -> float:
    return theirs.seconds / ours.seconds


def _time(ours: Figure, theirs: Figure) -> float:
    return ours.seconds / theirs.seconds


def _size(ours: Figure, theirs: Figure) -> float:
    return ours.size / theirs.size


def _parazip_1(workload: Workload) -> Command:
    return commands.parazip(workload, 1)


def _parazip_6(workload: Workload) -> Command:
    return commands.parazip(workload, 6)


def _parazip_9(workload: Workload) -> Command:
    return commands.parazip(workload, 9)


def _zipfile_6(workload: Workload) -> Command:
    return commands.zipfile(workload, 6)


def _zipfile_9(workload: Workload) -> Command:
    return commands.zipfile(workload, 9)


def _zip_1(workload: Workload) -> Command:
    return commands.info_zip(workload, 1)


_Quantity: TypeAlias = Callable[[Figure, Figure], float]


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio that is asked for: `quantity` of one command, parazip mostly, and of another."""

    workload: str
    ours: Callable[[Workload], Command]
    quantity: _Quantity
    other: Callable[[Workload], Command]
    relation: str
    limit: float


TARGETS = (
    Target("tensorflow", _parazip_1, _speed, _zipfile_6, ">=", 20),
    Target("tensorflow", _parazip_1, _size, _zipfile_6, "<=", 1.10),
    Target("tensorflow", _parazip_6, _speed, _zipfile_6, ">=", 5),
    Target("tensorflow", _parazip_6, _size, _zipfile_6, "<=", 1.02),
    Target("tensorflow", _parazip_9, _speed, _zipfile_9, ">", 1),
    Target("tensorflow", _parazip_9, _size, _zipfile_9, "<", 1),
    # Not parazip: more than this no engine reaches with this codec on this machine.
    Target("tensorflow", commands.bound, _speed, _zipfile_6, ">=", 20),
    Target("sources", _parazip_1, _speed, _zipfile_6, ">=", 7),
    Target("sources", _parazip_1, _size, _zipfile_6, "<=", 1.15),
    Target("sources", _parazip_6, _speed, _zipfile_6, ">=", 4),
    Target("sources", _parazip_6, _size, _zipfile_6, "<=", 1.01),
    Target("tiny", _parazip_1, _speed, _zip_1, ">=", 1.4),
    Target("one", _parazip_1, _time, commands.bound, "<=", 1.3),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was asked, what was measured, and whether that is enough."""

    what: str
    relation: str
    asked: float
    measured: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the measured figure is what was asked for."""
        return _RELATIONS[self.relation](self.measured, self.asked)

    def raw(self) -> dict[str, Any]:
        """What JSON can hold of it: everything."""
        return dataclasses.asdict(self) | {"met": self.met}


def of_workload(
    workload: Workload, runs: int, tell: Tell
) -> tuple[dict[str, list[Figure]], list[Verdict]]:
    """Measures all that is asked for on one workload."""
    asked = [target for target in TARGETS if target.workload == workload.name]
    pairs = [(each.ours(workload), each.other(workload)) for each in asked]
    both = [command for pair in pairs for command in pair]
    timed = compare.in_turn(workload, both, runs, tell)
    watched = _watched(workload, runs, tell)
    verdicts = [
        _ratio(target, timed[ours], timed[theirs])
        for target, (ours, theirs) in zip(asked, pairs, strict=True)
    ]
    for command, limit in _limits(workload).items():
        # Watching slows down what is watched; it may have taken more when it was timed.
        peak = max(found[command].memory for found in (watched, timed) if command in found)
        what = f"{workload.name}, {command.label}: peak memory"
        verdicts.append(Verdict(what, "<=", limit, peak / 1e6, "MB"))
    figures = {
        workload.name: list(timed.values()),
        f"{workload.name}, memory watched": list(watched.values()),
    }
    return figures, verdicts


def startup(tell: Tell) -> tuple[list[Figure], Verdict]:
    """Measures how long parazip takes to do nothing."""
    ours, theirs = commands.version(), commands.python()
    tell(f"{ours.label} and {theirs.label}, {_STARTUP_RUNS} runs")
    with compare.scratch() as folder:
        figures = measure.in_turn((ours, theirs), _STARTUP_RUNS, folder, lambda text: None)
    more = (figures[ours].seconds - figures[theirs].seconds) * 1e3
    what = f"{ours.label}: time over {theirs.label}"
    return list(figures.values()), Verdict(what, "<=", _STARTUP_MS, more, "ms")


def table(verdicts: Sequence[Verdict]) -> str:
    """All verdicts in one Markdown table."""
    rows = [
        (
            each.what,
            f"{each.relation} {_number(each.asked, each.unit)}",
            _number(each.measured, each.unit),
            "yes" if each.met else "no",
        )
        for each in verdicts
    ]
    return markdown(("what", "asked", "measured", "met"), rows)


def _ratio(target: Target, ours: Figure, theirs: Figure) -> Verdict:
    quantity = target.quantity.__name__.strip("_")
    what = f"{target.workload}, {ours.label}: {quantity} against {theirs.label}"
    measured = target.quantity(ours, theirs)
    return Verdict(what, target.relation, target.limit, measured, "x")


def _limits(workload: Workload) -> dict[Command, int]:
    """The commands whose peak memory has a limit, and the limit in MB."""
    return {
        commands.parazip(workload, level, memory): limit
        for memory, limit in _MEMORY_MB
        for level in _MEMORY_LEVELS
    }


def _watched(workload: Workload, runs: int, tell: Tell) -> dict[Command, Figure]:
    """Peak memory needs runs of its own, as watching it takes time."""
    workloads.read(workload.folder)
    tell(f"{workload.name}: peak memory")
    with compare.scratch() as folder:
        return measure.watched_in_turn(_limits(workload), runs, folder, tell)


def _number(value: float, unit: str) -> str:
    return f"{value:.{_DIGITS.get(unit, 0)}f} {unit}"
