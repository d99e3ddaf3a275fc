"""Makes sections and assembles them in order: plan, producers, line and writer at work.

A section that is in the cache is recalled; any other is made, and then kept, once all of them are
written: its part is read back from the output, where it lies in one piece.

What is recalled is written on a thread of its own, one section after the other, while this one
looks for the next sections; what is made waits until all before it is written. So at any time
one thread writes and keeps the books, this one or that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from parazip import compress, contents, plan, wire
from parazip.cache import Cache, CachedPart
from parazip.codecs import checksums
from parazip.codecs.levels import STORE, Coder, Recipe
from parazip.codecs.sizes import BLOCK
from parazip.format.records import LIMIT_32, make_record
from parazip.format.values import DEFLATED, STORED
from parazip.model import Block, Member, Part, Range, Section, Tally
from parazip.output import Output
from parazip.progress import Counter
from parazip.settings import SectionReport
from parazip.workers.cpus import usable_cpus
from parazip.workers.helpers import Helpers
from parazip.workers.line import Lane, Line, is_interrupt, line_for
from parazip.writer import ArchiveWriter

_MANY = 40
"""Tasks after which helpers pay that are started afresh: some 10,000 short members."""


class _Recall(NamedTuple):
    """A section that is in the cache."""

    section: Section
    kept: CachedPart
    cost: int = 0


class _End(NamedTuple):
    """The end of a section that was made."""

    section: Section
    cost: int = 0


_Task: TypeAlias = plan.Task | _Recall | _End
_InTurn = plan.StreamTask | _Recall | _End
"""What is done when its turn comes, not by a worker before that."""


class _Keep(NamedTuple):
    """A section that was made, and where in the output its part lies."""

    key: str
    tallies: dict[str, Tally]
    directory: bytes
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What an archive is made with.

    Attributes:
        recipe: how members are compressed.
        jobs: threads that work, or None for the CPUs that this process may use.
        memory: bytes that may be in flight at once.
        cache: where parts are looked for and kept, if anywhere.
        check_crc: whether the CRC-32 of members that are copied is checked.
        helped: whether most members are so short that helper processes pay.
        executor: threads that work, instead of `jobs` new ones and their helpers.
    """

    recipe: Recipe
    jobs: int | None
    memory: int
    cache: Cache | None = None
    check_crc: bool = False
    helped: bool = False
    executor: Executor | None = None


@dataclass(slots=True)
class _Joined:
    """What was joined of a member that comes in blocks.

    Attributes:
        is_wide: whether its header has room for 4 GiB and more.
        crc: the CRC-32 of its contents so far.
        size: how many bytes these are.
        tail: the CRC-32 of the last 32 KiB of them.
    """

    is_wide: bool
    crc: int = 0
    size: int = 0
    tail: int = 0


class Assembly:
    """Makes sections, hands them to the writer in order and keeps the books.

    Attributes:
        tallies: what was done to all members, by the name of the coder.
        recalled: how many of them came out of the cache.
        made: what was done to each section that has a label.
    """

    def __init__(
        self, writer: ArchiveWriter, output: Output, counter: Counter, means: Workshop
    ) -> None:
        self._writer = writer
        self._output = output
        self._counter = counter
        self._means = means
        self._joined: _Joined | None = None
        self._is_as_told = True
        self._begin = output.position
        self._mark = writer.mark()
        self._aligned = writer.aligned
        self._section: dict[str, Tally] = {}
        self._began = time.monotonic()
        self._to_keep: list[_Keep] = []
        self._aside = _Aside()
        self._recalls = _Aside()
        self.tallies: dict[str, Tally] = {}
        self.recalled = 0
        self.made: list[SectionReport] = []

    def fill(self, sections: Iterable[Section]) -> None:
        """Makes all sections on all workers."""
        means = self._means
        jobs = means.jobs or usable_cpus()
        needs_help = means.helped and jobs > 1 and means.executor is None

        def run(task: _Task) -> Part | Block | None:
            return None if isinstance(task, _InTurn) else wire.do_task(task, crew)

        def is_light(task: _Task) -> bool:
            """Headers of copied members are made sooner than a thread takes the GIL from ours."""
            if isinstance(task, plan.CopyBatch):
                return task.makes_headers_only and not (crew.are_started and task.held)
            return isinstance(task, _InTurn)

        line = line_for(means.jobs, means.memory, means.executor)
        lane = line.open_lane(run, cost=lambda task: task.cost, weight=_weight, is_light=is_light)
        count = min(jobs, usable_cpus()) if needs_help else 0
        with lane, wire.start_helpers(count) as crew, self._aside, self._recalls:
            for task, result in lane.through(self._tasks(sections, crew)):
                if isinstance(task, _Recall):
                    self._recalls.call(partial(self._recall, task))
                    continue
                self._recalls.finish()
                self._take(task, result)
            self._recalls.finish()
            self._aside.finish()
        self._keep(line)

    def _tasks(self, sections: Iterable[Section], crew: Helpers) -> Iterator[_Task]:
        cache = self._means.cache
        alone = True
        tasks = 0
        for section in sections:
            kept = cache.find(section.key) if cache is not None and section.key else None
            if kept is None:
                if alone and crew.are_forked:  # as this process has to be then
                    self._recalls.finish()
                    crew.start()
                alone = False
                for task in self._making(section):
                    if tasks == _MANY:
                        crew.start()
                    tasks += 1
                    yield task
            else:
                yield _Recall(section, kept)

    def _making(self, section: Section) -> Iterator[plan.Task | _End]:
        means = self._means
        recipe = (section.recipe or means.recipe)._replace(plain=means.recipe.plain)
        check = section.check_crc or means.check_crc
        if section.alongside is not None:
            self._aside.call(section.alongside)
        yield from plan.plan_tasks(section.members(), recipe, contents.looks_compressible, check)
        yield _End(section)

    def _take(self, task: plan.Task | _End, result: Any) -> None:
        match task:
            case plan.BlockTask():
                self._block(task, result)
            case plan.StreamTask():
                self._stream(task)
            case _End():
                self._end(task.section, recalled=False)
            case plan.Batch() | plan.CopyBatch() if result is None:
                self._make_each(task)
            case _:
                self._part(task, result)

    def _make_each(self, task: plan.Batch | plan.CopyBatch) -> None:
        """Members of which one cannot be made as was planned; so rare that they are made here.

        A large one is not the same in the archive, or is larger than the system tells.
        """
        is_alone = len(task.members) == 1
        for member in task.members:
            source = contents.without_original(member.source)
            again: Iterable[plan.Task]
            if is_alone and source is member.source:
                again = plan.plan_large_member(member, task.recipe, contents.looks_compressible)
            else:
                if is_alone:
                    member = member._replace(source=source)
                check = isinstance(task, plan.CopyBatch) and task.check
                again = plan.plan_tasks([member], task.recipe, contents.looks_compressible, check)
            for piece in again:
                self._take(piece, None if isinstance(piece, _InTurn) else wire.do_task(piece))

    def _part(self, task: plan.Batch | plan.CopyBatch | plan.StoredTask, part: Part) -> None:
        """Members that are complete."""
        self._writer.part(part)
        self._count(part.tallies)
        members = task.members
        size = sum([tally.bytes_in for tally in part.tallies.values()])
        if size != task.size:
            self._correct(size - task.size)
        self._counter.advance(len(members), task.size, self._output.position, members[-1].name)

    def _correct(self, more: int) -> None:
        """There were so many bytes more than the system told of, which tells of no changes then."""
        self._counter.correct(more)
        self._is_as_told = False

    def _block(self, cut: plan.BlockTask, block: Block) -> None:
        """A block of a member that is cut; blocks of one member come one after the other."""
        member = cut.member
        self._join(cut, block)
        size = min(cut.length, member.size - cut.start)
        self._counter.advance(1 if cut.is_last else 0, size, self._output.position, member.name)

    def _join(self, cut: plan.BlockTask, block: Block) -> None:
        if cut.is_first:
            self._begin_member(cut)
        if self._joined is None:
            return  # the file ended before this block
        self._add(cut, block)
        while cut.is_last and not block.is_last:
            cut = self._next(cut)
            block = compress.compress_block(cut)
            self._add(cut, block)

    def _next(self, cut: plan.BlockTask) -> plan.BlockTask:
        """The next block of a file that has more bytes than the system tells."""
        start = cut.start + BLOCK
        if self._joined is not None and not self._joined.is_wide and start + BLOCK >= LIMIT_32:
            self._writer.take_back()
            start = 0
            self._begin_member(cut, is_wide=True)
        return cut._replace(start=start, length=BLOCK)

    def _begin_member(self, cut: plan.BlockTask, is_wide: bool = False) -> None:
        method = STORED if cut.coder == STORE else DEFLATED
        self._writer.begin(make_record(cut.member, method, 0, 0, 0), is_wide, cut.member.align)
        self._joined = _Joined(is_wide or cut.member.size >= LIMIT_32)

    def _add(self, cut: plan.BlockTask, block: Block) -> None:
        """Puts a block into the member that was begun, and ends it where it ends."""
        member = cut.member
        joined = self._joined
        assert joined is not None
        if block.window and block.window != joined.tail:
            raise contents.changed_unseen(member.source)
        self._writer.block(block)
        joined.crc = checksums.crc32_combine(joined.crc, block.crc, block.size)
        joined.size += block.size
        joined.tail = block.tail
        if block.is_last:
            self._joined = None
            self._end_member(member, cut.coder, joined)

    def _end_member(self, member: Member, coder: Coder, joined: _Joined) -> None:
        compressed_size = self._writer.end(joined.crc, contents=joined.size)
        if compressed_size is None:
            for again in plan.cut_into_blocks(member, STORE):
                self._join(again, compress.compress_block(again))
            return
        self._count({str(coder): Tally(1, joined.size, compressed_size)})
        if joined.size != member.size:
            self._correct(joined.size - member.size)

    def _stream(self, task: plan.StreamTask) -> None:
        member = task.member
        self._writer.begin(make_record(member, DEFLATED, 0, 0, 0))
        crc = size = 0
        for block in compress.stream_blocks(task):
            self._writer.block(block)
            crc = checksums.crc32_combine(crc, block.crc, block.size)
            size += block.size
            told = max(0, min(block.size, member.size - size + block.size))
            self._counter.advance(0, told, self._output.position, member.name)
        compressed_size = self._writer.end(crc, is_kept=True, contents=size)
        assert compressed_size is not None
        self._count({str(task.coder): Tally(1, size, compressed_size)})
        if size != member.size:
            self._correct(size - member.size)
        self._counter.advance(1, 0, self._output.position, member.name)

    def _recall(self, task: _Recall) -> None:
        """A section from the cache; one that turns out to be damaged is made here and now."""
        section, (part, crc, opener), _ = task
        if not self._writer.recall(part, crc, opener):
            cache = self._means.cache
            assert cache is not None
            cache.discard(section.key, "its data are not what they were")
            for again in self._making(section):
                self._take(again, None if isinstance(again, _InTurn) else wire.do_task(again))
            return
        self._count(part.tallies)
        members = sum(tally.members for tally in part.tallies.values())
        size = sum(tally.bytes_in for tally in part.tallies.values())
        self.recalled += members
        self._counter.advance(members, size, self._output.position, section.label)
        self._end(section, recalled=True)

    def _end(self, section: Section, recalled: bool) -> None:
        end = self._output.position
        is_same = self._is_as_told and self._aligned == self._writer.aligned
        if section.key and not recalled and is_same:
            directory = self._writer.directory_since(self._mark, self._begin)
            length = end - self._begin
            self._to_keep.append(_Keep(section.key, self._section, directory, self._begin, length))
        now = time.monotonic()
        if section.label:
            self.made.append(
                SectionReport(section.label, recalled, self._section, now - self._began)
            )
        self._begin = end
        self._mark = self._writer.mark()
        self._aligned = self._writer.aligned
        self._section = {}
        self._is_as_told = True
        self._began = now

    def _count(self, tallies: dict[str, Tally]) -> None:
        for books in (self.tallies, self._section):
            for coder, tally in tallies.items():
                books[coder] = books[coder].plus(tally) if coder in books else tally

    def _keep(self, line: Line) -> None:
        """Puts what was made into the cache."""
        cache = self._means.cache
        if cache is None or self._output.descriptor is None:
            return

        def keep(task: _Keep) -> None:
            data = self._output.read_back(task.offset, task.length)
            cache.keep(task.key, task.tallies, task.directory, task.length, data)

        with line.open_lane(keep, cost=lambda _: _KEEPING, weight=lambda _: 0) as lane:
            for _ in lane.through(self._to_keep):
                pass
        cache.close()


_KEEPING = 1 << 20


class _Aside:
    """Calls that are made one after the other on a thread of their own, as long as all goes well.

    When the block ends by an error, those that have not begun are not made any more.
    """

    def __init__(self) -> None:
        self._lane = _new_lane()
        self._is_used = False

    def __enter__(self) -> _Aside:
        return self

    def call(self, function: Callable[[], object]) -> None:
        self._is_used = True
        self._lane.put(function)
        for _ in self._lane.take_finished():
            pass

    def finish(self) -> None:
        """Waits for all calls, and ends the thread; raises what the first raised that failed."""
        if self._is_used:
            for _ in self._lane.take_all():
                pass
            self._lane.close()
            self._lane = _new_lane()
            self._is_used = False

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._lane.close(is_interrupt(kind))


def _new_lane() -> Lane[Callable[[], object], object]:
    return Line(1, 1).open_lane(_call, cost=lambda _: 0, weight=lambda _: 0)


def _call(function: Callable[[], object]) -> object:
    return function()


def _weight(result: Part | Block | None) -> int:
    """The bytes in memory that a result holds until it is written."""
    pieces = result.data if result is not None else ()
    return sum(len(piece) for piece in pieces if not isinstance(piece, Range))
