"""Changes an archive that is there: members are put in, replaced or taken out, all else stays.

What an archive is to become is settled before a byte is written. Its members are listed as for
`merge`; what is found on disk takes the place of the member of its name, or comes behind all that
are there. A file of a member's size is read for its CRC-32; if that is the member's, the member is
copied as it is compressed, with the date and mode that the file has now. So dates, which say little
after a checkout, are not believed, and reading is far cheaper than compressing.

Then the archive is written anew beside the old one, as a list of members that mostly are copied. It
takes over what is in front of the old one and its comment. `losses` tells what it cannot.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from errno import ENOENT

from parazip.codecs import levels
from parazip.engine import plan
from parazip.engine.archive import refuse_output
from parazip.engine.assembly import assemble
from parazip.engine.losses import LossFindings, note_losses
from parazip.engine.prefix import Prefix, check_prefix
from parazip.engine.progress import Counter, Sink
from parazip.engine.sections import AssemblyOptions
from parazip.errors import (
    NotCopiedError,
    SourceError,
)
from parazip.format.surroundings import Surroundings
from parazip.format.values import STORED
from parazip.model import File, Frame, Member, Section
from parazip.output import existing
from parazip.output.stream import resolve_output_path
from parazip.output.syncing import sync_finished
from parazip.settings import Preview, Report, Settings
from parazip.sources import archives, merging
from parazip.sources.contents import find_archive_member, measure_contents
from parazip.sources.findings import Findings
from parazip.sources.selection import Selection, make_exclusion, refuse_unmatched
from parazip.sources.walk import find_members, is_same
from parazip.workers.line import line_for

_COST_OF_READING = 1 << 20
"""Bytes in memory while files are read for their CRC-32, one at a time."""


def update(
    archive: str | os.PathLike[str],
    paths: Iterable[str | os.PathLike[str]],
    settings: Settings | None = None,
    selection: Selection | None = None,
    *,
    names: Iterable[str | os.PathLike[str]] = (),
    prepend: str | os.PathLike[str] | bytes | None = None,
    shebang: str | None = None,
    progress: Sink | None = None,
    sync: bool = False,
) -> Report:
    """Puts files and folders into an archive that is there; into a new one, if none is.

    A member of the same name is replaced in its place, others are put behind those that are there.
    What has the size and CRC-32 of the member that is there is copied as it is compressed, with the
    date and mode that it has now. All else of the archive stays: its other members, its comment,
    what stands in front of it, its permissions. It is replaced in one step, or stays as it was;
    where nothing is to change, it is not written.

    Args:
        archive: the path of an archive.
        paths: files, and folders with all they hold, in this order.
        settings: level and codec of what is compressed, jobs, memory.
        selection: what to leave out of `paths` and `names`, their names, dates and modes.
        names: files and folders that are taken one by one, after `paths`.
        prepend: bytes, or the path of a file that has them, in place of what stands in front.
        shebang: what follows `#!` on the archive's first line, in place of what stands in front.
        progress: called with a `Progress` each time something was written.
        sync: whether all is on the disk when the call returns; see `create`.

    Returns:
        What was made; `changes` counts what is new.

    Raises:
        SourceError: something to be put in is missing, unreadable, not a file, or changed; or the
            archive is or did.
        BadArchiveError: the archive is damaged, or none.
        NotCopiedError: a member that stays cannot be kept as it is: it is encrypted, has a comment,
            or a compression method that not all readers know.
        MemberNameError: a name cannot be stored, or two members have the same.
        DateError: a file's time is not in 1980 to 2107.
        OutputError: the archive cannot be written.
    """
    began = time.monotonic()
    prefix = check_prefix(prepend, shebang)
    settings = settings or Settings()
    findings = Findings()
    revision = _plan_update(archive, paths, settings, selection, names, findings)
    if not (prefix.is_given or revision.changes) and revision.file is not None:
        if sync:  # it may have been made a moment ago
            sync_finished(resolve_output_path(revision.path)[0])
        report = Report(
            archive=revision.path,
            members=len(revision.members),
            bytes_in=sum(member.size for member in revision.members),
            bytes_out=revision.file.size,
            seconds=0,
        )
    else:
        report = _write_revision(revision, settings, progress, prefix, sync)
    return replace(
        report,
        seconds=time.monotonic() - began,
        changes=revision.counts(),
        skipped=findings.skipped,
        notes=findings.notes() + report.notes,
    )


def preview_update(
    archive: str | os.PathLike[str],
    paths: Iterable[str | os.PathLike[str]],
    settings: Settings | None = None,
    selection: Selection | None = None,
    *,
    names: Iterable[str | os.PathLike[str]] = (),
    prepend: str | os.PathLike[str] | bytes | None = None,
    shebang: str | None = None,
) -> Preview:
    """What `update` would make of an archive; nothing is written.

    Files of the size of their members are read, as by `update`. Arguments and errors are its.
    """
    refuse_output(archive, prepend, shebang)
    findings = Findings(lists_left_out=True)
    revision = _plan_update(archive, paths, settings or Settings(), selection, names, findings)
    return _preview_revision(revision, findings)


def delete(
    archive: str | os.PathLike[str],
    patterns: Iterable[str],
    settings: Settings | None = None,
    *,
    progress: Sink | None = None,
    sync: bool = False,
) -> Report:
    """Takes members out of an archive; all others are copied as they are compressed.

    What else there is of the archive stays, and it is replaced in one step, as by `update`.

    Args:
        archive: the path of an archive.
        patterns: of the members, compared as `Selection.exclude` is. A folder takes along what it
            holds.
        settings: jobs and memory.
        progress: called with a `Progress` each time something was written.
        sync: whether all is on the disk when the call returns; see `create`.

    Returns:
        What was made; `changes` counts what is gone.

    Raises:
        NoSuchMemberError: a pattern matches nothing.
        SourceError: the archive is missing, unreadable, or changed meanwhile.
        BadArchiveError: it is damaged, or none.
        NotCopiedError: a member that stays cannot be kept as it is, see `update`.
        OutputError: the archive cannot be written.
    """
    began = time.monotonic()
    revision = _plan_delete(archive, patterns)
    report = _write_revision(revision, settings or Settings(), progress, Prefix(), sync)
    return replace(report, seconds=time.monotonic() - began, changes=revision.counts())


def preview_delete(archive: str | os.PathLike[str], patterns: Iterable[str]) -> Preview:
    """What `delete` would make of an archive; nothing is written. Arguments and errors are its."""
    refuse_output(archive)
    findings = Findings(lists_left_out=True)
    return _preview_revision(_plan_delete(archive, patterns, findings), findings)


@dataclass(frozen=True, slots=True)
class _Revision:
    """What an archive is to become.

    Attributes:
        path: where it is.
        standing: what stands there.
        members: what it is to have, in order.
        changes: which of them are "added" and "changed", by their names.
        deleted: how many are not to be there any more.
        around: what it has besides members, if that is known yet.
    """

    path: str
    standing: existing.ExistingFile
    members: list[Member]
    changes: dict[str, str]
    deleted: int = 0
    around: Surroundings | None = None

    @property
    def file(self) -> File | None:
        """The archive as it is; None if there is none."""
        return self.standing.file

    def counts(self) -> dict[str, int]:
        """How many members are new or gone."""
        return self.preview(Findings()).counts()

    def preview(self, findings: Findings) -> Preview:
        """The same, to be listed."""
        return Preview(
            members=tuple(self.members),
            left_out=tuple(sorted(findings.left_out or ())),
            skipped=findings.skipped,
            notes=findings.notes(),
            changes=self.changes,
            deleted=self.deleted,
        )


def _preview_revision(revision: _Revision, findings: Findings) -> Preview:
    """What would come of it; refuses what could not be kept."""
    preview = revision.preview(findings)
    if not (revision.changes or revision.deleted):
        return preview
    _, notes = _read_surroundings(revision)
    return replace(preview, notes=(*preview.notes, *notes))


def _plan_update(
    archive: str | os.PathLike[str],
    paths: Iterable[str | os.PathLike[str]],
    settings: Settings,
    selection: Selection | None,
    names: Iterable[str | os.PathLike[str]],
    findings: Findings,
) -> _Revision:
    """What an archive is to become when files and folders are put in; see `update`."""
    path = os.fspath(archive)
    selection = selection or Selection()
    standing = existing.ExistingFile(path, selection.changes)
    with merging.advising_for_archives([path]):
        there = _list_remaining(standing.file) if standing.file else []
        members = {_make_key(member): member for member in there}
        found = find_members(paths, selection, path, names, findings=findings)
        checked = plan.check_names(found, findings, is_same=is_same)
        changes = _replace_or_add(members, checked, settings)
        return _Revision(path, standing, list(members.values()), changes)


def _plan_delete(
    archive: str | os.PathLike[str], patterns: Iterable[str], findings: Findings | None = None
) -> _Revision:
    """What an archive is to become when members are taken out; see `delete`."""
    if isinstance(patterns, str):
        raise TypeError(f"a list of patterns is needed, not the single {patterns!r}")
    path = os.fspath(archive)
    standing = existing.ExistingFile(path)
    if standing.file is None:
        raise SourceError.of(path or "''", FileNotFoundError(ENOENT, os.strerror(ENOENT)))
    patterns = tuple(patterns)
    with merging.advising_for_archives([path]):
        around = archives.read_archive_surroundings(standing.file)
        refuse_unmatched(path, patterns, around.names, "delete", "deleted")
        members = _list_remaining(standing.file, patterns, around, findings)
        return _Revision(path, standing, members, {}, len(around.names) - len(members), around)


def _list_remaining(
    archive: File,
    without: tuple[str, ...] = (),
    around: Surroundings | None = None,
    findings: Findings | None = None,
) -> list[Member]:
    """The members of an archive as they are, those that match `without` left out.

    Args:
        archive: the archive.
        without: patterns.
        around: what it has besides members, if that is known yet.
        findings: hear of what is left out, with its pattern.
    """
    # Inode and change time are looked at when all is done; a change of rights matters to nobody.
    selection = Selection(exclude=without, timestamp="keep", changes="mtime")
    losses = LossFindings(archive.path, findings)
    try:
        return merging.gather_members([archive.path], selection, findings=losses)
    except NotCopiedError:  # whatever else cannot be kept is told along
        is_gone = make_exclusion(without)
        around = around or archives.read_archive_surroundings(archive)
        losses.refuse_comments(around, lambda name: not is_gone(name))
        losses.finish()
        raise


def _make_key(member: Member) -> str:
    """What no two members share: a file and a folder of one name would be in each other's way."""
    return member.name.rstrip("/")


def _replace_or_add(
    members: dict[str, Member], found: Iterable[Member], settings: Settings
) -> dict[str, str]:
    """Puts what was found in the place of the members of its names, or behind all of them.

    Args:
        members: those of the archive by their keys, in order; they become those of the new one.
        found: what is to be put in, each name once.
        settings: how many threads read files, and how many bytes may be in flight.

    Returns:
        Which are "added" and "changed", by their names.
    """
    added: list[Member] = []
    first = next(iter(members), None)

    def known() -> Iterator[Member]:
        for member in found:
            key = _make_key(member)
            if key in members:
                yield plan.place_first(member) if key == first else member
            else:
                added.append(member)

    def compare(group: list[Member]) -> list[tuple[Member, bool]]:
        return [_compare(members[_make_key(member)], member) for member in group]

    changes: dict[str, str] = {}
    line = line_for(settings.jobs, settings.memory)
    groups = plan.split_into_sections(known())
    for _, compared in line.do_all(compare, groups, cost=_COST_OF_READING):
        for member, is_changed in compared:
            members[_make_key(member)] = member
            if is_changed:
                changes[member.name] = "changed"
    for member in added:
        members[_make_key(member)] = member
        changes[member.name] = "added"
    merging.refuse_files_as_folders(
        {member.name: member for member in members.values()},
        "leave one out with --exclude, or take the other out with parazip delete",
    )
    return changes


def _compare(old: Member, new: Member) -> tuple[Member, bool]:
    """`new`, with the contents of `old` if they are the same; and whether anything is not.

    The contents are those that are compressed there. If they are stored where `new` is to be
    aligned to, they need not be put anywhere else.
    """
    original = find_archive_member(old.source)
    assert original is not None
    is_stored = original.entry.record.method == STORED
    if (
        new.size != old.size
        or (new.store and not is_stored)
        or measure_contents(new.source) != measure_contents(old.source)
    ):
        return new, True
    new = new._replace(source=original, store=old.store)
    is_moved = new.align and is_stored and archives.find_contents_offset(original) % new.align
    return new, bool(is_moved) or new._replace(align=old.align) != old


def _write_revision(
    revision: _Revision,
    settings: Settings,
    progress: Sink | None,
    prefix: Prefix,
    sync: bool,
) -> Report:
    """Writes the archive anew."""
    path, file = revision.path, revision.file
    members = [*map(plan.place_first, revision.members[:1]), *revision.members[1:]]
    around, notes = _read_surroundings(revision)
    with merging.advising_for_archives([path]):
        counter = Counter(progress)
        counter.count(members)
        compressed = [
            member
            for member in members
            if member.size and find_archive_member(member.source) is None
        ]
        options = AssemblyOptions(
            recipe=levels.choose_recipe(settings.level, settings.codec),
            jobs=settings.jobs,
            memory=settings.memory,
            wants_helpers=plan.are_mostly_short(compressed[: plan.PEEK]),
            sync=sync,
        )
        frame = Frame(file, around.prefix_size, around.comment) if file and around else None
        sections = [Section(lambda: members)]
        standing = revision.standing
        report = assemble(
            path, sections, options, counter, prefix=prefix, frame=frame, standing=standing
        )
    return replace(report, notes=(*report.notes, *notes))


def _read_surroundings(revision: _Revision) -> tuple[Surroundings | None, list[str]]:
    """What an archive has besides members, if there is one, and notes on what is not kept of it."""
    if revision.file is None:
        return None, []
    with merging.advising_for_archives([revision.path]):
        around = revision.around or archives.read_archive_surroundings(revision.file)
    return around, note_losses(revision.path, revision.members, around)
