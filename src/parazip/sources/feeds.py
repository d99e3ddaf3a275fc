"""Contents that come as somebody iterates: they are read once, in order, on the caller's thread.

What a program iterates over may belong to its thread, as a connection to a database does, and the
next member may be another view of what the one before is read from. So a feed is read to its end
before the next member is asked for. One of up to a block becomes the bytes that it gave; of a
longer one no more is in memory than the blocks that are on their way. A feed may be slow, and who
waits for the archive is not to wait for more than a block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from parazip.codecs.sizes import BLOCK, WINDOW
from parazip.errors import ParazipError, SettingsError, SourceError
from parazip.format.values import Buffer
from parazip.model import Feed, FeedBlock, Found, OpenFeed, Pack


def open_feeds(members: Iterable[Found]) -> Iterator[Found]:
    """The same members; feeds of up to a block as bytes, longer ones open.

    Raises:
        SourceError: a feed has not as many bytes as was told.
        TypeError: it gives something else than bytes.
    """
    for member in members:
        if not isinstance(member, Pack) and isinstance(member.source, Feed):
            reader = _Reader(member.name, member.source)
            head = reader.read(BLOCK + 1)
            is_long = len(head) > BLOCK
            told_size = member.source.told_size
            source = OpenFeed(head, reader.read, told_size) if is_long else head
            yield member._replace(source=source)
        else:
            yield member


def refuse_feeds(members: Iterable[Found]) -> Iterator[Found]:
    """The same members, if there is no feed among them.

    Raises:
        SettingsError: there is one.
    """
    for member in members:
        if not isinstance(member, Pack) and isinstance(member.source, Feed):
            raise SettingsError(
                f"{member.name} can be read only once, so no cache can know it: leave out the cache"
            )
        yield member


def cut_feed(feed: OpenFeed) -> Iterator[tuple[int, FeedBlock]]:
    """The blocks of a long feed and where each begins, as they come."""
    held, at = feed.head, 0  # a byte more than a block tells whether it is the last
    start, window = 0, b""
    is_last = False
    while not is_last:
        if len(held) - at <= BLOCK:
            held, at = held[at:] + feed.rest(BLOCK + 1 - (len(held) - at)), 0
        data = held[at : at + BLOCK]
        at += len(data)
        end = start + len(data)
        is_last = at == len(held)
        size = feed.told_size or (end if is_last else end + 1)
        yield start, FeedBlock(window, data, size, feed.size, feed.told_size)
        start, window = end, data[-WINDOW:]


_JOINED = 256
"""Chunks that are joined at once, where they are short."""


class _Reader:
    """Reads a feed in pieces of the size that is asked for."""

    def __init__(self, name: str, feed: Feed) -> None:
        self._name = name
        self._chunks = iter(feed.chunks)
        self._told_size = feed.told_size
        self._rest = memoryview(b"")
        self._come = 0

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end."""
        pieces: list[Buffer] = [self._rest[:size]]
        self._rest = self._rest[size:]
        missing = size - len(pieces[0])
        if missing:
            missing -= self._take_chunks(pieces, missing)
        if missing < 0:
            last = memoryview(pieces.pop())
            pieces.append(last[:missing])
            self._rest = last[missing:]
        return b"".join(pieces)

    def _take_chunks(self, pieces: list[Buffer], missing: int) -> int:
        """Takes chunks until they have as many bytes as are missing; how many they have.

        Of rows there may be millions, so the loop over them has no more in it than it needs; and
        some hundred are joined, as each takes more memory than a short row.
        """
        told = self._told_size
        if told is not None:
            missing = min(missing, told + 1 - self._come)  # one too many is enough to refuse it
        taken = 0
        is_end = False
        while taken < missing and not is_end:
            some: list[Buffer] = []
            try:
                for chunk in islice(self._chunks, _JOINED):
                    data = chunk if type(chunk) is bytes else copy_bytes(self._name, chunk)
                    some.append(data)
                    taken += len(data)
                    if taken >= missing:
                        break
            except Exception as error:
                if not isinstance(error, ParazipError):
                    error.add_note(f"while what {self._name} is made of was read")
                raise
            is_end = not some
            pieces.append(some[0] if len(some) == 1 else b"".join(some))
        self._come += taken
        if told is not None and self._come > told:
            self._refuse("more bytes than")
        if told is not None and is_end and self._come < told:
            self._refuse(f"{self._come:,} bytes, not")
        return taken

    def _refuse(self, what: str) -> None:
        raise SourceError(
            f"cannot put in {self._name}: it has {what} the {self._told_size:,} that were told",
            member=self._name,
        )


def copy_bytes(name: str, chunk: Buffer) -> bytes:
    """A chunk that stays what it is, whatever whoever gave it makes of its buffer."""
    try:
        return bytes(memoryview(chunk))
    except TypeError:
        raise TypeError(f"{name} is to be made of bytes, not of {chunk!r:.60}") from None
