"""Who makes files of members: threads of a line, and helper processes where they pay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Self

from parazip.codecs import libraries
from parazip.engine.progress import Counter
from parazip.extraction import contents, large, unpacking
from parazip.extraction.unpacking import BATCH, BATCH_MEMBERS, Batch, Item, Place, Unpacker
from parazip.format.end import Read
from parazip.format.values import Buffer, Entry
from parazip.workers.cpus import usable_cpus
from parazip.workers.helpers import Helpers, HelpersClosedError
from parazip.workers.line import line_for

_LARGE = 8 << 20
_LARGE_SHARE = 1.2
"""A larger member of so many shares of all bytes is done sooner on all cores by itself."""

_PER_MEMBER = 25 << 10
"""Bytes that are inflated in the time that all else takes which is done for a member."""

_WORTH_FORKED, _WORTH_FRESH = 4 << 20, 256 << 20
"""Bytes from which on helpers pay: copies of this process, and those that are started afresh."""

_BATCH_COST = 4 * contents.AT_ONCE
"""Bytes in memory for a batch: of the archive, of one member compressed, and of its contents."""


class Made:
    """What was made.

    Attributes:
        counter: is told of it.
        files: how many of it are files.
        bytes: of all files.

    Args:
        counter: see there.
    """

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.files = self.bytes = 0
        self._counts: list[int] = []

    def add(self, count: int) -> None:
        """So many members more were made; any thread may say so."""
        self._counts.append(count)

    @property
    def members(self) -> int:
        """How many members were made."""
        return sum(self._counts)

    def show(self, items: Sequence[Item]) -> None:
        """Tells the counter of files that were added before."""
        size = sum([item.entry.record.size for item in items])
        self.files += len(items)
        self.bytes += size
        self.counter.advance(len(items), size, size, items[-1].path)


class Crew:
    """Makes files, for one archive after the other, until its block ends.

    Args:
        jobs: how many work at once; None for as many as this process has CPUs.
        memory: bytes in flight.
    """

    def __init__(self, jobs: int | None, memory: int) -> None:
        self._jobs = jobs or usable_cpus()
        self._line = line_for(jobs, memory)
        self._at_work: dict[int, Batch] = {}
        self._helpers = Helpers(
            f"{unpacking.__name__}:{unpacking.answer_question.__name__}",
            min(self._jobs, usable_cpus()) if self._jobs > 1 else 0,
            8,
            libraries.find_library_folders(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._helpers.close()

    def prepare(self, size: int) -> None:
        """Gets helpers where they pay.

        Args:
            size: the bytes that are to be made, or of the archive. Where helpers are copies of this
                process, it pays to say that before its directory is read: a process that holds
                50,000 members takes 20 ms to be copied.
        """
        if size >= (_WORTH_FORKED if self._helpers.are_forked else _WORTH_FRESH):
            self._helpers.start()

    def make_files(self, place: Place, items: Sequence[Item], made: Made) -> None:
        """Makes files; their folders are there.

        Args:
            place: from where to where.
            items: which.
            made: is told of each.

        Raises what `unpacking.unpack` raises. Then no file is half written.
        """
        total = sum([item.entry.record.size for item in items])
        share = max(_LARGE, _LARGE_SHARE * total / self._jobs)
        large_items = [item for item in items if item.entry.record.size > share and self._jobs > 1]
        others = items
        if large_items:
            others = [item for item in items if item.entry.record.size <= share]
            total -= sum([item.entry.record.size for item in large_items])
        if not place.archive.is_remote:
            self.prepare(total + _PER_MEMBER * len(others))
        try:
            self._make_batches(place, others, made)
        except BaseException:
            self._helpers.close()  # whoever is at work is killed
            for batch in self._at_work.values():
                unpacking.recover(batch)
            raise
        for item in large_items:
            self._make_large(place, item, made)

    def _make_batches(self, place: Place, items: Sequence[Item], made: Made) -> None:
        batches = (Batch(place, group) for group in _group(items))

        # Also with one job a thread does it: what a signal handler raises on the main one between
        # the call that opens a file and the next instruction would leave the file open.
        def unpack(batch: Batch) -> None:
            self._at_work[id(batch)] = batch
            with ExitStack() as done:
                done.callback(self._at_work.pop, id(batch))
                try:
                    unpacking.unpack(batch, self._helpers, made.add)
                except HelpersClosedError:
                    done.pop_all()  # it was killed with the batch half made
                    raise

        with self._line.open_lane(unpack, cost=lambda _: _BATCH_COST) as lane:
            for batch, _ in lane.through(batches):
                made.show(batch.items)

    def _make_large(self, place: Place, item: Item, made: Made) -> None:
        def chunks(entry: Entry, begin: int, read: Read) -> Iterator[Buffer]:
            for chunk in large.chunks(entry, begin, read, self._line):
                made.counter.advance(0, len(chunk), len(chunk), item.path)
                yield chunk

        Unpacker(place, chunks).unpack([item])
        made.add(1)
        made.files += 1
        made.bytes += item.entry.record.size
        made.counter.advance(1, 0, 0, item.path)


def _group(items: Sequence[Item]) -> Iterator[list[Item]]:
    """The largest files first, so that none is still at work when all else is done.

    Small ones stay in the order of the archive, in which they are read, and share folders.
    """
    large_items = [item for item in items if item.entry.record.size > contents.AT_ONCE]
    large_items.sort(key=lambda item: -item.entry.record.size)
    yield from ([item] for item in large_items)
    group: list[Item] = []
    size = 0
    for item in items:
        if item.entry.record.size > contents.AT_ONCE:
            continue
        group.append(item)
        size += item.entry.record.size
        if size >= BATCH or len(group) == BATCH_MEMBERS:
            yield group
            group, size = [], 0
    if group:
        yield group
