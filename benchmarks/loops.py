"""Edit, build, run: how long each way takes from a changed source to what the program says.

The program is one module that imports numpy; what it needs is the lock of workload tensorflow,
whose wheels are downloaded and installed. A way is measured from its beginning, with nothing made
but that, and then again and again after one line of the module has changed.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks import charts, compare, environments, measure
from benchmarks.copying_commands import CACHE, Place, place, wheels
from benchmarks.model import Command, Tell
from benchmarks.table import markdown

NOTE = (
    "Begin: the first build and the first run, with all wheels downloaded and installed. Build and "
    "run: after a line of the program has changed. Again: one more run. Seconds, medians."
)
"""What is to be known about the table."""

_KEPT = ("unzipped_pexes", "venvs", "user_code", "packed_wheels", "bootstrap_zips")
"""Folders of PEX_ROOT that builds and runs add to."""


class _Way(NamedTuple):
    """A way from a source to a running program.

    Attributes:
        label: how it is called in tables and charts.
        build: what is run after each change; empty for nothing.
        run: what starts the program.
        prepare: what is run once, in the beginning.
        environment: variables of all three.
        is_slow: whether a build takes a minute.
    """

    label: str
    build: tuple[str, ...]
    run: tuple[str, ...]
    prepare: tuple[tuple[str, ...], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    is_slow: bool = False


class Row(NamedTuple):
    """What was measured of one way: seconds."""

    label: str
    begin: float
    build: float
    run: float
    again: float

    def columns(self) -> dict[str, float]:
        """What is told of it."""
        return {
            "begin, s": self.begin,
            "build, s": self.build,
            "run, s": self.run,
            "build and run, s": self.build + self.run,
            "again, s": self.again,
        }


def measured(runs: int, tell: Tell) -> list[Row]:
    """Measures all ways, one after the other: each has what it made before, and no more.

    Args:
        runs: how many changes are counted; one of builds that take a minute.
        tell: is told of each run.
    """
    with compare.scratch() as scratch:
        at = place(scratch)
        return [_measure_way(at, way, runs, tell) for way in _list_ways(at, tell)]


def _list_ways(at: Place, tell: Tell) -> list[_Way]:
    source, made, cache = at.kept("src"), at.kept("app.pex"), at.kept("parts")
    _write_program(source)
    stock, fast = (sys.executable, "-m", "pex"), (sys.executable, "-m", "parazip", "pex")
    inputs = ("--python", at.python, "--lock", at.lock)
    program = (*inputs, "--sources-directory", source, "-m", "app")
    # A PEX with --sh-boot looks for its interpreter on PATH.
    path = os.pathsep.join((os.path.dirname(at.python), os.environ["PATH"]))
    environment = (("PEX_ROOT", at.pex_root), (CACHE, cache), ("PATH", path))

    def pex(command: tuple[str, ...], *options: str, is_slow: bool = False) -> _Way:
        label = " ".join((*command[2:], *options))
        # A PEX finds its interpreter by its first line, which need not be the one of the lock.
        run: tuple[str, ...] = (at.python, made)
        if "--sh-boot" in options:
            run = (made,)
        elif "packed" in options:
            run = (at.python, os.path.join(made, "__main__.py"))
        build = (*command, *program, *options, "-o", made)
        return _Way(label, build, run, environment=environment, is_slow=is_slow)

    dependencies = (*fast, *inputs, "--venv", "--sh-boot", "-o", made)
    beside = (*environment, ("PEX_EXTRA_SYS_PATH", source))
    return [
        pex(stock, is_slow=True),
        _Way("pex without -o", (), (*stock, *program), environment=environment),
        pex(fast),
        pex(fast, "--sh-boot"),
        pex(fast, "--sh-boot", "--seed"),
        pex(fast, "--layout", "packed"),
        pex(fast, "--venv", "--sh-boot"),
        _Way(
            "a PEX of the dependencies, --venv --sh-boot",
            (),
            (made, "-m", "app"),
            (dependencies,),
            beside,
        ),
        _find_uv(at, source, tell),
    ]


def _find_uv(at: Place, source: str, tell: Tell) -> _Way:
    """A venv by uv, of the same wheels, which uv has seen before."""
    bin_folder = os.path.dirname(environments.find_python("uv", ("uv",), tell))
    uv, folder = os.path.join(bin_folder, "uv"), at.kept("venv")
    python = os.path.join(folder, "bin", "python")
    make = (uv, "venv", "-q", "--clear", "--python", at.python, folder)
    found = wheels(at).values()
    install = (uv, "pip", "install", "-q", "--offline", "--no-deps", "--python", python, *found)
    environment = (("UV_CACHE_DIR", at.kept("uv-cache")), ("PYTHONPATH", source))
    for command in (make, install):  # as pex has the wheels installed, too
        subprocess.run(command, env={**os.environ, **dict(environment)}, check=True)
    return _Way("a venv by uv", (), (python, "-m", "app"), (make, install), environment)


def _write_program(source: str) -> None:
    os.makedirs(os.path.join(source, "app"))
    with open(os.path.join(source, "app", "__main__.py"), "w", encoding="utf-8") as file:
        file.write("import numpy\nprint(numpy.__version__)\n")


def _measure_way(at: Place, way: _Way, runs: int, tell: Tell) -> Row:
    before = {folder: _list(at, folder) for folder in _KEPT}
    try:
        return _measure(at, way, 1 if way.is_slow else runs, tell)
    finally:
        for folder, names in before.items():
            for name in _list(at, folder) - names:
                shutil.rmtree(name, ignore_errors=True)
        for name in ("parts", "app.pex", "venv"):
            path = at.kept(name)
            shutil.rmtree(path) if os.path.isdir(path) else _remove(path)


def _list(at: Place, folder: str) -> set[str]:
    return {*glob.glob(os.path.join(glob.escape(at.pex_root), folder, "*", "*"))}


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)


def _measure(at: Place, way: _Way, runs: int, tell: Tell) -> Row:
    def command(
        step: str, arguments: tuple[str, ...], before: Callable[[], None] | None = None
    ) -> Command:
        label = f"{way.label}, {step}"
        return Command(label, arguments, slow=True, environment=way.environment, before=before)

    def edit() -> None:
        with open(at.kept("src/app/__main__.py"), "a", encoding="utf-8") as file:
            file.write("# one more line\n")

    def median(commands: list[Command], runs: int) -> dict[Command, float]:
        found = measure.in_turn(commands, runs, at.scratch, tell)
        return {command: figure.seconds for command, figure in found.items()}

    first: list[tuple[str, ...]] = [*way.prepare, *([way.build] if way.build else []), way.run]
    begin = sum([*median([command("to begin", each) for each in first], 1).values()])
    build = [command("build", way.build, edit)] if way.build else []
    run = command("run", way.run, None if way.build else edit)
    again = command("again", way.run)
    found = median([*build, run, again], runs)
    spent = sum([found[each] for each in build])
    return Row(way.label, begin, spent, found[run], found[again])


def table(rows: Sequence[Row]) -> str:
    """All that was measured as one Markdown table."""
    cells = [
        (row.label, *(charts.show_number(each) for each in row.columns().values())) for row in rows
    ]
    return markdown(("how", *rows[0].columns()), cells)
