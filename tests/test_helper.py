from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from parazip import helper
from parazip.helper import Helpers, helpers

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="helpers are forked on Linux only; elsewhere there are none"
)


@pytest.fixture(autouse=True)
def _may_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest or a plugin may have threads; the functions asked here take no locks of theirs."""
    monkeypatch.setattr(helper, "_may_fork", lambda: True)
    monkeypatch.setattr("warnings.warn", lambda *args, **kwargs: None)


@contextmanager
def started(function: Callable[[bytes], bytes], count: int, capacity: int) -> Iterator[Helpers]:
    with helpers(function, count, capacity) as crew:
        crew.start()
        yield crew


def span(question: bytes) -> bytes:
    return b"%d bytes %s in %d" % (len(question), question[:9], os.getpid())


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_an_answer_is_what_the_function_gives_in_another_process() -> None:
    with started(span, 2, 100) as crew:
        assert len(crew) == 2
        answer = crew.ask(b"why?")
        assert answer is not None
        text, _, pid = answer.rpartition(b" in ")
        assert text == b"4 bytes why?"
        assert int(pid) in {helper._pid for helper in crew._all}


def test_threads_share_the_helpers() -> None:
    with started(span, 2, 100) as crew, ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda n: crew.ask(b"%d" % n), range(200)))
    assert [answer and answer.split()[2] for answer in answers] == [b"%d" % n for n in range(200)]


def test_questions_larger_than_a_pipe_and_empty_ones() -> None:
    with started(lambda question: question[::-1], 1, 1 << 20) as crew:
        question = random.Random(1).randbytes(1 << 20)
        assert crew.ask(question) == question[::-1]
        assert crew.ask(b"") == b""


def test_no_answer_where_the_function_raises_and_the_helper_goes_on() -> None:
    def fail_odd(question: bytes) -> bytes:
        if len(question) % 2:
            raise ValueError(question)
        return b"even"

    with started(fail_odd, 1, 100) as crew:
        assert [crew.ask(bytes(n)) for n in range(4)] == [b"even", None, b"even", None]


def test_no_answer_where_it_would_not_fit() -> None:
    with started(lambda question: question, 1, 10) as crew:
        assert crew.ask(bytes(10)) == bytes(10)
        assert crew.ask(bytes(11)) is None
        assert crew.ask(b"x") == b"x"


def test_no_answer_from_a_helper_that_was_killed() -> None:
    with started(span, 1, 100) as crew:
        os.kill(crew._all[0]._pid, signal.SIGKILL)
        assert crew.ask(b"?") is None
        assert crew.ask(b"?") is None


def test_helpers_end_with_the_block_and_after_an_error() -> None:
    pids: list[int] = []

    def fail() -> None:
        with started(span, 3, 100) as crew:
            pids.extend(helper._pid for helper in crew._all)
            assert all(is_running(pid) for pid in pids)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert len(pids) == 3
    assert not any(is_running(pid) for pid in pids)


def test_a_helper_ends_when_its_parent_is_killed() -> None:
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        crew = Helpers(span, 2, 100)
        crew.start()
        os.write(writing, b"%d " % crew._all[0]._pid)
        signal.pause()
        os._exit(0)
    os.close(writing)
    pid = int(os.read(reading, 100))
    assert is_running(pid)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    # The helpers hold the writing end too: it is closed when the last of them has ended.
    while os.read(reading, 100):
        pass
    os.close(reading)


def test_ctrl_c_is_the_parents_affair() -> None:
    with started(span, 1, 100) as crew:
        assert crew.ask(b"?")
        os.kill(crew._all[0]._pid, signal.SIGINT)
        assert crew.ask(b"?")


def test_there_are_none_where_forking_is_not_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper, "_may_fork", lambda: False)
    with started(span, 2, 100) as crew:
        assert len(crew) == 0
        assert crew.ask(b"?") is None


def test_forking_is_safe_only_on_linux_with_a_single_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    assert not helper._may_fork()
    stop.set()
    thread.join()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not helper._may_fork()


@pytest.mark.parametrize("error", [OSError("no processes left"), RuntimeError("Python ends")])
def test_there_are_none_where_none_can_be_forked(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork() -> int:
        raise error

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(os, "fork", fork)
    with started(span, 2, 100) as crew:
        assert len(crew) == 0
        assert crew.ask(b"?") is None
    assert os.listdir("/proc/self/fd") == before
