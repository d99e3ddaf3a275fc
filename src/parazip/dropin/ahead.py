"""Gives the contents of large members, inflated by other threads ahead of being asked for.

What `zipfile` would make of a sound member is what comes out. Where other threads have done a part,
the member's reader is told of it, and it goes on from there. At anything odd there is a
`DoubtError`, and who asked for the member reads it once more, from its beginning, without this.
"""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import IO, Any, Self, TypeAlias, cast

from parazip.codecs import checksums, deflating, inflating
from parazip.codecs.sizes import BLOCK, RESTART, WINDOW
from parazip.dropin.member import WHOLE, HoldingReader, MemberReader
from parazip.workers.line import Lane, Line

_AHEAD = 1 << 20

_LONGEST = RESTART + (RESTART >> 6)
"""Compressed bytes beyond which a stretch is none of those that are made here."""

STRETCH = _LONGEST + RESTART
"""Bytes that a stretch takes in memory, compressed and inflated."""

_BITE = 1 << 20

_FIRST_BLOCK = BLOCK + (BLOCK >> 4)
"""Bytes in which a sync flush must be if the member was cut."""

_Compressed: TypeAlias = list[memoryview]


class DoubtError(Exception):
    """A member may be damaged: what is to be made of it, `MemberReader` has to tell."""


def is_plain(file: Any) -> bool:
    """Whether a member that was opened is one that can be read in other ways than zipfile's."""
    return type(file) is HoldingReader


def read_on_one_core(file: Any, copies: bool) -> Any:
    """The reader of a member that is worked on beside others, from its beginning to its end.

    Args:
        file: what `ZipFile.open` gives.
        copies: whether to inflate while what was inflated is written.
    """
    if not is_plain(file):
        return file
    if file.is_small:
        file.is_all_wanted = True
        return file
    return AheadReader(file) if copies else FastReader(file)


class FastReader:
    """A member of any size, inflated by ISA-L.

    It has what copying a file takes, no more.

    Args:
        file: its reader, which is to be used by nobody else.
        window: the contents before what is still to be read.

    Raises:
        DoubtError: something is odd about it.
    """

    def __init__(self, file: MemberReader, window: bytes = b"") -> None:
        file._decompressor = inflating.FastInflater(window)
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, as many as there are; none at the end."""
        try:
            data = self._file.read(_AHEAD)
            is_sound = bool(data) or self._ends()
        except (zipfile.BadZipFile, inflating.InflateError, EOFError) as error:
            raise DoubtError from error
        if not is_sound:
            raise DoubtError
        return data

    def _ends(self) -> bool:
        """Whether the stream ends where it should."""
        file, inflater = self._file, self._file._decompressor
        if file._left or inflater.eof:
            return not file._left
        tail = file._fileobj.read(min(_BITE, file._compress_left))
        return not inflater.decompress(inflater.unconsumed_tail + tail, 1) and inflater.eof


class AheadReader(FastReader):
    """A member of which a thread inflates the next bytes while the last ones are written.

    Writing takes nearly as long as inflating, so a large member is done in two thirds of the time.
    """

    def __init__(self, file: MemberReader) -> None:
        super().__init__(file)
        line = Line(1, 2 * _AHEAD)
        self._lane: Lane[None, bytes] = line.open_lane(
            lambda _: self._read_next(), cost=lambda _: _AHEAD, weight=len
        )
        self._chunks = self._read_ahead()

    def _read_next(self) -> bytes:
        return super().read()

    def _read_ahead(self) -> Generator[bytes, None, None]:
        self._lane.put(None)
        self._lane.put(None)  # one is made while the other one is used
        for _, chunk in self._lane.take_all():
            if not chunk:
                return
            self._lane.put(None)
            yield chunk

    def __exit__(self, *error: object) -> None:
        self._chunks.close()
        self._lane.close()
        super().__exit__(*error)

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, as many as there are; none at the end."""
        return next(self._chunks, b"")


class StretchReader:
    """A member of which threads inflate the stretches between its restarts, side by side.

    The last of them, and all from the first that does not stand for itself, are left to the
    member's reader. Like `FastReader`, it has what copying a file takes.

    Args:
        file: the member's reader, which is to be used by nobody else.
        line: who inflates.
    """

    def __init__(self, file: Any, line: Line) -> None:
        self._file = file
        self._chunks = self._inflated(line)

    def __enter__(self) -> StretchReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._chunks.close()
        self._file.close()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, as many as there are; none at the end."""
        return next(self._chunks, b"")

    def _inflated(self, line: Line) -> Generator[bytes, None, None]:
        file = self._file
        place = file._fileobj.tell()
        window = b""
        most = max(1, min(line.jobs + 4, line.budget.limit // STRETCH))
        restarts = _Restarts(file._fileobj, file._compress_left, most)
        with line.open_lane(
            inflating.inflate_stretch,
            cost=lambda _: STRETCH,
            weight=lambda _: STRETCH,
        ) as lane:
            for data, stretch in lane.through(restarts):
                restarts.in_flight -= 1
                if stretch is None or file._left <= RESTART:
                    break
                compressed = sum(map(len, data))
                place += compressed
                file._compress_left -= compressed
                file._left -= RESTART
                file._running_crc = checksums.crc32_combine(file._running_crc, stretch.crc, RESTART)
                for piece in filter(None, stretch.pieces):
                    window = (window + piece[-WINDOW:])[-WINDOW:]
                    yield piece
        file._fileobj.seek(place)
        rest = FastReader(file, window)
        while chunk := rest.read():
            yield chunk


class _Restarts:
    """The stretches of a member, compressed; ends for now while enough of them are in flight.

    Attributes:
        in_flight: how many were given that are still held; who lets go of one counts it off.

    Args:
        source: stands where the member's compressed bytes begin.
        left: how many of them there are.
        most: how many stretches are enough.
    """

    def __init__(self, source: IO[bytes], left: int, most: int) -> None:
        self.in_flight = 0
        self._most = most
        self._stretches = _stretches(source, left)

    def __iter__(self) -> _Restarts:
        return self

    def __next__(self) -> _Compressed:
        if self.in_flight == self._most:
            raise StopIteration
        stretch = next(self._stretches)
        self.in_flight += 1
        return stretch


def _stretches(source: IO[bytes], left: int) -> Iterator[_Compressed]:
    """Each stretch but the last; nothing more after one that is too long."""
    mark = deflating.SYNC_MARKER
    held: _Compressed = []
    size = 0
    seam = b""
    while size <= _LONGEST and (chunk := source.read(min(_BITE, left))):
        left -= len(chunk)
        view = memoryview(chunk)
        start = 0
        end = _after(mark, seam + chunk[: len(mark) - 1]) - len(seam)
        if end <= 0:
            end = _after(mark, chunk)
        while end:
            yield [*held, view[start:end]]
            held, size, seam = [], 0, b""
            start, end = end, _after(mark, chunk, end)
        held.append(view[start:])
        size += len(chunk) - start
        seam = (seam + view[start:][1 - len(mark) :])[1 - len(mark) :]


def _after(mark: bytes, data: bytes, start: int = 0) -> int:
    """Where `mark` ends in `data`; 0 if it is not there."""
    found = data.find(mark, start)
    return found + len(mark) if found >= 0 else 0


def has_restarts(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """Whether a member is large and seems to have stretches; what is odd about it is no matter."""
    if info.file_size <= WHOLE:
        return False
    try:
        with archive.open(info) as opened:
            file: Any = opened
            if not is_plain(file):
                return False
            source, left = file._fileobj, file._compress_left
            place = source.tell()
            if deflating.SYNC_MARKER[:4] not in source.read(min(_FIRST_BLOCK, left)):
                return False
            source.seek(place)
            return next(_stretches(source, left), None) is not None
    except Exception:  # in its turn it is found again
        return False


class _Here(threading.local):
    """What this thread is about to open."""

    reader: Callable[[Any], Any] | None = None


_here = _Here()


@contextmanager
def opening_with(reader: Callable[[Any], Any]) -> Iterator[None]:
    """In this block the member that this thread opens next is given `reader`."""
    _here.reader = reader
    try:
        yield
    finally:
        _here.reader = None


def open_reader(file: IO[bytes]) -> IO[bytes]:
    """A member that was opened for reading, by the reader that this thread is to have."""
    reader, _here.reader = _here.reader, None
    return cast("IO[bytes]", reader(file)) if reader else file
