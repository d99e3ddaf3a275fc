"""Reads files that must still be what they were when they were found.

A source is read after it was found, and may have changed in between, or may change while it is
read. So the file is asked once more *after* its bytes were taken: if size, modification time,
inode and change time are still what they were when it was found, what was read is what stood there
all along. Anything else is an error (`SourceChangedError`), never a wrong archive. `File.changes`
says which of the four count: not every file system tells them steadily.

What is opened is judged by its descriptor, and without waiting: a name may lead to a pipe by now
that nobody writes to, or to a device.

A file at a URL is read in the same way: `remote` opens it, and asks after its version.

The system need not know how many bytes a file has: /proc tells 0, /sys 4,096, and file systems of
programs (FUSE) what they like. If a file has more or fewer bytes than it is said to have, while
that is still said and its times are what they were, it is read to its end.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import RawIOBase
from typing import Any, TypeAlias

from parazip.codecs import checksums
from parazip.errors import BadArchiveError, FileError, SourceChangedError, SourceError
from parazip.model import Changes, File, Piece

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


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[A-Za-z0-9+.:-]+)?://")
"""A scheme of two letters or more, as one is a drive; fsspec has chains of schemes, too."""


class UnsizedError(SourceError):
    """A file has so many bytes more than the system tells that it is not to be read at once."""


def describe_file(path: str, info: os.stat_result, changes: Changes = "ctime") -> File:
    """A file as `os.stat` tells of it; see `File`."""
    ctime_ns = info.st_ctime_ns if HAS_CTIME else 0
    return File(path, info.st_size, info.st_mtime_ns, info.st_ino, ctime_ns, changes)


def find_current_folder() -> str:
    """From where paths count; empty if that is gone."""
    with suppress(OSError):
        return os.getcwd()
    return ""


def is_url(path: str) -> bool:
    """Whether a path that somebody gives is a URL; `./` in front makes it the name of a file."""
    return "://" in path and _URL.match(path) is not None


def find_last_step(url: str) -> str:
    """The last step of a URL's path, without what a web server is asked besides."""
    scheme, _, path = url.partition("://")
    if scheme in ("http", "https"):
        from urllib.parse import unquote  # it takes its time, and few name URLs

        path = unquote(re.split("[?#]", path, maxsplit=1)[0].partition("/")[2])
    return path.rstrip("/").rpartition("/")[2]


_SAME_SCHEMES = {"s3a": "s3", "gcs": "gs"}


def find_steps_below(url: str, folder: str) -> str | None:
    """What a URL has behind that of a folder, empty if both are the same; None if it is elsewhere.

    `.` and `..` are names like others, as they are in object stores.
    """
    steps, above = _split_url(url), _split_url(folder)
    return "/".join(steps[len(above) :]) if steps[: len(above)] == above else None


def _split_url(url: str) -> list[str]:
    scheme, _, path = url.partition("://")
    return [_SAME_SCHEMES.get(scheme, scheme), *path.rstrip("/").split("/")]


def find_local_path(url: str) -> str | None:
    """The path on this system that a URL, or a path, stands for; None if it is elsewhere."""
    if not is_url(url):
        return url
    scheme, _, path = url.partition("://")
    return path if scheme in ("file", "local") else None


def find_remote(url: str, changes: Changes = "ctime") -> File | None:
    """The file at a URL; None if that is a folder.

    Raises:
        SourceError: there is none, or it cannot be reached.
    """
    found: File | None = _load_remote(url).find(url, changes)
    return found


def list_remote(url: str, changes: Changes = "ctime") -> list[tuple[str, File]]:
    """The files below a folder at a URL, by their names in it; sorted by these.

    Raises:
        SourceError: it cannot be listed.
    """
    found: list[tuple[str, File]] = _load_remote(url).list_folder(url, changes)
    return found


def read_remote(remote_files: Sequence[File]) -> list[bytes]:
    """All bytes of some remote files, fetched side by side; raises what `read_file` raises."""
    data: list[bytes] = _load_remote(remote_files[0].path).read_all(remote_files)
    return data


def _load_remote(url: str) -> Any:
    """The room that reads URLs: it imports fsspec, which most programs never need.

    Raises:
        SourceError: fsspec is missing.
    """
    try:
        from parazip.sources import remote
    except ImportError as error:
        raise SourceError(
            f"cannot read {url}: {error.name} is missing, which reads URLs; pip install "
            '"parazip[remote]" gets it. If it is a file that is named so, name it ./'
            f"{url}",
            member=url,
            reason=f"cannot read {url}: {error.name} is missing",
        ) from error
    return remote


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
        raise _explain_kind(path, mode)
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
    if file.version is not None:
        whole: bytes = _load_remote(path).read_whole(file)
        return whole
    try:
        descriptor = _open(path)
        try:
            data = os.read(descriptor, size + 1)
            while len(data) < size and (more := os.read(descriptor, size + 1 - len(data))):
                data += more  # network file systems may give less at a time
            if len(data) > size:
                data = _read_more(descriptor, data, size + MOST_UNKNOWN)
            info = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _explain_error(path, error) from error
    _check_unchanged(file, info, len(data))
    if len(data) > size + MOST_UNKNOWN:
        raise UnsizedError(
            f"cannot read {path} at once: it has many more bytes than the {size} that are told",
            member=path,
        )
    return data


def _read_more(descriptor: int, data: bytes, most: int) -> bytes:
    """`data` and what follows them, up to one byte more than `most`."""
    pieces = [data]
    rest = most + 1 - len(data)
    while rest and (more := os.read(descriptor, rest)):
        pieces.append(more)
        rest -= len(more)
    return b"".join(pieces)


@contextmanager
def open_unchanged(
    file: File, opener: Opener = open_regular, pieces: Iterable[Piece] = ()
) -> Iterator[RawIOBase]:
    """A file, open; when the block ends well, it must still be what it was.

    Args:
        file: which.
        opener: what opens it, if it is not remote.
        pieces: what will be read of it. Of a remote file that is fetched ahead.

    Raises:
        SourceError: the file cannot be read; any OSError in the block is taken for that.
        SourceChangedError: it is not what it was when it was found.
    """
    if file.version is not None:
        with _load_remote(file.path).open_remote(file, pieces) as remote_file:
            yield remote_file
        return
    try:
        with open(file.path, "rb", buffering=0, opener=opener) as opened:
            try:
                yield opened
            except BadArchiveError:  # what was changed may well look damaged
                _check_unchanged(file, os.fstat(opened.fileno()))
                raise
            info = os.fstat(opened.fileno())
            taken = 0 if file.size else opened.tell()
    except FileError:
        raise
    except OSError as error:
        raise _explain_error(file.path, error) from error
    _check_unchanged(file, info, taken)


def fill_view(file: File, opened: RawIOBase, offset: int, view: memoryview) -> memoryview:
    """Fills `view` with the bytes of an open file from `offset` on, and gives it back.

    Raises:
        SourceChangedError: the file ends before that.
    """
    filled = read_into(opened, offset, view)
    if len(filled) < len(view):
        raise _explain_end(file, opened, offset + len(filled))
    return filled


def read_into(opened: RawIOBase, offset: int, view: memoryview) -> memoryview:
    """The part of `view` that could be filled with the bytes of an open file from `offset` on."""
    opened.seek(offset)
    filled = 0
    while filled < len(view) and (count := _read_some(opened, view[filled:])):
        filled += count
    return view[:filled]


def _read_some(opened: RawIOBase, view: memoryview) -> int:
    count: int | None = opened.readinto(view)
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
    with open_unchanged(file, pieces=[(offset, file.size if end is None else end)]) as opened:
        opened.seek(offset)
        while count := _read_some(opened, view if end is None else view[: end - offset]):
            if offset <= file.size < offset + count:  # who writes to it must not be run after
                _check_unchanged(file, os.fstat(opened.fileno()), count)
            offset += count
            yield view[:count]
        if end is not None and offset < end:
            raise _explain_end(file, opened, offset)


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
    sha256 = hashlib.sha256()
    for chunk in read_chunks(file, _LARGE_CHUNK):
        sha256.update(chunk)
    return sha256.hexdigest()


def _check_unchanged(file: File, info: os.stat_result, taken: int = 0) -> None:
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
        raise _explain_kind(file.path, info.st_mode)
    if taken and file.size == info.st_size == 0:
        return  # the system does not know its size; its times are mostly those of this look
    if find_differences(file, info):
        raise _explain_change(file, info)


_COUNTING: dict[Changes, int] = {"ctime": 4, "mtime": 2, "size": 1, "none": 0}
"""How many of the facts below count."""


def find_differences(file: File, info: os.stat_result) -> list[str]:
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


def explain_unseen_change(file: File) -> SourceChangedError:
    """A file has other contents than a moment ago, and all else that is known is as it was."""
    return SourceChangedError(
        f"{file.path} changed while it was read: its contents did, and its times did not, as where "
        "a program writes to a mapped file; try again when nothing writes to it, or leave it out "
        "with --exclude",
        member=file.path,
    )


def describe_differences(file: File, info: os.stat_result) -> str:
    """What of an open file is not what it was, as a sentence; empty if all is."""
    differing = find_differences(file, info)
    if not differing:
        return ""
    if differing[0] == "size":
        return f"it had {file.size} bytes and has {info.st_size} now"
    *most, last = differing
    what = f"{', '.join(most)} and {last}" if most else last
    return f"its {what} {'are' if most else 'is'} not what {'they were' if most else 'it was'}"


def _explain_end(file: File, opened: RawIOBase, offset: int) -> SourceChangedError:
    what = f"it ends at {offset}"
    if file.is_remote:
        return SourceChangedError.while_read(file.path, what)
    return _explain_change(file, os.fstat(opened.fileno()), what)


def _explain_change(file: File, info: os.stat_result, what: str = "") -> SourceChangedError:
    differing = find_differences(file, info)
    what = describe_differences(file, info) or what
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


def describe_kind(mode: int) -> str:
    """What stands there, if it is no regular file, for people."""
    return next((text for test, text in _KINDS if test(mode)), "neither a file nor a folder")


def _explain_kind(path: str, mode: int) -> SourceError:
    reason = f"cannot read {path}: it is {describe_kind(mode)}, not a file"
    return SourceError(
        f"{reason}; put a file there, or leave it out with --exclude", member=path, reason=reason
    )


def _explain_error(path: str, error: OSError) -> SourceError:
    if error.errno in _KIND_TELLS:  # what it is says more than what the system says of it
        try:
            mode = os.stat(path).st_mode
        except OSError:
            mode = stat.S_IFREG
        if not stat.S_ISREG(mode):
            return _explain_kind(path, mode)
    return error if isinstance(error, SourceError) else SourceError.of(path, error)


_KIND_TELLS = (errno.ENXIO, errno.ENODEV, errno.EISDIR, errno.EAGAIN, errno.EOPNOTSUPP)
"""Sockets, devices without a driver, folders, and what has nothing to give."""
