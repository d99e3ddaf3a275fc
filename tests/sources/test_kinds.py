"""Folders, modes, links, and what is no file: what becomes of each kind."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from parazip import Selection, SourceError, create
from parazip.sources.selection import Symlinks
from support.sources import make_paths, read_zip, scan_names, scan_paths


def test_empty_folders_are_kept(tmp_path: Path) -> None:
    make_paths(tmp_path, "t/empty/", "t/also/empty/")
    create(tmp_path / "out.zip", ["t"], selection=Selection(directory=tmp_path))
    with read_zip(tmp_path / "out.zip") as archive:
        assert archive.namelist() == ["t/", "t/also/", "t/also/empty/", "t/empty/"]
        assert all(info.is_dir() and info.external_attr & 0x10 for info in archive.infolist())


@pytest.mark.parametrize("mode", [0o400, 0o444, 0o600, 0o644, 0o755, 0o700, 0o777, 0o4755])
def test_modes_of_files_are_kept(tmp_path: Path, mode: int) -> None:
    make_paths(tmp_path, "a")
    (tmp_path / "a").chmod(mode)
    (member,) = scan_paths(["a"], Selection(directory=tmp_path))
    assert member.attributes == (stat.S_IFREG | mode) << 16


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777, 0o1777])
def test_modes_of_folders_are_kept(tmp_path: Path, mode: int) -> None:
    make_paths(tmp_path, "d/")
    (tmp_path / "d").chmod(mode)
    (member,) = scan_paths(["d"], Selection(directory=tmp_path))
    assert member.attributes == (stat.S_IFDIR | mode) << 16 | 0x10


@pytest.mark.parametrize("link", ["t/link", "link"])
def test_links_to_files_are_followed(tmp_path: Path, link: str) -> None:
    make_paths(tmp_path, "target", data=b"contents")
    make_paths(tmp_path, "t/")
    (tmp_path / link).symlink_to(tmp_path / "target")
    create(tmp_path / "out.zip", [link], selection=Selection(directory=tmp_path, symlinks="follow"))
    with read_zip(tmp_path / "out.zip") as archive:
        assert archive.read(link) == b"contents"
        assert stat.S_ISREG(archive.getinfo(link).external_attr >> 16)


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    make_paths(tmp_path, "real/x", "t/a")
    (tmp_path / "t" / "link").symlink_to("../real")
    assert scan_names(tmp_path, "t") == ["t/", "t/a", "t/link/", "t/link/x"]


@pytest.mark.parametrize("target", ["target", "folder", "nowhere", "../up", "link"])
def test_links_are_stored_as_links_wherever_they_lead(tmp_path: Path, target: str) -> None:
    make_paths(tmp_path, "t/target", "t/folder/x")
    link = tmp_path / "t" / "link"
    link.symlink_to(target)
    create(tmp_path / "out.zip", ["t"], selection=Selection(directory=tmp_path, symlinks="store"))
    with read_zip(tmp_path / "out.zip") as archive:
        assert archive.namelist() == ["t/", "t/folder/", "t/folder/x", "t/link", "t/target"]
        info = archive.getinfo("t/link")
        assert info.external_attr >> 16 == stat.S_IFLNK | 0o777
        assert archive.read("t/link") == target.encode()


def test_a_link_on_the_command_line_is_stored_as_a_link(tmp_path: Path) -> None:
    make_paths(tmp_path, "real/x")
    (tmp_path / "link").symlink_to("real")
    (member,) = scan_paths(["link"], Selection(directory=tmp_path, symlinks="store"))
    assert (member.name, member.source) == ("link", b"real")


def test_a_link_and_a_slash_mean_the_folder_as_with_tar(tmp_path: Path) -> None:
    make_paths(tmp_path, "real/x")
    (tmp_path / "link").symlink_to("real")
    assert scan_names(tmp_path, "link/", symlinks="store") == ["link/", "link/x"]


@pytest.mark.parametrize("target", [".", "..", "../..", "../../t"])
def test_a_link_to_a_folder_that_holds_it_is_refused(tmp_path: Path, target: str) -> None:
    make_paths(tmp_path, "t/d/x")
    (tmp_path / "t/d/loop").symlink_to(target)
    with pytest.raises(SourceError, match=r"t/d/loop: it is a link .* --symlinks store"):
        scan_names(tmp_path, "t")


def test_two_links_that_lead_into_each_other_are_refused(tmp_path: Path) -> None:
    make_paths(tmp_path, "t/a/", "t/b/")
    (tmp_path / "t/a/to-b").symlink_to("../b")
    (tmp_path / "t/b/to-a").symlink_to("../a")
    with pytest.raises(SourceError, match="--symlinks store"):
        scan_names(tmp_path, "t")


@pytest.mark.parametrize("below", [False, True], ids=["given", "below a folder"])
def test_a_link_to_itself_is_refused_by_its_name(tmp_path: Path, below: bool) -> None:
    make_paths(tmp_path, "t/")
    (tmp_path / "t/self").symlink_to("self")
    with pytest.raises(SourceError, match="t/self") as caught:
        scan_names(tmp_path, "t" if below else "t/self")
    assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize("below", [False, True], ids=["given", "below a folder"])
def test_a_dangling_link_is_refused_with_advice(tmp_path: Path, below: bool) -> None:
    make_paths(tmp_path, "t/")
    (tmp_path / "t/dead").symlink_to("nowhere")
    with pytest.raises(SourceError, match=r"t/dead: it is a link to nowhere.*--symlinks store"):
        scan_names(tmp_path, "t" if below else "t/dead")
    assert scan_names(tmp_path, "t", exclude=("dead",)) == ["t/"]


@pytest.mark.parametrize("symlinks", ["follow", "store"])
@pytest.mark.parametrize("below", [False, True], ids=["given", "below a folder"])
@pytest.mark.parametrize("kind", ["a socket", "a named pipe"])
def test_sockets_and_pipes_are_refused_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, below: bool, symlinks: Symlinks
) -> None:
    make_paths(tmp_path, "t/")
    monkeypatch.chdir(tmp_path / "t")  # a socket's path must be short
    if kind == "a socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("odd")
    else:
        os.mkfifo("odd")
    with pytest.raises(SourceError, match=rf"t/odd: it is {kind}; .* --exclude t/odd"):
        scan_names(tmp_path, "t" if below else "t/odd", symlinks=symlinks)
    assert scan_names(tmp_path, "t", exclude=("t/odd",)) == ["t/"]


def test_devices_are_refused() -> None:
    with pytest.raises(SourceError, match="/dev/null: it is a device"):
        scan_paths(["/dev/null"], Selection())
