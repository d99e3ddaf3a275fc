"""Runs commands in turn and measures each as a whole process.

A machine's speed drifts: other work comes and goes, the CPU grows hot. So commands that are
compared are run A B C A B C ..., never A A A B B B, and compared by the medians of their runs.
Time is the wall's, from before the process is started until it has ended; CPU time and peak
memory are what the kernel tells of it when it is waited for (`wait4`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeAlias

import click

from benchmarks import memory

OUTPUT = "{output}"
"""Stands in a command for the path that it writes to."""

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
_SAMPLE_SECONDS = 0.02

Tell: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments.

    Attributes:
        label: how it is called in tables.
        arguments: the program first; one of them may be `OUTPUT`.
        directory: where it is run, or None for here.
        slow: True where a run only to warm up would take too long.
    """

    label: str
    arguments: tuple[str, ...]
    directory: str | None = None
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command.

    Attributes:
        seconds: by the wall clock.
        cpu: seconds of user and system time, those of its child processes included.
        memory: peak in bytes. If it was not watched: of the largest one of its processes.
        size: of the output in bytes, 0 if it has none.
    """

    seconds: float
    cpu: float
    memory: int
    size: int


@dataclass(frozen=True, slots=True)
class Figure:
    """All counted runs of one command."""

    label: str
    runs: tuple[Run, ...]

    @property
    def seconds(self) -> float:
        """The median time."""
        return median(run.seconds for run in self.runs)

    @property
    def cpu(self) -> float:
        """The median CPU time in seconds."""
        return median(run.cpu for run in self.runs)

    @property
    def memory(self) -> int:
        """The highest peak in bytes."""
        return max(run.memory for run in self.runs)

    @property
    def size(self) -> int:
        """The median size of the output in bytes."""
        return round(median(run.size for run in self.runs))

    def raw(self) -> dict[str, Any]:
        """What JSON can hold of it: everything."""
        return dataclasses.asdict(self)


def in_turn(
    commands: Iterable[Command], runs: int, scratch: str, tell: Tell
) -> dict[Command, Figure]:
    """Runs all commands once, then all once more and so on.

    Commands that are not slow are run once before, which does not count. One that is asked for
    twice is run once in each turn.

    Args:
        commands: what to run, in this order.
        runs: how many runs of each command are counted.
        scratch: a folder for the outputs; each has a new name and is deleted once measured.
        tell: is told of each run.
    """
    return _in_turn(_once, commands, runs, scratch, tell)


def watched_in_turn(
    commands: Iterable[Command], runs: int, scratch: str, tell: Tell
) -> dict[Command, Figure]:
    """The same with the memory of each command's child processes added to its own.

    Watching takes time from what is watched, so the times of these runs are not for comparing.
    """
    return _in_turn(_once_watched, commands, runs, scratch, tell)


def _in_turn(
    once: Callable[[Command, str], Run],
    commands: Iterable[Command],
    runs: int,
    scratch: str,
    tell: Tell,
) -> dict[Command, Figure]:
    distinct = list(dict.fromkeys(commands))
    found: dict[Command, list[Run]] = {command: [] for command in distinct}
    for turn in range(runs + 1):
        for command in distinct:
            if turn == 0 and command.slow:
                continue
            output = os.path.join(scratch, f"{turn}-{distinct.index(command)}.zip")
            run = once(command, output)
            counted = f"{turn} of {runs}" if turn else "warm-up"
            tell(f"{command.label}, {counted}: {run.seconds:.3f} s, {run.memory / 1e6:.0f} MB")
            if turn:
                found[command].append(run)
    return {command: Figure(command.label, tuple(all_)) for command, all_ in found.items()}


def _once(command: Command, output: str) -> Run:
    with _started(command, output) as (process, began):
        return _finish(process, began, command, output)


def _once_watched(command: Command, output: str) -> Run:
    with _started(command, output) as (process, began):
        peak = 0
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, memory.of_tree(process.pid))
            time.sleep(_SAMPLE_SECONDS)
        run = _finish(process, began, command, output)
    return dataclasses.replace(run, memory=max(run.memory, peak))


@contextlib.contextmanager
def _started(command: Command, output: str) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """A process of the command and when it began; neither it nor its output outlives the block."""
    arguments = [output if each == OUTPUT else each for each in command.arguments]
    began = time.perf_counter()
    process = subprocess.Popen(arguments, cwd=command.directory, stdout=subprocess.DEVNULL)
    try:
        yield process, began
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(output)


def _finish(process: subprocess.Popen[bytes], began: float, command: Command, output: str) -> Run:
    """Waits for the end.

    What `ru_maxrss` tells is never less than this process had when it started the other, as that
    begins as a copy; so this one stays small, and the peak of a very small program is not exact.
    """
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(
            f"{command.label} failed with status {process.returncode}: "
            + " ".join(process.args if isinstance(process.args, list) else ())
        )
    size = os.path.getsize(output) if OUTPUT in command.arguments else 0
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _MAXRSS_UNIT, size)
