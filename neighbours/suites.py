"""Runs a suite in one of three ways, and tells what came of each test.

Each run begins in a fresh folder, which is always the same one, so that no run sees what an earlier
one left and paths in node ids do not differ.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from typing import NamedTuple

from neighbours import environment, outcomes
from neighbours.environment import Tell
from neighbours.packages import Neighbour

LIMIT = 600.0
"""Seconds that a suite may take."""

_ENDS = {0: "at an end", 1: "at an end"}
"""Exit codes of pytest when it came to its end: 1 says that tests failed, as their outcomes do."""

_LINGER = 5.0
"""Seconds that processes may take to end after the one that started them."""


class Way(NamedTuple):
    """A way to run a suite.

    Attributes:
        label: how it is called in tables.
        runner: what stands before the arguments of pytest; `{bin}` is the environment's folder.
        kind: the class that must be `zipfile.ZipFile` at the end.
    """

    label: str
    runner: tuple[str, ...]
    kind: str


STOCK = Way("stock", ("{bin}/python", "-m", "pytest"), "zipfile.ZipFile")
RUN = Way(
    "parazip run",
    ("{bin}/parazip", "run", "-m", "pytest"),
    "parazip.dropin.zip_file.ZipFile",
)
PATCH = Way(
    "patch()",
    ("{bin}/python", "-m", "pytest", "-p", "parazip_patched"),
    "parazip.dropin.zip_file.ZipFile",
)


def run(neighbour: Neighbour, way: Way, python: str, tell: Tell, *options: str) -> outcomes.Run:
    """Runs the suite of a package once; options are further ones of pytest."""
    place = os.path.join(environment.cache_folder(), "runs", neighbour.name)
    scratch = os.path.join(place, "scratch")
    shutil.rmtree(scratch, ignore_errors=True)
    os.makedirs(scratch)
    sources = environment.tests(neighbour, python, os.path.join(place, "sources"), tell)
    written = os.path.join(scratch, "outcomes.jsonl")
    command = [
        *(word.format(bin=os.path.dirname(python)) for word in way.runner),
        *_options(neighbour, written),
        *options,
        *shlex.split(neighbour.tests),
    ]
    log = os.path.join(place, f"{way.label}.log")
    variables = {**_variables(python, scratch), **dict(neighbour.variables)}
    started = time.monotonic()
    end = _wait(command, sources, variables, log)
    tell(f"{neighbour.name}, {way.label}: {end} after {time.monotonic() - started:.0f} s, {log}")
    if not os.path.exists(written):
        return outcomes.Run(end=end)
    with open(written, encoding="utf-8") as lines:
        return outcomes.read(lines, end)


def _options(neighbour: Neighbour, written: str) -> list[str]:
    return [
        *("--rootdir", ".", "-o", "addopts=", "-p", "no:cacheprovider", "-p", "parazip_outcomes"),
        *("--outcomes", written, "-o", "faulthandler_timeout=120", "--tb=short"),
        *(word for test, _ in neighbour.left_out for word in ("--deselect", test)),
    ]


def _variables(python: str, scratch: str) -> dict[str, str]:
    """The environment: nothing of the user's, so that it is the same for each run."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST", "PYTHON", "PARAZIP", "COVERAGE", "VIRTUAL_ENV", "MAKE"))
    }
    folders = {name: os.path.join(scratch, name.lower()) for name in ("HOME", "TMPDIR")}
    for folder in folders.values():
        os.makedirs(folder)
    path = os.pathsep.join((os.path.dirname(python), os.environ["PATH"]))
    return {**kept, **folders, "PATH": path, "PYTHONHASHSEED": "0"}


def _wait(command: list[str], folder: str, variables: dict[str, str], log: str) -> str:
    """Runs a command with all that it starts, and tells how it ended."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        code = process.wait(LIMIT)
        end = _ENDS.get(code, f"exit code {code}")
        if _linger(process.pid):
            end += ", and processes that stay"
    except subprocess.TimeoutExpired:
        end = f"not at an end after {LIMIT:.0f} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return end


def _linger(group: int) -> bool:
    """Whether processes of a group stay when its first one has ended."""
    until = time.monotonic() + _LINGER
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True
