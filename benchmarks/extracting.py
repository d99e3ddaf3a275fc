"""`parazip extract` and `verify` beside other programs that extract and test archives.

All of them extract the same archives, made by parazip at level 6, to a file system in memory where
there is one: making files costs some disks ten times what all else costs. `loop` is the least that
small files can cost in one process: it only makes, writes and closes such files.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import zipfile
from typing import NamedTuple

from benchmarks import commands, compare, environments, measure, workloads
from benchmarks.model import OUTPUT, Command, Figure, Tell
from benchmarks.table import markdown
from benchmarks.zip_file import folder_in_memory

_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "zip_file_program.py")
_PACKAGES = ("hayazip", "fbz")
_HAYAZIP = "import hayazip, sys; hayazip.extract_zip(*sys.argv[1:])"
_LOOP = """
import os, sys
count, target = int(sys.argv[1]), sys.argv[2]
os.mkdir(target)
for i in range(count // 100):
    os.mkdir(f"{target}/{i}")
os.chdir(target)
data = bytes(1024)
for i in range(count):
    file = os.open(f"{i // 100}/{i}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(file, data)
    os.close(file)
"""
MANY = 100_000
"""Files of 1 KB in the archive `many`."""


class Compared(NamedTuple):
    """What is done with one archive.

    Attributes:
        name: the archive's.
        commands: all that extract it, parazip first.
    """

    name: str
    commands: list[Command]


def measured(runs: int, names: tuple[str, ...], tests: bool, tell: Tell) -> dict[str, list[Figure]]:
    """Extracts or tests each archive by all programs, in turn; gives figures by archives' names."""
    python = "" if tests else environments.find_python("peers", _PACKAGES, tell)
    found: dict[str, list[Figure]] = {}
    with compare.scratch() as scratch, folder_in_memory(scratch) as memory:
        for name in names:
            archive = _make_archive(name, scratch, tell)
            workloads.read(archive)
            compared = _list_testers(archive) if tests else _list_commands(name, archive, python)
            figures = measure.in_turn(compared, runs, memory, tell)
            found[name] = [figures[command] for command in compared]
            os.unlink(archive)
    return found


def table(figures: dict[str, list[Figure]]) -> str:
    """All archives in one Markdown table; a ratio tells how many times as long as parazip."""
    rows = [
        (
            name,
            each.label,
            f"{each.seconds:.2f}",
            f"{each.seconds / found[0].seconds:.2f}",
            f"{each.cpu:.2f}",
            f"{each.memory / 1e6:.0f}",
        )
        for name, found in figures.items()
        for each in found
    ]
    header = ("archive", "by", "seconds", "x parazip", "CPU s", "peak MB")
    return markdown(header, rows, texts=2)


def _make_archive(name: str, scratch: str, tell: Tell) -> str:
    path = os.path.join(scratch, f"{name}.zip")
    tell(f"making the archive {name}")
    if name == "many":
        made = random.Random(3)
        words = [made.randbytes(4).hex() for _ in range(2000)]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for i in range(MANY):
                archive.writestr(f"{i // 100}/{i}", " ".join(made.choices(words, k=120))[:1024])
    elif name == "foreign stream":
        folder = workloads.find("one").folder
        (file,) = os.listdir(folder)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(os.path.join(folder, file), file)
    else:
        folder = workloads.find(name).folder
        create = commands.module("create", "-q", "-C", folder, path, ".")
        subprocess.run(create, check=True)
    return path


def _list_testers(archive: str) -> list[Command]:
    program = (sys.executable, _PROGRAM)
    made = [
        Command("parazip verify", commands.module("verify", "-q", archive)),
        Command("parazip.ZipFile", (*program, "parazip", "test", "6", archive, "")),
        Command("zipfile", (*program, "zipfile", "test", "6", archive, "")),
    ]
    others = {"unzip": ("unzip", "-tq", archive), "7z": ("7z", "t", "-bso0", "-bsp0", archive)}
    made += [Command(label, words) for label, words in others.items() if shutil.which(label)]
    return made


def _list_commands(name: str, archive: str, python: str) -> list[Command]:
    program = (sys.executable, _PROGRAM)
    fbz = os.path.join(os.path.dirname(python), "fbz")
    made = [
        Command("parazip extract", commands.module("extract", "-q", archive, "-d", OUTPUT)),
        Command("parazip.ZipFile", (*program, "parazip", "extract", "6", archive, OUTPUT)),
        Command("zipfile", (*program, "zipfile", "extract", "6", archive, OUTPUT)),
        Command("hayazip", (python, "-c", _HAYAZIP, archive, OUTPUT)),
    ]
    if name not in ("tensorflow", "foreign stream"):
        # fbz 0.1.13 refuses a stream of 832 MB, whatever its --memory-limit is.
        made.append(Command("fbz", (fbz, "-q", "d", "-x", archive, "-C", OUTPUT)))
    others = {
        "unzip": ("unzip", "-q", archive, "-d", OUTPUT),
        "7z": ("sh", "-c", '7z x -bso0 -bsp0 "$0" "-o$1"', archive, OUTPUT),
        "bsdtar": ("sh", "-c", 'mkdir "$1" && bsdtar -xf "$0" -C "$1"', archive, OUTPUT),
    }
    made += [Command(label, words) for label, words in others.items() if shutil.which(label)]
    if name == "many":
        made.append(Command("loop", (sys.executable, "-c", _LOOP, str(MANY), OUTPUT)))
    return made
