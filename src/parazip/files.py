"""Reads files that must still be what they were when they were found.

A source is read after it was found, and may have changed in between, or may change while it is
read. So the file is asked once more *after* its bytes were taken: if size, modification time,
inode and change time are still what they were when it was found, what was read is what stood there
all along. Anything else is an error (`SourceChangedError`), never a wrong archive. `File.changes`
says which of the four count: not every file system tells them steadily.

What is opened is judged by its descriptor, and without waiting: a name may lead to a pipe by now
that nobody writes to, or to a device.

The system need not know how many bytes a file has: /proc tells 0, /sys 4,096, and file systems of
programs (FUSE) what they like. If a file has more or fewer bytes than it is said to have, while
that is still said and its times are what they were, it is read to its end.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from typing import NoReturn, TypeAlias

from parazip.codecs import checksums
from parazip.errors import BadArchiveError, FileError, SourceChangedError, SourceError
from parazip.model import Changes, File

if sys.platform != "win32":
    import fcntl

READ_ONLY = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_NONBLOCK", 0)
)
"""How a file is opened that may turn out to be none. O_NONBLOCK means nothing for regular files but
for some of /proc, which would wait for messages: these are an error instead."""

_CHUNK = 256 << 10
_LARGE_CHUNK = 4 << 20
"""After each call a thread waits for the GIL, so one that works beside others makes few calls."""

_LITTLE = 64 << 10

MOST_UNKNOWN = 1 << 20
"""So many bytes more than the system tells are taken into memory at once."""

HAS_CTIME = os.name == "posix"
"""Whether `st_ctime` tells of changes; on Windows it tells when the file was made."""

Opener: TypeAlias = Callable[[str, int], int]
"""What opens a path with flags of `os.open`, and gives a descriptor."""


def resolve_trusted(path: str) -> str:
    """The absolute path that a path leads to, if it is a link and those behind it are followed.

    As Linux does by default (proc(5), protected_symlinks), on all systems: in a folder that all may
    write to and that is sticky (as /tmp is) only links count that are ours, or the folder's
    owner's. To read a link and go where it points would be a way around that.

    Raises:
        PermissionError: a link is somebody else's.
        OSError: a folder on the way cannot be looked at, or links lead in a circle.
    """
    for _ in range(_MOST_LINKS):
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


_MOST_LINKS = 40
"""As Linux has it."""

_OPEN_TO_ALL = stat.S_ISVTX | stat.S_IWOTH
_PLANTED = "another user's link in a folder that everybody may write to"


class UnsizedError(SourceError):
    """A file has so many bytes more than the system tells that it is not to be read at once."""


def describe_file(path: str, info: os.stat_result, changes: Changes = "ctime") -> File:
    """A file as `os.stat` tells of it; see `File`."""
    ctime_ns = info.st_ctime_ns if HAS_CTIME else 0
    return File(path, info.st_size, info.st_mtime_ns, info.st_ino, ctime_ns, changes)


def open_regular(path: str, flags: int = READ_ONLY) -> int:
    """Opens a file for reading, and nothing else that may stand there; gives its descriptor.

    Raises:
        SourceError: it is no regular file.
        OSError: it cannot be opened.
    """
    descriptor = _open(path, flags | READ_ONLY)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _no_file(path, mode)
    return descriptor


def _open(path: str, flags: int = READ_ONLY) -> int:
    try:
        return os.open(path, flags)
    except BlockingIOError:  # somebody holds a lease on a file, and is asked now to give it back
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise
        return os.open(path, flags & ~READ_ONLY | READ_ONLY & ~os.O_NONBLOCK)


def read_file(file: File) -> bytes:
    """All bytes of a file. One byte more is asked for, so that a file that has more is noticed.

    Its kind is asked after it was read, with all else that is asked then: one call less for each
    file. A pipe that has taken its place is not waited for, and gives up a few bytes at most.

    Raises:
        SourceError: the file cannot be read.
        SourceChangedError: it is not what it was when it was found.
        UnsizedError: it has many more bytes than the system tells.
    """
    path, size = file.path, file.size
    try:
        descriptor = _open(path)
        try:
            data = os.read(descriptor, size + 1)
            while len(data) < size and (more := os.read(descriptor, size + 1 - len(data))):
                data += more  # network file systems may give less at a time
            if len(data) > size:
                data = _read_on(descriptor, data, size + MOST_UNKNOWN)
            info = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unreadable(path, error) from error
    _check(file, info, len(data))
    if len(data) > size + MOST_UNKNOWN:
        raise UnsizedError(
            f"cannot read {path} at once: it has many more bytes than the {size} that are told",
            member=path,
        )
    return data


def _read_on(descriptor: int, data: bytes, most: int) -> bytes:
    """`data` and what follows them, up to one byte more than `most`."""
    pieces = [data]
    rest = most + 1 - len(data)
    while rest and (more := os.read(descriptor, rest)):
        pieces.append(more)
        rest -= len(more)
    return b"".join(pieces)


@contextmanager
def open_unchanged(file: File, opener: Opener = open_regular) -> Iterator[FileIO]:
    """A file, open; when the block ends well, it must still be what it was.

    Args:
        file: which.
        opener: what opens it.

    Raises:
        SourceError: the file cannot be read; any OSError in the block is taken for that.
        SourceChangedError: it is not what it was when it was found.
    """
    try:
        with open(file.path, "rb", buffering=0, opener=opener) as opened:
            try:
                yield opened
            except BadArchiveError:  # what was changed may well look damaged
                _check(file, os.fstat(opened.fileno()))
                raise
            info = os.fstat(opened.fileno())
            taken = 0 if file.size else opened.tell()
    except FileError:
        raise
    except OSError as error:
        raise _unreadable(file.path, error) from error
    _check(file, info, taken)


class ExistingFile:
    """What stands where an archive is to be, and must still stand there when that is complete.

    Its contents count, as far as the system tells; rights, owners and further links may change.

    Args:
        path: where.
        changes: what shows that files have changed, see `File`; here modification time and size do
            in any case.

    Attributes:
        file: what stands there, without its change time: that moves when its rights do. None if
            nothing stands there, and nothing may.

    Raises:
        SourceError: the system does not tell, or it is no regular file.
    """

    def __init__(self, path: str, changes: Changes = "ctime") -> None:
        self._path = path
        self._info = self._found()
        changes = "ctime" if changes == "ctime" else "mtime"
        self._file = None if self._info is None else describe_file(path, self._info, changes)
        self.file = self._file and self._file._replace(ctime_ns=0)
        if self._info is not None and not stat.S_ISREG(self._info.st_mode):
            what = kind_of(self._info.st_mode)
            raise SourceError(f"cannot change {path}: it is {what}, no regular file", member=path)

    def _found(self) -> os.stat_result | None:
        try:
            return os.stat(self._path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SourceError.of(self._path or "''", error) from error
        except ValueError as error:
            raise SourceError(f"cannot read {self._path!r}: {error}", member=self._path) from error

    def check(self) -> os.stat_result | None:
        """What the system tells of it now.

        Raises:
            SourceChangedError: it is not what it was.
        """
        info = self._found()
        if self._info is None or self._file is None:
            if info is not None:
                self.refuse("was made by somebody else")
            return None
        if info is None:
            self.refuse("has gone")
        if not stat.S_ISREG(info.st_mode):
            self.refuse(f"has become {kind_of(info.st_mode)}")
        is_touched = any(getattr(info, what) != getattr(self._info, what) for what in _BESIDE)
        file = self._file._replace(ctime_ns=0) if is_touched else self._file
        if _differences(file, info):
            self.refuse("was changed by somebody else", f": {_told_differences(file, info)}")
        return info

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps others who change it in this way from doing so before the block ends.

        Where the system or the file system has no locks, `check` is all that there is.

        Raises:
            SourceChangedError: somebody else has locked it.
        """
        descriptor = self._lock()
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _lock(self) -> int | None:
        if sys.platform == "win32" or self._file is None:
            return None
        try:
            descriptor = open_regular(self._path)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            self.refuse("is locked by somebody else")
        except OSError:
            pass
        return descriptor

    def refuse(self, what: str, why: str = "") -> NoReturn:
        """Raises the error that says what happened to it."""
        raise SourceChangedError(
            f"{self._path} {what} meanwhile{why}; it stays as it is, run the command again",
            member=self._path,
        )


_BESIDE = ("st_mode", "st_uid", "st_gid", "st_nlink")
"""What explains another change time, and is not contents."""


def fill_view(file: File, opened: FileIO, offset: int, view: memoryview) -> memoryview:
    """Fills `view` with the bytes of an open file from `offset` on, and gives it back.

    Raises:
        SourceChangedError: the file ends before that.
    """
    filled = read_into(opened, offset, view)
    if len(filled) < len(view):
        raise _changed(file, os.fstat(opened.fileno()), f"it ends at {offset + len(filled)}")
    return filled


def read_into(opened: FileIO, offset: int, view: memoryview) -> memoryview:
    """The part of `view` that could be filled with the bytes of an open file from `offset` on."""
    opened.seek(offset)
    filled = 0
    while filled < len(view) and (count := _read_some(opened, view[filled:])):
        filled += count
    return view[:filled]


def _read_some(opened: FileIO, view: memoryview) -> int:
    count = opened.readinto(view)
    if count is None:
        raise BlockingIOError(errno.EAGAIN, "it waits for something to come")
    return count


def read_chunks(
    file: File, size: int = 1 << 20, offset: int = 0, length: int | None = None
) -> Iterator[memoryview]:
    """What a file holds, a chunk at a time, each only until the next is asked for.

    Args:
        file: which.
        size: the most bytes of a chunk.
        offset: where to begin.
        length: how many bytes; None for all up to its end, wherever the system says that it is.

    Raises what `open_unchanged` raises.
    """
    rest = max(file.size - offset, _LITTLE) if length is None else length
    view = memoryview(bytearray(min(size, rest)))
    end = None if length is None else offset + length
    with open_unchanged(file) as opened:
        opened.seek(offset)
        while count := _read_some(opened, view if end is None else view[: end - offset]):
            if offset <= file.size < offset + count:  # who writes to it must not be run after
                _check(file, os.fstat(opened.fileno()), count)
            offset += count
            yield view[:count]
        if end is not None and offset < end:
            raise _changed(file, os.fstat(opened.fileno()), f"it ends at {offset}")


def measure_file(file: File) -> tuple[int, int]:
    """The CRC-32 and the size of a file's contents; see `open_unchanged`."""
    if file.size <= _CHUNK:
        try:
            data = read_file(file)
        except UnsizedError:
            pass
        else:
            return checksums.crc32(data), len(data)
    crc = size = 0
    for chunk in read_chunks(file, _CHUNK):
        crc = checksums.crc32(chunk, crc)
        size += len(chunk)
    return crc, size


def crc32_of_file(file: File) -> int:
    """The CRC-32 of a file's contents; see `open_unchanged`."""
    return measure_file(file)[0]


def hash_file(file: File) -> str:
    """A SHA-256 of a file's contents; see `open_unchanged`."""
    found = hashlib.sha256()
    for chunk in read_chunks(file, _LARGE_CHUNK):
        found.update(chunk)
    return found.hexdigest()


def _check(file: File, info: os.stat_result, taken: int = 0) -> None:
    """Raises if a file is not what it was when it was found.

    Args:
        file: as it was found.
        info: as it is now.
        taken: bytes that were read from it.
    """
    if (
        info.st_mtime_ns == file.mtime_ns
        and info.st_size == file.size
        and (info.st_ino == file.inode or not file.inode)
        and (info.st_ctime_ns == file.ctime_ns or not file.ctime_ns)
        and stat.S_ISREG(info.st_mode)
    ):
        return
    if not stat.S_ISREG(info.st_mode):
        raise _no_file(file.path, info.st_mode)
    if taken and file.size == info.st_size == 0:
        return  # the system does not know its size; its times are mostly those of this look
    if _differences(file, info):
        raise _changed(file, info)


_COUNTING: dict[Changes, int] = {"ctime": 4, "mtime": 2, "size": 1, "none": 0}
"""How many of the facts below count."""


def _differences(file: File, info: os.stat_result) -> list[str]:
    """What of an open file is not what it was, of what counts."""
    facts = (
        ("size", info.st_size == file.size),
        ("modification time", info.st_mtime_ns == file.mtime_ns),
        ("inode", info.st_ino == file.inode or not file.inode),  # some scans know none
        ("change time", info.st_ctime_ns == file.ctime_ns or not file.ctime_ns),
    )
    return [name for name, is_same in facts[: _COUNTING[file.changes]] if not is_same]


_LESS: dict[str, Changes] = {"size": "none", "modification time": "size"}
"""What does not count the first that differs."""


def changed_unseen(file: File) -> SourceChangedError:
    """A file has other contents than a moment ago, and all else that is known is as it was."""
    return SourceChangedError(
        f"{file.path} changed while it was read: its contents did, and its times did not, as where "
        "a program writes to a mapped file; try again when nothing writes to it, or leave it out "
        "with --exclude",
        member=file.path,
    )


def _told_differences(file: File, info: os.stat_result) -> str:
    """What of an open file is not what it was, as a sentence; empty if all is."""
    differing = _differences(file, info)
    if not differing:
        return ""
    if differing[0] == "size":
        return f"it had {file.size} bytes and has {info.st_size} now"
    *most, last = differing
    what = f"{', '.join(most)} and {last}" if most else last
    return f"its {what} {'are' if most else 'is'} not what {'they were' if most else 'it was'}"


def _changed(file: File, info: os.stat_result, what: str = "") -> SourceChangedError:
    differing = _differences(file, info)
    what = _told_differences(file, info) or what
    advice = "try again when nothing writes to it, or leave it out with --exclude"
    if differing:
        less = _LESS.get(differing[0], "mtime")
        advice += f"; where that is no matter, --changes {less} does not look at it"
    reason = f"{file.path} changed while it was read: {what}"
    return SourceChangedError(f"{reason}; {advice}", member=file.path, reason=reason)


_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a link"),
)


def kind_of(mode: int) -> str:
    """What stands there, if it is no regular file, for people."""
    return next((text for test, text in _KINDS if test(mode)), "neither a file nor a folder")


def _no_file(path: str, mode: int) -> SourceError:
    reason = f"cannot read {path}: it is {kind_of(mode)}, not a file"
    return SourceError(
        f"{reason}; put a file there, or leave it out with --exclude", member=path, reason=reason
    )


def _unreadable(path: str, error: OSError) -> SourceError:
    if error.errno in _KIND_TELLS:  # what it is says more than what the system says of it
        try:
            mode = os.stat(path).st_mode
        except OSError:
            mode = stat.S_IFREG
        if not stat.S_ISREG(mode):
            return _no_file(path, mode)
    return error if isinstance(error, SourceError) else SourceError.of(path, error)


_KIND_TELLS = (errno.ENXIO, errno.ENODEV, errno.EISDIR, errno.EAGAIN, errno.EOPNOTSUPP)
"""Sockets, devices without a driver, folders, and what has nothing to give."""
