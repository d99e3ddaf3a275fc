"""Archives that are changed."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from parazip import Progress
from support.command import COMMAND, Done
from support.paths import plant_files
from support.patience import HUNG

TEXT = b"".join(b"line %d of a text that shrinks\n" % i for i in range(3000))

MOMENT = (2021, 3, 4, 5, 6, 8)

SECONDS = time.mktime((*MOMENT, 0, 0, -1))

NOTHING = {"added": 0, "changed": 0, "deleted": 0}


def run_change(*args: str | Path, cwd: Path, stdin: bytes = b"", **popen: Any) -> Done:
    done = subprocess.run(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        input=stdin,
        env={**os.environ, "SOURCE_DATE_EPOCH": ""} | popen.pop("env", {}),
        capture_output=True,
        timeout=HUNG,
        check=False,
        **popen,
    )
    assert done.stdout == b"" or "--help" in args
    return Done(done.returncode, b"", (done.stdout + done.stderr).decode())


def plant_dated_files(folder: Path, files: Mapping[str, bytes], seconds: float = SECONDS) -> Path:
    """Files, and folders where names end with a slash, all of one date."""
    plant_files(folder, files)
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names, "."):
            os.utime(os.path.join(place, name), (seconds, seconds))
    return folder


def identify_file(path: Path) -> tuple[int, int, bytes]:
    info = path.stat()
    return info.st_ino, info.st_mtime_ns, path.read_bytes()


TREE = {"d/a": TEXT, "d/b": b"b" * 100, "d/c": b"", "d/sub/x": TEXT[:5000], "d/sub/y": b"y"}

IN_TREE = ["d/", "d/a", "d/b", "d/c", "d/sub/", "d/sub/x", "d/sub/y"]


def edit_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (SECONDS + 100, SECONDS + 100))


def when_written(change: Callable[[], object], calls: int = 0) -> Callable[[Progress], None]:
    """A sink that calls `change` once, when something has been written; `calls` times more."""
    due: list[Callable[[], object]] = [change, *[lambda: None] * calls]

    def sink(progress: Progress) -> None:
        if due:
            due.pop()()

    return sink


PROGRAMS = {"unzip": ["-t"], "7z": ["t"], "bsdtar": ["-tvf"], "jar": ["tf"]}
