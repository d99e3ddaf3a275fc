"""The folder that members are extracted to: what is made is made in it, whatever names lead to.

Below it no link is followed, neither one of the archive's nor one that somebody else puts there
meanwhile: folders are opened one from the other, and each must be a folder itself. Systems without
such calls, as Windows, look at each folder by its name, once.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Self

from parazip.errors import OutputError
from parazip.output import syncing

BY_DESCRIPTOR = {os.open, os.mkdir, os.unlink, os.rename, os.stat, os.symlink} <= os.supports_dir_fd
"""Whether the system finds a name in a folder that is open, whatever that is called by now."""

_FOLDER = (
    os.O_RDONLY
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_MOST_OPEN = 8
"""Folders that are open at once for each who makes files: a process may have 256 files open."""


def _open_folder(path: str, above: int | None, flags: int = _FOLDER) -> int:
    """Opens a folder; one that may not be read, but searched, so that what is in it is reached."""
    try:
        return os.open(path, flags, dir_fd=above)
    except PermissionError:
        return os.open(path, flags | getattr(os, "O_PATH", 0), dir_fd=above)


class TargetFolder:
    """A folder that is there, and those below it.

    Args:
        path: where it is; links on the way there are followed, as they are the caller's own.
        by_name: whether all is reached by whole paths, even where the system can do better: who
            watches what is opened sees them then.
    """

    def __init__(self, path: str, by_name: bool = False) -> None:
        self._path = path
        self._by_name = by_name or not BY_DESCRIPTOR
        self._checked: set[str] = set()
        self._opened: dict[str, int] = {}
        follows = _FOLDER & ~getattr(os, "O_NOFOLLOW", 0)
        self._root = -1 if self._by_name else _open_folder(path, None, follows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close_some()
        if not self._by_name:
            os.close(self._root)

    def close_some(self) -> None:
        """Closes all that need not be open, as the process may have no more files open."""
        while self._opened:
            _, descriptor = self._opened.popitem()
            os.close(descriptor)

    def enter(self, folder: str) -> tuple[int | None, str]:
        """How to reach what is in a folder below: the functions of `os` take both.

        Args:
            folder: its path from here, with `/` between steps; "" is the target itself.

        Returns:
            What is given as `dir_fd`, which counts until the next call, and what stands in front
            of a name.

        Raises:
            OSError: it is no folder, or a link to one.
        """
        if self._by_name:
            self._check(folder)
            return None, os.path.join(self._path, *folder.split("/"), "")
        descriptor = self._opened.get(folder) if folder else self._root
        if descriptor is None:
            try:
                descriptor = self._open(folder)
            except OSError as error:
                if error.errno != errno.EMFILE or not self._opened:
                    raise
                self.close_some()
                descriptor = self._open(folder)
        return descriptor, ""

    def _open(self, folder: str) -> int:
        opened = self._opened
        steps = folder.split("/")
        known = next(
            (count for count in range(len(steps) - 1, 0, -1) if "/".join(steps[:count]) in opened),
            0,
        )
        above = opened["/".join(steps[:known])] if known else self._root
        for count in range(known, len(steps)):
            above = _open_folder(steps[count], above)
            if len(opened) == _MOST_OPEN:
                os.close(opened.pop(next(iter(opened))))
            opened["/".join(steps[: count + 1])] = above
        return above

    def _check(self, folder: str) -> None:
        steps = folder.split("/") if folder else []
        for count in range(1, len(steps) + 1):
            below = "/".join(steps[:count])
            if below not in self._checked:
                path = os.path.join(self._path, *steps[:count])
                if not stat.S_ISDIR(os.lstat(path).st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
                self._checked.add(below)

    def make(self, folder: str) -> bool:
        """Makes a folder below, in one that is there; whether it was not there.

        Raises:
            OSError: it cannot be made, or something else stands there, such as a link.
        """
        above, _, name = folder.rpartition("/")
        at, front = self.enter(above)
        try:
            os.mkdir(front + name, dir_fd=at)
        except FileExistsError:
            self.enter(folder)
            return False
        return True

    def find(self, path: str) -> os.stat_result | None:
        """What stands at a path below, itself if it is a link; None if nothing does.

        Raises:
            OSError: it cannot be looked at, or what should be a folder on the way is none.
        """
        above, _, name = path.rpartition("/")
        try:
            at, front = self.enter(above)
            return os.stat(front + name, dir_fd=at, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def remove(self, path: str) -> None:
        """Takes back a file or link that was made.

        Raises:
            OSError: it cannot be removed.
        """
        above, _, name = path.rpartition("/")
        at, front = self.enter(above)
        os.unlink(front + name, dir_fd=at)

    def link(self, path: str, target: str, unfinished: str = "") -> None:
        """Makes a symbolic link.

        Args:
            path: where.
            target: where it leads.
            unfinished: a name that it has until it replaces what stands there; empty if nothing is
                to be replaced.

        Raises:
            OSError: it cannot be made, or something stands there that is not to be replaced.
        """
        above, _, name = path.rpartition("/")
        at, front = self.enter(above)
        os.symlink(target, front + (unfinished or name), dir_fd=at)
        if unfinished:
            os.replace(front + unfinished, front + name, src_dir_fd=at, dst_dir_fd=at)

    def stat(self, folder: str) -> os.stat_result:
        """What a folder below is."""
        at, front = self.enter(folder)
        return os.stat(at if at is not None else front)

    def sync(self, folder: str) -> None:
        """Returns when the names in a folder below are on the disk, where the system can tell.

        Raises:
            OutputError: they cannot be written. All has been made.
        """
        at, _ = self.enter(folder)
        if at is not None:
            try:
                syncing.sync(at)
            except OSError as error:
                if error.errno != errno.EBADF:  # one that may not be read is open to be searched
                    path = os.path.join(self._path, folder)
                    hint = "all is extracted, but a loss of power may lose it; extract it again"
                    raise OutputError.of(path, error, hint) from error

    def finish(self, folder: str, mode: int | None, when: int) -> None:
        """Gives a folder below its permissions, if any, and its modification time.

        Raises:
            OSError: it cannot be changed.
        """
        at, front = self.enter(folder)
        found = at if at is not None else front
        if mode is not None:
            os.chmod(found, mode)
        os.utime(found, ns=(when, when))
