"""Shards: what an executor's workers are handed, wherever they are.

What is submitted is one function, `do_shard`, and plain bytes; what comes back is plain bytes: what
came of the work, or the error that it ended with. There are two kinds of shards:

* A `TaskShard` is some consecutive tasks of the plan. Their bytes come back.
* A `MemberShard` is some consecutive members. The worker plans and makes them by itself and, if the
  archive goes into a store, sends them there as one part of it. What comes back then is their
  directory. What is less than the store takes for a part comes back all the same. A `TaskShard` of
  blocks of a very large member goes the same way.

The plan decides the bytes of an archive, however members are grouped, and results are written in
order. So they depend neither on shards nor on who makes them, nor how often.

A worker reads the same files under the same paths, and holds what it finds against what was found
here. It must be what this process is: other versions of parazip or of the codec libraries make
other bytes, and so do other CPUs. Question and answer tell these first, so that nothing of another
version is read.
"""

from __future__ import annotations

import io
import marshal
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias, TypeGuard, TypeVar

from parazip.codecs import libraries
from parazip.codecs.levels import Recipe
from parazip.engine import plan, wire
from parazip.engine.plan import BATCH, Batch, BlockTask, CopyBatch, MembersTask, StoredTask
from parazip.engine.progress import Counter
from parazip.engine.results import ResultWriter
from parazip.engine.wire import WorkerTask
from parazip.engine.writer import ArchiveWriter
from parazip.errors import ExecutorError, ParazipError, flatten_error, restore_error
from parazip.format.values import Buffer
from parazip.model import Block, Member, Part, SentPart, Ticket, Uploaded
from parazip.output.places import send_part
from parazip.output.stream import Output, Sharing
from parazip.sources import contents
from parazip.sources.files import find_current_folder
from parazip.version import __version__

COST = 13 * BATCH
"""What the tasks of a shard may need together: four full batches or blocks, some 4 MiB of contents.

They keep a worker busy for some 40 ms, where an executor takes one or two for question and answer.
Larger ones would keep more answers in memory here, and workers waiting for the last."""

HEAD = 32 << 20
"""So much of a very large member comes back always: its header is filled in at last, and what it
stands in must be enough for a part."""

MOST_MEMBERS = 16 << 10
"""Members of a shard: their names and paths are some MB of question then."""

_MOST_DATA = 4 << 20
"""Bytes of contents that a question may have in it."""

_ANSWER = 6 << 20
"""Bytes that come back of a `MemberShard` at most, besides its directory: what is no part."""

Result: TypeAlias = Part | Block | None
Other = TypeVar("Other")


class TaskShard(NamedTuple):
    """Consecutive tasks that one worker does in one go.

    Attributes:
        tasks: these.
        ticket: by which it sends their blocks to the store, if it does.
    """

    tasks: list[WorkerTask]
    ticket: Ticket | None = None

    @property
    def cost(self) -> int:
        """Bytes that they may need here."""
        return _ANSWER if self.ticket else sum([task.cost for task in self.tasks])

    @property
    def holds_data(self) -> bool:
        """Whether contents of members are in memory before it is done."""
        return any(map(holds_data, self.tasks))


class MemberShard(NamedTuple):
    """Consecutive members that one worker makes by itself.

    The members are not held: there may be many shards, and each is thousands of members.

    Attributes:
        question: a `MembersTask` as plain bytes.
        members: how many members there are.
        size: their uncompressed bytes.
        last: the name of the last one.
        holds_data: whether contents of members are in the question.
        ticket: by which the worker sends them to the store, if it does.
    """

    question: bytes
    members: int
    size: int
    last: str
    holds_data: bool
    ticket: Ticket | None = None

    @property
    def cost(self) -> int:
        """Bytes that it may need here."""
        answer = _ANSWER if self.ticket else max(_ANSWER, self.size)
        return answer + 2 * len(self.question)

    def plan(self) -> Iterator[plan.Task]:
        """The tasks that make its members."""
        return wire.read_members(self.question).plan(contents.looks_compressible)


Shard: TypeAlias = TaskShard | MemberShard


def choose_cost(jobs: int | None, memory: int) -> int:
    """What a shard of tasks may need, so that so many of them may be in flight at once."""
    return min(COST, memory // (jobs or 1))


# Grouping


def group_members(
    members: Iterable[Member],
    recipe: Recipe,
    check: bool,
    sharing: Sharing,
    plan_others: Callable[[Iterable[Member]], Iterator[plan.Task]],
) -> Iterator[MemberShard | plan.Task]:
    """Members in order, as shards; and the tasks of those that are not one worker's affair.

    Args:
        members: what is to be put in.
        recipe: how they are made.
        check: whether the CRC-32 of what is copied is checked.
        sharing: tells how much one worker should get.
        plan_others: the tasks of some members.
    """
    limit = sharing.size

    def goes_along(member: Member) -> bool:
        """Whether a worker can make a member without knowing where in the archive it is."""
        nonlocal limit
        if member.size > limit:  # which may have grown
            limit = sharing.size
        return member.align <= 1 and contents.can_travel(member.source, limit, _MOST_DATA)

    for go_along, group in groupby(members, goes_along):
        if not go_along:
            yield from plan_others(group)
            continue
        together: list[Member] = []
        size = held = 0
        for member in group:
            length = member.size
            data = contents.count_bytes_in_memory(member.source)
            is_full = len(together) == MOST_MEMBERS or held + data > _MOST_DATA
            if together and (is_full or size + length > limit):
                yield _make_member_shard(MembersTask(together, recipe, check, size), held > 0)
                together, size, held = [], 0, 0
                limit = sharing.size
            together.append(member)
            size += length
            held += data
        yield _make_member_shard(MembersTask(together, recipe, check, size), held > 0)
        limit = sharing.size


def _make_member_shard(task: MembersTask, holds_data: bool) -> MemberShard:
    members = task.members
    question = wire.write_question(task)
    return MemberShard(question, len(members), task.size, members[-1].name, holds_data)


def group_tasks(
    tasks: Iterable[Other | WorkerTask], most: int = COST, sharing: Sharing | None = None
) -> Iterator[Other | TaskShard]:
    """The same tasks in order; those that others can do are in shards.

    Args:
        tasks: those of a plan, and whatever comes between them.
        most: what the tasks of a shard may need, in bytes; a larger one is alone.
        sharing: tells how many blocks behind the head of a large member one worker should get, if
            it sends them by itself.
    """
    group: list[WorkerTask] = []
    work = 0
    for task in tasks:
        if not isinstance(task, _KINDS) or not _can_be_handed_out(task):
            if group:
                yield TaskShard(group)
                group, work = [], 0
            yield task  # type: ignore[misc] # what stays here is given as it came
            continue
        is_rest = sharing is not None and _is_rest(task)
        more = measure(task) if is_rest else _estimate_work(task)
        limit = sharing.size if sharing is not None and is_rest else most
        if group and (work + more > limit or is_rest != _is_rest(group[0])):
            yield TaskShard(group)
            group, work = [], 0
        group.append(task)
        work += more
    if group:
        yield TaskShard(group)


def give_tickets(tasks: Iterable[Other | Shard], sharing: Sharing) -> Iterator[Other | Shard]:
    """The same in order; shards have a ticket, if they may fill a part of the archive."""
    for task in tasks:
        size = measure(task)
        if size >= _ANSWER and _can_be_sent(task):
            yield task._replace(ticket=sharing.give_ticket(size))
        else:
            sharing.leave_room(size)
            yield task


def _can_be_sent(task: object) -> TypeGuard[Shard]:
    is_rest = isinstance(task, TaskShard) and _is_rest(task.tasks[0])
    return is_rest or isinstance(task, MemberShard)


def _is_rest(task: WorkerTask) -> bool:
    """Whether it is a block behind the head of a large member."""
    return isinstance(task, BlockTask) and task.start >= HEAD


_KINDS = Batch | BlockTask | CopyBatch | StoredTask


def _can_be_handed_out(task: WorkerTask) -> bool:
    """Whether it is worth to be done elsewhere, and its contents can go there."""
    if isinstance(task, BlockTask):
        source = task.member.source
        return contents.can_be_read_again(source) and not contents.are_in_memory(source)
    return not (isinstance(task, CopyBatch) and task.makes_headers_only)


def _estimate_work(task: WorkerTask) -> int:
    """The bytes that a task may need, or those that it reads, if they are more."""
    return task.cost if isinstance(task, BlockTask) else max(task.cost, task.size)


def measure(task: object) -> int:
    """Bytes of contents, as far as they are known."""
    match task:
        case TaskShard():
            return sum(map(measure, task.tasks))
        case BlockTask():
            return task.length
        case plan.StreamTask():
            return task.member.size
        case Batch() | CopyBatch() | StoredTask() | MemberShard():
            return task.size
    return 0


def holds_data(task: object) -> bool:
    """Whether contents of members are in memory before a task begins."""
    if isinstance(task, BlockTask):
        return contents.are_in_memory(task.member.source)
    if isinstance(task, Batch):
        return any(contents.are_in_memory(member.source) for member in task.members)
    return isinstance(task, TaskShard | MemberShard) and task.holds_data


# On the way to a worker, there, and on the way back.


def write_shard(shard: Shard) -> bytes:
    """A shard as plain bytes."""
    if isinstance(shard, MemberShard):
        tag, questions = _MEMBERS, [shard.question]
    else:
        tag, questions = _TASKS, [wire.write_question(task) for task in shard.tasks]
    ticket = shard.ticket and tuple(shard.ticket)
    question: Any = _describe_maker(), find_current_folder(), tag, ticket, questions
    return marshal.dumps(question, wire.FORMAT)


_TASKS, _MEMBERS = "tasks", "members"
"""How the kinds of shards are called."""


def do_shard(question: bytes) -> bytes:
    """What a worker is handed: makes what a shard asks for, up to the first error."""
    maker = _describe_maker()
    asked, *rest = marshal.loads(question)
    answers: list[bytes] = []
    failure = None
    if asked == maker:
        folder, tag, flat, questions = rest
        folder = "" if folder == find_current_folder() else folder
        ticket = flat and Ticket(*flat)
        try:
            if tag == _MEMBERS:
                answers = [wire.write_answer(_make_members(questions[0], folder, ticket))]
            elif ticket is not None:
                answers = _send_blocks(questions, folder, ticket)
            else:
                for each in questions:
                    answers.append(wire.answer_question(each, folder))
        except (ParazipError, MemoryError) as error:
            failure = flatten_error(error)
    return marshal.dumps((maker, answers, failure), wire.FORMAT)


def _make_members(question: bytes, folder: str, ticket: Ticket | None) -> Part | None:
    """Members as one part; None if it counts where in the archive they are."""
    task = wire.read_members(question, folder)
    made = io.BytesIO()
    output = Output(made, "a part of the archive")
    writer = ArchiveWriter(output)
    results = ResultWriter(writer, output, Counter(None))
    for _ in results.make_here(task.plan(contents.looks_compressible)):
        pass
    if writer.aligned:
        return None
    data = made.getvalue()  # without a copy
    sent = _send(data, ticket)
    piece = data if sent is None else Uploaded(len(data), sent)
    return Part((piece,), writer.directory_since(0, 0), results.tallies)


def _send_blocks(questions: list[bytes], folder: str, ticket: Ticket) -> list[bytes]:
    """Answers of blocks of one member, which have been sent if they fill a part."""
    blocks: list[Block] = []
    is_over = False
    for question in questions:
        task = wire.read_question(question, folder)
        assert isinstance(task, BlockTask)
        block = wire.do_task(task)
        assert isinstance(block, Block)
        # What is behind the end is not written: the file ended earlier than the system told.
        blocks.append(block._replace(data=()) if is_over else block)
        is_over = is_over or block.is_last
    joined = [b"".join(block.data) for block in blocks]
    sent = _send(b"".join(joined), ticket)
    if sent is not None:
        pieces = [Uploaded(len(data), sent if i == 0 else None) for i, data in enumerate(joined)]
        blocks = [
            block._replace(data=(), sent=piece) for block, piece in zip(blocks, pieces, strict=True)
        ]
    return [wire.write_answer(block) for block in blocks]


def _send(data: Buffer, ticket: Ticket | None) -> SentPart | None:
    """Sends a part, if there are enough bytes for one, and somebody who takes it."""
    if ticket is None or len(data) < ticket.smallest:
        return None
    return send_part(ticket, data)


def read_answer(answer: bytes) -> list[Result]:
    """What came of a shard's tasks, or of its members.

    Raises:
        ExecutorError: the worker has other versions.
        ParazipError, MemoryError: what it met, as if it had met it here.
    """
    maker, *rest = marshal.loads(answer)
    if maker != _describe_maker():
        raise ExecutorError(
            f"a worker has {maker}, and here is {_describe_maker()}: they would not make the same "
            "bytes; install the same versions everywhere, and use CPUs of one kind"
        )
    answers, failure = rest
    if failure is not None:
        raise restore_error(failure)
    return [wire.read_answer(each) for each in answers]


def take_apart(
    results: Iterable[tuple[Other | Shard, Any]], sharing: Sharing | None = None
) -> Iterator[tuple[Other | WorkerTask | MemberShard, Any]]:
    """Tasks and members with their results, in order, where some of these are those of shards.

    Args:
        results: of a lane.
        sharing: where parts of shards were sent. If what was written here does not let a part
            follow, its shard is made here once more.
    """
    for task, result in results:
        if not isinstance(task, TaskShard | MemberShard):
            yield task, result
            continue
        if sharing is not None and task.ticket is not None:
            result = _settle(task, result, task.ticket, sharing)
        if isinstance(task, MemberShard):
            yield task, result[0]
        else:
            yield from zip(task.tasks, result, strict=True)


def _settle(shard: Shard, result: list[Result], ticket: Ticket, sharing: Sharing) -> Iterable[Any]:
    """The results of a shard that was to be sent, as they can be written."""
    is_sent = _is_sent(result[0])
    if is_sent and sharing.has_place(ticket):
        return result
    sharing.give_back(ticket)
    if not is_sent:
        return result
    return [None] if isinstance(shard, MemberShard) else map(wire.do_task, shard.tasks)


def _is_sent(result: Result) -> bool:
    if isinstance(result, Block):
        return result.sent is not None
    return result is not None and isinstance(result.data[0], Uploaded)


def _describe_maker() -> str:
    """All that has a say in the bytes of a part besides its task."""
    return f"parazip {__version__} with {libraries.describe_versions()}"
