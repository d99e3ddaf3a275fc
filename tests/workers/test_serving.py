"""What a helper does, seen from within: what it answers, what it ignores, when it ends."""

from __future__ import annotations

import gc
import mmap
import os
import signal
import threading
from collections.abc import Iterator
from itertools import chain, repeat

import pytest

from parazip.workers import serving
from parazip.workers.channel import make_pair, receive, send
from parazip.workers.helpers import HELLO, LENGTH, NO_ANSWER
from support import helper_functions
from support.patience import HUNG

pytestmark = pytest.mark.skipif(
    not hasattr(os, "posix_spawn"), reason="there are no helpers where posix_spawn is missing"
)


class LeftError(Exception):
    """The process would have ended, with this code."""


@pytest.fixture
def _leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        raise LeftError(code)

    monkeypatch.setattr(os, "_exit", leave)


@pytest.fixture
def _as_before() -> Iterator[None]:
    """What a helper does to its process is undone here."""
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    for number, handler in handlers:
        signal.signal(number, handler)
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("_as_before")
def test_it_answers_each_question_until_the_socket_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where there is no answer, as the call raised or it would not fit, it goes on."""
    watched: list[int] = []
    monkeypatch.setattr(serving, "_end_with_parent", watched.append)
    ours, theirs = make_pair()
    memory = mmap.mmap(-1, 10)
    heard: list[object] = []

    def ask() -> None:
        heard.append(receive(ours, len(HELLO)))
        for question in b"even", b"odd", b"even", bytes(20):
            send(ours, LENGTH.pack(len(question)) + question)
            (length,) = LENGTH.unpack(receive(ours, LENGTH.size))
            heard.append(memory[:length] if length != NO_ANSWER else None)
        ours.close()

    def answer(question: bytes) -> bytes:
        return question if len(question) == 20 else helper_functions.fail_odd(question)

    asking = threading.Thread(target=ask)
    asking.start()
    serving.serve(answer, theirs, memory, 7)
    asking.join(HUNG)
    theirs.close()
    assert heard == [HELLO, b"even", None, b"even", None]
    assert watched == [7]
    assert not gc.isenabled()
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.usefixtures("_leaving")
def test_it_ends_if_its_parent_has_ended_before_it_watches() -> None:
    with pytest.raises(LeftError, match="0"):
        serving._end_with_parent(os.getpid())  # which is not its parent, and does not end


@pytest.mark.usefixtures("_leaving")
def test_it_ends_with_its_parent_where_the_system_cannot_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It looks again and again; who has lost its parent has another one."""
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    parents = chain([7, 7], repeat(1))
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    with pytest.raises(LeftError, match="0"):
        serving._end_with_parent(7)
    assert waits == [1, 1]
