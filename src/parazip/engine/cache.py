"""The producer that recalls: finished parts, kept on disk and found by what determines them.

`keys` tells what a key is made of.

The layout, version 1: a folder `parts-1` with one file for each part, `<2 digits>/<62 digits>` of
the key. A file is a head (magic, lengths of what follows, CRC-32 of the data), a description in
JSON (key and tallies), the part's central directory headers, a CRC-32 over all these, and the
part's data. It is written under another name and renamed, so what has its name is whole, and two
processes may write the same one: they write the same bytes. Nothing is locked. A part is used
when the description fits its key and the data, checked on their way into the archive, have their
CRC-32; otherwise it is thrown away and made again.

A CRC-32 finds damage and no forgery, and what is recalled ends up in our archives. So folders and
parts are used only if they are this user's and nobody else may write to them, and that is asked of
what is open, each time: of the folder of parts, of the one in it, opened from there, and of the
part, opened from there again. What a name leads to may be another thing a moment later. No link is
followed below the cache's folder. Systems without such calls, as Windows, ask by name.

The time of the last use is a file's access time, set by hand. When parts were added and all
together take more than the limit, those that were used longest ago go.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import stat
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from io import FileIO
from typing import BinaryIO, NamedTuple

from parazip.codecs import checksums
from parazip.engine.keys import LAYOUT
from parazip.errors import OutputError, SettingsError, SourceError
from parazip.model import Part, Range, Tally
from parazip.settings import parse_size
from parazip.sources import files, trust

LIMIT = 5 << 30
"""Bytes that all parts may take, unless told otherwise: those of some eight large PEX files."""

_ENV_FOLDER = "PARAZIP_CACHE_DIR"
_ENV_LIMIT = "PARAZIP_CACHE_SIZE"
_MAGIC = b"parazip1"
_HEAD = struct.Struct("<8s2IQI")
_CRC = struct.Struct("<I")
_TEMPORARY = "tmp-"
_TAG_NAME = "CACHEDIR.TAG"
_STALE_SECONDS = 3600
"""A temporary file that nobody has written to for so long has lost its process."""
_MOST_DESCRIPTION = 64 << 10
"""Bytes of a part's description: a key and a few sums. As JSON they take thirty times as many."""
_MOST_HEADERS = 64 << 20
"""Bytes of its headers, which are in memory at once: those of half a million members."""

_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# parazip keeps finished parts of archives here; it is safe to delete them.\n"
)

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
                found = _read_description(file, key, info.st_size)
                with suppress(OSError):
                    used = file.fileno() if _BY_DESCRIPTOR else path
                    os.utime(used, ns=(time.time_ns(), info.st_mtime_ns))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except _FolderError as error:
            self._note("use", str(error))
            return None
        except _PartError as error:
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

    def discard(self, key: str, why: str) -> None:
        """Throws away what was kept under `make_key`, as it is of no use."""
        try:
            with self._open_parts_folder() as parts, parts.open_folder(key[:2]) as folder:
                name = folder.at(key[2:])
                try:
                    os.unlink(name, dir_fd=folder.descriptor)
                except FileNotFoundError:
                    return  # another process threw it away meanwhile, as it may
                except OSError:
                    shutil.rmtree(name, ignore_errors=True, dir_fd=folder.descriptor)
        except OSError:  # the folder has gone, or is not to be touched
            return
        path = self._path(key)
        self._note("damage", f"a damaged part in the cache was thrown away ({why}): {path}")

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
        if len(directory) > _MOST_HEADERS:
            self._note("size", f"a part with {len(directory)} bytes of headers is not kept")
            return
        try:
            self._make_folder()
            with self._open_parts_folder() as parts:
                with suppress(FileExistsError):
                    os.mkdir(parts.at(key[:2]), 0o700, dir_fd=parts.descriptor)
                with parts.open_folder(key[:2]) as folder, parts.new_file() as (file, temporary):
                    _write_part(file, key, tallies, directory, length, data)
                    file.close()
                    os.replace(
                        temporary,
                        folder.at(key[2:]),
                        src_dir_fd=parts.descriptor,
                        dst_dir_fd=folder.descriptor,
                    )
            self._added = True
        except _FolderError as error:
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
        shutil.rmtree(self._parts, ignore_errors=True)  # other processes may be deleting, too
        for _, _, key in self._list_parts():
            path = self._path(key)
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise OutputError.of(path, error) from error
        return usage

    def _path(self, key: str) -> str:
        return os.path.join(self._parts, key[:2], key[2:])

    def _make_folder(self) -> None:
        """Makes the folder of parts, if it is not there."""
        self._refuse_planted()
        if not os.path.isdir(self._parts):
            for place in (self.folder, self._parts):
                os.makedirs(place, mode=0o700, exist_ok=True)
            with suppress(FileExistsError), open(os.path.join(self._parts, _TAG_NAME), "x") as tag:
                tag.write(_TAG)

    def _open_parts_folder(self) -> AbstractContextManager[_Folder]:
        """The folder of parts; see `_open_folder`."""
        self._refuse_planted()
        return _open_folder(self._parts)

    def _refuse_planted(self) -> None:
        """Refuses another user's link in the place of the cache; what is below may be ours."""
        try:
            trust.resolve_trusted(self.folder)
        except PermissionError as error:
            raise _FolderError(f"the cache is not used: {error.strerror}; {_ANOTHER}") from error

    def _open_part(self, key: str, path: str, flags: int) -> int:
        """Opens the part of a key and gives its descriptor; an `Opener`.

        Raises:
            _FolderError, _PartError: it is not to be trusted.
            OSError: it cannot be opened.
        """
        with self._open_parts_folder() as parts, parts.open_folder(key[:2]) as folder:
            return folder.open_part(key[2:], flags)

    @contextmanager
    def _try_to_open(self) -> Iterator[_Folder | None]:
        """The folder of parts; None if there is none, or none that is to be trusted."""
        parts = None
        with ExitStack() as stack:
            try:
                parts = stack.enter_context(self._open_parts_folder())
            except _FolderError as error:
                self._note("use", str(error))
            except OSError:
                pass
            yield parts

    def _list_parts(self) -> Iterator[tuple[int, int, str]]:
        """Time of last use, size and key of each part."""
        with self._try_to_open() as parts:
            if parts is None:
                return
            for above in _scan(parts):
                if not _is_folder(above):
                    continue
                with suppress(OSError), parts.open_folder(above.name) as folder:
                    for entry in _scan(folder):
                        with suppress(OSError):
                            info = entry.stat(follow_symlinks=False)
                            yield info.st_atime_ns, info.st_size, above.name + entry.name

    def _note(self, kind: str, text: str) -> None:
        if kind not in self._noted:
            self._noted.add(kind)
            self.notes.append(text)
            logger.info(text)


_BY_DESCRIPTOR = {os.open, os.mkdir, os.unlink, os.rename} <= os.supports_dir_fd and {
    os.scandir,
    os.utime,
} <= os.supports_fd
"""Whether the system looks into a folder that is open, whatever its name leads to by now."""

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER_ONLY = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_DIRECTORY", 0) | _NO_LINK


class _FolderError(SourceError):
    """A folder of the cache is not to be trusted."""


class _PartError(SourceError):
    """A part is not to be trusted."""


class _Folder(NamedTuple):
    """A folder that is to be trusted.

    Attributes:
        path: its name, for messages, and where there is no descriptor.
        descriptor: it itself, open; None where the system cannot do that.
    """

    path: str
    descriptor: int | None

    def at(self, name: str) -> str:
        """What functions of `os` are given for something in it, with `descriptor` as `dir_fd`."""
        return os.path.join(self.path, name) if self.descriptor is None else name

    def open_folder(self, name: str) -> AbstractContextManager[_Folder]:
        """A folder in it; see `_open_folder`."""
        return _open_folder(os.path.join(self.path, name), self)

    def open_part(self, name: str, flags: int) -> int:
        """The descriptor of a file in it.

        Raises:
            _PartError: it is not to be trusted.
            OSError: it cannot be opened.
        """
        path = self.at(name)
        info = os.lstat(path) if self.descriptor is None else None
        if info is not None and not stat.S_ISREG(info.st_mode):
            raise _PartError(f"it is {files.describe_kind(info.st_mode)}")
        try:
            flags |= files.READ_ONLY | _NO_LINK
            descriptor = os.open(path, flags, dir_fd=self.descriptor)
        except OSError as error:
            if error.errno in _NO_FILE:
                raise _PartError("it is a link, or no file at all") from error
            raise
        info = os.fstat(descriptor)
        is_file = stat.S_ISREG(info.st_mode)
        why = _explain_distrust(info) if is_file else f"is {files.describe_kind(info.st_mode)}"
        if why:
            os.close(descriptor)
            raise _PartError(f"it {why}")
        return descriptor

    @contextmanager
    def new_file(self) -> Iterator[tuple[FileIO, str]]:
        """A new file in it, and its name; it is gone if the block fails."""
        name = f"{_TEMPORARY}{os.urandom(8).hex()}"

        def create(path: str, flags: int) -> int:
            return os.open(self.at(name), flags, 0o600, dir_fd=self.descriptor)

        try:
            with open(os.path.join(self.path, name), "xb", buffering=0, opener=create) as file:
                yield file, self.at(name)
        except BaseException:
            with suppress(OSError):
                os.unlink(self.at(name), dir_fd=self.descriptor)
            raise


_NO_FILE = (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.ENODEV)
"""What systems say of a link that is not to be followed, of a socket and of a missing device."""


@contextmanager
def _open_folder(path: str, above: _Folder | None = None) -> Iterator[_Folder]:
    """A folder, open as long as the block lasts.

    Args:
        path: its name.
        above: the folder that it is in, if that is to be trusted itself.

    Raises:
        _FolderError: it is not to be trusted.
        OSError: it cannot be opened.
    """
    descriptor = None
    try:
        if _BY_DESCRIPTOR:
            name = path if above is None else os.path.basename(path)
            above_it = None if above is None else above.descriptor
            descriptor = os.open(name, _FOLDER_ONLY, dir_fd=above_it)
            info = os.fstat(descriptor)
        else:
            info = os.lstat(path)
            if not stat.S_ISDIR(info.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as error:
        if error.errno in (errno.ENOTDIR, *_NO_FILE) and os.path.lexists(path):
            raise _FolderError(f"the cache is not used: {path} is no folder; {_ANOTHER}") from error
        raise
    try:
        why = _explain_distrust(info)
        if why:
            raise _FolderError(
                f"the cache is not used: {path} {why}; if it is yours, make it yours alone with "
                f"chmod -R go-w, or {_ANOTHER}"
            )
        yield _Folder(path, descriptor)
    finally:
        if descriptor is not None:
            os.close(descriptor)


_ANOTHER = f"choose another folder with --cache-dir or {_ENV_FOLDER}"


def _explain_distrust(info: os.stat_result) -> str:
    """Why something is not to be trusted, for people; empty if it is."""
    if not hasattr(os, "geteuid"):
        return ""
    if info.st_uid != os.geteuid():
        return f"belongs to another user ({info.st_uid}, and this is {os.geteuid()})"
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written to by others (mode {stat.S_IMODE(info.st_mode):o})"
    return ""


def _remove_stale(parts: _Folder) -> None:
    """Removes the temporary files that have lost their processes."""
    for entry in _scan(parts):
        if entry.name.startswith(_TEMPORARY):
            with suppress(OSError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_SECONDS:
                    os.unlink(parts.at(entry.name), dir_fd=parts.descriptor)


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


class _Description(NamedTuple):
    """What stands in front of a part's data.

    Attributes:
        tallies: what was done to its members.
        directory: their central directory headers.
        offset: where the data begin in the file.
        length: the bytes of the data.
        crc: their CRC-32.
    """

    tallies: dict[str, Tally]
    directory: bytes
    offset: int
    length: int
    crc: int


def _read_description(file: BinaryIO, key: str, size: int) -> _Description:
    """What a file of `size` bytes says of its part; anything may stand there.

    Raises:
        ValueError: it is no part, is damaged, or belongs to another key.
        Exception: its JSON is not what we write.
    """
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise ValueError("it is not whole")
    magic, text_length, directory_length, length, crc = _HEAD.unpack(head)
    offset = _HEAD.size + text_length + directory_length + _CRC.size
    if magic != _MAGIC or offset + length != size:
        raise ValueError("it is not whole")
    if text_length > _MOST_DESCRIPTION or directory_length > _MOST_HEADERS:
        raise ValueError("its description is too long")
    described = file.read(text_length + directory_length)
    if _CRC.unpack(file.read(_CRC.size))[0] != checksums.crc32(described, checksums.crc32(head)):
        raise ValueError("its description is damaged")
    text = json.loads(described[:text_length])
    if text["key"] != key:
        raise ValueError("it belongs to another key")
    tallies = {coder: Tally(*map(int, sums)) for coder, sums in text["tallies"].items()}
    if any(number < 0 for tally in tallies.values() for number in tally):
        raise ValueError("its numbers are negative")
    return _Description(tallies, described[text_length:], offset, length, crc)


def _write_part(
    file: FileIO,
    key: str,
    tallies: Mapping[str, Tally],
    directory: bytes,
    length: int,
    data: Iterable[bytes],
) -> None:
    text = json.dumps({"key": key, "tallies": tallies}).encode()
    file.seek(_HEAD.size + len(text) + len(directory) + _CRC.size)
    crc = 0
    for chunk in data:
        _write_all(file, chunk)
        crc = checksums.crc32(chunk, crc)
    head = _HEAD.pack(_MAGIC, len(text), len(directory), length, crc)
    description = head + text + directory
    file.seek(0)
    _write_all(file, description + _CRC.pack(checksums.crc32(description)))


def _write_all(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # some file systems' scans do not tell, and then they are asked
        return False


def _scan(folder: _Folder) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder.path if folder.descriptor is None else folder.descriptor) as entries:
            return list(entries)
    except OSError:
        return []
