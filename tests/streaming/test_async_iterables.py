"""Async iterables of a stream: one task asks them, and closes them however the stream ends."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import AsyncIterator

import pytest

from parazip import Member, Settings, astream, make_member

MIB = 1 << 20
FAST = Settings(level=1)


def test_one_task_asks_and_closes_them() -> None:
    tasks = set()

    async def make_pieces() -> AsyncIterator[bytes]:
        try:
            for _ in range(3):
                tasks.add(asyncio.current_task())
                yield bytes(MIB)
        finally:
            tasks.add(asyncio.current_task())

    async def main() -> None:
        async for _ in astream([make_member("a", make_pieces())], FAST):
            pass

    asyncio.run(main())
    assert len(tasks) == 1


def test_what_they_set_in_their_context_stays_until_they_take_it_back() -> None:
    variable = contextvars.ContextVar("variable", default=b"outside")

    async def make_pieces() -> AsyncIterator[bytes]:
        token = variable.set(b"inside")
        try:
            for _ in range(3):
                yield variable.get() * MIB
        finally:
            variable.reset(token)

    async def main() -> int:
        chunks = astream([make_member("a", make_pieces())], FAST)
        return len([chunk async for chunk in chunks])

    assert asyncio.run(main()) > 0


def test_they_are_closed_where_each_await_is_cancelled_again() -> None:
    """As anyio does where a scope is cancelled, so in Starlette when a client goes away."""
    closed = asyncio.Event()

    async def make_pieces() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield os.urandom(MIB)
        await asyncio.Event().wait()

    async def give_members() -> AsyncIterator[Member]:
        try:
            yield make_member("a", make_pieces())
        finally:
            await asyncio.sleep(0)
            closed.set()

    members = give_members()  # somebody holds it, so no garbage collector closes it

    async def main() -> None:
        has_begun = asyncio.Event()

        async def take_all() -> None:
            async for _ in astream(members, FAST):
                has_begun.set()

        task = asyncio.create_task(take_all())
        await has_begun.wait()
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        await closed.wait()

    asyncio.run(main())
