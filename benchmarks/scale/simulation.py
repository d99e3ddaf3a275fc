"""An archive that nobody makes: the real planner and the real upload, with workers of numbers.

Time is a number, too. This process has one clock, which goes on by what each step costs: to plan a
member, to hand out a shard, to take an answer, to write bytes. A worker is the moment at which it
is free. What is done when follows `workers.line`: tasks are planned ahead between results, as many
are in flight as the budget has room for, and results are written in their order.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from benchmarks.scale.costs import Assumed, Measured
from benchmarks.scale.members import Input
from benchmarks.scale.store import CountedUpload, Ledger, Nothing, make_part
from parazip.codecs.levels import Recipe, choose_recipe
from parazip.engine import plan, shards
from parazip.engine.shards import MemberShard, Shard, TaskShard
from parazip.engine.writer import ArchiveWriter
from parazip.errors import OutputError
from parazip.format.records import make_record
from parazip.format.values import DEFLATED
from parazip.model import Block, Member, Part, Uploaded
from parazip.output.multipart import SMALLEST_PART


class Outcome(NamedTuple):
    """What became of a simulated archive.

    Attributes:
        given: what was put in.
        workers: how many there were.
        failure: why there is no archive; empty if there is one.
        members: that are in it.
        contents: their bytes.
        size: bytes of the archive.
        parts: their sizes.
        seconds: until it is complete.
        coordinator: CPU seconds of this process.
        cores: CPU seconds of workers.
        requests: to the store, by all.
        received: bytes that came to the store from here.
        largest: bytes that a worker made of its largest shard.
        tickets: how many parts were promised to workers.
        refused: shards that could have had one, but there were no numbers left.
        returned: tickets that were not used.
        again: bytes of contents that were made a second time, here.
        questions: bytes of questions that waited at once.
        in_flight: bytes that came back and waited to be written, at once.
        held: bytes of parts in memory here, at once.
    """

    given: Input
    workers: int
    failure: str
    members: int
    contents: int
    size: int
    parts: tuple[int, ...]
    seconds: float
    coordinator: float
    cores: float
    requests: int
    received: int
    largest: int
    tickets: int
    refused: int
    returned: int
    again: int
    questions: int
    in_flight: int
    held: int


class _Job(NamedTuple):
    """A task that was handed out, or is done here when its turn comes.

    Attributes:
        task: which.
        ends: when it is done.
        made: bytes that came of it.
        sent: whether they are in the store.
    """

    task: Any
    ends: float
    made: int
    sent: bool


def simulate(
    given: Input,
    workers: int,
    measured: Measured,
    assumed: Assumed,
    factor: int = 1,
    level: int = 6,
) -> Outcome:
    """Makes an archive of numbers.

    Args:
        given: what is put in.
        workers: how many cores there are elsewhere.
        measured: constants.
        assumed: other constants.
        factor: how many members each one stands for that is planned; 1 plans each by itself.
        level: of compression; how members are cut depends on it.
    """
    with _standing_for(factor):
        return _Simulation(given, workers, measured, assumed, factor).run(
            choose_recipe(level, "auto")
        )


@contextmanager
def _standing_for(factor: int) -> Iterator[None]:
    """The planner's numbers of members, where each stands for `factor` of them."""
    most = shards.MOST_MEMBERS
    shards.MOST_MEMBERS = max(1, most // factor)
    try:
        yield
    finally:
        shards.MOST_MEMBERS = most


class _Simulation:
    def __init__(
        self, given: Input, workers: int, measured: Measured, assumed: Assumed, factor: int
    ) -> None:
        self.given, self.workers, self.factor = given, workers, factor
        self.measured, self.assumed = measured, assumed
        self.store = Ledger()
        self.upload = CountedUpload(self.store)
        self.sharing = self.upload.share()
        self.writer = ArchiveWriter(self.upload)
        self.nothing = Nothing()
        self.free = [0.0] * workers
        self.now = self.cpu = self.cores = 0.0
        self.planned: deque[Any] = deque()
        self.jobs: deque[_Job] = deque()
        self.running: list[tuple[float, int, int, int]] = []
        self.used = self.waiting = 0
        self.members = self.contents = self.directory = 0
        self.worker_requests = self.largest = self.again = 0
        self.questions = self.most_questions = self.most_waiting = 0
        self.handed_out = 0

    def run(self, recipe: Recipe) -> Outcome:
        """Goes through all tasks as a lane does; see `Lane.through`."""
        failure = ""
        tasks = self._plan(recipe)
        is_more = True
        try:
            while True:
                self._count_done()
                self._admit()
                if self.jobs and self.jobs[0].ends <= self.now:
                    self._write(self.jobs.popleft())
                elif is_more:
                    task = next(tasks, None)
                    is_more = task is not None
                    if task is not None:
                        self.planned.append(task)
                        self.questions += _measure_question(task)
                        self.most_questions = max(self.most_questions, self.questions)
                elif self.jobs:
                    self.now = max(self.now, min(self.jobs[0].ends, self.running[0][0]))
                else:
                    break
            self._finish()
        except OutputError as error:
            failure = str(error)
        return self._sum_up(failure)

    # Planning

    def _plan(self, recipe: Recipe) -> Iterator[Any]:
        ratio = self.given.ratio

        def plan_others(members: Iterable[Member]) -> Iterator[plan.Task]:
            return plan.plan_tasks(members, recipe, lambda member: ratio < 1)

        found = self._find()
        tasks: Any = shards.group_members(found, recipe, False, self.sharing, plan_others)
        cost = shards.choose_cost(self.assumed.jobs, self.assumed.memory)
        grouped = shards.group_tasks(tasks, cost, self.sharing)
        return shards.give_tickets(grouped, self.sharing)

    def _find(self) -> Iterator[Member]:
        each = (self.measured.find + self.measured.plan) * self.factor
        for member in self.given.scale(self.factor).list_members():
            self._work(each)
            yield member

    # What a lane does

    def _admit(self) -> None:
        while self.planned:
            task = self.planned[0]
            is_light = not isinstance(task, TaskShard | MemberShard)
            cost = self._measure_cost(task)
            most = self.assumed.jobs
            is_full = most is not None and len(self.running) >= most
            if self.jobs and (is_full or self.used + cost > self.assumed.memory):
                return
            self.planned.popleft()
            self.questions -= _measure_question(task)
            self.jobs.append(
                _Job(task, self.now, self._make(task), False)
                if is_light
                else self._hand_out(task, cost)
            )

    def _measure_cost(self, task: Any) -> int:
        if isinstance(task, MemberShard):  # its question is that of `factor` times as many members
            return task.cost + 2 * len(task.question) * (self.factor - 1)
        return int(task.cost)

    def _hand_out(self, task: Shard, cost: int) -> _Job:
        measured, assumed = self.measured, self.assumed
        self._work(measured.shard)
        contents = shards.measure(task)
        members = task.members * self.factor if isinstance(task, MemberShard) else 0
        made = self._make(task)
        sent = task.ticket is not None and made >= SMALLEST_PART
        self.largest = max(self.largest, made)
        cpu = contents * measured.compress + members * measured.member
        self.cores += cpu
        takes = assumed.hand_out + cpu + members * assumed.open + contents / assumed.read
        takes += (assumed.request if sent else 0) + made / assumed.send
        self.worker_requests += sent
        ends = max(self.now, heapq.heappop(self.free)) + takes
        heapq.heappush(self.free, ends)
        heapq.heappush(self.running, (ends, self.handed_out, cost, 0 if sent else made))
        self.handed_out += 1
        self.used += cost
        return _Job(task, ends, made, sent)

    def _count_done(self) -> None:
        """What is done counts with what came back, until it is written."""
        while self.running and self.running[0][0] <= self.now:
            _, _, cost, back = heapq.heappop(self.running)
            self.used += back - cost
            self.waiting += back
            self.most_waiting = max(self.most_waiting, self.waiting)

    def _make(self, task: Any) -> int:
        """Bytes that come of a task."""
        count = _count_members(task) * self.factor
        return int(shards.measure(task) * self.given.ratio) + count * self.measured.record

    # Writing, in order

    def _write(self, job: _Job) -> None:
        task, made, is_sent = job.task, job.made, job.sent
        if isinstance(task, TaskShard | MemberShard):
            back = 0 if is_sent else made
            self.used -= back
            self.waiting -= back
            if task.ticket is not None and not (is_sent and self.upload.has_place(task.ticket)):
                self.sharing.give_back(task.ticket)
                if is_sent:  # what S3 has got already does not count
                    self.again += shards.measure(task)
                    self._work(shards.measure(task) * self.measured.compress)
                is_sent = False
        part = make_part(task.ticket.number, made) if is_sent else None
        if not is_sent:
            self._work(made * self.measured.here, made / self.assumed.send)
        if isinstance(task, TaskShard) and isinstance(task.tasks[0], plan.BlockTask):
            self._write_blocks(task.tasks, made, part)
        elif isinstance(task, plan.BlockTask):
            self._write_blocks([task], made, part)
        else:
            pieces = (Uploaded(made, part),) if part else tuple(self.nothing.cut(made))
            self.writer.write_part(Part(pieces, b"", {}))
            count = _count_members(task) * self.factor
            self._work(count * self.measured.answer)
            self._count(count, shards.measure(task))

    def _write_blocks(self, tasks: Iterable[Any], made: int, part: Any) -> None:
        tasks = list(tasks)
        length = sum([task.length for task in tasks])
        for number, task in enumerate(tasks):
            if task.is_first:
                record = make_record(task.member, DEFLATED, 0, 0, 0)
                self.writer.begin_member(record)
            share = made * task.length // length
            if part is not None:
                piece = Uploaded(made if number == 0 else 0, part if number == 0 else None)
                self.writer.write_block(Block((), 0, task.length, sent=piece))
            else:
                self.writer.write_block(Block(tuple(self.nothing.cut(share)), 0, task.length))
            if task.is_last:
                self.writer.end_member(0, must_stay=True)
                self._count(1, 0)
        self._count(0, length)

    def _count(self, members: int, contents: int) -> None:
        self.members += members
        self.contents += contents
        self.directory += members * self.measured.directory

    def _finish(self) -> None:
        self._work(self.directory * self.measured.here, self.directory / self.assumed.send)
        for piece in self.nothing.cut(self.directory):
            self.upload.write(piece)
        self.upload.complete()
        self.now += 2 * self.assumed.request

    def _work(self, cpu: float, least: float = 0.0) -> None:
        """This process computes, or waits for its network, if that takes longer."""
        self.cpu += cpu
        self.now += max(cpu, least)

    def _sum_up(self, failure: str) -> Outcome:
        upload, store = self.upload, self.store
        return Outcome(
            given=self.given,
            workers=self.workers,
            failure=failure,
            members=self.members,
            contents=self.contents,
            size=upload.position,
            parts=tuple(store.sizes),
            seconds=self.now,
            coordinator=self.cpu,
            cores=self.cores,
            requests=store.requests + self.worker_requests,
            received=store.received,
            largest=self.largest,
            tickets=upload.tickets,
            refused=upload.refused,
            returned=upload.returned,
            again=self.again,
            questions=self.most_questions * self.factor,
            in_flight=self.most_waiting,
            held=upload.peak,
        )


def _measure_question(task: Any) -> int:
    return len(task.question) if isinstance(task, MemberShard) else 0


def _count_members(task: Any) -> int:
    """Members that end with a task, but for those that are cut into blocks."""
    if isinstance(task, MemberShard):
        return task.members
    if isinstance(task, TaskShard):
        return sum(map(_count_members, task.tasks))
    return 0 if isinstance(task, plan.BlockTask) else len(task.members)
