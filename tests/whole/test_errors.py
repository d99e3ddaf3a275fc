"""Errors go from one process to another, as those of the standard library do."""

from __future__ import annotations

import copy
import errno
import gc
import itertools
import marshal
import os
import pickle
import sys
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import parazip
from parazip import errors
from parazip.sources.files import UnsizedError

ERRORS: list[errors.ParazipError] = [
    errors.ParazipError("a"),
    errors.SettingsError("a"),
    errors.DuplicateMemberError("a", member="b"),
    errors.SourceError("a", member="b", errno=errno.EACCES, reason="c"),
    errors.SourceError.of("a", FileNotFoundError(errno.ENOENT, "gone")),
    errors.BadArchiveError("a", archive="b", member="c", id="d"),
    errors.NotCopiedError("a", member="b", id="c", reason="d"),
    errors.NoSuchMemberError("a", member="b"),
    errors.ExecutorError("a"),
    errors.OutputError.of("a", OSError(errno.ENOSPC, "full")),
]


def describe(error: errors.ParazipError) -> Any:
    number = error.errno if isinstance(error, OSError) else None
    return type(error), error.args, str(error), number, vars(error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_in_another_process(error: errors.ParazipError) -> None:
    assert describe(pickle.loads(pickle.dumps(error))) == describe(error)
    assert describe(copy.copy(error)) == describe(error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_after_plain_values(error: errors.ParazipError) -> None:
    flat = marshal.loads(marshal.dumps(errors.flatten_error(error)))
    restored = errors.restore_error(flat)
    assert isinstance(restored, errors.ParazipError)
    assert describe(restored) == describe(error)


def test_memory_that_runs_out_comes_with_the_place() -> None:
    error = MemoryError()
    errors.note_member(error, "some/file")
    restored = errors.restore_error(marshal.loads(marshal.dumps(errors.flatten_error(error))))
    assert type(restored) is MemoryError
    assert restored.__notes__ == ["at some/file"]


def test_an_error_of_a_kind_of_its_own_comes_as_the_public_kind() -> None:
    error = UnsizedError("a", member="b", reason="c")
    restored = errors.restore_error(errors.flatten_error(error))
    assert type(restored) is errors.SourceError
    assert vars(restored) == vars(error)


def test_an_error_of_a_kind_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^there are no errors of the kind 'OSError'$"):
        errors.restore_error(("OSError", ("a",), 1, {}))


def test_the_others_of_an_error_come_along() -> None:
    error = errors.SourceError("a", member="b")
    error.others = (errors.BadArchiveError("c", archive="d"),)
    error.untold = 3
    found = pickle.loads(pickle.dumps(error))
    assert found.messages() == error.messages() == ["a", "c", "and 3 more problems"]


def test_a_pool_hands_on_what_an_archive_is_refused_for(tmp_path: Any) -> None:
    (tmp_path / "none.zip").write_bytes(b"no archive")
    arguments = (str(tmp_path / "out.zip"), [str(tmp_path / "none.zip")])
    with get_context("spawn").Pool(1) as pool, pytest.raises(parazip.BadArchiveError) as caught:
        pool.apply(parazip.merge, arguments)
    assert caught.value.id == "no-end-record"


# Where a `with` block ends there is a line again, on which no signal handler runs: what the block
# has open is closed when it is collected.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.once
@pytest.mark.parametrize("step", [17, pytest.param(5, marks=pytest.mark.slow)])
def test_a_time_limit_of_the_program_comes_out_as_it_is(tmp_path: Path, step: int) -> None:
    """After each few lines on the main thread, as from a signal handler; nothing is left behind."""
    (tmp_path / "src" / "d").mkdir(parents=True)
    (tmp_path / "src" / "d" / "a").write_bytes(b"text")

    def create() -> None:
        parazip.create(tmp_path / "a.zip", [tmp_path / "src"], parazip.Settings(jobs=1))

    create()
    for tried in itertools.count(1):
        (tmp_path / "a.zip").unlink(missing_ok=True)
        limit = Limit(step * tried)
        before = sys.gettrace()
        sys.settrace(limit)
        try:
            with suppress(TimeoutError):
                create()
        finally:
            sys.settrace(before)
        assert sorted(os.listdir(tmp_path)) in (["src"], ["a.zip", "src"])
        if limit.left > 0:
            break
    gc.collect()  # here, where it is known what is not closed
    assert tried > 1000 // step


class Limit:
    """Raises at the n-th line of parazip's code."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, frame: FrameType, event: str, arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(str(Path(parazip.__file__).parent)):
            return None
        if frame.f_code.co_name == "__del__":
            return None  # what is raised there is nobody's
        if event == "line":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise TimeoutError("that took too long")
        return self
