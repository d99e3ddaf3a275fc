"""What is put in, and under which names: the options of a search, and which names they match.

A pattern leaves out a name, and what is below it. The walk does not look below a folder that is
left out, so it compares each name by itself (`make_step_exclusion`). Names of other archives'
members may come without their folders, so each is compared with all its steps (`make_exclusion`).
"""

from __future__ import annotations

import datetime
import fnmatch
import glob
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from parazip.errors import NoSuchMemberError, SettingsError
from parazip.format.names import decode_name, leads_out, make_pattern, normalize_name
from parazip.format.records import check_align
from parazip.model import CHANGES, Changes, Member
from parazip.sources.dates import TIMESTAMPS, Timestamp, make_date_policy
from parazip.sources.findings import Findings

Symlinks: TypeAlias = Literal["follow", "store"]
Modes: TypeAlias = Literal["keep", "normal"]
Skip: TypeAlias = Literal["special", "dangling", "unreadable"]
SKIPS: tuple[Skip, ...] = ("special", "dangling", "unreadable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is put in, and under which names and dates.

    Attributes:
        directory: paths are relative to this folder.
        exclude: patterns of what is left out. One without a slash is compared with the last
            part of each name, at any depth; one with a slash with the whole name. A slash at its
            end asks for a folder, one in front or `./` for no more. `*` stands for any characters,
            `/` included. A folder that is left out takes along what it holds.
        exclude_vcs: leaves out what version control systems keep, by the names that tar knows.
        ignore: leaves out what the .gitignore and .zipignore files say that folders hold, as git
            does, and `.git`. Those of the folders above count too, from the top of the repository
            on. What is named itself is taken.
        prefix: a folder inside the archive, in front of all names.
        symlinks: "follow" puts in what a link points to, "store" the link itself.
        store: patterns of files that are stored, whatever the level; compared as `exclude` is. So
            is, by itself, an archive's first member if it is named `mimetype`; if a folder that
            all is in has such a file, it comes first.
        align: pairs of a number and a pattern, compared as `exclude` is: contents of members that
            match, and are stored, begin at a multiple of so many bytes in the archive's file.
            Powers of two up to 32,768; where several patterns match, the largest counts.
        modes: "keep" takes the permissions as they are, "normal" 644 for files, and 755 for folders
            and for files that somebody may execute.
        skip: what is left out and counted instead of being refused: "special" sockets, named pipes
            and devices, "dangling" links that lead nowhere or round in a circle, "unreadable" files
            and folders that may not be read (EACCES, EPERM), not those that a disk, a network or
            this process fails to read.
        timestamp: "keep" takes the files' own local times, moved into 1980 to 2107 if they are
            outside, which it tells; "clamp" does the same without telling, and, if the environment
            has SOURCE_DATE_EPOCH (seconds since 1970), takes that for newer ones, all in UTC;
            "epoch" takes 1980-01-01 00:00:00, a `datetime` that moment as it stands. None takes
            SOURCE_DATE_EPOCH (in UTC, moved likewise) if there is one, and "keep" otherwise.
        changes: what shows that a file has changed since it was found, which is an error: "ctime"
            its size, modification time, inode or change time; "mtime" size or modification time,
            for file systems that give other inodes and change times at each look; "size" its size
            alone; with "none" what is there when it is read is taken, to its end.

    Raises:
        SettingsError: the prefix leads out of the archive, SOURCE_DATE_EPOCH is no number, or
            nothing can be aligned to such a number.
        DateError: the timestamp is not in 1980 to 2107.
    """

    directory: str | os.PathLike[str] | None = None
    exclude: tuple[str, ...] = ()
    exclude_vcs: bool = False
    ignore: bool = False
    prefix: str = ""
    symlinks: Symlinks = "follow"
    modes: Modes = "keep"
    timestamp: Timestamp | None = None
    skip: tuple[Skip, ...] = ()
    changes: Changes = "ctime"
    store: tuple[str, ...] = ()
    align: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        for field in ("exclude", "store"):
            check_patterns(field, getattr(self, field))
        if not isinstance(self.align, tuple):
            raise TypeError(f"{_ALIGN}, not {self.align!r}")
        for pair in self.align:
            _check_align(pair)
        for field in ("exclude_vcs", "ignore"):
            if not isinstance(flag := getattr(self, field), bool):
                raise TypeError(f"{field} is True or False, not {flag!r}")
        if not isinstance(self.directory, str | os.PathLike | None):
            raise TypeError(f"directory is a path or None, not {self.directory!r}")
        if not isinstance(self.prefix, str):
            raise TypeError(f"prefix is the name of a folder, not {self.prefix!r}")
        for kind in _check_strings("skip", "kinds", self.skip):
            if kind not in SKIPS:
                raise SettingsError(f"skip {kind!r} is not one of {', '.join(SKIPS)}")
        if self.symlinks not in ("follow", "store"):
            raise SettingsError(f"symlinks must be 'follow' or 'store', not {self.symlinks!r}")
        if self.modes not in ("keep", "normal"):
            raise SettingsError(f"modes must be 'keep' or 'normal', not {self.modes!r}")
        if self.changes not in CHANGES:
            raise SettingsError(f"changes {self.changes!r} is not one of {', '.join(CHANGES)}")
        normalize_prefix(self.prefix)
        if self.timestamp not in (None, *TIMESTAMPS) and not isinstance(
            self.timestamp, datetime.datetime
        ):
            raise SettingsError(
                f"timestamp {self.timestamp!r} is not {', '.join(TIMESTAMPS)} or a datetime"
            )
        make_date_policy(self.timestamp)

    @property
    def patterns(self) -> tuple[str, ...]:
        """All patterns of what is left out."""
        return self.exclude + _VCS if self.exclude_vcs else self.exclude

    @property
    def folder_prefix(self) -> str:
        """The prefix as it stands in front of names: empty, or ending with a slash."""
        return normalize_prefix(self.prefix)


def _check_align(pair: object) -> None:
    match pair:
        case (int(multiple), str(pattern)):
            _check_pattern("align", pattern)
            check_align(pattern, multiple)
        case _:
            raise TypeError(f"{_ALIGN}, not {pair!r}")


_ALIGN = "align is a tuple of pairs such as (64, '*.npy')"


def _check_strings(field: str, items: str, values: object) -> tuple[str, ...]:
    if isinstance(values, str):
        raise TypeError(f"{field} is a tuple of {items}, not the single {values!r}")
    if not isinstance(values, tuple) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{field} is a tuple of {items}, not {values!r}")
    return values


def check_patterns(field: str, patterns: object) -> None:
    """Refuses what is no tuple of patterns.

    Raises:
        SettingsError: a pattern names nothing.
        TypeError: it is something else.
    """
    for pattern in _check_strings(field, "patterns", patterns):
        _check_pattern(field, pattern)


def _check_pattern(field: str, pattern: str) -> None:
    if not pattern.replace(os.sep, "/").removeprefix("./").strip("/"):
        raise SettingsError(
            f"{field} has the pattern {pattern!r}, which names nothing; write a name, or a pattern "
            "such as *.pyc"
        )


_VCS = (
    "CVS", ".cvsignore", "RCS", "SCCS", ".svn", ".git", ".gitignore", ".gitattributes",
    ".gitmodules", ".arch-ids", "{arch}", "=RELEASE-ID", "=meta-update", "=update", ".bzr",
    ".bzrignore", ".bzrtags", ".hg", ".hgignore", ".hgtags", "_darcs",
)  # fmt: skip
"""What GNU tar leaves out by --exclude-vcs."""


def normalize_prefix(name: str) -> str:
    """The name of a folder inside the archive: empty, or ending with a slash.

    Raises:
        SettingsError: it leads out of the archive.
    """
    parts = decode_name(name).replace(os.sep, "/").split("/")
    if leads_out(name):
        raise SettingsError(f"prefix {name!r} leads out of the archive")
    joined = "/".join(part for part in parts if part not in ("", "."))
    return joined and joined + "/"


def apply_layout(
    members: Iterator[Member], selection: Selection, prefix: str, findings: Findings
) -> Iterator[Member]:
    """The same members; those that are to be stored and aligned say so.

    Args:
        members: whose names begin with `prefix`.
        selection: what is to be stored and aligned.
        prefix: is not compared.
        findings: hear of patterns that match nothing, in all that is put in.
    """
    if not (selection.store or selection.align):
        return members
    is_stored = make_exclusion(selection.store)
    aligns = [
        (align, make_exclusion((glob,))) for align, glob in sorted(selection.align, reverse=True)
    ]
    expected = _list_unmatched(selection, findings)

    def lay_out(member: Member) -> Member:
        name = member.name[len(prefix) :]
        for option in [option for option, matches in expected.items() if matches(name)]:
            findings.match(option)
            del expected[option]
        align = next((align for align, matches in aligns if matches(name)), 0)
        return member._replace(store=is_stored(name), align=align)

    return map(lay_out, members)


def _list_unmatched(selection: Selection, findings: Findings) -> dict[str, Callable[[str], bool]]:
    """The options whose patterns should match something and have not yet, with what matches."""
    options = {f"--store {pattern}": pattern for pattern in selection.store}
    options |= {f"--align {align}:{glob}": glob for align, glob in selection.align if glob != "*"}
    return {
        option: make_exclusion((pattern,))
        for option, pattern in options.items()
        if findings.expect(option)
    }


def find_exclusion(selection: Selection) -> Callable[[str], str]:
    """Which option leaves out a name, or a folder above it; see `make_exclusion`."""
    each = [(make_exclusion((pattern,)), f"--exclude {pattern}") for pattern in selection.exclude]
    return lambda name: next((text for left_out, text in each if left_out(name)), "--exclude-vcs")


def make_exclusion(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a name is left out, or a folder above it; see `Selection`.

    Names come without prefix. One with a slash at its end is a folder's: only there patterns that
    end with a slash match the name itself.
    """
    if not patterns:
        return lambda name: False
    step, whole, folder = compile_patterns(patterns, "", "/*")

    def is_left_out(name: str) -> bool:
        bare = name.rstrip("/")
        return any(map(step, bare.split("/"))) or bool(whole(bare) or folder(name))

    return is_left_out


def refuse_unmatched(
    archive: str, patterns: Iterable[str], names: Iterable[str], verb: str, outcome: str
) -> None:
    """Refuses patterns that match no name.

    Args:
        archive: what messages call it.
        patterns: compared as `Selection.exclude` is.
        names: of all members.
        verb: what is to be done with those that match, for messages.
        outcome: what has come of it.

    Raises:
        NoSuchMemberError: one matches nothing.
    """
    plain = [normalize_name(name) or name for name in names]
    whole = {name.rstrip("/") for name in plain}
    unmatched = [
        pattern
        for pattern in patterns
        if not (pattern in whole and glob.escape(pattern) == pattern)  # one look for a plain name
        and not any(map(make_exclusion((pattern,)), plain))
    ]
    if unmatched:
        hint = ""
        if unmatched[0].strip("./") and unmatched[0].endswith("/"):
            hint = f"; {unmatched[0]} is a folder at the top, */{unmatched[0]} one further down"
        elif unmatched[0] in whole:
            pattern = make_pattern(unmatched[0])
            hint = f"; the pattern of the one name that is spelled so is {pattern}"
        raise NoSuchMemberError(
            f"cannot {verb} {shlex.join(unmatched)} from {archive}: no member has a name that "
            f"matches; nothing was {outcome}{hint}",
            member=unmatched[0],
        )


def make_step_exclusion(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a name is left out by itself, not by a folder above it; see `Selection`.

    Names come without prefix and without a slash at their end.
    """
    if not patterns:
        return lambda name: False
    last, whole, _ = compile_patterns(patterns, "")
    return lambda name: bool(last(name.rpartition("/")[2]) or whole(name))


Match: TypeAlias = Callable[[str], re.Match[str] | None]


class Patterns(NamedTuple):
    """What names are compared with.

    Attributes:
        step: matches one step of a name.
        whole: matches a whole name, without a slash at its end.
        folder: matches the name of a folder, with a slash at its end, and all names below.
    """

    step: Match
    whole: Match
    folder: Match


def compile_patterns(patterns: tuple[str, ...], *ends: str) -> Patterns:
    """What such patterns match; see `Selection.exclude`.

    A slash anywhere in a pattern asks for whole names, as names are relative: `./a` and `/a` are
    the `a` at the top, and `a/` is that folder.

    Args:
        patterns: those that are given.
        ends: what may follow where a pattern asks for a whole name.
    """
    steps: list[str] = []
    wholes: list[str] = []
    folders: list[str] = []
    for pattern in patterns:
        given = decode_name(pattern).replace(os.sep, "/")
        plain = "/".join(step for step in given.split("/") if step not in ("", "."))
        if "/" not in given:
            steps.append(fnmatch.translate(given))
            continue
        if not plain:  # only odd names in archives of others are such
            wholes.append(fnmatch.translate(given))
            continue
        if given.startswith("/"):  # as names in archives of others may, which can be taken out
            folders += map(fnmatch.translate, (given.rstrip("/"), f"{given.rstrip('/')}/*"))
        if given.endswith("/"):
            folders.append(fnmatch.translate(f"{plain}/*"))
        else:
            wholes += [fnmatch.translate(plain + end) for end in ends]
    return Patterns(
        *(re.compile("|".join(each) or "(?!)").match for each in (steps, wholes, folders))
    )
