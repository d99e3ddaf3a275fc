"""What is to be put in: paths become members, in a defined order.

Paths come in the caller's order. A folder brings all it holds, depth first, each folder's
entries sorted by the bytes of their member names; so the members of one folder are sorted as
whole names too, but for a `mimetype` at the top of the archive, which comes first. Nothing is
opened here but folders: one `stat` for each file is all.
"""

from __future__ import annotations

import datetime
import fnmatch
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from errno import EACCES, ELOOP, ENOENT, EPERM
from typing import Literal, NamedTuple, TypeAlias

from parazip import files
from parazip.contents import find_file
from parazip.dates import TIMESTAMPS, Timestamp, date_policy
from parazip.errors import MemberNameError, SettingsError, SourceError
from parazip.findings import Findings
from parazip.format.names import MIMETYPE, decode_name, leads_out, make_decoder, make_pattern
from parazip.format.records import ATTRIBUTE_FOLDER, check_align
from parazip.ignore import FILES as RULE_FILES
from parazip.ignore import Rules
from parazip.ignore import rules_above as rules_above
from parazip.model import CHANGES, Changes, Member

Symlinks: TypeAlias = Literal["follow", "store"]
Modes: TypeAlias = Literal["keep", "normal"]
Skip: TypeAlias = Literal["special", "dangling", "unreadable"]
SKIPS: tuple[Skip, ...] = ("special", "dangling", "unreadable")

_LINK_ATTRIBUTES = (stat.S_IFLNK | 0o777) << 16


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
            for pattern in _strings(field, "patterns", getattr(self, field)):
                _check_pattern(field, pattern)
        if not isinstance(self.align, tuple):
            raise TypeError(f"{_ALIGN}, not {self.align!r}")
        for pair in self.align:
            _check_align(pair)
        for field in ("exclude_vcs", "ignore"):
            if not isinstance(is_so := getattr(self, field), bool):
                raise TypeError(f"{field} is True or False, not {is_so!r}")
        if not isinstance(self.directory, str | os.PathLike | None):
            raise TypeError(f"directory is a path or None, not {self.directory!r}")
        if not isinstance(self.prefix, str):
            raise TypeError(f"prefix is the name of a folder, not {self.prefix!r}")
        for kind in _strings("skip", "kinds", self.skip):
            if kind not in SKIPS:
                raise SettingsError(f"skip {kind!r} is not one of {', '.join(SKIPS)}")
        if self.symlinks not in ("follow", "store"):
            raise SettingsError(f"symlinks must be 'follow' or 'store', not {self.symlinks!r}")
        if self.modes not in ("keep", "normal"):
            raise SettingsError(f"modes must be 'keep' or 'normal', not {self.modes!r}")
        if self.changes not in CHANGES:
            raise SettingsError(f"changes {self.changes!r} is not one of {', '.join(CHANGES)}")
        folder_name(self.prefix)
        if self.timestamp not in (None, *TIMESTAMPS) and not isinstance(
            self.timestamp, datetime.datetime
        ):
            raise SettingsError(
                f"timestamp {self.timestamp!r} is not {', '.join(TIMESTAMPS)} or a datetime"
            )
        date_policy(self.timestamp)

    @property
    def patterns(self) -> tuple[str, ...]:
        """All patterns of what is left out."""
        return self.exclude + _VCS if self.exclude_vcs else self.exclude

    @property
    def folder_prefix(self) -> str:
        """The prefix as it stands in front of names: empty, or ending with a slash."""
        return folder_name(self.prefix)


def _check_align(pair: object) -> None:
    match pair:
        case (int(multiple), str(pattern)):
            _check_pattern("align", pattern)
            check_align(pattern, multiple)
        case _:
            raise TypeError(f"{_ALIGN}, not {pair!r}")


_ALIGN = "align is a tuple of pairs such as (64, '*.npy')"


def _strings(field: str, what: str, values: object) -> tuple[str, ...]:
    if isinstance(values, str):
        raise TypeError(f"{field} is a tuple of {what}, not the single {values!r}")
    if not isinstance(values, tuple) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{field} is a tuple of {what}, not {values!r}")
    return values


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


def folder_name(name: str) -> str:
    """The name of a folder inside the archive: empty, or ending with a slash.

    Raises:
        SettingsError: it leads out of the archive.
    """
    parts = decode_name(name).replace(os.sep, "/").split("/")
    if leads_out(name):
        raise SettingsError(f"prefix {name!r} leads out of the archive")
    joined = "/".join(part for part in parts if part not in ("", "."))
    return joined and joined + "/"


def normal_attributes(attributes: int) -> int:
    """External attributes with the permissions that files and folders normally have."""
    kind = stat.S_IFMT(attributes >> 16)
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        return attributes
    is_open = kind == stat.S_IFDIR or attributes >> 16 & 0o111
    return (kind | (0o755 if is_open else 0o644)) << 16 | attributes & ATTRIBUTE_FOLDER


def find_members(
    paths: Iterable[str | os.PathLike[str]],
    selection: Selection,
    archive: str | int | None = None,
    names: Iterable[str | os.PathLike[str]] = (),
    cache: str | None = None,
    findings: Findings | None = None,
) -> Iterator[Member]:
    """The members that `paths` and `names` stand for, as they are found.

    Args:
        paths: files, and folders with all they hold.
        names: files and folders taken one by one: a folder stands for itself alone.
        selection: what to leave out, names and dates.
        archive: where the archive will be, a path or an open file's descriptor; it must not be
            among its own sources.
        cache: the folder of a cache, which must not be among them either.
        findings: hears of problems, of what is skipped and of what people should know; who has
            them ends the search by `Findings.finish`.

    Raises:
        SourceError: something is missing, unreadable, no file, or the archive itself; not at once,
            but when all has been looked at, and only where no `findings` are handed in.
        MemberNameError: a path has no name that could stand in an archive; likewise.
    """
    for given in (paths, names):
        if isinstance(given, str | bytes | os.PathLike):
            raise TypeError(f"a list of paths is needed, not the single path {given!r}")
    heard = findings or Findings()
    walk = _Walk(selection, selection.folder_prefix, heard)
    inside = {"the archive": archive, "the cache": cache}
    found = _found(walk, list(paths), selection, inside, names)
    found = apply_layout(found, selection, selection.folder_prefix, heard)
    if archive is not None:
        found = _without(archive, found, heard)
    return found if findings is not None else heard.searched(found)


def find_folder_contents(
    folder: str,
    prefix: str,
    selection: Selection,
    archive: str | int | None,
    findings: Findings,
) -> Iterator[Member]:
    """The members that stand for what a folder holds, their names relative to it.

    Args:
        folder: its path.
        prefix: what stands in front of the names.
        selection: what to leave out, dates and modes.
        archive: where the archive will be; it must not be among its own sources.
        findings: hears of problems and of what people should know.
    """
    walk = _Walk(selection, prefix, findings)
    if isinstance(archive, str) and walk.is_inside(folder, ".", "the archive", archive):
        return iter(())
    found = walk.everything(os.path.join(folder, ""), ".")  # where it leads, if it is a link
    return found if archive is None else _without(archive, found, findings)


def apply_layout(
    members: Iterator[Member], selection: Selection, prefix: str, findings: Findings
) -> Iterator[Member]:
    """The same members; those that are to be stored and aligned say so.

    Args:
        members: whose names begin with `prefix`.
        selection: what is to be stored and aligned.
        prefix: is not compared.
        findings: hear of patterns that match nothing, in all that is marked.
    """
    if not (selection.store or selection.align):
        return members
    is_stored = make_exclusion(selection.store)
    aligns = [
        (align, make_exclusion((glob,))) for align, glob in sorted(selection.align, reverse=True)
    ]
    expected = _expected(selection, findings)

    def mark(member: Member) -> Member:
        name = member.name[len(prefix) :]
        for option in [option for option, matches in expected.items() if matches(name)]:
            findings.match(option)
            del expected[option]
        align = next((align for align, matches in aligns if matches(name)), 0)
        return member._replace(store=is_stored(name), align=align)

    return map(mark, members)


def _expected(selection: Selection, findings: Findings) -> dict[str, Callable[[str], bool]]:
    """The options whose patterns should match something and have not yet, with what matches."""
    options = {f"--store {pattern}": pattern for pattern in selection.store}
    options |= {f"--align {align}:{glob}": glob for align, glob in selection.align if glob != "*"}
    return {
        option: make_exclusion((pattern,))
        for option, pattern in options.items()
        if findings.expect(option)
    }


def _found(
    walk: _Walk,
    paths: list[str | os.PathLike[str]],
    selection: Selection,
    inside: dict[str, str | int | None],
    names: Iterable[str | os.PathLike[str]],
) -> Iterator[Member]:
    for path in paths:
        given = os.fspath(path)
        top = _under(selection.directory, given)
        if not any(
            isinstance(place, str) and walk.is_inside(top, given, what, place)
            for what, place in inside.items()
        ):
            yield from walk.everything(top, given)
    for name in names:
        yield from walk.alone(_under(selection.directory, os.fspath(name)), os.fspath(name))


def _under(directory: str | os.PathLike[str] | None, path: str) -> str:
    return path if directory is None else os.path.join(os.fspath(directory), path)


def member_name(path: str) -> str:
    """The name that a path on the command line gets: relative, with `/`, without `.` and `..`.

    As zip and tar do: a leading slash or drive is dropped, and so are leading steps upwards. A
    folder's name has no slash at its end yet; the working folder's is empty.
    """
    name = decode_name(os.path.normpath(os.path.splitdrive(path)[1]))
    name = name.replace(os.sep, "/").lstrip("/")
    parts = name.split("/")
    while parts and parts[0] in ("..", "."):
        del parts[0]
    return "/".join(parts)


_ATTRIBUTES: dict[Modes, Callable[[int], int]] = {
    "keep": lambda attributes: attributes,
    "normal": normal_attributes,
}


class _Held(NamedTuple):
    """What a folder holds, and the rules of its ignore files for the folders in it.

    Attributes:
        entries: member names without prefix, entries, and whether they are folders.
        rules: None if there are none to be heeded.
    """

    entries: list[tuple[str, os.DirEntry[str], bool]]
    rules: Rules | None


class _Walk:
    """Turns files and folders into members, one selection for all of them.

    What cannot be put in ends nothing here: `findings` hear of it, and the walk goes on.
    """

    def __init__(self, selection: Selection, prefix: str, findings: Findings) -> None:
        self._prefix = prefix
        self._findings = findings
        self._skip = frozenset(selection.skip)
        self._readable = 0 if "unreadable" in self._skip else _READ_BY_ALL
        self._attributes = _ATTRIBUTES[selection.modes]
        self._follow = selection.symlinks == "follow"
        self._changes = selection.changes
        self._date = date_policy(selection.timestamp, findings)
        self._spell = make_decoder()
        self._excluded = _exclusion(selection.patterns)
        self._left_out = make_exclusion(selection.patterns)
        self._left_out_folder = _patterns(selection.patterns)[2]
        self._pattern = find_exclusion(selection)
        self._ignore = selection.ignore

    def everything(self, path: str, given: str) -> Iterator[Member]:
        """What `given` stands for, with all it holds if it is a folder."""
        found = self._top(path, given)
        if found is None:
            return
        name, info = found
        if not stat.S_ISDIR(info.st_mode):
            member = self._member(path, name, info)
            if member is not None:
                yield member
            return
        below = name and name + "/"
        held = self._sorted(path, below, name, self._rules_above(path))
        if held is None:
            return
        if name:
            yield self._folder(path, below, info)
        yield from self._below(held, info)

    def alone(self, path: str, given: str) -> Iterator[Member]:
        """What `given` stands for by itself."""
        found = self._top(path, given)
        if found is None or not found[0]:
            return
        name, info = found
        if stat.S_ISDIR(info.st_mode):
            yield self._folder(path, name + "/", info)
        else:
            member = self._member(path, name, info)
            if member is not None:
                yield member

    def is_inside(self, top: str, given: str, what: str, place: str) -> bool:
        """Whether something would be written into a folder that is being read: that is refused."""
        if not given or not os.path.isdir(top):
            return False
        try:
            inside = os.path.relpath(os.path.realpath(place), os.path.realpath(top))
        except OSError as error:  # the working folder was deleted
            self._findings.refuse(SourceError.of(given, error))
            return True
        if inside.split(os.sep)[0] == os.pardir or os.path.isabs(inside):
            return False
        name = "/".join(filter(None, (member_name(given), inside.replace(os.sep, "/"))))
        if self._left_out(f"{name}/" if what == "the cache" else name):
            return False
        told = (
            f"{what} {place} lies inside {top}, which is to be put in; place it elsewhere, or "
            f"leave it out with {_excluding(name)}"
        )
        if inside == os.curdir:
            told = f"{what} cannot be {place}: that is a folder to be put in; name another place"
        self._findings.refuse(SourceError(told, member=place))
        return True

    def _top(self, path: str, given: str) -> tuple[str, os.stat_result] | None:
        """Name and facts of what is named itself, unless it is left out or cannot be put in."""
        if not given or "\0" in given:
            self._findings.refuse(MemberNameError(f"{given!r} is not a path", member=given))
            return None
        name = member_name(given)
        if name and self._left_out(name):
            self._leave_out(name)
            return None
        try:
            info = os.stat(path) if self._follow else os.lstat(path)
        except OSError as error:
            if given == "-" and isinstance(error, FileNotFoundError):
                self._findings.refuse(SourceError(_NO_INPUT, member=path, errno=ENOENT))
            else:
                self._refuse_lost(path, name, error)
        except ValueError as error:
            message = f"{path!r} is not a path: {error}"
            self._findings.refuse(MemberNameError(message, member=path))
        else:
            if not (name and stat.S_ISDIR(info.st_mode) and self._left_out(f"{name}/")):
                return name, info
            self._leave_out(f"{name}/")
        return None

    def _below(self, held: _Held, info: os.stat_result) -> Iterator[Member]:
        """All that a folder holds; an explicit stack, as folders may be nested deeply."""
        stack = [(iter(held.entries), held.rules)]
        above = [(info.st_dev, info.st_ino)]
        while stack:
            entries, rules = stack[-1]
            for name, entry, is_folder in entries:
                try:
                    info = entry.stat(follow_symlinks=self._follow)
                except OSError as error:
                    self._refuse_lost(entry.path, name, error)
                    continue
                if not is_folder:
                    member = self._member(entry.path, name, info)
                    if member is not None:
                        yield member
                    continue
                identity = (info.st_dev, info.st_ino)
                if identity in above and entry.is_symlink():
                    self._refuse_circle(entry.path, name, "a link to a folder that holds it")
                    continue
                inner = None if rules is None else rules.below(name.split("/")[-2])
                below = self._sorted(entry.path, name, name, inner)
                if below is None:
                    continue
                yield self._folder(entry.path, name, info)
                stack.append((iter(below.entries), below.rules))
                above.append(identity)
                break
            else:
                stack.pop()
                above.pop()

    def _sorted(self, path: str, prefix: str, folder: str, rules: Rules | None) -> _Held | None:
        """What a folder holds and is not left out, sorted by the members' names.

        A folder's ends with a slash. Code points sort as the bytes of their UTF-8 do. None says
        that the folder cannot be read. What tells the kind of a container has to be its first
        member (see `plan.place_first`).
        """
        found = []
        rule_files = []
        excluded, spell = self._excluded, self._spell
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    name = entry.name
                    name = prefix + (name if spell is None else spell(name))
                    if rules is not None and entry.name in RULE_FILES and entry.is_file():
                        rule_files.append(entry.name)
                    if excluded(name):
                        self._leave_out(name)
                    else:
                        try:
                            is_folder = entry.is_dir(follow_symlinks=self._follow)
                        except OSError:  # what stands in the way is told when it is looked at
                            is_folder = False
                        if is_folder and self._left_out_folder(f"{name}/"):
                            self._leave_out(f"{name}/")
                        else:
                            found.append((name + "/" if is_folder else name, entry, is_folder))
        except OSError as error:
            self._refuse_lost(path, folder, error)
            return None
        if rules is not None:
            try:
                rules = rules.reading(path, rule_files)
            except SourceError as error:
                self._findings.refuse(error)
                return None
            except OSError as error:  # never to be skipped: what it leaves out may be secret
                self._findings.refuse(SourceError.of(error.filename or path, error))
                return None
            found = [entry for entry in found if not self._is_ignored(rules, *entry)]
        found.sort()
        if not (prefix or self._prefix):
            found.sort(key=lambda item: item[0] != MIMETYPE)
        return _Held(found, rules)

    def _rules_above(self, folder: str) -> Rules | None:
        """The rules that the folders above have for what a folder holds, if they count."""
        if not self._ignore:
            return None
        try:
            return rules_above(folder)
        except SourceError as error:
            self._findings.refuse(error)
            return Rules()
        except OSError as error:
            self._findings.refuse(SourceError.of(error.filename or folder, error))
            return Rules()

    def _is_ignored(
        self, rules: Rules, name: str, entry: os.DirEntry[str], is_folder: bool
    ) -> bool:
        step = name.rstrip("/").rpartition("/")[2]
        why = rules.reason(step, is_folder and not entry.is_symlink())  # to git a link is a file
        if why:
            self._findings.leave_out(self._prefix + name, why)
        return bool(why)

    def _leave_out(self, name: str) -> None:
        """Takes note of what a pattern leaves out."""
        if self._findings.left_out is not None:
            self._findings.leave_out(self._prefix + name, self._pattern(name))

    def _member(self, path: str, name: str, info: os.stat_result) -> Member | None:
        """What a file or link becomes; None if it cannot be put in."""
        mode = info.st_mode
        if stat.S_ISREG(mode):
            # What everybody may read needs no system call here: should it not open all the same,
            # the worker says so. But what is to be skipped has to be known now.
            if mode & self._readable != _READ_BY_ALL:
                try:
                    _check_readable(path, thoroughly="unreadable" in self._skip)
                except OSError as error:
                    self._refuse_lost(path, name, error)
                    return None
            source = files.describe_file(path, info, self._changes)
            attributes = self._attributes(mode << 16)
            return Member(self._prefix + name, source, attributes, self._date(path, info))
        if stat.S_ISLNK(mode):
            try:
                target = os.fsencode(os.readlink(path))
            except OSError as error:
                self._refuse_lost(path, name, error)
                return None
            return Member(self._prefix + name, target, _LINK_ATTRIBUTES, self._date(path, info))
        if stat.S_ISDIR(mode):  # when it was listed, it was none, or nobody could tell
            changed = SourceError(f"{path} changed while it was found: try again", member=path)
            self._findings.refuse(changed, "changed", name)
            return None
        self._refuse(
            "special",
            f"cannot put in {path}: it is {files.kind_of(mode)}; leave it out with "
            f"{_excluding(name)}, or all such with --skip special",
            path,
            name,
        )
        return None

    def _folder(self, path: str, name: str, info: os.stat_result) -> Member:
        attributes = self._attributes(info.st_mode << 16 | ATTRIBUTE_FOLDER)
        return Member(self._prefix + name, b"", attributes, self._date(path, info))

    def _refuse_lost(self, path: str, name: str, error: OSError) -> None:
        """Refuses a path that cannot be looked at; a link that leads nowhere says so."""
        is_absent = isinstance(error, FileNotFoundError | NotADirectoryError)
        if is_absent and os.path.islink(path):
            self._refuse(
                "dangling",
                f"cannot follow {path}: it is a link to {_target(path)}, which does not exist; "
                "keep links as links with --symlinks store, or leave out such with --skip dangling",
                path,
                name,
                error.errno,
            )
        elif error.errno == ELOOP and os.path.islink(path):
            self._refuse_circle(path, name, "a link that leads back to itself", error.errno)
        elif is_absent:
            self._findings.refuse(SourceError.of(path, error), "missing", path)
        elif error.errno in _FORBIDDEN:
            told = SourceError.of(path, error)
            self._refuse(
                "unreadable",
                f"{told}; leave it out with {_excluding(name)}, or all such with --skip unreadable",
                path,
                name,
                error.errno,
            )
        else:  # the system fails, for now or for good: to leave out what it hides is no choice
            self._findings.refuse(SourceError.of(path, error), "failed", name)

    def _refuse_circle(self, path: str, name: str, what: str, errno: int | None = None) -> None:
        self._refuse(
            "dangling",
            f"cannot follow {path}: it is {what}; keep links as links with --symlinks store, or "
            "leave out such with --skip dangling",
            path,
            name,
            errno,
        )

    def _refuse(
        self, kind: Skip, message: str, path: str, name: str, errno: int | None = None
    ) -> None:
        """Refuses what is there and cannot be put in, unless its kind is to be skipped."""
        if kind in self._skip:
            self._findings.skip(kind, name)
            why = f"--skip {kind}: {message.partition('; ')[0]}"
            self._findings.leave_out(self._prefix + name, why)
        else:
            self._findings.refuse(SourceError(message, member=path, errno=errno), kind, name)


_NO_INPUT = (
    "cannot read -: there is no file of that name, and standard input is not put in; write it to a "
    "file first, or read names from it with --files-from -"
)

_FORBIDDEN = (EACCES, EPERM)
"""What may not be read. All other errors are failures, of a disk, a network or of this process."""

_READ_BY_ALL = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_EFFECTIVE = os.access in os.supports_effective_ids


def _check_readable(path: str, thoroughly: bool) -> None:
    """Raises the operating system's error if a file may not be read.

    To ask takes half the time of opening it, which is the thorough way: some file systems know
    only then, and only then the system tells why.
    """
    if thoroughly or not os.access(path, os.R_OK, effective_ids=_EFFECTIVE):
        os.close(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)))


def _excluding(name: str) -> str:
    """The option that leaves out a name, as one writes it in a shell."""
    return f"--exclude {shlex.quote(make_pattern(name.rstrip('/')))}"


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:  # it has gone since
        return "?"


def is_same(first: Member, second: Member) -> bool:
    """Whether two members of one name stand for one file that was named twice, or for folders."""
    if first.name != second.name:
        return False
    one, other = find_file(first.source), find_file(second.source)
    if one is not None and other is not None:
        try:
            return os.path.samefile(one.path, other.path)
        except OSError:
            return False
    return first.name.endswith("/") or first == second


def _without(archive: str | int, members: Iterator[Member], findings: Findings) -> Iterator[Member]:
    """The same members; refuses the archive itself, if it exists already."""
    try:
        itself = os.stat(archive)
    except OSError:
        yield from members
        return
    inode = itself.st_ino if stat.S_ISREG(itself.st_mode) else -1
    for member in members:
        file = find_file(member.source)
        if file is not None and file.inode == inode and _is_at(file.path, itself):
            findings.refuse(
                SourceError(
                    f"the archive is to be put into itself, as {member.name}; "
                    f"write it elsewhere, or leave it out with {_excluding(member.name)}",
                    member=member.name,
                )
            )
            continue
        yield member


def _is_at(path: str, itself: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), itself)
    except OSError:  # who reads it will say so
        return False


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
    step, whole, folder = _patterns(patterns, "", "/*")

    def is_left_out(name: str) -> bool:
        bare = name.rstrip("/")
        return any(map(step, bare.split("/"))) or bool(whole(bare) or folder(name))

    return is_left_out


def _exclusion(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a name, without prefix and without a slash at its end, is left out."""
    if not patterns:
        return lambda name: False
    last, whole, _ = _patterns(patterns, "")
    return lambda name: bool(last(name.rpartition("/")[2]) or whole(name))


Match: TypeAlias = Callable[[str], re.Match[str] | None]


def _patterns(patterns: tuple[str, ...], *ends: str) -> tuple[Match, Match, Match]:
    """What names are compared with: one step; the whole, with each end; a folder's, and below.

    A slash anywhere in a pattern asks for whole names, as names are relative: `./a` and `/a` are
    the `a` at the top, and `a/` is that folder.
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
    match, whole, folder = (
        re.compile("|".join(each) or "(?!)").match for each in (steps, wholes, folders)
    )
    return match, whole, folder
