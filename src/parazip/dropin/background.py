"""Compresses contents that come call by call, on workers, and gives the results in order.

To put something in waits for nothing; to hand it to the workers waits where the budget is used up,
for room. Results are given to the thread that does so, so one thread at a time writes the archive
and keeps its books, and there is no lock of ours.

Members that are compressed whole share tasks, as in `plan`: up to `plan.BATCH` bytes and
`plan.BATCH_MEMBERS` members. A task that is no larger than a thread is worth is done where its
result is given; until one comes that is, there are no threads, and no pool.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from parazip import codecs
from parazip.model import DEFLATE_STORED, STORE, Block, Buffer, Coder
from parazip.plan import BATCH, BATCH_MEMBERS
from parazip.pool import Budget, Pool, usable_cpus, workers

Owner = TypeVar("Owner")

_LIGHT = 64 << 10
"""Bytes that are compressed sooner than a thread has started and taken the GIL twice."""


class Whole(NamedTuple, Generic[Owner]):
    """A member that is compressed whole.

    Attributes:
        owner: whose contents these are.
        coder: compresses them; `STORE` leaves them as they are.
        chunks: the contents, as they came.
        size: their bytes.
    """

    owner: Owner
    coder: Coder
    chunks: list[bytes]
    size: int


class Batch(NamedTuple, Generic[Owner]):
    """Members that one task compresses, one after the other."""

    members: list[Whole[Owner]]
    size: int


class Piece(NamedTuple, Generic[Owner]):
    """A block of a member that is cut.

    Attributes:
        owner: whose contents these are.
        coder: compresses them.
        window: the up to 32 KiB before them.
        data: the block's bytes.
        start: where in the member they begin.
        last: whether the member ends with them.
    """

    owner: Owner
    coder: Coder
    window: Buffer
    data: Buffer
    start: int
    last: bool

    @property
    def size(self) -> int:
        """The block's bytes."""
        return len(self.data)


Task: TypeAlias = Batch[Owner] | Piece[Owner]
Packed: TypeAlias = list[tuple[int, Buffer]]
"""What becomes of a batch: each member's CRC-32 and its compressed bytes."""


class Background(Generic[Owner]):
    """Workers, what they have to do, and what they have done.

    Attributes:
        at_rest: whether all is in order: False once an error came out of `results`, or while what
            it gave is dealt with; what was put in and not given back is gone then.

    Args:
        jobs: how many threads to have at most; None for the CPUs that this process may use.
        memory: bytes that may be in flight at once.
    """

    def __init__(self, jobs: int | None, memory: int) -> None:
        self.at_rest = True
        self._process = os.getpid()
        self._batch: list[Whole[Owner]] = []
        self._size = 0
        self._queue: _Queue[Task[Owner]] = _Queue()
        self._threads = _Threads(jobs)
        self._pool: Pool[Task[Owner], Packed | Block] = Pool(
            _compress,
            Budget(memory),
            cost=lambda task: 3 * task.size,
            weight=_weight,
            is_light=_is_light,
        )
        self._needs_threads = False
        self._along: Generator[Any, None, None] | None = None
        self._until: Callable[[], bool] = bool

    @property
    def is_elsewhere(self) -> bool:
        """Whether this is a forked copy, whose threads are in another process."""
        return self._needs_threads and self._process != os.getpid()

    def whole(self, owner: Owner, coder: Coder, chunks: list[bytes], size: int) -> None:
        """Puts in a member that is compressed whole; see `Whole`."""
        if self._size + size > BATCH:
            self.end_batch()
        self._batch.append(Whole(owner, coder, chunks, size))
        self._size += size
        if self._size >= BATCH or len(self._batch) == BATCH_MEMBERS:
            self.end_batch()

    def piece(self, piece: Piece[Owner]) -> None:
        """Puts in a block; the blocks of a member come one after the other."""
        self.end_batch()
        self._put(piece)

    def _put(self, task: Task[Owner]) -> None:
        self._queue.tasks.append(task)
        self._needs_threads = self._needs_threads or not _is_light(task)

    def end_batch(self) -> None:
        """Does not wait for more members to share a task with those that were put in last."""
        if self._batch:
            self._put(Batch(self._batch, self._size))
            self._batch, self._size = [], 0

    @property
    def is_idle(self) -> bool:
        """Whether all that was put in has been given back."""
        return self._along is None and not (self._batch or self._queue.tasks)

    @property
    def has_new(self) -> bool:
        """Whether there are tasks that the workers have not been given yet."""
        return bool(self._queue.tasks)

    def results(self, until: Callable[[], bool]) -> Generator[tuple[Task[Owner], Any], None, None]:
        """Gives new tasks to the workers, and each finished task with its result.

        Args:
            until: asked when there is nothing to do but to wait: whether to wait no more. If it
                is never true, all results are given.
        """
        if not self._needs_threads:
            self.at_rest = False
            while self._queue.tasks:
                task = self._queue.tasks.popleft()
                yield task, _compress(task)
            self.at_rest = True
            return
        if self.is_elsewhere:
            raise RuntimeError("this archive is being written by the process that forked this one")
        while True:
            self._until = until
            with self._pool.interrupts_held():
                self.at_rest = False
                if self._along is None:
                    self._along = self._pool.along(
                        self._queue, self._threads, lambda: self._until()
                    )
                for done in self._along:
                    if done is None:
                        self.at_rest = True
                        break
                    yield done
                else:
                    self._along = None
                    self.at_rest = True
                    return
            if until():
                return

    def close(self) -> None:
        """Ends all threads. What was not given back is dropped."""
        if self.is_elsewhere:
            return
        if self._along is not None:
            self._along.close()
        self._threads.shutdown()


class _Queue(Generic[Owner]):
    """An iterator that has ended for now when it is empty."""

    def __init__(self) -> None:
        self.tasks: deque[Owner] = deque()

    def __iter__(self) -> _Queue[Owner]:
        return self

    def __next__(self) -> Owner:
        if self.tasks:
            return self.tasks.popleft()
        raise StopIteration


class _Threads(Executor):
    """Threads, from the first task on."""

    def __init__(self, jobs: int | None) -> None:
        self._jobs = jobs
        self._threads: Executor | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self._threads is None:
            self._threads = workers(self._jobs or usable_cpus())
        return self._threads.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait, cancel_futures=cancel_futures)


def _is_light(task: Task[Any]) -> bool:
    return task.size <= _LIGHT


def _compress(task: Batch[Any] | Piece[Any]) -> Packed | Block:
    """What a worker does."""
    if isinstance(task, Batch):
        return [_whole(member) for member in task.members]
    coder, data = task.coder, task.data
    if coder != STORE and not codecs.shrinks(len(data), lambda at, size: data[at : at + size]):
        coder = DEFLATE_STORED
    packed = codecs.compress_block(coder, task.window, data, task.start, task.last)
    return Block(packed, codecs.crc32(data), len(data))


def _whole(member: Whole[Any]) -> tuple[int, Buffer]:
    _, coder, chunks, _ = member
    crc = 0
    for chunk in chunks:
        crc = codecs.crc32(chunk, crc)
    return crc, b"".join(chunks) if coder == STORE else codecs.deflate_whole(coder, chunks)


def _weight(result: Packed | Block) -> int:
    if isinstance(result, Block):
        return sum(map(len, result.data))
    return sum([len(packed) for _, packed in result])
