"""Files at URLs, as far as fsspec reaches: found, listed, and read by few requests side by side.

Who opens such a file says which pieces it is going to read. Pieces near each other are one request,
and long ones are several. They are fetched ahead side by side while what has come is read, and no
more than `WINDOW` bytes of them are in memory. What nobody announced is fetched when it is read.

A file must be what it was when it was found (`File.version`: its ETag, its generation, or its
dates). Web servers say so with each answer (`web`). Others are asked once more after the bytes were
taken, as `files` does with those of the system. Each backend of fsspec tries again what it thinks
worth it.

This room is imported when a URL is met, and fsspec with it, by `stores`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from io import RawIOBase
from typing import Any, Protocol

from parazip.errors import (
    BadArchiveError,
    FileError,
    ParazipError,
    SourceChangedError,
    SourceError,
)
from parazip.model import Changes, File, Piece
from parazip.sources import stores

GAP = 64 << 10
"""So many bytes that nobody asked for take less time than another request."""

LARGEST = 4 << 20
"""Bytes of a request, at most."""

WINDOW = 16 << 20
"""Bytes of a file that are fetched ahead, or were and are still in memory."""

_AROUND = 16 << 10
"""Bytes that are fetched before and behind the beginning of what was not announced: who reads a
directory looks at what stands in front of it, too. Who goes on reading gets more each time."""

_MOST_REREAD = 8 << 20
"""Bytes of such in memory."""

_AT_ONCE = 4
_SMALL_AT_ONCE = 16
"""Requests at once: for pieces of a file, and for files that are read whole."""

_TAGS = ("ETag", "etag", "generation", "md5Hash", "content_md5")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")
"""What the backends tell that changes with a file: the first that there is counts."""


class _Store(Protocol):
    """Where files are, and how they are read."""

    def find(self, url: str, changes: Changes) -> File | None:
        """The file at a URL; None if a folder is there."""

    def fetch(self, file: File, begin: int, end: int) -> bytes:
        """The bytes of a file from `begin` to before `end`."""

    def read_whole(self, file: File) -> bytes:
        """All bytes of a file, which must be what it was."""

    def check(self, file: File) -> None:
        """Refuses a file that is not what it was, when its bytes were fetched."""

    def close(self) -> None:
        """Ends what is being fetched, if it can."""


def find(url: str, changes: Changes = "ctime") -> File | None:
    """The file at a URL; None if that is a folder.

    Args:
        url: its URL.
        changes: what shows that it changes; see `File`.

    Raises:
        SourceError: there is none, or it cannot be reached.
    """
    return _open_store(url).find(url, changes)


def list_folder(url: str, changes: Changes = "ctime") -> list[tuple[str, File]]:
    """All files below a folder: their names, relative to it, and what they are; sorted by name.

    Raises:
        SourceError: it cannot be listed.
    """
    with _explaining_errors(url):
        system, path = stores.open_system(url)
        system.invalidate_cache()
        top, base = path.rstrip("/") + "/", url.rstrip("/") + "/"
        found = []
        for place, facts in system.find(path, detail=True).items():
            name = place[len(top) :] if place.startswith(top) else ""
            if name and not name.endswith("/"):  # some stores keep an empty object for a folder
                found.append((name, _describe(base + name, facts, changes)))
        return sorted(found)


@contextmanager
def open_remote(file: File, pieces: Iterable[Piece] = ()) -> Iterator[RemoteFile]:
    """A remote file, open; when the block ends well, it must still be what it was.

    Args:
        file: which.
        pieces: those that will be read.

    Raises:
        SourceError: it cannot be read; any OSError in the block is taken for that.
        SourceChangedError: it is not what it was when it was found.
    """
    store = _open_store(file.path)
    with RemoteFile(store, file, pieces) as opened:
        try:
            yield opened
        except BadArchiveError:  # what was changed may well look damaged
            store.check(file)
            raise
        except FileError:
            raise
        except OSError as error:
            raise SourceError.of(file.path, stores.as_system_error(error)) from error
        if opened.was_read:
            store.check(file)


def read_whole(file: File) -> bytes:
    """All bytes of a remote file; raises what `open_remote` raises."""
    return _open_store(file.path).read_whole(file)


def read_all(files: Sequence[File]) -> list[bytes]:
    """All bytes of some small files, fetched side by side; raises what `open_remote` raises."""
    with ThreadPoolExecutor(min(len(files), _SMALL_AT_ONCE), "parazip-remote") as threads:
        try:
            return [*threads.map(read_whole, files)]
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def plan_requests(pieces: Iterable[Piece], size: int) -> list[Piece]:
    """The requests by which pieces of a file are fetched: in order, and none overlap.

    Args:
        pieces: what will be read.
        size: of the file.
    """
    joined: list[Piece] = []
    for begin, end in sorted(pieces):
        begin, end = max(0, begin), min(end, size)
        if begin >= end:
            continue
        if joined and begin <= joined[-1][1] + GAP:
            begin, end = joined[-1][0], max(end, joined.pop()[1])
        joined.append((begin, end))
    return [
        (at, min(at + LARGEST, end)) for begin, end in joined for at in range(begin, end, LARGEST)
    ]


class RemoteFile(RawIOBase):
    """A remote file that is open. One thread at a time reads it.

    Args:
        store: where it is.
        file: which.
        pieces: what will be read of it.

    Attributes:
        was_read: whether anything of it was fetched.
    """

    def __init__(self, store: _Store, file: File, pieces: Iterable[Piece]) -> None:
        super().__init__()
        self.was_read = False
        self._store = store
        self._file = file
        self._at = 0
        self._requests = plan_requests(pieces, file.size)
        self._begins = [begin for begin, _ in self._requests]
        self._fetched: dict[int, Future[bytes]] = {}  # by the request's number
        self._unannounced: list[tuple[int, bytes]] = []
        self._threads: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """Ends requests that are at work, or waits for them; others are not made."""
        self._store.close()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        self._fetched.clear()
        super().close()

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Goes to an offset, counted from the start."""
        if whence:
            raise ValueError("a remote file seeks from its start only")
        self._at = offset
        return offset

    def tell(self) -> int:
        """Where it stands."""
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Fills a buffer as far as one request's bytes go; nothing at the end of the file."""
        view = memoryview(buffer).cast("B")
        count = min(len(view), self._file.size - self._at)
        if count <= 0:
            return 0
        begin, data = self._find(self._at, count)
        part = memoryview(data)[self._at - begin :][:count]
        view[: len(part)] = part
        self._at += len(part)
        return len(part)

    def count_held_bytes(self) -> int:
        """Bytes of announced pieces that are in memory, or on the way."""
        return sum(map(self._measure, self._fetched))

    def _find(self, at: int, count: int) -> tuple[int, bytes]:
        """Bytes that hold the one at `at`, and where they begin; at best `count` from there on."""
        self.was_read = True
        number = bisect_right(self._begins, at) - 1
        if number >= 0 and at < self._requests[number][1]:
            return self._begins[number], self._take(number)
        for begin, data in self._unannounced:
            if begin <= at < begin + len(data):
                return begin, data
        known = [
            *self._requests,
            *((begin, begin + len(data)) for begin, data in self._unannounced),
        ]
        begin = max([0, at - _AROUND, *(end for _, end in known if end <= at)])
        ahead = _AROUND
        if self._unannounced:
            last, data = self._unannounced[-1]
            if 0 <= at - last - len(data) <= GAP:
                ahead = min(2 * len(data), LARGEST)
        end = min(at + max(count, ahead), self._file.size)
        end = min([end, *(other for other, _ in known if other > at)])
        data = self._store.fetch(self._file, begin, end)
        self._unannounced.append((begin, data))
        while sum(len(piece) for _, piece in self._unannounced[:-1]) > _MOST_REREAD:
            del self._unannounced[0]
        return begin, data

    def _take(self, number: int) -> bytes:
        """The bytes of a request; those that follow are made as far as there is room."""
        behind = sorted(other for other in self._fetched if other < number)
        if number not in self._fetched:
            ahead = sorted((other for other in self._fetched if other > number), reverse=True)
            self._make_room(number, [*behind, *ahead])
            self._ask(number)
        for following in range(number + 1, len(self._requests)):
            if following not in self._fetched:
                if not self._make_room(following, behind):
                    break
                self._ask(following)
        return self._fetched[number].result()

    def _make_room(self, number: int, others: list[int]) -> bool:
        """Whether there is room for the bytes of a request; lets go of others, in turn."""
        room = WINDOW - self._measure(number) - self.count_held_bytes()
        while room < 0 and others:
            other = others.pop(0)
            if other in self._fetched:
                self._fetched.pop(other).cancel()
                room += self._measure(other)
        return room >= 0

    def _measure(self, number: int) -> int:
        begin, end = self._requests[number]
        return end - begin

    def _ask(self, number: int) -> None:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_AT_ONCE, "parazip-remote")
        begin, end = self._requests[number]
        future = self._threads.submit(self._store.fetch, self._file, begin, end)
        self._fetched[number] = future


def _open_store(url: str) -> _Store:
    with _explaining_errors(url):
        system, _ = stores.open_system(url)
        protocols = stores.list_protocols(system)
        if "https" in protocols:
            from parazip.sources.web import WebStore

            return WebStore(system)
        return _S3Store(system) if "s3" in protocols else _AnyStore(system)


class _AnyStore:
    """Files that a file system of fsspec reaches.

    Args:
        system: that.
    """

    def __init__(self, system: Any) -> None:
        self._system = system

    def find(self, url: str, changes: Changes) -> File | None:
        """See `_Store`."""
        facts = self._look_at(url)
        return None if facts.get("type") == "directory" else _describe(url, facts, changes)

    def fetch(self, file: File, begin: int, end: int) -> bytes:
        """See `_Store`."""
        _, path = stores.open_system(file.path)
        with _explaining_errors(file.path):
            data: bytes = self._system.cat_file(path, start=begin, end=end)
        if len(data) != end - begin:
            self.check(file)
            raise SourceChangedError.while_read(file.path, f"it ends at {begin + len(data)}")
        return data

    def read_whole(self, file: File) -> bytes:
        """See `_Store`."""
        data = self.fetch(file, 0, file.size) if file.size else b""
        self.check(file)
        return data

    def check(self, file: File) -> None:
        """See `_Store`."""
        if file.changes == "none":
            return
        now = _describe(file.path, self._look_at(file.path), file.changes)
        if now.size != file.size:
            what = f"it had {file.size} bytes and has {now.size} now"
            raise SourceChangedError.while_read(file.path, what)
        if file.is_watched and now.version != file.version:
            what = f"its version was {file.version} and is {now.version}"
            raise SourceChangedError.while_read(file.path, what)

    def close(self) -> None:
        """Nothing: backends have no way to end a request."""

    def _look_at(self, url: str) -> dict[str, Any]:
        _, path = stores.open_system(url)
        with _explaining_errors(url):
            self._system.invalidate_cache(path)  # what it knew before this call is of no use
            facts: dict[str, Any] = self._system.info(path)
            return facts


class _S3Store(_AnyStore):
    """Objects of S3. Whole ones are asked for by their ETag, so nobody has to look again."""

    def read_whole(self, file: File) -> bytes:
        """See `_Store`. s3fs opens a file as it was listed, and asks for that ETag alone."""
        if not file.is_watched:
            return super().read_whole(file)
        _, path = stores.open_system(file.path)
        with _explaining_errors(file.path):
            try:
                with self._system.open(path, "rb", cache_type="none") as opened:
                    if _describe(file.path, opened.details, file.changes).version == file.version:
                        data: bytes = opened.read()
                        return data
            except OSError:
                self.check(file)
                raise
        return super().read_whole(file)


def _describe(url: str, facts: dict[str, Any], changes: Changes) -> File:
    size = facts.get("size")
    if not isinstance(size, int):
        raise SourceError(f"cannot read {url}: nobody tells how long it is", member=url)
    tag = next((str(facts[name]) for name in _TAGS if facts.get(name)), "")
    moment = next((facts[name] for name in _TIMES if facts.get(name)), 0)
    time_ns = _count_nanoseconds(moment)  # listings may tell it in another way than a look does
    return File(url, size, time_ns, 0, 0, changes, tag or str(time_ns))


def _count_nanoseconds(moment: object) -> int:
    """A time in nanoseconds since 1970, whatever a backend tells it by; 0 if that is not known."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            return 0
    if isinstance(moment, datetime):
        moment = moment.timestamp()
    return int(moment * 10**9) if isinstance(moment, int | float) else 0


@contextmanager
def _explaining_errors(url: str) -> Iterator[None]:
    """Errors of fsspec and its backends in this block are told with the URL."""
    try:
        yield
    except (ParazipError, MemoryError):
        raise
    except Exception as error:
        raise SourceError.of(url, stores.as_system_error(error)) from error
