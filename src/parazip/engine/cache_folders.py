"""The folders of the cache, if they are this user's and nobody else may write to them.

What is recalled ends up in our archives, so this is asked of what is open, each time: of the folder
of parts, of the one in it, opened from there, and of the part, opened from there again. What a name
leads to may be another thing a moment later. No link is followed below the cache's folder. Systems
without such calls, as Windows, ask by name.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from io import FileIO
from typing import NamedTuple

from parazip.errors import SourceError
from parazip.sources import files

CHOOSE_ANOTHER = "choose another folder with --cache-dir or PARAZIP_CACHE_DIR"
"""What to do about a folder that is not to be trusted."""

TEMPORARY = "tmp-"
"""How the name of a file begins that is not complete yet."""

BY_DESCRIPTOR = {os.open, os.mkdir, os.unlink, os.rename} <= os.supports_dir_fd and {
    os.scandir,
    os.utime,
} <= os.supports_fd
"""Whether the system looks into a folder that is open, whatever its name leads to by now."""

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER_ONLY = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_DIRECTORY", 0) | _NO_LINK


class UntrustedFolderError(SourceError):
    """A folder of the cache is not to be trusted."""


class UntrustedFileError(SourceError):
    """A part is not to be trusted."""


class CacheFolder(NamedTuple):
    """A folder that is to be trusted.

    Attributes:
        path: its name, for messages, and where there is no descriptor.
        descriptor: it itself, open; None where the system cannot do that.
    """

    path: str
    descriptor: int | None

    def at(self, name: str) -> str:
        """What functions of `os` are given for something in it, with `descriptor` as `dir_fd`."""
        return os.path.join(self.path, name) if self.descriptor is None else name

    def open_folder(self, name: str) -> AbstractContextManager[CacheFolder]:
        """A folder in it; see `open_folder`."""
        return open_folder(os.path.join(self.path, name), self)

    def open_file(self, name: str, flags: int) -> int:
        """The descriptor of a file in it.

        Raises:
            UntrustedFileError: it is not to be trusted.
            OSError: it cannot be opened.
        """
        path = self.at(name)
        info = os.lstat(path) if self.descriptor is None else None
        if info is not None and not stat.S_ISREG(info.st_mode):
            raise UntrustedFileError(f"it is {files.describe_kind(info.st_mode)}")
        try:
            flags |= files.READ_ONLY | _NO_LINK
            descriptor = os.open(path, flags, dir_fd=self.descriptor)
        except OSError as error:
            if error.errno in _NO_FILE:
                raise UntrustedFileError("it is a link, or no file at all") from error
            raise
        info = os.fstat(descriptor)
        is_file = stat.S_ISREG(info.st_mode)
        why = _explain_distrust(info) if is_file else f"is {files.describe_kind(info.st_mode)}"
        if why:
            os.close(descriptor)
            raise UntrustedFileError(f"it {why}")
        return descriptor

    def scan(self) -> list[os.DirEntry[str]]:
        """What is in it; nothing if that cannot be listed."""
        try:
            opened = self.path if self.descriptor is None else self.descriptor
            with os.scandir(opened) as entries:
                return list(entries)
        except OSError:
            return []

    @contextmanager
    def new_file(self) -> Iterator[tuple[FileIO, str]]:
        """A new file in it, and its name; it is gone if the block fails."""
        name = f"{TEMPORARY}{os.urandom(8).hex()}"

        def create(path: str, flags: int) -> int:
            return os.open(self.at(name), flags, 0o600, dir_fd=self.descriptor)

        try:
            with open(os.path.join(self.path, name), "xb", buffering=0, opener=create) as file:
                yield file, self.at(name)
        except BaseException:
            with suppress(OSError):
                os.unlink(self.at(name), dir_fd=self.descriptor)
            raise


_NO_FILE = (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.ENODEV)
"""What systems say of a link that is not to be followed, of a socket and of a missing device."""


@contextmanager
def open_folder(path: str, above: CacheFolder | None = None) -> Iterator[CacheFolder]:
    """A folder, open as long as the block lasts.

    Args:
        path: its name.
        above: the folder that it is in, if that is to be trusted itself.

    Raises:
        UntrustedFolderError: it is not to be trusted.
        OSError: it cannot be opened.
    """
    descriptor = None
    try:
        if BY_DESCRIPTOR:
            name = path if above is None else os.path.basename(path)
            above_it = None if above is None else above.descriptor
            descriptor = os.open(name, _FOLDER_ONLY, dir_fd=above_it)
            info = os.fstat(descriptor)
        else:
            info = os.lstat(path)
            if not stat.S_ISDIR(info.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as error:
        if error.errno in (errno.ENOTDIR, *_NO_FILE) and os.path.lexists(path):
            raise UntrustedFolderError(
                f"the cache is not used: {path} is not a folder; {CHOOSE_ANOTHER}"
            ) from error
        raise
    try:
        why = _explain_distrust(info)
        if why:
            raise UntrustedFolderError(
                f"the cache is not used: {path} {why}; if it is yours, make it yours alone with "
                f"chmod -R go-w, or {CHOOSE_ANOTHER}"
            )
        yield CacheFolder(path, descriptor)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _explain_distrust(info: os.stat_result) -> str:
    """Why something is not to be trusted, for people; empty if it is."""
    if not hasattr(os, "geteuid"):
        return ""
    if info.st_uid != os.geteuid():
        return f"belongs to another user ({info.st_uid}, and this is {os.geteuid()})"
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written to by others (mode {stat.S_IMODE(info.st_mode):o})"
    return ""
