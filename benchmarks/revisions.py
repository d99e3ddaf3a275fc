"""The code of a commit beside the code that is here: the same bytes, and how fast.

Both are run by the same Python with the same libraries; PYTHONPATH alone says whose modules are
found. The commit is checked out into a folder of its own, so nothing here changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import click

from benchmarks import commands, copying_commands, measure, workloads, zip_file
from benchmarks.model import OUTPUT, Command, Figure, Tell
from benchmarks.table import markdown
from benchmarks.workloads import Workload

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_BENCHMARKS = os.path.join(_ROOT, "benchmarks")
_PROGRAM = os.path.join(_BENCHMARKS, "zip_file_program.py")
_LEVELS = (0, 1, 6, 9)
_JOBS = (1, 2, 7)
_TIMED_LEVELS = (1, 6)
_SMALL = [
    Command(
        f"2,000 archives of 10 members {where}",
        (sys.executable, _PROGRAM, "parazip", task, "6", "", target),
    )
    for task, where, target in (("small", "as files", OUTPUT), ("memory", "in memory", ""))
]


class Pair(NamedTuple):
    """One command, run with the code of the commit and with the code that is here."""

    before: Command
    after: Command


@contextlib.contextmanager
def checked_out(revision: str, scratch: str) -> Iterator[str]:
    """The folder of a commit's files, until the block ends.

    Raises:
        ClickException: git does not know the commit.
    """
    folder = os.path.join(scratch, "commit")
    add = ["git", "-C", _ROOT, "worktree", "add", "--quiet", "--detach", folder, revision]
    if subprocess.run(add, check=False).returncode:
        raise click.ClickException(f"git cannot check out {revision}")
    try:
        yield folder
    finally:
        remove = ["git", "-C", _ROOT, "worktree", "remove", "--force", folder]
        subprocess.run(remove, check=True)


def differing_outputs(checkout: str, names: tuple[str, ...], scratch: str, tell: Tell) -> list[str]:
    """What comes out differently: the labels of all commands whose outputs are not the same.

    Args:
        checkout: the folder of the commit's files.
        names: the workloads.
        scratch: a folder for outputs.
        tell: is told of each command.
    """
    found = [workloads.find(name) for name in names]
    creating = [
        _create(workload, level, jobs) for workload in found for level in _LEVELS for jobs in _JOBS
    ]
    zip_files = [
        _zip_file("tree", workload, level) for workload in found for level in _TIMED_LEVELS
    ]
    both = [*creating, *zip_files, _merge(found, scratch, tell)]
    different = []
    for pair in [*_pairs(both, checkout), *_pex_pairs(checkout, scratch)]:
        before, after = (_hash_output(command, scratch) for command in pair)
        tell(f"{pair.after.label}: {'the same' if before == after else 'DIFFERENT'}, {after[:16]}")
        if before != after:
            different.append(pair.after.label)
    return different


def measured(
    checkout: str, names: tuple[str, ...], runs: int, scratch: str, tell: Tell
) -> list[tuple[Figure, Figure]]:
    """The figures of each command: with the code of the commit, and with the code that is here."""
    found = [workloads.find(name) for name in names]
    creating = [_create(workload, level) for workload in found for level in _TIMED_LEVELS]
    making = [*creating, *_SMALL, _merge(found, scratch, tell)]
    pairs = [*_pairs(making, checkout), *_pex_pairs(checkout, scratch)]
    extracting = _pairs([_extract(workload, scratch, tell) for workload in found], checkout)
    with zip_file.folder_in_memory(scratch) as memory:
        figures = measure.in_turn(_ordered(pairs), runs, scratch, tell)
        figures |= measure.in_turn(_ordered(extracting), runs, memory, tell)
    return [(figures[pair.before], figures[pair.after]) for pair in [*pairs, *extracting]]


def table(figures: list[tuple[Figure, Figure]]) -> str:
    """Times and memory of both, and how many times as long it takes now."""
    rows = [
        [
            after.label,
            f"{_seconds(before):.3f}",
            f"{_seconds(after):.3f}",
            f"{_seconds(after) / _seconds(before):.3f}",
            f"{after.cpu / before.cpu:.3f}",
            f"{before.memory / 1e6:.0f}",
            f"{after.memory / 1e6:.0f}",
        ]
        for before, after in figures
    ]
    header = ("", "before, s", "now, s", "ratio", "ratio of CPU", "before, MB", "now, MB")
    return markdown(header, rows)


def _seconds(figure: Figure) -> float:
    """How long it took: the step that the command timed itself, or all of it."""
    return figure.steps.get("zip_step", figure.seconds)


def _pairs(making: list[Command], checkout: str) -> list[Pair]:
    return [_pair(command, command, checkout) for command in making]


def _pair(before: Command, after: Command, checkout: str) -> Pair:
    return Pair(_from_checkout(before, checkout, "before: "), _from_checkout(after, _ROOT, ""))


def _from_checkout(command: Command, checkout: str, label: str) -> Command:
    """A command with the modules of a checkout, and its programs of the benchmarks."""
    arguments = [
        each.replace(_ROOT, checkout, 1) if each.startswith(_BENCHMARKS) else each
        for each in command.arguments
    ]
    environment = (*command.environment, ("PYTHONPATH", os.path.join(checkout, "src")))
    label += command.label
    return replace(command, label=label, arguments=tuple(arguments), environment=environment)


def _ordered(pairs: list[Pair]) -> list[Command]:
    return [command for pair in pairs for command in pair]


def _hash_output(command: Command, scratch: str) -> str:
    output = os.path.join(scratch, "output.zip")
    measure.make(command, output)
    with open(output, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    os.unlink(output)
    return found


def _create(workload: Workload, level: int, jobs: int | None = None) -> Command:
    chosen = () if jobs is None else ("-j", str(jobs))
    arguments = ("create", "-q", f"-{level}", *chosen, "-C", workload.folder, OUTPUT, ".")
    label = f"create {workload.name} -{level}" + (f" -j{jobs}" if jobs else "")
    return Command(label, commands.module(*arguments))


def _zip_file(task: str, workload: Workload, level: int) -> Command:
    arguments = ("parazip", task, str(level), workload.folder, OUTPUT)
    label = f"ZipFile {workload.name} -{level}"
    return Command(label, (sys.executable, _PROGRAM, *arguments))


def _extract(workload: Workload, scratch: str, tell: Tell) -> Command:
    arguments = ("parazip", "extract", "6", _made(_create(workload, 6), scratch, tell), OUTPUT)
    return Command(f"extractall {workload.name}", (sys.executable, _PROGRAM, *arguments))


def _merge(found: list[Workload], scratch: str, tell: Tell) -> Command:
    made = [f"{each.name}/={_made(_create(each, 1), scratch, tell)}" for each in found]
    return Command("merge of all", commands.module("merge", "-q", OUTPUT, *made))


def _made(command: Command, scratch: str, tell: Tell) -> str:
    """An archive that other commands read; it is made once, by the code that is here."""
    path = os.path.join(scratch, hashlib.sha256(command.label.encode()).hexdigest()[:16])
    if not os.path.exists(path):
        tell(f"making what is read: {command.label}")
        measure.make(command, path)
    return path


def _pex_pairs(checkout: str, scratch: str) -> list[Pair]:
    """A PEX without a cache, with an empty one and with a full one; each code has its own cache."""
    sides = []
    for name in ("before", "after"):
        at = copying_commands.place(os.path.join(scratch, name))
        ways = (copying_commands.parazip, copying_commands.parazip_cold)
        sides.append([*(way(at) for way in ways), copying_commands.parazip_warm(at)])
    return [_pair(before, after, checkout) for before, after in zip(*sides, strict=True)]
