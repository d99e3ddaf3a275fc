"""A file system of a program, by fusepy: what is below a folder, told as no disk tells it.

    python strange_fs.py FOLDER PLACE KIND

KIND: "steady" as it is; "inode" with another inode at each look; "ctime" with the present moment as
change time; "unsized" without any size; "hanging" where reading never ends.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from typing import Any

from fuse import FUSE, Operations


class Strange(Operations):  # type: ignore[misc] # it has no types
    def __init__(self, folder: str, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        self._inodes = itertools.count(1000)

    def _path(self, path: str) -> str:
        return os.path.join(self._folder, path.lstrip("/"))

    def getattr(self, path: str, handle: Any = None) -> dict[str, Any]:
        info = os.lstat(self._path(path))
        names = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid", "st_mtime", "st_ctime")
        told = {name: getattr(info, name) for name in names}
        told["st_ino"] = next(self._inodes) if self._kind == "inode" else info.st_ino
        if self._kind == "ctime":
            told["st_ctime"] = time.time()
        if self._kind == "unsized" and not path.endswith("/") and os.path.isfile(self._path(path)):
            told["st_size"] = 0
        return told

    def readdir(self, path: str, handle: int) -> list[str]:
        return [".", "..", *os.listdir(self._path(path))]

    def open(self, path: str, flags: int) -> int:
        return os.open(self._path(path), os.O_RDONLY)

    def read(self, path: str, size: int, offset: int, handle: int) -> bytes:
        if self._kind == "hanging":
            os.write(1, b"asked\n")
            time.sleep(3600)
        return os.pread(handle, size, offset)

    def release(self, path: str, handle: int) -> None:
        os.close(handle)


if __name__ == "__main__":
    folder, place, kind = sys.argv[1:]
    options: dict[str, Any] = {"direct_io": True} if kind == "unsized" else {}
    FUSE(
        Strange(folder, kind),
        place,
        foreground=True,
        nothreads=False,
        use_ino=True,
        attr_timeout=0,
        entry_timeout=0,
        ac_attr_timeout=0,
        **options,
    )
