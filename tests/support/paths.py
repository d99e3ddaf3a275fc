"""Files and folders as tests need them, and what happens to them."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path


def delete_file(path: Path) -> None:
    path.unlink()


def grow_file(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink_file(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def replace_file(path: Path) -> None:
    info = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(info.st_atime_ns, info.st_mtime_ns))
    other.replace(path)


def empty_file(path: Path) -> None:
    os.truncate(path, 0)


def plant_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A folder of files, and of folders where names end with a slash."""
    for name, data in files.items():
        path = folder / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(data)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def list_below(folder: Path) -> dict[str, bytes | None]:
    """All that stands below a folder; None for what is no file."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def make_noise(size: int) -> bytes:
    """Bytes that do not shrink, the same each time."""
    return random.Random(size).randbytes(size)
