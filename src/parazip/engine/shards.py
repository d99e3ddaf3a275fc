"""Shards: what an executor's workers are handed, wherever they are.

A shard is some consecutive tasks of the plan. What is submitted is one function, `do_shard`, and
plain bytes; what comes back is plain bytes: what came of the tasks, or the error that one of them
ended with. The plan decides the bytes of an archive before anything is grouped, and results are
written in order. So they depend neither on shards nor on who makes them, nor how often.

A worker reads the same files under the same paths, and holds what it finds against what was found
here. It must be what this process is: other versions of parazip or of the codec libraries make
other bytes, and so do other CPUs. Question and answer tell these first, so that nothing of another
version is read.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias, TypeVar

from parazip.codecs import libraries
from parazip.engine import wire
from parazip.engine.plan import BATCH, Batch, BlockTask, CopyBatch, StoredTask
from parazip.engine.wire import WorkerTask
from parazip.errors import ExecutorError, ParazipError, flatten_error, restore_error
from parazip.model import Block, Part
from parazip.sources import contents
from parazip.version import __version__

COST = 13 * BATCH
"""What the tasks of a shard may need together: four full batches or blocks, some 4 MiB of contents.

They keep a worker busy for some 40 ms, where an executor takes one or two for question and answer.
Larger ones would keep more answers in memory here, and workers waiting for the last."""

Result: TypeAlias = Part | Block | None
Other = TypeVar("Other")


class Shard(NamedTuple):
    """Consecutive tasks that one worker does in one go."""

    tasks: list[WorkerTask]

    @property
    def cost(self) -> int:
        """Bytes that they may need."""
        return sum([task.cost for task in self.tasks])

    @property
    def holds_data(self) -> bool:
        """Whether contents of members are in memory before it is done."""
        return any(map(holds_data, self.tasks))


def choose_cost(jobs: int | None, memory: int) -> int:
    """What a shard may need, so that so many of them may be in flight at once."""
    return min(COST, memory // (jobs or 1))


def group_tasks(tasks: Iterable[Other | WorkerTask], most: int = COST) -> Iterator[Other | Shard]:
    """The same tasks in order; those that others can do are in shards.

    Args:
        tasks: those of a plan, and whatever comes between them.
        most: what the tasks of a shard may need, in bytes; a larger one is alone.
    """
    group: list[WorkerTask] = []
    cost = 0
    for task in tasks:
        if not isinstance(task, _KINDS) or not _can_be_handed_out(task):
            if group:
                yield Shard(group)
                group, cost = [], 0
            yield task  # type: ignore[misc] # what stays here is given as it came
            continue
        more = _estimate_work(task)
        if group and cost + more > most:
            yield Shard(group)
            group, cost = [], 0
        group.append(task)
        cost += more
    if group:
        yield Shard(group)


_KINDS = Batch | BlockTask | CopyBatch | StoredTask


def _can_be_handed_out(task: WorkerTask) -> bool:
    """Whether it is worth to be done elsewhere, and its contents can go there."""
    if isinstance(task, BlockTask):
        return contents.can_be_read_again(task.member.source)
    return not (isinstance(task, CopyBatch) and task.makes_headers_only)


def _estimate_work(task: WorkerTask) -> int:
    """The bytes that a task may need, or those that it reads, if they are more."""
    return task.cost if isinstance(task, BlockTask) else max(task.cost, task.size)


def holds_data(task: object) -> bool:
    """Whether contents of members are in memory before a task begins."""
    if isinstance(task, BlockTask):
        return contents.are_in_memory(task.member.source)
    if isinstance(task, Batch):
        return any(contents.are_in_memory(member.source) for member in task.members)
    return isinstance(task, Shard) and task.holds_data


# On the way to a worker, there, and on the way back.


def write_shard(shard: Shard) -> bytes:
    """A shard as plain bytes."""
    questions = [wire.write_question(task) for task in shard.tasks]
    return marshal.dumps((_describe_maker(), _find_folder(), questions), wire.FORMAT)


def do_shard(question: bytes) -> bytes:
    """What a worker is handed: makes what a shard asks for, up to the first error."""
    maker = _describe_maker()
    asked, *rest = marshal.loads(question)
    answers: list[bytes] = []
    failure = None
    if asked == maker:
        folder, questions = rest
        try:
            for each in questions:
                answers.append(
                    wire.answer_question(each, "" if folder == _find_folder() else folder)
                )
        except (ParazipError, MemoryError) as error:
            failure = flatten_error(error)
    return marshal.dumps((maker, answers, failure), wire.FORMAT)


def read_answer(answer: bytes) -> list[Result]:
    """What came of a shard's tasks.

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
    results: Iterable[tuple[Other | Shard, Any]],
) -> Iterator[tuple[Other | WorkerTask, Any]]:
    """Tasks with their results, in order, where some of these are those of shards."""
    for task, result in results:
        if isinstance(task, Shard):
            yield from zip(task.tasks, result, strict=True)
        else:
            yield task, result


def _describe_maker() -> str:
    """All that has a say in the bytes of a part besides its task."""
    return f"parazip {__version__} with {libraries.describe_versions()}"


def _find_folder() -> str:
    """From where paths count; empty if that is gone."""
    with suppress(OSError):
        return os.getcwd()
    return ""
