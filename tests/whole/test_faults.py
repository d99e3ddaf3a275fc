"""Each system call fails once, at each moment: nothing is lost, half written or left over."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import parazip
from support import failing_zip_file
from support.failing import CALLS, SAID_BY_PYTHON
from support.failing_commands import OPERATIONS, Ended, Operation, assert_all_is_well, fill
from support.patience import HUNG
from support.places import TESTS
from support.refusals import make_library

MOST = 400
"""Calls of one kind that a command makes; more would be a mistake of this test."""

pytestmark = [pytest.mark.slow, pytest.mark.once]


def run(folder: Path, operation: Operation, environment: Mapping[str, str]) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "parazip", *operation.command],
        cwd=folder,
        env={**os.environ, "PARAZIP_CACHE_DIR": str(folder / "cache"), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
        start_new_session=True,
    )
    # What it has started has ended with it: its pipes are closed, or this would hang.
    return Ended(done.returncode, done.stderr)


@pytest.mark.parametrize("calls", [calls for calls in CALLS if calls != "memory"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_call_that_fails_once_costs_nothing(
    tmp_path_factory: pytest.TempPathFactory, name: str, calls: str
) -> None:
    operation = OPERATIONS[name]
    library = make_library(tmp_path_factory.mktemp("library"))
    start = tmp_path_factory.mktemp("start")
    fill(start)
    failed = 0
    for at in range(1, MOST):
        folder = tmp_path_factory.mktemp("work")
        shutil.copytree(start, folder, dirs_exist_ok=True, symlinks=True)
        told = tmp_path_factory.mktemp("told") / "told"
        faults = {
            "LD_PRELOAD": str(library),
            "REFUSED": calls,
            "REFUSED_ERROR": str(CALLS[calls]),
            "REFUSED_UNDER": str(folder),
            "REFUSED_AT": str(at),
            "REFUSED_TOLD": str(told),
        }
        done = run(folder, operation, faults)
        has_failed = told.exists()
        failed += has_failed
        assert_all_is_well(folder, start, operation, done)
        assert run(folder, operation, {}).code in (0, 1 if "extract" in name else 0)
        shutil.rmtree(folder)
        if not has_failed:
            break
    else:
        pytest.fail(f"more than {MOST} calls")
    print(f"{name}, {calls}: {failed}")


def run_failing(program: str, library: Path, *words: str | Path) -> str:
    """What a program prints in which one call after the other fails."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", TESTS / "support" / program, *words],
        env={
            **os.environ,
            "LD_PRELOAD": str(library),
            "REFUSED": "",
            "PYTHONPATH": str(TESTS),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", OPERATIONS)
def test_memory_that_is_refused_once_costs_no_more_than_the_run(
    tmp_path: Path, library: Path, name: str
) -> None:
    print(run_failing("failing_commands.py", library, name, tmp_path))


@pytest.mark.parametrize("name", failing_zip_file.OPERATIONS)
def test_a_call_that_fails_under_zip_file_is_what_zipfile_would_raise(
    tmp_path: Path, library: Path, name: str
) -> None:
    """And nothing is left, the archive has what calls have put in, and the program goes on."""
    print(run_failing("failing_zip_file.py", library, name, tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="others do not keep to the limit")
@pytest.mark.parametrize("options", [[], ["-9", "--codec=libdeflate"]], ids=["", "libdeflate"])
def test_little_memory_is_enough_or_told(tmp_path: Path, options: list[str]) -> None:
    """Limits from where Python and the codecs are hardly loaded, to more than is needed."""
    fill(tmp_path)
    old = (tmp_path / "a.zip").read_bytes()
    ends = set()
    for limit in range(40 << 20, 320 << 20, 14 << 20):
        (tmp_path / "a.zip").write_bytes(old)
        command = [sys.executable, "-m", "parazip", "create", "-q", "-j3", *options, "a.zip", "src"]
        done = subprocess.run(
            ["sh", "-c", f'ulimit -v {limit >> 10} && exec "$@"', "sh", *command],
            cwd=tmp_path,
            env={**os.environ, "PARAZIP_HELPERS": "0"},  # helpers would die in our place
            capture_output=True,
            text=True,
            timeout=HUNG,
            check=False,
        )
        ends.add(done.returncode)
        if done.returncode == 0:
            assert parazip.verify(tmp_path / "a.zip").is_sound
        else:
            assert done.returncode == 1, (limit, done)
            told = done.stderr.replace(SAID_BY_PYTHON, "")
            assert told.startswith("parazip: "), (limit, told)
            assert "memory" in told or "threads" in told, (limit, told)
            assert (tmp_path / "a.zip").read_bytes() == old
        assert {path.name for path in tmp_path.iterdir()} == {"src", "a.zip", "b.zip"}
    assert ends == {0, 1}
