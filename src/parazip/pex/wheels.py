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
import marshal
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from parazip import cache, copy, files
from parazip.errors import BadArchiveError, ParazipError
from parazip.helper import helpers
from parazip.model import DEFLATED, Entry, File, Member, Packed, Recipe, Section
from parazip.pool import Budget, Pool, workers

DEPS = ".deps"
"""The folder of a PEX that holds its distributions."""

BOOTSTRAP = ".bootstrap"
"""The folder of a PEX that holds pex itself."""

_TASK = 4 << 20
_TASK_MEMBERS = 256


@dataclass(frozen=True, slots=True)
class Wheel:
    """The archive that a distribution was installed from.

    Attributes:
        archive: its file.
        prefix: what stands in front of the distribution's names in there.
        sha256: of the file that was installed, as pex noted it; empty for a repository.
    """

    archive: File
    prefix: str = ""
    sha256: str = ""

    def identity(self) -> str:
        """Tells its contents from all others.

        Raises:
            SourceError: it cannot be read.
            BadArchiveError: it is damaged.
        """
        if self.sha256:
            return self.sha256
        return hashlib.sha256(repr(sorted(self.entries().items())).encode()).hexdigest()

    def entries(self) -> dict[str, Entry]:
        """Its members by their names in the distribution; raises what `identity` raises."""
        start = len(self.prefix)
        return {
            entry.name[start:]: entry
            for entry in _entries(self.archive)
            if entry.name.startswith(self.prefix)
        }

    def check(self, sha256: str) -> None:
        """Makes sure that it is the file that was installed, which has the hash given.

        Raises:
            BadArchiveError: it is another one, or damaged.
        """
        if sha256 != self.sha256:
            raise BadArchiveError(
                f"{self.archive.path} is not the wheel that was installed: expected SHA-256 "
                f"{self.sha256}, found {sha256}",
                archive=self.archive.path,
            )


_entries = lru_cache(maxsize=8)(copy.entries)
"""A PEX that is a repository is asked for each of its distributions."""


class Distribution:
    """Consecutive members of a PEX that belong together; most are an installed wheel.

    Args:
        name: of the wheel's file, or of what else it is; may be empty.
        members: as pex wants them.
        start: the length of what stands in front of the distribution's own names.
        wheel: where the members may be copied from.

    Attributes:
        name: of the wheel's file, or of what else it is.
        members: as pex wants them.
        why: why not all is copied, for people.
    """

    def __init__(self, name: str, members: list[Member], start: int, wheel: Wheel | None) -> None:
        self.name = name
        self.members = members
        self.why = "" if wheel else "pex itself" if name == BOOTSTRAP else "no wheel found"
        self._start = start
        self._wheel = wheel
        self._matched: list[Member] | None = None

    def section(self, recipe: Recipe, rest: Recipe, keeps: bool) -> Section:
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
        check = wheel is not None and not wheel.sha256
        if not keeps:
            return Section(self.make, self.name, recipe=recipe, check_crc=check)
        key = ""
        if self.name:
            identity = wheel.identity() if wheel is not None else ""
            known = files.digest if self.name == BOOTSTRAP else _by_stat
            key = cache.key(self.members, recipe, identity, identity=known)
        return Section(self.make, self.name, key, recipe, check)

    @property
    def to_check(self) -> Wheel | None:
        """The wheel whose bytes are taken, if it is to be checked that it is the right one."""
        copied = any(isinstance(member.source, Packed) for member in self._matched or ())
        return self._wheel if copied and self._wheel and self._wheel.sha256 else None

    def make(self) -> list[Member]:
        """The members; those that are the wheel's are to be copied from there."""
        if self._matched is None:
            match([self], 1)
        return self._matched or []

    def candidates(self) -> Iterator[tuple[int, Entry]]:
        """Which of the wheel's members may be which of the distribution's, by index."""
        if self._wheel is None:
            return
        entries = self._wheel.entries()
        moved = {
            (os.path.basename(name), entry.record.size): entry
            for name, entry in entries.items()
            if ".data/" in name
        }
        for i, member in enumerate(self.members):
            name = member.name[self._start :]
            entry = entries.get(name) or moved.get((os.path.basename(name), member.size))
            if entry is not None and _may_be(member, entry):
                yield i, entry

    def lose(self, error: ParazipError) -> bool:
        """Does without the wheel, if the error is about it; tells whether it is.

        The section is to be asked for anew: without a wheel it has another key.
        """
        path = error.archive if isinstance(error, BadArchiveError) else error.member
        if self._wheel is None or path != self._wheel.archive.path:
            return False
        self._wheel = self._matched = None
        self.why = f"the wheel is of no use: {error}"
        return True

    def settle(self, copied: dict[int, Entry]) -> None:
        """Takes note of which members are the wheel's."""
        self._matched = list(self.members)
        for i, entry in copied.items():
            assert self._wheel is not None
            self._matched[i] = self.members[i]._replace(source=Packed(self._wheel.archive, entry))
        rest = sum(member.size > 0 for member in self._matched if isinstance(member.source, File))
        if self._wheel is not None and not copied:
            self.why = "nothing in the wheel is deflated and as installed"
        elif self._wheel is not None and rest:
            self.why = f"all but {rest} that installing made or changed"


def _by_stat(file: File) -> object:
    """Tells a file of an installed distribution from all others.

    Also one that was written just now: pex installs into a folder under another name, renames it
    when it is complete, and leaves it alone from then on.
    """
    return file[1:]


def _may_be(member: Member, entry: Entry) -> bool:
    """Whether a file may be copied as `entry`, if its bytes are the same."""
    record = entry.record
    return (
        isinstance(member.source, File)
        and not member.store
        and record.method == DEFLATED
        and record.compressed_size < record.size == member.size
    )


class _Comparison(NamedTuple):
    """Members of one distribution that may be the wheel's, and are a worker's task."""

    distribution: Distribution
    pairs: list[tuple[int, Entry]]
    copies: dict[int, Entry]


def match(distributions: Iterable[Distribution], jobs: int) -> None:
    """Compares files with what their wheels' directories tell of them, `jobs` at a time.

    Raises:
        SourceError: a file cannot be read.
        SourceChangedError: a file is not what it was when it was found.
    """

    def equal(task: _Comparison) -> bytes:
        question = marshal.dumps(
            [
                (tuple(task.distribution.members[i].source), entry.record.crc)
                for i, entry in task.pairs
            ]
        )
        return crew.ask(question) or _equal(question)

    distributions = list(distributions)
    copied: list[dict[int, Entry]] = [{} for _ in distributions]
    tasks = (
        task
        for each, copies in zip(distributions, copied, strict=True)
        for task in _comparisons(each, copies)
    )
    pool: Pool[_Comparison, bytes] = Pool(
        equal, Budget(4 * jobs), cost=lambda task: 1, weight=lambda answer: 0
    )
    members = sum(len(each.members) for each in distributions)
    help_needed = jobs if members > _TASK_MEMBERS and jobs > 1 else 0
    with (
        pool.interrupts_held(),
        helpers(_equal, help_needed, _TASK_MEMBERS) as crew,
        workers(jobs) as threads,
    ):
        for task, answer in pool.run(tasks, threads):
            task.copies.update(pair for pair, same in zip(task.pairs, answer, strict=True) if same)
    for distribution, copies in zip(distributions, copied, strict=True):
        distribution.settle(copies)


def _comparisons(distribution: Distribution, copies: dict[int, Entry]) -> Iterator[_Comparison]:
    pairs: list[tuple[int, Entry]] = []
    size = 0
    for i, entry in distribution.candidates():
        pairs.append((i, entry))
        size += entry.record.size
        if size >= _TASK or len(pairs) == _TASK_MEMBERS:
            yield _Comparison(distribution, pairs, copies)
            pairs, size = [], 0
    if pairs:
        yield _Comparison(distribution, pairs, copies)


def _equal(question: bytes) -> bytes:
    """For each of the files in a question, whether its bytes have the CRC-32 beside it."""
    return bytes(files.crc32(File(*file)) == crc for file, crc in marshal.loads(question))


def distributions(members: Sequence[Member], arguments: Sequence[str]) -> list[Distribution]:
    """The distributions of a PEX, or of one of the zips of a packed PEX.

    Args:
        members: of the zip, in order.
        arguments: of pex: they may name wheels, folders of wheels and repositories.
    """
    if not any(member.name.startswith((DEPS, BOOTSTRAP)) for member in members):
        alone = _packed(members, arguments)
        if alone is not None:
            return [alone]
    found = []
    for name, group in groupby(members, lambda member: _label(member.name)):
        run = list(group)
        start = len(DEPS) + len(name) + 2 if name != BOOTSTRAP else 0
        wheel = _find(run, start, name, arguments) if name not in ("", BOOTSTRAP) else None
        found.append(Distribution(name, run, start, wheel))
    return found


def _label(name: str) -> str:
    parts = name.split("/")
    if parts[0] == BOOTSTRAP:
        return BOOTSTRAP
    return parts[1] if parts[0] == DEPS and len(parts) > 2 else ""


def _packed(members: Sequence[Member], arguments: Sequence[str]) -> Distribution | None:
    """A packed PEX has a zip for each distribution, whose names are the distribution's own."""
    path = next((m.source.path for m in members if isinstance(m.source, File)), "")
    steps = path.split(os.sep)
    if DEPS not in steps[:-2]:
        return None
    name = steps[steps.index(DEPS) + 1]
    return Distribution(name, list(members), 0, _find(members, 0, name, arguments))


def _find(
    members: Sequence[Member], start: int, name: str, arguments: Sequence[str]
) -> Wheel | None:
    """The wheel that an installed distribution came from."""
    member = next((m for m in members if isinstance(m.source, File)), None)
    if member is None or not isinstance(member.source, File):
        return None
    inside = len(member.name) - start
    folder = os.path.realpath(member.source.path[:-inside])
    for path, prefix in _places(folder, name, arguments):
        try:
            info = os.stat(path)
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(info.st_mode):
            sha256 = "" if prefix else os.path.basename(os.path.dirname(folder))
            return Wheel(files.found(path, info)._replace(ctime_ns=0), prefix, sha256)
    return None


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
