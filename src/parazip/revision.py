"""Changes an archive that is there: members are put in, replaced or taken out, all else stays.

What an archive is to become is settled before a byte is written. Its members are listed as for
`merge`; what is found on disk takes the place of the member of its name, or comes behind all that
are there. A file of a member's size is read for its CRC-32; if that is the member's, the member is
copied as it is compressed, with the date and mode that the file has now. So dates, which say little
after a checkout, are not believed, and reading is far cheaper than compressing.

Then the archive is written anew beside the old one, as a list of members that mostly are copied. It
takes over what is in front of the old one and its comment. What our writer does not write is lost
otherwise, so a member with a comment is refused, and lost extra fields are told.
"""

from __future__ import annotations

import glob
import os
import shlex
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from parazip import codecs, copy, files, inputs, plan
from parazip.archive import assemble, create
from parazip.assembly import Means
from parazip.errors import DuplicateMemberError, NoSuchMemberError, NotCopiedError, SourceError
from parazip.findings import Findings
from parazip.format.surroundings import Surroundings
from parazip.model import STORED, File, Frame, Member, Packed, Report, Section, Settings
from parazip.progress import Counter, Sink
from parazip.sources import Selection, exclusion, is_same, scan
from parazip.workers.line import line_of

_READING = 1 << 20
"""Bytes that a task needs which reads files for their CRC-32, one at a time."""

_EXTRA_FIELDS = {
    0x000A: "NTFS times",
    0x5455: "times",
    0x5855: "Unix times and owners",
    0x7855: "Unix owners",
    0x7875: "Unix owners",
    0xCAFE: "the mark of a jar",
    0xD935: "alignment",
}
"""What is in extra fields (APPNOTE 4.5.2, 4.6, and the notes of Info-ZIP, Java and Android)."""


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
    path = os.fspath(archive)
    if path and not os.path.exists(path):
        report = create(
            path,
            paths,
            settings,
            selection,
            names=names,
            prepend=prepend,
            shebang=shebang,
            progress=progress,
        )
        return replace(report, changes=_changes(added=report.members))
    settings = settings or Settings()
    file = _found(path)
    members = {_key(member): member for member in _kept(file)}
    findings = Findings()
    found = scan(paths, selection or Selection(), path, names, findings=findings)
    checked = plan.checked(found, findings, is_same=is_same)
    changes = _put_in(members, checked, settings)
    every = list(members.values())
    front = {"prepend": prepend, "shebang": shebang}
    if shebang is prepend is None and not any(changes.values()):
        size = sum(member.size for member in every)
        return Report(
            archive=path,
            members=len(every),
            bytes_in=size,
            bytes_out=file.size,
            seconds=time.monotonic() - began,
            changes=changes,
            skipped=findings.skipped,
            notes=findings.notes(),
        )
    report = _written(file, every, copy.surroundings(file), settings, progress, **front)
    return replace(
        report,
        seconds=time.monotonic() - began,
        changes=changes,
        skipped=findings.skipped,
        notes=findings.notes() + report.notes,
    )


def delete(
    archive: str | os.PathLike[str],
    patterns: Iterable[str],
    settings: Settings | None = None,
    *,
    progress: Sink | None = None,
) -> Report:
    """Takes members out of an archive; all others are copied as they are compressed.

    What else there is of the archive stays, and it is replaced in one step, as by `update`.

    Args:
        archive: the path of an archive.
        patterns: of the members, compared as `Selection.exclude` is. A folder takes along what it
            holds.
        settings: jobs and memory.
        progress: called with a `Progress` each time something was written.

    Returns:
        What was made; `changes` counts what is gone.

    Raises:
        NoSuchMemberError: a pattern matches nothing.
        SourceError: the archive is missing, unreadable, or changed meanwhile.
        BadArchiveError: it is damaged, or none.
        NotCopiedError: a member that stays cannot be kept as it is, see `update`.
        OutputError: the archive cannot be written.
    """
    if isinstance(patterns, str):
        raise TypeError(f"a list of patterns is needed, not the single {patterns!r}")
    began = time.monotonic()
    file = _found(os.fspath(archive))
    around = copy.surroundings(file)
    patterns = tuple(patterns)
    _refuse_unmatched(file.path, patterns, around.names)
    members = _kept(file, patterns)
    report = _written(file, members, around, settings or Settings(), progress)
    deleted = len(around.names) - len(members)
    return replace(report, seconds=time.monotonic() - began, changes=_changes(deleted=deleted))


def _changes(added: int = 0, changed: int = 0, deleted: int = 0) -> dict[str, int]:
    return {"added": added, "changed": changed, "deleted": deleted}


def _found(path: str) -> File:
    """The archive that is to be changed."""
    try:
        info = os.stat(path)
    except OSError as error:
        raise SourceError.of(path or "''", error) from error
    except ValueError as error:
        raise SourceError(f"cannot read {path!r}: {error}", member=path) from error
    if not stat.S_ISREG(info.st_mode):
        raise SourceError(f"cannot change {path}: it is no regular file", member=path)
    return files.found(path, info)


def _kept(archive: File, without: tuple[str, ...] = ()) -> list[Member]:
    """The members of an archive as they are, those that match `without` left out."""
    path = archive.path
    selection = Selection(exclude=without, timestamp="keep")
    try:
        return inputs.gather([path], selection)
    except NotCopiedError as error:
        raise _not_kept(path, str(error.member), error.reason, error.id) from error
    except DuplicateMemberError as error:
        raise DuplicateMemberError(
            f"cannot change {path}: it has two members of the name {error.member}, or one that is "
            f"a file and a folder; {_take_out(path, str(error.member))}",
            member=error.member,
        ) from error


def _not_kept(archive: str, name: str, reason: str, rule: str = "") -> NotCopiedError:
    advice = f"{_take_out(archive, name)}, or change the archive with zip"
    told = f" [{rule}]" if rule else ""
    return NotCopiedError(f"{reason}; {advice}{told}", member=name, id=rule, reason=reason)


def _take_out(archive: str, name: str) -> str:
    return f"take it out with {shlex.join(['parazip', 'delete', archive, glob.escape(name)])}"


def _key(member: Member) -> str:
    """What no two members share: a file and a folder of one name would be in each other's way."""
    return member.name.rstrip("/")


def _put_in(
    members: dict[str, Member], found: Iterable[Member], settings: Settings
) -> dict[str, int]:
    """Puts what was found in the place of the members of its names, or behind all of them.

    Args:
        members: those of the archive by their keys, in order; they become those of the new one.
        found: what is to be put in, each name once.
        settings: how many threads read files, and how many bytes may be in flight.

    Returns:
        How many are new.
    """
    added: list[Member] = []

    def known() -> Iterator[Member]:
        for member in found:
            if _key(member) in members:
                yield member
            else:
                added.append(member)

    def settle(run: list[Member]) -> list[Member]:
        return [_settled(members[_key(member)], member) for member in run]

    changed = 0
    line = line_of(settings.jobs, settings.memory)
    with line.lane(settle, cost=lambda run: _READING, weight=len) as lane:
        for _, run in lane.through(plan.sections(known())):
            for member in run:
                changed += members[_key(member)] != member
                members[_key(member)] = member
    members.update((_key(member), member) for member in added)
    inputs.refuse_files_as_folders(
        {member.name: member for member in members.values()},
        "leave one out with --exclude, or take the other out with parazip delete",
    )
    return _changes(len(added), changed)


def _settled(old: Member, new: Member) -> Member:
    """`new`, with the contents of `old` if they are the same, as they are compressed there."""
    is_stored = not isinstance(old.source, Packed) or old.source.entry.record.method == STORED
    if new.size != old.size or (new.store and not is_stored):
        return new
    if inputs.crc_and_size(new) != inputs.crc_and_size(old):
        return new
    return new._replace(source=old.source, store=old.store)


def _refuse_unmatched(archive: str, patterns: tuple[str, ...], names: list[str]) -> None:
    """Refuses patterns that match no name."""
    plain = [(inputs.plain(name) or name).rstrip("/") for name in names]
    whole = set(plain)
    unmatched = [
        pattern
        for pattern in patterns
        if not (pattern in whole and glob.escape(pattern) == pattern)  # one look for a plain name
        and not any(map(exclusion((pattern,)), plain))
    ]
    if unmatched:
        raise NoSuchMemberError(
            f"cannot delete {shlex.join(unmatched)} from {archive}: no member has a name that "
            "matches; nothing was deleted",
            member=unmatched[0],
        )


def _written(
    archive: File,
    members: list[Member],
    around: Surroundings,
    settings: Settings,
    progress: Sink | None,
    **front: Any,
) -> Report:
    """Writes the archive anew; `front` is what `assemble` puts in front of it, if anything."""
    notes = _notes(archive.path, members, around)
    members = [*map(plan.as_first, members[:1]), *members[1:]]
    counter = Counter(progress)
    counter.count(members)
    compressed = [
        member for member in members if member.size and not isinstance(member.source, Packed)
    ]
    means = Means(
        recipe=codecs.recipe(settings.level, settings.codec),
        jobs=settings.jobs,
        memory=settings.memory,
        helped=plan.wants_help(compressed[: plan.PEEK]),  # for few, starting them takes longer
    )
    frame = Frame(archive, around.front, around.comment)
    sections = [Section(lambda: members)]
    report = assemble(archive.path, sections, means, counter, frame=frame, **front)
    return replace(report, notes=(*report.notes, *notes))


def _notes(archive: str, members: list[Member], around: Surroundings) -> list[str]:
    """What is not kept of the members that stay; comments, which people wrote, are refused."""
    names = {member.name for member in members}
    for name in around.names:
        if name in around.commented and inputs.plain(name) in names:
            raise _not_kept(archive, name, f"cannot keep the comment of {name} in {archive}")
    extras = [tags for name, tags in around.extras.items() if inputs.plain(name) in names]
    if not extras:
        return []
    tags = sorted({tag for member in extras for tag in member})
    told = ", ".join(f"{_EXTRA_FIELDS.get(tag, 'unknown')} ({tag:#06x})" for tag in tags)
    one_or_more = "1 member" if len(extras) == 1 else f"{len(extras):,} members"
    return [f"extra fields of {one_or_more} were not kept: {told}"]
