"""Makes a zip of what pex wants to put in.

The members of one distribution are a section: recalled, copied from its wheel, or compressed. They
are put together as they come, so that work begins while pex still looks for the rest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Generic, TypeVar

from parazip import plan
from parazip.assembly import assemble
from parazip.cache import Cache
from parazip.codecs import levels
from parazip.errors import BadArchiveError, ParazipError, SourceChangedError, SourceError
from parazip.format.records import LIMIT_16, LIMIT_32
from parazip.model import Member, Section
from parazip.pex.limits import Limits
from parazip.pex.wheels import Distribution, group_by_distribution
from parazip.prefix import Prefix
from parazip.progress import Counter, Sink
from parazip.sections import AssemblyOptions
from parazip.settings import Report, Settings

_Item = TypeVar("_Item")


@dataclass(frozen=True, kw_only=True)
class ZipPlan:
    """How zips are made, and what became of them.

    Attributes:
        settings: level, codec, jobs, memory.
        arguments: of pex.
        progress: told of each archive's progress.
        cache: where finished parts are looked for and kept, if anywhere.
        exact: whether zips are to be the same as pex's own, to the byte.
        watch: gives what looks after the size of a PEX that is one zip.
        note: told what people may want to know.
        folders: where distributions are installed, by name, if their files do not tell.
        reports: what was made, with the distributions it was made of.
    """

    settings: Settings
    arguments: Sequence[str]
    progress: Sink | None
    cache: Cache | None
    exact: bool = False
    watch: Callable[[Sink | None], Limits] | None = None
    note: Callable[[str], object] = lambda message: None
    folders: dict[str, str] = field(default_factory=dict)
    reports: list[tuple[Report, list[Distribution]]] = field(default_factory=list)


_ADVICE = "keep it out of what --sources-directory, --package and --module name"
_APART = "rename one"
"""About names that cannot be stored: pex's own --exclude leaves out requirements, not files."""


class _Remembered(Generic[_Item]):
    """Items that can be gone through again, though they are found only once."""

    def __init__(self, items: Iterator[_Item]) -> None:
        self.found: list[_Item] = []
        self._items = items

    def __iter__(self) -> Iterator[_Item]:
        yield from self.found
        for item in self._items:
            self.found.append(item)
            yield item


class Zip64Error(ParazipError):
    """A zip that is to be pex's own, to the byte, would have records that differ from zipfile's."""


def make_zip(path: str, name: str, prefix: bytes, members: Iterable[Member], way: ZipPlan) -> None:
    """Makes one zip of members; the report is added to those of `way`.

    Args:
        path: where it is to be.
        name: what people know it by.
        prefix: what stands in front of it.
        members: as pex wants them, in order.
        way: how.

    Raises:
        Zip64Error: it is to be exact, and the standard library's zip would have zip64 records.
        ParazipError: anything else that `write` raises.
    """
    began = time.monotonic()
    progress = way.progress
    if way.watch is not None:
        limits = way.watch(progress)
        members, progress = limits.watched(members), limits
    if way.exact:
        members = _without_zip64(members)
    members = plan.check_names(members, advice=_ADVICE, apart=_APART, readers=None)
    first = list(islice(members, plan.PEEK))
    arguments = None if way.exact else way.arguments
    found = _Remembered(group_by_distribution(chain(first, members), arguments, way.folders))
    while True:
        try:
            report = _made(path, prefix, found, way, plan.are_mostly_short(first), progress)
            break
        except (BadArchiveError, SourceError) as error:  # of a wheel, which can be done without
            lost = [distribution for distribution in found.found if distribution.lose(error)]
            if not lost:
                if isinstance(error, SourceChangedError):
                    raise _in_pex_terms(error) from error
                raise
    if way.exact and os.path.getsize(path) >= LIMIT_32:
        with suppress(OSError):
            os.unlink(path)
        raise Zip64Error("it takes over 4 GiB")
    report = replace(report, archive=name, seconds=time.monotonic() - began)
    way.reports.append((report, found.found))


def _in_pex_terms(error: SourceChangedError) -> SourceChangedError:
    """The error without advice on options that mean something else to pex."""
    what, _, _ = str(error).partition(";")
    message = f"{what}; run pex again when nothing writes to it"
    return SourceChangedError(message, member=error.member, errno=error.errno)


def _made(
    path: str,
    prefix: bytes,
    found: Iterable[Distribution],
    way: ZipPlan,
    helped: bool,
    progress: Sink | None,
) -> Report:
    """Makes one zip of distributions."""
    level, codec = way.settings.level, way.settings.codec
    recipe = levels.choose_recipe(level, codec)
    rest = levels.choose_recipe(min(level + 1, 9) if level else 0, codec)
    if way.exact:
        recipe = rest = levels.AS_ZIPFILE
    counter = Counter(progress)

    def sections() -> Iterator[Section]:
        for distribution in found:
            counter.count(distribution.members)
            yield distribution.section(recipe, rest, way.cache is not None)

    options = AssemblyOptions(
        recipe=recipe,
        jobs=way.settings.jobs,
        memory=way.settings.memory,
        cache=way.cache,
        wants_helpers=helped,
    )
    return assemble(path, sections(), options, counter, prefix=Prefix(prefix))


def _without_zip64(members: Iterable[Member]) -> Iterator[Member]:
    """The same members.

    Raises:
        Zip64Error: zipfile would write zip64 records, as soon as that is certain.
    """
    for count, member in enumerate(members, 1):
        if count > LIMIT_16:
            raise Zip64Error("it has over 65,535 members")
        if member.size * 1.05 > LIMIT_32:  # zipfile's own rule
            raise Zip64Error(f"{member.name} has about 4 GiB or more")
        yield member
