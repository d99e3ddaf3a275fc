"""Paths become members: their order and their names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from parazip import (
    DuplicateMemberError,
    Member,
    MemberNameError,
    Selection,
    SettingsError,
    create,
    write,
)
from parazip.format.records import MAX_NAME
from parazip.sources.selection import Symlinks
from parazip.sources.walk import make_member_name
from support.sources import DATE, FILE, make_paths, names_of, read_zip, scan_names, scan_paths

# Order


def test_paths_keep_the_order_they_are_given_in(tmp_path: Path) -> None:
    make_paths(tmp_path, "c", "a", "b/2", "b/1")
    assert scan_names(tmp_path, "c", "b", "a") == ["c", "b/", "b/1", "b/2", "a"]


def test_folders_are_sorted_by_the_bytes_of_member_names(tmp_path: Path) -> None:
    make_paths(
        tmp_path, "t/a/z", "t/a-b", "t/a0", "t/a.txt", "t/B", "t/b/", "t/é", "t/\uffee", "t/😀"
    )
    expected = [
        "t/", "t/B", "t/a-b", "t/a.txt", "t/a/", "t/a/z", "t/a0", "t/b/", "t/é", "t/\uffee", "t/😀",
    ]  # fmt: skip
    assert scan_names(tmp_path, "t") == expected
    assert expected == sorted(expected, key=str.encode)


def test_the_order_is_the_same_whatever_the_file_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_paths(tmp_path, *(f"t/{i * 7919 % 101:03}/{i}" for i in range(100)))
    forwards = scan_names(tmp_path, "t")
    listing = os.scandir

    class Backwards:
        def __init__(self, path: str) -> None:
            with listing(path) as entries:
                self._entries = list(entries)[::-1]

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return iter(self._entries)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert scan_names(tmp_path, "t") == forwards


# Names


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a", "a"),
        ("a/b", "a/b"),
        ("/a/b", "a/b"),
        ("//a/b", "a/b"),
        ("./a", "a"),
        ("././a/./b", "a/b"),
        ("../a", "a"),
        ("../../a/b", "a/b"),
        ("a/../b", "b"),
        ("a/../../b", "b"),
        ("a//b", "a/b"),
        ("a/", "a"),
        (".", ""),
        ("./", ""),
        ("..", ""),
        ("../..", ""),
        ("/", ""),
        (".hidden", ".hidden"),
        ("..hidden", "..hidden"),
        ("a..b/...", "a..b/..."),
        ("-dash", "-dash"),
        ("with space/ü", "with space/ü"),
    ],
)
def test_a_path_gets_a_relative_name_that_stays_in_the_archive(path: str, name: str) -> None:
    assert make_member_name(path) == name


def test_absolute_paths_and_steps_upwards_are_put_in_below_the_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_paths(tmp_path, "up", "work/", "abs/x")
    monkeypatch.chdir(tmp_path / "work")
    found = names_of(scan_paths(["../up", str(tmp_path / "abs")], Selection()))
    base = str(tmp_path).lstrip("/")
    assert found == ["up", f"{base}/abs/", f"{base}/abs/x"]


@pytest.mark.parametrize("spelling", [".", "./", "./.", "sub/.."])
def test_the_working_folder_gives_its_members_and_no_member_of_its_own(
    tmp_path: Path, spelling: str
) -> None:
    make_paths(tmp_path, "a", "sub/b")
    assert scan_names(tmp_path, spelling) == ["a", "sub/", "sub/b"]


@pytest.mark.parametrize("spelling", ["..", "../"])
def test_a_folder_above_gives_its_members_by_their_own_names(tmp_path: Path, spelling: str) -> None:
    make_paths(tmp_path, "a", "sub/b")
    assert scan_names(tmp_path / "sub", spelling) == ["a", "sub/", "sub/b"]


@pytest.mark.parametrize(
    ("prefix", "folder"),
    [
        ("", ""),
        ("p", "p/"),
        ("p/", "p/"),
        ("p/q", "p/q/"),
        ("./p//q/.", "p/q/"),
        (".", ""),
        ("naïve dir", "naïve dir/"),
    ],
)
def test_a_prefix_stands_in_front_of_all_names(tmp_path: Path, prefix: str, folder: str) -> None:
    make_paths(tmp_path, "a", "d/b")
    assert scan_names(tmp_path, "a", "d", prefix=prefix) == [
        folder + name for name in ("a", "d/", "d/b")
    ]


@pytest.mark.parametrize("prefix", ["/p", "..", "p/../../q", "../p", "/"])
def test_a_prefix_that_leads_out_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError, match="leads out of the archive"):
        Selection(prefix=prefix)


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(MemberNameError, match="is not a path") as caught:
        scan_paths([path], Selection())
    assert isinstance(caught.value, ValueError)


def test_path_objects_are_taken_too(tmp_path: Path) -> None:
    make_paths(tmp_path, "d/a")
    assert names_of(scan_paths([Path("d")], Selection(directory=tmp_path))) == ["d/", "d/a"]


def test_one_path_is_not_taken_for_a_list_of_its_letters(tmp_path: Path) -> None:
    make_paths(tmp_path, "a", "b", "ab")
    with pytest.raises((TypeError, ValueError)):
        create(tmp_path / "out.zip", "ab", selection=Selection(directory=tmp_path))


def test_one_exclude_pattern_is_not_taken_for_a_list_of_its_letters(tmp_path: Path) -> None:
    make_paths(tmp_path, "keep", "drop.pyc")
    with pytest.raises((TypeError, ValueError)):
        scan_names(tmp_path, ".", exclude="*.pyc")


def test_a_name_that_is_not_utf_8_is_refused_with_advice(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/bad\xff"
    try:
        with open(odd, "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    make_paths(tmp_path, "good")
    archive = tmp_path.parent / f"{tmp_path.name}.zip"
    with pytest.raises(MemberNameError, match=r"not valid UTF-8; rename the file .* --exclude"):
        create(archive, ["."], selection=Selection(directory=tmp_path))
    assert not archive.exists()
    create(archive, ["."], selection=Selection(directory=tmp_path, exclude=("bad*",)))
    assert read_zip(archive).namelist() == ["good"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * (MAX_NAME + 1), f"has {MAX_NAME + 1} bytes"),
        ("é" * (MAX_NAME // 2 + 1), f"has {MAX_NAME + 1} bytes"),
        ("", "has 0 bytes"),
        ("\udcff", "not valid UTF-8"),
    ],
    ids=["long", "long in UTF-8", "empty", "surrogate"],
)
def test_names_that_no_archive_can_hold_are_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    archive = tmp_path / "out.zip"
    with pytest.raises(MemberNameError, match=message):
        write(archive, [Member("fine", b"1", FILE, DATE), Member(name, b"2", FILE, DATE)])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["x" * MAX_NAME, "é" * (MAX_NAME // 2), "x"], ids=len)
def test_the_longest_names_are_taken(tmp_path: Path, name: str) -> None:
    write(tmp_path / "out.zip", [Member(name, b"data", FILE, DATE)])
    with read_zip(tmp_path / "out.zip") as archive:
        assert archive.namelist() == [name]
        assert archive.read(name) == b"data"


def test_a_long_prefix_makes_a_long_name(tmp_path: Path) -> None:
    make_paths(tmp_path, "a")
    with pytest.raises(MemberNameError, match="65536 bytes"):
        create(
            tmp_path / "out.zip",
            ["a"],
            selection=Selection(directory=tmp_path, prefix="p" * (MAX_NAME - 1)),
        )


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a", "a"], ["a"]),
        (["a", "./a"], ["a"]),
        (["d", "d/x"], ["d/", "d/x", "d/y"]),
        (["d/y", "d"], ["d/y", "d/", "d/x"]),
        (["d", "./d", "d/"], ["d/", "d/x", "d/y"]),
        (["d/x", "d/../d/x"], ["d/x"]),
        (["link", "d", "link"], ["link", "d/", "d/x", "d/y"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("symlinks", ["follow", "store"])
def test_what_is_named_twice_is_taken_once(
    tmp_path: Path, paths: list[str], expected: list[str], symlinks: Symlinks
) -> None:
    make_paths(tmp_path, "a", "d/x", "d/y")
    (tmp_path / "link").symlink_to("a")
    selection = Selection(directory=tmp_path, symlinks=symlinks)
    report = create(tmp_path / "out.zip", paths, selection=selection)
    assert read_zip(tmp_path / "out.zip").namelist() == expected
    assert report.members == len(expected)
    create(tmp_path / "out.zip", [], selection=selection, names=["a", "d/x", "./a", "d", "a"])
    assert read_zip(tmp_path / "out.zip").namelist() == ["a", "d/x", "d/"]


def test_two_links_of_one_name_are_told_apart_by_their_targets(tmp_path: Path) -> None:
    (tmp_path / "up").mkdir()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "up/link").symlink_to("b")
    for link in (tmp_path / "link", tmp_path / "up/link"):
        os.utime(link, (10**9, 10**9), follow_symlinks=False)
    selection = Selection(directory=tmp_path / "up", symlinks="store")
    with pytest.raises(DuplicateMemberError, match="two members would have the name link: "):
        create(tmp_path / "out.zip", ["link", "../link"], selection=selection)


def test_two_files_of_one_name_are_refused_and_both_are_named(tmp_path: Path) -> None:
    make_paths(tmp_path, "a", "up/a", "up/down/x")
    archive = tmp_path / "out.zip"
    selection = Selection(directory=tmp_path / "up" / "down")
    with pytest.raises(DuplicateMemberError, match="two members would have the name a: ") as caught:
        create(archive, ["../a", "../../a"], selection=selection)
    assert "/../a and " in str(caught.value)
    assert "--prefix" in str(caught.value)
    assert not archive.exists()


def test_folders_of_one_name_become_one(tmp_path: Path) -> None:
    make_paths(tmp_path, "t/a", "up/t/b")
    selection = Selection(directory=tmp_path / "up")
    create(tmp_path / "out.zip", ["t", "../t"], selection=selection)
    assert read_zip(tmp_path / "out.zip").namelist() == ["t/", "t/b", "t/a"]


def test_a_file_and_a_folder_of_the_same_name_are_duplicates(tmp_path: Path) -> None:
    members = [Member("a/", b"", 0o40755 << 16, DATE), Member("a", b"1", FILE, DATE)]
    with pytest.raises(DuplicateMemberError, match="the name a:"):
        write(tmp_path / "out.zip", members)
