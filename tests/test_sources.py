"""Paths become members: order, names, kinds of files, dates, and what is refused."""

from __future__ import annotations

import datetime
import errno
import io
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parazip import (
    Cache,
    DateError,
    DuplicateMemberError,
    File,
    Member,
    MemberNameError,
    OutputError,
    Progress,
    Selection,
    Settings,
    SettingsError,
    SourceChangedError,
    SourceError,
    create,
    merge,
    preview,
    write,
)
from parazip.codecs.sizes import BLOCK
from parazip.dates import Timestamp
from parazip.display import format_summary
from parazip.format.records import MAX_NAME
from parazip.selection import SKIPS, Symlinks
from parazip.walk import find_members, make_member_name
from patience import HUNG

DATE = 33 << 16
FILE = (stat.S_IFREG | 0o644) << 16
FIXED = datetime.datetime(2020, 2, 29, 12, 34, 56)


def put(root: Path, *names: str, data: bytes = b"x") -> None:
    """Makes files and, where a name ends with a slash, folders."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def names(members: list[Member]) -> list[str]:
    return [member.name for member in members]


def gather(*args: Any, **kwargs: Any) -> list[Member]:
    return list(find_members(*args, **kwargs))


def gathered(root: Path, *paths: str, **selection: Any) -> list[str]:
    return names(gather(paths, Selection(directory=root, **selection)))


def read_zip(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(path.read_bytes()))


# Order


def test_paths_keep_the_order_they_are_given_in(tmp_path: Path) -> None:
    put(tmp_path, "c", "a", "b/2", "b/1")
    assert gathered(tmp_path, "c", "b", "a") == ["c", "b/", "b/1", "b/2", "a"]


def test_folders_are_sorted_by_the_bytes_of_member_names(tmp_path: Path) -> None:
    put(tmp_path, "t/a/z", "t/a-b", "t/a0", "t/a.txt", "t/B", "t/b/", "t/é", "t/\uffee", "t/😀")
    expected = [
        "t/", "t/B", "t/a-b", "t/a.txt", "t/a/", "t/a/z", "t/a0", "t/b/", "t/é", "t/\uffee", "t/😀",
    ]  # fmt: skip
    assert gathered(tmp_path, "t") == expected
    assert expected == sorted(expected, key=str.encode)


def test_the_order_is_the_same_whatever_the_file_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, *(f"t/{i * 7919 % 101:03}/{i}" for i in range(100)))
    forwards = gathered(tmp_path, "t")
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
    assert gathered(tmp_path, "t") == forwards


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
    put(tmp_path, "up", "work/", "abs/x")
    monkeypatch.chdir(tmp_path / "work")
    found = names(gather(["../up", str(tmp_path / "abs")], Selection()))
    base = str(tmp_path).lstrip("/")
    assert found == ["up", f"{base}/abs/", f"{base}/abs/x"]


@pytest.mark.parametrize("spelling", [".", "./", "./.", "sub/.."])
def test_the_working_folder_gives_its_members_and_no_member_of_its_own(
    tmp_path: Path, spelling: str
) -> None:
    put(tmp_path, "a", "sub/b")
    assert gathered(tmp_path, spelling) == ["a", "sub/", "sub/b"]


@pytest.mark.parametrize("spelling", ["..", "../"])
def test_a_folder_above_gives_its_members_by_their_own_names(tmp_path: Path, spelling: str) -> None:
    put(tmp_path, "a", "sub/b")
    assert gathered(tmp_path / "sub", spelling) == ["a", "sub/", "sub/b"]


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
    put(tmp_path, "a", "d/b")
    assert gathered(tmp_path, "a", "d", prefix=prefix) == [
        folder + name for name in ("a", "d/", "d/b")
    ]


@pytest.mark.parametrize("prefix", ["/p", "..", "p/../../q", "../p", "/"])
def test_a_prefix_that_leads_out_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError, match="leads out of the archive"):
        Selection(prefix=prefix)


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(MemberNameError, match="is not a path") as caught:
        gather([path], Selection())
    assert isinstance(caught.value, ValueError)


def test_path_objects_are_taken_too(tmp_path: Path) -> None:
    put(tmp_path, "d/a")
    assert names(gather([Path("d")], Selection(directory=tmp_path))) == ["d/", "d/a"]


def test_one_path_is_not_taken_for_a_list_of_its_letters(tmp_path: Path) -> None:
    put(tmp_path, "a", "b", "ab")
    with pytest.raises((TypeError, ValueError)):
        create(tmp_path / "out.zip", "ab", selection=Selection(directory=tmp_path))


def test_one_exclude_pattern_is_not_taken_for_a_list_of_its_letters(tmp_path: Path) -> None:
    put(tmp_path, "keep", "drop.pyc")
    with pytest.raises((TypeError, ValueError)):
        gathered(tmp_path, ".", exclude="*.pyc")


def test_a_name_that_is_not_utf_8_is_refused_with_advice(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/bad\xff"
    try:
        with open(odd, "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    put(tmp_path, "good")
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
    put(tmp_path, "a")
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
    put(tmp_path, "a", "d/x", "d/y")
    (tmp_path / "link").symlink_to("a")
    selection = Selection(directory=tmp_path, symlinks=symlinks)
    report = create(tmp_path / "out.zip", paths, selection=selection)
    assert read_zip(tmp_path / "out.zip").namelist() == expected
    assert report.members == len(expected)
    create(tmp_path / "out.zip", [], selection=selection, names=["a", "d/x", "./a", "d", "a"])
    assert read_zip(tmp_path / "out.zip").namelist() == ["a", "d/x", "d/"]


def test_two_files_of_one_name_are_refused_and_both_are_named(tmp_path: Path) -> None:
    put(tmp_path, "a", "up/a", "up/down/x")
    archive = tmp_path / "out.zip"
    selection = Selection(directory=tmp_path / "up" / "down")
    with pytest.raises(DuplicateMemberError, match="two members would have the name a: ") as caught:
        create(archive, ["../a", "../../a"], selection=selection)
    assert "/../a and " in str(caught.value)
    assert "--prefix" in str(caught.value)
    assert not archive.exists()


def test_folders_of_one_name_become_one(tmp_path: Path) -> None:
    put(tmp_path, "t/a", "up/t/b")
    selection = Selection(directory=tmp_path / "up")
    create(tmp_path / "out.zip", ["t", "../t"], selection=selection)
    assert read_zip(tmp_path / "out.zip").namelist() == ["t/", "t/b", "t/a"]


def test_a_file_and_a_folder_of_the_same_name_are_duplicates(tmp_path: Path) -> None:
    members = [Member("a/", b"", 0o40755 << 16, DATE), Member("a", b"1", FILE, DATE)]
    with pytest.raises(DuplicateMemberError, match="the name a:"):
        write(tmp_path / "out.zip", members)


# Kinds of files


def test_empty_folders_are_kept(tmp_path: Path) -> None:
    put(tmp_path, "t/empty/", "t/also/empty/")
    create(tmp_path / "out.zip", ["t"], selection=Selection(directory=tmp_path))
    with read_zip(tmp_path / "out.zip") as archive:
        assert archive.namelist() == ["t/", "t/also/", "t/also/empty/", "t/empty/"]
        assert all(info.is_dir() and info.external_attr & 0x10 for info in archive.infolist())


@pytest.mark.parametrize("mode", [0o400, 0o444, 0o600, 0o644, 0o755, 0o700, 0o777, 0o4755])
def test_modes_of_files_are_kept(tmp_path: Path, mode: int) -> None:
    put(tmp_path, "a")
    (tmp_path / "a").chmod(mode)
    (member,) = gather(["a"], Selection(directory=tmp_path))
    assert member.attributes == (stat.S_IFREG | mode) << 16


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777, 0o1777])
def test_modes_of_folders_are_kept(tmp_path: Path, mode: int) -> None:
    put(tmp_path, "d/")
    (tmp_path / "d").chmod(mode)
    (member,) = gather(["d"], Selection(directory=tmp_path))
    assert member.attributes == (stat.S_IFDIR | mode) << 16 | 0x10


@pytest.mark.parametrize("link", ["t/link", "link"])
def test_links_to_files_are_followed(tmp_path: Path, link: str) -> None:
    put(tmp_path, "target", data=b"contents")
    put(tmp_path, "t/")
    (tmp_path / link).symlink_to(tmp_path / "target")
    create(tmp_path / "out.zip", [link], selection=Selection(directory=tmp_path, symlinks="follow"))
    with read_zip(tmp_path / "out.zip") as archive:
        assert archive.read(link) == b"contents"
        assert stat.S_ISREG(archive.getinfo(link).external_attr >> 16)


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    put(tmp_path, "real/x", "t/a")
    (tmp_path / "t" / "link").symlink_to("../real")
    assert gathered(tmp_path, "t") == ["t/", "t/a", "t/link/", "t/link/x"]


@pytest.mark.parametrize("target", ["target", "folder", "nowhere", "../up", "link"])
def test_links_are_stored_as_links_wherever_they_lead(tmp_path: Path, target: str) -> None:
    put(tmp_path, "t/target", "t/folder/x")
    link = tmp_path / "t" / "link"
    link.symlink_to(target)
    create(tmp_path / "out.zip", ["t"], selection=Selection(directory=tmp_path, symlinks="store"))
    with read_zip(tmp_path / "out.zip") as archive:
        assert archive.namelist() == ["t/", "t/folder/", "t/folder/x", "t/link", "t/target"]
        info = archive.getinfo("t/link")
        assert info.external_attr >> 16 == stat.S_IFLNK | 0o777
        assert archive.read("t/link") == target.encode()


def test_a_link_on_the_command_line_is_stored_as_a_link(tmp_path: Path) -> None:
    put(tmp_path, "real/x")
    (tmp_path / "link").symlink_to("real")
    (member,) = gather(["link"], Selection(directory=tmp_path, symlinks="store"))
    assert (member.name, member.source) == ("link", b"real")


def test_a_link_and_a_slash_mean_the_folder_as_with_tar(tmp_path: Path) -> None:
    put(tmp_path, "real/x")
    (tmp_path / "link").symlink_to("real")
    assert gathered(tmp_path, "link/", symlinks="store") == ["link/", "link/x"]


@pytest.mark.parametrize("target", [".", "..", "../..", "../../t"])
def test_a_link_to_a_folder_that_holds_it_is_refused(tmp_path: Path, target: str) -> None:
    put(tmp_path, "t/d/x")
    (tmp_path / "t/d/loop").symlink_to(target)
    with pytest.raises(SourceError, match=r"t/d/loop: it is a link .* --symlinks store"):
        gathered(tmp_path, "t")


def test_two_links_that_lead_into_each_other_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "t/a/", "t/b/")
    (tmp_path / "t/a/to-b").symlink_to("../b")
    (tmp_path / "t/b/to-a").symlink_to("../a")
    with pytest.raises(SourceError, match="--symlinks store"):
        gathered(tmp_path, "t")


@pytest.mark.parametrize("below", [False, True], ids=["given", "below a folder"])
def test_a_link_to_itself_is_refused_by_its_name(tmp_path: Path, below: bool) -> None:
    put(tmp_path, "t/")
    (tmp_path / "t/self").symlink_to("self")
    with pytest.raises(SourceError, match="t/self") as caught:
        gathered(tmp_path, "t" if below else "t/self")
    assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize("below", [False, True], ids=["given", "below a folder"])
def test_a_dangling_link_is_refused_with_advice(tmp_path: Path, below: bool) -> None:
    put(tmp_path, "t/")
    (tmp_path / "t/dead").symlink_to("nowhere")
    with pytest.raises(SourceError, match=r"t/dead: it is a link to nowhere.*--symlinks store"):
        gathered(tmp_path, "t" if below else "t/dead")
    assert gathered(tmp_path, "t", exclude=("dead",)) == ["t/"]


@pytest.mark.parametrize("symlinks", ["follow", "store"])
@pytest.mark.parametrize("below", [False, True], ids=["given", "below a folder"])
@pytest.mark.parametrize("kind", ["a socket", "a named pipe"])
def test_sockets_and_pipes_are_refused_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, below: bool, symlinks: Symlinks
) -> None:
    put(tmp_path, "t/")
    monkeypatch.chdir(tmp_path / "t")  # a socket's path must be short
    if kind == "a socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("odd")
    else:
        os.mkfifo("odd")
    with pytest.raises(SourceError, match=rf"t/odd: it is {kind}; .* --exclude t/odd"):
        gathered(tmp_path, "t" if below else "t/odd", symlinks=symlinks)
    assert gathered(tmp_path, "t", exclude=("t/odd",)) == ["t/"]


def test_devices_are_refused() -> None:
    with pytest.raises(SourceError, match="/dev/null: it is a device"):
        gather(["/dev/null"], Selection())


# Problems are told together, or skipped


def make_odd(folder: Path) -> None:
    """A folder of things that cannot be put in, and two that can."""
    put(folder, "good", "sub/")
    (folder / "dead").symlink_to("nowhere")
    (folder / "self").symlink_to("self")
    (folder / "sub" / "up").symlink_to("..")
    os.mkfifo(folder / "pipe")


def test_all_problems_are_told_in_one_run(tmp_path: Path) -> None:
    make_odd(tmp_path / "t")
    put(tmp_path, "a")
    archive = tmp_path / "out.zip"
    with pytest.raises(SourceError) as caught:
        create(archive, ["gone", "t", "", "a"], selection=Selection(directory=tmp_path))
    told = caught.value.messages()
    assert [text.partition(":")[0].rpartition("/")[2] for text in told[:5]] == [
        "gone", "dead", "pipe", "self", "up",
    ]  # fmt: skip
    assert told[5:] == ["'' is not a path"]
    assert str(caught.value) == "\n".join(told)
    assert isinstance(caught.value.others[-1], MemberNameError)
    assert not archive.exists()


def test_nothing_is_put_in_after_the_first_problem(tmp_path: Path) -> None:
    put(tmp_path, "t/a", "t/c")
    (tmp_path / "t" / "b").symlink_to("nowhere")
    given = find_members(["t"], Selection(directory=tmp_path))
    assert [next(given).name, next(given).name] == ["t/", "t/a"]
    with pytest.raises(SourceError, match="t/b"):
        next(given)


def test_many_problems_are_counted_and_each_kind_is_told(tmp_path: Path) -> None:
    put(tmp_path, "t/")
    for i in range(50):
        (tmp_path / "t" / f"{i:02}").symlink_to("nowhere")
    os.mkfifo(tmp_path / "t" / "pipe")
    with pytest.raises(SourceError) as caught:
        create(io.BytesIO(), ["t", "./t", "gone"], selection=Selection(directory=tmp_path))
    *told, more = caught.value.messages()
    assert len(told) == 22
    assert any("t/pipe: it is a named pipe" in text for text in told)
    assert any("gone: No such file" in text for text in told)
    assert more == "and 30 more problems"


def test_after_a_file_that_does_not_open_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, *(f"t/{i:04}" for i in range(3000)))
    (tmp_path / "t" / "zzz").symlink_to("nowhere")
    listing = os.scandir

    class Losing:
        def __init__(self, path: str) -> None:
            with listing(path) as entries:
                self._entries = list(entries)
            for entry in self._entries:
                if not entry.is_symlink():
                    entry.stat()
            (tmp_path / "t" / "0000").unlink(missing_ok=True)  # the workers find it gone

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return iter(self._entries)

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Losing)
    with pytest.raises(SourceError) as caught:
        create(io.BytesIO(), ["t"], Settings(jobs=1), Selection(directory=tmp_path))
    told = caught.value.messages()
    assert any("t/zzz: it is a link to nowhere" in text for text in told)


def test_what_is_to_be_skipped_is_left_out_and_counted(tmp_path: Path) -> None:
    make_odd(tmp_path / "t")
    archive = tmp_path / "out.zip"
    selection = Selection(directory=tmp_path, skip=("special", "dangling"))
    report = create(archive, ["t", "./t", "t/pipe"], selection=selection)
    assert read_zip(archive).namelist() == ["t/", "t/good", "t/sub/"]
    assert report.skipped == {"dangling": 3, "special": 1}
    assert (
        format_summary(report)
        .partition(":")[2]
        .startswith(" 3 members (skipped 3 dangling, 1 special), ")
    )
    assert merge(io.BytesIO(), ["t"], selection=selection).skipped == report.skipped
    with pytest.raises(SourceError, match="t/pipe") as caught:
        create(archive, ["t"], selection=Selection(directory=tmp_path, skip=("dangling",)))
    assert caught.value.others == ()
    with pytest.raises(SourceError, match="gone"):
        create(archive, ["t", "gone"], selection=selection)


@pytest.mark.parametrize("skip", ["special", ("files",)], ids=str)
def test_kinds_to_skip_that_there_are_not_are_refused(skip: Any) -> None:
    with pytest.raises((TypeError, SettingsError)):
        Selection(skip=skip)


@pytest.mark.parametrize("mode", [0o000, 0o600, 0o644], ids=oct)
def test_what_may_not_be_read_is_found_in_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    # Injected, because modes mean nothing to root.
    put(tmp_path, "t/a", "t/locked", "t/z")
    (tmp_path / "t" / "locked").chmod(mode)
    opening = os.open

    def is_locked(path: object) -> bool:
        return str(path).endswith("locked")

    def open_or_not(path: Any, *args: Any, **kwargs: Any) -> int:
        if is_locked(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opening(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", open_or_not)
    monkeypatch.setattr(os, "access", lambda path, *_, **__: not is_locked(path))
    archive = tmp_path / "out.zip"
    with pytest.raises(SourceError, match="t/locked: Permission denied") as caught:
        create(archive, ["t"], selection=Selection(directory=tmp_path))
    assert not archive.exists()
    if mode != 0o644:  # what everybody may read is not asked for, and fails when it is opened
        assert "--skip unreadable" in str(caught.value)
        with pytest.raises(SourceError) as caught:
            create(archive, ["t", "gone"], selection=Selection(directory=tmp_path))
        assert len(caught.value.messages()) == 2
    selection = Selection(directory=tmp_path, skip=("unreadable",))
    report = create(archive, ["t"], selection=selection)
    assert read_zip(archive).namelist() == ["t/", "t/a", "t/z"]
    assert report.skipped == {"unreadable": 1}


def test_a_folder_that_may_not_be_read_is_skipped_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "t/locked/x", "t/z")
    listing = os.scandir

    def scandir(path: str) -> Any:
        if path.endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert gathered(tmp_path, "t", skip=("unreadable",)) == ["t/", "t/z"]


FAILURES = [
    getattr(errno, name)
    for name in (
        "EMFILE",
        "ENFILE",
        "ENOMEM",
        "EIO",
        "ESTALE",
        "ETIMEDOUT",
        "ENAMETOOLONG",
        "EINTR",
    )
]


@pytest.mark.parametrize("number", FAILURES, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["open", "stat", "lstat", "scandir"])
def test_what_the_system_fails_to_read_is_never_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """That something may not be read is known; why it fails is not, and it may be all there is."""
    put(tmp_path, "t/a", "t/b/c")
    path = str(tmp_path / "t" / ("b" if call == "scandir" else "a"))
    original = getattr(os, call)

    def failing(asked: Any, *args: Any, **kwargs: Any) -> Any:
        if asked == path:
            raise OSError(number, os.strerror(number), asked)
        return original(asked, *args, **kwargs)

    monkeypatch.setattr(os, call, failing)
    given = ["t"] if call in ("open", "scandir") else ["t/a"]
    for skip in ((), SKIPS):
        with pytest.raises(SourceError) as caught:
            gathered(
                tmp_path,
                *given,
                skip=skip or ("unreadable",),
                symlinks="store" if call == "lstat" else "follow",
            )
        assert str(caught.value) == f"cannot read {path}: {os.strerror(number)}"
        assert caught.value.errno == number


def test_without_open_files_left_there_is_no_archive(tmp_path: Path) -> None:
    """A limit that is too low makes no archive that lacks what could not be opened."""
    put(tmp_path, *[f"t/{i}" for i in range(50)])
    program = (
        "import os, resource, sys\n"
        "import parazip\n"
        "parazip.create('warm.zip', ['t'], parazip.Settings(jobs=1))\n"
        "limit = len(os.listdir('/dev/fd')) + int(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))\n"
        "try:\n"
        "    report = parazip.create('out.zip', ['t'], parazip.Settings(jobs=1),\n"
        "        parazip.Selection(skip=('special', 'dangling', 'unreadable')))\n"
        "    assert report.members == 51 and not report.skipped, report\n"
        "except parazip.ParazipError as error:\n"
        "    print(error)\n"
    )
    outputs = []
    for spare in range(6):
        done = subprocess.run(
            [sys.executable, "-c", program, str(spare)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=HUNG,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        outputs.append(done.stdout)
    assert any("Too many open files" in output for output in outputs)


def test_deep_nesting_needs_no_recursion(tmp_path: Path) -> None:
    levels = 500
    path = str(tmp_path)
    for _ in range(levels):
        path += "/d"
        os.mkdir(path)
    with open(path + "/file", "wb"):
        pass
    found = gathered(tmp_path, "d")
    assert len(found) == levels + 1
    assert found[-1] == "d/" * levels + "file"
    create(tmp_path / "out.zip", ["d"], selection=Selection(directory=tmp_path))
    assert read_zip(tmp_path / "out.zip").namelist() == found


# Excludes


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
    put(tmp_path, *(name for name in EVERYTHING if not name.endswith("/")))
    if pattern == "?":
        expected = ["t"]  # the top folder has a name of one letter, too
        assert gathered(tmp_path, *expected, exclude=(pattern,)) == []
        put(tmp_path, "tt/a", "tt/bb")
        assert gathered(tmp_path, "tt", exclude=(pattern,)) == ["tt/", "tt/bb"]
    else:
        expected = EVERYTHING if left is None else left
        assert gathered(tmp_path, "t", exclude=(pattern,)) == expected


def test_excludes_add_up(tmp_path: Path) -> None:
    put(tmp_path, *(name for name in EVERYTHING if not name.endswith("/")))
    assert gathered(tmp_path, "t", exclude=("*.pyc", "t/d/build", "x")) == [
        "t/", "t/build/", "t/d/", "t/d/a.txt",
    ]  # fmt: skip


def test_excludes_are_compared_without_the_prefix(tmp_path: Path) -> None:
    put(tmp_path, "t/a", "t/b")
    assert gathered(tmp_path, "t", prefix="p", exclude=("t/a", "p")) == ["p/t/", "p/t/b"]


def test_an_excluded_folder_is_not_even_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "t/secret/x", "t/a")
    listing = os.scandir
    opened: list[str] = []

    def scandir(path: str) -> Any:
        opened.append(os.path.basename(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert gathered(tmp_path, "t", exclude=("secret",)) == ["t/", "t/a"]
    assert opened == ["t"]


@pytest.mark.parametrize("pattern", ["build", "t/build"])
@pytest.mark.parametrize("how", ["paths", "names"])
def test_an_excluded_folder_takes_along_what_is_named_below_it(
    tmp_path: Path, how: str, pattern: str
) -> None:
    put(tmp_path, "t/build/x", "t/a")
    listed = ["t/a", "t/build/x"]
    selection = Selection(directory=tmp_path, exclude=(pattern,))
    members = gather(listed, selection) if how == "paths" else gather([], selection, names=listed)
    assert names(members) == ["t/a"]


# Names that are taken one by one


def test_names_are_taken_one_by_one_after_the_paths(tmp_path: Path) -> None:
    put(tmp_path, "t/a", "t/b", "d/x")
    members = gather(
        ["d"], Selection(directory=tmp_path, prefix="p"), names=["t/b", "t", "./t/a", "."]
    )
    assert names(members) == ["p/d/", "p/d/x", "p/t/b", "p/t/", "p/t/a"]


def test_names_obey_excludes_and_link_policy(tmp_path: Path) -> None:
    put(tmp_path, "a", "b.pyc")
    (tmp_path / "link").symlink_to("a")
    selection = Selection(directory=tmp_path, exclude=("*.pyc",), symlinks="store")
    members = gather([], selection, names=["a", "b.pyc", "link"])
    assert [(member.name, member.size) for member in members] == [("a", 1), ("link", 1)]
    assert members[1].source == b"a"


def test_a_name_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing-here: No such file"):
        gather([], Selection(directory=tmp_path), names=["nothing-here"])


# Dates


def dos(moment: datetime.datetime) -> int:
    date = (moment.year - 1980) << 9 | moment.month << 5 | moment.day
    return date << 16 | moment.hour << 11 | moment.minute << 5 | moment.second // 2


def dated(root: Path, seconds: float) -> Path:
    """A file of that time, if the file system can express it."""
    put(root, "f")
    os.utime(root / "f", (seconds, seconds))
    if (root / "f").stat().st_mtime != seconds:
        pytest.skip("this file system keeps no such times")
    return root


def date_of(root: Path, **selection: Any) -> int:
    (member,) = gather(["f"], Selection(directory=root, **selection))
    return member.date


@pytest.fixture
def time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def choose(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "seconds", "local"),
    [
        ("UTC0", 1_600_000_000, datetime.datetime(2020, 9, 13, 12, 26, 40)),
        ("XXX-05:30", 1_600_000_002, datetime.datetime(2020, 9, 13, 17, 56, 42)),
        ("YYY8", 1_600_000_004, datetime.datetime(2020, 9, 13, 4, 26, 44)),
        ("UTC0", 1_600_000_007, datetime.datetime(2020, 9, 13, 12, 26, 46)),
    ],
)
def test_files_keep_their_own_local_times(
    tmp_path: Path,
    time_zone: Callable[[str], None],
    zone: str,
    seconds: int,
    local: datetime.datetime,
) -> None:
    time_zone(zone)
    assert date_of(dated(tmp_path, seconds)) == dos(local)


def test_a_program_may_change_its_time_zone(
    tmp_path: Path, time_zone: Callable[[str], None]
) -> None:
    root = dated(tmp_path, 1_600_000_000)
    dates = []
    for zone in ("UTC0", "XXX-05:30", "UTC0"):
        time_zone(zone)
        dates.append(date_of(root))
    local = [datetime.datetime(2020, 9, 13, *hour, 40) for hour in ((12, 26), (17, 56), (12, 26))]
    assert dates == list(map(dos, local))


FIRST = datetime.datetime(1980, 1, 1)
LAST = datetime.datetime(2107, 12, 31, 23, 59, 58)


@pytest.mark.parametrize(
    ("zone", "moment", "date"),
    [
        ("UTC0", datetime.datetime(1979, 12, 31, 23, 59, 59), None),
        ("UTC0", FIRST, FIRST),
        ("EST5", FIRST, None),
        ("EST5", datetime.datetime(1980, 1, 1, 5), FIRST),
        ("XXX-05:30", datetime.datetime(1979, 12, 31, 18, 30), FIRST),
        ("UTC0", LAST, LAST),
        ("UTC0", datetime.datetime(2108, 1, 1), None),
        ("XXX-05:30", LAST, None),
        ("UTC0", datetime.datetime(1970, 1, 1), None),
        ("UTC0", datetime.datetime(1960, 1, 1), None),
    ],
    ids=str,
)
@pytest.mark.parametrize("timestamp", [None, "keep", "clamp"])
def test_own_times_outside_of_1980_to_2107_become_the_nearest_that_there_is(
    tmp_path: Path,
    time_zone: Callable[[str], None],
    zone: str,
    moment: datetime.datetime,
    date: datetime.datetime | None,
    timestamp: Timestamp | None,
) -> None:
    time_zone(zone)
    dated(tmp_path, moment.replace(tzinfo=datetime.UTC).timestamp())
    selection = Selection(directory=tmp_path, timestamp=timestamp)
    report = create(io.BytesIO(), ["f"], selection=selection)
    nearest = FIRST if moment.year < 2000 else LAST
    assert date_of(tmp_path, timestamp=timestamp) == dos(date or nearest)
    if date or timestamp == "clamp":
        assert report.notes == ()
    else:
        (note,) = report.notes
        assert "outside of 1980 to 2107" in note
        assert "--timestamp clamp" in note
        assert str(tmp_path / "f") in note
    assert date_of(tmp_path, timestamp="epoch") == DATE


def test_dates_that_are_moved_are_told_in_one_bounded_note(tmp_path: Path) -> None:
    put(tmp_path, *(f"t/{i}" for i in range(9)))
    for i in range(9):
        os.utime(tmp_path / "t" / str(i), (i, i))
    report = create(io.BytesIO(), ["t"], selection=Selection(directory=tmp_path))
    (note,) = report.notes
    assert note.endswith("t/2' and 6 more")
    merged = merge(io.BytesIO(), [tmp_path / "t"])
    assert merged.notes == report.notes


@pytest.mark.parametrize("moment", [datetime.datetime(1979, 12, 31), datetime.datetime(2108, 1, 1)])
def test_given_dates_must_be_in_1980_to_2107(moment: datetime.datetime) -> None:
    with pytest.raises(DateError, match="1980 to 2107") as caught:
        Selection(timestamp=moment)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("timestamp", "date"),
    [
        ("epoch", DATE),
        (FIXED, dos(FIXED)),
        (datetime.datetime(1980, 1, 1), DATE),
        (
            datetime.datetime(2107, 12, 31, 23, 59, 59),
            dos(datetime.datetime(2107, 12, 31, 23, 59, 58)),
        ),
    ],
    ids=str,
)
def test_one_date_for_all_members(tmp_path: Path, timestamp: Any, date: int) -> None:
    put(tmp_path, "t/d/x", "t/y")
    (tmp_path / "t/link").symlink_to("y")
    selection = Selection(directory=tmp_path, timestamp=timestamp, symlinks="store")
    assert {member.date for member in gather(["t"], selection)} == {date}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1700000000", datetime.datetime(2023, 11, 14, 22, 13, 20)),
        ("315532800", datetime.datetime(1980, 1, 1)),
        ("4354819199", LAST),
        ("0", FIRST),
        ("1", FIRST),
        ("-1", FIRST),
        ("315532799", FIRST),
        ("4354819200", LAST),
        ("9" * 30, LAST),
        ("-" + "9" * 30, FIRST),
    ],
)
def test_source_date_epoch_is_told_in_utc_and_moved_into_1980_to_2107(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    time_zone: Callable[[str], None],
    text: str,
    moment: datetime.datetime,
) -> None:
    time_zone("XXX-05:30")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    assert date_of(dated(tmp_path, 1_600_000_000)) == dos(moment)


@pytest.mark.parametrize("text", ["yesterday", "1.5", "0x10", "9" * 5000])
def test_a_source_date_epoch_that_is_no_number_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(SettingsError, match="SOURCE_DATE_EPOCH"):
        Selection()


@pytest.mark.parametrize("zone", ["UTC0", "XXX-14", "XXX+12"])
@pytest.mark.parametrize(
    ("epoch", "seconds", "moment"),
    [
        (1_700_000_000, 1_600_000_010, datetime.datetime(2020, 9, 13, 12, 26, 50)),
        (1_700_000_000, 1_700_000_000, datetime.datetime(2023, 11, 14, 22, 13, 20)),
        (1_700_000_000, 1_700_000_001, datetime.datetime(2023, 11, 14, 22, 13, 20)),
        (1_700_000_000, 1_699_990_000, datetime.datetime(2023, 11, 14, 19, 26, 40)),
        (1_700_000_000, 9_000_000_000, datetime.datetime(2023, 11, 14, 22, 13, 20)),
        (1_700_000_000, 0, FIRST),
        (0, 1_600_000_010, FIRST),
        (-1, 0, FIRST),
        (9_000_000_000, 8_000_000_000, LAST),
        (9_000_000_000, 1_600_000_010, datetime.datetime(2020, 9, 13, 12, 26, 50)),
    ],
)
def test_clamp_keeps_dates_up_to_source_date_epoch_the_same_in_each_time_zone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    time_zone: Callable[[str], None],
    zone: str,
    epoch: int,
    seconds: int,
    moment: datetime.datetime,
) -> None:
    time_zone(zone)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(epoch))
    selection = Selection(directory=dated(tmp_path, seconds), timestamp="clamp")
    assert create(io.BytesIO(), ["f"], selection=selection).notes == ()
    assert date_of(tmp_path, timestamp="clamp") == dos(moment)


def test_clamp_needs_a_source_date_epoch_that_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(SettingsError, match="SOURCE_DATE_EPOCH=yesterday is not a number"):
        Selection(timestamp="clamp")
    assert Selection(timestamp="keep").timestamp == "keep"


def test_a_chosen_date_wins_over_source_date_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, time_zone: Callable[[str], None]
) -> None:
    time_zone("UTC0")
    dated(tmp_path, 1_600_000_010)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert date_of(tmp_path, timestamp="epoch") == DATE
    assert date_of(tmp_path, timestamp=FIXED) == dos(FIXED)
    assert date_of(tmp_path, timestamp="keep") == dos(datetime.datetime(2020, 9, 13, 12, 26, 50))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "nonsense")
    assert date_of(tmp_path, timestamp="epoch") == DATE
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "")
    assert date_of(tmp_path) == dos(datetime.datetime(2020, 9, 13, 12, 26, 50))


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
    put(tmp_path, "t/a.npy", "t/d/b")
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
    put(tmp_path, "t/a", "t/b")
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


# The archive inside its own tree


@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
@pytest.mark.parametrize(
    ("archive", "path", "pattern"),
    [
        ("out.zip", ".", "out.zip"),
        ("t/out.zip", "t", "t/out.zip"),
        ("t/d/out.zip", "t", "t/d/out.zip"),
        ("t/d/out.zip", "t/d", "t/d/out.zip"),
        ("t/d/out.zip", ".", "t/d/out.zip"),
    ],
)
def test_an_archive_inside_its_own_tree_is_refused_unless_it_is_excluded(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archive: str,
    path: str,
    pattern: str,
    existing: bool,
) -> None:
    put(tmp_path, "t/d/a")
    monkeypatch.chdir(tmp_path)
    if existing:
        put(tmp_path, archive, data=b"old")
    with pytest.raises(SourceError, match=f"{archive}.*--exclude {pattern}$"):
        create(archive, [path])
    assert os.path.exists(archive) is existing
    for exclude in (pattern, "*.zip"):
        create(archive, [path], selection=Selection(exclude=(exclude,)))
        found = read_zip(Path(archive)).namelist()
        assert "t/d/a" in found
        assert not any(name.endswith((".zip", ".tmp")) for name in found)


def test_an_archive_below_an_excluded_folder_is_fine(tmp_path: Path) -> None:
    put(tmp_path, "t/a", "t/dist/")
    create(
        tmp_path / "t/dist/out.zip",
        ["t"],
        selection=Selection(directory=tmp_path, exclude=("dist",)),
    )
    assert read_zip(tmp_path / "t/dist/out.zip").namelist() == ["t/", "t/a"]


def test_an_archive_beside_its_tree_is_fine(tmp_path: Path) -> None:
    put(tmp_path, "t/a")
    create(tmp_path / "t.zip", ["t"], selection=Selection(directory=tmp_path))
    assert read_zip(tmp_path / "t.zip").namelist() == ["t/", "t/a"]


@pytest.mark.parametrize("way", ["itself", "symbolic link", "hard link", "linked folder"])
def test_an_archive_that_is_its_own_source_is_found_out_whatever_it_is_called(
    tmp_path: Path, way: str
) -> None:
    put(tmp_path, "out.zip", "t/a", data=b"old archive")
    archive = tmp_path / "out.zip"
    path = "t"
    if way == "itself":
        path = "out.zip"
    elif way == "symbolic link":
        (tmp_path / "t/other").symlink_to(archive)
    elif way == "hard link":
        os.link(archive, tmp_path / "t/other")
    else:
        put(tmp_path, "elsewhere/")
        archive = tmp_path / "elsewhere/out.zip"
        archive.write_bytes(b"old archive")
        (tmp_path / "t/other").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match="is to be put into itself"):
        create(archive, [path], selection=Selection(directory=tmp_path))
    assert archive.read_bytes() == b"old archive"


def test_an_archive_in_a_linked_folder_is_inside_its_tree(tmp_path: Path) -> None:
    put(tmp_path, "t/a")
    (tmp_path / "link").symlink_to("t")
    with pytest.raises(SourceError, match=r"lies inside .*/t, which"):
        create(tmp_path / "link/out.zip", ["t"], selection=Selection(directory=tmp_path))


def test_an_open_file_inside_the_tree_is_found_out_too(tmp_path: Path) -> None:
    put(tmp_path, "t/a")
    with (
        open(tmp_path / "t/out.zip", "wb") as archive,
        pytest.raises(SourceError, match=r"out\.zip"),
    ):
        create(archive, ["t"], selection=Selection(directory=tmp_path))


# What is missing or cannot be read


@pytest.mark.parametrize("path", ["missing", "t/missing", "missing/deeper"])
def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path, path: str) -> None:
    put(tmp_path, "t/")
    with pytest.raises(SourceError, match=f"cannot read .*/{path}: No such file") as caught:
        gathered(tmp_path, path)
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == errno.ENOENT
    assert caught.value.member == str(tmp_path / path)


def test_a_path_below_a_file_is_an_error(tmp_path: Path) -> None:
    # The one way of "cannot be looked at" that holds for root, too: it passes all permissions.
    put(tmp_path, "file")
    with pytest.raises(SourceError, match="file/below: Not a directory") as caught:
        gathered(tmp_path, "file/below")
    assert caught.value.errno == errno.ENOTDIR


def test_a_folder_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Injected, because modes mean nothing to root.
    put(tmp_path, "t/locked/x", "t/a")
    listing = os.scandir

    def scandir(path: str) -> Any:
        if path.endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(SourceError, match="t/locked: Permission denied") as caught:
        gathered(tmp_path, "t")
    assert caught.value.errno == errno.EACCES
    assert gathered(tmp_path, "t", exclude=("locked",)) == ["t/", "t/a"]


@pytest.mark.parametrize("size", [1, 200_000, 3 * BLOCK], ids=["short", "middling", "cut"])
def test_a_file_that_cannot_be_opened_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    # Injected, because modes mean nothing to root. A path below a file does for both ways of
    # opening: `File` says that it was there.
    put(tmp_path, "file")
    source = File(str(tmp_path / "file" / "below"), size, 0, 0)
    with pytest.raises(SourceError, match=r"cannot read .*file/below: Not a directory"):
        write(tmp_path / "out.zip", [Member("m", source, FILE, DATE)], Settings(level=1))
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="modes mean nothing to root")
def test_a_file_without_the_right_to_read_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "t/a")
    (tmp_path / "t/a").chmod(0)
    with pytest.raises(SourceError, match="t/a: Permission denied"):
        create(tmp_path / "out.zip", ["t"], selection=Selection(directory=tmp_path))
    assert os.listdir(tmp_path) == ["t"]


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
@pytest.mark.parametrize("symlinks", ["follow", "store"])
def test_what_vanishes_while_folders_are_read_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, symlinks: Symlinks
) -> None:
    put(tmp_path, "t/b/" if kind == "folder" else "t/a")
    lost = tmp_path / "t" / "b"
    if kind == "link":
        lost.symlink_to("a")
    elif kind == "file":
        lost.write_bytes(b"x")
    listing = os.scandir

    class Vanishing:
        def __init__(self, path: str) -> None:
            with listing(path) as entries:
                self._entries = list(entries)
            if path.endswith("t"):
                lost.rmdir() if kind == "folder" else lost.unlink()

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return iter(self._entries)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Vanishing)
    with pytest.raises(SourceError, match="t/b"):
        gathered(tmp_path, "t", symlinks=symlinks)


# What changes between the moment it is found and the moment it is read


def vanish(path: Path) -> None:
    path.unlink()


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def modify(path: Path) -> None:
    """Other contents of the same size, at another time."""
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000))


def replace(path: Path) -> None:
    """Another file of the same size and time under the same name."""
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(bytes(before.st_size))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


CHANGES = [
    (vanish, SourceError, "cannot read .*victim: No such file"),
    (grow, SourceChangedError, r"victim changed while it was read: it had \d+ bytes and has \d+"),
    (shrink, SourceChangedError, r"victim changed while it was read: it had \d+ bytes and has \d+"),
    (modify, SourceChangedError, "victim changed while it was read: its modification time and "),
    (replace, SourceChangedError, "victim changed while it was read: its inode and change time "),
]
SIZES = {"short": 100, "middling": 300_000, "at the cut": BLOCK, "cut": 3 * BLOCK + 5}


@pytest.mark.parametrize("level", [0, 1, 6])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize(
    ("change", "error", "message"), CHANGES, ids=[c[0].__name__ for c in CHANGES]
)
def test_a_file_that_changes_before_it_is_read_is_an_error_and_the_old_archive_stays(
    tmp_path: Path,
    change: Callable[[Path], None],
    error: type[Exception],
    message: str,
    size: int,
    level: int,
) -> None:
    put(
        tmp_path,
        "t/before",
        "t/victim",
        "t/zuletzt",
        data=b"some words " * (size // 11) + b"x" * (size % 11),
    )
    members = gather(["t"], Selection(directory=tmp_path))
    change(tmp_path / "t/victim")
    (tmp_path / "out").mkdir()
    archive = tmp_path / "out/out.zip"
    archive.write_bytes(b"old archive")
    with pytest.raises(error, match=message) as caught:
        write(archive, members, Settings(level=level, jobs=2))
    assert type(caught.value) is error
    assert archive.read_bytes() == b"old archive"
    assert os.listdir(tmp_path / "out") == ["out.zip"]
    assert threading.active_count() == 1


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize(
    ("change", "error", "message"), CHANGES, ids=[c[0].__name__ for c in CHANGES]
)
def test_a_file_that_changes_between_its_blocks_is_an_error(
    tmp_path: Path,
    change: Callable[[Path], None],
    error: type[Exception],
    message: str,
    level: int,
) -> None:
    put(tmp_path, "t/victim", data=b"some words " * 300_000)
    seen: list[Progress] = []

    def after_the_first_block(progress: Progress) -> None:
        if not seen:
            change(tmp_path / "t/victim")
        seen.append(progress)

    with pytest.raises(error, match=message):
        create(
            tmp_path / "out.zip",
            ["t/victim"],
            # A budget below one block's: the next block is read when this one has been told of.
            Settings(level=level, jobs=1, memory=1 << 20),
            Selection(directory=tmp_path),
            progress=after_the_first_block,
        )
    assert len(seen) == 1
    assert (seen[0].bytes, seen[0].members) == (BLOCK, 0)
    assert os.listdir(tmp_path) == ["t"]


def test_the_first_file_in_archive_order_is_the_one_that_is_told_of(tmp_path: Path) -> None:
    put(tmp_path, *(f"t/{i:04}" for i in range(600)))
    members = gather(["t"], Selection(directory=tmp_path))
    for name in ("t/0599", "t/0300", "t/0150"):
        (tmp_path / name).unlink()
    for jobs in (1, 3):
        with pytest.raises(SourceError, match="t/0150"):
            write(tmp_path / "out.zip", members, Settings(jobs=jobs))
    assert os.listdir(tmp_path) == ["t"]


def test_a_progress_callback_that_fails_ends_the_archive(tmp_path: Path) -> None:
    put(tmp_path, "t/a", data=b"z" * (4 * BLOCK))

    def fail(progress: Progress) -> None:
        raise LookupError(progress.current)

    with pytest.raises(LookupError, match="t/a"):
        create(
            tmp_path / "out.zip",
            ["t/a"],
            Settings(level=1, jobs=2),
            Selection(directory=tmp_path),
            progress=fail,
        )
    assert os.listdir(tmp_path) == ["t"]
    assert threading.active_count() == 1


@pytest.mark.parametrize("path", ["d", "d/", "./d", "link"])
def test_a_folder_to_be_put_in_is_neither_the_archive_nor_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "d/a")
    os.symlink("d", "link")
    with pytest.raises(OutputError, match="cannot write d: it is a folder"):
        create("d", [path])
    with pytest.raises(SourceError, match=r"the cache cannot be .*d: that is a folder") as told:
        create("a.zip", [path], cache=Cache("d"))
    assert "--exclude" not in str(told.value)


def test_a_pattern_of_a_folder_leaves_out_what_is_named_and_where_the_archive_is(
    tmp_path: Path,
) -> None:
    put(tmp_path, "dist/a", "d/dist/b", "e")
    assert gathered(tmp_path, "dist", "e", exclude=("dist/",)) == ["e"]
    assert gathered(tmp_path, "dist/a", "d", exclude=("dist/",)) == ["d/", "d/dist/", "d/dist/b"]
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
    put(tmp_path, "t/real/a")
    os.symlink("real", tmp_path / "t/link")
    exclude = ("t/link/",)
    assert gathered(tmp_path, "t", exclude=exclude) == ["t/", "t/real/", "t/real/a"]
    stored = ["t/", "t/link", "t/real/", "t/real/a"]
    assert gathered(tmp_path, "t", symlinks="store", exclude=exclude) == stored


@pytest.mark.parametrize("pattern", ["*/", "**/", "*/*", "/*"])
def test_the_folder_that_all_is_in_has_no_name_to_match(tmp_path: Path, pattern: str) -> None:
    put(tmp_path, "a", "b/c")
    left = [] if pattern == "/*" else ["a"]
    assert [name for name in gathered(tmp_path, ".", exclude=(pattern,)) if name[0] != "b"] == left
    merge(tmp_path / "m.zip", [tmp_path], selection=Selection(exclude=(pattern, "m.zip")))
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        assert [name for name in archive.namelist() if name[0] != "b"] == left
