"""The folders of the cache, if they are this user's and nobody else may write to them.

What is recalled ends up in our archives, so this is asked of what is open, each time: of the folder
of parts, of the one in it, opened from there, and of the part, opened from there again. What a name
leads to may be another thing a moment later.

On the way to the cache's folder, whose folders may be anyone's, a link counts if it is this user's
or root's. Another user's might lead to a folder of ours that holds what they made, such as a clone
or an unpacked archive of theirs. Below the cache's folder no link is followed.

Systems without such calls, as Windows, ask by name.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from typing import NamedTuple

from parazip.errors import SourceError
from parazip.sources import files, trust

CHOOSE_ANOTHER = "choose another folder with --cache-dir or PARAZIP_CACHE_DIR"
"""What to do about a folder that is not to be trusted."""

TEMPORARY = "tmp-"
"""How the name of a file begins that is not complete yet."""

BY_DESCRIPTOR = {os.open, os.mkdir, os.rmdir, os.stat, os.unlink, os.rename} <= (
    os.supports_dir_fd
) and {os.scandir, os.utime} <= os.supports_fd
"""Whether the system looks into a folder that is open, whatever its name leads to by now."""

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER_ONLY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NO_LINK

_PLACE_ONLY = getattr(os, "O_PATH", 0)
"""How a folder is opened that need not be listed, or a link itself; 0 where the system cannot."""


class UntrustedFolderError(SourceError):
    """A folder of the cache is not to be trusted."""


class UntrustedFileError(SourceError):
    """A part is not to be trusted."""


class CacheFolder(NamedTuple):
    """A folder that is open.

    Attributes:
        path: its name, for messages, and where there is no descriptor.
        descriptor: it itself, open; None where the system cannot do that.
    """

    path: str
    descriptor: int | None

    def at(self, name: str) -> str:
        """What functions of `os` are given for something in it, with `descriptor` as `dir_fd`."""
        return os.path.join(self.path, name) if self.descriptor is None else name

    @contextmanager
    def open_folder(self, name: str) -> Iterator[CacheFolder]:
        """A folder in it, open as long as the block lasts.

        Raises:
            UntrustedFolderError: it is not to be trusted.
            OSError: it cannot be opened.
        """
        with self.open_any_folder(name) as (folder, info):
            why = _explain_distrust(info)
            if why:
                raise UntrustedFolderError(
                    f"the cache is not used: {folder.path} {why}; if it is yours, remove it, as "
                    f"others may have put something there, or {CHOOSE_ANOTHER}"
                )
            yield folder

    @contextmanager
    def open_any_folder(self, name: str) -> Iterator[tuple[CacheFolder, os.stat_result]]:
        """A folder in it that need not be trusted, and what the system tells of it.

        Raises:
            UntrustedFolderError: it is no folder.
            OSError: it cannot be opened.
        """
        path = os.path.join(self.path, name)
        try:
            descriptor, info = self._open(name)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, *_NO_FILE) and self.holds(name):
                raise UntrustedFolderError(
                    f"the cache is not used: {path} is not a folder; {CHOOSE_ANOTHER}"
                ) from error
            raise
        try:
            yield CacheFolder(path, descriptor), info
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _open(self, name: str) -> tuple[int | None, os.stat_result]:
        if BY_DESCRIPTOR:
            descriptor = os.open(self.at(name), _FOLDER_ONLY, dir_fd=self.descriptor)
            return descriptor, os.fstat(descriptor)
        info = os.lstat(self.at(name))
        if not stat.S_ISDIR(info.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return None, info

    def make_folder(self, name: str) -> None:
        """Makes a folder in it for this user alone, if nothing has that name.

        Raises:
            OSError: it cannot be made.
        """
        with suppress(FileExistsError):
            os.mkdir(self.at(name), 0o700, dir_fd=self.descriptor)

    def make_file(self, name: str, data: bytes) -> None:
        """Makes a short file in it for this user alone, if nothing has that name.

        Raises:
            OSError: it cannot be made.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(self.at(name), flags, 0o600, dir_fd=self.descriptor)
        except FileExistsError:
            return
        with FileIO(descriptor, "wb") as file:
            file.write(data)

    def remove(self, name: str) -> None:
        """Removes what has a name in it: a file, a link itself, a folder with all it holds.

        Raises:
            OSError: it cannot be removed. It may not be there.
        """
        try:
            os.unlink(self.at(name), dir_fd=self.descriptor)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.rmtree(self.at(name), ignore_errors=True, dir_fd=self.descriptor)
            if self.holds(name):
                raise

    def holds(self, name: str) -> bool:
        """Whether something has a name in it, be it a link to nowhere."""
        try:
            os.stat(self.at(name), dir_fd=self.descriptor, follow_symlinks=False)
        except OSError:
            return False
        return True

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
def follow_way(path: str) -> Iterator[CacheFolder]:
    """The folder that an absolute path leads to, open as long as the block lasts.

    It may be anyone's, and so may all folders above it: what counts is what is in it. Each is
    opened from the one above, so nobody puts another user's link there meanwhile.

    Raises:
        UntrustedFolderError: another user's link is on the way.
        OSError: it cannot be opened.
    """
    if not hasattr(os, "geteuid"):
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        yield CacheFolder(path, None)
        return
    links = 0
    here = _open_root()
    steps = path.split(os.sep)[::-1]
    try:
        while steps:
            step = steps.pop()
            if not step:
                continue
            below = _take_step(here, step)
            if isinstance(below, str):
                links += 1
                if links > trust.MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                steps += below.split(os.sep)[::-1]
                if not os.path.isabs(below):
                    continue
                below = _open_root()
            here, above = below, here
            _close(above)
        yield here
    finally:
        _close(here)


def _open_root() -> CacheFolder:
    flags = _PLACE_ONLY | _FOLDER_ONLY
    return CacheFolder(os.sep, os.open(os.sep, flags) if BY_DESCRIPTOR and _PLACE_ONLY else None)


def _close(folder: CacheFolder) -> None:
    if folder.descriptor is not None:
        os.close(folder.descriptor)


def _take_step(here: CacheFolder, name: str) -> CacheFolder | str:
    """The folder of a name in another one, or where the link leads that stands there.

    Raises what `follow_way` raises.
    """
    path = os.path.join(here.path, name)
    if here.descriptor is None:
        info = os.lstat(path)
        if stat.S_ISDIR(info.st_mode):
            return CacheFolder(path, None)
        _check_link(path, info)
        return os.readlink(path)
    try:
        return CacheFolder(path, os.open(name, _PLACE_ONLY | _FOLDER_ONLY, dir_fd=here.descriptor))
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
    link = os.open(name, _PLACE_ONLY | _NO_LINK, dir_fd=here.descriptor)
    try:
        _check_link(path, os.fstat(link))
        return os.readlink("", dir_fd=link)
    finally:
        os.close(link)


def _check_link(path: str, info: os.stat_result) -> None:
    if not stat.S_ISLNK(info.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    # In a user namespace root has another number, that of the root folder's owner.
    if info.st_uid not in (trust.own_user(), 0, os.stat(os.sep).st_uid):
        raise UntrustedFolderError(
            f"the cache is not used: {path} is another user's link; {CHOOSE_ANOTHER}"
        )


def make_way(path: str) -> None:
    """Makes the folder of an absolute path for this user alone, and so those above it, if need be.

    Nothing is made where a link leads to nowhere.

    Raises what `follow_way` raises.
    """
    with suppress(FileNotFoundError), follow_way(path):
        return
    above, name = os.path.split(path)
    if name:
        make_way(above)
        with follow_way(above) as folder:
            folder.make_folder(name)


def _explain_distrust(info: os.stat_result) -> str:
    """Why something is not to be trusted, for people; empty if it is."""
    if not hasattr(os, "geteuid"):
        return ""
    if info.st_uid != os.geteuid():
        return f"belongs to another user ({info.st_uid}, and this is {os.geteuid()})"
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written to by others (mode {stat.S_IMODE(info.st_mode):o})"
    return ""
