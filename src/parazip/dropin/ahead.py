"""Readers whose contents other threads inflate before they are asked for. For large members.

They give what `zipfile` makes of a sound member. What other threads have inflated is noted in the
member's own reader, as if it had given it, and that goes on behind it. If anything is odd there is
a `DoubtError`, and whoever asked for the member reads it again, from its beginning, without this.
"""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import IO, Any, Self, cast

from parazip.codecs import checksums, deflating, inflating
from parazip.codecs.sizes import BLOCK, RESTART, WINDOW
from parazip.dropin.inside import MemberReader
from parazip.dropin.member import WHOLE, HoldingReader
from parazip.extraction.stretches import inflate_stretches, split_into_stretches
from parazip.workers.line import Lane, Line

_CHUNK = 1 << 20
"""Contents that are given at once. Two chunks are in memory while one is written."""

_READ_SIZE = 1 << 20
"""Compressed bytes that are read at once."""

_FIRST_BLOCK = BLOCK + (BLOCK >> 4)
"""Bytes in which a sync flush must be if the member was cut."""


class DoubtError(Exception):
    """A member may be damaged. What it holds all the same, only `MemberReader` can tell."""


def is_plain(file: Any) -> bool:
    """Whether a member that was opened is one that can be read in other ways than zipfile's."""
    return type(file) is HoldingReader


def read_on_one_core(file: Any, writes: bool) -> Any:
    """The reader of a member that is worked on beside others, from its beginning to its end.

    Args:
        file: what `ZipFile.open` gives.
        writes: whether as much is written as is read, so that reading ahead pays.
    """
    if not is_plain(file):
        return file
    if file.is_small:
        file.is_all_wanted = True
        return file
    return AheadReader(file) if writes else FastReader(file)


class FastReader:
    """A member of any size, inflated by ISA-L.

    It has the methods that copying a file takes, no more.

    Args:
        file: its reader, which is to be used by nobody else.
        window: the last contents before those that are still to be read.

    Raises:
        DoubtError: something is odd about it.
    """

    def __init__(self, file: MemberReader, window: bytes = b"") -> None:
        file.inflater = inflating.FastInflater(window)
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, as many as there are; none at the end."""
        try:
            data = self._file.read(_CHUNK)
            is_sound = bool(data) or self._ends_rightly()
        except (zipfile.BadZipFile, inflating.InflateError, EOFError) as error:
            raise DoubtError from error
        if not is_sound:
            raise DoubtError
        return data

    def _ends_rightly(self) -> bool:
        """Whether the stream ends where it should."""
        file, inflater = self._file, self._file.inflater
        if file.contents_left or inflater.eof:
            return not file.contents_left
        # All contents are there, but the stream's end has not been read: it may be some bytes more.
        tail = file.source.read(min(_READ_SIZE, file.compressed_left))
        return not inflater.decompress(inflater.unconsumed_tail + tail, 1) and inflater.eof


class AheadReader(FastReader):
    """A member of which a thread inflates the next bytes while the last ones are written.

    Writing takes nearly as long as inflating, so a large member is done in two thirds of the time.
    """

    def __init__(self, file: MemberReader) -> None:
        super().__init__(file)
        line = Line(1, 2 * _CHUNK)
        self._lane: Lane[None, bytes] = line.open_lane(
            lambda _: self._read_next(), cost=lambda _: _CHUNK, weight=len
        )
        self._chunks = self._read_ahead()

    def _read_next(self) -> bytes:
        return super().read()

    def _read_ahead(self) -> Generator[bytes, None, None]:
        # Two tasks, so that one chunk is inflated while the other one is used. Never two at once:
        # the line has one thread, as both are read by the same reader.
        self._lane.put(None)
        self._lane.put(None)
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
    """A member whose stretches, between its restarts, threads inflate side by side.

    The last stretch is left to the member's reader; so are the first one that does not stand for
    itself and all behind it. Like `FastReader`, it has the methods that copying a file takes.

    Args:
        file: the member's reader, which is to be used by nobody else.
        line: who inflates.
    """

    def __init__(self, file: Any, line: Line) -> None:
        self._file = file
        self._chunks = self._inflate(line)

    def __enter__(self) -> StretchReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._chunks.close()
        self._file.close()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, as many as there are; none at the end."""
        return next(self._chunks, b"")

    def _inflate(self, line: Line) -> Generator[bytes, None, None]:
        file = self._file
        offset = file.source.tell()
        window = b""
        stretches = inflate_stretches(file.source, file.compressed_left, file.contents_left, line)
        with closing(stretches):
            for length, stretch in stretches:
                # The member's reader is to stand behind the stretch before its contents are given:
                # if it goes on from here, what it has to compare at the end is right.
                offset += length
                file.compressed_left -= length
                file.contents_left -= RESTART
                file.running_crc = checksums.crc32_combine(file.running_crc, stretch.crc, RESTART)
                for piece in filter(None, stretch.pieces):
                    window = (window + piece[-WINDOW:])[-WINDOW:]
                    yield piece
        # Stretches were read ahead; what they have read in vain is read again.
        file.source.seek(offset)
        rest = FastReader(file, window)
        while chunk := rest.read():
            yield chunk


def has_restarts(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """Whether a member is large and seems to have stretches; False if anything is odd about it."""
    if info.file_size <= WHOLE:
        return False
    try:
        with archive.open(info) as opened:
            file: Any = opened
            if not is_plain(file):
                return False
            source, left = file.source, file.compressed_left
            begin = source.tell()
            # Most members have no sync flush at all, and need not be searched further.
            if deflating.SYNC_MARKER[:4] not in source.read(min(_FIRST_BLOCK, left)):
                return False
            source.seek(begin)
            return next(split_into_stretches(source, left), None) is not None
    except Exception:  # whoever reads it comes to it again, and raises it
        return False


class _NextReader(threading.local):
    """How this thread reads the member that it opens next.

    Between who knows that and `ZipFile.open` there is zipfile's own code, which passes nothing on.
    """

    reader: Callable[[Any], Any] | None = None


_next = _NextReader()


@contextmanager
def opening_with(reader: Callable[[Any], Any]) -> Iterator[None]:
    """In this block the member that this thread opens next is read by what `reader` makes of it."""
    _next.reader = reader
    try:
        yield
    finally:
        _next.reader = None


def open_reader(file: IO[bytes]) -> IO[bytes]:
    """What reads a member that was opened: what `opening_with` says, or `file` itself."""
    reader, _next.reader = _next.reader, None
    return cast("IO[bytes]", reader(file)) if reader else file
