"""parazip against its rivals on one workload."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from benchmarks import commands, measure, workloads
from benchmarks.model import Command, Figure, Tell
from benchmarks.table import markdown
from benchmarks.workloads import Workload

Groups: TypeAlias = dict[int, list[Command]]
"""For each level the commands that its rows show, parazip first."""

_HEADER = ("level", "command", "seconds", "x parazip", "CPU s", "peak MB", "MB")


def groups(workload: Workload, levels: Sequence[int], rivals: Iterable[str]) -> Groups:
    """What is compared at each level.

    zipfile's level 6, its default for deflate, stands beside every level as it is what sizes are
    compared with; its level 9 only beside ours.
    """
    found: Groups = {}
    for level in levels:
        found[level] = [commands.parazip(workload, level)]
        for rival in rivals:
            used = [level] if rival != "zipfile" else [6, 9] if level == 9 else [6]
            found[level] += [commands.RIVALS[rival](workload, each) for each in used]
    return found


def flat(found: Groups) -> list[Command]:
    """All commands of all levels; what several levels show is there several times."""
    return [command for group in found.values() for command in group]


def in_turn(
    workload: Workload, compared: Iterable[Command], runs: int, tell: Tell
) -> dict[Command, Figure]:
    """Measures commands on a workload that is in the page cache."""
    tell(f"{workload.name}: {workload.files:,} files, {workload.size / 1e6:,.0f} MB")
    # Slow commands have no run to warm up, so the files are read once for all.
    workloads.read(workload.folder)
    with scratch() as folder:
        return measure.in_turn(compared, runs, folder, tell)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for outputs, on the disk of the workloads."""
    return tempfile.TemporaryDirectory(prefix="scratch-", dir=workloads.cache_folder())


def table(found: Groups, figures: Mapping[Command, Figure]) -> str:
    """All levels in one Markdown table; a ratio of times tells how much faster parazip is."""
    by_label = {figure.label: figure for figure in figures.values()}
    bases = [by_label[label] for label in ("zipfile 6", "zipfile 9") if label in by_label]
    rows = []
    for level, group in found.items():
        ours = figures[group[0]]
        for command in group:
            figure = figures[command]
            row = [
                str(level),
                command.label,
                f"{figure.seconds:.2f}",
                f"{figure.seconds / ours.seconds:.2f}",
                f"{figure.cpu:.2f}",
                f"{figure.memory / 1e6:.0f}",
                f"{figure.size / 1e6:.1f}",
            ]
            for base in bases:
                shown = level == 9 or base.label == "zipfile 6"
                row.append(f"{figure.size / base.size:.3f}" if shown else "")
            rows.append(row)
    return markdown([*_HEADER, *(f"size / {base.label}" for base in bases)], rows, texts=2)
