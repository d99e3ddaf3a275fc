"""Finds what of an installed distribution can be copied from the wheel that it came from.

pex installs wheels into folders of its own and zips those. Nearly all of the files in there are
the wheel's, byte for byte, and the wheel has them compressed. Which ones is not a matter of
names: a file is taken from the wheel if its size and the CRC-32 of all its bytes are the ones that
the wheel's directory tells of, and it is compressed if they are not.

Where a wheel is, only pex knows; where it usually is, is known (`_places`). Whatever is found there
must have the SHA-256 of the wheel that was installed, which pex noted: so its compressed bytes are
what was once downloaded or built, neither damaged nor somebody else's. A wheel that is not found,
or is another one, costs time and nothing else.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby

from parazip import cache, copying, files
from parazip.errors import BadArchiveError, ParazipError
from parazip.model import (
    DEFLATED,
    ArchiveMember,
    Entry,
    File,
    FilePiece,
    Member,
    Recipe,
    Section,
    Twin,
)

DEPS = ".deps"
"""The folder of a PEX that holds its distributions."""

BOOTSTRAP = ".bootstrap"
"""The folder of a PEX that holds pex itself."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """The archive that a distribution was installed from.

    Attributes:
        archive: its file.
        prefix: what stands in front of the distribution's names in there: nothing, or, in a
            repository, `.deps/`, the wheel's name and a slash.
        sha256: of the file that was installed, as pex noted it; empty for a repository.
    """

    archive: File
    prefix: str = ""
    sha256: str = ""

    def identify(self) -> str:
        """Tells its contents from all others.

        Raises:
            SourceError: it cannot be read.
            BadArchiveError: it is damaged.
        """
        if self.sha256:
            return self.sha256
        return hashlib.sha256(repr(sorted(self.read_entries().items())).encode()).hexdigest()

    def read_entries(self) -> dict[str, Entry]:
        """Its members by their names in the distribution; raises what `identity` raises."""
        if not self.prefix:
            return {entry.name: entry for entry in _entries(self.archive)}
        start = len(self.prefix)
        inside = _by_distribution(self.archive).get(self.prefix, [])
        return {entry.name[start:]: entry for entry in inside}

    def check_sha256(self) -> None:
        """Makes sure that it is the file that was installed.

        Raises:
            SourceError: it cannot be read.
            BadArchiveError: it is another one, or damaged.
        """
        found = _digest(self.archive)
        if found != self.sha256:
            raise BadArchiveError(
                f"{self.archive.path} is not the wheel that was installed: expected SHA-256 "
                f"{self.sha256}, found {found}",
                archive=self.archive.path,
            )


_entries = lru_cache(maxsize=8)(copying.read_entries)
"""A PEX that is a repository is asked for each of its distributions."""


@lru_cache(maxsize=8)
def _by_distribution(archive: File) -> dict[str, list[Entry]]:
    """The members of a repository, by the prefixes of `Wheel`."""
    found: dict[str, list[Entry]] = {}
    for entry in _entries(archive):
        found.setdefault(f"{DEPS}/{label_member(entry.name)}/", []).append(entry)
    return found


_digest = lru_cache(files.hash_file)
"""If one wheel turns out to be of no use, all of the archive is made again."""


class Distribution:
    """Consecutive members of a PEX that belong together; most are an installed wheel.

    Args:
        name: of the wheel's file, or of what else it is; may be empty.
        members: as pex wants them.
        start: the length of what stands in front of the distribution's own names.
        wheels: where the members may be copied from, the best first.
        alone: why there is no wheel, for people.

    Attributes:
        name: of the wheel's file, or of what else it is.
        members: as pex wants them.
    """

    def __init__(
        self,
        name: str,
        members: list[Member],
        start: int,
        wheels: Iterable[Wheel] = (),
        alone: str = "no wheel found",
    ) -> None:
        self.name = name
        self.members = members
        self._start = start
        self._wheels = iter(wheels)
        self._wheel = next(self._wheels, None)
        self._alone = alone

    def make_section(self, recipe: Recipe, rest: Recipe, keeps: bool) -> Section:
        """What the archive is made of; the cache knows it by its files and its wheel.

        Args:
            recipe: how a distribution is compressed that has no wheel.
            rest: how the few files are compressed that are not as in the wheel.
            keeps: whether there is a cache to know it.

        Raises:
            SourceError, BadArchiveError: the wheel is of no use; see `lose`.
        """
        if self._wheel is not None or self.name == BOOTSTRAP:
            recipe = rest
        wheel = self._wheel
        key = ""
        if keeps and self.name:
            identity = wheel.identify() if wheel is not None else ""
            known = files.hash_file if self.name == BOOTSTRAP else _by_stat
            key = cache.make_key(self.members, recipe, identity, identity=known)
        return Section(
            self.make_members,
            self.name,
            key,
            recipe,
            check_crc=wheel is not None and not wheel.sha256,
            alongside=wheel.check_sha256 if wheel is not None and wheel.sha256 else None,
        )

    def make_members(self) -> list[Member]:
        """The members; those that may be the wheel's are to be copied from there, if they are.

        Raises:
            SourceError, BadArchiveError: the wheel is of no use; see `lose`.
        """
        if self._wheel is None:
            return self.members
        members = list(self.members)
        for i, source in self._copied(self._wheel):
            members[i] = members[i]._replace(source=source)
        return members

    def explain_rest(self, copied: int) -> str:
        """Why not all is copied, for people, where so many members were."""
        if self._wheel is None:
            return self._alone
        if not copied:
            return "nothing in the wheel is deflated and as installed"
        rest = sum(member.size > 0 for member in self.members) - copied
        return f"all but {rest} that installing made or changed" if rest else ""

    def _copied(self, wheel: Wheel) -> Iterator[tuple[int, ArchiveMember | Twin]]:
        """What may be copied from the wheel instead, by the members' index."""
        entries = wheel.read_entries()
        moved = {
            (os.path.basename(name), entry.record.size): entry
            for name, entry in entries.items()
            if ".data/" in name
        }
        start = self._start
        for i, (name, source, _, _, store, _) in enumerate(self.members):
            if store or not isinstance(source, File | FilePiece) or not source.size:
                continue
            entry = entries.get(name[start:])
            if entry is None and moved:
                entry = moved.get((os.path.basename(name), source.size))
            if entry is None or not _may_be(source, entry):
                continue
            packed = ArchiveMember(wheel.archive, entry)
            if isinstance(source, File):
                yield i, Twin(source, packed)
            elif source.crc == entry.record.crc:
                yield i, packed

    def drop_wheel(self, error: ParazipError) -> bool:
        """Does without the wheel, if the error is about it; tells whether it is.

        The next one takes its place, if there is any: a wheel that another pex is downloading is
        only half there, or gone a moment later. The section is to be asked for anew, as it has
        another key.
        """
        path = error.archive if isinstance(error, BadArchiveError) else error.member
        if self._wheel is None or path != self._wheel.archive.path:
            return False
        self._wheel = next(self._wheels, None)
        self._alone = f"the wheel is of no use: {error}"
        return True


def _by_stat(file: File) -> object:
    """Tells a file of an installed distribution from all others.

    Also one that was written just now: pex installs into a folder under another name, renames it
    when it is complete, and leaves it alone from then on.
    """
    return file[1:]


def _may_be(file: File | FilePiece, entry: Entry) -> bool:
    """Whether a file may be copied as `entry`, if its bytes are the same."""
    record = entry.record
    return record.method == DEFLATED and record.compressed_size < record.size == file.size


def group_by_distribution(
    members: Iterable[Member],
    arguments: Sequence[str] | None,
    folders: Mapping[str, str] | None = None,
) -> Iterator[Distribution]:
    """The distributions of a PEX, or of one of the zips of a packed PEX, as they come.

    Args:
        members: of the zip, in order.
        arguments: of pex: they may name wheels, folders of wheels and repositories. None if
            nothing is to be copied from wheels.
        folders: where distributions are installed, by name, if their files do not tell.
    """
    members = iter(members)
    first = list(_up_to_file(members))
    name = _packed(first[-1]) if first else ""
    if name:
        every = [*first, *members]
        yield _distribution(name, every, 0, arguments, folders or {})
        return
    for name, group in groupby(chain(first, members), lambda member: label_member(member.name)):
        run = list(group)
        start = len(DEPS) + len(name) + 2 if name != BOOTSTRAP else 0
        yield _distribution(name, run, start, arguments, folders or {})


def _distribution(
    name: str,
    members: list[Member],
    start: int,
    arguments: Sequence[str] | None,
    folders: Mapping[str, str],
) -> Distribution:
    if arguments is None:
        return Distribution(name, members, start, alone="made as pex itself makes it")
    if name in ("", BOOTSTRAP):
        return Distribution(name, members, start, alone="pex itself")
    folder = folders.get(name) or _folder(members, start)
    return Distribution(name, members, start, _found(folder, name, arguments) if folder else ())


def label_member(name: str) -> str:
    """The distribution that a member belongs to; empty for the user's own files."""
    if not name.startswith((DEPS, BOOTSTRAP)):
        return ""
    parts = name.split("/", 2)
    if parts[0] == BOOTSTRAP:
        return BOOTSTRAP
    return parts[1] if parts[0] == DEPS and len(parts) > 2 else ""


def _up_to_file(members: Iterator[Member]) -> Iterator[Member]:
    """Members up to the first file, that one included."""
    for member in members:
        yield member
        if isinstance(member.source, File | FilePiece):
            return


def _packed(member: Member) -> str:
    """The distribution that a zip is of, where a packed PEX has one for each; told by a file in it.

    There a member's name begins inside the distribution's folder.
    """
    if isinstance(member.source, FilePiece):
        path = member.source.archive.path
    elif isinstance(member.source, File):
        path = member.source.path[: -len(member.name) - 1]
    else:
        return ""
    above, name = os.path.split(path)
    return name if os.path.basename(above) == DEPS else ""


def _folder(members: Sequence[Member], start: int) -> str:
    """Where a distribution is installed, told by a file in it; empty if none tells."""
    for name, source, *_ in members:
        if isinstance(source, File):
            return source.path[: start - len(name)]
    return ""


def _found(folder: str, name: str, arguments: Sequence[str]) -> Iterator[Wheel]:
    """The wheels that the distribution in a folder may have come from."""
    folder = os.path.realpath(folder)
    for path, prefix in _places(folder, name, arguments):
        try:
            info = os.stat(path)
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(info.st_mode):
            sha256 = "" if prefix else os.path.basename(os.path.dirname(folder))
            yield Wheel(files.describe_file(path, info)._replace(ctime_ns=0), prefix, sha256)


_NAMING = ("-f", "--find-links", "--pre-resolved-dist", "--pre-resolved-dists")
"""Options of pex whose values are wheels or folders of wheels."""

_REPOSITORY = "--pex-repository"


def _places(folder: str, name: str, arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Where the wheel of the distribution in `folder` may be: paths, and prefixes inside.

    What pex installed from a wheel stands in a folder named after the wheel's SHA-256, and so does
    a wheel that pex downloaded for a lock. Others are in the folder of a download that pex throws
    away when it ends, or among the wheels that it built, or where the command line says.
    """
    installed_wheels, sha256 = os.path.split(os.path.dirname(folder))
    root = glob.escape(os.path.dirname(os.path.dirname(installed_wheels)))
    wheel = glob.escape(name)
    for pattern in (
        os.path.join(root, "downloads", "*", sha256, wheel),
        os.path.join(root, "downloads", "*", ".tmp", "*", wheel),
        os.path.join(root, "downloads", "*", ".tmp", "*", "*", wheel),
        os.path.join(root, "built_wheels", "*", "*", "*", "*", "*", wheel),
    ):
        for path in sorted(glob.glob(pattern, include_hidden=True)):
            yield path, ""
    before = ""
    for argument in arguments:
        option, _, value = argument.partition("=")
        if before in (*_NAMING, _REPOSITORY):
            option, value = before, argument
        if option in _NAMING:
            yield os.path.join(value, name), ""
        elif option == _REPOSITORY:
            yield os.path.join(value, DEPS, name), ""
            yield value, f"{DEPS}/{name}/"
        for path in (argument, value):
            if os.path.basename(path) == name:
                yield path, ""
        before = argument
