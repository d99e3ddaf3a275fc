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
import re
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import FileIO

from parazip import files
from parazip.errors import OutputError

_OPEN_FILES = "/proc/self/fd"
_CHUNK = 1 << 20
_RIGHTS = 0o777
"""Mode bits that are handed on. Set-ID bits are not: they were given to other bytes, by others."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LOST = (*_FULL, errno.EIO)
"""What fsync(2) and close(2) say when bytes have not arrived. Other errors tell of themselves."""

# Never O_CREAT: Linux refuses that for others' files in sticky folders. O_NONBLOCK does not wait
# for the reader of a pipe that came under the name meanwhile.
_OVERWRITE = os.O_WRONLY
for _name in ("O_BINARY", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"):
    _OVERWRITE |= getattr(os, _name, 0)


class Temporary:
    """A new file that is to be another one later on; see `temporary_for`.

    Args:
        file: opened for reading and writing.
        path: its name, or the one that it is to get if it needs one.
        is_named: whether it has that name.
        is_beside: whether it is in the folder where it is to be in the end.

    Attributes:
        file: the file.
        is_beside: see above.
        notes: what was refused without harm to the bytes, a sentence each.
    """

    def __init__(self, file: FileIO, path: str, is_named: bool, is_beside: bool) -> None:
        self.file = file
        self.is_beside = is_beside
        self.notes: list[str] = []
        self._path = path
        self._is_named = is_named
        self._is_kept = False

    @property
    def folder(self) -> str:
        """Where it is."""
        return os.path.dirname(self._path)

    def become(
        self,
        target: str,
        old: os.stat_result | None,
        size: int,
        is_executable: bool,
        name: str,
        check: Callable[[], object] | None = None,
    ) -> None:
        """Lets the first `size` bytes be the file `target`, and closes it.

        Args:
            target: an absolute path without links.
            old: what stood there when the work began.
            size: how many bytes count. There may be more, where the system cuts nothing off.
            is_executable: whether all may execute it who may read it.
            name: what messages call the target.
            check: raises if something else stands there than may be replaced. Where nothing may,
                what has come there since is not replaced even so.

        Raises:
            OutputError: it cannot be written there. Its bytes are where the error says.
            OSError: the bytes have not all arrived in the temporary file.
        """
        is_new = old is None and check is not None
        if os.fstat(self.file.fileno()).st_size > size:
            self._copy(size)
        self._set_rights(target, old, is_executable)
        if not self._is_named:
            self._make_sure_of_bytes()
            # Where the name is free no other is needed in between: ext4 writes a file to the disk
            # at once that replaces another, for the sake of programs that do not.
            if old is None and self.is_beside:
                with suppress(OSError):
                    _link(self.file.fileno(), target)
                    return
            self._take_name()
            self._set_rights(target, old, is_executable)
        _close(self.file)
        if check is not None:
            check()
        if self.is_beside:
            with suppress(OSError):
                if is_new:
                    _rename_to_free(self._path, target)
                    self._is_kept = True  # where two names were left, the bytes are the target's
                    self._note_what_is_left()
                else:
                    os.replace(self._path, target)
                return
            if is_new and check is not None:
                check()
        self._is_kept = True
        write_over(self._path, target, name, may_replace=not is_new)
        self._note_what_is_left()

    def _note_what_is_left(self) -> None:
        if os.path.lexists(self._path):
            self.notes.append(f"{self._path} is left over: the system refuses to remove it")

    def discard(self) -> None:
        """Closes the file and removes it, if it has not become another one or been kept."""
        with suppress(OSError):
            self.file.close()
        if self._is_named and not self._is_kept:
            _remove(self._path)

    def _make_sure_of_bytes(self) -> None:
        """Closes the file, but for a copy of its descriptor that can be read; see `_close`."""
        try:
            spare = os.dup(self.file.fileno())
        except OSError:  # there are no more descriptors
            return
        file, self.file = self.file, FileIO(spare, "rb")
        _close(file)

    def _take_name(self) -> None:
        try:
            _link(self.file.fileno(), self._path)
            self._is_named = True
        except OSError:
            self._copy(os.fstat(self.file.fileno()).st_size)

    def _copy(self, size: int) -> None:
        """Goes on with a copy that has a name; in the folder for temporary files, if need be."""
        mode = os.fstat(self.file.fileno()).st_mode & _RIGHTS
        try:
            copy = _copied(self.file, size, self.folder, mode, self.is_beside)
        except OSError:
            copy = _copied(self.file, size, _folder_elsewhere(), 0o600, False)
        self.discard()
        self.file, self._path, self.is_beside = copy.file, copy._path, copy.is_beside
        self._is_named = True

    def _set_rights(self, target: str, old: os.stat_result | None, is_executable: bool) -> None:
        """Hands on the rights of the file that is replaced, and its group where that is allowed.

        A mode that is right already is not set: many systems refuse even that.
        """
        if not hasattr(os, "fchown"):
            return
        descriptor = self.file.fileno()
        new = os.fstat(descriptor)
        mode = new.st_mode & _RIGHTS
        if old is not None and self.is_beside:
            # What is another owner's may take rights away, and add none to what the umask leaves.
            mode = (mode if old.st_uid != new.st_uid else _RIGHTS) & old.st_mode
            is_other = _has_acl(target)
            if old.st_gid != new.st_gid:
                try:
                    os.fchown(descriptor, -1, old.st_gid)
                except OSError:
                    is_other = True
            if is_other:
                mode = _fewer(mode)
        if is_executable:
            mode |= (mode & 0o444) >> 2
        if mode != new.st_mode & _RIGHTS:
            with suppress(OSError):
                os.fchmod(descriptor, mode)


def temporary_for(target: str, old: os.stat_result | None, name: str) -> Temporary:
    """A new file that can become `target`, as far as that can be known before it is written.

    It may be read by nobody who may not read the file that it is to replace.

    Args:
        target: an absolute path without links, in a folder that exists.
        old: what stands there, if anything: a regular file.
        name: what messages call it.

    Raises:
        OutputError: neither the folder takes a file, nor can the target be written.
    """
    folder = os.path.dirname(target)
    try:
        temporary = _open_in(folder, _first_mode(target, old), is_beside=True)
    except OSError as error:
        if error.errno in _FULL:
            raise OutputError.of(name, error) from error
        if not _can_overwrite(target):
            hint = f"{folder} takes no new file; write elsewhere"
            raise OutputError.of(name, error, hint) from error
        try:
            return _open_in(_folder_elsewhere(), 0o600, is_beside=False)
        except OSError as other:
            hint = (
                f"{folder} takes no new file, nor does a folder for temporary files, such as "
                "TMPDIR names"
            )
            raise OutputError.of(name, other, hint) from other
    if old is not None:
        try:
            _refuse_both(target, name)
        except BaseException:
            temporary.discard()
            raise
    return temporary


def refuse_unwritable(target: str, old: os.stat_result | None, name: str) -> None:
    """Refuses what `temporary_for` would refuse, as far as that is known without making a file.

    Args and errors are those of `temporary_for`.
    """
    if old is None or not _can_overwrite(target):
        refuse_folder(target, name)
    if old is not None:
        _refuse_both(target, name)


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
            target = files.resolve_trusted(target)
        except OSError as error:
            raise describe_kept_file(source, name, error) from error
        write_over(source, target, name)


def _rename_to_free(path: str, target: str) -> None:
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
            _remove(target)
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
            _pour_into(file, target, may_replace)
    except OSError as error:
        raise describe_kept_file(source, name, error) from error
    except BaseException as error:
        error.add_note(_KEPT.format(source))
        raise
    _remove(source)


def leaves_file_behind(error: BaseException) -> bool:
    """Whether an error of `move_finished` or `write_over` says that the file stays."""
    return bool(getattr(error, "kept", "") or getattr(error, "__notes__", ()))


_KEPT = "all of it is in {}: move it from there"


def describe_kept_file(source: str, name: str, error: OSError) -> OutputError:
    """The error that says that `name` cannot be written, and that all of it is in `source`."""
    if not os.path.lexists(source):  # somebody has removed it
        return OutputError.of(name, error)
    told = OutputError.of(name, error, _KEPT.format(source))
    told.kept = source
    return told


def _pour_into(file: FileIO, target: str, may_replace: bool) -> None:
    source = os.fstat(file.fileno())
    is_new = not may_replace or not os.path.lexists(target)
    place = FileIO(target, "xb") if is_new else _open_over(target, source.st_size)
    try:
        if not is_new:
            _refuse_without_room(place, source.st_size)
        _pour(file, place, source.st_size)
        if hasattr(os, "fchown"):
            mode = os.fstat(place.fileno()).st_mode
            wanted = mode & _RIGHTS | (source.st_mode & 0o100 and (mode & 0o444) >> 2)
            if wanted != stat.S_IMODE(mode):
                with suppress(OSError):
                    os.fchmod(place.fileno(), wanted)
        _sync(place)
        _close(place)
    except BaseException:
        with suppress(OSError):
            place.close()
        if is_new:
            _remove(target)
        raise


def _open_over(target: str, size: int) -> FileIO:
    """Opens a file to write `size` bytes over what it holds; no more of that is left then.

    What is longer is cut off first: an old end would be taken for that of the archive.
    """
    try:
        descriptor = os.open(target, _OVERWRITE)
        try:
            info = os.fstat(descriptor)
            if info.st_size > size and stat.S_ISREG(info.st_mode):
                os.ftruncate(descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError:  # some take it in this way only
        descriptor = os.open(target, _OVERWRITE | os.O_TRUNC)
    file = FileIO(descriptor, "wb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file any more")
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


def _sync(file: FileIO) -> None:
    """Lets a network or a disk tell now what did not arrive."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno in _LOST:
            raise


def _close(file: FileIO) -> None:
    """The same; some network file systems do so as late as now."""
    try:
        file.close()
    except OSError as error:
        if error.errno in _LOST:
            raise


def _pour(source: FileIO, target: FileIO, size: int) -> None:
    """Copies the first `size` bytes of a file."""
    source.seek(0)
    while size:
        chunk = memoryview(source.read(min(size, _CHUNK)) or b"")
        if not chunk:
            raise OSError(errno.EIO, "the temporary file has lost its end")
        size -= len(chunk)
        while chunk:
            chunk = chunk[target.write(chunk) :]


def _copied(file: FileIO, size: int, folder: str, mode: int, is_beside: bool) -> Temporary:
    copy = _open_named(folder, mode, is_beside)
    try:
        _pour(file, copy.file, size)
    except BaseException:
        copy.discard()
        raise
    return copy


def _open_in(folder: str, mode: int, is_beside: bool) -> Temporary:
    """A new file in a folder, that can be given a name and be written over."""
    if hasattr(os, "O_TMPFILE") and os.path.isdir(_OPEN_FILES):
        with suppress(OSError):  # not every file system can
            return _open_nameless(folder, mode, is_beside)
    temporary = _open_named(folder, mode, is_beside)
    try:
        _try_out(temporary.file)
    except BaseException:
        temporary.discard()
        raise
    return temporary


def _open_nameless(folder: str, mode: int, is_beside: bool) -> Temporary:
    path = _new_name(folder)
    flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
    with FileIO(os.open(folder, flags, mode), "w+b") as trial:
        _try_out(trial)
        try:
            _link(trial.fileno(), path)
            os.unlink(path)
        except OSError:
            if not os.path.lexists(path):
                raise
            # As it cannot go, let it be of use.
            return Temporary(FileIO(path, "r+b"), path, True, is_beside)
        except BaseException:
            _remove(path)
            raise
    file = FileIO(os.open(folder, flags, mode), "w+b")
    return Temporary(file, path, False, is_beside)


def _open_named(folder: str, mode: int, is_beside: bool) -> Temporary:
    path = _new_name(folder)
    file = FileIO(path, "x+b", opener=partial(os.open, mode=mode))
    return Temporary(file, path, True, is_beside)


def _new_name(folder: str) -> str:
    return os.path.join(folder, f".parazip-{os.urandom(4).hex()}.tmp")


def _folder_elsewhere() -> str:
    import tempfile  # it loads much that is not needed elsewhere

    return os.path.abspath(tempfile.gettempdir())


def _try_out(file: FileIO) -> None:
    """Headers are filled in after the bytes behind them; some systems only ever go forward."""
    file.write(b"\0\0")
    file.seek(0)
    file.write(b"\0")
    file.seek(0)
    with suppress(OSError):
        file.truncate(0)


def _link(descriptor: int, path: str) -> None:
    """Gives a name to an open file that has none.

    Without a folder's descriptor Python calls link(2), which does not follow links; the one that is
    given here is not used, as the paths are absolute.
    """
    source = f"{_OPEN_FILES}/{descriptor}"
    os.link(source, path, src_dir_fd=descriptor, follow_symlinks=True)


def _remove(path: str) -> None:
    """Removes a file; where that is refused, at least its bytes go."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError:
        with suppress(OSError):
            os.truncate(path, 0)


def _can_overwrite(target: str) -> bool:
    """Whether the bytes of a file can be written as it stands there, or anew if there is none."""
    try:
        if os.path.lexists(target):
            os.close(os.open(target, _OVERWRITE))
        else:
            FileIO(target, "xb").close()
            _remove(target)
    except OSError:
        return False
    return True


def _refuse_both(target: str, name: str) -> None:
    """Refuses a file that cannot be overwritten if it certainly cannot be replaced either.

    As a rule a file that may not be written can be replaced: one that is read-only (EACCES), a
    program that runs (ETXTBSY). Not so one on a read-only file system, which begins at the file
    itself as its folder took another one (EROFS), and one that is immutable (EPERM). Windows
    replaces nothing that is read-only or in use.
    """
    if _may_write(target):
        return
    try:
        os.close(os.open(target, _OVERWRITE))
    except OSError as error:
        is_certain = error.errno in (errno.EROFS, errno.EPERM) or os.name == "nt"
        if is_certain or _is_sticky(target) or _is_mount_point(target):
            hint = f"{target} cannot be replaced either; write elsewhere"
            raise OutputError.of(name, error, hint) from error


def _may_write(path: str, how: int = os.W_OK) -> bool:
    return os.access(path, how, effective_ids=os.access in os.supports_effective_ids)


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


def _first_mode(target: str, old: os.stat_result | None) -> int:
    """With which mode a file is made; the process's umask takes its share of it.

    Of another owner's file it is the final one: what they allow, as far as we would ourselves.
    """
    if old is None or not hasattr(os, "getegid"):
        return 0o666
    mode = old.st_mode & _RIGHTS | 0o600
    if old.st_gid != _group_in(os.path.dirname(target)) or _has_acl(target):
        mode = _fewer(mode)
    return mode


def _group_in(folder: str) -> int:
    """The group that a new file in a folder is of: ours, or the folder's (stat(2), BSD)."""
    info = os.stat(folder)
    inherits = info.st_mode & stat.S_ISGID or sys.platform != "linux"
    return info.st_gid if inherits else os.getegid()


def _fewer(mode: int) -> int:
    """A mode whose group, which is another one, may do what others may do, and no more."""
    return mode & (0o707 | (mode & 0o007) << 3)


def _has_acl(path: str) -> bool:
    """Whether a file has an access control list: then its mode's middle is no group's (acl(5))."""
    if not hasattr(os, "getxattr"):
        return False
    with suppress(OSError):
        return bool(os.getxattr(path, "system.posix_acl_access"))
    return False
