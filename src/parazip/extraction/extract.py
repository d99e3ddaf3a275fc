"""Extracts an archive: folders first, then all files on all cores, then links.

A folder that is not there appears complete or not at all: it is made beside its name. In one that
is there, one file after the other appears, each complete; what was made before something went
wrong stays, and the error says how much that is.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from parazip.engine.progress import Counter, Sink
from parazip.errors import OutputError, SettingsError
from parazip.extraction import unpacking
from parazip.extraction.choice import advising, choose_entries, find_archive
from parazip.extraction.crew import Crew, Made
from parazip.extraction.folder import TargetFolder
from parazip.extraction.model import NEVER_A_BOMB, Extraction, ExtractReport
from parazip.extraction.run import Run
from parazip.extraction.targets import FOLDER, Targets, plan_targets
from parazip.extraction.unpacking import Place
from parazip.format.values import Entry
from parazip.model import File
from parazip.output import syncing
from parazip.output.stream import BinaryOutput
from parazip.settings import Settings
from parazip.sources import files
from parazip.sources.archives import check_passed_over


def extract(
    archive: str | os.PathLike[str],
    folder: str | os.PathLike[str] = ".",
    extraction: Extraction | None = None,
    settings: Settings | None = None,
    *,
    progress: Sink | None = None,
) -> ExtractReport:
    """Extracts members of an archive on all cores.

    The archive is read strictly: what two readers could understand in two ways is refused. Each
    CRC-32 is checked. Nothing is made outside of the folder, whatever names and links say.

    Args:
        archive: its path.
        folder: where to; made if it is not there. Then it appears when all is complete.
        extraction: what is extracted, and how; everything by default.
        settings: `jobs` and `memory` count.
        progress: called with a `Progress` each time files were made.

    Raises:
        SourceError: the archive cannot be read.
        SourceChangedError: it changed meanwhile.
        BadArchiveError: it is damaged, or no archive.
        NotCopiedError: (a NotImplementedError) a member is encrypted, or of an unknown kind.
        DuplicateMemberError: two members are the same file.
        NoSuchMemberError: a pattern matches nothing.
        OutputError: something cannot be written, or is there already, or is more than allowed.
    """
    began = time.monotonic()
    path, target = os.fspath(archive), os.fspath(folder)
    extraction = extraction or Extraction()
    settings = settings or Settings()
    unpacking.read_dos_date.cache_clear()  # the time zone may be another one
    made = Made(Counter(progress))
    with advising(), Crew(settings.jobs, settings.memory) as crew:
        found = find_archive(path)
        if not found.is_remote:
            crew.prepare(found.size)
        targets = _plan(found, extraction)
        with _opening(target, found, extraction) as place:
            run = Run(place, extraction, targets, crew, made, is_new=place.target != target)
            run.make_all()
    return ExtractReport(
        folder=target,
        members=made.members,
        bytes=made.bytes,
        skipped=run.skipped,
        seconds=time.monotonic() - began,
    )


def write_contents(
    archive: str | os.PathLike[str], output: BinaryOutput, extraction: Extraction
) -> None:
    """Writes the contents of all files that are chosen to an output, in their order in the archive.

    Of a link these are the path that it leads to.

    Args:
        archive: its path.
        output: a binary file.
        extraction: its patterns and limits count.

    Raises what `extract` raises.
    """
    with advising():
        found = find_archive(os.fspath(archive))
        targets = _plan(found, extraction)
        entries = [item.entry for item in (*targets.files, *targets.links)]
        entries.sort(key=lambda entry: entry.record.offset)
        for chunks in unpacking.read_contents(found, entries):
            for chunk in chunks:
                view = memoryview(chunk)
                while view:
                    view = view[output.write(view) or 0 :]


def _plan(archive: File, extraction: Extraction) -> Targets:
    members, exclude = extraction.members, extraction.exclude
    entries = choose_entries(archive, members, exclude, "extract", "extracted")
    targets = plan_targets(archive.path, entries, extraction.strip_components)
    _refuse_beyond_limits(archive.path, targets, extraction)
    if targets.passed_over:
        _check_passed_over(archive, targets.passed_over)
    return targets


def _refuse_beyond_limits(archive: str, targets: Targets, extraction: Extraction) -> None:
    """Refuses more than is allowed of what an archive claims, which no member may exceed later.

    Raises:
        OutputError: it is more.
    """
    size, compressed_size, count = targets.size, targets.compressed_size, targets.count
    most = extraction.max_size
    if most is not None and size > most:
        what, option = f"it holds {size:,} bytes, and {most:,} were allowed", "--max-size"
    elif extraction.max_members is not None and count > extraction.max_members:
        most = extraction.max_members
        what = f"it makes {count:,} files, folders and links, and {most:,} were allowed"
        option = "--max-members"
    elif size > max(extraction.max_ratio * compressed_size, NEVER_A_BOMB):
        what = (
            f"it makes {size:,} bytes of {compressed_size:,}, and {extraction.max_ratio:,} times "
            "as many were allowed"
        )
        option = "--max-ratio"
    else:
        return
    raise OutputError(
        f"cannot extract {archive}: {what}; allow more with {option}, or choose members",
        member=archive,
    )


def _check_passed_over(archive: File, entries: Sequence[Entry]) -> None:
    """Refuses what is wrong with members of which no file is made.

    The records of all others are looked at when their contents are read. A folder has no contents,
    but it may have a stream that gives some.
    """
    check_passed_over(archive, entries)
    folders = [entry for entry in entries if entry.record.attributes >> 28 == FOLDER]
    hidden = [entry for entry in folders if entry.record.compressed_size]
    for chunks in unpacking.read_contents(archive, hidden):
        for _ in chunks:
            pass


@contextmanager
def _opening(target: str, archive: File, extraction: Extraction) -> Iterator[Place]:
    """The place that is written to: the target, or one beside it that gets its name in the end."""
    if not target:
        raise SettingsError("cannot extract to a folder whose name is empty; . is the current one")
    if files.is_url(target):
        raise SettingsError(f"cannot extract to {target}: it is a URL; name a folder")
    token = f"parazip-{os.urandom(6).hex()}"
    place = Place(archive, target, target, extraction.modes, token, extraction.sync)
    missing: list[str] = []
    if extraction.sync:
        missing = _list_missing(target)
        there = os.path.dirname(missing[-1]) if missing else target
        syncing.refuse_unreadable(there or os.curdir, target)
    if os.path.lexists(target):
        _refuse_no_folder(target)
        yield place
        return
    parent, name = os.path.split(target.rstrip("/" + os.sep))
    beside = os.path.join(parent, f".{token}")
    try:
        _make_first(beside, parent, target)
        yield place._replace(target=beside)
        try:
            _rename_to_new(beside, os.path.join(parent, name))
        except OSError as error:
            raise OutputError.of(target, error, "it was not there when extracting began") from error
        if extraction.sync:
            for above in map(os.path.dirname, missing):
                with TargetFolder(above or os.curdir) as folder:
                    folder.sync("")
    except BaseException:
        _remove_folder(beside, token)
        raise


def _list_missing(folder: str) -> list[str]:
    """A folder and those above it, as far as they are not there."""
    missing: list[str] = []
    while folder not in ("", *missing[-1:]) and not os.path.isdir(folder):
        missing.append(folder)  # a drive of Windows is in itself
        folder = os.path.dirname(folder)
    return missing


def _make_first(folder: str, parent: str, target: str) -> None:
    try:
        if parent:
            os.makedirs(parent, exist_ok=True)
        os.mkdir(folder)
    except FileExistsError as error:
        raise OutputError.of(target, error, f"{error.filename} is no folder") from error
    except OSError as error:
        raise OutputError.of(target, error) from error


def _remove_folder(path: str, token: str) -> None:
    """Removes a folder with all it holds, as far as the system lets it.

    Folders may have got their permissions, and be deeper than a path may be long or Python may
    recurse: so what is further down is moved up, a step at a time.
    """
    moved = 0
    with suppress(OSError):
        while entries := list(os.scandir(path)):
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    continue
                os.chmod(entry.path, 0o700)
                for inner in list(os.scandir(entry.path)):
                    if inner.is_dir(follow_symlinks=False):
                        moved += 1
                        os.chmod(inner.path, 0o700)
                        os.rename(inner.path, os.path.join(path, f"{token}-{moved}"))
                    else:
                        os.unlink(inner.path)
                os.rmdir(entry.path)
        os.rmdir(path)


def _refuse_no_folder(target: str) -> None:
    try:
        with TargetFolder(target) as folder:
            if not stat.S_ISDIR(folder.stat("").st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as error:
        raise OutputError.of(target, error, "name a folder, or one that is not there") from error


def _rename_to_new(folder: str, target: str) -> None:
    """Renames a folder to a name that nothing has.

    Between the look and the renaming somebody may make another folder of that name: if it is empty,
    POSIX lets this one take its place.

    Raises:
        OSError: it cannot be renamed, or something has that name.
    """
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    os.rename(folder, target)
