"""Helper processes: their answers, where there are none, and how they end."""

from __future__ import annotations

import itertools
import json
import mmap
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import parazip
from parazip.engine import sections
from parazip.workers import helpers as helpers_module
from parazip.workers import starting
from parazip.workers.channel import make_pair
from parazip.workers.helpers import Helper, Helpers, HelpersClosedError, running_helpers
from parazip.workers.system import own
from support import helper_functions
from support.patience import HUNG
from support.places import TESTS

pytestmark = pytest.mark.skipif(
    not hasattr(os, "posix_spawn"), reason="there are no helpers where posix_spawn is missing"
)

FOLDERS = [str(TESTS), str(Path(helpers_module.__file__).parents[2])]

SPAN = helper_functions.span


@pytest.fixture(params=["afresh", "forked"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARAZIP_HELPERS", raising=False)
    if request.param == "forked":
        if sys.platform != "linux":
            pytest.skip("forks on Linux only")
        monkeypatch.setattr(starting, "may_fork", True)
        # pytest or a plugin may have threads; the functions asked here take no locks of theirs.
        monkeypatch.setattr(starting, "_is_single_threaded", lambda: True)
        monkeypatch.setattr("warnings.warn", lambda *args, **kwargs: None)


@contextmanager
def started(function: Callable[[bytes], bytes], count: int, capacity: int) -> Iterator[Helpers]:
    name = f"{function.__module__}:{function.__name__}"
    with running_helpers(name, count, capacity, FOLDERS) as crew:
        crew.start()
        for helper in all_of(crew, count):  # as a test is to ask all of them, and not who is first
            assert helper.socket.recv(1, socket.MSG_PEEK), "it ended before it had begun"
        yield crew


def all_of(crew: Helpers, count: int) -> list[Helper]:
    """The helpers, once so many have begun."""
    end = time.monotonic() + HUNG
    while len(crew._processes.helpers) < count and time.monotonic() < end:
        time.sleep(0.01)
    return crew._processes.helpers


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_for_end(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    assert select.select([descriptor], [], [], 60)[0]
    os.close(descriptor)


def test_an_answer_is_what_the_function_gives_in_another_process() -> None:
    with started(SPAN, 2, 100) as crew:
        answer = crew.ask(b"why?")
        assert answer is not None
        text, _, pid = answer.rpartition(b" in ")
        assert text == b"4 bytes why?"
        assert int(pid) in {helper._pid for helper in crew._processes.helpers}


def test_threads_share_the_helpers() -> None:
    with started(SPAN, 2, 100) as crew, ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda n: crew.ask(b"%d" % n), range(200)))
    given = [answer and answer.split()[2] for answer in answers]
    assert all(text in (None, b"%d" % n) for n, text in enumerate(given))
    assert sum(text is not None for text in given) > 100


def test_questions_larger_than_a_socket_takes_and_empty_ones() -> None:
    with started(helper_functions.turn, 1, 1 << 20) as crew:
        question = random.Random(1).randbytes(1 << 20)
        assert crew.ask(question) == question[::-1]
        assert crew.ask(b"") == b""


def test_no_answer_where_the_function_raises_and_the_helper_goes_on() -> None:
    with started(helper_functions.fail_odd, 1, 100) as crew:
        assert [crew.ask(bytes(n)) for n in range(4)] == [b"even", None, b"even", None]


def test_no_answer_where_it_would_not_fit() -> None:
    with started(helper_functions.turn, 1, 10) as crew:
        assert crew.ask(bytes(10)) == bytes(10)
        assert crew.ask(bytes(11)) is None
        assert crew.ask(b"x") == b"x"


def test_no_answer_from_a_helper_that_was_killed() -> None:
    with started(SPAN, 1, 100) as crew:
        os.kill(crew._processes.helpers[0]._pid, signal.SIGKILL)
        assert crew.ask(b"?") is None
        assert crew.ask(b"?") is None
    with started(helper_functions.die, 1, 100) as crew:
        assert crew.ask(b"?") is None


def test_a_dead_helper_does_not_end_a_program_that_leaves_sigpipe_to_the_system() -> None:
    program = """
import os, signal, sys
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
sys.path[:0] = sys.argv[1:]
from parazip.workers.helpers import running_helpers
for _ in range(20):
    with running_helpers("support.helper_functions:span", 1, 100, sys.argv[1:]) as crew:
        crew.start()
        helper = crew._processes.begun.get()
        crew._processes.begun.put(helper)
        helper.socket.recv(1, 2)
        os.kill(helper._pid, signal.SIGKILL)
        os.waitpid(helper._pid, 0)
        assert crew.ask(bytes(1 << 20)) is None
print("alive")
"""
    command = [sys.executable, "-c", program, *FOLDERS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("alive\n", "", 0)


def test_helpers_end_with_the_block_and_after_an_error() -> None:
    pids: list[int] = []

    def fail() -> None:
        with started(SPAN, 3, 100) as crew:
            pids.extend(helper._pid for helper in crew._processes.helpers)
            assert all(map(is_running, pids))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert len(pids) == 3
    assert not any(map(is_running, pids))


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the test waits for processes by pidfd")
def test_a_helper_ends_with_its_parent_whatever_it_waits_for(tmp_path: Path) -> None:
    """Also while another copy of the parent holds the socket open."""
    if starting.may_fork:
        pytest.skip("the program below starts them afresh")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    program = """
import os, signal, sys, threading
sys.path[:0] = sys.argv[2:]
from parazip.workers.helpers import running_helpers
with running_helpers("support.helper_functions:wait_for_ever", 1, 100, sys.argv[2:]) as crew:
    crew.start()
    assert crew.ask(b"") is None
    if not os.fork():
        signal.pause()
    crew.ask(os.fsencode(sys.argv[1]))
"""
    command = [sys.executable, "-c", program, str(fifo), *FOLDERS]
    with subprocess.Popen(command, start_new_session=True) as parent:
        with fifo.open("rb") as told:
            pid = int(told.read(20))
        assert is_running(pid)
        parent.kill()
        wait_for_end(pid)
        os.killpg(parent.pid, signal.SIGKILL)  # the copy


def test_closing_does_not_wait_for_a_helper_that_never_ends(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            crew.ask(os.fsencode(fifo))
        except HelpersClosedError as error:
            raised.append(error)

    with started(helper_functions.wait_for_ever, 1, 100) as crew:
        asking = threading.Thread(target=ask)
        asking.start()
        with fifo.open("rb") as told:
            pid = int(told.read(20))
    asking.join()
    assert not is_running(pid)
    assert len(raised) == 1


def test_ctrl_c_is_the_parents_affair() -> None:
    with started(SPAN, 1, 100) as crew:
        assert crew.ask(b"?")
        os.kill(crew._processes.helpers[0]._pid, signal.SIGINT)
        assert crew.ask(b"?")


@pytest.mark.parametrize("state", ["SIGCHLD ignored", "all signals blocked", "children reaped"])
def test_signals_of_the_program_do_not_matter(state: str) -> None:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    before = signal.getsignal(signal.SIGCHLD)
    try:
        if state == "SIGCHLD ignored":
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        elif state == "all signals blocked":
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        with started(SPAN, 1, 100) as crew:
            assert crew.ask(b"?")
            pid = crew._processes.helpers[0]._pid
            if state == "children reaped":
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        assert not is_running(pid)
    finally:
        signal.signal(signal.SIGCHLD, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what a process has")
def test_a_fresh_helper_has_nothing_of_the_program() -> None:
    if starting.may_fork:
        pytest.skip("a copy has all of it")
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    with started(helper_functions.surroundings, 1, 1000) as crew:
        answer = crew.ask(b"")
    os.close(reading)
    os.close(writing)
    assert answer is not None
    files, alien, ignores_ctrl_c = json.loads(answer)
    assert not [file for file in files if file.startswith("pipe:")]
    assert os.devnull in files
    assert alien == []
    assert ignores_ctrl_c


WHY_NONE = {
    "asked not to": lambda patch: patch.setenv("PARAZIP_HELPERS", "0"),
    "greenlets": lambda patch: patch.setattr("_thread.start_new_thread", lambda *args: None),
    "frozen": lambda patch: patch.setattr(sys, "frozen", True, raising=False),
    "no name": lambda patch: patch.setattr(sys, "executable", ""),
    "a server": lambda patch: patch.setattr(sys, "executable", "/usr/sbin/uwsgi"),
    "another python": lambda patch: patch.setattr(sys, "executable", "/bin/true"),
    "nothing there": lambda patch: patch.setattr(sys, "executable", "/nowhere/python3"),
}


@pytest.mark.parametrize("why", WHY_NONE)
def test_there_are_none_where_that_is_not_safe(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "may_fork", False)
    WHY_NONE[why](monkeypatch)
    with running_helpers("support.helper_functions:span", 2, 100, FOLDERS) as crew:
        crew.start()
        assert crew.ask(b"?") is None


def test_there_are_none_where_the_system_gives_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    if starting.may_fork:
        pytest.skip("copies are started by the thread that asks")

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with running_helpers("support.helper_functions:span", 2, 100, FOLDERS) as crew:
        crew.start()
        assert not crew.are_started
        assert crew.ask(b"?") is None


def test_a_copy_of_the_program_does_not_ask_helpers_of_the_original(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both would read each other's answers."""
    with started(SPAN, 1, 100) as crew:
        with monkeypatch.context() as copy:
            other = SimpleNamespace(**{**vars(own), "getpid": lambda: own.getpid() + 1})
            copy.setattr(helpers_module, "own", other)
            assert crew.ask(b"?") is None
        assert crew.ask(b"?")


@pytest.mark.parametrize("ends", [False, True])
def test_who_says_no_hello_is_not_asked_and_ended(
    ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helpers_module, "_PATIENCE", 0.01)
    ours, theirs = make_pair()
    if ends:
        theirs.close()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        helper = Helper(process.pid, ours, mmap.mmap(-1, 8))
        assert not helper.is_ready()
        assert not helper.is_alive
        helper.close()
        assert not is_running(process.pid)
    theirs.close()


def test_memory_is_shared_where_the_system_has_none_without_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with started(SPAN, 1, 100) as crew:
        answer = crew.ask(b"why?")
    assert answer is not None
    assert answer.startswith(b"4 bytes why?")


def test_an_embedding_program_does_not_start_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may well be called python, or tell that it is."""
    monkeypatch.setattr(starting, "may_fork", False)
    other = tmp_path / "python3"
    other.write_text("#!/bin/sh\nexit 0\n")
    other.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(other))
    assert starting.runs_in_python() == (sys.platform != "linux")


def refuse_to_tell(path: str) -> list[str]:
    raise FileNotFoundError(path)


def test_forking_is_safe_only_on_linux_with_a_single_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    assert not starting._is_single_threaded()
    stop.set()
    thread.join()
    with monkeypatch.context() as hidden:
        hidden.setattr(os, "listdir", refuse_to_tell)
        assert not starting._is_single_threaded()
    monkeypatch.setattr(starting, "may_fork", True)
    monkeypatch.setattr(starting, "_is_single_threaded", lambda: False)
    assert starting.choose_way_to_start("support.helper_functions:span", 100, FOLDERS, []) is None


@pytest.mark.parametrize(
    "error", [OSError("no processes left"), RuntimeError("Python ends"), MemoryError()]
)
def test_there_are_as_many_as_can_be_started(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()

    def begin(*args: object, **kwargs: object) -> int:
        if next(calls) == 1:
            raise error
        return genuine(*args, **kwargs)  # type: ignore[no-any-return]

    name = "fork" if starting.may_fork else "posix_spawn"
    genuine = getattr(os, name)
    spoiled = SimpleNamespace(**{**vars(own), name: begin})
    monkeypatch.setattr(starting, "own", spoiled)
    before = os.listdir("/proc/self/fd")
    with running_helpers("support.helper_functions:span", 2, 100, FOLDERS) as crew:
        crew.start()
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(crew.ask, [b"?"] * 10))
        assert len(crew._processes.helpers) == 1
        assert any(answers)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")
def test_many_short_members_are_made_by_helpers_and_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bool] = []
    ask_for = Helpers.ask_for

    def overheard(self: Helpers, *question: Any) -> object:
        answer = ask_for(self, *question)
        heard.append(answer is not None)
        return answer

    monkeypatch.setattr(Helpers, "ask_for", overheard)
    monkeypatch.setattr(sections, "_MANY_TASKS", 2)
    members = [parazip.Member(f"{i}", b"%d " % i * 50, 0o644 << 16, 1 << 21) for i in range(3000)]
    made = []
    for asked in "1", "0":
        monkeypatch.setenv("PARAZIP_HELPERS", asked)
        parazip.write(tmp_path / "out.zip", members, parazip.Settings(jobs=2))
        made.append((tmp_path / "out.zip").read_bytes())
        assert any(heard) == (asked == "1")
        heard.clear()
    assert made[0] == made[1]


INTERRUPTED = """
import os, signal
from parazip.workers import starting
from parazip.workers.helpers import running_helpers
starting.may_fork = True
os.register_at_fork(before=lambda: os.kill(os.getpid(), signal.SIGINT))
try:
    with running_helpers("builtins:bytes", 1, 8) as helpers:
        helpers.start()
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")
def test_a_signal_that_arrives_while_a_helper_is_forked_is_not_lost() -> None:
    """What is raised in a hook of os.fork is printed and forgotten."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
