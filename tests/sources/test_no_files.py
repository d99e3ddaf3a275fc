"""What is no file any more, and what never comes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import parazip
from parazip import File, Member, Selection, SourceError
from parazip.codecs.sizes import BLOCK
from parazip.model import CHANGES, Changes
from parazip.sources import files, merging
from support.archives import contents_of
from support.patience import HUNG
from support.sources import LINUX, POSIX, TEXT, scan_file


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        before = Path.cwd()
        os.chdir(path.parent)  # a socket's path must be short
        try:
            opened.bind(path.name)
        finally:
            os.chdir(before)


def make_device(path: Path) -> None:
    path.symlink_to(os.devnull)


def make_endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_folder(path: Path) -> None:
    path.mkdir()


NO_FILES = {
    "a named pipe": make_pipe,
    "a socket": make_socket,
    "a device": make_device,
    "a device that does not end": make_endless,
    "a folder": make_folder,
}


@POSIX
@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("size", [0, 1000, 3 * BLOCK])
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_takes_a_files_place_is_an_error_at_once(
    tmp_path: Path, kind: str, size: int, changes: Changes
) -> None:
    path = tmp_path / "f"
    path.write_bytes(TEXT[:size])
    members = scan_file(path, changes)
    path.unlink()
    NO_FILES[kind](path)
    what = " ".join(kind.split()[:3]).removesuffix(" that")
    with pytest.raises(SourceError, match=f"cannot read .*/f: it is {what}, not a file; put"):
        parazip.write(tmp_path / "o.zip", members)
    source = members[0].source
    assert isinstance(source, File)
    for look in (
        files.read_file,
        files.crc32_of_file,
        files.hash_file,
        lambda file: list(files.read_chunks(file)),
    ):
        with pytest.raises(SourceError, match=what):
            look(source)
    assert not (tmp_path / "o.zip").exists()


@POSIX
def test_a_pipe_that_somebody_writes_to_is_none_either(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 10)
    members = scan_file(path, "none")
    path.unlink()
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.write(descriptor, b"x" * 1000)
        with pytest.raises(SourceError, match="it is a named pipe, not a file"):
            parazip.write(tmp_path / "o.zip", members)
    finally:
        os.close(descriptor)


@POSIX
def test_an_archive_that_becomes_a_pipe_is_an_error_at_once(tmp_path: Path) -> None:
    source = tmp_path / "s.zip"
    parazip.write(source, [Member("a", os.urandom(1 << 20), 0, 33 << 16, True)])
    members = merging.gather_members([source], Selection())
    source.unlink()
    os.mkfifo(source)
    with pytest.raises(SourceError, match=r"s\.zip: it is a named pipe, not a file"):
        parazip.write(tmp_path / "o.zip", members)


@LINUX
def test_a_file_that_somebody_leases_is_waited_for(tmp_path: Path) -> None:
    """File servers do that, and give it back when they are asked."""
    import fcntl

    path = tmp_path / "f"
    path.write_bytes(TEXT[:1000])
    members = scan_file(path)
    descriptor = os.open(path, os.O_RDWR)
    asked = threading.Event()

    def give_back() -> None:
        signal.sigwait([signal.SIGUSR2])
        asked.set()
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGUSR2)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        waiting = threading.Thread(target=give_back)
        waiting.start()
        parazip.write(tmp_path / "o.zip", members)
        waiting.join(HUNG)
    except OSError as error:
        pytest.skip(f"there are no leases here: {error}")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(descriptor)
    assert asked.is_set()
    assert contents_of(tmp_path / "o.zip") == {"f": TEXT[:1000]}


# --- What never comes ------------------------------------------------------------------------

STUCK = """
import os, sys
from parazip.sources import files

opened = files._open

def stuck(path, *flags):
    if os.path.basename(path).startswith("stuck"):
        os.write(2, b"%d\\n" % os.getpid())
        return os.open("never", os.O_RDONLY)  # as a file system that does not answer
    return opened(path, *flags)

files._open = stuck
from parazip.__main__ import main
main()
"""


@contextlib.contextmanager
def waiting(folder: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command, in a group of its own, that is ended with all its processes in the end."""
    os.mkfifo(folder / "never")
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def who_is_stuck(process: subprocess.Popen[bytes]) -> int:
    assert process.stderr is not None
    return int(process.stderr.readline())


@LINUX
@pytest.mark.once
@pytest.mark.parametrize("who", ["a thread", "a helper", "a thread that cannot be without a name"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to", [os.kill, os.killpg], ids=["it", "all"])
def test_a_file_system_that_does_not_answer_keeps_nobody(
    tmp_path: Path, who: str, number: signal.Signals, to: Callable[[int, int], None]
) -> None:
    (tmp_path / "t").mkdir()
    for i in range(1200 if who == "a helper" else 3):
        (tmp_path / "t" / f"{i:04}").write_bytes(b"%d" % i)
    (tmp_path / "t" / ("stuck" if who != "a helper" else "0000stuck")).write_bytes(b"x" * 100)
    script = STUCK.replace('startswith("stuck")', 'endswith("stuck")')
    if "name" in who:
        script = "import os; del os.O_TMPFILE\n" + script
    command = [sys.executable, "-c", script, "create", "-j", "2", "out.zip", "t"]
    before = [*os.listdir(tmp_path), "never"]
    with waiting(tmp_path, *command) as process:
        assert (who_is_stuck(process) != process.pid) is (who == "a helper")
        to(process.pid, number)
        _, err = process.communicate(timeout=HUNG)
        assert (process.returncode, err.splitlines()[-1]) == (1, b"parazip: interrupted")
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    assert sorted(os.listdir(tmp_path)) == sorted(before)


@LINUX
@pytest.mark.once
def test_a_helper_ends_with_its_parent_whatever_it_waits_for(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    for i in range(1200):
        (tmp_path / "t" / f"{i:04}").write_bytes(b"%d" % i)
    (tmp_path / "t" / "0000stuck").write_bytes(b"x")
    script = STUCK.replace('startswith("stuck")', 'endswith("stuck")')
    command = [sys.executable, "-c", script, "create", "-j", "2", "out.zip", "t"]
    with waiting(tmp_path, *command) as process:
        assert who_is_stuck(process) != process.pid
        process.kill()
        process.communicate(timeout=HUNG)  # the streams end when the last one has gone who has them


@POSIX
@pytest.mark.once
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "out.zip", "--files-from", "never"),
        ("create", "out.zip", "--files-from", "-"),
        ("create", "out.zip", "--files-from", "/dev/stdin"),
        ("create", "out.zip", "t", "--prepend", "never"),
        ("merge", "out.zip", "t", "--prepend", "never"),
    ],
    ids=" ".join,
)
def test_a_pipe_that_somebody_names_is_waited_for_until_a_signal(
    tmp_path: Path, arguments: tuple[str, ...], number: signal.Signals
) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a").write_bytes(b"a")
    script = (
        "import builtins, os, sys\n"
        "was_open = builtins.open\n"
        "def told(path, *args, **more):\n"
        "    if path in ('never', '/dev/stdin'): os.write(2, b'0\\n')\n"
        "    return was_open(path, *args, **more)\n"
        "builtins.open = told\n"
        "if '-' in sys.argv: os.write(2, b'0\\n')\n"
        "from parazip.__main__ import main\n"
        "main()\n"
    )
    with waiting(tmp_path, sys.executable, "-c", script, *arguments) as process:
        who_is_stuck(process)
        assert process.poll() is None
        # Nobody knows whether it waits yet; a signal just before a call begins does not end it.
        while process.poll() is None:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        assert process.returncode
        assert not (tmp_path / "out.zip").exists()


@POSIX
@pytest.mark.once
def test_pipes_can_be_lists_and_prefixes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    command = (
        f"'{sys.executable}' -m parazip create -q o.zip --files-from <(echo a) "
        "--prepend <(printf '#!/bin/sh\\n') && "
        f"echo a | '{sys.executable}' -m parazip create -q p.zip --files-from /dev/stdin"
    )
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, timeout=HUNG, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "o.zip").read_bytes().startswith(b"#!/bin/sh\n")
    assert contents_of(tmp_path / "o.zip") == contents_of(tmp_path / "p.zip") == {"a": b"a"}
