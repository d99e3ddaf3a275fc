"""Makes a zip of what pex wants to put in.

The members of one distribution are a section: recalled, copied from its wheel, or compressed.
Sections are made as members come, so that work begins while pex still looks for the rest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from typing import Generic, TypeAlias, TypeVar

from parazip.codecs import levels
from parazip.engine import plan
from parazip.engine.assembly import assemble
from parazip.engine.cache import Cache
from parazip.engine.prefix import Prefix
from parazip.engine.progress import Counter, Sink
from parazip.engine.sections import AssemblyOptions
from parazip.errors import BadArchiveError, SourceChangedError, SourceError
from parazip.model import Member, Section
from parazip.pex.limits import Limits, Zip64Error, find_excess, refuse_zip64
from parazip.pex.wheels import Distribution, group_by_distribution
from parazip.settings import Report, Settings
from parazip.verification.verify import require_sound

_Item = TypeVar("_Item")

ZipReport: TypeAlias = tuple[Report, list[Distribution]]
"""What was made, and of which distributions."""


@dataclass(frozen=True, kw_only=True)
class ZipPlan:
    """How zips are made, and what was made.

    Attributes:
        settings: level, codec, jobs, memory.
        arguments: of pex.
        progress: called with each archive's progress.
        cache: where finished parts are looked for and kept, if anywhere.
        exact: whether zips are to be the same as pex's own, to the byte.
        watch: makes what watches the size of a PEX that is one zip.
        note: called with sentences for people.
        folders: where distributions are installed, by name, if the paths of files do not show it.
        verify: whether each zip is read back before pex gets it.
        sync: whether each zip is on the disk before pex gets it.
        reports: what was made.
    """

    settings: Settings
    arguments: Sequence[str]
    progress: Sink | None
    cache: Cache | None
    exact: bool = False
    watch: Callable[[Sink | None], Limits] | None = None
    note: Callable[[str], object] = lambda message: None
    folders: dict[str, str] = field(default_factory=dict)
    verify: bool = False
    sync: bool = False
    reports: list[ZipReport] = field(default_factory=list)


_ADVICE = "keep it out of what --sources-directory, --package and --module name"
_APART = "rename one"
"""About names that cannot be stored: pex's own --exclude leaves out requirements, not files."""


class _Remembered(Generic[_Item]):
    """Items that can be gone through several times, though the iterator gives them once."""

    def __init__(self, items: Iterator[_Item]) -> None:
        self.found: list[_Item] = []
        self._items = items

    def __iter__(self) -> Iterator[_Item]:
        yield from self.found
        for item in self._items:
            self.found.append(item)
            yield item


def make_zip(
    path: str, name: str, prefix: bytes, members: Iterable[Member], zip_plan: ZipPlan
) -> None:
    """Makes one zip of members; the report is added to those of `zip_plan`.

    Args:
        path: where it is to be.
        name: what people know it by.
        prefix: what stands in front of it.
        members: as pex wants them, in order.
        zip_plan: how.

    Raises:
        Zip64Error: it is to be exact, and the standard library's zip would have zip64 records.
        ParazipError: anything else that `write` raises.
    """
    began = time.monotonic()
    progress = zip_plan.progress
    if zip_plan.watch is not None:
        limits = zip_plan.watch(progress)
        members, progress = limits.watch_members(members), limits
    if zip_plan.exact:
        members = refuse_zip64(members)
    members = plan.check_names(members, advice=_ADVICE, apart=_APART, readers=None)
    first = list(islice(members, plan.PEEK))
    arguments = None if zip_plan.exact else zip_plan.arguments
    distributions = _Remembered(
        group_by_distribution(chain(first, members), arguments, zip_plan.folders)
    )
    is_helped = plan.are_mostly_short(first)
    while True:
        try:
            report = _assemble_zip(path, name, prefix, distributions, zip_plan, is_helped, progress)
            break
        except (BadArchiveError, SourceError) as error:
            # If it is about a wheel, all is made again without that wheel.
            if not [one for one in distributions.found if one.drop_wheel(error)]:
                if isinstance(error, SourceChangedError):
                    raise _in_pex_terms(error) from error
                raise
    excess = find_excess(0, os.path.getsize(path)) if zip_plan.exact else ""
    if excess:
        with suppress(OSError):
            os.unlink(path)
        raise Zip64Error(f"it {excess}")
    report = replace(report, archive=name, seconds=time.monotonic() - began)
    zip_plan.reports.append((report, distributions.found))


def _in_pex_terms(error: SourceChangedError) -> SourceChangedError:
    """The error without advice on options that mean something else to pex."""
    problem, _, _ = str(error).partition(";")
    message = f"{problem}; run pex again when nothing writes to it"
    return SourceChangedError(message, member=error.member, errno=error.errno)


def _assemble_zip(
    path: str,
    name: str,
    prefix: bytes,
    distributions: Iterable[Distribution],
    zip_plan: ZipPlan,
    is_helped: bool,
    progress: Sink | None,
) -> Report:
    """Makes one zip of distributions."""
    level, codec = zip_plan.settings.level, zip_plan.settings.codec
    recipe = levels.choose_recipe(level, codec)
    rest = levels.choose_recipe(min(level + 1, 9) if level else 0, codec)
    if zip_plan.exact:
        recipe = rest = levels.AS_ZIPFILE
    counter = Counter(progress)

    def make_sections() -> Iterator[Section]:
        for distribution in distributions:
            counter.count(distribution.members)
            yield distribution.make_section(recipe, rest, zip_plan.cache is not None)

    options = AssemblyOptions(
        recipe=recipe,
        jobs=zip_plan.settings.jobs,
        memory=zip_plan.settings.memory,
        cache=zip_plan.cache,
        wants_helpers=is_helped,
        inspect=partial(require_sound, settings=zip_plan.settings, name=name)
        if zip_plan.verify
        else None,
        sync=zip_plan.sync,
    )
    return assemble(path, make_sections(), options, counter, prefix=Prefix(prefix))
