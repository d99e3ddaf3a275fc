"""A zip archive while it is being made: `stream`, and how long it will be, `content_length`.

Whoever takes the chunks drives the work: members are found and feeds are read on that thread, when
the next chunk is asked for. Workers make what was planned by then, as far as the budget has room.
So nothing is made that nobody reads, and when the iterator is closed, all work ends.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterable, Iterator
from functools import lru_cache
from itertools import chain

from parazip.codecs import levels
from parazip.codecs.deflating import compress_block
from parazip.codecs.levels import DEFLATE_STORED, STORE
from parazip.codecs.sizes import BLOCK, RESTART
from parazip.engine import plan
from parazip.engine.assembly import Assembly
from parazip.engine.prefix import check_prefix, write_prefix
from parazip.engine.progress import Counter, Sink
from parazip.engine.sections import AssemblyOptions
from parazip.engine.writer import ArchiveWriter
from parazip.format.records import (
    LIMIT_32,
    make_record,
    pack_central_header,
    pack_local_header,
)
from parazip.format.values import DEFLATED, STORED
from parazip.model import File, Header, Member, Part, Range, Section
from parazip.output.outflow import Outflow
from parazip.settings import Settings
from parazip.sources import contents
from parazip.sources.feeds import open_feeds
from parazip.sources.findings import Findings
from parazip.sources.items import Item, are_one, gather_items
from parazip.sources.selection import Selection


def stream(
    members: Iterable[Item],
    settings: Settings | None = None,
    selection: Selection | None = None,
    *,
    prepend: str | os.PathLike[str] | bytes | None = None,
    shebang: str | None = None,
    progress: Sink | None = None,
) -> Generator[bytes, None, None]:
    """A zip archive while it is being made, for WSGI, pipes and sockets.

    The bytes are those that `write` makes of the same members on a pipe. Headers of members of more
    than 1 MiB (of files at levels 3 to 9: 16 MiB) announce a data descriptor.

    Args:
        members: what to put in, in this order: members (see `make_member`), and paths of files and
            folders. What an iterator gives is asked for as the archive comes to it.
        settings: level, codec, jobs, memory.
        selection: what to leave out of folders; names and dates of what paths stand for.
        prepend: bytes that are put in front of the archive, or the path of a file that has them.
        shebang: what follows `#!` on the archive's first line.
        progress: called with a `Progress` each time something was made.

    Returns:
        An iterator of chunks of 64 KiB to 2 MiB, but the last; closing it ends all work.

    Raises:
        SourceError: something is missing, unreadable, or not as long as was told. This and what
            follows, as well as what a member's own iterable raises, comes out of the iterator, in
            the middle of the archive: it must not be taken for complete.
        MemberNameError: a name cannot be stored, or two members have the same.
        TypeError: something can be no member.
    """
    settings = settings or Settings()
    selection = selection or Selection()
    prefix = check_prefix(prepend, shebang)
    check_members(members)
    recipe = levels.choose_recipe(settings.level, settings.codec)

    def make_chunks() -> Generator[bytes, None, None]:
        found = plan.with_placed_first(_gather_checked(members, selection))
        # Who gives an iterator may not have the next member before this one was sent.
        first, others = plan.peek(found) if isinstance(members, Collection) else ([], found)
        counter = Counter(progress)
        counter.count(first)
        every = chain(first, counter.counted(open_feeds(others)))
        options = AssemblyOptions(
            recipe=recipe,
            jobs=settings.jobs,
            memory=settings.memory,
            wants_helpers=plan.are_mostly_short(first),
            is_streamed=True,
        )
        outflow = Outflow("the archive")
        assembly = Assembly(outflow, options, counter)
        for _ in assembly.write([Section(lambda: every)], prefix):
            yield from outflow.take()
        yield from outflow.take(is_end=True)

    return make_chunks()


def check_members(members: object) -> None:
    """Refuses what is not many members.

    Raises:
        TypeError: it is a single one, or none.
    """
    is_single = isinstance(members, str | bytes | os.PathLike | Member)
    if is_single or not isinstance(members, Iterable):
        raise TypeError(f"members are needed, such as a list of paths, not {members!r:.60}")


def _gather_checked(members: Iterable[Item], selection: Selection) -> Iterator[Member]:
    findings = Findings()
    return plan.check_names(
        gather_items(members, selection, findings),
        findings,
        advice="leave it out",
        apart="give it another name",
        is_same=are_one,
    )


def content_length(
    members: Iterable[Item],
    settings: Settings | None = None,
    selection: Selection | None = None,
    *,
    prepend: str | os.PathLike[str] | bytes | None = None,
    shebang: str | None = None,
) -> int | None:
    """How many bytes `stream` will give, for a Content-Length; None if that cannot be known.

    It is known where nothing is compressed (level 0, or `store` of a member) and all sizes are.

    Args:
        members: those that are handed to `stream`. Nothing is read of them; of an iterator, which
            could be gone through only once, nothing is known.
        settings: those of `stream`, as for the others.
        selection: what to leave out of folders.
        prepend: bytes that are put in front of the archive, or the path of a file that has them.
        shebang: what follows `#!` on the archive's first line.

    Raises:
        SourceError, MemberNameError: see `stream`.
    """
    if not isinstance(members, Collection):
        return None
    settings = settings or Settings()
    recipe = levels.choose_recipe(settings.level, settings.codec)
    output = _Counted("the archive")
    writer = ArchiveWriter(output)
    write_prefix(writer, check_prefix(prepend, shebang))
    is_known = True
    for member in plan.with_placed_first(_gather_checked(members, selection or Selection())):
        is_stored = not member.size or member.store or recipe.whole == STORE
        if not (is_stored and contents.has_known_size(member.source)):
            is_known = False
            continue  # the names of the others are checked all the same
        is_file = contents.can_be_read_again(member.source)
        is_whole = is_file and (member.store or member.align > 1)
        if is_whole or member.size <= (recipe.cut if is_file else BLOCK):
            writer.write_part(_store_unread(member))
        else:
            _write_unread_blocks(writer, output, member)
    writer.finish()
    return output.position if is_known else None


class _Counted(Outflow):
    """Counts what is written, and holds nothing of it."""

    def _hold(self, piece: bytes | Range) -> None:
        self.skip(len(piece))

    def skip(self, size: int) -> None:
        """Counts bytes that nobody makes."""
        self.position += size


def _store_unread(member: Member) -> Part:
    """A stored member as a part of the size that it will have."""
    size = member.size
    record = make_record(member, STORED, 0, size, 0)
    header = pack_local_header(record, size >= LIMIT_32)
    data = Range(File("", size, 0, 0), 0, size)
    return Part(
        (Header(header, member.align) if member.align > 1 else header, data),
        pack_central_header(record),
        {},
    )


def _write_unread_blocks(writer: ArchiveWriter, output: _Counted, member: Member) -> None:
    """A member that is cut, as stored blocks of a deflate stream: their sizes tell all."""
    writer.begin_member(make_record(member, DEFLATED, 0, 0, 0))
    full = (member.size - 1) // BLOCK
    ends = full * BLOCK // RESTART
    output.skip((full - ends) * _measure_block(0, BLOCK, False))
    output.skip(ends * _measure_block(RESTART - BLOCK, BLOCK, False))
    output.skip(_measure_block(0, member.size - full * BLOCK, True))
    writer.end_member(0, must_stay=True, contents=member.size)


@lru_cache(maxsize=64)
def _measure_block(start: int, length: int, is_last: bool) -> int:
    return sum(map(len, compress_block(DEFLATE_STORED, b"", bytes(length), start, is_last)))
