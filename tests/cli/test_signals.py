"""A signal ends the command and leaves nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.command import COMMAND, ENDLESS, make_environment
from support.patience import HUNG

pytestmark = pytest.mark.once


@contextlib.contextmanager
def running(work: Path, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `run_create` of many short files and one endless one that has begun to write."""
    (work / "many").mkdir()
    for i in range(2_500):
        (work / "many" / f"{i}").write_bytes(b"%d" % i)
    with open(work / "z-endless", "wb") as file:
        file.truncate(ENDLESS)
    with subprocess.Popen(
        [*COMMAND, "create", "-6", "-j", "2", "--progress", "json", *args, "many", "z-endless"],
        cwd=work,
        env=make_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_until_it_writes(process: subprocess.Popen[bytes]) -> None:
    """Returns when the large member is being written."""
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line)["current"] == "z-endless":
            return
    raise AssertionError("it ended by itself")


def end_of(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Exit code and last words; they end when the last process has gone that could add to them."""
    _, err = process.communicate(timeout=HUNG)
    said = [line for line in err.decode().splitlines() if not line.startswith("{")]
    return process.returncode, "\n".join(said)


@pytest.mark.skipif(sys.platform == "darwin", reason="no sparse files of that size")
@pytest.mark.parametrize(
    ("number", "to"),
    [
        (signal.SIGINT, os.killpg),  # Ctrl-C reaches all processes of a terminal
        (signal.SIGINT, os.kill),
        (signal.SIGTERM, os.killpg),
        (signal.SIGTERM, os.kill),
    ],
    ids=["Ctrl-C", "SIGINT", "SIGTERM to all", "SIGTERM"],
)
@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
def test_a_signal_ends_the_command_and_leaves_nothing(
    work: Path, number: signal.Signals, to: Callable[[int, int], None], existing: bool
) -> None:
    if existing:
        (work / "out.zip").write_bytes(b"old archive")
    with running(work, "out.zip") as process:
        wait_until_it_writes(process)
        to(process.pid, number)
        code, err = end_of(process)
        assert (code, err.strip()) == (1, "parazip: interrupted")
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    left = ["many", "out.zip", "t", "z-endless"] if existing else ["many", "t", "z-endless"]
    assert sorted(os.listdir(work)) == left
    if existing:
        assert (work / "out.zip").read_bytes() == b"old archive"


@pytest.mark.skipif(sys.platform == "darwin", reason="no sparse files of that size")
@pytest.mark.parametrize(
    "moment",
    [*range(0, 12, 3), *(pytest.param(n, marks=pytest.mark.slow) for n in range(12) if n % 3)],
)
def test_a_signal_hangs_the_command_at_no_moment(work: Path, moment: int) -> None:
    # What is interrupted is a matter of luck, so it is tried again and again: an exception that a
    # signal raises just behind the taking of a lock leaves it locked, and the workers wait for it.
    with running(work, "out.zip") as process:
        for _ in range(moment):
            wait_until_it_writes(process)
        wait_until_it_writes(process)
        os.kill(process.pid, signal.SIGINT)
        code, err = end_of(process)
    assert (code, err.strip()) == (1, "parazip: interrupted")


@pytest.mark.skipif(sys.platform != "linux", reason="where files without a name exist")
def test_a_lost_terminal_leaves_the_old_archive_and_no_temporary_file(work: Path) -> None:
    (work / "out.zip").write_bytes(b"old archive")
    with running(work, "out.zip") as process:
        wait_until_it_writes(process)
        os.killpg(process.pid, signal.SIGHUP)
        code, err = end_of(process)
    assert code in (1, -signal.SIGHUP)
    assert "Traceback" not in err
    assert (work / "out.zip").read_bytes() == b"old archive"
    assert sorted(os.listdir(work)) == ["many", "out.zip", "t", "z-endless"]


@pytest.mark.skipif(sys.platform == "darwin", reason="no sparse files of that size")
def test_a_kill_leaves_the_old_archive_and_no_process(work: Path) -> None:
    (work / "out.zip").write_bytes(b"old archive")
    with running(work, "out.zip") as process:
        wait_until_it_writes(process)
        os.kill(process.pid, signal.SIGKILL)
        code, err = end_of(process)
    assert (code, err) == (-signal.SIGKILL, "")
    assert (work / "out.zip").read_bytes() == b"old archive"


@pytest.mark.skipif(sys.platform == "darwin", reason="no sparse files of that size")
def test_a_signal_while_standard_output_is_written(work: Path) -> None:
    with running(work, "-") as process:
        assert process.stdout is not None
        assert process.stdout.read(2) == b"PK"
        os.killpg(process.pid, signal.SIGINT)
        code, err = end_of(process)
    assert code == 1
    assert "Traceback" not in err
    assert "Exception ignored" not in err
