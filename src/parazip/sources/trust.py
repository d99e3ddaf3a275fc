"""Which links are followed to a file that is to be written."""

from __future__ import annotations

import errno
import os
import stat

MOST_LINKS = 40
"""Links that are followed one after the other, as Linux has it."""


def resolve_trusted(path: str) -> str:
    """The absolute path that a path leads to, if it is a link and those behind it are followed.

    As Linux does by default (proc(5), protected_symlinks), on all systems: in a folder that all may
    write to and that is sticky (as /tmp is) only links count that are ours, or the folder's
    owner's. To read a link and go where it points would be a way around that.

    Raises:
        PermissionError: a link is somebody else's.
        OSError: a folder on the way cannot be looked at, or links lead in a circle.
    """
    for _ in range(MOST_LINKS):
        folder, name = os.path.split(path)
        try:
            info = os.lstat(path)
        except FileNotFoundError:
            info = None
        if info is None or not stat.S_ISLNK(info.st_mode):
            return os.path.join(os.path.realpath(folder), name)
        above = os.stat(folder or os.curdir)
        is_open_to_all = above.st_mode & _OPEN_TO_ALL == _OPEN_TO_ALL
        if is_open_to_all and info.st_uid not in (own_user(), above.st_uid):
            raise PermissionError(errno.EACCES, f"{path} is {_PLANTED}")
        path = os.path.join(folder, os.readlink(path))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def own_user() -> int:
    """The user that this process acts for; Windows, which knows folders of no such kind, has 0."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


_OPEN_TO_ALL = stat.S_ISVTX | stat.S_IWOTH
_PLANTED = "another user's link in a folder that everybody may write to"
