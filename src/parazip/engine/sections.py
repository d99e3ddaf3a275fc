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
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias, cast

from parazip.codecs.levels import STORE, Recipe
from parazip.engine import plan, shards, wire
from parazip.engine.cache import Cache, CachedPart
from parazip.engine.progress import Counter
from parazip.engine.results import ResultWriter, add_tallies
from parazip.engine.searching import Searchers
from parazip.engine.shards import MemberShard, Shard, TaskShard
from parazip.engine.writer import ArchiveWriter
from parazip.model import Found, Member, Part, Range, Section, Tally, Uploaded
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
        searchers: those who search, once helpers are there; if they may.
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
    searchers: Searchers | None = None
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


_Task: TypeAlias = plan.Task | MemberShard | _Recall | _SectionEnd
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
        self._results = ResultWriter(writer, output, counter)
        # What the cache is to keep has to come here.
        can_share = options.executor is not None and options.cache is None
        self._sharing = output.share() if can_share else None
        self._alongside = SideThread()
        self._recalling = SideThread()
        self._start: _SectionStart
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
            assert not isinstance(task, TaskShard | MemberShard)  # executors do these
            return None if isinstance(task, _InTurn) else wire.do_task(task, helpers)

        def is_light(task: _Task | Shard) -> bool:
            """Headers of copied members are made sooner than a thread takes the GIL from ours."""
            if executor is not None:
                return not isinstance(task, TaskShard | MemberShard)
            if isinstance(task, plan.CopyBatch):
                return task.makes_headers_only and not (helpers.are_started and task.held)
            return isinstance(task, _InTurn)

        def plan_all() -> Iterator[_Task | Shard]:
            tasks: Iterator[Any] = self._plan_all(sections, helpers)
            if executor is not None:
                cost = shards.choose_cost(options.jobs, options.memory)
                tasks = shards.group_tasks(tasks, cost, self._sharing)
            return shards.give_tickets(tasks, self._sharing) if self._sharing else tasks

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
        searching = (
            options.searchers.working(
                line,
                lambda task: wire.do_search(task, helpers),
                lambda: helpers.are_started,
                count,
            )
            if options.searchers is not None
            else nullcontext()
        )
        # Helpers end before a lane does: a worker that waits for an answer waits no longer then.
        with (
            lane,
            searching,
            wire.start_helpers(count) as helpers,
            self._alongside,
            self._recalling,
        ):
            done: Iterator[tuple[_Task, Any]] = shards.take_apart(
                lane.through(plan_all()), self._sharing
            )
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

    def _plan_section(self, section: Section) -> Iterator[plan.Task | MemberShard | _SectionEnd]:
        options = self._options
        recipe = (section.recipe or options.recipe)._replace(plain=options.recipe.plain)
        check_crc = section.check_crc or options.check_crc
        if section.alongside is not None:
            self._alongside.call(section.alongside)
        members = section.members()
        is_late = _Clock().is_late if options.is_streamed else None

        def plan_tasks(members: Iterable[Found]) -> Iterator[plan.Task]:
            return plan.plan_tasks(
                members, recipe, contents.looks_compressible, check_crc, is_late=is_late
            )

        if self._sharing is None:
            yield from plan_tasks(members)
        else:
            each = cast("Iterable[Member]", members)  # no helpers search where there is an executor
            yield from shards.group_members(each, recipe, check_crc, self._sharing, plan_tasks)
        yield _SectionEnd(section)

    # Writing: what came of a task, in the order of the tasks.

    def _write_result(
        self, task: plan.Task | MemberShard | _SectionEnd, result: Any
    ) -> Iterator[None]:
        if isinstance(task, _SectionEnd):
            self._end_section(task.section, is_recalled=False)
            yield
        elif isinstance(task, MemberShard):
            yield from self._write_members(task, result)
        else:
            yield from self._results.write(task, result)

    def _write_members(self, shard: MemberShard, part: Part | None) -> Iterator[None]:
        if part is None:
            yield from self._results.make_here(shard.plan())
        else:
            self._results.write_part(part, shard.members, shard.size, shard.last)
            yield

    def _make_section(self, section: Section) -> None:
        """Makes a section here; that it cannot be recalled is too rare to ask other threads."""
        for task in self._plan_section(section):
            assert not isinstance(task, MemberShard)  # the cache serves nobody who shares
            result = None if isinstance(task, _InTurn) else wire.do_task(task)
            for _ in self._write_result(task, result):
                pass

    def _recall_section(self, task: _Recall) -> None:
        """Copies a section out of the cache; one that turns out to be damaged is made here."""
        section, cached, _ = task
        part, crc, opener = cached
        if not self._writer.recall_part(part, crc, opener):
            cache = self._options.cache
            assert cache is not None
            cache.discard(section.key, "its data are not what they were", cached)
            self._make_section(section)
            return
        self._results.count(part.tallies)
        members = sum(tally.members for tally in part.tallies.values())
        size = sum(tally.bytes_in for tally in part.tallies.values())
        self.recalled += members
        self._counter.advance(members, size, self._output.position, section.label)
        self._end_section(section, is_recalled=True)

    # What is kept in the end.

    def _note_start(self) -> _SectionStart:
        writer = self._writer
        return _SectionStart(
            self._output.position, writer.count_headers(), writer.aligned, time.monotonic()
        )

    def _end_section(self, section: Section, is_recalled: bool) -> None:
        """Ends a section that is written, and begins the next one."""
        start, done = self._start, self._results
        tallies = done.tallies
        end = self._note_start()
        # How members were padded depends on where the part lies, so it is of no use elsewhere.
        is_reusable = done.had_planned_sizes and start.aligned == end.aligned
        copied = self._output.take_copy()
        if section.key and not is_recalled and is_reusable:
            directory = self._writer.directory_since(start.headers, start.offset)
            length = end.offset - start.offset
            made = _ToKeep(section.key, tallies, directory, start.offset, length)
            if copied is None:
                self._to_keep.append(made)
            else:
                self._keep_section(made, (copied,))
        if section.label:
            seconds = end.moment - start.moment
            self.reports.append(SectionReport(section.label, is_recalled, tallies, seconds))
        add_tallies(self.tallies, tallies)
        self._begin_section(end)

    def _begin_section(self, start: _SectionStart) -> None:
        self._start = start
        self._results.begin_section()
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
    return sum(len(piece) for piece in pieces if not isinstance(piece, Range | Uploaded))
