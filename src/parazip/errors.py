"""What can go wrong: one root, and the standard types that callers of `zipfile` already catch.

A message names the file, what happened and what to do about it.
"""

from __future__ import annotations


class ParazipError(Exception):
    """The root of all errors that parazip raises on purpose.

    Attributes:
        member: the name of the member or the path of the file concerned, or None.
    """

    def __init__(self, message: str, *, member: str | None = None) -> None:
        super().__init__(message)
        self.member = member

    def __str__(self) -> str:
        return str(self.args[0])


class SettingsError(ParazipError, ValueError):
    """A setting is out of its range, or two settings contradict each other."""


class MemberNameError(ParazipError, ValueError):
    """A name that no archive can hold: not encodable, too long, unsafe or used twice."""


class DuplicateMemberError(MemberNameError):
    """Two members of one archive have the same name."""


class DateError(ParazipError, ValueError):
    """A date outside of what a zip archive can express (1980 to 2107, APPNOTE 4.4.6)."""


class SourceError(ParazipError, OSError):
    """A file or folder to be put in is missing, unreadable or not a file."""

    @classmethod
    def of(cls, path: str, error: OSError) -> SourceError:
        """The error of the operating system, told with the path it happened on."""
        told = cls(f"cannot read {path}: {error.strerror or error}", member=path)
        told.errno = error.errno
        return told


class SourceChangedError(SourceError):
    """A file changed between the moment it was found and the moment it was read."""


class OutputError(ParazipError, OSError):
    """The archive cannot be written where it was asked for."""

    @classmethod
    def of(cls, path: str, error: OSError) -> OutputError:
        """The error of the operating system, told with the archive it happened on."""
        told = cls(f"cannot write {path}: {error.strerror or error}", member=path)
        told.errno = error.errno
        return told
