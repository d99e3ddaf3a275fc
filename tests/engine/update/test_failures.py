"""A change that fails tells why and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

import parazip
from parazip import (
    BadArchiveError,
    MemberNameError,
    ParazipError,
    Selection,
    SettingsError,
    SourceError,
)
from support.archives import names_in
from support.command import assert_fails
from support.updating import IN_TREE, TEXT, edit_file, identify_file, run_change


def bad_archives(work: Path) -> dict[str, Callable[[], Path]]:
    def cut_off() -> Path:
        (work / "x").write_bytes((work / "out.zip").read_bytes()[:-30])
        return work / "x"

    def written(data: bytes) -> Path:
        (work / "x").write_bytes(data)
        return work / "x"

    def piped() -> Path:
        os.mkfifo(work / "x")
        return work / "x"

    return {
        "empty": lambda: written(b""),
        "no archive": lambda: written(TEXT),
        "cut off": cut_off,
        "a folder": lambda: work / "d",
        "a named pipe": piped,
        "a device": lambda: Path("/dev/null"),
    }


@pytest.mark.parametrize(
    "case", ["empty", "no archive", "cut off", "a folder", "a named pipe", "a device"]
)
def test_what_is_no_archive_is_refused_and_left_alone(work: Path, case: str) -> None:
    path = bad_archives(work)[case]()
    before = sorted(os.listdir(work))
    for command in ("update", "delete"):
        assert_fails(run_change(command, path, "d/a", cwd=work), 1, str(path))
    expected = SourceError if case in ("a folder", "a named pipe", "a device") else BadArchiveError
    with pytest.raises(expected):
        parazip.update(path, ["d/a"])
    with pytest.raises(expected):
        parazip.delete(path, ["d/a"])
    assert sorted(os.listdir(work)) == before


def test_an_archive_to_delete_from_must_be_there(work: Path) -> None:
    assert_fails(run_change("delete", "none.zip", "a", cwd=work), 1, "none.zip: No such file")
    assert not os.path.exists("none.zip")


WRONG: dict[str, tuple[list[str], int, str]] = {
    "nothing": (["update", "out.zip"], 2, "nothing to put in"),
    "no patterns": (["delete", "out.zip"], 2, "GLOB"),
    "standard output": (["update", "-", "d"], 2, "name a file instead of -"),
    "delete from standard output": (["delete", "-", "d"], 2, "name a file instead of -"),
    "--null alone": (["update", "--null", "out.zip", "d"], 2, "--files-from"),
    "a level": (["update", "-l", "11", "out.zip", "d"], 2, "11"),
    "a prefix": (["update", "--prefix", "../x", "out.zip", "d"], 2, "leads out"),
    "a file that is gone": (["update", "out.zip", "d/a", "gone"], 1, "gone: No such file"),
    "itself": (["update", "out.zip", "d", "out.zip"], 1, "put into itself"),
    "in a folder": (["update", "out.zip", "."], 1, "lies inside"),
    "two of a name": (["update", "out.zip", "d/a", "../d/a"], 1, "two members"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_fails_is_told_and_changes_nothing(work: Path, case: str) -> None:
    put_beside(work)
    args, code, told = WRONG[case]
    (work / "other").mkdir()
    edit_file(work / "d/b", b"new")
    before = identify_file(work / "out.zip"), sorted(os.listdir(work))
    assert_fails(run_change(*args, cwd=work), code, told)
    assert (identify_file(work / "out.zip"), sorted(os.listdir(work))) == before


def test_an_archive_inside_a_folder_is_fine_when_it_is_left_out(work: Path) -> None:
    edit_file(work / "d/b", b"new")
    report = parazip.update("out.zip", ["."], selection=Selection(exclude=("*.zip",)))
    assert names_in(work / "out.zip") == IN_TREE
    assert report.changes is not None
    assert report.changes["added"] == 0


def test_single_strings_and_open_files_are_type_errors(work: Path) -> None:
    with pytest.raises(TypeError):
        parazip.update("out.zip", "d")
    with pytest.raises(TypeError):
        parazip.delete("out.zip", "d")
    with open("out.zip", "r+b") as file, pytest.raises(TypeError):
        parazip.update(cast("Path", file), ["d"])


def put_beside(work: Path) -> None:
    """A file outside that has the name of one inside, as leading steps upwards are dropped."""
    (work.parent / "d").mkdir(exist_ok=True)
    (work.parent / "d/a").write_bytes(b"another")


def test_errors_of_names_and_settings_are_their_own(work: Path) -> None:
    put_beside(work)
    with pytest.raises(MemberNameError):
        parazip.update("out.zip", ["d/a", "../d/a"])
    with pytest.raises(SettingsError):
        parazip.update("out.zip", ["d"], selection=Selection(prefix="../up"))
    with pytest.raises(ParazipError):
        parazip.update("", ["d"])
    assert names_in(work / "out.zip") == IN_TREE
