"""What of an archive an older one has, and how it is put together of that and of what is sent.

Both archives' directories say what their records are. Records that follow each other in both, say
the same in both, and are as long in both, are taken for the same bytes, with all that stands
between them. That is no proof: another compressor may make other bytes of the same length, and a
local header may differ from the directory. So whoever copies has to compare what was copied.

S3 takes no part but the last that is shorter than 5 MiB. So what is the same and shorter is sent;
and where less than that is to be sent between two copies, one of them gives up some of its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from parazip.format.reader import Layout
from parazip.output.multipart import MOST_PARTS, SMALLEST_PART
from parazip.output.upload import PART

LARGEST_COPY = 32 << 20
"""Bytes that are copied by one request, at most. Several are copied at once; and one that turns out
to be something else is sent as a whole."""


class Run(NamedTuple):
    """Bytes of an archive that become one part, or are not cut into parts yet.

    Attributes:
        begin: the offset of the first.
        end: that behind the last.
        source: where the same bytes begin in the older archive; None if they are to be sent.
    """

    begin: int
    end: int
    source: int | None

    @property
    def length(self) -> int:
        """How many bytes they are."""
        return self.end - self.begin

    @property
    def is_copied(self) -> bool:
        """Whether they are taken from the older archive."""
        return self.source is not None

    def cut(self, begin: int, end: int) -> Run:
        """What it is between two offsets in the archive."""
        source = None if self.source is None else self.source + begin - self.begin
        return Run(begin, end, source)


def plan_runs(new: Layout, old: Layout | None) -> list[Run]:
    """The parts that an archive is put together of, in order.

    Args:
        new: the archive.
        old: the one that is there, if any.
    """
    least = max(SMALLEST_PART, -(-new.size // (MOST_PARTS - 1)))
    copies = _keep_apart(find_same(new, old), least) if old is not None else []
    return [*_cut_all(new.size, copies, least)]


def find_same(new: Layout, old: Layout) -> Iterator[Run]:
    """What looks the same in two archives: runs as long as they can be, in order."""
    there = [*_describe_spans(old)]
    places: dict[_Facts, int] = {}
    for number, (facts, _, _) in enumerate(there):
        places.setdefault(facts, number)
    run: Run | None = None
    following = len(there)
    for facts, begin, end in _describe_spans(new):
        is_next = following < len(there) and there[following][0] == facts
        place = following if is_next else places.get(facts)
        source = None if place is None else there[place][1]
        following = len(there) if place is None else place + 1
        if run is not None and run.cut(begin, end).source == source:
            run = run._replace(end=end)
            continue
        if run is not None:
            yield run
        run = None if source is None else Run(begin, end, source)
    if run is not None:
        yield run


_Facts: TypeAlias = tuple[object, ...]


def _describe_spans(layout: Layout) -> Iterator[tuple[_Facts, int, int]]:
    """What is known of an archive's records, and of what stands in front, and where each is.

    A record goes as far as the next one, so all that stands between them is in it.
    """
    if layout.begin:
        yield (layout.front, layout.begin), 0, layout.begin
    ends = [*(record.offset for record in layout.records[1:]), layout.end]
    for record, end in zip(layout.records, ends, strict=False):
        facts = (record._replace(attributes=0, offset=0), end - record.offset)
        yield facts, record.offset, end


def _keep_apart(runs: Iterable[Run], least: int) -> Sequence[Run]:
    """Runs that can be copied: each has `least` bytes, and so has what is sent before each."""
    kept: list[Run] = []
    for run in runs:
        if run.length < least:
            continue
        before = kept[-1] if kept else Run(0, 0, None)
        gap = run.begin - before.end
        # What lacks to what is sent between both comes from the end of the one before, as far as
        # that has more than it needs, and then from the beginning of this one.
        missing = max(0, least - gap) if gap else 0
        given = min(missing, max(0, before.length - least))
        begin = run.begin + missing - given
        if run.end - begin >= least:
            if given:
                kept[-1] = before.cut(before.begin, before.end - given)
            kept.append(run.cut(begin, run.end))
        elif kept and run.length > before.length:  # then `before` is sent, which is enough
            kept[-1] = run
    return kept


def _cut_all(size: int, copies: Iterable[Run], least: int) -> Iterator[Run]:
    """Parts of `least` bytes or more, but for the last, of all that is copied or sent."""
    position = 0
    for copy in copies:
        yield from _cut(Run(position, copy.begin, None), least, PART)
        yield from _cut(copy, least, LARGEST_COPY)
        position = copy.end
    yield from _cut(Run(position, size, None), least, PART)


def _cut(run: Run, least: int, most: int) -> Iterator[Run]:
    """Parts of a run that are as long as each other: up to `most`, or twice `least`."""
    count = max(1, min(-(-run.length // most), run.length // least)) if run.length else 0
    for number in range(count):
        begin = run.begin + number * run.length // count
        end = run.begin + (number + 1) * run.length // count
        yield run.cut(begin, end)
