"""What is extracted of an archive, and how; and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from parazip.errors import SettingsError
from parazip.format.values import MOST_DEFLATED
from parazip.sources.selection import check_patterns

Modes: TypeAlias = Literal["keep", "normal", "none"]
MODES: tuple[Modes, ...] = ("keep", "normal", "none")

Overwrite: TypeAlias = Literal["error", "skip", "newer", "all"]
OVERWRITE: tuple[Overwrite, ...] = ("error", "skip", "newer", "all")

NEVER_A_BOMB = 1 << 24
"""Bytes that may always be extracted, however few they are made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What is extracted of an archive, and how.

    Attributes:
        members: patterns of what is extracted, compared as `Selection.exclude` is; all members if
            there are none. A folder takes along what it holds.
        exclude: patterns of what is not.
        strip_components: how many steps are taken off the beginning of each name, as by tar.
            Members that have no more are left out.
        overwrite: what becomes of files that are there: "error" writes nothing if there is one,
            "skip" leaves them, "newer" replaces those that are older than the member, "all" all.
        modes: "keep" gives files and folders the permissions that members have, as far as the umask
            allows, "normal" those of any new file, and the right to execute what somebody may
            execute; "none" those of any new file.
        max_size: the most bytes that may be extracted; None for what has room on the disk.
        max_members: the most files, folders and links that may be made; None for as many as the
            file system has room for, if it tells.
        max_ratio: how many times the compressed bytes of all files their contents may be. What
            deflate makes is never more than the default, but bzip2 makes a gigabyte of a kilobyte.
            `NEVER_A_BOMB` bytes are always allowed.
        sync: whether all is on the disk when the call returns.

    Raises:
        SettingsError: a value is out of its range.
        TypeError: a value is of another type.
    """

    members: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    strip_components: int = 0
    overwrite: Overwrite = "error"
    modes: Modes = "keep"
    max_size: int | None = None
    max_members: int | None = None
    max_ratio: int = MOST_DEFLATED
    sync: bool = False

    def __post_init__(self) -> None:
        for name in ("members", "exclude"):
            check_patterns(name, getattr(self, name))
        for name in ("strip_components", "max_size", "max_members", "max_ratio"):
            number = getattr(self, name)
            if not isinstance(number, int | None):
                raise TypeError(f"{name} must be a whole number, not {number!r}")
            if number is not None and number < 0:
                raise SettingsError(f"{name} must be 0 or more, not {number}")
        if self.overwrite not in OVERWRITE:
            raise SettingsError(
                f"overwrite {self.overwrite!r} is not one of {', '.join(OVERWRITE)}"
            )
        if self.modes not in MODES:
            raise SettingsError(f"modes {self.modes!r} is not one of {', '.join(MODES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractReport:
    """What was extracted.

    Attributes:
        folder: where.
        members: files, folders and links that were made or replaced.
        bytes: of all files.
        skipped: files that were there and were left.
        seconds: from the first look at the archive to the end.
    """

    folder: str
    members: int
    bytes: int
    skipped: int
    seconds: float
