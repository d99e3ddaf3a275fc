"""Archives and folders that become one."""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.archives import open_archive
from support.command import COMMAND, Done
from support.patience import HUNG

MOMENT = (2021, 3, 4, 5, 6, 8)

FILE, FOLDER, LINK = 0o100644 << 16, 0o040755 << 16 | 0x10, 0o120777 << 16

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED

TEXT = b"".join(b"line %d of a text that shrinks\n" % i for i in range(3000))


def run_merge(
    *args: str | Path, cwd: Path, env: Mapping[str, str] | None = None, **popen: Any
) -> Done:
    kept = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    done = subprocess.run(
        [*COMMAND, "merge", *map(str, args)],
        cwd=cwd,
        env={**kept, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=popen.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        timeout=HUNG,
        check=False,
        **popen,
    )
    return Done(done.returncode, done.stdout or b"", done.stderr.decode())


def attributes_in(archive: Path | bytes) -> dict[str, int]:
    with open_archive(archive) as read:
        return {info.filename: info.external_attr for info in read.infolist()}


def write_archive(
    path: Path,
    members: Mapping[str, bytes],
    method: int | Mapping[str, int] = DEFLATED,
    modes: Mapping[str, int] | None = None,
) -> Path:
    """An archive by zipfile; one method for all, or those of some, with deflate for the others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, MOMENT)
            default = FOLDER if info.is_dir() else FILE
            info.external_attr = (modes or {}).get(name, default)
            of_member = method if isinstance(method, int) else method.get(name, DEFLATED)
            info.compress_type = STORED if info.is_dir() else of_member
            archive.writestr(info, data)
    return path


A = {"a.txt": TEXT, "d/": b"", "d/x": b"of a"}

B = {"b.txt": TEXT[:500], "d/": b"", "d/y": b"of b"}

TREE = {"d/z": b"of tree", "empty/": b"", "t.txt": TEXT[:9000]}

IN_A, IN_B, IN_TREE = list(A), list(B), ["d/", "d/z", "empty/", "t.txt"]

BZIP2, LZMA = zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA
