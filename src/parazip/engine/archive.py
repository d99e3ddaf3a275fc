"""Makes archives: `create` of files and folders, `merge` of other archives, `write` of members.

Each finds its members, has their names checked as they come, and hands them to `assembly` as
sections. What `create` and `merge` would put in, `preview` and `preview_merge` tell.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, Literal, TypeAlias

from parazip.codecs import levels
from parazip.codecs.levels import STORE, Recipe
from parazip.engine import plan
from parazip.engine.assembly import Target, assemble, note_unaligned
from parazip.engine.cache import Cache
from parazip.engine.keys import identify_by_content, identify_by_stat, make_key
from parazip.engine.prefix import Prefix, check_prefix
from parazip.engine.progress import Counter, Sink
from parazip.engine.searching import Searchers, may_help
from parazip.engine.sections import AssemblyOptions
from parazip.errors import ParazipError, SourceError
from parazip.format.values import STORED
from parazip.model import Found, Member, Section
from parazip.output import existing
from parazip.output.places import refuse_at_once, refuse_unwritable
from parazip.output.stream import Pipe
from parazip.settings import Preview, Report, Settings
from parazip.sources import merging
from parazip.sources.contents import find_archive_member
from parazip.sources.feeds import open_feeds, refuse_feeds
from parazip.sources.findings import Findings
from parazip.sources.items import are_one
from parazip.sources.merging import OnDuplicate
from parazip.sources.selection import Selection
from parazip.sources.walk import find_members, find_with_searchers, is_same
from parazip.workers.line import line_for

Identification: TypeAlias = Literal["stat", "content"]

Inspect: TypeAlias = Callable[[str], object]
"""Looks at a complete archive that has no name yet, under the path that it is called with."""

_COST_OF_HASHING = 1 << 20
"""Bytes in memory while files are read for their hashes, one at a time."""


def create(
    archive: Target,
    paths: Iterable[str | os.PathLike[str]],
    settings: Settings | None = None,
    selection: Selection | None = None,
    *,
    names: Iterable[str | os.PathLike[str]] = (),
    prepend: str | os.PathLike[str] | bytes | None = None,
    shebang: str | None = None,
    progress: Sink | None = None,
    executor: Executor | None = None,
    cache: Cache | None = None,
    identity: Identification = "stat",
    inspect: Inspect | None = None,
    sync: bool = False,
) -> Report:
    """Puts files and folders into a new archive.

    The archive appears complete under its name, or not at all; one that stood there before is
    replaced in one step. Its bytes depend on the sources, the selection, level and codec alone.

    Args:
        archive: a path or a URL, or an open binary file, from its position on. A file that cannot
            seek, or is to be written from front to back (`parazip.output.Pipe`), gets data
            descriptors for members that are cut into blocks.
        paths: files, and folders with all they hold, in this order.
        settings: level, codec, jobs, memory.
        selection: what to leave out, names and dates.
        names: files and folders that are taken one by one, after `paths`.
        prepend: bytes that are put in front of the archive, or the path of a file that has them.
        shebang: what follows `#!` on the archive's first line. An archive that begins with `#!`
            is made executable.
        progress: called with a `Progress` each time something was written.
        executor: whose workers compress, instead of threads of this process: processes, or other
            machines that see the same files and have the same versions (docs/workers.md). It
            stays open. `settings.jobs` says then how many pieces of work of some 4 MiB it may have
            at once; None, as many as `settings.memory` allows.
        cache: where finished parts are looked for, and kept; not used for an open file.
        identity: how the cache knows a file again: "stat" by size, times, inode and mode,
            "content" by a hash of its bytes.
        inspect: called with a path under which the complete archive can be read, before it takes
            its name, such as `parazip.require_sound`. What it raises keeps the old archive.
        sync: whether all is on the disk when the call returns: the archive's bytes before it takes
            its name, and the name. It has to be a path then.

    Returns:
        What was made.

    Raises:
        SourceError: something to be put in is missing, unreadable, not a file, or changed.
        MemberNameError: a name cannot be stored, or two members have the same.
        OutputError: the archive cannot be written.
        ExecutorError: the executor does not do what it is handed, or a worker has other versions.
    """
    began = time.monotonic()
    selection = selection or Selection()
    place = _locate(archive)
    findings = Findings()
    searchers = None
    if cache is None and executor is None and may_help(selection, paths, names):
        searchers = Searchers(selection, place)
    members: Iterator[Found]
    if searchers is None:
        members = _find_checked(paths, selection, names, place, cache, findings)
    else:
        found = find_with_searchers(paths, selection, place, findings, searchers)
        members = plan.check_names(found, findings, is_one_tree=True, is_same=is_same)
    try:
        report = _write_archive(
            archive,
            members,
            settings,
            check_prefix(prepend, shebang),
            progress,
            executor=executor,
            cache=cache,
            identity=identity,
            inspect=inspect,
            sync=sync,
            searchers=searchers,
        )
    except ParazipError as error:
        is_found = error in findings.problems
        if searchers is not None and searchers.are_ready():
            # They find problems out of turn. Who searches alone tells of all of them in order.
            findings = Findings()
            members = _find_checked(paths, selection, names, place, cache, findings)
        if is_found or isinstance(error, SourceError):
            _search_on(members, findings, None if is_found else error)
        raise
    return _complete_report(report, began, findings)


def merge(
    archive: Target,
    sources: Iterable[merging.Source],
    settings: Settings | None = None,
    selection: Selection | None = None,
    *,
    on_duplicate: OnDuplicate = "error",
    check_crc: bool = False,
    prepend: str | os.PathLike[str] | bytes | None = None,
    shebang: str | None = None,
    progress: Sink | None = None,
    executor: Executor | None = None,
    inspect: Inspect | None = None,
    sync: bool = False,
) -> Report:
    """Puts the members of other archives, and of folders, into a new archive.

    Members of archives are copied as they are compressed there, with fresh headers; what folders
    hold is compressed. As with `create`, the archive appears complete or not at all.

    Args:
        archive: a path or a URL, or an open binary file; see `create`.
        sources: archives and folders, in this order: paths, or pairs of the name of a folder
            inside the new archive and a path. Of a folder all is taken that it holds.
        settings: level and codec of what is compressed, jobs, memory.
        selection: what to leave out, dates and modes. `exclude` is compared with the names that
            members have in their source.
        on_duplicate: what to do with a second member of one name; folders may come any number
            of times. "error" refuses it, "first" and "last" keep one of them, "same" keeps the
            first if both have the same size and CRC-32, and refuses the second otherwise.
        check_crc: whether to inflate all that is copied and to compare its CRC-32.
        prepend: bytes that are put in front of the archive, or the path of a file that has them.
        shebang: what follows `#!` on the archive's first line.
        progress: called with a `Progress` each time something was written.
        executor: whose workers compress, and inflate what is to be checked; see `create`.
        inspect: called with a path of the complete archive before it takes its name; see `create`.
        sync: whether all is on the disk when the call returns; see `create`.

    Returns:
        What was made.

    Raises:
        SourceError: a source is missing, unreadable or changed.
        BadArchiveError: a source is damaged, or neither an archive nor a folder.
        NotCopiedError: a member is encrypted, or compressed in a way that not all readers know.
        DuplicateMemberError: two members have the same name, and that is not allowed.
        OutputError: the archive cannot be written.
        ExecutorError: see `create`.
    """
    began = time.monotonic()
    findings = Findings()
    prefix = check_prefix(prepend, shebang)
    selection = selection or Selection()
    place = _locate(archive)
    # Looked at before the sources: what others made of it after it was read would be lost.
    is_there = isinstance(place, str) and os.path.isfile(place)
    standing = existing.ExistingFile(str(place), selection.changes) if is_there else None
    given: list[merging.Source] = []
    with merging.advising_for_archives(given, selection):
        recorded = merging.record_sources(sources, given)
        members = _gather_checked(recorded, selection, on_duplicate, place, findings)
        if not merging.is_among(place, given, selection):
            standing = None
        report = _write_archive(
            archive,
            members,
            settings,
            prefix,
            progress,
            executor=executor,
            check_crc=check_crc,
            standing=standing,
            inspect=inspect,
            sync=sync,
        )
    return _complete_report(report, began, findings)


def preview(
    paths: Iterable[str | os.PathLike[str]],
    selection: Selection | None = None,
    *,
    names: Iterable[str | os.PathLike[str]] = (),
    archive: Target | None = None,
    settings: Settings | None = None,
    prepend: str | os.PathLike[str] | bytes | None = None,
    shebang: str | None = None,
    cache: Cache | None = None,
) -> Preview:
    """What `create` would put into an archive of these arguments; nothing is read or written.

    What `create` would refuse before it begins to work is refused here, too.

    Args:
        paths: see `create`, as for the others.
        selection: what to leave out, names and dates.
        names: files and folders that are taken one by one, after `paths`.
        archive: where it would be, if that is to be looked at.
        settings: level and codec.
        prepend: what would be put in front of the archive.
        shebang: what would follow `#!` on the archive's first line.
        cache: what would be used.

    Raises:
        SourceError: something to be put in is missing, may not be read, or is no file.
        MemberNameError: a name cannot be stored, or two members have the same.
        OutputError: the archive could not be written there.
        SettingsError: the shebang is none.
    """
    place = refuse_output(archive, prepend, shebang)
    findings = Findings(lists_left_out=True)
    members = _find_checked(paths, selection, names, place, cache, findings)
    return _preview_members(members, findings, settings)


def preview_merge(
    sources: Iterable[merging.Source],
    selection: Selection | None = None,
    *,
    on_duplicate: OnDuplicate = "error",
    archive: Target | None = None,
    settings: Settings | None = None,
    prepend: str | os.PathLike[str] | bytes | None = None,
    shebang: str | None = None,
) -> Preview:
    """What `merge` would put into an archive of these arguments; nothing is copied or written.

    Args and errors are those of `merge`.
    """
    place = refuse_output(archive, prepend, shebang)
    findings = Findings(lists_left_out=True)
    members = _gather_checked(sources, selection, on_duplicate, place, findings)
    return _preview_members(members, findings, settings)


def _find_checked(
    paths: Iterable[str | os.PathLike[str]],
    selection: Selection | None,
    names: Iterable[str | os.PathLike[str]],
    place: str | int | None,
    cache: Cache | None,
    findings: Findings,
) -> Iterator[Member]:
    """What `create` puts in, as it is found; see there."""
    kept = cache.folder if cache is not None else None
    found = find_members(paths, selection or Selection(), place, names, kept, findings)
    is_one_tree = isinstance(paths, list | tuple) and len(paths) == 1 and names == ()
    return plan.check_names(found, findings, is_one_tree=is_one_tree, is_same=is_same)


def _gather_checked(
    sources: Iterable[merging.Source],
    selection: Selection | None,
    on_duplicate: OnDuplicate,
    place: str | int | None,
    findings: Findings,
) -> Iterator[Member]:
    """What `merge` puts in; see there."""
    selection = selection or Selection()
    members = merging.gather_members(sources, selection, on_duplicate, place, findings)
    # No file stands where another member has a folder: `gather_members` has seen to that.
    return plan.check_names(members, findings, is_one_tree=True)


def refuse_output(
    archive: Target | None,
    prepend: str | os.PathLike[str] | bytes | None = None,
    shebang: str | None = None,
) -> str | int | None:
    """Refuses what `write` would refuse before it begins to work, without writing anything.

    Args:
        archive: where it would be; None if that is not known.
        prepend: what would be put in front of it.
        shebang: what would follow `#!` on its first line.

    Returns:
        The path of the archive, or its file's descriptor, if it has one.

    Raises:
        SettingsError, SourceError, OutputError: see `write`.
    """
    check_prefix(prepend, shebang)
    if isinstance(archive, str | os.PathLike):
        refuse_unwritable(os.fspath(archive))
    return None if archive is None else _locate(archive)


def _preview_members(
    members: Iterator[Member], findings: Findings, settings: Settings | None
) -> Preview:
    """What is known of an archive before it is made.

    Args:
        members: what would be put in, checked.
        findings: of the search for them.
        settings: what it would be made with.
    """
    settings = settings or Settings()
    all_members = tuple(plan.with_placed_first(members))
    compresses = levels.choose_recipe(settings.level, settings.codec).whole != STORE
    aligned = [member for member in all_members if member.align > 1]
    compressed = sum(_is_compressed(member, compresses) for member in aligned)
    return Preview(
        members=all_members,
        left_out=tuple(sorted(findings.left_out or ())),
        skipped=findings.skipped,
        notes=(*findings.notes(), *note_unaligned(len(aligned), compressed)),
    )


def _is_compressed(member: Member, compresses: bool) -> bool:
    """Whether a member is to be compressed; it is stored all the same if that does not help."""
    copied = find_archive_member(member.source)
    if copied is not None:
        return copied.entry.record.method != STORED
    return compresses and member.size > 0 and not member.store


def write(
    archive: Target,
    members: Iterable[Member],
    settings: Settings | None = None,
    *,
    prepend: str | os.PathLike[str] | bytes | None = None,
    shebang: str | None = None,
    progress: Sink | None = None,
    executor: Executor | None = None,
    check_crc: bool = False,
    cache: Cache | None = None,
    identity: Identification = "stat",
    sync: bool = False,
) -> Report:
    """Writes a new archive of members that are told one by one; see `create`.

    Args:
        archive: a path or a URL, or an open binary file.
        members: what to put in, in this order.
        settings: level, codec, jobs, memory.
        prepend: bytes that are put in front of the archive, or the path of a file that has them.
        shebang: what follows `#!` on the archive's first line.
        progress: called with a `Progress` each time something was written.
        executor: whose workers compress; see `create`.
        check_crc: whether the CRC-32 of members that are copied is checked.
        cache: where finished parts are looked for, and kept.
        identity: how the cache knows a file again.
        sync: whether all is on the disk when the call returns; see `create`.
    """
    began = time.monotonic()
    findings = Findings()
    report = _write_archive(
        archive,
        plan.check_names(members, findings, is_same=are_one),
        settings,
        check_prefix(prepend, shebang),
        progress,
        executor=executor,
        check_crc=check_crc,
        cache=cache,
        identity=identity,
        sync=sync,
    )
    return _complete_report(report, began, findings)


def _write_archive(
    archive: Target,
    members: Iterator[Found],
    settings: Settings | None,
    prefix: Prefix,
    progress: Sink | None,
    *,
    executor: Executor | None = None,
    check_crc: bool = False,
    cache: Cache | None = None,
    identity: Identification = "stat",
    standing: existing.ExistingFile | None = None,
    inspect: Inspect | None = None,
    sync: bool = False,
    searchers: Searchers | None = None,
) -> Report:
    """Writes a new archive of members whose names are checked as they come; see `write`."""
    settings = settings or Settings()
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(f"an executor has submit(), as concurrent.futures has it; {executor!r:.60}")
    if isinstance(archive, str | os.PathLike):
        # It is opened later, and there is work in between.
        refuse_at_once(os.fspath(archive), inspects=inspect is not None)
    recipe = levels.choose_recipe(settings.level, settings.codec)
    counter = Counter(progress)
    first, others = plan.peek(plan.with_placed_first(members))
    counter.count(first)
    options = AssemblyOptions(
        recipe=recipe,
        jobs=settings.jobs,
        memory=settings.memory,
        cache=cache,
        check_crc=check_crc,
        wants_helpers=plan.are_mostly_short(first),
        executor=executor,
        inspect=inspect,
        sync=sync,
        searchers=searchers,
    )
    opened = open_feeds(others) if cache is None else refuse_feeds(others)
    every = chain(first, counter.counted(opened))
    if cache is None or not isinstance(archive, str | os.PathLike):
        sections: Iterable[Section] = [Section(lambda: every)]
    elif identity == "content":
        sections = _key_by_content(plan.split_into_sections(every), recipe, settings)
    else:
        sections = _key_by_stat(plan.split_into_sections(every), recipe)
    return assemble(archive, sections, options, counter, prefix=prefix, standing=standing)


def _search_on(members: Iterator[Found], findings: Findings, error: ParazipError | None) -> None:
    """Goes on with a search, to tell of all problems.

    Args:
        members: what it finds.
        findings: hear of problems.
        error: a file turned out not to be readable; None if the search itself has ended so.

    Raises:
        ParazipError: the first problem, which tells of all others.
    """
    if error is not None:
        findings.refuse_first(error)
    for _ in members:
        pass
    findings.finish()


def _complete_report(report: Report, began: float, findings: Findings) -> Report:
    """The report, with the time since `began` and what was found in the search."""
    return replace(
        report,
        seconds=time.monotonic() - began,
        skipped=findings.skipped,
        notes=findings.notes() + report.notes,
    )


def _key_by_stat(groups: Iterable[list[Member]], recipe: Recipe) -> Iterator[Section]:
    """Sections that the cache knows by what `stat` says of their files."""
    for group in groups:
        key = make_key(group, recipe, identity=identify_by_stat)
        yield Section(partial(list, group), key=key)


def _key_by_content(
    groups: Iterable[list[Member]], recipe: Recipe, settings: Settings
) -> list[Section]:
    """Sections whose files are all read for their hashes, side by side."""

    def hash_group(group: list[Member]) -> str:
        return make_key(group, recipe, identity=identify_by_content)

    line = line_for(settings.jobs, settings.memory)
    keyed = line.do_all(hash_group, groups, cost=_COST_OF_HASHING)
    return [Section(partial(list, group), key=key) for group, key in keyed]


def _locate(archive: Target) -> str | int | None:
    """The path of an archive, or the descriptor of its file, or None if it has none."""
    if isinstance(archive, str | os.PathLike):
        return os.fspath(archive)
    file: Any = archive.file if isinstance(archive, Pipe) else archive
    try:
        return int(file.fileno())
    except (AttributeError, OSError):  # not every output has one
        return None
