"""The commands that are compared: each makes an archive of a workload's whole folder."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable
from typing import TypeAlias

import click

from benchmarks.model import OUTPUT, Command
from benchmarks.workloads import Workload

Maker: TypeAlias = Callable[[Workload, int], Command]

_HERE = os.path.dirname(os.path.abspath(__file__))
_LARGE = 100_000_000
"""Workloads of more bytes than this keep the rivals busy for up to minutes."""


def parazip(workload: Workload, level: int, memory: str | None = None) -> Command:
    """What is measured: parazip with a level, and with a memory budget or its own default."""
    budget = () if memory is None else ("--memory", memory)
    return Command(
        " ".join((f"parazip -l {level}", *budget)),
        (*module("create"), "-q", "-l", str(level), *budget, "-C", workload.folder, OUTPUT, "."),
    )


def version() -> Command:
    """The shortest that parazip can run: it starts and ends."""
    return Command("parazip --version", module("--version"))


def python() -> Command:
    """The same of Python."""
    return Command("python -c pass", (sys.executable, "-c", "pass"))


def zipfile(workload: Workload, level: int) -> Command:
    """The standard library."""
    script = os.path.join(_HERE, "zipfile_rival.py")
    arguments = (sys.executable, script, str(level), workload.folder, OUTPUT)
    return Command(f"zipfile {level}", arguments, slow=workload.size > _LARGE)


def info_zip(workload: Workload, level: int) -> Command:
    """Info-ZIP's zip; it has no option for a folder to read from, so it is run there."""
    arguments = ("zip", "-q", "-r", f"-{level}", OUTPUT, ".")
    return Command(f"zip -{level}", arguments, workload.folder, slow=workload.size > _LARGE)


def bound(workload: Workload) -> Command:
    """The least that compressing the workload's large files can take at level 1."""
    script = os.path.join(_HERE, "bound.py")
    return Command("bound", (sys.executable, script, workload.folder))


RIVALS: dict[str, Maker] = {"zipfile": zipfile, "zip": info_zip}
"""What parazip is compared with, by the names that the command line knows."""


def require(rivals: Iterable[str]) -> None:
    """Fails early where a rival is not installed, not after minutes of measuring."""
    if "zip" in rivals and shutil.which("zip") is None:
        raise click.ClickException("Info-ZIP's zip is not on PATH; install it or do without it")


def module(*arguments: str) -> tuple[str, ...]:
    """The command line of parazip with these arguments."""
    return (sys.executable, "-m", "parazip", *arguments)
