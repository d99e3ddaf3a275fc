"""An archive on standard output: pipes, files, terminals."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from support.archives import names_in
from support.command import (
    COMMAND,
    EVERYTHING,
    TEXT,
    Done,
    assert_fails,
    make_environment,
    run_create,
)
from support.patience import HUNG

pytestmark = pytest.mark.once


def test_an_archive_goes_to_a_pipe(work: Path) -> None:
    (work / "t" / "large").write_bytes(TEXT * 10)
    done = run_create("-1", "-", "t", cwd=work)
    assert done.code == 0, done.err
    assert names_in(done.out) == [*EVERYTHING[:-2], "t/large", *EVERYTHING[-2:]]
    assert done.err.startswith("standard output: 9 members")


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_an_archive_goes_to_a_redirected_file(work: Path, mode: str) -> None:
    (work / "t" / "large").write_bytes(TEXT * 10)
    target = work / "out.zip"
    target.write_bytes(b"what was there before")
    with open(target, mode) as output:
        done = run_create("-1", "-", "t", cwd=work, stdout=output)
    assert done.code == 0, done.err
    data = target.read_bytes()
    assert data.startswith(b"PK" if mode == "wb" else b"what was there beforePK")
    assert "t/large" in names_in(data)


def test_a_redirected_file_inside_the_tree_is_refused(work: Path) -> None:
    with open(work / "t" / "out.zip", "wb") as output:
        done = run_create("-", "t", cwd=work, stdout=output)
    assert_fails(done, 1, "out.zip")


def test_an_archive_is_not_written_to_a_terminal(work: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        done = run_create("-", "t", cwd=work, stdout=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert_fails(done, 1, "terminal", "redirect")


def test_a_reader_that_goes_away_is_an_error_and_no_traceback(work: Path) -> None:
    (work / "t" / "random").write_bytes(os.urandom(4 << 20))
    with subprocess.Popen(
        [*COMMAND, "create", "-", "t"],
        cwd=work,
        env=make_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10).startswith(b"PK")
        process.stdout.close()
        err = process.stderr.read().decode()
        code = process.wait(HUNG)
    assert_fails(Done(code, b"", err), 1, "cannot write standard output: whoever reads it has gone")


def test_a_reader_that_goes_away_before_a_short_archive_is_written(work: Path) -> None:
    read, written = os.pipe()
    os.close(read)
    try:
        done = run_create("-", "t/b.pyc", cwd=work, stdout=written)
    finally:
        os.close(written)
    assert_fails(done, 1, "cannot write standard output: whoever reads it has gone")


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_closed_standard_streams_harm_nothing(work: Path, closed: int) -> None:
    # As a daemon's child may have them: descriptor 0, 1 or 2 is not open at all.
    done = run_create("out.zip", "t", cwd=work, preexec_fn=lambda: os.close(closed))
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    assert names_in(work / "out.zip") == EVERYTHING


def test_an_archive_for_a_closed_standard_output_is_an_error(work: Path) -> None:
    done = run_create("-", "t", cwd=work, preexec_fn=lambda: os.close(1))
    assert_fails(done, 1, "standard output")
