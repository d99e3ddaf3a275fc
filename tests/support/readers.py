"""Other people's readers of zip archives, as far as they are installed here."""

from __future__ import annotations

import functools
import glob
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}
"""Names that are not ASCII come out as files only where the locale can express them."""

PYTHONS = ("python2.7", *(f"python3.{minor}" for minor in range(6, 15)))

_ASK_PYTHON = "import sys, zlib; print('%d.%d.%d' % sys.version_info[:3])"


class Reader(NamedTuple):
    """A program that reads archives.

    Attributes:
        name: what tests call it.
        command: how it is started.
        version: what it says of itself.
    """

    name: str
    command: str
    version: str


_PROGRAMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "unzip": (("unzip",), ("-v",)),
    "7z": (("7zz", "7z", "7za"), ("i",)),
    "bsdtar": (("bsdtar",), ("--version",)),
    "jar": (("jar",), ("--version",)),
}


def run_reader(
    command: Sequence[str | os.PathLike[str]],
    cwd: str | os.PathLike[str] | None = None,
    stdin: str | os.PathLike[str] = os.devnull,
) -> subprocess.CompletedProcess[str]:
    """Runs a reader to its end; what it says on both ways is one text."""
    with open(stdin, "rb") as given:
        return subprocess.run(
            command,
            cwd=cwd,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
            encoding="utf-8",
            errors="replace",
            umask=0o022,  # 7z heeds it, as root too
            check=False,
        )


@functools.cache
def programs() -> dict[str, Reader]:
    """unzip, 7z, bsdtar and jar, those that there are."""
    found = {}
    for name, (commands, ask) in _PROGRAMS.items():
        command = next(filter(None, map(shutil.which, commands)), None)
        if command is None:
            continue
        answer = run_reader([command, *ask])
        version = re.search(r"\d+(\.\d+)+", answer.stdout)
        if answer.returncode == 0 and version is not None:
            found[name] = Reader(name, command, version[0])
    return found


@functools.cache
def pythons() -> dict[str, Reader]:
    """Each CPython at hand by its name (`python3.12`), on the PATH or in pyenv's folder."""
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    there = sorted(glob.glob(os.path.join(root, "versions", "[23].*", "bin", "python")))
    commands = [sys.executable, *there, *filter(None, map(shutil.which, PYTHONS))]
    asked = [
        (
            command,
            subprocess.Popen(
                [command, "-c", _ASK_PYTHON],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
            ),
        )
        for command in dict.fromkeys(commands)
    ]
    found: dict[str, Reader] = {}
    for command, process in asked:
        version = process.communicate()[0].strip()
        name = "python" + version.rpartition(".")[0]
        if process.returncode == 0 and name in PYTHONS:
            found.setdefault(name, Reader(name, command, version))
    return {name: found[name] for name in PYTHONS if name in found}


def list_readers() -> str:
    """All readers in one line."""
    told = [f"{reader.name} {reader.version}" for reader in programs().values()]
    return ", ".join(["zipfile", *told, *pythons()])
