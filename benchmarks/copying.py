"""What it costs to copy or recall what is compressed already, in units of `cp` of the result.

Nothing is to be deflated twice, so the yardstick is no other archiver but the copy of a file. Of
a PEX the step in which it is zipped is measured inside the process (`pex_step.py`), as pex takes
its time for much else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Generic, NamedTuple, TypeVar

from benchmarks import compare, measure, workloads
from benchmarks import copying_commands as commands
from benchmarks.copying_commands import Place
from benchmarks.model import Command, Figure, Tell
from benchmarks.table import markdown
from benchmarks.targets import Verdict

_What = TypeVar("_What")

_STEPS = {"zip_step": "zip step"}
_WHOLE = "whole command"
_NO_CACHE_LIMIT = 5
_COLD_LIMIT = 8
_WARM_LIMIT = 2
_WARM_SECONDS = 2
_MERGE_LIMIT = 5
_SIZE_LIMIT = 1
_MEMORY_MB = 150

NOTE = (
    "x cp: the median of the runs over that of cp of the same output. MB: the output. Peak MB: of "
    "the largest process of each run; helper processes are processes of their own and not added."
)
"""What is to be known about the table."""


class Turn(NamedTuple, Generic[_What]):
    """One for each command, in the order in which they are run."""

    copy: _What
    plain: _What
    cold: _What
    warm: _What
    stock: _What
    merge: _What
    merge_copy: _What
    create: _What
    create_copy: _What


def measured(runs: int, stock_runs: int, tell: Tell) -> Turn[Figure]:
    """Runs all commands in turn, once everything is there that they copy."""
    with compare.scratch() as scratch:
        turn = _prepared(commands.place(scratch), stock_runs, tell)
        figures = measure.in_turn(turn, runs, scratch, tell)
    return Turn(*(figures[command] for command in turn))


def _prepared(at: Place, stock_runs: int, tell: Tell) -> Turn[Command]:
    """The commands, when all that they need has been made."""
    finished, merged, created = (at.kept(name) for name in ("made.pex", "merged.zip", "tree.zip"))
    plain, create = commands.parazip(at), commands.create(at)
    tell(f"{plain.label}, to warm up; pex resolves the lock if it has not done so")
    measure.make(replace(plain, before=None), finished)  # what it copies may not be there yet
    wheels = commands.wheels(at)
    merge = commands.merge(wheels)
    tell(f"{merge.label}, and {create.label}, while it is not yet")
    measure.make(merge, merged)
    workloads.read(at.workload.folder)
    measure.make(create, created)
    return Turn(
        copy=commands.cp("cp of the PEX", finished),
        plain=commands.parazip(at, *wheels.values()),
        cold=commands.parazip_cold(at, *wheels.values()),
        warm=commands.parazip_warm(at),
        stock=commands.pex(at, stock_runs),
        merge=merge,
        merge_copy=commands.cp("cp of what was merged", merged),
        create=create,
        create_copy=commands.cp("cp of the tree's archive", created),
    )


def table(figures: Turn[Figure]) -> str:
    """All that was measured as one Markdown table."""
    of = figures
    pairs = [(each, of.copy) for each in (of.copy, of.plain, of.cold, of.warm, of.stock)]
    pairs += [(each, of.merge_copy) for each in (of.merge_copy, of.merge)]
    pairs += [(each, of.create_copy) for each in (of.create_copy, of.create)]
    rows = []
    for figure, copy in pairs:
        for what, seconds in _times(figure):
            row = (what, f"{seconds:.3f}", f"{seconds / copy.seconds:.2f}")
            rows.append((*row, f"{figure.size / 1e6:.1f}", f"{figure.memory / 1e6:.0f}"))
    return markdown(("what", "seconds", "x cp", "MB", "peak MB"), rows)


def verdicts(figures: Turn[Figure]) -> list[Verdict]:
    """What is asked, and whether it holds."""
    of = figures
    found = [
        Verdict(f"{each.label}: {told}", "<=", limit, each.steps[step] / of.copy.seconds, "x")
        for step, told in _STEPS.items()
        for each, limit in (
            (of.plain, _NO_CACHE_LIMIT),
            (of.cold, _COLD_LIMIT),
            (of.warm, _WARM_LIMIT),
        )
    ]
    size = max(each.size for each in (of.plain, of.cold, of.warm)) / of.stock.size
    merge = of.merge.seconds / of.merge_copy.seconds
    found += [
        Verdict(f"{of.warm.label}: {_WHOLE}", "<=", _WARM_SECONDS, of.warm.seconds, "s"),
        Verdict(f"{of.merge.label}: {_WHOLE}", "<=", _MERGE_LIMIT, merge, "x"),
        Verdict(f"parazip pex: size against {of.stock.label}", "<=", _SIZE_LIMIT, size, "x"),
    ]
    for each in (of.plain, of.cold, of.warm, of.merge, of.create):
        what = f"{each.label}: peak memory of its largest process"
        found.append(Verdict(what, "<=", _MEMORY_MB, each.memory / 1e6, "MB"))
    return found


def _times(figure: Figure) -> Iterator[tuple[str, float]]:
    """A figure's own steps, and its whole."""
    for step, told in _STEPS.items():
        if step in figure.steps:
            yield f"{figure.label}: {told}", figure.steps[step]
    yield f"{figure.label}: {_WHOLE}" if figure.steps else figure.label, figure.seconds
