"""Archives and folders become one: names, order, contents, and what is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import parazip
from parazip import Selection
from parazip.sources.merging import Source
from support.archives import contents_of, names_in, open_archive
from support.command import Done, assert_fails
from support.merging import (
    DEFLATED,
    IN_A,
    IN_B,
    IN_TREE,
    LINK,
    STORED,
    TREE,
    A,
    B,
    attributes_in,
    run_merge,
    write_archive,
)

# Names and order


def parse_source(text: str) -> Source:
    name, given, path = text.partition("/=")
    return (name, path) if given else text


def below(prefix: str, inside: list[str]) -> list[str]:
    return [prefix + name for name in inside]


SOURCES: dict[str, tuple[list[str], list[str]]] = {
    "an archive": (["a.zip"], IN_A),
    "two archives": (["a.zip", "b.zip"], [*IN_A, "b.txt", "d/y"]),
    "the other way round": (["b.zip", "a.zip"], [*IN_B, "a.txt", "d/x"]),
    "a folder": (["tree"], IN_TREE),
    "a folder with a slash": (["tree/"], IN_TREE),
    "a folder between": (
        ["a.zip", "tree", "b.zip"],
        [*IN_A, "d/z", "empty/", "t.txt", "b.txt", "d/y"],
    ),
    "a folder first": (["tree", "a.zip"], [*IN_TREE, "a.txt", "d/x"]),
    "a folder in a folder": (["o"], ["=odd.zip"]),
    "below a name": (["lib/=a.zip"], below("lib/", IN_A)),
    "below a name that is long": (["x/y/z/=a.zip"], below("x/y/z/", IN_A)),
    "below a name with dots": (["./x/./y/=a.zip"], below("x/y/", IN_A)),
    "a folder below a name": (["t/=tree"], below("t/", IN_TREE)),
    "below no name": (["/=a.zip"], IN_A),
    "a path with /= in it": (["/=o/=odd.zip"], ["odd"]),
    "the same below a name": (["n/=o/=odd.zip"], ["n/odd"]),
    "one archive twice": (["p/=a.zip", "q/=a.zip"], below("p/", IN_A) + below("q/", IN_A)),
    "below a name that is there": (
        ["a.zip", "d/=b.zip"],
        [*IN_A, "d/b.txt", "d/d/", "d/d/y"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SOURCES)
def test_members_come_in_the_order_of_their_sources(
    work: Path, call: Callable[..., Done], case: str
) -> None:
    args, expected = SOURCES[case]
    done = call("out.zip", *args, cwd=work)
    assert (done.code, done.out) == (0, b""), done.err
    assert names_in(work / "out.zip") == expected
    report = parazip.merge("api.zip", [parse_source(text) for text in args])
    assert (work / "api.zip").read_bytes() == (work / "out.zip").read_bytes()
    assert (report.archive, report.members) == ("api.zip", len(expected))


def test_paths_are_taken_relative_to_a_directory(work: Path) -> None:
    assert run_merge("-C", "o", "out.zip", "n/==odd.zip", "../a.zip", cwd=work).code == 0
    assert names_in(work / "out.zip") == ["n/odd", *IN_A]
    selection = Selection(directory=work)
    parazip.merge(work / "api.zip", ["a.zip", ("t", "tree"), work / "b.zip"], selection=selection)
    assert names_in(work / "api.zip") == [*IN_A, *below("t/", IN_TREE), "b.txt", "d/y"]


def test_contents_are_what_the_sources_had(work: Path) -> None:
    parazip.merge(work / "out.zip", [work / "tree", work / "a.zip", ("b", work / "b.zip")])
    inside = {f"b/{name}": data for name, data in B.items()}
    assert contents_of(work / "out.zip") == {**TREE, "d/": b"", **A, **inside}


def test_what_folders_hold_is_compressed_at_the_level_asked_for(work: Path) -> None:
    for level, method in ((0, STORED), (6, DEFLATED)):
        assert run_merge(f"-{level}", "out.zip", "tree", "a.zip", "b.zip", cwd=work).code == 0
        with open_archive(work / "out.zip") as archive:
            assert archive.getinfo("t.txt").compress_type == method
            assert archive.getinfo("a.txt").compress_type == DEFLATED
            assert archive.getinfo("b.txt").compress_type == STORED


def test_a_prefix_of_the_selection_stands_in_front_of_all(work: Path) -> None:
    selection = Selection(directory=work, prefix="all")
    parazip.merge(work / "out.zip", ["a.zip", ("t", "tree")], selection=selection)
    assert names_in(work / "out.zip") == below("all/", IN_A) + below("all/t/", IN_TREE)


def test_links_in_folders_are_followed_or_stored(work: Path) -> None:
    (work / "tree" / "link").symlink_to("t.txt")
    parazip.merge(work / "out.zip", [work / "tree"])
    assert contents_of(work / "out.zip")["link"] == TREE["t.txt"]
    parazip.merge(work / "out.zip", [work / "tree"], selection=Selection(symlinks="store"))
    assert contents_of(work / "out.zip")["link"] == b"t.txt"
    assert attributes_in(work / "out.zip")["link"] == LINK
    parazip.merge(work / "again.zip", [work / "out.zip"])
    assert contents_of(work / "again.zip")["link"] == b"t.txt"
    assert attributes_in(work / "again.zip")["link"] == LINK


def test_sources_may_be_links(work: Path) -> None:
    (work / "to a.zip").symlink_to("a.zip")
    (work / "to tree").symlink_to("tree")
    assert run_merge("out.zip", "to a.zip", "to tree", cwd=work).code == 0
    assert names_in(work / "out.zip") == [*IN_A, "d/z", "empty/", "t.txt"]


def test_a_link_to_a_folder_is_a_source_also_where_links_are_stored(work: Path) -> None:
    (work / "to tree").symlink_to("tree")
    parazip.merge(work / "out.zip", [work / "to tree"], selection=Selection(symlinks="store"))
    assert names_in(work / "out.zip") == IN_TREE


def test_no_members_make_an_archive(work: Path) -> None:
    write_archive(work / "none.zip", {})
    (work / "nothing").mkdir()
    done = run_merge("out.zip", "none.zip", "nothing", "p/=none.zip", cwd=work)
    assert done.code == 0
    assert done.err.startswith("out.zip: 0 members")
    assert names_in(work / "out.zip") == []
    assert (work / "out.zip").stat().st_size == 22


# What is left out

EXCLUDES: dict[str, tuple[list[str], list[str], list[str]]] = {
    "a name": (["a.txt"], ["a.zip"], ["d/", "d/x"]),
    "a name at any depth": (["x"], ["a.zip"], ["a.txt", "d/"]),
    "a pattern": (["*.txt"], ["a.zip", "tree"], ["d/", "d/x", "d/z", "empty/"]),
    "two": (["*.txt", "x"], ["a.zip"], ["d/"]),
    "a whole name": (["d/x"], ["a.zip", "b.zip"], ["a.txt", "d/", "b.txt", "d/y"]),
    "a whole name that is none": (["e/x", "./x", "a.txt/"], ["a.zip"], IN_A),
    "a name at the top": (["/a.txt", "./b.txt"], ["a.zip", "b.zip"], ["d/", "d/x", "d/y"]),
    "what a folder holds": (["d/*"], ["a.zip", "tree"], ["a.txt", "d/", "empty/", "t.txt"]),
    "a folder": (["d"], ["a.zip", "tree"], ["a.txt", "empty/", "t.txt"]),
    "a folder with a slash": (["d/"], ["a.zip", "tree"], ["a.txt", "empty/", "t.txt"]),
    "a folder that has no member": (["only"], ["deep.zip"], ["rest"]),
    "a folder in it": (["only/in"], ["deep.zip"], ["only/x", "rest"]),
    "with ./": (["./a.txt"], ["a.zip"], ["d/", "d/x"]),
    "the name without NAME": (["d/x"], ["p/=a.zip"], ["p/a.txt", "p/d/"]),
    "the name with NAME": (["p/d/x", "p"], ["p/=a.zip"], below("p/", IN_A)),
    "a folder's own name": (["tree", "tree/*"], ["tree"], IN_TREE),
    "everything": (["*"], ["a.zip", "tree"], []),
    "an archive is no member": (["a.zip"], ["a.zip", "o"], [*IN_A, "=odd.zip"]),
}


@pytest.mark.parametrize("case", EXCLUDES)
def test_what_is_excluded_is_left_out(work: Path, case: str) -> None:
    patterns, sources, expected = EXCLUDES[case]
    write_archive(work / "deep.zip", {"only/x": b"", "only/in/y": b"", "rest": b""})
    selection = Selection(directory=work, exclude=tuple(patterns))
    parazip.merge(work / "out.zip", [parse_source(text) for text in sources], selection=selection)
    assert names_in(work / "out.zip") == expected


def test_the_command_leaves_out_what_it_is_told(work: Path) -> None:
    done = run_merge("-x", "*.txt", "--exclude", "d/x", "out.zip", "a.zip", "tree", cwd=work)
    assert done.code == 0
    assert names_in(work / "out.zip") == ["d/", "d/z", "empty/"]


def test_steps_that_lead_nowhere_are_left_out_of_names(tmp_path: Path) -> None:
    write_archive(tmp_path / "s.zip", {"./": b"", "./a/": b"", "./a//b": b"1", "c/./d": b"2"})
    parazip.merge(tmp_path / "out.zip", [tmp_path / "s.zip"])
    assert contents_of(tmp_path / "out.zip") == {"a/": b"", "a/b": b"1", "c/d": b"2"}


def test_a_path_with_the_sign_of_a_name_in_it_is_a_path_where_nothing_else_is_meant(
    work: Path,
) -> None:
    (work / "o").mkdir(exist_ok=True)
    (work / "o/=b2.zip").write_bytes((work / "b.zip").read_bytes())
    assert run_merge("out.zip", "o/=b2.zip", cwd=work).code == 0
    assert names_in(work / "out.zip") == IN_B
    assert run_merge("-C", "..", "out.zip", f"{work.name}/o/=b2.zip", cwd=work).code == 0
    assert names_in(work / "out.zip") == IN_B
    (work / "b2.zip").write_bytes((work / "a.zip").read_bytes())
    assert run_merge("out.zip", "o/=b2.zip", cwd=work).code == 0
    assert names_in(work / "out.zip") == below("o/", IN_A)
    assert run_merge("out.zip", "/=o/=b2.zip", cwd=work).code == 0
    assert names_in(work / "out.zip") == IN_B
    assert_fails(run_merge("out.zip", "o/=b3.zip", cwd=work), 1, "cannot read b3.zip")
