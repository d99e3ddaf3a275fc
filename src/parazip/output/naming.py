"""How a finished file gets its name, whatever a file system or a sandbox refuses on the way.

Bytes go to a temporary file. No step after the work may lose the work: what may be refused is
tried before it, or has another way after it.

1. Before: the temporary file is made in the folder of the target. Where the system can do that
   (Linux) it has no name: then it is gone when the process is killed, even by SIGKILL. Whether such
   a file can be given a name is tried with another one, which is empty. Where the folder takes no
   file and the target may be written all the same, it is made in the folder for temporary files.
   What certainly cannot be written is an error now.
2. After: it is linked to a name that is free, or renamed. A file without a name that cannot be
   linked is copied to one that has a name. Where renaming is refused (the target is a mount point,
   or another user's in a sticky folder), the bytes are written into the target as it stands there;
   the temporary file has a name by then and stays until all of them have arrived.
3. At last: where that is refused too, or fails half-way, the temporary file is kept, and the error
   tells where it is.

Which error a system gives for what it refuses is not asked: no two agree on that.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from io import FileIO

from parazip.errors import OutputError
from parazip.output import syncing
from parazip.sources import trust

_CHUNK = 1 << 20
"""Bytes that are copied at a time."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""The disk is full, or the user's share of it."""

_LOST = (*FULL, errno.EIO)
"""What fsync(2) and close(2) say when bytes have not arrived. Other errors tell of themselves."""

# Never O_CREAT: Linux refuses that for others' files in sticky folders. O_NONBLOCK does not wait
# for the reader of a pipe that came under the name meanwhile.
OVERWRITE = os.O_WRONLY
for _name in ("O_BINARY", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"):
    OVERWRITE |= getattr(os, _name, 0)
"""Flags to open a file by that is to be written over as it stands there."""


def move_finished(source: str, target: str, name: str) -> None:
    """Renames a file or a folder that is finished. Where that is refused, files are written over.

    A link is replaced as rename(2) does it, but followed where its file is written over.

    Raises:
        OutputError: it cannot be done. `source` stays, and the error says so.
    """
    try:
        os.replace(source, target)
    except OSError as error:
        if os.path.isdir(source):
            raise describe_kept_file(source, name, error) from error
        try:
            target = trust.resolve_trusted(target)
        except OSError as error:
            raise describe_kept_file(source, name, error) from error
        write_over(source, target, name)


def rename_to_free(path: str, target: str) -> None:
    """Renames a file to a name that nothing has, and replaces nothing that has got it meanwhile."""
    if os.name == "nt":
        os.rename(path, target)
        return
    try:
        os.link(path, target)
    except FileExistsError:
        raise
    except OSError:  # there are no hard links; an empty file takes the name
        FileIO(target, "xb").close()
        try:
            os.replace(path, target)
        except BaseException:
            remove_file(target)
            raise
    else:
        with suppress(OSError):
            os.unlink(path)


def write_over(source: str, target: str, name: str, may_replace: bool = True) -> None:
    """Writes a finished file into `target` as it stands there, or anew, and removes the file.

    What stood there keeps its owner and rights, loses set-ID bits, and gains the right to be
    executed if the file has it.

    Args:
        source: the path of a finished file.
        target: an absolute path without links.
        name: what messages call it.
        may_replace: whether it may write over what stands there.

    Raises:
        OutputError: it cannot be done. `source` stays, and the error says so.
    """
    try:
        with FileIO(source, "rb") as file:
            _write_into(file, target, may_replace)
    except OSError as error:
        raise describe_kept_file(source, name, error) from error
    except BaseException as error:
        error.add_note(_KEPT.format(source))
        raise
    remove_file(source)


def leaves_file_behind(error: BaseException) -> bool:
    """Whether an error of `move_finished` or `write_over` says that the file stays."""
    return bool(getattr(error, "kept", "") or getattr(error, "__notes__", ()))


_KEPT = "all of it is in {}: move it from there"


def describe_kept_file(source: str, name: str, error: OSError) -> OutputError:
    """The error that says that `name` cannot be written, and that all of it is in `source`."""
    if not os.path.lexists(source):  # somebody has removed it
        return OutputError.of(name, error)
    failure = OutputError.of(name, error, _KEPT.format(source))
    failure.kept = source
    return failure


def _write_into(file: FileIO, target: str, may_reopened: bool) -> None:
    finished = os.fstat(file.fileno())
    is_new = not may_reopened or not os.path.lexists(target)
    opened = FileIO(target, "xb") if is_new else _open_over(target, finished.st_size)
    try:
        if not is_new:
            _refuse_without_room(opened, finished.st_size)
        pour_bytes(file, opened, finished.st_size)
        if hasattr(os, "fchown"):
            mode = os.fstat(opened.fileno()).st_mode
            wanted = mode & 0o777 | (finished.st_mode & 0o100 and (mode & 0o444) >> 2)
            if wanted != stat.S_IMODE(mode):
                with suppress(OSError):
                    os.fchmod(opened.fileno(), wanted)
        _flush_to_disk(opened)
        close_file(opened)
    except BaseException:
        with suppress(OSError):
            opened.close()
        if is_new:
            remove_file(target)
        raise


def _open_over(target: str, size: int) -> FileIO:
    """Opens a file to write `size` bytes over what it holds; no more of that is left then.

    What is longer is cut off first: an old end would be taken for that of the archive.
    """
    try:
        descriptor = os.open(target, OVERWRITE)
        try:
            info = os.fstat(descriptor)
            if info.st_size > size and stat.S_ISREG(info.st_mode):
                os.ftruncate(descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError:  # some take it in this way only
        descriptor = os.open(target, OVERWRITE | os.O_TRUNC)
    file = FileIO(descriptor, "wb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file any more")
    return file


def _refuse_without_room(file: FileIO, size: int) -> None:
    """Finds out that a disk is too full before anything is overwritten.

    To reserve the room would not do: where a file system cannot, glibc writes to each block.
    """
    needed = size - os.fstat(file.fileno()).st_size
    if needed <= 0 or not hasattr(os, "statvfs"):
        return
    try:
        disk = os.statvfs(file.fileno())
    except OSError:
        return
    if disk.f_blocks and disk.f_bfree * disk.f_frsize < needed:  # some know no numbers
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _flush_to_disk(file: FileIO) -> None:
    """Lets a network or a disk tell now what did not arrive."""
    try:
        syncing.sync(file.fileno())
    except OSError as error:
        if error.errno in _LOST:
            raise


def close_file(file: FileIO) -> None:
    """Closes a file; some network file systems tell as late as now what did not arrive."""
    try:
        file.close()
    except OSError as error:
        if error.errno in _LOST:
            raise


def pour_bytes(source: FileIO, target: FileIO, size: int) -> None:
    """Copies the first `size` bytes of a file."""
    source.seek(0)
    while size:
        chunk = memoryview(source.read(min(size, _CHUNK)) or b"")
        if not chunk:
            raise OSError(errno.EIO, "the temporary file has lost its end")
        size -= len(chunk)
        while chunk:
            chunk = chunk[target.write(chunk) :]


def remove_file(path: str) -> None:
    """Removes a file; where that is refused, at least its bytes go."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError:
        with suppress(OSError):
            os.truncate(path, 0)
