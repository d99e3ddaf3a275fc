"""What is done with a ZipFile, as a program: `zip_file_program.py CLASS TASK LEVEL SOURCE TARGET`.

CLASS is `zipfile` or `parazip`; TASK one of the functions below.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import zipfile
from typing import Any

_CHUNK = 1 << 20
_ARCHIVES = 2000
_MEMBERS = [(f"member{i}.txt", b"A line of a small file, the %dth.\n" % i * 20) for i in range(10)]


def tree(kind: Any, level: int, source: str, target: str) -> None:
    """Puts in all files of a folder."""
    with kind(target, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for parent, folders, names in os.walk(source):
            folders.sort(key=os.fsencode)
            for name in sorted(names, key=os.fsencode):
                path = os.path.join(parent, name)
                archive.write(path, os.path.relpath(path, source))


def chunks(kind: Any, level: int, source: str, target: str) -> None:
    """Writes the one file of a folder through `open(name, "w")`, 1 MiB at a time."""
    (name,) = os.listdir(source)
    with (
        kind(target, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive,
        open(os.path.join(source, name), "rb") as file,
        archive.open(name, "w") as member,
    ):
        while chunk := file.read(_CHUNK):
            member.write(chunk)


def extract(kind: Any, level: int, source: str, target: str) -> None:
    """Extracts all members."""
    with kind(source) as archive:
        archive.extractall(target)


def test(kind: Any, level: int, source: str, target: str) -> None:
    """Tests all members."""
    with kind(source) as archive:
        if archive.testzip() is not None:
            raise SystemExit("damaged")


def small(kind: Any, level: int, source: str, target: str) -> None:
    """Makes many archives of 10 tiny members, as files."""
    for _ in range(_ARCHIVES):
        with kind(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in _MEMBERS:
                archive.writestr(name, data)


def memory(kind: Any, level: int, source: str, target: str) -> None:
    """The same in memory."""
    for _ in range(_ARCHIVES):
        with kind(io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in _MEMBERS:
                archive.writestr(name, data)


def main() -> None:
    """Does what the command line tells."""
    module, task, level, source, target = sys.argv[1:]
    kind = importlib.import_module(module).ZipFile
    globals()[task](kind, int(level), source, target)


if __name__ == "__main__":
    main()
