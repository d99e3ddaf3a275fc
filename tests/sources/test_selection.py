"""What is left out, what is named one by one, and which selections make no sense."""

from __future__ import annotations

import datetime
import io
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from parazip import Cache, Selection, Settings, SettingsError, SourceError, create, merge, preview
from support.sources import make_paths, names_of, read_zip, scan_names, scan_paths

EXCLUDES = [
    ("*.pyc", ["t/", "t/build/", "t/build/x", "t/d/", "t/d/a.txt", "t/d/build/", "t/d/build/y"]),
    ("build", ["t/", "t/a.pyc", "t/d/", "t/d/a.txt", "t/d/b.pyc"]),
    ("build/", None),
    ("*/build/", ["t/", "t/a.pyc", "t/d/", "t/d/a.txt", "t/d/b.pyc"]),
    ("t/build/", ["t/", "t/a.pyc", "t/d/", "t/d/a.txt", "t/d/b.pyc", "t/d/build/", "t/d/build/y"]),
    ("/t/build", ["t/", "t/a.pyc", "t/d/", "t/d/a.txt", "t/d/b.pyc", "t/d/build/", "t/d/build/y"]),
    ("./t//./d", ["t/", "t/a.pyc", "t/build/", "t/build/x"]),
    ("t/a.pyc/", None),
    ("./build", None),
    ("/a.pyc", None),
    ("./t", []),
    ("/t/", []),
    ("t/", []),
    ("t/build", ["t/", "t/a.pyc", "t/d/", "t/d/a.txt", "t/d/b.pyc", "t/d/build/", "t/d/build/y"]),
    ("t/d", ["t/", "t/a.pyc", "t/build/", "t/build/x"]),
    ("./t/d/", ["t/", "t/a.pyc", "t/build/", "t/build/x"]),
    ("t/*.pyc", ["t/", "t/build/", "t/build/x", "t/d/", "t/d/a.txt", "t/d/build/", "t/d/build/y"]),
    ("t/d/*", ["t/", "t/a.pyc", "t/build/", "t/build/x", "t/d/"]),
    ("*/build", ["t/", "t/a.pyc", "t/d/", "t/d/a.txt", "t/d/b.pyc"]),
    ("[ab].pyc", ["t/", "t/build/", "t/build/x", "t/d/", "t/d/a.txt", "t/d/build/", "t/d/build/y"]),
    ("?", ["t/", "t/a.pyc", "t/build/", "t/d/"]),
    ("t", []),
    ("*", []),
    ("T", None),
    ("a", None),
    ("d/a.txt", None),
]

EVERYTHING = [
    "t/", "t/a.pyc", "t/build/", "t/build/x", "t/d/", "t/d/a.txt", "t/d/b.pyc", "t/d/build/",
    "t/d/build/y",
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "left"), EXCLUDES, ids=[repr(row[0]) for row in EXCLUDES])
def test_an_exclude_leaves_out_what_it_matches(
    tmp_path: Path, pattern: str, left: list[str] | None
) -> None:
    make_paths(tmp_path, *(name for name in EVERYTHING if not name.endswith("/")))
    if pattern == "?":
        expected = ["t"]  # the top folder has a name of one letter, too
        assert scan_names(tmp_path, *expected, exclude=(pattern,)) == []
        make_paths(tmp_path, "tt/a", "tt/bb")
        assert scan_names(tmp_path, "tt", exclude=(pattern,)) == ["tt/", "tt/bb"]
    else:
        expected = EVERYTHING if left is None else left
        assert scan_names(tmp_path, "t", exclude=(pattern,)) == expected


def test_excludes_add_up(tmp_path: Path) -> None:
    make_paths(tmp_path, *(name for name in EVERYTHING if not name.endswith("/")))
    assert scan_names(tmp_path, "t", exclude=("*.pyc", "t/d/build", "x")) == [
        "t/", "t/build/", "t/d/", "t/d/a.txt",
    ]  # fmt: skip


def test_excludes_are_compared_without_the_prefix(tmp_path: Path) -> None:
    make_paths(tmp_path, "t/a", "t/b")
    assert scan_names(tmp_path, "t", prefix="p", exclude=("t/a", "p")) == ["p/t/", "p/t/b"]


def test_an_excluded_folder_is_not_even_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_paths(tmp_path, "t/secret/x", "t/a")
    listing = os.scandir
    opened: list[str] = []

    def scandir(path: str) -> Any:
        opened.append(os.path.basename(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert scan_names(tmp_path, "t", exclude=("secret",)) == ["t/", "t/a"]
    assert opened == ["t"]


@pytest.mark.parametrize("pattern", ["build", "t/build"])
@pytest.mark.parametrize("how", ["paths", "names"])
def test_an_excluded_folder_takes_along_what_is_named_below_it(
    tmp_path: Path, how: str, pattern: str
) -> None:
    make_paths(tmp_path, "t/build/x", "t/a")
    listed = ["t/a", "t/build/x"]
    selection = Selection(directory=tmp_path, exclude=(pattern,))
    members = (
        scan_paths(listed, selection) if how == "paths" else scan_paths([], selection, names=listed)
    )
    assert names_of(members) == ["t/a"]


# Names that are taken one by one


def test_names_are_taken_one_by_one_after_the_paths(tmp_path: Path) -> None:
    make_paths(tmp_path, "t/a", "t/b", "d/x")
    members = scan_paths(
        ["d"], Selection(directory=tmp_path, prefix="p"), names=["t/b", "t", "./t/a", "."]
    )
    assert names_of(members) == ["p/d/", "p/d/x", "p/t/b", "p/t/", "p/t/a"]


def test_names_obey_excludes_and_link_policy(tmp_path: Path) -> None:
    make_paths(tmp_path, "a", "b.pyc")
    (tmp_path / "link").symlink_to("a")
    selection = Selection(directory=tmp_path, exclude=("*.pyc",), symlinks="store")
    members = scan_paths([], selection, names=["a", "b.pyc", "link"])
    assert [(member.name, member.size) for member in members] == [("a", 1), ("link", 1)]
    assert members[1].source == b"a"


def test_a_name_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing-here: No such file"):
        scan_paths([], Selection(directory=tmp_path), names=["nothing-here"])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"timestamp": 5}, "timestamp 5 is not keep, clamp, epoch or a datetime"),
        ({"timestamp": datetime.date(2020, 1, 1)}, "or a datetime"),
        ({"exclude": "*.pyc"}, "exclude is a tuple of patterns, not the single '*.pyc'"),
        ({"exclude": ["*.pyc"]}, "exclude is a tuple of patterns, not ['*.pyc']"),
        ({"exclude": (b"*.pyc",)}, "exclude is a tuple of patterns, not (b'*.pyc',)"),
        ({"store": None}, "store is a tuple of patterns, not None"),
        ({"store": (1,)}, "store is a tuple of patterns, not (1,)"),
        ({"align": 64}, "align is a tuple of pairs such as (64, '*.npy'), not 64"),
        ({"align": (64, "*.npy")}, "align is a tuple of pairs such as (64, '*.npy'), not 64"),
        ({"align": (("64", "*.npy"),)}, "not ('64', '*.npy')"),
        ({"skip": "special"}, "skip is a tuple of kinds, not the single 'special'"),
        ({"skip": ["special"]}, "skip is a tuple of kinds, not ['special']"),
        ({"directory": 1}, "directory is a path or None, not 1"),
        ({"directory": b"d"}, "directory is a path or None, not b'd'"),
        ({"prefix": None}, "prefix is the name of a folder, not None"),
        ({"prefix": Path("p")}, "prefix is the name of a folder"),
        ({"ignore": "no"}, "ignore is True or False, not 'no'"),
        ({"exclude_vcs": 2}, "exclude_vcs is True or False, not 2"),
        ({"symlinks": True}, "symlinks must be 'follow' or 'store', not True"),
        ({"modes": 0o644}, "modes must be 'keep' or 'normal', not 420"),
        ({"changes": None}, "changes None is not one of"),
    ],
    ids=str,
)
def test_what_is_of_another_type_is_told_at_once(fields: dict[str, Any], told: str) -> None:
    with pytest.raises((TypeError, SettingsError)) as error:
        Selection(**fields)
    assert told in str(error.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"level": "6"},
        {"level": None},
        {"level": 6.0},
        {"jobs": "2"},
        {"jobs": 1.5},
        {"memory": "64M"},
        {"memory": None},
        {"codec": None},
        {"codec": 1},
        {"codec": []},
    ],
    ids=str,
)
def test_settings_of_another_type_are_told_at_once(fields: dict[str, Any]) -> None:
    ((name, value),) = fields.items()
    with pytest.raises((TypeError, SettingsError), match=rf"^{name} .*{re.escape(repr(value))}"):
        Settings(**fields)


@pytest.mark.parametrize("empty", ["", "/", "./", "//"])
@pytest.mark.parametrize("field", ["exclude", "store", "align"])
def test_a_pattern_of_nothing_is_refused(field: str, empty: str) -> None:
    patterns: Any = ((64, empty),) if field == "align" else ("*.py", empty)
    with pytest.raises(SettingsError, match=f"^{field} has the pattern '{empty}', which names no"):
        Selection(**{field: patterns})


def test_patterns_that_match_nothing_are_told_where_they_do_something(tmp_path: Path) -> None:
    """Leaving out what is not there is as usual as `rm -f`; storing it is a slip of the pen."""
    make_paths(tmp_path, "t/a.npy", "t/d/b")
    selection = Selection(
        directory=tmp_path,
        exclude=("*.pyc", "gone/*"),
        store=("*.npy", "*.npz", "t/d", "t/x/*"),
        align=((64, "*.npy"), (4, "*.so"), (8, "*"), (1, "*.lib")),
        prefix="p",
    )
    notes = (
        "--store *.npz matched nothing",
        "--store t/x/* matched nothing",
        "--align 4:*.so matched nothing",
        "--align 1:*.lib matched nothing",
    )
    report = create(io.BytesIO(), ["t"], Settings(level=0), selection)
    assert report.notes == notes
    assert preview(["t"], selection, settings=Settings(level=0)).notes == notes
    empty = Selection(directory=tmp_path, align=((64, "*"),))
    assert create(io.BytesIO(), [], selection=empty).notes == ()


def test_a_multiple_of_one_byte_asks_for_nothing(tmp_path: Path) -> None:
    make_paths(tmp_path, "t/a", "t/b")
    made = []
    for align in ((), ((1, "*"),), ((1, "*"), (1, "a"))):
        output = io.BytesIO()
        report = create(output, ["t"], selection=Selection(directory=tmp_path, align=align))
        assert (report.notes, report.aligned) == ((), 0)
        made.append(output.getvalue())
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize(
    "selection", [{"symlinks": "copy"}, {"timestamp": "now"}, {"timestamp": "1999-01-01"}], ids=str
)
def test_a_selection_that_makes_no_sense_is_refused(selection: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        Selection(**selection)
    assert repr(next(iter(selection.values()))) in str(caught.value)


def test_a_pattern_of_a_folder_leaves_out_what_is_named_and_where_the_archive_is(
    tmp_path: Path,
) -> None:
    make_paths(tmp_path, "dist/a", "d/dist/b", "e")
    assert scan_names(tmp_path, "dist", "e", exclude=("dist/",)) == ["e"]
    assert scan_names(tmp_path, "dist/a", "d", exclude=("dist/",)) == ["d/", "d/dist/", "d/dist/b"]
    chosen = Selection(directory=tmp_path, exclude=("dist/",))
    create(tmp_path / "dist/out.zip", ["."], selection=chosen)
    assert read_zip(tmp_path / "dist/out.zip").namelist() == ["d/", "d/dist/", "d/dist/b", "e"]
    create(tmp_path / "o.zip", [], selection=chosen, names=["dist", "dist/a", "e"])
    assert read_zip(tmp_path / "o.zip").namelist() == ["e"]
    cache = Cache(tmp_path / "dist" / "cache")
    chosen = Selection(directory=tmp_path, exclude=("dist/cache/", "*.zip"))
    create(tmp_path / "o.zip", ["."], selection=chosen, cache=cache)
    assert "dist/" in read_zip(tmp_path / "o.zip").namelist()


def test_a_link_that_is_kept_is_no_folder_to_a_pattern(tmp_path: Path) -> None:
    make_paths(tmp_path, "t/real/a")
    os.symlink("real", tmp_path / "t/link")
    exclude = ("t/link/",)
    assert scan_names(tmp_path, "t", exclude=exclude) == ["t/", "t/real/", "t/real/a"]
    stored = ["t/", "t/link", "t/real/", "t/real/a"]
    assert scan_names(tmp_path, "t", symlinks="store", exclude=exclude) == stored


@pytest.mark.parametrize("pattern", ["*/", "**/", "*/*", "/*"])
def test_the_folder_that_all_is_in_has_no_name_to_match(tmp_path: Path, pattern: str) -> None:
    make_paths(tmp_path, "a", "b/c")
    left = [] if pattern == "/*" else ["a"]
    assert [
        name for name in scan_names(tmp_path, ".", exclude=(pattern,)) if name[0] != "b"
    ] == left
    merge(tmp_path / "m.zip", [tmp_path], selection=Selection(exclude=(pattern, "m.zip")))
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        assert [name for name in archive.namelist() if name[0] != "b"] == left
