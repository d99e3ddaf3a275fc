"""A FUSE file system that hands all on to a folder, but for what it is told to refuse.

    python refusing_files.py FOLDER MOUNT_POINT TOLD

The file TOLD holds `[operations, errno]` as JSON and is read at each operation. Besides FUSE's own
there are "backwards" (a write before the end of the last one) and "open O_TRUNC". Two more are what
it does not know: "fractions" of seconds in times, and "case", as names are told in capitals then.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from typing import Any

import fuse

_NAMES = ("atime", "ctime", "mtime", "mode", "uid", "gid", "nlink", "size", "blocks")

_INFO = [f"st_{name}" for name in _NAMES]


class RefusingFiles(fuse.Operations):  # type: ignore[misc] # fusepy has no types
    def __init__(self, folder: str, told: str) -> None:
        self._folder = folder
        self._told = told
        self._ends: dict[int, int] = {}

    def __call__(self, operation: str, path: str, *arguments: Any) -> Any:
        self._check(operation)
        if not hasattr(self, operation):
            raise fuse.FuseOSError(errno.ENOSYS)
        return getattr(self, operation)(self._place(path), *arguments)

    def _read_told(self) -> tuple[list[str], int]:
        with open(self._told, encoding="utf-8") as file:
            refused, number = json.loads(file.read() or "[[], 0]")
        return refused, number

    def _check(self, operation: str) -> None:
        refused, number = self._read_told()
        if operation in refused:
            raise fuse.FuseOSError(number)

    def _place(self, path: str) -> str:
        return self._folder + (path.lower() if "case" in self._read_told()[0] else path)

    def access(self, path: str, mode: int) -> int:
        return 0

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(path, mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.chown(path, uid, gid)

    def create(self, path: str, mode: int, info: Any = None) -> int:
        return self._opened(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode))

    def flush(self, path: str, file: int) -> None:
        pass

    def fsync(self, path: str, only_data: int, file: int) -> None:
        os.fsync(file)

    def getattr(self, path: str, file: int | None = None) -> dict[str, Any]:
        info = os.lstat(path)
        told = {name: getattr(info, name) for name in _INFO}
        if "fractions" in self._read_told()[0]:
            told |= {name: int(told[name]) for name in _INFO if name.endswith("time")}
        return told

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        return os.getxattr(path, name)

    def link(self, target: str, source: str) -> None:
        os.link(self._place(source), target)

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(path, mode)

    def open(self, path: str, flags: int) -> int:
        if flags & os.O_TRUNC:
            self._check("open O_TRUNC")
        return self._opened(os.open(path, flags))

    def read(self, path: str, size: int, offset: int, file: int) -> bytes:
        return os.pread(file, size, offset)

    def readdir(self, path: str, file: int) -> list[str]:
        names = os.listdir(path)
        if "case" in self._read_told()[0]:
            names = [name.upper() for name in names]
        return [".", "..", *names]

    def release(self, path: str, file: int) -> None:
        self._ends.pop(file, None)
        os.close(file)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, self._place(target))

    def rmdir(self, path: str) -> None:
        os.rmdir(path)

    def statfs(self, path: str) -> dict[str, int]:
        info = os.statvfs(path)
        names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_files", "f_ffree", "f_frsize")
        return {name: getattr(info, name) for name in names}

    def truncate(self, path: str, length: int, file: int | None = None) -> None:
        os.truncate(path, length)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def utimens(self, path: str, times: tuple[float, float] | None = None) -> None:
        os.utime(path, times)

    def write(self, path: str, data: bytes, offset: int, file: int) -> int:
        if offset < self._ends[file]:
            self._check("backwards")
        self._ends[file] = offset + len(data)
        return os.pwrite(file, data, offset)

    def _opened(self, file: int) -> int:
        self._ends[file] = 0
        return file


if __name__ == "__main__":
    folder, mount_point, told = sys.argv[1:]
    fuse.FUSE(
        RefusingFiles(folder, told),
        mount_point,
        foreground=True,
        nothreads=True,
        attr_timeout=0,
        entry_timeout=0,
    )
