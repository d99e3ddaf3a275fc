"""Names of members: what one means, and comparing them at a cost that their bytes bound.

A name that leads out of the folder that it is unpacked in is refused, and so is one that no system
or reader can take. One that some reader refuses or takes for another is a note for people.
"""

from __future__ import annotations

import glob
import os
import re
import sys
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from parazip.errors import MemberNameError, ParazipError
from parazip.format.records import MAX_NAME

MIMETYPE = "mimetype"
"""The member that tells what kind of container an archive is (EPUB, OpenDocument)."""

MOST_STEPS = 2048
"""Slashes in a name: no system takes a path of 4,096 bytes or more, and each step takes two."""

_DRIVE = re.compile("[A-Za-z]:").match


def leads_out(name: str) -> bool:
    """Whether a name leads out of the folder that it is unpacked in, here or on Windows."""
    steps = name.replace("\\", "/").split("/")
    return (not steps[0] and bool(name)) or ".." in steps or _DRIVE(steps[0]) is not None


def find_fault(name: str, is_file: bool = True) -> str:
    """What is wrong with a name, as the end of a sentence about it; empty if it may be stored."""
    if leads_out(name):
        drive = _DRIVE(name)
        why = f", as {drive[0]} is a drive on Windows" if drive else ""
        return f"leads out of the archive{why}"
    if "\0" in name:
        return "has a NUL in it, where some readers end it"
    if name.count("/") > MOST_STEPS:
        return f"has more than {MOST_STEPS:,} steps"
    steps = name.split("/")
    if steps[-1] == "." or (is_file and {*steps} <= {"", "."}):
        return "is that of a folder, and it is a file"
    return ""


def normalize_name(name: str) -> str:
    """A relative name without steps that lead nowhere; empty if it is of the top itself."""
    if name.startswith("/") or not ("//" in name or name.startswith("./") or "/./" in name):
        return name
    plain = "/".join(step for step in name.split("/") if step not in ("", "."))
    return plain + "/" if plain and name.endswith("/") else plain


def decode_name(name: str) -> str:
    """A name of a file as UTF-8 has it, whatever Python made of it.

    To the system names are bytes, and nearly everywhere UTF-8. Python decodes them as the locale
    says. In one of ASCII or Latin-1 that gives other text, or text that cannot be encoded.
    """
    if name.isascii():
        return name
    try:
        return os.fsencode(name).decode()
    except UnicodeError:
        return name


def make_decoder() -> Callable[[str], str] | None:
    """`decode_name`; None where the locale is UTF-8 and it would never change a name."""
    return None if sys.getfilesystemencoding() == "utf-8" else decode_name


_ODD = bytes(range(32)) + b'\x7f\\:*?"<>|;'
_LIKE_DEVICES = re.compile(rb"/(?:[acnp][oru][nxl][./ io]|[cl][op][mt][0-9\xc2])")
"""A quick look for devices: these two branches take half of the time that eight names take."""

_DEVICE = re.compile(
    r"(?:^|/)(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *[./]", re.IGNORECASE
)
"""A device of Windows, whatever follows its dot, as one step of a name with a slash at its end."""

MISREADINGS = {
    "name-backslash": (
        "names with a backslash, which zipfile, 7-Zip and others on Windows take for a slash"
    ),
    "name-control": "names with control characters, which PyPI refuses and Windows does not have",
    "name-windows": (
        'names with one of : * ? " < > |, which Windows does not have (behind a colon it has '
        "another stream of a file)"
    ),
    "name-version": "names with a version as VMS has it (;1), which unzip drops",
    "name-device": "names that Windows has for devices",
    "name-ending": "names with a dot or blank at the end of a step, which Windows drops",
    "name-step": "names with a step that is empty or a dot, which most readers drop",
    "name-case": "names that differ only in case, of which Windows and macOS keep one",
    "name-form": "names that differ only in their Unicode form, of which macOS keeps one",
}
"""What some readers make of names, by the ids of rules; see docs/refusals.md."""

_ODDITIES: dict[str, Callable[[str], object]] = {
    "name-backslash": lambda name: "\\" in name,
    "name-control": re.compile(r"[\0-\x1f\x7f]").search,
    "name-windows": re.compile(r'[:*?"<>|]').search,
    "name-version": re.compile(r";[0-9]*/\Z").search,
    "name-device": _DEVICE.search,
    "name-ending": re.compile(r"(?:^|/)(?!\.{1,2}/)[^/]*[. ]/").search,
    "name-step": re.compile(r"//|(?:^|/)\./").search,
}
"""How such a name is found; each is asked of the name with a slash at its end."""


class Listener(Protocol):
    """Hears what is said of names; see `parazip.sources.findings.Findings`."""

    def refuse(self, error: ParazipError) -> None:
        """Hears of a name that cannot be stored."""

    def misread(self, rule: str, *names: str) -> None:
        """Hears of names that some reader refuses or takes for others; see `MISREADINGS`."""


class ReaderJudge:
    """Judges names by what other readers make of them.

    Args:
        listener: hears of names that are refused or misread somewhere.
        advice: what to do with a file whose name is refused, if not to rename it.
    """

    def __init__(self, listener: Listener, advice: str) -> None:
        self._listener = listener
        self._advice = advice
        self._may_be_alike = False

    def judge(self, names: Sequence[str]) -> None:
        """Judges some names, each for itself; they have no slash at their end."""
        # All names are searched at once, as one text in which each step has a slash on both sides.
        # The step `-` between two names keeps the end of one from joining the other.
        text = f"/{'/-/'.join(names)}/".encode(errors="surrogatepass")
        lower = text.lower()
        if text != lower or not text.isascii():
            self._may_be_alike = True
        if (
            len(text.translate(None, _ODD)) < len(text)
            or b"./" in text
            or (b" " in text and b" /" in text)
            or b"//" in text
            or _LIKE_DEVICES.search(lower)
        ):
            for name in names:
                self._judge_one(name)

    def _judge_one(self, name: str) -> None:
        why = find_fault(name)
        if why:
            self._listener.refuse(
                MemberNameError(
                    f"the name {name!r} cannot be stored: it {why}; rename the file or "
                    f"{self._advice}",
                    member=name,
                )
            )
            return
        for rule, is_odd in _ODDITIES.items():
            if is_odd(f"{name}/"):
                self._listener.misread(rule, name)

    def judge_together(self, names: Collection[str]) -> None:
        """Looks for names that are one to some system; all of them have been judged."""
        if not self._may_be_alike:
            return
        fold: Callable[[str], str] = str.lower
        if not all(map(str.isascii, names)):
            fold = fold_name
        if len({*map(hash, map(fold, names))}) == len(names):
            return
        first: dict[str, str] = {}
        for name in names:
            other = first.setdefault(fold(name), name)
            if other is not name:
                is_form = _compose(other) == _compose(name)
                self._listener.misread("name-form" if is_form else "name-case", other, name)


def explain_unstorable(name: str, advice: str) -> MemberNameError | None:
    """Why no archive can hold a name, if none can; `advice` says what to do besides renaming."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return MemberNameError(
            f"the name {name!r} cannot be stored: it is not valid UTF-8; rename the file "
            f"or {advice}",
            member=name,
        )
    if name.count("/") > MOST_STEPS:
        return MemberNameError(
            f"the name {name[:60]!r}... cannot be stored: it has more than {MOST_STEPS:,} steps; "
            f"rename a folder or {advice}",
            member=name,
        )
    if 0 < length <= MAX_NAME:
        return None
    return MemberNameError(
        f"the name {name[:60]!r}... cannot be stored: it has {length} bytes, and a zip "
        f"archive takes 1 to {MAX_NAME}",
        member=name,
    )


def _compose(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def fold_name(name: str) -> str:
    """A name as it is compared where neither case nor Unicode form counts."""
    return name.lower() if name.isascii() else _compose(_compose(name).lower())


def find_file_within(files: Collection[str], is_folder: Callable[[str], bool]) -> str:
    """A file that another member needs as a folder; empty if there is none.

    Args:
        files: names of all members, without a slash at their end.
        is_folder: whether the member of a name is a folder.
    """
    # Level by level: a set of all folders' names would take the square of their steps in memory.
    folders = {name[:at] for name in files if (at := name.rfind("/")) > 0}
    while folders:
        found = [folder for folder in folders if folder in files and not is_folder(folder)]
        if found:
            return min(found)
        folders = {folder[:at] for folder in folders if (at := folder.rfind("/")) > 0}
    return ""


def find_file_as_folder(files: Iterable[str], folders: Iterable[str]) -> tuple[str, str] | None:
    """A file that is also a folder, or one that a folder is in, and that folder; None if none is.

    All names end with a slash.
    """
    # Sorted, folders that begin with a file's name stand where the name would. A set of all
    # beginnings of the folders' names would take the square of their steps in memory.
    in_order = sorted(folders)
    end = len(in_order)
    for file in files:
        at = bisect_left(in_order, file)
        if at < end and in_order[at].startswith(file):
            return file, in_order[at]
    return None


def make_pattern(name: str) -> str:
    """A pattern for a name that people can type: what cannot be shown becomes any character."""
    return glob.escape("".join(c if c.isprintable() else "\0" for c in name)).replace("\0", "?")
