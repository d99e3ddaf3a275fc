"""The only wiring: sources, plan, producers and writer become an archive."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from io import BytesIO
from itertools import chain, islice
from typing import IO, Any, Literal, TypeAlias

from parazip import codecs, files, merging, plan
from parazip.assembly import Assembly, Workshop
from parazip.cache import Cache, identify_by_content, identify_by_stat, make_key
from parazip.errors import FileError, SettingsError, SourceError
from parazip.findings import Findings
from parazip.format.front import check_front
from parazip.format.refusals import Judge
from parazip.merging import OnDuplicate
from parazip.model import (
    DEFLATE_STORED,
    STORE,
    STORED,
    ArchiveMember,
    FilePiece,
    Frame,
    Member,
    Preview,
    Range,
    Recipe,
    Report,
    Section,
    Settings,
)
from parazip.output import (
    BinaryOutput,
    Output,
    Pipe,
    open_replacement,
    refuse_unwritable,
    resolve_output_path,
)
from parazip.progress import Counter, Sink
from parazip.selection import Selection
from parazip.walk import find_members, is_same
from parazip.workers.line import line_for
from parazip.writer import ArchiveWriter

Target: TypeAlias = str | os.PathLike[str] | BinaryOutput | Pipe
Identification: TypeAlias = Literal["stat", "content"]

_CHUNK = 1 << 20


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
    cache: Cache | None = None,
    identity: Identification = "stat",
) -> Report:
    """Puts files and folders into a new archive.

    The archive appears complete under its name, or not at all; one that stood there before is
    replaced in one step. Its bytes depend on the sources, the selection, level and codec alone.

    Args:
        archive: a path, or an open binary file, from its position on. A file that cannot seek,
            or is to be written from front to back (`parazip.output.Pipe`), gets data descriptors
            for members that are cut into blocks.
        paths: files, and folders with all they hold, in this order.
        settings: level, codec, jobs, memory.
        selection: what to leave out, names and dates.
        names: files and folders that are taken one by one, after `paths`.
        prepend: bytes that are put in front of the archive, or the path of a file that has them.
        shebang: what follows `#!` on the archive's first line. An archive that begins with `#!`
            is made executable.
        progress: called with a `Progress` each time something was written.
        cache: where finished parts are looked for, and kept; not used for an open file.
        identity: how the cache knows a file again: "stat" by size, times, inode and mode,
            "content" by a hash of its bytes.

    Returns:
        What was made.

    Raises:
        SourceError: something to be put in is missing, unreadable, not a file, or changed.
        MemberNameError: a name cannot be stored, or two members have the same.
        OutputError: the archive cannot be written.
    """
    began = time.monotonic()
    kept = cache.folder if cache is not None else None
    findings = Findings()
    found = find_members(paths, selection or Selection(), _place(archive), names, kept, findings)
    is_one_tree = isinstance(paths, list | tuple) and len(paths) == 1 and names == ()
    members = plan.check_names(found, findings, is_one_tree=is_one_tree, is_same=is_same)
    try:
        report = _write(
            archive,
            members,
            settings or Settings(),
            prepend=prepend,
            shebang=shebang,
            progress=progress,
            cache=cache,
            identity=identity,
        )
    except SourceError as error:
        _look_on(members, findings, error)
        raise
    return _complete(report, began, findings)


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
) -> Report:
    """Puts the members of other archives, and of folders, into a new archive.

    Members of archives are copied as they are compressed there, with fresh headers; what folders
    hold is compressed. As with `create`, the archive appears complete or not at all.

    Args:
        archive: a path, or an open binary file; see `create`.
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

    Returns:
        What was made.

    Raises:
        SourceError: a source is missing, unreadable or changed.
        BadArchiveError: a source is damaged, or neither an archive nor a folder.
        NotCopiedError: a member is encrypted, or compressed in a way that not all readers know.
        DuplicateMemberError: two members have the same name, and that is not allowed.
        OutputError: the archive cannot be written.
    """
    began = time.monotonic()
    findings = Findings()
    selection = selection or Selection()
    place = _place(archive)
    # Looked at before the sources: what others made of it after it was read would be lost.
    is_there = isinstance(place, str) and os.path.isfile(place)
    standing = files.ExistingFile(str(place), selection.changes) if is_there else None
    given: list[merging.Source] = []
    with merging.advising_for_archives(given, selection):
        noted = merging.record_sources(sources, given)
        members = merging.gather_members(noted, selection, on_duplicate, place, findings)
        if not merging.is_among(place, given, selection):
            standing = None
        report = _write(
            archive,
            plan.check_names(members, findings, is_one_tree=True),  # as `gather` has seen to
            settings or Settings(),
            prepend=prepend,
            shebang=shebang,
            progress=progress,
            check_crc=check_crc,
            standing=standing,
        )
    return _complete(report, began, findings)


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
    findings = Findings(lists_left_out=True)
    kept = cache.folder if cache is not None else None
    place = refuse_output(archive, prepend, shebang)
    found = find_members(paths, selection or Selection(), place, names, kept, findings)
    return foreseen(plan.check_names(found, findings, is_same=is_same), findings, settings)


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
    findings = Findings(lists_left_out=True)
    place = refuse_output(archive, prepend, shebang)
    members = merging.gather_members(
        sources, selection or Selection(), on_duplicate, place, findings
    )
    return foreseen(plan.check_names(members, findings, is_one_tree=True), findings, settings)


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
    _check_front(prepend, shebang)
    if isinstance(archive, str | os.PathLike):
        refuse_unwritable(os.fspath(archive))
    return None if archive is None else _place(archive)


def foreseen(
    members: Iterator[Member], findings: Findings, settings: Settings | None = None
) -> Preview:
    """What is known of an archive before it is made.

    Args:
        members: what would be put in, checked.
        findings: of the search for them.
        settings: what it would be made with.
    """
    settings = settings or Settings()
    all_members = tuple(plan.with_placed_first(members))
    compresses = codecs.choose_recipe(settings.level, settings.codec).whole != STORE
    aligned = [member for member in all_members if member.align > 1]
    compressed = sum(_is_compressed(member, compresses) for member in aligned)
    return Preview(
        members=all_members,
        left_out=tuple(sorted(findings.left_out or ())),
        skipped=findings.skipped,
        notes=(*findings.notes(), *_not_aligned(len(aligned), compressed)),
    )


def _is_compressed(member: Member, compresses: bool) -> bool:
    """Whether a member is to be compressed; it is stored all the same if that does not help."""
    source = member.source
    if isinstance(source, ArchiveMember):
        return source.entry.record.method != STORED
    return compresses and member.size > 0 and not (member.store or isinstance(source, FilePiece))


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
) -> Report:
    """Writes a new archive of members that are told one by one; see `create`.

    Args:
        archive: a path, or an open binary file.
        members: what to put in, in this order.
        settings: level, codec, jobs, memory.
        prepend: bytes that are put in front of the archive, or the path of a file that has them.
        shebang: what follows `#!` on the archive's first line.
        progress: called with a `Progress` each time something was written.
        executor: threads that work, instead of `settings.jobs` new ones and their helpers.
        check_crc: whether the CRC-32 of members that are copied is checked.
        cache: where finished parts are looked for, and kept.
        identity: how the cache knows a file again.
    """
    began = time.monotonic()
    findings = Findings()
    report = _write(
        archive,
        plan.check_names(members, findings),
        settings or Settings(),
        prepend=prepend,
        shebang=shebang,
        progress=progress,
        executor=executor,
        check_crc=check_crc,
        cache=cache,
        identity=identity,
    )
    return _complete(report, began, findings)


def _write(
    archive: Target,
    members: Iterator[Member],
    settings: Settings,
    *,
    prepend: str | os.PathLike[str] | bytes | None,
    shebang: str | None,
    progress: Sink | None,
    executor: Executor | None = None,
    check_crc: bool = False,
    cache: Cache | None = None,
    identity: Identification = "stat",
    standing: files.ExistingFile | None = None,
) -> Report:
    """Writes a new archive of members whose names are checked as they come."""
    _check_front(prepend, shebang)
    if isinstance(archive, str | os.PathLike):
        resolve_output_path(os.fspath(archive))  # it is opened later, and there is work in between
    recipe = codecs.choose_recipe(settings.level, settings.codec)
    counter = Counter(progress)
    checked = counter.counted(plan.with_placed_first(members))
    first = list(islice(checked, plan.PEEK))
    means = Workshop(
        recipe=recipe,
        jobs=settings.jobs,
        memory=settings.memory,
        cache=cache,
        check_crc=check_crc,
        helped=plan.are_mostly_short(first),
        executor=executor,
    )
    every = chain(first, checked)
    if cache is None or not isinstance(archive, str | os.PathLike):
        sections: Iterable[Section] = [Section(lambda: every)]
    elif identity == "content":
        sections = _known_by_content(plan.split_into_sections(every), recipe, settings)
    else:
        sections = _known_by_stat(plan.split_into_sections(every), recipe)
    return assemble(
        archive, sections, means, counter, prepend=prepend, shebang=shebang, standing=standing
    )


def assemble(
    archive: Target,
    sections: Iterable[Section],
    means: Workshop,
    counter: Counter,
    *,
    prepend: str | os.PathLike[str] | bytes | None = None,
    shebang: str | None = None,
    frame: Frame | None = None,
    standing: files.ExistingFile | None = None,
) -> Report:
    """Writes a new archive of sections; see `write`.

    The sections' members have been checked and counted, by the time that they are written.

    Args:
        archive: a path, or an open binary file.
        sections: what to put in, in this order.
        means: what it is made with.
        counter: told of what is written.
        prepend: bytes that are put in front of the archive, or the path of a file that has them.
        shebang: what follows `#!` on the archive's first line.
        frame: what is taken over from the archive that is replaced: its comment, and what stands
            in front of it, if nothing else is given.
        standing: what has to stand under that path until the end, if not anything may.
    """
    _check_front(prepend, shebang)
    began = time.monotonic()
    with _opened(archive, standing) as output:
        start = output.position
        writer = ArchiveWriter(output)
        is_script, misread = _prepend(writer, shebang, prepend)
        if frame is not None and shebang is prepend is None:
            writer.prefix(Range(frame.archive, 0, frame.front))
        if not output.seekable:
            means = replace(means, recipe=means.recipe._replace(plain=DEFLATE_STORED))
        if output.descriptor is None:
            means = replace(means, cache=None)
        assembly = Assembly(writer, output, counter, means)
        assembly.fill(sections)
        writer.finish(frame.comment if frame is not None else b"")
        output.is_executable = is_script
    return Report(
        archive=output.name,
        members=counter.members_total,
        bytes_in=counter.bytes_total,
        bytes_out=output.position - start,
        seconds=time.monotonic() - began,
        codecs=assembly.tallies,
        recalled=assembly.recalled,
        sections=tuple(assembly.made),
        aligned=writer.aligned - writer.kept,
        notes=(
            *(means.cache.notes if means.cache is not None else ()),
            *_not_aligned(counter.align_total, counter.align_total - writer.aligned + writer.kept),
            *misread,
            *output.notes,
        ),
    )


def _not_aligned(asked: int, compressed: int) -> Iterator[str]:
    if compressed:
        yield (
            f"compressed members are not aligned: {compressed:,} of the {asked:,} that were "
            "to be; --store keeps files as they are"
        )


def _look_on(members: Iterator[Member], findings: Findings, error: SourceError) -> None:
    """Goes on looking after a file turned out not to be readable, to tell of all others too.

    Raises:
        SourceError: that error again, if there are others.
    """
    if error in findings.problems:
        return
    findings.refuse_first(error)
    for _ in members:
        pass
    findings.finish()


def _complete(report: Report, began: float, findings: Findings) -> Report:
    """The report, with the time since `began` and what was found in the search."""
    return replace(
        report,
        seconds=time.monotonic() - began,
        skipped=findings.skipped,
        notes=findings.notes() + report.notes,
    )


def _known_by_stat(runs: Iterable[list[Member]], recipe: Recipe) -> Iterator[Section]:
    for run in runs:
        yield Section(partial(list, run), key=make_key(run, recipe, identity=identify_by_stat))


def _known_by_content(
    runs: Iterable[list[Member]], recipe: Recipe, settings: Settings
) -> list[Section]:
    """Sections whose files are all read for their hashes, side by side."""

    def known(run: list[Member]) -> str:
        return make_key(run, recipe, identity=identify_by_content)

    line = line_for(settings.jobs, settings.memory)
    with line.lane(known, cost=lambda run: _CHUNK, weight=len) as lane:
        return [Section(partial(list, run), key=key) for run, key in lane.through(runs)]


def _place(archive: Target) -> str | int | None:
    """The path of an archive, or the descriptor of its file, or None if it has none."""
    if isinstance(archive, str | os.PathLike):
        return os.fspath(archive)
    file: Any = archive.file if isinstance(archive, Pipe) else archive
    try:
        return int(file.fileno())
    except (AttributeError, OSError):  # not every output has one
        return None


def _opened(archive: Target, standing: files.ExistingFile | None) -> AbstractContextManager[Output]:
    if isinstance(archive, str | os.PathLike):
        return open_replacement(os.fspath(archive), standing)
    return nullcontext(Output(archive, str(getattr(archive, "name", "-"))))


def _check_front(prepend: str | os.PathLike[str] | bytes | None, shebang: str | None) -> None:
    """Refuses what cannot stand in front of an archive; what is no plain file is not opened."""
    if shebang is not None and (
        not shebang.removeprefix("#!").strip() or any(c in shebang for c in "\n\r\0")
    ):
        raise SettingsError(
            f"the shebang {shebang!r} is not one line that names a program, such as "
            "/usr/bin/env python3"
        )
    if prepend is None or isinstance(prepend, bytes):
        return
    path = os.fspath(prepend)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            open(path, "rb").close()
    except OSError as error:
        raise SourceError.of(path or "''", error) from error
    except ValueError as error:
        raise SourceError(f"cannot read {path!r}: {error}", member=path) from error


def _prepend(
    writer: ArchiveWriter, shebang: str | None, path: str | os.PathLike[str] | bytes | None
) -> tuple[bool, list[str]]:
    """Writes what stands in front of the archive; tells whether it is a script, and notes on it."""
    line = b"" if shebang is None else b"#!" + os.fsencode(shebang.removeprefix("#!")) + b"\n"
    if not path:
        writer.prefix(line)
        return bool(line), []
    with _front(path) as file:
        notes = _misread(line, file)
        file.seek(0)
        begins = line + file.read(_CHUNK)
        writer.prefix(begins)
        while chunk := file.read(_CHUNK):
            writer.prefix(chunk)
    return begins.startswith(b"#!"), notes


@contextmanager
def _front(path: str | os.PathLike[str] | bytes) -> Iterator[IO[bytes]]:
    """What is put in front, as a file that can seek."""
    if isinstance(path, bytes):
        yield BytesIO(path)
        return
    try:
        with open(path, "rb") as file:
            if file.seekable():
                yield file
                return
            from tempfile import TemporaryFile  # it loads much that is not needed elsewhere

            with TemporaryFile() as whole:
                while chunk := file.read(_CHUNK):
                    whole.write(chunk)
                yield whole
    except FileError:
        raise
    except OSError as error:
        raise SourceError.of(os.fspath(path), error) from error


def _misread(line: bytes, file: IO[bytes]) -> list[str]:
    """What another reader finds in what is put in front, though it is no part of the archive."""

    def read(offset: int, length: int) -> bytes:
        piece = line[offset : offset + length]
        file.seek(max(0, offset - len(line)))
        return piece + file.read(length - len(piece))

    judge = _Listening("")
    check_front(judge, len(line) + file.seek(0, os.SEEK_END), read)
    return judge.notes


class _Listening(Judge):
    """Takes note of what readers could take otherwise.

    Attributes:
        notes: a sentence for each.
    """

    def __init__(self, archive: str) -> None:
        super().__init__(archive)
        self.notes: list[str] = []

    def refuse(
        self,
        id: str,  # noqa: A002 # as that of `Judge`
        record: str,
        offset: int,
        expected: object,
        found: object,
        member: str | None = None,
    ) -> None:
        """Takes note of it."""
        self.notes.append(
            f"some readers take for a part of the archive what stands in front of it, at offset "
            f"{offset}; parazip merge and update refuse such archives [{id}]"
        )
