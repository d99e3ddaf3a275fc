"""What an error means to those who called a command: messages and an exit code.

0 all went well, 1 something failed, 2 the command line is wrong.
"""

from __future__ import annotations

from errno import EMFILE, ENFILE, ENOENT, ENOMEM
from typing import NamedTuple

import click

from parazip.errors import ParazipError, SettingsError, hide_secrets


class Outcome(NamedTuple):
    """How a command has ended.

    Attributes:
        messages: what is wrong, for people.
        code: the exit code.
        is_of_output: whether it means that standard output takes no more.
    """

    messages: tuple[str, ...]
    code: int = 1
    is_of_output: bool = False


_NO_FILES = Outcome(
    ("the system does not open more files; use fewer --jobs, or allow more files (ulimit -n)",)
)
_NO_FOLDER = Outcome(("the current folder is gone; change to one that is there",))
_NO_THREADS = Outcome(("the system does not start more threads; use fewer --jobs",))


def explain_error(error: BaseException) -> Outcome | None:
    """What an error means; None if it is not an expected one."""
    match error:
        case ParazipError():
            return Outcome(tuple(error.messages()), 2 if isinstance(error, SettingsError) else 1)
        case KeyboardInterrupt() | click.Abort():
            notes = getattr(error, "__notes__", ())
            return Outcome(("; ".join(("interrupted", *notes)),))
        case MemoryError():
            return _explain_no_memory(*getattr(error, "__notes__", ()))
        case OSError(errno=number, filename=None):
            if number == ENOMEM:
                return _explain_no_memory()
            if number in (EMFILE, ENFILE):
                return _NO_FILES
            if number == ENOENT:
                return _NO_FOLDER
            message = f"cannot write to standard output: {error.strerror}"
            notes = getattr(error, "__notes__", ())
            return Outcome(("; ".join((message, *notes)),), is_of_output=True)
        case RuntimeError() if "start new thread" in str(error):
            return _NO_THREADS
        case ImportError() if "allocate memory" in str(error) or "map segment" in str(error):
            return _explain_no_memory()
        case SystemError():  # extension modules fail so where they get no memory
            message = (
                f"a codec library failed inside ({error}); if memory is short, use fewer --jobs"
            )
            return Outcome((message,))
    return None


def _explain_no_memory(*where: str) -> Outcome:
    what = " ".join(("out of memory", *where))
    return Outcome((f"{what}; use a smaller --memory or fewer --jobs",))


def print_failure(error: BaseException) -> None:
    """Writes a failure to standard output, as one JSON document; nothing if it is a bug."""
    if isinstance(error, SystemExit) and error.__cause__ is not None:
        error = error.__cause__  # standard error has it already
    outcome = explain_error(error)
    if outcome is None or outcome.is_of_output or isinstance(error, BrokenPipeError):
        return
    from parazip.display import print_json  # which loads the codecs

    member = getattr(error, "member", None)
    print_json(
        {
            "problems": outcome.messages,
            "exit_code": outcome.code,
            "error": {
                "type": type(error).__name__,
                "message": outcome.messages[0],
                "id": getattr(error, "id", "") or None,
                "member": member and hide_secrets(member),
            },
        }
    )
