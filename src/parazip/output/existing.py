"""What stands where an archive is to be, and must still stand there when that is complete."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from parazip.errors import OutputError, SourceChangedError, SourceError, hide_secrets
from parazip.model import Changes
from parazip.sources import files

if sys.platform != "win32":
    import fcntl


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
        OutputError: it is a URL.
    """

    def __init__(self, path: str, changes: Changes = "ctime") -> None:
        self._path = path
        if files.is_url(path):
            name = hide_secrets(path)
            raise OutputError(
                f"cannot change {name}: it is a URL; change the archive here, and send it there",
                member=name,
            )
        self._info = self._look()
        changes = "ctime" if changes == "ctime" else "mtime"
        self._file = None if self._info is None else files.describe_file(path, self._info, changes)
        self.file = self._file and self._file._replace(ctime_ns=0)
        if self._info is not None and not stat.S_ISREG(self._info.st_mode):
            kind = files.describe_kind(self._info.st_mode)
            raise SourceError(
                f"cannot change {path}: it is {kind}, not a regular file", member=path
            )

    def _look(self) -> os.stat_result | None:
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
        info = self._look()
        if self._info is None or self._file is None:
            if info is not None:
                self.refuse("was made by somebody else")
            return None
        if info is None:
            self.refuse("has gone")
        if not stat.S_ISREG(info.st_mode):
            self.refuse(f"has become {files.describe_kind(info.st_mode)}")
        is_touched = any(getattr(info, fact) != getattr(self._info, fact) for fact in _BESIDE)
        file = self._file._replace(ctime_ns=0) if is_touched else self._file
        if files.find_differences(file, info):
            self.refuse(
                "was changed by somebody else", f": {files.describe_differences(file, info)}"
            )
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
            descriptor = files.open_regular(self._path)
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

    def refuse(self, event: str, why: str = "") -> NoReturn:
        """Raises the error that says which `event` came between, and `why` that is known."""
        raise SourceChangedError(
            f"{self._path} {event} meanwhile{why}; it stays as it is, run the command again",
            member=self._path,
        )


_BESIDE = ("st_mode", "st_uid", "st_gid", "st_nlink")
"""What explains another change time, and is not contents."""
