"""Paths that are put in, and what becomes of them."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from parazip import Member, Selection
from parazip.model import Changes
from parazip.sources.walk import find_members

DATE = 33 << 16

FILE = (stat.S_IFREG | 0o644) << 16


def make_paths(root: Path, *names: str, data: bytes = b"x") -> None:
    """Makes files and, where a name ends with a slash, folders."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def names_of(members: list[Member]) -> list[str]:
    return [member.name for member in members]


def scan_paths(*args: Any, **kwargs: Any) -> list[Member]:
    return list(find_members(*args, **kwargs))


def scan_names(root: Path, *paths: str, **selection: Any) -> list[str]:
    return names_of(scan_paths(paths, Selection(directory=root, **selection)))


def read_zip(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(path.read_bytes()))


POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX only")

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc and /sys are Linux's")

TEXT = b"".join(b"line %d of some text\n" % i for i in range(400_000))


def scan_file(path: Path, changes: Changes = "ctime") -> list[Member]:
    selection = Selection(directory=path.parent, changes=changes)
    return list(find_members([path.name], selection))


def append_blocks(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more" * 5000)


def refuse_listing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Lets folders of a name be found and not be listed. Modes would mean nothing to root."""
    listing = os.scandir

    def scandir(path: str) -> Any:
        if os.path.basename(path) == name:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
