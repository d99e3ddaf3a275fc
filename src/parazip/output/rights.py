"""What we may write, and which rights a new file takes over from the one that it replaces.

What certainly cannot be written is refused before there is anything to lose. The system is asked,
and believed only where it says no for sure: it may still refuse what it said could be done.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from contextlib import suppress
from io import FileIO

from parazip.errors import OutputError
from parazip.output.naming import OVERWRITE, remove_file

RIGHTS = 0o777
"""Mode bits that are handed on. Set-ID bits are not: they were given to other bytes, by others."""


def refuse_unwritable(target: str, old: os.stat_result | None, name: str) -> None:
    """Refuses what could not be written, as far as that is known without making a file.

    Args and errors are those of `temporary.make_temporary`.
    """
    if old is None or not can_overwrite(target):
        refuse_folder(target, name)
    if old is not None:
        refuse_irreplaceable(target, name)


def refuse_folder(path: str, name: str = "") -> None:
    """Refuses a path whose folder takes no new file, as far as that is known without making one.

    Args:
        path: of a file that is to be.
        name: what messages call it, if not that.

    Raises:
        OutputError: it takes none.
    """
    name = name or path
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(folder) and not _may_write(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"cannot write {name}: {folder} takes no new file; write elsewhere",
            member=name,
            errno=errno.EACCES,
        )


def refuse_special(path: str) -> None:
    """Refuses a pipe or device that we may not write to, as far as that is known without opening.

    Raises:
        PermissionError: we may not.
    """
    if not _may_write(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def can_overwrite(target: str) -> bool:
    """Whether the bytes of a file can be written as it stands there, or anew if there is none."""
    try:
        if os.path.lexists(target):
            os.close(os.open(target, OVERWRITE))
        else:
            FileIO(target, "xb").close()
            remove_file(target)
    except OSError:
        return False
    return True


def refuse_irreplaceable(target: str, name: str) -> None:
    """Refuses a file that cannot be overwritten if it certainly cannot be replaced either.

    As a rule a file that may not be written can be replaced: one that is read-only (EACCES), a
    program that runs (ETXTBSY). Not so one on a read-only file system, which begins at the file
    itself as its folder took another one (EROFS), and one that is immutable (EPERM). Windows
    replaces nothing that is read-only or in use.
    """
    if _may_write(target):
        return
    try:
        os.close(os.open(target, OVERWRITE))
    except OSError as error:
        is_certain = error.errno in (errno.EROFS, errno.EPERM) or os.name == "nt"
        if is_certain or _is_sticky(target) or _is_mount_point(target):
            hint = f"{target} cannot be replaced either; write elsewhere"
            raise OutputError.of(name, error, hint) from error


def _may_write(path: str, access: int = os.W_OK) -> bool:
    return os.access(path, access, effective_ids=os.access in os.supports_effective_ids)


def _is_sticky(target: str) -> bool:
    """Whether a folder lets only their owners, and its own, replace files."""
    if not hasattr(os, "geteuid"):
        return False
    with suppress(OSError):
        folder = os.stat(os.path.dirname(target))
        owners = (0, os.stat(target).st_uid, folder.st_uid)
        return bool(folder.st_mode & stat.S_ISVTX) and os.geteuid() not in owners
    return False


def _is_mount_point(path: str) -> bool:
    """Whether a file is mounted upon another, as containers do (proc(5), mountinfo)."""
    name = re.sub(rb"[ \t\n\\]", lambda found: b"\\%03o" % found[0][0], os.fsencode(path))
    with suppress(OSError), open("/proc/self/mountinfo", "rb") as lines:
        return any(line.split(b" ")[4] == name for line in lines)
    return False


def hand_on_rights(
    file: FileIO, allowed: int, target: str, old: os.stat_result | None, is_executable: bool
) -> None:
    """Gives a file the rights of the one that it replaces, and its group where that is allowed.

    A mode that is right already is not set: many systems refuse even that.

    Args:
        file: the new file.
        allowed: the rights that the umask leaves it.
        target: the path of the one that it replaces.
        old: what the system tells of that one; None if there is none that hands on rights.
        is_executable: whether all may execute the new one who may read it.
    """
    if not hasattr(os, "fchown"):
        return
    descriptor = file.fileno()
    new = os.fstat(descriptor)
    mode = allowed
    if old is not None:
        # What is another owner's may take rights away, and add none to what the umask leaves.
        mode = (mode if old.st_uid != new.st_uid else RIGHTS) & old.st_mode
        is_other_group = has_acl(target)
        if old.st_gid != new.st_gid:
            try:
                os.fchown(descriptor, -1, old.st_gid)
            except OSError:
                is_other_group = True
        if is_other_group:
            mode = _restrict_group(mode)
    if is_executable:
        mode |= (mode & 0o444) >> 2
    if mode != new.st_mode & RIGHTS:
        with suppress(OSError):
            os.fchmod(descriptor, mode)


def choose_first_mode(target: str, old: os.stat_result | None) -> int:
    """With which mode a file is made; the process's umask takes its share of it.

    Of another owner's file it is the final one: what they allow, as far as we would ourselves.
    """
    if old is None or not hasattr(os, "getegid"):
        return 0o666
    mode = old.st_mode & RIGHTS | 0o600
    if old.st_gid != _find_group(os.path.dirname(target)) or has_acl(target):
        mode = _restrict_group(mode)
    return mode


def _find_group(folder: str) -> int:
    """The group that a new file in a folder is of: ours, or the folder's (stat(2), BSD)."""
    info = os.stat(folder)
    inherits = info.st_mode & stat.S_ISGID or sys.platform != "linux"
    return info.st_gid if inherits else os.getegid()


def _restrict_group(mode: int) -> int:
    """A mode whose group, which is another one, may do what others may do, and no more."""
    return mode & (0o707 | (mode & 0o007) << 3)


def has_acl(path: str) -> bool:
    """Whether a file has an access control list: then its mode's middle is no group's (acl(5))."""
    if not hasattr(os, "getxattr"):
        return False
    with suppress(OSError):
        return bool(os.getxattr(path, "system.posix_acl_access"))
    return False
