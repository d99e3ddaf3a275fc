"""Verifies an archive: each byte of it is read, and each claim held against the others.

What a strict reader refuses is an error, as two readers may make different things of it. What only
some system takes for something else, such as two names that differ in case, is a warning.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from parazip.codecs import libraries
from parazip.engine.progress import Counter, Sink
from parazip.errors import BadArchiveError
from parazip.extraction.choice import advising, find_archive
from parazip.extraction.model import NEVER_A_BOMB
from parazip.format.end import find_directory
from parazip.format.reader import read_directory
from parazip.format.refusals import Judge, Refusal
from parazip.format.values import DEFLATED, MOST_DEFLATED, STORED, Entry
from parazip.model import File
from parazip.settings import Settings
from parazip.sources import files
from parazip.sources.archives import locate_end, read_at
from parazip.verification import checking
from parazip.verification.checking import Batch, Checked
from parazip.verification.faults import Fault, sort_faults
from parazip.verification.naming import find_odd_names
from parazip.verification.profiles import check_profiles, find_unfit
from parazip.verification.traits import find_traits
from parazip.workers.cpus import usable_cpus
from parazip.workers.helpers import Helpers
from parazip.workers.line import line_for

_BATCH, _BATCH_MEMBERS = 8 << 20, 256
"""Bytes of contents and members that are checked in one go, at most."""

_PER_MEMBER = 25 << 10
"""Bytes that are inflated in the time that all else takes which is done for a member."""

_WORTH_FORKED, _WORTH_FRESH = 4 << 20, 256 << 20
"""Bytes from which on helpers pay: copies of this process, and those that are started afresh."""

_COST = 4 << 20
"""Bytes in memory for a batch: chunks of compressed bytes and of contents."""

_MOST_ANSWER = 1 << 20
_MOST_OF_A_RULE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What was found.

    Attributes:
        archive: its path.
        members: how many it has.
        bytes: of all their contents, but for those of members that were read beside damaged ones.
        seconds: from the first look at the archive to the end.
        faults: what is not right; errors first, and of one rule at most 1,000.
        untold: how many faults there are more.
        unfit: readers that the archive is not for, by the names of their profiles, and why: the ids
            of rules.
    """

    archive: str
    members: int
    bytes: int
    seconds: float
    faults: tuple[Fault, ...]
    untold: int
    unfit: Mapping[str, tuple[str, ...]]

    @property
    def is_sound(self) -> bool:
        """Whether there is no error; warnings and notes may be there."""
        return not any(fault.severity == "error" for fault in self.faults)


def verify(
    archive: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    profiles: Iterable[str] = (),
    progress: Sink | None = None,
) -> VerifyReport:
    """Reads an archive back on all cores; tells all that is wrong with it, and raises none of that.

    Args:
        archive: its path.
        settings: `jobs` and `memory` count.
        profiles: readers that it is for, keys of `parazip.PROFILES`. What one of them does not take
            as it is meant is an error.
        progress: called with a `Progress` each time members were checked.

    Raises:
        SettingsError: there is no such profile.
        SourceError: the file cannot be read.
        SourceChangedError: it changed meanwhile.
    """
    began = time.monotonic()
    settings = settings or Settings()
    required = check_profiles(profiles)
    with advising():
        found = find_archive(os.fspath(archive))
        verification = _Verification(found, settings, Counter(progress))
        entries = verification.check_all()
    faults = [
        fault._replace(severity="error") if fault.id in required else fault
        for fault in verification.faults
    ]
    return VerifyReport(
        archive=found.path,
        members=len(entries),
        bytes=verification.bytes,
        seconds=time.monotonic() - began,
        faults=sort_faults(_add_places(faults, entries)),
        untold=verification.untold,
        unfit=find_unfit(faults),
    )


def require_sound(
    archive: str | os.PathLike[str], settings: Settings | None = None, *, name: str = ""
) -> None:
    """Reads an archive back as `verify` does, and refuses it if there is an error.

    `create` and `merge` take it as `inspect`.

    Args:
        archive: its path.
        settings: `jobs` and `memory` count.
        name: what messages call it, if not by its path.

    Raises:
        BadArchiveError: it is not sound; the message tells the first error.
        SourceError: the file cannot be read.
    """
    report = verify(archive, settings)
    errors = [fault for fault in report.faults if fault.severity == "error"]
    if errors:
        first = errors[0]
        more = f", the first of {len(errors):,} errors" if len(errors) > 1 else ""
        raise BadArchiveError(
            f"{name or report.archive} {first.verdict}: {first.record}: expected {first.expected}, "
            f"found {first.found}{more}; {first.advice} [{first.id}]",
            archive=name or report.archive,
            member=first.member or None,
            id=first.id,
        )


def _add_places(faults: Sequence[Fault], entries: Sequence[Entry]) -> Sequence[Fault]:
    """The faults; those that have a member and no place get the place of the member's record."""
    placeless = {fault.member for fault in faults if fault.offset < 0}
    places: dict[str, int] = {}
    for entry in entries if placeless else ():
        name = entry.name.rstrip("/")
        for key in (name, entry.name):
            if key in placeless:
                places.setdefault(key, entry.record.offset)
    return [
        fault._replace(offset=places.get(fault.member, -1)) if fault.offset < 0 else fault
        for fault in faults
    ]


class _Verification:
    """One archive, and what is found of it.

    Attributes:
        faults: what was found.
        bytes: of contents that were read and are right.
        untold: how many more faults there are.
    """

    def __init__(self, archive: File, settings: Settings, counter: Counter) -> None:
        self.faults: list[Fault] = []
        self.bytes = self.untold = 0
        self._counts: dict[str, int] = {}
        self._noted: dict[tuple[str, str], list[str]] = {}
        self._archive = archive
        self._counter = counter
        self._jobs = settings.jobs or usable_cpus()
        self._line = line_for(settings.jobs, settings.memory)

    def check_all(self) -> Sequence[Entry]:
        """Checks the directory, the names and all members; gives the members."""
        entries = self._read_directory()
        self.faults += find_odd_names(entries)
        self._counter.members_total = len(entries)
        self._counter.bytes_total = sum([entry.record.size for entry in entries])
        self._check_members(entries)
        return entries

    def hear(self, refusal: Refusal) -> None:
        """Hears of what is not right."""
        count = self._counts[refusal.id] = self._counts.get(refusal.id, 0) + 1
        if count <= _MOST_OF_A_RULE:
            self.faults.append(Fault.of(refusal))
        else:
            self.untold += 1

    def _read_directory(self) -> Sequence[Entry]:
        archive = self._archive
        judge = Judge(archive.path, self.hear)
        try:
            with files.open_unchanged(archive, pieces=[locate_end(archive)]) as file:
                read = partial(read_at, file)
                entries = read_directory(archive.path, archive.size, read, judge)
                unheard = Judge(archive.path, lambda refusal: None)  # it was heard of above
                directory = find_directory(unheard, archive.size, read)
                self.faults += find_traits(entries, directory, read)
                return entries
        except BadArchiveError:
            if not self.faults:
                raise
            return ()  # it has been heard of; there is no directory that could be read further

    def _check_members(self, entries: Sequence[Entry]) -> None:
        size = sum([entry.record.size + _PER_MEMBER for entry in entries])
        helpers = Helpers(
            f"{checking.__name__}:{checking.answer_question.__name__}",
            min(self._jobs, usable_cpus()) if self._jobs > 1 else 0,
            _MOST_ANSWER,
            libraries.find_library_folders(),
        )
        try:
            worth = _WORTH_FORKED if helpers.are_forked else _WORTH_FRESH
            if size >= worth and not self._archive.is_remote:
                helpers.start()

            def check(batch: Batch) -> Checked:
                return checking.check(batch, helpers)

            with self._line.open_lane(check, cost=lambda _: _COST) as lane:
                for batch, checked in lane.through(self._group(entries, _find_bombs(entries))):
                    for refusal in checked.refusals:
                        self.hear(refusal)
                    for rule, name, found in checked.noted:
                        self._noted.setdefault((rule, found), []).append(name)
                    done = sum([entry.record.size for entry in batch.entries])
                    self.bytes += 0 if checked.refusals else done  # claims are no bytes
                    self._counter.advance(len(batch.entries), done, done, batch.entries[-1].name)
        finally:
            helpers.close()
        for (rule, found), names in self._noted.items():
            self.faults.append(Fault.of_names(rule, "members", names, found))

    def _group(self, entries: Sequence[Entry], bombs: Collection[int]) -> Iterator[Batch]:
        """The largest members first; small ones in the order in which they stand in the file."""
        size = 0
        group: list[Entry] = []
        for entry in sorted(entries, key=_rank):
            group.append(entry)
            size += entry.record.size
            if size >= _BATCH or len(group) == _BATCH_MEMBERS:
                yield self._make_batch(group, bombs)
                group, size = [], 0
        if group:
            yield self._make_batch(group, bombs)

    def _make_batch(self, group: Sequence[Entry], bombs: Collection[int]) -> Batch:
        """A batch that knows its own bombs only, as each is sent to a helper."""
        own = [entry.record.offset for entry in group if entry.record.offset in bombs]
        return Batch(self._archive, group, own)


def _find_bombs(entries: Sequence[Entry]) -> Collection[int]:
    """Offsets of members that make far more than deflate could, if they make much together."""
    found = [
        (record.offset, record.size)
        for _, record, _ in entries
        if record.method not in (STORED, DEFLATED)
        and record.size > MOST_DEFLATED * record.compressed_size
    ]
    is_much = sum([size for _, size in found]) > NEVER_A_BOMB
    return frozenset([offset for offset, _ in found]) if is_much else ()


def _rank(entry: Entry) -> tuple[int, int]:
    size = entry.record.size
    return (-size if size > _BATCH else 0, entry.record.offset)
