"""The producer that recalls: finished parts, kept on disk and found by what determines them.

A key is the hash of everything that has a say in a part's bytes: names, dates and attributes of
its members, the identity of their contents, the coders with their libraries' versions and CPU,
and the versions of parazip and of this layout. So what is found is what would be made; nothing is
ever out of date, it is only not found any more.

The layout, version 1: a folder `parts-1` with one file for each part, `<2 digits>/<62 digits>` of
the key. A file is a head (magic, lengths of what follows, CRC-32 of the data), a description in
JSON (key and tallies), the part's central directory headers, a CRC-32 over all these, and the
part's data. It is written under another name and renamed, so what has its name is whole, and two
processes may write the same one: they write the same bytes. Nothing is locked. A part is used
when the description fits its key and the data, checked on their way into the archive, have their
CRC-32; otherwise it is thrown away and made again.

The time of the last use is a file's access time, set by hand. When parts were added and all
together take more than the limit, those that were used longest ago go.

Where members are aligned, a part's bytes depend on where it lands. So a key tells what is to be
aligned, and a part in which something was is not kept.

A file that has just been changed may change again without its times showing it, as clocks tick:
of such files no part is kept (as git does not believe its index of them).
"""

from __future__ import annotations

import hashlib
import json
import logging
import marshal
import os
import shutil
import stat
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from io import FileIO
from typing import NamedTuple, TypeAlias

from parazip import codecs, files
from parazip.errors import OutputError, SettingsError
from parazip.model import File, Member, Packed, Part, Range, Recipe, Tally, parse_size
from parazip.version import __version__

LIMIT = 5 << 30
"""Bytes that all parts may take, unless told otherwise."""

_ENV_FOLDER = "PARAZIP_CACHE_DIR"
_ENV_LIMIT = "PARAZIP_CACHE_SIZE"
_VERSION = "parts-1"
_MAGIC = b"parazip1"
_HEAD = struct.Struct("<8s2IQI")
_CRC = struct.Struct("<I")
_TEMPORARY = "tmp-"
_TAG_NAME = "CACHEDIR.TAG"
_TICK_NS = 100_000_000
_COARSE_TICK_NS = 2_000_000_000
_SECOND_NS = 1_000_000_000
_STALE_SECONDS = 3600
_MOST_DESCRIPTION = 64 << 10
"""Bytes of a part's description: a key and a few sums. As JSON they take thirty times as many."""
_MOST_HEADERS = 64 << 20
"""Bytes of its headers, which are in memory at once: those of half a million members."""

_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# parazip keeps finished parts of archives here; it is safe to delete them.\n"
)

logger = logging.getLogger(__name__)


class Kept(NamedTuple):
    """A part that was kept, and the CRC-32 of its data, which is not checked yet."""

    part: Part
    crc: int


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
        self.folder = os.path.abspath(chosen) if chosen else _user_folder()
        self.limit = _limit(limit)
        self.notes: list[str] = []
        self._parts = os.path.join(self.folder, _VERSION)
        self._added = False
        self._noted: set[str] = set()
        self._trusted = self._is_ours()
        self._usable = self.limit > 0 and self._trusted

    def find(self, key: str) -> Kept | None:
        """The part that was kept under `key`."""
        if not self._trusted:
            return None
        path = self._path(key)
        try:
            with open(path, "rb", opener=_open_waiting_for_nobody) as file:
                info = os.fstat(file.fileno())
                if not stat.S_ISREG(info.st_mode):
                    raise ValueError("it is no file")  # noqa: TRY301 - all misfits end alike
                head = file.read(_HEAD.size)
                if len(head) < _HEAD.size:
                    raise ValueError("it is not whole")  # noqa: TRY301 - all misfits end alike
                magic, description, directory, length, crc = _HEAD.unpack(head)
                begin = _HEAD.size + description + directory + _CRC.size
                if magic != _MAGIC or begin + length != info.st_size:
                    raise ValueError("it is not whole")  # noqa: TRY301 - all misfits end alike
                if description > _MOST_DESCRIPTION or directory > _MOST_HEADERS:
                    raise ValueError("its description is too long")  # noqa: TRY301
                told = file.read(description + directory)
                if _CRC.unpack(file.read(_CRC.size))[0] != codecs.crc32(told, codecs.crc32(head)):
                    raise ValueError("its description is damaged")  # noqa: TRY301
            text = json.loads(told[:description])
            if text["key"] != key:
                raise ValueError("it belongs to another key")  # noqa: TRY301
            tallies = {coder: Tally(*map(int, sums)) for coder, sums in text["tallies"].items()}
            if any(number < 0 for tally in tallies.values() for number in tally):
                raise ValueError("its numbers are negative")  # noqa: TRY301
        except (FileNotFoundError, NotADirectoryError):
            return None
        except IsADirectoryError:
            self.discard(key, "it is a folder")
            return None
        except OSError as error:
            self._note("use", f"the cache cannot be read: {error.strerror or error}: {path}")
            return None
        except Exception as error:
            self.discard(key, str(error))
            return None
        with suppress(OSError):
            os.utime(path, ns=(time.time_ns(), info.st_mtime_ns))
        file_range = Range(files.found(path, info)._replace(ctime_ns=0), begin, length)
        return Kept(Part((file_range,), told[description:], tallies), crc)

    def discard(self, key: str, why: str) -> None:
        """Throws away what was kept under `key`, as it is of no use."""
        path = self._path(key)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return  # another process threw it away meanwhile, as it may
        except OSError:
            shutil.rmtree(path, ignore_errors=True)
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
        path = self._path(key)
        temporary = os.path.join(self._parts, f"{_TEMPORARY}{os.urandom(8).hex()}")
        try:
            self._make_folders(os.path.dirname(path))
            with open(temporary, "xb", buffering=0) as file:
                _write(file, key, tallies, directory, length, data)
            os.replace(temporary, path)
            self._added = True
        except BaseException as error:
            with suppress(OSError):
                os.unlink(temporary)
            if not isinstance(error, OSError):
                raise
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
        sizes = [size for _, size, _ in self._files()]
        return Usage(len(sizes), sum(sizes))

    def prune(self, limit: int) -> Usage:
        """Throws away what was used longest ago, until the rest takes at most `limit` bytes.

        Also what killed processes left half written. Gives what was thrown away.
        """
        if not self._trusted:
            return Usage(0, 0)
        self._remove_stale()
        kept = sorted(self._files())
        size = sum(size for _, size, _ in kept)
        parts = freed = 0
        for _, length, path in kept:
            if size - freed <= limit:
                break
            with suppress(OSError):
                os.unlink(path)
                parts += 1
                freed += length
        return Usage(parts, freed)

    def clear(self) -> Usage:
        """Throws away all parts. Gives what that was.

        Raises:
            OutputError: something cannot be deleted.
        """
        if not self._trusted:
            return Usage(0, 0)
        usage = self.usage()
        shutil.rmtree(self._parts, ignore_errors=True)  # other processes may be deleting, too
        for _, _, path in self._files():
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise OutputError.of(path, error) from error
        return usage

    def _is_ours(self) -> bool:
        """Whether nobody else can put parts there: what is recalled ends up in our archives."""
        try:
            info = os.lstat(self._parts)
        except OSError:
            return True  # there is nothing in it yet
        if not stat.S_ISDIR(info.st_mode):
            why = f"{_VERSION} in it is no folder"  # a link may lead to anything
        elif hasattr(os, "geteuid") and info.st_uid != os.geteuid():
            why = "it is another user's"
        elif hasattr(os, "geteuid") and info.st_mode & stat.S_IWOTH:
            why = "anyone may write there"
        else:
            return True
        self._note("use", f"the cache {self.folder} is not used: {why}")
        return False

    def _path(self, key: str) -> str:
        return os.path.join(self._parts, key[:2], key[2:])

    def _make_folders(self, folder: str) -> None:
        if not os.path.isdir(self._parts):
            for place in (self.folder, self._parts):
                os.makedirs(place, mode=0o700, exist_ok=True)
            with suppress(FileExistsError), open(os.path.join(self._parts, _TAG_NAME), "x") as tag:
                tag.write(_TAG)
        os.makedirs(folder, mode=0o700, exist_ok=True)

    def _files(self) -> Iterator[tuple[int, int, str]]:
        """Time of last use, size and path of each part."""
        for folder in _scan(self._parts) if self._trusted else ():
            for entry in _scan(folder.path) if folder.is_dir(follow_symlinks=False) else ():
                with suppress(OSError):
                    info = entry.stat(follow_symlinks=False)
                    yield info.st_atime_ns, info.st_size, entry.path

    def _remove_stale(self) -> None:
        """A temporary file that nobody has written to for an hour has lost its process."""
        for entry in _scan(self._parts):
            if entry.name.startswith(_TEMPORARY):
                with suppress(OSError):
                    if time.time() - entry.stat().st_mtime > _STALE_SECONDS:
                        os.unlink(entry.path)

    def _note(self, kind: str, text: str) -> None:
        if kind not in self._noted:
            self._noted.add(kind)
            self.notes.append(text)
            logger.info(text)


def _open_waiting_for_nobody(path: str, flags: int) -> int:
    """Opens a file; where somebody has put a pipe, it does not wait for a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))


def _user_folder() -> str:
    import platformdirs

    return platformdirs.user_cache_dir("parazip", appauthor=False)


def _limit(given: int | str | None) -> int:
    if isinstance(given, int):
        return given
    text = given or os.environ.get(_ENV_LIMIT)
    try:
        return parse_size(text) if text else LIMIT
    except SettingsError as error:
        what = "the cache size" if given else _ENV_LIMIT
        raise SettingsError(f"{what} is wrong: {error}") from error


Identity: TypeAlias = Callable[[File], object]
"""What tells a file's contents from all others, as a plain value; None if that is not certain."""


def by_stat(file: File) -> object:
    """Size, times and inode of a file, whatever its path."""
    return file[1:] if _is_settled(file) else None


def by_content(file: File) -> object:
    """A hash of a file's bytes; raises what `files.digest` raises."""
    return files.digest(file) if _is_settled(file) else None


def _is_settled(file: File) -> bool:
    """Whether a change from now on would show in the times of a file."""
    changed = max(file.mtime_ns, file.ctime_ns)
    age = time.time_ns() - changed
    return age > (_TICK_NS if changed % _SECOND_NS else _COARSE_TICK_NS)


def key(members: Iterable[Member], recipe: Recipe, *more: object, identity: Identity) -> str:
    """Names a part by all that determines its bytes; empty if that is not certain.

    Args:
        members: as they are to be put in.
        recipe: how they are compressed.
        more: plain values that the bytes depend on besides.
        identity: what tells the contents of their files from all others.
    """
    facts = []
    for name, source, attributes, date, store, align in members:
        entry: object = None
        if isinstance(source, bytes):
            known: object = hashlib.sha256(source).digest() if source else b""
        elif isinstance(source, Packed):
            known = identity(source.archive)
            told, record, end = source.entry
            entry = told, tuple(record), end
        else:
            assert isinstance(source, File)  # whether a twin is one, only reading it would tell
            known = identity(source)
        if known is None:
            return ""
        facts.append((name, attributes, date, store, align, known, entry))
    how = repr((_VERSION, __version__, _codec_versions(), recipe, more))
    # Version 2 of marshal is the last one in which equal values always have equal bytes.
    return hashlib.sha256(marshal.dumps((how, facts), 2)).hexdigest()


_codec_versions = lru_cache(codecs.versions)


def _write(
    file: FileIO,
    key: str,
    tallies: Mapping[str, Tally],
    directory: bytes,
    length: int,
    data: Iterable[bytes],
) -> None:
    told = json.dumps({"key": key, "tallies": tallies}).encode()
    lengths = (len(told), len(directory), length)
    begin = _HEAD.size + len(told) + len(directory) + _CRC.size
    file.seek(begin)
    crc = 0
    for chunk in data:
        _write_all(file, chunk)
        crc = codecs.crc32(chunk, crc)
    head = _HEAD.pack(_MAGIC, *lengths, crc)
    file.seek(0)
    front = head + told + directory
    _write_all(file, front + _CRC.pack(codecs.crc32(front)))


def _write_all(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _scan(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
