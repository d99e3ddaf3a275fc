"""A temporary file that is to become another one; see `naming` for how that may go.

It is made in the folder of the target. Where the system can do that (Linux) it has no name: then
it is gone when the process is killed, even by SIGKILL. Whether such a file can be given a name is
tried with another one, which is empty. Where the folder takes no file and the target may be written
all the same, it is made in the folder for temporary files.

While it has a name and is not complete, no other user may write to it, whatever the umask allows:
the cache keeps what is read back from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import FileIO

from parazip.errors import OutputError, let_pass
from parazip.output import syncing
from parazip.output.naming import (
    FULL,
    close_file,
    pour_bytes,
    remove_file,
    rename_to_free,
    write_over,
)
from parazip.output.rights import (
    RIGHTS,
    can_overwrite,
    choose_first_mode,
    hand_on_rights,
    refuse_irreplaceable,
)

_OPEN_FILES = "/proc/self/fd"

_OTHERS_WRITE = 0o022 if os.name == "posix" else 0


class Temporary:
    """A new file that is to be another one later on; see `make_temporary`.

    Args:
        file: opened for reading and writing.
        path: its name, or the one that it is to get if it needs one.
        is_named: whether it has that name.
        is_beside: whether it is in the folder of the file that it is to become.
        allowed: the rights that the umask leaves it, of which it may have less for now.

    Attributes:
        file: the file.
        is_beside: see above.
        notes: what was refused without harm to the bytes, a sentence each.
    """

    def __init__(
        self, file: FileIO, path: str, is_named: bool, is_beside: bool, allowed: int
    ) -> None:
        self.file = file
        self._allowed = allowed
        self.is_beside = is_beside
        self.notes: list[str] = []
        self._path = path
        self._is_named = is_named
        self._stays = False

    @property
    def folder(self) -> str:
        """Where it is."""
        return os.path.dirname(self._path)

    @property
    def open_path(self) -> str:
        """A path under which it can be read, by this process and others of its user."""
        if self._is_named:
            return self._path
        return f"/proc/{os.getpid()}/fd/{self.file.fileno()}"

    # Each step below may be refused by a system, and then has another way behind it. What has been
    # tried and refused must leave the bytes where they were, so nothing is removed before the end.
    def become(
        self,
        target: str,
        old: os.stat_result | None,
        size: int,
        is_executable: bool,
        name: str,
        check: Callable[[], object] | None = None,
        sync: bool = False,
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
            sync: whether its bytes are on the disk before it gets the name, and the name after.

        Raises:
            OutputError: it cannot be written there. Its bytes are where the error says.
            OSError: the bytes have not all arrived in the temporary file.
        """
        if os.fstat(self.file.fileno()).st_size > size:
            self._continue_with_copy(size)
        self._set_rights(target, old, is_executable)
        if sync:
            syncing.sync(self.file.fileno())
        self._take_place(target, old, is_executable, name, check, sync)
        if sync:
            syncing.sync_folder(os.path.dirname(target), name)

    def _take_place(
        self,
        target: str,
        old: os.stat_result | None,
        is_executable: bool,
        name: str,
        check: Callable[[], object] | None,
        sync: bool,
    ) -> None:
        """`become` of a file that has its size and rights."""
        is_new = old is None and check is not None
        if not self._is_named:
            self._close_all_but_a_copy()
            # Where the name is free no other is needed in between: ext4 writes a file to the disk
            # at once that replaces another, for the sake of programs that do not.
            if old is None and self.is_beside:
                with suppress(OSError):
                    _link_to(self.file.fileno(), target)
                    return
            self._take_name()
            self._set_rights(target, old, is_executable)
            if sync:
                syncing.sync(self.file.fileno())  # it may be a copy now
        close_file(self.file)
        if check is not None:
            check()
        if self.is_beside:
            with suppress(OSError):
                if is_new:
                    rename_to_free(self._path, target)
                    self._stays = True  # it may have both names now, and be the target
                    self.note_what_is_left(self._path)
                else:
                    os.replace(self._path, target)
                return
            if is_new and check is not None:
                check()
        self._stays = True  # while its bytes are on their way it is the only whole copy
        write_over(self._path, target, name, may_replace=not is_new)
        self.note_what_is_left(self._path)

    def note_what_is_left(self, path: str) -> None:
        """Notes a file that could not be removed, if it is there."""
        if os.path.lexists(path):
            self.notes.append(f"{path} is left over: the system refuses to remove it")

    def discard(self) -> None:
        """Closes the file and removes it, if it has not become another one and need not stay."""
        with suppress(OSError):
            self.file.close()
        if self._is_named and not self._stays:
            remove_file(self._path)

    def _close_all_but_a_copy(self) -> None:
        """Closes the file, but for a copy of its descriptor that can be read; see `close_file`."""
        try:
            spare = os.dup(self.file.fileno())
        except OSError:  # there are no more descriptors
            return
        file, self.file = self.file, FileIO(spare, "rb")
        close_file(file)

    def _take_name(self) -> None:
        try:
            _link_to(self.file.fileno(), self._path)
            self._is_named = True
        except OSError:
            self._continue_with_copy(os.fstat(self.file.fileno()).st_size)

    def _continue_with_copy(self, size: int) -> None:
        """Goes on with a copy that has a name, in the folder for temporary files if need be."""
        try:
            copy = _copy_to_folder(self.file, size, self.folder, self._allowed, self.is_beside)
        except OSError:
            copy = _copy_to_folder(self.file, size, _find_other_folder(), 0o600, False)
        self.discard()
        self.file, self._path, self.is_beside = copy.file, copy._path, copy.is_beside
        self._is_named, self._allowed = True, copy._allowed

    def _set_rights(self, target: str, old: os.stat_result | None, is_executable: bool) -> None:
        """What is made elsewhere is written over the target, which keeps its rights as it is."""
        old = old if self.is_beside else None
        hand_on_rights(self.file, self._allowed, target, old, is_executable)
        self._allowed = _read_rights(self.file)


def make_temporary(target: str, old: os.stat_result | None, name: str) -> Temporary:
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
        temporary = _open_in(folder, choose_first_mode(target, old), is_beside=True)
    except OSError as error:
        let_pass(error)
        if error.errno in FULL:
            raise OutputError.of(name, error) from error
        if not can_overwrite(target):
            hint = f"{folder} takes no new file; write elsewhere"
            raise OutputError.of(name, error, hint) from error
        try:
            return _open_in(_find_other_folder(), 0o600, is_beside=False)
        except OSError as other:
            hint = (
                f"{folder} takes no new file, nor does a folder for temporary files, such as "
                "TMPDIR names"
            )
            raise OutputError.of(name, other, hint) from other
    if old is not None:
        try:
            refuse_irreplaceable(target, name)
        except BaseException:
            temporary.discard()
            raise
    return temporary


def _copy_to_folder(file: FileIO, size: int, folder: str, mode: int, is_beside: bool) -> Temporary:
    copy = _open_named(folder, mode, is_beside)
    try:
        pour_bytes(file, copy.file, size)
    except BaseException:
        copy.discard()
        raise
    return copy


def _open_in(folder: str, mode: int, is_beside: bool) -> Temporary:
    """A new file in a folder, that can be given a name and be written over."""
    if hasattr(os, "O_TMPFILE") and os.path.isdir(_OPEN_FILES):
        try:
            return _open_nameless(folder, mode, is_beside)
        except OSError as error:  # not every file system can
            let_pass(error)
    temporary = _open_named(folder, mode, is_beside)
    try:
        _check_seeking(temporary.file)
    except BaseException:
        temporary.discard()
        raise
    return temporary


def _open_nameless(folder: str, mode: int, is_beside: bool) -> Temporary:
    path = _make_name(folder)
    flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
    with FileIO(os.open(folder, flags, mode & ~_OTHERS_WRITE), "w+b") as trial:
        _check_seeking(trial)
        try:
            _link_to(trial.fileno(), path)
            os.unlink(path)
        except OSError:
            if not os.path.lexists(path):
                raise
            # As it cannot go, let it be of use.
            with FileIO(os.open(folder, flags, mode), "w+b") as other:
                allowed = _read_rights(other)
            return Temporary(FileIO(path, "r+b"), path, True, is_beside, allowed)
        except BaseException:
            remove_file(path)
            raise
    file = FileIO(os.open(folder, flags, mode), "w+b")
    return Temporary(file, path, False, is_beside, _read_rights(file))


def _open_named(folder: str, mode: int, is_beside: bool) -> Temporary:
    path = _make_name(folder)
    file = FileIO(path, "x+b", opener=partial(os.open, mode=mode))
    allowed = _read_rights(file)
    first = ""
    if allowed & _OTHERS_WRITE:
        # To take the rights away would come too late: who has it open may write to it.
        file.close()
        remove_file(path)
        first, path = path, _make_name(folder)
        file = FileIO(path, "x+b", opener=partial(os.open, mode=mode & ~_OTHERS_WRITE))
    temporary = Temporary(file, path, True, is_beside, allowed)
    temporary.note_what_is_left(first)
    return temporary


def _read_rights(file: FileIO) -> int:
    return os.fstat(file.fileno()).st_mode & RIGHTS


def _make_name(folder: str) -> str:
    return os.path.join(folder, f".parazip-{os.urandom(4).hex()}.tmp")


def _find_other_folder() -> str:
    import tempfile  # it loads much that is not needed elsewhere

    return os.path.abspath(tempfile.gettempdir())


def _check_seeking(file: FileIO) -> None:
    """Headers are filled in after the bytes behind them; some systems only ever go forward."""
    file.write(b"\0\0")
    file.seek(0)
    file.write(b"\0")
    file.seek(0)
    with suppress(OSError):
        file.truncate(0)


def _link_to(descriptor: int, path: str) -> None:
    """Gives a name to an open file that has none.

    Without a folder's descriptor Python calls link(2), which does not follow links; the one that is
    given here is not used, as the paths are absolute.
    """
    source = f"{_OPEN_FILES}/{descriptor}"
    os.link(source, path, src_dir_fd=descriptor, follow_symlinks=True)
