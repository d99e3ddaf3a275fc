"""Makes sections, or recalls them, in order: plan, producers, line and writer at work.

A section that is in the cache is recalled: its part is copied out of the cache's file. Any other is
made; and, once all of them are written, kept: its part is read back from the output, where it lies
in one piece. Of an output that sends its bytes away a copy is kept at once.

Three kinds of threads are at work:

* The caller's plans the tasks of one section after the other and writes what comes of them, in
  order. What is rare is made there, too.
* Workers, with helper processes or without, make parts and blocks. They are threads, or somebody's
  executor, to which `shards` of tasks go.
* One more writes what is recalled, while the caller's looks for the next sections.

At any time one thread writes and keeps the tallies, the caller's or the one that recalls: before
anything that was made is written, the caller's waits until all recalled before it is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from parazip.codecs import checksums
from parazip.codecs.levels import STORE, Recipe
from parazip.engine import compress, plan, shards, wire
from parazip.engine.cache import Cache, CachedPart
from parazip.engine.joining import BlockJoiner
from parazip.engine.progress import Counter
from parazip.engine.shards import Shard
from parazip.engine.writer import ArchiveWriter
from parazip.format.records import make_record
from parazip.format.values import DEFLATED
from parazip.model import Block, Part, Range, Section, Tally
from parazip.output.stream import Output
from parazip.settings import SectionReport
from parazip.sources import contents
from parazip.workers.cpus import usable_cpus
from parazip.workers.executors import ExecutorWorkers
from parazip.workers.helpers import Helpers
from parazip.workers.line import SLOW, Line, line_for
from parazip.workers.side_thread import SideThread

_MANY_TASKS = 40
"""Tasks after which helpers pay that are started afresh: some 10,000 short members."""

_AHEAD = 4
"""Tasks for each worker, where somebody takes the pieces: what it does, and what it finds then.

Who takes nothing holds some megabytes so, and leaves the budget to others."""

_COST_OF_KEEPING = 1 << 20
"""Bytes in memory while a part is kept: it is read back in chunks of that size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssemblyOptions:
    """How sections are made, and by whom.

    Attributes:
        recipe: how members are compressed.
        jobs: threads that work, or None for the CPUs that this process may use.
        memory: bytes that may be in flight at once.
        cache: where parts are looked for and kept, if anywhere.
        check_crc: whether the CRC-32 of members that are copied is checked.
        wants_helpers: whether most members are so short that helper processes pay.
        executor: whose workers do shards, instead of `jobs` threads and their helpers; then `jobs`
            says how many shards may be in flight.
        inspect: called with a path under which the complete archive can be read, before it takes
            its name.
        sync: whether the archive is on the disk when all is done.
        is_streamed: whether somebody waits for each piece, who may also stop to take them.
    """

    recipe: Recipe
    jobs: int | None
    memory: int
    cache: Cache | None = None
    check_crc: bool = False
    wants_helpers: bool = False
    executor: Executor | None = None
    inspect: Callable[[str], object] | None = None
    sync: bool = False
    is_streamed: bool = False


class _Recall(NamedTuple):
    """A section that is in the cache."""

    section: Section
    cached: CachedPart
    cost: int = 0


class _SectionEnd(NamedTuple):
    """The end of a section that was made."""

    section: Section
    cost: int = 0


_Task: TypeAlias = plan.Task | _Recall | _SectionEnd
_InTurn = plan.StreamTask | _Recall | _SectionEnd
"""What is done when its turn comes, not by a worker before that."""


class _ToKeep(NamedTuple):
    """A section that is to be put into the cache, and where in the output its part lies."""

    key: str
    tallies: dict[str, Tally]
    directory: bytes
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class _SectionStart:
    """Where a section begins.

    Attributes:
        offset: in the output.
        headers: how many pieces of the central directory there were.
        aligned: how many members were aligned.
        moment: by the monotonic clock.
    """

    offset: int
    headers: int
    aligned: int
    moment: float


@dataclass(slots=True)
class _SectionTallies:
    """What was done so far of a section.

    Attributes:
        tallies: by the name of the coder.
        had_planned_sizes: whether each file had as many bytes as the system told. If not, nothing
            tells whether one is still what it was, so the section is not kept.
    """

    tallies: dict[str, Tally] = field(default_factory=dict)
    had_planned_sizes: bool = True


class SectionMaker:
    """Makes sections, hands them to the writer in order and counts what was done.

    Args:
        writer: of the archive.
        output: where it writes to.
        counter: told of what is written.
        options: how sections are made.

    Attributes:
        tallies: what was done to all members, by the name of the coder.
        recalled: how many of them came out of the cache.
        reports: what was done to each section that has a label.
    """

    def __init__(
        self, writer: ArchiveWriter, output: Output, counter: Counter, options: AssemblyOptions
    ) -> None:
        self._writer = writer
        self._output = output
        self._counter = counter
        self._options = options
        self._joiner = BlockJoiner(writer)
        self._alongside = SideThread()
        self._recalling = SideThread()
        self._start: _SectionStart
        self._section = _SectionTallies()
        self._to_keep: list[_ToKeep] = []
        self.tallies: dict[str, Tally] = {}
        self.recalled = 0
        self.reports: list[SectionReport] = []

    def make_all(self, sections: Iterable[Section]) -> Iterator[None]:
        """Makes or recalls all sections, and keeps those that were made.

        Stops after each piece that was written, until it is asked to go on. If it never is, and is
        closed, all work ends.
        """
        options = self._options
        executor = options.executor
        self._begin_section(self._note_start())
        jobs = options.jobs or usable_cpus()
        # What is only stored, threads do in less time than it takes to hand it over from a helper.
        is_work = options.wants_helpers and options.recipe.whole != STORE
        has_helpers = is_work and jobs > 1 and executor is None

        def make_part(task: _Task | Shard) -> Any:
            assert not isinstance(task, Shard)  # executors do these
            return None if isinstance(task, _InTurn) else wire.do_task(task, helpers)

        def is_light(task: _Task | Shard) -> bool:
            """Headers of copied members are made sooner than a thread takes the GIL from ours."""
            if executor is not None:
                return not isinstance(task, Shard)
            if isinstance(task, plan.CopyBatch):
                return task.makes_headers_only and not (helpers.are_started and task.held)
            return isinstance(task, _InTurn)

        def plan_all() -> Iterator[_Task | Shard]:
            tasks = self._plan_all(sections, helpers)
            if executor is None:
                return tasks
            return shards.group_tasks(tasks, shards.choose_cost(options.jobs, options.memory))

        line = line_for(None if executor is not None else options.jobs, options.memory)
        lane = line.open_lane(
            make_part,
            lambda task: task.cost,
            _measure_result,
            is_light,
            _AHEAD * jobs if options.is_streamed else sys.maxsize,
            shards.holds_data,
            has_consumer=options.is_streamed,
            workers=None if executor is None else _hand_shards_to(executor, options.jobs),
        )
        count = min(jobs, usable_cpus()) if has_helpers else 0
        # Helpers end before the lane does: a worker that waits for an answer waits no longer then.
        with lane, wire.start_helpers(count) as helpers, self._alongside, self._recalling:
            done: Iterator[tuple[_Task, Any]] = shards.take_apart(lane.through(plan_all()))
            for task, result in done:
                if isinstance(task, _Recall):
                    self._recalling.call(partial(self._recall_section, task))
                else:
                    self._recalling.finish()
                    yield from self._write_result(task, result)
            self._recalling.finish()
            self._alongside.finish()
        self._keep_made(line)

    # Planning: the lane asks for tasks between results.

    def _plan_all(self, sections: Iterable[Section], helpers: Helpers) -> Iterator[_Task]:
        cache = self._options.cache
        nothing_made_yet = True
        tasks = 0
        for section in sections:
            cached = cache.find(section.key) if cache is not None and section.key else None
            if cached is not None:
                yield _Recall(section, cached)
                continue
            if nothing_made_yet and helpers.are_forked:
                # Only a process with a single thread may fork: the one that recalls has to end,
                # and workers have not begun.
                self._recalling.finish()
                helpers.start()
            nothing_made_yet = False
            for task in self._plan_section(section):
                if tasks == _MANY_TASKS:
                    helpers.start()
                tasks += 1
                yield task

    def _plan_section(self, section: Section) -> Iterator[plan.Task | _SectionEnd]:
        options = self._options
        recipe = (section.recipe or options.recipe)._replace(plain=options.recipe.plain)
        check_crc = section.check_crc or options.check_crc
        if section.alongside is not None:
            self._alongside.call(section.alongside)
        members = section.members()
        is_late = _Clock().is_late if options.is_streamed else None
        yield from plan.plan_tasks(
            members, recipe, contents.looks_compressible, check_crc, is_late=is_late
        )
        yield _SectionEnd(section)

    # Writing: what came of a task, in the order of the tasks.

    def _write_result(self, task: plan.Task | _SectionEnd, result: Any) -> Iterator[None]:
        match task:
            case plan.BlockTask():
                self._write_block(task, result)
            case plan.StreamTask():
                yield from self._write_stream(task)
            case _SectionEnd():
                self._end_section(task.section, is_recalled=False)
            case plan.Batch() | plan.CopyBatch() if result is None:
                yield from self._make_one_by_one(task)
            case _:
                self._write_part(task, result)
        yield

    def _make_here(self, tasks: Iterable[plan.Task | _SectionEnd]) -> Iterator[None]:
        """Makes and writes what is so rare that no other thread is asked."""
        for task in tasks:
            result = None if isinstance(task, _InTurn) else wire.do_task(task)
            yield from self._write_result(task, result)

    def _make_one_by_one(self, task: plan.Batch | plan.CopyBatch) -> Iterator[None]:
        """Makes members of which one cannot be made as was planned.

        A large one is not the same in the archive, or is larger than the system tells. Whose fault
        it is shows when each is a task of its own.
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
            yield from self._make_here(again)

    def _write_part(self, task: plan.Batch | plan.CopyBatch | plan.StoredTask, part: Part) -> None:
        """Writes members that are complete."""
        self._writer.write_part(part)
        self._count(part.tallies)
        members = task.members
        size = sum([tally.bytes_in for tally in part.tallies.values()])
        self._correct_size(task.size, size)
        self._counter.advance(len(members), task.size, self._output.position, members[-1].name)

    def _write_block(self, task: plan.BlockTask, block: Block) -> None:
        member = task.member
        expected = contents.count_expected_bytes(member.source)
        joined = self._joiner.join_block(task, block)
        if joined is not None:
            self._count({str(joined.coder): Tally(1, joined.size, joined.compressed_size)})
            self._correct_size(expected, joined.size)
        size = max(0, min(task.length, expected - task.start))
        self._counter.advance(1 if task.is_last else 0, size, self._output.position, member.name)

    def _write_stream(self, task: plan.StreamTask) -> Iterator[None]:
        """Makes and writes a member that is not cut, piece by piece."""
        member = task.member
        self._writer.begin_member(make_record(member, DEFLATED, 0, 0, 0))
        crc = size = 0
        for block in compress.stream_blocks(task):
            self._writer.write_block(block)
            crc = checksums.crc32_combine(crc, block.crc, block.size)
            planned = max(0, min(block.size, member.size - size))
            size += block.size
            self._counter.advance(0, planned, self._output.position, member.name)
            yield
        compressed_size = self._writer.end_member(crc, must_stay=True, contents=size)
        assert compressed_size is not None
        self._count({str(task.coder): Tally(1, size, compressed_size)})
        self._correct_size(member.size, size)
        self._counter.advance(1, 0, self._output.position, member.name)

    def _recall_section(self, task: _Recall) -> None:
        """Copies a section out of the cache; one that turns out to be damaged is made here."""
        section, cached, _ = task
        part, crc, opener = cached
        if not self._writer.recall_part(part, crc, opener):
            cache = self._options.cache
            assert cache is not None
            cache.discard(section.key, "its data are not what they were", cached)
            for _ in self._make_here(self._plan_section(section)):
                pass
            return
        self._count(part.tallies)
        members = sum(tally.members for tally in part.tallies.values())
        size = sum(tally.bytes_in for tally in part.tallies.values())
        self.recalled += members
        self._counter.advance(members, size, self._output.position, section.label)
        self._end_section(section, is_recalled=True)

    # Counting, and what is kept in the end.

    def _count(self, tallies: dict[str, Tally]) -> None:
        for sums in (self.tallies, self._section.tallies):
            for coder, tally in tallies.items():
                sums[coder] = sums[coder].plus(tally) if coder in sums else tally

    def _correct_size(self, planned: int, size: int) -> None:
        """Takes note of members that had other sizes than the system told."""
        if size != planned:
            self._counter.correct(size - planned)
            self._section.had_planned_sizes = False

    def _note_start(self) -> _SectionStart:
        writer = self._writer
        return _SectionStart(
            self._output.position, writer.count_headers(), writer.aligned, time.monotonic()
        )

    def _end_section(self, section: Section, is_recalled: bool) -> None:
        """Ends a section that is written, and begins the next one."""
        start, done = self._start, self._section
        end = self._note_start()
        # How members were padded depends on where the part lies, so it is of no use elsewhere.
        is_reusable = done.had_planned_sizes and start.aligned == end.aligned
        copied = self._output.take_copy()
        if section.key and not is_recalled and is_reusable:
            directory = self._writer.directory_since(start.headers, start.offset)
            length = end.offset - start.offset
            made = _ToKeep(section.key, done.tallies, directory, start.offset, length)
            if copied is None:
                self._to_keep.append(made)
            else:
                self._keep_section(made, (copied,))
        if section.label:
            seconds = end.moment - start.moment
            self.reports.append(SectionReport(section.label, is_recalled, done.tallies, seconds))
        self._begin_section(end)

    def _begin_section(self, start: _SectionStart) -> None:
        self._start = start
        self._section = _SectionTallies()
        if self._options.cache is not None:
            self._output.start_copy()

    def _keep_made(self, line: Line) -> None:
        """Puts what was made into the cache, as far as it was not put there at once."""
        cache = self._options.cache
        if cache is None:
            return

        def keep_section(made: _ToKeep) -> None:
            self._keep_section(made, self._output.read_back(made.offset, made.length))

        if self._output.descriptor is not None:
            line.do_all(keep_section, self._to_keep, cost=_COST_OF_KEEPING)
        cache.close()

    def _keep_section(self, made: _ToKeep, data: Iterable[bytes]) -> None:
        cache = self._options.cache
        assert cache is not None
        cache.keep(made.key, made.tallies, made.directory, made.length, data)


class _Clock:
    """Tells whether members have been found for longer than somebody should wait for them."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def is_late(self) -> bool:
        """Whether it is so since this was last true."""
        now = time.monotonic()
        if now - self._began < SLOW:
            return False
        self._began = now
        return True


def _hand_shards_to(executor: Executor, most: int | None) -> ExecutorWorkers:
    """Workers that do shards, so many at once at most."""
    write, read = shards.write_shard, shards.read_answer
    return ExecutorWorkers(executor, shards.do_shard, write, read, most)


def _measure_result(result: shards.Result | list[shards.Result]) -> int:
    """The bytes in memory that a result holds until it is written."""
    if isinstance(result, list):
        return sum(map(_measure_result, result))
    pieces = result.data if result is not None else ()
    return sum(len(piece) for piece in pieces if not isinstance(piece, Range))
