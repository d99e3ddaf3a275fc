"""What is deleted from an archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import parazip
from parazip import NoSuchMemberError, Selection, Settings
from support.archives import compressed_bytes_of, contents_of, names_in
from support.command import assert_fails
from support.updating import IN_TREE, NOTHING, edit_file, identify_file, run_change

DELETED: dict[str, tuple[list[str], list[str]]] = {
    "a name": (["d/b"], ["d/", "d/a", "d/c", "d/sub/", "d/sub/x", "d/sub/y"]),
    "a step": (["b", "c"], ["d/", "d/a", "d/sub/", "d/sub/x", "d/sub/y"]),
    "a folder": (["d/sub"], ["d/", "d/a", "d/b", "d/c"]),
    "a folder with a slash": (["d/sub/"], ["d/", "d/a", "d/b", "d/c"]),
    "a folder further down": (["*/sub/"], ["d/", "d/a", "d/b", "d/c"]),
    "a folder at the top": (["/d/"], []),
    "a name at the top": (["/d/a", "./d/b"], ["d/", "d/c", "d/sub/", "d/sub/x", "d/sub/y"]),
    "what a folder holds": (["d/sub/*"], ["d/", "d/a", "d/b", "d/c", "d/sub/"]),
    "stars": (["d/*x"], ["d/", "d/a", "d/b", "d/c", "d/sub/", "d/sub/y"]),
    "a set": (["[abc]"], ["d/", "d/sub/", "d/sub/x", "d/sub/y"]),
    "twice": (["d/a", "d/*", "d/a"], ["d/"]),
    "with a dot": (["./d/a"], [name for name in IN_TREE if name != "d/a"]),
    "all": (["*"], []),
    "the top": (["d"], []),
}


@pytest.mark.parametrize("case", DELETED)
def test_what_matches_is_deleted(work: Path, case: str) -> None:
    patterns, left = DELETED[case]
    before = {name: compressed_bytes_of(work / "out.zip", name) for name in left}
    report = parazip.delete("out.zip", patterns)
    assert names_in(work / "out.zip") == left
    assert {name: compressed_bytes_of(work / "out.zip", name) for name in left} == before
    assert report.changes == {**NOTHING, "deleted": len(IN_TREE) - len(left)}
    parazip.create("exclude.zip", ["d"], Settings(level=1), Selection(exclude=tuple(patterns)))
    assert names_in(work / "exclude.zip") == left  # as --exclude does


def test_the_command_deletes_and_tells_how_many(work: Path) -> None:
    done = run_change("delete", "out.zip", "sub", "d/a", cwd=work)
    assert done.code == 0
    assert "out.zip: 3 members (4 deleted)" in done.err
    assert names_in(work / "out.zip") == ["d/", "d/b", "d/c"]


@pytest.mark.parametrize(
    ("patterns", "told"),
    [
        (["nope"], "cannot delete nope from out.zip"),
        (["d/a", "no pe", "b", "*.x"], "cannot delete 'no pe' '*.x' from out.zip"),
        (["a/d"], "cannot delete a/d"),
        (["D/A"], "cannot delete D/A"),
        ([""], "cannot delete ''"),
    ],
)
def test_a_pattern_that_matches_nothing_is_named_and_nothing_is_deleted(
    work: Path, patterns: list[str], told: str
) -> None:
    before = identify_file(work / "out.zip")
    assert_fails(
        run_change("delete", "out.zip", *patterns, cwd=work), 1, told, "nothing was deleted"
    )
    assert identify_file(work / "out.zip") == before
    with pytest.raises(KeyError):
        parazip.delete("out.zip", patterns)
    with pytest.raises(NoSuchMemberError):
        parazip.delete("out.zip", patterns)


def test_names_with_steps_that_lead_nowhere_are_found(work: Path) -> None:
    with zipfile.ZipFile("odd.zip", "w") as archive:
        archive.writestr("./a//b", b"b")
        archive.writestr("c/./d", b"d")
    parazip.delete("odd.zip", ["a/b"])
    assert names_in(work / "odd.zip") == ["c/d"]
    edit_file(work / "c/d", b"new")
    assert parazip.update("odd.zip", ["c/d"]).changes == {**NOTHING, "changed": 1}
    assert contents_of(work / "odd.zip") == {"c/d": b"new"}
