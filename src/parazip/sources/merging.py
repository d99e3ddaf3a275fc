"""What is merged: archives and folders become members, and what has one name twice is settled."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import groupby
from typing import Literal, TypeAlias

from parazip.errors import DuplicateMemberError, NotCopiedError, SettingsError, SourceError
from parazip.format.names import MIMETYPE, find_file_as_folder, normalize_name
from parazip.model import ArchiveMember, File, Member
from parazip.sources import archives, files
from parazip.sources.contents import describe_origin, find_archive_member, measure_contents
from parazip.sources.dates import find_fixed_date
from parazip.sources.findings import Findings
from parazip.sources.selection import (
    Selection,
    apply_layout,
    find_exclusion,
    make_exclusion,
    normalize_prefix,
)
from parazip.sources.walk import find_folder_contents, normalize_attributes

Source: TypeAlias = str | os.PathLike[str] | tuple[str, str | os.PathLike[str]]
"""An archive or a folder; or a name inside the new archive, and an archive or folder."""

OnDuplicate: TypeAlias = Literal["error", "first", "last", "same"]


def gather_members(
    sources: Iterable[Source],
    selection: Selection,
    on_duplicate: OnDuplicate = "error",
    archive: str | int | None = None,
    findings: Findings | None = None,
) -> list[Member]:
    """The members of all sources in their order, each name once.

    Args:
        sources: archives and folders.
        selection: what to leave out, names, dates and modes.
        on_duplicate: what to do with a second member of one name that is no folder.
        archive: where the new archive will be; it must not lie in a folder that is merged.
        findings: hears of problems and of what people should know.

    Raises (when all has been looked at):
        SourceError: a source is missing or unreadable.
        BadArchiveError: a source is neither a folder nor an archive, or is damaged.
        NotCopiedError: a member cannot be copied as it is.
        DuplicateMemberError: two members have one name, and must not.
        SettingsError: a prefix leads out of the archive.
    """
    _refuse_single(sources)
    if on_duplicate not in _CHOICES:
        raise SettingsError(f"on_duplicate {on_duplicate!r} is not one of {', '.join(_CHOICES)}")
    choose = _CHOICES[on_duplicate]
    heard = findings or Findings()
    members: dict[str, Member] = {}
    passed: list[ArchiveMember] = []  # a second meaning counts, whether the member is taken or not
    for source in sources:
        with heard.refusing():
            for member in _list_members(source, selection, archive, heard, passed):
                name = member.name
                first = members.get(name)
                dropped = member
                if first is None:
                    members[name] = member
                    continue
                if not name.endswith("/"):
                    with heard.refusing():
                        if choose(first, member) is member:
                            if name != MIMETYPE:  # a container has to begin with it
                                del members[name]  # so that it stands where it came last
                            members[name] = member
                            dropped = first
                copied = find_archive_member(dropped.source)
                if copied is not None:
                    passed.append(copied)
    for member in members.values():
        copied = find_archive_member(member.source)
        if copied is not None:
            try:
                archives.refuse_uncopyable(copied.archive.path, copied.entry)
            except NotCopiedError as error:
                heard.refuse(error)
    with heard.refusing():
        for file, packed in groupby(passed, lambda packed: packed.archive):
            archives.check_passed_over(file, [entry for _, entry in packed])
    with heard.refusing():
        refuse_files_as_folders(members)
    heard.finish()
    return list(members.values())


def record_sources(sources: Iterable[Source], given: list[Source]) -> Iterator[Source]:
    """The sources, which are also put into `given`, as they come."""
    _refuse_single(sources)

    def note() -> Iterator[Source]:
        for source in sources:
            given.append(source)
            yield source

    return note()


def _refuse_single(sources: Iterable[Source]) -> None:
    if isinstance(sources, str | bytes | os.PathLike):
        raise TypeError(f"a list of sources is needed, not the single path {sources!r}")


def is_among(archive: str | int | None, sources: Iterable[Source], selection: Selection) -> bool:
    """Whether the new archive takes the place of one of the sources.

    Args:
        archive: where it will be.
        sources: what is merged.
        selection: where sources are.
    """
    for source in sources if isinstance(archive, str) else ():
        with suppress(OSError, ValueError):
            if os.path.samefile(str(archive), _locate_source(source, selection)[1]):
                return True
    return False


@contextmanager
def advising_for_archives(
    sources: Iterable[Source], selection: Selection | None = None
) -> Iterator[None]:
    """Lets errors of sources in this block not advise to leave them out, as if put in themselves.

    Args:
        sources: archives, and others.
        selection: where they are, if not where their paths say.
    """
    try:
        yield
    except SourceError as error:
        paths = {_locate_source(source, selection or Selection())[1] for source in sources}
        for each in (error, *error.others):
            if not isinstance(each, SourceError) or each.reason == each.args[0]:
                continue
            if each.member in paths:
                each.args = (f"{each.reason}; run the command again when it is at rest",)
        raise


def _locate_source(source: Source, selection: Selection) -> tuple[str, str]:
    """The name of a folder inside the archive, and the path of a source."""
    name, path = source if isinstance(source, tuple) else ("", source)
    path = os.fspath(path)
    if path and selection.directory is not None and not files.is_url(path):
        path = os.path.join(os.fspath(selection.directory), path)
    return name, path


_KEEP_APART = "leave one out with --exclude, or keep them apart with NAME/=SOURCE"


def refuse_files_as_folders(members: dict[str, Member], advice: str = _KEEP_APART) -> None:
    """Nobody can take out both `a` and `a/b`, if `a` is a file.

    Args:
        members: those of an archive, by their names.
        advice: what can be done about it.
    """
    files = (f"{name}/" for name in members if not name.endswith("/"))
    folders = {name[: name.rfind("/") + 1]: name for name in members}
    if found := find_file_as_folder(files, folders):
        file, folder = found
        name = file[:-1]
        raise DuplicateMemberError(
            f"two members would have the name {name}: {describe_origin(members[name])} and "
            f"{describe_origin(members[folders[folder]])}; one is a file and the other needs a "
            "folder; "
            f"{advice}",
            member=name,
        )


def _list_members(
    source: Source,
    selection: Selection,
    archive: str | int | None,
    findings: Findings,
    passed: list[ArchiveMember],
) -> Iterator[Member]:
    name, path = _locate_source(source, selection)
    if not path:
        raise SourceError("cannot merge '': name an archive or a folder", member=path)
    prefix = selection.folder_prefix + normalize_prefix(name)
    if files.is_url(path):
        remote = files.find_remote(path, selection.changes)
        if remote is None:
            members = find_folder_contents(path, prefix, selection, archive, findings)
        else:
            members = _list_archive_members(remote, prefix, selection, findings, passed)
        return apply_layout(members, selection, prefix, findings)
    try:
        info = os.stat(path)
    except OSError as error:
        raise SourceError.of(path, error) from error
    except ValueError as error:
        raise SourceError(f"cannot read {path!r}: {error}", member=path) from error
    if stat.S_ISDIR(info.st_mode):
        return apply_layout(
            find_folder_contents(path, prefix, selection, archive, findings),
            selection,
            prefix,
            findings,
        )
    if not stat.S_ISREG(info.st_mode):
        raise SourceError(
            f"cannot merge {path}: it is {files.describe_kind(info.st_mode)}, and an archive is "
            "read from its end; write it to a file first",
            member=path,
        )
    if isinstance(archive, int) and os.path.samestat(os.fstat(archive), info):
        raise SourceError(f"cannot merge {path}: it is open as the new archive", member=path)
    found = files.describe_file(path, info, selection.changes)
    return apply_layout(
        _list_archive_members(found, prefix, selection, findings, passed),
        selection,
        prefix,
        findings,
    )


def _list_archive_members(
    archive: File,
    prefix: str,
    selection: Selection,
    findings: Findings,
    passed: list[ArchiveMember],
) -> Iterator[Member]:
    """The members of an archive that are not left out; those that are go to `passed`."""
    left_out = make_exclusion(selection.patterns)
    pattern = find_exclusion(selection)
    date = find_fixed_date(selection.timestamp)
    for entry in archives.read_entries(archive):
        name, record, _ = entry
        name = normalize_name(name)
        if left_out(name or entry.name):
            if findings.left_out is not None:
                findings.leave_out(prefix + entry.name, pattern(name or entry.name))
            passed.append(ArchiveMember(archive, entry))
            continue
        try:
            archives.refuse_unsafe_name(archive.path, entry)
        except NotCopiedError as error:
            findings.refuse(error)
            continue
        if not name:  # the folder that all is in
            passed.append(ArchiveMember(archive, entry))
            continue
        attributes = record.attributes
        if selection.modes == "normal":
            attributes = normalize_attributes(attributes)
        yield Member(
            prefix + name,
            ArchiveMember(archive, entry),
            attributes,
            record.date if date is None else date,
        )


def _refuse_second(first: Member, second: Member) -> Member:
    raise DuplicateMemberError(
        f"two members would have the name {first.name}: {describe_origin(first)} and "
        f"{describe_origin(second)}; leave one out with --exclude, "
        f"{_advise_apart(first, second)}or choose with --on-duplicate",
        member=first.name,
    )


def _advise_apart(first: Member, second: Member) -> str:
    """How two members of one name are kept apart; in one archive nothing helps."""
    one, other = find_archive_member(first.source), find_archive_member(second.source)
    if one is not None and other is not None and one.archive == other.archive:
        return ""
    return "keep them apart with NAME/=SOURCE, "


def _choose_same(first: Member, second: Member) -> Member:
    if measure_contents(first.source) == measure_contents(second.source):
        return first
    raise DuplicateMemberError(
        f"two members would have the name {first.name}: {describe_origin(first)} and "
        f"{describe_origin(second)}, which "
        f"differ in size or CRC-32; leave one out with --exclude, {_advise_apart(first, second)}"
        "or choose with --on-duplicate first or last",
        member=first.name,
    )


_CHOICES: dict[OnDuplicate, Callable[[Member, Member], Member]] = {
    "error": _refuse_second,
    "first": lambda first, second: first,
    "last": lambda first, second: second,
    "same": _choose_same,
}

ON_DUPLICATE: tuple[OnDuplicate, ...] = tuple(_CHOICES)
