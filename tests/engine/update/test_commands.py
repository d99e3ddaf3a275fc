"""The commands that change archives: what they tell, and dry runs."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

import parazip
from parazip.display import format_size
from support.archives import names_in
from support.command import COMMAND, assert_fails
from support.patience import HUNG
from support.updating import (
    IN_TREE,
    MOMENT,
    NOTHING,
    SECONDS,
    TEXT,
    TREE,
    edit_file,
    identify_file,
    run_change,
)


def test_json_tells_what_changed(work: Path) -> None:
    edit_file(work / "d/b", b"new")
    done = run_change("update", "--progress", "json", "out.zip", "d/b", cwd=work)
    last = json.loads(done.err.splitlines()[-1])
    assert last["event"] == "done"
    assert last["changes"] == {**NOTHING, "changed": 1}
    assert last["members"] == 7


def list_by_command(*args: str, cwd: Path) -> str:
    """What a command that writes nothing tells on standard output."""
    before = {path: path.read_bytes() for path in cwd.rglob("*") if path.is_file()}
    done = subprocess.run(
        [*COMMAND, *args], cwd=cwd, capture_output=True, timeout=HUNG, check=True, text=True
    )
    assert {path: path.read_bytes() for path in cwd.rglob("*") if path.is_file()} == before
    assert done.stderr == ""
    return done.stdout


def test_a_dry_run_tells_what_would_be_added_and_changed(work: Path) -> None:
    edit_file(work / "d/b", b"new")
    edit_file(work / "d/new", TEXT)
    os.utime("d", (SECONDS, SECONDS))
    assert list_by_command("update", "-n", "-x", "c", "out.zip", "d", cwd=work).splitlines() == [
        "      3 B  d/b  (changed)",
        f"{format_size(len(TEXT)):>9}  d/new  (added)",
        " left out  d/c  (--exclude c)",
        f"out.zip would have 8 members (1 added, 1 changed, 6 kept), "
        f"{format_size(sum(map(len, TREE.values())) - 97 + len(TEXT))}, 1 left out",
    ]
    told = json.loads(list_by_command("update", "-n", "--json", "out.zip", "d", cwd=work))
    assert told["changes"] == {"added": 1, "changed": 1, "deleted": 0}
    changes = {member["name"]: member["change"] for member in told["put_in"]}
    assert changes == {**dict.fromkeys(IN_TREE, "kept"), "d/b": "changed", "d/new": "added"}
    report = parazip.update("out.zip", ["d"])
    assert report.changes == told["changes"]
    assert [*changes] == names_in(work / "out.zip")
    assert "(8 kept)" in list_by_command("update", "-n", "out.zip", "d", cwd=work)


def test_a_dry_run_of_an_archive_that_is_not_there_makes_none(work: Path) -> None:
    told = json.loads(list_by_command("update", "--dry-run", "--json", "new.zip", "d", cwd=work))
    assert {member["change"] for member in told["put_in"]} == {"added"}
    assert not (work / "new.zip").exists()


def test_a_dry_run_tells_what_would_be_deleted(work: Path) -> None:
    assert list_by_command("delete", "-n", "out.zip", "d/sub/", "b", cwd=work).splitlines() == [
        "  deleted  d/b  (b)",
        "  deleted  d/sub/  (d/sub/)",
        "  deleted  d/sub/x  (d/sub/)",
        "  deleted  d/sub/y  (d/sub/)",
        f"out.zip would have 3 members (4 deleted, 3 kept), {format_size(len(TEXT))}",
    ]
    told = json.loads(list_by_command("delete", "-n", "--json", "out.zip", "d/sub/", cwd=work))
    assert told["deleted"] == [
        {"name": name, "why": "d/sub/"} for name in ("d/sub/", "d/sub/x", "d/sub/y")
    ]
    assert (told["changes"], told["left_out"]) == ({**NOTHING, "deleted": 3}, [])
    assert [member["name"] for member in told["put_in"]] == IN_TREE[:4]
    assert parazip.delete("out.zip", ["d/sub/"]).changes == told["changes"]


def test_a_dry_run_tells_the_problems_that_there_would_be(work: Path) -> None:
    info = zipfile.ZipInfo("commented", MOMENT)
    info.comment = b"by a person"
    with zipfile.ZipFile("out.zip", "a") as archive:
        archive.writestr(info, b"")
    edit_file(work / "d/b", b"new")
    before = identify_file(work / "out.zip")
    assert_fails(
        run_change("update", "-n", "out.zip", "d", "gone", cwd=work), 1, "cannot read gone"
    )
    for args in (["update", "out.zip", "d"], ["delete", "out.zip", "d/a"]):
        told = run_change(*args, cwd=work)
        assert_fails(told, 1, "cannot keep the comment of commented")
        assert run_change(args[0], "-n", *args[1:], cwd=work) == told
    assert identify_file(work / "out.zip") == before


@pytest.mark.parametrize("args", [["update", "out.zip", "d"], ["delete", "out.zip", "d/b"]])
def test_json_is_one_document_on_standard_output(work: Path, args: list[str]) -> None:
    edit_file(work / "d/b", b"new")
    command = [*COMMAND, args[0], "--json", *args[1:]]
    done = subprocess.run(command, cwd=work, capture_output=True, timeout=HUNG, check=True)
    told = json.loads(done.stdout)
    assert done.stderr == b""
    assert (told["archive"], told["dry_run"]) == ("out.zip", False)
    assert sum(told["changes"].values()) == 1
    assert told["members"] == len(names_in(work / "out.zip"))
    failed = subprocess.run(
        [*COMMAND, args[0], "--json", "out.zip", "gone"], cwd=work, capture_output=True, check=False
    )
    assert failed.returncode == 1
    assert len(json.loads(failed.stdout)["problems"]) == 1


@pytest.mark.parametrize("args", [["update", "out.zip", "d"], ["delete", "out.zip", "d/b"]])
def test_quiet_says_nothing(work: Path, args: list[str]) -> None:
    assert run_change(*args, "-q", cwd=work) == (0, b"", "")


def test_help_tells_each_option_of_create(work: Path) -> None:
    text = " ".join(run_change("update", "--help", cwd=work).err.split())
    for option in (
        "-C", "-x", "--prefix", "--files-from", "--null", "--symlinks", "-l", "-0 to -9", "--codec",
        "-j", "--memory", "--timestamp", "--modes", "--prepend", "--shebang", "--progress", "-q",
    ):  # fmt: skip
        assert option in text
    text = run_change("delete", "--help", cwd=work).err
    assert "GLOB" in text
    assert "--progress" in text
    text = run_change("--help", cwd=work).err
    assert "update" in text
    assert "delete" in text
