"""`astream`: a zip archive while it is being made, for programs that run in an event loop.

The archive is made by `stream`, on a thread of its own, as that may wait: for files, for workers,
for a program's iterables. Async iterables are read in the loop that they belong to; the thread
waits for each of their pieces.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from parazip.engine.progress import Sink
from parazip.engine.streaming import stream
from parazip.model import Feed, Member
from parazip.settings import Settings
from parazip.sources.feeds import copy_bytes
from parazip.sources.items import AsyncOnly, Item
from parazip.sources.selection import Selection

T = TypeVar("T")


async def astream(
    members: Iterable[Item] | AsyncIterable[Item],
    settings: Settings | None = None,
    selection: Selection | None = None,
    *,
    prepend: str | os.PathLike[str] | bytes | None = None,
    shebang: str | None = None,
    progress: Sink | None = None,
) -> AsyncGenerator[bytes, None]:
    """A zip archive while it is being made, in an event loop of asyncio; see `stream`.

    Members may be made of async iterables, and be given by one. They are asked for in the loop, one
    after the other; ordinary iterables on another thread, which they may block.

    When a client goes away, close it (`aclose`; frameworks cancel the task that sends, which does
    so). Then all work ends, and async generators that are not at their end are closed.

    Args:
        members: what to put in, in this order.
        settings: level, codec, jobs, memory.
        selection: what to leave out of folders; names and dates of what paths stand for.
        prepend: bytes that are put in front of the archive, or the path of a file that has them.
        shebang: what follows `#!` on the archive's first line.
        progress: called with a `Progress` each time something was made, on another thread.

    Yields:
        Chunks of 64 KiB to 2 MiB, but the last.

    Raises:
        SourceError, MemberNameError, TypeError: see `stream`.
    """
    loop = asyncio.get_running_loop()
    reader = _Reader(loop)
    items = _Awaited(reader, members) if isinstance(members, AsyncIterable) else members
    chunks = stream(
        _bind_members(reader, items),
        settings,
        selection,
        prepend=prepend,
        shebang=shebang,
        progress=progress,
    )
    thread = _Thread(loop)
    reader.start()
    try:
        while (chunk := await thread.call(partial(next, chunks, None))) is not None:
            yield chunk
    finally:
        closed = thread.call(chunks.close)
        thread.end()
        closed.add_done_callback(lambda closed: thread.join())
        # A task that anyio cancels is cancelled again at each `await`: the reader's own task does
        # what has to be done to its end.
        await asyncio.shield(asyncio.gather(closed, reader.end(closed)))


def _bind_members(reader: _Reader, items: Iterable[Item]) -> Iterator[Item]:
    for item in items:
        if isinstance(item, Member) and isinstance(item.source, Feed):
            feed = item.source
            if isinstance(feed.chunks, AsyncOnly):
                chunks = _gather_chunks(item.name, feed.chunks)
                item = item._replace(source=feed._replace(chunks=_Awaited(reader, chunks)))
        yield item


_GATHERED = 64 << 10
"""Bytes for which a thread waits at once: each time costs more than small pieces are worth."""


async def _gather_chunks(name: str, contents: AsyncOnly) -> AsyncGenerator[bytes, None]:
    """The same bytes in longer pieces."""
    iterator = contents.begin()
    try:
        pieces: list[bytes] = []
        size = 0
        async for chunk in iterator:
            pieces.append(copy_bytes(name, chunk))
            size += len(pieces[-1])
            if size >= _GATHERED:
                yield b"".join(pieces)
                pieces, size = [], 0
        yield b"".join(pieces)
    finally:
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()


class _Reader:
    """Asks async iterators in the event loop, for the thread of a stream.

    One task asks all of them and closes them in the end, so what they hold while they are suspended
    (context variables, a cancel scope, a time limit) is that task's all the time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked: asyncio.Queue[tuple[AsyncIterator[Any], Future[Any]]] = asyncio.Queue()
        self._unfinished: list[AsyncIterator[Any]] = []
        self._is_ended = False
        self._closed: Awaitable[object] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to answer; `end` is called some time after the loop goes on."""
        self._task = self._loop.create_task(self._answer_all())

    def wait_for(self, iterator: AsyncIterator[T]) -> tuple[T] | None:
        """What an iterator gives next, None at its end; called on the stream's thread.

        Raises:
            CancelledError: the stream has ended meanwhile.
        """
        answer: Future[tuple[T] | None] = Future()
        self._loop.call_soon_threadsafe(self._ask, iterator, answer)
        return answer.result()

    def end(self, closed: Awaitable[object]) -> asyncio.Task[None]:
        """Asks for nothing any more, and closes the generators that are not at their end.

        Args:
            closed: what has to be done before they are closed.

        Returns:
            What is done when they are.
        """
        assert self._task is not None
        self._is_ended = True
        self._closed = closed
        self._task.cancel()
        return self._task

    def _ask(self, iterator: AsyncIterator[Any], answer: Future[Any]) -> None:
        if self._is_ended:
            answer.cancel()
        else:
            self._asked.put_nowait((iterator, answer))

    async def _answer_all(self) -> None:
        with suppress(asyncio.CancelledError):
            while not self._is_ended:
                await self._answer(*await self._asked.get())
        self._is_ended = True  # also where the loop's end cancels all tasks
        while not self._asked.empty():
            self._asked.get_nowait()[1].cancel()
        if self._closed is not None:
            await self._closed
        for iterator in reversed(self._unfinished):
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()

    async def _answer(self, iterator: AsyncIterator[T], answer: Future[tuple[T] | None]) -> None:
        if iterator not in self._unfinished:
            self._unfinished.append(iterator)
        try:
            answer.set_result((await anext(iterator),))
        except StopAsyncIteration:
            self._unfinished.remove(iterator)
            answer.set_result(None)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        except BaseException as error:
            answer.set_exception(error)
            if not isinstance(error, Exception):
                raise


class _Awaited(Generic[T]):
    """An async iterable as an iterator, for the thread of a stream."""

    def __init__(self, reader: _Reader, iterable: AsyncIterable[T]) -> None:
        self._reader = reader
        self._iterable = iterable
        self._iterator: AsyncIterator[T] | None = None

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._iterator is None:
            self._iterator = aiter(self._iterable)
        found = self._reader.wait_for(self._iterator)
        if found is None:
            raise StopIteration
        return found[0]


class _Thread:
    """Makes calls one after the other on a thread of its own, for an event loop.

    It is a daemon: a call that waits for ever is no reason not to end the program.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None]
        self._calls = SimpleQueue()
        context = contextvars.copy_context()
        target = partial(context.run, _make_calls, self._calls, loop)
        self._thread = threading.Thread(target=target, name="parazip stream", daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """What a call gives, which is made after those before it."""
        future = self._loop.create_future()
        self._calls.put((function, future))
        return future

    def end(self) -> None:
        """The thread ends after the calls that were asked for."""
        self._calls.put(None)

    def join(self) -> None:
        """Waits for the thread, which has nothing to do any more."""
        self._thread.join()


def _make_calls(calls: SimpleQueue[Any], loop: asyncio.AbstractEventLoop) -> None:
    while (call := calls.get()) is not None:
        function, future = call
        try:
            tell = partial(future.set_result, function())
        except BaseException as error:
            tell = partial(future.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_tell_if_asked, future, tell)
        del call, function, future, tell


def _tell_if_asked(future: asyncio.Future[Any], tell: Callable[[], object]) -> None:
    if not future.done():
        tell()
