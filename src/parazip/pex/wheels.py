"""Finds what of an installed distribution can be copied from the wheel that it came from.

pex installs wheels into folders of its own and zips those. Nearly all of the files there are the
wheel's, byte for byte, and the wheel has them compressed. Names do not decide which ones: a file is
taken from the wheel if it has the size and CRC-32 that the wheel's directory gives, and compressed
if it has not.

Only pex knows where a wheel is; `_list_candidates` knows where it usually is. Whatever is there
must have the SHA-256 of the wheel that was installed, which pex noted: so its compressed bytes are
what was once downloaded or built, neither damaged nor somebody else's. If a wheel is missing, or is
another one, that costs time and nothing else.
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

from parazip.codecs.levels import Recipe
from parazip.engine import keys
from parazip.errors import BadArchiveError, ParazipError
from parazip.format.values import DEFLATED, Entry
from parazip.model import ArchiveMember, File, Member, Section, Twin
from parazip.sources import archives, files
from parazip.sources.contents import find_file, find_root, pair_with

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
        """What tells its contents from all others.

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
            return {entry.name: entry for entry in _read_entries(self.archive)}
        start = len(self.prefix)
        inside = _group_entries(self.archive).get(self.prefix, [])
        return {entry.name[start:]: entry for entry in inside}

    def check_sha256(self) -> None:
        """Makes sure that it is the file that was installed.

        Raises:
            SourceError: it cannot be read.
            BadArchiveError: it is another one, or damaged.
        """
        found = _hash_archive(self.archive)
        if found != self.sha256:
            raise BadArchiveError(
                f"{self.archive.path} is not the wheel that was installed: expected SHA-256 "
                f"{self.sha256}, found {found}",
                archive=self.archive.path,
            )


_read_entries = lru_cache(maxsize=8)(archives.read_entries)
"""Remembered, as a PEX that is a repository is asked for each of its distributions."""


@lru_cache(maxsize=8)
def _group_entries(archive: File) -> dict[str, list[Entry]]:
    """The members of a repository, by the prefixes of `Wheel`."""
    found: dict[str, list[Entry]] = {}
    for entry in _read_entries(archive):
        found.setdefault(f"{DEPS}/{label_member(entry.name)}/", []).append(entry)
    return found


_hash_archive = lru_cache(files.hash_file)
"""Remembered, as all of the archive is made again if one wheel turns out to be of no use."""


class Distribution:
    """Consecutive members of a PEX that belong together; most are an installed wheel.

    Args:
        name: of the wheel's file, or of what else it is; may be empty.
        members: as pex wants them.
        start: the length of what stands in front of the distribution's own names.
        wheels: where the members may be copied from, the best first.
        reason: why there is no wheel, for people.

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
        reason: str = "no wheel found",
    ) -> None:
        self.name = name
        self.members = members
        self._start = start
        self._wheels = iter(wheels)
        self._wheel = next(self._wheels, None)
        self._reason = reason

    def make_section(self, recipe: Recipe, rest: Recipe, has_cache: bool) -> Section:
        """The section of the archive; the cache knows it by its files and its wheel.

        Args:
            recipe: how a distribution is compressed that has no wheel.
            rest: how the few files are compressed that are not as in the wheel.
            has_cache: whether there is a cache to know it.

        Raises:
            SourceError, BadArchiveError: the wheel is of no use; see `drop_wheel`.
        """
        if self._wheel is not None or self.name == BOOTSTRAP:
            recipe = rest
        wheel = self._wheel
        key = ""
        if has_cache and self.name:
            identity = wheel.identify() if wheel is not None else ""
            known = files.hash_file if self.name == BOOTSTRAP else _identify_file
            key = keys.make_key(self.members, recipe, identity, identity=known)
        return Section(
            self.make_members,
            self.name,
            key,
            recipe,
            check_crc=wheel is not None and not wheel.sha256,
            alongside=wheel.check_sha256 if wheel is not None and wheel.sha256 else None,
        )

    def make_members(self) -> list[Member]:
        """The members; those that seem to be the wheel's are copied from there, if they are.

        Raises:
            SourceError, BadArchiveError: the wheel is of no use; see `drop_wheel`.
        """
        if self._wheel is None:
            return self.members
        members = list(self.members)
        for i, source in self._find_copies(self._wheel):
            members[i] = members[i]._replace(source=source)
        return members

    def explain_rest(self, copied: int) -> str:
        """Why not all members are copied, for people, if `copied` of them are."""
        if self._wheel is None:
            return self._reason
        if not copied:
            return "nothing in the wheel is deflated and as installed"
        rest = sum(member.size > 0 for member in self.members) - copied
        return f"all but {rest} that installing made or changed" if rest else ""

    def _find_copies(self, wheel: Wheel) -> Iterator[tuple[int, ArchiveMember | Twin]]:
        """The members that may be copied from the wheel: their index, and what to copy."""
        entries = wheel.read_entries()
        moved = {
            (os.path.basename(name), entry.record.size): entry
            for name, entry in entries.items()
            if ".data/" in name
        }
        start = self._start
        for i, (name, source, _, _, store, _) in enumerate(self.members):
            size = self.members[i].size
            if store or not size:
                continue
            entry = entries.get(name[start:])
            if entry is None and moved:
                entry = moved.get((os.path.basename(name), size))
            if entry is None or not _may_equal(size, entry):
                continue
            pair = pair_with(source, ArchiveMember(wheel.archive, entry))
            if pair is not None:
                yield i, pair

    def drop_wheel(self, error: ParazipError) -> bool:
        """Does without the wheel if the error is about it; gives whether it is.

        The next wheel takes its place, if there is one: a wheel that another pex is downloading is
        incomplete, or gone a moment later. The section must be made anew, as its key is another.
        """
        path = error.archive if isinstance(error, BadArchiveError) else error.member
        if self._wheel is None or path != self._wheel.archive.path:
            return False
        self._wheel = next(self._wheels, None)
        self._reason = f"the wheel is of no use: {error}"
        return True


def _identify_file(file: File) -> object:
    """All of a file but its path: it tells a file of an installed distribution from all others.

    This holds even for one that was written just now: pex installs into a folder under another
    name, renames it when it is complete, and does not touch it again.
    """
    return file[1:]


def _may_equal(size: int, entry: Entry) -> bool:
    """Whether so many bytes may be the contents of `entry`, and it is smaller as compressed."""
    record = entry.record
    return record.method == DEFLATED and record.compressed_size < record.size == size


def group_by_distribution(
    members: Iterable[Member],
    arguments: Sequence[str] | None,
    folders: Mapping[str, str] | None = None,
) -> Iterator[Distribution]:
    """The distributions of a PEX, or of one zip of a packed PEX, in order.

    Args:
        members: of the zip, in order.
        arguments: of pex: they may name wheels, folders of wheels and repositories. None if
            nothing is to be copied from wheels.
        folders: where distributions are installed, by name, if their files do not tell.
    """
    members = iter(members)
    first = list(_take_up_to_file(members))
    name = _name_packed_distribution(first[-1]) if first else ""
    if name:
        every = [*first, *members]
        yield _make_distribution(name, every, 0, arguments, folders or {})
        return
    for name, group in groupby(chain(first, members), lambda member: label_member(member.name)):
        group_members = list(group)
        start = len(DEPS) + len(name) + 2 if name != BOOTSTRAP else 0
        yield _make_distribution(name, group_members, start, arguments, folders or {})


def _make_distribution(
    name: str,
    members: list[Member],
    start: int,
    arguments: Sequence[str] | None,
    folders: Mapping[str, str],
) -> Distribution:
    if arguments is None:
        return Distribution(name, members, start, reason="made as pex itself makes it")
    if name in ("", BOOTSTRAP):
        return Distribution(name, members, start, reason="pex itself")
    folder = folders.get(name) or _find_folder(members, start)
    return Distribution(
        name, members, start, _find_wheels(folder, name, arguments) if folder else ()
    )


def label_member(name: str) -> str:
    """The distribution that a member belongs to; empty for the user's own files."""
    if not name.startswith((DEPS, BOOTSTRAP)):
        return ""
    parts = name.split("/", 2)
    if parts[0] == BOOTSTRAP:
        return BOOTSTRAP
    return parts[1] if parts[0] == DEPS and len(parts) > 2 else ""


def _take_up_to_file(members: Iterator[Member]) -> Iterator[Member]:
    """Members up to the first file, that one included."""
    for member in members:
        yield member
        if find_root(member.source, member.name) is not None:
            return


def _name_packed_distribution(member: Member) -> str:
    """The distribution that a zip of a packed PEX holds, by a file in it; empty if it is not one.

    In such a zip names begin inside the distribution's folder.
    """
    above, name = os.path.split(find_root(member.source, member.name) or "")
    return name if os.path.basename(above) == DEPS else ""


def _find_folder(members: Sequence[Member], start: int) -> str:
    """Where a distribution is installed, by the path of a file in it; empty if it has none."""
    for name, source, *_ in members:
        file = find_file(source)
        if file is not None:
            return file.path[: start - len(name)]
    return ""


def _find_wheels(folder: str, name: str, arguments: Sequence[str]) -> Iterator[Wheel]:
    """The wheels that the distribution in a folder may have come from."""
    folder = os.path.realpath(folder)
    for path, prefix in _list_candidates(folder, name, arguments):
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


def _list_candidates(folder: str, name: str, arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
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
