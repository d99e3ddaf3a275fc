"""The stretches of a member that parazip has cut: pieces between restarts, each for itself.

A deflate stream of a large member has a sync flush where a restart may be. What stands between two
of them can be inflated without the rest, if it is a stretch; `inflating.inflate_stretch` proves it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Protocol, TypeAlias

from parazip.codecs import deflating, inflating
from parazip.codecs.sizes import RESTART
from parazip.workers.line import Line

_LONGEST = RESTART + (RESTART >> 6)
"""Compressed bytes beyond which a stretch is none of those that parazip makes."""

_STRETCH = _LONGEST + RESTART
"""Bytes that a stretch takes in memory, compressed and inflated."""

_READ_SIZE = 1 << 20
"""Compressed bytes that are read at once."""

Compressed: TypeAlias = list[memoryview]


class Source(Protocol):
    """Compressed bytes, front to back."""

    def read(self, size: int, /) -> bytes:
        """The next bytes; none at the end."""


def inflate_stretches(
    source: Source, left: int, size: int, line: Line
) -> Generator[tuple[int, inflating.Stretch], None, None]:
    """The stretches of a member, inflated side by side: the compressed size and contents of each.

    A marker may be contents by chance. So a stretch counts only if it is proven to end where the
    next one begins, and no other one counts behind one that is not. The last one is not given.

    Args:
        source: stands where the member's compressed bytes begin; more may be read than is given.
        left: how many of them there are.
        size: how many bytes the contents are.
        line: who inflates.
    """
    most = max(1, min(line.jobs + 4, line.budget.limit // _STRETCH))
    stretches = _StretchSource(source, left, most)
    with line.open_lane(
        inflating.inflate_stretch, cost=lambda _: _STRETCH, weight=lambda _: _STRETCH
    ) as lane:
        for data, stretch in lane.through(stretches):
            stretches.in_flight -= 1
            if stretch is None or size <= RESTART:
                return
            size -= RESTART
            yield sum(map(len, data)), stretch


class _StretchSource:
    """The stretches of a member, compressed; it pauses while enough of them are in flight.

    Attributes:
        in_flight: how many were given that are still in memory. Whoever is done with one counts it
            off.

    Args:
        source: stands where the member's compressed bytes begin.
        left: how many of them there are.
        most: how many stretches are enough.
    """

    def __init__(self, source: Source, left: int, most: int) -> None:
        self.in_flight = 0
        self._most = most
        self._stretches = split_into_stretches(source, left)

    def __iter__(self) -> _StretchSource:
        return self

    def __next__(self) -> Compressed:
        if self.in_flight == self._most:
            raise StopIteration  # a lane asks again, when it has results
        stretch = next(self._stretches)
        self.in_flight += 1
        return stretch


def split_into_stretches(source: Source, left: int) -> Iterator[Compressed]:
    """Each stretch but the last; nothing more after one that is too long."""
    marker = deflating.SYNC_MARKER
    stretch: Compressed = []
    size = 0
    # The last bytes before a chunk, of which some may be the beginning of a marker. Nothing is
    # joined but them: a stretch is handed on in the pieces in which it was read.
    before = b""
    while size <= _LONGEST and (chunk := source.read(min(_READ_SIZE, left))):
        left -= len(chunk)
        view = memoryview(chunk)
        start = 0
        end = _find_end(marker, before + chunk[: len(marker) - 1]) - len(before)
        if end <= 0:
            end = _find_end(marker, chunk)
        while end:
            yield [*stretch, view[start:end]]
            stretch, size, before = [], 0, b""
            start, end = end, _find_end(marker, chunk, end)
        stretch.append(view[start:])
        size += len(chunk) - start
        before = (before + view[start:][1 - len(marker) :])[1 - len(marker) :]


def _find_end(marker: bytes, data: bytes, start: int = 0) -> int:
    """Where `marker` ends in `data`; 0 if it is not there."""
    begin = data.find(marker, start)
    return begin + len(marker) if begin >= 0 else 0
