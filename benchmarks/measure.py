"""Runs commands in turn and measures each as a whole process.

A machine's speed drifts: other work comes and goes, the CPU grows hot. So commands that are
compared are run A B C A B C ..., never A A A B B B, and compared by the medians of their runs.
Time is the wall's, from before the process is started until it has ended; CPU time and peak
memory are what the kernel tells of it when it is waited for (`wait4`).

Each run begins on a machine at rest: what earlier runs wrote is on the disk, and memory is at
hand. The latter counts on virtual machines whose host takes free memory back within seconds: who
then makes a large file, fast or slow, waits for the host, and runs vary threefold.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import click

from benchmarks import memory, workloads
from benchmarks.model import OUTPUT, STEPS, Command, Figure, Run, Tell

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
_SAMPLE_SECONDS = 0.02
_MEMORY = 1 << 30
"""Bytes that are to be at hand: those of most outputs, and some more."""

_TAKE_MEMORY = f"""
import mmap
if hasattr(mmap, "MAP_POPULATE"):
    mmap.mmap(-1, {_MEMORY}, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
"""

_TOLD = 2000
"""Bytes that are shown of what a command told when it failed: the last ones."""


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


def make(command: Command, output: str) -> None:
    """Runs a command once without measuring it; its output stays."""
    with _started(command, output) as started:
        _finish(started)


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
            counted = runs if command.at_most is None else min(runs, command.at_most)
            if turn > counted or (turn == 0 and command.slow):
                continue
            output = os.path.join(scratch, f"{turn}-{distinct.index(command)}.zip")
            run = once(command, output)
            which = f"{turn} of {counted}" if turn else "warm-up"
            tell(f"{command.label}, {which}: {run.seconds:.3f} s, {run.memory / 1e6:.0f} MB")
            if turn:
                found[command].append(run)
    return {command: Figure(command.label, tuple(all_)) for command, all_ in found.items()}


def _once(command: Command, output: str) -> Run:
    with _gone_after(output), _started(command, output) as started:
        return _finish(started)


def _once_watched(command: Command, output: str) -> Run:
    with _gone_after(output), _started(command, output) as started:
        peak, pid = 0, started.process.pid
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, memory.of_tree(pid))
            time.sleep(_SAMPLE_SECONDS)
        run = _finish(started)
    return dataclasses.replace(run, memory=max(run.memory, peak))


@contextlib.contextmanager
def _gone_after(path: str) -> Iterator[None]:
    try:
        yield
    finally:
        if os.path.isdir(path):
            shutil.rmtree(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


@dataclass(frozen=True, slots=True)
class _Started:
    """A process of a command.

    Attributes:
        began: when it was started.
        told: what it writes to standard error; a file, as a terminal would be drawn on.
        steps: where it tells the times of its own steps.
    """

    command: Command
    process: subprocess.Popen[bytes]
    began: float
    output: str
    told: BinaryIO
    steps: str


@contextlib.contextmanager
def _started(command: Command, output: str) -> Iterator[_Started]:
    """A process of the command; it does not outlive the block."""
    steps = output + ".steps"
    places = {OUTPUT: output, STEPS: steps}
    arguments = [places.get(each, each) for each in command.arguments]
    environment = {**os.environ, **dict(command.environment)}
    _rest(command.before)
    with tempfile.TemporaryFile() as told, _gone_after(steps):
        began = time.perf_counter()
        process = subprocess.Popen(
            arguments,
            cwd=command.directory,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=told,
        )
        try:
            yield _Started(command, process, began, output, told, steps)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()


def _rest(before: Callable[[], None] | None) -> None:
    os.sync()
    if before is not None:
        before()
    # In a process of its own, as what one has taken counts as its children's peak.
    subprocess.run([sys.executable, "-c", _TAKE_MEMORY], check=True)


def _finish(started: _Started) -> Run:
    """Waits for the end.

    What `ru_maxrss` tells is never less than this process had when it started the other, as that
    begins as a copy; so this one stays small, and the peak of a very small program is not exact.
    """
    command, process = started.command, started.process
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started.began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        started.told.seek(max(0, started.told.seek(0, os.SEEK_END) - _TOLD))
        raise click.ClickException(
            f"{command.label} failed with status {process.returncode}: "
            + " ".join(process.args if isinstance(process.args, list) else ())
            + "\n"
            + started.told.read().decode(errors="replace")
        )
    size = workloads.size(started.output) if OUTPUT in command.arguments else 0
    steps = {}
    if STEPS in command.arguments:
        with open(started.steps, encoding="utf-8") as file:
            steps = json.load(file)
    cpu = usage.ru_utime + usage.ru_stime
    return Run(seconds, cpu, usage.ru_maxrss * _MAXRSS_UNIT, size, steps)
