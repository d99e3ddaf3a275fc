"""What is to be put in: paths become members, in a defined order.

Paths come in the caller's order. A folder brings all it holds, depth first, each folder's
entries sorted by the bytes of their member names; so the members of one folder are sorted as
whole names too, but for a `mimetype` at the top of the archive, which comes first. Nothing is
opened here but folders: one `stat` for each file is all.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from parazip.errors import MemberNameError, SourceError, let_pass
from parazip.format.names import (
    MIMETYPE,
    decode_name,
    find_fault,
    fold_name,
    make_decoder,
    normalize_name,
)
from parazip.format.records import ATTRIBUTE_FOLDER
from parazip.model import File, Found, Member
from parazip.sources import files
from parazip.sources.contents import find_file
from parazip.sources.dates import make_date_policy
from parazip.sources.findings import Findings
from parazip.sources.ignore import RULE_FILES as RULE_FILES
from parazip.sources.ignore import Rules, rules_above
from parazip.sources.obstacles import Obstacles, refuse_archive_itself, refuse_output_inside
from parazip.sources.selection import (
    Modes,
    Selection,
    apply_layout,
    compile_patterns,
    find_exclusion,
    make_exclusion,
    make_step_exclusion,
)

_LINK_ATTRIBUTES = (stat.S_IFLNK | 0o777) << 16

_REMOTE_MODE = stat.S_IFREG | 0o644
"""What remote files get: a URL tells no permissions."""

_READ_BY_ALL = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_EFFECTIVE = os.access in os.supports_effective_ids


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
        findings: hear of problems, of what is skipped and of what people should know; whoever
            hands them in ends the search by `Findings.finish`.

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
    outputs = {"the archive": archive, "the cache": cache}
    members = _walk_all(walk, list(paths), selection, outputs, names)
    members = apply_layout(members, selection, selection.folder_prefix, heard)
    if archive is not None:
        members = refuse_archive_itself(archive, members, heard)
    return members if findings is not None else heard.searched(members)


class Search(NamedTuple):
    """What is left of a search: consecutive entries of one folder, with all below them.

    Attributes:
        stem: stands in front of the entries' names in their paths.
        prefix: stands in front of them in the members' names, behind the prefix of all.
        names: of the entries, in order; those of folders end with a slash.
        above: device and inode of their folder and of those above it, from the top on.
        is_odd: whether there is something to be said of it, so that nobody else can search it.
    """

    stem: str
    prefix: str
    names: tuple[str, ...]
    above: tuple[tuple[int, int], ...]
    is_odd: bool = False


class Searchers(Protocol):
    """Those who search what a walk leaves; see `parazip.engine.searching`."""

    def are_ready(self) -> bool:
        """Whether the walk is to leave all that it has not come to."""

    def search(
        self, left: list[Search], search_here: Callable[[Search], Iterator[Member]]
    ) -> Iterator[Found]:
        """What is found there, in order; `search_here` searches what they cannot."""


def find_with_searchers(
    paths: Iterable[str | os.PathLike[str]],
    selection: Selection,
    archive: str | int | None,
    findings: Findings,
    searchers: Searchers,
) -> Iterator[Found]:
    """The members that a path stands for, as they are found, here and by others.

    Args:
        paths: a file, or a folder with all it holds, alone.
        selection: what to leave out, names and dates; it has no layout.
        archive: where the archive will be; it must not be among its own sources.
        findings: hear of problems and of what people should know.
        searchers: take over as soon as they are ready.
    """

    def refuse_itself(members: Iterator[Member]) -> Iterator[Member]:
        return members if archive is None else refuse_archive_itself(archive, members, findings)

    walk = _Walk(selection, selection.folder_prefix, findings, searchers.are_ready)
    yield from refuse_itself(_walk_all(walk, list(paths), selection, {"the archive": archive}, ()))
    yield from searchers.search(walk.left, lambda search: refuse_itself(walk.search_on(search)))


def search_share(
    searches: Iterable[Search], selection: Selection, findings: Findings, most: int
) -> tuple[list[Member], list[Search]]:
    """What is found in some searches, up to `most` members; and what is left of these."""
    members: list[Member] = []
    walk = _Walk(selection, selection.folder_prefix, findings, lambda: len(members) >= most)
    for search in searches:
        if len(members) >= most:
            walk.left.append(search)
        else:
            for member in walk.search_on(search):
                members.append(member)  # the walk asks how many there are
    return members, walk.left


def find_folder_contents(
    folder: str,
    prefix: str,
    selection: Selection,
    archive: str | int | None,
    findings: Findings,
) -> Iterator[Member]:
    """The members that stand for what a folder holds, their names relative to it.

    Args:
        folder: its path, or its URL.
        prefix: what stands in front of the names.
        selection: what to leave out, dates and modes.
        archive: where the archive will be; it must not be among its own sources.
        findings: hear of problems and of what people should know.
    """
    walk = _Walk(selection, prefix, findings)
    if isinstance(archive, str) and walk.refuse_inside(folder, ".", "the archive", archive):
        return iter(())
    if files.is_url(folder):
        members = walk.walk_remote_folder(folder, "")
    else:
        members = walk.walk_path(os.path.join(folder, ""), ".")  # where it leads, if it is a link
    return members if archive is None else refuse_archive_itself(archive, members, findings)


def _walk_all(
    walk: _Walk,
    paths: list[str | os.PathLike[str]],
    selection: Selection,
    outputs: dict[str, str | int | None],
    names: Iterable[str | os.PathLike[str]],
) -> Iterator[Member]:
    for path in paths:
        given = os.fspath(path)
        is_url = files.is_url(given)
        top = given if is_url else _under(selection.directory, given)
        if not any(
            isinstance(place, str) and walk.refuse_inside(top, given, output, place)
            for output, place in outputs.items()
        ):
            yield from walk.walk_url(given) if is_url else walk.walk_path(top, given)
    for name in names:
        if files.is_url(os.fspath(name)):
            yield from walk.take_url_alone(os.fspath(name))
            continue
        yield from walk.take_alone(_under(selection.directory, os.fspath(name)), os.fspath(name))


def _under(directory: str | os.PathLike[str] | None, path: str) -> str:
    return path if directory is None else os.path.join(os.fspath(directory), path)


def make_member_name(path: str) -> str:
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


def is_same(first: Member, second: Member) -> bool:
    """Whether two members of one name stand for one file that was named twice, or for folders."""
    if first.name != second.name:
        return False
    one, other = find_file(first.source), find_file(second.source)
    if one is not None and other is not None:
        if one.is_remote or other.is_remote:
            return one == other
        try:
            return os.path.samefile(one.path, other.path)
        except OSError:
            return False
    return first.name.endswith("/") or first == second


def normalize_attributes(attributes: int) -> int:
    """External attributes with the permissions that files and folders normally have."""
    kind = stat.S_IFMT(attributes >> 16)
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        return attributes
    is_open = kind == stat.S_IFDIR or attributes >> 16 & 0o111
    return (kind | (0o755 if is_open else 0o644)) << 16 | attributes & ATTRIBUTE_FOLDER


_ATTRIBUTES: dict[Modes, Callable[[int], int]] = {
    "keep": lambda attributes: attributes,
    "normal": normalize_attributes,
}


class _Listing(NamedTuple):
    """What a folder holds, and the rules of its ignore files for the folders in it.

    Attributes:
        found: what is not left out, in order: its member name without prefix (a folder's ends with
            a slash), its entry, and whether it is a folder, links followed if they are to be.
        rules: None if there are none to be heeded.
    """

    found: list[tuple[str, os.DirEntry[str] | _Entry, bool]]
    rules: Rules | None


class _Entry:
    """An entry of a folder that somebody else has listed: what is asked of an `os.DirEntry`."""

    __slots__ = ("name", "path")

    def __init__(self, stem: str, name: str) -> None:
        self.name = name.removesuffix("/")
        self.path = stem + self.name

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat(self.path, follow_symlinks=follow_symlinks)

    def is_symlink(self) -> bool:
        return os.path.islink(self.path)


def _walk_to_the_end() -> bool:
    return False


class _Walk:
    """Turns files and folders into members, one selection for all of them.

    What cannot be put in ends nothing here: `findings` hear of it, and the walk goes on.

    Args:
        selection: what to leave out, names and dates.
        prefix: stands in front of all names.
        findings: hear of all that is found besides members.
        is_enough: whether the walk is to leave what it has not come to.

    Attributes:
        left: that, in order.
    """

    def __init__(
        self,
        selection: Selection,
        prefix: str,
        findings: Findings,
        is_enough: Callable[[], bool] = _walk_to_the_end,
    ) -> None:
        self.left: list[Search] = []
        self._is_enough = is_enough
        self._prefix = prefix
        self._findings = findings
        self._obstacles = Obstacles(prefix, selection.skip, findings)
        self._skips_unreadable = self._obstacles.skips("unreadable")
        self._trusted_bits = 0 if self._skips_unreadable else _READ_BY_ALL
        self._attributes = _ATTRIBUTES[selection.modes]
        self._follow = selection.symlinks == "follow"
        self._changes = selection.changes
        self._date = make_date_policy(selection.timestamp, findings)
        self._date_untold = make_date_policy(selection.timestamp)  # there is nothing to tell of
        self._decode = make_decoder()
        self._is_step_left_out = make_step_exclusion(selection.patterns)
        self._is_left_out = make_exclusion(selection.patterns)
        self._is_folder_left_out = compile_patterns(selection.patterns).folder
        self._find_exclusion = find_exclusion(selection)
        self._ignore = selection.ignore

    def walk_path(self, path: str, given: str) -> Iterator[Member]:
        """What `given` stands for, with all it holds if it is a folder."""
        found = self._look_at(path, given)
        if found is None:
            return
        name, info = found
        if not stat.S_ISDIR(info.st_mode):
            member = self._make_member(path, name, info)
            if member is not None:
                yield member
            return
        inner = name and name + "/"
        listing = self._list_folder(path, inner, name, self._read_rules_above(path))
        if listing is None:
            return
        if name:
            yield self._make_folder(path, inner, info)
        yield from self._walk_below(listing, [(info.st_dev, info.st_ino)])

    def search_on(self, search: Search) -> Iterator[Member]:
        """What some entries of a folder stand for, with all they hold."""
        stem, prefix = search.stem, search.prefix
        found: list[tuple[str, os.DirEntry[str] | _Entry, bool]] = [
            (prefix + name, _Entry(stem, name), name.endswith("/")) for name in search.names
        ]
        yield from self._walk_below(_Listing(found, None), list(search.above))

    def take_alone(self, path: str, given: str) -> Iterator[Member]:
        """What `given` stands for by itself."""
        found = self._look_at(path, given)
        if found is None or not found[0]:
            return
        name, info = found
        if stat.S_ISDIR(info.st_mode):
            yield self._make_folder(path, name + "/", info)
        else:
            member = self._make_member(path, name, info)
            if member is not None:
                yield member

    def walk_url(self, url: str) -> Iterator[Member]:
        """The file at a URL, or all files below a folder; names begin with the URL's last step."""
        with self._findings.refusing():
            file = files.find_remote(url, self._changes)
            if file is None:
                yield from self.walk_remote_folder(url, f"{files.find_last_step(url)}/")
            else:
                yield from self._take_remote(files.find_last_step(url), file)

    def take_url_alone(self, url: str) -> Iterator[Member]:
        """The file at a URL; a folder by itself is nothing there."""
        with self._findings.refusing():
            file = files.find_remote(url, self._changes)
            if file is not None:
                yield from self._take_remote(files.find_last_step(url), file)

    def walk_remote_folder(self, url: str, inner: str) -> Iterator[Member]:
        """All files below a folder at a URL, sorted; its folders are no members of their own.

        Args:
            url: of the folder.
            inner: stands in front of the names in the folder.
        """
        found = files.list_remote(url, self._changes)
        if not (inner or self._prefix):
            found.sort(key=lambda item: item[0] != MIMETYPE)
        for name, file in found:
            yield from self._take_remote(inner + name, file)

    def _take_remote(self, name: str, file: File) -> Iterator[Member]:
        """What a remote file becomes, unless it is left out or cannot be put in."""
        name = normalize_name(name)
        why = find_fault(name) if name else "is empty"
        if why:
            message = f"cannot put in {file.path}: its name {why}; leave it out with --exclude"
            self._findings.refuse(MemberNameError(message, member=file.path))
        elif self._is_left_out(name):
            self._leave_out_by_pattern(name)
        else:
            info = os.stat_result((_REMOTE_MODE, *[0] * 9), {"st_mtime_ns": file.mtime_ns})
            date = self._date if file.mtime_ns else self._date_untold
            attributes = self._attributes(_REMOTE_MODE << 16)
            yield Member(self._prefix + name, file, attributes, date(file.path, info))

    def refuse_inside(self, path: str, given: str, output: str, place: str) -> bool:
        """Refuses a folder if `output` would be written into it; True if it does."""
        is_url = files.is_url(path)
        here = files.find_local_path(path)
        if not given or (here is not None and not os.path.isdir(here)):
            return False
        name = files.find_last_step(given) if is_url and given == path else make_member_name(given)
        return refuse_output_inside(output, place, path, name, self._is_left_out, self._findings)

    def _look_at(self, path: str, given: str) -> tuple[str, os.stat_result] | None:
        """Name and facts of what is named itself, unless it is left out or cannot be put in."""
        if not given or "\0" in given:
            self._findings.refuse(MemberNameError(f"{given!r} is not a path", member=given))
            return None
        name = make_member_name(given)
        if name and self._is_left_out(name):
            self._leave_out_by_pattern(name)
            return None
        try:
            info = os.stat(path) if self._follow else os.lstat(path)
        except OSError as error:
            if given == "-" and isinstance(error, FileNotFoundError):
                self._obstacles.refuse_missing_input(path)
            else:
                self._obstacles.refuse_unreadable(path, name, error)
        except ValueError as error:
            message = f"{path!r} is not a path: {error}"
            self._findings.refuse(MemberNameError(message, member=path))
        else:
            if not (name and stat.S_ISDIR(info.st_mode) and self._is_left_out(f"{name}/")):
                return name, info
            self._leave_out_by_pattern(f"{name}/")
        return None

    def _walk_below(self, listing: _Listing, above: list[tuple[int, int]]) -> Iterator[Member]:
        """All that a folder holds; an explicit stack, as folders may be nested deeply.

        Args:
            listing: of the folder.
            above: device and inode of it and of the folders on the way down to it: a link to one of
                them leads round in a circle.
        """
        stack = [(iter(listing.found), listing)]
        top = len(above) - 1
        while stack:
            if self._is_enough():
                self._is_enough = _walk_to_the_end
                if not any(_have_alike(listing.found) for _, listing in stack):
                    for depth in range(len(stack), 0, -1):
                        self._leave(stack[depth - 1][0], above[: top + depth])
                    return
            found, (_, rules) = stack[-1]
            for name, entry, is_folder in found:
                try:
                    info = entry.stat(follow_symlinks=self._follow)
                except OSError as error:
                    self._obstacles.refuse_unreadable(entry.path, name, error)
                    continue
                if not is_folder:
                    member = self._make_member(entry.path, name, info)
                    if member is not None:
                        yield member
                        if self._is_enough():
                            break
                    continue
                identity = (info.st_dev, info.st_ino)
                if identity in above and entry.is_symlink():
                    self._obstacles.refuse_circle(
                        entry.path, name, "a link to a folder that holds it"
                    )
                    continue
                inner_rules = None if rules is None else rules.for_folder(name.split("/")[-2])
                inner = self._list_folder(entry.path, name, name, inner_rules)
                if inner is None:
                    continue
                yield self._make_folder(entry.path, name, info)
                stack.append((iter(inner.found), inner))
                above.append(identity)
                break  # the rest of this folder comes after all that the inner one holds
            else:
                stack.pop()
                above.pop()

    def _leave(
        self,
        found: Iterator[tuple[str, os.DirEntry[str] | _Entry, bool]],
        above: list[tuple[int, int]],
    ) -> None:
        """Leaves the entries of a folder that the walk has not come to."""
        rest = list(found)
        if not rest:
            return
        name, entry, _ = rest[0]
        names = [entry.name + "/" if is_folder else entry.name for _, entry, is_folder in rest]
        stem = entry.path.removesuffix(entry.name)
        prefix = name.removesuffix(names[0])
        for at in range(0, len(names), _MOST_LEFT):
            part = tuple(names[at : at + _MOST_LEFT])
            self.left.append(Search(stem, prefix, part, tuple(above)))

    def _list_folder(
        self, path: str, prefix: str, folder: str, rules: Rules | None
    ) -> _Listing | None:
        """What a folder holds and is not left out, sorted by the members' names.

        Code points sort as the bytes of their UTF-8 do. What tells the kind of a container has to
        be its first member (see `plan.place_first`).

        Args:
            path: of the folder.
            prefix: stands in front of the member names.
            folder: its own member name, for messages.
            rules: of the folders above, if there are any to be heeded.

        Returns:
            None if the folder cannot be read.
        """
        found: list[tuple[str, os.DirEntry[str] | _Entry, bool]] = []
        rule_files = []
        is_left_out, decode = self._is_step_left_out, self._decode
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    name = entry.name
                    name = prefix + (name if decode is None else decode(name))
                    if rules is not None and entry.name in RULE_FILES and entry.is_file():
                        rule_files.append(entry.name)
                    if is_left_out(name):
                        self._leave_out_by_pattern(name)
                    else:
                        try:
                            is_folder = entry.is_dir(follow_symlinks=self._follow)
                        except OSError as error:
                            let_pass(error)
                            is_folder = False  # what stands in the way is told when it is looked at
                        if is_folder and self._is_folder_left_out(f"{name}/"):
                            self._leave_out_by_pattern(f"{name}/")
                        else:
                            found.append((name + "/" if is_folder else name, entry, is_folder))
        except OSError as error:
            self._obstacles.refuse_unreadable(path, folder, error)
            return None
        if rules is not None:
            try:
                rules = rules.with_files(path, rule_files)
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
        return _Listing(found, rules)

    def _read_rules_above(self, folder: str) -> Rules | None:
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
        self, rules: Rules, name: str, entry: os.DirEntry[str] | _Entry, is_folder: bool
    ) -> bool:
        step = name.rstrip("/").rpartition("/")[2]
        why = rules.find_reason(
            step, is_folder and not entry.is_symlink()
        )  # to git a link is a file
        if why:
            self._findings.leave_out(self._prefix + name, why)
        return bool(why)

    def _leave_out_by_pattern(self, name: str) -> None:
        """Takes note of what a pattern leaves out."""
        if self._findings.left_out is not None:
            self._findings.leave_out(self._prefix + name, self._find_exclusion(name))

    def _make_member(self, path: str, name: str, info: os.stat_result) -> Member | None:
        """What a file or link becomes; None if it cannot be put in."""
        mode = info.st_mode
        if stat.S_ISREG(mode):
            # What everybody may read needs no system call here: should it not open all the same,
            # the worker says so. But what is to be skipped has to be known now.
            if mode & self._trusted_bits != _READ_BY_ALL:
                try:
                    _check_readable(path, self._skips_unreadable)
                except OSError as error:
                    self._obstacles.refuse_unreadable(path, name, error)
                    return None
            source = files.describe_file(path, info, self._changes)
            attributes = self._attributes(mode << 16)
            return Member(self._prefix + name, source, attributes, self._date(path, info))
        if stat.S_ISLNK(mode):
            try:
                target = os.fsencode(os.readlink(path))
            except OSError as error:
                self._obstacles.refuse_unreadable(path, name, error)
                return None
            return Member(self._prefix + name, target, _LINK_ATTRIBUTES, self._date(path, info))
        if stat.S_ISDIR(mode):  # when it was listed, it was none, or nobody could tell
            self._obstacles.refuse_changed(path, name)
        else:
            self._obstacles.refuse_special(path, name, mode)
        return None

    def _make_folder(self, path: str, name: str, info: os.stat_result) -> Member:
        attributes = self._attributes(info.st_mode << 16 | ATTRIBUTE_FOLDER)
        return Member(self._prefix + name, b"", attributes, self._date(path, info))


_MOST_LEFT = 4096
"""Entries that are left together: they are cut once more, and each cut copies what is left."""


def _have_alike(found: list[tuple[str, os.DirEntry[str] | _Entry, bool]]) -> bool:
    """Whether two entries of a folder have names that are one to some system."""
    return len({fold_name(entry.name) for _, entry, _ in found}) < len(found)


def _check_readable(path: str, thoroughly: bool) -> None:
    """Raises the operating system's error if a file may not be read.

    To ask takes half the time of opening it, which is the thorough way: some file systems know
    only then, and only then the system tells why.
    """
    if thoroughly or not os.access(path, os.R_OK, effective_ids=_EFFECTIVE):
        os.close(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)))
