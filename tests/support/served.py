"""What the servers of the tests send; it takes the place of what docs/streaming.md sends.

The file `kind` in the folder of the server tells what the next download is made of. This file is
copied there, and knows nothing of the other tests.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from parazip import Member, make_member

NOISE = os.urandom(1 << 16)

ENDLESS = 1 << 40

counts: Counter[str] = Counter()
"""How many sources have begun and ended, and how many bytes they gave."""

user: contextvars.ContextVar[str] = contextvars.ContextVar("user")


def make_noise(pieces: int = 128) -> Iterator[bytes]:
    counts["begun"] += 1
    try:
        for _ in range(pieces):
            counts["given"] += len(NOISE)
            yield NOISE
    finally:
        counts["ended"] += 1


def make_failing(error: Exception) -> Iterator[bytes]:
    """Fails when there is a file `fail`: by then a client has the first bytes."""
    for chunk in make_noise(ENDLESS):
        if Path("fail").exists():
            raise error
        yield chunk


def read_rows(connection: sqlite3.Connection) -> Iterator[bytes]:
    for row in connection.execute("values (1), (2), (3)"):
        yield b"%d\n" % row
    connection.close()


def read_user() -> Iterator[bytes]:
    yield user.get().encode()


async def amake_noise(pieces: int = 128) -> AsyncIterator[bytes]:
    counts["begun"] += 1
    try:
        for _ in range(pieces):
            await asyncio.sleep(0)
            yield NOISE
    finally:
        counts["ended"] += 1


async def amake_failing() -> AsyncIterator[bytes]:
    for chunk in make_failing(ValueError("no more rows")):
        await asyncio.sleep(0)
        yield chunk


async def amake_waiting() -> AsyncIterator[bytes]:
    """Gives some, and then nothing for ever."""
    async for chunk in amake_noise():
        yield chunk
    counts["begun"] += 1
    try:
        await asyncio.Event().wait()
    finally:
        counts["ended"] += 1


async def agive_members() -> AsyncIterator[Member]:
    counts["begun"] += 1
    try:
        yield make_member("noise", amake_waiting())
    finally:
        await asyncio.sleep(0)  # as whoever gives a connection back does
        counts["ended"] += 1


kept: list[object] = []


def agive_kept_members() -> AsyncIterator[Member]:
    """Members of a generator that is closed by who asks it, or never."""
    members = agive_members()
    kept.append(members)
    return members


def tell_state() -> list[Member]:
    threads = [thread.name for thread in threading.enumerate()]
    state = {**counts, "threads": threads, "process": os.getpid()}
    return [make_member("state.json", json.dumps(state).encode())]


def read_database() -> list[Member]:
    return [make_member("rows", read_rows(sqlite3.connect(":memory:")))]


def know_user() -> list[Member]:
    user.set("Ada")
    return [make_member("user", read_user())]


def store_noise() -> list[Member]:
    return [
        make_member("one", NOISE, store=True),
        make_member("two", iter([NOISE, NOISE]), size=2 * len(NOISE), store=True),
    ]


def make_one(source: Callable[[], Any]) -> Callable[[], list[Member]]:
    return lambda: [make_member("a", b"a" * 99_999), make_member("noise", source())]


KINDS: dict[str, Callable[[], Any]] = {
    "state": tell_state,
    "stored": store_noise,
    "database": read_database,
    "user": know_user,
    "noise": make_one(make_noise),
    "fails": make_one(lambda: make_failing(ValueError("no more rows"))),
    "fails by system": make_one(lambda: make_failing(BrokenPipeError("the source is gone"))),
    "endless": make_one(lambda: make_noise(ENDLESS)),
    "async noise": make_one(amake_noise),
    "async fails": make_one(amake_failing),
    "async endless": make_one(lambda: amake_noise(ENDLESS)),
    "async waits": make_one(amake_waiting),
    "async given": agive_kept_members,
}


def take_over(names: dict[str, Any]) -> None:
    """Lets the module with these names send what it is told to; `page` is what it sent before.

    A length is not asked for where members come one by one.
    """
    list_members, make_headers = names["list_members"], names["make_headers"]
    kinds = {**KINDS, "page": list_members}
    names["list_members"] = lambda: kinds[Path("kind").read_text()]()
    unknown = [make_member("a", make_noise())]
    names["make_headers"] = lambda name, members: make_headers(
        name, members if isinstance(members, Sequence) else unknown
    )
