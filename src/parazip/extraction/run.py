"""One extraction: what must hold before anything is written, then folders, files and links."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Sequence
from functools import partial

from parazip.errors import OutputError, ParazipError
from parazip.extraction import unpacking
from parazip.extraction.crew import Crew, Made
from parazip.extraction.folder import TargetFolder
from parazip.extraction.model import Extraction
from parazip.extraction.targets import Targets, refuse_leading_out
from parazip.extraction.unpacking import Item, Place, explain_unwritten
from parazip.sources import archives, files

_DATE_PRECISION = 2 * 10**9
"""Nanoseconds that two MS-DOS dates differ by at least."""

_SHOWN = 3
"""Files that a message names."""


class Run:
    """Makes what is to be made.

    Args:
        place: from where to where.
        extraction: what becomes of files that are there.
        targets: what is to be made.
        crew: makes the files.
        made: is told of all that was made.
        is_new: whether the target was made for this, and nothing is there yet.

    Attributes:
        skipped: how many files were left as they are.
    """

    def __init__(
        self,
        place: Place,
        extraction: Extraction,
        targets: Targets,
        crew: Crew,
        made: Made,
        is_new: bool,
    ) -> None:
        self.skipped = 0
        self._place = place
        self._extraction = extraction
        self._targets = targets
        self._crew = crew
        self._made = made
        self._is_new = is_new

    def make_all(self) -> None:
        """Makes folders, files and links, in this order."""
        targets, made = self._targets, self._made
        texts = self._read_links()
        items, links = targets.files, targets.links
        missing = len(targets.folders)
        if not self._is_new:
            missing = self._check_folders()
            kept = self._check_existing([*items, *links])
            items = [item for item in kept if item.path not in texts]
            links = [item for item in kept if item.path in texts]
        made.counter.members_total = len(items)
        size = sum([item.entry.record.size for item in items])
        made.counter.bytes_total = size
        self._refuse_without_room(size, len(items) + len(links) + missing)
        try:
            with TargetFolder(self._place.target) as folder:
                folders = self._make_folders(folder)
            self._crew.make_files(self._place, items, made)
            with TargetFolder(self._place.target) as folder:
                self._make_links(folder, links, texts)
                self._finish_folders(folder, folders)
                if self._extraction.sync:
                    for path in ("", *folders):
                        folder.sync(path)
        except (ParazipError, KeyboardInterrupt) as error:
            count = made.members
            if not self._is_new and count:
                what = "1 member was extracted before that, and stays"
                if count > 1:
                    what = f"{count:,} members were extracted before that, and stay"
                if isinstance(error, ParazipError):
                    error.args = (f"{error.args[0]}; {what}", *error.args[1:])
                else:
                    error.add_note(what)
            raise

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
                elif self._is_archive(info):
                    raise OutputError(
                        f"cannot write {self._name(item.path)}: it is the archive itself; move it "
                        "away, extract elsewhere, or leave that member out with --exclude",
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
            be = "it is" if len(obstacles) == 1 else "they are"
            raise OutputError(
                f"cannot write {what}: {be} there already, and nothing was written; choose what "
                "becomes of such files with --overwrite skip, newer or all, or another folder",
                member=self._name(obstacles[0]),
            )
        return kept

    def _is_archive(self, info: os.stat_result) -> bool:
        """Whether a file looks like the archive, as that was found when it was open."""
        archive = self._place.archive
        found = (info.st_ino, info.st_size, info.st_mtime_ns)
        return found == (archive.inode, archive.size, archive.mtime_ns)

    def _check_folders(self) -> int:
        """Refuses what stands where a folder is needed. Gives how many have to be made."""
        missing = 0
        with TargetFolder(self._place.target) as folder:
            for path in self._targets.folders:
                info = self._find(folder, path)
                missing += info is None
                if info is not None and not stat.S_ISDIR(info.st_mode):
                    raise explain_unwritten(
                        self._place.shown,
                        path,
                        NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)),
                    )
        return missing

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

    def _refuse_without_room(self, size: int, count: int) -> None:
        """Refuses more bytes or files than there is room for, unless so many were allowed."""
        if hasattr(os, "statvfs"):
            system = os.statvfs(self._place.target)
            free = system.f_bavail * system.f_frsize
            # Some file systems count no files, and tell 0.
            free_files = system.f_favail if system.f_files else count
        else:
            free, free_files = shutil.disk_usage(self._place.target).free, count
        if self._extraction.max_size is None and size > free:
            what, option = f"{size:,} bytes, and there is room for {free:,}", "--max-size"
        elif self._extraction.max_members is None and count > free_files:
            what, option = f"{count:,} files, and there is room for {free_files:,}", "--max-members"
        else:
            return
        raise OutputError(
            f"cannot extract {self._place.archive.path} to {self._place.shown}: it holds {what}; "
            f"make room, extract elsewhere, or set {option} to try all the same",
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
                    if self._targets.folders[path] is not None:
                        self._made.add(1)
            except OSError as error:
                raise explain_unwritten(self._place.shown, path, error) from error
        return made

    def _finish_folders(self, folder: TargetFolder, made: Sequence[str]) -> None:
        """Gives folders that were made their permissions and times: nothing is made there now."""
        if not made:
            return
        allowed = stat.S_IMODE(folder.stat(made[0]).st_mode)
        keeps = self._extraction.modes == "keep"
        archive = self._place.archive
        entries = [entry for path in made if (entry := self._targets.folders[path]) is not None]
        pieces = archives.locate_records(archive, entries)
        with files.open_unchanged(archive, pieces=pieces) as file:
            read = partial(archives.read_at, file)
            for path in reversed(made):
                entry = self._targets.folders[path]
                if entry is None:
                    continue
                mode = entry.record.attributes >> 16 & 0o777 & allowed if keeps else allowed
                when = unpacking.find_entry_time(archive.path, entry, read)
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
        for item in items:
            refuse_leading_out(archive.path, item, links[item.path])
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
            self._made.add(1)
