"""What can go wrong: one root, and the standard types that callers of `zipfile` already catch.

A message names the file, what happened and what to do about it.
"""

from __future__ import annotations

import re
from errno import ENOSPC
from typing import Any, TypeVar
from zipfile import BadZipFile

Error = TypeVar("Error", bound=Exception)


_PASSWORDS = re.compile(r"(://[^/@:\s]*):[^/@\s]*@")
_QUERIES = re.compile(r"(https?://[^?\s]*)\?\S*?(?=[])>:;,.'\"]*(?:\s|$))", re.IGNORECASE)


def hide_secrets(text: str) -> str:
    """A text for people: its URLs without a password, and without what web servers are asked.

    Signed URLs have their signature there.
    """
    if "://" not in text:
        return text
    return _QUERIES.sub(r"\1?***", _PASSWORDS.sub(r"\1:***@", text))


class ParazipError(Exception):
    """The root of all errors that parazip raises on purpose.

    Its message shows no secrets of URLs.

    Attributes:
        member: the name of the member or the path of the file concerned, or None.
        others: the other problems that were found in the same run; `str` has them all.
        untold: how many more problems there are.
    """

    def __init__(self, message: str, *, member: str | None = None) -> None:
        super().__init__(hide_secrets(message))
        self.member = member
        self.others: tuple[ParazipError, ...] = ()
        self.untold = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """What pickle needs to hand it to another process: not all is in what it is made of."""
        return _restore, (type(self), self.args, _find_number(self)), self.__dict__

    def messages(self) -> list[str]:
        """A message for each problem, and how many more there are."""
        messages = [str(error.args[0]) for error in (self, *self.others)]
        if self.untold:
            messages.append(f"and {self.untold:,} more problems")
        return messages

    def __str__(self) -> str:
        return "\n".join(self.messages())


def _find_number(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None


def _restore(kind: type[Error], args: tuple[Any, ...], number: int | None) -> Error:
    error = kind.__new__(kind, *args)
    error.args = args
    if isinstance(error, OSError):
        error.errno = number
    return error


def note_member(error: MemoryError, name: str) -> None:
    """Notes at which member or file memory ran out, if nobody has noted that yet."""
    if not hasattr(error, "__notes__"):
        error.add_note(f"at {hide_secrets(name)}")


def let_pass(error: OSError) -> None:
    """Raises an error that is no system's: a `TimeoutError` without a number.

    Programs raise it in a signal handler to bound what a call may take, and wait for just that.
    """
    if isinstance(error, TimeoutError) and error.errno is None:
        raise error


class SettingsError(ParazipError, ValueError):
    """A setting is out of its range, or two settings contradict each other."""


class MemberNameError(ParazipError, ValueError):
    """A name that no archive can hold: empty, not encodable, too long or used twice."""


class DuplicateMemberError(MemberNameError):
    """Two members of one archive have the same name."""


class DateError(ParazipError, ValueError):
    """A date that was asked for and that zip archives cannot express (1980 to 2107, APPNOTE 4.4.6).

    The times of files are never an error: they are moved to the nearest date that zip has.
    """


class FileError(ParazipError, OSError):
    """The operating system, or what a file holds, does not allow it.

    Attributes:
        reason: why, without what can be done about it.
    """

    def __init__(
        self,
        message: str,
        *,
        member: str | None = None,
        errno: int | None = None,
        reason: str = "",
    ) -> None:
        super().__init__(message, member=member)
        self.errno = errno
        self.reason = hide_secrets(reason or message)


class SourceError(FileError):
    """A file or folder to be put in is missing, unreadable or of another kind."""

    @classmethod
    def of(cls, path: str, error: OSError) -> SourceError:
        """An error of the operating system, with the path that it is about.

        Raises:
            TimeoutError: it is one that a signal handler has raised.
        """
        let_pass(error)
        message = f"cannot read {path}: {error.strerror or error}"
        return cls(message, member=path, errno=error.errno)


class SourceChangedError(SourceError):
    """A file changed between the moment it was found and the moment it was read."""

    @classmethod
    def while_read(cls, path: str, what: str) -> SourceChangedError:
        """The error of a file somewhere else.

        Args:
            path: where it is.
            what: has changed of it.
        """
        reason = f"{path} changed while it was read: {what}"
        advice = "try again when nothing writes to it, or leave it out with --exclude"
        return cls(f"{reason}; {advice}", member=path, reason=reason)


class BadArchiveError(ParazipError, BadZipFile):
    """An archive to be read is damaged, is not an archive, or says two different things.

    Attributes:
        archive: the path of its file.
        id: the id of the rule that it breaks, as in docs/refusals.md; empty if it has none.
    """

    def __init__(
        self,
        message: str,
        *,
        archive: str,
        member: str | None = None,
        id: str = "",  # noqa: A002 # as the attribute
    ) -> None:
        super().__init__(message, member=member or archive)
        self.archive = archive
        self.id = id


class NotCopiedError(ParazipError, NotImplementedError):
    """A member of another archive cannot be copied as it is.

    Attributes:
        id: the id of the reason, as in docs/refusals.md.
        reason: why, without what can be done about it.
    """

    def __init__(
        self,
        message: str,
        *,
        member: str | None = None,
        id: str = "",  # noqa: A002 # as the attribute
        reason: str = "",
    ) -> None:
        super().__init__(message, member=member)
        self.id = id
        self.reason = hide_secrets(reason or message)


class NoSuchMemberError(ParazipError, KeyError):
    """An archive has no member of that name, or none that matches that pattern."""


class ExecutorError(ParazipError, RuntimeError):
    """An executor could not do what it was handed, or its workers are not what they have to be."""


class OutputError(FileError):
    """The archive cannot be written where it was asked for.

    Attributes:
        kept: the path of the file that holds all that was to be written, if there is one.
    """

    kept = ""

    @classmethod
    def of(cls, path: str, error: OSError, hint: str = "") -> OutputError:
        """An error of the operating system, with the archive that it is about, and a hint.

        Raises:
            TimeoutError: it is one that a signal handler has raised.
        """
        let_pass(error)
        if isinstance(error, BrokenPipeError):
            reason = "whoever reads it has gone"
        elif error.errno == ENOSPC:
            reason = "the disk is full; make room or write elsewhere"
        else:
            reason = str(error.strerror or error)
        message = "; ".join(filter(None, (f"cannot write {path}: {reason}", hint)))
        return cls(message, member=path, errno=error.errno)


_KINDS: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in [*globals().values(), MemoryError]
    if isinstance(kind, type) and issubclass(kind, ParazipError | MemoryError)
}


def flatten_error(error: ParazipError | MemoryError) -> tuple[Any, ...]:
    """An error as plain values; other problems of the same run stay behind."""
    name = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _KINDS)
    known = {key: value for key, value in vars(error).items() if key != "others"}
    return name, error.args, _find_number(error), known


def restore_error(flat: tuple[Any, ...]) -> Exception:
    """The error that `flatten_error` made plain values of.

    Raises:
        ValueError: it is none of ours.
    """
    name, args, number, known = flat
    if name not in _KINDS:
        raise ValueError(f"there are no errors of the kind {name!r}")
    error = _restore(_KINDS[name], args, number)
    vars(error).update(known)
    if isinstance(error, ParazipError):
        error.others = ()
    return error
