"""The producer that recalls: finished parts, kept on disk and found by what determines them.

`keys` tells what a key is made of.

The layout, version 1: a folder `parts-1` with one file for each part, `<2 digits>/<62 digits>` of
the key; `part_files` tells what is in it. A file is written under another name and renamed, so what
has its name is whole, and two processes may write the same one: they write the same bytes. Nothing
is locked. A part is used when the description fits its key and the data, checked on their way into
the archive, have their CRC-32; otherwise it is thrown away and made again.

A CRC-32 finds damage and no forgery. That nobody else may write to what is used, `cache_folders`
sees to. What has no name of ours is neither counted nor removed: the folder may be one that was
named by mistake.

The time of the last use is a file's access time, set by hand. When parts were added and all
together take more than the limit, those that were used longest ago go. A time to come was set by a
clock that was wrong, and such parts go first: they would stay until that time.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import NamedTuple

from parazip.engine import cache_folders, part_files
from parazip.engine.cache_folders import (
    TEMPORARY,
    CacheFolder,
    UntrustedFileError,
    UntrustedFolderError,
)
from parazip.engine.keys import LAYOUT
from parazip.errors import OutputError, SettingsError
from parazip.model import File, Part, Range, Tally
from parazip.settings import parse_size
from parazip.sources import files

LIMIT = 5 << 30
"""Bytes that all parts may take, unless told otherwise: those of some eight large PEX files."""

_ENV_FOLDER = "PARAZIP_CACHE_DIR"
_ENV_LIMIT = "PARAZIP_CACHE_SIZE"
_TAG_NAME = "CACHEDIR.TAG"
_STALE_SECONDS = 3600
"""A temporary file that nobody has written to for so long has lost its process. Clocks of machines
that share a cache differ less."""

_BEFORE_ALL = 1 << 64
"""More nanoseconds than there are in a file's time."""

_TAG = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# parazip keeps finished parts of archives here; it is safe to delete them.\n"
)

# Some file systems tell names in capitals, or without any.
_FOLDER_NAME = re.compile("[0-9a-f]{2}", re.IGNORECASE)
_PART_NAME = re.compile("[0-9a-f]{62}", re.IGNORECASE)
_TEMPORARY_NAME = re.compile(f"{TEMPORARY}[0-9a-f]{{16}}", re.IGNORECASE)

logger = logging.getLogger("parazip.cache")


class CachedPart(NamedTuple):
    """A part that was kept.

    Attributes:
        part: its data are a piece of a file.
        crc: the CRC-32 of these, which is not checked yet.
        opener: opens that file, if it is still to be trusted.
    """

    part: Part
    crc: int
    opener: files.Opener = files.open_regular

    @property
    def file(self) -> File:
        """The file."""
        (data,) = self.part.data
        assert isinstance(data, Range)
        return data.file


class Usage(NamedTuple):
    """What a cache holds: parts, and the bytes of their files."""

    parts: int
    size: int


class Cache:
    """Finished parts in a folder. Whatever goes wrong here costs time and nothing else.

    Args:
        folder: where; made when the first part is kept. None takes PARAZIP_CACHE_DIR from the
            environment, or else the folder that this system has for the user's caches.
        limit: bytes that all parts may take, also as a text such as "2G". None takes
            PARAZIP_CACHE_SIZE from the environment, or else 5 GiB. With 0 nothing is kept.

    Attributes:
        folder: where it is.
        limit: bytes that all parts may take.
        notes: what went wrong, a sentence each, and each kind only once.

    Raises:
        SettingsError: the limit is no size, or the folder has no name.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, limit: int | str | None = None
    ) -> None:
        if folder == "":
            raise SettingsError("the cache folder has no name; give one, or leave it to parazip")
        chosen = os.environ.get(_ENV_FOLDER) if folder is None else os.fspath(folder)
        self.folder = os.path.abspath(os.path.expanduser(chosen)) if chosen else _find_user_folder()
        self.limit = _choose_limit(limit)
        self.notes: list[str] = []
        self._parts = os.path.join(self.folder, LAYOUT)
        self._added = False
        self._noted: set[str] = set()
        self._usable = self.limit > 0

    def find(self, key: str) -> CachedPart | None:
        """The part that was kept under `make_key`."""
        path = self._path(key)
        opener = partial(self._open_part, key)
        try:
            with open(path, "rb", opener=opener) as file:
                info = os.fstat(file.fileno())
                found = part_files.read_description(file, key, info.st_size)
                with suppress(OSError):
                    used = file.fileno() if cache_folders.BY_DESCRIPTOR else path
                    os.utime(used, ns=(time.time_ns(), info.st_mtime_ns))
                info = os.fstat(file.fileno())  # some file systems round what was set
        except (FileNotFoundError, NotADirectoryError):
            return None
        except UntrustedFolderError as error:
            self._note("use", str(error))
            return None
        except UntrustedFileError as error:
            self.discard(key, str(error))
            return None
        except OSError as error:
            self._note("use", f"the cache cannot be read: {error.strerror or error}: {path}")
            return None
        except Exception as error:  # whatever JSON may say of what is no JSON
            self.discard(key, str(error))
            return None
        of_file = files.describe_file(path, info)._replace(ctime_ns=0)
        data = Range(of_file, found.offset, found.length)
        return CachedPart(Part((data,), found.directory, found.tallies), found.crc, opener)

    def discard(self, key: str, why: str, found: CachedPart | None = None) -> None:
        """Throws away what was kept under `make_key`, as it is of no use.

        Args:
            key: which.
            why: for people.
            found: what turned out to be so; another part that has come in its place since stays.
        """
        try:
            with self._open_parts_folder() as parts, parts.open_folder(key[:2]) as folder:
                name = folder.at(key[2:])
                info = os.stat(name, dir_fd=folder.descriptor, follow_symlinks=False)
                if found is not None and files.find_differences(found.file, info):
                    return
                folder.remove(key[2:])
            what = "was thrown away"
        except (FileNotFoundError, UntrustedFolderError):
            return  # another process threw it away, or the folder is not trusted any more
        except OSError:
            what = "cannot be removed"
        self._note("damage", f"a damaged part in the cache {what} ({why}): {self._path(key)}")

    def keep(
        self,
        key: str,
        tallies: Mapping[str, Tally],
        directory: bytes,
        length: int,
        data: Iterable[bytes],
    ) -> None:
        """Keeps a part: its tallies, central directory headers, and data of `length` bytes."""
        if not self._usable:
            return
        if length > self.limit:
            self._note("size", f"a part of {length} bytes is more than the cache may take")
            return
        if len(directory) > part_files.MOST_HEADERS:
            self._note("size", f"a part with {len(directory)} bytes of headers is not kept")
            return
        try:
            cache_folders.make_way(self.folder)
            # What is not there any more, another process has cleared.
            with cache_folders.follow_way(self.folder) as above, suppress(FileNotFoundError):
                above.make_folder(LAYOUT)
                with above.open_folder(LAYOUT) as parts:
                    parts.make_file(_TAG_NAME, _TAG)
                    parts.make_folder(key[:2])
                    with (
                        parts.open_folder(key[:2]) as folder,
                        parts.new_file() as (file, temporary),
                    ):
                        part_files.write_part(file, key, tallies, directory, length, data)
                        file.close()
                        os.replace(
                            temporary,
                            folder.at(key[2:]),
                            src_dir_fd=parts.descriptor,
                            dst_dir_fd=folder.descriptor,
                        )
                self._added = True
        except UntrustedFolderError as error:
            self._note("use", str(error))
        except OSError as error:
            self._usable = False
            what = error.strerror or error
            self._note("use", f"nothing more was kept in the cache {self.folder}: {what}")

    def close(self) -> None:
        """Makes room again, if parts were added."""
        if self._added:
            self._added = False
            self.prune(self.limit)

    def usage(self) -> Usage:
        """How much there is."""
        sizes = [size for _, size, _ in self._list_parts()]
        return Usage(len(sizes), sum(sizes))

    def prune(self, limit: int) -> Usage:
        """Throws away what was used longest ago, until the rest takes at most `limit` bytes.

        Also what killed processes left half written. Gives what was thrown away.
        """
        gone = freed = 0
        with self._try_to_open() as parts:
            if parts is not None:
                _remove_stale(parts)
            by_age = sorted(self._list_parts())
            size = sum(size for _, size, _ in by_age)
            for _, length, key in by_age:
                if size - freed <= limit or parts is None:
                    break
                with suppress(OSError), parts.open_folder(key[:2]) as folder:
                    os.unlink(folder.at(key[2:]), dir_fd=folder.descriptor)
                    gone += 1
                    freed += length
        return Usage(gone, freed)

    def clear(self) -> Usage:
        """Throws away all parts. Gives what that was.

        Raises:
            OutputError: something cannot be deleted.
        """
        usage = self.usage()
        with self._try_to_open() as parts:
            if parts is None:
                return usage
            failed = _remove_all(parts)
        with suppress(OSError), cache_folders.follow_way(self.folder) as above:
            os.rmdir(above.at(LAYOUT), dir_fd=above.descriptor)
        if failed is not None:
            path, error = failed
            raise OutputError.of(os.path.join(self._parts, path), error) from error
        return usage

    def _path(self, key: str) -> str:
        return os.path.join(self._parts, key[:2], key[2:])

    @contextmanager
    def _open_parts_folder(self) -> Iterator[CacheFolder]:
        """The folder of parts.

        Raises:
            UntrustedFolderError: it is not to be trusted.
            OSError: it cannot be opened.
        """
        with (
            cache_folders.follow_way(self.folder) as above,
            above.open_folder(LAYOUT) as parts,
        ):
            yield parts

    def _open_part(self, key: str, path: str, flags: int) -> int:
        """Opens the part of a key and gives its descriptor; an `Opener`.

        Raises:
            UntrustedFolderError, UntrustedFileError: it is not to be trusted.
            OSError: it cannot be opened.
        """
        with self._open_parts_folder() as parts, parts.open_folder(key[:2]) as folder:
            return folder.open_file(key[2:], flags)

    @contextmanager
    def _try_to_open(self) -> Iterator[CacheFolder | None]:
        """The folder of parts; None if there is none, or none that is to be trusted."""
        parts = None
        with ExitStack() as stack:
            try:
                parts = stack.enter_context(self._open_parts_folder())
            except UntrustedFolderError as error:
                self._note("use", str(error))
            except (FileNotFoundError, NotADirectoryError):
                pass  # nothing is kept there
            except OSError as error:
                self._note("use", f"the cache is not used: {self.folder}: {error.strerror}")
            yield parts

    def _list_parts(self) -> Iterator[tuple[int, int, str]]:
        """Time of last use, size and key of each part; a time to come is put before all others."""
        latest = (time.time() + _STALE_SECONDS) * 1e9
        with self._try_to_open() as parts:
            if parts is None:
                return
            for above in parts.scan():
                if not _FOLDER_NAME.fullmatch(above.name):
                    continue
                with suppress(OSError), parts.open_folder(above.name) as folder:
                    for entry in folder.scan():
                        with suppress(OSError):
                            info = entry.stat(follow_symlinks=False)
                            if _PART_NAME.fullmatch(entry.name) and stat.S_ISREG(info.st_mode):
                                used = info.st_atime_ns
                                used -= _BEFORE_ALL if used > latest else 0
                                yield used, info.st_size, above.name + entry.name

    def _note(self, kind: str, text: str) -> None:
        if kind not in self._noted:
            self._noted.add(kind)
            self.notes.append(text)
            logger.info(text)


def _remove_stale(parts: CacheFolder) -> None:
    """Removes the temporary files that have lost their processes."""
    for entry in parts.scan():
        if _TEMPORARY_NAME.fullmatch(entry.name):
            with suppress(OSError):
                age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                if abs(age) > _STALE_SECONDS:
                    os.unlink(parts.at(entry.name), dir_fd=parts.descriptor)


def _remove_all(parts: CacheFolder) -> tuple[str, OSError] | None:
    """Removes what has names of ours. Gives what cannot be removed first, and why."""
    failures: list[tuple[str, OSError]] = []

    def remove(folder: CacheFolder, name: str, path: str) -> None:
        try:
            folder.remove(name)
        except FileNotFoundError:
            pass  # other processes may be deleting, too
        except OSError as error:
            failures.append((path, error))

    for above in parts.scan():
        if _TEMPORARY_NAME.fullmatch(above.name):
            remove(parts, above.name, above.name)
        elif _FOLDER_NAME.fullmatch(above.name):
            try:
                with parts.open_any_folder(above.name) as (folder, _):
                    for entry in folder.scan():
                        if _PART_NAME.fullmatch(entry.name):
                            remove(folder, entry.name, os.path.join(above.name, entry.name))
            except UntrustedFolderError:  # a link, or a file
                remove(parts, above.name, above.name)
            except FileNotFoundError:
                pass
            except OSError as error:
                failures.append((above.name, error))
            with suppress(OSError):  # something that is not ours may be in it
                os.rmdir(parts.at(above.name), dir_fd=parts.descriptor)
    if {entry.name.upper() for entry in parts.scan()} <= {_TAG_NAME}:
        remove(parts, _TAG_NAME, _TAG_NAME)
    return failures[0] if failures else None


def _find_user_folder() -> str:
    import platformdirs

    return platformdirs.user_cache_dir("parazip", appauthor=False)


def _choose_limit(given: int | str | None) -> int:
    if isinstance(given, int):
        return given
    text = given or os.environ.get(_ENV_LIMIT)
    try:
        return parse_size(text) if text else LIMIT
    except SettingsError as error:
        what = "the cache size" if given else _ENV_LIMIT
        raise SettingsError(f"{what} is wrong: {error}") from error
