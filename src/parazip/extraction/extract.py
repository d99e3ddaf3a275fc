"""Extracts an archive: folders first, then all files on all cores, then links.

A folder that is not there appears complete or not at all: it is made beside its name. In one that
is there, one file after the other appears, each complete; what was made before something went
wrong stays, and the error says how much that is.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from parazip.codecs import libraries
from parazip.engine.progress import Counter, Sink
from parazip.errors import OutputError, ParazipError, SettingsError
from parazip.extraction import contents, large, unpacking
from parazip.extraction.choice import choose_entries, find_archive
from parazip.extraction.folder import TargetFolder
from parazip.extraction.targets import Targets, plan_targets, refuse_leading_out
from parazip.extraction.unpacking import (
    BATCH,
    BATCH_MEMBERS,
    MODES,
    Batch,
    Item,
    Modes,
    Place,
    Unpacker,
    explain_unwritten,
)
from parazip.format.end import Read
from parazip.format.values import Buffer, Entry
from parazip.model import File
from parazip.output.stream import BinaryOutput
from parazip.settings import Settings
from parazip.sources import archives, files
from parazip.sources.selection import check_patterns
from parazip.workers.cpus import usable_cpus
from parazip.workers.helpers import running_helpers
from parazip.workers.line import Line, line_for

Overwrite: TypeAlias = Literal["error", "skip", "newer", "all"]
OVERWRITE: tuple[Overwrite, ...] = ("error", "skip", "newer", "all")

_LARGE = 8 << 20
_LARGE_SHARE = 1.2
"""A larger member of so many shares of all bytes is done sooner on all cores by itself."""

_PER_MEMBER = 25 << 10
"""Bytes that are inflated in the time that all else takes which is done for a member."""

_WORTH_FORKED, _WORTH_FRESH = 4 << 20, 256 << 20
"""Bytes from which on helpers pay: copies of this process, and those that are started afresh."""

_BATCH_COST = 4 * contents.AT_ONCE
"""Bytes in memory for a batch: of the archive, of one member compressed, and of its contents."""

_DATE_PRECISION = 2 * 10**9
"""Nanoseconds that two MS-DOS dates differ by at least."""

_SHOWN = 3
"""Files that a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What is extracted of an archive, and how.

    Attributes:
        members: patterns of what is extracted, compared as `Selection.exclude` is; all members if
            there are none. A folder takes along what it holds.
        exclude: patterns of what is not.
        strip_components: how many steps are taken off the beginning of each name, as by tar.
            Members that have no more are left out.
        overwrite: what becomes of files that are there: "error" writes nothing if there is one,
            "skip" leaves them, "newer" replaces those that are older than the member, "all" all.
        modes: "keep" gives files and folders the permissions that members have, as far as the umask
            allows, "normal" those of any new file, and the right to execute what somebody may
            execute; "none" those of any new file.
        max_size: the most bytes that may be extracted; None for what has room on the disk.
        sync: whether all is on the disk when the call returns.

    Raises:
        SettingsError: a value is out of its range.
        TypeError: a value is of another type.
    """

    members: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    strip_components: int = 0
    overwrite: Overwrite = "error"
    modes: Modes = "keep"
    max_size: int | None = None
    sync: bool = False

    def __post_init__(self) -> None:
        for name in ("members", "exclude"):
            check_patterns(name, getattr(self, name))
        if self.strip_components < 0:
            raise SettingsError(f"strip_components must be 0 or more, not {self.strip_components}")
        if self.overwrite not in OVERWRITE:
            raise SettingsError(
                f"overwrite {self.overwrite!r} is not one of {', '.join(OVERWRITE)}"
            )
        if self.modes not in MODES:
            raise SettingsError(f"modes {self.modes!r} is not one of {', '.join(MODES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractReport:
    """What was extracted.

    Attributes:
        folder: where.
        members: files, folders and links that were made or replaced.
        bytes: of all files.
        skipped: files that were there and were left.
        seconds: from the first look at the archive to the end.
        notes: what people may want to know besides, a sentence each.
    """

    folder: str
    members: int
    bytes: int
    skipped: int
    seconds: float
    notes: tuple[str, ...] = ()


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
        OutputError: something cannot be written, or is there already.
    """
    began = time.monotonic()
    path, target = os.fspath(archive), os.fspath(folder)
    extraction = extraction or Extraction()
    settings = settings or Settings()
    unpacking.read_dos_date.cache_clear()  # the time zone may be another one
    found, targets = _plan(path, extraction)
    _refuse_size(found, targets, extraction.max_size)
    with _opening(target, found, extraction) as place:
        is_new = place.target != target
        run = Run(place, extraction, settings, targets, Counter(progress), is_new)
        run.make_all()
    return ExtractReport(
        folder=target,
        members=run.made,
        bytes=run.bytes,
        skipped=run.skipped,
        seconds=time.monotonic() - began,
    )


def write_contents(
    archive: str | os.PathLike[str], output: BinaryOutput, extraction: Extraction
) -> None:
    """Writes the contents of all files that are chosen to an output, one after the other.

    Args:
        archive: its path.
        output: a binary file.
        extraction: `members`, `exclude` and `max_size` count.

    Raises what `extract` raises.
    """
    found, targets = _plan(os.fspath(archive), extraction)
    _refuse_size(found, targets, extraction.max_size)
    for chunks in unpacking.read_contents(found, [item.entry for item in targets.files]):
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[output.write(view) or 0 :]


def _plan(path: str, extraction: Extraction) -> tuple[File, Targets]:
    found = find_archive(path)
    members, exclude = extraction.members, extraction.exclude
    entries = choose_entries(found, members, exclude, "extract", "extracted")
    return found, plan_targets(path, entries, extraction.strip_components)


def _refuse_size(archive: File, targets: Targets, most: int | None) -> None:
    size = sum([item.entry.record.size for item in targets.files])
    if most is not None and size > most:
        raise OutputError(
            f"cannot extract {archive.path}: it holds {size:,} bytes, and {most:,} were allowed; "
            "allow more with --max-size, or choose members",
            member=archive.path,
        )


@contextmanager
def _opening(target: str, archive: File, extraction: Extraction) -> Iterator[Place]:
    """The place that is written to: the target, or one beside it that gets its name in the end."""
    token = f"parazip-{os.urandom(6).hex()}"
    place = Place(archive, target, target, extraction.modes, token, extraction.sync)
    if os.path.lexists(target):
        _refuse_no_folder(target)
        yield place
        return
    parent, name = os.path.split(target.rstrip("/" + os.sep))
    beside = os.path.join(parent, f".{token}")
    try:
        if parent:
            os.makedirs(parent, exist_ok=True)
        os.mkdir(beside)
    except OSError as error:
        raise OutputError.of(target, error) from error
    try:
        yield place._replace(target=beside)
        try:
            _rename_to_new(beside, os.path.join(parent, name))
        except OSError as error:
            raise OutputError.of(target, error, "it was not there when extracting began") from error
        if extraction.sync:
            with TargetFolder(parent or os.curdir) as folder:
                folder.sync("")
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


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


class Run:
    """Makes what is to be made.

    Args:
        place: from where to where.
        extraction: what becomes of files that are there.
        settings: how much of the machine may be used.
        targets: what is to be made.
        counter: is told of all that was made.
        is_new: whether the target was made for this, and nothing is there yet.

    Attributes:
        bytes: of the files that were made.
        skipped: how many files were left as they are.
    """

    def __init__(
        self,
        place: Place,
        extraction: Extraction,
        settings: Settings,
        targets: Targets,
        counter: Counter,
        is_new: bool,
    ) -> None:
        self.bytes = self.skipped = 0
        self._counts: list[int] = []  # of what was made; workers add to it
        self._at_work: dict[int, Batch] = {}
        self._place = place
        self._extraction = extraction
        self._settings = settings
        self._targets = targets
        self._counter = counter
        self._is_new = is_new

    def make_all(self) -> None:
        """Makes folders, files and links, in this order."""
        targets, counter = self._targets, self._counter
        texts = self._read_links()
        items, links = targets.files, targets.links
        if not self._is_new:
            self._check_folders()
            kept = self._check_existing([*items, *links])
            items = [item for item in kept if item.path not in texts]
            links = [item for item in kept if item.path in texts]
        counter.members_total = len(items)
        counter.bytes_total = sum([item.entry.record.size for item in items])
        self._refuse_without_room(counter.bytes_total)
        try:
            with TargetFolder(self._place.target) as folder:
                folders = self._make_folders(folder)
            self._make_files(items)
            with TargetFolder(self._place.target) as folder:
                self._make_links(folder, links, texts)
                self._finish_folders(folder, folders)
                if self._extraction.sync:
                    for path in ("", *folders):
                        folder.sync(path)
        except (ParazipError, KeyboardInterrupt) as error:
            if not self._is_new and self.made:
                what = "1 member was" if self.made == 1 else f"{self.made:,} members were"
                what += " extracted before that, and stay"
                if isinstance(error, ParazipError):
                    error.args = (f"{error.args[0]}; {what}", *error.args[1:])
                else:
                    error.add_note(what)
            raise

    @property
    def made(self) -> int:
        """How many files, folders and links were made."""
        return sum(self._counts)

    # What must hold before anything is written

    def _check_existing(self, items: Sequence[Item]) -> list[Item]:
        """The items that are to be made; those in whose place something stands say so."""
        kept, obstacles = [], []
        overwrite = self._extraction.overwrite
        with TargetFolder(self._place.target) as folder:
            for item in items:
                info = self._find(folder, item.path)
                if info is None:
                    kept.append(item)
                elif stat.S_ISDIR(info.st_mode):
                    raise OutputError(
                        f"cannot write {self._name(item.path)}: a folder stands there; move it "
                        "away, or extract elsewhere",
                        member=self._name(item.path),
                    )
                elif overwrite == "error":
                    obstacles.append(item.path)
                elif overwrite == "all" or self._is_newer(item, info):
                    kept.append(item._replace(replaces=True))
                else:
                    self.skipped += 1
        if obstacles:
            names = ", ".join(map(self._name, obstacles[:_SHOWN]))
            more = len(obstacles) - _SHOWN
            what = f"{names} and {more:,} more" if more > 0 else names
            raise OutputError(
                f"cannot write {what}: it is there already, and nothing was written; choose what "
                "becomes of such files with --overwrite skip, newer or all, or another folder",
                member=self._name(obstacles[0]),
            )
        return kept

    def _check_folders(self) -> None:
        """Refuses what stands where a folder is needed."""
        with TargetFolder(self._place.target) as folder:
            for path in self._targets.folders:
                info = self._find(folder, path)
                if info is not None and not stat.S_ISDIR(info.st_mode):
                    raise explain_unwritten(
                        self._place.shown,
                        path,
                        NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)),
                    )

    def _is_newer(self, item: Item, info: os.stat_result) -> bool:
        """Whether a member is newer than a file, by more than what dates in archives can tell."""
        if self._extraction.overwrite != "newer":
            return False
        when = unpacking.read_dos_date(item.entry.record.date)
        return when >= info.st_mtime_ns + _DATE_PRECISION

    def _find(self, folder: TargetFolder, path: str) -> os.stat_result | None:
        try:
            return folder.find(path)
        except OSError as error:
            raise explain_unwritten(self._place.shown, path, error) from error

    def _name(self, path: str) -> str:
        return os.path.join(self._place.shown, *path.split("/"))

    def _refuse_without_room(self, size: int) -> None:
        """Refuses more bytes than there is room for, unless so many were allowed."""
        if self._extraction.max_size is not None:
            return
        if not hasattr(os, "statvfs"):
            free = shutil.disk_usage(self._place.target).free
        else:
            system = os.statvfs(self._place.target)
            free = system.f_bavail * system.f_frsize
        if size > free:
            raise OutputError(
                f"cannot extract {self._place.archive.path} to {self._place.shown}: it holds "
                f"{size:,} bytes, and there is room for {free:,}; make room, extract elsewhere, or "
                "set --max-size to try all the same",
                member=self._place.archive.path,
                errno=errno.ENOSPC,
            )

    # Folders and links

    def _make_folders(self, folder: TargetFolder) -> list[str]:
        """Makes all folders that are missing; gives them."""
        made = []
        for path in self._targets.folders:
            try:
                if folder.make(path):
                    made.append(path)
                    self._counts.append(1)
            except OSError as error:
                raise explain_unwritten(self._place.shown, path, error) from error
        return made

    def _finish_folders(self, folder: TargetFolder, made: Sequence[str]) -> None:
        """Gives folders that were made their permissions and times: nothing is made there now."""
        if not made:
            return
        allowed = stat.S_IMODE(folder.stat(made[0]).st_mode)
        keeps = self._extraction.modes == "keep"
        with files.open_unchanged(self._place.archive) as file:
            read = partial(archives.read_at, file)
            for path in reversed(made):
                entry = self._targets.folders[path]
                if entry is None:
                    continue
                mode = entry.record.attributes >> 16 & 0o777 & allowed if keeps else allowed
                when = unpacking.find_entry_time(self._place.archive.path, entry, read)
                try:
                    folder.finish(path, mode if mode != allowed else None, when)
                except OSError as error:
                    raise explain_unwritten(self._place.shown, path, error) from error

    def _read_links(self) -> dict[str, str]:
        """The targets of all links, by their paths; refuses those that lead out."""
        archive, items = self._place.archive, self._targets.links
        texts = unpacking.read_contents(archive, [item.entry for item in items])
        links = {
            item.path: os.fsdecode(b"".join(chunks))
            for item, chunks in zip(items, texts, strict=True)
        }
        for path, target in links.items():
            refuse_leading_out(archive.path, path, target, links)
        return links

    def _make_links(
        self, folder: TargetFolder, links: Sequence[Item], texts: dict[str, str]
    ) -> None:
        """Makes all links, when no file is made any more that they could lead astray."""
        for item in links:
            unfinished = unpacking.make_name(item, self._place.token) if item.replaces else ""
            try:
                folder.link(item.path, texts[item.path], unfinished)
            except OSError as error:
                raise explain_unwritten(self._place.shown, item.path, error) from error
            self._counts.append(1)

    # Files

    def _make_files(self, items: Sequence[Item]) -> None:
        jobs = self._settings.jobs or usable_cpus()
        total = sum([item.entry.record.size for item in items])
        share = max(_LARGE, _LARGE_SHARE * total / jobs)
        large_items = [item for item in items if item.entry.record.size > share and jobs > 1]
        others = [item for item in items if item.entry.record.size <= share or jobs == 1]
        line = line_for(self._settings.jobs, self._settings.memory)
        try:
            self._make_batches(others, line, jobs)
        except BaseException:
            # Helpers that were at work have been killed: in a folder that stays, nothing of theirs
            # may be half written.
            for batch in () if self._is_new else self._at_work.values():
                unpacking.recover(batch)
            raise
        for item in large_items:
            self._make_large(item, line)

    def _make_batches(self, items: Sequence[Item], line: Line, jobs: int) -> None:
        batches = (Batch(self._place, group) for group in _group(items))
        size = sum([item.entry.record.size + _PER_MEMBER for item in items])
        if jobs == 1 or size < _WORTH_FORKED:
            for batch in batches:
                unpacking.unpack_here(batch, self._counts.append)
                self._count(batch.items)
            return
        with running_helpers(
            f"{unpacking.__name__}:{unpacking.answer_question.__name__}",
            min(jobs, usable_cpus()),
            8,
            libraries.find_library_folders(),
        ) as helpers:
            if helpers.are_forked or size >= _WORTH_FRESH:
                helpers.start()

            def unpack(batch: Batch) -> None:
                self._at_work[id(batch)] = batch
                unpacking.unpack(batch, helpers, self._counts.append)
                del self._at_work[id(batch)]

            with line.open_lane(unpack, cost=lambda _: _BATCH_COST) as lane:
                for batch, _ in lane.through(batches):
                    self._count(batch.items)

    def _make_large(self, item: Item, line: Line) -> None:
        def chunks(entry: Entry, begin: int, read: Read) -> Iterator[Buffer]:
            for chunk in large.chunks(entry, begin, read, line):
                self._counter.advance(0, len(chunk), len(chunk), item.path)
                yield chunk

        Unpacker(self._place, chunks).unpack([item])
        self._counts.append(1)
        self.bytes += item.entry.record.size
        self._counter.advance(1, 0, 0, item.path)

    def _count(self, items: Sequence[Item]) -> None:
        size = sum([item.entry.record.size for item in items])
        self.bytes += size
        self._counter.advance(len(items), size, size, items[-1].path)


def _group(items: Sequence[Item]) -> Iterator[list[Item]]:
    """The largest files first, so that none is still at work when all else is done.

    Small ones stay in the order of the archive, in which they are read, and share folders.
    """
    large_items = [item for item in items if item.entry.record.size > contents.AT_ONCE]
    large_items.sort(key=lambda item: -item.entry.record.size)
    yield from ([item] for item in large_items)
    group: list[Item] = []
    size = 0
    for item in items:
        if item.entry.record.size > contents.AT_ONCE:
            continue
        group.append(item)
        size += item.entry.record.size
        if size >= BATCH or len(group) == BATCH_MEMBERS:
            yield group
            group, size = [], 0
    if group:
        yield group
