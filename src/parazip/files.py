"""Reads files that must still be what they were when they were found.

A source is read after it was found, and may have changed in between, or may change while it is
read. So the file is asked once more *after* its bytes were taken: if size, modification time,
inode and change time are still what they were when it was found, what was read is what stood there
all along. Anything else is an error (`SourceChangedError`), never a wrong archive.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO

from parazip import codecs
from parazip.errors import BadArchiveError, FileError, SourceChangedError, SourceError
from parazip.model import File

_READ_ONLY = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

_CHUNK = 256 << 10
_LARGE_CHUNK = 4 << 20
"""After each call a thread waits for the GIL, so one that works beside others makes few calls."""

HAS_CTIME = os.name == "posix"
"""Whether `st_ctime` tells of changes; on Windows it tells when the file was made."""


def found(path: str, info: os.stat_result) -> File:
    """A file as `os.stat` tells of it."""
    ctime_ns = info.st_ctime_ns if HAS_CTIME else 0
    return File(path, info.st_size, info.st_mtime_ns, info.st_ino, ctime_ns)


def read(file: File) -> bytes:
    """All bytes of a file. One byte more is asked for, so that a file that grew is noticed.

    Raises:
        SourceError: the file cannot be read.
        SourceChangedError: it is not what it was when it was found.
    """
    path, size = file.path, file.size
    try:
        descriptor = os.open(path, _READ_ONLY)
        try:
            data = os.read(descriptor, size + 1)
            while len(data) < size and (more := os.read(descriptor, size + 1 - len(data))):
                data += more  # network file systems may give less at a time
            info = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SourceError.of(path, error) from error
    if len(data) != size:
        raise _changed(file, info)
    _check(file, info)
    return data


@contextmanager
def reading(file: File) -> Iterator[FileIO]:
    """A file, open; when the block ends well, it must still be what it was.

    Raises:
        SourceError: the file cannot be read; any OSError in the block is taken for that.
        SourceChangedError: it is not what it was when it was found.
    """
    try:
        with open(file.path, "rb", buffering=0) as opened:
            try:
                yield opened
            except BadArchiveError:  # what was changed may well look damaged
                _check(file, os.fstat(opened.fileno()))
                raise
            info = os.fstat(opened.fileno())
    except FileError:
        raise
    except OSError as error:
        raise SourceError.of(file.path, error) from error
    _check(file, info)


def check(file: File) -> None:
    """Raises what `reading` raises, if what stands under that path is not what it was."""
    try:
        info = os.stat(file.path)
    except OSError as error:
        raise SourceError.of(file.path, error) from error
    _check(file, info)


def fill(file: File, opened: FileIO, offset: int, view: memoryview) -> memoryview:
    """Fills `view` with the bytes of an open file from `offset` on, and gives it back.

    Raises:
        SourceChangedError: the file ends before that.
    """
    opened.seek(offset)
    filled = 0
    while filled < len(view):
        count = opened.readinto(view[filled:])
        if not count:
            raise _changed(file, os.fstat(opened.fileno()))
        filled += count
    return view


def chunks(
    file: File, size: int = 1 << 20, offset: int = 0, length: int | None = None
) -> Iterator[memoryview]:
    """What a file holds, a chunk at a time, each only until the next is asked for.

    Args:
        file: which.
        size: the most bytes of a chunk.
        offset: where to begin.
        length: how many bytes; None for all that follow.

    Raises what `reading` raises.
    """
    rest = file.size - offset if length is None else length
    view = memoryview(bytearray(min(size, rest)))
    with reading(file) as opened:
        opened.seek(offset)
        while rest and (count := opened.readinto(view[:rest])):
            rest -= count
            yield view[:count]


def crc32(file: File) -> int:
    """The CRC-32 of a file's contents; see `reading`."""
    if file.size <= _CHUNK:
        return codecs.crc32(read(file))
    crc = 0
    for chunk in chunks(file, _CHUNK):
        crc = codecs.crc32(chunk, crc)
    return crc


def digest(file: File) -> str:
    """A SHA-256 of a file's contents; see `reading`."""
    found = hashlib.sha256()
    for chunk in chunks(file, _LARGE_CHUNK):
        found.update(chunk)
    return found.hexdigest()


def _check(file: File, info: os.stat_result) -> None:
    if info.st_mtime_ns != file.mtime_ns or info.st_size != file.size:
        raise _changed(file, info)
    if info.st_ino != file.inode and file.inode:  # some systems' scans know no inode
        raise _changed(file, info)
    if info.st_ctime_ns != file.ctime_ns and file.ctime_ns:
        raise _changed(file, info)


def _changed(file: File, info: os.stat_result) -> SourceChangedError:
    if info.st_size != file.size:
        what = f"it had {file.size} bytes and has {info.st_size} now"
    else:
        what = "it was modified or replaced"
    return SourceChangedError(
        f"{file.path} changed while it was read: {what}; "
        "try again when nothing writes to it, or leave it out with --exclude",
        member=file.path,
    )
