"""How far an archive has come, told to whoever wants to know. Renders nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from parazip.model import Found, Member, Pack


class Progress(NamedTuple):
    """A moment in the making of an archive.

    The totals grow while the sources are still being looked through, which is soon over.

    Attributes:
        members: members that are finished, of `members_total`.
        bytes: uncompressed bytes that are finished, of `bytes_total`.
        bytes_out: bytes written so far.
        seconds: since the archive was begun.
        current: name of the member that was written last or is being written.
    """

    members: int
    members_total: int
    bytes: int
    bytes_total: int
    bytes_out: int
    seconds: float
    current: str


Sink: TypeAlias = Callable[[Progress], None]
"""Called on one thread at a time, some hundred times a second at most is usual.

It must return soon; an exception from it ends the archive like any other error.
"""


class Counter:
    """Counts what is found and what is finished, and tells a sink.

    Attributes:
        members_total: members found so far.
        bytes_total: their uncompressed bytes.
        align_total: how many of them are to be aligned, if they are stored.
    """

    def __init__(self, sink: Sink | None) -> None:
        self.members_total = 0
        self.bytes_total = 0
        self.align_total = 0
        self._sink = sink
        self._members = 0
        self._bytes = 0
        self._began = time.monotonic()

    @property
    def is_heard(self) -> bool:
        """Whether there is a sink."""
        return self._sink is not None

    def counted(self, members: Iterable[Found]) -> Iterator[Found]:
        """The same members, each of them one more that is to be done."""
        for member in members:
            self.bytes_total += member.size
            if isinstance(member, Pack):
                self.members_total += member.members
            else:
                self.members_total += 1
                if member.align > 1:
                    self.align_total += 1
            yield member

    def count(self, members: Sequence[Member]) -> None:
        """So many more members are to be done."""
        self.members_total += len(members)
        self.bytes_total += sum([member.size for member in members])
        self.align_total += sum([member.align > 1 for member in members])

    def correct(self, size: int) -> None:
        """What is finished has `size` more bytes than was thought when it was counted."""
        self.bytes_total += size
        self._bytes += size

    def advance(self, members: int, size: int, bytes_out: int, current: str) -> None:
        """`members` more members and `size` more uncompressed bytes are written."""
        self._members += members
        self._bytes += size
        if self._sink is not None:
            self._sink(
                Progress(
                    self._members,
                    self.members_total,
                    self._bytes,
                    self.bytes_total,
                    bytes_out,
                    time.monotonic() - self._began,
                    current,
                )
            )
