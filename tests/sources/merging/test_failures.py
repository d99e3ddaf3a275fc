"""A merge that fails tells why, with its code, and changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import parazip
from parazip import BadArchiveError, DuplicateMemberError, ParazipError, SettingsError, SourceError
from parazip.sources.merging import Source
from support.command import Done, assert_fails
from support.merging import STORED, TEXT, run_merge, write_archive
from support.paths import list_below, plant_files
from support.patience import HUNG

TOLD_ALL = "an archive is read from its end; write it to a file first"

FAILURES: dict[str, tuple[list[str], int, list[str]]] = {
    "missing": (["out.zip", "a.zip", "gone.zip"], 1, ["cannot read gone.zip: No such file"]),
    "missing, below a name": (["out.zip", "p/=gone.zip"], 1, ["cannot read gone.zip: No such"]),
    "missing -C": (["-C", "gone", "out.zip", "a.zip"], 1, ["cannot read gone/a.zip: No such"]),
    "below a file": (["out.zip", "a.zip/x"], 1, ["cannot read a.zip/x: Not a directory"]),
    "link to nowhere": (["out.zip", "bad/dead"], 1, ["cannot read bad/dead: No such file"]),
    "no archive": (["out.zip", "a.zip", "bad/text"], 1, ["bad/text is not a zip archive", "EOCD"]),
    "empty file": (["out.zip", "bad/empty"], 1, ["bad/empty is not a zip archive"]),
    "cut off": (["out.zip", "bad/cut.zip"], 1, ["bad/cut.zip is not a zip archive or was cut off"]),
    "damaged": (["out.zip", "bad/damaged.zip"], 1, ["bad/damaged.zip is damaged: ", "offset"]),
    "damaged, CRC": (
        ["--check-crc", "out.zip", "a.zip", "bad/crc.zip"],
        1,
        ["bad/crc.zip is damaged: the data of n at offset 0: expected CRC"],
    ),
    "named pipe": (["out.zip", "bad/pipe"], 1, ["cannot merge bad/pipe", TOLD_ALL]),
    "device": (["out.zip", "/dev/null"], 1, ["cannot merge /dev/null", TOLD_ALL]),
    "named pipe in a folder": (["out.zip", "bad/folder"], 1, ["bad/folder/pipe", "a named pipe"]),
    "duplicate": (["out.zip", "a.zip", "p/=b.zip", "a.zip"], 1, ["a.txt", "--on-duplicate"]),
    "inside": (["tree/out.zip", "tree"], 1, ["tree/out.zip lies inside tree", "--exclude out.zip"]),
    "inside, deep": (["tree/d/out.zip", "p/=tree"], 1, ["lies inside", "--exclude d/out.zip"]),
    "inside .": (["out.zip", "a.zip", "."], 1, ["out.zip lies inside .", "--exclude out.zip"]),
    "archive is a folder": (["tree", "a.zip"], 1, ["cannot write tree: it is a folder"]),
    "no such folder": (["gone/out.zip", "a.zip"], 1, ["cannot write gone/out.zip", "make it"]),
    "full disk": (["/dev/full", "a.zip"], 1, ["cannot write /dev/full: the disk is full"]),
    "prepended file": (["--prepend", "gone", "out.zip", "a.zip"], 1, ["cannot read gone: "]),
    "nothing": ([], 2, ["ARCHIVE"]),
    "no sources": (["out.zip"], 2, ["SOURCE"]),
    "policy": (["--on-duplicate", "newest", "out.zip", "a.zip"], 2, ["newest", "same"]),
    "prefix": (["out.zip", "../p/=a.zip"], 2, ["'../p' leads out of the archive"]),
    "absolute prefix": (["out.zip", "/p/=a.zip"], 2, ["'/p' leads out of the archive"]),
    "date": (["--timestamp", "1979-12-31", "out.zip", "a.zip"], 2, ["1979-12-31"]),
    "modes": (["--modes", "0644", "out.zip", "a.zip"], 2, ["0644", "normal"]),
    "shebang": (["--shebang", "a\nb", "out.zip", "a.zip"], 2, ["is not one line"]),
    "unknown option": (["--prefix", "p", "out.zip", "a.zip"], 2, ["--prefix"]),
}


@pytest.fixture
def bad(work: Path) -> Path:
    """The working folder, and things in it that cannot be merged."""
    plant_files(work / "bad", {"text": TEXT, "empty": b"", "folder/": b""})
    (work / "bad" / "dead").symlink_to("nowhere")
    os.mkfifo(work / "bad" / "pipe")
    os.mkfifo(work / "bad" / "folder" / "pipe")
    data = write_archive(work / "bad" / "crc.zip", {"n": b"contents"}, STORED).read_bytes()
    (work / "bad" / "crc.zip").write_bytes(data.replace(b"contents", b"kontents"))
    (work / "bad" / "damaged.zip").write_bytes(data.replace(b"PK\1\2", b"PK\1\3"))
    (work / "bad" / "cut.zip").write_bytes(data[:-1])
    return work


@pytest.mark.parametrize("case", FAILURES)
def test_what_fails_is_told_with_its_code_and_changes_nothing(
    bad: Path, call: Callable[..., Done], case: str
) -> None:
    args, code, told = FAILURES[case]
    if "/dev/full" in args and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    (bad / "out.zip").write_bytes(b"what stood there before")
    before = list_below(bad)
    assert_fails(call(*args, cwd=bad), code, *told)
    assert list_below(bad) == before


def test_the_command_ends_with_the_code_that_fits(bad: Path) -> None:
    """As the tables above tell of, seen from outside."""
    for case in ("no archive", "damaged, CRC", "named pipe", "inside, deep", "nothing", "prefix"):
        args, code, told = FAILURES[case]
        assert_fails(run_merge(*args, cwd=bad), code, *told)


ERRORS: dict[str, tuple[list[Source], type[ParazipError], str]] = {
    "missing": (["a.zip", "gone.zip"], SourceError, "gone.zip"),
    "NUL in a path": (["a\0.zip"], SourceError, "a\0.zip"),
    "no archive": ([("p", "bad/text")], BadArchiveError, "bad/text"),
    "a named pipe": (["bad/pipe"], SourceError, "bad/pipe"),
    "damaged": (["bad/damaged.zip"], BadArchiveError, "bad/damaged.zip"),
    "duplicate": (["a.zip", ("", "a.zip")], DuplicateMemberError, "a.txt"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_carry_what_they_concern(
    bad: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    sources, error, member = ERRORS[case]
    monkeypatch.chdir(bad)
    before = list_below(bad)
    with pytest.raises(error) as raised:
        parazip.merge("out.zip", sources)
    assert raised.value.member == member
    assert list_below(bad) == before


def test_a_prefix_that_leads_out_is_an_error(work: Path) -> None:
    for prefix in ("..", "a/../b", "/a"):
        with pytest.raises(SettingsError, match="leads out of the archive"):
            parazip.merge(work / "out.zip", [(prefix, work / "a.zip")])


def test_an_unknown_policy_is_an_error(work: Path) -> None:
    policy: Any = "newest"
    with pytest.raises(SettingsError, match="newest"):
        parazip.merge(work / "out.zip", [work / "a.zip"], on_duplicate=policy)


def test_a_single_path_is_an_error(work: Path) -> None:
    with pytest.raises(TypeError, match="list"):
        parazip.merge(work / "out.zip", str(work / "a.zip"))


def test_an_archive_from_a_pipe_is_refused_with_a_way_out(work: Path) -> None:
    if not os.path.isdir("/dev/fd"):
        pytest.skip("there is no /dev/fd")
    command = [sys.executable, "-m", "parazip", "merge", "out.zip", "/dev/stdin"]
    done = subprocess.run(
        command, cwd=work, input=b"PK", capture_output=True, timeout=HUNG, check=False
    )
    assert done.returncode == 1
    assert b"it is a named pipe, and an archive is read from its end; write it to" in done.stderr
