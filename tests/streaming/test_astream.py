"""A zip archive while it is being made, in an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

import parazip
from parazip import Settings, astream, make_member
from support.archives import contents_of
from support.patience import HUNG

T = TypeVar("T")
MIB = 1 << 20
FAST = Settings(level=1)


def run(function: Callable[[], Awaitable[T]]) -> T:
    async def within_reason() -> T:
        async with asyncio.timeout(HUNG):
            return await function()

    return asyncio.run(within_reason())


pytestmark = pytest.mark.usefixtures("all_threads_end")


async def take_all(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def count_up(most: int, piece: bytes = b"%d ") -> AsyncIterator[bytes]:
    for number in range(most):
        if number % 100 == 0:
            await asyncio.sleep(0)
        yield piece % number


def joined(most: int, piece: bytes = b"%d ") -> bytes:
    return b"".join(piece % number for number in range(most))


def test_members_come_from_everywhere(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"of a file")
    large = b"%d" + b" " * 10_000

    async def members() -> AsyncIterator[Any]:
        yield make_member("awaited", count_up(1000))
        await asyncio.sleep(0)
        yield make_member("iterated", iter([b"a", b"b"]))
        yield make_member("large", count_up(3000, large), size=len(joined(3000, large)))
        yield make_member("path", tmp_path / "file")

    assert contents_of(run(lambda: take_all(astream(members(), FAST)))) == {
        "awaited": joined(1000),
        "iterated": b"ab",
        "large": joined(3000, large),
        "path": b"of a file",
    }


def test_the_bytes_are_those_of_stream() -> None:
    def members(contents: Any) -> list[parazip.Member]:
        return [make_member("a", b"a"), make_member("b", contents)]

    made = run(lambda: take_all(astream(members(count_up(100_000)))))
    plain = b"".join(parazip.stream(members(iter([joined(100_000)]))))
    assert contents_of(made) == contents_of(plain)
    assert len(made) == len(plain)


def test_async_iterables_are_asked_in_their_loop_and_others_are_not() -> None:
    main = threading.get_ident()
    asked: dict[str, int] = {}

    async def awaited() -> AsyncIterator[bytes]:
        asked["awaited"] = threading.get_ident()
        asyncio.get_running_loop()
        yield b"a"

    def iterated() -> Iterator[bytes]:
        asked["iterated"] = threading.get_ident()
        yield b"a"

    members = [make_member("a", awaited()), make_member("b", iterated())]
    run(lambda: take_all(astream(members)))
    assert asked["awaited"] == main
    assert asked["iterated"] != main


def test_context_variables_are_seen_by_all() -> None:
    variable: contextvars.ContextVar[bytes] = contextvars.ContextVar("variable", default=b"none")

    async def awaited() -> AsyncIterator[bytes]:
        yield variable.get()

    def iterated() -> Iterator[bytes]:
        yield variable.get()

    async def main() -> bytes:
        variable.set(b"set")
        return await take_all(astream([make_member("a", awaited()), make_member("b", iterated())]))

    assert contents_of(run(main)) == {"a": b"set", "b": b"set"}


def test_the_loop_goes_on_while_an_archive_is_made() -> None:
    async def main() -> int:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(turn())
        await take_all(astream([make_member("a", itertools.repeat(bytes(MIB), 100))]))
        beside.cancel()
        return turns

    assert run(main) > 100


@pytest.mark.parametrize("chunks_before", [0, 1, 5])
@pytest.mark.parametrize("kind", ["awaited", "iterated", "waits for ever"])
def test_a_client_that_goes_away_ends_all_work(kind: str, chunks_before: int) -> None:
    ended: list[str] = []

    async def awaited() -> AsyncIterator[bytes]:
        try:
            for number in itertools.count():
                await asyncio.sleep(0)
                yield os.urandom(10_000)
                if kind == "waits for ever" and number == 3000:
                    await asyncio.Event().wait()
        finally:
            ended.append("contents")

    async def members() -> AsyncIterator[Any]:
        try:
            contents = itertools.repeat(bytes(range(256)) * 99) if kind == "iterated" else awaited()
            yield make_member("a", contents)
        finally:
            ended.append("members")

    async def main() -> None:
        taken = asyncio.Event()

        async def client() -> None:
            chunks = astream(members(), FAST)
            try:
                for _ in range(chunks_before):
                    await anext(chunks)
                taken.set()
                await take_all(chunks)
            finally:
                await chunks.aclose()
                ended.append("stream")

        task = asyncio.create_task(client())
        await taken.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended[-1] == "stream"
        assert ("contents" in ended) is (kind != "iterated")
        assert "members" in ended

    run(main)


@pytest.mark.parametrize("piece", [b"", b"row"])
def test_an_iterable_that_never_ends_is_not_waited_for(piece: bytes) -> None:
    async def main() -> None:
        chunks = astream([make_member("a", itertools.repeat(piece))])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(take_all(chunks), 0.1)
        await chunks.aclose()

    run(main)


def test_a_generator_exit_of_theirs_is_an_error() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise GeneratorExit

    with pytest.raises(RuntimeError, match="raised GeneratorExit"):
        run(lambda: take_all(astream([make_member("a", broken())])))


def test_one_that_is_never_begun_leaves_nothing() -> None:
    async def main() -> None:
        await astream([make_member("a", count_up(5))]).aclose()

    run(main)


def test_a_loop_that_ends_ends_the_archive() -> None:
    async def main() -> None:
        chunks = astream([make_member("a", count_up(10**9))], FAST)
        await anext(chunks)

    run(main)


@pytest.mark.parametrize("where", ["members", "contents", "iterated"])
def test_an_error_comes_out_as_it_is(where: str) -> None:
    error = ConnectionResetError("mine")

    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        if where == "contents":
            raise error

    def iterated() -> Iterator[bytes]:
        yield b"a"
        if where == "iterated":
            raise error

    async def members() -> AsyncIterator[Any]:
        yield make_member("a", broken())
        yield make_member("b", iterated())
        if where == "members":
            raise error

    with pytest.raises(ConnectionResetError) as caught:
        run(lambda: take_all(astream(members())))
    assert caught.value is error


def test_many_at_once() -> None:
    async def main() -> list[bytes]:
        streams = [astream([make_member("a", count_up(20_000))], FAST) for _ in range(20)]
        return await asyncio.gather(*map(take_all, streams))

    assert all(contents_of(made) == {"a": joined(20_000)} for made in run(main))


def test_what_was_awaited_is_not_put_in_again_as_nothing() -> None:
    member = make_member("a", count_up(5))
    assert contents_of(run(lambda: take_all(astream([member])))) == {"a": joined(5)}
    with pytest.raises(parazip.SourceError, match="a a second time"):
        run(lambda: take_all(astream([member])))


def test_stream_says_what_to_use_for_async_iterables() -> None:
    with pytest.raises(TypeError, match="a is made by an async iterable: use astream"):
        list(parazip.stream([make_member("a", count_up(1))]))
    with pytest.raises(TypeError):
        parazip.stream(count_up(1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="members are needed"):
        run(lambda: take_all(astream(None)))  # type: ignore[arg-type]
