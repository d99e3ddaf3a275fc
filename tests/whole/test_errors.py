"""Errors go from one process to another, as those of the standard library do."""

from __future__ import annotations

import copy
import errno
import pickle
from multiprocessing import get_context
from typing import Any

import pytest

import parazip
from parazip import errors

ERRORS: list[errors.ParazipError] = [
    errors.ParazipError("a"),
    errors.SettingsError("a"),
    errors.DuplicateMemberError("a", member="b"),
    errors.SourceError("a", member="b", errno=errno.EACCES, reason="c"),
    errors.SourceError.of("a", FileNotFoundError(errno.ENOENT, "gone")),
    errors.BadArchiveError("a", archive="b", member="c", id="d"),
    errors.NotCopiedError("a", member="b", id="c", reason="d"),
    errors.NoSuchMemberError("a", member="b"),
    errors.OutputError.of("a", OSError(errno.ENOSPC, "full")),
]


def describe(error: errors.ParazipError) -> Any:
    number = error.errno if isinstance(error, OSError) else None
    return type(error), error.args, str(error), number, vars(error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_in_another_process(error: errors.ParazipError) -> None:
    assert describe(pickle.loads(pickle.dumps(error))) == describe(error)
    assert describe(copy.copy(error)) == describe(error)


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
