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
    loop = _Loop(asyncio.get_running_loop())
    items = _Awaited(loop, members) if isinstance(members, AsyncIterable) else members
    chunks = stream(
        _bind_members(loop, items),
        settings,
        selection,
        prepend=prepend,
        shebang=shebang,
        progress=progress,
    )
    thread = _Thread(loop.loop)
    try:
        while (chunk := await thread.call(partial(next, chunks, None))) is not None:
            yield chunk
    finally:
        loop.end()
        closed = thread.call(chunks.close)
        thread.end()
        await asyncio.shield(closed)
        thread.join()
        await loop.close_unfinished()


def _bind_members(loop: _Loop, items: Iterable[Item]) -> Iterator[Item]:
    for item in items:
        if isinstance(item, Member) and isinstance(item.source, Feed):
            feed = item.source
            if isinstance(feed.chunks, AsyncOnly):
                chunks = _gather_chunks(item.name, feed.chunks)
                item = item._replace(source=feed._replace(chunks=_Awaited(loop, chunks)))
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


class _Loop:
    """What the thread of a stream waits for in the event loop.

    Attributes:
        loop: that loop.
        unfinished: generators that were begun, and are not at their end.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.unfinished: list[AsyncIterator[Any]] = []
        self._is_ended = False
        self._waited_for: Future[Any] | None = None

    def wait_for(self, iterator: AsyncIterator[T]) -> tuple[T] | None:
        """What an iterator gives next, None at its end; called on the stream's thread.

        Raises:
            CancelledError: the stream has ended meanwhile.
        """
        future = asyncio.run_coroutine_threadsafe(_take_next(iterator), self.loop)
        self._waited_for = future
        if self._is_ended:
            future.cancel()
        return future.result()

    def end(self) -> None:
        """Nothing is waited for any more."""
        self._is_ended = True
        if self._waited_for is not None:
            self._waited_for.cancel()

    async def close_unfinished(self) -> None:
        """Closes the generators that are not at their end."""
        for iterator in reversed(self.unfinished):
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()


async def _take_next(iterator: AsyncIterator[T]) -> tuple[T] | None:
    try:
        return (await anext(iterator),)
    except StopAsyncIteration:
        return None


class _Awaited(Generic[T]):
    """An async iterable as an iterator, for the thread of a stream."""

    def __init__(self, loop: _Loop, iterable: AsyncIterable[T]) -> None:
        self._loop = loop
        self._iterable = iterable
        self._iterator: AsyncIterator[T] | None = None

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        iterator = self._iterator
        if iterator is None:
            iterator = self._iterator = aiter(self._iterable)
            self._loop.unfinished.append(iterator)
        found = self._loop.wait_for(iterator)
        if found is None:
            self._loop.unfinished.remove(iterator)
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
